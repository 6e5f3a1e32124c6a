//! Whether requests share runs: by the graph, by a trial, and by the user's own word, of a real serving process.

use std::{fs, path::PathBuf};

use modelwright_core::rows;
use serde_json::Value;

use crate::support::{
    onnx::{self, FLOAT, INT64, STRING, bytes, constant, floats, model, node, number, value},
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

/// Numbers of words, as many for each text: 3 for "the", 2 for "cat", 1 for others, 0 behind the end.
fn numbers_of_words() -> Vec<u8> {
    let attribute =
        |name: &str, value: Vec<u8>, kind| bytes(5, [bytes(1, name), value, number(20, kind)].concat());
    let tokenizer = [
        bytes(7, "com.microsoft"),
        attribute("mark", number(3, 0), 2),
        attribute("pad_value", bytes(4, ""), 3),
        attribute("tokenexp", bytes(4, "[a-z]+"), 3),
        attribute("mincharnum", number(3, 1), 2),
    ];
    let encoder = [
        bytes(7, "ai.onnx.ml"),
        attribute("keys_strings", ["", "the", "cat"].map(|key| bytes(9, key)).concat(), 8),
        attribute("values_int64s", [0, 3, 2].map(|value| number(8, value)).concat(), 7),
        attribute("default_int64", number(3, 1), 2),
    ];
    let integers = |name: &str, values: &[i64]| {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        constant(name, INT64, &[values.len() as u64], &data)
    };
    let graph = model(&[
        node("Tokenizer", &["x"], &["words"], &tokenizer.concat()),
        node("LabelEncoder", &["words"], &["numbers"], &encoder.concat()),
        node("Pad", &["numbers", "pads"], &["padded"], &[]),
        node("Slice", &["padded", "from", "to", "along"], &["y"], &[]),
        integers("pads", &[0, 0, 0, 5]),
        integers("from", &[0]),
        integers("to", &[5]),
        integers("along", &[1]),
        value(11, "x", STRING, &[0]),
        value(12, "y", INT64, &[0, 5]),
    ]);
    let domain = |name: &str, version| bytes(8, [bytes(1, name), number(2, version)].concat());
    [graph, domain("com.microsoft", 1), domain("ai.onnx.ml", 4)].concat()
}

#[test]
fn texts_of_other_lengths_share_runs_and_each_has_the_answer_that_it_has_alone() {
    const TEXTS: [(&str, [i64; 5]); 5] = [
        ("the cat", [3, 2, 0, 0, 0]),
        ("", [0; 5]),
        ("a cat that saw the other", [1, 2, 1, 1, 3]),
        ("...", [0; 5]),
        ("cat", [2, 0, 0, 0, 0]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (serving, said) = said(&folder, &numbers_of_words(), &[]);
    assert_eq!((&said["shared"], &said["reason"]), (&true.into(), &"rows independent: yes".into()), "{said}");
    let ask = |texts: &[&str]| {
        let data = serde_json::to_string(texts).unwrap();
        let input = format!(
            r#"{{"inputs": [{{"name": "x", "datatype": "BYTES", "shape": [{}], "data": {data}}}]}}"#,
            texts.len()
        );
        let answer = serving.client().post("/v2/models/m/infer", &input).json();
        let numbers = answer["outputs"][0]["data"].as_array().unwrap_or_else(|| panic!("{answer}"));
        numbers.iter().map(|number| number.as_i64().unwrap()).collect::<Vec<_>>()
    };
    for (text, numbers) in TEXTS {
        assert_eq!(ask(&[text]), numbers, "{text:?}");
    }
    let (texts, numbers): (Vec<&str>, Vec<[i64; 5]>) = TEXTS.into_iter().unzip();
    assert_eq!(ask(&texts), numbers.concat());
    std::thread::scope(|scope| {
        for client in 0..16 {
            let ask = &ask;
            scope.spawn(move || {
                for turn in 0..20 {
                    let (text, numbers) = TEXTS[(client + turn) % TEXTS.len()];
                    assert_eq!(ask(&[text]), numbers, "{text:?}");
                }
            });
        }
    });
}
