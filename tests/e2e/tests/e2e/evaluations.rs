//! F9: an import is measured, gated and quantised like what is trained, and ONNX is made of a file of Keras.

use std::fmt::Write as _;

use k8s_openapi::api::batch::v1::Job;
use modelwright::api::{
    condition::{READY, STALLED},
    model::Model,
};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    examples::placed,
    onnx::Scores,
    registry::hex,
    resources::{Observed as _, merge, model},
};

/// Points whose class is plain.
fn points() -> String {
    let mut table = "a,b,class\n".to_owned();
    for step in 0..40 {
        let far = f64::from(step).mul_add(0.05, 1.0);
        for (class, a, b) in [(0, far, 0.1), (1, 0.1, far), (2, -far, -far)] {
            writeln!(table, "{a},{b},{class}").unwrap();
        }
    }
    table
}

fn measured(name: &str, uri: &str, data: &str, more: Value) -> Value {
    let mut object = model(name, uri, json!({}));
    object["spec"]["evaluation"] = json!({
        "task": "Classification",
        "data": {"uri": data, "format": "CSV", "label": "class", "inputs": "Matrix"},
        "metric": "Accuracy",
        "gates": [{"metric": "Accuracy", "min": "0.9"}],
    });
    merge(&mut object["spec"], more);
    object
}

fn int8(name: &str) -> Value {
    json!([{"name": name, "quantize": "Static", "for": "Size"}])
}

fn containers(job: &Job) -> Vec<&str> {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).expect("a Job has a pod");
    pod.init_containers.iter().flatten().chain(&pod.containers).map(|one| one.name.as_str()).collect()
}

/// It holds its gate on its data and has a variant; on labels that it does not answer it becomes no version.
pub async fn an_import_is_measured_gated_and_quantised(space: Space) {
    let uri = space.serve_bytes("scores.onnx", Scores::bytes()).await;
    let data = space.serve_text("points.csv", &points()).await;
    let manifest = placed(
        "sources/evaluation.yaml",
        &[
            ("https://models.example.com/points.onnx", &uri),
            ("https://data.example.com/points-test.csv", &data),
        ],
    );
    space.apply(&manifest).await;
    let other = points().replace(",0\n", ",3\n").replace(",1\n", ",0\n").replace(",3\n", ",1\n");
    let other = space.serve_text("swapped.csv", &other).await;
    space.create_object::<Model>(measured("swapped", &uri, &other, json!({}))).await;

    let ready = space.trained_model("points").await;
    let status = ready.status.expect("it has a status");
    assert_eq!((status.metric.as_deref(), status.score.as_deref()), (Some("Accuracy"), Some("1")));
    let first = space.version("points-v1").await.spec;
    assert_eq!(first.evaluation.as_ref().unwrap().metrics["Accuracy"], "1");
    assert_eq!(first.provenance.data_sha256, hex(Scores::bytes()));
    assert_eq!(first.provenance.test_sha256, Some(hex(points())));
    assert_eq!(first.golden_samples.source, "Quantiles");
    let [variant] = first.variants.as_slice() else { panic!("{:?}", first.variants) };
    assert!(variant.name == "int8" && variant.size_bytes < Scores::bytes().len() as u64, "{variant:?}");
    let served = space.serve("points", "points", json!({"variant": "int8"})).await;
    let stable = served.status.and_then(|status| status.stable).expect("a revision is stable");
    assert_eq!(stable.model_digest, variant.model_digest);

    let stalled = space.stalled_model("swapped", 300).await;
    let said = stalled.says(STALLED);
    assert!(said.starts_with("GateMissed: ") && said.contains("Accuracy is 0.3"), "{said}");
    assert_eq!((stalled.is(READY), stalled.status.and_then(|status| status.latest_version)), (false, None));

    // Another variant is made of the kept artifact, and measured on the very data: the source may be gone.
    space.world.fixtures.remove(&format!("{}/scores.onnx", space.name)).await;
    space.patch::<Model>("points", json!({"spec": {"optimize": int8("other")}})).await;
    space.trained_model("points").await;
    let second = space.version("points-v2").await.spec;
    assert_eq!((second.provenance.made_from, &second.model_digest), (Some(1), &first.model_digest));
    assert_eq!((&second.evaluation, second.variants[0].name.as_str()), (&first.evaluation, "other"));
    let runs = space.jobs_of("points").await;
    assert!(
        runs.iter().all(|job| containers(job) == ["fetch", "prepare", "optimize", "prove", "publish"]),
        "{runs:?}"
    );
}

/// Data that do not go with the model are told by the field, before it is run.
pub async fn data_that_a_model_does_not_take_are_told_by_their_field(space: Space) {
    let uri = space.serve_bytes("scores.onnx", Scores::bytes()).await;
    let narrow: String =
        points().lines().map(|line| line.split_once(',').unwrap().1.to_owned() + "\n").collect();
    let wrong = [
        (
            "narrow",
            narrow,
            json!({}),
            "UnsuitableData",
            "spec.evaluation.data.inputs is Matrix, and the model takes 'x' FP32 [-1,2]",
        ),
        (
            "by-name",
            points(),
            json!({"inputs": "Columns"}),
            "UnsuitableData",
            "set spec.evaluation.data.inputs to Matrix",
        ),
        ("text", points().replacen("-1,-1", "none,-1", 1), json!({}), "UnsuitableData", "column 'a'"),
        (
            "label",
            points(),
            json!({"label": "klass"}),
            "NoLabelColumn",
            "spec.evaluation.data.label is 'klass'",
        ),
        ("beyond", points() + "1,1,7\n", json!({}), "InvalidLabel", "spec.evaluation.classes"),
    ];
    for (name, table, data, ..) in &wrong {
        let at = space.serve_text(&format!("{name}.csv"), table).await;
        let object = measured(name, &uri, &at, json!({"evaluation": {"data": data}}));
        space.create_object::<Model>(object).await;
    }
    for (name, _, _, reason, part) in wrong {
        let stalled = space.stalled_model(name, 300).await;
        let said = stalled.says(STALLED);
        assert!(said.starts_with(&format!("{reason}: ")) && said.contains(part), "{name}: {said}");
        let failure = stalled.status.and_then(|status| status.last_failure).expect("it failed");
        assert_eq!(failure.phase, "prepare");
    }
}

/// ONNX is made of a file of Keras, and measured; one with code in it, and one that is none, are refused.
pub async fn a_keras_file_becomes_onnx_and_one_with_code_is_refused(space: Space) {
    let points_file = include_bytes!("keras/points.keras").to_vec();
    let uri = space.serve_bytes("points.keras", points_file.clone()).await;
    let data = space.serve_text("points.csv", &points()).await;
    space.apply(&placed("sources/keras.yaml", &[("https://models.example.com/points.keras", &uri)])).await;
    let keras = json!({"source": {"format": "Keras"}});
    space.create_object::<Model>(measured("measured", &uri, &data, keras.clone())).await;
    let code = space.serve_bytes("lambda.keras", include_bytes!("keras/lambda.keras").to_vec()).await;
    space.create_object::<Model>(model("code", &code, json!({"format": "Keras"}))).await;
    let none = space.serve_bytes("scores.onnx", Scores::bytes()).await;
    space.create_object::<Model>(model("none", &none, json!({"format": "Keras"}))).await;

    space.trained_model("points").await;
    let plain = space.version("points-v1").await.spec;
    let input = &plain.signature.inputs[0];
    assert_eq!(input.name, "x");
    assert_eq!(input.shape, [-1, 2]);
    assert_eq!(plain.provenance.data_sha256, hex(points_file));
    space.trained_model("measured").await;
    let made = space.version("measured-v1").await.spec;
    assert_eq!(made.model_digest, plain.model_digest, "the same file gives the same bytes");
    assert_eq!(made.evaluation.unwrap().metrics["Accuracy"], "1");
    let runs = space.jobs_of("measured").await;
    assert!(
        runs.iter().all(|job| containers(job) == ["fetch", "convert", "prepare", "prove", "publish"]),
        "{runs:?}"
    );
    for (name, start, part) in [
        ("code", "UnknownLayer: ", "the Lambda 'twice' is code, and none of a file is run"),
        ("none", "NotKeras: ", "spec.source with format Keras must be a .keras file"),
    ] {
        let stalled = space.stalled_model(name, 300).await;
        let said = stalled.says(STALLED);
        assert!(said.starts_with(start) && said.contains(part), "{name}: {said}");
        let failure = stalled.status.and_then(|status| status.last_failure).expect("it failed");
        assert_eq!(failure.phase, "convert");
    }
}
