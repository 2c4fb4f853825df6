//! What a receiver refused is sent once more when somebody says so, by the real program.

use std::{
    collections::BTreeMap,
    fs,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    clock::Clock,
    model::{Notice, NoticeAlert, NoticeStatus, Pairs, Severity},
    store::{Batch, LastFailure, Message, ReceiverState, Settlement, Store},
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
fn what_ended_meanwhile_is_not_sent_again() {
    for users in [&["alice"][..], &["alice", "bob"]] {
        let receiver = Receiver::start(|number, _| Answer::status(if number == 0 { 400 } else { 200 }));
        let panel = Served::start();
        for user in users {
            panel.add_expired(user);
        }
        let home = Home::new(panel.address, r#"["target", "alertname"]"#, &webhook("ops", receiver.address));
        let daemon = home.start();
        let value = |name: &str| daemon.value(&format!("proxymeter_{name}{{receiver=\"ops\"}}"));
        wait_for("the refusal", || (value("notifications_abandoned_total") == Some(1.0)).then_some(()));
        panel.renew("alice");
        // It is not known to the receiver that the alert began, so neither is its end.
        let alerts = || daemon.ask("GET", "/api/v1/alerts").1;
        wait_for("the end", || (!alerts().contains("alice")).then_some(()));
        assert_eq!(daemon.stop().0, Some(0));
        let [refused] = receiver.requests().try_into().unwrap();
        assert_eq!(told(&refused.body), (users.len(), 0));

        let (code, said, _) = replay(&home, &[]);
        assert_eq!(code, Some(0));
        let id = refused.header("webhook-id").unwrap();
        let dropped = format!("{id} is dropped: its alerts no longer fire\n");
        assert_eq!(said.contains(&dropped), users.len() == 1, "{said}");
        let revived = users.len() - 1;
        let count = format!("{revived} notifications will be sent at the next start of the exporter\n");
        assert!(said.ends_with(&count), "{said}");
        assert_eq!(replay(&home, &["--list"]).1, "");

        let daemon = home.start();
        wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
        let sent = wait_for("it", || Some(receiver.requests()).filter(|sent| sent.len() > revived));
        let again = sent.iter().skip(1).map(|request| (told(&request.body), request.header("webhook-id")));
        assert_eq!(again.collect::<Vec<_>>(), vec![((1, 0), Some(id)); revived]);
    }
}

/// The row of a user with an alert `event`, which ended or fires.
fn alert(user: &str, event: &str, ended: &str) -> (String, Option<String>) {
    let row = format!(
        r#"{{"kind":"user_expiry","system":"marzban","reading":{{"ends":0}},"peak":0,"steps":[
            {{"step":"1d","severity":"warning","since":0,"event":"{event}","ended":{ended}}}]}}"#
    );
    (format!("user_expiry/home/{user}"), Some(row))
}

#[tokio::test]
async fn what_still_holds_returns_to_the_outbox_and_retries_begin_again() {
    let nobody = "127.0.0.1:9".parse().unwrap();
    let home = Home::new(nobody, "[]", &(webhook("ops", nobody) + &webhook("desk", nobody)));
    let now = Clock::system().now().wall;
    let store = Store::open(&home.storage(), now).unwrap().store;
    let notice = |id: &str, receiver: &str, events: &[(&str, NoticeStatus)]| Notice {
        id: id.into(),
        receiver: receiver.into(),
        group: "{}".into(),
        group_labels: BTreeMap::new(),
        reason: "first notification".into(),
        alerts: events
            .iter()
            .map(|(event, status)| {
                Arc::new(NoticeAlert {
                    event: (*event).into(),
                    status: *status,
                    severity: Severity::Warning,
                    labels: Pairs::default(),
                    annotations: Pairs::default(),
                    starts_at: now,
                    ends_at: None,
                    began: None,
                    until: None,
                })
            })
            .collect(),
        created_at: now.saturating_add(Duration::from_secs(60)),
        ..Notice::default()
    };
    let (firing, resolved) = (NoticeStatus::Firing, NoticeStatus::Resolved);
    let given_up = [
        notice("both", "ops", &[("fires", firing), ("ended", firing)]),
        notice("over", "ops", &[("ended", firing)]),
        notice("end", "desk", &[("ended", resolved)]),
        notice("gone", "mailbox", &[("fires", firing)]),
    ];
    let waiting = notice("waiting", "ops", &[("fires", firing)]);
    let state = ReceiverState {
        failures: 9,
        next_attempt: Some(now),
        failing_since: Some(now),
        disabled: true,
        refused: true,
        given_up: 2,
        most: Some(100),
        last_failure: Some(LastFailure { reason: "auth".into(), detail: "401".into() }),
        ..ReceiverState::default()
    };
    let batch = Batch {
        alerts: vec![alert("ann", "fires", "null"), alert("bob", "ended", r#"[0,"renewed"]"#)],
        messages: given_up.iter().chain([&waiting]).map(|notice| Message::of(notice).unwrap()).collect(),
        settled: given_up.iter().map(|notice| (notice.id.clone(), Settlement::Abandoned)).collect(),
        receivers: vec![("ops".into(), Some(state.clone())), ("desk".into(), Some(state.clone()))],
        ..Batch::default()
    };
    store.record(batch).await.unwrap();
    store.close().await;

    let (code, said, err) = replay(&home, &["ops"]);
    assert_eq!((code, said.matches("is dropped").count()), (Some(0), 1), "{said}{err}");
    let (code, said, _) = replay(&home, &[]);
    assert_eq!((code, said.matches("is dropped").count()), (Some(0), 0), "{said}");
    let opened = Store::open(&home.storage(), now).unwrap();
    let told = opened.loaded.outbox.iter().map(|message| {
        assert!(message.id == "waiting" || message.created_at < waiting.created_at);
        let alerts = message.packed.unpack().unwrap().alerts;
        (message.id.clone(), alerts.iter().map(|alert| alert.event.clone()).collect::<Vec<_>>().join(" "))
    });
    let expected = [("end", "ended"), ("both", "fires"), ("waiting", "fires")];
    assert_eq!(told.collect::<Vec<_>>(), expected.map(|(id, events)| (id.to_owned(), events.to_owned())));
    // What is known of the failure stays until a delivery.
    let reset = ReceiverState { failures: 0, next_attempt: None, disabled: false, ..state };
    let [desk, ops] = ["desk", "ops"].map(|name| (name.to_owned(), reset.clone()));
    assert_eq!(opened.loaded.receivers, [desk, ops]);
    let left = opened.store.dead_letters().await.unwrap();
    assert_eq!(left.iter().map(|message| &*message.id).collect::<Vec<_>>(), ["gone"]);
}
