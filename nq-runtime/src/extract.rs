//! Makes the parameters of a worker that follow its input.

use nq_core::bounds::{Own, Worker};

use crate::client::Client;
use crate::ctx::Ctx;
use crate::data::{Data, MissingData, Provided};
use crate::error::Error;
use crate::step::Step;

/// A parameter of the worker `W` that is made from the step that runs. nq implements it for [`Ctx<W>`](Ctx),
/// [`Data<T>`](Data), [`Client`] and [`Step`]; implement it for a type of your own to take it as a parameter.
///
/// ```
/// use nq::{Extract, MissingData, Provided, Step};
///
/// struct Config { currency: String }
///
/// /// The currency of the shop, out of what the program provides with `.data(Config { … })`.
/// struct Currency(String);
///
/// impl<W> Extract<W> for Currency {
///     fn extract(step: &Step) -> nq::Result<Self> {
///         Ok(Self(step.provided().require::<Config>()?.currency.clone()))
///     }
///
///     // Asked at start, so that a forgotten `.data(…)` stops the program rather than its steps.
///     fn check(provided: &Provided) -> Result<(), MissingData> {
///         provided.require::<Config>().map(|_| ())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of worker `{W}`",
    label = "not a parameter of a worker",
    note = "the first parameter is the input; the others are `Ctx<{W}>`, `Data<T>`, `nq::Client`, or your own type that implements `nq::Extract<W>`"
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

impl<W, T: ?Sized + Send + Sync + 'static> Extract<W> for Data<T> {
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

impl<W> Extract<W> for Client {
    fn extract(step: &Step) -> Result<Self, Error> {
        Ok(step.client().clone())
    }
}

impl<W> Extract<W> for Step {
    fn extract(step: &Step) -> Result<Self, Error> {
        Ok(step.clone())
    }
}
