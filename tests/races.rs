//! What a handler races, it races alike on every attempt: results come one at a time, in the order of the timeline.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod every_store;
    pub(crate) mod sound;
}

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nq::EntryType;
use nq::prelude::*;
use support::every_store::on_every_store;
use support::sound::sound;

nq::registry!();

/// How many races one run has.
const ROUNDS: u64 = 4;

#[nq::event]
struct Seed {
    seed: u64,
}

/// What each attempt of a run has seen.
#[derive(Default)]
struct Seen(Mutex<HashMap<String, Vec<Vec<String>>>>);

impl Seen {
    /// Notes what an attempt has seen, as far as it came.
    fn note(&self, run: &str, trace: Vec<String>) {
        self.0.lock().unwrap().entry(run.to_owned()).or_default().push(trace);
    }
}

/// Takes some moments that nobody can foretell.
async fn some_time() -> Result<u64, Infallible> {
    for _ in 0..fastrand::u32(0..4) {
        tokio::task::yield_now().await;
    }
    Ok(fastrand::u64(0..1000))
}

/// Fails twice somewhere, and then completes.
fn fails_here(attempt: u32, round: u64) -> bool {
    attempt < 3 && fastrand::u64(0..ROUNDS) <= round
}

#[nq::worker(flow = "select", backoff = fixed("1ms"))]
async fn select(_: Seed, seen: Data<Seen>, ctx: Ctx<select>) -> nq::Result<()> {
    let mut trace = Vec::new();
    for round in 0..ROUNDS {
        let (x, y) = (ctx.run("x", some_time), ctx.run("y", some_time));
        let got = tokio::select! { v = x => format!("x{}", v?), v = y => format!("y{}", v?) };
        trace.push(got.clone());
        if fails_here(ctx.attempt(), round) {
            seen.note(ctx.run_id().as_str(), trace);
            return Err(nq::Error::msg("again"));
        }
        let after = if got.starts_with('x') { "after x" } else { "after y" };
        trace.push(ctx.run(after, some_time).await?.to_string());
    }
    seen.note(ctx.run_id().as_str(), trace);
    Ok(())
}

#[nq::worker(flow = "unordered", backoff = fixed("1ms"))]
async fn unordered(_: Seed, seen: Data<Seen>, ctx: Ctx<unordered>) -> nq::Result<()> {
    let mut trace = Vec::new();
    for round in 0..ROUNDS {
        let mut all: FuturesUnordered<_> = (0..4)
            .map(|n| ctx.run("one of many", move || async move { some_time().await.map(|v| (n, v)) }))
            .collect();
        while let Some(got) = all.next().await {
            let (n, value) = got?;
            trace.push(format!("{n}={value}"));
            if n == 2 {
                ctx.run("two", some_time).await?;
                ctx.checkpoint().await?;
            }
        }
        if fails_here(ctx.attempt(), round) {
            seen.note(ctx.run_id().as_str(), trace);
            return Err(nq::Error::msg("again"));
        }
    }
    seen.note(ctx.run_id().as_str(), trace);
    Ok(())
}

/// What comes of operations in a task of their own comes to it, too.
#[nq::worker(flow = "spawned", backoff = fixed("1ms"))]
async fn spawned(_: Seed, ctx: Ctx<spawned>) -> nq::Result<u64> {
    let own = ctx.clone();
    #[expect(clippy::disallowed_methods, reason = "what a user may do")]
    let task = tokio::spawn(async move {
        let first = own.run("first", some_time).await?;
        let (left, right) = tokio::join!(own.run("left", some_time), own.run("right", some_time));
        own.checkpoint().await?;
        Ok::<_, nq::Error>(first + left? + right?)
    });
    let sum = task.await??;
    if ctx.attempt() == 1 { Err(nq::Error::msg(sum.to_string())) } else { Ok(sum) }
}

#[tokio::test]
async fn races_go_the_same_way_on_every_attempt() {
    let seen = Arc::new(Seen::default());
    on_every_store(
        |builder| builder.data(seen.clone()),
        async |nq| {
            let mut runs = Vec::new();
            for seed in 0..100 {
                runs.push(nq.start::<select>(Seed { seed }).await.unwrap());
                runs.push(nq.start::<unordered>(Seed { seed }).await.unwrap());
            }
            for run in runs {
                run.completed().await.unwrap();
                sound(&run).await;
                let traces = seen.0.lock().unwrap().remove(run.id().as_str()).unwrap();
                assert!(traces.len() > 1, "an attempt failed");
                for pair in traces.windows(2) {
                    let (before, after) = (&pair[0], &pair[1]);
                    let common = before.len().min(after.len());
                    assert_eq!(before[..common], after[..common], "what one attempt saw, the next sees");
                }
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_task_that_a_handler_spawns_gets_its_results() {
    on_every_store(
        |builder| builder.data(Seen::default()),
        async |nq| {
            let run = nq.start::<spawned>(Seed { seed: 0 }).await.unwrap();
            let sum: u64 = run.completed().await.unwrap().result().unwrap().unwrap();
            let entries = sound(&run).await;
            let again = entries.iter().find(|entry| entry.kind == EntryType::StepRetrying).unwrap();
            assert_eq!(again.data["error"], sum.to_string(), "the second attempt saw what the first had");
        },
    )
    .await;
}
