//! What every case uses: calls that are sent again while the store is away, instances that count their turns, a clock
//! that can be moved, and timelines that are checked whenever they are read.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use serde_json::{Value, json};

use super::build;
use super::subject::{Damage, Reopen, Stored, Subject, TestClock};
use crate::entry::Entry;
use crate::entry::data::{EventEmitted, Typed};
use crate::id::{InstanceId, QueueName, RunId};
use crate::record::{JobState, RunRecord};
use crate::store::{
    Acted, Answer, Gathered, Interest, JobSummary, JobsQuery, Lease, Offer, QueueCounts, Read, RenewAnswer,
    Retention, RunsPage, RunsQuery, Started, Store, StoreError, Take, Tick, Ticked, TurnReply,
};
use crate::transaction::{Act, GatherSpec, JobSpec, LogLine, Start, Transaction, Turn, Want};

/// How long a lease lasts that is meant to expire within a case.
pub(super) const SHORT_MS: u64 = 300;
/// How long a lease lasts that is not meant to expire within a case.
pub(super) const LONG_MS: u64 = 60_000;
/// How long a case waits for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How many times a call is sent before the store counts as gone for good.
const RESENDS: usize = 100;

/// The store under test.
pub(super) struct Fixture {
    store: Mutex<Option<Arc<dyn Store>>>,
    /// The store's clock, where a test can move it.
    pub(super) clock: Option<Arc<TestClock>>,
    reopen: Mutex<Option<Reopen>>,
    damage: Option<Damage>,
    /// Whether replies are lost, so that the counts of ticks do not add up.
    pub(super) lossy: bool,
    _kept: Vec<Box<dyn Any + Send>>,
}

/// The tick of an instance that takes no jobs.
fn ticker(retention: Retention, limit: usize) -> Tick {
    let instance = InstanceId::new("ticker").unwrap();
    Tick { instance, lease_ms: SHORT_MS, retention, limit, serves: Vec::new() }
}

/// Sends a call again for as long as the store says that it is away.
async fn resend<T>(call: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..RESENDS {
        match call().await {
            Err(error) if error.is_retryable() => {}
            result => return result,
        }
    }
    panic!("the store stays away")
}

impl Fixture {
    pub(super) fn new(subject: Subject) -> Self {
        let Subject { store, clock, reopen, damage, lossy, kept } = subject;
        Self { store: Mutex::new(Some(store)), clock, reopen: Mutex::new(reopen), damage, lossy, _kept: kept }
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.store.lock().unwrap().clone().unwrap()
    }

    /// Drops the store and opens it again; false if it keeps nothing.
    pub(super) async fn reopen(&self) -> bool {
        let opening = {
            let mut reopen = self.reopen.lock().unwrap();
            let Some(reopen) = &mut *reopen else { return false };
            drop(self.store.lock().unwrap().take());
            reopen()
        };
        let store = opening.await;
        *self.store.lock().unwrap() = Some(store);
        true
    }

    /// Whether what the store keeps can be damaged.
    pub(super) fn can_be_damaged(&self) -> bool {
        self.damage.is_some()
    }

    /// Overwrites something that is stored.
    pub(super) fn damage(&self, what: Stored) {
        self.damage.as_ref().unwrap()(what);
    }

    /// An instance whose leases do not run out while a case runs.
    pub(super) fn peer(&self, name: &str) -> Peer<'_> {
        Peer { fixture: self, id: InstanceId::new(name).unwrap(), number: 0, lease_ms: LONG_MS }
    }

    /// An instance whose leases run out soon.
    pub(super) fn short_peer(&self, name: &str) -> Peer<'_> {
        Peer { lease_ms: SHORT_MS, ..self.peer(name) }
    }

    /// Lets time pass, by the store's clock.
    pub(super) async fn pass(&self, ms: u64) {
        match &self.clock {
            Some(clock) => clock.advance(ms),
            None => {
                self.wait(&Interest::Queues(vec![build::queue("nobody")]), Duration::from_millis(ms)).await;
            }
        }
    }

    /// Ticks and lets time pass until the condition holds.
    pub(super) async fn until(&self, what: &str, so: impl AsyncFn() -> bool) {
        for _ in 0..1_500 {
            self.tick().await;
            if so().await {
                return;
            }
            self.pass(20).await;
        }
        panic!("time passes, and still not: {what}");
    }

    /// Lets time pass until no lease of this queue is left. Only for leases that last [`SHORT_MS`].
    pub(super) async fn until_expired(&self, worker: &str) {
        self.until("the leases have run out", async || self.counts(worker).await.leased == 0).await;
    }
}

/// The verbs, sent again until they arrive.
impl Fixture {
    /// Starts a run of the flow `f` with this entry job.
    pub(super) async fn start(&self, run: &str, job: JobSpec) -> RunId {
        self.start_with(run, job, &[]).await
    }

    /// Starts a run whose entry job holds these gathers.
    pub(super) async fn start_with(&self, run: &str, job: JobSpec, gathers: &[GatherSpec]) -> RunId {
        let start = build::start(run, json!({ "in": run }), job, gathers);
        let started = self.try_start(&start).await.unwrap();
        assert!(matches!(started, Started::New(_)), "{started:?}");
        start.run
    }

    pub(super) async fn try_start(&self, start: &Start) -> Result<Started, StoreError> {
        let before = if self.lossy { self.try_summary(&start.run).await } else { None };
        let started = resend(async || self.store().start(start).await).await;
        match started {
            // The first reply was lost, and the run had begun: to a caller this is the same.
            Ok(Started::Existing) if self.lossy && before.is_none() => {
                Ok(Started::New(self.timeline(&start.run).await[0].id))
            }
            started => started,
        }
    }

    pub(super) async fn act(&self, run: &RunId, act: Act) -> Result<Acted, StoreError> {
        let last = async || self.try_summary(run).await.map(|run| run.last);
        let before = if self.lossy { last().await } else { None };
        let acted = resend(async || self.store().act(run, &act).await).await;
        match acted {
            Ok(Acted::Nothing) if self.lossy && last().await != before => Ok(Acted::Done),
            acted => acted,
        }
    }

    pub(super) async fn cancel(&self, run: &RunId) -> Acted {
        self.act(run, Act::Cancel { reason: "enough".into() }).await.unwrap()
    }

    /// Appends lines. This is the one verb that is not safe to send again: whether it happened is looked up.
    pub(super) async fn append(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        let last = async || self.try_summary(run).await.map(|run| run.last);
        let before = if self.lossy { last().await } else { None };
        resend(async || {
            if self.lossy && last().await != before {
                return Ok(());
            }
            self.store().append(run, lines).await
        })
        .await
    }

    pub(super) async fn wait(&self, interest: &Interest, timeout: Duration) {
        resend(async || self.store().wait(interest, timeout).await).await.unwrap();
    }

    pub(super) async fn tick(&self) -> Ticked {
        self.tick_keeping(Retention { completed_ms: None, failed_ms: None }, 1_000).await
    }

    /// A tick of an instance that takes jobs from the queues of these workers.
    pub(super) async fn tick_serving(&self, workers: &[&str]) {
        let serves = workers.iter().map(|worker| build::queue(worker)).collect();
        let retention = Retention { completed_ms: None, failed_ms: None };
        self.tick_of(Tick { serves, ..ticker(retention, 1_000) }).await;
    }

    pub(super) async fn tick_keeping(&self, retention: Retention, limit: usize) -> Ticked {
        self.tick_of(ticker(retention, limit)).await
    }

    async fn tick_of(&self, tick: Tick) -> Ticked {
        resend(async || self.store().tick(&tick).await).await.unwrap()
    }

    pub(super) async fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError> {
        resend(async || self.store().read(read).await).await
    }

    /// Reads the whole timeline, and checks that it has no gap, no repeat, and no step back in time.
    pub(super) async fn timeline(&self, run: &RunId) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let page = self.read(&Read::after(run.clone(), all.len() as u64)).await.unwrap();
            if page.is_empty() {
                return all;
            }
            for entry in page {
                assert_eq!(entry.id.n, all.len() as u64 + 1, "a gap or a repeat");
                assert!(all.last().is_none_or(|last| last.id.ms <= entry.id.ms), "time went back");
                all.push(entry);
            }
        }
    }

    /// The types of all entries.
    pub(super) async fn kinds(&self, run: &RunId) -> Vec<String> {
        self.timeline(run).await.iter().map(|entry| entry.kind.as_str().to_owned()).collect()
    }

    /// What the entries of this type say. Each has the documented form, field for field.
    pub(super) async fn said<D: Typed>(&self, run: &RunId) -> Vec<D> {
        let all = self.timeline(run).await;
        all.into_iter().filter(|entry| entry.kind == D::TYPE).map(said).collect()
    }

    pub(super) async fn gathered_page(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError> {
        resend(async || self.store().gathered(gathered).await).await
    }

    /// All that a gather has got up to a position, in pages of this size, as payloads.
    pub(super) async fn gathered(&self, run: &RunId, worker: &str, upto: u64, page: usize) -> Vec<Value> {
        let worker = build::name(worker);
        let mut all: Vec<Value> = Vec::new();
        loop {
            let from = all.len() as u64;
            let next =
                Gathered { run: run.clone(), worker: worker.clone(), upto, from, limit: page, seen: None };
            let page = self.gathered_page(&next).await.unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page.into_iter().map(|entry| said::<EventEmitted>(entry).payload));
        }
    }

    pub(super) async fn try_summary(&self, run: &RunId) -> Option<RunRecord> {
        resend(async || self.store().run(run).await).await.unwrap()
    }

    pub(super) async fn summary(&self, run: &RunId) -> RunRecord {
        self.try_summary(run).await.unwrap()
    }

    pub(super) async fn runs(&self, query: &RunsQuery) -> RunsPage {
        resend(async || self.store().runs(query).await).await.unwrap()
    }

    /// The ids of all runs that fit, in pages of this size.
    pub(super) async fn run_ids(&self, query: RunsQuery) -> Vec<String> {
        let mut query = query;
        let mut ids = Vec::new();
        loop {
            let page = self.runs(&query).await;
            assert!(page.runs.len() <= query.page_size(), "a page longer than asked for");
            ids.extend(page.runs.iter().map(|run| run.run.to_string()));
            query.cursor = page.next;
            if query.cursor.is_none() {
                return ids;
            }
        }
    }

    pub(super) async fn queues(&self) -> Vec<QueueCounts> {
        resend(async || self.store().queues().await).await.unwrap()
    }

    /// The counts of one queue.
    pub(super) async fn counts(&self, worker: &str) -> QueueCounts {
        let queue = build::queue(worker);
        let none = QueueCounts::new(queue.clone());
        self.queues().await.into_iter().find(|counts| counts.queue == queue).unwrap_or(none)
    }

    /// The jobs that fit, in pages of the query's size.
    pub(super) async fn jobs(&self, query: JobsQuery) -> Vec<JobSummary> {
        let mut query = query;
        let mut jobs: Vec<JobSummary> = Vec::new();
        loop {
            let page = resend(async || self.store().jobs(&query).await).await.unwrap();
            assert!(page.len() <= query.page_size(), "a page longer than asked for");
            let Some(last) = page.last() else { return jobs };
            query.after = Some((last.run.clone(), last.step.clone()));
            jobs.extend(page);
        }
    }

    /// The dead letters of a run, with their errors.
    pub(super) async fn dead(&self, run: &RunId) -> Vec<(JobSummary, String)> {
        let query = JobsQuery { run: Some(run.clone()), dead: true, limit: 100, ..JobsQuery::default() };
        let dead = self.jobs(query).await.into_iter().map(|job| match job.state.clone() {
            JobState::Dead { error } => (job, error),
            state => panic!("a dead letter that is {state:?}"),
        });
        dead.collect()
    }

    pub(super) async fn leave(&self, peer: &str) {
        let peer = InstanceId::new(peer).unwrap();
        resend(async || self.store().leave(&peer).await).await.unwrap();
    }

    pub(super) async fn pause(&self, queue: &QueueName, paused: bool) {
        resend(async || self.store().pause(queue, paused).await).await.unwrap();
    }
}

/// An instance.
pub(super) struct Peer<'a> {
    fixture: &'a Fixture,
    pub(super) id: InstanceId,
    /// The number of its last turn.
    pub(super) number: u64,
    pub(super) lease_ms: u64,
}

impl Peer<'_> {
    /// The same, whose last turn had this number.
    pub(super) fn after(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// A turn that follows the last one.
    pub(super) fn next(&mut self) -> Turn {
        self.number += 1;
        Turn::new(self.id.clone(), self.number, self.lease_ms)
    }

    /// Sends a turn, the next or any.
    pub(super) async fn send(&self, turn: &Turn) -> Result<TurnReply, StoreError> {
        resend(async || self.fixture.store().turn(turn).await).await
    }

    /// Takes a turn that only leases.
    pub(super) async fn leases(&mut self, worker: &str, max: u32) -> Vec<Lease> {
        let wants = vec![Want { queue: build::queue(worker), max }];
        let turn = Turn { wants, ..self.next() };
        self.send(&turn).await.unwrap().leases
    }

    /// What it offers for a job of this worker.
    pub(super) fn offer_of(&self, worker: &str) -> Offer {
        Offer {
            instance: self.id.clone(),
            queues: vec![build::queue(worker)],
            lease_ms: self.lease_ms,
            turn: self.number,
        }
    }

    /// Offers to take a job of this worker.
    pub(super) async fn offer(&self, worker: &str, timeout: Duration) -> Option<Lease> {
        self.brought_by(&self.offer_of(worker), timeout).await
    }

    /// What an offer brings.
    pub(super) async fn brought_by(&self, offer: &Offer, timeout: Duration) -> Option<Lease> {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let take: Take = {
            let taken = taken.clone();
            Arc::new(move |lease| taken.lock().unwrap().push(lease))
        };
        resend(async || self.fixture.store().offer(offer, &take, timeout).await).await.unwrap();
        let mut taken = taken.lock().unwrap();
        assert!(taken.len() < 2, "an offer brings at most one job: {taken:?}");
        taken.pop()
    }

    /// Offers to take a job of this worker until there is one, and takes it by a turn if the offer does not
    /// bring it.
    pub(super) async fn take(&mut self, worker: &str) -> Lease {
        loop {
            if let Some(lease) = self.offer(worker, PATIENCE).await {
                return lease;
            }
            if let Some(lease) = self.leases(worker, 1).await.pop() {
                return lease;
            }
        }
    }

    /// Leases the one job that waits in the queue of this worker.
    pub(super) async fn lease(&mut self, worker: &str) -> Lease {
        let mut leases = self.leases(worker, 1).await;
        assert_eq!(leases.len(), 1, "no job of `{worker}`");
        leases.remove(0)
    }

    /// Takes a turn that only writes, and gets one answer for each.
    pub(super) async fn writes(&mut self, writes: Vec<Transaction>) -> Vec<Answer> {
        let turn = Turn { writes, ..self.next() };
        self.send(&turn).await.unwrap().answers
    }

    pub(super) async fn write(&mut self, write: Transaction) -> Answer {
        self.writes(vec![write]).await.remove(0)
    }

    /// Sends a write that must be committed.
    pub(super) async fn commit(&mut self, write: Transaction) {
        let answer = self.write(write).await;
        assert!(matches!(answer, Answer::Committed { .. }), "{answer:?}");
    }

    /// Leases the next job of this worker and ends it; it does nothing.
    pub(super) async fn finish(&mut self, worker: &str) {
        let lease = self.lease(worker).await;
        self.commit(build::done(&lease)).await;
    }

    pub(super) async fn renew(&mut self, lease: &Lease) -> RenewAnswer {
        let turn = Turn { renewals: vec![build::renewal(lease)], ..self.next() };
        self.send(&turn).await.unwrap().renewed[0]
    }
}

/// Runs both at once, until both are done.
pub(super) async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    poll_fn(|context| {
        if a_done.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(context)
        {
            a_done = Some(value);
        }
        if b_done.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(context)
        {
            b_done = Some(value);
        }
        if a_done.is_some() && b_done.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (a_done.unwrap(), b_done.unwrap())
}

/// Measures whether a call returned early, or only after its time was up.
pub(super) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "it tells a wait that was woken from one that timed out")]
    pub(super) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(super) fn assert_shorter_than(&self, limit: Duration) {
        let elapsed = self.0.elapsed();
        assert!(elapsed < limit, "it took {elapsed:?}, and nothing woke it");
    }
}

/// What an entry says, which has the documented form, field for field.
fn said<D: Typed>(entry: Entry) -> D {
    let (id, form) = (entry.id, entry.data.clone());
    let said: D = entry.into_said().unwrap();
    assert_eq!(serde_json::to_value(&said).unwrap(), form, "the data of entry {id}");
    said
}
