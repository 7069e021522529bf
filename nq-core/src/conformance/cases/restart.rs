//! Restarts: what a store that keeps anything has acknowledged is there when it is opened again.

use super::prelude::*;

pub(super) async fn timelines_and_listings_survive(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).set("k", json!("ü")).fail("broken")).await;
    t.start("s", job("b")).await;
    let before = (t.timeline(&run).await, t.summary(&run).await, t.queues().await, t.dead(&run).await);
    let runs = t.runs(&all_runs(9)).await;
    if !t.reopen().await {
        return;
    }
    assert_eq!((t.timeline(&run).await, t.summary(&run).await, t.queues().await, t.dead(&run).await), before);
    assert_eq!(t.runs(&all_runs(9)).await, runs);
}

pub(super) async fn queued_jobs_are_leased_after_it(t: &Fixture) {
    t.start("r1", job("a")).await;
    t.start("r2", job("a")).await;
    if !t.reopen().await {
        return;
    }
    let mut two = t.peer("two");
    let runs: Vec<_> = two.leases("a", 9).await.iter().map(|lease| lease.run.to_string()).collect();
    assert_eq!(runs, ["r1", "r2"]);
}

pub(super) async fn a_turn_sent_again_after_it_gets_the_same_answers(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx = write(&lease).emit("e", json!(1)).to(job("b")).complete();
    let turn = Turn { writes: vec![tx, done(&lease)], renewals: vec![renewal(&lease)], ..one.next() };
    let first = one.send(&turn).await.unwrap();
    if !t.reopen().await {
        return;
    }
    assert_eq!(one.send(&turn).await.unwrap(), first);
    assert_eq!(t.said::<EventEmitted>(&run).await.len(), 1);
    assert_eq!(t.counts("b").await.queued, 1);
}

pub(super) async fn held_jobs_go_on_with_another_and_the_old_fence_is_refused(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.short_peer("one");
    let old = one.lease("a").await;
    one.commit(write(&old).effect(json!(1))).await;
    if !t.reopen().await {
        return;
    }
    t.until_expired("a").await;
    let mut two = t.peer("two");
    let new = two.lease("a").await;
    assert!(new.fence > old.fence);
    assert_eq!((new.step.clone(), new.attempt, new.recorded, new.read), (old.step.clone(), 2, 1, old.read));
    assert_eq!(one.write(done(&old)).await, Answer::LeaseLost);
    two.commit(done(&new)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn delayed_jobs_come_after_it(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).retry(50)).await;
    if !t.reopen().await {
        return;
    }
    t.until("the job is due", async || t.counts("a").await.queued == 1).await;
    t.peer("two").finish("a").await;
}

pub(super) async fn half_joins_and_unfired_gathers_go_on(t: &Fixture) {
    let gathers = [gather(job("g"), 0)];
    let run = t.start_with("r", job("a").holding(&["g"]), &gathers).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let before = job("b").holding(&["g"]);
    let tx = write(&lease)
        .emit("l", json!("left"))
        .join(job("j"), 0, 2)
        .emit("p", json!(1))
        .gather("g")
        .to(before);
    one.commit(tx.arming(&gathers).complete()).await;
    if !t.reopen().await {
        return;
    }
    let mut two = t.peer("two");
    let lease = two.lease("b").await;
    two.commit(write(&lease).emit("r", json!("right")).join(job("j"), 1, 2).complete()).await;
    let joined = two.lease("j").await;
    assert_eq!(
        joined.inputs.iter().map(|input| input.payload.clone()).collect::<Vec<_>>(),
        ["left", "right"]
    );
    let gathering = two.lease("g").await;
    assert_eq!(t.gathered(&run, "g", gathering.step.cause().n, 9).await, [json!(1)]);
}

pub(super) async fn a_pause_survives(t: &Fixture) {
    t.start("r", job("a")).await;
    t.pause(&queue("a"), true).await;
    if !t.reopen().await {
        return;
    }
    assert!(t.counts("a").await.paused);
    assert!(t.peer("two").leases("a", 1).await.is_empty());
}

pub(super) async fn a_start_sent_again_after_it_starts_nothing(t: &Fixture) {
    let begin = start("r", json!({ "x": 0.1 }), job("a"), &[]);
    t.try_start(&begin).await.unwrap();
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.try_start(&begin).await.unwrap(), Started::Existing);
    assert_eq!(t.timeline(&begin.run).await.len(), 1);
}
