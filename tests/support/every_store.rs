//! Runs a test on an instance of each store: `memory:`, `sqlite:`, and Redis where it is built.

use nq::{Builder, Nq};

/// Runs a test on an instance of each store, one after the other. What the test needs of the instance, `setup` adds.
pub(crate) async fn on_every_store(setup: impl Fn(Builder) -> Builder, test: impl AsyncFn(&Nq)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut urls = vec!["memory:".to_owned(), format!("sqlite:{}", folder.path().join("test.db").display())];
    #[cfg(feature = "redis")]
    let server = crate::redis::RedisServer::start(crate::redis::EVERY_SECOND);
    #[cfg(feature = "redis")]
    urls.push(server.url(""));
    for url in urls.drain(..) {
        let nq =
            setup(nq::open(&url).await.expect("the store opens")).start().await.expect("the instance starts");
        test(&nq).await;
        nq.shutdown().await.expect("the instance stops");
    }
}
