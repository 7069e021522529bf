//! Fences: an attempt that has lost its lease writes nothing but logs.

use super::prelude::*;

/// A job that `one` has lost to `two`.
async fn lost_to_another(t: &Fixture) -> (RunId, Lease, Lease) {
    let run = t.start("r", job("a")).await;
    let old = t.short_peer("one").lease("a").await;
    t.until_expired("a").await;
    let new = t.peer("two").lease("a").await;
    (run, old, new)
}

pub(super) async fn each_lease_raises_the_fence(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let mut last = 0;
    for _ in 0..3 {
        let lease = one.lease("a").await;
        assert!(lease.fence > last);
        last = lease.fence;
        one.commit(write(&lease).release()).await;
    }
    let lease = one.lease("a").await;
    one.commit(write(&lease).retry(0)).await;
    assert!(one.lease("a").await.fence > lease.fence);
}

pub(super) async fn the_loser_of_a_lease_commits_nothing(t: &Fixture) {
    let (run, old, new) = lost_to_another(t).await;
    let mut one = t.peer("one").after(1);
    let before = t.timeline(&run).await;
    let tx = write(&old).emit("e", json!(1)).to(job("b"));
    for refused in [
        tx.clone().complete(),
        tx.effect(json!(1)),
        write(&old).retry(0),
        write(&old).retry(1_000),
        write(&old).fail("late"),
        write(&old).release(),
    ] {
        assert_eq!(one.write(refused.clone()).await, Answer::LeaseLost, "{:?}", refused.outcome);
    }
    assert_eq!(t.timeline(&run).await, before);
    assert_eq!((t.counts("a").await.leased, t.counts("b").await.queued), (1, 0));
    t.peer("two").after(1).commit(done(&new)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn the_loser_of_a_lease_renews_nothing(t: &Fixture) {
    let (_, old, new) = lost_to_another(t).await;
    assert_eq!(t.peer("one").after(1).renew(&old).await, RenewAnswer::LeaseLost);
    assert_eq!(t.peer("two").after(1).renew(&new).await, RenewAnswer::Renewed);
}

pub(super) async fn the_loser_of_a_lease_may_still_log(t: &Fixture) {
    let (run, old, _) = lost_to_another(t).await;
    t.append(&run, &[line(&old, "where am I?")]).await.unwrap();
    let last = t.timeline(&run).await.pop().unwrap();
    assert_eq!((last.kind, last.attempt), (EntryType::LogInfo, Some(1)));
}

pub(super) async fn a_fence_that_was_never_given_is_refused(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    for fence in [0, lease.fence - 1, lease.fence + 1, 1 << 52] {
        let forged = Transaction { fence, ..done(&lease) };
        assert_eq!(one.write(forged).await, Answer::LeaseLost, "fence {fence}");
    }
    assert_eq!(t.timeline(&run).await.len(), 2);
    one.commit(done(&lease)).await;
}

pub(super) async fn a_job_that_nobody_holds_takes_no_commit(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).release()).await;
    assert_eq!(one.write(done(&lease)).await, Answer::LeaseLost, "queued");
    let lease = one.lease("a").await;
    one.commit(write(&lease).retry(LONG_MS)).await;
    assert_eq!(one.write(done(&lease)).await, Answer::LeaseLost, "delayed");
    assert_eq!(t.summary(&run).await.status, RunStatus::Running);
}

pub(super) async fn a_lease_that_ran_out_but_was_not_taken_away_still_counts(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.short_peer("one");
    let lease = one.lease("a").await;
    t.pass(SHORT_MS + 50).await;
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn of_two_who_commit_at_once_one_wins(t: &Fixture) {
    let (run, old, new) = lost_to_another(t).await;
    let (mut one, mut two) = (t.peer("one").after(1), t.peer("two").after(1));
    let tx = |lease| write(lease).emit("e", json!(1)).to(job("b")).complete();
    let (loser, winner) = both(one.write(tx(&old)), two.write(tx(&new))).await;
    assert_eq!(loser, Answer::LeaseLost);
    assert!(matches!(winner, Answer::Committed { .. }), "{winner:?}");
    assert_eq!(t.said::<EventEmitted>(&run).await.len(), 1);
    assert_eq!(t.counts("b").await.queued, 1);
}

pub(super) async fn a_step_of_another_run_is_not_meant(t: &Fixture) {
    t.start("r1", job("a")).await;
    let other = t.start("r2", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let mixed = Transaction { run: other.clone(), ..done(&lease) };
    assert_eq!(one.write(mixed).await, Answer::LeaseLost);
    assert_eq!(t.summary(&other).await.last.n, 1);
}
