//! The API server's objects, whatever their kind.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cache`] | watched objects, packed; each is read by itself |
//! | [`unreadable`] | what is told of an object that does not parse |
//! | [`objects`], [`apply`] | what is rendered and whose it is; how it is written |
//! | [`refusals`] | writes that were refused while others went on |
//! | [`expectations`] | writes that the caches do not show yet |
//! | [`controller`] | triggers, the queue, backoff |
//! | [`lease`], [`election`], [`client`] | who leads; nobody else's writes leave |
//! | [`events`] | what people are told |

pub mod apply;
pub mod cache;
pub mod client;
pub mod controller;
pub mod election;
pub mod events;
pub mod expectations;
pub mod lease;
pub mod objects;
pub mod refusals;
pub mod unreadable;
