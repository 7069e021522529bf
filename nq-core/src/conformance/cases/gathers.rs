//! Gathers and counts: a gather fires once, when nothing before it is pending, and never early.

use super::prelude::*;
use crate::id::EntryId;

/// The one gather of most cases.
fn g() -> [GatherSpec; 1] {
    [gather(job("g"), 0)]
}

/// The job of a worker that leads to the gather `g`.
fn before(worker: &str) -> JobSpec {
    job(worker).holding(&["g"])
}

/// A run whose entry step, upstream of `g`, is held.
async fn open(t: &Fixture) -> (RunId, Peer<'_>, Lease) {
    let run = t.start_with("r", before("a"), &g()).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    (run, one, lease)
}

/// A run that has fanned out into so many steps of `b`, all held.
async fn fan(t: &Fixture, width: usize) -> (RunId, Peer<'_>, Vec<Lease>) {
    let (run, mut one, lease) = open(t).await;
    let tx = (0..width).fold(write(&lease), |tx, n| tx.emit("part", json!(n)).to(before("b")));
    one.commit(tx.arming(&g()).complete()).await;
    let leases = one.leases("b", width as u32).await;
    assert_eq!(leases.len(), width);
    (run, one, leases)
}

/// The step emits an event that the gather gets, and is done.
fn part(lease: &Lease, text: &str) -> Transaction {
    write(lease).emit("done", json!(text)).gather("g").complete()
}

async fn fired(t: &Fixture) -> u64 {
    let counts = t.counts("g").await;
    counts.queued + counts.leased
}

pub(super) async fn a_gather_fires_when_the_last_before_it_is_done(t: &Fixture) {
    let (run, mut one, leases) = fan(t, 3).await;
    for (lease, text) in leases.iter().zip(["x", "y", "z"]) {
        assert_eq!(fired(t).await, 0);
        one.commit(part(lease, text)).await;
    }
    let lease = one.lease("g").await;
    assert!(lease.inputs.is_empty(), "its list is read in pages");
    let upto = lease.step.cause().n;
    assert_eq!(t.gathered(&run, "g", upto, 10).await, ["x", "y", "z"]);
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_gather_is_caused_by_what_brought_its_count_to_nothing(t: &Fixture) {
    let (run, mut one, leases) = fan(t, 1).await;
    one.commit(part(&leases[0], "x")).await;
    let all = t.timeline(&run).await;
    assert_eq!(one.lease("g").await.step.cause(), all.last().unwrap().id);
}

pub(super) async fn a_gather_of_nothing_fires_too(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    one.commit(done(&lease)).await;
    let lease = one.lease("g").await;
    assert!(t.gathered(&run, "g", lease.step.cause().n, 10).await.is_empty());
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn the_list_is_in_the_order_emitted_not_in_that_of_the_jobs(t: &Fixture) {
    let (run, mut one, leases) = fan(t, 3).await;
    for (at, text) in [(2, "first"), (0, "second"), (1, "third")] {
        let tx =
            write(&leases[at]).emit("done", json!(text)).gather("g").emit("done", json!("!")).gather("g");
        one.commit(tx.complete()).await;
    }
    let upto = one.lease("g").await.step.cause().n;
    assert_eq!(t.gathered(&run, "g", upto, 10).await, ["first", "!", "second", "!", "third", "!"]);
}

pub(super) async fn the_list_is_read_in_pages(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    let tx = (0..25).fold(write(&lease), |tx, n| tx.emit("done", json!(n)).gather("g"));
    one.commit(tx.complete()).await;
    let upto = one.lease("g").await.step.cause().n;
    let all: Vec<_> = (0..25).map(|n| json!(n)).collect();
    for page in [1, 7, 25, 26, usize::MAX] {
        assert_eq!(t.gathered(&run, "g", upto, page).await, all, "in pages of {page}");
    }
}

pub(super) async fn the_list_ends_where_it_is_asked_to(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    let tx = (0..3).fold(write(&lease), |tx, n| tx.emit("done", json!(n)).gather("g"));
    one.commit(tx.complete()).await;
    let at = t.timeline(&run).await[3].id.n;
    assert_eq!(t.gathered(&run, "g", at, 9).await, [json!(0), json!(1)]);
    assert_eq!(t.gathered(&run, "g", at - 1, 9).await, [json!(0)]);
    assert!(t.gathered(&run, "g", 0, 9).await.is_empty());
    assert!(t.gathered(&run, "other", 99, 9).await.is_empty());
}

pub(super) async fn the_list_of_a_long_fan_comes_in_bounded_pages(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    let tx = (0..1_500).fold(write(&lease), |tx, n| tx.emit("done", json!(n)).gather("g"));
    one.commit(tx.complete()).await;
    let all =
        Gathered { run: run.clone(), worker: name("g"), upto: 9_999, from: 0, limit: usize::MAX, seen: None };
    let page = t.store().gathered(&all).await;
    if let Ok(page) = page {
        assert_eq!(page.len(), MAX_READ_ENTRIES);
    }
    assert_eq!(t.gathered(&run, "g", 9_999, usize::MAX).await.len(), 1_500);
}

pub(super) async fn the_list_of_a_run_that_is_gone_is_not_empty_but_missing(t: &Fixture) {
    let gone = Gathered { run: run_id("gone"), worker: name("g"), upto: 9, from: 0, limit: 9, seen: None };
    let error = loop {
        match t.store().gathered(&gone).await {
            Err(error) if error.is_retryable() => {}
            reply => break reply.unwrap_err(),
        }
    };
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

pub(super) async fn one_who_has_seen_more_than_there_is_gets_no_shorter_list(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    let tx = (0..3).fold(write(&lease), |tx, n| tx.emit("done", json!(n)).gather("g"));
    one.commit(tx.complete()).await;
    let cause = one.lease("g").await.step.cause();
    let page = async |from, seen| {
        let page =
            Gathered { run: run.clone(), worker: name("g"), upto: cause.n, from, limit: 2, seen: Some(seen) };
        t.gathered_page(&page).await
    };
    for (from, length) in [(0, 2), (2, 1), (3, 0)] {
        assert_eq!(page(from, cause).await.unwrap().len(), length);
        // As in a store that was set back: the entry that the reader knows of is missing, or another one is in its place.
        let (beyond, later) = (EntryId { n: cause.n + 9, ..cause }, EntryId { ms: cause.ms + 1, ..cause });
        for seen in [beyond, later, EntryId { ms: cause.ms - 1, ..cause }] {
            let error = page(from, seen).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
            assert!(error.to_string().contains(&format!("`{seen}`")), "{error}");
        }
    }
}

pub(super) async fn a_gather_waits_for_steps_that_its_steps_cause(t: &Fixture) {
    let (_, mut one, leases) = fan(t, 2).await;
    let deeper = write(&leases[0]).emit("more", json!(1)).to(before("c")).arming(&g()).complete();
    one.commit(deeper).await;
    one.commit(part(&leases[1], "x")).await;
    assert_eq!(fired(t).await, 0);
    one.finish("c").await;
    assert_eq!(fired(t).await, 1);
}

pub(super) async fn a_gather_waits_for_a_step_that_retries(t: &Fixture) {
    let (_, mut one, leases) = fan(t, 2).await;
    one.commit(part(&leases[0], "x")).await;
    one.commit(write(&leases[1]).retry(0)).await;
    assert_eq!(fired(t).await, 0);
    let again = one.lease("b").await;
    one.commit(write(&again).release()).await;
    assert_eq!(fired(t).await, 0);
    one.finish("b").await;
    assert_eq!(fired(t).await, 1);
}

pub(super) async fn a_gather_waits_for_a_step_whose_holder_died(t: &Fixture) {
    let run = t.start_with("r", before("a"), &g()).await;
    let mut one = t.short_peer("one");
    let lease = one.lease("a").await;
    t.until_expired("a").await;
    assert_eq!(fired(t).await, 0);
    assert_eq!(one.write(part(&lease, "lost")).await, Answer::LeaseLost);
    let lease = one.lease("a").await;
    one.commit(part(&lease, "kept")).await;
    assert_eq!(t.gathered(&run, "g", 99, 9).await, ["kept"]);
}

pub(super) async fn a_gather_fires_once(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    one.commit(part(&lease, "x")).await;
    let lease = one.lease("g").await;
    // In another version of the flow, the gather's own step may cause steps that lead to the gather.
    one.commit(write(&lease).emit("again", json!(1)).to(before("b")).arming(&g()).complete()).await;
    one.finish("b").await;
    assert_eq!(fired(t).await, 0);
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_run_does_not_complete_under_a_gather(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    one.commit(done(&lease)).await;
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.pending), (RunStatus::Running, 1));
    assert!(!t.kinds(&run).await.contains(&"flow.completed".to_owned()));
}

pub(super) async fn a_gather_fed_by_a_gather_waits_for_it(t: &Fixture) {
    let gathers = [gather(job("g").holding(&["h"]), 0), gather(job("h"), 1)];
    let run = t.start_with("r", job("a").holding(&["g", "h"]), &gathers).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(part(&lease, "x")).await;
    assert_eq!((t.counts("g").await.queued, t.counts("h").await.queued), (1, 0));
    let lease = one.lease("g").await;
    one.commit(write(&lease).emit("sum", json!("x+")).gather("h").complete()).await;
    let lease = one.lease("h").await;
    assert_eq!(t.gathered(&run, "h", lease.step.cause().n, 9).await, ["x+"]);
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn the_rank_decides_not_the_name(t: &Fixture) {
    // The same as in the case before, with names that sort the other way round.
    let gathers = [gather(job("z").holding(&["b"]), 0), gather(job("b"), 1)];
    t.start_with("r", job("a").holding(&["b", "z"]), &gathers).await;
    t.peer("one").finish("a").await;
    assert_eq!((t.counts("z").await.queued, t.counts("b").await.queued), (1, 0));
}

pub(super) async fn two_gathers_may_fire_in_one_commit(t: &Fixture) {
    let gathers = [gather(job("g"), 0), gather(job("h"), 0)];
    let run = t.start_with("r", job("a").holding(&["g", "h"]), &gathers).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx = write(&lease).emit("e", json!("both")).gather("g").gather("h").emit("f", json!("h")).gather("h");
    one.commit(tx.complete()).await;
    assert_eq!(t.summary(&run).await.pending, 2);
    let (g, h) = (one.lease("g").await, one.lease("h").await);
    assert_eq!(t.gathered(&run, "g", g.step.cause().n, 9).await, ["both"]);
    assert_eq!(t.gathered(&run, "h", h.step.cause().n, 9).await, ["both", "h"]);
}

pub(super) async fn a_gather_does_not_wait_for_what_does_not_lead_to_it(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    let tx = write(&lease).emit("aside", json!(1)).to(job("c")).emit("done", json!("x")).gather("g");
    one.commit(tx.complete()).await;
    assert_eq!(fired(t).await, 1);
    one.finish("g").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Running);
    one.finish("c").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_half_filled_join_arms_no_gather(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    // The step was enqueued by a version of the flow without the gather. Its event goes to a join of a version that has
    // the gather.
    let tx = write(&lease).emit("e", json!(1)).join(before("j"), 0, 2).arming(&g()).complete();
    one.commit(tx).await;
    assert_eq!(fired(t).await, 0);
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_join_that_fires_arms_the_gathers_behind_it(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    let tx =
        write(&lease).emit("l", json!(1)).join(before("j"), 0, 2).emit("r", json!(2)).join(before("j"), 1, 2);
    one.commit(tx.arming(&g()).complete()).await;
    assert_eq!(fired(t).await, 0);
    one.finish("j").await;
    assert_eq!(fired(t).await, 1);
    one.finish("g").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_death_that_is_forgiven_counts_as_an_end(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    let tx =
        write(&lease).emit("p", json!(1)).to(before("b").optional()).emit("done", json!("x")).gather("g");
    one.commit(tx.arming(&g()).complete()).await;
    let lease = one.lease("b").await;
    assert_eq!(fired(t).await, 0);
    one.commit(write(&lease).fail("never mind")).await;
    assert_eq!(fired(t).await, 1);
    assert_eq!(t.gathered(&run, "g", 99, 9).await, ["x"]);
}

pub(super) async fn a_death_that_is_not_forgiven_fires_no_gather(t: &Fixture) {
    let (run, mut one, leases) = fan(t, 1).await;
    one.commit(write(&leases[0]).fail("broken")).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Failed);
    assert_eq!(fired(t).await, 0);
}

pub(super) async fn what_comes_after_the_gather_fired_is_not_in_its_list(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    one.commit(write(&lease).emit("p", json!(1)).to(before("b").optional()).arming(&g()).complete()).await;
    let dead = one.lease("b").await;
    one.commit(write(&dead).fail("later")).await;
    let gathering = one.lease("g").await;
    // The dead step is redriven, and its event comes too late.
    let redrive = Act::Redrive { step: dead.step.clone() };
    assert_eq!(t.act(&run, redrive).await.unwrap(), Acted::Done);
    let again = one.lease("b").await;
    one.commit(part(&again, "late")).await;
    assert_eq!(t.said::<EventEmitted>(&run).await.len(), 2);
    assert!(t.gathered(&run, "g", gathering.step.cause().n, 9).await.is_empty());
    assert_eq!(t.counts("g").await.queued, 0, "it does not fire again");
    one.commit(done(&gathering)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_redriven_step_holds_the_gather_that_has_not_fired(t: &Fixture) {
    let (run, mut one, lease) = open(t).await;
    let tx = write(&lease).emit("p", json!(1)).to(before("b").optional()).emit("p", json!(2)).to(before("c"));
    one.commit(tx.arming(&g()).complete()).await;
    let dead = one.lease("b").await;
    one.commit(write(&dead).fail("later")).await;
    assert_eq!(t.act(&run, Act::Redrive { step: dead.step }).await.unwrap(), Acted::Done);
    one.finish("c").await;
    assert_eq!(fired(t).await, 0, "the redriven step is before it");
    let again = one.lease("b").await;
    one.commit(part(&again, "in time")).await;
    assert_eq!(fired(t).await, 1);
    assert_eq!(t.gathered(&run, "g", 99, 9).await, ["in time"]);
}

pub(super) async fn gathers_of_two_runs_are_apart(t: &Fixture) {
    let mut one = t.peer("one");
    for run in ["r1", "r2"] {
        t.start_with(run, before("a"), &g()).await;
    }
    let leases = one.leases("a", 2).await;
    one.commit(part(&leases[0], "x")).await;
    assert_eq!(fired(t).await, 1);
    assert!(t.gathered(&leases[1].run, "g", 99, 9).await.is_empty());
    one.commit(part(&leases[1], "y")).await;
    assert_eq!(fired(t).await, 2);
    assert_eq!(t.gathered(&leases[1].run, "g", 99, 9).await, ["y"]);
}

pub(super) async fn a_wide_fan_fires_its_gather_once(t: &Fixture) {
    let (run, mut one, leases) = fan(t, 120).await;
    for chunk in leases.chunks(40) {
        let answers = one.writes(chunk.iter().map(|lease| part(lease, "x")).collect()).await;
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Committed { .. })));
    }
    assert_eq!(fired(t).await, 1);
    assert_eq!(t.gathered(&run, "g", 9_999, 50).await.len(), 120);
    one.finish("g").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}
