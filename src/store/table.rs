//! Tables whose rows have a checksum, so that damage within a row is detected.

use rusqlite::{
    Connection, OptionalExtension, Params, Row, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use serde::de::DeserializeOwned;

use super::fault::Fault;

/// A table. Its first column is the key or the first part of it, and its last column is the checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
}

impl Table {
    /// Inserts or replaces a row. `values` are all columns except the checksum.
    pub(super) fn put(&self, connection: &Connection, values: &[ValueRef<'_>]) -> Result<(), Fault> {
        let places = vec!["?"; values.len() + 1].join(", ");
        let sql = format!("INSERT OR REPLACE INTO {} VALUES ({places})", self.name);
        let digest = digest(values);
        let row = values.iter().map(|value| ToSqlOutput::Borrowed(*value));
        let row = row.chain([ToSqlOutput::from(digest)]);
        connection.prepare_cached(&sql)?.execute(params_from_iter(row))?;
        Ok(())
    }

    /// Removes the rows whose `column`, the key or the first part of it, equals `key`.
    pub(super) fn remove(&self, connection: &Connection, column: &str, key: &str) -> Result<(), Fault> {
        let sql = format!("DELETE FROM {} WHERE {column} = ?", self.name);
        connection.prepare_cached(&sql)?.execute([key])?;
        Ok(())
    }

    pub(super) fn clear(&self, connection: &Connection) -> Result<(), Fault> {
        connection.prepare_cached(&format!("DELETE FROM {}", self.name))?.execute([])?;
        Ok(())
    }

    /// Reads the row with this key, if there is one. `column` must be the whole key of the table.
    pub(super) fn get<T>(
        &self,
        connection: &Connection,
        column: &str,
        key: &str,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Fault> {
        let sql = format!("SELECT * FROM {} WHERE {column} = ?", self.name);
        let mut statement = connection.prepare_cached(&sql)?;
        let row = statement.query_row([key], |row| Ok((is_whole(row)?, read(row)))).optional()?;
        match row {
            None => Ok(None),
            Some((true, value)) => Ok(Some(value?)),
            Some((false, _)) => Err(self.damaged()),
        }
    }

    /// Reads every row, ordered by `column`.
    pub(super) fn each(
        &self,
        connection: &Connection,
        column: &str,
        read: impl FnMut(&Row<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.select(connection, &format!("ORDER BY {column}"), [], read)
    }

    /// Reads the rows that match `rest`, the end of a SELECT statement.
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
            if !is_whole(row)? {
                return Err(self.damaged());
            }
            read(row)?;
        }
        Ok(())
    }

    /// Copies every row to the same table of another database.
    pub(super) fn copy(&self, from: &Connection, to: &Connection) -> Result<(), Fault> {
        self.each(from, "1", |row| self.put(to, &split(row)?.0))
    }

    /// The sum of the checksums of all rows, to compare two tables.
    pub(super) fn sum(&self, connection: &Connection) -> Result<(u64, i64), Fault> {
        let mut sum = (0_u64, 0_i64);
        self.each(connection, "1", |row| {
            let digest = row.get(row.as_ref().column_count().saturating_sub(1))?;
            sum = (sum.0.saturating_add(1), sum.1.wrapping_add(digest));
            Ok(())
        })?;
        Ok(sum)
    }

    /// Decodes a JSON column. The error does not quote the text, which may include names.
    pub(super) fn json<T: DeserializeOwned>(&self, text: &str) -> Result<T, Fault> {
        serde_json::from_str(text)
            .map_err(|_| Fault::Damaged(format!("a row of {} has an unexpected form", self.name)))
    }

    fn damaged(&self) -> Fault {
        Fault::Damaged(format!("a row of {} does not match its checksum", self.name))
    }
}

fn is_whole(row: &Row<'_>) -> rusqlite::Result<bool> {
    let (values, checksum) = split(row)?;
    Ok(checksum == ValueRef::Integer(digest(&values)))
}

/// The columns of a row, and its checksum.
fn split<'a>(row: &'a Row<'_>) -> rusqlite::Result<(Vec<ValueRef<'a>>, ValueRef<'a>)> {
    let last = row.as_ref().column_count().saturating_sub(1);
    let values = (0..last).map(|column| row.get_ref(column)).collect::<Result<_, _>>()?;
    Ok((values, row.get_ref(last)?))
}

/// The value of a text.
pub(super) fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

/// 64-bit FNV-1a over kind, length and bytes of each value. A change of any single byte changes it.
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
