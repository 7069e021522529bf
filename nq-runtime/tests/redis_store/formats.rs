//! What the records of this format look like, what is done with another, and what a newer version has written into one of
//! this.

use nq_core::id::Name;
use nq_core::record::JobState;
use nq_core::store::{Acted, Answer, ErrorKind, JobsQuery, Lease, Queries, RunsQuery, Store};
use nq_core::transaction::{Act, GatherSpec, Outcome, Transaction};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;

use super::flow::{Peer, done, open, run_id, spec, start, tick};
use super::server::{EVERY_SECOND, RedisServer};

/// What format 3 has of two runs. Of `r`, step `a` is done, step `b` is queued and holds the gather `g`, and step `c` is in
/// the pages of a large commit. Of `s`, which had many jobs, one is leased in the third turn of `one`, and one is dead.
fn format_3(server: &RedisServer) {
    // Words, set apart by a bar where they hold spaces themselves.
    let commands = [
        "SET nq:partitions 1",
        "HSET nq:meta version 3 partitions 1 epoch old",
        r#"XADD|nq:flow:r|1000-1|e|flow.started - - {"event":"begin","input":1}"#,
        r#"XADD|nq:flow:r|1000-5|e|flow.step.started a@1000-1 1 {"instance":"i"}|e|event.emitted a@1000-1 1 {"name":"e","payload":"x","op":"1","to":["b"]}|e|event.emitted a@1000-1 1 {"name":"e","payload":"y","op":"2","to":["c"]}|e|flow.step.completed a@1000-1 1 {}"#,
        "SET|nq:run:r|1000 5 2 r f 1000000 team=\"x\"\n\t0 1 0 g window=3\t5 f f/g\nb@1000-3 q 0 0 0 0 - 0 1000000-0 - priority=7\t5 f f/b hold=g weight=2\t1000-3 key\n",
        "XGROUP CREATE nq:queue:f/b mark 0 MKSTREAM",
        "SADD nq:queues f/a f/b",
        "XADD nq:queue:f/b 1000000-0 r r s b@1000-3",
        "RPUSH|nq:backlog:r|#1000 2|c\t5 f f/c\t2 key",
        "SADD nq:backlog r",
        r#"XADD|nq:flow:s|1000-3|e|flow.started - - {"event":"begin","input":2}|e|flow.step.started a@1000-1 1 {"instance":"one"}|e|log.info - - {}"#,
        "SET|nq:run:s|1000 3 1 rs f 1000001\n",
        "HSET|nq:jobs:s|a@1000-1|l 1 0 0 0 1 0 9999999999999 one#3\t5 f f/a\t1000-1 -|z@1000-1|x 1 0 1 0 1 0 1000 -\t5 c f/z\t1000-1 -\t\"no\"",
        "ZADD|nq:dead:f/z|1000|s z@1000-1",
        "HSET|nq:lane:one|n|3|at|1000|a||r||3|9999999999999\ns a@1000-1 1 1000-0|3:left|1",
        "ZADD nq:leases 9999999999999 one",
        "ZADD nq:runs:running:f 1000000 r 1000001 s",
        "SADD nq:flows f",
    ];
    for command in commands {
        let apart = if command.contains('|') { '|' } else { ' ' };
        server.command(&command.split(apart).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn records_of_format_3_are_read_and_go_on() {
    let server = RedisServer::start(EVERY_SECOND);
    format_3(&server);
    let store = open(&server.url("")).await;
    let run = store.run(&run_id("r")).await.unwrap().unwrap();
    assert_eq!((run.last.n, run.pending, run.more.words().as_str()), (5, 2, " team=\"x\""));
    let jobs = store.jobs(&JobsQuery { run: Some(run_id("s")), ..JobsQuery::default() }).await.unwrap();
    assert!(matches!(&jobs[0].state, JobState::Leased { instance, .. } if instance.as_str() == "one"));
    assert_eq!(jobs[1].state, JobState::Dead { error: "no".into() });
    let leased: Vec<_> = store.queues().await.unwrap().into_iter().map(|queue| queue.leased).collect();
    assert_eq!(leased, [1, 0]);

    let mut one = Peer { number: 3, ..Peer::new("one") };
    let held = Transaction {
        outcome: Outcome::Complete,
        ..Transaction::new(run_id("s"), jobs[0].step.clone(), 1, 1)
    };
    let reply = one.turn(&store, vec![held], &[("b", 1)]).await;
    assert!(matches!(reply.answers[0], Answer::Committed { .. }), "{:?}", reply.answers);
    assert_eq!(server.command(&["HKEYS", "nq:lane:one"]).lines().filter(|field| *field == "3").count(), 0);
    let leases = reply.leases;
    assert_eq!(
        (leases[0].step.to_string().as_str(), &leases[0].inputs[0].payload),
        ("b@1000-3", &json!("x"))
    );
    let record = server.command(&["GET", "nq:run:r"]);
    assert!(record.contains("team=\"x\"\n\t0 1 0 g window=3\t5 f f/g\nb@1000-3 l 1 "), "{record}");
    assert!(record.contains("one#4 priority=7\t5 f f/b hold=g weight=2\t1000-3 key\n"), "{record}");
    store.tick(&tick()).await.unwrap();
    let paged = one.turn(&store, Vec::new(), &[("c", 1)]).await.leases;
    assert_eq!((paged[0].step.to_string().as_str(), &paged[0].inputs[0].payload), ("c@1000-4", &json!("y")));
    // What the queued job held is counted, and the gather fires.
    one.turn(&store, vec![done(&leases[0], None)], &[]).await;
    let gather = one.turn(&store, vec![done(&paged[0], None)], &[("g", 1)]).await.leases;
    one.turn(&store, vec![done(&gather[0], None)], &[]).await;
    for run in ["r", "s"] {
        assert!(store.run(&run_id(run)).await.unwrap().unwrap().status.is_terminal());
    }
}

#[tokio::test]
async fn another_format_is_refused_with_what_to_do() {
    let server = RedisServer::start(EVERY_SECOND);
    drop(open(&server.url("")).await);
    for format in ["2", "4"] {
        server.command(&["HSET", "nq:meta", "version", format]);
        let error = RedisStore::open(&server.url("")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Version, "{error}");
        for part in [&format!("format {format}"), "format 3", "namespace=NAME"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
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
    let record = || server.command(&["GET", "nq:run:r"]);
    let write = |record: &str| server.command(&["SET", "nq:run:r", record]);
    let newer = record();
    let [head, gather, job] = newer.lines().collect::<Vec<_>>().try_into().unwrap();
    let [words, spec, inputs] = job.split('\t').collect::<Vec<_>>().try_into().unwrap();
    let job = format!("{words} priority=7 labels=\"a%20b\"\t{spec} weight=2\t{inputs}");
    write(&format!("{head} team=\"x\"\n{}\n{job}\n", gather.replace("g\t", "g window=3\t")));

    assert_eq!(
        store.run(&start.run).await.unwrap().unwrap().more.get::<String>("team").as_deref(),
        Some("x")
    );
    assert_eq!(store.runs(&RunsQuery::default()).await.unwrap().runs[0].more.words(), " team=\"x\"");
    let kept = || {
        let record = record();
        let [head, gather, job] = record.lines().collect::<Vec<_>>().try_into().unwrap();
        let [words, spec, _] = job.split('\t').collect::<Vec<_>>().try_into().unwrap();
        assert!(words.ends_with(" priority=7 labels=\"a%20b\""), "{record}");
        assert!(spec.ends_with(" hold=g weight=2"), "{record}");
        assert!(gather.contains(" g window=3\t") && head.ends_with(" team=\"x\""), "{record}");
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
    write(&record().replace("50 f", "50 c"));
    one.turn(&store, vec![goes_on(&lease, Outcome::Fail { error: "no".into() })], &[]).await;
    let redriven = store.act(&start.run, &Act::Redrive { step }).await.unwrap();
    assert_eq!(redriven, Acted::Done);
    let record = record();
    // It holds the gather no more, which has fired.
    assert!(record.contains(" priority=7 labels=\"a%20b\"\t50 c f/a weight=2\t"), "{record}");
}
