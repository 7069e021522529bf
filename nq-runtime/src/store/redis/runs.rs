//! The index of runs, in pages, newest first.

use std::cmp::Reverse;

use nq_core::id::RunId;
use nq_core::record::RunRecord;
use nq_core::status::RunStatus;
use nq_core::store::{ErrorKind, RunsPage, RunsQuery, StoreError};

use super::RedisStore;
use super::codec;
use super::library::Call;
use super::partition::Partition;
use super::reply::{Reply, lossy};

const OP: &str = "runs";

/// Where a run stands in the index: when it started, in µs, and its id.
type Place = (u64, String);

impl RedisStore {
    pub(super) async fn list_runs(&self, query: &RunsQuery) -> Result<RunsPage, StoreError> {
        let cursor = query.cursor.as_deref().map(place).transpose()?;
        let limit = query.page_size();
        let mut found = Vec::new();
        for partition in &self.partitions {
            found.extend(list_one(partition, query, cursor.as_ref(), limit + 1).await?);
        }
        found.sort_by(|(a, _), (b, _)| Reverse(a).cmp(&Reverse(b)));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|((started, run), _)| format!("{started}~{run}"));
        Ok(RunsPage { runs: found.into_iter().map(|(_, run)| run).collect(), next })
    }
}

fn place(cursor: &str) -> Result<Place, StoreError> {
    let parts =
        cursor.split_once('~').and_then(|(started, run)| Some((started.parse().ok()?, run.to_owned())));
    parts.ok_or_else(|| {
        StoreError::new(ErrorKind::NotFound, OP, "this is no cursor of a page").with_key(cursor)
    })
}

async fn list_one(
    partition: &Partition,
    query: &RunsQuery,
    cursor: Option<&Place>,
    limit: usize,
) -> Result<Vec<(Place, RunRecord)>, StoreError> {
    let (started, run) = cursor.map(|(started, run)| (started.to_string(), run.clone())).unwrap_or_default();
    let mut call = Call::reading(OP, partition);
    call.arg(limit).arg(started).arg(run).arg(query.flow.as_ref().map_or("", |flow| flow.as_str()));
    match query.status {
        Some(status) => {
            call.arg(status.as_str());
        }
        None => {
            for status in RunStatus::ALL {
                call.arg(status.as_str());
            }
        }
    }
    let mut reply = Reply::new(OP, call.run(&partition.calls).await?)?;
    let mut found = Vec::new();
    while !reply.is_empty() {
        let run = reply.text()?;
        let started = reply.number()?;
        let head = lossy(reply.value()?);
        if let Some(summary) = RunId::new(&run).ok().and_then(|id| codec::run(id, &head)) {
            found.push(((started, run), summary));
        } else {
            // Whoever asks for it by its id is told.
            tracing::error!(run, "a run that cannot be read is left out of a list");
        }
    }
    Ok(found)
}
