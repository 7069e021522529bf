//! Joins: the step runs when every side has its event.

use super::prelude::*;

/// A run whose entry step is held, and its instance.
async fn open(t: &Fixture) -> (RunId, Peer<'_>, Lease) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    (run, one, lease)
}

/// Emits these events, each at its side of the join `j`, within the step.
fn arrive(lease: &Lease, sides: u32, events: &[(u32, &str)]) -> Transaction {
    let tx = events
        .iter()
        .fold(write(lease), |tx, (side, text)| tx.emit("e", json!(text)).join(job("j"), *side, sides));
    tx.effect(json!(null))
}

/// What each step that joins runs on.
fn pairs(leases: &[Lease]) -> Vec<Vec<&str>> {
    leases
        .iter()
        .map(|lease| lease.inputs.iter().map(|input| input.payload.as_str().unwrap()).collect())
        .collect()
}

pub(super) async fn a_join_runs_when_both_sides_have_arrived(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    one.commit(arrive(&lease, 2, &[(0, "left")])).await;
    assert_eq!((t.counts("j").await.queued, t.summary(&run).await.pending), (0, 1));
    one.commit(arrive(&lease, 2, &[(1, "right")])).await;
    assert_eq!((t.counts("j").await.queued, t.summary(&run).await.pending), (1, 2));
    assert_eq!(pairs(&one.leases("j", 9).await), [["left", "right"]]);
}

pub(super) async fn the_inputs_stand_in_the_order_of_the_sides(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    one.commit(arrive(&lease, 2, &[(1, "right"), (0, "left")])).await;
    let joined = one.lease("j").await;
    assert_eq!(pairs(std::slice::from_ref(&joined)), [["left", "right"]]);
    let all = t.timeline(&run).await;
    assert_eq!([joined.inputs[0].id, joined.inputs[1].id], [all[3].id, all[2].id]);
    assert_eq!([&joined.inputs[0].key, &joined.inputs[1].key], ["key-1", "key-0"]);
}

pub(super) async fn a_join_is_caused_by_the_later_event(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    one.commit(arrive(&lease, 2, &[(1, "early"), (0, "late")])).await;
    let joined = one.lease("j").await;
    assert_eq!(joined.step.cause(), t.timeline(&run).await[3].id);
}

pub(super) async fn the_first_pairs_with_the_first(t: &Fixture) {
    let (_, mut one, lease) = open(t).await;
    one.commit(arrive(&lease, 2, &[(0, "l1"), (0, "l2"), (0, "l3")])).await;
    one.commit(arrive(&lease, 2, &[(1, "r1"), (1, "r2")])).await;
    one.commit(arrive(&lease, 2, &[(1, "r3"), (1, "r4"), (0, "l4")])).await;
    assert_eq!(pairs(&one.leases("j", 9).await), [["l1", "r1"], ["l2", "r2"], ["l3", "r3"], ["l4", "r4"]]);
}

pub(super) async fn a_join_of_three_waits_for_the_third(t: &Fixture) {
    let (_, mut one, lease) = open(t).await;
    one.commit(arrive(&lease, 3, &[(2, "c1"), (0, "a1"), (0, "a2"), (2, "c2")])).await;
    assert_eq!(t.counts("j").await.queued, 0);
    one.commit(arrive(&lease, 3, &[(1, "b1")])).await;
    one.commit(arrive(&lease, 3, &[(1, "b2")])).await;
    assert_eq!(pairs(&one.leases("j", 9).await), [["a1", "b1", "c1"], ["a2", "b2", "c2"]]);
}

pub(super) async fn events_pair_by_their_value(t: &Fixture) {
    let (_, mut one, lease) = open(t).await;
    let mut tx = write(&lease);
    for (side, by) in [(0, "7"), (0, "8"), (1, "8"), (1, "9"), (0, "8"), (1, "7")] {
        tx = tx.emit("e", json!(format!("{side}:{by}"))).join_by(job("j"), side, 2, by);
    }
    one.commit(tx.effect(json!(null))).await;
    assert_eq!(pairs(&one.leases("j", 9).await), [["0:8", "1:8"], ["0:7", "1:7"]]);
}

pub(super) async fn values_pair_only_when_they_are_the_same(t: &Fixture) {
    let (_, mut one, lease) = open(t).await;
    let values = [
        "", "null", "\"\"", "\"7\"", "7", "7.0", "a:b", "a", ":", "\n", "\"ü\"", "\u{0}", "%", "*", "{x}",
        "'", "\\",
    ];
    let mut tx = write(&lease);
    for by in values {
        tx = tx.emit("e", json!(by)).join_by(job("j"), 0, 2, by);
    }
    for by in values.iter().rev() {
        tx = tx.emit("e", json!(by)).join_by(job("j"), 1, 2, by);
    }
    one.commit(tx.effect(json!(null))).await;
    let leases = one.leases("j", 99).await;
    assert_eq!(leases.len(), values.len());
    assert!(pairs(&leases).iter().all(|pair| pair[0] == pair[1]), "{:?}", pairs(&leases));
}

pub(super) async fn two_joins_do_not_share_their_sides(t: &Fixture) {
    let (_, mut one, lease) = open(t).await;
    let tx = write(&lease).emit("e", json!("x")).join(job("j"), 0, 2).join(job("k"), 1, 2);
    one.commit(tx.effect(json!(null))).await;
    assert_eq!((t.counts("j").await.queued, t.counts("k").await.queued), (0, 0));
    let tx = write(&lease).emit("e", json!("y")).join(job("k"), 0, 2);
    one.commit(tx.effect(json!(null))).await;
    assert_eq!(pairs(&one.leases("k", 9).await), [["y", "x"]]);
    assert_eq!(t.counts("j").await.queued, 0);
}

pub(super) async fn joins_of_two_runs_do_not_meet(t: &Fixture) {
    let mut one = t.peer("one");
    t.start("r1", job("a")).await;
    t.start("r2", job("a")).await;
    let leases = one.leases("a", 2).await;
    one.commit(arrive(&leases[0], 2, &[(0, "left")])).await;
    one.commit(arrive(&leases[1], 2, &[(1, "right")])).await;
    assert_eq!(t.counts("j").await.queued, 0);
}

pub(super) async fn one_event_may_arrive_at_both_sides(t: &Fixture) {
    let (_, mut one, lease) = open(t).await;
    let tx = write(&lease).emit("e", json!("x")).join(job("j"), 0, 2).join(job("j"), 1, 2);
    one.commit(tx.effect(json!(null))).await;
    assert_eq!(pairs(&one.leases("j", 9).await), [["x", "x"]]);
}

pub(super) async fn a_half_filled_join_does_not_hold_its_run(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    one.commit(arrive(&lease, 2, &[(0, "x"), (0, "y")])).await;
    one.commit(done(&lease)).await;
    let all = t.timeline(&run).await;
    let completed = all.last().unwrap();
    let unpaired = [all[2].id, all[3].id].map(|event| Unpaired { step_name: name("j"), event });
    assert_eq!(completed.says::<FlowCompleted>().unwrap().unpaired, unpaired);
}

pub(super) async fn what_has_paired_is_not_listed_as_unpaired(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    one.commit(arrive(&lease, 2, &[(0, "x"), (1, "y"), (1, "z")])).await;
    one.commit(done(&lease)).await;
    one.finish("j").await;
    let all = t.timeline(&run).await;
    let left = [Unpaired { step_name: name("j"), event: all[4].id }];
    assert_eq!(t.said::<FlowCompleted>(&run).await[0].unpaired, left);
}

pub(super) async fn the_end_names_a_bounded_number_of_the_unpaired(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    let many: Vec<_> = (0..130).map(|_| (0, "x")).collect();
    one.commit(arrive(&lease, 2, &many)).await;
    one.commit(done(&lease)).await;
    assert_eq!(t.said::<FlowCompleted>(&run).await[0].unpaired.len(), 100);
}

pub(super) async fn what_a_failed_attempt_did_does_not_arrive(t: &Fixture) {
    let (_, mut one, lease) = open(t).await;
    one.commit(arrive(&lease, 2, &[(0, "kept")])).await;
    one.commit(write(&lease).retry(0)).await;
    let lease = one.lease("a").await;
    one.commit(arrive(&lease, 2, &[(1, "right")])).await;
    assert_eq!(pairs(&one.leases("j", 9).await), [["kept", "right"]]);
}

pub(super) async fn many_arrivals_pair_in_order(t: &Fixture) {
    let (_, mut one, lease) = open(t).await;
    let text: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    let left: Vec<_> = text.iter().map(|text| (0, text.as_str())).collect();
    let right: Vec<_> = text.iter().map(|text| (1, text.as_str())).collect();
    one.commit(arrive(&lease, 2, &left)).await;
    one.commit(arrive(&lease, 2, &right)).await;
    let leases = one.leases("j", 999).await;
    assert_eq!(leases.len(), 200);
    for (n, pair) in pairs(&leases).into_iter().enumerate() {
        assert_eq!(pair, [text[n].as_str(), text[n].as_str()]);
    }
}
