//! The monthly statement of a program that is killed while it sends it.

use std::{collections::BTreeSet, sync::Arc};

use proxymeter::{
    clock::Clock,
    store::{Batch, Store},
};
use rusqlite::Connection;

use super::{BY_RULE, QUIET, Trap};
use crate::common::{
    daemon::{Home, email, wait_for},
    mailbox::Mailbox,
    simulated::{RUNTIME, Served},
};

/// The last statement becomes a month older.
fn make_due(home: &Home) {
    let opened = Store::open(&home.storage(), Clock::system().now().wall).unwrap();
    let of_mail = opened.loaded.receivers.into_iter().find(|(name, _)| name == "mail");
    let (name, mut state) = of_mail.expect("the start was recorded");
    *state.statements.get_mut("reseller").unwrap() -= 1;
    let batch = Batch { receivers: vec![(name, Some(state))], ..Batch::default() };
    RUNTIME.block_on(async {
        opened.store.record(batch).await.unwrap();
        opened.store.close().await;
    });
}

#[test]
fn a_statement_comes_once_or_again_under_its_id() {
    let _busy = QUIET.read();
    let (trap, sprung) = Trap::new();
    let (read, answered) = (Arc::clone(&trap), Arc::clone(&trap));
    let mailbox = Mailbox::with(move || read.spring_when_read(), move || answered.spring_when_answered());
    let panel = Served::start();
    panel.add_using("ann", 100);
    panel.add_using("=bob", 10);
    let statement = "digest = \"off\"\n[statement.reseller]\nreceiver = \"mail\"\nto = \"r@example.org\"\ntarget = \"home\"\nat = \"00:00\"\n";
    let home = Home::new(panel.address, BY_RULE, &(email("mail", mailbox.address) + statement));

    let daemon = home.start();
    let read = |user: &str, bytes: u64| {
        let series =
            format!("proxymeter_user_traffic_bytes_total{{target=\"home\",user=\"{user}\"}} {bytes}\n");
        wait_for(&series, || daemon.metrics().contains(&series).then_some(()));
    };
    read("ann", 100);
    panel.use_traffic("ann", 300);
    panel.use_traffic("=bob", 5);
    read("ann", 400);
    read("=bob", 15);
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(mailbox.mails().len(), 0, "the last month was over before the first start");
    // All of it was in the last month.
    let history = Connection::open(home.storage().join("usage.db")).unwrap();
    assert!(history.execute("UPDATE months SET period = period - 1", []).unwrap() > 0);
    drop(history);

    for round in 0..9 {
        make_due(&home);
        let before = mailbox.mails().len();
        let point = trap.kill_in_turn(&home, round, &sprung);

        let daemon = home.start();
        wait_for("the statement", || (mailbox.mails().len() > before).then_some(()));
        wait_for("an empty queue", || daemon.has_told_all("mail").then_some(()));
        assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
        assert!(!daemon.log().contains("example.org"), "{}", daemon.log());
        let mails = mailbox.mails().split_off(before);
        let ids: BTreeSet<_> = mails.iter().map(|mail| mail.header("message-id")).collect();
        assert_eq!((ids.len(), mails.len() <= 2), (1, true), "{round} {point:?}: {mails:#?}");
        for mail in &mails {
            assert_eq!(mail, &mails[0], "{round}");
            let text = mail.text().replace("\r\n", "\n");
            assert!(text.contains("* Traffic: 305 B (305 bytes)"), "{text}");
            assert!(text.contains("Most traffic\n\n* ann: 300 B\n\n* =bob: 5 B\n"), "{text}");
            assert!(text.contains("reseller-20"), "{text}");
        }
    }
}
