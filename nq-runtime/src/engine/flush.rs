//! When the log lines of steps are appended if no turn is sent soon.

use std::sync::Arc;
use std::time::Duration;

use nq_core::id::RunId;
use tokio::time::Instant;

use crate::lines::{Batches, Lines};

/// How long log lines wait for a turn, with which they are sent.
const LINES_WAIT: Duration = Duration::from_millis(50);
/// How long after log lines were dropped the timeline says how many.
const NOTICE_WAIT: Duration = Duration::from_secs(1);

/// The log lines that wait for the store.
pub(super) struct Flush {
    lines: Arc<Lines>,
    /// When they are appended by a call of their own; none if no line waits.
    at: Option<Instant>,
}

impl Flush {
    pub(super) fn new(lines: Arc<Lines>) -> Self {
        Self { lines, at: None }
    }

    /// Lines have come.
    pub(super) fn plan(&mut self) {
        let soon = Instant::now() + LINES_WAIT;
        self.at = Some(self.at.map_or(soon, |at| at.min(soon)));
    }

    /// When they are appended.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.at
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now >= at)
    }

    /// Takes the lines that have come. A run with a step that ends now (`ends`) also gets its notice of dropped lines.
    pub(super) fn take(&mut self, ends: impl Fn(&RunId) -> bool) -> Batches {
        let now = Instant::now();
        let batches = self.lines.take(ends, now);
        self.at = self.lines.owes_notice().then(|| now + NOTICE_WAIT);
        batches
    }
}
