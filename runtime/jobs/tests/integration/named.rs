//! What dimensions and classes are called, from the graph and the test part to whoever asks the server.

use modelwright_contract::{
    signature::{Classes, TensorSpec},
    training::Task,
};
use serde_json::json;

use crate::support::{
    programs::Program,
    publishing,
    training::{Run, digits},
};

fn named<'a>(tensors: &'a [TensorSpec], name: &str) -> &'a TensorSpec {
    tensors.iter().find(|tensor| tensor.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_dimensions_and_labels_of_classes_go_with_a_model_to_its_clients() {
    let registry = Program::registry("").await;
    let run = Run::of(&registry.host(), Task::Classification, "classifier", &digits());
    let report = run.publish().await.unwrap();
    let classes = Classes { count: 3, labels: ["10", "20", "30"].map(str::to_owned).to_vec() };
    let probabilities = named(&report.signature.outputs, "probabilities");
    assert_eq!(probabilities.classes, Some(classes.clone()), "the labels of the test part");
    assert_eq!(probabilities.dimensions, ["n", ""], "a fixed size has no name");
    assert_eq!(named(&report.signature.inputs, "x").dimensions, ["n", ""]);
    assert_eq!(named(&report.signature.outputs, "label").classes, None, "its columns have them already");

    let (serving, _volume) = publishing::served(&report, "classifier").await;
    let mut client = serving.client();
    let metadata = client.get("/v2/models/classifier").json();
    let told = |side: &str, name: &str| {
        let tensors = metadata[side].as_array().unwrap();
        tensors.iter().find(|tensor| tensor["name"] == name).unwrap()["parameters"].clone()
    };
    assert_eq!(told("inputs", "x"), json!({"dimensions": ["n", ""]}));
    assert_eq!(told("outputs", "probabilities"), json!({"dimensions": ["n", ""], "classes": classes}));
    let asked = json!({
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 1.0]}],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}],
    });
    let answer = client.post("/v2/models/classifier/infer", &asked.to_string()).json();
    let best = answer["outputs"][0]["data"][0].as_str().unwrap();
    assert!(best.ends_with(":1:20"), "the class is named: {answer}");
    let document = client.get("/openapi.json").json().to_string();
    assert!(document.contains(r#""title":"n""#), "{document}");
}
