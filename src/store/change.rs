//! The changes of the store, and how each is applied to a database on the disk or in memory.

use rusqlite::{Connection, Transaction, types::ValueRef};

use super::{
    counters::{self, CounterRows},
    fault::Fault,
    message::{Message, Settlement},
    outbox,
    schema::{ALERTS, COUNTERS, DEAD_LETTERS, GROUPS, HELD, META, RECEIVERS, SILENCES, TARGETS, USERS},
    table::text,
    users::{self, SavedUsers},
};
use crate::model::Timestamp;

/// How long users and counters of a target are kept after it left the configuration, in milliseconds: 30 days. A
/// mistake in the configuration must not delete a history.
const KEPT_AFTER_LEAVING_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// The row of `meta` with which earlier versions marked a change in several transactions. Its value is the lowest `seq`
/// of the new notices.
const UNFINISHED: &str = "unfinished_round";

/// Key or name, and new state; `None` deletes the row.
pub(super) type Rows = Vec<(String, Option<String>)>;

/// The change of one call. All values are in their stored form.
#[derive(Debug)]
pub(super) enum Change {
    Record {
        alerts: Rows,
        groups: Rows,
        silences: Rows,
        messages: Vec<Message>,
        settled: Vec<(String, Settlement)>,
        receivers: Rows,
    },
    /// Dead letters return to the front of the outbox, oldest first. The dead letters with the ids `outdated` are
    /// deleted.
    Revived {
        messages: Vec<Message>,
        outdated: Vec<String>,
    },
    Users {
        target: String,
        saved: SavedUsers,
    },
    Counters {
        target: String,
        families: Vec<CounterRows>,
    },
    /// The targets of the configuration, as of `now`.
    Targets {
        kept: Vec<String>,
        now: Timestamp,
    },
}

impl Change {
    /// The size of its large parts, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Change::Record { messages, .. } | Change::Revived { messages, .. } => {
                messages.iter().map(|message| message.packed.size()).sum()
            }
            Change::Users { saved, .. } => saved.users.len(),
            Change::Counters { .. } | Change::Targets { .. } => 0,
        }
    }
}

/// Applies changes in one transaction.
pub(super) fn apply<'a>(
    connection: &mut Connection,
    changes: impl IntoIterator<Item = &'a Change>,
) -> Result<(), Fault> {
    let transaction = connection.transaction()?;
    for change in changes {
        match change {
            Change::Record { alerts, groups, silences, messages, settled, receivers } => {
                for (table, key, rows) in [
                    (ALERTS, "key", alerts),
                    (GROUPS, "key", groups),
                    (SILENCES, "id", silences),
                    (RECEIVERS, "name", receivers),
                ] {
                    for (of, state) in rows {
                        match state {
                            Some(state) => table.put(&transaction, &[text(of), text(state)])?,
                            None => table.remove(&transaction, key, of)?,
                        }
                    }
                }
                outbox::append(&transaction, messages)?;
                outbox::settle(&transaction, settled)?;
            }
            Change::Revived { messages, outdated } => outbox::revive(&transaction, messages, outdated)?,
            Change::Users { target, saved } => {
                // A daemon may run for months without a reload; this change happens regularly.
                forget_left(&transaction, saved.read_at)?;
                users::put(&transaction, target, saved)?;
            }
            Change::Counters { target, families } => {
                for rows in families {
                    counters::commit(&transaction, target, rows)?;
                }
            }
            Change::Targets { kept, now } => retain(&transaction, kept, *now)?,
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Copies the state in memory to the database on the disk, atomically.
pub(super) fn catch_up(disk: &mut Connection, memory: &Connection) -> Result<(), Fault> {
    let transaction = disk.transaction()?;
    for table in HELD {
        table.clear(&transaction)?;
        table.copy(memory, &transaction)?;
    }
    outbox::bury(&transaction, &outbox::messages(memory, DEAD_LETTERS)?)?;
    USERS.copy(memory, &transaction)?;
    transaction.commit()?;
    Ok(())
}

/// Notes which targets are configured and when the others left, and deletes what is kept of those that left long ago.
fn retain(transaction: &Transaction<'_>, kept: &[String], now: Timestamp) -> Result<(), Fault> {
    forget_left(transaction, now)?;
    let mut left: Vec<String> = Vec::new();
    TARGETS.select(transaction, "WHERE left_at IS NULL", [], |row| {
        left.push(row.get("id")?);
        Ok(())
    })?;
    for id in left.iter().filter(|id| !kept.contains(id)) {
        TARGETS.put(transaction, &[text(id), ValueRef::Integer(now.as_millis())])?;
    }
    for id in kept {
        TARGETS.put(transaction, &[text(id), ValueRef::Null])?;
    }
    // Rows of targets that were forgotten while the disk was away.
    for table in [USERS, COUNTERS] {
        let sql = format!("DELETE FROM {} WHERE target NOT IN (SELECT id FROM targets)", table.name);
        transaction.execute(&sql, [])?;
    }
    Ok(())
}

/// Deletes what is kept of targets that left the configuration long ago.
fn forget_left(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), Fault> {
    let until = now.as_millis().saturating_sub(KEPT_AFTER_LEAVING_MS);
    let mut gone: Vec<String> = Vec::new();
    TARGETS.select(transaction, "WHERE left_at <= ?", [until], |row| {
        gone.push(row.get("id")?);
        Ok(())
    })?;
    for id in &gone {
        for (table, column) in [(USERS, "target"), (COUNTERS, "target"), (TARGETS, "id")] {
            table.remove(transaction, column, id)?;
        }
    }
    Ok(())
}

/// Removes the notices of a change of an earlier version whose last transaction is missing.
pub(super) fn undo_unfinished(connection: &mut Connection) -> Result<(), Fault> {
    let Some(first) = META.get(connection, "key", UNFINISHED, |row| row.get::<_, String>("value"))? else {
        return Ok(());
    };
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM outbox WHERE seq >= CAST(? AS INTEGER)", [first])?;
    META.remove(&transaction, "key", UNFINISHED)?;
    transaction.commit()?;
    Ok(())
}
