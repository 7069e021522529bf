//! `memory:`: the store that keeps nothing after the end of the process. For tests, and for work that need not survive.

#[cfg(test)]
mod forks;
mod read;
mod records;
#[cfg(test)]
mod tests;
mod tick;

use std::convert::Infallible;
use std::fmt;
use std::sync::Mutex;
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

use self::records::Maps;
use super::clock;
use super::hints::Hints;

/// A store in maps behind one lock. Every call is done when it returns; nothing is left when it is dropped.
pub struct MemoryStore {
    maps: Mutex<Maps>,
    hints: Hints,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl MemoryStore {
    /// An empty store that goes by the clock of this machine.
    pub fn new() -> Self {
        Self::with_clock(clock::now_ms)
    }

    /// An empty store that takes its time, in milliseconds since 1970, from here. For tests.
    pub fn with_clock(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { maps: Mutex::default(), hints: Hints::default(), clock: Box::new(clock) }
    }

    /// Runs an act on the maps, then wakes the callers that wait for what the act brought.
    fn act<T>(
        &self,
        op: &'static str,
        act: impl FnOnce(&mut Maps, u64) -> Result<T, Infallible>,
    ) -> Result<T, StoreError> {
        let (result, news) = self.look(op, |maps| {
            let now_ms = (self.clock)();
            let Ok(result) = act(maps, now_ms);
            let news = std::mem::take(&mut maps.news);
            let ended = |run: &RunId| maps.summary(run).is_none_or(|run| run.status.is_terminal());
            let runs: Vec<_> = news.runs.into_iter().map(|run| (ended(&run), run)).collect();
            (result, (runs, news.queues))
        })?;
        let (runs, queues) = news;
        for (ended, run) in &runs {
            self.hints.run(run, *ended);
        }
        for queue in &queues {
            self.hints.queue(queue);
        }
        Ok(result)
    }

    /// Reads the maps. If an act has panicked, they may be half changed, so every call is an error from then on.
    fn look<T>(&self, op: &'static str, look: impl FnOnce(&mut Maps) -> T) -> Result<T, StoreError> {
        let closed = |_| {
            StoreError::new(ErrorKind::Closed, op, "an earlier call panicked and left the store half changed")
        };
        self.maps.lock().map(|mut maps| look(&mut maps)).map_err(closed)
    }

    /// Whether there is something for this interest already.
    fn ready(maps: &Maps, interest: &Interest) -> bool {
        match interest {
            Interest::Queues(queues) => queues
                .iter()
                .filter_map(|queue| maps.queues.get(queue))
                .any(|queue| !queue.counts.paused && !queue.queued.is_empty()),
            // The run is gone, so there is nothing to wait for: the caller learns this when it reads.
            Interest::Run { run, after } => maps.summary(run).is_none_or(|run| run.last.n > *after),
            Interest::End { run } => maps.summary(run).is_none_or(|run| run.status.is_terminal()),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        let reply = self.act("turn", |maps, now_ms| ledger::turn(maps, turn, now_ms))?;
        reply.map_err(|error| {
            StoreError::new(ErrorKind::Lane, "turn", error.to_string()).with_key(&turn.instance)
        })
    }

    fn starts_with_turns(&self) -> bool {
        false
    }

    async fn start(&self, start: &Start) -> Result<Started, StoreError> {
        self.act("start", |maps, now_ms| ledger::start(maps, start, now_ms))?
    }

    async fn act(&self, run: &RunId, act: &Act) -> Result<Acted, StoreError> {
        let acted = self.act("act", |maps, now_ms| ledger::act(maps, run, act, now_ms))?;
        acted.ok_or_else(|| StoreError::no_run("act", run))
    }

    async fn append(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        let there = self.act("append", |maps, now_ms| ledger::append(maps, run, lines, now_ms))?;
        if there { Ok(()) } else { Err(StoreError::no_run("append", run)) }
    }

    async fn wait(&self, interest: &Interest, timeout: Duration) -> Result<(), StoreError> {
        let waiter = self.hints.register(interest);
        if !self.look("wait", |maps| Self::ready(maps, interest))? {
            // A timeout is no error of a wait.
            let _ = tokio::time::timeout(timeout, waiter.woken()).await;
        }
        Ok(())
    }

    async fn offer(&self, offer: &Offer, _: &Take, timeout: Duration) -> Result<(), StoreError> {
        self.wait(&Interest::Queues(offer.queues.clone()), timeout).await
    }

    async fn tick(&self, tick: &Tick) -> Result<Ticked, StoreError> {
        self.act("tick", |maps, now_ms| maps.tick(tick, now_ms))
    }

    async fn leave(&self, instance: &InstanceId) -> Result<(), StoreError> {
        self.look("leave", |maps| maps.lanes.remove(instance)).map(drop)
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), StoreError> {
        self.act("pause", |maps, _| {
            maps.queue(queue).counts.paused = paused;
            maps.news.queues.insert(queue.clone());
            Ok(())
        })
    }
}

#[async_trait]
impl Queries for MemoryStore {
    async fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError> {
        self.look("read", |maps| maps.read(read))?
    }

    async fn gathered(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError> {
        self.look("gathered", |maps| maps.gathered(gathered))?
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.look("run", |maps| maps.summary(run))
    }

    async fn runs(&self, query: &RunsQuery) -> Result<RunsPage, StoreError> {
        self.look("runs", |maps| maps.list_runs(query))?
    }

    async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError> {
        self.look("queues", |maps| maps.list_queues((self.clock)()))
    }

    async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError> {
        self.look("jobs", |maps| maps.list_jobs(query))
    }
}
