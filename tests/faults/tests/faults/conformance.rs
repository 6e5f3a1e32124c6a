//! The server in memory, held against a real one: the calls that the operator makes, one after the other, must be answered
//! alike by both. `FAULTS_KUBECONFIG` names a cluster with Modelwright's definitions, in which a namespace is made and deleted
//! again; without it, only the server in memory is asked.

// the cluster's own kinds
mod kinds;

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Client, Config,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams, Preconditions, WatchEvent, WatchParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait::await_condition,
};
use modelwright::clock::Clock;
use modelwright_faults::{
    faults::Faults,
    server::{Connection, Shared},
    store::{Author, Store},
};
use serde_json::{Value, json};

const MANAGER: &str = "modelwright";

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Asks one server everything, and notes its answers.
struct Asked {
    client: Client,
    namespace: String,
    notes: Vec<String>,
    /// What stands for UIDs and versions, which differ.
    names: BTreeMap<String, String>,
}

type Answer = Result<DynamicObject, kube::Error>;

impl Asked {
    fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(api_version, kind))
    }

    fn models(&self) -> Api<DynamicObject> {
        self.api("modelwright.dev/v1alpha1", "Model")
    }

    fn maps(&self) -> Api<DynamicObject> {
        self.api("v1", "ConfigMap")
    }

    /// Notes an answer: of an object what it asks for, its generation and what holds it; of a refusal code and reason.
    fn note(&mut self, what: &str, answer: &Answer) {
        let told = match answer {
            Ok(object) => {
                let uid = object.metadata.uid.clone().unwrap_or_default();
                let count = self.names.len();
                let name = self.names.entry(uid).or_insert_with(|| format!("uid {count}")).clone();
                json!({
                    "uid": name, "generation": object.metadata.generation, "labels": object.metadata.labels,
                    "annotations": object.metadata.annotations, "finalizers": object.metadata.finalizers,
                    "terminating": object.metadata.deletion_timestamp.is_some(),
                    "spec": object.data["spec"], "data": object.data["data"], "status": object.data["status"],
                })
                .to_string()
            }
            Err(kube::Error::Api(status)) => format!("{} {}", status.code, status.reason),
            Err(error) => format!("{error:?}"),
        };
        self.notes.push(format!("{what}: {told}"));
    }

    async fn patch(&mut self, what: &str, name: &str, patch: Patch<Value>) -> Answer {
        let answer = self.models().patch(name, &parameters(&patch), &patch).await;
        self.note(what, &answer);
        answer
    }

    async fn status(&mut self, what: &str, name: &str, patch: Patch<Value>) -> Answer {
        let answer = self.models().patch_status(name, &parameters(&patch), &patch).await;
        self.note(what, &answer);
        answer
    }

    async fn run(mut self) -> Vec<String> {
        self.objects().await;
        self.versions().await;
        self.statuses().await;
        self.applies().await;
        self.deletions().await;
        self.watches().await;
        self.kinds().await;
        self.notes
    }

    async fn objects(&mut self) {
        let model = object(
            "modelwright.dev/v1alpha1",
            "Model",
            "m",
            json!({"source": {"uri": "s3://bucket/m.onnx"}}),
        );
        let made = self.models().create(&PostParams::default(), &model).await;
        self.note("a Model is made", &made);
        let again = self.models().create(&PostParams::default(), &model).await;
        self.note("and is there already", &again);
        let found = self.models().get("m").await;
        self.note("it is read", &found);
        let nothing = self.models().get("nothing").await;
        self.note("what is not there is not", &nothing);
    }

    async fn versions(&mut self) {
        let Ok(found) = self.models().get("m").await else { return };
        let (uid, version) = (found.metadata.uid, found.metadata.resource_version);
        let merge = |metadata: Value| Patch::Merge(json!({"metadata": metadata}));
        let labels = json!({"a": "b"});
        let _ =
            self.patch("nothing changes", "m", merge(json!({"uid": uid, "resourceVersion": version}))).await;
        let right = json!({"uid": uid, "resourceVersion": version, "labels": labels});
        let _ = self.patch("of the version that was read", "m", merge(right.clone())).await;
        let _ = self.patch("nothing more changes", "m", merge(json!({"labels": labels}))).await;
        let stale = json!({"resourceVersion": version, "labels": {"a": "c"}});
        let _ = self.patch("of a version of before", "m", merge(stale)).await;
        let other = json!({"uid": "another", "annotations": {"a": "c"}});
        let _ = self.patch("of another object of the name", "m", merge(other)).await;
        let gone = json!({"uid": "another", "annotations": {"a": "c"}});
        let _ = self.patch("of an object that is not there", "nothing", merge(gone)).await;
        let _ = self.patch("another spec", "m", Patch::Merge(json!({"spec": {"rerun": "1"}}))).await;
        let _ =
            self.patch("finalizers", "m", merge(json!({"finalizers": ["modelwright.dev/protection"]}))).await;
        let json_patch = |operations: Value| serde_json::from_value(operations).map(Patch::Json);
        for (what, operations) in [
            (
                "a JSON patch of a version of before",
                json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": version}]),
            ),
            ("whose test fails", json!([{"op": "test", "path": "/spec/rerun", "value": "2"}])),
            ("that removes what is not there", json!([{"op": "remove", "path": "/spec/nothing"}])),
            ("that adds", json!([{"op": "add", "path": "/metadata/annotations", "value": {"x": "y"}}])),
        ] {
            if let Ok(patch) = json_patch(operations) {
                let _ = self.patch(what, "m", patch).await;
            }
        }
    }

    async fn statuses(&mut self) {
        let condition = |type_: &str, reason: &str| json!({"type": type_, "status": "True", "reason": reason, "message": "m", "lastTransitionTime": "2026-11-24T10:00:00Z"});
        let apply = |status: Value| {
            Patch::Apply(json!({
                "apiVersion": "modelwright.dev/v1alpha1", "kind": "Model", "metadata": {"name": "m"}, "status": status,
            }))
        };
        let first =
            json!({"latestVersion": 1, "conditions": [condition("Ready", "A"), condition("Stalled", "B")]});
        let _ = self.status("a status is applied", "m", apply(first)).await;
        let next = json!({"conditions": [condition("Ready", "C")]});
        let _ = self.status("what is no longer applied goes", "m", apply(next.clone())).await;
        let foreign = json!({"status": {"currentVersion": 7}});
        let _ = self.status("somebody else adds to it", "m", Patch::Merge(foreign)).await;
        let _ = self.status("and keeps that", "m", apply(next)).await;
        let beside = json!({"spec": {"rerun": "9"}, "metadata": {"labels": {"z": "z"}}, "status": {"currentVersion": 8}});
        let _ = self.status("nothing else of it is written", "m", Patch::Merge(beside)).await;
        let _ = self
            .patch(
                "nor the status with the rest",
                "m",
                Patch::Merge(json!({"status": {"currentVersion": 9}})),
            )
            .await;
        let _ = self.status("of what is not there", "nothing", apply(json!({}))).await;
    }

    async fn applies(&mut self) {
        let map = |data: Value, version: Option<&str>, uid: Option<&str>| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
                "metadata": {"name": "map", "resourceVersion": version, "uid": uid}})
        };
        let apply = PatchParams::apply(MANAGER).force();
        for (what, value) in [
            ("applied with a UID where nothing is", map(json!({"a": "1"}), None, Some("another"))),
            ("applied where nothing is", map(json!({"a": "1", "b": "2"}), Some("1"), None)),
            ("applied as if nothing were there", map(json!({"a": "2"}), Some("1"), None)),
            ("applied without what was", map(json!({"a": "2"}), None, None)),
        ] {
            let answer = self.maps().patch("map", &apply, &Patch::Apply(value)).await;
            self.note(what, &answer);
        }
        let added = self
            .maps()
            .patch("map", &PatchParams::default(), &Patch::Merge(json!({"data": {"c": "3"}})))
            .await;
        self.note("a stranger adds", &added);
        let kept = self.maps().patch("map", &apply, &Patch::Apply(map(json!({"a": "4"}), None, None))).await;
        self.note("and keeps it", &kept);
    }

    async fn deletions(&mut self) {
        let Ok(found) = self.maps().get("map").await else { return };
        let only = |resource_version: Option<String>, uid: Option<String>| {
            DeleteParams::background().preconditions(Preconditions { resource_version, uid })
        };
        let delete = async |asked: &mut Self,
                            what: &str,
                            api: Api<DynamicObject>,
                            name: &str,
                            parameters: DeleteParams| {
            match api.delete(name, &parameters).await {
                Ok(answer) => match answer.left() {
                    Some(object) => {
                        let is_terminating = object.metadata.deletion_timestamp.is_some();
                        asked.notes.push(format!("{what}: is there, being deleted: {is_terminating}"));
                    }
                    None => asked.notes.push(format!("{what}: gone")),
                },
                Err(error) => asked.note(what, &Err(error)),
            }
        };
        let maps = self.maps();
        delete(self, "of another UID", maps.clone(), "map", only(None, Some("another".into()))).await;
        delete(self, "of another version", maps.clone(), "map", only(Some("1".into()), None)).await;
        let right = only(found.metadata.resource_version, found.metadata.uid);
        delete(self, "of what was read", maps.clone(), "map", right).await;
        delete(self, "once more", maps, "map", DeleteParams::background()).await;
        let models = self.models();
        delete(self, "what a finalizer holds", models.clone(), "m", DeleteParams::background()).await;
        delete(self, "and again", models, "m", DeleteParams::background()).await;
        let _ = self
            .patch("until it lets go", "m", Patch::Merge(json!({"metadata": {"finalizers": null}})))
            .await;
        let gone = self.models().get("m").await;
        self.note("then it is gone", &gone);
    }

    async fn watches(&mut self) {
        let ours = json!({"app": "ours"});
        let Ok(list) = self.maps().list(&ListParams::default().labels("app=ours")).await else { return };
        let version = list.metadata.resource_version.unwrap_or_default();
        self.notes.push(format!("listed: {}", list.items.len()));
        let labelled = |name: &str, labels: &Value| {
            let mut map = DynamicObject::new(name, &resource("v1", "ConfigMap"));
            map.metadata.labels = serde_json::from_value(labels.clone()).ok();
            map
        };
        let maps = self.maps();
        for (name, labels) in [("one", &ours), ("two", &json!({"app": "theirs"}))] {
            let made = maps.create(&PostParams::default(), &labelled(name, labels)).await;
            assert!(made.is_ok(), "{made:?}");
        }
        for (name, app) in [("two", "ours"), ("one", "theirs")] {
            let patch = Patch::Merge(json!({"metadata": {"labels": {"app": app}}}));
            let patched = maps.patch(name, &PatchParams::default(), &patch).await;
            assert!(patched.is_ok(), "{patched:?}");
        }
        let _ = maps.delete("two", &DeleteParams::background()).await;
        let parameters = WatchParams::default().labels("app=ours").timeout(3);
        let Ok(events) = maps.watch(&parameters, &version).await else { return };
        let mut events = Box::pin(events);
        while let Ok(Some(Ok(event))) = tokio::time::timeout(Duration::from_secs(5), events.next()).await {
            let (word, object) = match event {
                WatchEvent::Added(object) => ("added", object),
                WatchEvent::Modified(object) => ("changed", object),
                WatchEvent::Deleted(object) => ("gone", object),
                WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
            };
            self.notes.push(format!("watched: {word} {}", object.metadata.name.unwrap_or_default()));
        }
    }
}

fn object(api_version: &str, kind: &str, name: &str, spec: Value) -> DynamicObject {
    let mut object = DynamicObject::new(name, &resource(api_version, kind));
    object.data = json!({"spec": spec});
    object
}

fn parameters(patch: &Patch<Value>) -> PatchParams {
    match patch {
        Patch::Apply(_) => PatchParams::apply(MANAGER).force(),
        _ => PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() },
    }
}

async fn in_memory() -> Vec<String> {
    let clock = Clock::default();
    let connection = Connection {
        store: Shared::new(Store::new(clock.now()), clock),
        network: Faults::new(Vec::new(), clock).network(),
        author: Author::Person,
    };
    let client = Client::new(connection, "space");
    Asked { client, namespace: "space".into(), notes: Vec::new(), names: BTreeMap::new() }.run().await
}

async fn on_a_cluster(path: &str) -> Vec<String> {
    let namespace = format!("modelwright-faults-{}", std::process::id());
    let kubeconfig = Kubeconfig::read_from(path).expect("FAULTS_KUBECONFIG is a kubeconfig");
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("it names a cluster");
    let client = Client::try_from(config).expect("a client of it");
    let spaces: Api<DynamicObject> = Api::all_with(client.clone(), &resource("v1", "Namespace"));
    let space = DynamicObject::new(&namespace, &resource("v1", "Namespace"));
    spaces.create(&PostParams::default(), &space).await.expect("a namespace can be made");
    // pods are refused until its account is there
    let accounts = Api::namespaced_with(client.clone(), &namespace, &resource("v1", "ServiceAccount"));
    let is_there = |account: Option<&DynamicObject>| account.is_some();
    await_condition(accounts, "default", is_there).await.expect("a controller manager makes it");
    // an operator that leads there would have a part in what happens to Models: it makes their finalizers and statuses
    let asked = Asked { client, namespace: namespace.clone(), notes: Vec::new(), names: BTreeMap::new() };
    let notes = asked.run().await;
    let _ = spaces.delete(&namespace, &DeleteParams::background()).await;
    notes
}

#[tokio::test(flavor = "current_thread")]
async fn the_server_in_memory_answers_as_a_real_one() {
    let ours = in_memory().await;
    assert!(ours.len() > 70, "{ours:#?}");
    let Some(path) = std::env::var_os("FAULTS_KUBECONFIG") else {
        println!(
            "NOT SHOWN: the real API server, since FAULTS_KUBECONFIG names none; in memory {} answers",
            ours.len()
        );
        return;
    };
    let theirs = on_a_cluster(&path.to_string_lossy()).await;
    let differ: Vec<_> = ours
        .iter()
        .zip(&theirs)
        .filter(|(ours, theirs)| ours != theirs)
        .map(|(a, b)| format!("{a}\n   real: {b}"))
        .collect();
    assert!(
        differ.is_empty() && ours.len() == theirs.len(),
        "{} of {} differ:\n{}",
        differ.len(),
        ours.len(),
        differ.join("\n")
    );
    println!("{} answers are those of the real API server", ours.len());
}
