//! What follows from a timeline, as tables: a few entries, and a line for each thing that the rerun begins with.

use serde_json::{Value, json};

use super::{ForkError, rerun};
use crate::def::{EventRef, OnFailure, WorkerDef};
use crate::entry::{Entry, EntryType};
use crate::id::{EntryId, Name, RunId, StepId, emit_key, step_key};
use crate::limits::{MAX_FORK_ENTRIES, MAX_FORK_JOBS};
use crate::registry::Registry;
use crate::transaction::Start;

const fn event(name: &'static str) -> EventRef {
    EventRef::untyped(name)
}
const BEGIN: EventRef = event("begin");
const PART: EventRef = event("part");
const DONE: EventRef = event("done");
const SUM: EventRef = event("sum");
const LEFT: EventRef = event("left");

const fn worker(name: &'static str) -> WorkerDef {
    WorkerDef { name, path: name, flows: &["f"], ..WorkerDef::DEFAULT }
}
static SPLIT: WorkerDef = WorkerDef { input: Some(BEGIN), emits: &[PART, LEFT], ..worker("split") };
static EACH: WorkerDef = WorkerDef { subscribes: &[PART], emits: &[DONE], ..worker("each") };
static TOTAL: WorkerDef = WorkerDef { gathers: &[DONE], emits: &[SUM], ..worker("total") };
static END: WorkerDef = WorkerDef { subscribes: &[SUM], ..worker("end") };
static PAIR: WorkerDef = WorkerDef { joins: &[LEFT, PART], ..worker("pair") };
static BY: WorkerDef = WorkerDef { by: Some("id"), ..PAIR };
/// Another entry, and joins that stand where a subscription was.
static OTHER: WorkerDef = WorkerDef { input: Some(BEGIN), ..worker("other") };
static JOINS: WorkerDef = WorkerDef { joins: &[PART, LEFT], ..worker("each") };
static JOINS_OTHERS: WorkerDef = WorkerDef { joins: &[DONE, LEFT], ..worker("each") };
static TWICE: WorkerDef = WorkerDef { joins: &[PART, PART], ..worker("pair") };

/// A fan-out that a gather closes.
static FAN: &[&WorkerDef] = &[&SPLIT, &EACH, &TOTAL, &END];

/// A timeline in the making: each entry is a millisecond after the one before.
#[derive(Clone)]
struct Timeline(Vec<Entry>);

fn timeline() -> Timeline {
    Timeline(Vec::new()).entry(EntryType::FlowStarted, "", 0, json!({ "event": "begin", "input": 7 }))
}

impl Timeline {
    fn entry(mut self, kind: EntryType, step: &str, attempt: u32, data: Value) -> Self {
        let n = self.0.len() as u64 + 1;
        let step = (!step.is_empty()).then(|| step.parse().unwrap());
        let attempt = (attempt > 0).then_some(attempt);
        self.0.push(Entry { id: EntryId { ms: 100 + n, n }, kind, step, attempt, data });
        self
    }

    fn begin(self, step: &str, attempt: u32) -> Self {
        self.entry(EntryType::StepStarted, step, attempt, json!({ "instance": "i" }))
    }

    /// The `op`-th operation of a step emits an event.
    fn emit(self, step: &str, op: u32, event: &str, payload: Value, to: &[&str]) -> Self {
        let data = json!({ "name": event, "payload": payload, "op": op.to_string(), "to": to });
        self.entry(EntryType::EventEmitted, step, 1, data)
    }

    fn done(self, step: &str) -> Self {
        self.entry(EntryType::StepCompleted, step, 1, json!({}))
    }

    fn effect(self, step: &str, attempt: u32) -> Self {
        self.entry(EntryType::StepEffect, step, attempt, json!({ "name": "e", "op": "1", "result": 1 }))
    }

    fn retrying(self, step: &str, attempt: u32) -> Self {
        self.entry(EntryType::StepRetrying, step, attempt, json!({ "nextAttempt": attempt + 1 }))
    }

    fn dead(self, step: &str, attempt: u32) -> Self {
        self.entry(EntryType::StepFailed, step, attempt, json!({ "error": "no" }))
    }

    fn end(self, kind: EntryType) -> Self {
        self.entry(kind, "", 0, json!({}))
    }

    fn failed(self) -> Self {
        self.end(EntryType::FlowFailed)
    }

    /// Two parts have been emitted.
    fn two_parts(self) -> Self {
        let split = "split@101-1";
        let parts = self.begin(split, 1).emit(split, 1, "part", json!({ "id": 1 }), &["each"]);
        parts.emit(split, 2, "part", json!({ "id": 2 }), &["each"]).done(split)
    }
}

fn fork_of(run: &str, workers: &[&'static WorkerDef], timeline: Timeline) -> Result<Start, ForkError> {
    let registry = Registry::new(workers.iter().copied(), []).unwrap();
    rerun(&registry, &RunId::new(run).unwrap(), &Name::new("f").unwrap(), timeline.0)
}

/// A line for each thing that the rerun begins with.
fn lines(workers: &[&'static WorkerDef], timeline: Timeline) -> Vec<String> {
    let fork = fork_of("r", workers, timeline).unwrap().fork.unwrap();
    let names = |names: &[Name]| names.iter().map(Name::as_str).collect::<Vec<_>>().join(",");
    let mut lines: Vec<_> = fork
        .jobs
        .iter()
        .map(|job| {
            let inputs: Vec<_> = job.inputs.iter().map(|input| input.id.n.to_string()).collect();
            let read = job.read.map_or("-".into(), |read| read.to_string());
            format!(
                "{} in {} attempt {} read {read} recorded {} on [{}] holds [{}]",
                job.step,
                job.spec.queue,
                job.attempt(),
                job.recorded,
                inputs.join(","),
                names(&job.spec.holds)
            )
        })
        .collect();
    lines.extend(fork.arrivals.iter().map(|waiting| {
        format!("{} has {} at side {} by `{}`", waiting.worker, waiting.input.id.n, waiting.side, waiting.by)
    }));
    lines.extend(fork.gathers.iter().map(|known| {
        let fired = if known.fired { " fired" } else { "" };
        format!("{} is held by {}{fired}", known.gather.spec.worker, known.count)
    }));
    lines.extend(fork.lists.iter().map(|(worker, ids)| {
        format!("{worker} got {}", ids.iter().map(|id| id.n.to_string()).collect::<Vec<_>>().join(","))
    }));
    lines
}

#[track_caller]
fn check(workers: &[&'static WorkerDef], timeline: Timeline, expected: &[&str]) {
    assert_eq!(lines(workers, timeline), expected);
}

#[track_caller]
fn refused(workers: &[&'static WorkerDef], timeline: Timeline, says: &str) {
    let error = fork_of("r", workers, timeline).unwrap_err().to_string();
    assert!(error.contains(says) && error.contains("`r`"), "{error}");
}

#[test]
fn dead_and_unfinished_steps_run_again_and_done_ones_do_not() {
    let (one, two) = ("each@103-3", "each@104-4");
    check(
        FAN,
        timeline()
            .two_parts()
            .begin(one, 1)
            .effect(one, 1)
            .retrying(one, 1)
            .begin(one, 2)
            .dead(one, 2)
            .failed(),
        &[
            "each@103-3 in f/each attempt 3 read 5 recorded 1 on [3] holds [total]",
            "each@104-4 in f/each attempt 1 read - recorded 0 on [4] holds [total]",
            "total is held by 2",
        ],
    );
    // One is done; what it emitted stays in the list. The attempt of the other was cut off by the end.
    check(
        FAN,
        timeline()
            .two_parts()
            .begin(one, 1)
            .begin(two, 1)
            .emit(one, 1, "done", json!(1), &["total"])
            .done(one)
            .end(EntryType::FlowCancelled),
        &[
            "each@104-4 in f/each attempt 2 read 6 recorded 0 on [4] holds [total]",
            "total is held by 1",
            "total got 8",
        ],
    );
}

#[test]
fn the_timeline_is_kept_up_to_the_end_and_says_what_it_was_of() {
    let before = timeline().two_parts().begin("each@103-3", 1).dead("each@103-3", 1);
    let after =
        before.clone().failed().entry(EntryType::LogInfo, "each@103-3", 1, json!({ "message": "late" }));
    let start = fork_of("r~2", FAN, after).unwrap();
    assert_eq!((start.run.as_str(), start.flow.as_str()), ("r~3", "f"));
    assert_eq!(start.job.worker.as_str(), "split");
    let data = json!({ "event": "begin", "input": 7, "rerunOf": "r~2" });
    assert_eq!(start.started.data, data);
    let mut expected = before.0;
    expected[0].data = data;
    let fork = start.fork.unwrap();
    assert_eq!(fork.entries, expected);
    assert_eq!(fork.ends(), (EntryId { ms: 101, n: 1 }, EntryId { ms: 107, n: 7 }));
}

#[test]
fn what_was_recorded_is_counted_as_it_was_committed() {
    let step = "split@101-1";
    let changes = json!({ "operations": [
        { "action": "incr", "key": "k", "by": 1, "op": "3" },
        { "action": "delete", "key": "l", "op": "4" },
    ] });
    let begun = timeline()
        .begin(step, 1)
        .emit(step, 1, "part", json!({}), &["each"])
        .entry(EntryType::StateSet, step, 1, json!({ "key": "k", "value": 1, "op": "2" }))
        .entry(EntryType::LogWarn, step, 1, json!({ "message": "m" }))
        .entry(EntryType::StateBatch, step, 1, changes)
        .entry(EntryType::StateDelete, step, 1, json!({ "key": "k", "op": "5" }))
        .entry(EntryType::StepEffect, step, 1, json!({ "name": "checkpoint", "op": "6", "result": null }))
        .entry(EntryType::StepEffect, step, 1, json!({ "name": "e", "op": "7", "result": 1 }));
    check(
        FAN,
        begun.dead(step, 1).failed(),
        &[
            "split@101-1 in f/split attempt 2 read 1 recorded 7 on [1] holds [total]",
            "each@103-3 in f/each attempt 1 read - recorded 0 on [3] holds [total]",
            "total is held by 2",
        ],
    );
}

#[test]
fn a_run_in_which_nothing_has_begun_begins() {
    check(
        FAN,
        timeline().end(EntryType::FlowCancelled),
        &["split@101-1 in f/split attempt 1 read - recorded 0 on [1] holds [total]", "total is held by 1"],
    );
    refused(&[&SPLIT, &EACH, &TOTAL, &END, &OTHER], timeline().end(EntryType::FlowCancelled), "one entry");
}

#[test]
fn a_step_that_died_unread_has_begun() {
    // What a store writes of a job that it cannot read names no attempt.
    let unread = timeline().entry(EntryType::StepFailed, "split@101-1", 0, json!({ "error": "unreadable" }));
    check(
        FAN,
        unread.failed(),
        &["split@101-1 in f/split attempt 2 read - recorded 0 on [1] holds [total]", "total is held by 1"],
    );
}

#[test]
fn a_gather_that_has_fired_fires_no_more() {
    let (one, two, total) = ("each@103-3", "each@104-4", "total@109-9");
    let fired = timeline().two_parts().begin(one, 1).emit(one, 1, "done", json!(1), &["total"]);
    let fired = fired.done(one).dead(two, 1);
    check(
        FAN,
        fired.clone().begin(total, 1).done(total).end(EntryType::FlowCompleted),
        &[
            "each@104-4 in f/each attempt 2 read - recorded 0 on [4] holds []",
            "total is held by 0 fired",
            "total got 7",
        ],
    );
    check(
        FAN,
        fired.begin(total, 1).dead(total, 1).failed(),
        &[
            "each@104-4 in f/each attempt 2 read - recorded 0 on [4] holds []",
            "total@109-9 in f/total attempt 2 read 9 recorded 0 on [] holds []",
            "total is held by 0 fired",
            "total got 7",
        ],
    );
}

#[test]
fn a_gather_that_was_to_run_next_fires_in_the_rerun() {
    // It had fired, and nobody had begun it: no entry tells so.
    let split = "split@101-1";
    let nothing = timeline().begin(split, 1).done(split).end(EntryType::FlowCancelled);
    check(FAN, nothing, &["total is held by 0"]);
    let one = "each@103-3";
    let all = timeline().begin(split, 1).emit(split, 1, "part", json!({}), &["each"]).done(split);
    let all = all.begin(one, 1).emit(one, 1, "done", json!(1), &["total"]).done(one);
    check(FAN, all.end(EntryType::FlowStalled), &["total is held by 0", "total got 6"]);
}

#[test]
fn a_gather_that_is_newer_than_a_completed_run_waits_for_what_runs_again() {
    static LATE: WorkerDef = WorkerDef { gathers: &[PART], ..worker("late") };
    let workers: &[&WorkerDef] = &[&SPLIT, &EACH, &TOTAL, &END, &LATE];
    let (one, total) = ("each@103-3", "total@107-7");
    let completed = timeline().two_parts().dead(one, 1).done("each@104-4").done(total);
    let lines = lines(workers, completed.end(EntryType::FlowCompleted));
    assert_eq!(lines[1..], ["total is held by 0 fired"], "nothing that leads to the new one runs again");
}

#[test]
fn events_wait_at_joins_and_pair_as_they_did() {
    let split = "split@101-1";
    let arrived = |timeline: Timeline, op, event, id: Value| {
        timeline.emit(split, op, event, json!({ "id": id }), &["pair"])
    };
    let three = arrived(arrived(timeline().begin(split, 1), 1, "part", json!(1)), 2, "part", json!(2));
    let three = arrived(three, 3, "left", json!(2)).done(split).failed();
    // By order the first pairs with the first; the pair is caused by the later of both.
    check(
        &[&SPLIT, &PAIR],
        three.clone(),
        &["pair@105-5 in f/pair attempt 1 read - recorded 0 on [5,3] holds []", "pair has 4 at side 1 by ``"],
    );
    check(
        &[&SPLIT, &BY],
        three,
        &[
            "pair@105-5 in f/pair attempt 1 read - recorded 0 on [5,4] holds []",
            "pair has 3 at side 1 by `1`",
        ],
    );
    // One without a value pairs with nothing, and is found by its own key.
    let alone = arrived(timeline().begin(split, 1), 1, "part", Value::Null).dead(split, 1).failed();
    let key = emit_key(&step_key(&RunId::new("r").unwrap(), &Name::new("split").unwrap(), &[""]), "1");
    let lines = lines(&[&SPLIT, &BY], alone);
    assert_eq!(lines[1..], [format!("pair has 3 at side 1 by `!{key}`")]);
}

#[test]
fn an_event_may_arrive_at_both_sides_of_a_join() {
    let split = "split@101-1";
    let both = timeline().begin(split, 1).emit(split, 1, "part", json!({}), &["pair", "pair"]);
    check(
        &[&SPLIT, &TWICE],
        both.done(split).failed(),
        &["pair@103-3 in f/pair attempt 1 read - recorded 0 on [3,3] holds []"],
    );
}

#[test]
fn keys_are_those_of_the_first_run() {
    let split = "split@101-1";
    let emitted = timeline().begin(split, 1).emit(split, 4, "part", json!({}), &["each", "pair"]);
    let emitted = emitted.emit(split, 5, "left", json!({}), &["pair"]).done(split).failed();
    let (root, name) = (RunId::new("r").unwrap(), |text| Name::new(text).unwrap());
    let key = step_key(&root, &name("split"), &[""]);
    for run in ["r", "r~2", "r~3"] {
        let fork = fork_of(run, &[&SPLIT, &EACH, &PAIR], emitted.clone()).unwrap().fork.unwrap();
        let keys = |step: &str| {
            let step: StepId = step.parse().unwrap();
            let job = fork.jobs.iter().find(|job| job.step == step).unwrap();
            job.inputs.iter().map(|input| input.key.clone()).collect::<Vec<_>>()
        };
        assert_eq!(keys("each@103-3"), [emit_key(&key, "4")]);
        assert_eq!(keys("pair@104-4"), [emit_key(&key, "5"), emit_key(&key, "4")]);
        assert!(fork.jobs.iter().all(|job| job.run == RunId::new(run).unwrap().rerun().unwrap()));
    }
}

#[test]
fn a_worker_that_was_renamed_is_found_by_its_former_name() {
    static NOW: WorkerDef = WorkerDef { was: &["each"], name: "one", path: "one", ..EACH };
    static SUMS: WorkerDef = WorkerDef { was: &["total"], name: "sums", path: "sums", ..TOTAL };
    static PAIRS: WorkerDef = WorkerDef { was: &["pair"], name: "pairs", path: "pairs", ..PAIR };
    let workers: &[&WorkerDef] = &[&SPLIT, &NOW, &SUMS, &END, &PAIRS];
    let (split, one) = ("split@101-1", "each@103-3");
    let begun = timeline()
        .begin(split, 1)
        .emit(split, 1, "part", json!({}), &["each", "pair"])
        // From here on by a version that has the new names.
        .emit(split, 2, "part", json!({}), &["one", "pairs"])
        .entry(EntryType::StepEffect, split, 1, json!({ "name": "checkpoint", "op": "3", "result": null }))
        .begin(one, 1)
        .emit(one, 1, "done", json!(1), &["total"])
        .done(one)
        .emit(split, 4, "done", json!(1), &["sums"]);
    // What has begun under a former name goes on under it, and is held by it.
    check(
        workers,
        begun.dead(split, 1).failed(),
        &[
            "split@101-1 in f/split attempt 2 read 1 recorded 4 on [1] holds [total]",
            "one@104-4 in f/one attempt 1 read - recorded 0 on [4] holds [total]",
            "pair has 3 at side 1 by ``",
            "pair has 4 at side 1 by ``",
            "total is held by 2",
            "total got 7,9",
        ],
    );
}

#[test]
fn what_was_begun_under_two_names_is_one() {
    static SUMS: WorkerDef = WorkerDef { was: &["total"], name: "sums", path: "sums", ..TOTAL };
    static PAIRS: WorkerDef = WorkerDef { was: &["pair"], name: "pairs", path: "pairs", ..PAIR };
    let workers: &[&WorkerDef] = &[&SPLIT, &EACH, &SUMS, &END, &PAIRS];
    let split = "split@101-1";
    let checkpoint = json!({ "name": "checkpoint", "op": "3", "result": null });
    // A version that did not know the former names has worked on the run.
    let apart = timeline()
        .begin(split, 1)
        .emit(split, 1, "done", json!(1), &["sums"])
        .emit(split, 2, "left", json!({}), &["pairs"])
        .entry(EntryType::StepEffect, split, 1, checkpoint)
        .emit(split, 4, "done", json!(1), &["total"])
        .emit(split, 5, "left", json!({}), &["pair"]);
    check(
        workers,
        apart.clone().dead(split, 1).failed(),
        &[
            "split@101-1 in f/split attempt 2 read 1 recorded 5 on [1] holds [sums]",
            "pairs has 4 at side 0 by ``",
            "pair has 7 at side 0 by ``",
            "sums is held by 1",
            "total is held by 0 fired",
            "sums got 3,6",
        ],
    );
    // The next commit that names the join lets all that waits arrive under one name.
    check(
        workers,
        apart.emit(split, 6, "part", json!({}), &["pairs"]).dead(split, 1).failed(),
        &[
            "split@101-1 in f/split attempt 2 read 1 recorded 6 on [1] holds [sums]",
            "pair@108-8 in f/pair attempt 1 read - recorded 0 on [4,8] holds []",
            "pair has 7 at side 0 by ``",
            "sums is held by 1",
            "total is held by 0 fired",
            "sums got 3,6",
        ],
    );
}

#[test]
fn a_flow_that_was_renamed_is_found_by_its_former_name() {
    const MOVED: WorkerDef = WorkerDef { flows: &["g"], ..WorkerDef::DEFAULT };
    static SPLIT2: WorkerDef = WorkerDef {
        name: "split",
        path: "split",
        input: Some(BEGIN),
        emits: &[PART],
        was: &["f/split"],
        ..MOVED
    };
    static EACH2: WorkerDef =
        WorkerDef { name: "each", path: "each", subscribes: &[PART], was: &["f/each"], ..MOVED };
    let workers: &[&WorkerDef] = &[&SPLIT2, &EACH2];
    check(
        workers,
        timeline().two_parts().dead("each@103-3", 1).done("each@104-4").failed(),
        &["each@103-3 in f/each attempt 2 read - recorded 0 on [3] holds []"],
    );
    check(
        workers,
        timeline().end(EntryType::FlowCancelled),
        &["split@101-1 in f/split attempt 1 read - recorded 0 on [1] holds []"],
    );
}

#[test]
fn today_says_what_a_failure_means() {
    static FORGIVEN: WorkerDef =
        WorkerDef { on_failure: OnFailure::Continue, max_crashes: 9, subscribes: &[PART], ..worker("each") };
    let failed = timeline().two_parts().dead("each@103-3", 1).failed();
    let fork = fork_of("r", &[&SPLIT, &FORGIVEN, &TOTAL, &END], failed).unwrap().fork.unwrap();
    assert_eq!((fork.jobs[0].spec.on_failure, fork.jobs[0].spec.max_crashes), (OnFailure::Continue, 9));
}

#[test]
fn what_cannot_be_rerun_says_why() {
    let (split, each) = ("split@101-1", "each@103-3");
    refused(FAN, timeline().two_parts(), "run.redrive(&step)");
    let done = timeline().begin(split, 1).done(split).done("total@103-3");
    refused(FAN, done.clone().end(EntryType::FlowCompleted), "completed and all of its steps are done");
    refused(FAN, done.failed(), "failed and all of its steps are done");

    let dead = || timeline().two_parts().dead(each, 1).failed();
    refused(&[&SPLIT, &END], dead(), "worker `each` got the event `part`, and flow `f` has no such worker");
    refused(&[&SPLIT, &END], dead(), "write `was = [\"each\"]`");
    refused(
        &[&EACH, &TOTAL, &END],
        dead(),
        "worker `split` has begun a step, and flow `f` has no such worker",
    );
    // A subscription that is a join by now leads to no step of its own.
    refused(&[&SPLIT, &JOINS], dead(), "step `each@103-3` has begun, and nothing leads to it any more");
    refused(
        &[&SPLIT, &JOINS_OTHERS],
        dead(),
        "worker `each` got the event `part`, and does not join it any more",
    );

    refused(FAN, Timeline(Vec::new()).begin(split, 1).failed(), "does not begin with `flow.started`");
    let mut gap = dead();
    gap.0.remove(3);
    refused(FAN, gap, "entry 4 is missing");
    let long = fork_of(&"r".repeat(199), FAN, dead()).unwrap_err();
    assert!(matches!(long, ForkError::Id { .. }), "{long}");
}

#[test]
fn a_fork_has_a_bounded_size() {
    let split = "split@101-1";
    let logged = |count: usize| {
        let mut logged = timeline().begin(split, 1);
        while logged.0.len() < count {
            logged = logged.entry(EntryType::LogInfo, split, 1, json!({ "message": "m" }));
        }
        fork_of("r", FAN, logged.failed())
    };
    assert_eq!(logged(MAX_FORK_ENTRIES).unwrap().fork.unwrap().entries.len(), MAX_FORK_ENTRIES);
    assert!(logged(MAX_FORK_ENTRIES + 1).unwrap_err().to_string().contains("100000 entries"));
    let wide = |count: usize| {
        let mut wide = timeline().begin(split, 1);
        for op in 0..count {
            wide = wide.emit(split, op as u32, "part", json!({}), &["each", "pair"]);
        }
        fork_of("r", &[&SPLIT, &EACH, &TOTAL, &END, &PAIR], wide.done(split).failed())
    };
    let fork = wide(MAX_FORK_JOBS / 2).unwrap().fork.unwrap();
    assert_eq!(fork.jobs.len() + fork.arrivals.len(), MAX_FORK_JOBS);
    assert!(fork.fits(&RunId::new("r").unwrap()).is_ok());
    assert!(wide(MAX_FORK_JOBS / 2 + 1).unwrap_err().to_string().contains("10000 steps"));
}
