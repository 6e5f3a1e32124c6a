//! Modelwright's operator. The flow for each kind, top to bottom:
//!
//! ```text
//! fetch → validate → plan → build → apply → status
//!  IO      pure       pure   pure    IO      pure, written once and last
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`api`] | the resources that users write and read |
//! | [`model`] | the driver of Models and its steps |
//! | [`deployment`] | the driver of ModelDeployments and its steps; the state machine of a rollout |
//! | [`objects`], [`apply`] | what the operator makes, and how it is written |
//! | [`context`], [`cache`], [`written`] | what every reconcile needs; watched objects; writes that they do not show yet |
//! | [`controller`], [`lease`], [`run`], [`process`] | triggers, backoff, leader election, start and shutdown |
//! | [`admin`], [`metrics`], [`events`], [`telemetry`] | what people and monitoring see |
//! | [`problem`], [`unreadable`] | what conditions say is wrong; what is told of an object that does not parse |
//! | [`hash`], [`quantity`], [`duration`], [`decimal`] | canonical forms of what users write |
//! | [`resources`], [`suggestion`] | what both kinds check alike; what a user probably meant |
//! | [`store`], [`bundled_store`], [`push_proxy`] | the artifact store's address; the chart's own, and what may be written to it |
//! | [`pod`], [`pod_http`] | what the pods of both kinds have in common; questions to pods |
//! | [`cli`], [`crds`], [`clock`] | arguments; the `crds` subcommand; the time of day |

pub mod admin;
pub mod api;
pub mod apply;
pub mod bundled_store;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod context;
pub mod controller;
pub mod crds;
pub mod decimal;
pub mod deployment;
pub mod duration;
pub mod events;
pub mod hash;
pub mod lease;
pub mod metrics;
pub mod model;
pub mod objects;
pub mod pod;
pub mod pod_http;
pub mod problem;
pub mod process;
pub mod push_proxy;
pub mod quantity;
pub mod resources;
pub mod run;
pub mod store;
pub mod suggestion;
pub mod telemetry;
pub mod unreadable;
pub mod written;
