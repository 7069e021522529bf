//! The parts of the namespace: where the keys of each lie, and how it is reached.

use std::sync::Arc;

use nq_core::id::{QueueName, RunId};

use super::link::Link;

/// A clock: milliseconds since 1970.
pub(super) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The part of the namespace that some of the runs are in; all of them, where there is one part.
#[derive(Clone)]
pub(super) struct Partition {
    /// What its keys begin with.
    pub(super) prefix: String,
    /// A key that routes to it.
    pub(super) meta: String,
    /// What tells these data from those that someone put in their place.
    pub(super) epoch: String,
    /// The clock of a test, in place of the server's.
    pub(super) clock: Option<Clock>,
    /// For turns and ticks; it lives with the engine that takes them.
    pub(super) turns: Arc<Link>,
    /// For everything else that does not block.
    pub(super) calls: Arc<Link>,
}

impl Partition {
    pub(super) fn run(&self, run: &RunId) -> String {
        format!("{}run:{run}", self.prefix)
    }

    pub(super) fn jobs(&self, run: &RunId) -> String {
        format!("{}jobs:{run}", self.prefix)
    }

    pub(super) fn timeline(&self, run: &RunId) -> String {
        format!("{}flow:{run}", self.prefix)
    }

    pub(super) fn queue(&self, queue: &QueueName) -> String {
        format!("{}queue:{queue}", self.prefix)
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
