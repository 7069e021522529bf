//! What the suite cannot ask of every store: how much it keeps, and a lock that a panic has poisoned.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nq_core::store::{Interest, QueueCounts, Retention};

use super::*;

#[tokio::test]
async fn after_a_panic_inside_an_act_every_call_says_that_the_store_is_closed() {
    let store = MemoryStore::new();
    let panicked = std::panic::AssertUnwindSafe(|| store.look("turn", |_| panic!("half way")));
    assert!(std::panic::catch_unwind(panicked).is_err());
    let error = store.queues().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
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
    assert_eq!(store.queues().await.unwrap(), [QueueCounts::new(queue)]);
}

/// A turn of nothing.
fn turn(instance: &str, number: u64) -> Turn {
    Turn {
        instance: InstanceId::new(instance).unwrap(),
        number,
        starts: Vec::new(),
        writes: Vec::new(),
        renewals: Vec::new(),
        wants: Vec::new(),
        lease_ms: 300,
    }
}

#[tokio::test]
async fn the_lane_of_an_instance_that_died_goes_and_a_machine_that_slept_keeps_its_own() {
    let now_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
    let clock = now_ms.clone();
    let store = MemoryStore::with_clock(move || clock.load(Ordering::SeqCst));
    let retention = Retention { completed_ms: None, failed_ms: None };
    let instance = InstanceId::new("sleeper").unwrap();
    let tick = Tick { instance, lease_ms: 300, retention, limit: 10, serves: Vec::new() };
    store.turn(&turn("dead", 1)).await.unwrap();
    store.turn(&turn("sleeper", 1)).await.unwrap();
    now_ms.fetch_add(8 * 24 * 3_600_000, Ordering::SeqCst);
    store.tick(&tick).await.unwrap();
    store.turn(&turn("sleeper", 2)).await.unwrap();
    for _ in 0..4 {
        now_ms.fetch_add(100, Ordering::SeqCst);
        store.tick(&tick).await.unwrap();
    }
    store.turn(&turn("sleeper", 3)).await.unwrap();
    let lanes = store.look("look", |maps| maps.lanes.keys().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(lanes.unwrap(), ["sleeper"]);
}
