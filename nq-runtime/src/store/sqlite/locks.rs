//! The file locks beside the database: whose turn it is to write, and who lives.
//!
//! Locks belong to open files, so the operating system gives them back when a process ends, however it
//! ends, and keeps them while a process is only stopped.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The directory of locks of one database, and the locks that this store holds in it.
#[derive(Debug)]
pub(super) struct Locks {
    dir: PathBuf,
    /// Held by whoever writes next.
    next: File,
    /// Held by whoever writes.
    main: File,
    /// Shared by all who may share the database, held alone by one who may not.
    _sharing: File,
    /// Held while this store is open. None before [`Locks::appear`].
    own: OnceLock<File>,
    /// The name of this store, as others find it.
    name: String,
}

/// The right to write. Ends when dropped.
#[derive(Debug)]
pub(super) struct Turnstile<'a> {
    main: &'a File,
}

/// Whether another process allows this one at the database.
#[derive(Debug)]
pub(super) enum Admission {
    /// It does.
    Admitted(Locks),
    /// It, or this one, must be alone.
    Refused,
}

impl Locks {
    /// Opens the locks in this directory, which is made if it is not there. With `alone` no other store may
    /// have the database open, nor come while this one has.
    pub(super) fn open(dir: &Path, name: &str, alone: bool) -> io::Result<Admission> {
        make_dir(dir)?;
        let sharing = open_file(&dir.join("sharing"))?;
        let tried = if alone { sharing.try_lock() } else { sharing.try_lock_shared() };
        match tried {
            Err(TryLockError::WouldBlock) => return Ok(Admission::Refused),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        Ok(Admission::Admitted(Self {
            next: open_file(&dir.join("next"))?,
            main: open_file(&dir.join("main"))?,
            _sharing: sharing,
            own: OnceLock::new(),
            dir: dir.to_path_buf(),
            name: name.to_owned(),
        }))
    }

    /// Waits for the right to write. Whoever has just written queues up behind whoever waits already, so
    /// that a busy process cannot starve a quiet one.
    pub(super) fn enter(&self) -> io::Result<Turnstile<'_>> {
        lock(&self.next)?;
        let entered = lock(&self.main);
        self.next.unlock()?;
        entered.map(|()| Turnstile { main: &self.main })
    }

    /// From now on others see that this store lives. Called within the turnstile, as [`Self::forget`] is, so
    /// that nobody takes a file that is not locked yet for that of a dead one.
    pub(super) fn appear(&self) -> io::Result<()> {
        let own = open_file(&self.path(&self.name))?;
        lock(&own)?;
        let _ = self.own.set(own);
        Ok(())
    }

    /// The name of this store.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the store of this name lives, or may live.
    pub(super) fn lives(&self, name: &str) -> bool {
        if name == self.name {
            return self.own.get().is_some();
        }
        // Opened without creating: a store that has no file is dead, and must not get one here.
        match OpenOptions::new().write(true).open(self.path(name)) {
            Ok(file) => file.try_lock().is_err(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// The names of the other stores that have left a lock, dead ones among them.
    pub(super) fn others(&self) -> io::Result<Vec<String>> {
        let mut others = Vec::new();
        for file in fs::read_dir(&self.dir)? {
            let file = file?.file_name();
            let name = file.to_str().and_then(|file| file.strip_prefix(STORE)).unwrap_or_default();
            if !name.is_empty() && name != self.name {
                others.push(name.to_owned());
            }
        }
        Ok(others)
    }

    /// Removes what a dead store has left. Called within the turnstile.
    pub(super) fn forget(&self, name: &str) {
        // One that cannot be removed now is tried again by the next tick.
        let _ = fs::remove_file(self.path(name));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{STORE}{name}"))
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        if self.own.take().is_some() {
            self.forget(&self.name);
        }
    }
}

impl Drop for Turnstile<'_> {
    fn drop(&mut self) {
        // It fails only for a file that is not open.
        let _ = self.main.unlock();
    }
}

const STORE: &str = "store-";

fn lock(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}
