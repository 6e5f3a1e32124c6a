//! Whether requests share runs: by the graph, by a trial, and by the user's own word, of a real serving process.

use std::{fs, path::PathBuf};

use modelwright_runtime::rows;
use serde_json::Value;

use crate::support::{
    onnx::{self, FLOAT, INT64, bytes, constant, floats, model, node, number, value},
    serving::Serving,
};

/// Serves a graph from x to y, and gives what it says of shared runs.
fn said(folder: &tempfile::TempDir, graph: &[u8], arguments: &[&str]) -> (Serving, Value) {
    let path: PathBuf = folder.path().join("model.onnx");
    fs::write(&path, graph).unwrap();
    let serving =
        Serving::start(&[&["--model", path.to_str().unwrap(), "--name", "m"], arguments].concat(), &[]);
    serving.wait_for("ready");
    let status = serving.status();
    (serving, status["sharedRuns"].clone())
}

fn of_x(nodes: &[Vec<u8>]) -> Vec<u8> {
    model(&[nodes.concat(), value(11, "x", FLOAT, &[0, 3]), value(12, "y", FLOAT, &[0, 3])])
}

/// What `quantize_dynamic` makes of a model begins so: a scale for all rows of a run.
fn quantized() -> Vec<u8> {
    of_x(&[
        node("DynamicQuantizeLinear", &["x"], &["q", "scale", "zero"], &bytes(3, "by_all_rows")),
        node("DequantizeLinear", &["q", "scale", "zero"], &["y"], &[]),
    ])
}

#[test]
fn requests_share_runs_of_a_model_whose_graph_shows_independent_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, said) = said(&folder, &onnx::adder(), &[]);
    assert_eq!(said["shared"], true, "{said}");
    assert_eq!(said["reason"], "rows independent: yes");
    assert_eq!(serving.wait_for("requests share runs")["reason"], "rows independent: yes");
    assert_eq!(
        serving.client().get("/v2/models/m/config").json()["parameters"]["max_shared_rows"]["string_value"],
        "64"
    );
}

#[test]
fn requests_share_no_run_of_a_model_that_looks_at_all_rows_and_it_says_which_node_does() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, said) = said(&folder, &quantized(), &[]);
    assert_eq!(said["shared"], false, "{said}");
    let reason = said["reason"].as_str().unwrap();
    assert!(reason.contains("by_all_rows") && reason.contains("DynamicQuantizeLinear"), "{reason}");
    serving.wait_for("requests share no runs");

    // Sixteen clients at once, of rows of very different scales, get what each gets alone.
    let row = |at: usize| [0.01, 1.0, 100.0][at % 3];
    let ask = |at: usize| {
        let input = format!(
            r#"{{"inputs": [{{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [{0}, -{0}, 0.5]}}]}}"#,
            row(at)
        );
        serving.client().post("/v2/models/m/infer", &input).json()["outputs"].clone()
    };
    let alone: Vec<Value> = (0..3).map(ask).collect();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|client| {
                let (alone, ask) = (&alone, &ask);
                scope.spawn(move || {
                    for turn in 0..20 {
                        assert_eq!(ask(client + turn), alone[(client + turn) % 3]);
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
    });
}

#[test]
fn the_trial_refuses_what_the_users_own_word_lets_pass() {
    let folder = tempfile::tempdir().unwrap();
    let (_, said) = said(&folder, &quantized(), &["--rows-independent", "true"]);
    assert_eq!(said["shared"], false, "{said}");
    assert!(
        said["reason"].as_str().unwrap().contains("in a trial, \"y\" of a row was another one"),
        "{said}"
    );
}

#[test]
fn the_users_own_word_goes_for_the_graph() {
    // Nothing times the number of rows is nothing, which the graph does not show.
    let counted = of_x(&[
        node("Size", &["x"], &["size"], &[]),
        node("Mul", &["size", "nothing"], &["none"], &[]),
        node(
            "Cast",
            &["none"],
            &["zero"],
            &bytes(5, [bytes(1, "to"), number(3, FLOAT), number(20, 2)].concat()),
        ),
        node("Add", &["x", "zero"], &["y"], &[]),
        constant("nothing", INT64, &[], &0_i64.to_le_bytes()),
    ]);
    // So that a graph that is followed further does not make this test hold nothing.
    let other = of_x(&[
        node("ReduceMax", &["x"], &["most"], &[]),
        node("Min", &["most", "bound"], &["none"], &[]),
        node("Sub", &["none", "none"], &["zero"], &[]),
        node("Add", &["x", "zero"], &["y"], &[]),
        constant("bound", FLOAT, &[], &floats(&[1.0])),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, &other).unwrap();
    assert!(!rows::of_file(&path).independent);
    let (_, without) = said(&folder, &other, &[]);
    assert_eq!(without["shared"], false, "{without}");
    let (_, with) = said(&folder, &other, &["--rows-independent", "true"]);
    assert_eq!(with["shared"], true, "{with}");
    assert!(with["reason"].as_str().unwrap().contains("rowsIndependent is true"), "{with}");
    let (_, never) = said(&folder, &onnx::adder(), &["--rows-independent", "false"]);
    assert_eq!(never["shared"], false, "{never}");
    let (_, of_zero) = said(&folder, &counted, &[]);
    assert_eq!(of_zero["shared"], true, "a number of rows times 0 is 0: {of_zero}");
}
