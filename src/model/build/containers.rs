//! The containers of a run's pod, one a phase. Pure.

use k8s_openapi::api::core::v1::{Container, ContainerPort};
use modelwright_contract::{
    fetch::{FetchConfig, FetchKind},
    names,
    prove::ProveConfig,
    publish::{PublishConfig, Push, Store},
    training::{Judgement, OUTPUT_DIRECTORY},
    variants::{OPTIMIZE_ENV, OptimizeConfig},
};

use super::{
    convert::{convert_container, imported_directory},
    further::{MARGIN_BYTES, further, further_mounts},
    parts::{confined, run_variable, runtime_container, train_resources, work_mounts},
    prepare::prepare_container,
    trainer::{device, trainer_image},
    volumes::{CODE, FETCHED, STORE_TOKEN, volume_of},
};
use crate::{
    context::Settings,
    model::{
        run::phases::Phase,
        validate::{Code, Place, Trainer, ValidModel, ValidTraining, Work},
    },
    pods::parts::{mount, variable},
    store,
};

/// For how long a store that does not answer is retried inside one pod.
const STORE_RETRY_SECONDS: u32 = 15 * 60;
const GOLDEN_SAMPLES: u32 = 8;
const GOLDEN_SEED: u64 = 7;
/// How the image of the trainer makes variants.
const OPTIMIZE_COMMAND: [&str; 4] = ["/usr/bin/python3.11", "-IB", "-m", "modelwright_trainer.optimize"];

/// The container of a phase, if the Model asks for what it does; `recalls` is the UID of the Job whose report `publish` reads.
pub(super) fn container(
    phase: Phase,
    model: &ValidModel,
    settings: &Settings,
    recalls: Option<&str>,
) -> Option<Container> {
    match phase {
        Phase::Fetch => Some(fetch_container(model, settings)),
        Phase::Convert => Some(convert_container(model, settings)),
        Phase::Prepare => prepare_container(model, settings),
        Phase::Train => Some(train_container(model, model.training()?, settings)),
        Phase::Optimize => Some(optimize_container(model, settings)),
        Phase::Prove => Some(prove_container(model, settings)),
        Phase::Publish => Some(publish_container(model, settings, recalls)),
    }
}

fn fetch_container(model: &ValidModel, settings: &Settings) -> Container {
    let source = model.source();
    // what the store of before kept is its own, too
    let is_kept = model.kept.is_some() && model.training().is_none();
    let is_remote = matches!(source.place, Place::Remote(_));
    let from_store = (is_kept && is_remote) || store::holds(&settings.store_uri, &source.uri);
    let credentials = match (&source.credentials_secret, from_store) {
        (Some(_), _) => Some(names::CREDENTIALS_DIRECTORY),
        (None, true) => Some(names::STORE_CREDENTIALS_DIRECTORY),
        (None, false) => None,
    };
    let (max_model_bytes, max_further_bytes) = match (&model.work, &model.evaluation) {
        (Work::Import(_), Some(_)) => model.sizes.max_measured_bytes(),
        _ => (model.sizes.max_model_bytes(), model.sizes.max_data_bytes()),
    };
    let (kind, max_bytes, run) = match (&model.work, &model.kept) {
        (Work::Import(_), Some(kept)) => (FetchKind::Artifact, kept.artifact.size_bytes + MARGIN_BYTES, None),
        (Work::Import(_), None) => (FetchKind::Source, max_model_bytes, None),
        (Work::Train(training), _) => {
            (FetchKind::Data, model.sizes.max_data_bytes(), Some(Box::new(training.config.clone())))
        }
    };
    let config = FetchConfig {
        kind,
        uri: source.uri.clone(),
        sha256: source.sha256.clone(),
        destination: names::SOURCE_DIRECTORY.into(),
        credentials_directory: credentials.map(Into::into),
        credentials_secret: source.credentials_secret.clone(),
        max_bytes,
        // the store is the administrator's own, whatever range it is in
        allow_private_networks: from_store || settings.allow_private_networks,
        plain_http: from_store && settings.store_plain_http,
        run,
        waits: settings.waits,
        claim_directory: None,
        further: further(model, max_further_bytes, settings),
    };
    let mut mounts = work_mounts();
    mounts.push(mount(FETCHED, names::FETCHED_DIRECTORY, false));
    if source.credentials_secret.is_some() {
        mounts.push(mount("credentials", names::CREDENTIALS_DIRECTORY, true));
    } else if from_store {
        mounts.push(mount("store-credentials", names::STORE_CREDENTIALS_DIRECTORY, true));
    }
    if matches!(source.place, Place::Claim(_)) {
        mounts.push(mount("claim", names::CLAIM_DIRECTORY, true));
    }
    for further in further_mounts(model, settings) {
        if !mounts.contains(&further) {
            mounts.push(further);
        }
    }
    let mut fetch = Container {
        volume_mounts: Some(mounts),
        ..runtime_container(Phase::Fetch, names::FETCH_ENV, &config, settings, &model.sizes.fetch)
    };
    if model.training().is_some() {
        look_for_earlier(&mut fetch, model, settings);
    }
    fetch
}

/// For how long a store that does not answer is asked for an earlier attempt.
const EARLIER_RETRY_SECONDS: u32 = 10;

/// Lets `fetch` look whether an earlier attempt of the training published before its pod was lost. One pod mounts one claim in
/// one place: where data come from another than the store's, nothing is looked for.
fn look_for_earlier(fetch: &mut Container, model: &ValidModel, settings: &Settings) {
    let store = match store::claim(&settings.store_uri) {
        Some(claim) => mount(volume_of(model, settings, claim), names::CLAIM_DIRECTORY, true),
        None => mount("store-credentials", names::STORE_CREDENTIALS_DIRECTORY, true),
    };
    let mounts = fetch.volume_mounts.get_or_insert_default();
    match mounts.iter().find(|mount| mount.mount_path == store.mount_path) {
        Some(known) if known.name != store.name => return,
        Some(_) => {}
        None => mounts.push(store),
    }
    let config = PublishConfig {
        store_retry_seconds: EARLIER_RETRY_SECONDS,
        ..publish_config(model, settings, Some(""))
    };
    let env = fetch.env.get_or_insert_default();
    let config = serde_json::to_string(&config).expect("the contract's types are JSON");
    env.push(variable(names::EARLIER_ENV, &config));
    env.push(run_variable());
}

/// Without any credentials: what runs in here may be a user's own.
fn train_container(model: &ValidModel, training: &ValidTraining, settings: &Settings) -> Container {
    let (command, args) = match &training.trainer {
        Trainer::ScikitLearn | Trainer::Keras => (Vec::new(), Vec::new()),
        Trainer::Python { code, .. } => (Vec::new(), own_code_arguments(code)),
        Trainer::Image { command, args, .. } => (command.clone(), args.clone()),
    };
    // the user of the pod has no home of its own, and the image's file system is read-only
    let mut env = vec![variable("HOME", "/tmp")];
    if let Some(device) = device(training) {
        env.push(variable(names::DEVICE_ENV, device));
    }
    let mut mounts = work_mounts();
    match &training.trainer {
        Trainer::Python { code: Code::Inline(code), .. } => env.push(variable(names::CODE_ENV, code)),
        Trainer::Python { code: Code::ConfigMap { .. }, .. } => {
            mounts.push(mount(CODE, names::CODE_DIRECTORY, true));
        }
        _ => {}
    }
    if let Some(claim) = &training.checkpoint {
        mounts.push(mount(volume_of(model, settings, claim), names::CHECKPOINT_DIRECTORY, false));
    }
    let some = |words: Vec<String>| Some(words).filter(|words| !words.is_empty());
    Container {
        name: Phase::Train.container().into(),
        image: Some(trainer_image(training, settings).to_owned()),
        command: some(command),
        args: some(args),
        env: Some(env),
        ports: Some(vec![ContainerPort {
            name: Some("progress".into()),
            container_port: names::METRICS_PORT.into(),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: Some(train_resources(training)),
        volume_mounts: Some(mounts),
        ..confined()
    }
}

/// What the entrypoint of a built-in image is told, to run code of a user's own.
fn own_code_arguments(code: &Code) -> Vec<String> {
    let own = "own".to_owned();
    match code {
        Code::Inline(_) => vec![own],
        Code::ConfigMap { sha256, .. } => {
            let file = format!("{}/{}", names::CODE_DIRECTORY, names::CODE_FILE);
            vec![own, "--sha256".into(), sha256.clone(), file]
        }
    }
}

/// Without any credentials, as `train`. It is the built-in trainer's, whoever trained.
fn optimize_container(model: &ValidModel, settings: &Settings) -> Container {
    let config = OptimizeConfig { directory: OUTPUT_DIRECTORY.into(), variants: model.variants.clone() };
    let config = serde_json::to_string(&config).expect("strings and words are JSON");
    Container {
        name: Phase::Optimize.container().into(),
        image: Some(settings.trainer_image.clone()),
        command: Some(OPTIMIZE_COMMAND.map(Into::into).to_vec()),
        env: Some(vec![variable("HOME", "/tmp"), variable(OPTIMIZE_ENV, &config)]),
        resources: Some(model.sizes.optimize.clone()),
        volume_mounts: Some(work_mounts()),
        ..confined()
    }
}

/// Without any credentials, as `train`: it runs a graph that may be anybody's.
fn prove_container(model: &ValidModel, settings: &Settings) -> Container {
    let evaluation = model.evaluation.as_ref().map(|evaluation| evaluation.judgement.clone());
    let judgement = model
        .training()
        .map(|training| Judgement { task: training.config.task, gates: training.gates.clone() });
    let is_as_it_came = evaluation.is_none() && judgement.is_none();
    let directory = if is_as_it_came { imported_directory(model) } else { OUTPUT_DIRECTORY };
    let config = ProveConfig {
        directory: directory.into(),
        proof: names::PROOF_DIRECTORY.into(),
        golden_samples: GOLDEN_SAMPLES,
        golden_seed: GOLDEN_SEED,
        deadline_seconds: model.sizes.prove_deadline_seconds,
        judgement,
        evaluation,
        variants: model.variants.clone(),
        keep_evaluation: model.keep_evaluation,
        tolerate_crash_inputs: model.source().tolerate_crash_inputs.clone(),
    };
    Container {
        volume_mounts: Some(work_mounts()),
        ..runtime_container(Phase::Prove, names::PROVE_ENV, &config, settings, &model.sizes.prove)
    }
}

/// Runs no model: it has the store's credentials. It stores what was proven, or recalls the report of a run.
fn publish_container(model: &ValidModel, settings: &Settings, recalls: Option<&str>) -> Container {
    let claim = store::claim(&settings.store_uri);
    let mut config = publish_config(model, settings, recalls);
    if recalls.is_none() {
        config.store.push = push(settings);
    }
    let mut mounts = work_mounts();
    mounts.push(match claim {
        Some(claim) => mount(volume_of(model, settings, claim), names::CLAIM_DIRECTORY, false),
        None => mount("store-credentials", names::STORE_CREDENTIALS_DIRECTORY, true),
    });
    let mut publish =
        runtime_container(Phase::Publish, names::PUBLISH_ENV, &config, settings, &model.sizes.publish);
    if recalls.is_none() {
        publish.env.get_or_insert_default().push(run_variable());
        mounts.push(mount(FETCHED, names::FETCHED_DIRECTORY, true));
    }
    if config.store.push.is_some() {
        mounts.push(mount(STORE_TOKEN, names::STORE_TOKEN_DIRECTORY, true));
    }
    Container { volume_mounts: Some(mounts), ..publish }
}

/// Where and by what the chart's own store is written to; what is read needs neither.
fn push(settings: &Settings) -> Option<Push> {
    let host = settings.store_push_host.clone()?;
    let token_file = format!("{}/{}", names::STORE_TOKEN_DIRECTORY, names::STORE_TOKEN_FILE);
    Some(Push { host, token_file })
}

fn publish_config(model: &ValidModel, settings: &Settings, recalls: Option<&str>) -> PublishConfig {
    PublishConfig {
        namespace: model.namespace.clone(),
        model: model.name.clone(),
        proof: recalls.is_none().then(|| names::PROOF_DIRECTORY.into()),
        recall: recalls.map(Into::into),
        store: Store {
            uri: settings.store_uri.clone(),
            plain_http: settings.store_plain_http,
            credentials_directory: store::claim(&settings.store_uri)
                .is_none()
                .then(|| names::STORE_CREDENTIALS_DIRECTORY.into()),
            push: None,
        },
        store_retry_seconds: STORE_RETRY_SECONDS,
        waits: settings.waits,
        // what `prove` was told
        directory: String::new(),
        golden_samples: 0,
        golden_seed: 0,
        judgement: None,
        evaluation: None,
        variants: Vec::new(),
        keep_evaluation: false,
        tolerate_crash_inputs: Vec::new(),
    }
}
