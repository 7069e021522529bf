//! Values that a program hands over: turned into JSON and measured in one pass, and refused where they could not be
//! kept as they are. `serde_json::to_value` would write NaN as `null` and follow any nesting until the stack ends.

use std::fmt;

use serde::Serialize;
use serde_json::{Number, Value};

use crate::limits::{self, MAX_DEPTH};

mod key;
mod serializer;
#[cfg(test)]
mod tests;

/// A value that cannot be kept, and where the reason lies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Its arrays and objects are nested too deep.
    #[error(
        "at `{pointer}` it is nested deeper than {MAX_DEPTH} levels: make it flatter, or keep the data elsewhere and \
         pass its key"
    )]
    TooDeep {
        /// The first array or object that is too deep, as a JSON pointer; without its middle where it is long.
        pointer: String,
    },
    /// Something in it cannot be written as JSON.
    #[error("{}{why}", at(.pointer))]
    NotJson {
        /// Where, as a JSON pointer; without its middle where it is long. Empty for the value itself.
        pointer: String,
        /// What is wrong there.
        why: String,
    },
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!("at `{pointer}`: ") }
}

impl ValueError {
    /// Whether the value is nested too deep.
    pub fn is_too_deep(&self) -> bool {
        matches!(self, Self::TooDeep { .. })
    }
}

/// A value as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The value.
    pub value: Value,
    /// How many bytes it has as JSON text.
    pub bytes: usize,
}

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

/// Gives up a value of the program that was refused. One of absurd depth is not dropped, since dropping it would
/// end the process: its memory is lost instead.
pub fn give_up(value: impl Serialize, error: &ValueError) {
    /// What each thread's stack has room to drop.
    const DROPPED: usize = 2 * MAX_DEPTH;
    if error.is_too_deep() && serializer::write(&value, DROPPED).is_err_and(|error| error.is_too_deep()) {
        std::mem::forget(value);
    }
}

fn measure_within(value: &Value, levels: usize) -> Result<usize, Fault> {
    Ok(match value {
        Value::Null => 4,
        Value::Bool(value) => bool_len(*value),
        Value::Number(number) => number_len(number),
        Value::String(text) => text_len(text),
        Value::Array(items) => {
            let levels = levels.checked_sub(1).ok_or_else(Fault::too_deep)?;
            let mut bytes = list_len(items.len());
            for (index, item) in items.iter().enumerate() {
                bytes += measure_within(item, levels).map_err(|fault| fault.under(&index.to_string()))?;
            }
            bytes
        }
        Value::Object(fields) => {
            let levels = levels.checked_sub(1).ok_or_else(Fault::too_deep)?;
            let mut bytes = list_len(fields.len());
            for (key, value) in fields {
                let value = measure_within(value, levels).map_err(|fault| fault.under(key))?;
                bytes += text_len(key) + 1 + value;
            }
            bytes
        }
    })
}

/// The brackets of a list and the commas in it.
fn list_len(items: usize) -> usize {
    2 + items.saturating_sub(1)
}

fn bool_len(value: bool) -> usize {
    if value { 4 } else { 5 }
}

fn unsigned_len(number: u64) -> usize {
    number.checked_ilog10().unwrap_or_default() as usize + 1
}

fn signed_len(number: i64) -> usize {
    unsigned_len(number.unsigned_abs()) + usize::from(number < 0)
}

fn number_len(number: &Number) -> usize {
    struct Count(usize);
    impl fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    if let Some(number) = number.as_u64() {
        return unsigned_len(number);
    }
    let mut count = Count(0);
    // The counter never fails.
    let _ = fmt::Write::write_fmt(&mut count, format_args!("{number}"));
    count.0
}

/// A text with its quotes, and what is escaped in it.
fn text_len(text: &str) -> usize {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 1,
        0x00..0x20 => 5,
        _ => 0,
    };
    2 + text.len() + text.bytes().map(escape).sum::<usize>()
}

/// Why a value is refused, as it comes up from the place of the fault.
#[derive(Debug)]
struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// The keys and indices on the way to the fault, the innermost first.
    path: Vec<String>,
    /// None if it is too deep.
    why: Option<String>,
}

impl Fault {
    fn too_deep() -> Self {
        Self(Box::new(Inner { path: Vec::new(), why: None }))
    }

    fn new(why: impl fmt::Display) -> Self {
        Self(Box::new(Inner { path: Vec::new(), why: Some(limits::display(why)) }))
    }

    /// The fault of what lies under this key or index.
    fn under(mut self, segment: &str) -> Self {
        /// A place is for a person: of a long key its beginning tells enough.
        const SEGMENT: usize = 100;
        let segment = limits::cut_to(segment, SEGMENT).replace('~', "~0").replace('/', "~1");
        self.0.path.push(segment);
        self
    }

    fn finish(self) -> ValueError {
        /// Of the place of what lies deep, the way in and the last steps are what finds it.
        const FIRST: usize = 6;
        const LAST: usize = 3;
        /// Long names are cut besides.
        const POINTER: usize = 400;
        let Inner { path, why } = *self.0;
        let left_out = path.len().saturating_sub(FIRST + LAST);
        let mut pointer = String::new();
        for (at, segment) in path.iter().rev().enumerate() {
            match at {
                // One segment is shorter than to say that it is left out.
                FIRST.. if left_out > 1 && at < FIRST + left_out => {
                    if at == FIRST {
                        pointer.push_str(&format!("/… {left_out} levels …"));
                    }
                }
                _ => pointer.extend(["/", segment]),
            }
        }
        let pointer = limits::cut_to(pointer, POINTER);
        match why {
            None => ValueError::TooDeep { pointer },
            Some(why) => ValueError::NotJson { pointer, why },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.why.as_deref().unwrap_or("it is nested too deep"))
    }
}

impl std::error::Error for Fault {}

impl serde::ser::Error for Fault {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::new(why)
    }
}
