//! Events for people, in `kubectl describe`. In goes what happened, after the write that made it so; needs a client.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{self, EventType, Recorder, Reporter},
};

use crate::telemetry::loggable;

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether somebody should look at it.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Publishes events.
#[derive(Clone)]
pub struct Events {
    client: Client,
    reporter: Reporter,
}

/// Longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1024;

impl Events {
    /// Events in the name of the process `identity` of a controller.
    pub fn new(client: Client, controller: &str, identity: &str) -> Self {
        let reporter = Reporter { controller: controller.into(), instance: Some(identity.to_owned()) };
        Self { client, reporter }
    }

    /// Publishes what happened to an object. An event that is not taken is logged and dropped: it is no state.
    pub async fn publish(&self, object: &ObjectReference, happened: &[Event]) {
        for event in happened {
            if let Err(error) = self.tell(object, event).await {
                let error = loggable(&error.to_string());
                tracing::warn!(reason = event.reason, error, "an event was not taken");
            }
        }
    }

    /// Publishes one that says what nothing else does, and gives back why it was not taken.
    pub async fn tell(&self, object: &ObjectReference, event: &Event) -> Result<(), kube::Error> {
        let note = events::Event {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason.into(),
            note: Some(truncated(&event.message, MAX_NOTE)),
            action: "Reconcile".into(),
            secondary: None,
        };
        // A recorder counts what has the same reason within six minutes as one event, in the words of the first; here
        // each is a transition, and has words of its own.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        recorder.publish(&note, object).await
    }
}

/// The text, cut at a character's edge with `…` where it is longer than `limit` bytes.
pub fn truncated(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end =
        (0..=limit.saturating_sub('…'.len_utf8())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_at_a_characters_edge() {
        assert_eq!(truncated("short", 5), "short");
        assert_eq!(truncated("ééé", 5), "é…");
        assert!(truncated(&"é".repeat(2000), MAX_NOTE).len() <= MAX_NOTE);
    }
}
