//! The errors that lie beneath an error: what the wrappers of nq's wrap, and the sources of what others made.

use std::error::Error as StdError;

use super::advice::Advised;
use super::boxed::{AnyError, BoxError};
use super::effect::{Cause, EffectError};

/// The most errors that lie in each other and are looked at.
const MAX_CHAIN: usize = 1_000;

/// An error and its sources; the first thousand of them, where an error is its own source.
pub(super) fn sources<'a>(
    first: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
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
pub(super) fn innermost<'a>(mut error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(beneath) = unwrapped(error) {
        error = beneath;
    }
    error
}

/// The outermost error of this type among an error, what the wrappers of nq's wrap, and their sources.
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
fn is_beneath<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let effect = || error.downcast_ref::<EffectError>()?.source();
    error.is::<E>() || unwrapped(error).or_else(effect).is_some_and(is_beneath::<E>)
}

impl EffectError {
    /// The error of this type that the closure returned, or that lies beneath what it returned.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        find(self.source()?)
    }

    /// The error that the closure returned, if it is of this type; it is looked for in [`nq::Error`](crate::error::Error)
    /// and in boxes, too. If the closure returned another, this error comes back as it was.
    pub fn downcast<E: StdError + 'static>(self) -> Result<E, Self> {
        let Self { effect, cause } = self;
        match cause {
            Cause::Act(error) => downcast(error).map_err(|error| Self { effect, cause: Cause::Act(error) }),
            Cause::Refused(_) => Err(Self { effect, cause }),
        }
    }
}
