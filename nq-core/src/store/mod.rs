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

/// Where timelines, queues and timers live: what changes them. What reads them is [`Queries`].
#[async_trait]
pub trait Store: Queries + Send + Sync + fmt::Debug + 'static {
    /// The hot path: everything that an instance has finished, renews and can take.
    ///
    /// **Order**: renewals, then starts and writes, each in their order, then leases in the order of the wants. So a job
    /// that a start or a write enqueues can be leased by the same turn.
    ///
    /// **Starts** are those of [`Store::start`], by the same rules and as durable, each answered by itself. A start that
    /// would be an error there is an answer here, and no error of the turn.
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
    /// its leases that still stand; nothing is applied twice. A run that the turn has begun is
    /// [`Started::Existing`] then. A lower number, or a gap, is
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

    /// Whether a run begins sooner, or costs less, with the next turn of an instance than by a [`Store::start`] of its
    /// own: where both would wait for a disk, one of them waits.
    fn starts_with_turns(&self) -> bool;

    /// Begins a run: its `flow.started` entry and its entry job, all or nothing.
    ///
    /// Idempotent by the run's id, also when it has ended: where a run of this id has the same flow and an
    /// equal input, the answer is [`Started::Existing`] and nothing changes; the rest of the entry is not
    /// compared. Another input or flow: [`ErrorKind::Conflict`], and nothing changes. Of many who start at once
    /// one starts, and the others are told by the same rule. When the run is gone its id is free.
    ///
    /// **A start with a [fork](Start::fork)** begins with the entries of that, their ids included, and goes on behind
    /// them; it enqueues the jobs of the fork, fills its joins, and fires the gathers that nothing holds. It began when
    /// this is called, whatever its entries say. Its run is there for readers when all of it is. Where a run of this id
    /// has another first entry, it is another run: [`ErrorKind::Conflict`]. A fork of more than
    /// [`MAX_FORK_ENTRIES`](crate::limits::MAX_FORK_ENTRIES) entries or
    /// [`MAX_FORK_JOBS`](crate::limits::MAX_FORK_JOBS) jobs and waiting events is [`ErrorKind::TooLarge`].
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

    /// Pauses or resumes a queue, one that has no jobs yet too: a paused one gives out no leases, and nothing
    /// else about it changes. Idempotent, and kept over restarts.
    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), StoreError>;
}

/// Whether an act changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It did.
    Done,
    /// It was done before, or there is nothing to do it to.
    Nothing,
}
