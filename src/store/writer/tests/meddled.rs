//! What other programs do to the folder and its files while the store runs.

use std::io::{Seek, SeekFrom};

use super::*;

/// A store with something in every table, and the folder above its own.
async fn filled() -> (tempfile::TempDir, PathBuf, Store) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    let Opened { store, problem, .. } = opened(&folder);
    assert_eq!(problem, None);
    let messages = vec![message("sent"), message("given up"), message("waits")];
    store.record(Batch { messages, ..alert("a", "1") }).await.unwrap();
    store.record(settled(["sent"], &Settlement::Delivered)).await.unwrap();
    store.record(settled(["given up"], &Settlement::Abandoned)).await.unwrap();
    store.retain_targets(&["home".to_owned()], NOW).await.unwrap();
    store.save_users("home", users()).await.unwrap();
    fs::write(folder.join("hash.key"), KEY).unwrap();
    store.keep_hash_key(KEY.to_vec());
    (root, folder, store)
}

const KEY: [u8; 32] = [7; 32];

fn users() -> SavedUsers {
    SavedUsers { read_at: NOW, started: NOW, users: b"alice".to_vec() }
}

/// The next check is now, although no change is written.
async fn check(store: &Store) {
    meddle(store, |writer| place(writer).check_at = Instant::now()).await;
    // An answer comes after the work before it.
    store.load_counters("home").await.unwrap();
}

/// What another process would find if this one were killed now.
async fn after_kill(folder: &Path) -> (Vec<String>, Vec<String>, Vec<String>, Option<SavedUsers>) {
    let killed = tempfile::tempdir().unwrap();
    for name in names(folder).iter().filter(|name| name.starts_with("proxymeter.db")) {
        if folder.join(name).is_file() {
            fs::copy(folder.join(name), killed.path().join(name)).unwrap();
        }
    }
    let Opened { store, loaded, problem } = opened(killed.path());
    assert_eq!(problem, None);
    let dead = store.dead_letters().await.unwrap().into_iter().map(|message| message.id).collect();
    let alerts = loaded.alerts.into_iter().map(|(key, _)| key).collect();
    let outbox = loaded.outbox.into_iter().map(|message| message.id).collect();
    (alerts, outbox, dead, store.load_users("home").await.unwrap())
}

async fn assert_whole(folder: &Path, alerts: &[&str], what: &str) {
    let (found, outbox, dead, kept) = after_kill(folder).await;
    assert_eq!(
        (found, outbox),
        (alerts.iter().map(|key| (*key).to_owned()).collect(), vec!["waits".into()]),
        "{what}"
    );
    assert_eq!((dead, kept), (vec!["given up".to_owned()], Some(users())), "{what}");
    assert_eq!(fs::read(folder.join("hash.key")).ok(), Some(KEY.to_vec()), "{what}");
}

type Meddling = fn(&Path);

fn remove(folder: &Path, name: &str) {
    fs::remove_file(folder.join(name)).unwrap();
}

fn overwrite(file: PathBuf, from: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(bytes).unwrap();
}

const MEDDLING: [(&str, Meddling); 20] = [
    ("key removed", |folder| remove(folder, "hash.key")),
    // The system kills a process that reads what was cut off.
    ("index cut", |folder| {
        File::options().write(true).open(folder.join("proxymeter.db-shm")).unwrap().set_len(0).unwrap();
    }),
    ("index overwritten", |folder| overwrite(folder.join("proxymeter.db-shm"), 0, &[0xA5; 32_768])),
    ("log removed", |folder| remove(folder, "proxymeter.db-wal")),
    ("index removed", |folder| remove(folder, "proxymeter.db-shm")),
    ("log and index removed", |folder| {
        remove(folder, "proxymeter.db-wal");
        remove(folder, "proxymeter.db-shm");
    }),
    ("log replaced", |folder| {
        remove(folder, "proxymeter.db-wal");
        fs::write(folder.join("proxymeter.db-wal"), "garbage").unwrap();
    }),
    ("log cut", |folder| {
        File::options().write(true).open(folder.join("proxymeter.db-wal")).unwrap().set_len(100).unwrap();
    }),
    ("log emptied", |folder| {
        File::options().write(true).open(folder.join("proxymeter.db-wal")).unwrap().set_len(0).unwrap();
    }),
    ("log overwritten", |folder| overwrite(folder.join("proxymeter.db-wal"), 5000, &[0xA5; 5000])),
    ("database removed", |folder| remove(folder, "proxymeter.db")),
    ("database cut", |folder| {
        File::options().write(true).open(folder.join("proxymeter.db")).unwrap().set_len(5000).unwrap();
    }),
    ("database emptied", |folder| {
        File::options().write(true).open(folder.join("proxymeter.db")).unwrap().set_len(0).unwrap();
    }),
    ("database overwritten", |folder| overwrite(folder.join("proxymeter.db"), 4096, &[0xA5; 8192])),
    ("database replaced by another", |folder| {
        remove(folder, "proxymeter.db");
        fs::write(folder.join("proxymeter.db"), "precious").unwrap();
    }),
    ("database replaced by a folder", |folder| {
        remove(folder, "proxymeter.db");
        fs::create_dir(folder.join("proxymeter.db")).unwrap();
    }),
    ("database replaced by a broken link", |folder| {
        remove(folder, "proxymeter.db");
        std::os::unix::fs::symlink("nowhere", folder.join("proxymeter.db")).unwrap();
    }),
    ("folder removed", |folder| fs::remove_dir_all(folder).unwrap()),
    ("folder replaced", |folder| {
        fs::remove_dir_all(folder).unwrap();
        fs::create_dir(folder).unwrap();
    }),
    ("folder renamed", |folder| fs::rename(folder, folder.with_extension("away")).unwrap()),
];

#[tokio::test]
async fn files_that_are_removed_replaced_or_changed_are_written_again() {
    for (what, meddling) in MEDDLING {
        // Some of them after the state is in the database itself, and not only in the log.
        for checkpoints in [false, true] {
            let (_root, folder, store) = filled().await;
            let errors = store.status().errors;
            if checkpoints {
                meddle(&store, |writer| {
                    let disk = place(writer).disk.as_mut().unwrap();
                    disk.connection.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap();
                    disk.note_files();
                })
                .await;
                store.record(alert("b", "1")).await.unwrap();
            }
            let keys: &[&str] = if checkpoints { &["a", "b"] } else { &["a"] };
            meddling(&folder);
            check(&store).await;
            let status = store.status();
            assert!(status.up, "{what} {checkpoints}");
            assert_whole(&folder, keys, what).await;
            let counted = status.errors - errors;
            assert!(counted <= 2, "{what} {checkpoints}: {counted}");
            // It is said once, and the next check finds nothing.
            for _ in 0..2 {
                check(&store).await;
                assert_eq!(store.status().errors, errors + counted, "{what} {checkpoints}");
            }
            store.record(alert("c", "1")).await.unwrap();
            assert_whole(&folder, &[keys, &["c"]].concat(), what).await;
            store.close().await;
            assert_whole(&folder, &[keys, &["c"]].concat(), what).await;
        }
    }
}

/// A change that is written before the next check.
#[tokio::test]
async fn a_change_goes_to_the_files_that_are_there() {
    for (what, meddling) in MEDDLING {
        let (_root, folder, store) = filled().await;
        meddling(&folder);
        store.record(alert("b", "1")).await.ok();
        check(&store).await;
        assert!(store.status().up, "{what}");
        assert_whole(&folder, &["a", "b"], what).await;
    }
}

#[tokio::test]
async fn what_happens_just_before_the_end_costs_nothing() {
    for (what, meddling) in MEDDLING {
        // A file that another program has put there is not ours at a stop.
        if what.starts_with("database replaced") {
            continue;
        }
        let (_root, folder, store) = filled().await;
        meddling(&folder);
        store.close().await;
        assert_whole(&folder, &["a"], what).await;
    }
}

/// The backup is restored and the process is stopped, as a restart does.
#[tokio::test]
async fn a_backup_that_is_restored_before_a_stop_is_left_as_it_is() {
    for replaces_folder in [false, true] {
        let (root, folder, store) = filled().await;
        let backup = root.path().join("backup");
        let saved = opened(&backup).store;
        saved.record(alert("saved", "1")).await.unwrap();
        saved.close().await;
        if replaces_folder {
            fs::rename(&folder, folder.with_extension("away")).unwrap();
            fs::rename(&backup, &folder).unwrap();
        } else {
            fs::rename(backup.join(DATABASE), folder.join(DATABASE)).unwrap();
            remove(&folder, "proxymeter.db-wal");
            remove(&folder, "proxymeter.db-shm");
        }
        let before = fs::read(folder.join(DATABASE)).unwrap();
        store.close().await;
        assert_eq!(fs::read(folder.join(DATABASE)).unwrap(), before, "{replaces_folder}");
        assert!(!names(&folder).iter().any(|name| name.contains("unread")), "{:?}", names(&folder));
        let Opened { store, loaded, problem } = opened(&folder);
        assert_eq!((loaded.alerts, problem), (vec![("saved".into(), "1".into())], None));
        store.close().await;
    }
}

/// A loop of links stands for a folder that may not be entered, and for a network drive that fails.
#[tokio::test]
async fn a_folder_that_cannot_be_looked_at_is_not_a_missing_one() {
    for replaces in [false, true] {
        let (_root, folder, store) = filled().await;
        let away = folder.with_extension("away");
        fs::rename(&folder, &away).unwrap();
        std::os::unix::fs::symlink(&folder, &folder).unwrap();
        check(&store).await;
        assert!(!store.status().up);
        let err = store.record(alert("b", "1")).await.unwrap_err().to_string();
        assert!(err.contains("data: Too many levels of symbolic links"), "{err}");
        fs::remove_file(&folder).unwrap();
        fs::rename(&away, &folder).unwrap();
        if replaces {
            fs::write(folder.join("other"), "precious").unwrap();
            fs::rename(folder.join("other"), folder.join(DATABASE)).unwrap();
        }
        meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
        store.record(Batch::default()).await.unwrap();
        assert!(store.status().up);
        let mut unread = names(&folder);
        unread.retain(|name| name.contains(".unread-") && !name.ends_with("-wal") && !name.ends_with("-shm"));
        assert_eq!(unread.len(), usize::from(replaces), "{unread:?}");
        if replaces {
            assert_eq!(fs::read(folder.join(&unread[0])).unwrap(), b"precious");
        } else {
            assert_whole(&folder, &["a", "b"], "").await;
        }
        store.close().await;
    }
}

/// SQLite would wait for the reader with each check, and each would read the whole database.
#[tokio::test]
async fn a_reader_does_not_hold_up_the_writer() {
    let (_root, folder, store) = filled().await;
    let reader = Connection::open(folder.join(DATABASE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM alerts").unwrap();
    store.record(alert("b", "1")).await.unwrap();
    let file = File::options().write(true).open(folder.join(DATABASE)).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let began = Instant::now();
    check(&store).await;
    meddle(&store, |writer| {
        // Otherwise the next check would read it again.
        let disk = place(writer).disk.as_mut().unwrap();
        assert_eq!((disk.missing_file().unwrap(), disk.is_suspect, disk.empties_log), (None, false, true));
    })
    .await;
    check(&store).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    reader.execute_batch("COMMIT").unwrap();
    check(&store).await;
    assert_eq!(fs::metadata(folder.join("proxymeter.db-wal")).unwrap().len(), 0);
    assert!(store.status().up);
    assert_whole(&folder, &["a", "b"], "").await;
}

#[tokio::test]
async fn a_lock_file_that_is_removed_is_locked_again() {
    let (_root, folder, store) = filled().await;
    for _ in 0..2 {
        remove(&folder, "proxymeter.lock");
        assert!(matches!(Store::open(&folder, NOW), Err(StoreError::Locked { .. })));
        check(&store).await;
        assert!(folder.join("proxymeter.lock").exists() && store.status().up);
        assert!(matches!(Store::open(&folder, NOW), Err(StoreError::Locked { .. })));
    }
    assert!(!names(&folder).iter().any(|name| name.contains("unread")), "{:?}", names(&folder));
    assert_whole(&folder, &["a"], "").await;
}

/// Also while that one is stopped.
#[tokio::test]
async fn a_folder_that_another_store_took_is_left_to_it() {
    let (_root, folder, store) = filled().await;
    let away = folder.with_extension("away");
    fs::rename(&folder, &away).unwrap();
    let retry = async || {
        meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
        store.record(alert("b", "1")).await.unwrap_err().to_string()
    };
    let taken = "not on the disk yet: another proxymeter has taken the storage folder; stop one of the two, both \
                 send notifications";
    for key in ["other", "another"] {
        let other = opened(&folder).store;
        check(&store).await;
        assert!(!store.status().up);
        assert_eq!(retry().await, taken);
        other.record(alert(key, "1")).await.unwrap();
        other.close().await;
        assert_eq!(retry().await, taken);
    }
    let Opened { store: other, loaded, problem } = opened(&folder);
    assert_eq!((loaded.alerts.len(), problem), (2, None));
    other.close().await;
    assert_eq!(names(&folder), ["proxymeter.db", "proxymeter.lock"]);

    // A folder that is empty again belongs to no other store.
    fs::remove_dir_all(&folder).unwrap();
    meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
    store.record(Batch::default()).await.unwrap();
    assert_whole(&folder, &["a", "b"], "").await;
    store.close().await;
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_is_waited_for() {
    let (_root, folder, store) = filled().await;
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, b"in the way").unwrap();
    check(&store).await;
    assert!(!store.status().up);
    let err = store.record(alert("b", "1")).await.unwrap_err().to_string();
    assert!(err.contains("data: not a directory"), "{err}");
    fs::remove_file(&folder).unwrap();
    meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
    store.record(Batch::default()).await.unwrap();
    assert!(store.status().up);
    assert_whole(&folder, &["a", "b"], "").await;
}

#[tokio::test]
async fn a_folder_in_place_of_a_file_beside_the_database_is_named_and_waited_for() {
    for name in ["proxymeter.db-wal", "proxymeter.db-shm", "proxymeter.lock"] {
        let (_root, folder, store) = filled().await;
        remove(&folder, name);
        fs::create_dir(folder.join(name)).unwrap();
        check(&store).await;
        assert!(!store.status().up, "{name}");
        let err = store.record(alert("b", "1")).await.unwrap_err().to_string();
        assert!(err.contains(&format!("{name}: is a directory")), "{err}");
        fs::remove_dir(folder.join(name)).unwrap();
        meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
        store.record(Batch::default()).await.unwrap();
        assert!(store.status().up, "{name}");
        assert_whole(&folder, &["a", "b"], name).await;
    }
}

/// A folder that is renamed and back before a check is the same.
#[tokio::test]
async fn what_is_undone_in_time_changes_nothing() {
    let (_root, folder, store) = filled().await;
    let errors = store.status().errors;
    let away = folder.with_extension("away");
    fs::rename(&folder, &away).unwrap();
    fs::rename(&away, &folder).unwrap();
    // Programs that only read change nothing either.
    let reader =
        Connection::open_with_flags(folder.join(DATABASE), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap();
    let read = || -> i64 { reader.query_row("SELECT count(*) FROM alerts", [], |row| row.get(0)).unwrap() };
    assert_eq!(read(), 1);
    check(&store).await;
    store.record(alert("b", "1")).await.unwrap();
    assert_eq!(read(), 2);
    drop(reader);
    check(&store).await;
    assert_eq!(store.status().errors, errors);
    assert_eq!(
        names(&folder),
        ["hash.key", "proxymeter.db", "proxymeter.db-shm", "proxymeter.db-wal", "proxymeter.lock"]
    );
    // Nor do attributes that change late.
    let file = File::options().write(true).open(folder.join(DATABASE)).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    check(&store).await;
    assert_eq!(store.status().errors, errors);
    assert_eq!(fs::metadata(folder.join("proxymeter.db-wal")).unwrap().len(), 0, "the log is not trusted");
    assert_whole(&folder, &["a", "b"], "").await;
}
