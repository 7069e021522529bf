//! Why a store could not do what it was asked.

use std::fmt;
use std::sync::Arc;

use crate::id::{EntryId, RunId};

/// What kind of failure it is, and with that, what a caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached or does not answer, or a disk is full. The call may have happened: send
    /// it again.
    Unavailable,
    /// The same id stands for something else already.
    Conflict,
    /// There is no such run, or the cursor did not come from an earlier page.
    NotFound,
    /// Another process uses the lane, or the store lost acknowledged turns. The instance must stop.
    Lane,
    /// The store does not have entries that it has shown before: it was set back to an older state. A reader that has seen
    /// them must not go on.
    Lost,
    /// The store's data is not what it wrote.
    Corrupt,
    /// The store was written by a version of nq that this one does not understand, or is not nq's.
    Version,
    /// The request passes a limit.
    TooLarge,
    /// The store is not set up as it must be: rights, configuration.
    Config,
    /// The store was closed, or has closed itself after a failure.
    Closed,
}

/// A store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{op}{}: {message}", key_text(key.as_deref()))]
pub struct StoreError {
    /// What a caller can do about it.
    kind: ErrorKind,
    /// The verb: `turn`, `start`, `open` …
    op: &'static str,
    /// The run, queue or path that it was about.
    key: Option<String>,
    /// What went wrong and, where something helps, what helps.
    message: String,
    /// What lies beneath.
    #[source]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// Whether the store has logged that it is away, so that nobody else needs to.
    logged: bool,
    /// Whether the call was certainly not made: nothing of it has happened or will.
    unsent: bool,
}

fn key_text(key: Option<&str>) -> String {
    key.map(|key| format!(" `{key}`")).unwrap_or_default()
}

impl StoreError {
    /// An error of this kind, in this verb, with this message.
    pub fn new(kind: ErrorKind, op: &'static str, message: impl Into<String>) -> Self {
        Self { kind, op, key: None, message: message.into(), source: None, logged: false, unsent: false }
    }

    /// The error of a reader that has seen more of a run than the store has. `last` is the run's last entry there.
    pub fn lost(op: &'static str, run: &RunId, seen: impl fmt::Display, last: EntryId) -> Self {
        let message = format!(
            "the reader has seen {seen}, which the store does not have: its last entry of the run is `{last}`; it was set back to an older state, and acknowledged work is lost"
        );
        Self::new(ErrorKind::Lost, op, message).with_key(run)
    }

    /// The error of a verb about a run that is not there.
    pub fn no_run(op: &'static str, run: &RunId) -> Self {
        Self::new(ErrorKind::NotFound, op, "there is no such run").with_key(run)
    }

    /// The error of a start whose id another run has.
    pub fn id_taken(run: &RunId) -> Self {
        let message = "a run of this id exists with another flow or input; give this one an id of its own";
        Self::new(ErrorKind::Conflict, "start", message).with_key(run)
    }

    /// The same, about this run, queue or path.
    #[must_use]
    pub fn with_key(mut self, key: impl fmt::Display) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// The same, with the store in its message: its URL without user and password, or the path of its file. An error about
    /// one run or queue does not name the store, and neither does one that names it already.
    ///
    /// ```
    /// use nq_core::store::{ErrorKind, StoreError};
    ///
    /// let away = StoreError::new(ErrorKind::Unavailable, "turn", "Redis cannot be reached").of("redis://shop:6379");
    /// assert_eq!(away.to_string(), "turn: Redis cannot be reached (`redis://shop:6379`)");
    /// let taken = StoreError::new(ErrorKind::Conflict, "start", "the id is taken").of("redis://shop:6379");
    /// assert_eq!(taken.to_string(), "start: the id is taken");
    /// ```
    #[must_use]
    pub fn of(mut self, store: &str) -> Self {
        let about_store = match self.kind {
            ErrorKind::Unavailable
            | ErrorKind::Lost
            | ErrorKind::Version
            | ErrorKind::Config
            | ErrorKind::Closed => true,
            ErrorKind::Conflict
            | ErrorKind::NotFound
            | ErrorKind::Lane
            | ErrorKind::Corrupt
            | ErrorKind::TooLarge => false,
        };
        let said = self.message.contains(store) || self.key.as_deref().is_some_and(|key| key.contains(store));
        if about_store && !said {
            self.message = format!("{} (`{store}`)", self.message);
        }
        self
    }

    /// The same, with this source.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The same, in this verb.
    #[must_use]
    pub fn with_op(mut self, op: &'static str) -> Self {
        self.op = op;
        self
    }

    /// The same, of this kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, with or without the mark that the store has logged it, so that nobody else needs to.
    #[must_use]
    pub fn with_logged(mut self, logged: bool) -> Self {
        self.logged = logged;
        self
    }

    /// The same, of a call that was certainly not made, so that nothing of it has happened or will.
    #[must_use]
    pub fn with_unsent(mut self) -> Self {
        self.unsent = true;
        self
    }

    /// The kind of the failure, which says what a caller can do.
    ///
    /// ```
    /// use nq_core::store::{ErrorKind, StoreError};
    ///
    /// let error = StoreError::new(ErrorKind::NotFound, "read", "there is no such run").with_key("order-7");
    /// assert_eq!((error.kind(), error.op(), error.key()), (ErrorKind::NotFound, "read", Some("order-7")));
    /// assert!(!error.is_retryable());
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The verb that failed: `turn`, `start`, `open` … See [`kind`](Self::kind) for an example.
    pub fn op(&self) -> &'static str {
        self.op
    }

    /// The run, queue or path that it is about. See [`kind`](Self::kind) for an example.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What lies beneath, if it is of this type.
    pub fn cause<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.source.as_deref()?.downcast_ref()
    }

    /// Whether the store has told the log that it is away.
    pub fn is_logged(&self) -> bool {
        self.logged
    }

    /// Whether the call was certainly not made.
    pub fn is_unsent(&self) -> bool {
        self.unsent
    }

    /// Whether the same call may succeed later. The call may have happened already. See [`kind`](Self::kind) for an
    /// example.
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }
}
