//! Which workers an entry reaches, and which gathers lead to themselves: two passes over the graph, each
//! linear in its size.
//!
//! Workers and events are both vertices: a worker leads to the events that it emits, an event to the workers
//! that wait for it.

use super::graph::{NONE, Plan, Verdict};
use super::workers::Role;

/// Judges what the shape of the graph decides. In an open graph an entry may be elsewhere.
pub(super) const fn judge<const PLACES: usize, const NODES: usize, const MENTIONS: usize>(
    plan: &mut Plan<PLACES, NODES, MENTIONS>,
    open: bool,
) {
    let mut reached = Reached::<NODES, MENTIONS>::new();
    let all_reached = open || reached.spread(plan);
    let (mut at, mut gathers) = (0, false);
    while at < NODES && !gathers {
        gathers = !plan.worker(at as u32).gathers.is_empty();
        at += 1;
    }
    if all_reached && !gathers {
        return;
    }
    let mut cycles = Cycles::<PLACES>::new();
    cycles.find(plan, NODES as u32);
    judge_gathers(plan, &mut cycles);
    if !all_reached {
        judge_unreached(plan, &mut cycles, &reached);
    }
}

/// What the entries of a flow reach.
struct Reached<const NODES: usize, const MENTIONS: usize> {
    nodes: [bool; NODES],
    events: [bool; MENTIONS],
    /// How many sides of a join are reached.
    sides: [u32; NODES],
    /// Workers that are reached, in that order.
    order: [u32; NODES],
    len: usize,
}

impl<const NODES: usize, const MENTIONS: usize> Reached<NODES, MENTIONS> {
    const fn new() -> Self {
        Self {
            nodes: [false; NODES],
            events: [false; MENTIONS],
            sides: [0; NODES],
            order: [0; NODES],
            len: 0,
        }
    }

    /// Spreads from the entries, and says whether every worker is reached. What another rule has judged
    /// counts as reached, so that one mistake is not reported twice.
    const fn spread<const PLACES: usize>(&mut self, plan: &Plan<PLACES, NODES, MENTIONS>) -> bool {
        let mut node = 0;
        while node < NODES as u32 {
            let info = plan.nodes[node as usize];
            if matches!(info.verdict, Verdict::Repeated)
                || plan.worker(node).is_entry()
                || plan.is_muted(info.flow)
                || plan.flows[info.flow as usize].entries == 0
            {
                self.reach(node);
            } else {
                self.arrive_unmatched(plan, node);
            }
            node += 1;
        }
        let mut done = 0;
        while done < self.len {
            self.emit_all(plan, self.order[done]);
            done += 1;
        }
        self.len == NODES
    }

    const fn reach(&mut self, node: u32) {
        if !self.nodes[node as usize] {
            self.nodes[node as usize] = true;
            self.order[self.len] = node;
            self.len += 1;
        }
    }

    /// Lets an event arrive at a worker that waits for it.
    const fn arrive<const PLACES: usize>(&mut self, plan: &Plan<PLACES, NODES, MENTIONS>, at: u32) {
        let mention = plan.mentions[at as usize];
        if matches!(mention.role, Role::Joins) {
            let sides = &mut self.sides[mention.node as usize];
            *sides += 1;
            if (*sides as usize) < plan.worker(mention.node).joins.len() {
                return;
            }
        }
        self.reach(mention.node);
    }

    const fn arrive_unmatched<const PLACES: usize>(
        &mut self,
        plan: &Plan<PLACES, NODES, MENTIONS>,
        node: u32,
    ) {
        let mut at = plan.nodes[node as usize].mentions;
        while at < MENTIONS as u32 && plan.mentions[at as usize].node == node {
            if plan.events[plan.mentions[at as usize].event as usize].emitters == 0 {
                self.arrive(plan, at);
            }
            at += 1;
        }
    }

    const fn emit_all<const PLACES: usize>(&mut self, plan: &Plan<PLACES, NODES, MENTIONS>, node: u32) {
        if matches!(plan.nodes[node as usize].verdict, Verdict::Repeated) {
            return;
        }
        let first = plan.nodes[node as usize].mentions;
        let emits = plan.worker(node).emits.len() as u32;
        let mut at = first;
        while at < first + emits {
            let event = plan.mentions[at as usize].event as usize;
            if !self.events[event] {
                self.events[event] = true;
                let mut waiting = plan.events[event].consumers;
                while waiting != NONE {
                    self.arrive(plan, waiting);
                    waiting = plan.mentions[waiting as usize].next;
                }
            }
            at += 1;
        }
    }
}

/// The strongly connected components of the graph, by Tarjan's algorithm without recursion. Vertices below
/// the number of nodes are workers, the others events. `N` is at least twice their number.
struct Cycles<const N: usize> {
    /// When a vertex was first seen, counted from one.
    seen: [u32; N],
    low: [u32; N],
    /// The component of a vertex that is done, counted from one.
    component: [u32; N],
    /// Vertices that are in no component yet.
    stack: [u32; N],
    stack_len: usize,
    /// The path that the search is on, and for each vertex of it the next edge to follow.
    path: [u32; N],
    edge: [u32; N],
    path_len: usize,
    seen_count: u32,
    component_count: u32,
    /// For each component, whether another verdict explains why it is not reached: its own, or that of a worker before it.
    explained: [bool; N],
}

impl<const N: usize> Cycles<N> {
    const fn new() -> Self {
        Self {
            seen: [0; N],
            low: [0; N],
            component: [0; N],
            stack: [0; N],
            stack_len: 0,
            path: [0; N],
            edge: [0; N],
            path_len: 0,
            seen_count: 0,
            component_count: 0,
            explained: [false; N],
        }
    }

    const fn find<const NODES: usize, const MENTIONS: usize>(
        &mut self,
        plan: &Plan<N, NODES, MENTIONS>,
        node_count: u32,
    ) {
        let mut root = 0;
        while root < node_count {
            if self.seen[root as usize] == 0
                && !matches!(plan.nodes[root as usize].verdict, Verdict::Repeated)
            {
                self.open(plan, root, node_count);
                while self.path_len > 0 {
                    self.step(plan, node_count);
                }
            }
            root += 1;
        }
    }

    /// Sees a vertex for the first time.
    const fn open<const NODES: usize, const MENTIONS: usize>(
        &mut self,
        plan: &Plan<N, NODES, MENTIONS>,
        vertex: u32,
        node_count: u32,
    ) {
        self.seen_count += 1;
        self.seen[vertex as usize] = self.seen_count;
        self.low[vertex as usize] = self.seen_count;
        self.stack[self.stack_len] = vertex;
        self.stack_len += 1;
        self.path[self.path_len] = vertex;
        self.edge[self.path_len] = if vertex < node_count {
            plan.nodes[vertex as usize].mentions
        } else {
            plan.events[(vertex - node_count) as usize].consumers
        };
        self.path_len += 1;
    }

    /// Follows one edge of the vertex at the end of the path, or closes it.
    const fn step<const NODES: usize, const MENTIONS: usize>(
        &mut self,
        plan: &Plan<N, NODES, MENTIONS>,
        node_count: u32,
    ) {
        let top = self.path_len - 1;
        let (vertex, edge) = (self.path[top], self.edge[top]);
        let next = if vertex < node_count {
            let emits = plan.worker(vertex).emits.len() as u32;
            if edge < plan.nodes[vertex as usize].mentions + emits {
                self.edge[top] = edge + 1;
                node_count + plan.mentions[edge as usize].event
            } else {
                NONE
            }
        } else if edge == NONE {
            NONE
        } else {
            self.edge[top] = plan.mentions[edge as usize].next;
            plan.mentions[edge as usize].node
        };
        if next == NONE {
            self.leave(vertex);
        } else if self.seen[next as usize] == 0 {
            self.open(plan, next, node_count);
        } else if self.component[next as usize] == 0 {
            self.lower(vertex, self.seen[next as usize]);
        }
    }

    const fn lower(&mut self, vertex: u32, low: u32) {
        if low < self.low[vertex as usize] {
            self.low[vertex as usize] = low;
        }
    }

    /// Leaves a vertex; the first of its component takes the component off the stack.
    const fn leave(&mut self, vertex: u32) {
        self.path_len -= 1;
        let low = self.low[vertex as usize];
        if low == self.seen[vertex as usize] {
            self.component_count += 1;
            loop {
                self.stack_len -= 1;
                let member = self.stack[self.stack_len];
                self.component[member as usize] = self.component_count;
                if member == vertex {
                    break;
                }
            }
        }
        if self.path_len > 0 {
            self.lower(self.path[self.path_len - 1], low);
        }
    }
}

/// Blames each gather whose own events lead back to it; of several gathers in a cycle, only the first.
const fn judge_gathers<const PLACES: usize, const NODES: usize, const MENTIONS: usize>(
    plan: &mut Plan<PLACES, NODES, MENTIONS>,
    cycles: &mut Cycles<PLACES>,
) {
    let mut node = 0;
    while node < NODES {
        let info = plan.nodes[node];
        if !plan.worker(node as u32).gathers.is_empty()
            && !matches!(info.verdict, Verdict::Repeated)
            && !plan.is_muted(info.flow)
        {
            let component = cycles.component[node];
            let mut at = info.mentions;
            while at < MENTIONS as u32 && plan.mentions[at as usize].node == node as u32 {
                let mention = plan.mentions[at as usize];
                if matches!(mention.role, Role::Gathers)
                    && cycles.component[NODES + mention.event as usize] == component
                    && !cycles.explained[component as usize]
                {
                    cycles.explained[component as usize] = true;
                    plan.mentions[at as usize].verdict = Verdict::GatherCycle;
                    plan.clean = false;
                }
                at += 1;
            }
        }
        node += 1;
    }
}

/// Blames one worker of each cycle that no entry leads into, but no worker that only waits for such a cycle.
const fn judge_unreached<const PLACES: usize, const NODES: usize, const MENTIONS: usize>(
    plan: &mut Plan<PLACES, NODES, MENTIONS>,
    cycles: &mut Cycles<PLACES>,
    reached: &Reached<NODES, MENTIONS>,
) {
    let mut node = 0;
    while node < NODES {
        if !reached.nodes[node] {
            let first = plan.nodes[node].mentions;
            let mut at = first;
            while at < first + plan.worker(node as u32).emits.len() as u32 {
                let event = plan.mentions[at as usize].event as usize;
                let mut waiting = if reached.events[event] { NONE } else { plan.events[event].consumers };
                while waiting != NONE {
                    let mention = plan.mentions[waiting as usize];
                    let component = cycles.component[mention.node as usize];
                    if !reached.nodes[mention.node as usize] && component != cycles.component[node] {
                        cycles.explained[component as usize] = true;
                    }
                    waiting = mention.next;
                }
                at += 1;
            }
        }
        node += 1;
    }
    node = 0;
    while node < NODES {
        let component = cycles.component[node] as usize;
        if !reached.nodes[node] && !cycles.explained[component] {
            cycles.explained[component] = true;
            plan.blame(node as u32, Verdict::Unreached);
        }
        node += 1;
    }
}
