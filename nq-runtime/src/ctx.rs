//! What a handler does through its context.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use nq_core::bounds::{EmittedBy, Worker};
use nq_core::decide::{CHECKPOINT, OperationKind};
use nq_core::id::{RunId, StepId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::act;
use crate::error::{BoxError, EffectError};
use crate::state::StateHandle;
use crate::step::{Step, StepError, read};

/// The context of a step of the worker `W`.
///
/// The calls that a handler makes through it are its *operations*. Each gets a position when it is called. A later
/// attempt starts the handler from the top, and recognises recorded operations by their position. So a handler does the
/// same operations in the same order on every attempt. Branches that run concurrently and do more than one operation
/// each need a [`scope`](Self::scope) of their own.
pub struct Ctx<W> {
    pub(crate) step: Step,
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

    /// The run that the step belongs to. A [rerun](crate::run::Run::rerun) has another id; for a name that stays the same
    /// in it, use the [idempotency key](Self::idempotency_key).
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// println!("{} of flow {} works on {}", ctx.step_id(), ctx.flow(), ctx.run_id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_id(&self) -> &RunId {
        &self.step.attempt().run
    }

    /// The id of the step, which is the same on every attempt. See [`run_id`](Self::run_id) for an example.
    pub fn step_id(&self) -> &StepId {
        &self.step.attempt().step
    }

    /// The flow that the run executes. See [`run_id`](Self::run_id) for an example.
    pub fn flow(&self) -> &str {
        self.step.inner.flow.name.as_str()
    }

    /// The number of the attempt, from 1.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// if ctx.attempt() > 1 {
    ///     println!("{} of {} is tried again", ctx.step_id(), ctx.run_id());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn attempt(&self) -> u32 {
        self.step.attempt().number
    }

    /// A key for calls to outside systems: the same on every attempt of the step, also in a
    /// [rerun](crate::run::Run::rerun) of its run, and no other step has it. It is derived from the id of the first run,
    /// the worker and the cause of the step, not from anything that a store assigns.
    ///
    /// A step with several effects adds a word of its own for each:
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) {
    /// let (charge, mail) = (ctx.idempotency_key(), format!("{}-mail", ctx.idempotency_key()));
    /// # }
    /// ```
    pub fn idempotency_key(&self) -> String {
        self.step.attempt().key.clone()
    }

    /// Emits an event when the step commits. Then every worker of this flow that subscribes to it runs. Refuses values that
    /// JSON does not have (NaN, infinities, keys that are no strings), more than 1 MiB, and more than 64 levels.
    ///
    /// ```
    /// # #[nq::event]
    /// # struct OrderPaid { order: u64 }
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> where OrderPaid: nq::EmittedBy<W> {
    /// ctx.emit(OrderPaid { order: 7 })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn emit<E: EmittedBy<W>>(&self, event: E) -> Result<(), StepError> {
        self.emit_value(E::DEF.name, event)
    }

    /// Emits an untyped event, one that the worker's `emits` names by a string.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// // The worker has `emits = ["order.audited"]`.
    /// ctx.emit_named("order.audited", serde_json::json!({ "order": 7 }))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn emit_named(&self, event: &str, payload: impl Serialize) -> Result<(), StepError> {
        if W::DEF.emits.iter().all(|declared| declared.name != event) {
            let worker = W::DEF.name.to_owned();
            return Err(StepError::Undeclared { worker, event: event.to_owned() });
        }
        self.emit_value(event, payload)
    }

    fn emit_value(&self, event: &str, payload: impl Serialize) -> Result<(), StepError> {
        let written = self.step.json(|| format!("the event `{event}`"), payload)?;
        let kind = OperationKind::Emit { event: event.into(), payload: written.value };
        self.step.operate(&self.scope, kind, written.bytes)
    }

    /// The state of the run: a map from keys to JSON that its steps share.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// ctx.state().set("receipt", "r-17")?;
    /// let receipt: Option<String> = ctx.state().get("receipt").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn state(&self) -> StateHandle {
        StateHandle::new(self.step.clone(), self.scope.clone())
    }

    /// Calls `act` and records what it returns. When this returns, the result is in the timeline, and a later attempt
    /// gets the result without calling `act` again. A crash between the act and the record repeats the act, so pass the
    /// [`idempotency_key`](Self::idempotency_key) to the outside system where it matters.
    ///
    /// Results that a handler awaits concurrently (`join!`, `select!`, `FuturesUnordered`) become ready one by one, in the
    /// order of the timeline and only while the handler waits. So a race goes the same way on every attempt. A handler
    /// that blocks its thread to wait for a result gets none.
    ///
    /// An error of `act` is not recorded: it comes back in an [`EffectError`], which the handler may inspect.
    ///
    /// # What an act returns, and what it does not do
    ///
    /// The result is kept in the timeline, so it is JSON of at most 1 MiB, nested at most 64 levels deep, without NaN
    /// or infinities. If the result cannot be recorded, the act has been done all the same. The step then fails for good,
    /// whatever the handler does with the error, since another attempt would do the act again. Return what the rest of
    /// the handler needs, such as the id of a payment; keep large data elsewhere, and return its key.
    ///
    /// Once its result is recorded, an act is not run again, so operations inside of it would be missing from later
    /// attempts. `emit`, a change of the state, `refresh`, `checkpoint` and a `run` inside of an act are therefore errors;
    /// a handler that returns such an error fails its step for good. Do these after the act, with what it returned:
    ///
    /// ```
    /// # async fn charge(_key: &str, _cents: u64) -> std::io::Result<u64> { Ok(7) }
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// let key = ctx.idempotency_key();
    /// let payment: u64 = ctx.run("charge card", || charge(&key, 1999)).await?;
    /// ctx.state().set("payment", &payment)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn run<T, E, F, Fut>(
        &self,
        name: &str,
        act: F,
    ) -> impl Future<Output = Result<T, EffectError>> + use<T, E, F, Fut, W>
    where
        T: Serialize + DeserializeOwned,
        E: Into<BoxError>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let begun = self.step.begin(&self.scope, name);
        let (step, name) = (self.step.clone(), name.to_owned());
        async move {
            let refused = |error| EffectError::refused(&name, error);
            let value = match begun.map_err(refused)? {
                (position, Some(recorded)) => {
                    step.turn_of(&position).await;
                    recorded
                }
                (position, None) => {
                    let result = act::run(step.address(), &position, &name, act)
                        .await
                        .map_err(|error| EffectError::failed(&name, error.into()))?;
                    let written = step.result(&position, &name, result).map_err(refused)?;
                    let (value, bytes) = (written.value.clone(), written.bytes);
                    step.record(position, &name, value, bytes).await.map_err(refused)?;
                    written.value
                }
            };
            // The first attempt, too, reads its result back from JSON, so that every attempt gets the same value.
            read(&format!("the result of `ctx.run({name:?})`"), value).map_err(refused)
        }
    }

    /// Commits what the step has done so far, without ending it. This stays committed if the attempt fails later.
    ///
    /// ```
    /// # async fn copy(chunk: usize) -> std::io::Result<()> { Ok(()) }
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// for chunk in 0..100 {
    ///     ctx.run("copy", || copy(chunk)).await?;
    ///     ctx.state().set("copied", &(chunk + 1))?;
    ///     ctx.checkpoint().await?; // others see how far it is
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn checkpoint(&self) -> impl Future<Output = Result<(), StepError>> + use<W> {
        let begun = self.step.begin(&self.scope, CHECKPOINT);
        let step = self.step.clone();
        async move {
            match begun? {
                (position, Some(_)) => {
                    step.turn_of(&position).await;
                    Ok(())
                }
                (position, None) => step.checkpoint(position).await,
            }
        }
    }

    /// A context that counts its own operations, for one of several branches that run concurrently. Each branch has
    /// another name, and the same name on every attempt. The names of nested scopes have at most 1 KiB together; beyond
    /// that every operation of the scope is an error.
    ///
    /// ```
    /// # async fn fetch(url: &str) -> std::io::Result<String> { Ok(String::new()) }
    /// # async fn store(page: String) -> std::io::Result<()> { Ok(()) }
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// let branch = async |url: &str| {
    ///     let ctx = ctx.scope(url);
    ///     let page = ctx.run("fetch", || fetch(url)).await?;
    ///     ctx.run("store", || store(page)).await
    /// };
    /// futures_util::try_join!(branch("a.example"), branch("b.example"))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn scope(&self, name: &str) -> Self {
        let scope = if self.scope.is_empty() { name.into() } else { format!("{}/{name}", self.scope).into() };
        Self { step: self.step.clone(), scope, worker: PhantomData }
    }

    /// Returns when the step should stop: its run has ended, its lease is lost, or the instance shuts down.
    ///
    /// ```
    /// # async fn copy() -> std::io::Result<()> { Ok(()) }
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// tokio::select! {
    ///     copied = copy() => copied?,
    ///     () = ctx.stopping() => return Err(nq::Error::msg("told to stop")),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stopping(&self) {
        self.step.inner.stop.cancelled().await;
    }

    /// Whether the step should stop, for the reasons of [`stopping`](Self::stopping).
    ///
    /// ```
    /// # async fn copy(_: u32) -> std::io::Result<()> { Ok(()) }
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// for chunk in 0..100 {
    ///     if ctx.is_stopping() {
    ///         break;
    ///     }
    ///     copy(chunk).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_stopping(&self) -> bool {
        self.step.inner.stop.is_cancelled()
    }
}
