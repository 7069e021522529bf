//! The turns of an engine: one call commits what it has finished, renews its leases, and leases jobs.

use std::time::Duration;

use nq_core::decide;
use nq_core::id::RunId;
use nq_core::limits;
use nq_core::store::{Answer, StartAnswer, StoreError, TurnReply};
use nq_core::transaction::{Outcome, Turn};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Engine;
use super::outage::MAX_BACKOFF;
use super::outbox::Waiting;
use super::settings::after;
use crate::lines::append;
use crate::link::JobKey;

/// How many renewals a turn carries even if it is full of writes.
const LEAST_RENEWALS: usize = 100;
/// The pause after the first try that a store does not answer.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);

/// The receivers of the answers to a turn, in its order.
struct Askers {
    starts: Vec<oneshot::Sender<StartAnswer>>,
    /// Each with the bytes of its write.
    writes: Vec<(usize, Option<oneshot::Sender<Answer>>)>,
}

impl Engine {
    /// Takes a turn and applies what the store answers.
    pub(super) async fn take_turn(&mut self) -> Result<(), StoreError> {
        let (turn, askers) = self.next_turn();
        let reply = self.send(&turn).await?;
        self.turn = turn.number;
        self.apply(turn, askers, reply);
        Ok(())
    }

    /// Makes the next turn from the writes, renewals and wants that wait.
    fn next_turn(&mut self) -> (Turn, Askers) {
        let writes = self.outbox.batch();
        let bytes = writes.iter().map(|write| write.bytes).sum();
        let starts = self.outbox.batch_of_starts(writes.len(), bytes);
        for start in &starts {
            self.available.feed(&start.start.job.queue);
        }
        for write in &writes {
            self.available.feed_followers(&write.tx, self.running.queue_of(&JobKey::of_write(&write.tx)));
        }
        let room = limits::MAX_TURN_WRITES.saturating_sub(writes.len() + starts.len()).max(LEAST_RENEWALS);
        let renewals = self.running.take_renewals(room);
        self.available.feed_in_time(Instant::now());
        let wants = if self.stopping.has_begun() { Vec::new() } else { self.available.wants() };
        let (starts, asking) = starts.into_iter().map(|start| (start.start, start.reply)).unzip();
        let (writes, answered) =
            writes.into_iter().map(|write| (write.tx, (write.bytes, write.reply))).unzip();
        let turn = Turn {
            instance: self.settings.instance.clone(),
            number: self.turn + 1,
            starts,
            writes,
            renewals,
            wants,
            lease_ms: limits::duration_ms(self.settings.lease),
        };
        (turn, Askers { starts: asking, writes: answered })
    }

    /// Sends a turn, and sends it again until the store answers: a call that failed may have happened, and
    /// the lane makes sure that it happens once.
    async fn send(&mut self, turn: &Turn) -> Result<TurnReply, StoreError> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            // What a step logged before its commit stands before it in the timeline: both are sent at once,
            // the log lines first.
            let ends = |run: &RunId| {
                let mut ended = turn.writes.iter().filter(|tx| tx.outcome != Outcome::Continue);
                ended.any(|tx| tx.run == *run)
            };
            let store = &*self.shared.store;
            let ((), reply) =
                futures_util::future::join(append(store, self.flush.take(ends)), store.turn(turn)).await;
            match reply {
                Ok(reply) => {
                    self.outage.back("turn");
                    return Ok(reply);
                }
                Err(error) if error.is_retryable() => self.outage.away("turn", &error),
                Err(error) => return Err(error),
            }
            self.drain();
            self.end_overdue();
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Applies what the store answers to a turn.
    fn apply(&mut self, turn: Turn, askers: Askers, reply: TurnReply) {
        let asked = !turn.starts.is_empty() || !turn.writes.is_empty() || !turn.renewals.is_empty();
        self.waits.turn(!asked && reply.leases.is_empty());
        for (asker, answer) in askers.starts.into_iter().zip(reply.started) {
            // Whoever starts a run may have given up.
            let _ = asker.send(answer);
        }
        for (renewal, answer) in turn.renewals.iter().zip(reply.renewed) {
            if self.running.renewed(renewal, answer) {
                self.outbox.renew_later(renewal.clone());
            }
        }
        let written = turn.writes.into_iter().zip(askers.writes);
        for ((tx, (bytes, asker)), answer) in written.zip(reply.answers) {
            self.answered(Waiting { tx, bytes, reply: asker }, answer);
        }
        self.outbox.answered();
        for want in &turn.wants {
            let got = reply.leases.iter().filter(|lease| lease.queue == want.queue).count();
            self.available.got(want, got as u32);
        }
        if self.waits.was_offered() && !reply.leases.is_empty() {
            // This may be the job of the offer; then the store has not looked at the wants.
            self.available.feed_all();
        }
        for lease in reply.leases {
            self.running.leased(lease, &mut self.available);
        }
    }

    /// Applies the answer to a write.
    fn answered(&mut self, write: Waiting, answer: Answer) {
        if answer == Answer::Later {
            self.outbox.write_later(write);
            return;
        }
        let Waiting { tx, reply, .. } = write;
        if let Some(reply) = reply {
            // An attempt that was ended meanwhile does not wait for the answer any more.
            let _ = reply.send(answer);
            return;
        }
        if let Answer::TooLarge { limit } = answer {
            self.outbox.push(Waiting::alone(decide::too_large(tx, &limit)));
            return;
        }
        if let (Answer::Committed { .. }, Outcome::Retry { delay_ms } | Outcome::Postpone { delay_ms }) =
            (&answer, &tx.outcome)
        {
            self.ticks.no_later_than(after(Instant::now(), Duration::from_millis(*delay_ms)));
        }
        let key = JobKey::of_write(&tx);
        let failed = matches!(tx.outcome, Outcome::Fail { .. });
        if failed || matches!(answer, Answer::RunEnded { .. }) {
            self.running.look_at_run_of(&key);
            self.shared.states.forget(&key.run);
        }
        self.running.over(&key, &mut self.available);
    }

    /// Appends the log lines that have come.
    pub(super) async fn flush_lines(&mut self) {
        let last = self.stopping.has_begun();
        append(&*self.shared.store, self.flush.take(|_| last)).await;
    }
}
