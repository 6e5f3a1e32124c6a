//! Watches: what was written since a version, and what is written from then on.

use std::{io, sync::Arc, time::Duration};

use futures::stream;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{Answer, Connection, refused, request::Call, status};
use crate::{
    faults::Sight,
    selectors::Selection,
    store::{FIRST, Refusal, Version},
};

/// Time between bookmarks.
const BOOKMARKS: Duration = Duration::from_mins(1);

struct Watch {
    connection: Connection,
    call: Call,
    selection: Selection,
    changes: watch::Receiver<u64>,
    /// The last version that was sent or passed over.
    version: u64,
    ends: Instant,
    bookmark: Instant,
    is_over: bool,
}

/// The stream of events that a request asks for.
pub fn stream(connection: &Connection, call: &Call, selection: Selection) -> Answer {
    let asked = call.query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or_default();
    let seconds = call.query.get("timeoutSeconds").and_then(|text| text.parse().ok()).unwrap_or(290);
    if asked < FIRST {
        return refused(&gone(asked));
    }
    let now = Instant::now();
    let watch = Watch {
        changes: connection.store.lock().changes(),
        connection: connection.clone(),
        call: call.clone(),
        selection,
        version: asked,
        ends: now + Duration::from_secs(seconds),
        bookmark: now + BOOKMARKS,
        is_over: false,
    };
    let events = stream::unfold(watch, |mut watch| async move {
        let (type_, object) = watch.next().await?;
        // in this order, as the API server sends it
        let text = format!("{{\"type\":\"{type_}\",\"object\":{object}}}\n");
        Some((Ok::<_, io::Error>(Frame::data(Bytes::from(text))), watch))
    });
    Response::new(StreamBody::new(events).boxed_unsync())
}

fn gone(version: u64) -> Refusal {
    Refusal { code: 410, reason: "Expired", message: format!("too old resource version: {version}") }
}

impl Watch {
    async fn next(&mut self) -> Option<(&'static str, Value)> {
        if self.is_over {
            return None;
        }
        loop {
            self.changes.mark_unchanged();
            let kind = self.call.key.kind;
            let mut until = self.ends.min(self.bookmark);
            // a client whose process is gone is sent nothing
            if self.connection.network.is_dead() {
                std::future::pending::<()>().await;
            }
            let waiting = self.pending();
            match self.connection.network.sight(kind, waiting.as_ref().map(|version| version.at)) {
                Sight::Clear => {
                    if let Some(version) = waiting {
                        self.version = version.number;
                        match self.event(&version) {
                            Some(event) => return Some(event),
                            None => continue,
                        }
                    }
                }
                Sight::Until(time) => until = until.min(time),
                Sight::Cut => {
                    self.is_over = true;
                    return Some(("ERROR", status(&gone(self.version))));
                }
            }
            let now = Instant::now();
            if now >= self.ends {
                return None;
            }
            if now >= self.bookmark {
                self.bookmark = now + BOOKMARKS;
                if self.pending().is_none() {
                    return Some(self.bookmark_event());
                }
            }
            tokio::select! {
                _ = self.changes.changed() => {}
                () = tokio::time::sleep_until(until) => {}
                () = self.connection.network.turned() => {}
            }
        }
    }

    /// The next write of the kind that was not sent.
    fn pending(&self) -> Option<Version> {
        let store = self.connection.store.lock();
        let from = store.log.partition_point(|version| version.number <= self.version);
        let here = |version: &&Version| {
            let place = &self.call.key;
            version.key.kind == place.kind
                && (place.namespace.is_empty() || version.key.namespace == place.namespace)
        };
        store.log[from..].iter().find(here).cloned()
    }

    /// What it is to who watches: what leaves a selection goes.
    fn event(&self, version: &Version) -> Option<(&'static str, Value)> {
        let taken = |object: &Option<Arc<Value>>| {
            object
                .as_ref()
                .filter(|object| self.selection.takes(object))
                .map(|object| object.as_ref().clone())
        };
        let (type_, mut object) = match (taken(&version.before), taken(&version.after)) {
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(before), None) => ("DELETED", before),
            (None, None) => return None,
        };
        object["metadata"]["resourceVersion"] = version.number.to_string().into();
        Some((type_, object))
    }

    fn bookmark_event(&self) -> (&'static str, Value) {
        let version = self.connection.store.lock().version().max(self.version);
        let kind = self.call.key.kind;
        let metadata = json!({"resourceVersion": version.to_string()});
        ("BOOKMARK", json!({"apiVersion": kind.place().0, "kind": kind.to_string(), "metadata": metadata}))
    }
}
