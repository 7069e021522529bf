//! Several servers, one of which is away: what is on the others goes on.

use std::time::Duration;

use nq_core::id::RunId;
use nq_core::store::{Answer, Lease, Store};
use nq_core::transaction::Transaction;
use nq_runtime::store::redis::RedisStore;
use serde_json::json;
use tokio::time::Instant;

use super::flow::{Peer, done, kinds, open, run_id, start, tick};
use super::proxy::Proxy;
use super::server::{EVERY_SECOND, RedisCluster, RedisServer};

const RUNS: usize = 30;
/// Long before anybody gives up on a node.
const SOON: Duration = Duration::from_secs(4);

async fn leased(store: &RedisStore, one: &mut Peer) -> Vec<Lease> {
    for run in 0..RUNS {
        store.start(&start(&format!("r{run}"), json!(run))).await.unwrap();
    }
    let mut leases = Vec::new();
    while leases.len() < RUNS {
        leases.extend(one.turn(store, Vec::new(), &[("a", RUNS as u32)]).await.leases);
    }
    leases
}

/// Takes a turn with these writes. Those that are to be sent again.
async fn write(store: &RedisStore, one: &mut Peer, writes: Vec<Transaction>) -> Vec<Transaction> {
    let reply = one.turn(store, writes.clone(), &[]).await;
    let mut later = Vec::new();
    for (write, answer) in writes.into_iter().zip(reply.answers) {
        match answer {
            Answer::Committed { .. } => {}
            Answer::Later => later.push(write),
            answer => panic!("{answer:?}"),
        }
    }
    later
}

#[tokio::test]
async fn a_node_that_is_away_holds_up_only_what_it_holds() {
    for killed in [true, false] {
        let mut cluster = RedisCluster::start();
        let store = open(&cluster.url("partitions=6")).await;
        let mut one = Peer::new("one");
        let leases = leased(&store, &mut one).await;
        if killed {
            cluster.nodes[2].kill9();
        } else {
            cluster.nodes[2].freeze(true);
        }
        let writes: Vec<_> = leases.iter().map(|lease| done(lease, None)).collect();
        let begun = Instant::now();
        let later = write(&store, &mut one, writes).await;
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert!(!later.is_empty() && later.len() < RUNS, "{} of {RUNS} wait", later.len());
        // The turns and ticks that follow do not wait for the node at all.
        store.tick(&tick()).await.unwrap();
        let begun = Instant::now();
        let mut later = write(&store, &mut one, later).await;
        assert_eq!(one.turn(&store, Vec::new(), &[("a", 3)]).await.leases, []);
        store.tick(&tick()).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1) || killed, "{:?}", begun.elapsed());
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert!(!later.is_empty());

        if killed {
            cluster.nodes[2].restart();
        } else {
            cluster.nodes[2].freeze(false);
        }
        let begun = Instant::now();
        while !later.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} still wait", later.len());
            later = write(&store, &mut one, later).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for run in (0..RUNS).map(|run| run_id(&format!("r{run}"))) {
            let once = ["flow.started", "flow.step.started", "flow.step.completed", "flow.completed"];
            assert_eq!(kinds(&store, &run).await, once);
        }
    }
}

#[tokio::test]
async fn a_start_that_was_not_sent_says_so() {
    let mut cluster = RedisCluster::start();
    let store = open(&cluster.url("partitions=6")).await;
    cluster.nodes[0].kill9();
    let (mut unsent, mut begun) = (0, 0);
    for run in 0..60 {
        match store.start(&start(&format!("r{run}"), json!(run))).await {
            Ok(_) => begun += 1,
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                unsent += usize::from(error.is_unsent());
            }
        }
    }
    assert!(unsent > 0 && begun > 0, "{unsent} were not sent, {begun} have begun");
}

#[tokio::test]
async fn jobs_of_a_second_part_that_nobody_hears_of_go_back() {
    let server = RedisServer::start(EVERY_SECOND);
    let proxy = Proxy::before(server.port());
    let store = open(&proxy.url("partitions=2")).await;
    let mut one = Peer::new("one");
    one.turn(&store, Vec::new(), &[]).await;
    let runs: Vec<RunId> = (0..40).map(|run| run_id(&format!("r{run}"))).collect();
    for (at, run) in runs.iter().enumerate() {
        store.start(&start(run.as_str(), json!(1))).await.unwrap();
        // The reply to some part of the turn is torn, and nobody asks again.
        let turn = one.next(Vec::new(), &[("a", 1)]);
        proxy.cut_after(20 * at as u64);
        let torn = store.turn(&turn).await;
        proxy.disarm();
        let mut leases = torn.map(|reply| reply.leases).unwrap_or_default();
        // No lease has run out: what comes was handed back, or never leased.
        let begun = Instant::now();
        while leases.is_empty() {
            assert!(begun.elapsed() < SOON, "the job of {run} is lost");
            leases = one.turn(&store, Vec::new(), &[("a", 1)]).await.leases;
        }
        let writes = leases.iter().map(|lease| done(lease, None)).collect();
        let answers = one.turn(&store, writes, &[]).await.answers;
        assert!(matches!(answers[..], [Answer::Committed { .. }]), "{answers:?}");
    }
}
