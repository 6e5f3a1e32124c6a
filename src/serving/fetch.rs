//! Fetch: what exists around a ModelDeployment. In go the caches, or, before anything is written, the API server itself;
//! out comes [`Children`]. Needs a client.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{ControllerRevision, ReplicaSet},
        core::v1::{ConfigMap, Pod},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Resource, ResourceExt as _, api::ListParams};
use modelwright_contract::{
    names::{HTTP_PORT, TRAFFIC_KEY},
    serving::ServingLimits,
    traffic::Traffic,
};
use serde::de::DeserializeOwned;

use super::{
    pods::{Answer, observe_pod, observe_scale, refusal},
    record::Record,
    revision::{self, RevisionData},
    rollout::{Observed, Revision, SET_ASIDE},
    template,
    unreadable::records as unreadable_records,
};
use crate::{
    api::{
        ModelDeployment,
        name::{
            DEPLOYMENT_LABEL, DEPLOYMENT_UID_LABEL, MANAGED_BY, MANAGED_BY_LABEL, REVISION_LABEL,
            SET_ASIDE_ANNOTATION, traffic,
        },
    },
    caches::kinds::Key,
    context::Context,
};

/// Label of an EndpointSlice: the Service that it is of.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// What exists of one ModelDeployment.
#[derive(Clone, Debug, Default)]
pub struct Children {
    /// The UID of the ModelDeployment.
    pub uid: String,
    /// Its revisions.
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// Their ReplicaSets.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// Their pods.
    pub pods: Vec<Arc<Pod>>,
    /// The list of draining pods.
    pub traffic: Option<Arc<ConfigMap>>,
    /// UIDs of the pods that are behind the Service. Always from the cache: nobody is told to leave because of it.
    pub routed: BTreeSet<String>,
}

/// What the caches hold.
pub fn fetch_cached(context: &Context, name: &str, namespace: &str) -> Children {
    let caches = &context.caches;
    let ours = Key::Deployment(name.to_owned());
    Children {
        uid: String::new(),
        revisions: caches.revisions.of(namespace, &ours),
        replica_sets: caches.replica_sets.of(namespace, &ours),
        pods: caches.pods.of(namespace, &ours),
        traffic: caches.config_maps.get(namespace, &traffic(name)),
        routed: routed(context, name, namespace),
    }
}

/// UIDs of the pods that the EndpointSlices of the Service name as ready, on the port that clients use.
pub(super) fn routed(context: &Context, name: &str, namespace: &str) -> BTreeSet<String> {
    let slices = context.caches.endpoint_slices.of(namespace, &Key::Deployment(name.to_owned()));
    let is_ours = |slice: &Arc<EndpointSlice>| {
        slice.labels().get(SERVICE_NAME_LABEL).is_some_and(|service| service == name)
            && slice.ports.iter().flatten().any(|port| port.port == Some(HTTP_PORT.into()))
    };
    let ready =
        slices.iter().filter(|slice| is_ours(slice)).flat_map(|slice| &slice.endpoints).filter(|endpoint| {
            // not said means ready
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
        });
    ready.filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.clone()).collect()
}

/// What the API server holds now.
pub async fn fetch_live(context: &Context, name: &str, namespace: &str) -> Result<Children, kube::Error> {
    let traffic_name = traffic(name);
    let (mut revisions, mut replica_sets, pods, traffic) = futures::try_join!(
        list(context, name, namespace),
        list(context, name, namespace),
        list(context, name, namespace),
        context.get::<ConfigMap>(namespace, &traffic_name),
    )?;
    // the cache tells which, and holds
    if let Some(told) = unreadable_records(&revisions, name).into_iter().next() {
        tracing::debug!(told, "a record cannot be read");
        return Err(kube::Error::Service("a record of a revision cannot be read".into()));
    }
    // what lost the label that was asked for is known by its owner
    let listed: BTreeSet<_> = replica_sets.iter().map(|set: &Arc<ReplicaSet>| set.name_any()).collect();
    let ours = Key::Deployment(name.to_owned());
    for name in context.caches.replica_sets.names(namespace, &ours) {
        if !listed.contains(name.as_ref()) {
            replica_sets.extend(context.get(namespace, &name).await?.map(Arc::new));
        }
    }
    // what lost the label that everything of ours carries is in no list and no cache: its pods name their ReplicaSet, and the
    // ReplicaSet has the name of its revision
    let unknown: BTreeSet<_> =
        pods.iter().filter_map(|pod: &Arc<Pod>| unknown_set(pod, &replica_sets, name)).collect();
    for name in unknown {
        replica_sets.extend(context.get(namespace, &name).await?.map(Arc::new));
    }
    let known: BTreeSet<_> =
        revisions.iter().map(|revision: &Arc<ControllerRevision>| revision.name_any()).collect();
    let kept = replica_sets.iter().filter(|set| set.metadata.deletion_timestamp.is_none());
    for name in kept.map(|set| set.name_any()).filter(|name| !known.contains(name)) {
        revisions.extend(context.get(namespace, &name).await?.map(Arc::new));
    }
    let (traffic, routed) = (traffic.map(Arc::new), routed(context, name, namespace));
    Ok(Children { uid: String::new(), revisions, replica_sets, pods, traffic, routed })
}

/// The name of the ReplicaSet that controls a pod, where it is none of these and has a name as ours have.
fn unknown_set(pod: &Pod, sets: &[Arc<ReplicaSet>], deployment: &str) -> Option<String> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true) && owner.kind == ReplicaSet::kind(&()))?;
    let is_known = sets.iter().any(|set| set.uid().as_ref() == Some(&owner.uid));
    let is_named_so = owner.name.rsplit_once('-').is_some_and(|(name, _)| name == deployment);
    (!is_known && is_named_so).then(|| owner.name.clone())
}

/// All that there is.
async fn list<K>(context: &Context, name: &str, namespace: &str) -> Result<Vec<Arc<K>>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
{
    let parameters =
        ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY},{DEPLOYMENT_LABEL}={name}"));
    context.list::<K>(namespace, &parameters).await?.all()
}

impl Children {
    /// Without what another object controls: one of the same name that was deleted, say, whose remains are on their way
    /// out.
    #[must_use]
    pub fn owned_by(mut self, uid: Option<&str>) -> Self {
        let ours = |owners: &Option<Vec<OwnerReference>>| {
            let mut controllers = owners.iter().flatten().filter(|owner| owner.controller == Some(true));
            controllers.all(|owner| Some(owner.uid.as_str()) == uid)
        };
        self.revisions.retain(|object| ours(&object.metadata.owner_references));
        self.replica_sets.retain(|object| ours(&object.metadata.owner_references));
        self.traffic = self.traffic.filter(|object| ours(&object.metadata.owner_references));
        uid.unwrap_or_default().clone_into(&mut self.uid);
        let pods = std::mem::take(&mut self.pods);
        self.pods = pods.into_iter().filter(|pod| self.place(pod).is_some()).collect();
        self
    }

    /// Where a pod belongs, by the UID of what controls it: labels say little, since anybody can write them. One that
    /// nobody controls is about to be taken over again.
    pub fn place(&self, pod: &Pod) -> Option<Place> {
        let owners = pod.metadata.owner_references.iter().flatten();
        let controller = owners.into_iter().find(|owner| owner.controller == Some(true));
        let aside = pod.annotations().get(SET_ASIDE_ANNOTATION).cloned().map(Place::Aside);
        let Some(controller) = controller else { return self.place_of_uncontrolled(pod, aside) };
        if controller.uid == self.uid {
            // nobody else deletes it, whatever became of the annotation
            return Some(aside.unwrap_or_else(|| Place::Aside(short(pod).unwrap_or_default())));
        }
        let set = self.replica_sets.iter().find(|set| set.uid().as_ref() == Some(&controller.uid))?;
        let name = short_of(set.as_ref())?;
        Some(if template::is_stray(pod, set) { Place::Aside(name) } else { Place::Revision(name) })
    }

    /// Where a pod belongs that nobody controls: to the revision whose ReplicaSet takes it over, since it selects the UID
    /// that the pod carries, or to none. One that carries a UID which nothing knows is ours where it has the name of one of
    /// our revisions: the ReplicaSet that made it is gone, and it stayed.
    fn place_of_uncontrolled(&self, pod: &Pod, aside: Option<Place>) -> Option<Place> {
        let uid = pod.labels().get(DEPLOYMENT_UID_LABEL)?;
        let name = short(pod);
        let selects = |set: &ReplicaSet| template::selected_uid(set) == uid;
        let is_named_so = || {
            let revision = name.as_deref().and_then(|name| self.revision(name));
            revision.is_some_and(|revision| pod.name_any().starts_with(&format!("{}-", revision.name_any())))
        };
        if *uid != self.uid && !self.replica_sets.iter().any(|set| selects(set)) && !is_named_so() {
            return None;
        }
        let is_taken_over = |name: &str| self.replica_set(name).map_or(*uid == self.uid, |set| selects(set));
        aside.or_else(|| {
            name.map(|name| if is_taken_over(&name) { Place::Revision(name) } else { Place::Aside(name) })
        })
    }

    /// The pods that their ReplicaSet made of a template which somebody had changed, and that it still counts, or that no
    /// ReplicaSet will count, with the names of their revisions.
    pub fn strays(&self) -> impl Iterator<Item = (&Pod, String)> {
        self.pods.iter().filter_map(|pod| match self.place(pod)? {
            Place::Aside(from)
                if pod.metadata.deletion_timestamp.is_none() && short(pod.as_ref()).is_some() =>
            {
                Some((pod.as_ref(), from))
            }
            _ => None,
        })
    }

    /// The pods of a ReplicaSet.
    pub fn pods_of(&self, set: &ReplicaSet) -> impl Iterator<Item = &Pod> {
        let uid = set.uid();
        let controlled = move |pod: &&Arc<Pod>| {
            let mut owners = pod.metadata.owner_references.iter().flatten();
            owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == uid.as_ref())
        };
        self.pods.iter().filter(controlled).map(AsRef::as_ref)
    }

    /// The UID that the selector of the Service needs: the one that all pods carry, which is an earlier one where they
    /// were taken over; none while they carry several, since a selector takes one alone, or where one carries none.
    pub fn pods_uid(&self) -> Option<String> {
        let mut uids = self.pods.iter().map(|pod| pod.labels().get(DEPLOYMENT_UID_LABEL));
        let Some(first) = uids.next() else { return Some(self.uid.clone()) };
        uids.all(|uid| uid == first).then(|| first.cloned())?
    }

    /// What the revisions serve.
    pub fn data(&self) -> BTreeMap<String, RevisionData> {
        self.revisions
            .iter()
            .filter_map(|object| Some((short_of(object.as_ref())?, revision::read(object)?)))
            .collect()
    }

    /// What there is, as the state machine sees it.
    pub fn observe(
        &self,
        deployment: &ModelDeployment,
        data: &BTreeMap<String, RevisionData>,
        answers: &BTreeMap<String, Answer>,
    ) -> Observed {
        let mut revisions: BTreeMap<String, Revision> = BTreeMap::new();
        for object in &self.revisions {
            if let Some(name) = short_of(object.as_ref()) {
                revisions.entry(name).or_default().record = Record::read(object.annotations());
            }
        }
        for object in &self.replica_sets {
            if let Some(name) = short_of(object.as_ref()) {
                let revision = revisions.entry(name).or_default();
                revision.scale = Some(observe_scale(object));
                revision.problem = refusal(object);
            }
        }
        // what was made by another operator than this one, and is not in any revision, drains as long as by default
        let drain_timeout = |name: &str| {
            let known = data.get(name).map(|data| data.drain_timeout_milliseconds);
            Duration::from_millis(known.unwrap_or(ServingLimits::default().drain_timeout_milliseconds))
        };
        for (name, revision) in &mut revisions {
            revision.drain_timeout = drain_timeout(name);
        }
        for pod in &self.pods {
            let observed = |name| {
                let routed = pod.uid().is_some_and(|uid| self.routed.contains(&uid));
                observe_pod(pod, data.get(name), answers.get(&pod.name_any()), routed)
            };
            match self.place(pod) {
                Some(Place::Revision(name)) if !has_ended(pod) => {
                    let revision = revisions.entry(name.clone()).or_default();
                    revision.drain_timeout = drain_timeout(&name);
                    revision.pods.push(observed(&name));
                }
                Some(Place::Aside(from)) => {
                    let aside = revisions.entry(SET_ASIDE.to_owned()).or_default();
                    aside.is_aside = true;
                    aside.drain_timeout = aside.drain_timeout.max(drain_timeout(&from));
                    aside.pods.push(observed(&from));
                }
                Some(Place::Revision(_)) | None => {}
            }
        }
        Observed {
            revisions,
            draining: self.draining().drain,
            request: deployment.status.as_ref().and_then(|status| status.request.clone()),
            unreached: false,
        }
    }

    /// The list of draining pods; what cannot be read is an empty one.
    fn draining(&self) -> Traffic {
        self.traffic
            .as_ref()
            .and_then(|map| serde_json::from_str(map.data.as_ref()?.get(TRAFFIC_KEY)?).ok())
            .unwrap_or_default()
    }

    /// The ControllerRevision of this short name.
    pub fn revision(&self, name: &str) -> Option<&Arc<ControllerRevision>> {
        self.revisions.iter().find(|object| short_of(object.as_ref()).as_deref() == Some(name))
    }

    /// Nodes that pods run on, by the pods' names.
    pub fn nodes(&self) -> BTreeMap<String, String> {
        let node = |pod: &Pod| Some((pod.name_any(), pod.spec.as_ref()?.node_name.clone()?));
        self.pods.iter().filter_map(|pod| node(pod)).collect()
    }

    /// The pod of this name.
    pub fn pod(&self, name: &str) -> Option<&Arc<Pod>> {
        self.pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(name))
    }

    /// The ReplicaSet of this revision.
    pub fn replica_set(&self, name: &str) -> Option<&Arc<ReplicaSet>> {
        self.replica_sets.iter().find(|object| short_of(object.as_ref()).as_deref() == Some(name))
    }
}

/// Where a pod belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// To this revision.
    Revision(String),
    /// To none: it was born of a template that somebody had changed, in the ReplicaSet of this revision.
    Aside(String),
}

/// The revision that a pod says it belongs to.
fn short<K: Resource>(object: &K) -> Option<String> {
    object.labels().get(REVISION_LABEL).cloned()
}

/// The revision of a ControllerRevision or ReplicaSet, by its name, which nobody can change.
pub fn short_of<K: Resource>(object: &K) -> Option<String> {
    Some(object.name_any().rsplit_once('-')?.1.to_owned())
}

/// An evicted pod stays as an object for a while; the ReplicaSet does not count it, and neither does a rollout.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}
