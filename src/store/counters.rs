//! Counters that continue after a restart.
//!
//! Some systems report counts per hour or since their own start, so their counters need a stored base. A base must be
//! committed here before it is used. Memory holds all rows too, so reads and changes work while the disk fails.

use rusqlite::{Connection, Transaction};

use super::{fault::Fault, schema::COUNTERS, table::text};
use crate::model::{CounterFamilies, CounterRow};

/// All counters of a target.
pub(super) fn load(connection: &Connection, target: &str) -> Result<CounterFamilies, Fault> {
    let mut families: CounterFamilies = Vec::new();
    COUNTERS.select(connection, "WHERE target = ? ORDER BY family, labels", [target], |row| {
        let family: String = row.get("family")?;
        let values = COUNTERS.json(&row.get::<_, String>("ints")?)?;
        let row = CounterRow { labels: row.get("labels")?, values };
        match families.last_mut().filter(|(known, _)| *known == family) {
            Some((_, rows)) => rows.push(row),
            None => families.push((family, vec![row])),
        }
        Ok(())
    })?;
    Ok(families)
}

/// Changed rows of one family.
#[derive(Debug)]
pub(super) struct CounterRows {
    pub(super) family: String,
    /// Labels and values, these as JSON.
    pub(super) rows: Vec<(String, String)>,
    /// Labels of deleted rows.
    pub(super) gone: Vec<String>,
}

/// Writes rows and deletes label sets.
pub(super) fn commit(
    transaction: &Transaction<'_>,
    target: &str,
    changed: &CounterRows,
) -> Result<(), Fault> {
    let CounterRows { family, rows, gone } = changed;
    for (labels, values) in rows {
        COUNTERS.put(transaction, &[text(target), text(family), text(labels), text(values)])?;
    }
    let sql = "DELETE FROM counters WHERE target = ? AND family = ? AND labels = ?";
    let mut delete = transaction.prepare_cached(sql)?;
    for labels in gone {
        delete.execute([target, family.as_str(), labels.as_str()])?;
    }
    Ok(())
}
