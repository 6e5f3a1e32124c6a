use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use modelwright_contract::{
    artifact::{Description, GoldenSamples, GoldenSource},
    fetch::FetchKind,
    publish::PublishConfig,
    report::{MAX_REPORT_BYTES, PublishReport, Report},
};
use modelwright_jobs::publish::{self, PublishError, PublishOptions};
use tempfile::TempDir;

use crate::support::{
    Volume, files, onnx,
    programs::{Program, free_address},
    publishing, secret, sha256,
};

/// A volume with a model in it, and the config to publish it.
pub struct Work {
    pub folder: TempDir,
    pub config: PublishConfig,
    pub options: PublishOptions,
}

impl Work {
    pub fn new(host: &str, model: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("data");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("model.onnx"), model).unwrap();
        Self::over(host, folder)
    }

    /// Over the folder `data` that a fetch has filled.
    pub fn over(host: &str, folder: TempDir) -> Self {
        let config = publishing::config(host, &folder.path().join("data"));
        let options = publishing::options();
        Self { folder, config, options }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    pub async fn publish(&self) -> Result<PublishReport, PublishError> {
        let outcome = publish::run(&self.config, &self.options).await;
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1, "a work folder is left behind");
        outcome
    }

    pub async fn refusal(&self) -> PublishError {
        let error = self.publish().await.expect_err("the model was expected to be refused");
        assert!(!error.is_transient(), "{error}");
        error
    }
}

/// Fetches a published artifact, as a source or to be served.
pub async fn fetch(kind: FetchKind, report: &PublishReport) -> Volume {
    let mut volume = Volume::new(&report.artifact_uri).pinned(&report.artifact_sha256);
    volume.config.kind = kind;
    volume.config.plain_http = true;
    volume.fetch().await.unwrap();
    volume
}

pub fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_bare_model_is_published_with_signature_samples_and_digests_and_comes_back_whole() {
    let registry = Program::registry("").await;
    let work = Work::new(&registry.host(), &onnx::adder());
    work.write("evaluation.npz", "not part of the model");
    let report = work.publish().await.unwrap();
    assert_eq!(report.model_digest, sha256(format!("{}  model.onnx\n", sha256(onnx::adder()))));
    assert_eq!(
        report.artifact_uri,
        format!("oci://{}/models/team/digits@sha256:{}", registry.host(), report.artifact_sha256)
    );
    let signature = serde_json::to_value(&report.signature).unwrap();
    let tensor = |name| serde_json::json!([{"name": name, "datatype": "FP32", "shape": [-1, 3], "dimensions": ["n", ""]}]);
    assert_eq!(signature, serde_json::json!({"inputs": tensor("x"), "outputs": tensor("y")}));
    assert_eq!((report.opset, report.golden_count, report.golden_source), (21, 4, GoldenSource::Synthetic));
    assert!(report.metrics.is_empty() && !report.signature_truncated);
    let length = serde_json::to_string(&Report::Succeeded(&report)).unwrap().len();
    assert!(length <= MAX_REPORT_BYTES, "{length}");

    let served = fetch(FetchKind::Artifact, &report).await;
    assert_eq!(served.files(), ["model.onnx", "modelwright/description.json", "modelwright/golden.json"]);
    let data = served.folder.path().join("data");
    assert_eq!(fs::read(data.join("model.onnx")).unwrap(), onnx::adder());
    let description: Description = read(&data.join("modelwright/description.json"));
    assert_eq!((description.model_digest, description.opset), (report.model_digest, 21));
    let golden: GoldenSamples = read(&data.join("modelwright/golden.json"));
    assert_eq!(golden.samples.len(), 4);
}

#[tokio::test]
async fn the_same_bytes_give_the_same_artifact() {
    let registry = Program::registry("").await;
    let mut first = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap();
    let mut second = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap();
    // What was measured depends on the machine, and is no part of the artifact.
    assert!(first.size.take().is_some() && second.size.take().is_some());
    assert_eq!(first, second);
}

#[tokio::test]
async fn what_a_model_takes_is_measured_by_fresh_processes_of_several_sizes() {
    const MEBI: u64 = 1024 * 1024;
    let registry = Program::registry("").await;
    // 4 MiB for each row, which are gone with the run.
    let report = Work::new(&registry.host(), &onnx::widening(MEBI)).publish().await.unwrap();
    let size = report.size.expect("a size certificate");
    let rows: Vec<u32> = size.rows.iter().map(|rows| rows.rows).collect();
    assert_eq!(rows, [1, 8, 64]);
    assert!((5 * MEBI..1024 * MEBI).contains(&size.load_bytes), "{size:?}");
    for (of, expected) in size.rows.iter().zip([4 * MEBI, 32 * MEBI, 256 * MEBI]) {
        let runs = of.peak_bytes.saturating_sub(size.load_bytes);
        // Half of it may have been there already, and the arena may take twice as much.
        assert!(
            (expected / 2..expected * 3 + 32 * MEBI).contains(&runs),
            "{} rows took {runs}: {size:?}",
            of.rows
        );
        let rate: f64 = of.runs_per_core_second.parse().unwrap();
        assert!(rate > 0.0, "{size:?}");
    }
    let rate = |place: usize| size.rows[place].runs_per_core_second.parse::<f64>().unwrap();
    assert!(rate(0) > 4.0 * rate(2), "64 rows cost more than 4 times one: {size:?}");
    let length = serde_json::to_string(&size).unwrap().len();
    assert!(length < 300, "{length} of a report's {MAX_REPORT_BYTES} bytes");
}

#[tokio::test]
async fn a_model_that_a_value_ends_by_a_signal_is_refused_unless_that_is_accepted() {
    let mut work = Work::new("127.0.0.1:1", &onnx::step_by_step());
    let error = work.refusal().await;
    assert_eq!(error.reason(), "CrashesOnInput", "{error}");
    for part in
        ["\"frame_length\" (INT64) filled with 0", "signal 8", "tolerateCrashInputs: [\"frame_length\"]"]
    {
        assert!(error.to_string().contains(part), "{part} is missing in: {error}");
    }
    // What is accepted is one input, not the model.
    work.config.tolerate_crash_inputs = vec!["frame_step".to_owned()];
    assert_eq!(work.refusal().await.reason(), "CrashesOnInput");
    work.config.tolerate_crash_inputs = vec!["frame_length".to_owned()];
    // Taken as far as the store, which is not there.
    let error = work.publish().await.unwrap_err();
    assert_eq!(error.reason(), "StoreFailed", "{error}");
}

#[tokio::test]
async fn a_value_that_may_be_left_out_is_tried_too() {
    let stored = |name: &str, value: i64| onnx::constant(name, onnx::INT64, &[], &value.to_le_bytes());
    let model = onnx::model_of_opset(
        17,
        &[
            onnx::node("STFT", &["signal", "frame_step", "", "frame_length"], &["output"], &[]),
            stored("frame_step", 8),
            stored("frame_length", 16),
            onnx::value(11, "signal", onnx::FLOAT, &[1, 128, 1]),
            onnx::value(11, "frame_length", onnx::INT64, &[]),
            onnx::value(12, "output", onnx::FLOAT, &[0, 0, 0, 2]),
        ],
    );
    let mut work = Work::new("127.0.0.1:1", &model);
    let error = work.refusal().await;
    assert_eq!(error.reason(), "CrashesOnInput", "{error}");
    assert!(error.to_string().contains("\"frame_length\" (INT64) filled with 0"), "{error}");
    work.config.tolerate_crash_inputs = vec!["frame_length".to_owned()];
    assert_eq!(work.publish().await.unwrap_err().reason(), "StoreFailed");
}

#[tokio::test]
async fn external_data_is_part_of_the_model() {
    let registry = Program::registry("").await;
    let work = Work::new(&registry.host(), &onnx::adder_with(onnx::elsewhere("w", &[3], "weights/w.bin")));
    assert_eq!(work.refusal().await.reason(), "ExternalDataMissing");
    work.write("weights/w.bin", onnx::floats(&[1.0, 2.0, 3.0]));
    let report = work.publish().await.unwrap();
    let served = fetch(FetchKind::Artifact, &report).await;
    assert!(served.files().contains(&"weights/w.bin".to_owned()));
    work.write("weights/w.bin", onnx::floats(&[1.0, 2.0, 4.0]));
    assert_ne!(work.publish().await.unwrap().model_digest, report.model_digest);
}

#[tokio::test]
async fn an_artifact_that_modelwright_made_keeps_its_samples_and_metrics_wherever_it_goes() {
    let registry = Program::registry("").await;
    let bare = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap();
    let work = Work::over(&registry.host(), fetch(FetchKind::Source, &bare).await.folder);
    let path = work.path("modelwright/description.json");
    let mut description: Description = read(&path);
    description.metrics.insert("Accuracy".to_owned(), "0.97".to_owned());
    fs::write(path, serde_json::to_vec(&description).unwrap()).unwrap();
    let path = work.path("modelwright/golden.json");
    let mut golden: GoldenSamples = read(&path);
    golden.source = GoldenSource::Test;
    golden.samples.truncate(2);
    fs::write(path, serde_json::to_vec(&golden).unwrap()).unwrap();
    let staging = work.publish().await.unwrap();

    let mut work = Work::over(&registry.host(), fetch(FetchKind::Source, &staging).await.folder);
    work.config.namespace = "production".to_owned();
    let production = work.publish().await.unwrap();
    assert_eq!(production.metrics.get("Accuracy").map(String::as_str), Some("0.97"));
    assert_eq!((production.golden_count, production.golden_source), (2, GoldenSource::Test));
    assert_eq!(production.model_digest, bare.model_digest);
    assert_eq!(production.artifact_sha256, staging.artifact_sha256);
}

#[tokio::test]
async fn samples_that_prove_nothing_or_something_else_are_refused() {
    let registry = Program::registry("").await;
    let report = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap();
    let changes: [fn(&mut GoldenSamples); 6] = [
        |golden| {
            for sample in &mut golden.samples {
                // Three times 1.0.
                sample.outputs[0].data = "AACAPwAAgD8AAIA/".to_owned();
            }
        },
        |golden| golden.samples[0].outputs.clear(),
        |golden| golden.tolerance = "1e9".to_owned(),
        |golden| golden.bounds[0].atol = "1e9".to_owned(),
        |golden| golden.bounds[0].name = "another".to_owned(),
        |golden| golden.samples[0].inputs[0].data = "!".to_owned(),
    ];
    for change in changes {
        let work = Work::over(&registry.host(), fetch(FetchKind::Source, &report).await.folder);
        let path = work.path("modelwright/golden.json");
        let mut golden: GoldenSamples = read(&path);
        change(&mut golden);
        fs::write(path, serde_json::to_vec(&golden).unwrap()).unwrap();
        let error = work.refusal().await;
        assert_eq!(error.reason(), "GoldenMismatch", "{error}");
    }
}

/// Weights so small that no answer to a synthetic input (below 16) reaches 0.001.
const SMALL: [f32; 3] = [5e-5, 3e-5, 1e-5];

#[tokio::test]
async fn a_model_of_small_answers_whose_weights_are_lost_is_no_reproduction() {
    let registry = Program::registry("").await;
    let report = Work::new(&registry.host(), &onnx::scaler(&SMALL)).publish().await.unwrap();
    // As it is recorded now, and as it was before bounds were.
    for bounds in [true, false] {
        let work = Work::over(&registry.host(), fetch(FetchKind::Source, &report).await.folder);
        let path = work.path("modelwright/golden.json");
        let mut golden: GoldenSamples = read(&path);
        for sample in &golden.samples {
            let answer = modelwright_core::golden::decode(&sample.outputs[0]).unwrap();
            let numbers = answer.data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
            assert!(numbers.fold(0.0_f32, |most, number| most.max(number.abs())) < 1e-3);
        }
        assert_eq!(golden.bounds.len(), 1);
        if !bounds {
            golden.bounds.clear();
            fs::write(&path, serde_json::to_vec(&golden).unwrap()).unwrap();
        }
        work.publish().await.expect("the model itself reproduces them");

        let lost = onnx::scaler(&[0.0; 3]);
        work.write("model.onnx", &lost);
        let path = work.path("modelwright/description.json");
        let mut description: Description = read(&path);
        description.model_digest = sha256(format!("{}  model.onnx\n", sha256(&lost)));
        fs::write(path, serde_json::to_vec(&description).unwrap()).unwrap();
        let error = work.refusal().await;
        assert_eq!(error.reason(), "GoldenMismatch", "{error}");
        assert!(error.to_string().contains("output \"y[0]\" is 0, recorded was "), "{error}");
    }
}

#[tokio::test]
async fn a_sequence_of_tensors_is_refused_with_what_to_end_the_graph_with() {
    let registry = Program::registry("").await;
    let model = fs::read(crate::support::models::model("sequence")).unwrap();
    let error = Work::new(&registry.host(), &model).refusal().await;
    assert_eq!(error.reason(), "UnsupportedSignature");
    let text = error.to_string();
    for part in ["output \"pair\"", "a sequence of tensors", "ConcatFromSequence", "SequenceAt"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn metadata_of_another_model_is_refused() {
    let registry = Program::registry("").await;
    let report = Work::new(&registry.host(), &onnx::adder()).publish().await.unwrap();
    let work = Work::over(&registry.host(), fetch(FetchKind::Source, &report).await.folder);
    let other = onnx::constant("w", onnx::FLOAT, &[3], &onnx::floats(&[1.0, 2.0, 3.1]));
    work.write("model.onnx", onnx::adder_with(other));
    let error = work.refusal().await;
    assert_eq!(error.reason(), "InconsistentArtifact");
    assert!(error.to_string().contains(&report.model_digest), "{error}");
}

#[tokio::test]
async fn what_does_not_load_or_run_is_refused_with_its_reason() {
    let adder = onnx::adder();
    let unconnected = onnx::model(&[
        onnx::node("Add", &["x", "nowhere"], &["y"], &[]),
        onnx::value(11, "x", onnx::FLOAT, &[0, 3]),
        onnx::value(12, "y", onnx::FLOAT, &[0, 3]),
    ]);
    let unknown = onnx::model(&[
        onnx::node("Conjure", &["x"], &["y"], &[]),
        onnx::value(11, "x", onnx::FLOAT, &[0, 3]),
        onnx::value(12, "y", onnx::FLOAT, &[0, 3]),
    ]);
    let new = onnx::model_of_opset(
        999,
        &[
            onnx::node("Add", &["x", "x"], &["y"], &[]),
            onnx::value(11, "x", onnx::FLOAT, &[0, 3]),
            onnx::value(12, "y", onnx::FLOAT, &[0, 3]),
        ],
    );
    let domain = onnx::bytes(7, "com.example");
    let custom = onnx::model(&[onnx::node("Steal", &["x"], &["y"], &domain)]);
    for (model, reason) in [
        (b"<html>log in first</html>".to_vec(), "NotOnnx"),
        (adder[..adder.len() - 1].to_vec(), "NotOnnx"),
        (custom, "CustomOperators"),
        (fs::read(crate::support::models::model("blocked")).unwrap(), "ProcessorSpecific"),
        (unconnected, "LoadFailed"),
        (unknown, "LoadFailed"),
        (new, "UnsupportedOperatorSet"),
        (onnx::out_of_range(), "RunFailed"),
    ] {
        // Nothing listens there: a refused model never reaches the store.
        let error = Work::new("127.0.0.1:1", &model).refusal().await;
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().len() < 1000, "{error}");
        let versions = error.to_string().contains("operator sets ai.onnx 999, file format 10");
        assert_eq!(versions, reason == "UnsupportedOperatorSet", "the file's own versions are told: {error}");
    }
    let work = Work::new("127.0.0.1:1", &adder);
    fs::remove_file(work.path("model.onnx")).unwrap();
    assert_eq!(work.refusal().await.reason(), "NoModel");
}

#[tokio::test]
async fn a_model_that_never_ends_is_stopped_and_refused() {
    let mut work = Work::new("127.0.0.1:1", &onnx::endless());
    work.options.prove_limit = Duration::from_secs(2);
    let started = Instant::now();
    let error = work.refusal().await;
    assert_eq!(error.reason(), "LimitExceeded", "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_model_that_crashes_its_process_is_refused_and_a_process_that_does_not_start_is_no_fault_of_it() {
    // Stands for an ONNX Runtime that a model brings down: says where it is, and is gone.
    let script = "#!/bin/sh\nwhile [ \"$1\" != --answer ]; do shift; done\nprintf '\"Running\"' > \"$2\"\n\
                  echo 'last words' >&2\nkill -SEGV $$\n";
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("crashes");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut work = Work::new("127.0.0.1:1", &onnx::adder());
    work.options.program = program;
    let error = work.refusal().await;
    assert_eq!(error.reason(), "RunFailed");
    assert!(error.to_string().contains("signal 11") && error.to_string().contains("last words"), "{error}");

    for program in ["/bin/false", "/nowhere"] {
        work.options.program = PathBuf::from(program);
        let error = work.publish().await.unwrap_err();
        assert_eq!((error.reason(), error.is_transient()), ("ProverFailed", true), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_comes_back_in_time_gets_the_model_and_one_that_does_not_is_a_failure_that_may_pass() {
    let address = free_address();
    let mut work = Work::new(&address.to_string(), &onnx::adder());
    let error = work.publish().await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("StoreFailed", true), "{error}");

    work.config.store_retry_seconds = 60;
    let (report, _registry) = tokio::join!(work.publish(), async {
        // Long enough for the first tries to fail.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Program::registry_at(address, "").await
    });
    report.unwrap();
}

#[tokio::test]
async fn a_store_that_wants_a_password_gets_it_and_without_it_the_failure_is_final() {
    let folder = tempfile::tempdir().unwrap();
    let more = Program::password_file(folder.path());
    let registry = Program::registry(&more).await;
    let mut work = Work::new(&registry.host(), &onnx::adder());
    assert_eq!(work.refusal().await.reason(), "Unauthorized");
    let keys = secret(&[("host", &registry.host()), ("username", "ada"), ("password", "pw")]);
    work.config.store.credentials_directory = Some(keys.path().to_str().unwrap().to_owned());
    work.publish().await.unwrap();
    let elsewhere = secret(&[("host", "example.com"), ("username", "ada"), ("password", "pw")]);
    work.config.store.credentials_directory = Some(elsewhere.path().to_str().unwrap().to_owned());
    assert_eq!(work.refusal().await.reason(), "CredentialsHostMismatch");
}

#[tokio::test]
async fn every_artifact_keeps_a_tag_of_its_own_so_that_garbage_collection_spares_it() {
    let registry = Program::registry("").await;
    let mut work = Work::new(&registry.host(), &onnx::adder());
    let first = work.publish().await.unwrap();
    work.config.golden_seed = 8;
    let second = work.publish().await.unwrap();
    assert_eq!(first.model_digest, second.model_digest);
    assert_ne!(first.artifact_sha256, second.artifact_sha256);
    let stored = files(&registry.folder.path().join("registry"));
    for report in [first, second] {
        let tag = format!("_manifests/tags/sha256-{}/current/link", &report.artifact_sha256[..32]);
        assert!(stored.iter().any(|path| path.ends_with(&tag)), "{tag} is missing");
    }
}
