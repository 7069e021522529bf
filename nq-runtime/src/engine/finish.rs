//! How attempts end, and what is decided to come of it.

use nq_core::decide::{self, Attempt, Ended, Failure, decide};
use nq_core::registry::{Flow, Worker};

use super::panics::quietly;
use crate::error::Error;
use crate::link::{JobKey, Message};
use crate::step::Step;

/// Why the engine ends an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    /// Nothing that it writes would be accepted: its lease is lost or its run has ended.
    Lost,
    /// The instance stops: the job goes back unharmed.
    Shutdown,
}

impl Kill {
    /// How the attempt ends then; none if nothing of it is worth deciding on.
    pub(super) fn ended(self) -> Option<Ended> {
        match self {
            Self::Lost => None,
            Self::Shutdown => Some(Ended::Stopped),
        }
    }
}

/// What an error says, although its code is the program's and may panic wherever it is asked.
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

/// Decides what comes of the attempt.
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
