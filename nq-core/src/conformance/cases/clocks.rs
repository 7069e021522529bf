//! Clocks that jump, and machines that sleep. Most of it needs a clock that can be moved.

use super::prelude::*;
use crate::conformance::TestClock;

const HOUR_MS: u64 = 3_600_000;

/// Ticks as often as an instance does, until ticks reclaim expired leases again.
async fn tick_in_time(t: &Fixture, clock: &TestClock) {
    for _ in 0..5 {
        clock.advance(SHORT_MS / 3);
        t.tick().await;
    }
}

pub(super) async fn ids_never_go_back_with_the_clock(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let before = t.summary(&run).await;
    clock.go_back(HOUR_MS);
    t.append(&run, &[line(&lease, "x")]).await.unwrap();
    one.commit(done(&lease)).await;
    let all = t.timeline(&run).await;
    assert!(all[2..].iter().all(|entry| entry.id.ms == before.last.ms));
    let completed = all.last().unwrap();
    let duration_ms = completed.says::<FlowCompleted>().unwrap().duration_ms;
    assert_eq!(duration_ms, completed.id.ms - before.started_ms);
    let ended = t.summary(&run).await.ended_ms.unwrap();
    assert!(ended >= before.started_ms, "it ends before it began");
}

pub(super) async fn a_machine_that_slept_loses_no_lease(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.short_peer("one");
    let lease = one.lease("a").await;
    t.tick().await;
    // Nothing ticks while the machine sleeps. By this gap the store tells a sleep from the death of an instance.
    t.pass(3 * SHORT_MS).await;
    assert_eq!(t.tick().await.expired, 0);
    assert_eq!(t.counts("a").await.leased, 1);
    assert_eq!(one.renew(&lease).await, RenewAnswer::Renewed);
    one.commit(done(&lease)).await;
}

pub(super) async fn a_late_tick_spares_for_one_whole_lease(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    t.start("r", job("a")).await;
    t.short_peer("one").lease("a").await;
    t.tick().await;
    clock.advance(HOUR_MS);
    t.tick().await;
    let step_ms = SHORT_MS / 6;
    for passed_ms in (step_ms..SHORT_MS).step_by(step_ms as usize) {
        clock.advance(step_ms);
        t.tick().await;
        assert_eq!(t.counts("a").await.leased, 1, "after {passed_ms} ms");
    }
    clock.advance(step_ms);
    t.tick().await;
    assert_eq!(t.counts("a").await.queued, 1);
}

pub(super) async fn ticks_that_come_in_time_spare_nothing(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    t.start("r", job("a")).await;
    tick_in_time(t, clock).await;
    t.short_peer("one").lease("a").await;
    for _ in 0..3 {
        assert_eq!(t.counts("a").await.leased, 1);
        clock.advance(SHORT_MS / 3);
        t.tick().await;
    }
    assert_eq!(t.counts("a").await.queued, 1);
}

pub(super) async fn a_tick_that_is_just_too_late_spares(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    t.start("r", job("a")).await;
    tick_in_time(t, clock).await;
    t.short_peer("one").lease("a").await;
    for _ in 0..10 {
        clock.advance(SHORT_MS / 3 + 1);
        t.tick().await;
        assert_eq!(t.counts("a").await.leased, 1);
    }
}

pub(super) async fn a_clock_that_went_back_takes_no_lease_away(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    t.start("r", job("a")).await;
    let mut one = t.short_peer("one");
    let lease = one.lease("a").await;
    t.tick().await;
    clock.go_back(HOUR_MS);
    t.tick().await;
    assert_eq!(one.renew(&lease).await, RenewAnswer::Renewed);
    // The renewal counts by the new time, and so does the end of the lease.
    t.until_expired("a").await;
    assert_eq!(t.counts("a").await.queued, 1);
}

pub(super) async fn a_clock_that_went_forward_makes_delayed_jobs_due(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).retry(HOUR_MS)).await;
    clock.advance(HOUR_MS - 1);
    t.tick().await;
    assert_eq!(t.counts("a").await.delayed, 1);
    clock.advance(1);
    t.tick().await;
    assert_eq!(t.counts("a").await.queued, 1);
}

pub(super) async fn a_lease_runs_out_at_its_deadline_not_before(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    t.start("r", job("a")).await;
    tick_in_time(t, clock).await;
    t.short_peer("one").lease("a").await;
    for by_ms in [100, 100, 99] {
        clock.advance(by_ms);
        t.tick().await;
        assert_eq!(t.counts("a").await.leased, 1);
    }
    clock.advance(1);
    t.tick().await;
    assert_eq!(t.counts("a").await.queued, 1);
}
