//! The erased handler of a worker: what `#[worker]` submits, and the few functions that its expansion calls
//! to make the input from what has arrived.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use nq_core::bounds::{InputFrom, InputOf, InputOfGather};
use nq_core::def::{Event, EventDef, Misfit, WorkerDef};
use nq_core::limits;
use nq_core::store::Arrived;
use nq_core::value;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::data::{MissingData, Provided};
use crate::error::Error;
use crate::extract::Extract;
use crate::step::{Step, StepError};

pub use crate::calls::*;
pub use crate::linked::{Proven, RegistryError, linked, linked_if_any};

/// What a handler returns, boxed.
pub type Called = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;

/// Asks a parameter whether the program provides what it will need.
pub type Need = fn(&Provided) -> Result<(), MissingData>;

/// A worker's handler, as the running program sees it.
pub struct Handler {
    /// What the attribute says.
    pub def: &'static WorkerDef,
    /// The typed events that the worker names: a type may stand here twice.
    pub events: &'static [EventDef],
    /// Makes the parameters from the step, runs the worker, and turns what it returns into JSON.
    pub call: &'static (dyn Fn(Step) -> Called + Send + Sync),
    /// For each parameter: whether the program provides what it will need.
    pub needs: &'static [Need],
}
inventory::collect!(Handler);

/// The JSON Schema of an event. Says the range of each integer type, which `schemars` only names.
pub fn schema<E: schemars::JsonSchema>() -> schemars::Schema {
    let settings = SchemaSettings::default().with_transform(RecursiveTransform(nq_core::export::ranges));
    settings.into_generator().into_root_schema_for::<E>()
}

/// Reads a value as an event, to learn whether the worker will be able to.
pub fn read<E: DeserializeOwned>(value: &Value) -> Result<(), Misfit> {
    let Err(error) = serde_json::from_value::<E>(value.clone()) else { return Ok(()) };
    // Once more, for the place: only what does not fit is read twice.
    let pointer = serde_path_to_error::deserialize::<_, E>(value.clone()).err();
    let pointer = pointer.map(|error| pointer_of(error.path())).unwrap_or_default();
    Err(Misfit { pointer, message: limits::display(error) })
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    };
    limits::cut(path.iter().map(segment).collect::<String>())
}

impl Handler {
    /// Asks each parameter whether the program provides what it will need.
    pub fn check(&self, provided: &Provided) -> Result<(), MissingData> {
        self.needs.iter().try_for_each(|need| need(provided))
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("worker", &self.def.path).finish_non_exhaustive()
    }
}

/// Makes a parameter.
pub fn extract<W, T: Extract<W>>(step: &Step) -> Result<T, Error> {
    T::extract(step)
}

/// Asks a parameter what it will need.
pub fn check_provided<W, T: Extract<W>>(provided: &Provided) -> Result<(), MissingData> {
    T::check(provided)
}

/// What a worker may return: nothing, or a result whose value is kept as that of the step.
#[diagnostic::on_unimplemented(
    message = "a worker cannot return `{Self}`",
    label = "not a `Result`",
    note = "write `nq::Result<T>` with a `T` that is `serde::Serialize`, or another `Result`, or return nothing"
)]
pub trait Outcome {
    /// The value as JSON.
    fn outcome(self) -> Result<Value, Error>;
}

impl Outcome for () {
    fn outcome(self) -> Result<Value, Error> {
        Ok(Value::Null)
    }
}

impl<T: Serialize, E: Failure> Outcome for Result<T, E> {
    fn outcome(self) -> Result<Value, Error> {
        let value = self.map_err(Failure::into_error)?;
        match value::write(&value) {
            Ok(written) => Ok(written.value),
            Err(error) => {
                value::give_up(value, &error);
                Err(Error::fatal(StepError::refused("the result of the worker".into(), error)))
            }
        }
    }
}

/// What a worker may fail with: any error, boxed or not, and [`Error`] itself.
#[diagnostic::on_unimplemented(
    message = "a worker cannot fail with `{Self}`",
    label = "not an error",
    note = "implement `std::error::Error` for it, or return `nq::Result<T>`, to which any error converts with `?`"
)]
pub trait Failure {
    /// The error as the engine looks at it.
    fn into_error(self) -> Error;
}

#[diagnostic::do_not_recommend]
impl<E: Into<crate::error::BoxError>> Failure for E {
    fn into_error(self) -> Error {
        Error::from_box(self.into())
    }
}

/// Turns what a worker returned into the step's result.
pub fn outcome<T: Outcome>(returned: T) -> Result<Value, Error> {
    returned.outcome()
}

/// How an input is made from one kind of event.
pub struct Arm<I> {
    event: &'static str,
    make: fn(Value) -> Result<I, serde_json::Error>,
}

impl<I> fmt::Debug for Arm<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arm").field(&self.event).finish()
    }
}

/// From a typed event.
pub fn arm<W, I: InputFrom<E, W>, E: Event>() -> Arm<I> {
    Arm { event: E::DEF.name, make: |payload| serde_json::from_value::<E>(payload).map(I::input_from) }
}

/// From an untyped event, where typed ones may arrive too.
pub fn arm_json<W, I: InputFrom<Value, W>>(event: &'static str) -> Arm<I> {
    Arm { event, make: |payload| Ok(I::input_from(payload)) }
}

/// From an untyped event, where no other kind arrives.
pub fn arm_untyped<I: DeserializeOwned>(event: &'static str) -> Arm<I> {
    Arm { event, make: serde_json::from_value }
}

/// The input of an entry.
pub fn started<W, E: InputOf<W>>(step: &Step) -> Result<E, Error> {
    let arrived = first(step)?;
    serde_json::from_value(arrived.payload.clone()).map_err(|error| unfit(arrived, &error))
}

/// The input of a worker that subscribes to one kind of event.
pub fn sole<W, I: InputFrom<E, W>, E: Event>(step: &Step) -> Result<I, Error> {
    one_of(step, &[arm::<W, I, E>()])
}

/// The input of a worker that subscribes to several kinds.
pub fn one_of<I>(step: &Step, arms: &[Arm<I>]) -> Result<I, Error> {
    make(first(step)?, arms)
}

/// The input of a worker that gathers one kind of event.
pub fn gathered_sole<W, I: InputOfGather<W, Item = T>, T: InputFrom<E, W>, E: Event>(
    step: &Step,
) -> Result<I, Error> {
    gathered::<W, I>(step, &[arm::<W, T, E>()])
}

/// The input of a worker that gathers several kinds.
pub fn gathered<W, I: InputOfGather<W>>(step: &Step, arms: &[Arm<I::Item>]) -> Result<I, Error> {
    let items = step.inputs().iter().map(|arrived| make(arrived, arms));
    Ok(I::from_items(items.collect::<Result<_, _>>()?))
}

/// The input of a worker that joins: its sides, in the order of the attribute.
pub fn joined<W, S: Sides, I: InputFrom<S, W>>(step: &Step) -> Result<I, Error> {
    Ok(I::input_from(S::from_arrived(sides(step)?)?))
}

/// The input of a worker that joins untyped events only: their payloads, as a JSON array.
pub fn joined_untyped<I: DeserializeOwned>(step: &Step) -> Result<I, Error> {
    let payloads: Vec<Value> = sides(step)?.iter().map(|arrived| arrived.payload.clone()).collect();
    let unfit = |error| Error::unfit(format!("the payloads of the join do not fit its input: {error}"));
    serde_json::from_value(payloads.into()).map_err(unfit)
}

/// The events of a join, if they are those that the worker joins, in its order: types of one shape do not tell them
/// apart.
fn sides(step: &Step) -> Result<&[Arrived], Error> {
    let arrived = step.inputs().iter().map(|arrived| &*arrived.event);
    if arrived.clone().eq(step.worker().joins.iter().map(|event| event.name)) {
        return Ok(step.inputs());
    }
    let names: Vec<_> = arrived.map(|event| format!("`{event}`")).collect();
    let names = names.join(", ");
    Err(Error::unfit(format!(
        "the events {names} are paired, which this version of the worker does not join in this order"
    )))
}

fn first(step: &Step) -> Result<&Arrived, Error> {
    let none = "the step was made for a version of the worker that gathers: it has no event of its own";
    step.inputs().first().ok_or_else(|| Error::unfit(none))
}

fn make<I>(arrived: &Arrived, arms: &[Arm<I>]) -> Result<I, Error> {
    let arm = arms.iter().find(|arm| *arm.event == *arrived.event).ok_or_else(|| {
        Error::unfit(format!("`{}` arrived, which this version of the worker does not take", arrived.event))
    })?;
    (arm.make)(arrived.payload.clone()).map_err(|error| unfit(arrived, &error))
}

/// The payload is not what the type reads: this instance would read the same again, one of another version may not.
fn unfit(arrived: &Arrived, error: &serde_json::Error) -> Error {
    Error::unfit(format!("the payload of `{}` does not fit its type: {error}", arrived.event))
}

/// The sides of a join, as a tuple.
pub trait Sides: Sized {
    /// Reads them.
    fn from_arrived(arrived: &[Arrived]) -> Result<Self, Error>;
}

macro_rules! sides {
    ($($event:ident)*) => {
        impl<$($event: DeserializeOwned),*> Sides for ($($event,)*) {
            fn from_arrived(arrived: &[Arrived]) -> Result<Self, Error> {
                let mut sides = arrived.iter();
                Ok(($({
                    let side = sides.next().ok_or_else(|| Error::unfit("a side of the join is missing"))?;
                    serde_json::from_value::<$event>(side.payload.clone()).map_err(|error| unfit(side, &error))?
                },)*))
            }
        }
    };
}
sides!(A B);
sides!(A B C);
sides!(A B C D);
sides!(A B C D E);
sides!(A B C D E F);
sides!(A B C D E F G);
sides!(A B C D E F G H);
sides!(A B C D E F G H I);
sides!(A B C D E F G H I J);
sides!(A B C D E F G H I J K);
sides!(A B C D E F G H I J K L);
