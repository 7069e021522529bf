//! Decides what a run begins with.

use serde_json::Value;

use crate::entry::NewEntry;
use crate::entry::data::FlowStarted;
use crate::id::RunId;
use crate::registry::{Flow, FlowStep};
use crate::transaction::Start;

/// The trigger of a run that a program starts.
const MANUAL: &str = "manual";

/// Decides the beginning of a run with this entry worker and input.
pub fn start(flow: &Flow, entry: &FlowStep, run: RunId, input: Value, registry_hash: &str) -> Start {
    let event = entry.worker.input.clone().unwrap_or_default();
    let registry_hash = registry_hash.to_owned();
    let started = FlowStarted { event, input, trigger: MANUAL.into(), registry_hash, rerun_of: None };
    Start {
        run,
        flow: flow.name.clone(),
        started: NewEntry::of(started),
        gathers: flow.gathers(|gather| entry.spec.holds.contains(gather)),
        job: entry.spec.clone(),
        fork: None,
    }
}
