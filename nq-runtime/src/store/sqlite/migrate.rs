//! Brings a file of an older format to this one.

use rusqlite::{Connection, TransactionBehavior};

/// `PRAGMA user_version`: the format of the tables. Persisted; it rises with every change that an older nq could not
/// work on.
pub(super) const FORMAT: i64 = 1 + STEPS.len() as i64;

/// The statements that lead from each format to the next: the first from format 1 to format 2.
const STEPS: &[&str] = &["ALTER TABLE runs ADD COLUMN more TEXT; ALTER TABLE jobs ADD COLUMN more TEXT;
     ALTER TABLE gathers ADD COLUMN more TEXT"];

/// Brings a file to the format of this version, in one transaction: a crash leaves the one format or the other.
pub(super) fn migrate(conn: &mut Connection) -> rusqlite::Result<()> {
    if format(conn)? == FORMAT {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it meanwhile.
    let first = usize::try_from(format(&tx)? - 1).unwrap_or_default();
    for step in STEPS.iter().skip(first) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.commit()
}

fn format(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}
