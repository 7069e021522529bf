//! What tests of whole programs share.

use nq::{Builder, Nq};

/// Runs a test on an instance of each embedded store, one after the other. What the test needs of the
/// instance, `setup` adds.
pub(crate) async fn on_each_store(setup: impl Fn(Builder) -> Builder, test: impl AsyncFn(&Nq)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for url in ["memory:".to_owned(), format!("sqlite:{}", folder.path().join("test.db").display())] {
        let nq =
            setup(nq::open(&url).await.expect("the store opens")).start().await.expect("the instance starts");
        test(&nq).await;
        nq.shutdown().await.expect("the instance stops");
    }
}
