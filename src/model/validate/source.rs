//! Where bytes come from: an address, the digest to insist on, the Secret. In goes what a user wrote, out comes a
//! [`ValidSource`]; problems are told by the path of the field. Pure.

use crate::{api::SourceFormat, store::is_dns_name};

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidSource {
    /// As written.
    pub uri: String,
    /// The expected digest.
    pub sha256: Option<String>,
    /// Secret with the credentials.
    pub credentials_secret: Option<String>,
    /// Integer inputs of which some values may end the process.
    pub tolerate_crash_inputs: Vec<String>,
    /// What is there.
    pub format: SourceFormat,
    /// What is read.
    pub place: Place,
}

/// What a source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A PersistentVolumeClaim of the namespace.
    Claim(String),
    /// A host (with port), or the bucket of an object store.
    Remote(String),
}

/// Parses the source at the path `field`; `example` is a file that may be there.
pub(super) fn validate_source(
    field: &str,
    [uri, example]: [&str; 2],
    sha256: Option<&String>,
    credentials_secret: Option<&String>,
    problems: &mut Vec<String>,
) -> Option<ValidSource> {
    let place = match parse_place(field, uri, example) {
        Ok(place) => Some(place),
        Err(problem) => {
            problems.push(format!("{field}.uri `{uri}` {problem}"));
            None
        }
    };
    let hex =
        |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if let Some(sha256) = sha256.filter(|sha256| !hex(sha256)) {
        problems.push(format!("{field}.sha256 `{sha256}` is not 64 lower-case hex digits"));
    }
    if let Some(secret) = credentials_secret {
        if !secret.starts_with("modelwright-") {
            problems.push(format!(
                "{field}.credentialsSecret `{secret}` must start with modelwright-, so that no other Secret can be sent out"
            ));
        }
        if uri.starts_with("pvc://") {
            problems.push(format!("{field}.credentialsSecret does not apply to a pvc:// source; remove it"));
        }
    }
    Some(ValidSource {
        uri: uri.to_owned(),
        sha256: sha256.cloned(),
        credentials_secret: credentials_secret.cloned(),
        tolerate_crash_inputs: Vec::new(),
        format: SourceFormat::Onnx,
        place: place?,
    })
}

fn parse_place(field: &str, uri: &str, example: &str) -> Result<Place, String> {
    let expected = "is none of oci://, s3://, https://, http:// and pvc:// with a host, bucket or claim";
    let (scheme, rest) = uri.split_once("://").ok_or(expected)?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    if place.is_empty() {
        return Err(expected.into());
    }
    if uri.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("has white space; encode it as %20".into());
    }
    if place.contains('@') {
        return Err(format!(
            "carries credentials; put them into a Secret and name it in {field}.credentialsSecret"
        ));
    }
    match scheme {
        "oci" | "https" | "http" => Ok(Place::Remote(place.into())),
        "s3" if !path.is_empty() => Ok(Place::Remote(place.into())),
        "pvc" if path.is_empty() || path.split('/').any(|part| part == "..") => {
            Err(format!("must name a path inside the claim, for example pvc://claim/{example}, without `..`"))
        }
        "pvc" if is_dns_name(place) => Ok(Place::Claim(place.into())),
        "pvc" => Err(format!("names the claim `{place}`, which is no Kubernetes name")),
        "s3" => Err(format!("must name a key inside the bucket, for example s3://bucket/{example}")),
        _ => Err(expected.into()),
    }
}
