//! Turns the values of a program into JSON and measures them in one pass. It refuses values that JSON cannot keep as they
//! are: `serde_json::to_value` would write NaN as `null`, and follow any nesting until the stack overflows.

use serde::Serialize;
use serde_json::Value;

use crate::limits::MAX_DEPTH;

mod fault;
mod key;
mod length;
mod serializer;
#[cfg(test)]
mod tests;

use self::fault::Fault;
pub use self::fault::ValueError;
use self::length::measure_within;
pub use self::serializer::Written;

/// Writes a value as JSON and measures it. Refuses what is nested deeper than [`MAX_DEPTH`], numbers that JSON does
/// not have (NaN, the infinities), keys that are no strings, and what the type's own `Serialize` refuses; the error
/// says where. Ends at the first fault, so a value of any depth is refused without reading all of it.
///
/// ```
/// let written = nq_core::value::write(&vec![1.5, 2.0]).unwrap();
/// assert_eq!(written.bytes, "[1.5,2.0]".len());
/// let error = nq_core::value::write(&vec![1.5, f64::NAN]).unwrap_err();
/// assert_eq!(error.to_string(), "at `/1`: JSON has no number for NaN");
/// ```
pub fn write(value: &(impl Serialize + ?Sized)) -> Result<Written, ValueError> {
    serializer::write(value, MAX_DEPTH)
}

/// How many bytes a value has as JSON text. Refuses what is nested deeper than [`MAX_DEPTH`], and looks no deeper.
pub fn measure(value: &Value) -> Result<usize, ValueError> {
    measure_within(value, MAX_DEPTH).map_err(Fault::finish)
}

/// How many bytes something has as JSON text that nq has built around values of the program, each measured before.
pub fn size(value: &Value) -> usize {
    // Without a limit there is nothing to refuse.
    measure_within(value, usize::MAX).unwrap_or(usize::MAX)
}

/// Drops a value of any depth. Dropping it as usual takes stack for each level.
pub fn dismantle(value: Value) {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}

/// Drops a value of the program that was refused. A value of absurd depth is leaked, since dropping it would overflow the
/// stack and end the process.
pub fn give_up(value: impl Serialize, error: &ValueError) {
    /// What each thread's stack has room to drop.
    const DROPPED: usize = 2 * MAX_DEPTH;
    if error.is_too_deep() && serializer::write(&value, DROPPED).is_err_and(|error| error.is_too_deep()) {
        std::mem::forget(value);
    }
}
