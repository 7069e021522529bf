//! How an engine stops: within its time, whether the store answers or not.

use nq_core::store::{ErrorKind, StoreError};

use super::Engine;
use crate::patience::Pauses;

/// How many times an instance tries `Store::leave`.
const LEAVE_TRIES: u32 = 6;

impl Engine {
    /// Works until the instance stops. Once it is told to, a store that does not answer holds it up no longer than
    /// the shutdown may take.
    pub(super) async fn run(&mut self) -> Result<(), StoreError> {
        let too_late = self.stopping.over();
        let result = tokio::select! {
            biased;
            result = self.work() => result,
            () = too_late => {
                let message = "the store did not answer before the time of the shutdown was over: what has finished \
                               is done again, and what ran is taken over, when the leases run out";
                Err(StoreError::new(ErrorKind::Unavailable, "leave", message))
            }
        };
        if self.stopping.is_runtime_gone() {
            let message = "the runtime that the workers of the instance ran on is gone: keep it for as long as the instance, \
                           and shut the instance down before it";
            return Err(StoreError::new(ErrorKind::Closed, "run", message));
        }
        result
    }

    /// Tells the store that the instance has left. If this fails, others wait for its leases, so it is worth a few tries.
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
