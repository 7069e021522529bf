//! What the engine waits for when it has nothing to do: messages of attempts and of the program, the moment at which
//! something is due, a hint of the store, and the job that its offer may bring.

use std::sync::Arc;
use std::time::Duration;

use nq_core::store::{Interest, Offer, Store, StoreError, Take};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::begin::Door;
use crate::link::Message;

/// How long an instance waits for a hint before it sends a turn anyway.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long it waits after a hint has failed before it asks for another.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// What the engine has learned from its waits.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// How many times in a row a hint led to nothing.
    false_hints: u32,
    /// Whether an offer may have brought a job of which the engine does not know yet.
    offered: bool,
}

/// Why a wait is over.
pub(super) enum Woken {
    /// A message has come.
    Told(Message),
    /// The store hints that there may be jobs, or its hint failed.
    Hint(Result<(), StoreError>),
    /// Something is due, or the instance stops.
    Due,
}

impl Waits {
    /// A turn is over. It did nothing if it was `idle`.
    pub(super) fn turn(&mut self, idle: bool) {
        self.false_hints = if idle { self.false_hints + 1 } else { 0 };
    }

    /// Whether the jobs of this turn may come from an offer. True at most once after each offer.
    pub(super) fn was_offered(&mut self) -> bool {
        std::mem::take(&mut self.offered)
    }

    /// Waits. `offer` names the queues from which the engine can take jobs. With a `door`, it offers to take one before its
    /// next turn.
    pub(super) async fn wait(
        &mut self,
        messages: &mut mpsc::UnboundedReceiver<Message>,
        stop: impl Future<Output = ()>,
        until: Instant,
        store: &Arc<dyn Store>,
        offer: Offer,
        door: Option<Arc<Door>>,
    ) -> Woken {
        self.offered = door.is_some();
        tokio::select! {
            biased;
            Some(message) = messages.recv() => Woken::Told(message),
            () = stop => Woken::Due,
            () = sleep_until(until) => Woken::Due,
            hint = self.hint(&**store, offer, door) => Woken::Hint(hint),
        }
    }

    /// Returns when the store has a hint.
    async fn hint(&self, store: &dyn Store, offer: Offer, door: Option<Arc<Door>>) -> Result<(), StoreError> {
        if offer.queues.is_empty() {
            std::future::pending::<()>().await;
        }
        // A hint that has led to nothing several times may be wrong for ever, and must not cause a busy loop.
        if self.false_hints > 2 {
            tokio::time::sleep(Duration::from_millis(u64::from(self.false_hints.min(50)))).await;
        }
        match door {
            Some(door) => {
                let take: Take = Arc::new(move |lease| door.enter(lease));
                store.offer(&offer, &take, LOOK_EVERY).await
            }
            None => store.wait(&Interest::Queues(offer.queues), LOOK_EVERY).await,
        }
    }

    /// The job of the offer came in by the door.
    pub(super) fn took(&mut self) {
        self.offered = false;
    }
}

/// Waits a moment after a hint has failed.
pub(super) async fn after_error() {
    tokio::time::sleep(AFTER_ERROR).await;
}
