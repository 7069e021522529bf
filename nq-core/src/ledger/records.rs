//! The interface of a store's records, over which the acts are written.

use crate::entry::Entry;
use crate::id::{EntryId, InstanceId, Name, QueueName, RunId, StepId};
use crate::record::{GatherRecord, Input, JobRecord, LaneRecord, RunRecord};

/// The known damage of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub what: String,
    /// Whether not even the end of the run can be written.
    pub beyond_repair: bool,
}

/// The records of a store, which nothing else changes while one act runs.
///
/// The stored data of one run may be damaged, and this must harm no other run. A read of such data fails with an error
/// that [`Records::damage`] recognises; the ledger then ends the run and goes on. If an act meets the damage only after
/// its first write, the store undoes the act, remembers the run ([`Records::damaged`]) and begins the act again.
pub trait Records {
    /// Why a record could not be read or written.
    type Error;

    /// The damage of one run that this error is about. None if it is an error of the store.
    fn damage(error: &Self::Error) -> Option<String>;
    /// What an earlier try of this act has found damaged of this run.
    fn damaged(&mut self, run: &RunId) -> Option<Damage>;
    /// Makes a dead letter, with this error, of a job whose record may be unreadable. Reads no more of it than it
    /// must.
    fn bury(&mut self, run: &RunId, step: &StepId, error: &str) -> Result<(), Self::Error>;

    /// The run of this id.
    fn run(&mut self, run: &RunId) -> Result<Option<RunRecord>, Self::Error>;
    /// Writes a run, new or known.
    fn put_run(&mut self, run: &RunRecord) -> Result<(), Self::Error>;

    /// The entry at a position; none if there is none.
    fn entry(&mut self, run: &RunId, n: u64) -> Result<Option<Entry>, Self::Error>;
    /// Adds an entry, which carries its id, to the end of a timeline.
    fn append(&mut self, run: &RunId, entry: Entry) -> Result<(), Self::Error>;

    /// The unfinished job of a step.
    fn job(&mut self, run: &RunId, step: &StepId) -> Result<Option<JobRecord>, Self::Error>;
    /// Writes a job, new or known. One that becomes queued goes to the end of its queue.
    fn put_job(&mut self, job: &JobRecord) -> Result<(), Self::Error>;
    /// Removes a job.
    fn remove_job(&mut self, job: &JobRecord) -> Result<(), Self::Error>;
    /// Removes the unfinished jobs of a run that has ended, at most `max`; dead letters stay. If jobs are left, the store
    /// remembers the run, and later ticks remove them.
    fn drop_jobs(&mut self, run: &RunId, max: usize) -> Result<(), Self::Error>;
    /// The first jobs of a queue, at most `max`; none if it is paused. Each has a record: if the store's queue may hold
    /// jobs without a record, the store removes those first.
    fn queued(&mut self, queue: &QueueName, max: u32) -> Result<Vec<(RunId, StepId)>, Self::Error>;

    /// The gathers of a run, by rank.
    fn gathers(&mut self, run: &RunId) -> Result<Vec<GatherRecord>, Self::Error>;
    /// Writes a gather, new or known.
    fn put_gather(&mut self, run: &RunId, gather: &GatherRecord) -> Result<(), Self::Error>;
    /// Adds an event to the list of a gather.
    fn push_gathered(&mut self, run: &RunId, worker: &Name, id: EntryId) -> Result<(), Self::Error>;
    /// Moves the events of one gather to the list of another, which stays in the order emitted. An event that both
    /// have is there once.
    fn move_gathered(&mut self, run: &RunId, from: &Name, to: &Name) -> Result<(), Self::Error>;

    /// Takes the first unpaired event from one side of a join.
    fn take_arrival(
        &mut self,
        run: &RunId,
        worker: &Name,
        side: u32,
        by: &str,
    ) -> Result<Option<Input>, Self::Error>;
    /// Whether a side of a join has an unpaired event.
    fn has_arrival(&mut self, run: &RunId, worker: &Name, side: u32, by: &str) -> Result<bool, Self::Error>;
    /// Whether any side of a join has an unpaired event.
    fn has_arrivals(&mut self, run: &RunId, worker: &Name) -> Result<bool, Self::Error>;
    /// Adds an unpaired event to one side of a join, behind those that were emitted before it.
    fn put_arrival(
        &mut self,
        run: &RunId,
        worker: &Name,
        side: u32,
        by: &str,
        input: &Input,
    ) -> Result<(), Self::Error>;
    /// Takes all unpaired events of a join, with the side and the value of each, in the order emitted.
    fn take_arrivals(&mut self, run: &RunId, worker: &Name)
    -> Result<Vec<(u32, String, Input)>, Self::Error>;
    /// The unpaired events of a run, at most `max`, by worker and position.
    fn unpaired(&mut self, run: &RunId, max: usize) -> Result<Vec<(Name, EntryId)>, Self::Error>;

    /// The lane of an instance.
    fn lane(&mut self, instance: &InstanceId) -> Result<Option<LaneRecord>, Self::Error>;
    /// Writes a lane.
    fn put_lane(&mut self, instance: &InstanceId, lane: &LaneRecord) -> Result<(), Self::Error>;
}
