//! Which revisions without an owner are ours, as after a restore from a backup. In go a ControllerRevision and what this
//! operator would render of what it says was asked for; out come those that are not, with the reason. Pure.
//!
//! Whoever may write ControllerRevisions could have us make any pods. So one is believed only if what it says was asked for
//! hashes to its name, and if its pods differ from those rendered now in nothing but the image, which changes with the
//! operator.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    apps::v1::ControllerRevision,
    core::v1::{Container, PodTemplateSpec},
};
use kube::{Resource as _, ResourceExt as _};
use serde_json::Value;

use super::{
    build::{Owner, build_revision},
    fetch::Children,
    identity::{ServingSpec, revision_hash},
    revision::{self, RevisionData},
    snapshot::Resolution,
    status::Blocked,
    validate::{ValidDeployment, validate_deployment},
};
use crate::{
    api::{ModelDeployment, ModelDeploymentSpec, name},
    context::Settings,
    k8s::objects::same,
    problem::Problem,
};

/// Reason of a target under whose name there is something that is not believed.
const NOT_ADOPTED: &str = "NotAdopted";

/// Takes out of what was found the revisions that nobody owns and that are not believed, and gives the reasons by name.
pub fn part(
    settings: &Settings,
    deployment: &ModelDeployment,
    valid: Option<&ValidDeployment>,
    children: &mut Children,
) -> BTreeMap<String, String> {
    let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap_or_default());
    let reference = deployment.controller_owner_ref(&()).unwrap_or_default();
    let owner = Owner { name: &name, namespace: &namespace, reference: &reference };
    let mut strangers = BTreeMap::new();
    children.revisions.retain(|object: &Arc<ControllerRevision>| {
        if object.owner_references().iter().any(|owner| owner.controller == Some(true)) {
            return true;
        }
        match check(settings, &owner, valid.map(|valid| &valid.asked), object) {
            Ok(()) => true,
            Err(why) => {
                strangers.insert(object.name_any(), why);
                false
            }
        }
    });
    strangers
}

/// A target whose name is taken by a stranger is not made: what serves goes on serving, and a person has to look.
pub fn refuse(resolution: &mut Resolution, strangers: &BTreeMap<String, String>) {
    let Some((hash, _)) = &resolution.target else { return };
    let suffix = format!("-{}", name::short_revision(hash));
    let Some((name, why)) = strangers.iter().find(|(name, _)| name.ends_with(&suffix)) else { return };
    resolution.blocked = Some(Blocked::Refused(Problem {
        reason: NOT_ADOPTED.into(),
        message: format!(
            "ControllerRevision {name} has no owner and is not taken over, since {why}; delete it to have it made anew from the spec"
        ),
    }));
    resolution.target = None;
    resolution.desired.target = None;
}

/// Whether a revision is what its name says.
fn check(
    settings: &Settings,
    owner: &Owner<'_>,
    present: Option<&ServingSpec>,
    object: &ControllerRevision,
) -> Result<(), String> {
    let data = revision::read(object).ok_or("its data are not those of a revision")?;
    let digest = &data.version.model_digest;
    let is_named_so =
        |asked: &ServingSpec| name::revision(owner.name, &revision_hash(asked, digest)) == object.name_any();
    let asked = match &data.asked {
        Some(written) => read_asked(owner, written)?,
        // an earlier operator did not write it down, and the spec may still be the one
        None => present
            .filter(|asked| is_named_so(asked))
            .cloned()
            .ok_or("it does not say what was asked for, and the present spec is another")?,
    };
    if !is_named_so(&asked) {
        let hash = revision_hash(&asked, digest);
        return Err(format!(
            "what it says was asked for is of the name {}",
            name::revision(owner.name, &hash)
        ));
    }
    let hash = revision_hash(&asked, digest);
    let rendered = renderings(settings).into_iter().filter_map(|(settings, account)| {
        revision::read(&build_revision(owner, &hash, &asked, &data.version, &settings, account))
    });
    let mut difference = None;
    for rendered in rendered {
        match differs(settings, &asked, &data, &rendered) {
            None => return Ok(()),
            Some(path) => difference = difference.or(Some(path)),
        }
    }
    let path = difference.unwrap_or_default();
    Err(format!("it is not what this operator renders of what was asked for: {path} differs"))
}

/// What a revision says was asked for, if a user could have asked so.
fn read_asked(owner: &Owner<'_>, written: &Value) -> Result<ServingSpec, String> {
    let spec: ModelDeploymentSpec = serde_json::from_value(written.clone())
        .map_err(|error| format!("what it says was asked for is no spec: {error}"))?;
    let mut deployment = ModelDeployment::new(owner.name, spec);
    deployment.metadata.namespace = Some(owner.namespace.to_owned());
    let valid = validate_deployment(&deployment)
        .map_err(|error| format!("what it says was asked for is refused: {error}"))?;
    Ok(valid.asked)
}

/// How an operator may have been set up when it rendered: each of these may have changed since.
fn renderings(settings: &Settings) -> Vec<(Settings, bool)> {
    let mut all = Vec::new();
    for account in [false, true] {
        for store_plain_http in [settings.store_plain_http, !settings.store_plain_http] {
            all.push((Settings { store_plain_http, ..settings.clone() }, account));
        }
    }
    all
}

/// Where two revisions differ, other than in images that the operator names.
fn differs(
    settings: &Settings,
    asked: &ServingSpec,
    kept: &RevisionData,
    rendered: &RevisionData,
) -> Option<String> {
    let mut kept = kept.clone();
    // an earlier operator did not write it down
    kept.asked.clone_from(&rendered.asked);
    if asked.runtime.is_none() {
        let ours = [Some(settings.runtime_image.as_str()), settings.runtime_gpu_image.as_deref()];
        let is_ours = |image: &str| ours.iter().flatten().any(|ours| repository(ours) == repository(image));
        let mut of_now: Vec<_> = containers_of(&rendered.pod_template).cloned().collect();
        of_now.reverse();
        for container in containers_mut(&mut kept.pod_template) {
            let Some(rendered) = of_now.pop() else { break };
            if container.image.as_deref().is_some_and(is_ours) {
                container.image = rendered.image;
            }
        }
    }
    let json = |data: &RevisionData| serde_json::to_value(data).unwrap_or_default();
    difference(&json(&kept), &json(rendered), "data")
}

fn containers_of(template: &PodTemplateSpec) -> impl Iterator<Item = &Container> {
    let spec = template.spec.iter();
    spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

fn containers_mut(template: &mut PodTemplateSpec) -> impl Iterator<Item = &mut Container> {
    let spec = template.spec.iter_mut();
    spec.flat_map(|spec| spec.init_containers.iter_mut().flatten().chain(&mut spec.containers))
}

/// An image without its tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        // a port is followed by a path
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// The path of the first difference of two values, quantities by value and an empty part as good as none.
fn difference(one: &Value, other: &Value, path: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(_), Value::Object(_)) | (Value::Array(_), Value::Array(_)) if same(one, other) => None,
        (Value::Object(one_members), Value::Object(other_members)) => {
            let keys = one_members.keys().chain(other_members.keys());
            let mut inner = keys.filter_map(|key| {
                let of =
                    |members: &serde_json::Map<String, Value>| members.get(key).cloned().unwrap_or_default();
                difference(&of(one_members), &of(other_members), &format!("{path}.{key}"))
            });
            inner.next().or_else(|| Some(path.to_owned()))
        }
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => {
            let mut inner = ones
                .iter()
                .zip(others)
                .enumerate()
                .filter_map(|(index, (one, other))| difference(one, other, &format!("{path}[{index}]")));
            inner.next().or_else(|| Some(path.to_owned()))
        }
        _ => (!same(one, other)).then(|| path.to_owned()),
    }
}
