//! `prove` and `publish` as the two containers of a run: what is anybody's on one side, the store's Secret on the other.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use modelwright_contract::{
    names::{EXIT_BAD_INPUT, ONNXRUNTIME_ENV, PROVE_ENV, PUBLISH_ENV},
    report::{ProveReport, PublishReport, Report},
};

use tokio::process::Command;

use crate::{
    commands::{report, run},
    support::{onnx, programs::Program, secret, sha256},
};

/// A run's volume with a model in it.
struct Volume {
    folder: tempfile::TempDir,
}

impl Volume {
    fn new(model: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("data/model.onnx"), model).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    async fn prove(&self) -> (Option<i32>, Report<ProveReport>) {
        let config = serde_json::json!({
            "directory": self.path("data"), "proof": self.path("proof"), "goldenSamples": 2, "goldenSeed": 1,
            "deadlineSeconds": 60,
        });
        let log = self.path("log-of-prove");
        let output = run(&["prove", "--termination-log", &log], (PROVE_ENV, &config.to_string())).await;
        (output.status.code(), report(Path::new(&log)))
    }

    async fn publish(&self, host: &str, keys: &Path) -> (Option<i32>, Report<PublishReport>) {
        let config = serde_json::json!({
            "namespace": "team", "model": "digits", "proof": self.path("proof"), "storeRetrySeconds": 5,
            "store": {"uri": format!("oci://{host}/models"), "plainHttp": true, "credentialsDirectory": keys},
        });
        let log = self.path("log-of-publish");
        let mut command = Command::new(env!("CARGO_BIN_EXE_modelwright-jobs"));
        command.args(["publish", "--allow-loopback", "--termination-log", &log]).env_clear();
        // Without ONNX Runtime: it runs no model.
        command.env(ONNXRUNTIME_ENV, "/nowhere/libonnxruntime.so").env(PUBLISH_ENV, config.to_string());
        let output = command.output().await.unwrap();
        (output.status.code(), report(Path::new(&log)))
    }
}

fn refused<T: std::fmt::Debug>((code, report): (Option<i32>, Report<T>)) -> (String, String) {
    assert_eq!(code, Some(EXIT_BAD_INPUT), "{report:?}");
    let Report::Failed(failure) = report else { panic!("{report:?}") };
    (failure.reason, failure.message)
}

#[tokio::test]
async fn what_one_container_proves_the_other_stores_and_runs_nothing() {
    let passwords = tempfile::tempdir().unwrap();
    let registry = Program::registry(&Program::password_file(passwords.path())).await;
    let keys = secret(&[("host", &registry.host()), ("username", "ada"), ("password", "pw")]);
    let volume = Volume::new(&onnx::adder());
    let (code, proven) = volume.prove().await;
    assert_eq!(code, Some(0), "{proven:?}");
    let Report::Succeeded(proven) = proven else { panic!("{proven:?}") };
    let digest = sha256(format!("{}  model.onnx\n", sha256(onnx::adder())));
    assert_eq!(proven, ProveReport { model_digest: digest.clone(), golden_count: 2 });
    // What is stored is what was proven, and not what lies where it came from.
    fs::remove_dir_all(volume.path("data")).unwrap();
    let (code, published) = volume.publish(&registry.host(), keys.path()).await;
    let Report::Succeeded(published) = published else { panic!("{published:?}") };
    assert_eq!((code, &published.model_digest, published.golden_count), (Some(0), &digest, 2));
    assert!(published.size.is_some() && published.row_independence.is_some());
}

#[tokio::test]
async fn a_model_that_is_refused_leaves_nothing_to_publish() {
    let registry = Program::registry("").await;
    let keys = tempfile::tempdir().unwrap();
    let volume = Volume::new(&onnx::step_by_step());
    let (reason, message) = refused(volume.prove().await);
    assert_eq!(reason, "CrashesOnInput", "{message}");
    assert!(
        message.contains("\"frame_length\" (INT64) filled with 0") && message.contains("signal 8"),
        "{message}"
    );
    let (reason, message) = refused(volume.publish(&registry.host(), keys.path()).await);
    assert_eq!(reason, "Unproven", "{message}");
    let files = fs::read_dir(volume.folder.path()).unwrap().count();
    assert_eq!(files, 3, "data and two logs, and no work folder");
}

/// What is made on the way to the store lies where only `publish` writes.
#[tokio::test]
async fn a_link_in_place_of_a_file_that_publish_makes_is_not_followed() {
    let registry = Program::registry("").await;
    let keys = secret(&[("host", &registry.host()), ("username", "ada"), ("password", "pw")]);
    let volume = Volume::new(&onnx::adder());
    assert_eq!(volume.prove().await.0, Some(0));
    let other = keys.path().join("other");
    fs::write(&other, "stays").unwrap();
    std::os::unix::fs::symlink(&other, volume.path("proof/config.json")).unwrap();
    let before = crate::support::files(Path::new(&volume.path("proof")));
    let (code, published) = volume.publish(&registry.host(), keys.path()).await;
    assert_eq!(code, Some(0), "{published:?}");
    assert_eq!(fs::read_to_string(&other).unwrap(), "stays");
    assert_eq!(crate::support::files(Path::new(&volume.path("proof"))), before);
}

/// Whoever runs in `prove` may write its whole volume; what it writes there leads to no Secret.
#[tokio::test]
async fn a_program_in_place_of_prove_gets_no_secret_out() {
    const SECRET: &str = "a-secret-that-must-stay";
    let registry = Program::registry("").await;
    let keys = secret(&[("host", &registry.host()), ("username", "ada"), ("password", SECRET)]);
    let password = keys.path().join("password");
    let volume = Volume::new(&onnx::adder());
    assert_eq!(volume.prove().await.0, Some(0));
    let digest = sha256(SECRET);
    // It knows where the Secret will lie, and, by some chance, its digest.
    let script = format!(
        "#!/bin/sh\nset -e\nrm {proof}/files/modelwright/golden.json\n\
         ln -s {password} {proof}/files/modelwright/golden.json\n\
         sed -i 's/\\(golden.json\":{{\"sha256\":\"\\)[0-9a-f]*\\(\",\"sizeBytes\":\\)[0-9]*/\\1{digest}\\2{size}/' {proof}/proof.json\n",
        proof = volume.path("proof"),
        password = password.display(),
        size = SECRET.len(),
    );
    let program = volume.folder.path().join("stand-in");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(std::process::Command::new(&program).status().unwrap().success());
    assert!(
        fs::read_to_string(volume.path("proof/proof.json")).unwrap().contains(&digest),
        "the fault happened"
    );
    let (reason, message) = refused(volume.publish(&registry.host(), keys.path()).await);
    assert_eq!(reason, "Unproven", "{message}");
    assert!(message.contains("golden.json is no ordinary file"), "{message}");
    let registry = registry.folder.path().join("registry");
    assert!(!registry.exists() || crate::support::files(&registry).is_empty(), "something is stored");
}
