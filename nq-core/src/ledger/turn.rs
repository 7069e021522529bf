//! The turn: renewals, writes and leases of one instance, safe to send again.

use super::acts::start;
use super::commit::commit;
use super::damage::readable;
use super::lease::{Holder, again, lease, renew};
use super::records::Records;
use crate::limits;
use crate::record::LaneRecord;
use crate::store::{ErrorKind, StartAnswer, TurnReply};
use crate::transaction::Turn;

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
    let holder = Holder { instance: &turn.instance, now_ms, until_ms };
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
                if let Some(lease) = lease(records, &run, &step, holder)? {
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
    for (run, step, fence) in &lane.leased {
        leases.extend(again(records, run, step, *fence)?);
    }
    Ok(TurnReply { started, answers: lane.answers, renewed: lane.renewed, leases })
}
