//! Everything of the server that needs a socket, a file system or another program. One topic a module.
#![allow(clippy::unwrap_used, clippy::panic)]

// What the server is made of, and what not.
mod cut;
// What clients may have a server hold, and what 500 that mean it no good do to the others.
mod attack;
// A model on a GPU, where there is one.
mod cuda;
// Leaving service under load.
mod drain;
// Binary data, compression, classes, and clients that misbehave.
mod extensions;
// What must hold for any bytes, on seeds and their mutations.
mod fuzz;
// What one request may ask for, and what it does to the others when it goes wrong.
mod harm;
// The protocol over gRPC, its limits, and how a server leaves its clients.
mod grpc;
// What a server's memory holds of a model.
mod memory;
// What is counted, over HTTP and gRPC.
mod metrics;
// The page for people, in a real browser.
mod page;
// Whether requests share runs, and who says so.
mod rows;
// The protocol, its limits, and how a serving process starts.
mod serve;
// Predictions over a stream of gRPC.
mod stream;
// Threads, queue and shared runs between the frontends and a model.
mod worker;

use modelwright_testing as support;
