//! Events, on their way to the API server.

use k8s_openapi::api::core::v1::ObjectReference;
use modelwright::k8s::events::{Event, Events};

use crate::{fixtures::NAMESPACE, model_scenarios::EVENTS, scenario};

#[tokio::test]
async fn what_happens_again_is_told_in_its_own_words() {
    let (client, mut server) = scenario::client();
    let object = ObjectReference {
        kind: Some("Model".into()),
        name: Some("digits".into()),
        namespace: Some(NAMESPACE.into()),
        ..ObjectReference::default()
    };
    let told = ["version 1 is current", "version 2 is current"];
    let happenings =
        told.map(|message| Event { warning: false, reason: "VersionCreated", message: message.into() });
    let events = Events::new(client, "modelwright", "test");
    let publishing = tokio::spawn(async move {
        for happening in happenings {
            events.publish(&object, &[happening]).await;
        }
    });
    let mut names = Vec::new();
    for message in told {
        let call = server.expect("POST", EVENTS).await;
        assert_eq!((&call.body["note"], &call.body["series"]), (&message.into(), &serde_json::Value::Null));
        names.push(call.body["metadata"]["name"].clone());
        call.echo();
    }
    publishing.await.unwrap();
    assert_ne!(names[0], names[1]);
}
