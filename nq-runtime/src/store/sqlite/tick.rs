//! Ticks: jobs that are due, expired leases, dead instances, and runs past their retention.

use std::collections::HashSet;
use std::time::Duration;

use nq_core::decide;
use nq_core::id::{InstanceId, RunId, StepId};
use nq_core::ledger;
use nq_core::limits;
use nq_core::record::{StateKind, TickRecord};
use nq_core::store::{Tick, Ticked};
use rusqlite::types::Value;
use rusqlite::{Row, params};

use super::book::Book;
use super::errors::Failure;
use super::locks::Locks;
use super::row::{self, Uint, json};

/// How many rows of removed runs go in one tick, so that a long run does not keep everyone waiting.
const MAX_REMOVED_ROWS: usize = 10_000;
/// How many runs go in one tick while there is little room on the disk.
const MAX_REMOVED_RUNS_TIGHT: usize = 20;
/// How many jobs of runs that have ended go in one tick.
const MAX_DROPPED: usize = 1_000;
/// The prefix of the keys in `meta` that name ended runs with unfinished jobs, and the key after all of these. Persisted.
const ENDING: &str = "ending ";
const ENDING_END: &str = "ending!";
/// How long an instance that holds nothing and does not live any more is remembered.
const KEEP_INSTANCE_MS: u64 = 60 * 60 * 1_000;

/// A leased job, its fence, and the name of its instance; or why these cannot be read.
type Held = (RunId, StepId, Result<(u64, InstanceId), String>);

/// An unfinished job of an ended run: worker, position of the cause and state as in its row, its queue, and its step if
/// that can be read.
type LeftOver = (Value, Value, Value, Option<String>, Option<StepId>);

impl Book<'_> {
    /// A tick of the contract.
    pub(super) fn tick(&mut self, locks: &Locks, tick: &Tick, now_ms: u64) -> Result<Ticked, Failure> {
        let mut ticked = Ticked::default();
        let mut left = tick.limit;
        ticked.expired = self.bury(locks, &mut left, now_ms)?;
        self.due(&mut ticked, &mut left, now_ms)?;
        self.expire(tick, &mut ticked, &mut left, now_ms)?;
        self.drop_rest(&mut ticked)?;
        self.right_ends(&mut ticked, now_ms)?;
        self.retire(tick, &mut ticked, &mut left, now_ms)?;
        self.forget_instances(locks, now_ms)?;
        for queue in &tick.serves {
            let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
            let until_ms = limits::time_ms(now_ms, tick.lease_ms);
            self.db.execute(sql, params![format!("served {queue}"), until_ms.to_string()])?;
        }
        ticked.more |= left == 0;
        self.flush()?;
        let next: Option<Option<u64>> =
            self.db.first("SELECT min(at) FROM jobs INDEXED BY jobs_delayed WHERE state = 2", [], |row| {
                Ok(row::optional_uint(row, 0).unwrap_or_default())
            })?;
        ticked.next_due = next.flatten().map(|due_ms| Duration::from_millis(due_ms.saturating_sub(now_ms)));
        Ok(ticked)
    }

    /// Puts the jobs of dead instances back into their queues, before their leases expire: the file locks show which
    /// processes are alive.
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
        let sql = "SELECT r.id, j.worker, j.ms, j.n, j.run FROM jobs j INDEXED BY jobs_delayed \
                   JOIN runs r ON r.key = j.run WHERE j.state = 2 AND j.at <= ? ORDER BY j.at LIMIT ?";
        for (run, step) in
            self.jobs(sql, params![Uint(now_ms), *left as i64], |_, run, step| Ok((run, step)))?
        {
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

    /// The leased jobs that fulfil this condition with this value, at most `limit`.
    fn held(&mut self, condition: &str, value: i64, limit: usize) -> Result<Vec<Held>, Failure> {
        self.flush()?;
        let sql = format!(
            "SELECT r.id, j.worker, j.ms, j.n, j.run, j.fence, i.id FROM jobs j INDEXED BY jobs_leased \
             JOIN runs r ON r.key = j.run LEFT JOIN instances i ON i.key = j.holder \
             WHERE j.state = 1 AND {condition} LIMIT ?2"
        );
        self.jobs(&sql, params![value, limit as i64], |row, run, step| {
            let lease = || -> Result<(u64, InstanceId), Failure> {
                let holder: String = row.get(6)?;
                let holder = holder.parse().map_err(|error| Failure::corrupt(&run, format!("{error}")))?;
                Ok((row::uint(row, 5)?, holder))
            };
            let lease = lease().map_err(|failure| failure.to_string());
            Ok((run, step, lease))
        })
    }

    fn give_back(&mut self, held: Vec<Held>, left: &mut usize, now_ms: u64) -> Result<usize, Failure> {
        let mut given = 0;
        for (run, step, lease) in held {
            *left -= 1;
            match lease {
                Ok((fence, holder)) => {
                    let why = decide::lost(&holder);
                    given += usize::from(ledger::expire(self, &run, &step, fence, &why, now_ms)?);
                }
                Err(what) => {
                    let damage = ledger::Damage { what, beyond_repair: self.damaged.contains_key(&run) };
                    ledger::condemn(self, &run, &step, &damage, now_ms)?;
                    given += 1;
                }
            }
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
                self.remove_run(key, &id)?;
            }
        }
        ticked.more |= self.sweep()? || (self.tight && runs_left == 0);
        Ok(())
    }

    /// Drops unfinished jobs of a run that has ended, and returns how many. If jobs are left, the run is remembered, and
    /// later ticks drop them.
    pub(super) fn drop_some(&mut self, id: &RunId, run: i64, max: usize) -> Result<usize, Failure> {
        let sql = "SELECT j.worker, j.n, j.state, q.name, j.ms FROM jobs j LEFT JOIN queues q ON q.key = j.queue \
                   WHERE j.run = ? AND j.state != 3 LIMIT ?";
        let jobs: Vec<LeftOver> = self.db.all(sql, params![run, max as i64 + 1], |row| {
            let step = |row: &Row<'_>| {
                row::step(id.as_str(), &row.get::<_, String>(0)?, row::uint(row, 4)?, row::uint(row, 1)?)
            };
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3).unwrap_or_default(), step(row).ok()))
        })?;
        let more = jobs.len() > max;
        let dropped = jobs.len().min(max);
        let mut steps = HashSet::new();
        for (worker, n, state, queue, step) in jobs.into_iter().take(max) {
            let sql = "DELETE FROM jobs WHERE run = ? AND worker = ? AND n = ?";
            self.db.execute(sql, params![run, worker, n])?;
            if let (Some(state), Some(queue)) = (row::kind(&state), queue) {
                self.queue(&row::queue_name(&queue)?)?.counts.add(state, -1);
            }
            steps.extend(step);
        }
        // Otherwise the next turn would look at thousands of stale tickets.
        for queue in self.cache.queues.values_mut() {
            queue.head.retain(|ticket| ticket.run != *id || !steps.contains(&ticket.step));
            queue.tail.retain(|ticket| ticket.run != *id || !steps.contains(&ticket.step));
        }
        let ending = format!("{ENDING}{run}");
        if more {
            self.db.execute("INSERT OR IGNORE INTO meta VALUES (?, '')", [ending])?;
        } else if dropped > 0 {
            self.db.execute("DELETE FROM meta WHERE key = ?", [ending])?;
        }
        Ok(dropped)
    }

    /// Drops more jobs of runs that have ended with very many.
    fn drop_rest(&mut self, ticked: &mut Ticked) -> Result<(), Failure> {
        self.flush()?;
        let mut left = MAX_DROPPED;
        loop {
            let sql = "SELECT key FROM meta WHERE key >= ? AND key < ? LIMIT 1";
            let next: Option<String> = self.db.first(sql, [ENDING, ENDING_END], |row| Ok(row.get(0)?))?;
            let Some(ending) = next else { return Ok(()) };
            if left == 0 {
                ticked.more = true;
                return Ok(());
            }
            let run: i64 = ending[ENDING.len()..].parse().unwrap_or_default();
            let sql = "SELECT id FROM runs WHERE key = ?";
            let id: Option<RunId> =
                self.db.first(sql, [run], |row| row::run_id(&row.get::<_, String>(0)?))?;
            let dropped = id.map_or(Ok(0), |id| self.drop_some(&id, run, left))?;
            if dropped == 0 {
                self.db.execute("DELETE FROM meta WHERE key = ?", [&ending])?;
            }
            left -= dropped;
            // The cached records of these jobs are stale.
            self.cache.runs.retain(|_, page| page.key != run);
        }
    }

    /// Repairs the end of runs that ended before the clock went back. They would be kept until the clock comes to that
    /// time again.
    fn right_ends(&mut self, ticked: &mut Ticked, now_ms: u64) -> Result<(), Failure> {
        for status in ["status = 1", "status IN (2, 3, 4)"] {
            let sql = format!(
                "UPDATE runs SET ended_ms = ?1 WHERE key IN \
                 (SELECT key FROM runs INDEXED BY runs_ended WHERE {status} AND ended_ms > ?1 LIMIT ?2)"
            );
            let righted = self.db.execute(&sql, params![Uint(now_ms), MAX_DROPPED as i64])?;
            ticked.more |= righted == MAX_DROPPED;
        }
        Ok(())
    }

    fn remove_run(&mut self, key: i64, id: &str) -> Result<(), Failure> {
        // Readers that follow the run learn that it is gone. If its id is damaged, nobody can follow it.
        if let Ok(id) = RunId::new(id) {
            self.cache.runs.remove(&id);
            self.cache.changed.push(id);
        }
        let sql = "SELECT q.name, j.state, count(*) FROM jobs j JOIN queues q ON q.key = j.queue \
                   WHERE j.run = ? GROUP BY 1, 2";
        let jobs: Vec<(String, i64, i64)> =
            self.db.all(sql, [key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for (queue, state, jobs) in jobs {
            let counts = &mut self.queue(&row::queue_name(&queue)?)?.counts;
            if let Some(state) = StateKind::of_code(state) {
                counts.add(state, -jobs);
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

/// Removes the locks of dead stores. The next tick tries again to remove those that remain.
pub(super) fn forget_dead(locks: &Locks) {
    for store in locks.others().unwrap_or_default() {
        if !locks.lives(&store) {
            locks.forget(&store);
        }
    }
}
