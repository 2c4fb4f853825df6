//! The outbox (messages to deliver, in order) and the dead letters (messages that were given up).

use rusqlite::{Connection, Transaction, types::ValueRef};

use super::{
    fault::Fault,
    message::{Message, Packed, Settlement},
    schema::{DEAD_LETTERS, OUTBOX},
    table::{Table, text},
};
use crate::model::Timestamp;

/// How many dead letters are kept.
const DEAD_LETTERS_KEPT: usize = 1000;

/// The messages of the outbox or the dead letters, in order.
pub(super) fn messages(connection: &Connection, table: Table) -> Result<Vec<Message>, Fault> {
    let mut list = Vec::new();
    table.each(connection, "seq", |row| {
        list.push(message(table, row)?);
        Ok(())
    })?;
    Ok(list)
}

/// Adds messages at the end of the outbox. A message that is already there stays as it is.
pub(super) fn append(transaction: &Transaction<'_>, messages: &[Message]) -> Result<(), Fault> {
    let (_, last) = ends(transaction, OUTBOX)?;
    for (seq, message) in (last.saturating_add(1)..).zip(messages) {
        if OUTBOX.get(transaction, "id", &message.id, |_| Ok(()))?.is_none() {
            put(transaction, OUTBOX, seq, message)?;
        }
    }
    Ok(())
}

/// Applies outcomes to messages of the outbox, by id. Abandoned messages become dead letters. Unknown ids are ignored.
pub(super) fn settle(transaction: &Transaction<'_>, settled: &[(String, Settlement)]) -> Result<(), Fault> {
    let mut abandoned = Vec::new();
    for (id, outcome) in settled {
        match outcome {
            Settlement::Delivered => OUTBOX.remove(transaction, "id", id)?,
            Settlement::Abandoned => {
                abandoned.extend(recorded(transaction, id)?.map(|(_, message)| message));
                OUTBOX.remove(transaction, "id", id)?;
            }
            Settlement::Attempted { done } => {
                if let Some((seq, message)) = recorded(transaction, id)? {
                    put(transaction, OUTBOX, seq, &Message { done: done.clone(), ..message })?;
                }
            }
        }
    }
    bury(transaction, &abandoned)
}

/// Moves dead letters, given oldest first, to the front of the outbox, and deletes those with the ids `outdated`.
pub(super) fn revive(
    transaction: &Transaction<'_>,
    messages: &[Message],
    outdated: &[String],
) -> Result<(), Fault> {
    let (mut first, _) = ends(transaction, OUTBOX)?;
    for message in messages.iter().rev() {
        // The messages in the outbox are newer.
        first = first.saturating_sub(1);
        put(transaction, OUTBOX, first, message)?;
    }
    for id in messages.iter().map(|message| &message.id).chain(outdated) {
        DEAD_LETTERS.remove(transaction, "id", id)?;
    }
    Ok(())
}

/// Appends messages to the dead letters, and deletes the oldest beyond [`DEAD_LETTERS_KEPT`].
pub(super) fn bury(transaction: &Transaction<'_>, messages: &[Message]) -> Result<(), Fault> {
    if messages.is_empty() {
        return Ok(());
    }
    let (_, mut last) = ends(transaction, DEAD_LETTERS)?;
    for message in messages {
        last = last.saturating_add(1);
        put(transaction, DEAD_LETTERS, last, message)?;
    }
    let sql = format!("DELETE FROM dead_letters WHERE seq <= ? - {DEAD_LETTERS_KEPT}");
    transaction.execute(&sql, [last])?;
    Ok(())
}

/// The lowest and the highest `seq`. This reads every row, and there are few.
fn ends(connection: &Connection, table: Table) -> Result<(i64, i64), Fault> {
    let sql = format!("SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM {}", table.name);
    Ok(connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn put(transaction: &Transaction<'_>, table: Table, seq: i64, message: &Message) -> Result<(), Fault> {
    let Message { id, receiver, group, created_at, done, packed } = message;
    let done = serde_json::json!(done).to_string();
    let (seq, created_at) = (ValueRef::Integer(seq), ValueRef::Integer(created_at.as_millis()));
    let values = [text(id), seq, text(receiver), text(group), created_at, text(&done), packed.column()];
    table.put(transaction, &values)
}

/// The message of the outbox with this id, and its `seq`.
fn recorded(transaction: &Transaction<'_>, id: &str) -> Result<Option<(i64, Message)>, Fault> {
    let row = OUTBOX.get(transaction, "id", id, |row| Ok((row.get("seq")?, message(OUTBOX, row))))?;
    row.map(|(seq, message)| Ok((seq, message?))).transpose()
}

fn message(table: Table, row: &rusqlite::Row<'_>) -> Result<Message, Fault> {
    Ok(Message {
        id: row.get("id")?,
        receiver: row.get("receiver")?,
        group: row.get("group_key")?,
        created_at: Timestamp::from_millis(row.get("created_at")?),
        done: table.json(&row.get::<_, String>("done")?)?,
        packed: Packed::read(row.get_ref("notice")?)?,
    })
}
