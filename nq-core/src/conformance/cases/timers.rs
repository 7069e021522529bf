//! Timers: a delayed job comes when it is due, and not before.

use super::prelude::*;

/// Starts a run whose job has failed and comes back after this delay.
async fn delayed(t: &Fixture, run: &str, delay_ms: u64) -> RunId {
    let run = t.start(run, job("a")).await;
    let mut peer = t.peer(run.as_str());
    let lease = peer.lease("a").await;
    peer.commit(write(&lease).retry(delay_ms)).await;
    run
}

const FOR_EVER: Retention = Retention { completed_ms: None, failed_ms: None };

pub(super) async fn a_delayed_job_waits(t: &Fixture) {
    let run = delayed(t, "r", LONG_MS).await;
    t.tick().await;
    assert!(t.peer("one").leases("a", 1).await.is_empty());
    let counts = t.counts("a").await;
    assert_eq!((counts.delayed, counts.queued, counts.leased), (1, 0, 0));
    assert_eq!(t.summary(&run).await.pending, 1);
}

pub(super) async fn a_delayed_job_comes_when_it_is_due(t: &Fixture) {
    let run = delayed(t, "r", 100).await;
    t.until("the job is due", async || t.counts("a").await.queued == 1).await;
    let lease = t.peer("one").lease("a").await;
    assert_eq!((lease.attempt, lease.failures), (2, 1));
    let all = t.timeline(&run).await;
    assert_eq!(all[2].kind, EntryType::StepRetrying);
    assert!(all[3].id.ms >= all[2].id.ms + 100, "leased at {} after a delay at {}", all[3].id, all[2].id);
    assert_eq!(all.len(), 4, "coming back is not in the timeline");
}

pub(super) async fn a_job_that_is_delayed_by_nothing_is_there_at_once(t: &Fixture) {
    delayed(t, "r", 0).await;
    assert_eq!(t.counts("a").await.queued, 1);
    assert_eq!(t.peer("one").lease("a").await.attempt, 2);
}

/// In what order is not promised: a store may keep its queues in several places.
pub(super) async fn all_who_are_due_come(t: &Fixture) {
    for (run, delay_ms) in [("late", 150), ("early", 50), ("middle", 100)] {
        delayed(t, run, delay_ms).await;
    }
    t.pass(250).await;
    t.until("all are due", async || t.counts("a").await.queued == 3).await;
    let mut came: Vec<_> =
        t.peer("one").leases("a", 3).await.into_iter().map(|lease| lease.run.to_string()).collect();
    came.sort();
    assert_eq!(came, ["early", "late", "middle"]);
}

pub(super) async fn a_tick_does_no_more_than_it_may(t: &Fixture) {
    for n in 0..7 {
        delayed(t, &format!("r{n}"), 20).await;
    }
    t.pass(60).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let ticked = t.tick_keeping(FOR_EVER, 3).await;
        seen.push((ticked.due, ticked.more, t.counts("a").await.queued));
    }
    if t.lossy {
        assert_eq!(seen[3].2, 7);
    } else {
        assert_eq!(seen, [(3, true, 3), (3, true, 6), (1, false, 7), (0, false, 7)]);
    }
}

pub(super) async fn a_tick_says_when_the_next_job_is_due(t: &Fixture) {
    assert_eq!(t.tick().await.next_due, None);
    delayed(t, "far", 5 * LONG_MS).await;
    delayed(t, "near", LONG_MS).await;
    let next = t.tick().await.next_due.unwrap();
    let long = Duration::from_millis(LONG_MS);
    assert!(next <= long && next > long / 2, "{next:?}");
}

pub(super) async fn a_delay_beyond_all_time_is_only_long(t: &Fixture) {
    delayed(t, "r", u64::MAX).await;
    delayed(t, "s", u64::MAX / 2).await;
    t.tick().await;
    let counts = t.counts("a").await;
    assert_eq!((counts.delayed, counts.queued), (2, 0));
}

pub(super) async fn a_delayed_job_of_an_ended_run_never_runs(t: &Fixture) {
    let run = delayed(t, "r", 50).await;
    t.cancel(&run).await;
    let before = t.timeline(&run).await;
    t.until("the delay is over", async || t.counts("a").await.delayed == 0).await;
    assert!(t.peer("one").leases("a", 1).await.is_empty());
    assert_eq!(t.timeline(&run).await, before);
}

pub(super) async fn ticking_without_cause_does_nothing(t: &Fixture) {
    let run = delayed(t, "r", LONG_MS).await;
    t.start("s", job("b")).await;
    let before = (t.timeline(&run).await, t.queues().await);
    for _ in 0..5 {
        let ticked = t.tick().await;
        assert_eq!((ticked.due, ticked.expired, ticked.removed, ticked.more), (0, 0, 0, false));
    }
    assert_eq!((t.timeline(&run).await, t.queues().await), before);
}

pub(super) async fn two_who_tick_at_once_do_it_once(t: &Fixture) {
    for n in 0..5 {
        delayed(t, &format!("r{n}"), 20).await;
    }
    t.pass(60).await;
    let (first, second) = both(t.tick(), t.tick()).await;
    assert_eq!(t.counts("a").await.queued, 5);
    if !t.lossy {
        assert_eq!(first.due + second.due, 5);
    }
    assert_eq!(t.peer("one").leases("a", 9).await.len(), 5);
}

pub(super) async fn a_retry_reads_and_replays_what_the_first_attempt_did(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).effect(json!(1))).await;
    one.commit(write(&lease).retry(20)).await;
    t.until("the job is due", async || t.counts("a").await.queued == 1).await;
    let again = one.lease("a").await;
    assert_eq!((again.read, again.recorded, again.inputs), (lease.read, 1, lease.inputs));
}
