//! Requests as clients write them, and as they should not.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn body(datatype: &str, shape: &str, data: &str) -> String {
    format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#)
}

fn decoded(datatype: &str, shape: &str, data: &str) -> Result<Tensor, String> {
    decode(body(datatype, shape, data).as_bytes())
        .map(|mut request| request.inputs.remove(0))
        .map_err(|error| error.to_string())
}

fn refusal(datatype: &str, shape: &str, data: &str) -> String {
    decoded(datatype, shape, data).unwrap_err()
}

#[test]
fn keys_come_in_any_order_and_unknown_ones_are_ignored() {
    let text = r#"{"parameters":{"a":[[{}]]},"outputs":[{"name":"y"}],"extra":1,"id":"7",
        "inputs":[{"data":[1,2],"parameters":{"k":1},"datatype":"UINT8","shape":[2],"name":"x"}]}"#;
    let request = decode(text.as_bytes()).unwrap();
    assert_eq!(request.id.as_deref(), Some("7"));
    assert_eq!(request.outputs, ["y"]);
    assert_eq!(request.inputs[0].data.as_ref(), [1, 2]);
}

#[test]
fn data_are_flat_or_nested_like_the_shape() {
    let flat = decoded("UINT8", "[2,3]", "[1,2,3,4,5,6]").unwrap();
    assert_eq!(flat.data.as_ref(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(decoded("UINT8", "[2,3]", " [ [1,2, 3 ],\n[4,5,6] ] ").unwrap(), flat);
    assert_eq!(decoded("UINT8", "[]", "[7]").unwrap().data.as_ref(), [7]);
    assert!(decoded("UINT8", "[0,3]", "[]").unwrap().data.is_empty());
    assert!(decoded("UINT8", "[2,0]", "[[],[]]").unwrap().data.is_empty());
    for other in
        ["[[1,2],[3,4],[5,6]]", "[[1,2,3],4,5,6]", "[1,2,3,[4,5,6]]", "[[[1,2,3]],[[4,5,6]]]", "[[1,2,3]]"]
    {
        let error = refusal("UINT8", "[2,3]", other);
        assert!(error.contains("nested otherwise than shape [2,3]"), "{other}: {error}");
    }
}

#[test]
fn the_number_of_elements_must_be_that_of_the_shape() {
    assert_eq!(
        refusal("FP32", "[1,4]", "[1,2,3]"),
        "input \"x\": data has 3 elements, expected 4 for shape [1,4]"
    );
    assert_eq!(
        refusal("FP32", "[1,2]", "[1,2,3]"),
        "input \"x\": data has more than 2 elements, expected 2 for shape [1,2]"
    );
    assert!(refusal("FP32", "[-1,2]", "[1,2]").contains("has shape [-1,2], expected sizes of 0 or more"));
    assert!(refusal("FP32", "[9223372036854775807,8]", "[1,2]").contains("whose product can be counted"));
}

#[test]
fn integers_are_exact_and_must_be_in_range() {
    let largest = decoded("UINT64", "[2]", "[18446744073709551615,0]").unwrap();
    assert_eq!(largest.data[..8], u64::MAX.to_le_bytes());
    let smallest = decoded("INT64", "[1]", "[-9223372036854775808]").unwrap();
    assert_eq!(smallest.data.as_ref(), i64::MIN.to_le_bytes());
    let odd = decoded("INT64", "[1]", "[9007199254740993]").unwrap();
    assert_eq!(odd.data.as_ref(), 9_007_199_254_740_993_i64.to_le_bytes());
    for (datatype, bad) in [
        ("UINT8", "256"),
        ("UINT8", "-1"),
        ("INT8", "128"),
        ("INT64", "9223372036854775808"),
        ("INT32", "1.0"),
        ("INT32", "1e3"),
    ] {
        let error = refusal(datatype, "[1]", &format!("[{bad}]"));
        assert_eq!(
            error,
            format!(
                "input \"x\": element 0 is {bad}, expected an integer, without point or exponent, that {datatype} can hold"
            )
        );
    }
}

#[test]
fn floating_point_numbers_are_rounded_once_and_may_not_overflow() {
    // Just above the middle between two FP32 neighbours: by way of FP64 it would be rounded down.
    let text = "1.000000059604644775390625000000000000001";
    let tensor = decoded("FP32", "[1]", &format!("[{text}]")).unwrap();
    assert_eq!(tensor.data.as_ref(), 1.000_000_1_f32.to_le_bytes());
    assert_eq!(decoded("FP16", "[1]", "[65504]").unwrap().data.as_ref(), half::f16::MAX.to_le_bytes());
    for (datatype, bad) in [("FP16", "70000"), ("FP32", "1e39"), ("FP64", "1e309"), ("BF16", "-1e39")] {
        let error = refusal(datatype, "[1]", &format!("[{bad}]"));
        assert!(
            error
                .ends_with(&format!("is {bad}, expected a number that {datatype} can hold, or null for NaN")),
            "{error}"
        );
    }
}

#[test]
fn null_is_a_number_that_is_missing() {
    let body =
        |data: &str| format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[2],"data":{data}}}]}}"#);
    let request = decode(body("[1, null]").as_bytes()).unwrap();
    assert!(request.missing);
    assert_eq!(request.inputs[0].data.as_ref(), [1_f32, f32::NAN].map(f32::to_le_bytes).concat());
    assert!(!decode(body("[1, 2]").as_bytes()).unwrap().missing);
    for datatype in ["FP16", "BF16", "FP64"] {
        let tensor = decoded(datatype, "[1]", "[null]").unwrap();
        let zeros = tensor.data.iter().all(|byte| *byte == 0);
        assert!(!zeros && tensor.data.len() == tensor.datatype.size().unwrap(), "{datatype}");
    }
}

#[test]
fn a_value_of_another_kind_is_refused() {
    for (datatype, bad) in [
        ("FP32", "\"1\""),
        ("FP32", "true"),
        ("INT32", "null"),
        ("FP32", "{\"a\":[1,2]}"),
        ("BOOL", "1"),
        ("BYTES", "1"),
        ("INT8", "\"1\""),
    ] {
        let error = refusal(datatype, "[1]", &format!("[{bad}]"));
        assert!(error.contains("element 0 is "), "{datatype} {bad}: {error}");
    }
    assert!(refusal("FP32", "[1]", "1").contains("data is 1, expected a JSON array"));
    assert!(refusal("FP32", "[1]", "\"AAAA\"").contains("expected a JSON array"));
    assert!(refusal("FP31", "[1]", "[1]").contains("has datatype \"FP31\", expected one of BOOL, UINT8"));
}

#[test]
fn strings_keep_their_escapes_commas_and_brackets() {
    let tensor = decoded("BYTES", "[3]", r#"["a,]\"b\\","\u00e9","{["]"#).unwrap();
    assert_eq!(tensor.strings().unwrap(), ["a,]\"b\\", "é", "{["]);
}

#[test]
fn broken_json_is_refused_with_its_position() {
    let error = decode(b"{\"inputs\": [\n {\"name\": }]}").unwrap_err().to_string();
    assert!(error.contains("line 2 column"), "{error}");
    let error = decode(b"{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[NaN]}]}")
        .unwrap_err();
    assert!(error.to_string().contains("line 1 column"), "{error}");
    let error = decode(b"{}").unwrap_err().to_string();
    assert!(error.contains("missing field `inputs`"), "{error}");
}

#[test]
fn extensions_that_are_not_served_are_refused_and_not_ignored() {
    let text =
        r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}"#;
    assert!(decode(text.as_bytes()).unwrap_err().to_string().contains("binary_data"));
    let text = r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#;
    assert!(decode(text.as_bytes()).unwrap_err().to_string().contains("binary_data: false"));
    let text = r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":false}}]}"#;
    assert!(decode(text.as_bytes()).is_ok());
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(refusal("FP32", "[1]", &deep).contains("nested otherwise"));
    let parameters = format!("{{\"inputs\":[],\"parameters\":{{\"x\":{deep}}}}}");
    assert!(decode(parameters.as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn any_array_is_judged_without_a_panic(data in "\\[[\\[\\],0-9a\"\\\\{}. eé-]{0,40}\\]", which in 0..14_usize) {
        let _ = decode(body(Datatype::ALL[which].name(), "[2,2]", &data).as_bytes());
    }
}
