//! The flows as pictures: Graphviz DOT and Mermaid. Workers are the nodes, events are on the edges; joins are
//! dotted, gathers are thick.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::document::RegistryDocument;
use crate::registry::{Role, Worker};

/// A flow, ready to be drawn.
struct Drawing<'a> {
    flow: &'a str,
    nodes: Vec<Node<'a>>,
    edges: Vec<Edge>,
}

struct Node<'a> {
    id: String,
    label: String,
    shape: Shape,
    worker: Option<&'a Worker>,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// The event that starts an entry.
    Start,
    /// An event that nobody takes.
    Loose,
    Entry,
    Step,
    Join,
    Gather,
}

struct Edge {
    from: String,
    to: String,
    label: String,
    role: Role,
}

/// Makes ids that are plain words, each of them once.
#[derive(Default)]
struct Ids(BTreeSet<String>);

impl Ids {
    /// Makes an id. It begins with the flow's name, so that no id is a keyword of a graph language.
    fn make(&mut self, flow: &str, name: &str) -> String {
        let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let base = format!("{}_{}", plain(flow), plain(name));
        let tries = std::iter::once(base.clone()).chain((2..).map(|n| format!("{base}_{n}")));
        tries.into_iter().find(|id| self.0.insert(id.clone())).unwrap_or(base)
    }
}

fn draw(document: &RegistryDocument) -> Vec<Drawing<'_>> {
    let mut ids = Ids::default();
    let mut drawings = Vec::new();
    for (flow, wired) in &document.flows {
        let members: Vec<_> = document.members(wired).map(|(_, worker)| worker).collect();
        let mut nodes: Vec<_> =
            members.iter().map(|worker| node(ids.make(flow, &worker.name), worker)).collect();
        let id_of: BTreeMap<&str, String> = members
            .iter()
            .zip(&nodes)
            .map(|(worker, node)| (worker.name.as_str(), node.id.clone()))
            .collect();
        // Several events between the same two workers share an edge.
        let mut edges: BTreeMap<(String, String, Role), BTreeSet<&str>> = BTreeMap::new();
        for worker in &members {
            let own = &id_of[worker.name.as_str()];
            if let Some(input) = &worker.input {
                let start = ids.make(flow, "start");
                edges.entry((start.clone(), own.clone(), Role::Subscribes)).or_default().insert(input);
                nodes.push(Node { id: start, label: String::new(), shape: Shape::Start, worker: None });
            }
            for event in &worker.emits {
                let takers: Vec<_> = document
                    .event_index
                    .get(event)
                    .into_iter()
                    .flatten()
                    .filter(|to| to.flow_id == *flow)
                    .collect();
                for taker in &takers {
                    let Some(to) = id_of.get(taker.step.as_str()) else { continue };
                    edges.entry((own.clone(), to.clone(), taker.role)).or_default().insert(event);
                }
                if takers.is_empty() {
                    let loose = ids.make(flow, "loose");
                    edges.entry((own.clone(), loose.clone(), Role::Subscribes)).or_default().insert(event);
                    nodes.push(Node { id: loose, label: String::new(), shape: Shape::Loose, worker: None });
                }
            }
        }
        let edges = edges.into_iter().map(|((from, to, role), events)| {
            let label = events.into_iter().collect::<Vec<_>>().join(", ");
            Edge { from, to, label, role }
        });
        drawings.push(Drawing { flow, nodes, edges: edges.collect() });
    }
    drawings
}

fn node(id: String, worker: &Worker) -> Node<'_> {
    let shape = match () {
        () if !worker.joins.is_empty() => Shape::Join,
        () if !worker.gathers.is_empty() => Shape::Gather,
        () if !worker.subscribes.is_empty() => Shape::Step,
        () => Shape::Entry,
    };
    let by = worker.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    Node { id, label: format!("{}{by}", worker.name), shape, worker: Some(worker) }
}

/// The flows as Graphviz DOT.
pub fn dot(document: &RegistryDocument) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out = String::from("digraph nq {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n");
    for (index, drawing) in draw(document).iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{index} {{\n    label={};", quote(drawing.flow));
        for node in &drawing.nodes {
            let shape = match node.shape {
                Shape::Start => "circle",
                Shape::Loose => "point",
                Shape::Entry => "oval",
                Shape::Step => "box",
                Shape::Join => "hexagon",
                Shape::Gather => "box3d",
            };
            let at = node.worker.map(|worker| format!("{}:{}", worker.file, worker.line));
            let tip = at.map(|at| format!(", tooltip={}", quote(&at))).unwrap_or_default();
            let _ = writeln!(out, "    {} [label={}, shape={shape}{tip}];", node.id, quote(&node.label));
        }
        for edge in &drawing.edges {
            let style = match edge.role {
                Role::Subscribes => "solid",
                Role::Joins => "dashed",
                Role::Gathers => "bold",
            };
            let label = quote(&edge.label);
            let _ = writeln!(out, "    {} -> {} [label={label}, style={style}];", edge.from, edge.to);
        }
        out.push_str("  }\n");
    }
    out.push_str("}\n");
    out
}

/// The flows as a Mermaid flowchart.
pub fn mermaid(document: &RegistryDocument) -> String {
    let quote = |text: &str| {
        let codes = [('#', "#35;"), ('"', "#quot;"), ('<', "#lt;"), ('>', "#gt;"), ('`', "#96;")];
        let escaped = text.chars().map(|c| {
            let code = codes.iter().find(|(from, _)| *from == c);
            code.map_or_else(|| c.to_string(), |(_, to)| (*to).to_owned())
        });
        format!("\"{}\"", escaped.collect::<String>())
    };
    let drawings = draw(document);
    let framed = drawings.len() > 1;
    let indent = if framed { "    " } else { "  " };
    let mut out = String::from("flowchart LR\n");
    for (index, drawing) in drawings.iter().enumerate() {
        if framed {
            let _ = writeln!(out, "  subgraph flow_{index} [{}]", quote(drawing.flow));
        }
        for node in &drawing.nodes {
            let label = quote(if node.label.is_empty() { " " } else { &node.label });
            let (open, close) = match node.shape {
                Shape::Start => ("((", "))"),
                Shape::Loose => ("(((", ")))"),
                Shape::Entry => ("([", "])"),
                Shape::Step => ("[", "]"),
                Shape::Join => ("{{", "}}"),
                Shape::Gather => ("[[", "]]"),
            };
            let _ = writeln!(out, "{indent}{}{open}{label}{close}", node.id);
        }
        for edge in &drawing.edges {
            let arrow = match edge.role {
                Role::Subscribes => "-->",
                Role::Joins => "-.->",
                Role::Gathers => "==>",
            };
            let _ = writeln!(out, "{indent}{} {arrow}|{}| {}", edge.from, quote(&edge.label), edge.to);
        }
        if framed {
            out.push_str("  end\n");
        }
    }
    out
}
