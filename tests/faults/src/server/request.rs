//! A request to the API server as it is meant. Pure.

use std::collections::BTreeMap;

use http::{Method, request::Parts};
use serde_json::Value;

use super::part;
use crate::{
    json::text,
    kinds::Kind,
    store::{Guard, Key, Part},
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Replace,
    Patch,
    Delete,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    pub verb: Verb,
    pub key: Key,
    pub part: Part,
    pub query: BTreeMap<String, String>,
    pub content_type: String,
    pub body: Value,
}

impl Call {
    /// Reads a request.
    pub fn read(parts: &Parts, body: &[u8]) -> Result<Self, String> {
        let path = parts.uri.path();
        let unknown = || format!("{} {path} is no request that this server knows", parts.method);
        let mut words = path.trim_start_matches('/').split('/');
        let api_version = match words.next() {
            Some("api") => words.next().unwrap_or_default().to_owned(),
            Some("apis") => {
                format!("{}/{}", words.next().unwrap_or_default(), words.next().unwrap_or_default())
            }
            _ => return Err(unknown()),
        };
        let rest: Vec<_> = words.collect();
        let (namespace, plural, name, subresource) = match rest.as_slice() {
            ["namespaces", namespace, plural] => (*namespace, *plural, "", None),
            ["namespaces", namespace, plural, name] => (*namespace, *plural, *name, None),
            ["namespaces", namespace, plural, name, sub] => (*namespace, *plural, *name, Some(*sub)),
            [plural] => ("", *plural, "", None),
            _ => return Err(unknown()),
        };
        let kind = Kind::at(&api_version, plural).ok_or_else(unknown)?;
        let query: BTreeMap<_, _> = parts.uri.query().map(read_query).unwrap_or_default();
        let is_watch = query.get("watch").is_some_and(|value| value == "true" || value == "1");
        let verb = match (&parts.method, name) {
            (&Method::GET, "") if is_watch => Verb::Watch,
            (&Method::GET, "") => Verb::List,
            (&Method::GET, _) => Verb::Get,
            (&Method::POST, "") => Verb::Create,
            (&Method::PUT, _) => Verb::Replace,
            (&Method::PATCH, _) => Verb::Patch,
            (&Method::DELETE, name) if !name.is_empty() => Verb::Delete,
            _ => return Err(unknown()),
        };
        let body: Value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).map_err(|error| format!("{path}: {error}"))?
        };
        let name = if name.is_empty() { text(&body, "/metadata/name") } else { name };
        let content_type = parts.headers.get(http::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(Self {
            verb,
            key: Key::new(kind, namespace, name),
            part: part(subresource),
            query,
            content_type: content_type.to_owned(),
            body,
        })
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, Verb::Get | Verb::List | Verb::Watch)
    }

    /// What it names of the object that it means.
    pub fn guard(&self) -> Guard {
        let named = |value: &Value, name: &str| value.get(name).is_some_and(|value| !value.is_null());
        match &self.body {
            // a JSON patch tests what it found
            Value::Array(operations) => {
                let tests = |path: &str| {
                    operations.iter().any(|operation| {
                        operation["op"] == "test" || text(operation, "/path") == format!("/metadata/{path}")
                    })
                };
                Guard { uid: tests("uid"), version: tests("resourceVersion") }
            }
            body => {
                let place =
                    if self.verb == Verb::Delete { &body["preconditions"] } else { &body["metadata"] };
                Guard { uid: named(place, "uid"), version: named(place, "resourceVersion") }
            }
        }
    }

    /// In a word.
    pub fn told(&self) -> String {
        let status = if self.part == Part::Status { "/status" } else { "" };
        format!("{:?} {}{status} {}", self.verb, self.key.kind, self.key.name)
    }
}

fn read_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (unescaped(name), unescaped(value))).collect()
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
