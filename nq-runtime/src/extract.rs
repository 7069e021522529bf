//! What the parameters of a worker, after its input, are made from.

use nq_core::bounds::{Own, Worker};

use crate::ctx::Ctx;
use crate::data::{Data, MissingData, Provided};
use crate::error::Error;
use crate::step::Step;

/// A parameter of the worker `W` that is made from the step at hand. Implement it for a type of your own to
/// take it as a parameter.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of worker `{W}`",
    label = "not a parameter of a worker",
    note = "the first parameter is the input; the others are `Ctx<{W}>`, `Data<T>`, or your own type that implements `nq::Extract<W>`"
)]
pub trait Extract<W>: Sized {
    /// Makes the parameter. An error fails the attempt.
    fn extract(step: &Step) -> Result<Self, Error>;

    /// Whether the program provides what `extract` will need. Asked once, at start.
    fn check(provided: &Provided) -> Result<(), MissingData> {
        let _ = provided;
        Ok(())
    }
}

impl<W, T: Send + Sync + 'static> Extract<W> for Data<T> {
    fn extract(step: &Step) -> Result<Self, Error> {
        Ok(step.provided().require()?)
    }

    fn check(provided: &Provided) -> Result<(), MissingData> {
        provided.require::<T>().map(|_| ())
    }
}

impl<W, V: Own<W> + Worker> Extract<W> for Ctx<V> {
    fn extract(step: &Step) -> Result<Self, Error> {
        Ok(Self::new(step.clone()))
    }
}

impl<W> Extract<W> for Step {
    fn extract(step: &Step) -> Result<Self, Error> {
        Ok(step.clone())
    }
}
