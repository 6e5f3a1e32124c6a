//! What a version's size certificate does to the pods that serve it.

use modelwright::{
    api::{ModelVersion, model_version},
    k8s::cache::Cache,
    model::build::build_version,
    serving::{
        build::{Owner, build_revision},
        identity::revision_hash,
        revision::read,
    },
};
use modelwright_contract::size::{RowsSize, Size};
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::{deployment, valid, version_reference},
    deployment_scenarios::{made, one_version, path, paused, reconciled},
    fixtures::{self, model, reports, settings},
    scenario::{context, play},
};

const MEBI: u64 = 1024 * 1024;

fn certificate() -> Size {
    let rows =
        |rows, peak: u64| RowsSize { rows, peak_bytes: peak * MEBI, runs_per_core_second: "120".into() };
    Size { load_bytes: 900 * MEBI, rows: vec![rows(1, 1000), rows(64, 1500)] }
}

fn measured_version() -> ModelVersion {
    let model = model("s3://b/a", 1);
    let mut reports = reports('c');
    reports.publish.size = Some(certificate());
    let mut version = build_version(&fixtures::valid(&model), 1, &reports, &fixtures::job(&model), 1);
    version.metadata = one_version().metadata;
    version
}

#[test]
fn a_version_has_the_size_certificate_of_its_run() {
    let size = serde_json::to_value(measured_version().spec.size).unwrap();
    assert_eq!(
        size,
        json!({
            "loadBytes": 900 * MEBI,
            "rows": [
                {"rows": 1, "peakBytes": 1000 * MEBI, "runsPerCoreSecond": "120"},
                {"rows": 64, "peakBytes": 1500 * MEBI, "runsPerCoreSecond": "120"},
            ],
        })
    );
    let plain = serde_json::to_value(one_version().spec).unwrap();
    assert!(plain.get("size").is_none(), "what was not measured is not there");
}

#[test]
fn a_pods_memory_is_rendered_from_the_certificate_unless_the_spec_gives_it() {
    let memory = |spec: Value, size: Option<model_version::Size>| {
        let valid = valid(&deployment(spec));
        let version_reference =
            modelwright::serving::revision::VersionReference { size, ..version_reference(1, 'c') };
        let owner = Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner };
        let hash = revision_hash(&valid.asked, &version_reference.model_digest);
        let revision = build_revision(&owner, &hash, &valid.asked, &version_reference, &settings(), false);
        let pod = read(&revision).unwrap().pod_template.spec.unwrap();
        let resources = pod.containers[0].resources.clone().unwrap();
        let of = |amounts: Option<std::collections::BTreeMap<String, _>>| {
            amounts
                .unwrap()
                .get("memory")
                .map(|amount: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| amount.0.clone())
        };
        (hash, of(resources.limits).unwrap(), of(resources.requests).unwrap())
    };
    let size = measured_version().spec.size;
    let plain = json!({"model": "digits"});
    let (before, limit, request) = memory(plain.clone(), None);
    assert_eq!((limit.as_str(), request.as_str()), ("1Gi", "128Mi"));
    let (hash, limit, request) = memory(plain, size.clone());
    assert_eq!((limit.as_str(), request.as_str()), ("4486Mi", "1064Mi"));
    assert_eq!(hash, before, "what is measured decides no revision");
    let given = json!({"model": "digits", "resources": {"limits": {"memory": "2Gi"}, "requests": {"memory": "1500Mi"}}});
    for size in [None, size] {
        let (_, limit, request) = memory(given.clone(), size);
        assert_eq!((limit.as_str(), request.as_str()), ("2Gi", "1500Mi"));
    }
}

#[tokio::test]
async fn a_memory_limit_below_what_loading_takes_makes_no_revision_and_says_the_figure() {
    let low =
        json!({"model": "digits", "version": 1, "replicas": 0, "resources": {"limits": {"memory": "512Mi"}}});
    let object = deployment(low);
    // Nothing is there yet, and a revision serves already: in both cases it is told, and nothing else is written.
    for serves in [false, true] {
        let (mut context, mut server) = context();
        if serves {
            made(&paused(), &mut context, true);
        }
        context.caches.versions = Cache::fixed(vec![measured_version()]);
        let mut status = Value::Null;
        play(reconciled(&object, context), async {
            if !serves {
                server.expect("PATCH", &path("api/v1", "services", "digits")).await.echo();
            }
            let call = server
                .expect("PATCH", &path("apis/modelwright.dev/v1alpha1", "modeldeployments", "digits/status"))
                .await;
            status = call.body["status"].clone();
            call.object(&object);
            let event = server.next().await;
            assert_eq!(event.body["reason"], "Blocked");
            event.echo();
            server.nothing_more().await;
        })
        .await
        .unwrap();
        let conditions = status["conditions"].as_array().unwrap();
        let stalled = conditions.iter().find(|condition| condition["type"] == "Stalled").unwrap();
        assert_eq!(stalled["reason"], "MemoryLimitTooLow");
        let message = stalled["message"].as_str().unwrap();
        assert!(message.contains("is 512Mi") && message.contains("takes 900Mi"), "{message}");
        assert_eq!(status["stable"].is_object(), serves, "what serves goes on: {status}");
    }
}
