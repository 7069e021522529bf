//! Much of everything: no call keeps the server from others for long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nq_core::entry::{EntryType, NewEntry};
use nq_core::limits::{MAX_COMMIT_BYTES, MAX_PAYLOAD_BYTES};
use nq_core::store::{Answer, Queries, Read, Retention, Store, Tick};
use nq_core::transaction::{Act, LogLine, NewJob, Outcome, Transaction};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, done, open, run_id, spec, start, tick};
use super::server::{EVERY_SECOND, RedisServer};

/// The longest that one call may keep the server from others, in CPU time: it does not count against a call
/// that the machine had something else to do.
const MOST_MS: f64 = 50.0;

/// What the yardstick takes on a processor that has nothing else to do.
const YARDSTICK_MS: f64 = 16.0;

/// The longest that one call may keep the server busy here and now: processors that are shared are slower, and the
/// same work, measured beside it, tells by how much.
fn most_ms(server: &RedisServer) -> f64 {
    let work = "for i = 1, 10000 do redis.call('XADD', 'yardstick', i .. '-1', 't', 'e', 's', 'x', 'a', '1', 'd', '{}') end redis.call('DEL', 'yardstick')";
    let before = busy_ms(server);
    server.command(&["EVAL", work, "0"]);
    MOST_MS * ((busy_ms(server) - before) / YARDSTICK_MS).max(1.0)
}

/// Makes a call and checks how long it kept the server busy.
async fn brief<T>(server: &RedisServer, call: impl Future<Output = T>) -> T {
    let before = busy_ms(server);
    let result = call.await;
    let busy = busy_ms(server) - before;
    assert!(busy < MOST_MS || busy < most_ms(server), "the call kept the server busy for {busy} ms");
    result
}

/// Calls that keep the server busy for long enough that a machine with other things to do, whose processors are
/// slower by that, may show more than they cost. They are made several times: the least is what they cost.
struct Costs<'a> {
    server: &'a RedisServer,
    least_ms: BTreeMap<&'static str, f64>,
}

/// How often.
const ROUNDS: usize = 3;

impl<'a> Costs<'a> {
    fn new(server: &'a RedisServer) -> Self {
        Self { server, least_ms: BTreeMap::new() }
    }

    async fn of<T>(&mut self, name: &'static str, call: impl Future<Output = T>) -> T {
        let before = busy_ms(self.server);
        let result = call.await;
        let least = self.least_ms.entry(name).or_insert(f64::MAX);
        *least = least.min(busy_ms(self.server) - before);
        result
    }

    fn check(&self) {
        let most = self.least_ms.values().fold(0.0, |most: f64, ms| most.max(*ms));
        assert!(most < MOST_MS || most < most_ms(self.server), "{:?} ms", self.least_ms);
    }
}

/// The CPU time of the server's main thread so far.
fn busy_ms(server: &RedisServer) -> f64 {
    let info = server.command(&["INFO", "cpu"]);
    let fields = info.lines().filter_map(|line| line.split_once(':'));
    let main = fields.filter(|(name, _)| name.ends_with("_main_thread"));
    1_000.0 * main.map(|(_, seconds)| seconds.trim().parse::<f64>().unwrap()).sum::<f64>()
}

/// A tick after which no run that has ended is kept.
fn keep_nothing() -> Tick {
    let retention = Retention { completed_ms: Some(0), failed_ms: Some(0) };
    Tick { retention, ..tick() }
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
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    start_many(&store, 100_000).await;
    assert_eq!(store.queues().await.unwrap()[0].queued, 100_000);
    let mut one = Peer::new("one");
    for _ in 0..20 {
        let leases = brief(&server, one.turn(&store, Vec::new(), &[("a", 500)])).await.leases;
        assert_eq!(leases.len(), 500);
        let retries = leases.iter().map(|lease| {
            let mut tx = done(lease, None);
            tx.outcome = Outcome::Retry { delay_ms: 1 };
            tx
        });
        brief(&server, one.turn(&store, retries.collect(), &[])).await;
    }
    let mut due = 0;
    while due < 10_000 {
        due += brief(&server, store.tick(&tick())).await.unwrap().due;
    }
    assert_eq!((due, store.queues().await.unwrap()[0].queued), (10_000, 100_000));
}

#[tokio::test]
async fn a_run_of_fifty_thousand_entries_is_read_from_anywhere() {
    let server = RedisServer::start(EVERY_SECOND);
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
        brief(&server, store.append(&run, &lines)).await.unwrap();
    }
    for after in [0, 1, 2, 777, 25_000, 49_999, 50_001] {
        let read = Read { limit: 1, ..Read::after(run.clone(), after) };
        assert_eq!(brief(&server, store.read(&read)).await.unwrap()[0].id.n, after + 1);
    }
    assert!(store.read(&Read::after(run.clone(), 50_002)).await.unwrap().is_empty());
    let cancel = Act::Cancel { reason: "enough".into() };
    brief(&server, store.act(&run, &cancel)).await.unwrap();
    assert_eq!(brief(&server, store.tick(&keep_nothing())).await.unwrap().removed, 1);
    assert_eq!(server.command(&["EXISTS", "nq:flow:r", "nq:run:r"]), "0");
}

#[tokio::test]
async fn ten_thousand_events_of_one_step_are_there_at_once_and_their_jobs_follow() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut costs = Costs::new(&server);
    let mut one = Peer::new("one");
    for round in 0..ROUNDS {
        let run = run_id(&format!("r{round}"));
        store.start(&start(run.as_str(), json!(1))).await.unwrap();
        let lease = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
        let mut tx = Transaction { outcome: Outcome::Complete, ..done(&lease, None) };
        tx.entries.clear();
        for at in 0..9_999 {
            let data = json!({ "name": "e", "payload": at, "op": at.to_string(), "to": ["b"] });
            tx.entries.push(NewEntry::new(EntryType::EventEmitted, data));
            tx.jobs.push(NewJob { spec: spec("b"), cause: at, key: "key".into() });
        }
        tx.entries.push(NewEntry::new(EntryType::StepCompleted, json!({})));
        let over = AtomicBool::new(false);
        let look = async {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                seen.insert(store.run(&run).await.unwrap().unwrap().last.n);
                // Now and then: the server's time counts as that of the commit.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            seen
        };
        let commit = async {
            let answers = costs.of("commit", one.turn(&store, vec![tx], &[])).await.answers;
            over.store(true, Ordering::Relaxed);
            answers
        };
        let (seen, answers) = futures_util::future::join(look, commit).await;
        assert!(matches!(answers[0], Answer::Committed { .. }), "{answers:?}");
        assert!(seen.is_subset(&[2, 10_002].into()), "a reader sees all of it or nothing: {seen:?}");
        let summary = store.run(&run).await.unwrap().unwrap();
        assert_eq!((summary.last.n, summary.pending), (10_002, 9_999));
        let mut finished = 0;
        let mut writes = Vec::new();
        while finished < 9_999 {
            let turn = one.turn(&store, std::mem::take(&mut writes), &[("b", 200)]);
            let reply = brief(&server, turn).await;
            finished += reply.answers.len();
            writes = reply.leases.iter().map(|lease| done(lease, None)).collect();
            assert!(reply.leases.iter().all(|lease| lease.inputs.len() == 1));
        }
        assert!(store.run(&run).await.unwrap().unwrap().status.is_terminal());
    }
    costs.check();
}

#[tokio::test]
async fn payloads_at_the_limit_go_through_until_the_commit_is_full() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut costs = Costs::new(&server);
    let mut one = Peer::new("one");
    let payload = json!("x".repeat(MAX_PAYLOAD_BYTES - 2));
    for round in 0..ROUNDS {
        let start = start(&format!("r{round}"), payload.clone());
        costs.of("start", store.start(&start)).await.unwrap();
        let turn = one.turn(&store, Vec::new(), &[("a", 1)]);
        let lease = costs.of("lease", turn).await.leases.remove(0);
        assert_eq!(lease.inputs[0].payload, payload);
        let mut tx = done(&lease, None);
        for at in 0..MAX_COMMIT_BYTES / MAX_PAYLOAD_BYTES - 1 {
            let data = json!({ "name": "e", "payload": payload, "op": at.to_string(), "to": ["b"] });
            tx.entries.insert(at, NewEntry::new(EntryType::EventEmitted, data));
            tx.jobs.push(NewJob { spec: spec("b"), cause: at, key: "key".into() });
        }
        let events = tx.jobs.len();
        costs.of("commit", one.turn(&store, vec![tx], &[])).await;
        let leases = costs.of("leases", one.turn(&store, Vec::new(), &[("b", 100)])).await.leases;
        assert_eq!(leases.len(), events);
        assert!(leases.iter().all(|lease| lease.inputs[0].payload == payload));
        // A page of them is as large as it may be, and the next goes on behind it.
        let mut read = Read { types: vec![EntryType::EventEmitted], ..Read::after(lease.run.clone(), 0) };
        let mut found = 0;
        loop {
            let page = costs.of("page", store.read(&read)).await.unwrap();
            let Some(last) = page.last() else { break };
            read.after = last.id.n;
            found += page.len();
        }
        assert_eq!(found, events);
    }
    costs.check();
}

/// How much memory the server's data takes, when it has freed what it frees in the background.
async fn memory_bytes(server: &RedisServer) -> u64 {
    let field = |name: &str| {
        let info = server.command(&["INFO", "memory"]);
        let value =
            info.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()));
        value.unwrap().parse::<u64>().unwrap()
    };
    while field("lazyfree_pending_objects") > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    field("used_memory_dataset")
}

#[tokio::test]
async fn memory_goes_back_when_the_retention_is_over() {
    const RUNS: usize = 2_000;
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut after = Vec::new();
    for round in 0..2 {
        let runs: Vec<_> = (0..RUNS).map(|run| run_id(&format!("run-{round}-{run}"))).collect();
        for some in runs.chunks(200) {
            let starts = some.iter().map(async |run| {
                store.start(&start(run.as_str(), json!("x".repeat(1_000)))).await.unwrap();
            });
            futures_util::future::join_all(starts).await;
        }
        let mut one = Peer::new("one");
        one.work(&store, &runs).await;
        store.leave(&one.id).await.unwrap();
        let kept = memory_bytes(&server).await;
        let mut tick = tick();
        tick.retention.completed_ms = Some(3_600_000);
        assert_eq!(store.tick(&tick).await.unwrap().removed, 0, "what is to be kept is kept");
        let mut removed = 0;
        while removed < RUNS {
            removed += brief(&server, store.tick(&keep_nothing())).await.unwrap().removed;
        }
        let left = memory_bytes(&server).await;
        assert!(kept > left + 1_000 * RUNS as u64, "{kept} with the runs, {left} without them");
        after.push(left);
    }
    // What remains is a line for each run that ended lately.
    assert!(after[1] < after[0] + 100 * RUNS as u64, "{after:?}");
}
