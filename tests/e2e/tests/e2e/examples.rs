//! B13: every example does what it says when it is applied, placeholders apart.

use k8s_openapi::api::core::v1::Pod;
use modelwright::api::{
    condition::{READY, RECONCILING},
    model_deployment::ModelDeployment,
};
use serde_json::json;

use crate::harness::{
    Space,
    claims::claim_with,
    examples::placed,
    fixtures::{PASSWORD, USER},
    images::own_image,
    onnx::Affine,
    registry::hex,
    resources::Observed as _,
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

/// Every kind of source, each in a namespace of its own, since all make the Model `digits`.
pub async fn each_example_of_a_source_is_imported(space: Space) {
    let fixtures = &space.world.fixtures;
    let bytes = AFFINE.bytes();
    fixtures.put(&format!("{}/digits/model.onnx", space.name), bytes.clone()).await;
    let registry = fixtures.registry(true);
    registry.push("models/digits", "1", &bytes).await;

    let https = space.another("https").await;
    https
        .secret("modelwright-https", &[("host", &fixtures.https_host()), ("ca.crt", &fixtures.authority)])
        .await;
    let address = format!(
        "{}/files/{}/digits/model.onnx\n    credentialsSecret: modelwright-https",
        fixtures.https_host(),
        space.name
    );
    let pin = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let manifest =
        placed("sources/https.yaml", &[("models.example.com/digits.onnx", &address), (pin, &hex(&bytes))]);
    https.apply(&manifest).await;

    let oci = space.another("oci").await;
    let manifest = placed(
        "sources/oci.yaml",
        &[
            ("host: registry.example.com", "host: registry.example.com\n  plainHttp: \"true\""),
            ("registry.example.com", &registry.host),
            ("your-name", USER),
            ("your-password", PASSWORD),
        ],
    );
    oci.apply(&manifest).await;

    let s3 = space.another("s3").await;
    let server = format!("host: {}\n  plainHttp: \"true\"", fixtures.s3_host());
    let bucket = format!("s3://{}/", space.name);
    let manifest = placed(
        "sources/s3.yaml",
        &[
            ("host: s3.example.com", &server),
            ("s3://models/", &bucket),
            ("your-key", USER),
            ("your-secret", PASSWORD),
        ],
    );
    s3.apply(&manifest).await;

    let pvc = space.another("pvc").await;
    claim_with(&pvc, "models", "digits.onnx", &bytes).await;
    pvc.apply(&placed("sources/pvc.yaml", &[])).await;

    let mut digests = Vec::new();
    for space in [&https, &oci, &s3, &pvc] {
        space.ready_model("digits").await;
        digests.push(space.version("digits-v1").await.spec.model_digest);
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
    let deployment = s3.serve("digits", "digits", json!({})).await;
    s3.predict(&deployment, AFFINE).await;
    for space in [https, oci, s3, pvc] {
        space.delete().await.expect("it can be deleted");
    }
}

/// The node has GPUs by name only: the pod gets one, finds no CUDA, and says so. Inference on a GPU is not shown.
pub async fn the_example_with_a_gpu_gets_one_and_says_that_it_finds_no_cuda(space: Space) {
    space.import("digits", AFFINE).await;
    space.apply(&placed("gpu/digits.yaml", &[])).await;
    let refused = space
        .until("digits", "told that there is no CUDA", 180, |md: &ModelDeployment| {
            md.is(RECONCILING) && md.says(RECONCILING).contains("CUDA")
        })
        .await;
    let said = refused.says(RECONCILING);
    assert!(said.contains("allowFallback"), "the way out is named: {said}");
    assert!(!refused.is(READY), "{}", refused.says(READY));
    let pod: Pod = space.pods("digits").await.pop().expect("a pod was made");
    let spec = pod.spec.expect("it has a spec");
    assert!(spec.node_name.is_some(), "it was given a node");
    let limits = spec.containers[0].resources.as_ref().and_then(|resources| resources.limits.clone());
    let gpus = limits.unwrap_or_default().get("nvidia.com/gpu").map(|count| count.0.clone());
    assert_eq!(gpus.as_deref(), Some("1"));
}

/// B5: an image of one's own, whole: made, trained with, served.
pub async fn the_example_of_an_image_of_ones_own_trains_boosted_trees_and_serves(space: Space) {
    let image = own_image().await;
    let uri = space.serve_data("breast_cancer.csv").await;
    let manifest = placed(
        "own-image/model.yaml",
        &[
            ("registry.example.com/team/boosted-trees:1", &image),
            ("https://data.example.com/breast-cancer.csv", &uri),
        ],
    );
    // its answers are compared with those to the test part
    space.apply(&manifest.replacen("spec:\n", "spec:\n  keepEvaluation: true\n", 1)).await;
    space.trained_model("tumours").await;
    let version = space.version("tumours-v1").await.spec;
    assert_eq!(version.provenance.images.get("train"), Some(&image), "{:?}", version.provenance.images);
    assert_eq!(version.evaluation.map(|evaluation| evaluation.candidates.len()), Some(2));
    let md = space.promoted("tumours").await;
    space.assert_agreement(&md, "tumours-v1", 100).await;
}

/// What the examples of trainings say holds for the data sets that they name.
pub async fn each_example_of_a_training_becomes_a_version(space: Space) {
    let examples = [
        ("breast-cancer", "breast-cancer.csv"),
        ("diabetes", "diabetes.parquet"),
        ("digits", "digits.npz"),
        ("tree", "iris.csv"),
    ];
    for (example, data) in examples {
        let uri = space.serve_data(data).await;
        let manifest =
            placed(&format!("training/{example}.yaml"), &[(&format!("s3://datasets/{data}"), &uri)]);
        // By HTTP, and so without a Secret.
        let public = manifest.replace(", credentialsSecret: modelwright-s3", "");
        space.apply(&public.replace("      credentialsSecret: modelwright-s3\n", "")).await;
    }
    for name in ["breast-cancer", "diabetes", "digits", "iris"] {
        space.trained_model(name).await;
        assert!(space.version(&format!("{name}-v1")).await.spec.evaluation.is_some());
    }
}
