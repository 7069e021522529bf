//! The one thread that writes. It takes everything that waits as one transaction, so that many calls share
//! one wait for the disk, and answers when the transaction is committed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use nq_core::status::RunStatus;
use nq_core::store::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::book::Book;
use super::cache::Cache;
use super::checkpoint::Log;
use super::errors::{Failure, Reach};
use super::locks::Locks;
use super::shared::{Clock, Shared};
use super::tick::forget_dead;

/// How many calls one transaction takes at most. They answer together, so the first waits for the last.
const MAX_BATCH: usize = 256;
/// How often to look whether another process has written, while one lives and someone waits.
const POLL: Duration = Duration::from_millis(20);
/// How often to look whether another process has come, while someone waits.
const POLL_ALONE: Duration = Duration::from_millis(250);
/// After how many looks at what others have written to look whether they still live.
const POLLS_BETWEEN_ROLL_CALLS: u32 = 50;

/// What reaches the writer.
pub(super) enum Message {
    /// Something to write.
    Task(Box<dyn Task>),
    /// Someone has begun to wait.
    Waits,
}

/// One call: something that is done to the file, and someone who waits for the answer.
pub(super) trait Task: Send {
    /// Does it, and keeps the answer. Done again, it does the same, if the transaction was rolled back.
    fn attempt(&mut self, book: &mut Book<'_>, locks: &Locks, now_ms: u64) -> Result<(), Failure>;
    /// It is committed: gives the answer.
    fn answer(self: Box<Self>);
    /// It could not be done, because of this.
    fn refuse(self: Box<Self>, why: &StoreError);
    /// Whether it removes more than it adds, so that it is done on a full disk as well.
    fn removes(&self) -> bool;
}

/// A [`Task`] that is a closure.
pub(super) struct Call<T, F> {
    pub(super) op: &'static str,
    pub(super) key: Option<String>,
    pub(super) act: F,
    pub(super) answer: Option<T>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Task for Call<T, F>
where
    T: Send,
    F: FnMut(&mut Book<'_>, &Locks, u64) -> Result<T, Failure> + Send,
{
    fn attempt(&mut self, book: &mut Book<'_>, locks: &Locks, now_ms: u64) -> Result<(), Failure> {
        self.answer = Some((self.act)(book, locks, now_ms)?);
        Ok(())
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may be gone.
        if let Some(answer) = self.answer {
            let _ = self.reply.send(Ok(answer));
        }
    }

    fn refuse(self: Box<Self>, why: &StoreError) {
        let why = why.clone().with_op(self.op);
        let _ = self.reply.send(Err(match self.key {
            Some(key) => why.with_key(key),
            None => why,
        }));
    }

    fn removes(&self) -> bool {
        self.op == "tick"
    }
}

/// The thread's state.
pub(super) struct Writer<'c> {
    book: Book<'c>,
    log: Log<'c>,
    locks: &'c Locks,
    shared: Arc<Shared>,
    clock: Clock,
    /// Changes when another connection commits; see `PRAGMA data_version`.
    version: i64,
    /// Whether another process has the file open.
    others: bool,
    polls: u32,
}

impl<'c> Writer<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        log: Log<'c>,
        locks: &'c Locks,
        shared: Arc<Shared>,
        clock: Clock,
    ) -> Self {
        let book = Book::new(conn, locks.name().to_owned());
        Self { book, log, locks, shared, clock, version: 0, others: false, polls: 0 }
    }

    /// Gives back what dead processes have left.
    pub(super) fn recover(&mut self) -> Result<(), Failure> {
        loop {
            let mut left = MAX_RECOVERED;
            let recovered = self.transact(true, |book, locks, now_ms| {
                left = MAX_RECOVERED;
                book.bury(locks, &mut left, now_ms)?;
                forget_dead(locks);
                Ok(())
            });
            match recovered {
                // What cannot be read of one run does not keep the store shut.
                Err(failure) if self.book.mark(&failure) => continue,
                done => done?,
            }
            self.book.damaged.clear();
            self.settle();
            if left > 0 {
                // A killed process may have left a long write-ahead log.
                return self.log.bound(self.locks);
            }
        }
    }

    /// Writes until nobody can ask for it any more, or the disk fails.
    pub(super) fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            let first = match self.patience() {
                None => messages.recv().map_err(RecvTimeoutError::from),
                Some(patience) => messages.recv_timeout(patience),
            };
            let mut batch = Vec::new();
            match first {
                Ok(Message::Task(task)) => batch.push(task),
                Ok(Message::Waits) => continue,
                Err(RecvTimeoutError::Timeout) => {
                    self.look_around();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.log.close(),
            }
            while batch.len() < MAX_BATCH {
                match messages.try_recv() {
                    Ok(Message::Task(task)) => batch.push(task),
                    Ok(Message::Waits) => {}
                    Err(_) => break,
                }
            }
            self.commit(batch);
            if self.shared.ended("").is_some() {
                return;
            }
            self.bound_log();
        }
    }

    /// How long to sleep at most; none for as long as nobody asks for anything.
    fn patience(&self) -> Option<Duration> {
        let waiting = self.shared.waiting.load(Ordering::Relaxed) > 0;
        waiting.then_some(if self.others { POLL } else { POLL_ALONE })
    }

    /// Looks whether another process has written, and tells those who wait.
    fn look_around(&mut self) {
        if let Err(failure) = self.log.look() {
            self.shared.end(failure.report("wait", None));
        }
        if !self.others || self.polls >= POLLS_BETWEEN_ROLL_CALLS {
            self.polls = 0;
            let names = self.locks.others().unwrap_or_default();
            self.others = names.iter().any(|name| self.locks.lives(name));
        }
        self.polls += 1;
        if self.others && self.has_changed().unwrap_or(true) {
            self.shared.hints.all();
        }
    }

    /// Whether another process has written since this was last asked. What is remembered is forgotten then.
    fn has_changed(&mut self) -> Result<bool, Failure> {
        let sql = "PRAGMA data_version";
        let version = self.book.db.first(sql, [], |row| Ok(row.get(0)?))?.unwrap_or_default();
        if version == self.version {
            return Ok(false);
        }
        self.version = version;
        self.book.cache.forget();
        Ok(true)
    }

    /// Commits these together, or each alone if one of them cannot be done.
    fn commit(&mut self, mut batch: Vec<Box<dyn Task>>) {
        let removes = batch.iter().all(|task| task.removes());
        let done = self.transact(removes, |book, locks, now_ms| {
            batch.iter_mut().try_for_each(|task| task.attempt(book, locks, now_ms))
        });
        match done {
            Ok(()) => {
                self.book.damaged.clear();
                // The hints are sent first, so that a caller which waits after its answer is not woken by its own call.
                self.settle();
                batch.into_iter().for_each(Task::answer);
            }
            // On a full disk there may be room for some of them.
            Err(failure)
                if batch.len() > 1 && (failure.reach() == Reach::Act || self.log.is_full(&failure)) =>
            {
                for task in batch {
                    self.commit(vec![task]);
                }
            }
            // What cannot be read of one run does not stop what the call has to do with others.
            Err(failure) if self.book.mark(&failure) => self.commit(batch),
            Err(failure) => {
                self.book.damaged.clear();
                let ends = failure.reach() == Reach::Store;
                let why = failure.report("commit", None);
                for task in batch {
                    task.refuse(&why);
                }
                if ends {
                    self.shared.end(why);
                }
            }
        }
    }

    /// Does this in one transaction, again if there was no room on the disk and some can be made. It has no
    /// effect if it fails.
    fn transact(
        &mut self,
        removes: bool,
        mut act: impl FnMut(&mut Book<'c>, &Locks, u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut done = self.take_turn(removes, &mut act);
        for all in [false, true] {
            match done {
                Err(failure) if self.log.is_full(&failure) => {
                    done = match self.log.make_room(self.locks, all) {
                        Ok(()) => self.take_turn(removes, &mut act),
                        Err(other) if other.reach() == Reach::Store && !self.log.is_full(&other) => {
                            Err(other)
                        }
                        Err(_) => Err(failure),
                    };
                }
                done => return done,
            }
        }
        done.map_err(|failure| self.log.still_full(failure))
    }

    /// Does this in one transaction, in turn with other processes.
    fn take_turn(
        &mut self,
        removes: bool,
        act: &mut impl FnMut(&mut Book<'c>, &Locks, u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let turn = self.locks.enter().map_err(Failure::Lock)?;
        let done = self.in_transaction(removes, act);
        if done.is_err() {
            self.book.cache = Cache::default();
            if !self.book.db.0.is_autocommit() {
                // SQLite itself has rolled back if this fails.
                let _ = self.book.db.execute("ROLLBACK", []);
            }
        }
        drop(turn);
        done
    }

    fn in_transaction(
        &mut self,
        removes: bool,
        act: &mut impl FnMut(&mut Book<'c>, &Locks, u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.book.tight = self.log.tight;
        self.book.db.execute("BEGIN IMMEDIATE", [])?;
        if self.has_changed()? {
            self.shared.hints.all();
        }
        self.book.nameless.clear();
        let now_ms = (self.clock)();
        act(&mut self.book, self.locks, now_ms)?;
        self.book.end_nameless(now_ms)?;
        self.book.flush()?;
        self.log.keep_room(removes)?;
        self.book.db.execute("COMMIT", [])?;
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        // What was committed to a file that is gone must not be acknowledged.
        self.log.look()
    }

    /// Tells those who wait what the transaction brought.
    fn settle(&mut self) {
        let cache = &mut self.book.cache;
        let queues = cache.queues.iter().filter(|(_, queue)| queue.news);
        queues.for_each(|(name, _)| self.shared.hints.queue(name));
        for run in &cache.changed {
            let ended = cache.runs.get(run).is_none_or(|run| run.saved != Some(RunStatus::Running));
            self.shared.hints.run(run, ended);
        }
        cache.settle();
    }

    /// Brings the write-ahead log into the file when it is long.
    fn bound_log(&mut self) {
        let done = self.log.bound(self.locks);
        if let Err(failure) = done
            && !self.log.is_full(&failure)
            && failure.reach() == Reach::Store
        {
            self.shared.end(failure.report("checkpoint", None));
        }
    }
}

/// How many jobs of dead processes go back in one transaction.
const MAX_RECOVERED: usize = 1_000;
