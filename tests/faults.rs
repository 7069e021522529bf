//! Real processes on one store: killed, frozen, woken, side by side.

mod support {
    pub(crate) mod process;
}

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use nq::{Client, Entry, EntryType, Run, RunStatus};
use support::process::{FOLDER, Process, say_ready};

nq::registry!();

/// The lease of the children: short, so that a test sees it run out.
const LEASE: Duration = Duration::from_millis(600);

#[nq::event]
struct Hold {
    id: u32,
}

/// Waits for the file `go`, then writes what it can.
#[nq::worker(flow = "hold", max_crashes = 100)]
async fn hold(hold: Hold, ctx: Ctx<hold>, folder: Data<PathBuf>) -> nq::Result<()> {
    tracing::info!("holding");
    while !folder.join("go").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ctx.state().set("attempt", &ctx.attempt())?;
    let recorded = ctx.run("write", || async { nq::Ok(ctx.attempt()) }).await;
    std::fs::write(folder.join(format!("{}-{}", hold.id, ctx.attempt())), format!("{recorded:?}"))?;
    recorded?;
    Ok(())
}

#[nq::event]
struct Batch {
    size: u32,
}
#[nq::event]
struct Unit {
    n: u32,
}
#[nq::event]
struct Done {
    n: u32,
}

#[nq::worker(flow = "batch", emits = [Unit], max_crashes = 100)]
async fn split(batch: Batch, ctx: Ctx<split>) -> nq::Result<()> {
    for n in 0..batch.size {
        ctx.emit(Unit { n })?;
    }
    Ok(())
}

#[nq::worker(flow = "batch", subscribes = [Unit], emits = [Done], concurrency = 4, max_crashes = 100)]
async fn unit(unit: Unit, ctx: Ctx<unit>) -> nq::Result<()> {
    tokio::time::sleep(Duration::from_millis(3)).await;
    ctx.state().incr("units", 1)?;
    ctx.emit(Done { n: unit.n })?;
    Ok(())
}

#[nq::worker(flow = "batch", gathers = [Done], max_crashes = 100)]
async fn sum(all: Vec<Done>) -> nq::Result<u32> {
    Ok(all.iter().map(|done| done.n).sum())
}

/// Not a test of its own: what the other tests start as a process. Works on the store until it is killed.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let nq = nq::open(&url(&folder)).await.unwrap().data(folder).lease(LEASE).start().await.unwrap();
        say_ready();
        nq.stopped().await.unwrap();
    });
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("faults.db").display())
}

async fn client(folder: &Path) -> Client {
    nq::open(&url(folder)).await.unwrap().client().unwrap()
}

/// Waits for the `n`-th entry of a type.
async fn until(run: &Run, kind: EntryType, n: usize) -> Entry {
    let timeline = run.timeline().map(Result::unwrap);
    let mut matching = timeline.filter(|entry| std::future::ready(entry.kind == kind));
    for _ in 1..n {
        matching.next().await.unwrap();
    }
    matching.next().await.unwrap()
}

async fn count(run: &Run, kind: EntryType) -> usize {
    run.entries(vec![kind]).await.unwrap().len()
}

/// The promises that hold whatever happens.
async fn sound(run: &Run) {
    let entries = run.entries(Vec::new()).await.unwrap();
    for (n, entry) in (1..).zip(&entries) {
        assert_eq!(entry.id.n, n, "the entries count without a gap");
    }
    assert_eq!(entries.iter().filter(|entry| entry.kind.is_terminal()).count(), 1);
    let mut done: Vec<_> =
        entries.iter().filter(|e| e.kind == EntryType::StepCompleted).map(|e| &e.step).collect();
    let all = done.len();
    done.sort();
    done.dedup();
    assert_eq!(done.len(), all, "no step completes twice");
    assert_eq!(run.state().await.unwrap(), nq::State::of(&entries).map);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_that_wakes_up_writes_nothing_but_logs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let client = client(folder).await;
    let frozen = Process::start(folder);
    let run = client.start::<hold>(Hold { id: 1 }).await.unwrap();
    let first = until(&run, EntryType::StepStarted, 1).await;
    frozen.freeze();

    let other = Process::start(folder);
    let second = until(&run, EntryType::StepStarted, 2).await;
    assert_ne!(first.data["instance"], second.data["instance"]);
    std::fs::write(folder.join("go"), "").unwrap();
    run.completed().await.unwrap();
    let before = run.entries(Vec::new()).await.unwrap();

    frozen.thaw();
    // Woken, it does what is left of its attempt, and is refused.
    while !folder.join("1-1").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Another run through the woken process shows that it has dealt with the refusal.
    other.kill();
    let next = client.start::<hold>(Hold { id: 2 }).await.unwrap();
    next.completed().await.unwrap();
    let after = run.entries(Vec::new()).await.unwrap();
    assert!(after[before.len()..].iter().all(|entry| entry.kind.is_log()), "{:?}", &after[before.len()..]);
    assert!(std::fs::read_to_string(folder.join("1-1")).unwrap().contains("the attempt is over"));
    assert_eq!(run.state().await.unwrap()["attempt"], 2);
    sound(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_machine_loses_no_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let client = client(folder).await;
    let machine = [Process::start(folder), Process::start(folder)];
    let mut runs = Vec::new();
    for id in 0..20 {
        runs.push(client.start::<hold>(Hold { id }).await.unwrap());
    }
    for run in &runs {
        until(run, EntryType::StepStarted, 1).await;
    }
    machine.iter().for_each(Process::freeze);
    tokio::time::sleep(LEASE * 3).await;
    machine.iter().for_each(Process::thaw);
    // A whole lease after the sleep: what would be taken away has been.
    tokio::time::sleep(LEASE * 2).await;
    std::fs::write(folder.join("go"), "").unwrap();
    for run in &runs {
        run.completed().await.unwrap();
        assert_eq!(count(run, EntryType::StepStarted).await, 1, "no second attempt");
        sound(run).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_work_and_do_none_of_it_twice() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let client = client(folder).await;
    let processes = [Process::start(folder), Process::start(folder)];
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(client.start::<split>(Batch { size: 20 }).await.unwrap());
    }
    let mut instances = std::collections::BTreeSet::new();
    for run in &runs {
        assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(190));
        assert_eq!(count(run, EntryType::StepCompleted).await, 22);
        for entry in run.entries(vec![EntryType::StepStarted]).await.unwrap() {
            instances.insert(entry.data["instance"].to_string());
        }
        assert_eq!(count(run, EntryType::StepStarted).await, 22, "nothing was begun twice");
        sound(run).await;
    }
    assert_eq!(instances.len(), 2, "both worked");
    drop(processes);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_nothing_and_do_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let client = client(folder).await;
    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(client.start::<split>(Batch { size: 60 }).await.unwrap());
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut kills = 0;
    while !client.runs().status(RunStatus::Running).page().await.unwrap().runs.is_empty() {
        let process = Process::start(folder);
        tokio::time::sleep(Duration::from_millis(random.u64(10..120))).await;
        process.kill();
        kills += 1;
        assert!(kills < 500, "the runs do not end");
    }
    assert!(kills > 5, "the kills hit the work: {kills}");
    for run in &runs {
        assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(1770));
        assert_eq!(count(run, EntryType::StepCompleted).await, 62);
        sound(run).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_at_once_without_waiting_for_the_lease() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let client = client(folder).await;
    let run = client.start::<hold>(Hold { id: 1 }).await.unwrap();
    let process = Process::start(folder);
    until(&run, EntryType::StepStarted, 1).await;
    process.kill();
    // This instance has the usual lease of 30 seconds, and does not wait for that of the dead one.
    std::fs::write(folder.join("go"), "").unwrap();
    let nq = nq::open(&url(folder)).await.unwrap().data(folder.to_path_buf()).start().await.unwrap();
    run.completed().await.unwrap();
    let retrying = run.entries(vec![EntryType::StepRetrying]).await.unwrap().remove(0);
    assert!(retrying.data["error"].as_str().unwrap().contains("stopped without finishing"), "{retrying:?}");
    let began = run.entries(vec![EntryType::StepStarted]).await.unwrap();
    assert!(began[1].id.ms - began[0].id.ms < 10_000, "{began:?}");
    nq.shutdown().await.unwrap();
}
