//! D12: what runs where a graph is proven may be anybody's, and reaches neither a token nor a port that takes its writes.

use k8s_openapi::api::core::v1::Pod;
use modelwright_contract::names::{PROVE_ENV, PUBLISH_ENV, SOURCE_DIRECTORY};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    onnx::Affine,
    release::{NAME, NAMESPACE},
};

const AFFINE: Affine = Affine { factor: 3.0, summand: 1.0 };

/// The runtime's own `publish`, which knows how to write to a store, runs in the place of `prove`: in a pod that is otherwise
/// that of a run which published to the bundled store.
pub async fn a_program_in_place_of_prove_cannot_write_to_the_bundled_store(space: Space) {
    space.import("digits", AFFINE).await;
    let artifact = space.version("digits-v1").await.spec.artifact;
    let store = format!("oci://{NAME}-store.{NAMESPACE}.svc:5000/modelwright");
    assert!(artifact.uri.starts_with(&format!("{store}/{}/digits@", space.name)), "{}", artifact.uri);
    let [job] = &space.jobs_of("digits").await[..] else { panic!("one Job imported") };
    let spec = json!(job.spec.as_ref().and_then(|spec| spec.template.spec.clone()));
    let told = variable(&spec["containers"][0], PUBLISH_ENV).as_str().expect("it is a text").to_owned();
    let told: Value = serde_json::from_str(&told).expect("it is JSON");
    let push = &told["store"]["push"];
    assert!(push["host"].as_str().is_some_and(|host| host.ends_with(":5001")), "{told}");

    let write = store.replace(":5000", ":5001");
    for (name, store, reason, words) in [
        ("reading", json!({"uri": store, "plainHttp": true}), "UnexpectedStatus", "405"),
        ("unknown", json!({"uri": write, "plainHttp": true}), "Unauthorized", "401"),
        ("token", json!({"uri": store, "plainHttp": true, "push": push}), "CredentialsUnreadable", "token"),
    ] {
        let config = json!({
            "namespace": space.name, "model": "digits", "directory": SOURCE_DIRECTORY, "goldenSamples": 1,
            "goldenSeed": 1, "storeRetrySeconds": 1, "store": store,
        });
        let mut spec = spec.clone();
        let prove = &mut spec["initContainers"][1];
        assert_eq!(prove["name"], "prove");
        prove["args"] = json!(["publish"]);
        *variable_mut(prove, PROVE_ENV) = json!({"name": PUBLISH_ENV, "value": config.to_string()});
        let pod = ended(&space, name, spec).await;
        let status = json!(pod.status);
        let prove = &status["initContainerStatuses"][1]["state"]["terminated"];
        let report: Value = serde_json::from_str(prove["message"].as_str().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{name}: {error}: {status}"));
        assert_eq!(report["failed"]["reason"], reason, "{name}: {report}");
        assert!(report["failed"]["message"].as_str().is_some_and(|text| text.contains(words)), "{report}");
    }
    // The pod that all were made of publishes when nothing stands in.
    let pod = ended(&space, "itself", spec).await;
    let status = json!(pod.status);
    assert_eq!(status["phase"], "Succeeded", "{status}");
    let said = status["containerStatuses"][0]["state"]["terminated"]["message"].as_str().unwrap_or_default();
    assert!(said.contains(&artifact.uri), "{said}");
}

/// Runs a pod by itself, of which the operator knows nothing, until it ends.
async fn ended(space: &Space, name: &str, spec: Value) -> Pod {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    space.create_object::<Pod>(pod).await;
    space
        .until(name, "ended", 120, |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        })
        .await
}

fn variable<'a>(container: &'a Value, name: &str) -> &'a Value {
    let found = container["env"].as_array().into_iter().flatten().find(|one| one["name"] == name);
    &found.unwrap_or_else(|| panic!("{name} is in {container}"))["value"]
}

fn variable_mut<'a>(container: &'a mut Value, name: &str) -> &'a mut Value {
    let found = container["env"].as_array_mut().into_iter().flatten().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is among the variables"))
}
