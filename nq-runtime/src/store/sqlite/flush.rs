//! Writes the changes in the writer's cache to the file: each record once, however often it changed.

use std::iter::once;

use nq_core::id::StepId;
use nq_core::record::{JobRecord, RunRecord, StateKind};
use nq_core::status::RunStatus;
use rusqlite::{params, params_from_iter};

use super::book::Book;
use super::cache::{CachedJob, CachedRun, Counts};
use super::errors::Failure;
use super::row::{self, Uint, json};
use super::schema;

impl Book<'_> {
    /// Writes everything that changed and is only remembered so far into the open transaction.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        for id in std::mem::take(&mut self.cache.changed) {
            // Taken out while it is written, so that the rest of the cache can be asked for keys.
            if let Some(mut run) = self.cache.runs.remove(&id) {
                let flushed = self.flush_run(&mut run);
                self.cache.runs.insert(id.clone(), run);
                flushed?;
            }
            self.cache.changed.push(id);
        }
        self.flush_queues()?;
        self.flush_lanes()
    }

    fn flush_run(&mut self, run: &mut CachedRun) -> Result<(), Failure> {
        if let Some(record) = run.record.as_ref().filter(|_| run.record_changed) {
            self.flush_record(run.key, record, run.saved)?;
            run.saved = Some(record.status);
            run.record_changed = false;
        }
        for step in run.changed_jobs.drain(..) {
            let Some(job) = run.jobs.get_mut(&step) else { continue };
            job.changed = false;
            self.flush_job(run.key, &step, job)?;
            if job.record.is_none() {
                run.jobs.remove(&step);
            }
        }
        Ok(())
    }

    fn flush_record(&mut self, key: i64, run: &RunRecord, saved: Option<RunStatus>) -> Result<(), Failure> {
        let RunRecord { last, pending, started_ms, ended_ms, more, .. } = run;
        let status = schema::status_code(run.status);
        match saved {
            None => {
                let flow = self.flow_key(&run.flow)?;
                let values = params![
                    key,
                    run.run.as_str(),
                    flow,
                    status,
                    Uint(*started_ms),
                    ended_ms.map(Uint),
                    Uint(last.ms),
                    Uint(last.n),
                    Uint(*pending),
                    row::more_text(more)?
                ];
                let sql = "INSERT INTO runs (key, id, flow, status, started_ms, ended_ms, last_ms, last_n, pending, \
                           more) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
                self.db.execute(sql, values)?;
            }
            // The columns with an index are written only when they change.
            Some(saved) if saved == run.status => {
                let sql = "UPDATE runs SET last_ms = ?2, last_n = ?3, pending = ?4 WHERE key = ?1";
                self.db.execute(sql, params![key, Uint(last.ms), Uint(last.n), Uint(*pending)])?;
            }
            Some(_) => {
                let sql = "UPDATE runs SET last_ms = ?2, last_n = ?3, pending = ?4, status = ?5, ended_ms = ?6 \
                           WHERE key = ?1";
                self.db.execute(
                    sql,
                    params![key, Uint(last.ms), Uint(last.n), Uint(*pending), status, ended_ms.map(Uint)],
                )?;
            }
        }
        Ok(())
    }

    fn flush_job(&mut self, run: i64, step: &StepId, job: &mut CachedJob) -> Result<(), Failure> {
        let before = job.saved;
        job.saved = job.record.as_ref().map(|job| job.state.kind());
        let (worker, cause) = (step.worker().as_str(), step.cause());
        let Some(record) = &job.record else {
            let Some(before) = before else { return Ok(()) };
            self.queue(&job.queue)?.counts.add(before, -1);
            let sql = "DELETE FROM jobs WHERE run = ? AND worker = ? AND n = ?";
            self.db.execute(sql, params![run, worker, Uint(cause.n)])?;
            return Ok(());
        };
        let state = record.state.parts();
        let holder =
            state.holder.map(|instance| Ok::<_, Failure>(self.instance(instance)?.key)).transpose()?;
        // The moment that ends a state; what is queued has a place instead, which no time ends.
        let at = if state.kind == StateKind::Queued { job.place } else { state.at_ms as i64 };
        let spec = self.spec_key(&record.spec)?;
        let queue = self.queue(&record.spec.queue)?;
        queue.counts.add(state.kind, 1);
        if let Some(before) = before {
            queue.counts.add(before, -1);
        }
        let queue = queue.key;
        let inputs = json(&record.inputs)?;
        let JobRecord { fence, earlier, failures, crashes, read, recorded, more, .. } = record;
        let sql = "INSERT INTO jobs (run, worker, n, ms, queue, state, at, holder, spec, fence, earlier, failures, \
                   crashes, read, recorded, inputs, error, more) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) \
                   ON CONFLICT DO UPDATE SET state = ?6, at = ?7, holder = ?8, spec = ?9, \
                   fence = ?10, earlier = ?11, failures = ?12, crashes = ?13, read = ?14, recorded = ?15, \
                   error = ?17, more = ?18";
        let values = params![
            run,
            worker,
            Uint(cause.n),
            Uint(cause.ms),
            queue,
            state.kind.code() as i64,
            at,
            holder,
            spec,
            Uint(*fence),
            earlier,
            failures,
            crashes,
            read.map(Uint),
            recorded,
            inputs,
            state.error,
            row::more_text(more)?
        ];
        self.db.execute(sql, values)?;
        Ok(())
    }

    fn flush_queues(&mut self) -> Result<(), Failure> {
        let mut update = None;
        let none = Counts::default();
        for queue in self.cache.queues.values_mut().filter(|queue| queue.counts != none) {
            let update = match &mut update {
                Some(update) => update,
                none => none.insert(self.db.prepare(&schema::ADD_COUNTS)?),
            };
            let counts = std::mem::take(&mut queue.counts).each();
            update.execute(params_from_iter(once(queue.key).chain(counts)))?;
        }
        Ok(())
    }

    fn flush_lanes(&mut self) -> Result<(), Failure> {
        for instance in self.cache.instances.values_mut().filter(|instance| instance.changed) {
            let Some(lane) = &instance.lane else { continue };
            instance.changed = false;
            let text = json(lane)?;
            self.db
                .prepare("UPDATE instances SET store = ?2, at_ms = ?3, lane = ?4 WHERE key = ?1")?
                .execute(params![instance.key, self.store, Uint(lane.at_ms), text])?;
        }
        Ok(())
    }
}
