//! D11, D13, D15: a node that starts again, a pod that is lost, a namespace with little, a server that comes late: what is
//! there goes on being used, and what is said is so.

use std::{
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{LimitRange, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{ResourceExt as _, api::DeleteParams};
use modelwright::api::{
    condition::RECONCILING, model::Model, model_deployment::ModelDeployment, model_version::ModelVersion,
    name::RECALLS_ANNOTATION,
};
use modelwright_contract::{
    names::METRICS_PORT,
    report::{RETRY_PATH, Retry},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use crate::{
    chart::scale_store,
    harness::{
        Space,
        datasets::{self, training},
        fixtures::{container_security, is_ready, pod_security},
        kubectl::run,
        onnx::Affine,
        predict::{SAMPLE, request},
        resources::{Observed as _, deployment, model},
    },
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

/// How often the kubelet started a pod's `fetch` again, and its `serve`.
fn restarts(pod: &Pod) -> [i32; 2] {
    let status = pod.status.clone().unwrap_or_default();
    let of = |statuses: Option<Vec<_>>, name: &str| {
        let statuses: Vec<k8s_openapi::api::core::v1::ContainerStatus> = statuses.unwrap_or_default();
        statuses.iter().find(|status| status.name == name).map_or(0, |status| status.restart_count)
    };
    [of(status.init_container_statuses, "fetch"), of(status.container_statuses, "serve")]
}

/// Ends a pod's sandbox as a node that starts again does, which keeps the pod's volumes; `false` where the node cannot be
/// reached from here.
async fn end_sandbox(pod: &Pod) -> bool {
    if std::env::var_os("CONTAINERD_ADDRESS").is_none() {
        return false;
    }
    let uid = pod.uid().expect("a pod has a UID");
    let filter = format!(r#"labels."io.kubernetes.pod.uid"=={uid},labels."io.cri-containerd.kind"==sandbox"#);
    let found = run("ctr", &["containers", "list", "--quiet", &filter], "").await.expect_success();
    let sandbox = found.trim();
    assert!(!sandbox.is_empty() && !sandbox.contains(char::is_whitespace), "one sandbox: {found}");
    run("ctr", &["tasks", "kill", "--signal", "SIGKILL", sandbox], "").await.expect_success();
    true
}

/// Alone, D11: the store is down, and a pod's sandbox is made anew, with all its containers. Its bytes are in its volume.
pub async fn a_pod_whose_sandbox_is_made_anew_serves_without_the_store(space: Space) {
    space.import("digits", AFFINE).await;
    let served = space.serve("digits", "digits", json!({"replicas": 1})).await;
    let before = space.pods("digits").await.into_iter().find(is_ready).expect("a pod serves");
    scale_store(&space, 0).await;
    if !end_sandbox(&before).await {
        println!("not tried: the node cannot be reached from here");
        scale_store(&space, 1).await;
        return;
    }
    let pod = before.name_any();
    let after = space
        .until(&pod, "ready in a new sandbox", 90, |pod: &Pod| {
            let [fetch, serve] = restarts(pod);
            fetch > 0 && serve > 0 && is_ready(pod)
        })
        .await;
    assert_eq!(after.uid(), before.uid(), "it is the same pod");
    let address = |pod: &Pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    assert_ne!(address(&after), address(&before), "the sandbox is another");
    space.promoted("digits").await;
    // the Service leads to the new address as soon as the node's proxy has it, which announces that nowhere
    space.until_reachable(&served).await;
    space.predict(&served, AFFINE).await;

    // A pod that was never here needs the store, and says so for as long as it is down.
    space.patch::<ModelDeployment>("digits", json!({"spec": {"replicas": 2}})).await;
    let told = space
        .until("digits", "told of what fetch tries again", 60, |md: &ModelDeployment| {
            md.says(RECONCILING).contains("tries again since")
        })
        .await;
    assert!(told.says(RECONCILING).contains("modelwright-store"), "{}", told.says(RECONCILING));
    space.predict(&told, AFFINE).await;
    scale_store(&space, 1).await;
    let both = space
        .until("digits", "with two pods", 90, |md: &ModelDeployment| {
            md.status.as_ref().and_then(|status| status.ready_replicas) == Some(2) && !md.is(RECONCILING)
        })
        .await;
    space.predict(&both, AFFINE).await;
}

/// D11, R16: a Job that succeeded, whose pod is gone, and whose version nobody has: what it made is in the store.
pub async fn a_run_whose_pod_is_lost_becomes_a_version_without_another_training(space: Space) {
    let uri = space.serve_data("iris.csv").await;
    let spec = training(json!({
        "data": {"uri": uri, "label": "species"},
        "candidates": [{"name": "tree", "algorithm": "DecisionTree"}],
    }));
    space.create_object::<Model>(datasets::model("iris", spec)).await;
    space.trained_model("iris").await;
    let made = space.version("iris-v1").await;
    let [trained] = &space.jobs_of("iris").await[..] else { panic!("one Job trained") };
    // What the operator knows of the run is lost with its pod and its version.
    for pod in space.runs("iris").await {
        let pods = space.api::<Pod>();
        pods.delete(&pod.name_any(), &DeleteParams::default()).await.expect("it can be deleted");
        space.until_gone::<Pod>(&pod.name_any(), 60).await;
    }
    let versions = space.api::<ModelVersion>();
    versions.delete("iris-v1", &DeleteParams::default()).await.expect("it can be deleted");

    let again =
        space.until("iris-v2", "made again", 60, |version: &ModelVersion| version.uid() != made.uid()).await;
    let provenance = |version: &ModelVersion| version.spec.provenance.clone();
    assert_eq!(again.spec.model_digest, made.spec.model_digest);
    assert_eq!(again.spec.artifact, made.spec.artifact);
    assert_eq!(again.spec.evaluation, made.spec.evaluation);
    assert_eq!(provenance(&again).data_sha256, provenance(&made).data_sha256);
    assert_eq!(provenance(&again).job, provenance(&made).job);
    let jobs = space.jobs_of("iris").await;
    let recalls = |job: &&Job| job.annotations().contains_key(RECALLS_ANNOTATION);
    assert_eq!(jobs.iter().filter(recalls).count(), 1, "its report was read from the store");
    let runs: Vec<_> = jobs.iter().filter(|job| !recalls(job)).filter_map(kube::ResourceExt::uid).collect();
    assert_eq!(runs, [trained.uid().expect("a Job has a UID")], "no other Job was made");
    let trains = |pod: &Pod| {
        let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        init.into_iter().any(|container| container.name == "train")
    };
    assert!(!space.runs("iris").await.iter().any(trains), "no pod trained");
}

/// D13, field case 10: a namespace in which a container may have one core and 512Mi.
pub async fn a_small_model_is_imported_and_served_where_containers_may_be_small_only(space: Space) {
    space
        .create_object::<LimitRange>(json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"},
            "spec": {"limits": [{
                "type": "Container",
                "default": {"cpu": "500m", "memory": "256Mi"},
                "defaultRequest": {"cpu": "50m", "memory": "64Mi"},
                "max": {"cpu": "1", "memory": "512Mi"},
                "min": {"cpu": "50m", "memory": "50Mi"},
            }]},
        }))
        .await;
    // The limits hold: what is larger is refused here.
    let larger = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "larger"},
        "spec": {"securityContext": pod_security(), "containers": [{
            "name": "larger", "image": &space.world.fixtures.image, "securityContext": container_security(),
            "resources": {"limits": {"cpu": "1", "memory": "513Mi"}},
        }]},
    });
    let arguments = ["--namespace", &space.name, "create", "--dry-run=server", "--filename", "-"];
    let refused = run("kubectl", &arguments, &larger.to_string()).await;
    assert!(refused.stderr.contains("maximum memory usage per Container is 512Mi"), "{}", refused.stderr);
    space.import("digits", AFFINE).await;
    let resources =
        json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}});
    let served = space.serve("digits", "digits", json!({"resources": resources})).await;
    space.predict(&served, AFFINE).await;
}

/// What a client in the cluster runs: at each line that it reads, five requests, each by a connection of its own; out comes
/// a line with how each was answered.
const CLIENT: &str = r#"
import sys, urllib.request
print("there", flush=True)
for line in sys.stdin:
    url, body = line.rstrip("\n").split(" ", 1)
    said = []
    for _ in range(5):
        ask = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(ask, timeout=10) as answer:
                said.append(str(answer.status))
        except Exception as error:
            said.append(repr(error))
    print(" ".join(said), flush=True)
"#;

/// D15: as soon as `kubectl wait --for=condition=Promoted` returns, the Service leads to the model, from within the cluster.
pub async fn the_first_requests_after_promoted_are_all_answered(space: Space) {
    space.import("digits", AFFINE).await;
    space
        .create_object::<Pod>(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"},
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
                "securityContext": pod_security(),
                "containers": [{
                    "name": "client", "image": &space.world.images.trainer,
                    "securityContext": container_security(), "command": ["sleep", "infinity"],
                    "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                }],
            },
        }))
        .await;
    space.until("client", "ready", 60, is_ready).await;
    let mut client = Command::new("kubectl")
        .args(["--namespace", &space.name, "exec", "--stdin", "client", "--", "python3", "-c", CLIENT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl can be started");
    let mut ask = client.stdin.take().expect("it was piped");
    let mut said = BufReader::new(client.stdout.take().expect("it was piped")).lines();
    let mut line = async || {
        let line = tokio::time::timeout(Duration::from_mins(1), said.next_line()).await;
        line.expect("the client answers").expect("it can be read").expect("the client goes on")
    };
    assert_eq!(line().await, "there");
    for start in 1..=4 {
        let name = format!("digits-{start}");
        space.create_object::<ModelDeployment>(deployment(&name, "digits", json!({}))).await;
        let wait = ["wait", "--for=condition=Promoted", &format!("modeldeployment/{name}"), "--timeout=120s"];
        let wait = [&["--namespace", space.name.as_str()], &wait[..]].concat();
        run("kubectl", &wait, "").await.expect_success();
        let url = format!("http://{name}.{}.svc:8080/v2/models/digits/infer", space.name);
        let question = format!("{url} {}\n", request(SAMPLE));
        ask.write_all(question.as_bytes()).await.expect("the client reads");
        assert_eq!(line().await, "200 200 200 200 200", "first start {start}");
    }
}

/// D15: a server that comes late. What a run's pod says at `/retry` is what the Model says, for as long as it is so.
pub async fn what_a_run_tries_again_is_told_by_its_pod_and_its_model_until_the_server_comes(space: Space) {
    let file = space.serve_file("late.onnx", AFFINE).await;
    let path = file.split_once(".svc:8080/").expect("the file server's URI").1;
    space
        .create_object::<Service>(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "late"},
            "spec": {"ports": [{"name": "http", "port": 8080}]},
        }))
        .await;
    let uri = format!("http://late.{}.svc:8080/{path}", space.name);
    space.create_object::<Model>(model("late", &uri, json!({}))).await;
    let told = space
        .until("late", "told of what fetch tries again", 60, |model: &Model| {
            model.says(RECONCILING).starts_with("Retrying: fetch tries again since")
        })
        .await;
    let runs = space.runs("late").await;
    let [pod] = &runs[..] else { panic!("one pod, which tries again by itself: {}", runs.len()) };
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("it has an address");
    let ask = async |path: &str| {
        let url = format!("http://{address}:{METRICS_PORT}{path}");
        let answer = space.world.http.get(url).send().await.expect("the pod answers");
        (answer.status().as_u16(), answer.text().await.expect("its answer is text"))
    };
    let (status, text) = ask(RETRY_PATH).await;
    let retry: Retry = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status} {text}: {error}"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    assert_eq!(status, 200);
    assert!((now - 90..=now).contains(&retry.since_unix_seconds), "{now}: {retry:?}");
    assert!(retry.message.contains(&format!("late.{}.svc", space.name)), "{retry:?}");
    let said = told.says(RECONCILING);
    let words = retry.message.split_once(": ").map_or(retry.message.as_str(), |(words, _)| words);
    assert!(said.contains(words), "{said} has not {words}");
    assert_eq!(ask("/metrics").await.0, 404, "a job says nothing else");

    let fixtures = space.world.fixtures.pod_address().await;
    space
        .create_object::<EndpointSlice>(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "late", "labels": {"kubernetes.io/service-name": "late"}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [fixtures], "conditions": {"ready": true}}],
        }))
        .await;
    let model = space.ready_model("late").await;
    assert_eq!(model.status.as_ref().and_then(|status| status.current_version), Some(1));
    assert_eq!(space.runs("late").await.len(), 1, "the pod went on, and no other one began anew");
}
