//! Tables of registries: their document, their pictures, what is suspicious in them, what a change breaks.

use serde_json::{Value, json};

use super::*;
use crate::decide;
use crate::def::{EventDef, EventRef, WorkerDef};
use crate::id::RunId;
use crate::registry::Registry;

const fn event(name: &'static str) -> EventRef {
    EventRef::untyped(name)
}
const A: EventRef = event("a");
const B: EventRef = event("b");
const C: EventRef = event("c");
const D: EventRef = event("d");

const fn worker(name: &'static str) -> WorkerDef {
    WorkerDef { name, path: name, flows: &["f"], timeout_ms: Some(1), file: "src/f.rs", ..WorkerDef::DEFAULT }
}
/// An entry.
const fn entry(name: &'static str, emits: &'static [EventRef]) -> WorkerDef {
    WorkerDef { input: Some(event("in")), emits, ..worker(name) }
}
const fn step(name: &'static str, subscribes: &'static [EventRef], emits: &'static [EventRef]) -> WorkerDef {
    WorkerDef { emits, subscribes, ..worker(name) }
}

fn document(workers: impl IntoIterator<Item = WorkerDef>) -> RegistryDocument {
    with_events(workers, [])
}

fn with_events<const N: usize>(
    workers: impl IntoIterator<Item = WorkerDef>,
    events: [EventDef; N],
) -> RegistryDocument {
    RegistryDocument::new(&registry(workers, events))
}

fn registry<const N: usize>(workers: impl IntoIterator<Item = WorkerDef>, events: [EventDef; N]) -> Registry {
    let workers = workers.into_iter().map(|def| &*Box::leak(Box::new(def)));
    Registry::new(workers, events).unwrap()
}

/// One of each: an entry, a subscriber, a gather and a join.
fn all() -> Vec<WorkerDef> {
    vec![
        entry("split", &[A, C]),
        step("each", &[A], &[B]),
        WorkerDef { gathers: &[B], emits: &[D], ..worker("sum") },
        WorkerDef { joins: &[D, C], by: Some("id"), ..worker("pair") },
    ]
}

#[test]
fn the_document_has_the_shape_of_its_json_schema() {
    let number = EventDef {
        name: "a",
        key: 0,
        type_path: "f::A",
        type_key: 0,
        fields: None,
        schema: || schemars::schema_for!(u32),
        read: |_| Ok(()),
    };
    let document = with_events(all(), [number]);
    let json: Value = serde_json::from_str(&document.to_json()).unwrap();
    let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(RegistryDocument::parse(&document.to_json()).unwrap(), document);

    assert_eq!(
        json["flows"]["f"]["entry"],
        json!({ "step": "split", "queue": "f/split", "workerId": "split", "input": "in" })
    );
    assert_eq!(json["flows"]["f"]["steps"]["pair"]["joins"], json!(["d", "c"]));
    assert!(json["flows"]["f"]["steps"].get("split").is_none());
    assert_eq!(
        json["eventIndex"]["b"],
        json!([{ "flowId": "f", "step": "sum", "queue": "f/sum", "workerId": "sum", "as": "gathers" }])
    );
    assert_eq!(json["events"]["a"]["type"], "f::A");
    assert_eq!(json["events"]["a"]["schema"]["format"], "uint32");
    assert_eq!(json["events"]["b"], json!({ "schema": true }));
    assert_eq!(
        json["workers"][0]["backoff"],
        json!({ "kind": "exponential", "baseMs": 1_000, "maxMs": 300_000 })
    );
}

#[test]
fn a_document_starts_the_runs_that_its_program_starts() {
    let number = EventDef {
        name: "in",
        key: 0,
        type_path: "f::In",
        type_key: 0,
        fields: None,
        schema: || schemars::schema_for!(u32),
        read: |_| Ok(()),
    };
    let mut workers = all();
    workers[2].was = &["total", "f/sums"];
    workers[3].flows = &["f", "g"];
    workers.push(WorkerDef { flows: &[], retries: 1, was: &["letter"], ..entry("mail", &[]) });
    workers.push(WorkerDef { flows: &["g"], ..entry("other", &[D, C]) });
    let own = registry(workers, [number]);
    let document = RegistryDocument::new(&own);
    let read = RegistryDocument::parse(&document.to_json()).unwrap().registry().unwrap();

    assert_eq!(read.hash, own.hash);
    assert_eq!(format!("{:?}", read.flows), format!("{:?}", own.flows));
    assert_eq!(RegistryDocument::new(&read), document);
    let start = |registry: &Registry, flow: &str, entry: &str| {
        let flow = registry.flow(flow).unwrap();
        let entry = flow.entries().find(|step| step.worker.name == entry).unwrap();
        decide::start(flow, entry, RunId::new("r").unwrap(), json!(7), &registry.hash)
    };
    for (flow, entry) in [("f", "split"), ("g", "other"), ("mail", "mail")] {
        assert_eq!(start(&read, flow, entry), start(&own, flow, entry), "{flow}");
    }
}

#[test]
fn the_order_of_workers_and_lists_does_not_show() {
    let mut turned = all();
    turned.reverse();
    turned[3].emits = &[C, A];
    assert_eq!(document(turned).workers, document(all()).workers);
    assert_eq!(document(all()).to_json(), document(all()).to_json());
}

#[test]
fn a_document_of_another_version_is_refused_by_its_version() {
    let text = document(all()).to_json().replace("\"version\": 1", "\"version\": 2");
    let error = RegistryDocument::parse(&text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this registry is written in version 2 of the format, and this nq reads version 1"
    );
    assert!(RegistryDocument::parse("{}").unwrap_err().to_string().starts_with("this is not a registry"));
}

#[test]
fn pictures_tell_joins_and_gathers_apart() {
    assert_eq!(
        mermaid(&document(all())),
        r#"flowchart LR
  f_each["each"]
  f_pair{{"pair by id"}}
  f_split(["split"])
  f_sum[["sum"]]
  f_start((" "))
  f_each ==>|"b"| f_sum
  f_split -->|"a"| f_each
  f_split -.->|"c"| f_pair
  f_start -->|"in"| f_split
  f_sum -.->|"d"| f_pair
"#
    );
    let dot = dot(&document(all()));
    assert!(dot.contains("f_each -> f_sum [label=\"b\", style=bold];"), "{dot}");
    assert!(dot.contains("f_sum -> f_pair [label=\"d\", style=dashed];"), "{dot}");
}

#[test]
fn names_that_are_words_of_the_picture_language_are_escaped() {
    let odd = WorkerDef { path: "odd", name: "a\"<b>", ..entry("end", &[]) };
    let same = WorkerDef { path: "x", name: "a''b'", ..entry("end", &[]) };
    let drawn = mermaid(&document([odd, same, entry("end", &[D])]));
    assert!(drawn.contains("f_a__b_([\"a#quot;#lt;b#gt;\"])"), "{drawn}");
    assert!(drawn.contains("f_a__b__2([\"a''b'\"])"), "{drawn}");
    assert!(drawn.contains("f_end -->|\"d\"| f_loose"), "{drawn}");
}

/// The rules and messages of what is suspicious, one a line.
fn suspicious(document: &RegistryDocument) -> String {
    let lines = check(document).into_iter().map(|found| format!("{}: {}", found.rule, found.message));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_flow_without_anything_suspicious_is_left_alone() {
    assert_eq!(suspicious(&document(all())), "");
}

#[test]
fn suspicious_things_are_found_unless_they_are_intended() {
    let none = WorkerDef { timeout_ms: None, ..entry("start", &[]) };
    let other = WorkerDef { flows: &["g"], ..step("other", &[A], &[]) };
    let feeds = WorkerDef { flows: &["g"], ..entry("feeds", &[A]) };
    for (mut workers, rule, expected) in [
        (
            vec![entry("start", &[A])],
            "unconsumed",
            "unconsumed: worker `start` emits `a`, and nothing in flow `f` subscribes to it, joins or gathers it",
        ),
        (
            vec![entry("start", &[A]), other, feeds],
            "unconsumed",
            "unconsumed: worker `start` emits `a`, and nothing in flow `f` subscribes to it, joins or gathers it",
        ),
        (
            vec![none],
            "no-timeout",
            "no-timeout: worker `start` has no timeout: an attempt that hangs holds its place for ever",
        ),
        (
            vec![step("ping", &[B, C], &[A]), step("pong", &[A], &[B]), entry("start", &[C])],
            "cycle",
            "cycle: workers `ping`, `pong` lead to each other in flow `f`, and to nothing else: such a run has no way to an end",
        ),
        (
            vec![step("again", &[A], &[A]), entry("start", &[A])],
            "cycle",
            "cycle: worker `again` leads to itself in flow `f`, and to nothing else: such a run has no way to an end",
        ),
    ] {
        assert_eq!(suspicious(&document(workers.clone())), expected);
        workers[0].allow = Box::leak(Box::new([rule]));
        assert_eq!(suspicious(&document(workers)), "");
    }
}

#[test]
fn a_circle_with_a_way_out_is_not_suspicious() {
    let out = [step("again", &[A], &[A, B]), step("done", &[B], &[]), entry("start", &[A])];
    assert_eq!(suspicious(&document(out)), "");
}

#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "its schema is what is looked at")]
struct ByNumber {
    id: u64,
}
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "its schema is what is looked at")]
struct ByText {
    id: String,
}
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "its schema is what is looked at")]
struct ByNothing {
    other: u64,
}

#[test]
fn a_join_by_fields_that_are_never_equal_is_found() {
    fn of<T: schemars::JsonSchema>(name: &'static str) -> EventDef {
        EventDef {
            name,
            key: 0,
            type_path: name,
            type_key: 0,
            fields: None,
            schema: || schemars::schema_for!(T),
            read: |_| Ok(()),
        }
    }
    let workers =
        || [entry("start", &[A, B]), WorkerDef { joins: &[A, B], by: Some("id"), ..worker("both") }];
    let found = |a, b| suspicious(&with_events(workers(), [a, b]));
    assert_eq!(found(of::<ByNumber>("a"), of::<ByNumber>("b")), "");
    assert_eq!(
        found(of::<ByNumber>("a"), of::<ByText>("b")),
        "unpaired: worker `both` joins `a` and `b` by `id`, which is never equal: it is integer in one and string in the other"
    );
    assert_eq!(
        found(of::<ByNumber>("a"), of::<ByNothing>("b")),
        "unpaired: worker `both` joins `a` and `b` by `id`, which is never equal: the second has no such field"
    );
    assert_eq!(found(of::<ByNumber>("a"), of::<Option<u8>>("b")), "");
}

/// The effects and kinds of a change, with what it is about.
fn changed(old: &RegistryDocument, new: &RegistryDocument) -> Vec<String> {
    let line = |change: &Change| {
        let about = [&change.worker, &change.event, &change.pointer].into_iter().flatten();
        let about: String = about.map(|about| format!(" {about}")).collect();
        format!("{:?} {}{about}", change.effect, change.kind)
    };
    diff(old, new).iter().map(line).collect()
}

/// What becomes of the flow of [`all`] by changing it.
#[track_caller]
fn becomes(change: impl FnOnce(&mut Vec<WorkerDef>), expected: &[&str]) {
    let mut workers = all();
    change(&mut workers);
    assert_eq!(changed(&document(all()), &document(workers)), expected);
}

#[test]
fn what_breaks_runs_in_flight_is_told_from_what_does_not() {
    becomes(|_| (), &[]);
    becomes(|all| all[1].name = "every", &["Breaks workerRenamed each"]);
    becomes(|all| (all[1].name, all[1].path) = ("every", "every"), &["Breaks workerRenamed each"]);
    becomes(
        |all| (all[1].name, all[1].path, all[1].was) = ("every", "every", &["each"]),
        &["Safe workerTakenOver each"],
    );
    becomes(
        |all| (all[3].name, all[3].was, all[3].by) = ("both", &["f/pair"], None),
        &["Breaks joinChanged pair", "Safe workerTakenOver pair"],
    );
    becomes(|all| _ = all.remove(3), &["Breaks workerRemoved pair"]);
    becomes(|all| all[1].queue = Some("slow"), &["MayBreak queueMoved each"]);
    becomes(|all| all[3].joins = &[C, D], &["Breaks joinChanged pair"]);
    becomes(|all| all[3].by = None, &["Breaks joinChanged pair"]);
    becomes(|all| (all[2].gathers, all[2].subscribes) = (&[], &[B]), &["Breaks roleChanged sum"]);
    becomes(
        |all| all[0].input = Some(event("other")),
        &[
            "Breaks eventNotTaken split in",
            "Safe eventAdded other",
            "Safe eventRemoved in",
            "Safe eventTaken split other",
        ],
    );
    becomes(|all| all.push(step("more", &[A], &[])), &["Safe workerAdded more"]);
    becomes(|all| all.push(WorkerDef { gathers: &[A], ..worker("more") }), &["MayBreak workerAdded more"]);
    becomes(|all| all.push(WorkerDef { joins: &[A, B], ..worker("more") }), &["MayBreak workerAdded more"]);
    becomes(|all| (all[1].retries, all[1].timeout_ms) = (9, None), &["Safe policyChanged each"]);
    becomes(|all| (all[1].line, all[1].file, all[1].path) = (|| 9, "src/g.rs", "g::each"), &[]);
    becomes(|all| all[1].emits = &[B, C], &["Safe emitAdded each c"]);
    // `pair` gets a way to the gather: what is queued of it does not hold the gather up.
    becomes(
        |all| all[3].emits = &[A],
        &["MayBreak gatherWidened pair", "MayBreak gatherWidened sum", "Safe emitAdded pair a"],
    );
}

#[test]
fn a_flow_that_is_gone_is_told_once() {
    let other = WorkerDef { flows: &["g"], ..entry("other", &[]) };
    let (old, new) = (document(all()), document([other]));
    let changes = changed(&old, &new);
    assert_eq!(changes[0], "Breaks flowRemoved");
    assert_eq!(changes.iter().filter(|change| change.starts_with("Breaks")).count(), 1, "{changes:?}");
    assert!(diff(&old, &new)[0].message.contains("flow `f` is gone"));
}

#[test]
fn a_flow_whose_workers_are_taken_over_goes_on() {
    let mut renamed = all();
    let was: [&[&str]; 4] = [&["f/split"], &["f/each"], &["f/sum"], &["f/pair"]];
    for (worker, was) in renamed.iter_mut().zip(was) {
        (worker.flows, worker.was) = (&["g"], was);
    }
    let mut changes = changed(&document(all()), &document(renamed.clone()));
    changes.retain(|change| !change.starts_with("Safe"));
    assert!(changes.is_empty(), "{changes:?}");
    renamed[3].was = &[];
    let changes = changed(&document(all()), &document(renamed));
    assert_eq!(changes[0], "Breaks workerRemoved pair");
}

#[test]
fn a_narrowed_event_breaks_and_a_widened_one_does_not() {
    fn of<T: schemars::JsonSchema>() -> RegistryDocument {
        with_events(
            all(),
            [EventDef {
                name: "a",
                key: 0,
                type_path: "A",
                type_key: 0,
                fields: None,
                schema: || schemars::schema_for!(T),
                read: |_| Ok(()),
            }],
        )
    }
    assert_eq!(changed(&of::<u64>(), &of::<u32>()), ["Breaks eventNarrowed a "]);
    assert_eq!(changed(&of::<u32>(), &of::<u64>()), ["Safe eventWidened a"]);
    assert_eq!(changed(&of::<ByNumber>(), &of::<ByText>()), ["Breaks eventNarrowed a /id"]);
    assert_eq!(changed(&document(all()), &of::<ByText>()), ["Breaks eventNarrowed a "]);
    assert_eq!(changed(&of::<ByText>(), &document(all())), ["Safe eventWidened a"]);
}
