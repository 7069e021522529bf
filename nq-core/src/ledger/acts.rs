//! Everything that happens to runs and jobs outside of turns: starts, acts, log lines, due jobs and expired leases.

use super::damage::{Taken, condemn, readable, take};
use super::fork;
use super::former::standing;
use super::page::Page;
use super::records::{Damage, Records};
use crate::decide::lost_again;
use crate::entry::NewEntry;
use crate::entry::data::{FlowCancelled, StepFailed, StepRetrying};
use crate::id::{EntryId, RunId, StepId};
use crate::limits;
use crate::more::More;
use crate::record::{Input, JobState, RunRecord, TickRecord};
use crate::status::RunStatus;
use crate::store::{Acted, Started, StoreError};
use crate::transaction::{Act, LogLine, Start};

/// Begins a run, or finds that it has begun.
pub fn start<R: Records>(
    records: &mut R,
    start: &Start,
    now_ms: u64,
) -> Result<Result<Started, StoreError>, R::Error> {
    if let Some(run) = records.run(&start.run)? {
        let first = records.entry(&start.run, 1)?;
        let same = run.flow == start.flow && first.is_none_or(|first| start.is_of(first.id, &first.data));
        return Ok(if same { Ok(Started::Existing) } else { Err(start.id_taken()) });
    }
    if let Some(Err(error)) = start.fork.as_ref().map(|fork| fork.fits(&start.run)) {
        return Ok(Err(error));
    }
    let run = RunRecord {
        run: start.run.clone(),
        flow: start.flow.clone(),
        status: RunStatus::Running,
        started_ms: now_ms,
        ended_ms: None,
        last: EntryId::default(),
        pending: 0,
        more: More::default(),
    };
    if let Some(fork) = &start.fork {
        fork::begin(records, start, fork, run, now_ms)?;
        return Ok(Ok(Started::New(fork.ends().0)));
    }
    let mut page = Page::new(records, run, now_ms);
    let id = page.append(start.started.clone(), None)?;
    page.declared = &start.gathers;
    page.enqueue(&start.job, id, vec![Input { id, key: String::new() }])?;
    page.close()?;
    Ok(Ok(Started::New(id)))
}

/// Cancels a run, or redrives a step of it. None if there is no such run.
pub fn act<R: Records>(
    records: &mut R,
    run: &RunId,
    act: &Act,
    now_ms: u64,
) -> Result<Option<Acted>, R::Error> {
    let Some(run) = records.run(run)? else { return Ok(None) };
    if run.status.is_terminal() {
        return Ok(Some(Acted::Nothing));
    }
    let job = match act {
        Act::Cancel { .. } => None,
        Act::Redrive { step } => match records.job(&run.run, step)? {
            Some(job) if matches!(job.state, JobState::Dead { .. }) => Some(job),
            _ => return Ok(Some(Acted::Nothing)),
        },
    };
    let mut page = Page::new(records, run, now_ms);
    if let Act::Cancel { reason } = act {
        let reason = reason.clone();
        page.end(|duration_ms| FlowCancelled { duration_ms, reason })?;
    }
    if let Some(mut job) = job {
        let gathers = page.gathers()?;
        job.spec.holds.retain(|held| !standing(gathers, held).is_some_and(|at| gathers[at].fired));
        page.count(&job.spec.holds, 1)?;
        job.earlier += job.failures + job.crashes;
        (job.failures, job.crashes) = (0, 0);
        job.state = JobState::Queued;
        let (reason, next_attempt) = (Some("redriven".to_owned()), job.attempt());
        let retrying = StepRetrying { error: None, reason, next_attempt, delay_ms: 0 };
        page.append(NewEntry::of(retrying), Some((&job.step, job.earlier)))?;
        page.records.put_job(&job)?;
    }
    page.close()?;
    Ok(Some(Acted::Done))
}

/// Appends log lines. False if there is no such run.
pub fn append<R: Records>(
    records: &mut R,
    run: &RunId,
    lines: &[LogLine],
    now_ms: u64,
) -> Result<bool, R::Error> {
    let Some(run) = records.run(run)? else { return Ok(false) };
    let mut page = Page::new(records, run, now_ms);
    for line in lines {
        page.append(line.entry.clone(), Some((&line.step, line.attempt)))?;
    }
    page.close()?;
    Ok(true)
}

/// A delayed job is due: it goes to its queue. False if it is not delayed any more.
pub fn due<R: Records>(records: &mut R, run: &RunId, step: &StepId, now_ms: u64) -> Result<bool, R::Error> {
    let mut job = match readable::<R, _>(records.job(run, step))? {
        Ok(Some(job)) => job,
        Ok(None) => return Ok(false),
        Err(what) => {
            let damage = Damage { what, beyond_repair: false };
            return condemn(records, run, step, &damage, now_ms).map(|_| true);
        }
    };
    if !matches!(job.state, JobState::Delayed { due_ms } if due_ms <= now_ms) {
        return Ok(false);
    }
    job.state = JobState::Queued;
    records.put_job(&job)?;
    Ok(true)
}

/// Takes a job from an instance that is gone: its lease has expired, or its process is known to be dead. The job goes back
/// to its queue, or becomes a dead letter if too many of its attempts ended like that. False if nobody holds the job, or
/// it was leased again since.
pub fn expire<R: Records>(
    records: &mut R,
    run: &RunId,
    step: &StepId,
    fence: u64,
    why: &str,
    now_ms: u64,
) -> Result<bool, R::Error> {
    if let Ok(Some(job)) = readable::<R, _>(records.job(run, step))?
        && !job.is_held(fence)
    {
        return Ok(false);
    }
    let (run, mut job) = match take(records, run, step, now_ms)? {
        Taken::Job(run, job) => (run, job),
        Taken::Gone => return Ok(true),
        Taken::Nothing => return Ok(false),
    };
    let mut page = Page::new(records, run, now_ms);
    let attempt = job.attempt();
    job.crashes += 1;
    if job.crashes >= job.spec.max_crashes {
        let error = lost_again(why, job.crashes);
        page.append(NewEntry::of(StepFailed { error: error.clone() }), Some((&job.step, attempt)))?;
        page.die(job, &error)?;
    } else {
        let (error, next_attempt) = (Some(why.to_owned()), job.attempt());
        let retrying = StepRetrying { error, reason: None, next_attempt, delay_ms: 0 };
        page.append(NewEntry::of(retrying), Some((&job.step, attempt)))?;
        job.state = JobState::Queued;
        page.records.put_job(&job)?;
    }
    page.close()?;
    Ok(true)
}

/// The memory of ticks after a tick at this moment. Leases may be reclaimed only if the result's `spared_until_ms` has
/// passed.
pub fn spare(before: TickRecord, now_ms: u64, lease_ms: u64) -> TickRecord {
    let late = now_ms.saturating_sub(before.last_ms) > lease_ms / 3 || now_ms < before.last_ms;
    let one_lease_ms = limits::time_ms(now_ms, lease_ms);
    let spared_until_ms = if late { one_lease_ms } else { before.spared_until_ms.min(one_lease_ms) };
    TickRecord { last_ms: now_ms, spared_until_ms }
}
