//! A storage file that is cut, damaged, empty, or of another time never keeps the daemon from starting, and nothing that
//! comes out of it is other than what was put in.

use std::{
    collections::BTreeMap, env, fs, path::Path, sync::atomic::AtomicUsize, sync::atomic::Ordering, thread,
};

use proxymeter::{
    model::{CounterChange, CounterRow, Notice, NoticeAlert, NoticeStatus, Pairs, Severity, Timestamp},
    store::{Batch, Loaded, Message, Opened, ReceiverState, SavedUsers, Settlement, Store, StoreError},
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
        alerts: vec![std::sync::Arc::new(NoticeAlert {
            event: format!("evt_{id}"),
            status: NoticeStatus::Firing,
            severity: Severity::Warning,
            labels: [("alertname", "ProxymeterUserExpiry")].into(),
            annotations: Pairs::default(),
            starts_at: NOW,
            ends_at: None,
            began: None,
            until: None,
        })],
        created_at: NOW,
        ..Notice::default()
    }
}

fn message(id: &str) -> Message {
    Message::of(&notice(id)).unwrap()
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
        let messages = [0, 1, 2, 3, 4].map(|n| message(&format!("msg_{n}"))).into();
        let state = ReceiverState { failures: 3, next_attempt: Some(NOW), ..ReceiverState::default() };
        let batch = Batch {
            alerts: rows("alert", 20),
            groups: rows("group", 5),
            silences: rows("silence", 3),
            messages,
            settled: vec![
                ("msg_4".into(), Settlement::Abandoned),
                ("msg_3".into(), Settlement::Attempted { done: vec!["a".into()] }),
                ("unknown".into(), Settlement::Abandoned),
            ],
            receivers: vec![("ops".into(), Some(state))],
        };
        store.record(batch).await.unwrap();
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
    assert_eq!((loaded.groups.len(), loaded.silences.len()), (5, 3));
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

fn from_env(name: &str, otherwise: usize) -> usize {
    env::var(name).map_or(otherwise, |number| number.parse().unwrap())
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
    // An odd step comes upon all places within pages.
    let step = from_env("CUT_EVERY", 5);
    let whole = count(bytes.len() / step, |runtime, place| {
        let length = place * step;
        survives(runtime, &bytes[..length], &good, &format!("cut to {length} bytes"))
    });
    assert_eq!(whole, 0, "what is cut is never taken for whole");
}

#[test]
fn damaged_files_are_put_aside_or_whole() {
    let (bytes, good) = filled();
    let files = from_env("DAMAGED", 2000);
    let whole = count(files, |runtime, seed| {
        let mut rng = fastrand::Rng::with_seed(u64::try_from(seed).unwrap());
        let mut bytes = bytes.clone();
        for _ in 0..rng.usize(1..=8) {
            let at = rng.usize(..bytes.len());
            bytes[at] ^= 1 << rng.u32(..8);
        }
        survives(runtime, &bytes, &good, &format!("seed {seed}"))
    });
    // Much of the file is empty space, where damage does no harm.
    assert!((files / 10..files - files / 100).contains(&whole), "{whole} of {files} were whole");
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
            let messages = vec![message(&id)];
            store.record(Batch { alerts, messages, ..Batch::default() }).await.unwrap();
            let outcome = if day % 7 == 0 { Settlement::Abandoned } else { Settlement::Delivered };
            store.record(Batch { settled: vec![(id, outcome)], ..Batch::default() }).await.unwrap();
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

/// Opens a file of an earlier version.
fn opened(name: &str) -> (TempDir, Opened) {
    let folder = folder();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store").join(name);
    fs::copy(&file, folder.path().join(DATABASE)).unwrap();
    let opened = Store::open(folder.path(), NOW).unwrap();
    assert_eq!(opened.problem, None);
    (folder, opened)
}

/// Its messages, unpacked.
fn notices(messages: &[Message]) -> Vec<Notice> {
    messages.iter().map(|message| message.packed.unpack().unwrap()).collect()
}

/// `tests/fixtures/store/v1.db` was written by schema version 1, from [`filled`].
#[test]
fn files_of_version_1_are_read() {
    let (_folder, Opened { store, loaded, .. }) = opened("v1.db");
    let (_, good) = filled();
    assert_eq!(notices(&loaded.outbox), [0, 1, 2, 3].map(|n| notice(&format!("msg_{n}"))));
    // Compressed by this program, it is not the same bytes everywhere.
    let facts = |message: &Message| Message { packed: good.outbox[0].packed.clone(), ..message.clone() };
    let [read, written] = [&loaded, &good].map(|loaded| loaded.outbox.iter().map(facts).collect::<Vec<_>>());
    assert_eq!(read, written);
    assert_eq!((loaded.alerts, loaded.groups, loaded.receivers), (good.alerts, good.groups, good.receivers));
    runtime().block_on(async {
        assert_eq!(store.dead_letters().await.unwrap().len(), 1);
        assert!(store.load_users("home").await.unwrap().is_some());
        store.close().await;
    });
}

/// `tests/fixtures/store/v2.db` was written by schema version 2. Of `msg_0` to `msg_6`, those with an even number are to
/// `ops`, the others to `desk`. `msg_0` and `msg_1` were given up, `msg_3` reached one address, and `msg_merged` replaced
/// `msg_4` and `msg_6`. `msg_2` has 200 alerts, `msg_merged` three, the others two.
#[test]
fn files_of_version_2_are_read() {
    let (folder, Opened { store, loaded, .. }) = opened("v2.db");
    assert_eq!((loaded.alerts.len(), loaded.groups.len()), (20, 5));
    assert_eq!((&*loaded.alerts[19].0, &*loaded.alerts[19].1), ("alert/9", "{\"n\":9}"));
    let facts = |messages: &[Message]| {
        let facts = messages.iter().zip(notices(messages)).map(|(message, notice)| {
            assert_eq!(
                (&notice.id, &notice.receiver, &notice.group),
                (&message.id, &message.receiver, &message.group)
            );
            for (n, alert) in notice.alerts.iter().enumerate() {
                assert_eq!(alert.event, format!("evt_{}_{n}", notice.id));
                assert_eq!(&alert.labels["subject"], format!("ann \"{n}\" ☃"));
            }
            let age = (message.created_at.as_millis() - NOW.as_millis()) / 1000;
            (message.id.clone(), message.receiver.clone(), age, message.done.join(","), notice.alerts.len())
        });
        facts.collect::<Vec<_>>()
    };
    let row = |id: &str, receiver: &str, age, done: &str, alerts| {
        (id.to_owned(), receiver.to_owned(), age, done.to_owned(), alerts)
    };
    let pending = [
        row("msg_2", "ops", 2, "", 200),
        row("msg_3", "desk", 3, "a@example.org", 2),
        row("msg_5", "desk", 5, "", 2),
        row("msg_merged", "ops", 4, "", 3),
    ];
    let given_up = [row("msg_0", "ops", 0, "", 2), row("msg_1", "desk", 1, "", 2)];
    assert_eq!(facts(&loaded.outbox), pending);
    let state = ReceiverState {
        failures: 3,
        next_attempt: Some(NOW),
        last_success: Some(NOW),
        disabled: true,
        failing_since: Some(NOW),
        config: 7,
        ..ReceiverState::default()
    };
    assert_eq!(loaded.receivers, [("ops".to_owned(), state)]);
    runtime().block_on(async {
        assert_eq!(facts(&store.dead_letters().await.unwrap()), given_up);
        assert_eq!(store.load_users("home").await.unwrap().unwrap().users, b"alice, bob".repeat(50));
        let counters = store.load_counters("home").await.unwrap();
        assert_eq!((counters[0].0.as_str(), counters[0].1.len()), ("node", 20));
        // Its messages can be settled like new ones.
        let settled = vec![
            ("msg_2".to_owned(), Settlement::Abandoned),
            ("msg_3".to_owned(), Settlement::Attempted { done: vec!["a@example.org".into(), "b".into()] }),
            ("msg_5".to_owned(), Settlement::Delivered),
        ];
        store.record(Batch { settled, ..Batch::default() }).await.unwrap();
        store.close().await;
    });
    let Opened { store, loaded, problem } = Store::open(folder.path(), NOW).unwrap();
    let [_, _, _, merged] = pending;
    assert_eq!(facts(&loaded.outbox), [row("msg_3", "desk", 3, "a@example.org,b", 2), merged]);
    assert_eq!(problem, None);
    let [first, second] = given_up;
    let dead = runtime().block_on(store.dead_letters()).unwrap();
    assert_eq!(facts(&dead), [first, second, row("msg_2", "ops", 2, "", 200)]);
}

/// `tests/fixtures/store/v3.db` has what version 3 of the schema had of [`filled`]: everything but silences.
#[test]
fn files_of_version_3_are_read() {
    let (folder, Opened { store, loaded, .. }) = opened("v3.db");
    let (_, good) = filled();
    assert_eq!(loaded.silences, []);
    assert_eq!(notices(&loaded.outbox), notices(&good.outbox));
    assert_eq!((loaded.alerts, loaded.groups, loaded.receivers), (good.alerts, good.groups, good.receivers));
    let silences = vec![("one".to_owned(), Some("{}".to_owned()))];
    runtime().block_on(async {
        store.record(Batch { silences, ..Batch::default() }).await.unwrap();
        store.close().await;
    });
    let Opened { loaded, problem, .. } = Store::open(folder.path(), NOW).unwrap();
    assert_eq!((loaded.silences, problem), (vec![("one".to_owned(), "{}".to_owned())], None));
}
