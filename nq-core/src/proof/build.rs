//! The graph of a registry, made and judged in one go.

use super::graph::Plan;
use super::reach;
use crate::def::WorkerDef;

impl<const PLACES: usize, const NODES: usize, const MENTIONS: usize> Plan<PLACES, NODES, MENTIONS> {
    /// Wires these workers and judges them. The graph of a library is `open`: what is missing in it may be in
    /// the program that includes it.
    pub const fn build(workers: &'static [&'static WorkerDef], open: bool) -> Self {
        let mut plan = Self::wired(workers, open);
        reach::judge(&mut plan, open);
        plan
    }
}
