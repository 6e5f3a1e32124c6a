//! The truth of a rollout: what is recorded on a revision. In go and out come annotations of its ControllerRevision.
//! Pure.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{api::name::ADMITTED_ANNOTATION, k8s::events::truncated};

/// Order among the revisions of a ModelDeployment: the highest became target last.
pub const NUMBER: &str = "modelwright.dev/number";
/// How the last rollout of the revision ended, or `Progressing`.
pub const OUTCOME: &str = "modelwright.dev/outcome";
/// When [`OUTCOME`] was reached.
pub const OUTCOME_TIME: &str = "modelwright.dev/outcome-time";
/// Why [`OUTCOME`] is no promotion.
pub const OUTCOME_MESSAGE: &str = "modelwright.dev/outcome-message";
/// Order among promotions: the revision with the highest is the stable one.
pub const PROMOTED: &str = "modelwright.dev/promoted";
/// `true` once the revision served all traffic with every replica ready.
pub const PROVEN: &str = "modelwright.dev/proven";
/// Why the revision is not tried, in one CamelCase word.
pub const QUARANTINE: &str = "modelwright.dev/quarantine";
/// How far the present rollout is, as JSON.
pub const PROGRESS: &str = "modelwright.dev/progress";
/// `id` of the last action of a person that took effect on the revision.
pub const REQUEST: &str = "modelwright.dev/request";

const ALL: [&str; 9] =
    [NUMBER, OUTCOME, OUTCOME_TIME, OUTCOME_MESSAGE, PROMOTED, PROVEN, QUARANTINE, PROGRESS, REQUEST];

/// Most of a value that a message shows, in bytes.
const MAX_SHOWN: usize = 100;

/// What is recorded on a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Order among the revisions; the highest became target last.
    pub number: u64,
    /// How its last rollout ended.
    pub outcome: Option<Outcome>,
    /// Why, where it was not promoted.
    pub message: Option<String>,
    /// When the outcome was reached.
    pub time: Option<Timestamp>,
    /// Order among promotions.
    pub promoted: Option<u64>,
    /// Whether it ever served all traffic with every replica ready.
    pub proven: bool,
    /// Why it is not tried, in one word.
    pub quarantine: Option<String>,
    /// How far its rollout is.
    pub progress: Option<Progress>,
    /// The last action of a person that took effect on it.
    pub request: Option<String>,
}

/// How the last rollout of a revision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is under way.
    Progressing,
    /// It took over all traffic.
    Promoted,
    /// It made no progress within the deadline.
    RolledBack,
    /// A person stopped it.
    Aborted,
    /// The spec moved on before it was promoted.
    Superseded,
}

const OUTCOMES: [(Outcome, &str); 5] = [
    (Outcome::Progressing, "Progressing"),
    (Outcome::Promoted, "Promoted"),
    (Outcome::RolledBack, "RolledBack"),
    (Outcome::Aborted, "Aborted"),
    (Outcome::Superseded, "Superseded"),
];

impl Outcome {
    /// The word for people and annotations.
    pub fn word(self) -> &'static str {
        OUTCOMES.iter().find(|(outcome, _)| *outcome == self).map_or("Progressing", |(_, word)| word)
    }
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When it last got further; the deadline counts from here.
    pub since: Timestamp,
    /// Most pods that took traffic at once.
    pub ready: u32,
    /// Most pods that were asked for.
    pub wanted: u32,
    /// Whether the clock stands, since the cluster has not done yet what it was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stands: bool,
    /// How often the clock stood since the rollout last got further.
    #[serde(default, skip_serializing_if = "is_none")]
    pub stood: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Record {
    /// Reads the annotations; what cannot be read counts as absent: [`unreadable`] is asked before.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| annotations.get(key).filter(|value| !value.is_empty());
        let number = |key: &str| text(key).and_then(|value| value.parse::<u64>().ok());
        Self {
            number: number(NUMBER).unwrap_or_default(),
            outcome: text(OUTCOME)
                .and_then(|word| OUTCOMES.iter().find(|(_, known)| known == word))
                .map(|(outcome, _)| *outcome),
            message: text(OUTCOME_MESSAGE).cloned(),
            time: text(OUTCOME_TIME).and_then(|value| value.parse().ok()),
            promoted: number(PROMOTED),
            proven: text(PROVEN).is_some_and(|value| value == "true"),
            quarantine: text(QUARANTINE).cloned(),
            progress: text(PROGRESS).and_then(|value| serde_json::from_str(value).ok()),
            request: text(REQUEST).cloned(),
        }
    }

    /// How a rollout that was under way ended, and how long it took.
    pub fn ended_since(&self, before: &Self) -> Option<(Outcome, Duration)> {
        let outcome = self.outcome.filter(|outcome| *outcome != Outcome::Progressing)?;
        let started = before.time.filter(|_| before.outcome == Some(Outcome::Progressing))?;
        // a clock that stepped back took no time
        Some((outcome, Duration::try_from(self.time?.duration_since(started)).unwrap_or_default()))
    }

    /// The annotations to write; `None` where one is taken off.
    pub fn annotations(&self) -> BTreeMap<&'static str, Option<String>> {
        let mut all: BTreeMap<_, _> = ALL.into_iter().map(|key| (key, None)).collect();
        let mut set = |key: &'static str, value: Option<String>| {
            all.insert(key, value);
        };
        set(NUMBER, Some(self.number.to_string()));
        set(OUTCOME, self.outcome.map(|outcome| outcome.word().to_owned()));
        set(OUTCOME_MESSAGE, self.message.clone());
        set(OUTCOME_TIME, self.time.map(|time| time.to_string()));
        set(PROMOTED, self.promoted.map(|stamp| stamp.to_string()));
        set(PROVEN, self.proven.then(|| "true".to_owned()));
        set(QUARANTINE, self.quarantine.clone());
        set(PROGRESS, self.progress.and_then(|progress| serde_json::to_string(&progress).ok()));
        set(REQUEST, self.request.clone());
        all
    }
}

/// What of a revision's record cannot be read, with what was expected: a decision without it would take what was promoted,
/// or refused, for new.
pub fn unreadable(annotations: &BTreeMap<String, String>) -> Option<String> {
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
    let mut parts = annotations.iter().filter(|(_, text)| !text.is_empty()).filter_map(|(key, text)| {
        let (is_read, expected) = match key.as_str() {
            NUMBER | PROMOTED => (is_number(text), "a whole number"),
            OUTCOME => {
                let is_known = OUTCOMES.iter().any(|(_, word)| word == text);
                (is_known, "Progressing, Promoted, RolledBack, Aborted or Superseded")
            }
            OUTCOME_TIME => (text.parse::<Timestamp>().is_ok(), "a time as in RFC 3339"),
            PROVEN => (text == "true", "true, or no such annotation"),
            PROGRESS => (serde_json::from_str::<Progress>(text).is_ok(), "JSON with since, ready and wanted"),
            ADMITTED_ANNOTATION => (is_json(text), "a pod template as JSON"),
            _ => return None,
        };
        (!is_read).then(|| {
            let shown = truncated(text, MAX_SHOWN);
            format!("metadata.annotations[{key}] is `{shown}`, and {expected} was expected")
        })
    });
    parts.next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rollout_that_was_under_way_took_as_long_as_it_was() {
        let at = |second: i64| Timestamp::from_second(second).ok();
        let record = |outcome, time| Record { outcome: Some(outcome), time, ..Record::default() };
        let started = record(Outcome::Progressing, at(100));
        let took = |end: Record| end.ended_since(&started);
        assert_eq!(
            took(record(Outcome::Promoted, at(130))),
            Some((Outcome::Promoted, Duration::from_secs(30)))
        );
        assert_eq!(took(record(Outcome::RolledBack, at(90))), Some((Outcome::RolledBack, Duration::ZERO)));
        assert_eq!(took(started.clone()), None);
        let quarantined = record(Outcome::Aborted, at(120));
        assert_eq!(record(Outcome::Promoted, at(130)).ended_since(&quarantined), None, "it was over before");
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let now: Timestamp = "2026-11-24T02:00:00Z".parse().unwrap();
        for (outcome, word) in OUTCOMES {
            let record = Record {
                number: 7,
                outcome: Some(outcome),
                message: Some("no pod became ready".into()),
                time: Some(now),
                promoted: Some(3),
                proven: true,
                quarantine: Some("ProgressDeadlineExceeded".into()),
                progress: Some(Progress { since: now, ready: 1, wanted: 2, stands: true, stood: 3 }),
                request: Some("id".into()),
            };
            let written: BTreeMap<_, _> = record
                .annotations()
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                .collect();
            assert_eq!(Record::read(&written), record, "{word}");
        }
    }

    #[test]
    fn what_was_written_can_be_read_and_anything_else_is_told_with_key_value_and_what_was_expected() {
        let whole = Record {
            number: 7,
            outcome: Some(Outcome::Superseded),
            time: Some("2026-11-24T02:00:00Z".parse().unwrap()),
            promoted: Some(3),
            proven: true,
            progress: Some(Progress {
                since: "2026-11-24T02:00:00Z".parse().unwrap(),
                ready: 1,
                wanted: 2,
                stands: false,
                stood: 0,
            }),
            ..Record::default()
        };
        let written = || {
            let all = whole.annotations().into_iter();
            all.filter_map(|(key, value)| Some((key.to_owned(), value?))).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(unreadable(&written()), None);
        assert_eq!(unreadable(&BTreeMap::new()), None);
        for key in [NUMBER, OUTCOME, OUTCOME_TIME, PROMOTED, PROVEN, PROGRESS, ADMITTED_ANNOTATION] {
            let mut scribbled = written();
            scribbled.insert(key.into(), "{some".into());
            let told = unreadable(&scribbled).unwrap();
            assert!(told.contains(key) && told.contains("`{some`") && told.contains("expected"), "{told}");
        }
    }

    #[test]
    fn what_somebody_scribbled_into_a_record_counts_as_absent() {
        let scribbled = ALL.into_iter().map(|key| (key.to_owned(), "\u{0}?".to_owned())).collect();
        let read = Record::read(&scribbled);
        assert_eq!((read.number, read.outcome, read.promoted, read.progress), (0, None, None, None));
        assert!(!read.proven);
    }
}
