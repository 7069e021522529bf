//! The entries of a timeline: what readers see, and what a step is about to append.

mod change;
pub mod data;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub use self::change::Change;
use crate::id::{EntryId, RunId, StepId};

macro_rules! entry_types {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The type of an entry: what happened. Unknown types are kept and shown, and are never an error.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum EntryType {
            $($(#[$doc])* $variant,)*
            /// A type that this version does not know.
            Other(Box<str>),
        }

        impl EntryType {
            /// Every type that this version knows.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in the timeline. See [`parse`](Self::parse) for an example.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }

            /// The type with this name, or with a name that earlier designs used.
            ///
            /// ```
            /// use nq_core::entry::EntryType;
            ///
            /// assert_eq!(EntryType::parse("flow.failed"), EntryType::FlowFailed);
            /// assert_eq!(EntryType::FlowFailed.as_str(), "flow.failed");
            /// assert_eq!(EntryType::parse("from.the.future").as_str(), "from.the.future");
            /// ```
            pub fn parse(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    "flow.start" => Self::FlowStarted,
                    "step.started" => Self::StepStarted,
                    "step.completed" => Self::StepCompleted,
                    "step.failed" => Self::StepFailed,
                    "step.retry" => Self::StepRetrying,
                    "emit" => Self::EventEmitted,
                    "state" => Self::StateSet,
                    "log" => Self::LogInfo,
                    other => Self::Other(other.into()),
                }
            }
        }
    };
}

entry_types! {
    /// A run began: [`FlowStarted`](data::FlowStarted).
    FlowStarted = "flow.started",
    /// Every step of the run is done: [`FlowCompleted`](data::FlowCompleted).
    FlowCompleted = "flow.completed",
    /// A step failed for good and took the run with it: [`FlowFailed`](data::FlowFailed).
    FlowFailed = "flow.failed",
    /// The run was ended from outside: [`FlowCancelled`](data::FlowCancelled).
    FlowCancelled = "flow.cancelled",
    /// The run can make no progress: [`FlowStalled`](data::FlowStalled).
    FlowStalled = "flow.stalled",
    /// An attempt began: [`StepStarted`](data::StepStarted).
    StepStarted = "flow.step.started",
    /// The step is done: [`StepCompleted`](data::StepCompleted).
    StepCompleted = "flow.step.completed",
    /// The step is dead: [`StepFailed`](data::StepFailed).
    StepFailed = "flow.step.failed",
    /// Another attempt follows: [`StepRetrying`](data::StepRetrying).
    StepRetrying = "flow.step.retrying",
    /// The step waits for something outside.
    StepPaused = "flow.step.paused",
    /// What the step waited for has happened.
    StepResumed = "flow.step.resumed",
    /// The step waited in vain.
    StepTimedOut = "flow.step.timedOut",
    /// The recorded outcome of an operation: [`StepEffect`](data::StepEffect).
    StepEffect = "flow.step.effect",
    /// A worker emitted an event: [`EventEmitted`](data::EventEmitted).
    EventEmitted = "event.emitted",
    /// A key of the state was set: [`StateSet`](data::StateSet).
    StateSet = "state.set",
    /// A key of the state was removed: [`StateDelete`](data::StateDelete).
    StateDelete = "state.delete",
    /// Several changes of the state: [`StateBatch`](data::StateBatch).
    StateBatch = "state.batch",
    /// The whole state as of an entry: [`StateSnapshot`](data::StateSnapshot).
    StateSnapshot = "state.snapshot",
    /// A log line: [`Log`](data::Log).
    LogDebug = "log.debug",
    /// A log line: [`Log`](data::Log).
    LogInfo = "log.info",
    /// A log line: [`Log`](data::Log).
    LogWarn = "log.warn",
    /// A log line: [`Log`](data::Log).
    LogError = "log.error",
    /// Something outside happened: `name`, `payload`.
    TriggerFired = "trigger.fired",
    /// A step waits for something outside: `name`, `until`.
    TriggerAwaiting = "trigger.awaiting",
    /// What a step waited for did not happen: `name`.
    TriggerTimedOut = "trigger.timedOut",
    /// An instance came up with its workers.
    WorkerRegistered = "worker.registered",
    /// An instance lives.
    WorkerHeartbeat = "worker.heartbeat",
    /// An instance went.
    WorkerDeregistered = "worker.deregistered",
}

impl EntryType {
    /// Whether it ends a run: only log lines follow.
    ///
    /// ```
    /// use nq_core::entry::EntryType;
    ///
    /// assert!(EntryType::FlowCancelled.is_terminal());
    /// assert!(EntryType::StateSet.is_state() && EntryType::LogWarn.is_log());
    /// ```
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::FlowCompleted | Self::FlowFailed | Self::FlowCancelled | Self::FlowStalled)
    }

    /// Whether it changes the state. See [`is_terminal`](Self::is_terminal) for an example.
    pub fn is_state(&self) -> bool {
        matches!(self, Self::StateSet | Self::StateDelete | Self::StateBatch | Self::StateSnapshot)
    }

    /// Whether it is a log line, which may follow the end of a run. See [`is_terminal`](Self::is_terminal) for an example.
    pub fn is_log(&self) -> bool {
        matches!(self, Self::LogDebug | Self::LogInfo | Self::LogWarn | Self::LogError)
    }
}

impl fmt::Display for EntryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EntryType {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EntryType {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&Cow::<'_, str>::deserialize(d)?))
    }
}

/// A record in the timeline of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its id, assigned by the store.
    pub id: EntryId,
    /// What happened.
    pub kind: EntryType,
    /// The step that it is about.
    pub step: Option<StepId>,
    /// The attempt of that step, from 1.
    pub attempt: Option<u32>,
    /// What there is to say, by type.
    pub data: Value,
}

impl Entry {
    /// The entry as readers see it: `{ id, ts, type, runId, flowName, stepName?, stepId?, attempt?, data? }`.
    ///
    /// ```
    /// use nq_core::entry::{Entry, EntryType};
    /// use nq_core::id::{EntryId, RunId};
    ///
    /// let data = serde_json::json!({ "reason": "withdrawn" });
    /// let id = EntryId { ms: 9, n: 4 };
    /// let entry = Entry { id, kind: EntryType::FlowCancelled, step: None, attempt: None, data };
    /// let json = entry.to_json(&RunId::new("order-7").unwrap(), "order");
    /// assert_eq!((&json["id"], &json["runId"]), (&"9-4".into(), &"order-7".into()));
    /// ```
    pub fn to_json(&self, run: &RunId, flow: &str) -> Value {
        let mut map = self.fields();
        map.insert("runId".into(), run.as_str().into());
        map.insert("flowName".into(), flow.into());
        Value::Object(map)
    }

    /// What it says by itself.
    fn fields(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("id".into(), self.id.to_string().into());
        map.insert("ts".into(), self.id.ms.into());
        map.insert("type".into(), self.kind.as_str().into());
        if let Some(step) = &self.step {
            map.insert("stepName".into(), step.worker().as_str().into());
            map.insert("stepId".into(), step.to_string().into());
        }
        if let Some(attempt) = self.attempt {
            map.insert("attempt".into(), attempt.into());
        }
        if !self.data.is_null() {
            map.insert("data".into(), self.data.clone());
        }
        map
    }
}

/// As [`Entry::to_json`], without the run and the flow, which the entry does not know.
impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.fields().serialize(s)
    }
}

/// An entry that has no id yet: the store assigns it when it appends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewEntry {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EntryType,
    /// What there is to say, by type.
    pub data: Value,
}

impl NewEntry {
    /// An entry of this type that says this.
    pub fn new(kind: EntryType, data: Value) -> Self {
        Self { kind, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_as_it_is_written() {
        for kind in EntryType::KNOWN {
            assert_eq!(&EntryType::parse(kind.as_str()), kind);
        }
        assert_eq!(EntryType::parse("step.retry"), EntryType::StepRetrying);
        assert_eq!(EntryType::parse("from.the.future").as_str(), "from.the.future");
    }

    #[test]
    fn the_json_of_an_entry_has_the_documented_form() {
        let entry = Entry {
            id: EntryId { ms: 9, n: 2 },
            kind: EntryType::StepStarted,
            step: Some("charge@8-1".parse().unwrap()),
            attempt: Some(1),
            data: serde_json::json!({ "instance": "i" }),
        };
        let json = entry.to_json(&RunId::new("r").unwrap(), "order");
        assert_eq!(
            json.to_string(),
            r#"{"attempt":1,"data":{"instance":"i"},"flowName":"order","id":"9-2","runId":"r","stepId":"charge@8-1","stepName":"charge","ts":9,"type":"flow.step.started"}"#
        );
        assert_eq!(
            serde_json::to_value(&entry).unwrap(),
            serde_json::json!({
                "id": "9-2", "ts": 9, "type": "flow.step.started", "stepName": "charge", "stepId": "charge@8-1",
                "attempt": 1, "data": { "instance": "i" },
            })
        );
    }
}
