//! What programs see of outages of Redis: nothing, as long as another connection or node works; lost data is an error.
#![cfg(feature = "redis")]

#[path = "../nq-runtime/tests/support/proxy.rs"]
mod proxy;
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;

use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use nq::{EntryType, Nq};
use nq_core::store::ErrorKind;
use proxy::Proxy;
use redis::{ALWAYS, EVERY_SECOND, RedisCluster, RedisServer};
use tokio::time::Instant;

nq::registry!();

#[nq::event]
struct Count {
    upto: u32,
}

/// Reads, writes and records: `retries = 0`, so one failure is the end of its run.
#[nq::worker(flow = "count", retries = 0)]
async fn count(count: Count, ctx: Ctx<count>) -> nq::Result<u32> {
    for n in 0..count.upto {
        ctx.run("one", async move || Ok::<_, nq::Error>(n)).await?;
        ctx.state().refresh().await?;
        let _: Option<u32> = ctx.state().get("n").await?;
    }
    Ok(count.upto)
}

#[nq::event]
struct Hold {}

#[nq::worker(flow = "hold")]
async fn hold(_: Hold, ctx: Ctx<hold>) -> nq::Result<()> {
    ctx.stopping().await;
    Ok(())
}

async fn started(url: &str) -> Nq {
    nq::open(url).await.unwrap().start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_break_off_are_seen_by_no_step() {
    let server = RedisServer::start(EVERY_SECOND);
    let proxy = Proxy::before(server.port());
    let nq = started(&proxy.url("")).await;
    let client = started(&server.url("")).await;
    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(client.start::<count>(Count { upto: 10 }).await.unwrap());
    }
    client.shutdown().await.unwrap();
    let tears = async {
        for cut in (0..).step_by(41) {
            proxy.cut_after(cut % 1_500);
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    };
    let all = async {
        for run in &runs {
            assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(10));
        }
    };
    tokio::select! {
        () = tears => {},
        () = all => {},
    }
    proxy.disarm();
    nq.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_go_on_while_the_third_is_down() {
    let mut cluster = RedisCluster::start();
    let nq = started(&cluster.url("partitions=6")).await;
    let begin = async |runs: usize| {
        let mut begun = Vec::new();
        for _ in 0..runs {
            begun.push(nq.start::<count>(Count { upto: 2 }).await);
        }
        begun
    };
    for run in begin(12).await {
        run.unwrap().completed().await.unwrap();
    }
    cluster.nodes[1].kill9();
    // The first start may find that the node is gone, and nobody knows whether it has happened. The next starts succeed.
    begin(12).await;
    let began = Instant::now();
    for run in begin(20).await {
        let result = tokio::time::timeout(Duration::from_secs(8), run.unwrap().completed()).await;
        assert_eq!(result.expect("it goes on").unwrap().result::<u32>().unwrap(), Some(2));
    }
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    cluster.nodes[1].restart();
    // A start takes another node while this one is not ready; the list of queues needs all of them.
    let back = async { while begin(20).await.iter().any(Result::is_err) || nq.queues().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), back).await.expect("the node is back");
    nq.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_that_the_store_has_lost_is_an_error_and_not_a_wait() {
    let mut server = RedisServer::start(ALWAYS);
    let nq = started(&server.url("")).await;
    let run = nq.start::<hold>(Hold {}).await.unwrap();
    let mut timeline = run.timeline();
    while timeline.next().await.unwrap().unwrap().kind != EntryType::StepStarted {}
    let kept = server.keep();
    // An act is not sent again by itself when the server restarts under it.
    while run.cancel("enough").await.is_err() {}
    while timeline.next().await.unwrap().unwrap().kind != EntryType::FlowCancelled {}
    server.set_back(&kept);
    let next = tokio::time::timeout(Duration::from_secs(20), timeline.next()).await.expect("it waits");
    let error = next.expect("it ends without a word").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
}
