//! Signatures, and the shapes that are tried for them.
#![allow(clippy::unwrap_used)]
use modelwright_contract::signature::TensorSpec;

use super::*;

fn signature(inputs: &[(&str, &[i64])]) -> Signature {
    let spec = |(datatype, shape): &(&str, &[i64])| TensorSpec {
        name: "x".to_owned(),
        datatype: (*datatype).to_owned(),
        shape: shape.to_vec(),
        ..TensorSpec::default()
    };
    Signature { inputs: inputs.iter().map(spec).collect(), ..Signature::default() }
}

fn symbols(names: &[&[&str]]) -> Vec<Vec<String>> {
    names.iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect()).collect()
}

/// The first form whose shapes are taken.
fn found(inputs: &[(&str, &[i64])], names: &[&[&str]], takes: impl Fn(&[Vec<i64>]) -> bool) -> Vec<Vec<i64>> {
    let mut tried = 0;
    let form = find(&signature(inputs), &symbols(names), |form| {
        tried += 1;
        if takes(&form.shapes) {
            Tried::Answered
        } else {
            Tried::Refused(RunError::Failed { why: "it expects {1,80} here".to_owned() })
        }
    });
    assert!(tried < 2000, "{tried} forms were tried");
    form.unwrap().shapes
}

#[test]
fn one_name_is_one_size_on_every_axis_and_in_every_input() {
    let state: (&str, &[i64]) = ("FP32", &[2, -1, 4]);
    let names: [&[&str]; 2] = [&["batch", "n"], &["", "batch", ""]];
    for least in [1, 8, 400, 65_536] {
        let shapes = found(&[("FP32", &[-1, -1]), state], &names, |shapes| {
            // Not only what is found: where each axis has a size of its own, it is found by trying more.
            assert_eq!(shapes[1], [2, shapes[0][0], 4]);
            shapes[0][1] >= least
        });
        assert!(shapes[0][1] >= least);
    }
}

#[test]
fn a_name_in_a_sum_is_the_same_size() {
    // As language models take what they have read so far.
    let inputs: [(&str, &[i64]); 3] = [("INT64", &[-1, -1]), ("INT64", &[-1, -1]), ("FP32", &[-1, 2, -1, 4])];
    let names: [&[&str]; 3] = [&["batch", "n"], &["batch", "past + n"], &["batch", "", "past", ""]];
    let shapes = found(&inputs, &names, |shapes| shapes[1][1] == shapes[0][1] + shapes[2][2]);
    assert_eq!(shapes, [vec![1, 1], vec![1, 2], vec![1, 2, 1, 4]]);
    assert_eq!(sum("past_length + 1"), Some((1, vec![(1, "past_length")])));
    assert_eq!(sum("2*n+m.0"), Some((0, vec![(2, "n"), (1, "m.0")])));
    for other in ["floor(h/2)", "a-1", "a*b", "", "Conv dim"] {
        assert_eq!(sum(other), None, "{other}");
    }
    // With nothing else in it, a multiple is one, too.
    let halves =
        found(&[("FP32", &[-1, -1, -1])], &[&["b", "n", "2*n"]], |shapes| shapes[0][2] == 2 * shapes[0][1]);
    assert_eq!(halves, [[1, 1, 2]]);
}

#[test]
fn what_has_no_name_may_differ() {
    let inputs: [(&str, &[i64]); 2] = [("FP32", &[-1, -1]), ("FP32", &[2, -1, 4])];
    let shapes =
        found(&inputs, &[&["", ""], &["", "", ""]], |shapes| shapes[0][1] > 500 && shapes[1][1] == 1);
    assert_eq!(shapes, [vec![1, 512], vec![2, 1, 4]]);
    // A question mark is no name.
    let shapes =
        found(&inputs, &[&["?", "?"], &["", "?", ""]], |shapes| shapes[0] == [1, 64] && shapes[1][1] == 1);
    assert_eq!(shapes[0], [1, 64]);
}

#[test]
fn a_first_axis_may_be_a_window_and_the_others_rows() {
    assert_eq!(found(&[("FP32", &[-1])], &[&["samples"]], |shapes| shapes[0][0] > 300), [[512]]);
    let shapes =
        found(&[("FP32", &[-1, -1])], &[&["t", "b"]], |shapes| shapes[0][0] > 300 && shapes[0][1] == 1);
    assert_eq!(shapes, [[512, 1]]);
}

#[test]
fn a_size_that_the_model_names_is_tried() {
    assert_eq!(found(&[("FP32", &[-1, -1])], &[&["b", "mel"]], |shapes| shapes[0] == [1, 80]), [[1, 80]]);
}

#[test]
fn integers_and_numbers_as_text_are_tried_where_there_are_such_inputs() {
    let form = find(&signature(&[("BYTES", &[-1]), ("INT64", &[])]), &symbols(&[&["n"], &[]]), |form| {
        if form.texts == NUMBERS && form.integers == (0, 2) {
            Tried::Answered
        } else {
            Tried::Refused(RunError::Failed { why: String::new() })
        }
    });
    assert_eq!(
        form.unwrap(),
        Form { shapes: vec![vec![1], vec![]], integers: (0, 2), bytes: (0, 2), texts: &NUMBERS }
    );
}

#[test]
fn bytes_are_pixels_first_and_beside_them_other_integers_stay_small() {
    let inputs = signature(&[("UINT8", &[-1, 4]), ("INT64", &[-1])]);
    let form = find(&inputs, &[], |_| Tried::Answered).unwrap();
    assert_eq!((form.bytes, form.integers), ((1, 256), (1, 8)));
    // Those of a small table are small.
    let ask = |form: &Form| {
        if form.bytes.1 > 8 {
            Tried::Refused(RunError::Failed { why: String::new() })
        } else {
            Tried::Answered
        }
    };
    assert_eq!(find(&inputs, &[], ask).unwrap().bytes, (1, 8));
}

#[test]
fn a_weak_answer_is_taken_if_there_is_no_other() {
    let ask = |form: &Form| if form.shapes[0][1] < 512 { Tried::Weak } else { Tried::Answered };
    let inputs = signature(&[("FP32", &[-1, -1])]);
    assert_eq!(find(&inputs, &[], ask).unwrap().shapes, [[1, 512]]);
    assert_eq!(find(&inputs, &[], |_| Tried::Weak).unwrap().shapes, [[1, 1]]);
}
