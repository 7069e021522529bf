//! What one attempt of a step writes at once: entries, the jobs that they cause, and the end of its lease.
//! It is decided before it reaches a store and refers to its own entries by index, so that a store can
//! assign ids under its own atomicity.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entry::NewEntry;
use crate::entry::data::{EntryData, FlowStarted};
use crate::fork::Fork;
use crate::id::{EntryId, InstanceId, Name, QueueName, RunId, StepId};
pub use crate::spec::{Former, GatherSpec, JobSpec};
use crate::store::{ErrorKind, StoreError};

/// A job that an entry of the transaction causes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its properties.
    pub spec: JobSpec,
    /// The index, within the transaction, of the entry that causes it and holds its input.
    pub cause: usize,
    /// What its idempotency key is made from.
    pub key: String,
}

/// An event that arrives at one side of a join. The step runs when every side has one with the same value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinArrival {
    /// The joining worker's job.
    pub spec: JobSpec,
    /// How many sides the join has.
    pub sides: u32,
    /// The side at which the event arrives, from 0.
    pub side: u32,
    /// The value that the sides must have in common; the same empty string where they pair by order.
    pub by: String,
    /// The index of the event's entry within the transaction.
    pub entry: usize,
    /// What the idempotency key of the step is made from, with those of the other sides.
    pub key: String,
}

/// An event that a gather will get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherArrival {
    /// The gathering worker.
    pub worker: Name,
    /// The index of the event's entry within the transaction.
    pub entry: usize,
}

/// Whether and how the attempt ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The attempt goes on: the transaction belongs to an effect or a checkpoint.
    Continue,
    /// The step is done. The last entry is its `flow.step.completed`.
    Complete,
    /// The step runs again, this many milliseconds from now; the failure is counted.
    Retry {
        /// The delay by the store's clock.
        delay_ms: u64,
    },
    /// The step runs again, this many milliseconds from now. Nothing is counted, since its input does not fit the code of
    /// this instance.
    Postpone {
        /// The delay by the store's clock.
        delay_ms: u64,
    },
    /// The step is dead. Unless the worker says otherwise, its run fails with this error.
    Fail {
        /// What `flow.failed` says.
        error: String,
    },
    /// The instance stops: the job goes back to its queue, and nothing is counted.
    Release,
}

/// Everything that an attempt writes at one moment. The store applies all of it or nothing, and nothing if
/// the fence is not the job's current one or the run has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// The run.
    pub run: RunId,
    /// The step whose attempt writes.
    pub step: StepId,
    /// The fencing token of its lease.
    pub fence: u64,
    /// The number of the attempt, which its entries carry.
    pub attempt: u32,
    /// What is appended, in this order.
    pub entries: Vec<NewEntry>,
    /// What the entries cause.
    pub jobs: Vec<NewJob>,
    /// What arrives at joins, in the order emitted.
    pub joins: Vec<JoinArrival>,
    /// What arrives at gathers, in the order emitted.
    pub gathered: Vec<GatherArrival>,
    /// Every gather that a job of this transaction holds, by rank, those of joins that it fires included, and every
    /// gather that something arrives at.
    pub gathers: Vec<GatherSpec>,
    /// The former names of its joins and gathers, the likeliest first.
    #[serde(default)]
    pub former: Vec<Former>,
    /// How many operations this adds to those that a later attempt replays.
    pub recorded: u32,
    /// Whether and how the attempt ends.
    pub outcome: Outcome,
}

impl Transaction {
    /// A transaction of this attempt that writes nothing yet and lets it go on.
    pub fn new(run: RunId, step: StepId, fence: u64, attempt: u32) -> Self {
        Self {
            run,
            step,
            fence,
            attempt,
            entries: Vec::new(),
            jobs: Vec::new(),
            joins: Vec::new(),
            gathered: Vec::new(),
            gathers: Vec::new(),
            former: Vec::new(),
            recorded: 0,
            outcome: Outcome::Continue,
        }
    }

    /// About how many writes a store has to make for it.
    pub fn weight(&self) -> usize {
        1 + self.entries.len() + self.jobs.len() + self.joins.len() + self.gathered.len()
    }
}

/// The beginning of a run. Idempotent by its run id: the same run id with the same input starts once.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The run's id, chosen by the caller.
    pub run: RunId,
    /// The flow that it executes.
    pub flow: Name,
    /// Its `flow.started` entry; `event` names and `input` is what the entry step runs on.
    pub started: NewEntry,
    /// The entry step's job.
    pub job: JobSpec,
    /// The gathers that the entry step holds, by rank.
    pub gathers: Vec<GatherSpec>,
    /// Only in a rerun: the entries and jobs with which it begins, instead of the entry and the job above. Its first entry
    /// has the data of `started`.
    pub fork: Option<Arc<Fork>>,
}

impl Start {
    /// Whether a run of the same flow with this first entry is the run that this start would begin: it has the same input,
    /// and a rerun has the same first entry.
    pub fn is_of(&self, first: EntryId, data: &Value) -> bool {
        let forked = self.fork.as_ref().is_none_or(|fork| fork.ends().0 == first);
        forked && FlowStarted::payload_of(data) == FlowStarted::payload_of(&self.started.data)
    }

    /// The error of a start whose id is that of another run.
    pub fn id_taken(&self) -> StoreError {
        if self.fork.is_none() {
            return StoreError::id_taken(&self.run);
        }
        let message = "the rerun of this id belongs to an earlier run, which had the same id as the one that is to be rerun";
        StoreError::new(ErrorKind::Conflict, "start", message).with_key(&self.run)
    }
}

/// A log line of a step, appended without a fence and also after the end of its run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// The step that wrote it.
    pub step: StepId,
    /// The attempt that wrote it.
    pub attempt: u32,
    /// A `log.*` entry.
    pub entry: NewEntry,
}

/// Something that is done to a run from outside. To do it twice has the same effect as once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Ends the run with `flow.cancelled`; its queued jobs are dropped, its running steps are told.
    Cancel {
        /// Why, for the timeline.
        reason: String,
    },
    /// Gives the dead letter of this step another set of attempts, in a run that still runs.
    Redrive {
        /// The dead step.
        step: StepId,
    },
}

/// The renewal of one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// The fencing token of the lease.
    pub fence: u64,
}

/// How many jobs of a queue an instance can take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The queue.
    pub queue: QueueName,
    /// At most this many.
    pub max: u32,
}

/// Everything that an instance has finished, renews and can take, in one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The instance: the name of its lane.
    pub instance: InstanceId,
    /// The turn's number on the lane, from 1, without a gap. A turn whose reply was lost is sent again with
    /// the same number and the same content.
    pub number: u64,
    /// The runs to begin, each alone. None has a [fork](Start::fork).
    pub starts: Vec<Start>,
    /// What attempts write, each alone: all or nothing, whatever happens to its neighbours.
    pub writes: Vec<Transaction>,
    /// The leases to prolong, before anything else.
    pub renewals: Vec<Renewal>,
    /// The jobs to lease, last: a job that a start or a write of the turn enqueues can be leased by it.
    pub wants: Vec<Want>,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: u64,
}

impl Turn {
    /// A turn of this instance that asks for nothing yet; leases last for so many milliseconds.
    pub fn new(instance: InstanceId, number: u64, lease_ms: u64) -> Self {
        Self {
            instance,
            number,
            starts: Vec::new(),
            writes: Vec::new(),
            renewals: Vec::new(),
            wants: Vec::new(),
            lease_ms,
        }
    }
}
