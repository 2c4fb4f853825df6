//! Rows that carry a sum over what they hold, so that damage within a row is noticed.

use rusqlite::{
    Connection, OptionalExtension, Params, Row, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use serde::de::DeserializeOwned;

use super::fault::Fault;

/// A table whose first column is its key, or the first part of it, and whose last is the sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// How many there are, the sum included.
    pub(super) columns: usize,
}

impl Table {
    /// Writes a row, over the one with its key if there is one. `values` are all but the sum.
    pub(super) fn put(&self, connection: &Connection, values: &[ValueRef<'_>]) -> Result<(), Fault> {
        let places = vec!["?"; self.columns].join(", ");
        let sql = format!("INSERT OR REPLACE INTO {} VALUES ({places})", self.name);
        let digest = digest(values);
        let row = values.iter().map(|value| ToSqlOutput::Borrowed(*value));
        let row = row.chain([ToSqlOutput::from(digest)]);
        connection.prepare_cached(&sql)?.execute(params_from_iter(row))?;
        Ok(())
    }

    /// Removes the rows whose `column` is `key`, which is the key or the first part of it.
    pub(super) fn remove(&self, connection: &Connection, column: &str, key: &str) -> Result<(), Fault> {
        let sql = format!("DELETE FROM {} WHERE {column} = ?", self.name);
        connection.prepare_cached(&sql)?.execute([key])?;
        Ok(())
    }

    pub(super) fn clear(&self, connection: &Connection) -> Result<(), Fault> {
        connection.prepare_cached(&format!("DELETE FROM {}", self.name))?.execute([])?;
        Ok(())
    }

    /// Reads the row with this key, if there is one. Only for tables with a key of one column called `column`.
    pub(super) fn get<T>(
        &self,
        connection: &Connection,
        column: &str,
        key: &str,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Fault> {
        let sql = format!("SELECT * FROM {} WHERE {column} = ?", self.name);
        let mut statement = connection.prepare_cached(&sql)?;
        let row = statement.query_row([key], |row| Ok((self.is_whole(row)?, read(row)))).optional()?;
        match row {
            None => Ok(None),
            Some((true, value)) => Ok(Some(value?)),
            Some((false, _)) => Err(self.damaged()),
        }
    }

    /// Reads every row, in the order of `column`.
    pub(super) fn each(
        &self,
        connection: &Connection,
        column: &str,
        read: impl FnMut(&Row<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.select(connection, &format!("ORDER BY {column}"), [], read)
    }

    /// Reads the rows that the rest of a SELECT statement, `rest`, names.
    pub(super) fn select(
        &self,
        connection: &Connection,
        rest: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut statement = connection.prepare(&format!("SELECT * FROM {} {rest}", self.name))?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            if !self.is_whole(row)? {
                return Err(self.damaged());
            }
            read(row)?;
        }
        Ok(())
    }

    /// Copies every row to the same table of another database.
    pub(super) fn copy(&self, from: &Connection, to: &Connection) -> Result<(), Fault> {
        self.each(from, "1", |row| {
            let values = (0..self.columns - 1).map(|column| row.get_ref(column));
            self.put(to, &values.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// Reads a column that we wrote as JSON. Says nothing of the text, which may hold names.
    pub(super) fn json<T: DeserializeOwned>(&self, text: &str) -> Result<T, Fault> {
        serde_json::from_str(text)
            .map_err(|_| Fault::Damaged(format!("a row of {} has the wrong format", self.name)))
    }

    fn is_whole(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let values =
            (0..self.columns - 1).map(|column| row.get_ref(column)).collect::<Result<Vec<_>, _>>()?;
        Ok(row.get_ref(self.columns - 1)? == ValueRef::Integer(digest(&values)))
    }

    fn damaged(&self) -> Fault {
        Fault::Damaged(format!("a row of {} does not match its checksum", self.name))
    }
}

/// The value of a text.
pub(super) fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

/// 64-bit FNV-1a over kind, length and bytes of each value: any one byte that changes, changes it.
fn digest(values: &[ValueRef<'_>]) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |kind: u8, bytes: &[u8]| {
        for byte in [kind].iter().chain(&bytes.len().to_le_bytes()).chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for value in values {
        match value {
            ValueRef::Null => add(0, &[]),
            ValueRef::Integer(number) => add(1, &number.to_le_bytes()),
            ValueRef::Real(number) => add(2, &number.to_bits().to_le_bytes()),
            ValueRef::Text(text) => add(3, text),
            ValueRef::Blob(bytes) => add(4, bytes),
        }
    }
    hash.cast_signed()
}
