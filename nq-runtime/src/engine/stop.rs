//! How an engine stops: within its time, whether the store answers or not.

use std::time::Duration;

use nq_core::store::{ErrorKind, StoreError};
use tokio::time::Instant;

use super::handle::Stop;
use super::{Engine, after};
use crate::patience::Pauses;

/// How long an attempt that is ended may take to say so before its job is handed back without it.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// How often an instance tries to take leave of the store.
const LEAVE_TRIES: u32 = 6;

/// The moments of a shutdown.
#[derive(Clone, Copy, Debug)]
pub(super) struct StopBy {
    /// Running steps are ended.
    pub(super) kill: Instant,
    /// The jobs of those that block their thread are handed back without them.
    pub(super) stuck: Instant,
}

impl StopBy {
    /// Those of a shutdown that begins now.
    pub(super) fn of(stop: Stop) -> Self {
        let kill = after(Instant::now(), stop.finish);
        Self { kill, stuck: after(kill, STUCK_AFTER.min(stop.end.saturating_sub(stop.finish) / 2)) }
    }
}

impl Engine {
    /// Works until the instance stops. Once it is told to, a store that does not answer holds it up no longer than
    /// the shutdown may take.
    pub(super) async fn run(&mut self) -> Result<(), StoreError> {
        let mut stopping = self.stopping.clone();
        let too_late = async move {
            let Some(end) =
                stopping.wait_for(Option::is_some).await.ok().and_then(|stop| stop.map(|s| s.end))
            else {
                return std::future::pending().await;
            };
            tokio::time::sleep(end).await;
        };
        let result = tokio::select! {
            biased;
            result = self.work() => result,
            () = too_late => {
                let message = "the store did not answer before the time of the shutdown was over: what has finished \
                               is done again, and what ran is taken over, when the leases run out";
                Err(StoreError::new(ErrorKind::Unavailable, "leave", message))
            }
        };
        if self.runtime_gone {
            let message = "the runtime that the workers of the instance ran on is gone: keep it for as long as the instance, \
                           and shut the instance down before it";
            return Err(StoreError::new(ErrorKind::Closed, "run", message));
        }
        result
    }

    /// Takes leave of the store. What that spares others is worth a few tries.
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        let mut pauses = Pauses::default();
        for _ in 1..LEAVE_TRIES {
            match self.shared.store.leave(&self.settings.instance).await {
                Err(error) if error.is_retryable() => pauses.pause().await,
                left => return left,
            }
        }
        self.shared.store.leave(&self.settings.instance).await
    }
}
