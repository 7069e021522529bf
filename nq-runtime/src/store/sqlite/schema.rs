//! The tables, and the marks by which a database of nq is recognised.

use nq_core::record::JobState;
use nq_core::status::RunStatus;

use super::errors::Failure;

/// `PRAGMA application_id` of a database of nq: "nq" and the letters "st". Persisted.
pub(super) const APPLICATION_ID: u32 = 0x6e71_7374;

/// `PRAGMA user_version`: the format of the tables below. Persisted; it rises with every change that an
/// older nq could not work on.
pub(super) const FORMAT: i64 = 2;

/// Makes the tables.
///
/// What every row of a table has stands in columns of its own; `more` is an object of what only some have, or NULL. A
/// version of nq that does not know a field keeps it.
///
/// Runs, queues, flows, instances and job specifications stand for their names everywhere else as small
/// keys. The rows of an entry lie in the order in which they were written, so that a commit touches few
/// pages whatever runs it is about; an index finds them by run and position.
pub(super) const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE flows (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE specs (key INTEGER PRIMARY KEY, spec TEXT NOT NULL UNIQUE);
CREATE TABLE queues (
    key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, paused INTEGER NOT NULL DEFAULT 0,
    queued INTEGER NOT NULL DEFAULT 0, leased INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE instances (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    store TEXT, at_ms INTEGER NOT NULL DEFAULT 0, lane TEXT
);
CREATE TABLE runs (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, flow INTEGER NOT NULL, status INTEGER NOT NULL,
    started_ms INTEGER NOT NULL, ended_ms INTEGER, last_ms INTEGER NOT NULL, last_n INTEGER NOT NULL,
    pending INTEGER NOT NULL, more TEXT
);
CREATE INDEX runs_of_flow ON runs (flow, status);
CREATE INDEX runs_ended ON runs (status, ended_ms) WHERE ended_ms IS NOT NULL;
CREATE TABLE removed (run INTEGER PRIMARY KEY);
CREATE TABLE entries (
    run INTEGER NOT NULL, n INTEGER NOT NULL, ms INTEGER NOT NULL, type TEXT NOT NULL,
    step TEXT, attempt INTEGER, data TEXT NOT NULL, crc INTEGER NOT NULL
);
CREATE UNIQUE INDEX entries_of_run ON entries (run, n);
CREATE INDEX snapshots_of_run ON entries (run, n) WHERE type = 'state.snapshot';
CREATE TABLE jobs (
    run INTEGER NOT NULL, worker TEXT NOT NULL, n INTEGER NOT NULL, ms INTEGER NOT NULL,
    queue INTEGER NOT NULL, state INTEGER NOT NULL, at INTEGER NOT NULL, holder INTEGER,
    spec INTEGER NOT NULL, fence INTEGER NOT NULL, earlier INTEGER NOT NULL, failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL, read INTEGER, recorded INTEGER NOT NULL, inputs TEXT NOT NULL, error TEXT,
    more TEXT, PRIMARY KEY (run, worker, n)
) WITHOUT ROWID;
CREATE INDEX jobs_queued ON jobs (queue, at) WHERE state = 0;
CREATE INDEX jobs_leased ON jobs (holder, at) WHERE state = 1;
CREATE INDEX jobs_delayed ON jobs (at) WHERE state = 2;
CREATE INDEX jobs_dead ON jobs (queue) WHERE state = 3;
CREATE TABLE gathers (
    run INTEGER NOT NULL, worker TEXT NOT NULL, rank INTEGER NOT NULL, spec INTEGER NOT NULL,
    count INTEGER NOT NULL, fired INTEGER NOT NULL, more TEXT, PRIMARY KEY (run, worker)
) WITHOUT ROWID;
CREATE TABLE gathered (
    run INTEGER NOT NULL, worker TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (run, worker, n)
) WITHOUT ROWID;
CREATE TABLE arrivals (
    run INTEGER NOT NULL, worker TEXT NOT NULL, by TEXT NOT NULL, side INTEGER NOT NULL,
    n INTEGER NOT NULL, ms INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (run, worker, by, side, n)
) WITHOUT ROWID;
";

/// The number that stands for a status in `runs.status`. Persisted.
pub(super) fn status_code(status: RunStatus) -> i64 {
    match status {
        RunStatus::Running => 0,
        RunStatus::Completed => 1,
        RunStatus::Failed => 2,
        RunStatus::Cancelled => 3,
        RunStatus::Stalled => 4,
    }
}

/// The status that a number in `runs.status` stands for.
pub(super) fn status_of(code: i64, run: &str) -> Result<RunStatus, Failure> {
    RunStatus::ALL
        .into_iter()
        .find(|status| status_code(*status) == code)
        .ok_or_else(|| Failure::corrupt(run, format!("its status is {code}, which stands for nothing")))
}

/// The number that stands for a state in `jobs.state` and its place among the counts of a queue. Persisted: the
/// partial indexes name it.
pub(super) fn state_code(state: &JobState) -> usize {
    match state {
        JobState::Queued => 0,
        JobState::Leased { .. } => 1,
        JobState::Delayed { .. } => 2,
        JobState::Dead { .. } => 3,
    }
}
