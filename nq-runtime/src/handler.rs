//! The erased handler of a worker.

use std::future::Future;
use std::pin::Pin;

use nq_core::def::{EventDef, WorkerDef};
use serde_json::Value;

use crate::data::{MissingData, Provided};
use crate::error::Error;
use crate::step::Step;

/// A worker's handler.
#[derive(Debug)]
pub struct Handler {
    /// What the attribute says.
    pub def: &'static WorkerDef,
    /// The events that it names.
    pub events: fn() -> Vec<EventDef>,
    /// Runs it.
    pub call: fn(Step) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>,
    /// Checks it.
    pub check: fn(&Provided) -> Result<(), MissingData>,
}
inventory::collect!(Handler);

/// Stand-in.
#[derive(Debug, thiserror::Error)]
#[error("stand-in")]
pub struct RegistryError;

/// Stand-in.
pub fn linked() -> Result<Vec<&'static Handler>, RegistryError> {
    Ok(inventory::iter::<Handler>.into_iter().collect())
}
