//! What a rerun begins with, as a store takes it.

use crate::entry::Entry;
use crate::id::{EntryId, Name, RunId};
use crate::limits::{MAX_FORK_ENTRIES, MAX_FORK_JOBS};
use crate::record::{GatherRecord, Input, JobRecord};
use crate::store::{ErrorKind, StoreError};

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
    /// Refuses a fork that is larger than a store must accept, before the store does anything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`].
    pub fn fits(&self, run: &RunId) -> Result<(), StoreError> {
        let error = exceeds(self.entries.len(), self.jobs.len() + self.arrivals.len());
        error.map_or(Ok(()), |what| Err(StoreError::new(ErrorKind::TooLarge, "start", what).with_key(run)))
    }

    /// The id of its first entry, and of its last.
    pub fn ends(&self) -> (EntryId, EntryId) {
        let id = |entry: Option<&Entry>| entry.map(|entry| entry.id).unwrap_or_default();
        (id(self.entries.first()), id(self.entries.last()))
    }
}

/// Which limit a fork passes, if any.
pub(super) fn exceeds(entries: usize, jobs: usize) -> Option<String> {
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
