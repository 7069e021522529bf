//! Reruns: decides with what a new run begins that goes on where an ended run stopped.
//!
//! The new run has the same timeline up to the end, ids included, so that step ids, inputs, recorded operations and
//! lists of gathers stay the same. Jobs with their keys, half-filled joins and counts are not in a timeline. They are made
//! again from it: the entries are read in their order, and each has the effect that it had when it was written. Only the
//! registry is that of today, so a step runs again as the program defines it now.

mod begin;
mod error;
mod replay;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::begin::exceeds;
pub use self::begin::{Fork, Waiting};
pub use self::error::ForkError;
use self::replay::Replay;
use crate::entry::{Entry, EntryType, NewEntry};
use crate::id::{Name, RunId};
use crate::registry::Registry;
use crate::status::RunStatus;
use crate::transaction::Start;

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
