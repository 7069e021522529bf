//! Reruns whose timeline is written in pages: by several at once, and over what is left of one that never began.

use std::sync::Arc;

use nq_core::entry::{Entry, EntryType};
use nq_core::fork::Fork;
use nq_core::id::{EntryId, RunId, StepId};
use nq_core::more::More;
use nq_core::record::{Input, JobRecord, JobState};
use nq_core::store::{ErrorKind, Queries, Read, RunsQuery, Started, Store};
use nq_core::transaction::Start;
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, open, run_id, spec, start};
use super::server::{EVERY_SECOND, RedisServer};

/// A rerun with so many entries, which runs `c` again.
fn rerun(count: u64) -> Start {
    let id = |n: u64| EntryId { ms: 1_000 + n, n };
    let mut entries: Vec<_> = (1..=count)
        .map(|n| Entry {
            id: id(n),
            kind: EntryType::EventEmitted,
            step: Some("a@1001-1".parse().unwrap()),
            attempt: Some(1),
            data: json!({ "name": "e", "payload": n, "op": "1", "to": [] }),
        })
        .collect();
    let started = start("r~2", json!(1));
    entries[0] = Entry {
        id: id(1),
        kind: EntryType::FlowStarted,
        step: None,
        attempt: None,
        data: started.started.data.clone(),
    };
    let job = JobRecord {
        run: started.run.clone(),
        step: StepId::new(spec("c").worker, id(2)),
        spec: spec("c"),
        inputs: vec![Input { id: id(2), key: "key".into() }],
        state: JobState::Queued,
        fence: 0,
        earlier: 1,
        failures: 0,
        crashes: 0,
        read: Some(1),
        recorded: 0,
        more: More::default(),
    };
    Start { fork: Some(Arc::new(Fork { entries, jobs: vec![job], ..Fork::default() })), ..started }
}

async fn timeline(store: &RedisStore, run: &RunId) -> Vec<Entry> {
    let mut all = Vec::new();
    loop {
        let page = store.read(&Read::after(run.clone(), all.len() as u64)).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// The run has begun as it should, and runs to its end.
async fn whole(server: &RedisServer, store: &RedisStore, start: &Start) {
    let entries = &start.fork.as_ref().unwrap().entries;
    let all = timeline(store, &start.run).await;
    assert_eq!((all.len(), &all[..entries.len()]), (entries.len() + 1, &entries[..]));
    assert_eq!(server.command(&["PTTL", "nq:flow:r~2"]), "-1", "what is there does not expire");
    Peer::new("one").work(store, std::slice::from_ref(&start.run)).await;
}

#[tokio::test]
async fn a_timeline_without_its_run_is_seen_by_nobody_and_expires() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    // The second page cannot be written.
    let mut broken = rerun(600);
    Arc::get_mut(broken.fork.as_mut().unwrap()).unwrap().entries[550].id.ms = 1;
    store.start(&broken).await.unwrap_err();
    assert_eq!(server.command(&["XLEN", "nq:flow:r~2"]), "550");
    let expires: u64 = server.command(&["PTTL", "nq:flow:r~2"]).parse().unwrap();
    assert!((1..=3_600_000).contains(&expires), "{expires}");
    let run = run_id("r~2");
    assert_eq!(store.run(&run).await.unwrap(), None);
    assert_eq!(store.read(&Read::after(run, 0)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(store.runs(&RunsQuery::default()).await.unwrap().runs.is_empty());

    // Another try goes on from there.
    let start = rerun(1_200);
    assert!(matches!(store.start(&start).await.unwrap(), Started::New(_)));
    whole(&server, &store, &start).await;
}

#[tokio::test]
async fn what_is_left_of_another_rerun_of_the_same_id_is_replaced() {
    // Its last entry is another than the one at its position, or there is none at it.
    for (count, last) in [(3, "1004-3"), (3, "999-2"), (3, "5000-9"), (600, "1700-700")] {
        let server = RedisServer::start(EVERY_SECOND);
        let store = open(&server.url("")).await;
        server.command(&["XADD", "nq:flow:r~2", "900-1", "e", "flow.started - - {}"]);
        server.command(&["XADD", "nq:flow:r~2", last, "e", "log.info - - {}"]);
        let start = rerun(count);
        assert!(matches!(store.start(&start).await.unwrap(), Started::New(_)), "{last}");
        whole(&server, &store, &start).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_who_write_one_timeline_write_it_once() {
    let server = RedisServer::start(EVERY_SECOND);
    let (one, two) = (open(&server.url("")).await, open(&server.url("")).await);
    let start = rerun(5_000);
    let (first, second, third) = tokio::join!(one.start(&start), two.start(&start), one.start(&start));
    let began = [first.unwrap(), second.unwrap(), third.unwrap()];
    assert_eq!(began.iter().filter(|began| **began != Started::Existing).count(), 1, "{began:?}");
    whole(&server, &two, &start).await;
    assert_eq!(one.start(&start).await.unwrap(), Started::Existing);
}
