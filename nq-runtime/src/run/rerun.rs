//! Reruns of runs that have ended.

use nq_core::entry::Entry;
use nq_core::fork::{self, ForkError};
use nq_core::id::{EntryId, RunId};
use nq_core::limits::{MAX_FORK_BYTES, MAX_FORK_ENTRIES};
use nq_core::store::{Read, StoreError};
use nq_core::value;

use super::Run;
use crate::patience::{Reader, patiently};
use crate::starting::{is_refusal, until_answered};

/// A run could not be rerun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RerunError {
    /// There is nothing to rerun, or this program cannot go on with it: nothing has begun.
    #[error(transparent)]
    Refused(#[from] ForkError),
    /// The run is gone, or the store refused: nothing has begun.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has not answered, so that the rerun may have begun.
    #[error("nobody knows whether run `{run}` has begun: ask for the rerun again, which begins it once")]
    Unknown {
        /// The rerun.
        run: RunId,
        /// What the store said instead.
        source: StoreError,
    },
}

impl Run {
    /// Begins a new run that goes on where this one has stopped, with the code of today. For a run that has failed or was
    /// cancelled, and for one that has completed with dead steps (`on_failure = "continue"`).
    ///
    /// The new run has the timeline of this one up to its end, and runs each step again that is dead or not done. Steps
    /// that are done are not run again, what `ctx.run` has recorded is not done again, the state is as it was, and each
    /// step keeps its idempotency key. Attempts count on, with a new set of retries. This run stays as it is.
    ///
    /// The id of the new run is made from that of this one: `order-7~2` is the rerun of `order-7`, and `order-7~3` that
    /// of `order-7~2`. So a run has one rerun: however often this is called, also by several processes at once, the rerun
    /// begins once, and each call returns it. If the rerun has failed, too, rerun that. The first entry of a rerun says
    /// `rerunOf`.
    ///
    /// ```
    /// use nq::{RunError, RunStatus};
    ///
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// // The bug is fixed and deployed: every run that failed goes on.
    /// for failed in nq.runs().flow("order").status(RunStatus::Failed).all().await? {
    ///     let rerun = nq.run(&failed.run)?.rerun().await?;
    ///     println!("{} goes on as {}", failed.run, rerun.id());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the store is away, this waits for it. If the store does not answer the start of the rerun for ten seconds, this is
    /// [`RerunError::Unknown`].
    ///
    /// # Errors
    ///
    /// [`ForkError::Running`] of a run that has not ended, [`ForkError::NothingToDo`] of one whose steps are all done,
    /// [`ForkError::Wiring`] where the flow has lost a worker that the run needs, [`ForkError::TooLarge`] beyond 100,000
    /// entries, 64 MiB, or 10,000 steps and waiting events; and [`RerunError::Store`] of a run that is gone.
    pub async fn rerun(&self) -> Result<Run, RerunError> {
        let summary = patiently(|| self.summary()).await?;
        if !summary.status.is_terminal() {
            return Err(ForkError::Running { run: self.id().clone() }.into());
        }
        if let Some(rerun) = self.begun_rerun().await? {
            return Ok(rerun);
        }
        let entries = self.whole().await?;
        let mut start = fork::rerun(&self.registry, self.id(), &summary.flow, entries)?;
        match until_answered(&*self.store, &mut start, true).await {
            Ok(_) => Ok(self.other(start.run)),
            Err(error) if is_refusal(&error) => Err(error.into()),
            Err(source) => Err(RerunError::Unknown { run: start.run, source }),
        }
    }

    /// The rerun, if it has begun, even if this program could not go on with the run any more.
    async fn begun_rerun(&self) -> Result<Option<Run>, StoreError> {
        let Ok(id) = self.id().rerun() else { return Ok(None) };
        let rerun = self.other(id);
        if patiently(|| self.store.run(rerun.id())).await?.is_none() {
            return Ok(None);
        }
        // The rerun of an earlier run with this id begins with another entry.
        let same = self.first().await? == rerun.first().await?;
        Ok(same.then_some(rerun))
    }

    /// The id of the first entry.
    async fn first(&self) -> Result<Option<EntryId>, StoreError> {
        let read = Read { limit: 1, ..Read::after(self.id().clone(), 0) };
        let page = Reader::Patient(&*self.store).read(&read).await?;
        Ok(page.first().map(|entry| entry.id))
    }

    /// The whole timeline, read page by page.
    async fn whole(&self) -> Result<Vec<Entry>, RerunError> {
        let reader = Reader::Patient(&*self.store);
        let mut read = Read::after(self.id().clone(), 0);
        let (mut all, mut bytes) = (Vec::new(), 0);
        loop {
            let page = reader.read(&read).await?;
            let Some(last) = page.last() else { return Ok(all) };
            (read.after, read.seen) = (last.id.n, Some(last.id));
            for entry in page {
                let ends = entry.kind.is_terminal();
                bytes += value::size(&entry.data);
                all.push(entry);
                if ends {
                    return Ok(all);
                }
            }
            if all.len() > MAX_FORK_ENTRIES || bytes > MAX_FORK_BYTES {
                let what = format!(
                    "a rerun takes over at most {MAX_FORK_ENTRIES} entries and {MAX_FORK_BYTES} bytes"
                );
                return Err(ForkError::TooLarge { run: self.id().clone(), what }.into());
            }
        }
    }
}
