//! The file locks beside the database: whose turn it is to write, and which processes are alive.
//!
//! Locks belong to open files, so the operating system gives them back when a process ends, however it
//! ends, and keeps them while a process is only stopped. Whoever waits for a lock therefore goes past a
//! process that keeps it for too long: turns make the wait fair, and SQLite's own lock makes it safe.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a store waits for whoever is next, which is as long as one transaction takes, before it goes past.
const PATIENCE_BEHIND_NEXT: Duration = Duration::from_millis(500);
/// How long a store waits for whoever writes, before it goes past and asks SQLite itself.
const PATIENCE_BEHIND_WRITER: Duration = Duration::from_secs(1);
/// How long a store waits at most after it has waited in vain once. This is longer than a nap, so that a living store
/// which is next comes first.
const PATIENCE_LOST: Duration = Duration::from_millis(10);
/// How long a store that waits sleeps at least between two looks at a lock. A transaction takes many times as long.
const SHORTEST_NAP: Duration = Duration::from_micros(50);
/// How long it sleeps at most.
const LONGEST_NAP: Duration = Duration::from_millis(2);

/// The directory of locks of one database, and the locks that this store holds in it.
#[derive(Debug)]
pub(super) struct Locks {
    dir: PathBuf,
    /// Held by whoever writes next.
    next: Gate,
    /// Held by whoever writes.
    main: Gate,
    /// Shared by all who may share the database, held alone by one who may not.
    _sharing: File,
    /// Held while this store is open. None before [`Locks::appear`].
    own: OnceLock<File>,
    /// The name of this store, as others find it.
    name: String,
}

/// A lock that one store holds at a time, unless whoever holds it is frozen.
#[derive(Debug)]
struct Gate {
    file: File,
    /// Whether this store has waited in vain. It waits a short time only until it finds the lock free again.
    stuck: AtomicBool,
}

/// The right to write. Ends when dropped.
#[derive(Debug)]
pub(super) struct Turnstile<'a> {
    main: Option<&'a Gate>,
    /// The place in the queue, which a store that goes past one that keeps its turn gives up only after it has
    /// written, so that others do not go past it in turn.
    next: Option<&'a Gate>,
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
            next: Gate::open(&dir.join("next"))?,
            main: Gate::open(&dir.join("main"))?,
            _sharing: sharing,
            own: OnceLock::new(),
            dir: dir.to_path_buf(),
            name: name.to_owned(),
        }))
    }

    /// Waits for the right to write. Whoever has just written queues up behind whoever waits already, so
    /// that a busy process cannot starve a quiet one.
    ///
    /// A store that was stopped while it queued keeps nobody: the others go past it. One that was stopped
    /// while it wrote keeps the lock of SQLite as well, if it is in the middle of a transaction; the others
    /// go past the turnstile then, and learn from SQLite that they cannot write.
    pub(super) fn enter(&self) -> io::Result<Turnstile<'_>> {
        let next = self.next.enter(PATIENCE_BEHIND_NEXT)?.then_some(&self.next);
        let mut turn = Turnstile { main: None, next };
        if self.main.enter(PATIENCE_BEHIND_WRITER)? {
            turn.main = Some(&self.main);
            turn.next.take().map_or(Ok(()), |next| next.file.unlock())?;
        }
        Ok(turn)
    }

    /// From now on others see that this store lives.
    pub(super) fn appear(&self) -> io::Result<()> {
        // The file gets its name when it is locked, so that nobody takes it for that of a dead store.
        let unborn = self.dir.join(format!("new-{}", self.name));
        let own = open_file(&unborn)?;
        own.lock()?;
        fs::rename(unborn, self.own_path())?;
        let _ = self.own.set(own);
        Ok(())
    }

    /// The file by which others see that this store lives.
    pub(super) fn own_path(&self) -> PathBuf {
        self.path(&self.name)
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

    /// Removes what a dead store has left.
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
        for gate in [self.main, self.next].into_iter().flatten() {
            // It fails only for a file that is not open.
            let _ = gate.file.unlock();
        }
    }
}

const STORE: &str = "store-";

impl Gate {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: open_file(path)?, stuck: AtomicBool::new(false) })
    }

    /// Takes the lock. False if somebody has kept it for longer than this.
    fn enter(&self, patience: Duration) -> io::Result<bool> {
        let patience = if self.stuck.load(Ordering::Relaxed) { PATIENCE_LOST } else { patience };
        let mut waited = Duration::ZERO;
        loop {
            match self.file.try_lock() {
                Ok(()) => {
                    self.stuck.store(false, Ordering::Relaxed);
                    return Ok(true);
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if waited >= patience {
                self.stuck.store(true, Ordering::Relaxed);
                return Ok(false);
            }
            let nap = (waited / 16).clamp(SHORTEST_NAP, LONGEST_NAP);
            std::thread::sleep(nap);
            waited += nap;
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
