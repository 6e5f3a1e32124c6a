//! An import that is measured: what its run is given, which version it makes, and what is said where it cannot be measured.

use k8s_openapi::api::{batch::v1::Job, core::v1::Container};
use modelwright::{
    api::{Model, ModelVersion, SourceFormat},
    context::Settings,
    model::{
        build::{build_job, build_version, complete},
        kept::take_over,
        plan::{Step, plan_model},
        run::{RunState, read_run, report::Reports},
        validate::validate_model,
    },
};
use modelwright_contract::{
    evaluation::EvaluationConfig,
    fetch::{FetchConfig, FetchKind},
    names::{SOURCE_DIRECTORY, TEST_DIRECTORY},
    prove::ProveConfig,
    training::{Metric, OUTPUT_DIRECTORY, Task},
};
use serde_json::{Value, json};

use crate::fixtures::{
    ended, finished, job, model, pod, reports, runs, settings, snapshot, trained_model, valid,
    variant_reports, version,
};

fn measured(evaluation: Value, optimize: Value, generation: i64) -> Model {
    let mut written = json!({
        "task": "Classification",
        "data": {"uri": "s3://bucket/digits-test.csv", "format": "CSV", "label": "digit"},
        "gates": [{"metric": "Accuracy", "min": "0.9"}],
    });
    for (name, part) in evaluation.as_object().unwrap() {
        written[name] = part.clone();
    }
    let mut model = model("s3://bucket/digits.onnx", generation);
    model.spec.evaluation = serde_json::from_value(written).unwrap();
    model.spec.optimize = serde_json::from_value(optimize).unwrap();
    model
}

fn int8() -> Value {
    json!([{"name": "int8", "quantize": "Dynamic"}])
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

fn told<T: serde::de::DeserializeOwned>(container: &Container, variable: &str) -> T {
    let variable = container.env.iter().flatten().find(|one| one.name == variable).unwrap();
    serde_json::from_str(variable.value.as_ref().unwrap()).unwrap()
}

#[test]
fn a_measured_import_has_its_data_beside_the_model_and_is_judged_by_its_gates() {
    let model = measured(json!({"classes": ["a", "b"]}), int8(), 1);
    let run = containers(&build_job(&valid(&model), &settings(), false));
    assert_eq!(names(&run), ["fetch", "prepare", "optimize", "prove", "publish"]);
    let fetch: FetchConfig = told(&run[0], "MODELWRIGHT_FETCH");
    let [data] = fetch.further.as_slice() else { panic!("{fetch:?}") };
    assert_eq!((fetch.kind, data.kind, fetch.run), (FetchKind::Source, FetchKind::Data, None));
    assert_eq!(
        (data.uri.as_str(), data.destination.as_str()),
        ("s3://bucket/digits-test.csv", TEST_DIRECTORY)
    );
    assert!(fetch.max_bytes * 2 + data.max_bytes * 3 <= 4 << 30, "both and what is made of them have room");
    let prepare: EvaluationConfig = told(&run[1], "MODELWRIGHT_EVALUATION");
    assert_eq!((prepare.directory.as_str(), prepare.output.as_str()), (SOURCE_DIRECTORY, OUTPUT_DIRECTORY));
    assert_eq!((prepare.task, prepare.data.directory.as_str()), (Task::Classification, TEST_DIRECTORY));
    assert_eq!((prepare.classes.len(), &run[1].args), (2, &Some(vec!["prepare-import".to_owned()])));
    assert_eq!(run[1].image, Some(settings().trainer_image));
    let prove: ProveConfig = told(&run[3], "MODELWRIGHT_PROVE");
    assert_eq!((prove.directory.as_str(), prove.judgement.is_none()), (OUTPUT_DIRECTORY, true));
    assert_eq!((prove.evaluation.unwrap().gates.len(), prove.variants[0].metric), (1, Metric::F1Macro));
    for container in &run[1..4] {
        assert!(!serde_json::to_string(container).unwrap().contains("credentials"), "{}", container.name);
    }
    let plain = containers(&build_job(&valid(&measured(json!({}), json!([]), 1)), &settings(), false));
    assert_eq!(names(&plain), ["fetch", "prepare", "prove", "publish"]);
}

/// What a run of a measured import reports.
fn figures(digest: char, accuracy: &str, variants: &[(&str, char)]) -> Reports {
    let mut told = reports(digest);
    told.fetch.test_sha256 = Some("d".repeat(64));
    told.publish.metrics =
        [("Accuracy".to_owned(), accuracy.to_owned()), ("F1Macro".to_owned(), "0.9".to_owned())].into();
    told.publish.variants = variant_reports(variants);
    told
}

fn made(model: &Model, number: u64, told: &Reports) -> ModelVersion {
    let mut version = version(model, number, 'a', i64::try_from(number).unwrap());
    version.spec = build_version(&valid(model), number, told, &job(model), 1).spec;
    version
}

#[test]
fn its_version_says_how_it_was_measured_on_which_data() {
    let spec = made(&measured(json!({}), json!([]), 1), 1, &figures('a', "0.97", &[])).spec;
    let evaluation = spec.evaluation.unwrap();
    assert_eq!(
        (evaluation.metric.as_deref(), evaluation.metrics["Accuracy"].as_str()),
        (Some("F1Macro"), "0.97")
    );
    assert_eq!(spec.provenance.test_sha256, Some("d".repeat(64)));
    let plain = made(&model("s3://bucket/digits.onnx", 1), 1, &figures('a', "0.97", &[])).spec;
    assert_eq!(plain.evaluation.unwrap().metric, None, "what an artifact brings was not asked for");
}

/// What to do with a run of `model` that reported this, beside these versions.
fn recorded(model: &Model, there: Vec<ModelVersion>, told: &Reports) -> Step {
    let job = finished(job(model), "Complete", "CompletionsReached");
    let message = |report: Value| json!({"succeeded": report}).to_string();
    let status = json!({
        "phase": "Succeeded",
        "initContainerStatuses": [ended("fetch", 0, &message(json!(told.fetch)))],
        "containerStatuses": [ended("publish", 0, &message(json!(told.publish)))],
    });
    let seen = snapshot(there, vec![job.clone()], vec![pod(&job, status)]);
    plan_model(model, &valid(model), &seen).step
}

#[test]
fn the_same_bytes_with_other_figures_are_another_version_and_with_the_same_ones_none() {
    let first = made(&model("s3://bucket/digits.onnx", 1), 1, &reports('a'));
    let asked = measured(json!({}), json!([]), 2);
    let step = recorded(&asked, vec![first.clone()], &figures('a', "0.97", &[]));
    assert!(matches!(step, Step::Record { number: 2, .. }), "{step:?}");
    let second = made(&asked, 2, &figures('a', "0.97", &[]));
    let stricter = measured(json!({"gates": [{"metric": "Accuracy", "min": "0.95"}]}), json!([]), 3);
    let there = vec![first, second];
    let step = recorded(&stricter, there.clone(), &figures('a', "0.97", &[]));
    assert!(matches!(&step, Step::Link { version, .. } if version.spec.version == 2), "{step:?}");
    for (other, accuracy) in [(json!({"metric": "Accuracy"}), "0.97"), (json!({}), "0.98")] {
        let model = measured(other, json!([]), 3);
        let model = if accuracy == "0.98" { measured(json!({"gates": []}), json!([]), 3) } else { model };
        let step = recorded(&model, there.clone(), &figures('a', accuracy, &[]));
        assert!(matches!(step, Step::Record { number: 3, .. }), "{step:?}");
    }
}

#[test]
fn the_same_figures_of_other_data_are_another_version_whose_variants_find_their_data() {
    let first = made(&measured(json!({}), json!([]), 1), 1, &figures('a', "1", &[]));
    let data = json!({"uri": "s3://bucket/other-test.csv", "format": "CSV", "label": "digit"});
    let mut told = figures('a', "1", &[]);
    told.fetch.test_sha256 = Some("e".repeat(64));
    let step = recorded(&measured(json!({"data": data}), json!([]), 2), vec![first], &told);
    assert!(matches!(step, Step::Record { number: 2, .. }), "{step:?}");
}

#[test]
fn a_model_that_loses_its_variants_is_the_version_without_them_whose_figures_it_has() {
    let plain = made(&measured(json!({}), json!([]), 1), 1, &figures('a', "0.97", &[]));
    let mut asked = measured(json!({"gates": []}), int8(), 2);
    let with = made(&asked, 2, &figures('a', "0.97", &[("int8", 'b')]));
    asked.spec.optimize = Vec::new();
    asked.metadata.generation = Some(3);
    let taking = take_over(&valid(&asked), &with).unwrap();
    let run = finished(build_job(&taking, &settings(), false), "Complete", "CompletionsReached");
    let message = |report: Value| json!({"succeeded": report}).to_string();
    let (fetch, publish) = (reports('a').fetch, reports('a').publish);
    let status = json!({
        "phase": "Succeeded",
        "initContainerStatuses": [ended("fetch", 0, &message(json!(fetch)))],
        "containerStatuses": [ended("publish", 0, &message(json!(publish)))],
    });
    let seen = snapshot(vec![plain, with], vec![run.clone()], vec![pod(&run, status)]);
    let step = plan_model(&asked, &valid(&asked), &seen).step;
    assert!(matches!(&step, Step::Link { version, .. } if version.spec.version == 1), "{step:?}");
}

#[test]
fn other_variants_are_made_of_the_kept_artifact_and_the_very_data_and_none_of_the_artifact_alone() {
    let version = made(&measured(json!({}), json!([]), 1), 4, &figures('a', "0.97", &[]));
    let taking = |model: &Model, settings: &Settings| {
        let taking = take_over(&valid(model), &version).unwrap();
        containers(&build_job(&complete(&taking, settings, &[]).unwrap(), settings, false))
    };
    for store in ["oci://store.example:5000/modelwright", "pvc://store/models"] {
        let settings = Settings { store_uri: store.into(), ..settings() };
        let run = taking(&measured(json!({}), int8(), 2), &settings);
        assert_eq!(names(&run), ["fetch", "prepare", "optimize", "prove", "publish"]);
        let fetch: FetchConfig = told(&run[0], "MODELWRIGHT_FETCH");
        assert_eq!((fetch.kind, &fetch.uri), (FetchKind::Artifact, &version.spec.artifact.uri));
        assert_eq!(fetch.further[0].sha256, version.spec.provenance.test_sha256, "the very data");
        let prove: ProveConfig = told(&run[3], "MODELWRIGHT_PROVE");
        assert_eq!((prove.variants.len(), prove.evaluation.unwrap().gates.len()), (1, 1));
        let run = taking(&measured(json!({}), json!([]), 2), &settings);
        assert_eq!(names(&run), ["fetch", "prove", "publish"]);
        let prove: ProveConfig = told(&run[1], "MODELWRIGHT_PROVE");
        assert_eq!((prove.directory.as_str(), prove.evaluation), (SOURCE_DIRECTORY, None));
    }
}

#[test]
fn pictures_are_read_by_the_image_that_has_a_library_for_them() {
    let data = json!({"uri": "s3://bucket/digits.tar", "format": "Images", "label": "digit"});
    let model = valid(&measured(json!({"data": data}), json!([]), 1));
    let run = containers(&build_job(&model, &settings(), false));
    assert_eq!(run[1].image, settings().trainer_keras_image);
    let without = Settings { trainer_keras_image: None, ..settings() };
    let problem = complete(&model, &without, &[]).unwrap_err();
    assert_eq!(problem.reason, "TrainerMissing");
    for part in ["spec.evaluation.data.format Images", "images.trainerKeras", "make images"] {
        assert!(problem.message.contains(part), "{part}: {}", problem.message);
    }
    assert!(complete(&valid(&measured(json!({}), int8(), 1)), &without, &[]).is_ok());
}

fn keras(evaluation: bool, generation: i64) -> Model {
    let mut model = measured(json!({}), json!([]), generation);
    let source = model.spec.source.as_mut().unwrap();
    (source.uri, source.format) = ("s3://bucket/digits.keras".into(), Some(SourceFormat::Keras));
    model.spec.evaluation = model.spec.evaluation.filter(|_| evaluation);
    model
}

#[test]
fn onnx_is_made_of_a_keras_file_by_the_image_that_knows_it_and_without_credentials() {
    let run = containers(&build_job(&valid(&keras(false, 1)), &settings(), false));
    assert_eq!(names(&run), ["fetch", "convert", "prove", "publish"]);
    let convert = &run[1];
    assert_eq!(convert.image, settings().trainer_keras_image);
    let args: Vec<&str> = convert.args.iter().flatten().map(String::as_str).collect();
    assert_eq!(args, ["convert-keras", "/modelwright/data/model.onnx", "/modelwright/converted"]);
    assert!(!serde_json::to_string(convert).unwrap().contains("credentials"));
    let prove: ProveConfig = told(&run[2], "MODELWRIGHT_PROVE");
    assert_eq!((prove.directory.as_str(), prove.evaluation), ("/modelwright/converted", None));

    let run = containers(&build_job(&valid(&keras(true, 1)), &settings(), false));
    assert_eq!(names(&run), ["fetch", "convert", "prepare", "prove", "publish"]);
    let prepare: EvaluationConfig = told(&run[2], "MODELWRIGHT_EVALUATION");
    assert_eq!(prepare.directory, "/modelwright/converted");

    let without = Settings { trainer_keras_image: None, ..settings() };
    let problem = complete(&valid(&keras(false, 1)), &without, &[]).unwrap_err();
    assert_eq!(problem.reason, "TrainerMissing");
    assert!(problem.message.contains("spec.source.format Keras"), "{}", problem.message);

    // what is kept of it is ONNX
    let version = made(&keras(true, 1), 1, &figures('a', "0.97", &[]));
    let mut optimized = keras(true, 2);
    optimized.spec.optimize = serde_json::from_value(int8()).unwrap();
    let taking = take_over(&valid(&optimized), &version).unwrap();
    let run = containers(&build_job(&complete(&taking, &settings(), &[]).unwrap(), &settings(), false));
    assert_eq!(names(&run), ["fetch", "prepare", "optimize", "prove", "publish"]);
}

#[test]
fn what_a_run_of_an_import_is_at_is_told() {
    let job = job(&keras(true, 1));
    for (container, phase, part) in [
        ("convert", "Converting", "ONNX is being made of its file"),
        ("prepare", "Preparing", "the data that it is measured on"),
    ] {
        let status =
            json!({"phase": "Pending", "initContainerStatuses": [ended("fetch", 0, ""), runs(container)]});
        let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![pod(&job, status)]));
        assert_eq!(run.status.phase, phase);
        let words = modelwright::model::run::words::words(false, Some(phase), None);
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn memory_that_its_data_lack_is_told_with_the_field_of_the_spec() {
    let job = finished(job(&keras(true, 1)), "Failed", "BackoffLimitExceeded");
    for (container, limit) in [("convert", "4Gi"), ("prepare", "2Gi")] {
        let mut killed = ended(container, 137, "");
        killed["state"]["terminated"]["reason"] = "OOMKilled".into();
        let status = json!({"phase": "Failed", "initContainerStatuses": [ended("fetch", 0, ""), killed]});
        let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![pod(&job, status)]));
        let RunState::Failed(failure) = run.state else { panic!("{run:?}") };
        assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("OutOfMemory", container));
        let field = format!("spec.run.{container}.limits.memory");
        assert!(failure.message.contains(limit) && failure.message.contains(&field), "{failure:?}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_by_its_field() {
    let mut trained = trained_model(json!({}), 1);
    trained.spec.evaluation = measured(json!({}), json!([]), 1).spec.evaluation;
    let mut unmeasured = model("s3://bucket/digits.onnx", 1);
    unmeasured.spec.optimize = serde_json::from_value(int8()).unwrap();
    let wrong = measured(json!({"task": "Regression"}), int8(), 1);
    for (model, part) in [
        (trained, "spec.evaluation measures an import"),
        (unmeasured, "spec.optimize needs spec.training or spec.evaluation"),
        (wrong, "spec.evaluation.gates[0].metric Accuracy measures a Classification"),
    ] {
        let problems = validate_model(&model).unwrap_err().problems;
        assert!(problems.len() == 1 && problems[0].contains(part), "{part}: {problems:?}");
    }
}
