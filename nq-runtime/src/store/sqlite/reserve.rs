//! Room on the disk that is kept for the next checkpoint.
//!
//! A checkpoint copies pages from the write-ahead log into the database, which grows then. On a disk that the
//! log has filled there is no room for that, and no way to shorten the log either. So a file beside the
//! database takes the room before the log needs it: it is always as long as the database would have to grow,
//! and is removed when the disk is full and a checkpoint needs the room.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How much is kept beyond what the next checkpoint needs, for transactions that do not let the database grow:
/// those that remove what is past its retention.
const SPARE: u64 = 1024 * 1024;
/// In which steps the file grows.
const STEP: usize = 256 * 1024;

/// The file that keeps the room.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Keeps room for a database that has to grow by this many bytes.
    pub(super) fn keep(&self, growth: u64) -> io::Result<()> {
        self.grow((growth + SPARE).next_multiple_of(STEP as u64))
    }

    /// The same, with nothing to spare.
    pub(super) fn keep_only(&self, growth: u64) -> io::Result<()> {
        self.grow(growth)
    }

    fn grow(&self, wanted: u64) -> io::Result<()> {
        let length = fs::metadata(&self.path).map_or(0, |file| file.len());
        if length >= wanted {
            return Ok(());
        }
        let mut file = open(&self.path)?;
        file.seek(SeekFrom::End(0))?;
        let noise = noise();
        let mut left = wanted - length;
        let grown = std::iter::from_fn(|| {
            let next = left.min(STEP as u64);
            left -= next;
            (next > 0).then_some(next as usize)
        })
        .try_for_each(|next| file.write_all(&noise[..next]));
        if grown.is_err() {
            // The part that did fit still keeps room for the log.
            file.set_len(length)?;
        }
        grown
    }

    /// Gives back what is kept beyond this, after a transaction that was larger than others are.
    pub(super) fn shrink(&self, longest: u64) {
        if fs::metadata(&self.path).is_ok_and(|file| file.len() > longest) {
            // If this fails, the file only stays longer than it need be.
            let _ = open(&self.path).and_then(|file| file.set_len(longest));
        }
    }

    /// Gives the room back to the disk.
    pub(super) fn give_up(&self) {
        // If this fails, the file was not there.
        let _ = fs::remove_file(&self.path);
    }

    /// Whether there is no room behind a file of this length: the disk is full, or a quota or a limit is
    /// reached. SQLite reports some of these as it reports a disk that fails.
    pub(super) fn is_short(&self, length: u64) -> bool {
        let mut name = self.path.clone().into_os_string();
        name.push("-try");
        let path = PathBuf::from(name);
        let tried = open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(length))?;
            file.write_all(&noise())
        });
        let _ = fs::remove_file(&path);
        tried.is_err_and(|error| is_full(&error))
    }
}

/// Whether there is no room, rather than a fault.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge | WriteZero)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// What no file system can compress, so that it takes the room that it keeps.
fn noise() -> Vec<u8> {
    let mut noise = vec![0; STEP];
    fastrand::fill(&mut noise);
    noise
}
