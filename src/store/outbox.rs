//! Notices that are yet to be delivered, in the order they are to go, and those that were given up.

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

/// Dead letters that are kept.
const DEAD_LETTERS_KEPT: usize = 1000;

/// A notice that is yet to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub notice: Notice,
    /// The addresses that took it already.
    pub done: Vec<String>,
    /// Since when it waits, or the oldest of the notices that it includes.
    pub queued_at: Timestamp,
}

/// What became of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is no longer pending.
    Delivered,
    /// Likewise; it is kept among the dead letters, of which there are the newest 1000.
    Abandoned,
    /// It was tried and remains pending. `done` are all addresses that took it so far.
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

/// The notices of the outbox or of the dead letters, in their order.
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

/// Puts a notice at the end of the queue, or where it is already.
pub(super) fn append(transaction: &Transaction<'_>, notice: &Queued, ends: &mut Ends) -> Result<(), Fault> {
    let position = match position(transaction, &notice.id)? {
        Some(position) => position,
        None => ends.next(notice),
    };
    enqueue(transaction, notice, &position)
}

/// Settles notices, by id. Those that were given up become dead letters.
pub(super) fn settle(transaction: &Transaction<'_>, notices: &[(String, Settlement)]) -> Result<(), Fault> {
    let mut letters = VecDeque::new();
    for (id, outcome) in notices {
        letters.extend(settle_one(transaction, id, outcome)?);
        // The rest would be deleted as soon as it is written.
        if letters.len() > DEAD_LETTERS_KEPT {
            letters.pop_front();
        }
    }
    bury(transaction, letters)
}

/// Of a notice that is not pending there is nothing to settle. Returns the row of one that is to be a dead letter.
fn settle_one(
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

/// Puts dead letters, oldest first, at the front of the queue, and deletes those with the ids `outdated`.
pub(super) fn revive(
    transaction: &Transaction<'_>,
    notices: &[Queued],
    outdated: &[String],
    ends: &mut Ends,
) -> Result<(), Fault> {
    for notice in notices.iter().rev() {
        // What waits there came later.
        ends.first = ends.first.saturating_sub(1);
        enqueue(transaction, notice, &at(ends.first, notice))?;
    }
    for id in notices.iter().map(|notice| &notice.id).chain(outdated) {
        DEAD_LETTERS.remove(transaction, "id", id)?;
    }
    Ok(())
}

/// Removes the notices with the ids `old_ids` and puts `notice` in the place of the newest of them, with the age of the
/// oldest. If none of them is pending, it goes to the end of the queue.
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
                    // The order of rows is that of the news in them: of two about one alert the later one counts.
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

/// The notices from `first` on, in their order: each id with the bytes of the notice.
pub(super) fn sizes(connection: &Connection, first: i64) -> Result<Vec<(String, usize)>, Fault> {
    let sql = "SELECT id, octet_length(notice) FROM outbox WHERE seq >= ? ORDER BY seq";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([first], |row| {
        Ok((row.get(0)?, usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default()))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Copies a notice that the outbox of another database holds, unless `to` has one with its id. Returns whether it did.
pub(super) fn copy_missing(from: &Connection, to: &Transaction<'_>, id: &str) -> Result<bool, Fault> {
    if position(to, id)?.is_some() {
        return Ok(false);
    }
    let row = OUTBOX.get(from, "id", id, owned)?;
    row.iter().try_for_each(|row| OUTBOX.put(to, &borrowed(row)))?;
    Ok(row.is_some())
}

/// Removes the notices that the outbox of `like` does not hold or holds otherwise.
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

/// Copies every dead letter to another database, last among those that it has.
pub(super) fn copy_dead_letters(from: &Connection, to: &Transaction<'_>) -> Result<(), Fault> {
    let mut letters = Vec::new();
    DEAD_LETTERS.each(from, "seq", |row| {
        letters.push(owned(row)?);
        Ok(())
    })?;
    bury(to, letters)
}

/// Puts rows of the outbox last among the dead letters, and forgets those that are too many.
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

/// A row of the outbox or of the dead letters, without its sum.
fn owned(row: &Row<'_>) -> rusqlite::Result<[Value; 7]> {
    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?])
}

fn borrowed(row: &[Value; 7]) -> [ValueRef<'_>; 7] {
    row.each_ref().map(ValueRef::from)
}
