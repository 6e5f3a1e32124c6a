use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use modelwright_contract::{
    artifact::digest_line,
    fetch::{FetchConfig, FetchKind},
    training::RunConfig,
};

use serde_json::json;

use crate::{
    fetch_oci, fetch_s3,
    support::{
        Volume, files,
        programs::Program,
        server::{Server, ok, status},
        sha256,
    },
};

const CSV: &str = "a,b\n1,2\n";

/// The config of a run as the operator is tested to render it.
fn run_config() -> RunConfig {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract/golden/fetch-data.json");
    let config: FetchConfig = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    *config.run.unwrap()
}

fn data(mut volume: Volume) -> Volume {
    volume.config.kind = FetchKind::Data;
    volume
}

async fn server() -> Server {
    Server::start(|request| match request.path.as_str() {
        "/empty.csv" => ok(""),
        "/missing.csv" => status(404),
        _ => ok(CSV),
    })
    .await
}

fn at(server: &Server, path: &str) -> Volume {
    data(Volume::new(&format!("http://{}{path}", server.host())))
}

/// A test set of its own is there beside the data, with a digest of its own, before `train` is told anything.
#[tokio::test]
async fn a_test_set_of_its_own_is_fetched_into_a_folder_of_its_own() {
    let server = server().await;
    let mut volume = at(&server, "/digits.csv");
    volume.config.run = Some(Box::new(run_config()));
    let destination = volume.folder.path().join("test");
    let test = |volume: &Volume, path: &str| FetchConfig {
        uri: format!("http://{}{path}", server.host()),
        destination: destination.to_str().unwrap().to_owned(),
        run: None,
        ..volume.config.clone()
    };
    volume.config.further = vec![test(&volume, "/held-out.csv")];
    let report = volume.fetch().await.unwrap();
    assert_eq!((report.sha256, report.test_sha256, report.size_bytes), (sha256(CSV), Some(sha256(CSV)), 8));
    assert_eq!(fs::read_to_string(destination.join("held-out.csv")).unwrap(), CSV);
    assert_eq!(volume.read("digits.csv"), CSV);
    assert!(volume.folder.path().join("run.json").exists());

    let told = |error: modelwright_jobs::fetch::FetchError| (error.reason(), error.to_string());
    for (change, reason, part) in [
        (json!({"uri": format!("http://{}/missing.csv", server.host())}), "NotFound", "missing.csv"),
        (json!({"sha256": "a".repeat(64)}), "DigestMismatch", "held-out.csv"),
        (json!({"uri": "pvc://claim/held-out.csv", "claimDirectory": "/nowhere"}), "", "/nowhere"),
    ] {
        let mut volume = at(&server, "/digits.csv");
        volume.config.run = Some(Box::new(run_config()));
        let mut further = serde_json::to_value(test(&volume, "/held-out.csv")).unwrap();
        further["destination"] = volume.folder.path().join("test").to_str().unwrap().into();
        for (name, value) in change.as_object().unwrap() {
            further[name] = value.clone();
        }
        volume.config.further = vec![serde_json::from_value(further).unwrap()];
        let (found, message) = told(volume.fetch().await.unwrap_err());
        assert!(reason.is_empty() || found == reason, "{found}: {message}");
        assert!(message.contains(part), "{message}");
        assert!(!volume.folder.path().join("run.json").exists(), "train is told nothing");
    }
    // both together keep to the bound of the volume
    let mut volume = at(&server, "/digits.csv");
    volume.config.max_bytes = 15;
    volume.config.further = vec![test(&volume, "/held-out.csv")];
    assert_eq!(told(volume.fetch().await.unwrap_err()).0, "TooLarge");
}

/// What a model is measured on has room of its own beside it, and there is one such set.
#[tokio::test]
async fn a_model_has_the_data_that_it_is_measured_on_beside_it() {
    let server = server().await;
    let measured = |change: fn(&mut FetchConfig, FetchConfig)| {
        let mut model = at(&server, "/digits.onnx");
        let further = FetchConfig {
            uri: format!("http://{}/held-out.csv", server.host()),
            destination: model.folder.path().join("test").to_str().unwrap().to_owned(),
            ..model.config.clone()
        };
        model.config.kind = FetchKind::Source;
        // the model alone fills its own
        model.config.max_bytes = 8;
        change(&mut model.config, further);
        model
    };
    let model = measured(|config, further| config.further = vec![further]);
    let report = model.fetch().await.unwrap();
    assert_eq!((report.sha256, report.test_sha256, report.size_bytes), (sha256(CSV), Some(sha256(CSV)), 8));
    assert_eq!(model.read("model.onnx"), CSV);
    assert_eq!(fs::read_to_string(model.folder.path().join("test/held-out.csv")).unwrap(), CSV);
    let large = measured(|config, further| config.further = vec![FetchConfig { max_bytes: 7, ..further }]);
    assert_eq!(large.fetch().await.unwrap_err().reason(), "TooLarge");
    for change in [
        (|config, further| config.further = vec![further.clone(), further])
            as fn(&mut FetchConfig, FetchConfig),
        |config, further| config.further = vec![FetchConfig { kind: FetchKind::Source, ..further }],
        |config, further| {
            config.further = vec![FetchConfig { further: vec![further.clone()], ..further }];
        },
    ] {
        assert_eq!(measured(change).fetch().await.unwrap_err().reason(), "InvalidConfig");
    }
}

#[tokio::test]
async fn a_file_from_a_web_server_keeps_its_name() {
    let server = server().await;
    for (path, name) in [
        ("/v1/digits.csv?token=abc", "digits.csv"),
        ("/my%20digits.csv", "my digits.csv"),
        ("/", "data"),
        ("/a%2F..%2Fb", "data"),
    ] {
        let volume = at(&server, path).pinned(&sha256(CSV));
        let report = volume.fetch().await.unwrap();
        assert_eq!((report.sha256, report.files, report.size_bytes), (sha256(CSV), 1, 8), "{path}");
        assert_eq!(volume.files(), [name]);
        assert_eq!(volume.read(name), CSV);
    }
}

#[tokio::test]
async fn train_gets_its_config_beside_the_data_once_they_are_complete() {
    let server = server().await;
    let mut volume = at(&server, "/digits.csv");
    volume.config.run = Some(Box::new(run_config()));
    let target = volume.folder.path().join("run.json");
    // What an earlier try of this container left is replaced.
    fs::write(&target, "old").unwrap();
    for _ in 0..2 {
        volume.fetch().await.unwrap();
        let written: RunConfig = serde_json::from_slice(&fs::read(&target).unwrap()).unwrap();
        assert_eq!(written, run_config());
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o644);
        // Neither the folder that `train` writes into nor a leftover is there.
        assert_eq!(files(volume.folder.path()), ["data/digits.csv", "run.json"]);
        assert_eq!(fs::read_dir(volume.folder.path()).unwrap().count(), 2);
    }

    for path in ["/missing.csv", "/empty.csv"] {
        let mut volume = at(&server, path);
        volume.config.run = Some(Box::new(run_config()));
        // Nothing is left behind, the config neither.
        volume.refusal().await;
    }
}

#[tokio::test]
async fn a_run_belongs_to_data() {
    for kind in [FetchKind::Source, FetchKind::Artifact] {
        let mut volume = Volume::new("http://127.0.0.1:1/m");
        volume.config.kind = kind;
        volume.config.run = Some(Box::new(run_config()));
        let error = volume.refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("InvalidConfig", false));
        assert_eq!(
            error.to_string(),
            "`run` of the fetch is wrong: it belongs to training data (kind Data), and a model is fetched; this is a \
             fault of the operator, not of the spec"
        );
    }
}

#[tokio::test]
async fn data_are_pinned_and_bounded_as_models_are() {
    let server = server().await;
    let error = at(&server, "/digits.csv").pinned(&"0".repeat(64)).refusal().await;
    assert_eq!(error.reason(), "DigestMismatch");
    let mut small = at(&server, "/digits.csv");
    small.config.max_bytes = 7;
    assert_eq!(small.refused().await, "TooLarge");
    let secret = at(&server, "/digits.csv").with_secret(&[("host", "example.com"), ("token", "abc")]);
    assert_eq!(secret.refused().await, "CredentialsHostMismatch");
}

#[tokio::test]
async fn files_and_folders_of_a_claim_come_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("days/1.csv", CSV), ("days/2.csv", "a,b\n3,4\n"), ("days/model.onnx", "x"), ("void/1", "")]
    {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir(folder.path().join("empty")).unwrap();
    let claim = |uri: &str| {
        let mut volume = data(Volume::new(uri));
        volume.options.claim_directory = PathBuf::from(folder.path());
        volume
    };
    let one = claim("pvc://claim/days/2.csv");
    one.fetch().await.unwrap();
    assert_eq!(one.files(), ["2.csv"]);
    let all = claim("pvc://claim/days/");
    let report = all.fetch().await.unwrap();
    assert_eq!(all.files(), ["1.csv", "2.csv", "model.onnx"]);
    let list = [("1.csv", CSV), ("2.csv", "a,b\n3,4\n"), ("model.onnx", "x")];
    let list = list.map(|(name, text)| digest_line(name, &sha256(text))).concat();
    assert_eq!(report.sha256, sha256(list));
    for (uri, why) in [
        ("pvc://claim/empty/", "the folder is empty"),
        ("pvc://claim/void/", "its file is empty"),
        ("pvc://claim/void/1", "its file is empty"),
    ] {
        let error = claim(uri).refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("NoData", false), "{error}");
        let expected = format!("{uri} holds no data: {why}; expected at least one file with something in it");
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn objects_of_a_bucket_come_as_they_are() {
    let store = fetch_s3::store(None).await;
    let one = data(fetch_s3::volume(&store.host(), "s3://models/alone.bin"));
    one.fetch().await.unwrap();
    assert_eq!(one.files(), ["alone.bin"]);
    let all = data(fetch_s3::volume(&store.host(), "s3://models/digits/"));
    all.fetch().await.unwrap();
    assert_eq!(all.files(), ["net.onnx", "weights/net data+1.bin"]);
}

#[tokio::test]
async fn files_of_an_artifact_come_by_their_titles() {
    let program = Program::registry("").await;
    let registry = fetch_oci::registry(&program.host(), None);
    let layers = [fetch_oci::file("days/1.csv", CSV), fetch_oci::file("days/2.csv", "x")];
    let digest = fetch_oci::push(&registry, "v1", &layers).await;
    let volume = data(fetch_oci::volume(&program.host(), ":v1").pinned(&digest));
    assert_eq!(volume.fetch().await.unwrap().sha256, digest);
    assert_eq!(volume.files(), ["days/1.csv", "days/2.csv"]);
    let nameless = [("", CSV, "application/octet-stream", "com.example.other")];
    fetch_oci::push(&registry, "v2", &nameless).await;
    let error = data(fetch_oci::volume(&program.host(), ":v2")).refusal().await;
    assert_eq!(error.reason(), "NoData", "{error}");
}
