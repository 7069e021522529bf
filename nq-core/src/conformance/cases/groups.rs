//! Many writes of many runs in one turn: each stands alone, whatever a store does with those of one run together.

use super::prelude::*;

/// A turn of these writes that wants jobs of these workers.
fn turn_of(one: &mut Peer<'_>, writes: Vec<Transaction>, wants: &[(&str, u32)]) -> Turn {
    let want = |(worker, max): &(&str, u32)| Want { queue: queue(worker), max: *max };
    Turn { writes, wants: wants.iter().map(want).collect(), ..one.next() }
}

fn committed(answer: &Answer) -> bool {
    matches!(answer, Answer::Committed { .. })
}

pub(super) async fn writes_of_several_runs_are_answered_each_for_itself(t: &Fixture) {
    let mut one = t.peer("one");
    for run in ["r", "s", "ended", "other"] {
        t.start(run, job("a")).await;
    }
    let leases = one.leases("a", 4).await;
    let held = |run: &str| leases.iter().find(|lease| lease.run.as_str() == run).unwrap();
    t.cancel(&run_id("ended")).await;
    let goes_on =
        |run: &str, word: &str| write(held(run)).emit("e", json!(word)).to(job("b")).effect(json!(1));
    let (mut wrong, mut gone) = (done(held("r")), done(held("other")));
    wrong.fence += 1;
    gone.run = run_id("gone");
    let writes = vec![
        goes_on("r", "first"),
        goes_on("s", "first"),
        wrong,
        done(held("ended")),
        goes_on("r", "second"),
        gone,
        done(held("s")),
        done(held("s")),
        done(held("r")),
        done(held("r")),
    ];
    let answers = one.writes(writes).await;
    let fits: Vec<_> = answers.iter().map(committed).collect();
    assert_eq!(fits, [true, true, false, false, true, false, true, false, true, false], "{answers:?}");
    assert_eq!(answers[2], Answer::LeaseLost);
    assert_eq!(answers[3], Answer::RunEnded { status: RunStatus::Cancelled });
    assert_eq!(answers[5], Answer::RunGone);
    assert_eq!((&answers[7], &answers[9]), (&Answer::LeaseLost, &Answer::LeaseLost));
    let words: Vec<_> = t.said::<EventEmitted>(&run_id("r")).await.into_iter().map(|e| e.payload).collect();
    assert_eq!(words, [json!("first"), json!("second")]);
    assert_eq!((t.summary(&run_id("r")).await.pending, t.summary(&run_id("s")).await.pending), (2, 1));
    assert_eq!(t.summary(&run_id("other")).await.pending, 1);
}

pub(super) async fn what_a_write_makes_waits_behind_what_waits(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!("older")).to(job("b")).effect(json!(1))).await;
    let older = one.lease("b").await;
    // What comes back goes to the end of its queue, and so before what a later write makes.
    let newer = write(&lease).emit("e", json!("newer")).to(job("b")).complete();
    let turn = turn_of(&mut one, vec![write(&older).release(), newer], &[("b", 1)]);
    let leases = one.send(&turn).await.unwrap().leases;
    let inputs: Vec<_> = leases.iter().map(|lease| &lease.inputs[0].payload).collect();
    assert_eq!(inputs, [&json!("older")]);
    let rest = one.leases("b", 5).await;
    assert_eq!(rest.iter().map(|lease| &lease.inputs[0].payload).collect::<Vec<_>>(), [&json!("newer")]);
}

pub(super) async fn what_a_write_makes_for_a_paused_queue_is_not_leased(t: &Fixture) {
    t.start("r", job("a")).await;
    t.pause(&queue("b"), true).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let made = write(&lease).emit("e", json!(1)).to(job("b")).emit("e", json!(2)).to(job("c")).complete();
    let turn = turn_of(&mut one, vec![made], &[("b", 5), ("c", 5)]);
    let leases = one.send(&turn).await.unwrap().leases;
    let queues: Vec<_> = leases.iter().map(|lease| &lease.queue).collect();
    assert_eq!(queues, [&queue("c")]);
    assert_eq!(t.counts("b").await.queued, 1);
}

pub(super) async fn what_writes_make_is_leased_up_to_what_is_wanted(t: &Fixture) {
    t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let mut made = write(&lease);
    for at in 0..12 {
        made = made.emit("e", json!(at)).to(job("b")).emit("e", json!(at)).to(job("c"));
    }
    let turn = turn_of(&mut one, vec![made.complete()], &[("c", 5), ("b", 20)]);
    let reply = one.send(&turn).await.unwrap();
    let leased: Vec<_> =
        reply.leases.iter().map(|l| (l.queue.clone(), l.inputs[0].payload.clone())).collect();
    let of = |worker: &str, count: i32| (0..count).map(|at| (queue(worker), json!(at))).collect::<Vec<_>>();
    assert_eq!(leased, [of("c", 5), of("b", 12)].concat());
    assert_eq!(
        (t.counts("b").await.leased, t.counts("c").await.leased, t.counts("c").await.queued),
        (12, 5, 7)
    );
    // The same turn again has the same leases, whole.
    assert_eq!(one.send(&turn).await.unwrap(), reply);
}

pub(super) async fn pages_may_begin_and_end_within_a_commit(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    for size in [1, 7, 3] {
        let lease = one.lease("a").await;
        let mut tx = write(&lease).arming(&[gather(job("g"), 0)]);
        for at in 0..size {
            tx = tx.emit("e", json!([size, at])).gather("g");
        }
        one.commit(tx.emit("next", json!(size)).to(job("a").holding(&["g"])).complete()).await;
    }
    let all = t.timeline(&run).await;
    assert_eq!(all.len(), 1 + (1 + 1 + 2) + (1 + 7 + 2) + (1 + 3 + 2));
    let last = all.len() as u64;
    for limit in 1..=4 {
        for from in 0..=last {
            for upto in [from + 1, from + 3, last, last + 9] {
                let read = Read { limit, upto: Some(upto), ..Read::after(run.clone(), from) };
                let want: Vec<_> = all.iter().filter(|e| e.id.n > from && e.id.n <= upto).cloned().collect();
                let page = &want[..want.len().min(limit)];
                assert_eq!(t.read(&read).await.unwrap(), page, "{limit} after {from} up to {upto}");
                let back: Vec<_> = want.iter().rev().take(limit).cloned().collect();
                assert_eq!(t.read(&Read { reverse: true, ..read }).await.unwrap(), back);
            }
        }
        let mut followed = Vec::new();
        while followed.len() < all.len() {
            let seen = followed.last().map(|entry: &Entry| entry.id);
            let after = seen.map_or(0, |seen| seen.n);
            let page = t.read(&Read { seen, limit, ..Read::after(run.clone(), after) }).await.unwrap();
            followed.extend(page);
        }
        assert_eq!(followed, all);
    }
    assert_eq!(t.gathered(&run, "g", last, 2).await.len(), 11);
}

pub(super) async fn a_run_of_very_many_steps_goes_on_as_any_other(t: &Fixture) {
    const STEPS: usize = 40;
    let gathers = [gather(job("g"), 0)];
    let run = t.start_with("r", job("a").holding(&["g"]), &gathers).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let mut fan = write(&lease).arming(&gathers);
    for at in 0..STEPS {
        fan = fan.emit("e", json!(at)).to(job("b").optional().holding(&["g"]));
    }
    one.commit(fan.complete()).await;
    let leases = one.leases("b", STEPS as u32).await;
    assert_eq!((leases.len(), t.summary(&run).await.pending), (STEPS, STEPS as u64));
    // Of five steps each ends in another way.
    let writes = leases.iter().enumerate().map(|(at, lease)| match at % 5 {
        0 => write(lease).fail("no"),
        1 => write(lease).retry(0),
        2 => write(lease).effect(json!(at)),
        3 => write(lease).release(),
        _ => write(lease).emit("sum", json!(at)).gather("g").arming(&gathers).complete(),
    });
    let answers = one.writes(writes.collect()).await;
    assert!(answers.iter().all(committed), "{answers:?}");
    let counts = t.counts("b").await;
    let five = (STEPS / 5) as u64;
    assert_eq!((counts.queued, counts.leased, counts.dead), (2 * five, five, five));
    assert_eq!(
        t.jobs(JobsQuery { run: Some(run.clone()), limit: 99, ..JobsQuery::default() }).await.len(),
        32
    );
    let dead = t.dead(&run).await;
    assert_eq!(t.act(&run, Act::Redrive { step: dead[0].0.step.clone() }).await.unwrap(), Acted::Done);
    let again = one.leases("b", 99).await;
    assert_eq!(again.len(), 2 * STEPS / 5 + 1);
    let held = leases.iter().skip(2).step_by(5);
    let answers = one.writes(again.iter().chain(held).map(done).collect()).await;
    assert!(answers.iter().all(committed), "{answers:?}");
    assert_eq!(t.gathered(&run, "g", u64::from(u32::MAX), 3).await.len(), STEPS / 5);
    one.finish("g").await;
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.pending), (RunStatus::Completed, 0));
    assert_eq!(t.dead(&run).await.len(), STEPS / 5 - 1);
}

pub(super) async fn a_lease_lasts_from_its_last_renewal(t: &Fixture) {
    for run in ["renewed", "left"] {
        t.start(run, job("a")).await;
    }
    let mut one = t.short_peer("one");
    let leases = one.leases("a", 2).await;
    let kept = leases.iter().find(|lease| lease.run.as_str() == "renewed").unwrap();
    // Renewed for long, so that only the other runs out.
    one.lease_ms = LONG_MS;
    assert_eq!(one.renew(kept).await, RenewAnswer::Renewed);
    t.until("the other has run out", async || t.counts("a").await.queued == 1).await;
    assert_eq!(t.counts("a").await.leased, 1);
    t.tick().await;
    assert_eq!(t.counts("a").await.leased, 1);
    one.commit(done(kept)).await;
}

pub(super) async fn what_an_instance_that_left_still_holds_runs_out(t: &Fixture) {
    for run in ["r", "s"] {
        t.start(run, job("a")).await;
    }
    let mut one = t.short_peer("one");
    let leases = one.leases("a", 1).await;
    one.leases("a", 1).await;
    t.leave("one").await;
    assert_eq!(t.counts("a").await.leased, 2);
    // It comes back with a lane that begins anew, and its old leases are still leases.
    let mut again = t.short_peer("one");
    again.commit(done(&leases[0])).await;
    assert_eq!(t.counts("a").await.leased, 1);
    t.until_expired("a").await;
    assert_eq!(again.leases("a", 2).await.len(), 1);
}
