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

pub mod api;
