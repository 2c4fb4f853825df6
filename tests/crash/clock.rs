//! The program under a wall clock that jumps, with libfaketime; the panel's clock and the receiver's are right.

use std::{collections::BTreeSet, env, ffi::OsString, fs, path::PathBuf};

use tempfile::TempDir;

use crate::{
    BY_RULE,
    daemon::{Daemon, Home, wait_for, webhook},
    hook::{Delivery, Hook},
    panel::Served,
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
    let asked = panel.requests_to("/api/users");
    // The read under way is an old one, and when the one after the next begins, the next was judged.
    wait_for("the users to be read", || (panel.requests_to("/api/users") >= asked + 3).then_some(()));
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
    let all = BTreeSet::from(["gone expired".to_owned(), "near 3d".to_owned()]);
    assert_eq!(alerts(&hook.deliveries(), "firing"), all);
    assert_eq!(steps(&daemon), 0.0);
    let told = |offset: &str| {
        let told = told_after(&wall, offset, &daemon, &panel, &hook);
        eprintln!(
            "{offset}: {} messages, firing {:?}, resolved {:?}",
            told.len(),
            alerts(&told, "firing"),
            alerts(&told, "resolved")
        );
        told
    };
    told("+3650d");
    told("+0");
    told("-1d");
    told("+0");
}
