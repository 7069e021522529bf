//! What a handler does through its context.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use nq_core::bounds::{EmittedBy, Worker};
use nq_core::decide::OperationKind;
use nq_core::def::Event;
use nq_core::id::{RunId, StepId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{BoxError, Error, Result};
use crate::state::StateHandle;
use crate::step::{CHECKPOINT, Step, StepError};

/// The context of a step of the worker `W`.
///
/// What a handler does through it are its *operations*: they take their position when they are called, and a
/// later attempt, which starts from the top, recognises those that are recorded by their position. So a
/// handler does the same operations in the same order on every attempt; branches that run concurrently and
/// do more than one operation each do so in a [`scope`](Self::scope) of their own.
pub struct Ctx<W> {
    step: Step,
    scope: Arc<str>,
    worker: PhantomData<fn() -> W>,
}

impl<W> Clone for Ctx<W> {
    fn clone(&self) -> Self {
        Self { step: self.step.clone(), scope: self.scope.clone(), worker: PhantomData }
    }
}

impl<W> fmt::Debug for Ctx<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx").field("step", &self.step).field("scope", &self.scope).finish()
    }
}

impl<W: Worker> Ctx<W> {
    pub(crate) fn new(step: Step) -> Self {
        Self { step, scope: Arc::from(""), worker: PhantomData }
    }

    /// The run that the step belongs to.
    pub fn run_id(&self) -> &RunId {
        &self.step.attempt().run
    }

    /// The step: the same on every attempt.
    pub fn step_id(&self) -> &StepId {
        &self.step.attempt().step
    }

    /// The flow that the run executes.
    pub fn flow(&self) -> &str {
        self.step.inner.flow.name.as_str()
    }

    /// The number of the attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.step.attempt().number
    }

    /// A key for effects outside: the same on every attempt of the step, and no other step's. Derived from
    /// the run id, the worker and what caused the step, not from anything that a store assigns.
    pub fn idempotency_key(&self) -> String {
        self.step.attempt().key.clone()
    }

    /// Emits an event, when the step commits. Everyone who subscribes to it in this flow runs then.
    pub fn emit<E: EmittedBy<W>>(&self, event: E) -> Result<(), StepError> {
        self.emit_value(E::DEF.name, &event)
    }

    /// Emits an untyped event, one that the worker's `emits` names by a string.
    pub fn emit_named(&self, event: &str, payload: impl Serialize) -> Result<(), StepError> {
        if W::DEF.emits.iter().all(|declared| declared.name != event) {
            let worker = W::DEF.name.to_owned();
            return Err(StepError::Undeclared { worker, event: event.to_owned() });
        }
        self.emit_value(event, &payload)
    }

    fn emit_value(&self, event: &str, payload: &impl Serialize) -> Result<(), StepError> {
        let sized = self.step.json(|| format!("the event `{event}`"), payload)?;
        let kind = OperationKind::Emit { event: event.into(), payload: sized.value };
        self.step.operate(&self.scope, kind, sized.bytes)
    }

    /// The state of the run.
    pub fn state(&self) -> StateHandle {
        StateHandle::new(self.step.clone(), self.scope.clone())
    }

    /// Does something outside and records what it returns: when this returns, the result is in the timeline,
    /// and a later attempt gets it without doing it again. A crash between the act and the record repeats
    /// the act, so give it the [`idempotency_key`](Self::idempotency_key) where it matters.
    ///
    /// An error is returned as it is and not recorded.
    pub fn run<T, E, F, Fut>(
        &self,
        name: &str,
        act: F,
    ) -> impl Future<Output = Result<T>> + use<T, E, F, Fut, W>
    where
        T: Serialize + DeserializeOwned,
        E: Into<BoxError>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let begun = self.step.begin(&self.scope, name);
        let (step, name) = (self.step.clone(), name.to_owned());
        async move {
            let value = match begun? {
                (_, Some(recorded)) => recorded,
                (position, None) => {
                    let result = act().await.map_err(|error| Error::from_box(error.into()))?;
                    let sized = step.json(|| format!("the result of {name:?}"), &result)?;
                    let value = sized.value.clone();
                    step.record(position, &name, sized).await?;
                    value
                }
            };
            // Read back also the first time, so that every attempt sees the same.
            Ok(read(&format!("the result of {name:?}"), value)?)
        }
    }

    /// Commits what the step has done so far, without ending it. It stays when the attempt fails later.
    pub fn checkpoint(&self) -> impl Future<Output = Result<(), StepError>> + use<W> {
        let begun = self.step.begin(&self.scope, CHECKPOINT);
        let step = self.step.clone();
        async move {
            match begun? {
                (_, Some(_)) => Ok(()),
                (position, None) => step.checkpoint(position).await,
            }
        }
    }

    /// A context whose operations are counted by themselves, for one of several branches that run
    /// concurrently. The name tells the branches apart and is the same on every attempt.
    #[must_use]
    pub fn scope(&self, name: &str) -> Self {
        let scope = if self.scope.is_empty() { name.into() } else { format!("{}/{name}", self.scope).into() };
        Self { step: self.step.clone(), scope, worker: PhantomData }
    }

    /// Returns when the step should stop: its run has ended, its lease is lost, or the instance shuts down.
    pub async fn stopping(&self) {
        self.step.inner.stop.cancelled().await;
    }

    /// Whether the step should stop.
    pub fn is_stopping(&self) -> bool {
        self.step.inner.stop.is_cancelled()
    }

    /// A context for calling a handler from a test: nothing is stored, `run` does what it is given, the
    /// state begins empty. Look at what the handler did with [`emitted`](Self::emitted) and `state()`.
    pub fn for_test() -> Self {
        Self::new(crate::testing::step(W::DEF))
    }

    /// The events of this type that wait for the commit, in the order emitted.
    pub fn emitted<E: Event>(&self) -> Vec<E> {
        let of_type = |kind| match kind {
            OperationKind::Emit { event, payload } if *event == *E::DEF.name => {
                serde_json::from_value(payload).ok()
            }
            _ => None,
        };
        self.step.buffered().into_iter().filter_map(|operation| of_type(operation.kind)).collect()
    }
}

/// Reads a recorded value as the type that is asked for.
pub(crate) fn read<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, StepError> {
    serde_json::from_value(value).map_err(|error| StepError::OtherType {
        what: what.to_owned(),
        type_name: std::any::type_name::<T>(),
        error: error.to_string(),
    })
}
