//! Following a timeline and waiting for work: nothing is missed, nothing comes twice.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::prelude::*;
use crate::id::EntryId;

/// Waits for something that comes, and checks that the wait returns long before its time is up.
async fn woken(t: &Fixture, interest: Interest) {
    let asked = Stopwatch::start();
    t.wait(&interest, PATIENCE).await;
    asked.assert_shorter_than(PATIENCE / 2);
}

fn queues(workers: &[&str]) -> Interest {
    Interest::Queues(workers.iter().map(|worker| queue(worker)).collect())
}

pub(super) async fn what_is_there_is_not_waited_for(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    woken(t, Interest::Run { run: run.clone(), after: 0 }).await;
    woken(t, queues(&["b", "a"])).await;
}

pub(super) async fn waiting_for_ever_ends_when_something_comes(t: &Fixture) {
    let interest = queues(&["a"]);
    both(t.wait(&interest, Duration::MAX), async { t.start("r", job("a")).await }).await;
    let offer = t.peer("one").offer_of("b");
    both(t.peer("one").brought_by(&offer, Duration::MAX), async { t.start("s", job("b")).await }).await;
}

pub(super) async fn waiting_ends_when_its_time_is_up(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let short = Duration::from_millis(20);
    t.wait(&Interest::Run { run, after: 1 }, short).await;
    t.wait(&queues(&["b"]), short).await;
    t.wait(&queues(&[]), short).await;
    t.wait(&queues(&["b"]), Duration::ZERO).await;
}

pub(super) async fn an_entry_wakes_those_who_follow_its_run(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let lease = t.peer("one").lease("a").await;
    let waiting = woken(t, Interest::Run { run: run.clone(), after: 2 });
    both(waiting, async { t.append(&run, &[line(&lease, "x")]).await.unwrap() }).await;
}

pub(super) async fn a_commit_wakes_those_who_follow_its_run(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    both(woken(t, Interest::Run { run, after: 2 }), one.commit(done(&lease))).await;
}

pub(super) async fn the_end_from_outside_wakes_those_who_follow(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    both(woken(t, Interest::Run { run: run.clone(), after: 1 }), t.cancel(&run)).await;
}

pub(super) async fn the_end_of_a_run_wakes_those_who_wait_for_it(t: &Fixture) {
    let mut one = t.peer("one");
    for (run, ends) in [("r1", "done"), ("r2", "dead"), ("r3", "cancelled")] {
        let run = t.start(run, job("a")).await;
        let lease = one.lease("a").await;
        let end = Interest::End { run: run.clone() };
        let ending = async {
            t.append(&run, &[line(&lease, "not yet")]).await.unwrap();
            match ends {
                "done" => one.commit(done(&lease)).await,
                "dead" => one.commit(write(&lease).fail("broken")).await,
                _ => assert_eq!(t.cancel(&run).await, Acted::Done),
            }
        };
        both(woken(t, end.clone()), ending).await;
        assert!(t.summary(&run).await.status.is_terminal());
        woken(t, end).await;
    }
}

pub(super) async fn waiting_for_the_end_of_a_run_that_goes_on_ends_when_its_time_is_up(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    t.wait(&Interest::End { run: run.clone() }, Duration::from_millis(20)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Running);
}

pub(super) async fn a_start_wakes_those_who_wait_for_its_queue(t: &Fixture) {
    both(woken(t, queues(&["b", "a"])), t.start("r", job("a"))).await;
}

pub(super) async fn a_commit_wakes_those_who_wait_for_what_it_enqueues(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let commit = one.commit(write(&lease).emit("e", json!(1)).to(job("b")).complete());
    both(woken(t, queues(&["b"])), commit).await;
}

pub(super) async fn a_tick_wakes_those_who_wait_for_what_is_due(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).retry(100)).await;
    let due = t.until("the job is due", async || t.counts("a").await.queued == 1);
    both(woken(t, queues(&["a"])), due).await;
}

pub(super) async fn a_lease_that_runs_out_wakes_those_who_wait(t: &Fixture) {
    t.start("r", job("a")).await;
    t.short_peer("one").lease("a").await;
    both(woken(t, queues(&["a"])), t.until_expired("a")).await;
}

pub(super) async fn the_end_of_a_pause_wakes_those_who_wait(t: &Fixture) {
    t.start("r", job("a")).await;
    t.pause(&queue("a"), true).await;
    both(woken(t, queues(&["a"])), t.pause(&queue("a"), false)).await;
}

pub(super) async fn everyone_who_waits_is_woken(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let lease = t.peer("one").lease("a").await;
    let waiting = || woken(t, Interest::Run { run: run.clone(), after: 2 });
    let all = both(waiting(), both(waiting(), waiting()));
    both(all, async { t.append(&run, &[line(&lease, "x")]).await.unwrap() }).await;
}

pub(super) async fn a_wait_that_is_dropped_harms_nothing(t: &Fixture) {
    {
        let interest = queues(&["a"]);
        let store = t.store();
        let mut dropped = pin!(store.wait(&interest, PATIENCE));
        poll_fn(|context| Poll::Ready(dropped.as_mut().poll(context).is_ready())).await;
    }
    t.start("r", job("a")).await;
    woken(t, queues(&["a"])).await;
    t.peer("one").finish("a").await;
}

pub(super) async fn a_follower_sees_every_entry_once_and_in_order(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let writing = async {
        for n in 0..40 {
            t.append(&run, &[line(&lease, &n.to_string())]).await.unwrap();
        }
        one.commit(done(&lease)).await;
    };
    let follow = || async {
        let mut seen: Vec<Entry> = Vec::new();
        while seen.last().is_none_or(|last| !last.kind.is_terminal()) {
            let after = seen.len() as u64;
            t.wait(&Interest::Run { run: run.clone(), after }, PATIENCE).await;
            for entry in t.read(&Read { limit: 7, ..Read::after(run.clone(), after) }).await.unwrap() {
                assert_eq!(entry.id.n, seen.len() as u64 + 1);
                seen.push(entry);
            }
        }
        seen
    };
    let ((first, second), ()) = both(both(follow(), follow()), writing).await;
    let all = t.timeline(&run).await;
    assert_eq!((first.len(), &first), (44, &all));
    assert_eq!(second, all);
}

pub(super) async fn one_who_waits_for_a_run_that_is_gone_learns_it_by_reading(t: &Fixture) {
    let run = run_id("gone");
    t.wait(&Interest::Run { run: run.clone(), after: 0 }, Duration::from_millis(50)).await;
    assert_eq!(t.read(&Read::after(run, 0)).await.unwrap_err().kind(), ErrorKind::NotFound);
}

pub(super) async fn one_who_has_seen_more_than_there_is_is_told_so(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let lease = t.peer("one").lease("a").await;
    t.append(&run, &[line(&lease, "x")]).await.unwrap();
    let ids: Vec<_> = t.timeline(&run).await.iter().map(|entry| entry.id).collect();
    let lost = async |read: Read, words: [String; 2]| {
        let error = t.read(&read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    };
    let has = format!("`{}`", ids[2]);
    for reverse in [false, true] {
        let after = |after, seen| Read { seen, reverse, ..Read::after(run.clone(), after) };
        // Behind the last entry, with and without the entry that was there.
        assert!(t.read(&after(3, None)).await.unwrap().is_empty());
        lost(after(4, None), ["entry 4".into(), has.clone()]).await;
        let beyond = EntryId { ms: ids[2].ms, n: 4 };
        lost(after(4, Some(beyond)), [format!("`{beyond}`"), has.clone()]).await;
        // What was seen is there, at each position, also where the reader has gone on without it.
        for (seen, id) in ids.iter().enumerate() {
            for at in seen + 1..=3 {
                assert_eq!(t.read(&after(at as u64, Some(*id))).await.unwrap().len(), 3 - at);
            }
            // Another entry is in its place.
            let other = EntryId { ms: id.ms + 1, n: id.n };
            lost(after(seen as u64 + 1, Some(other)), [format!("`{other}`"), has.clone()]).await;
            let earlier = EntryId { ms: id.ms - 1, n: id.n };
            lost(after(seen as u64 + 1, Some(earlier)), [format!("`{earlier}`"), has.clone()]).await;
        }
    }
}
