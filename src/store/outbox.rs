//! The outbox (notices to deliver, in order) and the dead letters (notices that were given up).

use std::collections::{HashMap, VecDeque};

use rusqlite::{
    Connection, Row, Transaction,
    types::{Value, ValueRef},
};

use super::{
    error::StoreError,
    fault::Fault,
    schema::{DEAD_LETTERS, OUTBOX},
    table::{Table, text},
};
use crate::model::{Notice, Timestamp};

/// How many dead letters are kept.
const DEAD_LETTERS_KEPT: usize = 1000;

/// A notice that is not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub notice: Notice,
    /// The addresses that accepted it so far.
    pub done: Vec<String>,
    /// When it entered the queue; for a merged notice, when the oldest of its parts did.
    pub queued_at: Timestamp,
}

/// The outcome of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is removed from the outbox.
    Delivered,
    /// It becomes a dead letter. The newest 1000 dead letters are kept.
    Abandoned,
    /// It stays pending after an attempt. `done` lists all addresses that accepted it so far.
    Attempted { done: Vec<String> },
}

/// A notice on its way to the outbox.
#[derive(Debug)]
pub(super) struct Queued {
    id: String,
    receiver: String,
    group: String,
    created_at: Timestamp,
    /// The notice as JSON.
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

/// The place of a notice in the queue, its age, and the addresses that accepted it.
struct Position {
    seq: i64,
    queued_at: i64,
    done: String,
}

/// The lowest and the highest `seq` in the outbox. The writer keeps them, because a query for them scans every row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    first: i64,
    pub(super) last: i64,
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

/// The notices of the outbox or the dead letters, in order.
pub(super) fn pending(connection: &Connection, table: Table) -> Result<Vec<Pending>, Fault> {
    let mut list = Vec::new();
    table.each(connection, "seq", |row| {
        list.push(Pending {
            notice: table.json(&row.get::<_, String>("notice")?)?,
            done: table.json(&row.get::<_, String>("done")?)?,
            queued_at: Timestamp::from_millis(row.get("queued_at")?),
        });
        Ok(())
    })?;
    Ok(list)
}

fn position(transaction: &Transaction<'_>, id: &str) -> Result<Option<Position>, Fault> {
    OUTBOX.get(transaction, "id", id, |row| {
        Ok(Position { seq: row.get("seq")?, queued_at: row.get("queued_at")?, done: row.get("done")? })
    })
}

/// Adds a notice at the end of the queue. A notice that is already in the queue keeps its place.
pub(super) fn append(transaction: &Transaction<'_>, notice: &Queued, ends: &mut Ends) -> Result<(), Fault> {
    let position = match position(transaction, &notice.id)? {
        Some(position) => position,
        None => ends.next(notice),
    };
    enqueue(transaction, notice, &position)
}

/// Applies outcomes to notices, by id. Abandoned notices become dead letters.
pub(super) fn settle(transaction: &Transaction<'_>, notices: &[(String, Settlement)]) -> Result<(), Fault> {
    let mut letters = VecDeque::new();
    for (id, outcome) in notices {
        letters.extend(settle_one(transaction, id, outcome)?);
        // More would be deleted right after it is written.
        if letters.len() > DEAD_LETTERS_KEPT {
            letters.pop_front();
        }
    }
    bury(transaction, letters)
}

/// Applies one outcome; a notice that is not pending is ignored. Returns the row of an abandoned notice.
fn settle_one(
    transaction: &Transaction<'_>,
    id: &str,
    outcome: &Settlement,
) -> Result<Option<[Value; 7]>, Fault> {
    // A notice with thousands of alerts takes megabytes, so the row is read only if needed.
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

/// Moves dead letters, given oldest first, to the front of the queue, and deletes those with the ids `outdated`.
pub(super) fn revive(
    transaction: &Transaction<'_>,
    notices: &[Queued],
    outdated: &[String],
    ends: &mut Ends,
) -> Result<(), Fault> {
    for notice in notices.iter().rev() {
        // The notices in the queue are newer.
        ends.first = ends.first.saturating_sub(1);
        enqueue(transaction, notice, &at(ends.first, notice))?;
    }
    for id in notices.iter().map(|notice| &notice.id).chain(outdated) {
        DEAD_LETTERS.remove(transaction, "id", id)?;
    }
    Ok(())
}

/// Replaces the notices with the ids `old_ids` by `notice`, at the place of the newest of them and with the age of the
/// oldest. If none of them is pending, `notice` goes to the end of the queue.
pub(super) fn replace(
    transaction: &Transaction<'_>,
    old_ids: &[String],
    notice: &Queued,
    ends: &mut Ends,
) -> Result<(), Fault> {
    let mut place: Option<Position> = None;
    for id in old_ids {
        if let Some(old) = position(transaction, id)? {
            OUTBOX.remove(transaction, "id", id)?;
            place = Some(match place {
                None => Position { done: "[]".into(), ..old },
                Some(place) => Position {
                    // The queue is in order of events: of two notices about one alert, the later is the valid one.
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
    enqueue(transaction, notice, &position)
}

/// A place in the queue for a notice that no address has accepted yet.
fn at(seq: i64, notice: &Queued) -> Position {
    Position { seq, queued_at: notice.created_at.as_millis(), done: "[]".into() }
}

fn enqueue(transaction: &Transaction<'_>, notice: &Queued, position: &Position) -> Result<(), Fault> {
    let Queued { id, receiver, group, json, .. } = notice;
    let (seq, queued_at) = (ValueRef::Integer(position.seq), ValueRef::Integer(position.queued_at));
    let values = [text(id), seq, text(receiver), text(group), queued_at, text(&position.done), text(json)];
    OUTBOX.put(transaction, &values)
}

/// Id and size in bytes of each notice whose `seq` is at least `first`, in order.
pub(super) fn sizes(connection: &Connection, first: i64) -> Result<Vec<(String, usize)>, Fault> {
    let sql = "SELECT id, octet_length(notice) FROM outbox WHERE seq >= ? ORDER BY seq";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([first], |row| {
        Ok((row.get(0)?, usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default()))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Copies the notice `id` from the outbox of `from`, unless `to` has a notice with this id. Returns whether it did.
pub(super) fn copy_missing(from: &Connection, to: &Transaction<'_>, id: &str) -> Result<bool, Fault> {
    if position(to, id)?.is_some() {
        return Ok(false);
    }
    let row = OUTBOX.get(from, "id", id, owned)?;
    row.iter().try_for_each(|row| OUTBOX.put(to, &borrowed(row)))?;
    Ok(row.is_some())
}

/// Removes the notices that are missing from the outbox of `like` or differ there.
pub(super) fn remove_different(transaction: &Transaction<'_>, like: &Connection) -> Result<(), Fault> {
    let sums = |connection: &Connection| {
        let mut statement = connection.prepare("SELECT id, digest FROM outbox")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<HashMap<String, i64>>>()
    };
    let like = sums(like)?;
    for (id, sum) in sums(transaction)? {
        if like.get(&id) != Some(&sum) {
            OUTBOX.remove(transaction, "id", &id)?;
        }
    }
    Ok(())
}

/// Appends the dead letters of `from` to those of `to`.
pub(super) fn copy_dead_letters(from: &Connection, to: &Transaction<'_>) -> Result<(), Fault> {
    let mut letters = Vec::new();
    DEAD_LETTERS.each(from, "seq", |row| {
        letters.push(owned(row)?);
        Ok(())
    })?;
    bury(to, letters)
}

/// Appends rows of the outbox to the dead letters, and deletes the oldest beyond [`DEAD_LETTERS_KEPT`].
fn bury(transaction: &Transaction<'_>, rows: impl IntoIterator<Item = [Value; 7]>) -> Result<(), Fault> {
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

/// A row of the outbox or the dead letters, without its checksum.
fn owned(row: &Row<'_>) -> rusqlite::Result<[Value; 7]> {
    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?])
}

fn borrowed(row: &[Value; 7]) -> [ValueRef<'_>; 7] {
    row.each_ref().map(ValueRef::from)
}
