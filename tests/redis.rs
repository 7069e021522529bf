//! Real processes on one Redis server: killed and frozen, and the server killed under them.
#![cfg(feature = "redis")]

#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod process;
    pub(crate) mod sound;
    pub(crate) mod work;
}

use std::path::Path;
use std::time::Duration;

use nq::{EntryType, RunStatus};
use redis::{ALWAYS, EVERY_SECOND, RedisServer};
use support::process::Process;
use support::sound::sound;
use support::work::{Batch, LEASE, count, said, split, sum_of};
use tokio::time::Instant;

nq::registry!();

/// Not a test of its own: the other tests start it as a process.
#[test]
fn child() {
    support::work::work_if_child();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_that_wakes_up_writes_nothing_but_logs() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start(EVERY_SECOND);
    support::work::a_frozen_process_writes_nothing(&server.url(""), folder.path()).await;
}

const RUNS: usize = 200;
const SIZE: u32 = 20;
const SERVER_KILLS: u32 = 20;
/// The time that a loaded machine may need after a kill beyond the lease: for a tick, and for the work itself.
const SLACK: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_server_are_killed_and_nothing_is_lost_or_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut server = RedisServer::start(ALWAYS);
    let url = server.url("");
    let client = nq::open(&url).await.unwrap().client().unwrap();
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(client.start::<split>(Batch { size: SIZE }).await.unwrap());
    }
    let mut random = fastrand::Rng::with_seed(11);
    let mut workers: Vec<_> = (0..3).map(|_| Process::start(&url, folder)).collect();
    let (mut worker_kills, mut server_kills) = (0, 0);
    loop {
        tokio::time::sleep(Duration::from_millis(random.u64(50..250))).await;
        if server_kills < SERVER_KILLS && worker_kills > server_kills {
            server.restart();
            server_kills += 1;
        } else {
            workers.swap_remove(random.usize(..3)).kill();
            worker_kills += 1;
            workers.push(Process::start(&url, folder));
        }
        let running = client.runs().status(RunStatus::Running).limit(1).page().await;
        if server_kills == SERVER_KILLS && running.is_ok_and(|page| page.runs.is_empty()) {
            break;
        }
        assert!(worker_kills < 1_000, "the runs do not end");
    }
    assert!(worker_kills >= 20, "the kills hit the work: {worker_kills}");

    // The last kill certainly interrupts work, and no process replaces the killed one.
    let last = client.start::<split>(Batch { size: 10 * SIZE }).await.unwrap();
    support::work::until(&last, EntryType::StepCompleted, SIZE as usize).await;
    workers.swap_remove(0).kill();
    let killed = Instant::now();
    let result = tokio::time::timeout(LEASE + SLACK, last.completed()).await;
    let result = result.unwrap_or_else(|_| panic!("not done {:?} after the last kill", killed.elapsed()));
    assert_eq!(result.unwrap().result::<u32>().unwrap(), Some(sum_of(10 * SIZE)));
    sound(&last).await;

    for run in &runs {
        assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(sum_of(SIZE)));
        assert_eq!(count(run, EntryType::StepCompleted).await, SIZE as usize + 2);
        sound(run).await;
    }
}

/// How long the server is away: less than a minute by default, a minute in a thorough run.
fn away() -> Duration {
    let seconds = std::env::var("NQ_TEST_AWAY_S").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

/// How much processor time a process has used, in seconds.
fn cpu_s(process: &Process) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<_> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
    let ticks: f64 = fields[12].parse::<f64>().unwrap() + fields[13].parse::<f64>().unwrap();
    ticks / 100.0
}

fn away_lines(folder: &Path, process: &Process) -> usize {
    said(folder, process).lines().filter(|line| line.contains("WARN")).count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_waited_for_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut server = RedisServer::start(ALWAYS);
    let url = server.url("");
    let client = nq::open(&url).await.unwrap().client().unwrap();
    let worker = Process::start(&url, folder);
    let run = client.start::<split>(Batch { size: 200 }).await.unwrap();
    support::work::until(&run, EntryType::StepCompleted, 20).await;
    server.kill9();
    // Calls that are under way end first.
    tokio::time::sleep(LEASE).await;
    let before = cpu_s(&worker);
    tokio::time::sleep(away()).await;
    let used = cpu_s(&worker) - before;
    println!("{used} s of processor time in {:?}; it said\n{}", away(), said(folder, &worker));
    assert!(used < away().as_secs_f64() * 0.05, "{used} s of processor time while there was nothing to do");
    assert_eq!(away_lines(folder, &worker), 1, "it is said once: {}", said(folder, &worker));
    server.restart();
    assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(sum_of(200)));
    sound(&run).await;
    assert_eq!(away_lines(folder, &worker), 1, "nor is it said again: {}", said(folder, &worker));
}
