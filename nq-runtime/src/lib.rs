//! The part of nq that acts: the engine that leases, runs and commits, the stores, and the context of a step.

// A library must not print: the terminal belongs to the program.
#![warn(clippy::print_stdout, clippy::print_stderr)]
// A library must not panic because of an argument; tests and examples may.
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
