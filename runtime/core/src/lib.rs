//! What the server and the jobs of the runtime have in common: a model, what goes through it, and what it is held against.
//! No server, no client of a store, nothing of Kubernetes.
//!
//! | what | modules |
//! | --- | --- |
//! | a model's file is judged before ONNX Runtime sees it | [`onnx`], and [`path`]s in it |
//! | a model is loaded and run | [`session`], the only one that names `ort`, with [`tensor`]s in and out, some of them of [`classes`] |
//! | its graph says whether rows are independent | [`rows`] |
//! | a model proves itself | [`digest`] of its bytes, [`golden`] samples of its answers within [`tolerance`], rows of an [`npz`] |
//! | a program | begins as a [`process`] with [`cores`] and [`memory`], [`listen`]s, and ends with a [`report`] |

pub mod classes;
pub mod cores;
pub mod digest;
pub mod golden;
pub mod listen;
pub mod memory;
pub mod npz;
pub mod onnx;
pub mod path;
pub mod process;
pub mod report;
pub mod rows;
pub mod session;
pub mod tensor;
pub mod tolerance;
