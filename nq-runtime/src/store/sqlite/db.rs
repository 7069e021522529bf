//! Statements on a connection, as the rest of the store asks for them.

use rusqlite::{CachedStatement, Connection, Params, Row};

use super::errors::Failure;

/// A connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Db<'c>(pub(super) &'c Connection);

impl<'c> Db<'c> {
    /// A statement, prepared once for each connection.
    pub(super) fn prepare(self, sql: &str) -> Result<CachedStatement<'c>, Failure> {
        Ok(self.0.prepare_cached(sql)?)
    }

    /// The number of rows that it changed.
    pub(super) fn execute(self, sql: &str, params: impl Params) -> Result<usize, Failure> {
        Ok(self.prepare(sql)?.execute(params)?)
    }

    /// The first row, if there is one.
    pub(super) fn first<T>(
        self,
        sql: &str,
        params: impl Params,
        take: impl FnOnce(&Row<'_>) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(take).transpose()
    }

    /// Every row.
    pub(super) fn all<T>(
        self,
        sql: &str,
        params: impl Params,
        mut take: impl FnMut(&Row<'_>) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(take(row)?);
        }
        Ok(all)
    }
}
