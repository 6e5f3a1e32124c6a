//! What is around the pods: the Service; the PodDisruptionBudget of several pods; the traffic ConfigMap, once one leaves.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Service, ServicePort, ServiceSpec},
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use modelwright_contract::{names, traffic::Traffic};

use super::Owner;
use crate::api::name::{
    DEPLOYMENT_LABEL, DEPLOYMENT_UID_LABEL, TRAFFIC_LABEL, TRAFFIC_SERVE, owned_metadata, traffic,
};

/// The Service that clients use: it selects the pods that carry the traffic label. `uid` is the one that they carry.
pub fn build_service(owner: &Owner<'_>, uid: Option<&str>) -> Service {
    let mut selector = pod_labels(owner, uid);
    selector.insert(TRAFFIC_LABEL.to_owned(), TRAFFIC_SERVE.to_owned());
    Service {
        metadata: metadata(owner, owner.name.to_owned()),
        spec: Some(ServiceSpec {
            ports: Some(vec![
                service_port("http", "http", names::HTTP_PORT),
                // what gateways need to know to speak HTTP/2 without TLS to a pod
                service_port("grpc", "kubernetes.io/h2c", names::GRPC_PORT),
            ]),
            selector: Some(selector),
            type_: Some("ClusterIP".into()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn service_port(name: &str, protocol: &str, port: u16) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        app_protocol: Some(protocol.into()),
        port: port.into(),
        protocol: Some("TCP".into()),
        target_port: Some(IntOrString::String(name.into())),
        ..ServicePort::default()
    }
}

/// One budget over the pods of all revisions; a pod that is not ready can always be evicted. Of a single pod, it would
/// forbid nothing.
pub fn build_disruption_budget(owner: &Owner<'_>, uid: Option<&str>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(owner, owner.name.to_owned()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(pod_labels(owner, uid)),
                ..LabelSelector::default()
            }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// The ConfigMap through which pods are told to leave. Where there is none, nobody leaves.
pub fn build_traffic(owner: &Owner<'_>, draining: &BTreeSet<String>) -> ConfigMap {
    ConfigMap {
        metadata: metadata(owner, traffic(owner.name)),
        data: Some([(names::TRAFFIC_KEY.to_owned(), traffic_text(draining))].into()),
        ..ConfigMap::default()
    }
}

/// The content of the traffic ConfigMap's key.
pub fn traffic_text(draining: &BTreeSet<String>) -> String {
    super::pod::json(&Traffic { drain: draining.clone() })
}

/// What all pods of a ModelDeployment carry.
fn pod_labels(owner: &Owner<'_>, uid: Option<&str>) -> BTreeMap<String, String> {
    let uid = uid.map(|uid| (DEPLOYMENT_UID_LABEL.to_owned(), uid.to_owned()));
    [(DEPLOYMENT_LABEL.to_owned(), owner.name.to_owned())].into_iter().chain(uid).collect()
}

fn metadata(owner: &Owner<'_>, name: String) -> kube::api::ObjectMeta {
    owned_metadata(
        name,
        owner.namespace,
        Some(owner.reference.clone()),
        [(DEPLOYMENT_LABEL, owner.name.to_owned())],
    )
}
