//! Compares the answers of the published bytes with those that `train` had for the same rows. In go both, batch by
//! batch; out comes how many rows differ, or a refusal where they are too many: then the file is not the model that was
//! trained, or its export changed it.

use std::{collections::BTreeMap, ops::Range};

use modelwright_contract::training::EVALUATION_FILE;

use super::{EvaluationError, elements::Elements, output, part::TestPart};
use modelwright_core::{
    golden::{floats, tolerance_of_datatype},
    tensor::{Datatype, Shape, Tensor},
    tolerance::Scale,
};

/// Largest share of rows that may differ.
const MAX_SHARE: f64 = 0.01;

#[derive(Debug)]
pub struct Comparison {
    differing: usize,
    first: Option<String>,
    /// How large the floating-point answers of `train` are, over all rows.
    scales: BTreeMap<String, Scale>,
}

impl Comparison {
    /// Finds how large the answers of `train` are.
    pub fn new(part: &TestPart) -> Result<Self, EvaluationError> {
        let mut scales: BTreeMap<String, Scale> = BTreeMap::new();
        for rows in part.batches() {
            for (name, array) in part.answers() {
                let tensor = array.tensor(name, rows.clone()).map_err(|why| refused(name, &why))?;
                if tensor.datatype.is_float() {
                    scales.entry(name.to_owned()).or_default().add(&tensor.shape, &floats(&tensor));
                }
            }
        }
        Ok(Self { differing: 0, first: None, scales })
    }

    pub fn add(
        &mut self,
        part: &TestPart,
        rows: &Range<usize>,
        outputs: &[Tensor],
    ) -> Result<(), EvaluationError> {
        let mut differs = vec![false; rows.len()];
        for (name, array) in part.answers() {
            let expected = array.tensor(name, rows.clone()).map_err(|why| refused(name, &why))?;
            let got = output(outputs, name)?;
            let pairs = pairs(&expected, got, self.scales.get(name)).map_err(|why| refused(name, &why))?;
            let width = pairs.len() / rows.len().max(1);
            for ((row, elements), differs) in rows.clone().zip(pairs.chunks(width.max(1))).zip(&mut differs) {
                let Some(element) = elements.iter().position(|pair| !pair.same) else { continue };
                *differs = true;
                if self.first.is_none() {
                    let element = if width > 1 { format!("[{element}]") } else { String::new() };
                    let shown = elements.iter().find(|pair| !pair.same).map(|pair| pair.shown.clone());
                    self.first = Some(format!(
                        "the first is row {row}, where the output {name:?}{element} is {}",
                        shown.unwrap_or_default()
                    ));
                }
            }
        }
        self.differing += differs.into_iter().filter(|differs| *differs).count();
        Ok(())
    }

    /// How many rows differ, if they are few.
    #[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
    pub fn judge(self, rows: usize) -> Result<usize, EvaluationError> {
        let share = self.differing as f64 / rows.max(1) as f64;
        if share <= MAX_SHARE {
            return Ok(self.differing);
        }
        Err(EvaluationError::NotReproducible(format!(
            "the model answers {} of the {rows} rows of {EVALUATION_FILE} otherwise than train did ({:.1} %, and at most \
             {:.0} % may differ by more than {}); {}. Check that the export holds the same preparation and \
             weights, and that inputs and outputs are of the same rows",
            self.differing,
            share * 100.0,
            MAX_SHARE * 100.0,
            tolerance_of_datatype(Datatype::Fp32),
            self.first.unwrap_or_default()
        )))
    }
}

fn refused(name: &str, why: &str) -> EvaluationError {
    EvaluationError::Part(format!("is refused: its array \"outputs/{name}\" {why}"))
}

struct Pair {
    same: bool,
    /// Of a pair that is not the same.
    shown: String,
}

impl Pair {
    fn new<T: std::fmt::Debug>(same: bool, expected: &T, got: &T) -> Self {
        let short = |value: &T| format!("{value:?}").chars().take(80).collect::<String>();
        let shown =
            if same { String::new() } else { format!("{} and train's was {}", short(got), short(expected)) };
        Self { same, shown }
    }
}

/// Both tensors, element by element.
fn pairs(expected: &Tensor, got: &Tensor, scale: Option<&Scale>) -> Result<Vec<Pair>, String> {
    if expected.shape != got.shape {
        return Err(format!(
            "has the shape {} where the graph gives {}",
            Shape(&expected.shape),
            Shape(&got.shape)
        ));
    }
    let shape = &expected.shape;
    // Train may have kept more digits than the graph gives.
    let datatype = got.datatype;
    match (Elements::of(expected)?, Elements::of(got)?) {
        (Elements::Integers(expected), Elements::Integers(got)) => {
            Ok(expected.iter().zip(&got).map(|(a, b)| Pair::new(a == b, a, b)).collect())
        }
        (Elements::Texts(expected), Elements::Texts(got)) => {
            Ok(expected.iter().zip(&got).map(|(a, b)| Pair::new(a == b, a, b)).collect())
        }
        (Elements::Floats(expected), Elements::Floats(got)) => {
            let own = || Scale::of(shape, &expected);
            let bounds = scale.cloned().unwrap_or_else(own).bounds(tolerance_of_datatype(datatype), datatype);
            let shares = bounds.shares(shape, &expected, &got);
            let pair = |((share, _), (a, b)): ((f64, f64), (&f64, &f64))| Pair::new(share <= 1.0, a, b);
            Ok(shares.zip(expected.iter().zip(&got)).map(pair).collect())
        }
        (expected, got) => Err(format!("holds {} where the graph gives {}", expected.kind(), got.kind())),
    }
}
