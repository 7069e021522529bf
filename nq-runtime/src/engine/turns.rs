//! The turns of an engine: what it has finished, renews and can take goes to the store in one call.

use std::time::Duration;

use nq_core::id::RunId;
use nq_core::limits;
use nq_core::store::{Answer, RenewAnswer, StoreError, TurnReply};
use nq_core::transaction::{Outcome, Renewal, Transaction, Turn};
use tokio::time::Instant;

use super::logs::{Pages, append};
use super::{Engine, FEED_EVERY, JobKey, LOOK_AT_RUNS, MAX_BACKOFF, MOST_LOOKS, NOTICE_WAIT, Waiting, after};

/// How many renewals a turn takes along however full of writes it is.
const LEAST_RENEWALS: usize = 100;

impl Engine {
    /// Takes a turn and applies what the store answers.
    pub(super) async fn take_turn(&mut self) -> Result<(), StoreError> {
        let writes = self.batch();
        for write in &writes {
            self.feed_followers(&write.tx);
        }
        let renewals =
            self.renewals(limits::MAX_TURN_WRITES.saturating_sub(writes.len()).max(LEAST_RENEWALS));
        let now = Instant::now();
        if now >= self.feed_at {
            // Under load there is always a turn, and nobody waits for the hint of an empty queue: it is asked again.
            self.feed_at = now + FEED_EVERY;
            self.slots.feed_all();
        }
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
        let reply = self.send(&turn).await?;
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
        self.all_answered();
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
            if self.later.holds(&next.tx.run) {
                if let Some(write) = self.writes.pop_front() {
                    self.later.write(write);
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

    /// The leases to renew, at most `max`; the rest waits for the next turn.
    fn renewals(&mut self, max: usize) -> Vec<Renewal> {
        let mut renewals = Vec::new();
        while renewals.len() < max
            && let Some(renewal) = self.to_renew.pop_front()
        {
            let key = JobKey { run: renewal.run.clone(), step: renewal.step.clone() };
            if self.running.get(&key).is_some_and(|running| running.fence == renewal.fence) {
                renewals.push(renewal);
            }
        }
        renewals
    }

    /// Plans the renewals that are due: of all leases at a third of their time; and before that of those that have
    /// been held for a while, since the answer tells whether their runs have ended.
    pub(super) fn plan_renewals(&mut self, now: Instant) {
        if now < self.renew_at && now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_AT_RUNS;
        self.looks += 1;
        let looks = self.looks;
        if now >= self.renew_at {
            self.renew_at = after(now, self.settings.lease / 3);
            self.to_renew = self.running.iter().map(|(key, running)| renewal(key, running.fence)).collect();
            return;
        }
        // Most steps are over before they have seen two looks, and cost nothing here.
        let held = self.running.iter_mut().filter(|(_, running)| running.begun + 1 < looks);
        let mut held: Vec<_> = held.collect();
        if held.len() > MOST_LOOKS {
            held.sort_unstable_by_key(|(_, running)| running.looked);
            held.truncate(MOST_LOOKS);
        }
        for (key, running) in held {
            running.looked = looks;
            self.to_renew.push_back(renewal(key, running.fence));
        }
    }

    /// The queues that a write may put jobs into: the same turn asks for them.
    fn feed_followers(&mut self, tx: &Transaction) {
        for spec in tx.jobs.iter().map(|job| &job.spec).chain(tx.joins.iter().map(|join| &join.spec)) {
            self.slots.feed(&spec.queue);
        }
        let key = JobKey { run: tx.run.clone(), step: tx.step.clone() };
        let Some(running) = self.running.get(&key) else { return };
        let Some((flow, step)) = self.starter.registry.step(&running.queue) else { return };
        for gather in step.spec.holds.iter().filter_map(|gather| flow.steps.get(gather)) {
            for queue in gather.queues() {
                self.slots.feed(queue);
            }
        }
    }

    /// Sends a turn, and sends it again until the store answers: a call that failed may have happened, and
    /// the lane makes sure that it happens once.
    async fn send(&mut self, turn: &Turn) -> Result<TurnReply, StoreError> {
        let mut backoff = Duration::from_millis(20);
        loop {
            // What a step logged before its commit stands before it in the timeline: both are sent at once,
            // the log lines first.
            let ends = |run: &RunId| {
                let mut ended = turn.writes.iter().filter(|tx| tx.outcome != Outcome::Continue);
                ended.any(|tx| tx.run == *run)
            };
            let logs = self.take_logs(ends);
            let ((), reply) =
                futures_util::future::join(append(&*self.shared.store, logs), self.shared.store.turn(turn))
                    .await;
            match reply {
                Ok(reply) => {
                    self.back("turn");
                    return Ok(reply);
                }
                Err(error) if error.is_retryable() => self.away("turn", &error),
                Err(error) => return Err(error),
            }
            self.drain();
            self.check_deadlines();
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Appends the log lines that have come.
    pub(super) async fn flush_logs(&mut self) {
        let last = self.stop_by.is_some();
        let logs = self.take_logs(|_| last);
        append(&*self.shared.store, logs).await;
    }

    /// Takes the log lines that have come.
    fn take_logs(&mut self, ends: impl Fn(&RunId) -> bool) -> Pages {
        let now = Instant::now();
        let logs = self.logs.take(ends, now);
        self.flush_at = self.logs.owes_notice().then(|| now + NOTICE_WAIT);
        logs
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
            RenewAnswer::Later => {
                self.later.renewal(renewal.clone());
                return;
            }
        };
        running.stop.cancel();
        running.deadline.get_or_insert(after(Instant::now(), grace));
    }

    /// Applies the answer to a write.
    fn answered(&mut self, write: Waiting, answer: Answer) {
        if answer == Answer::Later {
            self.later.write(write);
            return;
        }
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
            tx.former.clear();
            let data = serde_json::json!({ "error": error });
            tx.entries.push(nq_core::entry::NewEntry::new(nq_core::entry::EntryType::StepFailed, data));
            tx.outcome = Outcome::Fail { error };
            self.writes.push_back(Waiting { tx, bytes: 0, reply: None });
            return;
        }
        if let (Answer::Committed { .. }, Outcome::Retry { delay_ms } | Outcome::Postpone { delay_ms }) =
            (&answer, &tx.outcome)
        {
            self.tick_at = self.tick_at.min(after(Instant::now(), Duration::from_millis(*delay_ms)));
        }
        let failed = matches!(tx.outcome, Outcome::Fail { .. });
        if failed || matches!(answer, Answer::RunEnded { .. }) {
            // The run may have ended with it: its other steps here learn of it at once.
            let others = self.running.iter().filter(|(other, _)| other.run == key.run && **other != key);
            self.to_renew.extend(others.map(|(other, running)| renewal(other, running.fence)));
            self.shared.states.forget(&key.run);
        }
        self.over(&key);
    }
}

fn renewal(key: &JobKey, fence: u64) -> Renewal {
    Renewal { run: key.run.clone(), step: key.step.clone(), fence }
}
