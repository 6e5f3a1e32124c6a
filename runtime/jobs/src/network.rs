//! How bytes cross the network, for `fetch` and `publish` alike: which addresses may be connected to
//! ([`address`]), whose credentials go where ([`credentials`]), and one HTTP client that obeys both
//! ([`client`]). In goes a URL; out comes a response or an error that says whether a retry may help.
//!
//! One place decides what answer is content ([`content`]), one how long to wait ([`Timeouts`]), one what is tried again
//! and when ([`RetryPolicy`]), and one goes on with a transfer that was cut ([`download`]).

pub mod address;
pub mod client;
pub mod content;
pub mod credentials;
pub mod download;
mod error;
pub mod host;
pub mod payload;
mod retry;
mod time;
pub mod words;

pub use error::{NetworkError, Refusal, redacted};
pub use retry::{Attempts, Failure, RetryPolicy};
pub use time::{Late, Timeouts};
