//! The graph of a registry: which worker is a step of which flow, which event leads where in it, and the
//! verdict on each.

use super::table::{Index, Table};
use super::workers::{Role, flow_count, flow_key, flow_name, mention, mention_count, name_key, path_key};
use crate::def::{EventRef, WorkerDef};
use crate::keys;

/// No mention: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// What is wrong with a node or a mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// The same worker came by another `include`.
    Repeated,
    /// Another worker of the flow has its name.
    Duplicate,
    /// Its flow has no entry, and it is the flow's first worker.
    NoEntry,
    /// A plain queue worker has the name of a flow.
    Plain,
    /// No entry reaches it, and it is the worker to blame for that.
    Unreached,
    /// Nothing in the flow emits it.
    Unmatched,
    /// The worker that gathers it leads to it.
    GatherCycle,
    /// Another event type has its name.
    TypeClash,
    /// The worker's list has it twice.
    Twice,
}

/// A worker as a step of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) worker: u32,
    pub(super) flow: u32,
    /// Its first mention; the others follow, in the order of [`Role`].
    pub(super) mentions: u32,
    pub(super) verdict: Verdict,
}

/// An event in a worker's attribute, in one flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mention {
    pub(super) node: u32,
    pub(super) role: Role,
    pub(super) event: u32,
    /// The next mention that waits for this event.
    pub(super) next: u32,
    pub(super) verdict: Verdict,
}

/// An event in a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) emitters: u32,
    /// The first mention that waits for it.
    pub(super) consumers: u32,
}

/// A flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) first: u32,
    pub(super) entries: u32,
    pub(super) steps: u32,
    /// A plain queue worker, whose own flow this is.
    pub(super) plain: u32,
    /// A worker of it has a broken attribute.
    pub(super) muted: bool,
}

/// A graph in the making, and then the memory behind a [`Graph`].
pub struct Plan<const PLACES: usize, const NODES: usize, const MENTIONS: usize> {
    workers: &'static [&'static WorkerDef],
    table: Table<PLACES>,
    pub(super) nodes: [Node; NODES],
    pub(super) mentions: [Mention; MENTIONS],
    /// The key of each mention's type; zero where it has none.
    types: [u64; MENTIONS],
    pub(super) events: [Event; MENTIONS],
    pub(super) event_count: u32,
    pub(super) flows: [Flow; NODES],
    flow_count: u32,
    pub(super) clean: bool,
    doubtful: bool,
    muted: bool,
}

impl<const PLACES: usize, const NODES: usize, const MENTIONS: usize> Plan<PLACES, NODES, MENTIONS> {
    /// Wires these workers, and judges what each flow and each mention says by itself. The graph of a library is
    /// `open`: what is missing in it may be in the program that includes it.
    pub(super) const fn wired(workers: &'static [&'static WorkerDef], open: bool) -> Self {
        let mut plan = Self {
            workers,
            table: Table::new(),
            nodes: [Node { worker: 0, flow: 0, mentions: 0, verdict: Verdict::Fine }; NODES],
            mentions: [Mention { node: 0, role: Role::Emits, event: 0, next: NONE, verdict: Verdict::Fine };
                MENTIONS],
            types: [0; MENTIONS],
            events: [Event { emitters: 0, consumers: NONE }; MENTIONS],
            event_count: 0,
            flows: [Flow { first: 0, entries: 0, steps: 0, plain: NONE, muted: false }; NODES],
            flow_count: 0,
            clean: true,
            doubtful: false,
            muted: false,
        };
        plan.wire();
        if !open {
            plan.judge_flows();
            plan.judge_mentions();
        }
        plan
    }

    /// The graph over this memory.
    pub const fn graph(&'static self) -> Graph {
        Graph {
            workers: self.workers,
            doubtful: self.doubtful,
            clean: self.clean,
            index: self.table.erased(),
            nodes: &self.nodes,
            mentions: &self.mentions,
            flows: &self.flows,
        }
    }

    /// Whether the checks of this flow report nothing, because a worker of it has a broken attribute.
    pub(super) const fn is_muted(&self, flow: u32) -> bool {
        self.muted || self.flows[flow as usize].muted
    }

    /// The worker of this node.
    pub(super) const fn worker(&self, node: u32) -> &'static WorkerDef {
        self.workers[self.nodes[node as usize].worker as usize]
    }

    /// Enters every worker, flow and event. The index has a worker under the key of its path, a flow and an
    /// event type under the keys of their names, and an event and a worker of a flow under the pair.
    const fn wire(&mut self) {
        let (mut worker, mut node, mut mentions) = (0, 0, 0);
        while worker < self.workers.len() {
            let def = self.workers[worker];
            let repeated = self.table.intern(path_key(def), node) != node;
            let (mut at, flows) = (0, flow_count(def));
            while at < flows {
                let info = &mut self.nodes[node as usize];
                info.worker = worker as u32;
                info.mentions = mentions;
                if repeated {
                    // It owns no mention.
                    info.verdict = Verdict::Repeated;
                } else {
                    let flow = flow_key(def, at);
                    self.enter(def, node, flow);
                    mentions = self.mention_all(def, node, mentions, flow);
                }
                node += 1;
                at += 1;
            }
            worker += 1;
        }
    }

    /// Enters a worker into a flow.
    const fn enter(&mut self, def: &'static WorkerDef, node: u32, flow_key: u64) {
        let flow = self.table.intern(flow_key, self.flow_count);
        if flow == self.flow_count {
            self.flow_count += 1;
            self.flows[flow as usize].first = node;
        }
        self.nodes[node as usize].flow = flow;
        let info = &mut self.flows[flow as usize];
        info.steps += 1;
        info.entries += def.is_entry() as u32;
        if def.flows.is_empty() {
            info.plain = node;
        }
        if def.broken {
            info.muted = true;
            self.doubtful = true;
            self.muted |= flow_key == keys::of(keys::FLOW, WorkerDef::UNKNOWN_FLOW);
        }
        if self.table.intern(flow_key ^ name_key(def), node) != node {
            self.blame(node, Verdict::Duplicate);
        }
    }

    /// Enters the events that a worker mentions, and returns where the next worker's mentions begin.
    const fn mention_all(&mut self, def: &'static WorkerDef, node: u32, first: u32, flow: u64) -> u32 {
        let mut at = first;
        // In the order in which `workers::mention` counts them.
        if !def.emits.is_empty() {
            at = self.mention_list(def.emits, Role::Emits, node, at, flow);
        }
        let waits = at;
        if !def.subscribes.is_empty() {
            at = self.mention_list(def.subscribes, Role::Subscribes, node, at, flow);
        }
        if !def.joins.is_empty() {
            at = self.mention_list(def.joins, Role::Joins, node, at, flow);
        }
        if !def.gathers.is_empty() {
            at = self.mention_list(def.gathers, Role::Gathers, node, at, flow);
        }
        if at > waits + 1 && !def.broken {
            self.judge_repeats(node, waits, at);
        }
        if let Some(input) = def.input {
            at = self.mention_list(&[input], Role::Input, node, at, flow);
        }
        at
    }

    const fn mention_list(
        &mut self,
        list: &[EventRef],
        role: Role,
        node: u32,
        mut at: u32,
        flow_key: u64,
    ) -> u32 {
        let mut number = 0;
        while number < list.len() {
            let EventRef { key, type_key, .. } = list[number];
            let event = self.table.intern(flow_key ^ key, self.event_count);
            if event == self.event_count {
                self.event_count += 1;
            }
            let info = &mut self.events[event as usize];
            let mut next = NONE;
            match role {
                Role::Emits => info.emitters += 1,
                Role::Input => {}
                Role::Subscribes | Role::Joins | Role::Gathers => {
                    // The list runs backwards: its head is the latest mention.
                    next = info.consumers;
                    info.consumers = at;
                }
            }
            let mut verdict = Verdict::Fine;
            if type_key != 0 {
                let known = self.table.intern(key, at);
                if known != at && self.types[known as usize] != type_key {
                    // A worker of several flows gets this verdict once.
                    if self.is_first(node) {
                        verdict = Verdict::TypeClash;
                        self.clean = false;
                    }
                }
            }
            self.types[at as usize] = type_key;
            self.mentions[at as usize] = Mention { node, role, event, next, verdict };
            number += 1;
            at += 1;
        }
        at
    }

    /// Whether this is the node of its worker's first flow.
    const fn is_first(&self, node: u32) -> bool {
        node == 0 || self.nodes[node as usize - 1].worker != self.nodes[node as usize].worker
    }

    /// Blames the second of two mentions by which a worker waits for the same event.
    const fn judge_repeats(&mut self, node: u32, from: u32, to: u32) {
        let mut at = from;
        while at < to {
            let next = self.mentions[at as usize].next;
            if next != NONE && self.mentions[next as usize].node == node {
                self.mentions[at as usize].verdict = Verdict::Twice;
                self.clean = false;
            }
            at += 1;
        }
    }

    /// Sets the verdict of a node, unless it has one already.
    pub(super) const fn blame(&mut self, node: u32, verdict: Verdict) {
        if matches!(self.nodes[node as usize].verdict, Verdict::Fine) {
            self.nodes[node as usize].verdict = verdict;
            self.clean = false;
        }
    }

    const fn judge_flows(&mut self) {
        let mut flow = 0;
        while flow < self.flow_count {
            let info = self.flows[flow as usize];
            if !self.is_muted(flow) {
                if info.entries == 0 {
                    self.blame(info.first, Verdict::NoEntry);
                }
                if info.plain != NONE && info.steps > 1 {
                    self.blame(info.plain, Verdict::Plain);
                }
            }
            flow += 1;
        }
    }

    const fn judge_mentions(&mut self) {
        let mut event = 0;
        while event < self.event_count {
            let info = self.events[event as usize];
            if info.emitters == 0 {
                let mut at = info.consumers;
                while at != NONE {
                    let mention = self.mentions[at as usize];
                    if matches!(mention.verdict, Verdict::Fine)
                        && !self.is_muted(self.nodes[mention.node as usize].flow)
                    {
                        self.mentions[at as usize].verdict = Verdict::Unmatched;
                        self.clean = false;
                    }
                    at = mention.next;
                }
            }
            event += 1;
        }
    }
}

/// The graph of a registry, judged.
#[derive(Clone, Copy, Debug)]
pub struct Graph {
    workers: &'static [&'static WorkerDef],
    /// Whether a worker of some flow has a broken attribute, so that its events are not known.
    pub(super) doubtful: bool,
    /// Whether every verdict is fine, so that a check has nothing to look up.
    pub(super) clean: bool,
    index: Index,
    pub(super) nodes: &'static [Node],
    pub(super) mentions: &'static [Mention],
    pub(super) flows: &'static [Flow],
}

impl Graph {
    /// Whether nothing is wrong.
    pub const fn is_clean(&self) -> bool {
        self.clean
    }

    /// The first node of a worker; the others, one for each of its flows, follow.
    pub(super) const fn node_of(&self, def: &WorkerDef) -> Option<u32> {
        self.index.get(path_key(def))
    }

    /// The nodes of the workers at these places of the list.
    pub(super) const fn nodes_between(&self, from: usize, to: usize) -> (u32, u32) {
        let (mut node, mut first) = (0, 0);
        while node < self.nodes.len() && (self.nodes[node].worker as usize) < to {
            if (self.nodes[node].worker as usize) < from {
                first = node + 1;
            }
            node += 1;
        }
        (first as u32, node as u32)
    }

    /// The worker of a node.
    pub(super) const fn worker(&self, node: u32) -> &'static WorkerDef {
        self.workers[self.nodes[node as usize].worker as usize]
    }

    /// The name of a node's flow.
    pub(super) const fn flow_name(&self, node: u32) -> &'static str {
        let def = self.worker(node);
        let first = match self.node_of(def) {
            Some(first) => first,
            None => node,
        };
        flow_name(def, (node - first) as usize)
    }

    /// The event of a mention.
    pub(super) const fn event(&self, at: u32) -> EventRef {
        let node = self.mentions[at as usize].node;
        mention(self.worker(node), (at - self.nodes[node as usize].mentions) as usize).1
    }

    /// The mention with this role and number of a node.
    pub(super) const fn find(&self, node: u32, role: Role, number: usize) -> u32 {
        let def = self.worker(node);
        let skipped = match role {
            Role::Emits => 0,
            Role::Subscribes => def.emits.len(),
            Role::Joins => def.emits.len() + def.subscribes.len(),
            Role::Gathers => def.emits.len() + def.subscribes.len() + def.joins.len(),
            Role::Input => mention_count(def) - 1,
        };
        self.nodes[node as usize].mentions + (skipped + number) as u32
    }

    /// How many mentions a node has.
    pub(super) const fn mention_count(&self, node: u32) -> u32 {
        mention_count(self.worker(node)) as u32
    }

    /// The mention whose type the name of this event belongs to.
    pub(super) const fn owner(&self, event: EventRef) -> Option<u32> {
        self.index.get(event.key)
    }

    /// The node that has this name in this flow.
    pub(super) const fn member(&self, flow: &str, name: &str) -> Option<u32> {
        self.index.get(keys::of(keys::FLOW, flow) ^ keys::of(keys::WORKER, name))
    }
}

/// The registry of a crate: what `registry!` makes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a registry",
    note = "write `nq::registry!();` in the crate root, or `nq::registry!(library);` in a library"
)]
pub trait Registered {
    /// The workers of the crate and of the libraries that it includes.
    const WORKERS: &'static [&'static WorkerDef];
    /// Their graph.
    const GRAPH: &'static Graph;
}
