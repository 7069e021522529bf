//! How the engine ends attempts, and how it asks nq-core what follows.

use nq_core::decide::{self, Attempt, Ended, Failure, decide};
use nq_core::registry::{Flow, Worker};

use super::panics::quietly;
use crate::error::Error;
use crate::link::{JobKey, Message};
use crate::step::Step;

/// Why the engine ends an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    /// Its lease is lost or its run has ended, so no store would accept its writes.
    Lost,
    /// The instance stops: the job goes back unharmed.
    Shutdown,
}

impl Kill {
    /// How the attempt ends for this reason; none if there is nothing to write.
    pub(super) fn ended(self) -> Option<Ended> {
        match self {
            Self::Lost => None,
            Self::Shutdown => Some(Ended::Stopped),
        }
    }
}

/// Reads an error. Its methods are code of the program, and each of them may panic.
pub(super) fn describe(error: Error) -> Failure {
    let (fatal, retry_after, unfit) =
        quietly(|| (error.is_fatal(), error.retry_delay(), error.is_unfit())).unwrap_or_default();
    let text = quietly(|| error.report())
        .unwrap_or_else(|panic| format!("an error that cannot be printed: its `Display` panicked: {panic}"));
    let text = match quietly(|| drop(error)) {
        Ok(()) => text,
        Err(panic) => format!("{text} (and it panicked when it was dropped: {panic})"),
    };
    Failure { text, fatal, retry_after, unfit }
}

/// Decides what follows the end of the attempt.
pub(super) fn finish(
    max_payload: usize,
    attempt: &Attempt,
    flow: &Flow,
    worker: &Worker,
    step: Option<&Step>,
    ended: Option<Ended>,
) -> Message {
    let mut left = step.map(Step::end).unwrap_or_default();
    let Some(ended) = ended else {
        return Message::Gone { key: JobKey { run: attempt.run.clone(), step: attempt.step.clone() } };
    };
    let end = decide::end(ended, &mut left, max_payload, fastrand::f64());
    let mut tx = decide(flow, worker, attempt, &left.operations, end);
    if let Some(snapshot) = left.snapshot {
        decide::add_snapshot(&mut tx, snapshot);
    }
    Message::Write { tx, bytes: left.bytes, reply: None }
}
