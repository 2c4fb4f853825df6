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

/// The numbers of one label set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterRow {
    /// A text that only the owner understands.
    pub labels: String,
    /// In an order that only the owner understands.
    pub values: Vec<u64>,
}

impl Store {
    /// All rows of a target's family, by label set.
    ///
    /// # Errors
    /// When the store is closed or does not answer.
    pub async fn load_counters(&self, target: &str, family: &str) -> Result<Vec<CounterRow>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = Work::Counters { target: target.to_owned(), family: family.to_owned(), answer };
        let read = async {
            self.ask(work).await?;
            answered.await.map_err(|_| StoreError::Closed)?
        };
        timeout(PATIENCE, read).await.unwrap_or_else(|_| self.hangs())
    }

    /// Writes `rows` over those of the same labels and deletes the label sets `gone`, all of it or nothing. It is on
    /// the disk when this returns.
    ///
    /// # Errors
    /// As of [`Store::record`].
    pub async fn commit_counters(
        &self,
        target: &str,
        family: &str,
        rows: Vec<CounterRow>,
        gone: Vec<String>,
    ) -> Result<(), StoreError> {
        let rows = rows.into_iter().map(|row| Ok((row.labels, serde_json::to_string(&row.values)?)));
        let rows = rows.collect::<Result<_, serde_json::Error>>()?;
        let (target, family) = (target.to_owned(), family.to_owned());
        self.change(Change::Counters { target, family, rows, gone }).await
    }
}

/// The rows of a target's family, by label set.
pub(super) fn load(connection: &Connection, target: &str, family: &str) -> Result<Vec<CounterRow>, Fault> {
    let mut rows = Vec::new();
    COUNTERS.select(
        connection,
        "WHERE target = ? AND family = ? ORDER BY labels",
        [target, family],
        |row| {
            let values = json(COUNTERS, &row.get::<_, String>("ints")?)?;
            rows.push(CounterRow { labels: row.get("labels")?, values });
            Ok(())
        },
    )?;
    Ok(rows)
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
