//! What the operator makes of Models: in go manifests, out comes a line of JSON for each, with what `train` and `prove` are
//! told. A Model that the operator refuses ends this with its reasons.

use std::{env, error::Error, fs};

use modelwright::{api::Model, model::validate::validate_model};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    for path in env::args().skip(1) {
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let model: Model = serde_yaml::from_str(text.split("\n---\n").next().unwrap_or_default())
            .map_err(|error| format!("{path}: {error}"))?;
        let valid = validate_model(&model).map_err(|error| format!("{path}: {error}"))?;
        let training = valid.training().ok_or_else(|| format!("{path}: it trains nothing"))?;
        let judgement = json!({"task": training.config.task, "gates": training.gates});
        println!("{}", json!({"run": training.config, "judgement": judgement}));
    }
    Ok(())
}
