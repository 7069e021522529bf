//! One attempt of a step: what its handler's parameters are made from, and the journal of what it does.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nq_core::decide::{Attempt, End, Operation, OperationKind, decide};
use nq_core::def::WorkerDef;
use nq_core::entry::{Entry, EntryType, NewEntry};
use nq_core::limits;
use nq_core::registry::Flow;
use nq_core::state::{Change, State, changes_with_op};
use nq_core::store::{Answer, Arrived, Store};
use nq_core::transaction::Transaction;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::data::{Data, Provided};
use crate::engine::link::Link;
use crate::state::StateCache;

/// The step at hand, as extractors see it. Cheap to clone.
#[derive(Clone)]
pub struct Step {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) attempt: Attempt,
    pub(crate) flow: Arc<Flow>,
    pub(crate) def: &'static WorkerDef,
    pub(crate) inputs: Vec<Arrived>,
    pub(crate) provided: Arc<Provided>,
    pub(crate) client: Client,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) states: Arc<StateCache>,
    pub(crate) link: Link,
    /// Fires when the step should stop: its run ended, its lease is lost, or the instance shuts down.
    pub(crate) stop: CancellationToken,
    pub(crate) max_payload: usize,
    pub(crate) journal: Mutex<Journal>,
    /// The state at the journal's read position, once something has asked for it.
    pub(crate) base: tokio::sync::Mutex<Option<Arc<State>>>,
}

/// What an attempt has done so far, by position.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// How many operations each scope has begun.
    counters: HashMap<String, u32>,
    /// What earlier attempts, or checkpoints of this one, have in the timeline.
    recorded: HashMap<String, Recorded>,
    /// What a test says that earlier attempts recorded, by the name of the effect.
    given: HashMap<String, VecDeque<Value>>,
    /// What waits for the next commit.
    buffered: Vec<Operation>,
    /// The step's own changes, in order; with the position in the timeline of those that are there.
    pub(crate) overlay: Vec<(Option<u64>, Change)>,
    /// The position in the timeline up to which the state is read.
    pub(crate) read: u64,
    /// A snapshot of the state that is worth writing with the step's commit.
    pub(crate) snapshot: Option<NewEntry>,
    bytes: usize,
    ended: bool,
}

/// An operation that is in the timeline.
#[derive(Clone, Debug, PartialEq)]
enum Recorded {
    Emit(String),
    Change(Change, u64),
    Effect(String, Value),
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emit(event) => write!(f, "event.emitted {event}"),
            Self::Change(change, _) => describe(change).fmt(f),
            Self::Effect(name, _) => write!(f, "run {name:?}"),
        }
    }
}

fn describe(change: &Change) -> String {
    match change {
        Change::Set { key, .. } => format!("state.set {key}"),
        Change::Delete { key } => format!("state.delete {key}"),
        Change::Incr { key, .. } => format!("state.incr {key}"),
    }
}

/// An operation of a step was refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The handler does something else than what an earlier attempt recorded at this place.
    #[error(
        "operation {position} of the step was recorded as `{recorded}`, and is `{now}` now: a handler must do the same \
         operations in the same order on every attempt"
    )]
    Changed {
        /// The position of the operation.
        position: String,
        /// What the timeline has.
        recorded: String,
        /// What the handler did.
        now: String,
    },
    /// A value passes a limit.
    #[error(
        "{what} has {bytes} bytes of JSON, and the limit is {limit}: keep the data elsewhere and pass its key"
    )]
    TooLarge {
        /// The event, key or operation.
        what: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The step does more than one commit can hold.
    #[error(
        "the step has {what} waiting for its commit, and one commit holds {limit}: put a `ctx.checkpoint()` between"
    )]
    TooMany {
        /// What and how much.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// A value is not JSON.
    #[error("{what} cannot be written as JSON: {error}")]
    NotJson {
        /// The event, key or operation.
        what: String,
        /// What serde says.
        error: String,
    },
    /// A recorded value does not have the type that is asked for now.
    #[error("{what} cannot be read as `{type_name}`: {error}")]
    OtherType {
        /// The key or operation.
        what: String,
        /// The type that was asked for.
        type_name: &'static str,
        /// What serde says.
        error: String,
    },
    /// The worker emits an event by a name that its `emits` does not have.
    #[error("worker `{worker}` does not declare that it emits `{event}`; add it to its `emits = [...]`")]
    Undeclared {
        /// The worker.
        worker: String,
        /// The event.
        event: String,
    },
    /// The attempt is over: its lease is another's, its run has ended, or its handler has returned.
    #[error("the attempt is over: {why}")]
    Over {
        /// Why.
        why: String,
    },
    /// The store could not be asked.
    #[error("the store could not be asked")]
    Store(#[from] nq_core::store::StoreError),
}

impl Step {
    /// The events that the step runs on: one for an entry or a subscription, one for each side of a join in
    /// the order of the attribute, all of them for a gather.
    pub fn inputs(&self) -> &[Arrived] {
        &self.inner.inputs
    }

    /// What the program provides.
    pub fn provided(&self) -> &Provided {
        &self.inner.provided
    }

    /// A value that the program provides.
    pub fn data<T: ?std::marker::Sized + Send + Sync + 'static>(&self) -> Option<Data<T>> {
        self.inner.provided.get()
    }

    /// What the step starts runs with, and looks at them.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// The worker.
    pub fn worker(&self) -> &'static WorkerDef {
        self.inner.def
    }

    /// The ids of the run and the step, the number of the attempt and the idempotency key.
    pub fn attempt(&self) -> &Attempt {
        &self.inner.attempt
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        // Each statement leaves the journal whole, so a panic elsewhere does not spoil it.
        self.inner.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures a value and turns it into JSON.
    pub(crate) fn json(&self, what: impl Fn() -> String, value: &impl Serialize) -> Result<Sized, StepError> {
        let not_json =
            |error: serde_json::Error| StepError::NotJson { what: what(), error: error.to_string() };
        let value = serde_json::to_value(value).map_err(not_json)?;
        let bytes = json_len(&value);
        let limit = self.inner.max_payload;
        if bytes > limit {
            return Err(StepError::TooLarge { what: what(), bytes, limit });
        }
        Ok(Sized { value, bytes })
    }

    /// Buffers an operation for the next commit, or recognises it as recorded.
    pub(crate) fn operate(&self, scope: &str, kind: OperationKind, bytes: usize) -> Result<(), StepError> {
        let mut journal = self.journal();
        let position = journal.take_position(scope)?;
        let now = || match &kind {
            OperationKind::Emit { event, .. } => Recorded::Emit(event.to_string()),
            OperationKind::Change(change) => Recorded::Change(change.clone(), 0),
        };
        if let Some(recorded) = journal.recorded.get(&position).cloned() {
            let same = match (&kind, &recorded) {
                (OperationKind::Emit { event, .. }, Recorded::Emit(before)) => **event == **before,
                (OperationKind::Change(now), Recorded::Change(before, _)) => {
                    describe(now) == describe(before)
                }
                _ => false,
            };
            if !same {
                return Err(changed(position, &recorded, &now()));
            }
            if let Recorded::Change(change, n) = recorded {
                journal.overlay.push((Some(n), change));
            }
            return Ok(());
        }
        if journal.buffered.len() + 2 >= limits::MAX_COMMIT_ENTRIES {
            let what = format!("{} operations", journal.buffered.len() + 1);
            return Err(StepError::TooMany { what, limit: limits::MAX_COMMIT_ENTRIES });
        }
        if journal.bytes + bytes > limits::MAX_COMMIT_BYTES {
            let what = format!("{} bytes", journal.bytes + bytes);
            return Err(StepError::TooMany { what, limit: limits::MAX_COMMIT_BYTES });
        }
        journal.bytes += bytes;
        if let OperationKind::Change(change) = &kind {
            journal.overlay.push((None, change.clone()));
        }
        journal.buffered.push(Operation { position, kind });
        Ok(())
    }

    /// Begins an operation whose outcome is recorded: its position, and the outcome if there is one already.
    pub(crate) fn begin(&self, scope: &str, name: &str) -> Result<(String, Option<Value>), StepError> {
        let mut journal = self.journal();
        let position = journal.take_position(scope)?;
        match journal.recorded.get(&position) {
            None => Ok((position, journal.given.get_mut(name).and_then(VecDeque::pop_front))),
            Some(Recorded::Effect(before, result)) if before == name => {
                let result = result.clone();
                Ok((position, Some(result)))
            }
            Some(other) => Err(changed(position, other, &Recorded::Effect(name.into(), Value::Null))),
        }
    }

    /// Records the outcome of an operation; when this returns, it is in the timeline.
    pub(crate) async fn record(&self, position: String, name: &str, sized: Sized) -> Result<(), StepError> {
        let inner = &self.inner;
        let end = End::Effect { position: position.clone(), name: name.into(), result: sized.value.clone() };
        let tx = decide(&inner.flow, inner.def, &inner.attempt, &[], end);
        self.write(tx, sized.bytes).await?;
        self.journal().recorded.insert(position, Recorded::Effect(name.into(), sized.value));
        Ok(())
    }

    /// Commits what is buffered, and goes on.
    pub(crate) async fn checkpoint(&self, position: String) -> Result<(), StepError> {
        let inner = &self.inner;
        let (operations, bytes) = {
            let mut journal = self.journal();
            (std::mem::take(&mut journal.buffered), std::mem::take(&mut journal.bytes))
        };
        let end = End::Checkpoint { position: position.clone() };
        let tx = decide(&inner.flow, inner.def, &inner.attempt, &operations, end);
        let n = self.write(tx, bytes).await?;
        let mut journal = self.journal();
        for (at, _) in
            journal.overlay.iter_mut().filter(|(at, _)| at.is_none()).take(count_changes(&operations))
        {
            *at = Some(n);
        }
        journal.recorded.insert(position, Recorded::Effect(CHECKPOINT.into(), Value::Null));
        Ok(())
    }

    /// Sends a write of the attempt and waits for its answer: the position of the run's last entry.
    async fn write(&self, tx: Transaction, bytes: usize) -> Result<u64, StepError> {
        let over = |why: &str| StepError::Over { why: why.into() };
        match self.inner.link.write(tx, bytes).await {
            Some(Answer::Committed { last }) => Ok(last.n),
            Some(Answer::LeaseLost) => Err(over("its lease is another's by now")),
            Some(Answer::RunEnded { status }) => Err(over(&format!("its run is {status}"))),
            Some(Answer::RunGone) => Err(over("its run is gone")),
            Some(Answer::TooLarge { limit }) => Err(over(&format!("it wrote more than {limit}"))),
            None => Err(over("the instance stops")),
        }
    }

    /// Ends the attempt: nothing that is done through it counts any more. Gives back what waits for the
    /// commit, with the snapshot that goes with it.
    pub(crate) fn end(&self) -> (Vec<Operation>, usize, Option<NewEntry>) {
        let mut journal = self.journal();
        journal.ended = true;
        (std::mem::take(&mut journal.buffered), journal.bytes, journal.snapshot.take())
    }

    /// What is buffered, for tests of handlers.
    pub(crate) fn buffered(&self) -> Vec<Operation> {
        self.journal().buffered.clone()
    }
}

/// The name under which checkpoints are recorded.
pub(crate) const CHECKPOINT: &str = "checkpoint";

fn count_changes(operations: &[Operation]) -> usize {
    operations.iter().filter(|operation| matches!(operation.kind, OperationKind::Change(_))).count()
}

fn changed(position: String, recorded: &Recorded, now: &Recorded) -> StepError {
    StepError::Changed { position, recorded: recorded.to_string(), now: now.to_string() }
}

/// A value as JSON, measured.
pub(crate) struct Sized {
    pub(crate) value: Value,
    pub(crate) bytes: usize,
}

/// How many bytes a value has as JSON.
pub(crate) fn json_len(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A `Value` always serialises and the counter never fails.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

impl Journal {
    /// The journal of an attempt that reads the state up to `read` and replays what these entries of the
    /// run, in order, say of it.
    pub(crate) fn new(read: u64, own: &[Entry]) -> Self {
        let mut recorded = HashMap::new();
        for entry in own {
            let text = |field: &str| entry.data.get(field).and_then(Value::as_str).map(ToOwned::to_owned);
            match entry.kind {
                EntryType::EventEmitted => {
                    if let (Some(op), Some(name)) = (text("op"), text("name")) {
                        recorded.insert(op, Recorded::Emit(name));
                    }
                }
                EntryType::StepEffect => {
                    if let (Some(op), Some(name)) = (text("op"), text("name")) {
                        let result = entry.data.get("result").cloned().unwrap_or_default();
                        recorded.insert(op, Recorded::Effect(name, result));
                    }
                }
                _ => {
                    for (op, change) in changes_with_op(entry) {
                        recorded.insert(op, Recorded::Change(change, entry.id.n));
                    }
                }
            }
        }
        Self { recorded, read, ..Self::default() }
    }

    /// The journal of an attempt in a test, which finds these effects recorded.
    pub(crate) fn of_test(given: HashMap<String, VecDeque<Value>>) -> Self {
        Self { given, ..Self::default() }
    }

    fn take_position(&mut self, scope: &str) -> Result<String, StepError> {
        if self.ended {
            return Err(StepError::Over { why: "its handler has returned".into() });
        }
        let counter = self.counters.entry(scope.to_owned()).or_default();
        *counter += 1;
        Ok(if scope.is_empty() { counter.to_string() } else { format!("{scope}/{counter}") })
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("attempt", &self.inner.attempt).finish_non_exhaustive()
    }
}
