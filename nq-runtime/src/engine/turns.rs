//! The turns of an engine: what it has finished, renews and can take goes to the store in one call.

use std::collections::HashMap;
use std::time::Duration;

use nq_core::id::{QueueName, RunId};
use nq_core::limits;
use nq_core::store::{Answer, RenewAnswer, Store, StoreError, TurnReply};
use nq_core::transaction::{LogLine, Outcome, Renewal, Transaction, Turn};
use tokio::time::Instant;

use super::{Engine, JobKey, MAX_BACKOFF, Waiting, after};

impl Engine {
    /// Takes a turn and applies what the store answers.
    pub(super) async fn take_turn(&mut self) -> Result<(), StoreError> {
        let writes = self.batch();
        for write in &writes {
            self.feed_followers(&write.tx);
        }
        let renewals = self.renewals(limits::MAX_TURN_WRITES.saturating_sub(writes.len()));
        let wants = if self.stop_by.is_none() { self.slots.wants() } else { Vec::new() };
        let (writes, waiting): (Vec<_>, Vec<_>) =
            writes.into_iter().map(|write| (write.tx, (write.bytes, write.reply))).unzip();
        let turn = Turn {
            instance: self.settings.instance.clone(),
            number: self.turn + 1,
            writes,
            renewals,
            wants,
            lease_ms: limits::duration_ms(self.settings.lease),
        };
        let Some(reply) = self.send(&turn).await? else { return Ok(()) };
        self.turn = turn.number;

        for (renewal, answer) in turn.renewals.iter().zip(&reply.renewed) {
            self.renewed(renewal, *answer);
        }
        let idle = turn.writes.is_empty() && turn.renewals.is_empty() && reply.leases.is_empty();
        self.false_hints = if idle { self.false_hints + 1 } else { 0 };
        let written = turn.writes.into_iter().zip(waiting);
        for ((tx, (bytes, reply)), answer) in written.zip(reply.answers) {
            self.answered(Waiting { tx, bytes, reply }, answer);
        }
        for want in &turn.wants {
            let got = reply.leases.iter().filter(|lease| lease.queue == want.queue).count();
            self.slots.got(want, got as u32);
        }
        if std::mem::take(&mut self.offered) && !reply.leases.is_empty() {
            // This may be what the offer brought, and then the wants were not looked at.
            self.slots.feed_all();
        }
        for lease in reply.leases {
            self.leased(lease);
        }
        Ok(())
    }

    /// The writes of one turn: as many as wait, up to the limits; a larger one goes by itself.
    fn batch(&mut self) -> Vec<Waiting> {
        let mut batch = Vec::new();
        let (mut weight, mut bytes) = (0, 0);
        while let Some(next) = self.writes.front() {
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

    /// The leases to renew, at most `max`; the rest waits for the next turn.
    fn renewals(&mut self, max: usize) -> Vec<Renewal> {
        let now = Instant::now();
        if now >= self.renew_at {
            self.renew_at = after(now, self.settings.lease / 3);
            self.to_renew = self.running.iter().map(|(key, running)| renewal(key, running.fence)).collect();
        }
        self.to_renew.drain(..max.min(self.to_renew.len())).collect()
    }

    /// The queues that a write may put jobs into: the same turn asks for them.
    fn feed_followers(&mut self, tx: &Transaction) {
        for spec in tx.jobs.iter().map(|job| &job.spec).chain(tx.joins.iter().map(|join| &join.spec)) {
            self.slots.feed(&spec.queue);
        }
        let key = JobKey { run: tx.run.clone(), step: tx.step.clone() };
        let Some(running) = self.running.get(&key) else { return };
        let flow = self.starter.registry.flows.get(&running.flow);
        let held = flow.and_then(|flow| flow.steps.get(tx.step.worker())).map(|step| &step.spec.holds);
        for gather in held.into_iter().flatten() {
            self.slots.feed(&QueueName::of(running.flow.as_str(), gather.as_str()));
        }
    }

    /// Sends a turn, and sends it again until the store answers: a call that failed may have happened, and
    /// the lane makes sure that it happens once. None if the instance stops before the store is back.
    async fn send(&mut self, turn: &Turn) -> Result<Option<TurnReply>, StoreError> {
        let mut backoff = Duration::from_millis(20);
        loop {
            // What a step logged before its commit stands before it in the timeline: both are sent at once,
            // the log lines first.
            let logs = std::mem::take(&mut self.logs);
            let ((), reply) =
                futures_util::future::join(append(&*self.shared.store, logs), self.shared.store.turn(turn))
                    .await;
            match reply {
                Ok(reply) => {
                    self.back("turn");
                    return Ok(Some(reply));
                }
                Err(error) if error.is_retryable() => self.away("turn", &error),
                Err(error) => return Err(error),
            }
            self.drain();
            if self.stop_by.is_some_and(|by| Instant::now() >= by) {
                tracing::warn!("the store is away: what has finished is done again after the lease");
                self.running.clear();
                self.writes.clear();
                return Ok(None);
            }
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Appends the log lines that have come.
    pub(super) async fn flush_logs(&mut self) {
        append(&*self.shared.store, std::mem::take(&mut self.logs)).await;
    }

    fn renewed(&mut self, renewal: &Renewal, answer: RenewAnswer) {
        let key = JobKey { run: renewal.run.clone(), step: renewal.step.clone() };
        let Some(running) = self.running.get_mut(&key).filter(|running| running.fence == renewal.fence)
        else {
            return;
        };
        let grace = match answer {
            RenewAnswer::Renewed => return,
            RenewAnswer::LeaseLost => Duration::ZERO,
            RenewAnswer::RunEnded => self.settings.grace,
        };
        running.stop.cancel();
        running.deadline.get_or_insert(after(Instant::now(), grace));
    }

    /// Applies the answer to a write.
    fn answered(&mut self, write: Waiting, answer: Answer) {
        let Waiting { mut tx, reply, .. } = write;
        let key = JobKey { run: tx.run.clone(), step: tx.step.clone() };
        if let Some(reply) = reply {
            // An attempt that was ended meanwhile does not wait any more.
            let _ = reply.send(answer);
            return;
        }
        if let Answer::TooLarge { limit } = answer {
            // The step did more than a commit can hold: it fails, and says so.
            let error = format!("the step wrote more than {limit}: put a `ctx.checkpoint()` between");
            tx.entries.clear();
            tx.jobs.clear();
            tx.joins.clear();
            tx.gathered.clear();
            tx.gathers.clear();
            let data = serde_json::json!({ "error": error });
            tx.entries.push(nq_core::entry::NewEntry::new(nq_core::entry::EntryType::StepFailed, data));
            tx.outcome = Outcome::Fail { error };
            self.writes.push_back(Waiting { tx, bytes: 0, reply: None });
            return;
        }
        if let (Answer::Committed { .. }, Outcome::Retry { delay_ms }) = (&answer, &tx.outcome) {
            self.tick_at = self.tick_at.min(after(Instant::now(), Duration::from_millis(*delay_ms)));
        }
        let failed = matches!(tx.outcome, Outcome::Fail { .. });
        if failed || matches!(answer, Answer::RunEnded { .. }) {
            // The run may have ended with it: its other steps here learn of it at once.
            self.renew_at = Instant::now();
            self.shared.states.forget(&key.run);
        }
        self.over(&key);
    }
}

fn renewal(key: &JobKey, fence: u64) -> Renewal {
    Renewal { run: key.run.clone(), step: key.step.clone(), fence }
}

/// Appends log lines. They are not worth a retry: a line may be lost, none is worth holding up work for.
async fn append(store: &dyn Store, logs: HashMap<RunId, Vec<LogLine>>) {
    let appends = logs.into_iter().map(|(run, lines)| async move { store.append(&run, &lines).await });
    for result in futures_util::future::join_all(appends).await {
        if let Err(error) = result {
            tracing::debug!(%error, "log lines were lost");
        }
    }
}
