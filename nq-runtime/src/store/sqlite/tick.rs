//! What time brings: jobs that are due, leases that ran out, instances that died, runs past their retention.

use std::time::Duration;

use nq_core::decide;
use nq_core::id::{InstanceId, RunId, StepId};
use nq_core::ledger;
use nq_core::record::TickRecord;
use nq_core::store::{Tick, Ticked};
use rusqlite::{Row, params};

use super::book::Book;
use super::errors::Failure;
use super::flush::json;
use super::locks::Locks;
use super::row::{self, Uint};

/// How many rows of removed runs go in one tick, so that a long run does not keep everyone waiting.
const MAX_REMOVED_ROWS: usize = 10_000;
/// How many runs go in one tick while there is little room on the disk.
const MAX_REMOVED_RUNS_TIGHT: usize = 20;
/// How long an instance that holds nothing and does not live any more is remembered.
const KEEP_INSTANCE_MS: u64 = 60 * 60 * 1_000;

/// A job that someone holds, and the name of the one who does.
type Held = (RunId, StepId, u64, InstanceId);

impl Book<'_> {
    /// A tick of the contract.
    pub(super) fn tick(&mut self, locks: &Locks, tick: &Tick, now_ms: u64) -> Result<Ticked, Failure> {
        let mut ticked = Ticked::default();
        let mut left = tick.limit;
        ticked.expired = self.bury(locks, &mut left, now_ms)?;
        self.due(&mut ticked, &mut left, now_ms)?;
        self.expire(tick, &mut ticked, &mut left, now_ms)?;
        self.retire(tick, &mut ticked, &mut left, now_ms)?;
        self.forget_instances(locks, now_ms)?;
        ticked.more |= left == 0;
        self.flush()?;
        let next: Option<Option<u64>> =
            self.db.first("SELECT min(at) FROM jobs INDEXED BY jobs_delayed WHERE state = 2", [], |row| {
                Ok(row::optional_uint(row, 0)?)
            })?;
        ticked.next_due = next.flatten().map(|due_ms| Duration::from_millis(due_ms.saturating_sub(now_ms)));
        Ok(ticked)
    }

    /// Gives back what instances hold whose process is gone. Their locks say so, whatever time it is.
    pub(super) fn bury(&mut self, locks: &Locks, left: &mut usize, now_ms: u64) -> Result<usize, Failure> {
        self.flush()?;
        let sql = "SELECT key, store FROM instances WHERE store IS NOT ? \
                   AND EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_leased WHERE holder = instances.key AND state = 1)";
        let holders: Vec<(i64, Option<String>)> =
            self.db.all(sql, [&self.store], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut buried = 0;
        for (holder, store) in holders {
            if store.is_none_or(|store| !locks.lives(&store)) {
                let held = self.held("j.holder = ?1", holder, *left)?;
                buried += self.give_back(held, left, now_ms)?;
            }
        }
        Ok(buried)
    }

    fn due(&mut self, ticked: &mut Ticked, left: &mut usize, now_ms: u64) -> Result<(), Failure> {
        self.flush()?;
        let sql = "SELECT r.id, j.worker, j.ms, j.n FROM jobs j INDEXED BY jobs_delayed \
                   JOIN runs r ON r.key = j.run WHERE j.state = 2 AND j.at <= ? ORDER BY j.at LIMIT ?";
        for (run, step) in self.db.all(sql, params![Uint(now_ms), *left as i64], job_key)? {
            *left -= 1;
            ticked.due += usize::from(ledger::due(self, &run, &step, now_ms)?);
        }
        Ok(())
    }

    fn expire(
        &mut self,
        tick: &Tick,
        ticked: &mut Ticked,
        left: &mut usize,
        now_ms: u64,
    ) -> Result<(), Failure> {
        let sql = "SELECT value FROM meta WHERE key = 'tick'";
        let before: Option<String> = self.db.first(sql, [], |row| Ok(row.get(0)?))?;
        let before: TickRecord = before.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let now = ledger::spare(before, now_ms, tick.lease_ms);
        let sql = "INSERT INTO meta VALUES ('tick', ?1) ON CONFLICT DO UPDATE SET value = ?1";
        self.db.execute(sql, [json(&now)?])?;
        if now_ms >= now.spared_until_ms {
            let held = self.held("j.at <= ?1", now_ms as i64, *left)?;
            ticked.expired += self.give_back(held, left, now_ms)?;
        }
        Ok(())
    }

    /// The leased jobs of this condition on a value, at most `limit`.
    fn held(&mut self, condition: &str, value: i64, limit: usize) -> Result<Vec<Held>, Failure> {
        self.flush()?;
        let sql = format!(
            "SELECT r.id, j.worker, j.ms, j.n, j.fence, i.id FROM jobs j INDEXED BY jobs_leased \
             JOIN runs r ON r.key = j.run JOIN instances i ON i.key = j.holder \
             WHERE j.state = 1 AND {condition} LIMIT ?2"
        );
        self.db.all(&sql, params![value, limit as i64], |row| {
            let (run, step) = job_key(row)?;
            let holder: String = row.get(5)?;
            let holder = holder.parse().map_err(|error| Failure::corrupt(&run, format!("{error}")))?;
            Ok((run, step, row::uint(row, 4)?, holder))
        })
    }

    fn give_back(&mut self, held: Vec<Held>, left: &mut usize, now_ms: u64) -> Result<usize, Failure> {
        let mut given = 0;
        for (run, step, fence, holder) in held {
            *left -= 1;
            let why = decide::lost(&holder);
            given += usize::from(ledger::expire(self, &run, &step, fence, &why, now_ms)?);
        }
        Ok(given)
    }

    /// Removes runs past their retention: from sight at once, their rows page by page.
    fn retire(
        &mut self,
        tick: &Tick,
        ticked: &mut Ticked,
        left: &mut usize,
        now_ms: u64,
    ) -> Result<(), Failure> {
        self.flush()?;
        // The rows of each run lie on pages of their own.
        let mut runs_left = if self.tight { MAX_REMOVED_RUNS_TIGHT } else { *left };
        let retention =
            [("status = 1", tick.retention.completed_ms), ("status IN (2, 3, 4)", tick.retention.failed_ms)];
        for (status, keep_ms) in retention {
            let Some(oldest_ms) = keep_ms.and_then(|keep_ms| now_ms.checked_sub(keep_ms)) else { continue };
            let sql = format!(
                "SELECT key, id FROM runs INDEXED BY runs_ended WHERE {status} AND ended_ms <= ? LIMIT ?"
            );
            let runs: Vec<(i64, String)> =
                self.db.all(&sql, params![Uint(oldest_ms), runs_left.min(*left) as i64], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            for (key, id) in runs {
                *left -= 1;
                runs_left -= 1;
                ticked.removed += 1;
                self.remove_run(key, &row::run_id(&id)?)?;
            }
        }
        ticked.more |= self.sweep()? || (self.tight && runs_left == 0);
        Ok(())
    }

    fn remove_run(&mut self, key: i64, id: &RunId) -> Result<(), Failure> {
        // Those who follow it learn that it is gone.
        self.change(id)?;
        self.cache.runs.remove(id);
        let sql = "SELECT q.name, j.state, count(*) FROM jobs j JOIN queues q ON q.key = j.queue \
                   WHERE j.run = ? GROUP BY 1, 2";
        let jobs: Vec<(String, i64, i64)> =
            self.db.all(sql, [key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for (queue, state, jobs) in jobs {
            if let Some(count) = self.queue(&row::queue_name(&queue)?)?.counts.get_mut(state as usize) {
                *count -= jobs;
            }
        }
        self.db.execute("DELETE FROM jobs WHERE run = ?", [key])?;
        self.db.execute("DELETE FROM runs WHERE key = ?", [key])?;
        self.db.execute("INSERT INTO removed VALUES (?)", [key])?;
        Ok(())
    }

    /// Removes rows of removed runs. True if some are left.
    fn sweep(&mut self) -> Result<bool, Failure> {
        let mut left = if self.tight { MAX_REMOVED_ROWS / 20 } else { MAX_REMOVED_ROWS };
        loop {
            let run: Option<i64> =
                self.db.first("SELECT run FROM removed LIMIT 1", [], |row| Ok(row.get(0)?))?;
            let Some(run) = run else { return Ok(false) };
            for sql in [
                "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries WHERE run = ?1 LIMIT ?2)",
                "DELETE FROM gathered WHERE run = ?1 AND (worker, n) IN \
                 (SELECT worker, n FROM gathered WHERE run = ?1 LIMIT ?2)",
                "DELETE FROM arrivals WHERE run = ?1 AND (worker, by, side, n) IN \
                 (SELECT worker, by, side, n FROM arrivals WHERE run = ?1 LIMIT ?2)",
            ] {
                let gone = self.db.execute(sql, params![run, left as i64])?;
                left -= gone;
                if left == 0 {
                    return Ok(true);
                }
            }
            self.db.execute("DELETE FROM gathers WHERE run = ?", [run])?;
            self.db.execute("DELETE FROM removed WHERE run = ?", [run])?;
        }
    }

    fn forget_instances(&mut self, locks: &Locks, now_ms: u64) -> Result<(), Failure> {
        let sql = "SELECT key, id, store FROM instances WHERE store IS NOT ? AND at_ms < ? \
                   AND NOT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_leased WHERE holder = instances.key AND state = 1) LIMIT 100";
        let idle_since = now_ms.saturating_sub(KEEP_INSTANCE_MS);
        let idle: Vec<(i64, String, Option<String>)> =
            self.db.all(sql, params![self.store, Uint(idle_since)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        for (key, id, store) in idle {
            if store.is_none_or(|store| !locks.lives(&store)) {
                self.forget_instance(key, &id)?;
            }
        }
        forget_dead(locks);
        Ok(())
    }

    fn forget_instance(&mut self, key: i64, id: &str) -> Result<(), Failure> {
        self.cache.instances.retain(|known, _| known.as_str() != id);
        self.db.execute("DELETE FROM instances WHERE key = ?", [key])?;
        Ok(())
    }

    /// The instance stops: its lane goes. While it holds jobs, its name must stay.
    pub(super) fn leave(&mut self, id: &InstanceId) -> Result<(), Failure> {
        self.flush()?;
        self.cache.instances.remove(id);
        let id = id.as_str();
        self.db.execute("UPDATE instances SET store = NULL, lane = NULL WHERE id = ?", [id])?;
        let sql = "DELETE FROM instances WHERE id = ? \
                   AND NOT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_leased WHERE holder = instances.key AND state = 1)";
        self.db.execute(sql, [id])?;
        Ok(())
    }
}

/// Removes the locks that dead stores have left. What cannot be removed now is tried again by the next tick.
pub(super) fn forget_dead(locks: &Locks) {
    for store in locks.others().unwrap_or_default() {
        if !locks.lives(&store) {
            locks.forget(&store);
        }
    }
}

fn job_key(row: &Row<'_>) -> Result<(RunId, StepId), Failure> {
    let run: String = row.get(0)?;
    let step = row::step(
        &run,
        row.get_ref(1)?.as_str().unwrap_or_default(),
        row::uint(row, 2)?,
        row::uint(row, 3)?,
    )?;
    Ok((row::run_id(&run)?, step))
}
