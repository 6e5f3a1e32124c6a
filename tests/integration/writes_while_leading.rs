//! Nothing is written once the Lease is lost: by none of the ways in which the operator writes, and by no retry of a client.

use http::{Request, Response, StatusCode};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
    client::{Body, ClientBuilder},
};
use modelwright::{
    api::Model,
    context::Context,
    k8s::{
        apply::{self, ApplyError},
        cache::raw::Raw,
        client,
        lease::{Leadership, NotLeading},
        objects::{Objects, Write},
    },
};
use serde_json::{Value, json};
use tower_test::mock::{Handle, pair};

use crate::{
    fixtures::{NAMESPACE, model},
    scenario::{context, play},
};

fn map() -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some("map".into()),
            namespace: Some(NAMESPACE.into()),
            uid: Some("u".into()),
            resource_version: Some("1".into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

async fn rendered(context: &Context, write: Write) -> Result<(), ApplyError> {
    let mut objects = Objects::default();
    objects.push(write, &map(), None).unwrap();
    apply::apply_objects(context, objects).await.map(drop)
}

/// Every way in which something is written.
async fn written(context: &Context, way: &str) -> Result<(), ApplyError> {
    let (map, model) = (map(), model("s3://b/a", 1));
    let raw: Raw<Model> = serde_json::from_str(&json!(model).to_string()).unwrap();
    match way {
        "create" => rendered(context, Write::Create).await,
        "apply" => rendered(context, Write::Apply).await,
        "merge" => apply::patch_observed(context, &map, json!({"data": {"a": "b"}})).await.map(drop),
        "JSON patch" => apply::json_patch_observed(context, &map, json!([])).await.map(drop),
        "annotate" => apply::annotate(context, &map, json!({"a": "b"})).await.map(drop),
        "status" => apply::patch_status(context, &model, &json!({"currentVersion": 1})).await.map(drop),
        "status of what does not parse" => apply::merge_status(context, &raw, json!({})).await,
        "finalizers" => apply::set_finalizers(context, &raw, &[]).await,
        "delete" => apply::delete(context, &map).await,
        other => unreachable!("{other}"),
    }
}

#[tokio::test]
async fn no_way_to_write_leaves_the_process_once_the_lease_is_lost() {
    let ways = [
        "create",
        "apply",
        "merge",
        "JSON patch",
        "annotate",
        "status",
        "status of what does not parse",
        "finalizers",
        "delete",
    ];
    for way in ways {
        let (context, server) = context();
        server.leadership.resign();
        let error = play(written(&context, way), server.nothing_more()).await.unwrap_err();
        assert!(matches!(error, ApplyError::NotLeading(_)), "{way}: {error:?}");
    }
}

/// An API of a client that retries, and what it talks to.
fn maps() -> (Api<ConfigMap>, Leadership, Handle<Request<Body>, Response<Body>>) {
    let (service, server) = pair();
    let leadership = Leadership::default();
    leadership.renew(tokio::time::Instant::now());
    let client =
        client::retrying(ClientBuilder::new(service, NAMESPACE), &leadership, &std::sync::Arc::default())
            .unwrap();
    (Api::namespaced(client, NAMESPACE), leadership, server)
}

async fn sent(maps: &Api<ConfigMap>, method: &str) -> Result<(), kube::Error> {
    let name = map().name_any();
    match method {
        "GET" => maps.get(&name).await.map(drop),
        "POST" => maps.create(&PostParams::default(), &map()).await.map(drop),
        "PUT" => maps.replace(&name, &PostParams::default(), &map()).await.map(drop),
        "PATCH" => {
            let patch = Patch::<Value>::Merge(json!({}));
            maps.patch(&name, &PatchParams::default(), &patch).await.map(drop)
        }
        "DELETE" => maps.delete(&name, &DeleteParams::default()).await.map(drop),
        other => unreachable!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn no_retry_leaves_the_process_once_the_lease_is_lost_and_whoever_reads_goes_on() {
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let (maps, leadership, mut server) = maps();
        let asked = tokio::spawn(async move { sent(&maps, method).await });
        let (request, answer) = server.next_request().await.unwrap();
        assert_eq!(request.method(), method);
        leadership.resign();
        let busy = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
        answer.send_response(busy.body(Body::empty()).unwrap());
        if method == "GET" {
            let (_, answer) = server.next_request().await.unwrap();
            answer.send_response(Response::new(Body::from(serde_json::to_vec(&map()).unwrap())));
            asked.await.unwrap().unwrap();
            continue;
        }
        let ended = tokio::select! {
            ended = asked => ended.unwrap(),
            Some((request, _)) = server.next_request() => panic!("{} came again", request.method()),
        };
        let error = ended.unwrap_err();
        let is_lost = matches!(&error, kube::Error::Service(source) if source.is::<NotLeading>());
        assert!(is_lost, "{method}: {error:?}");
    }
}
