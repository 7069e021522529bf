//! Makes a dead letter of a job that cannot be read, which names run and step. Its run fails; other runs and the instances
//! go on.

use std::fmt::Display;

use super::page::Page;
use super::records::{Damage, Records};
use crate::entry::NewEntry;
use crate::entry::data::{FlowFailed, StepFailed};
use crate::id::{RunId, StepId};
use crate::limits;
use crate::record::{JobRecord, RunRecord};
use crate::status::RunStatus;

/// The error of a dead letter whose job or input cannot be read.
pub fn unreadable(run: impl Display, step: impl Display, what: &str) -> String {
    limits::cut(format!("step `{step}` of run `{run}` cannot be read from the store: {what}"))
}

/// The result of a read, where damage of one run is a value and not an error.
pub(super) fn readable<R: Records, T>(read: Result<T, R::Error>) -> Result<Result<T, String>, R::Error> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error) => R::damage(&error).map(Err).ok_or(error),
    }
}

/// Reads the job of a step, with its run. If one of them cannot be read, the job becomes a dead letter; if the run has
/// ended, the job is removed.
pub(super) fn take<R: Records>(
    records: &mut R,
    run: &RunId,
    step: &StepId,
    now_ms: u64,
) -> Result<Taken, R::Error> {
    let gone =
        |records: &mut R, damage: &Damage| condemn(records, run, step, damage, now_ms).map(|_| Taken::Gone);
    if let Some(damage) = records.damaged(run) {
        return gone(records, &damage);
    }
    let job = match readable::<R, _>(records.job(run, step))? {
        Ok(Some(job)) => job,
        Ok(None) => return Ok(Taken::Nothing),
        Err(what) => return gone(records, &Damage { what, beyond_repair: false }),
    };
    match readable::<R, _>(records.run(run))? {
        Ok(Some(run)) if !run.status.is_terminal() => Ok(Taken::Job(run, job)),
        Ok(_) => records.remove_job(&job).map(|()| Taken::Gone),
        Err(what) => gone(records, &Damage { what, beyond_repair: true }),
    }
}

/// The result of [`take`].
#[expect(
    clippy::large_enum_variant,
    reason = "each lives for one call, and every lease would pay for the box"
)]
pub(super) enum Taken {
    /// A job to be done, and its run.
    Job(RunRecord, JobRecord),
    /// The job is not to be done any more: this act has removed it, or made it a dead letter.
    Gone,
    /// There is no such job.
    Nothing,
}

/// Ends a step whose job cannot be read, and its run with it. Returns the status of the run; none if that cannot be read
/// either.
pub fn condemn<R: Records>(
    records: &mut R,
    run: &RunId,
    step: &StepId,
    damage: &Damage,
    now_ms: u64,
) -> Result<Option<RunStatus>, R::Error> {
    let error = unreadable(run, step, &damage.what);
    records.bury(run, step, &error)?;
    let Ok(Some(run)) = readable::<R, _>(records.run(run))? else { return Ok(None) };
    if run.status.is_terminal() || damage.beyond_repair {
        return Ok(Some(run.status).filter(|status| status.is_terminal()));
    }
    let mut page = Page::new(records, run, now_ms);
    let failed = StepFailed { error: error.clone() };
    page.append_of(NewEntry::of(failed), Some(step.clone()), None)?;
    page.end(|duration_ms| FlowFailed { duration_ms, error, failed_step: Some(step.worker().clone()) })?;
    page.close()?;
    Ok(Some(RunStatus::Failed))
}

/// Ends a run with damaged data that does not even name its step.
pub fn fail<R: Records>(records: &mut R, run: &RunId, error: &str, now_ms: u64) -> Result<(), R::Error> {
    let Ok(Some(run)) = readable::<R, _>(records.run(run))? else { return Ok(()) };
    if run.status.is_terminal() {
        return Ok(());
    }
    let mut page = Page::new(records, run, now_ms);
    let error = error.to_owned();
    page.end(|duration_ms| FlowFailed { duration_ms, error, failed_step: None })?;
    page.close().map(drop)
}

/// A job whose record is sound and whose input cannot be read dies as any other step does.
pub(super) fn spoil<R: Records>(
    records: &mut R,
    run: RunRecord,
    mut job: JobRecord,
    what: &str,
    now_ms: u64,
) -> Result<(), R::Error> {
    let error = unreadable(&run.run, &job.step, what);
    let mut page = Page::new(records, run, now_ms);
    page.append(NewEntry::of(StepFailed { error: error.clone() }), Some((&job.step, job.attempt())))?;
    job.failures += 1;
    page.die(job, &error)?;
    page.close().map(drop)
}
