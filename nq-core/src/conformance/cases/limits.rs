//! Sizes: what is within the limits works, what passes them is refused whole and by name.

use super::prelude::*;
use crate::state::{Change, State};

/// A transaction of so many entries in all.
fn of_entries(lease: &Lease, count: usize) -> Transaction {
    (1..count).fold(write(lease), |tx, n| tx.set("k", json!(n))).complete()
}

pub(super) async fn a_commit_may_have_as_many_entries_as_the_limit_says(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(of_entries(&lease, MAX_COMMIT_ENTRIES)).await;
    let read = Read { reverse: true, limit: 2, ..Read::after(run.clone(), 0) };
    let last = t.read(&read).await.unwrap();
    assert_eq!(last[0].id.n, MAX_COMMIT_ENTRIES as u64 + 3);
    assert_eq!(t.timeline(&run).await.len(), MAX_COMMIT_ENTRIES + 3);
}

pub(super) async fn a_commit_of_one_entry_more_is_refused_whole(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    t.start("s", job("a")).await;
    let mut one = t.peer("one");
    let leases = one.leases("a", 2).await;
    let answers = one.writes(vec![of_entries(&leases[0], MAX_COMMIT_ENTRIES + 1), done(&leases[1])]).await;
    let Answer::TooLarge { limit } = &answers[0] else { panic!("{:?}", answers[0]) };
    assert!(limit.contains("10000"), "the answer names the limit: {limit}");
    assert!(matches!(answers[1], Answer::Committed { .. }), "its neighbour is not spoiled");
    assert_eq!(t.timeline(&run).await.len(), 2);
    // The lease is still good for something smaller.
    one.commit(done(&leases[0])).await;
}

pub(super) async fn a_payload_may_be_as_large_as_the_limit_says(t: &Fixture) {
    let input = json!("i".repeat(MAX_PAYLOAD_BYTES - 2));
    t.try_start(&start("r", input.clone(), job("a"), &[])).await.unwrap();
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    assert_eq!(lease.inputs[0].payload, input);
    let payload = json!("é".repeat(MAX_PAYLOAD_BYTES / 2 - 1));
    one.commit(write(&lease).emit("e", payload.clone()).to(job("b")).complete()).await;
    assert_eq!(one.lease("b").await.inputs[0].payload, payload);
}

pub(super) async fn a_payload_may_be_as_deep_as_the_limit_says_wherever_it_stands(t: &Fixture) {
    let deep = (0..MAX_DEPTH).fold(json!(1), |inner, _| json!({ "a": inner }));
    let begin = start("r", deep.clone(), job("a").holding(&["g"]), &[gather(job("g"), 0)]);
    t.try_start(&begin).await.unwrap();
    assert!(matches!(t.try_start(&begin).await, Ok(Started::Existing)), "the same start is known again");
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    assert_eq!(lease.inputs[0].payload, deep);
    one.commit(write(&lease).effect(deep.clone())).await;
    let set = Change::Set { key: "k".into(), value: deep.clone() };
    let set = StateOperation { change: set, op: "1".into() };
    let tx = write(&lease)
        .says(StateBatch { operations: vec![set.clone(), set] })
        .says(StateSnapshot { as_of: 1, state: [("k".to_owned(), deep.clone())].into() })
        .emit("e", deep.clone())
        .to(job("b"))
        .gather("g")
        .join(job("j"), 0, 2)
        .emit("e", deep.clone())
        .join(job("j"), 1, 2)
        .complete_with(deep.clone());
    one.commit(tx).await;
    for worker in ["b", "j"] {
        let lease = one.lease(worker).await;
        assert!(lease.inputs.iter().all(|input| input.payload == deep), "{worker}");
        one.commit(done(&lease)).await;
    }
    let run = begin.run;
    assert_eq!(t.gathered(&run, "g", u64::MAX >> 12, 10).await, std::slice::from_ref(&deep));
    assert_eq!(State::of(&t.timeline(&run).await).map["k"], deep);
    assert_eq!(t.said::<StepEffect>(&run).await[0].result, deep);
    assert_eq!(t.said::<StepCompleted>(&run).await[0].result, deep);
}

pub(super) async fn a_commit_may_have_as_many_bytes_as_the_limit_says(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let large = json!("x".repeat(MAX_PAYLOAD_BYTES - 200));
    let count = MAX_COMMIT_BYTES / MAX_PAYLOAD_BYTES;
    let tx = (0..count).fold(write(&lease), |tx, _| tx.emit("e", large.clone()));
    one.commit(tx.complete()).await;
    let events = t.said::<EventEmitted>(&run).await;
    assert!(events.len() == count && events.iter().all(|event| event.payload == large));
}

pub(super) async fn a_turn_may_have_as_many_writes_as_the_limit_says(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx = (0..200).fold(write(&lease), |tx, n| tx.emit("e", json!(n)).to(job("b")));
    one.commit(tx.complete()).await;
    let leases = one.leases("b", 200).await;
    // Each weighs two: itself and its one entry.
    let writes: Vec<_> = leases.iter().map(done).collect();
    assert!(writes.iter().map(Transaction::weight).sum::<usize>() <= MAX_TURN_WRITES);
    let turn = Turn { writes, renewals: leases.iter().map(renewal).collect(), ..one.next() };
    let reply = one.send(&turn).await.unwrap();
    assert!(reply.answers.iter().all(|answer| matches!(answer, Answer::Committed { .. })));
    assert!(reply.renewed.iter().all(|answer| *answer == RenewAnswer::Renewed));
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_step_may_cause_thousands_of_jobs(t: &Fixture) {
    let run = t.start_with("r", job("a").holding(&["g"]), &[gather(job("g"), 0)]).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let gathers = [gather(job("g"), 0)];
    let each = job("b").holding(&["g"]);
    let tx = (0..3_000).fold(write(&lease), |tx, n| tx.emit("e", json!(n)).to(each.clone()));
    one.commit(tx.arming(&gathers).complete()).await;
    assert_eq!(t.summary(&run).await.pending, 3_000);
    let mut seen = Vec::new();
    // The jobs may follow in pages, by anyone's tick; the counts are there from the beginning.
    for _ in 0..1_000 {
        let leases = one.leases("b", 100).await;
        if leases.is_empty() {
            t.tick().await;
        }
        seen.extend(leases.iter().map(|lease| lease.inputs[0].payload.as_u64().unwrap()));
        one.writes(leases.iter().map(done).collect()).await;
        if seen.len() == 3_000 {
            break;
        }
        assert_eq!(t.counts("g").await.queued, 0);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..3_000).collect::<Vec<_>>());
    one.finish("g").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn names_may_be_as_long_as_the_limit_says(t: &Fixture) {
    let long = "ü".repeat(crate::id::MAX_ID_LEN / 2);
    let worker = "w".repeat(crate::registry::MAX_NAME_LEN);
    let run = t.start(&long, job(&worker)).await;
    let mut one = t.peer(&long.replace('ü', "é"));
    let lease = one.lease(&worker).await;
    let tx = write(&lease).emit(&long, json!(1)).join_by(job(&worker), 0, 2, &long.repeat(20)).complete();
    one.commit(tx).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
    assert_eq!(t.run_ids(all_runs(9)).await, [long]);
}

pub(super) async fn a_long_run_is_read_whole(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    for _ in 0..4 {
        let tx = (0..2_500).fold(write(&lease), |tx, n| tx.set("k", json!(n)));
        one.commit(tx.effect(json!(null))).await;
    }
    assert_eq!(t.timeline(&run).await.len(), 10_006);
    let state = State::of(&t.timeline(&run).await);
    assert_eq!(state.map["k"], json!(2_499));
}
