//! Pods that let questions go unanswered, and until when each is left alone: who asks waits for the whole time of a question,
//! so many such pods would keep all others waiting.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a pod is left alone that did not answer once; doubled with each further time.
const FIRST: Duration = Duration::from_secs(15);
/// The longest.
const LONGEST: Duration = Duration::from_mins(5);
/// What was not asked about for so long is gone.
const FORGOTTEN: Duration = Duration::from_hours(1);

/// Those pods, by UID.
#[derive(Debug, Default)]
pub struct SilentPods(Mutex<HashMap<String, Left>>);

#[derive(Clone, Copy, Debug)]
struct Left {
    alone: Duration,
    until: Instant,
}

impl SilentPods {
    /// Whether the pod may be asked now.
    pub fn may_be_asked(&self, uid: &str) -> bool {
        self.lock().get(uid).is_none_or(|left| left.until <= Instant::now())
    }

    /// It answered, or refused to: that costs nobody time.
    pub fn answered(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// It did not answer in time.
    pub fn was_silent(&self, uid: &str) {
        let now = Instant::now();
        let mut known = self.lock();
        known.retain(|_, left| left.until + FORGOTTEN > now);
        let alone = known.get(uid).map_or(FIRST, |left| (left.alone * 2).min(LONGEST));
        known.insert(uid.to_owned(), Left { alone, until: now + alone });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_asked_more_and_more_seldom_and_as_before_once_it_does() {
        let silent = SilentPods::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert!(silent.may_be_asked("pod"));
            silent.was_silent("pod");
            let since = Instant::now();
            while !silent.may_be_asked("pod") {
                tokio::time::advance(Duration::from_secs(5)).await;
            }
            waits.push(since.elapsed().as_secs());
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 300, 300]);
        silent.was_silent("pod");
        assert!(silent.may_be_asked("other"));
        silent.answered("pod");
        assert!(silent.may_be_asked("pod"));
        silent.was_silent("pod");
        tokio::time::advance(FORGOTTEN + FIRST).await;
        silent.was_silent("other");
        assert_eq!(silent.lock().len(), 1, "what is gone is forgotten");
    }
}
