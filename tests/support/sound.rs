//! The promises that hold for every run, whatever happened to the processes that worked on it.

use std::collections::BTreeSet;

use nq::{Entry, EntryType, Run, State};

/// Checks a finished run, and returns its entries.
pub(crate) async fn sound(run: &Run) -> Vec<Entry> {
    let entries = run.entries(Vec::new()).await.expect("the timeline can be read");
    for (n, pair) in (1..).zip(entries.windows(2)) {
        assert_eq!((pair[0].id.n, pair[1].id.n), (n, n + 1), "the entries count without a gap");
        assert!(pair[0].id.ms <= pair[1].id.ms, "time does not go back");
    }
    let last = entries.iter().rposition(|entry| !entry.kind.is_log());
    let terminal: Vec<_> = (0..entries.len()).filter(|at| entries[*at].kind.is_terminal()).collect();
    assert_eq!(terminal, Vec::from_iter(last), "one terminal entry, and only log lines after it");
    let mut completed = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.kind == EntryType::StepCompleted) {
        assert!(completed.insert(&entry.step), "{:?} completed twice", entry.step);
    }
    assert_eq!(run.state().await.expect("the state can be read"), State::of(&entries).map);
    entries
}
