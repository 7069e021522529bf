//! Asks a store that is away again until it is back: an outage pauses a step or a program that waits, and fails neither.

use std::time::Duration;

use nq_core::entry::Entry;
use nq_core::store::{Read, Store, StoreError};

/// The pause after the first try that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pauses between tries, each twice as long as the one before, up to the longest.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    /// Waits before the next try: half of the pause or more, by chance, so that many who wait do not ask together.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// Asks a store again and again while it is away. Only for calls that may be made twice.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
    ask: impl Fn() -> F,
) -> Result<T, StoreError> {
    let mut pauses = Pauses::default();
    loop {
        match ask().await {
            Err(error) if error.is_retryable() => pauses.pause().await,
            answer => return answer,
        }
    }
}

/// A reader of the timeline of a run, page by page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader<'a> {
    /// Returns an error when the store is away.
    Once(&'a dyn Store),
    /// Waits for a store that is away. It waits for each page separately, so that a reader of many pages makes progress
    /// even if the store often fails.
    Patient(&'a dyn Store),
}

impl Reader<'_> {
    /// Reads a page.
    pub(crate) async fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError> {
        match self {
            Self::Once(store) => store.read(read).await,
            Self::Patient(store) => patiently(|| store.read(read)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use nq_core::store::ErrorKind;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_away_is_asked_again_and_what_is_wrong_is_not() {
        let tries = Cell::new(0);
        let ask = |kind| {
            let tries = &tries;
            move || {
                tries.set(tries.get() + 1);
                let answer = if tries.get() < 50 { Err(StoreError::new(kind, "read", "")) } else { Ok(()) };
                std::future::ready(answer)
            }
        };
        let begun = tokio::time::Instant::now();
        patiently(ask(ErrorKind::Unavailable)).await.unwrap();
        assert_eq!(tries.replace(0), 50);
        assert!(begun.elapsed() < LONGEST_PAUSE * 50, "the pauses are bounded");
        assert!(begun.elapsed() > LONGEST_PAUSE * 20, "the pauses grow");
        let error = patiently(ask(ErrorKind::Corrupt)).await.unwrap_err();
        assert_eq!((error.kind(), tries.get()), (ErrorKind::Corrupt, 1));
    }
}
