//! Changes that wait for the disk are written together, and those that wait too long show.

use super::*;
use crate::store::StoreStatus;

/// Transactions in the write-ahead log. <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>: the header has 32
/// bytes and ends with salts and checksums. Each page follows a header of 24 bytes. Its bytes 4 to 8 are 0 except in the
/// last page of a transaction, and its salts are those of the log. Each transaction is synced once.
fn transactions(folder: &Path) -> usize {
    let log = fs::read(folder.join("proxymeter.db-wal")).unwrap();
    let (header, frames) = log.split_at(32);
    let page = usize::try_from(u32::from_be_bytes(header[8..12].try_into().unwrap())).unwrap();
    let frames = frames.chunks_exact(24 + page).take_while(|frame| frame[8..16] == header[16..24]);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the thread of the store must wait for it")]
async fn changes_that_wait_are_one_transaction() {
    static HANGS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    store.record(alert("first", "1")).await.unwrap();
    let before = transactions(folder.path());
    let hang = HANGS.lock().unwrap();
    meddle(&store, |_| drop(HANGS.lock())).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..10 {
        let store = store.clone();
        calls.spawn(async move { store.record(alert(&format!("a{n}"), "1")).await.is_ok() });
    }
    let (saver, reader) = (store.clone(), store.clone());
    let users = SavedUsers { read_at: NOW, started: NOW, users: vec![7; 100] };
    let saved = users.clone();
    calls.spawn(async move { saver.save_users("home", saved).await.is_ok() });
    // A read behind changes sees them.
    calls.spawn(async move { reader.load_users("home").await.unwrap() == Some(users) });
    let (late, mut of_late) = (store.clone(), tokio::task::JoinSet::new());
    of_late.spawn(async move { late.record(alert("late", "1")).await.is_ok() });
    while store.status().backlog < 12 {
        tokio::task::yield_now().await;
    }
    drop(hang);
    assert!(calls.join_all().await.into_iter().chain(of_late.join_all().await).all(|is_good| is_good));
    assert_eq!(transactions(folder.path()) - before, 2);
    assert_eq!(store.status().backlog, 0);
    assert_eq!(after_restart(store, folder.path()).await.0.len(), 12);
}

#[test]
fn a_group_is_bounded() {
    let health = Arc::default();
    for (count, bytes, together) in [(MOST_TOGETHER + 3, 10, MOST_TOGETHER), (5, MOST_BYTES / 2, 2)] {
        let (requests, queue) = mpsc::channel();
        let change = || Work::Change {
            change: Change::Users {
                target: "home".into(),
                saved: SavedUsers { read_at: NOW, started: NOW, users: vec![7; bytes] },
            },
            answer: oneshot::channel().0,
            wait: Wait::begin(&health),
        };
        for _ in 1..count {
            requests.send(Request { work: change(), _room: None }).unwrap();
        }
        let (group, other) = Group::gather(change(), &queue, &Lists::default());
        assert_eq!((group.changes.len(), other.is_none()), (together, true));
        assert_eq!(queue.try_iter().count(), count - together);
    }
}

/// If memory refuses one of the changes, the others are written.
#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the thread of the store must wait for it")]
async fn a_change_that_fails_does_not_fail_others() {
    static HANGS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    store.record(Batch { messages: vec![message("n1")], ..Batch::default() }).await.unwrap();
    meddle(&store, |writer| {
        writer.memory.execute("UPDATE outbox SET digest = 1", []).unwrap();
    })
    .await;
    let hang = HANGS.lock().unwrap();
    meddle(&store, |_| drop(HANGS.lock())).await;
    let failing = Batch { alerts: alert("b", "1").alerts, ..settled(["n1"], &Settlement::Abandoned) };
    let release = async {
        while store.status().backlog < 3 {
            tokio::task::yield_now().await;
        }
        drop(hang);
    };
    let (a, b, c, ()) = tokio::join!(
        store.record(alert("a", "1")),
        store.record(failing),
        store.record(alert("c", "1")),
        release
    );
    assert_eq!([a, b, c].map(|done| done.is_ok()), [true, false, true]);
    assert_eq!(after_restart(store, folder.path()).await.0, ["a", "c"]);
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the thread of the store must wait for it")]
async fn a_disk_that_fails_fails_all_changes_of_a_group_until_it_recovers() {
    static HANGS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    meddle(&store, |writer| {
        let place = place(writer);
        place.trouble.pause = LONGEST_PAUSE;
        place.disk.as_ref().unwrap().connection.pragma_update(None, "max_page_count", 1).unwrap();
    })
    .await;
    let hang = HANGS.lock().unwrap();
    meddle(&store, |_| drop(HANGS.lock())).await;
    let release = async {
        while store.status().backlog < 2 {
            tokio::task::yield_now().await;
        }
        drop(hang);
    };
    let much = "x".repeat(100_000);
    let (a, b, ()) = tokio::join!(store.record(alert("a", "1")), store.record(alert("b", &much)), release);
    for done in [a, b] {
        let err = done.unwrap_err();
        assert!(matches!(err, StoreError::NotDurable { .. }) && err.to_string().contains("full"), "{err}");
    }
    let status = store.status();
    assert_eq!((status.up, status.backlog), (false, 0));
    assert_eq!(after_restart(store, folder.path()).await.0, ["a", "b"]);
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the thread of the store must wait for it")]
async fn a_change_that_waits_too_long_shows() {
    static HANGS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    let hang = HANGS.lock().unwrap();
    meddle(&store, |_| drop(HANGS.lock())).await;
    tokio::time::pause();
    // Its caller stops waiting.
    let cancelled = tokio::time::timeout(Duration::from_secs(1), store.record(alert("a", "1"))).await;
    assert!(cancelled.is_err());
    let shown = |store: &Store| {
        let StoreStatus { up, backlog, .. } = store.status();
        (up, backlog)
    };
    assert_eq!(shown(&store), (true, 1));
    tokio::time::advance(PATIENCE - Duration::from_secs(2)).await;
    assert_eq!(shown(&store), (true, 1));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(shown(&store), (false, 1));
    drop(hang);
    tokio::time::resume();
    store.load_users("home").await.unwrap();
    assert_eq!(shown(&store), (true, 0));
    assert_eq!(after_restart(store, folder.path()).await.0, ["a"]);
}
