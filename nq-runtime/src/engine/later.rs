//! What a part of the store that is away has not answered: it is sent again in a later turn, and holds up nothing of
//! the other runs.

use std::collections::VecDeque;
use std::time::Duration;

use nq_core::id::RunId;
use nq_core::transaction::Renewal;
use tokio::time::Instant;

use super::{Engine, MAX_BACKOFF, Waiting};

/// The pause before something is sent again for the first time.
const FIRST: Duration = Duration::from_millis(20);

/// Writes and renewals that wait for a part of the store to come back.
#[derive(Default)]
pub(super) struct Later {
    writes: VecDeque<Waiting>,
    renewals: Vec<Renewal>,
    /// When they are sent again; none if nothing waits.
    at: Option<Instant>,
    pause: Duration,
}

impl Later {
    /// Sends this write again, in its turn.
    pub(super) fn write(&mut self, write: Waiting) {
        self.writes.push_back(write);
        self.again();
    }

    /// Renews this lease again.
    pub(super) fn renewal(&mut self, renewal: Renewal) {
        self.renewals.push(renewal);
        self.again();
    }

    /// Whether writes of this run wait: what comes behind them must not pass them.
    pub(super) fn holds(&self, run: &RunId) -> bool {
        self.writes.iter().any(|write| write.tx.run == *run)
    }

    /// When something is sent again.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Whether no write waits.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The instance stops: what waits is done again after its leases.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn again(&mut self) {
        if self.at.is_none() {
            self.pause = (self.pause * 2).clamp(FIRST, MAX_BACKOFF);
            self.at = Some(Instant::now() + self.pause);
        }
    }
}

impl Engine {
    /// Puts what is to be sent again before what has come since.
    pub(super) fn take_up_later(&mut self, now: Instant) {
        if self.later.at.is_none_or(|at| now < at) {
            return;
        }
        self.later.at = None;
        self.to_renew.extend(self.later.renewals.drain(..));
        while let Some(write) = self.later.writes.pop_back() {
            self.writes.push_front(write);
        }
    }

    /// Nothing was left unanswered: the next pause is a short one.
    pub(super) fn all_answered(&mut self) {
        if self.later.at.is_none() {
            self.later.pause = Duration::ZERO;
        }
    }
}
