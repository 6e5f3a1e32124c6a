//! Everything of the jobs that needs a socket, a file system or another program. One topic a module.
#![allow(clippy::unwrap_used, clippy::panic)]

// Models of strangers: what they need, and what they bring along.
mod brought;
// The chart's own store: who may write to it, and that a run does.
mod bundled;
// The same where others are in the way.
mod bundled_places;
// An object store that refuses what is published, or loses it on the way.
mod buckets;
// The commands as a container runs them: environment in, report and exit code out.
mod commands;
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
// Stores and sources as they are in the field: slow, cut, wordy, and sure of what is not so.
mod habits;
// Names of dimensions and classes.
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
// What is in a registry once it says so, and what is in a volume already.
mod stored;
// An object store or a claim as the artifact store: there and back again.
mod stores;
// From what a training left to an artifact.
mod training;
// What of a training is refused, and with which words.
mod training_refused;
// Blobs on their way into registries with habits.
mod uploads;
// Variants of a model, and imports that are measured.
mod variants;
// What the modules share.
mod support;
