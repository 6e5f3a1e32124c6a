//! Which phase a run is in, in words, and what it tries again inside its present container. In go the statuses of a pod's
//! containers and the container's own word; out come messages that stay the same for as long as the cause does. Pure.

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};

use super::{containers::MAX_MESSAGE, phases::Phase};
use crate::{
    api::condition::timestamp, k8s::events::truncated, model::snapshot::Retrying,
    pods::unstarted::container_statuses, problem::Problem,
};

/// When the container that runs, the last of them, started.
pub fn running_since(pod: &Pod) -> Option<Timestamp> {
    let running = container_statuses(pod).filter_map(|status| status.state.as_ref()?.running.as_ref());
    running.last()?.started_at.as_ref().map(|time| time.0)
}

/// What a run tries again, for conditions.
pub fn problem(retrying: &Retrying) -> Problem {
    let store = retrying.store.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
    let message = format!(
        "{} tries again since {}; it failed last because of this: {}{store}",
        retrying.container,
        timestamp(retrying.since),
        retrying.message
    );
    Problem { reason: "Retrying".into(), message: truncated(&message, MAX_MESSAGE) }
}

/// What a run is at, by the phase that its status names and the time since when.
pub fn words(trains: bool, phase: Option<&str>, since: Option<Timestamp>) -> String {
    let what = if trains { "the model is being trained" } else { "the model is being imported" };
    all_words(what, trains, phase, since)
}

/// The same of a run that takes over the model of a version.
pub fn words_of_kept(version: u64, trained: bool, phase: Option<&str>, since: Option<Timestamp>) -> String {
    all_words(&format!("the model of version {version} is being taken over"), trained, phase, since)
}

fn all_words(what: &str, trains: bool, phase: Option<&str>, since: Option<Timestamp>) -> String {
    let at = match phase {
        Some("Pending") => "its pod is being started",
        phase => phase.and_then(Phase::of_word).map_or("", |at| at.data().activity[usize::from(trains)]),
    };
    let since = since.filter(|_| !at.is_empty() && phase != Some("Pending"));
    let since = since.map(|since| format!(" since {}", timestamp(since))).unwrap_or_default();
    let at = if at.is_empty() { String::new() } else { format!(": {at}") };
    format!("{what}{at}{since}")
}
