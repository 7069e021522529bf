//! The writer's view of the file: its cache of records over the rows of the file.

use std::collections::{HashMap, VecDeque};

use nq_core::id::{InstanceId, Name, QueueName, RunId, StepId};
use nq_core::ledger::Damage;
use nq_core::record::{Input, JobRecord, JobState};
use nq_core::transaction::JobSpec;
use rusqlite::{Connection, params};

use super::cache::{Cache, CachedInstance, CachedJob, CachedQueue, CachedRun, Counts, Ticket};
use super::db::Db;
use super::errors::Failure;
use super::row::{self, Uint, json};

/// The file within one batch.
#[derive(Debug)]
pub(super) struct Book<'c> {
    pub(super) db: Db<'c>,
    pub(super) cache: Cache,
    /// The name under which this store's lock is found, written beside each instance that it serves.
    pub(super) store: String,
    /// Whether there is little room on the disk, so that a transaction must write few pages.
    pub(super) tight: bool,
    /// The runs that earlier tries of the call at hand have found damaged.
    pub(super) damaged: HashMap<RunId, Damage>,
    /// The runs that this batch ends, since a row of one of their jobs does not say which step it is; and why.
    pub(super) nameless: Vec<(RunId, String)>,
}

impl<'c> Book<'c> {
    pub(super) fn new(conn: &'c Connection, store: String) -> Self {
        Self {
            db: Db(conn),
            cache: Cache::default(),
            store,
            tight: false,
            damaged: HashMap::new(),
            nameless: Vec::new(),
        }
    }

    /// A run that exists.
    pub(super) fn known(&mut self, run: &RunId) -> Result<Option<&mut CachedRun>, Failure> {
        if !self.cache.runs.contains_key(run) {
            let found = self.db.first(row::RUN_BY_ID, [run.as_str()], row::run);
            let Some((key, record)) = found.map_err(|failure| failure.about(run.as_str()))? else {
                self.cache.absent = Some(run.clone());
                return Ok(None);
            };
            self.cache.taken += 1;
            self.cache.runs.insert(run.clone(), CachedRun::new(key, Some(record)));
        }
        Ok(self.cache.runs.get_mut(run))
    }

    /// A run that is about to change, new or known.
    pub(super) fn change(&mut self, run: &RunId) -> Result<&mut CachedRun, Failure> {
        // A start has just asked whether the run exists.
        let absent = self.cache.absent.take().is_some_and(|absent| absent == *run);
        if absent || self.known(run)?.is_none() {
            let key = self.next_run()?;
            self.cache.taken += 1;
            self.cache.runs.insert(run.clone(), CachedRun::new(key, None));
        }
        let missing = || Failure::corrupt(run, "the run is gone while it is being changed");
        let page = self.cache.runs.get_mut(run).ok_or_else(missing)?;
        if !page.changed {
            page.changed = true;
            self.cache.changed.push(run.clone());
        }
        Ok(page)
    }

    fn next_run(&mut self) -> Result<i64, Failure> {
        let key = match self.cache.next_run {
            Some(key) => key,
            // The rows of a removed run may still be there, so its key is not free.
            None => self
                .db
                .first(
                    "SELECT 1 + max(coalesce((SELECT max(key) FROM runs), 0), \
                     coalesce((SELECT max(run) FROM removed), 0))",
                    [],
                    |row| Ok(row.get(0)?),
                )?
                .unwrap_or(1),
        };
        self.cache.next_run = Some(key + 1);
        Ok(key)
    }

    /// A job, removed ones within this batch included.
    pub(super) fn known_job(&mut self, run: &RunId, step: &StepId) -> Result<Option<&CachedJob>, Failure> {
        let Some(page) = self.known(run)? else { return Ok(None) };
        if !page.jobs.contains_key(step) {
            let key = page.key;
            let job = self.load_job(run, key, step).map_err(|failure| failure.about(run.as_str()))?;
            let Some(job) = job else { return Ok(None) };
            self.cache.taken += 1;
            if let Some(page) = self.cache.runs.get_mut(run) {
                page.jobs.insert(step.clone(), job);
            }
        }
        Ok(self.cache.runs.get(run).and_then(|page| page.jobs.get(step)))
    }

    fn load_job(&mut self, run: &RunId, key: i64, step: &StepId) -> Result<Option<CachedJob>, Failure> {
        let sql = "SELECT j.state, j.at, i.id, j.error, j.spec, j.fence, j.earlier, j.failures, j.crashes, \
                   j.read, j.recorded, j.inputs, j.ms, j.more FROM jobs j LEFT JOIN instances i ON i.key = j.holder \
                   WHERE j.run = ? AND j.worker = ? AND j.n = ?";
        let mut statement = self.db.prepare(sql)?;
        let mut rows = statement.query(params![key, step.worker().as_str(), Uint(step.cause().n)])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        if row::uint(row, 12)? != step.cause().ms {
            return Ok(None);
        }
        let (code, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let state = row::state(run.as_str(), code, at as u64, row.get(2)?, row.get(3)?)?;
        let inputs: Vec<Input> = serde_json::from_str(row.get_ref(11)?.as_str().unwrap_or_default())
            .map_err(|error| Failure::corrupt(run, format!("the inputs of step {step}: {error}")))?;
        let record = JobRecord {
            run: run.clone(),
            step: step.clone(),
            spec: self.spec(row.get(4)?)?,
            inputs,
            fence: row::uint(row, 5)?,
            earlier: row.get(6)?,
            failures: row.get(7)?,
            crashes: row.get(8)?,
            read: row::optional_uint(row, 9)?,
            recorded: row.get(10)?,
            more: row::more(run.as_str(), row, 13)?,
            state,
        };
        let saved = Some(record.state.kind());
        let place = if record.state == JobState::Queued { at } else { 0 };
        let queue = record.spec.queue.clone();
        Ok(Some(CachedJob { record: Some(record), queue, place, saved, changed: false }))
    }

    /// The specification of this key.
    pub(super) fn spec(&mut self, key: i64) -> Result<JobSpec, Failure> {
        if let Some(spec) = self.cache.specs.by_key.get(&key) {
            return Ok(spec.clone());
        }
        let text: Option<String> =
            self.db.first("SELECT spec FROM specs WHERE key = ?", [key], |row| Ok(row.get(0)?))?;
        let spec: JobSpec = serde_json::from_str(&text.unwrap_or_default())
            .map_err(|error| Failure::corrupt(format!("spec {key}"), error.to_string()))?;
        self.cache.specs.by_queue.entry(spec.queue.clone()).or_default().push(key);
        self.cache.specs.by_key.insert(key, spec.clone());
        Ok(spec)
    }

    /// The key of this specification.
    pub(super) fn spec_key(&mut self, spec: &JobSpec) -> Result<i64, Failure> {
        let specs = &self.cache.specs;
        let known = specs.by_queue.get(&spec.queue);
        let mut known = known.into_iter().flatten();
        if let Some(key) = known.find(|key| specs.by_key.get(key) == Some(spec)) {
            return Ok(*key);
        }
        let text = json(spec)?;
        self.db.execute("INSERT OR IGNORE INTO specs (spec) VALUES (?)", [&text])?;
        let key = self.db.first("SELECT key FROM specs WHERE spec = ?", [&text], |row| Ok(row.get(0)?))?;
        let key = key.ok_or_else(|| Failure::corrupt(&spec.queue, "a specification does not stay"))?;
        self.cache.specs.by_queue.entry(spec.queue.clone()).or_default().push(key);
        self.cache.specs.by_key.insert(key, spec.clone());
        Ok(key)
    }

    /// The key of this flow.
    pub(super) fn flow_key(&mut self, flow: &Name) -> Result<i64, Failure> {
        if let Some(key) = self.cache.flows.get(flow) {
            return Ok(*key);
        }
        self.db.execute("INSERT OR IGNORE INTO flows (name) VALUES (?)", [flow.as_str()])?;
        let key =
            self.db.first("SELECT key FROM flows WHERE name = ?", [flow.as_str()], |row| Ok(row.get(0)?))?;
        let key = key.ok_or_else(|| Failure::corrupt(flow, "a flow does not stay"))?;
        self.cache.flows.insert(flow.clone(), key);
        Ok(key)
    }

    /// An instance, which gets a row if it has none.
    pub(super) fn instance(&mut self, id: &InstanceId) -> Result<&mut CachedInstance, Failure> {
        if !self.cache.instances.contains_key(id) {
            self.db.execute("INSERT OR IGNORE INTO instances (id) VALUES (?)", [id.as_str()])?;
            let sql = "SELECT key, lane FROM instances WHERE id = ?";
            let found = self.db.first(sql, [id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (key, lane): (i64, Option<String>) = found.unwrap_or_default();
            let lane = lane.map(|lane| serde_json::from_str(&lane)).transpose();
            let lane = lane.map_err(|error| Failure::corrupt(id, format!("its lane: {error}")))?;
            self.cache.instances.insert(id.clone(), CachedInstance { key, lane, changed: false });
        }
        let missing = || Failure::corrupt(id, "an instance does not stay");
        self.cache.instances.get_mut(id).ok_or_else(missing)
    }

    /// A queue, which gets a row if it has none.
    pub(super) fn queue(&mut self, name: &QueueName) -> Result<&mut CachedQueue, Failure> {
        if !self.cache.queues.contains_key(name) {
            self.db.execute("INSERT OR IGNORE INTO queues (name) VALUES (?)", [name.as_str()])?;
            let sql = "SELECT key, paused, \
                       (SELECT coalesce(max(at), 0) FROM jobs INDEXED BY jobs_queued WHERE queue = queues.key AND state = 0) \
                       FROM queues WHERE name = ?";
            let found =
                self.db.first(sql, [name.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let (key, paused, last): (i64, bool, i64) = found.unwrap_or_default();
            let queue = CachedQueue {
                key,
                paused,
                head: VecDeque::new(),
                read: 0,
                more: last > 0,
                tail: VecDeque::new(),
                next: last + 1,
                counts: Counts::default(),
                news: false,
            };
            self.cache.queues.insert(name.clone(), queue);
        }
        let missing = || Failure::corrupt(name, "a queue does not stay");
        self.cache.queues.get_mut(name).ok_or_else(missing)
    }

    /// The next ticket of a queue, read from the file if need be. It may be stale.
    pub(super) fn ticket(&mut self, name: &QueueName, page: u32) -> Result<Option<Ticket>, Failure> {
        let queue = self.queue(name)?;
        if queue.head.is_empty() && queue.more {
            let (key, read) = (queue.key, queue.read);
            let sql = "SELECT r.id, j.worker, j.ms, j.n, j.run, j.at FROM jobs j INDEXED BY jobs_queued \
                       JOIN runs r ON r.key = j.run WHERE j.queue = ? AND j.state = 0 AND j.at > ? ORDER BY j.at LIMIT ?";
            let mut rows = 0;
            let tickets = self.jobs(sql, params![key, read, page], |row, run, step| {
                rows += 1;
                Ok(Ticket { place: row.get(5)?, run, step })
            })?;
            let queue = self.queue(name)?;
            queue.more = rows == page as usize;
            queue.read = tickets.last().map_or(read, |ticket| ticket.place);
            // What this batch has queued may be in the file already, if a tick had it written.
            queue.tail.retain(|ticket| ticket.place > queue.read);
            queue.head.extend(tickets);
        }
        let queue = self.queue(name)?;
        Ok(queue.head.pop_front().or_else(|| queue.tail.pop_front()))
    }
}
