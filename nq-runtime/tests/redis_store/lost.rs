//! A server that comes back with an older state: whoever has seen more is told so, and waits for nothing.

use std::time::Duration;

use nq_core::entry::{Entry, EntryType, NewEntry};
use nq_core::store::{ErrorKind, Interest, Lease, Queries, Read, Store, StoreError};
use nq_core::transaction::LogLine;
use nq_runtime::store::redis::RedisStore;
use serde_json::json;
use tokio::time::Instant;

use super::flow::{Peer, open, run_id, start, until_there};
use super::server::{ALWAYS, RedisServer};

async fn log(store: &RedisStore, lease: &Lease, lines: usize) {
    for at in 0..lines {
        let line = LogLine {
            step: lease.step.clone(),
            attempt: 1,
            entry: NewEntry::new(EntryType::LogInfo, json!({ "message": at })),
        };
        until_there(async || store.append(&lease.run, std::slice::from_ref(&line)).await).await;
    }
}

/// Reads on behind the last of these entries.
async fn on(store: &RedisStore, seen: &[Entry]) -> Result<Vec<Entry>, StoreError> {
    let last = seen.last().unwrap().id;
    let read = Read { seen: Some(last), ..Read::after(run_id("r"), last.n) };
    loop {
        match store.read(&read).await {
            Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(10)).await,
            answer => return answer,
        }
    }
}

fn names_both(error: &StoreError, seen: &Entry, last: &Entry) {
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("`{}`", seen.id)) && text.contains(&format!("`{}`", last.id)), "{text}");
}

#[tokio::test]
async fn a_follower_who_has_seen_what_is_lost_is_told_so() {
    let mut server = RedisServer::start(ALWAYS);
    let store = open(&server.url("")).await;
    store.start(&start("r", json!(1))).await.unwrap();
    let lease = Peer::new("one").turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
    let kept = server.keep();
    log(&store, &lease, 3).await;
    let all = Read::after(run_id("r"), 0);
    let seen = until_there(async || store.read(&all).await).await;
    assert_eq!(seen.len(), 5);
    server.set_back(&kept);

    let error = on(&store, &seen).await.unwrap_err();
    names_both(&error, &seen[4], &seen[1]);
    // Who has seen no more than there is goes on.
    assert_eq!(on(&store, &seen[..2]).await.unwrap(), []);
    // A wait for what comes behind it is over at once.
    let begun = Instant::now();
    let interest = Interest::Run { run: run_id("r"), after: 5 };
    store.wait(&interest, Duration::from_secs(20)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));

    // The places of what is lost are taken, by as many entries and by more.
    for more in [3, 1] {
        log(&store, &lease, more).await;
        let now = store.read(&all).await.unwrap();
        let error = on(&store, &seen).await.unwrap_err();
        names_both(&error, &seen[4], now.last().unwrap());
        assert_eq!(on(&store, &seen[..2]).await.unwrap(), now[2..]);
    }
}

#[tokio::test]
async fn an_instance_whose_turns_are_lost_is_told_so_in_each_partition() {
    for options in ["", "partitions=3"] {
        let mut server = RedisServer::start(ALWAYS);
        let store = open(&server.url(options)).await;
        let mut one = Peer::new("one");
        one.turn(&store, Vec::new(), &[("a", 1)]).await;
        let kept = server.keep();
        for _ in 0..3 {
            one.turn(&store, Vec::new(), &[("a", 1)]).await;
        }
        server.set_back(&kept);
        let turn = one.next(Vec::new(), &[("a", 1)]);
        let error = loop {
            match store.turn(&turn).await {
                Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(10)).await,
                answer => break answer.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), ErrorKind::Lane, "{error}");
        assert!(error.to_string().contains("lost"), "{error}");
    }
}
