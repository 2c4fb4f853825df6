//! A storage whose files other programs remove, replace or change while the daemon runs and writes nothing.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    process::Output,
    thread,
};

use rusqlite::{Connection, OpenFlags};

use super::{BY_USER, QUIET};
use crate::common::{
    daemon::{Home, wait_for, webhook},
    hook::Hook,
    simulated::Served,
};

type Meddle = fn(&Path);

/// What is done to the folder, and the file or folder that the log names.
const CASES: [(&str, Meddle, &str); 8] = [
    ("log removed", |folder| fs::remove_file(folder.join("proxymeter.db-wal")).unwrap(), "proxymeter.db-wal"),
    (
        "index removed",
        |folder| fs::remove_file(folder.join("proxymeter.db-shm")).unwrap(),
        "proxymeter.db-shm",
    ),
    ("database removed", |folder| fs::remove_file(folder.join("proxymeter.db")).unwrap(), "proxymeter.db"),
    (
        "database cut",
        |folder| {
            content_in_the_database(folder).set_len(6000).unwrap();
        },
        "proxymeter.db",
    ),
    (
        "database overwritten",
        |folder| {
            content_in_the_database(folder).write_all_at(&[0xA5; 8192], 4096).unwrap();
        },
        "proxymeter.db",
    ),
    ("lock removed", |folder| fs::remove_file(folder.join("proxymeter.lock")).unwrap(), "proxymeter.lock"),
    ("folder removed", |folder| fs::remove_dir_all(folder).unwrap(), "storage"),
    ("folder renamed", |folder| fs::rename(folder, folder.with_extension("away")).unwrap(), "storage"),
];

/// The database file, which has everything. Otherwise its content may be in the log, which mends it.
fn content_in_the_database(folder: &Path) -> File {
    let file = folder.join("proxymeter.db");
    let other = Connection::open(&file).unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(other);
    File::options().write(true).open(file).unwrap()
}

/// The daemon notices it within a bounded time, says so once, and writes everything again: after a kill, the next one
/// repeats no notification and forgets none.
#[test]
fn files_that_are_taken_away_are_written_again_and_nothing_is_told_twice() {
    let _busy = QUIET.read();
    let cases = CASES.map(|case| thread::spawn(move || taken_away(case)));
    for case in cases {
        case.join().unwrap();
    }
}

fn taken_away((what, meddle, named): (&str, Meddle, &str)) {
    let (panel, hook) = (Served::start(), Hook::start());
    for user in 0..20 {
        panel.add_expired(&format!("user-{user}"));
    }
    let tables = format!("{}[users]\nlabels = \"hash\"\n", webhook("ops", hook.address));
    let home = Home::new(panel.address, BY_USER, &tables);
    let daemon = home.start();
    wait_for("the beginnings", || (hook.events().len() == 20).then_some(()));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    let read_at = daemon.users_read_at().unwrap();
    let key_file = home.storage().join("hash.key");
    let key = fs::read(&key_file).unwrap();
    // Nothing changes from now on but the list of users, which is read again.
    meddle(&home.storage());
    wait_for(what, || daemon.logged_at("the storage is writable again and complete"));
    wait_for("the key", || (fs::read(&key_file).ok().as_ref() == Some(&key)).then_some(()));
    assert_eq!(daemon.value("proxymeter_store_up"), Some(1.0), "{what}");
    daemon.wait_until_users_read_after(read_at);
    let log = daemon.log();
    let warned: Vec<_> = log.lines().filter(|line| line.contains("WARN") && line.contains(named)).collect();
    let said = |line: &&&str| {
        ["replaced or cut it", "a new one is written", "cannot be read", "not writable"]
            .iter()
            .any(|words| line.contains(words))
    };
    assert_eq!(warned.iter().filter(said).count(), 1, "{what}: {log}");

    // Others can read it, and none can use it.
    let database = home.storage().join("proxymeter.db");
    let reader = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let count = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let whole = count("SELECT count(*) FROM pragma_quick_check WHERE quick_check = 'ok'");
    assert_eq!((whole, count("SELECT count(*) FROM alerts")), (1, 20), "{what}");
    drop(reader);
    let Output { status, stderr, .. } = home.command().output().unwrap();
    assert_eq!(status.code(), Some(1), "{what}");
    assert!(String::from_utf8(stderr).unwrap().contains("another proxymeter"), "{what}");

    let read_at = daemon.users_read_at().unwrap();
    daemon.kill();
    panel.renew("user-0");
    let daemon = home.start();
    let first = daemon.wait_until_users_read_after(read_at);
    daemon.wait_until_users_read_after(first);
    wait_for("the end", || (hook.resolved() == 1).then_some(()));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    assert_eq!(hook.deliveries().len(), 21, "{what}: {:#?}", hook.events());
}
