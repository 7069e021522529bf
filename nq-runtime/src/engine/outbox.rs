//! What waits to be sent to the store: the writes of the next turns, and the writes and renewals that a part of the store
//! which is away has not answered. These are sent again in a later turn, and do not hold up other runs.

use std::collections::VecDeque;
use std::time::Duration;

use nq_core::id::RunId;
use nq_core::limits;
use nq_core::store::{Answer, StartAnswer};
use nq_core::transaction::{Renewal, Start, Transaction};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::outage::MAX_BACKOFF;

/// The pause before something is sent again for the first time.
const FIRST: Duration = Duration::from_millis(20);

/// A start that waits for a turn.
pub(super) struct WaitingStart {
    pub(super) start: Start,
    /// How many bytes of payload it has, about.
    pub(super) bytes: usize,
    /// Who waits for the answer.
    pub(super) reply: oneshot::Sender<StartAnswer>,
}

/// A write that waits for a turn.
pub(super) struct Waiting {
    pub(super) tx: Transaction,
    /// How many bytes of payload it has, about.
    pub(super) bytes: usize,
    /// Where the answer goes, if somebody waits for it. Nobody waits for the answer to the end of an attempt.
    pub(super) reply: Option<oneshot::Sender<Answer>>,
}

impl Waiting {
    /// A write whose answer nobody waits for.
    pub(super) fn alone(tx: Transaction) -> Self {
        Self { tx, bytes: 0, reply: None }
    }
}

/// The starts and writes that wait for a turn.
#[derive(Default)]
pub(super) struct Outbox {
    starts: VecDeque<WaitingStart>,
    writes: VecDeque<Waiting>,
    later: Later,
}

/// Writes and renewals that wait for a part of the store to come back.
#[derive(Default)]
struct Later {
    writes: VecDeque<Waiting>,
    renewals: Vec<Renewal>,
    /// When they are sent again; none if nothing waits.
    at: Option<Instant>,
    pause: Duration,
}

impl Outbox {
    /// Sends a write with the next turns.
    pub(super) fn push(&mut self, write: Waiting) {
        self.writes.push_back(write);
    }

    /// Begins a run with the next turns.
    pub(super) fn push_start(&mut self, start: WaitingStart) {
        self.starts.push_back(start);
    }

    /// Whether nothing waits for the next turn.
    pub(super) fn is_idle(&self) -> bool {
        self.writes.is_empty() && self.starts.is_empty()
    }

    /// Whether nothing waits at all.
    pub(super) fn is_empty(&self) -> bool {
        self.is_idle() && self.later.writes.is_empty()
    }

    /// The writes of one turn: as many as wait, up to the limits; a larger one goes by itself.
    pub(super) fn batch(&mut self) -> Vec<Waiting> {
        let mut batch = Vec::new();
        let (mut weight, mut bytes) = (0, 0);
        while let Some(next) = self.writes.front() {
            if self.later.holds(&next.tx.run) {
                if let Some(write) = self.writes.pop_front() {
                    self.write_later(write);
                }
                continue;
            }
            weight += next.tx.weight();
            bytes += next.bytes;
            let full = weight > limits::MAX_TURN_WRITES || bytes > limits::MAX_TURN_BYTES;
            if full && !batch.is_empty() {
                break;
            }
            batch.extend(self.writes.pop_front());
        }
        batch
    }

    /// The starts that the same turn takes along, beside writes of so many bytes.
    pub(super) fn batch_of_starts(&mut self, writes: usize, mut bytes: usize) -> Vec<WaitingStart> {
        let mut batch = Vec::new();
        while let Some(next) = self.starts.front() {
            bytes += next.bytes;
            let full = writes + batch.len() >= limits::MAX_TURN_WRITES || bytes > limits::MAX_TURN_BYTES;
            if full && writes + batch.len() > 0 {
                break;
            }
            batch.extend(self.starts.pop_front());
        }
        batch
    }

    /// Sends this write again, in its turn.
    pub(super) fn write_later(&mut self, write: Waiting) {
        self.later.writes.push_back(write);
        self.later.plan();
    }

    /// Renews this lease again.
    pub(super) fn renew_later(&mut self, renewal: Renewal) {
        self.later.renewals.push(renewal);
        self.later.plan();
    }

    /// When something is sent again.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.later.at
    }

    /// Puts what is to be sent again by now before what has come since, and gives the renewals among it.
    pub(super) fn take_up(&mut self, now: Instant) -> Vec<Renewal> {
        if self.later.at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.later.at = None;
        while let Some(write) = self.later.writes.pop_back() {
            self.writes.push_front(write);
        }
        std::mem::take(&mut self.later.renewals)
    }

    /// A turn was answered. If no part of it was left unanswered, the next pause is a short one.
    pub(super) fn answered(&mut self) {
        if self.later.at.is_none() {
            self.later.pause = Duration::ZERO;
        }
    }

    /// The time of a shutdown is over. Writes that a part of the store has not answered are dropped; another instance runs
    /// these steps again once the leases expire.
    pub(super) fn give_up(&mut self) {
        if !self.later.writes.is_empty() {
            tracing::warn!(
                "a part of the store is away: other instances run the finished steps there again after the lease"
            );
            self.later = Later::default();
        }
    }
}

impl Later {
    /// Whether writes of this run wait. Later writes of the run must not overtake them.
    fn holds(&self, run: &RunId) -> bool {
        self.writes.iter().any(|write| write.tx.run == *run)
    }

    /// Plans to send the waiting writes and renewals again, after a pause that grows.
    fn plan(&mut self) {
        if self.at.is_none() {
            self.pause = (self.pause * 2).clamp(FIRST, MAX_BACKOFF);
            self.at = Some(Instant::now() + self.pause);
        }
    }
}
