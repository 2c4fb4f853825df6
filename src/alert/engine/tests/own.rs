//! Alerts about the daemon itself, and about its login.

use super::{Bench, route};
use crate::{
    alert::testing::{HOUR, MINUTE, Panel, at, config},
    board::Board,
    model::{Condition, Outcome, OwnState, Part, Reason},
};

fn failing(cause: &'static str) -> Condition {
    Condition::Failing(cause.into())
}

/// A daemon without targets.
struct Daemon {
    bench: Bench,
    board: Board,
}

impl Daemon {
    /// What receivers hear until `until` of the state that begins at `from`.
    fn is(&mut self, from: u64, until: u64, change: impl FnOnce(&mut OwnState)) -> Vec<String> {
        self.board.change_own(change);
        self.bench.engine.observe(&self.board.view(), at(from));
        self.bench.tick(at(from));
        self.bench.pass(at(from), at(until));
        self.bench.said().into_iter().flat_map(|(_, _, alerts)| alerts).collect()
    }
}

#[test]
fn people_are_told_of_a_daemon_that_fails_once_and_when_it_is_well_again() {
    let mut daemon = Daemon { bench: Bench::new(), board: Board::new([]) };
    let nothing: [&str; 0] = [];
    let good = |own: &mut OwnState| {
        *own = OwnState {
            storage: Condition::Good,
            configuration: Condition::Good,
            heartbeat: Condition::Good,
            ..OwnState::default()
        };
    };
    assert_eq!(daemon.is(0, 60, good), nothing);
    // A hiccup of the disk.
    assert_eq!(daemon.is(60, 69, |own| own.storage = failing("not writable")), nothing);
    assert_eq!(daemon.is(69, 300, good), nothing);
    assert_eq!(daemon.is(300, 350, |own| own.storage = failing("not writable")), ["storage"]);

    // A start does not know yet.
    daemon.bench.restart(at(360));
    assert_eq!(daemon.is(360, 700, |own| own.storage = Condition::Unknown), nothing);
    assert_eq!(daemon.is(700, 1100, good), ["-storage"]);

    assert_eq!(daemon.is(1100, 1390, |own| own.configuration = failing("the file cannot be used")), nothing);
    assert_eq!(daemon.is(1390, 1440, |_| {}), ["configuration"]);
    let heartbeat = |own: &mut OwnState| own.heartbeat = failing("poll home is stuck");
    assert_eq!(daemon.is(1440, 1480, heartbeat), ["heartbeat"]);
    let known = daemon.bench.engine.active();
    let known: Vec<_> =
        known.list.iter().map(|alert| (alert.alertname, &*alert.target, alert.kind)).collect();
    let expected =
        [("ProxymeterHeartbeatWithheld", "", "exporter"), ("ProxymeterReloadFailed", "", "exporter")];
    assert_eq!(known, expected);
    // Targets come and go.
    daemon.board.set_targets(&[]);
    assert_eq!(daemon.is(1480, 2 * HOUR, |_| {}), nothing);
    let mut told = daemon.is(2 * HOUR, 2 * HOUR + 6 * MINUTE, good);
    told.sort();
    assert_eq!(told, ["-configuration", "-heartbeat"]);
}

#[test]
fn a_heartbeat_that_is_withheld_says_why() {
    let mut daemon = Daemon { bench: Bench::new(), board: Board::new([]) };
    daemon.board.change_own(|own| own.heartbeat = failing("poll home is stuck"));
    daemon.bench.engine.observe(&daemon.board.view(), at(0));
    daemon.bench.pass(at(0), at(60));
    let alert = &daemon.bench.notices[0].alerts[0];
    assert_eq!(&alert.annotations["description"], "The heartbeat is not sent: poll home is stuck.");
    let labels: Vec<_> = alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected =
        ["alertname=ProxymeterHeartbeatWithheld", "kind=exporter", "severity=critical", "subject=heartbeat"];
    assert_eq!(labels, expected);
}

#[test]
fn a_refused_login_is_told_of_before_the_target_counts_as_down() {
    let mut bench = Bench::with(config(), vec![route("ops")]);
    let mut panel = Panel::new("home");
    bench.observe(&[panel.poll(at(0))], at(0));
    let mut refused = |bench: &mut Bench, from: u64, until: u64| {
        for secs in (from..until).step_by(30) {
            panel.down(at(secs));
            let outcome = Outcome::Failed { reason: Reason::Auth, detail: "the password is wrong".into() };
            panel.report.parts.get_mut(&Part::System).unwrap().outcome = outcome;
            bench.observe(&[panel.report()], at(secs));
            bench.pass(at(secs), at(secs + 30));
        }
    };
    refused(&mut bench, 30, 120);
    assert_eq!(bench.names(), [("ProxymeterLoginRefused".to_owned(), 1)]);
    refused(&mut bench, 120, 600);
    assert_eq!(bench.names(), [("ProxymeterTargetDown".to_owned(), 1)]);

    // No answer is no news of the login.
    let report = panel.down(at(600));
    bench.observe(&[report], at(600));
    bench.pass(at(600), at(700));
    assert_eq!(bench.names(), []);
    bench.poll_for(&mut panel, 700, 1700);
    let mut ended = bench.names();
    ended.sort();
    let one = |name: &str| (name.to_owned(), 1);
    assert_eq!(ended, [one("ProxymeterLoginRefused"), one("ProxymeterTargetDown")]);
}
