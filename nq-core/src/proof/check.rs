//! The checks that workers and registries put into constants of their own, each spanned at the token that it
//! judges. All are `#[track_caller]`, so that rustc shows that token and no frame of this crate.

use super::graph::{Graph, Verdict};
use super::tell;
use super::text::Text;
use super::workers::Role;
use crate::def::WorkerDef;

#[track_caller]
pub(super) const fn fail(text: &Text) {
    assert!(text.is_empty(), "{}", text.as_str());
}

/// Refuses a `registry!` that does not stand in the crate root.
#[track_caller]
pub const fn root(module_path: &str) {
    let path = module_path.as_bytes();
    let mut at = 0;
    while at < path.len() {
        if path[at] == b':' {
            let mut text = Text::new();
            text.push("`nq::registry!` stands in module ").name(module_path);
            text.push("\nhelp: move it to the crate root: it proves all modules of the crate");
            fail(&text);
        }
        at += 1;
    }
}

/// A worker, at its name: the registry has it, no other has its name, an entry reaches it.
#[track_caller]
pub const fn member(graph: &Graph, def: &WorkerDef) {
    let Some(first) = graph.node_of(def) else { return fail(&tell::unseen(def)) };
    if graph.clean {
        return;
    }
    let mut node = first;
    while node < first + flows(def) {
        match graph.nodes[node as usize].verdict {
            Verdict::Duplicate | Verdict::Plain | Verdict::Unreached => fail(&tell::node(graph, node)),
            Verdict::NoEntry if def.flows.is_empty() => fail(&tell::node(graph, node)),
            _ => {}
        }
        node += 1;
    }
}

/// A flow in a worker's attribute, by its number: it has an entry.
#[track_caller]
pub const fn flow(graph: &Graph, def: &WorkerDef, number: usize) {
    if graph.clean {
        return;
    }
    if let Some(first) = graph.node_of(def) {
        let node = first + number as u32;
        if matches!(graph.nodes[node as usize].verdict, Verdict::NoEntry) {
            fail(&tell::node(graph, node));
        }
    }
}

/// A former name in a worker's attribute, by its number: no other worker has it, or had it.
#[track_caller]
pub const fn was(graph: &Graph, def: &WorkerDef, number: usize) {
    if let Some(first) = graph.node_of(def) {
        let mut node = first;
        while node < first + flows(def) {
            fail(&tell::was(graph, node, number));
            node += 1;
        }
    }
}

/// An event in a worker's attribute, by its role there and its number in that list.
#[track_caller]
pub const fn mention(graph: &Graph, def: &WorkerDef, role: Role, number: usize) {
    if graph.clean {
        return;
    }
    if let Some(first) = graph.node_of(def) {
        let mut node = first;
        while node < first + flows(def) {
            fail(&tell::mention(graph, graph.find(node, role, number)));
            node += 1;
        }
    }
}

/// The one event that a worker waits for. If this check fails, the constant ends here, and the worker's other checks in
/// it do not run. So this check reports their mistakes, too.
#[track_caller]
pub const fn waits(graph: &Graph, def: &WorkerDef, role: Role) {
    if graph.clean {
        return;
    }
    if let Some(first) = graph.node_of(def) {
        let mut node = first;
        while node < first + flows(def) {
            let at = graph.find(node, role, 0);
            let mut text = tell::mention(graph, at);
            if !text.is_empty() {
                let mut mistakes = 1;
                let mut other = first;
                while other < first + flows(def) {
                    say_all(graph, other, Some(at), &mut text, &mut mistakes);
                    other += 1;
                }
                fail(&text);
            }
            node += 1;
        }
    }
}

/// The workers of an included library, at its name: those between two places of the list.
#[track_caller]
pub const fn included(graph: &Graph, library: &str, from: usize, to: usize) {
    if graph.clean {
        return;
    }
    let (mut node, end) = graph.nodes_between(from, to);
    let (mut all, mut mistakes) = (Text::new(), 0);
    while node < end {
        if !matches!(graph.nodes[node as usize].verdict, Verdict::Repeated) {
            say_all(graph, node, None, &mut all, &mut mistakes);
        }
        node += 1;
    }
    if mistakes > 0 {
        let mut text = Text::new();
        text.push("library ").name(library).push(" does not fit in here: ").push(all.as_str());
        fail(&text);
    }
}

/// Appends everything that is wrong with a node, except with the mention `said`, which is reported already.
const fn say_all(graph: &Graph, node: u32, said: Option<u32>, all: &mut Text, mistakes: &mut u32) {
    say(&tell::node(graph, node), all, mistakes);
    let first = graph.nodes[node as usize].mentions;
    let mut at = first;
    while at < first + graph.mention_count(node) {
        if !matches!(said, Some(said) if said == at) {
            say(&tell::mention(graph, at), all, mistakes);
        }
        at += 1;
    }
}

const fn say(text: &Text, all: &mut Text, mistakes: &mut u32) {
    if !text.is_empty() {
        all.push(if *mistakes > 0 { "\nalso: " } else { "" }).push(text.as_str());
        *mistakes += 1;
    }
}

const fn flows(def: &WorkerDef) -> u32 {
    if def.flows.is_empty() { 1 } else { def.flows.len() as u32 }
}
