//! The workers of the processes that tests start.
#![allow(dead_code, reason = "each test uses the part that it needs")]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use nq::{Entry, EntryType, OpenError, Run};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::process::{FOLDER, Process, URL, say_ready};

/// The lease of the children: short, so that a test sees it expire.
pub(crate) const LEASE: Duration = Duration::from_millis(600);

#[nq::event]
pub(crate) struct Hold {
    pub(crate) id: u32,
}

/// Waits for the file `go`, then writes what it can.
#[nq::worker(flow = "hold", max_crashes = 1_000)]
pub(crate) async fn hold(hold: Hold, ctx: Ctx<hold>, folder: Data<PathBuf>) -> nq::Result<()> {
    tracing::info!("holding");
    while !folder.join("go").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::fs::write(folder.join(format!("{}-{}", hold.id, ctx.attempt())), "awake")?;
    ctx.state().set("attempt", &ctx.attempt())?;
    ctx.run("write", || async { nq::Ok(ctx.attempt()) }).await?;
    Ok(())
}

#[nq::event]
pub(crate) struct Batch {
    pub(crate) size: u32,
}
#[nq::event]
pub(crate) struct Unit {
    n: u32,
}
#[nq::event]
pub(crate) struct Done {
    n: u32,
}

#[nq::worker(flow = "batch", emits = [Unit], max_crashes = 1_000)]
pub(crate) async fn split(batch: Batch, ctx: Ctx<split>) -> nq::Result<()> {
    for n in 0..batch.size {
        ctx.emit(Unit { n })?;
    }
    Ok(())
}

#[nq::worker(flow = "batch", subscribes = [Unit], emits = [Done], concurrency = 4, max_crashes = 1_000)]
pub(crate) async fn unit(unit: Unit, ctx: Ctx<unit>) -> nq::Result<()> {
    tokio::time::sleep(Duration::from_millis(3)).await;
    ctx.state().incr("units", 1)?;
    ctx.emit(Done { n: unit.n })?;
    Ok(())
}

#[nq::worker(flow = "batch", gathers = [Done], max_crashes = 1_000)]
pub(crate) async fn sum(all: Vec<Done>) -> nq::Result<u32> {
    Ok(all.iter().map(|done| done.n).sum())
}

/// The sum of a batch.
pub(crate) fn sum_of(size: u32) -> u32 {
    (0..size).sum()
}

/// Works on the store until the process is killed, if this is the child of a test. Returns at once in the test itself.
pub(crate) fn work_if_child() {
    let (Ok(url), Ok(folder)) = (std::env::var(URL), std::env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    let said = std::fs::File::create(folder.join(format!("said-{}", std::process::id()))).unwrap();
    let said = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Mutex::new(said));
    tracing_subscriber::registry().with(nq::log::layer()).with(said).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let opened = loop {
            match nq::open(&url).await {
                Ok(opened) => break opened,
                // The server may be back soon.
                Err(OpenError::Store(error)) if error.is_retryable() => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        let nq = opened.data(folder).lease(LEASE).start().await.unwrap();
        say_ready();
        nq.stopped().await.unwrap();
    });
}

/// What a child has printed so far.
pub(crate) fn said(folder: &Path, process: &Process) -> String {
    std::fs::read_to_string(folder.join(format!("said-{}", process.id()))).unwrap()
}

/// Waits for the `n`-th entry of a type.
pub(crate) async fn until(run: &Run, kind: EntryType, n: usize) -> Entry {
    let timeline = run.timeline().map(Result::unwrap);
    let mut matching = timeline.filter(|entry| std::future::ready(entry.kind == kind));
    for _ in 1..n {
        matching.next().await.unwrap();
    }
    matching.next().await.unwrap()
}

/// How many entries of a type a run has.
pub(crate) async fn count(run: &Run, kind: EntryType) -> usize {
    run.entries(vec![kind]).await.unwrap().len()
}

/// A process freezes while it holds a job; another one takes the job over after the lease; then the first wakes up. It
/// writes nothing but log lines.
pub(crate) async fn a_frozen_process_writes_nothing(url: &str, folder: &Path) {
    let client = nq::open(url).await.unwrap().client().unwrap();
    let frozen = Process::start(url, folder);
    let run = client.start::<hold>(Hold { id: 1 }).await.unwrap();
    let first = until(&run, EntryType::StepStarted, 1).await;
    loop {
        frozen.freeze();
        // A process that is frozen in the middle of a transaction of SQLite blocks all others, which is another test.
        let probe = client.start::<hold>(Hold { id: 0 });
        if tokio::time::timeout(Duration::from_millis(300), probe).await.is_ok() {
            break;
        }
        frozen.thaw();
    }

    let other = Process::start(url, folder);
    let second = until(&run, EntryType::StepStarted, 2).await;
    assert_ne!(first.data["instance"], second.data["instance"]);
    std::fs::write(folder.join("go"), "").unwrap();
    run.completed().await.unwrap();
    let before = run.entries(Vec::new()).await.unwrap();

    frozen.thaw();
    // The woken process finishes its attempt and its commit is refused, or it learns before that its lease is lost.
    // Another run through this process shows that it is done with that.
    other.kill();
    let next = client.start::<hold>(Hold { id: 2 }).await.unwrap();
    next.completed().await.unwrap();
    let after = run.entries(Vec::new()).await.unwrap();
    assert!(after[before.len()..].iter().all(|entry| entry.kind.is_log()), "{:?}", &after[before.len()..]);
    assert_eq!(run.state().await.unwrap()["attempt"], 2);
    super::sound::sound(&run).await;
}
