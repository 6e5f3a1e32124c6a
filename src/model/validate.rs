//! Validate: what a user wrote, parsed so that the later steps need not doubt it. In goes a Model, out comes a
//! [`ValidModel`] or every reason to refuse it. Pure.
//!
//! The CRD's schema and CEL rules refuse most of this at admission; objects from before a rule, and what CEL cannot say,
//! are refused here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Map, Value};

use crate::{
    api::{
        Model, ModelSource, Scheduling,
        name::{self, MAX_NAME_LENGTH},
    },
    hash,
};

/// A Model whose spec makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidModel {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// UID.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// Reference for what it owns.
    pub owner: OwnerReference,
    /// Where the bytes come from.
    pub source: ValidSource,
    /// Where pods may run.
    pub scheduling: Scheduling,
    /// What decides a version.
    pub spec_hash: String,
    /// What decides how a run's pods are scheduled.
    pub scheduling_hash: String,
}

/// Where a model's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidSource {
    /// As written.
    pub uri: String,
    /// The expected digest.
    pub sha256: Option<String>,
    /// Secret with the credentials.
    pub credentials_secret: Option<String>,
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

/// Every reason to refuse a Model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct InvalidModel {
    /// One sentence each: field, value, what was expected.
    pub problems: Vec<String>,
}

/// Parses a Model.
pub fn validate_model(model: &Model) -> Result<ValidModel, InvalidModel> {
    let mut problems = Vec::new();
    let name = model.name_any();
    if name.len() > MAX_NAME_LENGTH {
        problems.push(format!(
            "metadata.name has {} characters, at most {MAX_NAME_LENGTH} are possible; choose a shorter one",
            name.len()
        ));
    }
    let place = match parse_place(&model.spec.source.uri) {
        Ok(place) => Some(place),
        Err(problem) => {
            problems.push(format!("spec.source.uri `{}` {problem}", model.spec.source.uri));
            None
        }
    };
    check_source(&model.spec.source, &mut problems);
    let scheduling = model.spec.scheduling.clone().unwrap_or_default();
    check_scheduling(&scheduling, &mut problems);
    match place {
        Some(place) if problems.is_empty() => Ok(ValidModel {
            name,
            namespace: model.namespace().unwrap_or_default(),
            uid: model.uid().unwrap_or_default(),
            generation: model.metadata.generation.unwrap_or(0),
            owner: model.controller_owner_ref(&()).unwrap_or_default(),
            source: ValidSource {
                uri: model.spec.source.uri.clone(),
                sha256: model.spec.source.sha256.clone(),
                credentials_secret: model.spec.source.credentials_secret.clone(),
                place,
            },
            spec_hash: spec_hash(model),
            scheduling_hash: hash::canonical(&to_value(&scheduling)),
            scheduling,
        }),
        _ => Err(InvalidModel { problems }),
    }
}

/// What decides a version: what the user wrote in `source` and `rerun`, and nothing that the operator adds.
pub fn spec_hash(model: &Model) -> String {
    let mut decided = Map::new();
    decided.insert("source".into(), to_value(&model.spec.source));
    decided.insert("rerun".into(), to_value(&model.spec.rerun));
    hash::canonical(&Value::Object(decided))
}

fn to_value(part: &impl serde::Serialize) -> Value {
    serde_json::to_value(part).expect("strings, numbers and maps with string keys are JSON")
}

fn check_source(source: &ModelSource, problems: &mut Vec<String>) {
    let hex =
        |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if let Some(sha256) = source.sha256.as_deref().filter(|sha256| !hex(sha256)) {
        problems.push(format!("spec.source.sha256 `{sha256}` is not 64 lower-case hex digits"));
    }
    if let Some(secret) = &source.credentials_secret {
        if !secret.starts_with("modelwright-") {
            problems.push(format!(
                "spec.source.credentialsSecret `{secret}` must start with modelwright-, so that no other Secret can be sent out"
            ));
        }
        if source.uri.starts_with("pvc://") {
            problems
                .push("spec.source.credentialsSecret does not apply to a pvc:// source; remove it".into());
        }
    }
}

fn parse_place(uri: &str) -> Result<Place, String> {
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
        return Err(
            "carries credentials; put them into a Secret and name it in spec.source.credentialsSecret".into(),
        );
    }
    match scheme {
        "oci" | "https" | "http" => Ok(Place::Remote(place.into())),
        "s3" if !path.is_empty() => Ok(Place::Remote(place.into())),
        "pvc" if path.is_empty() || path.split('/').any(|part| part == "..") => {
            Err("must name a path inside the claim, for example pvc://claim/digits.onnx, without `..`".into())
        }
        "pvc" if is_dns_name(place) => Ok(Place::Claim(place.into())),
        "pvc" => Err(format!("names the claim `{place}`, which is no Kubernetes name")),
        "s3" => Err("must name a key inside the bucket, for example s3://bucket/digits.onnx".into()),
        _ => Err(expected.into()),
    }
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|c| edge(c) || c == '-')
        })
}

fn check_scheduling(scheduling: &Scheduling, problems: &mut Vec<String>) {
    let refused = |key: &str, prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    for key in scheduling.pod_labels.keys() {
        if refused(key, name::REFUSED_LABEL_PREFIXES) {
            problems.push(format!(
                "spec.scheduling.podLabels has the key `{key}`, which belongs to {}; remove it",
                owner_of(key)
            ));
        }
    }
    for key in scheduling.pod_annotations.keys() {
        if refused(key, name::REFUSED_ANNOTATION_PREFIXES) {
            problems.push(format!(
                "spec.scheduling.podAnnotations has the key `{key}`, which belongs to {}; remove it",
                owner_of(key)
            ));
        }
    }
}

fn owner_of(key: &str) -> &'static str {
    if key.starts_with("argocd") { "Argo CD" } else { "Modelwright" }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::api::{ModelSpec, scheduling::LabelValue};

    fn model(uri: &str) -> Model {
        let source = ModelSource { uri: uri.into(), sha256: None, credentials_secret: None };
        Model::new("digits", ModelSpec { rerun: None, source, scheduling: None })
    }

    #[test]
    fn golden_spec_hashes_never_change() {
        let plain = model("s3://bucket/digits.onnx");
        let mut full = plain.clone();
        full.spec.rerun = Some("2026-11".into());
        full.spec.source.sha256 = Some("a".repeat(64));
        full.spec.source.credentials_secret = Some("modelwright-s3".into());
        assert_eq!(spec_hash(&plain), "v1-ae763009bed69eedad147c746dd6d614e8dfb21550e6199cc0ec0d90e2826a5b");
        assert_eq!(spec_hash(&full), "v1-a0d51fb44cdbd4bece5ce298fa74baf48c59e9ec038252b15979a19016b0af53");
    }

    #[test]
    fn scheduling_does_not_decide_a_version_but_source_and_rerun_do() {
        let plain = model("s3://bucket/digits.onnx");
        let mut scheduled = plain.clone();
        scheduled.spec.scheduling =
            Some(Scheduling { priority_class_name: Some("low".into()), ..Scheduling::default() });
        assert_eq!(spec_hash(&plain), spec_hash(&scheduled));
        assert_ne!(
            validate_model(&plain).unwrap().scheduling_hash,
            validate_model(&scheduled).unwrap().scheduling_hash
        );
        let mut rerun = plain.clone();
        rerun.spec.rerun = Some("again".into());
        assert_ne!(spec_hash(&plain), spec_hash(&rerun));
        assert_ne!(spec_hash(&plain), spec_hash(&model("s3://bucket/other.onnx")));
    }

    #[test]
    fn every_kind_of_source_is_understood() {
        let place = |uri: &str| validate_model(&model(uri)).unwrap().source.place;
        assert_eq!(place("oci://registry:5000/models/digits:v1"), Place::Remote("registry:5000".into()));
        assert_eq!(place("https://host/digits.onnx"), Place::Remote("host".into()));
        assert_eq!(place("http://host"), Place::Remote("host".into()));
        assert_eq!(place("s3://bucket/folder/"), Place::Remote("bucket".into()));
        assert_eq!(place("pvc://my-claim/folder/digits.onnx"), Place::Claim("my-claim".into()));
    }

    #[test]
    fn a_refusal_names_the_field_and_what_was_expected() {
        for (uri, word) in [
            ("ftp://host/file", "oci://"),
            ("digits.onnx", "oci://"),
            ("https:///file", "oci://"),
            ("https://user:secret@host/file", "Secret"),
            ("s3://bucket", "s3://bucket/digits.onnx"),
            ("pvc://claim/", "pvc://claim/digits.onnx"),
            ("pvc://claim/../other", ".."),
            ("pvc://Claim/x", "Kubernetes name"),
            ("https://host/a b", "white space"),
        ] {
            let message = validate_model(&model(uri)).unwrap_err().to_string();
            assert!(message.contains("spec.source.uri") && message.contains(word), "{uri}: {message}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let mut wrong = model("nothing");
        wrong.metadata.name = Some("n".repeat(41));
        wrong.spec.source.sha256 = Some("ABC".into());
        wrong.spec.source.credentials_secret = Some("database-password".into());
        wrong.spec.scheduling = Some(Scheduling {
            pod_labels: [("argocd.argoproj.io/instance".to_owned(), LabelValue("x".into()))].into(),
            ..Scheduling::default()
        });
        assert_eq!(validate_model(&wrong).unwrap_err().problems.len(), 5);
    }

    proptest! {
        #[test]
        fn no_uri_panics(uri in ".{0,60}", tail in "(oci|s3|https|pvc)://[a-z/.@:%-]{0,30}") {
            let _ = validate_model(&model(&uri));
            let _ = validate_model(&model(&tail));
        }
    }
}
