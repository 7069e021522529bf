//! Offers: a store may give a job to an instance that waits, and loses none on the way.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use super::prelude::*;

const SHORT: Duration = Duration::from_millis(50);

/// Makes an offer and starts a run while it stands, but drops the job that the offer brings, as if the reply were lost.
async fn offer_unheard(t: &Fixture, peer: &Peer<'_>, run: &str) {
    unheard(t, &peer.offer_of("a"), t.start(run, job("a"))).await;
}

/// Makes an offer and does this act while it stands, but drops the job that the offer brings, as if the reply were lost.
async fn unheard<T>(t: &Fixture, offer: &Offer, act: impl Future<Output = T>) {
    let store = t.store();
    let take: Take = Arc::new(drop);
    let mut dropped = pin!(store.offer(offer, &take, PATIENCE));
    // The offer waits long enough to arrive at the store. The act is done meanwhile.
    let mut beside = pin!(async {
        t.wait(&Interest::Queues(vec![queue("nobody")]), SHORT).await;
        act.await;
    });
    let mut over = false;
    poll_fn(|context| {
        over = over || dropped.as_mut().poll(context).is_ready();
        beside.as_mut().poll(context)
    })
    .await;
}

/// Waits until the offer stands, and then starts a run.
async fn start_later(t: &Fixture, run: &str) -> RunId {
    t.wait(&Interest::Queues(vec![queue("nobody")]), SHORT).await;
    t.start(run, job("a")).await
}

pub(super) async fn a_job_that_comes_meanwhile_is_brought_or_told_of(t: &Fixture) {
    let mut one = t.peer("one");
    for run in ["r1", "r2", "r3"] {
        let asked = Stopwatch::start();
        let (lease, run) = both(one.take("a"), start_later(t, run)).await;
        asked.assert_shorter_than(PATIENCE / 2);
        assert_eq!((&lease.run, lease.fence, lease.attempt, lease.read), (&run, 1, 1, 1));
        assert_eq!((&lease.queue, &lease.flow, lease.recorded), (&queue("a"), &name("f"), 0));
        assert_eq!(lease.inputs.len(), 1);
        assert_eq!(lease.inputs[0].payload, json!({ "in": run.as_str() }));
        one.commit(done(&lease)).await;
        let kinds = ["flow.started", "flow.step.started", "flow.step.completed", "flow.completed"];
        assert_eq!(t.kinds(&run).await, kinds);
        let started = StepStarted { instance: InstanceId::new("one").unwrap() };
        assert_eq!(t.said::<StepStarted>(&run).await, [started]);
    }
}

pub(super) async fn what_is_there_already_is_not_waited_for(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let asked = Stopwatch::start();
    assert_eq!(t.peer("one").take("a").await.run, run);
    asked.assert_shorter_than(PATIENCE / 2);
}

pub(super) async fn an_offer_ends_when_its_time_is_up(t: &Fixture) {
    let mut one = t.peer("one");
    assert_eq!(one.offer("a", SHORT).await, None);
    assert_eq!(one.offer("a", Duration::ZERO).await, None);
    let none = Offer { queues: Vec::new(), ..one.offer_of("a") };
    assert_eq!(one.brought_by(&none, Duration::ZERO).await, None);
    assert!(one.leases("a", 1).await.is_empty());
    // The offer does not stand any more, so the next instance leases the job.
    let run = t.start("r", job("a")).await;
    assert_eq!(t.peer("two").lease("a").await.run, run);
}

pub(super) async fn an_offer_that_is_dropped_loses_nothing(t: &Fixture) {
    let mut one = t.peer("one");
    offer_unheard(t, &one, "r").await;
    let lease = one.lease("a").await;
    assert_eq!((lease.fence, lease.attempt), (1, 1));
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run_id("r")).await.status, RunStatus::Completed);
}

pub(super) async fn what_an_offer_brought_comes_again_with_the_same_turn(t: &Fixture) {
    let mut one = t.peer("one");
    offer_unheard(t, &one, "r").await;
    let turn = Turn { wants: vec![Want { queue: queue("a"), max: 1 }], ..one.next() };
    let first = one.send(&turn).await.unwrap();
    assert_eq!(first.leases.len(), 1);
    for _ in 0..3 {
        assert_eq!(one.send(&turn).await.unwrap(), first);
    }
    assert_eq!(t.counts("a").await.leased, 1);
}

pub(super) async fn a_turn_that_tells_of_it_does_not_bring_it_again(t: &Fixture) {
    let mut one = t.peer("one");
    let (lease, _) = both(one.take("a"), start_later(t, "r1")).await;
    let turn = Turn { renewals: vec![renewal(&lease)], ..one.next() };
    let reply = one.send(&turn).await.unwrap();
    assert_eq!((&reply.renewed[..], reply.leases.len()), (&[RenewAnswer::Renewed][..], 0));
    one.commit(done(&lease)).await;
    let (lease, _) = both(one.take("a"), start_later(t, "r2")).await;
    // The attempt goes on, so the job is still leased when the turn looks at the jobs that offers were given.
    let turn = Turn { writes: vec![write(&lease).effect(json!(1))], ..one.next() };
    assert!(one.send(&turn).await.unwrap().leases.is_empty());
    one.commit(done(&lease)).await;
}

pub(super) async fn an_offer_is_for_one_place(t: &Fixture) {
    let mut one = t.peer("one");
    offer_unheard(t, &one, "r1").await;
    t.start("r2", job("a")).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let leases = one.leases("a", 1).await;
        assert!(leases.len() <= 1, "{leases:?}");
        runs.extend(leases.into_iter().map(|lease| lease.run));
    }
    assert_eq!(runs, [run_id("r1"), run_id("r2")]);
}

pub(super) async fn an_offer_for_two_queues_brings_one_job(t: &Fixture) {
    let mut one = t.peer("one");
    let offer = Offer { queues: vec![queue("a"), queue("b")], ..one.offer_of("a") };
    let starts = async {
        t.start("r1", job("a")).await;
        t.start("r2", job("b")).await;
    };
    unheard(t, &offer, starts).await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let wants = ["a", "b"].map(|worker| Want { queue: queue(worker), max: 1 }).into();
        let turn = Turn { wants, ..one.next() };
        let leases = one.send(&turn).await.unwrap().leases;
        assert!(leases.iter().all(|lease| (lease.fence, lease.failures) == (1, 0)), "{leases:?}");
        runs.extend(leases.into_iter().map(|lease| lease.run));
    }
    runs.sort();
    assert_eq!(runs, [run_id("r1"), run_id("r2")]);
}

pub(super) async fn of_those_who_offer_one_gets_the_job(t: &Fixture) {
    let mut peers = ["one", "two"].map(|name| t.peer(name));
    let [one, two] = &peers;
    let offers = both(one.offer("a", SHORT * 4), two.offer("a", SHORT * 4));
    let ((first, second), _) = both(offers, start_later(t, "r")).await;
    let mut leases: Vec<_> = first.into_iter().chain(second).collect();
    for peer in &mut peers {
        let known = leases.iter().map(renewal).collect();
        let turn = Turn { renewals: known, wants: vec![Want { queue: queue("a"), max: 1 }], ..peer.next() };
        leases.extend(peer.send(&turn).await.unwrap().leases);
    }
    assert_eq!(leases.len(), 1, "{leases:?}");
    assert_eq!(t.counts("a").await.leased, 1);
}

pub(super) async fn an_offer_keeps_the_order_of_a_queue(t: &Fixture) {
    t.start("r1", job("a")).await;
    let mut one = t.peer("one");
    let (first, ()) = both(one.take("a"), async {
        t.start("r2", job("a")).await;
    })
    .await;
    assert_eq!(first.run, run_id("r1"));
    one.commit(done(&first)).await;
    assert_eq!(one.take("a").await.run, run_id("r2"));
}

pub(super) async fn the_job_of_a_paused_queue_is_not_given(t: &Fixture) {
    let mut one = t.peer("one");
    let later = async {
        t.wait(&Interest::Queues(vec![queue("nobody")]), SHORT).await;
        t.pause(&queue("a"), true).await;
        t.start("r", job("a")).await
    };
    let (given, run) = both(one.offer("a", SHORT * 4), later).await;
    assert_eq!(given, None);
    assert!(one.leases("a", 1).await.is_empty());
    t.pause(&queue("a"), false).await;
    assert_eq!(one.take("a").await.run, run);
}

pub(super) async fn a_job_that_is_given_to_nobody_goes_back_soon(t: &Fixture) {
    // A store that gives nothing leaves it in its queue.
    let one = t.short_peer("one");
    offer_unheard(t, &one, "r").await;
    t.until_expired("a").await;
    let mut two = t.peer("two");
    let lease = two.lease("a").await;
    assert!(lease.fence <= 2, "{lease:?}");
    two.commit(done(&lease)).await;
    assert_eq!(t.summary(&run_id("r")).await.status, RunStatus::Completed);
}

pub(super) async fn a_job_that_is_given_and_renewed_is_kept(t: &Fixture) {
    let Some(clock) = &t.clock else { return };
    let mut one = t.peer("one");
    let (lease, _) = both(one.take("a"), start_later(t, "r")).await;
    assert_eq!(one.renew(&lease).await, RenewAnswer::Renewed);
    // Ticks in between, so that none is the first in a while.
    for _ in 0..2 * GIVEN_MS / 50 {
        clock.advance(50);
        t.tick().await;
    }
    assert_eq!(t.counts("a").await.leased, 1);
    one.commit(done(&lease)).await;
}

pub(super) async fn whoever_leaves_gives_back_what_it_was_given(t: &Fixture) {
    let one = t.peer("one");
    offer_unheard(t, &one, "r").await;
    t.leave("one").await;
    let mut two = t.peer("two");
    let lease = two.lease("a").await;
    assert_eq!(lease.failures, 0);
    two.commit(done(&lease)).await;
    // Nothing of it is left: the same instance can come again.
    let mut one = t.peer("one");
    assert!(one.leases("a", 1).await.is_empty());
}

pub(super) async fn a_large_input_comes_whole(t: &Fixture) {
    let mut one = t.peer("one");
    for bytes in [1_000, 60_000, 70_000, MAX_PAYLOAD_BYTES] {
        let input = json!("x".repeat(bytes - 2));
        let start = start(&format!("r{bytes}"), input.clone(), job("a"), &[]);
        let starting = async {
            t.wait(&Interest::Queues(vec![queue("nobody")]), SHORT).await;
            t.try_start(&start).await.unwrap()
        };
        let (lease, _) = both(one.take("a"), starting).await;
        assert_eq!(lease.inputs[0].payload, input);
        one.commit(done(&lease)).await;
    }
}

pub(super) async fn a_job_that_was_given_to_a_dead_instance_has_not_crashed(t: &Fixture) {
    let one = t.short_peer("one");
    unheard(t, &one.offer_of("a"), t.start("r", job("a").crashes(1))).await;
    t.until_expired("a").await;
    let run = run_id("r");
    assert_eq!(t.summary(&run).await.status, RunStatus::Running);
    let jobs = t.jobs(JobsQuery { run: Some(run.clone()), limit: 9, ..JobsQuery::default() }).await;
    assert_eq!((&jobs[0].state, jobs[0].crashes, jobs[0].attempt), (&JobState::Queued, 0, 1));
    let mut two = t.short_peer("two");
    let lease = two.lease("a").await;
    assert_eq!((lease.attempt, lease.failures), (1, 0));
    // This one was told by a turn, so its end is a crash.
    t.until_expired("a").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Failed);
}

/// Lets an offer arrive, starts a run, and checks that the offer does not bring its job.
async fn is_void(t: &Fixture, offer: &Offer) {
    unheard(t, offer, t.start("r", job("a"))).await;
    let counts = t.counts("a").await;
    assert_eq!((counts.queued, counts.leased), (1, 0));
    assert_eq!(t.peer("two").lease("a").await.fence, 1);
}

pub(super) async fn an_offer_that_comes_after_the_next_turn_is_void(t: &Fixture) {
    let mut one = t.peer("one");
    for _ in 0..2 {
        assert!(one.leases("b", 1).await.is_empty());
    }
    let late = one.offer_of("a");
    assert!(one.leases("b", 1).await.is_empty());
    is_void(t, &late).await;
    assert!(one.leases("a", 1).await.is_empty());
}

pub(super) async fn the_offer_of_an_instance_that_has_left_is_void(t: &Fixture) {
    let mut one = t.peer("one");
    assert!(one.leases("b", 1).await.is_empty());
    let late = one.offer_of("a");
    t.leave("one").await;
    is_void(t, &late).await;
}
