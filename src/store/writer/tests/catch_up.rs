//! After a disk failure, the missing state is written in several transactions.

use super::*;

fn large(id: &str) -> Notice {
    Notice { reason: "x".repeat(1 << 20), ..notice(id) }
}

/// Ids of the outbox and the state of the alert `a`.
fn content(loaded: &Loaded) -> (Vec<&str>, &str) {
    (loaded.outbox.iter().map(|row| row.notice.id.as_str()).collect(), &loaded.alerts[0].1)
}

/// A kill leaves the disk as it is at that moment.
#[tokio::test]
async fn a_disk_that_catches_up_holds_all_of_it_or_nothing_of_it() {
    static LOG: std::sync::Mutex<u64> = std::sync::Mutex::new(0);
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Opened { store, .. } = opened(folder.path());
    let before = ["sent", "again", "tried", "merged", "kept"].map(notice);
    store.record(Batch { notices: &before, ..alert("a", "0") }).await.unwrap();
    meddle(&store, |writer| {
        place(writer).gave_way(Fault::Unavailable("it is away".into()), &Health::default());
        place(writer).trouble.retry_at = Instant::now() + LONGEST_PAUSE;
        place(writer).trouble.pause = LONGEST_PAUSE;
    })
    .await;
    // The outbox changes in every possible way.
    let done = vec!["x".to_owned()];
    let notices = vec![
        ("sent", Settlement::Delivered),
        ("again", Settlement::Delivered),
        ("tried", Settlement::Attempted { done: done.clone() }),
    ];
    store.settle(Settled { notices, ..Settled::default() }).await.unwrap_err();
    store.replace(&["merged".into()], &notice("merger")).await.unwrap_err();
    store.revive(&[notice("revived")], Vec::new()).await.unwrap_err();
    let ids: Vec<_> = (0..40).map(|n| format!("n{n:02}")).collect();
    let notices: Vec<_> = [notice("again")].into_iter().chain(ids.iter().map(|id| large(id))).collect();
    store.record(Batch { notices: &notices, ..alert("a", "1") }).await.unwrap_err();

    // The disk has room for the first transaction but not for the second.
    meddle(&store, |writer| {
        place(writer).page_limit = Some(3_000);
        place(writer).trouble.retry_at = Instant::now();
    })
    .await;
    store.record(Batch::default()).await.unwrap_err();
    let copy = killed.path().join(DATABASE);
    fs::copy(folder.path().join(DATABASE), &copy).unwrap();
    let file = Connection::open(&copy).unwrap();
    let rows: i64 = file.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
    drop(file);
    let loaded = opened(killed.path()).loaded;
    assert_eq!(content(&loaded), (before.iter().map(|notice| notice.id.as_str()).collect(), "0"));
    assert_eq!(loaded.outbox[2].done, [""; 0]);

    meddle(&store, |writer| {
        place(writer).page_limit = None;
        place(writer).trouble.retry_at = Instant::now();
    })
    .await;
    store.record(Batch::default()).await.unwrap();
    meddle(&store, |writer| {
        *LOG.lock().unwrap() = fs::metadata(folder::log_of(&place(writer).file)).unwrap().len();
    })
    .await;
    store.close().await;
    let loaded = opened(folder.path()).loaded;
    let expected =
        ["revived", "tried", "merger", "kept", "again"].into_iter().chain(ids.iter().map(String::as_str));
    assert_eq!(content(&loaded), (expected.collect(), "1"));
    assert_eq!(loaded.outbox[1].done, done);
    let log = *LOG.lock().unwrap();
    assert!(rows > 10 && log < 12 << 20, "{rows} rows of a part, a log of {log} bytes");
}
