//! The reply to a turn.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{EntryId, Name, QueueName, RunId, StepId};
use crate::status::RunStatus;

/// The answers to a turn, in the order of its parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnReply {
    /// One for each start.
    pub started: Vec<StartAnswer>,
    /// One for each write.
    pub answers: Vec<Answer>,
    /// One for each renewal.
    pub renewed: Vec<RenewAnswer>,
    /// The jobs that the instance has leased.
    pub leases: Vec<Lease>,
}

/// Whether a start began a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// The run has begun; this is its first entry.
    New(EntryId),
    /// The run existed already.
    Existing,
}

/// The answer to one start of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAnswer {
    /// The run is there.
    Started(Started),
    /// A run of this id exists with another flow or input: nothing changed.
    IdTaken,
    /// The part of the store that would hold the run is away, or cannot be read, and nobody knows whether the run has
    /// begun: the caller asks with [`Store::start`](super::Store::start).
    Later,
    /// That part is away, but the run has certainly not begun: the caller may begin it under another id.
    Unsent,
}

/// The answer to one write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The write is in the timeline.
    Committed {
        /// The last entry of the run after the write.
        last: EntryId,
    },
    /// Another lease of the job is current, or the job is finished: nothing was written.
    LeaseLost,
    /// The run has ended: nothing was written.
    RunEnded {
        /// How it ended.
        status: RunStatus,
    },
    /// The run is gone: nothing was written.
    RunGone,
    /// It passes a limit: nothing was written.
    TooLarge {
        /// Which limit.
        limit: String,
    },
    /// The part of the store that holds the run is away, and nobody knows whether the write has happened. The instance
    /// sends it again unchanged in a later turn, before anything else of its run. It is written once.
    Later,
}

/// The answer to one renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RenewAnswer {
    /// The lease is as long as a new one.
    Renewed,
    /// The job is leased to another instance, or finished.
    LeaseLost,
    /// The run has ended: the step should stop.
    RunEnded,
    /// The part of the store that holds the run is away: the instance renews again in a later turn.
    Later,
}

/// A job that an instance may run until the lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Its flow.
    pub flow: Name,
    /// The step.
    pub step: StepId,
    /// The queue that it came from.
    pub queue: QueueName,
    /// The fencing token: every write of this attempt carries it.
    pub fence: u64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// How many attempts have failed before.
    pub failures: u32,
    /// The position up to which it reads the state.
    pub read: u64,
    /// How many operations it replays.
    pub recorded: u32,
    /// The events that it runs on, in the order of the attribute. Empty for a gather.
    pub inputs: Vec<Arrived>,
}

/// An event that reached a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrived {
    /// Its entry.
    pub id: EntryId,
    /// Its name.
    pub event: Arc<str>,
    /// Its payload.
    pub payload: Value,
    /// What the idempotency key of the step is made from.
    pub key: String,
}
