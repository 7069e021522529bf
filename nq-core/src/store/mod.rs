//! The contract of a store: where timelines, queues and timers live.
//!
//! A store decides as little as possible. It gets a [`Transaction`] that says exactly what to append, enqueue and count.
//! The store decides only what depends on concurrent steps. [`crate::ledger`] has these decisions, written once over the
//! few records that a store keeps.
//!
//! What holds for every verb:
//!
//! - **Time** is the store's clock, never the caller's; the clock may jump, ids never go back.
//! - **A call that fails with [`ErrorKind::Unavailable`] is unknown, not undone**: it may have happened, or
//!   may yet happen. Sending it again with the same content is safe for every verb but [`Store::append`]:
//!   it is done once. If the call has happened before, the answer may say that it changed nothing
//!   ([`Started::Existing`], [`Acted::Nothing`], the counts of [`Ticked`]); a turn gets the same answers.
//! - **An error that is an answer** ([`ErrorKind::Conflict`], [`ErrorKind::NotFound`], [`ErrorKind::Lane`],
//!   [`ErrorKind::TooLarge`]) means that nothing was changed. The other kinds mean that the store cannot be used as it is;
//!   whether calls that were under way have happened is unknown.
//! - **What was acknowledged is not lost** while the store keeps what its own documentation promises: an
//!   entry that was read, a lease that was given, an answer that was sent are there after a crash of the
//!   caller, and after one of the store as far as it is durable.
//! - **Two callers** at the same record are served one after the other; the fence of the later one is refused, and the two
//!   writes are never merged.
//! - **A reader** sees each commit, start and act whole or not at all. A caller whose call was answered sees what it did
//!   in its next read.
//! - **A future that is dropped** before it is ready leaves a call that may or may not happen, as if its
//!   reply had been lost. Only [`Store::wait`] changes nothing in any case.
//!
//! To write a store, implement [`Store`] whole: no verb has a default. If the store can run Rust code under a lock or a
//! transaction, [`crate::ledger`] gives it the acts; otherwise it says the same in its own language. The suite in
//! `nq_core::conformance` (feature `conformance`) proves all this; one macro runs it against any store.

mod error;
mod offer;
mod query;
mod reads;
mod tick;
mod turn;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use self::error::{ErrorKind, StoreError};
pub use self::offer::{Interest, Offer, Take};
pub use self::query::{JobSummary, JobsQuery, Queries, QueueCounts, RunsPage, RunsQuery};
pub use self::reads::{Gathered, Read};
pub use self::tick::{Retention, Tick, Ticked};
pub use self::turn::{Answer, Arrived, Lease, RenewAnswer, StartAnswer, Started, TurnReply};
use crate::id::{InstanceId, QueueName, RunId};
use crate::transaction::{Act, LogLine, Start, Turn};
#[cfg(doc)]
use crate::transaction::{Transaction, Want};

/// The calls that change timelines, queues and timers. The calls that read them are [`Queries`].
#[async_trait]
pub trait Store: Queries + Send + Sync + fmt::Debug + 'static {
    /// The hot path: commits what an instance has finished, renews its leases, and leases jobs that it has room for.
    ///
    /// **Order**: renewals, then starts and writes, each in their order, then leases in the order of the wants. So a job
    /// that a start or a write enqueues can be leased by the same turn.
    ///
    /// **Starts** are those of [`Store::start`], by the same rules and as durable, each answered by itself. A start that
    /// would be an error there is an answer here, and no error of the turn.
    ///
    /// **Damage** stays within its run: a job whose record or input cannot be read becomes a dead letter that names run and
    /// step, as if its step had failed for good, and the rest of the turn goes on. A write of a damaged run is answered
    /// [`Answer::RunEnded`], or [`Answer::RunGone`] if not even the end of the run can be written.
    ///
    /// **Atomicity**: each write is all or nothing by itself and answered by itself; a refused one changes
    /// nothing and harms no other. Everything that a write causes (jobs, arrivals, counts, gathers that fire, the end of
    /// the run) is part of it. Leasing raises the job's fence and appends `flow.step.started` in one act.
    ///
    /// **Leases**: the jobs of a queue are leased first come, first served, if the store keeps the queue in one place
    /// (a store that partitions says so). A job that comes back goes to the end. A lease that has expired counts until
    /// a tick reclaims it, so its holder may still renew it and commit. The jobs of a run that has ended are dropped
    /// instead of leased.
    ///
    /// **Idempotent by the lane**: each instance numbers its turns, from 1; this sequence is its lane. A turn with the
    /// number of the last turn gets the same answers again, and those of its leases that still stand; nothing is applied
    /// twice. A run that the turn has begun is then answered [`Started::Existing`]. A lower number, or a gap, is
    /// [`ErrorKind::Lane`] and changes nothing: two processes use one instance id, or the store lost what it had
    /// acknowledged. An instance sends one turn at a time.
    ///
    /// **Two callers**: turns of different instances are served one after the other, or as if they were. Of two
    /// commits of one job the first with the current fence is written; the other is [`Answer::LeaseLost`]. No job is
    /// leased to two instances, unless its lease has expired and a tick has reclaimed it.
    ///
    /// **Errors**: the refusal of a write or renewal is an answer, never an error of the turn. An error of the turn says
    /// nothing about its parts: after [`ErrorKind::Unavailable`] the caller sends the same turn again, with the same number
    /// and content, until it is answered; after any other error the instance stops.
    ///
    /// **Several places**: if a store keeps runs in several places and one of them is away, the others answer, and the
    /// parts of the turn for the missing place are answered [`Answer::Later`] and [`RenewAnswer::Later`]. Only if all
    /// places are away the turn is [`ErrorKind::Unavailable`].
    ///
    /// **A crash** of the store leaves each write and each lease whole or not there, and the lane at the turn
    /// that they belong to, as far as the store is durable. A crash of the caller leaves leases that expire.
    ///
    /// **Limits**: at most [`crate::limits::MAX_TURN_WRITES`] writes and [`crate::limits::MAX_TURN_BYTES`],
    /// except one larger commit by itself, which the caller sees to; a commit of too many entries is answered
    /// [`Answer::TooLarge`].
    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError>;

    /// Whether a run begins sooner, or costs less, with the next turn of an instance than by a [`Store::start`] of its
    /// own: where both would wait for a disk, one of them waits.
    fn starts_with_turns(&self) -> bool;

    /// Begins a run: its `flow.started` entry and its entry job, all or nothing.
    ///
    /// Idempotent by the run's id, also when it has ended: where a run of this id has the same flow and an
    /// equal input, the answer is [`Started::Existing`] and nothing changes; the rest of the entry is not
    /// compared. Another input or flow: [`ErrorKind::Conflict`], and nothing changes. If many callers start the run at
    /// once, one starts it, and the others are answered by the same rule. When the run is gone its id is free.
    ///
    /// **A start with a [fork](Start::fork)** copies the entries of the fork into the run, their ids included. It enqueues
    /// the jobs of the fork, fills its joins, and fires the gathers that nothing holds. The run counts as begun now,
    /// whatever the times of its entries. Readers see the run only when all of it is there. If a run of this id has another
    /// first entry, it is another run: [`ErrorKind::Conflict`]. A fork of more than
    /// [`MAX_FORK_ENTRIES`](crate::limits::MAX_FORK_ENTRIES) entries or
    /// [`MAX_FORK_JOBS`](crate::limits::MAX_FORK_JOBS) jobs and waiting events is [`ErrorKind::TooLarge`].
    ///
    /// When it returns, the run is there for every reader, and there after a crash as far as the store is
    /// durable. A store that can wait for more than its usual durability does so here, in [`Store::act`] and for effects,
    /// since somebody outside relies on them. A start that cannot be made as durable as asked is
    /// [`ErrorKind::Unavailable`], and may have happened.
    async fn start(&self, start: &Start) -> Result<Started, StoreError>;

    /// Cancels a run or redrives a step of it, all or nothing. If it is done already, or there is nothing to do (the run
    /// has ended, the step is not dead), it changes nothing and answers [`Acted::Nothing`]. If there is no such run, it
    /// is [`ErrorKind::NotFound`].
    ///
    /// If a cancel and a last commit meet, the first of them writes the one terminal entry. If two callers do the same
    /// act, one is answered [`Acted::Done`]. An act that is sent again after a lost reply may be answered
    /// [`Acted::Nothing`]. It is as durable as a start.
    async fn act(&self, run: &RunId, act: &Act) -> Result<Acted, StoreError>;

    /// Appends log lines to a run, in order, all or nothing. They are not fenced, and accepted after the end of a run,
    /// whose retention they do not prolong. If the run is gone, they are refused with [`ErrorKind::NotFound`], so that a
    /// late line creates nothing. Not idempotent: lines that are sent again after a lost reply may stand twice. The lines of
    /// two callers do not mix within a call. A crash may lose the last lines, never one from the middle.
    async fn append(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError>;

    /// Returns when the thing of interest may be there: at once if it is there already, else when it comes, else after
    /// `timeout`. This is only a hint, which may come late or for nothing; a caller that must know reads, or sends a turn.
    /// All callers that wait are woken, not one of them. If the run is not there, it returns at once or after `timeout`. It
    /// changes nothing, and is safe to drop. If the store is away, it returns [`ErrorKind::Unavailable`] or waits in
    /// silence; it must not make the caller spin.
    async fn wait(&self, interest: &Interest, timeout: Duration) -> Result<(), StoreError>;

    /// Waits for a job as [`Store::wait`] does, and may bring a leased job along: one round trip less than a hint and a
    /// turn. A store may never deliver a job here; then this behaves like `wait`.
    ///
    /// **`take` is called with the job**, at most once, on the thread that learns of it, and then the wait returns. It may
    /// even be called when the future has just been dropped. It neither waits nor panics.
    ///
    /// **A given job** is leased by the rules of a turn: the act that enqueues the job also raises its fence and appends
    /// `flow.step.started`. The job must be the first in its queue, and the queue not paused. An offer brings at most one
    /// job; if several instances offer, one of them gets it. The lease is as long as the offer says, but at most
    /// [`crate::limits::GIVEN_MS`] until a turn renews it. If it expires before any turn of its instance has named the
    /// job, the job goes back and no crash is counted: the instance may have been dead when it was given the job.
    ///
    /// **A late offer is void.** An offer says after which turn of its instance it was made. If the instance has sent
    /// another turn since, or has left, the offer brings nothing: the instance may have no room for a job.
    ///
    /// **The next turn ends the offer.** If the instance did not learn of the given job, the job is missing from the
    /// renewals and writes of this turn. Then it is the only lease in the reply: the instance has room for this job, and
    /// for no other. [`Store::leave`] gives the job back.
    async fn offer(&self, offer: &Offer, take: &Take, timeout: Duration) -> Result<(), StoreError>;

    /// Does what is due by the clock. Delayed jobs go to their queues, in the order in which they are due. Jobs whose
    /// lease has expired go back to their queues (never to the caller in the same act) or become dead letters. Runs past
    /// their retention are removed, with everything that belongs to them. If a run has ended with very many unfinished
    /// jobs, the rest of these is removed. Each of these is one act; a crash in between leaves the rest to the next tick.
    /// One call does bounded work, and answers `more` if there is more to do at once. Any instance may call it, at any
    /// moment, any number of times; two concurrent calls share the work.
    ///
    /// After a gap of more than a third of a lease between two ticks, after a clock that went back, and in a new store, no
    /// tick reclaims a lease for one whole lease: the machine slept, the clock jumped or the store was away, and every
    /// lease looks expired. If the clock goes back, the leases of dead instances last longer by as much. If the end of a
    /// run lies ahead of the clock, because the clock has gone back since, the run counts as ended now: its retention
    /// begins anew, and it delays the removal of no other run.
    async fn tick(&self, tick: &Tick) -> Result<Ticked, StoreError>;

    /// The instance stops: the store removes its lane, and the mark that it is alive. Jobs that the instance still holds
    /// stay leased. They go back when their leases expire, or at the next tick if the store can tell that the holder is
    /// gone. Idempotent, also for an instance that never existed. After it the lane begins at 1 again. If an instance dies
    /// without this call, the store may forget its lane after a time longer than any outage.
    async fn leave(&self, instance: &InstanceId) -> Result<(), StoreError>;

    /// Pauses or resumes a queue, also one that has no jobs yet. No job of a paused queue is leased; nothing else about it
    /// changes. Idempotent, and kept across restarts.
    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), StoreError>;
}

/// Whether an act changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// The act changed something.
    Done,
    /// The act was done before, or there is nothing to do.
    Nothing,
}
