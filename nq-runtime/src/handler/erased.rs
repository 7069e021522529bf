//! The erased handler of a worker: what `#[worker]` submits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use nq_core::def::{EventDef, WorkerDef};
use serde_json::Value;

use crate::data::{MissingData, Provided};
use crate::error::Error;
use crate::step::Step;

/// What a handler returns, boxed.
pub type Called = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;

/// Asks a parameter whether the program provides what it will need.
pub type Need = fn(&Provided) -> Result<(), MissingData>;

/// A worker's handler, as the running program sees it.
pub struct Handler {
    /// The worker's definition, from its attribute.
    pub def: &'static WorkerDef,
    /// The typed events that the worker names: a type may stand here twice.
    pub events: &'static [EventDef],
    /// Makes the parameters from the step, runs the worker, and turns what it returns into JSON.
    pub call: &'static (dyn Fn(Step) -> Called + Send + Sync),
    /// For each parameter: whether the program provides what it will need.
    pub needs: &'static [Need],
}
inventory::collect!(Handler);

impl Handler {
    /// Asks each parameter whether the program provides what it will need.
    pub fn check(&self, provided: &Provided) -> Result<(), MissingData> {
        self.needs.iter().try_for_each(|need| need(provided))
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("worker", &self.def.path).finish_non_exhaustive()
    }
}
