//! How attempts end, and what follows from that.

use std::time::Duration;

use serde_json::Value;

use super::attempt::{End, Operation};
use crate::entry::NewEntry;
use crate::entry::data::StepFailed;
use crate::id::{RunId, StepId};
use crate::limits;
use crate::transaction::{Outcome, Transaction};
use crate::value;

/// The ways in which an attempt can end. The result is the only value of the program in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The handler returned.
    Returned(Value),
    /// The handler returned an error.
    Failed(Failure),
    /// The handler panicked with this message.
    Panicked(String),
    /// The handler took longer than its worker allows.
    TimedOut {
        /// How long that is.
        after: Duration,
        /// The message of a panic, if dropping its future panicked.
        then: Option<String>,
    },
    /// The instance stops before the handler is done.
    Stopped,
}

/// An error of a handler, as far as the decision depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Its message.
    pub text: String,
    /// Whether no attempt may follow.
    pub fatal: bool,
    /// The delay that it asks for instead of the policy's.
    pub retry_after: Option<Duration>,
    /// Whether the input does not fit the code.
    pub unfit: bool,
}

/// What an attempt leaves behind when it ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Left {
    /// The operations that wait for its commit.
    pub operations: Vec<Operation>,
    /// How many bytes they have.
    pub bytes: usize,
    /// A snapshot of the state that goes with the commit, if one is due.
    pub snapshot: Option<NewEntry>,
    /// The first operation that an earlier attempt has recorded and this one has not done.
    pub unreached: Option<String>,
    /// An act was done and is not recorded: if this attempt fails, no other may follow, which would do the act again. The
    /// text says which act.
    pub poison: Option<String>,
}

/// Decides what follows the end of an attempt. Its result may have at most `max_payload` bytes, which are added to the
/// bytes of its operations. `roll` is a random number in `0.0..1.0`, for the jitter.
pub fn end(ended: Ended, left: &mut Left, max_payload: usize, roll: f64) -> End {
    let (unreached, poison) = (&left.unreached, &left.poison);
    let failed = |error: String, fatal: bool, retry_after| match poison {
        Some(poison) if !fatal => {
            failed(format!("{poison}; the handler ended with: {error}"), true, None, roll)
        }
        _ => failed(error, fatal, retry_after, roll),
    };
    match ended {
        Ended::Returned(result) => match (value::measure(&result), unreached) {
            (Ok(bytes), _) if bytes > max_payload => {
                let what = format!("the result has {bytes} bytes of JSON, and the limit is {max_payload}");
                failed(what, true, None)
            }
            (Ok(_), Some(unreached)) => failed(unreached.clone(), false, None),
            (Ok(bytes), None) => {
                left.bytes += bytes;
                End::Complete { result }
            }
            (Err(refused), _) => {
                value::dismantle(result);
                failed(format!("the result cannot be kept: {refused}"), true, None)
            }
        },
        Ended::Failed(Failure { text, unfit: true, .. }) => End::Unfit { error: text, roll },
        Ended::Failed(Failure { text, fatal, retry_after, .. }) => failed(text, fatal, retry_after),
        Ended::Panicked(message) => failed(format!("the worker panicked: {message}"), false, None),
        Ended::TimedOut { after, then } => {
            let then = then.map(|panic| format!("; its future panicked when it was dropped: {panic}"));
            failed(format!("the attempt timed out after {after:?}{}", then.unwrap_or_default()), false, None)
        }
        Ended::Stopped if poison.is_some() => failed("the instance stopped".into(), false, None),
        Ended::Stopped => End::Release,
    }
}

/// The end of an attempt that failed.
pub fn failed(error: String, fatal: bool, retry_after: Option<Duration>, roll: f64) -> End {
    let (error, retry_after_ms) = (limits::cut(error), retry_after.map(limits::duration_ms));
    End::Error { error, fatal, retry_after_ms, roll }
}

/// The transaction in place of a commit that a store has refused because it is larger than `limit`: the step fails for
/// good, since another attempt would write as much.
pub fn too_large(refused: Transaction, limit: &str) -> Transaction {
    let error = format!("the step wrote more than {limit}: put a `ctx.checkpoint()` between");
    let Transaction { run, step, fence, attempt, .. } = refused;
    let mut tx = Transaction::new(run, step, fence, attempt);
    tx.entries.push(NewEntry::of(StepFailed { error: error.clone() }));
    tx.outcome = Outcome::Fail { error };
    tx
}

/// Hands a job back to its queue, with nothing counted. This needs only the fencing token of the lease, since the attempt
/// is gone or cannot be asked.
pub fn give_back(run: RunId, step: StepId, fence: u64, attempt: u32) -> Transaction {
    Transaction { outcome: Outcome::Release, ..Transaction::new(run, step, fence, attempt) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MAX_PAYLOAD: usize = 10;

    fn check(ended: Ended, mut left: Left, expected: End) {
        assert_eq!(end(ended, &mut left, MAX_PAYLOAD, 0.5), expected);
        let bytes = if matches!(expected, End::Complete { .. }) { 12 } else { 5 };
        assert_eq!(left.bytes, bytes, "{expected:?}");
    }

    fn clean() -> Left {
        Left { bytes: 5, ..Left::default() }
    }

    fn unreached() -> Left {
        Left { unreached: Some("fewer".into()), ..clean() }
    }

    fn poisoned() -> Left {
        Left { poison: Some("unrecorded".into()), ..clean() }
    }

    fn error(error: &str, fatal: bool, retry_after_ms: Option<u64>) -> End {
        End::Error { error: error.into(), fatal, retry_after_ms, roll: 0.5 }
    }

    #[test]
    fn what_a_handler_returns_completes_its_step_if_it_can_be_kept() {
        let returned = || Ended::Returned(json!([1, 2, 3]));
        check(returned(), clean(), End::Complete { result: json!([1, 2, 3]) });
        check(returned(), poisoned(), End::Complete { result: json!([1, 2, 3]) });
        check(returned(), unreached(), error("fewer", false, None));
        let large = Ended::Returned(json!("x".repeat(MAX_PAYLOAD - 1)));
        check(large, unreached(), error("the result has 11 bytes of JSON, and the limit is 10", true, None));
        let deep = (0..=limits::MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
        let End::Error { error, fatal, .. } = end(Ended::Returned(deep), &mut clean(), MAX_PAYLOAD, 0.5)
        else {
            panic!("a result that is too deep is no failure")
        };
        assert!(fatal && error.starts_with("the result cannot be kept: at `/0"), "{error}");
    }

    #[test]
    fn what_fails_says_why_and_whether_another_attempt_may_follow() {
        let failure = || Failure { text: "no".into(), ..Failure::default() };
        let later = || Failure { retry_after: Some(Duration::from_secs(2)), ..failure() };
        let fatal = || Failure { fatal: true, ..failure() };
        let unfit = || Failure { unfit: true, ..failure() };
        check(Ended::Failed(failure()), clean(), error("no", false, None));
        check(Ended::Failed(failure()), unreached(), error("no", false, None));
        check(Ended::Failed(later()), clean(), error("no", false, Some(2_000)));
        check(Ended::Failed(fatal()), clean(), error("no", true, None));
        check(Ended::Failed(unfit()), clean(), End::Unfit { error: "no".into(), roll: 0.5 });
        let told = "unrecorded; the handler ended with: no";
        check(Ended::Failed(failure()), poisoned(), error(told, true, None));
        check(Ended::Failed(later()), poisoned(), error(told, true, None));
        check(Ended::Failed(fatal()), poisoned(), error("no", true, None));

        check(Ended::Panicked("oh".into()), clean(), error("the worker panicked: oh", false, None));
        let after = Duration::from_millis(1_500);
        let told = "the attempt timed out after 1.5s";
        check(Ended::TimedOut { after, then: None }, clean(), error(told, false, None));
        let told = "the attempt timed out after 1.5s; its future panicked when it was dropped: oh";
        check(Ended::TimedOut { after, then: Some("oh".into()) }, clean(), error(told, false, None));

        let long = "x".repeat(limits::MAX_TEXT_BYTES + 1);
        let cut = limits::cut(&long);
        check(Ended::Failed(Failure { text: long, ..failure() }), clean(), error(&cut, false, None));
    }

    #[test]
    fn an_instance_that_stops_gives_its_job_back_unless_an_act_would_be_done_twice() {
        check(Ended::Stopped, clean(), End::Release);
        check(Ended::Stopped, unreached(), End::Release);
        let told = "unrecorded; the handler ended with: the instance stopped";
        check(Ended::Stopped, poisoned(), error(told, true, None));
    }

    #[test]
    fn a_commit_that_is_too_large_becomes_the_failure_of_its_step() {
        let (run, step) = (RunId::new("r").unwrap(), "a@1-1".parse::<StepId>().unwrap());
        let empty = Transaction::new(run.clone(), step.clone(), 7, 3);
        let log = NewEntry::of(StepFailed { error: "other".into() });
        let refused =
            Transaction { entries: vec![log; 3], recorded: 2, outcome: Outcome::Complete, ..empty.clone() };
        let error = "the step wrote more than 2 entries in one commit: put a `ctx.checkpoint()` between";
        let said = NewEntry::of(StepFailed { error: error.into() });
        let failed = Transaction {
            entries: vec![said],
            outcome: Outcome::Fail { error: error.into() },
            ..empty.clone()
        };
        assert_eq!(too_large(refused, "2 entries in one commit"), failed);
        assert_eq!(give_back(run, step, 7, 3), Transaction { outcome: Outcome::Release, ..empty });
    }
}
