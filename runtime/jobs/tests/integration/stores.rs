use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use modelwright_contract::{
    artifact::{Description, GoldenSamples, GoldenSource},
    fetch::FetchKind,
    report::PublishReport,
};
use modelwright_jobs::publish::PublishOptions;
use tempfile::TempDir;

use crate::{
    publish::Work,
    support::{
        Volume,
        disk::Disk,
        files, onnx,
        programs::{Program, free_address},
        secret,
        server::{Server, status},
        sha256, unmeasured,
    },
};

/// Where artifacts are kept, as a namespace sees it.
pub struct Store {
    uri: String,
    secret: TempDir,
    /// What stands for the bucket or the claim.
    pub root: PathBuf,
    claim: PathBuf,
    _folder: Option<TempDir>,
    _server: Option<Program>,
}

impl Store {
    async fn bucket() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("buckets/models")).unwrap();
        let server = Program::object_store(folder, None).await;
        Self {
            uri: "s3://models/kept/here".to_owned(),
            secret: keys(&server.host()),
            root: server.folder.path().join("buckets/models"),
            claim: PathBuf::from("/nowhere"),
            _folder: None,
            _server: Some(server),
        }
    }

    fn claim() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            uri: "pvc://models/kept/here".to_owned(),
            secret: secret(&[]),
            root: folder.path().to_owned(),
            claim: folder.path().to_owned(),
            _folder: Some(folder),
            _server: None,
        }
    }

    pub async fn both() -> [Self; 2] {
        [Self::bucket().await, Self::claim()]
    }

    pub fn work(&self, model: &[u8]) -> Work {
        self.told(Work::new("127.0.0.1:1", model))
    }

    fn told(&self, mut work: Work) -> Work {
        work.config.store.uri.clone_from(&self.uri);
        work.config.store.plain_http = false;
        work.config.store.credentials_directory = Some(self.secret.path().to_str().unwrap().to_owned());
        work.options.claim_directory.clone_from(&self.claim);
        work
    }

    fn volume(&self, kind: FetchKind, report: &PublishReport) -> Volume {
        let mut volume = Volume::new(&report.artifact_uri).pinned(&report.artifact_sha256);
        volume.config.kind = kind;
        volume.config.credentials_directory = Some(self.secret.path().to_str().unwrap().to_owned());
        volume.options.claim_directory.clone_from(&self.claim);
        volume
    }

    /// The folder of an artifact.
    fn place(&self, report: &PublishReport) -> PathBuf {
        self.root.join("kept/here/team/digits").join(&report.artifact_sha256)
    }
}

fn keys(host: &str) -> TempDir {
    secret(&[("host", host), ("accessKeyId", "ada"), ("secretAccessKey", "lovelace"), ("plainHttp", "true")])
}

fn change<T: serde::Serialize + serde::de::DeserializeOwned>(path: PathBuf, change: impl FnOnce(&mut T)) {
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

const FILES: [&str; 3] = ["model.onnx", "modelwright/description.json", "modelwright/golden.json"];

#[tokio::test]
async fn a_model_is_kept_under_the_digest_of_its_files_and_comes_back_whole() {
    for store in Store::both().await {
        let report = store.work(&onnx::adder()).publish().await.unwrap();
        let uri = format!("{}/team/digits/{}/", store.uri, report.artifact_sha256);
        assert_eq!(report.artifact_uri, uri);
        let place = store.place(&report);
        assert_eq!(files(&place), FILES);
        let lines = FILES.map(|file| format!("{}  {file}\n", sha256(fs::read(place.join(file)).unwrap())));
        assert_eq!(report.artifact_sha256, sha256(lines.concat()));

        let served = store.volume(FetchKind::Artifact, &report);
        let fetched = served.fetch().await.unwrap();
        assert_eq!((fetched.sha256, fetched.size_bytes), (report.artifact_sha256, report.size_bytes));
        assert_eq!(served.files(), FILES);
        let model = fs::read(served.folder.path().join("data/model.onnx")).unwrap();
        assert_eq!(model, onnx::adder());
    }
}

#[tokio::test]
async fn equal_bytes_have_an_equal_digest_in_every_kind_of_store() {
    let registry = Program::registry("").await;
    let packed = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap();
    let [bucket, claim] = Store::both().await;
    let in_bucket = bucket.work(&onnx::adder()).publish().await.unwrap();
    let in_claim = claim.work(&onnx::adder()).publish().await.unwrap();
    assert_eq!(packed.model_digest, in_bucket.model_digest);
    assert_eq!(packed.model_digest, in_claim.model_digest);
    assert_eq!(in_bucket.artifact_sha256, in_claim.artifact_sha256);
    assert_eq!(packed.size_bytes, in_claim.size_bytes);
}

#[tokio::test]
async fn an_artifact_that_is_there_and_whole_is_left_as_it_is_and_a_damaged_one_is_mended() {
    for store in Store::both().await {
        let report = unmeasured(store.work(&onnx::adder()).publish().await.unwrap());
        let model = store.place(&report).join("model.onnx");
        let yesterday = SystemTime::now() - Duration::from_hours(24);
        let file = fs::File::options().write(true).open(&model).unwrap();
        file.set_modified(yesterday).unwrap();
        assert_eq!(unmeasured(store.work(&onnx::adder()).publish().await.unwrap()), report);
        assert_eq!(fs::metadata(&model).unwrap().modified().unwrap(), yesterday, "{}", store.uri);

        let mut damaged = onnx::adder();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&model, damaged).unwrap();
        assert_eq!(store.volume(FetchKind::Artifact, &report).refused().await, "DigestMismatch");
        assert_eq!(unmeasured(store.work(&onnx::adder()).publish().await.unwrap()), report);
        store.volume(FetchKind::Artifact, &report).fetch().await.unwrap();
        let folder = store.place(&report);
        assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1, "{}", store.uri);
    }
}

#[tokio::test]
async fn a_part_of_an_artifact_is_neither_served_nor_imported() {
    for store in Store::both().await {
        let report = store.work(&onnx::adder()).publish().await.unwrap();
        // What a publisher leaves that dies: the model itself comes last.
        fs::remove_file(store.place(&report).join("model.onnx")).unwrap();
        assert_eq!(store.volume(FetchKind::Artifact, &report).refused().await, "DigestMismatch");
        let mut unpinned = store.volume(FetchKind::Source, &report);
        unpinned.config.sha256 = None;
        assert_eq!(unpinned.refused().await, "NoModel", "{}", store.uri);

        store.work(&onnx::adder()).publish().await.unwrap();
        fs::remove_file(store.place(&report).join("modelwright/golden.json")).unwrap();
        assert_eq!(store.volume(FetchKind::Artifact, &report).refused().await, "DigestMismatch");
        fs::remove_dir_all(store.place(&report)).unwrap();
        assert_eq!(store.volume(FetchKind::Artifact, &report).refused().await, "NotFound");
    }
}

#[tokio::test]
async fn another_digest_than_the_pinned_one_and_none_at_all_are_refused() {
    for store in Store::both().await {
        let report = store.work(&onnx::adder()).publish().await.unwrap();
        let other = store.volume(FetchKind::Artifact, &report).pinned(&"0".repeat(64));
        assert_eq!(other.refused().await, "DigestMismatch");
        let mut none = store.volume(FetchKind::Artifact, &report);
        none.config.sha256 = None;
        assert_eq!(none.refused().await, "InvalidDigest");
    }
}

#[tokio::test]
async fn an_import_out_of_a_store_keeps_metrics_and_samples() {
    for store in Store::both().await {
        let bare = store.work(&onnx::adder()).publish().await.unwrap();
        let volume = store.volume(FetchKind::Source, &bare);
        volume.fetch().await.unwrap();
        let work = store.told(Work::over("127.0.0.1:1", volume.folder));
        change::<Description>(work.path("modelwright/description.json"), |description| {
            description.metrics.insert("Accuracy".to_owned(), "0.97".to_owned());
        });
        change::<GoldenSamples>(work.path("modelwright/golden.json"), |golden| {
            golden.source = GoldenSource::Test;
            golden.samples.truncate(2);
        });
        let staging = work.publish().await.unwrap();

        let volume = store.volume(FetchKind::Source, &staging);
        volume.fetch().await.unwrap();
        let mut work = store.told(Work::over("127.0.0.1:1", volume.folder));
        work.config.namespace = "production".to_owned();
        let production = work.publish().await.unwrap();
        assert_eq!(production.metrics.get("Accuracy").map(String::as_str), Some("0.97"));
        assert_eq!((production.golden_count, production.golden_source), (2, GoldenSource::Test));
        assert_eq!(production.model_digest, bare.model_digest);
        assert_eq!(production.artifact_sha256, staging.artifact_sha256);
        assert!(production.artifact_uri.contains("/production/digits/"), "{}", production.artifact_uri);
    }
}

#[tokio::test]
async fn a_file_of_many_parts_comes_back_as_it_was() {
    for store in Store::both().await {
        let work = store.work(&onnx::adder_with(onnx::elsewhere("w", &[3], "weights/w.bin")));
        let weights: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
        let weights = [onnx::floats(&[1.0, 2.0, 3.0]), weights].concat();
        work.write("weights/w.bin", &weights);
        let report = work.publish().await.unwrap();
        let mut served = store.volume(FetchKind::Artifact, &report);
        served.config.max_bytes = 30_000_000;
        served.fetch().await.unwrap();
        assert!(fs::read(served.folder.path().join("data/weights/w.bin")).unwrap() == weights);
    }
}

#[tokio::test]
async fn what_lies_in_an_artifacts_folder_and_is_none_of_it_stops_a_publish_to_a_bucket() {
    let store = Store::bucket().await;
    let report = store.work(&onnx::adder()).publish().await.unwrap();
    fs::write(store.place(&report).join("notes.txt"), "mine").unwrap();
    assert_eq!(store.volume(FetchKind::Artifact, &report).refused().await, "DigestMismatch");
    let error = store.work(&onnx::adder()).refusal().await;
    assert_eq!(error.reason(), "StoreRefused");
    assert!(error.to_string().contains("notes.txt"), "{error}");
}

#[tokio::test]
async fn credentials_that_are_missing_are_told_with_the_secret_and_the_key() {
    let store = Store::bucket().await;
    let host = fs::read_to_string(store.secret.path().join("host")).unwrap();
    let pair = [("accessKeyId", "ada"), ("secretAccessKey", "lovelace")];
    for (keys, reason, word) in [
        (vec![], "CredentialsMissing", "accessKeyId"),
        (vec![("host", &*host)], "CredentialsKeyMissing", "`accessKeyId`"),
        (vec![("host", &*host), pair[0]], "CredentialsKeyMissing", "`secretAccessKey`"),
        (pair.to_vec(), "CredentialsHostMissing", "`host`"),
        (
            vec![("host", &*host), pair[0], ("secretAccessKey", "wrong"), ("plainHttp", "true")],
            "Forbidden",
            "rights",
        ),
    ] {
        let keys = secret(&keys);
        let mut work = store.work(&onnx::adder());
        work.config.store.credentials_directory = Some(keys.path().to_str().unwrap().to_owned());
        let error = work.refusal().await;
        let message = error.to_string();
        assert_eq!(error.reason(), reason, "{message}");
        assert!(message.contains("modelwright-store") && message.contains(word), "{message}");
        assert!(!message.contains("lovelace"), "{message}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_told_by_its_name() {
    let store = Store::bucket().await;
    let mut work = store.work(&onnx::adder());
    work.config.store.uri = "s3://absent/models".to_owned();
    let error = work.refusal().await;
    assert_eq!(error.reason(), "NotFound");
    assert!(error.to_string().contains("no bucket `absent` at http://127.0.0.1"), "{error}");
}

#[tokio::test]
async fn an_object_store_at_a_forbidden_address_is_sent_nothing() {
    let server = Server::start(|_| status(200)).await;
    let store = Store::bucket().await;
    let mut work = store.work(&onnx::adder());
    let keys = keys(&server.host());
    work.config.store.credentials_directory = Some(keys.path().to_str().unwrap().to_owned());
    work.options.allow_loopback = false;
    assert_eq!(work.refusal().await.reason(), "AddressRefused");
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn an_object_store_that_comes_back_in_time_gets_the_model() {
    let address = free_address();
    let store = Store::bucket().await;
    let mut work = store.work(&onnx::adder());
    let keys = keys(&address.to_string());
    work.config.store.credentials_directory = Some(keys.path().to_str().unwrap().to_owned());
    let error = work.publish().await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("StoreFailed", true), "{error}");
    work.config.store_retry_seconds = 60;
    let (report, _server) = tokio::join!(work.publish(), async {
        // Long enough for the first tries to fail.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("buckets/models")).unwrap();
        Program::object_store_at(address, folder, None).await
    });
    report.unwrap();
}

#[tokio::test]
async fn a_claim_that_cannot_be_written_is_told_and_leaves_what_serves_alone() {
    let store = Store::claim();
    let mut work = store.work(&onnx::adder());
    // Nobody makes folders there, whatever user the test runs as.
    work.options.claim_directory = PathBuf::from("/sys");
    let error = work.refusal().await;
    assert_eq!(error.reason(), "StoreRefused", "{error}");
    let message = error.to_string();
    assert!(message.contains("pvc://models/kept/here") && message.contains("ReadWriteMany"), "{message}");
    // The operator mounts it, so that it is not there is no fault of anybody's model.
    work.options.claim_directory = PathBuf::from("/nowhere");
    let error = work.publish().await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("StoreFailed", true), "{error}");
}

#[tokio::test]
async fn a_full_claim_is_told_and_takes_the_model_once_there_is_room() {
    let disk = Disk::of_kibibytes(256);
    let filler = disk.fill();
    let mut work = Store::claim().work(&onnx::adder());
    work.options.claim_directory = disk.path().to_owned();
    let error = work.publish().await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("StoreFailed", true), "{error}");
    let message = error.to_string();
    for part in ["pvc://models/kept/here", "No space left on device", "Enlarge the claim"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    fs::remove_file(filler).unwrap();
    work.publish().await.unwrap();
}

#[tokio::test]
async fn a_claim_is_written_to_within_itself_only() {
    let store = Store::claim();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), store.root.join("kept")).unwrap();
    let error = store.work(&onnx::adder()).refusal().await;
    assert_eq!(error.reason(), "StoreRefused");
    assert!(error.to_string().contains("`kept`"), "{error}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_killed_publisher_left_in_a_claim_is_removed_after_a_day_and_its_files_are_for_every_user() {
    let store = Store::claim();
    let parent = store.root.join("kept/here/team/digits");
    for name in [".publish-old", ".publish-new"] {
        fs::create_dir_all(parent.join(name)).unwrap();
    }
    let old = fs::File::open(parent.join(".publish-old")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_hours(25)).unwrap();
    let report = store.work(&onnx::adder()).publish().await.unwrap();
    assert!(!parent.join(".publish-old").exists() && parent.join(".publish-new").exists());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.place(&report)), 0o755);
    assert_eq!(mode(store.place(&report).join("model.onnx")) & 0o444, 0o444);
}

#[tokio::test]
async fn a_version_in_an_earlier_registry_outlives_a_secret_for_another_store() {
    let registry = Program::registry("").await;
    let report = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap();
    let store = Store::bucket().await;
    let mut volume = store.volume(FetchKind::Artifact, &report);
    volume.config.plain_http = true;
    volume.fetch().await.unwrap();
    // A user's own source insists on its Secret.
    volume.config.kind = FetchKind::Source;
    assert_eq!(volume.fetch().await.unwrap_err().reason(), "CredentialsHostMismatch");
    assert_eq!(PublishOptions::new(PathBuf::new()).claim_directory, PathBuf::from("/modelwright-claim"));
}
