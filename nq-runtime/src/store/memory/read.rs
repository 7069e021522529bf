//! What people and engines read: pages of entries, runs and jobs.

use std::ops::Bound;

use nq_core::entry::Entry;
use nq_core::id::{EntryId, RunId};
use nq_core::limits::{MAX_READ_BYTES, MAX_READ_ENTRIES};
use nq_core::record::{JobRecord, RunRecord, StateKind};
use nq_core::store::{
    ErrorKind, Gathered, JobSummary, JobsQuery, QueueCounts, Read, RunsPage, RunsQuery, StoreError,
};
use serde_json::Value;

use super::records::{Maps, Queue, RunMaps};

/// Collects entries until a page is full.
struct Page {
    entries: Vec<Entry>,
    limit: usize,
    bytes: usize,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), limit: limit.min(MAX_READ_ENTRIES), bytes: 0 }
    }

    /// Adds entries as long as they fit, and at least one, so that a reader always makes progress.
    fn fill<'a>(mut self, entries: impl Iterator<Item = &'a Entry>) -> Vec<Entry> {
        for entry in entries {
            self.bytes += bytes(&entry.data);
            if self.entries.len() == self.limit || (self.bytes > MAX_READ_BYTES && !self.entries.is_empty()) {
                break;
            }
            self.entries.push(entry.clone());
        }
        self.entries
    }
}

/// About how many bytes a value takes.
fn bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 2 + text.len(),
        Value::Array(values) => 2 + values.iter().map(|value| 1 + bytes(value)).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(key, value)| 4 + key.len() + bytes(value)).sum::<usize>(),
    }
}

impl RunMaps {
    fn last(&self) -> EntryId {
        self.entries.last().map_or(EntryId { ms: 0, n: 0 }, |entry| entry.id)
    }

    /// The id of the entry at a position.
    fn id_at(&self, n: u64) -> Option<EntryId> {
        self.entries.get(usize::try_from(n.checked_sub(1)?).ok()?).map(|entry| entry.id)
    }
}

impl Maps {
    pub(super) fn read(&self, read: &Read) -> Result<Vec<Entry>, StoreError> {
        let run = self.known("read", &read.run)?;
        read.follows(run.last(), read.seen.and_then(|seen| run.id_at(seen.n)))?;
        let upto = read.upto.map_or(run.entries.len(), |upto| run.entries.len().min(upto as usize));
        let entries = run.entries.get(read.after as usize..upto).unwrap_or_default().iter();
        let wanted = |entry: &&Entry| read.types.is_empty() || read.types.contains(&entry.kind);
        let page = Page::new(read.limit);
        Ok(if read.reverse {
            page.fill(entries.rev().filter(wanted))
        } else {
            page.fill(entries.filter(wanted))
        })
    }

    pub(super) fn gathered(&self, gathered: &Gathered) -> Result<Vec<Entry>, StoreError> {
        let Gathered { run, worker, upto, from, limit, seen } = gathered;
        let run = self.known("gathered", run)?;
        gathered.follows(run.last(), seen.and_then(|seen| run.id_at(seen.n)))?;
        let ids = run.gathered.get(worker).map(Vec::as_slice).unwrap_or_default();
        let ids = ids.get(*from as usize..).unwrap_or_default().iter().take_while(|id| id.n <= *upto);
        Ok(Page::new(*limit).fill(ids.filter_map(|id| run.entries.get(id.n as usize - 1))))
    }

    fn known(&self, op: &'static str, run: &RunId) -> Result<&RunMaps, StoreError> {
        self.runs.get(run).ok_or_else(|| StoreError::no_run(op, run))
    }

    pub(super) fn summary(&self, run: &RunId) -> Option<RunRecord> {
        self.runs.get(run)?.record.clone()
    }

    pub(super) fn list_runs(&self, query: &RunsQuery) -> Result<RunsPage, StoreError> {
        let before = match &query.cursor {
            None => Bound::Unbounded,
            Some(cursor) => {
                let no_cursor = |_| {
                    StoreError::new(ErrorKind::NotFound, "runs", "this is no cursor of a page")
                        .with_key(cursor)
                };
                Bound::Excluded(cursor.parse::<u64>().map_err(no_cursor)?)
            }
        };
        let Some(runs) = self.index.get(&(query.flow.clone(), query.status)) else {
            return Ok(RunsPage::default());
        };
        let limit = query.page_size();
        let mut rest = runs.range((Bound::Unbounded, before)).rev();
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let next = rest.next().and(page.last()).map(|(started, _)| started.to_string());
        Ok(RunsPage { runs: page.into_iter().filter_map(|(_, run)| self.summary(run)).collect(), next })
    }

    pub(super) fn list_queues(&self, now_ms: u64) -> Vec<QueueCounts> {
        let counts = self.queues.values().map(|Queue { counts, .. }| {
            let served = self.served.get(&counts.queue).is_some_and(|until_ms| now_ms < *until_ms);
            QueueCounts { served, ..counts.clone() }
        });
        counts.collect()
    }

    pub(super) fn list_jobs(&self, query: &JobsQuery) -> Vec<JobSummary> {
        let after = query.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let wanted = |job: &&JobRecord| {
            query.run.as_ref().is_none_or(|run| job.run == *run)
                && query.queue.as_ref().is_none_or(|queue| job.spec.queue == *queue)
                && (!query.dead || job.state.kind() == StateKind::Dead)
        };
        let limit = query.page_size();
        // The narrowest filter decides which index is read.
        if query.run.is_none() && (query.dead || query.queue.is_some()) {
            let record = |run, step| Some(&self.runs.get(run)?.jobs.get(step)?.record);
            return match &query.queue {
                Some(queue) if !query.dead => {
                    let keys =
                        self.queues.get(queue).map(|queue| queue.jobs.range((after, Bound::Unbounded)));
                    let jobs = keys.into_iter().flatten().filter_map(|(run, step)| record(run, step));
                    jobs.filter(wanted).take(limit).map(job_summary).collect()
                }
                // Time ends none of them, so all lie at one moment, in the order of run and step.
                _ => {
                    let after = query
                        .after
                        .clone()
                        .map_or(Bound::Unbounded, |(run, step)| Bound::Excluded((0, run, step)));
                    let keys = self.in_state(StateKind::Dead).range((after, Bound::Unbounded));
                    let jobs = keys.filter_map(|(_, run, step)| record(run, step));
                    jobs.filter(wanted).take(limit).map(job_summary).collect()
                }
            };
        }
        let first = query.run.as_ref().or(query.after.as_ref().map(|(run, _)| run));
        let runs = self.runs.range((first.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded));
        let runs = runs.take_while(|(id, _)| query.run.as_ref().is_none_or(|run| run == *id));
        let jobs = runs.flat_map(|(id, run)| {
            let from = match &query.after {
                Some((after, step)) if after == id => Bound::Excluded(step),
                _ => Bound::Unbounded,
            };
            run.jobs.range((from, Bound::Unbounded)).map(|(_, job)| &job.record)
        });
        let jobs = jobs.filter(|job| {
            // A page that begins behind the one run that it is about is empty.
            query.after.as_ref().is_none_or(|(run, step)| (&job.run, &job.step) > (run, step))
        });
        jobs.filter(wanted).take(limit).map(job_summary).collect()
    }
}

fn job_summary(job: &JobRecord) -> JobSummary {
    JobSummary {
        run: job.run.clone(),
        step: job.step.clone(),
        queue: job.spec.queue.clone(),
        state: job.state.clone(),
        attempt: job.state.attempt(job.ended()),
        failures: job.failures,
        crashes: job.crashes,
    }
}
