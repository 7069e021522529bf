//! What holds for every timeline.

use nq::{EntryType, Run};

/// The promises that hold for every timeline.
pub(crate) async fn sound(run: &Run) {
    let entries = run.entries(Vec::new()).await.unwrap();
    let mut last_ms = 0;
    for (n, entry) in (1..).zip(&entries) {
        assert_eq!(entry.id.n, n, "the entries count without a gap");
        assert!(entry.id.ms >= last_ms, "time never falls");
        last_ms = entry.id.ms;
    }
    let ended = entries.iter().filter(|entry| entry.kind.is_terminal()).count();
    assert_eq!(ended, 1, "a run has one terminal entry");
    let folded = nq::State::of(&entries).map;
    assert_eq!(run.state().await.unwrap(), folded, "the state is the fold");
    let mut done: Vec<_> =
        entries.iter().filter(|e| e.kind == EntryType::StepCompleted).map(|e| &e.step).collect();
    let all = done.len();
    done.sort();
    done.dedup();
    assert_eq!(done.len(), all, "no step completes twice");
}
