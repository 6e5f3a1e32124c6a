//! A test's own namespace, and the resources that it makes there.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace, Secret},
};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use modelwright::api::{model::Model, model_deployment::ModelDeployment, model_version::ModelVersion};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{World, fixtures, wait};

/// A test's own namespace.
#[derive(Clone)]
pub struct Space {
    /// Its name.
    pub name: String,
    /// What all tests share.
    pub world: &'static World,
}

impl Space {
    /// Makes a namespace for the test of this name.
    pub async fn create(world: &'static World, test: &str) -> Result<Self, String> {
        let short: String = test
            .chars()
            .filter(|c| *c != ' ')
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let short = short.replace("--", "-");
        let name = format!("e2e-{}-{}", world.run, short.get(..45).unwrap_or(&short).trim_end_matches('-'));
        Self::named(world, name).await
    }

    async fn named(world: &'static World, name: String) -> Result<Self, String> {
        fixtures::create::<Namespace>(
            &Api::all(world.client.clone()),
            fixtures::restricted_namespace(&name, &world.run),
        )
        .await
        .map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { name, world })
    }

    /// A further namespace of the same test; the test deletes it.
    pub async fn another(&self, purpose: &str) -> Self {
        let short = self.name.get(..self.name.len().min(63 - 1 - purpose.len())).unwrap_or(&self.name);
        let name = format!("{}-{purpose}", short.trim_end_matches('-'));
        Self::named(self.world, name).await.expect("a further namespace can be made")
    }

    /// Begins to delete the namespace; the run's end waits for it.
    pub async fn delete(&self) -> Result<(), String> {
        let namespaces: Api<Namespace> = Api::all(self.world.client.clone());
        namespaces.delete(&self.name, &DeleteParams::default()).await.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.world.client.clone(), &self.name)
    }

    /// Every object of a kind in the namespace.
    pub async fn list<K>(&self) -> Vec<K>
    where
        K: Clone + Debug + DeserializeOwned + Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        self.api::<K>().list(&ListParams::default()).await.expect("objects can be listed").items
    }

    /// Creates an object from JSON.
    pub async fn create_object<K>(&self, object: Value) -> K
    where
        K: Clone
            + Debug
            + Serialize
            + DeserializeOwned
            + Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        fixtures::create(&self.api::<K>(), object).await.expect("the object can be created")
    }

    /// Creates a Secret from texts.
    pub async fn secret(&self, name: &str, keys: &[(&str, &str)]) {
        let data: serde_json::Map<String, Value> =
            keys.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        self.create_object::<Secret>(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data,
        }))
        .await;
    }

    /// Changes an object by a merge patch, as `kubectl patch --type merge` does.
    pub async fn patch<K>(&self, name: &str, change: Value) -> K
    where
        K: Clone + Debug + DeserializeOwned + Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        self.api::<K>()
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await
            .expect("the object can be changed")
    }

    /// Waits until an object `holds`.
    pub async fn until<K>(&self, name: &str, what: &str, seconds: u64, holds: impl Fn(&K) -> bool + Send) -> K
    where
        K: Clone
            + Debug
            + Send
            + Serialize
            + DeserializeOwned
            + Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + 'static,
    {
        wait::until(&self.api::<K>(), name, what, Duration::from_secs(seconds), holds).await
    }

    /// The Model.
    pub async fn model(&self, name: &str) -> Model {
        self.api().get(name).await.expect("the Model is there")
    }

    /// The ModelVersion.
    pub async fn version(&self, name: &str) -> ModelVersion {
        self.api().get(name).await.expect("the ModelVersion is there")
    }

    /// The ModelDeployment.
    pub async fn deployment(&self, name: &str) -> ModelDeployment {
        self.api().get(name).await.expect("the ModelDeployment is there")
    }
}
