//! The tables, and how a database of an earlier version comes to have them.

use rusqlite::Connection;

use super::table::Table;

/// Each brings a database from the version that is its index to the next. One that was released is never changed;
/// what is to be otherwise is another one.
///
/// All tables are WITHOUT ROWID and have no further index: then a table is one tree, whose order and content are
/// checked when the file is opened.
const MIGRATIONS: [&str; 2] = [
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
    // No program wrote the table `counters` of the first version.
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
];

/// The state of each alert, as its owner wrote it.
pub(super) const ALERTS: Table = Table { name: "alerts", columns: 3 };
/// The state of each group of alerts, as its owner wrote it.
pub(super) const GROUPS: Table = Table { name: "groups", columns: 3 };
/// Notices to be delivered, in the order of `seq`. Times are milliseconds since the Unix epoch, `done` is a JSON list.
pub(super) const OUTBOX: Table = Table { name: "outbox", columns: 8 };
/// Notices that were given up, the last one with the highest `seq`; otherwise like the outbox.
pub(super) const DEAD_LETTERS: Table = Table { name: "dead_letters", columns: 8 };
/// What is remembered of each receiver, as JSON.
pub(super) const RECEIVERS: Table = Table { name: "receivers", columns: 3 };
/// The last finished read of each target's users.
pub(super) const USERS: Table = Table { name: "users", columns: 5 };
/// Counters that continue after a restart: per target, family and label set (a text that only the owner understands)
/// `ints`, a JSON list of unsigned integers.
pub(super) const COUNTERS: Table = Table { name: "counters", columns: 5 };
/// Every target whose users and counters are kept. `left_at` is when it left the configuration, in milliseconds since the
/// Unix epoch, and NULL while it is configured.
pub(super) const TARGETS: Table = Table { name: "targets", columns: 3 };
/// What the file says of itself.
pub(super) const META: Table = Table { name: "meta", columns: 3 };

/// Every table.
pub(super) const ALL: [Table; 9] =
    [ALERTS, GROUPS, OUTBOX, DEAD_LETTERS, RECEIVERS, USERS, COUNTERS, TARGETS, META];

/// Those whose content is held in memory too, to be written whole when a disk that failed takes it again.
pub(super) const HELD: [Table; 6] = [ALERTS, GROUPS, OUTBOX, RECEIVERS, COUNTERS, TARGETS];

/// Those that are held in memory only until the disk has taken them.
pub(super) const HANDED_ON: [Table; 2] = [DEAD_LETTERS, USERS];

/// The version that this program writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Brings a database of `version` up to date, each step wholly or not at all.
pub(super) fn migrate(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    for (reached, migration) in (1_i64..).zip(MIGRATIONS).skip(version) {
        let step = connection.transaction()?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "user_version", reached)?;
        step.commit()?;
    }
    Ok(())
}

/// Every column of some tables, as SQLite understands them, to compare one database with another.
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
