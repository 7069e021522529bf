//! Namespaces of an older format, and what a newer version has written into one of this.

use nq_core::id::Name;
use nq_core::store::{Acted, Answer, ErrorKind, JobsQuery, Lease, Queries, RunsQuery, Store};
use nq_core::transaction::{Act, GatherSpec, Outcome, Transaction};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, done, open, run_id, spec, start, tick};
use super::server::{EVERY_SECOND, RedisServer};

/// What format 1 has of a run whose step `a` is done, whose step `b` is queued and holds the gather `g`, and whose
/// step `c` is in the pages of a large commit.
fn format_1(server: &RedisServer) {
    // Words, set apart by a bar where they hold spaces themselves.
    let commands = [
        "SET nq:partitions 1",
        "HSET nq:meta version 1 partitions 1 epoch old keepCompleted 1000000000 keepFailed 1000000000",
        r#"XADD|nq:flow:r|1000-1|t|flow.started|s||a||d|{"event":"begin","input":1}"#,
        r#"XADD nq:flow:r 1000-2 t flow.step.started s a@1000-1 a 1 d {"instance":"i"}"#,
        r#"XADD nq:flow:r 1000-3 t event.emitted s a@1000-1 a 1 d {"name":"e","payload":"x","op":"1","to":["b"]}"#,
        r#"XADD nq:flow:r 1000-4 t event.emitted s a@1000-1 a 1 d {"name":"e","payload":"y","op":"2","to":["c"]}"#,
        "XADD nq:flow:r 1000-5 t flow.step.completed s a@1000-1 a 1 d {}",
        "HSET nq:run:r status running flow f started 1000000 ms 1000 n 5 pending 2",
        "HSET|nq:run:r|gathers|0 1 0 g\t5 f f/g\n",
        "XGROUP CREATE nq:queue:f/b mark 0 MKSTREAM",
        "SADD nq:queues f/a f/b",
        "XADD nq:queue:f/b 1000000-0 r r s b@1000-3",
        "HSET|nq:run:r|j:b@1000-3|q 0 0 0 0 - 0 1000000-0 -\t5 f f/b g\t1000-3 key",
        "RPUSH|nq:outbox:r|#1000 2|c\t5 f f/c\t2 key",
        "SADD nq:outbox r",
        "ZADD nq:runs:running:f 1000000 r",
        "SADD nq:flows f",
    ];
    for command in commands {
        let apart = if command.contains('|') { '|' } else { ' ' };
        server.command(&command.split(apart).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_namespace_of_format_1_goes_on() {
    let server = RedisServer::start(EVERY_SECOND);
    format_1(&server);
    let store = open(&server.url("")).await;
    assert_eq!(server.command(&["HGET", "nq:meta", "version"]), "2");
    assert_ne!(server.command(&["HGET", "nq:meta", "epoch"]), "old", "instances of the older version end");
    let mut one = Peer::new("one");
    let leases = one.turn(&store, Vec::new(), &[("b", 1)]).await.leases;
    assert_eq!(
        (leases[0].step.to_string().as_str(), &leases[0].inputs[0].payload),
        ("b@1000-3", &json!("x"))
    );
    store.tick(&tick()).await.unwrap();
    let paged = one.turn(&store, Vec::new(), &[("c", 1)]).await.leases;
    assert_eq!((paged[0].step.to_string().as_str(), &paged[0].inputs[0].payload), ("c@1000-4", &json!("y")));
    // What the queued job held is counted, and the gather fires.
    one.turn(&store, vec![done(&leases[0], None)], &[]).await;
    let gather = one.turn(&store, vec![done(&paged[0], None)], &[("g", 1)]).await.leases;
    one.turn(&store, vec![done(&gather[0], None)], &[]).await;
    assert!(store.run(&run_id("r")).await.unwrap().unwrap().status.is_terminal());
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let server = RedisServer::start(EVERY_SECOND);
    drop(open(&server.url("")).await);
    server.command(&["HSET", "nq:meta", "version", "3"]);
    let error = RedisStore::open(&server.url("")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version, "{error}");
    assert!(error.to_string().contains("format 3") && error.to_string().contains("format 2"), "{error}");
}

fn goes_on(lease: &Lease, outcome: Outcome) -> Transaction {
    let tx = Transaction::new(lease.run.clone(), lease.step.clone(), lease.fence, lease.attempt);
    Transaction { outcome, recorded: 1, ..tx }
}

#[tokio::test]
async fn what_a_newer_version_has_written_stays() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut start = start("r", json!(1));
    start.job.holds = vec![Name::new("g").unwrap()];
    start.gathers = vec![GatherSpec { spec: spec("g"), rank: 0 }];
    store.start(&start).await.unwrap();
    let field = format!("j:{}", store.jobs(&JobsQuery::default()).await.unwrap()[0].step);
    let record = server.command(&["HGET", "nq:run:r", &field]);
    let [head, spec, inputs] = record.split('\t').collect::<Vec<_>>().try_into().unwrap();
    let newer = format!("{head} priority=7 labels=\"a%20b\"\t{spec} weight=2\t{inputs}");
    server.command(&["HSET", "nq:run:r", &field, &newer, "more", " team=\"x\"", "later", "y"]);
    let gathers = server.command(&["HGET", "nq:run:r", "gathers"]);
    server.command(&["HSET", "nq:run:r", "gathers", &gathers.replace("g\t", "g window=3\t")]);

    assert_eq!(
        store.run(&start.run).await.unwrap().unwrap().more.get::<String>("team").as_deref(),
        Some("x")
    );
    assert_eq!(store.runs(&RunsQuery::default()).await.unwrap().runs[0].more.words(), " team=\"x\"");
    let kept = || {
        let record = server.command(&["HGET", "nq:run:r", &field]);
        let [head, spec, _] = record.split('\t').collect::<Vec<_>>().try_into().unwrap();
        assert!(head.ends_with(" priority=7 labels=\"a%20b\""), "{record}");
        assert!(spec.ends_with(" hold=g weight=2"), "{record}");
        assert!(server.command(&["HGET", "nq:run:r", "gathers"]).contains(" g window=3\t"));
        assert_eq!(server.command(&["HGET", "nq:run:r", "later"]), "y");
    };
    let mut one = Peer::new("one");
    let lease = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
    kept();
    for outcome in [Outcome::Continue, Outcome::Retry { delay_ms: 0 }] {
        let reply = one.turn(&store, vec![goes_on(&lease, outcome)], &[]).await;
        assert!(matches!(reply.answers[0], Answer::Committed { .. }));
        kept();
    }
    let lease = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0);
    let step = lease.step.clone();
    // The gather goes on without the dead step, so the run does, too.
    server.command(&[
        "HSET",
        "nq:run:r",
        &field,
        &server.command(&["HGET", "nq:run:r", &field]).replace("50 f", "50 c"),
    ]);
    one.turn(&store, vec![goes_on(&lease, Outcome::Fail { error: "no".into() })], &[]).await;
    let redriven = store.act(&start.run, &Act::Redrive { step }).await.unwrap();
    assert_eq!(redriven, Acted::Done);
    let record = server.command(&["HGET", "nq:run:r", &field]);
    // It holds the gather no more, which has fired.
    assert!(record.contains(" priority=7 labels=\"a%20b\"\t50 c f/a weight=2\t"), "{record}");
}
