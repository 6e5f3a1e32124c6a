//! Steady load over keep-alive connections. In goes an endpoint; out comes what the clients saw.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::predict::Endpoint;

/// Clients, each with a connection of its own.
const CLIENTS: usize = 6;
/// Time from one request of a client to its next.
const PACE: Duration = Duration::from_millis(15);

/// What the clients saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were not, or not with 200.
    pub failures: Vec<String>,
    /// Answers by version.
    pub versions: BTreeMap<u64, u64>,
}

/// Load under way.
pub struct Load {
    stop: watch::Sender<bool>,
    progress: watch::Receiver<Seen>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts clients that go on until [`Load::stop`].
    pub fn start(endpoint: &Endpoint) -> Self {
        Self::paced(endpoint, CLIENTS, PACE)
    }

    /// [`Load::start`] for a test that needs the machine for other things: a request every few hundredths of a second.
    pub fn gentle(endpoint: &Endpoint) -> Self {
        Self::paced(endpoint, 2, 3 * PACE)
    }

    fn paced(endpoint: &Endpoint, count: usize, pace: Duration) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (report, progress) = watch::channel(Seen::default());
        let report = Arc::new(report);
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let (endpoint, stopped, report) = (endpoint.clone(), stopped.clone(), report.clone());
            clients.spawn(async move { client(endpoint, pace, stopped, report).await });
        }
        Self { stop, progress, clients }
    }

    /// Waits until this many further requests were answered.
    pub async fn answers(&mut self, more: u64) {
        self.reaches(&format!("{more} further answers"), |start, now| now.answered >= start.answered + more)
            .await;
    }

    /// Waits until this many further answers came from a version.
    pub async fn answers_of(&mut self, version: u64, more: u64) {
        let count = |seen: &Seen| seen.versions.get(&version).copied().unwrap_or_default();
        self.reaches(&format!("{more} answers of version {version}"), |start, now| {
            count(now) >= count(start) + more
        })
        .await;
    }

    async fn reaches(&mut self, what: &str, holds: impl Fn(&Seen, &Seen) -> bool) {
        let start = self.progress.borrow().clone();
        let reached =
            tokio::time::timeout(Duration::from_mins(1), self.progress.wait_for(|now| holds(&start, now)));
        let in_time = reached.await.is_ok();
        assert!(in_time, "no {what} within a minute: {:?}", *self.progress.borrow());
    }

    /// Ends the load, and gives what it saw.
    pub async fn stop(mut self) -> Seen {
        let _ = self.stop.send(true);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
        self.progress.borrow().clone()
    }
}

async fn client(
    endpoint: Endpoint,
    pace: Duration,
    stopped: watch::Receiver<bool>,
    report: Arc<watch::Sender<Seen>>,
) {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .expect("a client can be made");
    let mut pace = interval(pace);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        pace.tick().await;
        let outcome = endpoint.predict(&http, [1.0, 2.0, 3.0, 4.0]).await;
        report.send_modify(|seen| match outcome {
            Ok(prediction) => {
                seen.answered += 1;
                *seen.versions.entry(prediction.version).or_default() += 1;
            }
            Err(error) => seen.failures.push(error),
        });
    }
}

impl Seen {
    /// Checks that there was load, and that none of it was lost.
    #[track_caller]
    pub fn assert_nothing_lost(&self, at_least: u64) {
        assert!(
            self.failures.is_empty(),
            "{} of {} requests failed: {:?}",
            self.failures.len(),
            self.answered + self.failures.len() as u64,
            self.failures.iter().take(5).collect::<Vec<_>>()
        );
        assert!(
            self.answered >= at_least,
            "only {} requests were answered, at least {at_least} were meant",
            self.answered
        );
    }
}
