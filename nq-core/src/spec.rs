//! What the workers of a flow are as far as a store is concerned: decided when a job is enqueued, a gather armed.

use serde::{Deserialize, Serialize};

use crate::def::{OnFailure, WorkerDef};
use crate::id::{Name, QueueName};
use crate::more::More;

/// What a job is, whoever causes it. Written into its record when it is enqueued, so that no decision
/// about it later consults a registry that may have changed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The worker that runs it.
    pub worker: Name,
    /// Where it waits.
    pub queue: QueueName,
    /// The gathers of the flow that it is upstream of: each is counted up by this job and down by its end.
    pub holds: Vec<Name>,
    /// How many crashes make a dead letter of it.
    pub max_crashes: u32,
    /// What its failure means for the run.
    pub on_failure: OnFailure,
    /// What only some jobs are.
    #[serde(flatten)]
    pub more: More,
}

impl JobSpec {
    /// The job of a worker that says nothing of itself: it holds no gather, and what its failure means and how many
    /// crashes are too many is as [`WorkerDef::DEFAULT`](crate::def::WorkerDef::DEFAULT) has it.
    pub fn new(worker: Name, queue: QueueName) -> Self {
        let WorkerDef { max_crashes, on_failure, .. } = WorkerDef::DEFAULT;
        Self { worker, queue, holds: Vec::new(), max_crashes, on_failure, more: More::default() }
    }
}

/// A gather of the flow: armed by the first job that holds it, fired when no job holds it any more. A gather that is
/// newer than the jobs before it, which do not hold it, fires when the run has nothing else to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherSpec {
    /// The gathering worker's job.
    pub spec: JobSpec,
    /// Its place in the order in which gathers are looked at: a gather that feeds another comes before it.
    pub rank: u32,
}

/// A join or gather of the flow that had another name before. Where the run has begun it under that name, because
/// something waits at the join or the gather was armed, this transaction means the one that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its name in this transaction.
    pub worker: Name,
    /// Its job under the former name.
    pub was: JobSpec,
}
