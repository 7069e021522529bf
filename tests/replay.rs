//! What a handler may do inside of `ctx.run`, on a later attempt, and after it has returned; on each store.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod every_store;
}

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use nq::prelude::*;
use nq::{Builder, EntryType, Run, RunError};
use support::every_store::on_every_store;
use tokio::sync::Notify;

nq::registry!();

/// What the test and the worker share.
#[derive(Default)]
struct Probe {
    acts: AtomicU32,
    go: Notify,
    said: Mutex<Vec<String>>,
}

fn probed(builder: Builder) -> Builder {
    builder.data(Arc::new(Probe::default()))
}

async fn failed(run: &Run) -> String {
    match run.completed().await.unwrap_err() {
        RunError::Failed { error, .. } => error,
        other => panic!("{other}"),
    }
}

async fn attempts(run: &Run) -> usize {
    run.entries(vec![EntryType::StepStarted]).await.unwrap().len()
}

#[nq::event]
struct Begin {
    what: String,
}

#[nq::event]
struct Charged {
    n: u32,
}

fn begin(what: &str) -> Begin {
    Begin { what: what.to_owned() }
}

// Operations inside of an act.

#[nq::worker(flow = "inside", emits = [Charged], retries = 3, backoff = fixed("1ms"))]
async fn inside(begin: Begin, ctx: Ctx<inside>, probe: Data<Arc<Probe>>) -> nq::Result<()> {
    let inner = ctx.clone();
    let act = async || {
        probe.acts.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        match begin.what.as_str() {
            "emit" => inner.emit(Charged { n: 1 })?,
            "set" => inner.state().set("k", &1)?,
            "delete" => inner.state().delete("k")?,
            "incr" => inner.state().incr("k", 1)?,
            "refresh" => inner.state().refresh().await?,
            "checkpoint" => inner.checkpoint().await?,
            "run" => inner.run("nested", async || nq::Ok(())).await?,
            "scope" => inner.scope("s").emit(Charged { n: 1 })?,
            "swallowed" | "swallowed, and fails later" => assert!(inner.emit(Charged { n: 1 }).is_err()),
            "state" => assert_eq!(inner.state().get::<u32>("k").await?, None, "reading is no operation"),
            other => panic!("{other}"),
        }
        nq::Ok(())
    };
    let charged = ctx.run("charge", act).await;
    charged.map_err(|error| nq::Error::msg(format!("no luck: {error}")))?;
    if begin.what == "swallowed, and fails later" && ctx.attempt() == 1 {
        return Err(nq::Error::msg("later"));
    }
    Ok(())
}

#[nq::worker(flow = "inside", subscribes = [Charged])]
async fn charged(_charged: Charged) {}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_inside_of_an_act_is_an_error_and_the_act_is_not_done_again() {
    on_every_store(probed, async |nq| {
        for (what, written) in [
            ("emit", "ctx.emit(charged)"),
            ("set", "ctx.state().set(\"k\")"),
            ("delete", "ctx.state().delete(\"k\")"),
            ("incr", "ctx.state().incr(\"k\")"),
            ("refresh", "ctx.state().refresh()"),
            ("checkpoint", "ctx.checkpoint()"),
            ("run", "ctx.run(\"nested\")"),
            ("scope", "ctx.emit(charged)"),
        ] {
            let run = nq.start::<inside>(begin(what)).await.unwrap();
            let error = failed(&run).await;
            let says = format!("`{written}` was called inside of `ctx.run(\"charge\")`");
            assert!(error.contains(&says), "{what}: {error}");
            assert!(error.contains("do it after the `ctx.run`"), "{what}: {error}");
            assert_eq!(attempts(&run).await, 1, "{what}");
        }
        // An act that is recorded is not done again by another attempt.
        for (what, times) in [("swallowed", 1), ("swallowed, and fails later", 2), ("state", 1)] {
            let run = nq.start::<inside>(begin(what)).await.unwrap();
            run.completed().await.unwrap();
            assert_eq!(attempts(&run).await, times, "{what}");
            assert_eq!(run.entries(vec![EntryType::EventEmitted]).await.unwrap().len(), 0);
        }
    })
    .await;
}

#[nq::worker(flow = "beside", emits = [Charged])]
async fn beside(_begin: Begin, ctx: Ctx<beside>) -> nq::Result<()> {
    let (turn, done) = (Notify::new(), Notify::new());
    // The act is under way in each poll in between, and the other branch is polled by the same task.
    let act = ctx.run("charge", async || {
        for _ in 0..3 {
            turn.notify_one();
            done.notified().await;
        }
        nq::Ok(())
    });
    let branch = ctx.scope("branch");
    let other = async {
        for n in 0..3 {
            turn.notified().await;
            branch.emit(Charged { n })?;
            branch.state().incr("k", 1)?;
            branch.run("in the other branch", async || nq::Ok(n)).await?;
            done.notify_one();
        }
        nq::Ok(())
    };
    let spawned = {
        let spawned = ctx.scope("spawned");
        tokio::runtime::Handle::current().spawn(async move { spawned.emit(Charged { n: 9 }) })
    };
    let (act, other) = tokio::join!(act, other);
    act?;
    other?;
    spawned.await??;
    Ok(())
}

#[nq::worker(flow = "beside", subscribes = [Charged])]
async fn seen(_charged: Charged) {}

#[tokio::test(flavor = "multi_thread")]
async fn operations_beside_an_act_that_is_under_way_are_as_good_as_any() {
    on_every_store(probed, async |nq| {
        let run = nq.start::<beside>(begin("")).await.unwrap();
        run.completed().await.unwrap();
        assert_eq!(run.entries(vec![EntryType::EventEmitted]).await.unwrap().len(), 4);
        assert_eq!(run.state().await.unwrap()["k"], 3);
    })
    .await;
}

// Later attempts that do not do what an earlier one recorded.

#[nq::worker(flow = "fewer", retries = 2, backoff = fixed("1ms"))]
async fn fewer(begin: Begin, ctx: Ctx<fewer>) -> nq::Result<u32> {
    let first: u32 = ctx.run("first", async || nq::Ok(1)).await?;
    match (begin.what.as_str(), ctx.attempt()) {
        // The second attempt returns without doing what the first has recorded.
        ("returns", 2..) => return Ok(first),
        // The second attempt fails before it comes to what the first has recorded.
        ("fails earlier", 2) => return Err(nq::Error::msg("earlier")),
        _ => {}
    }
    ctx.state().set("k", &1)?;
    ctx.checkpoint().await?;
    let second: u32 = ctx.run("second", async || nq::Ok(2)).await?;
    if ctx.attempt() == 1 {
        return Err(nq::Error::msg("once more"));
    }
    // What no attempt has recorded is new.
    ctx.run("third", async || nq::Ok(())).await?;
    Ok(first + second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_returns_before_what_is_recorded_is_told() {
    on_every_store(probed, async |nq| {
        let run = nq.start::<fewer>(begin("returns")).await.unwrap();
        let error = failed(&run).await;
        assert!(error.contains("recorded `ctx.state().set(\"k\")` as operation 2 of the step"), "{error}");
        assert_eq!(attempts(&run).await, 3, "newer code may do it: it is retried like any error");
        for what in ["fails earlier", "fails later"] {
            let run = nq.start::<fewer>(begin(what)).await.unwrap();
            assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(3), "{what}");
        }
    })
    .await;
}

// Operations after the end of the attempt.

#[nq::worker(flow = "late", emits = [Charged])]
async fn late(begin: Begin, ctx: Ctx<late>, probe: Data<Arc<Probe>>) -> nq::Result<()> {
    let probe = Arc::clone(&probe);
    let (begun, begins) = tokio::sync::oneshot::channel();
    tokio::runtime::Handle::current().spawn(async move {
        let said = if begin.what == "emit" {
            begun.send(()).unwrap();
            probe.go.notified().await;
            // The log says it once, however often it happens.
            assert!(ctx.emit(Charged { n: 0 }).is_err());
            nq::Error::from(ctx.emit(Charged { n: 1 }).unwrap_err())
        } else {
            // This act begins in time, and ends too late to be recorded.
            let charge = ctx.run("charge", async || {
                probe.go.notified().await;
                nq::Ok(())
            });
            begun.send(()).unwrap();
            nq::Error::from(charge.await.unwrap_err())
        };
        probe.said.lock().unwrap().push(said.report());
    });
    Ok(begins.await?)
}

#[nq::worker(flow = "late", subscribes = [Charged])]
async fn later(_charged: Charged) {}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_after_the_end_is_an_error_and_stands_in_the_timeline() {
    let probe = Arc::new(Probe::default());
    on_every_store(
        |builder| builder.data(probe.clone()),
        async |nq| {
            for what in ["emit", "run"] {
                let run = nq.start::<late>(begin(what)).await.unwrap();
                run.completed().await.unwrap();
                probe.go.notify_one();
                let warned = loop {
                    let warned = run.entries(vec![EntryType::LogWarn]).await.unwrap();
                    if !warned.is_empty() && !probe.said.lock().unwrap().is_empty() {
                        break warned;
                    }
                    tokio::task::yield_now().await;
                };
                assert_eq!(warned.len(), 1, "{warned:?}");
                let message = warned[0].data["message"].as_str().unwrap();
                let written = if what == "emit" { "ctx.emit(charged)" } else { "ctx.run(\"charge\")" };
                let says = format!("`{written}` came after the attempt had ended");
                assert!(message.starts_with(&says), "{message}");
                let said = std::mem::take(&mut *probe.said.lock().unwrap());
                assert_eq!(said.len(), 1);
                assert!(said[0].ends_with("the attempt is over: its handler has returned"), "{said:?}");
                assert_eq!(run.entries(vec![EntryType::EventEmitted]).await.unwrap().len(), 0);
            }
        },
    )
    .await;
}
