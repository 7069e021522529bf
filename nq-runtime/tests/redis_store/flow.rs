//! A small flow, driven by hand: `a` emits to `b`, `b` to `c`, and instances that never give up.

use std::error::Error as _;
use std::time::Duration;

use nq_core::entry::{EntryType, NewEntry};
use nq_core::id::{InstanceId, Name, QueueName, RunId};
use nq_core::status::RunStatus;
use nq_core::store::{Answer, Lease, Queries, Read, Retention, Store, StoreError, Tick, TurnReply};
use nq_core::transaction::{JobSpec, NewJob, Outcome, Start, Transaction, Turn, Want};
use nq_runtime::store::redis::RedisStore;
use serde_json::{Value, json};

/// A lease that does not run out within a test.
pub(crate) const LONG_MS: u64 = 60_000;

pub(crate) async fn open(url: &str) -> RedisStore {
    RedisStore::open(url).await.unwrap()
}

pub(crate) fn run_id(text: &str) -> RunId {
    RunId::new(text).unwrap()
}

pub(crate) fn queue(worker: &str) -> QueueName {
    QueueName::of("f", worker)
}

pub(crate) fn spec(worker: &str) -> JobSpec {
    JobSpec { max_crashes: 50, ..JobSpec::new(Name::new(worker).unwrap(), queue(worker)) }
}

pub(crate) fn start(run: &str, input: Value) -> Start {
    let data = json!({ "event": "begin", "input": input, "trigger": "manual", "registryHash": "0" });
    Start {
        run: run_id(run),
        flow: Name::new("f").unwrap(),
        started: NewEntry::new(EntryType::FlowStarted, data),
        job: spec("a"),
        gathers: Vec::new(),
        fork: None,
    }
}

/// Does it again until the store is there.
pub(crate) async fn until_there<T>(call: impl AsyncFn() -> Result<T, StoreError>) -> T {
    for _ in 0..3_000 {
        match call().await {
            Ok(value) => return value,
            Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}: {:?}", error.source()),
        }
    }
    panic!("the store stays away");
}

pub(crate) fn done(lease: &Lease, next: Option<&str>) -> Transaction {
    let mut tx = Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt);
    if let Some(next) = next {
        let data = json!({ "name": "e", "payload": lease.step.to_string(), "op": "1", "to": [next] });
        tx.entries.push(NewEntry::new(EntryType::EventEmitted, data));
        tx.jobs.push(NewJob { spec: spec(next), cause: 0, key: "key".into() });
    }
    tx.entries.push(NewEntry::new(EntryType::StepCompleted, json!({})));
    tx.outcome = Outcome::Complete;
    tx
}

/// An instance, for as long as its lane goes.
pub(crate) struct Peer {
    pub(crate) id: InstanceId,
    pub(crate) number: u64,
    pub(crate) lease_ms: u64,
}

impl Peer {
    pub(crate) fn new(name: &str) -> Self {
        Self { id: InstanceId::new(name).unwrap(), number: 0, lease_ms: LONG_MS }
    }

    pub(crate) fn next(&mut self, writes: Vec<Transaction>, wants: &[(&str, u32)]) -> Turn {
        self.number += 1;
        Turn {
            instance: self.id.clone(),
            number: self.number,
            starts: Vec::new(),
            writes,
            renewals: Vec::new(),
            wants: wants.iter().map(|(worker, max)| Want { queue: queue(worker), max: *max }).collect(),
            lease_ms: self.lease_ms,
        }
    }

    pub(crate) async fn turn(
        &mut self,
        store: &RedisStore,
        writes: Vec<Transaction>,
        wants: &[(&str, u32)],
    ) -> TurnReply {
        let turn = self.next(writes, wants);
        until_there(async || store.turn(&turn).await).await
    }

    /// Leases and finishes steps of the flow until nothing has come for a while.
    pub(crate) async fn work(&mut self, store: &RedisStore, runs: &[RunId]) {
        let mut writes = Vec::new();
        loop {
            let reply =
                self.turn(store, std::mem::take(&mut writes), &[("a", 10), ("b", 10), ("c", 10)]).await;
            for answer in &reply.answers {
                assert!(matches!(answer, Answer::Committed { .. }), "{answer:?}");
            }
            for lease in &reply.leases {
                let next = [("a", "b"), ("b", "c")]
                    .into_iter()
                    .find(|(from, _)| *from == lease.step.worker().as_str());
                writes.push(done(lease, next.map(|(_, to)| to)));
            }
            if writes.is_empty() && all_completed(store, runs).await {
                return;
            }
            if writes.is_empty() {
                until_there(async || store.tick(&tick()).await).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

pub(crate) fn tick() -> Tick {
    let retention = Retention { completed_ms: None, failed_ms: None };
    Tick {
        instance: InstanceId::new("ticker").unwrap(),
        lease_ms: LONG_MS,
        retention,
        limit: 500,
        serves: Vec::new(),
    }
}

async fn all_completed(store: &RedisStore, runs: &[RunId]) -> bool {
    for run in runs {
        if until_there(async || store.run(run).await)
            .await
            .is_none_or(|run| run.status != RunStatus::Completed)
        {
            return false;
        }
    }
    true
}

/// What the timeline of a run says, one type after another.
pub(crate) async fn kinds(store: &RedisStore, run: &RunId) -> Vec<String> {
    let entries = store.read(&Read::after(run.clone(), 0)).await.unwrap();
    entries.iter().enumerate().for_each(|(at, entry)| assert_eq!(entry.id.n, at as u64 + 1));
    entries.iter().map(|entry| entry.kind.as_str().to_owned()).collect()
}

/// What the timeline of a run of this flow must say.
pub(crate) const WHOLE: [&str; 10] = [
    "flow.started",
    "flow.step.started",
    "event.emitted",
    "flow.step.completed",
    "flow.step.started",
    "event.emitted",
    "flow.step.completed",
    "flow.step.started",
    "flow.step.completed",
    "flow.completed",
];
