//! Why an operation of a step was refused.

use nq_core::limits;
use nq_core::value::ValueError;

/// An operation of a step was refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The handler does another operation than the one that an earlier attempt recorded at this place.
    #[error(
        "operation {position} of the step was recorded as `{recorded}`, and is `{now}` now: a handler must do the same \
         operations in the same order on every attempt"
    )]
    Changed {
        /// The position of the operation.
        position: String,
        /// What the timeline has.
        recorded: String,
        /// What the handler did.
        now: String,
    },
    /// A value is larger than its limit.
    #[error(
        "{what} has {bytes} bytes of JSON, and the limit is {limit}: keep the data elsewhere and pass its key"
    )]
    TooLarge {
        /// The event, key or operation.
        what: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The step does more than one commit can hold.
    #[error(
        "the step has {what} waiting for its commit, and one commit holds {limit}: put a `ctx.checkpoint()` between"
    )]
    TooMany {
        /// What and how much.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// A value is nested too deep.
    #[error(
        "{what} is nested deeper than {limit} levels at `{pointer}`: make it flatter, or keep the data elsewhere and \
         pass its key"
    )]
    TooDeep {
        /// The event, key or operation.
        what: String,
        /// Where, as a JSON pointer; without its middle where it is long.
        pointer: String,
        /// The limit.
        limit: usize,
    },
    /// A state key, the name of a `ctx.run` or a scope is too long.
    #[error("{what} has {bytes} bytes, and the limit is {limit}")]
    TooLong {
        /// The beginning of it.
        what: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An operation was called inside of the act of a `ctx.run`.
    #[error(
        "`{now}` was called inside of `ctx.run({name:?})`: once the result is recorded, no attempt runs the act \
         again, so the operation would be lost. Return from the act what it needs, and do it after the `ctx.run`"
    )]
    InsideRun {
        /// What was called.
        now: String,
        /// The name of the `ctx.run`.
        name: String,
    },
    /// An act was done, and its result cannot be recorded.
    #[error(
        "the act of `ctx.run({name:?})` is done, but its result cannot be recorded, so the step fails for good \
         rather than do the act again: {error}"
    )]
    Unrecorded {
        /// The name of the `ctx.run`.
        name: String,
        /// Why.
        error: Box<StepError>,
    },
    /// The handler returned without doing what an earlier attempt recorded.
    #[error(
        "the handler returned, but an earlier attempt recorded `{recorded}` as operation {position} of the step, which \
         it did not do this time: a handler must do the same operations in the same order on every attempt"
    )]
    Fewer {
        /// The position of the operation.
        position: String,
        /// What the timeline has.
        recorded: String,
    },
    /// A value is not JSON.
    #[error("{what} cannot be written as JSON: {error}")]
    NotJson {
        /// The event, key or operation.
        what: String,
        /// What serde says.
        error: String,
    },
    /// A recorded value does not have the type that is asked for now.
    #[error("{what} cannot be read as `{type_name}`: {error}")]
    OtherType {
        /// The key or operation.
        what: String,
        /// The type that was asked for.
        type_name: &'static str,
        /// What serde says.
        error: String,
    },
    /// The worker emits an event by a name that its `emits` does not have.
    #[error("worker `{worker}` does not declare that it emits `{event}`; add it to its `emits = [...]`")]
    Undeclared {
        /// The worker.
        worker: String,
        /// The event.
        event: String,
    },
    /// The attempt is over: its lease is another's, its run has ended, or its handler has returned.
    #[error("the attempt is over: {why}")]
    Over {
        /// Why.
        why: String,
    },
    /// The store could not be asked.
    #[error("the store could not be asked")]
    Store(#[from] nq_core::store::StoreError),
}

impl StepError {
    /// Whether another attempt must not follow, since it would repeat an act that was done and is not recorded.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Self::InsideRun { .. } | Self::Unrecorded { .. })
    }

    /// A value that was refused where it was made.
    pub(crate) fn refused(what: String, error: ValueError) -> Self {
        match error {
            ValueError::TooDeep { pointer } => Self::TooDeep { what, pointer, limit: limits::MAX_DEPTH },
            other => Self::NotJson { what, error: other.to_string() },
        }
    }
}
