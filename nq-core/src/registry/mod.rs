//! Every worker, event and flow of a program, and what follows from their wiring.

mod error;
mod event;
mod flow;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use self::error::{MAX_NAME_LEN, WiringError};
pub use self::event::Event;
pub use self::flow::{Flow, FlowStep, JoinSide, Route};
pub use self::worker::{Role, Worker};
use crate::def::{EventDef, WorkerDef};
use crate::id::{Name, QueueName};

/// Every worker, event and flow of a program.
#[derive(Debug, Default)]
pub struct Registry {
    /// The workers, by id.
    pub workers: Vec<Arc<Worker>>,
    /// The flows, by name.
    pub flows: BTreeMap<Name, Arc<Flow>>,
    /// The events with a known type or schema, by name.
    pub events: BTreeMap<String, Event>,
    /// The flow and the worker of each queue, those of former names included.
    queues: HashMap<QueueName, (Arc<Flow>, Name)>,
    /// A fingerprint of the wiring, which the start of each run records: another one means that the flow has
    /// changed since.
    pub hash: String,
}

impl Registry {
    /// Wires the workers and typed events of a program.
    ///
    /// # Errors
    ///
    /// What is wrong with their names.
    pub fn new(
        workers: impl IntoIterator<Item = &'static WorkerDef>,
        events: impl IntoIterator<Item = EventDef>,
    ) -> Result<Self, WiringError> {
        let events = events.into_iter().map(|event| (event.name.to_owned(), Event::Typed(event)));
        Self::of(workers.into_iter().map(Worker::from), events.collect())
    }

    /// Wires workers and events wherever they come from: what a program has, and what a
    /// [document](crate::export::RegistryDocument) says of another one.
    ///
    /// # Errors
    ///
    /// What is wrong with their names.
    pub fn of(
        workers: impl IntoIterator<Item = Worker>,
        events: BTreeMap<String, Event>,
    ) -> Result<Self, WiringError> {
        let mut workers: Vec<_> = workers.into_iter().map(Arc::new).collect();
        workers.sort_by(|a, b| a.id.cmp(&b.id));
        let mut members: BTreeMap<Name, Vec<Arc<Worker>>> = BTreeMap::new();
        for worker in &workers {
            error::name(worker, &worker.name)?;
            for flow in worker.flow_names() {
                members.entry(error::name(worker, flow)?).or_default().push(worker.clone());
            }
        }
        let mut flows = BTreeMap::new();
        for (name, members) in members {
            flows.insert(name.clone(), Arc::new(Flow::new(name, &members)?));
        }
        let queues = queues(&flows)?;
        let hash = fingerprint(&workers);
        Ok(Self { workers, flows, events, queues, hash })
    }

    /// The flow and the step whose jobs wait in this queue. A worker that had another name before has a queue more.
    pub fn step(&self, queue: &QueueName) -> Option<(&Arc<Flow>, &FlowStep)> {
        let (flow, worker) = self.queues.get(queue)?;
        Some((flow, flow.steps.get(worker)?))
    }

    /// Every queue from which the workers take jobs, with its step.
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
            for (was, spec) in step.worker.was.iter().zip(step.former()) {
                let Some(spec) = spec else { continue };
                let taken = queues.insert(spec.queue.clone(), (flow.clone(), worker.clone()));
                if let Some((other, name)) = taken {
                    let other = other.steps.get(&name).map_or("", |step| &step.worker.path);
                    let why = format!("`{}` belongs to `{other}`", spec.queue);
                    let path = step.worker.path.clone();
                    return Err(WiringError::Was { path, was: was.clone(), why });
                }
            }
        }
    }
    Ok(queues)
}

/// The parts of the wiring that must be equal for runs of one program to go on in another.
fn fingerprint(workers: &[Arc<Worker>]) -> String {
    let mut text = String::new();
    for worker in workers {
        let Worker { name, flows, emits, subscribes, joins, gathers, by, .. } = &**worker;
        let own = if flows.is_empty() { std::slice::from_ref(name) } else { flows };
        let lists = [own, emits, subscribes, joins, gathers].map(|names| names.join(",")).join(";");
        text.extend([name, ";", &lists, ";", by.as_deref().unwrap_or_default(), "\n"]);
    }
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
}
