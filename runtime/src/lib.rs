//! The runtime: one binary that fetches, publishes, inspects and serves ONNX models, and knows nothing of Kubernetes.
//!
//! | step | modules |
//! | --- | --- |
//! | a command is read | [`cli`]; those of a Job's containers are [`job`], and end with a [`report`] |
//! | bytes come in | [`fetch`] through [`network`], judged by [`onnx`] before ONNX Runtime sees them |
//! | a model is loaded and run | [`session`], the only one that names `ort`, with [`tensor`]s in and out |
//! | its graph says whether rows are independent | [`rows`] |
//! | a model proves itself | [`digest`] of its bytes, [`golden`] samples of its answers; a person may [`inspect`] it |
//! | predictions go out | [`serve`], with [`metrics`], on the [`cores`] and within the [`memory`] that the container has, until a [`shutdown`] |
//! | an artifact goes out | [`publish`], into the [`store`] |

pub mod cli;
pub mod evaluation;
pub mod fetch;
pub mod inspect;
pub mod job;
pub mod metrics;
pub mod network;
pub mod publish;
pub mod retry;
pub mod serve;
pub mod shutdown;
pub mod store;
