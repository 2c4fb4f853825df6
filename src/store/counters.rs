//! Counters that continue after a restart.
//!
//! A system that counts within hours or since its own start needs a base to add to. Its owner commits the base here
//! before it relies on it. All rows are held in memory too, so that they can be read and changed while the disk fails.

use rusqlite::{Connection, Transaction};
use tokio::{sync::oneshot, time::timeout};

use super::{
    PATIENCE, Store, StoreError,
    change::{Change, text},
    database::{Fault, json},
    schema::COUNTERS,
    writer::Work,
};
use crate::model::{CounterChange, CounterFamilies, CounterRow};

impl Store {
    /// All counters of a target, by family and label set.
    ///
    /// # Errors
    /// When the store is closed or does not answer.
    pub async fn load_counters(&self, target: &str) -> Result<CounterFamilies, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = Work::Counters { target: target.to_owned(), answer };
        let read = async {
            self.ask(work).await?;
            answered.await.map_err(|_| StoreError::Closed)?
        };
        timeout(PATIENCE, read).await.unwrap_or_else(|_| self.hangs())
    }

    /// Changes counters of a target, all of it or nothing. It is on the disk when this returns.
    ///
    /// # Errors
    /// As of [`Store::record`].
    pub async fn commit_counters(&self, target: &str, change: CounterChange) -> Result<(), StoreError> {
        let CounterChange { family, rows, gone } = change;
        let rows = rows.into_iter().map(|row| Ok((row.labels, serde_json::to_string(&row.values)?)));
        let rows = rows.collect::<Result<_, serde_json::Error>>()?;
        self.change(Change::Counters { target: target.to_owned(), family, rows, gone }).await
    }
}

/// All counters of a target.
pub(super) fn load(connection: &Connection, target: &str) -> Result<CounterFamilies, Fault> {
    let mut families: CounterFamilies = Vec::new();
    COUNTERS.select(connection, "WHERE target = ? ORDER BY family, labels", [target], |row| {
        let family: String = row.get("family")?;
        let values = json(COUNTERS, &row.get::<_, String>("ints")?)?;
        let row = CounterRow { labels: row.get("labels")?, values };
        match families.last_mut().filter(|(known, _)| *known == family) {
            Some((_, rows)) => rows.push(row),
            None => families.push((family, vec![row])),
        }
        Ok(())
    })?;
    Ok(families)
}

/// Writes rows, labels and values as JSON, and deletes label sets.
pub(super) fn commit(
    transaction: &Transaction<'_>,
    target: &str,
    family: &str,
    rows: &[(String, String)],
    gone: &[String],
) -> Result<(), Fault> {
    for (labels, values) in rows {
        COUNTERS.put(transaction, &[text(target), text(family), text(labels), text(values)])?;
    }
    let sql = "DELETE FROM counters WHERE target = ? AND family = ? AND labels = ?";
    let mut delete = transaction.prepare_cached(sql)?;
    for labels in gone {
        delete.execute([target, family, labels])?;
    }
    Ok(())
}
