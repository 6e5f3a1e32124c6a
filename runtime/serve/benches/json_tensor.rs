//! How long a JSON tensor of 3×224×224 numbers takes to read, against serde's typed parse of the same text in the same run:
//! `cargo bench -p modelwright-serve --bench json_tensor`.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use bytes::Bytes;
use modelwright_serve::decode::decode;

const ELEMENTS: usize = 3 * 224 * 224;
const ROUNDS: usize = 101;

/// Writes a number from 0 to 1.
type Write = fn(f64) -> String;

#[derive(serde::Deserialize)]
struct Request {
    inputs: Vec<Input>,
}

#[derive(serde::Deserialize)]
struct Input {
    data: Vec<f32>,
}

fn main() {
    let write: [(&str, Write); 5] = [
        ("4 places, as Python rounds", |x| format!("{}", (x * 1e4).round() / 1e4)),
        ("4 places and signs", |x| format!("{:.4}", x * 5.0 - 2.5)),
        ("FP32's shortest", |x| format!("{}", x as f32)),
        ("FP32 as FP64, as Python's tolist", |x| format!("{}", f64::from(x as f32))),
        ("8-bit integers", |x| format!("{}", (x * 256.0).floor())),
    ];
    for (name, write) in write {
        for separator in [",", ", "] {
            let body = text(write, separator);
            let (mut ours, mut serdes) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let begun = Instant::now();
                let request = decode(&body, None).unwrap();
                ours.push(begun.elapsed());
                let begun = Instant::now();
                let serde: Request = serde_json::from_slice(&body).unwrap();
                serdes.push(begun.elapsed());
                assert_eq!(request.inputs[0].data.len(), serde.inputs[0].data.len() * 4);
            }
            let (ours, serdes) = (median(ours), median(serdes));
            println!(
                "{name:<33} {separator:?}: {:4} KB, ours {:4} µs, serde {:4} µs, ratio {:.2}",
                body.len() / 1000,
                ours.as_micros(),
                serdes.as_micros(),
                ours.as_secs_f64() / serdes.as_secs_f64()
            );
        }
    }
}

fn text(write: Write, separator: &str) -> Bytes {
    let mut text = r#"{"inputs":[{"name":"x","shape":[1,3,224,224],"datatype":"FP32","data":["#.to_owned();
    let mut state = 1_u64;
    for element in 0..ELEMENTS {
        // Knuth's generator for MMIX; its upper bits are random enough for digits.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let separator = if element == 0 { "" } else { separator };
        write!(text, "{separator}{}", write((state >> 40) as f64 / 2_f64.powi(24))).unwrap();
    }
    text.push_str("]}]}");
    text.into()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
