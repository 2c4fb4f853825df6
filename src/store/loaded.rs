//! The content of a store at its opening.

use rusqlite::Connection;

use super::{
    fault::Fault,
    message::Message,
    outbox,
    receiver::ReceiverState,
    schema::{ALERTS, GROUPS, OUTBOX, RECEIVERS, SILENCES},
};

/// The content of a store at its opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Key and state of every alert, by key.
    pub alerts: Vec<(String, String)>,
    /// Key and state of every group, by key.
    pub groups: Vec<(String, String)>,
    /// Id and state of every silence, by id.
    pub silences: Vec<(String, String)>,
    /// Messages that are neither delivered nor abandoned, oldest first.
    pub outbox: Vec<Message>,
    /// Every receiver with a recorded state, by name.
    pub receivers: Vec<(String, ReceiverState)>,
}

/// Reads the content from the copy in memory.
pub(super) fn load(memory: &Connection) -> Result<Loaded, Fault> {
    let mut loaded = Loaded::default();
    let tables = [
        (ALERTS, "key", &mut loaded.alerts),
        (GROUPS, "key", &mut loaded.groups),
        (SILENCES, "id", &mut loaded.silences),
    ];
    for (table, key, list) in tables {
        table.each(memory, key, |row| {
            list.push((row.get(key)?, row.get("state")?));
            Ok(())
        })?;
    }
    loaded.outbox = outbox::messages(memory, OUTBOX)?;
    RECEIVERS.each(memory, "name", |row| {
        loaded.receivers.push((row.get("name")?, RECEIVERS.json(&row.get::<_, String>("state")?)?));
        Ok(())
    })?;
    Ok(loaded)
}
