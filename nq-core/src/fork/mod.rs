//! Reruns: from the timeline of a run that has ended follows what a new run begins with that goes on where it stopped.
//!
//! The new run has the same timeline up to the end, ids included, so that step ids, inputs, recorded operations and
//! lists of gathers stay what they are. What is not in a timeline, jobs with their keys, half-filled joins and counts, is
//! made again from it: the entries are gone through in their order, and each does what it did when it was written. Only
//! the registry is that of today, so a step that is to run again is what the program makes of it now.

mod replay;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::replay::Replay;
use crate::entry::{Entry, EntryType, NewEntry};
use crate::id::{EntryId, IdError, Name, RunId};
use crate::limits::{MAX_FORK_ENTRIES, MAX_FORK_JOBS};
use crate::record::{GatherRecord, Input, JobRecord};
use crate::registry::Registry;
use crate::status::RunStatus;
use crate::store::{ErrorKind, StoreError};
use crate::transaction::Start;

/// What a rerun begins with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fork {
    /// The timeline of the run that it forks, without its end. Each entry keeps its id; the first one says `rerunOf`.
    pub entries: Vec<Entry>,
    /// The steps that run again, in the order of their causes: as queued, and counting no failure. Of each whose
    /// attempts have begun, [`JobRecord::earlier`] says how many, and the store appends a `flow.step.retrying`.
    pub jobs: Vec<JobRecord>,
    /// The events that wait at joins, in the order emitted.
    pub arrivals: Vec<Waiting>,
    /// The gathers that are armed or have fired, by rank, with the counts of the jobs above. One that none of them holds
    /// and that has not fired fires in the act that begins the run.
    pub gathers: Vec<GatherRecord>,
    /// What each gather has got, in the order emitted.
    pub lists: Vec<(Name, Vec<EntryId>)>,
}

/// An event that waits at one side of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The worker that joins.
    pub worker: Name,
    /// The side, from 0.
    pub side: u32,
    /// The value that the sides must have in common; the same empty string where they pair by order.
    pub by: String,
    /// The event.
    pub input: Input,
}

impl Fork {
    /// Refuses a fork that no store has to take, before the store does anything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`].
    pub fn fits(&self, run: &RunId) -> Result<(), StoreError> {
        let error = exceeds(self.entries.len(), self.jobs.len() + self.arrivals.len());
        error.map_or(Ok(()), |what| Err(StoreError::new(ErrorKind::TooLarge, "start", what).key(run)))
    }

    /// The id of its first entry, and of its last.
    pub fn ends(&self) -> (EntryId, EntryId) {
        let id = |entry: Option<&Entry>| entry.map(|entry| entry.id).unwrap_or_default();
        (id(self.entries.first()), id(self.entries.last()))
    }
}

/// What of a fork passes a limit.
fn exceeds(entries: usize, jobs: usize) -> Option<String> {
    if entries > MAX_FORK_ENTRIES {
        Some(format!("a rerun takes over at most {MAX_FORK_ENTRIES} entries, and the run has {entries}"))
    } else if jobs > MAX_FORK_JOBS {
        Some(format!(
            "a rerun runs at most {MAX_FORK_JOBS} steps again, events that wait at joins included, and the run has \
             {jobs} of them"
        ))
    } else {
        None
    }
}

/// A run cannot be rerun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// It has not ended.
    #[error(
        "run `{run}` still runs: give a dead step of it another set of attempts with `run.redrive(&step)`, or cancel the \
         run before you rerun it"
    )]
    Running {
        /// The run.
        run: RunId,
    },
    /// No step of it is dead or unfinished.
    #[error("run `{run}` is {status} and all of its steps are done: start a new run to do its work again")]
    NothingToDo {
        /// The run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
    },
    /// The program has no place for what the run has begun.
    #[error("run `{run}` cannot go on in this program: {what}")]
    Wiring {
        /// The run.
        run: RunId,
        /// What has no place, and what to write.
        what: String,
    },
    /// It is larger than a rerun may be.
    #[error("run `{run}` is too large for a rerun: {what}")]
    TooLarge {
        /// The run.
        run: RunId,
        /// Which limit it passes.
        what: String,
    },
    /// Its timeline is not what nq writes.
    #[error("the timeline of run `{run}` is damaged: {what}")]
    Damaged {
        /// The run.
        run: RunId,
        /// What is wrong with it.
        what: String,
    },
    /// The rerun would have no valid id.
    #[error("run `{run}` cannot be rerun")]
    Id {
        /// The run.
        run: RunId,
        /// Why its rerun can have no id.
        source: IdError,
    },
}

/// Decides what the rerun of a run of this flow begins with. `entries` are its timeline, at least up to its end.
///
/// A step runs again unless it has completed: the dead ones, and those that the end of the run cut off. What they
/// recorded stays recorded, and their attempts count on. Steps that have completed stay done, also where their code has
/// changed since.
pub fn rerun(
    registry: &Registry,
    run: &RunId,
    flow: &Name,
    mut entries: Vec<Entry>,
) -> Result<Start, ForkError> {
    let end = entries.iter().position(|entry| entry.kind.is_terminal());
    let end = end.ok_or_else(|| ForkError::Running { run: run.clone() })?;
    let status = RunStatus::after(&entries[end].kind).unwrap_or(RunStatus::Failed);
    entries.truncate(end);
    let too_large = |what| ForkError::TooLarge { run: run.clone(), what };
    exceeds(entries.len(), 0).map_or(Ok(()), |what| Err(too_large(what)))?;

    let id = run.rerun().map_err(|source| ForkError::Id { run: run.clone(), source })?;
    let mut replay = Replay::new(registry, run, flow);
    let entry = replay.all(&entries)?;
    let mut fork = replay.fork(&id, status);
    let goes_on = !fork.jobs.is_empty()
        || status != RunStatus::Completed
            && fork.gathers.iter().any(|gather| !gather.fired && gather.count == 0);
    if !goes_on {
        return Err(ForkError::NothingToDo { run: run.clone(), status });
    }
    exceeds(0, fork.jobs.len() + fork.arrivals.len()).map_or(Ok(()), |what| Err(too_large(what)))?;

    let first = entries.first_mut().and_then(|first| first.data.as_object_mut());
    let damaged = || ForkError::Damaged { run: run.clone(), what: "its first entry has no data".into() };
    first.ok_or_else(damaged)?.insert("rerunOf".into(), run.as_str().into());
    let started = NewEntry::new(EntryType::FlowStarted, entries[0].data.clone());
    fork.entries = entries;
    Ok(Start {
        run: id,
        flow: flow.clone(),
        started,
        job: entry,
        gathers: Vec::new(),
        fork: Some(Arc::new(fork)),
    })
}
