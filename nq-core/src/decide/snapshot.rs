//! Decides when a snapshot of the state is due, what it holds, and where in a commit it stands.

use crate::entry::NewEntry;
use crate::entry::data::StateSnapshot;
use crate::limits;
use crate::state::State;
use crate::transaction::{Outcome, Transaction};
use crate::value;

/// How much was folded into a state since its last snapshot, or since the beginning of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinceSnapshot {
    /// How many entries that change the state.
    pub state_entries: usize,
    /// How many entries of any type.
    pub entries: u64,
}

impl SinceSnapshot {
    /// Whether a reader of the state would have to read so much that a snapshot is worth writing.
    pub fn is_due(self) -> bool {
        self.state_entries >= limits::SNAPSHOT_STATE_ENTRIES
            || (self.state_entries > 0 && self.entries >= limits::SNAPSHOT_ENTRIES)
    }
}

/// The snapshot of a state; none if it would have more than so many bytes.
pub fn snapshot(state: &State, max_bytes: usize) -> Option<NewEntry> {
    let entry = NewEntry::of(StateSnapshot { as_of: state.at, state: state.map.clone() });
    (value::size(&entry.data) <= max_bytes).then_some(entry)
}

/// Puts a snapshot into the commit of a step that is done. Any other commit goes without it.
pub fn add_snapshot(tx: &mut Transaction, snapshot: NewEntry) {
    if tx.outcome == Outcome::Complete {
        // The snapshot goes before the last entry, to which nothing refers by index.
        tx.entries.insert(tx.entries.len().saturating_sub(1), snapshot);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::entry::data::{StepCompleted, StepFailed};
    use crate::id::RunId;

    #[test]
    fn a_snapshot_is_due_after_many_changes_or_many_entries_with_a_change() {
        let due = |state_entries, entries| SinceSnapshot { state_entries, entries }.is_due();
        let (changes, entries) = (limits::SNAPSHOT_STATE_ENTRIES, limits::SNAPSHOT_ENTRIES);
        assert!(!due(changes - 1, entries - 1));
        assert!(due(changes, 0));
        assert!(due(changes + 1, entries + 1));
        assert!(due(1, entries));
        assert!(!due(0, entries * 10));
    }

    #[test]
    fn a_snapshot_tells_the_state_if_it_is_small_enough() {
        let state = State { map: [("k".to_owned(), json!([1]))].into(), at: 9 };
        let form = json!({ "asOf": 9, "state": { "k": [1] } });
        let bytes = form.to_string().len();
        assert_eq!(snapshot(&state, bytes).map(|entry| entry.data), Some(form));
        assert_eq!(snapshot(&state, bytes - 1), None);
    }

    #[test]
    fn a_snapshot_stands_before_the_completion_and_in_no_other_commit() {
        let taken = snapshot(&State::default(), 100).unwrap();
        let kinds = |last: NewEntry, outcome| {
            let mut tx = Transaction::new(RunId::new("r").unwrap(), "a@1-1".parse().unwrap(), 1, 1);
            (tx.entries, tx.outcome) = (vec![NewEntry::of(StepFailed { error: "no".into() }), last], outcome);
            add_snapshot(&mut tx, taken.clone());
            tx.entries.iter().map(|entry| entry.kind.to_string()).collect::<Vec<_>>()
        };
        let done = NewEntry::of(StepCompleted { result: json!(null) });
        let with = ["flow.step.failed", "state.snapshot", "flow.step.completed"];
        assert_eq!(kinds(done.clone(), Outcome::Complete), with);
        for other in [Outcome::Continue, Outcome::Release, Outcome::Retry { delay_ms: 1 }] {
            assert_eq!(kinds(done.clone(), other), ["flow.step.failed", "flow.step.completed"]);
        }
    }
}
