//! Which entries to read.

#[cfg(doc)]
use super::ErrorKind;
use super::StoreError;
use crate::entry::EntryType;
use crate::id::{EntryId, Name, RunId};

/// Which entries to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The run.
    pub run: RunId,
    /// Only entries after this position; 0 for all.
    pub after: u64,
    /// The last entry that the reader has seen, at or before `after`, if the reader knows its whole id.
    pub seen: Option<EntryId>,
    /// Only entries up to this position.
    pub upto: Option<u64>,
    /// Only entries of these types; all if there are none.
    pub types: Vec<EntryType>,
    /// At most this many, and never more than [`crate::limits::MAX_READ_ENTRIES`].
    pub limit: usize,
    /// Last first.
    pub reverse: bool,
}

impl Read {
    /// The first page of everything that the run has after this position.
    pub fn after(run: RunId, after: u64) -> Self {
        Self {
            run,
            after,
            seen: None,
            upto: None,
            types: Vec::new(),
            limit: crate::limits::MAX_READ_ENTRIES,
            reverse: false,
        }
    }

    /// Refuses the read of someone who is ahead of the store: `last` is the last entry of the run, and `there` the one
    /// at the position of the entry that he has [seen](Self::seen).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lost`].
    ///
    /// ```
    /// use nq_core::id::{EntryId, RunId};
    /// use nq_core::store::{ErrorKind, Read};
    ///
    /// let seen = EntryId { ms: 1_000, n: 7 };
    /// let read = Read { seen: Some(seen), ..Read::after(RunId::new("r").unwrap(), 7) };
    /// assert!(read.follows(EntryId { ms: 2_000, n: 9 }, Some(seen)).is_ok());
    /// // The store was set back, and other entries have come since.
    /// let error = read.follows(EntryId { ms: 3_000, n: 9 }, Some(EntryId { ms: 3_000, n: 7 })).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Lost);
    /// ```
    pub fn follows(&self, last: EntryId, there: Option<EntryId>) -> Result<(), StoreError> {
        match self.seen {
            Some(seen) if there != Some(seen) => {
                Err(StoreError::lost("read", &self.run, format_args!("entry `{seen}`"), last))
            }
            _ if self.after > last.n => {
                Err(StoreError::lost("read", &self.run, format_args!("entry {}", self.after), last))
            }
            _ => Ok(()),
        }
    }
}

/// Which events of a gather to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// The run.
    pub run: RunId,
    /// The worker that gathers.
    pub worker: Name,
    /// None that was emitted after this position.
    pub upto: u64,
    /// How many to leave out from the beginning.
    pub from: u64,
    /// At most this many, and never more than [`crate::limits::MAX_READ_ENTRIES`].
    pub limit: usize,
    /// An entry of the run that the reader knows of, such as the cause of the step that gathers. Every event of the list
    /// up to there was written before this entry.
    pub seen: Option<EntryId>,
}

impl Gathered {
    /// Refuses the read of someone who is ahead of the store: `last` is the last entry of the run, and `there` the one
    /// at the position of the entry that the reader has [seen](Self::seen).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lost`].
    ///
    /// ```
    /// use nq_core::id::{EntryId, RunId};
    /// use nq_core::store::{ErrorKind, Gathered};
    ///
    /// let (run, worker) = (RunId::new("r").unwrap(), "sum".parse().unwrap());
    /// let seen = EntryId { ms: 1_000, n: 7 };
    /// let gathered = Gathered { run, worker, upto: 7, from: 0, limit: 100, seen: Some(seen) };
    /// assert!(gathered.follows(EntryId { ms: 2_000, n: 9 }, Some(seen)).is_ok());
    /// let error = gathered.follows(EntryId { ms: 900, n: 5 }, None).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Lost);
    /// ```
    pub fn follows(&self, last: EntryId, there: Option<EntryId>) -> Result<(), StoreError> {
        match self.seen {
            Some(seen) if there != Some(seen) => {
                Err(StoreError::lost("gathered", &self.run, format_args!("entry `{seen}`"), last))
            }
            _ => Ok(()),
        }
    }
}
