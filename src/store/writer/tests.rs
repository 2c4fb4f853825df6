//! The writer while the disk fails.

mod kept;
mod meddled;
mod together;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    sync::Barrier,
};

use super::*;
use crate::{
    clock::Beats,
    model::Notice,
    store::{Batch, Opened, PATIENCE, Settlement, Store},
};

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn notice(id: &str) -> Notice {
    Notice {
        id: id.into(),
        receiver: "ops".into(),
        group: "{}".into(),
        group_labels: BTreeMap::new(),
        reason: "first".into(),
        alerts: Vec::new(),
        created_at: NOW,
        ..Notice::default()
    }
}

fn message(id: &str) -> Message {
    Message::of(&notice(id)).unwrap()
}

/// Of a notice that takes about this many bytes, whose text cannot be compressed to much less.
fn large(id: &str, bytes: usize) -> Message {
    let mut rng = fastrand::Rng::with_seed(1);
    let reason = (0..bytes).map(|_| rng.alphanumeric()).collect();
    Message::of(&Notice { reason, ..notice(id) }).unwrap()
}

fn settled<'a>(ids: impl IntoIterator<Item = &'a str>, outcome: &Settlement) -> Batch {
    let settled = ids.into_iter().map(|id| (id.to_owned(), outcome.clone())).collect();
    Batch { settled, ..Batch::default() }
}

fn alert(key: &str, state: &str) -> Batch {
    Batch { alerts: vec![(key.into(), Some(state.into()))], ..Batch::default() }
}

fn opened(folder: &Path) -> Opened {
    Store::open(folder, NOW).unwrap()
}

async fn meddle(store: &Store, meddle: fn(&mut Writer)) {
    store.ask(Work::Meddle(meddle)).await.unwrap();
}

fn place(writer: &mut Writer) -> &mut Place {
    writer.place.as_mut().unwrap()
}

/// Closes the store and opens it again: the keys of its alerts and the ids of its messages.
async fn after_restart(store: Store, folder: &Path) -> (Vec<String>, Vec<String>) {
    store.close().await;
    let Opened { store, loaded, problem } = opened(folder);
    assert_eq!(problem, None);
    store.close().await;
    let alerts = loaded.alerts.into_iter().map(|(key, _)| key).collect();
    (alerts, loaded.outbox.into_iter().map(|message| message.id).collect())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_full_disk_costs_durability_until_it_has_room_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, problem, .. } = opened(folder.path());
    assert_eq!(problem, None);
    store.record(alert("before", "0")).await.unwrap();
    let errors = store.status().errors;
    meddle(&store, |writer| {
        let place = place(writer);
        place.page_limit = Some(1);
        place.disk.as_ref().unwrap().connection.pragma_update(None, "max_page_count", 1).unwrap();
    })
    .await;
    let much = "x".repeat(100_000);
    let batch = Batch { messages: vec![message("n1"), message("n2")], ..alert("during", &much) };
    let err = store.record(batch).await.unwrap_err();
    assert!(matches!(err, StoreError::NotDurable { .. }) && err.to_string().contains("full"), "{err}");
    assert!(!store.status().up);
    assert_eq!(store.status().errors, errors + 1);

    // The retry finds the disk still full.
    meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
    let users = SavedUsers { read_at: NOW, started: NOW, users: vec![7; 10_000] };
    store.save_users("home", users.clone()).await.unwrap_err();
    assert_eq!(store.status().errors, errors + 2);
    // Until the next retry, the disk is not used, and all calls work in memory.
    store.record(settled(["n1"], &Settlement::Abandoned)).await.unwrap_err();
    assert_eq!(store.status().errors, errors + 2);
    assert_eq!(store.load_users("home").await.unwrap(), Some(users.clone()));
    assert!(store.load_users("edge").await.is_err(), "the disk may have it");

    meddle(&store, |writer| {
        let place = place(writer);
        place.page_limit = None;
        place.trouble.retry_at = Instant::now();
    })
    .await;
    store.record(alert("after", "2")).await.unwrap();
    assert!(store.status().up);
    assert_eq!(store.load_users("home").await.unwrap(), Some(users));
    let (alerts, outbox) = after_restart(store, folder.path()).await;
    assert_eq!(alerts, ["after", "before", "during"]);
    assert_eq!(outbox, ["n2"]);
    let file = Connection::open(folder.path().join(DATABASE)).unwrap();
    let dead: String = file.query_row("SELECT id FROM dead_letters", [], |row| row.get(0)).unwrap();
    assert_eq!(dead, "n1");
}

#[tokio::test]
async fn a_disk_that_recovers_is_written_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    meddle(&store, |writer| {
        let place = place(writer);
        place.disk.as_ref().unwrap().connection.pragma_update(None, "max_page_count", 1).unwrap();
    })
    .await;
    store.record(alert("during", &"x".repeat(100_000))).await.unwrap_err();
    let recovered = async {
        while !store.status().up {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recovered).await.unwrap();
    assert_eq!(after_restart(store, folder.path()).await.0, ["during"]);
}

#[tokio::test]
async fn a_disk_that_has_room_again_is_written_when_the_store_closes() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    meddle(&store, |writer| {
        let place = place(writer);
        place.trouble.pause = LONGEST_PAUSE;
        place.disk.as_ref().unwrap().connection.pragma_update(None, "max_page_count", 1).unwrap();
    })
    .await;
    store.record(alert("during", &"x".repeat(100_000))).await.unwrap_err();
    assert_eq!(after_restart(store, folder.path()).await.0, ["during"]);
}

#[tokio::test]
async fn a_page_that_is_damaged_while_the_store_runs_costs_no_state() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    for index in 0..200 {
        store.record(alert(&format!("a{index:03}"), &"state ".repeat(20))).await.unwrap();
    }
    let errors = store.status().errors;
    meddle(&store, |writer| {
        // A write by another connection makes ours forget what it has read.
        let file = &place(writer).file;
        let other = Connection::open(file).unwrap();
        other.execute_batch("CREATE TABLE other (x); PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
        let size = fs::metadata(file).unwrap().len();
        let raw = File::options().write(true).open(file).unwrap();
        let first_page = 4096;
        let garbage = vec![0xA5; usize::try_from(size - first_page).unwrap()];
        raw.write_all_at(&garbage, first_page).unwrap();
    })
    .await;
    // The new file has the change at once, so the call succeeds, and the failure is only counted.
    store.record(alert("after", "1")).await.unwrap();
    assert!(store.status().up);
    assert_eq!(store.status().errors, errors + 1);
    assert!(names(folder.path()).iter().any(|name| name.starts_with("proxymeter.db.damaged-179500")));
    assert_eq!(after_restart(store, folder.path()).await.0.len(), 201);
}

#[tokio::test]
async fn a_damaged_row_is_noticed_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    store.record(alert("a", "1")).await.unwrap();
    let saved = SavedUsers { read_at: NOW, started: NOW, users: b"alice".to_vec() };
    store.save_users("home", saved).await.unwrap();
    meddle(&store, |writer| {
        let other = Connection::open(&place(writer).file).unwrap();
        other.execute("UPDATE users SET rows = x'616c696365206f'", []).unwrap();
    })
    .await;
    let err = store.load_users("home").await.unwrap_err().to_string();
    assert!(err.contains("a row of users does not match its checksum"), "{err}");
    assert!(!store.status().up);
    // A success ends the failure. The users are lost until the next poll.
    store.record(alert("b", "2")).await.unwrap();
    assert!(store.status().up);
    assert_eq!(store.load_users("home").await.unwrap(), None);
    assert_eq!(after_restart(store, folder.path()).await.0, ["a", "b"]);
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    store.record(alert("a", "1")).await.unwrap();
    fs::rename(folder.path().join(DATABASE), folder.path().join("backup")).unwrap();
    store.record(alert("b", "2")).await.unwrap();
    assert!(store.status().up);

    // A foreign file in its place is not lost either.
    fs::remove_file(folder.path().join(DATABASE)).unwrap();
    File::create_new(folder.path().join(DATABASE)).unwrap().write_all(b"precious").unwrap();
    store.record(alert("c", "3")).await.unwrap();
    let names = names(folder.path());
    let aside = names.iter().find(|name| name.starts_with("proxymeter.db.unread-179500")).unwrap();
    assert_eq!(fs::read(folder.path().join(aside)).unwrap(), b"precious");
    assert_eq!(after_restart(store, folder.path()).await.0, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_disk_that_damages_everything_is_not_filled_with_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    for round in 0..MOST_ASIDES + 3 {
        store.save_users("home", SavedUsers { read_at: NOW, started: NOW, users: vec![1] }).await.ok();
        meddle(&store, |writer| {
            place(writer).trouble.retry_at = Instant::now() + LONGEST_PAUSE;
            if let Some(disk) = &place(writer).disk {
                disk.connection.execute("UPDATE users SET digest = 1", []).unwrap();
            }
        })
        .await;
        store.load_users("home").await.ok();
        meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
        store.record(alert(&format!("{round:02}"), "1")).await.ok();
    }
    let aside = names(folder.path()).iter().filter(|name| name.contains("damaged")).count();
    assert_eq!(u32::try_from(aside).unwrap(), MOST_ASIDES);
    store.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_read_all_the_same() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("50% of #1?");
    let Opened { store, .. } = opened(&folder);
    store.record(Batch { messages: vec![message("n1")], ..alert("a", "1") }).await.unwrap();
    let read = || {
        let file = database::read_only(&folder.join(DATABASE)).unwrap();
        loaded::load(&database::in_memory_like(&file).unwrap()).unwrap()
    };
    // While there is a log of recent changes, and without one.
    assert!(folder.join("proxymeter.db-wal").exists());
    let (with_log, alerts) = (read(), vec![("a".to_owned(), "1".to_owned())]);
    assert_eq!(with_log.alerts, alerts);
    store.close().await;
    assert!(!folder.join("proxymeter.db-wal").exists());
    assert_eq!(read(), with_log);
    assert_eq!(names(&folder), ["proxymeter.db", "proxymeter.lock"]);
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the thread of the store must wait for it")]
async fn a_disk_that_hangs_delays_no_caller_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    static HANGS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let hang = HANGS.lock().unwrap();
    tokio::time::pause();
    meddle(&store, |_| drop(HANGS.lock())).await;
    // More than the queue has room for.
    let began = Instant::now();
    let mut records = tokio::task::JoinSet::new();
    for n in 0..100 {
        let store = store.clone();
        records.spawn(async move { store.record(alert(&format!("a{n:02}"), "1")).await });
    }
    for refused in records.join_all().await {
        let err = refused.unwrap_err().to_string();
        assert_eq!(err, "not on the disk yet: the disk does not answer");
    }
    assert!(store.load_users("home").await.is_err());
    assert!(began.elapsed() < PATIENCE * 3, "{:?}", began.elapsed());
    assert!(!store.status().up);
    drop(hang);
    tokio::time::resume();
    // Calls that timed out still take effect when the disk answers.
    store.record(alert("b", "2")).await.unwrap();
    assert!(store.status().up);
    assert_eq!(after_restart(store, folder.path()).await.0.len(), 101);
}

#[tokio::test(start_paused = true)]
async fn a_writer_whose_disk_never_answers_is_stuck() {
    static BEGUN: Barrier = Barrier::new(2);
    static ANSWERED: Barrier = Barrier::new(2);
    let (store, beats) = (Store::in_memory(), Beats::default());
    beats.watch("store", store.beat());
    // Paused time would advance while the writer thread works.
    tokio::time::resume();
    store.record(alert("a", "1")).await.unwrap();
    tokio::time::pause();
    meddle(&store, |_| {
        BEGUN.wait();
        ANSWERED.wait();
    })
    .await;
    BEGUN.wait();
    assert_eq!(beats.stuck(), [""; 0]);
    tokio::time::advance(Duration::from_secs(200)).await;
    assert_eq!(beats.stuck(), ["store"]);
    ANSWERED.wait();
    // The writer thread uses real time, which differs from the time of this test now.
    store.close().await;
    assert_eq!(beats.stuck(), [""; 0]);
}

/// Recording and abandoning a large round: eight times the messages take about eight times as long.
#[tokio::test]
async fn work_grows_with_the_number_of_messages_and_not_faster() {
    async fn recorded_and_given_up(count: usize) -> [Duration; 2] {
        let store = Store::in_memory();
        let messages: Vec<_> = (0..count).map(|n| message(&format!("n{n}"))).collect();
        let given_up = settled(messages.iter().map(|message| &*message.id), &Settlement::Abandoned);
        let began = Instant::now();
        store.record(Batch { messages, ..Batch::default() }).await.unwrap();
        let recorded = began.elapsed();
        store.record(given_up).await.unwrap();
        [recorded, began.elapsed() - recorded]
    }
    let mut few = [Duration::MAX; 2];
    for _ in 0..3 {
        let times = recorded_and_given_up(2_000).await;
        few = [few[0].min(times[0]), few[1].min(times[1])];
    }
    let many = recorded_and_given_up(16_000).await;
    assert!(many[0] < few[0] * 24 && many[1] < few[1] * 24, "{many:?} after {few:?}");
}

/// A kill leaves the disk as it is at that moment.
#[tokio::test]
async fn a_disk_that_catches_up_has_all_or_nothing() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Opened { store, .. } = opened(folder.path());
    let before = ["sent", "again", "tried", "kept"];
    store.record(Batch { messages: before.map(message).into(), ..alert("a", "0") }).await.unwrap();
    meddle(&store, |writer| {
        place(writer).gave_way(Fault::Unavailable("it is away".into()), &Health::default());
        place(writer).trouble.retry_at = Instant::now() + LONGEST_PAUSE;
        place(writer).trouble.pause = LONGEST_PAUSE;
    })
    .await;
    // The outbox changes in every possible way.
    let done = vec!["x".to_owned()];
    store.record(settled(["sent", "again"], &Settlement::Delivered)).await.unwrap_err();
    store.record(settled(["tried"], &Settlement::Attempted { done: done.clone() })).await.unwrap_err();
    store.revive(vec![message("revived")], Vec::new()).await.unwrap_err();
    let ids: Vec<_> = (0..40).map(|n| format!("n{n:02}")).collect();
    let messages = [message("again")].into_iter().chain(ids.iter().map(|id| large(id, 100_000)));
    store.record(Batch { messages: messages.collect(), ..alert("a", "1") }).await.unwrap_err();

    // The disk has room for a part of it.
    meddle(&store, |writer| {
        place(writer).page_limit = Some(200);
        place(writer).trouble.retry_at = Instant::now();
    })
    .await;
    store.record(Batch::default()).await.unwrap_err();
    fs::copy(folder.path().join(DATABASE), killed.path().join(DATABASE)).unwrap();
    let content = |loaded: &Loaded| {
        let ids = loaded.outbox.iter().map(|message| message.id.clone()).collect::<Vec<_>>();
        (ids, loaded.alerts[0].1.clone())
    };
    let loaded = opened(killed.path()).loaded;
    assert_eq!(content(&loaded), (before.map(str::to_owned).into(), "0".to_owned()));
    assert_eq!(loaded.outbox[2].done, [""; 0]);

    meddle(&store, |writer| {
        place(writer).page_limit = None;
        place(writer).trouble.retry_at = Instant::now();
    })
    .await;
    store.record(Batch::default()).await.unwrap();
    store.close().await;
    let loaded = opened(folder.path()).loaded;
    let expected = ["revived", "tried", "kept", "again"].map(str::to_owned).into_iter().chain(ids);
    assert_eq!(content(&loaded), (expected.collect(), "1".to_owned()));
    assert_eq!(loaded.outbox[1].done, done);
}

/// Lists can be megabytes, so memory must not keep all lists that arrive while the disk hangs.
#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the thread of the store must wait for it")]
async fn of_the_lists_that_wait_for_a_disk_the_newest_of_each_target_is_written() {
    static HANGS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    static WRITTEN: std::sync::Mutex<i64> = std::sync::Mutex::new(0);
    fn count(writer: &mut Writer) {
        let disk = &place(writer).disk.as_ref().unwrap().connection;
        *WRITTEN.lock().unwrap() = disk.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    meddle(&store, count).await;
    store.load_users("home").await.unwrap();
    let hang = HANGS.lock().unwrap();
    tokio::time::pause();
    meddle(&store, |_| drop(HANGS.lock())).await;
    let list = |n: u8| SavedUsers { read_at: NOW, started: NOW, users: vec![n; 1000] };
    let mut saves = tokio::task::JoinSet::new();
    for n in 0..200 {
        for target in ["home", "edge"] {
            let store = store.clone();
            saves.spawn(async move { store.save_users(target, list(n)).await });
        }
        tokio::task::yield_now().await;
    }
    assert!(saves.join_all().await.iter().all(Result::is_err));
    drop(hang);
    tokio::time::resume();
    let before = *WRITTEN.lock().unwrap();
    meddle(&store, count).await;
    for target in ["home", "edge"] {
        assert_eq!(store.load_users(target).await.unwrap(), Some(list(199)), "{target}");
    }
    assert_eq!(*WRITTEN.lock().unwrap() - before, 2, "rows written");
    // Later lists are written normally.
    store.save_users("home", list(1)).await.unwrap();
    assert_eq!(store.load_users("home").await.unwrap(), Some(list(1)));
    store.close().await;
    assert!(matches!(store.save_users("home", list(2)).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_writer_that_panics_shows() {
    let (store, beats) = (Store::in_memory(), Beats::default());
    beats.watch("store", store.beat());
    let errors = store.status().errors;
    assert!(store.status().up);
    meddle(&store, |_| panic!("a bug in the writer")).await;
    let users = SavedUsers { read_at: NOW, started: NOW, users: vec![7] };
    assert!(matches!(store.record(alert("a", "1")).await, Err(StoreError::Closed)));
    assert!(matches!(store.save_users("home", users).await, Err(StoreError::Closed)));
    assert!(matches!(store.load_users("home").await, Err(StoreError::Closed)));
    assert!(!store.status().up);
    assert_eq!(store.status().errors, errors + 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(200)).await;
    assert_eq!(beats.stuck(), ["store"]);
}

#[tokio::test]
async fn space_is_given_back_on_the_disk_and_in_memory() {
    static PAGES: std::sync::Mutex<[i64; 2]> = std::sync::Mutex::new([0; 2]);
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    let ids: Vec<_> = (0..1_000).map(|n| format!("n{n}")).collect();
    let messages = ids.iter().map(|id| large(id, 10_000)).collect();
    store.record(Batch { messages, ..alert("a", "1") }).await.unwrap();
    for some in ids.chunks(100) {
        store.record(settled(some.iter().map(String::as_str), &Settlement::Delivered)).await.unwrap();
    }
    meddle(&store, |writer| {
        let pages = |connection: &Connection| {
            connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
        };
        let disk = pages(&place(writer).disk.as_ref().unwrap().connection);
        *PAGES.lock().unwrap() = [disk, pages(&writer.memory)];
    })
    .await;
    store.load_users("home").await.unwrap();
    let size = fs::metadata(folder.path().join(DATABASE)).unwrap().len();
    let pages = *PAGES.lock().unwrap();
    assert!(pages[0] < 200 && pages[1] < 200 && size < 1 << 20, "{pages:?} pages, {size} bytes");
}
