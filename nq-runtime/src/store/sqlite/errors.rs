//! What SQLite says, as what a caller can do about it.

use std::io;

use nq_core::store::{ErrorKind, StoreError};
use rusqlite::{ErrorCode, ffi};

/// Why an act could not be carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite failed.
    Sql(rusqlite::Error),
    /// The file holds something that nq cannot have written.
    Corrupt {
        /// The run, or what else it is about.
        key: String,
        /// What is wrong, and where.
        what: String,
    },
    /// The operating system failed at the locks.
    Lock(io::Error),
}

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only what the failed call was about.
    Act,
    /// Everything that was to be committed with it; a later attempt may succeed.
    Batch,
    /// The store: what is on the disk is not known any more, so nothing may be built on it.
    Store,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Failure {
    /// Something in this run, or else, that nq cannot have written.
    pub(super) fn corrupt(key: impl ToString, what: impl Into<String>) -> Self {
        Self::Corrupt { key: key.to_string(), what: what.into() }
    }

    /// How far it reaches.
    pub(super) fn reach(&self) -> Reach {
        match self {
            Self::Corrupt { .. } => Reach::Act,
            Self::Lock(_) => Reach::Batch,
            Self::Sql(error) => match (kind(error), code(error)) {
                (ErrorKind::Closed, _) => Reach::Store,
                (ErrorKind::Corrupt | ErrorKind::TooLarge, _) => Reach::Act,
                _ => Reach::Batch,
            },
        }
    }

    /// As the caller of this verb gets it.
    pub(super) fn report(self, op: &'static str, key: Option<String>) -> StoreError {
        let mut error = match self {
            Self::Corrupt { key, what } => return StoreError::new(ErrorKind::Corrupt, op, what).key(key),
            Self::Lock(error) => {
                let message = format!("the locks beside the database file cannot be taken: {error}");
                StoreError::new(ErrorKind::Unavailable, op, message).source(error)
            }
            Self::Sql(error) => StoreError::new(kind(&error), op, message(&error)).source(error),
        };
        error.key = key;
        error
    }
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    match error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error.code),
        other => other.sqlite_error_code(),
    }
}

/// A full disk shows as this where SQLite grows its shared memory file; no data is in doubt then.
fn is_shared_memory_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE)
}

fn kind(error: &rusqlite::Error) -> ErrorKind {
    if is_shared_memory_full(error) {
        return ErrorKind::Unavailable;
    }
    match code(error) {
        Some(ErrorCode::SystemIoFailure) => ErrorKind::Closed,
        Some(
            ErrorCode::DiskFull
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed,
        ) => ErrorKind::Unavailable,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => ErrorKind::Config,
        Some(ErrorCode::TooBig) => ErrorKind::TooLarge,
        Some(ErrorCode::NotADatabase) => ErrorKind::Version,
        // What is left are rows and tables that are not as this code makes them.
        _ => ErrorKind::Corrupt,
    }
}

fn message(error: &rusqlite::Error) -> String {
    if is_shared_memory_full(error) {
        return FULL.into();
    }
    match code(error) {
        Some(ErrorCode::DiskFull) => FULL.into(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds the database file locked; is a shell open on it?".into()
        }
        Some(ErrorCode::SystemIoFailure) => {
            "the disk failed, so what it holds is not certain any more; open the store again once the disk is sound"
                .into()
        }
        Some(ErrorCode::ReadOnly) => READ_ONLY.into(),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "the file cannot be opened; nq must be able to read and write it and its directory".into()
        }
        Some(ErrorCode::NotADatabase) => "the file is not an SQLite database, and was left as it is".into(),
        Some(ErrorCode::OutOfMemory) => "there is not enough memory".into(),
        Some(ErrorCode::TooBig) => "a value is larger than SQLite can hold".into(),
        Some(ErrorCode::DatabaseCorrupt) => {
            "the database file is damaged or cut short; restore it from a backup".into()
        }
        Some(ErrorCode::OperationInterrupted | ErrorCode::FileLockingProtocolFailed) => {
            "the database did not answer".into()
        }
        _ => "the database file does not hold what nq wrote".into(),
    }
}

const FULL: &str = "the disk is full: nothing of this was written; it goes on when there is room again";

/// What is said of a file that can only be read.
pub(super) const READ_ONLY: &str = "the file or its directory is read-only; nq must be able to write both";
