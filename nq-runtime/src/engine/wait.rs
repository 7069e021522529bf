//! What the engine waits for when it has nothing to do: what attempts and the program tell it, a moment at which
//! something is due, a hint of the store, and the job that its offer may bring.

use std::sync::Arc;
use std::time::Duration;

use nq_core::store::{Interest, Offer, Store, StoreError, Take};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::begin::Door;
use crate::link::Message;

/// How long an instance waits for a hint before it looks for itself.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long it leaves a store alone whose hint failed.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// What the engine has learned from its waits.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// How many times in a row a hint led to nothing.
    false_hints: u32,
    /// Whether an offer may have brought a job that is not known yet.
    offered: bool,
}

/// Why a wait is over.
pub(super) enum Woken {
    /// The engine was told something.
    Told(Message),
    /// The store says that there may be jobs, or cannot say.
    Hint(Result<(), StoreError>),
    /// Something is due, or the instance stops.
    Due,
}

impl Waits {
    /// A turn is over, which did nothing if it was `idle`.
    pub(super) fn turn(&mut self, idle: bool) {
        self.false_hints = if idle { self.false_hints + 1 } else { 0 };
    }

    /// Whether an offer may have brought what the turn has got. Asked once after each offer.
    pub(super) fn was_offered(&mut self) -> bool {
        std::mem::take(&mut self.offered)
    }

    /// Waits. `offer` says of which queues the engine can take jobs; with a `door`, it offers to take one ahead of its
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
        // A hint that led to nothing several times may be stuck: it must not make a busy loop.
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

/// Leaves a store alone for a moment whose hint failed.
pub(super) async fn after_error() {
    tokio::time::sleep(AFTER_ERROR).await;
}
