//! A daemon that stands still for a while, as on a machine that sleeps, and goes on.

use std::{thread, time::Duration};

use tokio::time::Instant;

use crate::{
    BY_RULE, QUIET,
    daemon::{Home, wait_for, webhook},
    hook::{Delivery, Hook},
    panel::Served,
};

const REPEAT: Duration = Duration::from_secs(5);
/// Longer than two repeats, two polls and ten group intervals.
const SLEEP: Duration = Duration::from_secs(12);
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
