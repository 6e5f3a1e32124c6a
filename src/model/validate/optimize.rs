//! `spec.optimize`, parsed. In goes what a user wrote, out come variants with every default resolved; problems are told by the
//! path of the field. Pure.

use std::collections::BTreeSet;

use modelwright_contract::{
    training::Metric,
    variants::{MAX_VARIANTS, Target, Variant},
};

use super::data::check_share;
use crate::api::optimize::VariantRequest;

const DEFAULT_DROP: &str = "0.01";
const DEFAULT_DISAGREEMENT: &str = "0.05";

/// Parses the variants of a Model that is measured by `metric`; none of an import that is not measured.
pub(super) fn validate_optimize(
    requests: &[VariantRequest],
    metric: Option<Metric>,
    problems: &mut Vec<String>,
) -> Vec<Variant> {
    if requests.is_empty() {
        return Vec::new();
    }
    let Some(metric) = metric else {
        problems.push(
            "spec.optimize needs spec.training or spec.evaluation: variants are judged on a test part, and an import has none without spec.evaluation; set that, or remove spec.optimize".into(),
        );
        return Vec::new();
    };
    if requests.len() > MAX_VARIANTS {
        problems.push(format!(
            "spec.optimize has {} entries; a version has at most {MAX_VARIANTS} variants",
            requests.len()
        ));
    }
    let mut names = BTreeSet::new();
    let parse = |(at, request): (usize, &VariantRequest)| {
        let field = format!("spec.optimize[{at}]");
        if !names.insert(request.name.clone()) {
            problems
                .push(format!("{field}.name `{}` is there twice; give each a name of its own", request.name));
        }
        if request.quantize.is_none() && request.target == Some(Target::Latency) {
            problems.push(format!(
                "{field}.for is Latency without quantize: FP16 saves bytes and no time on a CPU; expected Size, or set quantize"
            ));
        }
        let (drop, disagreement) = (request.max_metric_drop.as_deref(), request.max_disagreement.as_deref());
        check_share(&format!("{field}.maxMetricDrop"), drop, problems);
        check_share(&format!("{field}.maxDisagreement"), disagreement, problems);
        let default = if request.quantize.is_some() { Target::Latency } else { Target::Size };
        Variant {
            name: request.name.clone(),
            quantize: request.quantize,
            target: request.target.unwrap_or(default),
            metric,
            max_metric_drop: drop.unwrap_or(DEFAULT_DROP).to_owned(),
            max_disagreement: disagreement.unwrap_or(DEFAULT_DISAGREEMENT).to_owned(),
        }
    };
    requests.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use modelwright_contract::variants::Quantize;
    use serde_json::json;

    use super::*;

    fn parsed(written: serde_json::Value) -> Result<Vec<Variant>, Vec<String>> {
        let requests: Vec<VariantRequest> = serde_json::from_value(written).unwrap();
        let mut problems = Vec::new();
        let variants = validate_optimize(&requests, Some(Metric::F1Macro), &mut problems);
        if problems.is_empty() { Ok(variants) } else { Err(problems) }
    }

    #[test]
    fn what_is_not_said_is_resolved() {
        let variants =
            parsed(json!([{"name": "int8", "quantize": "Static"}, {"name": "fp16", "maxMetricDrop": "0"}]))
                .unwrap();
        let (int8, fp16) = (&variants[0], &variants[1]);
        assert_eq!(
            (int8.quantize, int8.target, int8.metric),
            (Some(Quantize::Static), Target::Latency, Metric::F1Macro)
        );
        assert_eq!((int8.max_metric_drop.as_str(), int8.max_disagreement.as_str()), ("0.01", "0.05"));
        assert_eq!((fp16.quantize, fp16.target, fp16.max_metric_drop.as_str()), (None, Target::Size, "0"));
    }

    #[test]
    fn a_request_that_makes_no_sense_names_the_field() {
        for (written, part) in [
            (json!([{"name": "a"}, {"name": "a"}]), "spec.optimize[1].name `a` is there twice"),
            (json!([{"name": "a", "for": "Latency"}]), "spec.optimize[0].for is Latency without quantize"),
            (json!([{"name": "a", "maxMetricDrop": "2"}]), "spec.optimize[0].maxMetricDrop is 2"),
            (json!([{"name": "a", "maxDisagreement": "x"}]), "spec.optimize[0].maxDisagreement"),
            (
                json!([{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}, {"name": "e"}]),
                "has 5 entries",
            ),
        ] {
            let problems = parsed(written).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(part), "{part}: {problems:?}");
        }
        let mut problems = Vec::new();
        let requests: Vec<VariantRequest> = serde_json::from_value(json!([{"name": "a"}])).unwrap();
        assert!(validate_optimize(&requests, None, &mut problems).is_empty());
        assert!(problems[0].contains("needs spec.training"), "{problems:?}");
    }
}
