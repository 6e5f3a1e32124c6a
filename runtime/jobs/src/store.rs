//! A registry as a place for models: what an address means ([`Reference`]), what a manifest says ([`manifest`]) and
//! how manifests and blobs are read and written ([`Registry`]). Written against the OCI distribution specification
//! itself, because the rules of [`crate::network`] (which addresses, whose credentials, which redirects) must hold
//! for every single request. Blobs are streamed in both directions. A [`Bucket`] is the same of an object store.

mod bucket;
mod challenge;
mod error;
mod folder;
pub mod manifest;
pub mod pack;
mod reference;
mod registry;

pub use bucket::{Bucket, BucketAccess, BucketError};
pub use error::RegistryError;
pub use folder::FolderError;
pub use reference::{Reference, is_sha256};
pub use registry::{Access, DEFAULT_CHUNK, Registry};
