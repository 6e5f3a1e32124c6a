//! Fields that nobody knows, by every way in which people apply.

use std::fs;

use modelwright::api::condition::STALLED;
use serde_json::json;

use crate::harness::{
    Space,
    kubectl::{Output, run},
    onnx::Affine,
    resources::{Observed as _, model},
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

/// Clients that check are refused; where one does not, and the API server drops the field, the operator tells.
pub async fn are_told_or_refused_by_whatever_way_they_come(space: &Space) {
    let uri = space.serve_file("unknown-field.onnx", AFFINE).await;
    let mut object = model("unknown-field", &uri, json!({}));
    object["spec"]["rerunn"] = json!("1");
    let apply = async |further: &[&str]| {
        let arguments = [&["apply", "--namespace", &space.name, "--filename", "-"], further].concat();
        run("kubectl", &arguments, &object.to_string()).await
    };
    let refused = |way: &str, output: &Output| {
        assert!(!output.success && output.stderr.contains("spec.rerunn"), "{way}: {}", output.stderr);
    };
    refused("kubectl", &apply(&[]).await);
    refused("server-side", &apply(&["--server-side"]).await);
    refused("helm", &helm(space, &object.to_string()).await);
    assert!(
        space
            .api::<modelwright::api::Model>()
            .get_opt("unknown-field")
            .await
            .is_ok_and(|found| found.is_none())
    );

    apply(&["--validate=false"]).await.expect_success();
    let told = space.stalled_model("unknown-field", 30).await.says(STALLED);
    assert!(told.starts_with("InvalidSpec: "), "{told}");
    for word in ["spec.rerunn with the value \"1\" is not a field", "rerun", "correct or remove it"] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    let jobs = space.jobs_of("unknown-field").await;
    assert!(jobs.is_empty(), "nothing is run of a spec that is not what was written: {jobs:?}");
}

/// Installs a chart that holds one manifest.
async fn helm(space: &Space, manifest: &str) -> Output {
    let chart = tempfile::tempdir().expect("a folder can be made");
    let write = |path: &str, text: &str| {
        let path = chart.path().join(path);
        fs::create_dir_all(path.parent().expect("it is in the chart")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    };
    write("Chart.yaml", "apiVersion: v2\nname: a-model\nversion: 0.1.0\n");
    write("templates/model.yaml", manifest);
    let chart = chart.path().to_string_lossy();
    run("helm", &["install", "a-model", &chart, "--namespace", &space.name], "").await
}
