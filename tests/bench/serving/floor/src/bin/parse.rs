//! serde's parse of an inference request in JSON into types: what reading a large tensor costs with a common library.

use std::{hint::black_box, path::PathBuf};

use clap::Parser;
use modelwright_bench_floor::{Outcome, Until, measure};
use serde::Deserialize;

/// Parses a request again and again.
#[derive(Debug, Parser)]
struct Arguments {
    /// File with the request's body
    body: PathBuf,
    /// For how long
    #[arg(long)]
    seconds: f64,
}

#[derive(Deserialize)]
struct Request {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is parsed, as a server would")]
struct Input {
    name: String,
    shape: Vec<i64>,
    datatype: String,
    data: Vec<f32>,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let body = std::fs::read(&arguments.body)?;
    let until = Until::Seconds(arguments.seconds);
    let taken = measure(|begun| {
        let mut runs = 0;
        while !until.is_over(runs, begun) {
            let request: Request = serde_json::from_slice(black_box(&body))?;
            if request.inputs.iter().all(|input| input.data.is_empty()) {
                return Err("the request has no data".into());
            }
            black_box(request);
            runs += 1;
        }
        Ok(runs)
    })?;
    println!("{}", serde_json::to_string(&taken)?);
    Ok(())
}
