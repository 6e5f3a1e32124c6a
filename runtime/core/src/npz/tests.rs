//! Files that NumPy wrote, files that are wrong in one place, and any bytes.
#![allow(clippy::unwrap_used, clippy::panic)]
use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::tensor::Datatype;

fn open(bytes: &[u8]) -> Result<Npz, NpzError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Npz::read(file)
}

/// The array `x` of a file, or what is wrong.
fn read(bytes: &[u8]) -> Result<Array, String> {
    let mut npz = open(bytes).map_err(|error| error.to_string())?;
    npz.array("x").map(|array| array.expect("the file has an x")).map_err(|error| error.to_string())
}

fn x(array: Vec<u8>) -> Vec<u8> {
    modelwright_testing::npz::npz(&[("x", array)])
}

fn reference(name: &str) -> Npz {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference").join(name);
    Npz::open(&path).unwrap()
}

#[test]
fn numpys_own_files_are_read_stored_and_deflated() {
    for file in ["stored.npz", "deflated.npz"] {
        let mut npz = reference(file);
        assert_eq!(npz.names().count(), 19, "{file}");
        assert!(npz.array("nothing").unwrap().is_none());
        for (name, datatype, last) in [
            ("b1", Datatype::Bool, vec![1]),
            ("i1", Datatype::Int8, vec![23]),
            ("i2", Datatype::Int16, 23_i16.to_le_bytes().to_vec()),
            ("i4", Datatype::Int32, 23_i32.to_le_bytes().to_vec()),
            ("i8", Datatype::Int64, 23_i64.to_le_bytes().to_vec()),
            ("u1", Datatype::Uint8, vec![23]),
            ("u2", Datatype::Uint16, 23_u16.to_le_bytes().to_vec()),
            ("u4", Datatype::Uint32, 23_u32.to_le_bytes().to_vec()),
            ("u8", Datatype::Uint64, 23_u64.to_le_bytes().to_vec()),
            ("f2", Datatype::Fp16, half::f16::from_f32(23.0).to_le_bytes().to_vec()),
            ("f4", Datatype::Fp32, 23_f32.to_le_bytes().to_vec()),
            ("f8", Datatype::Fp64, 23_f64.to_le_bytes().to_vec()),
        ] {
            let array = npz.array(name).unwrap().unwrap();
            let tensor = array.tensor("x", 0..2).unwrap();
            assert_eq!((tensor.datatype, tensor.shape.as_slice()), (datatype, &[2, 3, 4][..]), "{name}");
            assert!(tensor.data.ends_with(&last), "{name}");
            assert_eq!(tensor.check(), Ok(24), "{name}");
            let second = array.tensor("x", 1..2).unwrap();
            assert_eq!(second.data, tensor.data.slice(tensor.data.len() / 2..), "{name}");
        }
    }
}

#[test]
fn fortran_order_text_scalars_and_names_with_slashes_are_read() {
    let mut npz = reference("deflated.npz");
    let mut array = |name: &str| npz.array(name).unwrap().unwrap();
    let (fortran, c) = (array("fortran"), array("f4"));
    assert_eq!(fortran, c);
    let texts = |array: Array| {
        let tensor = array.tensor("x", 0..array.rows().unwrap()).unwrap();
        tensor.strings().unwrap().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(texts(array("text")), ["a", "Grüße", "", "\u{1F600}"]);
    assert_eq!(texts(array("bytes")), ["a", "bc"]);
    assert_eq!(array("scalar").rows(), None);
    assert!(array("scalar").tensor("x", 0..1).is_err());
    assert_eq!(array("empty").shape(), [0, 3]);
    assert_eq!(array("inputs/x:0").rows(), Some(2));
    assert_eq!(array("vector").tensor("x", 2..3).unwrap().data, 2_i32.to_le_bytes().to_vec());
}

#[test]
fn what_could_run_a_program_or_is_no_tensor_is_refused_with_what_to_do() {
    for (file, part) in [
        ("pickled.npz", "has elements of type \"|O\": pickled Python objects are not read"),
        ("fields.npz", "has elements of several fields"),
        ("big_endian.npz", "big-endian elements are not read"),
        ("dates.npz", "\"<M8[D]\""),
    ] {
        let error = reference(file).array("labels").unwrap_err().to_string();
        assert!(error.starts_with("its array \"labels\" ") && error.contains(part), "{file}: {error}");
    }
}

#[test]
fn heads_that_lie_are_refused() {
    for (head, elements, part) in [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 8, "do not fill its shape [3]"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 12, "do not fill its shape [2]"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0)}", 0, "nothing in a row"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 0, "do not fill"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}", 0, "is no number"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", 0, "is no number"),
        ("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,)}", 0, "a width of 1"),
        ("{'descr': '<U99999999999', 'fortran_order': False, 'shape': (1,)}", 0, "a width of 1"),
        ("{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}", 16, "expected truth values"),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", 8, "expected truth values"),
        ("{'descr': 'float', 'fortran_order': False, 'shape': (1,)}", 8, "no type of NumPy's"),
        ("{'descr': '<f4', 'fortran_order': False}", 0, "expected descr, fortran_order and shape"),
        ("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 4, "twice"),
        ("{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}", 4, "expected \"False\""),
        ("{'descr': '<f4', 'other': False, 'shape': (1,)}", 4, "the unknown key \"other\""),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} trailing", 4, "expected descr"),
        ("{'descr': '<f4", 4, "a quote has no end"),
        ("__import__('os')", 0, "expected \"{\""),
    ] {
        let error = read(&x(modelwright_testing::npz::with_head(head, &vec![0; elements]))).unwrap_err();
        assert!(error.contains(part), "{head}: {error}");
    }
    for (bytes, part) in [
        (&b"PK"[..], "its first bytes are others"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "is cut in its head"),
        (b"\x93NUMPY\x09\x00\x00\x00{", "unknown version"),
        (b"\x93NUMPY\x02\x00\x00\x00\x00\xff{", "has a head of"),
    ] {
        let error = read(&x(bytes.to_vec())).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let error = read(&x(modelwright_testing::npz::array("<U1", &[1], &0x11_0000_u32.to_le_bytes()))).unwrap();
    assert!(error.tensor("x", 0..1).unwrap_err().contains("no character"));
    let inner = read(&x(modelwright_testing::npz::array("|S3", &[1], b"a\0b"))).unwrap();
    assert!(inner.tensor("x", 0..1).unwrap_err().contains("a NUL"));
}

#[test]
fn zip_files_that_are_cut_damaged_or_of_another_kind_are_refused() {
    let good = x(modelwright_testing::npz::f32s(&[2], &[1.0, 2.0]));
    assert!(read(&good).is_ok());
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        read(&bytes).unwrap_err()
    };
    let directory = good.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    assert!(changed(directory + 8, 1).contains("is encrypted"));
    assert!(changed(directory + 10, 12).contains("another method than deflate"));
    assert!(changed(directory + 10, 8).contains("\"x.npy\""));
    assert!(changed(directory + 16, good[directory + 16] ^ 1).contains("checksum"));
    assert!(changed(directory + 24, 1).contains("two sizes"));
    assert!(changed(directory + 42, 0xff).contains("is cut"));
    assert!(changed(good.len() - 22 + 10, 2).contains("one part of several"));
    assert!(changed(0, b'X').contains("the head of a member"));
    for cut in 0..good.len() {
        assert!(read(&good[..cut]).is_err(), "{cut}");
    }
    assert!(open(b"a page").unwrap_err().to_string().contains("too short"));
    assert!(open(&[b'x'; 100]).unwrap_err().to_string().contains("the directory at its end is missing"));
    let text = modelwright_testing::npz::zip(&[("readme.txt".to_owned(), Vec::new())]);
    assert!(open(&text).unwrap_err().to_string().contains("is no .npy array"));
    let twice = modelwright_testing::npz::npz(&[("x", Vec::new()), ("x", Vec::new())]);
    assert!(open(&twice).unwrap_err().to_string().contains("is there twice"));
}

#[test]
fn sizes_are_not_believed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/deflated.npz");
    let small = std::fs::read(path).unwrap();
    // Three megabytes that call themselves deflated, so that they could be gigabytes.
    let mut large = modelwright_testing::npz::npz(&[("b1", vec![0; 3_000_000])]);
    let at = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let method = at(&large) + 10;
    large[method] = 8;
    for (file, size, part) in [
        (&small, 1_u32, "another size"),
        (&small, 1 << 16, "another size"),
        (&small, 1 << 29, "claims more than deflate can hold"),
        (&large, 0x7fff_ffff, "have 2147483647 bytes, and at most 1073741824 are read"),
    ] {
        let mut bytes = file.clone();
        let at = at(&bytes);
        bytes[at + 24..at + 28].copy_from_slice(&size.to_le_bytes());
        let outcome = open(&bytes).and_then(|mut npz| npz.array("b1"));
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(part), "{size}: {error}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), array in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = read_all(&bytes);
        let _ = read_all(&x(array.clone()));
        let _ = read_all(&x([b"\x93NUMPY\x01\x00".to_vec(), array].concat()));
    }

    #[test]
    fn any_damage_is_read_or_refused(at in 0_usize..4000, value: u8, deflated: bool) {
        let name = if deflated { "deflated.npz" } else { "stored.npz" };
        let mut bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference").join(name)).unwrap();
        let length = bytes.len();
        bytes[at % length] = value;
        let _ = read_all(&bytes);
    }

    #[test]
    fn any_head_is_read_or_refused(
        descr in "[<>|=]?[a-zA-Z]?[0-9]{0,3}", order in "(True|False|1)", shape in "\\(([0-9]{1,20},? ?){0,4}\\)",
        elements in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let head = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
        let _ = read_all(&x(modelwright_testing::npz::with_head(&head, &elements)));
    }

    #[test]
    fn numbers_come_back_as_they_were(rows in 0_usize..5, columns in 1_usize..4, seed: u32) {
        let numbers: Vec<f32> = (0..u32::try_from(rows * columns).unwrap()).map(|i| f32::from_bits(seed ^ i)).collect();
        let array = read(&x(modelwright_testing::npz::f32s(&[rows, columns], &numbers))).unwrap();
        let tensor = array.tensor("x", 0..rows).unwrap();
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        prop_assert_eq!(tensor.data, bytes);
    }
}

fn read_all(bytes: &[u8]) -> Result<(), NpzError> {
    let mut npz = open(bytes)?;
    let names: Vec<String> = npz.names().map(str::to_owned).collect();
    for name in names {
        if let Some(array) = npz.array(&name)? {
            let _ = array.tensor("x", 0..array.rows().unwrap_or(1));
        }
    }
    Ok(())
}
