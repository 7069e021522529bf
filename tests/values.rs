//! A payload is kept as it is, or refused where it is made; a text such as an error is cut. On each store.

#[cfg(feature = "redis")]
#[path = "../nq-runtime/tests/support/redis.rs"]
mod redis;
mod support {
    pub(crate) mod every_store;
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nq::prelude::*;
use nq::{Builder, EntryType, Json, Nq, Run, RunError, StartError, StepError};
use nq_core::limits::{MAX_DEPTH, MAX_KEY_BYTES, MAX_TEXT_BYTES};
use serde_json::json;
use support::every_store::on_every_store;

nq::registry!();

/// Arrays in each other.
fn nested(depth: usize) -> Json {
    (0..depth).fold(json!(1), |inner, _| Json::Array(vec![inner]))
}

fn plain(builder: Builder) -> Builder {
    builder.data(Arc::new(Acts::default()))
}

/// How many times the act of a `ctx.run` was done.
#[derive(Default)]
struct Acts(AtomicU32);

async fn failed(run: &Run) -> String {
    match run.completed().await.unwrap_err() {
        RunError::Failed { error, .. } => error,
        other => panic!("{other}"),
    }
}

/// Where a value is made.
#[nq::event]
struct Make {
    place: String,
    depth: usize,
}

#[nq::event]
struct Made {
    value: Json,
}

#[nq::worker(flow = "deep", emits = [Made, "made.plain"], retries = 3, backoff = fixed("1ms"))]
async fn make(make: Make, ctx: Ctx<make>, acts: Data<Arc<Acts>>) -> nq::Result<Json> {
    let value = nested(make.depth);
    match make.place.as_str() {
        // The event is an object around it.
        "emit" => ctx.emit(Made { value: nested(make.depth - 1) })?,
        "emit_named" => ctx.emit_named("made.plain", value)?,
        "state" => ctx.state().set("k", &value)?,
        "batch" => {
            ctx.state().set("k", &value)?;
            ctx.state().set("l", &value)?;
        }
        "effect" => {
            acts.0.fetch_add(1, Ordering::SeqCst);
            let result: Json = ctx.run("make", async || nq::Ok(value)).await?;
            assert_eq!(result, nested(make.depth));
        }
        _ => return Ok(value),
    }
    Ok(Json::Null)
}

#[nq::worker(flow = "deep", subscribes = [Made])]
async fn look_at_made(made: Made) -> nq::Result<Json> {
    Ok(made.value)
}

#[nq::worker(flow = "deep", subscribes = ["made.plain"])]
async fn look(made: Json) -> nq::Result<Json> {
    Ok(made)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_as_deep_as_the_limit_says_wherever_it_is_made() {
    on_every_store(plain, async |nq| {
        for place in ["emit", "emit_named", "state", "batch", "effect", "result"] {
            let place = place.to_owned();
            let run = nq.start::<make>(Make { place: place.clone(), depth: MAX_DEPTH }).await.unwrap();
            let completed = run.completed().await.unwrap_or_else(|error| panic!("{place}: {error}"));
            match place.as_str() {
                "result" => assert_eq!(completed.result_of::<Json>("make").unwrap(), Some(nested(MAX_DEPTH))),
                "state" | "batch" => assert_eq!(run.state().await.unwrap()["k"], nested(MAX_DEPTH)),
                "emit_named" => {
                    assert_eq!(completed.result_of::<Json>("look").unwrap(), Some(nested(MAX_DEPTH)));
                }
                _ => {}
            }
            let run = nq.start::<make>(Make { place: place.clone(), depth: MAX_DEPTH + 1 }).await.unwrap();
            let error = failed(&run).await;
            assert!(error.contains("deeper than 64 levels at `/"), "{place}: {error}");
        }
        run_on(nq).await;
    })
    .await;
}

/// Checks that the instance still works and that its runs can be read.
async fn run_on(nq: &Nq) {
    for run in nq.runs().all().await.unwrap() {
        nq.run(run.run.as_str()).unwrap().view().await.unwrap();
    }
    let run = nq.start::<make>(Make { place: "state".to_owned(), depth: 1 }).await.unwrap();
    run.completed().await.unwrap();
}

#[nq::event]
struct Order {
    count: u32,
    #[serde(default)]
    lines: Vec<Line>,
    #[serde(default)]
    extra: Json,
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Line {
    small: i8,
    large: u64,
    price: f64,
}

#[nq::worker(flow = "order")]
async fn order(order: Order) -> nq::Result<u32> {
    Ok(order.count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_as_deep_as_the_limit_says_also_in_fields_that_nobody_knows() {
    on_every_store(plain, async |nq| {
        // The input is an object around it.
        let typed = |depth| Order { count: 1, lines: Vec::new(), extra: nested(depth) };
        nq.start::<order>(typed(MAX_DEPTH - 1)).await.unwrap().completed().await.unwrap();
        let unknown = |depth| json!({ "count": 1, "unknown": nested(depth) });
        nq.start_json("order", unknown(MAX_DEPTH - 1)).await.unwrap().completed().await.unwrap();
        for error in [
            nq.start::<order>(typed(MAX_DEPTH)).await.unwrap_err(),
            nq.start_json("order", unknown(MAX_DEPTH)).await.unwrap_err(),
            nq.start_json("order", unknown(125)).await.unwrap_err(),
            nq.start_json("order", nested(100_000)).await.unwrap_err(),
            nq.start::<order>(typed(100_000)).await.unwrap_err(),
        ] {
            assert!(matches!(&error, StartError::TooDeep { limit: 64, .. }), "{error}");
        }
        assert_eq!(nq.runs().all().await.unwrap().len(), 2, "nothing else is stored");
        run_on(nq).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_worker_could_not_read_does_not_start() {
    on_every_store(plain, async |nq| {
        let line = |small: Json, large: Json| json!({ "count": 1, "lines": [{ "small": small, "large": large, "price": 1 }] });
        for (input, pointer) in [
            (json!({ "count": 1.0 }), "/count"),
            (json!({ "count": 1_u64 << 32 }), "/count"),
            (json!({ "count": -1 }), "/count"),
            (json!({ "count": "1" }), "/count"),
            (json!({}), ""),
            (line(json!(128), json!(0)), "/lines/0/small"),
            (line(json!(-129), json!(0)), "/lines/0/small"),
            (line(json!(1.0), json!(0)), "/lines/0/small"),
            (line(json!(0), json!(1e19)), "/lines/0/large"),
            (line(json!(0), json!(-1)), "/lines/0/large"),
        ] {
            let error = nq.start_json("order", input.clone()).await.unwrap_err();
            let StartError::Invalid { violations, .. } = &error else { panic!("{input}: {error}") };
            assert_eq!(violations[0].pointer, pointer, "{error}");
            assert!(error.to_string().len() < 1_000, "{error}");
        }
        assert_eq!(nq.runs().all().await.unwrap().len(), 0, "nothing is stored");
        for input in [json!({ "count": u32::MAX }), line(json!(-128), json!(u64::MAX))] {
            nq.start_json("order", input).await.unwrap().completed().await.unwrap();
        }
        let error = nq.start_json(&"order".repeat(4 << 20), json!({})).await.unwrap_err();
        assert!(matches!(&error, StartError::NoFlow { flow, .. } if flow.len() <= 200), "{}", error.to_string().len());
        let long = json!({ "count": "x".repeat(500_000) });
        let error = nq.start_json("order", long).await.unwrap_err();
        assert!(error.to_string().len() < 2_000, "what is wrong is said, not repeated");
    })
    .await;
}

#[test]
fn schemas_say_the_ranges_of_integers() {
    let schema = (<Order as nq::Event>::DEF.schema)().to_value();
    assert_eq!(schema["properties"]["count"]["maximum"], json!(u32::MAX));
    let line = &schema["$defs"]["Line"]["properties"];
    assert_eq!((&line["small"]["minimum"], &line["small"]["maximum"]), (&json!(-128), &json!(127)));
    assert_eq!((&line["large"]["minimum"], &line["large"]["maximum"]), (&json!(0), &json!(u64::MAX)));
    assert!(line["price"].get("maximum").is_none());
}

#[nq::event]
struct Price {
    place: String,
    net: f64,
}

#[nq::event]
struct Prices {
    list: Vec<f32>,
}

#[nq::worker(flow = "prices", emits = [Prices], retries = 3, backoff = fixed("1ms"))]
async fn price(price: Price, ctx: Ctx<price>, acts: Data<Arc<Acts>>) -> nq::Result<Vec<f64>> {
    match price.place.as_str() {
        "emit" => ctx.emit(Prices { list: vec![1.0, f32::INFINITY] })?,
        "state" => ctx.state().set("prices", &BTreeMap::from([("net", price.net / 0.0)]))?,
        "effect" => {
            let prices = ctx
                .run("ask", async || {
                    acts.0.fetch_add(1, Ordering::SeqCst);
                    nq::Ok(vec![f64::NAN])
                })
                .await;
            // Whatever the handler does with the error, the act is not done again.
            prices.map_err(|error| nq::Error::msg(format!("could not ask: {error}")))?;
        }
        "large" => {
            acts.0.fetch_add(1, Ordering::SeqCst);
            ctx.run("read", async || nq::Ok("x".repeat(2 << 20))).await?;
        }
        "pairs" => {
            acts.0.fetch_add(1, Ordering::SeqCst);
            ctx.run("pairs", async || nq::Ok(BTreeMap::from([((1, 2), 3)]))).await?;
        }
        "panic" => {
            acts.0.fetch_add(1, Ordering::SeqCst);
            let asked = ctx.run("ask", async || nq::Ok(f64::NAN)).await;
            panic!("this is {}", asked.is_ok());
        }
        _ => return Ok(vec![price.net, -price.net / 0.0]),
    }
    Ok(Vec::new())
}

#[nq::worker(flow = "prices", subscribes = [Prices])]
async fn list(_prices: Prices) {}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_json_does_not_have_is_refused_where_it_is_made() {
    on_every_store(plain, async |nq| {
        for (place, said) in [
            (
                "emit",
                "the event `prices` cannot be written as JSON: at `/list/1`: JSON has no number for inf",
            ),
            ("state", "the state `prices` cannot be written as JSON: at `/net`: JSON has no number for inf"),
            ("effect", "JSON: at `/0`: JSON has no number for NaN"),
            (
                "result",
                "the result of the worker cannot be written as JSON: at `/1`: JSON has no number for -inf",
            ),
        ] {
            let run = nq.start::<price>(Price { place: place.to_owned(), net: 1.0 }).await.unwrap();
            let error = failed(&run).await;
            assert!(error.contains(said), "{place}: {error}");
        }
        for net in [f64::NAN, f64::INFINITY] {
            let error = nq.start::<price>(Price { place: String::new(), net }).await.unwrap_err();
            assert!(
                error.to_string().contains(&format!("at `/net`: JSON has no number for {net}")),
                "{error}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_whose_result_cannot_be_recorded_is_not_done_again() {
    let acts = Arc::new(Acts::default());
    on_every_store(
        |builder| builder.data(acts.clone()),
        async |nq| {
            for place in ["effect", "large", "pairs", "panic"] {
                let before = acts.0.load(Ordering::SeqCst);
                let run = nq.start::<price>(Price { place: place.to_owned(), net: 1.0 }).await.unwrap();
                let error = failed(&run).await;
                assert!(error.contains("is done, but its result cannot be recorded"), "{place}: {error}");
                let attempts = run.entries(vec![EntryType::StepStarted]).await.unwrap().len();
                assert_eq!(attempts, 1, "{place}: the worker has retries, and they are not used");
                assert_eq!(acts.0.load(Ordering::SeqCst) - before, 1, "{place}");
            }
            let run = nq.start::<make>(Make { place: "effect".to_owned(), depth: 99 }).await.unwrap();
            assert!(failed(&run).await.contains("deeper than 64 levels"));
            assert_eq!(run.entries(vec![EntryType::StepStarted]).await.unwrap().len(), 1);
        },
    )
    .await;
}

/// How long the texts of a program are.
#[nq::event]
struct Say {
    how: String,
}

const HUGE: usize = 12 << 20;

#[nq::worker(flow = "say", retries = 1, backoff = fixed("1ms"))]
async fn say(say: Say, ctx: Ctx<say>) -> nq::Result<()> {
    let huge = || "x".repeat(HUGE);
    match say.how.as_str() {
        "error" => return Err(nq::Error::msg(huge())),
        "panic" => std::panic::panic_any(huge()),
        "log" => {
            let (f, g, h) = (huge(), huge(), huge());
            tracing::info!(a = huge(), b = ?huge(), c = 1, d = f64::NAN, e = %huge(), f, g, h, "{}", huge());
        }
        "cancel" => ctx.stopping().await,
        other => panic!("{other}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_says_is_cut_with_a_mark() {
    let cut = |text: &str, what: &str| {
        assert!(text.len() <= MAX_TEXT_BYTES, "{what}: {}", text.len());
        assert!(text.ends_with(" more bytes)"), "{what}: {}", &text[text.len() - 40..]);
    };
    on_every_store(plain, async |nq| {
        for how in ["error", "panic"] {
            let run = nq.start::<say>(Say { how: how.to_owned() }).await.unwrap();
            cut(&failed(&run).await, how);
            let entries = run.entries(Vec::new()).await.unwrap();
            let errors = entries.iter().filter_map(|entry| entry.data["error"].as_str());
            let errors: Vec<_> = errors.collect();
            assert_eq!(errors.len(), 3, "retrying, dead, and the end of the run");
            errors.iter().for_each(|error| cut(error, how));
        }

        let run = nq.start::<say>(Say { how: "cancel".to_owned() }).await.unwrap();
        assert!(run.cancel(&"ü".repeat(HUGE)).await.unwrap());
        let RunError::Cancelled { reason, .. } = run.completed().await.unwrap_err() else { panic!() };
        cut(&reason, "cancel");

        let run = nq.start::<say>(Say { how: "log".to_owned() }).await.unwrap();
        run.completed().await.unwrap();
        let line = loop {
            // A log line is not part of a commit, and may come after the end.
            match run.entries(vec![EntryType::LogInfo]).await.unwrap().pop() {
                Some(line) => break line.data,
                None => tokio::task::yield_now().await,
            }
        };
        cut(line["message"].as_str().unwrap(), "message");
        let fields = line["fields"].as_object().unwrap();
        cut(fields["a"].as_str().unwrap(), "a");
        cut(fields["b"].as_str().unwrap(), "b");
        assert_eq!((&fields["c"], &fields["d"]), (&json!(1), &json!("NaN")));
        assert_eq!(fields["…"], json!("2 more fields"));
        assert!(line.to_string().len() < 6 * MAX_TEXT_BYTES, "{}", line.to_string().len());
    })
    .await;
}

#[nq::event]
struct Named {
    bytes: usize,
}

#[nq::worker(flow = "names")]
async fn names(named: Named, ctx: Ctx<names>) -> nq::Result<Vec<String>> {
    let name = "n".repeat(named.bytes);
    let state = ctx.state();
    let scope = ctx.scope(&name);
    let tried = [
        state.set(&name, &1),
        state.incr(&name, 1),
        state.delete(&name),
        scope.state().set("k", &1),
        scope.checkpoint().await,
        ctx.run(&name, async || nq::Ok(())).await.map_err(|error| {
            assert!(error.to_string().len() < 2 * MAX_KEY_BYTES, "a long name is not said in full");
            error.refusal().expect("nq refused it").clone()
        }),
    ];
    for tried in &tried {
        assert!(matches!(tried, Ok(()) | Err(StepError::TooLong { limit: MAX_KEY_BYTES, .. })), "{tried:?}");
    }
    Ok(tried.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_name_is_as_long_as_the_limit_says() {
    on_every_store(plain, async |nq| {
        for (bytes, refused) in [(MAX_KEY_BYTES, 0), (MAX_KEY_BYTES + 1, 6), (HUGE, 6)] {
            let run = nq.start::<names>(Named { bytes }).await.unwrap();
            let said = run.completed().await.unwrap().result::<Vec<String>>().unwrap().unwrap();
            assert_eq!(said.len(), refused, "{said:?}");
            let limit = format!("has {bytes} bytes, and the limit is 1024");
            assert!(said.iter().all(|text| text.len() < 400 && text.ends_with(&limit)), "{said:?}");
        }
    })
    .await;
}

#[nq::event]
struct Count {
    from: Json,
    by: i64,
}

#[nq::worker(flow = "count", emits = [Count])]
async fn set(count: Count, ctx: Ctx<set>) -> nq::Result<()> {
    ctx.state().set("n", &count.from)?;
    ctx.emit(count)?;
    Ok(())
}

#[nq::worker(flow = "count", subscribes = [Count])]
async fn incr(count: Count, ctx: Ctx<incr>) -> nq::Result<Json> {
    ctx.state().incr("n", count.by)?;
    Ok(ctx.state().get("n").await?.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_never_becomes_a_small_number() {
    on_every_store(plain, async |nq| {
        for (from, by, sum) in [
            (json!(i64::MAX), 1, json!(1_u64 << 63)),
            (json!(u64::MAX), 1, json!(u64::MAX)),
            (json!(u64::MAX), i64::MIN, json!((1_u64 << 63) - 1)),
            (json!(i64::MIN), -1, json!(i64::MIN)),
            (json!(1e300), 1, json!(1e300)),
            (json!(0.5), 2, json!(2.5)),
            (json!("text"), 2, json!(2)),
        ] {
            let run = nq.start::<set>(Count { from: from.clone(), by }).await.unwrap();
            let seen = run.completed().await.unwrap().result_of::<Json>("incr").unwrap();
            assert_eq!(seen, Some(sum.clone()), "{from} + {by}");
            assert_eq!(run.state().await.unwrap()["n"], sum, "{from} + {by}");
        }
    })
    .await;
}
