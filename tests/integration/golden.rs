//! Model → Job and run → ModelVersion, against committed files. `UPDATE_GOLDEN=1 cargo test golden` makes them anew.

use std::{fs, path::PathBuf};

use modelwright::{
    api::Model,
    model::{
        build::{build_job, build_version},
        validate::validate_model,
    },
};

use crate::fixtures::{reports, settings};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Compares with `out.yaml` of a case, or writes it.
pub fn compare(case: &str, rendered: &impl serde::Serialize) {
    let path = directory().join(case).join("out.yaml");
    let text = serde_yaml::to_string(rendered).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{} differs; if that is meant, run UPDATE_GOLDEN=1 cargo test golden, and read the diff:\n{text}",
        path.display()
    );
}

fn input(case: &str) -> Model {
    let text = fs::read_to_string(directory().join(case).join("in.yaml")).unwrap();
    let mut model: Model = serde_yaml::from_str(&text).unwrap();
    model.metadata.uid = Some("00000000-0000-0000-0000-000000000001".into());
    model.metadata.generation = Some(1);
    model
}

#[test]
fn every_kind_of_source_renders_the_committed_job() {
    for case in ["model-http", "model-store", "model-s3-credentials", "model-pvc-scheduling"] {
        let model = validate_model(&input(case)).unwrap();
        compare(case, &build_job(&model, &settings(), case == "model-pvc-scheduling"));
    }
}

#[test]
fn a_run_renders_the_committed_version() {
    let model = validate_model(&input("model-version")).unwrap();
    let job = build_job(&model, &settings(), false);
    let mut reports = reports('c');
    reports.publish.metrics = [("accuracy".to_owned(), "0.98".to_owned())].into();
    compare("model-version", &build_version(&model, 3, &reports, &job, 5));
}

#[test]
fn the_containers_of_a_run_are_told_what_the_contract_has_committed() {
    let model = validate_model(&input("model-s3-credentials")).unwrap();
    let pod = build_job(&model, &settings(), false).spec.unwrap().template.spec.unwrap();
    for (containers, file) in [(pod.init_containers.unwrap(), "fetch"), (pod.containers, "publish")] {
        let told = containers[0].env.as_ref().unwrap()[0].value.clone().unwrap();
        let path = format!("{}/runtime/contract/golden/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let committed = fs::read_to_string(path).unwrap();
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&told), read(&committed), "{file}");
    }
}
