//! The error that workers return.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What workers and `main` return. Holds any error, and converts from any with `?`.
///
/// An error that a worker returns is retried by the worker's policy. [`Error::fatal`] is not;
/// [`Error::retry_after`] sets the delay. Both are found again however deep other errors wrap them.
pub struct Error(BoxError);

/// The result of a worker.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that no other attempt can mend.
#[derive(Debug)]
struct Fatal(BoxError);

/// An error that says when to try again.
#[derive(Debug)]
struct RetryAfter(BoxError, Duration);

impl Error {
    /// An error that says this.
    pub fn msg(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }

    /// An error that no other attempt can mend: the step fails at once.
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        Self(Box::new(Fatal(error.into())))
    }

    /// An error after which the next attempt begins in `delay`, whatever the worker's backoff says. It
    /// counts as a failure like any other.
    pub fn retry_after(error: impl Into<BoxError>, delay: Duration) -> Self {
        Self(Box::new(RetryAfter(error.into(), delay)))
    }

    /// The error as it was boxed.
    pub(crate) fn from_box(error: BoxError) -> Self {
        // An `Error` turned into a box and back stays what it was.
        Self(error)
    }

    /// Whether no attempt may follow.
    pub fn is_fatal(&self) -> bool {
        self.chain().any(<dyn std::error::Error + 'static>::is::<Fatal>)
    }

    /// The delay that it asks for before the next attempt.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.chain().find_map(|error| error.downcast_ref::<RetryAfter>()).map(|error| error.1)
    }

    /// The error and what lies beneath it, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        let first: &(dyn StdError + 'static) = &*self.0;
        std::iter::successors(Some(first), |error: &&(dyn StdError + 'static)| (*error).source())
    }

    /// The error and its causes in one line, as it stands in the timeline.
    pub fn report(&self) -> String {
        let mut report = String::new();
        for error in self.chain() {
            let text = error.to_string();
            // Many errors print what lies beneath them; it is said once.
            if !report.ends_with(&text) {
                if !report.is_empty() {
                    report.push_str(": ");
                }
                report.push_str(&text);
            }
        }
        report
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl From<Error> for BoxError {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Prints what a person wants to see when `main` returns it: the message, then its causes.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report())
    }
}

macro_rules! transparent {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl StdError for $name {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                self.0.source()
            }
        }
    };
}
transparent!(Fatal);
transparent!(RetryAfter);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("while charging")]
    struct Wrapped(#[source] BoxError);

    #[test]
    fn fatal_and_retry_after_are_found_beneath_other_errors() {
        let error = Error::from(Wrapped(Error::fatal("no such card").into()));
        assert!(error.is_fatal());
        assert_eq!(error.report(), "while charging: no such card");
        let error = Error::from(Wrapped(Error::retry_after("busy", Duration::from_secs(7)).into()));
        assert_eq!(error.retry_delay(), Some(Duration::from_secs(7)));
        assert!(!error.is_fatal());
    }

    #[test]
    fn any_error_converts_and_says_each_thing_once() {
        fn parse() -> Result<u32> {
            Ok("x".parse::<u32>()?)
        }
        assert_eq!(format!("{:?}", parse().unwrap_err()), "invalid digit found in string");
    }
}
