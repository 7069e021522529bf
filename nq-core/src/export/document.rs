//! The shape of the exported registry. Sorted, and the same from build to build as long as the workers are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::def::{Backoff, EventRef, OnFailure, WorkerDef};
use crate::registry::{Flow as Wired, FlowStep, Registry};

/// The version of the shape. It rises when a reader of the older one could no longer read it.
pub const VERSION: u32 = 1;

/// The JSON Schema of the document.
pub const JSON_SCHEMA: &str = include_str!("registry.schema.json");

/// A text that is no exported registry, or one that this nq cannot read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is not JSON of this shape.
    #[error("this is not a registry as `cargo xtask registry` writes it")]
    Shape(#[from] serde_json::Error),
    /// It is of another version of the shape.
    #[error("this registry is written in version {0} of the format, and this nq reads version {VERSION}")]
    Version(u64),
}

/// Every worker, flow and event of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryDocument {
    /// The version of the shape, [`VERSION`].
    pub version: u32,
    /// When it was compiled, as seconds since 1970. Only where it was asked for: two builds of the same
    /// source would differ by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiled_at: Option<u64>,
    /// The fingerprint of the wiring, which `flow.started` records as `registryHash`.
    pub hash: String,
    /// The workers, by id.
    pub workers: Vec<Worker>,
    /// The flows, by name.
    pub flows: BTreeMap<String, Flow>,
    /// Who takes each event, by the event's name.
    pub event_index: BTreeMap<String, Vec<Consumer>>,
    /// The events that workers name, by name.
    pub events: BTreeMap<String, Event>,
}

/// A worker, as its attribute describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// What the rest of the document calls it: its path, since two flows may each have a worker of one name.
    pub id: String,
    /// Its name, unique within each of its flows.
    pub name: String,
    /// The names that it had before, as `name` or `flow/name`: it takes over what waits for those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub was: Vec<String>,
    /// The queue whose limits it shares with others.
    pub queue: Option<String>,
    /// The path of the function.
    pub path: String,
    /// The source file.
    pub file: String,
    /// The line of the function's name.
    pub line: u32,
    /// The flows that it is a step of; empty for a plain queue worker.
    pub flows: Vec<String>,
    /// The event that a run starts it with, where it is an entry.
    pub input: Option<String>,
    /// What it may emit.
    pub emits: Vec<String>,
    /// Runs once for each of these.
    pub subscribes: Vec<String>,
    /// Runs once when all of these have arrived, in this order.
    pub joins: Vec<String>,
    /// Runs once with all of these.
    pub gathers: Vec<String>,
    /// The field by which joined events pair.
    pub by: Option<String>,
    /// How many attempts may follow the first one.
    pub retries: u32,
    /// How the delay between attempts grows.
    pub backoff: Backoff,
    /// The longest that an attempt may take.
    pub timeout_ms: Option<u64>,
    /// How many steps of it one instance runs at a time.
    pub concurrency: Option<u32>,
    /// How many times it may take its process down with it.
    pub max_crashes: u32,
    /// What its failure means for the run.
    pub on_failure: OnFailure,
    /// The suspicious things that its author intends.
    pub allow: Vec<String>,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// The worker that runs begin with, where there is exactly one.
    pub entry: Option<Step>,
    /// The workers that a run can begin with.
    pub entries: BTreeMap<String, Step>,
    /// The other workers, by name.
    pub steps: BTreeMap<String, Step>,
}

/// A worker as part of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name.
    pub step: String,
    /// Where its jobs wait.
    pub queue: String,
    /// The worker's id.
    pub worker_id: String,
    /// The event that a run starts it with, where it is an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The events that it runs once for, each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribes: Vec<String>,
    /// The events that it waits for together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<String>,
    /// The events that it collects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gathers: Vec<String>,
}

/// One who takes an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumer {
    /// The flow.
    pub flow_id: String,
    /// The worker's name.
    pub step: String,
    /// Where its jobs wait.
    pub queue: String,
    /// The worker's id.
    pub worker_id: String,
    /// How it takes the event.
    #[serde(rename = "as")]
    pub role: Role,
}

/// How a worker takes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Once for each.
    Subscribes,
    /// As one side of a join.
    Joins,
    /// All of them at once.
    Gathers,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The path of the Rust type; none for an untyped event, named by a string.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_path: Option<String>,
    /// The JSON Schema of the payload; `true` for an untyped one, which is any JSON.
    pub schema: Value,
}

impl RegistryDocument {
    /// The document of a program's registry.
    pub fn new(registry: &Registry) -> Self {
        let mut events: BTreeMap<String, Event> = BTreeMap::new();
        for event in registry.events.values() {
            let (type_path, schema) = (Some(event.type_path.to_owned()), (event.schema)().to_value());
            events.insert(event.name.to_owned(), Event { type_path, schema });
        }
        for event in registry.workers.iter().flat_map(|def| mentions(def)) {
            let untyped = Event { type_path: None, schema: Value::Bool(true) };
            events.entry(event.name.to_owned()).or_insert(untyped);
        }
        let mut event_index: BTreeMap<String, Vec<Consumer>> = BTreeMap::new();
        for flow in registry.flows.values() {
            for step in flow.steps.values() {
                let worker = Worker::new(step.def);
                for (role, event) in worker.takes() {
                    let consumer = Consumer {
                        flow_id: flow.name.to_string(),
                        step: worker.name.clone(),
                        queue: step.spec.queue.to_string(),
                        worker_id: worker.id.clone(),
                        role,
                    };
                    event_index.entry(event.clone()).or_default().push(consumer);
                }
            }
        }
        for consumers in event_index.values_mut() {
            consumers.sort();
        }
        let flows = registry.flows.values().map(|flow| (flow.name.to_string(), Flow::new(flow)));
        Self {
            version: VERSION,
            compiled_at: None,
            hash: registry.hash.clone(),
            workers: registry.workers.iter().map(|def| Worker::new(def)).collect(),
            flows: flows.collect(),
            event_index,
            events,
        }
    }

    /// Reads a document that [`to_json`](Self::to_json) wrote.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        // The version first: a newer shape is no mistake of the reader's.
        let value: Value = serde_json::from_str(text)?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version != u64::from(VERSION) => Err(DocumentError::Version(version)),
            _ => Ok(serde_json::from_value(value)?),
        }
    }

    /// The document as JSON, indented, with a line break at its end.
    pub fn to_json(&self) -> String {
        // Through `Value`, whose maps are sorted, so that the order of fields is nobody's choice.
        let value =
            serde_json::to_value(self).unwrap_or_else(|error| unreachable!("no map has other keys: {error}"));
        format!("{value:#}\n")
    }

    /// The worker of this id.
    pub fn worker(&self, id: &str) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.id == id)
    }

    /// The steps of a flow, entries included, each with its worker, by name.
    pub fn members<'a>(&'a self, flow: &'a Flow) -> impl Iterator<Item = (&'a Step, &'a Worker)> {
        let all: BTreeMap<_, _> = flow.entries.iter().chain(&flow.steps).collect();
        all.into_values().filter_map(|step| Some((step, self.worker(&step.worker_id)?)))
    }
}

impl Worker {
    fn new(def: &WorkerDef) -> Self {
        let names = |events: &[EventRef]| events.iter().map(|event| event.name.to_owned()).collect();
        // What is a set is sorted. The sides of a join are not one: their order is that of its input.
        let sorted = |events: &[EventRef]| {
            let names: BTreeSet<_> = events.iter().map(|event| event.name.to_owned()).collect();
            names.into_iter().collect()
        };
        let texts = |texts: &[&str]| {
            let texts: BTreeSet<_> = texts.iter().map(|text| (*text).to_owned()).collect();
            texts.into_iter().collect()
        };
        Self {
            id: def.path.to_owned(),
            name: def.name.to_owned(),
            was: texts(def.was),
            queue: def.queue.map(str::to_owned),
            path: def.path.to_owned(),
            file: def.file.replace('\\', "/"),
            line: (def.line)(),
            flows: texts(def.flows),
            input: def.input.filter(|_| def.is_entry()).map(|event| event.name.to_owned()),
            emits: sorted(def.emits),
            subscribes: sorted(def.subscribes),
            joins: names(def.joins),
            gathers: sorted(def.gathers),
            by: def.by.map(str::to_owned),
            retries: def.retries,
            backoff: def.backoff,
            timeout_ms: def.timeout_ms,
            concurrency: def.concurrency,
            max_crashes: def.max_crashes,
            on_failure: def.on_failure,
            allow: texts(def.allow),
        }
    }

    /// Whether it takes over the jobs of the worker that had this name in this flow.
    pub fn takes_over(&self, flow: &str, name: &str) -> bool {
        self.was.iter().any(|was| match was.split_once('/') {
            Some((of, had)) => of == flow && had == name,
            None if self.flows.is_empty() => was == flow && was == name,
            None => was == name && self.flows.iter().any(|own| own == flow),
        })
    }

    /// The events that it takes, and how.
    pub fn takes(&self) -> impl Iterator<Item = (Role, &String)> {
        let subscribes = self.subscribes.iter().map(|event| (Role::Subscribes, event));
        let joins = self.joins.iter().map(|event| (Role::Joins, event));
        let gathers = self.gathers.iter().map(|event| (Role::Gathers, event));
        subscribes.chain(joins).chain(gathers)
    }
}

impl Flow {
    fn new(flow: &Wired) -> Self {
        let step = |step: &FlowStep| (step.def.name.to_owned(), Step::new(step));
        let entries: BTreeMap<_, _> = flow.entries().map(step).collect();
        let steps = flow.steps.values().filter(|step| !step.def.is_entry()).map(step).collect();
        let only = if entries.len() == 1 { entries.values().next().cloned() } else { None };
        Self { entry: only, entries, steps }
    }
}

impl Step {
    fn new(step: &FlowStep) -> Self {
        let Worker { id, name, input, subscribes, joins, gathers, .. } = Worker::new(step.def);
        let queue = step.spec.queue.to_string();
        Self { step: name, queue, worker_id: id, input, subscribes, joins, gathers }
    }
}

/// Every event that the attribute names.
fn mentions(def: &WorkerDef) -> impl Iterator<Item = &EventRef> {
    let lists = [def.emits, def.subscribes, def.joins, def.gathers];
    def.input.iter().chain(lists.into_iter().flatten())
}
