//! The tables, and the marks by which a database of nq is recognised.

use std::sync::LazyLock;

use nq_core::record::{StateIndex, StateKind};
use nq_core::status::RunStatus;

use super::errors::Failure;
pub(super) use super::migrate::FORMAT;

/// `PRAGMA application_id` of a database of nq: "nq" and the letters "st". Persisted.
pub(super) const APPLICATION_ID: u32 = 0x6e71_7374;

/// Makes every table, but for what it has of each state of a job: [`tables`] makes all.
///
/// What every row of a table has stands in columns of its own; `more` is an object of what only some have, or NULL. A
/// version of nq that does not know a field keeps it.
///
/// Runs, queues, flows, instances and job specifications stand for their names everywhere else as small
/// keys. The rows of an entry lie in the order in which they were written, so that a commit touches few
/// pages whatever runs it is about; an index finds them by run and position.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE flows (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE specs (key INTEGER PRIMARY KEY, spec TEXT NOT NULL UNIQUE);
CREATE TABLE queues (
    key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, paused INTEGER NOT NULL DEFAULT 0
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

/// Makes the tables, as a file of this format has them. Each state of a job has a column in `queues`, which counts the
/// jobs in it, and an index of those jobs; its code stands in `jobs.state`. Persisted.
pub(super) fn tables() -> String {
    let mut sql = TABLES.to_owned();
    for kind in StateKind::all() {
        let (name, code) = (kind.name(), kind.code());
        let columns = match kind.index() {
            StateIndex::Queue => "queue, at",
            StateIndex::Holder => "holder, at",
            StateIndex::Time => "at",
            StateIndex::List => "queue",
        };
        sql += &format!("ALTER TABLE queues ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0;\n");
        sql += &format!("CREATE INDEX jobs_{name} ON jobs ({columns}) WHERE state = {code};\n");
    }
    sql
}

/// The columns of `queues` that count jobs, each as this writes it, in the order of the codes.
fn counts(column: impl Fn(StateKind) -> String) -> String {
    StateKind::all().map(column).collect::<Vec<_>>().join(", ")
}

/// Adds to the counts of the queue with key `?1`: the values of the states follow in the order of the codes.
pub(super) static ADD_COUNTS: LazyLock<String> = LazyLock::new(|| {
    let column =
        |kind: StateKind| format!("{name} = {name} + ?{at}", name = kind.name(), at = 2 + kind.code());
    format!("UPDATE queues SET {} WHERE key = ?1", counts(column))
});

/// Finds every queue: its name, whether it is paused, whether it is served at the moment `?`, and its counts.
pub(super) static ALL_QUEUES: LazyLock<String> = LazyLock::new(|| {
    let counts = counts(|kind| kind.name().to_owned());
    format!(
        "SELECT name, paused, \
         (SELECT CAST(value AS INTEGER) > ? FROM meta WHERE key = 'served ' || name), {counts} \
         FROM queues ORDER BY name"
    )
});

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
