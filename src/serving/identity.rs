//! What decides a revision. In goes what a user wrote and the model's digest; out comes a hash that is the same for the
//! same meaning, in every release. Pure.
//!
//! Only what is written counts: a default is resolved when a revision is rendered, so that a later operator's default
//! makes no new revision.

use std::{collections::BTreeMap, time::Duration};

use modelwright_contract::serving::{Batching, ExecutionProvider, ServingLimits, ServingMode};
use serde_json::{Map, Value, json};

use crate::{
    api::{Amount, ModelDeploymentSpec, Scheduling},
    duration, hash,
    pods::resources::amount_text,
    quantity::Quantity,
};

/// What a user asks a serving pod to be, with defaults resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingSpec {
    /// Name of the Model.
    pub model: String,
    /// Name of the variant, if not the model itself.
    pub variant: Option<String>,
    /// Limits of the server.
    pub limits: ServingLimits,
    /// What the cores are for.
    pub mode: ServingMode,
    /// How requests share runs.
    pub batching: Batching,
    /// Execution providers, in order of preference.
    pub execution_providers: Vec<ExecutionProvider>,
    /// Whether another provider than the first may serve.
    pub allow_fallback: bool,
    /// Image of the runtime, if the user names one.
    pub runtime: Option<String>,
    /// Limits of the pod, as written.
    pub resource_limits: BTreeMap<String, String>,
    /// Requests of the pod, as written.
    pub resource_requests: BTreeMap<String, String>,
    /// Where pods may run.
    pub scheduling: Scheduling,
    /// What was written, in canonical form.
    pub identity: Value,
}

/// The hash of a revision that serves the model of this digest as asked.
pub fn revision_hash(asked: &ServingSpec, model_digest: &str) -> String {
    let mut decided = asked.identity.clone();
    if let Some(decided) = decided.as_object_mut() {
        decided.insert("modelDigest".into(), model_digest.into());
    }
    hash::canonical(&decided)
}

/// What was written in the parts of the spec that decide a revision, durations and quantities by value.
pub(super) fn identity(spec: &ModelDeploymentSpec) -> Value {
    let serving = spec.serving.clone().unwrap_or_default();
    let batching = serving.batching.clone().unwrap_or_default();
    let resources = spec.resources.clone().unwrap_or_default();
    let mut identity = json!({
        "model": spec.model,
        "variant": spec.variant,
        "serving": {
            "queue": serving.queue,
            "timeout": serving.timeout.as_deref().map(duration_form),
            "maxRequestBytes": serving.max_request_bytes.as_deref().map(quantity_form),
            "maxRows": serving.max_rows,
            "maxElements": serving.max_elements,
            "drainTimeout": serving.drain_timeout.as_deref().map(duration_form),
            "mode": serving.mode,
            "batching": {
                "maxSize": batching.max_size,
                "maxDelay": batching.max_delay.as_deref().map(duration_form),
                "rowsIndependent": batching.rows_independent,
            },
            "runtime": serving.runtime,
            "restart": serving.restart,
        },
        "resources": {"limits": amounts(&resources.limits), "requests": amounts(&resources.requests)},
        "accelerator": spec.accelerator,
        "scheduling": spec.scheduling,
    });
    prune(&mut identity);
    identity
}

fn amounts(amounts: &BTreeMap<String, Amount>) -> Map<String, Value> {
    amounts
        .iter()
        .map(|(resource, amount)| (resource.clone(), quantity_form(&amount_text(amount)).into()))
        .collect()
}

/// What cannot be read is refused elsewhere; here it stands for itself.
fn duration_form(text: &str) -> String {
    duration::parse(text).map_or_else(|_| text.to_owned(), |value: Duration| duration::canonical(value))
}

fn quantity_form(text: &str) -> String {
    Quantity::parse(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}

/// An empty part means what an absent one means.
fn prune(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, member| {
            prune(member);
            match member {
                Value::Null => false,
                Value::Object(inner) => !inner.is_empty(),
                Value::Array(inner) => !inner.is_empty(),
                _ => true,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hash_of(spec: Value) -> String {
        let mut spec = spec;
        spec["model"] = "digits".into();
        let spec: ModelDeploymentSpec = serde_json::from_value(spec).unwrap();
        let mut decided = identity(&spec);
        decided["modelDigest"] = "d".repeat(64).into();
        hash::canonical(&decided)
    }

    #[test]
    fn golden_hashes_never_change() {
        assert_eq!(hash_of(json!({})), "v1-f3f64c013679c7dda1fcb3bb9e252eb077643d2d89e699a94238f1882779befd");
        assert_eq!(
            hash_of(json!({
                "serving": {"queue": 8, "timeout": "1m", "maxRequestBytes": "64Mi", "drainTimeout": "30s",
                            "runtime": "registry.example/runtime:1", "restart": "1"},
                "resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "1500m"}, "requests": {"cpu": "1"}},
                "accelerator": {"executionProviders": ["CUDA", "CPU"], "allowFallback": true},
                "scheduling": {"nodeSelector": {"zone": "a"}, "tolerations": [{"key": "gpu", "operator": "Exists"}],
                               "topologySpread": [{"maxSkew": 1, "topologyKey": "zone"}], "podLabels": {"team": "a"}},
            })),
            "v1-ccd5cf597f51c4c01b62c0d62debdd047cd355936794d6a95a1f1994d7895227"
        );
        assert_eq!(
            hash_of(json!({"serving": {"mode": "Latency"}})),
            "v1-27be415e99e617b545590c78b52a4ba7ad5acabbedec1eff0217887997d11da0"
        );
        assert_eq!(
            hash_of(json!({"variant": "int8"})),
            "v1-cf29ff28d8a64bd0324c2b50bcefd988b2404228b75d6fa015052474e39f91d0"
        );
    }

    #[test]
    fn spellings_of_the_same_thing_have_one_hash() {
        for group in [
            vec![
                json!({}),
                json!({"serving": {}}),
                json!({"serving": {"batching": {}}}),
                json!({"resources": {"limits": {}}}),
                json!({"scheduling": {}}),
            ],
            vec![json!({"serving": {"timeout": "60s"}}), json!({"serving": {"timeout": "1m"}})],
            vec![
                json!({"serving": {"batching": {"maxDelay": "1s"}}}),
                json!({"serving": {"batching": {"maxDelay": "1000ms"}}}),
            ],
            vec![
                json!({"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}),
                json!({"resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}),
                json!({"resources": {"limits": {"cpu": "1", "memory": 1_073_741_824}}}),
            ],
            vec![
                json!({"resources": {"limits": {"memory": 4_294_967_296_i64}}}),
                json!({"resources": {"limits": {"memory": "4294967296"}}}),
                json!({"resources": {"limits": {"memory": "4Gi"}}}),
            ],
            vec![
                json!({"resources": {"limits": {"memory": i64::MAX}}}),
                json!({"resources": {"limits": {"memory": i64::MAX.to_string()}}}),
            ],
        ] {
            let hashes: Vec<_> = group.iter().cloned().map(hash_of).collect();
            assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{group:?}");
        }
    }

    #[test]
    fn what_is_no_part_of_a_pod_makes_no_revision_and_everything_else_does() {
        let plain = hash_of(json!({}));
        for same in [
            json!({"replicas": 5}),
            json!({"version": 3}),
            json!({"paused": true}),
            json!({"history": {"keep": 1}}),
            json!({"strategy": {"rollingUpdate": {"maxSurge": 2}}}),
        ] {
            assert_eq!(hash_of(same.clone()), plain, "{same}");
        }
        for other in [
            json!({"serving": {"queue": 256}}),
            json!({"serving": {"restart": "2"}}),
            json!({"serving": {"maxRows": 8}}),
            json!({"serving": {"maxElements": 8}}),
            json!({"serving": {"mode": "Latency"}}),
            json!({"serving": {"mode": "Throughput"}}),
            json!({"serving": {"batching": {"maxSize": 8}}}),
            json!({"serving": {"batching": {"maxDelay": "0ms"}}}),
            json!({"serving": {"batching": {"rowsIndependent": true}}}),
            json!({"serving": {"batching": {"rowsIndependent": false}}}),
            json!({"serving": {"runtime": "other"}}),
            json!({"resources": {"limits": {"nvidia.com/gpu": 1}}}),
            json!({"accelerator": {"allowFallback": false}}),
            json!({"scheduling": {"priorityClassName": "high"}}),
            json!({"variant": "int8"}),
        ] {
            assert_ne!(hash_of(other.clone()), plain, "{other}");
        }
    }
}
