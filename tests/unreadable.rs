//! If stored data of a run is damaged, only this run fails: its instance and the other runs go on.

use std::path::Path;
use std::time::Duration;

use nq::prelude::*;
use nq::{Nq, Run, RunStatus};
use tokio::sync::Semaphore;

nq::registry!();

#[nq::event]
struct Letter {
    text: String,
}

/// Lets the first attempt of a letter that is held go on.
static GATE: Semaphore = Semaphore::const_new(0);

#[nq::worker(flow = "mail", retries = 5, backoff = fixed("5ms"))]
async fn post(letter: Letter, ctx: Ctx<post>) -> nq::Result<String> {
    let stamped = ctx.run("stamp", || async { nq::Ok(format!("{} #", letter.text)) }).await?;
    if letter.text == "held" && ctx.attempt() == 1 {
        GATE.acquire().await?.forget();
        return Err(nq::Error::msg("the box is full"));
    }
    Ok(stamped)
}

async fn begin(folder: &Path) -> Nq {
    let url = format!("sqlite:{}", folder.join("test.db").display());
    nq::open(&url).await.expect("the store opens").start().await.expect("the instance starts")
}

/// Overwrites the data of an entry.
fn damage(folder: &Path, run: &Run, kind: &str) {
    let db = rusqlite::Connection::open(folder.join("test.db")).expect("it opens");
    let sql = "UPDATE entries SET data = '{' WHERE run = (SELECT key FROM runs WHERE id = ?) AND type = ?";
    assert_eq!(db.execute(sql, (run.id().as_str(), kind)).expect("it is damaged"), 1);
}

async fn until(so: impl AsyncFn() -> bool) {
    let patience = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), patience).await.expect("it comes to that");
}

async fn failed_with(nq: &Nq, run: &Run) -> String {
    until(async || run.status().await.unwrap() == RunStatus::Failed).await;
    let dead =
        nq::store::JobsQuery { run: Some(run.id().clone()), dead: true, limit: 9, ..Default::default() };
    let mut dead = nq.jobs(&dead).await.unwrap();
    assert_eq!(dead.len(), 1);
    let nq::store::JobState::Dead { error } = dead.remove(0).state else {
        panic!("a dead letter that lives")
    };
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_input_fails_its_run_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let nq = begin(folder.path()).await;
    nq.pause::<post>().await.unwrap();
    let bad = nq.start::<post>(Letter { text: "bad".into() }).await.unwrap();
    let good = nq.start::<post>(Letter { text: "good".into() }).await.unwrap();
    damage(folder.path(), &bad, "flow.started");
    nq.resume::<post>().await.unwrap();
    assert_eq!(good.completed().await.unwrap().result::<String>().unwrap().unwrap(), "good #");
    let error = failed_with(&nq, &bad).await;
    assert!(error.contains(bad.id().as_str()) && error.contains("entry 1 "), "{error}");
    nq.shutdown().await.expect("the instance has lived all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_has_recorded_and_cannot_read_again_is_fatal() {
    let folder = tempfile::tempdir().unwrap();
    let nq = begin(folder.path()).await;
    let run = nq.start::<post>(Letter { text: "held".into() }).await.unwrap();
    until(async || run.summary().await.unwrap().last.n == 3).await;
    damage(folder.path(), &run, "flow.step.effect");
    GATE.add_permits(1);
    let error = failed_with(&nq, &run).await;
    assert!(error.contains(run.id().as_str()) && error.contains("entry 3 "), "{error}");
    let started = run.entries(vec![nq::EntryType::StepStarted]).await.unwrap();
    assert_eq!(started.len(), 2, "no other attempt could read it either");
    let error = run.entries(Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), nq::store::ErrorKind::Corrupt);
    let good = nq.start::<post>(Letter { text: "good".into() }).await.unwrap();
    assert_eq!(good.completed().await.unwrap().result::<String>().unwrap().unwrap(), "good #");
    nq.shutdown().await.expect("the instance has lived all the time");
}
