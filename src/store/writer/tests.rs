//! What the writer does when the disk fails it while it runs.

mod kept;

use std::{collections::BTreeMap, fs::File, io::Write, os::unix::fs::FileExt, sync::Barrier};

use super::*;
use crate::{
    clock::Beats,
    model::Notice,
    store::{Batch, Opened, PATIENCE, ReceiverState, Settled, Settlement, Store},
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
        covers: Vec::new(),
        created_at: NOW,
    }
}

fn alert(key: &str, state: &str) -> Batch<'static> {
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

/// Closes the store and opens it again: the keys of its alerts and the ids of its notices.
async fn after_restart(store: Store, folder: &Path) -> (Vec<String>, Vec<String>) {
    store.close().await;
    let Opened { store, loaded, problem } = opened(folder);
    assert_eq!(problem, None);
    store.close().await;
    let alerts = loaded.alerts.into_iter().map(|(key, _)| key).collect();
    (alerts, loaded.outbox.into_iter().map(|pending| pending.notice.id).collect())
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
    let notices = [notice("n1"), notice("n2")];
    let batch = Batch { notices: &notices, ..alert("during", &much) };
    let err = store.record(batch).await.unwrap_err();
    assert!(matches!(err, StoreError::NotDurable { .. }) && err.to_string().contains("full"), "{err}");
    assert!(!store.status().up);
    assert_eq!(store.status().errors, errors + 1);

    // It is tried again, and still full.
    meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
    let users = SavedUsers { read_at: NOW, started: NOW, users: vec![7; 10_000] };
    store.save_users("home", users.clone()).await.unwrap_err();
    assert_eq!(store.status().errors, errors + 2);
    // Until the next try is due the disk is left alone, and everything goes on in memory.
    let settled = Settled { notices: vec![("n1", Settlement::Abandoned)], ..Settled::default() };
    store.settle(settled).await.unwrap_err();
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
    // What the new file takes at once is durable, so that this is no error but only counted.
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
    // A success ends it; the users are read again some day.
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

    // What somebody puts in its place is not lost either.
    fs::remove_file(folder.path().join(DATABASE)).unwrap();
    File::create_new(folder.path().join(DATABASE)).unwrap().write_all(b"precious").unwrap();
    store.record(alert("c", "3")).await.unwrap();
    let names = names(folder.path());
    let aside = names.iter().find(|name| name.starts_with("proxymeter.db.unread-179500")).unwrap();
    assert_eq!(fs::read(folder.path().join(aside)).unwrap(), b"precious");
    assert_eq!(after_restart(store, folder.path()).await.0, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_folder_that_comes_late_is_used_from_then_on() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    fs::write(&folder, b"in the way").unwrap();
    let Opened { store, loaded, problem } = opened(&folder);
    assert_eq!(loaded, Loaded::default());
    let problem = problem.unwrap();
    assert!(problem.contains("data/proxymeter.db: cannot be written"), "{problem}");
    assert!(!store.status().up);
    meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now() + LONGEST_PAUSE).await;
    store.record(alert("a", "1")).await.unwrap_err();

    fs::remove_file(&folder).unwrap();
    meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
    let state = ReceiverState::default();
    store.settle(Settled { receiver: Some(("ops", &state)), ..Settled::default() }).await.unwrap();
    assert!(store.status().up);
    assert!(matches!(Store::open(&folder, NOW), Err(StoreError::Locked { .. })));
    assert_eq!(after_restart(store, &folder).await.0, ["a"]);
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
    store.record(Batch { notices: &[notice("n1")], ..alert("a", "1") }).await.unwrap();
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
#[expect(clippy::await_holding_lock, reason = "it is the thread of the store that is to wait for it")]
async fn a_disk_that_hangs_delays_no_caller_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    static HANGS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let hang = HANGS.lock().unwrap();
    tokio::time::pause();
    meddle(&store, |_| drop(HANGS.lock())).await;
    // More than may wait.
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
    // What was given up is carried out all the same, as soon as the disk does.
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
    // Time would pass while the writer's thread works.
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
    // The time of the writer's thread is the machine's, which this test has left behind.
    store.close().await;
    assert_eq!(beats.stuck(), [""; 0]);
}

/// A round of a large disturbance, and giving it up: eight times the notices take about eight times as long.
#[tokio::test]
async fn work_grows_with_the_number_of_notices_and_not_faster() {
    async fn recorded_and_given_up(count: usize) -> [Duration; 2] {
        let store = Store::in_memory();
        let notices: Vec<_> = (0..count).map(|n| notice(&format!("n{n}"))).collect();
        let began = Instant::now();
        store.record(Batch { notices: &notices, ..Batch::default() }).await.unwrap();
        let recorded = began.elapsed();
        let given_up = notices.iter().map(|notice| (notice.id.as_str(), Settlement::Abandoned)).collect();
        store.settle(Settled { notices: given_up, ..Settled::default() }).await.unwrap();
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

/// The state of the disk at any moment is what a kill leaves.
#[tokio::test]
async fn a_large_round_is_recorded_wholly_or_not_at_all() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Opened { store, .. } = opened(folder.path());
    store.record(Batch { notices: &[notice("before")], ..alert("a", "0") }).await.unwrap();
    let large = |n| Notice { reason: "x".repeat(1 << 20), ..notice(&format!("n{n:02}")) };
    let notices: Vec<_> = (0..20).map(large).collect();
    // There is room for the first transaction and not for the second.
    meddle(&store, |writer| {
        place(writer).disk.as_ref().unwrap().connection.pragma_update(None, "max_page_count", 3_000).unwrap();
        place(writer).trouble.pause = LONGEST_PAUSE;
    })
    .await;
    store.record(Batch { notices: &notices, ..alert("a", "1") }).await.unwrap_err();

    let copy = killed.path().join(DATABASE);
    fs::copy(folder.path().join(DATABASE), &copy).unwrap();
    let rows = |sql: &str| Connection::open(&copy).unwrap().query_row(sql, [], |row| row.get::<_, i64>(0));
    assert!(rows("SELECT count(*) FROM outbox").unwrap() > 5, "a part was on the disk");
    let ids = |loaded: &Loaded| loaded.outbox.iter().map(|row| row.notice.id.clone()).collect::<Vec<_>>();
    let unwritten = database::read_only(&copy).unwrap();
    let loaded = loaded::load(&database::in_memory_like(&unwritten).unwrap()).unwrap();
    assert_eq!((ids(&loaded), loaded.alerts[0].1.as_str()), (vec!["before".to_owned()], "0"));
    assert_eq!(opened(killed.path()).loaded, loaded);
    assert_eq!(rows("SELECT count(*) FROM outbox"), Ok(1));

    // The process that goes on has it all, and so has the next, as it has a round that met no hindrance.
    meddle(&store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
    store.record(Batch { notices: &[notice("after")], ..Batch::default() }).await.unwrap();
    let more: Vec<_> = (20..40).map(large).collect();
    store.record(Batch { notices: &more, ..alert("a", "2") }).await.unwrap();
    store.close().await;
    let loaded = opened(folder.path()).loaded;
    assert_eq!((loaded.outbox.len(), loaded.alerts[0].1.as_str()), (42, "2"));
    assert_eq!(ids(&loaded)[..3], ["before", "n00", "n01"]);
}

/// Lists are megabytes: those that came while the disk hung are not all kept in memory until it answers.
#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "it is the thread of the store that is to wait for it")]
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
    // What comes later is written as ever.
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
    meddle(&store, |_| panic!("as a fault of ours would")).await;
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
    let notices: Vec<_> = (0..2_000).map(|n| notice(&format!("n{n}"))).collect();
    let large: Vec<_> =
        notices.iter().map(|notice| Notice { reason: "x".repeat(5_000), ..notice.clone() }).collect();
    let batch = Batch { notices: &large, ..alert("a", "1") };
    store.record(batch).await.unwrap();
    for some in notices.chunks(100) {
        let taken = some.iter().map(|notice| (notice.id.as_str(), Settlement::Delivered)).collect();
        store.settle(Settled { notices: taken, ..Settled::default() }).await.unwrap();
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
