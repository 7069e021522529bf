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
/// If a worker returns an error, its step is retried by the worker's policy, but not after [`Error::fatal`];
/// [`Error::retry_after`] sets the delay. Both work however deep other errors wrap them.
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
/// Since any error converts into it, it cannot itself implement [`std::error::Error`]. `?` turns it into a
/// `Box<dyn Error>`, with or without `Send` and `Sync`. For `anyhow` and for enums, [`into_std`](Self::into_std) makes it
/// an error that implements the trait. All other errors of nq implement it, and need no conversion.
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
    /// An error with this message.
    ///
    /// ```
    /// let error = nq::Error::msg("the card has expired");
    /// assert_eq!(error.to_string(), "the card has expired");
    /// ```
    pub fn msg(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }

    /// An error after which another attempt would be in vain: the step fails at once. See [`Error`](Self) for an example.
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        Self::advised(error.into(), Verdict::Fatal)
    }

    /// An error after which the next attempt begins in `delay`, whatever the worker's backoff says. It counts as a failure
    /// like any other. See [`Error`](Self) for an example.
    pub fn retry_after(error: impl Into<BoxError>, delay: Duration) -> Self {
        Self::advised(error.into(), Verdict::RetryAfter(delay))
    }

    fn advised(error: BoxError, verdict: Verdict) -> Self {
        Self(Box::new(Advised(Advice { error, verdict })))
    }

    /// An error of an input that does not fit this version of the program. An instance of another version may take it.
    pub(crate) fn unfit(error: impl Into<BoxError>) -> Self {
        Self::advised(error.into(), Verdict::Unfit)
    }

    /// Whether the input does not fit this version of the program.
    pub(crate) fn is_unfit(&self) -> bool {
        self.verdicts().any(|verdict| *verdict == Verdict::Unfit)
    }

    /// The error as it was boxed.
    pub(crate) fn from_box(error: BoxError) -> Self {
        // A box may hold an `Error`, whose advice must not be lost.
        Self(error)
    }

    /// The same error as one that implements [`std::error::Error`], for `anyhow` and for enums. If a worker returns it in
    /// one of these, it is still fatal, or still has its delay. See [`Error`](Self) for an example.
    pub fn into_std(self) -> AnyError {
        AnyError(self.0)
    }

    /// Whether no attempt may follow this error: it is made by [`fatal`](Self::fatal), or `ctx.run` could not record the
    /// result of an act, which another attempt would do again. See [`Error`](Self) for an example.
    pub fn is_fatal(&self) -> bool {
        self.verdicts().any(|verdict| *verdict == Verdict::Fatal)
            || self.downcast_ref::<StepError>().is_some_and(StepError::is_fatal)
    }

    /// The delay that [`retry_after`](Self::retry_after) has set, if it has.
    ///
    /// ```
    /// let error = nq::Error::retry_after("busy", std::time::Duration::from_secs(60));
    /// assert_eq!(error.retry_delay(), Some(std::time::Duration::from_secs(60)));
    /// ```
    pub fn retry_delay(&self) -> Option<Duration> {
        self.verdicts().find_map(|verdict| match verdict {
            Verdict::RetryAfter(delay) => Some(*delay),
            Verdict::Fatal | Verdict::Unfit => None,
        })
    }

    fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        sources(&*self.0).filter_map(|error| Some(&error.downcast_ref::<Advice>()?.verdict))
    }

    /// The error and its causes, outermost first; at most a thousand, since an error may be its own cause.
    ///
    /// ```
    /// fn is_of_the_network(error: &nq::Error) -> bool {
    ///     error.chain().any(|error| error.is::<std::io::Error>())
    /// }
    /// ```
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        // An advice says how the error above it is retried. It is not a cause of that error.
        sources(&*self.0).filter(|error| !error.is::<Advice>()).map(innermost)
    }

    /// The error of this type that it was made from, or that lies beneath it. See [`Error`](Self) for an example.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        find(&*self.0)
    }

    /// The error that it was made from, if it is of this type: the error that the worker returned, that the closure of
    /// [`Ctx::run`](crate::ctx::Ctx::run) returned, or that [`fatal`](Self::fatal) or [`retry_after`](Self::retry_after)
    /// wrapped. If it was made from an error of another type, it comes back as it was.
    ///
    /// ```
    /// let error = nq::Error::from("x".parse::<u32>().unwrap_err());
    /// let error: std::num::ParseIntError = error.downcast()?;
    /// # Ok::<(), nq::Error>(())
    /// ```
    pub fn downcast<E: StdError + 'static>(self) -> Result<E, Self> {
        downcast(self.0).map_err(Self)
    }

    /// The error and its causes in one line, as the timeline shows it: at most 16 KiB. The end of a longer text is left
    /// out, with a mark that says how much.
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
        /// The room that is kept for the causes where the error itself says very much.
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
            // Many errors print their causes themselves; each cause is said once.
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
