//! What an attempt writes: its operations and its end become one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::said::Attempt;
use crate::entry::data::{
    EventEmitted, Log, StateBatch, StateDelete, StateOperation, StateSet, StepCompleted, StepEffect,
    StepFailed, StepRetrying,
};
use crate::entry::{EntryType, NewEntry};
use crate::id::{Name, emit_key};
use crate::pairing;
use crate::registry::{Flow, JoinSide, Worker};
use crate::retry;
use crate::state::Change;
use crate::transaction::{GatherArrival, JoinArrival, NewJob, Outcome, Transaction};

/// The name under which checkpoints are recorded.
pub const CHECKPOINT: &str = "checkpoint";

/// An operation of a handler that waits for the next commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its position among the operations of the step, by which a later attempt recognises it.
    pub position: String,
    /// What it did.
    pub kind: OperationKind,
}

/// What a handler did.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationKind {
    /// It emitted an event.
    Emit {
        /// The event's name.
        event: Arc<str>,
        /// Its payload.
        payload: Value,
    },
    /// It changed the state.
    Change(Change),
}

/// How an attempt, or a part of it, ends.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The attempt goes on; what it did so far is kept.
    Checkpoint {
        /// The position of the checkpoint itself.
        position: String,
    },
    /// The attempt goes on; the result of a `ctx.run` is recorded.
    Effect {
        /// The position of the operation.
        position: String,
        /// Its name.
        name: String,
        /// What a later attempt gets instead of doing it again.
        result: Value,
    },
    /// The step is done.
    Complete {
        /// What the handler returned.
        result: Value,
    },
    /// The attempt failed.
    Error {
        /// The message of its error.
        error: String,
        /// Whether no attempt may follow.
        fatal: bool,
        /// The delay that the error asks for instead of the policy's, in milliseconds.
        retry_after_ms: Option<u64>,
        /// A random number in `0.0..1.0`, for the jitter.
        roll: f64,
    },
    /// The input does not fit the code of this instance: it may be of another version of the program.
    Unfit {
        /// What does not fit.
        error: String,
        /// A random number in `0.0..1.0`, for the jitter.
        roll: f64,
    },
    /// The instance stops before the attempt is done.
    Release,
}

/// Decides what an attempt writes. An attempt that fails or is handed back does not write its operations.
pub fn decide(
    flow: &Flow,
    worker: &Worker,
    attempt: &Attempt,
    operations: &[Operation],
    end: End,
) -> Transaction {
    let mut tx = Transaction::new(attempt.run.clone(), attempt.step.clone(), attempt.fence, attempt.number);
    if matches!(end, End::Checkpoint { .. } | End::Complete { .. }) {
        write(flow, attempt, operations, &mut tx);
    }
    match end {
        End::Checkpoint { position } => {
            let effect = StepEffect { name: CHECKPOINT.into(), op: position, result: Value::Null };
            tx.entries.push(NewEntry::of(effect));
            tx.recorded = 1 + operations.len() as u32;
        }
        End::Effect { position, name, result } => {
            tx.entries.push(NewEntry::of(StepEffect { name, op: position, result }));
            tx.recorded = 1;
        }
        End::Complete { result } => {
            tx.entries.push(NewEntry::of(StepCompleted { result }));
            tx.outcome = Outcome::Complete;
        }
        End::Error { error, fatal, retry_after_ms, roll } => {
            let failures = attempt.failures + 1;
            if fatal || !retry::retries_left(worker.retries, failures) {
                tx.entries.push(NewEntry::of(StepFailed { error: error.clone() }));
                tx.outcome = Outcome::Fail { error };
            } else {
                let delay_ms =
                    retry_after_ms.unwrap_or_else(|| retry::delay_ms(worker.backoff, failures, roll));
                tx.entries.push(retrying(attempt, error, delay_ms));
                tx.outcome = Outcome::Retry { delay_ms };
            }
        }
        End::Unfit { error, roll } => {
            // Earlier attempts that are not counted as failures: those of this kind, crashes, and those before a redrive.
            let before = attempt.number.saturating_sub(1 + attempt.failures);
            let Some(delay_ms) = retry::unfit_delay_ms(before, roll) else {
                let end = End::Error { error, fatal: false, retry_after_ms: None, roll };
                return decide(flow, worker, attempt, operations, end);
            };
            tx.entries.push(retrying(attempt, error, delay_ms));
            tx.outcome = Outcome::Postpone { delay_ms };
        }
        End::Release => tx.outcome = Outcome::Release,
    }
    tx
}

/// The entry about an attempt that another attempt follows.
fn retrying(attempt: &Attempt, error: String, delay_ms: u64) -> NewEntry {
    NewEntry::of(StepRetrying {
        error: Some(error),
        reason: None,
        next_attempt: attempt.number + 1,
        delay_ms,
    })
}

/// Writes operations into a transaction: neighbouring changes of the state as one entry, each event as one
/// entry with the jobs and arrivals that it causes.
fn write(flow: &Flow, attempt: &Attempt, operations: &[Operation], tx: &mut Transaction) {
    let mut changes: Vec<(&str, &Change)> = Vec::new();
    let mut warned = BTreeSet::new();
    for operation in operations {
        match &operation.kind {
            OperationKind::Change(change) => changes.push((&operation.position, change)),
            OperationKind::Emit { event, payload } => {
                tx.entries.extend(state_entry(&std::mem::take(&mut changes)));
                let alone = emit(flow, attempt, &operation.position, event, payload, tx);
                // One warning for each kind of event, since there may be very many events.
                let told = alone.into_iter().filter(|join| warned.insert((&join.spec.worker, &**event)));
                tx.entries.extend(told.map(|join| unpaired(join, event)));
            }
        }
    }
    tx.entries.extend(state_entry(&changes));
    let held = |gather: &Name| {
        let jobs = tx.jobs.iter().map(|job| &job.spec);
        jobs.chain(tx.joins.iter().map(|join| &join.spec)).any(|spec| spec.holds.contains(gather))
            || tx.gathered.iter().any(|arrival| arrival.worker == *gather)
    };
    tx.gathers = flow.gathers(held);
    let named = |worker: &Name| {
        tx.gathers.iter().any(|gather| gather.spec.worker == *worker)
            || tx.joins.iter().any(|join| join.spec.worker == *worker)
    };
    tx.former = flow.former(named);
}

fn state_entry(changes: &[(&str, &Change)]) -> Option<NewEntry> {
    Some(match changes {
        [] => return None,
        [(op, Change::Set { key, value })] => {
            NewEntry::of(StateSet { key: key.clone(), value: value.clone(), op: (*op).into() })
        }
        [(op, Change::Delete { key })] => NewEntry::of(StateDelete { key: key.clone(), op: (*op).into() }),
        many => {
            let operation = |(op, change): &(&str, &Change)| StateOperation {
                change: (*change).clone(),
                op: (*op).into(),
            };
            NewEntry::of(StateBatch { operations: many.iter().map(operation).collect() })
        }
    })
}

/// Writes an event, and returns the joins at which it can pair with nothing.
fn emit<'a>(
    flow: &'a Flow,
    attempt: &Attempt,
    position: &str,
    event: &str,
    payload: &Value,
    tx: &mut Transaction,
) -> Vec<&'a JoinSide> {
    let entry = tx.entries.len();
    let key = emit_key(&attempt.key, position);
    let (mut to, mut alone) = (Vec::new(), Vec::new());
    if let Some(route) = flow.route(event) {
        for spec in &route.subscribers {
            to.push(spec.worker.clone());
            tx.jobs.push(NewJob { spec: spec.clone(), cause: entry, key: key.clone() });
        }
        for join in &route.joins {
            to.push(join.spec.worker.clone());
            let by = join.by.as_deref().map(|field| {
                pairing::value(payload, field).unwrap_or_else(|| {
                    alone.push(join);
                    pairing::alone(&key)
                })
            });
            tx.joins.push(JoinArrival {
                spec: join.spec.clone(),
                sides: join.sides,
                side: join.side,
                by: by.unwrap_or_default(),
                entry,
                key: key.clone(),
            });
        }
        for gather in &route.gathers {
            to.push(gather.clone());
            tx.gathered.push(GatherArrival { worker: gather.clone(), entry });
        }
    }
    let (name, payload) = (event.to_owned(), payload.clone());
    tx.entries.push(NewEntry::of(EventEmitted { name, payload, op: position.to_owned(), to }));
    alone
}

/// The entry about an event that can pair with nothing.
fn unpaired(join: &JoinSide, event: &str) -> NewEntry {
    let (worker, by) = (&join.spec.worker, join.by.as_deref().unwrap_or_default());
    let message =
        format!("`{event}` pairs with nothing: worker `{worker}` joins by `{by}`, which has no value here");
    let fields = [("event", event), ("worker", worker.as_str()), ("by", by)];
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    Log { message, fields }.at(EntryType::LogWarn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::def::WorkerDef;
    use crate::id::RunId;
    use crate::registry::Registry;

    static WORKER: WorkerDef =
        WorkerDef { name: "a", path: "a", flows: &["f"], retries: 1, ..WorkerDef::DEFAULT };

    #[test]
    fn input_that_does_not_fit_counts_as_a_failure_only_after_many_attempts() {
        let registry = Registry::new([&WORKER], []).unwrap();
        let flow = registry.flow("f").unwrap();
        let outcome = |number, failures| {
            let attempt = Attempt {
                run: RunId::new("r").unwrap(),
                step: "a@1-1".parse().unwrap(),
                fence: 1,
                number,
                failures,
                key: String::new(),
            };
            decide(flow, &Worker::from(&WORKER), &attempt, &[], End::Unfit { error: "no".into(), roll: 1.0 })
                .outcome
        };
        assert_eq!(outcome(1, 0), Outcome::Postpone { delay_ms: 1_000 });
        // A failure of other code, which the input fitted, does not count among these attempts.
        assert_eq!(outcome(3, 1), Outcome::Postpone { delay_ms: 2_000 });
        assert_eq!(outcome(retry::UNFIT_ATTEMPTS, 0), Outcome::Postpone { delay_ms: 30_000 });
        assert_eq!(outcome(retry::UNFIT_ATTEMPTS + 1, 0), Outcome::Retry { delay_ms: 1_000 });
        assert_eq!(outcome(retry::UNFIT_ATTEMPTS + 2, 1), Outcome::Fail { error: "no".into() });
    }
}
