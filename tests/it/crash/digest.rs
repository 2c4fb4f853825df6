//! The daily digest of a program that is killed. What has changed is found by one process, and told by another.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use proxymeter::{
    clock::Clock,
    store::{Batch, Store},
};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::{BY_RULE, QUIET, Trap};
use crate::common::{
    daemon::{Home, wait_for, webhook},
    hook::{Hook, Reply},
    simulated::{RUNTIME, Served},
};

const DAY: i64 = 86_400;

/// A time of day that is far from now, so that a digest is due only because the last one was days ago.
fn far_from_now() -> String {
    let hour = Clock::system().now().wall.as_secs().rem_euclid(DAY) / 3600;
    format!("{:02}:00", (hour + 12) % 24)
}

/// The last digest of `ops` becomes two days old.
fn make_due(home: &Home) {
    let now = Clock::system().now().wall;
    let opened = Store::open(&home.storage(), now).unwrap();
    let of_ops = opened.loaded.receivers.into_iter().find(|(name, _)| name == "ops");
    let (name, mut state) = of_ops.expect("the start was recorded");
    assert!(state.last_digest.is_some());
    state.last_digest = Some(now.saturating_sub(Duration::from_secs(2 * 86_400)));
    state.digest_composed = None;
    let batch = Batch { receivers: vec![(name, Some(state))], ..Batch::default() };
    RUNTIME.block_on(async {
        opened.store.record(batch).await.unwrap();
        opened.store.close().await;
    });
}

/// How many changes are in the database.
fn noted(home: &Home) -> i64 {
    let file = home.storage().join("proxymeter.db");
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT count(*) FROM counters WHERE family = 'journal'";
    database.query_row(sql, [], |row| row.get(0)).unwrap_or(0)
}

/// The lines of a digest, by the last word of their heading.
fn lines(digest: &Value) -> Vec<String> {
    let sections = digest["sections"].as_array().unwrap().iter();
    let of_section = |section: &Value| {
        let heading = section["heading"].as_str().unwrap().to_owned();
        let lines = section["lines"].as_array().unwrap().clone();
        lines.into_iter().map(move |line| format!("{heading} | {}", line.as_str().unwrap()))
    };
    sections.flat_map(of_section).collect()
}

#[test]
fn a_digest_comes_once_and_tells_what_an_earlier_process_found() {
    let _busy = QUIET.read();
    let (trap, sprung) = Trap::new();
    let (read, answered) = (Arc::clone(&trap), Arc::clone(&trap));
    let reply = move || {
        read.spring_when_read();
        Reply::Taken
    };
    let hook = Hook::with(reply, move || answered.spring_when_answered());
    let panel = Served::start();
    panel.add_ending("ann", 5 * DAY);
    panel.add_ending("bob", 20 * DAY);
    let keys = format!("digest = \"1d\"\ndigest_at = \"{}\"\n", far_from_now());
    let home = Home::new(panel.address, BY_RULE, &(webhook("ops", hook.address) + &keys));

    let daemon = home.start();
    daemon.address();
    home.wait_until_users_are_kept();
    panel.renew("bob");
    panel.add_ending("cy", 40 * DAY);
    wait_for("two changes", || (noted(&home) == 2).then_some(()));
    daemon.kill();
    assert_eq!(hook.deliveries().len(), 0, "ann waits for the digest");

    for round in 0..12 {
        make_due(&home);
        let (before, asked) = (hook.deliveries().len(), panel.wire.requests_to("/api/users"));
        let point = trap.kill_in_turn(&home, round, &sprung);

        let daemon = home.start();
        wait_for("the users", || (panel.wire.requests_to("/api/users") >= asked + 2).then_some(()));
        wait_for("the digest", || (hook.deliveries().len() > before).then_some(()));
        wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
        assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
        let deliveries = hook.deliveries().split_off(before);
        let ids: BTreeSet<_> = deliveries.iter().map(|delivery| &delivery.id).collect();
        assert_eq!(ids.len(), 1, "{round} {point:?}: {deliveries:#?}");
        for delivery in &deliveries {
            assert_eq!(delivery.alerts, [Value::Null; 0]);
            let lines = lines(&delivery.digest);
            let told = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
            let expected = [
                "This digest is late | ",
                "home: users who expire soon | ann: in 4 days 23 h",
                "home: renewed users | bob: until ",
                "home: new users | cy",
            ];
            assert_eq!(expected.map(told), [1; 4], "{lines:#?}");
            assert_eq!(lines.len(), 4, "{lines:#?}");
        }
    }
    assert_eq!(noted(&home), 2);
}
