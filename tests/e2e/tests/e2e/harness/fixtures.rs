//! Servers to import from, as one pod in a namespace of their own: files by HTTP and HTTPS, the same files by S3, a
//! registry without and one with a password. In go models; out come URIs.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service};
use kube::{Api, Client, api::PostParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::{certificates::Certificates, images, onnx::Affine, registry::Registry, wait, world::RUN_LABEL};

/// User name, password or access key of every server that wants one.
pub const USER: &str = "ada";
/// Its password or secret key.
pub const PASSWORD: &str = "let-me-in";
/// `htpasswd -nbB ada let-me-in`, with a cheap round count.
const HTPASSWD: &str = "ada:$2b$04$JgJcrzaOww8ufApGxGknOu6vG/53bGQCF08AahYJuvR5v8aE3lkgW\n";

const HTTP: u16 = 8080;
const HTTPS: u16 = 8443;
const S3: u16 = 7070;
const OPEN_REGISTRY: u16 = 5000;
const CLOSED_REGISTRY: u16 = 5001;

/// The running servers.
pub struct Fixtures {
    /// The authority that the HTTPS server's certificate is of, PEM.
    pub authority: String,
    /// The image that they run from.
    pub image: String,
    certificate: String,
    key: String,
    host: String,
    address: String,
    http: reqwest::Client,
    client: Client,
}

impl Fixtures {
    /// Builds the image, starts the pod, and waits until every server answers.
    pub async fn start(client: Client, run: &str) -> Result<Self, String> {
        let namespace = format!("modelwright-e2e-{run}");
        let host = format!("fixtures.{namespace}.svc");
        let certificates = Certificates::new(vec![host.clone()]).map_err(|error| error.to_string())?;
        let image = images::fixtures().await?;
        let failed = |error: kube::Error| format!("the servers to import from: {error}");
        create::<Namespace>(&Api::all(client.clone()), restricted_namespace(&namespace, run))
            .await
            .map_err(failed)?;
        let files = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fixtures"},
            "stringData": {
                "tls.crt": &certificates.certificate, "tls.key": &certificates.key, "htpasswd": HTPASSWD,
                "open.yml": registry_configuration(OPEN_REGISTRY, false),
                "closed.yml": registry_configuration(CLOSED_REGISTRY, true),
            }
        });
        create::<Secret>(&Api::namespaced(client.clone(), &namespace), files).await.map_err(failed)?;
        create::<Service>(&Api::namespaced(client.clone(), &namespace), service()).await.map_err(failed)?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        create::<Pod>(&pods, pod(&image)).await.map_err(failed)?;
        wait::until(&pods, "fixtures", "ready", Duration::from_secs(90), is_ready).await;
        let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
        let address = services
            .get("fixtures")
            .await
            .map_err(failed)?
            .spec
            .and_then(|spec| spec.cluster_ip)
            .ok_or("the servers' Service has no address")?;
        let http = reqwest::Client::builder()
            .no_proxy()
            // The server closes what is idle, at any moment.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| error.to_string())?;
        let made = Self {
            authority: certificates.authority,
            certificate: certificates.certificate,
            key: certificates.key,
            image,
            host,
            address,
            http,
            client,
        };
        made.until_reachable().await?;
        Ok(made)
    }

    /// Waits until the Service's address leads to the pod, which the node's proxy arranges some time after the pod is ready
    /// and announces nowhere.
    async fn until_reachable(&self) -> Result<(), String> {
        let url = self.reachable("healthz");
        let limit = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            match self.http.get(&url).send().await {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() > limit => return Err(format!("{url}: {error}")),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Puts a file where HTTP, HTTPS and S3 serve it; its first folder is the bucket.
    pub async fn put(&self, path: &str, content: Vec<u8>) {
        let answer = self.http.put(self.reachable(&format!("files/{path}"))).body(content).send().await;
        answer.and_then(reqwest::Response::error_for_status).expect("the file server keeps files");
    }

    /// [`Self::put`] for a model.
    pub async fn put_model(&self, path: &str, model: Affine) {
        self.put(path, model.bytes()).await;
    }

    /// Removes a file.
    pub async fn remove(&self, path: &str) {
        let url = self.reachable(&format!("files/{path}"));
        let answer = self.http.request(Method::DELETE, url).send().await;
        answer.and_then(reqwest::Response::error_for_status).expect("the file server removes files");
    }

    /// Requests that the file server got, as `{method, path, withCredentials}`, whose path contains `part`.
    pub async fn requests(&self, part: &str) -> Vec<Value> {
        let answer = self.http.get(self.reachable("requests")).send().await.expect("the file server answers");
        let text = answer.bytes().await.expect("its answer can be read");
        let all: Vec<Value> = serde_json::from_slice(&text).expect("it answers JSON");
        all.into_iter().filter(|seen| seen["path"].as_str().is_some_and(|path| path.contains(part))).collect()
    }

    /// `host:port` of the HTTP server, as pods know it.
    pub fn http_host(&self) -> String {
        format!("{}:{HTTP}", self.host)
    }

    /// `host:port` of the HTTPS server.
    pub fn https_host(&self) -> String {
        format!("{}:{HTTPS}", self.host)
    }

    /// `host:port` of the S3 server.
    pub fn s3_host(&self) -> String {
        format!("{}:{S3}", self.host)
    }

    /// The registry, without or with a password.
    pub fn registry(&self, closed: bool) -> Registry {
        let port = if closed { CLOSED_REGISTRY } else { OPEN_REGISTRY };
        Registry {
            host: format!("{}:{port}", self.host),
            address: format!("{}:{port}", self.address),
            credentials: closed.then_some((USER, PASSWORD)),
            http: self.http.clone(),
        }
    }

    /// Address of the servers' pod itself.
    pub async fn pod_address(&self) -> String {
        let namespace = self.host.split('.').nth(1).unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let pod = pods.get("fixtures").await.expect("the servers' pod is there");
        pod.status.and_then(|status| status.pod_ip).expect("it has an address")
    }

    /// What a file server of a test's own needs in `/etc/fixtures`.
    pub fn server_files(&self) -> [(&str, &str); 2] {
        [("tls.crt", &self.certificate), ("tls.key", &self.key)]
    }

    /// A path of the file server, as it is reached from here.
    pub fn reachable(&self, path: &str) -> String {
        format!("http://{}:{HTTP}/{path}", self.address)
    }
}

/// A namespace whose pods must pass `restricted`.
pub fn restricted_namespace(name: &str, run: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {
            RUN_LABEL: run, "pod-security.kubernetes.io/enforce": "restricted",
        }},
    })
}

/// A pod's or container's security as `restricted` wants it.
pub fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// See [`pod_security`].
pub fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    })
}

/// Creates an object from JSON.
pub async fn create<K>(api: &Api<K>, object: Value) -> kube::Result<K>
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let object = serde_json::from_value(object).expect("the test wrote an object of this kind");
    api.create(&PostParams::default(), &object).await
}

/// Whether a pod takes traffic.
pub fn is_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn registry_configuration(port: u16, closed: bool) -> String {
    let auth =
        if closed { "auth: {htpasswd: {realm: fixtures, path: /etc/fixtures/htpasswd}}\n" } else { "" };
    format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: /registry/{port}}}}}\n\
         http: {{addr: ':{port}'}}\n{auth}"
    )
}

fn service() -> Value {
    let port = |name: &str, port: u16| json!({"name": name, "port": port});
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "fixtures"},
        "spec": {"selector": {"app": "fixtures"}, "ports": [
            port("http", HTTP), port("https", HTTPS), port("s3", S3), port("open", OPEN_REGISTRY),
            port("closed", CLOSED_REGISTRY),
        ]},
    })
}

fn pod(image: &str) -> Value {
    let container = |name: &str, port: u16, command: Value, mounts: Value| {
        json!({
            "name": name, "image": image, "command": command, "volumeMounts": mounts,
            "securityContext": container_security(),
            "env": [{"name": "OTEL_TRACES_EXPORTER", "value": "none"}],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        })
    };
    let data = json!({"name": "data", "mountPath": "/data"});
    let settings = json!({"name": "settings", "mountPath": "/etc/fixtures", "readOnly": true});
    let registry = json!({"name": "registry", "mountPath": "/registry"});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "fixtures", "labels": {"app": "fixtures"}},
        "spec": {
            "automountServiceAccountToken": false, "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": pod_security(),
            "containers": [
                container("files", HTTP, json!([
                    "fixture-server", "--root", "/data", "--certificate", "/etc/fixtures/tls.crt",
                    "--key", "/etc/fixtures/tls.key",
                ]), json!([data, settings])),
                container("s3", S3, json!([
                    "versitygw", "--access", USER, "--secret", PASSWORD, "--port", format!(":{S3}"), "posix",
                    "--nometa", "/data",
                ]), json!([data])),
                container("open", OPEN_REGISTRY, json!(["registry", "serve", "/etc/fixtures/open.yml"]),
                    json!([settings, registry])),
                container("closed", CLOSED_REGISTRY, json!(["registry", "serve", "/etc/fixtures/closed.yml"]),
                    json!([settings, registry])),
            ],
            "volumes": [
                {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "registry", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "settings", "secret": {"secretName": "fixtures"}},
            ],
        },
    })
}
