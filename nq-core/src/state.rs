//! The state fold: the user's key-value map, from the `state.*` entries of a timeline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::entry::Change;
use crate::entry::data::{StateBatch, StateDelete, StateOperation, StateSet, StateSnapshot};
use crate::entry::{Entry, EntryType};

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
                let sum = add(self.map.get(key), *by);
                self.map.insert(key.clone(), sum);
            }
        }
    }

    /// Applies the next entry. An entry that it cannot read changes nothing. A snapshot is applied only if the state is not
    /// yet past the position of the snapshot, so that a fold from a snapshot and a fold of all entries agree.
    pub fn fold(&mut self, entry: &Entry) {
        match entry.kind {
            EntryType::StateSet | EntryType::StateDelete | EntryType::StateBatch => {
                for change in changes(entry) {
                    self.apply(&change);
                }
            }
            EntryType::StateSnapshot => {
                if let Some(snapshot) = Self::of_snapshot(entry).filter(|snapshot| self.at < snapshot.at) {
                    self.map = snapshot.map;
                }
            }
            _ => {}
        }
        self.at = self.at.max(entry.id.n);
    }

    /// The state in a snapshot, as of the snapshot's position.
    pub fn of_snapshot(entry: &Entry) -> Option<Self> {
        let StateSnapshot { as_of, state } = entry.says().ok()?;
        Some(Self { map: state, at: as_of })
    }

    /// The state after these entries, which are all entries of a run up to some position.
    ///
    /// ```
    /// use nq_core::entry::{Entry, EntryType};
    /// use nq_core::id::EntryId;
    /// use nq_core::state::State;
    ///
    /// let data = serde_json::json!({ "key": "receipt", "value": "r-17", "op": "0" });
    /// let id = EntryId { ms: 9, n: 2 };
    /// let set = Entry { id, kind: EntryType::StateSet, step: None, attempt: None, data };
    /// assert_eq!(State::of([&set]).map["receipt"], "r-17");
    /// ```
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut state = Self::default();
        entries.into_iter().for_each(|entry| state.fold(entry));
        state
    }
}

/// Adds a number to a value. The value may be larger than an `i64`, or a fraction.
fn add(before: Option<&Value>, by: i64) -> Value {
    let Some(Value::Number(before)) = before else { return by.into() };
    let whole = before.as_i64().map(i128::from).or(before.as_u64().map(i128::from));
    let Some(whole) = whole else {
        let sum = before.as_f64().map(|before| before + by as f64).filter(|sum| sum.is_finite());
        return sum.map_or_else(|| before.clone().into(), Value::from);
    };
    match u64::try_from(whole + i128::from(by)) {
        Ok(sum) => sum.into(),
        Err(_) if whole + i128::from(by) > 0 => u64::MAX.into(),
        Err(_) => i64::try_from(whole + i128::from(by)).unwrap_or(i64::MIN).into(),
    }
}

/// The changes that an entry makes, with the position of the operation that made each, in order.
pub fn changes_with_op(entry: &Entry) -> Vec<(String, Change)> {
    let one = match entry.kind {
        EntryType::StateSet => {
            entry.says().map(|StateSet { key, value, op }| (op, Change::Set { key, value }))
        }
        EntryType::StateDelete => entry.says().map(|StateDelete { key, op }| (op, Change::Delete { key })),
        _ => {
            let batch = entry.says().map(|StateBatch { operations }| operations).unwrap_or_default();
            return batch.into_iter().map(|StateOperation { change, op }| (op, change)).collect();
        }
    };
    one.into_iter().collect()
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
    fn what_is_no_number_counts_from_zero_and_no_number_becomes_a_small_one() {
        let sum = |before: Value, by: i64| {
            let mut state = State::default();
            state.apply(&Change::Set { key: "n".into(), value: before });
            state.apply(&Change::Incr { key: "n".into(), by });
            state.map.remove("n").unwrap()
        };
        assert_eq!(sum(json!("x"), 3), json!(3));
        assert_eq!(sum(json!(null), -3), json!(-3));
        assert_eq!(sum(json!(5), -7), json!(-2));
        assert_eq!(sum(json!(i64::MAX), 1), json!(1_u64 << 63), "exact beyond an `i64`");
        assert_eq!(sum(json!(1_u64 << 63), i64::MIN), json!(0));
        assert_eq!(sum(json!(u64::MAX - 1), 1), json!(u64::MAX));
        assert_eq!(sum(json!(u64::MAX), 1), json!(u64::MAX), "stays at the end");
        assert_eq!(sum(json!(u64::MAX), i64::MAX), json!(u64::MAX));
        assert_eq!(sum(json!(u64::MAX), -1), json!(u64::MAX - 1));
        assert_eq!(sum(json!(i64::MIN), -1), json!(i64::MIN));
        assert_eq!(sum(json!(0), i64::MIN), json!(i64::MIN));
        assert_eq!(sum(json!(1.5), 2), json!(3.5), "a fraction keeps its fraction");
        // What is written as a whole number and too large for one is read as a fraction.
        let beyond: Value = serde_json::from_str("36893488147419103232").unwrap();
        assert_eq!(sum(beyond, 1), json!(2.0_f64.powi(65)));
        assert_eq!(sum(json!(f64::MAX), i64::MAX), json!(f64::MAX));
    }
}
