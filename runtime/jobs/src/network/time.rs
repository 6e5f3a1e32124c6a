//! How long to wait on the network: a deadline on progress, never on the whole of a file. While a request is sent, the next
//! piece of its body must be taken, and once it is sent, its answer must begin; while the answer comes, its next piece must.
//! The first two wait longer: a server may have much to do before it answers, and the kernel holds megabytes that a slow one
//! has to take before there is room for the next piece. As long as those, no more, all of an answer may take that is no file.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use modelwright_contract::fetch::Waits;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next piece of an answer.
    pub read: Duration,
    /// For the next piece of a request to be taken, from its last byte to the first of its answer, and for all of an answer
    /// that is no file.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_mins(1),
            // A registry may hash a blob of gigabytes, a proxy may fetch a file whole before they say a word.
            answer: Duration::from_mins(5),
        }
    }
}

impl Timeouts {
    /// The same with what a config says.
    #[must_use]
    pub fn with(self, waits: Waits) -> Self {
        let seconds = |seconds: Option<u32>, usual| {
            seconds.map_or(usual, |seconds| Duration::from_secs(seconds.max(1).into()))
        };
        Self {
            read: seconds(waits.read_seconds, self.read),
            answer: seconds(waits.answer_seconds, self.answer),
            ..self
        }
    }
}

/// What was waited for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// A piece of the request's body to be taken.
    Sending(Duration),
    /// The first byte of the answer.
    Answer(Duration),
    /// A piece of the answer.
    Reading(Duration),
    /// The end of an answer that is small.
    Whole(Duration),
}

impl fmt::Display for Late {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sending(wait) => write!(formatter, "no byte of what was sent was taken for {wait:?}"),
            Self::Answer(wait) => {
                write!(formatter, "the request was sent, and no answer began within {wait:?}")
            }
            Self::Whole(wait) => write!(formatter, "the answer, a small one, did not end within {wait:?}"),
            Self::Reading(wait) => write!(formatter, "no byte of the answer came for {wait:?}"),
        }
    }
}

/// How far the sending of a request has got.
#[derive(Debug)]
pub struct Sending {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    last: Instant,
    complete: bool,
}

impl Sending {
    /// Starts now; a request without a body is sent at once.
    pub fn start(has_body: bool) -> Self {
        Self { state: Mutex::new(State { last: Instant::now(), complete: !has_body }) }
    }

    /// Notes that the connection asked for more of the body, or that there is none left.
    pub fn advanced(&self, complete: bool) {
        *self.lock() = State { last: Instant::now(), complete };
    }

    /// Ends when nothing has happened for too long.
    pub async fn late(&self, timeouts: Timeouts) -> Late {
        loop {
            let (deadline, late) = self.deadline(timeouts);
            if Instant::now() >= deadline {
                return late;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }

    /// When the next thing must have happened, and what it is.
    fn deadline(&self, timeouts: Timeouts) -> (Instant, Late) {
        let State { last, complete } = *self.lock();
        let wait = timeouts.answer;
        (last + wait, if complete { Late::Answer(wait) } else { Late::Sending(wait) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_that_is_taken_moves_the_deadline() {
        let timeouts = Timeouts::default();
        let sending = Sending::start(true);
        let (first, late) = sending.deadline(timeouts);
        assert_eq!(late, Late::Sending(timeouts.answer));
        std::thread::sleep(Duration::from_millis(2));
        sending.advanced(false);
        assert!(sending.deadline(timeouts).0 > first);
        sending.advanced(true);
        assert_eq!(sending.deadline(timeouts).1, Late::Answer(timeouts.answer));
        // What has no body waits for the answer only.
        assert_eq!(Sending::start(false).deadline(timeouts).1, Late::Answer(timeouts.answer));
    }
}
