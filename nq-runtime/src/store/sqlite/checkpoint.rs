//! When the write-ahead log is brought into the database, so that it can be begun anew, and what is done when
//! there is no room on the disk for that.
//!
//! SQLite begins the log anew only when all of it is in the database and nobody reads from it. While others
//! read and write all the time, there is no such moment by itself. So a log that is long enough is copied within
//! the turn to write: nobody can add to it then, and whoever begins to read no longer needs it.

use std::sync::Arc;
use std::time::Duration;

use super::db::Db;
use super::errors::Failure;
use super::locks::Locks;
use super::open::BUSY;
use super::reserve::{Reserve, is_full};
use super::shared::Shared;

/// The length of a log that is brought into the database. The longer it is, the more changes of a page share
/// one write of it; what is read, and what a restart reads first, is longer too.
pub(super) const LOG_BYTES: u64 = 16 * 1024 * 1024;
/// How long all who write pause at most while the last readers of the log finish.
const PAUSE: Duration = Duration::from_millis(200);
/// How many times as long as it should be the log is when it is said that somebody keeps it.
const LONG: u64 = 4;
/// The first SQLite that tells how long the log is without doing anything to it.
const COUNTS_SINCE: i32 = 3_051_000;

/// The write-ahead log, as the writer sees it.
#[derive(Debug)]
pub(super) struct Log<'c> {
    db: Db<'c>,
    shared: Arc<Shared>,
    reserve: Reserve,
    /// The length at which the log is brought into the database.
    limit: u64,
    /// The length of a page.
    page: u64,
    /// Whether SQLite tells how many pages the log holds. If not, the length of the file says it, which is cut
    /// with each checkpoint then.
    counts: bool,
    /// How many pages the log holds when the next checkpoint is due.
    due: u64,
    /// The length of the database as it was last seen. It never shrinks.
    database: u64,
    /// The length of the file of the log as it was last seen.
    length: u64,
    /// Whether the room that is kept for checkpoints is in use.
    pub(super) tight: bool,
    /// Whether it has been said that somebody keeps the log from being begun anew.
    said: bool,
}

impl<'c> Log<'c> {
    pub(super) fn new(
        db: Db<'c>,
        shared: Arc<Shared>,
        reserve: Reserve,
        sqlite: i32,
        limit: u64,
    ) -> Result<Self, Failure> {
        let page = db.first("PRAGMA page_size", [], |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or(4_096) as u64;
        let counts = sqlite >= COUNTS_SINCE;
        let due = limit / page;
        let mut log = Self {
            db,
            shared,
            reserve,
            limit,
            page,
            counts,
            due,
            database: 0,
            length: 0,
            tight: false,
            said: false,
        };
        log.look()?;
        Ok(log)
    }

    /// Looks whether the files are still there, and how long they are.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        let (database, length) = self.shared.check_files()?;
        self.database = self.database.max(database);
        self.length = length;
        Ok(())
    }

    /// Called within a transaction that is about to be committed: keeps the room that the database will need
    /// once the log is brought into it. When the disk is full, what only `removes` gets along without the spare.
    pub(super) fn keep_room(&self, removes: bool) -> Result<(), Failure> {
        let pages = self.db.first("PRAGMA page_count", [], |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or(0);
        let growth = (pages as u64 * self.page).saturating_sub(self.database);
        match growth {
            0 => Ok(()),
            growth if self.tight && removes => self.reserve.keep_only(growth),
            growth => self.reserve.keep(growth),
        }
        .map_err(Failure::Reserve)
    }

    /// Brings the log into the database if it is long.
    pub(super) fn bound(&mut self, locks: &Locks) -> Result<(), Failure> {
        if self.tight {
            self.truncate(locks)?;
            self.tight = self.reserve.keep(0).is_err();
            return Ok(());
        }
        if self.length < self.limit {
            return Ok(());
        }
        let pages = self.pages()?;
        if pages < self.due {
            return Ok(());
        }
        let done = self.restart(locks)?;
        // The database has grown.
        self.look()?;
        let enough = self.limit / self.page;
        // Each try that fails has made all who write pause: the longer the log, the fewer.
        self.due = if done { enough } else { pages + pages / 4 };
        if done {
            self.said = false;
            self.reserve.shrink(2 * self.limit);
        } else if pages > LONG * enough && !self.said {
            self.said = true;
            tracing::warn!(
                bytes = pages * self.page,
                "the write-ahead log of SQLite grows, since somebody has been reading the database all the while: \
                 is a shell open on it, or a process frozen?"
            );
        }
        Ok(())
    }

    /// Lets the next who writes begin the log anew. False if somebody reads from it for too long.
    fn restart(&self, locks: &Locks) -> Result<bool, Failure> {
        let _turn = locks.enter().map_err(Failure::Lock)?;
        self.patiently(if self.counts { "RESTART" } else { "TRUNCATE" })
    }

    /// Makes room on a full disk: cuts the log once it is in the database. What is kept for this is used if need
    /// be; with `all` it is used in any case, so that it is there for a transaction.
    pub(super) fn make_room(&mut self, locks: &Locks, all: bool) -> Result<(), Failure> {
        if all {
            self.tight = true;
            self.reserve.give_up();
        }
        self.truncate(locks)?;
        self.look()
    }

    /// What is said when nothing has made room. What there is goes to those who remove.
    pub(super) fn still_full(&self, failure: Failure) -> Failure {
        let full = self.is_full(&failure);
        let _ = self.reserve.keep(0);
        if full && !matches!(failure, Failure::Reserve(_)) {
            Failure::Full(Box::new(failure))
        } else {
            failure
        }
    }

    fn truncate(&self, locks: &Locks) -> Result<(), Failure> {
        let _turn = locks.enter().map_err(Failure::Lock)?;
        match self.patiently("TRUNCATE") {
            Err(failure) if self.is_full(&failure) => {
                self.reserve.give_up();
                self.patiently("TRUNCATE").map(drop)
            }
            done => done.map(drop),
        }
    }

    /// Whether this failed because there is no room.
    pub(super) fn is_full(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Reserve(error) => is_full(error),
            failure if failure.is_full() => true,
            failure => failure.is_write() && self.reserve.is_short(self.database.max(self.length)),
        }
    }

    /// How many pages the log holds.
    fn pages(&self) -> Result<u64, Failure> {
        if !self.counts {
            return Ok(self.length / self.page);
        }
        let sql = "PRAGMA wal_checkpoint(NOOP)";
        Ok(self.db.first(sql, [], |row| Ok(row.get::<_, i64>(1)?))?.unwrap_or_default().max(0) as u64)
    }

    fn patiently(&self, mode: &str) -> Result<bool, Failure> {
        self.db.0.busy_timeout(PAUSE)?;
        let done = self.checkpoint(mode);
        self.db.0.busy_timeout(BUSY)?;
        done
    }

    /// False if somebody stood in the way.
    fn checkpoint(&self, mode: &str) -> Result<bool, Failure> {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        Ok(self.db.first(&sql, [], |row| Ok(row.get::<_, i64>(0)? == 0))?.unwrap_or_default())
    }

    /// Called when the store is closed: SQLite brings the log into the database then, if there is room.
    pub(super) fn close(&self) {
        if self.checkpoint("PASSIVE").is_err_and(|failure| self.is_full(&failure)) {
            self.reserve.give_up();
        }
    }
}
