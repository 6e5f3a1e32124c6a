//! A real Argo CD: its controller and its repository server as processes beside the cluster, and a repository of Git to
//! sync from. In go manifests; out comes what an Application says of them.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    runtime::wait::{Condition as _, conditions::is_crd_established},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Space,
    images::repository,
    kubectl::{kubectl, run},
    wait,
};

/// What a sync and the look after it take at most, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// Argo CD, until it is dropped.
pub struct ArgoCd {
    /// The namespace of Argo CD's own objects.
    space: Space,
    processes: Vec<Child>,
    folder: TempDir,
}

/// What an Application says.
#[derive(Debug)]
pub struct Said {
    /// `Synced` or `OutOfSync`.
    pub sync: String,
    /// The commit that was compared.
    pub commit: String,
    /// Health of the whole.
    pub health: String,
    /// Health and message of each resource, by kind and name.
    pub resources: Vec<(String, String, String)>,
    /// How often a sync was run to its end.
    pub syncs: usize,
    /// What the last sync said.
    pub last: String,
}

fn variable(name: &str) -> PathBuf {
    env::var_os(name).map_or_else(|| panic!("{name} is not set; `tests/run full` sets it"), PathBuf::from)
}

/// A port that is free now; none of these programs can say which one it got.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").port()
}

impl ArgoCd {
    /// Installs the definitions and the settings, those of the chart's folder included, and starts the processes.
    pub async fn start(space: &Space) -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        for name in ["git", "tls", "ssh", "gnupg", "plugins", "logs", "home"] {
            fs::create_dir(folder.path().join(name)).expect("a folder can be made");
        }
        let space = space.another("argocd").await;
        let mut argocd = Self { space, processes: Vec::new(), folder };
        argocd.create_objects().await;
        argocd.git(&["init", "--quiet", "--initial-branch", "main"]).await;
        argocd.start_processes();
        argocd
    }

    async fn create_objects(&self) {
        let definitions = variable("MODELWRIGHT_ARGOCD_MANIFESTS").join("crds");
        kubectl(&["apply", "--server-side", "--kustomize", &definitions.display().to_string()])
            .await
            .expect_success();
        let definitions: Api<CustomResourceDefinition> = Api::all(self.space.world.client.clone());
        for name in ["applications", "applicationsets", "appprojects"] {
            let name = format!("{name}.argoproj.io");
            wait::until(&definitions, &name, "established", Duration::from_secs(30), |definition| {
                is_crd_established().matches_object(Some(definition))
            })
            .await;
        }
        let part_of = json!({"app.kubernetes.io/part-of": "argocd"});
        for (name, data) in
            [("argocd-cm", json!({})), ("argocd-rbac-cm", json!({})), ("argocd-cmd-params-cm", json!({}))]
        {
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": part_of}, "data": data,
            });
            self.space.create_object::<ConfigMap>(object).await;
        }
        self.space.create_object::<Secret>(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret", "labels": part_of},
            "stringData": {"server.secretkey": "of a test"},
        }))
        .await;
        // as docs/argocd.md says
        let health = "charts/modelwright/argocd/argocd-cm.yaml";
        kubectl(&[
            "patch",
            "configmap",
            "argocd-cm",
            "--namespace",
            &self.space.name,
            "--patch-file",
            health,
        ])
        .await
        .expect_success();
        let project = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"},
            "spec": {
                "sourceRepos": ["*"], "destinations": [{"namespace": "*", "server": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            },
        });
        self.api("AppProject")
            .create(&PostParams::default(), &object(project))
            .await
            .expect("a project can be made");
    }

    fn start_processes(&mut self) {
        let (redis, server) = (free_port(), free_port());
        let path = self.path("home").join("kubeconfig");
        let config = fs::read_to_string(variable("KUBECONFIG")).expect("KUBECONFIG can be read");
        let mut config: Value = serde_yaml::from_str(&config).expect("KUBECONFIG is YAML");
        for context in config["contexts"].as_array_mut().into_iter().flatten() {
            context["context"]["namespace"] = json!(self.space.name);
        }
        fs::write(&path, config.to_string()).expect("a file can be written");
        let redis_server = variable("MODELWRIGHT_REDIS").join("redis-server");
        self.spawn(
            &redis_server,
            "redis",
            &["--port", &redis.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        );
        let programs = variable("MODELWRIGHT_ARGOCD");
        let redis = format!("127.0.0.1:{redis}");
        let (kubeconfig, namespace) = (path.display().to_string(), self.space.name.clone());
        self.spawn(
            &programs.join("argocd-repo-server"),
            "repo-server",
            &[
                "--address",
                "127.0.0.1",
                "--port",
                &server.to_string(),
                "--metrics-port",
                &free_port().to_string(),
                "--redis",
                &redis,
            ],
        );
        self.spawn(
            &programs.join("argocd-application-controller"),
            "controller",
            &[
                "--kubeconfig",
                &kubeconfig,
                "--namespace",
                &namespace,
                "--repo-server",
                &format!("127.0.0.1:{server}"),
                "--redis",
                &redis,
                "--metrics-port",
                &free_port().to_string(),
                "--persist-resource-health",
            ],
        );
    }

    fn spawn(&mut self, program: &Path, name: &str, arguments: &[&str]) {
        let log = fs::File::create(self.path("logs").join(name)).expect("a log can be made");
        let process = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", self.path("home").join("kubeconfig"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("home"))
            .env("ARGOCD_FAKE_IN_CLUSTER", "true")
            .env("ARGOCD_GPG_ENABLED", "false")
            .env("ARGOCD_TLS_DATA_PATH", self.path("tls"))
            .env("ARGOCD_SSH_DATA_PATH", self.path("ssh"))
            .env("ARGOCD_GNUPGHOME", self.path("gnupg"))
            .env("ARGOCD_PLUGINSOCKFILEPATH", self.path("plugins"))
            .current_dir(self.path("home"))
            .stdout(Stdio::from(log.try_clone().expect("a log has a second handle")))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        self.processes.push(process);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind));
        Api::namespaced_with(self.space.world.client.clone(), &self.space.name, &resource)
    }

    /// Runs git in the repository; out comes what it printed.
    pub async fn git(&self, arguments: &[&str]) -> String {
        let folder = self.path("git").display().to_string();
        let mut all = vec!["-C", &folder, "-c", "user.name=test", "-c", "user.email=test@example.org"];
        all.extend(arguments);
        run("git", &all, "").await.expect_success().trim().to_owned()
    }

    /// Commits a file of manifests; out comes the commit.
    pub async fn commit(&self, file: &str, manifests: &[&Value]) -> String {
        let path = self.path("git").join(file);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder can be made");
        let texts: Vec<String> = manifests.iter().map(ToString::to_string).collect();
        fs::write(&path, texts.join("\n---\n")).expect("a file can be written");
        self.commit_all(file).await
    }

    /// Commits the chart as it is here; out comes the commit.
    pub async fn commit_chart(&self) -> String {
        let chart = repository().join("charts/modelwright").display().to_string();
        run("cp", &["--recursive", &chart, &self.path("git").display().to_string()], "")
            .await
            .expect_success();
        self.commit_all("the chart").await
    }

    async fn commit_all(&self, message: &str) -> String {
        self.git(&["add", "--all"]).await;
        self.git(&["commit", "--quiet", "--message", message]).await;
        self.git(&["rev-parse", "HEAD"]).await
    }

    /// Makes an Application of a folder of the repository, which syncs with these options, prunes and heals by itself.
    pub async fn application(&self, name: &str, namespace: &str, source: Value, options: &[&str]) {
        let mut all = json!({
            "repoURL": format!("file://{}", self.path("git").display()), "targetRevision": "main",
        });
        super::resources::merge(&mut all, source);
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name},
            "spec": {
                "project": "default", "source": all,
                "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
                "syncPolicy": {
                    "automated": {"prune": true, "selfHeal": true}, "syncOptions": options,
                },
            },
        });
        let made = self.api("Application").create(&PostParams::default(), &object(application)).await;
        made.expect("an Application can be made");
    }

    /// Syncs by hand, as `argocd app sync` does, and waits until that has succeeded.
    pub async fn sync(&self, name: &str) {
        let ask = json!({"operation": {"sync": {"prune": true, "syncOptions": ["ServerSideApply=true"]}}});
        let asked = self.api("Application").patch(name, &PatchParams::default(), &Patch::Merge(ask)).await;
        asked.expect("an Application can be synced");
        let over = |application: &DynamicObject| {
            let ended = application.data.pointer("/status/operationState/phase").and_then(Value::as_str);
            application.data.get("operation").is_none() && !matches!(ended, None | Some("Running"))
        };
        let application = wait::until(&self.api("Application"), name, "synced", PATIENCE, over).await;
        let state = &application.data["status"]["operationState"];
        assert_eq!(state["phase"], "Succeeded", "{state}");
    }

    /// Asks for a look at Git and at the cluster past every cache, and waits until it was made; out comes what it says.
    pub async fn look(&self, name: &str) -> Said {
        let ask = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}});
        let asked = self.api("Application").patch(name, &PatchParams::default(), &Patch::Merge(ask)).await;
        asked.expect("an Application can be annotated");
        self.until(name, "looked at", |_| true).await
    }

    /// Waits until an Application says what `holds`, after whatever look was asked for.
    pub async fn until(&self, name: &str, what: &str, holds: impl Fn(&Said) -> bool + Send + Sync) -> Said {
        let api = self.api("Application");
        let settled = |application: &DynamicObject| {
            let annotations = application.metadata.annotations.as_ref();
            annotations.is_none_or(|all| !all.contains_key("argocd.argoproj.io/refresh"))
                && said(application).is_some_and(|said| holds(&said))
        };
        let limit = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = wait::within(&api, name, what, Duration::from_secs(10), &settled).await;
            match found {
                Ok(application) => return said(&application).expect("it said so"),
                Err(_) if tokio::time::Instant::now() < limit => {
                    // Git tells nobody of a commit.
                    let ask = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}});
                    let _ = api.patch(name, &PatchParams::default(), &Patch::Merge(ask)).await;
                }
                Err(error) => panic!("{error}\n{}", self.logs()),
            }
        }
    }

    fn logs(&self) -> String {
        let last = |name: &str| {
            let text = fs::read_to_string(self.path("logs").join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("{name}:\n{}", lines[lines.len().saturating_sub(25)..].join("\n"))
        };
        ["repo-server", "controller"].map(last).join("\n")
    }

    /// Takes everything out of the cluster again; what was synced stays.
    pub async fn stop(mut self) {
        self.end();
        self.space.delete().await.expect("the namespace can be deleted");
        let definitions = variable("MODELWRIGHT_ARGOCD_MANIFESTS").join("crds");
        kubectl(&["delete", "--kustomize", &definitions.display().to_string()]).await.expect_success();
    }

    fn end(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        self.processes.clear();
    }
}

impl Drop for ArgoCd {
    fn drop(&mut self) {
        self.end();
    }
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).expect("it is an object")
}

fn said(application: &DynamicObject) -> Option<Said> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = application.data.get("status")?;
    let resource = |resource: &Value| {
        let name = format!("{}/{}", text(&resource["kind"]), text(&resource["name"]));
        (name, text(&resource["health"]["status"]), text(&resource["health"]["message"]))
    };
    Some(Said {
        sync: text(&status["sync"]["status"]),
        commit: text(&status["sync"]["revision"]),
        health: text(&status["health"]["status"]),
        resources: status["resources"].as_array().into_iter().flatten().map(resource).collect(),
        last: text(&status["operationState"]["message"]),
        syncs: status["history"].as_array().map_or(0, Vec::len),
    })
}

impl Said {
    /// Whether it compared this commit, finds no difference, and is of this health.
    pub fn is(&self, commit: &str, health: &str) -> bool {
        self.sync == "Synced" && self.commit == commit && self.health == health
    }
}
