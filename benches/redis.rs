//! How soon a step begins after its run was started on an idle system, beside a bare `XADD` that a blocked
//! `XREADGROUP` gets, in the same run; and how many runs a second go through.

#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis_server;
mod support {
    pub(crate) mod figures;
}

use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use redis_server::{EVERY_SECOND, RedisServer};
use support::figures::percentile_us;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

#[nq::event]
struct Ping {
    pad: String,
}
#[nq::event]
struct Pong {
    pad: String,
}
#[nq::event]
struct Peng {
    pad: String,
}

#[nq::worker(flow = "pickup")]
async fn pickup(_: Ping, picked: Data<mpsc::UnboundedSender<Instant>>) -> nq::Result<()> {
    let _ = picked.send(Instant::now());
    Ok(())
}

#[nq::worker(flow = "chain", emits = [Pong], concurrency = 300)]
async fn first(ping: Ping, ctx: Ctx<first>) -> nq::Result<()> {
    ctx.emit(Pong { pad: ping.pad })?;
    Ok(())
}

#[nq::worker(flow = "chain", subscribes = [Pong], emits = [Peng], concurrency = 300)]
async fn second(pong: Pong, ctx: Ctx<second>) -> nq::Result<()> {
    ctx.emit(Peng { pad: pong.pad })?;
    Ok(())
}

#[nq::worker(flow = "chain", subscribes = [Peng], concurrency = 300)]
async fn third(peng: Peng) -> nq::Result<()> {
    drop(peng.pad);
    Ok(())
}

nq::registry!();

const PINGS: usize = 400;
const PAUSE: Duration = Duration::from_millis(5);

fn pad() -> String {
    "x".repeat(200)
}

#[tokio::main]
async fn main() -> nq::Result<()> {
    let server = RedisServer::start(EVERY_SECOND);
    let mut bare = bare(&server).await?;
    let (picked, mut picks) = mpsc::unbounded_channel::<Instant>();
    let nq = nq::open(&server.url("")).await?.data(picked).start().await?;
    let mut times = Vec::new();
    for _ in 0..PINGS {
        sleep(PAUSE).await;
        let begun = Instant::now();
        nq.start::<pickup>(Ping { pad: pad() }).await?;
        times.extend(picks.recv().await.map(|at| at - begun));
    }
    println!("pickup on an idle system, microseconds from the call to the first line of the handler");
    println!("{:<26} {:>10} {:>10}", "", "p50", "p99");
    let (bare_p50, bare_p99) = (percentile_us(&mut bare, 0.5), percentile_us(&mut bare, 0.99));
    let (p50, p99) = (percentile_us(&mut times, 0.5), percentile_us(&mut times, 0.99));
    println!("{:<26} {bare_p50:>10.0} {bare_p99:>10.0}", "bare XADD, XREADGROUP");
    println!("{:<26} {p50:>10.0} {p99:>10.0}", "nq");
    println!("{:<26} {:>10.2} {:>10.2}\n", "ratio", p50 / bare_p50, p99 / bare_p99);

    println!("{:<26} {:>10} {:>10}", "three-step runs at a time", "runs/s", "steps/s");
    for (at_a_time, runs) in [(1, 300), (50, 4_000), (256, 8_000)] {
        let begun = Instant::now();
        let one = async |_| nq::Ok(nq.start::<first>(Ping { pad: pad() }).await?.completed().await?);
        let done: Vec<_> =
            futures_util::stream::iter(0..runs).map(one).buffer_unordered(at_a_time).collect().await;
        let rate =
            done.into_iter().collect::<nq::Result<Vec<_>>>()?.len() as f64 / begun.elapsed().as_secs_f64();
        println!("{at_a_time:<26} {rate:>10.0} {:>10.0}", rate * 3.0);
    }
    nq.shutdown().await
}

/// The shortest way through Redis Streams: one adds, the other is blocked in a read and gets it.
async fn bare(server: &RedisServer) -> nq::Result<Vec<Duration>> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", server.port()))?;
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let mut writer = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut reader = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut create = redis::cmd("XGROUP");
    create.arg("CREATE").arg("bare").arg("g").arg("0").arg("MKSTREAM");
    let _: () = create.query_async(&mut writer).await?;
    let (picked, mut picks) = mpsc::unbounded_channel::<Instant>();
    let reading = async move {
        for _ in 0..PINGS {
            let mut read = redis::cmd("XREADGROUP");
            read.arg("GROUP").arg("g").arg("c").arg("COUNT").arg(1).arg("BLOCK").arg(5_000);
            let _: redis::Value = read.arg("STREAMS").arg("bare").arg(">").query_async(&mut reader).await?;
            let _ = picked.send(Instant::now());
        }
        nq::Ok(())
    };
    let writing = async {
        let mut times = Vec::new();
        for _ in 0..PINGS {
            sleep(PAUSE).await;
            let begun = Instant::now();
            let mut add = redis::cmd("XADD");
            let _: String = add.arg("bare").arg("*").arg("pad").arg(pad()).query_async(&mut writer).await?;
            times.extend(picks.recv().await.map(|at| at - begun));
        }
        nq::Ok(times)
    };
    let (read, times) = tokio::join!(reading, writing);
    read?;
    times
}
