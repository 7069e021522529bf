//! Several stores on the same data, taken in turn: what one of them does, another has to know of.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use nq_core::entry::Entry;
use nq_core::id::{InstanceId, QueueName, RunId};
use nq_core::record::RunRecord;
use nq_core::store::{
    Acted, Gathered, Interest, JobSummary, JobsQuery, Offer, Queries, QueueCounts, Read, RunsPage, RunsQuery,
    Started, Store, StoreError, Take, Tick, Ticked, TurnReply,
};
use nq_core::transaction::{Act, LogLine, Start, Turn};

/// The stores.
#[derive(Debug)]
pub(crate) struct Shared<S, const N: usize> {
    stores: [S; N],
    calls: AtomicUsize,
}

impl<S: Store, const N: usize> Shared<S, N> {
    pub(crate) fn new(stores: [S; N]) -> Self {
        Self { stores, calls: AtomicUsize::new(0) }
    }

    /// The store for this call.
    fn next(&self) -> &S {
        &self.stores[self.calls.fetch_add(1, Ordering::Relaxed) % N]
    }
}

#[async_trait]
impl<S: Store, const N: usize> Store for Shared<S, N> {
    async fn turn(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        self.next().turn(turn).await
    }

    fn starts_with_turns(&self) -> bool {
        self.stores[0].starts_with_turns()
    }

    async fn start(&self, start: &Start) -> Result<Started, StoreError> {
        self.next().start(start).await
    }

    async fn act(&self, run: &RunId, act: &Act) -> Result<Acted, StoreError> {
        self.next().act(run, act).await
    }

    async fn append(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        self.next().append(run, lines).await
    }

    async fn wait(&self, interest: &Interest, timeout: Duration) -> Result<(), StoreError> {
        self.next().wait(interest, timeout).await
    }

    async fn offer(&self, offer: &Offer, take: &Take, timeout: Duration) -> Result<(), StoreError> {
        self.next().offer(offer, take, timeout).await
    }

    async fn tick(&self, tick: &Tick) -> Result<Ticked, StoreError> {
        self.next().tick(tick).await
    }

    async fn leave(&self, instance: &InstanceId) -> Result<(), StoreError> {
        self.next().leave(instance).await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), StoreError> {
        self.next().pause(queue, paused).await
    }
}

#[async_trait]
impl<S: Store, const N: usize> Queries for Shared<S, N> {
    async fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError> {
        self.next().read(read).await
    }

    async fn gathered(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError> {
        self.next().gathered(gathered).await
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.next().run(run).await
    }

    async fn runs(&self, query: &RunsQuery) -> Result<RunsPage, StoreError> {
        self.next().runs(query).await
    }

    async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError> {
        self.next().queues().await
    }

    async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError> {
        self.next().jobs(query).await
    }
}
