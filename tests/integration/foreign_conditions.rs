//! Conditions that somebody else keeps in a status of ours: they are left there, and cause no write.

use modelwright::{api::Condition, k8s::cache::Cache};
use serde_json::{Value, json};

use crate::{
    deployment_scenarios::{made, paused, reconciled as deployment_reconciled},
    fixtures::{model, version},
    model_scenarios::{EVENTS, STATUS, reconciled},
    scenario::{context, play},
};

fn foreign() -> Condition {
    serde_json::from_value(json!({
        "type": "example.com/Approved", "status": "True", "reason": "Somebody", "message": "said so",
        "lastTransitionTime": "2026-11-24T10:00:00Z",
    }))
    .unwrap()
}

#[tokio::test]
async fn a_condition_of_somebody_else_causes_no_write_of_a_model() {
    let mut model = model("s3://b/a", 1);
    for is_settled in [false, true] {
        let (mut context, mut server) = context();
        context.caches.versions = Cache::fixed(vec![version(&model, 1, 'a', 1)]);
        let mut status = Value::Null;
        play(reconciled(&model, context), async {
            if !is_settled {
                let call = server.expect("PATCH", STATUS).await;
                status = call.body["status"].clone();
                call.echo_model(&model);
                server.expect("POST", EVENTS).await.echo();
            }
            server.nothing_more().await;
        })
        .await
        .unwrap();
        if !is_settled {
            model.status = serde_json::from_value(status).unwrap();
            model.status.as_mut().unwrap().conditions.insert(0, foreign());
        }
    }
}

#[tokio::test]
async fn a_condition_of_somebody_else_causes_no_write_of_a_deployment() {
    let mut object = paused();
    for is_settled in [false, true] {
        let (mut context, mut server) = context();
        made(&object, &mut context, true);
        let mut status = Value::Null;
        play(deployment_reconciled(&object, context), async {
            if !is_settled {
                let call = server.next().await;
                assert!(call.path.ends_with("/modeldeployments/digits/status"), "{}", call.path);
                status = call.body["status"].clone();
                call.object(&object);
            }
            server.nothing_more().await;
        })
        .await
        .unwrap();
        if !is_settled {
            object.status = serde_json::from_value(status).unwrap();
            object.status.as_mut().unwrap().conditions.insert(0, foreign());
        }
    }
}
