//! What people and engines read: pages of entries, runs, queues and jobs.

use nq_core::entry::{Entry, EntryType};
use nq_core::id::{EntryId, QueueName, RunId};
use nq_core::ledger;
use nq_core::limits::{MAX_READ_BYTES, MAX_READ_ENTRIES};
use nq_core::record::{JobState, RunRecord, StateKind, ended};
use nq_core::status::RunStatus;
use nq_core::store::{
    Gathered, Interest, JobSummary, JobsQuery, QueueCounts, Read, RunsPage, RunsQuery, StoreError,
};
use rusqlite::types::Value;
use rusqlite::{Row, ToSql, params, params_from_iter};

use super::damage::job_key;
use super::db::Db;
use super::errors::Failure;
use super::row::Uint;
use super::{row, schema};

/// The entries of a page, or why the reader cannot go on; none if there is no such run.
pub(super) fn read(db: Db<'_>, read: &Read) -> Result<Option<Result<Vec<Entry>, StoreError>>, Failure> {
    let Some((key, run)) = db.first(row::RUN_BY_ID, [read.run.as_str()], row::run)? else { return Ok(None) };
    let there = id_at(db, key, run.last, read.seen)?;
    if let Err(lost) = read.follows(run.last, there) {
        return Ok(Some(Err(lost)));
    }
    let upto = read.upto.map_or(run.last.n, |upto| upto.min(run.last.n));
    // Named, so that a statement which could not use it would fail rather than be slow.
    let index = match read.types.as_slice() {
        [EntryType::StateSnapshot] => "snapshots_of_run",
        _ => "entries_of_run",
    };
    let mut sql = format!(
        "SELECT n, ms, type, step, attempt, data, crc FROM entries INDEXED BY {index} \
         WHERE run = ? AND n > ? AND n <= ?",
    );
    let mut values: Vec<Value> = vec![key.into(), (read.after.min(upto) as i64).into(), (upto as i64).into()];
    match read.types.as_slice() {
        [] => {}
        // As the index of snapshots says it.
        [EntryType::StateSnapshot] => sql.push_str(" AND type = 'state.snapshot'"),
        types => {
            sql.push_str(" AND type IN (?");
            sql.push_str(&", ?".repeat(types.len() - 1));
            sql.push(')');
            values.extend(types.iter().map(|kind| Value::from(kind.as_str().to_owned())));
        }
    }
    sql.push_str(if read.reverse { " ORDER BY n DESC LIMIT ?" } else { " ORDER BY n LIMIT ?" });
    let limit = read.limit.min(MAX_READ_ENTRIES);
    values.push((limit as i64).into());

    let (page, complete) = page(db, &sql, params_from_iter(values), &read.run, key, limit)?;
    if complete && !read.reverse && upto == run.last.n {
        let sql = "SELECT n FROM entries WHERE run = ? AND n > ? LIMIT 1";
        if let Some(n) = db.first(sql, params![key, Uint(upto)], |row| Ok(row::uint(row, 0)?))? {
            let what = format!("its record ends at entry {upto}, and its timeline has entry {n}");
            return Err(Failure::corrupt(&read.run, what));
        }
    }
    if read.types.is_empty() {
        let position = |at: u64| if read.reverse { upto - at } else { read.after + 1 + at };
        unbroken(&read.run, &page, complete, (0..upto.saturating_sub(read.after)).map(position))?;
    }
    Ok(Some(Ok(page)))
}

/// The entry of a run at the position of the one that a reader has seen.
fn id_at(db: Db<'_>, key: i64, last: EntryId, seen: Option<EntryId>) -> Result<Option<EntryId>, Failure> {
    match seen {
        Some(seen) if seen.n == last.n => Ok(Some(last)),
        Some(seen) if seen.n < last.n => {
            let sql = "SELECT ms FROM entries WHERE run = ? AND n = ?";
            let ms = db.first(sql, params![key, seen.n as i64], |row| Ok(row.get::<_, Uint>(0)?.0))?;
            Ok(ms.map(|ms| EntryId { ms, n: seen.n }))
        }
        _ => Ok(None),
    }
}

/// Collects entries until a page is full. True if it holds all that there were.
fn page(
    db: Db<'_>,
    sql: &str,
    params: impl rusqlite::Params,
    run: &RunId,
    key: i64,
    limit: usize,
) -> Result<(Vec<Entry>, bool), Failure> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query(params)?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(5)?.as_bytes_or_null().ok().flatten().map_or(0, <[u8]>::len);
        // At least one, so that a reader always gets on.
        if bytes > MAX_READ_BYTES && !page.is_empty() {
            return Ok((page, false));
        }
        page.push(row::entry(row, run, key)?);
    }
    let complete = page.len() < limit;
    Ok((page, complete))
}

/// Whether the entries of a page are those of these positions, up to the last of them if it is complete.
fn unbroken(
    run: &RunId,
    page: &[Entry],
    complete: bool,
    mut positions: impl Iterator<Item = u64>,
) -> Result<(), Failure> {
    for entry in page {
        let position = positions.next();
        if position != Some(entry.id.n) {
            return Err(missing(run, position.unwrap_or_default()));
        }
    }
    match positions.next() {
        Some(position) if complete => Err(missing(run, position)),
        _ => Ok(()),
    }
}

fn missing(run: &RunId, position: u64) -> Failure {
    Failure::corrupt(run, format!("entry {position} of its timeline is missing"))
}

/// The events of a gather; none if there is no such run.
pub(super) fn gathered(
    db: Db<'_>,
    gathered: &Gathered,
) -> Result<Option<Result<Vec<Entry>, StoreError>>, Failure> {
    let Gathered { run, worker, upto, from, limit, seen } = gathered;
    let Some((key, record)) = db.first(row::RUN_BY_ID, [run.as_str()], row::run)? else { return Ok(None) };
    if let Err(lost) = gathered.follows(record.last, id_at(db, key, record.last, *seen)?) {
        return Ok(Some(Err(lost)));
    }
    let sql = "SELECT g.n, e.ms, e.type, e.step, e.attempt, e.data, e.crc FROM \
               (SELECT run, n FROM gathered WHERE run = ? AND worker = ? AND n <= ? ORDER BY n LIMIT ? OFFSET ?) g \
               LEFT JOIN entries e ON e.run = g.run AND e.n = g.n ORDER BY g.n";
    let (upto, from) = (Uint((*upto).min(i64::MAX as u64)), Uint((*from).min(i64::MAX as u64)));
    let limit = (*limit).min(MAX_READ_ENTRIES);
    let values = params![key, worker.as_str(), upto, limit as i64, from];
    Ok(Some(Ok(page(db, sql, values, run, key, limit)?.0)))
}

/// What is known of a run.
pub(super) fn run(db: Db<'_>, run: &RunId) -> Result<Option<RunRecord>, Failure> {
    Ok(db.first(row::RUN_BY_ID, [run.as_str()], row::run)?.map(|(_, run)| run))
}

/// A page of runs before this key.
pub(super) fn runs(db: Db<'_>, query: &RunsQuery, before: i64) -> Result<RunsPage, Failure> {
    let limit = query.page_size();
    // One more than asked for tells whether there is another page.
    let wanted = limit as i64 + 1;
    let key = |row: &Row<'_>| Ok(row.get::<_, i64>(0)?);
    let mut keys = Vec::new();
    if query.flow.is_none() && query.status.is_none() {
        let sql = "SELECT key FROM runs WHERE key < ? ORDER BY key DESC LIMIT ?";
        keys = db.all(sql, [before, wanted], key)?;
    } else {
        let flows = match &query.flow {
            Some(flow) => db.all("SELECT key FROM flows WHERE name = ?", [flow.as_str()], key)?,
            None => db.all("SELECT key FROM flows", [], key)?,
        };
        let statuses = query.status.map_or(RunStatus::ALL.to_vec(), |status| vec![status]);
        // The newest of each flow and status lie together in the index; the newest of all are among them.
        let sql = "SELECT key FROM runs INDEXED BY runs_of_flow WHERE flow = ? AND status = ? AND key < ? \
                   ORDER BY key DESC LIMIT ?";
        for flow in flows {
            for status in &statuses {
                keys.extend(db.all(sql, [flow, schema::status_code(*status), before, wanted], key)?);
            }
        }
        keys.sort_unstable_by(|a, b| b.cmp(a));
    }
    let more = keys.len() > limit;
    keys.truncate(limit);
    let next = keys.last().filter(|_| more).map(ToString::to_string);
    let mut runs = Vec::with_capacity(keys.len());
    for key in keys {
        match db.first(row::RUN_BY_KEY, [key], row::run).map_err(|failure| failure.about("runs")) {
            Ok(run) => runs.extend(run.map(|(_, run)| run)),
            // Whoever asks for it by its id is told.
            Err(Failure::Corrupt { key, what }) => {
                tracing::error!(run = key, what, "a run that cannot be read is left out of a list");
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(RunsPage { runs, next })
}

/// The counts of every queue.
pub(super) fn queues(db: Db<'_>, now_ms: u64) -> Result<Vec<QueueCounts>, Failure> {
    db.all(&schema::ALL_QUEUES, [row::Uint(now_ms)], |row| {
        let mut counts = QueueCounts::new(row::queue_name(row.get_ref(0)?.as_str().unwrap_or_default())?);
        counts.paused = row.get(1)?;
        counts.served = row.get::<_, Option<bool>>(2)?.unwrap_or_default();
        for kind in StateKind::all() {
            *counts.count_mut(kind) = row::uint(row, 3 + kind.code())?;
        }
        Ok(counts)
    })
}

/// A page of jobs.
pub(super) fn jobs(db: Db<'_>, query: &JobsQuery) -> Result<Vec<JobSummary>, Failure> {
    let mut sql = String::from(
        "SELECT r.id, j.worker, j.ms, j.n, q.name, j.state, j.at, i.id, j.error, j.earlier, j.failures, \
         j.crashes FROM jobs j JOIN runs r ON r.key = j.run JOIN queues q ON q.key = j.queue \
         LEFT JOIN instances i ON i.key = j.holder WHERE true",
    );
    let mut values: Vec<&dyn ToSql> = Vec::new();
    let run = query.run.as_ref().map(RunId::as_str);
    if let Some(run) = &run {
        sql.push_str(" AND r.id = ?");
        values.push(run);
    }
    let queue = query.queue.as_ref().map(QueueName::as_str);
    if let Some(queue) = &queue {
        sql.push_str(" AND q.name = ?");
        values.push(queue);
    }
    if query.dead {
        sql.push_str(" AND j.state = 3");
    }
    let after =
        query.after.as_ref().map(|(run, step)| (run.as_str(), step.worker().as_str(), Uint(step.cause().n)));
    if let Some((run, worker, n)) = &after {
        sql.push_str(" AND (r.id, j.worker, j.n) > (?, ?, ?)");
        values.extend([run as &dyn ToSql, worker, n]);
    }
    sql.push_str(" ORDER BY r.id, j.worker, j.n LIMIT ?");
    let limit = query.page_size() as i64;
    values.push(&limit);
    let summary = |row: &Row<'_>| {
        let run: String = row.get(0)?;
        let text = |column| -> Result<String, Failure> { Ok(row.get(column)?) };
        let (earlier, failures, crashes): (u32, u32, u32) = (row.get(9)?, row.get(10)?, row.get(11)?);
        let state = row::state(&run, row.get(5)?, row::uint(row, 6)?, row.get(7)?, row.get(8)?)?;
        Ok(JobSummary {
            step: row::step(&run, &text(1)?, row::uint(row, 2)?, row::uint(row, 3)?)?,
            queue: row::queue_name(&text(4)?)?,
            attempt: state.attempt(ended(earlier, failures, crashes)),
            state,
            failures,
            crashes,
            run: row::run_id(&run)?,
        })
    };
    let found =
        db.all(&sql, values.as_slice(), |row| Ok(summary(row).or_else(|failure| unreadable(row, &failure))))?;
    let mut jobs = Vec::with_capacity(found.len());
    for job in found {
        match job {
            Ok(job) => jobs.push(job),
            Err(failure) => tracing::error!(?failure, "a job that cannot be read is left out of a list"),
        }
    }
    Ok(jobs)
}

/// A job whose row cannot be read, shown as the dead letter that it becomes when somebody would take it.
fn unreadable(row: &Row<'_>, failure: &Failure) -> Result<JobSummary, Failure> {
    let (run, step) = job_key(row)?;
    let error = ledger::unreadable(&run, &step, &failure.to_string());
    Ok(JobSummary {
        queue: row::queue_name(&row.get::<_, String>(4)?)?,
        state: JobState::Dead { error },
        attempt: 1,
        failures: 0,
        crashes: 0,
        run,
        step,
    })
}

/// Whether there is something for this interest already.
pub(super) fn ready(db: Db<'_>, interest: &Interest) -> Result<bool, Failure> {
    match interest {
        Interest::Queues(queues) => {
            let sql = "SELECT 1 FROM queues q WHERE q.name = ? AND NOT q.paused \
                       AND EXISTS (SELECT 1 FROM jobs WHERE queue = q.key AND state = 0)";
            for queue in queues {
                if db.first(sql, [queue.as_str()], |_| Ok(()))?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        // There is nothing to wait for in a run that is gone: the caller reads, and learns it.
        Interest::Run { run: id, after } => Ok(run(db, id)?.is_none_or(|run| run.last.n > *after)),
        Interest::End { run: id } => Ok(run(db, id)?.is_none_or(|run| run.status.is_terminal())),
    }
}
