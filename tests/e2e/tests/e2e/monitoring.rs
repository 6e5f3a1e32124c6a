//! C6: what the chart gives to a Prometheus and a Grafana names what pods and the operator really count. Prometheus is the
//! real one, of Debian.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Space, images::repository, onnx::Affine, predict::request};

const MODEL: Affine = Affine { factor: 2.0, summand: 1.0 };
/// Longer than a few rounds of scraping and evaluation.
const PATIENCE: Duration = Duration::from_mins(1);

/// A Prometheus that scrapes and evaluates every second, until it is dropped.
struct Prometheus {
    process: Child,
    address: String,
    _data: TempDir,
}

impl Prometheus {
    fn start(targets: &[String], rules: &Path) -> Self {
        let folder = std::env::var("MODELWRIGHT_PROMETHEUS")
            .expect("MODELWRIGHT_PROMETHEUS names the folder of Debian's prometheus; tests/run sets it");
        let data = TempDir::new().unwrap();
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [{"job_name": "modelwright", "static_configs": [{"targets": targets}]}],
        });
        let file = data.path().join("prometheus.yml");
        fs::write(&file, config.to_string()).unwrap();
        // taken and given back: it has no way to say which port it got
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().to_string();
        let process = Command::new(PathBuf::from(folder).join("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus starts");
        Self { process, address, _data: data }
    }

    async fn ask(&self, http: &reqwest::Client, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let url = reqwest::Url::parse_with_params(&format!("http://{}/api/v1/{path}", self.address), query);
        let answer = http.get(url.expect("a URL")).send().await.ok()?;
        let answer: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        assert_eq!(answer["status"], "success", "{path} {query:?}: {}", answer["error"]);
        Some(answer["data"].clone())
    }

    /// Asks until the answer is as wanted.
    async fn until(
        &self,
        http: &reqwest::Client,
        path: &str,
        query: &[(&str, &str)],
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.ask(http, path, query).await;
            if let Some(answer) = answer.as_ref().filter(|answer| wanted(answer)) {
                return answer.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "{path} {query:?} is {answer:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Every alert is evaluated without an error, every panel is a query that Prometheus takes, and each names only metrics
/// that a pod or the operator has.
pub async fn alerts_and_dashboard_name_what_is_really_counted(space: Space) {
    let chart = repository().join("charts/modelwright/files");
    space.import("digits", MODEL).await;
    let deployment = space.serve("digits", "digits", json!({"replicas": 1})).await;
    space.until_reachable(&deployment).await;
    let address = |pod: &k8s_openapi::api::core::v1::Pod| pod.status.as_ref()?.pod_ip.clone();
    let serving = space.pods("digits").await.iter().find_map(address).unwrap();
    let mut targets = vec![format!("{serving}:9090")];
    let operator = space.world.operator();
    targets.extend(operator.pods().await.iter().filter_map(address).map(|address| format!("{address}:8080")));

    let http = &space.world.http;
    let prometheus = Prometheus::start(&targets, &chart.join("alerts.yaml"));
    prometheus
        .until(http, "targets", &[("state", "active")], |found| {
            let found = found["activeTargets"].as_array().unwrap();
            found.len() == targets.len() && found.iter().all(|target| target["health"] == "up")
        })
        .await;
    let url = space.endpoint(&deployment).await.infer_url();
    for body in [request([1.0; 4]).to_string(), "{".to_owned()] {
        http.post(&url).body(body).send().await.expect("the pod answers");
    }
    for code in ["200", "400"] {
        let answered =
            format!("modelwright_requests_total{{model=\"digits\", version=\"1\", code=\"{code}\"}} >= 1");
        prometheus
            .until(http, "query", &[("query", &answered)], |data| {
                !data["result"].as_array().unwrap().is_empty()
            })
            .await;
    }

    let rules = prometheus
        .until(http, "rules", &[], |data| {
            let groups = data["groups"].as_array().unwrap();
            groups
                .iter()
                .flat_map(|group| group["rules"].as_array().unwrap())
                .all(|rule| rule["health"] != "unknown")
        })
        .await;
    let rules: Vec<&Value> = rules["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert_eq!(rules.len(), 8);
    let unhealthy: Vec<_> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
    assert!(unhealthy.is_empty(), "{unhealthy:?}");

    let dashboard: Value = serde_json::from_slice(&fs::read(chart.join("dashboard.json")).unwrap()).unwrap();
    let panels: Vec<String> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    assert!(panels.len() >= 11);
    for panel in &panels {
        let query = panel
            .replace("$__rate_interval", "1m")
            .replace("$namespace", ".*")
            .replace("$model", ".*")
            // the static targets of this test have no namespace
            .replace("namespace=~\".*\", ", "");
        prometheus.ask(http, "query", &[("query", &query)]).await.expect("Prometheus answers");
    }

    let known = prometheus
        .until(http, "metadata", &[], |data| {
            ["modelwright_ready", "modelwright_leading"].iter().all(|name| data.get(*name).is_some())
        })
        .await;
    let known: BTreeSet<&str> = known.as_object().unwrap().keys().map(String::as_str).collect();
    let queries = rules.iter().map(|rule| rule["query"].as_str().unwrap().to_owned()).chain(panels);
    let mut named = BTreeSet::new();
    for query in queries {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        named.extend(words.filter(|word| word.starts_with("modelwright_")).map(str::to_owned));
    }
    let family = |name: &str| {
        let base =
            ["_total", "_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        known.contains(name) || base.is_some_and(|base| known.contains(base))
    };
    let unknown: Vec<_> = named.iter().filter(|name| !family(name)).collect();
    assert!(unknown.is_empty() && named.len() >= 11, "{unknown:?} of {named:?} are not among {known:?}");
}
