//! Selectors of labels and fields. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{label, members};

/// What a list or a watch is of.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    labels: Vec<(String, String)>,
    /// Labels that it must not have.
    without: Vec<String>,
    fields: Vec<(String, String)>,
}

impl Selection {
    /// Of a query's `labelSelector` and `fieldSelector`, which know `=` alone, and the first `!`.
    pub fn read(query: &BTreeMap<String, String>) -> Self {
        let pairs = |name: &str| {
            let parts = query.get(name).map(String::as_str).unwrap_or_default().split(',');
            parts
                .filter_map(|part| part.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        };
        let labels = query.get("labelSelector").map(String::as_str).unwrap_or_default();
        let without =
            labels.split(',').filter_map(|part| part.strip_prefix('!')).map(str::to_owned).collect();
        Self { labels: pairs("labelSelector"), without, fields: pairs("fieldSelector") }
    }

    /// Whether it is of this object.
    pub fn takes(&self, object: &Value) -> bool {
        let field =
            |name: &str| object.pointer(&format!("/{}", name.replace('.', "/"))).and_then(Value::as_str);
        let labels = object.pointer("/metadata/labels");
        self.labels.iter().all(|(key, value)| label(object, key) == value)
            && self.without.iter().all(|key| labels.is_none_or(|labels| labels.get(key).is_none()))
            && self.fields.iter().all(|(key, value)| field(key).unwrap_or_default() == value)
    }
}

/// Whether the labels of an object are those of a map at a path of another.
pub fn selects(selector: &Value, path: &str, object: &Value) -> bool {
    let mut wanted = members(selector, path).peekable();
    wanted.peek().is_some() && wanted.all(|(key, value)| Some(label(object, key)) == value.as_str())
}
