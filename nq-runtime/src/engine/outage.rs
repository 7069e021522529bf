//! Notes whether the store can be reached, and says so in the program's log.

use std::collections::HashMap;
use std::time::Duration;

use nq_core::store::StoreError;

/// The longest pause between two tries to reach a store that is away.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The verbs whose last call did not reach the store.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// How many times in a row the store was away, by verb.
    away: HashMap<&'static str, u32>,
    /// Whether this was logged.
    said: bool,
}

impl Outage {
    /// A call has not reached the store. This is logged once, unless the store logs it itself, and only after a second
    /// failure: one failure may be the end of a connection, and nothing more.
    pub(super) fn away(&mut self, verb: &'static str, error: &StoreError) {
        let times = self.away.entry(verb).or_default();
        *times += 1;
        if *times > 1 && !self.said && !error.is_logged() {
            tracing::warn!(%error, "the store is away; work goes on when it is back");
            self.said = true;
        }
    }

    /// A call has reached the store. This is logged once, if the outage was logged.
    pub(super) fn back(&mut self, verb: &'static str) {
        self.away.remove(verb);
        if self.away.is_empty() && std::mem::take(&mut self.said) {
            tracing::info!("the store is back");
        }
    }
}
