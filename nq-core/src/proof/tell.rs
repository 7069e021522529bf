//! The text of each verdict: what is wrong, `help:` what to write, `note:` why. Only these functions compare strings,
//! and only for a check that has failed.

use super::graph::{Graph, Verdict};
use super::suggest::Nearest;
use super::text::Text;
use super::workers::Role;
use crate::def::WorkerDef;

/// A worker that the registry does not have.
pub(super) const fn unseen(def: &WorkerDef) -> Text {
    let mut text = Text::new();
    text.push("worker ").name(def.name).push(" is not seen by `nq::registry!()`");
    text.push("\nhelp: put it into a module of this crate, or list it: `nq::registry!(also = [");
    text.push(inside_crate(def.type_path)).push("])`");
    text.push(
        "\nnote: the registry reads the crate's modules; it sees no worker inside a function, or made by",
    );
    text.push(" a macro, or under another name than `nq::worker`: see docs/errors/registry.md");
    text
}

/// A path without the crate that it begins with.
const fn inside_crate(path: &str) -> &str {
    let bytes = path.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] == b':' {
            return path.split_at(at + 2).1;
        }
        at += 1;
    }
    path
}

/// What is wrong with a worker as a step of a flow; empty where nothing is.
pub(super) const fn node(graph: &Graph, node: u32) -> Text {
    match graph.nodes[node as usize].verdict {
        Verdict::Duplicate => duplicate(graph, node),
        Verdict::NoEntry => no_entry(graph, node),
        Verdict::Plain => plain(graph, node),
        Verdict::Unreached => unreached(graph, node),
        _ => Text::new(),
    }
}

/// What is wrong with an event in a worker's attribute; empty where nothing is.
pub(super) const fn mention(graph: &Graph, at: u32) -> Text {
    match graph.mentions[at as usize].verdict {
        Verdict::Unmatched => unmatched(graph, at),
        Verdict::GatherCycle => gather_cycle(graph, at),
        Verdict::TypeClash => type_clash(graph, at),
        Verdict::Twice => twice(graph, at),
        _ => Text::new(),
    }
}

const fn duplicate(graph: &Graph, node: u32) -> Text {
    let (def, flow) = (graph.worker(node), graph.flow_name(node));
    let mut text = Text::new();
    text.push("flow ").name(flow).push(" has another worker named ").name(def.name);
    text.push("\nhelp: rename one of them, or give it a name of its own: `name = \"…\"`");
    if let Some(other) = graph.member(flow, def.name) {
        let other = graph.worker(other);
        text.push("\nnote: the other one is ").name(other.path).push(", in ").push(other.file);
    }
    text
}

/// What is wrong with a former name of a worker in a flow of it; empty where nothing is.
pub(super) const fn was(graph: &Graph, node: u32, number: usize) -> Text {
    let mut text = Text::new();
    let def = graph.worker(node);
    let Some((flow, name)) = former(graph, node, number) else { return text };
    if let Some(other) = graph.member(flow, name) {
        if other == node {
            text.push("worker ").name(name).push(" still has that name\nhelp: remove it from `was`");
        } else {
            let other = graph.worker(other);
            text.push("worker ").name(def.name).push(" was ").name(name).push(", but flow ").name(flow);
            text.push(" has a worker of that name\nhelp: remove it from `was`, or rename the other worker");
            text.push("\nnote: the other one is ").name(other.path).push(", in ").push(other.file);
        }
        return text;
    }
    let mut other = 0;
    while other < graph.nodes.len() as u32 {
        let theirs = graph.worker(other);
        let mut at = 0;
        while at < theirs.was.len() {
            let same = match former(graph, other, at) {
                Some((of, had)) => is(of, flow) && is(had, name),
                None => false,
            };
            let itself = other == node && at >= number;
            if same && !itself && !matches!(graph.nodes[other as usize].verdict, Verdict::Repeated) {
                text.name(name).push(" is a former name of worker ").name(theirs.name).push(", too");
                text.push("\nhelp: only one of them takes over what waits for it: remove it from the other");
                return text;
            }
            at += 1;
        }
        other += 1;
    }
    text
}

/// The flow and the name that a former name of a worker means in this flow of it, as the registry reads it.
const fn former(graph: &Graph, node: u32, number: usize) -> Option<(&'static str, &'static str)> {
    let (def, flow) = (graph.worker(node), graph.flow_name(node));
    let was = def.was[number];
    let mut at = 0;
    while at < was.len() {
        if was.as_bytes()[at] == b'/' {
            let (own, name) = (was.split_at(at).0, was.split_at(at + 1).1);
            return if def.flows.len() < 2 || is(own, flow) { Some((own, name)) } else { None };
        }
        at += 1;
    }
    // A plain queue worker is a flow of its own.
    Some((if def.flows.is_empty() { was } else { flow }, was))
}

/// Whether two texts are the same.
const fn is(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}

const fn plain(graph: &Graph, node: u32) -> Text {
    let def = graph.worker(node);
    let mut text = Text::new();
    text.push("worker ")
        .name(def.name)
        .push(" has no flow, so it is a flow of its own; but other workers are in");
    text.push(" flow ").name(def.name);
    text.push("\nhelp: rename the worker, or put it into that flow: `flow = \"").push(def.name).push("\"`");
    text
}

const fn no_entry(graph: &Graph, node: u32) -> Text {
    let (def, flow) = (graph.worker(node), graph.flow_name(node));
    let mut text = Text::new();
    text.push("flow ").name(flow).push(" has no entry");
    let mut near = Nearest::to(flow);
    let mut other = 0;
    while other < graph.nodes.len() as u32 {
        let info = graph.nodes[other as usize];
        if !matches!(info.verdict, Verdict::Repeated) && graph.flows[info.flow as usize].first == other {
            near.consider(graph.flow_name(other));
        }
        other += 1;
    }
    if let Some(near) = near.name() {
        text.push("\nhelp: did you mean flow ").name(near).push("?");
    } else if let Some(other) =
        emitter_elsewhere(graph, graph.nodes[node as usize].mentions + def.emits.len() as u32)
    {
        let at = graph.nodes[node as usize].mentions + def.emits.len() as u32;
        text.push("\nhelp: ").name(graph.event(at).name).push(" is emitted in flow ");
        text.name(graph.flow_name(other)).push(": did you mean that flow?");
    } else {
        text.push(
            "\nhelp: an entry is a worker without `subscribes`, `joins` and `gathers`: add one to this flow",
        );
    }
    text.push("\nnote: a run begins with the entry of its flow; without one no worker of the flow ever runs");
    text.push(": see docs/errors/no-entry.md");
    text
}

const fn unreached(graph: &Graph, node: u32) -> Text {
    let (def, flow) = (graph.worker(node), graph.flow_name(node));
    let mut text = Text::new();
    text.push("no entry of flow ").name(flow).push(" reaches worker ").name(def.name);
    text.push("\nhelp: let a worker that an entry reaches emit what this one waits for, or make it an entry");
    let mut at = graph.nodes[node as usize].mentions;
    let end = at + graph.mention_count(node);
    while at < end {
        if let Role::Subscribes | Role::Joins | Role::Gathers = graph.mentions[at as usize].role
            && let Some(emitter) = emitter(graph, at, true)
            && leads_to(graph, node, emitter)
        {
            text.push("\nnote: it waits for ").name(graph.event(at).name).push(", which ");
            if emitter == node {
                text.push("only it emits itself");
            } else {
                text.name(graph.worker(emitter).name).push(" emits, and that one waits for it in turn");
            }
            text.push(": see docs/errors/unreached.md");
            return text;
        }
        at += 1;
    }
    text
}

/// Whether the events of one worker come to another.
const fn leads_to(graph: &Graph, from: u32, to: u32) -> bool {
    // The search is bounded, because it only decides on a note and not on a verdict.
    let mut seen = [0u32; 64];
    seen[0] = from;
    let (mut len, mut done) = (1, 0);
    while done < len {
        if seen[done] == to {
            return true;
        }
        let mut at = 0;
        while at < graph.mentions.len() as u32 {
            if !matches!(graph.mentions[at as usize].role, Role::Emits | Role::Input)
                && is_emitted_by(graph, graph.mentions[at as usize].event, seen[done])
                && len < seen.len()
                && !contains(&seen, len, graph.mentions[at as usize].node)
            {
                seen[len] = graph.mentions[at as usize].node;
                len += 1;
            }
            at += 1;
        }
        done += 1;
    }
    false
}

const fn contains(list: &[u32], len: usize, wanted: u32) -> bool {
    let mut at = 0;
    while at < len {
        if list[at] == wanted {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_emitted_by(graph: &Graph, event: u32, node: u32) -> bool {
    let mut at = graph.nodes[node as usize].mentions;
    let end = at + graph.worker(node).emits.len() as u32;
    while at < end {
        if graph.mentions[at as usize].event == event {
            return true;
        }
        at += 1;
    }
    false
}

/// A worker that emits the event of a mention: in its flow, or else in another.
const fn emitter(graph: &Graph, at: u32, in_flow: bool) -> Option<u32> {
    let wanted = graph.event(at).key;
    let event = graph.mentions[at as usize].event;
    let mut node = 0;
    while node < graph.nodes.len() as u32 {
        if !matches!(graph.nodes[node as usize].verdict, Verdict::Repeated) {
            let mut other = graph.nodes[node as usize].mentions;
            let end = other + graph.worker(node).emits.len() as u32;
            while other < end {
                let here = graph.mentions[other as usize].event == event;
                if if in_flow { here } else { !here && graph.event(other).key == wanted } {
                    return Some(node);
                }
                other += 1;
            }
        }
        node += 1;
    }
    None
}

const fn emitter_elsewhere(graph: &Graph, at: u32) -> Option<u32> {
    let node = graph.mentions[at as usize].node;
    let (first, count) = (graph.nodes[node as usize].mentions, graph.mention_count(node));
    if at < first + count && !matches!(graph.mentions[at as usize].role, Role::Input) {
        emitter(graph, at, false)
    } else {
        None
    }
}

const fn unmatched(graph: &Graph, at: u32) -> Text {
    let mention = graph.mentions[at as usize];
    let (def, flow) = (graph.worker(mention.node), graph.flow_name(mention.node));
    let event = graph.event(at);
    let elsewhere = emitter(graph, at, false);
    let mut text = Text::new();
    let entries = graph.flows[graph.nodes[mention.node as usize].flow as usize].entries;
    if entries == 0 && (elsewhere.is_some() || graph.doubtful) {
        // The flow is what is wrong, and that is said at the flow.
        return text;
    }
    text.push("worker ").name(def.name).push(verb(mention.role)).name(event.name);
    text.push(", but no worker of flow ").name(flow).push(" emits it");
    let mut near = Nearest::to(event.name);
    let mut known_type = false;
    let mut started = None;
    let mut node = 0;
    while node < graph.nodes.len() as u32 {
        let info = graph.nodes[node as usize];
        if info.flow == graph.nodes[mention.node as usize].flow && !matches!(info.verdict, Verdict::Repeated)
        {
            let mut other = info.mentions;
            while other < info.mentions + graph.mention_count(node) {
                let candidate = graph.event(other);
                match graph.mentions[other as usize].role {
                    Role::Emits => near.consider(candidate.name),
                    Role::Input if candidate.key == event.key => started = Some(node),
                    _ => {}
                }
                other += 1;
            }
        }
        node += 1;
    }
    if let Some(other) = elsewhere {
        known_type = true;
        text.push("\nhelp: worker ").name(graph.worker(other).name).push(" emits it in flow ");
        text.name(graph.flow_name(other)).push(": put one of them into the flow of the other");
        text.push("\nnote: an event stays in the flow of the run that emitted it");
    }
    if let Some(near) = near.name()
        && !known_type
    {
        text.push("\nhelp: did you mean ").name(near).push("?");
    } else if !known_type {
        text.push("\nhelp: declare it on the worker that emits it: `emits = [");
        push_type(&mut text, event.type_path, event.name);
        text.push("]`");
    }
    if let Some(node) = started {
        text.push("\nnote: runs start with it, at ").name(graph.worker(node).name);
        text.push("; what a run starts with is not emitted, only its entry gets it");
    }
    text
}

/// How to write an event in a list: a type by its last name, an untyped one as a string.
const fn push_type(text: &mut Text, path: Option<&'static str>, name: &'static str) {
    match path {
        Some(path) => {
            let bytes = path.as_bytes();
            let mut at = bytes.len();
            while at > 0 && bytes[at - 1] != b':' {
                at -= 1;
            }
            text.push(path.split_at(at).1);
        }
        None => {
            text.push("\"").push(name).push("\"");
        }
    }
}

const fn verb(role: Role) -> &'static str {
    match role {
        Role::Emits => " emits ",
        Role::Subscribes => " subscribes to ",
        Role::Joins => " joins ",
        Role::Gathers => " gathers ",
        Role::Input => " starts with ",
    }
}

const fn gather_cycle(graph: &Graph, at: u32) -> Text {
    let node = graph.mentions[at as usize].node;
    let (def, event) = (graph.worker(node), graph.event(at).name);
    let mut text = Text::new();
    text.push("worker ").name(def.name).push(" gathers ").name(event);
    text.push(", and what it emits leads to ").name(event).push(" again");
    text.push("\nhelp: gather an event that nothing after ")
        .name(def.name)
        .push(" emits, or subscribe to it");
    text.push(
        "\nnote: a gather runs when no step is left that could lead to its event; here it would be such a",
    );
    text.push(" step itself: see docs/errors/gather-cycle.md");
    text
}

const fn type_clash(graph: &Graph, at: u32) -> Text {
    let event = graph.event(at);
    let mut text = Text::new();
    text.push("two event types have the name ").name(event.name);
    if let Some(owner) = graph.owner(event)
        && let Some(first) = graph.event(owner).type_path
        && let Some(second) = event.type_path
    {
        text.push(": ").name(first).push(" and ").name(second);
    }
    text.push("\nhelp: give one of them a name of its own: `#[nq::event(name = \"…\")]`");
    text
}

const fn twice(graph: &Graph, at: u32) -> Text {
    let mut text = Text::new();
    let def = graph.worker(graph.mentions[at as usize].node);
    text.push("worker ").name(def.name).push(" has the event ").name(graph.event(at).name).push(" twice");
    text.push("\nhelp: remove one of the two");
    text
}
