//! Pausing a queue: it gives out no leases, and everything else goes on.

use super::prelude::*;

pub(super) async fn a_paused_queue_gives_out_nothing(t: &Fixture) {
    t.start("r", job("a")).await;
    t.pause(&queue("a"), true).await;
    let mut one = t.peer("one");
    assert!(one.leases("a", 5).await.is_empty());
    let counts = t.counts("a").await;
    assert_eq!((counts.queued, counts.paused), (1, true));
    t.pause(&queue("a"), false).await;
    assert!(!t.counts("a").await.paused);
    one.finish("a").await;
}

pub(super) async fn pausing_twice_is_pausing_once(t: &Fixture) {
    t.start("r", job("a")).await;
    for paused in [true, true, false] {
        t.pause(&queue("a"), paused).await;
    }
    t.pause(&queue("a"), false).await;
    t.peer("one").finish("a").await;
}

pub(super) async fn other_queues_go_on(t: &Fixture) {
    t.start("r", job("a")).await;
    t.start("s", job("b")).await;
    t.pause(&queue("a"), true).await;
    t.peer("one").finish("b").await;
    assert_eq!(t.counts("a").await.queued, 1);
}

pub(super) async fn what_is_leased_goes_on(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    t.pause(&queue("a"), true).await;
    assert_eq!(one.renew(&lease).await, RenewAnswer::Renewed);
    one.commit(write(&lease).emit("e", json!(1)).to(job("a")).complete()).await;
    assert!(one.leases("a", 1).await.is_empty());
    assert_eq!(t.counts("a").await.queued, 1);
}

pub(super) async fn what_comes_while_it_is_paused_waits_in_order(t: &Fixture) {
    t.start("r1", job("a")).await;
    t.pause(&queue("a"), true).await;
    t.start("r2", job("a")).await;
    t.pause(&queue("a"), false).await;
    let runs: Vec<_> = t.peer("one").leases("a", 5).await.iter().map(|lease| lease.run.to_string()).collect();
    assert_eq!(runs, ["r1", "r2"]);
}

pub(super) async fn a_queue_may_be_paused_before_its_first_job(t: &Fixture) {
    t.pause(&queue("a"), true).await;
    t.start("r", job("a")).await;
    assert!(t.peer("one").leases("a", 1).await.is_empty());
    assert!(t.counts("a").await.paused);
}

pub(super) async fn a_pause_does_not_stop_time(t: &Fixture) {
    t.start("r", job("a")).await;
    t.short_peer("one").lease("a").await;
    t.pause(&queue("a"), true).await;
    t.until_expired("a").await;
    assert_eq!(t.counts("a").await.queued, 1);
    assert!(t.peer("two").leases("a", 1).await.is_empty());
}

pub(super) async fn a_turn_sent_again_still_gets_its_leases_while_paused(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let turn = Turn { wants: vec![Want { queue: queue("a"), max: 1 }], ..one.next() };
    let first = one.send(&turn).await.unwrap();
    t.pause(&queue("a"), true).await;
    assert_eq!(one.send(&turn).await.unwrap(), first);
}
