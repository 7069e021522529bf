//! Includes a crate that has no registry.

nq::registry!(include = [serde]);

fn main() {}
