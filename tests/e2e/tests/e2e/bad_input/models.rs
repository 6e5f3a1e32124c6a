//! Files that are no model, or none that can be served.

use std::fs;

use serde_json::json;

use super::table::{End::Failed, Row, row};
use crate::harness::{
    Space,
    images::repository,
    onnx::{Affine, Single, Weight},
    resources::model,
};

const RIGHT: Single<'static> = Single::RIGHT;

/// Every row, with its file where it can be fetched.
pub async fn rows(space: &Space) -> Vec<Row> {
    let whole = Affine { factor: 2.0, summand: 1.0 }.bytes();
    let cut = whole[..whole.len() - 3].to_vec();
    let sequence = fs::read(repository().join("runtime/tests/models/sequence.onnx"))
        .expect("the runtime's tests have a model with a sequence");
    let html = b"<html>log in first</html>".to_vec();
    let whole_model = "the file is no whole ONNX model";
    let files: Vec<(&str, Vec<u8>, &'static str, Vec<&str>)> = vec![
        ("page", html, "NoContent", vec!["it is a web page", "name the address of the file itself"]),
        ("cut", cut, "NotOnnx", vec![whole_model, "copied in full"]),
        ("empty", Vec::new(), "NotOnnx", vec![whole_model]),
        (
            "opset",
            Single { opset: 999, ..RIGHT }.bytes(),
            "UnsupportedOperatorSet",
            vec!["operator sets ai.onnx 999", "export it for an older one", "opset_version=21"],
        ),
        (
            "custom",
            Single { operator: "Steal", domain: "com.example", ..RIGHT }.bytes(),
            "CustomOperators",
            vec!["com.example::Steal", "export it with standard operators"],
        ),
        ("unknown", Single { operator: "Conjure", ..RIGHT }.bytes(), "LoadFailed", vec!["Conjure"]),
        (
            "outside",
            Single { weight: Weight::Elsewhere("../../etc/passwd"), ..RIGHT }.bytes(),
            "ExternalDataOutside",
            vec!["the weights of \"w\"", "\"../../etc/passwd\"", "refused"],
        ),
        (
            "absent",
            Single { weight: Weight::Elsewhere("weights.bin"), ..RIGHT }.bytes(),
            "ExternalDataMissing",
            vec!["the weights of \"w\"", "\"weights.bin\"", "name a folder"],
        ),
        (
            "first-run",
            Single { operator: "Gather", weight: Weight::Row(1_000_000), ..RIGHT }.bytes(),
            "RunFailed",
            vec!["Gather", "1000000"],
        ),
        ("sequence", sequence, "UnsupportedSignature", vec!["Open Inference Protocol cannot carry"]),
    ];
    let mut rows = Vec::new();
    for (name, content, reason, words) in files {
        let uri = space.serve_bytes(&format!("{name}.onnx"), content).await;
        rows.push(row(model(name, &uri, json!({})), Failed(reason), words.into_iter().chain(["spec.rerun"])));
    }
    rows
}
