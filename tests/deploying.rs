//! A new version of a program is deployed while runs are in flight: two programs, one after the
//! other, as processes on one store.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod example;
    pub(crate) mod sound;
}

use std::path::Path;
use std::time::Duration;

use nq::{Client, EntryType, Run, RunStatus};
use support::example::{Example, program};
use support::sound::sound;
use tokio::process::Command;

/// Starts a version of the program.
fn deploy(version: &str, url: &str, folder: &Path) -> Example {
    Example::start(Command::new(program(version)).arg(url).arg(folder))
}

/// Polls until the condition holds.
async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(patience.await.is_ok(), "a minute passed, and still not: {what}");
}

/// How many entries of this type a run has whose data hold this text.
async fn count(run: &Run, kind: EntryType, text: &str) -> usize {
    let entries = run.entries(vec![kind]).await.unwrap_or_default();
    entries.iter().filter(|entry| entry.data.to_string().contains(text)).count()
}

async fn redeploy(url: &str, folder: &Path) {
    let client: Client = nq::open(url).await.unwrap().client().unwrap();
    let run = |id: &str| client.run(id).unwrap();
    let (order, form, fax, pair) = (run("order"), run("form"), run("fax"), run("pair"));

    // The first version dies in the middle of its steps: one item is priced, all have looked up their price.
    let first = deploy("deploy_v1", url, folder);
    until("the first version is in the middle of its steps", async || {
        count(&order, EntryType::StepEffect, "look up").await == 3
            && count(&order, EntryType::EventEmitted, "priced").await == 1
            && count(&form, EntryType::StepStarted, "").await == 1
            && count(&fax, EntryType::StepStarted, "").await == 1
            && count(&pair, EntryType::StepStarted, "").await == 2
    })
    .await;
    assert!(client.unserved().await.unwrap().is_empty());
    // The fifth run fails in the first version. A program without its workers cannot go on with it.
    let bill = run("bill");
    until("it has failed", async || bill.status().await.is_ok_and(RunStatus::is_terminal)).await;
    let refused = bill.rerun().await.unwrap_err().to_string();
    assert!(refused.contains("worker `charge`") && refused.contains("flow `bill`"), "{refused}");
    first.kill().await;

    // The second version takes over what the first has begun under other names: the half-filled gather and what was
    // recorded.
    let second = deploy("deploy_v2", url, folder);
    let completed = order.completed().await.unwrap();
    let all: Vec<String> = completed.result_of("total").unwrap().expect("it ran under its former name");
    assert!(all.len() == 3 && all.iter().all(|by| by.starts_with("v1 ")), "{all:?}");
    assert_eq!(completed.result_of::<Vec<String>>("sum").unwrap(), None, "it ran once");
    // The gather that is newer than the run has the events that were emitted since the deploy.
    assert_eq!(completed.result_of::<usize>("audit").unwrap(), Some(2));
    sound(&order).await;

    // The rerun runs the failed step again, with the code of today and with what was recorded.
    let rerun = run("bill~2").completed().await.unwrap().result::<String>().unwrap().unwrap();
    assert!(rerun.starts_with("v1 Ada "), "{rerun}");
    sound(&run("bill~2")).await;
    assert_eq!(bill.status().await.unwrap(), RunStatus::Failed);

    // No instance has the worker of the third run; the log and `unserved()` say so.
    until("the run is found", async || !fax.unserved().await.unwrap().is_empty()).await;
    let unserved = client.unserved().await.unwrap();
    let queues: Vec<_> = unserved.iter().map(|unserved| unserved.queue.as_str()).collect();
    assert_eq!(queues, ["fax/send"]);
    assert_eq!((unserved[0].jobs, unserved[0].runs.as_slice()), (1, &[fax.id().clone()][..]));
    assert!(order.unserved().await.unwrap().is_empty() && form.unserved().await.unwrap().is_empty());

    // The payload of the second run does not fit the second version. Its step is not dead, though it has no retries.
    let unfit = "does not fit its type";
    until("the second version has tried", async || count(&form, EntryType::StepRetrying, unfit).await > 1)
        .await;
    // The sides of a complete join are not confused either, though both have the same shape.
    until("the sides are in another order", async || {
        count(&pair, EntryType::StepRetrying, "in this order").await > 0
    })
    .await;
    for run in [&form, &pair] {
        assert_eq!(run.status().await.unwrap(), RunStatus::Running);
    }

    second.interrupt();
    let ended = second.ended().await;
    let warnings = ended.stderr.lines().filter(|line| line.contains("no running instance has"));
    let warnings: Vec<_> = warnings.collect();
    assert!(warnings.len() == 1 && warnings[0].contains("queue=fax/send"), "{}", ended.stderr);
    ended.success();

    // The deploy is rolled back: the first version runs the step whose payload fits it.
    std::fs::write(folder.join("go"), "").unwrap();
    let third = deploy("deploy_v1", url, folder);
    assert_eq!(form.completed().await.unwrap().result::<String>().unwrap(), Some("v1 Ada".into()));
    let paired = pair.completed().await.unwrap().result::<String>().unwrap();
    assert_eq!(paired.as_deref(), Some("left Ada, right Ada"));
    fax.completed().await.unwrap();
    assert!(client.unserved().await.unwrap().is_empty());
    sound(&form).await;
    third.interrupt();
    third.ended().await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_over_runs_in_flight_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    redeploy(&format!("sqlite:{}", folder.path().join("deploy.db").display()), folder.path()).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_over_runs_in_flight_on_redis() {
    let folder = tempfile::tempdir().unwrap();
    let server = redis::RedisServer::start(redis::EVERY_SECOND);
    redeploy(&server.url(""), folder.path()).await;
}
