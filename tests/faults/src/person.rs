//! What a person does: writes specs, asks for actions, deletes, restores from a backup.

use serde_json::{Value, json};

use crate::{
    json::{is_true, recorded, text},
    kinds::Kind,
    patch,
    store::{Author, Key, Part, Store},
    world::{NAMESPACE, World},
};

pub const BY: &Author = &Author::Person;

/// An object in the namespace.
pub fn key(kind: Kind, name: &str) -> Key {
    Key::new(kind, NAMESPACE, name)
}

impl World {
    /// `kubectl create`.
    pub fn create(&self, kind: Kind, name: &str, spec: Value) {
        let made =
            self.store.lock().create(kind, NAMESPACE, json!({"metadata": {"name": name}, "spec": spec}), BY);
        assert!(made.is_ok(), "{made:?}");
    }

    /// `kubectl patch --type merge`.
    pub fn edit(&self, kind: Kind, name: &str, spec: Value) {
        self.merge(kind, name, Part::Main, json!({"spec": spec}));
    }

    /// An imported Model.
    pub fn import(&self, name: &str, uri: &str) {
        self.create(Kind::Model, name, json!({"source": {"uri": uri}}));
    }

    /// The same Model with other content.
    pub fn import_again(&self, name: &str, uri: &str) {
        self.edit(Kind::Model, name, json!({"source": {"uri": uri}}));
    }

    /// An action, as the plugin asks for it.
    pub fn ask(&self, name: &str, action: &str, revision: &str) {
        let request = json!({"id": format!("{action}-{revision}"), "action": action, "revision": revision});
        self.merge(Kind::ModelDeployment, name, Part::Status, json!({"status": {"request": request}}));
    }

    /// Deletes something.
    pub fn delete(&self, kind: Kind, name: &str) {
        let deleted = self.store.lock().delete(&key(kind, name), &Value::Null, BY);
        assert!(deleted.is_ok(), "{deleted:?}");
    }

    pub(crate) fn merge(&self, kind: Kind, name: &str, part: Part, patch: Value) {
        let merged = self.store.lock().update(&key(kind, name), part, BY, |mut live| {
            patch::merge(&mut live, &patch);
            Ok(live)
        });
        assert!(merged.is_ok(), "{merged:?}");
    }

    /// The revision that a ModelDeployment goes for.
    pub fn target(&self, name: &str) -> String {
        let store = self.store.lock();
        let deployment = store.get(&key(Kind::ModelDeployment, name));
        deployment.map(|found| text(found, "/status/target/revision").to_owned()).unwrap_or_default()
    }

    /// Waits until the version of a Model is this one.
    pub async fn until_version(&self, model: &str, version: u64) {
        self.until(&format!("version {version} of {model}"), |store| {
            store
                .get(&key(Kind::Model, model))
                .is_some_and(|found| found["status"]["currentVersion"] == version)
        })
        .await;
    }

    /// Waits until a ModelDeployment serves this version with all its pods, and nothing else.
    pub async fn until_promoted(&self, name: &str, version: u64) {
        self.until(&format!("version {version} promoted by {name}"), |store| {
            is_promoted(store, name, version)
        })
        .await;
    }

    /// Waits until a ModelDeployment is in a phase.
    pub async fn until_phase(&self, name: &str, phase: &str) {
        self.until(&format!("{name} {phase}"), |store| {
            store.get(&key(Kind::ModelDeployment, name)).is_some_and(|found| {
                text(found, "/status/phase") == phase
                    && found["status"]["observedGeneration"] == found["metadata"]["generation"]
            })
        })
        .await;
    }

    /// Waits until a pod of the target of a ModelDeployment is ready, while its rollout is under way.
    pub async fn until_half_way(&self, name: &str) {
        self.until(&format!("{name} half-way"), |store| {
            let Some(found) = store.get(&key(Kind::ModelDeployment, name)) else { return false };
            let target = text(found, "/status/target/revision");
            target != text(found, "/status/stable/revision")
                && store.all(Kind::Pod).any(|pod| {
                    crate::json::label(pod, "modelwright.dev/revision") == target && is_true(pod, "Ready")
                })
        })
        .await;
    }
}

/// Whether a ModelDeployment serves this version with all its pods.
pub fn is_promoted(store: &Store, name: &str, version: u64) -> bool {
    store.get(&key(Kind::ModelDeployment, name)).is_some_and(|found| {
        is_true(found, "Promoted")
            && found["status"]["stable"]["version"] == version
            && found["status"]["observedGeneration"] == found["metadata"]["generation"]
    })
}

/// Whether a revision is refused.
pub fn is_quarantined(store: &Store, revision: &str) -> bool {
    let suffix = format!("-{revision}");
    store
        .entries(Kind::ControllerRevision)
        .any(|(key, found)| key.name.ends_with(&suffix) && !recorded(found)["quarantine"].is_null())
}
