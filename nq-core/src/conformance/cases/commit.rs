//! Commits: all or nothing, in order, each by itself.

use super::prelude::*;

pub(super) async fn everything_in_a_commit_is_applied(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx =
        write(&lease).set("k", json!(1)).emit("e", json!({ "x": 1 })).to(job("b")).to(job("c")).complete();
    one.commit(tx).await;
    let kinds = t.kinds(&run).await;
    assert_eq!(
        kinds,
        ["flow.started", "flow.step.started", "state.set", "event.emitted", "flow.step.completed"]
    );
    assert_eq!(t.summary(&run).await.pending, 2);
    for (worker, queued) in [("a", 0), ("b", 1), ("c", 1)] {
        let counts = t.counts(worker).await;
        assert_eq!((counts.queued, counts.leased), (queued, 0), "{worker}");
    }
}

pub(super) async fn entries_stand_in_the_order_of_the_transaction(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx = (0..50).fold(write(&lease), |tx, n| tx.set(&format!("k{n}"), json!(n)));
    one.commit(tx.complete()).await;
    let values: Vec<_> = t.said::<StateSet>(&run).await.into_iter().map(|set| set.value).collect();
    assert_eq!(json!(values), json!((0..50).collect::<Vec<_>>()));
}

pub(super) async fn entries_carry_their_step_and_attempt(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let first = one.lease("a").await;
    one.commit(write(&first).retry(0)).await;
    let second = one.lease("a").await;
    one.commit(write(&second).set("k", json!(1)).complete()).await;
    let all = t.timeline(&run).await;
    let attempts: Vec<_> = all.iter().map(|entry| entry.attempt).collect();
    assert_eq!(attempts, [None, Some(1), Some(1), Some(2), Some(2), Some(2), None]);
    assert!(all[1..6].iter().all(|entry| entry.step.as_ref() == Some(&first.step)));
    assert!(all[0].step.is_none() && all[6].step.is_none());
}

pub(super) async fn the_answer_names_the_last_entry(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let answer = one.write(write(&lease).effect(json!(1))).await;
    assert_eq!(answer, Answer::Committed { last: t.timeline(&run).await[2].id });
    let answer = one.write(done(&lease)).await;
    let all = t.timeline(&run).await;
    assert_eq!(all[4].kind, EntryType::FlowCompleted);
    assert_eq!(answer, Answer::Committed { last: all[4].id });
    assert_eq!(t.summary(&run).await.last, all[4].id);
}

pub(super) async fn a_refused_commit_changes_nothing(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let (before, summary) = (t.timeline(&run).await, t.summary(&run).await);
    let mut tx = write(&lease)
        .set("k", json!(1))
        .emit("e", json!(1))
        .to(job("b"))
        .join(job("j"), 0, 2)
        .gather("g")
        .arming(&[gather(job("g"), 0)])
        .complete();
    tx.fence += 1;
    assert_eq!(one.write(tx).await, Answer::LeaseLost);
    assert_eq!((t.timeline(&run).await, t.summary(&run).await), (before, summary));
    assert_eq!((t.counts("a").await.leased, t.counts("b").await.queued), (1, 0));
    assert!(t.gathered(&run, "g", 100, 10).await.is_empty());
    // Nothing waits at the join either: the run ends with nothing unpaired.
    one.commit(done(&lease)).await;
    assert!(t.said::<FlowCompleted>(&run).await[0].unpaired.is_empty());
}

pub(super) async fn a_refused_commit_does_not_spoil_its_neighbours(t: &Fixture) {
    for run in ["r1", "r2", "r3"] {
        t.start(run, job("a")).await;
    }
    let mut one = t.peer("one");
    let leases = one.leases("a", 3).await;
    let mut stale = done(&leases[1]);
    stale.fence = 77;
    let answers = one.writes(vec![done(&leases[0]), stale, done(&leases[2])]).await;
    let taken: Vec<_> = answers.iter().map(|answer| matches!(answer, Answer::Committed { .. })).collect();
    assert_eq!(taken, [true, false, true]);
    let status: Vec<_> =
        [t.summary(&leases[0].run).await, t.summary(&leases[1].run).await].map(|run| run.status).to_vec();
    assert_eq!(status, [RunStatus::Completed, RunStatus::Running]);
}

pub(super) async fn answers_come_in_the_order_of_the_writes(t: &Fixture) {
    let runs = [t.start("r1", job("a")).await, t.start("r2", job("a")).await];
    let mut one = t.peer("one");
    let leases = one.leases("a", 2).await;
    assert_eq!([&leases[0].run, &leases[1].run], [&runs[0], &runs[1]]);
    let gone = Transaction { run: run_id("gone"), ..done(&leases[0]) };
    let long = write(&leases[1]).set("k", json!(1)).set("k", json!(2)).complete();
    let answers = one.writes(vec![gone, long, done(&leases[0])]).await;
    let last = async |run| t.summary(run).await.last;
    let expected = [
        Answer::RunGone,
        Answer::Committed { last: last(&runs[1]).await },
        Answer::Committed { last: last(&runs[0]).await },
    ];
    assert_eq!(answers, expected);
}

pub(super) async fn two_writes_of_one_step_in_a_turn_apply_in_order(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let answers = one.writes(vec![write(&lease).effect(json!("first")), done(&lease), done(&lease)]).await;
    assert!(matches!(answers[0], Answer::Committed { .. }) && matches!(answers[1], Answer::Committed { .. }));
    assert!(matches!(answers[2], Answer::RunEnded { status: RunStatus::Completed }), "{answers:?}");
    assert_eq!(t.kinds(&run).await[2..], ["flow.step.effect", "flow.step.completed", "flow.completed"]);
}

pub(super) async fn a_step_that_is_done_takes_no_second_commit(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!(1)).to(job("b")).complete()).await;
    let before = t.timeline(&run).await;
    assert_eq!(one.write(done(&lease)).await, Answer::LeaseLost);
    assert_eq!(one.write(write(&lease).effect(json!(1))).await, Answer::LeaseLost);
    assert_eq!(t.timeline(&run).await, before);
}

pub(super) async fn a_commit_to_a_run_that_is_not_there_says_so(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let gone = Transaction { run: run_id("gone"), ..done(&lease) };
    assert_eq!(one.write(gone).await, Answer::RunGone);
    assert_eq!(t.try_summary(&run_id("gone")).await, None);
}

pub(super) async fn a_run_that_has_ended_takes_no_commit(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!(1)).to(job("b")).to(job("c")).complete()).await;
    let (left, right) = (one.lease("b").await, one.lease("c").await);
    one.commit(write(&left).fail("broken")).await;
    let before = t.timeline(&run).await;
    assert_eq!(one.write(done(&right)).await, Answer::RunEnded { status: RunStatus::Failed });
    assert_eq!(t.timeline(&run).await, before);
}

pub(super) async fn an_effect_keeps_the_lease_and_is_counted(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    assert_eq!(lease.recorded, 0);
    one.commit(write(&lease).effect(json!({ "paid": true }))).await;
    one.commit(write(&lease).effect(json!(null))).await;
    assert_eq!(t.counts("a").await.leased, 1);
    one.commit(write(&lease).retry(0)).await;
    assert_eq!(one.lease("a").await.recorded, 2);
    assert_eq!(t.said::<StepEffect>(&run).await[0].result, json!({ "paid": true }));
}

pub(super) async fn a_checkpoint_hands_on_work_before_its_step_is_done(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!(1)).to(job("b")).effect(json!(null))).await;
    one.finish("b").await;
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.pending), (RunStatus::Running, 1));
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn what_a_commit_enqueues_is_leased_by_the_same_turn(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let turn = Turn {
        writes: vec![write(&lease).emit("e", json!("x")).to(job("b")).complete()],
        wants: vec![Want { queue: queue("b"), max: 5 }],
        ..one.next()
    };
    let reply = one.send(&turn).await.unwrap();
    assert_eq!(reply.leases.len(), 1);
    assert_eq!(reply.leases[0].step.worker(), &name("b"));
    assert_eq!(reply.leases[0].inputs[0].payload, json!("x"));
}

pub(super) async fn a_step_is_named_by_its_worker_and_its_cause(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let first = one.lease("a").await;
    assert_eq!(first.step.cause(), t.timeline(&run).await[0].id);
    one.commit(write(&first).emit("e", json!(1)).to(job("b")).emit("e", json!(2)).to(job("b")).complete())
        .await;
    let steps = one.leases("b", 2).await;
    let all = t.timeline(&run).await;
    assert_eq!(steps[0].step.to_string(), format!("b@{}", all[2].id));
    assert_eq!(steps[1].step.to_string(), format!("b@{}", all[3].id));
}

pub(super) async fn a_job_runs_on_the_event_that_caused_it(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let payload = json!({ "deep": [{ "x": null }] });
    one.commit(write(&lease).set("k", json!(1)).emit("order.paid", payload.clone()).to(job("b")).complete())
        .await;
    let lease = one.lease("b").await;
    let input = Arrived {
        id: t.timeline(&run).await[3].id,
        event: "order.paid".into(),
        payload,
        key: "key-1".into(),
    };
    assert_eq!(lease.inputs, [input]);
    assert_eq!((lease.run, lease.flow, lease.queue), (run, name("f"), queue("b")));
}

pub(super) async fn the_last_step_completes_the_run_in_its_own_commit(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!(1)).to(job("b")).to(job("c")).complete()).await;
    one.finish("c").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Running);
    one.finish("b").await;
    let all = t.timeline(&run).await;
    assert_eq!(all.iter().filter(|entry| entry.kind.is_terminal()).count(), 1);
    let last = all.last().unwrap();
    assert_eq!(last.says::<FlowCompleted>().unwrap().duration_ms, last.id.ms - all[0].id.ms);
    let summary = t.summary(&run).await;
    assert_eq!(
        (summary.status, summary.pending, summary.ended_ms),
        (RunStatus::Completed, 0, Some(last.id.ms))
    );
}

pub(super) async fn a_dead_step_fails_its_run(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).fail("no such card")).await;
    assert_eq!(t.kinds(&run).await[2..], ["flow.step.failed", "flow.failed"]);
    let failed = t.said::<FlowFailed>(&run).await.remove(0);
    assert_eq!((&*failed.error, failed.failed_step), ("no such card", Some(name("a"))));
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.pending), (RunStatus::Failed, 0));
}

pub(super) async fn a_dead_step_that_may_fail_lets_its_run_go_on(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!(1)).to(job("b").optional()).to(job("c")).complete()).await;
    let lease = one.lease("b").await;
    one.commit(write(&lease).fail("never mind")).await;
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.pending), (RunStatus::Running, 1));
    one.finish("c").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_run_whose_last_step_may_fail_completes_with_its_death(t: &Fixture) {
    let run = t.start("r", job("a").optional()).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).fail("never mind")).await;
    assert_eq!(t.kinds(&run).await[2..], ["flow.step.failed", "flow.completed"]);
}

pub(super) async fn what_is_given_back_counts_as_nothing(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).release()).await;
    let again = t.peer("two").lease("a").await;
    assert_eq!((again.attempt, again.failures, again.step), (1, 0, lease.step));
    assert_eq!(t.kinds(&run).await, ["flow.started", "flow.step.started", "flow.step.started"]);
}

pub(super) async fn readers_see_a_commit_whole_or_not_at_all(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx = (0..300).fold(write(&lease), |tx, n| tx.set(&n.to_string(), json!(n))).complete();
    let watching = async {
        loop {
            let seen = t.summary(&run).await.last.n;
            assert!(seen == 2 || seen == 304, "{seen} entries of a commit are there");
            let read = t.read(&Read::after(run.clone(), 0)).await.unwrap().len();
            assert!(read == 2 || read == 304, "{read} entries of a commit are read");
            if read == 304 {
                return;
            }
            t.wait(&Interest::Run { run: run.clone(), after: 2 }, Duration::from_millis(1)).await;
        }
    };
    both(watching, one.commit(tx)).await;
}

pub(super) async fn what_does_not_fit_the_code_counts_as_nothing(t: &Fixture) {
    t.start("r", job("a").crashes(2)).await;
    let mut one = t.peer("one");
    for attempt in 1..=3 {
        let lease = one.lease("a").await;
        assert_eq!((lease.attempt, lease.failures), (attempt, 0));
        one.commit(write(&lease).postpone(0)).await;
    }
    let lease = one.lease("a").await;
    one.commit(write(&lease).postpone(LONG_MS)).await;
    let counts = t.counts("a").await;
    assert_eq!((counts.delayed, counts.queued), (1, 0));
    // Failures and crashes are counted as if these attempts had not been.
    t.start("s", job("a").crashes(2)).await;
    let lease = one.lease("a").await;
    one.commit(write(&lease).postpone(0)).await;
    let lease = one.lease("a").await;
    one.commit(write(&lease).retry(0)).await;
    let lease = one.lease("a").await;
    assert_eq!((lease.attempt, lease.failures), (3, 1));
}
