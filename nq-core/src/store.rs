//! The contract of a store: where timelines, queues and timers live.
//!
//! A store decides nothing that could be decided before: what arrives here is a [`Transaction`] that says
//! exactly what to append, enqueue and count. What is left to the store is what must be decided against
//! concurrent steps, and for that it has [`crate::ledger`], written once over the few records that it keeps.
//!
//! What holds for every verb:
//!
//! - **Time** is the store's clock, never the caller's; the clock may jump, ids never go back.
//! - **A call that fails with [`ErrorKind::Unavailable`] is unknown, not undone**: it may have happened, or
//!   may yet happen. Sending it again with the same content is safe for every verb but [`Store::append`]:
//!   it is done once. Where an answer tells what a call changed, that of a repeated call may be that
//!   nothing changed ([`Started::Existing`], [`Acted::Nothing`], the counts of [`Ticked`]); a turn gets the
//!   same answers.
//! - **An error that is an answer** ([`ErrorKind::Conflict`], [`ErrorKind::NotFound`], [`ErrorKind::Lane`],
//!   [`ErrorKind::TooLarge`]) means that nothing was changed. The others say that the store is of no use as
//!   it is; what was under way then is unknown.
//! - **What was acknowledged is not lost** while the store keeps what its own documentation promises: an
//!   entry that was read, a lease that was given, an answer that was sent are there after a crash of the
//!   caller, and after one of the store as far as it is durable.
//! - **Two callers** at the same record are served one after the other; the loser is refused by its fence,
//!   never merged.
//! - **A reader** sees each commit, start and act whole or not at all, and whoever was answered sees what he
//!   did in his next read.
//! - **A future that is dropped** before it is ready leaves a call that may or may not happen, as if its
//!   reply had been lost. Only [`Store::wait`] changes nothing in any case.
//!
//! Whoever writes a store implements [`Store`] whole, since no verb has a default. Where records can be held still
//! while Rust code runs (a lock, a transaction), [`crate::ledger`] gives the acts; a store that cannot says the same
//! in its own language. The suite that proves all this is in `nq_core::conformance` (feature `conformance`), and
//! is run against any store by one macro.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entry::{Entry, EntryType};
use crate::id::{EntryId, InstanceId, Name, QueueName, RunId, StepId};
use crate::limits;
use crate::record::JobState;
use crate::status::RunStatus;
use crate::transaction::{Act, LogLine, Start, Turn};
#[cfg(doc)]
use crate::transaction::{Transaction, Want};

/// Where timelines, queues and timers live.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// The hot path: everything that an instance has finished, renews and can take.
    ///
    /// **Order**: renewals, then writes in their order, then leases in the order of the wants. So a job
    /// that a write enqueues can be leased by the same turn.
    ///
    /// **What cannot be read** harms nobody else: a job whose record or input is damaged is a dead letter that names
    /// run and step, as if its step had failed for good, and the rest of the turn goes on. A write of a run that is
    /// damaged is answered [`Answer::RunEnded`], and where not even its end can be written, [`Answer::RunGone`].
    ///
    /// **Atomicity**: each write is all or nothing by itself and answered by itself; a refused one changes
    /// nothing and spoils nothing else. What it causes (jobs, arrivals, counts, gathers that fire, the end of
    /// the run) is part of it. Leasing raises the job's fence and appends `flow.step.started` in one act.
    ///
    /// **Leases**: a queue gives its jobs first come, first served, where the store keeps it in one place
    /// (a store that partitions says so); what comes back goes to the end. A lease that has run out counts
    /// until a tick takes it away, so its holder may still renew it and commit. The jobs of a run that has
    /// ended are dropped instead of leased.
    ///
    /// **Idempotent by the lane**: the number of the last turn again gets the answers of the last turn, and
    /// its leases that still stand; nothing is applied twice. A lower number, or a gap, is
    /// [`ErrorKind::Lane`] and changes nothing: two processes use one instance id, or the store lost what
    /// it had acknowledged. The first number of a lane is 1. One turn at a time is under way on a lane.
    ///
    /// **Two callers**: turns of different instances are served one after the other, or as if they were. Of two
    /// commits of one job the first that carries the current fence is in; the other is [`Answer::LeaseLost`].
    /// No job is leased to two, unless its lease has run out and a tick has taken it back.
    ///
    /// **Errors**: a write or renewal that is refused is an answer, never an error of the turn. An error of the
    /// turn says nothing of its parts: after [`ErrorKind::Unavailable`] the same turn is sent again, number and
    /// content, until it is answered; after any other the instance stops.
    ///
    /// **A part of the store that is away**: a store that keeps runs in several places answers what the others do, and
    /// for the rest [`Answer::Later`] and [`RenewAnswer::Later`]. Only if all of them are away the turn is
    /// [`ErrorKind::Unavailable`].
    ///
    /// **A crash** of the store leaves each write and each lease whole or not there, and the lane at the turn
    /// that they belong to, as far as the store is durable. A crash of the caller leaves leases that run out.
    ///
    /// **Limits**: at most [`crate::limits::MAX_TURN_WRITES`] writes and [`crate::limits::MAX_TURN_BYTES`],
    /// except one larger commit by itself, which the caller sees to; a commit of too many entries is answered
    /// [`Answer::TooLarge`].
    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError>;

    /// Begins a run: its `flow.started` entry and its entry job, all or nothing.
    ///
    /// Idempotent by the run's id, also when it has ended: where a run of this id has the same flow and an
    /// equal input, the answer is [`Started::Existing`] and nothing changes; the rest of the entry is not
    /// compared. Another input or flow: [`ErrorKind::Conflict`], and nothing changes. Of many who start at once
    /// one starts, and the others are told by the same rule. When the run is gone its id is free.
    ///
    /// When it returns, the run is there for every reader, and there after a crash as far as the store is
    /// durable; a store that can wait for more than its usual durability does so here, in [`Store::act`] and
    /// for effects, since someone outside is told. A start that cannot be made as durable as asked is
    /// [`ErrorKind::Unavailable`], and may be there.
    async fn start(&self, start: &Start) -> Result<Started, StoreError>;

    /// Does something to a run from outside, all or nothing. Where it is done already, or there is nothing to
    /// do it to (a run that has ended, a step that is not dead), it changes nothing and answers
    /// [`Acted::Nothing`]. A run that is not there: [`ErrorKind::NotFound`].
    ///
    /// A cancel and a last commit that meet leave one terminal entry, that of the first. Of two who do the same
    /// one is answered [`Acted::Done`]; an act that is sent again after a lost reply finds itself done. It is as
    /// durable as a start.
    async fn act(&self, run: &RunId, act: &Act) -> Result<Acted, StoreError>;

    /// Appends log lines to a run, in order, all or nothing. Not fenced, and accepted after the end of a
    /// run, whose retention it does not prolong; refused with [`ErrorKind::NotFound`] when the run is gone,
    /// so that a late line creates nothing. Not idempotent: lines whose reply was lost and that are sent
    /// again may stand twice. The lines of two callers do not mix within a call. What a crash takes is the last
    /// lines, never one from the middle.
    async fn append(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError>;

    /// Returns when there may be something: at once if there is already, else when it comes, else after
    /// `timeout`. A hint: it may come late or for nothing, and is never the truth; whoever must know reads,
    /// or takes a turn. Everyone who waits is woken, not one of them. What is about a run that is not there
    /// returns at once or after `timeout`. Changes nothing, and is safe to drop. A store that is away may say so
    /// ([`ErrorKind::Unavailable`]) or wait in silence; either way who waits must not be made to spin.
    async fn wait(&self, interest: &Interest, timeout: Duration) -> Result<(), StoreError>;

    /// Waits for a job as [`Store::wait`] does, and may bring one along: one round trip less than a hint and a
    /// turn. A store may bring none ever, and then this is a wait.
    ///
    /// **`take` is called with the job**, at most once, on the thread that learns of it, and then the wait returns.
    /// It may be called yet when the future has just been dropped. It neither waits nor panics.
    ///
    /// **A job that is given** is leased by the rules of a turn: its fence rises and `flow.step.started` is
    /// appended, in one act with what enqueued it; it is the first in its queue, which is not paused. An offer
    /// brings at most one. Of those who offer one gets it. The lease is as long as the offer says, but at most
    /// [`crate::limits::GIVEN_MS`] until a turn renews it. One that runs out before any turn has told of it goes back
    /// unharmed: its instance may have been dead when it was given, so no crash is counted.
    ///
    /// **A late offer is void.** An offer says after which turn of its instance it was made. One that arrives when the
    /// instance has taken another turn, or has left, stands no more: the instance may have no place for a job.
    ///
    /// **The next turn ends the offer.** What it brought, if that is not among the renewals and writes of the turn
    /// because nobody was told or took it, is among the leases of the turn, whole, and no other is: the instance
    /// has a place for it, and not for more. [`Store::leave`] gives it back.
    async fn offer(&self, offer: &Offer, take: &Take, timeout: Duration) -> Result<(), StoreError>;

    /// What time brings: delayed jobs that are due go to their queues, in the order in which they are due;
    /// leases that ran out go back (never to the caller in the same act) or become dead letters; runs past
    /// their retention go, with everything that belongs to them; of a run that has ended with very many unfinished
    /// jobs, the rest of these go. Each of these is one act; a crash in
    /// between leaves the rest to the next tick. Bounded work: with `more` there is more to do at once. Any
    /// instance may call it, at any moment, any number of times; of two at once each does what the other
    /// has not done.
    ///
    /// A tick that comes more than a third of a lease after the one before, or before it by the clock,
    /// takes no lease away for one whole lease, nor does the first of a new store: the machine slept, the clock
    /// jumped or the store was away, and every lease looks expired. A clock that goes back makes the leases of the
    /// dead last longer by as much. A run whose end lies ahead of the clock, because that has gone back since, counts
    /// as ended now: its retention begins anew, and it holds up no other.
    async fn tick(&self, tick: &Tick) -> Result<Ticked, StoreError>;

    /// The instance stops: its lane goes, and whatever tells others that it lives. Jobs that it still holds
    /// are not touched by this; they go back when their leases run out, or at the next tick where a store can
    /// tell that the holder is gone. Idempotent, also for an instance that never was. After it the lane begins
    /// at 1 again. An instance that dies without it leaves a lane that the store may forget after a while that
    /// no outage lasts.
    async fn leave(&self, instance: &InstanceId) -> Result<(), StoreError>;

    /// Reads entries of a run, at most `limit` and at most about 8 MiB, in order of position (or against it).
    /// A page is never empty while there is something for it, however large. A run that is not there:
    /// [`ErrorKind::NotFound`]. An empty answer means that nothing is there now.
    ///
    /// What is read is committed and stays as it is: no later read shows another entry at that position, and
    /// none before it, so that who reads on behind the last entry follows without gap or repeat. A page may be
    /// from several moments, as long as that holds. An entry that is missing where one must be is
    /// [`ErrorKind::Corrupt`], never a gap; so is one that cannot be read. The error names the run and the position,
    /// and reads of other runs are not affected.
    ///
    /// A reader that is ahead of the store (`after` is behind the last entry, or what the reader has `seen` is not
    /// there, or another entry is in its place) is told [`ErrorKind::Lost`]: the store was set back to an older
    /// state. It must not wait for entries that take the places of those that it has seen.
    async fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError>;

    /// The events that a gather has got, in the order emitted, from the `from`-th (counted from 0), none
    /// emitted after position `upto`; at most `limit` and at most about 8 MiB, but never an empty page
    /// while there is something for it. A gather that has got nothing, or is not known: an empty answer. A
    /// run that is not there: [`ErrorKind::NotFound`].
    async fn gathered(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError>;

    /// What is known of one run; none if it is not there. All of it is of one moment: a status that is terminal
    /// comes with the end and with a last entry that is the terminal one, or a log line behind it.
    async fn run(&self, run: &RunId) -> Result<Option<RunSummary>, StoreError>;

    /// Runs, newest first, in pages; which of two that began in the same millisecond is the newer is the
    /// store's to say, but always the same. Runs that begin, end or go meanwhile move no page. A cursor
    /// that no page has given: [`ErrorKind::NotFound`].
    async fn runs(&self, query: &RunsQuery) -> Result<RunsPage, StoreError>;

    /// The counts of every queue that has or had jobs or was paused, by name. A queue that was only asked for
    /// may be among them, with nothing in it. Exact while nothing moves; a job that moves meanwhile may be
    /// counted where it was, where it is, or in both.
    async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError>;

    /// The unfinished jobs of a run or a queue, dead letters among them, in the order of run and step, in
    /// pages. The end of a run removes its unfinished jobs, but for its dead letters, which stay until it goes; where
    /// it has more than some hundred, ticks remove the rest. A job that cannot be read is shown as the dead letter
    /// that it becomes.
    async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError>;

    /// Pauses or resumes a queue, one that has no jobs yet too: a paused one gives out no leases, and nothing
    /// else about it changes. Idempotent, and kept over restarts.
    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), StoreError>;
}

/// The answers to a turn, in the order of its parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnReply {
    /// One for each write.
    pub answers: Vec<Answer>,
    /// One for each renewal.
    pub renewed: Vec<RenewAnswer>,
    /// The jobs that are the instance's now.
    pub leases: Vec<Lease>,
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is in the timeline.
    Committed {
        /// The last entry of the run after it.
        last: EntryId,
    },
    /// Another lease of the job is current, or the job is finished: nothing was written.
    LeaseLost,
    /// The run has ended: nothing was written.
    RunEnded {
        /// How it ended.
        status: RunStatus,
    },
    /// The run is gone: nothing was written.
    RunGone,
    /// It passes a limit: nothing was written.
    TooLarge {
        /// Which limit.
        limit: String,
    },
    /// The part of the store that holds the run is away, and whether it is written is unknown: it is sent again, as it
    /// is, in a later turn, before anything else of its run. It is written once.
    Later,
}

/// What became of one renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RenewAnswer {
    /// The lease is as long as a new one.
    Renewed,
    /// The job is another's now, or finished.
    LeaseLost,
    /// The run has ended: the step should stop.
    RunEnded,
    /// The part of the store that holds the run is away: it is sent again in a later turn.
    Later,
}

/// A job that an instance may run until the lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Its flow.
    pub flow: Name,
    /// The step.
    pub step: StepId,
    /// The queue that it came from.
    pub queue: QueueName,
    /// The fencing token: every write of this attempt carries it.
    pub fence: u64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// How many attempts have failed before.
    pub failures: u32,
    /// The position up to which it reads the state.
    pub read: u64,
    /// How many operations it replays.
    pub recorded: u32,
    /// The events that it runs on, in the order of the attribute. Empty for a gather.
    pub inputs: Vec<Arrived>,
}

/// An event that reached a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrived {
    /// Its entry.
    pub id: EntryId,
    /// Its name.
    pub event: Arc<str>,
    /// Its payload.
    pub payload: Value,
    /// What the idempotency key of the step is made from.
    pub key: String,
}

/// Whether a start began a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It did; this is its first entry.
    New(EntryId),
    /// The run was there.
    Existing,
}

/// Whether an act changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It did.
    Done,
    /// It was done before, or there is nothing to do it to.
    Nothing,
}

/// What to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A job to lease in one of these.
    Queues(Vec<QueueName>),
    /// An entry of this run after this position.
    Run {
        /// The run.
        run: RunId,
        /// The position.
        after: u64,
    },
    /// The end of this run.
    End {
        /// The run.
        run: RunId,
    },
}

/// What an instance offers while it waits: to take one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The instance.
    pub instance: InstanceId,
    /// Of one of these queues.
    pub queues: Vec<QueueName>,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: u64,
    /// The number of the instance's last turn; 0 before its first.
    pub turn: u64,
}

/// How an instance takes the job that an offer brings.
pub type Take = Arc<dyn Fn(Lease) + Send + Sync>;

/// What a tick may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Who ticks.
    pub instance: InstanceId,
    /// How long a lease lasts.
    pub lease_ms: u64,
    /// How long a finished run is kept; none for ever.
    pub retention: Retention,
    /// At most this many jobs and runs in one call.
    pub limit: usize,
    /// The queues that the caller takes jobs from, which the store remembers for one lease. Said now and then, and
    /// empty in between.
    pub serves: Vec<QueueName>,
}

/// How long finished runs are kept, by the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// After `flow.completed`, in milliseconds.
    pub completed_ms: Option<u64>,
    /// After any other end, in milliseconds.
    pub failed_ms: Option<u64>,
}

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Delayed jobs that went to their queues.
    pub due: usize,
    /// Jobs whose lease ran out.
    pub expired: usize,
    /// Runs whose retention ended.
    pub removed: usize,
    /// Whether the limit cut it short.
    pub more: bool,
    /// How long until the next delayed job is due, if one waits.
    pub next_due: Option<Duration>,
}

/// Which entries to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The run.
    pub run: RunId,
    /// Only entries after this position; 0 for all.
    pub after: u64,
    /// An entry that the reader has seen, at or before `after`, where it knows one whole.
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
    /// assert_eq!(error.kind, ErrorKind::Lost);
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
}

/// What is known of a run without reading its timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// Its id.
    pub run: RunId,
    /// Its flow.
    pub flow: Name,
    /// Where it stands.
    pub status: RunStatus,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Its last entry.
    pub last: EntryId,
    /// How many of its steps are neither done nor dead.
    pub pending: u64,
}

/// Which runs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunsQuery {
    /// Only those of this flow.
    pub flow: Option<Name>,
    /// Only those that stand here.
    pub status: Option<RunStatus>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most this many, and never more than [`crate::limits::MAX_READ_ENTRIES`]; 0 stands for
    /// [`crate::limits::LISTED`].
    pub limit: usize,
}

impl RunsQuery {
    /// The most runs of a page.
    pub fn page_size(&self) -> usize {
        page_size(self.limit)
    }
}

/// How many runs or jobs a page lists that is to have so many.
fn page_size(limit: usize) -> usize {
    if limit == 0 { limits::LISTED } else { limit.min(limits::MAX_READ_ENTRIES) }
}

/// Some runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunsPage {
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// Where the next page begins; none where this is the last. Opaque.
    pub next: Option<String>,
}

/// The counts of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueCounts {
    /// The queue.
    pub queue: QueueName,
    /// Jobs that wait for an instance.
    pub queued: u64,
    /// Jobs that an instance holds.
    pub leased: u64,
    /// Jobs that wait for a time.
    pub delayed: u64,
    /// Dead letters.
    pub dead: u64,
    /// Whether it gives out no leases.
    pub paused: bool,
    /// Whether somebody takes jobs from it: an instance has said so by a [`Tick`] within the last lease.
    #[serde(default)]
    pub served: bool,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobsQuery {
    /// Only those of this run.
    pub run: Option<RunId>,
    /// Only those of this queue.
    pub queue: Option<QueueName>,
    /// Only dead letters.
    pub dead: bool,
    /// Only those after this one, in the order of run and step.
    pub after: Option<(RunId, StepId)>,
    /// At most this many, and never more than [`crate::limits::MAX_READ_ENTRIES`]; 0 stands for
    /// [`crate::limits::LISTED`].
    pub limit: usize,
}

impl JobsQuery {
    /// The most jobs of a page.
    pub fn page_size(&self) -> usize {
        page_size(self.limit)
    }
}

/// A job, for people to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// Its queue.
    pub queue: QueueName,
    /// Where it is.
    #[serde(flatten, serialize_with = "JobState::show")]
    pub state: JobState,
    /// The number of the attempt that runs or comes next; of a dead letter, of its last attempt.
    pub attempt: u32,
    /// How many attempts have failed.
    pub failures: u32,
    /// How many leases have run out.
    pub crashes: u32,
}

/// What kind of failure it is, and with that, what a caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached or does not answer, or a disk is full. The call may have happened: send
    /// it again.
    Unavailable,
    /// The same id stands for something else already.
    Conflict,
    /// No such run, or no such page.
    NotFound,
    /// The lane is another's, or the store lost acknowledged turns. The instance must stop.
    Lane,
    /// The store does not have what it has shown before: it was set back to an older state. Whoever has seen more must
    /// not go on from there.
    Lost,
    /// The store's data is not what it wrote.
    Corrupt,
    /// The store was written by a version of nq that this one does not understand, or is not nq's.
    Version,
    /// What was asked for passes a limit.
    TooLarge,
    /// The store is not set up as it must be: rights, configuration.
    Config,
    /// The store was closed, or ended itself after a failure that it must not outlive.
    Closed,
}

/// A store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{op}{}: {message}", key_text(key.as_deref()))]
pub struct StoreError {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// The verb: `turn`, `start`, `open` …
    pub op: &'static str,
    /// The run, queue or path that it was about.
    pub key: Option<String>,
    /// What went wrong and, where something helps, what helps.
    pub message: String,
    /// What lies beneath.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// Whether the store has told the log that it is away: nobody else needs to.
    pub logged: bool,
    /// Whether the call was certainly not made: nothing of it has happened or will.
    pub unsent: bool,
}

fn key_text(key: Option<&str>) -> String {
    key.map(|key| format!(" `{key}`")).unwrap_or_default()
}

impl StoreError {
    /// An error of this kind, in this verb, that says this.
    pub fn new(kind: ErrorKind, op: &'static str, message: impl Into<String>) -> Self {
        Self { kind, op, key: None, message: message.into(), source: None, logged: false, unsent: false }
    }

    /// The error of a reader who has seen more of a run than the store has, which ends with this entry.
    pub fn lost(op: &'static str, run: &RunId, seen: impl fmt::Display, last: EntryId) -> Self {
        let message = format!(
            "the reader has seen {seen}, which the store does not have: its last entry of the run is `{last}`; it was set back to an older state, and acknowledged work is lost"
        );
        Self::new(ErrorKind::Lost, op, message).key(run)
    }

    /// The same, about this run, queue or path.
    #[must_use]
    pub fn key(mut self, key: impl fmt::Display) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// The same, because of this.
    #[must_use]
    pub fn source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Whether the same call may succeed later. What it asked for may have happened already.
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }
}
