//! The acts of a store, written once over the records that it keeps. A store that can hold its records
//! still while an act runs (a lock, a database transaction) implements [`Records`] and has the whole
//! contract; one that cannot (a script inside a server) says the same again in its own language and is
//! held to it by the conformance suite.
//!
//! Every act checks all that it needs before its first write, so that a refusal leaves nothing behind. An
//! error of the records themselves is the store's to undo.

mod acts;
mod commit;
mod damage;
mod fork;
mod former;
mod turn;

pub use self::acts::{act, append, due, expire, spare, start};
pub use self::damage::{Damage, condemn, fail, unreadable};
pub use self::turn::{LaneError, arrived, turn};
use crate::entry::data::{FlowCompleted, FlowFailed, Typed, Unpaired};
use crate::entry::{Entry, NewEntry};
use crate::id::{EntryId, InstanceId, Name, QueueName, RunId, StepId};
use crate::limits;
use crate::more::More;
use crate::record::{GatherRecord, Input, JobRecord, JobState, LaneRecord, RunRecord};
use crate::status::RunStatus;
use crate::transaction::{GatherSpec, JobSpec};

use self::former::standing;

/// The records of a store, held still for the length of one act.
///
/// What is stored of one run may be damaged, and must harm no other. A read that meets it fails with an error of
/// which [`Records::damage`] says so; what the ledger then does is to end the run and go on. Where damage shows only
/// after the first write of an act, the store undoes the act, remembers the run ([`Records::damaged`]) and begins
/// the act again.
pub trait Records {
    /// Why a record could not be read or written.
    type Error;

    /// What is wrong with what is stored of one run, if that is what this error says. None if it is about the store.
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
    /// Removes the unfinished jobs of a run that has ended; dead letters stay. At most `max`: what is left goes by
    /// later ticks, which the store remembers.
    fn drop_jobs(&mut self, run: &RunId, max: usize) -> Result<(), Self::Error>;
    /// The first jobs of a queue, at most `max`; none if it is paused. Each has a record: a queue that is
    /// only a hint is cleared of those that have none before it answers.
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

/// How many unpaired events the end of a run names.
const MAX_UNPAIRED: usize = 100;

/// One run while an act changes it.
struct Page<'a, R: Records> {
    records: &'a mut R,
    run: RunRecord,
    now_ms: u64,
    /// The gathers, once something has asked for them.
    gathers: Option<Vec<GatherRecord>>,
    /// What is known of the gathers that this act may arm.
    declared: &'a [GatherSpec],
    /// The gathers that the job holds which commits; none in a start.
    own: Option<Vec<Name>>,
}

impl<'a, R: Records> Page<'a, R> {
    fn new(records: &'a mut R, run: RunRecord, now_ms: u64) -> Self {
        Self { records, run, now_ms, gathers: None, declared: &[], own: None }
    }

    /// Appends an entry and gives it its id.
    fn append(&mut self, entry: NewEntry, step: Option<(&StepId, u32)>) -> Result<EntryId, R::Error> {
        let (step, attempt) = step.map(|(step, attempt)| (step.clone(), attempt)).unzip();
        self.append_of(entry, step, attempt)
    }

    /// The same, where the attempt may not be known.
    fn append_of(
        &mut self,
        NewEntry { kind, data }: NewEntry,
        step: Option<StepId>,
        attempt: Option<u32>,
    ) -> Result<EntryId, R::Error> {
        let id = self.run.last.next(self.now_ms);
        self.run.last = id;
        self.records.append(&self.run.run, Entry { id, kind, step, attempt, data })?;
        Ok(id)
    }

    fn gathers(&mut self) -> Result<&mut Vec<GatherRecord>, R::Error> {
        if self.gathers.is_none() {
            self.gathers = Some(self.records.gathers(&self.run.run)?);
        }
        Ok(self.gathers.get_or_insert_default())
    }

    /// Arms the gathers among these that no job has held before. What is only declared, by a join that stays
    /// half filled, is not armed: it would fire with nothing before it.
    ///
    /// Whatever causes a job that leads to a gather leads to it, too. So where the job that commits does not hold a
    /// gather that nobody has held before, the run is older than the gather.
    fn arm(&mut self, holds: &[Name]) -> Result<(), R::Error> {
        let declared = self.declared;
        for spec in declared.iter().filter(|spec| holds.contains(&spec.spec.worker)) {
            let late = self.own.as_ref().is_some_and(|own| !own.contains(&spec.spec.worker));
            let known = self.gathers()?;
            if known.iter().all(|known| known.gather.spec.worker != spec.spec.worker) {
                let (gather, count, fired, more) = (spec.clone(), 0, false, More::default());
                known.push(GatherRecord { gather, count, fired, late, more });
                known.sort_by_key(|known| known.gather.rank);
            }
        }
        Ok(())
    }

    /// An event arrives at a gather. One that no job has held is armed by it.
    fn gather(&mut self, worker: &Name, id: EntryId) -> Result<(), R::Error> {
        let gathers = self.gathers()?;
        if let Some(at) = standing(gathers, worker) {
            let worker = gathers[at].gather.spec.worker.clone();
            return self.records.push_gathered(&self.run.run, &worker, id);
        }
        self.arm(std::slice::from_ref(worker))?;
        let gathers = self.gathers()?;
        if let Some(armed) = standing(gathers, worker).map(|at| gathers[at].clone()) {
            self.records.put_gather(&self.run.run, &armed)?;
        }
        self.records.push_gathered(&self.run.run, worker, id)
    }

    /// Adds `by` to the counts of the run and of these gathers. A gather that has fired is not armed again.
    fn count(&mut self, holds: &[Name], by: i64) -> Result<(), R::Error> {
        self.run.pending = self.run.pending.saturating_add_signed(by);
        if holds.is_empty() {
            return Ok(());
        }
        let gathers = self.gathers()?;
        let mut changed = Vec::new();
        for held in holds {
            let Some(at) = standing(gathers, held) else { continue };
            let gather = &mut gathers[at];
            if !gather.fired {
                gather.count = gather.count.saturating_add_signed(by);
                changed.push(gather.clone());
            }
        }
        for gather in &changed {
            self.records.put_gather(&self.run.run, gather)?;
        }
        Ok(())
    }

    /// Enqueues the step that `cause` makes of this job.
    fn enqueue(&mut self, spec: &JobSpec, cause: EntryId, inputs: Vec<Input>) -> Result<(), R::Error> {
        self.arm(&spec.holds)?;
        self.count(&spec.holds, 1)?;
        self.records.put_job(&JobRecord {
            run: self.run.run.clone(),
            step: StepId::new(spec.worker.clone(), cause),
            spec: spec.clone(),
            inputs,
            state: JobState::Queued,
            fence: 0,
            earlier: 0,
            failures: 0,
            crashes: 0,
            read: None,
            recorded: 0,
            more: More::default(),
        })
    }

    /// What follows when a job no longer counts: gathers that nothing holds any more fire, in the order of
    /// their rank, each counted before the next is looked at; then a run without pending steps completes.
    fn settle(&mut self, cause: EntryId) -> Result<(), R::Error> {
        loop {
            let idle = self.run.pending == 0;
            let ready =
                |gather: &&mut GatherRecord| !gather.fired && gather.count == 0 && (idle || !gather.late);
            let ready = self.gathers()?.iter_mut().find(ready);
            let Some(gather) = ready else { break };
            gather.fired = true;
            let gather = gather.clone();
            self.records.put_gather(&self.run.run, &gather)?;
            self.enqueue(&gather.gather.spec, cause, Vec::new())?;
        }
        if self.run.pending == 0 {
            let unpaired = self.records.unpaired(&self.run.run, MAX_UNPAIRED)?;
            let unpaired =
                unpaired.into_iter().map(|(step_name, event)| Unpaired { step_name, event }).collect();
            self.end(|duration_ms| FlowCompleted { duration_ms, unpaired })?;
        }
        Ok(())
    }

    /// A job ended, done or dead: it gives back what it held.
    fn release(&mut self, job: &JobRecord) -> Result<(), R::Error> {
        self.count(&job.spec.holds, -1)
    }

    /// A job is dead: it is kept with its error, and the run fails unless the worker says otherwise.
    fn die(&mut self, mut job: JobRecord, error: &str) -> Result<(), R::Error> {
        self.release(&job)?;
        let on_failure = job.spec.on_failure;
        let worker = job.spec.worker.clone();
        job.state = JobState::Dead { error: error.into() };
        self.records.put_job(&job)?;
        match on_failure {
            crate::def::OnFailure::Continue => self.settle(self.run.last),
            crate::def::OnFailure::Fail => {
                let error = error.to_owned();
                self.end(|duration_ms| FlowFailed { duration_ms, error, failed_step: Some(worker) })
            }
        }
    }

    /// Appends the one terminal entry, which says how many milliseconds the run took.
    fn end<D: Typed>(&mut self, says: impl FnOnce(u64) -> D) -> Result<(), R::Error> {
        // Measured by the ids, so that the figure agrees with the timeline also when the clock went back.
        let ended_ms = self.run.last.next(self.now_ms).ms;
        let duration_ms = ended_ms.saturating_sub(self.run.started_ms);
        self.append(NewEntry::of(says(duration_ms)), None)?;
        if self.run.pending > 0 {
            self.records.drop_jobs(&self.run.run, limits::MAX_TURN_WRITES)?;
        }
        self.run.status = RunStatus::after(&D::TYPE).unwrap_or(self.run.status);
        self.run.ended_ms = Some(ended_ms);
        self.run.pending = 0;
        Ok(())
    }

    /// Writes the run back.
    fn close(self) -> Result<EntryId, R::Error> {
        self.records.put_run(&self.run)?;
        Ok(self.run.last)
    }
}
