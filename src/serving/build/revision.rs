//! The ControllerRevision, and the ReplicaSet that is made from its data. Pure.

use k8s_openapi::{
    api::apps::v1::{ControllerRevision, ReplicaSet, ReplicaSetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, runtime::RawExtension},
};

use super::{Owner, pod::pod_template};
use crate::{
    api::name::{
        DEPLOYMENT_LABEL, DEPLOYMENT_UID_LABEL, MODEL_LABEL, REVISION_HASH_ANNOTATION, REVISION_LABEL,
        VERSION_LABEL, owned_metadata, revision, short_revision,
    },
    context::Settings,
    serving::{
        identity::ServingSpec,
        revision::{RevisionData, VersionReference},
        template,
    },
};

/// The revision of this hash. It is rendered once; what is in it is never rendered again.
pub fn build_revision(
    owner: &Owner<'_>,
    hash: &str,
    asked: &ServingSpec,
    version_reference: &VersionReference,
    settings: &Settings,
    workload_account: bool,
) -> ControllerRevision {
    let data = RevisionData {
        version: version_reference.clone(),
        execution_providers: asked.execution_providers.clone(),
        allow_fallback: asked.allow_fallback,
        drain_timeout_milliseconds: asked.limits.drain_timeout_milliseconds,
        pod_template: pod_template(owner, hash, asked, version_reference, settings, workload_account),
        asked: Some(asked.identity.clone()),
    };
    let mut metadata = owned_metadata(
        revision(owner.name, hash),
        owner.namespace,
        Some(owner.reference.clone()),
        revision_labels(owner, short_revision(hash), version_reference),
    );
    metadata.annotations = Some([(REVISION_HASH_ANNOTATION.to_owned(), hash.to_owned())].into());
    ControllerRevision {
        metadata,
        data: Some(raw(&data)),
        // the order among revisions is an annotation, since it changes when the spec returns to one
        revision: 1,
    }
}

/// The ReplicaSet of a revision, from its data alone.
pub fn build_replica_set(owner: &Owner<'_>, short: &str, data: &RevisionData, replicas: u32) -> ReplicaSet {
    ReplicaSet {
        metadata: owned_metadata(
            revision(owner.name, short),
            owner.namespace,
            Some(owner.reference.clone()),
            revision_labels(owner, short, &data.version),
        ),
        spec: Some(ReplicaSetSpec {
            replicas: Some(i32::try_from(replicas).unwrap_or(i32::MAX)),
            selector: LabelSelector {
                match_labels: Some(
                    [
                        (DEPLOYMENT_LABEL.to_owned(), owner.name.to_owned()),
                        (DEPLOYMENT_UID_LABEL.to_owned(), owner.reference.uid.clone()),
                        (REVISION_LABEL.to_owned(), short.to_owned()),
                    ]
                    .into(),
                ),
                ..LabelSelector::default()
            },
            template: Some(template::made(data, &owner.reference.uid, None)),
            ..ReplicaSetSpec::default()
        }),
        status: None,
    }
}

fn raw(data: &RevisionData) -> RawExtension {
    RawExtension(serde_json::to_value(data).expect("strings, numbers and maps with string keys are JSON"))
}

/// The labels of a revision's objects.
pub fn revision_labels(
    owner: &Owner<'_>,
    short: &str,
    version_reference: &VersionReference,
) -> [(&'static str, String); 4] {
    [
        (DEPLOYMENT_LABEL, owner.name.to_owned()),
        (REVISION_LABEL, short.to_owned()),
        (MODEL_LABEL, version_reference.model.clone()),
        (VERSION_LABEL, version_reference.version.to_string()),
    ]
}
