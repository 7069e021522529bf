//! The conformance suite against the embedded store: as programs use it, with a clock that moves, losing
//! replies, and on a file that two processes share.
#![cfg(feature = "sqlite")]

mod support {
    pub(crate) mod shared;
}

use std::path::Path;
use std::sync::Arc;

use nq_core::conformance::{Stored, Subject, TestClock};
use nq_runtime::store::Store;
use nq_runtime::store::sqlite::{SqliteOptions, SqliteStore};
use nq_runtime::testing::{Fault, Faulty, Plan};
use support::shared::Shared;
use tempfile::TempDir;

async fn open(folder: &Path, clock: &Arc<TestClock>) -> SqliteStore {
    let clock = clock.clone();
    let options = SqliteOptions { path: folder.join("nq.db") };
    SqliteStore::with_clock(options, move || clock.now_ms()).await.expect("it opens")
}

fn fresh() -> (TempDir, Arc<TestClock>) {
    (tempfile::tempdir().expect("a folder"), TestClock::new())
}

/// Overwrites what the file of this folder holds, as nobody but a damaged disk does.
fn damage(folder: &Path) -> impl Fn(Stored) + Send + Sync + use<> {
    let path = folder.join("nq.db");
    move |what| {
        let db = rusqlite::Connection::open(&path).expect("it opens");
        let changed = match what {
            Stored::Entry { run, n, data } => db.execute(
                "UPDATE entries SET data = ?3 WHERE run = (SELECT key FROM runs WHERE id = ?1) AND n = ?2",
                (run.as_str(), n as i64, data),
            ),
            Stored::Job { run, step } => db.execute(
                "UPDATE jobs SET inputs = '{', fence = 'x' WHERE run = (SELECT key FROM runs WHERE id = ?1) \
                 AND worker = ?2 AND n = ?3",
                (run.as_str(), step.worker().as_str(), step.cause().n as i64),
            ),
        };
        assert_eq!(changed.expect("it is damaged"), 1);
    }
}

/// A store that goes by the clock of the test.
async fn by_clock() -> Subject {
    let (folder, clock) = fresh();
    let path = folder.path().to_path_buf();
    let reopen = {
        let clock = clock.clone();
        move || {
            let (path, clock) = (path.clone(), clock.clone());
            async move { Arc::new(open(&path, &clock).await) as Arc<dyn Store> }
        }
    };
    let store = open(folder.path(), &clock).await;
    let damage = damage(folder.path());
    Subject::with_clock(Arc::new(store), clock).reopen(reopen).damage(damage).keep(folder)
}

/// The same, losing the reply of every other call.
async fn lossy() -> Subject {
    let (folder, clock) = fresh();
    let store = Faulty::new(open(folder.path(), &clock).await, Plan::EveryOther(Fault::After));
    let damage = damage(folder.path());
    Subject::with_clock(Arc::new(store), clock).lossy().damage(damage).keep(folder)
}

/// Two stores on one file that take every other call each, so that each finds what the other has written.
async fn shared() -> Subject {
    let (folder, clock) = fresh();
    let stores = [open(folder.path(), &clock).await, open(folder.path(), &clock).await];
    let damage = damage(folder.path());
    Subject::with_clock(Arc::new(Shared::new(stores)), clock).damage(damage).keep(folder)
}

/// The store as programs use it.
async fn in_real_time() -> Subject {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions { path: folder.path().join("nq.db") };
    let store = SqliteStore::open(options).await.expect("it opens");
    Subject::real(Arc::new(store)).keep(folder)
}

mod sqlite_store {
    use super::by_clock;

    nq_core::conformance! { test = #[tokio::test], subject = by_clock().await }
}

mod sqlite_store_in_real_time {
    use super::in_real_time;

    nq_core::conformance! { test = #[tokio::test], subject = in_real_time().await }
}

mod sqlite_store_that_loses_every_reply_once {
    use super::lossy;

    nq_core::conformance! { test = #[tokio::test], subject = lossy().await }
}

mod sqlite_store_of_two_processes {
    use super::shared;

    nq_core::conformance! { test = #[tokio::test], subject = shared().await }
}
