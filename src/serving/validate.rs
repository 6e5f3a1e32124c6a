//! Validate: what a user wrote, parsed so that the later steps need not doubt it. In goes a ModelDeployment, out comes a
//! [`ValidDeployment`] or every reason to refuse it. Pure.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};
use modelwright_contract::serving::{Batching, ExecutionProvider, ServingLimits, ServingMode};

use super::identity::{ServingSpec, identity};
use crate::{
    api::{
        ModelDeployment,
        model_deployment::{self, Accelerator, RollingUpdate, Serving},
        name::MAX_NAME_LENGTH,
    },
    duration,
    pods::{parts::check_scheduling, resources::check_resources},
    quantity::Quantity,
};

const DEFAULT_REPLICAS: u32 = 1;
const DEFAULT_SURGE: u32 = 1;
const DEFAULT_DEADLINE: Duration = Duration::from_mins(10);
const DEFAULT_KEEP: u32 = 10;
/// Longest time that is taken: a typing error of days would hold a rollout for ever.
const LONGEST: Duration = Duration::from_hours(24);
/// Longest time that requests may be told to wait for others.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// A ModelDeployment whose spec makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidDeployment {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Reference for what it owns.
    pub owner: OwnerReference,
    /// The version that it is pinned to.
    pub version: Option<u64>,
    /// Pods that take traffic.
    pub replicas: u32,
    /// Pods above `replicas` during a rollout.
    pub max_surge: u32,
    /// How long a rollout may go without a further ready pod.
    pub progress_deadline: Duration,
    /// Whether a rollout past its deadline goes back.
    pub auto_rollback: bool,
    /// Revisions without pods to keep.
    pub keep: usize,
    /// Whether a rollout stands still.
    pub paused: bool,
    /// What decides a revision, but for the model's digest.
    pub asked: ServingSpec,
}

/// Every reason to refuse a ModelDeployment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct InvalidDeployment {
    /// One sentence each: field, value, what was expected.
    pub problems: Vec<String>,
}

/// Parses a ModelDeployment.
pub fn validate_deployment(deployment: &ModelDeployment) -> Result<ValidDeployment, InvalidDeployment> {
    let spec = &deployment.spec;
    let mut problems = Vec::new();
    let name = deployment.name_any();
    if name.len() > MAX_NAME_LENGTH {
        problems.push(format!(
            "metadata.name has {} characters, at most {MAX_NAME_LENGTH} are possible; choose a shorter one",
            name.len()
        ));
    }
    let rolling = spec.strategy.clone().and_then(|strategy| strategy.rolling_update).unwrap_or_default();
    let RollingUpdate { max_surge, progress_deadline, auto_rollback } = rolling;
    let progress_deadline = read_duration(
        "spec.strategy.rollingUpdate.progressDeadline",
        progress_deadline.as_deref(),
        DEFAULT_DEADLINE,
        &mut problems,
    );
    let serving = spec.serving.clone().unwrap_or_default();
    let limits = serving_limits(&serving, &mut problems);
    let batching = batching(&serving, &mut problems);
    let (execution_providers, allow_fallback) =
        accelerator(&spec.accelerator.clone().unwrap_or_default(), &mut problems);
    let resources = spec.resources.clone().unwrap_or_default();
    let (resource_limits, resource_requests) =
        check_resources("spec.resources", &resources.limits, &resources.requests, &mut problems);
    let scheduling = spec.scheduling.clone().unwrap_or_default();
    check_scheduling(&scheduling, &mut problems);
    if !problems.is_empty() {
        return Err(InvalidDeployment { problems });
    }
    Ok(ValidDeployment {
        namespace: deployment.namespace().unwrap_or_default(),
        owner: deployment.controller_owner_ref(&()).unwrap_or_default(),
        version: spec.version,
        replicas: spec.replicas.unwrap_or(DEFAULT_REPLICAS),
        max_surge: max_surge.unwrap_or(DEFAULT_SURGE).max(1),
        progress_deadline,
        auto_rollback: auto_rollback.unwrap_or(true),
        keep: spec.history.as_ref().and_then(|history| history.keep).unwrap_or(DEFAULT_KEEP) as usize,
        paused: spec.paused.unwrap_or(false),
        asked: ServingSpec {
            model: spec.model.clone(),
            variant: spec.variant.clone(),
            limits,
            mode: match serving.mode {
                None | Some(model_deployment::ServingMode::Throughput) => ServingMode::Throughput,
                Some(model_deployment::ServingMode::Latency) => ServingMode::Latency,
            },
            batching,
            execution_providers,
            allow_fallback,
            runtime: serving.runtime.clone(),
            resource_limits,
            resource_requests,
            scheduling,
            identity: identity(spec),
        },
        name,
    })
}

fn read_duration(field: &str, text: Option<&str>, default: Duration, problems: &mut Vec<String>) -> Duration {
    let Some(text) = text else { return default };
    match duration::parse(text) {
        Ok(value) if value.is_zero() || value > LONGEST => {
            problems.push(format!("{field} `{text}` is out of range; expected more than 0s and at most 24h"));
        }
        Ok(value) => return value,
        Err(error) => problems.push(format!("{field} {error}")),
    }
    default
}

fn serving_limits(serving: &Serving, problems: &mut Vec<String>) -> ServingLimits {
    let defaults = ServingLimits::default();
    let mut milliseconds = |field: &str, text: &Option<String>, default: u64| {
        let value = read_duration(field, text.as_deref(), Duration::from_millis(default), problems);
        u64::try_from(value.as_millis()).unwrap_or(u64::MAX)
    };
    let timeout_milliseconds =
        milliseconds("spec.serving.timeout", &serving.timeout, defaults.timeout_milliseconds);
    let drain_timeout_milliseconds = milliseconds(
        "spec.serving.drainTimeout",
        &serving.drain_timeout,
        defaults.drain_timeout_milliseconds,
    );
    let max_request_bytes =
        match serving.max_request_bytes.as_deref().map(|text| (text, Quantity::parse(text))) {
            None => defaults.max_request_bytes,
            Some((_, Ok(quantity))) if quantity.units().is_some_and(|bytes| bytes > 0) => {
                quantity.units().unwrap_or(defaults.max_request_bytes)
            }
            Some((text, Ok(_))) => {
                problems.push(format!(
                    "spec.serving.maxRequestBytes `{text}` must be more than 0, for example 64Mi"
                ));
                defaults.max_request_bytes
            }
            Some((_, Err(error))) => {
                problems.push(format!("spec.serving.maxRequestBytes {error}"));
                defaults.max_request_bytes
            }
        };
    ServingLimits {
        queue: serving.queue.unwrap_or(defaults.queue),
        timeout_milliseconds,
        max_request_bytes,
        drain_timeout_milliseconds,
        max_rows: serving.max_rows.map(u64::from),
        max_elements: serving.max_elements.map(u64::from),
    }
}

fn batching(serving: &Serving, problems: &mut Vec<String>) -> Batching {
    let batching = serving.batching.clone().unwrap_or_default();
    let field = "spec.serving.batching.maxDelay";
    let max_delay = match batching.max_delay.as_deref().map(|text| (text, duration::parse(text))) {
        None => None,
        Some((_, Ok(delay))) if delay <= LONGEST_DELAY => Some(delay),
        Some((text, Ok(_))) => {
            problems.push(format!("{field} `{text}` is out of range; expected 0ms to 10s, for example 2ms"));
            None
        }
        Some((_, Err(error))) => {
            problems.push(format!("{field} {error}"));
            None
        }
    };
    Batching {
        max_size: batching.max_size,
        max_delay_milliseconds: max_delay.and_then(|delay| u64::try_from(delay.as_millis()).ok()),
        rows_independent: batching.rows_independent,
    }
}

fn accelerator(accelerator: &Accelerator, problems: &mut Vec<String>) -> (Vec<ExecutionProvider>, bool) {
    let mut providers: Vec<_> = accelerator
        .execution_providers
        .iter()
        .map(|provider| match provider {
            model_deployment::ExecutionProvider::Cpu => ExecutionProvider::Cpu,
            model_deployment::ExecutionProvider::Cuda => ExecutionProvider::Cuda,
        })
        .collect();
    if providers.iter().enumerate().any(|(at, provider)| providers.iter().skip(at + 1).any(|p| p == provider))
    {
        problems.push(
            "spec.accelerator.executionProviders names a provider twice; name each once, the preferred first"
                .into(),
        );
    }
    if providers.is_empty() {
        providers.push(ExecutionProvider::Cpu);
    }
    (providers, accelerator.allow_fallback.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn deployment(spec: Value) -> ModelDeployment {
        serde_json::from_value(json!({
            "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment",
            "metadata": {"name": "digits", "namespace": "team", "uid": "u"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn every_default_is_the_documented_one() {
        let valid = validate_deployment(&deployment(json!({"model": "digits"}))).unwrap();
        assert_eq!((valid.replicas, valid.max_surge, valid.keep, valid.version), (1, 1, 10, None));
        assert_eq!(valid.progress_deadline, Duration::from_mins(10));
        assert!(valid.auto_rollback && !valid.paused && !valid.asked.allow_fallback);
        assert_eq!(valid.asked.execution_providers, [ExecutionProvider::Cpu]);
        assert_eq!(valid.asked.limits, ServingLimits::default());
        assert_eq!(valid.asked.mode, ServingMode::Throughput);
        assert_eq!(valid.asked.batching, Batching::default());
    }

    #[test]
    fn every_refusal_names_the_field_the_value_and_the_way_out() {
        for (spec, parts) in [
            (
                json!({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}),
                ["spec.resources.requests.cpu is 2", "at most", "1500m"],
            ),
            (
                json!({"resources": {"limits": {"memory": "1KB"}}}),
                ["spec.resources.limits.memory", "`1KB`", "64Mi"],
            ),
            (
                json!({"resources": {"limits": {"gpu": 1}}}),
                ["spec.resources.limits.gpu", "`gpu`", "nvidia.com/gpu"],
            ),
            (
                json!({"resources": {"limits": {"nvidia.com/gpu": "500m"}}}),
                ["nvidia.com/gpu", "500m", "whole numbers"],
            ),
            (
                json!({"resources": {"limits": {"cpu": "-1"}}}),
                ["spec.resources.limits.cpu", "-1", "0 or more"],
            ),
            (
                json!({"resources": {"requests": {"nvidia.com/gpu": 1}}}),
                ["requests.nvidia.com/gpu", "no limit", "spec.resources.limits.nvidia.com/gpu"],
            ),
            (
                json!({"resources": {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}}}),
                ["requests.nvidia.com/gpu is 1", "the same as", "which is 2"],
            ),
            (json!({"serving": {"timeout": "0s"}}), ["spec.serving.timeout", "`0s`", "24h"]),
            (
                json!({"serving": {"drainTimeout": "5 minutes"}}),
                ["spec.serving.drainTimeout", "`5 minutes`", "1h30m"],
            ),
            (json!({"serving": {"maxRequestBytes": "0"}}), ["spec.serving.maxRequestBytes", "`0`", "64Mi"]),
            (
                json!({"strategy": {"rollingUpdate": {"progressDeadline": "30d"}}}),
                ["progressDeadline", "`30d`", "1h30m"],
            ),
            (
                json!({"serving": {"batching": {"maxDelay": "11s"}}}),
                ["spec.serving.batching.maxDelay", "`11s`", "2ms"],
            ),
            (
                json!({"accelerator": {"executionProviders": ["CPU", "CPU"]}}),
                ["executionProviders", "twice", "once"],
            ),
            (
                json!({"scheduling": {"podLabels": {"modelwright.dev/traffic": "x"}}}),
                ["podLabels", "`modelwright.dev/traffic`", "remove it"],
            ),
            (
                json!({"scheduling": {"podAnnotations": {"argocd.argoproj.io/x": "x"}}}),
                ["podAnnotations", "Argo CD", "remove it"],
            ),
            (
                json!({"scheduling": {"tolerations": [{"operator": "Exists", "value": "x"}]}}),
                ["tolerations[0].value", "Exists", "Equal"],
            ),
            (
                json!({"scheduling": {"tolerations": [{"value": "x"}]}}),
                ["tolerations[0].key", "missing", "Exists"],
            ),
            (
                json!({"scheduling": {"tolerations": [{"key": "a", "tolerationSeconds": 5}]}}),
                ["tolerationSeconds", "NoExecute", "remove"],
            ),
        ] {
            let mut spec = spec;
            spec["model"] = "digits".into();
            let message = validate_deployment(&deployment(spec.clone())).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{spec}: {message}");
        }
    }

    #[test]
    fn amounts_with_and_without_quotes_are_the_same() {
        let plain = json!({"model": "m", "resources": {"limits": {"cpu": 1, "nvidia.com/gpu": 1}}});
        let quoted = json!({"model": "m", "resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "1"}}});
        let [plain, quoted] = [plain, quoted].map(|spec| validate_deployment(&deployment(spec)).unwrap());
        assert_eq!(plain, quoted);
    }

    #[test]
    fn a_cuda_provider_without_a_gpu_resource_is_allowed() {
        let spec =
            json!({"model": "m", "accelerator": {"executionProviders": ["CUDA"], "allowFallback": true}});
        let valid = validate_deployment(&deployment(spec)).unwrap();
        assert_eq!(valid.asked.execution_providers, [ExecutionProvider::Cuda]);
        assert!(valid.asked.allow_fallback);
    }
}
