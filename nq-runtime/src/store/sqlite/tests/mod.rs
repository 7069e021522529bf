//! What the suite cannot ask of every store: the file, the disk, the processes that share them.

mod damage;
mod disk;
mod files;
mod formats;
mod keeping;
mod log;
mod opening;
mod sharing;
mod volume;

use std::path::Path;

use nq_core::conformance::TestClock;
use nq_core::entry::{EntryType, NewEntry};
use nq_core::id::{Name, StepId};
use nq_core::store::{Answer, Lease, Retention};
use nq_core::transaction::{JobSpec, NewJob, Outcome, Transaction, Want};
use serde_json::json;

use super::*;

/// Long enough not to run out in a test.
const LEASE_MS: u64 = 60_000;

fn options(folder: &Path) -> SqliteOptions {
    SqliteOptions { path: folder.join("nq.db") }
}

async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(options(folder)).await.unwrap()
}

async fn open_at(folder: &Path, clock: &Arc<TestClock>) -> SqliteStore {
    let clock = clock.clone();
    SqliteStore::with_clock(options(folder), move || clock.now_ms()).await.unwrap()
}

/// A connection of another program.
fn shell(folder: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(options(folder).path).unwrap()
}

fn run_id(run: &str) -> RunId {
    RunId::new(run).unwrap()
}

fn queue(worker: &str) -> QueueName {
    QueueName::of("f", worker)
}

fn job(worker: &str) -> JobSpec {
    JobSpec::new(Name::new(worker).unwrap(), queue(worker))
}

/// The beginning of a run whose entry worker is `a`.
fn begin(run: &str) -> Start {
    let data = json!({ "event": "begin", "input": run, "trigger": "manual", "registryHash": "0" });
    Start {
        run: run_id(run),
        flow: Name::new("f").unwrap(),
        started: NewEntry::new(EntryType::FlowStarted, data),
        job: job("a"),
        gathers: Vec::new(),
        fork: None,
    }
}

/// An instance.
struct Peer {
    id: InstanceId,
    number: u64,
}

impl Peer {
    fn new(id: &str) -> Self {
        Self { id: InstanceId::new(id).unwrap(), number: 0 }
    }

    async fn turn(
        &mut self,
        store: &SqliteStore,
        writes: Vec<Transaction>,
        wants: &[(&str, u32)],
    ) -> TurnReply {
        self.number += 1;
        let wants = wants.iter().map(|(worker, max)| Want { queue: queue(worker), max: *max }).collect();
        let (instance, number) = (self.id.clone(), self.number);
        let turn = Turn { writes, wants, ..Turn::new(instance, number, LEASE_MS) };
        store.turn(&turn).await.unwrap()
    }

    async fn lease(&mut self, store: &SqliteStore, worker: &str, max: u32) -> Vec<Lease> {
        self.turn(store, Vec::new(), &[(worker, max)]).await.leases
    }

    async fn write(&mut self, store: &SqliteStore, write: Transaction) -> Answer {
        self.turn(store, vec![write], &[]).await.answers.remove(0)
    }
}

/// What an attempt writes that emits an event for this worker.
fn emit(lease: &Lease, to: &str) -> Transaction {
    let mut tx = Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt);
    let data = json!({ "name": "e", "payload": { "from": lease.step }, "op": "1", "to": [to] });
    tx.entries.push(NewEntry::new(EntryType::EventEmitted, data));
    tx.jobs.push(NewJob { spec: job(to), cause: 0, key: "key".into() });
    tx
}

fn complete(mut tx: Transaction) -> Transaction {
    tx.entries.push(NewEntry::new(EntryType::StepCompleted, json!({})));
    tx.outcome = Outcome::Complete;
    tx
}

/// What an attempt writes that does nothing and is done.
fn done(lease: &Lease) -> Transaction {
    complete(Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt))
}

fn lines(step: &StepId, count: usize, message: &str) -> Vec<LogLine> {
    let entry = NewEntry::new(EntryType::LogInfo, json!({ "message": message }));
    vec![LogLine { step: step.clone(), attempt: 1, entry }; count]
}

async fn tick(store: &SqliteStore) -> Ticked {
    tick_keeping(store, Retention { completed_ms: None, failed_ms: None }).await
}

async fn tick_keeping(store: &SqliteStore, retention: Retention) -> Ticked {
    let instance = InstanceId::new("ticker").unwrap();
    store
        .tick(&Tick { instance, lease_ms: LEASE_MS, retention, limit: 1_000, serves: Vec::new() })
        .await
        .unwrap()
}

async fn counts(store: &SqliteStore, worker: &str) -> QueueCounts {
    let queues = store.queues().await.unwrap();
    queues.into_iter().find(|counts| counts.queue == queue(worker)).unwrap()
}

async fn timeline(store: &SqliteStore, run: &str) -> Result<Vec<Entry>, StoreError> {
    store.read(&Read::after(run_id(run), 0)).await
}
