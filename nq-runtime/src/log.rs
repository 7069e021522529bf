//! `tracing` events inside of a step become `log.*` entries of its run.

use std::cell::RefCell;
use std::fmt;

use nq_core::decide::{self, Attempt};
use nq_core::entry::EntryType;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Event, Id, Level, Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::engine::link::Link;
use crate::step::Step;

/// The target of the span that a step runs in.
const TARGET: &str = "nq::step";

/// The longest message or field of a log line, in bytes; what is longer is cut.
const MAX_LOG_BYTES: usize = 16 * 1024;

/// Turns the `tracing` events of steps into `log.*` entries of their runs. Add it to the program's
/// subscriber; a program without a subscriber needs nothing.
///
/// Events inside of spans of the step count, also in tasks that it spawns in its span. Debug events and
/// above are kept; put a filter on the layer to keep less.
pub fn layer() -> LogLayer {
    LogLayer { _private: () }
}

/// See [`layer`].
#[derive(Clone, Copy, Debug)]
pub struct LogLayer {
    _private: (),
}

/// Where the log lines of a step go; lives in its span.
struct Sink {
    attempt: Attempt,
    link: Link,
}

thread_local! {
    /// The step whose span is being made on this thread: a span's fields cannot carry it.
    static MAKING: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

/// The span that a step runs in.
pub(crate) fn span(step: &Step) -> Span {
    let attempt = step.attempt().clone();
    MAKING.set(Some(Sink { attempt: attempt.clone(), link: step.inner.link.clone() }));
    let span = tracing::info_span!(
        target: TARGET, parent: None, "step", run = %attempt.run, step = %attempt.step, attempt = attempt.number
    );
    MAKING.set(None);
    span
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() == TARGET
            && let Some(span) = context.span(id)
            && let Some(sink) = MAKING.take()
        {
            span.extensions_mut().insert(sink);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let kind = match *event.metadata().level() {
            Level::ERROR => EntryType::LogError,
            Level::WARN => EntryType::LogWarn,
            Level::INFO => EntryType::LogInfo,
            Level::DEBUG => EntryType::LogDebug,
            Level::TRACE => return,
        };
        let Some(scope) = context.event_scope(event) else { return };
        for span in scope {
            if let Some(sink) = span.extensions().get::<Sink>() {
                let mut line = Line::default();
                event.record(&mut line);
                let message = std::mem::take(&mut line.message);
                let log = decide::log(&sink.attempt, kind, message, line.fields);
                sink.link.log(&sink.attempt.run, log);
                return;
            }
        }
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: Map<String, Value>,
}

impl Line {
    fn put(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        let text = value[..value.floor_char_boundary(MAX_LOG_BYTES)].to_owned();
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text.into());
        }
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}
