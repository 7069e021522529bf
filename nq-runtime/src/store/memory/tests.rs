//! What the suite cannot ask of every store: how much it keeps, and a lock that a panic has poisoned.

use std::sync::Arc;

use nq_core::store::{Interest, QueueCounts};

use super::*;

#[tokio::test]
async fn after_a_panic_inside_an_act_every_call_says_that_the_store_is_closed() {
    let store = MemoryStore::new();
    let panicked = std::panic::AssertUnwindSafe(|| store.look("turn", |_| panic!("half way")));
    assert!(std::panic::catch_unwind(panicked).is_err());
    let error = store.queues().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Closed);
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn one_who_waits_for_a_paused_queue_is_woken_when_it_resumes() {
    let store = Arc::new(MemoryStore::new());
    let queue = QueueName::of("f", "a");
    store.pause(&queue, true).await.unwrap();
    let interest = Interest::Queues(vec![queue.clone()]);
    let waiting = store.wait(&interest, Duration::from_secs(30));
    let resuming = async { store.pause(&queue, false).await.unwrap() };
    let (waited, ()) = tokio::join!(waiting, resuming);
    waited.unwrap();
    let counts = QueueCounts { queue, queued: 0, leased: 0, delayed: 0, dead: 0, paused: false };
    assert_eq!(store.queues().await.unwrap(), [counts]);
}
