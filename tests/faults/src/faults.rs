//! Faults between an operator and its API server, and between it and its pods: which are planned, and which happened.

mod sorts;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use modelwright::clock::Clock;
pub use sorts::{Blur, Fault, How, Lie};
use tokio::{sync::Notify, time::Instant};

use crate::{
    kinds::Kind,
    server::request::{Call, Verb},
    store::Refusal,
};

/// How long a watch stands still.
const FROZEN: Duration = Duration::from_secs(20);
/// How late a watch is, and for how long.
const LAG: (Duration, Duration) = (Duration::from_secs(3), Duration::from_mins(1));
/// How long a process does not reach its Lease.
const OUTAGE: Duration = Duration::from_secs(40);
/// How many writes an old list knows nothing of.
const OLD: u64 = 12;
/// How often the client tries again while the API server is busy.
const TRIES: u32 = 5;

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub told: String,
    pub is_write: bool,
    pub at: Timestamp,
}

/// The faults of a run, and what happened.
#[derive(Debug, Default)]
pub struct Plan {
    pub faults: Vec<Fault>,
    pub happened: Vec<bool>,
    /// The operator's calls.
    pub calls: Vec<Made>,
    /// The questions to pods.
    pub questions: usize,
    pub lease_calls: Vec<Made>,
    busy: Option<(String, u32)>,
    blurred: BTreeMap<Kind, (usize, Blurred)>,
}

#[derive(Clone, Copy, Debug)]
enum Blurred {
    Frozen { until: Instant },
    Lags { until: Instant },
    Cut,
    Old { is_cut: bool },
    Resting { until: Instant },
}

/// A plan that all have a part in.
#[derive(Clone, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    /// Whether faults are counted and made: between the start and the end of a script.
    on: Arc<AtomicBool>,
    turned: Arc<Notify>,
    clock: Clock,
}

impl Faults {
    pub fn new(faults: Vec<Fault>, clock: Clock) -> Self {
        let happened = vec![false; faults.len()];
        let plan = Plan { faults, happened, ..Plan::default() };
        Self { plan: Arc::new(Mutex::new(plan)), clock, ..Self::default() }
    }

    pub fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, or no longer.
    pub fn turn(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// The way of a new process.
    pub fn network(&self) -> Network {
        Network {
            faults: self.clone(),
            dead: Arc::default(),
            crashed: Arc::default(),
            outage: Arc::default(),
            is_of_lease: false,
        }
    }

    /// What is to happen to the next question to a pod.
    pub fn lie(&self) -> Option<Lie> {
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        let mut plan = self.plan();
        let asked = plan.questions;
        plan.questions += 1;
        let found =
            plan.faults.iter().position(|fault| matches!(fault, Fault::Answer { at, .. } if *at == asked))?;
        plan.happened[found] = true;
        match plan.faults[found] {
            Fault::Answer { lie, .. } => Some(lie),
            _ => None,
        }
    }
}

/// What becomes of a call.
#[derive(Debug, PartialEq)]
pub enum Way {
    Clear,
    Refused(Refusal),
    Lost,
    Silent,
    DeadBefore,
    DeadAfter,
}

/// What a watch may tell.
#[derive(Debug, PartialEq)]
pub enum Sight {
    Clear,
    Until(Instant),
    Cut,
}

/// The network of one process.
#[derive(Clone)]
pub struct Network {
    faults: Faults,
    dead: Arc<AtomicBool>,
    crashed: Arc<Notify>,
    /// Until when it does not reach its Lease.
    outage: Arc<Mutex<Option<Instant>>>,
    is_of_lease: bool,
}

impl Network {
    /// That of the same process' Lease.
    #[must_use]
    pub fn of_lease(&self) -> Self {
        Self { is_of_lease: true, ..self.clone() }
    }

    /// Ends the process: nothing of it is carried out any more.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Waits until a fault ends the process.
    pub fn crashed(&self) -> impl Future<Output = ()> + use<'_> {
        self.crashed.notified()
    }

    /// What becomes of a call.
    pub fn way(&self, call: &Call) -> Way {
        if self.is_dead() {
            return Way::DeadBefore;
        }
        if !self.faults.on.load(Ordering::Relaxed) {
            return Way::Clear;
        }
        let how = if self.is_of_lease { self.lease_fault(call) } else { self.fault(call) };
        let Some(how) = how else { return Way::Clear };
        let refused =
            |code, reason, message: &str| Way::Refused(Refusal { code, reason, message: message.into() });
        match how {
            How::CrashBefore | How::CrashAfter => {
                self.kill();
                self.crashed.notify_one();
                if how == How::CrashBefore { Way::DeadBefore } else { Way::DeadAfter }
            }
            How::Fails => refused(500, "InternalError", "an injected fault"),
            How::TimesOut => Way::Silent,
            How::AnswerLost => Way::Lost,
            How::Conflicts if call.verb == Verb::Create => {
                // of an object that is made, nothing changed before: the server is asked in vain
                refused(409, "Conflict", "an injected conflict")
            }
            How::Conflicts => {
                Way::Refused(Refusal::conflict("the object has been modified: an injected conflict"))
            }
            How::TooMany => refused(429, "TooManyRequests", "an injected fault"),
        }
    }

    fn lease_fault(&self, call: &Call) -> Option<How> {
        let mut plan = self.faults.plan();
        let number = plan.lease_calls.len();
        plan.lease_calls.push(self.made(call));
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = |fault: &Fault| matches!(fault, Fault::Outage { at } if *at == number);
        if let Some(found) = plan.faults.iter().position(begins) {
            plan.happened[found] = true;
            *outage = Some(Instant::now() + OUTAGE);
        }
        if outage.is_some_and(|until| Instant::now() < until) {
            return Some(How::TimesOut);
        }
        let found =
            plan.faults.iter().position(|fault| matches!(fault, Fault::Lease { at, .. } if *at == number))?;
        let Fault::Lease { how, .. } = plan.faults[found] else { return None };
        if !how.befalls(call.is_write()) {
            return None;
        }
        plan.happened[found] = true;
        Some(how)
    }

    fn fault(&self, call: &Call) -> Option<How> {
        let told = call.told();
        let mut plan = self.faults.plan();
        if let Some((busy, left)) = &mut plan.busy
            && *busy == told
        {
            *left -= 1;
            if *left == 0 {
                plan.busy = None;
            }
            return Some(How::TooMany);
        }
        let number = plan.calls.len();
        plan.calls.push(self.made(call));
        self.blur(&mut plan, number);
        let found =
            plan.faults.iter().position(|fault| matches!(fault, Fault::Call { at, .. } if *at == number))?;
        let Fault::Call { how, .. } = plan.faults[found] else { return None };
        // another order than before may have made it another call
        if !how.befalls(call.is_write()) {
            return None;
        }
        plan.happened[found] = true;
        if how == How::TooMany {
            plan.busy = Some((told, TRIES - 1));
        }
        Some(how)
    }

    fn made(&self, call: &Call) -> Made {
        Made { told: call.told(), is_write: call.is_write(), at: self.faults.clock.now() }
    }

    fn blur(&self, plan: &mut Plan, number: usize) {
        let now = Instant::now();
        for (index, fault) in plan.faults.clone().into_iter().enumerate() {
            let Fault::Watch { kind, at, blur } = fault else { continue };
            if at != number {
                continue;
            }
            let blurred = match blur {
                Blur::Frozen => Blurred::Frozen { until: now + FROZEN },
                Blur::Lags => Blurred::Lags { until: now + LAG.1 },
                Blur::Cut => Blurred::Cut,
                Blur::OldList => Blurred::Old { is_cut: false },
            };
            plan.blurred.insert(kind, (index, blurred));
            self.faults.turned.notify_waiters();
        }
    }

    /// Waits until a watch may go wrong.
    pub fn turned(&self) -> impl Future<Output = ()> + use<'_> {
        self.faults.turned.notified()
    }

    /// What a watch of a kind may tell, of which a write at `waiting` waits.
    pub fn sight(&self, kind: Kind, waiting: Option<Timestamp>) -> Sight {
        let mut guard = self.faults.plan();
        let plan = &mut *guard;
        let Some((index, blurred)) = plan.blurred.get_mut(&kind) else { return Sight::Clear };
        let (index, now) = (*index, Instant::now());
        let sight = match *blurred {
            Blurred::Frozen { until } | Blurred::Resting { until } | Blurred::Lags { until }
                if now >= until =>
            {
                plan.blurred.remove(&kind);
                return Sight::Clear;
            }
            Blurred::Frozen { until } => match waiting {
                Some(_) => Sight::Until(until),
                None => Sight::Clear,
            },
            Blurred::Resting { until } => Sight::Until(until),
            Blurred::Lags { .. } => match waiting {
                None => Sight::Clear,
                Some(at) => {
                    let age =
                        Duration::try_from(self.faults.clock.now().duration_since(at)).unwrap_or_default();
                    if age >= LAG.0 { Sight::Clear } else { Sight::Until(now + LAG.0.saturating_sub(age)) }
                }
            },
            Blurred::Cut => {
                plan.blurred.remove(&kind);
                Sight::Cut
            }
            Blurred::Old { is_cut: false } => {
                *blurred = Blurred::Old { is_cut: true };
                Sight::Cut
            }
            Blurred::Old { is_cut: true } => Sight::Clear,
        };
        if sight != Sight::Clear {
            plan.happened[index] = true;
        }
        sight
    }

    /// The version that a list of a kind is of, if it is not the present one.
    pub fn version_of_list(&self, kind: Kind, present: u64) -> u64 {
        let mut plan = self.faults.plan();
        match plan.blurred.get(&kind) {
            Some((index, Blurred::Old { is_cut: true })) => {
                let resting = Blurred::Resting { until: Instant::now() + LAG.0 };
                let index = *index;
                plan.blurred.insert(kind, (index, resting));
                present.saturating_sub(OLD).max(crate::store::FIRST)
            }
            _ => present,
        }
    }
}
