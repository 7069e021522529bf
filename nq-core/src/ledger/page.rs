//! One run while an act changes it: its entries, counts and gathers.

use super::former::standing;
use super::records::Records;
use crate::entry::data::{FlowCompleted, FlowFailed, Typed, Unpaired};
use crate::entry::{Entry, NewEntry};
use crate::id::{EntryId, Name, StepId};
use crate::limits;
use crate::more::More;
use crate::record::{GatherRecord, Input, JobRecord, JobState, RunRecord};
use crate::status::RunStatus;
use crate::transaction::{GatherSpec, JobSpec};

/// How many unpaired events the end of a run names.
const MAX_UNPAIRED: usize = 100;

/// One run while an act changes it.
pub(super) struct Page<'a, R: Records> {
    pub(super) records: &'a mut R,
    pub(super) run: RunRecord,
    pub(super) now_ms: u64,
    /// The gathers, once something has asked for them.
    pub(super) gathers: Option<Vec<GatherRecord>>,
    /// What is known of the gathers that this act may arm.
    pub(super) declared: &'a [GatherSpec],
    /// The gathers that the committing job holds; none in a start.
    pub(super) own: Option<Vec<Name>>,
}

impl<'a, R: Records> Page<'a, R> {
    pub(super) fn new(records: &'a mut R, run: RunRecord, now_ms: u64) -> Self {
        Self { records, run, now_ms, gathers: None, declared: &[], own: None }
    }

    /// Appends an entry and gives it its id.
    pub(super) fn append(
        &mut self,
        entry: NewEntry,
        step: Option<(&StepId, u32)>,
    ) -> Result<EntryId, R::Error> {
        let (step, attempt) = step.map(|(step, attempt)| (step.clone(), attempt)).unzip();
        self.append_of(entry, step, attempt)
    }

    /// The same, for an entry whose attempt may not be known.
    pub(super) fn append_of(
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

    pub(super) fn gathers(&mut self) -> Result<&mut Vec<GatherRecord>, R::Error> {
        if self.gathers.is_none() {
            self.gathers = Some(self.records.gathers(&self.run.run)?);
        }
        Ok(self.gathers.get_or_insert_default())
    }

    /// Arms the gathers among these that no job has held before. A gather that is only declared, because a join stays half
    /// filled, is not armed: it would fire with nothing before it.
    ///
    /// If a job leads to a gather, the step that caused it leads to the gather, too, and so its job holds it. So if the
    /// committing job does not hold a gather that no job has held before, the run is older than the gather.
    pub(super) fn arm(&mut self, holds: &[Name]) -> Result<(), R::Error> {
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

    /// An event arrives at a gather. It arms the gather if no job has held that before.
    pub(super) fn gather(&mut self, worker: &Name, id: EntryId) -> Result<(), R::Error> {
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
    pub(super) fn count(&mut self, holds: &[Name], by: i64) -> Result<(), R::Error> {
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
    pub(super) fn enqueue(
        &mut self,
        spec: &JobSpec,
        cause: EntryId,
        inputs: Vec<Input>,
    ) -> Result<(), R::Error> {
        self.arm(&spec.holds)?;
        self.count(&spec.holds, 1)?;
        let run = self.run.run.clone();
        self.records.put_job(&JobRecord::queued(run, spec.clone(), cause, inputs))
    }

    /// Does what follows when a job no longer counts. Gathers that nothing holds any more fire, in the order of their rank;
    /// the job of each is counted before the next gather is looked at. Then a run without pending steps completes.
    pub(super) fn settle(&mut self, cause: EntryId) -> Result<(), R::Error> {
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

    /// A job ended, done or dead: the counts that it raised go down.
    pub(super) fn release(&mut self, job: &JobRecord) -> Result<(), R::Error> {
        self.count(&job.spec.holds, -1)
    }

    /// A job is dead: it is kept with its error, and the run fails unless the worker says otherwise.
    pub(super) fn die(&mut self, mut job: JobRecord, error: &str) -> Result<(), R::Error> {
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
    pub(super) fn end<D: Typed>(&mut self, says: impl FnOnce(u64) -> D) -> Result<(), R::Error> {
        // The time is measured by the ids of entries, so that it agrees with the timeline even if the clock went back.
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
    pub(super) fn close(self) -> Result<EntryId, R::Error> {
        self.records.put_run(&self.run)?;
        Ok(self.run.last)
    }
}
