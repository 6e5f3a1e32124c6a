//! Data to train on, and the specs of trainings. In go names of data sets, or rows; out come URIs and Models.

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use modelwright::api::{
    condition::{READY, RECONCILING, STALLED},
    model::Model,
    name,
};
use serde_json::{Value, json};

use super::{
    Space,
    images::repository,
    kubectl::run,
    resources::{Observed as _, merge},
};

/// A classification of a CSV by small pods, with further fields of `training`.
pub fn training(more: Value) -> Value {
    let mut spec = json!({
        "task": "Classification",
        "data": {"format": "CSV"},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
    });
    merge(&mut spec, more);
    spec
}

/// A Model that is trained; its test part goes along with it, so that tests can compare answers with it.
pub fn model(name: &str, training: Value) -> Value {
    json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "Model", "metadata": {"name": name},
        "spec": {"training": training, "keepEvaluation": true},
    })
}

/// A manifest of the folder with examples.
pub fn example(path: &str) -> String {
    let file = repository().join("examples").join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Names of the files in a folder of the folder with examples.
pub fn folder(path: &str) -> BTreeSet<String> {
    let folder = repository().join("examples").join(path);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files.map(|file| file.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect()
}

/// People and whether they buy, as CSV: numbers and text, with gaps in both.
pub fn people(rows: u32) -> String {
    let mut text = "age,city,income,plan,buys\n".to_owned();
    let mut state = 7_u32;
    let mut next = |below: u32| {
        // Numerical Recipes' generator: the same rows on every machine.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for _ in 0..rows {
        let (age, income) = (18 + next(60), 1000 + 10 * next(500));
        let city = ["Bonn", "Ulm", "Jena"][next(3) as usize];
        let plan = ["basic", "plus", "pro"][next(3) as usize];
        let inclined = i64::from(age) * 40 + i64::from(income) - if plan == "basic" { 1500 } else { 0 };
        let buys = if inclined + i64::from(next(800)) > 4600 { "yes" } else { "no" };
        let age = if next(20) == 0 { String::new() } else { age.to_string() };
        let city = if next(20) == 0 { "" } else { city };
        // writing to a String cannot fail
        let _ = writeln!(text, "{age},{city},{income},{plan},{buys}");
    }
    text
}

/// Code that stays in the middle of a training until somebody says go.
const PATIENT: &str = r#"
import signal, sys, time, urllib.error, urllib.request
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
while True:
    try:
        urllib.request.urlopen("GO").close()
        break
    except urllib.error.HTTPError:
        time.sleep(0.1)
"#;

impl Space {
    /// Puts one of scikit-learn's data sets on the file server; gives its URI.
    pub async fn serve_data(&self, file: &str) -> String {
        let folder =
            env::var("MODELWRIGHT_TEST_DATA").expect("MODELWRIGHT_TEST_DATA names the data; run `make test`");
        let content =
            fs::read(Path::new(&folder).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.serve_bytes(file, content).await
    }

    /// Puts a text on the file server; gives its URI.
    pub async fn serve_text(&self, file: &str, content: &str) -> String {
        self.serve_bytes(file, content.as_bytes().to_vec()).await
    }

    /// Puts bytes on the file server; gives their URI.
    pub async fn serve_bytes(&self, file: &str, content: Vec<u8>) -> String {
        self.world.fixtures.put(&format!("{}/{file}", self.name), content).await;
        format!("http://{}/files/{}/{file}", self.world.fixtures.http_host(), self.name)
    }

    /// A training by code of one's own, in the trainer's image.
    pub fn own_code(&self, uri: &str, code: &str, more: Value) -> Value {
        let mut spec = training(json!({
            "data": {"uri": uri, "label": "label"},
            "trainer": {"image": self.world.images.trainer, "command": ["python3", "-c", code]},
        }));
        merge(&mut spec, more);
        spec
    }

    /// The beginning of [`Self::own_code`] that goes on once there is a file of this name on the file server.
    pub fn until_file(&self, file: &str) -> String {
        let host = self.world.fixtures.http_host();
        PATIENT.replace("GO", &format!("http://{host}/files/{}/{file}", self.name))
    }

    /// Waits until a Model is Ready for its present spec, as a training takes its time.
    pub async fn trained_model(&self, name: &str) -> Model {
        self.trained_model_within(name, 300).await
    }

    /// The same, for what takes longer.
    pub async fn trained_model_within(&self, name: &str, seconds: u64) -> Model {
        self.until(name, "trained", seconds, |model: &Model| {
            assert!(!model.is(STALLED), "the training stalled: {}", model.says(STALLED));
            model.is(READY) && !model.is(RECONCILING)
        })
        .await
    }

    /// Pods of a Model's runs.
    pub async fn runs(&self, model: &str) -> Vec<Pod> {
        let selector = format!("{}={model},batch.kubernetes.io/job-name", name::MODEL_LABEL);
        let pods: Api<Pod> = self.api();
        pods.list(&ListParams::default().labels(&selector)).await.expect("pods can be listed").items
    }

    /// `kubectl apply` of a manifest.
    pub async fn apply(&self, manifest: &str) {
        run("kubectl", &["apply", "--namespace", &self.name, "-f", "-"], manifest).await.expect_success();
    }
}
