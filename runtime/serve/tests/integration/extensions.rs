//! Extensions of the protocol over HTTP against the real process: binary data, compression, classification; and clients
//! that misbehave.

use std::io::Write;

use modelwright_core::tensor::{Datatype, encode_strings};
use serde_json::json;

use crate::support::serving::{Serving, one_input};

const ONES: &str = r#"{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}"#;

#[test]
fn every_datatype_is_served_as_binary_data_aligned_or_not() {
    for datatype in Datatype::ALL {
        let name = format!("identity_{}", datatype.name().to_lowercase());
        let serving = Serving::model(&name, &[]);
        let data = match datatype {
            Datatype::Bool => vec![1, 0],
            Datatype::Bytes => encode_strings(["Grüße", ""]).unwrap().to_vec(),
            other => {
                (1..=2 * other.size().unwrap()).map(|byte| u8::try_from(byte * 15 % 251).unwrap()).collect()
            }
        };
        // Spaces in the JSON move the data behind it to every alignment.
        for spaces in 0..9 {
            let json = format!(
                r#"{}{{"id":"7","inputs":[{{"name":"x","datatype":"{datatype}","shape":[1,2],"parameters":{{"binary_data_size":{}}}}}],
                "outputs":[{{"name":"y","parameters":{{"binary_data":true}}}}]}}"#,
                " ".repeat(spaces),
                data.len()
            );
            let headers = format!("inference-header-content-length: {}\r\n", json.len());
            let body = [json.as_bytes(), &data].concat();
            let path = format!("/v2/models/{name}/infer");
            let answer = serving.client().send_bytes("POST", &path, &headers, &body).unwrap();
            assert_eq!(answer.status, 200, "{datatype}: {answer:?}");
            let (json, binary) = answer.binary();
            let size = data.len();
            let expected = json!({"model_name": name, "model_version": "1", "id": "7", "outputs": [{"name": "y",
                "datatype": datatype.name(), "shape": [1, 2], "parameters": {"binary_data_size": size}}]});
            assert_eq!((json, binary), (expected, data.clone()), "{datatype}");
        }
    }
}

#[test]
fn a_large_binary_tensor_comes_back_as_it_was_in_many_pieces() {
    let serving = Serving::model("identity_fp32", &[]);
    let numbers: Vec<u8> =
        (0_u32..600_000).flat_map(|i| f32::from_bits(i.wrapping_mul(7919)).to_le_bytes()).collect();
    let json = format!(
        r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[600,1000],"parameters":{{"binary_data_size":{}}}}}],
        "parameters":{{"binary_data_output":true}}}}"#,
        numbers.len()
    );
    let headers = format!("inference-header-content-length: {}\r\n", json.len());
    let body = [json.as_bytes(), &numbers].concat();
    let answer =
        serving.client().send_bytes("POST", "/v2/models/identity_fp32/infer", &headers, &body).unwrap();
    assert_eq!(answer.binary().1, numbers);
}

#[test]
fn bodies_and_answers_may_be_compressed_within_the_limit() {
    use modelwright_serve::{
        budget::{Budget, Room},
        compress::{Encoding, deflate, inflate},
    };
    let room = || Room::new(&Budget::new(usize::MAX, 0), usize::MAX);
    let serving = Serving::model("identity_fp32", &["--max-request-bytes", "100000"]);
    let path = "/v2/models/identity_fp32/infer";
    let body = one_input("x", "FP32", "[1,1000]", &format!("[{}1]", "1,".repeat(999)));
    let plain = serving.client().post(path, &body).body;
    for encoding in [Encoding::Gzip, Encoding::Deflate] {
        let name = encoding.name();
        let headers = format!("content-encoding: {name}\r\naccept-encoding: {name}\r\n");
        let small = deflate(encoding, std::iter::once(body.as_bytes())).unwrap();
        let answer = serving.client().send_bytes("POST", path, &headers, &small).unwrap();
        assert_eq!((answer.status, answer.headers["content-encoding"].as_str()), (200, name), "{answer:?}");
        let inflated = inflate(encoding, &answer.bytes, 1_000_000, room(), |_| 0).unwrap();
        assert_eq!(inflated, plain);
        // A small answer is not compressed, nor is one to a client that names all it knows.
        let one = one_input("x", "FP32", "[1,1]", "[1]");
        let answer = serving.client().send("POST", path, &headers.replace("content", "x"), &one).unwrap();
        assert_eq!(answer.json()["outputs"][0]["data"], json!([1.0]), "{answer:?}");
        assert!(!answer.headers.contains_key("content-encoding"));
        let many = "accept-encoding: gzip, deflate, br\r\n";
        let answer = serving.client().send("POST", path, many, &body).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, plain.as_str()));
        assert!(!answer.headers.contains_key("content-encoding"));
        let bomb = deflate(encoding, std::iter::once(&vec![b' '; 1_000_000][..])).unwrap();
        let answer = serving.client().send_bytes("POST", path, &headers, &bomb).unwrap();
        assert_eq!(answer.status, 413, "{answer:?}");
    }
}

#[test]
fn the_best_classes_are_answered_by_name() {
    let serving = Serving::model("zipmap", &[]);
    let mut client = serving.client();
    let body = |outputs: &str| {
        format!(
            r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[2,3],"data":[0.25,0.125,0.75,0.5,1,0]}}]{outputs}}}"#
        )
    };
    let asked = r#","outputs":[{"name":"probabilities","parameters":{"classification":2}}]"#;
    let answer = client.post("/v2/models/zipmap/infer", &body(asked));
    let outputs = json!([{"name": "probabilities", "datatype": "BYTES", "shape": [2, 2],
        "data": ["0.75:0:bird", "0.25:1:cat", "1:2:dog", "0.5:1:cat"]}]);
    assert_eq!(answer.json()["outputs"], outputs);
    let all = client.post("/v2/models/zipmap/infer", &body("")).json();
    assert_eq!(all["outputs"][0]["shape"], json!([2, 3]));
    assert_eq!(all["outputs"][1]["data"], json!(["bird", "cat", "dog"]));
    let keys = asked.replace("probabilities\"", "probabilities.keys\"");
    let refused = client.post("/v2/models/zipmap/infer", &body(&keys));
    assert_eq!(refused.status, 400);
    assert!(refused.error().contains("has no classes: it is BYTES"), "{}", refused.error());
}

#[test]
fn a_client_that_does_not_read_its_answer_is_given_up() {
    let serving = Serving::model("identity_fp32", &["--timeout", "2000"]);
    let mut client = serving.client();
    let elements = 8_000_000_usize;
    let json = format!(
        r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,{elements}],"parameters":{{"binary_data_size":{}}}}}],
        "parameters":{{"binary_data_output":true}}}}"#,
        4 * elements
    );
    let length = json.len() + 4 * elements;
    let head = format!(
        "POST /v2/models/identity_fp32/infer HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\
         inference-header-content-length: {}\r\n\r\n{json}",
        json.len()
    );
    client.stream.get_mut().write_all(head.as_bytes()).unwrap();
    client.stream.get_mut().write_all(&vec![0; 4 * elements]).unwrap();
    serving.wait_for_metric("modelwright_connections_open", 1.0);
    serving.wait_for_metric("modelwright_connections_open", 0.0);
    assert!(client.receive().is_err(), "the answer was cut");
}

#[test]
fn a_head_without_end_is_refused_and_the_server_serves_on() {
    let serving = Serving::model("linear", &[]);
    let mut client = serving.client();
    let head =
        format!("POST /v2/models/linear/infer HTTP/1.1\r\nhost: t\r\nx-long: {}", "a".repeat(1_000_000));
    // It may be refused before all of it is written.
    let _ = client.stream.get_mut().write_all(head.as_bytes());
    // The client keeps its end: it is the server that lets go.
    serving.wait_for_metric("modelwright_connections_open", 0.0);
    match client.receive() {
        Ok(answer) => assert_eq!(answer.status, 431, "{answer:?}"),
        // What it did not read of the head may have the system take its answer back.
        Err(error) => {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it was never refused: {error}");
        }
    }
    assert_eq!(serving.client().post("/v2/models/linear/infer", ONES).status, 200);
}
