//! The tables and their migrations.

use std::ops::Range;

use rusqlite::Connection;

use super::table::Table;

/// Each entry migrates a database from the version that is its index to the next one. Never change a released entry;
/// append a new one.
///
/// All tables are WITHOUT ROWID and have no further index. So each table is one tree, and its order and content are
/// checked when the file is opened.
const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE alerts (key TEXT PRIMARY KEY, state TEXT NOT NULL, digest INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;
    CREATE TABLE groups (key TEXT PRIMARY KEY, state TEXT NOT NULL, digest INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        receiver TEXT NOT NULL,
        group_key TEXT NOT NULL,
        queued_at INTEGER NOT NULL,
        done TEXT NOT NULL,
        notice TEXT NOT NULL,
        digest INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letters (
        id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        receiver TEXT NOT NULL,
        group_key TEXT NOT NULL,
        queued_at INTEGER NOT NULL,
        done TEXT NOT NULL,
        notice TEXT NOT NULL,
        digest INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE receivers (name TEXT PRIMARY KEY, state TEXT NOT NULL, digest INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;
    CREATE TABLE users (
        target TEXT PRIMARY KEY,
        read_at INTEGER NOT NULL,
        started INTEGER NOT NULL,
        rows BLOB NOT NULL,
        digest INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE counters (
        target TEXT NOT NULL,
        name TEXT NOT NULL,
        labels TEXT NOT NULL,
        value REAL NOT NULL,
        base REAL NOT NULL,
        updated_at INTEGER NOT NULL,
        digest INTEGER NOT NULL,
        PRIMARY KEY (target, name, labels)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, digest INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;
",
    // No program wrote to the table `counters` of version 1.
    "
    DROP TABLE counters;
    CREATE TABLE counters (
        target TEXT NOT NULL,
        family TEXT NOT NULL,
        labels TEXT NOT NULL,
        ints TEXT NOT NULL,
        digest INTEGER NOT NULL,
        PRIMARY KEY (target, family, labels)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE targets (id TEXT PRIMARY KEY, left_at INTEGER, digest INTEGER NOT NULL) STRICT, WITHOUT ROWID;
",
    // Until then, `notice` was a JSON text. The values of each row stay, and with them its checksum.
    "
    CREATE TABLE moved AS SELECT * FROM outbox;
    DROP TABLE outbox;
    CREATE TABLE outbox (
        id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        receiver TEXT NOT NULL,
        group_key TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        done TEXT NOT NULL,
        notice ANY NOT NULL,
        digest INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO outbox SELECT * FROM moved;
    DROP TABLE moved;
    CREATE TABLE moved AS SELECT * FROM dead_letters;
    DROP TABLE dead_letters;
    CREATE TABLE dead_letters (
        id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        receiver TEXT NOT NULL,
        group_key TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        done TEXT NOT NULL,
        notice ANY NOT NULL,
        digest INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO dead_letters SELECT * FROM moved;
    DROP TABLE moved;
",
    "
    CREATE TABLE silences (id TEXT PRIMARY KEY, state TEXT NOT NULL, digest INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;
",
];

/// The state of each alert, a text that the store does not interpret.
pub(super) const ALERTS: Table = Table { name: "alerts" };
/// The state of each group of alerts, a text that the store does not interpret.
pub(super) const GROUPS: Table = Table { name: "groups" };
/// Messages to deliver, in order of `seq`. Times are milliseconds since the Unix epoch, `done` is a JSON list, `notice`
/// is compressed JSON, or JSON in rows of earlier versions.
pub(super) const OUTBOX: Table = Table { name: "outbox" };
/// Messages that were given up; the newest has the highest `seq`. The columns are those of the outbox.
pub(super) const DEAD_LETTERS: Table = Table { name: "dead_letters" };
/// The state of each receiver, as JSON.
pub(super) const RECEIVERS: Table = Table { name: "receivers" };
/// The last complete read of each target's users.
pub(super) const USERS: Table = Table { name: "users" };
/// Counters that continue after a restart. `ints` is a JSON list of unsigned integers per target, family and label set
/// (a text that the store does not interpret).
pub(super) const COUNTERS: Table = Table { name: "counters" };
/// Every target whose users and counters are kept. `left_at` is when it left the configuration, in milliseconds since the
/// Unix epoch, and NULL while it is configured.
pub(super) const TARGETS: Table = Table { name: "targets" };
/// Each silence, a text that the store does not interpret.
pub(super) const SILENCES: Table = Table { name: "silences" };
/// Facts about the file itself.
pub(super) const META: Table = Table { name: "meta" };

/// Every table.
pub(super) const ALL: [Table; 10] =
    [ALERTS, GROUPS, OUTBOX, DEAD_LETTERS, RECEIVERS, USERS, COUNTERS, TARGETS, SILENCES, META];

/// The tables that memory holds too. They are written completely when a failed disk is writable again.
pub(super) const HELD: [Table; 7] = [ALERTS, GROUPS, OUTBOX, RECEIVERS, COUNTERS, TARGETS, SILENCES];

/// The tables whose rows stay in memory only until they are on the disk.
pub(super) const HANDED_ON: [Table; 2] = [DEAD_LETTERS, USERS];

/// The schema version of this program.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Migrates a database from one version to another. Each step is one transaction.
pub(super) fn migrate(connection: &mut Connection, versions: Range<usize>) -> rusqlite::Result<()> {
    for (reached, migration) in (1_i64..).zip(MIGRATIONS).take(versions.end).skip(versions.start) {
        let step = connection.transaction()?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "user_version", reached)?;
        step.commit()?;
    }
    Ok(())
}

/// The columns of some tables as SQLite describes them, to compare two databases.
pub(super) fn columns(connection: &Connection, tables: &[Table]) -> rusqlite::Result<Vec<String>> {
    let mut columns = Vec::new();
    for table in tables {
        let mut statement = connection.prepare(
            "SELECT concat_ws(' ', name, type, \"notnull\", pk, dflt_value) FROM pragma_table_info(?)",
        )?;
        for column in statement.query_map([table.name], |row| row.get::<_, String>(0))? {
            columns.push(format!("{}.{}", table.name, column?));
        }
    }
    Ok(columns)
}
