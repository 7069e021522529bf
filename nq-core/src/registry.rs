//! Every worker, event and flow of a program, and what follows from their wiring: where an event goes, and
//! which gathers wait for which workers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::def::{EventDef, WorkerDef};
use crate::id::{Name, QueueName};
use crate::more::More;
use crate::transaction::{Former, GatherSpec, JobSpec};

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
    /// A former name that another worker has, or had.
    #[error("worker `{path}` was `{was}`, but {why}")]
    Was {
        /// The worker.
        path: &'static str,
        /// The former name.
        was: &'static str,
        /// What stands against it.
        why: String,
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
    /// The flow and the worker of each queue, those of former names included.
    queues: HashMap<QueueName, (Arc<Flow>, Name)>,
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
    /// The former names of its joins and gathers.
    former: Vec<Former>,
}

/// A worker as part of a flow.
#[derive(Debug)]
pub struct FlowStep {
    /// The worker.
    pub def: &'static WorkerDef,
    /// Its job.
    pub spec: JobSpec,
    /// Its job under each of its former names, where that is one in this flow.
    former: Vec<Option<JobSpec>>,
}

impl FlowStep {
    /// The queues that its jobs may wait in: that of its name, then those of its former names.
    pub fn queues(&self) -> impl Iterator<Item = &QueueName> {
        std::iter::once(&self.spec.queue).chain(self.former.iter().flatten().map(|spec| &spec.queue))
    }
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
        let queues = queues(&flows)?;
        let events = events.into_iter().map(|event| (event.name, event)).collect();
        let hash = fingerprint(&workers);
        Ok(Self { workers, flows, events, queues, hash })
    }

    /// The flow and the step whose jobs wait in this queue. A worker that had another name before has a queue more.
    pub fn step(&self, queue: &QueueName) -> Option<(&Arc<Flow>, &FlowStep)> {
        let (flow, worker) = self.queues.get(queue)?;
        Some((flow, flow.steps.get(worker)?))
    }

    /// Every queue that the workers take jobs from, with its step.
    pub fn queues(&self) -> impl Iterator<Item = (&QueueName, &FlowStep)> {
        self.queues.iter().filter_map(|(queue, (flow, worker))| Some((queue, flow.steps.get(worker)?)))
    }

    /// The flow of this name.
    pub fn flow(&self, name: &str) -> Option<&Arc<Flow>> {
        self.flows.get(&Name::new(name).ok()?)
    }
}

/// The step of every queue. Each step has one by its name, and one by each of its former names, which nothing else
/// may have.
fn queues(flows: &BTreeMap<Name, Arc<Flow>>) -> Result<HashMap<QueueName, (Arc<Flow>, Name)>, WiringError> {
    let mut queues = HashMap::new();
    for flow in flows.values() {
        for (worker, step) in &flow.steps {
            queues.insert(step.spec.queue.clone(), (flow.clone(), worker.clone()));
        }
    }
    for flow in flows.values() {
        for (worker, step) in &flow.steps {
            for (was, spec) in step.def.was.iter().zip(&step.former) {
                let Some(spec) = spec else { continue };
                let taken = queues.insert(spec.queue.clone(), (flow.clone(), worker.clone()));
                if let Some((other, name)) = taken {
                    let other = other.steps.get(&name).map_or("", |step| step.def.path);
                    let path = step.def.path;
                    let why = format!("`{}` belongs to `{other}`", spec.queue);
                    return Err(WiringError::Was { path, was, why });
                }
            }
        }
    }
    Ok(queues)
}

/// The flow and the name that a former name of a worker means in this flow of it. None where it is about another one
/// of its flows.
fn former<'a>(def: &'static WorkerDef, was: &'static str, flow: &'a str) -> Option<(&'a str, &'static str)> {
    match was.split_once('/') {
        // A plain queue worker is a flow of its own.
        None if def.flows.is_empty() => Some((was, was)),
        None => Some((flow, was)),
        Some((own, name)) if def.flows.len() < 2 || own == flow => Some((own, name)),
        Some(_) => None,
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
                more: More::default(),
            };
            let former = formers(def, name.as_str(), &spec)?;
            steps.insert(worker, FlowStep { def, spec, former });
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
        let waits = steps.values().filter(|step| !step.def.joins.is_empty() || !step.def.gathers.is_empty());
        let former = waits.flat_map(|step| step.former.iter().flatten().map(|was| (&step.spec.worker, was)));
        let former = former.filter(|(worker, was)| **worker != was.worker);
        let former =
            former.map(|(worker, was)| Former { worker: worker.clone(), was: was.clone() }).collect();
        Ok(Self { name, steps, routes, gathers, former })
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

    /// The former names of the joins and gathers among these.
    pub fn former(&self, named: impl Fn(&Name) -> bool) -> Vec<Former> {
        self.former.iter().filter(|former| named(&former.worker)).cloned().collect()
    }

    /// The gathers among these, by rank.
    pub fn gathers<'a>(&self, held: impl Fn(&Name) -> bool + 'a) -> Vec<GatherSpec> {
        self.gathers.iter().filter(|gather| held(&gather.spec.worker)).cloned().collect()
    }
}

/// The jobs of a worker under its former names.
fn formers(def: &'static WorkerDef, flow: &str, spec: &JobSpec) -> Result<Vec<Option<JobSpec>>, WiringError> {
    let one = |was: &'static str| {
        let Some((flow, name)) = former(def, was, flow) else { return Ok(None) };
        let bad = || WiringError::Name { path: def.path, name: was };
        let fits = |name: &str| name.len() <= MAX_NAME_LEN && Name::new(name).is_ok() && !name.contains('/');
        if !fits(flow) || !fits(name) {
            return Err(bad());
        }
        let worker = Name::new(name).map_err(|_| bad())?;
        Ok(Some(JobSpec { worker, queue: QueueName::of(flow, name), ..spec.clone() }))
    };
    def.was.iter().map(|was| one(was)).collect()
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
    fn a_worker_that_had_another_name_has_its_queues_too() {
        static NOW: WorkerDef = WorkerDef { was: &["total", "g/sum"], ..SUM };
        let registry = Registry::new([&SPLIT, &EACH, &NOW, &END, &PAIR], []).unwrap();
        for queue in ["f/sum", "f/total", "g/sum"] {
            let (flow, step) = registry.step(&queue.parse().unwrap()).unwrap();
            assert_eq!((flow.name.as_str(), step.def.name), ("f", "sum"), "{queue}");
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
}
