use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use crate::support::{Volume, files, sha256};

struct Claim {
    folder: TempDir,
}

impl Claim {
    /// A claim with a model and its weights, and a file beside the claim that must stay out of reach.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("claim/models/digits")).unwrap();
        fs::write(folder.path().join("claim/models/digits/net.onnx"), "graph").unwrap();
        fs::write(folder.path().join("claim/models/digits/net.data"), "weights").unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        Self { folder }
    }

    fn volume(&self, uri: &str) -> Volume {
        let mut volume = Volume::new(uri);
        volume.options.claim_directory = self.folder.path().join("claim");
        volume
    }

    fn link(&self, target: &str, name: &str) {
        symlink(target, self.folder.path().join("claim").join(name)).unwrap();
    }
}

#[tokio::test]
async fn one_file_becomes_the_model() {
    let claim = Claim::new();
    let volume = claim.volume("pvc://claim/models/digits/net.onnx");
    assert_eq!(volume.fetch().await.unwrap().sha256, sha256("graph"));
    assert_eq!(volume.files(), ["model.onnx"]);
}

#[tokio::test]
async fn a_folder_keeps_the_weights_beside_the_model() {
    let claim = Claim::new();
    let volume = claim.volume("pvc://claim/models/digits/");
    let report = volume.fetch().await.unwrap();
    let list = format!("{}  net.data\n{}  net.onnx\n", sha256("weights"), sha256("graph"));
    assert_eq!((report.sha256, report.files), (sha256(list), 2));
    assert_eq!(volume.files(), ["model.onnx", "net.data"]);
    let whole = claim.volume("pvc://claim");
    whole.fetch().await.unwrap();
    assert_eq!(whole.files(), ["model.onnx", "net.data"]);
}

#[tokio::test]
async fn a_link_within_the_claim_is_followed_and_one_out_of_it_is_not() {
    let claim = Claim::new();
    claim.link("models/digits/net.onnx", "inside");
    claim.link("../secret", "outside");
    claim.link(claim.folder.path().join("secret").to_str().unwrap(), "absolute");
    claim.link("..", "up");
    claim.volume("pvc://claim/inside").fetch().await.unwrap();
    for path in ["outside", "absolute", "up/secret", "up/", "../secret", "models/../../secret"] {
        let error = claim.volume(&format!("pvc://claim/{path}")).refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("Forbidden", false), "{path}: {error}");
    }
    // A folder that holds such a link is refused as a whole.
    assert_eq!(claim.volume("pvc://claim/").refused().await, "Forbidden");
}

#[tokio::test]
async fn what_is_not_there_or_no_file_is_refused_at_once() {
    let claim = Claim::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, claim.folder.path().join("claim/pipe"), 0o600.into()).unwrap();
    for path in ["missing.onnx", "missing/", "models/digits", "models/digits/net.onnx/", "pipe"] {
        let error = claim.volume(&format!("pvc://claim/{path}")).refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("NotFound", false), "{path}: {error}");
    }
    fs::create_dir(claim.folder.path().join("claim/empty")).unwrap();
    assert_eq!(claim.volume("pvc://claim/empty/").refused().await, "NoModel");
}

#[tokio::test]
async fn too_many_bytes_and_files_are_refused() {
    let claim = Claim::new();
    let mut volume = claim.volume("pvc://claim/models/digits/");
    volume.config.max_bytes = 11;
    assert_eq!(volume.refused().await, "TooLarge");
    for number in 0..1000 {
        fs::write(claim.folder.path().join(format!("claim/models/digits/{number}")), "").unwrap();
    }
    assert_eq!(claim.volume("pvc://claim/models/digits/").refused().await, "TooManyFiles");
    assert_eq!(files(claim.folder.path()).len(), 1003);
}
