//! Which versions of a Model are not kept any longer, and that nothing that is used is among them.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt as _;
use modelwright::{
    api::{
        Model, ModelDeployment, ModelStatus, ModelVersion,
        model::VersionHistory,
        name::{KEEP_ANNOTATION, SPEC_HASHES_ANNOTATION},
    },
    model::{
        in_use::InUse,
        plan::{Step, plan_model},
        retention::{REMOVED_AT_ONCE, plan_removal},
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{NAMESPACE, finished, job, model, snapshot, succeeded_pod, valid, version};

const MODEL: &str = "digits";

fn uri(number: u64) -> String {
    format!("s3://bucket/{number}.onnx")
}

fn digest(number: u64) -> String {
    format!("{number:064x}")
}

/// A version with a digest of its own; the higher its number, the higher its stamp.
pub fn numbered(number: u64) -> ModelVersion {
    let mut made = version(&model(&uri(number), 1), number, 'a', i64::try_from(number).unwrap());
    made.spec.model_digest = digest(number);
    made
}

/// A Model whose spec is that of version `number`.
pub fn keeping(keep: u32, number: u64) -> Model {
    let mut model = model(&uri(number), 1);
    model.spec.history = Some(VersionHistory { keep: Some(keep) });
    model
}

pub fn deployment(name: &str, spec: Value, status: Value) -> ModelDeployment {
    serde_json::from_value(json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": format!("uid-of-{name}")},
        "spec": spec, "status": status,
    }))
    .unwrap()
}

/// What a ModelDeployment's status says of a revision.
fn serving(version: u64) -> Value {
    json!({"revision": "0123456789", "version": version, "modelDigest": digest(version), "replicas": 1, "readyReplicas": 1})
}

pub fn revision(name: &str, labels: Value, data: Value) -> ControllerRevision {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}, "revision": 1, "data": data,
    }))
    .unwrap()
}

fn serves(version: u64) -> ControllerRevision {
    revision(
        &format!("serving-{version}"),
        json!({"modelwright.dev/model": MODEL, "modelwright.dev/version": version.to_string()}),
        json!({"model": MODEL, "version": version, "modelDigest": digest(version)}),
    )
}

fn removed(model: &Model, versions: &[ModelVersion], in_use: &InUse) -> Vec<u64> {
    let versions: Vec<_> = versions.iter().cloned().map(Arc::new).collect();
    plan_removal(model, &valid(model), &versions, in_use).iter().map(|version| version.spec.version).collect()
}

/// Versions 1 to 6, of which the newest two are kept and the sixth is current, and what an arrangement spares.
fn spared(arrange: impl Fn(&mut Model, &mut Vec<ModelVersion>)) -> BTreeSet<u64> {
    let mut model = keeping(2, 6);
    let mut versions: Vec<_> = (1..=6).map(numbered).collect();
    arrange(&mut model, &mut versions);
    let removed = removed(&model, &versions, &InUse::default());
    (1..=4).filter(|number| !removed.contains(number)).collect()
}

fn used_by(deployments: &[ModelDeployment], revisions: &[ControllerRevision]) -> BTreeSet<u64> {
    let versions: Vec<_> = (1..=6).map(numbered).collect();
    let removed = removed(&keeping(2, 6), &versions, &InUse::read(MODEL, deployments, revisions));
    (1..=4).filter(|number| !removed.contains(number)).collect()
}

#[test]
fn versions_beyond_the_newest_go_the_oldest_first() {
    let versions: Vec<_> = [4, 1, 6, 3, 2, 5].map(numbered).into();
    assert_eq!(removed(&keeping(2, 6), &versions, &InUse::default()), [1, 2, 3, 4]);
    assert_eq!(removed(&keeping(6, 6), &versions, &InUse::default()), [0_u64; 0]);
    assert_eq!(removed(&keeping(1, 6), &versions[..1], &InUse::default()), [0_u64; 0]);
    let mut by_default = keeping(1, 12);
    by_default.spec.history = None;
    let versions: Vec<_> = (1..=12).map(numbered).collect();
    assert_eq!(removed(&by_default, &versions, &InUse::default()), [1, 2], "ten are kept by default");
}

#[test]
fn many_versions_go_in_portions() {
    let versions: Vec<_> = (1..=100).map(numbered).collect();
    let first = removed(&keeping(1, 100), &versions, &InUse::default());
    assert_eq!(first, (1..=REMOVED_AT_ONCE as u64).collect::<Vec<_>>());
}

type Arrange = fn(&mut Model, &mut Vec<ModelVersion>);

#[test]
fn what_the_model_a_person_or_somebody_else_holds_stays() {
    let table: [(&str, Arrange, &[u64]); 11] = [
        ("nothing holds it", |_, _| {}, &[]),
        (
            "its stamp is the highest: it is current",
            |_, versions| {
                versions[1]
                    .annotations_mut()
                    .insert("modelwright.dev/selected-generation".into(), "9".into());
            },
            &[2],
        ),
        (
            "the status still calls it current",
            |model, _| {
                model.status = Some(ModelStatus { current_version: Some(3), ..ModelStatus::default() });
            },
            &[3],
        ),
        ("the spec went back to it", |model, _| *model = keeping(2, 1), &[1]),
        (
            "the spec went back to a further hash of it",
            |model, versions| {
                let hash = valid(&keeping(2, 77)).spec_hash;
                versions[3].annotations_mut().insert(SPEC_HASHES_ANNOTATION.into(), hash);
                *model = keeping(2, 77);
            },
            &[4],
        ),
        (
            "a person keeps it",
            |_, versions| {
                versions[0].annotations_mut().insert(KEEP_ANNOTATION.into(), "true".into());
                versions[1].annotations_mut().insert(KEEP_ANNOTATION.into(), "false".into());
            },
            &[1],
        ),
        (
            "it is being deleted already",
            |_, versions| {
                let now = serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap();
                versions[2].metadata.deletion_timestamp = Some(now);
            },
            &[3],
        ),
        (
            "another Model of this name had it",
            |_, versions| versions[3].metadata.owner_references.as_mut().unwrap()[0].uid = "another".into(),
            &[4],
        ),
        (
            "somebody else owns it too",
            |_, versions| {
                let mut other = versions[0].owner_references()[0].clone();
                (other.uid, other.controller) = ("another".into(), None);
                versions[0].metadata.owner_references.as_mut().unwrap().push(other);
            },
            &[1],
        ),
        (
            "nobody controls it: it has to be adopted first",
            |_, versions| versions[1].metadata.owner_references = None,
            &[2],
        ),
        (
            "it lost its label: the fresh look would not find it",
            |_, versions| {
                versions[1].metadata.labels.as_mut().unwrap().remove("modelwright.dev/model");
            },
            &[2],
        ),
    ];
    for (why, arrange, expected) in table {
        assert_eq!(spared(arrange), expected.iter().copied().collect(), "{why}");
    }
}

#[test]
fn what_a_deployment_or_a_revision_uses_stays() {
    let other_data = json!({"model": "other", "version": 2, "modelDigest": "0"});
    let mut leaving = deployment("leaving", json!({"model": MODEL, "version": 1}), json!({}));
    leaving.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap());
    for (why, deployments, revisions, expected) in [
        ("none", vec![], vec![], vec![]),
        ("pinned", vec![deployment("d", json!({"model": MODEL, "version": 2}), json!({}))], vec![], vec![2]),
        (
            "pinned, of another Model",
            vec![deployment("d", json!({"model": "other", "version": 2}), json!({}))],
            vec![],
            vec![],
        ),
        (
            "stable and target",
            vec![deployment(
                "d",
                json!({"model": MODEL}),
                json!({"stable": serving(1), "target": serving(3)}),
            )],
            vec![],
            vec![1, 3],
        ),
        (
            "pointed to another Model and still serving",
            vec![deployment("d", json!({"model": "other"}), json!({"stable": serving(4)}))],
            vec![],
            vec![4],
        ),
        ("on its way out and still serving", vec![leaving], vec![], vec![1]),
        ("in the history", vec![], vec![serves(2), serves(4)], vec![2, 4]),
        (
            "by its label alone",
            vec![],
            vec![revision(
                "r",
                json!({"modelwright.dev/model": MODEL, "modelwright.dev/version": "3"}),
                json!(null),
            )],
            vec![3],
        ),
        (
            "by its data alone",
            vec![],
            vec![revision("r", json!({}), json!({"model": MODEL, "version": 3, "modelDigest": "0"}))],
            vec![3],
        ),
        (
            "by the digest of its bytes",
            vec![],
            vec![revision("r", json!({}), json!({"model": MODEL, "modelDigest": digest(4)}))],
            vec![4],
        ),
        ("a revision of another Model", vec![], vec![revision("r", json!({}), other_data)], vec![]),
    ] {
        assert_eq!(used_by(&deployments, &revisions), expected.into_iter().collect(), "{why}");
    }
}

#[test]
fn no_removal_frees_a_number_even_when_the_status_is_lost_with_it() {
    let here = keeping(1, 77);
    let mut versions: Vec<_> = (1..=6).map(numbered).collect();
    // the spec went back to the first version before, and so the sixth is held by nothing but its number
    versions[0].annotations_mut().insert("modelwright.dev/selected-generation".into(), "9".into());
    let gone = removed(&here, &versions, &InUse::default());
    versions.retain(|version| !gone.contains(&version.spec.version));
    assert_eq!(versions.iter().map(|version| version.spec.version).collect::<Vec<_>>(), [1, 6]);
    let job = finished(job(&here), "Complete", "CompletionsReached");
    let pod = succeeded_pod(&job, 'c');
    let Step::Record { number, .. } =
        plan_model(&here, &valid(&here), &snapshot(versions, vec![job], vec![pod])).step
    else {
        panic!("the bytes are new")
    };
    assert_eq!(number, 7);
}

/// Some versions, and who holds what of them.
#[derive(Clone, Debug)]
struct Scene {
    keep: u32,
    spec_of: u64,
    told: Option<u64>,
    stamps: Vec<(u64, i64)>,
    kept: BTreeSet<u64>,
    foreign: BTreeSet<u64>,
    leaving: BTreeSet<u64>,
    pinned: BTreeSet<u64>,
    stable: BTreeSet<u64>,
    revisions: BTreeSet<u64>,
}

fn scene() -> impl Strategy<Value = Scene> {
    let some = || proptest::collection::btree_set(1_u64..40, 0..4);
    let stamps = proptest::collection::btree_map(1_u64..40, 0_i64..50, 0..40);
    (
        (1_u32..12, 1_u64..45, proptest::option::of(1_u64..45), stamps),
        (some(), some(), some(), some(), some(), some()),
    )
        .prop_map(
            |((keep, spec_of, told, stamps), (kept, foreign, leaving, pinned, stable, revisions))| Scene {
                keep,
                spec_of,
                told,
                stamps: stamps.into_iter().collect(),
                kept,
                foreign,
                leaving,
                pinned,
                stable,
                revisions,
            },
        )
}

impl Scene {
    fn model(&self) -> Model {
        let mut model = keeping(self.keep, self.spec_of);
        model.status = Some(ModelStatus { current_version: self.told, ..ModelStatus::default() });
        model
    }

    fn versions(&self) -> Vec<ModelVersion> {
        let version = |(number, stamp): &(u64, i64)| {
            let mut version = numbered(*number);
            let annotations = version.annotations_mut();
            annotations.insert("modelwright.dev/selected-generation".into(), stamp.to_string());
            if self.kept.contains(number) {
                annotations.insert(KEEP_ANNOTATION.into(), "true".into());
            }
            if self.foreign.contains(number) {
                version.metadata.owner_references.as_mut().unwrap()[0].uid = "another".into();
            }
            if self.leaving.contains(number) {
                let now = serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap();
                version.metadata.deletion_timestamp = Some(now);
            }
            version
        };
        self.stamps.iter().map(version).collect()
    }

    fn in_use(&self) -> InUse {
        let pinned = self
            .pinned
            .iter()
            .map(|number| deployment("p", json!({"model": MODEL, "version": number}), json!({})));
        let stable = self
            .stable
            .iter()
            .map(|number| deployment("s", json!({"model": MODEL}), json!({"stable": serving(*number)})));
        let deployments: Vec<_> = pinned.chain(stable).collect();
        let revisions: Vec<_> = self.revisions.iter().map(|number| serves(*number)).collect();
        InUse::read(MODEL, &deployments, &revisions)
    }

    /// Who must never be deleted, told without the code under test.
    fn untouchable(&self) -> BTreeSet<u64> {
        let ours = |number: &u64| !self.foreign.contains(number) && !self.leaving.contains(number);
        let current = self
            .stamps
            .iter()
            .filter(|(number, _)| ours(number))
            .max_by_key(|(number, stamp)| (*stamp, *number))
            .map(|(number, _)| *number);
        let sets = [&self.kept, &self.foreign, &self.leaving, &self.pinned, &self.stable, &self.revisions];
        let held = sets.into_iter().flatten().copied();
        held.chain(self.told).chain(current).chain([self.spec_of]).collect()
    }
}

proptest! {
    /// Whatever there is: what is kept, served or current is never deleted; the newest stay, so no number is freed; in the
    /// end at most `keep` and what is held remain; and then nothing is left to do.
    #[test]
    fn nothing_that_is_used_is_ever_removed(scene in scene()) {
        let (model, in_use, untouchable) = (scene.model(), scene.in_use(), scene.untouchable());
        let mut versions = scene.versions();
        let ours = |version: &&ModelVersion| {
            let number = version.spec.version;
            !scene.foreign.contains(&number) && !scene.leaving.contains(&number)
        };
        let mut newest: Vec<_> = versions.iter().filter(ours).map(|version| version.spec.version).collect();
        newest.sort_unstable_by(|one, other| other.cmp(one));
        newest.truncate(scene.keep as usize);
        loop {
            let removed = removed(&model, &versions, &in_use);
            prop_assert!(removed.len() <= REMOVED_AT_ONCE);
            for number in &removed {
                prop_assert!(!untouchable.contains(number), "{number} is held: {scene:?}");
                prop_assert!(!newest.contains(number), "{number} is among the newest: {scene:?}");
            }
            if removed.is_empty() {
                break;
            }
            versions.retain(|version| !removed.contains(&version.spec.version));
        }
        let left: BTreeSet<_> = versions.iter().map(|version| version.spec.version).collect();
        prop_assert!(newest.iter().all(|number| left.contains(number)));
        let surplus: Vec<_> =
            left.iter().filter(|number| !newest.contains(number) && !untouchable.contains(number)).collect();
        prop_assert!(surplus.is_empty(), "{surplus:?} should have gone");
    }
}
