//! One attempt: makes the step, calls the handler, and decides how the attempt ends.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use nq_core::decide::{self, Attempt, Ended, decide};
use nq_core::id::step_key;
use nq_core::registry::{Flow, Worker};
use nq_core::store::{Lease, Store};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;

use super::finish::{Kill, describe, finish};
use super::guard::Guard;
use super::panics::{Quiet, panic_text, quietly};
use super::prepare::{prepare, unprepared};
use crate::client::Client;
use crate::data::Provided;
use crate::error::Error;
use crate::folds::StateCache;
use crate::handler::Handler;
use crate::link::{Link, Message};
use crate::log;
use crate::step::rest::Resting;
use crate::step::{Inner, Journal, Results, Step};

/// What every attempt of an instance shares.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) client: Client,
    pub(crate) provided: Arc<Provided>,
    pub(crate) states: Arc<StateCache>,
    pub(crate) link: Link,
    pub(crate) max_payload: usize,
    /// The subscriber that turns log events into entries, if the program has none of its own.
    pub(crate) dispatch: Option<tracing::Dispatch>,
}

/// What an attempt begins with.
pub(super) struct Begun {
    pub(super) shared: Arc<Shared>,
    pub(super) handler: &'static Handler,
    pub(super) flow: Arc<Flow>,
    pub(super) worker: Arc<Worker>,
    pub(super) lease: Lease,
    pub(super) stop: CancellationToken,
    pub(super) kill: oneshot::Receiver<Kill>,
}

/// Runs one attempt and tells the engine how it ended.
pub(super) async fn attempt(guard: Guard, begun: Begun) {
    let lease = &begun.lease;
    let (flow, worker) = (begun.flow.clone(), begun.worker.clone());
    let parents: Vec<&str> = lease.inputs.iter().map(|input| input.key.as_str()).collect();
    let attempt = Attempt {
        key: step_key(&lease.run, lease.step.worker(), &parents),
        run: lease.run.clone(),
        step: lease.step.clone(),
        fence: lease.fence,
        number: lease.attempt,
        failures: lease.failures,
    };
    // Every panic of the program's code in here becomes a failure, also in the drop of a value that the handler left.
    // The future is boxed, so that the spawned task is small.
    let running = Box::pin(AssertUnwindSafe(run(begun, &attempt)).catch_unwind());
    let end = running.await.unwrap_or_else(|panic| {
        let text = format!("the attempt ended in a panic: {}", panic_text(panic));
        let failed = decide::failed(text, false, None, fastrand::f64());
        let tx = decide(&flow, &worker, &attempt, &[], failed);
        Message::Write { tx, bytes: 0, reply: None }
    });
    guard.tell(end);
}

/// Makes the step, calls the handler, and decides how the attempt ends.
async fn run(begun: Begun, attempt: &Attempt) -> Message {
    let Begun { shared, handler, flow, worker, lease, stop, kill } = begun;
    // An engine that is gone has let go of the attempt.
    let mut killed = pin!(async { kill.await.unwrap_or(Kill::Lost) });
    let prepared = tokio::select! {
        prepared = prepare(&*shared.store, &shared.link, &lease, attempt, &flow, &worker) => prepared,
        kill = &mut killed => return finish(shared.max_payload, attempt, &flow, &worker, None, kill.ended()),
    };
    let (inputs, own) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let ended = Some(Ended::Failed(describe(unprepared(error))));
            return finish(shared.max_payload, attempt, &flow, &worker, None, ended);
        }
    };
    let step = Step {
        inner: Arc::new(Inner {
            attempt: attempt.clone(),
            flow: flow.clone(),
            worker: worker.clone(),
            inputs,
            provided: shared.provided.clone(),
            client: shared.client.clone(),
            store: shared.store.clone(),
            states: shared.states.clone(),
            link: shared.link.clone(),
            stop,
            max_payload: shared.max_payload,
            journal: Mutex::new(Journal::new(lease.read, &own)),
            results: Mutex::new(Results::recorded(&own)),
            base: tokio::sync::Mutex::default(),
        }),
    };

    // The future is dropped only below: here a panic of its drop would hide how the attempt ended.
    let mut called = Quiet::new(call(handler, step.clone(), shared.dispatch.as_ref()));
    let timeout = worker.timeout_ms.map(Duration::from_millis);
    let mut ended = tokio::select! {
        returned = &mut called => match returned {
            Ok(Ok(result)) => Some(Ended::Returned(result)),
            Ok(Err(error)) => Some(Ended::Failed(describe(error))),
            Err(panic) => Some(Ended::Panicked(panic)),
        },
        () = maybe(timeout.map(tokio::time::sleep)) => Some(Ended::TimedOut { after: timeout.unwrap_or_default(), then: None }),
        kill = &mut killed => kill.ended(),
    };
    if let Err(panic) = quietly(|| drop(called)) {
        tracing::warn!(run = %attempt.run, step = %attempt.step, panic, "a handler panicked while it was dropped");
        if let Some(Ended::TimedOut { then, .. }) = &mut ended {
            *then = Some(panic);
        }
    }
    finish(shared.max_payload, attempt, &flow, &worker, Some(&step), ended)
}

/// Calls the handler so that its log events become entries of the run.
async fn call(handler: &Handler, step: Step, dispatch: Option<&tracing::Dispatch>) -> Result<Value, Error> {
    // A handler may panic before its first await: that, too, happens inside of the caught future.
    let called = {
        let step = step.clone();
        async { Resting::new(step.clone(), (handler.call)(step)).await }
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
