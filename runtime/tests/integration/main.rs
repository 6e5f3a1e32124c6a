//! Everything of the runtime that needs a socket, a file system or another program. One topic a module.
//!
//! The registry (CNCF Distribution) and the object store (versitygw) are the real ones: `tests/cluster/programs` builds
//! them. They are looked for in the folder that `MODELWRIGHT_BIN` names, then on the `PATH`; a test fails where they
//! are missing.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

// What clients may have a server hold, and what 500 that mean it no good do to the others.
mod attack;
// Models of strangers: what they need, and what they bring along.
mod brought;
// The chart's own store: who may write to it, and that a run does.
mod bundled;
// The same where others are in the way.
mod bundled_places;
// The commands as a container runs them: environment in, report and exit code out.
// An object store that refuses what is published, or loses it on the way.
mod buckets;
mod commands;
// A model on a GPU, where there is one.
mod cuda;
// Leaving service under load.
mod drain;
// Binary data, compression, classes, and clients that misbehave.
mod extensions;
// Training data from every kind of source, and the config that `train` gets.
mod fetch_data;
// `http` and `https` sources against a web server that behaves and misbehaves.
mod fetch_http;
// `oci` sources against a real registry.
mod fetch_oci;
// `pvc` sources on the local file system.
mod fetch_pvc;
// `s3` sources against a real object store.
mod fetch_s3;
// What must hold for any bytes, on seeds and their mutations.
mod fuzz;
// Stores and sources as they are in the field: slow, cut, wordy, and sure of what is not so.
mod habits;
// What one request may ask for, and what it does to the others when it goes wrong.
mod harm;
// The protocol over gRPC, its limits, and how a server leaves its clients.
mod grpc;
// What is counted, over HTTP and gRPC.
mod memory;
mod metrics;
/// Names of dimensions and classes.
mod named;
// The page for people, in a real browser.
mod page;
// The two containers of a run that prove and store a model.
mod prove;
// Golden samples of a training whose rows stay where they are.
mod quantiles;
// From a fetched folder to an artifact in a real registry, by real inference.
mod publish;
// The report of a run, left in every kind of store and recalled.
mod recall;
// Whether requests share runs, and who says so.
mod rows;
// The protocol, its limits, and how a serving process starts.
mod serve;
// Models in ONNX Runtime, and their golden samples.
mod session;
// What is in a registry once it says so, and what is in a volume already.
mod stored;
// An object store or a claim as the artifact store: there and back again.
mod stores;
// From what a training left to an artifact.
mod training;
// What of a training is refused, and with which words.
mod training_refused;
// Predictions over a stream of gRPC.
mod stream;
// Blobs on their way into registries with habits.
mod uploads;
// Variants of a model, and imports that are measured.
mod variants;
// Threads, queue and shared runs between the fronts and a model.
mod worker;
// What the modules share.
mod support;
