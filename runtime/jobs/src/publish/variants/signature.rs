//! Whether a variant takes and gives what its original does. In go both signatures; out come the sides on which it does not.

use modelwright_contract::signature::{Signature, TensorSpec};

/// How a variant would not take what its original takes, or not give what it gives: whoever asks the one asks the other.
pub fn unlike(variant: &Signature, original: &Signature) -> Vec<String> {
    let sides = [
        ("inputs", &variant.inputs, &original.inputs, takes as fn(&TensorSpec, &TensorSpec) -> bool),
        ("outputs", &variant.outputs, &original.outputs, gives),
    ];
    let mut refusals = Vec::new();
    for (side, ours, theirs, fits) in sides {
        let one = |spec: &TensorSpec| theirs.iter().any(|other| other.name == spec.name && fits(spec, other));
        if ours.len() != theirs.len() || !ours.iter().all(one) {
            let (ours, theirs) = (told(ours), told(theirs));
            refusals.push(format!("its {side} are {ours} and the original's {theirs}"));
        }
    }
    refusals
}

/// Whether an input takes all that another one takes.
fn takes(spec: &TensorSpec, original: &TensorSpec) -> bool {
    same_kind(spec, original, |size, other| size == other || size < 0)
}

/// Whether an output may be what another one is: runtimes know a size of one graph that they do not know of another.
fn gives(spec: &TensorSpec, original: &TensorSpec) -> bool {
    same_kind(spec, original, |size, other| size == other || size < 0 || other < 0)
}

fn same_kind(spec: &TensorSpec, original: &TensorSpec, fits: impl Fn(i64, i64) -> bool) -> bool {
    spec.datatype == original.datatype
        && spec.shape.len() == original.shape.len()
        && spec.shape.iter().zip(&original.shape).all(|(size, other)| fits(*size, *other))
}

/// The first of them in words: a graph may have any number.
fn told(specs: &[TensorSpec]) -> String {
    const SHOWN: usize = 4;
    let one = |spec: &TensorSpec| {
        let sizes: Vec<String> = spec.shape.iter().map(i64::to_string).collect();
        let name: String = spec.name.chars().take(64).collect();
        format!("{name:?} {} [{}]", spec.datatype, sizes.join(","))
    };
    let mut all: Vec<String> = specs.iter().take(SHOWN).map(one).collect();
    if specs.len() > SHOWN {
        all.push(format!("{} more", specs.len() - SHOWN));
    }
    all.join(", ")
}
