//! The saved lists of users, one for each target.

use rusqlite::{Connection, Transaction, types::ValueRef};

use super::{fault::Fault, schema::USERS, table::text};
use crate::model::Timestamp;

/// The last complete read of a target's users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedUsers {
    /// When the read ended.
    pub read_at: Timestamp,
    /// When the read began.
    pub started: Timestamp,
    /// The users, in a form that the store does not interpret.
    pub users: Vec<u8>,
}

/// The row of a target's users, if there is one.
pub(super) fn load(connection: &Connection, target: &str) -> Result<Option<SavedUsers>, Fault> {
    USERS.get(connection, "target", target, |row| {
        Ok(SavedUsers {
            read_at: Timestamp::from_millis(row.get("read_at")?),
            started: Timestamp::from_millis(row.get("started")?),
            users: row.get("rows")?,
        })
    })
}

pub(super) fn put(transaction: &Transaction<'_>, target: &str, saved: &SavedUsers) -> Result<(), Fault> {
    let [read_at, started] = [saved.read_at, saved.started].map(|time| ValueRef::Integer(time.as_millis()));
    USERS.put(transaction, &[text(target), read_at, started, ValueRef::Blob(&saved.users)])
}
