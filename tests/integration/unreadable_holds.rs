//! What depends on an object that does not parse is held: nothing is made, changed or deleted on a part of what there is.

use std::sync::Arc;

use modelwright::{
    api::{Model, ModelVersion},
    context::Context,
    k8s::cache::Cache,
    serving,
};
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::endpoints,
    deployment_scenarios::{made, reconciled as deployment_reconciled},
    fixtures::{NAMESPACE, job, model as import},
    model_retention::{keeping, numbered},
    model_scenarios::{EVENTS, STATUS, condition, reconciled},
    scenario::{ApiServer, context, play},
    unreadable_scenarios::{
        DEPLOYMENT_STATUS, SECRET, bad_deployment, bad_model, expect_told, list, raw, unreadable,
    },
};

type Fill<'a> = Box<dyn Fn(&mut Context) + 'a>;

/// A ModelVersion or another object whose spec does not parse, with the Model's label.
fn spoiled(object: &impl serde::Serialize, pointer: &str, value: Value) -> Value {
    let mut object = serde_json::to_value(object).unwrap();
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

/// What a reconcile of the Model writes, where something of it does not parse.
async fn held(model: &Model, fill: impl Fn(&mut Context)) -> Value {
    let (mut context, mut server) = context();
    fill(&mut context);
    let mut told = Value::Null;
    play(reconciled(model, context), async {
        let call = loop {
            let call = server.next().await;
            if call.method != "GET" {
                break call;
            }
            // the warnings of what waits
            call.object(&list("9", &[]));
        };
        assert_eq!((call.method.as_str(), call.path.as_str()), ("PATCH", STATUS));
        told = call.body.clone();
        call.echo_model(model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
    told
}

#[tokio::test]
async fn a_model_makes_and_deletes_nothing_while_a_version_a_job_or_a_pod_of_it_does_not_parse() {
    let mut model = import("s3://b/a", 1);
    model.status = serde_json::from_value(json!({"currentVersion": 2, "latestVersion": 2})).unwrap();
    let job = job(&model);
    let version = spoiled(&numbered(2), "/spec/artifact/sizeBytes", json!(-1));
    let bad_job = spoiled(&job, "/spec/template", json!("none"));
    let pod = spoiled(&crate::fixtures::succeeded_pod(&job, 'a'), "/status/phase", json!(7));
    let cases: [(&str, Fill<'_>); 3] = [
        (
            "ModelVersion digits-v2: spec.artifact.sizeBytes: ",
            Box::new(|context| {
                context.caches.versions =
                    Cache::fixed_raw(&[raw(&serde_json::to_value(numbered(1)).unwrap()), raw(&version)]);
            }),
        ),
        ("spec.template: ", Box::new(|context| context.caches.jobs = Cache::fixed_raw(&[raw(&bad_job)]))),
        (
            "status.phase: ",
            Box::new(|context| {
                context.caches.jobs = Cache::fixed(vec![job.clone()]);
                context.caches.pods = Cache::fixed_raw(&[raw(&pod)]);
            }),
        ),
    ];
    for (words, fill) in cases {
        let told = held(&model, fill).await;
        let stalled = condition(&told, "Stalled");
        assert_eq!(stalled["reason"], "Unreadable", "{words}");
        assert!(stalled["message"].as_str().unwrap().contains(words), "{stalled}");
        assert_eq!(told["status"]["currentVersion"], 2, "nobody who follows the Model goes back");
    }
}

#[tokio::test]
async fn a_version_of_the_spec_that_parses_is_used_beside_one_that_does_not() {
    let model = keeping(10, 1);
    let (mut context, mut server) = context();
    let bad = spoiled(&numbered(2), "/spec/artifact/sizeBytes", json!(-1));
    context.caches.versions =
        Cache::fixed_raw(&[raw(&serde_json::to_value(numbered(1)).unwrap()), raw(&bad)]);
    play(reconciled(&model, context), async {
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(call.body["status"]["currentVersion"], 1);
        call.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn no_version_is_removed_while_something_that_may_use_it_does_not_parse() {
    let model = keeping(2, 4);
    let all = || (1..=4).map(numbered).collect::<Vec<_>>();
    let labels = json!({"modelwright.dev/model": "digits"});
    let revision = json!({"metadata": {"name": "r", "namespace": NAMESPACE, "labels": labels}, "revision": "one", "data": {}});
    let deployment = bad_deployment("bad", Value::Null);
    // by the caches
    let cases: [Fill<'_>; 2] = [
        Box::new(|context| context.caches.model_deployments = Cache::fixed_raw(&[raw(&deployment)])),
        Box::new(|context| context.caches.revisions = Cache::fixed_raw(&[raw(&revision)])),
    ];
    for fill in cases {
        let (mut context, mut server) = context();
        context.caches.versions = Cache::fixed(all());
        fill(&mut context);
        play(reconciled(&model, context), async {
            server.expect("PATCH", STATUS).await.echo_model(&model);
            server.expect("POST", EVENTS).await.echo();
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
    // by the fresh look
    let version = spoiled(&numbered(2), "/spec/artifact/sizeBytes", json!(-1));
    for bad in ["modelversions", "modeldeployments", "controllerrevisions"] {
        let (mut context, mut server) = context();
        context.caches.versions = Cache::fixed(all());
        play(reconciled(&model, context), async {
            let mut lists = 0;
            let call = loop {
                let call = server.next().await;
                let kind = call.path.rsplit('/').next().unwrap().to_owned();
                let items = match kind.as_str() {
                    "modelversions" if bad == kind => [numbered(1), numbered(3), numbered(4)]
                        .iter()
                        .map(|one| serde_json::to_value(one).unwrap())
                        .chain([version.clone()])
                        .collect(),
                    "modelversions" => all().iter().map(|one| serde_json::to_value(one).unwrap()).collect(),
                    "modeldeployments" if bad == kind => vec![deployment.clone()],
                    "controllerrevisions" if bad == kind => vec![revision.clone()],
                    "modeldeployments" | "controllerrevisions" => vec![],
                    _ => break call,
                };
                lists += 1;
                call.object(&list("9", &items));
            };
            assert_eq!((lists, call.method.as_str(), call.path.as_str()), (3, "PATCH", STATUS), "{bad}");
            call.echo_model(&model);
            server.expect("POST", EVENTS).await.echo();
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
}

fn serving_pod(ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({
        "metadata": {"name": "digits-1", "namespace": NAMESPACE, "uid": "p",
            "labels": {"modelwright.dev/deployment": "digits", "modelwright.dev/traffic": "serve"}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
    })
}

const SERVING: &str = r#"{"type": "Ready", "status": "True", "reason": "Serving", "message": "version 1 serves", "lastTransitionTime": "t"}"#;

#[tokio::test]
async fn a_deployment_that_does_not_parse_is_told_so_and_serves_on() {
    let serving: Value = serde_json::from_str(SERVING).unwrap();
    // a pod that is ready takes traffic where the Service has it
    for (ready, routed) in [(true, true), (true, false), (false, false)] {
        let bad = bad_deployment("digits", json!({"conditions": [serving], "url": "http://digits"}));
        let (mut context, mut server) = context();
        context.caches.pods = Cache::fixed_raw(&[raw(&serving_pod(ready))]);
        let slices = routed.then(|| endpoints("digits", NAMESPACE, "p"));
        context.caches.endpoint_slices = Cache::fixed(slices.into_iter().collect());
        let metrics = Arc::clone(&context.metrics);
        metrics.set_phase(NAMESPACE, "digits", Some("Healthy"));
        play(serving::unreadable::reconcile(unreadable(&bad), Arc::new(context)), async {
            let told = expect_told(server.expect("PATCH", DEPLOYMENT_STATUS).await);
            let expected = if routed { ("True", "Serving") } else { ("False", "Unreadable") };
            let told_ready = condition(&told, "Ready");
            assert_eq!(
                (told_ready["status"].as_str().unwrap(), told_ready["reason"].as_str().unwrap()),
                expected
            );
            for (type_, status) in [("Promoted", "False"), ("Stalled", "True")] {
                let condition = condition(&told, type_);
                assert_eq!(
                    (&condition["status"], &condition["reason"]),
                    (&json!(status), &json!("Unreadable"))
                );
                assert!(condition["message"].as_str().unwrap().contains("spec.resources.limits.memory"));
            }
            assert_eq!(told["status"]["phase"], "Degraded");
            server.expect("POST", EVENTS).await.echo();
            server.nothing_more().await;
        })
        .await
        .unwrap();
        // what is counted is what the status says
        let text = metrics.render().unwrap();
        assert!(text.contains(r#"model_deployments{phase="Degraded"} 1"#), "{text}");
        assert!(text.contains(r#"model_deployments{phase="Healthy"} 0"#), "{text}");
    }
}

async fn expect_held(mut server: ApiServer, words: &str) {
    let call = server.expect("PATCH", DEPLOYMENT_STATUS).await;
    assert_eq!(call.body["metadata"]["resourceVersion"], "100");
    let stalled = condition(&call.body, "Stalled");
    assert_eq!(stalled["reason"], "Unreadable");
    assert!(stalled["message"].as_str().unwrap().contains(words), "{stalled}");
    call.echo();
    server.expect("POST", EVENTS).await.echo();
    server.nothing_more().await;
}

#[tokio::test]
async fn a_deployment_writes_nothing_while_one_of_its_objects_does_not_parse() {
    let object = crate::deployment_fixtures::deployment(json!({"model": "digits"}));
    let labels = json!({"modelwright.dev/deployment": "digits", "modelwright.dev/revision": "0123456789"});
    let metadata = json!({"name": "digits-x", "namespace": NAMESPACE, "uid": "x", "labels": labels});
    let revision = json!({"metadata": metadata, "revision": "one"});
    let pod = json!({"metadata": metadata, "status": {"phase": 7}});
    let service = json!({"metadata": metadata, "spec": {"ports": 80}});
    let cases: [(&str, Fill<'_>); 3] = [
        (
            "ControllerRevision digits-x: revision: ",
            Box::new(|context| context.caches.revisions = Cache::fixed_raw(&[raw(&revision)])),
        ),
        (
            "Pod digits-x: status.phase: ",
            Box::new(|context| context.caches.pods = Cache::fixed_raw(&[raw(&pod)])),
        ),
        (
            "Service digits-x: spec.ports: ",
            Box::new(|context| context.caches.services = Cache::fixed_raw(&[raw(&service)])),
        ),
    ];
    for (words, fill) in cases {
        let (mut context, server) = context();
        made(&object, &mut context, true);
        fill(&mut context);
        play(deployment_reconciled(&object, context), expect_held(server, words)).await.unwrap();
    }
}

#[tokio::test]
async fn a_fresh_look_at_what_does_not_parse_is_no_ground_for_a_write() {
    let (context, mut server) = context();
    let labels = json!({"modelwright.dev/deployment": "digits"});
    let bad = json!({"metadata": {"name": "digits-x", "namespace": NAMESPACE, "labels": labels}, "revision": SECRET});
    let snapshot = async {
        for _ in 0..4 {
            let call = server.next().await;
            if call.path.ends_with("/controllerrevisions") {
                call.object(&list("9", std::slice::from_ref(&bad)));
            } else if call.path.ends_with("-traffic") {
                call.error(404, "NotFound", "");
            } else {
                call.object(&list("9", &[]));
            }
        }
    };
    let children = serving::fetch::fetch_live(&context, "digits", NAMESPACE);
    let error = Box::pin(play(children, snapshot)).await.unwrap_err();
    let text = modelwright::k8s::controller::chain(&error);
    assert!(text.contains("ControllerRevision digits-x does not parse at revision"), "{text}");
    assert!(!text.contains(SECRET), "it goes to the log: {text}");
}

#[tokio::test]
async fn a_model_whose_spec_does_not_parse_is_followed_by_what_its_status_says() {
    let object = crate::deployment_fixtures::deployment(json!({"model": "digits"}));
    let (mut context, server) = context();
    let world = made(&object, &mut context, true);
    let bad = bad_model(&json!({}), json!({"currentVersion": 1}));
    context.caches.models = Cache::fixed_raw(&[raw(&bad)]);
    let children = serving::fetch::fetch_cached(&context, "digits", NAMESPACE);
    let valid = crate::deployment_fixtures::valid(&object);
    let (prober, now) = (serving::probe::Prober::default(), crate::deployment_fixtures::time(0));
    let snapshot = serving::snapshot::observe(&context, &prober, &object, Some(&valid), children, now).await;
    assert_eq!(snapshot.resolution.blocked, None);
    assert_eq!(snapshot.resolution.desired.target, Some(world.short));
    server.nothing_more().await;

    // the version that it follows does not parse, and no revision knows it
    let (mut context, server) = self::context();
    context.caches.models = Cache::fixed_raw(&[raw(&bad)]);
    let version = spoiled(&numbered(1), "/spec/artifact/sizeBytes", json!(-1));
    context.caches.versions = Cache::fixed_raw(&[raw(&version)]);
    let children = serving::fetch::fetch_cached(&context, "digits", NAMESPACE);
    let snapshot = serving::snapshot::observe(&context, &prober, &object, Some(&valid), children, now).await;
    let Some(serving::status::Blocked::Missing(missing)) = snapshot.resolution.blocked else {
        panic!("it waits for its version")
    };
    let message = missing.problem.message;
    assert!(message.contains("ModelVersion digits-v1: spec.artifact.sizeBytes: "), "{message}");
    server.nothing_more().await;
}

#[tokio::test]
async fn a_version_that_does_not_parse_belongs_to_its_model_by_spec_label_or_name() {
    let label = json!({"modelwright.dev/model": "digits"});
    for object in [
        json!({"metadata": {"name": "x", "namespace": NAMESPACE}, "spec": {"model": "digits", "version": "1"}}),
        json!({"metadata": {"name": "x", "namespace": NAMESPACE, "labels": label}, "spec": 5}),
        json!({"metadata": {"name": "digits-v3", "namespace": NAMESPACE}}),
    ] {
        let cache = Cache::<ModelVersion>::fixed_raw(&[raw(&object)]);
        let key = modelwright::caches::kinds::Key::Model("digits".into());
        assert_eq!(cache.unreadable_of(NAMESPACE, &key).len(), 1, "{object}");
        assert_eq!(cache.of(NAMESPACE, &key).len(), 0);
    }
}
