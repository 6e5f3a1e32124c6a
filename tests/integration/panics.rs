//! Faults of ours that end what they came of, and nothing else.

use std::{fs, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use kube::{
    ResourceExt as _,
    runtime::{controller::Action, reflector::ObjectRef},
};
use modelwright::{
    api::{Model, ModelDeployment},
    k8s::{
        cache::{Cache, handle::Handle},
        controller::{self, ReconcileError},
    },
};
use tokio::sync::{mpsc, watch};

use crate::{
    fixtures::{NAMESPACE, model},
    scenario::context,
};

#[derive(Debug, thiserror::Error)]
#[error("none")]
struct NoError;

impl ReconcileError for NoError {
    fn label(&self) -> &'static str {
        "none"
    }
}

#[tokio::test]
async fn a_reconcile_that_panics_stops_no_other_object() {
    let (mut context, _server) = context();
    let named = |name: &str| {
        let mut model = model("s3://b/a", 1);
        model.metadata.name = Some(name.into());
        model.metadata.uid = Some(format!("uid-of-{name}"));
        model
    };
    context.caches.models = Cache::fixed(vec![named("a"), named("b")]);
    let (done, mut reconciled) = mpsc::unbounded_channel();
    let (shutdown, stopping) = watch::channel(false);
    let cache = context.caches.models.clone();
    let reconcile = move |model: Arc<Model>, _| {
        let done = done.clone();
        async move {
            let name = model.name_any();
            done.send(name.clone()).unwrap();
            assert_ne!(name, "a", "a fault of ours");
            Ok::<_, NoError>(Action::requeue(Duration::from_millis(10)))
        }
    };
    let running = tokio::spawn(controller::run(
        Arc::new(context),
        cache,
        futures::stream::pending(),
        stopping,
        reconcile,
        |_, _| async { Ok(Action::await_change()) },
    ));
    // Both again and again: the one that panics is tried again with growing pauses, the other goes on.
    let (mut panics, mut others) = (0, 0);
    while panics < 2 || others < 20 {
        let name = tokio::time::timeout(Duration::from_secs(30), reconciled.recv()).await;
        match name.expect("the controller stands still").expect("the controller ended").as_str() {
            "a" => panics += 1,
            _ => others += 1,
        }
    }
    shutdown.send_replace(true);
    running.await.expect("the controller ended in order");
}

/// The phase of what is gone would be counted for as long as the operator runs.
#[tokio::test]
async fn a_model_deployment_that_is_gone_is_counted_in_no_phase() {
    let (context, _server) = context();
    let (cache, metrics) = (context.caches.model_deployments.clone(), Arc::clone(&context.metrics));
    metrics.set_phase(NAMESPACE, "digits", Some("Healthy"));
    let counted = |text: &str| metrics.render().unwrap().contains(text);
    assert!(counted("modelwright_model_deployments{phase=\"Healthy\"} 1"));
    let (shutdown, stopping) = watch::channel(false);
    let gone = ObjectRef::<Handle<ModelDeployment>>::new("digits").within(NAMESPACE);
    let running = tokio::spawn(controller::run(
        Arc::new(context),
        cache,
        stream::iter([gone]).chain(stream::pending()),
        stopping,
        |_, _| async { Ok::<_, NoError>(Action::await_change()) },
        |_, _| async { Ok(Action::await_change()) },
    ));
    let none = async {
        while !counted("modelwright_model_deployments{phase=\"Healthy\"} 0") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), none).await.expect("it is counted on");
    shutdown.send_replace(true);
    running.await.expect("the controller ended in order");
}

#[test]
fn the_executables_that_ship_unwind() {
    let root = env!("CARGO_MANIFEST_DIR");
    let read = |file: &str| fs::read_to_string(format!("{root}/{file}")).unwrap();
    let manifest = read("Cargo.toml");
    let (_, release) = manifest.split_once("[profile.release]").expect("a release profile");
    let release = release.split("\n[").next().unwrap();
    assert!(release.contains("panic = \"unwind\""), "{release}");
    // And none can be built in another way, whatever the profile or the environment says.
    for main in ["src/main.rs", "runtime/jobs/src/main.rs", "runtime/serve/src/main.rs"] {
        let guard = "#[cfg(not(panic = \"unwind\"))]\ncompile_error!(";
        assert!(read(main).contains(guard), "{main}");
    }
}
