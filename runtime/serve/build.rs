//! Makes the types and the service of `../proto/inference.proto`, and its descriptor for clients that ask what is served.
//! Needs no `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PROTO: &str = "../proto/inference.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["../proto"])?;
    let place = PathBuf::from(env::var("OUT_DIR")?).join("inference.bin");
    fs::write(place, descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // Connections are for `serve::grpc` to make.
        .build_transport(false)
        // Tensors stay in the memory that they were received in.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
