//! Predictions by HTTP. In goes a ModelDeployment; out come answers, with the version that gave them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use modelwright::api::model_deployment::ModelDeployment;
use modelwright_contract::{names, status::ServeStatus};
use serde_json::{Value, json};

use super::{Space, onnx::Affine};

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// What `x-modelwright-version` said.
    pub version: u64,
    /// What `x-modelwright-digest` said.
    pub digest: String,
    /// The first output's numbers.
    pub data: Vec<f64>,
    /// The body.
    pub body: Value,
}

/// What [`Space::predict`] asks of a model.
pub const SAMPLE: [f32; 4] = [0.5, -1.0, 2.0, 7.25];

/// Where a model is served.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://address:port`.
    pub base: String,
    /// Name of the Model.
    pub model: String,
}

impl Endpoint {
    /// Where to predict.
    pub fn infer_url(&self) -> String {
        format!("{}/v2/models/{}/infer", self.base, self.model)
    }

    /// Asks for one prediction; the error is what a client saw.
    pub async fn predict(&self, http: &reqwest::Client, x: [f32; 4]) -> Result<Prediction, String> {
        let body = request(x).to_string();
        let answer = http
            .post(self.infer_url())
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let status = answer.status();
        let header = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (version, digest) = (header(names::VERSION_HEADER), header(names::DIGEST_HEADER));
        let bytes = answer.bytes().await.map_err(|error| format!("{error:?}"))?;
        if !status.is_success() {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&bytes)));
        }
        let body: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let data = body["outputs"][0]["data"].as_array().ok_or_else(|| format!("no data: {body}"))?;
        Ok(Prediction {
            version: version.parse().map_err(|_| format!("the version header says {version:?}"))?,
            digest,
            data: data.iter().filter_map(Value::as_f64).collect(),
            body,
        })
    }
}

/// A request of one row.
pub fn request(x: [f32; 4]) -> Value {
    json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": x}]})
}

impl Space {
    /// Where a ModelDeployment's `status.url` leads to.
    pub async fn endpoint(&self, deployment: &ModelDeployment) -> Endpoint {
        let url = deployment
            .status
            .as_ref()
            .and_then(|status| status.url.clone())
            .expect("a ModelDeployment that serves has a URL");
        let host = url.strip_prefix("http://").expect("the URL is http").trim_end_matches('/');
        let (host, port) = host.split_once(':').unwrap_or((host, "80"));
        let mut labels = host.split('.');
        let (service, namespace) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
        assert_eq!(namespace, self.name, "the URL {url} leads to the namespace");
        let service: Service = self.api().get(service).await.expect("the URL's Service is there");
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("the Service has an address");
        Endpoint { base: format!("http://{address}:{port}"), model: deployment.spec.model.clone() }
    }

    /// Waits until a Service that was just made again leads to its pods, which the node's proxy announces nowhere.
    pub async fn until_reachable(&self, deployment: &ModelDeployment) {
        let endpoint = self.endpoint(deployment).await;
        let limit = tokio::time::Instant::now() + Duration::from_secs(30);
        while let Err(error) = self.world.http.get(format!("{}/v2", endpoint.base)).send().await {
            assert!(tokio::time::Instant::now() < limit, "{}: {error:?}", endpoint.base);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Predicts through the Service, and checks the numbers.
    pub async fn predict(&self, deployment: &ModelDeployment, model: Affine) -> Prediction {
        let endpoint = self.endpoint(deployment).await;
        let prediction =
            endpoint.predict(&self.world.http, SAMPLE).await.expect("the Service answers a prediction");
        let expected: Vec<f64> = model.predict(SAMPLE).into_iter().map(f64::from).collect();
        assert_eq!(prediction.data, expected, "{model:?} answered {}", prediction.body);
        prediction
    }

    /// What a serving pod says of itself.
    pub async fn status_of(&self, pod: &Pod) -> ServeStatus {
        let address =
            pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("the pod has an IP");
        let url = format!("http://{address}:{}/status", names::METRICS_PORT);
        let answer = self.world.http.get(url).send().await.expect("the pod answers");
        serde_json::from_slice(&answer.bytes().await.expect("its answer can be read"))
            .expect("it answers the contract's status")
    }
}
