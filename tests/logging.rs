//! `tracing` events of a step become entries of its timeline, whatever subscriber the program has.

use futures_util::FutureExt;
use nq::prelude::*;
use serde_json::json;
use tracing::Instrument;
use tracing::subscriber::{DefaultGuard, set_default};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

nq::registry!();

#[nq::event]
struct Begin {}

#[nq::worker]
async fn chat(_: Begin) -> nq::Result<()> {
    tracing::debug!("detail");
    tracing::info!("plain");
    tokio::task::yield_now().await;
    tracing::warn!(target: "elsewhere", "with a target of its own");
    other_crate();
    async {
        tracing::info!("in a span");
        let task = async { tracing::info!("in a task") }.in_current_span();
        // A task of the program, which the instance does not know.
        tokio::runtime::Handle::current().spawn(task).await
    }
    .instrument(tracing::info_span!("inner"))
    .await?;
    tracing::info!(parent: None, "without a parent");
    tracing::info!(target: "log", { log.target = module_path!(), log.line = 7, kept = true }, "by the crate log");
    tracing::info!(target: "log", { log.target = "reqwest::connect" }, "by another's log");
    Ok(())
}

/// A log line of a library, which has a module path of its own.
fn other_crate() {
    use tracing::callsite::{Callsite, Identifier};
    use tracing::field::{FieldSet, Value};
    use tracing::subscriber::Interest;
    use tracing::{Event, Level, Metadata, metadata::Kind};

    struct Place;
    static PLACE: Place = Place;
    static METADATA: Metadata<'static> = Metadata::new(
        "event",
        "reqwest::connect",
        Level::INFO,
        None,
        None,
        Some("reqwest::connect"),
        FieldSet::new(&["message"], Identifier(&PLACE)),
        Kind::EVENT,
    );
    impl Callsite for Place {
        fn set_interest(&self, _: Interest) {}
        fn metadata(&self) -> &Metadata<'_> {
            &METADATA
        }
    }
    // The macro of `log` checks this, too: where nobody listens, it writes nothing.
    if tracing::dispatcher::get_default(|dispatch| dispatch.enabled(&METADATA)) {
        let message = METADATA.fields().field("message").unwrap();
        let text: &dyn Value = &"from a library";
        Event::dispatch(&METADATA, &METADATA.fields().value_set(&[(&message, Some(text))]));
    }
}

/// What a run of `chat` keeps, by message.
async fn kept() -> Vec<String> {
    let nq = nq::open("memory:").await.unwrap().start().await.unwrap();
    let run = nq.start::<chat>(Begin {}).await.unwrap();
    run.completed().await.unwrap();
    nq.shutdown().await.unwrap();
    let entries = run.entries(Vec::new()).await.unwrap();
    let lines = entries.iter().filter(|entry| entry.kind.is_log());
    lines.map(|entry| entry.data["message"].as_str().unwrap().to_owned()).collect()
}

const OWN: [&str; 6] =
    ["plain", "with a target of its own", "in a span", "in a task", "without a parent", "by the crate log"];

/// The lines of the program, without those that no filter by its name lets through.
const NAMED: [&str; 4] = ["plain", "in a span", "in a task", "without a parent"];

fn install(subscriber: impl tracing::Subscriber + Send + Sync + 'static) -> DefaultGuard {
    set_default(subscriber)
}

fn env(filter: &str) -> EnvFilter {
    EnvFilter::new(filter)
}

fn terminal<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fmt::layer().with_writer(std::io::sink)
}

#[tokio::test]
async fn a_program_without_a_subscriber_keeps_its_own_words() {
    // A task that it spawns has no subscriber at all.
    let own: Vec<_> = OWN.into_iter().filter(|line| *line != "in a task").collect();
    assert_eq!(kept().await, own);
}

#[tokio::test]
async fn a_layer_alone_keeps_the_same() {
    let _guard = install(tracing_subscriber::registry().with(nq::log::layer()));
    assert_eq!(kept().await, OWN);
}

#[tokio::test]
async fn a_global_filter_that_turns_the_span_of_the_step_off_loses_nothing() {
    for filter in ["logging=info", "logging", "warn,logging=info"] {
        let _guard =
            install(tracing_subscriber::registry().with(env(filter)).with(nq::log::layer()).with(terminal()));
        let mut kept = kept().await;
        // The filter `warn` lets this event through, too.
        kept.retain(|line| line != "with a target of its own");
        assert_eq!(kept, NAMED, "{filter}");
    }
    let _guard = install(tracing_subscriber::registry().with(nq::log::layer()).with(env("logging=warn")));
    assert!(kept().await.is_empty(), "what the filter turns off is not there");
}

#[tokio::test]
async fn a_filter_of_another_layer_changes_nothing() {
    let terminal = terminal().with_filter(env("logging=error"));
    let _guard = install(tracing_subscriber::registry().with(terminal).with(nq::log::layer()));
    assert_eq!(kept().await, OWN);
}

#[tokio::test]
async fn a_filter_of_the_layer_itself_is_kept_to() {
    let layer = nq::log::layer().with_filter(env("logging=info"));
    let all = terminal().with_filter(LevelFilter::TRACE);
    let _guard = install(tracing_subscriber::registry().with(layer).with(all));
    assert_eq!(kept().await, NAMED);
    let targets = Targets::new().with_target("elsewhere", tracing::Level::WARN);
    let _guard = install(tracing_subscriber::registry().with(nq::log::layer().with_filter(targets)));
    assert_eq!(kept().await, ["with a target of its own"]);
}

#[tokio::test]
async fn a_filter_may_be_changed_while_the_program_runs() {
    let (filter, handle) = reload::Layer::new(env("off"));
    let _guard = install(tracing_subscriber::registry().with(filter).with(nq::log::layer()).with(terminal()));
    assert!(kept().await.is_empty());
    handle.reload(env("logging=info")).unwrap();
    assert_eq!(kept().await, NAMED);
}

#[tokio::test]
async fn layers_in_a_list_keep_the_same() {
    let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> =
        vec![terminal().with_filter(env("error")).boxed(), nq::log::layer().boxed()];
    let _guard = install(tracing_subscriber::registry().with(layers));
    assert_eq!(kept().await, OWN);
}

#[tokio::test]
async fn what_is_kept_can_be_said() {
    let _guard = install(tracing_subscriber::registry().with(nq::log::layer().also("reqwest")));
    let kept_also = kept().await;
    assert_eq!(kept_also[2], "from a library");
    assert_eq!(*kept_also.last().unwrap(), "by another's log");
    assert_eq!(kept_also.len(), OWN.len() + 2);
    for other in ["req", "reqwest::connector", "reqwest_retry"] {
        let _guard = install(tracing_subscriber::registry().with(nq::log::layer().also(other)));
        assert_eq!(kept().await, OWN, "{other} is another");
    }
    let layer = || nq::log::layer().level(tracing::Level::DEBUG);
    let _guard = install(tracing_subscriber::registry().with(layer()));
    assert_eq!(kept().await[0], "detail");
    let _guard = install(tracing_subscriber::registry().with(layer().level(LevelFilter::WARN)));
    assert_eq!(kept().await, ["with a target of its own"]);
    let _guard = install(tracing_subscriber::registry().with(layer().all_crates()));
    assert_eq!(kept().await.len(), OWN.len() + 3);
}

#[tokio::test]
async fn a_line_of_the_crate_log_has_its_own_fields_only() {
    let nq = nq::open("memory:").await.unwrap().start().await.unwrap();
    let run = nq.start::<chat>(Begin {}).await.unwrap();
    run.completed().await.unwrap();
    let entries = run.entries(vec![nq::EntryType::LogInfo]).await.unwrap();
    let line = entries.iter().find(|entry| entry.data["message"] == "by the crate log").unwrap();
    assert_eq!(line.data["fields"], json!({ "kept": true }));
    nq.shutdown().await.unwrap();
}

/// Two steps that log in turns, each from the thread of the other.
#[nq::worker]
async fn alone(begin: Begin, ctx: Ctx<alone>) -> nq::Result<()> {
    let Begin {} = begin;
    for _ in 0..20 {
        tracing::info!("{}", ctx.run_id());
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn the_words_of_steps_that_run_at_once_are_not_mixed() {
    let _guard = install(tracing_subscriber::registry().with(env("logging=info")).with(nq::log::layer()));
    let nq = nq::open("memory:").await.unwrap().start().await.unwrap();
    let runs: Vec<_> = futures_util::future::join_all(
        (0..8).map(|_| nq.start::<alone>(Begin {}).into_future().map(Result::unwrap)),
    )
    .await;
    for run in runs {
        run.completed().await.unwrap();
        let entries = run.entries(vec![nq::EntryType::LogInfo]).await.unwrap();
        assert_eq!(entries.len(), 20);
        assert!(entries.iter().all(|entry| entry.data["message"] == run.id().as_str()));
    }
    nq.shutdown().await.unwrap();
}
