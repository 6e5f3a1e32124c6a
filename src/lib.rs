//! Modelwright's operator. The flow for each kind, top to bottom; docs/operator.md draws it:
//!
//! ```text
//! observe → validate → resolve, plan, decide → execute → status
//!   IO        pure             pure               IO      pure, written once and last
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`api`] | the resources that users write and read |
//! | [`model`] | the driver of Models and its steps |
//! | [`serving`] | the driver of ModelDeployments and its steps; the state machine of a rollout |
//! | [`k8s`] | reading and writing of objects of any kind, ours or not: caches, applying, expectations, leader election, triggers and backoff |
//! | [`caches`] | the kinds that are watched, what their objects belong to, and what is read of them |
//! | [`unreadable`] | what is told of an object that does not parse |
//! | [`pods`] | what the pods of both kinds have in common; questions to pods |
//! | [`context`] | what every reconcile needs |
//! | [`run`], [`process`] | start and shutdown |
//! | [`admin`], [`metrics`], [`telemetry`] | what people and monitoring see |
//! | [`problem`] | what conditions say is wrong |
//! | [`hash`], [`quantity`], [`duration`], [`decimal`] | canonical forms of what users write |
//! | [`suggestion`] | what a user probably meant |
//! | [`store`], [`bundled_store`], [`push_proxy`] | the artifact store's address; the chart's own, and what may be written to it |
//! | [`cli`], [`crds`], [`clock`] | arguments; the `crds` subcommand; the time of day |

pub mod admin;
pub mod api;
pub mod bundled_store;
pub mod caches;
pub mod cli;
pub mod clock;
pub mod context;
pub mod crds;
pub mod decimal;
pub mod duration;
pub mod hash;
pub mod k8s;
pub mod metrics;
pub mod model;
pub mod pods;
pub mod problem;
pub mod process;
pub mod push_proxy;
pub mod quantity;
pub mod run;
pub mod serving;
pub mod store;
pub mod suggestion;
pub mod telemetry;
pub mod unreadable;
