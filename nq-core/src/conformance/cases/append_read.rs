//! Timelines: what is appended is read, in order, in pages.

use serde_json::{Value, json};

use super::prelude::*;

/// A run with this many log lines behind its first two entries.
async fn lines(t: &Fixture, count: usize) -> RunId {
    let run = t.start("r", job("a")).await;
    let lease = t.peer("one").lease("a").await;
    for chunk in (0..count).collect::<Vec<_>>().chunks(500) {
        let lines: Vec<_> = chunk.iter().map(|n| line(&lease, &n.to_string())).collect();
        t.append(&run, &lines).await.unwrap();
    }
    run
}

fn positions(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.id.n).collect()
}

pub(super) async fn entries_are_numbered_from_one_without_a_gap(t: &Fixture) {
    let run = lines(t, 20).await;
    assert_eq!(positions(&t.timeline(&run).await), (1..=22).collect::<Vec<_>>());
    assert_eq!(t.summary(&run).await.last.n, 22);
}

pub(super) async fn an_entry_is_stamped_by_the_clock_of_the_store(t: &Fixture) {
    let run = lines(t, 1).await;
    t.pass(30).await;
    t.cancel(&run).await;
    let all = t.timeline(&run).await;
    assert!(all[3].id.ms >= all[2].id.ms + 20, "{:?} comes right after {:?}", all[3].id, all[2].id);
}

pub(super) async fn log_lines_keep_their_order_and_their_step(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let lease = t.peer("one").lease("a").await;
    t.append(&run, &[line(&lease, "x"), line(&lease, "y")]).await.unwrap();
    t.append(&run, &[line(&lease, "z")]).await.unwrap();
    let all = t.timeline(&run).await;
    let messages: Vec<_> = all[2..].iter().map(|entry| entry.says::<Log>().unwrap().message).collect();
    assert_eq!(messages, ["x", "y", "z"]);
    assert!(
        all[2..].iter().all(|entry| entry.step.as_ref() == Some(&lease.step) && entry.attempt == Some(1))
    );
}

pub(super) async fn appending_nothing_changes_nothing(t: &Fixture) {
    let run = lines(t, 1).await;
    t.append(&run, &[]).await.unwrap();
    assert_eq!(t.summary(&run).await.last.n, 3);
}

pub(super) async fn log_lines_are_taken_after_the_end_of_a_run(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(done(&lease)).await;
    t.append(&run, &[line(&lease, "late")]).await.unwrap();
    let kinds = t.kinds(&run).await;
    assert_eq!(kinds[2..], ["flow.step.completed", "flow.completed", "log.info"]);
    let summary = t.summary(&run).await;
    assert_eq!((summary.status, summary.last.n), (RunStatus::Completed, 5));
}

pub(super) async fn log_lines_for_a_run_that_is_not_there_create_nothing(t: &Fixture) {
    t.start("r", job("a")).await;
    let lease = t.peer("one").lease("a").await;
    let gone = run_id("gone");
    let error = t.append(&gone, &[line(&lease, "lost")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("gone"), "the message names the run: {error}");
    assert_eq!(t.try_summary(&gone).await, None);
    assert_eq!(t.run_ids(all_runs(10)).await, ["r"]);
}

pub(super) async fn a_run_that_is_not_there_is_not_an_empty_run(t: &Fixture) {
    let error = t.read(&Read::after(run_id("gone"), 0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(t.try_summary(&run_id("gone")).await, None);
}

pub(super) async fn pages_join_without_gap_or_repeat(t: &Fixture) {
    let run = lines(t, 10).await;
    for limit in [1, 3, 12, 13] {
        let mut seen = Vec::new();
        loop {
            let after = seen.len() as u64;
            let page = t.read(&Read { limit, ..Read::after(run.clone(), after) }).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            seen.extend(positions(&page));
        }
        assert_eq!(seen, (1..=12).collect::<Vec<_>>(), "in pages of {limit}");
    }
}

pub(super) async fn reading_backwards_mirrors_reading_forwards(t: &Fixture) {
    let run = lines(t, 10).await;
    let back = Read { reverse: true, ..Read::after(run.clone(), 0) };
    assert_eq!(positions(&t.read(&back).await.unwrap()), (1..=12).rev().collect::<Vec<_>>());
    let last = t.read(&Read { limit: 2, ..back.clone() }).await.unwrap();
    assert_eq!(positions(&last), [12, 11]);
    let before = t.read(&Read { limit: 2, upto: Some(10), ..back.clone() }).await.unwrap();
    assert_eq!(positions(&before), [10, 9]);
    let after = t.read(&Read { after: 8, upto: Some(10), ..back }).await.unwrap();
    assert_eq!(positions(&after), [10, 9]);
}

pub(super) async fn after_and_upto_bound_the_range(t: &Fixture) {
    let run = lines(t, 4).await;
    let read = async |after, upto| {
        let read = Read { upto, ..Read::after(run.clone(), after) };
        positions(&t.read(&read).await.unwrap())
    };
    assert_eq!(read(0, None).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(read(2, Some(4)).await, [3, 4]);
    assert_eq!(read(5, Some(6)).await, [6]);
    assert_eq!(read(5, Some(100)).await, [6]);
    for (after, upto) in [(6, None), (6, Some(100)), (4, Some(4)), (5, Some(2)), (0, Some(0))] {
        assert!(read(after, upto).await.is_empty(), "after {after}, up to {upto:?}");
    }
    // A reader that says it has seen an entry beyond the last one is told of the loss.
    for after in [7, 100, u64::MAX] {
        assert_eq!(t.read(&Read::after(run.clone(), after)).await.unwrap_err().kind(), ErrorKind::Lost);
    }
}

pub(super) async fn types_select_entries_and_the_limit_counts_the_selected(t: &Fixture) {
    let run = lines(t, 5).await;
    let read = async |types: &[EntryType], limit, reverse| {
        let read = Read { types: types.to_vec(), limit, reverse, ..Read::after(run.clone(), 0) };
        positions(&t.read(&read).await.unwrap())
    };
    assert_eq!(read(&[EntryType::LogInfo], 2, false).await, [3, 4]);
    assert_eq!(read(&[EntryType::LogInfo], 2, true).await, [7, 6]);
    assert_eq!(read(&[EntryType::FlowStarted, EntryType::StepStarted], 9, false).await, [1, 2]);
    assert!(read(&[EntryType::FlowFailed], 9, false).await.is_empty());
    assert!(read(&[EntryType::Other("no.such".into())], 9, true).await.is_empty());
}

pub(super) async fn selecting_rare_entries_skips_the_others_whole(t: &Fixture) {
    let run = lines(t, 1_500).await;
    t.cancel(&run).await;
    let read = Read { types: vec![EntryType::FlowCancelled], limit: 1, ..Read::after(run.clone(), 0) };
    assert_eq!(positions(&t.read(&read).await.unwrap()), [1_503]);
}

pub(super) async fn a_limit_of_nothing_reads_nothing(t: &Fixture) {
    let run = lines(t, 1).await;
    assert!(t.read(&Read { limit: 0, ..Read::after(run, 0) }).await.unwrap().is_empty());
}

pub(super) async fn a_page_is_never_longer_than_the_most(t: &Fixture) {
    let run = lines(t, MAX_READ_ENTRIES + 10).await;
    let page = t.read(&Read { limit: usize::MAX, ..Read::after(run.clone(), 0) }).await.unwrap();
    assert_eq!(positions(&page), (1..=MAX_READ_ENTRIES as u64).collect::<Vec<_>>());
    assert_eq!(t.timeline(&run).await.len(), MAX_READ_ENTRIES + 12);
}

pub(super) async fn a_page_is_bounded_in_bytes_and_never_empty(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let lease = t.peer("one").lease("a").await;
    let large = "x".repeat(MAX_PAYLOAD_BYTES);
    for _ in 0..12 {
        t.append(&run, &[line(&lease, &large)]).await.unwrap();
    }
    let page = t.read(&Read::after(run.clone(), 0)).await.unwrap();
    assert!(page.len() > 1 && page.len() <= 11, "{} entries, most of them of 1 MiB", page.len());
    let back = t.read(&Read { reverse: true, ..Read::after(run.clone(), 0) }).await.unwrap();
    assert!(!back.is_empty() && back.len() <= 9, "{} entries of 1 MiB", back.len());
    assert_eq!(t.timeline(&run).await.len(), 14);
}

pub(super) async fn an_entry_of_an_unknown_type_is_kept(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let kind = EntryType::Other("from.the.future".into());
    one.commit(write(&lease).entry(kind.clone(), json!({ "new": [1] })).complete()).await;
    let entry = t.timeline(&run).await.remove(2);
    assert_eq!((entry.kind, entry.data), (kind, json!({ "new": [1] })));
}

pub(super) async fn an_entry_that_says_nothing_comes_back_saying_nothing(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).entry(EntryType::StateSnapshot, Value::Null).complete()).await;
    assert_eq!(t.timeline(&run).await[2].data, Value::Null);
}

pub(super) async fn timelines_of_two_runs_are_apart(t: &Fixture) {
    let (first, second) = (t.start("r", job("a")).await, t.start("r2", job("a")).await);
    let mut one = t.peer("one");
    let leases = one.leases("a", 2).await;
    t.append(&first, &[line(&leases[0], "first")]).await.unwrap();
    one.commit(done(&leases[1])).await;
    assert_eq!(t.kinds(&first).await[1..], ["flow.step.started", "log.info"]);
    assert_eq!(t.kinds(&second).await[1..], ["flow.step.started", "flow.step.completed", "flow.completed"]);
}
