//! The state of a run as its steps see it, and the cache of folds that makes reading it cheap.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use nq_core::decide::OperationKind;
use nq_core::entry::{EntryType, NewEntry};
use nq_core::id::{EntryId, RunId};
use nq_core::limits;
use nq_core::state::{Change, State};
use nq_core::store::{ErrorKind, Read, Store, StoreError};
use nq_core::value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::ctx::read;
use crate::patience::{Reader, patiently};
use crate::step::{Step, StepError, fits};

/// The state of a run, as one step sees it: as of one position in the timeline, the same on every attempt,
/// with the step's own changes on top. What parallel steps change meanwhile shows after a
/// [`refresh`](Self::refresh), or in the steps that follow.
///
/// ```
/// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
/// let state = ctx.state();
/// let address: Option<String> = state.get("address").await?;
/// state.set("address", "1 Main Street")?;
/// state.incr("parcels", 1)?; // parallel steps count together
/// state.delete("draft")?;
/// state.refresh().await?;
/// let parcels: Option<u64> = state.get("parcels").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StateHandle {
    step: Step,
    scope: Arc<str>,
}

/// What a key is called in errors.
const KEY: &str = "the state key";

/// The name under which a move of the read position is recorded.
pub(crate) const REFRESH: &str = "state.refresh";

impl StateHandle {
    pub(crate) fn new(step: Step, scope: Arc<str>) -> Self {
        Self { step, scope }
    }

    /// The value of a key; none if it is not set.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StepError> {
        let base = self.base().await?;
        let mut state = State::default();
        if let Some(value) = base.map.get(key) {
            state.map.insert(key.to_owned(), value.clone());
        }
        for (_, change) in self.step.journal().overlay.iter().filter(|(_, change)| change.key() == key) {
            state.apply(change);
        }
        state.map.remove(key).map(|value| read(&format!("the state `{key}`"), value)).transpose()
    }

    /// Every key with its value.
    pub async fn all(&self) -> Result<BTreeMap<String, Value>, StepError> {
        let mut state = State::clone(&*self.base().await?);
        for (_, change) in &self.step.journal().overlay {
            state.apply(change);
        }
        Ok(state.map)
    }

    /// Sets a key, when the step commits. Refuses a key of more than 1 KiB, and of values what
    /// [`emit`](crate::ctx::Ctx::emit) refuses.
    pub fn set(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), StepError> {
        fits(KEY, key)?;
        let written = self.step.json(|| format!("the state `{key}`"), value)?;
        let bytes = key.len() + written.bytes;
        self.change(Change::Set { key: key.into(), value: written.value }, bytes)
    }

    /// Removes a key, when the step commits.
    pub fn delete(&self, key: &str) -> Result<(), StepError> {
        fits(KEY, key)?;
        self.change(Change::Delete { key: key.into() }, key.len())
    }

    /// Adds to a number, when the step commits. Parallel steps count together with it: none overwrites
    /// another's. A key that is not set, or no number, counts from 0. Whole numbers are added exactly and stay within
    /// `i64::MIN..=u64::MAX`: a sum that would pass an end of it stays at that end. A fraction, and a number beyond
    /// that range, is added to as an `f64`.
    ///
    /// The sum is made when the state is read, by parallel steps too, so nothing here can tell whether it has
    /// reached an end. Read it as the type that it fits: `get::<i64>` of a sum above `i64::MAX` is an error.
    pub fn incr(&self, key: &str, by: i64) -> Result<(), StepError> {
        fits(KEY, key)?;
        self.change(Change::Incr { key: key.into(), by }, key.len())
    }

    fn change(&self, change: Change, bytes: usize) -> Result<(), StepError> {
        self.step.operate(&self.scope, OperationKind::Change(change), bytes)
    }

    /// Moves the position up to which the state is read to the end of the timeline. Recorded: a later
    /// attempt moves to the same place.
    pub fn refresh(&self) -> impl Future<Output = Result<(), StepError>> + use<> {
        let begun = self.step.begin(&self.scope, REFRESH);
        let step = self.step.clone();
        async move {
            let to = match begun? {
                (_, Some(recorded)) => recorded.as_u64().unwrap_or_default(),
                (position, None) => {
                    let run = patiently(|| step.inner.store.run(&step.attempt().run)).await?;
                    let to = run.map_or(0, |run| run.last.n);
                    let at = step.record(position, REFRESH, to.into(), 0).await?;
                    if to >= at {
                        // A later attempt reads up to where this was recorded.
                        let id = &step.attempt().run;
                        let last = patiently(|| step.inner.store.run(id)).await?.map(|run| run.last);
                        let last = last.unwrap_or(EntryId { ms: 0, n: at });
                        return Err(StoreError::lost("refresh", id, format_args!("entry {to}"), last).into());
                    }
                    to
                }
            };
            let mut journal = step.journal();
            journal.read = journal.read.max(to);
            journal.overlay.retain(|(at, _)| at.is_none_or(|at| at > to));
            Ok(())
        }
    }

    /// The state at the read position, without the step's own changes.
    async fn base(&self) -> Result<Arc<State>, StepError> {
        let inner = &self.step.inner;
        let mut base = inner.base.lock().await;
        let read = self.step.journal().read;
        if let Some(state) = base.as_ref().filter(|state| state.at == read) {
            return Ok(state.clone());
        }
        let (state, snapshot_due) =
            inner.states.load(Reader::Patient(&*inner.store), &inner.attempt.run, read).await?;
        if snapshot_due {
            let data = json!({ "asOf": state.at, "state": state.map });
            if value::size(&data) <= inner.max_payload {
                self.step.journal().snapshot = Some(NewEntry::new(EntryType::StateSnapshot, data));
            }
        }
        *base = Some(state.clone());
        Ok(state)
    }
}

/// The folds of the runs that this instance works on. A fold is a position, so it is never stale: it is
/// folded on from, or not used.
#[derive(Debug, Default)]
pub(crate) struct StateCache {
    folds: Mutex<HashMap<RunId, Fold>>,
}

/// How many runs the cache keeps a fold of.
const CACHED_RUNS: usize = 1_000;

/// A state, and how much was folded into it since the last snapshot or the beginning.
#[derive(Clone, Debug)]
struct Fold {
    state: Arc<State>,
    /// The last entry that was folded into it, if any was.
    last: Option<EntryId>,
    state_entries: usize,
    entries: u64,
}

impl Fold {
    fn calls_for_snapshot(&self) -> bool {
        self.state_entries >= limits::SNAPSHOT_STATE_ENTRIES
            || (self.state_entries > 0 && self.entries >= limits::SNAPSHOT_ENTRIES)
    }
}

impl StateCache {
    /// The state of a run as of a position, and whether it is time for a snapshot of it.
    pub(crate) async fn load(
        &self,
        reader: Reader<'_>,
        run: &RunId,
        upto: u64,
    ) -> Result<(Arc<State>, bool), StoreError> {
        let cached = self.lock().get(run).filter(|fold| fold.state.at <= upto).cloned();
        let mut fold = match cached {
            Some(fold) if fold.state.at == upto => return Ok((fold.state, false)),
            Some(fold) => fold,
            None => Fold {
                state: Arc::new(snapshot(reader, run, upto).await?),
                last: None,
                state_entries: 0,
                entries: 0,
            },
        };
        let mut state = State::clone(&fold.state);
        fold.entries += upto.saturating_sub(state.at);
        let types = [EntryType::StateSet, EntryType::StateDelete, EntryType::StateBatch];
        let mut read = Read {
            seen: fold.last,
            upto: Some(upto),
            types: types.to_vec(),
            ..Read::after(run.clone(), state.at)
        };
        loop {
            // Of a store that was set back, nothing is kept that was folded before.
            let entries = reader.read(&read).await.inspect_err(|error| {
                if error.kind == ErrorKind::Lost {
                    self.forget(run);
                }
            })?;
            let Some(last) = entries.last() else { break };
            (read.after, read.seen, fold.last) = (last.id.n, Some(last.id), Some(last.id));
            fold.state_entries += entries.len();
            for entry in &entries {
                state.fold(entry);
            }
        }
        state.at = upto;
        fold.state = Arc::new(state);
        let (state, due) = (fold.state.clone(), fold.calls_for_snapshot());
        if due {
            (fold.state_entries, fold.entries) = (0, 0);
        }
        let mut folds = self.lock();
        if folds.len() >= CACHED_RUNS && !folds.contains_key(run) {
            folds.clear();
        }
        folds.insert(run.clone(), fold);
        Ok((state, due))
    }

    /// Forgets a run that has ended.
    pub(crate) fn forget(&self, run: &RunId) {
        self.lock().remove(run);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Fold>> {
        self.folds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of the last snapshot that tells nothing after a position, or the empty one.
async fn snapshot(reader: Reader<'_>, run: &RunId, upto: u64) -> Result<State, StoreError> {
    let read = Read {
        upto: Some(upto),
        types: vec![EntryType::StateSnapshot],
        limit: 1,
        reverse: true,
        ..Read::after(run.clone(), 0)
    };
    let entries = reader.read(&read).await?;
    Ok(entries.first().and_then(State::of_snapshot).unwrap_or_default())
}

/// The state of a run as of a position, for readers outside of steps.
pub(crate) async fn state_at(store: &dyn Store, run: &RunId, upto: u64) -> Result<Arc<State>, StoreError> {
    Ok(StateCache::default().load(Reader::Once(store), run, upto).await?.0)
}
