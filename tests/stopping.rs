//! How instances and runs stop, and what a worker that blocks its thread can and cannot hold up.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod every_store;
    pub(crate) mod sound;
    pub(crate) mod stores;
}

use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use nq::{Client, EntryType, Nq, RunError};
use support::every_store::on_every_store;
use support::sound::sound;
use support::stores::on_each_store;
use tokio::sync::Notify;

nq::registry!();

#[nq::event]
struct Begin {
    n: u32,
}

#[nq::worker(flow = "slow", concurrency = 2)]
async fn slow(begin: Begin, ctx: Ctx<slow>) -> nq::Result<bool> {
    match begin.n {
        0 => ctx.stopping().await,
        2 => std::future::pending().await,
        _ => {}
    }
    Ok(ctx.is_stopping())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_tells_its_steps_and_takes_nothing_more() {
    on_each_store(
        |builder| builder.lease(Duration::from_millis(600)),
        async |nq| {
            let run = nq.start::<slow>(Begin { n: 0 }).await.unwrap();
            let mut timeline = run.timeline();
            while timeline.next().await.unwrap().unwrap().kind != EntryType::StepStarted {}
            assert!(run.cancel("not needed").await.unwrap());
            assert!(!run.cancel("twice").await.unwrap());
            let error = run.completed().await.unwrap_err();
            assert!(
                matches!(&error, RunError::Cancelled { reason, .. } if reason == "not needed"),
                "{error}"
            );
            // The place of the step becomes free: two other steps run at a time.
            for _ in 0..2 {
                nq.start::<slow>(Begin { n: 1 }).await.unwrap().completed().await.unwrap();
            }
            sound(&run).await;
        },
    )
    .await;
}

/// Fires when a step of `watched` is told to stop.
static TOLD: Notify = Notify::const_new();
/// Fires when a task that has outlived its step is told to stop.
static OUTLIVED: Notify = Notify::const_new();

#[nq::worker(flow = "watched")]
async fn watched(begin: Begin, ctx: Ctx<watched>) -> nq::Result<()> {
    if begin.n == 0 {
        ctx.stopping().await;
        TOLD.notify_one();
    } else {
        let (ctx, runtime) = (ctx.clone(), tokio::runtime::Handle::current());
        runtime.spawn(async move {
            ctx.stopping().await;
            OUTLIVED.notify_one();
        });
    }
    Ok(())
}

/// Cancels the run of a step that runs, and expects the step to be told within this time.
async fn tells_within(nq: &Nq, client: &Client, most: Duration) {
    let run = nq.start::<watched>(Begin { n: 0 }).await.unwrap();
    let mut timeline = run.timeline();
    while timeline.next().await.unwrap().unwrap().kind != EntryType::StepStarted {}
    assert!(client.run(run.id()).unwrap().cancel("not needed").await.unwrap());
    tokio::time::timeout(most, TOLD.notified()).await.expect("the step is told in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_its_steps_at_once_or_within_two_seconds() {
    // The instance has the usual lease, which it renews after ten seconds; a loaded machine may need longer.
    on_every_store(
        |builder| builder,
        async |nq| {
            tells_within(nq, nq, Duration::from_millis(700)).await;
            let elsewhere = nq::Builder::new(nq.store().clone()).client().unwrap();
            tells_within(nq, &elsewhere, Duration::from_millis(2_500)).await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_its_step_is_told_to_stop() {
    on_every_store(
        |builder| builder,
        async |nq| {
            nq.start::<watched>(Begin { n: 1 }).await.unwrap().completed().await.unwrap();
            tokio::time::timeout(Duration::from_secs(20), OUTLIVED.notified()).await.expect("it is told");
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_steps_finish_and_hands_back_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("stop.db").display());
    let nq = nq::open(&url).await.unwrap().grace(Duration::from_secs(10)).start().await.unwrap();
    let finishes = nq.start::<slow>(Begin { n: 0 }).await.unwrap();
    let mut timeline = finishes.timeline();
    while timeline.next().await.unwrap().unwrap().kind != EntryType::StepStarted {}
    nq.shutdown().await.unwrap();
    let client = nq::open(&url).await.unwrap().client().unwrap();
    let finishes = client.run(finishes.id().as_str()).unwrap();
    assert_eq!(finishes.completed().await.unwrap().result::<bool>().unwrap(), Some(true));

    let nq = nq::open(&url).await.unwrap().grace(Duration::ZERO).start().await.unwrap();
    let hangs = nq.start::<slow>(Begin { n: 2 }).await.unwrap();
    let mut timeline = hangs.timeline();
    while timeline.next().await.unwrap().unwrap().kind != EntryType::StepStarted {}
    nq.shutdown().await.unwrap();
    let jobs = client.jobs(&nq::store::JobsQuery { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!((&jobs[0].state, jobs[0].attempt), (&nq::store::JobState::Queued, 1), "nothing was counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_worker_that_blocks_its_thread() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("stuck.db").display());
    let nq = nq::open(&url).await.unwrap().grace(Duration::ZERO).start().await.unwrap();
    let run = nq.start::<blocks>(Begin { n: 5_000 }).await.unwrap();
    let mut timeline = run.timeline();
    while timeline.next().await.unwrap().unwrap().kind != EntryType::StepStarted {}
    nq.shutdown().await.unwrap();
    let client = nq::open(&url).await.unwrap().client().unwrap();
    let jobs = client.jobs(&nq::store::JobsQuery { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(jobs[0].state, nq::store::JobState::Queued, "handed back while it still blocks");
}

#[nq::worker(flow = "blocking", max_crashes = 1)]
async fn blocks(begin: Begin) -> nq::Result<()> {
    std::thread::sleep(Duration::from_millis(u64::from(begin.n)));
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_worker_that_blocks_its_thread_keeps_its_lease() {
    on_each_store(
        |builder| builder.lease(Duration::from_millis(150)),
        async |nq| {
            let run = nq.start::<blocks>(Begin { n: 700 }).await.unwrap();
            run.completed().await.unwrap();
            assert_eq!(run.entries(vec![EntryType::StepStarted]).await.unwrap().len(), 1, "one attempt");
        },
    )
    .await;
}
