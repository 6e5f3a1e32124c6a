//! Leaving service without losing a request. In goes a snapshot of who is connected; out comes whether clients are gone and whether the
//! process may end. Pure: no clock, no client.
//!
//! A server that closes an idle connection can cross a request that is being written to it, and a client may not send a
//! POST again. So no connection is closed while it is in use: each gets one more answer, with `Connection: close`, and the
//! client closes it or opens its next one elsewhere. Only a connection on which nothing came for [`IDLE`] is given up:
//! clients that send more seldom than that notice the close before they write.

use std::time::Duration;

/// Without any connection: the time in which one that was on its way would have arrived.
pub const QUIET: Duration = Duration::from_secs(2);
/// With open connections: the silence after which they are taken for forgotten.
pub const IDLE: Duration = Duration::from_secs(5);
/// After SIGTERM, new connections are accepted for at least this long: endpoint controllers, kube-proxy and load
/// balancers learn of the pod's end at the same time as the pod, and act on it a second or two later.
pub const ACCEPT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub in_flight: i64,
    pub connections: i64,
    /// Answers that are written and that their clients have not received yet.
    pub sending: i64,
    /// Time since a request began or ended.
    pub quiet: Duration,
}

impl Snapshot {
    /// Whether no client is left.
    pub fn is_drained(self) -> bool {
        self.in_flight <= 0
            && self.sending <= 0
            && (self.quiet >= IDLE || self.connections <= 0 && self.quiet >= QUIET)
    }
}

/// What a process that was told to stop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Wait,
    Drained,
    TimedOut,
}

/// Decides. `since` is the time since the signal, `drained_before` whether no client was left by then already.
pub fn plan_stop(snapshot: Snapshot, since: Duration, drained_before: bool, timeout: Duration) -> Stop {
    if snapshot.is_drained() && (drained_before || since >= ACCEPT) {
        Stop::Drained
    } else if since >= timeout {
        Stop::TimedOut
    } else {
        Stop::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(in_flight: i64, connections: i64, quiet: f64) -> Snapshot {
        Snapshot { in_flight, connections, sending: 0, quiet: Duration::from_secs_f64(quiet) }
    }

    #[test]
    fn clients_are_gone_when_nothing_is_open_or_all_that_is_open_is_silent() {
        for (snapshot, drained) in [
            (snapshot(0, 0, 2.0), true),
            (snapshot(0, 0, 1.9), false),
            (snapshot(0, 3, 4.9), false),
            (snapshot(0, 3, 5.0), true),
            (snapshot(1, 1, 60.0), false),
            // read by a client that takes its time, and closed on our side
            (Snapshot { sending: 1, ..snapshot(0, 1, 60.0) }, false),
            (Snapshot { sending: 1, ..snapshot(0, 0, 60.0) }, false),
        ] {
            assert_eq!(snapshot.is_drained(), drained, "{snapshot:?}");
        }
    }

    #[test]
    fn new_connections_are_accepted_for_a_while_after_the_signal_unless_clients_were_gone_before() {
        let timeout = Duration::from_secs(30);
        let idle = snapshot(0, 0, 100.0);
        assert_eq!(plan_stop(idle, Duration::from_secs(1), false, timeout), Stop::Wait);
        assert_eq!(plan_stop(idle, ACCEPT, false, timeout), Stop::Drained);
        assert_eq!(plan_stop(idle, Duration::ZERO, true, timeout), Stop::Drained);
    }

    #[test]
    fn a_drain_ends_at_its_timeout() {
        let busy = snapshot(2, 2, 0.0);
        assert_eq!(plan_stop(busy, Duration::from_secs(29), false, Duration::from_secs(30)), Stop::Wait);
        assert_eq!(plan_stop(busy, Duration::from_secs(30), true, Duration::from_secs(30)), Stop::TimedOut);
    }
}
