//! R1 and R16 of Models: nothing is trained twice, no version is made twice, none that is in use goes, and no number comes
//! again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    json::{annotation, controller, is_true, items, label, text},
    kinds::Kind,
    store::{Author, Store, Version},
};

#[derive(Clone, Default)]
pub(super) struct Runs {
    /// The Jobs of a Model's spec that were made, and how the last of them ended.
    jobs: BTreeMap<(String, String), Started>,
    numbers: BTreeSet<(String, String)>,
}

#[derive(Clone, Default)]
struct Started {
    count: usize,
    /// Whether another may be made: it failed, or the spec had moved on.
    is_over: bool,
}

impl Runs {
    pub(super) fn see(&mut self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        match version.key.kind {
            Kind::Job => self.job(version, broken),
            Kind::ModelVersion => self.version(version, store, broken),
            _ => {}
        }
    }

    fn job(&mut self, version: &Version, broken: &mut Vec<String>) {
        let Some(job) = version.after.as_ref().or(version.before.as_ref()) else { return };
        let hash = annotation(job, "modelwright.dev/spec-hash");
        if hash.is_empty() {
            // it reads what another made
            return;
        }
        let place = (controller(job).unwrap_or_default().to_owned(), hash.to_owned());
        let started = self.jobs.entry(place).or_default();
        match (&version.before, &version.after) {
            (None, Some(_)) => {
                if started.count > 0 && !started.is_over {
                    broken.push("R16: a run was started again that had not failed".into());
                }
                started.count += 1;
                started.is_over = false;
            }
            (Some(before), after) => {
                let is_done = is_true(before, "Complete");
                let ended = after.as_ref().is_some_and(|after| is_true(after, "Failed"));
                // one that ran for a spec that was changed was given up on purpose
                started.is_over |= ended || (after.is_none() && !is_done);
            }
            (None, None) => {}
        }
    }

    fn version(&mut self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        match (&version.before, &version.after) {
            (None, Some(after)) if matches!(version.by, Author::Operator(_)) => {
                let model = controller(after).unwrap_or_default().to_owned();
                if !self.numbers.insert((model.clone(), version.key.name.clone())) {
                    broken.push("the number of a version was used again".into());
                }
                let others = store.all(Kind::ModelVersion).filter(|other| {
                    controller(other) == Some(&model)
                        && text(other, "/metadata/uid") != text(after, "/metadata/uid")
                });
                for other in others {
                    if other["spec"]["specHash"] == after["spec"]["specHash"]
                        || other["spec"]["modelDigest"] == after["spec"]["modelDigest"]
                    {
                        broken.push("R16: a version was made twice".into());
                    }
                }
            }
            (Some(before), None) if matches!(version.by, Author::Operator(_)) && is_used(before, store) => {
                broken.push("R1: a version that is in use was deleted".into());
            }
            (Some(before), Some(after)) if before["spec"] != after["spec"] => {
                broken.push("the spec of a version was changed".into());
            }
            _ => {}
        }
    }
}

/// Whether pods serve a version.
fn is_used(version: &Value, store: &Store) -> bool {
    let (model, number) = (text(version, "/spec/model"), version["spec"]["version"].to_string());
    let of_pods = store.all(Kind::Pod).any(|pod| {
        label(pod, "modelwright.dev/model") == model
            && label(pod, "modelwright.dev/version") == number
            && items(pod, "/spec/containers").any(|container| container["name"] == "serve")
    });
    let named = store.all(Kind::ModelDeployment).any(|deployment| {
        text(deployment, "/spec/model") == model
            && deployment["spec"]["version"] == version["spec"]["version"]
    });
    of_pods || named
}
