use std::{
    fs,
    path::{Path, PathBuf},
};

use modelwright_contract::{
    artifact::{Description, GoldenSamples, GoldenSource},
    fetch::FetchKind,
    report::PublishReport,
    training::{Gate, Judgement, Metric, Task},
    variants::{Quantize, Target, Variant, VariantReport, directory},
};
use modelwright_core::{golden, session::Session};

use crate::{
    publish::{Work, fetch, read},
    support::models::model,
    support::{
        Volume, npz, onnx,
        programs::Program,
        serving::{Serving, one_input},
        sha256,
        training::{NOWHERE, Run, classes, digits, inputs, says},
        unmeasured,
    },
};

/// Columns of the original's weights in between.
const WIDE: usize = 384;

/// x·A·B·C, which is x·w of the model `scores`, by a thousand times the work.
fn roundabout(last: &[f32]) -> Vec<u8> {
    let identity = |rows: usize| -> Vec<u8> {
        let one = |index: usize| f32::from(u8::from(index / WIDE == index % WIDE));
        onnx::floats(&(0..rows * WIDE).map(one).collect::<Vec<f32>>())
    };
    let mut weights = last.to_vec();
    weights.resize(3 * WIDE, 0.0);
    let wide = WIDE as u64;
    onnx::model(&[
        onnx::node("MatMul", &["x", "a"], &["xa"], &[]),
        onnx::node("MatMul", &["xa", "b"], &["xab"], &[]),
        onnx::node("MatMul", &["xab", "c"], &["scores"], &[]),
        onnx::constant("a", onnx::FLOAT, &[2, wide], &identity(2)),
        onnx::constant("b", onnx::FLOAT, &[wide, wide], &identity(WIDE)),
        onnx::constant("c", onnx::FLOAT, &[wide, 3], &onnx::floats(&weights)),
        onnx::value(11, "x", onnx::FLOAT, &[0, 2]),
        onnx::value(12, "scores", onnx::FLOAT, &[0, 3]),
    ])
}

/// The weights of the model `scores`.
const SCORES: [f32; 6] = [2.0, 0.0, -2.0, 0.0, 2.0, -2.0];

fn asked(name: &str, target: Target) -> Variant {
    Variant {
        name: name.to_owned(),
        quantize: Some(Quantize::Static),
        target,
        metric: Metric::Accuracy,
        max_metric_drop: "0.01".to_owned(),
        max_disagreement: "0.05".to_owned(),
    }
}

/// A training whose model takes the long way, with variants as `optimize` leaves them.
fn training(host: &str, variants: &[(Variant, Vec<u8>)]) -> Run {
    let mut run = Run::new(host, Task::Classification);
    run.write("model.onnx", roundabout(&SCORES));
    run.write("evaluation.npz", npz::npz(&digits()));
    run.write("calibration.npz", npz::npz(&[training_part()]));
    for (variant, content) in variants {
        run.write(&format!("variants/{}/model.onnx", variant.name), content);
        run.config.variants.push(variant.clone());
    }
    run
}

/// Rows like those of the test part.
fn training_part() -> (&'static str, Vec<u8>) {
    let numbers: Vec<f32> = (0..128_u16).map(|number| f32::from(number * 37 % 128) / 48.0 - 1.3).collect();
    ("inputs/x", npz::f32s(&[64, 2], &numbers))
}

fn short_way() -> Vec<u8> {
    fs::read(model("scores")).unwrap()
}

async fn fetched(report: &PublishReport) -> Volume {
    let mut volume = Volume::new(&report.artifact_uri).pinned(&report.artifact_sha256);
    volume.config.kind = FetchKind::Artifact;
    volume.config.plain_http = true;
    volume.fetch().await.unwrap();
    volume
}

fn data(volume: &Volume) -> PathBuf {
    volume.folder.path().join("data")
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_variant_lies_in_its_versions_artifact_as_a_model_of_its_own_with_what_was_measured() {
    let registry = Program::registry("").await;
    let variants =
        [(asked("int8", Target::Latency), short_way()), (asked("small", Target::Size), short_way())];
    let alone = training(&registry.host(), &[]).publish().await.unwrap();
    let report = training(&registry.host(), &variants).publish().await.unwrap();
    let without = PublishReport {
        artifact_uri: report.artifact_uri.clone(),
        artifact_sha256: report.artifact_sha256.clone(),
        size_bytes: report.size_bytes,
        variants: report.variants.clone(),
        ..unmeasured(alone)
    };
    assert_eq!(unmeasured(report.clone()), without, "variants change nothing of the model");
    let names: Vec<&str> = report.variants.iter().map(|variant| variant.name.as_str()).collect();
    assert_eq!(names, ["int8", "small"]);
    let digest = sha256(format!("{}  model.onnx\n", sha256(short_way())));
    let [int8, _] = report.variants.as_slice() else { panic!("{report:?}") };
    assert_eq!((&int8.model_digest, int8.size_bytes), (&digest, short_way().len() as u64));

    let volume = fetched(&report).await;
    let folder = data(&volume).join(directory("int8"));
    let kept: VariantReport = json(&folder.join("modelwright/variant.json"));
    assert_eq!((&kept.model_digest, kept.size_bytes, kept.size.is_some()), (&digest, int8.size_bytes, true));
    let figures = kept.figures.as_ref().unwrap();
    assert_eq!((figures.value.as_str(), figures.original.as_str()), ("0.75", "0.75"));
    assert_eq!((figures.disagreement.as_str(), figures.time.len()), ("0", 2));
    let at_32 = figures.time.last().unwrap();
    assert!(at_32.rows == 32 && at_32.high.parse::<f64>().unwrap() < 0.5, "{at_32:?}");
    let description: Description = json(&folder.join("modelwright/description.json"));
    assert_eq!((&description.model_digest, description.metrics["Accuracy"].as_str()), (&digest, "0.75"));
    let samples: GoldenSamples = json(&folder.join("modelwright/golden.json"));
    // Of a graph of few bits another processor may make another step.
    assert_eq!((samples.source, samples.tolerance.as_str()), (GoldenSource::Quantiles, "0.02"));
    let load =
        |path: &Path| Session::load(path, &modelwright_core::session::SessionOptions::default()).unwrap();
    golden::replay(&load(&folder.join("model.onnx")), &samples).unwrap();
    let zeros = data(&volume).join("zeros.onnx");
    fs::write(&zeros, roundabout(&[0.0; 6])).unwrap();
    assert!(golden::replay(&load(&zeros), &samples).is_err(), "a layer of zeros is caught");

    let config = serde_json::json!({
        "model": "digits", "version": 3, "modelDigest": digest, "revision": "abc", "directory": folder,
        "executionProviders": ["CPU"], "allowFallback": false, "queue": 8, "timeoutMilliseconds": 5000,
        "maxRequestBytes": 1_000_000, "drainTimeoutMilliseconds": 1000,
    });
    let serving = Serving::start(&[], &[("MODELWRIGHT_SERVING", &config.to_string())]);
    serving.wait_for("ready");
    let answer = serving.client().post("/v2/models/digits/infer", &one_input("x", "FP32", "[1,2]", "[1,0]"));
    assert_eq!(answer.headers["x-modelwright-digest"], digest);
    assert_eq!(answer.json()["outputs"][0]["data"], serde_json::json!([2.0, 0.0, -2.0]));
}

#[tokio::test]
async fn a_variant_without_the_gain_that_was_asked_for_is_refused_with_what_was_measured() {
    let same = roundabout(&SCORES);
    let size = training(NOWHERE, &[(asked("small", Target::Size), same.clone())]).refused().await;
    says(&size, "VariantRefused", "variant \"small\" (quantize: Static, for: Size) is refused: it has");
    says(&size, "VariantRefused", "nothing is gained");
    let time = training(NOWHERE, &[(asked("fast", Target::Latency), same)]).refused().await;
    says(&time, "VariantRefused", "no gain of 5 % of CPU time is shown: it takes");
    says(&time, "VariantRefused", "of the original's at 32 rows (99 %:");
    says(&time, "VariantRefused", "change or remove the entry of spec.optimize");
}

#[tokio::test]
async fn a_variant_that_answers_worse_or_misses_a_gate_is_refused_and_all_refusals_come_at_once() {
    // The columns of the first two classes change places.
    let swapped = roundabout(&[0.0, 2.0, -2.0, 2.0, 0.0, -2.0]);
    let two = [
        (asked("one", Target::Size), swapped.clone()),
        (asked("good", Target::Size), short_way()),
        (Variant { max_metric_drop: "1".to_owned(), ..asked("two", Target::Size) }, swapped.clone()),
    ];
    let refused = training(NOWHERE, &two).refused().await;
    says(
        &refused,
        "VariantRefused",
        "variant \"one\" (quantize: Static, for: Size) is refused: its Accuracy is",
    );
    says(&refused, "VariantRefused", "(maxMetricDrop: 0.01), and its answers are 0.75 away");
    says(
        &refused,
        "VariantRefused",
        "variant \"two\" (quantize: Static, for: Size) is refused: its answers are",
    );
    assert!(!refused.1.contains("\"good\""), "{}", refused.1);

    let loose = Variant {
        max_metric_drop: "1".to_owned(),
        max_disagreement: "1".to_owned(),
        ..asked("one", Target::Latency)
    };
    let gated = training(NOWHERE, &[(loose, swapped)]).gated(Metric::Accuracy, Some("0.75"), None);
    says(&gated.refused().await, "VariantRefused", "and at least 0.75 was asked for");
}

/// Probabilities of x·w, by a factor that makes them more or less certain.
fn certain(factor: f32) -> Vec<u8> {
    onnx::model(&[
        onnx::node("MatMul", &["x", "w"], &["each"], &[]),
        onnx::node("Mul", &["each", "by"], &["much"], &[]),
        onnx::node("Softmax", &["much"], &["probabilities"], &[]),
        onnx::constant("w", onnx::FLOAT, &[2, 3], &onnx::floats(&SCORES)),
        onnx::constant("by", onnx::FLOAT, &[1], &onnx::floats(&[factor])),
        onnx::value(11, "x", onnx::FLOAT, &[0, 2]),
        onnx::value(12, "probabilities", onnx::FLOAT, &[0, 3]),
    ])
}

/// Every row keeps its label, and every probability is near a third: who asks for these is misled.
#[tokio::test]
async fn a_variant_with_the_same_labels_and_other_probabilities_is_refused() {
    let run = training(NOWHERE, &[(asked("flat", Target::Size), certain(0.01))]);
    run.write("model.onnx", certain(2.0));
    let refused = run.refused().await;
    says(&refused, "VariantRefused", "variant \"flat\" (quantize: Static, for: Size) is refused: ");
    says(&refused, "VariantRefused", "its answers are 0.");
    says(&refused, "VariantRefused", "away from the original's (maxDisagreement: 0.05)");
    assert!(!refused.1.contains("its Accuracy"), "{}", refused.1);
    let run = training(NOWHERE, &[(asked("alike", Target::Size), certain(1.99))]);
    run.write("model.onnx", certain(2.0));
    let refused = run.refused().await;
    assert!(!refused.1.contains("away from the original's"), "{}", refused.1);
}

/// Scales of a whole run make an answer depend on the rows beside it, as dynamic quantisation does.
#[tokio::test]
async fn a_variant_whose_rows_depend_on_each_other_is_measured_row_by_row() {
    // The sum over the rows: of one row, that row; of four, another answer for three of them.
    let summed = onnx::model(&[
        onnx::node("MatMul", &["x", "w"], &["each"], &[]),
        onnx::node("ReduceSum", &["each", "rows"], &["all"], &[]),
        onnx::node("Sub", &["each", "each"], &["nothing"], &[]),
        onnx::node("Add", &["all", "nothing"], &["scores"], &[]),
        onnx::constant("w", onnx::FLOAT, &[2, 3], &onnx::floats(&SCORES)),
        onnx::constant("rows", 7, &[1], &0_i64.to_le_bytes()),
        onnx::value(11, "x", onnx::FLOAT, &[0, 2]),
        onnx::value(12, "scores", onnx::FLOAT, &[0, 3]),
    ]);
    let registry = Program::registry("").await;
    let report =
        training(&registry.host(), &[(asked("summed", Target::Size), summed)]).publish().await.unwrap();
    let figures = report.variants[0].figures.as_ref().unwrap();
    assert_eq!((figures.value.as_str(), figures.disagreement.as_str()), ("0.75", "0"));
}

#[tokio::test]
async fn what_optimize_left_is_judged_like_any_model_before_it_is_loaded() {
    let blocked = fs::read(model("blocked")).unwrap();
    let refused = training(NOWHERE, &[(asked("int8", Target::Size), blocked)]).refused().await;
    says(&refused, "VariantRefused", "com.microsoft.nchwc::Conv");
    let mut run = training(NOWHERE, &[]);
    run.config.variants.push(asked("int8", Target::Size));
    says(&run.refused().await, "VariantRefused", "variants/int8/model.onnx is missing");
    let other = onnx::adder();
    let refused = training(NOWHERE, &[(asked("int8", Target::Size), other)]).refused().await;
    says(&refused, "VariantRefused", "variant \"int8\"");
    run.config.variants = vec![Variant { name: "../../data".to_owned(), ..asked("x", Target::Size) }];
    says(&run.refused().await, "InvalidConfig", "no name of a variant");
    run.config.variants = (0..5).map(|number| asked(&format!("v{number}"), Target::Size)).collect();
    says(&run.refused().await, "InvalidConfig", "at most 4");
}

/// x·w with a fixed number of rows, or another name for what comes of it, or a further output.
fn shaped(rows: u64, outputs: &[&str]) -> Vec<u8> {
    let mut parts = vec![
        onnx::constant("w", onnx::FLOAT, &[2, 3], &onnx::floats(&SCORES)),
        onnx::value(11, "x", onnx::FLOAT, &[rows, 2]),
    ];
    for output in outputs {
        parts.push(onnx::node("MatMul", &["x", "w"], &[output], &[]));
        parts.push(onnx::value(12, output, onnx::FLOAT, &[rows, 3]));
    }
    onnx::model(&parts)
}

/// Whoever asks the original asks the variant in the same words.
#[tokio::test]
async fn a_variant_takes_and_gives_what_its_original_does_by_the_same_names() {
    let refused = |content: Vec<u8>| async {
        training(NOWHERE, &[(asked("int8", Target::Size), content)]).refused().await
    };
    let renamed = refused(shaped(0, &["logits"])).await;
    says(
        &renamed,
        "VariantRefused",
        "its outputs are \"logits\" FP32 [-1,3] and the original's \"scores\" FP32 [-1,3]",
    );
    let fixed = refused(shaped(1, &["scores"])).await;
    says(&fixed, "VariantRefused", "its inputs are \"x\" FP32 [1,2] and the original's \"x\" FP32 [-1,2]");
}

fn judged(work: &mut Work, metric: Metric, min: &str) {
    let gates = vec![Gate { metric, min: Some(min.to_owned()), max: None }];
    work.config.evaluation = Some(Judgement { task: Task::Classification, gates });
}

#[tokio::test]
async fn an_import_is_measured_gated_and_has_variants_like_a_training() {
    let registry = Program::registry("").await;
    let mut work = Work::new(&registry.host(), &roundabout(&SCORES));
    work.write("evaluation.npz", npz::npz(&digits()));
    work.write("calibration.npz", npz::npz(&[training_part()]));
    work.write("variants/int8/model.onnx", short_way());
    work.config.variants.push(asked("int8", Target::Latency));
    judged(&mut work, Metric::Accuracy, "0.75");
    let report = work.publish().await.unwrap();
    assert_eq!(report.metrics["Accuracy"], "0.75");
    assert_eq!((report.golden_source, report.variants.len()), (GoldenSource::Quantiles, 1));
    judged(&mut work, Metric::Accuracy, "0.8");
    let error = work.refusal().await;
    assert_eq!(error.reason(), "GateMissed", "{error}");

    // Imported again, it brings its samples along, and its variants are made anew or not at all.
    let folder = fetch(FetchKind::Source, &report).await.folder;
    let mut again = Work::over(&registry.host(), folder);
    let recorded: GoldenSamples = read(&again.path("modelwright/golden.json"));
    again.write(
        "evaluation.npz",
        npz::npz(&[inputs(), ("labels", npz::i64s(&[4], &[10, 20, 30, 10])), classes()]),
    );
    judged(&mut again, Metric::Accuracy, "1");
    let second = again.publish().await.unwrap();
    assert_eq!(second.metrics["Accuracy"], "1", "what was measured goes before what the artifact says");
    assert_eq!((second.golden_source, &second.model_digest), (recorded.source, &report.model_digest));
    assert!(second.variants.is_empty());
    let kept = fetched(&second).await;
    assert_eq!(json::<GoldenSamples>(&data(&kept).join("modelwright/golden.json")), recorded);
    assert!(!data(&kept).join(directory("int8")).exists());
}

#[tokio::test]
async fn variants_of_an_import_that_nobody_measures_are_refused() {
    let mut work = Work::new(NOWHERE, &roundabout(&SCORES));
    work.write("variants/int8/model.onnx", short_way());
    work.config.variants.push(asked("int8", Target::Size));
    let error = work.refusal().await;
    assert_eq!(error.reason(), "InvalidConfig", "{error}");
    assert!(error.to_string().contains("judged on a test part"), "{error}");
}
