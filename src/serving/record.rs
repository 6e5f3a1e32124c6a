//! The truth of a rollout: what is recorded on a revision. In goes and out comes an annotation of its ControllerRevision.
//! Pure.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{api::name::ADMITTED_ANNOTATION, k8s::events::truncated};

/// Carries all that is recorded on a revision, as JSON, so that it is written and read as one.
pub const ROLLOUT: &str = "modelwright.dev/rollout";

/// Which form of it this is; another one is told, and held.
const SCHEMA: u32 = 1;

/// Most of a value that a message shows, in bytes.
const MAX_SHOWN: usize = 100;

/// What is recorded on a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// Order among the revisions; the highest became target last.
    pub number: u64,
    /// How its last rollout ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why, where it was not promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the outcome was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Order among promotions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted: Option<u64>,
    /// Whether it ever served all traffic with every replica ready.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub proven: bool,
    /// Why it is not tried, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// How far its rollout is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The last action of a person that took effect on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// How the last rollout of a revision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Outcome {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Progressing => "Progressing",
            Self::Promoted => "Promoted",
            Self::RolledBack => "RolledBack",
            Self::Aborted => "Aborted",
            Self::Superseded => "Superseded",
        }
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

/// The annotation's text.
#[derive(Serialize, Deserialize)]
struct Written<R> {
    schema: u32,
    #[serde(flatten)]
    record: R,
}

impl Record {
    /// Reads the annotation; what cannot be read counts as absent: [`unreadable`] is asked before.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        annotations.get(ROLLOUT).and_then(|text| Self::parse(text).ok()).unwrap_or_default()
    }

    /// What was expected, where the text is something else.
    fn parse(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(Written { schema: SCHEMA, record }) => Ok(record),
            Ok(Written { schema, .. }) => {
                Err(format!("schema {SCHEMA}, and not {schema}, which another release wrote,"))
            }
            Err(error) => Err(format!("JSON of a rollout's record ({error})")),
        }
    }

    /// How a rollout that was under way ended, and how long it took.
    pub fn ended_since(&self, before: &Self) -> Option<(Outcome, Duration)> {
        let outcome = self.outcome.filter(|outcome| *outcome != Outcome::Progressing)?;
        let started = before.time.filter(|_| before.outcome == Some(Outcome::Progressing))?;
        // a clock that stepped back took no time
        Some((outcome, Duration::try_from(self.time?.duration_since(started)).unwrap_or_default()))
    }

    /// The annotation to write.
    pub fn annotation(&self) -> BTreeMap<&'static str, String> {
        // numbers, texts and times are JSON
        let text = serde_json::to_string(&Written { schema: SCHEMA, record: self });
        [(ROLLOUT, text.unwrap_or_default())].into()
    }
}

/// What of a revision's record cannot be read, with what was expected: a decision without it would take what was promoted,
/// or refused, for new.
pub fn unreadable(annotations: &BTreeMap<String, String>) -> Option<String> {
    let admitted = |text: &String| {
        serde_json::from_str::<Value>(text).err().map(|_| "a pod template as JSON".to_owned())
    };
    let told = |key: &str, expected: &dyn Fn(&String) -> Option<String>| {
        let text = annotations.get(key)?;
        let (shown, expected) = (truncated(text, MAX_SHOWN), expected(text)?);
        Some(format!("metadata.annotations[{key}] is `{shown}`, and {expected} was expected"))
    };
    told(ROLLOUT, &|text| Record::parse(text).err())
        .or_else(|| told(ADMITTED_ANNOTATION, &|text| admitted(text).filter(|_| !text.is_empty())))
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

    fn whole(outcome: Outcome) -> Record {
        let now: Timestamp = "2026-11-24T02:00:00Z".parse().unwrap();
        Record {
            number: 7,
            outcome: Some(outcome),
            message: Some("no pod became ready".into()),
            time: Some(now),
            promoted: Some(3),
            proven: true,
            quarantine: Some("ProgressDeadlineExceeded".into()),
            progress: Some(Progress { since: now, ready: 1, wanted: 2, stands: true, stood: 3 }),
            request: Some("id".into()),
        }
    }

    fn written(record: &Record) -> BTreeMap<String, String> {
        record.annotation().into_iter().map(|(key, text)| (key.to_owned(), text)).collect()
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        use Outcome::{Aborted, Progressing, Promoted, RolledBack, Superseded};
        for outcome in [Progressing, Promoted, RolledBack, Aborted, Superseded] {
            let record = whole(outcome);
            assert_eq!(Record::read(&written(&record)), record, "{outcome:?}");
            assert_eq!(unreadable(&written(&record)), None);
        }
        assert_eq!(Record::read(&written(&Record::default())), Record::default());
        assert_eq!((Record::read(&BTreeMap::new()), unreadable(&BTreeMap::new())), (Record::default(), None));
    }

    /// Whoever runs one release beside another one, or goes back to it, reads it.
    #[test]
    fn a_record_is_written_in_the_same_words_for_ever() {
        let text = written(&whole(Outcome::RolledBack)).remove(ROLLOUT).unwrap();
        let words = r#"{"schema":1,"number":7,"outcome":"RolledBack","message":"no pod became ready","time":"2026-11-24T02:00:00Z","promoted":3,"proven":true,"quarantine":"ProgressDeadlineExceeded","progress":{"since":"2026-11-24T02:00:00Z","ready":1,"wanted":2,"stands":true,"stood":3},"request":"id"}"#;
        assert_eq!(text, words);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_key_value_and_what_was_expected_and_counts_as_absent() {
        let text = written(&whole(Outcome::Promoted)).remove(ROLLOUT).unwrap();
        for (scribbled, expected) in [
            ("{some".to_owned(), "JSON"),
            (String::new(), "JSON"),
            ("\u{0}?".to_owned(), "JSON"),
            (text.replace("Promoted", "Demoted"), "unknown variant `Demoted`"),
            (text.replace("\"promoted\":3", "\"promoted\":\"soon\""), "invalid type: string \"soon\""),
            (
                text.replace("\"schema\":1", "\"schema\":2"),
                "schema 1, and not 2, which another release wrote,",
            ),
            (text.replace("\"schema\":1,", ""), "missing field `schema`"),
        ] {
            let annotations = [(ROLLOUT.to_owned(), scribbled.clone())].into();
            let told = unreadable(&annotations).unwrap();
            for part in [ROLLOUT, &truncated(&scribbled, MAX_SHOWN), expected, "expected"] {
                assert!(told.contains(part), "{told}: {part}");
            }
            assert_eq!(Record::read(&annotations), Record::default());
        }
        let admitted = [(ADMITTED_ANNOTATION.to_owned(), "{some".to_owned())].into();
        assert!(unreadable(&admitted).unwrap().contains(ADMITTED_ANNOTATION));
    }
}
