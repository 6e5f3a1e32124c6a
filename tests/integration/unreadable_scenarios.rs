//! Objects that do not parse: the others go on, the object itself is told, what depends on it is held, and no log line
//! holds what is in it.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use kube::{Resource as _, runtime::watcher};
use modelwright::{
    api::{Model, ModelDeployment, ModelVersion, name::MODEL_FINALIZER},
    cache::{
        Cache,
        raw::{Raw, Unreadable},
    },
    context::Context,
    deployment, model,
    telemetry::no_answers,
};
use serde_json::{Value, json};
use tracing_subscriber::prelude::*;

use crate::{
    deployment_scenarios::{made, reconciled as deployment_reconciled},
    fixtures::{NAMESPACE, job, job_name, model as import, settings},
    model_retention::{keeping, numbered},
    model_scenarios::{EVENTS, JOBS, STATUS, VERSIONS, condition, reconciled},
    scenario::{ApiServer, Call, context, play},
};

const MODELS: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/models";
const MODEL: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/models/digits";
const DEPLOYMENTS: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/modeldeployments";
const DEPLOYMENT_STATUS: &str =
    "/apis/modelwright.dev/v1alpha1/namespaces/space/modeldeployments/digits/status";
/// What no log line may hold.
const SECRET: &str = "somebody-elses-words";

fn raw<K>(object: &Value) -> Raw<K> {
    Raw::of_text(object.to_string()).unwrap()
}

fn unreadable<K: serde::de::DeserializeOwned>(object: &Value) -> Unreadable<K> {
    let raw = raw::<K>(object);
    let problem = raw.read().map(drop).unwrap_err();
    Unreadable { raw, problem }
}

/// A ModelDeployment whose memory does not parse.
fn bad_deployment(name: &str, status: Value) -> Value {
    json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": "uid-of-bad", "generation": 3, "resourceVersion": "77"},
        "spec": {"model": "digits", "resources": {"limits": {"memory": 1.5}}, "serving": {"restart": SECRET}},
        "status": status,
    })
}

/// A Model whose field does not parse.
fn bad_model(metadata: &Value, status: Value) -> Value {
    let mut model = json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "Model",
        "metadata": {"name": "digits", "namespace": NAMESPACE, "uid": "uid-of-digits", "generation": 3, "resourceVersion": "77"},
        "spec": {"source": {"uri": 5, "credentialsSecret": SECRET}}, "status": status,
    });
    for (name, value) in metadata.as_object().unwrap() {
        model["metadata"][name] = value.clone();
    }
    model
}

fn good_deployment(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": "uid-of-good", "resourceVersion": version},
        "spec": {"model": "digits", "resources": {"limits": {"memory": 4_294_967_296_i64}}},
    })
}

fn list(version: &str, items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items})
}

/// Lines of a log, everything that `RUST_LOG=trace` shows.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(no_answers()));
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Waits until the cache says so.
async fn until(cache: &Cache<ModelDeployment>, says: impl Fn(&Cache<ModelDeployment>) -> bool) {
    let wait = async {
        while !says(cache) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.expect("the cache does not say so");
}

#[tokio::test]
async fn a_list_and_a_watch_go_on_past_what_does_not_parse_and_no_log_line_holds_it() {
    let (log, guard) = Log::start();
    let (context, mut server) = context();
    // a watch that failed is tried again after a while
    server.limit = Duration::from_secs(10);
    let (cache, driver) = Cache::<ModelDeployment>::new(
        context.raw(NAMESPACE),
        watcher::Config::default(),
        |_| {},
        Arc::clone(&context.metrics),
    );
    let watch = tokio::spawn(driver);
    let is = |cache: &Cache<ModelDeployment>, name: &str| match (
        cache.get(NAMESPACE, name),
        cache.unreadable(NAMESPACE, name),
    ) {
        (Some(_), None) => "read",
        (None, Some(_)) => "unreadable",
        (None, None) => "absent",
        (Some(_), Some(_)) => "both",
    };
    // nested deeper than the parser goes
    let deep = bad_deployment("deep", Value::Null)
        .to_string()
        .replace("1.5", &format!("{}{}", "[".repeat(300), "]".repeat(300)));
    let bad = bad_deployment("bad", Value::Null);
    let text = list("10", &[bad.clone(), json!("DEEP"), good_deployment("good", "5")]).to_string();
    server.expect("GET", DEPLOYMENTS).await.text(text.replace("\"DEEP\"", &deep));
    cache.synced().await;
    assert_eq!(["bad", "deep", "good"].map(|name| is(&cache, name)), ["unreadable", "unreadable", "read"]);
    let gauge =
        |count: usize| format!("modelwright_unreadable_objects{{kind=\"ModelDeployment\"}} {count}\n");
    assert!(context.metrics.render().unwrap().contains(&gauge(2)));
    let problem = cache.unreadable(NAMESPACE, "bad").unwrap().problem;
    assert_eq!(problem.field, "spec.resources.limits.memory");
    assert!(problem.words.contains("`1.5`") && problem.words.contains("quote it"), "{problem}");

    // it is mended; a good one is spoiled; a bad one comes; another bad one changes; a bookmark
    let mut mended = good_deployment("bad", "11");
    mended["metadata"]["uid"] = "uid-of-bad".into();
    let mut spoiled = bad_deployment("good", Value::Null);
    spoiled["metadata"]["uid"] = "uid-of-good".into();
    spoiled["metadata"]["resourceVersion"] = "12".into();
    let bookmark = json!({"kind": "ModelDeployment", "apiVersion": "modelwright.dev/v1alpha1", "metadata": {"resourceVersion": "15"}});
    let call = server.expect("GET", DEPLOYMENTS).await;
    assert!(call.query.contains("watch=true") && call.query.contains("resourceVersion=10"), "{}", call.query);
    call.events(&[
        ("MODIFIED", mended),
        ("MODIFIED", spoiled),
        ("ADDED", bad_deployment("late", Value::Null)),
        ("MODIFIED", bad_deployment("late", json!({"phase": "Degraded"}))),
        ("DELETED", bad_deployment("deep", Value::Null)),
        ("BOOKMARK", bookmark),
    ]);
    until(&cache, |cache| is(cache, "deep") == "absent").await;
    assert_eq!(["bad", "good", "late"].map(|name| is(&cache, name)), ["read", "unreadable", "unreadable"]);
    assert_eq!(cache.unreadable(NAMESPACE, "late").unwrap().raw.at(&["status", "phase"]), "Degraded");

    // the watch is too old, and while nobody watched one was deleted and one came
    let call = server.expect("GET", DEPLOYMENTS).await;
    assert!(call.query.contains("resourceVersion=15"), "{}", call.query);
    call.error(410, "Expired", "too old");
    let call = loop {
        let call = server.expect("GET", DEPLOYMENTS).await;
        if !call.query.contains("watch=true") {
            break call;
        }
        let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": ""});
        call.events(&[("ERROR", gone)]);
    };
    let mut bad = bad;
    bad["metadata"]["name"] = "third".into();
    call.object(&list("20", &[good_deployment("good", "17"), bad]));
    until(&cache, |cache| is(cache, "late") == "absent").await;
    assert_eq!(["good", "third"].map(|name| is(&cache, name)), ["read", "unreadable"]);
    assert!(context.metrics.render().unwrap().contains(&gauge(1)));
    watch.abort();
    drop(guard);

    let log = log.text();
    assert!(!log.contains(SECRET) && !log.contains("1.5"), "{log}");
    assert!(log.contains("spec.resources.limits.memory") && log.contains("\"third\""), "{log}");
    assert_eq!(log.matches("does not parse and is left").filter(|_| true).count(), 5, "each once: {log}");
}

#[tokio::test]
async fn what_the_client_does_not_understand_is_in_no_log() {
    let (log, guard) = Log::start();
    let (context, mut server) = context();
    // typed, as no call of the operator is: the client logs the answer
    let typed = context.api::<Model>(NAMESPACE);
    let server = async {
        let bad = bad_model(&json!({}), Value::Null);
        server.expect("GET", MODELS).await.object(&list("1", &[bad]));
    };
    let parameters = kube::api::ListParams::default();
    let error = play(typed.list(&parameters), server).await.unwrap_err();
    drop(guard);
    assert!(matches!(error, kube::Error::SerdeError(_)), "the fault happened: {error}");
    assert!(!log.text().contains(SECRET), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_parse_is_told_so_and_the_others_are_reconciled() {
    let (mut context, mut server) = context();
    let mut bad = bad_model(&json!({"namespace": "elsewhere"}), Value::Null);
    let good = serde_json::to_value(import("s3://b/a", 1)).unwrap();
    let (models, driver) =
        Cache::new(context.raw(NAMESPACE), watcher::Config::default(), |_| {}, Arc::clone(&context.metrics));
    context.caches.models = models;
    let (shutdown, stopping) = tokio::sync::watch::channel(false);
    let controller = tokio::spawn(model::run(Arc::new(context), stopping));
    let watch = tokio::spawn(driver);
    server.limit = Duration::from_secs(60);
    server.expect("GET", MODELS).await.object(&list("10", &[bad.clone(), good.clone()]));
    let (mut started, mut told, mut watching) = (false, false, None);
    while !(started && told) {
        let call = server.next().await;
        match call.path.as_str() {
            MODELS => watching = Some(call),
            JOBS => {
                started = true;
                call.echo();
            }
            "/apis/modelwright.dev/v1alpha1/namespaces/elsewhere/models/digits/status" => {
                told = true;
                let stalled = condition(&call.body, "Stalled");
                assert_eq!(stalled["reason"], "Unreadable");
                assert!(stalled["message"].as_str().unwrap().starts_with("spec.source.uri: "), "{stalled}");
                bad["status"] = call.body["status"].clone();
                call.object(&bad);
            }
            STATUS => call.object(&good),
            _ => call.echo(),
        }
    }
    drop(watching);
    shutdown.send_replace(true);
    watch.abort();
    controller.abort();
}

fn expect_told(call: Call) -> Value {
    assert!(call.query.contains("fieldManager=modelwright"), "{}", call.query);
    assert_eq!(call.body["metadata"]["resourceVersion"], "77");
    let told = call.body.clone();
    call.echo();
    told
}

#[tokio::test]
async fn a_model_that_does_not_parse_is_told_once_and_a_version_that_it_has_stays_ready() {
    let ready = json!({"type": "Ready", "status": "True", "reason": "VersionReady", "message": "version 1",
        "lastTransitionTime": "2026-11-24T10:00:00Z", "observedGeneration": 2});
    let old = json!({"type": "Reconciling", "status": "True", "reason": "Importing", "message": "",
        "lastTransitionTime": "2026-11-24T10:00:00Z", "observedGeneration": 2});
    let theirs =
        json!({"type": "TheirOwn", "status": "True", "reason": "R", "message": "", "lastTransitionTime": ""});
    let mut bad = bad_model(&json!({}), json!({"currentVersion": 1, "conditions": [ready, old, theirs]}));
    let (context, mut server) = context();
    play(model::unreadable::reconcile(unreadable(&bad), Arc::new(context)), async {
        let told = expect_told(server.expect("PATCH", STATUS).await);
        let ready = condition(&told, "Ready");
        assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("Unreadable")));
        assert_eq!(ready["lastTransitionTime"], "2026-11-24T10:00:00Z");
        let stalled = condition(&told, "Stalled");
        assert_eq!(
            stalled["message"],
            "spec.source.uri: invalid type: integer `5`, expected a string: quote it; correct the field: until then what \
             was made of this object is left as it is"
        );
        assert_eq!(condition(&told, "Reconciling"), &Value::Null);
        assert_eq!(condition(&told, "TheirOwn")["reason"], "R", "what others wrote stays");
        assert_eq!(told["status"]["observedGeneration"], 3);
        assert_eq!(told["status"].get("currentVersion"), None, "merged: the rest stays");
        bad["status"]["conditions"] = told["status"]["conditions"].clone();
        bad["status"]["observedGeneration"] = 3.into();
        let event = server.expect("POST", EVENTS).await;
        assert_eq!(event.body["reason"], "Blocked");
        event.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
    let (context, server) = self::context();
    let again = model::unreadable::reconcile(unreadable(&bad), Arc::new(context));
    play(again, server.nothing_more()).await.unwrap();
}

#[tokio::test]
async fn a_deleted_model_that_does_not_parse_is_let_go_unless_something_names_it() {
    let deleted = bad_model(
        &json!({"deletionTimestamp": "2026-11-24T10:00:00Z", "finalizers": ["other/finalizer", MODEL_FINALIZER]}),
        Value::Null,
    );
    let (free, mut server) = context();
    play(model::unreadable::reconcile(unreadable(&deleted), Arc::new(free)), async {
        let call = server.expect("PATCH", MODEL).await;
        assert_eq!(
            call.body,
            json!({"metadata": {"uid": "uid-of-digits", "resourceVersion": "77", "finalizers": ["other/finalizer"]}})
        );
        call.object(&deleted);
        server.nothing_more().await;
    })
    .await
    .unwrap();

    for holder in [good_deployment("serving", "1"), bad_deployment("serving", Value::Null)] {
        let (mut holding, mut server) = context();
        holding.caches.model_deployments = Cache::fixed_raw(&[raw(&holder)]);
        play(model::unreadable::reconcile(unreadable(&deleted), Arc::new(holding)), async {
            let told = expect_told(server.expect("PATCH", STATUS).await);
            let waits = condition(&told, "Reconciling");
            assert_eq!(waits["reason"], "InUse");
            assert!(waits["message"].as_str().unwrap().contains("serving"), "{waits}");
            server.expect("POST", EVENTS).await.echo();
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_model_that_parses_is_held_by_what_may_name_it() {
    let mut deleted = import("s3://b/a", 1);
    deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap();
    let mut nameless = bad_deployment("nameless", Value::Null);
    nameless["spec"]["model"] = 7.into();
    let mut others = bad_deployment("others", Value::Null);
    others["spec"]["model"] = "another".into();
    for (holder, holds) in [(nameless, true), (bad_deployment("serving", Value::Null), true), (others, false)]
    {
        let (mut context, mut server) = context();
        context.caches.model_deployments = Cache::fixed_raw(&[raw(&holder)]);
        play(reconciled(&deleted, context), async {
            let call = server.next().await;
            assert_eq!(call.path == STATUS, holds, "{holder}: {}", call.path);
            call.object(&deleted);
            if holds {
                server.expect("POST", EVENTS).await.echo();
            }
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_member_of_the_status_that_does_not_parse_is_taken_off() {
    let mut model = serde_json::to_value(import("s3://b/a", 1)).unwrap();
    model["metadata"]["resourceVersion"] = "77".into();
    model["status"] = json!({"currentVersion": -1, "latestVersion": 3});
    let (context, mut server) = context();
    play(model::unreadable::reconcile(unreadable(&model), Arc::new(context)), async {
        let told = expect_told(server.expect("PATCH", STATUS).await);
        assert_eq!(told["status"], json!({"currentVersion": null}));
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_conditions_of_an_object_that_parses_again_are_rid_of_what_was_merged_in() {
    let model = import("s3://b/a", 1);
    let (context, mut server) = context();
    let leftover = json!({"type": "Stalled", "status": "True", "reason": "Unreadable", "message": "m", "lastTransitionTime": ""});
    play(reconciled(&model, context), async {
        server.expect("POST", JOBS).await.echo();
        let call = server.expect("PATCH", STATUS).await;
        let mut stored = serde_json::to_value(&model).unwrap();
        stored["status"] = call.body["status"].clone();
        let applied = stored["status"]["conditions"].clone();
        stored["metadata"]["resourceVersion"] = "77".into();
        stored["status"]["conditions"].as_array_mut().unwrap().push(leftover);
        call.object(&stored);
        let told = expect_told(server.expect("PATCH", STATUS).await);
        assert_eq!(told["status"], json!({"conditions": applied}));
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

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
    type Fill<'a> = Box<dyn Fn(&mut Context) + 'a>;
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
    type Fill<'a> = Box<dyn Fn(&mut Context) + 'a>;
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
                    "modelversions" if bad == kind => vec![numbered(1), numbered(3), numbered(4)]
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
    for ready in [true, false] {
        let bad = bad_deployment("digits", json!({"conditions": [serving], "url": "http://digits"}));
        let (mut context, mut server) = context();
        context.caches.pods = Cache::fixed_raw(&[raw(&serving_pod(ready))]);
        play(deployment::unreadable::reconcile(unreadable(&bad), Arc::new(context)), async {
            let told = expect_told(server.expect("PATCH", DEPLOYMENT_STATUS).await);
            let expected = if ready { ("True", "Serving") } else { ("False", "Unreadable") };
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
    type Fill<'a> = Box<dyn Fn(&mut Context) + 'a>;
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
    let object = crate::deployment_fixtures::deployment(json!({"model": "digits"}));
    let (context, mut server) = context();
    let labels = json!({"modelwright.dev/deployment": "digits"});
    let bad = json!({"metadata": {"name": "digits-x", "namespace": NAMESPACE, "labels": labels}, "revision": SECRET});
    let look = async {
        for _ in 0..4 {
            let call = server.next().await;
            if call.path.ends_with("/controllerrevisions") {
                call.object(&list("9", &[bad.clone()]));
            } else if call.path.ends_with("-traffic") {
                call.error(404, "NotFound", "");
            } else {
                call.object(&list("9", &[]));
            }
        }
    };
    let found = deployment::fetch::fetch_live(&context, "digits", NAMESPACE);
    let error = play(found, look).await.unwrap_err();
    let text = modelwright::controller::chain(&error);
    assert!(text.contains("ControllerRevision digits-x does not parse at revision"), "{text}");
    assert!(!text.contains(SECRET), "it goes to the log: {text}");
    assert_eq!(object.meta().name.as_deref(), Some("digits"));
}

#[tokio::test]
async fn a_model_whose_spec_does_not_parse_is_followed_by_what_its_status_says() {
    let object = crate::deployment_fixtures::deployment(json!({"model": "digits"}));
    let (mut context, server) = context();
    let world = made(&object, &mut context, true);
    let bad = bad_model(&json!({}), json!({"currentVersion": 1}));
    context.caches.models = Cache::fixed_raw(&[raw(&bad)]);
    let followed = deployment::unreadable::followed(&context, "digits", NAMESPACE).unwrap();
    assert_eq!(followed.status.as_ref().unwrap().current_version, Some(1));
    assert!(settings().runtime_image.contains("runtime") && !world.short.is_empty());
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
        let key = modelwright::cache::index::Key::Model("digits".into());
        assert_eq!(cache.unreadable_of(NAMESPACE, &key).len(), 1, "{object}");
        assert_eq!(cache.of(NAMESPACE, &key).len(), 0);
    }
    assert!(VERSIONS.ends_with("modelversions") && !job_name(&import("s3://b/a", 1)).is_empty());
}
