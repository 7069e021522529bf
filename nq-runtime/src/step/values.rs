//! The values and names of a step's operations: turned into JSON, measured, and refused where they are too large.

use nq_core::limits;
use nq_core::value::{self, Written};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Step;
use super::error::StepError;

impl Step {
    /// Turns a value into JSON and measures it.
    pub(crate) fn json(
        &self,
        what: impl Fn() -> String,
        value: impl Serialize,
    ) -> Result<Written, StepError> {
        let written = match value::write(&value) {
            Ok(written) => written,
            Err(error) => {
                value::give_up(value, &error);
                return Err(StepError::refused(what(), error));
            }
        };
        let (bytes, limit) = (written.bytes, self.inner.max_payload);
        if bytes > limit {
            return Err(StepError::TooLarge { what: what(), bytes, limit });
        }
        Ok(written)
    }
}

/// Refuses a name that is too long, since it is written beside each operation.
pub(crate) fn fits(what: &str, name: &str) -> Result<(), StepError> {
    /// How much of a too long name the error shows.
    const SHOWN: usize = 100;
    let (bytes, limit) = (name.len(), limits::MAX_KEY_BYTES);
    if bytes > limit {
        let what = format!("{what} `{}`", limits::cut_to(name, SHOWN));
        return Err(StepError::TooLong { what, bytes, limit });
    }
    Ok(())
}

/// Reads a recorded value as the type that is asked for.
pub(crate) fn read<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, StepError> {
    serde_json::from_value(value).map_err(|error| StepError::OtherType {
        what: what.to_owned(),
        type_name: std::any::type_name::<T>(),
        error: error.to_string(),
    })
}
