//! A serving pod: `fetch` (init container), then `serve`, over one bounded volume. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
        ObjectFieldSelector, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, Volume,
    },
    apimachinery::pkg::{
        api::resource::Quantity as Amount, apis::meta::v1::ObjectMeta, util::intstr::IntOrString,
    },
};
use modelwright_contract::{
    fetch::{FetchConfig, FetchKind, Waits},
    names,
    serving::ServingConfig,
    variants,
};

use super::Owner;
use crate::{
    api::{
        Scheduling,
        name::{
            DEPLOYMENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL, MODEL_LABEL, REVISION_LABEL, STORE_SECRET,
            TRAFFIC_LABEL, TRAFFIC_SERVE, VERSION_LABEL, short_revision, traffic,
        },
    },
    context::Settings,
    pods::{
        parts::{self, claim_volume, confined_container, empty_volume, mount, secret_volume, variable},
        resources::complete_resources,
    },
    serving::{identity::ServingSpec, revision::VersionReference, size::default_memory},
    store,
};

/// Name of the init container.
pub const FETCH: &str = "fetch";
/// Name of the serving container.
pub const SERVE: &str = "serve";

const DEFAULT_CPU: &str = "100m";
const FETCH_REQUESTS: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "128Mi")];
const FETCH_LIMITS: [(&str, &str); 2] = [("cpu", "1"), ("memory", "512Mi")];
/// Room beside the artifact, for its manifest and for what is unpacked beside it.
const VOLUME_MARGIN: u64 = 64 * 1024 * 1024;
const TEMPORARY_SIZE: &str = "64Mi";
/// From the end of a drain to the kill.
const GRACE_MARGIN_SECONDS: u64 = 15;
/// Longest start, in probes: half an hour.
const STARTUP_PROBES: i32 = 1800;

pub(super) fn pod_template(
    owner: &Owner<'_>,
    hash: &str,
    asked: &ServingSpec,
    version_reference: &VersionReference,
    settings: &Settings,
    workload_account: bool,
) -> PodTemplateSpec {
    let own = || settings.runtime_image_with(&asked.execution_providers);
    let image = asked.runtime.as_deref().unwrap_or_else(own);
    let scheduling = &asked.scheduling;
    let drain_seconds = asked.limits.drain_timeout_milliseconds.div_ceil(1000);
    PodTemplateSpec {
        metadata: Some(pod_metadata(owner, hash, scheduling, version_reference)),
        spec: Some(PodSpec {
            containers: vec![serve_container(image, hash, asked, version_reference)],
            init_containers: Some(vec![fetch_container(image, version_reference, settings)]),
            termination_grace_period_seconds: i64::try_from(drain_seconds + GRACE_MARGIN_SECONDS).ok(),
            volumes: Some(volumes(owner, version_reference)),
            ..parts::confined_pod(scheduling, siblings(owner, hash), workload_account)
        }),
    }
}

fn pod_metadata(
    owner: &Owner<'_>,
    hash: &str,
    scheduling: &Scheduling,
    version_reference: &VersionReference,
) -> ObjectMeta {
    let mut labels = parts::texts(&scheduling.pod_labels);
    for (key, value) in [
        (MANAGED_BY_LABEL, MANAGED_BY),
        (MODEL_LABEL, &version_reference.model),
        (VERSION_LABEL, &version_reference.version.to_string()),
        (DEPLOYMENT_LABEL, owner.name),
        (REVISION_LABEL, short_revision(hash)),
        (TRAFFIC_LABEL, TRAFFIC_SERVE),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    ObjectMeta {
        labels: Some(labels),
        annotations: parts::some_map(parts::texts(&scheduling.pod_annotations)),
        ..ObjectMeta::default()
    }
}

fn fetch_container(image: &str, version_reference: &VersionReference, settings: &Settings) -> Container {
    // the address of the version says where its bytes are; the store may be another one by now
    let claim = store::claim(&version_reference.artifact.uri);
    let config = FetchConfig {
        claim_directory: None,
        further: Vec::new(),
        kind: FetchKind::Artifact,
        uri: version_reference.artifact.uri.clone(),
        sha256: Some(version_reference.artifact.sha256.clone()),
        destination: names::MODEL_DIRECTORY.into(),
        credentials_secret: None,
        credentials_directory: claim.is_none().then(|| names::STORE_CREDENTIALS_DIRECTORY.into()),
        max_bytes: version_reference.artifact.size_bytes + VOLUME_MARGIN / 2,
        // the store's address is the operator's own, not a user's
        allow_private_networks: true,
        plain_http: settings.store_plain_http,
        run: None,
        // what serves waits by the usual times: a setting of today is no part of a revision
        waits: Waits::default(),
    };
    Container {
        name: FETCH.into(),
        image: Some(image.to_owned()),
        args: Some(vec![FETCH.into()]),
        env: Some(vec![variable(names::FETCH_ENV, &json(&config))]),
        resources: Some(ResourceRequirements {
            limits: Some(amounts(FETCH_LIMITS)),
            requests: Some(amounts(FETCH_REQUESTS)),
            ..ResourceRequirements::default()
        }),
        security_context: Some(confined_container()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![
            mount("work", names::WORK_DIRECTORY, false),
            mount("temporary", "/tmp", false),
            match claim {
                Some(_) => mount("store", names::CLAIM_DIRECTORY, true),
                None => mount("store-credentials", names::STORE_CREDENTIALS_DIRECTORY, true),
            },
        ]),
        ..Container::default()
    }
}

fn serve_container(
    image: &str,
    hash: &str,
    asked: &ServingSpec,
    version_reference: &VersionReference,
) -> Container {
    let config = ServingConfig {
        model: version_reference.model.clone(),
        version: version_reference.version,
        model_digest: version_reference.model_digest.clone(),
        revision: short_revision(hash).to_owned(),
        directory: version_reference.variant.as_ref().map_or_else(
            || names::MODEL_DIRECTORY.to_owned(),
            |variant| format!("{}/{}", names::MODEL_DIRECTORY, variants::directory(variant)),
        ),
        execution_providers: asked.execution_providers.clone(),
        allow_fallback: asked.allow_fallback,
        limits: asked.limits.clone(),
        mode: asked.mode,
        batching: asked.batching,
    };
    let memory = default_memory(asked, version_reference);
    let pod_name = EnvVar {
        name: names::POD_NAME_ENV.into(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".into()),
                field_path: "metadata.name".into(),
            }),
            ..EnvVarSource::default()
        }),
    };
    let port = |name: &str, port: u16| ContainerPort {
        name: Some(name.into()),
        container_port: port.into(),
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    };
    Container {
        name: SERVE.into(),
        image: Some(image.to_owned()),
        command: Some(vec![names::SERVE_PROGRAM.into()]),
        env: Some(vec![variable(names::SERVING_ENV, &json(&config)), pod_name]),
        ports: Some(vec![
            port("http", names::HTTP_PORT),
            port("grpc", names::GRPC_PORT),
            port("metrics", names::METRICS_PORT),
        ]),
        // a server that passed its start has been ready: before, it never had a client
        startup_probe: Some(probe("/v2/health/ready", 1, STARTUP_PROBES)),
        readiness_probe: Some(probe("/v2/health/ready", 2, 2)),
        liveness_probe: Some(probe("/v2/health/live", 10, 3)),
        resources: Some(complete_resources(
            &asked.resource_limits,
            &asked.resource_requests,
            &[("memory", &memory.limit)],
            &[("cpu", DEFAULT_CPU), ("memory", &memory.request)],
        )),
        security_context: Some(confined_container()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![
            mount("work", names::WORK_DIRECTORY, true),
            mount("temporary", "/tmp", false),
            mount("traffic", names::TRAFFIC_DIRECTORY, true),
        ]),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("http".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn volumes(owner: &Owner<'_>, version_reference: &VersionReference) -> Vec<Volume> {
    vec![
        // the archive and what is unpacked of it may be there at the same time
        empty_volume("work", (2 * version_reference.artifact.size_bytes + VOLUME_MARGIN).to_string()),
        empty_volume("temporary", TEMPORARY_SIZE.into()),
        store_volume(version_reference),
        Volume {
            name: "traffic".into(),
            config_map: Some(ConfigMapVolumeSource {
                name: traffic(owner.name),
                optional: Some(true),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
    ]
}

/// What `fetch` reads the artifact from, or with.
fn store_volume(version_reference: &VersionReference) -> Volume {
    match store::claim(&version_reference.artifact.uri) {
        Some(claim) => claim_volume("store", claim, true),
        None => secret_volume("store-credentials", STORE_SECRET, true),
    }
}

/// A revision's pods spread among themselves: an old revision's pods are about to leave.
fn siblings(owner: &Owner<'_>, hash: &str) -> BTreeMap<String, String> {
    [
        (DEPLOYMENT_LABEL.to_owned(), owner.name.to_owned()),
        (REVISION_LABEL.to_owned(), short_revision(hash).to_owned()),
    ]
    .into()
}

/// JSON of one of the contract's types.
pub(super) fn json(config: &impl serde::Serialize) -> String {
    serde_json::to_string(config).expect("the contract's types are JSON")
}

fn amounts(all: [(&str, &str); 2]) -> BTreeMap<String, Amount> {
    all.into_iter().map(|(resource, amount)| (resource.to_owned(), Amount(amount.into()))).collect()
}
