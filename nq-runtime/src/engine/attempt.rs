//! One attempt: makes the step, calls the handler, and decides what comes of it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use nq_core::decide::{Attempt, End, decide};
use nq_core::entry::{Entry, EntryType};
use nq_core::id::step_key;
use nq_core::limits::{MAX_READ_ENTRIES, duration_ms};
use nq_core::registry::Flow;
use nq_core::store::{Arrived, Gathered, Lease, Read, Store, StoreError};
use nq_core::transaction::Outcome;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::instrument::WithSubscriber;

use super::JobKey;
use super::link::{Link, Message};
use crate::data::Provided;
use crate::error::Error;
use crate::handler::Handler;
use crate::log;
use crate::state::StateCache;
use crate::step::{Inner, Journal, Step};

/// What every attempt of an instance shares.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
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

/// The ways in which an attempt can come to its end.
enum Ended {
    Returned(Result<Value, Error>),
    Panicked(String),
    TimedOut(u64),
    Killed(Kill),
}

/// Runs one attempt and tells the engine what comes of it.
pub(crate) async fn attempt(
    shared: Arc<Shared>,
    handler: &'static Handler,
    flow: Arc<Flow>,
    lease: Lease,
    stop: CancellationToken,
    kill: oneshot::Receiver<Kill>,
) {
    let key = JobKey { run: lease.run.clone(), step: lease.step.clone() };
    let parents: Vec<&str> = lease.inputs.iter().map(|input| input.key.as_str()).collect();
    let attempt = Attempt {
        key: step_key(&lease.run, lease.step.worker(), &parents),
        run: lease.run.clone(),
        step: lease.step.clone(),
        fence: lease.fence,
        number: lease.attempt,
        failures: lease.failures,
    };
    let def = handler.def;
    let mut kill = kill.fuse();
    let prepared = tokio::select! {
        prepared = patiently(|| prepare(&*shared.store, &lease, def.gathers.is_empty())) => prepared.map_err(Error::from),
        Ok(kill) = &mut kill => return finish(&shared, &key, &attempt, &flow, handler, None, Ended::Killed(kill)),
    };
    let (inputs, own) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let ended = Ended::Returned(Err(error));
            return finish(&shared, &key, &attempt, &flow, handler, None, ended);
        }
    };
    let step = Step {
        inner: Arc::new(Inner {
            attempt: attempt.clone(),
            flow: flow.clone(),
            def,
            inputs,
            provided: shared.provided.clone(),
            store: shared.store.clone(),
            states: shared.states.clone(),
            link: shared.link.clone(),
            stop,
            max_payload: shared.max_payload,
            journal: Mutex::new(Journal::new(lease.read, &own)),
            base: tokio::sync::Mutex::default(),
        }),
    };

    let run = AssertUnwindSafe(call(handler, step.clone(), shared.dispatch.as_ref())).catch_unwind();
    let limit = def.timeout_ms.map(|ms| tokio::time::sleep(Duration::from_millis(ms)));
    let ended = tokio::select! {
        returned = run => match returned {
            Ok(returned) => Ended::Returned(returned),
            Err(panic) => Ended::Panicked(panic_text(&*panic)),
        },
        () = maybe(limit) => Ended::TimedOut(def.timeout_ms.unwrap_or_default()),
        Ok(kill) = kill => Ended::Killed(kill),
    };
    finish(&shared, &key, &attempt, &flow, handler, Some(&step), ended);
}

/// Calls the handler in a span whose log events become entries of the run.
async fn call(handler: &Handler, step: Step, dispatch: Option<&tracing::Dispatch>) -> Result<Value, Error> {
    let span = || log::span(&step);
    // A handler may panic before its first await: that, too, happens inside of the caught future.
    match dispatch {
        None => {
            let span = span();
            async { (handler.call)(step).await }.instrument(span).await
        }
        Some(dispatch) => {
            let span = tracing::dispatcher::with_default(dispatch, span);
            async { (handler.call)(step).await }.instrument(span).with_subscriber(dispatch.clone()).await
        }
    }
}

async fn maybe(sleep: Option<tokio::time::Sleep>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

/// Asks a store that is away again until it is back.
async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
    ask: impl Fn() -> F,
) -> Result<T, StoreError> {
    loop {
        match ask().await {
            Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(500)).await,
            answer => return answer,
        }
    }
}

/// What the attempt needs beyond its lease: the list of a gather, and what earlier attempts have recorded.
async fn prepare(
    store: &dyn Store,
    lease: &Lease,
    has_inputs: bool,
) -> Result<(Vec<Arrived>, Vec<Entry>), StoreError> {
    let mut inputs = lease.inputs.clone();
    if !has_inputs {
        let mut gathered = Gathered {
            run: lease.run.clone(),
            worker: lease.step.worker().clone(),
            upto: lease.step.cause().n,
            from: 0,
            limit: MAX_READ_ENTRIES,
        };
        loop {
            let page = store.gathered(&gathered).await?;
            if page.is_empty() {
                break;
            }
            gathered.from += page.len() as u64;
            inputs.extend(page.into_iter().map(|entry| nq_core::ledger::arrived(entry, String::new())));
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
            let page = store.read(&read).await?;
            let Some(last) = page.last() else { break };
            read.after = last.id.n;
            own.extend(page.into_iter().filter(|entry| entry.step.as_ref() == Some(&lease.step)));
        }
    }
    Ok((inputs, own))
}

/// Decides what comes of the attempt and sends it to the engine.
fn finish(
    shared: &Shared,
    key: &JobKey,
    attempt: &Attempt,
    flow: &Flow,
    handler: &Handler,
    step: Option<&Step>,
    ended: Ended,
) {
    let (operations, mut bytes, snapshot) = step.map(Step::end).unwrap_or_default();
    let error = |error: String, fatal, retry_after_ms| End::Error {
        error,
        fatal,
        retry_after_ms,
        roll: fastrand::f64(),
    };
    let end = match ended {
        Ended::Returned(Ok(result)) => {
            let size = crate::step::json_len(&result);
            bytes += size;
            if size > shared.max_payload {
                let limit = shared.max_payload;
                error(format!("the result has {size} bytes of JSON, and the limit is {limit}"), true, None)
            } else {
                End::Complete { result }
            }
        }
        Ended::Returned(Err(failed)) => {
            let retry_after_ms = failed.retry_delay().map(duration_ms);
            error(failed.report(), failed.is_fatal(), retry_after_ms)
        }
        Ended::Panicked(message) => error(format!("the worker panicked: {message}"), false, None),
        Ended::TimedOut(ms) => {
            error(format!("the attempt timed out after {:?}", Duration::from_millis(ms)), false, None)
        }
        Ended::Killed(Kill::Shutdown) => End::Release,
        Ended::Killed(Kill::Lost) => return shared.link.send(Message::Gone { key: key.clone() }),
    };
    let mut tx = decide(flow, handler.def, attempt, &operations, end);
    if let (Outcome::Complete, Some(snapshot)) = (&tx.outcome, snapshot) {
        // Before the last entry, which nothing refers to by index.
        tx.entries.insert(tx.entries.len() - 1, snapshot);
    }
    shared.link.send(Message::Write { tx, bytes, reply: None });
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}
