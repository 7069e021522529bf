//! What a worker may return, as the result of its step.

use nq_core::value;
use serde::Serialize;
use serde_json::Value;

use crate::error::{BoxError, Error};
use crate::step::StepError;

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
    /// The error as an [`Error`].
    fn into_error(self) -> Error;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> Failure for E {
    fn into_error(self) -> Error {
        Error::from_box(self.into())
    }
}

/// Turns what a worker returned into the step's result.
pub fn outcome<T: Outcome>(returned: T) -> Result<Value, Error> {
    returned.outcome()
}
