//! `spec.run`, parsed. In goes what a user wrote, out come the sizes of a run with every default resolved; problems are told
//! by the path of the field. Pure.

use k8s_openapi::api::core::v1::ResourceRequirements;
use modelwright_contract::prove::DEFAULT_DEADLINE_SECONDS;

use crate::{
    api::run::RunSizes,
    pods::resources::{Amounts, amount_text, check_resources, complete_resources},
    quantity::Quantity,
};

/// Small, so that a namespace that bounds its containers takes them.
const LIMITS: [(&str, &str); 2] = [("cpu", "1"), ("memory", "512Mi")];
const REQUESTS: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "128Mi")];
/// What is needed to make ONNX of what Keras saved, with TensorFlow beside it to hold both against each other.
const CONVERT_MEMORY: &str = "4Gi";
/// What is needed to read the data that an import is measured on.
const PREPARE_MEMORY: &str = "2Gi";
/// What is needed to make variants: every tensor of a graph is looked at.
const OPTIMIZE_MEMORY: &str = "2Gi";
/// What a model may take that was trained with nothing said about memory.
const TRAINED_MEMORY: &str = "4Gi";
pub(super) const VOLUME_SIZE: &str = "4Gi";
/// Images and sequences are larger than tables, and their test part is kept beside them.
pub(super) const KERAS_VOLUME_SIZE: &str = "8Gi";
/// Smallest volume that holds anything worth a run.
const MIN_VOLUME_BYTES: u64 = 1024 * 1024;
const MAX_DEADLINE_SECONDS: u32 = 86_400;
/// Largest model that is imported, and most data that is trained from, whatever the volume.
const MAX_MODEL_BYTES: u64 = 10 * GIBI;
const MAX_DATA_BYTES: u64 = 8 * GIBI;
const GIBI: u64 = 1024 * 1024 * 1024;
/// Of so many parts of the volume, a model may take 10 and data 8: what is made of them needs room, too.
const PARTS: u64 = 21;

/// How large a run is.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidSizes {
    /// Resources of `fetch`.
    pub fetch: ResourceRequirements,
    /// Resources of `prove`.
    pub prove: ResourceRequirements,
    /// Resources of `convert`.
    pub convert: ResourceRequirements,
    /// Resources of the `prepare` of an import.
    pub prepare: ResourceRequirements,
    /// Resources of `optimize`.
    pub optimize: ResourceRequirements,
    /// Resources of `publish`.
    pub publish: ResourceRequirements,
    /// For how long the model may load and run.
    pub prove_deadline_seconds: u32,
    /// Size of the volume, as written.
    pub volume_size: String,
    /// The same in bytes.
    volume_bytes: u64,
}

impl ValidSizes {
    /// Largest model that is imported.
    pub fn max_model_bytes(&self) -> u64 {
        self.share(10).min(MAX_MODEL_BYTES)
    }

    /// Largest model that is imported, and most data that it is measured on: both lie there beside what is made of them.
    pub fn max_measured_bytes(&self) -> (u64, u64) {
        (self.share(6).min(MAX_MODEL_BYTES), self.share(3).min(MAX_DATA_BYTES))
    }

    /// Most data that is trained from.
    pub fn max_data_bytes(&self) -> u64 {
        self.share(8).min(MAX_DATA_BYTES)
    }

    fn share(&self, parts: u64) -> u64 {
        (self.volume_bytes / PARTS).saturating_mul(parts)
    }
}

/// Parses the sizes; `trained` has the limits of the container that trains, if there is one, nothing of a measured import, and `volume_size` is that of
/// the volume where none is written.
pub(super) fn validate_sizes(
    sizes: &RunSizes,
    trained: Option<&Amounts>,
    volume_size: &str,
    problems: &mut Vec<String>,
) -> ValidSizes {
    let (fetch, publish) =
        (sizes.fetch.clone().unwrap_or_default(), sizes.publish.clone().unwrap_or_default());
    let prove = sizes.prove.clone().unwrap_or_default();
    let convert = sizes.convert.clone().unwrap_or_default();
    let prepare = sizes.prepare.clone().unwrap_or_default();
    let optimize = sizes.optimize.clone().unwrap_or_default();
    let memory =
        trained.map(|limits| limits.get("memory").map_or_else(|| TRAINED_MEMORY.to_owned(), Clone::clone));
    let mut resources = |name: &str, limits, requests, memory: Option<&str>| {
        let (limits, requests) = check_resources(&format!("spec.run.{name}"), limits, requests, problems);
        let [cpu, small] = LIMITS;
        let defaults = [cpu, memory.map_or(small, |memory| ("memory", memory))];
        complete_resources(&limits, &requests, &defaults, &REQUESTS)
    };
    let fetch = resources("fetch", &fetch.limits, &fetch.requests, None);
    let publish = resources("publish", &publish.limits, &publish.requests, None);
    let convert = resources("convert", &convert.limits, &convert.requests, Some(CONVERT_MEMORY));
    let prepare = resources("prepare", &prepare.limits, &prepare.requests, Some(PREPARE_MEMORY));
    let optimize = resources("optimize", &optimize.limits, &optimize.requests, Some(OPTIMIZE_MEMORY));
    let proving = resources("prove", &prove.limits, &prove.requests, memory.as_deref());
    let deadline = prove.deadline_seconds.unwrap_or(DEFAULT_DEADLINE_SECONDS);
    if !(1..=MAX_DEADLINE_SECONDS).contains(&deadline) {
        problems.push(format!(
            "spec.run.prove.deadlineSeconds is {deadline}; expected 1 to {MAX_DEADLINE_SECONDS}"
        ));
    }
    let volume_size = sizes.volume_size.as_ref().map_or_else(|| volume_size.to_owned(), amount_text);
    ValidSizes {
        fetch,
        prove: proving,
        convert,
        prepare,
        optimize,
        publish,
        prove_deadline_seconds: deadline,
        volume_bytes: volume_bytes(&volume_size, problems),
        volume_size,
    }
}

fn volume_bytes(text: &str, problems: &mut Vec<String>) -> u64 {
    match Quantity::parse(text) {
        Err(error) => problems.push(format!("spec.run.volumeSize {error}")),
        Ok(quantity) => match quantity.units() {
            Some(bytes) if bytes >= MIN_VOLUME_BYTES => return bytes,
            _ => problems
                .push(format!("spec.run.volumeSize is {text}; expected 1Mi or more, for example 21Gi")),
        },
    }
    0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn valid(sizes: serde_json::Value, trained: Option<&str>) -> Result<ValidSizes, Vec<String>> {
        let sizes: RunSizes = serde_json::from_value(sizes).unwrap();
        let limits: Option<Amounts> = trained.map(|memory| [("memory".to_owned(), memory.to_owned())].into());
        let mut problems = Vec::new();
        let valid = validate_sizes(&sizes, limits.as_ref(), VOLUME_SIZE, &mut problems);
        if problems.is_empty() { Ok(valid) } else { Err(problems) }
    }

    fn told(resources: &ResourceRequirements) -> String {
        let text = |amounts: Option<&std::collections::BTreeMap<String, _>>| {
            amounts
                .into_iter()
                .flatten()
                .map(|(name, amount): (_, &k8s_openapi::apimachinery::pkg::api::resource::Quantity)| {
                    format!("{name}={}", amount.0)
                })
                .collect::<Vec<_>>()
                .join(" ")
        };
        format!("{} / {}", text(resources.limits.as_ref()), text(resources.requests.as_ref()))
    }

    #[test]
    fn a_run_is_small_by_default_and_what_is_written_counts() {
        let small = "cpu=1 memory=512Mi / cpu=100m memory=128Mi";
        let import = valid(json!({}), None).unwrap();
        for resources in [&import.fetch, &import.prove, &import.publish] {
            assert_eq!(told(resources), small);
        }
        assert_eq!((import.volume_size.as_str(), import.prove_deadline_seconds), ("4Gi", 600));
        assert_eq!((import.max_model_bytes() >> 20, import.max_data_bytes() >> 20), (1950, 1560));
        let large = valid(json!({"volumeSize": "210Gi"}), None).unwrap();
        assert_eq!((large.max_model_bytes(), large.max_data_bytes()), (10 * GIBI, 8 * GIBI));
        let written = json!({"prove": {"limits": {"memory": "64Mi"}, "deadlineSeconds": 5}, "publish": {"requests": {"cpu": 2}}});
        let written = valid(written, None).unwrap();
        assert_eq!(told(&written.prove), "cpu=1 memory=64Mi / cpu=100m memory=64Mi");
        assert_eq!(told(&written.publish), "cpu=2 memory=512Mi / cpu=2 memory=128Mi");
        assert_eq!(written.prove_deadline_seconds, 5);
    }

    #[test]
    fn a_model_has_the_memory_to_be_proven_that_it_had_to_be_trained() {
        let memory = |trained| told(&valid(json!({}), trained).unwrap().prove);
        assert_eq!(memory(Some("300Mi")), "cpu=1 memory=300Mi / cpu=100m memory=128Mi");
        let mut problems = Vec::new();
        let unsaid =
            validate_sizes(&RunSizes::default(), Some(&Amounts::new()), KERAS_VOLUME_SIZE, &mut problems);
        assert_eq!(told(&unsaid.prove), "cpu=1 memory=4Gi / cpu=100m memory=128Mi");
        assert_eq!(told(&unsaid.publish), "cpu=1 memory=512Mi / cpu=100m memory=128Mi");
        assert_eq!(unsaid.volume_size, "8Gi");
    }

    #[test]
    fn a_size_that_is_none_is_told_with_its_field() {
        for (sizes, part) in [
            (json!({"volumeSize": "lots"}), "spec.run.volumeSize `lots` is not a quantity"),
            (json!({"volumeSize": "1Ki"}), "spec.run.volumeSize is 1Ki; expected 1Mi or more"),
            (json!({"fetch": {"limits": {"memory": "-1"}}}), "spec.run.fetch.limits.memory is -1"),
            (json!({"prove": {"limits": {"ram": "1Gi"}}}), "spec.run.prove.limits.ram"),
            (
                json!({"publish": {"limits": {"cpu": 1}, "requests": {"cpu": 2}}}),
                "spec.run.publish.requests.cpu is 2",
            ),
            (json!({"prove": {"deadlineSeconds": 0}}), "spec.run.prove.deadlineSeconds is 0"),
        ] {
            let problems = valid(sizes, None).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(part), "{part}: {problems:?}");
        }
    }
}
