//! What every pod of ours has, whoever it belongs to: the Pod Security standard `restricted`, no token, and where it may
//! run. In go a user's scheduling and names; out come parts of pods. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, EmptyDirVolumeSource, EnvVar, LocalObjectReference, PersistentVolumeClaimVolumeSource,
        PodSecurityContext, PodSpec, SeccompProfile, SecretVolumeSource, SecurityContext, Toleration,
        TopologySpreadConstraint, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::LabelSelector},
};

use crate::api::{
    Scheduling,
    name::{self, WORKLOAD_SERVICE_ACCOUNT},
    scheduling::{TaintEffect, TolerationOperator, WhenUnsatisfiable},
};

/// User and group of every container.
const USER: i64 = 65532;
/// `r--r-----`: readable through the group.
const SECRET_MODE: i32 = 0o440;

/// What makes no sense of where pods may run, or belongs to others.
pub fn check_scheduling(scheduling: &Scheduling, problems: &mut Vec<String>) {
    let refused = |key: &str, prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    let owner = |key: &str| if key.starts_with("argocd") { "Argo CD" } else { "Modelwright" };
    for (field, keys, prefixes) in [
        ("podLabels", scheduling.pod_labels.keys().collect::<Vec<_>>(), name::REFUSED_LABEL_PREFIXES),
        ("podAnnotations", scheduling.pod_annotations.keys().collect(), name::REFUSED_ANNOTATION_PREFIXES),
    ] {
        for key in keys.into_iter().filter(|key| refused(key, prefixes)) {
            problems.push(format!(
                "spec.scheduling.{field} has the key `{key}`, which belongs to {}; remove it",
                owner(key)
            ));
        }
    }
    for (at, toleration) in scheduling.tolerations.iter().enumerate() {
        let field = format!("spec.scheduling.tolerations[{at}]");
        let exists = toleration.operator == Some(TolerationOperator::Exists);
        if exists && toleration.value.as_deref().is_some_and(|value| !value.is_empty()) {
            problems.push(format!("{field}.value does not apply to operator Exists; remove it or use Equal"));
        }
        if toleration.key.as_deref().unwrap_or_default().is_empty() && !exists {
            problems.push(format!(
                "{field}.key is missing; name the taint, or use operator Exists for every taint"
            ));
        }
        if toleration.toleration_seconds.is_some() && toleration.effect != Some(TaintEffect::NoExecute) {
            problems.push(format!(
                "{field}.tolerationSeconds needs effect NoExecute; set it or remove the seconds"
            ));
        }
    }
}

/// A pod without containers. It spreads among pods with the labels `siblings`; `workload_account` says whether the namespace
/// has the ServiceAccount of workloads.
pub fn confined_pod(
    scheduling: &Scheduling,
    siblings: BTreeMap<String, String>,
    workload_account: bool,
) -> PodSpec {
    let secret = |name: &String| LocalObjectReference { name: name.clone() };
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: some_list(scheduling.image_pull_secrets.iter().map(secret).collect()),
        node_selector: some_map(texts(&scheduling.node_selector)),
        priority_class_name: scheduling.priority_class_name.clone(),
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
        tolerations: some_list(tolerations(scheduling)),
        topology_spread_constraints: some_list(topology_spread(scheduling, siblings)),
        ..PodSpec::default()
    }
}

/// What every container may not do.
pub fn confined_container() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// A variable of a container with exactly this value: the kubelet would read `$(NAME)` as another variable, and `$$` as `$`.
pub fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.into(), value: Some(value.replace('$', "$$")), value_from: None }
}

/// Where a volume appears in a container.
pub fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// A bounded volume that goes with the pod.
pub fn empty_volume(name: &str, size: String) -> Volume {
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity(size)) }),
        ..Volume::default()
    }
}

/// A Secret's keys as files.
pub fn secret_volume(name: &str, secret: &str, optional: bool) -> Volume {
    Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.into()),
            default_mode: Some(SECRET_MODE),
            optional: Some(optional),
            items: None,
        }),
        ..Volume::default()
    }
}

/// A PersistentVolumeClaim of the namespace.
pub fn claim_volume(name: &str, claim: &str, read_only: bool) -> Volume {
    Volume {
        name: name.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.into(),
            read_only: read_only.then_some(true),
        }),
        ..Volume::default()
    }
}

/// Labels or annotations as Kubernetes' types have them.
pub fn texts(values: &BTreeMap<String, impl AsRef<str>>) -> BTreeMap<String, String> {
    values.iter().map(|(key, value)| (key.clone(), value.as_ref().to_owned())).collect()
}

/// No list rather than an empty one.
pub fn some_list<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}

/// No map rather than an empty one.
pub fn some_map(items: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    Some(items).filter(|items| !items.is_empty())
}

fn tolerations(scheduling: &Scheduling) -> Vec<Toleration> {
    let operator = |operator| match operator {
        TolerationOperator::Exists => "Exists".to_owned(),
        TolerationOperator::Equal => "Equal".to_owned(),
    };
    let effect = |effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule".to_owned(),
        TaintEffect::PreferNoSchedule => "PreferNoSchedule".to_owned(),
        TaintEffect::NoExecute => "NoExecute".to_owned(),
    };
    scheduling
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

fn topology_spread(
    scheduling: &Scheduling,
    siblings: BTreeMap<String, String>,
) -> Vec<TopologySpreadConstraint> {
    let selector = LabelSelector { match_labels: Some(siblings), ..LabelSelector::default() };
    scheduling
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
