//! One run, seen from outside.

mod completed;
mod rerun;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use nq_core::entry::{Entry, EntryType};
use nq_core::id::{EntryId, RunId, StepId};
use nq_core::limits::{self, MAX_READ_ENTRIES};
use nq_core::record::RunRecord;
use nq_core::registry::Registry;
use nq_core::status::{RunStatus, RunView};
use nq_core::store::{Acted, ErrorKind, JobsQuery, Read, Store, StoreError};
use nq_core::transaction::Act;
use serde_json::Value;

pub use self::completed::{Completed, ResultError, RunError};
pub use self::rerun::RerunError;
use crate::folds::state_at;
use crate::link::{Link, Message};
use crate::patience::Reader;
use crate::unserved::waits;

/// One run. Cheap to clone; each call asks the store.
///
/// ```
/// # async fn example(nq: nq::Client) -> nq::Result<()> {
/// let run = nq.run("order-7")?;
/// match run.completed().await {
///     Ok(completed) => println!("{:?}", completed.result_of::<String>("charge")?),
///     Err(nq::RunError::Failed { step, error, .. }) => println!("{step} failed: {error}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Run {
    store: Arc<dyn Store>,
    /// The program's workers, by which a rerun goes on.
    registry: Arc<Registry>,
    id: RunId,
    link: Link,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("id", &self.id).field("store", &self.store).finish_non_exhaustive()
    }
}

impl Run {
    pub(crate) fn new(store: Arc<dyn Store>, registry: Arc<Registry>, id: RunId, link: Link) -> Self {
        Self { store, registry, id, link }
    }

    /// Another run of the same store.
    fn other(&self, id: RunId) -> Self {
        Self { id, ..self.clone() }
    }

    /// Its id.
    ///
    /// ```
    /// # async fn example(run: nq::Run) {
    /// println!("see `audit --timeline {}`", run.id());
    /// # }
    /// ```
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Its flow, status and times. A run that is not there is an error.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// let summary = run.summary().await?;
    /// println!("{} of {} is {}", summary.run, summary.flow, summary.status);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn summary(&self) -> Result<RunRecord, StoreError> {
        self.store.run(&self.id).await?.ok_or_else(|| self.gone("run"))
    }

    /// Its status.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// if run.status().await? == nq::RunStatus::Running {
    ///     println!("steps are pending");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn status(&self) -> Result<RunStatus, StoreError> {
        Ok(self.summary().await?.status)
    }

    /// Every entry of the run with one of these types, in order. An empty list stands for all types.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// let attempts = run.entries(vec![nq::EntryType::StepStarted]).await?.len();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn entries(&self, types: Vec<EntryType>) -> Result<Vec<Entry>, StoreError> {
        self.entries_until(Reader::Once(&*self.store), types, |_| false).await
    }

    /// The entries of these types, read page by page until the last entry of a page is one to stop at.
    async fn entries_until(
        &self,
        reader: Reader<'_>,
        types: Vec<EntryType>,
        stop: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut read = Read { types, ..Read::after(self.id.clone(), 0) };
        let mut all = Vec::new();
        loop {
            let page = reader.read(&read).await?;
            let Some(last) = page.last() else { return Ok(all) };
            (read.after, read.seen) = (last.id.n, Some(last.id));
            let stops = stop(last);
            all.extend(page);
            if stops {
                return Ok(all);
            }
        }
    }

    /// The status of the run and of each of its steps.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// for (step, view) in run.view().await?.steps {
    ///     println!("{step} is {:?} in attempt {}", view.status, view.attempt);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn view(&self) -> Result<RunView, StoreError> {
        Ok(RunView::of(&self.entries(Vec::new()).await?))
    }

    /// The steps of the run that wait for a worker which no running instance has: it was removed or renamed, or belongs to
    /// a version that runs nowhere yet. [`Client::unserved`](crate::client::Client::unserved) does this for all runs.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// for step in run.unserved().await? {
    ///     println!("no instance runs `{}`", step.worker());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unserved(&self) -> Result<Vec<StepId>, StoreError> {
        if self.summary().await?.status.is_terminal() {
            return Ok(Vec::new());
        }
        let queues = self.store.queues().await?;
        let served: BTreeSet<_> =
            queues.into_iter().filter(|queue| queue.served).map(|queue| queue.queue).collect();
        let mut query =
            JobsQuery { run: Some(self.id.clone()), limit: MAX_READ_ENTRIES, ..JobsQuery::default() };
        let mut steps = Vec::new();
        loop {
            let page = self.store.jobs(&query).await?;
            let Some(last) = page.last() else { return Ok(steps) };
            query.after = Some((last.run.clone(), last.step.clone()));
            let waiting = page.into_iter().filter(|job| waits(job) && !served.contains(&job.queue));
            steps.extend(waiting.map(|job| job.step));
        }
    }

    /// The state now: the keys that its steps have set.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// let receipt = run.state().await?.get("receipt").cloned();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn state(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        let last = self.summary().await?.last;
        self.state_at(last).await
    }

    /// The state as it was after this entry.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// for entry in run.entries(vec![nq::EntryType::StepCompleted]).await? {
    ///     println!("{:?}", run.state_at(entry.id).await?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn state_at(&self, entry: EntryId) -> Result<BTreeMap<String, Value>, StoreError> {
        Ok(state_at(&*self.store, &self.id, entry.n).await?.map.clone())
    }

    /// The state as it was at this moment, in milliseconds since 1970.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// let first = run.summary().await?.started_ms;
    /// let a_minute_later = run.state_at_time(first + 60_000).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn state_at_time(&self, ms: u64) -> Result<BTreeMap<String, Value>, StoreError> {
        // Times never fall along a timeline, so the last entry that is not later can be searched for.
        let (mut low, mut high) = (0, self.summary().await?.last.n);
        while low < high {
            let middle = (low + high).div_ceil(2);
            let read = Read { limit: 1, ..Read::after(self.id.clone(), middle - 1) };
            let entry = self.store.read(&read).await?.into_iter().next();
            if entry.is_some_and(|entry| entry.id.ms <= ms) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        self.state_at(EntryId { ms, n: low }).await
    }

    /// Cancels the run. Its queued steps are dropped. Its running steps are told to stop: at once in the instance of this
    /// client, within two seconds elsewhere. They have the grace period of their instance to stop. False if the run had
    /// ended before. A reason of more than 16 KiB is cut.
    ///
    /// ```
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// if !run.cancel("the customer withdrew the order").await? {
    ///     println!("it had ended before");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel(&self, reason: &str) -> Result<bool, StoreError> {
        let acted = self.store.act(&self.id, &Act::Cancel { reason: limits::cut(reason) }).await?;
        // Also if the run had ended before: its steps in this instance should not learn it only when their leases are
        // renewed.
        self.link.send(Message::RunEnded { run: self.id.clone() });
        Ok(acted == Acted::Done)
    }

    /// Gives a dead step another set of attempts, in a run that still runs. False if the step is not dead or the run has
    /// ended; [`rerun`](Self::rerun) is for a run that has ended.
    ///
    /// ```
    /// use nq::store::JobsQuery;
    ///
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// for dead in nq.jobs(&JobsQuery { dead: true, ..JobsQuery::default() }).await? {
    ///     nq.run(&dead.run)?.redrive(&dead.step).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn redrive(&self, step: &StepId) -> Result<bool, StoreError> {
        let acted = self.store.act(&self.id, &Act::Redrive { step: step.clone() }).await?;
        Ok(acted == Acted::Done)
    }

    fn gone(&self, op: &'static str) -> StoreError {
        let message = "there is no such run: it never was, or its retention has ended, or the store lost it";
        StoreError::new(ErrorKind::NotFound, op, message).with_key(&self.id)
    }
}
