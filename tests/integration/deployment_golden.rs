//! ModelDeployment → ControllerRevision, ReplicaSet, Service, PodDisruptionBudget, ConfigMap, against committed files.

use std::{collections::BTreeSet, fs};

use k8s_openapi::api::{apps::v1::ControllerRevision, core::v1::Container};
use modelwright::{
    api::{ModelDeployment, name::short_revision},
    context::Settings,
    serving::{
        build::{
            Owner, build_disruption_budget, build_replica_set, build_revision, build_service, build_traffic,
            traffic_text,
        },
        identity::revision_hash,
        revision::read,
        validate::{ValidDeployment, validate_deployment},
    },
};
use modelwright_contract::serving::ExecutionProvider;
use serde_json::Value;

use crate::{deployment_fixtures::version_reference, fixtures::settings, golden::compare};

/// The UID of every ModelDeployment here.
const UID: &str = "00000000-0000-0000-0000-000000000001";

fn input(case: &str) -> ValidDeployment {
    let path = format!("{}/tests/golden/{case}/in.yaml", env!("CARGO_MANIFEST_DIR"));
    let mut deployment: ModelDeployment = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    deployment.metadata.uid = Some(UID.into());
    validate_deployment(&deployment).unwrap()
}

fn owner(valid: &ValidDeployment) -> Owner<'_> {
    Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner }
}

fn rendered(valid: &ValidDeployment) -> (String, ControllerRevision) {
    let version_reference = version_reference(3, 'c');
    let hash = revision_hash(&valid.asked, &version_reference.model_digest);
    let revision = build_revision(&owner(valid), &hash, &valid.asked, &version_reference, &settings(), false);
    (short_revision(&hash).to_owned(), revision)
}

#[test]
fn every_object_is_rendered_as_committed() {
    for case in ["rollout-revision-plain", "rollout-revision-full"] {
        compare(case, &rendered(&input(case)).1);
    }
    let valid = input("rollout-replicaset");
    let (short, revision) = rendered(&valid);
    compare("rollout-replicaset", &build_replica_set(&owner(&valid), &short, &read(&revision).unwrap(), 2));
    compare("rollout-service", &build_service(&owner(&valid), Some(UID)));
    compare("rollout-budget", &build_disruption_budget(&owner(&valid), Some(UID)));
    let leaving = BTreeSet::from(["digits-0123456789-abcde".to_owned()]);
    compare("rollout-traffic", &build_traffic(&owner(&valid), &leaving));
}

#[test]
fn the_address_of_a_version_decides_what_its_pods_mount_whatever_the_store_is_now() {
    let valid = input("rollout-revision-plain");
    let usual = version_reference(3, 'c');
    let hash = revision_hash(&valid.asked, &usual.model_digest);
    for (case, scheme) in [("rollout-revision-s3", "s3"), ("rollout-revision-pvc", "pvc")] {
        let mut version_reference = usual.clone();
        version_reference.artifact.uri = format!("{scheme}://models/kept/space/digits/{}/", "f".repeat(64));
        compare(
            case,
            &build_revision(&owner(&valid), &hash, &valid.asked, &version_reference, &settings(), false),
        );
    }
    // The other way round: a version in a registry, and a claim as the store by now.
    let now = Settings { store_uri: "pvc://models/kept".into(), ..settings() };
    let revision = build_revision(&owner(&valid), &hash, &valid.asked, &usual, &now, false);
    compare("rollout-revision-plain", &revision);
}

#[test]
fn a_model_on_cuda_is_served_by_the_image_that_has_it() {
    let mut valid = input("rollout-revision-plain");
    let (own, gpu) = (settings(), Some("registry.example/modelwright-runtime-gpu:1".to_owned()));
    let with_gpu = Settings { runtime_gpu_image: gpu.clone(), ..own.clone() };
    let images = |valid: &ValidDeployment, settings: &Settings| {
        let revision =
            build_revision(&owner(valid), "hash", &valid.asked, &version_reference(3, 'c'), settings, false);
        let pod = read(&revision).unwrap().pod_template.spec.unwrap();
        let containers = pod.containers.into_iter().chain(pod.init_containers.into_iter().flatten());
        containers.map(|container| container.image).collect::<BTreeSet<_>>()
    };
    let usual = BTreeSet::from([Some(own.runtime_image.clone())]);
    assert_eq!(images(&valid, &with_gpu), usual, "on the CPU");
    valid.asked.execution_providers = vec![ExecutionProvider::Cuda, ExecutionProvider::Cpu];
    assert_eq!(images(&valid, &with_gpu), BTreeSet::from([gpu]));
    assert_eq!(images(&valid, &own), usual, "there is no such image");
    valid.asked.runtime = Some("registry.example/mine:1".into());
    assert_eq!(images(&valid, &with_gpu), BTreeSet::from([valid.asked.runtime.clone()]), "the user's own");
}

#[test]
fn a_revision_of_the_longest_name_fits_into_names_and_labels() {
    let mut valid = input("rollout-replicaset");
    valid.name = "a".repeat(40);
    let (short, revision) = rendered(&valid);
    let set = build_replica_set(&owner(&valid), &short, &read(&revision).unwrap(), 1);
    // a pod's name ends with five letters of its own
    assert!(set.metadata.name.unwrap().len() + 6 <= 63);
    let labels = read(&revision).unwrap().pod_template.metadata.unwrap().labels.unwrap();
    assert!(labels.values().all(|value| value.len() <= 63), "{labels:?}");
}

fn told(container: &Container) -> Value {
    let text = container.env.as_ref().unwrap()[0].value.clone().unwrap();
    serde_json::from_str(&text).unwrap()
}

fn committed(file: &str) -> Value {
    let path = format!("{}/runtime/contract/golden/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_containers_of_a_serving_pod_are_told_what_the_contract_has_committed() {
    let (_, revision) = rendered(&input("rollout-revision-full"));
    let pod = read(&revision).unwrap().pod_template.spec.unwrap();
    assert_eq!(told(&pod.containers[0]), committed("serving-latency"));
    assert_eq!(told(&pod.init_containers.unwrap()[0]), committed("fetch-artifact"));
    let list = BTreeSet::from(["digits-0123456789-abcde".to_owned()]);
    assert_eq!(serde_json::from_str::<Value>(&traffic_text(&list)).unwrap(), committed("traffic"));
}
