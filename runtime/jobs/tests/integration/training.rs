use std::{fs, path::Path};

use modelwright_contract::{
    artifact::{Description, GoldenSamples, GoldenSource},
    fetch::FetchKind,
    report::PublishReport,
    training::{Metric, Task},
};

use crate::{
    support::models::model,
    support::{
        Volume,
        npz::{array, f32s, f64s, i64s, texts},
        programs::Program,
        sha256,
        training::{NOWHERE, REPORT, ROWS, Run, classes, digits, inputs, numbers, says},
        unmeasured,
    },
};

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

async fn fetch(kind: FetchKind, report: &PublishReport) -> Volume {
    let mut volume = Volume::new(&report.artifact_uri).pinned(&report.artifact_sha256);
    volume.config.kind = kind;
    volume.config.plain_http = true;
    volume.fetch().await.unwrap();
    volume
}

#[tokio::test]
async fn a_trained_classifier_is_published_with_its_metrics_its_report_and_if_asked_its_test_rows() {
    let registry = Program::registry("").await;
    let mut run = Run::of(&registry.host(), Task::Classification, "classifier", &digits())
        .gated(Metric::Accuracy, Some("0.75"), None)
        .gated(Metric::LogLoss, None, Some("1.5"));
    run.config.keep_evaluation = true;
    run.write("report.json", REPORT);
    run.write("calibration.npz", "not part of the model");
    run.write("variables.npz", "weights");
    run.write("curves.svg", "<svg/>");
    // An artifact's words of a training's own making are not taken.
    run.write("modelwright/description.json", r#"{"metrics": {"Accuracy": "1"}}"#);
    let report = run.publish().await.unwrap();
    let bytes = fs::read(model("classifier")).unwrap();
    assert_eq!(report.model_digest, sha256(format!("{}  model.onnx\n", sha256(&bytes))));
    let metrics: Vec<(&str, &str)> = report.metrics.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    // The losses of the rows are twice ln(1 + e^-2 + e^-4), ln(1 + 2e^-6), and 1 + ln(1 + e^-1 + e^-5).
    assert_eq!(
        metrics,
        [
            ("Accuracy", "0.75"),
            ("F1Macro", "0.777778"),
            ("F1Weighted", "0.75"),
            ("LogLoss", "0.402246"),
            ("PrecisionMacro", "0.833333"),
            ("PrecisionWeighted", "0.875"),
            ("RecallMacro", "0.833333"),
            ("RecallWeighted", "0.75"),
        ]
    );
    assert_eq!((report.golden_count, report.golden_source), (4, GoldenSource::Test));

    let served = fetch(FetchKind::Artifact, &report).await;
    // What others start from is no part of what serves: the model's digest is that of the graph alone.
    let kept =
        ["curves.svg", "description.json", "evaluation.npz", "golden.json", "report.json", "variables.npz"];
    let kept: Vec<String> = kept.iter().map(|name| format!("modelwright/{name}")).collect();
    assert_eq!(served.files()[1..], kept);
    let data = served.folder.path().join("data");
    assert_eq!(fs::read_to_string(data.join("modelwright/report.json")).unwrap(), REPORT);
    assert_eq!(fs::read_to_string(data.join("modelwright/variables.npz")).unwrap(), "weights");
    let description: Description = read(&data.join("modelwright/description.json"));
    let confusion = description.confusion.unwrap();
    assert_eq!(confusion.labels, ["10", "20", "30"]);
    assert_eq!(confusion.counts, [[1, 0, 0], [1, 1, 0], [0, 0, 1]]);
    let inspected = modelwright_jobs::inspect::inspect(&data).unwrap();
    assert_eq!((&inspected.metrics, &inspected.model_digest), (&report.metrics, &report.model_digest));
    let golden: GoldenSamples = read(&data.join("modelwright/golden.json"));
    assert!(golden.samples.iter().all(|sample| sample.inputs[0].shape == [1, 2]));

    // Production takes it as it is.
    let mut import = Run::new(&registry.host(), Task::Classification);
    import.config.judgement = None;
    import.config.keep_evaluation = true;
    let source = fetch(FetchKind::Source, &report).await;
    for file in source.files() {
        import.write(&file, fs::read(source.folder.path().join("data").join(&file)).unwrap());
    }
    let production = import.publish().await.unwrap();
    assert_eq!(production.artifact_sha256, report.artifact_sha256);
    assert_eq!((production.metrics, production.golden_source), (report.metrics, GoldenSource::Test));
    // Its rows only if that is asked for here, too.
    import.config.keep_evaluation = false;
    let without = import.publish().await.unwrap();
    let files = fetch(FetchKind::Artifact, &without).await.files();
    assert!(!files.contains(&"modelwright/evaluation.npz".to_owned()), "{files:?}");
    assert!(files.contains(&"modelwright/golden.json".to_owned()), "{files:?}");
}

#[tokio::test]
async fn a_regression_is_measured_and_a_large_test_part_does_not_stay_with_it() {
    let registry = Program::registry("").await;
    let rows = 2_200_000;
    let arrays = [
        ("inputs/x", f32s(&[rows, 2], &ROWS.repeat(rows / 4))),
        ("labels", f64s(&[rows], &[1.5, 2.5, -2.5, 3.5].repeat(rows / 4))),
    ];
    let mut run = Run::of(&registry.host(), Task::Regression, "regression", &arrays)
        .gated(Metric::R2, Some("0.9"), None)
        .gated(Metric::MeanAbsoluteError, None, Some("0.25"));
    run.config.keep_evaluation = true;
    let report = run.publish().await.unwrap();
    // One error of 1 in four; the truth has the mean 1.25 and the squares 0.0625, 1.5625, 14.0625, 5.0625 around it.
    let metrics: Vec<(&str, &str)> = report.metrics.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(metrics, [("MeanAbsoluteError", "0.25"), ("MeanSquaredError", "0.25"), ("R2", "0.951807")]);
    let served = fetch(FetchKind::Artifact, &report).await;
    assert_eq!(served.files(), ["model.onnx", "modelwright/description.json", "modelwright/golden.json"]);
}

#[tokio::test]
async fn a_report_that_is_none_is_left_out() {
    let registry = Program::registry("").await;
    let run = Run::of(&registry.host(), Task::Regression, "regression", &numbers());
    run.write("report.json", "{}");
    let report = run.publish().await.unwrap();
    let served = fetch(FetchKind::Artifact, &report).await;
    assert!(!served.files().contains(&"modelwright/report.json".to_owned()));
    let secret = run.folder.path().join("out/secret");
    fs::write(&secret, REPORT).unwrap();
    fs::remove_file(run.path("report.json")).unwrap();
    std::os::unix::fs::symlink(&secret, run.path("report.json")).unwrap();
    assert_eq!(unmeasured(run.publish().await.unwrap()), unmeasured(report), "a link was followed");
}

#[tokio::test]
async fn scores_and_labels_alone_are_judged_without_a_loss() {
    let registry = Program::registry("").await;
    let run = Run::of(&registry.host(), Task::Classification, "scores", &digits());
    let report = run.publish().await.unwrap();
    assert_eq!(report.metrics.get("Accuracy").map(String::as_str), Some("0.75"));
    assert!(!report.metrics.contains_key("LogLoss"));
    let run = run.gated(Metric::LogLoss, None, Some("1"));
    says(
        &run.refused().await,
        "InvalidOutputs",
        "LogLoss cannot be computed: the graph's output \"scores\" gives no probabilities: it is 2 for row 0",
    );

    let arrays = [("inputs/x", f32s(&[4], &[0.0, 0.4, 0.6, 1.0])), ("labels", i64s(&[4], &[0, 0, 1, 0]))];
    let run = Run::of(NOWHERE, Task::Classification, "threshold", &arrays);
    let run = run.gated(Metric::LogLoss, None, Some("1"));
    says(
        &run.refused().await,
        "InvalidOutputs",
        "LogLoss cannot be computed: the graph has no output `probabilities`",
    );
    let one = [("inputs/x", f32s(&[1, 2], &[0.0, 0.0])), ("labels", f64s(&[1], &[0.5]))];
    let run = Run::of(NOWHERE, Task::Regression, "regression", &one).gated(Metric::R2, Some("0"), None);
    says(&run.refused().await, "InvalidOutputs", "R2 cannot be computed: it needs two rows at least");
}

#[tokio::test]
async fn labels_come_from_whatever_a_graph_gives() {
    let registry = Program::registry("").await;
    let host = registry.host();
    let text = [
        inputs(),
        ("labels", texts(&[4], &["ant", "bee", "cow", "bee"])),
        ("classes", texts(&[3], &["ant", "bee", "cow"])),
    ];
    let narrow = array("|u1", &[4], &[10, 20, 30, 20]);
    let fixed = [("inputs/x", f32s(&[4, 2], &ROWS)), ("labels", i64s(&[4], &[10, 20, 30, 20])), classes()];
    // The larger of 1 - p and p, for p of 0.5 (a tie), 0.73, 0.27 and 0.98.
    let sigmoid = [
        ("inputs/x", f32s(&[4, 1], &[0.0, 1.0, -1.0, 4.0])),
        ("labels", i64s(&[4], &[0, 1, 0, 0])),
        ("classes", i64s(&[2], &[0, 1])),
    ];
    let echo = [
        ("inputs/x", texts(&[4, 1], &["a", "b", "c", "d"])),
        ("labels", texts(&[4], &["a", "b", "c", "Grüße"])),
    ];
    for (name, arrays) in [
        ("classifier", vec![inputs(), ("labels", narrow), classes()]),
        ("classifier_text", text.to_vec()),
        ("probabilities", digits().to_vec()),
        ("two_at_once", fixed.to_vec()),
        ("sigmoid", sigmoid.to_vec()),
        ("identity_bytes", echo.to_vec()),
    ] {
        let mut run = Run::of(&host, Task::Classification, name, &arrays);
        run.config.keep_evaluation = true;
        let report = run.publish().await.unwrap();
        assert_eq!(report.metrics.get("Accuracy").map(String::as_str), Some("0.75"), "{name}");
        assert_eq!(report.golden_source, GoldenSource::Test, "{name}");
    }
}

#[tokio::test]
async fn a_truth_that_the_model_does_not_know_is_a_wrong_answer_without_a_probability() {
    let registry = Program::registry("").await;
    let arrays = [inputs(), ("labels", i64s(&[4], &[10, 20, 30, 99])), classes()];
    let report =
        Run::of(&registry.host(), Task::Classification, "classifier", &arrays).publish().await.unwrap();
    assert_eq!(report.metrics.get("Accuracy").map(String::as_str), Some("0.75"));
    let loss: f64 = report.metrics["LogLoss"].parse().unwrap();
    // Minus the logarithm of the epsilon of FP32, a quarter of it.
    assert!((4.0..4.2).contains(&loss), "{loss}");
}

#[tokio::test]
async fn answers_that_differ_in_rounding_or_in_a_few_rows_do_no_harm() {
    let registry = Program::registry("").await;
    let rows = 200;
    let arrays = |wrong: usize| {
        let mut answers = [1.5, 2.5, -2.5, 2.5].repeat(rows / 4);
        for answer in answers.iter_mut().take(wrong) {
            *answer += 1.0;
        }
        answers[100] += 0.000_9;
        [
            ("inputs/x", f32s(&[rows, 2], &ROWS.repeat(rows / 4))),
            ("labels", f64s(&[rows], &[1.5, 2.5, -2.5, 3.5].repeat(rows / 4))),
            ("outputs/prediction", f64s(&[rows, 1], &answers)),
        ]
    };
    Run::of(&registry.host(), Task::Regression, "regression", &arrays(2)).publish().await.unwrap();
    let refusal = Run::of(NOWHERE, Task::Regression, "regression", &arrays(3)).refused().await;
    says(&refusal, "NotReproducible", "3 of the 200 rows");
}

#[tokio::test]
async fn rows_on_a_knifes_edge_are_no_samples() {
    let registry = Program::registry("").await;
    let samples = async |numbers: &[f32]| {
        let arrays = [
            ("inputs/x", f32s(&[numbers.len()], numbers)),
            ("labels", i64s(&[numbers.len()], &vec![0; numbers.len()])),
        ];
        let mut run = Run::of(&registry.host(), Task::Classification, "threshold", &arrays);
        run.config.keep_evaluation = true;
        let report = run.publish().await.unwrap();
        (report.golden_count, report.golden_source)
    };
    assert_eq!(samples(&[0.5, 0.1, 0.5, 0.9]).await, (2, GoldenSource::Test));
    // Where no row is left, the samples are made up.
    assert_eq!(samples(&[0.5; 4]).await.1, GoldenSource::Synthetic);
}
