//! The writer's cache: records of the file, and changes that are not written yet.
//!
//! Within a batch a record is written once, however often it changes: a job that a commit enqueues and the
//! same turn leases becomes one row, and one that came and went becomes none. Between batches what is here
//! agrees with the file, so that a run whose steps follow each other is not read again for each. When
//! another process has written, all of it is forgotten.

use std::collections::{HashMap, VecDeque};

use nq_core::id::{InstanceId, Name, QueueName, RunId, StepId};
use nq_core::record::{GatherRecord, JobRecord, JobState, LaneRecord, RunRecord, StateKind};
use nq_core::status::RunStatus;
use nq_core::transaction::JobSpec;

/// Everything that the writer remembers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) runs: HashMap<RunId, CachedRun>,
    /// The run that was last asked for and is not there.
    pub(super) absent: Option<RunId>,
    /// How many runs and jobs have come in since the runs were last forgotten.
    pub(super) taken: usize,
    /// The runs that this batch has changed, in the order of their first change.
    pub(super) changed: Vec<RunId>,
    pub(super) queues: HashMap<QueueName, CachedQueue>,
    pub(super) instances: HashMap<InstanceId, CachedInstance>,
    pub(super) flows: HashMap<Name, i64>,
    pub(super) specs: Specs,
    /// The key of the next run, once it is known.
    pub(super) next_run: Option<i64>,
}

/// A run, its jobs and its gathers.
#[derive(Debug)]
pub(super) struct CachedRun {
    pub(super) key: i64,
    /// None only within the act that starts it, which writes its first entry before its record.
    pub(super) record: Option<RunRecord>,
    /// The status that the file has; none if it does not have the run.
    pub(super) saved: Option<RunStatus>,
    /// Whether the run is among the changed ones.
    pub(super) changed: bool,
    /// Whether the record is.
    pub(super) record_changed: bool,
    pub(super) jobs: HashMap<StepId, CachedJob>,
    /// The jobs that this batch has changed.
    pub(super) changed_jobs: Vec<StepId>,
    /// All of its gathers, once something has asked for them.
    pub(super) gathers: Option<Vec<GatherRecord>>,
    /// Whether it may have unpaired events at joins.
    pub(super) arrivals: bool,
}

/// A job.
#[derive(Debug)]
pub(super) struct CachedJob {
    /// None if it is gone.
    pub(super) record: Option<JobRecord>,
    pub(super) queue: QueueName,
    /// Its place in its queue, while it is queued.
    pub(super) place: i64,
    /// The state that the file has; none if it does not have the job.
    pub(super) saved: Option<StateKind>,
    /// Whether it is among the changed ones.
    pub(super) changed: bool,
}

/// A queue.
#[derive(Debug)]
pub(super) struct CachedQueue {
    pub(super) key: i64,
    pub(super) paused: bool,
    /// The first queued jobs, as far as they have been read from the file. Some may be stale: whether a job
    /// is queued at this place is decided by its record.
    pub(super) head: VecDeque<Ticket>,
    /// The place up to which the head has been read.
    pub(super) read: i64,
    /// Whether the file has more behind the head.
    pub(super) more: bool,
    /// What was queued in this batch.
    pub(super) tail: VecDeque<Ticket>,
    /// The place of the next job.
    pub(super) next: i64,
    /// What this batch adds to the counts of its jobs in each state.
    pub(super) counts: Counts,
    /// Whether a job came into it in this batch.
    pub(super) news: bool,
}

/// What is added to the counts of the jobs in each state, by its code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts([i64; StateKind::COUNT]);

impl Counts {
    pub(super) fn add(&mut self, kind: StateKind, jobs: i64) {
        self.0[kind.code()] += jobs;
    }

    /// In the order of the codes.
    pub(super) fn each(self) -> impl Iterator<Item = i64> {
        self.0.into_iter()
    }
}

/// A job that was queued at a place.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) place: i64,
    pub(super) run: RunId,
    pub(super) step: StepId,
}

/// An instance.
#[derive(Debug)]
pub(super) struct CachedInstance {
    pub(super) key: i64,
    pub(super) lane: Option<LaneRecord>,
    pub(super) changed: bool,
}

/// The job specifications that have a key. There are few, one for each worker in the main, and none goes.
#[derive(Debug, Default)]
pub(super) struct Specs {
    pub(super) by_key: HashMap<i64, JobSpec>,
    pub(super) by_queue: HashMap<QueueName, Vec<i64>>,
}

/// After how many runs and jobs taken in all runs are forgotten, so that idle ones do not fill the memory.
const MAX_TAKEN: usize = 100_000;
/// How many queued jobs of one queue are.
const MAX_HEAD: usize = 10_000;

impl CachedRun {
    pub(super) fn new(key: i64, record: Option<RunRecord>) -> Self {
        let saved = record.as_ref().map(|record| record.status);
        Self {
            key,
            // What a new run has is known: nothing.
            gathers: saved.is_none().then(Vec::new),
            arrivals: saved.is_some(),
            saved,
            record,
            changed: false,
            record_changed: false,
            jobs: HashMap::new(),
            changed_jobs: Vec::new(),
        }
    }

    /// Marks a job as changed.
    pub(super) fn change(&mut self, step: &StepId) -> Option<&mut CachedJob> {
        let job = self.jobs.get_mut(step)?;
        if !job.changed {
            job.changed = true;
            self.changed_jobs.push(step.clone());
        }
        Some(job)
    }
}

impl CachedJob {
    /// Whether it is queued at this place.
    pub(super) fn is_queued_at(&self, place: i64) -> bool {
        self.place == place && self.record.as_ref().is_some_and(|job| job.state == JobState::Queued)
    }
}

impl CachedQueue {
    /// Takes what this batch has queued, which is in the file by now, and keeps the head within bounds.
    fn settle(&mut self) {
        if self.more {
            self.tail.clear();
        } else {
            self.head.append(&mut self.tail);
        }
        if self.head.len() > MAX_HEAD {
            self.head.truncate(MAX_HEAD / 2);
            self.read = self.head.back().map_or(self.read, |ticket| ticket.place);
            self.more = true;
        }
    }
}

impl Cache {
    /// The batch is committed: forgets what will hardly be asked for again.
    pub(super) fn settle(&mut self) {
        for id in self.changed.drain(..) {
            match self.runs.get_mut(&id) {
                Some(run) if run.saved == Some(RunStatus::Running) => run.changed = false,
                _ => drop(self.runs.remove(&id)),
            }
        }
        if self.taken > MAX_TAKEN {
            self.taken = 0;
            self.runs.clear();
        }
        for queue in self.queues.values_mut() {
            queue.news = false;
            queue.settle();
        }
    }

    /// Another process has written: forgets everything that it may have changed. Keys never change, so they stay.
    pub(super) fn forget(&mut self) {
        let (flows, specs) = (std::mem::take(&mut self.flows), std::mem::take(&mut self.specs));
        *self = Self { flows, specs, ..Self::default() };
    }
}
