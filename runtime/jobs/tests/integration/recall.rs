//! The report of a run in the store: what was made is known even if its pod is gone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use modelwright_contract::{
    names::{EARLIER_ENV, EXIT_BAD_INPUT, FETCH_ENV, PUBLISH_ENV, RUN_ENV},
    publish::PublishConfig,
    report::{FetchReport, MADE_BEFORE, NO_REPORT, PublishReport, Report, RunReport},
    training::{CandidateScore, Metric, PartRows, Task, TrainReport},
};
use modelwright_jobs::publish::{self, PublishOptions, recall};

use crate::{
    commands,
    publish::Work,
    stores::Store,
    support::{
        Volume, onnx,
        programs::Program,
        server::{Server, file},
        training::{NOWHERE, Run, digits},
    },
};

/// Most bytes of one termination message.
const KUBELET_READS: usize = 4096;
const RUN: &str = "0a1b2c3d-0000-4000-8000-00000000000a";

fn fetched() -> FetchReport {
    FetchReport { sha256: "e".repeat(64), size_bytes: 1200, files: 1, test_sha256: None }
}

/// The volume of `fetch` and `publish`, with what `fetch` left in it.
fn noted(folder: &Path) -> PathBuf {
    let notes = folder.join("notes");
    fs::create_dir_all(&notes).unwrap();
    recall::leave_fetched(&notes, &fetched());
    notes
}

/// Publishes as the container of a run does.
async fn published(work: &mut Work) -> PublishReport {
    work.options.fetched_directory = noted(work.folder.path());
    work.options.run = Some(RUN.to_owned());
    publish::run(&work.config, &work.options).await.unwrap()
}

/// Recalls as another pod does, which has nothing of the first.
async fn recalled(config: &PublishConfig, options: &PublishOptions, run: &str) -> Result<RunReport, String> {
    let config = PublishConfig { recall: Some(run.to_owned()), directory: String::new(), ..config.clone() };
    let options = PublishOptions { run: None, ..options.clone() };
    recall::recall(&config, &options).await.map_err(|error| error.reason().to_owned())
}

async fn is_recalled_from(mut work: Work) {
    let other = "0a1b2c3d-0000-4000-8000-00000000000b";
    assert_eq!(recalled(&work.config, &work.options, RUN).await, Err(NO_REPORT.to_owned()));
    let published = published(&mut work).await;
    let report = recalled(&work.config, &work.options, RUN).await.unwrap();
    assert_eq!(report, RunReport { run: RUN.to_owned(), fetch: fetched(), train: None, publish: published });
    assert_eq!(recalled(&work.config, &work.options, other).await, Err(NO_REPORT.to_owned()));
    // One that is tried again says the same.
    publish::run(&work.config, &work.options).await.unwrap();
    assert_eq!(
        recalled(&work.config, &work.options, RUN).await.unwrap().publish.artifact_uri,
        report.publish.artifact_uri
    );
}

#[tokio::test]
async fn a_run_is_recalled_from_a_registry() {
    let registry = Program::registry("").await;
    is_recalled_from(Work::new(&registry.host(), &onnx::adder())).await;
}

#[tokio::test]
async fn a_run_is_recalled_from_an_object_store_and_a_claim() {
    for store in Store::both().await {
        is_recalled_from(store.work(&onnx::adder())).await;
        let place = store.root.join("kept/here/team/digits/runs").join(RUN);
        assert!(place.exists(), "{} does not exist", place.display());
    }
}

#[tokio::test]
async fn a_report_under_another_name_is_none() {
    let stores = Store::both().await;
    let mut work = stores[1].work(&onnx::adder());
    published(&mut work).await;
    let runs = stores[1].root.join("kept/here/team/digits/runs");
    fs::rename(runs.join(RUN), runs.join("another")).unwrap();
    assert_eq!(recalled(&work.config, &work.options, "another").await, Err(NO_REPORT.to_owned()));
    assert_eq!(recalled(&work.config, &work.options, "../runs").await, Err("InvalidConfig".to_owned()));
}

/// What a trainer says that has tried many candidates.
fn long_words() -> TrainReport {
    let score =
        |number| CandidateScore { name: format!("candidate {number}"), score: Some("0.93".to_owned()) };
    TrainReport {
        chosen: "candidate 0".to_owned(),
        metric: Metric::F1Macro,
        candidates: (0..70).map(score).collect(),
        rows: PartRows { train: 8, validation: 4, test: 4 },
        warnings: Vec::new(),
        warnings_truncated: false,
        device: None,
    }
}

#[tokio::test]
async fn what_train_said_goes_along_unless_the_kubelet_would_not_read_the_whole() {
    let claim = tempfile::tempdir().unwrap();
    let mut run = Run::of(NOWHERE, Task::Classification, "classifier", &digits());
    run.config.store.uri = "pvc://models/kept".to_owned();
    run.config.store.plain_http = false;
    run.options.claim_directory = claim.path().to_owned();
    run.options.run = Some(RUN.to_owned());
    let kept = claim.path().join("kept/team/digits/runs").join(RUN).join("report.json");
    let told = || serde_json::from_slice::<RunReport>(&fs::read(&kept).unwrap()).unwrap();
    let mut short = long_words();
    short.candidates.truncate(3);
    for (said, expected) in [(&short, Some(&short)), (&long_words(), None)] {
        run.write("train.json", serde_json::to_vec(said).unwrap());
        run.options.fetched_directory = noted(run.folder.path());
        publish::run(&run.config, &run.options).await.unwrap();
        assert_eq!(told().train.as_ref(), expected);
        // One that an earlier release left, whatever is in it, is read all the same.
        let long = RunReport { train: Some(said.clone()), ..told() };
        fs::write(&kept, serde_json::to_vec(&long).unwrap()).unwrap();
        let recalled = recalled(&run.config, &run.options, RUN).await.unwrap();
        assert_eq!(recalled.train.as_ref(), expected);
        assert!(serde_json::to_vec(&Report::Succeeded(recalled)).unwrap().len() <= KUBELET_READS);
    }
    assert!(serde_json::to_vec(&long_words()).unwrap().len() < KUBELET_READS, "alone it would fit");
}

#[tokio::test]
async fn what_was_fetched_is_the_word_of_fetch_and_nobody_elses() {
    let stores = Store::both().await;
    let mut work = stores[1].work(&onnx::adder());
    // The volume that all containers write.
    let forged = FetchReport { sha256: "0".repeat(64), ..fetched() };
    fs::write(work.folder.path().join("fetch.json"), serde_json::to_vec(&forged).unwrap()).unwrap();
    published(&mut work).await;
    assert_eq!(recalled(&work.config, &work.options, RUN).await.unwrap().fetch, fetched());
}

#[tokio::test]
async fn fetch_leaves_word_for_publish_which_says_so_where_it_misses_it() {
    let server = Server::start(|_| file(&onnx::adder())).await;
    let volume = Volume::new(&format!("http://{}/m", server.host()));
    let notes = tempfile::tempdir().unwrap();
    let log = volume.folder.path().join("log");
    let folder = notes.path().to_str().unwrap();
    let arguments = |command| {
        let log = log.to_str().unwrap();
        [command, "--allow-loopback", "--termination-log", log, "--fetched-directory", folder]
    };
    let fetch = serde_json::to_string(&volume.config).unwrap();
    let output = commands::run(&arguments("fetch"), (FETCH_ENV, &fetch)).await;
    let Report::<FetchReport>::Succeeded(said) = commands::report(&log) else { panic!("{output:?}") };
    let note = notes.path().join("fetch.json");
    assert_eq!(serde_json::from_slice::<FetchReport>(&fs::read(&note).unwrap()).unwrap(), said);
    assert!(!volume.folder.path().join("fetch.json").exists(), "not where others write");

    let registry = Program::registry("").await;
    let work = Work::over(&registry.host(), volume.folder);
    let publish = serde_json::to_string(&work.config).unwrap();
    let variables = [(PUBLISH_ENV, publish.as_str()), (RUN_ENV, RUN)];
    let missed = "cannot be recalled";
    for is_left in [true, false] {
        if !is_left {
            fs::remove_file(&note).unwrap();
        }
        let output = commands::run_with(&arguments("publish"), &variables).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let words = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert_eq!(words.contains(missed), !is_left, "{words}");
    }
    assert_eq!(recalled(&work.config, &work.options, RUN).await.unwrap().fetch, said);
}

/// The pod of an attempt that published is lost before anybody heard of it, and the Job has another one made.
#[tokio::test]
async fn an_attempt_after_one_that_published_fetches_nothing_and_says_so() {
    let server = Server::start(|_| file(&onnx::adder())).await;
    let registry = Program::registry("").await;
    let mut work = Work::new(&registry.host(), &onnx::adder());
    let store = |host: &str| {
        serde_json::json!({
            "namespace": "team", "model": "digits", "recall": "", "storeRetrySeconds": 1,
            "store": {"uri": format!("oci://{host}/models"), "plainHttp": true},
        })
        .to_string()
    };
    let fetches = async |store: &str, run: &str| {
        let volume = Volume::new(&format!("http://{}/m", server.host()));
        let log = volume.folder.path().join("log");
        let arguments = ["fetch", "--allow-loopback", "--termination-log", log.to_str().unwrap()];
        let config = serde_json::to_string(&volume.config).unwrap();
        let variables = [(FETCH_ENV, config.as_str()), (EARLIER_ENV, store), (RUN_ENV, run)];
        let output = commands::run_with(&arguments, &variables).await;
        let is_there = Path::new(&volume.config.destination).exists();
        (output.status.code().unwrap(), is_there, commands::report::<FetchReport>(&log))
    };
    let here = store(&registry.host());
    let (code, is_there, _) = fetches(&here, RUN).await;
    assert_eq!((code, is_there), (0, true), "the first attempt finds nothing, and goes on");
    published(&mut work).await;
    let (code, is_there, report) = fetches(&here, RUN).await;
    let Report::Failed(failure) = report else { panic!("{report:?}") };
    assert_eq!((code, is_there, failure.reason.as_str()), (EXIT_BAD_INPUT, false, MADE_BEFORE));
    assert!(failure.message.contains(RUN), "{}", failure.message);
    // Whoever cannot find out goes on: another run, a store that is down, a config of another release.
    for (store, run) in [(here.as_str(), "another"), (&store("127.0.0.1:1"), RUN), ("{}", RUN), (&here, "")] {
        let (code, is_there, _) = fetches(store, run).await;
        assert_eq!((code, is_there), (0, true), "{run} {store}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_no_store_without_a_report() {
    let work = Work::new("127.0.0.1:1", &onnx::adder());
    assert_eq!(recalled(&work.config, &work.options, RUN).await, Err("Unreachable".to_owned()));
}

#[tokio::test]
async fn the_command_says_what_it_recalled_within_what_a_kubelet_reads() {
    let registry = Program::registry("").await;
    let mut work = Work::new(&registry.host(), &onnx::adder());
    let expected = published(&mut work).await;
    let log = work.folder.path().join("log");
    let arguments = ["publish", "--allow-loopback", "--termination-log", log.to_str().unwrap()];
    let config = |run: &str| {
        serde_json::json!({
            "namespace": "team", "model": "digits", "recall": run, "storeRetrySeconds": 5,
            "store": {"uri": format!("oci://{}/models", registry.host()), "plainHttp": true},
        })
        .to_string()
    };
    let output = commands::run(&arguments, (PUBLISH_ENV, &config(RUN))).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::metadata(&log).unwrap().len() < KUBELET_READS as u64);
    let Report::<RunReport>::Succeeded(report) = commands::report(&log) else { panic!("{output:?}") };
    assert_eq!(report.publish, expected);
    let output = commands::run(&arguments, (PUBLISH_ENV, &config("none"))).await;
    assert_eq!(output.status.code(), Some(EXIT_BAD_INPUT), "{output:?}");
    let Report::<RunReport>::Failed(failure) = commands::report(&log) else { panic!("{output:?}") };
    assert_eq!(failure.reason, NO_REPORT);
}
