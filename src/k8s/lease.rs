//! Leader election by a `coordination.k8s.io/v1` Lease: 15 s long, renewed every 2 s, given up when 10 s pass without a
//! renewal. Needs a client, one without retries.
//!
//! Whether another holder is gone is judged by this process's own clock (the record did not change for as long as it is
//! valid), so clocks that disagree between nodes do no harm.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;

use crate::clock::Clock;

/// For how long a renewal is valid.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// Past this time without a renewal the process stops writing and exits.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between renewals.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// Longest that one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// A Lease that was not renewed for so long, by the clocks of two nodes, has no holder that lives.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(10);

/// Whether this process may write; every write asks first.
#[derive(Clone, Debug, Default)]
pub struct Leadership {
    valid_until: Arc<Mutex<Option<Instant>>>,
}

/// The Lease is not, or no longer, held.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the lease is not held any longer")]
pub struct NotLeading;

impl Leadership {
    /// Refuses once the last renewal is older than [`RENEW_DEADLINE`].
    pub fn check(&self) -> Result<(), NotLeading> {
        match *self.lock() {
            Some(valid_until) if Instant::now() < valid_until => Ok(()),
            _ => Err(NotLeading),
        }
    }

    /// Leadership that holds from `now` until [`RENEW_DEADLINE`] later.
    pub fn renew(&self, now: Instant) {
        *self.lock() = Some(now + RENEW_DEADLINE);
    }

    /// Ends leadership at once.
    pub fn resign(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do with a Lease that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Take,
    Renew,
    Wait,
}

/// A record as it was first seen by this process.
#[derive(Clone, Debug, PartialEq)]
struct Sighting {
    spec: LeaseSpec,
    at: Instant,
}

/// Takes, renews and releases the Lease.
pub struct Elector {
    leases: Api<Lease>,
    manager: &'static str,
    name: String,
    identity: String,
    leadership: Leadership,
    sighting: Option<Sighting>,
    clock: Clock,
}

impl Elector {
    /// An elector that does not hold the Lease yet. The client of `leases` must not retry. `manager` is the field manager,
    /// and the name of the Lease unless another one is asked for; of operators of before, whatever their release is called.
    pub fn new(leases: Api<Lease>, manager: &'static str, identity: String, leadership: Leadership) -> Self {
        let name = manager.to_owned();
        Self { leases, manager, name, identity, leadership, sighting: None, clock: Clock::default() }
    }

    /// With a Lease of this name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// By this clock.
    #[must_use]
    pub fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Waits until the Lease is held.
    pub async fn acquire(&mut self) {
        if self.name != self.manager {
            self.outlast_predecessor().await;
        }
        let mut reported = None;
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    let text = error.to_string();
                    if reported.as_ref() != Some(&text) {
                        tracing::warn!(%error, "the lease cannot be read or written; trying on");
                        reported = Some(text);
                    }
                }
            }
            tokio::time::sleep(RETRY_PERIOD).await;
        }
    }

    /// Waits until no process of this release leads under the name of the manager, as one of before does during an upgrade. That one
    /// has no right any more to renew it, so it stops by itself.
    async fn outlast_predecessor(&self) {
        let mut sighting: Option<Sighting> = None;
        loop {
            let now = Instant::now();
            let read = tokio::time::timeout(REQUEST_TIMEOUT, self.leases.get_opt(self.manager)).await;
            match read {
                Ok(Ok(lease)) => {
                    let spec = lease.and_then(|lease| lease.spec).unwrap_or_default();
                    if !is_of_predecessor(&spec, &self.identity, self.clock.now())
                        || decide(&spec, &self.identity, sighting.as_ref(), now) != Step::Wait
                    {
                        return;
                    }
                    if sighting.as_ref().is_none_or(|seen| seen.spec != spec) {
                        let holder = spec.holder_identity.as_deref().unwrap_or_default();
                        tracing::info!(
                            holder,
                            lease = self.manager,
                            "waiting for the operator of before to stop"
                        );
                        sighting = Some(Sighting { spec, at: now });
                    }
                }
                // who wrote the rights by hand gave none on it
                Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => return,
                Ok(Err(error)) => {
                    tracing::warn!(%error, lease = self.manager, "the lease cannot be read; trying on");
                }
                Err(_) => {
                    tracing::warn!(lease = self.manager, "the API server did not answer in time; trying on");
                }
            }
            tokio::time::sleep(RETRY_PERIOD).await;
        }
    }

    /// Renews the Lease until it is lost; returns then.
    pub async fn hold(&mut self) {
        loop {
            tokio::time::sleep(RETRY_PERIOD).await;
            match self.attempt().await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::error!("another process holds the lease");
                    self.leadership.resign();
                }
                Err(error) => tracing::warn!(%error, "the lease was not renewed"),
            }
            if self.leadership.check().is_err() {
                return;
            }
        }
    }

    /// Gives the Lease back, so that another replica need not wait for its end.
    pub async fn release(&mut self) -> Result<(), kube::Error> {
        self.leadership.resign();
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_mut() else { return Ok(()) };
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        self.leases.replace(&self.name, &self.parameters(), &lease).await.map(drop)
    }

    fn parameters(&self) -> PostParams {
        PostParams { field_manager: Some(self.manager.into()), ..PostParams::default() }
    }

    /// One read and, where it is called for, one write. `true` where the Lease is held now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        match tokio::time::timeout(REQUEST_TIMEOUT, self.attempt_once()).await {
            Ok(result) => result,
            Err(_) => Err(kube::Error::Service("the API server did not answer in time".into())),
        }
    }

    async fn attempt_once(&mut self) -> Result<bool, kube::Error> {
        // validity counts from before the request: the server may have stored it at any time since
        let now = Instant::now();
        let written = match self.leases.get_opt(&self.name).await? {
            None => {
                let lease = Lease {
                    metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                    spec: Some(taken(&self.identity, None, self.clock.now())),
                };
                self.leases.create(&self.parameters(), &lease).await
            }
            Some(mut lease) => {
                let spec = lease.spec.clone().unwrap_or_default();
                match decide(&spec, &self.identity, self.sighting.as_ref(), now) {
                    Step::Wait => {
                        if self.sighting.as_ref().is_none_or(|seen| seen.spec != spec) {
                            tracing::info!(
                                holder = spec.holder_identity.as_deref().unwrap_or_default(),
                                "standing by"
                            );
                            self.sighting = Some(Sighting { spec, at: now });
                        }
                        return Ok(false);
                    }
                    step => {
                        let previous = (step == Step::Renew).then_some(&spec);
                        let taken_over = step == Step::Take;
                        let mut next = taken(&self.identity, previous, self.clock.now());
                        next.lease_transitions =
                            Some(spec.lease_transitions.unwrap_or(0) + i32::from(taken_over));
                        lease.spec = Some(next);
                        // carries the resourceVersion that was read: of two takers one fails
                        self.leases.replace(&self.name, &self.parameters(), &lease).await
                    }
                }
            }
        };
        match written {
            Ok(_) => {
                self.leadership.renew(now);
                self.sighting = None;
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                // somebody else was first; the next read tells who
                Ok(self.leadership.check().is_ok())
            }
            Err(error) => Err(error),
        }
    }
}

fn taken(identity: &str, previous: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
    let acquired = previous.and_then(|spec| spec.acquire_time.clone()).unwrap_or(MicroTime(now));
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        acquire_time: Some(acquired),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(0),
        ..LeaseSpec::default()
    }
}

fn decide(spec: &LeaseSpec, identity: &str, sighting: Option<&Sighting>, now: Instant) -> Step {
    match spec.holder_identity.as_deref() {
        None | Some("") => Step::Take,
        Some(holder) if holder == identity => Step::Renew,
        Some(_) => match sighting {
            Some(seen) if seen.spec == *spec && now.duration_since(seen.at) > validity(spec) => Step::Take,
            _ => Step::Wait,
        },
    }
}

/// Whether the holder of a Lease may be a living process of the same Deployment as `identity`, which is a pod's name.
fn is_of_predecessor(spec: &LeaseSpec, identity: &str, now: Timestamp) -> bool {
    let deployment = |pod: &str| pod.rsplitn(3, '-').nth(2).map(str::to_owned);
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let is_forgotten = spec.renew_time.as_ref().is_some_and(|time| now.duration_since(time.0) > FORGOTTEN);
    !is_forgotten && deployment(holder).is_some_and(|name| Some(name) == deployment(identity))
}

fn validity(spec: &LeaseSpec) -> Duration {
    spec.lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(LEASE_DURATION, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_only_when_it_did_not_change_for_its_whole_length() {
        let start = Instant::now();
        let spec = held_by("other");
        let seen = Sighting { spec: spec.clone(), at: start };
        let decide_after = |seconds, seen: Option<&Sighting>| {
            decide(&spec, "me", seen, start + Duration::from_secs(seconds))
        };
        assert_eq!(decide_after(100, None), Step::Wait, "a first sight proves nothing");
        assert_eq!(decide_after(15, Some(&seen)), Step::Wait);
        assert_eq!(decide_after(16, Some(&seen)), Step::Take);
        let renewed = Sighting { spec: LeaseSpec { lease_transitions: Some(7), ..spec.clone() }, at: start };
        assert_eq!(decide_after(16, Some(&renewed)), Step::Wait, "it changed since");
    }

    #[test]
    fn a_released_lease_is_taken_and_our_own_renewed() {
        let now = Instant::now();
        assert_eq!(decide(&held_by(""), "me", None, now), Step::Take);
        assert_eq!(decide(&LeaseSpec::default(), "me", None, now), Step::Take);
        assert_eq!(decide(&held_by("me"), "me", None, now), Step::Renew);
    }

    #[test]
    fn a_predecessor_is_a_pod_of_the_same_deployment_that_renewed_lately() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let renewed = |holder: &str, seconds: i64| LeaseSpec {
            renew_time: Some(MicroTime(now - SignedDuration::from_secs(seconds))),
            ..held_by(holder)
        };
        let me = "team-modelwright-6d5f8b-x2x4z";
        for (holder, seconds, is_one) in [
            ("team-modelwright-7c9d4f-aaaaa", 5, true),
            ("team-modelwright-7c9d4f-aaaaa", 601, false),
            ("modelwright-7c9d4f-aaaaa", 5, false),
            ("other-team-modelwright-7c9d4f-aaaaa", 5, false),
            ("modelwright", 5, false),
            ("", 5, false),
        ] {
            assert_eq!(is_of_predecessor(&renewed(holder, seconds), me, now), is_one, "{holder} {seconds}");
        }
        assert!(!is_of_predecessor(&LeaseSpec::default(), me, now));
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_ten_seconds_after_the_last_renewal() {
        let leadership = Leadership::default();
        assert!(leadership.check().is_err());
        leadership.renew(Instant::now());
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(leadership.check().is_ok());
        tokio::time::advance(Duration::from_millis(2)).await;
        assert!(leadership.check().is_err());
        leadership.renew(Instant::now());
        leadership.resign();
        assert!(leadership.check().is_err());
    }
}
