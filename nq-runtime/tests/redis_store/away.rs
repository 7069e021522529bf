//! A server that is away: calls say so at once, and nothing spins.

use std::time::Duration;

use nq_core::store::{ErrorKind, Interest, Queries, Store};
use serde_json::json;
use tokio::time::Instant;

use super::flow::{Peer, open, queue, start, tick, until_there};
use super::server::{EVERY_SECOND, RedisServer};

#[tokio::test]
async fn calls_fail_at_once_and_go_on_when_it_is_back() {
    let mut server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    store.start(&start("r", json!(1))).await.unwrap();
    server.stop();
    let begun = Instant::now();
    for _ in 0..20 {
        let error = store.tick(&tick()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(&format!("(`{}`)", server.url(""))), "{error}");
        assert_eq!(store.run(&super::flow::run_id("r")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    server.restart();
    assert!(until_there(async || store.run(&super::flow::run_id("r")).await).await.is_some());
}

#[tokio::test]
async fn who_waits_while_it_is_away_costs_next_to_nothing() {
    let mut server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let interest = Interest::Queues(vec![queue("a"), queue("b")]);
    server.stop();
    let before = cpu_ms();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let _ = store.wait(&interest, Duration::from_secs(1)).await;
    }
    let used = cpu_ms() - before;
    assert!(used < 150, "{used} ms of CPU in 3 s");
    server.restart();
    let woken = store.wait(&interest, Duration::from_secs(20));
    let start = async {
        let start = start("r", json!(1));
        until_there(async || store.start(&start).await).await
    };
    let begun = Instant::now();
    let (woken, _) = futures_util::future::join(woken, start).await;
    woken.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "nothing woke it");
    assert_eq!(Peer::new("one").turn(&store, Vec::new(), &[("a", 1)]).await.leases.len(), 1);
}

/// The CPU time of this process so far.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // Ticks of 10 ms, in user and in system mode.
    10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}
