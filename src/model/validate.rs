//! Validate: what a user wrote, parsed so that the later steps need not doubt it. In goes a Model, out comes a
//! [`ValidModel`] or every reason to refuse it. Pure.
//!
//! The CRD's schema and CEL rules refuse most of this at admission; objects from before a rule, and what CEL cannot say,
//! are refused here.

mod candidates;
mod code;
mod data;
mod evaluation;
mod inputs;
mod model;
mod network;
mod optimize;
mod problems;
mod run;
mod source;
mod training;

use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

pub use code::Code;
pub use evaluation::ValidEvaluation;
pub use model::{Kept, ValidModel, Work};
pub use problems::InvalidModel;
pub use run::ValidSizes;
pub use source::{Place, ValidSource};
pub use training::{Queue, StartFrom, Trainer, ValidTraining};

use super::{
    spec_hash::{optimize_hash, spec_hash},
    unknown::unknown_fields,
};
use crate::{
    api::{Model, Scheduling, SourceFormat, model::VersionHistory, name::MAX_NAME_LENGTH, run::RunSizes},
    hash,
    pods::{parts::check_scheduling, resources::Amounts},
};

const DEFAULT_KEEP: u32 = 10;
const MAX_KEEP: u32 = 100;

/// Parses a Model.
pub fn validate_model(model: &Model) -> Result<ValidModel, InvalidModel> {
    let mut problems = Vec::new();
    let name = model.name_any();
    if name.len() > MAX_NAME_LENGTH {
        problems.push(format!(
            "metadata.name has {} characters, at most {MAX_NAME_LENGTH} are possible; choose a shorter one",
            name.len()
        ));
    }
    problems.extend(unknown_fields(model));
    let work = validate_work(model, &name, &mut problems);
    let run = model.spec.run.clone().unwrap_or_default();
    let training = work.as_ref().and_then(|work| match work {
        Work::Import(_) => None,
        Work::Train(training) => Some(training),
    });
    let is_keras = training.is_some_and(|training| training.trainer.needs_keras());
    let evaluation = validate_evaluation(model, &mut problems);
    let volume_size = if is_keras { run::KERAS_VOLUME_SIZE } else { run::VOLUME_SIZE };
    // what is measured has as much memory for that as what was trained with nothing said
    let unsaid = Amounts::new();
    let limits =
        training.map(|training| &training.limits).or_else(|| evaluation.is_some().then_some(&unsaid));
    let sizes = run::validate_sizes(&run, limits, volume_size, &mut problems);
    let metric = training
        .map(|training| training.config.selection.metric)
        .or_else(|| Some(evaluation.as_ref()?.metric));
    // of what makes no sense, that is said
    let is_judged = work.is_some() && evaluation.is_some() == model.spec.evaluation.is_some();
    let asked = if is_judged { model.spec.optimize.as_slice() } else { &[] };
    let variants = optimize::validate_optimize(asked, metric, &mut problems);
    let scheduling = model.spec.scheduling.clone().unwrap_or_default();
    check_scheduling(&scheduling, &mut problems);
    let keep = validate_keep(model.spec.history.as_ref(), &mut problems);
    match work {
        Some(work) if problems.is_empty() => Ok(ValidModel {
            name,
            namespace: model.namespace().unwrap_or_default(),
            uid: model.uid().unwrap_or_default(),
            generation: model.metadata.generation.unwrap_or(0),
            owner: model.controller_owner_ref(&()).unwrap_or_default(),
            variants,
            kept: None,
            spec_hash: spec_hash(model),
            optimize_hash: optimize_hash(model),
            scheduling_hash: scheduling_hash(&scheduling, model.spec.run.as_ref(), &work),
            work,
            evaluation,
            sizes,
            keep_evaluation: model.spec.keep_evaluation.unwrap_or(false),
            scheduling,
            keep,
        }),
        _ => Err(InvalidModel { problems }),
    }
}

fn validate_work(model: &Model, name: &str, problems: &mut Vec<String>) -> Option<Work> {
    match (&model.spec.source, &model.spec.training) {
        (Some(source), None) => source::validate_source(
            "spec.source",
            [&source.uri, "digits.onnx"],
            source.sha256.as_ref(),
            source.credentials_secret.as_ref(),
            problems,
        )
        .map(|valid| {
            let format = source.format.unwrap_or_default();
            if format == SourceFormat::Keras && source.uri.ends_with('/') {
                problems.push(format!(
                    "spec.source.uri `{}` is a folder, and spec.source.format is Keras, one .keras file; name the file, for example s3://bucket/digits.keras",
                    source.uri
                ));
            }
            Work::Import(source::ValidSource {
                format,
                tolerate_crash_inputs: source.tolerate_crash_inputs.clone(),
                ..valid
            })
        }),
        (None, Some(training)) => {
            training::validate_training(name, training, problems).map(|valid| Work::Train(Box::new(valid)))
        }
        (Some(_), Some(_)) => {
            problems.push(
                "spec.source and spec.training are both set; a Model is either imported or trained: remove one"
                    .into(),
            );
            None
        }
        (None, None) => {
            problems.push(
                "spec has neither source nor training; set spec.source to import an ONNX model, or spec.training to train one from data"
                    .into(),
            );
            None
        }
    }
}

fn validate_evaluation(model: &Model, problems: &mut Vec<String>) -> Option<Box<ValidEvaluation>> {
    let written = model.spec.evaluation.as_ref()?;
    if model.spec.training.is_some() {
        problems.push(
            "spec.evaluation measures an import, and spec.training measures its model by spec.training.split and gates; remove spec.evaluation"
                .into(),
        );
    }
    evaluation::validate_evaluation(written, problems).map(Box::new)
}

fn validate_keep(history: Option<&VersionHistory>, problems: &mut Vec<String>) -> usize {
    let keep = history.and_then(|history| history.keep).unwrap_or(DEFAULT_KEEP);
    if !(1..=MAX_KEEP).contains(&keep) {
        problems.push(format!("spec.history.keep is {keep}; expected 1 to {MAX_KEEP}"));
    }
    keep as usize
}

/// A run that has not started is made anew when this changes. Of an import without sizes it is the scheduling alone.
fn scheduling_hash(scheduling: &Scheduling, sizes: Option<&RunSizes>, work: &Work) -> String {
    let scheduling =
        serde_json::to_value(scheduling).expect("strings, numbers and maps with string keys are JSON");
    let mut decided = match work {
        Work::Import(_) if sizes.is_none() => return hash::canonical(&scheduling),
        Work::Import(_) => json!({"scheduling": scheduling}),
        Work::Train(training) => json!({
            "scheduling": scheduling,
            "limits": training.limits,
            "requests": training.requests,
            "backoffLimit": training.backoff_limit,
            "activeDeadlineSeconds": training.deadline_seconds,
            "queueName": training.queue.as_ref().map(|queue| &queue.name),
            "priorityClass": training.queue.as_ref().and_then(|queue| queue.priority_class.as_ref()),
        }),
    };
    let checkpoint = match work {
        Work::Import(_) => None,
        Work::Train(training) => training.checkpoint.as_ref(),
    };
    if let Some(decided) = decided.as_object_mut() {
        decided.extend(sizes.map(|sizes| ("run".to_owned(), json!(sizes))));
        decided.extend(checkpoint.map(|claim| ("checkpoint".to_owned(), json!(claim))));
    }
    hash::canonical(&decided)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::api::{ModelSource, ModelSpec, scheduling::LabelValue};

    fn model(uri: &str) -> Model {
        let source = ModelSource {
            uri: uri.into(),
            format: None,
            sha256: None,
            credentials_secret: None,
            tolerate_crash_inputs: Vec::new(),
        };
        Model::new("digits", ModelSpec { source: Some(source), ..ModelSpec::default() })
    }

    #[test]
    fn scheduling_does_not_decide_a_version_but_source_and_rerun_do() {
        let plain = model("s3://bucket/digits.onnx");
        let mut scheduled = plain.clone();
        scheduled.spec.scheduling =
            Some(Scheduling { priority_class_name: Some("low".into()), ..Scheduling::default() });
        assert_eq!(spec_hash(&plain), spec_hash(&scheduled));
        assert_ne!(
            validate_model(&plain).unwrap().scheduling_hash,
            validate_model(&scheduled).unwrap().scheduling_hash
        );
        let mut rerun = plain.clone();
        rerun.spec.rerun = Some("again".into());
        assert_ne!(spec_hash(&plain), spec_hash(&rerun));
        assert_ne!(spec_hash(&plain), spec_hash(&model("s3://bucket/other.onnx")));
    }

    #[test]
    fn every_kind_of_source_is_understood() {
        let place = |uri: &str| validate_model(&model(uri)).unwrap().source().place.clone();
        assert_eq!(place("oci://registry:5000/models/digits:v1"), Place::Remote("registry:5000".into()));
        assert_eq!(place("https://host/digits.onnx"), Place::Remote("host".into()));
        assert_eq!(place("http://host"), Place::Remote("host".into()));
        assert_eq!(place("s3://bucket/folder/"), Place::Remote("bucket".into()));
        assert_eq!(place("pvc://my-claim/folder/digits.onnx"), Place::Claim("my-claim".into()));
    }

    #[test]
    fn a_keras_file_is_one_file() {
        let keras = |uri: &str| {
            let mut model = model(uri);
            model.spec.source.as_mut().unwrap().format = Some(SourceFormat::Keras);
            validate_model(&model)
        };
        assert!(keras("s3://bucket/digits.keras").unwrap().is_converted());
        assert!(!validate_model(&model("s3://bucket/digits.keras")).unwrap().is_converted());
        let message = keras("s3://bucket/folder/").unwrap_err().to_string();
        assert!(message.contains("spec.source.uri `s3://bucket/folder/` is a folder"), "{message}");
    }

    #[test]
    fn a_refusal_names_the_field_and_what_was_expected() {
        for (uri, word) in [
            ("ftp://host/file", "oci://"),
            ("digits.onnx", "oci://"),
            ("https:///file", "oci://"),
            ("https://user:secret@host/file", "Secret"),
            ("s3://bucket", "s3://bucket/digits.onnx"),
            ("pvc://claim/", "pvc://claim/digits.onnx"),
            ("pvc://claim/../other", ".."),
            ("pvc://Claim/x", "Kubernetes name"),
            ("https://host/a b", "white space"),
        ] {
            let message = validate_model(&model(uri)).unwrap_err().to_string();
            assert!(message.contains("spec.source.uri") && message.contains(word), "{uri}: {message}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let mut wrong = model("nothing");
        wrong.metadata.name = Some("n".repeat(41));
        let source = wrong.spec.source.as_mut().unwrap();
        source.sha256 = Some("ABC".into());
        source.credentials_secret = Some("database-password".into());
        wrong.spec.scheduling = Some(Scheduling {
            pod_labels: [("argocd.argoproj.io/instance".to_owned(), LabelValue("x".into()))].into(),
            ..Scheduling::default()
        });
        assert_eq!(validate_model(&wrong).unwrap_err().problems.len(), 5);
    }

    #[test]
    fn how_many_versions_are_kept_is_bounded_and_decides_no_version() {
        let keeping = |keep| {
            let mut model = model("s3://bucket/digits.onnx");
            model.spec.history = Some(VersionHistory { keep });
            model
        };
        let plain = validate_model(&model("s3://bucket/digits.onnx")).unwrap();
        for (keep, expected) in [(None, 10), (Some(1), 1), (Some(100), 100)] {
            let valid = validate_model(&keeping(keep)).unwrap();
            assert_eq!(valid, ValidModel { keep: expected, ..plain.clone() }, "nothing else differs");
        }
        for keep in [0, 101] {
            let message = validate_model(&keeping(Some(keep))).unwrap_err().to_string();
            assert!(
                message.contains(&format!("spec.history.keep is {keep}; expected 1 to 100")),
                "{message}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_uri_panics(uri in ".{0,60}", tail in "(oci|s3|https|pvc)://[a-z/.@:%-]{0,30}") {
            let _ = validate_model(&model(&uri));
            let _ = validate_model(&model(&tail));
        }
    }
}
