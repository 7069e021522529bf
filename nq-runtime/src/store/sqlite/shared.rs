//! What the threads of a store share.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};

use nq_core::store::{ErrorKind, StoreError};

use super::errors::Failure;
use super::files::Files;
use crate::store::hints::Hints;

/// The clock, in milliseconds since 1970.
pub(super) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What the threads of a store share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) hints: Hints,
    /// Why the store has ended, if it has.
    ended: OnceLock<StoreError>,
    /// How many wait for something that another process may bring.
    pub(super) waiting: AtomicUsize,
    /// How many transactions have been synced.
    pub(super) commits: AtomicU64,
    /// The files, once they are open.
    pub(super) files: OnceLock<Files>,
}

impl Shared {
    /// Ends the store, because of this.
    pub(super) fn end(&self, why: StoreError) {
        let _ = self.ended.set(why);
        self.hints.all();
    }

    /// Whether the files are still there. Returns the lengths of the database and of its log.
    pub(super) fn check_files(&self) -> Result<(u64, u64), Failure> {
        self.files.get().map_or(Ok((0, 0)), Files::check)
    }

    /// Why this verb cannot be done any more, if so.
    pub(super) fn ended(&self, op: &'static str) -> Option<StoreError> {
        self.ended.get().map(|why| why.clone().with_kind(ErrorKind::Closed).with_op(op))
    }
}
