//! Pushes artifacts into a registry, as `oras push` does. In goes a file; out comes its address.

use std::fmt::Write as _;

use reqwest::{Method, Response, header::LOCATION};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// A registry of the fixtures.
pub struct Registry {
    /// `host:port`, as pods know it.
    pub host: String,
    /// `address:port`, as it is reached from here.
    pub address: String,
    /// User name and password, where it wants them.
    pub credentials: Option<(&'static str, &'static str)>,
    /// Client.
    pub http: reqwest::Client,
}

impl Registry {
    /// Pushes a model as an artifact of one file; gives the manifest's digest, 64 hex digits.
    pub async fn push(&self, repository: &str, tag: &str, model: &[u8]) -> String {
        self.push_files(repository, tag, &[("model.onnx", model.to_vec())]).await
    }

    /// Pushes an artifact of several files; gives the manifest's digest, 64 hex digits.
    pub async fn push_files(&self, repository: &str, tag: &str, files: &[(&str, Vec<u8>)]) -> String {
        let empty = self.push_blob(repository, b"{}").await;
        let mut layers = Vec::new();
        for (path, content) in files {
            layers.push(json!({
                "mediaType": "application/vnd.cncf.model.weight.v1.raw",
                "digest": self.push_blob(repository, content).await, "size": content.len(),
                "annotations": {"org.cncf.model.filepath": path},
            }));
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.cncf.model.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
            "layers": layers,
        })
        .to_string();
        let digest = hex(&manifest);
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.address);
        self.send(Method::PUT, &url, "application/vnd.oci.image.manifest.v1+json", manifest.into_bytes())
            .await;
        digest
    }

    async fn push_blob(&self, repository: &str, content: &[u8]) -> String {
        let uploads = format!("http://{}/v2/{repository}/blobs/uploads/", self.address);
        let started = self.send(Method::POST, &uploads, "application/octet-stream", Vec::new()).await;
        let location = started.headers()[LOCATION].to_str().expect("an upload's address is text");
        let separator = if location.contains('?') { '&' } else { '?' };
        let digest = format!("sha256:{}", hex(content));
        let target = if location.starts_with('/') {
            format!("http://{}{location}{separator}digest={digest}", self.address)
        } else {
            format!("{location}{separator}digest={digest}")
        };
        self.send(Method::PUT, &target, "application/octet-stream", content.to_vec()).await;
        digest
    }

    async fn send(&self, method: Method, url: &str, media_type: &str, body: Vec<u8>) -> Response {
        let mut request = self.http.request(method, url).header("content-type", media_type).body(body);
        if let Some((user, password)) = self.credentials {
            request = request.basic_auth(user, Some(password));
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        answer.error_for_status().unwrap_or_else(|error| panic!("{url}: {error}"))
    }
}

/// SHA-256 in hex.
pub fn hex(content: impl AsRef<[u8]>) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Base64.
pub fn base64(content: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, content)
}
