//! Requests that get no prediction: a status, and `{"error": …}` that names input, value and what was expected.

use serde_json::{Value, json};

use super::table::Outcome;
use crate::harness::{Space, predict::Endpoint};

/// The largest body that the deployment takes, as its spec says it.
pub const LARGEST_BODY: &str = "4Ki";

type Request = (&'static str, &'static str, String, u16, &'static [&'static str]);

/// An input, as `x` of the model should be but for a change.
fn x(change: Value) -> Value {
    let mut input = json!({"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]});
    crate::harness::resources::merge(&mut input, change);
    input
}

fn inputs(inputs: &[Value]) -> String {
    json!({"inputs": inputs}).to_string()
}

fn rows() -> Vec<Request> {
    let one = |change: Value| inputs(&[x(change)]);
    let right = || x(json!({}));
    let mut without_data = right();
    without_data.as_object_mut().expect("it is a map").remove("data");
    let output = |output: Value| json!({"inputs": [right()], "outputs": [output]}).to_string();
    let infer = "/v2/models/served/infer";
    vec![
        ("another name", infer, one(json!({"name": "z"})), 400, &["\"z\" is not an input", "expected \"x\""]),
        ("no input", infer, inputs(&[]), 400, &["input \"x\" is missing", "FP32 of shape [-1,4]"]),
        ("one input twice", infer, inputs(&[right(), right()]), 400, &["\"x\" is given twice", "once"]),
        (
            "another shape",
            infer,
            one(json!({"shape": [1, 3], "data": [1, 2, 3]})),
            400,
            &["[1,3]", "expected [-1,4]"],
        ),
        (
            "a negative size",
            infer,
            one(json!({"shape": [-1, 4]})),
            400,
            &["\"x\" has shape [-1,4]", "0 or more"],
        ),
        ("another rank", infer, one(json!({"shape": [4]})), 400, &["has shape [4], expected [-1,4]"]),
        ("another datatype", infer, one(json!({"datatype": "INT64"})), 400, &["INT64, expected FP32"]),
        (
            "no datatype",
            infer,
            one(json!({"datatype": "FLOAT"})),
            400,
            &["\"FLOAT\", expected one of", "FP32"],
        ),
        (
            "too few",
            infer,
            one(json!({"data": [1, 2, 3]})),
            400,
            &["data has 3 elements, expected 4", "[1,4]"],
        ),
        ("too many", infer, one(json!({"data": [1, 2, 3, 4, 5]})), 400, &["\"x\"", "expected 4", "[1,4]"]),
        (
            "text for a number",
            infer,
            one(json!({"data": [1, 2, "three", 4]})),
            400,
            &["element 2 is \"three\"", "number"],
        ),
        (
            "out of range",
            infer,
            one(json!({"data": [1, 2, 3, 1e300]})),
            400,
            &["element 3 is 1e+300", "FP32"],
        ),
        (
            "nested otherwise",
            infer,
            one(json!({"data": [[1, 2], [3, 4]]})),
            400,
            &["nested otherwise", "[1,4]"],
        ),
        (
            "no data",
            infer,
            inputs(&[without_data]),
            400,
            &["input \"x\" has no data", "expected a JSON array"],
        ),
        (
            "a missing number",
            infer,
            one(json!({"data": [1, 2, null, 4]})),
            400,
            &["null for a missing number"],
        ),
        (
            "broken JSON",
            infer,
            "{\"inputs\": [".to_owned(),
            400,
            &["is not the JSON of an inference request", "line 1"],
        ),
        ("other JSON", infer, "[]".to_owned(), 400, &["is not the JSON of an inference request"]),
        ("no inputs", infer, "{}".to_owned(), 400, &["has no \"inputs\"", "expected an array of tensors"]),
        (
            "another output",
            infer,
            output(json!({"name": "z"})),
            400,
            &["\"z\" is not an output", "expected \"y\""],
        ),
        (
            "shared memory",
            infer,
            output(json!({"name": "y", "parameters": {"shared_memory_region": "mine"}})),
            400,
            &["shared_memory_region"],
        ),
        (
            "too large a body",
            infer,
            " ".repeat(5000),
            413,
            &["larger than 4096 bytes", "serving.maxRequestBytes"],
        ),
        ("another model", "/v2/models/letters/infer", one(json!({})), 404, &["letters", "served"]),
        ("another version", "/v2/models/served/versions/7/infer", one(json!({})), 404, &["7", "1"]),
        (
            "another path",
            "/v2/models/served/explain",
            one(json!({})),
            404,
            &["nothing at \"/v2/models/served/explain\""],
        ),
        ("another method", "/v2/models/served", String::new(), 405, &["POST is not allowed", "expected GET"]),
    ]
}

/// Sends every one.
pub async fn are_refused(space: &Space, endpoint: &Endpoint) -> Outcome {
    let mut outcome = Outcome::default();
    for (what, path, body, expected, words) in rows() {
        outcome.rows += 1;
        let url = format!("{}{path}", endpoint.base);
        let answer = space.world.http.post(url).body(body).send().await.expect("the server answers");
        let status = answer.status().as_u16();
        let text = answer.bytes().await.expect("its body can be read");
        let said: Value = serde_json::from_slice(&text).unwrap_or_default();
        let error = said["error"].as_str().unwrap_or_default();
        let missing: Vec<_> = words.iter().filter(|word| !error.contains(**word)).collect();
        if status != expected || !missing.is_empty() {
            let text = String::from_utf8_lossy(&text);
            outcome.wrong.push(format!("{what}: {expected} with {missing:?} was expected: {status} {text}"));
        }
    }
    outcome
}
