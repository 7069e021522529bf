//! Why a run cannot be rerun.

use crate::id::{IdError, RunId};
use crate::status::RunStatus;

/// A run cannot be rerun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// It has not ended.
    #[error(
        "run `{run}` still runs: give a dead step of it another set of attempts with `run.redrive(&step)`, or cancel the \
         run before you rerun it"
    )]
    Running {
        /// The run.
        run: RunId,
    },
    /// No step of it is dead or unfinished.
    #[error("run `{run}` is {status} and all of its steps are done: start a new run to do its work again")]
    NothingToDo {
        /// The run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
    },
    /// The program has no place for what the run has begun.
    #[error("run `{run}` cannot go on in this program: {what}")]
    Wiring {
        /// The run.
        run: RunId,
        /// What has no place, and what to write.
        what: String,
    },
    /// It is larger than a rerun may be.
    #[error("run `{run}` is too large for a rerun: {what}")]
    TooLarge {
        /// The run.
        run: RunId,
        /// Which limit it passes.
        what: String,
    },
    /// Its timeline is not what nq writes.
    #[error("the timeline of run `{run}` is damaged: {what}")]
    Damaged {
        /// The run.
        run: RunId,
        /// What is wrong with it.
        what: String,
    },
    /// The rerun would have no valid id.
    #[error("run `{run}` cannot be rerun")]
    Id {
        /// The run.
        run: RunId,
        /// Why its rerun can have no id.
        source: IdError,
    },
}
