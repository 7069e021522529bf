//! A worker as the registry knows it: what its attribute says, or what a document says that was exported.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::def::{Backoff, EventRef, OnFailure, WorkerDef};

/// A worker, as its attribute describes it. It owns its data, so it need not come from the program: it may come from a
/// [document](crate::export::RegistryDocument), or from a worker of another language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Its unique id: the path of the function, since two flows may have a worker of the same name.
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
    /// The flows that it is a step of; empty for a plain queue worker, which is a flow of its own.
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
    /// The field by which joined events pair; by order of arrival where there is none.
    pub by: Option<String>,
    /// How many attempts may follow the first one.
    pub retries: u32,
    /// How the delay between attempts grows.
    pub backoff: Backoff,
    /// The longest that an attempt may take.
    pub timeout_ms: Option<u64>,
    /// How many steps of it one instance runs at a time.
    pub concurrency: Option<u32>,
    /// After how many attempts during which the process ended a step is dead.
    pub max_crashes: u32,
    /// What its failure means for the run.
    pub on_failure: OnFailure,
    /// The suspicious things that its author intends.
    pub allow: Vec<String>,
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

impl From<&WorkerDef> for Worker {
    fn from(def: &WorkerDef) -> Self {
        let names = |events: &[EventRef]| events.iter().map(|event| event.name.to_owned()).collect();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let mut worker = Self {
            id: def.path.to_owned(),
            name: def.name.to_owned(),
            was: texts(def.was),
            queue: def.queue.map(str::to_owned),
            path: def.path.to_owned(),
            file: def.file.replace('\\', "/"),
            line: (def.line)(),
            flows: texts(def.flows),
            input: def.input.filter(|_| def.is_entry()).map(|event| event.name.to_owned()),
            emits: names(def.emits),
            subscribes: names(def.subscribes),
            joins: names(def.joins),
            gathers: names(def.gathers),
            by: def.by.map(str::to_owned),
            retries: def.retries,
            backoff: def.backoff,
            timeout_ms: def.timeout_ms,
            concurrency: def.concurrency,
            max_crashes: def.max_crashes,
            on_failure: def.on_failure,
            allow: texts(def.allow),
        };
        worker.sort();
        worker
    }
}

impl Worker {
    /// Sorts the lists that are sets. The sides of a join are not a set: their order is that of the join's input. Former
    /// names are not a set either: the likeliest stands first.
    fn sort(&mut self) {
        for set in
            [&mut self.flows, &mut self.emits, &mut self.subscribes, &mut self.gathers, &mut self.allow]
        {
            *set = std::mem::take(set).into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        }
    }

    /// Whether a run can begin with this worker.
    pub fn is_entry(&self) -> bool {
        self.subscribes.is_empty() && self.joins.is_empty() && self.gathers.is_empty()
    }

    /// The names of the flows that it is a step of. A plain queue worker is a flow of its own.
    pub fn flow_names(&self) -> impl Iterator<Item = &str> {
        let own = self.flows.is_empty().then_some(&self.name);
        self.flows.iter().chain(own).map(String::as_str)
    }

    /// The flow and the name that a former name means for this flow of the worker. None if the former name is about another
    /// of its flows.
    pub(super) fn former<'a>(&self, was: &'a str, flow: &'a str) -> Option<(&'a str, &'a str)> {
        match was.split_once('/') {
            None if self.flows.is_empty() => Some((was, was)),
            None => Some((flow, was)),
            Some((own, name)) if self.flows.len() < 2 || own == flow => Some((own, name)),
            Some(_) => None,
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

    /// Every event that it names.
    pub fn mentions(&self) -> impl Iterator<Item = &String> {
        self.input.iter().chain(&self.emits).chain(self.takes().map(|(_, event)| event))
    }
}
