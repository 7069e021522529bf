//! Turns the errors of SQLite into the errors of a store, by what a caller can do about them.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use nq_core::store::{ErrorKind, StoreError};
use rusqlite::{ErrorCode, ffi};

use super::reserve::is_full;

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
    /// The operating system failed at the file that keeps room for a checkpoint.
    Reserve(io::Error),
    /// This failed because the disk is full, although the operating system says something else.
    Full(Box<Failure>),
    /// A file of the store is not where it was.
    Gone {
        /// Its path.
        path: PathBuf,
        /// What happened to it.
        what: &'static str,
    },
}

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only what the failed call was about.
    Act,
    /// Everything that was to be committed with it; a later attempt may succeed.
    Batch,
    /// The whole store: nobody knows any more what is on the disk, so it must not be used.
    Store,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Corrupt { key, what } => write!(f, "`{key}`: {what}"),
            Self::Lock(error) | Self::Reserve(error) => error.fmt(f),
            Self::Full(failure) => failure.fmt(f),
            Self::Gone { path, what } => write!(f, "{what}: {}", path.display()),
        }
    }
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

    /// This happened to a file of the store.
    pub(super) fn gone(path: &Path, what: &'static str) -> Self {
        Self::Gone { path: path.to_owned(), what }
    }

    /// Whether SQLite says that the disk is full.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Sql(error) => code(error) == Some(ErrorCode::DiskFull) || is_shared_memory_full(error),
            _ => false,
        }
    }

    /// Whether SQLite could not write to a file.
    pub(super) fn is_write(&self) -> bool {
        matches!(self, Self::Sql(error) if extended_code(error) == Some(ffi::SQLITE_IOERR_WRITE))
    }

    /// The same, said of this run, where it is something stored that cannot be read or does not fit.
    pub(super) fn about(self, run: &str) -> Self {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
        };
        match self {
            Self::Corrupt { key, what } if key != run => Self::corrupt(run, format!("{key}: {what}")),
            Self::Sql(
                error @ (FromSqlConversionFailure(..)
                | IntegralValueOutOfRange(..)
                | InvalidColumnType(..)
                | Utf8Error(..)),
            ) => Self::corrupt(run, error.to_string()),
            Self::Sql(error) if code(&error) == Some(ErrorCode::ConstraintViolation) => {
                Self::corrupt(run, error.to_string())
            }
            other => other,
        }
    }

    /// How far it reaches.
    pub(super) fn reach(&self) -> Reach {
        match self {
            Self::Corrupt { .. } => Reach::Act,
            Self::Lock(_) | Self::Reserve(_) | Self::Full(_) => Reach::Batch,
            Self::Gone { .. } => Reach::Store,
            Self::Sql(error) => match (kind(error), code(error)) {
                (ErrorKind::Closed, _) => Reach::Store,
                (ErrorKind::Corrupt | ErrorKind::TooLarge, _) => Reach::Act,
                _ => Reach::Batch,
            },
        }
    }

    /// As the caller of this verb gets it.
    pub(super) fn report(self, op: &'static str, key: Option<String>) -> StoreError {
        let error = match self {
            Self::Corrupt { key, what } => {
                return StoreError::new(ErrorKind::Corrupt, op, what).with_key(key);
            }
            Self::Lock(error) => {
                let message = format!("the locks beside the database file cannot be taken: {error}");
                StoreError::new(ErrorKind::Unavailable, op, message).with_source(error)
            }
            Self::Reserve(error) if is_full(&error) => {
                StoreError::new(ErrorKind::Unavailable, op, FULL).with_source(error)
            }
            Self::Reserve(error) => {
                let message = format!("the reserve beside the database file cannot be written: {error}");
                StoreError::new(ErrorKind::Unavailable, op, message).with_source(error)
            }
            Self::Full(failure) => {
                StoreError::new(ErrorKind::Unavailable, op, FULL).with_source(failure.report(op, None))
            }
            Self::Gone { path, what } => {
                let message = format!(
                    "`{}` {what} while the store was open; what is written from now on would be lost, so the                      store has ended: open it again once the file is in its place",
                    path.display()
                );
                StoreError::new(ErrorKind::Closed, op, message)
            }
            // The store has opened its files, so a missing file was removed since.
            Self::Sql(error) if code(&error) == Some(ErrorCode::CannotOpen) && op != "open" => {
                StoreError::new(ErrorKind::Unavailable, op, TOO_MANY_FILES).with_source(error)
            }
            Self::Sql(error) => StoreError::new(kind(&error), op, message(&error)).with_source(error),
        };
        match key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }
}

/// What SQLite itself said. Not every version of rusqlite has the variants that hold it; all have it as the source.
fn said(error: &rusqlite::Error) -> Option<&ffi::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    said(error).map(|error| error.code)
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    said(error).map(|error| error.extended_code)
}

/// A full disk shows as this where SQLite grows its shared memory file; no data is in doubt then.
fn is_shared_memory_full(error: &rusqlite::Error) -> bool {
    extended_code(error) == Some(ffi::SQLITE_IOERR_SHMSIZE)
}

/// What the operating system had too little of for a moment; nothing was written then.
const PASSING: [i32; 6] = [
    ffi::SQLITE_IOERR_BLOCKED,
    ffi::SQLITE_IOERR_LOCK,
    ffi::SQLITE_IOERR_NOMEM,
    ffi::SQLITE_IOERR_RDLOCK,
    ffi::SQLITE_IOERR_SHMLOCK,
    ffi::SQLITE_IOERR_SHMMAP,
];

fn is_passing(error: &rusqlite::Error) -> bool {
    extended_code(error).is_some_and(|code| PASSING.contains(&code))
}

fn kind(error: &rusqlite::Error) -> ErrorKind {
    if is_shared_memory_full(error) || is_passing(error) {
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
    if is_passing(error) {
        return "the operating system has too little memory, or too few locks, for SQLite".into();
    }
    match code(error) {
        Some(ErrorCode::DiskFull) => FULL.into(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds the database file locked: is a shell open on it, or a process frozen in the \
             middle of a transaction? nobody can write before it goes on or is ended"
                .into()
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

const TOO_MANY_FILES: &str =
    "SQLite cannot open a file that it needs; this process may have too many files open";

const FULL: &str = "the disk is full: nothing of this was written; it goes on when there is room again";

/// What is said of a file that can only be read.
pub(super) const READ_ONLY: &str = "the file or its directory is read-only; nq must be able to write both";
