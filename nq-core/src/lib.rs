//! What nq decides: its vocabulary as types, the folds over entries, the wiring of flows, and what a
//! finished step causes. Nothing here waits, reads a clock, draws a random number or touches a disk:
//! time and ids are arguments.

pub mod def;
