//! Objects that do not parse: the others go on, the object itself is told, what depends on it is held, and no log line
//! holds what is in it.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use kube::runtime::watcher;
use modelwright::{
    api::{Model, ModelDeployment, name::MODEL_FINALIZER},
    k8s::cache::{
        Cache,
        raw::{Raw, Unreadable},
    },
    model,
    telemetry::no_answers,
};
use serde_json::{Value, json};
use tracing_subscriber::prelude::*;

use crate::{
    fixtures::{NAMESPACE, model as import},
    model_scenarios::{EVENTS, JOBS, STATUS, condition, reconciled},
    scenario::{Call, context, play},
};

const MODELS: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/models";
const MODEL: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/models/digits";
const DEPLOYMENTS: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/modeldeployments";
pub const DEPLOYMENT_STATUS: &str =
    "/apis/modelwright.dev/v1alpha1/namespaces/space/modeldeployments/digits/status";
/// What no log line may hold.
pub const SECRET: &str = "somebody-elses-words";

pub fn raw<K>(object: &Value) -> Raw<K> {
    Raw::of_text(object.to_string()).unwrap()
}

pub fn unreadable<K: serde::de::DeserializeOwned>(object: &Value) -> Unreadable<K> {
    let raw = raw::<K>(object);
    let problem = raw.read().map(drop).unwrap_err();
    Unreadable { raw, problem }
}

/// A ModelDeployment whose memory does not parse.
pub fn bad_deployment(name: &str, status: Value) -> Value {
    json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": "uid-of-bad", "generation": 3, "resourceVersion": "77"},
        "spec": {"model": "digits", "resources": {"limits": {"memory": 1.5}}, "serving": {"restart": SECRET}},
        "status": status,
    })
}

/// A Model whose field does not parse.
pub fn bad_model(metadata: &Value, status: Value) -> Value {
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

pub fn list(version: &str, items: &[Value]) -> Value {
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
    // the value as it is written in an object and in words; a time may have the same figures
    let value = ["`1.5`", ":1.5", ": 1.5"].iter().any(|value| log.contains(value));
    assert!(!log.contains(SECRET) && !value, "{log}");
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
        Cache::new(context.raw(NAMESPACE), watcher::Config::default(), Arc::clone(&context.metrics));
    context.caches.models = models;
    let (shutdown, stopping) = tokio::sync::watch::channel(false);
    let controller = tokio::spawn(model::run(Arc::new(context), stopping));
    let watch = tokio::spawn(driver);
    server.limit = Duration::from_mins(1);
    server.expect("GET", MODELS).await.object(&list("10", &[bad.clone(), good.clone()]));
    let (mut started, mut told, mut watching) = (false, false, None);
    while !(started && told) {
        let call = tokio::time::timeout(server.limit, server.next()).await;
        let call = call.unwrap_or_else(|_| panic!("a Job started: {started}, the condition told: {told}"));
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

pub fn expect_told(call: Call) -> Value {
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
