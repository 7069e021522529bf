//! The records of the ledger, over a transaction of SQLite. Runs, jobs and lanes are written when the batch
//! is committed; the rest is written at once.

use nq_core::entry::Entry;
use nq_core::id::{EntryId, InstanceId, Name, QueueName, RunId, StepId};
use nq_core::ledger::{Damage, Records};
use nq_core::more::More;
use nq_core::record::{GatherRecord, Input, JobRecord, JobState, LaneRecord, RunRecord};
use nq_core::transaction::GatherSpec;
use rusqlite::params;
use rusqlite::types::Value;

use super::book::Book;
use super::cache::{CachedJob, Ticket};
use super::errors::Failure;
use super::row::{self, Uint, json};

/// What `gathers.fired` says of a gather that has fired, and of one that has not and is newer than its run. Persisted.
const FIRED: i64 = 1;
const LATE: i64 = 2;

impl Records for Book<'_> {
    type Error = Failure;

    fn damage(error: &Failure) -> Option<String> {
        match error {
            Failure::Corrupt { what, .. } => Some(what.clone()),
            _ => None,
        }
    }

    fn damaged(&mut self, run: &RunId) -> Option<Damage> {
        self.damaged.get(run).cloned()
    }

    fn bury(&mut self, run: &RunId, step: &StepId, error: &str) -> Result<(), Failure> {
        let key =
            self.db.first("SELECT key FROM runs WHERE id = ?", [run.as_str()], |row| Ok(row.get(0)?))?;
        let Some(key) = key else { return Ok(()) };
        let (worker, n) = (Value::from(step.worker().as_str().to_owned()), step.cause().n as i64);
        self.bury_row([key, worker, n.into()], error)?;
        if let Some(page) = self.cache.runs.get_mut(run) {
            page.jobs.remove(step);
        }
        Ok(())
    }

    fn run(&mut self, run: &RunId) -> Result<Option<RunRecord>, Failure> {
        Ok(self.known(run)?.and_then(|page| page.record.clone()))
    }

    fn put_run(&mut self, run: &RunRecord) -> Result<(), Failure> {
        let page = self.change(&run.run)?;
        page.record = Some(run.clone());
        page.record_changed = true;
        Ok(())
    }

    fn entry(&mut self, run: &RunId, n: u64) -> Result<Option<Entry>, Failure> {
        let Some(page) = self.known(run)? else { return Ok(None) };
        let key = page.key;
        let entry = self.db.first(row::ENTRY_AT, params![key, Uint(n)], |row| row::entry(row, run, key));
        entry.map_err(|failure| failure.about(run.as_str()))
    }

    fn append(&mut self, run: &RunId, entry: Entry) -> Result<(), Failure> {
        let key = self.change(run)?.key;
        let Entry { id, kind, step, attempt, data } = entry;
        let (kind, data) = (kind.as_str(), json(&data)?);
        let step = step.map(|step| step.to_string());
        let crc = row::checksum(key, id, kind, step.as_deref(), attempt, &data);
        let sql = "INSERT INTO entries (run, n, ms, type, step, attempt, data, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let appended =
            self.db.execute(sql, params![key, Uint(id.n), Uint(id.ms), kind, step, attempt, data, crc]);
        appended.map(drop).map_err(|failure| failure.about(run.as_str()))
    }

    fn job(&mut self, run: &RunId, step: &StepId) -> Result<Option<JobRecord>, Failure> {
        Ok(self.known_job(run, step)?.and_then(|job| job.record.clone()))
    }

    fn put_job(&mut self, job: &JobRecord) -> Result<(), Failure> {
        let queue = self.queue(&job.spec.queue)?;
        let mut place = 0;
        if job.state == JobState::Queued {
            place = queue.next;
            queue.next += 1;
            queue.news = true;
            queue.tail.push_back(Ticket { place, run: job.run.clone(), step: job.step.clone() });
        }
        let page = self.change(&job.run)?;
        // A job that is not remembered is new: the ledger reads one before it changes it.
        let known = page.jobs.entry(job.step.clone()).or_insert_with(|| CachedJob {
            record: None,
            queue: job.spec.queue.clone(),
            place,
            saved: None,
            changed: false,
        });
        known.record = Some(job.clone());
        known.place = place;
        page.change(&job.step);
        self.cache.taken += 1;
        Ok(())
    }

    fn remove_job(&mut self, job: &JobRecord) -> Result<(), Failure> {
        self.known_job(&job.run, &job.step)?;
        if let Some(known) = self.change(&job.run)?.change(&job.step) {
            known.record = None;
        }
        Ok(())
    }

    fn drop_jobs(&mut self, run: &RunId, max: usize) -> Result<(), Failure> {
        let key = self.change(run)?.key;
        // What is only remembered of them so far must not come after this.
        self.flush()?;
        self.drop_some(run, key, max)?;
        if let Some(page) = self.cache.runs.get_mut(run) {
            page.jobs.clear();
        }
        Ok(())
    }

    fn queued(&mut self, queue: &QueueName, max: u32) -> Result<Vec<(RunId, StepId)>, Failure> {
        // Some of a page may be stale, and what is left over serves the next turn.
        let page = max.max(16).saturating_mul(2);
        let mut found = Vec::new();
        if self.queue(queue)?.paused {
            return Ok(found);
        }
        let mut tickets = Vec::new();
        while found.len() < max as usize {
            let Some(ticket) = self.ticket(queue, page)? else { break };
            let queued = match self.known_job(&ticket.run, &ticket.step) {
                Ok(job) => Ok(job.is_some_and(|job| job.is_queued_at(ticket.place))),
                Err(failure) => Err(failure),
            };
            // What becomes of one that cannot be read is decided where it is leased.
            if queued.or_else(|failure| self.is_still_queued(&ticket, failure))? {
                found.push((ticket.run.clone(), ticket.step.clone()));
                tickets.push(ticket);
            }
        }
        // Whether they leave the queue is not decided here.
        let head = &mut self.queue(queue)?.head;
        tickets.into_iter().rev().for_each(|ticket| head.push_front(ticket));
        Ok(found)
    }

    fn gathers(&mut self, run: &RunId) -> Result<Vec<GatherRecord>, Failure> {
        self.read_gathers(run).map_err(|failure| failure.about(run.as_str()))
    }

    fn put_gather(&mut self, run: &RunId, gather: &GatherRecord) -> Result<(), Failure> {
        let mut gathers = self.gathers(run)?;
        match gathers.iter_mut().find(|known| known.gather.spec.worker == gather.gather.spec.worker) {
            Some(known) => *known = gather.clone(),
            None => gathers.push(gather.clone()),
        }
        gathers.sort_by_key(|known| known.gather.rank);
        let page = self.change(run)?;
        page.gathers = Some(gathers);
        let key = page.key;
        let GatherRecord { gather: GatherSpec { spec, rank }, count, fired, late, more } = gather;
        let fired = match (fired, late) {
            (true, _) => FIRED,
            (false, true) => LATE,
            (false, false) => 0,
        };
        let spec_key = self.spec_key(spec)?;
        let sql = "INSERT INTO gathers (run, worker, rank, spec, count, fired, more) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                   ON CONFLICT DO UPDATE SET rank = ?3, spec = ?4, count = ?5, fired = ?6, more = ?7";
        let more = row::more_text(more)?;
        self.db
            .execute(sql, params![key, spec.worker.as_str(), rank, spec_key, Uint(*count), fired, more])?;
        Ok(())
    }

    fn push_gathered(&mut self, run: &RunId, worker: &Name, id: EntryId) -> Result<(), Failure> {
        let key = self.change(run)?.key;
        self.db
            .execute("INSERT INTO gathered VALUES (?, ?, ?)", params![key, worker.as_str(), Uint(id.n)])?;
        Ok(())
    }

    fn move_gathered(&mut self, run: &RunId, from: &Name, to: &Name) -> Result<(), Failure> {
        let key = self.change(run)?.key;
        let sql =
            "INSERT OR IGNORE INTO gathered SELECT run, ?3, n FROM gathered WHERE run = ?1 AND worker = ?2";
        self.db.execute(sql, params![key, from.as_str(), to.as_str()])?;
        let sql = "DELETE FROM gathered WHERE run = ? AND worker = ?";
        self.db.execute(sql, params![key, from.as_str()])?;
        Ok(())
    }

    fn take_arrival(
        &mut self,
        run: &RunId,
        worker: &Name,
        side: u32,
        by: &str,
    ) -> Result<Option<Input>, Failure> {
        let key = self.change(run)?.key;
        let sql = "DELETE FROM arrivals WHERE run = ?1 AND worker = ?2 AND by = ?3 AND side = ?4 AND n = \
                   (SELECT min(n) FROM arrivals WHERE run = ?1 AND worker = ?2 AND by = ?3 AND side = ?4) \
                   RETURNING ms, n, key";
        let taken = self.db.first(sql, params![key, worker.as_str(), by, side], |row| {
            Ok(Input { id: EntryId { ms: row::uint(row, 0)?, n: row::uint(row, 1)? }, key: row.get(2)? })
        });
        taken.map_err(|failure| failure.about(run.as_str()))
    }

    fn has_arrival(&mut self, run: &RunId, worker: &Name, side: u32, by: &str) -> Result<bool, Failure> {
        let page = self.change(run)?;
        if !page.arrivals {
            return Ok(false);
        }
        let key = page.key;
        let sql = "SELECT 1 FROM arrivals WHERE run = ? AND worker = ? AND by = ? AND side = ? LIMIT 1";
        Ok(self.db.first(sql, params![key, worker.as_str(), by, side], |_| Ok(()))?.is_some())
    }

    fn has_arrivals(&mut self, run: &RunId, worker: &Name) -> Result<bool, Failure> {
        let page = self.change(run)?;
        if !page.arrivals {
            return Ok(false);
        }
        let key = page.key;
        let sql = "SELECT 1 FROM arrivals WHERE run = ? AND worker = ? LIMIT 1";
        Ok(self.db.first(sql, params![key, worker.as_str()], |_| Ok(()))?.is_some())
    }

    fn put_arrival(
        &mut self,
        run: &RunId,
        worker: &Name,
        side: u32,
        by: &str,
        input: &Input,
    ) -> Result<(), Failure> {
        let page = self.change(run)?;
        page.arrivals = true;
        let (key, id) = (page.key, input.id);
        let sql = "INSERT INTO arrivals (run, worker, by, side, n, ms, key) VALUES (?, ?, ?, ?, ?, ?, ?)";
        self.db.execute(sql, params![key, worker.as_str(), by, side, Uint(id.n), Uint(id.ms), input.key])?;
        Ok(())
    }

    fn take_arrivals(&mut self, run: &RunId, worker: &Name) -> Result<Vec<(u32, String, Input)>, Failure> {
        let key = self.change(run)?.key;
        let sql = "SELECT side, by, ms, n, key FROM arrivals WHERE run = ? AND worker = ? ORDER BY n, side";
        let taken = self.db.all(sql, params![key, worker.as_str()], |row| {
            let id = EntryId { ms: row::uint(row, 2)?, n: row::uint(row, 3)? };
            Ok((row.get(0)?, row.get(1)?, Input { id, key: row.get(4)? }))
        });
        let taken = taken.map_err(|failure| failure.about(run.as_str()))?;
        let sql = "DELETE FROM arrivals WHERE run = ? AND worker = ?";
        self.db.execute(sql, params![key, worker.as_str()])?;
        Ok(taken)
    }

    fn unpaired(&mut self, run: &RunId, max: usize) -> Result<Vec<(Name, EntryId)>, Failure> {
        let page = self.change(run)?;
        if !page.arrivals {
            return Ok(Vec::new());
        }
        let key = page.key;
        let sql = "SELECT worker, ms, n FROM arrivals WHERE run = ? ORDER BY worker, n LIMIT ?";
        let unpaired = self.db.all(sql, params![key, max as i64], |row| {
            let worker = row::name(run.as_str(), row.get_ref(0)?.as_str().unwrap_or_default())?;
            Ok((worker, EntryId { ms: row::uint(row, 1)?, n: row::uint(row, 2)? }))
        });
        unpaired.map_err(|failure| failure.about(run.as_str()))
    }

    fn lane(&mut self, instance: &InstanceId) -> Result<Option<LaneRecord>, Failure> {
        Ok(self.instance(instance)?.lane.clone())
    }

    fn put_lane(&mut self, instance: &InstanceId, lane: &LaneRecord) -> Result<(), Failure> {
        let known = self.instance(instance)?;
        known.lane = Some(lane.clone());
        known.changed = true;
        Ok(())
    }
}

impl Book<'_> {
    fn read_gathers(&mut self, run: &RunId) -> Result<Vec<GatherRecord>, Failure> {
        let Some(page) = self.known(run)? else { return Ok(Vec::new()) };
        if let Some(gathers) = &page.gathers {
            return Ok(gathers.clone());
        }
        let key = page.key;
        let sql = "SELECT spec, rank, count, fired, more FROM gathers WHERE run = ? ORDER BY rank, worker";
        let rows: Vec<(i64, u32, u64, i64, More)> = self.db.all(sql, [key], |row| {
            let more = row::more(run.as_str(), row, 4)?;
            Ok((row.get(0)?, row.get(1)?, row::uint(row, 2)?, row.get(3)?, more))
        })?;
        let mut gathers = Vec::with_capacity(rows.len());
        for (spec, rank, count, fired, more) in rows {
            let gather = GatherSpec { spec: self.spec(spec)?, rank };
            gathers.push(GatherRecord { gather, count, fired: fired == FIRED, late: fired == LATE, more });
        }
        if let Some(page) = self.known(run)? {
            page.gathers = Some(gathers.clone());
        }
        Ok(gathers)
    }
}
