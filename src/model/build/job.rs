//! The Job of a run, that of its pod apart. Pure.

use k8s_openapi::api::{
    batch::v1::{
        Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
        PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
    },
    core::v1::PodTemplateSpec,
};
use kube::ResourceExt as _;
use modelwright_contract::names;

use super::pod::pod_template;
use crate::{
    api::name::{
        GENERATION_ANNOTATION, KUEUE_PRIORITY_LABEL, KUEUE_QUEUE_LABEL, MADE_FROM_ANNOTATION, MODEL_LABEL,
        RECALLS_ANNOTATION, SCHEDULING_HASH_ANNOTATION, SPEC_HASH_ANNOTATION, SPEC_HASH_LABEL,
        SUSPENDED_ANNOTATION, owned_metadata, recall_job, run_job,
    },
    context::Settings,
    hash,
    model::validate::ValidModel,
};

/// Pods of an import that may fail before it does.
const IMPORT_BACKOFF_LIMIT: i32 = 3;
/// Longest that an import may take, waiting included.
const IMPORT_DEADLINE_SECONDS: i64 = 3600;

/// The Job that makes a version for the Model's present spec.
pub fn build_job(model: &ValidModel, settings: &Settings, workload_account: bool) -> Job {
    let short_hash = hash::short(&model.key(), 16).to_owned();
    let mut labels = vec![(MODEL_LABEL, model.name.clone()), (SPEC_HASH_LABEL, short_hash)];
    let queue = model.training().and_then(|training| training.queue.as_ref());
    if let Some(queue) = queue {
        labels.push((KUEUE_QUEUE_LABEL, queue.name.clone()));
        labels.extend(queue.priority_class.clone().map(|class| (KUEUE_PRIORITY_LABEL, class)));
    }
    let mut metadata = owned_metadata(
        run_job(&model.name, &model.key()),
        &model.namespace,
        Some(model.owner.clone()),
        labels,
    );
    let mut annotations = vec![
        (SPEC_HASH_ANNOTATION.to_owned(), model.key()),
        (GENERATION_ANNOTATION.to_owned(), model.generation.to_string()),
        (SCHEDULING_HASH_ANNOTATION.to_owned(), model.scheduling_hash.clone()),
    ];
    annotations
        .extend(model.kept.as_ref().map(|kept| (MADE_FROM_ANNOTATION.to_owned(), kept.version.to_string())));
    // left out, the field is Kueue's, whose webhook suspends what it has to admit
    let suspend = model.training().is_some_and(|training| training.suspend);
    if suspend {
        annotations.push((SUSPENDED_ANNOTATION.to_owned(), "true".to_owned()));
    }
    metadata.annotations = Some(annotations.into_iter().collect());
    let (backoff_limit, deadline_seconds) = match model.training() {
        None => (IMPORT_BACKOFF_LIMIT, IMPORT_DEADLINE_SECONDS),
        Some(training) => (training.backoff_limit, training.deadline_seconds),
    };
    let template = pod_template(model, settings, workload_account, None);
    let spec =
        JobSpec { suspend: suspend.then_some(true), ..job_spec(backoff_limit, deadline_seconds, template) };
    Job { metadata, spec: Some(spec), status: None }
}

/// The Job that reads from the store what `lost` reported, whose pods are gone.
pub fn build_recall(model: &ValidModel, settings: &Settings, workload_account: bool, lost: &Job) -> Job {
    let uid = lost.uid().unwrap_or_default();
    let mut metadata = owned_metadata(
        recall_job(&model.name, &model.key()),
        &model.namespace,
        Some(model.owner.clone()),
        [(MODEL_LABEL, model.name.clone()), (SPEC_HASH_LABEL, hash::short(&model.key(), 16).to_owned())],
    );
    metadata.annotations = Some(
        [
            (RECALLS_ANNOTATION.to_owned(), uid.clone()),
            (GENERATION_ANNOTATION.to_owned(), model.generation.to_string()),
        ]
        .into(),
    );
    let template = pod_template(model, settings, workload_account, Some(&uid));
    Job {
        metadata,
        spec: Some(job_spec(IMPORT_BACKOFF_LIMIT, IMPORT_DEADLINE_SECONDS, template)),
        status: None,
    }
}

fn job_spec(backoff_limit: i32, deadline_seconds: i64, template: PodTemplateSpec) -> JobSpec {
    JobSpec {
        active_deadline_seconds: Some(deadline_seconds),
        backoff_limit: Some(backoff_limit),
        completions: Some(1),
        parallelism: Some(1),
        pod_failure_policy: Some(failure_policy()),
        template,
        ..JobSpec::default()
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
