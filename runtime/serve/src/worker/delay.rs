//! Whether a run waits for more requests to share it, where runs are made one at a time. In go how long runs of so many
//! requests took, and how often requests come; out comes how long to wait for the next one, if at all.
//!
//! On a GPU a run has a cost that does not depend on how many share it. Let a run of n requests take a + b n, and let the
//! next request come after g. If the run of n begins at once, the next one waits for its end and has a run of its own; if
//! it waits, the next one is answered a - g earlier and the n each g + b later. So waiting shortens the mean time to an
//! answer as long as a - g > n (g + b), that is, while g < (a - n b) / (n + 1). That is also the longest wait: whoever was
//! expected and did not come by then costs at most about as much as its coming would have saved. a and b are those of a
//! straight line through what was measured, by least squares in which older runs count less and less; g is a moving
//! average. Nothing is waited for that the spec's longest delay or a request's deadline forbids.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How much less a run counts with each newer one.
const FADING: f64 = 1.0 - 1.0 / 32.0;
/// Shorter waits cost as much as they save: the thread must be put to sleep and woken.
const SHORTEST: Duration = Duration::from_micros(50);
/// Where runs were of nearly the same number of requests, they say nothing about the share of each.
const SPREAD: f64 = 0.01;
/// Part of the mean distance of requests that a new one is: one in so many.
const WEIGHT: u32 = 8;
/// Longest distance that counts: after a pause, requests are not expected to be as rare as the pause was long.
const LONGEST: Duration = Duration::from_secs(1);

/// How often requests come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    last: Option<Instant>,
    gap: Option<Duration>,
}

impl Arrivals {
    pub fn count(&mut self, now: Instant) {
        if let Some(last) = self.last {
            let gap = now.saturating_duration_since(last).min(LONGEST);
            self.gap = Some(self.gap.map_or(gap, |mean| (mean * (WEIGHT - 1) + gap) / WEIGHT));
        }
        self.last = Some(now);
    }
}

/// The requests that wait for another one.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub requests: u32,
    /// When the first of them came.
    pub since: Instant,
    /// When the time of one of them is over.
    pub deadline: Instant,
}

/// What was learned of the runs.
#[derive(Debug)]
pub struct Delay {
    longest: Duration,
    runs: Mutex<Line>,
}

impl Delay {
    /// Nobody waits longer than this for others; zero for not at all.
    pub fn new(longest: Duration) -> Self {
        Self { longest, runs: Mutex::new(Line::default()) }
    }

    /// A run of so many requests took so long.
    pub fn learn(&self, requests: u32, took: Duration) {
        if !self.longest.is_zero() {
            self.line(|line| line.add(requests.into(), took.as_secs_f64()));
        }
    }

    fn line<T>(&self, work: impl FnOnce(&mut Line) -> T) -> T {
        work(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long to wait for the next request.
    pub fn patience(&self, waiting: Waiting, arrivals: Arrivals, now: Instant) -> Option<Duration> {
        let (Some(last), Some(gap), false) = (arrivals.last, arrivals.gap, self.longest.is_zero()) else {
            return None;
        };
        let (fixed, each) = self.line(|line| line.fit())?;
        let requests = f64::from(waiting.requests);
        let saved = (fixed - requests * each) / (requests + 1.0);
        if saved < gap.as_secs_f64() {
            return None;
        }
        let run = Duration::try_from_secs_f64(fixed + (requests + 1.0) * each).ok()?;
        let until = [
            last + Duration::try_from_secs_f64(saved).ok()?,
            waiting.since + self.longest,
            waiting.deadline.checked_sub(run)?,
        ];
        let wait = until.into_iter().min()?.saturating_duration_since(now);
        (wait >= SHORTEST).then_some(wait)
    }
}

/// Sums for a straight line through points.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    weight: f64,
    x: f64,
    xx: f64,
    y: f64,
    xy: f64,
}

impl Line {
    fn add(&mut self, x: f64, y: f64) {
        for (sum, new) in [
            (&mut self.weight, 1.0),
            (&mut self.x, x),
            (&mut self.xx, x * x),
            (&mut self.y, y),
            (&mut self.xy, x * y),
        ] {
            *sum = *sum * FADING + new;
        }
    }

    /// Its height at 0 and its slope, neither below 0. Without a spread of x, the slope is taken for 0: that is found
    /// wrong as soon as it is acted on.
    fn fit(&self) -> Option<(f64, f64)> {
        if self.weight == 0.0 {
            return None;
        }
        let mean = self.y / self.weight;
        let spread = self.weight * self.xx - self.x * self.x;
        if spread < SPREAD * self.weight * self.xx {
            return Some((mean, 0.0));
        }
        let slope = ((self.weight * self.xy - self.x * self.y) / spread).max(0.0);
        Some(((mean - slope * self.x / self.weight).max(0.0), slope))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Of a model whose runs take `fixed + each n` milliseconds, seen with 1 and 4 requests.
    fn delay(fixed: u32, each: u32, longest: Duration) -> Delay {
        let delay = Delay::new(longest);
        for n in [1, 4, 1, 4] {
            delay.learn(n, MILLISECOND * (fixed + each * n));
        }
        delay
    }

    fn arrivals(gap: Duration, last: Instant) -> Arrivals {
        Arrivals { last: Some(last), gap: Some(gap) }
    }

    fn waiting(requests: u32, since: Instant) -> Waiting {
        Waiting { requests, since, deadline: since + Duration::from_mins(1) }
    }

    #[test]
    fn a_run_waits_while_the_next_request_saves_more_than_all_lose() {
        let now = Instant::now();
        let delay = delay(10, 1, Duration::from_mins(1));
        let patience =
            |n: u32, gap: u32| delay.patience(waiting(n, now), arrivals(MILLISECOND * gap, now), now);
        // (10 - n) / (n + 1) milliseconds
        for (n, gap, wait) in
            [(1, 4, Some(4500)), (1, 5, None), (3, 1, Some(1750)), (3, 2, None), (10, 0, None)]
        {
            let found = patience(n, gap).map(|wait| wait.as_micros());
            let near = match (found, wait) {
                (Some(found), Some(wait)) => found.abs_diff(wait) <= 1,
                (found, wait) => found == wait,
            };
            assert!(near, "{n} wait, and one comes after {gap} ms: {found:?}, expected {wait:?}");
        }
    }

    #[test]
    fn what_was_waited_already_counts_and_so_do_the_longest_delay_and_the_deadline() {
        let begun = Instant::now();
        let arrivals = arrivals(MILLISECOND, begun);
        let delay = |longest: u32| delay(10, 1, MILLISECOND * longest);
        let later = begun + MILLISECOND * 3;
        let left = delay(1000).patience(waiting(1, begun), arrivals, later).unwrap();
        assert!(left.as_micros().abs_diff(1500) <= 1, "{left:?}");
        assert_eq!(delay(1000).patience(waiting(1, begun), arrivals, begun + MILLISECOND * 5), None);
        assert_eq!(delay(2).patience(waiting(1, begun), arrivals, begun), Some(MILLISECOND * 2));
        assert_eq!(delay(2).patience(waiting(1, begun), arrivals, later), None);
        assert_eq!(delay(0).patience(waiting(1, begun), arrivals, begun), None);
        // A run of both takes 12 ms.
        let hurried = Waiting { deadline: begun + MILLISECOND * 13, ..waiting(1, begun) };
        let wait = delay(1000).patience(hurried, arrivals, begun).unwrap();
        assert!(wait.as_micros().abs_diff(1000) <= 1, "{wait:?}");
    }

    #[test]
    fn a_model_whose_rows_cost_as_much_together_is_not_waited_for() {
        let now = Instant::now();
        let patience = |delay: &Delay| delay.patience(waiting(1, now), arrivals(MILLISECOND, now), now);
        let long = Duration::from_mins(1);
        assert_eq!(patience(&delay(0, 10, long)), None);
        assert_eq!(patience(&Delay::new(long)), None, "nothing is known");
        // Alone all the time: the slope is not known, and is found out.
        let delay = Delay::new(long);
        delay.learn(1, MILLISECOND * 10);
        assert!(patience(&delay).is_some());
        delay.learn(2, MILLISECOND * 20);
        assert_eq!(patience(&delay), None);
    }

    #[test]
    fn older_runs_and_arrivals_count_less() {
        let delay = delay(50, 0, Duration::from_mins(1));
        for n in (1..=4).cycle().take(400) {
            delay.learn(n, MILLISECOND * 2);
        }
        let (fixed, each) = delay.line(|line| line.fit()).unwrap();
        assert!((fixed - 0.002).abs() < 1e-4 && each < 1e-4, "{fixed} {each}");
        let mut arrivals = Arrivals::default();
        let mut now = Instant::now();
        for gap in std::iter::once(10_000).chain([2; 100]) {
            now += MILLISECOND * gap;
            arrivals.count(now);
        }
        let gap = arrivals.gap.unwrap();
        assert!((MILLISECOND * 2..MILLISECOND * 3).contains(&gap), "{gap:?}");
    }
}
