//! The error that workers return.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use nq_core::limits::{MAX_TEXT_BYTES, display_to};

use crate::effect::EffectError;
use crate::step::StepError;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

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
    pub fn downcast<E: StdError + 'static>(self) -> Result<E, Self> {
        downcast(self.0).map_err(Self)
    }

    /// The error and its causes in one line, as it stands in the timeline: at most 16 KiB. Of an error that says
    /// more, the end is left out, with a mark that says how much.
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

/// An [`Error`] that implements [`std::error::Error`]: made by [`Error::into_std`].
pub struct AnyError(BoxError);

impl From<Error> for AnyError {
    fn from(error: Error) -> Self {
        error.into_std()
    }
}

impl fmt::Display for AnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for AnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for AnyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// An error that says whether and when to try again. What it says is its source, not itself: whoever wraps an error
/// transparently hides the error and shows its source.
struct Advised(Advice);

struct Advice {
    error: BoxError,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Fatal,
    RetryAfter(Duration),
    /// What has arrived was made for another version of the code.
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

/// The most errors that lie in each other and are looked at.
const MAX_CHAIN: usize = 1_000;

/// An error and its sources; the first thousand of them, where an error is its own source.
fn sources<'a>(first: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(first), |error: &&'a (dyn StdError + 'static)| (*error).source())
        .take(MAX_CHAIN)
}

/// What a wrapper of nq's that has no text of its own wraps.
fn unwrapped<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let advised = || Some(&*error.downcast_ref::<Advised>()?.0.error);
    let any = || Some(&*error.downcast_ref::<AnyError>()?.0);
    let found: Option<&'a (dyn StdError + Send + Sync + 'static)> = advised().or_else(any);
    found.map(|error| error as _)
}

/// The error beneath all wrappers of nq's that have no text of their own.
fn innermost<'a>(mut error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(beneath) = unwrapped(error) {
        error = beneath;
    }
    error
}

/// The outermost error of this type among an error, what the wrappers of nq's wrap, and their sources.
pub(crate) fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let beneath = |error: &&'a (dyn StdError + 'static)| unwrapped(*error).or_else(|| (*error).source());
    std::iter::successors(Some(error), beneath).take(MAX_CHAIN).find_map(|error| error.downcast_ref())
}

/// The error of this type, from beneath the wrappers of nq's.
pub(crate) fn downcast<E: StdError + 'static>(error: BoxError) -> Result<E, BoxError> {
    let error = match error.downcast::<E>() {
        Ok(error) => return Ok(*error),
        Err(error) => error,
    };
    // Taken apart only if what lies beneath fits, since it could not be put together again.
    if !is_beneath::<E>(&*error) {
        return Err(error);
    }
    let error = match error.downcast::<Advised>() {
        Ok(advised) => return downcast(advised.0.error),
        Err(error) => error,
    };
    let error = match error.downcast::<AnyError>() {
        Ok(any) => return downcast(any.0),
        Err(error) => error,
    };
    downcast(error.downcast::<EffectError>()?.into_cause())
}

/// Whether an error of this type lies beneath the wrappers of nq's.
pub(crate) fn is_beneath<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let effect = || error.downcast_ref::<EffectError>()?.source();
    error.is::<E>() || unwrapped(error).or_else(effect).is_some_and(is_beneath::<E>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("while charging")]
    struct Wrapped(#[source] BoxError);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Transparent(BoxError);

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
    fn who_wraps_an_error_transparently_does_not_hide_that_it_is_fatal() {
        let error = Error::from(Transparent(Error::fatal(Wrapped("no such card".into())).into()));
        assert!(error.is_fatal());
        assert_eq!(error.report(), "while charging: no such card");
        let error = Error::from(Error::fatal("no such card").into_std());
        assert!(error.is_fatal());
        assert_eq!(error.report(), "no such card");
    }

    #[test]
    fn a_report_is_short_however_much_the_error_says() {
        let report = Error::msg("x".repeat(20 * 1024 * 1024)).report();
        assert!(report.len() <= MAX_TEXT_BYTES && report.len() > MAX_TEXT_BYTES / 2, "{}", report.len());
        assert!(report.ends_with(" more bytes)"), "{}", &report[report.len() - 40..]);
        let whole = "x".repeat(MAX_TEXT_BYTES - 1024);
        assert_eq!(Error::msg(whole.clone()).report(), whole);
    }

    #[test]
    fn the_cause_of_an_error_that_says_too_much_is_still_said() {
        #[derive(Debug, thiserror::Error)]
        #[error("{}", "x".repeat(1024 * 1024))]
        struct Loud(#[source] BoxError);
        let report = Error::from(Loud("no such card".into())).report();
        assert!(report.ends_with(" more bytes): no such card"), "{}", &report[report.len() - 60..]);
        assert!(report.len() <= MAX_TEXT_BYTES);
    }

    #[test]
    fn an_error_that_is_its_own_cause_is_looked_at_for_a_while() {
        #[derive(Debug)]
        struct Circle;
        impl fmt::Display for Circle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                static TIMES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
                write!(f, "round {:0>100}", TIMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            }
        }
        impl StdError for Circle {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(self)
            }
        }
        let report = Error::from(Circle).report();
        assert!(report.len() <= MAX_TEXT_BYTES && report.ends_with('…'), "{}", report.len());
        assert!(!Error::from(Circle).is_fatal() && Error::from(Circle).retry_delay().is_none());
        assert!(Error::from(Circle).downcast_ref::<StepError>().is_none());
        assert!(Error::from(Circle).downcast_ref::<StepError>().is_none());
    }

    #[test]
    fn any_error_converts_and_says_each_thing_once() {
        fn parse() -> Result<u32> {
            Ok("x".parse::<u32>()?)
        }
        assert_eq!(format!("{:?}", parse().unwrap_err()), "invalid digit found in string");
    }
}
