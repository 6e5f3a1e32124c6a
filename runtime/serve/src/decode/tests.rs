//! Requests as clients write them, and as they should not.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn decode_text(text: &str) -> Result<InferRequest, DecodeError> {
    decode(&Bytes::copy_from_slice(text.as_bytes()), None)
}

fn body(datatype: &str, shape: &str, data: &str) -> String {
    format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#)
}

fn decoded(datatype: &str, shape: &str, data: &str) -> Result<Tensor, String> {
    decode_text(&body(datatype, shape, data))
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
    let request = decode_text(text).unwrap();
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
    let tensor = decoded("BF16", "[1]", "[1.003906250000001]").unwrap();
    assert_eq!(tensor.data.as_ref(), half::bf16::from_bits(0x3f81).to_le_bytes(), "just above the middle");
    // Just above the middle again, and the middle itself as FP32.
    let row = vec!["8.5195313"; 16].join(",");
    let tensor = decoded("FP16", "[16]", &format!("[{row}]")).unwrap();
    assert_eq!(tensor.data.as_ref(), half::f16::from_bits(0x4843).to_le_bytes().repeat(16));
    assert_eq!(decoded("FP16", "[1]", "[65504]").unwrap().data.as_ref(), half::f16::MAX.to_le_bytes());
    for (datatype, bad) in
        [("FP16", "70000"), ("FP16", "65520"), ("FP32", "1e39"), ("FP64", "1e309"), ("BF16", "-1e39")]
    {
        // By itself, and in the middle of a row that is read several numbers at once.
        let row = vec!["7"; 40].join(",");
        for (shape, data) in [("[1]", format!("[{bad}]")), ("[81]", format!("[{row},{bad},{row}]"))] {
            let error = refusal(datatype, shape, &data);
            let expected = format!("is {bad}, expected a number that {datatype} can hold, or null for NaN");
            assert!(error.ends_with(&expected), "{error}");
        }
    }
}

#[test]
fn null_is_a_number_that_is_missing() {
    let body =
        |data: &str| format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[2],"data":{data}}}]}}"#);
    let request = decode_text(&body("[1, null]")).unwrap();
    assert!(request.missing);
    assert_eq!(request.inputs[0].data.as_ref(), [1_f32, f32::NAN].map(f32::to_le_bytes).concat());
    assert!(!decode_text(&body("[1, 2]")).unwrap().missing);
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
    let error = decode_text("{\"inputs\": [\n {\"name\": }]}").unwrap_err().to_string();
    assert!(error.contains("line 2 column"), "{error}");
    let error =
        decode_text("{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[NaN]}]}")
            .unwrap_err();
    assert!(error.to_string().contains("line 1 column"), "{error}");
    let error = decode_text("{}").unwrap_err().to_string();
    assert!(error.contains("has no \"inputs\""), "{error}");
}

#[test]
fn data_may_come_before_what_says_how_to_read_them() {
    let text = r#"{"inputs":[{"data":[[1.5,2]],"shape":[1,2],"name":"x","datatype":"FP16"}]}"#;
    let tensor = decode_text(text).unwrap().inputs.remove(0);
    assert_eq!(tensor.data.as_ref(), [1.5, 2.0].map(|x| half::f16::from_f64(x).to_le_bytes()).concat());
    let text = r#"{"inputs":[{"data":["a"],"shape":[1],"name":"x","datatype":"FP16"}]}"#;
    assert!(decode_text(text).unwrap_err().to_string().contains("input \"x\": element 0 is \"a\""));
}

fn with_binary(json: &str, binary: &[u8]) -> (Bytes, Option<usize>) {
    ([json.as_bytes(), binary].concat().into(), Some(json.len()))
}

#[test]
fn binary_data_are_views_of_the_body_in_the_order_of_the_inputs() {
    let json = r#"{"inputs":[
        {"name":"a","shape":[2],"datatype":"UINT8","parameters":{"binary_data_size":2}},
        {"name":"b","shape":[1],"datatype":"UINT8","data":[9]},
        {"name":"c","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}}]}"#;
    let (body, length) = with_binary(json, &[1, 2, 1, 0, 0, 0, b'z']);
    let request = decode(&body, length).unwrap();
    assert_eq!(request.inputs[0].data.as_ref(), [1, 2]);
    assert_eq!(request.inputs[1].data.as_ref(), [9]);
    assert_eq!(request.inputs[2].strings().unwrap(), ["z"]);
    let range = body.as_ptr_range();
    assert!(range.contains(&request.inputs[0].data.as_ptr()), "it was copied");
}

#[test]
fn binary_data_of_another_length_than_announced_are_refused() {
    let input = |size: &str| {
        format!(
            r#"{{"inputs":[{{"name":"a","shape":[2],"datatype":"UINT8","parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    for (size, bytes) in [("3", 2), ("1", 2), ("9223372036854775807", 2)] {
        let (body, length) = with_binary(&input(size), &vec![0; bytes]);
        let error = decode(&body, length).unwrap_err().to_string();
        assert!(error.contains("2 bytes of binary data"), "{error}");
    }
    let (body, _) = with_binary(&input("2"), &[0; 2]);
    assert!(decode(&body, Some(body.len() + 1)).unwrap_err().to_string().contains("at most the body's"));
    let both = r#"{"inputs":[{"name":"a","shape":[1],"datatype":"UINT8","data":[1],"parameters":{"binary_data_size":1}}]}"#;
    let (body, length) = with_binary(both, &[0]);
    assert!(decode(&body, length).unwrap_err().to_string().contains("both data and binary_data_size"));
}

#[test]
fn each_output_says_how_it_is_written_and_the_request_says_it_for_the_rest() {
    let text = r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":false}},{"name":"z"}],
        "parameters":{"binary_data_output":true}}"#;
    let request = decode_text(text).unwrap();
    assert_eq!(request.outputs, ["y", "z"]);
    assert_eq!([request.form(0).binary, request.form(1).binary], [false, true]);
    let request = decode_text(r#"{"inputs":[],"parameters":{"binary_data_output":true}}"#).unwrap();
    assert!(request.form(5).binary);
}

#[test]
fn extensions_that_are_not_served_are_refused_and_not_ignored() {
    let text = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"shared_memory_region":"r"}}]}"#;
    assert!(decode_text(text).unwrap_err().to_string().contains("shared_memory_region"));
}

#[test]
fn what_a_request_lacks_is_named() {
    let error = |text| decode_text(text).unwrap_err().to_string();
    assert!(
        error(r#"{"inputs":[{"name":"x","shape":[1],"data":[1]}]}"#)
            .contains("input 0 of the request has no \"datatype\"")
    );
    assert!(error(r#"{"inputs":[],"outputs":[{}]}"#).contains("output 0 of the request has no \"name\""));
    assert!(error(r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}"#).contains("has no data"));
    assert!(error(r#"{"inputs":[{"name":7}]}"#).contains("expected a string at line 1 column 20"));
    assert!(error(r#"{"inputs":[{"name":"x","shape":[1.5]}]}"#).contains("expected a size: an integer"));
    assert!(error(r#"{"inputs":[]} x"#).contains("expected nothing after the object"));
    let many = format!(r#"{{"inputs":[{}]}}"#, vec!["{}"; 1025].join(","));
    assert!(error(&many).contains("has no \"name\""));
}

#[test]
fn deep_nesting_and_endless_shapes_are_refused_without_recursion() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(refusal("FP32", "[1]", &deep).contains("nested otherwise"));
    let parameters = format!("{{\"inputs\":[],\"parameters\":{{\"x\":{deep}}}}}");
    assert!(decode_text(&parameters).unwrap_err().to_string().contains("nested at most 64 deep"));
    let shape = format!("[{}]", vec!["1"; 65].join(","));
    assert!(refusal("FP32", &shape, "[1]").contains("at most 64 sizes"));
}

/// Numbers as libraries write them, and a few that are none.
fn element() -> impl Strategy<Value = String> {
    let single = || any::<f32>().prop_filter("JSON has no others", |number| number.is_finite());
    prop_oneof![
        20 => "-?[0-9]\\.[0-9]{1,6}",
        5 => "-?[0-9]\\.[0-9]{7,20}",
        5 => single().prop_map(|number| number.to_string()),
        5 => single().prop_map(|number| f64::from(number).to_string()),
        5 => "-?(0|[1-9][0-9]{0,5})([eE][-+]?[0-9])?",
        1 => "null|-|1\\.|\\.5|00\\.5|1\\.5\\.5|1\\.5 1\\.5|true|\"1\\.5,2\"|\\[|\\]",
    ]
}

fn separator() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(","), Just(", "), Just(",  "), Just(" ,"), Just(",\n")]
}

/// What an array means, by a parser of others; nothing if it is not as it should be.
fn meant(array: &str, count: usize, datatype: &str) -> Option<Vec<u8>> {
    let elements: Vec<Option<Box<serde_json::value::RawValue>>> = serde_json::from_str(array).ok()?;
    let bytes = |element: &Option<Box<serde_json::value::RawValue>>| {
        let text = element.as_ref().map_or("NaN", |element| element.get());
        let (single, double): (f32, f64) = (text.parse().ok()?, text.parse().ok()?);
        // By `half::f16::from_f64` a double goes by way of FP32 and is rounded twice.
        let half = half::f16::from_f32(super::decimal::odd(double));
        let (is_infinite, bytes) = match datatype {
            "FP16" => (half.is_infinite(), half.to_le_bytes().to_vec()),
            "FP32" => (single.is_infinite(), single.to_le_bytes().to_vec()),
            _ => (double.is_infinite(), double.to_le_bytes().to_vec()),
        };
        (!is_infinite).then_some(bytes)
    };
    let bytes: Vec<u8> = elements.iter().map(bytes).collect::<Option<Vec<_>>>()?.concat();
    (elements.len() == count).then_some(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn long_rows_are_read_as_others_read_them(
        elements in prop::collection::vec(element(), 16..80),
        separators in prop::collection::vec(separator(), 80),
        is_mixed in prop_oneof![3 => Just(false), 1 => Just(true)],
        more in prop_oneof![8 => Just(0_usize), 1 => Just(1_usize)],
        datatype in prop_oneof![Just("FP16"), Just("FP32"), Just("FP64")],
    ) {
        let count = elements.len() + more;
        let mut array = "[".to_owned();
        for (place, element) in elements.iter().enumerate() {
            let separator = if is_mixed { separators[place] } else { separators[0] };
            array += if place == 0 { "" } else { separator };
            array += element;
        }
        array += "]";
        let expected = meant(&array, count, datatype);
        let found = decoded(datatype, &format!("[{count}]"), &array);
        prop_assert_eq!(found.as_ref().ok().map(|tensor| tensor.data.to_vec()), expected.clone(), "{} {:?}", array, found);
        let nested = format!("[{array},{array}]");
        let found = decoded(datatype, &format!("[2,{count}]"), &nested);
        let expected = expected.map(|row| [row.clone(), row].concat());
        prop_assert_eq!(found.as_ref().ok().map(|tensor| tensor.data.to_vec()), expected, "{} {:?}", nested, found);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes.into(), None);
    }

    #[test]
    fn any_array_is_judged_without_a_panic(data in "\\[[\\[\\],0-9a\"\\\\{}. eé-]{0,40}\\]", which in 0..14_usize) {
        let _ = decode_text(&body(Datatype::ALL[which].name(), "[2,2]", &data));
    }
}

#[test]
fn tensors_take_their_memory_before_they_are_read_and_give_it_back() {
    let budget = Budget::new(1_000_000, 0);
    let body = |datatype: &str, element: &str, count: usize| -> Bytes {
        let others = format!("{element},").repeat(count - 1);
        format!(
            r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[{count}],"data":[{others}{element}]}}]}}"#
        )
        .into()
    };
    // Two bytes of text are a number of eight, and three a string with its length.
    for (datatype, element, size) in [("FP64", "1", 8), ("INT64", "1", 8), ("BYTES", "\"a\"", 5)] {
        let request = decode_within(Some(&budget), &body(datatype, element, 100_000), None).unwrap();
        assert_eq!(budget.held(), 100_000 * size, "{datatype}");
        drop(request);
        assert_eq!(budget.held(), 0, "{datatype}");
        let refused = decode_within(Some(&budget), &body(datatype, element, 300_000), None).unwrap_err();
        assert!(
            matches!(refused, DecodeError::Memory { refused: Refused::Never { .. }, .. }),
            "{datatype}: {refused}"
        );
        assert_eq!(budget.held(), 0, "{datatype}");
    }
}
