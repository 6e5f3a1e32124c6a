//! A3: models come in from every kind of server, and the same bytes are the same version.

use modelwright::api::condition::READY;
use serde_json::json;

use crate::harness::{Space, onnx::Affine, resources::Observed as _};

/// The whole chain: import, serve, predict.
pub async fn a_model_is_imported_served_and_answers(space: Space) {
    let affine = Affine { factor: 2.0, summand: 1.0 };
    let model = space.import("digits", affine).await;
    assert!(model.is(READY), "{}", model.says(READY));
    let version = space.version("digits-v1").await;
    let deployment = space.serve("digits", "digits", json!({})).await;
    let prediction = space.predict(&deployment, affine).await;
    assert_eq!((prediction.version, &prediction.digest), (1, &version.spec.model_digest));
}
