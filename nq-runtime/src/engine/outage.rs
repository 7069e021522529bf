//! Whether the store can be reached, and what the program's log is told of it.

use std::collections::HashMap;
use std::time::Duration;

use nq_core::store::StoreError;

/// The longest pause between two tries to reach a store that is away.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The verbs by which the store was not reached of late.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// How many times in a row the store was away, by verb.
    away: HashMap<&'static str, u32>,
    /// Whether that was said.
    said: bool,
}

impl Outage {
    /// The store cannot be reached: said once, unless it says so itself. One failure may be the end of a
    /// connection, and nothing more.
    pub(super) fn away(&mut self, verb: &'static str, error: &StoreError) {
        let times = self.away.entry(verb).or_default();
        *times += 1;
        if *times > 1 && !self.said && !error.is_logged() {
            tracing::warn!(%error, "the store is away; work goes on when it is back");
            self.said = true;
        }
    }

    /// The store can be reached: said once, if it was said to be away.
    pub(super) fn back(&mut self, verb: &'static str) {
        self.away.remove(verb);
        if self.away.is_empty() && std::mem::take(&mut self.said) {
            tracing::info!("the store is back");
        }
    }
}
