//! How many durable steps a second the embedded store takes, without an engine: one instance, 256 runs at a
//! time of a flow of three steps, payloads of 200 bytes. Prints one line for each figure.
#![expect(clippy::print_stdout, reason = "its output is the result")]
#![expect(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]

use std::collections::HashMap;

use nq_core::entry::{EntryType, NewEntry};
use nq_core::id::{InstanceId, Name, QueueName, RunId};
use nq_core::transaction::{JobSpec, NewJob, Outcome, Start, Transaction, Turn, Want};
use nq_runtime::store::sqlite::{SqliteOptions, SqliteStore};
use nq_runtime::store::{Lease, Store};
use serde_json::json;
use tokio::time::Instant;

const STEPS: [&str; 3] = ["charge", "pack", "ship"];
const LEASE_MS: u64 = 30_000;

fn spec(step: usize) -> JobSpec {
    JobSpec::new(Name::new(STEPS[step]).unwrap(), QueueName::of("order", STEPS[step]))
}

fn start(n: usize) -> Start {
    let data = json!({ "event": "order.placed", "input": { "order": n, "pad": "x".repeat(170) },
        "trigger": "manual", "registryHash": "0123456789abcdef" });
    Start {
        run: RunId::new(format!("01890a5d-ac96-774b-bcce-{n:012}")).unwrap(),
        flow: Name::new("order").unwrap(),
        started: NewEntry::new(EntryType::FlowStarted, data),
        job: spec(0),
        gathers: Vec::new(),
        fork: None,
    }
}

/// What the engine makes of a step that emits the event that the next one subscribes to.
fn finish(lease: &Lease, steps: &HashMap<&str, usize>) -> Transaction {
    let mut tx = Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt);
    let next = steps[lease.step.worker().as_str()] + 1;
    if next < STEPS.len() {
        let payload = json!({ "order": 7, "pad": "x".repeat(170) });
        let data = json!({ "name": "order.next", "payload": payload, "op": "1", "to": [STEPS[next]] });
        tx.entries.push(NewEntry::new(EntryType::EventEmitted, data));
        tx.jobs.push(NewJob {
            spec: spec(next),
            cause: 0,
            key: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        });
    }
    tx.entries.push(NewEntry::new(EntryType::StepCompleted, json!({})));
    tx.outcome = Outcome::Complete;
    tx
}

async fn steps(store: &SqliteStore, concurrency: usize, runs: usize) {
    let indexes: HashMap<_, _> = STEPS.iter().enumerate().map(|(index, name)| (*name, index)).collect();
    let instance = InstanceId::new(format!("bench-{concurrency}")).unwrap();
    let begun = Instant::now();
    let (mut started, mut done, mut number) = (0, 0, 0);
    let (mut leases, mut running): (Vec<Lease>, usize) = (Vec::new(), 0);
    while done < runs * STEPS.len() {
        let starting =
            (started..runs).take(concurrency - running).map(|n| start(n + concurrency * 1_000_000));
        let starting: Vec<_> = starting.collect();
        started += starting.len();
        running += starting.len();
        number += 1;
        let turn = Turn {
            instance: instance.clone(),
            number,
            starts: Vec::new(),
            writes: leases.iter().map(|lease| finish(lease, &indexes)).collect(),
            renewals: Vec::new(),
            wants: STEPS
                .iter()
                .map(|step| Want { queue: QueueName::of("order", step), max: concurrency as u32 })
                .collect(),
            lease_ms: LEASE_MS,
        };
        let starts = futures_util::future::join_all(starting.iter().map(|start| store.start(start)));
        let (starts, reply) = futures_util::future::join(starts, store.turn(&turn)).await;
        for started in starts {
            started.unwrap();
        }
        done += leases.len();
        running -= leases.iter().filter(|lease| lease.step.worker().as_str() == STEPS[2]).count();
        leases = reply.unwrap().leases;
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    println!("{concurrency:>4} runs at a time: {rate:>7.0} durable steps/s");
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.db");
    let store = SqliteStore::open(SqliteOptions { path }).await.unwrap();
    for (concurrency, runs) in [(1, 1_000), (32, 20_000), (256, 40_000)] {
        steps(&store, concurrency, runs).await;
    }
}
