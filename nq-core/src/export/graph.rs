//! Who leads to whom in a flow.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Flow, RegistryDocument};
use crate::registry::Worker;

/// The workers of a flow, and who leads to whom.
pub(super) struct Graph<'a> {
    pub(super) workers: Vec<&'a Worker>,
    /// For each worker, the workers that take the events that it emits.
    pub(super) next: Vec<BTreeSet<usize>>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(document: &'a RegistryDocument, name: &str, flow: &'a Flow) -> Self {
        let workers: Vec<_> = document.members(flow).map(|(_, worker)| worker).collect();
        let index: BTreeMap<_, _> =
            workers.iter().enumerate().map(|(at, worker)| (worker.name.as_str(), at)).collect();
        let next = workers.iter().map(|worker| {
            let takers = worker.emits.iter().filter_map(|event| document.event_index.get(event)).flatten();
            let own = takers.filter(|taker| taker.flow_id == name);
            own.filter_map(|taker| index.get(taker.step.as_str()).copied()).collect()
        });
        Self { next: next.collect(), workers }
    }

    /// All workers that these lead to.
    pub(super) fn after(&self, from: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<_> = from.iter().flat_map(|at| &self.next[*at]).copied().collect();
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                open.extend(&self.next[at]);
            }
        }
        seen
    }

    /// For each worker, the gathers that it leads to: they wait for its jobs.
    pub(super) fn holds(&self) -> BTreeMap<String, BTreeSet<String>> {
        let gathers = |at: &usize| !self.workers[*at].gathers.is_empty();
        let name = |at: usize| self.workers[at].name.clone();
        let all = 0..self.workers.len();
        all.map(|at| (name(at), self.after(&[at].into()).into_iter().filter(gathers).map(name).collect()))
            .collect()
    }
}
