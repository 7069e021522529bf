//! What nq does: the engine that leases, runs and commits, the stores, and the context of a step.

pub mod client;
pub mod ctx;
pub mod data;
mod engine;
pub mod error;
pub mod extract;
pub mod handler;
mod ids;
pub mod log;
pub mod open;
pub mod run;
pub mod state;
pub mod step;
pub mod store;
mod testing;
