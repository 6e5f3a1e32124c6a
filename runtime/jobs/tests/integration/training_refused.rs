use std::fs;

use modelwright_contract::{
    names::{EXIT_BAD_INPUT, PUBLISH_ENV},
    report::{PublishReport, Report},
    training::{Metric, Task},
};

use crate::{
    commands,
    support::models::model,
    support::{
        files,
        npz::{array, f32s, f64s, i64s, npz, texts, with_head},
        onnx,
        training::{NOWHERE, REPORT, Run, classes, digits, inputs, numbers, says},
    },
};

#[tokio::test]
async fn a_report_that_lies_changes_nothing() {
    let arrays = [inputs(), ("labels", i64s(&[4], &[10, 20, 20, 30])), classes()];
    let run = Run::of(NOWHERE, Task::Classification, "classifier", &arrays).gated(
        Metric::Accuracy,
        Some("0.9"),
        None,
    );
    run.write("report.json", REPORT);
    says(
        &run.refused().await,
        "GateMissed",
        "Accuracy is 0.5, and at least 0.9 was asked for (missed by 0.4) on the 4 rows of the test part",
    );
}

#[tokio::test]
async fn a_report_that_lies_is_named_in_the_log_with_both_numbers() {
    let arrays = [inputs(), ("labels", i64s(&[4], &[10, 20, 20, 30])), classes()];
    let run = Run::of(NOWHERE, Task::Classification, "classifier", &arrays).gated(
        Metric::Accuracy,
        Some("0.9"),
        None,
    );
    run.write("report.json", REPORT);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let arguments = ["publish", "--allow-loopback", "--termination-log", log.to_str().unwrap()];
    let config = serde_json::to_string(&run.config).unwrap();
    let output = commands::run(&arguments, (PUBLISH_ENV, &config)).await;
    assert_eq!(output.status.code(), Some(EXIT_BAD_INPUT), "{output:?}");
    let Report::<PublishReport>::Failed(failure) = commands::report(&log) else { panic!("{output:?}") };
    assert_eq!(failure.reason, "GateMissed");
    let words = String::from_utf8(output.stderr).unwrap();
    for part in
        ["the trainer's report differs", r#""metric":"Accuracy""#, r#""claimed":1.0"#, r#""measured":0.5"#]
    {
        assert!(words.contains(part), "{part} is missing in:\n{words}");
    }
}

#[tokio::test]
async fn every_gate_that_is_missed_is_told() {
    let run = Run::of(NOWHERE, Task::Regression, "regression", &numbers())
        .gated(Metric::R2, Some("0.99"), None)
        .gated(Metric::MeanSquaredError, None, Some("1"))
        .gated(Metric::MeanAbsoluteError, None, Some("0.2"));
    let refusal = run.refused().await;
    says(
        &refusal,
        "GateMissed",
        "R2 is 0.951807, and at least 0.99 was asked for (missed by 0.0381928); Mean",
    );
    says(&refusal, "GateMissed", "MeanAbsoluteError is 0.25, and at most 0.2 was asked for (missed by 0.05)");
    assert!(!refusal.1.contains("MeanSquaredError"), "{}", refusal.1);
}

#[tokio::test]
async fn a_gate_that_nobody_can_meet_is_a_fault_of_the_config() {
    let run = Run::of(NOWHERE, Task::Regression, "regression", &numbers());
    let run = run.gated(Metric::R2, Some("1e9"), None);
    says(&run.refused().await, "InvalidConfig", "`training.gates` is wrong: min of R2 is \"1e9\"");
    let run =
        Run::of(NOWHERE, Task::Regression, "regression", &numbers()).gated(Metric::F1Macro, Some("1"), None);
    says(
        &run.refused().await,
        "InvalidConfig",
        "F1Macro is a metric of a Classification, and the task is Regression",
    );
}

#[tokio::test]
async fn a_training_without_a_model_or_a_test_part_is_told_what_is_there_instead() {
    let run = Run::new(NOWHERE, Task::Classification);
    says(&run.refused().await, "NoModel", "out/model.onnx was expected, and the folder is empty");
    run.write("model.pkl", "x");
    run.write("logs/a", "x");
    says(&run.refused().await, "NoModel", "the folder holds logs/, model.pkl. Write the model there");
    fs::remove_dir_all(run.path("")).unwrap();
    says(&run.refused().await, "NoModel", "the folder is missing");

    let run = Run::new(NOWHERE, Task::Classification);
    std::os::unix::fs::symlink(model("classifier"), run.path("model.onnx")).unwrap();
    says(&run.refused().await, "NoModel", "model.onnx (a link, which is not followed)");

    let run = Run::new(NOWHERE, Task::Classification);
    run.write("model.onnx", fs::read(model("classifier")).unwrap());
    says(
        &run.refused().await,
        "InvalidEvaluation",
        "out/evaluation.npz was expected, and the folder holds model.onnx",
    );
    std::os::unix::fs::symlink("/etc/hostname", run.path("evaluation.npz")).unwrap();
    says(&run.refused().await, "InvalidEvaluation", "evaluation.npz (a link, which is not followed)");
}

#[tokio::test]
async fn a_test_part_that_cannot_be_read_or_does_not_fit_the_graph_is_refused() {
    let labels = || ("labels", i64s(&[4], &[10, 20, 30, 20]));
    let object = with_head("{'descr': '|O', 'fortran_order': False, 'shape': (4,)}", b"pickle");
    for (arrays, part) in [
        (
            vec![inputs(), classes()],
            "lacks the array \"labels\" with the truth of each row; it holds \"classes\", \"inputs/x\"",
        ),
        (
            vec![labels(), classes()],
            "lacks the array \"inputs/x\": the graph takes \"x\" as FP32 of shape [-1,2]; it holds \"classes\", \"labels\"",
        ),
        (
            vec![inputs(), labels()],
            "lacks the array \"classes\": the labels in the order of the columns of the output \"probabilities\"",
        ),
        (
            vec![inputs(), ("labels", object), classes()],
            "its array \"labels\" has elements of type \"|O\": pickled",
        ),
        (
            vec![("inputs/x", f64s(&[4, 2], &[0.0; 8])), labels(), classes()],
            "holds \"inputs/x\" as FP64 of shape [4, 2], and the graph takes \"x\" as FP32 of shape [-1,2] there; convert it by array.astype",
        ),
        (
            vec![("inputs/x", f32s(&[4, 3], &[0.0; 12])), labels(), classes()],
            "holds \"inputs/x\" as FP32 of shape [4, 3], and the graph takes",
        ),
        (vec![("inputs/x", f32s(&[4, 1, 2], &[0.0; 8])), labels(), classes()], "of shape [4, 1, 2]"),
        (
            vec![("inputs/x", f32s(&[3, 2], &[0.0; 6])), labels(), classes()],
            "holds \"inputs/x\" as FP32 of shape [3, 2], and 4 labels; expected one row a label",
        ),
        (
            vec![inputs(), ("inputs/y", f32s(&[4], &[0.0; 4])), labels(), classes()],
            "holds \"inputs/y\", and the graph has no input \"y\"; it takes \"x\" as FP32",
        ),
        (
            vec![inputs(), ("outputs/y", f32s(&[4], &[0.0; 4])), labels(), classes()],
            "holds \"outputs/y\", and the graph has no output \"y\"; it gives \"label\" as INT64",
        ),
        (
            vec![inputs(), ("outputs/label", i64s(&[3], &[0; 3])), labels(), classes()],
            "holds \"outputs/label\" of shape [3], and 4 labels",
        ),
        (
            vec![inputs(), ("labels", i64s(&[2, 2], &[0; 4])), classes()],
            "holds \"labels\" of shape [2, 2]; expected one label a row, of shape (rows,)",
        ),
        (vec![("inputs/x", f32s(&[0, 2], &[])), ("labels", i64s(&[0], &[])), classes()], "has no rows"),
        (
            vec![inputs(), ("labels", f64s(&[4], &[0.0; 4])), classes()],
            "holds \"labels\" of type FP64; the truth of a classification is integers or text",
        ),
        (
            vec![inputs(), ("labels", texts(&[4], &["a", "b", "c", "b"])), classes()],
            "holds \"classes\" of integers and \"labels\" of text",
        ),
        (
            vec![
                inputs(),
                ("labels", texts(&[4], &["a", "b", "c", "b"])),
                ("classes", texts(&[3], &["a", "b", "c"])),
            ],
            "holds \"labels\" of text, and the graph's output \"label\" gives integers",
        ),
        (
            vec![inputs(), labels(), ("classes", f64s(&[3], &[1.0, 2.0, 3.0]))],
            "holds \"classes\" as FP64 of shape [3]; expected integers or text",
        ),
        (vec![inputs(), labels(), ("classes", i64s(&[3], &[10, 20, 10]))], "holds 10 twice in \"classes\""),
    ] {
        let run = Run::of(NOWHERE, Task::Classification, "classifier", &arrays);
        says(&run.refused().await, "InvalidEvaluation", part);
    }
    let many = 10_000_001;
    let many = ("labels", array("|u1", &[many], &vec![1; many]));
    let run = Run::of(NOWHERE, Task::Classification, "classifier", &[inputs(), many, classes()]);
    says(&run.refused().await, "InvalidEvaluation", "has 10000001 rows, and at most 10000000 are judged");
    let run = Run::of(NOWHERE, Task::Classification, "classifier", &digits());
    run.write("evaluation.npz", "a page");
    says(&run.refused().await, "InvalidEvaluation", "evaluation.npz is refused: it is no whole .npz file");
    for (labels, part) in [
        (texts(&[4], &["a", "b", "c", "b"]), "holds \"labels\" of text; the truth of a regression is floats"),
        (f64s(&[4], &[1.0, f64::NAN, 0.0, 0.0]), "holds NaN as the label of row 1"),
    ] {
        let run = Run::of(NOWHERE, Task::Regression, "regression", &[inputs(), ("labels", labels)]);
        says(&run.refused().await, "InvalidEvaluation", part);
    }
    let arrays = [("inputs/x", f32s(&[3, 2], &[0.0; 6])), ("labels", i64s(&[3], &[10; 3])), classes()];
    let run = Run::of(NOWHERE, Task::Classification, "two_at_once", &arrays);
    says(
        &run.refused().await,
        "InvalidEvaluation",
        "has 3 rows, and the graph takes exactly 2 at once as \"x\"",
    );
}

#[tokio::test]
async fn outputs_that_are_no_answers_are_refused_and_say_what_was_expected() {
    let run = Run::of(NOWHERE, Task::Regression, "classifier", &numbers());
    says(&run.refused().await, "InvalidOutputs", "a regression gives `prediction`");
    let arrays = [inputs(), ("labels", i64s(&[4], &[1; 4])), ("classes", i64s(&[2], &[1, 2]))];
    let run = Run::of(NOWHERE, Task::Classification, "classifier", &arrays);
    says(
        &run.refused().await,
        "InvalidOutputs",
        "\"probabilities\" has the shape [4,3] for 4 rows, and evaluation.npz names 2 classes",
    );
    let run = Run::of(NOWHERE, Task::Regression, "scores", &numbers());
    says(
        &run.refused().await,
        "InvalidOutputs",
        "\"scores\" has the shape [4,3] for 4 rows of evaluation.npz; expected one answer a row",
    );
    let huge = ("inputs/x", f32s(&[4, 2], &[1.0, 1.0, f32::MAX, f32::MAX, 0.0, 0.0, 0.0, 0.0]));
    let run = Run::of(NOWHERE, Task::Regression, "regression", &[huge, ("labels", f64s(&[4], &[0.0; 4]))]);
    says(&run.refused().await, "InvalidOutputs", "\"prediction\" is inf for row 1");
    let infinite = ("inputs/x", f32s(&[4, 2], &[0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0]));
    let run =
        Run::of(NOWHERE, Task::Classification, "classifier", &[infinite, digits()[1].clone(), classes()]);
    says(&run.refused().await, "InvalidOutputs", "\"probabilities\" is NaN for row 2");
}

#[tokio::test]
async fn a_model_that_answers_otherwise_than_its_training_did_is_refused() {
    let with =
        |name: &'static str, array: Vec<u8>| digits().into_iter().chain([(name, array)]).collect::<Vec<_>>();
    let run = |arrays: &[(&str, Vec<u8>)]| Run::of(NOWHERE, Task::Classification, "classifier", arrays);
    let refusal = run(&with("outputs/label", i64s(&[4], &[10, 20, 30, 20]))).refused().await;
    says(
        &refusal,
        "NotReproducible",
        "the model answers 1 of the 4 rows of evaluation.npz otherwise than train did (25.0 %, and at most 1 % may differ \
         by more than 0.001); the first is row 3, where the output \"label\" is 10 and train's was 20",
    );
    let shares = f32s(&[4, 3], &[0.9; 12]);
    let refusal = run(&with("outputs/probabilities", shares)).refused().await;
    says(&refusal, "NotReproducible", "answers 4 of the 4 rows");
    says(&refusal, "NotReproducible", "the first is row 0, where the output \"probabilities\"[0] is 0.8");
    let refusal = run(&with("outputs/label", f64s(&[4], &[10.0; 4]))).refused().await;
    says(&refusal, "InvalidEvaluation", "\"outputs/label\" holds floats where the graph gives integers");
    let refusal = run(&with("outputs/label", i64s(&[4, 1], &[10; 4]))).refused().await;
    says(&refusal, "InvalidEvaluation", "has the shape [4,1] where the graph gives [4]");
}

#[tokio::test]
async fn a_model_of_small_answers_whose_weights_were_lost_is_refused() {
    let rows = [1.0_f32, -2.0, 3.0, 0.5];
    let small: Vec<f32> = rows.iter().map(|row| row * 3e-4).collect();
    let truth: Vec<f64> = small.iter().copied().map(f64::from).collect();
    let arrays = [
        ("inputs/x", f32s(&[4, 1], &rows)),
        ("labels", f64s(&[4], &truth)),
        ("outputs/y", f32s(&[4, 1], &small)),
    ];
    let run = Run::new(NOWHERE, Task::Regression);
    run.write("evaluation.npz", npz(&arrays));
    run.write("model.onnx", onnx::scaler(&[0.0]));
    let refusal = run.refused().await;
    says(&refusal, "NotReproducible", "answers 4 of the 4 rows of evaluation.npz otherwise than train did");
    says(
        &refusal,
        "NotReproducible",
        "the first is row 0, where the output \"y\" is 0.0 and train's was 0.0003",
    );
    // The model itself is not: it gets as far as the store, which is not there.
    run.write("model.onnx", onnx::scaler(&[3e-4]));
    let error = run.publish().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_model_that_fails_at_its_first_run_is_refused_as_an_import_is() {
    let run = Run::new(NOWHERE, Task::Regression);
    run.write("model.onnx", onnx::out_of_range());
    run.write(
        "evaluation.npz",
        npz(&[("inputs/x", f32s(&[2, 3], &[0.0; 6])), ("labels", f64s(&[2], &[0.0; 2]))]),
    );
    says(&run.refused().await, "RunFailed", "rows 0 to 1 of evaluation.npz have no answer");
    assert_eq!(files(&run.path("")), ["evaluation.npz", "model.onnx"]);
}
