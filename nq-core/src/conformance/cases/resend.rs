//! Lanes: a turn whose reply was lost is sent again, and what it did is done once.

use super::prelude::*;

/// A turn that completes this lease, with an event for `b`, and wants jobs of `b`.
fn busy(peer: &mut Peer<'_>, lease: &Lease) -> Turn {
    Turn {
        writes: vec![write(lease).emit("e", json!(1)).to(job("b")).complete(), done(lease)],
        renewals: vec![renewal(lease)],
        wants: vec![Want { queue: queue("b"), max: 3 }],
        ..peer.next()
    }
}

fn refused(reply: Result<TurnReply, StoreError>) -> StoreError {
    let error = reply.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lane);
    assert!(!error.is_retryable());
    error
}

pub(super) async fn the_same_turn_again_gets_the_same_answers(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let turn = busy(&mut one, &lease);
    let first = one.send(&turn).await.unwrap();
    assert!(matches!(first.answers[0], Answer::Committed { .. }));
    assert_eq!((&first.answers[1], &first.renewed[..]), (&Answer::LeaseLost, &[RenewAnswer::Renewed][..]));
    assert_eq!(first.leases.len(), 1);
    let all = t.timeline(&run).await;
    for _ in 0..3 {
        assert_eq!(one.send(&turn).await.unwrap(), first);
    }
    assert_eq!(t.timeline(&run).await, all, "nothing is applied twice");
}

pub(super) async fn what_was_refused_is_refused_again(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).release()).await;
    // Refused now. When it is sent again the same fence would be good, but the answer stands.
    let turn = Turn { writes: vec![Transaction { fence: lease.fence + 1, ..done(&lease) }], ..one.next() };
    assert_eq!(one.send(&turn).await.unwrap().answers, [Answer::LeaseLost]);
    let again = t.peer("two").lease("a").await;
    assert_eq!(again.fence, lease.fence + 1);
    assert_eq!(one.send(&turn).await.unwrap().answers, [Answer::LeaseLost]);
    assert_eq!(t.summary(&run).await.status, RunStatus::Running);
}

pub(super) async fn leases_are_handed_out_again_with_the_same_fence(t: &Fixture) {
    for run in ["r1", "r2", "r3"] {
        t.start(run, job("a")).await;
    }
    let mut one = t.peer("one");
    let turn = Turn { wants: vec![Want { queue: queue("a"), max: 2 }], ..one.next() };
    let first = one.send(&turn).await.unwrap().leases;
    let again = one.send(&turn).await.unwrap().leases;
    assert_eq!(first.len(), 2);
    assert_eq!(first, again);
    assert_eq!((t.counts("a").await.queued, t.counts("a").await.leased), (1, 2));
}

pub(super) async fn leases_lost_meanwhile_are_not_handed_out_again(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.short_peer("one");
    let turn = Turn { wants: vec![Want { queue: queue("a"), max: 1 }], ..one.next() };
    assert_eq!(one.send(&turn).await.unwrap().leases.len(), 1);
    t.until_expired("a").await;
    assert!(one.send(&turn).await.unwrap().leases.is_empty(), "it waits in its queue");
    t.peer("two").lease("a").await;
    assert!(one.send(&turn).await.unwrap().leases.is_empty(), "another has it");
    assert_eq!(t.timeline(&run).await.len(), 4);
}

pub(super) async fn a_lower_number_is_refused_and_changes_nothing(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).effect(json!(1))).await;
    let old = Turn { number: 1, writes: vec![done(&lease)], ..one.next() };
    refused(one.send(&old).await);
    assert_eq!(t.timeline(&run).await.len(), 3);
    // The lane stands where it stood.
    one.number = 2;
    one.commit(done(&lease)).await;
}

pub(super) async fn a_gap_is_loud_and_changes_nothing(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.number += 1;
    let ahead = Turn { writes: vec![done(&lease)], ..one.next() };
    let error = refused(one.send(&ahead).await);
    assert!(error.to_string().contains("lost"), "{error}");
    assert_eq!(t.timeline(&run).await.len(), 2);
    one.number = 1;
    one.commit(done(&lease)).await;
}

pub(super) async fn the_first_number_of_a_lane_is_one(t: &Fixture) {
    let mut one = t.peer("one");
    for number in [0, 2, u64::MAX >> 12] {
        let turn = Turn { number, ..one.next() };
        refused(one.send(&turn).await);
    }
    one.number = 0;
    let first = one.next();
    assert_eq!(one.send(&first).await.unwrap(), TurnReply::default());
}

pub(super) async fn a_turn_with_nothing_in_it_counts(t: &Fixture) {
    let mut one = t.peer("one");
    for _ in 0..3 {
        let turn = one.next();
        assert_eq!(one.send(&turn).await.unwrap(), TurnReply::default());
    }
    let old = Turn { number: 1, ..one.next() };
    refused(one.send(&old).await);
}

pub(super) async fn lanes_of_two_instances_are_apart(t: &Fixture) {
    t.start("r1", job("a")).await;
    t.start("r2", job("a")).await;
    let (mut one, mut two) = (t.peer("one"), t.peer("one2"));
    let first = one.lease("a").await;
    let second = two.lease("a").await;
    assert_ne!(first.run, second.run);
    one.commit(done(&first)).await;
    two.commit(done(&second)).await;
}

pub(super) async fn an_instance_may_write_for_a_lease_of_its_former_lane(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    t.leave("one").await;
    one.number = 0;
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&lease.run).await.status, RunStatus::Completed);
}

pub(super) async fn leaving_ends_the_lane_and_keeps_the_leases(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    one.lease("a").await;
    t.leave("one").await;
    t.leave("one").await;
    t.leave("never-came").await;
    assert_eq!(t.counts("a").await.leased, 1);
    let stale = one.next();
    refused(one.send(&stale).await);
    one.number = 0;
    let fresh = one.next();
    assert_eq!(one.send(&fresh).await.unwrap(), TurnReply::default());
}

pub(super) async fn the_same_turn_at_once_is_applied_once(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let turn = busy(&mut one, &lease);
    let (first, second) = both(one.send(&turn), one.send(&turn)).await;
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(t.said::<StepCompleted>(&run).await.len(), 1);
    assert_eq!(t.said::<EventEmitted>(&run).await.len(), 1);
}
