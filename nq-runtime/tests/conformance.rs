//! The conformance suite against every store of this crate.

mod support;

use std::sync::Arc;

use nq_core::conformance::{Subject, TestClock};
use nq_runtime::store::memory::MemoryStore;

/// A memory store that goes by the clock of the test.
fn memory() -> Subject {
    let clock = TestClock::new();
    let store = {
        let clock = clock.clone();
        MemoryStore::with_clock(move || clock.now_ms())
    };
    Subject::with_clock(Arc::new(store), clock)
}

/// The memory store as programs use it.
fn memory_in_real_time() -> Subject {
    Subject::real(Arc::new(MemoryStore::new()))
}

mod memory_store {
    use super::memory;

    nq_core::conformance! { test = #[tokio::test], subject = memory() }
}

mod memory_store_in_real_time {
    use super::memory_in_real_time;

    nq_core::conformance! { test = #[tokio::test], subject = memory_in_real_time() }
}

/// A Redis server of its own for each case.
#[cfg(feature = "redis")]
mod redis {
    use std::sync::Arc;

    use nq_core::conformance::Subject;
    use nq_core::store::Store;
    use nq_runtime::store::redis::RedisStore;

    use super::support::redis::{EVERY_SECOND, RedisCluster, RedisServer};

    async fn open(url: String) -> Arc<dyn Store> {
        Arc::new(RedisStore::open(&url).await.unwrap())
    }

    async fn server(options: &str) -> Subject {
        let server = RedisServer::start(EVERY_SECOND);
        let url = server.url(options);
        Subject::real(open(url.clone()).await).reopen(move || open(url.clone())).keep(server)
    }

    async fn cluster() -> Subject {
        let cluster = RedisCluster::start();
        let url = cluster.url("partitions=3");
        Subject::real(open(url.clone()).await).reopen(move || open(url.clone())).keep(cluster)
    }

    mod one_server {
        use super::server;

        nq_core::conformance! { test = #[tokio::test], subject = server("").await }
    }

    mod partitions {
        use super::server;

        nq_core::conformance! { test = #[tokio::test], subject = server("partitions=4").await }
    }

    mod three_node_cluster {
        use super::cluster;

        nq_core::conformance! { test = #[tokio::test], subject = cluster().await }
    }
}
