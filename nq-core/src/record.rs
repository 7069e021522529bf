//! The records that a store keeps beside timelines. They decide who may do what; a queue or an index is only a hint that
//! there may be work.

use serde::{Deserialize, Serialize};

use crate::id::{EntryId, Name, RunId, StepId};
pub use crate::job_state::{JobState, StateIndex, StateKind, StateParts};
use crate::more::More;
use crate::spec::{GatherSpec, JobSpec};
use crate::status::RunStatus;
use crate::store::{Answer, RenewAnswer};

/// The record of a run, which is known without reading its timeline: its status and its counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Its id.
    pub run: RunId,
    /// The flow that it executes.
    pub flow: Name,
    /// Its status.
    pub status: RunStatus,
    /// When it began, in milliseconds since 1970 by the store's clock.
    pub started_ms: u64,
    /// When it ended, by the store's clock.
    pub ended_ms: Option<u64>,
    /// The id of its last entry.
    pub last: EntryId,
    /// How many of its steps are neither done nor dead. The run ends when none is left.
    pub pending: u64,
    /// What is known of only some runs.
    #[serde(flatten)]
    pub more: More,
}

/// An event that a step runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its entry in the timeline.
    pub id: EntryId,
    /// What the idempotency key of the step is made from.
    pub key: String,
}

/// One unfinished step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// What it is, as decided when it was enqueued.
    pub spec: JobSpec,
    /// The entries that it runs on: one for a subscription, one a side for a join, none for a gather, whose
    /// list may be long and is read in pages.
    pub inputs: Vec<Input>,
    /// Where it is.
    pub state: JobState,
    /// The fencing token of its current or last lease: each lease raises it.
    pub fence: u64,
    /// How many attempts do not count any more: those before it was last redriven, and those on code that its input
    /// did not fit.
    pub earlier: u32,
    /// How many of the counted attempts have failed.
    pub failures: u32,
    /// How many of the counted attempts have lost their lease, because it expired.
    pub crashes: u32,
    /// The position up to which its attempts read the state, fixed by its first lease.
    pub read: Option<u64>,
    /// How many operations a later attempt replays.
    pub recorded: u32,
    /// What is known of only some jobs.
    #[serde(flatten)]
    pub more: More,
}

impl JobRecord {
    /// A new queued job for the step that `cause` starts by this spec.
    pub fn queued(run: RunId, spec: JobSpec, cause: EntryId, inputs: Vec<Input>) -> Self {
        Self {
            run,
            step: StepId::new(spec.worker.clone(), cause),
            spec,
            inputs,
            state: JobState::Queued,
            fence: 0,
            earlier: 0,
            failures: 0,
            crashes: 0,
            read: None,
            recorded: 0,
            more: More::default(),
        }
    }

    /// Whether the lease of this fence is the one that holds it.
    pub fn is_held(&self, fence: u64) -> bool {
        self.fence == fence && matches!(self.state, JobState::Leased { .. })
    }

    /// The number of the attempt that runs or comes next, from 1.
    pub fn attempt(&self) -> u32 {
        1 + self.ended()
    }

    /// How many attempts have ended.
    pub fn ended(&self) -> u32 {
        ended(self.earlier, self.failures, self.crashes)
    }
}

/// How many attempts of a job have ended: the sum of those that the record counts separately.
pub fn ended(earlier: u32, failures: u32, crashes: u32) -> u32 {
    earlier.saturating_add(failures).saturating_add(crashes)
}

/// A gather of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherRecord {
    /// What it is, as decided when it was armed.
    pub gather: GatherSpec,
    /// How many jobs hold it.
    pub count: u64,
    /// Whether its job exists or has existed: a gather fires once.
    pub fired: bool,
    /// Whether the run is older than the gather. Then some jobs that lead to the gather do not hold it, so it fires when
    /// the run has nothing else to do.
    #[serde(default)]
    pub late: bool,
    /// What is known of only some gathers.
    #[serde(flatten)]
    pub more: More,
}

/// The name of a field of [`GatherRecord::more`]. Persisted.
pub const PART_OF: &str = "partOf";

impl GatherRecord {
    /// The gather that this one is part of, if the run has begun one gather under two names. Jobs and events of this one
    /// count for that one, and this one counts as fired.
    pub fn part_of(&self) -> Option<Name> {
        self.more.get(PART_OF)
    }

    /// Makes it part of another gather.
    pub fn set_part_of(&mut self, whole: &Name) {
        self.more.set(PART_OF, whole.as_str());
    }
}

/// The last turn of an instance and its answers, so that a turn whose reply was lost gets the same answers and is not
/// applied twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneRecord {
    /// The number of the turn.
    pub number: u64,
    /// When it was taken, by the store's clock.
    pub at_ms: u64,
    /// The answers to its writes.
    pub answers: Vec<Answer>,
    /// The answers to its renewals.
    pub renewed: Vec<RenewAnswer>,
    /// The jobs that it leased, with their fences.
    pub leased: Vec<(RunId, StepId, u64)>,
    /// What is known of only some lanes.
    #[serde(flatten)]
    pub more: More,
}

/// What the store remembers of its ticks, to tell an instance that died from a machine that slept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickRecord {
    /// When the last one was, by the store's clock.
    pub last_ms: u64,
    /// Until when no lease counts as expired.
    pub spared_until_ms: u64,
}
