//! The status fold: where a run and each of its steps stand, from the entries alone.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entry::data::{StepCompleted, StepFailed, StepRetrying};
use crate::entry::{Entry, EntryType};
use crate::id::{EntryId, StepId};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Steps are pending.
    Running,
    /// Every step is done.
    Completed,
    /// A step failed for good.
    Failed,
    /// It was ended from outside.
    Cancelled,
    /// It can make no progress.
    Stalled,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Stalled];

    /// Its name. See [`parse`](Self::parse) for an example.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Stalled => "stalled",
        }
    }

    /// Whether nothing but log lines can follow. See [`parse`](Self::parse) for an example.
    pub fn is_terminal(self) -> bool {
        self != Self::Running
    }

    /// The status with this name.
    ///
    /// ```
    /// use nq_core::status::RunStatus;
    ///
    /// let status = RunStatus::parse("failed").unwrap();
    /// assert!(status.is_terminal());
    /// assert_eq!(status.as_str(), "failed");
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The status of a run after an entry of this type; none if the type does not change it.
    ///
    /// ```
    /// use nq_core::entry::EntryType;
    /// use nq_core::status::RunStatus;
    ///
    /// assert_eq!(RunStatus::after(&EntryType::FlowStalled), Some(RunStatus::Stalled));
    /// assert_eq!(RunStatus::after(&EntryType::StepFailed), None);
    /// ```
    pub fn after(kind: &EntryType) -> Option<Self> {
        match kind {
            EntryType::FlowStarted => Some(Self::Running),
            EntryType::FlowCompleted => Some(Self::Completed),
            EntryType::FlowFailed => Some(Self::Failed),
            EntryType::FlowCancelled => Some(Self::Cancelled),
            EntryType::FlowStalled => Some(Self::Stalled),
            _ => None,
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    /// An attempt runs.
    Running,
    /// An attempt failed and another follows.
    Retrying,
    /// It waits for something outside.
    Paused,
    /// It is done.
    Completed,
    /// It is dead.
    Failed,
    /// Its run ended before it did.
    Dropped,
}

/// One step, as its entries tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// Where it stands.
    pub status: StepStatus,
    /// The last attempt.
    pub attempt: u32,
    /// When its first attempt began.
    pub started: EntryId,
    /// The entry that ended it.
    pub ended: Option<EntryId>,
    /// What it returned, or why it failed.
    pub outcome: Value,
}

/// One run, as its entries tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Where it stands; none before its first entry.
    pub status: Option<RunStatus>,
    /// Its steps.
    pub steps: BTreeMap<StepId, StepView>,
}

impl RunView {
    /// Applies the next entry. An entry that makes no sense here changes nothing. See [`of`](Self::of) for an example.
    pub fn fold(&mut self, entry: &Entry) {
        if let Some(status) = RunStatus::after(&entry.kind) {
            self.status = Some(status);
            if status.is_terminal() {
                for step in self.steps.values_mut().filter(|step| step.ended.is_none()) {
                    step.status = StepStatus::Dropped;
                    step.ended = Some(entry.id);
                }
            }
            return;
        }
        let Some(id) = &entry.step else { return };
        let status = match entry.kind {
            EntryType::StepStarted | EntryType::StepResumed => StepStatus::Running,
            EntryType::StepRetrying => StepStatus::Retrying,
            EntryType::StepPaused => StepStatus::Paused,
            EntryType::StepCompleted => StepStatus::Completed,
            EntryType::StepFailed | EntryType::StepTimedOut => StepStatus::Failed,
            _ => return,
        };
        let step = self.steps.entry(id.clone()).or_insert_with(|| StepView {
            status,
            attempt: 1,
            started: entry.id,
            ended: None,
            outcome: Value::Null,
        });
        step.status = status;
        step.attempt = entry.attempt.unwrap_or(step.attempt);
        step.outcome = outcome(entry).unwrap_or_default();
        step.ended = matches!(status, StepStatus::Completed | StepStatus::Failed).then_some(entry.id);
    }

    /// The view after all of these entries.
    ///
    /// ```
    /// use nq_core::entry::{Entry, EntryType};
    /// use nq_core::id::EntryId;
    /// use nq_core::status::{RunStatus, RunView};
    ///
    /// let id = EntryId { ms: 9, n: 1 };
    /// let began = Entry { id, kind: EntryType::FlowStarted, step: None, attempt: None, data: serde_json::json!({}) };
    /// let mut view = RunView::of([&began]);
    /// assert_eq!(view.status, Some(RunStatus::Running));
    /// view.fold(&Entry { id: id.next(12), kind: EntryType::FlowCancelled, ..began });
    /// assert_eq!(view.status, Some(RunStatus::Cancelled));
    /// ```
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut view = Self::default();
        entries.into_iter().for_each(|entry| view.fold(entry));
        view
    }
}

/// What the step returned, or why it failed.
fn outcome(entry: &Entry) -> Option<Value> {
    match entry.kind {
        EntryType::StepCompleted => Some(entry.says::<StepCompleted>().ok()?.result),
        EntryType::StepFailed => Some(entry.says::<StepFailed>().ok()?.error.into()),
        EntryType::StepRetrying => entry.says::<StepRetrying>().ok()?.error.map(Value::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(n: u64, kind: EntryType, step: Option<&str>, data: Value) -> Entry {
        let step = step.map(|step| step.parse().unwrap());
        Entry { id: EntryId { ms: n, n }, kind, step, attempt: Some(1), data }
    }

    #[test]
    fn a_terminal_entry_closes_the_steps_that_it_leaves_open() {
        let view = RunView::of(&[
            entry(1, EntryType::FlowStarted, None, json!({})),
            entry(2, EntryType::StepStarted, Some("a@1-1"), json!({})),
            entry(3, EntryType::StepStarted, Some("b@1-1"), json!({})),
            entry(4, EntryType::StepFailed, Some("b@1-1"), json!({ "error": "no" })),
            entry(5, EntryType::FlowFailed, None, json!({})),
        ]);
        assert_eq!(view.status, Some(RunStatus::Failed));
        let status = |id: &str| view.steps[&id.parse::<StepId>().unwrap()].status;
        assert_eq!(status("a@1-1"), StepStatus::Dropped);
        assert_eq!(status("b@1-1"), StepStatus::Failed);
    }

    #[test]
    fn an_unknown_entry_changes_nothing() {
        let mut view = RunView::of(&[entry(1, EntryType::FlowStarted, None, json!({}))]);
        let before = view.clone();
        view.fold(&entry(2, EntryType::Other("x".into()), Some("a@1-1"), json!({})));
        assert_eq!(view, before);
    }
}
