//! A disk that is full, which a limit on the size of files stands for.

use std::process::{Command, Stdio};

use super::{BY_USER, QUIET};
use crate::common::{
    daemon::{Daemon, Home, wait_for, webhook},
    hook::Hook,
    simulated::Served,
};

/// The program, which is told of the limit by an error and not by a signal.
fn start(home: &Home) -> Daemon {
    let direct = home.command();
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(direct.get_program())
        .args(direct.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Daemon::run(command)
}

/// No file may grow beyond this many bytes.
fn limit_files(daemon: &Daemon, limit: &str) {
    let pid = format!("--pid={}", daemon.id());
    let status = Command::new("prlimit").args([&pid, &format!("--fsize={limit}:")]).status().unwrap();
    assert!(status.success());
}

fn told(hook: &Hook, alertname: &str) -> Vec<String> {
    let events = hook.events();
    events.into_keys().filter(|event| event.alertname == alertname).map(|event| event.status).collect()
}

#[test]
fn a_full_disk_keeps_nobody_from_being_told_and_is_told_of() {
    let _busy = QUIET.read();
    let (panel, hook) = (Served::start(), Hook::start());
    panel.add_expired("before");
    let home = Home::new(panel.address, BY_USER, &webhook("ops", hook.address));
    let daemon = start(&home);
    let expiries = |count: usize| {
        let told = || (told(&hook, "ProxymeterUserExpiry").len() == count).then_some(());
        wait_for("the users who ended", told);
    };
    expiries(1);
    let store_up =
        |up: f64| wait_for("the store", || (daemon.value("proxymeter_store_up") == Some(up)).then_some(()));
    store_up(1.0);

    limit_files(&daemon, "4096");
    panel.add_expired("during");
    expiries(2);
    store_up(0.0);
    assert!(daemon.value("proxymeter_store_errors_total").unwrap() >= 1.0);
    assert!(daemon.log().contains("the storage is not writable"), "{}", daemon.log());
    wait_for("the alert", || (told(&hook, "ProxymeterStorageFailing") == ["firing"]).then_some(()));
    // A disk that stays full is told of once.
    panel.add_expired("later");
    expiries(3);
    assert_eq!(told(&hook, "ProxymeterStorageFailing"), ["firing"]);

    limit_files(&daemon, "unlimited");
    store_up(1.0);
    wait_for("its end", || (told(&hook, "ProxymeterStorageFailing") == ["firing", "resolved"]).then_some(()));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    let messages = hook.deliveries().len();
    assert_eq!(messages, 5);

    // What happened meanwhile is on the disk now.
    let read_at = daemon.users_read_at().unwrap();
    daemon.kill();
    let daemon = start(&home);
    // A second read, so that what the first brought was judged.
    let first = daemon.wait_until_users_read_after(read_at);
    daemon.wait_until_users_read_after(first);
    assert_eq!(hook.deliveries().len(), messages);
}
