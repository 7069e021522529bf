//! The unit tests of the example `audit`: cargo builds examples, and runs no tests in them.

#![allow(dead_code, reason = "the tests call only parts of the program")]

#[path = "../examples/audit/flow.rs"]
mod flow;
#[path = "../examples/audit/lockfile.rs"]
mod lockfile;
#[path = "../examples/audit/measure.rs"]
mod measure;
#[path = "../examples/audit/report.rs"]
mod report;
#[path = "../examples/audit/runs.rs"]
mod runs;
#[path = "../examples/audit/source.rs"]
mod source;
#[path = "../examples/audit/timeline.rs"]
mod timeline;

nq::registry!();
