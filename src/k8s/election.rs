//! Leader election beside everything else: an [`Elector`] at work in a task, or on a thread of its own, where nothing that the
//! process is busy with delays a renewal.

use std::{future::pending, io, thread};

use tokio::sync::oneshot;

use super::lease::Elector;

/// An elector at work. It ends, without a further write, when this is dropped.
#[derive(Debug)]
pub struct Election {
    started: oneshot::Receiver<Result<(), kube::Error>>,
    stopped: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
    released: oneshot::Receiver<Result<(), kube::Error>>,
}

/// The elector's ends of the same.
struct Course {
    started: oneshot::Sender<Result<(), kube::Error>>,
    stopped: oneshot::Sender<()>,
    release: oneshot::Receiver<()>,
    released: oneshot::Sender<Result<(), kube::Error>>,
}

impl Election {
    fn new() -> (Self, Course) {
        let (started, when_started) = oneshot::channel();
        let (stopped, when_stopped) = oneshot::channel();
        let (release, when_asked) = oneshot::channel();
        let (released, when_released) = oneshot::channel();
        let election =
            Self { started: when_started, stopped: when_stopped, release, released: when_released };
        (election, Course { started, stopped, release: when_asked, released })
    }

    /// In a task of this runtime.
    pub fn spawn(elector: Elector) -> Self {
        let (election, course) = Self::new();
        tokio::spawn(course.run(elector));
        election
    }

    /// On a thread of its own, where the elector is made, since its client works where it is made.
    pub fn on_a_thread(
        make: impl FnOnce() -> Result<Elector, kube::Error> + Send + 'static,
    ) -> Result<Self, io::Error> {
        let (election, course) = Self::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = async {
            match make() {
                Ok(elector) => course.run(elector).await,
                Err(error) => _ = course.started.send(Err(error)),
            }
        };
        thread::Builder::new().name("lease".into()).spawn(move || runtime.block_on(work))?;
        Ok(election)
    }

    /// Waits until the Lease is held; fails where its client cannot be made.
    pub async fn started(&mut self) -> Result<(), kube::Error> {
        let ended = |_| kube::Error::Service("the leader election ended".into());
        (&mut self.started).await.map_err(ended)?
    }

    /// Waits until the Lease is lost.
    pub async fn stopped(&mut self) {
        // its end by itself is a loss, too: nobody renews any more
        _ = (&mut self.stopped).await;
    }

    /// Gives the Lease back, so that another replica need not wait for its end.
    pub async fn release(self) -> Result<(), kube::Error> {
        let Self { release, released, .. } = self;
        _ = release.send(());
        // one that has ended holds nothing
        released.await.unwrap_or(Ok(()))
    }
}

impl Course {
    async fn run(self, mut elector: Elector) {
        let Self { started, stopped, release, released } = self;
        let works = async {
            elector.acquire().await;
            _ = started.send(Ok(()));
            elector.hold().await;
            _ = stopped.send(());
            pending::<()>().await;
        };
        let is_asked = tokio::select! {
            biased;
            asked = release => asked.is_ok(),
            () = works => false,
        };
        if is_asked {
            _ = released.send(elector.release().await);
        }
    }
}
