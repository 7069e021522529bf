//! The workers of a flow as far as a store needs them: fixed when a job is enqueued or a gather armed.

use serde::{Deserialize, Serialize};

use crate::def::{OnFailure, WorkerDef};
use crate::id::{Name, QueueName};
use crate::more::More;

/// The fixed properties of a job, whatever causes it. They are written into its record when it is enqueued, so that no
/// later decision about it consults a registry that may have changed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The worker that runs it.
    pub worker: Name,
    /// Where it waits.
    pub queue: QueueName,
    /// The gathers of the flow to which it leads. The job raises the count of each, and its end lowers it.
    pub holds: Vec<Name>,
    /// After how many crashes it is a dead letter.
    pub max_crashes: u32,
    /// What its failure means for the run.
    pub on_failure: OnFailure,
    /// Properties that only some jobs have.
    #[serde(flatten)]
    pub more: More,
}

impl JobSpec {
    /// The job of a worker without options: it holds no gather, and has the defaults of
    /// [`WorkerDef::DEFAULT`](crate::def::WorkerDef::DEFAULT).
    pub fn new(worker: Name, queue: QueueName) -> Self {
        let WorkerDef { max_crashes, on_failure, .. } = WorkerDef::DEFAULT;
        Self { worker, queue, holds: Vec::new(), max_crashes, on_failure, more: More::default() }
    }
}

/// A gather of the flow. The first job that holds it arms it, and it fires when no job holds it any more. If jobs before
/// the gather are older than it, they do not hold it; then it fires when the run has nothing else to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherSpec {
    /// The gathering worker's job.
    pub spec: JobSpec,
    /// Its place in the order in which gathers are looked at: a gather that feeds another comes before it.
    pub rank: u32,
}

/// A join or gather of the flow that had another name before. The run may have begun it under that name: an event waits at
/// the join, or the gather was armed. Then the transaction applies to the one that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its name in this transaction.
    pub worker: Name,
    /// Its job under the former name.
    pub was: JobSpec,
}
