//! Jobs that wait for code that no running instance has: a worker was removed or renamed, or its new version is not
//! deployed yet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nq_core::id::{QueueName, RunId};
use nq_core::limits::MAX_READ_ENTRIES;
use nq_core::store::{JobSummary, JobsQuery, Store, StoreError};
use serde::Serialize;
use tokio::sync::Mutex;

/// The most runs that are named for one queue.
pub(crate) const MOST_RUNS: usize = 100;

/// A queue with jobs that no running instance takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Unserved {
    /// The queue, `<flow>/<worker>`.
    pub queue: QueueName,
    /// How many jobs wait in it.
    pub jobs: u64,
    /// The runs that wait for it; the first hundred.
    pub runs: Vec<RunId>,
}

/// The queues with jobs of running runs that no instance takes, each with at most so many of those runs.
pub(crate) async fn unserved(store: &dyn Store, most_runs: usize) -> Result<Vec<Unserved>, StoreError> {
    let mut found = Vec::new();
    for counts in store.queues().await? {
        let jobs = counts.waiting();
        if counts.served || jobs == 0 {
            continue;
        }
        let runs = running(store, &counts.queue, most_runs).await?;
        if !runs.is_empty() {
            found.push(Unserved { queue: counts.queue, jobs, runs });
        }
    }
    Ok(found)
}

/// The running runs that have jobs waiting in a queue, at most so many. The queue may also hold jobs of ended runs: they
/// are dropped when they are leased, and no instance leases them here.
async fn running(store: &dyn Store, queue: &QueueName, most: usize) -> Result<Vec<RunId>, StoreError> {
    let mut query = JobsQuery { queue: Some(queue.clone()), limit: MAX_READ_ENTRIES, ..JobsQuery::default() };
    let mut runs: Vec<RunId> = Vec::new();
    loop {
        let page = store.jobs(&query).await?;
        let Some(last) = page.last() else { return Ok(runs) };
        query.after = Some((last.run.clone(), last.step.clone()));
        // The jobs of one run follow each other.
        let mut looked: Option<RunId> = None;
        for job in page.into_iter().filter(waits) {
            if looked.as_ref() != Some(&job.run) && runs.last() != Some(&job.run) {
                looked = Some(job.run.clone());
                if store.run(&job.run).await?.is_some_and(|run| !run.status.is_terminal()) {
                    runs.push(job.run);
                    if runs.len() == most {
                        return Ok(runs);
                    }
                }
            }
        }
    }
}

/// Whether a job waits for somebody to take it, now or later.
pub(crate) fn waits(job: &JobSummary) -> bool {
    job.state.kind().waits()
}

/// Looks for such queues while an instance runs, and logs each of them once.
#[derive(Debug)]
pub(crate) struct Watch {
    store: Arc<dyn Store>,
    /// Whether the other instances have had the time to report which queues they serve.
    reported: AtomicBool,
    /// The queues that were logged.
    told: Mutex<BTreeSet<QueueName>>,
}

impl Watch {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, reported: AtomicBool::new(false), told: Mutex::default() }
    }

    /// Looks, unless another look is still under way. The first look does nothing, because instances that started together
    /// with this one have not reported their queues yet.
    pub(crate) async fn look(self: Arc<Self>) {
        let Ok(mut told) = self.told.try_lock() else { return };
        if !self.reported.swap(true, Ordering::Relaxed) {
            return;
        }
        // If the store is away, the store logs that itself, and the next look comes soon.
        let Ok(found) = unserved(&*self.store, 1).await else { return };
        for Unserved { queue, jobs, runs } in found.iter().filter(|found| !told.contains(&found.queue)) {
            let worker = queue.as_str().rsplit('/').next().unwrap_or_default();
            let run = runs.first().map(RunId::as_str).unwrap_or_default();
            tracing::warn!(
                %queue,
                jobs,
                run,
                "jobs wait for a worker that no running instance has: deploy the code that has it, give the worker \
                 that took its place `was = [\"{worker}\"]`, or cancel the runs; `nq.unserved()` lists them"
            );
        }
        *told = found.into_iter().map(|found| found.queue).collect();
    }
}
