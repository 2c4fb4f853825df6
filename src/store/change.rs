//! What can be done to the store, and how it is done to a database, be it on the disk or in memory.

use std::collections::VecDeque;

use rusqlite::{
    Connection, Row, Transaction,
    types::{Value, ValueRef},
};

use super::{
    SavedUsers, Settlement, StoreError, counters,
    database::Fault,
    schema::{ALERTS, COUNTERS, DEAD_LETTERS, GROUPS, META, OUTBOX, RECEIVERS, TARGETS, USERS},
};
use crate::model::{Notice, Timestamp};

/// Dead letters that are kept.
const DEAD_LETTERS_KEPT: usize = 1000;

/// How long users and counters of a target stay that left the configuration, in milliseconds: 30 days. A reload with a
/// mistake in it must not delete a history.
const KEPT_AFTER_LEAVING_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// Bytes of notices that one transaction holds. SQLite's log of recent changes grows with the largest transaction.
const MOST_AT_ONCE: usize = 8 << 20;

/// The row of `meta` that is present while a round is recorded in several transactions: the lowest `seq` of its notices.
const UNFINISHED: &str = "unfinished_round";

/// One call's worth of change. Everything is in the form it is stored in: `receiver` is a name and a state as JSON.
#[derive(Debug)]
pub(super) enum Change {
    Record {
        alerts: Vec<(String, Option<String>)>,
        groups: Vec<(String, Option<String>)>,
        notices: Vec<Queued>,
    },
    /// What became of notices that were pending, what is remembered of their receiver, and a notice about it.
    Settled {
        notices: Vec<(String, Settlement)>,
        receiver: Option<(String, String)>,
        told: Option<Queued>,
    },
    /// Notices that were given up are to be delivered after all, oldest first, and before all others; of those with
    /// the ids `outdated` nothing is left to send.
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
    /// `rows` are labels and values as JSON.
    Counters {
        target: String,
        family: String,
        rows: Vec<(String, String)>,
        gone: Vec<String>,
    },
    /// The targets of the configuration, by name and source, as of `now`.
    Targets {
        kept: Vec<(String, String)>,
        now: Timestamp,
    },
}

/// A notice on its way to the outbox.
#[derive(Debug)]
pub(super) struct Queued {
    id: String,
    receiver: String,
    group: String,
    created_at: Timestamp,
    pub(super) json: String,
}

impl Queued {
    pub(super) fn new(notice: &Notice) -> Result<Self, StoreError> {
        Ok(Queued {
            id: notice.id.clone(),
            receiver: notice.receiver.clone(),
            group: notice.group.clone(),
            created_at: notice.created_at,
            json: serde_json::to_string(notice)?,
        })
    }
}

/// Where in the queue a notice is, since when, and which addresses took it.
struct Position {
    seq: i64,
    queued_at: i64,
    done: String,
}

/// Both ends of the outbox: the lowest and the highest `seq` in use. The writer keeps them, because finding them takes
/// a look at every row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    first: i64,
    last: i64,
}

impl Ends {
    pub(super) fn of(connection: &Connection) -> Result<Self, Fault> {
        let sql = "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM outbox";
        Ok(connection.query_row(sql, [], |row| Ok(Ends { first: row.get(0)?, last: row.get(1)? }))?)
    }

    /// A new place at the end.
    fn next(&mut self, notice: &Queued) -> Position {
        self.last = self.last.saturating_add(1);
        at(self.last, notice)
    }
}

/// Makes a change, all of it or nothing, and returns the ends of the outbox after it.
///
/// A change is one transaction. Only a round with more than [`MOST_AT_ONCE`] bytes of notices takes several: first its
/// notices, under the mark [`UNFINISHED`], and with the last of them the alerts and groups that say that these notices
/// exist. If the process ends in between, [`undo_unfinished`] removes the notices, and the round is as if it had never
/// been. So no alert is recorded as notified without its notices, and no notice is sent whose alert is unknown.
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
                append(&transaction, notice, &mut ends)?;
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
            let mut letters = VecDeque::new();
            for (id, outcome) in notices {
                letters.extend(settle(&transaction, id, outcome)?);
                // The rest would be deleted as soon as it is written.
                if letters.len() > DEAD_LETTERS_KEPT {
                    letters.pop_front();
                }
            }
            bury(&transaction, letters)?;
            if let Some((name, state)) = receiver {
                RECEIVERS.put(&transaction, &[text(name), text(state)])?;
            }
            if let Some(notice) = told {
                append(&transaction, notice, &mut ends)?;
            }
        }
        Change::Revived { notices, outdated } => {
            for notice in notices.iter().rev() {
                // What waits there came later.
                ends.first = ends.first.saturating_sub(1);
                enqueue(&transaction, notice, &at(ends.first, notice))?;
            }
            for id in notices.iter().map(|notice| &notice.id).chain(outdated) {
                DEAD_LETTERS.remove(&transaction, "id", id)?;
            }
        }
        Change::Replaced { old_ids, notice } => {
            let mut place: Option<Position> = None;
            for id in old_ids {
                if let Some(old) = position(&transaction, id)? {
                    OUTBOX.remove(&transaction, "id", id)?;
                    place = Some(match place {
                        None => Position { done: "[]".into(), ..old },
                        Some(place) => Position {
                            // The order of rows is that of the news in them: of two about one alert the later one
                            // counts.
                            seq: place.seq.max(old.seq),
                            queued_at: place.queued_at.min(old.queued_at),
                            ..place
                        },
                    });
                }
            }
            let position = match place {
                Some(place) => place,
                None => ends.next(notice),
            };
            enqueue(&transaction, notice, &position)?;
        }
        Change::Users { target, saved } => {
            // The one regular moment at which a daemon that runs for months can do it.
            forget_left(&transaction, saved.read_at)?;
            put_users(&transaction, target, saved)?;
        }
        Change::Counters { target, family, rows, gone } => {
            counters::commit(&transaction, target, family, rows, gone)?;
        }
        Change::Targets { kept, now } => retain(&transaction, kept, *now)?,
    }
    transaction.commit()?;
    Ok(ends)
}

/// Notes which targets are configured and when the others left, and deletes what is kept of those that left long ago and
/// of those that are another system now.
fn retain(transaction: &Transaction<'_>, kept: &[(String, String)], now: Timestamp) -> Result<(), Fault> {
    forget_left(transaction, now)?;
    let mut known: Vec<(String, String, bool)> = Vec::new();
    TARGETS.select(transaction, "", [], |row| {
        known.push((row.get("name")?, row.get("source")?, row.get::<_, Option<i64>>("left_at")?.is_some()));
        Ok(())
    })?;
    for (name, source, has_left) in &known {
        match kept.iter().find(|(kept, _)| kept == name) {
            Some((_, present)) if present != source => forget(transaction, name)?,
            None if !has_left => {
                let left_at = ValueRef::Integer(now.as_millis());
                TARGETS.put(transaction, &[text(name), text(source), left_at])?;
            }
            Some(_) | None => {}
        }
    }
    for (name, source) in kept {
        TARGETS.put(transaction, &[text(name), text(source), ValueRef::Null])?;
    }
    // Rows of targets that were forgotten while the disk was away.
    for table in [USERS, COUNTERS] {
        let sql = format!("DELETE FROM {} WHERE target NOT IN (SELECT name FROM targets)", table.name);
        transaction.execute(&sql, [])?;
    }
    Ok(())
}

/// Deletes what is kept of a target.
fn forget(transaction: &Transaction<'_>, target: &str) -> Result<(), Fault> {
    COUNTERS.remove(transaction, "target", target)?;
    // While the disk is away it may have the users, so a row takes their place that has none.
    let never = Timestamp::from_secs(0);
    put_users(transaction, target, &SavedUsers { read_at: never, started: never, users: Vec::new() })
}

/// Deletes what is kept of targets that left the configuration long ago.
fn forget_left(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), Fault> {
    let until = now.as_millis().saturating_sub(KEPT_AFTER_LEAVING_MS);
    let mut gone: Vec<String> = Vec::new();
    TARGETS.select(transaction, "WHERE left_at <= ?", [until], |row| {
        gone.push(row.get("name")?);
        Ok(())
    })?;
    for name in &gone {
        for (table, column) in [(USERS, "target"), (COUNTERS, "target"), (TARGETS, "name")] {
            table.remove(transaction, column, name)?;
        }
    }
    Ok(())
}

fn put_users(transaction: &Transaction<'_>, target: &str, saved: &SavedUsers) -> Result<(), Fault> {
    let [read_at, started] = [saved.read_at, saved.started].map(|time| ValueRef::Integer(time.as_millis()));
    USERS.put(transaction, &[text(target), read_at, started, ValueRef::Blob(&saved.users)])
}

/// Removes the notices of a round that was not recorded to its end.
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

pub(super) fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

fn position(transaction: &Transaction<'_>, id: &str) -> Result<Option<Position>, Fault> {
    OUTBOX.get(transaction, "id", id, |row| {
        Ok(Position { seq: row.get("seq")?, queued_at: row.get("queued_at")?, done: row.get("done")? })
    })
}

/// Puts a notice at the end of the queue, or where it is already.
fn append(transaction: &Transaction<'_>, notice: &Queued, ends: &mut Ends) -> Result<(), Fault> {
    let position = match position(transaction, &notice.id)? {
        Some(position) => position,
        None => ends.next(notice),
    };
    enqueue(transaction, notice, &position)
}

/// Of a notice that is not pending there is nothing to settle. Returns the row of one that is to be a dead letter.
fn settle(
    transaction: &Transaction<'_>,
    id: &str,
    outcome: &Settlement,
) -> Result<Option<[Value; 7]>, Fault> {
    // Rows of thousands of alerts are megabytes: they are read only if needed.
    let row = || OUTBOX.get(transaction, "id", id, owned);
    match outcome {
        Settlement::Delivered => OUTBOX.remove(transaction, "id", id)?,
        Settlement::Abandoned => {
            let row = row()?;
            OUTBOX.remove(transaction, "id", id)?;
            return Ok(row);
        }
        Settlement::Attempted { done } => {
            if let Some(mut row) = row()? {
                row[5] = Value::Text(serde_json::json!(done).to_string());
                OUTBOX.put(transaction, &borrowed(&row))?;
            }
        }
    }
    Ok(None)
}

/// A place in the queue of a notice that no address has taken yet.
fn at(seq: i64, notice: &Queued) -> Position {
    Position { seq, queued_at: notice.created_at.as_millis(), done: "[]".into() }
}

fn enqueue(transaction: &Transaction<'_>, notice: &Queued, position: &Position) -> Result<(), Fault> {
    let Queued { id, receiver, group, json, .. } = notice;
    let (seq, queued_at) = (ValueRef::Integer(position.seq), ValueRef::Integer(position.queued_at));
    let values = [text(id), seq, text(receiver), text(group), queued_at, text(&position.done), text(json)];
    OUTBOX.put(transaction, &values)
}

/// Puts rows of the outbox last among the dead letters, and forgets those that are too many.
pub(super) fn bury(
    transaction: &Transaction<'_>,
    rows: impl IntoIterator<Item = [Value; 7]>,
) -> Result<(), Fault> {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let sql = "SELECT coalesce(max(seq), 0) FROM dead_letters";
    let mut seq: i64 = transaction.query_row(sql, [], |row| row.get(0))?;
    for mut row in rows {
        seq = seq.saturating_add(1);
        row[1] = Value::Integer(seq);
        DEAD_LETTERS.put(transaction, &borrowed(&row))?;
    }
    let sql = format!("DELETE FROM dead_letters WHERE seq <= ? - {DEAD_LETTERS_KEPT}");
    transaction.execute(&sql, [seq])?;
    Ok(())
}

/// A row of the outbox or of the dead letters, without its sum.
pub(super) fn owned(row: &Row<'_>) -> rusqlite::Result<[Value; 7]> {
    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?])
}

fn borrowed(row: &[Value; 7]) -> [ValueRef<'_>; 7] {
    row.each_ref().map(ValueRef::from)
}
