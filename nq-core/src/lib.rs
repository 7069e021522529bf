//! Everything that nq decides: its vocabulary as types, the folds over entries, the wiring of flows, and what a finished
//! step causes. Nothing here waits, reads a clock, draws a random number or touches a disk: time and ids are arguments.

// A library must not print: the terminal belongs to the program.
#![warn(clippy::print_stdout, clippy::print_stderr)]
// A library must not panic because of an argument; tests and examples may.
#![warn(clippy::unwrap_used)]

pub mod bounds;
#[doc(hidden)]
pub mod bucket;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod decide;
pub mod def;
pub mod entry;
pub mod export;
pub mod fork;
#[doc(hidden)]
pub mod generic;
pub mod id;
mod job_state;
#[doc(hidden)]
pub mod keys;
pub mod ledger;
pub mod limits;
pub mod more;
mod pairing;
#[doc(hidden)]
pub mod proof;
pub mod record;
pub mod registry;
pub mod retry;
pub mod spec;
pub mod state;
pub mod status;
pub mod store;
pub mod transaction;
pub mod value;
