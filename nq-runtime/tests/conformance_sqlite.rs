//! The conformance suite against the embedded store.
#![cfg(feature = "sqlite")]

use std::sync::Arc;

use nq_core::conformance::{Subject, TestClock};
use nq_runtime::store::Store;
use nq_runtime::store::sqlite::{SqliteOptions, SqliteStore};

/// A store that goes by the clock of the test.
async fn sqlite() -> Subject {
    let clock = TestClock::new();
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { path: folder.path().join("nq.db") };
    let open = {
        let clock = clock.clone();
        move || {
            let (options, clock) = (options.clone(), clock.clone());
            async move {
                let store = SqliteStore::with_clock(options, move || clock.now_ms()).await.unwrap();
                Arc::new(store) as Arc<dyn Store>
            }
        }
    };
    Subject::with_clock(open().await, clock).reopen(open).keep(folder)
}

/// The store as programs use it.
async fn sqlite_in_real_time() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { path: folder.path().join("nq.db") };
    Subject::real(Arc::new(SqliteStore::open(options).await.unwrap())).keep(folder)
}

mod sqlite_store {
    use super::sqlite;

    nq_core::conformance! { test = #[tokio::test], subject = sqlite().await }
}

mod sqlite_store_in_real_time {
    use super::sqlite_in_real_time;

    nq_core::conformance! { test = #[tokio::test], subject = sqlite_in_real_time().await }
}
