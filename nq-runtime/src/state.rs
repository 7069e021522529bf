//! The state of a run as its steps see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nq_core::decide::{self, OperationKind};
use nq_core::id::EntryId;
use nq_core::state::{Change, State};
use nq_core::store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::patience::{Reader, patiently};
use crate::step::{REFRESH, Step, StepError, fits, read};

/// The state of a run, as one step sees it: as of one position in the timeline, the same on every attempt, with the
/// step's own changes on top. Changes that parallel steps make meanwhile are visible after a
/// [`refresh`](Self::refresh), and in the steps that follow.
///
/// ```
/// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
/// let state = ctx.state();
/// let address: Option<String> = state.get("address").await?;
/// state.set("address", "1 Main Street")?;
/// state.incr("parcels", 1)?; // parallel steps count together
/// state.delete("draft")?;
/// state.refresh().await?;
/// let parcels: Option<u64> = state.get("parcels").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StateHandle {
    step: Step,
    scope: Arc<str>,
}

/// The word for a key in errors.
const KEY: &str = "the state key";

impl StateHandle {
    pub(crate) fn new(step: Step, scope: Arc<str>) -> Self {
        Self { step, scope }
    }

    /// The value of a key; none if it is not set.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// let receipt: Option<String> = ctx.state().get("receipt").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StepError> {
        let base = self.base().await?;
        let mut state = State::default();
        if let Some(value) = base.map.get(key) {
            state.map.insert(key.to_owned(), value.clone());
        }
        for (_, change) in self.step.journal().overlay.iter().filter(|(_, change)| change.key() == key) {
            state.apply(change);
        }
        state.map.remove(key).map(|value| read(&format!("the state `{key}`"), value)).transpose()
    }

    /// Every key with its value.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// for (key, value) in ctx.state().all().await? {
    ///     println!("{key}: {value}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn all(&self) -> Result<BTreeMap<String, Value>, StepError> {
        let mut state = State::clone(&*self.base().await?);
        for (_, change) in &self.step.journal().overlay {
            state.apply(change);
        }
        Ok(state.map)
    }

    /// Sets a key when the step commits. Refuses a key of more than 1 KiB, and every value that
    /// [`emit`](crate::ctx::Ctx::emit) refuses.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// ctx.state().set("address", "1 Main Street")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), StepError> {
        fits(KEY, key)?;
        let written = self.step.json(|| format!("the state `{key}`"), value)?;
        let bytes = key.len() + written.bytes;
        self.change(Change::Set { key: key.into(), value: written.value }, bytes)
    }

    /// Removes a key when the step commits.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// ctx.state().delete("draft")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, key: &str) -> Result<(), StepError> {
        fits(KEY, key)?;
        self.change(Change::Delete { key: key.into() }, key.len())
    }

    /// Adds to a number when the step commits. Parallel steps can count together: none overwrites the sum of another. A
    /// key that is not set, or not a number, counts from 0. Whole numbers are added exactly within `i64::MIN..=u64::MAX`,
    /// and a sum beyond this range becomes its nearer end. A fraction, or a number beyond that range, is added to as an
    /// `f64`.
    ///
    /// The sum is computed whenever the state is read, so this call cannot tell whether it has reached an end of the range.
    /// Read the sum as a type that it fits: `get::<i64>` of a sum above `i64::MAX` is an error.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// ctx.state().incr("parcels", 1)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn incr(&self, key: &str, by: i64) -> Result<(), StepError> {
        fits(KEY, key)?;
        self.change(Change::Incr { key: key.into(), by }, key.len())
    }

    fn change(&self, change: Change, bytes: usize) -> Result<(), StepError> {
        self.step.operate(&self.scope, OperationKind::Change(change), bytes)
    }

    /// Moves the position up to which the state is read to the end of the timeline. This is recorded, so that a later
    /// attempt moves to the same position.
    ///
    /// ```
    /// # async fn example<W: nq::Worker>(ctx: nq::Ctx<W>) -> nq::Result<()> {
    /// let state = ctx.state();
    /// state.refresh().await?;
    /// let parcels: Option<u64> = state.get("parcels").await?; // with those of parallel steps
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh(&self) -> impl Future<Output = Result<(), StepError>> + use<> {
        let begun = self.step.begin(&self.scope, REFRESH);
        let step = self.step.clone();
        async move {
            let to = match begun? {
                (position, Some(recorded)) => {
                    step.turn_of(&position).await;
                    recorded.as_u64().unwrap_or_default()
                }
                (position, None) => {
                    let run = patiently(|| step.inner.store.run(&step.attempt().run)).await?;
                    let to = run.map_or(0, |run| run.last.n);
                    let at = step.record(position, REFRESH, to.into(), 0).await?;
                    if to >= at {
                        // A later attempt reads the state up to the entry that records this.
                        let id = &step.attempt().run;
                        let last = patiently(|| step.inner.store.run(id)).await?.map(|run| run.last);
                        let last = last.unwrap_or(EntryId { ms: 0, n: at });
                        return Err(StoreError::lost("refresh", id, format_args!("entry {to}"), last).into());
                    }
                    to
                }
            };
            let mut journal = step.journal();
            journal.read = journal.read.max(to);
            journal.overlay.retain(|(at, _)| at.is_none_or(|at| at > to));
            Ok(())
        }
    }

    /// The state at the read position, without the step's own changes.
    async fn base(&self) -> Result<Arc<State>, StepError> {
        let inner = &self.step.inner;
        let mut base = inner.base.lock().await;
        let read = self.step.journal().read;
        if let Some(state) = base.as_ref().filter(|state| state.at == read) {
            return Ok(state.clone());
        }
        let (state, snapshot_due) =
            inner.states.load(Reader::Patient(&*inner.store), &inner.attempt.run, read).await?;
        if snapshot_due && let Some(snapshot) = decide::snapshot(&state, inner.max_payload) {
            self.step.journal().snapshot = Some(snapshot);
        }
        *base = Some(state.clone());
        Ok(state)
    }
}
