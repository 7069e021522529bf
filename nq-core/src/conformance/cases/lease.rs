//! Leases: who gets a job, for how long, and who gets it next.

use std::collections::BTreeSet;

use super::prelude::*;

async fn starts(t: &Fixture, count: usize) -> Vec<RunId> {
    let mut runs = Vec::new();
    for n in 0..count {
        runs.push(t.start(&format!("r{n}"), job("a")).await);
    }
    runs
}

fn runs_of(leases: &[Lease]) -> Vec<RunId> {
    leases.iter().map(|lease| lease.run.clone()).collect()
}

pub(super) async fn first_come_first_served(t: &Fixture) {
    let runs = starts(t, 6).await;
    let mut one = t.peer("one");
    assert_eq!(runs_of(&one.leases("a", 2).await), runs[..2]);
    assert_eq!(runs_of(&t.peer("two").leases("a", 3).await), runs[2..5]);
    assert_eq!(runs_of(&one.leases("a", 9).await), runs[5..]);
}

pub(super) async fn nobody_gets_more_than_he_wants(t: &Fixture) {
    starts(t, 3).await;
    let mut one = t.peer("one");
    assert!(one.leases("a", 0).await.is_empty());
    assert_eq!(one.leases("a", 2).await.len(), 2);
    assert_eq!(one.leases("a", u32::MAX).await.len(), 1);
    assert!(one.leases("a", 5).await.is_empty());
}

pub(super) async fn nobody_gets_the_job_of_another_queue(t: &Fixture) {
    t.start("r1", job("a")).await;
    t.start("r2", job("a2")).await;
    let mut one = t.peer("one");
    assert!(one.leases("b", 5).await.is_empty());
    let leases = one.leases("a2", 5).await;
    assert_eq!(runs_of(&leases), [run_id("r2")]);
}

pub(super) async fn one_turn_leases_from_several_queues(t: &Fixture) {
    t.start("r1", job("a")).await;
    t.start("r2", job("b")).await;
    t.start("r3", job("b")).await;
    let mut one = t.peer("one");
    let wants = [("b", 1), ("none", 5), ("a", 5)].map(|(worker, max)| Want { queue: queue(worker), max });
    let turn = Turn { wants: wants.into(), ..one.next() };
    let leases = one.send(&turn).await.unwrap().leases;
    assert_eq!(runs_of(&leases), [run_id("r2"), run_id("r1")]);
}

pub(super) async fn a_job_is_leased_to_one_instance_only(t: &Fixture) {
    starts(t, 60).await;
    let take = async |name: &str| {
        let mut peer = t.peer(name);
        let mut taken = Vec::new();
        loop {
            let leases = peer.leases("a", 7).await;
            if leases.is_empty() {
                return taken;
            }
            taken.extend(runs_of(&leases));
        }
    };
    let (one, two) = both(take("one"), take("two")).await;
    let all: BTreeSet<_> = one.iter().chain(&two).collect();
    assert_eq!((one.len() + two.len(), all.len()), (60, 60));
}

pub(super) async fn a_lease_writes_the_start_of_the_attempt(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let lease = t.peer("one").lease("a").await;
    let started = t.timeline(&run).await.pop().unwrap();
    assert_eq!(
        (started.kind, started.step, started.attempt),
        (EntryType::StepStarted, Some(lease.step), Some(1))
    );
    assert_eq!(t.said::<StepStarted>(&run).await[0].instance.as_str(), "one");
    assert_eq!((lease.attempt, lease.failures, lease.recorded), (1, 0, 0));
}

pub(super) async fn every_attempt_reads_as_of_the_same_position(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.short_peer("one");
    let lease = one.lease("a").await;
    // The position is that of the last entry before the attempt began.
    assert_eq!(lease.read, 1);
    t.append(&run, &[line(&lease, "x")]).await.unwrap();
    one.commit(write(&lease).retry(0)).await;
    let lease = one.lease("a").await;
    assert_eq!((lease.read, lease.attempt), (1, 2));
    t.until_expired("a").await;
    let lease = one.lease("a").await;
    assert_eq!((lease.read, lease.attempt), (1, 3));
    one.commit(write(&lease).emit("e", json!(1)).to(job("b")).complete()).await;
    assert_eq!(one.lease("b").await.read, t.summary(&run).await.last.n - 1);
}

pub(super) async fn a_lease_that_runs_out_goes_back_to_the_queue(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let lost = t.short_peer("one").lease("a").await;
    t.until_expired("a").await;
    assert_eq!(t.counts("a").await.queued, 1, "the one who reclaims does not get it");
    let retrying = t.said::<StepRetrying>(&run).await.remove(0);
    assert_eq!((retrying.next_attempt, retrying.delay_ms), (2, 0));
    assert!(retrying.error.as_ref().unwrap().contains("one"), "the error names the instance: {retrying:?}");
    let next = t.peer("two").lease("a").await;
    assert_eq!((next.step, next.attempt, next.failures), (lost.step, 2, 0));
    let jobs = t.jobs(JobsQuery { run: Some(run), limit: 9, ..JobsQuery::default() }).await;
    assert_eq!((jobs[0].crashes, jobs[0].failures), (1, 0));
}

pub(super) async fn a_lease_that_has_not_run_out_stays(t: &Fixture) {
    t.start("r1", job("a")).await;
    t.start("r2", job("b")).await;
    let kept = t.peer("one").lease("a").await;
    t.short_peer("two").lease("b").await;
    t.until_expired("b").await;
    assert_eq!(t.counts("a").await.leased, 1);
    t.peer("one").after(1).commit(done(&kept)).await;
}

pub(super) async fn a_lease_beyond_all_time_is_only_long(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    one.lease_ms = u64::MAX;
    let lease = one.lease("a").await;
    assert_eq!(one.renew(&lease).await, RenewAnswer::Renewed);
    t.start("s", job("b")).await;
    t.short_peer("two").lease("b").await;
    t.until_expired("b").await;
    assert_eq!(t.counts("a").await.leased, 1);
    one.commit(done(&lease)).await;
}

pub(super) async fn a_lease_that_is_renewed_stays(t: &Fixture) {
    t.start("r1", job("a")).await;
    t.start("r2", job("b")).await;
    let mut one = t.short_peer("one");
    let kept = one.lease("a").await;
    // After a renewal the lease is as long as a new lease of the same turn would be.
    one.lease_ms = LONG_MS;
    assert_eq!(one.renew(&kept).await, RenewAnswer::Renewed);
    t.short_peer("two").lease("b").await;
    t.until_expired("b").await;
    assert_eq!(t.counts("a").await.leased, 1);
    one.commit(done(&kept)).await;
}

pub(super) async fn a_renewal_writes_nothing_into_the_timeline(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    for _ in 0..3 {
        assert_eq!(one.renew(&lease).await, RenewAnswer::Renewed);
    }
    assert_eq!(t.timeline(&run).await.len(), 2);
}

pub(super) async fn renewals_are_answered_in_their_order(t: &Fixture) {
    starts(t, 3).await;
    let mut one = t.peer("one");
    let leases = one.leases("a", 3).await;
    t.cancel(&leases[1].run).await;
    one.commit(done(&leases[2])).await;
    let stale = crate::transaction::Renewal { fence: leases[0].fence + 1, ..renewal(&leases[0]) };
    let gone = crate::transaction::Renewal { run: run_id("gone"), ..renewal(&leases[0]) };
    let renewals = vec![stale, renewal(&leases[1]), gone, renewal(&leases[0]), renewal(&leases[2])];
    let turn = Turn { renewals, ..one.next() };
    let expected = [
        RenewAnswer::LeaseLost,
        RenewAnswer::RunEnded,
        RenewAnswer::LeaseLost,
        RenewAnswer::Renewed,
        RenewAnswer::LeaseLost,
    ];
    assert_eq!(one.send(&turn).await.unwrap().renewed, expected);
}

pub(super) async fn a_turn_renews_then_writes_then_leases(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let turn = Turn {
        renewals: vec![renewal(&lease)],
        writes: vec![write(&lease).release()],
        wants: vec![Want { queue: queue("a"), max: 1 }],
        ..one.next()
    };
    let reply = one.send(&turn).await.unwrap();
    assert_eq!(reply.renewed, [RenewAnswer::Renewed]);
    assert!(matches!(reply.answers[0], Answer::Committed { .. }));
    assert_eq!(reply.leases[0].step, lease.step);
    assert!(reply.leases[0].fence > lease.fence);
}

pub(super) async fn what_comes_back_goes_to_the_end_of_its_queue(t: &Fixture) {
    let runs = starts(t, 3).await;
    let mut one = t.peer("one");
    let first = one.lease("a").await;
    one.commit(write(&first).release()).await;
    let second = one.lease("a").await;
    one.commit(write(&second).retry(0)).await;
    let order = runs_of(&one.leases("a", 3).await);
    assert_eq!(order, [runs[2].clone(), runs[0].clone(), runs[1].clone()]);
}

pub(super) async fn a_job_that_keeps_killing_its_process_is_a_dead_letter(t: &Fixture) {
    let run = t.start("r", job("a").crashes(2)).await;
    let mut one = t.short_peer("one");
    one.lease("a").await;
    t.until_expired("a").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Running);
    one.lease("a").await;
    t.until_expired("a").await;
    let kinds = t.kinds(&run).await;
    assert_eq!(kinds[4..], ["flow.step.failed", "flow.failed"]);
    let (letter, error) = t.dead(&run).await.remove(0);
    assert_eq!(letter.crashes, 2);
    assert_eq!(t.said::<FlowFailed>(&run).await[0].error, error);
    assert!(one.leases("a", 1).await.is_empty());
}

pub(super) async fn a_killer_that_may_fail_lets_its_run_go_on(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.short_peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!(1)).to(job("b").crashes(1).optional()).to(job("c")).complete())
        .await;
    one.lease("b").await;
    t.until_expired("b").await;
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.pending), (RunStatus::Running, 1));
    one.finish("c").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn jobs_of_an_ended_run_are_dropped_when_leased(t: &Fixture) {
    let runs = starts(t, 3).await;
    t.cancel(&runs[0]).await;
    t.cancel(&runs[1]).await;
    let mut one = t.peer("one");
    assert_eq!(runs_of(&one.leases("a", 1).await), runs[2..]);
    assert_eq!(t.counts("a").await.queued, 0);
    assert_eq!(t.kinds(&runs[0]).await, ["flow.started", "flow.cancelled"]);
}

pub(super) async fn many_jobs_of_ended_runs_do_not_hide_what_is_behind_them(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let fan = (0..1_200).fold(write(&lease), |tx, n| tx.emit("e", json!(n)).to(job("b")));
    one.commit(fan.complete()).await;
    t.cancel(&run).await;
    t.start("later", job("b")).await;
    // One turn looks at a bounded number of jobs; a few turns reach the last one.
    for _ in 0..10 {
        if let Some(lease) = one.leases("b", 1).await.first() {
            assert_eq!(lease.run, run_id("later"));
            return assert_eq!(t.counts("b").await.queued, 0);
        }
    }
    panic!("the job behind those of the ended run is never leased");
}

pub(super) async fn a_lease_of_an_ended_run_that_runs_out_is_forgotten(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    t.short_peer("one").lease("a").await;
    t.cancel(&run).await;
    let before = t.timeline(&run).await;
    t.until_expired("a").await;
    assert_eq!(t.timeline(&run).await, before);
    assert_eq!(t.counts("a").await.queued, 0);
    assert!(t.jobs(JobsQuery { run: Some(run), limit: 9, ..JobsQuery::default() }).await.is_empty());
}

pub(super) async fn the_deaths_of_many_are_reclaimed_in_bounded_calls(t: &Fixture) {
    starts(t, 10).await;
    assert_eq!(t.short_peer("one").leases("a", 10).await.len(), 10);
    let none = Retention { completed_ms: None, failed_ms: None };
    for _ in 0..1_500 {
        let ticked = t.tick_keeping(none, 3).await;
        assert!(ticked.expired <= 3);
        let counts = t.counts("a").await;
        if !t.lossy && ticked.expired > 0 {
            // With a real clock, some leases have not expired yet.
            let none_due = t.clock.is_none() && !ticked.more;
            assert!(none_due || ticked.more == (counts.leased > 0), "{ticked:?}, {counts:?}");
        }
        if counts.leased == 0 {
            return assert_eq!(counts.queued, 10);
        }
        t.pass(20).await;
    }
    panic!("they are never reclaimed");
}
