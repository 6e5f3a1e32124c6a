//! The Job of a run: `fetch` (init container), then `publish`, over one bounded volume. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{
            Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
            PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
        },
        core::v1::{
            Capabilities, Container, EmptyDirVolumeSource, EnvVar, LocalObjectReference,
            PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec,
            ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Toleration,
            TopologySpreadConstraint, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};
use modelwright_contract::{
    fetch::{FetchConfig, FetchKind},
    names,
    publish::{PublishConfig, Store},
};

use crate::{
    api::{
        name::{
            GENERATION_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL, MODEL_LABEL, SCHEDULING_HASH_ANNOTATION,
            SPEC_HASH_ANNOTATION, SPEC_HASH_LABEL, STORE_SECRET, WORKLOAD_SERVICE_ACCOUNT, run_job,
        },
        scheduling::{TaintEffect, TolerationOperator, WhenUnsatisfiable},
    },
    context::Settings,
    hash,
    model::{
        job::{FETCH, PUBLISH},
        validate::{Place, ValidModel},
    },
    objects::owned_metadata,
};

/// Largest model that is imported.
const MAX_MODEL_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// Room for the model and for what publishing makes of it.
const WORK_SIZE: &str = "21Gi";
const TEMPORARY_SIZE: &str = "1Gi";
/// Pods that may fail before the run does.
const BACKOFF_LIMIT: i32 = 3;
/// Longest that a run may take, waiting included.
const DEADLINE_SECONDS: i64 = 3600;
/// For how long a store that does not answer is retried inside one pod.
const STORE_RETRY_SECONDS: u32 = 15 * 60;
const GOLDEN_SAMPLES: u32 = 8;
const GOLDEN_SEED: u64 = 7;
/// User and group of every container.
const USER: i64 = 65532;
/// `r--r-----`: readable through the group.
const SECRET_MODE: i32 = 0o440;

/// The Job that makes a version for the Model's present spec.
pub fn build_job(model: &ValidModel, settings: &Settings, workload_account: bool) -> Job {
    let short_hash = hash::short(&model.spec_hash, 16).to_owned();
    let mut metadata = owned_metadata(
        run_job(&model.name, &model.spec_hash),
        &model.namespace,
        Some(model.owner.clone()),
        [(MODEL_LABEL, model.name.clone()), (SPEC_HASH_LABEL, short_hash)],
    );
    metadata.annotations = Some(
        [
            (SPEC_HASH_ANNOTATION.to_owned(), model.spec_hash.clone()),
            (GENERATION_ANNOTATION.to_owned(), model.generation.to_string()),
            (SCHEDULING_HASH_ANNOTATION.to_owned(), model.scheduling_hash.clone()),
        ]
        .into(),
    );
    Job {
        metadata,
        spec: Some(JobSpec {
            active_deadline_seconds: Some(DEADLINE_SECONDS),
            backoff_limit: Some(BACKOFF_LIMIT),
            completions: Some(1),
            parallelism: Some(1),
            pod_failure_policy: Some(failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(pod_metadata(model)),
                spec: Some(pod_spec(model, settings, workload_account)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// Bad input fails the run at once; disruptions do not count.
fn failure_policy() -> PodFailurePolicy {
    let rule =
        |action: &str| PodFailurePolicyRule { action: action.into(), ..PodFailurePolicyRule::default() };
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: None,
                    operator: "In".into(),
                    values: vec![names::EXIT_BAD_INPUT],
                }),
                ..rule("FailJob")
            },
            PodFailurePolicyRule {
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".into(),
                    status: "True".into(),
                }]),
                ..rule("Ignore")
            },
        ],
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
        init_containers: Some(vec![fetch_container(model, settings)]),
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
        volumes: Some(volumes(model)),
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

fn fetch_container(model: &ValidModel, settings: &Settings) -> Container {
    let from_store = is_in_store(model, settings);
    let credentials = match (&model.source.credentials_secret, from_store) {
        (Some(_), _) => Some(names::CREDENTIALS_DIRECTORY),
        (None, true) => Some(names::STORE_CREDENTIALS_DIRECTORY),
        (None, false) => None,
    };
    let config = FetchConfig {
        kind: FetchKind::Source,
        uri: model.source.uri.clone(),
        sha256: model.source.sha256.clone(),
        destination: names::SOURCE_DIRECTORY.into(),
        credentials_directory: credentials.map(Into::into),
        max_bytes: MAX_MODEL_BYTES,
        // the store is the administrator's own, whatever range it is in
        allow_private_networks: from_store || settings.allow_private_networks,
        plain_http: from_store && settings.store_plain_http,
        run: None,
    };
    let mut mounts = vec![mount("work", names::WORK_DIRECTORY, false), mount("temporary", "/tmp", false)];
    if model.source.credentials_secret.is_some() {
        mounts.push(mount("credentials", names::CREDENTIALS_DIRECTORY, true));
    } else if from_store {
        mounts.push(mount("store-credentials", names::STORE_CREDENTIALS_DIRECTORY, true));
    }
    if matches!(model.source.place, Place::Claim(_)) {
        mounts.push(mount("claim", names::CLAIM_DIRECTORY, true));
    }
    Container {
        volume_mounts: Some(mounts),
        ..container(FETCH, names::FETCH_ENV, &config, settings, ["1", "512Mi"])
    }
}

fn publish_container(model: &ValidModel, settings: &Settings) -> Container {
    let config = PublishConfig {
        namespace: model.namespace.clone(),
        model: model.name.clone(),
        directory: names::SOURCE_DIRECTORY.into(),
        store: Store {
            uri: settings.store_uri.clone(),
            plain_http: settings.store_plain_http,
            credentials_directory: Some(names::STORE_CREDENTIALS_DIRECTORY.into()),
        },
        golden_samples: GOLDEN_SAMPLES,
        golden_seed: GOLDEN_SEED,
        store_retry_seconds: STORE_RETRY_SECONDS,
        judgement: None,
    };
    Container {
        volume_mounts: Some(vec![
            mount("work", names::WORK_DIRECTORY, false),
            mount("temporary", "/tmp", false),
            mount("store-credentials", names::STORE_CREDENTIALS_DIRECTORY, true),
        ]),
        ..container(PUBLISH, names::PUBLISH_ENV, &config, settings, ["2", "4Gi"])
    }
}

/// Whether the source is on the artifact store's own host: another Model's artifact, say.
fn is_in_store(model: &ValidModel, settings: &Settings) -> bool {
    let store = settings.store_uri.strip_prefix("oci://").and_then(|rest| rest.split('/').next());
    model.source.uri.starts_with("oci://")
        && matches!((&model.source.place, store), (Place::Remote(host), Some(store)) if host == store)
}

fn container(
    name: &str,
    environment: &str,
    config: &impl serde::Serialize,
    settings: &Settings,
    [cpu, memory]: [&str; 2],
) -> Container {
    let quantities = |cpu: &str, memory: &str| {
        Some(
            [("cpu".to_owned(), Quantity(cpu.into())), ("memory".to_owned(), Quantity(memory.into()))].into(),
        )
    };
    Container {
        name: name.into(),
        image: Some(settings.runtime_image.clone()),
        args: Some(vec![name.into()]),
        env: Some(vec![EnvVar {
            name: environment.into(),
            value: Some(serde_json::to_string(config).expect("the contract's types are JSON")),
            value_from: None,
        }]),
        resources: Some(ResourceRequirements {
            limits: quantities(cpu, memory),
            requests: quantities("100m", "128Mi"),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

fn volumes(model: &ValidModel) -> Vec<Volume> {
    let empty = |name: &str, size: &str| Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity(size.into())) }),
        ..Volume::default()
    };
    let secret = |name: &str, secret: &str, optional: bool| Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.into()),
            default_mode: Some(SECRET_MODE),
            optional: Some(optional),
            items: None,
        }),
        ..Volume::default()
    };
    let mut volumes = vec![
        empty("work", WORK_SIZE),
        empty("temporary", TEMPORARY_SIZE),
        secret("store-credentials", STORE_SECRET, true),
    ];
    if let Some(name) = &model.source.credentials_secret {
        volumes.push(secret("credentials", name, false));
    }
    if let Place::Claim(claim) = &model.source.place {
        volumes.push(Volume {
            name: "claim".into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.clone(),
                read_only: Some(true),
            }),
            ..Volume::default()
        });
    }
    volumes
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn some_list<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}
