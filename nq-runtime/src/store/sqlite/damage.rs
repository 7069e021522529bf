//! Rows that cannot be read harm the run that they belong to, and nothing else.

use nq_core::id::{RunId, StepId};
use nq_core::ledger::{self, Damage};
use nq_core::limits;
use nq_core::record::StateKind;
use rusqlite::types::Value;
use rusqlite::{Params, Row, params};

use super::book::Book;
use super::cache::Ticket;
use super::errors::Failure;
use super::row;

impl Book<'_> {
    /// Remembers the run that this failure is about, so that the call can be tried again and goes round it. False
    /// if that would be of no use.
    pub(super) fn mark(&mut self, failure: &Failure) -> bool {
        let Failure::Corrupt { key, what } = failure else { return false };
        let Ok(run) = RunId::new(key) else { return false };
        match self.damaged.get_mut(&run) {
            None => {
                self.damaged.insert(run, Damage { what: what.clone(), beyond_repair: false });
                true
            }
            Some(damage) => !std::mem::replace(&mut damage.beyond_repair, true),
        }
    }

    /// What this makes of each job that a statement finds. The statement begins with the run's id, the worker, the
    /// moment and the position of the cause, and the run's key. A job of which these cannot be read is a dead
    /// letter then.
    pub(super) fn jobs<T>(
        &mut self,
        sql: &str,
        params: impl Params,
        mut take: impl FnMut(&Row<'_>, RunId, StepId) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let rows = self.db.all(sql, params, |row| match job_key(row).and_then(|(r, s)| take(row, r, s)) {
            Ok(job) => Ok(Ok(job)),
            Err(failure) => Ok(Err(([row.get(4)?, row.get(1)?, row.get(3)?], row.get(0).ok(), failure))),
        })?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            match row {
                Ok(job) => jobs.push(job),
                Err((key, run, failure)) => {
                    tracing::error!(%failure, "a job that cannot be read is a dead letter");
                    self.bury_row(key, &failure.to_string())?;
                    let run: Option<String> = run;
                    if let Some(run) = run.and_then(|run| RunId::new(run).ok()) {
                        let error = format!("a step of run `{run}` cannot be read from the store: {failure}");
                        self.nameless.push((run, limits::cut(error)));
                    }
                }
            }
        }
        Ok(jobs)
    }

    /// Ends the runs of jobs that this batch has found and cannot name.
    pub(super) fn end_nameless(&mut self, now_ms: u64) -> Result<(), Failure> {
        for (run, error) in std::mem::take(&mut self.nameless) {
            // If not even the end of the run can be written, that was logged.
            if !self.damaged.get(&run).is_some_and(|damage| damage.beyond_repair) {
                ledger::fail(self, &run, &error, now_ms)?;
            }
        }
        Ok(())
    }

    /// Whether the ticket of a job that cannot be read still stands for it.
    pub(super) fn is_still_queued(&self, ticket: &Ticket, failure: Failure) -> Result<bool, Failure> {
        let Failure::Corrupt { .. } = failure else { return Err(failure) };
        let sql = "SELECT 1 FROM jobs WHERE run = (SELECT key FROM runs WHERE id = ?) AND worker = ? AND n = ? \
                   AND state = 0 AND at = ?";
        let (worker, n) = (ticket.step.worker().as_str(), row::Uint(ticket.step.cause().n));
        let found = self.db.first(sql, params![ticket.run.as_str(), worker, n, ticket.place], |_| Ok(()))?;
        Ok(found.is_some())
    }

    /// Makes a dead letter of the job of this key, whatever else its row holds.
    pub(super) fn bury_row(&mut self, key: [Value; 3], error: &str) -> Result<(), Failure> {
        // What is remembered of it must not be written over this.
        self.flush()?;
        let [run, worker, n] = &key;
        let sql = "SELECT j.state, q.name FROM jobs j JOIN queues q ON q.key = j.queue \
                   WHERE j.run = ? AND j.worker = ? AND j.n = ?";
        let found: Option<(Value, String)> =
            self.db.first(sql, params![run, worker, n], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let sql = "UPDATE jobs SET state = 3, at = 0, holder = NULL, fence = 0, earlier = 0, failures = 0, \
                   crashes = 0, read = NULL, recorded = 0, error = ?4 WHERE run = ?1 AND worker = ?2 AND n = ?3";
        self.db.execute(sql, params![run, worker, n, error])?;
        let Some((state, queue)) = found else { return Ok(()) };
        let counts = &mut self.queue(&row::queue_name(&queue)?)?.counts;
        if let Some(before) = row::kind(&state) {
            counts.add(before, -1);
        }
        counts.add(StateKind::Dead, 1);
        Ok(())
    }
}

/// The run and the step that a row begins with.
pub(super) fn job_key(row: &Row<'_>) -> Result<(RunId, StepId), Failure> {
    let run: String = row.get(0)?;
    let step = row::step(&run, &row.get::<_, String>(1)?, row::uint(row, 2)?, row::uint(row, 3)?)?;
    Ok((row::run_id(&run)?, step))
}
