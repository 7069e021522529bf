//! Measures how soon a step begins after its run was started on an idle system, compared in turns with a bare `XADD` that
//! a blocked `XREADGROUP` gets; and how many runs and plain jobs a second complete, with the CPU time of the server and the
//! commands that each of them takes.
//!
//! Code that has just run runs faster the next time. So the kinds come in an order in which each follows itself and each
//! of the others equally often, after the same pause.

#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis_server;
mod support {
    pub(crate) mod figures;
}

use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use redis::aio::MultiplexedConnection;
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

#[nq::event]
struct Task {
    pad: String,
}

#[nq::worker(flow = "plain", concurrency = 300)]
async fn plain(task: Task) -> nq::Result<()> {
    drop(task.pad);
    Ok(())
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

/// The kinds in either order: a bare pair, a start elsewhere, a start beside the worker.
const ORDER: [usize; 6] = [0, 1, 2, 0, 2, 1];
const ROUNDS: usize = 150;
const PAUSE: Duration = Duration::from_millis(20);

fn pad() -> String {
    "x".repeat(200)
}

#[tokio::main]
async fn main() -> nq::Result<()> {
    let server = RedisServer::start(EVERY_SECOND);
    let (picked, mut picks) = mpsc::unbounded_channel::<Instant>();
    let nq = nq::open(&server.url("")).await?.data(picked).start().await?;
    // Another process, as far as the store can tell: it shares nothing with the first but the server.
    let other = nq::open(&server.url("")).await?.client()?;
    let mut bare = Bare::new(&server).await?;
    let mut times = [const { Vec::new() }; 3];
    for kind in ORDER.into_iter().cycle().take(ORDER.len() * ROUNDS) {
        times[kind].push(if kind == 0 {
            bare.ping().await?
        } else {
            let client: &nq::Client = if kind == 1 { &other } else { &nq };
            sleep(PAUSE).await;
            let begun = Instant::now();
            client.start::<pickup>(Ping { pad: pad() }).await?;
            picks.recv().await.map_or(Duration::MAX, |at| at - begun)
        });
    }
    println!("pickup on an idle system, microseconds from the call to the first line of the handler");
    println!("{:<26} {:>8} {:>8} {:>8} {:>8}", "", "p50", "ratio", "p99", "ratio");
    let bare = [0.5, 0.99].map(|part| percentile_us(&mut times[0], part));
    let names = ["bare XADD, XREADGROUP", "nq, started elsewhere", "nq, started beside it"];
    for (name, times) in names.iter().zip(&mut times) {
        let [p50, p99] = [0.5, 0.99].map(|part| percentile_us(times, part));
        println!("{name:<26} {p50:>8.0} {:>8.2} {p99:>8.0} {:>8.2}", p50 / bare[0], p99 / bare[1]);
    }

    println!("\n{:<26} {:>10} {:>14} {:>10}", "", "a second", "server us each", "commands");
    for (at_a_time, runs) in [(1, 300), (50, 4_000), (256, 8_000)] {
        let run = async || nq::Ok(nq.start::<first>(Ping { pad: pad() }).await?.completed().await?);
        measured(&server, &format!("three-step runs, {at_a_time} at once"), at_a_time, runs, run).await?;
    }
    for (at_a_time, jobs) in [(50, 10_000), (256, 20_000)] {
        let job = async || nq::Ok(nq.start::<plain>(Task { pad: pad() }).await?);
        let name = format!("plain jobs, {at_a_time} at once");
        measured(&server, &name, at_a_time, jobs, job).await?;
    }
    nq.shutdown().await?;
    Ok(())
}

/// Does something so many times, and waits until nothing is left to do. Prints how many times a second, and what each
/// took of the server.
async fn measured<T>(
    server: &RedisServer,
    name: &str,
    at_a_time: usize,
    times: usize,
    once: impl AsyncFn() -> nq::Result<T>,
) -> nq::Result<()> {
    server.command(&["CONFIG", "RESETSTAT"]);
    let (busy_us, begun) = (busy_us(server), Instant::now());
    let done: Vec<_> =
        futures_util::stream::iter(0..times).map(|_| once()).buffer_unordered(at_a_time).collect().await;
    done.into_iter().collect::<nq::Result<Vec<_>>>()?;
    // Who starts plain jobs does not wait for them.
    while !server.command(&["KEYS", "nq:runs:running:*"]).is_empty() {
        sleep(PAUSE).await;
    }
    let rate = times as f64 / begun.elapsed().as_secs_f64();
    let each_us = (self::busy_us(server) - busy_us) / times as f64;
    let stats = server.command(&["INFO", "commandstats"]);
    let calls =
        stats.lines().filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<f64>().ok());
    let commands = calls.sum::<f64>() / times as f64;
    println!("{name:<26} {rate:>10.0} {each_us:>14.1} {commands:>10.1}");
    Ok(())
}

/// The CPU time of the server's main thread so far.
fn busy_us(server: &RedisServer) -> f64 {
    let info = server.command(&["INFO", "cpu"]);
    let fields = info.lines().filter_map(|line| line.split_once(':'));
    let main = fields.filter(|(name, _)| name.ends_with("_main_thread"));
    1e6 * main.filter_map(|(_, seconds)| seconds.trim().parse::<f64>().ok()).sum::<f64>()
}

/// The shortest way through Redis Streams: one adds, the other is blocked in a read and gets it.
struct Bare {
    writer: MultiplexedConnection,
    reader: MultiplexedConnection,
}

impl Bare {
    async fn new(server: &RedisServer) -> nq::Result<Self> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", server.port()))?;
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let mut writer = client.get_multiplexed_async_connection_with_config(&config).await?;
        let reader = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg("bare").arg("g").arg("0").arg("MKSTREAM");
        let _: () = create.query_async(&mut writer).await?;
        Ok(Self { writer, reader })
    }

    async fn ping(&mut self) -> nq::Result<Duration> {
        let Self { writer, reader } = self;
        let read = async {
            let mut read = redis::cmd("XREADGROUP");
            read.arg("GROUP").arg("g").arg("c").arg("COUNT").arg(1).arg("BLOCK").arg(5_000);
            let _: redis::Value = read.arg("STREAMS").arg("bare").arg(">").query_async(reader).await?;
            nq::Ok(Instant::now())
        };
        let write = async {
            // The read blocks by then.
            sleep(PAUSE).await;
            let begun = Instant::now();
            let mut add = redis::cmd("XADD");
            let _: String = add.arg("bare").arg("*").arg("pad").arg(pad()).query_async(writer).await?;
            nq::Ok(begun)
        };
        let (read, begun) = tokio::join!(read, write);
        Ok(read? - begun?)
    }
}
