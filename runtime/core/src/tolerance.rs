//! By how much floating-point answers may differ: `|got - expected| <= atol + rtol * |expected|`, with `atol` from the
//! scale of the answers. In go shapes and numbers; out come bounds, and the first element beyond them. Names no session
//! and no server.
//!
//! An absolute bound of its own would let every answer below it agree with anything. So `atol` is `rtol` times a scale:
//! the largest magnitude in the element's column, over all rows and samples. A column is what shares an index on an axis
//! other than the first, which counts rows; where an output has several such axes, the smallest of their scales counts,
//! so that the coordinates of boxes do not hide the scores beside them, on whichever axis. An axis that differs in size
//! from sample to sample has no columns, and an output without any has one scale.
//!
//! `atol` is at least [`floor`] times the scale of the whole output: what is smaller may be what rounding left of larger
//! terms, as a sigmoid near 0 is a difference of numbers near 1. It is at least the smallest step that every processor
//! makes in the datatype, since some flush what is below to zero. Numbers that are not finite have no scale: they must be
//! the same.
//!
//! The trainer has the same formula in Python (`tolerance.py`); `contract/golden/tolerance.json` holds cases for both.

use crate::tensor::Datatype;

/// The smallest `atol`, as a share of the whole output's scale: some steps of the datatype.
pub fn floor(datatype: Datatype) -> f64 {
    if matches!(datatype, Datatype::Fp16 | Datatype::Bf16) { 1e-3 } else { 1e-6 }
}

/// How large the numbers of an output are: over all that was recorded, and by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scale {
    whole: f64,
    /// For each axis but the first, the largest magnitude at each index; empty where there are no columns.
    axes: Vec<Vec<f64>>,
    seen: bool,
}

impl Scale {
    /// The scale of one answer.
    pub fn of(shape: &[i64], numbers: &[f64]) -> Self {
        let mut scale = Self::default();
        scale.add(shape, numbers);
        scale
    }

    /// Takes in another answer of the same output.
    pub fn add(&mut self, shape: &[i64], numbers: &[f64]) {
        let sizes: Vec<usize> =
            shape.iter().skip(1).map(|size| usize::try_from(*size).unwrap_or(0)).collect();
        if !self.seen {
            self.seen = true;
            self.axes = sizes.iter().map(|size| vec![0.0; if *size > 1 { *size } else { 0 }]).collect();
        } else if self.axes.len() != sizes.len() {
            self.axes.clear();
        }
        for (axis, size) in self.axes.iter_mut().zip(&sizes) {
            if axis.len() != *size {
                axis.clear();
            }
        }
        let mut place = Place::new(sizes);
        for number in numbers {
            let magnitude = if number.is_finite() { number.abs() } else { 0.0 };
            self.whole = self.whole.max(magnitude);
            for (axis, index) in self.axes.iter_mut().zip(&place.indices) {
                if let Some(largest) = axis.get_mut(*index) {
                    *largest = largest.max(magnitude);
                }
            }
            place.step();
        }
    }

    /// The largest magnitude of all.
    pub fn whole(&self) -> f64 {
        self.whole
    }

    /// The bounds that follow for a relative tolerance.
    pub fn bounds(&self, rtol: f64, datatype: Datatype) -> Bounds {
        let least = (floor(datatype) * self.whole).max(smallest_step(datatype));
        let atol = |scale: f64| (rtol * scale).max(least);
        let axes = self.axes.iter().map(|axis| axis.iter().copied().map(atol).collect()).collect();
        Bounds { rtol, atol: atol(self.whole), axes }
    }
}

/// By how much the elements of an output may differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// Relative to the expected number.
    pub rtol: f64,
    /// Absolute, for the output as a whole.
    pub atol: f64,
    /// Absolute, for each axis but the first and each index on it; empty where an axis has no columns. Of all that apply
    /// to an element, the smallest does.
    pub axes: Vec<Vec<f64>>,
}

/// An element beyond its bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beyond {
    /// Which element, from 0.
    pub element: usize,
    /// By how much it may differ.
    pub allowed: f64,
}

impl Bounds {
    /// The largest difference, in parts of what is allowed (0 to 1), or the first element that differs by more. Both
    /// must have this shape.
    pub fn compare(&self, shape: &[i64], expected: &[f64], got: &[f64]) -> Result<f64, Beyond> {
        let mut largest: f64 = 0.0;
        for (element, (share, allowed)) in self.shares(shape, expected, got).enumerate() {
            // What is no number is no small difference.
            if share.is_nan() || share > 1.0 {
                return Err(Beyond { element, allowed });
            }
            largest = largest.max(share);
        }
        Ok(largest)
    }

    /// For each element, its difference in parts of what is allowed, and what is allowed.
    pub fn shares(&self, shape: &[i64], expected: &[f64], got: &[f64]) -> impl Iterator<Item = (f64, f64)> {
        let mut place =
            Place::new(shape.iter().skip(1).map(|size| usize::try_from(*size).unwrap_or(0)).collect());
        expected.iter().zip(got).map(move |(expected, got)| {
            let atol = self.atol_at(&place.indices);
            place.step();
            let allowed = atol + self.rtol * expected.abs();
            (share(*expected, *got, allowed), allowed)
        })
    }

    /// The absolute bound at a place, given by its index on each axis but the first.
    fn atol_at(&self, indices: &[usize]) -> f64 {
        let columns = self.axes.iter().zip(indices).filter_map(|(axis, index)| axis.get(*index));
        columns.copied().fold(self.atol, f64::min)
    }

    /// Raises every absolute bound to at least this.
    pub fn raise(&mut self, atol: f64) {
        for bound in self.axes.iter_mut().flatten().chain([&mut self.atol]) {
            *bound = bound.max(atol);
        }
    }

    /// Whether the numbers can bound anything: finite and not negative.
    pub fn are_sound(&self) -> bool {
        let sound = |number: &f64| number.is_finite() && *number >= 0.0;
        sound(&self.rtol) && sound(&self.atol) && self.axes.iter().flatten().all(sound)
    }
}

/// A difference in parts of what is allowed: 0 for equal numbers, infinities of one sign, and two NaN.
fn share(expected: f64, got: f64, allowed: f64) -> f64 {
    #[expect(clippy::float_cmp, reason = "equal infinities, whose difference is NaN")]
    let same = expected == got || expected.is_nan() && got.is_nan();
    if same {
        return 0.0;
    }
    let difference = (got - expected).abs();
    // An infinite number allows an infinite difference, and 0 of 0 is NaN: neither is a small difference.
    if difference.is_finite() { difference / allowed } else { f64::INFINITY }
}

/// The smallest step that every processor makes. FP32, BF16 and FP64 below their normal numbers are zero to some; FP16
/// is computed in FP32 and keeps its subnormal numbers.
fn smallest_step(datatype: Datatype) -> f64 {
    match datatype {
        Datatype::Fp16 => 2.0_f64.powi(-24),
        Datatype::Fp64 => f64::MIN_POSITIVE,
        _ => f64::from(f32::MIN_POSITIVE),
    }
}

/// The index on each axis but the first, from element to element.
struct Place {
    sizes: Vec<usize>,
    indices: Vec<usize>,
}

impl Place {
    fn new(sizes: Vec<usize>) -> Self {
        Self { indices: vec![0; sizes.len()], sizes }
    }

    fn step(&mut self) {
        for (index, size) in self.indices.iter_mut().zip(&self.sizes).rev() {
            *index += 1;
            if *index < *size {
                return;
            }
            *index = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    /// A case of the table that the trainer's tests read, too.
    #[derive(Deserialize)]
    struct Case {
        why: String,
        rtol: f64,
        datatype: String,
        shape: Vec<i64>,
        expected: Vec<serde_json::Value>,
        got: Vec<serde_json::Value>,
        beyond: Option<usize>,
    }

    fn numbers(values: &[serde_json::Value]) -> Vec<f64> {
        let number = |value: &serde_json::Value| match value.as_str() {
            Some(text) => text.parse().unwrap(),
            None => value.as_f64().unwrap(),
        };
        values.iter().map(number).collect()
    }

    #[test]
    fn the_shared_table_of_cases_holds() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../contract/golden/tolerance.json")).unwrap();
        assert!(cases.len() > 20);
        for case in cases {
            let (expected, got) = (numbers(&case.expected), numbers(&case.got));
            let datatype = Datatype::parse(&case.datatype).unwrap();
            let bounds = Scale::of(&case.shape, &expected).bounds(case.rtol, datatype);
            let beyond = bounds.compare(&case.shape, &expected, &got).err().map(|beyond| beyond.element);
            assert_eq!(beyond, case.beyond, "{}", case.why);
        }
    }

    #[test]
    fn the_scale_is_that_of_all_samples_together() {
        let mut scale = Scale::of(&[1, 2], &[1.0, 0.01]);
        scale.add(&[2, 2], &[-3.0, 0.02, 2.0, 0.0]);
        let bounds = scale.bounds(0.5, Datatype::Fp32);
        assert_eq!((bounds.atol, bounds.axes), (1.5, vec![vec![1.5, 0.01]]));
    }

    #[test]
    fn an_axis_whose_size_changes_has_no_columns() {
        let mut scale = Scale::of(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        scale.add(&[1, 1, 2], &[8.0, 5.0]);
        let bounds = scale.bounds(1.0, Datatype::Fp32);
        assert_eq!(bounds.axes, [vec![], vec![8.0, 5.0]]);
        scale.add(&[1], &[9.0]);
        let bounds = scale.bounds(1.0, Datatype::Fp32);
        assert_eq!((bounds.atol, bounds.axes), (9.0, vec![]));
    }

    proptest! {
        #[test]
        fn a_scale_that_is_taken_away_is_seen(
            exponent in -30_i32..30,
            numbers in prop::collection::vec(0.1_f64..1.0, 1..20),
        ) {
            // However small or large an answer is as a whole, zeros are not near it.
            let small: Vec<f64> = numbers.iter().map(|number| number * 10_f64.powi(exponent)).collect();
            let shape = [i64::try_from(small.len()).unwrap()];
            let bounds = Scale::of(&shape, &small).bounds(1e-3, Datatype::Fp32);
            prop_assert!(bounds.compare(&shape, &small, &vec![0.0; small.len()]).is_err());
            prop_assert!(bounds.compare(&shape, &small, &small).is_ok_and(|share| share == 0.0));
        }

        #[test]
        fn bounds_only_grow_with_what_is_taken_in(
            first in prop::collection::vec(-1e3_f64..1e3, 6),
            second in prop::collection::vec(-1e3_f64..1e3, 6),
        ) {
            let mut scale = Scale::of(&[2, 3], &first);
            let before = scale.bounds(1e-3, Datatype::Fp32);
            scale.add(&[2, 3], &second);
            let after = scale.bounds(1e-3, Datatype::Fp32);
            prop_assert!(before.atol <= after.atol);
            for (before, after) in before.axes.iter().flatten().zip(after.axes.iter().flatten()) {
                prop_assert!(before <= after);
            }
        }
    }
}
