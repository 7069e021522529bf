//! The proof: `registry!` gathers the definitions of a crate's workers into one constant [`Graph`], and each
//! worker asks it, in constants of its own, whether it is wired. Everything here runs in rustc.
//!
//! Constant evaluation is slow (about a microsecond for a simple operation) and counts its steps. So one pass over the
//! graph computes all verdicts, with [keys](crate::keys) that the macros have mostly computed. A check reads its verdict,
//! and only a check that fails compares strings and writes a text.

mod build;
mod check;
mod graph;
mod options;
mod reach;
mod suggest;
mod table;
mod tell;
#[cfg(test)]
mod tests;
mod text;
mod workers;

pub use check::{flow, included, member, mention, root, waits, was};
pub use graph::{Graph, Plan, Registered};
pub use options::{at_least_one, duration, grows, pairs};
pub use workers::{Role, Size, concat, count};
