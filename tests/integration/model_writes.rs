//! An operator that dies between any two writes of a Model, and knows nothing afterwards: whoever decides next comes to the same
//! end, with no second Job, no second version, and no number used twice.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Resource, ResourceExt as _};
use modelwright::{
    api::{
        Model, ModelVersion,
        model::VersionHistory,
        name::{
            APPLIED_HASH_ANNOTATION, RECALLS_ANNOTATION, SELECTED_GENERATION_ANNOTATION,
            SPEC_HASHES_ANNOTATION, SUSPENDED_ANNOTATION,
        },
    },
    model::{
        in_use::InUse,
        plan::plan_model,
        retention::plan_removal,
        status::{Inputs, model_status},
        writes::{Write, plan_writes},
    },
};
use modelwright_contract::report::{Report, RunReport};
use proptest::prelude::*;
use serde_json::json;

use crate::fixtures::{
    ended, failed_pod, fetch_report, finished, model, optimized_model, pod, settings, snapshot, train_report,
    trained_model, training_reports, valid, variant_reports,
};

/// How a run ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Succeeds,
    LosesItsPod,
    Fails,
}

/// What happens to a Model that is at rest.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// Its spec becomes this one, whose runs end so.
    Edit(usize, End),
    /// It is restored from a backup without owners and without a status.
    Restore,
}

/// How many specs there are: the first and the third import the same bytes, the fifth waits until the sixth lets it go on, and the
/// last asks for variants of what those train.
const SPECS: usize = 7;

fn spec(number: usize, generation: i64, keep: u32) -> Model {
    let mut model = match number {
        4 => trained_model(json!({"run": {"suspend": true}}), generation),
        5 => trained_model(json!({}), generation),
        6 => optimized_model(json!([{"name": "int8", "quantize": "Dynamic"}]), generation),
        _ => model(&format!("s3://bucket/{number}.onnx"), generation),
    };
    model.spec.history = Some(VersionHistory { keep: Some(keep) });
    model
}

/// The Model and what there is around it, with the other controllers of the cluster.
#[derive(Clone)]
struct World {
    model: Model,
    number: usize,
    end: End,
    keep: u32,
    versions: Vec<ModelVersion>,
    jobs: Vec<Job>,
    pods: Vec<Pod>,
    /// Every object that was ever made, by kind and name, in order.
    made: Vec<String>,
    /// Writes so far.
    writes: usize,
    /// The writes after which the operator dies.
    dies_after: Option<usize>,
}

impl World {
    fn new(keep: u32, dies_after: Option<usize>) -> Self {
        let model = spec(0, 1, keep);
        Self {
            model,
            number: 0,
            end: End::Succeeds,
            keep,
            versions: vec![],
            jobs: vec![],
            pods: vec![],
            made: vec![],
            writes: 0,
            dies_after,
        }
    }

    fn dies(&mut self) -> bool {
        self.dies_after.take_if(|after| *after == self.writes).is_some()
    }

    /// One reconcile, which ends in the middle where the operator dies. Out comes whether it wrote anything.
    fn reconcile(&mut self) -> bool {
        let (valid, snapshot, before) = (
            valid(&self.model),
            snapshot(self.versions.clone(), self.jobs.clone(), self.pods.clone()),
            self.writes,
        );
        let plan = plan_model(&self.model, &valid, &snapshot);
        let (writes, state) = plan_writes(&plan, &valid, &settings(), &snapshot);
        for write in writes {
            if self.dies() {
                return true;
            }
            self.make(write);
        }
        let live: Vec<_> = self.versions.iter().cloned().map(Arc::new).collect();
        for version in plan_removal(&self.model, &valid, &live, &InUse::default()) {
            if self.dies() {
                return true;
            }
            self.make(Write::DeleteVersion(version));
        }
        if self.dies() {
            return true;
        }
        let status = model_status(&Inputs::of(&self.model, &snapshot, Some(&plan), &state, None));
        let is_new = self.model.status.as_ref() != Some(&status);
        self.model.status = Some(status);
        is_new || self.writes > before
    }

    /// What the API server does.
    fn make(&mut self, write: Write) {
        self.writes += 1;
        match write {
            Write::Adopt { version, owner } => {
                self.version(&version).metadata.owner_references = Some(vec![owner]);
            }
            Write::DeleteJob { job, .. } => {
                let uid = job.uid().unwrap();
                self.jobs.retain(|other| other.metadata.uid != job.metadata.uid);
                self.pods.retain(|pod| pod.owner_references().iter().all(|owner| owner.uid != uid));
            }
            Write::CreateJob(job) => {
                let mut job = *job;
                self.store(&mut job);
                let in_the_way = |other: &&Job| other.name_any() == job.name_any() || other.status.is_none();
                assert_eq!(
                    self.jobs.iter().find(in_the_way),
                    None,
                    "no Job is made beside one that has not ended"
                );
                self.jobs.push(job);
            }
            Write::Suspend { job, suspend } => {
                let of = |other: &&mut Job| other.metadata.uid == job.metadata.uid;
                let job = self.jobs.iter_mut().find(of).unwrap();
                job.spec.as_mut().unwrap().suspend = Some(suspend);
                job.annotations_mut().remove(SUSPENDED_ANNOTATION);
                if suspend {
                    job.annotations_mut().insert(SUSPENDED_ANNOTATION.into(), "true".into());
                }
            }
            Write::CreateVersion(version) => {
                let mut version = *version;
                self.store(&mut version);
                self.versions.push(version);
            }
            Write::Select { version, stamp, hashes } => {
                let annotations = self.version(&version).annotations_mut();
                annotations.insert(SELECTED_GENERATION_ANNOTATION.into(), stamp.to_string());
                annotations.extend(hashes.map(|hashes| (SPEC_HASHES_ANNOTATION.to_owned(), hashes)));
            }
            Write::DeleteVersion(version) => {
                self.versions.retain(|other| other.metadata.uid != version.metadata.uid);
            }
        }
    }

    fn version(&mut self, version: &ModelVersion) -> &mut ModelVersion {
        self.versions.iter_mut().find(|other| other.metadata.uid == version.metadata.uid).unwrap()
    }

    /// What every object that is made gets.
    fn store<K: Resource<DynamicType = ()>>(&mut self, object: &mut K) {
        let number = self.made.len();
        self.made.push(format!("{} {}", K::kind(&()), object.name_any()));
        let made = format!("2026-11-24T{:02}:{:02}:00Z", 1 + number / 60, number % 60);
        let metadata = object.meta_mut();
        metadata.uid = Some(format!("uid-{number}"));
        metadata.resource_version = Some("1".into());
        metadata.creation_timestamp = Some(serde_json::from_value(json!(made)).unwrap());
        metadata.annotations.get_or_insert_default().insert(APPLIED_HASH_ANNOTATION.into(), "v1-0".into());
    }

    /// What the controller of Jobs and the kubelet do. Out comes whether they did anything.
    fn runs_end(&mut self) -> bool {
        let is_at_work = |job: &&mut Job| {
            job.status.is_none() && job.spec.as_ref().is_some_and(|spec| spec.suspend != Some(true))
        };
        let mut has_ended = false;
        for job in self.jobs.iter_mut().filter(is_at_work) {
            has_ended = true;
            let is_recall = job.annotations().contains_key(RECALLS_ANNOTATION);
            if matches!(self.end, End::Fails) && !is_recall {
                *job = finished(job.clone(), "Failed", "PodFailurePolicy");
                let told = r#"{"failed":{"reason":"DigestMismatch","message":"expected aa, got bb"}}"#;
                self.pods.push(failed_pod(job, 64, told));
                continue;
            }
            *job = finished(job.clone(), "Complete", "CompletionsReached");
            if is_recall {
                self.pods.push(recalling_pod(job, self.number));
            } else if matches!(self.end, End::Succeeds) {
                self.pods.push(succeeded_pod(job, self.number));
            }
        }
        has_ended
    }

    fn settle(&mut self) {
        for _ in 0..40 {
            // the cluster is faster than an operator that starts again
            if !(self.reconcile() | self.runs_end()) {
                return;
            }
        }
        panic!("it never comes to rest: {:?}", self.made);
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Edit(number, end) => {
                let edited = spec(number, self.model.metadata.generation.unwrap() + 1, self.keep);
                self.model = Model { status: self.model.status.take(), ..edited };
                (self.number, self.end) = (number, end);
            }
            Turn::Restore => {
                self.model.status = None;
                for version in &mut self.versions {
                    version.metadata.owner_references = None;
                }
                (self.jobs, self.pods) = (vec![], vec![]);
            }
        }
        self.settle();
    }

    /// All that the cluster holds in the end, but for what tells one object from another of the same content.
    fn rest(&self) -> (Vec<serde_json::Value>, BTreeSet<String>, serde_json::Value) {
        let version = |version: &ModelVersion| {
            let mut value = serde_json::to_value(version).unwrap();
            value["metadata"]["uid"].take();
            value["metadata"]["creationTimestamp"].take();
            value
        };
        let jobs = self.jobs.iter().map(|job| format!("{} {:?}", job.name_any(), job.spec)).collect();
        (self.versions.iter().map(version).collect(), jobs, serde_json::to_value(&self.model.status).unwrap())
    }
}

/// What `publish` reports of this spec.
fn published(number: usize) -> modelwright::model::run::report::Reports {
    let mut reports = training_reports(['a', 'b', 'a', 'c', 'd', 'd', 'd'][number]);
    if number < 4 {
        (reports.train, reports.publish.metrics) = (None, [].into());
    }
    if number == 6 {
        reports.publish.variants = variant_reports(&[("int8", 'e')]);
    }
    reports
}

fn of_job(mut pod: Pod) -> Pod {
    pod.metadata.uid = pod.owner_references().first().map(|owner| format!("pod-of-{}", owner.uid));
    pod
}

fn succeeded_pod(job: &Job, number: usize) -> Pod {
    let fetch = serde_json::to_string(&Report::Succeeded(fetch_report())).unwrap();
    let publish = serde_json::to_string(&Report::Succeeded(published(number).publish)).unwrap();
    let (init, main) = ([ended("fetch", 0, &fetch)], [ended("publish", 0, &publish)]);
    let status = json!({"phase": "Succeeded", "initContainerStatuses": init, "containerStatuses": main});
    of_job(pod(job, status))
}

fn recalling_pod(job: &Job, number: usize) -> Pod {
    let told = Report::Succeeded(RunReport {
        run: job.annotations()[RECALLS_ANNOTATION].clone(),
        fetch: fetch_report(),
        train: (number >= 4).then(train_report),
        publish: published(number).publish,
    });
    let main = [ended("publish", 0, &serde_json::to_string(&told).unwrap())];
    of_job(pod(job, json!({"phase": "Succeeded", "containerStatuses": main})))
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let end = prop_oneof![3 => Just(End::Succeeds), 2 => Just(End::LosesItsPod), 1 => Just(End::Fails)];
    let edit = (0..SPECS, end).prop_map(|(number, end)| Turn::Edit(number, end));
    proptest::collection::vec(prop_oneof![8 => edit, 1 => Just(Turn::Restore)], 1..7)
}

fn lived(turns: &[Turn], keep: u32, dies_after: Option<usize>) -> World {
    let mut world = World::new(keep, dies_after);
    world.settle();
    for turn in turns {
        world.take(*turn);
    }
    world
}

/// Whether all is the same in the end, whenever the operator dies.
fn check(turns: &[Turn], keep: u32) {
    let undisturbed = lived(turns, keep, None);
    let numbers: Vec<_> = undisturbed.made.iter().filter(|made| made.starts_with("ModelVersion")).collect();
    let different: BTreeSet<_> = numbers.iter().collect();
    assert_eq!(different.len(), numbers.len(), "a number twice: {numbers:?}");
    for after in 0..=undisturbed.writes {
        let disturbed = lived(turns, keep, Some(after));
        assert_eq!(disturbed.dies_after, None, "it died");
        assert_eq!(disturbed.made, undisturbed.made, "after {after} writes");
        assert_eq!(disturbed.rest(), undisturbed.rest(), "after {after} writes");
    }
}

#[test]
fn an_operator_that_dies_between_any_two_writes_changes_nothing_in_a_long_life() {
    use End::{Fails, LosesItsPod, Succeeds};
    let edits = [(4, Succeeds), (1, Succeeds), (4, Succeeds), (5, Succeeds), (6, Succeeds), (2, LosesItsPod)];
    let mut turns: Vec<_> = edits.map(|(number, end)| Turn::Edit(number, end)).into();
    turns.extend([Turn::Edit(3, Fails), Turn::Edit(3, LosesItsPod), Turn::Restore, Turn::Edit(1, Succeeds)]);
    for keep in [1, 2, 9] {
        check(&turns, keep);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_operator_that_dies_between_any_two_writes_changes_nothing(turns in turns(), keep in 1_u32..4) {
        check(&turns, keep);
    }
}
