//! Reruns: a run that begins with the timeline of another, and goes on where that has stopped.

use std::sync::Arc;

use super::prelude::*;
use crate::fork::{Fork, Waiting};
use crate::id::{EntryId, StepId};
use crate::more::More;
use crate::record::{GatherRecord, Input, JobRecord};
use crate::transaction::Start;

/// The timeline that a fork begins with: so many entries, long ago.
fn entries(count: u64) -> Vec<Entry> {
    let id = |n| EntryId { ms: 1_000 + n / 2, n };
    let step: StepId = "a@1000-1".parse().unwrap();
    let first =
        json!({ "event": "begin", "input": 7, "trigger": "manual", "registryHash": "0", "rerunOf": "r" });
    let first = Entry { id: id(1), kind: EntryType::FlowStarted, step: None, attempt: None, data: first };
    let event = |n: u64| {
        let data = json!({ "name": "e", "payload": { "n": n }, "op": n.to_string(), "to": [] });
        Entry { id: id(n), kind: EntryType::EventEmitted, step: Some(step.clone()), attempt: Some(1), data }
    };
    std::iter::once(first).chain((2..=count).map(event)).collect()
}

/// The beginning of the run `r~2`.
fn begin(fork: Fork) -> Start {
    let mut begin = start("r~2", json!(null), job("a"), &[]);
    begin.started.data = fork.entries[0].data.clone();
    begin.fork = Some(Arc::new(fork));
    begin
}

/// A job of the fork that runs on these of its entries.
fn again(fork: &Fork, spec: JobSpec, inputs: &[u64]) -> JobRecord {
    let input = |n: &u64| Input { id: fork.entries[*n as usize - 1].id, key: format!("key-{n}") };
    let inputs: Vec<_> = inputs.iter().map(input).collect();
    let cause = inputs.iter().map(|input| input.id).max().unwrap_or_else(|| fork.ends().1);
    JobRecord::queued(run_id("r~2"), spec, cause, inputs)
}

/// A fork of so many entries that runs `b` again on its second one.
fn simple(count: u64) -> Fork {
    let mut fork = Fork { entries: entries(count), ..Fork::default() };
    fork.jobs = vec![again(&fork, job("b"), &[2])];
    fork
}

async fn fork(t: &Fixture, fork: Fork) -> RunId {
    let begin = begin(fork);
    let started = t.try_start(&begin).await.unwrap();
    assert_eq!(started, Started::New(begin.fork.unwrap().ends().0));
    begin.run
}

pub(super) async fn a_fork_begins_with_the_entries_of_another_run(t: &Fixture) {
    let simple = simple(5);
    let run = fork(t, simple.clone()).await;
    assert_eq!(t.timeline(&run).await, simple.entries);
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.pending), (RunStatus::Running, 1));
    assert_eq!((summary.last, summary.ended_ms), (simple.ends().1, None));
    // It begins now, and its timeline goes on now.
    let lease = t.peer("one").lease("b").await;
    let all = t.timeline(&run).await;
    let next = all.last().unwrap().id;
    assert_eq!((all.len(), next.n), (6, 6));
    assert!(summary.started_ms > simple.ends().1.ms && next.ms >= summary.started_ms);
    assert_eq!((lease.step.to_string(), lease.inputs[0].id), ("b@1001-2".into(), simple.entries[1].id));
    for after in 0..5 {
        let read = Read { limit: 1, ..Read::after(run.clone(), after) };
        assert_eq!(t.read(&read).await.unwrap(), simple.entries[after as usize..=after as usize]);
    }
}

pub(super) async fn the_steps_of_a_fork_go_on_as_they_were(t: &Fixture) {
    let mut begun = simple(6);
    let begun_job = JobRecord { earlier: 3, read: Some(2), recorded: 4, ..again(&begun, job("c"), &[3, 4]) };
    begun.jobs.push(begun_job.clone());
    let count = begun.entries.len();
    let run = fork(t, begun.clone()).await;
    let all = t.timeline(&run).await;
    // The timeline says of each step that had begun that it goes on, and nothing of the others.
    assert_eq!((all.len(), &all[..count]), (count + 1, &begun.entries[..]));
    let said = &all[count];
    assert_eq!((&said.kind, &said.step), (&EntryType::StepRetrying, &Some(begun_job.step.clone())));
    assert_eq!(said.attempt, Some(3));
    assert_eq!(said.data, json!({ "reason": "rerun", "nextAttempt": 4, "delayMs": 0 }));

    let mut one = t.peer("one");
    let (fresh, old) = (one.lease("b").await, one.lease("c").await);
    assert_eq!((fresh.attempt, fresh.failures, fresh.recorded, fresh.fence), (1, 0, 0, 1));
    assert_eq!((fresh.run.clone(), fresh.flow.clone()), (run.clone(), name("f")));
    assert_eq!(fresh.read, count as u64 + 1);
    assert_eq!((old.attempt, old.failures, old.recorded, old.read), (4, 0, 4, 2));
    let inputs: Vec<_> = old.inputs.iter().map(|input| (input.id, &*input.key, &input.payload)).collect();
    let event = |n: usize| &begun.entries[n - 1];
    assert_eq!(
        inputs,
        [(event(3).id, "key-3", &json!({ "n": 3 })), (event(4).id, "key-4", &json!({ "n": 4 }))]
    );
    one.commit(write(&old).retry(0)).await;
    let old = one.lease("c").await;
    assert_eq!((old.attempt, old.failures), (5, 1));
    one.commit(done(&old)).await;
    one.commit(write(&fresh).fail("again")).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Failed);
    assert_eq!(t.dead(&run).await.len(), 1);
}

pub(super) async fn a_fork_begins_once(t: &Fixture) {
    let begin = begin(simple(4));
    let two = async || both(t.try_start(&begin), t.try_start(&begin)).await;
    let ((first, second), (third, fourth)) = both(two(), two()).await;
    let replies = [first, second, third, fourth].map(Result::unwrap);
    if !t.lossy {
        assert_eq!(replies.iter().filter(|reply| matches!(reply, Started::New(_))).count(), 1, "{replies:?}");
    }
    assert_eq!(t.try_start(&begin).await.unwrap(), Started::Existing);
    assert_eq!((t.timeline(&begin.run).await.len(), t.counts("b").await.queued), (4, 1));
    t.peer("one").finish("b").await;
    assert_eq!(t.try_start(&begin).await.unwrap(), Started::Existing);
    assert_eq!(t.summary(&begin.run).await.status, RunStatus::Completed);
}

pub(super) async fn a_fork_of_something_else_is_a_conflict(t: &Fixture) {
    let run = fork(t, simple(4)).await;
    let before = t.timeline(&run).await;
    let mut other_input = simple(4);
    other_input.entries[0].data["input"] = json!(8);
    // An earlier run had the same id, and began at another moment.
    let mut other_run = simple(4);
    other_run.entries[0].id.ms -= 1;
    for other in [begin(other_input), begin(other_run), Start { flow: name("g"), ..begin(simple(4)) }] {
        let error = t.try_start(&other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("`r~2`"), "the message names the run: {error}");
    }
    assert_eq!(t.timeline(&run).await, before);
    assert_eq!(t.counts("b").await.queued, 1);
}

pub(super) async fn what_waits_at_a_join_of_a_fork_pairs_with_what_comes(t: &Fixture) {
    let mut half = simple(6);
    let input = |n: usize| Input { id: half.entries[n - 1].id, key: format!("key-{n}") };
    let long = "x".repeat(300);
    let waiting = |side, by: &str, n| Waiting { worker: name("j"), side, by: by.into(), input: input(n) };
    half.arrivals = vec![waiting(0, "", 3), waiting(0, "", 4), waiting(1, &long, 5), waiting(0, "a b", 6)];
    let run = fork(t, half).await;
    let mut one = t.peer("one");
    let lease = one.lease("b").await;
    let tx = write(&lease)
        .emit("e", json!("by order"))
        .join(job("j"), 1, 2)
        .emit("e", json!("by a long value"))
        .join_by(job("j"), 0, 2, &long)
        .emit("e", json!("by words"))
        .join_by(job("j"), 1, 2, "a b");
    one.commit(tx.complete()).await;
    let leases = one.leases("j", 9).await;
    let pairs: Vec<Vec<_>> = leases
        .iter()
        .map(|lease| lease.inputs.iter().map(|input| (input.key.as_str(), input.payload.clone())).collect())
        .collect();
    assert_eq!(
        pairs,
        [
            vec![("key-3", json!({ "n": 3 })), ("key-0", json!("by order"))],
            vec![("key-1", json!("by a long value")), ("key-5", json!({ "n": 5 }))],
            vec![("key-6", json!({ "n": 6 })), ("key-2", json!("by words"))],
        ]
    );
    one.writes(leases.iter().map(done).collect()).await;
    let unpaired = [Unpaired { step_name: name("j"), event: EntryId { ms: 1_002, n: 4 } }];
    assert_eq!(t.said::<FlowCompleted>(&run).await[0].unpaired, unpaired);
}

pub(super) async fn a_gather_of_a_fork_fires_once_with_all_that_it_got(t: &Fixture) {
    let mut half = simple(5);
    let spec = job("g").holding(&["h"]);
    half.jobs = vec![
        again(&half, job("b").holding(&["g", "h"]), &[2]),
        again(&half, job("c").holding(&["g", "h"]), &[2]),
        again(&half, job("d"), &[2]),
    ];
    let known =
        |gather, count, fired| GatherRecord { gather, count, fired, late: false, more: More::default() };
    half.gathers = vec![
        known(gather(job("e"), 0), 0, true),
        known(gather(spec, 1), 2, false),
        known(gather(job("h"), 2), 2, false),
    ];
    let ids =
        |from: usize, to: usize| half.entries[from - 1..to].iter().map(|entry| entry.id).collect::<Vec<_>>();
    half.lists = vec![(name("e"), ids(2, 2)), (name("g"), ids(3, 5))];
    let run = fork(t, half).await;
    let mut one = t.peer("one");
    let lease = one.lease("b").await;
    // A gather that has fired gets no second step; an event that comes for it is only in its list.
    let armed = [gather(job("e"), 0), gather(job("g").holding(&["h"]), 1), gather(job("h"), 2)];
    let more = write(&lease).emit("e", json!("new")).gather("g").emit("e", json!("late")).gather("e");
    let more = more.emit("e", json!(1)).to(job("k").holding(&["e"])).arming(&armed);
    one.commit(more.complete()).await;
    assert_eq!(t.counts("g").await.queued, 0);
    one.finish("c").await;
    one.finish("k").await;
    let lease = one.lease("g").await;
    let list = t.gathered(&run, "g", lease.step.cause().n, 2).await;
    assert_eq!(list, [json!({ "n": 3 }), json!({ "n": 4 }), json!({ "n": 5 }), json!("new")]);
    assert_eq!((t.counts("h").await.queued, t.counts("e").await.queued), (0, 0));
    one.commit(done(&lease)).await;
    one.finish("h").await;
    one.finish("d").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
    assert_eq!(t.gathered(&run, "e", u64::from(u32::MAX), 9).await, [json!({ "n": 2 }), json!("late")]);
    assert_eq!(t.counts("g").await.queued + t.counts("e").await.queued, 0, "each fired once");
}

pub(super) async fn a_gather_that_nothing_holds_fires_as_the_fork_begins(t: &Fixture) {
    let mut ready = Fork { entries: entries(3), ..Fork::default() };
    let known =
        |gather, count| GatherRecord { gather, count, fired: false, late: false, more: More::default() };
    ready.gathers = vec![known(gather(job("g").holding(&["h"]), 0), 0), known(gather(job("h"), 1), 0)];
    ready.lists = vec![(name("g"), vec![ready.ends().1])];
    let run = fork(t, ready).await;
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.pending, summary.last.n), (RunStatus::Running, 1, 3));
    let mut one = t.peer("one");
    let lease = one.lease("g").await;
    assert_eq!(lease.step.cause(), summary.last);
    assert_eq!(t.gathered(&run, "g", lease.step.cause().n, 9).await, [json!({ "n": 3 })]);
    assert_eq!(t.counts("h").await.queued, 0);
    one.commit(done(&lease)).await;
    one.finish("h").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_fork_with_nothing_to_do_completes(t: &Fixture) {
    let run = fork(t, Fork { entries: entries(3), ..Fork::default() }).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
    assert_eq!(t.timeline(&run).await.len(), 4);
}

pub(super) async fn a_fork_is_listed_as_the_newest_run(t: &Fixture) {
    for run in ["r", "s"] {
        t.start(run, job("a")).await;
        t.pass(2).await;
    }
    fork(t, simple(3)).await;
    t.pass(2).await;
    t.start("u", job("a")).await;
    assert_eq!(t.run_ids(all_runs(2)).await, ["u", "r~2", "s", "r"]);
    let of_flow = RunsQuery { flow: Some(name("f")), status: Some(RunStatus::Running), ..all_runs(9) };
    assert_eq!(t.run_ids(of_flow).await.len(), 4);
}

pub(super) async fn a_fork_leaves_its_original_alone(t: &Fixture) {
    let original = t.start("r", job("a")).await;
    t.cancel(&original).await;
    let before = (t.summary(&original).await, t.timeline(&original).await);
    let run = fork(t, simple(3)).await;
    t.peer("one").finish("b").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
    assert_eq!((t.summary(&original).await, t.timeline(&original).await), before);
}

pub(super) async fn a_fork_that_has_ended_goes_like_any_run(t: &Fixture) {
    let mut full = simple(4);
    let input = Input { id: full.entries[2].id, key: "key".into() };
    full.arrivals = vec![Waiting { worker: name("j"), side: 0, by: String::new(), input }];
    let id = full.entries[3].id;
    full.gathers = vec![GatherRecord {
        gather: gather(job("g"), 0),
        count: 0,
        fired: true,
        late: false,
        more: More::default(),
    }];
    full.lists = vec![(name("g"), vec![id])];
    let run = fork(t, full.clone()).await;
    t.peer("one").finish("b").await;
    t.pass(30).await;
    t.tick_keeping(Retention { completed_ms: Some(20), failed_ms: None }, 99).await;
    assert_eq!(t.try_summary(&run).await, None);
    assert_eq!(t.read(&Read::after(run, 0)).await.unwrap_err().kind(), ErrorKind::NotFound);
    // The id is free again, and nothing is left of the run that had it.
    let run = fork(t, simple(4)).await;
    assert_eq!(t.timeline(&run).await, simple(4).entries);
    assert!(t.gathered(&run, "g", 9, 9).await.is_empty());
    t.peer("two").finish("b").await;
    assert!(t.said::<FlowCompleted>(&run).await[0].unpaired.is_empty());
}

pub(super) async fn a_long_fork_comes_whole(t: &Fixture) {
    let mut long = simple(2_500);
    // One of the entries is larger than what a store may write at once.
    long.entries[700].data["payload"] = json!("x".repeat(MAX_PAYLOAD_BYTES - 2));
    let count = MAX_TURN_WRITES + 300;
    let wide = long.entries[1..=count].iter().map(|entry| entry.id.n).collect::<Vec<_>>();
    long.jobs = wide.iter().map(|n| again(&long, job("b").holding(&["g"]), &[*n])).collect();
    for (job, earlier) in long.jobs.iter_mut().zip((0..3).cycle()) {
        (job.earlier, job.recorded) = (earlier, earlier);
        job.read = (earlier > 0).then_some(1);
    }
    long.gathers = vec![GatherRecord {
        gather: gather(job("g"), 0),
        count: count as u64,
        fired: false,
        late: false,
        more: More::default(),
    }];
    long.lists = vec![(name("g"), long.entries[1..].iter().map(|entry| entry.id).collect())];
    let run = fork(t, long.clone()).await;
    assert_eq!(t.summary(&run).await.pending, count as u64);
    assert_eq!(t.timeline(&run).await[..2_500], long.entries);
    let read = Read { reverse: true, limit: 3, upto: Some(1_234), ..Read::after(run.clone(), 0) };
    let page = t.read(&read).await.unwrap();
    assert_eq!(page.iter().map(|entry| entry.id.n).collect::<Vec<_>>(), [1_234, 1_233, 1_232]);

    let mut one = t.peer("one");
    let mut seen = Vec::new();
    while seen.len() < count {
        t.tick().await;
        let leases = one.leases("b", 200).await;
        for lease in &leases {
            let was = long.jobs.iter().find(|job| job.step == lease.step).unwrap();
            assert_eq!((lease.attempt, lease.recorded), (was.attempt(), was.recorded));
            assert!(was.read.is_none_or(|read| read == lease.read));
            assert_eq!((lease.inputs[0].id, &lease.inputs[0].key), (was.inputs[0].id, &was.inputs[0].key));
        }
        assert_eq!(t.counts("g").await.queued, 0, "steps are left");
        one.writes(leases.iter().map(done).collect()).await;
        seen.extend(leases.into_iter().map(|lease| lease.step));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "each step ran once");
    let lease = one.lease("g").await;
    assert_eq!(t.gathered(&run, "g", lease.step.cause().n, 1_000).await.len(), 2_499);
    one.commit(done(&lease)).await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn a_fork_that_is_too_large_is_refused(t: &Fixture) {
    let mut wide = simple(3);
    let input = Input { id: wide.entries[2].id, key: "key".into() };
    wide.arrivals = (0..MAX_FORK_JOBS)
        .map(|by| Waiting { worker: name("j"), side: 0, by: by.to_string(), input: input.clone() })
        .collect();
    let long = Fork { entries: entries(MAX_FORK_ENTRIES as u64 + 1), ..Fork::default() };
    for (fork, limit) in [(wide, "10000"), (long, "100000")] {
        let begin = begin(fork);
        let error = t.try_start(&begin).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains(limit) && error.to_string().contains("`r~2`"), "{error}");
        assert_eq!(t.try_summary(&begin.run).await, None);
    }
    assert_eq!(t.counts("b").await.queued, 0);
}

pub(super) async fn a_fork_survives_a_restart(t: &Fixture) {
    let begin = begin(simple(5));
    t.try_start(&begin).await.unwrap();
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.try_start(&begin).await.unwrap(), Started::Existing);
    assert_eq!(t.timeline(&begin.run).await, begin.fork.unwrap().entries);
    t.peer("one").finish("b").await;
    assert_eq!(t.summary(&begin.run).await.status, RunStatus::Completed);
}
