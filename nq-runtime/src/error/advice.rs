//! Whether and when to try again after an error.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::boxed::BoxError;

/// An error whose source says whether and when to try again. The advice is the source, because an error that wraps this
/// one transparently hides this one and shows its source.
pub(super) struct Advised(pub(super) Advice);

pub(super) struct Advice {
    pub(super) error: BoxError,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Fatal,
    RetryAfter(Duration),
    /// The input was made for another version of the code.
    Unfit,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl fmt::Debug for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(&format!("{:?}", self.0.verdict)).field(&self.0.error).finish()
    }
}

impl StdError for Advised {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Verdict::Fatal => f.write_str("no other attempt can mend this"),
            Verdict::RetryAfter(delay) => write!(f, "another attempt may help in {delay:?}"),
            Verdict::Unfit => f.write_str("another version of the code may take this"),
        }
    }
}

impl fmt::Debug for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verdict.fmt(f)
    }
}

impl StdError for Advice {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}
