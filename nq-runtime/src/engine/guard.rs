//! Tells the engine exactly once that an attempt has ended, whatever happens to the task that it ran on. If nothing told
//! the engine, it would renew the lease for ever.

use nq_core::decide;
use nq_core::id::{RunId, StepId};
use nq_core::store::Lease;
use tokio_util::sync::CancellationToken;

use crate::link::{Link, Message};

/// Tells the engine that an attempt is over: by [`Guard::tell`], or when it is dropped with its task.
pub(super) struct Guard {
    pub(super) link: Link,
    /// The run, step, fence and number of the attempt; none once the engine was told. It is small, since it moves with the
    /// task.
    pub(super) untold: Option<(RunId, StepId, u64, u32)>,
    /// Fires when the attempt is over, for tasks that outlive it and wait for `stopping`.
    pub(super) stop: CancellationToken,
}

impl Guard {
    /// The guard of the attempt of this lease.
    pub(super) fn new(link: Link, lease: &Lease, stop: CancellationToken) -> Self {
        let untold = (lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt);
        Self { link, untold: Some(untold), stop }
    }

    /// Tells the engine how the attempt ended.
    pub(super) fn tell(mut self, end: Message) {
        self.untold = None;
        self.link.send(end);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.cancel();
        let Some((run, step, fence, number)) = self.untold.take() else { return };
        let tx = decide::give_back(run, step, fence, number);
        self.link.send(Message::Write { tx, bytes: 0, reply: None });
        if !std::thread::panicking() {
            // Only a runtime that ends drops a task that is not over.
            self.link.send(Message::RuntimeGone);
        }
    }
}

/// Tells the engine when the runtime that it was spawned on ends.
pub(super) struct Sentinel(pub(super) Link);

impl Sentinel {
    /// Stays until the engine is gone, or the runtime.
    pub(super) async fn stay(self) {
        self.0.closed().await;
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.0.send(Message::RuntimeGone);
    }
}
