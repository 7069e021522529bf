//! A job is leased, and its lease is handed out. Whatever gives an instance a job does both by what stands here, so
//! that a lease says the same however it came about.

use super::damage::{Taken, readable, spoil, take};
use super::page::Page;
use super::records::Records;
use crate::entry::data::{EventEmitted, FlowStarted, StepStarted};
use crate::entry::{Entry, EntryType, NewEntry};
use crate::id::{InstanceId, RunId, StepId};
use crate::record::{JobRecord, JobState, RunRecord};
use crate::status::RunStatus;
use crate::store::{Arrived, Lease, RenewAnswer};
use crate::transaction::Renewal;

/// Who is to hold a job, and from when until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder<'a> {
    pub(super) instance: &'a InstanceId,
    pub(super) now_ms: u64,
    pub(super) until_ms: u64,
}

/// Leases a queued job: the fence rises, the first lease fixes the read position, and the timeline says that an attempt
/// began. None if the run has ended, which drops the job, or if the job cannot be read: it becomes a dead letter.
pub(super) fn lease<R: Records>(
    records: &mut R,
    run: &RunId,
    step: &StepId,
    holder: Holder<'_>,
) -> Result<Option<Lease>, R::Error> {
    let Taken::Job(run, mut job) = take(records, run, step, holder.now_ms)? else { return Ok(None) };
    let inputs = match inputs(records, &job)? {
        Ok(inputs) => inputs,
        Err(what) => return spoil(records, run, job, &what, holder.now_ms).map(|()| None),
    };
    let instance = holder.instance.clone();
    job.fence += 1;
    job.read.get_or_insert(run.last.n);
    job.state = JobState::Leased { instance: instance.clone(), deadline_ms: holder.until_ms };
    let mut page = Page::new(records, run, holder.now_ms);
    page.append(NewEntry::of(StepStarted { instance }), Some((step, job.attempt())))?;
    page.records.put_job(&job)?;
    let lease = handed(&page.run, &job, inputs);
    page.close()?;
    Ok(Some(lease))
}

/// The lease that was handed out with this fence, as it stands now. None if the job is not held by it any more. A job that
/// cannot be read any more becomes a dead letter when its lease has expired.
pub(super) fn again<R: Records>(
    records: &mut R,
    run: &RunId,
    step: &StepId,
    fence: u64,
) -> Result<Option<Lease>, R::Error> {
    let both = (readable::<R, _>(records.run(run))?, readable::<R, _>(records.job(run, step))?);
    let (Ok(Some(run)), Ok(Some(job))) = both else { return Ok(None) };
    if !job.is_held(fence) {
        return Ok(None);
    }
    Ok(inputs(records, &job)?.ok().map(|inputs| handed(&run, &job, inputs)))
}

/// Moves the deadline of a lease.
pub(super) fn renew<R: Records>(
    records: &mut R,
    renewal: &Renewal,
    until_ms: u64,
) -> Result<RenewAnswer, R::Error> {
    let run = readable::<R, _>(records.run(&renewal.run))?;
    let job = readable::<R, _>(records.job(&renewal.run, &renewal.step))?;
    if let Ok(Some(run)) = &run
        && run.status.is_terminal()
    {
        // A completed run has no unfinished jobs; every other end has dropped them.
        let finished = run.status == RunStatus::Completed && matches!(job, Ok(None));
        return Ok(if finished { RenewAnswer::LeaseLost } else { RenewAnswer::RunEnded });
    }
    let (Ok(Some(_)), Ok(Some(mut job))) = (run, job) else { return Ok(RenewAnswer::LeaseLost) };
    let held = job.is_held(renewal.fence);
    let JobState::Leased { deadline_ms, .. } = &mut job.state else { return Ok(RenewAnswer::LeaseLost) };
    if !held {
        return Ok(RenewAnswer::LeaseLost);
    }
    *deadline_ms = until_ms;
    records.put_job(&job)?;
    Ok(RenewAnswer::Renewed)
}

/// The events that a job runs on, or why one of them cannot be read.
fn inputs<R: Records>(records: &mut R, job: &JobRecord) -> Result<Result<Vec<Arrived>, String>, R::Error> {
    let mut inputs = Vec::with_capacity(job.inputs.len());
    for input in &job.inputs {
        match readable::<R, _>(records.entry(&job.run, input.id.n))? {
            Ok(Some(entry)) => inputs.push(arrived(entry, input.key.clone())),
            Ok(None) => return Ok(Err(format!("entry {} of its timeline is missing", input.id.n))),
            Err(what) => return Ok(Err(what)),
        }
    }
    Ok(Ok(inputs))
}

/// A leased job as its instance gets it.
fn handed(run: &RunRecord, job: &JobRecord, inputs: Vec<Arrived>) -> Lease {
    Lease {
        run: run.run.clone(),
        flow: run.flow.clone(),
        step: job.step.clone(),
        queue: job.spec.queue.clone(),
        fence: job.fence,
        attempt: job.attempt(),
        failures: job.failures,
        read: job.read.unwrap_or_default(),
        recorded: job.recorded,
        inputs,
    }
}

/// The event of an entry: an emitted event, or the input of the run. If it cannot be read, it is an event without a name,
/// which fits no worker.
pub fn arrived(entry: Entry, key: String) -> Arrived {
    let id = entry.id;
    let event = match entry.kind {
        EntryType::FlowStarted => entry.into_said().map(|FlowStarted { event, input, .. }| (event, input)),
        _ => entry.into_said().map(|EventEmitted { name, payload, .. }| (name, payload)),
    };
    let (event, payload) = event.unwrap_or_default();
    Arrived { id, event: event.into(), payload, key }
}
