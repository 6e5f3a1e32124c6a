//! Whether a Service answers as the trainer's own pipeline did, on the test part that a version's artifact carries. In goes
//! a version; out comes a panic that shows the first row that differs.

use std::{collections::BTreeMap, io::Write as _};

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use modelwright::api::model_deployment::ModelDeployment;
use modelwright_contract::{artifact::METADATA_DIRECTORY, training::EVALUATION_FILE};
use modelwright_core::{
    npz::Npz,
    tensor::{Datatype, Tensor},
};
use serde_json::{Value, json};

use super::{Space, release};

/// Rows of one request.
const BATCH: usize = 50;
/// By how much floats may differ, relative to themselves and to the largest of their output.
const TOLERANCE: f64 = 1e-3;

impl Space {
    /// Sends every row of the test part, and compares each answer with the trainer's own.
    pub async fn assert_agreement(&self, deployment: &ModelDeployment, version: &str, fewest_rows: usize) {
        let number = version.rsplit_once("-v").and_then(|(_, number)| number.parse().ok());
        self.promoted_version(
            &deployment.metadata.name.clone().unwrap_or_default(),
            number.expect("a version's name"),
        )
        .await;
        let mut arrays = self.evaluation(version).await;
        let named = |prefix: &str| -> Vec<String> {
            arrays.names().filter_map(|name| name.strip_prefix(prefix)).map(str::to_owned).collect()
        };
        let (inputs, outputs) = (named("inputs/"), named("outputs/"));
        assert!(!inputs.is_empty() && !outputs.is_empty(), "{:?}", arrays.names().collect::<Vec<_>>());
        let mut read = |prefix: &str, names: &[String]| -> BTreeMap<String, _> {
            let mut array = |name: &String| {
                arrays.array(&format!("{prefix}{name}")).expect("it can be read").expect("it is there")
            };
            names.iter().map(|name| (name.clone(), array(name))).collect()
        };
        let (inputs, outputs) = (read("inputs/", &inputs), read("outputs/", &outputs));
        let rows = inputs.values().next().and_then(modelwright_core::npz::Array::rows).unwrap_or_default();
        assert!(
            rows >= fewest_rows,
            "the test part has {rows} rows, and at least {fewest_rows} were expected"
        );
        let endpoint = self.endpoint(deployment).await;
        let largest: BTreeMap<&String, f64> = outputs
            .iter()
            .map(|(name, array)| {
                let all = as_json(&array.tensor(name, 0..rows).expect("rows of an array"));
                let numbers = all["data"].as_array().expect("data").iter().filter_map(Value::as_f64);
                (name, numbers.fold(0.0, |most: f64, number| most.max(number.abs())))
            })
            .collect();
        for start in (0..rows).step_by(BATCH) {
            let range = start..rows.min(start + BATCH);
            let tensor = |(name, array): (&String, &modelwright_core::npz::Array)| {
                array.tensor(name, range.clone()).expect("rows of an array")
            };
            let asked: Vec<_> = inputs.iter().map(tensor).map(|tensor| as_json(&tensor)).collect();
            let answer = self
                .world
                .http
                .post(endpoint.infer_url())
                .body(json!({"inputs": asked}).to_string())
                .send()
                .await;
            let answer = answer.expect("the Service answers").bytes().await.expect("its answer can be read");
            let answer: Value = serde_json::from_slice(&answer).expect("it answers JSON");
            for (name, array) in &outputs {
                let expected = as_json(&tensor((name, array)));
                let given = answer["outputs"].as_array().into_iter().flatten();
                let given = given.clone().find(|output| output["name"] == expected["name"]);
                let given = given.unwrap_or_else(|| panic!("no output {} in {answer}", expected["name"]));
                assert_eq!(given["shape"], expected["shape"], "{}", expected["name"]);
                let pairs = given["data"]
                    .as_array()
                    .expect("data")
                    .iter()
                    .zip(expected["data"].as_array().expect("data"));
                for (index, (given, expected)) in pairs.enumerate() {
                    assert!(
                        agree(given, expected, largest[name]),
                        "element {index} behind row {start}: the Service says {given}, and the trainer said {expected}"
                    );
                }
            }
        }
    }

    /// The test part of a version, out of the bundled store.
    async fn evaluation(&self, version: &str) -> Npz {
        let artifact = self.version(version).await.spec.artifact;
        let (place, digest) = artifact.uri.split_once('@').expect("an artifact's address has a digest");
        let repository = place
            .strip_prefix("oci://")
            .and_then(|rest| rest.split_once('/'))
            .expect("it is in a registry")
            .1;
        let stores: Api<Service> = Api::namespaced(self.world.client.clone(), release::NAMESPACE);
        let store =
            stores.get(&format!("{}-store", release::NAME)).await.expect("the bundled store is there");
        let address = store.spec.and_then(|spec| spec.cluster_ip).expect("its Service has an address");
        let get = async |path: String| {
            let url = format!("http://{address}:5000/v2/{repository}/{path}");
            let request =
                self.world.http.get(url).header("accept", "application/vnd.oci.image.manifest.v1+json");
            let answer = request.send().await.and_then(reqwest::Response::error_for_status);
            answer.expect("the store answers").bytes().await.expect("its answer can be read")
        };
        let manifest: Value =
            serde_json::from_slice(&get(format!("manifests/{digest}")).await).expect("a manifest is JSON");
        let path = format!("{METADATA_DIRECTORY}/{EVALUATION_FILE}");
        let layers = manifest["layers"].as_array().expect("it has layers");
        let layer =
            layers.iter().find(|layer| layer["annotations"]["org.cncf.model.filepath"] == path.as_str());
        let blob = layer
            .and_then(|layer| layer["digest"].as_str())
            .unwrap_or_else(|| panic!("no {path} in {manifest}"));
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        file.write_all(&get(format!("blobs/{blob}")).await).expect("it can be written");
        Npz::open(file.path()).expect("it is an npz file")
    }
}

fn agree(given: &Value, expected: &Value, largest: f64) -> bool {
    match (given.as_f64(), expected.as_f64()) {
        (Some(given), Some(expected)) => (given - expected).abs() <= TOLERANCE * (expected.abs() + largest),
        _ => given == expected,
    }
}

/// A tensor of the protocol's JSON form.
fn as_json(tensor: &Tensor) -> Value {
    let elements = |size: usize| tensor.data.chunks_exact(size);
    let data: Vec<Value> = match tensor.datatype {
        Datatype::Fp32 => {
            elements(4).map(|bytes| json!(f32::from_le_bytes(bytes.try_into().expect("4 bytes")))).collect()
        }
        Datatype::Int64 => {
            elements(8).map(|bytes| json!(i64::from_le_bytes(bytes.try_into().expect("8 bytes")))).collect()
        }
        Datatype::Uint8 => tensor.data.iter().map(|number| json!(number)).collect(),
        Datatype::Bytes => tensor.strings().expect("texts").into_iter().map(|text| json!(text)).collect(),
        other => panic!("{} has a datatype that no trainer here gives: {}", tensor.name, other.name()),
    };
    json!({"name": tensor.name, "datatype": tensor.datatype.name(), "shape": tensor.shape, "data": data})
}
