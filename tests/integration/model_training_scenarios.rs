//! Whole reconciles of a Model that is trained, against a mock API server.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::{ResourceExt as _, runtime::controller::Action};
use modelwright::{
    api::name::SUSPENDED_ANNOTATION,
    clock::Clock,
    k8s::cache::Cache,
    model::{reconcile, validate::validate_model},
    pods::http::PodClient,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    fixtures::{finished, job, pod, runs, settings, train_report, trained_model, trained_pod},
    model_scenarios::{EVENTS, JOBS, STATUS, VERSIONS, condition, reconciled},
    scenario::{context, play},
};

const WARNINGS: &str = "/api/v1/namespaces/space/events";

fn no_warnings() -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []})
}

#[tokio::test]
async fn a_training_starts_a_job_of_three_containers() {
    let (context, mut server) = context();
    let model = trained_model(json!({}), 1);
    play(reconciled(&model, context), async {
        let call = server.expect("POST", JOBS).await;
        let pod = &call.body["spec"]["template"]["spec"];
        assert_eq!(pod["initContainers"][1]["image"], settings().trainer_image);
        assert_eq!(call.body["spec"]["suspend"], Value::Null, "Kueue's to set");
        call.echo();
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(condition(&call.body, "Reconciling")["reason"], "Training");
        call.echo_model(&model);
        let call = server.expect("POST", EVENTS).await;
        assert!(call.body["note"].as_str().unwrap().contains("is being trained"), "{}", call.body);
        call.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

/// Nothing is made, and what is missing is told to whoever can mend it.
#[tokio::test]
async fn a_run_that_this_installation_cannot_train_is_not_made() {
    let layers =
        json!([{"name": "out", "type": "Dense", "parameters": {"units": 3, "activation": "softmax"}}]);
    let network = |more: Value| {
        let mut training = json!({"candidates": [{"name": "net", "layers": layers}]});
        for (name, part) in more.as_object().unwrap() {
            training[name] = part.clone();
        }
        trained_model(training, 1)
    };
    let gpu = json!({"resources": {"limits": {"nvidia.com/gpu": 1}}});
    for (model, keras, reason, parts) in [
        (network(json!({})), None, "TrainerMissing", ["images.trainerKeras", "make images"]),
        (
            network(gpu.clone()),
            Some("keras:1"),
            "DeviceUnusable",
            ["nvidia.com/gpu", "images.trainerKerasGpu"],
        ),
        (trained_model(gpu.clone(), 1), Some("keras:1"), "DeviceUnusable", ["nvidia.com/gpu", "CPUs only"]),
    ] {
        let (mut context, mut server) = context();
        context.settings.trainer_keras_image = keras.map(Into::into);
        play(reconciled(&model, context), async {
            let call = server.expect("PATCH", STATUS).await;
            let stalled = condition(&call.body, "Stalled");
            assert_eq!(stalled["reason"], reason);
            let message = stalled["message"].as_str().unwrap().to_owned();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
            call.echo_model(&model);
            server.expect("POST", EVENTS).await.echo();
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
    for (model, image, device) in [
        (network(json!({})), "keras:1", None),
        (network(gpu), "keras-gpu:1", Some("nvidia.com/gpu")),
        (network(json!({"resources": {"limits": {"nvidia.com/gpu": 0}}})), "keras:1", None),
    ] {
        let (mut context, mut server) = context();
        context.settings.trainer_keras_image = Some("keras:1".into());
        context.settings.trainer_keras_gpu_image = Some("keras-gpu:1".into());
        play(reconciled(&model, context), async {
            let call = server.expect("POST", JOBS).await;
            let train = &call.body["spec"]["template"]["spec"]["initContainers"][1];
            assert_eq!(train["image"], image);
            let told =
                train["env"].as_array().unwrap().iter().find(|one| one["name"] == "MODELWRIGHT_DEVICE");
            assert_eq!(
                told.map(|one| &one["value"]),
                device.map(|device| json!(device)).as_ref(),
                "what it must use"
            );
            assert_eq!(train["resources"]["limits"]["memory"], "4Gi");
            assert_eq!(train["resources"]["requests"]["memory"], "1Gi");
            call.echo();
            server.expect("PATCH", STATUS).await.echo_model(&model);
            server.expect("POST", EVENTS).await.echo();
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
}

/// A variable of a container's environment that is longer than the kernel takes keeps it from starting.
#[test]
fn what_the_containers_cannot_be_told_is_refused() {
    let parameters: Value = (0..30)
        .map(|at| (format!("p{at}"), json!("\"".repeat(120))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let candidates: Vec<_> = (0..20)
        .map(|at| json!({"name": format!("c{at}"), "algorithm": "x", "parameters": parameters}))
        .collect();
    let model = trained_model(json!({"trainer": {"image": "mine:1"}, "candidates": candidates}), 1);
    let told = validate_model(&model).unwrap_err().to_string();
    assert!(told.contains("spec.training has") && told.contains("at most 114688"), "{told}");
}

#[tokio::test]
async fn a_finished_training_becomes_a_version_with_its_score() {
    let (mut context, mut server) = context();
    let model = trained_model(json!({}), 1);
    let job = finished(job(&model), "Complete", "CompletionsReached");
    let told = serde_json::to_string(&json!({"succeeded": train_report()})).unwrap();
    context.caches.pods = Cache::fixed(vec![trained_pod(&job, 'c', &told)]);
    context.caches.jobs = Cache::fixed(vec![job]);
    play(reconciled(&model, context), async {
        let call = server.expect("POST", VERSIONS).await;
        assert_eq!(call.body["spec"]["evaluation"]["chosen"], "mlp");
        assert_eq!(call.body["spec"]["provenance"]["images"]["train"], settings().trainer_image);
        call.echo();
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(
            (&call.body["status"]["metric"], &call.body["status"]["score"]),
            (&json!("F1Macro"), &json!("0.9301"))
        );
        call.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn toggling_suspend_patches_that_field_of_the_job_and_no_other() {
    let (before, after) = (trained_model(json!({}), 1), trained_model(json!({"run": {"suspend": true}}), 2));
    for (old, new, mark, suspend) in
        [(&before, &after, json!("true"), true), (&after, &before, Value::Null, false)]
    {
        let (mut context, mut server) = context();
        let run = job(old);
        context.caches.jobs = Cache::fixed(vec![run.clone()]);
        play(reconciled(new, context), async {
            // a Job without a pod: the reason may be in a warning, unless it is suspended
            if suspend {
                server.expect("GET", WARNINGS).await.object(&no_warnings());
            }
            let call = server.expect("PATCH", &format!("{JOBS}/{}", run.name_any())).await;
            assert_eq!(call.body["spec"], json!({"suspend": suspend}));
            assert_eq!(call.body["metadata"]["annotations"], json!({SUSPENDED_ANNOTATION: mark}));
            assert_eq!(call.body["metadata"]["resourceVersion"], "300");
            call.object(&run);
            let call = server.expect("PATCH", STATUS).await;
            let reason = if suspend { "Suspended" } else { "Training" };
            assert_eq!(condition(&call.body, "Reconciling")["reason"], reason);
            call.echo_model(new);
            if suspend {
                server.expect("POST", EVENTS).await.echo();
            }
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_pod_that_trains_is_asked_how_far_it_is() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (mut context, mut server) = context();
    context.pods = PodClient::at_port(listener.local_addr().unwrap().port());
    let model = trained_model(json!({}), 1);
    let job = job(&model);
    let status = json!({"phase": "Pending", "podIP": "127.0.0.1", "initContainerStatuses": [runs("train")]});
    context.caches.pods = Cache::fixed(vec![pod(&job, status)]);
    context.caches.jobs = Cache::fixed(vec![job]);
    let answered = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let read = socket.read(&mut request).await.unwrap();
        assert!(request[..read].starts_with(b"GET /progress "));
        let body =
            json!({"activity": "mlp\u{7}", "done": 1, "total": 3, "metric": "F1Macro", "best": "0.9127"})
                .to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(answer.as_bytes()).await.unwrap();
    };
    play(reconciled(&model, context), async {
        // it has begun, so the cluster's warnings say nothing of it
        let (call, ()) = futures::future::join(server.expect("PATCH", STATUS), answered).await;
        let progress = &call.body["status"]["run"]["progress"];
        assert_eq!(
            (&progress["activity"], &progress["done"], &progress["best"]),
            (&json!("mlp"), &json!(1), &json!("0.9127"))
        );
        call.echo_model(&model);
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

/// Each look asks the API server for events, so a thousand Models whose pods do not come must not look every few seconds for
/// ever.
#[tokio::test(start_paused = true)]
async fn what_waits_for_long_is_looked_at_less_often() {
    let model = trained_model(json!({}), 1);
    let without_a_pod = |waited: i64| {
        let mut job = job(&model);
        job.metadata.creation_timestamp = Some(Time(now() - SignedDuration::from_secs(waited)));
        job
    };
    for (waited, next) in [(16, 5), (120, 30), (86_400, 60)] {
        let (mut context, mut server) = context();
        context.clock = Clock::following(now());
        context.caches.jobs = Cache::fixed(vec![without_a_pod(waited)]);
        let reconcile = Box::pin(reconcile(Arc::new(model.clone()), Arc::new(context)));
        let action = play(reconcile, async {
            server.expect("GET", WARNINGS).await.object(&no_warnings());
            server.expect("PATCH", STATUS).await.echo_model(&model);
            server.nothing_more().await;
        })
        .await
        .unwrap();
        assert_eq!(action, Action::requeue(Duration::from_secs(next)), "{waited}");
    }
}

fn now() -> Timestamp {
    "2026-11-24T10:00:00Z".parse().unwrap()
}
