//! What is kept of targets: lists of users and counters.

use super::*;
use crate::{
    model::{CounterChange, CounterRow},
    store::{schema::META, table::text},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn users() -> SavedUsers {
    SavedUsers { read_at: NOW, started: NOW, users: vec![7; 100] }
}

fn row(labels: &str, values: &[u64]) -> CounterRow {
    CounterRow { labels: labels.into(), values: values.to_vec() }
}

/// Labels and values of a family of the target `home`.
async fn home(store: &Store, family: &str) -> Vec<CounterRow> {
    counters(store, "home", family).await
}

async fn counters(store: &Store, target: &str, family: &str) -> Vec<CounterRow> {
    let families = store.load_counters(target).await.unwrap();
    families.into_iter().find(|(known, _)| known == family).map(|(_, rows)| rows).unwrap_or_default()
}

fn change(family: &str, rows: Vec<CounterRow>, gone: Vec<String>) -> Vec<CounterChange> {
    vec![CounterChange { family: family.to_owned(), rows, gone }]
}

async fn reopened(store: Store, folder: &Path) -> Store {
    store.close().await;
    let Opened { store, problem, .. } = opened(folder);
    assert_eq!(problem, None);
    store
}

/// The disk takes nothing until [`recovers`].
async fn fails(store: &Store) {
    meddle(store, |writer| {
        place(writer).gave_way(Fault::Unavailable("it is away".into()), &Health::default());
        place(writer).trouble.retry_at = Instant::now() + LONGEST_PAUSE;
    })
    .await;
}

async fn recovers(store: &Store) {
    meddle(store, |writer| place(writer).trouble.retry_at = Instant::now()).await;
    store.record(alert("after", "1")).await.unwrap();
    assert!(store.status().up);
}

#[tokio::test]
async fn counters_continue_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    assert_eq!(home(&store, "node").await, []);
    let rows = vec![row("b", &[1, u64::MAX]), row("a", &[]), row("c", &[3])];
    store.commit_counters("home", change("node", rows, vec![])).await.unwrap();
    store.commit_counters("home", change("user", vec![row("a", &[5])], vec![])).await.unwrap();
    store.commit_counters("edge", change("node", vec![row("a", &[6])], vec![])).await.unwrap();
    let (rows, gone) = (vec![row("b", &[2, 3])], vec!["c".into(), "never there".into()]);
    store.commit_counters("home", change("node", rows, gone)).await.unwrap();
    let store = reopened(store, folder.path()).await;
    assert_eq!(home(&store, "node").await, [row("a", &[]), row("b", &[2, 3])]);
    assert_eq!(home(&store, "user").await, [row("a", &[5])]);
    assert_eq!(counters(&store, "edge", "node").await, [row("a", &[6])]);
}

#[tokio::test]
async fn counters_that_change_while_the_disk_fails_are_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, .. } = opened(folder.path());
    let rows = vec![row("a", &[1]), row("b", &[1])];
    store.commit_counters("home", change("node", rows, vec![])).await.unwrap();
    fails(&store).await;
    let changed =
        store.commit_counters("home", change("node", vec![row("c", &[1]), row("a", &[2])], vec!["b".into()]));
    assert!(matches!(changed.await, Err(StoreError::NotDurable { .. })));
    let expected = [row("a", &[2]), row("c", &[1])];
    assert_eq!(home(&store, "node").await, expected);
    recovers(&store).await;
    let store = reopened(store, folder.path()).await;
    assert_eq!(home(&store, "node").await, expected);
}

#[tokio::test]
async fn a_target_that_left_is_remembered_for_thirty_days() {
    let both = ["home".to_owned(), "edge".to_owned()];
    for (days, restarts, walks, is_there) in [
        (29, false, false, true),
        (29, true, true, true),
        (31, false, false, false),
        (31, true, false, false),
        // Without a restart or a reload the walk of another target is when it is looked at.
        (31, false, true, false),
    ] {
        let what = format!("{days} days, restarts {restarts}, walks {walks}");
        let folder = tempfile::tempdir().unwrap();
        let Opened { mut store, .. } = opened(folder.path());
        store.retain_targets(&both, NOW).await.unwrap();
        store.save_users("home", users()).await.unwrap();
        store.commit_counters("home", change("node", vec![row("a", &[1])], vec![])).await.unwrap();
        store.retain_targets(&both[1..], NOW).await.unwrap();
        let back = NOW.saturating_add(DAY * days);
        // The mark is of when it left, however often the configuration is read until it is back.
        store.retain_targets(&both[1..], NOW.saturating_add(DAY * 20)).await.unwrap();
        if restarts {
            store = reopened(store, folder.path()).await;
        }
        if walks {
            store.save_users("edge", SavedUsers { read_at: back, ..users() }).await.unwrap();
            assert_eq!(store.load_users("home").await.unwrap().is_some(), is_there, "{what}");
        }
        store.retain_targets(&both, back).await.unwrap();
        assert_eq!(store.load_users("home").await.unwrap().is_some(), is_there, "{what}");
        assert_eq!(home(&store, "node").await.len(), usize::from(is_there), "{what}");
        // It is back, and what is kept from now on stays.
        store.save_users("home", users()).await.unwrap();
        store.retain_targets(&both, back.saturating_add(DAY * 40)).await.unwrap();
        assert!(store.load_users("home").await.unwrap().is_some(), "{what}");
    }
}

fn fixture(name: &str, folder: &Path) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store").join(name);
    fs::copy(file, folder.join(DATABASE)).unwrap();
}

/// The fixtures were written by versions 1 to 3 of the schema.
#[tokio::test]
async fn a_file_of_an_earlier_version_that_cannot_be_written_is_read_and_kept() {
    for name in ["v1.db", "v2.db", "v3.db"] {
        let folder = tempfile::tempdir().unwrap();
        fixture(name, folder.path());
        let unwritten = database::read_only(&folder.path().join(DATABASE)).unwrap();
        let read = loaded::load(&database::in_memory_like(&unwritten).unwrap()).unwrap();
        drop(unwritten);
        assert_eq!(
            (read.alerts.len(), read.groups.len(), read.outbox.len(), read.receivers.len()),
            (20, 5, 4, 1),
            "{name}"
        );
        let Opened { store, loaded, problem } = opened(folder.path());
        assert_eq!((loaded, problem), (read, None), "{name}");
        // The targets of version 1 have no mark; those that are configured keep their users.
        store.retain_targets(&["home".into()], NOW).await.unwrap();
        assert!(store.load_users("home").await.unwrap().is_some());
        store.commit_counters("home", change("more", vec![row("a", &[1])], vec![])).await.unwrap();
        let store = reopened(store, folder.path()).await;
        assert_eq!(home(&store, "more").await, [row("a", &[1])]);
        store.close().await;
    }
}

/// Earlier versions wrote large rounds in several transactions.
#[tokio::test]
async fn a_round_that_an_earlier_version_did_not_finish_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    fixture("v2.db", folder.path());
    let file = Connection::open(folder.path().join(DATABASE)).unwrap();
    META.put(&file, &["unfinished_round", "6"].map(text)).unwrap();
    drop(file);
    let unwritten = database::read_only(&folder.path().join(DATABASE)).unwrap();
    let read = loaded::load(&database::in_memory_like(&unwritten).unwrap()).unwrap();
    drop(unwritten);
    let Opened { store, loaded, problem } = opened(folder.path());
    assert_eq!((&loaded, problem), (&read, None));
    let ids: Vec<_> = loaded.outbox.iter().map(|message| &*message.id).collect();
    assert_eq!(ids, ["msg_2", "msg_3"]);
    // The mark is gone, and what comes later stays.
    store.record(Batch { messages: vec![message("later")], ..Batch::default() }).await.unwrap();
    assert_eq!(after_restart(store, folder.path()).await.1, ["msg_2", "msg_3", "later"]);
}
