//! The changes of the store, and how each is applied to a database on the disk or in memory.

use rusqlite::{Connection, Transaction, types::ValueRef};

use super::{
    counters::{self, CounterRows},
    fault::Fault,
    outbox::{self, Ends, Queued, Settlement},
    schema::{ALERTS, COUNTERS, GROUPS, HELD, META, OUTBOX, RECEIVERS, TARGETS, USERS},
    table::text,
    users::{self, SavedUsers},
};
use crate::model::Timestamp;

/// How long users and counters of a target are kept after it left the configuration, in milliseconds: 30 days. A
/// mistake in the configuration must not delete a history.
const KEPT_AFTER_LEAVING_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// Bytes of new notices in one transaction. SQLite's write-ahead log grows to the size of the largest transaction.
const MOST_AT_ONCE: usize = 8 << 20;

/// The row of `meta` that marks a change in several transactions. Its value is the lowest `seq` of the new notices.
const UNFINISHED: &str = "unfinished_round";

/// The change of one call. All values are in their stored form: `receiver` is a name and a state as JSON.
#[derive(Debug)]
pub(super) enum Change {
    Record {
        alerts: Vec<(String, Option<String>)>,
        groups: Vec<(String, Option<String>)>,
        notices: Vec<Queued>,
    },
    /// Outcomes of pending notices, the new state of their receiver, and a notice about it.
    Settled {
        notices: Vec<(String, Settlement)>,
        receiver: Option<(String, String)>,
        told: Option<Queued>,
    },
    /// Dead letters return to the front of the queue, oldest first. The dead letters with the ids `outdated` are
    /// deleted.
    Revived {
        notices: Vec<Queued>,
        outdated: Vec<String>,
    },
    Replaced {
        old_ids: Vec<String>,
        notice: Queued,
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

/// Applies a change atomically and returns the ends of the outbox after it.
///
/// A change is one transaction, except a round with more than [`MOST_AT_ONCE`] bytes of notices. Its notices are
/// written first, in several transactions under the mark [`UNFINISHED`]. The last transaction also writes the alerts and groups
/// and removes the mark. If the process ends in between, [`undo_unfinished`] removes the notices. So no alert is
/// recorded as notified without its notices, and no notice is sent without its alert.
pub(super) fn apply(connection: &mut Connection, change: &Change, mut ends: Ends) -> Result<Ends, Fault> {
    let mut transaction = connection.transaction()?;
    match change {
        Change::Record { alerts, groups, notices } => {
            let first = ends.last.saturating_add(1).to_string();
            let mut held = 0;
            for notice in notices {
                if held > 0 && held + notice.json.len() > MOST_AT_ONCE {
                    META.put(&transaction, &[text(UNFINISHED), text(&first)])?;
                    transaction.commit()?;
                    transaction = connection.transaction()?;
                    held = 0;
                }
                held += notice.json.len();
                outbox::append(&transaction, notice, &mut ends)?;
            }
            META.remove(&transaction, "key", UNFINISHED)?;
            for (table, rows) in [(ALERTS, alerts), (GROUPS, groups)] {
                for (key, state) in rows {
                    match state {
                        Some(state) => table.put(&transaction, &[text(key), text(state)])?,
                        None => table.remove(&transaction, "key", key)?,
                    }
                }
            }
        }
        Change::Settled { notices, receiver, told } => {
            outbox::settle(&transaction, notices)?;
            if let Some((name, state)) = receiver {
                RECEIVERS.put(&transaction, &[text(name), text(state)])?;
            }
            if let Some(notice) = told {
                outbox::append(&transaction, notice, &mut ends)?;
            }
        }
        Change::Revived { notices, outdated } => {
            outbox::revive(&transaction, notices, outdated, &mut ends)?;
        }
        Change::Replaced { old_ids, notice } => {
            outbox::replace(&transaction, old_ids, notice, &mut ends)?;
        }
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
    transaction.commit()?;
    Ok(ends)
}

/// Copies the state in memory to the database on the disk, atomically.
///
/// New notices come first, in transactions of at most [`MOST_AT_ONCE`] bytes under the mark [`UNFINISHED`]. They change
/// no older row, so [`undo_unfinished`] restores the older state. The last transaction does the rest. Its size depends
/// on what changed in older rows, and on the users and the dead letters that wait for the disk.
pub(super) fn catch_up(disk: &mut Connection, memory: &Connection) -> Result<(), Fault> {
    let first_new = Ends::of(disk)?.last.saturating_add(1);
    let mut transaction = disk.transaction()?;
    let mut held = 0;
    for (id, size) in outbox::sizes(memory, first_new)? {
        if held > 0 && held + size > MOST_AT_ONCE {
            META.put(&transaction, &[text(UNFINISHED), text(&first_new.to_string())])?;
            transaction.commit()?;
            transaction = disk.transaction()?;
            held = 0;
        }
        if outbox::copy_missing(memory, &transaction, &id)? {
            held += size;
        }
    }
    META.remove(&transaction, "key", UNFINISHED)?;
    outbox::remove_different(&transaction, memory)?;
    for (id, _) in outbox::sizes(memory, i64::MIN)? {
        outbox::copy_missing(memory, &transaction, &id)?;
    }
    for table in HELD.into_iter().filter(|table| table.name != OUTBOX.name) {
        table.clear(&transaction)?;
        table.copy(memory, &transaction)?;
    }
    outbox::copy_dead_letters(memory, &transaction)?;
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

/// Removes the notices of a change whose last transaction is missing.
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
