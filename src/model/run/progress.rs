//! How far a training is, for people: what is new, how long it will take, and all of it in a few words. Pure.

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{LARGEST_INTEGER, model::RunProgress},
    k8s::events::truncated,
};

/// Longest summary, in bytes.
const MAX_SUMMARY: usize = 256;

/// Whether it says anything that was not told. The time that is left passes by itself.
pub fn says_more(progress: &RunProgress, told: &RunProgress) -> bool {
    let plain = |progress: &RunProgress| RunProgress {
        seconds_left: None,
        summary: None,
        time: String::new(),
        ..progress.clone()
    };
    plain(progress) != plain(told)
}

/// With the time that is left, where it does not say so itself: as the epochs since the last word took.
pub fn with_time_left(mut progress: RunProgress, told: &RunProgress) -> RunProgress {
    if progress.seconds_left.is_none() && progress.activity == told.activity {
        progress.seconds_left = estimate(&progress, told);
    }
    progress
}

fn estimate(progress: &RunProgress, told: &RunProgress) -> Option<u64> {
    let (epoch, epochs) = (progress.epoch?, progress.epochs?);
    let done = epoch.checked_sub(told.epoch?).filter(|done| *done > 0)?;
    let (from, to) = (told.time.parse::<Timestamp>().ok()?, progress.time.parse::<Timestamp>().ok()?);
    let elapsed = u128::try_from(to.duration_since(from).as_millis()).ok()?;
    let left = u128::from(epochs.saturating_sub(epoch)) * elapsed / u128::from(done) / 1000;
    Some(u64::try_from(left).unwrap_or(u64::MAX).min(LARGEST_INTEGER))
}

/// With all of it in a few words.
pub fn with_summary(mut progress: RunProgress) -> RunProgress {
    let mut parts = vec![progress.activity.clone()];
    if progress.total > 1 {
        parts.push(format!("{} of {} done", progress.done, progress.total));
    }
    if let (Some(epoch), Some(epochs)) = (progress.epoch, progress.epochs) {
        parts.push(format!("epoch {epoch}/{epochs}"));
    }
    parts.extend(progress.loss.iter().map(|loss| format!("loss {loss}")));
    if let (Some(metric), Some(best)) = (&progress.metric, &progress.best) {
        parts.push(format!("{metric} {best}"));
    }
    parts.extend(progress.seconds_left.map(|seconds| format!("{} left", duration(seconds))));
    progress.summary = Some(truncated(&parts.join(", "), MAX_SUMMARY));
    progress
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        _ => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, time: &str) -> RunProgress {
        RunProgress {
            activity: "net".into(),
            done: 1,
            total: 2,
            metric: Some("F1Macro".into()),
            best: Some("0.91".into()),
            epoch: Some(epoch),
            epochs: Some(50),
            loss: Some("0.213".into()),
            seconds_left: None,
            summary: None,
            time: format!("2026-11-30T02:{time}Z"),
        }
    }

    #[test]
    fn what_is_left_takes_as_long_as_what_was_done_since() {
        let next = with_summary(with_time_left(at(10, "00:40"), &at(2, "00:00")));
        assert_eq!(next.seconds_left, Some(200));
        assert_eq!(
            next.summary.as_deref(),
            Some("net, 1 of 2 done, epoch 10/50, loss 0.213, F1Macro 0.91, 3m left")
        );
        let said = RunProgress { seconds_left: Some(7), ..at(10, "00:40") };
        assert_eq!(with_time_left(said, &at(2, "00:00")).seconds_left, Some(7), "the pod knows better");
        let other = RunProgress { activity: "forest".into(), ..at(2, "00:00") };
        assert_eq!(with_time_left(at(10, "00:40"), &other).seconds_left, None);
        for (before, after) in [(at(10, "00:00"), at(10, "00:40")), (at(10, "00:00"), at(2, "00:40"))] {
            assert_eq!(with_time_left(after, &before).seconds_left, None);
        }
        assert_eq!(with_time_left(at(60, "00:40"), &at(2, "00:00")).seconds_left, Some(0));
        assert_eq!(
            with_time_left(at(10, "00:00"), &at(2, "00:40")).seconds_left,
            None,
            "a clock that went back"
        );
    }

    #[test]
    fn only_what_is_new_is_told() {
        let told = with_summary(with_time_left(at(10, "00:40"), &at(2, "00:00")));
        assert!(!says_more(&at(10, "00:50"), &told), "time alone says nothing");
        assert!(says_more(&at(11, "00:50"), &told));
        assert!(says_more(&RunProgress { loss: Some("0.2".into()), ..at(10, "00:40") }, &told));
        assert_eq!([duration(59), duration(120), duration(7260)], ["59s", "2m", "2h1m"]);
    }
}
