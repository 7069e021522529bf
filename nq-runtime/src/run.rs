//! One run, seen from outside.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use nq_core::entry::{Entry, EntryType};
use nq_core::id::{EntryId, RunId, StepId};
use nq_core::limits::{self, MAX_READ_ENTRIES};
use nq_core::record::RunRecord;
use nq_core::status::{RunStatus, RunView};
use nq_core::store::{Acted, ErrorKind, Interest, JobsQuery, Read, Store, StoreError};
use nq_core::transaction::Act;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::engine::link::{Link, Message};
use crate::patience::{Pauses, Reader};
use crate::state::state_at;
use crate::unserved::waits;

/// How long a reader waits for a hint before it looks for itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A run did not complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A step failed for good.
    #[error("run `{run}` failed in step `{step}`: {error}")]
    Failed {
        /// The run.
        run: RunId,
        /// The worker whose step failed.
        step: String,
        /// What it said.
        error: String,
    },
    /// It was ended from outside.
    #[error("run `{run}` was cancelled: {reason}")]
    Cancelled {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// It can make no progress.
    #[error("run `{run}` stalled: {reason}")]
    Stalled {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// The store could not be asked, or the run is gone.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One run. Cheap to clone; what it says is asked of the store each time.
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
#[derive(Clone, Debug)]
pub struct Run {
    store: Arc<dyn Store>,
    id: RunId,
    link: Link,
}

impl Run {
    pub(crate) fn new(store: Arc<dyn Store>, id: RunId, link: Link) -> Self {
        Self { store, id, link }
    }

    /// Its id.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Its flow, status and times. A run that is not there is an error.
    pub async fn summary(&self) -> Result<RunRecord, StoreError> {
        self.store.run(&self.id).await?.ok_or_else(|| self.gone("run"))
    }

    /// Where it stands.
    pub async fn status(&self) -> Result<RunStatus, StoreError> {
        Ok(self.summary().await?.status)
    }

    /// Returns when the run has ended: with what its steps returned if it completed, else with an error that
    /// says why not. A store that is away is waited for; a run that is gone is an error, never a wait.
    pub async fn completed(&self) -> Result<Completed, RunError> {
        let interest = Interest::End { run: self.id.clone() };
        let mut pauses = Pauses::default();
        let summary = loop {
            // The hint may come early or for nothing; a store that is away is no reason to give up.
            let asked = match self.store.wait(&interest, LOOK_EVERY).await {
                Ok(()) => self.summary().await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(summary) if summary.status.is_terminal() => break summary,
                Ok(_) => pauses = Pauses::default(),
                Err(error) if error.is_retryable() => pauses.pause().await,
                Err(error) => return Err(error.into()),
            }
        };
        let types = match summary.status {
            RunStatus::Completed => vec![EntryType::StepCompleted, EntryType::FlowCompleted],
            _ => vec![EntryType::FlowFailed, EntryType::FlowCancelled, EntryType::FlowStalled],
        };
        // Only log lines follow the terminal entry: with it, all is there.
        let reader = Reader::Patient(&*self.store);
        let mut entries = self.entries_until(reader, types, |entry| entry.kind.is_terminal()).await?;
        let terminal = entries.pop_if(|entry| entry.kind.is_terminal());
        if terminal.is_none() {
            // The store said that the run had ended, and does not know it any more.
            let seen = format!("that the run is {}", summary.status);
            let last = self.summary().await?.last;
            return Err(StoreError::lost("read", &self.id, seen, last).into());
        }
        let text = |field: &str| {
            let data = terminal.as_ref().map(|entry| &entry.data);
            data.and_then(|data| data.get(field)).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let run = self.id.clone();
        match summary.status {
            RunStatus::Running | RunStatus::Completed => Ok(Completed { summary, entries }),
            RunStatus::Failed => {
                Err(RunError::Failed { run, step: text("failedStep"), error: text("error") })
            }
            RunStatus::Cancelled => Err(RunError::Cancelled { run, reason: text("reason") }),
            RunStatus::Stalled => Err(RunError::Stalled { run, reason: text("reason") }),
        }
    }

    /// Every entry that the run has of these types, in order; of all types if there are none.
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

    /// The entries of these types, as far as the page whose last entry is one to stop at.
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

    /// The timeline: what is there, then what comes, without gap or repeat. It ends after the last entry of
    /// a run that has ended, and after an error: a store that is away is waited for, and a run that is gone is one.
    /// So is a store that was set back to an older state, and does not have what the stream has shown already: an error
    /// of the kind [`ErrorKind::Lost`], never a wait.
    ///
    /// ```
    /// use futures_util::StreamExt;
    ///
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// let mut timeline = run.timeline();
    /// while let Some(entry) = timeline.next().await {
    ///     let entry = entry?;
    ///     println!("{} {} {}", entry.id, entry.kind, entry.data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeline(&self) -> BoxStream<'static, Result<Entry, StoreError>> {
        self.timeline_after(0)
    }

    /// The timeline after the entry at this position, for a reader that has seen the entries before: `entry.id.n` of
    /// the last of them. At the end of a run that has ended, and beyond it, the stream ends at once.
    pub fn timeline_after(&self, after: u64) -> BoxStream<'static, Result<Entry, StoreError>> {
        let follow = Follow {
            run: self.clone(),
            after,
            seen: None,
            page: VecDeque::new(),
            under_way: false,
            ended: false,
        };
        stream::unfold(Some(follow), |follow| async move {
            let mut follow = follow?;
            let next = follow.next().await.transpose()?;
            // An error that remains would be the next one too, for ever.
            let follow = next.is_ok().then_some(follow);
            Some((next, follow))
        })
        .boxed()
    }

    /// Where the run and each of its steps stand.
    pub async fn view(&self) -> Result<RunView, StoreError> {
        Ok(RunView::of(&self.entries(Vec::new()).await?))
    }

    /// The steps of the run that wait for a worker which no running instance has: it was removed or renamed, or is of
    /// a version that runs nowhere yet. [`Client::unserved`](crate::client::Client::unserved) asks for all runs.
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

    /// The state now: what its steps have set.
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

    /// Ends the run. Its queued steps are dropped; its running steps are told, at once where they run in the instance
    /// that this is called on and else within two seconds, and have the grace period of their instance to stop. False if
    /// it had ended before. A reason of more than 16 KiB is cut.
    pub async fn cancel(&self, reason: &str) -> Result<bool, StoreError> {
        let acted = self.store.act(&self.id, &Act::Cancel { reason: limits::cut(reason) }).await?;
        // Whether it ended now or before: its steps in this instance need not wait until their leases are renewed.
        self.link.send(Message::RunEnded { run: self.id.clone() });
        Ok(acted == Acted::Done)
    }

    /// Gives a dead step another set of attempts, in a run that still runs. False if there is nothing to do.
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
        StoreError::new(ErrorKind::NotFound, op, message).key(&self.id)
    }
}

/// A reader of a timeline.
struct Follow {
    run: Run,
    after: u64,
    /// The last entry that it has shown.
    seen: Option<EntryId>,
    page: VecDeque<Entry>,
    /// Whether it has read an entry: what ends the run then comes behind it.
    under_way: bool,
    ended: bool,
}

impl Follow {
    /// The next entry; none after the last of a run that has ended.
    async fn next(&mut self) -> Result<Option<Entry>, StoreError> {
        loop {
            if let Some(entry) = self.page.pop_front() {
                (self.after, self.seen) = (entry.id.n, Some(entry.id));
                self.under_way = true;
                self.ended |= entry.kind.is_terminal();
                return Ok(Some(entry));
            }
            match self.look().await {
                Ok(true) => return Ok(None),
                Ok(false) => {}
                Err(error) if error.is_retryable() => tokio::time::sleep(LOOK_EVERY / 4).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a page, or waits for one to come. True if none can come any more.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let Run { store, id, .. } = &self.run;
        let read = Read { seen: self.seen, ..Read::after(id.clone(), self.after) };
        self.page = match store.read(&read).await {
            // It has shown nothing yet that could be lost.
            Err(error) if error.kind == ErrorKind::Lost && !self.under_way => VecDeque::new(),
            page => page?.into(),
        };
        if !self.page.is_empty() || self.ended {
            return Ok(self.page.is_empty());
        }
        let mut after = self.after;
        if !self.under_way {
            // It began at the end of the run, or beyond it.
            let summary = self.run.summary().await?;
            if summary.status.is_terminal() && after >= summary.last.n {
                return Ok(true);
            }
            after = after.min(summary.last.n);
        }
        store.wait(&Interest::Run { run: id.clone(), after }, LOOK_EVERY).await?;
        Ok(false)
    }
}

/// What a step returned is not of the type that is asked for.
#[derive(Debug, thiserror::Error)]
#[error("the result of step `{step}` cannot be read as `{type_name}`")]
#[non_exhaustive]
pub struct ResultError {
    /// The step.
    pub step: StepId,
    /// The type that was asked for.
    pub type_name: &'static str,
    /// What does not fit.
    pub source: serde_json::Error,
}

/// A run that completed.
#[derive(Clone, Debug)]
pub struct Completed {
    /// Its flow and times.
    pub summary: RunRecord,
    /// The `flow.step.completed` entries, in order.
    entries: Vec<Entry>,
}

impl Completed {
    /// What the run returned: what the last of its steps that returned something returned. For a flow that
    /// ends in one step, that is the result of that step. None if no step returned anything.
    pub fn result<T: DeserializeOwned>(&self) -> Result<Option<T>, ResultError> {
        self.find(|_| true)
    }

    /// What a worker's step returned; the last of them if it ran several times.
    pub fn result_of<T: DeserializeOwned>(&self, worker: &str) -> Result<Option<T>, ResultError> {
        self.find(|step| step.worker().as_str() == worker)
    }

    fn find<T: DeserializeOwned>(&self, of: impl Fn(&StepId) -> bool) -> Result<Option<T>, ResultError> {
        let results = self.entries.iter().rev().filter_map(|entry| {
            let step = entry.step.as_ref().filter(|step| of(step))?;
            Some((step, entry.data.get("result")?.clone()))
        });
        let read = |(step, value): (&StepId, Value)| {
            serde_json::from_value(value).map_err(|source| ResultError {
                step: step.clone(),
                type_name: std::any::type_name::<T>(),
                source,
            })
        };
        { results }.next().map(read).transpose()
    }
}
