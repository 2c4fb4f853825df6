//! A daemon that is started again and again, or stands still for a while, as on a machine that sleeps.

use std::{collections::BTreeSet, thread, time::Duration};

use proxymeter::simulator::marzban::{Fault, Times};
use tokio::time::Instant;

use super::{BY_RULE, BY_USER, QUIET};
use crate::common::mailbox::Mailbox;
use crate::common::{
    daemon::{Daemon, Home, email, wait_for, webhook},
    hook::{Delivery, Hook},
    simulated::Served,
};

/// Twenty clean restarts, and twenty after a kill. Each life sends the alert of one new user, which shows that it has
/// judged all the others again.
#[test]
fn restarts_are_silent_when_nothing_changed() {
    let _busy = QUIET.read();
    let clean = |daemon: &Daemon| assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
    let lanes: Vec<_> = (0..2)
        .flat_map(|_| {
            [
                thread::spawn(move || restart_ten_times(clean)),
                thread::spawn(|| restart_ten_times(Daemon::kill)),
            ]
        })
        .collect();
    for lane in lanes {
        lane.join().unwrap();
    }
}

fn restart_ten_times(end: impl Fn(&Daemon)) {
    let (panel, hook, mailbox) = (Served::start(), Hook::start(), Mailbox::with(|| {}, || {}));
    for user in 0..10 {
        panel.add_expired(&format!("user-{user}"));
    }
    let tables = webhook("ops", hook.address) + &email("mail", mailbox.address);
    let home = Home::new(panel.address, BY_RULE, &tables);
    for life in 0..=10 {
        panel.add_used_up(&format!("heavy-{life}"));
        let daemon = home.start();
        // The ends once and for all, and one more quota for each life.
        let messages = 2 + life;
        wait_for("the news", || (hook.deliveries().len() >= messages).then_some(()));
        wait_for("the news by mail", || (mailbox.mails().len() >= messages).then_some(()));
        for receiver in ["ops", "mail"] {
            wait_for("an empty queue", || daemon.has_told_all(receiver).then_some(()));
        }
        end(&daemon);
        assert_eq!(hook.deliveries().len(), messages, "{:#?}", hook.events());
        assert_eq!(mailbox.mails().len(), messages, "{:#?}", mailbox.events());
    }
    let ends = |delivery: &&Delivery| delivery.alerts[0]["labels"]["alertname"] == "ProxymeterUserExpiry";
    assert_eq!(hook.deliveries().iter().filter(ends).count(), 1);
    // Quotas by a message that also lists those who were told before.
    assert_eq!(hook.events().len(), 21);
    assert_eq!(hook.resolved(), 0);
}

/// The list that a start finds is older than the alerts after a kill. The panel's system answers at once, its list
/// later: nothing is sent twice, nothing ends by the older list, and what really changed meanwhile is sent once.
#[test]
fn a_restart_before_the_list_answers_sends_only_what_changed() {
    let _busy = QUIET.read();
    let clean = |daemon: &Daemon| assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
    let lanes = [
        thread::spawn(move || restart_before_the_list_answers(clean)),
        thread::spawn(|| restart_before_the_list_answers(Daemon::kill)),
    ];
    for lane in lanes {
        lane.join().unwrap();
    }
}

fn restart_before_the_list_answers(end: impl Fn(&Daemon)) {
    let (panel, hook) = (Served::start(), Hook::start());
    for user in ["renewed", "gone", "still"] {
        panel.add_expired(user);
    }
    for user in ["reset", "quiet"] {
        panel.add_used_up(user);
    }
    panel.add_using("uses", 500);
    let home = Home::new(panel.address, BY_USER, &webhook("ops", hook.address));
    let daemon = home.start();
    let mut sent = BTreeSet::new();
    let mut is_sent = |events: &[&str]| {
        sent.extend(events.iter().map(|event| (*event).to_owned()));
        wait_for("the events", || (hook.events().len() >= sent.len()).then_some(()));
        let events = hook.events();
        let seen: BTreeSet<_> = events
            .iter()
            .map(|(event, ids)| {
                assert_eq!(ids.len(), 1, "{event:?} was sent more than once");
                format!("{} {} {}", event.status, event.subject, event.step)
            })
            .collect();
        assert_eq!((seen, events.len()), (sent.clone(), sent.len()));
    };
    is_sent(&[
        "firing renewed expired",
        "firing gone expired",
        "firing still expired",
        "firing reset 100%",
        "firing quiet 100%",
    ]);

    // The list of the first walk was kept, and that of this one is not.
    assert!(panel.renew_user("renewed", 90 * 24 * 60 * 60));
    assert!(panel.remove_user("gone") && panel.reset_user("reset"));
    panel.add_expired("created");
    assert!(panel.edit_user("uses", |user| user.used_traffic = 850));
    is_sent(&[
        "resolved renewed expired",
        "resolved gone expired",
        "resolved reset 100%",
        "firing created expired",
        "firing uses 80%",
    ]);
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    end(&daemon);

    assert!(panel.remove_user("still"));
    panel.wire.fail("/api/users", Fault::Delay(Duration::from_secs(4)), Times::Always);
    let daemon = home.start();
    let started = Instant::now();
    let read_at = wait_for("the kept list", || daemon.users_read_at());
    wait_for("the panel to be up", || {
        (daemon.value("proxymeter_up{target=\"home\"}") == Some(1.0)).then_some(())
    });
    daemon.wait_until_users_read_after(read_at);
    assert!(started.elapsed() > Duration::from_secs(3), "the list was to answer later than the rest");
    panel.wire.heal();
    panel.add_expired("late");
    is_sent(&["resolved still expired", "firing late expired"]);
    assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
    is_sent(&[]);
}

const REPEAT: Duration = Duration::from_secs(3);
/// Longer than two repeats, a poll and eight group intervals.
const SLEEP: Duration = Duration::from_secs(9);
const ENDS_IN_SLEEP: u32 = 6;

/// Plans end one by one in its sleep, and another alert would have been repeated twice: each group is one message.
#[test]
fn what_was_missed_in_sleep_is_one_message_for_each_group() {
    let _busy = QUIET.read();
    let (panel, hook) = (Served::start(), Hook::start());
    panel.add_expired("early");
    panel.add_used_up("heavy");
    let tables = webhook("ops", hook.address)
        + &format!("[alert.user_quota]\nrepeat_interval = \"{}s\"\n", REPEAT.as_secs());
    let home = Home::new(panel.address, BY_RULE, &tables);
    let daemon = home.start();
    wait_for("the first messages", || (hook.deliveries().len() == 2).then_some(()));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));

    daemon.signal("-STOP");
    for user in 0..ENDS_IN_SLEEP {
        thread::sleep(SLEEP / ENDS_IN_SLEEP);
        panel.add_expired(&format!("user-{user}"));
    }
    assert_eq!(hook.deliveries().len(), 2);
    let woken = Instant::now();
    daemon.signal("-CONT");
    let told = |alertname: &str| -> Vec<Delivery> {
        let of_rule = |delivery: &Delivery| {
            delivery.at > woken
                && delivery.alerts.iter().any(|alert| alert["labels"]["alertname"] == alertname)
        };
        hook.deliveries().into_iter().filter(of_rule).collect()
    };
    let ended = || told("ProxymeterUserExpiry");
    let repeated = || told("ProxymeterUserQuota");
    wait_for("the ends", || ended().first().map(|_| ()));
    wait_for("the repeat after the one that was due", || (repeated().len() >= 2).then_some(()));

    let [ended] = ended().try_into().unwrap();
    assert_eq!(ended.alerts.len(), 1 + ENDS_IN_SLEEP as usize, "{ended:#?}");
    // Those that fell due in its sleep are one, and the next comes when it would have come without.
    let times: Vec<Instant> = repeated().iter().map(|delivery| delivery.at).collect();
    eprintln!("repeated {:?} after it woke", times.iter().map(|time| *time - woken).collect::<Vec<_>>());
    assert!(times[1] - times[0] > REPEAT - Duration::from_secs(1));
    assert_eq!(daemon.value("proxymeter_clock_steps_total"), Some(0.0));
    assert_eq!(daemon.value("proxymeter_up{target=\"home\"}"), Some(1.0));
}
