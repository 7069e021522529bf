//! What happens to the server and the connections while work goes on: nothing is lost, nothing is done twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nq_core::id::RunId;
use nq_core::store::{Queries, Read, Store};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, WHOLE, kinds, open, start, until_there};
use super::server::{ALWAYS, EVERY_SECOND, RedisServer};

/// Starts runs and works through them while `harm` is done to the server, then checks every timeline.
async fn work_through(store: &RedisStore, runs: usize, harm: impl Future<Output = ()>) {
    let ids: Vec<RunId> = (0..runs).map(|run| super::flow::run_id(&format!("run-{run}"))).collect();
    let harmed = AtomicBool::new(false);
    let harm = async {
        harm.await;
        harmed.store(true, Ordering::Relaxed);
    };
    let starts = async {
        for (at, id) in ids.iter().enumerate() {
            let start = start(id.as_str(), json!(at));
            until_there(async || store.start(&start).await).await;
            // The work lasts as long as the harm does.
            if !harmed.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    };
    let (mut one, mut two) = (Peer::new("one"), Peer::new("two"));
    let work = futures_util::future::join(one.work(store, &ids), two.work(store, &ids));
    futures_util::future::join3(harm, starts, work).await;
    for id in &ids {
        assert_eq!(kinds(store, id).await, WHOLE);
    }
}

#[tokio::test]
async fn a_server_that_is_killed_twenty_times_loses_and_doubles_nothing() {
    let mut server = RedisServer::start(ALWAYS);
    let store = open(&server.url("")).await;
    let kills = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            server.kill9();
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.restart();
        }
    };
    work_through(&store, 400, kills).await;
}

#[tokio::test]
async fn connections_that_are_cut_come_back() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let cuts = async {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
    };
    work_through(&store, 300, cuts).await;
}

#[tokio::test]
async fn functions_that_the_server_forgets_are_sent_again() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("partitions=2")).await;
    let flushes = async {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            server.command(&["FUNCTION", "FLUSH"]);
        }
    };
    work_through(&store, 150, flushes).await;
}

#[tokio::test]
async fn many_who_find_the_functions_forgotten_send_them_once() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    store.start(&start("r", json!(1))).await.unwrap();
    server.command(&["FUNCTION", "FLUSH"]);
    server.command(&["CONFIG", "RESETSTAT"]);
    let all = Read::after(super::flow::run_id("r"), 0);
    let pages = futures_util::future::join_all((0..200).map(|_| store.read(&all))).await;
    assert!(pages.into_iter().all(|page| page.unwrap().len() == 1));
    let stats = server.command(&["INFO", "commandstats"]);
    assert!(stats.contains("cmdstat_function|load:calls=1,"), "{stats}");
}

#[tokio::test]
async fn a_server_that_freezes_for_longer_than_a_call_lasts_is_waited_for() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let freeze = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.freeze(true);
        tokio::time::sleep(Duration::from_secs(6)).await;
        server.freeze(false);
    };
    work_through(&store, 50, freeze).await;
}

#[test]
fn a_half_transaction_is_cut_off() {
    let set = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\n";
    let (multi, exec) = ("*1\r\n$5\r\nMULTI\r\n", "*1\r\n$4\r\nexec\r\n");
    let whole = [set, multi, set, exec].concat();
    for end in ["", multi, "*3\r\n$3\r\nSE", &[multi, set].concat(), &[multi, set, "*1\r\n$4\r\nex"].concat()]
    {
        assert_eq!(
            super::server::whole_transactions([&whole, end].concat().as_bytes()),
            whole.len(),
            "{end:?}"
        );
    }
}
