//! What a receiver refused is sent once more when somebody says so, by the real program.

use std::{
    fs,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use proxymeter::{
    clock::Clock,
    model::{NoticeStatus, Severity},
    notify::OwnAlert,
    store::{Batch, FallbackKnows, Pending, ReceiverState, Settled, Settlement, Store},
};

use crate::common::{
    daemon::{Home, wait_for, webhook},
    receiver::{Answer, Receiver},
    simulated::Served,
};

/// The exit code, and what was said on stdout and stderr.
fn replay(home: &Home, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = home.command();
    let config = command.get_args().next().unwrap().to_owned();
    command = std::process::Command::new(command.get_program());
    command.arg("replay-notifications").arg(config).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn what_was_given_up_is_sent_once_more() {
    for refusal in [400, 410] {
        let answer = Arc::new(AtomicU16::new(refusal));
        let asked = Arc::clone(&answer);
        let receiver = Receiver::start(move |_, _| Answer::status(asked.load(Ordering::Relaxed)));
        let panel = Served::start();
        panel.add_expired("alice");
        let tables = webhook("ops", receiver.address);
        let home = Home::new(panel.address, r#"["target", "alertname"]"#, &tables);
        let daemon = home.start();
        wait_for("the refusal", || (!receiver.requests().is_empty()).then_some(()));
        let failures = "proxymeter_notification_attempts_total{receiver=\"ops\"}";
        wait_for("it to be noted", || (daemon.value(failures) == Some(1.0)).then_some(()));

        // While the exporter runs, the folder is its own.
        let (code, _, said) = replay(&home, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("another proxymeter uses this storage folder"), "{said}");
        assert_eq!(daemon.stop().0, Some(0));

        let (code, _, said) = replay(&home, &["opps"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("there is no receiver opps; the receivers are: ops"), "{said}");
        let (code, listed, _) = replay(&home, &["--list"]);
        let given_up = refusal == 400;
        assert_eq!((code, listed.lines().count()), (Some(0), usize::from(given_up)), "{listed}");
        assert!(!listed.contains("alice"), "{listed}");

        answer.store(200, Ordering::Relaxed);
        let file = home.command().get_args().next().unwrap().to_str().unwrap().to_owned();
        let file = file.strip_prefix("--config.file=").unwrap();
        let good = fs::read_to_string(file).unwrap();
        // Secrets may be there only while the exporter runs, and its folder may be told by its arguments.
        let elsewhere = good
            .replace("password = \"root-password\"", "password_file = \"/nowhere/at/all\"")
            .replace("storage\"\n", "elsewhere\"\n");
        assert_eq!(elsewhere.matches("where").count(), 2, "{elsewhere}");
        fs::write(file, elsewhere).unwrap();
        let (code, said, err) =
            replay(&home, &[&format!("--storage.path={}", home.storage().display()), "ops"]);
        assert_eq!(code, Some(0), "{err}");
        fs::write(file, good).unwrap();
        // A receiver that is gone is only asked again when somebody says so; its notice was not given up yet.
        let count = usize::from(given_up);
        assert!(
            said.ends_with(&format!(
                "{count} notifications will be sent at the next start of the exporter\n"
            )),
            "{said}"
        );
        assert_eq!(replay(&home, &["--list"]).1, "");
        let daemon = home.start();
        wait_for("it to be sent", || (receiver.requests().len() == 2).then_some(()));
        wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
        let requests = receiver.requests();
        assert!(requests[0].header("webhook-id").is_some());
        assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    }
}

/// Numbers of firing and of ended alerts that a message told.
fn told(body: &[u8]) -> (usize, usize) {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let alerts = body["alerts"].as_array().unwrap();
    let ended = alerts.iter().filter(|alert| alert["status"] == "resolved").count();
    (alerts.len() - ended, ended)
}

#[test]
fn what_ended_meanwhile_is_told_as_ended() {
    for users in [&["alice"][..], &["alice", "bob"]] {
        // The beginning is refused for good, and the end of alice's for now.
        let later = Arc::new(AtomicU16::new(503));
        let asked = Arc::clone(&later);
        let receiver = Receiver::start(move |number, _| {
            Answer::status(if number == 0 { 400 } else { asked.load(Ordering::Relaxed) })
        });
        let panel = Served::start();
        for user in users {
            panel.add_expired(user);
        }
        let home = Home::new(panel.address, r#"["target", "alertname"]"#, &webhook("ops", receiver.address));
        let daemon = home.start();
        let value = |name: &str| daemon.value(&format!("proxymeter_{name}{{receiver=\"ops\"}}"));
        wait_for("the refusal", || (value("notifications_abandoned_total") == Some(1.0)).then_some(()));
        panel.renew("alice");
        wait_for("the end", || (value("notification_attempts_total") >= Some(2.0)).then_some(()));
        assert_eq!(daemon.stop().0, Some(0));
        let requests = receiver.requests();
        assert_eq!(told(&requests[0].body), (users.len(), 0));
        assert_eq!(told(&requests[1].body), (users.len() - 1, 1));

        later.store(200, Ordering::Relaxed);
        let (code, said, _) = replay(&home, &[]);
        assert_eq!(code, Some(0));
        let id = requests[0].header("webhook-id").unwrap();
        let dropped = format!("{id} is dropped: its alerts no longer fire\n");
        assert_eq!(said.contains(&dropped), users.len() == 1, "{said}");
        let revived = users.len() - 1;
        assert!(
            said.ends_with(&format!(
                "{revived} notifications will be sent at the next start of the exporter\n"
            )),
            "{said}"
        );
        assert_eq!(replay(&home, &["--list"]).1, "");

        // What was refused comes first: what waits is newer.
        let opened = Store::open(&home.storage(), Clock::system().now().wall).unwrap();
        let ids: Vec<_> = opened.loaded.outbox.iter().map(|row| row.notice.id.as_str()).collect();
        assert_eq!(ids.iter().position(|known| *known == id), (revived == 1).then_some(0));
        let firing = |row: &Pending| row.notice.status() == NoticeStatus::Firing;
        assert_eq!(opened.loaded.outbox.iter().filter(|row| firing(row)).count(), 2 * revived);
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(opened.store.close());

        let before = receiver.requests().len();
        let daemon = home.start();
        wait_for("an empty queue", || {
            daemon.value("proxymeter_notifications_total{receiver=\"ops\"}").filter(|sent| *sent > 0.0)
        });
        wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
        let requests = receiver.requests();
        assert_eq!(requests.len(), before + 1);
        assert_eq!(told(&requests[before].body), (users.len() - 1, 1));
    }
}

#[tokio::test]
async fn that_a_receiver_fails_is_told_once_more_to_whom_its_end_will_be_told() {
    let nobody = "127.0.0.1:9".parse().unwrap();
    let home = Home::new(nobody, "[]", &(webhook("ops", nobody) + &webhook("desk", nobody)));
    let now = Clock::system().now().wall;
    let store = Store::open(&home.storage(), now).unwrap().store;
    // The desk fails still, and ops knows; what it knew of the mailbox is over.
    let failing = |subject| OwnAlert {
        alertname: "ProxymeterNotificationsFailing",
        severity: Severity::Critical,
        status: NoticeStatus::Firing,
        since: now,
        kind: "receiver",
        subject,
        summary: "",
        description: "",
        reason: "",
    };
    let [desk, mailbox] = ["desk", "mailbox"].map(|name| failing(name).notice("ops", now));
    let to_desk = failing("desk").notice("desk", now);
    let notices = vec![desk.clone(), mailbox, to_desk];
    store.record(Batch { notices: &notices, ..Batch::default() }).await.unwrap();
    let state = ReceiverState {
        failing_since: Some(now),
        fallback_knows: FallbackKnows::Failing,
        fallback: Some("ops".into()),
        ..ReceiverState::default()
    };
    let settled = Settled {
        notices: notices.iter().map(|notice| (notice.id.as_str(), Settlement::Abandoned)).collect(),
        receiver: Some(("desk", &state)),
        ..Settled::default()
    };
    store.settle(settled).await.unwrap();
    store.close().await;

    let (code, said, _) = replay(&home, &[]);
    assert_eq!((code, said.matches("is dropped").count()), (Some(0), 2), "{said}");
    let opened = Store::open(&home.storage(), now).unwrap();
    let revived: Vec<_> = opened.loaded.outbox.iter().map(|row| &row.notice.id).collect();
    assert_eq!(revived, [&desk.id]);
}
