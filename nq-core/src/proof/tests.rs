//! Tables of graphs, and the first line of what is said to each mistake in them.

use super::graph::{Graph, Plan, Verdict};
use super::tell;
use super::workers::Size;
use crate::def::{EventRef, WorkerDef};

/// Everything that is wrong, in the order of the workers.
fn said(graph: &Graph) -> Vec<String> {
    let mut said = Vec::new();
    let mut push = |text: super::text::Text| {
        let line = text.as_str().lines().next().unwrap_or_default().to_owned();
        said.extend((!line.is_empty()).then_some(line));
    };
    for node in 0..graph.nodes.len() as u32 {
        let info = graph.nodes[node as usize];
        if !matches!(info.verdict, Verdict::Repeated) {
            push(tell::node(graph, node));
            (info.mentions..info.mentions + graph.mention_count(node))
                .for_each(|at| push(tell::mention(graph, at)));
        }
    }
    assert_eq!(graph.clean, said.is_empty());
    said
}

/// Judges these workers, as a program or (`open`) as a library.
macro_rules! check {
    ($open:literal, [$($def:expr),* $(,)?], $expected:expr) => {{
        const WORKERS: &[&WorkerDef] = &[$(&$def),*];
        const SIZE: Size = Size::of(WORKERS);
        const PLAN: &Plan<{ SIZE.places }, { SIZE.nodes }, { SIZE.mentions }> = &Plan::build(WORKERS, $open);
        let expected: &[&str] = &$expected;
        assert_eq!(said(&PLAN.graph()), expected);
    }};
    ([$($def:expr),* $(,)?], $expected:expr) => { check!(false, [$($def),*], $expected) };
}

const fn event(name: &'static str) -> EventRef {
    EventRef::untyped(name)
}
const A: EventRef = event("a");
const B: EventRef = event("b");
const C: EventRef = event("c");

/// Two types of one name.
const ONE: EventRef = EventRef { type_path: Some("one::A"), type_key: 1, ..A };
const TWO: EventRef = EventRef { type_path: Some("two::A"), type_key: 2, ..A };

/// A worker of flow `f`.
const fn worker(name: &'static str) -> WorkerDef {
    WorkerDef { name, path: name, type_path: name, flows: &["f"], ..WorkerDef::DEFAULT }
}
/// An entry that emits A.
const ENTRY: WorkerDef = WorkerDef { emits: &[A], ..worker("entry") };

#[test]
fn what_is_wired_is_fine() {
    check!([], []);
    check!([ENTRY], []);
    check!([ENTRY, WorkerDef { subscribes: &[A], emits: &[A, B], ..worker("loop") }], []);
    check!(
        [
            ENTRY,
            WorkerDef { subscribes: &[A], emits: &[B], ..worker("each") },
            WorkerDef { gathers: &[B], emits: &[C], ..worker("sum") },
            WorkerDef { joins: &[A, C], ..worker("pair") },
            WorkerDef { gathers: &[C], ..worker("end") },
        ],
        []
    );
    check!([WorkerDef { flows: &[], ..worker("plain") }, ENTRY], []);
    // The same worker by two ways is one worker.
    check!([ENTRY, WorkerDef { subscribes: &[A], ..worker("x") }, ENTRY], []);
}

#[test]
fn what_nothing_emits_is_unmatched() {
    check!(
        [ENTRY, WorkerDef { subscribes: &[A, B], ..worker("x") }],
        ["worker `x` subscribes to `b`, but no worker of flow `f` emits it"]
    );
    // In each flow for itself.
    check!(
        [
            ENTRY,
            WorkerDef { flows: &["g"], ..worker("start") },
            WorkerDef { flows: &["f", "g"], joins: &[A, C], emits: &[C], ..worker("x") },
        ],
        [
            "no entry of flow `f` reaches worker `x`",
            "no entry of flow `g` reaches worker `x`",
            "worker `x` joins `a`, but no worker of flow `g` emits it",
        ]
    );
    check!(true, [WorkerDef { subscribes: &[B], ..worker("x") }], []);
}

#[test]
fn what_no_entry_reaches_is_said_once() {
    // A circle, what waits for it, and a second circle.
    check!(
        [
            ENTRY,
            WorkerDef { subscribes: &[B], ..worker("after") },
            WorkerDef { subscribes: &[B], emits: &[C], ..worker("ping") },
            WorkerDef { subscribes: &[C], emits: &[B], ..worker("pong") },
            WorkerDef { subscribes: &[event("d")], emits: &[event("d")], ..worker("self") },
        ],
        ["no entry of flow `f` reaches worker `ping`", "no entry of flow `f` reaches worker `self`"]
    );
    // What waits for something unmatched is not blamed for it.
    check!(
        [
            ENTRY,
            WorkerDef { subscribes: &[B], emits: &[C], ..worker("x") },
            WorkerDef { subscribes: &[C], ..worker("y") },
        ],
        ["worker `x` subscribes to `b`, but no worker of flow `f` emits it"]
    );
    check!([WorkerDef { subscribes: &[A], emits: &[A], ..worker("x") }], ["flow `f` has no entry"]);
}

#[test]
fn gathers_that_lead_to_themselves_are_found() {
    check!(
        [ENTRY, WorkerDef { gathers: &[A], emits: &[A], ..worker("x") }],
        ["worker `x` gathers `a`, and what it emits leads to `a` again"]
    );
    check!(
        [
            ENTRY,
            WorkerDef { subscribes: &[A], emits: &[B], ..worker("each") },
            WorkerDef { gathers: &[B], emits: &[C], ..worker("x") },
            WorkerDef { subscribes: &[C], emits: &[A], ..worker("again") },
        ],
        ["worker `x` gathers `b`, and what it emits leads to `b` again"]
    );
    // In a library as well: no program can mend it. And a loop before the gather is none through it.
    check!(
        true,
        [WorkerDef { gathers: &[A], emits: &[A], ..worker("x") }],
        ["worker `x` gathers `a`, and what it emits leads to `a` again"]
    );
    check!(
        [
            ENTRY,
            WorkerDef { subscribes: &[A], emits: &[A, B], ..worker("loop") },
            WorkerDef { gathers: &[B], ..worker("x") },
        ],
        []
    );
}

#[test]
fn names_mean_one_thing() {
    check!([ENTRY, WorkerDef { path: "other", ..ENTRY }], ["flow `f` has another worker named `entry`"]);
    check!([ENTRY, WorkerDef { path: "other", flows: &["g"], ..ENTRY }], []);
    check!(
        [WorkerDef { flows: &[], ..worker("f") }, ENTRY],
        ["worker `f` has no flow, so it is a flow of its own; but other workers are in flow `f`"]
    );
    check!(
        [
            WorkerDef { input: Some(ONE), ..worker("x") },
            WorkerDef { emits: &[ONE, B], ..worker("y") },
            WorkerDef { flows: &["g"], emits: &[TWO], ..worker("z") },
        ],
        ["two event types have the name `a`: `one::A` and `two::A`"]
    );
}

#[test]
fn a_broken_worker_mutes_its_flow_only() {
    const BROKEN: WorkerDef = WorkerDef { broken: true, ..worker("broken") };
    const LOST: WorkerDef = WorkerDef { subscribes: &[B], ..worker("lost") };
    check!([BROKEN, LOST], []);
    check!(
        [BROKEN, WorkerDef { flows: &["g"], ..ENTRY }, WorkerDef { flows: &["g"], ..LOST }],
        ["worker `lost` subscribes to `b`, but no worker of flow `g` emits it"]
    );
    check!(
        [
            WorkerDef { flows: &[WorkerDef::UNKNOWN_FLOW], ..BROKEN },
            WorkerDef { flows: &["g"], ..ENTRY },
            WorkerDef { flows: &["g"], ..LOST },
        ],
        []
    );
}
