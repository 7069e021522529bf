//! The registry as a document that other programs read: JSON of a fixed shape, graphs of the flows, a check for
//! suspicious things, and a comparison that says what a change means for runs in flight.

mod check;
mod diff;
mod document;
mod draw;
mod graph;
mod schema;
#[cfg(test)]
mod tests;

pub use check::{Finding, RULES, check};
pub use diff::{Change, Effect, diff};
pub use document::{Consumer, DocumentError, Event, Flow, JSON_SCHEMA, RegistryDocument, Step, VERSION};
pub use draw::{dot, mermaid};
pub use schema::ranges;

pub use crate::registry::{Role, Worker};
