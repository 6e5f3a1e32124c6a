//! A6, alone: the operator is killed, frozen and replaced, and whatever was under way ends right.

use std::time::{Duration, Instant};

use modelwright::api::{
    condition::{READY, STALLED},
    model::Model,
    model_deployment::ModelDeployment,
};
use serde_json::json;

use crate::harness::{Space, load::Load, onnx::Affine, resources::Observed as _};

const FIRST: Affine = Affine { factor: 2.0, summand: 1.0 };
const SECOND: Affine = Affine { factor: -1.0, summand: 0.5 };

/// Killed in the middle of a run, and again in the middle of a rollout.
pub async fn a_killed_operator_ends_its_run_and_its_rollout(space: Space) {
    let operator = space.world.operator();
    space.import("digits", FIRST).await;
    let before = space.serve("digits", "digits", json!({"replicas": 2})).await;
    let mut load = Load::start(&space.endpoint(&before).await);
    load.answers(100).await;

    let uri = space.serve_file("second.onnx", SECOND).await;
    space.patch::<Model>("digits", json!({"spec": {"source": {"uri": uri}}})).await;
    space
        .until("digits", "running", 30, |model: &Model| {
            let run = model.status.as_ref().and_then(|status| status.run.as_ref());
            run.is_some_and(|run| run.phase != "Succeeded") && !model.is(STALLED)
        })
        .await;
    let first = operator.names().await;
    for pod in &first {
        operator.kill(pod).await;
    }
    operator.until_ready(1).await;
    space
        .until("digits", "rolling to version 2", 120, |md: &ModelDeployment| {
            let status = md.status.clone().unwrap_or_default();
            status.target.is_some_and(|target| target.version == 2)
                && status.stable.is_some_and(|stable| stable.version == 1)
        })
        .await;
    let second = operator.names().await;
    assert!(first.iter().all(|pod| !second.contains(pod)), "another pod took over: {first:?} {second:?}");
    for pod in &second {
        operator.kill(pod).await;
    }
    let promoted = space.promoted_version("digits", 2).await;
    load.answers_of(2, 100).await;
    space.predict(&promoted, SECOND).await;
    load.stop().await.assert_nothing_lost(200);
    assert_eq!(space.jobs().await.len(), 2, "no second Job for one spec");
    assert_eq!(space.list::<modelwright::api::ModelVersion>().await.len(), 2);
    assert_eq!(space.revisions().await.len(), 2);
    operator.until_ready(1).await;
}

/// Of two replicas, the leader goes: politely, and without a word.
pub async fn another_replica_takes_over_from_a_leader_that_stops_or_freezes(space: Space) {
    let operator = space.world.operator();
    operator.scale(2).await;
    let first = operator.leader(Duration::from_secs(20), None).await;
    assert!(operator.names().await.contains(&first), "a living pod leads");

    let asked = Instant::now();
    operator.delete(&first).await;
    let second = operator.leader(Duration::from_secs(5), Some(&first)).await;
    println!("a leader that was asked to stop was replaced in {:?}", asked.elapsed());
    operator.until_ready(2).await;

    let restarts = operator.restarts(&second).await;
    let frozen = operator.freeze(&second, true).await;
    if !frozen {
        operator.kill(&second).await;
    }
    let gone = Instant::now();
    let third = operator.leader(Duration::from_secs(20), Some(&second)).await;
    println!("a leader that froze was replaced in {:?}", gone.elapsed());
    assert_ne!(third, second);
    assert!(space.import("digits", FIRST).await.is(READY), "the new leader works");
    if frozen {
        operator.freeze(&second, false).await;
        operator.until_restarted(&second, restarts).await;
        assert_eq!(
            operator.leader(Duration::from_secs(5), None).await,
            third,
            "the thawed one does not lead"
        );
    }
    operator.scale(1).await;
}
