//! Model → Job and run → ModelVersion, against committed files. `UPDATE_GOLDEN=1 cargo test golden` makes them anew.

use std::{fs, path::PathBuf};

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Container, PodSpec},
};
use modelwright::{
    api::Model,
    context::Settings,
    model::{
        build::{build_job, build_recall, build_version},
        run::phases::Phase,
        validate::validate_model,
    },
    quantity::Quantity,
};
use modelwright_contract::{
    fetch::{FetchConfig, FetchKind, Waits},
    names,
    prove::ProveConfig,
    publish::PublishConfig,
    training::OUTPUT_DIRECTORY,
};

use crate::fixtures::{reports, settings, training_reports};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Compares with `out.yaml` of a case, or writes it.
pub fn compare(case: &str, rendered: &impl serde::Serialize) {
    let path = directory().join(case).join("out.yaml");
    let text = serde_yaml::to_string(rendered).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{} differs; if that is meant, run UPDATE_GOLDEN=1 cargo test golden, and read the diff:\n{text}",
        path.display()
    );
}

fn input(case: &str) -> Model {
    let text = fs::read_to_string(directory().join(case).join("in.yaml")).unwrap();
    let mut model: Model = serde_yaml::from_str(&text).unwrap();
    model.metadata.uid = Some("00000000-0000-0000-0000-000000000001".into());
    model.metadata.generation = Some(1);
    model
}

#[test]
fn every_kind_of_source_renders_the_committed_job() {
    for case in
        ["model-http", "model-store", "model-s3-credentials", "model-pvc-scheduling", "model-evaluation"]
    {
        let model = validate_model(&input(case)).unwrap();
        compare(case, &build_job(&model, &settings(), case == "model-pvc-scheduling"));
    }
}

#[test]
fn every_kind_of_store_renders_the_committed_job() {
    for (case, uri) in [
        ("model-store-s3", "s3://models/kept"),
        ("model-store-pvc", "pvc://models/kept"),
        ("model-store-pvc-same-claim", "pvc://models/kept"),
    ] {
        let model = validate_model(&input(case)).unwrap();
        let settings = Settings { store_uri: uri.into(), store_plain_http: false, ..settings() };
        compare(case, &build_job(&model, &settings, false));
    }
}

#[test]
fn a_run_whose_pod_is_gone_renders_the_committed_job_that_recalls_it() {
    let model = validate_model(&input("model-recall")).unwrap();
    let mut lost = build_job(&model, &settings(), false);
    lost.metadata.uid = Some("00000000-0000-0000-0000-00000000000a".into());
    let recall = build_recall(&model, &settings(), false, &lost);
    let pod = recall.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let told = pod.containers[0].env.as_ref().unwrap()[0].value.clone().unwrap();
    let path = format!("{}/runtime/contract/golden/publish-recall.json", env!("CARGO_MANIFEST_DIR"));
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(read(&told), read(&fs::read_to_string(path).unwrap()));
    compare("model-recall", &recall);
}

#[test]
fn every_kind_of_training_renders_the_committed_job() {
    for case in [
        "model-training-full",
        "model-training-image",
        "model-training-regression",
        "model-training-network",
        "model-training-test-set",
        "model-training-own-code",
        "model-training-optimize",
    ] {
        let model = validate_model(&input(case)).unwrap();
        compare(case, &build_job(&model, &settings(), false));
    }
}

#[test]
fn a_training_renders_the_committed_version() {
    let model = validate_model(&input("model-training-version")).unwrap();
    let job = build_job(&model, &settings(), false);
    compare("model-training-version", &build_version(&model, 3, &training_reports('c'), &job, 5));
}

#[test]
fn a_run_renders_the_committed_version() {
    let model = validate_model(&input("model-version")).unwrap();
    let job = build_job(&model, &settings(), false);
    let mut reports = reports('c');
    reports.publish.metrics = [("accuracy".to_owned(), "0.98".to_owned())].into();
    compare("model-version", &build_version(&model, 3, &reports, &job, 5));
}

#[test]
fn the_containers_of_a_run_are_told_what_the_contract_has_committed() {
    let model = validate_model(&input("model-s3-credentials")).unwrap();
    let pod = build_job(&model, &settings(), false).spec.unwrap().template.spec.unwrap();
    let init = pod.init_containers.unwrap();
    for (container, file) in
        [(&init[0], "fetch"), (&init[1], "prove"), (&pod.containers[0], "publish-proven")]
    {
        let told = container.env.as_ref().unwrap()[0].value.clone().unwrap();
        let path = format!("{}/runtime/contract/golden/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let committed = fs::read_to_string(path).unwrap();
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&told), read(&committed), "{file}");
    }
}

#[test]
fn how_long_servers_are_waited_for_is_told_to_what_reads_and_writes_if_the_operator_is() {
    let model = validate_model(&input("model-s3-credentials")).unwrap();
    let waits = Waits { answer_seconds: Some(900), read_seconds: None };
    let told = |waits| {
        let pod =
            build_job(&model, &Settings { waits, ..settings() }, false).spec.unwrap().template.spec.unwrap();
        let told = |container: &Container| container.env.as_ref().unwrap()[0].value.clone().unwrap();
        let fetch: FetchConfig = serde_json::from_str(&told(&pod.init_containers.unwrap()[0])).unwrap();
        let publish: PublishConfig = serde_json::from_str(&told(&pod.containers[0])).unwrap();
        (fetch.waits, publish.waits)
    };
    assert_eq!(told(waits), (waits, waits));
    assert_eq!(told(Waits::default()), (Waits::default(), Waits::default()));
}

#[test]
fn the_containers_of_a_training_are_told_what_the_contract_has_committed() {
    let model = validate_model(&input("model-training-full")).unwrap();
    let pod = build_job(&model, &settings(), false).spec.unwrap().template.spec.unwrap();
    let told = |container: &Container| container.env.as_ref().unwrap()[0].value.clone().unwrap();
    let committed = |file: &str| {
        let path = format!("{}/runtime/contract/golden/{file}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str::<serde_json::Value>(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let init = pod.init_containers.unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&told(&init[0])).unwrap(), committed("fetch-data"),);
    for (case, file) in
        [("model-training-network", "fetch-network"), ("model-training-test-set", "fetch-test-set")]
    {
        let model = validate_model(&input(case)).unwrap();
        let pod = build_job(&model, &settings(), false).spec.unwrap().template.spec.unwrap();
        let fetch = told(&pod.init_containers.unwrap()[0]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&fetch).unwrap(), committed(file), "{file}");
    }
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&told(&init[2])).unwrap(),
        committed("prove-training")
    );
    let publish: serde_json::Value = serde_json::from_str(&told(&pod.containers[0])).unwrap();
    assert_eq!(publish, committed("publish-proven"));
}

#[test]
fn variants_are_made_and_proven_as_the_contract_has_committed_and_without_credentials() {
    let model = validate_model(&input("model-training-optimize")).unwrap();
    let pod = build_job(&model, &settings(), false).spec.unwrap().template.spec.unwrap();
    let init = pod.init_containers.unwrap();
    let names: Vec<&str> = init.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["fetch", "train", "optimize", "prove"]);
    let (optimize, prove) = (&init[2], &init[3]);
    let told = |container: &Container, name: &str| -> serde_json::Value {
        let variables = container.env.as_ref().unwrap();
        let variable = variables.iter().find(|variable| variable.name == name).unwrap();
        serde_json::from_str(variable.value.as_ref().unwrap()).unwrap()
    };
    let path = format!("{}/runtime/contract/golden/optimize.json", env!("CARGO_MANIFEST_DIR"));
    let committed: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(told(optimize, "MODELWRIGHT_OPTIMIZE"), committed);
    assert_eq!(told(prove, "MODELWRIGHT_PROVE")["variants"], committed["variants"]);
    let mounts: Vec<_> =
        optimize.volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str()).collect();
    assert_eq!(mounts, [names::WORK_DIRECTORY, "/tmp"]);
    assert_eq!(optimize.security_context, prove.security_context);
    assert!(optimize.env.iter().flatten().all(|variable| variable.value_from.is_none()));
}

#[test]
fn what_every_training_is_told_is_read_by_the_contract() {
    for case in ["model-training-full", "model-training-image", "model-training-regression"] {
        let model = validate_model(&input(case)).unwrap();
        let pod = build_job(&model, &settings(), false).spec.unwrap().template.spec.unwrap();
        let told = |container: &Container| container.env.as_ref().unwrap()[0].value.clone().unwrap();
        let init = pod.init_containers.unwrap();
        let fetch: FetchConfig = serde_json::from_str(&told(&init[0])).unwrap();
        let run = fetch.run.unwrap();
        assert_eq!((fetch.kind, run.output.as_str()), (FetchKind::Data, OUTPUT_DIRECTORY), "{case}");
        let prove: ProveConfig = serde_json::from_str(&told(&init[2])).unwrap();
        assert_eq!(prove.judgement.unwrap().task, run.task, "{case}");
        assert_eq!(prove.directory, run.output, "{case}");
        let publish: PublishConfig = serde_json::from_str(&told(&pod.containers[0])).unwrap();
        assert_eq!(publish.proof, Some(prove.proof), "{case}");
    }
}

#[test]
fn what_is_anybodys_gets_no_credentials_and_no_more_rights_than_the_others() {
    let stores = ["oci://store.example:5000/modelwright", "s3://models/kept", "pvc://models/kept"];
    let trainings = ["model-training-full", "model-training-image", "model-training-regression"];
    let imports = ["model-http", "model-store", "model-s3-credentials", "model-store-pvc-same-claim"];
    for (case, store) in trainings.iter().chain(&imports).flat_map(|case| stores.map(|store| (case, store))) {
        let model = validate_model(&input(case)).unwrap();
        let settings = Settings { store_uri: store.into(), ..settings() };
        let pod = build_job(&model, &settings, true).spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.automount_service_account_token, Some(false), "{case}");
        let init = pod.init_containers.unwrap();
        let names: Vec<&str> = init.iter().map(|container| container.name.as_str()).collect();
        let expected: &[&str] =
            if trainings.contains(case) { &["fetch", "train", "prove"] } else { &["fetch", "prove"] };
        assert_eq!(names, expected, "{case}");
        for container in &init[1..] {
            let mounts: Vec<_> =
                container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str()).collect();
            assert_eq!(mounts, [names::WORK_DIRECTORY, "/tmp"], "{case} {}", container.name);
            assert_eq!(container.env_from, None, "{case}");
            let secrets = container.env.iter().flatten().filter(|variable| variable.value_from.is_some());
            assert_eq!(secrets.count(), 0, "{case} {}", container.name);
            assert_eq!(container.security_context, init[0].security_context, "{case}");
            let limits = container.resources.as_ref().unwrap().limits.as_ref().unwrap();
            assert!(limits.contains_key("memory"), "{case}");
        }
    }
}

#[test]
fn a_pod_has_the_phases_of_its_run_and_only_those_that_may_have_credentials_mount_any() {
    let cases = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap());
    let cases = cases.filter(|entry| entry.path().join("in.yaml").exists());
    let cases = cases.map(|entry| entry.file_name().into_string().unwrap());
    for case in cases.filter(|case| case.starts_with("model-")) {
        let model = validate_model(&input(&case)).unwrap();
        let settings = Settings { store_push_host: Some("store.example:5001".into()), ..settings() };
        let pod = build_job(&model, &settings, true).spec.unwrap().template.spec.unwrap();
        let phases = Phase::of_run(&model);
        let containers: Vec<_> = pod.init_containers.iter().flatten().chain(&pod.containers).collect();
        let names: Vec<_> = containers.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(names, phases.iter().map(|phase| phase.container()).collect::<Vec<_>>(), "{case}");
        let secret = pod.volumes.iter().flatten().filter(|it| it.secret.is_some() || it.projected.is_some());
        let secret: Vec<_> = secret.map(|volume| volume.name.as_str()).collect();
        for (phase, container) in phases.iter().zip(&containers) {
            let mut mounts = container.volume_mounts.iter().flatten();
            let has_any = mounts.any(|mount| secret.contains(&mount.name.as_str()));
            assert!(phase.data().has_credentials || !has_any, "{case} {phase:?}");
        }
    }
}

/// D12: in a run that writes to the chart's own store, only `publish` can.
#[test]
fn a_token_for_the_bundled_store_is_in_publish_alone_and_none_is_where_nothing_is_written() {
    let settings = Settings { store_push_host: Some("store.example:5001".into()), ..settings() };
    let model = validate_model(&input("model-training-bundled")).unwrap();
    let job = build_job(&model, &settings, true);
    compare("model-training-bundled", &job);
    let mut lost = job.clone();
    lost.metadata.uid = Some("00000000-0000-0000-0000-00000000000a".into());
    let recall = build_recall(&model, &settings, true, &lost);
    let pod = |job: &Job| job.spec.clone().unwrap().template.spec.unwrap();
    let tokens = |pod: &PodSpec| -> Vec<String> {
        let volumes = pod.volumes.iter().flatten();
        let projected = volumes.filter(|volume| volume.projected.is_some());
        projected.map(|volume| volume.name.clone()).collect()
    };
    let run = pod(&job);
    let [volume] = tokens(&run).try_into().unwrap();
    let has = |container: &Container| {
        let text = serde_json::to_string(container).unwrap();
        let mounted = container.volume_mounts.iter().flatten().any(|mount| mount.name == volume);
        (mounted, text.contains(names::STORE_TOKEN_DIRECTORY), text.contains("store.example:5001"))
    };
    let all: Vec<_> = run.init_containers.iter().flatten().chain(&run.containers).collect();
    // `convert` and `prepare` stand in the place of `train` in runs of other kinds.
    let others = ["convert", "prepare"];
    let trains = Phase::ALL.into_iter().map(Phase::container).filter(|name| !others.contains(name));
    assert_eq!(all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), trains.collect::<Vec<_>>());
    for container in all {
        let expected = if container.name == "publish" { (true, true, true) } else { (false, false, false) };
        assert_eq!(has(container), expected, "{}", container.name);
    }
    // Whoever may read Jobs and pods sees whom it is for, and not what it is.
    let source = &run.volumes.iter().flatten().find(|it| it.name == volume).unwrap().projected;
    let token = source.clone().unwrap().sources.unwrap().remove(0).service_account_token.unwrap();
    assert_eq!(token.audience.as_deref(), Some("modelwright-store:digits"));
    let told = run.containers[0].env.as_ref().unwrap()[0].value.clone().unwrap();
    let path = format!("{}/runtime/contract/golden/publish-pushed.json", env!("CARGO_MANIFEST_DIR"));
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(read(&told), read(&fs::read_to_string(path).unwrap()));
    let recall = pod(&recall);
    assert_eq!(tokens(&recall), Vec::<String>::new(), "it reads");
    assert_eq!(has(&recall.containers[0]), (false, false, false));
    assert_eq!(tokens(&pod(&build_job(&model, &crate::fixtures::settings(), true))), Vec::<String>::new());
}

/// What the LimitRange of a small namespace allows.
#[test]
fn an_import_asks_for_no_more_than_a_small_namespace_gives() {
    let most = |resource: &str| Quantity::parse(if resource == "cpu" { "1" } else { "512Mi" }).unwrap();
    let model = validate_model(&input("model-http")).unwrap();
    let pod = build_job(&model, &settings(), false).spec.unwrap().template.spec.unwrap();
    for container in pod.init_containers.iter().flatten().chain(&pod.containers) {
        for (resource, limit) in container.resources.as_ref().unwrap().limits.as_ref().unwrap() {
            let limit = Quantity::parse(&limit.0).unwrap();
            assert!(limit <= most(resource), "{} {resource}: {limit}", container.name);
        }
    }
}
