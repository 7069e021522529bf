//! The state fold: the user's key-value map, from the `state.*` entries of a timeline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entry::{Entry, EntryType};

/// One change of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Change {
    /// The key has this value from here on.
    Set {
        /// The key.
        key: String,
        /// The value.
        value: Value,
    },
    /// The key is gone from here on.
    Delete {
        /// The key.
        key: String,
    },
    /// The key's number grows by this; what is no integer counts as 0. Parallel steps count together with
    /// it: unlike a set, it does not depend on what the step has read.
    Incr {
        /// The key.
        key: String,
        /// How much.
        by: i64,
    },
}

impl Change {
    /// The key that it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Set { key, .. } | Self::Delete { key } | Self::Incr { key, .. } => key,
        }
    }
}

/// The state as of a position in a timeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The keys and their values.
    pub map: BTreeMap<String, Value>,
    /// The position of the last entry that was folded in.
    pub at: u64,
}

impl State {
    /// Applies one change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Set { key, value } => {
                self.map.insert(key.clone(), value.clone());
            }
            Change::Delete { key } => {
                self.map.remove(key);
            }
            Change::Incr { key, by } => {
                let before = self.map.get(key).and_then(Value::as_i64).unwrap_or_default();
                self.map.insert(key.clone(), before.saturating_add(*by).into());
            }
        }
    }

    /// Takes the next entry. Total: what it cannot read changes nothing. A snapshot is taken only by a state
    /// that is not past what the snapshot tells, so that folding on from it and folding all agree.
    pub fn fold(&mut self, entry: &Entry) {
        let data = &entry.data;
        match entry.kind {
            EntryType::StateSet | EntryType::StateDelete | EntryType::StateBatch => {
                for change in changes(entry) {
                    self.apply(&change);
                }
            }
            EntryType::StateSnapshot if self.at < snapshot_as_of(entry).unwrap_or_default() => {
                if let Some(map) = data.get("state").and_then(Value::as_object) {
                    self.map = map.clone().into_iter().collect();
                }
            }
            _ => {}
        }
        self.at = self.at.max(entry.id.n);
    }

    /// The state that a snapshot tells, as of the position that it tells it for.
    pub fn of_snapshot(entry: &Entry) -> Option<Self> {
        let map = entry.data.get("state")?.as_object()?.clone();
        Some(Self { map: map.into_iter().collect(), at: snapshot_as_of(entry)? })
    }

    /// The state after all of these, which are all entries of a run up to some position.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut state = Self::default();
        entries.into_iter().for_each(|entry| state.fold(entry));
        state
    }
}

fn snapshot_as_of(entry: &Entry) -> Option<u64> {
    (entry.kind == EntryType::StateSnapshot).then(|| entry.data.get("asOf")?.as_u64()).flatten()
}

/// The changes that an entry makes, with the position of the operation that made each, in order.
pub fn changes_with_op(entry: &Entry) -> Vec<(String, Change)> {
    let data = &entry.data;
    let one = |data: &Value, action: Option<&str>| -> Option<(String, Change)> {
        let mut data = data.clone();
        if let Some(action) = action {
            data["action"] = action.into();
        }
        let op = data.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some((op, serde_json::from_value(data).ok()?))
    };
    match entry.kind {
        EntryType::StateSet => one(data, Some("set")).into_iter().collect(),
        EntryType::StateDelete => one(data, Some("delete")).into_iter().collect(),
        EntryType::StateBatch => {
            let operations = data.get("operations").and_then(Value::as_array);
            operations.into_iter().flatten().filter_map(|data| one(data, None)).collect()
        }
        _ => Vec::new(),
    }
}

/// The changes that an entry makes, in order.
pub fn changes(entry: &Entry) -> Vec<Change> {
    changes_with_op(entry).into_iter().map(|(_, change)| change).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::EntryId;

    fn entry(n: u64, kind: EntryType, data: Value) -> Entry {
        Entry { id: EntryId { ms: n, n }, kind, step: None, attempt: None, data }
    }

    fn timeline() -> Vec<Entry> {
        vec![
            entry(1, EntryType::FlowStarted, json!({})),
            entry(2, EntryType::StateSet, json!({ "key": "a", "value": 1, "op": "1" })),
            entry(
                3,
                EntryType::StateBatch,
                json!({ "operations": [
                    { "action": "incr", "key": "a", "by": 2, "op": "1" },
                    { "action": "set", "key": "b", "value": [true], "op": "2" },
                ] }),
            ),
            entry(4, EntryType::StateDelete, json!({ "key": "b", "op": "3" })),
            entry(5, EntryType::StateSet, json!({ "key": "c", "value": null, "op": "1" })),
        ]
    }

    #[test]
    fn the_state_at_each_position_is_the_fold_up_to_it() {
        let at = |n: usize| State::of(&timeline()[..n]).map.into_iter().collect::<serde_json::Map<_, _>>();
        assert_eq!(Value::Object(at(1)), json!({}));
        assert_eq!(Value::Object(at(3)), json!({ "a": 3, "b": [true] }));
        assert_eq!(Value::Object(at(5)), json!({ "a": 3, "c": null }));
    }

    #[test]
    fn folding_on_from_a_snapshot_gives_the_same() {
        // The snapshot tells the state as of 3, and stands after 5: another step committed in between.
        let snapshot =
            entry(6, EntryType::StateSnapshot, json!({ "asOf": 3, "state": { "a": 3, "b": [true] } }));
        let mut state = State::of_snapshot(&snapshot).unwrap();
        let mut all = timeline();
        all.push(snapshot);
        all.iter()
            .filter(|entry| entry.id.n > state.at)
            .cloned()
            .collect::<Vec<_>>()
            .iter()
            .for_each(|e| state.fold(e));
        assert_eq!(state, State::of(&all));
    }

    #[test]
    fn what_is_no_number_counts_from_zero_and_nothing_overflows() {
        let mut state = State::default();
        state.apply(&Change::Set { key: "n".into(), value: json!("x") });
        state.apply(&Change::Incr { key: "n".into(), by: i64::MAX });
        state.apply(&Change::Incr { key: "n".into(), by: 1 });
        assert_eq!(state.map["n"], json!(i64::MAX));
    }
}
