//! One attempt: makes the step, calls the handler, and decides what comes of it.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use nq_core::decide::{Attempt, End, decide};
use nq_core::def::WorkerDef;
use nq_core::entry::{Entry, EntryType};
use nq_core::id::step_key;
use nq_core::limits::{self, duration_ms};
use nq_core::registry::Flow;
use nq_core::store::{Arrived, ErrorKind, Lease, Read, Store, StoreError};
use nq_core::transaction::Outcome;
use nq_core::value;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::JobKey;
use super::gather;
use super::guard::Guard;
use super::link::{Link, Message};
use super::panics::{Quiet, panic_text, quietly};
use crate::client::Client;
use crate::data::Provided;
use crate::error::Error;
use crate::handler::Handler;
use crate::log;
use crate::patience::patiently;
use crate::state::StateCache;
use crate::step::{Inner, Journal, Step};

/// What every attempt of an instance shares.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) client: Client,
    pub(crate) provided: Arc<Provided>,
    pub(crate) states: Arc<StateCache>,
    pub(crate) link: Link,
    pub(crate) max_payload: usize,
    /// Where the program has no subscriber of its own, what turns log events into entries.
    pub(crate) dispatch: Option<tracing::Dispatch>,
}

/// Why the engine ends an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// Nothing that it writes would be accepted: its lease is lost or its run has ended.
    Lost,
    /// The instance stops: the job goes back unharmed.
    Shutdown,
}

/// The ways in which an attempt can come to its end. Nothing of the program's is left in it.
enum Ended {
    Returned(Value),
    Failed(Failure),
    Panicked(String),
    TimedOut { ms: u64, then: Option<String> },
    Killed(Kill),
}

/// What an error of a handler says.
#[derive(Debug, Default, PartialEq)]
struct Failure {
    text: String,
    fatal: bool,
    retry_after: Option<Duration>,
    /// Whether the input does not fit the code.
    unfit: bool,
}

/// What an attempt begins with.
pub(super) struct Begun {
    pub(super) shared: Arc<Shared>,
    pub(super) handler: &'static Handler,
    pub(super) flow: Arc<Flow>,
    pub(super) lease: Lease,
    pub(super) stop: CancellationToken,
    pub(super) kill: oneshot::Receiver<Kill>,
}

/// Runs one attempt and tells the engine what comes of it.
pub(super) async fn attempt(guard: Guard, begun: Begun) {
    let lease = &begun.lease;
    let (handler, flow) = (begun.handler, begun.flow.clone());
    let parents: Vec<&str> = lease.inputs.iter().map(|input| input.key.as_str()).collect();
    let attempt = Attempt {
        key: step_key(&lease.run, lease.step.worker(), &parents),
        run: lease.run.clone(),
        step: lease.step.clone(),
        fence: lease.fence,
        number: lease.attempt,
        failures: lease.failures,
    };
    // Whatever of the program's panics in here, be it the drop of what the handler left, becomes a failure.
    // In a box, so that the task is small where it is spawned.
    let running = Box::pin(AssertUnwindSafe(run(begun, &attempt)).catch_unwind());
    let end = running.await.unwrap_or_else(|panic| {
        let text = format!("the attempt ended in a panic: {}", panic_text(panic));
        let tx = decide(&flow, handler.def, &attempt, &[], failed(text, false, None));
        Message::Write { tx, bytes: 0, reply: None }
    });
    guard.tell(end);
}

/// Makes the step, calls the handler, and decides what comes of it.
async fn run(begun: Begun, attempt: &Attempt) -> Message {
    let Begun { shared, handler, flow, lease, stop, kill } = begun;
    let def = handler.def;
    // An engine that is gone has let go of the attempt.
    let mut killed = pin!(async { kill.await.unwrap_or(Kill::Lost) });
    let prepared = tokio::select! {
        prepared = prepare(&shared, &lease, attempt, &flow, def) => prepared,
        kill = &mut killed => return finish(&shared, attempt, &flow, handler, None, Ended::Killed(kill)),
    };
    let (inputs, own) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let ended = Ended::Failed(describe(unprepared(error)));
            return finish(&shared, attempt, &flow, handler, None, ended);
        }
    };
    let step = Step {
        inner: Arc::new(Inner {
            attempt: attempt.clone(),
            flow: flow.clone(),
            def,
            inputs,
            provided: shared.provided.clone(),
            client: shared.client.clone(),
            store: shared.store.clone(),
            states: shared.states.clone(),
            link: shared.link.clone(),
            stop,
            max_payload: shared.max_payload,
            journal: Mutex::new(Journal::new(lease.read, &own)),
            base: tokio::sync::Mutex::default(),
        }),
    };

    // It is dropped below, and not where a panic of its drop would hide how the attempt ended.
    let mut called = Quiet::new(call(handler, step.clone(), shared.dispatch.as_ref()));
    let limit = def.timeout_ms.map(|ms| tokio::time::sleep(Duration::from_millis(ms)));
    let mut ended = tokio::select! {
        returned = &mut called => match returned {
            Ok(Ok(result)) => Ended::Returned(result),
            Ok(Err(error)) => Ended::Failed(describe(error)),
            Err(panic) => Ended::Panicked(panic),
        },
        () = maybe(limit) => Ended::TimedOut { ms: def.timeout_ms.unwrap_or_default(), then: None },
        kill = &mut killed => Ended::Killed(kill),
    };
    if let Err(panic) = quietly(|| drop(called)) {
        tracing::warn!(run = %attempt.run, step = %attempt.step, panic, "a handler panicked while it was dropped");
        if let Ended::TimedOut { then, .. } = &mut ended {
            *then = Some(panic);
        }
    }
    finish(&shared, attempt, &flow, handler, Some(&step), ended)
}

/// What an error says, although its code is the program's and may panic wherever it is asked.
fn describe(error: Error) -> Failure {
    let (fatal, retry_after, unfit) =
        quietly(|| (error.is_fatal(), error.retry_delay(), error.is_unfit())).unwrap_or_default();
    let text = quietly(|| error.report())
        .unwrap_or_else(|panic| format!("an error that cannot be printed: its `Display` panicked: {panic}"));
    let text = match quietly(|| drop(error)) {
        Ok(()) => text,
        Err(panic) => format!("{text} (and it panicked when it was dropped: {panic})"),
    };
    Failure { text, fatal, retry_after, unfit }
}

/// Calls the handler so that its log events become entries of the run.
async fn call(handler: &Handler, step: Step, dispatch: Option<&tracing::Dispatch>) -> Result<Value, Error> {
    // A handler may panic before its first await: that, too, happens inside of the caught future.
    let called = {
        let step = step.clone();
        async { (handler.call)(step).await }
    };
    match dispatch {
        None => log::logged(&step, called).await,
        Some(dispatch) => {
            let logged = tracing::dispatcher::with_default(dispatch, || log::logged(&step, called));
            logged.with_subscriber(dispatch.clone()).await
        }
    }
}

async fn maybe(sleep: Option<tokio::time::Sleep>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

/// What becomes of an attempt whose events or records could not be read: no other attempt can read what is damaged.
fn unprepared(error: StoreError) -> Error {
    if error.kind == ErrorKind::Corrupt { Error::fatal(error) } else { error.into() }
}

/// What the attempt needs beyond its lease: the list of a gather, and what earlier attempts have recorded.
async fn prepare(
    shared: &Shared,
    lease: &Lease,
    attempt: &Attempt,
    flow: &Flow,
    def: &WorkerDef,
) -> Result<(Vec<Arrived>, Vec<Entry>), StoreError> {
    let store = &*shared.store;
    let mut inputs = lease.inputs.clone();
    if !def.gathers.is_empty() {
        // In boxes, so that the task of an attempt that gathers nothing has no room for them.
        inputs.extend(Box::pin(gather::list(store, lease)).await?);
        if lease.attempt == 1
            && let Some(line) = Box::pin(gather::apart(store, lease, attempt, flow, def)).await?
        {
            shared.link.log(&lease.run, line);
        }
    }
    let mut own = Vec::new();
    if lease.recorded > 0 {
        let types = vec![
            EntryType::StepEffect,
            EntryType::EventEmitted,
            EntryType::StateSet,
            EntryType::StateDelete,
            EntryType::StateBatch,
        ];
        let mut read = Read { types, ..Read::after(lease.run.clone(), lease.step.cause().n) };
        loop {
            let page = patiently(|| store.read(&read)).await?;
            let Some(last) = page.last() else { break };
            (read.after, read.seen) = (last.id.n, Some(last.id));
            own.extend(page.into_iter().filter(|entry| entry.step.as_ref() == Some(&lease.step)));
        }
    }
    Ok((inputs, own))
}

/// Decides what comes of the attempt.
fn finish(
    shared: &Shared,
    attempt: &Attempt,
    flow: &Flow,
    handler: &Handler,
    step: Option<&Step>,
    ended: Ended,
) -> Message {
    let unreached = step.and_then(Step::unreached);
    let poison = step.and_then(Step::poisoned);
    let (operations, mut bytes, snapshot) = step.map(Step::end).unwrap_or_default();
    let failed = |error: String, fatal: bool, retry_after| match &poison {
        Some(poison) if !fatal => failed(format!("{poison}; the handler ended with: {error}"), true, None),
        _ => failed(error, fatal, retry_after),
    };
    let end = match ended {
        Ended::Returned(result) => match (value::measure(&result), unreached) {
            (Ok(size), _) if size > shared.max_payload => {
                let limit = shared.max_payload;
                failed(format!("the result has {size} bytes of JSON, and the limit is {limit}"), true, None)
            }
            (Ok(_), Some(fewer)) => failed(fewer.to_string(), false, None),
            (Ok(size), None) => {
                bytes += size;
                End::Complete { result }
            }
            (Err(refused), _) => {
                value::dismantle(result);
                failed(format!("the result cannot be kept: {refused}"), true, None)
            }
        },
        Ended::Failed(Failure { text, unfit: true, .. }) => End::Unfit { error: text, roll: fastrand::f64() },
        Ended::Failed(Failure { text, fatal, retry_after, .. }) => failed(text, fatal, retry_after),
        Ended::Panicked(message) => failed(format!("the worker panicked: {message}"), false, None),
        Ended::TimedOut { ms, then } => {
            let then = then.map(|panic| format!("; its future panicked when it was dropped: {panic}"));
            let after = Duration::from_millis(ms);
            failed(format!("the attempt timed out after {after:?}{}", then.unwrap_or_default()), false, None)
        }
        Ended::Killed(Kill::Shutdown) if poison.is_some() => {
            failed("the instance stopped".into(), false, None)
        }
        Ended::Killed(Kill::Shutdown) => End::Release,
        Ended::Killed(Kill::Lost) => {
            return Message::Gone { key: JobKey { run: attempt.run.clone(), step: attempt.step.clone() } };
        }
    };
    let mut tx = decide(flow, handler.def, attempt, &operations, end);
    if let (Outcome::Complete, Some(snapshot)) = (&tx.outcome, snapshot) {
        // Before the last entry, which nothing refers to by index.
        tx.entries.insert(tx.entries.len() - 1, snapshot);
    }
    Message::Write { tx, bytes, reply: None }
}

fn failed(error: String, fatal: bool, retry_after: Option<Duration>) -> End {
    let (error, retry_after_ms) = (limits::cut(error), retry_after.map(duration_ms));
    End::Error { error, fatal, retry_after_ms, roll: fastrand::f64() }
}
