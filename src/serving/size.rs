//! What a pod's memory must be: by a version's size certificate, and by the largest request that is asked for. In go what is
//! asked and the version's facts; out come default amounts, a refusal of a limit that no pod would start with, or a warning.
//! Pure.
//!
//! The certificate is only for pods that run on the processor: that is what was measured. A quarter of the memory is what
//! the runtime holds for clients, and does not start with a larger request; the rest is for the model and its runs.

use modelwright_contract::serving::{ExecutionProvider, ServingLimits, ServingMode};

use super::{identity::ServingSpec, revision::VersionReference};
use crate::{api::model_version::Size, k8s::events::Event, problem::Problem, quantity::Quantity};

/// Reason of a limit that loading the model goes beyond.
pub const LIMIT_TOO_LOW: &str = "MemoryLimitTooLow";
/// Reason of a limit of which a quarter holds no request of the size that is asked for.
pub const REQUEST_TOO_LARGE: &str = "MaxRequestBytesTooLarge";
/// Reason of a limit that a full batch goes beyond.
pub const LIMIT_TIGHT: &str = "MemoryLimitTight";

const DEFAULT_LIMIT: &str = "1Gi";
const DEFAULT_REQUEST: &str = "128Mi";
const MEBI: u64 = 1024 * 1024;
/// What a server has beside the model: threads, and what is kept of connections.
const SERVER: u64 = 64 * MEBI;
/// Part of its memory that the runtime holds for clients; the others are for the model and its runs.
const CLIENTS_PART: u64 = 4;
/// Cores of a pod that may use all of its node: as many runs at once.
const ASSUMED_CORES: u64 = 4;
/// Most rows that share a run, unless a user says otherwise.
const FULL_BATCH: u32 = 64;

/// Memory of a serving pod where a user gives none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The limit.
    pub limit: String,
    /// The request.
    pub request: String,
}

/// The limit holds a full batch on each core with a third on top for what is held for clients, and is never below 1Gi, nor
/// below what the largest request takes; the request holds one run, and is never below 128Mi.
pub fn default_memory(asked: &ServingSpec, version_reference: &VersionReference) -> Memory {
    let for_request = least_for_request(asked).unwrap_or_default();
    let Some(size) = measured(asked, version_reference) else {
        return Memory { limit: at_least(DEFAULT_LIMIT, for_request), request: DEFAULT_REQUEST.into() };
    };
    let of_a_run = full_batch(asked, size).saturating_sub(size.load_bytes);
    let runs = of_a_run.saturating_mul(runs_at_once(asked));
    let all = size.load_bytes.saturating_add(runs).saturating_add(SERVER);
    let limit = with_clients(all).max(for_request);
    let smallest = size.rows.first().map_or(size.load_bytes, |rows| rows.peak_bytes).max(size.load_bytes);
    Memory {
        limit: at_least(DEFAULT_LIMIT, limit),
        request: at_least(DEFAULT_REQUEST, smallest.saturating_add(SERVER)),
    }
}

/// Why pods with the limit that a user gives cannot start.
pub fn refusal(asked: &ServingSpec, version_reference: &VersionReference) -> Option<Problem> {
    request_too_large(asked).or_else(|| limit_too_low(asked, version_reference))
}

/// The runtime ends at its start where the largest request is above a quarter of its memory.
fn request_too_large(asked: &ServingSpec) -> Option<Problem> {
    let least = least_for_request(asked)?;
    let (text, limit) = limit(asked)?;
    (limit < least).then(|| Problem {
        reason: REQUEST_TOO_LARGE.into(),
        message: format!(
            "spec.serving.maxRequestBytes is {}, and spec.resources.limits.memory is {text}: a server holds a quarter of its \
             memory for requests, so it would not start; set the limit to at least {} or remove it to have it chosen, or \
             set spec.serving.maxRequestBytes to at most {}",
            asked.limits.max_request_bytes,
            mebi(least),
            limit / CLIENTS_PART,
        ),
    })
}

fn limit_too_low(asked: &ServingSpec, version_reference: &VersionReference) -> Option<Problem> {
    let (size, text, limit) = given(asked, version_reference)?;
    (limit < size.load_bytes).then(|| Problem {
        reason: LIMIT_TOO_LOW.into(),
        message: format!(
            "spec.resources.limits.memory is {text}, but loading version {} takes {}, as was measured when it was made; \
             set it to at least {}, which a full batch takes with a quarter for what is held for clients, or remove it to \
             have it chosen",
            version_reference.version,
            mebi(size.load_bytes),
            mebi(with_clients(full_batch(asked, size).saturating_add(SERVER))),
        ),
    })
}

/// What to say of a limit that a user gives and that a full batch, beside what is held for clients, goes beyond.
pub fn warning(asked: &ServingSpec, version_reference: &VersionReference) -> Option<Event> {
    let (size, text, limit) = given(asked, version_reference)?;
    let full = full_batch(asked, size);
    let needed = with_clients(full);
    (limit >= size.load_bytes && limit < needed).then(|| Event {
        warning: true,
        reason: LIMIT_TIGHT,
        message: format!(
            "spec.resources.limits.memory is {text}, and a full batch of version {} takes {}, as was measured when it was \
             made, of three quarters of it: under load requests may be refused for want of memory, or a pod be killed; \
             raise it to at least {}, or lower spec.serving.batching.maxSize",
            version_reference.version,
            mebi(full),
            mebi(needed),
        ),
    })
}

/// The least limit that holds the largest request, if a user has chosen one: the runtime lowers the default by itself.
fn least_for_request(asked: &ServingSpec) -> Option<u64> {
    let largest = asked.limits.max_request_bytes;
    (largest != ServingLimits::default().max_request_bytes).then(|| largest.saturating_mul(CLIENTS_PART))
}

/// So much for the model and its runs, and a quarter of the sum for clients.
fn with_clients(bytes: u64) -> u64 {
    bytes.saturating_add(bytes.div_ceil(CLIENTS_PART - 1))
}

/// The certificate, where it is about pods as they are asked for.
fn measured<'a>(asked: &ServingSpec, version_reference: &'a VersionReference) -> Option<&'a Size> {
    let on_processor = asked.execution_providers.first() == Some(&ExecutionProvider::Cpu);
    version_reference.size.as_ref().filter(|_| on_processor)
}

/// The certificate and the limit that a user gives, as written and in bytes.
fn given<'a>(
    asked: &'a ServingSpec,
    version_reference: &'a VersionReference,
) -> Option<(&'a Size, &'a str, u64)> {
    let size = measured(asked, version_reference)?;
    let (text, limit) = limit(asked)?;
    Some((size, text, limit))
}

fn limit(asked: &ServingSpec) -> Option<(&str, u64)> {
    let text = asked.resource_limits.get("memory")?;
    Some((text, Quantity::parse(text).ok()?.units()?))
}

/// What runs of as many rows take as requests may share: of the smallest number that was measured and is enough, or else of
/// the largest.
fn full_batch(asked: &ServingSpec, size: &Size) -> u64 {
    let wanted = asked.batching.max_size.unwrap_or(FULL_BATCH);
    let enough = size.rows.iter().find(|rows| rows.rows >= wanted).or(size.rows.last());
    enough.map_or(size.load_bytes, |rows| rows.peak_bytes).max(size.load_bytes)
}

fn runs_at_once(asked: &ServingSpec) -> u64 {
    if asked.mode == ServingMode::Latency {
        return 1;
    }
    let cores = asked.resource_limits.get("cpu").and_then(|text| Quantity::parse(text).ok()?.units());
    cores.unwrap_or(ASSUMED_CORES).max(1)
}

/// The default as it is written, or more in whole mebibytes.
fn at_least(default: &str, bytes: u64) -> String {
    let least = Quantity::parse(default).ok().and_then(Quantity::units).unwrap_or_default();
    if bytes <= least { default.to_owned() } else { mebi(bytes) }
}

fn mebi(bytes: u64) -> String {
    format!("{}Mi", bytes.div_ceil(MEBI))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::{api::model_version::RowsSize, serving::validate::validate_deployment};

    fn asked(spec: Value) -> ServingSpec {
        let mut spec = spec;
        spec["model"] = "digits".into();
        let deployment = json!({
            "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "d"},
            "spec": spec,
        });
        validate_deployment(&serde_json::from_value(deployment).unwrap()).unwrap().asked
    }

    fn version_reference(size: Option<Size>) -> VersionReference {
        serde_json::from_value(json!({
            "model": "digits", "version": 3, "modelDigest": "d".repeat(64), "size": size,
            "artifact": {"uri": "oci://store/x", "sha256": "e".repeat(64), "sizeBytes": 1, "opset": 17},
            "signature": {"inputs": [], "outputs": []},
        }))
        .unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what a version holds")]
    fn size(load: u64, rows: &[(u32, u64)]) -> Option<Size> {
        let rows = rows.iter().map(|(rows, peak)| RowsSize {
            rows: *rows,
            peak_bytes: peak * MEBI,
            runs_per_core_second: "10".into(),
        });
        Some(Size { load_bytes: load * MEBI, rows: rows.collect() })
    }

    #[test]
    fn a_pods_memory_comes_from_the_certificate_where_a_user_gives_none() {
        let large = || size(900, &[(1, 1000), (8, 1100), (64, 1500)]);
        for (spec, size, limit, request) in [
            (json!({}), None, "1Gi", "128Mi"),
            // what is small has what it had before
            (json!({}), size(40, &[(1, 41), (64, 50)]), "1Gi", "128Mi"),
            (json!({}), size(100, &[(1, 110), (64, 120)]), "1Gi", "174Mi"),
            // 900 + 4 x 600 + 64, and a third
            (json!({}), large(), "4486Mi", "1064Mi"),
            (json!({"resources": {"limits": {"cpu": "1500m"}}}), large(), "2886Mi", "1064Mi"),
            (json!({"serving": {"mode": "Latency"}}), large(), "2086Mi", "1064Mi"),
            (
                json!({"serving": {"mode": "Latency", "batching": {"maxSize": 2}}}),
                large(),
                "1552Mi",
                "1064Mi",
            ),
            (
                json!({"serving": {"mode": "Latency", "batching": {"maxSize": 1}}}),
                large(),
                "1419Mi",
                "1064Mi",
            ),
            (
                json!({"serving": {"mode": "Latency", "batching": {"maxSize": 4096}}}),
                large(),
                "2086Mi",
                "1064Mi",
            ),
            (json!({"serving": {"mode": "Latency"}}), self::size(1500, &[]), "2086Mi", "1564Mi"),
            (json!({"accelerator": {"executionProviders": ["CUDA"]}}), large(), "1Gi", "128Mi"),
        ] {
            let memory = default_memory(&asked(spec.clone()), &version_reference(size));
            assert_eq!((memory.limit.as_str(), memory.request.as_str()), (limit, request), "{spec}");
        }
    }

    #[test]
    fn a_limit_below_what_loading_takes_is_refused_and_below_a_full_batch_it_warns() {
        let version_reference = version_reference(size(300, &[(1, 310), (64, 500)]));
        let judged = |memory: &str| {
            let asked = asked(json!({"resources": {"limits": {"memory": memory}}}));
            (refusal(&asked, &version_reference), warning(&asked, &version_reference))
        };
        let (refused, warned) = judged("299Mi");
        let Problem { reason, message } = refused.unwrap();
        assert_eq!((reason.as_str(), warned), ("MemoryLimitTooLow", None));
        for part in ["spec.resources.limits.memory is 299Mi", "version 3", "300Mi", "at least 752Mi"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
        let (refused, warned) = judged("300Mi");
        assert_eq!(refused, None);
        assert!(warned.unwrap().message.contains("a full batch of version 3 takes 500Mi"));
        // three quarters of it are for the model and its runs
        assert!(judged("666Mi").1.unwrap().message.contains("raise it to at least 667Mi"));
        assert_eq!(judged("667Mi"), (None, None));
        let none = asked(json!({}));
        assert_eq!((refusal(&none, &version_reference), warning(&none, &version_reference)), (None, None));
        let tiny = json!({"resources": {"limits": {"memory": "1Mi"}}});
        assert_eq!(
            refusal(&asked(tiny.clone()), &self::version_reference(None)),
            None,
            "what was not measured refuses nothing"
        );
        let mut on_a_gpu = tiny;
        on_a_gpu["accelerator"] = json!({"executionProviders": ["CUDA"]});
        assert_eq!(refusal(&asked(on_a_gpu), &version_reference), None);
    }

    #[test]
    fn a_pod_has_four_times_the_largest_request_or_is_refused_before_it_would_end_at_its_start() {
        let asked = |largest: &str, more: Value| {
            let mut spec = json!({"serving": {"maxRequestBytes": largest}});
            for (key, value) in more.as_object().unwrap() {
                spec[key] = value.clone();
            }
            asked(spec)
        };
        let on_a_gpu = json!({"accelerator": {"executionProviders": ["CUDA"]}});
        for (largest, more, size, limit) in [
            ("512Mi", json!({}), None, "2048Mi"),
            ("512Mi", json!({}), size(40, &[(1, 41)]), "2048Mi"),
            ("512Mi", on_a_gpu, None, "2048Mi"),
            ("256Mi", json!({}), None, "1Gi"),
            ("300M", json!({}), None, "1145Mi"),
            // what the model needs may be more
            ("512Mi", json!({}), size(900, &[(1, 1000), (64, 1500)]), "4486Mi"),
        ] {
            let (asked, version_reference) = (asked(largest, more), version_reference(size));
            assert_eq!(default_memory(&asked, &version_reference).limit, limit, "{largest}");
            assert_eq!(refusal(&asked, &version_reference), None);
        }
        let judged = |largest: &str, memory: &str| {
            refusal(
                &asked(largest, json!({"resources": {"limits": {"memory": memory}}})),
                &version_reference(None),
            )
        };
        let Problem { reason, message } = judged("512Mi", "2047Mi").unwrap();
        assert_eq!(reason, "MaxRequestBytesTooLarge");
        for part in [
            "maxRequestBytes is 536870912",
            "limits.memory is 2047Mi",
            "at least 2048Mi",
            "at most 536608768",
        ] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
        assert_eq!(judged("512Mi", "2Gi"), None);
        assert!(judged("65Mi", "256Mi").is_some());
        assert_eq!(judged("64Mi", "128Mi"), None, "the runtime lowers the default by itself");
    }
}
