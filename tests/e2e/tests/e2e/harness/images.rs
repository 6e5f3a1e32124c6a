//! The images: those under test come from the environment, that of the servers is built here.

use std::{env, path::PathBuf, process::Stdio};

use tokio::process::Command;

use super::kubectl::run;

/// The images under test.
#[derive(Clone, Debug)]
pub struct Images {
    /// The operator.
    pub operator: String,
    /// The runtime.
    pub runtime: String,
    /// The bundled store.
    pub store: String,
    /// The built-in trainer.
    pub trainer: String,
    /// The built-in trainer with Keras.
    pub trainer_keras: String,
}

impl Images {
    /// Reads the environment.
    pub fn from_environment() -> Result<Self, String> {
        let read = |name: &str| match env::var(name) {
            Ok(image) if !image.is_empty() => Ok(image),
            _ => Err(format!("{name} is not set; run `make test`")),
        };
        Ok(Self {
            operator: read("MODELWRIGHT_OPERATOR_IMAGE")?,
            runtime: read("MODELWRIGHT_RUNTIME_IMAGE")?,
            store: read("MODELWRIGHT_STORE_IMAGE")?,
            trainer: read("MODELWRIGHT_TRAINER_IMAGE")?,
            trainer_keras: read("MODELWRIGHT_TRAINERKERAS_IMAGE")?,
        })
    }
}

/// The top folder of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds and pushes the image of the servers: the fixture server, versitygw and the registry.
pub async fn fixtures() -> Result<String, String> {
    let script = r#"
set -euo pipefail
staged="$(mktemp -d)"
trap 'rm -rf "$staged"' EXIT
mkdir "$staged/root"
strip -o "$staged/fixture-server" "$FIXTURE_SERVER"
versitygw="$(tests/cluster/program versitygw)"
registry="$(tests/cluster/program registry)"
images/stage-rootfs "$staged/root" "$staged/fixture-server" "$versitygw" "$registry"
printf 'FROM scratch\nCOPY . /\nUSER 65532:65532\n' >"$staged/Containerfile"
tests/cluster/image tests/e2e-fixtures "$staged/Containerfile" "$staged/root"
"#;
    let output = Command::new("bash")
        .args(["-c", script])
        .env("FIXTURE_SERVER", env!("CARGO_BIN_EXE_fixture-server"))
        .current_dir(repository())
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("the servers' image was not built: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Builds and pushes the image of `examples/own-image`.
pub async fn own_image() -> String {
    run("tests/e2e/own-image", &[], "").await.expect_success().trim().to_owned()
}

/// Gives an image a further reference in its registry.
pub async fn copy_image(from: &str, to: &str) {
    // make exports its variables also when they are empty
    let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let is_users_own = given("CLUSTER").as_deref() == Some("current");
    let verify = given("IMAGES_TLS_VERIFY").unwrap_or_else(|| is_users_own.to_string());
    let (source, target) = (format!("--src-tls-verify={verify}"), format!("--dest-tls-verify={verify}"));
    let (from, to) = (format!("docker://{from}"), format!("docker://{to}"));
    run("skopeo", &["copy", "--quiet", &source, &target, &from, &to], "").await.expect_success();
}
