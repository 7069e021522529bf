//! Much of everything: no call keeps the server from others for long.

use nq_core::entry::{EntryType, NewEntry};
use nq_core::store::{Answer, Read, Store};
use nq_core::transaction::{LogLine, NewJob, Outcome, Transaction};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, done, open, run_id, spec, start, tick};
use super::server::{EVERY_SECOND, RedisServer};

/// A server that notes every call that takes longer than 50 ms.
fn watched() -> RedisServer {
    RedisServer::start(&[EVERY_SECOND, &["--slowlog-log-slower-than", "50000"]].concat())
}

fn assert_no_slow_call(server: &RedisServer) {
    let calls = server.command(&["SLOWLOG", "GET", "3"]);
    let shown: String = calls.chars().take(400).collect();
    assert_eq!(server.command(&["SLOWLOG", "LEN"]), "0", "{shown}");
}

async fn start_many(store: &RedisStore, runs: usize) {
    for from in (0..runs).step_by(500) {
        let starts = (from..(from + 500).min(runs)).map(async |run| {
            let start = start(&format!("run-{run}"), json!("x".repeat(100)));
            store.start(&start).await.unwrap();
        });
        futures_util::future::join_all(starts).await;
    }
}

#[tokio::test]
async fn a_backlog_of_a_hundred_thousand_and_ten_thousand_due_at_once() {
    let server = watched();
    let store = open(&server.url("")).await;
    start_many(&store, 100_000).await;
    assert_eq!(store.queues().await.unwrap()[0].queued, 100_000);
    let mut one = Peer::new("one");
    for _ in 0..20 {
        let leases = one.turn(&store, Vec::new(), &[("a", 500)]).await.leases;
        assert_eq!(leases.len(), 500);
        let retries = leases.iter().map(|lease| {
            let mut tx = done(lease, None);
            tx.outcome = Outcome::Retry { delay_ms: 1 };
            tx
        });
        one.turn(&store, retries.collect(), &[]).await;
    }
    let mut due = 0;
    while due < 10_000 {
        due += store.tick(&tick()).await.unwrap().due;
    }
    assert_eq!((due, store.queues().await.unwrap()[0].queued), (10_000, 100_000));
    assert_no_slow_call(&server);
}

#[tokio::test]
async fn a_run_of_fifty_thousand_entries_is_read_from_anywhere() {
    let server = watched();
    let store = open(&server.url("")).await;
    let run = run_id("r");
    store.start(&start("r", json!(1))).await.unwrap();
    let lease = Peer::new("one").turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
    for page in 0..100 {
        let line = |at: u64| LogLine {
            step: lease.step.clone(),
            attempt: 1,
            entry: NewEntry::new(EntryType::LogInfo, json!({ "message": at })),
        };
        let lines: Vec<_> = (0..500).map(|at| line(page * 500 + at)).collect();
        store.append(&run, &lines).await.unwrap();
    }
    for after in [0, 1, 2, 777, 25_000, 49_999, 50_001] {
        let read = Read { limit: 1, ..Read::after(run.clone(), after) };
        assert_eq!(store.read(&read).await.unwrap()[0].id.n, after + 1);
    }
    assert!(store.read(&Read::after(run.clone(), 50_002)).await.unwrap().is_empty());
    assert_no_slow_call(&server);
}

#[tokio::test]
async fn ten_thousand_events_of_one_step_are_there_at_once_and_their_jobs_follow() {
    let server = watched();
    let store = open(&server.url("")).await;
    let run = run_id("r");
    store.start(&start("r", json!(1))).await.unwrap();
    let mut one = Peer::new("one");
    let lease = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
    let mut tx = Transaction { outcome: Outcome::Complete, ..done(&lease, None) };
    tx.entries.clear();
    for at in 0..9_999 {
        let data = json!({ "name": "e", "payload": at, "op": at.to_string(), "to": ["b"] });
        tx.entries.push(NewEntry::new(EntryType::EventEmitted, data));
        tx.jobs.push(NewJob { spec: spec("b"), cause: at, key: "key".into() });
    }
    tx.entries.push(NewEntry::new(EntryType::StepCompleted, json!({})));
    let answers = one.turn(&store, vec![tx], &[]).await.answers;
    assert!(matches!(answers[0], Answer::Committed { .. }), "{answers:?}");
    let summary = store.run(&run).await.unwrap().unwrap();
    assert_eq!((summary.last.n, summary.pending), (10_002, 9_999));
    let mut finished = 0;
    let mut writes = Vec::new();
    while finished < 9_999 {
        let reply = one.turn(&store, std::mem::take(&mut writes), &[("b", 200)]).await;
        finished += reply.answers.len();
        writes = reply.leases.iter().map(|lease| done(lease, None)).collect();
        assert!(reply.leases.iter().all(|lease| lease.inputs.len() == 1));
    }
    assert!(store.run(&run).await.unwrap().unwrap().status.is_terminal());
    assert_no_slow_call(&server);
}

#[tokio::test]
async fn a_payload_at_the_limit_goes_through() {
    let server = watched();
    let store = open(&server.url("")).await;
    let payload = json!("x".repeat(nq_core::limits::MAX_PAYLOAD_BYTES - 2));
    store.start(&start("r", payload.clone())).await.unwrap();
    let leases = Peer::new("one").turn(&store, Vec::new(), &[("a", 1)]).await.leases;
    assert_eq!(leases[0].inputs[0].payload, payload);
    assert_no_slow_call(&server);
}
