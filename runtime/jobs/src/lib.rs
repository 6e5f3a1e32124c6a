//! What happens to a model before it is served: each command runs in a container of its own, and none serves anything.
//!
//! | step | modules |
//! | --- | --- |
//! | a command is read | [`cli`]; those of a Job's containers are [`job`]s, which tell what they [`retry`] |
//! | bytes come in | [`fetch`] through [`network`], judged by [`modelwright_core::onnx`] before ONNX Runtime sees them |
//! | a model proves itself | [`publish`] runs it and measures it by [`evaluation`]; a person may [`inspect`] it |
//! | an artifact goes out | [`publish`], into the [`store`] |

pub mod cli;
pub mod evaluation;
pub mod fetch;
pub mod inspect;
pub mod job;
pub mod network;
pub mod publish;
pub mod retry;
pub mod store;
