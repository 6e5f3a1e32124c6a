//! Which version a spec means. In go the spec, the Model, its ModelVersions and the revisions; out come the version's
//! facts, or why there is none and whether waiting helps. Pure.

use super::{
    revision::{RevisionData, VersionReference},
    validate::ValidDeployment,
};
use crate::{
    api::{
        ConditionStatus, Model, ModelVersion,
        condition::{READY, RECONCILING, STALLED},
        name,
    },
    problem::Problem,
};

/// Why a spec means no version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Reason and message.
    pub problem: Problem,
    /// Whether it may come by itself.
    pub waits: bool,
}

/// The version that the spec means.
pub fn resolve_version<'a>(
    valid: &ValidDeployment,
    model: Option<&Model>,
    version: impl Fn(&str) -> Option<&'a ModelVersion>,
    revisions: impl Iterator<Item = &'a RevisionData>,
) -> Result<VersionReference, Missing> {
    let name = &valid.asked.model;
    let number = match valid.version {
        Some(number) => number,
        None => followed(name, model)?,
    };
    let found = version(&name::model_version(name, number))
        .filter(|version| version.spec.model == *name && version.spec.version == number);
    if let Some(found) = found {
        let working = valid.version.is_none() && model.is_some_and(is_working);
        return version_reference(found, valid.asked.variant.as_deref(), working);
    }
    // a revision carries what it serves, so that a ModelVersion that is gone stops nothing
    let mut revisions = revisions;
    if let Some(data) = revisions.find(|data| {
        let version = &data.version;
        version.model == *name && version.version == number && version.variant == valid.asked.variant
    }) {
        return Ok(data.version.clone());
    }
    let working = model.is_some_and(is_working);
    Err(match (valid.version, model) {
        (_, None) => not_found(name),
        (None, Some(_)) => missing(
            "VersionNotFound",
            format!(
                "ModelVersion {} of Model {name} is not there; it was deleted, or is about to appear",
                name::model_version(name, number)
            ),
            true,
        ),
        (Some(_), Some(model)) => {
            let latest = model.status.as_ref().and_then(|status| status.latest_version);
            let latest = latest.map_or("none yet".to_owned(), |latest| latest.to_string());
            missing(
                "VersionNotFound",
                format!(
                    "spec.version is {number}, but Model {name} has no such version (its latest: {latest}); set spec.version to one that `kubectl get modelversions` lists, or remove it to follow the Model"
                ),
                working,
            )
        }
    })
}

/// What serving a version needs, or its variant of this name.
fn version_reference(
    version: &ModelVersion,
    variant: Option<&str>,
    waits: bool,
) -> Result<VersionReference, Missing> {
    let spec = &version.spec;
    let whole = VersionReference {
        model: spec.model.clone(),
        version: spec.version,
        model_digest: spec.model_digest.clone(),
        variant: None,
        artifact: spec.artifact.clone(),
        signature: spec.signature.clone(),
        size: spec.size.clone(),
    };
    let Some(name) = variant else { return Ok(whole) };
    let Some(found) = spec.variants.iter().find(|variant| variant.name == name) else {
        let names: Vec<_> = spec.variants.iter().map(|variant| variant.name.as_str()).collect();
        let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(missing(
            "VariantNotFound",
            format!(
                "spec.variant is {name}, and version {} of Model {} has no such variant (it has {has}); name one that it has, remove spec.variant, or ask for it in the Model's spec.optimize",
                spec.version, spec.model
            ),
            waits,
        ));
    };
    Ok(VersionReference {
        model_digest: found.model_digest.clone(),
        variant: Some(name.to_owned()),
        size: found.size.clone().or(whole.size),
        ..whole
    })
}

/// The version that the Model resolves to.
fn followed(name: &str, model: Option<&Model>) -> Result<u64, Missing> {
    let Some(model) = model else { return Err(not_found(name)) };
    if let Some(version) = model.status.as_ref().and_then(|status| status.current_version) {
        return Ok(version);
    }
    let words = model
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .find(|condition| condition.type_ == READY)
        .map(|condition| format!("{}: {}", condition.reason, condition.message));
    Err(missing(
        "VersionNotReady",
        format!(
            "Model {name} has no version yet: {}",
            words.unwrap_or_else(|| "it was not looked at yet".into())
        ),
        is_working(model),
    ))
}

/// Whether the Model may still come to a version by itself: it was not looked at yet, or a run is under way.
fn is_working(model: &Model) -> bool {
    let Some(status) = &model.status else { return true };
    let is = |kind: &str| {
        status
            .conditions
            .iter()
            .any(|condition| condition.type_ == kind && condition.status == ConditionStatus::True)
    };
    status.observed_generation != model.metadata.generation || !is(STALLED) && (is(RECONCILING) || !is(READY))
}

fn not_found(name: &str) -> Missing {
    missing(
        "ModelNotFound",
        format!("Model {name} does not exist in this namespace; create it, or correct spec.model"),
        true,
    )
}

fn missing(reason: &str, message: String, waits: bool) -> Missing {
    Missing { problem: Problem { reason: reason.into(), message }, waits }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::serving::validate::validate_deployment;

    fn valid(version: Option<u64>) -> ValidDeployment {
        let deployment = json!({
            "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "d"},
            "spec": {"model": "digits", "version": version},
        });
        validate_deployment(&serde_json::from_value(deployment).unwrap()).unwrap()
    }

    fn model(status: Value) -> Model {
        let model = json!({
            "apiVersion": "modelwright.dev/v1alpha1", "kind": "Model", "metadata": {"name": "digits", "generation": 2},
            "spec": {"source": {"uri": "s3://bucket/digits.onnx"}}, "status": status,
        });
        serde_json::from_value(model).unwrap()
    }

    fn version(number: u64) -> ModelVersion {
        serde_json::from_value(json!({
            "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelVersion",
            "metadata": {"name": format!("digits-v{number}")},
            "spec": {
                "model": "digits", "version": number, "specHash": "v1-0", "modelDigest": "d".repeat(64),
                "artifact": {"uri": "oci://store/x", "sha256": "e".repeat(64), "sizeBytes": 1, "opset": 17},
                "signature": {"inputs": [], "outputs": []},
                "goldenSamples": {"count": 1, "tolerance": "0.001", "source": "Synthetic"},
                "provenance": {"dataSha256": "", "images": {}, "job": "", "startedAt": "", "finishedAt": ""},
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_pinned_version_is_found_and_a_followed_one_is_the_models() {
        let (one, two) = (version(1), version(2));
        let find = |name: &str| match name {
            "digits-v1" => Some(&one),
            "digits-v2" => Some(&two),
            _ => None,
        };
        let model = model(json!({"currentVersion": 2}));
        let resolve = |pin| resolve_version(&valid(pin), Some(&model), find, std::iter::empty());
        assert_eq!(resolve(Some(1)).unwrap().version, 1);
        assert_eq!(resolve(None).unwrap().version, 2);
        assert_eq!(resolve_version(&valid(Some(1)), None, find, std::iter::empty()).unwrap().version, 1);
    }

    #[test]
    fn a_variant_is_served_by_its_own_digest_and_one_that_is_not_there_is_told_with_those_that_are() {
        let mut one = version(1);
        let variant = |name: &str, digest: char, size: Value| -> crate::api::optimize::VersionVariant {
            let digest = String::from(digest).repeat(64);
            serde_json::from_value(json!({"name": name, "modelDigest": digest, "sizeBytes": 7, "size": size}))
                .unwrap()
        };
        let certificate = |bytes: u64| json!({"loadBytes": bytes, "rows": []});
        one.spec.size = serde_json::from_value(certificate(100)).unwrap();
        one.spec.variants = vec![variant("int8", 'a', certificate(40)), variant("fp16", 'b', Value::Null)];
        let wanting = |variant: Option<&str>, pin: Option<u64>| {
            let mut wanting = valid(pin);
            wanting.asked.variant = variant.map(str::to_owned);
            wanting
        };
        let model_at =
            |generation: u64| model(json!({"currentVersion": 1, "observedGeneration": generation}));
        let resolve = |variant, pin, generation| {
            let model = model_at(generation);
            let find = |name: &str| (name == "digits-v1").then_some(&one);
            resolve_version(&wanting(variant, pin), Some(&model), find, std::iter::empty())
        };
        let int8 = resolve(Some("int8"), Some(1), 2).unwrap();
        assert_eq!((int8.model_digest, int8.variant.as_deref()), ("a".repeat(64), Some("int8")));
        assert_eq!(int8.size.unwrap().load_bytes, 40);
        let fp16 = resolve(Some("fp16"), None, 2).unwrap();
        assert_eq!((fp16.model_digest, fp16.size.unwrap().load_bytes), ("b".repeat(64), 100));
        assert_eq!(resolve(None, None, 2).unwrap().model_digest, "d".repeat(64));
        for (pin, generation, waits) in [(Some(1), 1, false), (None, 1, true)] {
            let missing = resolve(Some("int4"), pin, generation).unwrap_err();
            assert_eq!((missing.problem.reason.as_str(), missing.waits), ("VariantNotFound", waits));
            assert!(missing.problem.message.contains("it has int8, fp16"), "{}", missing.problem.message);
        }
    }

    #[test]
    fn what_is_missing_is_named_and_says_whether_waiting_helps() {
        let stalled = json!({"observedGeneration": 2, "conditions": [
            {"type": "Ready", "status": "False", "reason": "RunFailed", "message": "not ONNX", "lastTransitionTime": ""},
            {"type": "Stalled", "status": "True", "reason": "RunFailed", "message": "not ONNX", "lastTransitionTime": ""},
        ]});
        let ready = |more: &[&str]| {
            let conditions = [&["Ready"], more].concat();
            let conditions = conditions.iter().map(|kind| {
                json!({"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": ""})
            });
            json!({"observedGeneration": 2, "latestVersion": 3, "conditions": conditions.collect::<Vec<_>>()})
        };
        for (pin, found, reason, waits, part) in [
            (None, None, "ModelNotFound", true, "spec.model"),
            (None, Some(model(json!({}))), "VersionNotReady", true, "not looked at"),
            (None, Some(model(stalled.clone())), "VersionNotReady", false, "not ONNX"),
            (None, Some(model(json!({"currentVersion": 4}))), "VersionNotFound", true, "digits-v4"),
            (Some(7), Some(model(stalled)), "VersionNotFound", false, "spec.version is 7"),
            (Some(7), Some(model(json!({"latestVersion": 3}))), "VersionNotFound", true, "latest: 3"),
            (Some(7), Some(model(ready(&[]))), "VersionNotFound", false, "latest: 3"),
            (Some(7), Some(model(ready(&["Reconciling"]))), "VersionNotFound", true, "latest: 3"),
        ] {
            let missing =
                resolve_version(&valid(pin), found.as_ref(), |_| None, std::iter::empty()).unwrap_err();
            assert_eq!((missing.problem.reason.as_str(), missing.waits), (reason, waits));
            assert!(missing.problem.message.contains(part), "{}", missing.problem.message);
        }
    }
}
