//! A storage file that is cut, damaged, empty, or of another time never keeps the daemon from starting, and nothing that
//! comes out of it is other than what was put in.

use std::{collections::BTreeMap, fs, path::Path, sync::atomic::AtomicUsize, sync::atomic::Ordering, thread};

use proxymeter::{
    model::{CounterChange, CounterRow, Notice, NoticeAlert, NoticeStatus, Severity, Timestamp},
    store::{Batch, Loaded, Opened, ReceiverState, SavedUsers, Settled, Settlement, Store, StoreError},
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const DATABASE: &str = "proxymeter.db";

fn notice(id: &str) -> Notice {
    Notice {
        id: id.into(),
        receiver: "ops".into(),
        group: format!("{{}}:{{id=\"{id}\"}}"),
        group_labels: BTreeMap::new(),
        reason: "first notification".into(),
        alerts: vec![NoticeAlert {
            event: format!("evt_{id}"),
            status: NoticeStatus::Firing,
            severity: Severity::Warning,
            labels: [("alertname".to_owned(), "ProxymeterUserExpiry".to_owned())].into(),
            annotations: BTreeMap::new(),
            starts_at: NOW,
            ends_at: None,
        }],
        covers: Vec::new(),
        created_at: NOW,
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// In memory where the system has such a folder: thousands of files are opened here.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A database with something in every table that is in use, as a daemon leaves it, and what it holds.
fn filled() -> (Vec<u8>, Loaded) {
    let folder = folder();
    runtime().block_on(async {
        let Opened { store, .. } = Store::open(folder.path(), NOW).unwrap();
        let rows = |word: &str, count: usize| {
            (0..count).map(|n| (format!("{word}/{n}"), Some(format!("{{\"n\":{n}}}")))).collect()
        };
        let notices = &[0, 1, 2, 3, 4].map(|n| notice(&format!("msg_{n}")));
        store.record(Batch { alerts: rows("alert", 20), groups: rows("group", 5), notices }).await.unwrap();
        let state = ReceiverState { failures: 3, next_attempt: Some(NOW), ..ReceiverState::default() };
        let notices = vec![
            ("msg_4", Settlement::Abandoned),
            ("msg_3", Settlement::Attempted { done: vec!["a".into()] }),
        ];
        store.settle(Settled { notices, receiver: Some(("ops", &state)), told: None }).await.unwrap();
        let users = SavedUsers { read_at: NOW, started: NOW, users: b"alice, bob".repeat(50) };
        store.save_users("home", users).await.unwrap();
        store.retain_targets(&["home".into()], NOW).await.unwrap();
        let row = |n: u64| CounterRow { labels: format!("{{\"node\":{n}}}"), values: vec![n, u64::MAX] };
        let rows = (0..20).map(row).collect();
        let change = CounterChange { family: "node".into(), rows, gone: vec![] };
        store.commit_counters("home", vec![change]).await.unwrap();
        store.close().await;
    });
    let loaded = Store::open(folder.path(), NOW).unwrap().loaded;
    assert_eq!((loaded.alerts.len(), loaded.outbox.len(), loaded.receivers.len()), (20, 4, 1));
    (fs::read(folder.path().join(DATABASE)).unwrap(), loaded)
}

/// Opens a database of these bytes. Nothing comes out that was not put in, and it can be written.
fn survives(runtime: &Runtime, bytes: &[u8], good: &Loaded, what: &str) -> bool {
    let folder = folder();
    fs::write(folder.path().join(DATABASE), bytes).unwrap();
    let Opened { store, loaded, problem } =
        Store::open(folder.path(), NOW).unwrap_or_else(|err| panic!("{what}: {err}"));
    let whole = loaded == *good;
    assert!(whole || loaded == Loaded::default(), "{what}: {loaded:?}");
    // All of it or nothing, and nothing is never passed over in silence, unless there was nothing. To SQLite a file of
    // one byte is empty, too.
    let empty = bytes.len() < 2;
    assert!(whole || problem.is_some() || empty, "{what}");
    runtime.block_on(async {
        let batch = Batch { alerts: vec![("after".into(), Some("1".into()))], ..Batch::default() };
        store.record(batch).await.unwrap_or_else(|err| panic!("{what}: {err}"));
        assert!(store.status().up, "{what}");
        // What is only read when it is needed is as it was, or missing.
        if let Ok(Some(users)) = store.load_users("home").await {
            assert_eq!(users.users, b"alice, bob".repeat(50), "{what}");
        }
        let families = store.load_counters("home").await.unwrap();
        let counters = families.first().map(|(_, rows)| rows.clone()).unwrap_or_default();
        assert_eq!(counters.len(), if whole { 20 } else { 0 }, "{what}");
        assert!(counters.iter().all(|row| row.values[1] == u64::MAX), "{what}");
        store.close().await;
    });
    if !whole && !empty {
        assert!(put_aside(folder.path()), "{what}");
    }
    whole
}

fn put_aside(folder: &Path) -> bool {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with("proxymeter.db."))
}

/// Does `work` for all numbers below `count`, on all cores; returns how often it was true.
fn count(count: usize, work: impl Fn(&Runtime, usize) -> bool + Sync) -> usize {
    let (next, hits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let runtime = runtime();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    hits.fetch_add(usize::from(work(&runtime, number)), Ordering::Relaxed);
                }
            });
        }
    });
    hits.into_inner()
}

#[test]
fn a_file_cut_at_any_byte_is_put_aside() {
    let (bytes, good) = filled();
    let whole = count(bytes.len(), |runtime, length| {
        survives(runtime, &bytes[..length], &good, &format!("cut to {length} bytes"))
    });
    assert_eq!(whole, 0, "what is cut is never taken for whole");
}

#[test]
fn ten_thousand_damaged_files_are_put_aside_or_whole() {
    let (bytes, good) = filled();
    let whole = count(10_000, |runtime, seed| {
        let mut rng = fastrand::Rng::with_seed(u64::try_from(seed).unwrap());
        let mut bytes = bytes.clone();
        for _ in 0..rng.usize(1..=8) {
            let at = rng.usize(..bytes.len());
            bytes[at] ^= 1 << rng.u32(..8);
        }
        survives(runtime, &bytes, &good, &format!("seed {seed}"))
    });
    // Much of the file is empty space, where damage does no harm.
    assert!((1000..9900).contains(&whole), "{whole} of 10,000 were whole");
}

#[test]
fn a_file_of_a_newer_version_or_of_somebody_else_is_put_aside() {
    let runtime = runtime();
    let (bytes, good) = filled();
    let mut newer = bytes.clone();
    // The version is the big-endian number at 60; quick_check does not mind.
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    for (what, bytes) in [
        ("newer", newer),
        ("text", b"not a database".repeat(500)),
        ("nothing", Vec::new()),
        ("zeros", vec![0; 8192]),
    ] {
        assert!(!survives(&runtime, &bytes, &good, what), "{what}");
    }
}

#[test]
fn one_process_at_a_time_holds_a_folder() {
    let folder = folder();
    let first = Store::open(folder.path(), NOW).unwrap();
    let err = Store::open(folder.path(), NOW).unwrap_err();
    assert!(matches!(err, StoreError::Locked { .. }));
    assert!(err.to_string().contains(&folder.path().display().to_string()), "{err}");
    runtime().block_on(first.store.close());
    Store::open(folder.path(), NOW).unwrap();
}

/// A year of users who come, are told of and go: the file is as large as what is left.
#[test]
fn the_file_does_not_grow_with_time() {
    let folder = folder();
    let store = Store::open(folder.path(), NOW).unwrap().store;
    let mut largest = 0;
    runtime().block_on(async {
        let key = |day: usize, user: usize| format!("user_expiry/home/user-{}", day * 50 + user);
        for day in 0..365 {
            let state = Some("x".repeat(200));
            let mut alerts: Vec<_> = (0..50).map(|user| (key(day, user), state.clone())).collect();
            if let Some(gone) = day.checked_sub(7) {
                alerts.extend((0..50).map(|user| (key(gone, user), None)));
            }
            let id = format!("msg_{day}");
            store.record(Batch { alerts, groups: Vec::new(), notices: &[notice(&id)] }).await.unwrap();
            let outcome = if day % 7 == 0 { Settlement::Abandoned } else { Settlement::Delivered };
            store.settle(Settled { notices: vec![(&id, outcome)], ..Settled::default() }).await.unwrap();
            let users = SavedUsers { read_at: NOW, started: NOW, users: vec![7; 20_000] };
            store.save_users("home", users).await.unwrap();
            if day == 30 {
                largest = store.status().size_bytes;
            }
        }
        assert!(store.status().size_bytes < largest * 3 / 2, "{} after {largest}", store.status().size_bytes);
        store.close().await;
    });
    let Opened { loaded, problem, .. } = Store::open(folder.path(), NOW).unwrap();
    assert_eq!((loaded.alerts.len(), loaded.outbox.len(), problem), (7 * 50, 0, None));
}

/// A file that an earlier version wrote is opened by every later one. `tests/fixtures/store/v1.db` was written by
/// schema version 1.
#[test]
fn files_of_earlier_versions_are_read() {
    let folder = folder();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store/v1.db");
    let (bytes, good) = filled();
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !file.exists() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bytes).unwrap();
    }
    fs::copy(&file, folder.path().join(DATABASE)).unwrap();
    let Opened { store, loaded, problem } = Store::open(folder.path(), NOW).unwrap();
    assert_eq!((loaded, problem), (good, None));
    runtime().block_on(async {
        assert_eq!(store.dead_letters().await.unwrap().len(), 1);
        assert!(store.load_users("home").await.unwrap().is_some());
        store.close().await;
    });
}
