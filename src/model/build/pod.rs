//! The pod of a run: where it runs, and under what. Its containers and volumes are beside this file. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile, Toleration,
        TopologySpreadConstraint,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use super::{
    containers::{init_containers, publish_container},
    volumes::volumes,
};
use crate::{
    api::{
        name::{MANAGED_BY, MANAGED_BY_LABEL, MODEL_LABEL, SPEC_HASH_LABEL, WORKLOAD_SERVICE_ACCOUNT},
        scheduling::{TaintEffect, TolerationOperator, WhenUnsatisfiable},
    },
    context::Settings,
    hash,
    model::validate::ValidModel,
};

/// User and group of every container.
const USER: i64 = 65532;

pub(super) fn pod_template(
    model: &ValidModel,
    settings: &Settings,
    workload_account: bool,
) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(pod_metadata(model)),
        spec: Some(pod_spec(model, settings, workload_account)),
    }
}

fn pod_metadata(model: &ValidModel) -> ObjectMeta {
    let mut labels: BTreeMap<String, String> =
        model.scheduling.pod_labels.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    labels.insert(MANAGED_BY_LABEL.into(), MANAGED_BY.into());
    labels.insert(MODEL_LABEL.into(), model.name.clone());
    labels.insert(SPEC_HASH_LABEL.into(), hash::short(&model.spec_hash, 16).into());
    let annotations: BTreeMap<String, String> =
        model.scheduling.pod_annotations.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    ObjectMeta {
        labels: Some(labels),
        annotations: Some(annotations).filter(|all| !all.is_empty()),
        ..ObjectMeta::default()
    }
}

fn pod_spec(model: &ValidModel, settings: &Settings, workload_account: bool) -> PodSpec {
    let scheduling = &model.scheduling;
    PodSpec {
        automount_service_account_token: Some(false),
        containers: vec![publish_container(model, settings)],
        enable_service_links: Some(false),
        image_pull_secrets: some_list(
            scheduling
                .image_pull_secrets
                .iter()
                .map(|name| LocalObjectReference { name: name.clone() })
                .collect(),
        ),
        init_containers: Some(init_containers(model, settings)),
        node_selector: Some(
            scheduling
                .node_selector
                .iter()
                .map(|(key, value)| (key.clone(), value.0.clone()))
                .collect::<BTreeMap<_, _>>(),
        )
        .filter(|all| !all.is_empty()),
        priority_class_name: scheduling.priority_class_name.clone(),
        restart_policy: Some("Never".into()),
        security_context: Some(PodSecurityContext {
            fs_group: Some(USER),
            run_as_group: Some(USER),
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        service_account_name: workload_account.then(|| WORKLOAD_SERVICE_ACCOUNT.into()),
        tolerations: some_list(tolerations(model)),
        topology_spread_constraints: some_list(topology_spread(model)),
        volumes: Some(volumes(model, settings)),
        ..PodSpec::default()
    }
}

fn tolerations(model: &ValidModel) -> Vec<Toleration> {
    let operator = |operator| match operator {
        TolerationOperator::Exists => "Exists".to_owned(),
        TolerationOperator::Equal => "Equal".to_owned(),
    };
    let effect = |effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule".to_owned(),
        TaintEffect::PreferNoSchedule => "PreferNoSchedule".to_owned(),
        TaintEffect::NoExecute => "NoExecute".to_owned(),
    };
    model
        .scheduling
        .tolerations
        .iter()
        .map(|toleration| Toleration {
            key: toleration.key.clone(),
            operator: toleration.operator.map(operator),
            value: toleration.value.clone(),
            effect: toleration.effect.map(effect),
            toleration_seconds: toleration.toleration_seconds,
        })
        .collect()
}

fn topology_spread(model: &ValidModel) -> Vec<TopologySpreadConstraint> {
    let selector = LabelSelector {
        match_labels: Some([(MODEL_LABEL.to_owned(), model.name.clone())].into()),
        ..LabelSelector::default()
    };
    model
        .scheduling
        .topology_spread
        .iter()
        .map(|spread| TopologySpreadConstraint {
            label_selector: Some(selector.clone()),
            max_skew: spread.max_skew,
            topology_key: spread.topology_key.clone(),
            when_unsatisfiable: match spread.when_unsatisfiable {
                Some(WhenUnsatisfiable::DoNotSchedule) => "DoNotSchedule".into(),
                Some(WhenUnsatisfiable::ScheduleAnyway) | None => "ScheduleAnyway".into(),
            },
            ..TopologySpreadConstraint::default()
        })
        .collect()
}

fn some_list<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}
