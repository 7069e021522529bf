//! The errors beneath an error: what nq's own wrappers hold, and the sources of all other errors.

use std::error::Error as StdError;

use super::advice::Advised;
use super::boxed::{AnyError, BoxError};
use super::effect::{Cause, EffectError};

/// The most errors of a chain that are looked at.
const MAX_CHAIN: usize = 1_000;

/// An error and its sources; the first thousand of them, where an error is its own source.
pub(super) fn sources<'a>(
    first: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(first), |error: &&'a (dyn StdError + 'static)| (*error).source())
        .take(MAX_CHAIN)
}

/// The error inside of a wrapper of nq's that has no text of its own.
fn unwrapped<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let advised = || Some(&*error.downcast_ref::<Advised>()?.0.error);
    let any = || Some(&*error.downcast_ref::<AnyError>()?.0);
    let found: Option<&'a (dyn StdError + Send + Sync + 'static)> = advised().or_else(any);
    found.map(|error| error as _)
}

/// The error beneath all wrappers of nq's that have no text of their own.
pub(super) fn innermost<'a>(mut error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(beneath) = unwrapped(error) {
        error = beneath;
    }
    error
}

/// The outermost error of this type in the chain: the error itself, what nq's wrappers hold, and their sources.
pub(super) fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let beneath = |error: &&'a (dyn StdError + 'static)| unwrapped(*error).or_else(|| (*error).source());
    std::iter::successors(Some(error), beneath).take(MAX_CHAIN).find_map(|error| error.downcast_ref())
}

/// The error of this type, from beneath the wrappers of nq's.
pub(super) fn downcast<E: StdError + 'static>(error: BoxError) -> Result<E, BoxError> {
    let error = match error.downcast::<E>() {
        Ok(error) => return Ok(*error),
        Err(error) => error,
    };
    // The wrappers are removed only if the error beneath is of the type, since they could not be put back.
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
fn is_beneath<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let effect = || error.downcast_ref::<EffectError>()?.source();
    error.is::<E>() || unwrapped(error).or_else(effect).is_some_and(is_beneath::<E>)
}

impl EffectError {
    /// The error of this type that the closure returned, or that lies beneath the one that it returned. See
    /// [`EffectError`](Self) for an example.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        find(self.source()?)
    }

    /// The error that the closure returned, if it is of this type, also inside of an [`nq::Error`](crate::error::Error)
    /// or a box. If the closure returned another error, this one comes back as it was.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// let read = ctx.run("read", async || std::fs::read_to_string("prices.txt")).await;
    /// match read.map_err(|error| error.downcast::<std::io::Error>()) {
    ///     Ok(text) => ctx.state().set("prices", &text)?,
    ///     Err(Ok(io)) => ctx.state().set("unread", &io.to_string())?,
    ///     Err(Err(other)) => return Err(other.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn downcast<E: StdError + 'static>(self) -> Result<E, Self> {
        let Self { effect, cause } = self;
        match cause {
            Cause::Act(error) => downcast(error).map_err(|error| Self { effect, cause: Cause::Act(error) }),
            Cause::Refused(_) => Err(Self { effect, cause }),
        }
    }
}
