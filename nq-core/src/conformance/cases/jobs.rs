//! Queues, jobs and dead letters, as people look at them.

use super::prelude::*;

fn of_run(run: &RunId) -> JobsQuery {
    JobsQuery { run: Some(run.clone()), limit: 100, ..JobsQuery::default() }
}

fn everything(limit: usize) -> JobsQuery {
    JobsQuery { limit, ..JobsQuery::default() }
}

/// Three runs with three jobs of `b` and one of `c` each, all queued.
async fn twelve(t: &Fixture) -> Vec<RunId> {
    let mut one = t.peer("one");
    let mut runs = Vec::new();
    for n in 0..3 {
        runs.push(t.start(&format!("r{n}"), job("a")).await);
        let lease = one.lease("a").await;
        let tx = (0..3).fold(write(&lease), |tx, n| tx.emit("e", json!(n)).to(job("b")));
        one.commit(tx.emit("e", json!(1)).to(job("c")).complete()).await;
    }
    runs
}

pub(super) async fn a_queue_counts_its_jobs_by_state(t: &Fixture) {
    for n in 0..5 {
        t.start(&format!("r{n}"), job("a")).await;
    }
    let mut one = t.peer("one");
    let leases = one.leases("a", 3).await;
    one.commit(write(&leases[0]).retry(LONG_MS)).await;
    one.commit(write(&leases[1]).fail("broken")).await;
    let counts = QueueCounts { queued: 2, leased: 1, delayed: 1, dead: 1, ..QueueCounts::new(queue("a")) };
    assert_eq!(t.queues().await, [counts]);
}

pub(super) async fn queues_are_listed_by_name_also_when_they_are_empty(t: &Fixture) {
    t.start("r", job("b")).await;
    t.start("s", job("a")).await;
    let mut one = t.peer("one");
    one.finish("b").await;
    let names: Vec<_> = t.queues().await.into_iter().map(|counts| counts.queue.to_string()).collect();
    assert_eq!(names, ["f/a", "f/b"]);
    assert_eq!(t.counts("b").await.queued, 0);
}

pub(super) async fn the_jobs_of_a_run_are_its_unfinished_steps(t: &Fixture) {
    let runs = twelve(t).await;
    let jobs = t.jobs(of_run(&runs[1])).await;
    let workers: Vec<_> = jobs.iter().map(|job| job.step.worker().as_str()).collect();
    assert_eq!(workers, ["b", "b", "b", "c"]);
    assert!(jobs.iter().all(|job| job.run == runs[1] && job.state == JobState::Queued && job.attempt == 1));
    assert!(t.jobs(of_run(&run_id("gone"))).await.is_empty());
}

pub(super) async fn jobs_are_selected_by_queue(t: &Fixture) {
    let runs = twelve(t).await;
    let query = JobsQuery { queue: Some(queue("c")), ..everything(100) };
    let jobs = t.jobs(query.clone()).await;
    assert_eq!(jobs.iter().map(|job| job.run.clone()).collect::<Vec<_>>(), runs);
    let one = t.jobs(JobsQuery { run: Some(runs[2].clone()), ..query }).await;
    assert_eq!(one.len(), 1);
    assert!(t.jobs(JobsQuery { queue: Some(queue("none")), ..everything(100) }).await.is_empty());
}

pub(super) async fn pages_of_jobs_join_whatever_their_size(t: &Fixture) {
    twelve(t).await;
    let key = |job: &JobSummary| (job.run.clone(), job.step.clone());
    let all: Vec<_> = t.jobs(everything(100)).await.iter().map(key).collect();
    assert_eq!(all.len(), 12);
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "in the order of run and step");
    for limit in [1, 5, 11, 12, 13] {
        let paged: Vec<_> = t.jobs(everything(limit)).await.iter().map(key).collect();
        assert_eq!(paged, all, "in pages of {limit}");
    }
}

pub(super) async fn pages_of_jobs_go_on_behind_a_job_that_is_gone(t: &Fixture) {
    twelve(t).await;
    let all = t.jobs(everything(100)).await;
    let page = everything(4);
    let mut one = t.peer("two");
    for lease in one.leases("b", 9).await {
        one.commit(done(&lease)).await;
    }
    let after = Some((all[1].run.clone(), all[1].step.clone()));
    let rest = t.jobs(JobsQuery { after, ..page }).await;
    let expected: Vec<_> = all.into_iter().skip(2).filter(|job| job.step.worker().as_str() == "c").collect();
    assert_eq!(rest, expected);
}

pub(super) async fn a_job_shows_where_it_is(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let state = async || t.jobs(of_run(&run)).await.remove(0);
    assert_eq!(state().await.state, JobState::Queued);
    let lease = one.lease("a").await;
    let JobState::Leased { instance, deadline_ms } = state().await.state else { panic!("not leased") };
    assert_eq!(instance, one.id);
    assert!(deadline_ms >= t.summary(&run).await.last.ms + LONG_MS - 5_000);
    one.commit(write(&lease).retry(LONG_MS)).await;
    let delayed = state().await;
    assert!(matches!(delayed.state, JobState::Delayed { due_ms } if due_ms > t.summary(&run).await.last.ms));
    assert_eq!((delayed.attempt, delayed.failures, delayed.crashes), (2, 1, 0));
    assert_eq!((delayed.queue, delayed.step), (queue("a"), lease.step));
}

pub(super) async fn a_finished_job_is_not_listed(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    t.peer("one").finish("a").await;
    assert!(t.jobs(of_run(&run)).await.is_empty());
}

pub(super) async fn a_dead_letter_is_kept_with_its_error(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let other = t.start("s", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).retry(0)).await;
    one.finish("a").await;
    let lease = one.lease("a").await;
    let error = "the card `7` was \"refused\"\nat the till ü";
    one.commit(write(&lease).fail(error)).await;
    let (letter, said) = t.dead(&run).await.remove(0);
    assert_eq!(said, error);
    assert_eq!((letter.step, letter.queue, letter.failures), (lease.step, queue("a"), 2));
    assert!(t.dead(&other).await.is_empty());
    let all = t.jobs(JobsQuery { dead: true, ..everything(9) }).await;
    assert_eq!(all.len(), 1);
    let elsewhere = JobsQuery { dead: true, queue: Some(queue("b")), ..everything(9) };
    assert!(t.jobs(elsewhere).await.is_empty());
}

pub(super) async fn dead_letters_come_in_pages(t: &Fixture) {
    let mut one = t.peer("one");
    for n in 0..7 {
        t.start(&format!("r{n}"), job("a")).await;
        let lease = one.lease("a").await;
        one.commit(write(&lease).fail("broken")).await;
    }
    t.start("alive", job("a")).await;
    for limit in [1, 3, 7, 8] {
        let queue = Some(queue("a"));
        assert_eq!(t.jobs(JobsQuery { dead: true, queue, ..everything(limit) }).await.len(), 7);
        assert_eq!(t.jobs(JobsQuery { dead: true, ..everything(limit) }).await.len(), 7);
    }
}

pub(super) async fn a_dead_letter_is_of_its_last_attempt(t: &Fixture) {
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let attempt = async || t.jobs(of_run(&run)).await.remove(0).attempt;
    let lease = one.lease("a").await;
    one.commit(write(&lease).retry(0)).await;
    assert_eq!(attempt().await, 2, "the one that comes next");
    let lease = one.lease("a").await;
    assert_eq!((lease.attempt, attempt().await), (2, 2), "the one that runs");
    one.commit(write(&lease).fail("broken")).await;
    assert_eq!(attempt().await, 2, "the one that it died in");
}

pub(super) async fn a_page_that_says_no_size_has_the_usual_one(t: &Fixture) {
    for n in 0..3 {
        t.start(&format!("r{n}"), job("a")).await;
    }
    assert_eq!(t.run_ids(RunsQuery::default()).await, ["r2", "r1", "r0"]);
    let all = t.jobs(everything(100)).await;
    assert_eq!((all.len(), t.jobs(JobsQuery::default()).await), (3, all));
    let (queue, run) = (Some(queue("a")), Some(run_id("r1")));
    assert_eq!(t.jobs(JobsQuery { queue, ..JobsQuery::default() }).await.len(), 3);
    assert_eq!(t.jobs(JobsQuery { run, ..JobsQuery::default() }).await.len(), 1);
}

pub(super) async fn a_queue_is_served_for_as_long_as_somebody_says_so(t: &Fixture) {
    t.start("r", job("a")).await;
    t.start("s", job("b")).await;
    let served = async || [t.counts("a").await.served, t.counts("b").await.served];
    assert_eq!(served().await, [false, false]);
    t.tick_serving(&["a", "nobody"]).await;
    assert_eq!(served().await, [true, false]);
    t.tick().await;
    assert_eq!(served().await, [true, false], "a tick that says nothing of queues changes nothing");
    t.tick_serving(&["b"]).await;
    assert_eq!(served().await, [true, true], "one instance does not speak for another");
    t.until("nobody serves them any more", async || served().await == [false, false]).await;
    t.tick_serving(&["a"]).await;
    assert_eq!(served().await, [true, false]);
}
