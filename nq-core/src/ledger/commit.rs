//! One write of an attempt: checked whole, then applied whole.

use super::damage::{condemn, readable};
use super::former;
use super::page::Page;
use super::records::{Damage, Records};
use crate::id::Name;
use crate::limits;
use crate::record::{Input, JobState};
use crate::store::Answer;
use crate::transaction::{JobSpec, JoinArrival, Outcome, Transaction};

/// Applies a transaction, or says why nothing of it was.
pub(super) fn commit<R: Records>(records: &mut R, tx: &Transaction, now_ms: u64) -> Result<Answer, R::Error> {
    let damaged = records.damaged(&tx.run);
    let run = match readable::<R, _>(records.run(&tx.run))? {
        Ok(Some(run)) => run,
        Ok(None) => return Ok(Answer::RunGone),
        Err(what) => return refuse(records, tx, &Damage { what, beyond_repair: true }, now_ms),
    };
    if run.status.is_terminal() {
        return Ok(Answer::RunEnded { status: run.status });
    }
    let job = match (damaged, readable::<R, _>(records.job(&tx.run, &tx.step))?) {
        (None, Ok(job)) => job,
        (Some(damage), _) => return refuse(records, tx, &damage, now_ms),
        (None, Err(what)) => return refuse(records, tx, &Damage { what, beyond_repair: false }, now_ms),
    };
    let Some(mut job) = job else { return Ok(Answer::LeaseLost) };
    if !job.is_held(tx.fence) {
        return Ok(Answer::LeaseLost);
    }
    if tx.entries.len() > limits::MAX_COMMIT_ENTRIES {
        let limit = format!("{} entries in one commit", limits::MAX_COMMIT_ENTRIES);
        return Ok(Answer::TooLarge { limit });
    }

    let former = former::known(records, tx)?;
    let (tx, apart) = former.as_ref().map_or((tx, &[][..]), |known| (&known.tx, &known.apart[..]));
    let mut page = Page::new(records, run, now_ms);
    let mut ids = Vec::with_capacity(tx.entries.len());
    for entry in &tx.entries {
        ids.push(page.append(entry.clone(), Some((&tx.step, tx.attempt)))?);
    }
    page.declared = &tx.gathers;
    if !tx.gathers.is_empty() {
        page.own = Some(job.spec.holds.clone());
    }
    for arrival in &tx.gathered {
        page.gather(&arrival.worker, ids[arrival.entry])?;
    }
    for new in &tx.jobs {
        let cause = ids[new.cause];
        page.enqueue(&new.spec, cause, vec![Input { id: cause, key: new.key.clone() }])?;
    }
    for (worker, join) in apart {
        page.unite(worker, join)?;
    }
    for arrival in &tx.joins {
        let this = Input { id: ids[arrival.entry], key: arrival.key.clone() };
        page.arrive(&arrival.spec, arrival.sides, arrival.side, &arrival.by, this)?;
    }

    match &tx.outcome {
        Outcome::Continue => {
            job.recorded += tx.recorded;
            page.records.put_job(&job)?;
        }
        Outcome::Complete => {
            page.records.remove_job(&job)?;
            page.release(&job)?;
            page.settle(page.run.last)?;
        }
        Outcome::Retry { delay_ms } | Outcome::Postpone { delay_ms } => {
            match &tx.outcome {
                Outcome::Postpone { .. } => job.earlier += 1,
                _ => job.failures += 1,
            }
            job.state = match delay_ms {
                0 => JobState::Queued,
                delay => JobState::Delayed { due_ms: limits::time_ms(now_ms, *delay) },
            };
            page.records.put_job(&job)?;
        }
        Outcome::Fail { error } => {
            job.failures += 1;
            page.die(job, error)?;
        }
        Outcome::Release => {
            job.state = JobState::Queued;
            page.records.put_job(&job)?;
        }
    }
    Ok(Answer::Committed { last: page.close()? })
}

/// A write for a damaged run: the run ends, and with it the step that wrote.
fn refuse<R: Records>(
    records: &mut R,
    tx: &Transaction,
    damage: &Damage,
    now_ms: u64,
) -> Result<Answer, R::Error> {
    let status = condemn(records, &tx.run, &tx.step, damage, now_ms)?;
    Ok(status.map_or(Answer::RunGone, |status| Answer::RunEnded { status }))
}

impl<R: Records> Page<'_, R> {
    /// An event arrives at a join: the step runs if every other side has a partner, else it waits there.
    fn arrive(
        &mut self,
        spec: &JobSpec,
        sides: u32,
        side: u32,
        by: &str,
        this: Input,
    ) -> Result<(), R::Error> {
        let (run, worker) = (self.run.run.clone(), &spec.worker);
        for other in (0..sides).filter(|other| *other != side) {
            if !self.records.has_arrival(&run, worker, other, by)? {
                return self.records.put_arrival(&run, worker, side, by, &this);
            }
        }
        let mut inputs = Vec::with_capacity(sides as usize);
        for other in 0..sides {
            if other == side {
                inputs.push(this.clone());
            } else if let Some(input) = self.records.take_arrival(&run, worker, other, by)? {
                inputs.push(input);
            }
        }
        // An event that waited under another name of the join may be older than its partner.
        let cause = inputs.iter().map(|input| input.id).max().unwrap_or(this.id);
        self.enqueue(spec, cause, inputs)
    }

    /// Moves the events that wait at a join under this name to the name that the run goes on with.
    fn unite(&mut self, worker: &Name, join: &JoinArrival) -> Result<(), R::Error> {
        for (side, by, input) in self.records.take_arrivals(&self.run.run, worker)? {
            self.arrive(&join.spec, join.sides, side, &by, input)?;
        }
        Ok(())
    }
}
