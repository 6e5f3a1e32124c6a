//! Types and service of `proto/inference.proto`, which the build makes of it.
#![allow(clippy::all, clippy::pedantic)]

tonic::include_proto!("inference");

/// What clients get that ask what is served.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/inference.bin"));
