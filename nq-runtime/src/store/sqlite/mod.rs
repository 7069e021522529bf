//! `sqlite:PATH`: the embedded store. One file, nothing to install, several processes if need be.
//!
//! What was acknowledged is on the disk: it survives the end of the process and the loss of power. All
//! writes of a process go through one thread, which commits everything that waits at once; reads have
//! connections of their own. An error of the disk ends the store, since what the disk holds is not certain
//! then; a full disk is an answer, and work goes on when there is room.
//!
//! Several processes on one file write in turn. One that is frozen in the middle of a transaction keeps the
//! right to write, and the others get an error that says so until it wakes up or is killed; one that is frozen
//! at any other moment, also while it queues for its turn, keeps nobody waiting for more than some seconds. The
//! file must lie on a disk of this machine: locks over a network are not to be trusted.
//!
//! # The URL
//!
//! `sqlite:PATH`, or `sqlite://PATH` as other libraries write it: `sqlite:orders.db` and `sqlite://orders.db`
//! lie in the current directory, `sqlite:/var/lib/orders.db` and `sqlite:///var/lib/orders.db` do not. In the
//! path `%` and two hexadecimal digits stand for a byte: `%20` for a space, `%3F` for `?`, `%25` for `%`.
//! After a `?` there may be one parameter:
//!
//! | parameter | meaning |
//! |---|---|
//! | `mode=rwc` | the file is made if it is not there; so it is without a `mode` |
//! | `mode=rw` | the file must be there |
//!
//! Everything else is refused with [`ErrorKind::Config`]: other parameters, `mode=ro` (nq must be able to
//! write), `sqlite::memory:` and `mode=memory` (a store in memory is `memory:`), `sqlite:file:PATH` (write
//! `sqlite:PATH`), a path that is empty, ends in `/`, or begins or ends with white space, a directory.
//!
//! # What lies beside the file
//!
//! Beside `orders.db` lie, while a process has it open:
//!
//! | name | what it is |
//! |---|---|
//! | `orders.db-wal` | SQLite's write-ahead log: what was committed and is not in the database yet. Up to 32 MiB, more only while somebody reads for long or a transaction is larger. |
//! | `orders.db-shm` | SQLite's index of the log, shared by all processes |
//! | `orders.db-reserve` | nothing of value: it keeps the room that the database needs to take the log in, so that a full disk cannot keep it out. Up to as long as the log. |
//! | `orders.db-locks/` | a directory of lock files: whose turn it is, and which processes live |
//!
//! The last process to close the store removes all but the directory. After a crash they are still there, and
//! the log then holds acknowledged work: **whoever copies or moves the database without it loses that work.**
//! Copy it while no process has it open, or with `VACUUM INTO` or SQLite's backup. A store that is open ends
//! with [`ErrorKind::Closed`] when one of these files is removed, renamed or replaced.

mod book;
mod cache;
mod checkpoint;
mod damage;
mod db;
mod errors;
mod files;
mod flush;
mod locks;
mod migrate;
mod open;
mod options;
mod read;
mod readers;
mod records;
mod reserve;
mod row;
mod schema;
mod shared;
#[cfg(test)]
mod tests;
mod tick;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use nq_core::entry::Entry;
use nq_core::id::{InstanceId, QueueName, RunId};
use nq_core::ledger;
use nq_core::record::RunRecord;
use nq_core::store::{
    Acted, ErrorKind, Gathered, Interest, JobSummary, JobsQuery, Offer, Queries, QueueCounts, Read, RunsPage,
    RunsQuery, Started, Store, StoreError, Take, Tick, Ticked, TurnReply,
};
use nq_core::transaction::{Act, LogLine, Start, Turn};
use rusqlite::params;
use tokio::sync::oneshot;

use self::book::Book;
use self::checkpoint::{LOG_BYTES, Log};
use self::errors::Failure;
use self::locks::Locks;
use self::open::Setup;
pub use self::options::SqliteOptions;
use self::readers::Readers;
use self::reserve::Reserve;
use self::shared::{Clock, Shared};
use self::writer::{Call, Message, Writer};
use super::clock;

/// A store in one SQLite database. Dropping it waits for the write that is under way, and closes the file.
pub struct SqliteStore {
    path: PathBuf,
    /// None once the store is being dropped.
    messages: Option<Sender<Message>>,
    writer: Option<JoinHandle<()>>,
    /// None once the store is being dropped.
    readers: Option<Readers>,
    shared: Arc<Shared>,
    clock: Clock,
}

impl SqliteStore {
    /// Opens the store, made if it is not there. What processes that died held goes back to its queues.
    ///
    /// Fails with [`ErrorKind::Config`] where the path or the rights are wrong, [`ErrorKind::Version`] where
    /// the file is not nq's or of a newer one, [`ErrorKind::Corrupt`] where it is damaged.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use nq::store::sqlite::{SqliteOptions, SqliteStore};
    ///
    /// # async fn example() -> nq::Result<()> {
    /// let store = SqliteStore::open(SqliteOptions::parse("sqlite:orders.db")?).await?;
    /// let nq = nq::Builder::new(Arc::new(store)).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        Self::with_clock(options, clock::now_ms).await
    }

    /// The same, but takes its time, in milliseconds since 1970, from here. For tests.
    pub async fn with_clock(
        options: SqliteOptions,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let sqlite = rusqlite::version_number();
        Self::open_with(Setup { options, sqlite, log_bytes: LOG_BYTES, clock: Arc::new(clock) }).await
    }

    /// How many transactions this store has synced: what happened at one moment shared one of them.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    async fn open_with(setup: Setup) -> Result<Self, StoreError> {
        let asked = setup.options.path.display().to_string();
        Self::open_as(setup).await.map_err(|error| error.of(&asked))
    }

    async fn open_as(setup: Setup) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let clock = setup.clock.clone();
        let (messages, receiver) = channel();
        let (opened, opening) = oneshot::channel();
        let no_thread = |error: std::io::Error| {
            StoreError::new(ErrorKind::Unavailable, "open", "no thread can be started").with_source(error)
        };
        let thread = std::thread::Builder::new().name("nq-sqlite-write".into());
        let their = shared.clone();
        let writer = thread.spawn(move || write(setup, their, opened, &receiver)).map_err(no_thread)?;
        let died = |_| StoreError::new(ErrorKind::Closed, "open", "the thread that writes panicked");
        let path = opening.await.map_err(died)??;
        let readers = Readers::start(&path, shared.clone()).map_err(no_thread)?;
        let (messages, writer, readers) = (Some(messages), Some(writer), Some(readers));
        Ok(Self { path, messages, writer, readers, shared, clock })
    }

    /// Does this in the next transaction.
    async fn write<T: Send + 'static>(
        &self,
        op: &'static str,
        key: Option<String>,
        act: impl FnMut(&mut Book<'_>, &Locks, u64) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(op, Message::Task(Box::new(Call { op, key, act, answer: None, reply })))?;
        answer.await.map_err(|_| self.closed(op))?.map_err(|error| self.named(error))
    }

    /// An error that says which store it was.
    fn named(&self, error: StoreError) -> StoreError {
        error.of(&self.path.display().to_string())
    }

    fn send(&self, op: &'static str, message: Message) -> Result<(), StoreError> {
        if let Some(ended) = self.shared.ended(op) {
            return Err(self.named(ended));
        }
        let messages = self.messages.as_ref().ok_or_else(|| self.closed(op))?;
        messages.send(message).map_err(|_| self.closed(op))
    }

    /// Looks at the file as it is now.
    async fn look<T: Send + 'static>(
        &self,
        op: &'static str,
        key: Option<String>,
        look: impl FnOnce(db::Db<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Some(ended) = self.shared.ended(op) {
            return Err(self.named(ended));
        }
        let readers = self.readers.as_ref().ok_or_else(|| self.closed(op))?;
        readers.look(op, key, look).await.map_err(|error| self.named(error))
    }

    fn closed(&self, op: &'static str) -> StoreError {
        let ended = || StoreError::new(ErrorKind::Closed, op, "the thread that writes has ended");
        self.named(self.shared.ended(op).unwrap_or_else(ended))
    }
}

/// The thread that writes, from opening the file to closing it.
fn write(
    setup: Setup,
    shared: Arc<Shared>,
    opened: oneshot::Sender<Result<PathBuf, StoreError>>,
    messages: &Receiver<Message>,
) {
    let ending = Ending(shared.clone());
    let (path, locks, conn) = match open::all(&setup, &shared) {
        Ok(parts) => parts,
        Err(error) => {
            // Whoever opens may have given up; the next one gets the same answer.
            let _ = opened.send(Err(error));
            return;
        }
    };
    let reserve = || Reserve::new(open::beside(&path, "-reserve"));
    let failed = |failure: Failure| failure.report("open", None).with_key(path.display());
    let writer =
        Log::new(db::Db(&conn), shared.clone(), reserve(), setup.sqlite, setup.log_bytes).and_then(|log| {
            let mut writer = Writer::new(&conn, log, &locks, shared, setup.clock);
            writer.recover().map(|()| writer)
        });
    match writer {
        Err(failure) => drop(opened.send(Err(failed(failure)))),
        Ok(mut writer) => {
            let _ = opened.send(Ok(path.clone()));
            writer.run(messages);
        }
    }
    drop(conn);
    // The last one to leave takes the room for a log along that is gone.
    if !open::beside(&path, "-wal").exists() {
        reserve().give_up();
    }
    drop(ending);
}

/// However the thread ends, nobody goes on waiting for it.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(StoreError::new(ErrorKind::Closed, "write", "the thread that writes has ended"));
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The last connection to close brings the write-ahead log into the file: the one that writes.
        self.readers = None;
        self.messages = None;
        if let Some(writer) = self.writer.take() {
            // A thread that panicked has ended as well.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Counts one who waits, so that the writer looks for what other processes bring.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        let (key, turn) = (turn.instance.to_string(), turn.clone());
        let instance = turn.instance.clone();
        let act = move |book: &mut Book<'_>, _: &Locks, now_ms| ledger::turn(book, &turn, now_ms);
        let reply = self.write("turn", Some(key), act).await?;
        reply.map_err(|error| StoreError::new(ErrorKind::Lane, "turn", error.to_string()).with_key(instance))
    }

    fn starts_with_turns(&self) -> bool {
        true
    }

    async fn start(&self, start: &Start) -> Result<Started, StoreError> {
        let (key, start) = (start.run.to_string(), start.clone());
        self.write("start", Some(key), move |book, _, now_ms| ledger::start(book, &start, now_ms)).await?
    }

    async fn act(&self, run: &RunId, act: &Act) -> Result<Acted, StoreError> {
        let (id, act) = (run.clone(), act.clone());
        let does = move |book: &mut Book<'_>, _: &Locks, now_ms| ledger::act(book, &id, &act, now_ms);
        self.write("act", Some(run.to_string()), does).await?.ok_or_else(|| StoreError::no_run("act", run))
    }

    async fn append(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        let (id, lines) = (run.clone(), lines.to_vec());
        let act = move |book: &mut Book<'_>, _: &Locks, now_ms| ledger::append(book, &id, &lines, now_ms);
        let there = self.write("append", Some(run.to_string()), act).await?;
        if there { Ok(()) } else { Err(StoreError::no_run("append", run)) }
    }

    async fn wait(&self, interest: &Interest, timeout: Duration) -> Result<(), StoreError> {
        let first = self.shared.waiting.fetch_add(1, Ordering::Relaxed) == 0;
        let _waiting = Waiting(&self.shared.waiting);
        if first {
            self.send("wait", Message::Waits)?;
        }
        let waiter = self.shared.hints.register(interest);
        let theirs = interest.clone();
        if !self.look("wait", None, move |db| read::ready(db, &theirs)).await? {
            // Running out of time is an answer like any other.
            let _ = tokio::time::timeout(timeout, waiter.woken()).await;
        }
        self.shared.ended("wait").map_or(Ok(()), Err)
    }

    async fn offer(&self, offer: &Offer, _: &Take, timeout: Duration) -> Result<(), StoreError> {
        self.wait(&Interest::Queues(offer.queues.clone()), timeout).await
    }

    async fn tick(&self, tick: &Tick) -> Result<Ticked, StoreError> {
        let tick = tick.clone();
        self.write("tick", None, move |book, locks, now_ms| book.tick(locks, &tick, now_ms)).await
    }

    async fn leave(&self, instance: &InstanceId) -> Result<(), StoreError> {
        let id = instance.clone();
        self.write("leave", Some(instance.to_string()), move |book, _, _| book.leave(&id)).await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), StoreError> {
        let name = queue.clone();
        let act = move |book: &mut Book<'_>, _: &Locks, _| {
            let queue = book.queue(&name)?;
            queue.paused = paused;
            queue.news = true;
            let key = queue.key;
            book.db.execute("UPDATE queues SET paused = ? WHERE key = ?", params![paused, key])?;
            Ok(())
        };
        self.write("pause", Some(queue.to_string()), act).await
    }
}

#[async_trait]
impl Queries for SqliteStore {
    async fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError> {
        let (key, query) = (read.run.to_string(), read.clone());
        let page = self.look("read", Some(key), move |db| read::read(db, &query)).await?;
        page.ok_or_else(|| StoreError::no_run("read", &read.run))?
    }

    async fn gathered(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError> {
        let asked = gathered.clone();
        let look = move |db: db::Db<'_>| read::gathered(db, &asked);
        let page = self.look("gathered", Some(gathered.run.to_string()), look).await?;
        page.ok_or_else(|| StoreError::no_run("gathered", &gathered.run))?
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let id = run.clone();
        self.look("run", Some(run.to_string()), move |db| read::run(db, &id)).await
    }

    async fn runs(&self, query: &RunsQuery) -> Result<RunsPage, StoreError> {
        let no_cursor = |text: &String| {
            StoreError::new(ErrorKind::NotFound, "runs", "this is no cursor of a page").with_key(text)
        };
        let before = match &query.cursor {
            None => i64::MAX,
            Some(cursor) => cursor.parse::<u64>().map(|key| key as i64).map_err(|_| no_cursor(cursor))?,
        };
        let query = query.clone();
        self.look("runs", None, move |db| read::runs(db, &query, before)).await
    }

    async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError> {
        let now_ms = (self.clock)();
        self.look("queues", None, move |db| read::queues(db, now_ms)).await
    }

    async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError> {
        let query = query.clone();
        self.look("jobs", None, move |db| read::jobs(db, &query)).await
    }
}
