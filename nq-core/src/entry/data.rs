//! The data of entries: a struct for each type of entry. Only these structs have the names of the fields in the timeline,
//! so all code that writes or reads the data of an entry uses them.

use std::collections::BTreeMap;
use std::mem::take;

use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::change::Change;
use super::{Entry, EntryType, NewEntry};
use crate::id::{EntryId, InstanceId, Name, RunId};

/// The data of an entry of some type. It is written with its own fields. When it is read, other fields may stand beside
/// them, which a later version has added.
pub trait EntryData: Serialize + DeserializeOwned {
    /// The field that holds a value of the program; none if it is empty.
    const PAYLOAD: &'static str = "";

    /// Whether entries of this type say it.
    fn is_of(kind: &EntryType) -> bool;

    /// The value of the program that [`Self::PAYLOAD`] names. It may be large, and is moved instead of copied.
    fn payload(&mut self) -> Option<&mut Value> {
        None
    }

    /// The payload in what is written.
    fn payload_of(data: &Value) -> Option<&Value> {
        data.get(Self::PAYLOAD)
    }

    /// Writes it as JSON.
    fn into_json(mut self) -> Value {
        let payload = self.payload().map(Value::take).filter(|payload| !payload.is_null());
        let mut data = written(&self);
        if let Some(payload) = payload {
            data[Self::PAYLOAD] = payload;
        }
        data
    }

    /// Reads it from JSON.
    fn from_json(mut data: Value) -> Result<Self, serde_json::Error> {
        let payload = data.get_mut(Self::PAYLOAD).map(Value::take);
        let mut said: Self = serde_json::from_value(data)?;
        if let (Some(field), Some(payload)) = (said.payload(), payload) {
            *field = payload;
        }
        Ok(said)
    }
}

/// What the entries of exactly one type say.
pub trait Typed: EntryData {
    /// The type.
    const TYPE: EntryType;
}

/// The data of an entry cannot be read as the type that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Entries of this type say something else.
    #[error("an entry of type `{0}` says something else")]
    OtherType(EntryType),
    /// The data does not have the form that the type has.
    #[error("the data of an entry of type `{kind}` is damaged: {why}")]
    Damaged {
        /// The type of the entry.
        kind: EntryType,
        /// What does not fit.
        why: serde_json::Error,
    },
}

impl Entry {
    /// What the entry says.
    ///
    /// ```
    /// use nq_core::entry::{Entry, EntryType, data::StepFailed};
    /// use nq_core::id::EntryId;
    ///
    /// let data = serde_json::json!({ "error": "no such card" });
    /// let entry = Entry { id: EntryId { ms: 9, n: 2 }, kind: EntryType::StepFailed, step: None, attempt: None, data };
    /// assert_eq!(entry.says::<StepFailed>()?.error, "no such card");
    /// # Ok::<(), nq_core::entry::data::DataError>(())
    /// ```
    pub fn says<D: EntryData>(&self) -> Result<D, DataError> {
        if !D::is_of(&self.kind) {
            return Err(DataError::OtherType(self.kind.clone()));
        }
        D::deserialize(&self.data).map_err(|why| DataError::Damaged { kind: self.kind.clone(), why })
    }

    /// What the entry says, with its payload moved instead of copied.
    pub fn into_said<D: EntryData>(self) -> Result<D, DataError> {
        if !D::is_of(&self.kind) {
            return Err(DataError::OtherType(self.kind));
        }
        D::from_json(self.data).map_err(|why| DataError::Damaged { kind: self.kind, why })
    }
}

impl NewEntry {
    /// The entry that says this.
    ///
    /// ```
    /// use nq_core::entry::{NewEntry, data::StepFailed};
    ///
    /// let entry = NewEntry::of(StepFailed { error: "no such card".into() });
    /// assert_eq!(entry.kind.as_str(), "flow.step.failed");
    /// assert_eq!(entry.data, serde_json::json!({ "error": "no such card" }));
    /// ```
    pub fn of<D: Typed>(data: D) -> Self {
        Self::new(D::TYPE, data.into_json())
    }
}

/// Writes data without a payload, or data from which the payload was taken out.
fn written(data: &impl Serialize) -> Value {
    // These are texts, numbers, and lists and maps of them, which are all JSON.
    serde_json::to_value(data).unwrap_or_default()
}

/// The names of the fields of a struct, for code that writes its JSON in another language. Empty if the struct flattens
/// the fields of another into its own.
///
/// ```
/// use nq_core::entry::data::{FlowFailed, fields};
///
/// assert_eq!(fields::<FlowFailed>(), ["durationMs", "error", "failedStep"]);
/// ```
pub fn fields<D: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &[&str] = &[];
    // serde passes the names before it asks for any value, and then this reads none.
    let _ = D::deserialize(Fields(&mut fields));
    fields
}

struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only the names of the fields are asked for"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The type of entry that has the name of the struct, and the field with its payload.
macro_rules! says {
    ($($data:ident $($payload:ident)?,)*) => { $(
        impl EntryData for $data {
            $(
                const PAYLOAD: &'static str = stringify!($payload);

                fn payload(&mut self) -> Option<&mut Value> {
                    Some(&mut self.$payload)
                }
            )?

            fn is_of(kind: &EntryType) -> bool {
                *kind == EntryType::$data
            }
        }

        impl Typed for $data {
            const TYPE: EntryType = EntryType::$data;
        }
    )* };
}

says! {
    FlowStarted input,
    FlowCompleted,
    FlowFailed,
    FlowCancelled,
    FlowStalled,
    StepStarted,
    StepCompleted result,
    StepFailed,
    StepRetrying,
    StepEffect result,
    EventEmitted payload,
    StateSet value,
    StateDelete,
}

/// A run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowStarted {
    /// The event that the run begins with.
    pub event: String,
    /// Its payload, which the entry step runs on.
    pub input: Value,
    /// What started it: `manual`, which is a program.
    #[serde(default)]
    pub trigger: String,
    /// The fingerprint of the wiring by which it began.
    #[serde(default)]
    pub registry_hash: String,
    /// The run that this one goes on from, if it is a rerun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<RunId>,
}

/// Every step of the run is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowCompleted {
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
    /// The events that waited at joins for a partner which never came; of many, the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpaired: Vec<Unpaired>,
}

/// An event that waited at a join for a partner which never came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unpaired {
    /// The joining worker.
    pub step_name: Name,
    /// The entry of the event.
    pub event: EntryId,
}

/// A step failed for good and took the run with it, or the run cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowFailed {
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
    /// Why.
    pub error: String,
    /// The worker of the step; none where it is not known which step cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<Name>,
}

/// The run was ended from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowCancelled {
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
    /// Why it was ended.
    pub reason: String,
}

/// The run can make no progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowStalled {
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
    /// Why it makes no progress.
    pub reason: String,
}

/// An attempt began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStarted {
    /// The process that runs it.
    pub instance: InstanceId,
}

/// The step is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepCompleted {
    /// What the handler returned. A handler that returned `null` says nothing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

/// The step is dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailed {
    /// Why.
    pub error: String,
}

/// The attempt ended without finishing the step, and another follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRetrying {
    /// Why the attempt failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why another attempt follows, where that is not an error: `redriven`, `rerun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of the attempt that follows.
    pub next_attempt: u32,
    /// How long it waits, in milliseconds.
    pub delay_ms: u64,
}

/// The recorded outcome of an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepEffect {
    /// The name of the operation.
    pub name: String,
    /// Its position among the operations of the step.
    pub op: String,
    /// What a later attempt gets instead of doing it again.
    pub result: Value,
}

/// A worker emitted an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventEmitted {
    /// The event's name.
    pub name: String,
    /// Its payload.
    pub payload: Value,
    /// The position of the operation among those of the step.
    pub op: String,
    /// The workers that it goes to.
    #[serde(default)]
    pub to: Vec<Name>,
}

/// A key of the state was set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateSet {
    /// The key.
    pub key: String,
    /// What it is set to.
    pub value: Value,
    /// The position of the operation among those of the step.
    #[serde(default)]
    pub op: String,
}

/// A key of the state was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDelete {
    /// The key.
    pub key: String,
    /// The position of the operation among those of the step.
    #[serde(default)]
    pub op: String,
}

/// Several changes of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateBatch {
    /// The changes, in the order in which they were made. One that cannot be read is left out.
    #[serde(deserialize_with = "readable")]
    pub operations: Vec<StateOperation>,
}

/// One change of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateOperation {
    /// What it does.
    #[serde(flatten)]
    pub change: Change,
    /// The position of the operation among those of the step.
    #[serde(default)]
    pub op: String,
}

fn readable<'de, D: Deserializer<'de>>(operations: D) -> Result<Vec<StateOperation>, D::Error> {
    let operations = Vec::<Value>::deserialize(operations)?;
    Ok(operations.into_iter().filter_map(|operation| serde_json::from_value(operation).ok()).collect())
}

impl StateOperation {
    fn into_json(mut self) -> Value {
        let value = match &mut self.change {
            Change::Set { value, .. } => value.take(),
            Change::Delete { .. } | Change::Incr { .. } => Value::Null,
        };
        let mut data = written(&self);
        if !value.is_null() {
            data["value"] = value;
        }
        data
    }
}

impl EntryData for StateBatch {
    fn is_of(kind: &EntryType) -> bool {
        *kind == EntryType::StateBatch
    }

    fn into_json(mut self) -> Value {
        let operations = take(&mut self.operations).into_iter().map(StateOperation::into_json).collect();
        let mut data = written(&self);
        data["operations"] = operations;
        data
    }
}

impl Typed for StateBatch {
    const TYPE: EntryType = EntryType::StateBatch;
}

/// The whole state as of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateSnapshot {
    /// The position of the last entry that the state takes in.
    pub as_of: u64,
    /// The keys and their values.
    pub state: BTreeMap<String, Value>,
}

impl EntryData for StateSnapshot {
    fn is_of(kind: &EntryType) -> bool {
        *kind == EntryType::StateSnapshot
    }

    fn into_json(mut self) -> Value {
        let state = take(&mut self.state);
        let mut data = written(&self);
        data["state"] = Value::Object(state.into_iter().collect());
        data
    }
}

impl Typed for StateSnapshot {
    const TYPE: EntryType = EntryType::StateSnapshot;
}

/// A log line, of whichever level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// What it says.
    pub message: String,
    /// What it says besides, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

impl Log {
    /// A line without fields.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), fields: Map::new() }
    }

    /// The entry that says it, of one of the types `log.*`.
    pub fn at(self, level: EntryType) -> NewEntry {
        NewEntry::new(level, self.into_json())
    }
}

impl EntryData for Log {
    fn is_of(kind: &EntryType) -> bool {
        kind.is_log()
    }

    fn into_json(mut self) -> Value {
        let fields = take(&mut self.fields);
        let mut data = written(&self);
        if !fields.is_empty() {
            data["fields"] = Value::Object(fields);
        }
        data
    }
}

#[cfg(test)]
mod tests;
