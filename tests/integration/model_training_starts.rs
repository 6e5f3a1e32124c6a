//! What a run starts from besides its data: a checkpoint, a version, code of a user's own. What is refused of it, what the
//! pod is given, and what is said where it is not there.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use modelwright::{
    api::{ModelVersion, model_version::Artifact},
    context::Settings,
    k8s::cache::Cache,
    model::{
        build::{build_job, build_version, complete},
        spec_hash::spec_hash,
        validate::{ValidModel, validate_model},
    },
};
use modelwright_contract::fetch::{FetchConfig, FetchKind};
use serde_json::{Value, json};

use crate::{
    fixtures::{job, settings, trained_model, training_reports, valid},
    model_scenarios::{EVENTS, STATUS, condition, reconciled},
    scenario::{context, play},
};

fn network(more: Value) -> Value {
    let layers =
        json!([{"name": "out", "type": "Dense", "parameters": {"units": 3, "activation": "softmax"}}]);
    let mut training = json!({"candidates": [{"name": "net", "layers": layers}]});
    for (name, part) in more.as_object().unwrap() {
        training[name] = part.clone();
    }
    training
}

fn code(python: Value) -> Value {
    json!({"trainer": {"python": python}, "candidates": []})
}

fn pinned() -> Value {
    json!({"configMap": {"name": "code", "key": "train.py"}, "sha256": "a".repeat(64)})
}

fn refuses(training: Value, parts: &[&str]) {
    let told = validate_model(&trained_model(training.clone(), 1)).unwrap_err().problems;
    let [message] = told.as_slice() else { panic!("{training}: {told:#?}") };
    let missing: Vec<_> = parts.iter().filter(|part| !message.contains(**part)).collect();
    assert!(missing.is_empty(), "{training}: {message} lacks {missing:?}");
}

fn pod_of(model: &ValidModel, settings: &Settings) -> PodSpec {
    build_job(model, settings, false).spec.unwrap().template.spec.unwrap()
}

fn mounted<'a>(container: &'a Container, path: &str) -> Option<&'a str> {
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.find(|mount| mount.mount_path == path).map(|mount| mount.name.as_str())
}

#[test]
fn what_only_networks_do_is_refused_of_others() {
    let checkpoint = json!({"run": {"checkpoint": {"claim": "kept"}}});
    refuses(checkpoint.clone(), &["spec.training.run.checkpoint.claim `kept`", "no candidate has layers"]);
    refuses(json!({"from": {"version": 1}}), &["spec.training.from", "no candidate has layers", "remove it"]);
    refuses(
        network(json!({"run": {"checkpoint": {"claim": "Kept"}}})),
        &["claim `Kept` is no Kubernetes name"],
    );
    for more in [checkpoint, json!({"from": {"version": 1}})] {
        let mut own = code(pinned());
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        for training in [network(more), own] {
            assert_eq!(validate_model(&trained_model(training.clone(), 1)).err(), None, "{training}");
        }
    }
}

#[test]
fn code_is_in_the_spec_or_pinned_by_its_digest() {
    refuses(code(json!({})), &["trainer.python takes exactly one of inline", "configMap"]);
    refuses(
        code(json!({"inline": "x", "sha256": "a".repeat(64)})),
        &["python.sha256", "remove it beside inline"],
    );
    refuses(
        code(json!({"configMap": {"name": "code", "key": "a"}})),
        &["python.sha256 is missing beside configMap `code`"],
    );
    refuses(code(json!({"inline": " "})), &["python.inline is empty"]);
    refuses(code(json!({"inline": "a\0b"})), &["python.inline has a NUL character", "at byte 1"]);
    refuses(
        code(json!({"inline": "x".repeat(65_537)})),
        &["python.inline has 65537 bytes", "at most 65536", "ConfigMap"],
    );
    let mut short = pinned();
    short["sha256"] = "ab".into();
    refuses(code(short), &["python.sha256 `ab` is not 64"]);
    refuses(
        json!({"trainer": {"python": pinned(), "image": "mine:1"}}),
        &["python and spec.training.trainer.image `mine:1`"],
    );
    refuses(
        json!({"trainer": {"python": pinned(), "args": ["x"]}}),
        &["trainer.args applies to an own image only"],
    );
    refuses(
        network(json!({"trainer": {"python": pinned()}})),
        &["candidates[0].layers are trained by the built-in Keras"],
    );
}

/// The digest says which code it is; how a run goes on says nothing of the model.
#[test]
fn code_and_the_version_that_is_started_from_decide_a_version() {
    let hash = |training: Value| spec_hash(&trained_model(training, 1));
    let mut moved = pinned();
    moved["configMap"] = json!({"name": "other", "key": "main.py"});
    let mut changed = pinned();
    changed["sha256"] = "b".repeat(64).into();
    assert_eq!(hash(code(pinned())), hash(code(moved)));
    assert_ne!(hash(code(pinned())), hash(code(changed)));
    assert_ne!(hash(code(json!({"inline": "a"}))), hash(code(json!({"inline": "b"}))));
    let plain = hash(network(json!({})));
    assert_eq!(hash(network(json!({"run": {"checkpoint": {"claim": "kept"}}}))), plain);
    let [one, two] = [1, 2].map(|version| hash(network(json!({"from": {"version": version}}))));
    assert!(one != plain && two != plain && one != two);
    assert_eq!(
        hash(network(json!({"from": {"version": 1}}))),
        "v1-48cc6cc395e2e97429cb1461e791cea65cd82d5d8edbd82c87f764e50c9b48f8",
    );
    assert_eq!(
        hash(code(json!({"inline": "print(1)"}))),
        "v1-2df15110a2bfcb6ee9048d59d7ea88c275da5a27f4bd2940457554278ed2dedd"
    );
    assert_eq!(hash(code(pinned())), "v1-3c8427106b5d28a4c368e1b03db23129ff777865c266dc93946ecfddbfa8c2b0");
}

#[test]
fn a_checkpoint_is_mounted_into_train_alone_and_is_no_part_of_the_store() {
    let model = valid(&trained_model(network(json!({"run": {"checkpoint": {"claim": "kept"}}})), 1));
    let pod = pod_of(&model, &settings());
    let init = pod.init_containers.unwrap();
    let path = "/modelwright/checkpoint";
    assert_eq!(mounted(&init[1], path), Some("checkpoint"));
    for other in [&init[0], &init[2], &pod.containers[0]] {
        assert_eq!(mounted(other, path), None, "{}", other.name);
    }
    let told = serde_json::to_value(&model.training().unwrap().config).unwrap();
    assert_eq!(told["checkpoint"], json!({"directory": path}));
    let store = Settings { store_uri: "pvc://kept/models".into(), ..settings() };
    let problem = complete(&model, &store, &[]).unwrap_err();
    assert_eq!(problem.reason, "ClaimRefused");
    assert!(
        problem.message.contains("checkpoint.claim is kept, the claim of the store"),
        "{}",
        problem.message
    );
    // nor what an image of a user's own may do with it
    let mine = json!({"trainer": {"image": "mine:1"}, "run": {"checkpoint": {"claim": "kept"}}});
    let problem = complete(&valid(&trained_model(mine, 1)), &store, &[]).unwrap_err();
    assert_eq!(problem.reason, "ClaimRefused");
    // the claim of the data as well is one volume, which only `train` may write
    let mut both = network(json!({"run": {"checkpoint": {"claim": "kept"}}}));
    both["data"] = json!({"uri": "pvc://kept/digits.csv", "format": "CSV", "label": "digit"});
    let pod = pod_of(&valid(&trained_model(both, 1)), &settings());
    let claims: Vec<_> =
        pod.volumes.iter().flatten().filter_map(|one| one.persistent_volume_claim.as_ref()).collect();
    assert_eq!((claims.len(), claims[0].read_only), (1, None));
    let init = pod.init_containers.unwrap();
    assert_eq!(
        (mounted(&init[0], "/modelwright-claim"), mounted(&init[1], path)),
        (Some("claim"), Some("claim"))
    );
    assert_eq!(
        init[0].volume_mounts.iter().flatten().find(|one| one.name == "claim").unwrap().read_only,
        Some(true)
    );
}

#[test]
fn code_reaches_train_alone_in_the_image_of_its_library() {
    for (training, keras) in [
        (code(json!({"inline": "print(1)"})), false),
        (json!({"trainer": {"library": "Keras", "python": {"inline": "print(1)"}}, "candidates": []}), true),
        (code(pinned()), false),
    ] {
        let model = valid(&trained_model(training.clone(), 1));
        let pod = pod_of(&model, &settings());
        let init = pod.init_containers.unwrap();
        let train = &init[1];
        let image = if keras { settings().trainer_keras_image.unwrap() } else { settings().trainer_image };
        assert_eq!(train.image.as_deref(), Some(image.as_str()));
        assert_eq!(train.command, None, "the image's entrypoint");
        let args = train.args.clone().unwrap();
        assert_eq!(args[0], "own");
        let env = train.env.iter().flatten().find(|one| one.name == "MODELWRIGHT_CODE");
        if training["trainer"]["python"].get("inline").is_some() {
            assert_eq!((args.len(), env.unwrap().value.as_deref()), (1, Some("print(1)")));
        } else {
            assert_eq!(
                args[1..],
                ["--sha256".to_owned(), "a".repeat(64), "/modelwright-code/main.py".into()]
            );
            assert_eq!((env, mounted(train, "/modelwright-code")), (None, Some("code")));
            let volume = pod.volumes.iter().flatten().find(|one| one.name == "code").unwrap();
            let map = volume.config_map.as_ref().unwrap();
            let item = &map.items.as_ref().unwrap()[0];
            assert_eq!(
                (map.name.as_str(), item.key.as_str(), item.path.as_str()),
                ("code", "train.py", "main.py")
            );
        }
        for other in [&init[0], &init[2], &pod.containers[0]] {
            assert_eq!(mounted(other, "/modelwright-code"), None);
        }
    }
}

/// What the kubelet makes of the value of a variable, where no variable before it is named.
fn expanded(value: &str) -> String {
    assert!(!value.replace("$$", "").contains("$("), "{value}");
    value.replace("$$", "$")
}

#[test]
fn what_a_user_writes_reaches_containers_as_it_is_with_dollars_in_it() {
    let written = "print('$$1 $(HOME) $$(HOME) $x$')";
    let mut training = code(json!({"inline": written}));
    training["data"] = json!({"uri": "s3://bucket/digits.csv", "format": "CSV", "label": "cost $$"});
    let pod = pod_of(&valid(&trained_model(training, 1)), &settings());
    let of = |container: &Container, name: &str| {
        let env = container.env.iter().flatten().find(|one| one.name == name).unwrap();
        expanded(env.value.as_deref().unwrap())
    };
    let init = pod.init_containers.unwrap();
    assert_eq!(of(&init[1], "MODELWRIGHT_CODE"), written);
    let told: FetchConfig = serde_json::from_str(&of(&init[0], "MODELWRIGHT_FETCH")).unwrap();
    assert_eq!(told.run.unwrap().data.label, "cost $$");
}

fn version(number: u64, uri: &str) -> ModelVersion {
    let model = trained_model(json!({}), 1);
    let mut version = build_version(&valid(&model), number, &training_reports('c'), &job(&model), 1);
    version.spec.artifact = Artifact { uri: uri.into(), ..version.spec.artifact };
    version
}

#[test]
fn the_version_that_a_training_starts_from_is_fetched_by_its_digest() {
    let model = valid(&trained_model(network(json!({"from": {"version": 2}})), 1));
    let told = serde_json::to_value(&model.training().unwrap().config).unwrap();
    assert_eq!(told["from"], json!({"directory": "/modelwright/from/modelwright"}));
    for (uri, mount, credentials) in [
        ("oci://store:5000/models/digits@sha256:aa", "/etc/modelwright/store-credentials", true),
        ("pvc://old-store/models/space/digits/aa/", "/modelwright-from-claim", false),
    ] {
        let versions = [version(1, "oci://x/y"), version(2, uri)].map(std::sync::Arc::new);
        let complete = complete(&model, &settings(), &versions).unwrap();
        let pod = pod_of(&complete, &settings());
        let fetch = &pod.init_containers.as_ref().unwrap()[0];
        assert!(mounted(fetch, mount).is_some(), "{uri}: {:?}", fetch.volume_mounts);
        let config: FetchConfig =
            serde_json::from_str(fetch.env.as_ref().unwrap()[0].value.as_ref().unwrap()).unwrap();
        let [further] = config.further.as_slice() else { panic!("{config:?}") };
        assert_eq!((further.kind, further.uri.as_str()), (FetchKind::Artifact, uri));
        assert_eq!(further.sha256.as_ref(), Some(&versions[1].spec.artifact.sha256));
        assert_eq!(further.destination, "/modelwright/from");
        assert_eq!(further.credentials_directory.is_some(), credentials);
        let volumes = pod.volumes.unwrap();
        for mount in fetch.volume_mounts.iter().flatten() {
            assert!(volumes.iter().any(|volume| volume.name == mount.name), "{}", mount.name);
        }
    }
}

#[tokio::test]
async fn a_version_that_is_not_there_is_told_and_no_run_is_made() {
    let model = trained_model(network(json!({"from": {"version": 7}})), 1);
    let (mut context, mut server) = context();
    let mut other = version(1, "oci://x/y");
    other.spec.spec_hash = "v1-other".into();
    context.caches.versions = Cache::fixed(vec![other]);
    play(reconciled(&model, context), async {
        let call = server.expect("PATCH", STATUS).await;
        let stalled = condition(&call.body, "Stalled");
        assert_eq!(stalled["reason"], "VersionNotFound");
        let message = stalled["message"].as_str().unwrap();
        assert!(message.contains("from.version is 7") && message.contains("it has 1"), "{message}");
        call.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}
