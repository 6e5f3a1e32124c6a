//! Variants of a Model: which version a spec means, and which one a run makes.

use std::sync::Arc;

use modelwright::{
    api::{Model, ModelVersion},
    model::{
        build::build_version,
        plan::{Plan, Step, plan_model},
        snapshot::Snapshot,
    },
};
use serde_json::{Value, json};

use crate::fixtures::{
    finished, job, job_name, optimized_model, reports, snapshot, trained_pod, valid, variant_reports, version,
};

fn plan(model: &Model, snapshot: &Snapshot) -> Plan {
    plan_model(model, &valid(model), snapshot)
}

fn int8() -> Value {
    json!([{"name": "int8", "quantize": "Dynamic"}])
}

/// Version `number` of the Model with the variants that its run reported.
fn with_variants(model: &Model, number: u64, stamp: i64, variants: &[(&str, char)]) -> ModelVersion {
    let mut told = reports('a');
    told.publish.variants = variant_reports(variants);
    let made = build_version(&valid(model), number, &told, &job(model), stamp);
    let mut version = version(model, number, 'a', stamp);
    version.spec = made.spec;
    version
}

fn used(plan: &Plan) -> u64 {
    let Step::Use { version, .. } = &plan.step else { panic!("{:?}", plan.step) };
    version.spec.version
}

#[test]
fn a_change_of_variants_is_another_version_and_a_return_finds_the_one_that_had_them() {
    let (plain, optimized) = (optimized_model(json!([]), 1), optimized_model(int8(), 2));
    let first = with_variants(&plain, 1, 1, &[]);
    assert_eq!((&first.spec.optimize_hash, &first.spec.spec_hash), (&None, &valid(&plain).key()));
    let kept = snapshot(vec![first.clone()], vec![], vec![]);
    assert_eq!(used(&plan(&plain, &kept)), 1);
    assert_eq!(plan(&optimized, &kept).step, Step::Start, "the version that is there has no variants");
    assert_ne!(job_name(&plain), job_name(&optimized), "the run has a Job of its own");

    let second = with_variants(&optimized, 2, 2, &[("int8", 'c')]);
    assert_eq!(second.spec.spec_hash, first.spec.spec_hash, "the model is the same");
    let kept = snapshot(vec![first, second], vec![], vec![]);
    assert_eq!((used(&plan(&optimized, &kept)), used(&plan(&plain, &kept))), (2, 1));
    let other = optimized_model(json!([{"name": "int8", "quantize": "Static"}]), 3);
    assert_eq!(plan(&other, &kept).step, Step::Start);
    let spelt = json!([{"name": "int8", "quantize": "Dynamic", "maxMetricDrop": "0.10"}]);
    let same = json!([{"name": "int8", "quantize": "Dynamic", "maxMetricDrop": "0.1"}]);
    assert_eq!(valid(&optimized_model(spelt, 1)).key(), valid(&optimized_model(same, 1)).key());
}

/// What to do with a run of `model` that reported these variants, beside a version of the same model with others.
fn recorded(model: &Model, there: ModelVersion, variants: &[(&str, char)]) -> Step {
    let job = finished(job(model), "Complete", "CompletionsReached");
    let mut told = crate::fixtures::publish_report('a');
    told.variants = variant_reports(variants);
    let mut pod = trained_pod(&job, 'a', "");
    let status = pod.status.as_mut().unwrap();
    let publish = status.container_statuses.as_mut().unwrap().first_mut().unwrap();
    let state = publish.state.as_mut().unwrap().terminated.as_mut().unwrap();
    state.message = Some(json!({"succeeded": told}).to_string());
    let mut seen = snapshot(vec![there], vec![], vec![pod]);
    seen.jobs = vec![Arc::new(job)];
    plan(model, &seen).step
}

#[test]
fn a_run_with_the_same_model_and_other_variants_makes_a_version_and_with_the_same_ones_none() {
    let (plain, optimized) = (optimized_model(json!([]), 1), optimized_model(int8(), 2));
    let Step::Record { number, reports, .. } =
        recorded(&optimized, with_variants(&plain, 1, 1, &[]), &[("int8", 'c')])
    else {
        panic!("a version without variants is no version with them")
    };
    assert_eq!((number, reports.publish.variants.len()), (2, 1));
    // Another bound, and the same bytes: the version that has them is the one that is meant.
    let looser =
        optimized_model(json!([{"name": "int8", "quantize": "Dynamic", "maxDisagreement": "0.1"}]), 3);
    let there = with_variants(&optimized, 2, 2, &[("int8", 'c')]);
    let step = recorded(&looser, there.clone(), &[("int8", 'c')]);
    assert!(matches!(&step, Step::Link { hashes, .. } if *hashes == valid(&looser).key()), "{step:?}");
    let step = recorded(&looser, there, &[("int8", 'd')]);
    assert!(matches!(step, Step::Record { number: 3, .. }), "{step:?}");
}
