//! A version's model taken over, where only its variants are asked for anew: which version it is, what the run is given, what
//! is said where it cannot be had, and what the new version has of it.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Container, Pod},
};
use modelwright::{
    api::{
        Model, ModelVersion,
        model::VersionHistory,
        name::{MADE_FROM_ANNOTATION, SPEC_HASHES_ANNOTATION},
    },
    context::{Context, Settings},
    k8s::cache::Cache,
    model::{
        build::{build_job, build_version, complete},
        kept::{carry_over, take_over},
        plan::{Plan, Step, plan_model},
        run::{RunState, read_run},
        snapshot::Snapshot,
        validate::ValidModel,
    },
};
use modelwright_contract::{
    fetch::{FetchConfig, FetchKind},
    names::STORE_TOKEN_DIRECTORY,
    prove::ProveConfig,
};
use serde_json::{Value, json};

use crate::fixtures::{
    failed_pod, finished, job, model, optimized_model, settings, snapshot, trained_model, trained_pod,
    training_reports, valid, variant_reports,
};
use crate::{
    model_scenarios::{EVENTS, JOBS, STATUS, VERSIONS, condition, reconciled},
    scenario::{ApiServer, context, play},
};

fn int8() -> Value {
    json!([{"name": "int8", "quantize": "Dynamic"}])
}

fn plan(model: &Model, snapshot: &Snapshot) -> Plan {
    plan_model(model, &valid(model), snapshot)
}

/// Version `number` of the Model, as a training made it.
fn trained(model: &Model, number: u64) -> ModelVersion {
    let mut version = crate::fixtures::version(model, number, 'a', i64::try_from(number).unwrap());
    version.spec = build_version(&valid(model), number, &training_reports('a'), &job(model), 1).spec;
    version
}

fn with_training(optimize: Value, training: Value, generation: i64) -> Model {
    let mut model = trained_model(training, generation);
    model.spec.optimize = serde_json::from_value(optimize).unwrap();
    model
}

/// The run's Job of the Model, which takes over the model of the version.
fn taking(model: &Model, version: &ModelVersion, settings: &Settings) -> Job {
    let taking: ValidModel = take_over(&valid(model), version).unwrap();
    let mut job = build_job(&complete(&taking, settings, &[]).unwrap(), settings, false);
    job.metadata.uid = Some("uid-of-job".into());
    job
}

fn containers(job: &Job) -> Vec<Container> {
    let pod = job.spec.clone().unwrap().template.spec.unwrap();
    for container in pod.init_containers.iter().flatten().chain(&pod.containers) {
        for mount in container.volume_mounts.iter().flatten() {
            assert!(pod.volumes.iter().flatten().any(|volume| volume.name == mount.name), "{}", mount.name);
        }
    }
    pod.init_containers.into_iter().flatten().chain(pod.containers).collect()
}

fn names(containers: &[Container]) -> Vec<&str> {
    containers.iter().map(|container| container.name.as_str()).collect()
}

fn told<T: serde::de::DeserializeOwned>(container: &Container) -> T {
    serde_json::from_str(container.env.as_ref().unwrap()[0].value.as_ref().unwrap()).unwrap()
}

/// D12: what makes variants of a kept model holds no token of the store either.
#[test]
fn a_token_for_the_bundled_store_is_in_publish_alone() {
    let settings = Settings { store_push_host: Some("store.example:5001".into()), ..settings() };
    let version = trained(&with_training(json!([]), json!({}), 1), 1);
    for optimize in [int8(), json!([])] {
        let run = containers(&taking(&with_training(optimize, json!({}), 2), &version, &settings));
        let holding: Vec<_> = run
            .iter()
            .filter(|container| serde_json::to_string(container).unwrap().contains(STORE_TOKEN_DIRECTORY))
            .map(|container| container.name.as_str())
            .collect();
        assert_eq!(holding, ["publish"]);
    }
}

#[test]
fn variants_of_a_trained_model_are_made_from_its_artifact_and_its_very_data_without_a_training() {
    let training = json!({
        "data": {"uri": "s3://bucket/digits.csv", "format": "CSV", "label": "digit", "test": {"uri": "s3://bucket/test.csv"}},
        "gates": [{"metric": "Accuracy", "min": "0.9"}],
        "resources": {"limits": {"memory": "7Gi"}},
    });
    let mut version = trained(&with_training(json!([]), training.clone(), 1), 1);
    version.spec.provenance.test_sha256 = Some("d".repeat(64));
    let model = with_training(int8(), training, 2);
    let job = taking(&model, &version, &settings());
    assert_eq!(job.metadata.annotations.as_ref().unwrap()[MADE_FROM_ANNOTATION], "1");
    let run = containers(&job);
    assert_eq!(names(&run), ["fetch", "prepare", "optimize", "prove", "publish"]);
    let fetch: FetchConfig = told(&run[0]);
    assert_eq!(fetch.sha256.as_ref(), Some(&version.spec.provenance.data_sha256), "the very data");
    let [test, artifact] = fetch.further.as_slice() else { panic!("{fetch:?}") };
    assert_eq!(test.sha256, version.spec.provenance.test_sha256);
    assert_eq!((artifact.kind, &artifact.uri), (FetchKind::Artifact, &version.spec.artifact.uri));
    assert_eq!(artifact.sha256.as_ref(), Some(&version.spec.artifact.sha256));
    let prepare = &run[1];
    let args: Vec<&str> = prepare.args.iter().flatten().map(String::as_str).collect();
    assert_eq!(args, ["prepare", "--kept", artifact.destination.as_str()]);
    assert_eq!(prepare.image, Some(settings().trainer_image));
    assert_eq!(prepare.resources.as_ref().unwrap().limits.as_ref().unwrap()["memory"].0, "7Gi");
    assert!(prepare.env.iter().flatten().all(|variable| variable.value_from.is_none()));
    let prove: ProveConfig = told(&run[3]);
    assert_eq!((prove.variants.len(), prove.judgement.unwrap().gates.len()), (1, 1));
}

#[test]
fn nothing_goes_on_from_a_checkpoint_or_asks_for_a_device_where_nothing_is_trained() {
    let layers =
        json!([{"name": "out", "type": "Dense", "parameters": {"units": 3, "activation": "softmax"}}]);
    let training = json!({
        "candidates": [{"name": "net", "layers": layers}],
        "run": {"checkpoint": {"claim": "progress"}},
        "from": {"version": 7},
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    });
    let version = trained(&with_training(json!([]), training.clone(), 1), 8);
    let settings = Settings { trainer_keras_gpu_image: Some("gpu".into()), ..settings() };
    let job = taking(&with_training(int8(), training, 2), &version, &settings);
    let run = containers(&job);
    let limits = run[1].resources.as_ref().unwrap().limits.clone().unwrap();
    assert!(!limits.contains_key("nvidia.com/gpu") && limits["memory"].0 == "4Gi", "{limits:?}");
    assert_eq!(run[1].image, settings.trainer_keras_image);
    let volumes = job.spec.unwrap().template.spec.unwrap().volumes.unwrap();
    assert!(volumes.iter().all(|volume| volume.persistent_volume_claim.is_none()), "{volumes:?}");
}

#[test]
fn a_version_without_variants_is_made_of_its_artifact_alone_whoever_trained_and_wherever_it_lies() {
    let own = json!({"trainer": {"image": "registry.example/own:1"}, "candidates": []});
    for (training, uri, mount) in [
        (json!({}), "oci://store.example:5000/m@sha256:aa", "/etc/modelwright/store-credentials"),
        (own.clone(), "oci://store.before/m@sha256:aa", "/etc/modelwright/store-credentials"),
        (own, "pvc://old-store/models/digits/aa/", "/modelwright-claim"),
    ] {
        let mut version = trained(&with_training(int8(), training.clone(), 1), 4);
        version.spec.artifact.uri = uri.into();
        for store in ["oci://store.example:5000/modelwright", "pvc://new-store/models"] {
            let settings = Settings { store_uri: store.into(), ..settings() };
            let job = taking(&with_training(json!([]), training.clone(), 2), &version, &settings);
            let run = containers(&job);
            assert_eq!(names(&run), ["fetch", "prove", "publish"], "{uri}");
            let fetch: FetchConfig = told(&run[0]);
            assert_eq!((fetch.kind, fetch.uri.as_str()), (FetchKind::Artifact, uri));
            assert_eq!(fetch.sha256.as_ref(), Some(&version.spec.artifact.sha256));
            let mounts: Vec<_> =
                run[0].volume_mounts.iter().flatten().map(|one| one.mount_path.as_str()).collect();
            assert!(mounts.contains(&mount), "{uri}: {mounts:?}");
            let prove: ProveConfig = told(&run[1]);
            assert_eq!((prove.judgement, prove.variants.len()), (None, 0), "it brings what it was judged by");
        }
    }
}

#[test]
fn a_test_part_that_only_own_code_can_make_is_told_and_no_run_is_made() {
    let own = json!({"trainer": {"image": "registry.example/own:1"}, "candidates": []});
    let version = trained(&with_training(json!([]), own.clone(), 1), 3);
    let problem = take_over(&valid(&with_training(int8(), own, 2)), &version).unwrap_err();
    assert_eq!(problem.reason, "CannotPrepare");
    for part in ["version 3 has the model", "your own code", "set spec.rerun"] {
        assert!(problem.message.contains(part), "{part}: {}", problem.message);
    }
}

#[test]
fn the_version_with_the_model_of_the_spec_is_taken_over_and_no_other() {
    let (plain, optimized) = (optimized_model(json!([]), 1), optimized_model(int8(), 2));
    let from = |model: &Model, versions: Vec<ModelVersion>| {
        plan(model, &snapshot(versions, vec![], vec![])).from.map(|version| version.spec.version)
    };
    assert_eq!(from(&optimized, vec![trained(&plain, 1)]), Some(1));
    assert_eq!(from(&plain, vec![trained(&optimized, 2), trained(&plain, 1)]), Some(2), "the newest");
    let other = trained_model(json!({"candidates": [{"name": "tree", "algorithm": "DecisionTree"}]}), 1);
    assert_eq!(from(&optimized, vec![trained(&other, 1)]), None);
    let mut linked = trained(&other, 1);
    let annotations = linked.metadata.annotations.get_or_insert_default();
    annotations.insert(SPEC_HASHES_ANNOTATION.into(), valid(&plain).key());
    assert_eq!(from(&optimized, vec![linked.clone()]), Some(1), "its model is the same");
    assert_eq!(from(&optimized, vec![linked, trained(&plain, 2)]), Some(2), "its own first");
    let mut foreign = trained(&plain, 1);
    foreign.metadata.owner_references.as_mut().unwrap()[0].uid = "another".into();
    assert_eq!(from(&optimized, vec![foreign]), None);
}

/// What to do with a run that took over the model of version 1, whose report `change` changes.
fn recorded(there: Vec<ModelVersion>, digest: char, accuracy: &str) -> Step {
    let (plain, optimized) = (optimized_model(json!([]), 1), optimized_model(int8(), 2));
    let made = taking(&optimized, &trained(&plain, 1), &settings());
    let made = finished(made, "Complete", "CompletionsReached");
    let mut publish = training_reports(digest).publish;
    publish.metrics.insert("Accuracy".into(), accuracy.into());
    publish.variants = variant_reports(&[("int8", 'c')]);
    let mut pod = trained_pod(&made, digest, "");
    let status = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap().first_mut().unwrap();
    let ended = status.state.as_mut().unwrap().terminated.as_mut().unwrap();
    ended.message = Some(json!({"succeeded": publish}).to_string());
    plan(&optimized, &snapshot(there, vec![made], vec![pod])).step
}

#[test]
fn the_new_version_says_what_it_was_made_from_and_has_what_is_known_of_it() {
    let plain = optimized_model(json!([]), 1);
    let mut first = trained(&plain, 1);
    first.spec.provenance.test_sha256 = Some("d".repeat(64));
    let step = recorded(vec![first.clone()], 'a', "0.9405");
    let Step::Record { number, reports, job, stamp, from } = step else { panic!("{step:?}") };
    let from = from.unwrap();
    assert_eq!((number, from.spec.version), (2, 1));
    let model = valid(&optimized_model(int8(), 2));
    let second = carry_over(build_version(&model, number, &reports, &job, stamp), &from).spec;
    assert_eq!(second.model_digest, first.spec.model_digest);
    assert_eq!(second.provenance.made_from, Some(1));
    assert_eq!(second.evaluation, first.spec.evaluation, "metrics, candidates and warnings");
    assert_eq!(second.evaluation.unwrap().candidates.len(), 3);
    assert_eq!(second.provenance.data_sha256, first.spec.provenance.data_sha256);
    assert_eq!(second.provenance.test_sha256, first.spec.provenance.test_sha256);
    let images: Vec<&str> = second.provenance.images.keys().map(String::as_str).collect();
    assert_eq!(images, ["fetch", "optimize", "prepare", "prove", "publish", "train"]);
    assert_eq!(second.provenance.images["train"], first.spec.provenance.images["train"]);
}

#[test]
fn another_model_or_other_rows_make_no_version() {
    let plain = optimized_model(json!([]), 1);
    for (digest, accuracy, reason, part) in [
        ('b', "0.94", "ModelChanged", "take over the model of version 1"),
        (
            'a',
            "0.97",
            "NotReproducible",
            "has Accuracy 0.97 on the test part that was made again, and had 0.94",
        ),
    ] {
        let step = recorded(vec![trained(&plain, 1)], digest, accuracy);
        let Step::GiveUp(failure) = step else { panic!("{step:?}") };
        assert_eq!(failure.reason, reason);
        assert!(failure.message.contains(part) && failure.message.contains("set spec.rerun"), "{failure:?}");
    }
}

#[test]
fn a_run_whose_version_is_gone_starts_anew_and_trains() {
    let step = recorded(vec![], 'a', "0.94");
    assert!(matches!(step, Step::Restart { .. }), "{step:?}");
    let plan = plan(&optimized_model(int8(), 2), &Snapshot::default());
    assert_eq!((plan.step, plan.from), (Step::Start, None));
}

#[test]
fn a_version_that_is_to_be_taken_over_stays_until_the_new_one_is_there() {
    let mut optimized = optimized_model(int8(), 9);
    optimized.spec.history = Some(VersionHistory { keep: Some(1) });
    let plain = optimized_model(json!([]), 1);
    let others = |number: u64| {
        let name = format!("net-{number}");
        let other = trained_model(json!({"candidates": [{"name": name, "algorithm": "MLP"}]}), 1);
        let mut version = trained(&other, number);
        version.spec.model_digest = format!("{number:064x}");
        version
    };
    let removed = |versions: Vec<ModelVersion>| -> Vec<u64> {
        let decided = plan(&optimized, &snapshot(versions, vec![], vec![]));
        decided.remove.iter().map(|version| version.spec.version).collect()
    };
    let kept = vec![trained(&plain, 1), others(2), others(3)];
    assert_eq!(removed(kept.clone()), [2], "the first one is needed, the last one is current");
    let mut made = trained(&optimized, 4);
    made.spec.model_digest = "e".repeat(64);
    assert_eq!(removed([kept, vec![made]].concat()), [1, 2, 3]);
}

#[test]
fn data_that_cannot_be_had_again_is_told_with_what_to_do() {
    let version = trained(&optimized_model(json!([]), 1), 1);
    let optimized = optimized_model(int8(), 2);
    let job = finished(taking(&optimized, &version, &settings()), "Failed", "PodFailurePolicy");
    let message = json!({"failed": {"reason": "DigestMismatch", "message": "s3://bucket/digits.csv has another SHA-256"}});
    let pod = failed_pod(&job, 64, &message.to_string());
    let seen = snapshot(vec![version], vec![job.clone()], vec![pod]);
    let RunState::Failed(failure) = read_run(&job, &seen).state else { panic!() };
    assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("DigestMismatch", "fetch"));
    for part in ["has another SHA-256; only variants of version 1", "the very data", "set spec.rerun"] {
        assert!(failure.message.contains(part), "{part}: {}", failure.message);
    }
    // of any other run nothing is added
    let import =
        finished(crate::fixtures::job(&model("s3://bucket/a.onnx", 1)), "Failed", "PodFailurePolicy");
    let pod = failed_pod(&import, 64, &message.to_string());
    let RunState::Failed(failure) = read_run(&import, &snapshot(vec![], vec![], vec![pod])).state else {
        panic!()
    };
    assert!(!failure.message.contains("spec.rerun"), "{failure:?}");
}

/// A cluster with the version that was made without variants, and what there is of a run for others.
fn cluster(runs: Vec<(Job, Pod)>) -> (Context, ApiServer) {
    let (mut context, server) = context();
    context.caches.versions = Cache::fixed(vec![trained(&optimized_model(json!([]), 1), 1)]);
    let (jobs, pods): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
    context.caches.jobs = Cache::fixed(jobs);
    context.caches.pods = Cache::fixed(pods);
    (context, server)
}

#[tokio::test]
async fn a_change_of_variants_alone_starts_a_run_that_trains_nothing_and_its_version_says_from_which() {
    let (optimized, first) = (optimized_model(int8(), 2), trained(&optimized_model(json!([]), 1), 1));
    let (context, mut server) = cluster(vec![]);
    play(reconciled(&optimized, context), async {
        let call = server.expect("POST", JOBS).await;
        assert_eq!(call.body["metadata"]["annotations"][MADE_FROM_ANNOTATION], "1");
        let init = call.body["spec"]["template"]["spec"]["initContainers"].as_array().unwrap();
        assert!(init.iter().all(|container| container["name"] != "train"), "{init:?}");
        call.echo();
        let call = server.expect("PATCH", STATUS).await;
        let told = condition(&call.body, "Reconciling");
        assert_eq!(told["reason"], "TakingOver");
        assert_eq!(told["message"], "the model of version 1 is being taken over");
        call.echo_model(&optimized);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();

    let made = finished(taking(&optimized, &first, &settings()), "Complete", "CompletionsReached");
    let pod = trained_pod(&made, 'a', "");
    let mut publish = training_reports('a').publish;
    publish.variants = variant_reports(&[("int8", 'c')]);
    let mut pod = serde_json::to_value(pod).unwrap();
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] =
        json!({"succeeded": publish}).to_string().into();
    let (context, mut server) = cluster(vec![(made, serde_json::from_value(pod).unwrap())]);
    play(reconciled(&optimized, context), async {
        let call = server.expect("POST", VERSIONS).await;
        assert_eq!(call.body["spec"]["provenance"]["madeFrom"], 1);
        assert_eq!(call.body["spec"]["evaluation"], serde_json::to_value(&first.spec.evaluation).unwrap());
        call.echo();
        server.expect("PATCH", STATUS).await.echo_model(&optimized);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}
