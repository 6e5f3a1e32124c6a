//! References to what does not exist yet: told at once, and mended by making it, without another word to the operator.

use modelwright::api::{condition::STALLED, model::Model, model_deployment::ModelDeployment};
use serde_json::json;

use super::{
    runs,
    table::{End::Waits, Outcome, Row, outcome, row},
};
use crate::harness::{
    Space,
    claims::claim,
    fixtures::{PASSWORD, USER},
    onnx::Affine,
    resources::{Observed as _, deployment, model},
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

/// Tells them while they are missing, makes them, and waits until all is well.
pub async fn are_told_and_heal(space: &Space) -> Outcome {
    let registry = space.world.fixtures.registry(true);
    registry.push(&space.name, "v1", &AFFINE.bytes()).await;
    let uri = format!("oci://{}/{}:v1", registry.host, space.name);
    let path = "pvc://models/folder/model.onnx".to_owned();
    let rows: Vec<Row> = vec![
        row(
            model("late-secret", &uri, json!({"credentialsSecret": "modelwright-late"})),
            Waits("SecretNotFound"),
            ["Secret modelwright-late does not exist in namespace", "create it", "the run goes on by itself"],
        ),
        row(
            model("late-claim", &path, json!({})),
            Waits("ClaimNotFound"),
            ["\"models\" not found", "create the claim that the Model's uri names"],
        ),
        row(
            deployment("late-model", "late-file", json!({})),
            Waits("ModelNotFound"),
            ["Model late-file does not exist in this namespace", "create it, or correct spec.model"],
        ),
        row(
            deployment("late-version", "late-secret", json!({})),
            Waits("VersionNotReady"),
            ["Model late-secret has no version yet", "modelwright-late"],
        ),
        runs::without_image(space).await,
    ];
    let at_once = rows.len();
    let outcome = outcome(space, rows, at_once).await;
    space
        .secret(
            "modelwright-late",
            &[("host", &registry.host), ("username", USER), ("password", PASSWORD), ("plainHttp", "true")],
        )
        .await;
    claim(space, "models").await;
    let later = space.serve_file("late.onnx", AFFINE).await;
    space.create_object::<Model>(model("late-file", &later, json!({}))).await;
    for name in ["late-secret", "late-file"] {
        let ready = space.ready_model(name).await;
        let run = ready.status.and_then(|status| status.run);
        assert_eq!(run.map(|run| run.attempt), Some(1), "{name}: one pod did it");
    }
    // The claim is there and empty, so that the run goes on until it finds nothing.
    let said = space.stalled_model("late-claim", 60).await.says(STALLED);
    for word in ["NotFound: ", &path, "nothing is there", "typing error"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    for name in ["late-model", "late-version"] {
        space.promoted(name).await;
        // They served to show that they can.
        space.patch::<ModelDeployment>(name, json!({"spec": {"replicas": 0}})).await;
    }
    outcome
}
