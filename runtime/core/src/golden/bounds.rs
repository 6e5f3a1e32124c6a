//! The bounds of golden samples as an artifact holds them. In go recorded bounds, or samples that have none; out come
//! bounds to compare with. Names no session.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use modelwright_contract::artifact::{GoldenBounds, GoldenSamples};

use super::{
    ReplayError, decode_all, floats,
    record::{for_rounding, largest_for_rounding},
    tolerance_of,
};
use crate::{
    tensor::{Datatype, Tensor},
    tolerance::{Bounds, Scale},
};

/// Writes bounds as an artifact holds them.
pub(super) fn encode(name: &str, bounds: &Bounds) -> GoldenBounds {
    let bytes = |axis: &Vec<f64>| axis.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    GoldenBounds {
        name: name.to_owned(),
        atol: format!("{:e}", bounds.atol),
        axes: bounds.axes.iter().map(|axis| STANDARD.encode(bytes(axis))).collect(),
    }
}

/// Reads the bounds of an output.
fn decode(recorded: &GoldenBounds, rtol: f64) -> Result<Bounds, String> {
    let atol = recorded.atol.parse().map_err(|_| format!("have the atol {:?}", recorded.atol))?;
    let numbers = |text: &String| {
        let bytes = STANDARD.decode(text).map_err(|error| format!("cannot be read: {error}"))?;
        if !bytes.len().is_multiple_of(8) {
            return Err(format!("cannot be read: {} bytes are no FP64", bytes.len()));
        }
        Ok(bytemuck::pod_collect_to_vec::<u8, f64>(&bytes))
    };
    let axes = recorded.axes.iter().map(numbers).collect::<Result<_, String>>()?;
    let bounds = Bounds { rtol, atol, axes };
    if bounds.are_sound() { Ok(bounds) } else { Err("hold what is no number of 0 or more".to_owned()) }
}

/// What the samples recorded of one output.
struct Recorded {
    datatype: Datatype,
    scale: Scale,
    shapes: Vec<Vec<i64>>,
}

/// The floating-point outputs of samples, each over all of them.
fn recorded(golden: &GoldenSamples) -> Result<BTreeMap<String, Recorded>, ReplayError> {
    let mut all: BTreeMap<String, Recorded> = BTreeMap::new();
    for (sample, recorded) in golden.samples.iter().enumerate() {
        for Tensor { name, datatype, shape, data } in decode_all(&recorded.outputs, sample)? {
            if !datatype.is_float() || golden.random.contains(&name) {
                continue;
            }
            let output = all.entry(name.clone()).or_insert_with(|| Recorded {
                datatype,
                scale: Scale::default(),
                shapes: Vec::new(),
            });
            output.scale.add(&shape, &floats(&Tensor { name, datatype, shape: shape.clone(), data }));
            output.shapes.push(shape);
        }
    }
    Ok(all)
}

/// The bounds of each floating-point output, with a relative tolerance of at least `least`.
pub(super) fn of(golden: &GoldenSamples, least: f64) -> Result<BTreeMap<String, Bounds>, ReplayError> {
    let tolerance = tolerance_of(&golden.tolerance)?;
    let rtol = tolerance.max(least);
    recorded(golden)?
        .into_iter()
        .map(|(name, output)| {
            let scale = &output.scale;
            let bounds = if golden.bounds.is_empty() {
                without(scale, rtol)
            } else if rtol > tolerance {
                scale.bounds(rtol, output.datatype)
            } else {
                given(golden, &name, &output, rtol)
                    .map_err(|why| ReplayError::Bounds { output: name.clone(), why })?
            };
            Ok((name, bounds))
        })
        .collect()
}

/// Bounds for samples that were recorded without any: by the scale of the output as a whole, up to 1. What such samples
/// allow of an output that reaches 1 is what they have always allowed (|difference| ÷ max(1, |recorded|)) or up to twice
/// that, so that no healthy pod is refused after an upgrade; an output that is smaller as a whole is held to its scale.
fn without(scale: &Scale, rtol: f64) -> Bounds {
    let bounds = scale.bounds(rtol, Datatype::Fp32);
    Bounds { rtol, atol: bounds.atol.min(rtol), axes: Vec::new() }
}

/// The recorded bounds of an output, which must fit what was recorded.
fn given(golden: &GoldenSamples, name: &str, output: &Recorded, rtol: f64) -> Result<Bounds, String> {
    let Some(bounds) = golden.bounds.iter().find(|bounds| bounds.name == name) else {
        return Err("are missing".to_owned());
    };
    let bounds = decode(bounds, rtol)?;
    for shape in &output.shapes {
        let sizes = shape.iter().skip(1).map(|size| usize::try_from(*size).unwrap_or(0));
        let fits = bounds.axes.iter().zip(sizes).all(|(axis, size)| axis.is_empty() || axis.len() == size);
        if !fits || bounds.axes.len() >= shape.len().max(1) {
            let sizes: Vec<usize> = bounds.axes.iter().map(Vec::len).collect();
            return Err(format!("are for columns of {sizes:?}, and a sample has the shape {shape:?}"));
        }
    }
    Ok(bounds)
}

/// Refuses bounds that prove nothing: beyond `share` of the scale of their output, and beyond what rounding asks for.
pub fn check(golden: &GoldenSamples, share: f64) -> Result<(), ReplayError> {
    let outputs = recorded(golden)?;
    let is_half = outputs.values().any(|output| matches!(output.datatype, Datatype::Fp16 | Datatype::Bf16));
    for (name, bounds) in of(golden, 0.0)? {
        let Some(output) = outputs.get(&name) else { continue };
        let rounding = for_rounding(bounds.atol.min(largest_for_rounding(is_half)), output.scale.whole());
        let most = output.scale.bounds(share, output.datatype).atol.max(rounding);
        if bounds.atol > most {
            let why = format!(
                "allow an atol of {:e}, and at most {most:e} was expected: {share} of the largest that was recorded",
                bounds.atol
            );
            return Err(ReplayError::Bounds { output: name, why });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use modelwright_contract::artifact::{GoldenSample, GoldenSource};

    use super::*;

    fn golden(numbers: &[f32], bounds: Vec<GoldenBounds>) -> GoldenSamples {
        let output = Tensor {
            name: "y".to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![1, i64::try_from(numbers.len()).unwrap()],
            data: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        };
        GoldenSamples {
            source: GoldenSource::Test,
            tolerance: "0.001".to_owned(),
            bounds,
            random: Vec::new(),
            samples: vec![GoldenSample { inputs: Vec::new(), outputs: vec![super::super::encode(&output)] }],
        }
    }

    fn y(golden: &GoldenSamples, least: f64) -> Bounds {
        of(golden, least).unwrap().remove("y").unwrap()
    }

    #[test]
    fn bounds_come_back_from_an_artifact_bit_by_bit() {
        let bounds = Bounds { rtol: 1e-3, atol: 0.1 + 0.2, axes: vec![vec![1.0 / 3.0, f64::MIN_POSITIVE]] };
        let golden = golden(&[1.0, 2.0], vec![encode("y", &bounds)]);
        let text = serde_json::to_string(&golden).unwrap();
        assert_eq!(y(&serde_json::from_str(&text).unwrap(), 0.0), bounds);
    }

    #[test]
    fn samples_without_bounds_are_held_to_the_scale_of_their_output_up_to_1() {
        let atol = |numbers: &[f32]| y(&golden(numbers, Vec::new()), 0.0).atol;
        assert!((atol(&[5.0, 0.5]) / 1e-3 - 1.0).abs() < 1e-6, "as they were");
        assert!((atol(&[2e-4, 1e-4]) / 2e-7 - 1.0).abs() < 1e-6, "not by 0.001 of 1");
        let text = serde_json::to_string(&golden(&[1.0], Vec::new())).unwrap();
        assert!(!text.contains("bounds"), "{text}");
    }

    #[test]
    fn another_provider_raises_the_tolerance_and_the_bounds_with_it() {
        let bounds = Bounds { rtol: 1e-3, atol: 1e-4, axes: vec![vec![1e-4, 2e-4]] };
        let golden = golden(&[1.0, 2.0], vec![encode("y", &bounds)]);
        assert_eq!(y(&golden, 1e-3), bounds);
        let raised = y(&golden, 0.5);
        assert_eq!((raised.rtol, raised.atol, raised.axes), (0.5, 1.0, vec![vec![0.5, 1.0]]));
    }

    #[test]
    fn bounds_that_do_not_fit_or_prove_nothing_are_refused() {
        let good = encode("y", &Bounds { rtol: 1e-3, atol: 1e-3, axes: vec![vec![1e-3, 1e-3]] });
        assert!(check(&golden(&[0.5, 1.0], vec![good.clone()]), 0.1).is_ok());
        // What rounding asked for when the samples were recorded is taken wherever they go.
        let rounding = |atol: &str| GoldenBounds { atol: atol.to_owned(), ..good.clone() };
        assert!(check(&golden(&[1e-7, 2e-7], vec![rounding("7e-6")]), 0.1).is_ok());
        assert!(check(&golden(&[1e-7, 2e-7], vec![rounding("9e-6")]), 0.1).is_err());
        // Unless zeros would agree with answers that are more than rounding.
        assert!(check(&golden(&[4e-6, 6e-6], vec![rounding("7e-6")]), 0.1).is_err());
        assert!(check(&golden(&[4e-6, 6e-6], vec![rounding("2e-6")]), 0.1).is_ok());
        for (why, bounds) in [
            ("are missing", GoldenBounds { name: "z".to_owned(), ..good.clone() }),
            ("atol \"x\"", GoldenBounds { atol: "x".to_owned(), ..good.clone() }),
            ("no number of 0 or more", GoldenBounds { atol: "NaN".to_owned(), ..good.clone() }),
            ("no number of 0 or more", GoldenBounds { atol: "-1".to_owned(), ..good.clone() }),
            ("cannot be read", GoldenBounds { axes: vec!["!".to_owned()], ..good.clone() }),
            ("no FP64", GoldenBounds { axes: vec!["AAAA".to_owned()], ..good.clone() }),
            ("columns of [1]", GoldenBounds { axes: vec![STANDARD.encode([0; 8])], ..good.clone() }),
            ("columns of [0, 0]", GoldenBounds { axes: vec![String::new(); 2], ..good.clone() }),
            ("at most 1e-1", GoldenBounds { atol: "0.11".to_owned(), ..good.clone() }),
        ] {
            let error = check(&golden(&[0.5, 1.0], vec![bounds]), 0.1).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("\"y\""), "{why}: {error}");
        }
    }
}
