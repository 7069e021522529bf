//! Durable steps a second of a three-step flow with payloads of 200 bytes, through the whole engine, on
//! `sqlite:` and `memory:`, beside what one synced SQLite commit a step reaches in the same run.

mod support {
    pub(crate) mod figures;
}

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use nq::Builder;
use nq::prelude::*;
use nq::store::sqlite::{SqliteOptions, SqliteStore};
use support::figures::{median, percentile_us};
use tokio::time::Instant;

#[nq::event]
struct Placed {
    pad: String,
}
#[nq::event]
struct Paid {
    pad: String,
}
#[nq::event]
struct Packed {
    pad: String,
}

#[nq::worker(flow = "order", emits = [Paid], concurrency = 300)]
async fn charge(placed: Placed, ctx: Ctx<charge>) -> nq::Result<()> {
    ctx.emit(Paid { pad: placed.pad })?;
    Ok(())
}

#[nq::worker(flow = "order", subscribes = [Paid], emits = [Packed], concurrency = 300)]
async fn pack(paid: Paid, ctx: Ctx<pack>) -> nq::Result<()> {
    ctx.emit(Packed { pad: paid.pad })?;
    Ok(())
}

#[nq::worker(flow = "order", subscribes = [Packed], concurrency = 300)]
async fn ship(packed: Packed) -> nq::Result<()> {
    drop(packed.pad);
    Ok(())
}

nq::registry!();

const STEPS: usize = 3;
const PAD: usize = 200;
const ROUNDS: usize = 3;
/// How many runs are under way at a time, and how many a round has.
const LOADS: [(usize, usize); 3] = [(1, 150), (32, 1_500), (256, 6_000)];

#[tokio::main]
async fn main() -> nq::Result<()> {
    // `cargo bench` says so; there is nothing else to choose.
    let folder = tempfile::tempdir()?;
    println!("three steps a run, payloads of {PAD} bytes, medians of {ROUNDS} rounds\n");
    println!(
        "{:<10} {:>10} {:>12} {:>12} {:>14} {:>12}",
        "store", "runs at", "steps/s", "run p50 ms", "steps/commit", "ratio"
    );
    let single = median(
        (0..ROUNDS).map(|round| single_commits(&folder.path().join(format!("bare-{round}.db")))).collect(),
    );
    println!("{:<10} {:>10} {single:>12.0} {:>12} {:>14.1} {:>12.2}", "bare", "", "", 1.0, 1.0);
    for url in ["sqlite", "memory"] {
        for (at_a_time, runs) in LOADS {
            let mut rounds = Vec::new();
            for round in 0..ROUNDS {
                let path = folder.path().join(format!("{at_a_time}-{round}.db"));
                rounds.push(round_of(url, &path, at_a_time, runs).await?);
            }
            let middle = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
            let (steps, p50, batch) = (middle(|r| r.steps_s), middle(|r| r.p50_ms), middle(|r| r.batch));
            let batch = if url == "sqlite" { format!("{batch:.1}") } else { String::new() };
            println!(
                "{url:<10} {at_a_time:>10} {steps:>12.0} {p50:>12.2} {batch:>14} {:>12.2}",
                steps / single
            );
        }
    }
    println!(
        "\nbare: a loop of SQLite transactions, one for each step, each synced, with the rows that a step needs"
    );
    Ok(())
}

struct Round {
    steps_s: f64,
    p50_ms: f64,
    /// How many steps share one synced transaction.
    batch: f64,
}

async fn round_of(kind: &str, path: &Path, at_a_time: usize, runs: usize) -> nq::Result<Round> {
    let sqlite = match kind {
        "sqlite" => Some(Arc::new(SqliteStore::open(SqliteOptions { path: path.to_owned() }).await?)),
        _ => None,
    };
    let builder = match &sqlite {
        Some(store) => Builder::new(store.clone()),
        None => nq::open("memory:").await?,
    };
    let nq = builder.start().await?;
    let commits = || sqlite.as_ref().map_or(0, |store| store.commits());
    let (before, start) = (commits(), Instant::now());
    let one = async |_| {
        let begun = Instant::now();
        let run = nq.start::<charge>(Placed { pad: "x".repeat(PAD) }).await?;
        run.completed().await?;
        nq::Ok(begun.elapsed())
    };
    let times: Vec<_> =
        futures_util::stream::iter(0..runs).map(one).buffer_unordered(at_a_time).collect().await;
    let took = start.elapsed().as_secs_f64();
    let mut times = times.into_iter().collect::<nq::Result<Vec<_>>>()?;
    let steps = (runs * STEPS) as f64;
    let batch = steps / (commits() - before).max(1) as f64;
    nq.shutdown().await?;
    Ok(Round { steps_s: steps / took, p50_ms: percentile_us(&mut times, 0.5) / 1e3, batch })
}

/// A job queue without group commit: a transaction for each step.
fn single_commits(path: &Path) -> f64 {
    const COMMITS: u32 = 3_000;
    let db = rusqlite::Connection::open(path).expect("a database");
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE entries(run INTEGER, n INTEGER, data TEXT, PRIMARY KEY(run, n)) WITHOUT ROWID;
         CREATE TABLE jobs(run INTEGER, step TEXT, data TEXT, PRIMARY KEY(run, step)) WITHOUT ROWID;
         CREATE TABLE runs(run INTEGER PRIMARY KEY, data TEXT);",
    )
    .expect("tables");
    let pad = "x".repeat(300);
    let begun = Instant::now();
    for n in 0..COMMITS {
        let run = n / 3;
        let rows = || -> rusqlite::Result<()> {
            db.execute_batch("BEGIN IMMEDIATE")?;
            for entry in 0..3 {
                let sql = "INSERT INTO entries VALUES (?, ?, ?)";
                db.prepare_cached(sql)?.execute((run, n * 3 + entry, &pad))?;
            }
            db.prepare_cached("DELETE FROM jobs WHERE run = ? AND step = ?")?
                .execute((run, n.to_string()))?;
            let next = (n + 1).to_string();
            db.prepare_cached("INSERT INTO jobs VALUES (?, ?, ?)")?.execute((run, next, &pad))?;
            db.prepare_cached("INSERT OR REPLACE INTO runs VALUES (?, ?)")?.execute((run, &pad[..100]))?;
            db.execute_batch("COMMIT")
        };
        rows().expect("a commit");
    }
    f64::from(COMMITS) / begun.elapsed().as_secs_f64()
}
