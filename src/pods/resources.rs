//! Resources of a container, as users write them. In go amounts by resource; out come the same, every problem told, and
//! then completed by defaults. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity as Rendered,
};

use crate::{api::Amount, quantity::Quantity};

/// Amount by resource, as written.
pub type Amounts = BTreeMap<String, String>;

/// Resources that are not extended ones, and need no domain.
const PLAIN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Limits and requests as written, their problems told by the path of `field`.
pub fn check_resources(
    field: &str,
    limits: &BTreeMap<String, Amount>,
    requests: &BTreeMap<String, Amount>,
    problems: &mut Vec<String>,
) -> (Amounts, Amounts) {
    let mut read = |part: &str, amounts: &BTreeMap<String, Amount>| -> Amounts {
        amounts
            .iter()
            .map(|(resource, amount)| {
                let text = amount_text(amount);
                check_amount(&format!("{field}.{part}.{resource}"), resource, &text, problems);
                (resource.clone(), text)
            })
            .collect()
    };
    let limits = read("limits", limits);
    let requests = read("requests", requests);
    for (resource, request) in &requests {
        let extended = is_extended(resource);
        match limits.get(resource) {
            None if extended => problems.push(format!(
                "{field}.requests.{resource} has no limit; put {request} into {field}.limits.{resource} instead"
            )),
            Some(limit) => {
                let pair = (Quantity::parse(request), Quantity::parse(limit));
                let (Ok(request_value), Ok(limit_value)) = pair else { continue };
                if request_value > limit_value || (extended && request_value != limit_value) {
                    let expected = if extended { "the same as" } else { "at most" };
                    problems.push(format!(
                        "{field}.requests.{resource} is {request}; expected {expected} {field}.limits.{resource}, which is {limit}"
                    ));
                }
            }
            None => {}
        }
    }
    (limits, requests)
}

/// An amount as users write it, with or without quotes.
pub fn amount_text(amount: &Amount) -> String {
    amount.to_string()
}

/// What a container gets: what the user wrote, and where nothing is written the defaults. A larger request without a
/// limit is its own limit, and a default request is never above its limit.
pub fn complete_resources(
    limits: &Amounts,
    requests: &Amounts,
    default_limits: &[(&str, &str)],
    default_requests: &[(&str, &str)],
) -> ResourceRequirements {
    let (mut limits, mut requests) = (limits.clone(), requests.clone());
    for (resource, default) in default_limits {
        limits.entry((*resource).into()).or_insert_with(|| {
            let least = Quantity::parse(default).ok();
            let request = requests.get(*resource).filter(|request| Quantity::parse(request).ok() > least);
            request.cloned().unwrap_or_else(|| (*default).to_owned())
        });
    }
    for (resource, default) in default_requests {
        requests.entry((*resource).into()).or_insert_with(|| {
            let limit = limits.get(*resource).filter(|limit| {
                matches!((Quantity::parse(limit), Quantity::parse(default)), (Ok(limit), Ok(default)) if limit < default)
            });
            limit.cloned().unwrap_or_else(|| (*default).to_owned())
        });
    }
    let amounts =
        |all: Amounts| Some(all.into_iter().map(|(resource, amount)| (resource, Rendered(amount))).collect());
    ResourceRequirements {
        limits: amounts(limits),
        requests: amounts(requests),
        ..ResourceRequirements::default()
    }
}

fn is_extended(resource: &str) -> bool {
    resource.contains('/')
}

fn check_amount(field: &str, resource: &str, text: &str, problems: &mut Vec<String>) {
    let plain = PLAIN.contains(&resource) || resource.starts_with("hugepages-");
    if !plain && !is_extended(resource) {
        problems.push(format!(
            "{field}: `{resource}` is no resource; expected cpu, memory, ephemeral-storage or an extended resource with its domain, for example nvidia.com/gpu"
        ));
        return;
    }
    match Quantity::parse(text) {
        Err(error) => problems.push(format!("{field} {error}")),
        Ok(quantity) if quantity.units().is_none() => {
            problems.push(format!("{field} is {text}; expected 0 or more"));
        }
        Ok(quantity) if is_extended(resource) && quantity.to_string().ends_with('n') => {
            problems.push(format!(
                "{field} is {text}; an extended resource comes in whole numbers, for example 1"
            ));
        }
        Ok(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn amounts(all: &[(&str, &str)]) -> Amounts {
        all.iter().map(|(resource, amount)| ((*resource).to_owned(), (*amount).to_owned())).collect()
    }

    #[test]
    fn a_default_gives_way_to_what_is_written() {
        let complete = |limits: &[(&str, &str)], requests: &[(&str, &str)]| {
            let defaults: &[(&str, &str)] = &[("cpu", "2"), ("memory", "2Gi")];
            let small: &[(&str, &str)] = &[("cpu", "500m"), ("memory", "512Mi")];
            let made = complete_resources(&amounts(limits), &amounts(requests), defaults, small);
            let text = |all: Option<BTreeMap<String, Rendered>>| {
                all.unwrap()
                    .into_iter()
                    .map(|(name, amount)| format!("{name}={}", amount.0))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            format!("{} / {}", text(made.limits), text(made.requests))
        };
        assert_eq!(complete(&[], &[]), "cpu=2 memory=2Gi / cpu=500m memory=512Mi");
        assert_eq!(complete(&[], &[("cpu", "4")]), "cpu=4 memory=2Gi / cpu=4 memory=512Mi");
        assert_eq!(complete(&[("cpu", "100m")], &[]), "cpu=100m memory=2Gi / cpu=100m memory=512Mi");
        assert_eq!(
            complete(&[("nvidia.com/gpu", "1")], &[]),
            "cpu=2 memory=2Gi nvidia.com/gpu=1 / cpu=500m memory=512Mi"
        );
    }
}
