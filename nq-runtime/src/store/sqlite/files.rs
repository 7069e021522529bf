//! Checks that the files which this store has open are still those that others find under their names.
//!
//! A file that was removed, renamed or replaced can be written for as long as it is open, and everything that
//! is written then is gone when it is closed. A store therefore looks at the names after each transaction,
//! before it answers.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::errors::Failure;

/// The files of an open store.
#[derive(Debug)]
pub(super) struct Files {
    database: Known,
    /// The write-ahead log.
    log: Known,
    /// The memory that processes share, and the lock by which others see that this store lives.
    beside: [Known; 2],
}

/// A file as it was when the store was opened.
#[derive(Debug)]
struct Known {
    path: PathBuf,
    identity: Identity,
}

/// What tells a file from another of the same name: its device and its number on the device.
#[cfg(unix)]
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(file: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// Other systems let nobody remove a file that is open.
#[cfg(not(unix))]
type Identity = ();

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {}

impl Files {
    /// Remembers the database, its log, and what else lies beside it.
    pub(super) fn know(database: &Path, log: PathBuf, beside: [PathBuf; 2]) -> io::Result<Self> {
        let [memory, lock] = beside;
        Ok(Self {
            database: Known::new(database.to_owned())?,
            log: Known::new(log)?,
            beside: [Known::new(memory)?, Known::new(lock)?],
        })
    }

    /// Whether all of them are still there. Returns the lengths of the database and of the log.
    pub(super) fn check(&self) -> Result<(u64, u64), Failure> {
        self.beside.iter().try_for_each(|known| known.check().map(drop))?;
        Ok((self.database.check()?, self.log.check()?))
    }

    /// Whether the database is still there.
    pub(super) fn check_database(&self) -> Result<(), Failure> {
        self.database.check().map(drop)
    }
}

impl Known {
    fn new(path: PathBuf) -> io::Result<Self> {
        let identity = identity(&fs::metadata(&path)?);
        Ok(Self { path, identity })
    }

    /// Its length.
    fn check(&self) -> Result<u64, Failure> {
        match fs::metadata(&self.path) {
            Ok(file) if identity(&file) == self.identity => Ok(file.len()),
            Ok(_) => Err(Failure::gone(&self.path, "was replaced by another file")),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(Failure::gone(&self.path, "was removed or renamed"))
            }
            // Without the right to look, nobody can say that the file is gone.
            Err(_) => Ok(0),
        }
    }
}
