//! Operators that change the sizes of axes: padding and resampling, and what windows leave of a size.

use super::{Call, RuleResult, alike, axis, of_class, sizes};
use crate::rows::{
    size::{Size, Symbols},
    value::Value,
};

const RESIZED: &str = "it changes the number of rows";

pub fn pad(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let class = alike([value])?;
    let all = sizes(value)?;
    if !call.others(&[0]).all(Value::is_constant) {
        return Err("how much it adds depends on the rows or on their number");
    }
    let pads = match call.integers("pads").or_else(|| call.integers("paddings")) {
        Some(pads) => Some(pads.iter().map(|pad| Size::of(*pad)).collect()),
        None => call.input(1).and_then(Value::terms),
    };
    let axes = match call.input(3) {
        None => (0..all.len()).collect(),
        Some(named) => {
            let named = named.constants().ok_or("its axes are computed")?;
            named.iter().map(|number| axis(*number, all.len())).collect::<RuleResult<Vec<usize>>>()?
        }
    };
    let mut sizes = all.clone();
    for (at, axis) in axes.iter().enumerate() {
        let ends: Option<(&Size, &Size)> =
            pads.as_ref().and_then(|pads: &Vec<Size>| Some((pads.get(at)?, pads.get(at + axes.len())?)));
        let is_none =
            ends.is_some_and(|(start, end)| start.constant() == Some(0) && end.constant() == Some(0));
        if is_none {
            continue;
        }
        if value.place().is_some_and(|place| place.axis == *axis) {
            return Err(RESIZED);
        }
        let sum = ends.and_then(|(start, end)| symbols.plus(start, end));
        let size = sizes.get_mut(*axis).ok_or("it names an axis that is not there")?;
        *size = match sum.and_then(|sum| symbols.plus(size, &sum)) {
            Some(size) => size,
            None if class.is_some() => return of_class(class, None, None),
            None => symbols.size(),
        };
    }
    of_class(class, value.place().cloned(), Some(sizes))
}

/// By scales, or to sizes: an attribute, the second input, or the third and fourth.
pub fn resize(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let class = alike([value])?;
    let all = sizes(value)?;
    let is_old = call.version < 11 || call.node.operator == "Upsample";
    let filled = |at: usize| call.input(at).filter(|value| value.count() != Some(0));
    let (scales, targets) = if is_old { (filled(1), None) } else { (filled(2), filled(3)) };
    if class.is_none() && call.text("coordinate_transformation_mode") == Some("tf_crop_and_resize") {
        return Err("it may crop the axis of the rows");
    }
    if !call.others(&[0, 3]).all(Value::is_constant) {
        return Err("how far it scales depends on the rows or on their number");
    }
    // To keep the ratio of all axes, each is scaled by the least or the largest of their scales.
    let keeps_ratio =
        targets.is_some() && call.text("keep_aspect_ratio_policy").is_some_and(|policy| policy != "stretch");
    if let Some(targets) = targets {
        alike([targets])?.ok_or("its sizes are taken from the rows")?;
    }
    if keeps_ratio && class.is_some() {
        return of_class(class, None, None);
    }
    if keeps_ratio && !targets.is_some_and(Value::is_constant) {
        return Err("how far it scales depends on the rows or on their number");
    }
    let axes = match call.integers("axes") {
        None => (0..all.len()).collect(),
        Some(named) => {
            named.iter().map(|number| axis(*number, all.len())).collect::<RuleResult<Vec<usize>>>()?
        }
    };
    let given: Option<Vec<f32>> = call.floats("scales").map(<[f32]>::to_vec);
    let mut sizes = all.clone();
    for (at, axis) in axes.iter().enumerate() {
        let size = sizes.get_mut(*axis).ok_or("it names an axis that is not there")?;
        let target = targets.and_then(|targets| targets.numbers.as_ref()?.get(at)?.clone());
        let scale = scales.and_then(|scales| scales.numbers.as_ref()?.get(at)?.clone());
        #[expect(clippy::cast_possible_truncation, reason = "a small whole number")]
        let whole =
            |scale: &f32| (scale.fract() == 0.0 && scale.abs() < 1e6).then_some(Size::of(*scale as i64));
        let scale = scale.or_else(|| given.as_ref()?.get(at).and_then(whole));
        let new = target.or_else(|| size.times(&scale?));
        if value.place().is_some_and(|place| place.axis == *axis) {
            if new.as_ref() != Some(size) {
                return Err(RESIZED);
            }
        } else if keeps_ratio {
            *size = symbols.size();
        } else {
            match new {
                Some(new) if new.has_rows() && class.is_none() => {
                    return Err("a size depends on the number of rows");
                }
                Some(new) => *size = new,
                None if class.is_some() && targets.is_some_and(|targets| !targets.is_constant()) => {
                    return Err("its sizes are computed in a way that is not followed");
                }
                None if targets.is_some_and(|targets| !targets.is_constant()) => {
                    return Err("its sizes are computed in a way that is not followed");
                }
                None => *size = symbols.size(),
            }
        }
    }
    of_class(class, value.place().cloned(), Some(sizes))
}

/// Windows that an operator moves over the axes from 2 on.
pub struct Windows {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
    padding: Padding,
    rounds_up: bool,
}

enum Padding {
    Given,
    Same,
    Valid,
}

impl Windows {
    /// Those of a node, with a kernel of these sizes where it names none.
    pub fn of(call: &Call<'_>, kernel: Option<Vec<i64>>) -> Option<Self> {
        let kernel = call.integers("kernel_shape").map(<[i64]>::to_vec).or(kernel)?;
        let or = |name: &str, default: i64, count: usize| match call.integers(name) {
            Some(numbers) if !numbers.is_empty() => numbers.to_vec(),
            _ => vec![default; count],
        };
        let count = kernel.len();
        Some(Self {
            strides: or("strides", 1, count),
            dilations: or("dilations", 1, count),
            pads: or("pads", 0, count * 2),
            padding: match call.text("auto_pad") {
                None | Some("NOTSET" | "") => Padding::Given,
                Some("VALID") => Padding::Valid,
                Some(_) => Padding::Same,
            },
            rounds_up: call.integer("ceil_mode").unwrap_or(0) != 0,
            kernel,
        })
    }

    fn at(&self, axis: usize) -> Option<(i64, i64, i64)> {
        let window =
            self.dilations.get(axis)?.checked_mul(self.kernel.get(axis)?.checked_sub(1)?)?.checked_add(1)?;
        let ends = match self.padding {
            Padding::Given => self.pads.get(axis)?.checked_add(*self.pads.get(axis + self.kernel.len())?)?,
            _ => 0,
        };
        Some((window, *self.strides.get(axis).filter(|stride| **stride > 0)?, ends))
    }

    /// What a window leaves of an axis (counted without the first two).
    pub fn left(&self, axis: usize, size: &Size, symbols: &mut Symbols) -> Size {
        let found = || -> Option<Size> {
            let (window, stride, ends) = self.at(axis)?;
            if stride == 1 && (matches!(self.padding, Padding::Same) || Some(ends) == window.checked_sub(1)) {
                return Some(size.clone());
            }
            let size = size.constant()?;
            if matches!(self.padding, Padding::Same) {
                return Some(Size::of(size.checked_add(stride - 1)?.checked_div(stride)?));
            }
            let room = size.checked_add(ends)?.checked_sub(window)?;
            // Runtimes differ in what they do with a window that begins behind the end.
            if room < 0 || self.rounds_up && room % stride != 0 {
                return None;
            }
            Some(Size::of(room / stride + 1))
        };
        found().unwrap_or_else(|| symbols.size())
    }

    /// What comes of an axis where each element becomes a window.
    pub fn spread(&self, axis: usize, size: &Size, more: &[i64], symbols: &mut Symbols) -> Size {
        let found = || -> Option<Size> {
            let (window, stride, ends) = self.at(axis)?;
            if !matches!(self.padding, Padding::Given) {
                return None;
            }
            let more = if more.is_empty() { 0 } else { *more.get(axis)? };
            let size = stride
                .checked_mul(size.constant()?.checked_sub(1)?)?
                .checked_add(more)?
                .checked_add(window)?;
            Some(Size::of(size.checked_sub(ends)?))
        };
        found().unwrap_or_else(|| symbols.size())
    }
}
