//! Texts about attempts: their log lines, and the error of an attempt whose instance died.

use std::fmt::Display;

use serde_json::{Map, Value};

use crate::entry::EntryType;
use crate::entry::data::Log;
use crate::id::{InstanceId, RunId, StepId};
use crate::transaction::LogLine;

/// One attempt of a step, as far as its decisions depend on it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// The fencing token of its lease.
    pub fence: u64,
    /// Its number, from 1.
    pub number: u32,
    /// How many attempts have failed before it.
    pub failures: u32,
    /// The idempotency key of the step.
    pub key: String,
}

/// Makes a log line of a step.
pub fn log(attempt: &Attempt, kind: EntryType, message: String, fields: Map<String, Value>) -> LogLine {
    let entry = Log { message, fields }.at(kind);
    LogLine { step: attempt.step.clone(), attempt: attempt.number, entry }
}

/// The error of an attempt whose instance died.
pub fn lost(instance: &InstanceId) -> String {
    format!("instance `{instance}` stopped without finishing it")
}

/// The same where the job was lost for the last time: so often that it is a dead letter.
pub fn lost_again(why: &str, crashes: impl Display) -> String {
    format!("{why}, for the {crashes}. time: it seems to take its process down")
}
