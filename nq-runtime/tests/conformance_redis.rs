//! The conformance suite against Redis: a server of its own for each case, with and without partitions, and a
//! cluster.
#![cfg(feature = "redis")]
#![expect(clippy::unwrap_used, reason = "a test that cannot have its server has failed")]

mod support;

use std::sync::Arc;

use nq_core::conformance::{Subject, TestClock};
use nq_core::store::Store;
use nq_runtime::store::redis::RedisStore;

use support::redis::{EVERY_SECOND, RedisCluster, RedisServer};

async fn open(url: String) -> Arc<dyn Store> {
    Arc::new(RedisStore::open(&url).await.unwrap())
}

async fn server(options: &str) -> Subject {
    let server = RedisServer::start(EVERY_SECOND);
    let url = server.url(options);
    Subject::real(open(url.clone()).await).reopen(move || open(url.clone())).keep(server)
}

/// A store that goes by the clock of the test.
async fn by_test_clock() -> Subject {
    let server = RedisServer::start(EVERY_SECOND);
    let clock = TestClock::new();
    let now_ms = {
        let clock = clock.clone();
        move || clock.now_ms()
    };
    let store = RedisStore::open_with_clock(&server.url(""), now_ms).await.unwrap();
    Subject::with_clock(Arc::new(store), clock).keep(server)
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

mod one_server_by_test_clock {
    use super::by_test_clock;

    nq_core::conformance! { test = #[tokio::test], subject = by_test_clock().await }
}

mod partitions {
    use super::server;

    nq_core::conformance! { test = #[tokio::test], subject = server("partitions=4").await }
}

mod three_node_cluster {
    use super::cluster;

    nq_core::conformance! { test = #[tokio::test], subject = cluster().await }
}
