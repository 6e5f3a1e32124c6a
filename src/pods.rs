//! What the pods of both kinds have in common.

pub mod http;
pub mod parts;
pub mod resources;
pub mod silent;
pub mod unstarted;
