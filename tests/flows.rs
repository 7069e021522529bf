//! Whole flows on each embedded store: what a user writes, and what it does.

mod support {
    pub(crate) mod stores;
}

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use nq::{Builder, Entry, EntryType, Json, Run, RunError, RunStatus, StartError};
use serde_json::json;
use support::stores::on_each_store;

nq::registry!();

/// What the workers of this file share with the tests.
#[derive(Default)]
struct Probe {
    calls: AtomicU32,
    effects: AtomicU32,
}

impl Probe {
    fn call(&self) -> u32 {
        self.calls.fetch_add(1, Ordering::SeqCst) + 1
    }
}

fn with_probe(builder: Builder) -> Builder {
    builder.data(Probe::default())
}

async fn kinds(run: &Run) -> Vec<String> {
    run.entries(Vec::new()).await.unwrap().iter().map(|entry| entry.kind.to_string()).collect()
}

async fn of_type(run: &Run, kind: EntryType) -> Vec<Entry> {
    run.entries(vec![kind]).await.unwrap()
}

/// The promises that hold for every timeline.
async fn sound(run: &Run) {
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

// A fan-out that ends in a gather, joined with the other branch of the flow.

#[nq::event]
struct Basket {
    items: u64,
}
#[nq::event]
struct Item {
    id: u64,
}
#[nq::event]
struct Priced {
    id: u64,
    cents: u64,
}
#[nq::event]
struct Total {
    cents: u64,
}
#[nq::event]
struct Address {
    zip: String,
}

#[nq::worker(flow = "shop", emits = [Item])]
async fn unpack(basket: Basket, ctx: Ctx<unpack>) -> nq::Result<()> {
    for id in 0..basket.items {
        ctx.emit(Item { id })?;
    }
    Ok(())
}

#[nq::worker(flow = "shop", subscribes = [Item], emits = [Priced], concurrency = 4)]
async fn price(item: Item, ctx: Ctx<price>) -> nq::Result<()> {
    ctx.state().incr("priced", 1)?;
    ctx.emit(Priced { id: item.id, cents: item.id * 100 })?;
    Ok(())
}

#[nq::worker(flow = "shop", gathers = [Priced], emits = [Total])]
async fn total(all: Vec<Priced>, ctx: Ctx<total>) -> nq::Result<()> {
    ctx.emit(Total { cents: all.iter().map(|one| one.cents).sum() })?;
    ctx.state().set("ids", &all.iter().map(|one| one.id).collect::<Vec<_>>())?;
    Ok(())
}

#[nq::worker(flow = "shop", emits = [Address])]
async fn address(zip: Address, ctx: Ctx<address>) -> nq::Result<()> {
    ctx.emit(zip)?;
    Ok(())
}

#[nq::worker(flow = "shop", subscribes = [Total])]
async fn invoice(total: Total, ctx: Ctx<invoice>) -> nq::Result<u64> {
    let priced: Option<u64> = ctx.state().get("priced").await?;
    assert!(priced.is_none_or(|priced| priced > 0));
    Ok(total.cents)
}

#[nq::worker(flow = "shop", joins = [Address, Total])]
async fn label(both: (Address, Total)) -> nq::Result<String> {
    Ok(format!("{} {}", both.0.zip, both.1.cents))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gather_runs_once_when_everything_before_it_is_done() {
    on_each_store(with_probe, async |nq| {
        for items in [0, 1, 7] {
            let run = nq.start::<unpack>(Basket { items }).await.unwrap();
            let completed = run.completed().await.unwrap();
            let cents = (0..items).map(|id| id * 100).sum::<u64>();
            assert_eq!(completed.result_of::<u64>("invoice").unwrap(), Some(cents));
            let gathered = of_type(&run, EntryType::StepCompleted).await;
            let totals =
                gathered.iter().filter(|e| e.step.as_ref().unwrap().worker().as_str() == "total").count();
            assert_eq!(totals, 1);
            let mut ids: Vec<u64> =
                serde_json::from_value(run.state().await.unwrap()["ids"].clone()).unwrap();
            ids.sort_unstable();
            assert_eq!(ids, (0..items).collect::<Vec<_>>());
            sound(&run).await;
            // In this run only one side of the join arrives: the timeline says so, and the run completes.
            let end = of_type(&run, EntryType::FlowCompleted).await.remove(0);
            assert_eq!(end.data["unpaired"][0]["stepName"], "label");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_with_several_entries_needs_one_named() {
    on_each_store(with_probe, async |nq| {
        let error = nq.start_json("shop", json!({ "items": 1 })).await.unwrap_err();
        assert!(matches!(&error, StartError::NoEntry { .. }), "{error}");
        assert!(error.to_string().contains("`address`, `unpack`"), "{error}");
        let run = nq.start_json("shop", json!({ "zip": "1010" })).entry("address").await.unwrap();
        run.completed().await.unwrap();
        let error = nq.start_json("address", json!({})).await.unwrap_err();
        let says = "there is no flow `address`; `address` is a worker of flow `shop`: start the flow `shop`";
        assert_eq!(error.to_string(), says);
        let error = nq.start_json("shopp", json!({})).await.unwrap_err();
        assert!(error.to_string().contains("did you mean `shop`?"), "{error}");
    })
    .await;
}

// Joins pair by order, or by a field.

#[nq::event]
struct Go {
    pairs: Vec<(String, u64)>,
}
#[nq::event]
struct Left {
    key: String,
    n: u64,
}
#[nq::event]
struct Right {
    key: String,
    n: u64,
}

#[nq::worker(flow = "pairs", emits = [Left, Right])]
async fn deal(go: Go, ctx: Ctx<deal>) -> nq::Result<()> {
    for (key, n) in &go.pairs {
        ctx.emit(Left { key: key.clone(), n: *n })?;
    }
    for (key, n) in go.pairs.into_iter().rev() {
        ctx.emit(Right { key, n })?;
    }
    Ok(())
}

#[nq::worker(flow = "pairs", joins = [Left, Right])]
async fn by_order((left, right): (Left, Right)) -> nq::Result<String> {
    Ok(format!("{}{}", left.key, right.key))
}

#[nq::worker(flow = "pairs", joins = [Left, Right], by = "key")]
async fn by_key((left, right): (Left, Right)) -> nq::Result<String> {
    assert_eq!(left.key, right.key);
    Ok(format!("{}{}", left.n, right.n))
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_pair_by_order_or_by_field() {
    on_each_store(with_probe, async |nq| {
        let pairs = vec![("a".to_owned(), 1), ("b".to_owned(), 2), ("c".to_owned(), 3)];
        let run = nq.start::<deal>(Go { pairs }).await.unwrap();
        run.completed().await.unwrap();
        let results = |worker: &'static str| {
            let run = run.clone();
            async move {
                let done = of_type(&run, EntryType::StepCompleted).await;
                let done = done.into_iter().filter(|e| e.step.as_ref().unwrap().worker().as_str() == worker);
                let mut all: Vec<_> = done.map(|e| e.data["result"].as_str().unwrap().to_owned()).collect();
                all.sort();
                all
            }
        };
        assert_eq!(results("by_order").await, ["ac", "bb", "ca"]);
        assert_eq!(results("by_key").await, ["11", "22", "33"]);
        sound(&run).await;
    })
    .await;
}

// Failures.

#[nq::event]
struct Trial {
    how: String,
}

#[nq::worker(retries = 2, backoff = fixed("5ms"), timeout = "2s")]
async fn trial(trial: Trial, ctx: Ctx<trial>, probe: Data<Probe>) -> nq::Result<u32> {
    probe.call();
    ctx.state().set("attempt", &ctx.attempt())?;
    match (trial.how.as_str(), ctx.attempt()) {
        ("panic", 1) => panic!("the first attempt panics"),
        ("error", 1 | 2) | ("always", _) => Err(nq::Error::msg("not this time")),
        ("fatal", _) => Err(nq::Error::fatal("no other attempt helps")),
        ("later", 1) => Err(nq::Error::retry_after("wait", Duration::from_millis(120))),
        ("hang", 1) => std::future::pending().await,
        ("big", _) => Err(ctx.state().set("big", &"x".repeat(2 << 20)).unwrap_err().into()),
        (_, attempt) => Ok(attempt),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_retried_by_policy_and_leave_nothing_behind() {
    on_each_store(with_probe, async |nq| {
        for (how, attempts) in [("fine", 1), ("panic", 2), ("error", 3)] {
            let run = nq.start::<trial>(Trial { how: how.into() }).await.unwrap();
            let completed = run.completed().await.unwrap();
            assert_eq!(completed.result::<u32>().unwrap(), Some(attempts), "{how}");
            assert_eq!(run.state().await.unwrap()["attempt"], json!(attempts));
            assert_eq!(
                of_type(&run, EntryType::StateSet).await.len(),
                1,
                "only the last attempt's state stays"
            );
            sound(&run).await;
        }
        for (how, attempts, says) in [
            ("always", 3, "not this time"),
            ("fatal", 1, "no other attempt helps"),
            ("big", 3, "the limit is 1048576"),
        ] {
            let run = nq.start::<trial>(Trial { how: how.into() }).await.unwrap();
            let error = run.completed().await.unwrap_err();
            assert!(matches!(&error, RunError::Failed { step, .. } if step == "trial"), "{error}");
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(of_type(&run, EntryType::StepStarted).await.len(), attempts, "{how}");
            assert_eq!(run.status().await.unwrap(), RunStatus::Failed);
            sound(&run).await;
        }
        let dead =
            nq.jobs(&nq::store::JobsQuery { dead: true, limit: 10, ..Default::default() }).await.unwrap();
        assert_eq!(dead.len(), 3, "dead letters are kept");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_is_ended_and_retried() {
    on_each_store(with_probe, async |nq| {
        let run = nq.start::<trial>(Trial { how: "hang".into() }).await.unwrap();
        assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(2));
        let retrying = of_type(&run, EntryType::StepRetrying).await.remove(0);
        assert_eq!(retrying.data["error"], "the attempt timed out after 2s");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_may_say_when_to_try_again() {
    on_each_store(with_probe, async |nq| {
        let run = nq.start::<trial>(Trial { how: "later".into() }).await.unwrap();
        run.completed().await.unwrap();
        let retrying = of_type(&run, EntryType::StepRetrying).await.remove(0);
        assert_eq!(retrying.data["delayMs"], 120);
        let again = of_type(&run, EntryType::StepStarted).await.remove(1);
        assert!(again.id.ms >= retrying.id.ms + 120, "{} {}", retrying.id, again.id);
    })
    .await;
}

#[nq::event]
struct Many {
    n: u32,
}
#[nq::event]
struct One {
    n: u32,
}

#[nq::worker(flow = "tolerant", emits = [One])]
async fn spread(many: Many, ctx: Ctx<spread>) -> nq::Result<()> {
    for n in 0..many.n {
        ctx.emit(One { n })?;
    }
    Ok(())
}

#[nq::worker(flow = "tolerant", subscribes = [One], emits = [Total], retries = 0, on_failure = "continue")]
async fn odd_fails(one: One, ctx: Ctx<odd_fails>) -> nq::Result<()> {
    if one.n % 2 == 1 {
        return Err(nq::Error::msg("odd"));
    }
    ctx.emit(Total { cents: 1 })?;
    Ok(())
}

#[nq::worker(flow = "tolerant", gathers = [Total])]
async fn count(all: Vec<Total>) -> nq::Result<usize> {
    Ok(all.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_without_a_step_that_may_fail() {
    on_each_store(with_probe, async |nq| {
        let run = nq.start::<spread>(Many { n: 5 }).await.unwrap();
        assert_eq!(run.completed().await.unwrap().result::<usize>().unwrap(), Some(3));
        assert_eq!(of_type(&run, EntryType::StepFailed).await.len(), 2);
        sound(&run).await;
    })
    .await;
}

// Operations that an attempt has recorded are not done again by the next one.

#[nq::event]
struct Charge {
    fail_at: u32,
}
#[nq::event]
struct Note {
    n: u32,
}

#[nq::worker(flow = "charge", emits = [Note], retries = 3, backoff = fixed("1ms"))]
async fn charge(charge: Charge, ctx: Ctx<charge>, probe: Data<Probe>) -> nq::Result<String> {
    let key: String = ctx
        .run("call the bank", || async {
            probe.effects.fetch_add(1, Ordering::SeqCst);
            nq::Ok(ctx.idempotency_key())
        })
        .await?;
    assert_eq!(key, ctx.idempotency_key(), "the key is the same on every attempt");
    ctx.state().incr("notes", 1)?;
    ctx.emit(Note { n: 1 })?;
    ctx.checkpoint().await?;
    let seen: Option<i64> = ctx.state().get("notes").await?;
    assert_eq!(seen, Some(1), "a step sees its own writes, replayed or not");
    if ctx.attempt() <= charge.fail_at {
        return Err(nq::Error::msg("after the checkpoint"));
    }
    ctx.emit(Note { n: 2 })?;
    Ok(key)
}

#[nq::worker(flow = "charge", subscribes = [Note])]
async fn note(note: Note) -> nq::Result<u32> {
    Ok(note.n)
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_and_checkpoints_are_done_once() {
    on_each_store(with_probe, async |nq| {
        let run = nq.start::<charge>(Charge { fail_at: 2 }).await.unwrap();
        run.completed().await.unwrap();
        let effects = of_type(&run, EntryType::StepEffect).await;
        let names: Vec<_> = effects.iter().map(|e| e.data["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["call the bank", "checkpoint"]);
        let notes = of_type(&run, EntryType::EventEmitted).await;
        assert_eq!(notes.len(), 2);
        assert_eq!(run.state().await.unwrap()["notes"], 1);
        sound(&run).await;
    })
    .await;
}

#[nq::worker(flow = "changed", retries = 1, backoff = fixed("1ms"))]
async fn changes_its_mind(_: Charge, ctx: Ctx<changes_its_mind>) -> nq::Result<()> {
    if ctx.attempt() == 1 {
        ctx.run("first", || async { nq::Ok(1) }).await?;
    } else {
        ctx.run("second", || async { nq::Ok(2) }).await?;
    }
    Err(nq::Error::msg("again"))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_operation_at_a_recorded_place_is_an_error_that_names_both() {
    on_each_store(with_probe, async |nq| {
        let run = nq.start::<changes_its_mind>(Charge { fail_at: 0 }).await.unwrap();
        let error = run.completed().await.unwrap_err().to_string();
        assert!(
            error.contains(r#"recorded as `ctx.run("first")`, and is `ctx.run("second")` now"#),
            "{error}"
        );
    })
    .await;
}

// State.

#[nq::event]
struct Begin {
    n: u32,
}
#[nq::event]
struct Counted {
    n: u32,
}

#[nq::worker(flow = "state", emits = [Counted])]
async fn begin(begin: Begin, ctx: Ctx<begin>) -> nq::Result<()> {
    ctx.state().set("total", &0)?;
    for n in 0..begin.n {
        ctx.emit(Counted { n })?;
    }
    Ok(())
}

#[nq::worker(flow = "state", subscribes = [Counted], emits = [Note])]
async fn add(counted: Counted, ctx: Ctx<add>) -> nq::Result<()> {
    let state = ctx.state();
    let before: Option<i64> = state.get("total").await?;
    state.incr("total", i64::from(counted.n))?;
    let after: Option<i64> = state.get("total").await?;
    assert_eq!(after.unwrap() - before.unwrap(), i64::from(counted.n));
    ctx.checkpoint().await?;
    state.refresh().await?;
    let refreshed: Option<i64> = state.get("total").await?;
    assert!(refreshed >= after, "a refresh sees what others have added, and our own");
    ctx.emit(Note { n: counted.n })?;
    Ok(())
}

#[nq::worker(flow = "state", gathers = [Note])]
async fn check(all: Vec<Note>, ctx: Ctx<check>) -> nq::Result<i64> {
    let total: Option<i64> = ctx.state().get("total").await?;
    assert_eq!(total, Some(all.iter().map(|note| i64::from(note.n)).sum()));
    Ok(total.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_steps_count_together_and_history_can_be_read() {
    on_each_store(with_probe, async |nq| {
        let run = nq.start::<begin>(Begin { n: 300 }).await.unwrap();
        let completed = run.completed().await.unwrap();
        assert_eq!(completed.result::<i64>().unwrap(), Some(299 * 300 / 2));
        sound(&run).await;
        let entries = run.entries(Vec::new()).await.unwrap();
        for at in [1, entries.len() / 2, entries.len() - 1] {
            let then = nq::State::of(&entries[..=at]).map;
            assert_eq!(run.state_at(entries[at].id).await.unwrap(), then);
        }
        let middle = entries[entries.len() / 2].id.ms;
        let until = entries.partition_point(|entry| entry.id.ms <= middle);
        assert_eq!(run.state_at_time(middle).await.unwrap(), nq::State::of(&entries[..until]).map);
        assert!(run.state_at_time(0).await.unwrap().is_empty());
        let snapshots = of_type(&run, EntryType::StateSnapshot).await;
        assert!(!snapshots.is_empty(), "a state of hundreds of changes has a snapshot");
    })
    .await;
}

// Starting and reading.

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_an_id_starts_once() {
    on_each_store(with_probe, async |nq| {
        let trial_of = |how: &str| Trial { how: how.into() };
        let first = nq.start::<trial>(trial_of("fine")).id("job-1").await.unwrap();
        let second = nq.start::<trial>(trial_of("fine")).id("job-1").await.unwrap();
        assert_eq!(first.id(), second.id());
        second.completed().await.unwrap();
        nq.start::<trial>(trial_of("fine")).id("job-1").await.unwrap();
        assert_eq!(of_type(&first, EntryType::FlowStarted).await.len(), 1);
        let error = nq.start::<trial>(trial_of("error")).id("job-1").await.unwrap_err();
        assert!(error.to_string().contains("exists with another flow or input"), "{error}");
        let error = nq.start::<trial>(trial_of("fine")).id("a b").await.unwrap_err();
        assert!(matches!(error, StartError::Id(_)), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_from_elsewhere_is_checked_against_the_schema() {
    on_each_store(with_probe, async |nq| {
        let pointer = |error: StartError| match error {
            StartError::Invalid { violations, .. } => violations[0].pointer.clone(),
            other => panic!("{other}"),
        };
        let error = nq.start_json("trial", json!({ "how": 7 })).await.unwrap_err();
        assert!(error.to_string().contains("the event `trial`: at `/how`: 7 is not of type"), "{error}");
        assert_eq!(pointer(error), "/how");
        assert_eq!(pointer(nq.start_json("trial", json!({})).await.unwrap_err()), "");
        assert_eq!(pointer(nq.start_json("trial", json!("x")).await.unwrap_err()), "");
        let bad = json!({ "pairs": [["a", 1], ["b"]] });
        assert_eq!(pointer(nq.start_json("pairs", bad).await.unwrap_err()), "/pairs/1");
        nq.start_json("trial", json!({ "how": "fine" })).await.unwrap().completed().await.unwrap();
        assert_eq!(nq.runs().all().await.unwrap().len(), 1, "what was refused is not there");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_at_the_limit_is_taken_and_one_above_is_not() {
    on_each_store(with_probe, async |nq| {
        let sized = |len: usize| Trial { how: "x".repeat(len) };
        let frame = serde_json::to_string(&sized(0)).unwrap().len();
        let limit = 1 << 20;
        nq.start::<trial>(sized(limit - frame)).await.unwrap().completed().await.unwrap();
        let error = nq.start::<trial>(sized(limit - frame + 1)).await.unwrap_err();
        assert!(
            matches!(error, StartError::TooLarge { bytes, limit: at } if bytes == limit + 1 && at == limit)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_newest_first_in_pages() {
    on_each_store(with_probe, async |nq| {
        let mut ids = Vec::new();
        for how in ["fine", "fatal", "fine", "fine"] {
            let run = nq.start::<trial>(Trial { how: how.into() }).await.unwrap();
            let _ = run.completed().await;
            ids.push(run.id().clone());
        }
        nq.start::<spread>(Many { n: 0 }).await.unwrap().completed().await.unwrap();
        let first = nq.runs().flow("trial").limit(3).page().await.unwrap();
        let listed: Vec<_> = first.runs.iter().map(|run| run.run.clone()).collect();
        assert_eq!(listed, [ids[3].clone(), ids[2].clone(), ids[1].clone()]);
        nq.start::<trial>(Trial { how: "fine".into() }).await.unwrap().completed().await.unwrap();
        let second = nq.runs().flow("trial").limit(3).after(first.next.unwrap()).page().await.unwrap();
        assert_eq!(second.runs.iter().map(|run| run.run.clone()).collect::<Vec<_>>(), [ids[0].clone()]);
        let failed = nq.runs().status(RunStatus::Failed).all().await.unwrap();
        assert_eq!(failed.iter().map(|run| &run.run).collect::<Vec<_>>(), [&ids[1]]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_is_followed_without_gap_or_repeat() {
    on_each_store(with_probe, async |nq| {
        let run = nq.start::<begin>(Begin { n: 50 }).await.unwrap();
        let followed: Vec<Entry> = run.timeline().map(Result::unwrap).collect().await;
        assert_eq!(followed, run.entries(Vec::new()).await.unwrap());
        let late: Vec<Entry> = run.timeline_after(10).map(Result::unwrap).collect().await;
        assert_eq!(late, followed[10..]);
        let unknown = nq.run("nowhere").unwrap();
        assert!(unknown.timeline().next().await.unwrap().is_err());
        let error = unknown.completed().await.unwrap_err();
        assert!(error.to_string().contains("there is no such run"), "{error}");
    })
    .await;
}

#[nq::worker(flow = "chatty")]
async fn chatty(_: Begin) -> nq::Result<()> {
    tracing::info!(answer = 42, "first");
    tracing::warn!("second");
    let work = async { tracing::error!(deep = true, "third") };
    tracing::Instrument::instrument(work, tracing::info_span!("inner")).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_of_a_step_stand_in_its_timeline() {
    on_each_store(with_probe, async |nq| {
        let run = nq.start::<chatty>(Begin { n: 0 }).await.unwrap();
        run.completed().await.unwrap();
        assert_eq!(
            kinds(&run).await,
            [
                "flow.started",
                "flow.step.started",
                "log.info",
                "log.warn",
                "log.error",
                "flow.step.completed",
                "flow.completed"
            ]
        );
        let line = of_type(&run, EntryType::LogInfo).await.remove(0);
        assert_eq!(line.data, json!({ "message": "first", "fields": { "answer": 42 } }));
        assert_eq!(line.step.unwrap().worker().as_str(), "chatty");
    })
    .await;
}

// Untyped events.

#[nq::worker(flow = "untyped", emits = ["row.read"])]
async fn read_rows(begin: Begin, ctx: Ctx<read_rows>) -> nq::Result<()> {
    ctx.emit_named("row.read", json!({ "n": begin.n }))?;
    let error = ctx.emit_named("row.lost", json!({})).unwrap_err();
    assert!(error.to_string().contains("does not declare that it emits `row.lost`"), "{error}");
    Ok(())
}

#[nq::worker(flow = "untyped", subscribes = ["row.read"])]
async fn keep_row(row: Json) -> nq::Result<Json> {
    Ok(row["n"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn untyped_events_flow_by_name() {
    on_each_store(with_probe, async |nq| {
        let run = nq.start::<read_rows>(Begin { n: 9 }).await.unwrap();
        assert_eq!(run.completed().await.unwrap().result::<u32>().unwrap(), Some(9));
    })
    .await;
}

// A handler is a plain function.

#[tokio::test]
async fn a_handler_is_callable_from_a_plain_test() {
    let ctx = Ctx::<price>::for_test();
    price(Item { id: 3 }, ctx.clone()).await.unwrap();
    assert_eq!(ctx.emitted::<Priced>()[0].cents, 300);
    assert_eq!(ctx.state().get::<u32>("priced").await.unwrap(), Some(1));
    assert_eq!(label((Address { zip: "1".into() }, Total { cents: 2 })).await.unwrap(), "1 2");
}
