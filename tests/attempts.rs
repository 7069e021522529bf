//! Attempts that end in odd ways: a value of the program panics where nobody expects it, or the runtime is shut down.
//! The engine learns of each such end, the place becomes free, and the work goes on.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod every_store;
    pub(crate) mod sound;
}

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use nq::store::memory::MemoryStore;
use nq::store::{JobState, JobsQuery};
use nq::testing::{Faulty, Plan};
use nq::{Builder, EntryType, Run, RunError};
use serde::{Serialize, Serializer};
use support::every_store::on_every_store;
use support::sound::sound;
use tokio::runtime::Runtime;

nq::registry!();

/// Where the worker panics.
#[nq::event]
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bad {
    DisplayPanics,
    DisplayFails,
    ErrorDrop,
    PayloadDrop,
    FutureDrop,
    RuntimeDrop,
    ResultSerialize,
    StateSerialize,
    Nothing,
}

/// An error that cannot be printed, or not be dropped.
#[derive(Debug)]
struct Unprintable(Bad);

impl fmt::Display for Unprintable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Bad::DisplayPanics => panic!("no words"),
            Bad::DisplayFails => Err(fmt::Error),
            _ => f.write_str("a heavy error"),
        }
    }
}

impl std::error::Error for Unprintable {}

impl Drop for Unprintable {
    fn drop(&mut self) {
        assert!(self.0 != Bad::ErrorDrop, "cannot let go of the error");
    }
}

/// A value that cannot be dropped.
struct Sticky(&'static str);

impl Drop for Sticky {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "cannot let go of {}", self.0);
    }
}

/// A value that cannot be written.
struct Unwritable(bool);

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.0, "cannot be written");
        serializer.serialize_unit()
    }
}

#[nq::worker(flow = "bad", retries = 0, concurrency = 1, timeout = "200ms")]
async fn bad(bad: Bad, ctx: Ctx<bad>) -> Result<Unwritable, Unprintable> {
    match bad {
        Bad::DisplayPanics | Bad::DisplayFails | Bad::ErrorDrop => return Err(Unprintable(bad)),
        Bad::PayloadDrop => std::panic::panic_any(Sticky("the payload")),
        Bad::FutureDrop => {
            let _sticky = Sticky("the future");
            std::future::pending::<()>().await;
        }
        Bad::RuntimeDrop => {
            let _runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            std::future::pending::<()>().await;
        }
        Bad::StateSerialize => ctx.state().set("k", &Unwritable(true)).unwrap(),
        Bad::ResultSerialize | Bad::Nothing => {}
    }
    Ok(Unwritable(bad == Bad::ResultSerialize))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_panics_fails_its_step_and_says_so() {
    on_every_store(
        |builder| builder,
        async |nq| {
            for (bad_event, says) in [
                (Bad::DisplayPanics, "its `Display` panicked: no words"),
                (Bad::DisplayFails, "its `Display`"),
                (
                    Bad::ErrorDrop,
                    "a heavy error (and it panicked when it was dropped: cannot let go of the error",
                ),
                (Bad::PayloadDrop, "the worker panicked: without a message"),
                (
                    Bad::FutureDrop,
                    "timed out after 200ms; its future panicked when it was dropped: cannot let go",
                ),
                (
                    Bad::RuntimeDrop,
                    "timed out after 200ms; its future panicked when it was dropped: Cannot drop",
                ),
                (Bad::ResultSerialize, "the worker panicked: cannot be written"),
                (Bad::StateSerialize, "the worker panicked: cannot be written"),
            ] {
                let run = nq.start::<bad>(bad_event).await.unwrap();
                let ended = tokio::time::timeout(Duration::from_secs(20), run.completed()).await;
                match ended.unwrap_or_else(|_| panic!("nothing was told that should say: {says}")) {
                    Err(RunError::Failed { error, .. }) => {
                        assert!(error.contains(says), "{error}\n{says}");
                        // A panic in the act says where it happened. One act fails, and another panics inside of the library.
                        let here = !matches!(bad_event, Bad::DisplayFails | Bad::RuntimeDrop);
                        assert_eq!(error.contains(", at tests/attempts.rs:"), here, "{error}");
                    }
                    other => panic!("{other:?}"),
                }
                sound(&run).await;
                // The worker runs one step at a time, and its place is free again.
                let next = nq.start::<bad>(Bad::Nothing).await.unwrap();
                tokio::time::timeout(Duration::from_secs(20), next.completed()).await.unwrap().unwrap();
            }
        },
    )
    .await;
}

#[nq::event]
struct Begin {}

static GO: AtomicBool = AtomicBool::new(false);

#[nq::worker(flow = "outlives")]
async fn outlives(_: Begin) -> nq::Result<()> {
    if !GO.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn begun(run: &Run) {
    let mut timeline = run.timeline();
    while timeline.next().await.unwrap().unwrap().kind != EntryType::StepStarted {}
}

fn a_runtime_goes_under(url: &str) {
    GO.store(false, Ordering::SeqCst);
    let (runtime, gone) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let store = runtime.block_on(nq::store::open(url)).unwrap();
    let nq = gone.block_on(Builder::new(store.clone()).start()).unwrap();
    let idle = gone.block_on(Builder::new(Arc::new(MemoryStore::new())).start()).unwrap();
    let run = runtime.block_on(async {
        let run = nq.start::<outlives>(Begin {}).await.unwrap();
        begun(&run).await;
        run
    });
    drop(gone);
    runtime.block_on(async {
        for instance in [nq, idle] {
            let ended = tokio::time::timeout(Duration::from_secs(20), instance.stopped()).await;
            let error = ended.expect("the instance stops by itself").unwrap_err();
            assert!(error.to_string().contains("the runtime that the workers"), "{error}");
            assert_eq!(instance.shutdown().await.unwrap_err().to_string(), error.to_string());
        }
        let jobs = store.jobs(&JobsQuery { limit: 10, ..JobsQuery::default() }).await.unwrap();
        assert_eq!((jobs.len(), &jobs[0].state, jobs[0].attempt), (1, &JobState::Queued, 1), "{jobs:?}");
        GO.store(true, Ordering::SeqCst);
        let healthy = Builder::new(store).start().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), run.completed()).await;
        ended.expect("a healthy instance gets the job").unwrap();
        sound(&run).await;
        healthy.shutdown().await.unwrap();
    });
}

#[test]
fn an_instance_whose_runtime_is_gone_hands_back_its_jobs_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    a_runtime_goes_under("memory:");
    a_runtime_goes_under(&format!("sqlite:{}", folder.path().join("gone.db").display()));
    #[cfg(feature = "redis")]
    a_runtime_goes_under(&redis::RedisServer::start(redis::EVERY_SECOND).url(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_is_an_error_of_those_who_wait_for_it() {
    let store = Arc::new(Faulty::new(MemoryStore::new(), Plan::Healthy));
    let nq = Builder::new(store.clone()).start().await.unwrap();
    let run = nq.start::<outlives>(Begin {}).await.unwrap();
    begun(&run).await;
    store.follow(Plan::Panics);
    let error = nq.stopped().await.unwrap_err();
    assert!(error.to_string().contains("panics on purpose"), "{error}");
    assert_eq!(nq.shutdown().await.unwrap_err().to_string(), error.to_string());
}

/// A value of the program that its own runtime owns, and that panics where it must not be dropped.
struct Owner {
    _runtime: Runtime,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_must_not_be_dropped_in_a_runtime_does_not_end_the_engine() {
    on_every_store(
        |builder| builder.data(Owner { _runtime: Runtime::new().unwrap() }),
        async |nq| {
            nq.start::<bad>(Bad::Nothing).await.unwrap().completed().await.unwrap();
        },
    )
    .await;
}

#[nq::event]
struct Flood {
    lines: u64,
}

#[nq::worker(flow = "flood", concurrency = 1)]
async fn flood(flood: Flood) -> nq::Result<()> {
    for n in 0..flood.lines {
        tracing::info!(n, "a line");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_floods_its_log_is_told_how_much_of_it_is_missing() {
    on_every_store(
        |builder| builder,
        async |nq| {
            let lines = 100_000;
            let run = nq.start::<flood>(Flood { lines }).await.unwrap();
            run.completed().await.unwrap();
            let kept = run.entries(vec![EntryType::LogInfo]).await.unwrap().len() as u64;
            let said = run.entries(vec![EntryType::LogWarn]).await.unwrap();
            let dropped = said.iter().map(|entry| {
                let message = entry.data["message"].as_str().unwrap();
                let (count, rest) = message.split_once(' ').unwrap();
                assert!(rest.contains("dropped"), "{message}");
                count.parse::<u64>().unwrap()
            });
            assert_eq!(kept + dropped.sum::<u64>(), lines, "each line is there or counted");
            assert!((1..lines / 2).contains(&kept), "{kept} lines are kept");
            sound(&run).await;
        },
    )
    .await;
}
