//! Rows as records and entries, and back.

use nq_core::entry::{Entry, EntryType};
use nq_core::id::{EntryId, Name, QueueName, RunId, StepId};
use nq_core::more::More;
use nq_core::record::{JobState, RunRecord, StateKind};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Error, Row};
use serde::Serialize;

use super::errors::Failure;
use super::schema;

/// A value as it stands in a column.
pub(super) fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Sql(Error::ToSqlConversionFailure(error.into())))
}

/// A number that is never negative, as a column has it: signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uint(pub(super) u64);

impl ToSql for Uint {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let signed = i64::try_from(self.0).map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
        Ok(signed.into())
    }
}

impl FromSql for Uint {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let signed = value.as_i64()?;
        u64::try_from(signed).map(Self).map_err(|_| FromSqlError::OutOfRange(signed))
    }
}

/// The number in this column.
pub(super) fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, Uint>(column).map(|number| number.0)
}

/// The number in this column, if there is one.
pub(super) fn optional_uint(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<Uint>>(column)?.map(|number| number.0))
}

/// Finds the run of an id, as [`run`] takes it.
pub(super) const RUN_BY_ID: &str = "SELECT r.key, r.id, f.name, r.status, r.started_ms, r.ended_ms, r.last_ms, r.last_n, r.pending, r.more \
     FROM runs r JOIN flows f ON f.key = r.flow WHERE r.id = ?";

/// Finds the run of a key, as [`run`] takes it.
pub(super) const RUN_BY_KEY: &str = "SELECT r.key, r.id, f.name, r.status, r.started_ms, r.ended_ms, r.last_ms, r.last_n, r.pending, r.more \
     FROM runs r JOIN flows f ON f.key = r.flow WHERE r.key = ?";

/// A run and its key.
pub(super) fn run(row: &Row<'_>) -> Result<(i64, RunRecord), Failure> {
    let id: String = row.get(1)?;
    let record = RunRecord {
        flow: name(&id, &row.get::<_, String>(2)?)?,
        status: schema::status_of(row.get(3)?, &id)?,
        started_ms: uint(row, 4)?,
        ended_ms: optional_uint(row, 5)?,
        last: EntryId { ms: uint(row, 6)?, n: uint(row, 7)? },
        pending: uint(row, 8)?,
        more: more(&id, row, 9)?,
        run: run_id(&id)?,
    };
    Ok((row.get(0)?, record))
}

/// Finds the entry of a run's key and a position, as [`entry`] takes it.
pub(super) const ENTRY_AT: &str =
    "SELECT n, ms, type, step, attempt, data, crc FROM entries WHERE run = ? AND n = ?";

/// An entry, proven to be what was written.
pub(super) fn entry(row: &Row<'_>, run: &RunId, key: i64) -> Result<Entry, Failure> {
    let n = uint(row, 0)?;
    let damaged = |what: &str| Failure::corrupt(run, format!("entry {n} of its timeline is damaged: {what}"));
    let read = || -> rusqlite::Result<_> {
        let ms = uint(row, 1)?;
        let kind = row.get_ref(2)?.as_str()?;
        let step = row.get_ref(3)?.as_str_or_null()?;
        let attempt: Option<u32> = row.get(4)?;
        let data = row.get_ref(5)?.as_str()?;
        Ok((ms, kind, step, attempt, data, row.get::<_, u32>(6)?))
    };
    let (ms, kind, step, attempt, data, crc) = read().map_err(|error| damaged(&error.to_string()))?;
    let id = EntryId { ms, n };
    if crc != checksum(key, id, kind, step, attempt, data) {
        return Err(damaged("its checksum is another"));
    }
    let step = step.map(str::parse).transpose().map_err(|error| damaged(&format!("{error}")))?;
    let data = serde_json::from_str(data).map_err(|error| damaged(&error.to_string()))?;
    Ok(Entry { id, kind: EntryType::parse(kind), step, attempt, data })
}

/// What tells an entry from a damaged one. SQLite does not check what it reads.
pub(super) fn checksum(
    run: i64,
    id: EntryId,
    kind: &str,
    step: Option<&str>,
    attempt: Option<u32>,
    data: &str,
) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for number in [run as u64, id.n, id.ms, attempt.map_or(0, |attempt| 1 + u64::from(attempt))] {
        crc.update(&number.to_le_bytes());
    }
    for text in [kind, step.unwrap_or_default(), data] {
        crc.update(text.as_bytes());
        crc.update(&[0]);
    }
    crc.finalize()
}

/// The state of a job from its columns.
pub(super) fn state(
    run: &str,
    code: i64,
    at: u64,
    holder: Option<String>,
    error: Option<String>,
) -> Result<JobState, Failure> {
    let no_state = || Failure::corrupt(run, format!("a job is in state {code}, which stands for nothing"));
    let holder = holder.map(|holder| holder.parse()).transpose();
    let holder = holder.map_err(|error| Failure::corrupt(run, format!("{error}")))?;
    let kind = StateKind::of_code(code).ok_or_else(no_state)?;
    JobState::of_parts(kind, at, holder, error).ok_or_else(no_state)
}

/// The state that a column of codes says, whatever it holds.
pub(super) fn kind(code: &Value) -> Option<StateKind> {
    if let Value::Integer(code) = code { StateKind::of_code(*code) } else { None }
}

/// What only some rows have.
pub(super) fn more(run: &str, row: &Row<'_>, column: usize) -> Result<More, Failure> {
    let Some(text) = row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)? else {
        return Ok(More::default());
    };
    serde_json::from_str(text).map_err(|error| Failure::corrupt(run, format!("what only some have: {error}")))
}

/// The same as it stands in its column.
pub(super) fn more_text(more: &More) -> Result<Option<String>, Failure> {
    if more.is_empty() { Ok(None) } else { json(more).map(Some) }
}

/// A step from its columns.
pub(super) fn step(run: &str, worker: &str, ms: u64, n: u64) -> Result<StepId, Failure> {
    Ok(StepId::new(name(run, worker)?, EntryId { ms, n }))
}

pub(super) fn run_id(id: &str) -> Result<RunId, Failure> {
    RunId::new(id).map_err(|error| Failure::corrupt(id, error.to_string()))
}

pub(super) fn name(run: &str, name: &str) -> Result<Name, Failure> {
    Name::new(name).map_err(|error| Failure::corrupt(run, error.to_string()))
}

pub(super) fn queue_name(name: &str) -> Result<QueueName, Failure> {
    QueueName::new(name).map_err(|error| Failure::corrupt(name, error.to_string()))
}
