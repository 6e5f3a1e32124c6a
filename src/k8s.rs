//! The API server's objects, whatever their kind: which kinds there are, what they belong to and what ours are known by is
//! handed over (`../caches`).
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cache`] | watched objects, packed; each is read by itself |
//! | [`cluster`] | reading what is there now, and what writing needs |
//! | [`objects`], [`apply`] | what is rendered and whose it is; how it is written |
//! | [`refusals`] | writes that were refused while others went on |
//! | [`expectations`] | writes that the caches do not show yet |
//! | [`controller`] | triggers, the queue, backoff |
//! | [`lease`], [`election`], [`client`] | who leads; nobody else's writes leave |
//! | [`heard`] | how old each cache is |
//! | [`events`] | what people are told |

pub mod apply;
pub mod cache;
pub mod client;
pub mod cluster;
pub mod controller;
pub mod election;
pub mod events;
pub mod expectations;
pub mod heard;
pub mod lease;
pub mod objects;
pub mod refusals;
