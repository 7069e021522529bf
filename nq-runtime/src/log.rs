//! `tracing` events inside of a step become `log.*` entries of its run.
//!
//! Message and fields are **persisted**: they stand in the timeline as long as the run is kept, and everyone who reads the
//! run sees them. So only events of the program's own crates are kept, from `info` up; see [`layer`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use nq_core::decide::{self, Attempt};
use nq_core::entry::EntryType;
use nq_core::limits::{self, MAX_LOG_FIELDS, MAX_LOG_FIELDS_BYTES, MAX_TEXT_BYTES};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::Attributes;
use tracing::{Event, Id, Instrument, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::handler::{Handler, Proven};
use crate::link::Link;
use crate::step::Step;

/// The target of the span that a step runs in.
const TARGET: &str = "nq::step";

/// Turns the `tracing` events of steps into `log.*` entries of their runs. Add it to the program's
/// subscriber; a program without a subscriber needs nothing.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry()
///     .with(nq::log::layer().also("my_bank_client"));
/// # let _ = subscriber;
/// ```
///
/// **Which events**: those of level `info` and above from the program's own crates, which are the crates that have
/// workers and the one with the program's `registry!`; [`also`](LogLayer::also) adds others,
/// [`level`](LogLayer::level) sets another level. Events that a global `EnvFilter` turns off do not reach this layer, and
/// are not kept. A filter on this layer alone, `layer().with_filter(…)`, affects no other layer.
///
/// **Whose events**: those of the handler, and those inside of a span that was made in the handler, also when a task
/// that the handler spawned is in that span (`.in_current_span()`; where the program has no subscriber, such a task also
/// needs `.with_current_subscriber()`).
pub fn layer() -> LogLayer {
    LogLayer { level: LevelFilter::INFO, also: Vec::new(), all_crates: false }
}

/// See [`layer`].
#[derive(Clone, Debug)]
pub struct LogLayer {
    level: LevelFilter,
    also: Vec<String>,
    all_crates: bool,
}

impl LogLayer {
    /// Keeps events of this level and above. Those of level `trace` are never kept.
    ///
    /// ```
    /// let layer = nq::log::layer().level(tracing::Level::DEBUG);
    /// ```
    #[must_use]
    pub fn level(mut self, level: impl Into<LevelFilter>) -> Self {
        self.level = level.into();
        self
    }

    /// Keeps also the events of this crate, module or target, and of all modules in it: `"reqwest"`, `"my_app::audit"`.
    ///
    /// ```
    /// let layer = nq::log::layer().also("reqwest").also("my_app::audit");
    /// ```
    #[must_use]
    pub fn also(mut self, target: &str) -> Self {
        // A package may have hyphens in its name where its modules have underscores.
        self.also.push(target.replace('-', "_"));
        self
    }

    /// Keeps the events of all crates.
    ///
    /// ```
    /// let layer = nq::log::layer().level(tracing::Level::WARN).all_crates();
    /// ```
    #[must_use]
    pub fn all_crates(mut self) -> Self {
        self.all_crates = true;
        self
    }

    fn keeps_level(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Whether it keeps events of this target or module.
    fn keeps(&self, place: &str) -> bool {
        let beneath = |name: &String| {
            let rest = place.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        own_crates().contains(place.split("::").next().unwrap_or(place)) || self.also.iter().any(beneath)
    }

    /// Whether it keeps events of this callsite, by its target or its module, which may differ.
    fn keeps_of(&self, metadata: &Metadata<'_>) -> bool {
        self.all_crates
            || self.keeps(metadata.target())
            || metadata.module_path().is_some_and(|path| self.keeps(path))
    }
}

/// The crates that have workers, and those with a `registry!`.
fn own_crates() -> &'static BTreeSet<&'static str> {
    static OWN: OnceLock<BTreeSet<&'static str>> = OnceLock::new();
    OWN.get_or_init(|| {
        let workers =
            inventory::iter::<Handler>.into_iter().filter_map(|handler| handler.def.path.split("::").next());
        workers.chain(inventory::iter::<Proven>.into_iter().map(|proven| proven.name)).collect()
    })
}

/// Where the log lines of a step go.
struct Sink {
    attempt: Attempt,
    link: Link,
}

tokio::task_local! {
    /// The step whose handler is being polled. It is not found by the span of the step, since a filter may turn that off.
    static CURRENT: Arc<Sink>;
}

/// Where the log lines of a span go. It is stored in the span of a step and in the spans that the step makes.
struct InSpan(Arc<Sink>);

/// Polls a handler so that its `tracing` events become entries of its run.
pub(crate) fn logged<F: Future>(step: &Step, handler: F) -> impl Future<Output = F::Output> + use<F> {
    let attempt = step.attempt().clone();
    let sink = Arc::new(Sink { attempt, link: step.inner.link.clone() });
    let span = CURRENT.sync_scope(sink.clone(), || {
        let Attempt { run, step, number, .. } = &sink.attempt;
        tracing::info_span!(target: TARGET, parent: None, "step", %run, %step, attempt = number)
    });
    CURRENT.scope(sink, handler.instrument(span))
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, _attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Ok(sink) = CURRENT.try_with(Arc::clone)
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().replace(InSpan(sink));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        // Events of the crate `log` have their origin in a field.
        let from_log = metadata.fields().field(LOG_TARGET).is_some();
        if !self.keeps_level(*metadata.level()) || !(from_log || self.keeps_of(metadata)) {
            return;
        }
        let kind = match *metadata.level() {
            Level::ERROR => EntryType::LogError,
            Level::WARN => EntryType::LogWarn,
            Level::INFO => EntryType::LogInfo,
            Level::DEBUG => EntryType::LogDebug,
            Level::TRACE => return,
        };
        let spans = context.event_scope(event).into_iter().flatten();
        let mut in_spans =
            spans.filter_map(|span| span.extensions().get::<InSpan>().map(|found| found.0.clone()));
        let Some(sink) = in_spans.next().or_else(|| CURRENT.try_with(Arc::clone).ok()) else { return };
        let mut line = Line::default();
        event.record(&mut line);
        if from_log {
            let target = line.fields.remove(LOG_TARGET).unwrap_or_default();
            if !self.all_crates && !target.as_str().is_some_and(|target| self.keeps(target)) {
                return;
            }
            line.fields.retain(|name, _| !name.starts_with("log."));
        }
        let message = std::mem::take(&mut line.message);
        let log = decide::log(&sink.attempt, kind, message, line.fields());
        sink.link.log(&sink.attempt.run, log);
    }
}

/// The field in which `tracing-log` says the target of an event of the crate `log`.
const LOG_TARGET: &str = "log.target";

#[derive(Default)]
struct Line {
    message: String,
    fields: Map<String, Value>,
    /// How many bytes the fields have.
    bytes: usize,
    /// How many fields are left out.
    left_out: usize,
}

impl Line {
    fn put(&mut self, field: &Field, value: Value) {
        self.bytes += field.name().len() + value.as_str().map_or(8, str::len);
        if self.fields.len() < MAX_LOG_FIELDS && self.bytes <= MAX_LOG_FIELDS_BYTES {
            self.fields.insert(field.name().to_owned(), value);
        } else {
            self.left_out += 1;
        }
    }

    /// The fields, with a mark where some are left out.
    fn fields(mut self) -> Map<String, Value> {
        if self.left_out > 0 {
            self.fields.insert("…".to_owned(), format!("{} more fields", self.left_out).into());
        }
        self.fields
    }

    fn text(&mut self, field: &Field, text: impl fmt::Display) {
        if field.name() == "message" {
            self.message = limits::display(text);
            return;
        }
        let room = MAX_LOG_FIELDS_BYTES.saturating_sub(self.bytes + field.name().len());
        self.put(field, limits::display_to(text, room.min(MAX_TEXT_BYTES)).into());
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no number for NaN and the infinities.
        let value = if value.is_finite() { value.into() } else { value.to_string().into() };
        self.put(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}
