//! The wiring of small programs.

use super::*;
use crate::def::EventRef;

const fn event(name: &'static str) -> EventRef {
    EventRef::untyped(name)
}
const A: EventRef = event("a");
const B: EventRef = event("b");
const C: EventRef = event("c");

const fn worker(name: &'static str) -> WorkerDef {
    WorkerDef { name, path: name, flows: &["f"], ..WorkerDef::DEFAULT }
}
static SPLIT: WorkerDef = WorkerDef { emits: &[A], ..worker("split") };
static EACH: WorkerDef = WorkerDef { subscribes: &[A], emits: &[B], ..worker("each") };
static SUM: WorkerDef = WorkerDef { gathers: &[B], emits: &[C], ..worker("sum") };
static END: WorkerDef = WorkerDef { gathers: &[C], ..worker("end") };
static PAIR: WorkerDef = WorkerDef { joins: &[A, C], by: Some("id"), ..worker("pair") };

fn flow() -> Arc<Flow> {
    let registry = Registry::new([&SPLIT, &EACH, &SUM, &END, &PAIR], []).unwrap();
    registry.flow("f").unwrap().clone()
}

#[test]
fn a_worker_holds_the_gathers_that_it_leads_to_and_no_others() {
    let flow = flow();
    let holds = |name: &str| {
        let holds = &flow.steps[&Name::new(name).unwrap()].spec.holds;
        holds.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(holds("split"), ["end", "sum"]);
    assert_eq!(holds("each"), ["end", "sum"]);
    assert_eq!(holds("sum"), ["end"]);
    assert!(holds("end").is_empty() && holds("pair").is_empty());
}

#[test]
fn a_gather_that_feeds_another_is_looked_at_first() {
    let order = flow().gathers(|_| true);
    let names: Vec<_> = order.iter().map(|gather| gather.spec.worker.as_str()).collect();
    assert_eq!(names, ["sum", "end"]);
    assert!(order[0].rank < order[1].rank);
}

#[test]
fn an_event_goes_to_subscribers_join_sides_and_gathers() {
    let flow = flow();
    let a = flow.route("a").unwrap();
    assert_eq!(a.subscribers[0].queue.as_str(), "f/each");
    assert_eq!((a.joins[0].side, a.joins[0].sides, a.joins[0].by.as_deref()), (0, 2, Some("id")));
    assert_eq!(flow.route("c").unwrap().gathers[0].as_str(), "end");
    assert!(flow.route("x").is_none());
}

#[test]
fn a_plain_queue_worker_is_a_flow_of_its_own() {
    static PLAIN: WorkerDef = WorkerDef { flows: &[], ..worker("mail") };
    let registry = Registry::new([&PLAIN], []).unwrap();
    assert_eq!(registry.flow("mail").unwrap().entries().count(), 1);
}

#[test]
fn a_worker_that_had_another_name_has_its_queues_too() {
    static NOW: WorkerDef = WorkerDef { was: &["total", "g/sum"], ..SUM };
    let registry = Registry::new([&SPLIT, &EACH, &NOW, &END, &PAIR], []).unwrap();
    for queue in ["f/sum", "f/total", "g/sum"] {
        let (flow, step) = registry.step(&queue.parse().unwrap()).unwrap();
        assert_eq!((flow.name.as_str(), step.worker.name.as_str()), ("f", "sum"), "{queue}");
    }
    assert!(registry.step(&"g/split".parse().unwrap()).is_none());
    // What has the same name in another flow needs no translation.
    let former = registry.flow("f").unwrap().former(|_| true);
    assert_eq!(former.len(), 1);
    assert_eq!((former[0].worker.as_str(), former[0].was.worker.as_str()), ("sum", "total"));
    assert_eq!(former[0].was.queue.as_str(), "f/total");
}

#[test]
fn a_former_name_that_another_worker_has_is_refused() {
    static WAS: WorkerDef = WorkerDef { was: &["each"], ..PAIR };
    static TOO: WorkerDef = WorkerDef { was: &["gone"], ..PAIR };
    static ALSO: WorkerDef = WorkerDef { was: &["f/gone"], ..END };
    let error = Registry::new([&SPLIT, &EACH, &WAS], []).unwrap_err();
    assert_eq!(error.to_string(), "worker `pair` was `each`, but `f/each` belongs to `each`");
    let error = Registry::new([&SPLIT, &ALSO, &TOO], []).unwrap_err();
    assert!(error.to_string().contains("but `f/gone` belongs to"), "{error}");
}

#[test]
fn two_workers_of_one_name_are_refused() {
    static OTHER: WorkerDef = WorkerDef { path: "other", ..worker("split") };
    let error = Registry::new([&SPLIT, &OTHER], []).unwrap_err();
    assert!(error.to_string().contains("two workers named `split`"), "{error}");
}
