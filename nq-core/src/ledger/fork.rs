//! The beginning of a run that goes on from what another has done.

use super::page::Page;
use super::records::Records;
use crate::entry::NewEntry;
use crate::entry::data::StepRetrying;
use crate::fork::Fork;
use crate::record::{JobRecord, RunRecord};
use crate::transaction::Start;

/// Writes the entries, jobs and events with which the run begins, then fires the gathers that nothing holds any more.
pub(super) fn begin<R: Records>(
    records: &mut R,
    start: &Start,
    fork: &Fork,
    run: RunRecord,
    now_ms: u64,
) -> Result<(), R::Error> {
    for entry in &fork.entries {
        records.append(&start.run, entry.clone())?;
    }
    let (_, last) = fork.ends();
    let pending = fork.jobs.len() as u64;
    let mut page = Page::new(records, RunRecord { last, pending, ..run }, now_ms);
    for job in fork.jobs.iter().filter(|job| job.earlier > 0) {
        let (reason, next_attempt) = (Some("rerun".to_owned()), job.attempt());
        let retrying = StepRetrying { error: None, reason, next_attempt, delay_ms: 0 };
        page.append(NewEntry::of(retrying), Some((&job.step, job.earlier)))?;
    }
    for job in &fork.jobs {
        page.records.put_job(&JobRecord { run: start.run.clone(), ..job.clone() })?;
    }
    for waiting in &fork.arrivals {
        page.records.put_arrival(&start.run, &waiting.worker, waiting.side, &waiting.by, &waiting.input)?;
    }
    for gather in &fork.gathers {
        page.records.put_gather(&start.run, gather)?;
    }
    for (worker, ids) in &fork.lists {
        for id in ids {
            page.records.push_gathered(&start.run, worker, *id)?;
        }
    }
    page.settle(page.run.last)?;
    page.close().map(drop)
}
