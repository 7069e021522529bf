//! One attempt of a step: its input and ids, from which the handler's parameters are made, and its journal.

mod error;
mod journal;
mod operations;
pub(crate) mod rest;
mod results;
mod values;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nq_core::decide::Attempt;
use nq_core::registry::{Flow, Worker};
use nq_core::state::State;
use nq_core::store::{Arrived, Store};
use tokio_util::sync::CancellationToken;

pub use self::error::StepError;
pub(crate) use self::journal::{Journal, REFRESH};
pub(crate) use self::results::Results;
pub(crate) use self::values::{fits, read};
use crate::act::StepAddress;
use crate::client::Client;
use crate::data::{Data, Provided};
use crate::folds::StateCache;
use crate::link::Link;

/// The step that runs, as extractors see it. Cheap to clone.
///
/// ```
/// use nq::{Extract, Step};
///
/// /// Whether the worker has failed so often that it should take the long way round.
/// struct Careful(bool);
///
/// impl<W> Extract<W> for Careful {
///     fn extract(step: &Step) -> nq::Result<Self> {
///         Ok(Self(step.attempt().failures > 2))
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Step {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) attempt: Attempt,
    pub(crate) flow: Arc<Flow>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) inputs: Vec<Arrived>,
    pub(crate) provided: Arc<Provided>,
    pub(crate) client: Client,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) states: Arc<StateCache>,
    pub(crate) link: Link,
    /// Fires when the step should stop: its run ended, its lease is lost, or the instance shuts down.
    pub(crate) stop: CancellationToken,
    pub(crate) max_payload: usize,
    pub(crate) journal: Mutex<Journal>,
    /// The results of its operations, recorded and to come.
    pub(crate) results: Mutex<Results>,
    /// The state at the journal's read position, once something has asked for it.
    pub(crate) base: tokio::sync::Mutex<Option<Arc<State>>>,
}

impl Step {
    /// The events that are the input of the step: one for an entry or a subscription, one for each side of a join in the
    /// order of the attribute, all of them for a gather.
    ///
    /// ```
    /// # use nq::{Extract, Step};
    /// /// The name of the event that has arrived.
    /// struct EventName(String);
    ///
    /// impl<W> Extract<W> for EventName {
    ///     fn extract(step: &Step) -> nq::Result<Self> {
    ///         let first = step.inputs().first().ok_or_else(|| nq::Error::fatal("nothing has arrived"))?;
    ///         Ok(Self(first.event.to_string()))
    ///     }
    /// }
    /// ```
    pub fn inputs(&self) -> &[Arrived] {
        &self.inner.inputs
    }

    /// The values that the program provides. See [`Extract`](crate::extract::Extract) for an example.
    pub fn provided(&self) -> &Provided {
        &self.inner.provided
    }

    /// A value that the program provides, if it does.
    ///
    /// ```
    /// fn currency(step: &nq::Step) -> String {
    ///     step.data::<String>().map_or_else(|| "EUR".into(), |currency| currency.to_string())
    /// }
    /// ```
    pub fn data<T: ?std::marker::Sized + Send + Sync + 'static>(&self) -> Option<Data<T>> {
        self.inner.provided.get()
    }

    /// The client with which the step starts other runs and looks at them.
    ///
    /// ```
    /// async fn is_busy(step: &nq::Step) -> nq::Result<bool> {
    ///     Ok(step.client().queues().await?.iter().any(|counts| counts.queued > 1_000))
    /// }
    /// ```
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// The worker that the step runs.
    ///
    /// ```
    /// fn describe(step: &nq::Step) -> String {
    ///     format!("attempt {} of {}", step.attempt().number, step.worker().name)
    /// }
    /// ```
    pub fn worker(&self) -> &Worker {
        &self.inner.worker
    }

    /// The ids of the run and the step, the number of the attempt and the idempotency key. See [`Step`](Self) for an
    /// example.
    pub fn attempt(&self) -> &Attempt {
        &self.inner.attempt
    }

    /// Its address, by which it differs from other steps.
    pub(crate) fn address(&self) -> StepAddress {
        StepAddress::of(&self.inner)
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        // Each statement leaves the journal whole, so a panic elsewhere does not spoil it.
        self.inner.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("attempt", &self.inner.attempt).finish_non_exhaustive()
    }
}
