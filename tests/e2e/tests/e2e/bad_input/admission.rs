//! What the API server refuses: the schema and the rules over several fields, each with what to do.

use serde_json::{Value, json};

use super::{
    evaluations,
    table::{End::Refused, Row, row},
};
use crate::harness::{
    datasets,
    resources::{deployment, merge, model},
};

const URI: &str = "https://models.example.com/digits.onnx";

/// A training that is right, with a change.
pub fn trained(change: Value) -> Value {
    let mut spec = datasets::training(json!({
        "data": {"uri": "s3://bucket/digits.csv", "label": "digit"},
        "candidates": [{"name": "tree", "algorithm": "DecisionTree"}],
    }));
    merge(&mut spec, change);
    datasets::model("digits", spec)
}

fn served(change: Value) -> Value {
    deployment("digits", "digits", change)
}

/// A change of a right Model's whole.
pub fn imported(change: Value) -> Value {
    let mut object = model("digits", URI, json!({}));
    merge(&mut object, change);
    object
}

fn source(uri: &str) -> Value {
    model("digits", uri, json!({}))
}

/// Every row.
pub fn rows() -> Vec<Row> {
    let long = "m".repeat(41);
    let mut both = trained(json!({}));
    both["spec"]["source"] = json!({"uri": URI});
    let mut neither = imported(json!({}));
    neither["spec"] = json!({"rerun": "1"});
    let mut nameless = trained(json!({}));
    nameless["spec"]["training"]["data"].as_object_mut().expect("it is a map").remove("label");
    let one_of = "exactly one of source (import an ONNX model) and training";
    [identity(&long), sources(), trainings(), networks(), kinds_of_rows(), evaluations::rows(), deployments()]
        .into_iter()
        .flatten()
        .chain([
            row(both, Refused, [one_of]),
            row(neither, Refused, [one_of]),
            row(nameless, Refused, ["spec.training.data.label: Required value"]),
        ])
        .collect()
}

fn identity(long: &str) -> Vec<Row> {
    let name = |of: &str| {
        format!(
            "metadata.name must have at most 40 characters: names of {of} and pods are made from it; choose a shorter one"
        )
    };
    let mut deployment_named = served(json!({}));
    deployment_named["metadata"]["name"] = json!(long);
    let mut with_a_dot = served(json!({}));
    with_a_dot["metadata"]["name"] = json!("my.model");
    vec![
        row(imported(json!({"metadata": {"name": long}})), Refused, [name("versions")]),
        row(deployment_named, Refused, [name("revisions")]),
        row(
            with_a_dot,
            Refused,
            [
                "metadata.name is my.model, and a Service, which has the same name, cannot have a dot in it: use a name such as my-model",
            ],
        ),
        row(
            imported(json!({"spec": {"source": {"url": "x"}}})),
            Refused,
            ["unknown field \"spec.source.url\""],
        ),
        row(trained(json!({"gate": []})), Refused, ["unknown field \"spec.training.gate\""]),
        row(served(json!({"replica": 2})), Refused, ["unknown field \"spec.replica\""]),
        row(
            imported(json!({"spec": {"history": {"keep": 0}}})),
            Refused,
            ["spec.history.keep in body should be greater than or equal to 1"],
        ),
        row(
            imported(json!({"spec": {"scheduling": {"podLabels": {"modelwright.dev/model": "x"}}}})),
            Refused,
            ["scheduling.podLabels must not set keys of modelwright.dev/"],
        ),
    ]
}

fn sources() -> Vec<Row> {
    let pinned = |pin: Value| model("digits", URI, pin);
    vec![
        row(
            source("ftp://host/digits.onnx"),
            Refused,
            [
                "source.uri must start with oci://, s3://, https://, http:// or pvc:// and name a host, bucket or \
                 claim, for example s3://bucket/digits.onnx",
            ],
        ),
        row(
            source("s3://bucket"),
            Refused,
            [
                "source.uri must name a path behind the bucket or claim, for example s3://bucket/digits.onnx or \
                 pvc://claim/digits.onnx",
            ],
        ),
        row(
            model("digits", "pvc://claim/digits.onnx", json!({"credentialsSecret": "modelwright-pvc"})),
            Refused,
            ["source.credentialsSecret does not apply to a pvc:// source; remove it"],
        ),
        row(
            pinned(json!({"sha256": "AB".repeat(32)})),
            Refused,
            ["spec.source.sha256 in body should match '^[0-9a-f]{64}$'"],
        ),
        row(
            pinned(json!({"credentialsSecret": "admin"})),
            Refused,
            ["spec.source.credentialsSecret in body should match '^modelwright-"],
        ),
        row(source(&format!("https://host/{}", "x".repeat(2100))), Refused, ["spec.source.uri", "2048"]),
        row(source(""), Refused, ["spec.source.uri"]),
    ]
}

fn trainings() -> Vec<Row> {
    let gate = |gate: Value| trained(json!({"gates": [gate]}));
    let step = |step: Value| trained(json!({"preprocess": [step]}));
    let many: Vec<_> =
        (0..33).map(|number| json!({"name": format!("c{number}"), "algorithm": "DecisionTree"})).collect();
    vec![
        row(
            trained(json!({"candidates": []})),
            Refused,
            ["training.candidates is empty: name at least one algorithm to train, for example"],
        ),
        row(trained(json!({"candidates": many})), Refused, ["spec.training.candidates", "must have at most"]),
        row(
            gate(json!({"metric": "R2", "min": "0.5"})),
            Refused,
            ["training.gates has a metric of the other task"],
        ),
        row(
            gate(json!({"metric": "Accuracy", "min": "95%"})),
            Refused,
            ["spec.training.gates[0].min in body should match"],
        ),
        row(
            gate(json!({"metric": "Accuracy"})),
            Refused,
            ["a gate needs min, max or both, as decimal strings"],
        ),
        row(gate(json!({"metric": "Acuracy", "min": "0.9"})), Refused, ["\"Acuracy\"", "supported values:"]),
        row(
            trained(json!({"task": "Clustering"})),
            Refused,
            ["spec.training.task: Unsupported value: \"Clustering\""],
        ),
        row(
            trained(json!({"selection": {"metric": "R2"}})),
            Refused,
            ["training.selection.metric is one of the other task"],
        ),
        row(
            trained(json!({"trainer": {"library": "ScikitLearn", "image": "a/b:1"}})),
            Refused,
            ["training.trainer takes exactly one of library (built in) and image (your own)"],
        ),
        row(
            trained(json!({"trainer": {"library": "ScikitLearn", "args": ["--rounds"]}})),
            Refused,
            ["training.trainer.command and args apply to an own image only; remove them"],
        ),
        row(
            trained(json!({"data": {"uri": "gs://b/x.csv"}})),
            Refused,
            ["training.data.uri must start with oci://, s3://"],
        ),
        row(
            trained(json!({"data": {"format": "TSV"}})),
            Refused,
            ["spec.training.data.format: Unsupported value: \"TSV\"", "\"CSV\""],
        ),
        row(
            step(json!({"scale": {"method": "Log"}})),
            Refused,
            ["Unsupported value: \"Log\"", "\"Standard\""],
        ),
        row(
            step(json!({"scale": {"method": "Standard"}, "oneHot": {}})),
            Refused,
            ["a step of training.preprocess takes exactly one of impute, scale, oneHot and"],
        ),
        row(
            step(json!({"impute": {"strategy": "Constant"}})),
            Refused,
            ["impute.fillValue belongs to strategy Constant, which needs it"],
        ),
        row(
            trained(json!({"split": {"test": "20%"}})),
            Refused,
            ["spec.training.split.test in body should match"],
        ),
        row(
            trained(json!({"run": {"suspend": true, "queueName": "team"}})),
            Refused,
            ["training.run.suspend does not go with queueName"],
        ),
        row(
            trained(json!({"run": {"priorityClass": "high"}})),
            Refused,
            ["training.run.priorityClass is Kueue's and needs training.run.queueName"],
        ),
        row(
            trained(json!({"run": {"activeDeadlineSeconds": 0}})),
            Refused,
            ["spec.training.run.activeDeadlineSeconds in body should be greater than or equal to 1"],
        ),
        row(
            trained(json!({"candidates": [
                {"name": "tree", "algorithm": "DecisionTree"}, {"name": "tree", "algorithm": "DecisionTree"},
            ]})),
            Refused,
            ["spec.training.candidates[1]: Duplicate value: {\"name\":\"tree\"}"],
        ),
        row(
            trained(json!({"candidates": [{"name": "Tree 1", "algorithm": "DecisionTree"}]})),
            Refused,
            ["spec.training.candidates[0].name"],
        ),
    ]
}

fn networks() -> Vec<Row> {
    let layers = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|at| json!({"name": format!("l{at}"), "type": "Dense", "parameters": {"units": 3}}))
            .collect()
    };
    let net = |candidate: Value| {
        let mut all = json!({"name": "net"});
        merge(&mut all, candidate);
        trained(json!({"candidates": [all]}))
    };
    let by = |trainer: Value| {
        trained(json!({"trainer": trainer, "candidates": [{"name": "net", "layers": layers(1)}]}))
    };
    let one = "a candidate takes exactly one of algorithm";
    vec![
        row(net(json!({})), Refused, [one]),
        row(net(json!({"algorithm": "SVM", "layers": layers(1)})), Refused, [one]),
        row(net(json!({"layers": []})), Refused, ["layers", "should have at least 1 items"]),
        row(net(json!({"layers": layers(129)})), Refused, ["layers: Too many: 129", "at most 128"]),
        row(
            net(json!({"algorithm": "SVM", "optimizer": {"type": "Adam"}})),
            Refused,
            ["loss, optimizer and callbacks of a candidate belong to layers"],
        ),
        row(by(json!({"library": "ScikitLearn"})), Refused, ["layers are trained by Keras"]),
        row(by(json!({"image": "a/b:1"})), Refused, ["layers are trained by Keras"]),
        row(by(json!({"python": {"inline": "pass"}})), Refused, ["layers are trained by Keras"]),
        row(
            trained(json!({"from": {"version": 1}})),
            Refused,
            ["training.from and training.run.checkpoint are for networks"],
        ),
        row(
            trained(json!({"run": {"checkpoint": {"claim": "kept"}}})),
            Refused,
            ["training.from and training.run.checkpoint are for networks"],
        ),
        row(
            trained(json!({"trainer": {"python": {}}})),
            Refused,
            ["training.trainer.python takes exactly one of inline"],
        ),
        row(
            trained(json!({"trainer": {"python": {"configMap": {"name": "code", "key": "train.py"}}}})),
            Refused,
            ["training.trainer.python.configMap and sha256 belong together"],
        ),
    ]
}

fn kinds_of_rows() -> Vec<Row> {
    let data = |data: Value| trained(json!({"data": data}));
    let window = |more: Value| {
        let mut training = json!({"task": "Regression", "data": {"window": {"past": 3}}});
        merge(&mut training, more);
        trained(training)
    };
    vec![
        row(
            data(json!({"format": "NPZ", "images": {}, "sequences": {}})),
            Refused,
            ["training.data takes at most one of images, sequences, text and window"],
        ),
        row(data(json!({"images": {}})), Refused, ["training.data.images goes with format NPZ"]),
        row(
            data(json!({"format": "NPZ", "images": {"height": 28}})),
            Refused,
            ["training.data.images.height and width belong together"],
        ),
        row(data(json!({"sequences": {}})), Refused, ["training.data.sequences of CSV needs id and order"]),
        row(data(json!({"sequences": {"id": "a"}})), Refused, ["sequences.id and order belong together"]),
        row(
            data(json!({"format": "NPZ", "sequences": {"id": "a", "order": "b"}})),
            Refused,
            ["training.data.sequences goes with format NPZ (without id and order)"],
        ),
        row(
            data(json!({"format": "NPZ", "text": {}})),
            Refused,
            ["training.data.text and window are of a table"],
        ),
        row(
            data(json!({"format": "NPZ", "inputs": "Matrix"})),
            Refused,
            ["training.data.inputs is for tables"],
        ),
        row(data(json!({"window": {"past": 3}})), Refused, ["training.data.window predicts a number"]),
        row(window(json!({"split": {"by": "Random"}})), Refused, ["training.split.by is Random"]),
        row(window(json!({"split": {"stratify": true}})), Refused, ["training.split.stratify is true"]),
        row(
            trained(json!({"data": {"test": {"uri": "s3://b/t.csv"}}, "split": {"test": "0.1"}})),
            Refused,
            ["training.split.test is a share of the data"],
        ),
        row(
            trained(json!({"data": {"text": {}}, "preprocess": [{"oneHot": {}}]})),
            Refused,
            ["training.preprocess is for the columns of a table"],
        ),
        row(
            data(json!({"test": {"uri": "ftp://b/t.csv"}})),
            Refused,
            ["training.data.test.uri must start with"],
        ),
    ]
}

fn deployments() -> Vec<Row> {
    vec![
        row(
            served(json!({"serving": {"timeout": "soon"}})),
            Refused,
            ["spec.serving.timeout in body should match"],
        ),
        row(
            served(json!({"serving": {"batching": {"maxDelay": "2ms"}}})),
            Refused,
            ["spec.serving.batching.maxDelay applies where", "name CUDA", "mode to Latency"],
        ),
        row(
            served(json!({"accelerator": {"executionProviders": ["TPU"]}})),
            Refused,
            ["spec.accelerator.executionProviders[0]: Unsupported value: \"TPU\"", "\"CUDA\""],
        ),
        row(
            served(json!({"replicas": -1})),
            Refused,
            ["spec.replicas in body should be greater than or equal to 0"],
        ),
        row(served(json!({"replicas": "two"})), Refused, ["spec.replicas", "integer"]),
        row(
            served(json!({"version": 0})),
            Refused,
            ["spec.version in body should be greater than or equal to 1"],
        ),
        row(
            served(json!({"scheduling": {"podLabels": {"app.kubernetes.io/name": "x"}}})),
            Refused,
            ["scheduling.podLabels must not set keys of modelwright.dev/, app.kubernetes.io/"],
        ),
    ]
}
