//! What a program does beside its workers: provides data, pauses queues, reads timelines and lists, shows what it finds.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use nq::prelude::*;
use nq::store::{JobState, JobsQuery, RunsQuery};
use nq::{Builder, Client, Entry, EntryType, Nq, QueueError, QueueName, RunStatus, RunsError};
use serde_json::json;

nq::registry!();

/// Runs a test on an instance of each store.
async fn on_each_store(setup: impl Fn(Builder) -> Builder, test: impl AsyncFn(&Nq)) {
    let folder = tempfile::tempdir().unwrap();
    #[cfg(feature = "redis")]
    let server = redis::RedisServer::start(redis::EVERY_SECOND);
    let urls = [
        "memory:".to_owned(),
        format!("sqlite:{}", folder.path().join("test.db").display()),
        #[cfg(feature = "redis")]
        server.url(""),
    ];
    for url in urls {
        let nq = setup(nq::open(&url).await.unwrap()).start().await.unwrap();
        test(&nq).await;
        nq.shutdown().await.unwrap();
    }
}

#[nq::event]
struct Ping {
    n: u32,
}

// Data.

struct Prices(u64);

trait Bank: Send + Sync {
    fn name(&self) -> &'static str;
}

struct Savings;
impl Bank for Savings {
    fn name(&self) -> &'static str {
        "savings"
    }
}

#[nq::worker]
async fn look(
    _: Ping,
    prices: Data<Prices>,
    shared: Data<Arc<Prices>>,
    bank: Data<dyn Bank>,
    name: Data<str>,
) -> nq::Result<String> {
    assert_eq!(prices.0, shared.0);
    Ok(format!("{} {} {}", &*name, bank.name(), prices.0))
}

fn provided(builder: Builder) -> Builder {
    let (bank, name): (Arc<dyn Bank>, Arc<str>) = (Arc::new(Savings), Arc::from("the"));
    builder.data(Prices(1)).data(Arc::new(Prices(2))).data(bank).data(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_or_a_trait_is_provided_in_an_arc() {
    let nq = provided(nq::open("memory:").await.unwrap()).start().await.unwrap();
    let run = nq.start::<look>(Ping { n: 0 }).await.unwrap();
    assert_eq!(run.completed().await.unwrap().result::<String>().unwrap().unwrap(), "the savings 2");
    nq.shutdown().await.unwrap();

    let prices = Arc::new(Prices(3));
    let said = look(
        Ping { n: 0 },
        Data::from(prices.clone()),
        Data::new(prices),
        Data::from(Arc::new(Savings) as Arc<dyn Bank>),
        Data::from(Arc::from("a")),
    );
    assert_eq!(said.await.unwrap(), "a savings 3");
}

#[test]
fn the_last_of_several_values_of_one_type_counts() {
    let mut provided = nq::Provided::default();
    assert!(provided.get::<Prices>().is_none());
    provided.insert(Arc::new(Prices(1)));
    assert_eq!(provided.get::<Prices>().unwrap().0, 1);
    provided.insert(Prices(2));
    assert_eq!(provided.get::<Prices>().unwrap().0, 2);
    assert_eq!(provided.get::<Arc<Prices>>().unwrap().0, 1);
    provided.insert(Arc::new(Prices(3)));
    assert_eq!(provided.get::<Prices>().unwrap().0, 3);
    let missing = provided.require::<dyn Bank>().err().unwrap().to_string();
    assert!(missing.contains("add `.data(Arc::new(…) as Arc<dyn programs::Bank>)`"), "{missing}");
}

// The client as a parameter.

#[nq::worker(flow = "forward", retries = 1, backoff = fixed("1ms"))]
async fn forward(ping: Ping, ctx: Ctx<forward>, client: Client) -> nq::Result<String> {
    let run = client.start::<look>(Ping { n: ping.n + 1 }).id(ctx.idempotency_key()).await?;
    if ctx.attempt() == 1 {
        return Err(nq::Error::msg("once more"));
    }
    Ok(run.id().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_starts_runs_with_a_client_that_it_takes() {
    on_each_store(provided, async |nq| {
        let run = nq.start::<forward>(Ping { n: 1 }).await.unwrap();
        let started = run.completed().await.unwrap().result::<String>().unwrap().unwrap();
        nq.run(&started).unwrap().completed().await.unwrap();
        assert_eq!(nq.runs().flow("look").all().await.unwrap().len(), 1, "two attempts start one run");
    })
    .await;
}

#[tokio::test]
async fn a_test_gives_a_worker_a_client_and_looks_at_what_it_started() {
    let client = Client::for_test();
    let ctx = Ctx::test().attempt(2).build();
    let started = forward(Ping { n: 4 }, ctx, client.clone()).await.unwrap();
    let run = client.run(started).unwrap();
    assert_eq!(run.summary().await.unwrap().flow.as_str(), "look");
    assert_eq!(run.entries(vec![EntryType::FlowStarted]).await.unwrap()[0].data["input"]["n"], 5);
}

// Pausing.

#[nq::worker(flows = ["east", "west"])]
async fn pick(ping: Ping) -> nq::Result<u32> {
    Ok(ping.n)
}

async fn paused(nq: &Client) -> Vec<String> {
    let queues = nq.queues().await.unwrap().into_iter().filter(|counts| counts.paused);
    queues.map(|counts| counts.queue.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_queues_are_paused_by_type_and_by_name() {
    on_each_store(provided, async |nq| {
        nq.pause::<pick>().await.unwrap();
        assert_eq!(paused(nq).await, ["east/pick", "west/pick"]);
        let run = nq.flow("east").start::<pick>(Ping { n: 3 }).await.unwrap();
        nq.resume_queue("west/pick").await.unwrap();
        assert_eq!(paused(nq).await, ["east/pick"]);
        assert_eq!(run.status().await.unwrap(), RunStatus::Running);
        nq.resume::<pick>().await.unwrap();
        assert_eq!(run.completed().await.unwrap().result().unwrap(), Some(3));
        nq.pause_queue("look/look").await.unwrap();
        assert_eq!(paused(nq).await, ["look/look"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_nobody_knows_is_not_paused() {
    on_each_store(provided, async |nq| {
        for result in [nq.pause_queue("east/pik").await, nq.resume_queue("east/pik").await] {
            let error = result.unwrap_err();
            assert!(matches!(&error, QueueError::NoQueue { .. }), "{error:?}");
            assert_eq!(error.to_string(), "there is no queue `east/pik`; did you mean `east/pick`?");
        }
        let error = nq.pause_queue("mail").await.unwrap_err().to_string();
        assert_eq!(error, "there is no queue `mail`");
        assert!(matches!(nq.pause_queue("no name").await, Err(QueueError::Id(_))));
        assert!(paused(nq).await.is_empty());
        // This queue belongs to another program on the same store.
        nq.store().pause(&QueueName::of("mail", "send"), true).await.unwrap();
        assert_eq!(paused(nq).await, ["mail/send"]);
        nq.resume_queue("mail/send").await.unwrap();
        assert!(paused(nq).await.is_empty());
        nq.pause_queue("mail/send").await.unwrap();
    })
    .await;
}

// Timelines end.

async fn rest(timeline: impl futures_util::Stream<Item = Result<Entry, nq::store::StoreError>>) -> Vec<u64> {
    let entries = timeline.map(|entry| entry.unwrap().id.n).collect();
    tokio::time::timeout(Duration::from_secs(20), entries).await.expect("the timeline ends")
}

#[nq::worker(flow = "wait")]
async fn wait(ping: Ping, ctx: Ctx<wait>) -> nq::Result<()> {
    if ping.n > 0 {
        ctx.stopping().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_ends_wherever_it_begins() {
    on_each_store(provided, async |nq| {
        let run = nq.start::<wait>(Ping { n: 0 }).await.unwrap();
        run.completed().await.unwrap();
        let last = run.summary().await.unwrap().last.n;
        assert_eq!(rest(run.timeline_after(last - 1)).await, [last]);
        for after in [last, last + 1, last + 1_000, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
            assert!(rest(run.timeline_after(after)).await.is_empty(), "after {after}");
        }
        // One that begins before the end of its run.
        for ahead in [0, 1, u64::MAX] {
            let run = nq.start::<wait>(Ping { n: 1 }).await.unwrap();
            let mut timeline = run.timeline();
            while timeline.next().await.unwrap().unwrap().kind != EntryType::StepStarted {}
            let last = run.summary().await.unwrap().last.n;
            let timeline = run.timeline_after(last.saturating_add(ahead));
            let (rest, cancelled) = futures_util::join!(rest(timeline), run.cancel("done with"));
            assert!(cancelled.unwrap());
            let end = run.summary().await.unwrap().last.n;
            assert!(rest.iter().all(|n| *n > last && *n <= end), "{rest:?}");
            assert!(ahead > 0 || rest.contains(&end), "{rest:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_timeline_of_a_run_that_is_gone_is_one_error() {
    on_each_store(provided, async |nq| {
        for after in [0, 7, u64::MAX] {
            let run = nq.run("gone").unwrap();
            let all: Vec<_> = run.timeline_after(after).take(5).collect().await;
            assert_eq!(all.len(), 1);
            let error = all[0].as_ref().unwrap_err();
            assert_eq!(error.kind(), nq::store::ErrorKind::NotFound);
        }
    })
    .await;
}

// Lists, and what they show.

#[nq::worker(retries = 1, backoff = fixed("1ms"))]
async fn break_down(_: Ping) -> nq::Result<()> {
    Err(nq::Error::msg("broken"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_look_at_can_be_shown_as_json() {
    on_each_store(provided, async |nq| {
        let run = nq.start::<break_down>(Ping { n: 0 }).await.unwrap();
        run.completed().await.unwrap_err();
        let id = run.id().as_str();
        let dead = nq.jobs(&JobsQuery { dead: true, ..JobsQuery::default() }).await.unwrap().remove(0);
        assert!(matches!(&dead.state, JobState::Dead { error } if error == "broken"));
        let step = dead.step.to_string();
        assert_eq!(
            serde_json::to_value(&dead).unwrap(),
            json!({
                "run": id, "step": step, "queue": "break_down/break_down", "state": "dead", "error": "broken",
                "attempt": 2, "failures": 2, "crashes": 0,
            })
        );
        let page = nq.runs().page().await.unwrap();
        let shown = serde_json::to_value(&page).unwrap();
        assert_eq!((&shown["runs"][0]["run"], &shown["runs"][0]["status"]), (&json!(id), &json!("failed")));
        assert!(shown["runs"][0]["startedMs"].is_u64() && shown["next"].is_null());
        let counts = serde_json::to_value(nq.queues().await.unwrap()).unwrap();
        assert_eq!(counts[0]["queue"], "break_down/break_down");
        let view = serde_json::to_value(run.view().await.unwrap()).unwrap();
        assert_eq!(view["status"], "failed");
        assert_eq!((&view["steps"][&step]["attempt"], &view["steps"][&step]["outcome"]), (&json!(2), &json!("broken")));
        let entry = run.entries(vec![EntryType::StepFailed]).await.unwrap().remove(0);
        assert_eq!(
            serde_json::to_value(&entry).unwrap(),
            json!({
                "id": entry.id.to_string(), "ts": entry.id.ms, "type": "flow.step.failed", "stepName": "break_down",
                "stepId": step, "attempt": 2, "data": { "error": "broken" },
            })
        );
    })
    .await;
}

#[test]
fn queries_are_read_and_shown_as_json() {
    let query: JobsQuery = serde_json::from_value(json!({ "dead": true, "queue": "a/b" })).unwrap();
    assert_eq!(query, JobsQuery { dead: true, queue: Some(QueueName::of("a", "b")), ..JobsQuery::default() });
    assert_eq!(serde_json::from_str::<RunsQuery>("{}").unwrap(), RunsQuery::default());
    let violation = nq::Violation { pointer: "/n".into(), message: "no".into() };
    assert_eq!(serde_json::to_value(violation).unwrap(), json!({ "pointer": "/n", "message": "no" }));
    let leased = JobState::Leased { instance: "i".parse().unwrap(), deadline_ms: 5 };
    let job = nq::store::JobSummary {
        run: "r".parse().unwrap(),
        step: "a@1-1".parse().unwrap(),
        queue: QueueName::of("f", "a"),
        state: leased,
        attempt: 1,
        failures: 0,
        crashes: 0,
    };
    let shown = serde_json::to_value(job).unwrap();
    assert_eq!(
        (&shown["state"], &shown["instance"], &shown["deadlineMs"]),
        (&json!("leased"), &json!("i"), &json!(5))
    );
}

#[tokio::test]
async fn a_list_of_runs_that_cannot_be_has_an_error_of_its_own() {
    let client = Client::for_test();
    assert!(matches!(client.runs().flow("no name").page().await, Err(RunsError::Id(_))));
    assert!(matches!(client.runs().after("nothing").all().await, Err(RunsError::Store(_))));
    assert!(client.runs().limit(0).page().await.unwrap().runs.is_empty());
}

// A context for tests.

#[nq::worker(flow = "resume", emits = [Ping])]
async fn resume(ping: Ping, ctx: Ctx<resume>) -> nq::Result<String> {
    let first = ctx.run("fetch", || async { nq::Ok("fetched".to_owned()) }).await?;
    ctx.checkpoint().await?;
    ctx.emit(Ping { n: ping.n + ctx.attempt() })?;
    let second = ctx.run("fetch", || async { nq::Ok("fetched again".to_owned()) }).await?;
    let customer: Option<u64> = ctx.state().get("customer").await?;
    Ok(format!("{first}, {second}, {customer:?}, {}", ctx.is_stopping()))
}

#[tokio::test]
async fn a_context_for_tests_is_that_of_any_attempt() {
    let said = resume(Ping { n: 1 }, Ctx::for_test()).await.unwrap();
    assert_eq!(said, "fetched, fetched again, None, false");
    let ctx = Ctx::test().attempt(3).recorded("fetch", "recorded").state("customer", 9).stopping().build();
    let said = resume(Ping { n: 1 }, ctx.clone()).await.unwrap();
    assert_eq!(said, "recorded, fetched again, Some(9), true");
    assert_eq!(ctx.emitted::<Ping>()[0].n, 4);
    let ctx =
        Ctx::test().recorded("fetch", "one").recorded("fetch", "two").recorded("checkpoint", ()).build();
    assert_eq!(resume(Ping { n: 1 }, ctx).await.unwrap(), "one, two, None, false");
    let error = resume(Ping { n: 1 }, Ctx::test().recorded("fetch", 5).build()).await.unwrap_err();
    assert!(error.report().contains("cannot be read as `alloc::string::String`"), "{error:?}");
}
