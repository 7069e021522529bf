//! Waits for the end of a run, and returns its results or why it did not complete.

use std::time::Duration;

use nq_core::entry::data::{DataError, EntryData, FlowCancelled, FlowFailed, FlowStalled, StepCompleted};
use nq_core::entry::{Entry, EntryType};
use nq_core::id::{RunId, StepId};
use nq_core::record::RunRecord;
use nq_core::status::RunStatus;
use nq_core::store::{ErrorKind, Interest, StoreError};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Run;
use crate::patience::{Pauses, Reader};

/// How long it waits for a hint before it asks for the status anyway.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A run did not complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A step failed for good.
    #[error("run `{run}` failed in step `{step}`: {error}")]
    Failed {
        /// The run.
        run: RunId,
        /// The worker whose step failed.
        step: String,
        /// What it said.
        error: String,
    },
    /// It was cancelled.
    #[error("run `{run}` was cancelled: {reason}")]
    Cancelled {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// It can make no progress.
    #[error("run `{run}` stalled: {reason}")]
    Stalled {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// The store could not be asked, or the run is gone.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Run {
    /// Returns when the run has ended: with the results of its steps if it completed, else with an error that says why
    /// not. If the store is away, this waits for it; if the run is gone, this is an error.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> nq::Result<()> {
    /// let receipt: Option<String> = run.completed().await?.result()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn completed(&self) -> Result<Completed, RunError> {
        let interest = Interest::End { run: self.id.clone() };
        let mut pauses = Pauses::default();
        let summary = loop {
            // The hint may come early or for nothing; a store that is away is no reason to give up.
            let asked = match self.store.wait(&interest, LOOK_EVERY).await {
                Ok(()) => self.summary().await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(summary) if summary.status.is_terminal() => break summary,
                Ok(_) => pauses = Pauses::default(),
                Err(error) if error.is_retryable() => pauses.pause().await,
                Err(error) => return Err(error.into()),
            }
        };
        let types = match summary.status {
            RunStatus::Completed => vec![EntryType::StepCompleted, EntryType::FlowCompleted],
            _ => vec![EntryType::FlowFailed, EntryType::FlowCancelled, EntryType::FlowStalled],
        };
        // Only log lines follow the terminal entry, so all results stand before it.
        let reader = Reader::Patient(&*self.store);
        let mut entries = self.entries_until(reader, types, |entry| entry.kind.is_terminal()).await?;
        let Some(terminal) = entries.pop_if(|entry| entry.kind.is_terminal()) else {
            // The store said that the run had ended, but its terminal entry is missing: the store was set back.
            let seen = format!("that the run is {}", summary.status);
            let last = self.summary().await?.last;
            return Err(StoreError::lost("read", &self.id, seen, last).into());
        };
        if terminal.kind == EntryType::FlowCompleted {
            return Ok(Completed { summary, entries });
        }
        Err(self.why_not(terminal).unwrap_or_else(|damaged| {
            StoreError::new(ErrorKind::Corrupt, "read", damaged.to_string()).with_key(&self.id).into()
        }))
    }

    /// The error of a run that did not complete, from its terminal entry.
    fn why_not(&self, terminal: Entry) -> Result<RunError, DataError> {
        let run = self.id.clone();
        Ok(match terminal.kind {
            EntryType::FlowFailed => {
                let FlowFailed { error, failed_step, .. } = terminal.into_said()?;
                RunError::Failed {
                    run,
                    step: failed_step.map_or_else(String::new, |worker| worker.to_string()),
                    error,
                }
            }
            EntryType::FlowCancelled => {
                RunError::Cancelled { run, reason: terminal.into_said::<FlowCancelled>()?.reason }
            }
            _ => RunError::Stalled { run, reason: terminal.into_said::<FlowStalled>()?.reason },
        })
    }
}

/// What a step returned is not of the type that is asked for.
#[derive(Debug, thiserror::Error)]
#[error("the result of step `{step}` cannot be read as `{type_name}`")]
#[non_exhaustive]
pub struct ResultError {
    /// The step.
    pub step: StepId,
    /// The type that was asked for.
    pub type_name: &'static str,
    /// What does not fit.
    pub source: serde_json::Error,
}

/// A run that completed.
#[derive(Clone, Debug)]
pub struct Completed {
    /// Its flow and times.
    pub summary: RunRecord,
    /// The `flow.step.completed` entries, in order.
    entries: Vec<Entry>,
}

impl Completed {
    /// The result of the run: that of the last step that returned something. For a flow that ends in one step, that is the
    /// result of this step. None if no step returned anything.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> nq::Result<()> {
    /// let completed = run.completed().await?;
    /// let last: Option<String> = completed.result()?;
    /// let charged: Option<u64> = completed.result_of("charge")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn result<T: DeserializeOwned>(&self) -> Result<Option<T>, ResultError> {
        self.find(|_| true)
    }

    /// The result of a worker's step, or of the last one if it had several. See [`result`](Self::result) for an example.
    pub fn result_of<T: DeserializeOwned>(&self, worker: &str) -> Result<Option<T>, ResultError> {
        self.find(|step| step.worker().as_str() == worker)
    }

    fn find<T: DeserializeOwned>(&self, of: impl Fn(&StepId) -> bool) -> Result<Option<T>, ResultError> {
        let results = self.entries.iter().rev().filter_map(|entry| {
            let step = entry.step.as_ref().filter(|step| of(step))?;
            Some((step, StepCompleted::payload_of(&entry.data)?.clone()))
        });
        let read = |(step, value): (&StepId, Value)| {
            serde_json::from_value(value).map_err(|source| ResultError {
                step: step.clone(),
                type_name: std::any::type_name::<T>(),
                source,
            })
        };
        { results }.next().map(read).transpose()
    }
}
