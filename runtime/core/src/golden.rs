//! Golden samples: inputs and the outputs that were recorded for them. In goes a session; out come new samples, or the
//! proof that it answers as it did when they were recorded. Needs no client.

mod bounds;
mod form;
mod generate;
mod quantiles;
mod random;
mod record;
mod rows;

use base64::{Engine, engine::general_purpose::STANDARD};
use modelwright_contract::{
    artifact::{GoldenSample, GoldenSamples, GoldenTensor},
    serving::ExecutionProvider,
};

pub use self::random::SplitMix64;
pub use self::record::tolerance_of_datatype;
pub use self::{
    bounds::check as check_bounds,
    generate::{RecordError, record_provided, record_synthetic, record_synthetic_as},
    quantiles::{blocks, draw as draw_quantiles, read_rows},
    record::Recording,
    rows::{record_rows, spread},
};
use crate::{
    session::{RunError, Session},
    tensor::{Datatype, LayoutError, Tensor},
    tolerance::{Beyond, Bounds},
};

/// Smallest tolerance on CUDA: sums are made in another order there, and kernels use other approximations.
const CUDA_TOLERANCE: f64 = 1e-3;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replay {
    pub count: u32,
    /// Largest difference of a floating-point output, in parts of what its bounds allow: 0 to 1.
    pub max_difference: f64,
}

/// An answer that is not the recorded one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "golden sample {sample}: output {output:?} is {got}, recorded was {expected} (a difference of {allowed} is \
     allowed); this machine or execution provider does not reproduce the model's recorded answers"
)]
pub struct Mismatch {
    /// Which sample, from 0.
    pub sample: usize,
    /// Which output, with the element.
    pub output: String,
    pub expected: String,
    pub got: String,
    /// By how much it may differ: a decimal number, or `0` for what must be equal.
    pub allowed: String,
}

/// Samples that do not prove anything.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The samples cannot be read.
    #[error("golden sample {sample} cannot be read: {why}")]
    Unreadable {
        /// Which sample, from 0.
        sample: usize,
        why: String,
    },
    /// The tolerance is no number.
    #[error("the golden samples' tolerance {tolerance:?} is no decimal number of 0 or more")]
    Tolerance { tolerance: String },
    #[error("the golden samples' bounds of output {output:?} {why}")]
    Bounds {
        output: String,
        /// What was found, and what was expected.
        why: String,
    },
    /// The model does not answer.
    #[error("golden sample {sample} has no answer: {source}")]
    Run {
        /// Which sample, from 0.
        sample: usize,
        source: RunError,
    },
}

/// Writes a tensor as an artifact holds it.
pub fn encode(tensor: &Tensor) -> GoldenTensor {
    GoldenTensor {
        name: tensor.name.clone(),
        datatype: tensor.datatype.name().to_owned(),
        shape: tensor.shape.clone(),
        data: STANDARD.encode(&tensor.data),
    }
}

/// Reads a tensor from an artifact.
pub fn decode(tensor: &GoldenTensor) -> Result<Tensor, String> {
    let named = |why: String| format!("tensor {:?}: {why}", tensor.name);
    let datatype = Datatype::parse(&tensor.datatype)
        .ok_or_else(|| named(format!("{:?} is no datatype", tensor.datatype)))?;
    let data = STANDARD.decode(&tensor.data).map_err(|error| named(error.to_string()))?;
    let decoded =
        Tensor { name: tensor.name.clone(), datatype, shape: tensor.shape.clone(), data: data.into() };
    decoded.check().map_err(|error: LayoutError| named(error.to_string()))?;
    Ok(decoded)
}

fn decode_all(tensors: &[GoldenTensor], sample: usize) -> Result<Vec<Tensor>, ReplayError> {
    tensors
        .iter()
        .map(decode)
        .collect::<Result<_, _>>()
        .map_err(|why| ReplayError::Unreadable { sample, why })
}

/// Runs every sample and compares.
pub fn replay(session: &Session, golden: &GoldenSamples) -> Result<Replay, ReplayError> {
    let least = match session.execution_provider() {
        ExecutionProvider::Cpu => 0.0,
        ExecutionProvider::Cuda => CUDA_TOLERANCE,
    };
    let bounds = bounds::of(golden, least)?;
    let mut max_difference: f64 = 0.0;
    for (sample, GoldenSample { inputs, outputs }) in golden.samples.iter().enumerate() {
        let inputs = decode_all(inputs, sample)?;
        let expected = decode_all(outputs, sample)?;
        let names: Vec<String> = expected.iter().map(|output| output.name.clone()).collect();
        let got = session.run(&inputs, &names).map_err(|source| ReplayError::Run { sample, source })?;
        for (expected, got) in expected.iter().zip(&got) {
            if golden.random.contains(&expected.name) {
                compare_random(expected, got)
                    .map_err(|difference| difference.into_mismatch(sample, expected))?;
                continue;
            }
            let difference = compare(expected, got, bounds.get(&expected.name))
                .map_err(|difference| difference.into_mismatch(sample, expected))?;
            max_difference = max_difference.max(difference);
        }
    }
    Ok(Replay { count: u32::try_from(golden.samples.len()).unwrap_or(u32::MAX), max_difference })
}

fn tolerance_of(tolerance: &str) -> Result<f64, ReplayError> {
    tolerance
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| ReplayError::Tolerance { tolerance: tolerance.to_owned() })
}

/// Where two tensors differ by more than is allowed.
struct Difference {
    element: Option<usize>,
    expected: String,
    got: String,
    allowed: f64,
}

impl Difference {
    fn into_mismatch(self, sample: usize, output: &Tensor) -> Mismatch {
        let output = match self.element {
            Some(element) => format!("{}[{element}]", output.name),
            None => output.name.clone(),
        };
        let allowed = if self.allowed == 0.0 { "0".to_owned() } else { format!("{:.3e}", self.allowed) };
        Mismatch { sample, output, expected: self.expected, got: self.got, allowed }
    }
}

/// Compares what is left to compare of random numbers: how many of them there are may be one of them, too.
fn compare_random(expected: &Tensor, got: &Tensor) -> Result<(), Difference> {
    let kind = |tensor: &Tensor| format!("{} of {} axes", tensor.datatype, tensor.shape.len());
    if expected.datatype != got.datatype || expected.shape.len() != got.shape.len() {
        let (expected, got) = (kind(expected), kind(got));
        return Err(Difference { element: None, expected, got, allowed: 0.0 });
    }
    match floats(got).iter().enumerate().find(|(_, number)| !number.is_finite()) {
        None => Ok(()),
        Some((element, number)) => Err(Difference {
            element: Some(element),
            expected: "a finite number".to_owned(),
            got: number.to_string(),
            allowed: 0.0,
        }),
    }
}

/// The largest difference of two tensors in parts of what is allowed, or where they differ by more. Without bounds they
/// must be equal.
fn compare(expected: &Tensor, got: &Tensor, bounds: Option<&Bounds>) -> Result<f64, Difference> {
    let kind =
        |tensor: &Tensor| format!("{} of shape {}", tensor.datatype, crate::tensor::Shape(&tensor.shape));
    if expected.datatype != got.datatype || expected.shape != got.shape {
        let (expected, got) = (kind(expected), kind(got));
        return Err(Difference { element: None, expected, got, allowed: 0.0 });
    }
    let Some(bounds) = bounds.filter(|_| expected.datatype.is_float()) else {
        return if expected.data == got.data { Ok(0.0) } else { Err(first_difference(expected, got)) };
    };
    let (shape, expected, got) = (&expected.shape, floats(expected), floats(got));
    bounds.compare(shape, &expected, &got).map_err(|Beyond { element, allowed }| {
        let text = |numbers: &[f64]| numbers.get(element).map(f64::to_string).unwrap_or_default();
        Difference { element: Some(element), expected: text(&expected), got: text(&got), allowed }
    })
}

fn first_difference(expected: &Tensor, got: &Tensor) -> Difference {
    if let (Datatype::Bytes, Ok(expected), Ok(got)) = (expected.datatype, expected.strings(), got.strings()) {
        let at = expected.iter().zip(&got).position(|(expected, got)| expected != got).unwrap_or(0);
        let text = |strings: &[&str]| {
            strings.get(at).map(|text| format!("{:?}", text.chars().take(80).collect::<String>()))
        };
        return Difference {
            element: Some(at),
            expected: text(&expected).unwrap_or_default(),
            got: text(&got).unwrap_or_default(),
            allowed: 0.0,
        };
    }
    let size = expected.datatype.size().unwrap_or(1);
    let pairs = expected.data.chunks(size).zip(got.data.chunks(size));
    let at = pairs.clone().position(|(expected, got)| expected != got).unwrap_or(0);
    let text = |tensor: &Tensor| {
        tensor.data.chunks(size).nth(at).map_or_else(String::new, |bytes| integer(tensor.datatype, bytes))
    };
    Difference { element: Some(at), expected: text(expected), got: text(got), allowed: 0.0 }
}

fn integer(datatype: Datatype, bytes: &[u8]) -> String {
    let unsigned = bytes.iter().rev().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    match datatype {
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 | Datatype::Int64 => {
            // Moves the sign to the top bit and back, which fills in between.
            let shift = u32::try_from(64_usize.saturating_sub(bytes.len() * 8)).unwrap_or(0);
            ((unsigned << shift).cast_signed() >> shift).to_string()
        }
        _ => unsigned.to_string(),
    }
}

/// The elements of a floating-point tensor.
pub fn floats(tensor: &Tensor) -> Vec<f64> {
    let data: &[u8] = &tensor.data;
    match tensor.datatype {
        Datatype::Fp16 => {
            bytemuck::pod_collect_to_vec::<u8, half::f16>(data).into_iter().map(f64::from).collect()
        }
        Datatype::Bf16 => {
            bytemuck::pod_collect_to_vec::<u8, half::bf16>(data).into_iter().map(f64::from).collect()
        }
        Datatype::Fp32 => bytemuck::pod_collect_to_vec::<u8, f32>(data).into_iter().map(f64::from).collect(),
        Datatype::Fp64 => bytemuck::pod_collect_to_vec::<u8, f64>(data),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
