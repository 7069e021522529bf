//! Stored data that cannot be read harms the run that it belongs to, and nothing else. Most cases need a store whose
//! records a test can damage.

use super::prelude::*;

/// Data that no entry holds: half a text, another type, a text that is not JSON, and JSON that is nested too deep to read.
fn garbage() -> [String; 4] {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    ["{\"input\":".into(), "\u{1}\u{2}".into(), String::new(), deep]
}

/// A healthy run goes through: it is leased beside what is damaged, read, and completed.
async fn the_rest_goes_on(t: &Fixture, peer: &mut Peer<'_>, leases: Vec<Lease>, sound: &RunId) {
    let lease = leases.into_iter().find(|lease| lease.run == *sound).expect("the healthy run is leased");
    peer.commit(done(&lease)).await;
    assert_eq!(t.summary(sound).await.status, RunStatus::Completed);
    assert_eq!(t.timeline(sound).await.len(), 4);
    t.tick().await;
    assert!(t.run_ids(all_runs(9)).await.contains(&sound.to_string()));
}

/// Checks that the step of this worker is the one dead letter of the run, and that its error names run and step.
async fn is_dead(t: &Fixture, run: &RunId, worker: &str, status: RunStatus) {
    let dead = t.dead(run).await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    let (job, error) = &dead[0];
    assert_eq!(job.step.worker().as_str(), worker);
    assert!(error.contains(run.as_str()) && error.contains(&job.step.to_string()), "{error}");
    assert_eq!(t.summary(run).await.status, status);
    let jobs =
        t.jobs(JobsQuery { run: Some(run.clone()), dead: true, limit: 9, ..JobsQuery::default() }).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!(t.counts(worker).await.dead, 1);
}

/// Damages the entry at a position of a run.
fn damage_entry(t: &Fixture, run: &RunId, n: u64, data: &str) {
    t.damage(Stored::Entry { run: run.clone(), n, data: data.into() });
}

async fn damage_job(t: &Fixture, run: &RunId) {
    let query = JobsQuery { run: Some(run.clone()), limit: 1, ..JobsQuery::default() };
    let step = t.jobs(query).await.remove(0).step;
    t.damage(Stored::Job { run: run.clone(), step });
}

pub(super) async fn what_is_too_deep_to_be_read_back_holds_up_nobody(t: &Fixture) {
    if t.lossy {
        // A start that is sent again compares its input with the stored one, which the store cannot read.
        return;
    }
    let deep = (0..200).fold(json!("core"), |inner, _| json!([inner]));
    let begin = start("deep", deep.clone(), job("a"), &[]);
    t.try_start(&begin).await.unwrap();
    let sound = t.start("sound", job("a")).await;
    let mut one = t.peer("one");
    let leases = one.leases("a", 9).await;
    // A store that keeps values instead of texts can read it.
    match leases.iter().find(|lease| lease.run == begin.run) {
        Some(lease) => {
            assert_eq!(lease.inputs[0].payload, deep);
            let tx = write(lease).emit("e", deep).to(job("b")).complete();
            one.commit(tx).await;
            assert_eq!(one.leases("b", 9).await.len(), 1);
        }
        None => is_dead(t, &begin.run, "a", RunStatus::Failed).await,
    }
    the_rest_goes_on(t, &mut one, leases, &sound).await;
}

pub(super) async fn an_input_that_is_damaged_makes_a_dead_letter(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    for (at, data) in garbage().iter().enumerate() {
        let worker = format!("a{at}");
        let bad = t.start(&format!("bad{at}"), job(&worker)).await;
        let sound = t.start(&format!("sound{at}"), job(&worker)).await;
        damage_entry(t, &bad, 1, data);
        let mut one = t.peer(&format!("one{at}"));
        let leases = one.leases(&worker, 9).await;
        assert_eq!(leases.len(), 1, "{leases:?}");
        is_dead(t, &bad, &worker, RunStatus::Failed).await;
        the_rest_goes_on(t, &mut one, leases, &sound).await;
        assert!(t.peer(&format!("two{at}")).leases(&worker, 9).await.is_empty());
    }
}

pub(super) async fn what_a_damaged_input_stops_is_told_once(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let bad = t.start("bad", job("a")).await;
    t.start("sound", job("a")).await;
    damage_entry(t, &bad, 1, "{");
    let mut one = t.peer("one");
    let turn = Turn { wants: vec![Want { queue: queue("a"), max: 9 }], ..one.next() };
    let reply = one.send(&turn).await.unwrap();
    let last = t.summary(&bad).await.last;
    for _ in 0..3 {
        assert_eq!(one.send(&turn).await.unwrap(), reply);
    }
    assert_eq!(t.summary(&bad).await.last, last);
    is_dead(t, &bad, "a", RunStatus::Failed).await;
    assert_eq!(t.counts("a").await.leased, 1);
}

pub(super) async fn a_run_goes_on_without_a_step_that_may_fail_and_cannot_be_read(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let run = t.start("r", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx = write(&lease).emit("e", json!(1)).to(job("b").optional());
    one.commit(tx.emit("e", json!(2)).to(job("c")).complete()).await;
    damage_entry(t, &run, 3, "{");
    assert!(one.leases("b", 1).await.is_empty());
    is_dead(t, &run, "b", RunStatus::Running).await;
    one.finish("c").await;
    assert_eq!(t.summary(&run).await.status, RunStatus::Completed);
}

pub(super) async fn an_event_that_is_damaged_makes_a_dead_letter_of_its_step(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let bad = t.start("bad", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    let tx = write(&lease).emit("e", json!(1)).join(job("j"), 0, 2).emit("e", json!(2)).join(job("j"), 1, 2);
    one.commit(tx.complete()).await;
    let sound = t.start("sound", job("j")).await;
    damage_entry(t, &bad, 3, "{");
    let leases = one.leases("j", 9).await;
    is_dead(t, &bad, "j", RunStatus::Failed).await;
    the_rest_goes_on(t, &mut one, leases, &sound).await;
}

pub(super) async fn an_offer_brings_nothing_that_cannot_be_read(t: &Fixture) {
    if t.lossy {
        return;
    }
    let deep = (0..200).fold(json!("core"), |inner, _| json!([inner]));
    let begin = start("deep", deep, job("a"), &[]);
    let mut one = t.peer("one");
    let short = Duration::from_millis(200);
    let later = async {
        t.wait(&Interest::Queues(vec![queue("nobody")]), Duration::from_millis(50)).await;
        t.try_start(&begin).await.unwrap()
    };
    let (given, _) = both(one.offer("a", short), later).await;
    assert_eq!(given, None, "a store that reads it back gives nothing");
    // The next turn ends the offer, and with it the job that the offer brought.
    if one.leases("a", 9).await.is_empty() {
        is_dead(t, &begin.run, "a", RunStatus::Failed).await;
    }
    let sound = t.start("sound", job("a")).await;
    let leases = one.leases("a", 9).await;
    the_rest_goes_on(t, &mut one, leases, &sound).await;
}

pub(super) async fn a_reader_of_a_damaged_run_is_told_where_it_is_damaged(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    for (at, data) in garbage().iter().enumerate() {
        let bad = t.start(&format!("bad{at}"), job("a")).await;
        let sound = t.start(&format!("sound{at}"), job("a")).await;
        let mut one = t.peer(&format!("one{at}"));
        for lease in one.leases("a", 2).await {
            one.commit(write(&lease).emit("e", json!(1)).complete()).await;
        }
        damage_entry(t, &bad, 3, data);
        let all = Read::after(bad.clone(), 0);
        for read in
            [all.clone(), Read { reverse: true, ..all.clone() }, Read { after: 2, limit: 1, ..all.clone() }]
        {
            let error = t.read(&read).await.unwrap_err();
            assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some(bad.as_str())), "{error}");
            assert!(error.to_string().contains("entry 3 "), "{error}");
        }
        // What lies before and behind it can be read.
        assert_eq!(t.read(&Read { upto: Some(2), ..all.clone() }).await.unwrap().len(), 2);
        assert_eq!(t.read(&Read { after: 3, ..all }).await.unwrap().len(), 2);
        assert_eq!(t.timeline(&sound).await.len(), 5);
        assert_eq!(t.summary(&bad).await.status, RunStatus::Completed);
    }
}

pub(super) async fn a_gather_whose_list_is_damaged_is_told_so(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let run = t.start_with("r", job("a").holding(&["g"]), &[gather(job("g"), 0)]).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).emit("e", json!(1)).gather("g").emit("e", json!(2)).gather("g").complete())
        .await;
    damage_entry(t, &run, 4, "{");
    let lease = one.lease("g").await;
    let worker = name("g");
    let gathered =
        Gathered { run: run.clone(), worker, upto: lease.step.cause().n, from: 0, limit: 9, seen: None };
    let error = loop {
        match t.store().gathered(&gathered).await {
            Err(error) if error.is_retryable() => {}
            answer => break answer.unwrap_err(),
        }
    };
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("r")), "{error}");
    assert!(error.to_string().contains("entry 4 "), "{error}");
}

pub(super) async fn a_start_of_a_run_whose_input_is_damaged_is_told_so(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let run = t.start("r", job("a")).await;
    damage_entry(t, &run, 1, "{");
    let again = start("r", json!({ "in": "r" }), job("a"), &[]);
    let error = t.try_start(&again).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("r")), "{error}");
    t.start("s", job("a")).await;
}

pub(super) async fn a_queued_job_that_is_damaged_is_a_dead_letter(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let bad = t.start("bad", job("a")).await;
    let sound = t.start("sound", job("a")).await;
    damage_job(t, &bad).await;
    let mut one = t.peer("one");
    let leases = one.leases("a", 9).await;
    assert_eq!(leases.len(), 1, "{leases:?}");
    is_dead(t, &bad, "a", RunStatus::Failed).await;
    the_rest_goes_on(t, &mut one, leases, &sound).await;
}

pub(super) async fn a_leased_job_that_is_damaged_is_a_dead_letter(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let bad = t.start("bad", job("a")).await;
    let unheard = t.start("unheard", job("b")).await;
    let sound = t.start("sound", job("a")).await;
    let mut one = t.short_peer("one");
    let leases = one.leases("a", 9).await;
    one.lease("b").await;
    damage_job(t, &bad).await;
    damage_job(t, &unheard).await;
    let held = leases.iter().find(|lease| lease.run == bad).unwrap().clone();
    let healthy = leases.iter().find(|lease| lease.run == sound).unwrap();
    let renewals = [&held, healthy].map(renewal).into();
    let turn = Turn { renewals, writes: vec![done(&held)], ..one.next() };
    let reply = one.send(&turn).await.unwrap();
    assert_eq!(reply.renewed, [RenewAnswer::LeaseLost, RenewAnswer::Renewed]);
    assert_eq!(reply.answers, [Answer::RunEnded { status: RunStatus::Failed }]);
    is_dead(t, &bad, "a", RunStatus::Failed).await;
    the_rest_goes_on(t, &mut one, leases, &sound).await;
    // No instance says anything about the other job any more.
    t.until("it is found", async || t.summary(&unheard).await.status == RunStatus::Failed).await;
    is_dead(t, &unheard, "b", RunStatus::Failed).await;
}

pub(super) async fn a_delayed_job_that_is_damaged_is_a_dead_letter(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let bad = t.start("bad", job("a")).await;
    let mut one = t.peer("one");
    let lease = one.lease("a").await;
    one.commit(write(&lease).retry(50)).await;
    let sound = t.start("sound", job("a")).await;
    damage_job(t, &bad).await;
    let found = async || t.summary(&bad).await.status == RunStatus::Failed || !t.dead(&bad).await.is_empty();
    t.until("it is due", found).await;
    let leases = one.leases("a", 9).await;
    is_dead(t, &bad, "a", RunStatus::Failed).await;
    the_rest_goes_on(t, &mut one, leases, &sound).await;
}

pub(super) async fn a_damaged_job_is_listed(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let bad = t.start("bad", job("a")).await;
    let sound = t.start("sound", job("a")).await;
    damage_job(t, &bad).await;
    for queue in [None, Some(queue("a"))] {
        let jobs = t.jobs(JobsQuery { queue, limit: 9, ..JobsQuery::default() }).await;
        let runs: Vec<_> = jobs.iter().map(|job| &job.run).collect();
        assert_eq!(runs, [&bad, &sound]);
        assert_eq!(jobs[1].state, JobState::Queued);
    }
}

pub(super) async fn a_damaged_run_can_be_cancelled_and_goes(t: &Fixture) {
    if !t.can_be_damaged() {
        return;
    }
    let run = t.start("r", job("a")).await;
    damage_job(t, &run).await;
    damage_entry(t, &run, 1, "{");
    assert_eq!(t.cancel(&run).await, Acted::Done);
    t.pass(30).await;
    t.tick_keeping(Retention { completed_ms: None, failed_ms: Some(20) }, 9).await;
    assert_eq!(t.try_summary(&run).await, None);
    // The damage hides to which queue the job belongs. Its place in the queue is removed when an instance leases.
    assert!(t.peer("one").leases("a", 9).await.is_empty());
    let counts = t.counts("a").await;
    assert_eq!((counts.queued, counts.leased, counts.delayed, counts.dead), (0, 0, 0, 0));
}
