//! What can go wrong with an effect.

use std::error::Error as StdError;
use std::fmt;

use nq_core::limits::{self, MAX_KEY_BYTES};

use super::boxed::BoxError;
use crate::step::StepError;

/// An effect of [`Ctx::run`](crate::ctx::Ctx::run) has no result: the closure returned an error, or nq did not run
/// the closure or could not record what it returned.
///
/// The handler may decide by the error that the closure returned:
///
/// ```
/// # #[derive(Debug, thiserror::Error)]
/// # #[error("the card was declined")]
/// # struct Declined;
/// # struct Bank;
/// # impl Bank { async fn charge(&self, cents: u64) -> Result<String, Declined> { Err(Declined) } }
/// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>, bank: Bank) -> nq::Result<()> {
/// match ctx.run("charge card", || bank.charge(1999)).await {
///     Ok(receipt) => ctx.state().set("receipt", &receipt)?,
///     Err(error) if error.downcast_ref::<Declined>().is_some() => ctx.state().set("declined", &true)?,
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
///
/// If the closure returns an `anyhow::Error`, the error inside of it cannot be found, unless it was given a `context`. Let
/// the closure return the error itself where the handler wants to match on it.
#[derive(Debug)]
pub struct EffectError {
    pub(super) effect: String,
    pub(super) cause: Cause,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// What the closure returned.
    Act(BoxError),
    /// Why nq did not run the closure, or could not record what it returned.
    Refused(StepError),
}

impl EffectError {
    pub(crate) fn failed(effect: &str, error: BoxError) -> Self {
        Self { effect: limits::cut_to(effect, MAX_KEY_BYTES), cause: Cause::Act(error) }
    }

    pub(crate) fn refused(effect: &str, error: StepError) -> Self {
        Self { effect: limits::cut_to(effect, MAX_KEY_BYTES), cause: Cause::Refused(error) }
    }

    /// The name of the effect. See [`refusal`](Self::refusal) for an example.
    pub fn effect(&self) -> &str {
        &self.effect
    }

    /// Whether the closure returned the error, rather than nq. Then [`refusal`](Self::refusal) is none; see there for an
    /// example.
    pub fn is_from_act(&self) -> bool {
        matches!(self.cause, Cause::Act(_))
    }

    /// Why nq did not run the closure, or could not record what it returned; none if the closure returned the error.
    ///
    /// ```
    /// fn judge(error: nq::EffectError) -> nq::Error {
    ///     match error.refusal() {
    ///         Some(refusal) => nq::Error::msg(format!("{}: {refusal}", error.effect())),
    ///         None => nq::Error::retry_after(error, std::time::Duration::from_secs(60)),
    ///     }
    /// }
    /// ```
    pub fn refusal(&self) -> Option<&StepError> {
        match &self.cause {
            Cause::Refused(error) => Some(error),
            Cause::Act(_) => None,
        }
    }

    /// The error of the closure, or the [`StepError`] of nq.
    ///
    /// ```
    /// fn is_busy(error: nq::EffectError) -> bool {
    ///     error.into_cause().to_string().contains("busy")
    /// }
    /// ```
    pub fn into_cause(self) -> BoxError {
        match self.cause {
            Cause::Act(error) => error,
            Cause::Refused(error) => error.into(),
        }
    }
}

impl fmt::Display for EffectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Act(_) => write!(f, "the act of `ctx.run({:?})` failed", self.effect),
            Cause::Refused(_) => write!(f, "`ctx.run({:?})` was refused", self.effect),
        }
    }
}

impl StdError for EffectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Cause::Act(error) => Some(&**error),
            Cause::Refused(error) => Some(error),
        }
    }
}
