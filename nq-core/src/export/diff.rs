//! What a change of the registry means for the runs that are in flight while it is rolled out: their jobs wait
//! in queues by flow and worker, and their payloads were written by the old types.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::document::{Event, Flow, RegistryDocument, Step};
use super::graph::Graph;
use super::schema::narrowings;
use crate::registry::Worker;

/// What a change does to runs in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Some runs fail, or wait for ever.
    Breaks,
    /// The registry does not show whether runs break.
    MayBreak,
    /// All runs go on.
    Safe,
}

/// A difference between two registries of a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What it does to runs in flight.
    pub effect: Effect,
    /// What kind of change it is: `workerRemoved`, `eventNarrowed`, ….
    pub kind: &'static str,
    /// The flow, where the change belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The worker's name, where the change belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The event, where the change belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Where in the event's payload, as a JSON pointer; `*` stands for every item or field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What has changed, and what that means.
    pub message: String,
}

/// Every change that concerns runs in flight, the worst first.
pub fn diff(old: &RegistryDocument, new: &RegistryDocument) -> Vec<Change> {
    let mut changes = Changes::default();
    for (name, flow) in &old.flows {
        changes.about = About { flow: Some(name.clone()), ..About::default() };
        match new.flows.get(name) {
            Some(now) => changes.flow((old, flow), (new, now)),
            None => changes.flow_gone((old, flow), new),
        }
    }
    for name in new.flows.keys().filter(|name| !old.flows.contains_key(*name)) {
        changes.about = About { flow: Some(name.clone()), ..About::default() };
        changes.push(Effect::Safe, "flowAdded", format!("flow `{name}` is new"));
    }
    for (name, event) in &old.events {
        changes.about = About { event: Some(name.clone()), ..About::default() };
        match new.events.get(name) {
            Some(now) => changes.event(name, event, now),
            // The changes of the workers that took the event are reported with their flows.
            None => changes.push(Effect::Safe, "eventRemoved", format!("event `{name}` is gone")),
        }
    }
    for name in new.events.keys().filter(|name| !old.events.contains_key(*name)) {
        changes.about = About { event: Some(name.clone()), ..About::default() };
        changes.push(Effect::Safe, "eventAdded", format!("event `{name}` is new"));
    }
    changes.found.sort();
    changes.found
}

/// The worker that takes over the jobs of the one that had this name in this flow.
fn heir<'a>(new: &'a RegistryDocument, flow: &str, name: &str) -> Option<&'a Worker> {
    new.workers.iter().find(|worker| worker.takes_over(flow, name))
}

#[derive(Clone, Default)]
struct About {
    flow: Option<String>,
    worker: Option<String>,
    event: Option<String>,
}

#[derive(Default)]
struct Changes {
    found: Vec<Change>,
    about: About,
}

impl Changes {
    fn push(&mut self, effect: Effect, kind: &'static str, message: String) {
        let About { flow, worker, event } = self.about.clone();
        self.found.push(Change { effect, kind, flow, worker, event, pointer: None, message });
    }

    fn flow(&mut self, old: (&RegistryDocument, &Flow), new: (&RegistryDocument, &Flow)) {
        let flow = self.about.flow.clone().unwrap_or_default();
        let was: BTreeMap<_, _> =
            old.0.members(old.1).map(|(step, worker)| (&step.step, (step, worker))).collect();
        let is: BTreeMap<_, _> =
            new.0.members(new.1).map(|(step, worker)| (&step.step, (step, worker))).collect();
        let added: Vec<&Worker> =
            is.iter().filter(|(name, _)| !was.contains_key(*name)).map(|(_, (_, worker))| *worker).collect();
        let holds = (Graph::new(old.0, &flow, old.1).holds(), Graph::new(new.0, &flow, new.1).holds());

        let mut renamed = BTreeSet::new();
        for (name, (step, worker)) in &was {
            self.about.worker = Some((*name).clone());
            let Some((now_step, now)) = is.get(name) else {
                match heir(new.0, &flow, name) {
                    Some(heir) => self.taken_over(worker, heir),
                    None => renamed.extend(self.removed(name, worker, &added)),
                }
                continue;
            };
            self.moved(step, now_step, worker, now);
            self.inputs(worker, now);
            self.policy(worker, now);
            let none = BTreeSet::new();
            let held = |holds: &BTreeMap<String, BTreeSet<String>>| holds.get(*name).unwrap_or(&none).clone();
            for gather in held(&holds.1).difference(&held(&holds.0)) {
                // A gather that is itself new is reported once, below.
                if was.contains_key(gather) {
                    self.push(
                        Effect::MayBreak,
                        "gatherWidened",
                        format!("worker `{name}` now leads to `{gather}`, which does not wait for the jobs of it that are already queued: it may run before them"),
                    );
                }
            }
        }
        // A renamed worker is not new, whether it has a `was` or not.
        let heir = |worker: &&Worker| was.keys().any(|name| worker.takes_over(&flow, name));
        for worker in added.into_iter().filter(|worker| !heir(worker) && !renamed.contains(&worker.name)) {
            let name = &worker.name;
            self.about.worker = Some(name.clone());
            let (effect, what) = if !worker.gathers.is_empty() {
                (
                    Effect::MayBreak,
                    ": runs in flight give it what is emitted from now on, when they have nothing else to do",
                )
            } else if !worker.joins.is_empty() {
                (
                    Effect::MayBreak,
                    ": it does not see what was emitted before, and may pair other events than it should",
                )
            } else {
                (Effect::Safe, "")
            };
            self.push(effect, "workerAdded", format!("worker `{name}` is new{what}"));
        }
    }

    /// A flow is gone. Its workers may have moved to another flow.
    fn flow_gone(&mut self, old: (&RegistryDocument, &Flow), new: &RegistryDocument) {
        let flow = self.about.flow.clone().unwrap_or_default();
        let members: Vec<_> = old.0.members(old.1).map(|(_, worker)| worker).collect();
        if members.iter().all(|worker| heir(new, &flow, &worker.name).is_none()) {
            let message = format!("flow `{flow}` is gone: nothing runs the steps of its runs any more");
            return self.push(Effect::Breaks, "flowRemoved", message);
        }
        for worker in members {
            self.about.worker = Some(worker.name.clone());
            match heir(new, &flow, &worker.name) {
                Some(heir) => self.taken_over(worker, heir),
                None => drop(self.removed(&worker.name, worker, &[])),
            }
        }
    }

    /// A worker was renamed, and has a `was`.
    fn taken_over(&mut self, worker: &Worker, heir: &Worker) {
        let (name, now) = (&worker.name, &heir.name);
        let message = format!("worker `{name}` is `{now}` now, which takes over what waits for it");
        self.push(Effect::Safe, "workerTakenOver", message);
        self.inputs(worker, heir);
        self.policy(worker, heir);
    }

    /// A worker is gone. Returns the name that it seems to have now.
    fn removed(&mut self, name: &str, worker: &Worker, added: &[&Worker]) -> Option<String> {
        let alike = |new: &&&Worker| {
            new.path == worker.path
                || (new.file == worker.file
                    && new.takes().eq(worker.takes())
                    && new.emits == worker.emits
                    && new.input == worker.input)
        };
        let now = added.iter().find(alike);
        match now {
            Some(new) => self.push(
                Effect::Breaks,
                "workerRenamed",
                format!("worker `{name}` seems to be `{}` now: nothing runs its queued jobs any more; take them over with `was = [\"{name}\"]`, or keep the name with `name = \"{name}\"`", new.name),
            ),
            None => self.push(
                Effect::Breaks,
                "workerRemoved",
                format!("worker `{name}` is gone: nothing runs its queued jobs any more"),
            ),
        }
        now.map(|new| new.name.clone())
    }

    fn moved(&mut self, old: &Step, new: &Step, was: &Worker, is: &Worker) {
        let name = &old.step;
        if old.queue != new.queue {
            self.push(
                Effect::Breaks,
                "queueMoved",
                format!(
                    "the jobs of `{name}` wait in `{}`, and are now looked for in `{}`",
                    old.queue, new.queue
                ),
            );
        }
        if was.queue != is.queue {
            let shown = |queue: &Option<String>| {
                queue.as_ref().map_or_else(|| "no queue of others".to_owned(), |queue| format!("`{queue}`"))
            };
            self.push(
                Effect::MayBreak,
                "queueMoved",
                format!("worker `{name}` moved from {} to {}: other limits hold for its jobs, and a pause of the old queue no longer stops them", shown(&was.queue), shown(&is.queue)),
            );
        }
    }

    /// Reports whether the worker still accepts the inputs of jobs that wait.
    fn inputs(&mut self, old: &Worker, new: &Worker) {
        let name = &old.name;
        let kind = |worker: &Worker| match () {
            () if !worker.joins.is_empty() => "joins",
            () if !worker.gathers.is_empty() => "gathers",
            () if !worker.subscribes.is_empty() => "subscribes",
            () => "starts a run",
        };
        if kind(old) != kind(new) {
            let (was, is) = (kind(old), kind(new));
            self.push(
                Effect::Breaks,
                "roleChanged",
                format!("worker `{name}` {was} no more, it {is}: its queued jobs do not have the input that it takes now"),
            );
            return;
        }
        if old.joins != new.joins || old.by != new.by {
            self.push(
                Effect::Breaks,
                "joinChanged",
                format!("worker `{name}` joins other events, in another order, or by another field: what has arrived at it pairs wrongly or never"),
            );
        }
        let old_takes: BTreeSet<_> = old.input.iter().chain(&old.subscribes).chain(&old.gathers).collect();
        let new_takes: BTreeSet<_> = new.input.iter().chain(&new.subscribes).chain(&new.gathers).collect();
        for event in old_takes.difference(&new_takes) {
            self.about.event = Some((*event).clone());
            self.push(
                Effect::Breaks,
                "eventNotTaken",
                format!("worker `{name}` no longer takes `{event}`: its queued jobs that carry one fail"),
            );
        }
        for event in new_takes.difference(&old_takes) {
            self.about.event = Some((*event).clone());
            self.push(Effect::Safe, "eventTaken", format!("worker `{name}` now takes `{event}`"));
        }
        let (old_emits, new_emits): (BTreeSet<_>, BTreeSet<_>) =
            (old.emits.iter().collect(), new.emits.iter().collect());
        for event in old_emits.symmetric_difference(&new_emits) {
            self.about.event = Some((*event).clone());
            let (kind, what) = if new_emits.contains(*event) {
                ("emitAdded", "now emits")
            } else {
                ("emitRemoved", "no longer emits")
            };
            self.push(Effect::Safe, kind, format!("worker `{name}` {what} `{event}`"));
        }
        self.about.event = None;
    }

    /// Reports options that only say how a step is run.
    fn policy(&mut self, old: &Worker, new: &Worker) {
        let shown = |worker: &Worker| -> Value {
            serde_json::json!({
                "retries": worker.retries,
                "backoff": worker.backoff,
                "timeout": worker.timeout_ms,
                "concurrency": worker.concurrency,
                "max_crashes": worker.max_crashes,
                "on_failure": worker.on_failure,
            })
        };
        let (was, is) = (shown(old), shown(new));
        let changed =
            was.as_object().into_iter().flatten().filter(|(option, value)| is[option.as_str()] != **value);
        let changed: Vec<_> = changed.map(|(option, _)| format!("`{option}`")).collect();
        if !changed.is_empty() {
            let options = changed.join(", ");
            self.push(Effect::Safe, "policyChanged", format!("worker `{}` has another {options}", old.name));
        }
    }

    fn event(&mut self, name: &str, old: &Event, new: &Event) {
        let found = narrowings(&old.schema, &new.schema);
        for narrowing in &found {
            let effect = if narrowing.certain { Effect::Breaks } else { Effect::MayBreak };
            let at = if narrowing.pointer.is_empty() { "" } else { " at " };
            let (pointer, message) = (&narrowing.pointer, &narrowing.message);
            let message = format!("event `{name}`{at}{pointer}: {message}");
            self.push(effect, "eventNarrowed", message);
            if let Some(last) = self.found.last_mut() {
                last.pointer = Some(pointer.clone());
            }
        }
        if found.is_empty() && !narrowings(&new.schema, &old.schema).is_empty() {
            self.push(Effect::Safe, "eventWidened", format!("event `{name}` takes more than it did"));
        }
    }
}
