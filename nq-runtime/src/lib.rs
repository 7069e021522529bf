//! What nq does: the engine that leases, runs and commits, the stores, and the context of a step.

pub mod store;
