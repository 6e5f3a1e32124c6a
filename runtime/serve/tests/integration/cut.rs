//! What the server is made of: no client of a store, and nothing that reads a credential.

use std::{fs, process::Command};

use crate::support::programs::executable;

/// Every crate that a package is made of.
fn crates_of(package: &str) -> Vec<String> {
    let tree = [
        "tree",
        "--offline",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--package",
        package,
    ];
    let output = Command::new(env!("CARGO")).args(tree).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Whether an executable, whose symbols are named after crates, holds code of one.
fn holds(program: &[u8], name: &str) -> bool {
    program.windows(name.len()).any(|part| part == name.as_bytes())
}

#[test]
fn the_server_has_no_client_of_stores_and_the_jobs_have_no_server() {
    let clients = ["modelwright-jobs", "object_store", "reqwest", "rustls"];
    let servers = ["modelwright-serve", "actix-web", "tonic"];
    for (package, has, lacks) in [
        ("modelwright-serve", servers, clients.as_slice()),
        ("modelwright-jobs", ["object_store", "reqwest", "rustls"], servers.as_slice()),
    ] {
        let crates = crates_of(package);
        for name in has {
            assert!(crates.iter().any(|found| found == name), "{package} has no {name}");
        }
        for name in lacks {
            assert!(!crates.iter().any(|found| found == name), "{package} has {name}");
        }
    }
    let program = fs::read(executable("modelwright-serve")).unwrap();
    assert!(holds(&program, "actix_web"), "its symbols say of which crate they are");
    for name in ["modelwright_jobs", "object_store", "reqwest", "rustls"] {
        assert!(!holds(&program, name), "the server has code of {name}");
    }
}
