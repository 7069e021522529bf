//! Every worker, event and flow of a program, and what follows from their wiring: where an event goes, and
//! which gathers wait for which workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::def::{EventDef, WorkerDef};
use crate::id::{Name, QueueName};
use crate::transaction::{GatherSpec, JobSpec};

/// The longest name of a flow or worker, in bytes: two of them make the name of a queue.
pub const MAX_NAME_LEN: usize = 99;

/// What is wrong with a set of workers. The proof finds it at compile time; this finds it where the workers
/// come from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WiringError {
    /// A name that cannot be part of a queue's name.
    #[error("worker `{path}`: the name `{name}` must have 1 to 99 bytes and no white space or `/`")]
    Name {
        /// The worker.
        path: &'static str,
        /// The name.
        name: &'static str,
    },
    /// Two workers of one name in one flow.
    #[error(
        "flow `{flow}` has two workers named `{worker}`: `{first}` and `{second}`; give one of them a `name`"
    )]
    Duplicate {
        /// The flow.
        flow: &'static str,
        /// The name.
        worker: &'static str,
        /// The path of the one.
        first: &'static str,
        /// The path of the other.
        second: &'static str,
    },
}

/// Every worker, event and flow of a program.
#[derive(Debug, Default)]
pub struct Registry {
    /// The workers, by path.
    pub workers: Vec<&'static WorkerDef>,
    /// The flows, by name.
    pub flows: BTreeMap<Name, Arc<Flow>>,
    /// The typed events, by name.
    pub events: BTreeMap<&'static str, EventDef>,
    /// A fingerprint of the wiring, which the start of each run records: another one means that the flow has
    /// changed since.
    pub hash: String,
}

/// Workers wired by the events that they emit and subscribe to.
#[derive(Debug)]
pub struct Flow {
    /// Its name.
    pub name: Name,
    /// Its workers, by name.
    pub steps: BTreeMap<Name, FlowStep>,
    /// Where each event goes.
    routes: BTreeMap<&'static str, Route>,
    /// Its gathers, by rank.
    gathers: Vec<GatherSpec>,
}

/// A worker as part of a flow.
#[derive(Debug)]
pub struct FlowStep {
    /// The worker.
    pub def: &'static WorkerDef,
    /// Its job.
    pub spec: JobSpec,
}

/// Where an event goes.
#[derive(Debug, Default)]
pub struct Route {
    /// To these, each time.
    pub subscribers: Vec<JobSpec>,
    /// To a side of these.
    pub joins: Vec<JoinSide>,
    /// To the lists of these.
    pub gathers: Vec<Name>,
}

/// One side of a join.
#[derive(Clone, Debug)]
pub struct JoinSide {
    /// The joining worker's job.
    pub spec: JobSpec,
    /// How many sides it has.
    pub sides: u32,
    /// Which of them this is.
    pub side: u32,
    /// The field by which events pair.
    pub by: Option<&'static str>,
}

impl Registry {
    /// Wires these workers and events.
    pub fn new(
        workers: impl IntoIterator<Item = &'static WorkerDef>,
        events: impl IntoIterator<Item = EventDef>,
    ) -> Result<Self, WiringError> {
        let mut workers: Vec<_> = workers.into_iter().collect();
        workers.sort_by_key(|def| def.path);
        let mut members: BTreeMap<Name, Vec<&'static WorkerDef>> = BTreeMap::new();
        for def in &workers {
            let name = |name: &'static str| {
                let fits = name.len() <= MAX_NAME_LEN && !name.contains('/');
                let name_error = WiringError::Name { path: def.path, name };
                fits.then(|| Name::new(name).ok()).flatten().ok_or(name_error)
            };
            name(def.name)?;
            for flow in flows_of(def) {
                members.entry(name(flow)?).or_default().push(def);
            }
        }
        let mut flows = BTreeMap::new();
        for (name, members) in members {
            flows.insert(name.clone(), Arc::new(Flow::new(name, &members)?));
        }
        let events = events.into_iter().map(|event| (event.name, event)).collect();
        let hash = fingerprint(&workers);
        Ok(Self { workers, flows, events, hash })
    }

    /// The flow of this name.
    pub fn flow(&self, name: &str) -> Option<&Arc<Flow>> {
        self.flows.get(&Name::new(name).ok()?)
    }
}

/// What two programs have in common whose runs can go on in each other.
fn fingerprint(workers: &[&'static WorkerDef]) -> String {
    let mut text = String::new();
    for def in workers {
        let names = |events: &[crate::def::EventRef]| {
            events.iter().map(|event| event.name).collect::<Vec<_>>().join(",")
        };
        let lists = [def.emits, def.subscribes, def.joins, def.gathers].map(names).join(";");
        let flows = flows_of(def).collect::<Vec<_>>().join(",");
        text.extend([def.name, ";", &flows, ";", &lists, ";", def.by.unwrap_or_default(), "\n"]);
    }
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
}

/// The flows that a worker is a step of. A plain queue worker is a flow of its own.
pub fn flows_of(def: &'static WorkerDef) -> impl Iterator<Item = &'static str> {
    let own = def.flows.is_empty().then_some(def.name);
    def.flows.iter().copied().chain(own)
}

impl Flow {
    fn new(name: Name, members: &[&'static WorkerDef]) -> Result<Self, WiringError> {
        let mut by_name: BTreeMap<&str, &'static WorkerDef> = BTreeMap::new();
        for def in members {
            if let Some(first) = by_name.insert(def.name, def) {
                let flow = flows_of(def).find(|flow| *flow == name.as_str()).unwrap_or_default();
                let (worker, first, second) = (def.name, first.path, def.path);
                return Err(WiringError::Duplicate { flow, worker, first, second });
            }
        }
        let reach = Reach::new(members);
        let gathering: Vec<_> = members.iter().filter(|def| !def.gathers.is_empty()).collect();
        let mut steps = BTreeMap::new();
        for def in members {
            let worker = valid(def.name);
            let holds = gathering.iter().filter(|gather| reach.leads(def, gather));
            let spec = JobSpec {
                queue: QueueName::of(name.as_str(), def.name),
                holds: holds.map(|gather| valid(gather.name)).collect(),
                max_crashes: def.max_crashes,
                on_failure: def.on_failure,
                worker: worker.clone(),
            };
            steps.insert(worker, FlowStep { def, spec });
        }
        let spec = |def: &WorkerDef| steps[&valid(def.name)].spec.clone();

        let mut routes: BTreeMap<&'static str, Route> = BTreeMap::new();
        for def in by_name.values() {
            for event in def.subscribes {
                routes.entry(event.name).or_default().subscribers.push(spec(def));
            }
            let sides = def.joins.len() as u32;
            for (side, event) in (0..).zip(def.joins) {
                let side = JoinSide { spec: spec(def), sides, side, by: def.by };
                routes.entry(event.name).or_default().joins.push(side);
            }
            for event in def.gathers {
                routes.entry(event.name).or_default().gathers.push(valid(def.name));
            }
        }

        // A gather that leads to another has fewer that lead to it: their number is an order.
        let mut gathers: Vec<_> = gathering
            .iter()
            .map(|def| {
                let rank = gathering.iter().filter(|other| reach.leads(other, def)).count() as u32;
                GatherSpec { spec: spec(def), rank }
            })
            .collect();
        gathers.sort_by_key(|gather| (gather.rank, gather.spec.worker.clone()));
        Ok(Self { name, steps, routes, gathers })
    }

    /// The workers that a run can begin with.
    pub fn entries(&self) -> impl Iterator<Item = &FlowStep> {
        self.steps.values().filter(|step| step.def.is_entry())
    }

    /// Where an event of this name goes.
    pub fn route(&self, event: &str) -> Option<&Route> {
        self.routes.get(event)
    }

    /// Every event that has a route, with its route.
    pub fn routes(&self) -> impl Iterator<Item = (&'static str, &Route)> {
        self.routes.iter().map(|(event, route)| (*event, route))
    }

    /// The gathers among these, by rank.
    pub fn gathers<'a>(&self, held: impl Fn(&Name) -> bool + 'a) -> Vec<GatherSpec> {
        self.gathers.iter().filter(|gather| held(&gather.spec.worker)).cloned().collect()
    }
}

/// A name that the wiring has checked.
fn valid(name: &'static str) -> Name {
    Name::new(name).unwrap_or_else(|error| unreachable!("checked before: {error}"))
}

/// Which workers of a flow lead to which of its gathers.
struct Reach {
    before: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

impl Reach {
    /// Walks back from each gather, so that the cost is one walk a gather and not one a worker.
    fn new(members: &[&'static WorkerDef]) -> Self {
        let mut emitters: BTreeMap<&str, Vec<&'static WorkerDef>> = BTreeMap::new();
        for def in members {
            for event in def.emits {
                emitters.entry(event.name).or_default().push(def);
            }
        }
        let previous = |def: &WorkerDef| {
            let taken = [def.subscribes, def.joins, def.gathers].into_iter().flatten();
            taken.filter_map(|event| emitters.get(event.name)).flatten().copied().collect::<Vec<_>>()
        };
        let mut before = BTreeMap::new();
        for gather in members.iter().filter(|def| !def.gathers.is_empty()) {
            let mut seen = BTreeSet::new();
            let mut open = previous(gather);
            while let Some(def) = open.pop() {
                if seen.insert(def.name) {
                    open.extend(previous(def));
                }
            }
            before.insert(gather.name, seen);
        }
        Self { before }
    }

    /// Whether a step of `from` can lead to one of the gather `to`.
    fn leads(&self, from: &WorkerDef, to: &WorkerDef) -> bool {
        self.before.get(to.name).is_some_and(|before| before.contains(from.name))
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!((a.joins[0].side, a.joins[0].sides, a.joins[0].by), (0, 2, Some("id")));
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
    fn two_workers_of_one_name_are_refused() {
        static OTHER: WorkerDef = WorkerDef { path: "other", ..worker("split") };
        let error = Registry::new([&SPLIT, &OTHER], []).unwrap_err();
        assert!(error.to_string().contains("two workers named `split`"), "{error}");
    }
}
