//! The journal of an attempt: the operations that it has done so far, by position, and those that earlier attempts have
//! recorded, which it recognises.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use nq_core::decide::{CHECKPOINT, Left, Operation, OperationKind};
use nq_core::entry::data::{EventEmitted, StepEffect};
use nq_core::entry::{Entry, EntryType, NewEntry};
use nq_core::limits;
use nq_core::state::{Change, changes_with_op};
use serde_json::Value;

use super::error::StepError;

/// The name under which a move of the read position is recorded.
pub(crate) const REFRESH: &str = "state.refresh";

/// The operations of an attempt so far, by position.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// How many operations each scope has begun.
    counters: HashMap<String, u32>,
    /// The operations that earlier attempts have recorded, and that this attempt has not reached yet.
    recorded: HashMap<String, Recorded>,
    /// In a test: the effects that count as recorded by earlier attempts, by name.
    given: HashMap<String, VecDeque<Value>>,
    /// What waits for the next commit.
    buffered: Vec<Operation>,
    /// The step's own changes of the state, in order. A change that is in the timeline has its position there.
    pub(crate) overlay: Vec<(Option<u64>, Change)>,
    /// The position in the timeline up to which the state is read.
    pub(crate) read: u64,
    /// A snapshot of the state that is worth writing with the step's commit.
    pub(crate) snapshot: Option<NewEntry>,
    bytes: usize,
    /// Set once the attempt is over.
    ended: bool,
    /// Whether the timeline already says that an operation came after the end.
    late: bool,
    /// The acts that were done and are not recorded, by position. If this attempt fails, no attempt may follow, since it
    /// would do them again.
    poison: BTreeMap<String, String>,
}

/// An operation that is in the timeline. Errors show it as a handler writes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Recorded {
    Emit(String),
    Change(Change, u64),
    Effect(String, Value),
}

impl Recorded {
    /// An operation as the timeline would have it.
    pub(super) fn of(kind: &OperationKind) -> Self {
        match kind {
            OperationKind::Emit { event, .. } => Self::Emit(event.to_string()),
            OperationKind::Change(change) => Self::Change(change.clone(), 0),
        }
    }

    /// An effect whose outcome is not known yet.
    pub(super) fn effect(name: &str) -> Self {
        Self::Effect(name.into(), Value::Null)
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emit(event) => write!(f, "ctx.emit({event})"),
            Self::Change(change, _) => describe(change).fmt(f),
            Self::Effect(name, _) if name == CHECKPOINT => f.write_str("ctx.checkpoint()"),
            Self::Effect(name, _) if name == REFRESH => f.write_str("ctx.state().refresh()"),
            Self::Effect(name, _) => write!(f, "ctx.run({name:?})"),
        }
    }
}

fn describe(change: &Change) -> String {
    match change {
        Change::Set { key, .. } => format!("ctx.state().set({key:?})"),
        Change::Delete { key } => format!("ctx.state().delete({key:?})"),
        Change::Incr { key, .. } => format!("ctx.state().incr({key:?})"),
    }
}

impl Journal {
    /// The journal of an attempt that reads the state up to `read` and replays what these entries of the
    /// run, in order, say of it.
    pub(crate) fn new(read: u64, own: &[Entry]) -> Self {
        let mut recorded = HashMap::new();
        for entry in own {
            match entry.kind {
                EntryType::EventEmitted => {
                    if let Ok(EventEmitted { name, op, .. }) = entry.says() {
                        recorded.insert(op, Recorded::Emit(name));
                    }
                }
                EntryType::StepEffect => {
                    if let Ok(StepEffect { name, op, mut result }) = entry.says() {
                        if name == REFRESH {
                            // The record names a later position than its own, so the store was set back in between.
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

    /// The position of an operation that is called now.
    pub(super) fn take_position(&mut self, scope: &str) -> String {
        let counter = self.counters.entry(scope.to_owned()).or_default();
        *counter += 1;
        if scope.is_empty() { counter.to_string() } else { format!("{scope}/{counter}") }
    }

    /// Recognises an operation as recorded at its position, or buffers it for the next commit.
    pub(super) fn operate(
        &mut self,
        position: String,
        kind: OperationKind,
        bytes: usize,
    ) -> Result<(), StepError> {
        if let Some(recorded) = self.recorded.get(&position) {
            let same = match (&kind, recorded) {
                (OperationKind::Emit { event, .. }, Recorded::Emit(before)) => **event == **before,
                (OperationKind::Change(now), Recorded::Change(before, _)) => {
                    describe(now) == describe(before)
                }
                _ => false,
            };
            if !same {
                return Err(changed(position, recorded, &Recorded::of(&kind)));
            }
            if let Some(Recorded::Change(change, n)) = self.recorded.remove(&position) {
                self.overlay.push((Some(n), change));
            }
            return Ok(());
        }
        if self.buffered.len() + 2 >= limits::MAX_COMMIT_ENTRIES {
            let what = format!("{} operations", self.buffered.len() + 1);
            return Err(StepError::TooMany { what, limit: limits::MAX_COMMIT_ENTRIES });
        }
        if self.bytes + bytes > limits::MAX_COMMIT_BYTES {
            let what = format!("{} bytes", self.bytes + bytes);
            return Err(StepError::TooMany { what, limit: limits::MAX_COMMIT_BYTES });
        }
        self.bytes += bytes;
        if let OperationKind::Change(change) = &kind {
            self.overlay.push((None, change.clone()));
        }
        self.buffered.push(Operation { position, kind });
        Ok(())
    }

    /// The outcome of an effect that is called now, if an earlier attempt has recorded it at this position.
    pub(super) fn recorded_effect(&mut self, position: &str, name: &str) -> Result<Option<Value>, StepError> {
        match self.recorded.remove(position) {
            None => Ok(self.given.get_mut(name).and_then(VecDeque::pop_front)),
            Some(Recorded::Effect(before, result)) if before == name => Ok(Some(result)),
            Some(other) => {
                let error = changed(position.to_owned(), &other, &Recorded::effect(name));
                self.recorded.insert(position.to_owned(), other);
                Err(error)
            }
        }
    }

    /// The first operation that an earlier attempt has recorded and this one has not done.
    fn unreached(&self) -> Option<StepError> {
        let (position, recorded) = self.recorded.iter().min_by_key(|(position, _)| order(position))?;
        Some(StepError::Fewer { position: position.clone(), recorded: recorded.to_string() })
    }

    /// What waits for the next commit.
    pub(super) fn buffered(&self) -> &[Operation] {
        &self.buffered
    }

    /// Takes the buffered operations for a checkpoint, with their bytes.
    pub(super) fn take_buffered(&mut self) -> (Vec<Operation>, usize) {
        (std::mem::take(&mut self.buffered), std::mem::take(&mut self.bytes))
    }

    /// A checkpoint has put these operations into the timeline, up to the entry `n`.
    pub(super) fn committed(&mut self, operations: &[Operation], n: u64) {
        let changes =
            operations.iter().filter(|operation| matches!(operation.kind, OperationKind::Change(_)));
        let waiting = self.overlay.iter_mut().filter(|(at, _)| at.is_none());
        for (at, _) in waiting.take(changes.count()) {
            *at = Some(n);
        }
    }

    /// Notes that no attempt may follow if this one fails, since it would repeat the act at this position.
    pub(super) fn poison(&mut self, position: &str, error: &StepError) {
        self.poison.entry(position.to_owned()).or_insert_with(|| error.to_string());
    }

    /// The act at this position is recorded after all.
    pub(super) fn cure(&mut self, position: &str) {
        self.poison.remove(position);
    }

    /// Whether the attempt is over.
    pub(super) fn is_over(&self) -> bool {
        self.ended
    }

    /// Whether this is the first operation that comes after the end.
    pub(super) fn is_late_for_the_first_time(&mut self) -> bool {
        !std::mem::replace(&mut self.late, true)
    }

    /// Ends the attempt, and returns what it leaves behind.
    pub(super) fn end(&mut self) -> Left {
        self.ended = true;
        Left {
            operations: std::mem::take(&mut self.buffered),
            bytes: self.bytes,
            snapshot: self.snapshot.take(),
            unreached: self.unreached().map(|unreached| unreached.to_string()),
            poison: self.poison.values().next().cloned(),
        }
    }
}

/// The order of positions: by scope, and in it by count.
fn order(position: &str) -> (&str, u32) {
    let (scope, count) = position.rsplit_once('/').unwrap_or(("", position));
    (scope, count.parse().unwrap_or_default())
}

fn changed(position: String, recorded: &Recorded, now: &Recorded) -> StepError {
    StepError::Changed { position, recorded: recorded.to_string(), now: now.to_string() }
}
