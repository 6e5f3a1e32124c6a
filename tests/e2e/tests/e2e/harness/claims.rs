//! Claims with files in them. In go a name and a file; a server of the test writes it, and goes.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::json;

use super::{
    Space,
    fixtures::{container_security, is_ready, pod_security},
};

/// An empty claim.
pub async fn claim(space: &Space, claim: &str) {
    space
        .create_object::<PersistentVolumeClaim>(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}},
        }))
        .await;
}

/// A claim that holds one file.
pub async fn claim_with(space: &Space, claim: &str, path: &str, content: &[u8]) {
    self::claim(space, claim).await;
    let fixtures = &space.world.fixtures;
    space.secret("writer", &fixtures.server_files()).await;
    space
        .create_object::<Pod>(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer"},
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
                "securityContext": pod_security(),
                "containers": [{
                    "name": "writer", "image": fixtures.image, "securityContext": container_security(),
                    "command": [
                        "fixture-server", "--root", "/claim",
                        "--certificate", "/etc/fixtures/tls.crt", "--key", "/etc/fixtures/tls.key",
                    ],
                    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    "volumeMounts": [
                        {"name": "claim", "mountPath": "/claim"},
                        {"name": "settings", "mountPath": "/etc/fixtures", "readOnly": true},
                    ],
                }],
                "volumes": [
                    {"name": "claim", "persistentVolumeClaim": {"claimName": claim}},
                    {"name": "settings", "secret": {"secretName": "writer"}},
                ],
            },
        }))
        .await;
    let writer = space.until("writer", "ready", 60, |pod: &Pod| is_ready(pod)).await;
    let address = writer.status.and_then(|status| status.pod_ip).expect("a ready pod has an address");
    let answer = space
        .world
        .http
        .put(format!("http://{address}:8080/files/{path}"))
        .body(content.to_vec())
        .timeout(Duration::from_secs(10))
        .send()
        .await;
    answer.and_then(reqwest::Response::error_for_status).expect("the claim keeps the file");
    space
        .api::<Pod>()
        .delete("writer", &kube::api::DeleteParams::default())
        .await
        .expect("it can be deleted");
    space.until_gone::<Pod>("writer", 60).await;
}
