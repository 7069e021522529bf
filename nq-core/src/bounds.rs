//! The bounds by which rustc checks one worker alone: what it emits, what starts it, whose context it has.
//! The worker and the user's types are related by trait parameters, never by associated types, so that a
//! public worker may have an input that is not public.

use crate::def::{Event, EventDef, WorkerDef};

/// A worker's type: what `#[worker]` puts beside the function, under the same name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a worker",
    label = "not a worker",
    note = "make it one: put `#[nq::worker]` above the function"
)]
pub trait Worker: Sized + Send + Sync + 'static {
    /// The worker's definition, from its attribute.
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

/// The definition of the event that starts `W`.
#[doc(hidden)]
pub const fn input_def<W, E: InputOf<W>>() -> EventDef {
    E::DEF
}

/// Inputs that the worker `W` can make from the event `E`: any type that is `From<E>`.
#[diagnostic::on_unimplemented(
    message = "the input `{Self}` of worker `{W}` cannot be made from `{E}`",
    label = "not `From<{E}>`",
    note = "take `{E}` itself, or write `impl From<{E}> for {Self}`; for several events, `#[nq::input]` on an enum writes it for each"
)]
pub trait InputFrom<E, W> {
    /// Makes the input.
    fn input_from(event: E) -> Self;
}

#[diagnostic::do_not_recommend]
impl<I: From<E>, E, W> InputFrom<E, W> for I {
    fn input_from(event: E) -> Self {
        event.into()
    }
}

/// The input of a worker `W` that gathers: a `Vec` with one item for each event.
#[diagnostic::on_unimplemented(
    message = "the input of worker `{W}`, which gathers, is not a `Vec`",
    label = "not a `Vec`",
    note = "a worker that gathers runs once, with all events: write `Vec<…>`"
)]
pub trait InputOfGather<W> {
    /// The item that is made from one event.
    type Item;
    /// Makes the input.
    fn from_items(items: Vec<Self::Item>) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T, W> InputOfGather<W> for Vec<T> {
    type Item = T;
    fn from_items(items: Vec<T>) -> Self {
        items
    }
}

/// What can be a part of an event: it can be written and read as JSON, and has a JSON Schema.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a part of an event: it lacks serde or a JSON Schema",
    label = "put `#[nq::data]` above this type",
    note = "`#[nq::data]` derives what a part of an event needs: `Serialize`, `Deserialize` and `JsonSchema`",
    note = "where the type is of another crate, turn on its feature for serde and that of schemars for it, or wrap it in a type of your own"
)]
pub trait Part {}

#[diagnostic::do_not_recommend]
impl<T: serde::Serialize + serde::de::DeserializeOwned + schemars::JsonSchema> Part for T {}

/// Compiles only if the type can be a field of an event.
#[doc(hidden)]
pub const fn is_part<T: Part>() {}

/// Implemented for the worker `W` itself only, so that a worker can have no other worker's `Ctx`.
#[diagnostic::on_unimplemented(
    message = "worker `{W}` takes the context of another worker, `{Self}`",
    label = "another worker's context",
    note = "write `Ctx<{W}>`"
)]
pub trait Own<W> {}
