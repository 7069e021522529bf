//! Makes the input of a worker and its other parameters from a step.

use std::fmt;

use nq_core::bounds::{InputFrom, InputOf, InputOfGather};
use nq_core::def::Event;
use nq_core::store::Arrived;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::data::{MissingData, Provided};
use crate::error::Error;
use crate::extract::Extract;
use crate::step::Step;

/// Makes a parameter.
pub fn extract<W, T: Extract<W>>(step: &Step) -> Result<T, Error> {
    T::extract(step)
}

/// Checks that the program provides what a parameter needs.
pub fn check_provided<W, T: Extract<W>>(provided: &Provided) -> Result<(), MissingData> {
    T::check(provided)
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

/// The events of a join, if their names are those that the worker joins, in its order. The types alone do not show a
/// mistake, since two of them may have the same shape.
fn sides(step: &Step) -> Result<&[Arrived], Error> {
    let arrived = step.inputs().iter().map(|arrived| &*arrived.event);
    if arrived.clone().eq(&step.worker().joins) {
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

/// The error of a payload that does not fit its type. Another attempt here would fail again; an instance of another
/// version may not.
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
