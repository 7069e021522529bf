//! Connections that end within a reply: whatever of it has come, the call is unknown and nothing is damaged; and who
//! only reads does not see that one connection has ended.

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nq_core::entry::{EntryType, NewEntry};
use nq_core::store::{
    Acted, ErrorKind, Gathered, Interest, JobsQuery, Lease, Offer, Queries, Read, RunsQuery, Started, Store,
    StoreError, Take,
};
use nq_core::transaction::{Act, LogLine};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, WHOLE, done, kinds, open, queue, run_id, start, tick, until_there};
use super::proxy::Proxy;
use super::server::{EVERY_SECOND, RedisServer};

/// The longest reply of which every byte is tried.
const EVERY_BYTE: u64 = 400;

/// Cuts the connection after so many bytes of what is answered, from none to more than all, and calls each time.
async fn torn<T>(
    proxy: &Proxy,
    mut call: impl AsyncFnMut() -> Result<T, StoreError>,
) -> Vec<Result<T, StoreError>> {
    let mut results = Vec::new();
    let mut cut = 0;
    loop {
        proxy.cut_after(cut);
        results.push(call().await);
        if proxy.disarm() {
            return results;
        }
        cut += 1 + cut / EVERY_BYTE * 97;
    }
}

/// Whether each of these calls went well or is unknown.
fn well_or_unknown<T>(results: &[Result<T, StoreError>]) {
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}: {:?}", error.source());
    }
    assert!(results.len() > 1, "nothing was cut");
}

async fn behind_a_proxy() -> (RedisServer, Proxy, RedisStore) {
    let server = RedisServer::start(EVERY_SECOND);
    let proxy = Proxy::before(server.port());
    let store = open(&proxy.url("")).await;
    (server, proxy, store)
}

#[tokio::test]
async fn who_reads_does_not_see_that_a_connection_ends() {
    let (_server, proxy, store) = behind_a_proxy().await;
    let run = run_id("r");
    store.start(&start("r", json!({ "order": 7 }))).await.unwrap();
    let gathered =
        Gathered { run: run.clone(), worker: "a".parse().unwrap(), upto: 9, from: 0, limit: 9, seen: None };
    let (runs, jobs) =
        (RunsQuery { limit: 9, ..RunsQuery::default() }, JobsQuery { limit: 9, ..JobsQuery::default() });
    let of_run = JobsQuery { run: Some(run.clone()), ..jobs.clone() };
    let all_well = |results: Vec<Result<usize, StoreError>>, what: &str, all: usize| {
        assert!(results.len() > 1, "{what}: nothing was cut");
        for found in results {
            assert_eq!(found.unwrap(), all, "{what}");
        }
    };
    let read = async || Ok(store.read(&Read::after(run.clone(), 0)).await?.len());
    all_well(torn(&proxy, read).await, "read", 1);
    let summary = async || Ok(usize::from(store.run(&run).await?.is_some()));
    all_well(torn(&proxy, summary).await, "run", 1);
    all_well(torn(&proxy, async || Ok(store.gathered(&gathered).await?.len())).await, "gathered", 0);
    all_well(torn(&proxy, async || Ok(store.runs(&runs).await?.runs.len())).await, "runs", 1);
    all_well(torn(&proxy, async || Ok(store.queues().await?.len())).await, "queues", 1);
    all_well(torn(&proxy, async || Ok(store.jobs(&jobs).await?.len())).await, "jobs", 1);
    all_well(torn(&proxy, async || Ok(store.jobs(&of_run).await?.len())).await, "jobs of a run", 1);
}

#[tokio::test]
async fn a_turn_whose_reply_is_torn_is_unknown_and_then_answered() {
    let (_server, proxy, store) = behind_a_proxy().await;
    let mut one = Peer::new("one");
    let mut number = 0;
    // The connection of the turns is there before it is cut.
    one.turn(&store, Vec::new(), &[]).await;
    let results = torn(&proxy, async || {
        number += 1;
        let run = format!("r{number}");
        until_there(async || store.start(&start(&run, json!(1))).await).await;
        let turn = one.next(Vec::new(), &[("a", 1)]);
        let first = store.turn(&turn).await;
        let mut leases = until_there(async || store.turn(&turn).await).await.leases;
        assert_eq!(leases.len(), 1, "the lease is lost");
        let lease = leases.remove(0);
        let turn = one.next(vec![done(&lease, None)], &[]);
        let second = store.turn(&turn).await;
        let answers = until_there(async || store.turn(&turn).await).await.answers;
        assert!(matches!(answers[..], [nq_core::store::Answer::Committed { .. }]), "{answers:?}");
        first.and(second)
    })
    .await;
    well_or_unknown(&results);
    assert!(results.iter().any(Result::is_err), "no turn was torn");
}

#[tokio::test]
async fn what_is_done_from_outside_is_unknown_and_then_done_once() {
    let (_server, proxy, store) = behind_a_proxy().await;
    let mut number = 0;
    let starts = torn(&proxy, async || {
        number += 1;
        let start = start(&format!("r{number}"), json!(1));
        let first = store.start(&start).await;
        // Of one that is unknown, the next may be the first.
        let again = until_there(async || store.start(&start).await).await;
        assert!(first.is_err() || again == Started::Existing, "{again:?}");
        assert_eq!(until_there(async || store.start(&start).await).await, Started::Existing);
        first
    })
    .await;
    well_or_unknown(&starts);
    let cancel = Act::Cancel { reason: "no".into() };
    let acts = torn(&proxy, async || {
        number += 1;
        let run = format!("r{number}");
        until_there(async || store.start(&start(&run, json!(1))).await).await;
        let first = store.act(&run_id(&run), &cancel).await;
        let again = until_there(async || store.act(&run_id(&run), &cancel).await).await;
        assert!(first.is_err() || again == Acted::Nothing, "{again:?}");
        assert_eq!(until_there(async || store.act(&run_id(&run), &cancel).await).await, Acted::Nothing);
        first
    })
    .await;
    well_or_unknown(&acts);
    store.start(&start("r", json!(1))).await.unwrap();
    let lease = Peer::new("one").turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
    let line = LogLine {
        step: lease.step.clone(),
        attempt: 1,
        entry: NewEntry::new(EntryType::LogInfo, json!({ "message": "x" })),
    };
    well_or_unknown(
        &torn(&proxy, async || store.append(&lease.run, std::slice::from_ref(&line)).await).await,
    );
    well_or_unknown(&torn(&proxy, async || store.pause(&queue("b"), true).await).await);
    let other = nq_core::id::InstanceId::new("other").unwrap();
    well_or_unknown(&torn(&proxy, async || store.leave(&other).await).await);
    well_or_unknown(&torn(&proxy, async || store.tick(&tick()).await).await);
}

#[tokio::test]
async fn a_torn_wait_or_offer_is_a_wait() {
    let (_server, proxy, store) = behind_a_proxy().await;
    let most = Duration::from_millis(30);
    store.start(&start("r", json!(1))).await.unwrap();
    for interest in [
        Interest::Run { run: run_id("r"), after: 1 },
        Interest::End { run: run_id("r") },
        Interest::Queues(vec![queue("b")]),
    ] {
        for cut in 0..120 {
            proxy.cut_after(cut);
            store.wait(&interest, most).await.unwrap();
            proxy.disarm();
        }
    }
    let mut one = Peer::new("one");
    let given: Arc<Mutex<Vec<Lease>>> = Arc::default();
    let taken = given.clone();
    let take: Take = Arc::new(move |lease| taken.lock().unwrap().push(lease));
    let offer = Offer { instance: one.id.clone(), queues: vec![queue("a")], lease_ms: 60_000, turn: 0 };
    let other = open(&proxy.url("")).await;
    let mut runs = vec![run_id("r")];
    // Each job is given by an offer, or comes with the turn that follows it; none is lost.
    for cut in (0..400).step_by(5) {
        let run = format!("r{cut}");
        runs.push(run_id(&run));
        proxy.cut_after(cut);
        let offer = Offer { turn: one.number, ..offer.clone() };
        let offered = store.offer(&offer, &take, most);
        let start = start(&run, json!(1));
        let started = until_there(async || other.start(&start).await);
        let (offered, _) = futures_util::future::join(offered, started).await;
        well_or_unavailable(offered);
        proxy.disarm();
        let mut writes: Vec<_> = given.lock().unwrap().drain(..).map(|lease| done(&lease, None)).collect();
        loop {
            let reply = one.turn(&store, std::mem::take(&mut writes), &[("a", 9)]).await;
            writes = reply.leases.iter().map(|lease| done(lease, None)).collect();
            if writes.is_empty() {
                break;
            }
        }
    }
    for run in &runs {
        assert!(store.run(run).await.unwrap().unwrap().status.is_terminal(), "{run} is lost");
    }
}

fn well_or_unavailable(result: Result<(), StoreError>) {
    if let Err(error) = result {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}: {:?}", error.source());
    }
}

#[tokio::test]
async fn opening_through_a_torn_connection_is_unknown() {
    let (_server, proxy, _store) = behind_a_proxy().await;
    let mut opened = 0;
    for cut in (0..600).step_by(7).chain((600..12_000).step_by(211)) {
        proxy.cut_after(cut);
        match RedisStore::open(&proxy.url("")).await {
            Ok(_) => opened += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}: {:?}", error.source()),
        }
        proxy.disarm();
    }
    assert!(opened > 0, "it was never opened");
}

#[tokio::test]
async fn work_goes_on_while_replies_are_torn() {
    let (_server, proxy, store) = behind_a_proxy().await;
    let runs: Vec<_> = (0..60).map(|run| run_id(&format!("r{run}"))).collect();
    for run in &runs {
        until_there(async || store.start(&start(run.as_str(), json!(1))).await).await;
    }
    let mut one = Peer::new("one");
    let tears = async {
        for cut in (0..).step_by(37) {
            proxy.cut_after(cut % 2_000);
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    };
    tokio::select! {
        () = tears => {},
        () = one.work(&store, &runs) => {},
    }
    proxy.disarm();
    for run in &runs {
        assert_eq!(kinds(&store, run).await, WHOLE);
    }
}

#[tokio::test]
async fn a_port_where_no_redis_speaks_is_no_damage() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let error = RedisStore::open(&format!("redis://127.0.0.1:{port}")).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}
