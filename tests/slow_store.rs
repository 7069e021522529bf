//! Instances on a store that is slow, freezes, or fails at one call after the other.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod sound;
}

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use nq::store::Store;
use nq::store::memory::MemoryStore;
#[cfg(feature = "redis")]
use nq::store::redis::RedisStore;
use nq::store::sqlite::{SqliteOptions, SqliteStore};
use nq::testing::{Fault, Faulty, Plan};
use nq::{Builder, EntryType, InstanceId, Nq, QueueName, Run};
use nq_core::transaction::{Turn, Want};
use support::sound::sound;
use tokio::time::Instant;

nq::registry!();

/// Longer than any call takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

#[nq::event]
struct Begin {
    n: u64,
}

// Load: lanes that always have something to commit, and what must not wait for their end.

static LOADED: AtomicBool = AtomicBool::new(true);
static LANES: AtomicUsize = AtomicUsize::new(0);

#[nq::worker(flow = "load", concurrency = 64)]
async fn load(begin: Begin, ctx: Ctx<load>) -> nq::Result<()> {
    LANES.fetch_add(1, Ordering::SeqCst);
    // Each lane writes at its own pace. If all wrote at once, there would be nothing to write until the turn is over.
    let pace = Duration::from_millis(begin.n % 7);
    while LOADED.load(Ordering::SeqCst) {
        ctx.run("write", || async { nq::Ok(1) }).await?;
        tokio::time::sleep(pace).await;
    }
    Ok(())
}

#[nq::worker(flow = "rare")]
async fn rare(_: Begin) -> nq::Result<()> {
    Ok(())
}

#[nq::worker(flow = "again", retries = 1)]
async fn again(_: Begin, ctx: Ctx<again>) -> nq::Result<()> {
    if ctx.attempt() == 1 {
        return Err(nq::Error::retry_after("once more", Duration::from_millis(100)));
    }
    Ok(())
}

#[nq::worker(flow = "orphan")]
async fn orphan(_: Begin) -> nq::Result<()> {
    Ok(())
}

async fn ends(run: &Run, what: &str) {
    let ended = tokio::time::timeout(PATIENCE, run.completed()).await;
    ended.unwrap_or_else(|_| panic!("{what} waits for the end of the load")).unwrap();
}

async fn load_holds_up_nothing<S: Store + Debug>(store: S) {
    LOADED.store(true, Ordering::SeqCst);
    LANES.store(0, Ordering::SeqCst);
    let store = Arc::new(Faulty::new(store, Plan::Healthy));
    let client = Builder::new(store.clone()).client().unwrap();
    // An instance that was killed still holds this job.
    let orphaned = client.start::<orphan>(Begin { n: 0 }).await.unwrap();
    let killed = Turn {
        instance: InstanceId::new("killed").unwrap(),
        number: 1,
        starts: Vec::new(),
        writes: Vec::new(),
        renewals: Vec::new(),
        wants: vec![Want { queue: QueueName::of("orphan", "orphan"), max: 1 }],
        lease_ms: 300,
    };
    assert_eq!(store.turn(&killed).await.unwrap().leases.len(), 1);

    let nq = Builder::new(store.clone()).lease(Duration::from_millis(300)).start().await.unwrap();
    let mut lanes = Vec::new();
    for n in 0..64 {
        lanes.push(nq.start::<load>(Begin { n }).await.unwrap());
    }
    while LANES.load(Ordering::SeqCst) < 64 {
        tokio::task::yield_now().await;
    }
    store.follow(Plan::Slow(Duration::from_millis(3)));
    for n in 0..5 {
        ends(&client.start::<rare>(Begin { n }).await.unwrap(), "a job of another queue").await;
    }
    ends(&client.start::<again>(Begin { n: 0 }).await.unwrap(), "a retry").await;
    ends(&orphaned, "what a killed instance held").await;
    LOADED.store(false, Ordering::SeqCst);
    store.follow(Plan::Healthy);
    for lane in lanes {
        lane.completed().await.unwrap();
        assert_eq!(lane.entries(vec![EntryType::StepStarted]).await.unwrap().len(), 1, "its lease was kept");
    }
    nq.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn load_holds_up_neither_other_queues_nor_what_time_brings() {
    load_holds_up_nothing(MemoryStore::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load.db");
    load_holds_up_nothing(SqliteStore::open(SqliteOptions { path }).await.unwrap()).await;
    #[cfg(feature = "redis")]
    {
        let server = redis::RedisServer::start(redis::EVERY_SECOND);
        load_holds_up_nothing(RedisStore::open(&server.url("")).await.unwrap()).await;
    }
}

// Shutdown.

static TOLD: AtomicUsize = AtomicUsize::new(0);

#[nq::worker(flow = "waits", concurrency = 4)]
async fn waits(_: Begin, ctx: Ctx<waits>) -> nq::Result<()> {
    ctx.stopping().await;
    TOLD.fetch_add(1, Ordering::SeqCst);
    std::future::pending().await
}

async fn begun(run: &Run) {
    let mut timeline = run.timeline();
    while timeline.next().await.unwrap().unwrap().kind != EntryType::StepStarted {}
}

async fn stop(nq: Nq, store: &Faulty<MemoryStore>, plan: Plan) -> (bool, Duration) {
    store.follow(plan);
    let asked = Instant::now();
    let stopped = nq.shutdown().await;
    (stopped.is_ok(), asked.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_with_a_frozen_store_ends_within_the_grace_period() {
    let grace = Duration::from_millis(1_500);
    let instance = async || {
        let store = Arc::new(Faulty::new(MemoryStore::new(), Plan::Healthy));
        let nq = Builder::new(store.clone()).grace(grace).start().await.unwrap();
        (store, nq)
    };
    // The time that a loaded machine may take to wake up tasks.
    let slack = Duration::from_secs(1);
    let (store, nq) = instance().await;
    let (well, took) = stop(nq, &store, Plan::Frozen).await;
    assert!(!well && took < grace + slack, "idle: {took:?}");

    let (store, nq) = instance().await;
    let run = nq.start::<waits>(Begin { n: 0 }).await.unwrap();
    begun(&run).await;
    let (well, took) = stop(nq, &store, Plan::Frozen).await;
    assert!(!well && took < grace + slack, "at work: {took:?}");
    assert_eq!(TOLD.load(Ordering::SeqCst), 1, "the step was told");

    // A store that is away answers each call with an error, so the shutdown waits only for a few tries to leave.
    let (store, nq) = instance().await;
    let (well, took) = stop(nq, &store, Plan::Away).await;
    assert!(!well && took < grace + slack, "away: {took:?}");

    let (store, nq) = instance().await;
    let call = store.calls_of("leave") + 1;
    let (well, _) = stop(nq, &store, Plan::AtOf { verb: "leave", call, fault: Fault::Before }).await;
    assert!(well && store.calls_of("leave") == call + 1, "leave is taken again");
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_with_a_frozen_server_ends_within_the_grace_period() {
    let server = redis::RedisServer::start(redis::EVERY_SECOND);
    let grace = Duration::from_millis(1_500);
    let nq = nq::open(&server.url("")).await.unwrap().grace(grace).start().await.unwrap();
    let run = nq.start::<waits>(Begin { n: 0 }).await.unwrap();
    begun(&run).await;
    server.freeze(true);
    let asked = Instant::now();
    nq.shutdown().await.unwrap_err();
    assert!(asked.elapsed() < grace + Duration::from_secs(1), "{:?}", asked.elapsed());
    server.freeze(false);
}

// Outages: a flow whose steps read all that a step can read, and have no attempt to lose.

#[nq::event]
struct Item {
    n: u64,
}
#[nq::event]
struct Priced {
    n: u64,
}

#[nq::worker(flow = "reads", emits = [Item], retries = 0)]
async fn unpack(begin: Begin, ctx: Ctx<unpack>) -> nq::Result<()> {
    ctx.state().set("items", &begin.n)?;
    for n in 0..begin.n {
        ctx.emit(Item { n })?;
    }
    Ok(())
}

#[nq::worker(flow = "reads", subscribes = [Item], emits = [Priced], retries = 0)]
async fn price(item: Item, ctx: Ctx<price>) -> nq::Result<()> {
    let items: Option<u64> = ctx.state().get("items").await?;
    assert_eq!(items, Some(2));
    ctx.state().refresh().await?;
    assert!(ctx.state().all().await?.contains_key("items"));
    ctx.state().incr("priced", 1)?;
    ctx.emit(Priced { n: item.n })?;
    Ok(())
}

#[nq::worker(flow = "reads", gathers = [Priced], retries = 0)]
async fn total(all: Vec<Priced>, ctx: Ctx<total>) -> nq::Result<u64> {
    assert_eq!(ctx.state().get("priced").await?, Some(2));
    Ok(all.iter().map(|one| one.n).sum())
}

/// Runs the flow on a store that fails as planned, and returns the store.
async fn read_all<S: Store + Debug>(store: S, plan: Plan) -> Arc<Faulty<S>> {
    let said = format!("{plan:?}");
    let store = Arc::new(Faulty::new(store, plan));
    let nq = Builder::new(store.clone()).start().await.unwrap();
    let run = nq.start::<unpack>(Begin { n: 2 }).await.unwrap();
    let completed = run.completed().await.unwrap_or_else(|error| panic!("{said}: {error}"));
    assert_eq!(completed.result::<u64>().unwrap(), Some(1));
    store.follow(Plan::Healthy);
    sound(&run).await;
    nq.shutdown().await.unwrap();
    store
}

/// Fails each call of the verbs that read, one after the other, and then every other call.
async fn fail_each_read<S: Store + Debug>(mut open: impl AsyncFnMut() -> S) {
    let healthy = read_all(open().await, Plan::Healthy).await;
    for verb in ["read", "run", "gathered", "wait"] {
        let calls = healthy.calls_of(verb);
        assert!(calls > 0 || verb == "wait", "the flow uses `{verb}`");
        for call in 1..=calls {
            read_all(open().await, Plan::AtOf { verb, call, fault: Fault::Before }).await;
        }
    }
    read_all(open().await, Plan::EveryOther(Fault::Before)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_that_fails_fails_a_step_or_whoever_waits_for_its_run() {
    fail_each_read(async || MemoryStore::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut files = 0;
    fail_each_read(async || {
        files += 1;
        let path = folder.path().join(format!("{files}.db"));
        SqliteStore::open(SqliteOptions { path }).await.unwrap()
    })
    .await;
    #[cfg(feature = "redis")]
    {
        let server = redis::RedisServer::start(redis::EVERY_SECOND);
        let mut namespaces = 0;
        fail_each_read(async || {
            namespaces += 1;
            RedisStore::open(&server.url(&format!("namespace=n{namespaces}"))).await.unwrap()
        })
        .await;
    }
}
