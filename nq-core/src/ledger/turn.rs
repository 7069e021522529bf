//! The turn: renewals, writes and leases of one instance, safe to send again.

use super::acts::start;
use super::commit::commit;
use super::damage::{Taken, readable, spoil, take};
use super::page::Page;
use super::records::Records;
use crate::entry::data::{EventEmitted, FlowStarted, StepStarted};
use crate::entry::{Entry, EntryType, NewEntry};
use crate::id::{InstanceId, RunId, StepId};
use crate::limits;
use crate::record::{JobRecord, JobState, LaneRecord, RunRecord};
use crate::status::RunStatus;
use crate::store::{Arrived, ErrorKind, Lease, RenewAnswer, StartAnswer, TurnReply};
use crate::transaction::{Renewal, Turn};

/// Why a turn is refused on its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneError {
    /// A later turn was taken already: another process uses this instance id.
    Overtaken {
        /// The number that came.
        number: u64,
        /// The number that was taken last.
        last: u64,
    },
    /// Turns are missing: the store lost what it had acknowledged.
    Gap {
        /// The number that came.
        number: u64,
        /// The number that was taken last.
        last: u64,
    },
}

impl std::fmt::Display for LaneError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Overtaken { number, last } => {
                write!(f, "turn {number} comes after turn {last}: another process uses the same instance id")
            }
            Self::Gap { number, last } => write!(
                f,
                "turn {number} comes, but the store remembers turn {last}: it has lost data that it had acknowledged"
            ),
        }
    }
}

/// Takes a turn. A turn of the same number as the last gets the answers of the last.
pub fn turn<R: Records>(
    records: &mut R,
    turn: &Turn,
    now_ms: u64,
) -> Result<Result<TurnReply, LaneError>, R::Error> {
    let lane = records.lane(&turn.instance)?.unwrap_or_default();
    let (number, last) = (turn.number, lane.number);
    if number == last && last != 0 {
        let started = begin(records, turn, now_ms)?;
        return resent(records, lane, started).map(Ok);
    }
    if number <= last {
        return Ok(Err(LaneError::Overtaken { number, last }));
    }
    if number != last + 1 {
        return Ok(Err(LaneError::Gap { number, last }));
    }

    let until_ms = limits::time_ms(now_ms, turn.lease_ms);
    let mut reply = TurnReply::default();
    for renewal in &turn.renewals {
        reply.renewed.push(renew(records, renewal, until_ms)?);
    }
    reply.started = begin(records, turn, now_ms)?;
    for write in &turn.writes {
        reply.answers.push(commit(records, write, now_ms)?);
    }
    for want in &turn.wants {
        let mut left = want.max;
        // The jobs of ended runs are dropped here. There may be many, so the rest waits for the next turn.
        let mut looks = limits::MAX_TURN_WRITES as u32;
        while left > 0 && looks > 0 {
            let jobs = records.queued(&want.queue, left.min(looks))?;
            if jobs.is_empty() {
                break;
            }
            looks -= jobs.len() as u32;
            for (run, step) in jobs {
                if let Some(lease) = lease(records, &run, &step, turn, now_ms, until_ms)? {
                    reply.leases.push(lease);
                    left -= 1;
                }
            }
        }
    }
    records.put_lane(
        &turn.instance,
        &LaneRecord {
            number,
            at_ms: now_ms,
            answers: reply.answers.clone(),
            renewed: reply.renewed.clone(),
            leased: reply.leases.iter().map(|l| (l.run.clone(), l.step.clone(), l.fence)).collect(),
            more: lane.more,
        },
    )?;
    Ok(Ok(reply))
}

/// Begins the runs of a turn. Once they have begun, this changes nothing.
fn begin<R: Records>(records: &mut R, turn: &Turn, now_ms: u64) -> Result<Vec<StartAnswer>, R::Error> {
    let mut begun = Vec::with_capacity(turn.starts.len());
    for one in &turn.starts {
        begun.push(match readable::<R, _>(start(records, one, now_ms))? {
            Ok(Ok(started)) => StartAnswer::Started(started),
            Ok(Err(refused)) if refused.kind() == ErrorKind::Conflict => StartAnswer::IdTaken,
            Ok(Err(_)) | Err(_) => StartAnswer::Later,
        });
    }
    Ok(begun)
}

/// The answers of the last turn, its leases as they stand now.
fn resent<R: Records>(
    records: &mut R,
    lane: LaneRecord,
    started: Vec<StartAnswer>,
) -> Result<TurnReply, R::Error> {
    let mut leases = Vec::new();
    for (run, step, fence) in lane.leased {
        // A job that cannot be read any more becomes a dead letter when its lease has expired.
        let both = (readable::<R, _>(records.run(&run))?, readable::<R, _>(records.job(&run, &step))?);
        let (Ok(Some(run)), Ok(Some(job))) = both else { continue };
        if job.fence == fence
            && matches!(job.state, JobState::Leased { .. })
            && let Ok(inputs) = inputs(records, &job)?
        {
            leases.push(view(&run, &job, inputs));
        }
    }
    Ok(TurnReply { started, answers: lane.answers, renewed: lane.renewed, leases })
}

fn renew<R: Records>(records: &mut R, renewal: &Renewal, until_ms: u64) -> Result<RenewAnswer, R::Error> {
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
    let JobState::Leased { deadline_ms, .. } = &mut job.state else { return Ok(RenewAnswer::LeaseLost) };
    if job.fence != renewal.fence {
        return Ok(RenewAnswer::LeaseLost);
    }
    *deadline_ms = until_ms;
    records.put_job(&job)?;
    Ok(RenewAnswer::Renewed)
}

/// Leases a queued job to the instance of this turn. If the run has ended, the job is dropped; if the job cannot be read,
/// it becomes a dead letter.
fn lease<R: Records>(
    records: &mut R,
    run: &RunId,
    step: &StepId,
    turn: &Turn,
    now_ms: u64,
    until_ms: u64,
) -> Result<Option<Lease>, R::Error> {
    let Taken::Job(run, mut job) = take(records, run, step, now_ms)? else { return Ok(None) };
    let inputs = match inputs(records, &job)? {
        Ok(inputs) => inputs,
        Err(what) => return spoil(records, run, job, &what, now_ms).map(|()| None),
    };
    job.fence += 1;
    job.read.get_or_insert(run.last.n);
    job.state = leased(&turn.instance, until_ms);
    let mut page = Page::new(records, run, now_ms);
    let started = StepStarted { instance: turn.instance.clone() };
    page.append(NewEntry::of(started), Some((step, job.attempt())))?;
    page.records.put_job(&job)?;
    let run = page.run.clone();
    page.close()?;
    Ok(Some(view(&run, &job, inputs)))
}

fn leased(instance: &InstanceId, deadline_ms: u64) -> JobState {
    JobState::Leased { instance: instance.clone(), deadline_ms }
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
fn view(run: &RunRecord, job: &JobRecord, inputs: Vec<Arrived>) -> Lease {
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
