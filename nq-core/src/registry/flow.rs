//! A flow: where its events go, and which gathers wait for which workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::{self, WiringError};
use super::worker::Worker;
use crate::id::{Name, QueueName};
use crate::more::More;
use crate::transaction::{Former, GatherSpec, JobSpec};

/// Workers wired by the events that they emit and subscribe to.
#[derive(Debug)]
pub struct Flow {
    /// Its name.
    pub name: Name,
    /// Its workers, by name.
    pub steps: BTreeMap<Name, FlowStep>,
    /// Where each event goes.
    routes: BTreeMap<String, Route>,
    /// Its gathers, by rank.
    gathers: Vec<GatherSpec>,
    /// The former names of its joins and gathers.
    former: Vec<Former>,
}

/// A worker as part of a flow.
#[derive(Debug)]
pub struct FlowStep {
    /// The worker.
    pub worker: Arc<Worker>,
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

    /// Its job under each of its former names, in their order, where that is one in this flow.
    pub(super) fn former(&self) -> &[Option<JobSpec>] {
        &self.former
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
    pub by: Option<String>,
}

impl Flow {
    pub(super) fn new(name: Name, members: &[Arc<Worker>]) -> Result<Self, WiringError> {
        let mut by_name: BTreeMap<&str, &Worker> = BTreeMap::new();
        for worker in members {
            if let Some(first) = by_name.insert(&worker.name, worker) {
                let (flow, name) = (name.to_string(), worker.name.clone());
                let (first, second) = (first.path.clone(), worker.path.clone());
                return Err(WiringError::Duplicate { flow, worker: name, first, second });
            }
        }
        let reach = Reach::new(members);
        let gathering: Vec<_> = members.iter().filter(|worker| !worker.gathers.is_empty()).collect();
        let mut steps = BTreeMap::new();
        for worker in members {
            let own = valid(&worker.name);
            let holds = gathering.iter().filter(|gather| reach.leads(worker, gather));
            let spec = JobSpec {
                queue: QueueName::of(name.as_str(), &worker.name),
                holds: holds.map(|gather| valid(&gather.name)).collect(),
                max_crashes: worker.max_crashes,
                on_failure: worker.on_failure,
                worker: own.clone(),
                more: More::default(),
            };
            let former = formers(worker, name.as_str(), &spec)?;
            steps.insert(own, FlowStep { worker: worker.clone(), spec, former });
        }
        let spec = |worker: &Worker| steps[&valid(&worker.name)].spec.clone();

        let mut routes: BTreeMap<String, Route> = BTreeMap::new();
        for worker in by_name.values() {
            for event in &worker.subscribes {
                routes.entry(event.clone()).or_default().subscribers.push(spec(worker));
            }
            let sides = worker.joins.len() as u32;
            for (side, event) in (0..).zip(&worker.joins) {
                let side = JoinSide { spec: spec(worker), sides, side, by: worker.by.clone() };
                routes.entry(event.clone()).or_default().joins.push(side);
            }
            for event in &worker.gathers {
                routes.entry(event.clone()).or_default().gathers.push(valid(&worker.name));
            }
        }

        // If a gather leads to another, fewer gathers lead to it than to the other. So this number is an order.
        let mut gathers: Vec<_> = gathering
            .iter()
            .map(|gather| {
                let rank = gathering.iter().filter(|other| reach.leads(other, gather)).count() as u32;
                GatherSpec { spec: spec(gather), rank }
            })
            .collect();
        gathers.sort_by_key(|gather| (gather.rank, gather.spec.worker.clone()));
        let waits =
            steps.values().filter(|step| !step.worker.joins.is_empty() || !step.worker.gathers.is_empty());
        let former = waits.flat_map(|step| step.former.iter().flatten().map(|was| (&step.spec.worker, was)));
        let former = former.filter(|(worker, was)| **worker != was.worker);
        let former =
            former.map(|(worker, was)| Former { worker: worker.clone(), was: was.clone() }).collect();
        Ok(Self { name, steps, routes, gathers, former })
    }

    /// The workers with which a run can begin. See
    /// [`RegistryDocument::registry`](crate::export::RegistryDocument::registry) for an example.
    pub fn entries(&self) -> impl Iterator<Item = &FlowStep> {
        self.steps.values().filter(|step| step.worker.is_entry())
    }

    /// Where an event of this name goes.
    pub fn route(&self, event: &str) -> Option<&Route> {
        self.routes.get(event)
    }

    /// Every event that has a route, with its route.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &Route)> {
        self.routes.iter().map(|(event, route)| (event.as_str(), route))
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
fn formers(worker: &Worker, flow: &str, spec: &JobSpec) -> Result<Vec<Option<JobSpec>>, WiringError> {
    let one = |was: &String| {
        let Some((flow, name)) = worker.former(was, flow) else { return Ok(None) };
        let fits = |name: &str| error::name(worker, name).ok();
        match (fits(flow), fits(name)) {
            (Some(_), Some(worker)) => {
                Ok(Some(JobSpec { worker, queue: QueueName::of(flow, name), ..spec.clone() }))
            }
            _ => Err(WiringError::Name { path: worker.path.clone(), name: was.clone() }),
        }
    };
    worker.was.iter().map(one).collect()
}

/// A name that the wiring has checked.
fn valid(name: &str) -> Name {
    Name::new(name).unwrap_or_else(|error| unreachable!("checked before: {error}"))
}

/// Which workers of a flow lead to which of its gathers.
struct Reach<'a> {
    before: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Reach<'a> {
    /// Walks back from each gather, so that the cost is one walk a gather and not one a worker.
    fn new(members: &'a [Arc<Worker>]) -> Self {
        let mut emitters: BTreeMap<&str, Vec<&Worker>> = BTreeMap::new();
        for worker in members {
            for event in &worker.emits {
                emitters.entry(event).or_default().push(worker);
            }
        }
        let previous = |worker: &Worker| {
            let taken = worker.takes().filter_map(|(_, event)| emitters.get(event.as_str()));
            taken.flatten().copied().collect::<Vec<_>>()
        };
        let mut before = BTreeMap::new();
        for gather in members.iter().filter(|worker| !worker.gathers.is_empty()) {
            let mut seen = BTreeSet::new();
            let mut open = previous(gather);
            while let Some(worker) = open.pop() {
                if seen.insert(worker.name.as_str()) {
                    open.extend(previous(worker));
                }
            }
            before.insert(gather.name.as_str(), seen);
        }
        Self { before }
    }

    /// Whether a step of `from` can lead to one of the gather `to`.
    fn leads(&self, from: &Worker, to: &Worker) -> bool {
        self.before.get(to.name.as_str()).is_some_and(|before| before.contains(from.name.as_str()))
    }
}
