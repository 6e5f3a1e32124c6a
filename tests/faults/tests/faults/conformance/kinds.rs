//! The calls that the operator makes of the cluster's own kinds, and of ModelDeployments. Of what comes back only that is
//! noted which the operator reads: a real server fills in much more.

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Answer, Asked, MANAGER};

const APPS: &str = "apps/v1";

impl Asked {
    pub(super) async fn kinds(&mut self) {
        self.revisions().await;
        self.sets().await;
        self.services().await;
        self.requests().await;
        self.others().await;
    }

    /// Notes of an object what is at these places.
    fn note_of(&mut self, what: &str, answer: &Answer, places: &[&str]) {
        match answer {
            Ok(object) => {
                let whole = serde_json::to_value(object).unwrap_or_default();
                let told: Vec<_> =
                    places.iter().map(|place| whole.pointer(place).cloned().unwrap_or_default()).collect();
                self.notes.push(format!("{what}: {}", Value::Array(told)));
            }
            Err(_) => self.note(what, answer),
        }
    }

    async fn make(
        &mut self,
        what: &str,
        api_version: &str,
        kind: &str,
        value: Value,
        places: &[&str],
    ) -> Answer {
        let object: DynamicObject = serde_json::from_value(value).expect("an object");
        let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let made = self.api(api_version, kind).create(&parameters, &object).await;
        self.note_of(what, &made, places);
        made
    }

    async fn change(
        &mut self,
        what: &str,
        at: (&str, &str, &str),
        patch: Patch<Value>,
        places: &[&str],
    ) -> Answer {
        let parameters = match patch {
            Patch::Apply(_) => PatchParams::apply(MANAGER).force(),
            _ => PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() },
        };
        let changed = self.api(at.0, at.1).patch(at.2, &parameters, &patch).await;
        self.note_of(what, &changed, places);
        changed
    }

    async fn revisions(&mut self) {
        let revision = |data: Value| {
            json!({"apiVersion": APPS, "kind": "ControllerRevision", "revision": 1, "data": data,
            "metadata": {"name": "r", "labels": {"a": "b"}, "annotations": {"modelwright.dev/number": "1"}}})
        };
        let at = (APPS, "ControllerRevision", "r");
        let places = ["/data", "/revision", "/metadata/annotations", "/metadata/generation"];
        let _ = self.make("a revision is made", APPS, at.1, revision(json!({"x": 1})), &places).await;
        let _ = self.make("and is there already", APPS, at.1, revision(json!({"x": 1})), &places).await;
        let annotations = json!({"metadata": {"annotations": {"modelwright.dev/number": null, "modelwright.dev/outcome": "Promoted"}}});
        let _ = self.change("what is recorded on it", at, Patch::Merge(annotations), &places).await;
        let data = json!({"data": {"x": 2}});
        let _ = self.change("its data stay", at, Patch::Merge(data), &places).await;
        let found = self.api(at.0, at.1).get_metadata("r").await;
        self.notes.push(format!("its metadata alone: {:?}", found.map(|found| found.metadata.labels).ok()));
        let nothing = self.api(at.0, at.1).get_metadata_opt("nothing").await;
        self.notes.push(format!("those of nothing: {:?}", nothing.map(|found| found.is_some()).ok()));
    }

    async fn sets(&mut self) {
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
        let set = json!({"apiVersion": APPS, "kind": "ReplicaSet", "metadata": {"name": "s", "labels": {"a": "b"}},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}});
        let at = (APPS, "ReplicaSet", "s");
        let places = [
            "/metadata/generation",
            "/spec/replicas",
            "/spec/selector",
            "/spec/template/metadata/labels",
            "/status/replicas",
        ];
        let Ok(made) = self.make("a ReplicaSet is made", APPS, at.1, set, &places).await else { return };
        let of = |version: &Option<String>, change: Value| {
            let mut patch = change;
            patch["metadata"] = json!({"uid": made.metadata.uid, "resourceVersion": version});
            Patch::Merge(patch)
        };
        let first = made.metadata.resource_version.clone();
        // nobody makes its pods here: no image of it is to be had
        let _ = self
            .change(
                "another selector",
                at,
                of(&None, json!({"spec": {"selector": {"matchLabels": {"a": "c"}}}})),
                &["/spec/selector"],
            )
            .await;
        let labels = Patch::Merge(json!({"metadata": {"labels": {"c": "d"}}}));
        let _ = self.change("its labels", at, labels, &["/metadata/generation", "/metadata/labels"]).await;
        let stale = of(&first, json!({"spec": {"replicas": 0}}));
        let _ = self.change("of the version before", at, stale, &places).await;
        let places = ["/metadata/generation", "/spec/template/spec/containers/0/image"];
        loop {
            let Ok(found) = self.api(at.0, at.1).get(at.2).await else { return };
            let operations = json!([
                {"op": "replace", "path": "/metadata/resourceVersion", "value": found.metadata.resource_version},
                {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "i:2"},
            ]);
            let Ok(patch) = serde_json::from_value(operations) else { return };
            match self.change("its template put back", at, Patch::Json(patch), &places).await {
                // its controller told of its pods meanwhile
                Err(kube::Error::Api(status)) if status.code == 409 => _ = self.notes.pop(),
                _ => break,
            }
        }
        let gone = self.api(at.0, at.1).delete("s", &DeleteParams::background()).await;
        self.notes.push(format!("it goes at once: {}", gone.is_ok_and(|gone| gone.is_right())));
    }

    async fn services(&mut self) {
        let service = |port: u16, version: Option<&str>| {
            Patch::Apply(json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "svc", "resourceVersion": version, "labels": {"a": "b"}},
                "spec": {"selector": {"a": "b"}, "ports": [{"name": "http", "port": port, "protocol": "TCP", "targetPort": 8080}]}}))
        };
        let at = ("v1", "Service", "svc");
        let places = [
            "/metadata/labels",
            "/spec/selector",
            "/spec/ports/0/port",
            "/spec/ports/1/port",
            "/spec/type",
            "/spec/sessionAffinity",
        ];
        let _ = self.change("a Service is applied", at, service(8080, Some("1")), &places).await;
        let _ = self.change("as if it were not there", at, service(8080, Some("1")), &places).await;
        let _ = self.change("once more", at, service(8080, None), &places).await;
        let added = json!({"spec": {"selector": {"more": "yes"}}, "metadata": {"labels": {"x": "y"}}});
        let stranger = self.api(at.0, at.1).patch(at.2, &PatchParams::default(), &Patch::Merge(added)).await;
        self.note_of("a stranger adds to its selector", &stranger, &places);
        let _ = self.change("an apply leaves that", at, service(8080, None), &places).await;
        let _ = self
            .change("another port comes, and the one before goes", at, service(8081, None), &places)
            .await;
        let budget = Patch::Apply(
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}}),
        );
        let at = ("policy/v1", "PodDisruptionBudget", "b");
        let _ = self
            .change(
                "a budget is applied",
                at,
                budget,
                &["/spec/maxUnavailable", "/spec/selector", "/metadata/generation"],
            )
            .await;
    }

    /// A person's request in a ModelDeployment's status, and how it is taken out again.
    async fn requests(&mut self) {
        let kind = ("modelwright.dev/v1alpha1", "ModelDeployment");
        let deployment =
            json!({"apiVersion": kind.0, "kind": kind.1, "metadata": {"name": "d"}, "spec": {"model": "m"}});
        let _ = self
            .make("a ModelDeployment is made", kind.0, kind.1, deployment, &["/spec", "/metadata/generation"])
            .await;
        let request = json!({"id": "1", "action": "Abort", "revision": "r"});
        let api = self.api(kind.0, kind.1);
        let asked = api
            .patch_status(
                "d",
                &PatchParams::default(),
                &Patch::Merge(json!({"status": {"request": request}})),
            )
            .await;
        self.note_of("a person asks", &asked, &["/status/request", "/metadata/generation"]);
        let other = json!({"id": "2", "action": "Abort", "revision": "r"});
        for (what, tested) in [
            ("another than was asked is not removed", &other),
            ("the one that was asked is", &request),
            ("and not twice", &request),
        ] {
            let operations = json!([
                {"op": "test", "path": "/status/request", "value": tested}, {"op": "remove", "path": "/status/request"},
            ]);
            let Ok(patch) = serde_json::from_value(operations) else { continue };
            let removed = api.patch_status("d", &PatchParams::default(), &Patch::<Value>::Json(patch)).await;
            self.note_of(what, &removed, &["/status/request", "/metadata/generation"]);
        }
        let nulled =
            api.patch_status("d", &PatchParams::default(), &Patch::Merge(json!({"status": null}))).await;
        self.note_of("its status is lost", &nulled, &["/status", "/metadata/generation"]);
    }

    /// Jobs and pods: nobody runs them here.
    async fn others(&mut self) {
        let template =
            json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}});
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
            "spec": {"suspend": true, "backoffLimit": 0, "template": template}});
        let _ = self
            .make(
                "a Job is made",
                "batch/v1",
                "Job",
                job,
                &["/metadata/generation", "/spec/suspend", "/spec/backoffLimit"],
            )
            .await;
        let at = ("batch/v1", "Job", "j");
        let patch = json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"backoffLimit": 1}});
        let _ = self
            .change(
                "and changed",
                at,
                Patch::Merge(patch),
                &["/metadata/generation", "/spec/backoffLimit", "/metadata/annotations"],
            )
            .await;
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-", "labels": {"traffic": "serve", "a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
        let Ok(made) =
            self.make("a pod is made", "v1", "Pod", pod, &["/metadata/labels", "/status/phase"]).await
        else {
            return;
        };
        let name = made.metadata.name.unwrap_or_default();
        self.notes.push(format!("of a name that begins so: {}", name.starts_with("p-")));
        let at = ("v1", "Pod", name.as_str());
        let told = json!({"metadata": {"uid": made.metadata.uid, "resourceVersion": made.metadata.resource_version,
            "labels": {"traffic": null}, "annotations": {"cost": "-1"}}});
        let _ = self
            .change(
                "it is told to leave",
                at,
                Patch::Merge(told),
                &["/metadata/labels", "/metadata/annotations"],
            )
            .await;
        let listed = self.api("v1", "Pod").list(&ListParams::default().labels("a=b,!traffic")).await;
        self.notes.push(format!("listed: {:?}", listed.map(|listed| listed.items.len()).ok()));
        let gone = self.api("v1", "Pod").delete(&name, &DeleteParams::background()).await;
        self.notes.push(format!(
            "one that has no node goes at once: {}",
            gone.is_ok_and(|gone| gone.is_right() || gone.is_left())
        ));
    }
}
