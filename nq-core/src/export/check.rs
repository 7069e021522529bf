//! Finds what is suspicious in a registry, though it is legal.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::document::RegistryDocument;
use super::graph::Graph;
use super::schema::never_equal;
use crate::registry::Worker;

/// Something suspicious. A worker for which it is intended says `allow = ["…"]` with the name of the rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The source file of the worker.
    pub file: String,
    /// The line of its name.
    pub line: u32,
    /// The rule, by the name that `allow` takes.
    pub rule: &'static str,
    /// The worker's id.
    pub worker_id: String,
    /// What is suspicious.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// Whether it is only a hint, for which no check fails: something common that is often intended.
    pub hint: bool,
}

/// The rules, by the names that `allow` takes.
pub const RULES: [&str; 4] = ["unconsumed", "cycle", "unpaired", "no-timeout"];

/// The rules that only give hints.
const HINTS: [&str; 1] = ["no-timeout"];

/// Everything suspicious, by file and line, except what a worker allows.
pub fn check(document: &RegistryDocument) -> Vec<Finding> {
    let mut findings = Vec::new();
    for worker in &document.workers {
        findings.extend(unconsumed(document, worker));
        findings.extend(no_timeout(worker));
        findings.extend(unlike_sides(document, worker));
    }
    for (name, flow) in &document.flows {
        let graph = Graph::new(document, name, flow);
        findings.extend(cycles(&graph, name));
    }
    findings.sort();
    findings.dedup();
    findings
}

fn finding(rule: &'static str, worker: &Worker, message: String, help: impl Into<String>) -> Option<Finding> {
    let allowed = worker.allow.iter().any(|allowed| allowed == rule);
    let (file, line, worker_id) = (worker.file.clone(), worker.line, worker.id.clone());
    let hint = HINTS.contains(&rule);
    (!allowed).then(|| Finding { file, line, rule, worker_id, message, help: help.into(), hint })
}

/// An event that goes nowhere.
fn unconsumed(document: &RegistryDocument, worker: &Worker) -> Vec<Finding> {
    let consumed = |event: &String| {
        let takers = document.event_index.get(event).into_iter().flatten();
        takers.into_iter().any(|taker| worker.flows.contains(&taker.flow_id))
    };
    let loose = worker.emits.iter().filter(|event| !consumed(event));
    let found = loose.filter_map(|event| {
        let elsewhere = document.event_index.get(event).and_then(|takers| takers.first());
        let flows = worker.flows.iter().map(|flow| format!("`{flow}`")).collect::<Vec<_>>().join(", ");
        let message = format!(
            "worker `{}` emits `{event}`, and nothing in flow {flows} subscribes to it, joins or gathers it",
            worker.name
        );
        let help = match elsewhere {
            Some(taker) => format!(
                "worker `{}` of flow `{}` takes it: put one of the two into the other's flow",
                taker.step, taker.flow_id
            ),
            None => format!("subscribe to it, or remove it from `emits`; {}", intended("unconsumed")),
        };
        finding("unconsumed", worker, message, help)
    });
    found.collect()
}

fn no_timeout(worker: &Worker) -> Option<Finding> {
    let message =
        format!("worker `{}` has no timeout: an attempt that hangs holds its place for ever", worker.name);
    let help = format!("write `timeout = \"30s\"`; {}", intended("no-timeout"));
    worker.timeout_ms.is_none().then(|| finding("no-timeout", worker, message, help)).flatten()
}

/// A join by a field that is never equal on both sides.
fn unlike_sides(document: &RegistryDocument, worker: &Worker) -> Option<Finding> {
    let by = worker.by.as_ref()?;
    let schema =
        |event: &String| document.events.get(event).map_or(&Value::Bool(true), |event| &event.schema);
    let sides: Vec<_> = worker.joins.iter().map(|event| (event, schema(event))).collect();
    let pairs = sides
        .iter()
        .enumerate()
        .flat_map(|(index, one)| sides[index + 1..].iter().map(move |two| (one, two)));
    let mut unlike = pairs.filter_map(|((one, a), (two, b))| Some((one, two, never_equal(a, b, by)?)));
    let (one, two, why) = unlike.next()?;
    let message =
        format!("worker `{}` joins `{one}` and `{two}` by `{by}`, which is never equal: {why}", worker.name);
    finding(
        "unpaired",
        worker,
        message,
        format!("give both events a field `{by}` of one type, or join by another"),
    )
}

fn intended(rule: &str) -> String {
    format!("where it is intended, `allow = [\"{rule}\"]`")
}

/// Circles of workers that nothing leads out of: a run that gets into one never ends.
fn cycles(graph: &Graph<'_>, flow: &str) -> Vec<Finding> {
    let after: Vec<_> = (0..graph.workers.len()).map(|at| graph.after(&[at].into())).collect();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for at in 0..graph.workers.len() {
        let circle: BTreeSet<_> =
            after[at].iter().copied().filter(|other| after[*other].contains(&at)).collect();
        if circle.is_empty() || !seen.insert(circle.clone()) {
            continue;
        }
        let leaves = circle.iter().any(|at| !graph.next[*at].is_subset(&circle) || emits_loose(graph, *at));
        let allowed = circle.iter().any(|at| graph.workers[*at].allow.iter().any(|rule| rule == "cycle"));
        if leaves || allowed {
            continue;
        }
        let names = circle.iter().map(|at| format!("`{}`", graph.workers[*at].name)).collect::<Vec<_>>();
        let who = match names.as_slice() {
            [one] => format!("worker {one} leads to itself"),
            names => format!("workers {} lead to each other", names.join(", ")),
        };
        let message = format!("{who} in flow `{flow}`, and to nothing else: such a run has no way to an end");
        let help = format!("emit something that leads out of the circle; {}", intended("cycle"));
        found.extend(finding("cycle", graph.workers[at], message, help));
    }
    found
}

/// Whether the worker emits an event that no worker takes. Such an event is an outcome, so the circle is not endless.
fn emits_loose(graph: &Graph<'_>, at: usize) -> bool {
    let takes =
        |event: &String| graph.workers.iter().any(|worker| worker.takes().any(|(_, taken)| taken == event));
    graph.workers[at].emits.iter().any(|event| !takes(event))
}
