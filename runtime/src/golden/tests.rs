//! Comparing and encoding, without a session.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::tensor::encode_strings;

fn fp32(numbers: &[f32]) -> Tensor {
    Tensor {
        name: "y".to_owned(),
        datatype: Datatype::Fp32,
        shape: vec![i64::try_from(numbers.len()).unwrap()],
        data: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

fn int64(number: i64) -> Tensor {
    Tensor {
        name: "label".to_owned(),
        datatype: Datatype::Int64,
        shape: vec![1],
        data: number.to_le_bytes().to_vec().into(),
    }
}

#[test]
fn a_tensor_comes_back_from_its_text_as_it_was() {
    let tensor = fp32(&[1.5, f32::NAN, -0.0]);
    assert_eq!(decode(&encode(&tensor)).unwrap(), tensor);
    let mut broken = encode(&tensor);
    broken.shape = vec![7];
    assert!(decode(&broken).unwrap_err().contains("expected 28"));
    broken.data = "***".to_owned();
    assert!(decode(&broken).is_err());
    broken.datatype = "FP31".to_owned();
    assert!(decode(&broken).unwrap_err().contains("FP31"));
}

#[test]
fn floats_may_differ_by_the_tolerance_relative_to_large_values_only() {
    assert!(compare(&fp32(&[0.0]), &fp32(&[0.0009]), 1e-3).is_ok());
    assert!(compare(&fp32(&[0.0]), &fp32(&[0.0011]), 1e-3).is_err());
    assert!(compare(&fp32(&[1000.0]), &fp32(&[1000.9]), 1e-3).is_ok());
    assert!(compare(&fp32(&[f32::INFINITY]), &fp32(&[f32::INFINITY]), 0.0).is_ok());
    assert!(compare(&fp32(&[1.0]), &fp32(&[f32::NAN]), 1.0).is_err());
}

#[test]
fn other_datatypes_must_be_equal_and_the_difference_is_shown_in_their_own_words() {
    assert!(compare(&int64(-7), &int64(-7), 0.0).is_ok());
    let mismatch = compare(&int64(-7), &int64(3), 9.0).unwrap_err().into_mismatch(2, &int64(-7), 9.0);
    assert_eq!((mismatch.sample, mismatch.output.as_str()), (2, "label[0]"));
    assert_eq!((mismatch.expected.as_str(), mismatch.got.as_str()), ("-7", "3"));
    let text = |strings: [&str; 2]| Tensor {
        name: "s".to_owned(),
        datatype: Datatype::Bytes,
        shape: vec![2],
        data: encode_strings(strings).unwrap(),
    };
    let difference = compare(&text(["a", "b"]), &text(["a", "c"]), 0.0).unwrap_err();
    assert_eq!((difference.element, difference.got.as_str()), (Some(1), "\"c\""));
}

#[test]
fn another_shape_is_a_mismatch() {
    let difference = compare(&fp32(&[1.0]), &fp32(&[1.0, 1.0]), 1.0).unwrap_err();
    assert_eq!(
        (difference.expected.as_str(), difference.got.as_str()),
        ("FP32 of shape [1]", "FP32 of shape [2]")
    );
}

#[test]
fn a_tolerance_is_a_finite_number_of_zero_or_more() {
    assert!(tolerance_of("0.001").is_ok());
    for bad in ["", "-1", "NaN", "inf", "x"] {
        assert!(tolerance_of(bad).is_err(), "{bad}");
    }
}
