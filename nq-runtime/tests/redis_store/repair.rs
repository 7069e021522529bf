//! Keys that go away: what can be made again is, what is lost is said.

use nq_core::store::{Acted, Answer, ErrorKind, JobsQuery, Lease, Queries, RunsQuery, Started, Store};
use nq_core::transaction::{Act, Outcome, Transaction};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, WHOLE, kinds, open, queue, run_id, start, tick, until_there};
use super::server::{EVERY_SECOND, RedisServer};

#[tokio::test]
async fn a_queue_that_was_deleted_gets_its_jobs_back() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let runs: Vec<_> = (0..300).map(|run| run_id(&format!("r{run}"))).collect();
    for run in &runs {
        store.start(&start(run.as_str(), json!(1))).await.unwrap();
    }
    server.command(&["DEL", "nq:queue:f/a"]);
    // The stream is there again, but it is not the one that the tickets went to.
    store.start(&start("late", json!(1))).await.unwrap();
    assert_eq!(store.queues().await.unwrap()[0].queued, 1);
    while store.tick(&tick()).await.unwrap().more {}
    assert_eq!(store.queues().await.unwrap()[0].queued, 301);
    let mut one = Peer::new("one");
    one.work(&store, &runs).await;
    assert_eq!(kinds(&store, &runs[0]).await, WHOLE);
}

#[tokio::test]
async fn a_start_is_whole_whatever_has_become_of_its_queue() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    server.command(&["HSET", "nq:queue:f/a", "of", "another type"]);
    let start = start("r", json!(1));
    assert!(matches!(store.start(&start).await.unwrap(), Started::New(_)));
    assert_eq!(store.start(&start).await.unwrap(), Started::Existing);
    assert_eq!(kinds(&store, &start.run).await, WHOLE[..1]);
    store.tick(&tick()).await.unwrap();
    server.command(&["DEL", "nq:queue:f/a"]);
    store.tick(&tick()).await.unwrap();
    assert_eq!(server.command(&["XLEN", "nq:queue:f/a"]), "1");
    Peer::new("one").work(&store, std::slice::from_ref(&start.run)).await;
    assert_eq!(kinds(&store, &start.run).await, WHOLE);
}

#[tokio::test]
async fn a_commit_is_whole_whatever_has_become_of_the_queue_of_what_follows() {
    for wanted in [&[][..], &[("b", 1)]] {
        let server = RedisServer::start(EVERY_SECOND);
        let store = open(&server.url("")).await;
        let (run, mut one) = (run_id("r"), Peer::new("one"));
        store.start(&start("r", json!(1))).await.unwrap();
        let lease = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
        server.command(&["DEL", "nq:queue:f/b"]);
        server.command(&["HSET", "nq:queue:f/b", "of", "another type"]);
        let turn = one.next(vec![super::flow::done(&lease, Some("b"))], wanted);
        let reply = store.turn(&turn).await;
        if wanted.is_empty() {
            assert!(matches!(reply.unwrap().answers[0], Answer::Committed { .. }));
        } else {
            assert_eq!(reply.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(kinds(&store, &run).await, WHOLE[..4]);
        assert_eq!(store.run(&run).await.unwrap().unwrap().last.n, 4);
        server.command(&["DEL", "nq:queue:f/b"]);
        store.tick(&tick()).await.unwrap();
        let mut two = Peer::new("two");
        two.work(&store, std::slice::from_ref(&run)).await;
        assert_eq!(kinds(&store, &run).await, WHOLE);
    }
}

#[tokio::test]
async fn a_group_that_was_destroyed_is_made_again_and_nothing_is_queued_twice() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    store.start(&start("r", json!(1))).await.unwrap();
    server.command(&["XGROUP", "DESTROY", "nq:queue:f/a", "mark"]);
    store.tick(&tick()).await.unwrap();
    assert_eq!(server.command(&["XLEN", "nq:queue:f/a"]), "1");
    assert!(server.command(&["XINFO", "GROUPS", "nq:queue:f/a"]).contains("mark"));
}

#[tokio::test]
async fn indexes_and_buckets_that_were_deleted_are_filled_again() {
    let ways: [&[&str]; 3] = [&["DEL", "nq:leases"], &["HDEL", "nq:lane:one", "1"], &["DEL", "nq:lane:one"]];
    for way in ways {
        let server = RedisServer::start(EVERY_SECOND);
        let store = open(&server.url("")).await;
        for run in ["leased", "delayed"] {
            store.start(&start(run, json!(1))).await.unwrap();
        }
        let mut one = Peer::new("one");
        let leases = one.turn(&store, Vec::new(), &[("a", 2)]).await.leases;
        let mut retry = super::flow::done(&leases[1], None);
        retry.outcome = Outcome::Retry { delay_ms: 60_000 };
        one.turn(&store, vec![retry], &[]).await;
        server.command(&["DEL", "nq:delayed:f/a"]);
        server.command(way);
        for _ in 0..2 {
            store.tick(&tick()).await.unwrap();
            let counts = &store.queues().await.unwrap()[0];
            assert_eq!((counts.queued, counts.leased, counts.delayed), (0, 1, 1), "{way:?}");
        }
    }
}

#[tokio::test]
async fn in_health_nothing_is_repaired() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    for run in 0..50 {
        store.start(&start(&format!("r{run}"), json!(1))).await.unwrap();
    }
    Peer::new("one").turn(&store, Vec::new(), &[("a", 10)]).await;
    let before = server.command(&["XINFO", "STREAM", "nq:queue:f/a"]);
    store.tick(&tick()).await.unwrap();
    store.tick(&tick()).await.unwrap();
    assert_eq!(server.command(&["XINFO", "STREAM", "nq:queue:f/a"]), before);
}

#[tokio::test]
async fn a_server_that_was_emptied_stops_those_who_worked_on_it() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut one = Peer::new("one");
    one.turn(&store, Vec::new(), &[("a", 1)]).await;
    server.command(&["FLUSHALL"]);
    let turn = one.next(Vec::new(), &[("a", 1)]);
    assert_eq!(store.turn(&turn).await.unwrap_err().kind(), ErrorKind::Lane);
    let error = store.tick(&tick()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lane);
    assert!(error.to_string().contains("acknowledged work is lost"), "{error}");
}

/// An instance that holds a job of the runs `bad` and `good` each. In the timeline of the first, an entry that its
/// record knows nothing of stands where the next one would.
async fn one_is_damaged(server: &RedisServer, store: &RedisStore) -> (Peer, Vec<Lease>) {
    for run in ["bad", "good"] {
        store.start(&start(run, json!(1))).await.unwrap();
    }
    let mut one = Peer::new("one");
    let leases = one.turn(store, Vec::new(), &[("a", 2)]).await.leases;
    server.command(&["XADD", "nq:flow:bad", "99999999999999-9", "e", "x - - {}"]);
    (one, leases)
}

#[tokio::test]
async fn damaged_keys_of_one_run_do_not_harm_another() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let (mut one, leases) = one_is_damaged(&server, &store).await;
    let writes = leases.iter().map(|lease| super::flow::done(lease, Some("b"))).collect();
    let answers = one.turn(&store, writes, &[]).await.answers;
    assert!(matches!(answers[1], nq_core::store::Answer::Committed { .. }), "{answers:?}");
    assert!(!matches!(answers[0], nq_core::store::Answer::Committed { .. }), "{answers:?}");
    assert_eq!(store.run(&run_id("bad")).await.unwrap().unwrap().last.n, 2);
}

#[tokio::test]
async fn a_damaged_run_whose_job_comes_back_holds_up_no_other() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let (mut one, leases) = one_is_damaged(&server, &store).await;
    let mut release = super::flow::done(&leases[0], None);
    release.entries.clear();
    release.outcome = Outcome::Release;
    // The turn would lease it again at once.
    let writes = vec![release, super::flow::done(&leases[1], Some("b"))];
    let reply = one.turn(&store, writes, &[("a", 1), ("b", 1)]).await;
    assert!(reply.answers.iter().all(|answer| matches!(answer, Answer::Committed { .. })), "{reply:?}");
    let runs: Vec<_> = reply.leases.iter().map(|lease| lease.run.as_str()).collect();
    assert_eq!(runs, ["good"]);
    assert_eq!(server.command(&["XLEN", "nq:queue:f/b"]), "0");
    // Its job is not lost: it is leased when its timeline is mended.
    server.command(&["XDEL", "nq:flow:bad", "99999999999999-9"]);
    server.command(&[
        "XSETID",
        "nq:flow:bad",
        &store.run(&run_id("bad")).await.unwrap().unwrap().last.to_string(),
    ]);
    store.tick(&tick()).await.unwrap();
    let leases = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases;
    assert_eq!(leases[0].run.as_str(), "bad");
}

#[tokio::test]
async fn a_run_whose_record_is_damaged_stops_no_turn_no_tick_and_no_list() {
    let ways = [
        &["SET", "nq:run:bad", "no record"][..],
        &["SET", "nq:run:bad", "1700000000000 2 1 z f 1700000000000000\n"],
        &[
            "EVAL",
            "redis.call('DEL', KEYS[1]) redis.call('HSET', KEYS[1], 'of', 'another type')",
            "1",
            "nq:run:bad",
        ],
    ];
    for damage in ways {
        let server = RedisServer::start(EVERY_SECOND);
        let store = open(&server.url("")).await;
        let (mut one, mut two) = (Peer::new("one"), Peer::new("two"));
        for run in ["bad", "good"] {
            store.start(&start(run, json!(1))).await.unwrap();
        }
        let turn = one.next(Vec::new(), &[("a", 2)]);
        let leases = store.turn(&turn).await.unwrap().leases;
        assert_eq!(leases.len(), 2);
        server.command(damage);
        let again = store.turn(&turn).await.unwrap().leases;
        assert_eq!(again, leases[1..], "{damage:?}");
        for _ in 0..2 {
            store.tick(&tick()).await.unwrap();
        }
        let page = store.runs(&RunsQuery { limit: 9, ..RunsQuery::default() }).await.unwrap();
        assert_eq!(page.runs.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["good"], "{damage:?}");
        let error = store.run(&run_id("bad")).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("bad")), "{damage:?}");
        let writes = leases.iter().map(|lease| super::flow::done(lease, Some("b"))).collect();
        let answers = one.turn(&store, writes, &[]).await.answers;
        assert!(matches!(answers[..], [Answer::RunGone, Answer::Committed { .. }]), "{answers:?}");
        two.work(&store, &[run_id("good")]).await;
        assert_eq!(kinds(&store, &run_id("good")).await, WHOLE);
    }
}

#[tokio::test]
async fn a_finished_run_leaves_nothing_but_its_names() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let run = run_id("r");
    store.start(&start("r", json!(1))).await.unwrap();
    Peer::new("one").work(&store, std::slice::from_ref(&run)).await;
    store.start(&start("cancelled", json!(1))).await.unwrap();
    until_there(async || store.act(&run_id("cancelled"), &Act::Cancel { reason: "no".into() }).await).await;
    let mut tick = tick();
    (tick.retention.completed_ms, tick.retention.failed_ms) = (Some(0), Some(0));
    assert_eq!(store.tick(&tick).await.unwrap().removed, 2);
    store.leave(&Peer::new("one").id).await.unwrap();
    let keys = server.command(&["KEYS", "*"]);
    let mut keys: Vec<_> = keys.lines().collect();
    keys.sort_unstable();
    // What its steps made was leased where it was made, and needed no queue.
    let queues = ["nq:queue:f/a", "nq:queues"];
    assert_eq!(keys, [&["nq:ended", "nq:flows", "nq:meta", "nq:partitions"][..], &queues[..]].concat());
    assert_eq!(server.command(&["XLEN", "nq:queue:f/a"]), "0");
    let jobs = JobsQuery { queue: Some(queue("a")), limit: 10, ..JobsQuery::default() };
    assert!(store.jobs(&jobs).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redrive_that_the_server_gets_late_gives_no_other_attempts() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut start = start("r", json!(1));
    start.job.on_failure = nq_core::def::OnFailure::Continue;
    // Something else keeps the run from ending.
    store.start(&start).await.unwrap();
    let mut one = Peer::new("one");
    let lease = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
    let mut tx = super::flow::done(&lease, Some("b"));
    tx.entries.pop();
    tx.outcome = Outcome::Continue;
    one.turn(&store, vec![tx], &[]).await;
    let fail = |fence, attempt| {
        let mut tx = Transaction::new(lease.run.clone(), lease.step.clone(), fence, attempt);
        tx.outcome = Outcome::Fail { error: "no".into() };
        tx
    };
    one.turn(&store, vec![fail(lease.fence, 1)], &[]).await;
    let redrive = Act::Redrive { step: lease.step.clone() };
    assert_eq!(store.act(&lease.run, &redrive).await.unwrap(), Acted::Done);
    let again = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
    one.turn(&store, vec![fail(again.fence, 2)], &[]).await;
    // As the first call was, from a connection that was slow.
    let functions = server.command(&["FUNCTION", "LIST"]);
    let act = functions.lines().find(|line| line.ends_with("_act")).unwrap();
    let step = lease.step.to_string();
    let late = |ended: &str| {
        server.command(&["FCALL", act, "1", "nq:meta", "nq:", "r", "0", "redrive", &step, ended])
    };
    assert_eq!(late("1"), "nothing");
    assert_eq!(one.turn(&store, Vec::new(), &[("a", 1)]).await.leases, []);
    assert_eq!(late("2"), "done");
}
