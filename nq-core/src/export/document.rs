//! The shape of the exported registry. Sorted, and the same from build to build as long as the workers are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::registry::{Event as Known, Flow as Wired, FlowStep, Registry, Role, WiringError, Worker};

/// The version of the shape. It rises when a reader of the older one could no longer read it.
pub const VERSION: u32 = 1;

/// The JSON Schema of the document.
pub const JSON_SCHEMA: &str = include_str!("registry.schema.json");

/// A text that is not an exported registry, or a registry that this nq cannot read.
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
    /// The workers that take each event, by the event's name.
    pub event_index: BTreeMap<String, Vec<Consumer>>,
    /// The events that workers name, by name.
    pub events: BTreeMap<String, Event>,
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

/// A worker that takes an event.
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
        let described = |(name, event): (&String, &Known)| {
            (name.clone(), Event { type_path: event.type_path().map(str::to_owned), schema: event.schema() })
        };
        let mut events: BTreeMap<String, Event> = registry.events.iter().map(described).collect();
        for event in registry.workers.iter().flat_map(|worker| worker.mentions()) {
            let untyped = || Event { type_path: None, schema: Value::Bool(true) };
            events.entry(event.clone()).or_insert_with(untyped);
        }
        let mut event_index: BTreeMap<String, Vec<Consumer>> = BTreeMap::new();
        for flow in registry.flows.values() {
            for step in flow.steps.values() {
                let worker = &step.worker;
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
            workers: registry.workers.iter().map(|worker| Worker::clone(worker)).collect(),
            flows: flows.collect(),
            event_index,
            events,
        }
    }

    /// Reads a document that [`to_json`](Self::to_json) wrote.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        // The version is read first, so that a newer shape is reported as such.
        let value: Value = serde_json::from_str(text)?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version != u64::from(VERSION) => Err(DocumentError::Version(version)),
            _ => Ok(serde_json::from_value(value)?),
        }
    }

    /// The registry of the program that this document describes. It answers the same questions and starts the same runs,
    /// except that it knows only the schemas of payloads, and not their types.
    ///
    /// ```
    /// use nq_core::decide;
    /// use nq_core::export::RegistryDocument;
    /// use nq_core::id::RunId;
    ///
    /// # fn example(text: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = RegistryDocument::parse(text)?.registry()?;
    /// let flow = registry.flow("order").ok_or("no such flow")?;
    /// let entry = flow.entries().next().ok_or("no entry")?;
    /// let start = decide::start(flow, entry, RunId::new("order-7")?, serde_json::json!({}), &registry.hash);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A name in it is not valid, so nq has not written it.
    pub fn registry(&self) -> Result<Registry, WiringError> {
        let known = |(name, event): (&String, &Event)| {
            let Event { type_path, schema } = event.clone();
            (name.clone(), Known::Described { type_path, schema })
        };
        Registry::of(self.workers.iter().cloned(), self.events.iter().map(known).collect())
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

impl Flow {
    fn new(flow: &Wired) -> Self {
        let step = |step: &FlowStep| (step.worker.name.clone(), Step::new(step));
        let entries: BTreeMap<_, _> = flow.entries().map(step).collect();
        let steps = flow.steps.values().filter(|step| !step.worker.is_entry()).map(step).collect();
        let only = if entries.len() == 1 { entries.values().next().cloned() } else { None };
        Self { entry: only, entries, steps }
    }
}

impl Step {
    fn new(step: &FlowStep) -> Self {
        let Worker { id, name, input, subscribes, joins, gathers, .. } = Worker::clone(&step.worker);
        let queue = step.spec.queue.to_string();
        Self { step: name, queue, worker_id: id, input, subscribes, joins, gathers }
    }
}
