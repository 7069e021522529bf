//! Runs that several versions of a program work on: gathers that are newer than the run, and joins and gathers that had
//! another name when the run began them.

use super::prelude::*;

fn g() -> [GatherSpec; 1] {
    [gather(job("g"), 0)]
}

/// A join or gather under the name that it had before.
fn was(former: &str) -> JobSpec {
    job(former)
}

/// A run of a version without a gather, with so many steps of `b`, all held.
async fn fan(t: &Fixture, width: usize) -> (RunId, Peer<'_>, Vec<Lease>) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit((0..width).fold(write(&lease), |tx, n| tx.emit("part", json!(n)).to(job("b"))).complete())
        .await;
    let leases = one.leases("b", width as u32).await;
    assert_eq!(leases.len(), width);
    (run, one, leases)
}

/// The transaction of a step that leads to the gather, as a version that has the gather writes it.
fn part(lease: &Lease, text: &str) -> Write {
    write(lease).emit("done", json!(text)).gather("g").arming(&g())
}

async fn list(t: &Fixture, run: &RunId, lease: &Lease) -> Vec<serde_json::Value> {
    t.gathered(run, lease.step.worker().as_str(), lease.step.cause().n, 10).await
}

pub(super) async fn a_gather_that_is_newer_than_its_run_gets_everything(t: &Fixture) {
    let (run, mut one, leases) = fan(t, 3).await;
    for (lease, text) in leases.iter().zip(["x", "y", "z"]) {
        assert_eq!(t.counts("g").await.queued, 0);
        one.commit(part(lease, text).complete()).await;
    }
    assert_eq!(t.summary(&run).await.status, RunStatus::Running);
    let lease = one.lease("g").await;
    assert_eq!(list(t, &run, &lease).await, ["x", "y", "z"]);
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
    assert_eq!(t.counts("g").await.queued, 0, "it fires once");
}

pub(super) async fn a_newer_gather_waits_for_jobs_that_do_not_hold_it(t: &Fixture) {
    let (run, mut one, leases) = fan(t, 2).await;
    // One step comes from the new version and holds the gather; it ends before the other, which comes from the old one.
    let deeper = part(&leases[0], "x").emit("more", json!(1)).to(job("c").holding(&["g"]));
    one.commit(deeper.complete()).await;
    one.finish("c").await;
    assert_eq!(t.counts("g").await.queued, 0);
    one.commit(part(&leases[1], "y").complete()).await;
    let lease = one.lease("g").await;
    assert_eq!(list(t, &run, &lease).await, ["x", "y"]);
}

pub(super) async fn a_newer_gather_fires_when_the_last_step_is_forgiven(t: &Fixture) {
    let run = t.start("r", job("a").optional()).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(part(&lease, "x").effect(json!(null))).await;
    one.commit(write(&lease).fail("never mind")).await;
    let lease = one.lease("g").await;
    assert_eq!(list(t, &run, &lease).await, ["x"]);
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn newer_gathers_fire_one_after_the_other(t: &Fixture) {
    let gathers = [gather(job("g").holding(&["h"]), 0), gather(job("h"), 1)];
    let (run, mut one, leases) = fan(t, 1).await;
    let tx = write(&leases[0]).emit("e", json!(1)).gather("g").emit("f", json!(2)).gather("h");
    one.commit(tx.arming(&gathers).complete()).await;
    assert_eq!((t.counts("g").await.queued, t.counts("h").await.queued), (1, 0));
    let lease = one.lease("g").await;
    one.commit(write(&lease).emit("f", json!(3)).gather("h").arming(&gathers[1..]).complete()).await;
    let lease = one.lease("h").await;
    assert_eq!(list(t, &run, &lease).await, [json!(2), json!(3)]);
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_gather_that_nothing_arrives_at_is_not_armed_by_a_newer_version(t: &Fixture) {
    let (run, mut one, leases) = fan(t, 1).await;
    one.commit(write(&leases[0]).arming(&g()).complete()).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_gather_that_was_renamed_goes_on_under_its_former_name(t: &Fixture) {
    let old = [gather(job("old"), 0)];
    let run = t.start_with("r", job("a").holding(&["old"]), &old).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let parts = (0..2)
        .fold(write(&lease).arming(&old), |tx, n| tx.emit("part", json!(n)).to(job("b").holding(&["old"])));
    one.commit(parts.complete()).await;
    let leases = one.leases("b", 2).await;
    one.commit(write(&leases[0]).emit("done", json!("x")).gather("old").arming(&old).complete()).await;
    // From here on the steps are run by a version that calls the gather `g`.
    let new = part(&leases[1], "y").emit("more", json!(1)).to(job("c").holding(&["g"]));
    one.commit(new.formerly("g", was("older")).formerly("g", was("old")).complete()).await;
    assert_eq!((t.counts("old").await.queued, t.counts("g").await.queued), (0, 0));
    let last = one.lease("c").await;
    one.commit(part(&last, "z").formerly("g", was("old")).complete()).await;
    assert_eq!((t.counts("old").await.queued, t.counts("g").await.queued), (1, 0));
    let lease = one.lease("old").await;
    assert_eq!(list(t, &run, &lease).await, ["x", "y", "z"]);
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn what_holds_a_renamed_gather_is_counted_by_its_former_name(t: &Fixture) {
    let old = [gather(job("old"), 0)];
    let run = t.start_with("r", job("a").holding(&["old"]), &old).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    // These are more jobs than a turn carries, so a store may write them in pages.
    let many = (0..=MAX_TURN_WRITES).fold(write(&lease).arming(&g()).formerly("g", was("old")), |tx, n| {
        tx.emit("part", json!(n)).to(job("b").holding(&["g"]))
    });
    one.commit(many.complete()).await;
    let mut left = MAX_TURN_WRITES + 1;
    while left > 0 {
        t.tick().await;
        let leases = one.leases("b", 100).await;
        left -= leases.len();
        assert_eq!(t.counts("old").await.queued, 0, "jobs that hold it are left");
        one.writes(leases.iter().map(done).collect()).await;
    }
    assert_eq!((t.counts("old").await.queued, t.counts("g").await.queued), (1, 0));
    one.finish("old").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_run_that_does_not_know_the_former_name_takes_the_new_one(t: &Fixture) {
    let run = t.start_with("r", job("a").holding(&["g"]), &g()).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx =
        part(&lease, "x").emit("l", json!(1)).join(job("j"), 0, 2).emit("r", json!(2)).join(job("j"), 1, 2);
    one.commit(tx.formerly("g", was("old")).formerly("j", was("joined")).complete()).await;
    let lease = one.lease("g").await;
    assert_eq!(list(t, &run, &lease).await, ["x"]);
    assert_eq!(one.lease("j").await.inputs.len(), 2);
}

pub(super) async fn a_join_that_was_renamed_goes_on_under_its_former_name(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let half = write(&lease).emit("l", json!("left")).join(job("old"), 0, 2).emit("p", json!(1)).to(job("b"));
    one.commit(half.complete()).await;
    let lease = one.lease("b").await;
    let other = write(&lease).emit("r", json!("right")).join(job("j"), 1, 2).formerly("j", was("old"));
    one.commit(other.complete()).await;
    assert_eq!((t.counts("old").await.queued, t.counts("j").await.queued), (1, 0));
    let lease = one.lease("old").await;
    let inputs: Vec<_> = lease.inputs.iter().map(|input| input.payload.clone()).collect();
    assert_eq!(inputs, ["left", "right"]);
    // Nothing waits under the former name any more.
    let next =
        write(&lease).emit("l", json!(1)).join(job("j"), 0, 2).emit("r", json!(2)).join(job("j"), 1, 2);
    one.commit(next.formerly("j", was("old")).complete()).await;
    assert_eq!((t.counts("old").await.queued, t.counts("j").await.queued), (0, 1));
    one.finish("j").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_gather_that_was_begun_under_two_names_becomes_one(t: &Fixture) {
    let old = [gather(job("old"), 0)];
    let run = t.start_with("r", job("a").holding(&["old"]), &old).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let parts = (0..4)
        .fold(write(&lease).arming(&old), |tx, n| tx.emit("part", json!(n)).to(job("b").holding(&["old"])));
    one.commit(parts.complete()).await;
    let leases = one.leases("b", 4).await;
    let former =
        |lease: &Lease, text: &str| write(lease).emit("done", json!(text)).gather("old").arming(&old);
    one.commit(former(&leases[0], "v").complete()).await;
    // A version calls the gather `g` and does not say that it was `old`; the next version says so.
    let silent = part(&leases[1], "w").emit("more", json!(1)).to(job("c").holding(&["g"]));
    one.commit(silent.complete()).await;
    one.commit(part(&leases[2], "x").formerly("g", was("old")).complete()).await;
    // Instances of the two earlier versions are still there.
    one.commit(former(&leases[3], "y").complete()).await;
    assert_eq!((t.counts("old").await.queued, t.counts("g").await.queued), (0, 0), "`c` leads to it");
    let last = one.lease("c").await;
    one.commit(part(&last, "z").complete()).await;
    assert_eq!((t.counts("old").await.queued, t.counts("g").await.queued), (0, 1));
    let lease = one.lease("g").await;
    assert_eq!(list(t, &run, &lease).await, ["v", "w", "x", "y", "z"]);
    assert!(t.gathered(&run, "old", lease.step.cause().n, 10).await.is_empty());
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
    assert_eq!((t.counts("old").await.queued, t.counts("g").await.queued), (0, 0), "it fires once");
}

pub(super) async fn a_gather_of_two_former_names_goes_on_under_the_likelier(t: &Fixture) {
    let (older, old) = ([gather(job("older"), 0)], [gather(job("old"), 0)]);
    let run = t.start_with("r", job("a").holding(&["older"]), &older).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let parts = (0..3).fold(write(&lease).arming(&older), |tx, n| {
        tx.emit("part", json!(n)).to(job("b").holding(&["older"]))
    });
    one.commit(parts.emit("done", json!("w")).gather("older").complete()).await;
    let leases = one.leases("b", 3).await;
    one.commit(write(&leases[0]).emit("done", json!("x")).gather("old").arming(&old).complete()).await;
    let said = part(&leases[1], "y").formerly("g", was("old")).formerly("g", was("older"));
    one.commit(said.complete()).await;
    one.commit(write(&leases[2]).emit("done", json!("z")).gather("older").arming(&older).complete()).await;
    let queued = (t.counts("older").await.queued, t.counts("old").await.queued, t.counts("g").await.queued);
    assert_eq!(queued, (0, 1, 0));
    let lease = one.lease("old").await;
    assert_eq!(list(t, &run, &lease).await, ["w", "x", "y", "z"]);
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_gather_that_has_fired_takes_no_part_of_another_name(t: &Fixture) {
    let old = [gather(job("old"), 0)];
    let run = t.start_with("r", job("a").holding(&["old"]), &old).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(part(&lease, "x").emit("aside", json!(1)).to(job("b")).complete()).await;
    assert_eq!((t.counts("old").await.queued, t.counts("g").await.queued), (1, 0));
    let aside = one.lease("b").await;
    one.commit(part(&aside, "y").formerly("g", was("old")).complete()).await;
    let lease = one.lease("old").await;
    assert!(list(t, &run, &lease).await.is_empty());
    one.commit(done(&lease)).await;
    let lease = one.lease("g").await;
    assert_eq!(list(t, &run, &lease).await, ["x", "y"]);
}

pub(super) async fn what_waits_under_two_names_of_a_join_pairs(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let to_b = write(&lease).emit("l", json!("first left")).join(job("old"), 0, 2).emit("p", json!(1));
    one.commit(to_b.to(job("b")).complete()).await;
    // A version calls the join `j` and does not say that it was `old`; the next version says so.
    let lease = one.lease("b").await;
    let silent = write(&lease).emit("r", json!("right")).join(job("j"), 1, 2).emit("p", json!(1));
    one.commit(silent.to(job("c")).complete()).await;
    assert_eq!((t.counts("old").await.queued, t.counts("j").await.queued), (0, 0));
    let lease = one.lease("c").await;
    let said = write(&lease).emit("l", json!("second left")).join(job("j"), 0, 2).formerly("j", was("old"));
    one.commit(said.complete()).await;
    assert_eq!((t.counts("old").await.queued, t.counts("j").await.queued), (1, 0));
    let lease = one.lease("old").await;
    let inputs: Vec<_> = lease.inputs.iter().map(|input| input.payload.clone()).collect();
    assert_eq!(inputs, ["first left", "right"]);
    assert_eq!(lease.step.cause(), lease.inputs[1].id, "the later of the two");
    one.commit(done(&lease)).await;
    let unpaired = t.said::<FlowCompleted>(&run).await.remove(0).unpaired;
    assert_eq!(unpaired.iter().map(|event| event.step_name.as_str()).collect::<Vec<_>>(), ["old"]);
}
