//! The folds of runs: the state as of a position, and the cache that makes reading it cheap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nq_core::decide::SinceSnapshot;
use nq_core::entry::EntryType;
use nq_core::id::{EntryId, RunId};
use nq_core::state::State;
use nq_core::store::{ErrorKind, Read, Store, StoreError};

use crate::patience::Reader;

/// The folds of the runs that this instance works on. A fold belongs to a position in the timeline, so it is never stale:
/// a later state is folded from it, and for an earlier state it is not used.
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
    since: SinceSnapshot,
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
                since: SinceSnapshot::default(),
            },
        };
        let mut state = State::clone(&fold.state);
        fold.since.entries += upto.saturating_sub(state.at);
        let types = [EntryType::StateSet, EntryType::StateDelete, EntryType::StateBatch];
        let mut read = Read {
            seen: fold.last,
            upto: Some(upto),
            types: types.to_vec(),
            ..Read::after(run.clone(), state.at)
        };
        loop {
            // The store was set back, so the cached fold may hold entries that are gone.
            let entries = reader.read(&read).await.inspect_err(|error| {
                if error.kind() == ErrorKind::Lost {
                    self.forget(run);
                }
            })?;
            let Some(last) = entries.last() else { break };
            (read.after, read.seen, fold.last) = (last.id.n, Some(last.id), Some(last.id));
            fold.since.state_entries += entries.len();
            for entry in &entries {
                state.fold(entry);
            }
        }
        state.at = upto;
        fold.state = Arc::new(state);
        let (state, due) = (fold.state.clone(), fold.since.is_due());
        if due {
            fold.since = SinceSnapshot::default();
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

/// The state in the last snapshot at or before a position, or the empty state.
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
