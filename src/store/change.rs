//! What can be done to the store, and how it is done to a database, be it on the disk or in memory.

use rusqlite::{
    Connection, Row, Transaction,
    types::{Value, ValueRef},
};

use super::{
    Outcome, SavedUsers, StoreError,
    database::Fault,
    schema::{ALERTS, COUNTERS, DEAD_LETTERS, GROUPS, OUTBOX, RECEIVERS, USERS},
};
use crate::model::{Notice, Timestamp};

/// Dead letters that are kept.
const DEAD_LETTERS_KEPT: i64 = 1000;

/// One call's worth of change. Everything is in the form it is stored in: `receiver` is a name and a state as JSON,
/// `kept` is a JSON list of texts.
#[derive(Debug)]
pub(super) enum Change {
    Record {
        alerts: Vec<(String, Option<String>)>,
        groups: Vec<(String, Option<String>)>,
        notices: Vec<Queued>,
    },
    /// What became of notices that were pending, what is remembered of their receiver, and what is to be told of it.
    Settled {
        notices: Vec<(String, Outcome)>,
        receiver: Option<(String, String)>,
        told: Option<Queued>,
    },
    /// Notices that were given up are to be delivered after all, oldest first, and before all others; of those with
    /// the ids `outdated` nothing is left to be told.
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
    Targets {
        kept: String,
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

/// Where in the queue a notice stands, since when, and who took it.
struct Standing {
    seq: i64,
    queued_at: i64,
    done: String,
}

/// Makes a change in one transaction.
pub(super) fn apply(connection: &mut Connection, change: &Change) -> Result<(), Fault> {
    let transaction = connection.transaction()?;
    match change {
        Change::Record { alerts, groups, notices } => {
            for (table, rows) in [(ALERTS, alerts), (GROUPS, groups)] {
                for (key, state) in rows {
                    match state {
                        Some(state) => table.put(&transaction, &[text(key), text(state)])?,
                        None => table.remove(&transaction, "key", key)?,
                    }
                }
            }
            for notice in notices {
                append(&transaction, notice)?;
            }
        }
        Change::Settled { notices, receiver, told } => {
            for (id, outcome) in notices {
                settle(&transaction, id, outcome)?;
            }
            if let Some((name, state)) = receiver {
                RECEIVERS.put(&transaction, &[text(name), text(state)])?;
            }
            if let Some(notice) = told {
                append(&transaction, notice)?;
            }
        }
        Change::Revived { notices, outdated } => {
            for notice in notices.iter().rev() {
                prepend(&transaction, notice)?;
            }
            for id in notices.iter().map(|notice| &notice.id).chain(outdated) {
                DEAD_LETTERS.remove(&transaction, "id", id)?;
            }
        }
        Change::Replaced { old_ids, notice } => {
            let mut place: Option<Standing> = None;
            for id in old_ids {
                if let Some(old) = standing(&transaction, id)? {
                    OUTBOX.remove(&transaction, "id", id)?;
                    place = Some(match place {
                        None => Standing { done: "[]".into(), ..old },
                        Some(place) => Standing {
                            // The order of rows is that of the news in them: of two that tell of one alert the
                            // later one counts.
                            seq: place.seq.max(old.seq),
                            queued_at: place.queued_at.min(old.queued_at),
                            ..place
                        },
                    });
                }
            }
            let standing = match place {
                Some(place) => place,
                None => last(&transaction, notice)?,
            };
            enqueue(&transaction, notice, &standing)?;
        }

        Change::Users { target, saved } => {
            let times = [saved.read_at, saved.started].map(|time| ValueRef::Integer(time.as_millis()));
            let [read_at, started] = times;
            USERS.put(&transaction, &[text(target), read_at, started, ValueRef::Blob(&saved.users)])?;
        }
        Change::Targets { kept } => {
            for table in [USERS, COUNTERS] {
                let sql = format!(
                    "DELETE FROM {} WHERE target NOT IN (SELECT value FROM json_each(?))",
                    table.name
                );
                transaction.execute(&sql, [kept])?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

fn standing(transaction: &Transaction<'_>, id: &str) -> Result<Option<Standing>, Fault> {
    OUTBOX.get(transaction, "id", id, |row| {
        Ok(Standing { seq: row.get("seq")?, queued_at: row.get("queued_at")?, done: row.get("done")? })
    })
}

/// Puts a notice at the end of the queue, or where it stands already.
fn append(transaction: &Transaction<'_>, notice: &Queued) -> Result<(), Fault> {
    let standing = match standing(transaction, &notice.id)? {
        Some(standing) => standing,
        None => last(transaction, notice)?,
    };
    enqueue(transaction, notice, &standing)
}

/// Puts a notice at the front of the queue: what waits there came later.
fn prepend(transaction: &Transaction<'_>, notice: &Queued) -> Result<(), Fault> {
    let sql = "SELECT coalesce(min(seq), 1) - 1 FROM outbox";
    let seq = transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    enqueue(transaction, notice, &at(seq, notice))
}

/// Of a notice that is not pending there is nothing to settle.
fn settle(transaction: &Transaction<'_>, id: &str, outcome: &Outcome) -> Result<(), Fault> {
    // Rows of thousands of alerts are megabytes: they are read only for those who need them.
    let row = || OUTBOX.get(transaction, "id", id, owned);
    match outcome {
        Outcome::Delivered => OUTBOX.remove(transaction, "id", id)?,
        Outcome::Abandoned => {
            if let Some(row) = row()? {
                bury(transaction, row)?;
                OUTBOX.remove(transaction, "id", id)?;
            }
        }
        Outcome::Attempted { done } => {
            if let Some(mut row) = row()? {
                row[5] = Value::Text(serde_json::json!(done).to_string());
                OUTBOX.put(transaction, &borrowed(&row))?;
            }
        }
    }
    Ok(())
}

/// The end of the queue.
fn last(transaction: &Transaction<'_>, notice: &Queued) -> Result<Standing, Fault> {
    Ok(at(next_seq(transaction, OUTBOX.name)?, notice))
}

/// A place in the queue of a notice that nobody has taken yet.
fn at(seq: i64, notice: &Queued) -> Standing {
    Standing { seq, queued_at: notice.created_at.as_millis(), done: "[]".into() }
}

fn next_seq(transaction: &Transaction<'_>, table: &str) -> Result<i64, Fault> {
    let sql = format!("SELECT coalesce(max(seq), 0) + 1 FROM {table}");
    Ok(transaction.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
}

fn enqueue(transaction: &Transaction<'_>, notice: &Queued, standing: &Standing) -> Result<(), Fault> {
    let Queued { id, receiver, group, json, .. } = notice;
    let (seq, queued_at) = (ValueRef::Integer(standing.seq), ValueRef::Integer(standing.queued_at));
    let values = [text(id), seq, text(receiver), text(group), queued_at, text(&standing.done), text(json)];
    OUTBOX.put(transaction, &values)
}

/// Puts a row of the outbox last among the dead letters, and forgets those that are too many.
pub(super) fn bury(transaction: &Transaction<'_>, mut row: [Value; 7]) -> Result<(), Fault> {
    let seq = next_seq(transaction, DEAD_LETTERS.name)?;
    row[1] = Value::Integer(seq);
    DEAD_LETTERS.put(transaction, &borrowed(&row))?;
    let sql = "DELETE FROM dead_letters WHERE seq <= ?";
    transaction.prepare_cached(sql)?.execute([seq.saturating_sub(DEAD_LETTERS_KEPT)])?;
    Ok(())
}

/// A row of the outbox or of the dead letters, without its sum.
pub(super) fn owned(row: &Row<'_>) -> rusqlite::Result<[Value; 7]> {
    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?])
}

fn borrowed(row: &[Value; 7]) -> [ValueRef<'_>; 7] {
    row.each_ref().map(ValueRef::from)
}
