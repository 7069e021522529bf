//! Acts from outside: cancelling a run, redriving a dead letter.

use super::prelude::*;

/// A run with a dead letter in `b` and a held step of `c`.
async fn dead_letter(t: &Fixture) -> (RunId, Peer<'_>, Lease, Lease) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!(1)).to(job("b").optional()).to(job("c")).complete()).await;
    let (dead, held) = (one.lease("b").await, one.lease("c").await);
    one.commit(write(&dead).fail("no luck")).await;
    (run, one, dead, held)
}

fn redrive(lease: &Lease) -> Act {
    Act::Redrive { step: lease.step.clone() }
}

pub(super) async fn cancelling_ends_a_run(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    assert_eq!(t.cancel(&run).await, Acted::Done);
    let last = t.timeline(&run).await.pop().unwrap();
    assert_eq!(t.said::<FlowCancelled>(&run).await[0].reason, "enough");
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.pending), (RunStatus::Cancelled, 0));
    assert_eq!(summary.ended_ms, Some(last.id.ms));
}

pub(super) async fn cancelling_twice_cancels_once(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    t.cancel(&run).await;
    let before = t.timeline(&run).await;
    assert_eq!(t.cancel(&run).await, Acted::Nothing);
    assert_eq!(t.act(&run, Act::Cancel { reason: "other".into() }).await.unwrap(), Acted::Nothing);
    assert_eq!(t.timeline(&run).await, before);
}

pub(super) async fn what_has_ended_is_not_cancelled(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    t.peer("one").finish("a").await;
    assert_eq!(t.cancel(&run).await, Acted::Nothing);
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_run_that_is_not_there_is_not_acted_on(t: &Fixture) {
    let gone = run_id("gone");
    let lease_of_nothing = Act::Redrive { step: "a@1-1".parse().unwrap() };
    for act in [Act::Cancel { reason: String::new() }, lease_of_nothing] {
        let error = t.act(&gone, act).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("gone"), "the message names the run: {error}");
    }
    assert_eq!(t.try_summary(&gone).await, None);
}

pub(super) async fn the_steps_of_a_cancelled_run_are_told(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    t.cancel(&run).await;
    assert_eq!(one.renew(&lease).await, RenewAnswer::RunEnded);
    let ended = Answer::RunEnded { status: RunStatus::Cancelled };
    let late = write(&lease).emit("e", json!(1)).to(job("b")).complete();
    assert_eq!(one.writes(vec![late, write(&lease).retry(0)]).await, [ended.clone(), ended]);
    assert_eq!(t.kinds(&run).await, ["flow.started", "flow.step.started", "flow.cancelled"]);
    assert_eq!(t.counts("b").await.queued, 0);
}

pub(super) async fn cancelling_one_run_leaves_the_others(t: &Fixture) {
    let (first, second) = (t.start("r1", job("a")).await, t.start("r2", job("a")).await);
    t.cancel(&first).await;
    t.peer("one").finish("a").await;
    assert_eq!(t.summary(&second).await.status, RunStatus::Completed);
}

pub(super) async fn a_cancel_and_a_last_commit_leave_one_end(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    both(t.cancel(&run), one.write(done(&lease))).await;
    let all = t.timeline(&run).await;
    assert_eq!(all.iter().filter(|entry| entry.kind.is_terminal()).count(), 1);
    assert!(all.last().unwrap().kind.is_terminal());
}

pub(super) async fn a_dead_letter_gets_another_chance(t: &Fixture) {
    let (run, mut one, dead, held) = dead_letter(t).await;
    assert_eq!(t.summary(&run).await.pending, 1);
    assert_eq!(t.act(&run, redrive(&dead)).await.unwrap(), Acted::Done);
    assert_eq!(t.summary(&run).await.pending, 2);
    assert!(t.dead(&run).await.is_empty());
    let again = one.lease("b").await;
    assert_eq!((&again.step, again.failures, again.attempt), (&dead.step, 0, dead.attempt + 1));
    assert!(again.fence > dead.fence);
    assert_eq!(again.inputs, dead.inputs);
    one.commit(done(&held)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Running);
    one.commit(done(&again)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn attempts_of_a_redriven_step_count_on(t: &Fixture) {
    let (run, mut one, dead, _) = dead_letter(t).await;
    t.act(&run, redrive(&dead)).await.unwrap();
    let redriven =
        StepRetrying { error: None, reason: Some("redriven".into()), next_attempt: 2, delay_ms: 0 };
    assert_eq!(t.said::<StepRetrying>(&run).await, [redriven]);
    for attempt in 2..5 {
        let again = one.lease("b").await;
        assert_eq!((again.attempt, again.failures), (attempt, attempt - 2));
        one.commit(write(&again).retry(0)).await;
    }
}

pub(super) async fn redriving_twice_redrives_once(t: &Fixture) {
    let (run, _, dead, _) = dead_letter(t).await;
    t.act(&run, redrive(&dead)).await.unwrap();
    let before = t.timeline(&run).await;
    assert_eq!(t.act(&run, redrive(&dead)).await.unwrap(), Acted::Nothing);
    assert_eq!(t.timeline(&run).await, before);
    assert_eq!((t.counts("b").await.queued, t.summary(&run).await.pending), (1, 2));
}

pub(super) async fn only_dead_letters_are_redriven(t: &Fixture) {
    let (run, _, dead, held) = dead_letter(t).await;
    let unknown = Act::Redrive { step: crate::id::StepId::new(name("b"), held.step.cause().next(0)) };
    for act in [redrive(&held), unknown] {
        assert_eq!(t.act(&run, act).await.unwrap(), Acted::Nothing);
    }
    assert_eq!(t.counts("c").await.leased, 1);
    assert_eq!(t.dead(&run).await[0].0.step, dead.step);
}

pub(super) async fn a_run_that_has_ended_is_not_redriven(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).fail("broken")).await;
    assert_eq!(t.act(&run, redrive(&lease)).await.unwrap(), Acted::Nothing);
    assert_eq!((t.dead(&run).await.len(), t.counts("a").await.queued), (1, 0));
}

pub(super) async fn a_redriven_killer_may_crash_as_often_again(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.short_peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!(1)).to(job("b").crashes(2).optional()).to(job("c")).complete())
        .await;
    let mut last = None;
    for _ in 0..2 {
        last = Some(one.lease("b").await);
        t.until_expired("b").await;
    }
    t.act(&run, redrive(&last.unwrap())).await.unwrap();
    one.lease("b").await;
    t.until_expired("b").await;
    let again = one.lease("b").await;
    assert_eq!(again.attempt, 4);
}

/// A run with a job of `b` in each state, and the lease of the one that is held.
async fn of_every_state(t: &Fixture, one: &mut Peer<'_>) -> (RunId, Lease) {
    let run = t.start("r", job("a")).await;
    let lease = one.lease("a").await;
    let fan = (0..5).fold(write(&lease), |tx, n| tx.emit("e", json!(n)).to(job("b").optional()));
    one.commit(fan.emit("e", json!(5)).to(job("c")).complete()).await;
    let leases = one.leases("b", 3).await;
    one.commit(write(&leases[0]).retry(LONG_MS)).await;
    one.commit(write(&leases[1]).fail("broken")).await;
    let counts = t.counts("b").await;
    assert_eq!((counts.queued, counts.leased, counts.delayed, counts.dead), (2, 1, 1, 1));
    (run, leases[2].clone())
}

/// Checks that nothing but its dead letters is left of this run, which has ended.
async fn only_the_dead_are_left(t: &Fixture, run: &RunId, dead: &[&str]) {
    for worker in ["a", "b", "c"] {
        let counts = t.counts(worker).await;
        assert_eq!((counts.queued, counts.leased, counts.delayed), (0, 0, 0), "{worker}");
    }
    let of_run = JobsQuery { run: Some(run.clone()), limit: 2, ..JobsQuery::default() };
    let everything = JobsQuery { limit: 2, ..JobsQuery::default() };
    for query in [of_run, everything] {
        let jobs = t.jobs(query).await;
        assert!(jobs.iter().all(|job| matches!(job.state, JobState::Dead { .. })), "{jobs:?}");
        let workers: Vec<_> = jobs.iter().map(|job| job.step.worker().as_str()).collect();
        assert_eq!(workers, dead);
    }
}

/// Checks that the holder of a job learns from each call that the run has ended.
async fn its_holder_is_told(t: &Fixture, one: &mut Peer<'_>, lease: &Lease, status: RunStatus) {
    let before = t.timeline(&lease.run).await;
    assert_eq!(one.renew(lease).await, RenewAnswer::RunEnded);
    assert_eq!(one.write(done(lease)).await, Answer::RunEnded { status });
    assert_eq!(one.write(write(lease).release()).await, Answer::RunEnded { status });
    for worker in ["b", "c"] {
        assert!(one.leases(worker, 9).await.is_empty(), "{worker}");
    }
    assert_eq!(t.timeline(&lease.run).await, before);
}

pub(super) async fn a_cancelled_run_leaves_only_its_dead_letters(t: &Fixture) {
    let mut one = t.peer("one");
    let (run, held) = of_every_state(t, &mut one).await;
    assert_eq!(t.cancel(&run).await, Acted::Done);
    only_the_dead_are_left(t, &run, &["b"]).await;
    its_holder_is_told(t, &mut one, &held, RunStatus::Cancelled).await;
    only_the_dead_are_left(t, &run, &["b"]).await;
}

pub(super) async fn a_failed_run_leaves_only_its_dead_letters(t: &Fixture) {
    let mut one = t.peer("one");
    let (run, held) = of_every_state(t, &mut one).await;
    let last = one.lease("c").await;
    // The jobs that the failing step enqueues, and those that the same turn would lease, are removed with the run.
    let tx = write(&last).emit("e", json!(1)).to(job("b")).fail("broken");
    let wants = vec![Want { queue: queue("b"), max: 9 }];
    let turn = Turn { writes: vec![write(&held).effect(json!(1)), tx], wants, ..one.next() };
    let reply = one.send(&turn).await.unwrap();
    assert!(reply.answers.iter().all(|answer| matches!(answer, Answer::Committed { .. })), "{reply:?}");
    assert!(reply.leases.is_empty(), "{reply:?}");
    only_the_dead_are_left(t, &run, &["b", "c"]).await;
    its_holder_is_told(t, &mut one, &held, RunStatus::Failed).await;
}

pub(super) async fn the_many_jobs_of_a_run_that_ended_go_in_bounded_calls(t: &Fixture) {
    const JOBS: u64 = 5_000;
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let fan = (0..JOBS).fold(write(&lease), |tx, n| tx.emit("e", json!(n)).to(job("b")));
    one.commit(fan.complete()).await;
    t.until("they are queued", async || t.counts("b").await.queued == JOBS).await;
    t.cancel(&run).await;
    let left = async || t.counts("b").await.queued;
    assert!(left().await > JOBS / 2, "the cancel drops no more than it has time for");
    let mut before = left().await;
    while before > 0 {
        let ticked = t.tick().await;
        let now = left().await;
        assert!(now < before && before - now <= JOBS / 2, "from {before} to {now}");
        assert!(t.lossy || ticked.more == (now > 0), "{ticked:?}, {now}");
        before = now;
    }
    only_the_dead_are_left(t, &run, &[]).await;
    assert!(one.leases("b", 9).await.is_empty());
}
