//! One attempt of a step: what its handler's parameters are made from, and the journal of what it does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nq_core::decide::{self, Attempt, End, Operation, OperationKind, decide};
use nq_core::def::WorkerDef;
use nq_core::entry::{Entry, EntryType, NewEntry};
use nq_core::limits;
use nq_core::registry::Flow;
use nq_core::state::{Change, State, changes_with_op};
use nq_core::store::{Answer, Arrived, Store};
use nq_core::transaction::Transaction;
use nq_core::value::{self, ValueError, Written};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::act;
use crate::client::Client;
use crate::data::{Data, Provided};
use crate::engine::link::Link;
use crate::state::{REFRESH, StateCache};

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
    /// What earlier attempts have in the timeline, as far as this one has not come to it.
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
    /// Set once the attempt is over.
    ended: bool,
    /// Whether the timeline was told of an operation that came after the end.
    late: bool,
    /// Why no attempt may follow if this one fails: it would do an act again that was done and is not recorded. By
    /// the position of the act.
    poison: BTreeMap<String, String>,
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
    /// A value is nested too deep.
    #[error(
        "{what} is nested deeper than {limit} levels at `{pointer}`: make it flatter, or keep the data elsewhere and \
         pass its key"
    )]
    TooDeep {
        /// The event, key or operation.
        what: String,
        /// Where, as a JSON pointer.
        pointer: String,
        /// The limit.
        limit: usize,
    },
    /// A state key, the name of a `ctx.run` or a scope is too long.
    #[error("{what} has {bytes} bytes, and the limit is {limit}")]
    TooLong {
        /// The beginning of it.
        what: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An operation was called inside of the act of a `ctx.run`.
    #[error(
        "`{now}` was called inside of `ctx.run({name:?}, …)`: once the result is recorded, no attempt runs the act \
         again, so the operation would be lost. Return from the act what it needs, and do it after the `ctx.run`"
    )]
    InsideRun {
        /// What was called.
        now: String,
        /// The name of the `ctx.run`.
        name: String,
    },
    /// An act was done, and its result cannot be recorded.
    #[error(
        "the act of `ctx.run({name:?}, …)` is done, but its result cannot be recorded, so the step fails for good \
         rather than do the act again: {error}"
    )]
    Unrecorded {
        /// The name of the `ctx.run`.
        name: String,
        /// Why.
        error: Box<StepError>,
    },
    /// The handler returned without doing what an earlier attempt recorded.
    #[error(
        "the handler returned, but an earlier attempt recorded `{recorded}` as operation {position} of the step, which \
         it did not do this time: a handler must do the same operations in the same order on every attempt"
    )]
    Fewer {
        /// The position of the operation.
        position: String,
        /// What the timeline has.
        recorded: String,
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

impl StepError {
    /// Whether another attempt must not follow, since it would do again what was done and is not recorded.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Self::InsideRun { .. } | Self::Unrecorded { .. })
    }

    /// A value that was refused where it was made.
    pub(crate) fn refused(what: String, error: ValueError) -> Self {
        match error {
            ValueError::TooDeep { pointer } => Self::TooDeep { what, pointer, limit: limits::MAX_DEPTH },
            other => Self::NotJson { what, error: other.to_string() },
        }
    }
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

    /// Turns a value into JSON and measures it.
    pub(crate) fn json(
        &self,
        what: impl Fn() -> String,
        value: impl Serialize,
    ) -> Result<Written, StepError> {
        let written = match value::write(&value) {
            Ok(written) => written,
            Err(error) => {
                value::give_up(value, &error);
                return Err(StepError::refused(what(), error));
            }
        };
        let (bytes, limit) = (written.bytes, self.inner.max_payload);
        if bytes > limit {
            return Err(StepError::TooLarge { what: what(), bytes, limit });
        }
        Ok(written)
    }

    /// The journal, and the position in it of an operation that is called now.
    fn position(
        &self,
        scope: &str,
        now: impl Fn() -> Recorded,
    ) -> Result<(MutexGuard<'_, Journal>, String), StepError> {
        if let Some((position, name)) = act::running(self) {
            let error = StepError::InsideRun { now: now().to_string(), name };
            self.poison(&position, &error);
            return Err(error);
        }
        fits("the scope", scope)?;
        let mut journal = self.living(now)?;
        let position = journal.take_position(scope);
        Ok((journal, position))
    }

    /// The journal, unless the attempt is over.
    fn living(&self, now: impl Fn() -> Recorded) -> Result<MutexGuard<'_, Journal>, StepError> {
        let mut journal = self.journal();
        if !journal.ended {
            return Ok(journal);
        }
        let told = std::mem::replace(&mut journal.late, true);
        drop(journal);
        if !told {
            self.tell_late(&now());
        }
        Err(StepError::Over { why: "its handler has returned".into() })
    }

    /// Says in the timeline and in the program's log that an operation came too late.
    fn tell_late(&self, now: &Recorded) {
        let attempt = self.attempt();
        let message = format!(
            "`{now}` came after the attempt had ended, and is lost: a handler must await the tasks that it spawns"
        );
        // Outside of every span, so that it does not reach the timeline a second time.
        tracing::warn!(parent: None, run = %attempt.run, step = %attempt.step, "{message}");
        let line = decide::log(attempt, EntryType::LogWarn, message, serde_json::Map::new());
        self.inner.link.log(&attempt.run, line);
    }

    /// Sees to it that no attempt follows if this one fails.
    fn poison(&self, position: &str, error: &StepError) {
        self.journal().poison.entry(position.to_owned()).or_insert_with(|| error.to_string());
    }

    /// Why no attempt may follow if this one fails.
    pub(crate) fn poisoned(&self) -> Option<String> {
        self.journal().poison.values().next().cloned()
    }

    /// What an earlier attempt has recorded and this one, whose handler has returned, has not done.
    pub(crate) fn unreached(&self) -> Option<StepError> {
        let journal = self.journal();
        let (position, recorded) = journal.recorded.iter().min_by_key(|(position, _)| order(position))?;
        Some(StepError::Fewer { position: position.clone(), recorded: recorded.to_string() })
    }

    /// Buffers an operation for the next commit, or recognises it as recorded.
    pub(crate) fn operate(&self, scope: &str, kind: OperationKind, bytes: usize) -> Result<(), StepError> {
        let now = || match &kind {
            OperationKind::Emit { event, .. } => Recorded::Emit(event.to_string()),
            OperationKind::Change(change) => Recorded::Change(change.clone(), 0),
        };
        let (mut journal, position) = self.position(scope, now)?;
        if let Some(recorded) = journal.recorded.get(&position) {
            let same = match (&kind, recorded) {
                (OperationKind::Emit { event, .. }, Recorded::Emit(before)) => **event == **before,
                (OperationKind::Change(now), Recorded::Change(before, _)) => {
                    describe(now) == describe(before)
                }
                _ => false,
            };
            if !same {
                return Err(changed(position, recorded, &now()));
            }
            if let Some(Recorded::Change(change, n)) = journal.recorded.remove(&position) {
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
        fits("the name", name)?;
        let now = || Recorded::Effect(name.into(), Value::Null);
        let (mut journal, position) = self.position(scope, now)?;
        match journal.recorded.remove(&position) {
            None => Ok((position, journal.given.get_mut(name).and_then(VecDeque::pop_front))),
            Some(Recorded::Effect(before, result)) if before == name => Ok((position, Some(result))),
            Some(other) => {
                let error = changed(position.clone(), &other, &now());
                journal.recorded.insert(position, other);
                Err(error)
            }
        }
    }

    /// Records the outcome of an operation; when this returns, it is in the timeline, at the position that it
    /// returns.
    pub(crate) async fn record(
        &self,
        position: String,
        name: &str,
        result: Value,
        bytes: usize,
    ) -> Result<u64, StepError> {
        let inner = &self.inner;
        drop(self.living(|| Recorded::Effect(name.into(), Value::Null))?);
        let end = End::Effect { position: position.clone(), name: name.into(), result };
        let tx = decide(&inner.flow, inner.def, &inner.attempt, &[], end);
        let n = self.write(tx, bytes).await?;
        self.journal().poison.remove(&position);
        Ok(n)
    }

    /// Turns the result of an act, which is done, into JSON. If that fails, no attempt may do the act again.
    pub(crate) fn result(
        &self,
        position: &str,
        name: &str,
        result: impl Serialize,
    ) -> Result<Written, StepError> {
        self.json(|| format!("the result of {name:?}"), result).map_err(|error| {
            let error = StepError::Unrecorded { name: name.into(), error: Box::new(error) };
            self.poison(position, &error);
            error
        })
    }

    /// Commits what is buffered, and goes on.
    pub(crate) async fn checkpoint(&self, position: String) -> Result<(), StepError> {
        let inner = &self.inner;
        let (operations, bytes) = {
            let mut journal = self.journal();
            (std::mem::take(&mut journal.buffered), std::mem::take(&mut journal.bytes))
        };
        let end = End::Checkpoint { position };
        let tx = decide(&inner.flow, inner.def, &inner.attempt, &operations, end);
        let n = self.write(tx, bytes).await?;
        let mut journal = self.journal();
        for (at, _) in
            journal.overlay.iter_mut().filter(|(at, _)| at.is_none()).take(count_changes(&operations))
        {
            *at = Some(n);
        }
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
            // The engine sends it again until it is answered.
            Some(Answer::Later) => Err(over("its run is out of reach")),
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

/// Refuses a name that is too long to be written beside each operation.
pub(crate) fn fits(what: &str, name: &str) -> Result<(), StepError> {
    /// How much of a name that is too long shows which it is.
    const SHOWN: usize = 100;
    let (bytes, limit) = (name.len(), limits::MAX_KEY_BYTES);
    if bytes > limit {
        let what = format!("{what} `{}`", limits::cut_to(name, SHOWN));
        return Err(StepError::TooLong { what, bytes, limit });
    }
    Ok(())
}

/// The order of positions: by scope, and in it by count.
fn order(position: &str) -> (&str, u32) {
    let (scope, count) = position.rsplit_once('/').unwrap_or(("", position));
    (scope, count.parse().unwrap_or_default())
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
                        let mut result = entry.data.get("result").cloned().unwrap_or_default();
                        if name == REFRESH {
                            // What it saw behind itself was lost before it was recorded.
                            let to = result.as_u64().unwrap_or_default();
                            result = to.min(entry.id.n.saturating_sub(1)).into();
                        }
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

    fn take_position(&mut self, scope: &str) -> String {
        let counter = self.counters.entry(scope.to_owned()).or_default();
        *counter += 1;
        if scope.is_empty() { counter.to_string() } else { format!("{scope}/{counter}") }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("attempt", &self.inner.attempt).finish_non_exhaustive()
    }
}
