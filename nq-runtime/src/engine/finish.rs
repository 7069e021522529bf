//! How attempts end, and what is decided to come of it.

use std::time::Duration;

use nq_core::decide::{Attempt, End, decide};
use nq_core::limits::{self, duration_ms};
use nq_core::registry::Flow;
use nq_core::transaction::Outcome;
use nq_core::value;
use serde_json::Value;

use super::panics::quietly;
use crate::error::Error;
use crate::handler::Handler;
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

/// The ways in which an attempt can come to its end. Nothing of the program's is left in it.
pub(super) enum Ended {
    Returned(Value),
    Failed(Failure),
    Panicked(String),
    TimedOut { ms: u64, then: Option<String> },
    Killed(Kill),
}

/// What an error of a handler says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Failure {
    text: String,
    fatal: bool,
    retry_after: Option<Duration>,
    /// Whether the input does not fit the code.
    unfit: bool,
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
    handler: &Handler,
    step: Option<&Step>,
    ended: Ended,
) -> Message {
    let unreached = step.and_then(Step::unreached);
    let poison = step.and_then(Step::poisoned);
    let (operations, mut bytes, snapshot) = step.map(Step::end).unwrap_or_default();
    let failed = |error: String, fatal: bool, retry_after| match &poison {
        Some(poison) if !fatal => failed(format!("{poison}; the handler ended with: {error}"), true, None),
        _ => failed(error, fatal, retry_after),
    };
    let end = match ended {
        Ended::Returned(result) => match (value::measure(&result), unreached) {
            (Ok(size), _) if size > max_payload => {
                let limit = max_payload;
                failed(format!("the result has {size} bytes of JSON, and the limit is {limit}"), true, None)
            }
            (Ok(_), Some(fewer)) => failed(fewer.to_string(), false, None),
            (Ok(size), None) => {
                bytes += size;
                End::Complete { result }
            }
            (Err(refused), _) => {
                value::dismantle(result);
                failed(format!("the result cannot be kept: {refused}"), true, None)
            }
        },
        Ended::Failed(Failure { text, unfit: true, .. }) => End::Unfit { error: text, roll: fastrand::f64() },
        Ended::Failed(Failure { text, fatal, retry_after, .. }) => failed(text, fatal, retry_after),
        Ended::Panicked(message) => failed(format!("the worker panicked: {message}"), false, None),
        Ended::TimedOut { ms, then } => {
            let then = then.map(|panic| format!("; its future panicked when it was dropped: {panic}"));
            let after = Duration::from_millis(ms);
            failed(format!("the attempt timed out after {after:?}{}", then.unwrap_or_default()), false, None)
        }
        Ended::Killed(Kill::Shutdown) if poison.is_some() => {
            failed("the instance stopped".into(), false, None)
        }
        Ended::Killed(Kill::Shutdown) => End::Release,
        Ended::Killed(Kill::Lost) => {
            return Message::Gone { key: JobKey { run: attempt.run.clone(), step: attempt.step.clone() } };
        }
    };
    let mut tx = decide(flow, handler.def, attempt, &operations, end);
    if let (Outcome::Complete, Some(snapshot)) = (&tx.outcome, snapshot) {
        // Before the last entry, which nothing refers to by index.
        tx.entries.insert(tx.entries.len() - 1, snapshot);
    }
    Message::Write { tx, bytes, reply: None }
}

pub(super) fn failed(error: String, fatal: bool, retry_after: Option<Duration>) -> End {
    let (error, retry_after_ms) = (limits::cut(error), retry_after.map(duration_ms));
    End::Error { error, fatal, retry_after_ms, roll: fastrand::f64() }
}
