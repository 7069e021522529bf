//! Queues and their jobs, as a program looks at them and pauses them.

use std::collections::BTreeSet;

use nq_core::bounds::Worker;
use nq_core::id::{IdError, QueueName};
use nq_core::store::{JobSummary, JobsQuery, QueueCounts, StoreError};

use super::Client;
use super::near::{hint, nearest};
use crate::unserved::{MOST_RUNS, Unserved, unserved};

/// A queue could not be paused or resumed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Neither the program nor the store has such a queue.
    #[error("there is no queue `{queue}`{}", hint(.near.as_deref()))]
    NoQueue {
        /// The name that was asked for.
        queue: String,
        /// A queue with a similar name.
        near: Option<String>,
    },
    /// The text is not the name of a queue.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Client {
    /// The counts of every queue.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// for counts in nq.queues().await? {
    ///     println!("{}: {} queued, {} dead", counts.queue, counts.queued, counts.dead);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError> {
        self.store().queues().await
    }

    /// The unfinished jobs of a run or a queue, dead letters among them, in pages.
    ///
    /// ```
    /// use nq::store::{JobState, JobsQuery};
    ///
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// for job in nq.jobs(&JobsQuery { dead: true, ..JobsQuery::default() }).await? {
    ///     if let JobState::Dead { error } = &job.state {
    ///         println!("{} died in attempt {}: {error}", job.step, job.attempt);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, StoreError> {
        self.store().jobs(query).await
    }

    /// The queues whose jobs no running instance takes, with the runs that wait for these jobs. The worker of such a queue
    /// was removed or renamed, or belongs to a version that runs nowhere yet. An instance that has ended counts as running
    /// for one lease more.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// for unserved in nq.unserved().await? {
    ///     println!("{} jobs wait in {}", unserved.jobs, unserved.queue);
    ///     for run in &unserved.runs {
    ///         nq.run(run)?.cancel("its worker is gone").await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unserved(&self) -> Result<Vec<Unserved>, StoreError> {
        unserved(&**self.store(), MOST_RUNS).await
    }

    /// Pauses a worker on every instance: no job of it is leased, in any of its flows, until the worker is resumed. Steps
    /// that run go on.
    ///
    /// ```
    /// # #![allow(non_camel_case_types)]
    /// # async fn example<charge: nq::Worker>(nq: nq::Client) -> nq::Result<()> {
    /// nq.pause::<charge>().await?;
    /// // … until the bank is back.
    /// nq.resume::<charge>().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pause<W: Worker>(&self) -> Result<(), StoreError> {
        self.set_paused::<W>(true).await
    }

    /// Resumes a worker that was [paused](Self::pause).
    ///
    /// ```
    /// # #![allow(non_camel_case_types)]
    /// # async fn example<charge: nq::Worker>(nq: nq::Client) -> nq::Result<()> {
    /// nq.resume::<charge>().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn resume<W: Worker>(&self) -> Result<(), StoreError> {
        self.set_paused::<W>(false).await
    }

    async fn set_paused<W: Worker>(&self, paused: bool) -> Result<(), StoreError> {
        for flow in W::DEF.flow_names() {
            self.store().pause(&QueueName::of(flow, W::DEF.name), paused).await?;
        }
        Ok(())
    }

    /// Pauses a queue, `<flow>/<worker>`, on every instance: none of its jobs is leased until it is resumed. The queue
    /// belongs to a worker of this program, or another program has put a job into it.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// nq.pause_queue("order/charge").await?;
    /// nq.resume_queue("order/charge").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pause_queue(&self, queue: impl AsRef<str>) -> Result<(), QueueError> {
        self.store().pause(&self.queue(queue.as_ref()).await?, true).await.map_err(QueueError::from)
    }

    /// Resumes a queue that was [paused](Self::pause_queue).
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// nq.resume_queue("order/charge").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn resume_queue(&self, queue: impl AsRef<str>) -> Result<(), QueueError> {
        self.store().pause(&self.queue(queue.as_ref()).await?, false).await.map_err(QueueError::from)
    }

    /// A queue that the program or the store knows.
    async fn queue(&self, name: &str) -> Result<QueueName, QueueError> {
        let queue = QueueName::new(name)?;
        let steps = self.registry().flows.values().flat_map(|flow| flow.steps.values());
        let mut known: BTreeSet<_> = steps.map(|step| step.spec.queue.clone()).collect();
        if !known.contains(&queue) {
            known.extend(self.store().queues().await?.into_iter().map(|counts| counts.queue));
        }
        if known.contains(&queue) {
            return Ok(queue);
        }
        let near = nearest(name, known.iter().map(QueueName::as_str));
        Err(QueueError::NoQueue { queue: name.to_owned(), near })
    }
}
