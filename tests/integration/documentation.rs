//! The pages for people name what the code says.

use std::{collections::BTreeSet, fs};

/// Reasons that stand as string constants in the Model's sources, in the places where reasons are made.
fn reasons_in_the_code() -> BTreeSet<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    let mut reasons = BTreeSet::new();
    for file in [
        "model.rs",
        "model/error.rs",
        "model/plan.rs",
        "model/status.rs",
        "model/run.rs",
        "model/run/report.rs",
        "model/run/waits.rs",
        "model/build/trainer.rs",
    ] {
        let code = fs::read_to_string(format!("{root}{file}")).unwrap();
        for marker in [
            "problem(\"",
            "problem(\n        \"",
            "problem(\n            \"",
            "reason: \"",
            "failure(\n            \"",
            "normal(\"",
            "warning(\"",
            "Some((\n            \"",
            "Err((\n        \"",
            "problem(\n                \"",
        ] {
            for tail in code.split(marker).skip(1) {
                reasons.insert(tail.split('"').next().unwrap().to_owned());
            }
        }
    }
    reasons
}

#[test]
fn every_reason_of_a_model_is_documented() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conditions.md")).unwrap();
    let reasons = reasons_in_the_code();
    assert!(reasons.len() > 12, "the search finds too little: {reasons:?}");
    let missing: Vec<_> = reasons.iter().filter(|reason| !page.contains(&format!("`{reason}`"))).collect();
    assert!(missing.is_empty(), "docs/conditions.md lacks {missing:?}");
}

/// Reasons that stand as string constants in the ModelDeployment's sources.
fn reasons_of_deployments() -> BTreeSet<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    let mut reasons = BTreeSet::new();
    for file in [
        "pods/unstarted.rs",
        "serving.rs",
        "serving/status.rs",
        "serving/status/health.rs",
        "serving/pods.rs",
        "serving/refusals.rs",
        "serving/version.rs",
        "serving/rollout/outcome.rs",
    ] {
        let code = fs::read_to_string(format!("{root}{file}")).unwrap();
        for marker in ["problem(", "said_so(", "missing(", "map_or(", "&str = ", "=> ", "(true, ", "(false, "]
        {
            for tail in code.split(marker).skip(1) {
                let Some(word) = tail.trim_start().strip_prefix('"').and_then(|tail| tail.split('"').next())
                else {
                    continue;
                };
                let is_word = word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphanumeric);
                if is_word {
                    reasons.insert(word.to_owned());
                }
            }
        }
    }
    reasons
}

#[test]
fn every_reason_of_a_model_deployment_is_documented() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conditions.md")).unwrap();
    let reasons = reasons_of_deployments();
    assert!(reasons.len() > 20, "the search finds too little: {reasons:?}");
    let missing: Vec<_> = reasons.iter().filter(|reason| !page.contains(&format!("`{reason}`"))).collect();
    assert!(missing.is_empty(), "docs/conditions.md lacks {missing:?}");
}

#[test]
fn the_command_for_a_model_without_the_operator_removes_our_finalizer_and_no_other() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/install.md")).unwrap();
    let patches: Vec<_> = page
        .split("--patch '")
        .skip(1)
        .map(|tail| serde_json::from_str::<serde_json::Value>(tail.split('\'').next().unwrap()).unwrap())
        .collect();
    assert_eq!(patches.len(), 2, "one Model, and all of a namespace");
    let finalizer = "/metadata/finalizers/0";
    for patch in patches {
        assert_eq!(
            patch,
            serde_json::json!([
                {"op": "test", "path": finalizer, "value": modelwright::api::name::MODEL_FINALIZER},
                {"op": "remove", "path": finalizer},
            ])
        );
    }
}

#[test]
fn every_example_of_a_model_is_valid_and_short() {
    let mut seen = 0;
    for folder in ["quickstart", "training", "sources", "mnist-keras", "networks", "pytorch"] {
        let path = format!("{}/examples/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.lines().count() <= 40, "{} is long", path.display());
            let Some(text) = text.split("\n---\n").find(|text| text.contains("kind: Model\n")) else {
                continue;
            };
            let model: modelwright::api::Model = serde_yaml::from_str(text).unwrap();
            let told = modelwright::model::validate::validate_model(&model);
            assert!(told.is_ok(), "{}: {}", path.display(), told.unwrap_err());
            // what the API server would prune or misread comes back otherwise
            let written: serde_json::Value = serde_yaml::from_str(text).unwrap();
            assert_eq!(serde_json::to_value(&model.spec).unwrap(), written["spec"], "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} examples of Models");
}
