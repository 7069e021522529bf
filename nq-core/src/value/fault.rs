//! Why a value is refused.

use std::fmt;

use crate::limits::{self, MAX_DEPTH};

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

/// Why a value is refused, while the error travels up from the place of the fault.
#[derive(Debug)]
pub(super) struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// The keys and indices on the way to the fault, the innermost first.
    path: Vec<String>,
    /// None if it is too deep.
    why: Option<String>,
}

impl Fault {
    pub(super) fn too_deep() -> Self {
        Self(Box::new(Inner { path: Vec::new(), why: None }))
    }

    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self(Box::new(Inner { path: Vec::new(), why: Some(limits::display(why)) }))
    }

    /// The fault of what lies under this key or index.
    pub(super) fn under(mut self, segment: &str) -> Self {
        /// The most bytes of a key in a place: its beginning is enough for a person.
        const SEGMENT: usize = 100;
        let segment = limits::cut_to(segment, SEGMENT).replace('~', "~0").replace('/', "~1");
        self.0.path.push(segment);
        self
    }

    pub(super) fn finish(self) -> ValueError {
        /// The first and the last steps of a long place, which are enough to find it.
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
