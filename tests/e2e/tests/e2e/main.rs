//! Tests on a real cluster: what is promised to users holds for the parts put together.
//!
//! They need `KUBECONFIG` and the images under test in `MODELWRIGHT_OPERATOR_IMAGE`, `MODELWRIGHT_RUNTIME_IMAGE` and
//! `MODELWRIGHT_STORE_IMAGE`; without them every test is reported as ignored. Pods and Services must be reachable from
//! here, as they are with `tests/cluster`. Tests run side by side, each in a namespace of its own; those that change the
//! operator itself run alone.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::too_many_lines)]

mod harness;

mod imports;
mod servers;

use std::process::ExitCode;

use harness::run::{alone, side_by_side};

fn main() -> ExitCode {
    let mut cases = side_by_side![
        servers::the_servers_to_import_from_serve_and_fail_as_asked,
        imports::a_model_is_imported_served_and_answers,
    ];
    cases.extend(alone![]);
    harness::run::all(cases)
}
