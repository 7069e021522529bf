//! Starts: once, whoever asks and however often.

use super::prelude::*;

pub(super) async fn a_start_begins_a_run(t: &Fixture) {
    let begin = start("r", json!({ "x": [1, null] }), job("a"), &[]);
    let started = t.try_start(&begin).await.unwrap();
    let all = t.timeline(&begin.run).await;
    assert_eq!(all.len(), 1);
    assert_eq!(started, Started::New(all[0].id));
    assert_eq!((&all[0].kind, &all[0].data), (&EntryType::FlowStarted, &begin.started.data));
    let summary = t.summary(&begin.run).await;
    assert_eq!((summary.flow, summary.status, summary.pending), (name("f"), RunStatus::Running, 1));
    assert_eq!((summary.started_ms, summary.ended_ms, summary.last), (all[0].id.ms, None, all[0].id));
    assert_eq!(t.counts("a").await.queued, 1);
}

pub(super) async fn the_entry_step_runs_on_the_input(t: &Fixture) {
    let begin = start("r", json!({ "order": 7 }), job("a"), &[]);
    let first = t.try_start(&begin).await.unwrap();
    let lease = t.peer("one").lease("a").await;
    let input = &lease.inputs[0];
    assert_eq!(Started::New(input.id), first);
    assert_eq!((&*input.event, &input.payload, &*input.key), ("begin", &json!({ "order": 7 }), ""));
    assert_eq!(lease.step.cause(), input.id);
}

pub(super) async fn starting_twice_starts_once(t: &Fixture) {
    let begin = start("r", json!({ "a": 1, "b": 2.5 }), job("a"), &[]);
    t.try_start(&begin).await.unwrap();
    for _ in 0..3 {
        assert_eq!(t.try_start(&begin).await.unwrap(), Started::Existing);
    }
    assert_eq!(t.timeline(&begin.run).await.len(), 1);
    assert_eq!(t.counts("a").await.queued, 1);
}

pub(super) async fn a_run_that_is_at_work_or_done_is_not_started_again(t: &Fixture) {
    let begin = start("r", json!(1), job("a"), &[]);
    t.try_start(&begin).await.unwrap();
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    assert_eq!(t.try_start(&begin).await.unwrap(), Started::Existing);
    one.commit(done(&lease)).await;
    assert_eq!(t.try_start(&begin).await.unwrap(), Started::Existing);
    assert_eq!(t.summary(&begin.run).await.status, RunStatus::Completed);
    assert_eq!(t.counts("a").await.queued, 0);
}

pub(super) async fn the_same_id_for_something_else_is_a_conflict(t: &Fixture) {
    let begin = start("r", json!({ "x": 1 }), job("a"), &[]);
    t.try_start(&begin).await.unwrap();
    let before = t.timeline(&begin.run).await;
    let others = [
        start("r", json!({ "x": 2 }), job("a"), &[]),
        start("r", json!({}), job("a"), &[]),
        start("r", json!(null), job("a"), &[]),
        start_of("g", "r", json!({ "x": 1 }), job("b"), &[]),
    ];
    for other in others {
        let error = t.try_start(&other).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Conflict, false));
        assert!(error.to_string().contains("`r`"), "the message names the run: {error}");
    }
    assert_eq!(t.timeline(&begin.run).await, before);
    assert_eq!((t.counts("a").await.queued, t.counts("b").await.queued), (1, 0));
}

pub(super) async fn the_order_of_the_keys_of_an_input_does_not_matter(t: &Fixture) {
    let input = |text: &str| serde_json::from_str(text).unwrap();
    t.try_start(&start("r", input(r#"{"a":1,"b":{"c":1,"d":2}}"#), job("a"), &[])).await.unwrap();
    let again = start("r", input(r#"{"b":{"d":2,"c":1},"a":1}"#), job("a"), &[]);
    assert_eq!(t.try_start(&again).await.unwrap(), Started::Existing);
}

pub(super) async fn another_trigger_or_registry_is_no_conflict(t: &Fixture) {
    let mut begin = start("r", json!(1), job("a"), &[]);
    t.try_start(&begin).await.unwrap();
    let mut started = FlowStarted::from_json(begin.started.data).unwrap();
    (started.trigger, started.registry_hash) = ("cron".into(), "1".into());
    begin.started = NewEntry::of(started);
    assert_eq!(t.try_start(&begin).await.unwrap(), Started::Existing);
}

pub(super) async fn of_many_who_start_at_once_one_starts(t: &Fixture) {
    let begin = start("r", json!(1), job("a"), &[]);
    let pair = async || both(t.try_start(&begin), t.try_start(&begin)).await;
    let ((first, second), (third, fourth)) = both(pair(), pair()).await;
    let replies = [first, second, third, fourth].map(Result::unwrap);
    if !t.lossy {
        assert_eq!(replies.iter().filter(|reply| matches!(reply, Started::New(_))).count(), 1, "{replies:?}");
    }
    assert_eq!(t.timeline(&begin.run).await.len(), 1);
    assert_eq!(t.counts("a").await.queued, 1);
}

pub(super) async fn runs_of_many_flows_live_side_by_side(t: &Fixture) {
    for flow in ["f", "g", "f2"] {
        let begin = start_of(flow, &format!("run-of-{flow}"), json!(flow), job("a"), &[]);
        assert!(matches!(t.try_start(&begin).await.unwrap(), Started::New(_)));
    }
    let leases = t.peer("one").leases("a", 9).await;
    let flows: Vec<_> = leases.iter().map(|lease| lease.flow.as_str()).collect();
    assert_eq!(flows, ["f", "g", "f2"]);
}

pub(super) async fn a_turn_begins_runs_and_leases_their_jobs(t: &Fixture) {
    let mut one = t.peer("one");
    t.start("before", job("b")).await;
    let before = one.lease("b").await;
    let starts: Vec<_> = (1..=3).map(|n| start(&format!("r{n}"), json!(n), job("a"), &[])).collect();
    let wants = vec![Want { queue: queue("a"), max: 9 }];
    let turn = Turn { starts: starts.clone(), writes: vec![done(&before)], wants, ..one.next() };
    let reply = one.send(&turn).await.unwrap();
    assert!(matches!(reply.answers[..], [Answer::Committed { .. }]), "{:?}", reply.answers);

    let mut leases = reply.leases;
    leases.extend(one.leases("a", 9).await);
    leases.sort_by(|a, b| a.run.as_str().cmp(b.run.as_str()));
    assert_eq!(leases.iter().map(|lease| lease.run.as_str()).collect::<Vec<_>>(), ["r1", "r2", "r3"]);
    for ((begin, lease), answer) in starts.iter().zip(&leases).zip(&reply.started) {
        let first = t.timeline(&begin.run).await.remove(0);
        assert_eq!((&first.kind, &first.data), (&EntryType::FlowStarted, &begin.started.data));
        assert_eq!(lease.inputs[0].id, first.id);
        let begun = StartAnswer::Started(Started::New(first.id));
        assert!(
            *answer == begun || t.lossy && *answer == StartAnswer::Started(Started::Existing),
            "{answer:?}"
        );
    }
}

pub(super) async fn a_start_of_a_turn_is_refused_by_itself(t: &Fixture) {
    let taken = start("taken", json!(1), job("a"), &[]);
    t.try_start(&taken).await.unwrap();
    let other = start("taken", json!(2), job("b"), &[]);
    let new = start("new", json!(3), job("b"), &[]);
    let mut one = t.peer("one");
    let turn = Turn { starts: vec![other, taken, new], ..one.next() };
    let started = one.send(&turn).await.unwrap().started;
    assert_eq!(started[..2], [StartAnswer::IdTaken, StartAnswer::Started(Started::Existing)]);
    assert!(matches!(started[2], StartAnswer::Started(_)), "{started:?}");
    assert_eq!((t.counts("a").await.queued, t.counts("b").await.queued), (1, 1));
    assert_eq!(one.lease("b").await.run.as_str(), "new");
}

pub(super) async fn a_turn_of_starts_sent_again_begins_nothing(t: &Fixture) {
    let mut one = t.peer("one");
    let starts = vec![start("r", json!(1), job("a"), &[]), start("s", json!(2), job("a"), &[])];
    let turn = Turn { starts, wants: vec![Want { queue: queue("a"), max: 1 }], ..one.next() };
    let first = one.send(&turn).await.unwrap();
    let again = one.send(&turn).await.unwrap();
    assert_eq!(again.started, [StartAnswer::Started(Started::Existing); 2]);
    assert_eq!(again.leases, first.leases);
    let held = first.leases.len();
    assert_eq!(one.leases("a", 9).await.len(), 2 - held);
    for run in ["r", "s"] {
        assert_eq!(t.timeline(&run_id(run)).await.len(), 2, "it has begun once, and so has its step");
    }
}

pub(super) async fn a_turn_that_its_lane_refuses_begins_nothing(t: &Fixture) {
    let mut one = t.peer("one");
    one.leases("a", 1).await;
    let starts = vec![start("r", json!(1), job("a"), &[])];
    let ahead = Turn { starts, number: one.number + 2, ..one.next() };
    assert_eq!(one.send(&ahead).await.unwrap_err().kind(), ErrorKind::Lane);
    assert_eq!(t.counts("a").await.queued, 0);
    assert!(t.try_summary(&run_id("r")).await.is_none());
}
