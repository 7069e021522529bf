//! The conformance suite against Redis: a server of its own for each case, with and without partitions, and a
//! cluster.
#![cfg(feature = "redis")]

mod support;

use std::sync::Arc;

use nq_core::conformance::Subject;
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
