//! Small ONNX files, built byte by byte, and what the preflight makes of them.
#![allow(clippy::unwrap_used)]

use std::{fs, io::Cursor};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn node(domain: &str, operator: &str) -> Vec<u8> {
    [bytes(1, "x"), bytes(4, operator), bytes(7, domain)].concat()
}

fn opset(domain: &str, version: u64) -> Vec<u8> {
    bytes(8, [bytes(1, domain), number(2, version)].concat())
}

fn model(graph: &[u8], rest: &[u8]) -> Vec<u8> {
    [number(1, 10), bytes(2, "a test"), opset("", 21), bytes(7, graph), rest.to_vec()].concat()
}

fn external(location: &str, offset: &str, length: &str) -> Vec<u8> {
    let pair = |key: &str, value: &str| bytes(13, [bytes(1, key), bytes(2, value)].concat());
    let place = [pair("location", location), pair("offset", offset), pair("length", length)].concat();
    bytes(5, [bytes(8, "weights"), place, number(14, 1)].concat())
}

fn folder(model: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.onnx"), model).unwrap();
    folder
}

fn reason(model: &[u8]) -> &'static str {
    preflight(folder(model).path()).map_or_else(|error| error.reason(), |_| "fine")
}

#[test]
fn a_plain_model_passes_with_its_operator_sets() {
    let graph = bytes(1, node("", "Add"));
    let found = preflight(folder(&model(&graph, &opset("ai.onnx.ml", 3))).path()).unwrap();
    assert_eq!((found.opset, found.ir_version), (21, 10));
    assert_eq!(found.opsets, BTreeMap::from([("ai.onnx".to_owned(), 21), ("ai.onnx.ml".to_owned(), 3)]));
    assert_eq!(found.files, BTreeSet::from(["model.onnx".to_owned()]));
}

#[test]
fn the_longest_text_that_a_row_may_have_is_known() {
    let texts = |name: &str| {
        bytes(
            5,
            [bytes(1, name), bytes(9, "one"), bytes(9, "three"), bytes(9, "seven"), number(20, 8)].concat(),
        )
    };
    let of = |graph: &[u8]| preflight(folder(&model(graph, &[])).path()).unwrap().longest_text;
    assert_eq!(of(&bytes(1, node("", "Add"))), 0);
    let encoder = bytes(1, [node("ai.onnx.ml", "LabelEncoder"), texts("values_strings")].concat());
    assert_eq!(of(&encoder), 5);
    let labels = bytes(5, [number(2, 8), bytes(6, "eleven long")].concat());
    assert_eq!(of(&[encoder.clone(), labels].concat()), 11, "in a tensor");
    let maps = |name: &str| bytes(1, [node("ai.onnx.ml", "ZipMap"), texts(name)].concat());
    assert_eq!(of(&[encoder.clone(), maps("classlabels_strings")].concat()), 13, "a row has all of a map");
    assert_eq!(of(&[encoder, maps("pool_strings_of_it_")].concat()), 5, "and none of a vocabulary");
}

#[test]
fn the_entries_that_a_row_may_have_in_a_map_are_known() {
    let of = |graph: &[u8]| preflight(folder(&model(graph, &[])).path()).unwrap().map_entries;
    let maps = |attribute: Vec<u8>| bytes(1, [node("ai.onnx.ml", "ZipMap"), bytes(5, attribute)].concat());
    let texts = [bytes(9, "one"), bytes(9, "two")].concat();
    let numbers = [number(8, 7), number(8, 700), number(8, 70000)].concat();
    assert_eq!(of(&maps([bytes(1, "classlabels_strings"), texts.clone()].concat())), 2);
    assert_eq!(of(&maps([texts.clone(), bytes(1, "classlabels_strings")].concat())), 2, "in any order");
    assert_eq!(of(&maps([bytes(1, "classlabels_int64s"), numbers].concat())), 3);
    let packed = bytes(8, [1_u8, 2, 3, 4]);
    assert_eq!(of(&maps([bytes(1, "classlabels_int64s"), packed].concat())), 4, "packed");
    assert_eq!(of(&maps([bytes(1, "other_things_of_it"), texts.clone()].concat())), 0);
    let without = bytes(1, [node("ai.onnx.ml", "LinearClassifier"), bytes(5, texts)].concat());
    assert_eq!(of(&without), 0, "no map, no entry");
}

#[test]
fn what_is_no_onnx_is_refused_as_such() {
    for content in [&b""[..], b"<!DOCTYPE html><html></html>", b"PK\x03\x04", &[0xff; 64], b"{\"a\": 1}"] {
        assert_eq!(reason(content), "NotOnnx", "{content:?}");
    }
    assert_eq!(reason(&number(1, 10)), "NotOnnx");
    assert_eq!(reason(&[number(1, 10), bytes(7, bytes(1, node("", "Add")))].concat()), "NotOnnx");
}

#[test]
fn a_model_cut_off_anywhere_is_refused() {
    let whole = [opset("", 21), bytes(7, bytes(1, node("", "Add"))), number(1, 10)].concat();
    assert_eq!(reason(&whole), "fine");
    for length in 0..whole.len() {
        assert_eq!(reason(&whole[..length]), "NotOnnx", "cut at {length}");
    }
}

#[test]
fn custom_operators_are_named_wherever_they_hide() {
    let custom = node("com.example", "Steal");
    let subgraph = bytes(1, [node("", "If"), bytes(5, bytes(6, bytes(1, &custom)))].concat());
    let function = bytes(25, [bytes(1, "F"), bytes(10, "local"), bytes(7, &custom)].concat());
    let training = bytes(20, bytes(2, bytes(1, &custom)));
    let plain = bytes(1, node("", "Add"));
    for bytes in [
        model(&bytes(1, &custom), &[]),
        model(&subgraph, &[]),
        model(&plain, &function),
        model(&plain, &training),
    ] {
        let error = preflight(folder(&bytes).path()).unwrap_err();
        assert_eq!(error.reason(), "CustomOperators");
        assert!(error.to_string().contains("com.example::Steal"), "{error}");
    }
}

#[test]
fn functions_of_the_model_itself_are_no_custom_operators() {
    let function = bytes(25, [bytes(1, "F"), bytes(10, "local"), bytes(7, node("", "Add"))].concat());
    assert_eq!(reason(&model(&bytes(1, node("local", "F")), &function)), "fine");
    assert_eq!(reason(&model(&bytes(1, node("local", "G")), &function)), "CustomOperators");
}

#[test]
fn what_was_saved_for_one_kind_of_processor_is_refused_wherever_it_hides() {
    let blocked = node("com.microsoft.nchwc", "Conv");
    let subgraph = bytes(1, [node("", "If"), bytes(5, bytes(6, bytes(1, &blocked)))].concat());
    let own = [bytes(1, "Conv"), bytes(10, "com.microsoft.nchwc"), bytes(7, node("", "Add"))].concat();
    let plain = bytes(1, node("", "Add"));
    for bytes in [
        model(&bytes(1, &blocked), &[]),
        model(&subgraph, &[]),
        model(&plain, &bytes(25, [bytes(1, "F"), bytes(10, "local"), bytes(7, &blocked)].concat())),
        model(&bytes(1, &blocked), &bytes(25, own)),
    ] {
        let error = preflight(folder(&bytes).path()).unwrap_err();
        assert_eq!(error.reason(), "ProcessorSpecific", "{error}");
        for part in ["com.microsoft.nchwc::Conv", "ORT_ENABLE_EXTENDED"] {
            assert!(error.to_string().contains(part), "{part:?} is missing in: {error}");
        }
    }
    // A list of operator sets names the domain in every file that any level of optimization wrote.
    assert_eq!(reason(&model(&plain, &opset("com.microsoft.nchwc", 1))), "fine");
}

#[test]
fn external_data_beside_the_graph_is_one_of_the_models_files() {
    let folder = folder(&model(&external("./a/w.bin", "2", "3"), &[]));
    let path = folder.path();
    assert_eq!(preflight(path).unwrap_err().reason(), "ExternalDataMissing");
    fs::create_dir(path.join("a")).unwrap();
    fs::write(path.join("a/w.bin"), "1234").unwrap();
    let error = preflight(path).unwrap_err();
    assert_eq!(error.reason(), "ExternalDataMissing");
    assert!(error.to_string().contains("a/w.bin") && error.to_string().contains("byte 5"), "{error}");
    fs::write(path.join("a/w.bin"), "12345").unwrap();
    assert!(preflight(path).unwrap().files.contains("a/w.bin"));
}

#[test]
fn external_data_outside_the_folder_is_refused() {
    for location in [
        "../w.bin",
        "/etc/passwd",
        "a/../../w",
        "",
        "model.onnx",
        "modelwright/golden.json",
        "*/_ORT_MEM_ADDR_/*",
    ] {
        assert_eq!(reason(&model(&external(location, "0", "1"), &[])), "ExternalDataOutside", "{location:?}");
    }
    let folder = folder(&model(&external("a/w.bin", "0", "1"), &[]));
    std::os::unix::fs::symlink("/etc", folder.path().join("a")).unwrap();
    assert_eq!(preflight(folder.path()).unwrap_err().reason(), "ExternalDataOutside");
}

#[test]
fn weights_are_skipped_without_being_read() {
    let weights = bytes(5, [bytes(8, "w"), bytes(9, vec![0xff; 300_000])].concat());
    assert_eq!(reason(&model(&[weights, bytes(1, node("", "Add"))].concat(), &[])), "fine");
}

#[test]
fn nesting_without_end_is_refused() {
    let mut graph = Vec::new();
    for _ in 0..100 {
        graph = bytes(1, bytes(5, bytes(6, graph)));
    }
    assert_eq!(reason(&model(&graph, &[])), "NotOnnx");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(Cursor::new(content));
    }

    #[test]
    fn no_change_of_a_few_bytes_makes_the_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let function = bytes(25, [bytes(1, "F"), bytes(10, "local"), bytes(7, node("", "Add"))].concat());
        let graph = [bytes(1, node("local", "F")), external("w.bin", "0", "3")].concat();
        let mut content = model(&graph, &function);
        for (index, byte) in changes {
            let at = index.index(content.len());
            content[at] = byte;
        }
        let _ = read(Cursor::new(content));
    }
}

/// A graph of one node with one attribute of texts, which is its name, the texts and the kind.
fn with_texts(texts: &[&[u8]]) -> Vec<u8> {
    let texts: Vec<u8> = texts.iter().flat_map(|text| bytes(9, text)).collect();
    let attribute = [bytes(1, "keys_strings"), texts, number(20, 8)].concat();
    bytes(7, bytes(1, [node("ai.onnx.ml", "LabelEncoder"), bytes(5, attribute)].concat()))
}

fn texts_of(graph: &[u8]) -> graph::Texts {
    let model = graph::read(Cursor::new(graph)).unwrap().unwrap();
    let texts = match &model.graph.nodes[0].attributes[0].value {
        graph::Setting::Texts(texts) => Some(texts.clone()),
        _ => None,
    };
    texts.unwrap()
}

#[test]
fn texts_of_attributes_are_kept_and_counted_where_they_are_too_long() {
    let found = texts_of(&with_texts(&[b"", b"cat"]));
    assert_eq!((found.count, found.all), (2, Some(vec![String::new(), "cat".to_owned()])));
    let found = texts_of(&with_texts(&[b"a", &[0xff], b"b"]));
    assert_eq!((found.count, found.all), (3, None), "in another encoding");
    let long = vec![b'a'; 20 << 20];
    assert_eq!(texts_of(&with_texts(&[&long])).all.unwrap()[0].len(), 20 << 20);
    // More than is kept, and more than all else may be: the graph is followed all the same.
    let found = texts_of(&with_texts(&[long.as_slice(); 8]));
    assert!(found.count == 8 && found.all.is_none(), "{} texts", found.count);
}

#[test]
fn texts_of_small_tensors_are_kept() {
    let read = |sizes: &[u64], texts: usize| {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| number(1, *size)).collect();
        let texts: Vec<u8> = (0..texts).flat_map(|text| bytes(6, text.to_string())).collect();
        let tensor = [sizes, number(2, 8), texts, bytes(8, "words")].concat();
        let model = graph::read(Cursor::new(bytes(7, bytes(5, tensor)))).unwrap().unwrap();
        model.graph.constants[0].texts.clone()
    };
    assert_eq!(read(&[], 1), Some(vec!["0".to_owned()]));
    assert_eq!(read(&[1, 2], 2), Some(vec!["0".to_owned(), "1".to_owned()]));
    assert_eq!(read(&[3], 2), None, "fewer than its sizes say");
    assert_eq!(read(&[1024], 1024).unwrap().len(), 1024);
    assert_eq!(read(&[1025], 1025), None);
    assert_eq!(read(&[1024], 1025), None, "more than its sizes say");
}
