//! The bounds by which rustc checks one worker alone: what it emits, what starts it, whose context it takes.
//! The worker and the user's types are related by trait parameters, never by associated types, so that a
//! public worker may take an event that is not public.

use crate::def::{Event, WorkerDef};

/// A worker's type: what `#[worker]` puts beside the function, under the same name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a worker",
    label = "not a worker",
    note = "make it one: put `#[nq::worker]` above the function"
)]
pub trait Worker: Sized + Send + Sync + 'static {
    /// What its attribute says.
    const DEF: &'static WorkerDef;
}

/// An event that a worker declares in `emits`.
#[diagnostic::on_unimplemented(
    message = "worker `{W}` does not declare that it emits `{Self}`",
    label = "not in this worker's `emits = [...]`",
    note = "declare it: `#[worker(emits = [{Self}])]`"
)]
pub trait EmittedBy<W>: Event {}

/// The event that starts a run at an entry worker.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not start worker `{W}`",
    label = "not the input of this worker",
    note = "a run starts at a worker that subscribes to nothing, with the input of that worker"
)]
pub trait InputOf<W>: Event {}

/// The worker itself, for parameters that belong to one worker.
#[diagnostic::on_unimplemented(
    message = "worker `{W}` takes the context of another worker, `{Self}`",
    label = "another worker's context",
    note = "write `Ctx<{W}>`"
)]
pub trait Own<W> {}
