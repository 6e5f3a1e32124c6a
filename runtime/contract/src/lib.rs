//! What crosses the pod boundary: the operator writes these values into pods, and the runtime reads them, and the
//! other way round. Both sides test against the same golden files, so neither can drift alone.
//!
//! | module | direction |
//! | --- | --- |
//! | [`names`] | both: environment variables, ports, paths, exit codes |
//! | [`fetch`], [`prove`], [`publish`], [`serving`] | operator → container, as one JSON environment variable each |
//! | [`traffic`] | operator → serving pods, through an optional ConfigMap that is re-read while they run |
//! | [`training`] | operator → `train` and `prove`; `train` → `prove`, as files; `train` → operator |
//! | [`algorithms`], [`layers`] | what the built-in trainers know, and the parameters of each |
//! | [`evaluation`] | operator → `prepare` of an import |
//! | [`variants`] | operator → `optimize` and `prove`; what `publish` reports of variants |
//! | [`report`] | run container → operator, through the termination message |
//! | [`status`] | serving pod → operator, at `GET :9090/status` |
//! | [`rows`] | whether a model's rows are independent, in what `publish` reports |
//! | [`signature`] | inputs and outputs of a model, in the words of the Open Inference Protocol |
//! | [`artifact`] | names and shapes of the files inside a published artifact |
#![warn(missing_docs)]

pub mod algorithms;
pub mod artifact;
pub mod evaluation;
pub mod fetch;
pub mod layers;
pub mod names;
pub mod prove;
pub mod publish;
pub mod report;
pub mod rows;
pub mod serving;
pub mod signature;
pub mod size;
pub mod status;
pub mod traffic;
pub mod training;
pub mod variants;
