//! The workers of a registry as lists: their flows, and the events that they mention, by number.

use crate::def::{EventRef, WorkerDef};
use crate::keys;

/// How a worker mentions an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It may emit it.
    Emits,
    /// It runs for each.
    Subscribes,
    /// It waits for one of each side.
    Joins,
    /// It waits for all of them.
    Gathers,
    /// It starts with it.
    Input,
}

/// How much room a graph takes.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Places in the index.
    pub places: usize,
    /// Workers, each as often as it has flows.
    pub nodes: usize,
    /// Events in attributes, each as often as its worker has flows.
    pub mentions: usize,
}

impl Size {
    /// The room for these workers.
    pub const fn of(workers: &[&WorkerDef]) -> Self {
        let (mut nodes, mut mentions, mut at) = (0, 0, 0);
        while at < workers.len() {
            let flows = flow_count(workers[at]);
            nodes += flows;
            mentions += flows * mention_count(workers[at]);
            at += 1;
        }
        // Each worker has a path, each node a flow and a name in it, each mention an event and its type; and
        // half of the places stay free.
        let places = (2 * (workers.len() + 2 * nodes + 2 * mentions) + 2).next_power_of_two();
        Self { places, nodes, mentions }
    }
}

pub(super) const fn flow_count(def: &WorkerDef) -> usize {
    if def.flows.is_empty() { 1 } else { def.flows.len() }
}

pub(super) const fn mention_count(def: &WorkerDef) -> usize {
    def.emits.len()
        + def.subscribes.len()
        + def.joins.len()
        + def.gathers.len()
        + def.input.is_some() as usize
}

/// The flow of that number of a worker; a plain queue worker is a flow of its own.
pub(super) const fn flow_name(def: &'static WorkerDef, at: usize) -> &'static str {
    if def.flows.is_empty() { def.name } else { def.flows[at] }
}

/// The key of that flow.
pub(super) const fn flow_key(def: &'static WorkerDef, at: usize) -> u64 {
    if at < def.keys.flows.len() { def.keys.flows[at] } else { keys::of(keys::FLOW, flow_name(def, at)) }
}

/// The key of a worker's name.
pub(super) const fn name_key(def: &WorkerDef) -> u64 {
    if def.keys.name == 0 { keys::of(keys::WORKER, def.name) } else { def.keys.name }
}

/// The key of a worker's path.
pub(super) const fn path_key(def: &WorkerDef) -> u64 {
    if def.keys.path == 0 { keys::of(keys::PATH, def.path) } else { def.keys.path }
}

/// The mention of that number of a worker.
pub(super) const fn mention(def: &'static WorkerDef, mut at: usize) -> (Role, EventRef, usize) {
    if at < def.emits.len() {
        return (Role::Emits, def.emits[at], at);
    }
    at -= def.emits.len();
    if at < def.subscribes.len() {
        return (Role::Subscribes, def.subscribes[at], at);
    }
    at -= def.subscribes.len();
    if at < def.joins.len() {
        return (Role::Joins, def.joins[at], at);
    }
    at -= def.joins.len();
    if at < def.gathers.len() {
        return (Role::Gathers, def.gathers[at], at);
    }
    match def.input {
        Some(input) => (Role::Input, input, 0),
        None => panic!("a mention of no list"),
    }
}

/// How many workers these lists have.
pub const fn count(lists: &[&[&WorkerDef]]) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < lists.len() {
        count += lists[at].len();
        at += 1;
    }
    count
}

/// These lists as one.
pub const fn concat<const N: usize>(lists: &[&[&'static WorkerDef]]) -> [&'static WorkerDef; N] {
    let mut all = [&WorkerDef::DEFAULT; N];
    let (mut len, mut list) = (0, 0);
    while list < lists.len() {
        let mut at = 0;
        while at < lists[list].len() {
            all[len] = lists[list][at];
            len += 1;
            at += 1;
        }
        list += 1;
    }
    all
}
