//! The index of runs: newest first, by flow and status, in pages that stay where they are.

use std::collections::BTreeSet;

use super::prelude::*;

/// Five runs a little apart: `r0`, `r2`, `r4` of flow `f`, the others of `g`. `r2` has failed, `r3` is done.
async fn five(t: &Fixture) {
    let mut one = t.peer("one");
    for n in 0..5 {
        let flow = if n % 2 == 0 { "f" } else { "g" };
        t.try_start(&start_of(flow, &format!("r{n}"), json!(n), job(&format!("w{n}")), &[])).await.unwrap();
        t.pass(5).await;
    }
    let lease = one.lease("w2").await;
    one.commit(write(&lease).fail("broken")).await;
    one.finish("w3").await;
}

fn of(flow: Option<&str>, status: Option<RunStatus>) -> RunsQuery {
    RunsQuery { flow: flow.map(name), status, ..all_runs(2) }
}

pub(super) async fn runs_are_listed_newest_first(t: &Fixture) {
    five(t).await;
    assert_eq!(t.run_ids(all_runs(100)).await, ["r4", "r3", "r2", "r1", "r0"]);
}

pub(super) async fn a_store_without_runs_lists_none(t: &Fixture) {
    assert_eq!(t.runs(&all_runs(10)).await, RunsPage::default());
    assert!(t.queues().await.is_empty());
    assert!(t.jobs(JobsQuery { limit: 10, ..JobsQuery::default() }).await.is_empty());
}

pub(super) async fn pages_of_runs_join_whatever_their_size(t: &Fixture) {
    five(t).await;
    for limit in 1..7 {
        assert_eq!(t.run_ids(all_runs(limit)).await, ["r4", "r3", "r2", "r1", "r0"], "in pages of {limit}");
    }
}

pub(super) async fn runs_are_selected_by_flow_and_status(t: &Fixture) {
    five(t).await;
    assert_eq!(t.run_ids(of(Some("f"), None)).await, ["r4", "r2", "r0"]);
    assert_eq!(t.run_ids(of(Some("g"), None)).await, ["r3", "r1"]);
    assert_eq!(t.run_ids(of(None, Some(RunStatus::Running))).await, ["r4", "r1", "r0"]);
    assert_eq!(t.run_ids(of(None, Some(RunStatus::Failed))).await, ["r2"]);
    assert_eq!(t.run_ids(of(Some("g"), Some(RunStatus::Completed))).await, ["r3"]);
    assert!(t.run_ids(of(Some("f"), Some(RunStatus::Completed))).await.is_empty());
    assert!(t.run_ids(of(Some("none"), None)).await.is_empty());
    assert!(t.run_ids(of(None, Some(RunStatus::Stalled))).await.is_empty());
}

pub(super) async fn a_run_moves_to_its_new_status(t: &Fixture) {
    five(t).await;
    t.cancel(&run_id("r4")).await;
    assert_eq!(t.run_ids(of(None, Some(RunStatus::Cancelled))).await, ["r4"]);
    assert_eq!(t.run_ids(of(Some("f"), Some(RunStatus::Running))).await, ["r0"]);
    assert_eq!(t.run_ids(all_runs(3)).await[0], "r4");
}

pub(super) async fn runs_that_start_meanwhile_do_not_move_the_pages(t: &Fixture) {
    five(t).await;
    let first = t.runs(&all_runs(2)).await;
    t.start("newer", job("a")).await;
    let second = t.runs(&RunsQuery { cursor: first.next.clone(), ..all_runs(2) }).await;
    let ids: Vec<_> = first.runs.iter().chain(&second.runs).map(|run| run.run.as_str()).collect();
    assert_eq!(ids, ["r4", "r3", "r2", "r1"]);
}

pub(super) async fn a_run_that_ends_meanwhile_does_not_move_the_pages(t: &Fixture) {
    five(t).await;
    let first = t.runs(&of(None, Some(RunStatus::Running))).await;
    assert_eq!(first.runs.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["r4", "r1"]);
    // The page ended with it, and it is gone from the listing.
    t.peer("two").finish("w1").await;
    let second = t.runs(&RunsQuery { cursor: first.next, ..of(None, Some(RunStatus::Running)) }).await;
    assert_eq!(second.runs.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["r0"]);
}

pub(super) async fn runs_of_one_moment_are_all_listed(t: &Fixture) {
    let mut expected = BTreeSet::new();
    for n in 0..23 {
        expected.insert(t.start(&format!("same{n}"), job("a")).await.to_string());
    }
    for limit in [1, 5, 22, 23] {
        let ids = t.run_ids(all_runs(limit)).await;
        assert_eq!(ids.len(), 23, "in pages of {limit}");
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

pub(super) async fn the_last_page_says_that_it_is_the_last(t: &Fixture) {
    five(t).await;
    assert_eq!(t.runs(&all_runs(5)).await.next, None);
    let almost = t.runs(&all_runs(4)).await;
    assert!(almost.next.is_some());
    let rest = t.runs(&RunsQuery { cursor: almost.next, ..all_runs(4) }).await;
    assert_eq!((rest.runs.len(), rest.next), (1, None));
}

pub(super) async fn the_summary_in_a_page_is_that_of_the_run(t: &Fixture) {
    five(t).await;
    for listed in t.runs(&all_runs(9)).await.runs {
        assert_eq!(t.summary(&listed.run).await, listed);
    }
}

pub(super) async fn a_page_of_runs_is_never_longer_than_the_most(t: &Fixture) {
    five(t).await;
    assert_eq!(t.runs(&all_runs(usize::MAX)).await.runs.len(), 5);
}

pub(super) async fn a_cursor_that_no_page_gave_is_refused(t: &Fixture) {
    five(t).await;
    for cursor in ["", "x", "-1", "'; drop table", "{}"] {
        let query = RunsQuery { cursor: Some(cursor.into()), ..all_runs(2) };
        let error = loop {
            match t.store().runs(&query).await {
                Err(error) if error.is_retryable() => {}
                reply => break reply.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), ErrorKind::NotFound, "{cursor:?}");
    }
}
