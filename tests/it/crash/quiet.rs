//! A daemon that is started again and again, or stands still for a while, as on a machine that sleeps.

use std::{thread, time::Duration};

use tokio::time::Instant;

use super::{BY_RULE, QUIET};
use crate::common::mailbox::Mailbox;
use crate::common::{
    daemon::{Daemon, Home, email, wait_for, webhook},
    hook::{Delivery, Hook},
    simulated::Served,
};

/// Twenty clean restarts, and twenty after a kill. Each life is told of one user who is new, which shows that it has
/// judged all the others anew.
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
