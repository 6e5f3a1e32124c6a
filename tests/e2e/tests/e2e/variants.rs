//! F9: variants of a model. To ask for others trains nothing: the kept artifact and the very data are enough.

use k8s_openapi::api::batch::v1::Job;
use modelwright::api::{
    condition::{READY, STALLED},
    model::Model,
    model_version::ModelVersion,
};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    datasets::{self, training},
    resources::Observed as _,
};

/// A network of dense layers, large enough that eight bits or sixteen save bytes.
fn dense(uri: &str, optimize: &Value) -> Value {
    let spec = training(json!({
        "data": {"uri": uri, "label": "diagnosis"},
        "preprocess": [{"scale": {"method": "Standard"}}],
        "candidates": [{"name": "net", "algorithm": "MLP", "parameters": {"hidden_layer_sizes": [160, 160], "max_iter": 60}}],
    }));
    let mut model = datasets::model("tumours", spec);
    model["spec"]["optimize"] = optimize.clone();
    model
}

fn half() -> Value {
    json!([{"name": "fp16", "maxMetricDrop": "0.05"}])
}

fn integers(name: &str) -> Value {
    json!([{"name": name, "quantize": "Static", "for": "Size", "maxMetricDrop": "0.1", "maxDisagreement": "0.2"}])
}

fn containers(job: &Job) -> Vec<&str> {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).expect("a Job has a pod");
    pod.init_containers.iter().flatten().chain(&pod.containers).map(|one| one.name.as_str()).collect()
}

fn current(model: &Model) -> Option<u64> {
    model.status.as_ref().and_then(|status| status.current_version)
}

impl Space {
    async fn optimize(&self, optimize: Value) -> Option<u64> {
        self.patch::<Model>("tumours", json!({"spec": {"optimize": optimize}})).await;
        current(&self.trained_model("tumours").await)
    }

    /// How often the Model was trained.
    async fn trainings(&self) -> usize {
        self.jobs_of("tumours").await.iter().filter(|job| containers(job).contains(&"train")).count()
    }
}

/// From no variants to some, to others, and back: one training.
pub async fn other_variants_are_made_of_the_kept_artifact_without_a_training(space: Space) {
    let uri = space.serve_data("breast_cancer.csv").await;
    space.create_object::<Model>(dense(&uri, &json!([]))).await;
    space.trained_model("tumours").await;
    let first = space.version("tumours-v1").await.spec;
    assert_eq!(first.provenance.made_from, None);

    for (number, optimize, name) in [(2, half(), "fp16"), (3, integers("int8"), "int8")] {
        assert_eq!(space.optimize(optimize).await, Some(number));
        let made = space.version(&format!("tumours-v{number}")).await.spec;
        assert!(made.provenance.made_from.is_some_and(|from| from < number), "{:?}", made.provenance);
        assert_eq!(made.model_digest, first.model_digest, "it is the same model");
        assert_eq!(made.evaluation, first.evaluation, "with all that is known of it");
        assert_eq!(made.provenance.data_sha256, first.provenance.data_sha256);
        assert_eq!(made.provenance.images.get("train"), first.provenance.images.get("train"));
        let names: Vec<&str> = made.variants.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(names, [name]);
    }
    let jobs = space.jobs_of("tumours").await;
    let prepared = jobs
        .iter()
        .filter(|job| containers(job) == ["fetch", "prepare", "optimize", "prove", "publish"])
        .count();
    assert_eq!((jobs.len(), prepared, space.trainings().await), (3, 2, 1));

    let runs = space.jobs().await;
    assert_eq!(space.optimize(Value::Null).await, Some(1));
    assert_eq!(space.optimize(half()).await, Some(2));
    assert_eq!(space.jobs().await, runs, "to return starts no run");
    let served = space.serve("tumours", "tumours", json!({"variant": "fp16"})).await;
    let stable = served.status.and_then(|status| status.stable).expect("a revision is stable");
    assert_eq!(stable.model_digest, space.version("tumours-v2").await.spec.variants[0].model_digest);

    // Other bytes behind the address: no variant is judged on them, and what to do is said.
    space.serve_text("breast_cancer.csv", "a,diagnosis\n1,x\n2,y\n").await;
    space.patch::<Model>("tumours", json!({"spec": {"optimize": integers("other")}})).await;
    let stalled = space.stalled_model("tumours", 180).await;
    let said = stalled.says(STALLED);
    assert!(said.starts_with("DigestMismatch"), "{said}");
    for part in ["the very data", "set spec.rerun"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(stalled.is(READY) && current(&stalled) == Some(2), "{}", stalled.says(READY));
    // The first one's Job may be gone by now, as old ones are removed.
    assert!(space.trainings().await <= 1, "another one trained");
}

/// A version without variants needs no data at all.
pub async fn a_version_without_its_variants_is_made_of_its_artifact_alone(space: Space) {
    let uri = space.serve_data("breast_cancer.csv").await;
    space.create_object::<Model>(dense(&uri, &half())).await;
    space.trained_model("tumours").await;
    let first = space.version("tumours-v1").await.spec;
    space.serve_text("breast_cancer.csv", "a,diagnosis\n1,x\n2,y\n").await;
    assert_eq!(space.optimize(Value::Null).await, Some(2));
    let second = space.version("tumours-v2").await.spec;
    assert_eq!((second.variants.len(), second.provenance.made_from), (0, Some(1)));
    assert_eq!((&second.model_digest, &second.evaluation), (&first.model_digest, &first.evaluation));
    assert_eq!(second.golden_samples, first.golden_samples);
    assert_eq!(second.provenance.data_sha256, first.provenance.data_sha256);
    let made: Vec<Job> = space.jobs_of("tumours").await;
    assert!(made.iter().any(|job| containers(job) == ["fetch", "prove", "publish"]), "{made:?}");
    assert_eq!((space.trainings().await, space.list::<ModelVersion>().await.len()), (1, 2));
}
