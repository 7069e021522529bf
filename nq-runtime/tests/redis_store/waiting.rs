//! Who waits hears at once of what another process did.

use std::sync::Arc;
use std::time::Duration;

use nq_core::store::{Interest, Lease, Offer, Queries, Store, Take};
use nq_core::transaction::{Act, Outcome, Renewal, Turn};
use nq_runtime::store::redis::RedisStore;
use serde_json::json;
use tokio::time::Instant;

use super::flow::{Peer, done, open, queue, run_id, start};
use super::server::{EVERY_SECOND, RedisServer};

/// Long enough for any machine, and much shorter than what ends a wait without a hint.
const AT_ONCE: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);

/// Waits for the end of a run while something is done; the wait must end by it.
async fn hears(store: &RedisStore, run: &str, act: impl Future<Output = ()>) {
    let interest = Interest::End { run: run_id(run) };
    let wait = async {
        store.wait(&interest, LONG).await.unwrap();
        Instant::now()
    };
    let act = async {
        // The wait has found nothing, and asks the server by now.
        tokio::time::sleep(Duration::from_millis(100)).await;
        act.await;
        Instant::now()
    };
    let (heard, done) = futures_util::future::join(wait, act).await;
    assert!(heard + Duration::from_millis(20) > done, "it was woken before there was anything");
    assert!(heard < done + AT_ONCE, "the end was not heard of");
    assert!(store.run(&run_id(run)).await.unwrap().is_none_or(|run| run.status.is_terminal()));
}

/// What an offer brings.
async fn brought(store: &RedisStore, offer: &Offer, most: Duration) -> Option<Lease> {
    let (taken, mut brought) = tokio::sync::mpsc::unbounded_channel();
    let take: Take = Arc::new(move |lease| drop(taken.send(lease)));
    store.offer(offer, &take, most).await.unwrap();
    brought.try_recv().ok()
}

#[tokio::test]
async fn whoever_offers_to_take_a_job_is_given_it_by_its_start() {
    let server = RedisServer::start(EVERY_SECOND);
    let (store, other) = (open(&server.url("")).await, open(&server.url("")).await);
    let instance = nq_core::id::InstanceId::new("one").unwrap();
    let offer = Offer { instance, queues: vec![queue("a"), queue("b")], lease_ms: 60_000, turn: 0 };
    for (turn, run) in [(0, "r1"), (1, "r2")] {
        let offer = Offer { turn, ..offer.clone() };
        let starts = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            other.start(&start(run, json!(1))).await.unwrap();
        };
        let (lease, ()) = futures_util::future::join(brought(&store, &offer, LONG), starts).await;
        let lease = lease.expect("the start gives the job away, and leaves no ticket");
        assert_eq!((lease.run.as_str(), lease.fence), (run, 1));
        let renewals = vec![Renewal { run: lease.run.clone(), step: lease.step.clone(), fence: lease.fence }];
        let number = turn + 1;
        let (instance, writes, wants) = (offer.instance.clone(), Vec::new(), Vec::new());
        let turn = Turn { writes, renewals, wants, ..Turn::new(instance, number, 60_000) };
        assert!(store.turn(&turn).await.unwrap().leases.is_empty());
    }
    assert_eq!(server.command(&["XLEN", "nq:queue:f/a"]), "0");
    assert_eq!(server.command(&["EXISTS", "nq:given:one"]), "0");
    store.leave(&offer.instance).await.unwrap();
    assert_eq!(server.command(&["EXISTS", "nq:given:one", "nq:offer:one"]), "0");
}

#[tokio::test]
async fn an_input_is_given_up_to_its_limit() {
    let server = RedisServer::start(EVERY_SECOND);
    let store = open(&server.url("")).await;
    let mut one = Peer::new("one");
    let offer = Offer { instance: one.id.clone(), queues: vec![queue("a")], lease_ms: 60_000, turn: 0 };
    let besides = "flow.started - - ".len() + start("r", json!("")).started.data.to_string().len();
    for (bytes, given) in [(65_536, true), (65_537, false)] {
        let input = json!("x".repeat(bytes - besides));
        let start = start(&format!("r{bytes}"), input.clone());
        let offer = Offer { turn: one.number, ..offer.clone() };
        let starts = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            store.start(&start).await.unwrap();
        };
        let (lease, ()) = futures_util::future::join(brought(&store, &offer, LONG), starts).await;
        assert_eq!(lease.is_some(), given, "{bytes}");
        let lease = match lease {
            Some(lease) => lease,
            None => one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.remove(0),
        };
        assert_eq!((&lease.inputs[0].payload, lease.inputs[0].key.as_str()), (&input, ""));
        one.turn(&store, vec![done(&lease, None)], &[]).await;
    }
}

#[tokio::test]
async fn offers_whose_keys_are_damaged_lose_no_job() {
    let server = RedisServer::start(EVERY_SECOND);
    let (store, other) = (open(&server.url("")).await, open(&server.url("")).await);
    let mut one = Peer::new("one");
    let offer = Offer { instance: one.id.clone(), queues: vec![queue("a")], lease_ms: 60_000, turn: 0 };
    let mut tick = super::flow::tick();
    tick.lease_ms = 1_000;
    for (key, run) in [("nq:given:one", "r1"), ("nq:offers:f/a", "r2"), ("nq:offer:one", "r3")] {
        let starts = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.command(&["DEL", key]);
            server.command(&["HSET", key, "of", "another type"]);
            other.start(&start(run, json!(1))).await.unwrap();
        };
        let offer = Offer { turn: one.number, ..offer.clone() };
        let offering = brought(&store, &offer, Duration::from_secs(1));
        let (mut lease, ()) = futures_util::future::join(offering, starts).await;
        let begun = Instant::now();
        while lease.is_none() {
            assert!(begun.elapsed() < 4 * AT_ONCE, "{key}: the job is lost");
            store.tick(&tick).await.unwrap();
            lease = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases.pop();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let lease = lease.unwrap();
        assert_eq!(lease.run.as_str(), run);
        one.turn(&store, vec![done(&lease, None)], &[]).await;
        let timeline = server.command(&["XRANGE", &format!("nq:flow:{run}"), "-", "+"]);
        assert_eq!(timeline.matches("flow.started").count(), 1, "{key}: {timeline}");
        assert_eq!(timeline.matches("flow.completed").count(), 1, "{key}: {timeline}");
        server.command(&["DEL", key]);
    }
    // With all of them damaged, an offer is still a wait, and who leaves may leave.
    for key in ["nq:given:one", "nq:offers:f/a", "nq:offer:one"] {
        server.command(&["HSET", key, "of", "another type"]);
    }
    assert_eq!(brought(&store, &offer, Duration::from_millis(10)).await, None);
    store.leave(&offer.instance).await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_run_is_heard_of_whoever_ends_it() {
    for options in ["", "partitions=4"] {
        let server = RedisServer::start(EVERY_SECOND);
        let (store, other) = (open(&server.url(options)).await, open(&server.url(options)).await);
        let mut one = Peer::new("one");
        for run in ["completed", "failed", "cancelled", "crashed"] {
            store.start(&start(run, json!(1))).await.unwrap();
        }
        let leases = one.turn(&other, Vec::new(), &[("a", 4)]).await.leases;
        let lease = |run: &str| leases.iter().find(|lease| lease.run.as_str() == run).unwrap();

        let write = done(lease("completed"), None);
        hears(&store, "completed", async { drop(one.turn(&other, vec![write], &[]).await) }).await;
        let mut write = done(lease("failed"), None);
        write.outcome = Outcome::Fail { error: "no".into() };
        hears(&store, "failed", async { drop(one.turn(&other, vec![write], &[]).await) }).await;
        hears(&store, "cancelled", async {
            other.act(&run_id("cancelled"), &Act::Cancel { reason: "no".into() }).await.unwrap();
        })
        .await;
        // Nobody needs a hint for what is there already.
        let begun = Instant::now();
        store.wait(&Interest::End { run: run_id("cancelled") }, LONG).await.unwrap();
        assert!(begun.elapsed() < AT_ONCE);
    }
}

#[tokio::test]
async fn the_end_by_a_last_crash_is_heard_of() {
    let server = RedisServer::start(EVERY_SECOND);
    let (store, other) = (open(&server.url("")).await, open(&server.url("")).await);
    let mut start = start("r", json!(1));
    start.job.max_crashes = 1;
    store.start(&start).await.unwrap();
    let mut one = Peer::new("one");
    one.lease_ms = 50;
    assert_eq!(one.turn(&other, Vec::new(), &[("a", 1)]).await.leases.len(), 1);
    let mut tick = super::flow::tick();
    tick.lease_ms = 50;
    hears(&store, "r", async {
        while other.tick(&tick).await.unwrap().expired == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_list_of_ended_runs_stays_short_and_misses_nobody() {
    let server = RedisServer::start(EVERY_SECOND);
    let (store, other) = (open(&server.url("")).await, open(&server.url("")).await);
    store.start(&start("last", json!(1))).await.unwrap();
    let fill = async {
        // More ends than are remembered, before and while someone waits.
        for _ in 0..15 {
            let script =
                "for i = 1, 100 do redis.call('XADD', 'nq:ended', '*', 'r', 'x' .. i, 'r', 'y' .. i) end";
            server.command(&["EVAL", script, "0"]);
        }
        other.act(&run_id("last"), &Act::Cancel { reason: "no".into() }).await.unwrap();
    };
    hears(&store, "last", fill).await;
    let length: u64 = server.command(&["XLEN", "nq:ended"]).parse().unwrap();
    assert!((1_000..1_200).contains(&length), "{length}");
}
