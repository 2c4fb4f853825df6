//! The program under a wall clock that jumps, with libfaketime; the panel's clock and the receiver's are right.

use std::{collections::BTreeSet, env, ffi::OsString, fs, path::PathBuf};

use tempfile::TempDir;

use super::BY_RULE;
use crate::common::{
    daemon::{Daemon, Home, wait_for, webhook},
    hook::{Delivery, Hook},
    simulated::Served,
};

const DAY: i64 = 86_400;

/// What a daemon takes for the wall clock, set by how far it is off.
struct Wall {
    folder: TempDir,
}

impl Wall {
    fn new() -> Wall {
        let wall = Wall { folder: tempfile::tempdir().unwrap() };
        wall.set_off_by("+0");
        wall
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("time")
    }

    /// Such as `-1d`.
    fn set_off_by(&self, offset: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, offset).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    /// Has libfaketime read the file each time it is asked, and leave the clock alone that nobody sets.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let library =
            env::var_os("LIBFAKETIME").expect("run by scripts/clock_e2e.sh, which says where it is");
        vec![
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", self.file().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }
}

fn steps(daemon: &Daemon) -> f64 {
    daemon.value("proxymeter_clock_steps_total").unwrap()
}

/// Sets the clock, waits until that was noticed and the users were read anew, and returns what was told meanwhile.
fn told_after(wall: &Wall, offset: &str, daemon: &Daemon, panel: &Served, hook: &Hook) -> Vec<Delivery> {
    let (before, noticed) = (hook.deliveries().len(), steps(daemon));
    wall.set_off_by(offset);
    let asked = panel.wire.requests_to("/api/users");
    // When the read after the next begins, the next was judged.
    wait_for("the users to be read", || (panel.wire.requests_to("/api/users") >= asked + 2).then_some(()));
    wait_for("the step to be noticed", || (steps(daemon) > noticed).then_some(()));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    assert_eq!(daemon.value("proxymeter_up{target=\"home\"}"), Some(1.0), "{offset}");
    hook.deliveries().split_off(before)
}

/// Subjects and steps of all alerts with this status.
fn alerts(deliveries: &[Delivery], status: &str) -> BTreeSet<String> {
    let alerts = deliveries.iter().flat_map(|delivery| &delivery.alerts);
    let alerts = alerts.filter(|alert| alert["status"] == status);
    let label = |alert: &serde_json::Value, name| alert["labels"][name].as_str().unwrap().to_owned();
    alerts.map(|alert| format!("{} {}", label(alert, "subject"), label(alert, "step"))).collect()
}

#[test]
#[ignore = "needs libfaketime; scripts/clock_e2e.sh runs it"]
fn a_clock_that_jumps_makes_no_storm_and_mutes_nobody() {
    let (wall, panel, hook) = (Wall::new(), Served::start(), Hook::start());
    for user in 0..40 {
        panel.add_ending(&format!("far-{user:02}"), (30 + user) * DAY);
    }
    panel.add_ending("near", 5 * DAY / 2);
    panel.add_expired("gone");
    let mut home = Home::new(panel.address, BY_RULE, &webhook("ops", hook.address));
    home.environment = wall.environment();
    let daemon = home.start();
    wait_for("the first message", || hook.deliveries().first().map(|_| ()));
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let all = set(&["gone expired", "near 3d"]);
    assert_eq!(alerts(&hook.deliveries(), "firing"), all);
    assert_eq!(steps(&daemon), 0.0);
    let told = |offset: &str| {
        let told = told_after(&wall, offset, &daemon, &panel, &hook);
        let (firing, resolved) = (alerts(&told, "firing"), alerts(&told, "resolved"));
        eprintln!("{offset}: {} messages, firing {firing:?}, resolved {resolved:?}", told.len());
        (told.len(), firing, resolved)
    };
    // The panel's users are active although their time has long come by this clock, so nobody is told.
    for offset in ["+3650d", "+0"] {
        assert_eq!(told(offset), (0, set(&[]), set(&[])), "{offset}");
    }
    // By a day nobody can say which clock is right: what ends by it is told, and what begins again. Those whom a poll
    // by name confirms before the list does may have a message of their own.
    let (messages, _, resolved) = told("-1d");
    assert!((1..=2).contains(&messages), "{messages}");
    assert_eq!(resolved, all);
    let (messages, firing, resolved) = told("+0");
    assert!((1..=2).contains(&messages) && firing.is_superset(&all), "{messages}: {firing:?}");
    assert_eq!(resolved, set(&[]));
    panel.add_expired("late");
    wait_for("who ended since", || {
        alerts(&hook.deliveries(), "firing").contains("late expired").then_some(())
    });

    wall.set_off_by("+3650d");
    panel.add_used_up("heavy");
    wait_for("who is told of while the clock is wrong", || {
        alerts(&hook.deliveries(), "firing").contains("heavy 100%").then_some(())
    });
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    daemon.kill();
    wall.set_off_by("+0");
    let before = hook.deliveries().len();
    let asked = panel.wire.requests_to("/api/users");
    let daemon = home.start();
    wait_for("the users to be read", || (panel.wire.requests_to("/api/users") >= asked + 2).then_some(()));
    assert!(steps(&daemon) >= 1.0, "a time that lies ahead is seen in what was stored");
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    assert_eq!(hook.deliveries().len(), before, "{:#?}", hook.deliveries());
    assert!(panel.reset_user("heavy"));
    panel.add_expired("last");
    wait_for("the end of what began ahead", || {
        alerts(&hook.deliveries(), "resolved").contains("heavy 100%").then_some(())
    });
    wait_for("who ended last", || {
        alerts(&hook.deliveries(), "firing").contains("last expired").then_some(())
    });
    let told = alerts(&hook.deliveries(), "firing");
    assert!(!told.iter().any(|alert| alert.starts_with("far")), "{told:?}");
    assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
}
