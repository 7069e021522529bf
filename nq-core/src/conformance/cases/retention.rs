//! Retention: a finished run goes as one, an active one never.

use super::prelude::*;

fn keeping(completed_ms: Option<u64>, failed_ms: Option<u64>) -> Retention {
    Retention { completed_ms, failed_ms }
}

/// Starts a run and ends it like this.
async fn ended(t: &Fixture, run: &str, status: RunStatus) -> RunId {
    let run = t.start(run, job("a")).await;
    let mut one = t.peer(run.as_str());
    if status == RunStatus::Cancelled {
        t.cancel(&run).await;
        assert!(one.leases("a", 1).await.is_empty());
        return run;
    }
    let lease = one.lease("a").await;
    one.commit(if status == RunStatus::Failed { write(&lease).fail("broken") } else { done(&lease) }).await;
    assert_eq!(t.summary(&run).await.status, status);
    run
}

pub(super) async fn a_finished_run_goes_when_its_time_is_over(t: &Fixture) {
    let run = ended(t, "r", RunStatus::Completed).await;
    let keep = keeping(Some(LONG_MS), Some(LONG_MS));
    t.tick_keeping(keep, 9).await;
    assert!(t.try_summary(&run).await.is_some());
    t.pass(30).await;
    let ticked = t.tick_keeping(keeping(Some(20), Some(LONG_MS)), 9).await;
    if !t.lossy {
        assert_eq!((ticked.removed, ticked.more), (1, false));
    }
    assert_eq!(t.try_summary(&run).await, None);
}

pub(super) async fn a_run_that_is_gone_leaves_nothing(t: &Fixture) {
    let run = t.start_with("r", job("a").holding(&["g"]), &[gather(job("g"), 0)]).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx =
        write(&lease).set("k", json!(1)).emit("e", json!(1)).join(job("j"), 0, 2).gather("g").to(job("b"));
    one.commit(tx.emit("e", json!(2)).to(job("c")).to(job("d")).complete()).await;
    let delayed = one.lease("b").await;
    one.commit(write(&delayed).retry(LONG_MS)).await;
    one.lease("c").await;
    let dead = one.lease("d").await;
    one.commit(write(&dead).fail("broken")).await;
    t.pass(30).await;
    t.tick_keeping(keeping(None, Some(20)), 99).await;

    assert_eq!(t.try_summary(&run).await, None);
    assert_eq!(t.read(&Read::after(run.clone(), 0)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(t.append(&run, &[line(&lease, "late")]).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        t.act(&run, Act::Redrive { step: dead.step.clone() }).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(t.run_ids(all_runs(9)).await.is_empty());
    assert!(t.run_ids(RunsQuery { status: Some(RunStatus::Failed), ..all_runs(9) }).await.is_empty());
    assert!(t.jobs(JobsQuery { limit: 9, ..JobsQuery::default() }).await.is_empty());
    for counts in t.queues().await {
        assert_eq!((counts.queued, counts.leased, counts.delayed, counts.dead), (0, 0, 0, 0), "{counts:?}");
    }
    assert_eq!(one.write(done(&delayed)).await, Answer::RunGone);
    assert!(one.leases("g", 9).await.is_empty());
}

pub(super) async fn the_id_of_a_run_that_is_gone_is_free(t: &Fixture) {
    let run = ended(t, "r", RunStatus::Completed).await;
    t.pass(30).await;
    t.tick_keeping(keeping(Some(20), None), 9).await;
    let begin = start("r", json!("something else"), job("b"), &[]);
    assert!(matches!(t.try_start(&begin).await.unwrap(), Started::New(id) if id.n == 1));
    assert_eq!(t.kinds(&run).await, ["flow.started"]);
    t.peer("two").finish("b").await;
    assert!(t.peer("three").leases("a", 9).await.is_empty());
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn failed_and_cancelled_runs_are_kept_by_their_own_time(t: &Fixture) {
    for (run, status) in [("c", RunStatus::Completed), ("f", RunStatus::Failed), ("x", RunStatus::Cancelled)]
    {
        ended(t, run, status).await;
    }
    t.pass(30).await;
    t.tick_keeping(keeping(Some(20), Some(LONG_MS)), 9).await;
    let mut left = t.run_ids(all_runs(9)).await;
    left.sort();
    assert_eq!(left, ["f", "x"]);
    t.tick_keeping(keeping(None, Some(20)), 9).await;
    assert!(t.run_ids(all_runs(9)).await.is_empty());
}

pub(super) async fn an_active_run_never_goes(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let lease = t.peer("one").lease("a").await;
    t.pass(30).await;
    t.tick_keeping(keeping(Some(0), Some(0)), 9).await;
    assert_eq!(t.timeline(&run).await.len(), 2);
    t.peer("one").after(1).commit(done(&lease)).await;
}

pub(super) async fn without_a_time_runs_are_kept_for_ever(t: &Fixture) {
    let run = ended(t, "r", RunStatus::Completed).await;
    if let Some(clock) = &t.clock {
        clock.advance(365 * 24 * 3_600_000);
    }
    t.tick_keeping(keeping(None, Some(0)), 9).await;
    assert!(t.try_summary(&run).await.is_some());
}

pub(super) async fn a_time_longer_than_history_keeps_everything(t: &Fixture) {
    let run = ended(t, "r", RunStatus::Completed).await;
    t.tick_keeping(keeping(Some(u64::MAX), Some(u64::MAX)), 9).await;
    assert!(t.try_summary(&run).await.is_some());
}

pub(super) async fn many_runs_go_in_bounded_calls(t: &Fixture) {
    for n in 0..7 {
        ended(t, &format!("r{n}"), RunStatus::Completed).await;
    }
    t.pass(30).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let ticked = t.tick_keeping(keeping(Some(20), Some(20)), 3).await;
        seen.push((ticked.removed, ticked.more, t.run_ids(all_runs(9)).await.len()));
    }
    if t.lossy {
        assert_eq!(seen[2].2, 0);
    } else {
        assert_eq!(seen, [(3, true, 4), (3, true, 1), (1, false, 0)]);
    }
}

pub(super) async fn late_log_lines_do_not_prolong_a_run(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(done(&lease)).await;
    t.pass(60).await;
    t.append(&run, &[line(&lease, "late")]).await.unwrap();
    t.tick_keeping(keeping(Some(50), None), 9).await;
    assert_eq!(t.try_summary(&run).await, None);
}

const HOUR_MS: u64 = 3_600_000;

pub(super) async fn a_run_that_ended_while_the_clock_was_ahead_holds_up_no_other(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    clock.advance(HOUR_MS);
    let first = ended(t, "first", RunStatus::Completed).await;
    let failed = ended(t, "failed", RunStatus::Failed).await;
    clock.go_back(HOUR_MS);
    let second = ended(t, "second", RunStatus::Completed).await;
    let cancelled = ended(t, "cancelled", RunStatus::Cancelled).await;
    clock.advance(30);
    t.tick_keeping(keeping(Some(20), Some(20)), 9).await;
    for (run, there) in [(first, true), (failed, true), (second, false), (cancelled, false)] {
        assert_eq!(t.try_summary(&run).await.is_some(), there, "{run}");
    }
}

pub(super) async fn a_run_that_ended_while_the_clock_was_ahead_goes_too(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    clock.advance(9_000 * HOUR_MS);
    let runs = [ended(t, "c", RunStatus::Completed).await, ended(t, "f", RunStatus::Failed).await];
    clock.go_back(9_000 * HOUR_MS);
    let keep = keeping(Some(LONG_MS), Some(LONG_MS));
    t.tick_keeping(keep, 9).await;
    clock.advance(LONG_MS - 1);
    t.tick_keeping(keep, 9).await;
    for run in &runs {
        assert!(t.try_summary(run).await.is_some(), "{run} is kept from when the clock was set right");
    }
    clock.advance(1);
    t.tick_keeping(keep, 9).await;
    for run in &runs {
        assert_eq!(t.try_summary(run).await, None, "{run}");
    }
    assert!(t.run_ids(all_runs(9)).await.is_empty());
}

pub(super) async fn runs_go_by_their_own_end_whatever_the_order(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    // Ends at 3, 1 and 2 minutes, in this order.
    clock.advance(3 * LONG_MS);
    let mut runs = vec![ended(t, "r3", RunStatus::Completed).await];
    clock.go_back(2 * LONG_MS);
    runs.push(ended(t, "r1", RunStatus::Completed).await);
    clock.advance(LONG_MS);
    runs.push(ended(t, "r2", RunStatus::Completed).await);
    clock.advance(LONG_MS);
    let mut left = vec!["r3", "r2", "r1"];
    for _ in 0..3 {
        clock.advance(LONG_MS);
        t.tick_keeping(keeping(Some(3 * LONG_MS - 1), None), 9).await;
        left.pop();
        let mut there = t.run_ids(all_runs(9)).await;
        there.sort_by(|a, b| b.cmp(a));
        assert_eq!(there, left);
    }
}
