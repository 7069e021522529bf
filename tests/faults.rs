//! Real processes on one file: killed, frozen, woken, side by side.

mod support {
    pub(crate) mod process;
    pub(crate) mod sound;
    pub(crate) mod work;
}

use std::path::Path;
use std::time::Duration;

use nq::{Client, EntryType, RunStatus};
use support::process::Process;
use support::sound::sound;
use support::work::{Batch, Hold, LEASE, count, hold, split, sum_of, until};

nq::registry!();

/// Not a test of its own: the other tests start it as a process.
#[test]
fn child() {
    support::work::work_if_child();
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("faults.db").display())
}

async fn client(folder: &Path) -> Client {
    nq::open(&url(folder)).await.unwrap().client().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_that_wakes_up_writes_nothing_but_logs() {
    let folder = tempfile::tempdir().unwrap();
    support::work::a_frozen_process_writes_nothing(&url(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_machine_loses_no_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let client = client(folder).await;
    let machine = [Process::start(&url(folder), folder), Process::start(&url(folder), folder)];
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
    // One whole lease after the sleep every lease that could expire has expired.
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
    let processes = [Process::start(&url(folder), folder), Process::start(&url(folder), folder)];
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(client.start::<split>(Batch { size: 20 }).await.unwrap());
    }
    let mut instances = std::collections::BTreeSet::new();
    for run in &runs {
        assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(sum_of(20)));
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
        let process = Process::start(&url(folder), folder);
        tokio::time::sleep(Duration::from_millis(random.u64(10..120))).await;
        process.kill();
        kills += 1;
        assert!(kills < 500, "the runs do not end");
    }
    assert!(kills > 5, "the kills hit the work: {kills}");
    for run in &runs {
        assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(sum_of(60)));
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
    let process = Process::start(&url(folder), folder);
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

/// Freezes an instance while it queues for its turn to write, with the first place in the queue.
fn freeze_in_the_queue(process: &Process, folder: &Path) {
    let lock = |name| std::fs::File::open(folder.join("faults.db-locks").join(name)).unwrap();
    let (writes, queues) = (lock("main"), lock("next"));
    loop {
        // The instance tries to write again and again, while the test holds the turn.
        writes.lock().unwrap();
        let queued = (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_micros(500));
            let taken = queues.try_lock().is_err();
            if !taken {
                queues.unlock().unwrap();
            }
            taken
        });
        process.freeze();
        // The instance may have got its turn in between.
        let keeps_place = queued && queues.try_lock().is_err();
        writes.unlock().unwrap();
        if keeps_place {
            return;
        }
        let _ = queues.unlock();
        process.thaw();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_frozen_while_it_queues_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let client = client(folder).await;
    let frozen = Process::start(&url(folder), folder);
    // The instance renews its lease of this step again and again.
    let held = client.start::<hold>(Hold { id: 99 }).await.unwrap();
    until(&held, EntryType::StepStarted, 1).await;
    freeze_in_the_queue(&frozen, folder);

    let other = Process::start(&url(folder), folder);
    let began = tokio::time::Instant::now();
    std::fs::write(folder.join("go"), "").unwrap();
    for id in 0..20 {
        client.start::<hold>(Hold { id }).await.unwrap().completed().await.unwrap();
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "20 runs took {took:?}");
    frozen.thaw();
    held.completed().await.unwrap();
    sound(&held).await;
    drop(other);
}
