//! The error that workers return.

mod advice;
mod beneath;
mod boxed;
mod effect;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use nq_core::limits::{MAX_TEXT_BYTES, display_to};

use self::advice::{Advice, Advised, Verdict};
use self::beneath::{downcast, find, innermost, sources};
pub use self::boxed::{AnyError, BoxError};
pub use self::effect::EffectError;
use crate::step::StepError;

/// What workers and `main` return. Holds any error, and converts from any with `?`.
///
/// An error that a worker returns is retried by the worker's policy. [`Error::fatal`] is not;
/// [`Error::retry_after`] sets the delay. Both are found again however deep other errors wrap them.
///
/// ```
/// # #[derive(Debug, thiserror::Error)]
/// # enum BankError {
/// #     #[error("there is no such card")]
/// #     NoCard,
/// #     #[error("the bank is busy")]
/// #     Busy,
/// # }
/// use std::time::Duration;
///
/// fn judge(error: BankError) -> nq::Error {
///     match error {
///         BankError::NoCard => nq::Error::fatal(error),
///         BankError::Busy => nq::Error::retry_after(error, Duration::from_secs(60)),
///     }
/// }
///
/// let error = judge(BankError::NoCard);
/// assert!(error.is_fatal());
/// assert!(matches!(error.downcast_ref(), Some(BankError::NoCard)));
/// ```
///
/// # Into other errors
///
/// Since it takes in any error, it cannot itself implement [`std::error::Error`]; `?` turns it into a
/// `Box<dyn Error>`, with `Send` and `Sync` if asked. For `anyhow` and for enums, [`into_std`](Self::into_std)
/// makes an error of the standard library of it. All other errors of nq are such errors, and need no conversion.
///
/// ```
/// # async fn worker() -> nq::Result<()> { Ok(()) }
/// #[derive(Debug, thiserror::Error)]
/// enum AppError {
///     #[error(transparent)]
///     Open(#[from] nq::OpenError),
///     #[error(transparent)]
///     Worker(#[from] nq::AnyError),
/// }
///
/// async fn boxed() -> Result<(), Box<dyn std::error::Error>> {
///     Ok(worker().await?)
/// }
///
/// async fn own() -> Result<(), AppError> {
///     nq::open("memory:").await?;
///     worker().await.map_err(nq::Error::into_std)?;
///     Ok(())
/// }
///
/// async fn with_anyhow() -> anyhow::Result<()> {
///     nq::open("memory:").await?;
///     worker().await.map_err(nq::Error::into_std)?;
///     Ok(())
/// }
/// ```
pub struct Error(BoxError);

/// The result of a worker.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that says this.
    ///
    /// ```
    /// let error = nq::Error::msg("the card has expired");
    /// assert_eq!(error.to_string(), "the card has expired");
    /// ```
    pub fn msg(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }

    /// An error that no other attempt can mend: the step fails at once.
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        Self::advised(error.into(), Verdict::Fatal)
    }

    /// An error after which the next attempt begins in `delay`, whatever the worker's backoff says. It
    /// counts as a failure like any other.
    pub fn retry_after(error: impl Into<BoxError>, delay: Duration) -> Self {
        Self::advised(error.into(), Verdict::RetryAfter(delay))
    }

    fn advised(error: BoxError, verdict: Verdict) -> Self {
        Self(Box::new(Advised(Advice { error, verdict })))
    }

    /// An error that an instance of another version of the program may not have: what has arrived does not fit this
    /// one.
    pub(crate) fn unfit(error: impl Into<BoxError>) -> Self {
        Self::advised(error.into(), Verdict::Unfit)
    }

    /// Whether what has arrived does not fit this version of the program.
    pub(crate) fn is_unfit(&self) -> bool {
        self.verdicts().any(|verdict| *verdict == Verdict::Unfit)
    }

    /// The error as it was boxed.
    pub(crate) fn from_box(error: BoxError) -> Self {
        // An `Error` turned into a box and back stays what it was.
        Self(error)
    }

    /// The same as an error of the standard library, for `anyhow` and for enums. Whether it is fatal, and its delay,
    /// are found again when a worker returns it.
    pub fn into_std(self) -> AnyError {
        AnyError(self.0)
    }

    /// Whether no attempt may follow. That is also so of what `ctx.run` returns where another attempt would do again
    /// what was done and is not recorded.
    pub fn is_fatal(&self) -> bool {
        self.verdicts().any(|verdict| *verdict == Verdict::Fatal)
            || self.downcast_ref::<StepError>().is_some_and(StepError::is_fatal)
    }

    /// The delay that it asks for before the next attempt.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.verdicts().find_map(|verdict| match verdict {
            Verdict::RetryAfter(delay) => Some(*delay),
            Verdict::Fatal | Verdict::Unfit => None,
        })
    }

    fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        sources(&*self.0).filter_map(|error| Some(&error.downcast_ref::<Advice>()?.verdict))
    }

    /// The error and what lies beneath it, outermost first; the first thousand of them, where an error is its own
    /// cause.
    ///
    /// ```
    /// fn is_of_the_network(error: &nq::Error) -> bool {
    ///     error.chain().any(|error| error.is::<std::io::Error>())
    /// }
    /// ```
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        // An advice says how the error above it is retried, and is no cause of it.
        sources(&*self.0).filter(|error| !error.is::<Advice>()).map(innermost)
    }

    /// The error of this type that it was made from, or that lies beneath it.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        find(&*self.0)
    }

    /// The error of this type that it was made from: as the worker returned it, or as the closure of
    /// [`Ctx::run`](crate::ctx::Ctx::run) did, also out of [`fatal`](Self::fatal) and
    /// [`retry_after`](Self::retry_after). If it was made from another, it comes back as it was.
    ///
    /// ```
    /// let error = nq::Error::from("x".parse::<u32>().unwrap_err());
    /// let error: std::num::ParseIntError = error.downcast()?;
    /// # Ok::<(), nq::Error>(())
    /// ```
    pub fn downcast<E: StdError + 'static>(self) -> Result<E, Self> {
        downcast(self.0).map_err(Self)
    }

    /// The error and its causes in one line, as it stands in the timeline: at most 16 KiB. Of an error that says
    /// more, the end is left out, with a mark that says how much.
    ///
    /// ```
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("while charging")]
    /// struct Charging(#[from] std::num::ParseIntError);
    ///
    /// let error = nq::Error::from(Charging("x".parse::<u32>().unwrap_err()));
    /// assert_eq!(error.report(), "while charging: invalid digit found in string");
    /// ```
    pub fn report(&self) -> String {
        /// What is kept for the causes of an error that says very much.
        const CAUSES: usize = 1024;
        const MORE: &str = ": …";
        let mut report = String::new();
        for error in self.chain() {
            let room = MAX_TEXT_BYTES - report.len();
            if room <= CAUSES / 2 {
                report.push_str(MORE);
                break;
            }
            let kept = if error.source().is_some() && room > 2 * CAUSES { CAUSES } else { CAUSES / 4 };
            let text = display_to(error, room - kept);
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

impl From<Error> for AnyError {
    fn from(error: Error) -> Self {
        error.into_std()
    }
}

impl From<Error> for BoxError {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl From<Error> for Box<dyn StdError + Send> {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl From<Error> for Box<dyn StdError> {
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
