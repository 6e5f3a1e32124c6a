//! A world in its normal form: what is the same however it came to be. Times, UIDs, versions and random names are left out.
//! Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    json::{is_true, items, label, number, recorded, text},
    kinds::Kind,
    store::Store,
};

/// Kinds that are compared whole.
const WHOLE: [Kind; 7] = [
    Kind::Model,
    Kind::ModelVersion,
    Kind::ModelDeployment,
    Kind::ControllerRevision,
    Kind::ReplicaSet,
    Kind::Service,
    Kind::PodDisruptionBudget,
];

/// Members that say when or by whom.
const LEFT_OUT: [&str; 16] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "observedGeneration",
    "lastTransitionTime",
    "time",
    "startedAt",
    "finishedAt",
    "clusterIP",
    "clusterIPs",
    "since",
    "modelwright.dev/deployment-uid",
    "modelwright.dev/applied-hash",
    "modelwright.dev/generation",
    "managedFields",
];

/// How the words of a rollout that was rolled back begin.
const OVERDUE: &str = "no further pod became ready within";

/// The world.
pub fn state(store: &Store) -> Value {
    let mut state = Map::new();
    for kind in WHOLE {
        let objects = store.entries(kind).map(|(key, object)| (key.name.clone(), normal(object)));
        state.insert(kind.to_string(), objects.collect());
    }
    ranked(&mut state["ControllerRevision"]);
    let mut pods: BTreeMap<String, usize> = BTreeMap::new();
    for pod in store.all(Kind::Pod) {
        let (revision, traffic) =
            (label(pod, "modelwright.dev/revision"), label(pod, "modelwright.dev/traffic"));
        let phase = text(pod, "/status/phase");
        let told = format!("{revision} {traffic} {phase} ready={}", is_true(pod, "Ready"));
        *pods.entry(told).or_default() += 1;
    }
    state.insert("Pod".into(), json!(pods));
    let jobs: BTreeMap<_, _> = store
        .entries(Kind::Job)
        .map(|(key, job)| (key.name.clone(), json!([is_true(job, "Complete"), is_true(job, "Failed")])))
        .collect();
    state.insert("Job".into(), json!(jobs));
    let draining: BTreeMap<_, _> = store
        .entries(Kind::ConfigMap)
        .map(|(key, map)| (key.name.clone(), text(map, "/data/traffic.json").matches('-').count()))
        .collect();
    state.insert("ConfigMap".into(), json!(draining));
    state.insert("made".into(), made(store));
    Value::Object(state)
}

/// Numbers of revisions say which was asked for later, not how often: a spec that came and went unseen has none.
fn ranked(revisions: &mut Value) {
    const NUMBER: &str = "/metadata/annotations/modelwright.dev~1rollout/number";
    let all = revisions.as_object_mut().into_iter().flatten().map(|(_, revision)| revision);
    let numbers: Vec<_> = all.filter_map(|revision| revision.pointer_mut(NUMBER)).collect();
    let mut order: Vec<_> = numbers.iter().filter_map(|number| number.as_u64()).collect();
    order.sort_unstable();
    for number in numbers {
        *number = json!(order.iter().position(|known| Some(*known) == number.as_u64()));
    }
}

/// The end of a scenario in words, to be read and kept: what serves, what is recorded, what is left.
pub fn end(store: &Store) -> String {
    let mut lines = Vec::new();
    let conditions = |object: &Value| {
        let told = items(object, "/status/conditions").map(|condition| {
            let part = |name: &str| text(condition, &format!("/{name}")).to_owned();
            format!("{}={} ({})", part("type"), part("status"), part("reason"))
        });
        told.collect::<Vec<_>>().join(" ")
    };
    for (key, model) in store.entries(Kind::Model) {
        let versions = (&model["status"]["currentVersion"], &model["status"]["latestVersion"]);
        lines.push(format!("Model {}: current {}, latest {}", key.name, versions.0, versions.1));
        lines.push(format!("  {}", conditions(model)));
    }
    for (key, version) in store.entries(Kind::ModelVersion) {
        lines.push(format!("ModelVersion {}: {}", key.name, &text(version, "/spec/modelDigest")[..8]));
    }
    for (key, deployment) in store.entries(Kind::ModelDeployment) {
        let status = &deployment["status"];
        lines.push(format!("ModelDeployment {}: {}", key.name, text(status, "/phase")));
        let (stable, target) = (&status["stable"], &status["target"]);
        lines.push(format!(
            "  stable {}, target {}, ready {} of {}",
            stable["version"], target["version"], status["readyReplicas"], deployment["spec"]["replicas"]
        ));
        lines.push(format!("  {}", conditions(deployment)));
        lines.push(format!("  {}", without_times(text(status, "/message"))));
    }
    for (_, revision) in store.entries(Kind::ControllerRevision) {
        let recorded = recorded(revision);
        let told = |name: &str| {
            let value = &recorded[name];
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if value == "null" { String::new() } else { format!(", {name} {value}") }
        };
        let words = ["number", "outcome", "promoted", "proven", "quarantine"].map(told).concat();
        lines.push(format!("revision of version {}{words}", label(revision, "modelwright.dev/version")));
    }
    let state = state(store);
    for kind in ["Pod", "Job", "ConfigMap"] {
        for (name, value) in state[kind].as_object().into_iter().flatten() {
            lines.push(format!("{kind} {name}: {value}"));
        }
    }
    lines.join("\n") + "\n"
}

/// How many of each were ever made.
fn made(store: &Store) -> Value {
    let count = |kind: Kind| {
        store.log.iter().filter(|version| version.key.kind == kind && version.before.is_none()).count()
    };
    json!({
        "jobs": count(Kind::Job), "versions": count(Kind::ModelVersion),
        "revisions": count(Kind::ControllerRevision), "sets": count(Kind::ReplicaSet),
    })
}

fn normal(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
            .map(|(name, value)| {
                let value = match name.as_str() {
                    // which pods they are is chance
                    "pods" => json!(value.as_array().map(Vec::len)),
                    "annotations" if value["modelwright.dev/rollout"].is_string() => {
                        let recorded = recorded(&json!({"metadata": {"annotations": value}}));
                        let mut others = value.clone();
                        others["modelwright.dev/rollout"] = recorded;
                        normal(&others)
                    }
                    _ => normal(value),
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::String(words) => without_times(words).into(),
        value => value.clone(),
    }
}

/// The words without times, and without what a pod said last before its rollout was over.
fn without_times(words: &str) -> String {
    let is_time = |word: &&str| {
        word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).parse::<jiff::Timestamp>().is_ok()
    };
    let words: Vec<_> = words.split(' ').map(|word| if is_time(&word) { "<time>" } else { word }).collect();
    let words = words.join(" ");
    let Some(begin) = words.find(OVERDUE) else { return words };
    let end = words[begin..].find("; version").map_or(words.len(), |length| begin + length);
    match words[begin..end].find(" s: ") {
        Some(said) => format!("{}{}", &words[..begin + said + 2], &words[end..]),
        None => words,
    }
}

/// What to show of a world that is not as it should be.
pub fn brief(store: &Store) -> String {
    let mut lines = Vec::new();
    for deployment in store.all(Kind::ModelDeployment) {
        lines.push(format!(
            "{}: {} {}",
            text(deployment, "/metadata/name"),
            text(deployment, "/status/phase"),
            text(deployment, "/status/message")
        ));
    }
    for model in store.all(Kind::Model) {
        let conditions = model.pointer("/status/conditions").cloned().unwrap_or_default();
        lines.push(format!("{}: {conditions}", text(model, "/metadata/name")));
    }
    for revision in store.all(Kind::ControllerRevision) {
        lines.push(format!("{} {}", text(revision, "/metadata/name"), recorded(revision)["outcome"]));
    }
    for set in store.all(Kind::ReplicaSet) {
        lines.push(format!("{} replicas={}", text(set, "/metadata/name"), number(set, "/spec/replicas")));
    }
    for pod in store.all(Kind::Pod) {
        let (name, phase) = (text(pod, "/metadata/name"), text(pod, "/status/phase"));
        lines.push(format!("{name} {phase} ready={}", is_true(pod, "Ready")));
    }
    lines.join("; ")
}

/// Where two worlds differ, as paths with both values.
pub fn differences(one: &Value, other: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(one, other, "", &mut found);
    found
}

fn compare(one: &Value, other: &Value, path: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(ones), Value::Object(others)) => {
            let names: std::collections::BTreeSet<_> = ones.keys().chain(others.keys()).collect();
            for name in names {
                compare(&one[name.as_str()], &other[name.as_str()], &format!("{path}/{name}"), found);
            }
        }
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => {
            for (index, (one, other)) in ones.iter().zip(others).enumerate() {
                compare(one, other, &format!("{path}/{index}"), found);
            }
        }
        _ if one == other => {}
        _ => found.push(format!("{path}: {one} and not {other}")),
    }
}
