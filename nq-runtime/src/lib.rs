//! What nq does: the engine that leases, runs and commits, the stores, and the context of a step.

// A library leaves the terminal to its program.
#![warn(clippy::print_stdout, clippy::print_stderr)]
// Nor does it end its program for what a caller gave it; tests and examples may.
#![warn(clippy::unwrap_used)]

mod act;
pub mod ask;
pub mod client;
pub mod ctx;
pub mod data;
mod engine;
pub mod error;
pub mod extract;
mod folds;
pub mod handler;
mod ids;
mod lines;
mod link;
pub mod log;
pub mod open;
mod patience;
pub mod run;
mod starting;
pub mod state;
pub mod step;
pub mod store;
pub mod testing;
pub mod unserved;
