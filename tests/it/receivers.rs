//! Receivers come, go and change places while they hang or fail, in the real program.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use proxymeter::simulator::inbox::{Manner, Message, Service};

use crate::common::{
    chats::Fake,
    daemon::{Daemon, Home, wait_for, webhook},
    hook::{Hook, Reply},
    simulated::Served,
};

const BY_USER: &str = r#"["target", "alertname", "subject"]"#;
/// Long enough for the configuration to change twice meanwhile.
const HANGS: &str = "timeout = \"10s\"\n";

/// Goes on under this configuration.
fn reload(daemon: &Daemon, home: &Home, text: &str) {
    fs::write(home.file(), text).unwrap();
    daemon.reload();
}

/// A receiver that does as the mutex says.
fn steered(reply: Reply) -> (Hook, Arc<Mutex<Reply>>) {
    let steer = Arc::new(Mutex::new(reply));
    let asked = Arc::clone(&steer);
    (Hook::with(move || *asked.lock().unwrap(), || {}), steer)
}

/// The ids under which it came that a user's plan ended or, of status `resolved`, that it was renewed.
fn ids(hook: &Hook, user: &str, status: &str) -> Vec<String> {
    let events = hook.events().into_iter();
    events
        .filter(|(event, _)| event.subject == user && event.status == status)
        .flat_map(|(_, ids)| ids)
        .collect()
}

#[test]
fn a_receiver_that_is_added_again_while_it_hangs_goes_on() {
    let (panel, (hook, reply)) = (Served::start(), steered(Reply::Taken));
    panel.add_expired("alice");
    let home = Home::new(panel.address, BY_USER, "");
    let without = fs::read_to_string(home.file()).unwrap();
    let with = without.clone() + &webhook("ops", hook.address) + HANGS;
    fs::write(home.file(), &with).unwrap();
    let daemon = home.start();
    let of_ops = |name: &str| daemon.value(&format!("proxymeter_{name}{{receiver=\"ops\"}}"));
    wait_for("alice", || (of_ops("notifications_total") == Some(1.0)).then_some(()));

    *reply.lock().unwrap() = Reply::Hang;
    panel.renew("alice");
    wait_for("the end to hang", || (hook.resolved() == 1).then_some(()));
    reload(&daemon, &home, &without);
    reload(&daemon, &home, &with);
    *reply.lock().unwrap() = Reply::Taken;
    wait_for("the end", || (of_ops("notifications_total") == Some(2.0)).then_some(()));
    let ends = ids(&hook, "alice", "resolved");
    assert!(ends.len() == 2 && ends[0] == ends[1], "{ends:?}");
    panel.add_expired("bob");
    wait_for("bob", || (of_ops("notifications_total") == Some(3.0)).then_some(()));
    assert_eq!((ids(&hook, "alice", "firing").len(), ids(&hook, "bob", "firing").len()), (1, 1));
    assert_eq!(of_ops("notification_attempts_total"), Some(4.0), "its counters went on");
    assert_eq!(of_ops("notifications_abandoned_total"), Some(0.0));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));

    // Gone before what hangs has ended, it begins with nothing.
    *reply.lock().unwrap() = Reply::Hang;
    panel.renew("bob");
    wait_for("the end to hang", || (hook.resolved() == 3).then_some(()));
    reload(&daemon, &home, &without);
    wait_for("the receiver to be forgotten", || of_ops("notifications_total").is_none().then_some(()));
    assert_eq!(
        daemon.log().matches("notification given up: its receiver is no longer configured").count(),
        1
    );
    *reply.lock().unwrap() = Reply::Taken;
    reload(&daemon, &home, &with);
    panel.add_expired("carol");
    wait_for("carol", || (of_ops("notifications_total") == Some(1.0)).then_some(()));
    assert_eq!(ids(&hook, "carol", "firing").len(), 1);
    assert_eq!((hook.resolved(), hook.deliveries().len()), (3, 6));
}

/// What a receiver was told of another that fails, in order.
fn told_of_failing(hook: &Hook) -> Vec<(String, String)> {
    let deliveries = hook.deliveries();
    let alerts = deliveries.iter().flat_map(|delivery| &delivery.alerts);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    alerts
        .filter(|alert| alert["labels"]["alertname"] == "ProxymeterNotificationsFailing")
        .map(|alert| (text(&alert["status"]), text(&alert["annotations"]["description"])))
        .collect()
}

#[test]
fn who_was_told_of_a_failing_receiver_is_told_when_that_is_over_for_him() {
    for restarted in [false, true] {
        let (panel, first, second) = (Served::start(), Hook::start(), Hook::start());
        let (ops, reply) = steered(Reply::Unavailable);
        panel.add_expired("alice");
        let home = Home::new(panel.address, BY_USER, "");
        let plain = fs::read_to_string(home.file()).unwrap()
            + &webhook("first", first.address)
            + &webhook("second", second.address);
        let falling_back_to = |name: &str, text: &str| {
            let keys = format!("[alerting]\nfallback = \"{name}\"\nfallback_after = \"1s\"\n");
            text.replace("[alerting]\n", &keys)
        };
        let with_ops = plain.clone() + &webhook("ops", ops.address);
        fs::write(home.file(), falling_back_to("first", &with_ops)).unwrap();
        let daemon = home.start();
        let statuses = |hook| told_of_failing(hook).into_iter().map(|(status, _)| status).collect::<Vec<_>>();
        wait_for("the fallback to be told", || (statuses(&first) == ["firing"]).then_some(()));
        assert_eq!(statuses(&second), [""; 0]);

        reload(&daemon, &home, &falling_back_to("second", &with_ops));
        wait_for("the new fallback", || (statuses(&second) == ["firing"]).then_some(()));
        let without_ops = falling_back_to("second", &plain);
        let daemon = if restarted {
            assert_eq!(daemon.stop().0, Some(0));
            fs::write(home.file(), without_ops).unwrap();
            home.start()
        } else {
            reload(&daemon, &home, &without_ops);
            daemon
        };
        for hook in [&first, &second] {
            wait_for("the end", || (statuses(hook) == ["firing", "resolved"]).then_some(()));
        }
        assert_eq!(
            daemon.log().matches("its receiver is no longer configured").count(),
            1,
            "{}",
            daemon.log()
        );

        // It begins with nothing: no wait, and nothing to take back.
        *reply.lock().unwrap() = Reply::Taken;
        reload(&daemon, &home, &falling_back_to("first", &with_ops));
        let taken = "proxymeter_notifications_total{receiver=\"ops\"}";
        wait_for("alice", || (daemon.value(taken) == Some(1.0)).then_some(()));
        for name in ["first", "second", "ops"] {
            wait_for("an empty queue", || daemon.has_told_all(name).then_some(()));
        }
        assert_eq!((statuses(&first).len(), statuses(&second).len()), (2, 2));
    }
}

/// Chats and pagers are receivers like the others: each is told what begins and what ends, fails, is tried again, and
/// counts.
#[test]
fn every_kind_of_chat_is_told_what_begins_and_what_ends() {
    let panel = Served::start();
    let mut fakes = Service::ALL.map(Fake::live);
    let name = |fake: &Fake| format!("{:?}", fake.service).to_lowercase();
    let tables: String = fakes.iter().map(|fake| fake.table(&name(fake))).collect();
    panel.add_expired("alice");
    let home = Home::new(panel.address, BY_USER, &tables);
    let daemon = home.start();
    let of = |fake: &Fake, metric: &str| {
        daemon.value(&format!("proxymeter_notification{metric}{{receiver=\"{}\"}}", name(fake)))
    };
    let is = |message: &Message, word: &str| {
        [&message.title, &message.text, &message.body].iter().any(|text| text.contains(word))
    };
    for fake in &mut fakes {
        let message = wait_for("alice", || fake.taken().pop());
        assert!(is(&message, "alice"), "{message:?}");
        wait_for("the outcome", || (of(fake, "s_total") == Some(1.0)).then_some(()));
    }

    fakes.iter().for_each(|fake| fake.server.behave(Manner::Broken));
    panel.renew("alice");
    for fake in &fakes {
        let series = format!(
            "proxymeter_notification_failures_total{{receiver=\"{}\",reason=\"server_error\"}}",
            name(fake)
        );
        wait_for("a failure", || (daemon.value(&series) >= Some(1.0)).then_some(()));
    }
    fakes.iter().for_each(|fake| fake.server.behave(Manner::Fair));
    for fake in &mut fakes {
        let message = wait_for("the end", || fake.taken().pop());
        assert!(is(&message, "alice"), "{message:?}");
        wait_for("the outcome", || (of(fake, "s_total") == Some(2.0)).then_some(()));
        assert!(of(fake, "_attempts_total") >= Some(3.0));
        assert_eq!(of(fake, "s_abandoned_total"), Some(0.0));
        assert_eq!(fake.server.incidents(), []);
        wait_for("an empty queue", || daemon.has_told_all(&name(fake)).then_some(()));
        assert_eq!(fake.taken(), []);
    }
    let log = daemon.log();
    for fake in &fakes {
        let token = crate::common::chats::options(fake.service).token;
        assert!(!log.contains(&token), "{:?}", fake.service);
    }
}
