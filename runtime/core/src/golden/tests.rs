//! Comparing and encoding, without a session.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::{tensor::encode_strings, tolerance::Scale};

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
fn floats_may_differ_within_their_bounds() {
    let (expected, got) = (fp32(&[0.0005, 0.001]), fp32(&[0.0, 0.001]));
    let bounds = Scale::of(&expected.shape, &floats(&expected)).bounds(1e-3, Datatype::Fp32);
    assert!(compare(&expected, &expected, Some(&bounds)).is_ok_and(|share| share == 0.0));
    let difference = compare(&expected, &got, Some(&bounds)).unwrap_err();
    let mismatch = difference.into_mismatch(1, &expected);
    assert_eq!((mismatch.output.as_str(), mismatch.allowed.as_str()), ("y[0]", "1.500e-6"));
    assert_eq!((mismatch.expected.as_str(), mismatch.got.as_str()), ("0.0005000000237487257", "0"));
    // Without bounds, what was recorded is what must come.
    assert!(compare(&expected, &got, None).is_err());
}

#[test]
fn other_datatypes_must_be_equal_and_the_difference_is_shown_in_their_own_words() {
    assert!(compare(&int64(-7), &int64(-7), None).is_ok());
    let bounds = Scale::of(&[1], &[100.0]).bounds(1.0, Datatype::Fp32);
    let mismatch = compare(&int64(-7), &int64(3), Some(&bounds)).unwrap_err().into_mismatch(2, &int64(-7));
    assert_eq!((mismatch.sample, mismatch.output.as_str()), (2, "label[0]"));
    assert_eq!((mismatch.expected.as_str(), mismatch.got.as_str()), ("-7", "3"));
    let text = |strings: [&str; 2]| Tensor {
        name: "s".to_owned(),
        datatype: Datatype::Bytes,
        shape: vec![2],
        data: encode_strings(strings).unwrap(),
    };
    let difference = compare(&text(["a", "b"]), &text(["a", "c"]), None).unwrap_err();
    assert_eq!((difference.element, difference.got.as_str()), (Some(1), "\"c\""));
}

#[test]
fn another_shape_is_a_mismatch() {
    let difference = compare(&fp32(&[1.0]), &fp32(&[1.0, 1.0]), None).unwrap_err();
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
