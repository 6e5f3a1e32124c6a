//! B1, B2: a CSV becomes a served model; what misses its gate, lies or fails makes no version and takes nothing down.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt, api::EvictParams};
use modelwright::api::{
    condition::{READY, RECONCILING, STALLED},
    model::Model,
    model_deployment::ModelDeployment,
    model_version::ModelVersion,
};
use serde_json::json;

use crate::harness::{
    Space,
    datasets::{self, training},
    images::copy_image,
    onnx::Affine,
    resources::Observed as _,
};

/// Three kinds of models on the tumours of real patients; the best one serves, and answers as its trainer did.
pub async fn a_csv_of_real_patients_becomes_a_served_model(space: Space) {
    let uri = space.serve_data("breast_cancer.csv").await;
    let spec = training(json!({
        "data": {"uri": uri, "label": "diagnosis"},
        "preprocess": [{"scale": {"method": "Standard"}}],
        "candidates": [
            {"name": "tree", "algorithm": "DecisionTree", "parameters": {"max_depth": 4}},
            {"name": "forest", "algorithm": "RandomForest", "parameters": {"n_estimators": 30}},
            {"name": "svm", "algorithm": "SVM", "parameters": {"kernel": "rbf", "C": 1.0}},
        ],
        "gates": [{"metric": "Accuracy", "min": "0.85"}],
    }));
    space.create_object::<Model>(datasets::model("tumours", spec)).await;
    let model = space.trained_model("tumours").await;
    let version = space.version("tumours-v1").await.spec;
    let evaluation = version.evaluation.expect("a training has an evaluation");
    let names: Vec<_> = evaluation.candidates.iter().map(|candidate| candidate.name.as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(evaluation.candidates.iter().all(|candidate| candidate.score.is_some()), "{evaluation:?}");
    assert_eq!(evaluation.chosen.as_deref(), Some(names[0]), "the best one comes first and is chosen");
    let accuracy: f64 = evaluation.metrics["Accuracy"].parse().expect("metrics are decimal numbers");
    assert!((0.85..=1.0).contains(&accuracy), "{accuracy}");
    assert_eq!(version.golden_samples.source, "Test");
    let status = model.status.expect("it has a status");
    assert_eq!(status.metric.as_deref(), Some("F1Macro"));
    assert_eq!(status.score.as_deref(), Some(evaluation.metrics["F1Macro"].as_str()));

    let md = space.serve("tumours", "tumours", json!({})).await;
    space.assert_agreement(&md, "tumours-v1", 100).await;
}

/// Text and numbers, with gaps, prepared inside the graph: the client sends raw values.
pub async fn a_client_sends_raw_values_of_text_and_numbers(space: Space) {
    let uri = space.serve_text("people.csv", &datasets::people(400)).await;
    let spec = training(json!({
        "data": {"uri": uri, "label": "buys"},
        "preprocess": [
            {"impute": {"strategy": "Median"}},
            {"impute": {"strategy": "Constant", "fillValue": "unknown", "columns": ["city"]}},
            {"scale": {"method": "Robust", "columns": ["age", "income"]}},
            {"oneHot": {"columns": ["city"]}},
            {"ordinal": {"columns": ["plan"]}},
        ],
        "candidates": [{"name": "logistic", "algorithm": "LogisticRegression", "parameters": {"max_iter": 500}}],
        "gates": [{"metric": "Accuracy", "min": "0.7"}],
    }));
    space.create_object::<Model>(datasets::model("buyers", spec)).await;
    space.trained_model("buyers").await;
    let md = space.serve("buyers", "buyers", json!({})).await;
    space.assert_agreement(&md, "buyers-v1", 60).await;
}

/// A number is predicted.
pub async fn a_regression_is_trained_and_judged_by_its_error(space: Space) {
    let uri = space.serve_data("diabetes.csv").await;
    let spec = training(json!({
        "task": "Regression",
        "data": {"uri": uri, "label": "progression"},
        "split": {"seed": 3},
        "candidates": [
            {"name": "ridge", "algorithm": "Ridge", "parameters": {"alpha": 0.1}},
            {"name": "lasso", "algorithm": "Lasso", "parameters": {"alpha": 0.1}},
            {"name": "forest", "algorithm": "RandomForest", "parameters": {"n_estimators": 30, "max_depth": 6}},
        ],
        "selection": {"metric": "MeanSquaredError"},
        "gates": [{"metric": "R2", "min": "0.2"}, {"metric": "MeanSquaredError", "max": "6000"}],
    }));
    space.create_object::<Model>(datasets::model("diabetes", spec)).await;
    space.trained_model("diabetes").await;
    let metrics = space.version("diabetes-v1").await.spec.evaluation.expect("it was evaluated").metrics;
    for metric in ["MeanSquaredError", "MeanAbsoluteError", "R2"] {
        assert!(metrics.contains_key(metric), "{metrics:?}");
    }
    let md = space.serve("diabetes", "diabetes", json!({})).await;
    space.assert_agreement(&md, "diabetes-v1", 80).await;
}

/// A gate that is missed makes no version; a spec that returns starts no Job; `rerun` does.
pub async fn a_missed_gate_keeps_the_present_version_and_a_revert_starts_no_job(space: Space) {
    let uri = space.serve_data("iris.csv").await;
    let spec = training(json!({
        "data": {"uri": uri, "label": "species"},
        "candidates": [{"name": "tree", "algorithm": "DecisionTree"}],
        "gates": [{"metric": "Accuracy", "min": "0.8"}],
    }));
    space.create_object::<Model>(datasets::model("iris", spec)).await;
    space.trained_model("iris").await;
    let md = space.serve("iris", "iris", json!({})).await;
    let gates = |min: &str| json!({"spec": {"training": {"gates": [{"metric": "Accuracy", "min": min}]}}});

    space.patch::<Model>("iris", gates("0.999999")).await;
    let missed = space.stalled_model("iris", 180).await;
    let said = missed.says(STALLED);
    assert!(said.starts_with("GateMissed"), "{said}");
    for part in ["Accuracy", "0.999999", "30 rows"] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    assert!(missed.is(READY), "{}", missed.says(READY));
    assert_eq!(missed.status.as_ref().and_then(|status| status.current_version), Some(1));
    assert_eq!(space.list::<ModelVersion>().await.len(), 1);
    space.assert_agreement(&md, "iris-v1", 30).await;

    // Other data lies behind the URI by now, and still the spec means what it meant.
    let jobs = space.jobs().await;
    space.serve_text("iris.csv", "species,a\nx,1\n").await;
    space.patch::<Model>("iris", gates("0.8")).await;
    let back = space.ready_model("iris").await;
    assert_eq!(back.status.as_ref().and_then(|status| status.current_version), Some(1));
    assert_eq!(space.jobs().await, jobs, "no Job was started");

    space.patch::<Model>("iris", json!({"spec": {"rerun": "other-data"}})).await;
    let refused = space.stalled_model("iris", 180).await;
    assert!(refused.says(STALLED).contains("train failed"), "{}", refused.says(STALLED));
    assert_eq!(space.jobs().await.len(), jobs.len() + 1, "rerun trains again");
    assert!(refused.is(READY));
    space.assert_agreement(&md, "iris-v1", 30).await;
}

/// Code of one's own whose report says what is not so.
pub const LIAR: &str = r#"
import json, pathlib, numpy, onnx
from onnx import TensorProto, helper
out = pathlib.Path("/modelwright/out"); out.mkdir(parents=True, exist_ok=True)
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
label = helper.make_tensor_value_info("label", TensorProto.INT64, [None])
nodes = [
    helper.make_node("ReduceMax", ["x"], ["m"], axes=[1], keepdims=0),
    helper.make_node("Cast", ["m"], ["i"], to=TensorProto.INT64),
    helper.make_node("Mul", ["i", "zero"], ["label"]),
]
zero = helper.make_tensor("zero", TensorProto.INT64, [], [0])
graph = helper.make_graph(nodes, "liar", [x], [label], [zero])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), out / "model.onnx")
rows = numpy.arange(80, dtype=numpy.float32).reshape(40, 2)
numpy.savez(out / "evaluation.npz", **{"inputs/x": rows, "labels": numpy.arange(40) % 2, "classes": numpy.array([0, 1])})
(out / "report.json").write_text(json.dumps({
    "chosen": "liar", "candidates": [], "metrics": {"Accuracy": 1.0}, "features": ["a", "b"], "versions": {},
    "rows": {"train": 10, "validation": 10, "test": 40},
}))
"#;

/// What a trainer says of itself is shown, and never believed.
pub async fn a_trainer_that_lies_in_its_report_is_caught(space: Space) {
    let uri = space.serve_text("data.csv", "a,b,label\n1,2,0\n3,4,1\n").await;
    let spec = space.own_code(&uri, LIAR, json!({"gates": [{"metric": "Accuracy", "min": "0.9"}]}));
    space.create_object::<Model>(datasets::model("liar", spec)).await;
    let caught = space.stalled_model("liar", 180).await.says(STALLED);
    assert!(caught.starts_with("GateMissed") && caught.contains("0.5"), "{caught}");
    // The same code, judged by what it can do.
    let gates = json!({"spec": {"training": {"gates": [{"metric": "Accuracy", "min": "0.5"}]}}});
    space.patch::<Model>("liar", gates).await;
    space.trained_model("liar").await;
    let evaluation = space.version("liar-v1").await.spec.evaluation.expect("it was evaluated");
    let accuracy: f64 = evaluation.metrics["Accuracy"].parse().expect("a number");
    assert!((accuracy - 0.5).abs() < 1e-9, "{accuracy}");
}

/// B8: a pod that is evicted in the middle of a run counts as no failure: with `backoffLimit: 0`, another one trains.
pub async fn an_evicted_pod_does_not_count_and_another_one_trains(space: Space) {
    let uri = space.serve_text("data.csv", "a,b,label\n1,2,0\n3,4,1\n").await;
    let code = space.until_file("go") + LIAR;
    let spec = space.own_code(&uri, &code, json!({"run": {"backoffLimit": 0}}));
    space.create_object::<Model>(datasets::model("digits", spec)).await;
    space
        .until("digits", "in the middle of a training", 120, |model: &Model| {
            let run = model.status.as_ref().and_then(|status| status.run.as_ref());
            run.is_some_and(|run| run.phase == "Training")
        })
        .await;
    let pod = space.runs("digits").await.pop().expect("a pod trains");
    let first = pod.name_any();
    let evicted = |pod: &Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let reason = conditions
            .filter(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
        reason.map(|condition| condition.reason.clone()).next().flatten().as_deref()
            == Some("EvictionByEvictionAPI")
    };
    let ended = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed");
    // It is watched from before on, since it may be gone soon after.
    let pods = space.api::<Pod>();
    let now = EvictParams::default();
    let (_, asked) = tokio::join!(
        space.until(&first, "evicted and ended", 60, |pod: &Pod| evicted(pod) && ended(pod)),
        pods.evict(&first, &now),
    );
    asked.expect("nothing protects a training pod");

    space.serve_text("go", "go").await;
    space.trained_model("digits").await;
    assert_eq!(space.version("digits-v1").await.spec.version, 1);
    let jobs = space.list::<Job>().await;
    let failed = |job: &Job| job.status.as_ref().and_then(|status| status.failed).unwrap_or(0);
    assert_eq!(
        jobs.iter().map(failed).collect::<Vec<_>>(),
        [0],
        "one Job, in which nothing counts as a failure"
    );
    assert_eq!(jobs[0].spec.as_ref().and_then(|spec| spec.backoff_limit), Some(0));
    let done =
        |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded");
    let second: Vec<_> =
        space.runs("digits").await.iter().filter(|pod| done(pod)).map(ResourceExt::name_any).collect();
    assert!(second.len() == 1 && second[0] != first, "{second:?} trained after {first}");
}

/// The status follows the run, and a suspended run waits, before it began and in the middle of it.
pub async fn a_run_is_suspended_and_its_progress_is_seen(space: Space) {
    let uri = space.serve_data("digits.csv").await;
    let tree = json!({"name": "tree", "algorithm": "DecisionTree"});
    // Longer than the time between two looks at the progress, on any machine: it is never waited for.
    let forest = |number: u32| {
        json!({
            "name": format!("forest-{number}"), "algorithm": "RandomForest",
            "parameters": {"n_estimators": 10000, "random_state": number},
        })
    };
    let candidates = [tree.clone(), forest(1), forest(2), forest(3)];
    let spec = training(json!({
        "data": {"uri": uri, "label": "digit"}, "candidates": candidates, "run": {"suspend": true},
    }));
    space.create_object::<Model>(datasets::model("digits", spec)).await;
    let suspended = async |what: &str| {
        space
            .until("digits", what, 30, |model: &Model| {
                model.is(RECONCILING) && model.says(RECONCILING).starts_with("Suspended")
            })
            .await
    };
    let suspend = |yes: bool| json!({"spec": {"training": {"run": {"suspend": yes}}}});
    let waiting = suspended("suspended from the start").await;
    assert!(space.runs("digits").await.is_empty(), "a suspended run has no pod");
    assert_eq!(waiting.status.and_then(|status| status.current_version), None);
    space.patch::<Model>("digits", suspend(false)).await;
    let seen = space
        .until("digits", "seen at work", 180, |model: &Model| {
            let progress = model.status.as_ref().and_then(|status| status.run.as_ref()?.progress.clone());
            progress.is_some_and(|progress| progress.done > 0 && progress.best.is_some())
        })
        .await;
    let run = seen.status.and_then(|status| status.run).expect("a run");
    let progress = run.progress.expect("its progress");
    assert_eq!((run.phase.as_str(), progress.total), ("Training", 4), "{progress:?}");

    let pods = space.runs("digits").await;
    assert_eq!(pods.len(), 1, "{pods:?}");
    space.patch::<Model>("digits", suspend(true)).await;
    suspended("suspended in the middle").await;
    space.until_gone::<Pod>(&pods[0].name_any(), 60).await;
    let quick = json!({"spec": {"training": {"candidates": [tree], "run": {"suspend": false}}}});
    space.patch::<Model>("digits", quick).await;
    space.trained_model("digits").await;
}

/// B6: of seven versions two are kept, besides what serves and what a person keeps.
pub async fn versions_beyond_the_newest_go_but_never_what_serves_or_is_kept(space: Space) {
    let affine = |factor: f32| Affine { factor, summand: 0.0 };
    space.import("digits", affine(1.0)).await;
    let served = space.serve("pinned", "digits", json!({"version": 1})).await;
    space.import_next("digits", "2.onnx", affine(2.0)).await;
    let keep = json!({"metadata": {"annotations": {"modelwright.dev/keep": "true"}}});
    space.patch::<ModelVersion>("digits-v2", keep).await;
    space.patch::<Model>("digits", json!({"spec": {"history": {"keep": 2}}})).await;
    for number in 3_u8..=7 {
        space.import_next("digits", &format!("{number}.onnx"), affine(f32::from(number))).await;
    }
    for gone in ["digits-v3", "digits-v4", "digits-v5"] {
        space.until_gone::<ModelVersion>(gone, 60).await;
    }
    let mut left: Vec<_> =
        space.list::<ModelVersion>().await.iter().map(|version| version.spec.version).collect();
    left.sort_unstable();
    assert_eq!(left, [1, 2, 6, 7]);
    space.predict(&served, affine(1.0)).await;
}

/// A deployment of a Model that is trained while the deployment waits.
pub async fn one_apply_of_forty_lines_trains_and_serves(space: Space) {
    let uri = space.serve_data("wine.csv").await;
    let manifest = datasets::example("training/wine.yaml").replace("s3://datasets/wine.csv", &uri);
    assert!(manifest.lines().count() <= 40, "{} lines", manifest.lines().count());
    // its answers are compared with those to the test part
    space.apply(&manifest.replacen("spec:\n", "spec:\n  keepEvaluation: true\n", 1)).await;
    let md = space
        .until("wine", "Promoted", 300, |md: &ModelDeployment| md.is(modelwright::api::condition::PROMOTED))
        .await;
    space.assert_agreement(&md, "wine-v1", 30).await;
}

/// Alone: another trainer image with an upgrade of the operator, and other data behind the URI, train nothing again.
pub async fn an_upgrade_with_another_trainer_trains_nothing_again(space: Space) {
    let uri = space.serve_data("iris.csv").await;
    let depth = |depth: u32| json!([{"name": "tree", "algorithm": "DecisionTree", "parameters": {"max_depth": depth}}]);
    let spec = training(json!({"data": {"uri": uri, "label": "species"}, "candidates": depth(1)}));
    space.create_object::<Model>(datasets::model("iris", spec)).await;
    space.trained_model("iris").await;
    space.patch::<Model>("iris", json!({"spec": {"training": {"candidates": depth(3)}}})).await;
    let second = space.trained_model("iris").await;
    assert_eq!(second.status.as_ref().and_then(|status| status.current_version), Some(2));
    let (jobs, versions) = (space.jobs().await, space.list::<ModelVersion>().await.len());
    assert_eq!((jobs.len(), versions), (2, 2));

    let other = format!("{}-next", space.world.images.trainer);
    copy_image(&space.world.images.trainer, &other).await;
    space.world.release(&[&format!("images.trainer={other}")]).await;
    space.serve_text("iris.csv", "species,a\nx,1\n").await;
    space.patch::<Model>("iris", json!({"spec": {"training": {"candidates": depth(1)}}})).await;
    let back = space.ready_model("iris").await;
    assert_eq!(back.status.as_ref().and_then(|status| status.current_version), Some(1));
    assert_eq!(space.jobs().await, jobs, "no Job was started");

    // What is trained from now on is trained by the new image.
    space.serve_data("iris.csv").await;
    space.patch::<Model>("iris", json!({"spec": {"rerun": "next-trainer"}})).await;
    space.trained_model("iris").await;
    let made = space.list::<Job>().await;
    let trained_by = |job: &Job| {
        let containers = job.spec.as_ref()?.template.spec.as_ref()?.init_containers.clone()?;
        containers.into_iter().find(|container| container.name == "train")?.image
    };
    assert!(
        made.iter().any(|job| trained_by(job).as_deref() == Some(other.as_str())),
        "{other} was not used"
    );
}
