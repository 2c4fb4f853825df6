//! Who is silenced is not told, until the silence ends.

use std::sync::Arc;

use super::{Bench, route};
use crate::{
    alert::{
        config::{MuteConfig, RuleConfig},
        testing::{HOUR, MINUTE, Panel, at, config},
    },
    model::{AlertState, Severity, Silence, SilenceChange},
};

const FIRST: &str = "first notification";
const NEW: &str = "new alerts added";

impl Bench {
    fn silence(&mut self, matchers: &[&str], from: u64, to: u64, now: u64) -> Arc<str> {
        let silence = Silence {
            id: "".into(),
            matchers: matchers.iter().map(|text| text.parse().unwrap()).collect(),
            starts_at: at(from).wall,
            ends_at: at(to).wall,
            updated_at: at(now).wall,
            created_by: "ann".into(),
            comment: "the move".into(),
        };
        let id = self.engine.change_silences(SilenceChange::Put(silence), at(now)).unwrap();
        self.tick(at(now));
        id
    }

    fn expire(&mut self, id: &Arc<str>, now: u64) {
        self.engine.change_silences(SilenceChange::Expire(Arc::clone(id)), at(now)).unwrap();
        self.tick(at(now));
    }

    /// Subject, state, and by how many silences.
    fn shown(&self) -> Vec<(String, AlertState, usize)> {
        let active = self.engine.active();
        let shown =
            active.iter().map(|alert| (alert.subject.to_string(), alert.state, alert.silenced_by.len()));
        shown.collect()
    }
}

fn told(receiver: &str, reason: &str, alerts: &[&str]) -> (String, String, Vec<String>) {
    (receiver.to_owned(), reason.to_owned(), alerts.iter().map(|alert| (*alert).to_owned()).collect())
}

fn users(names: &[&str]) -> Panel {
    let mut panel = Panel::new("home");
    for name in names {
        panel.uses(name, 96);
    }
    panel
}

#[test]
fn a_silenced_alert_is_told_once_when_the_silence_ends() {
    for restarts in [false, true] {
        let mut bench = Bench::new();
        let mut panel = users(&["ann", "bob"]);
        let id = bench.silence(&["subject=ann"], 0, HOUR, 0);
        bench.poll_for(&mut panel, 0, 30 * MINUTE);
        assert_eq!(bench.said(), [told("ops", FIRST, &["bob 95%"])]);
        let steps = [("ann", AlertState::Suppressed, 1), ("ann", AlertState::Suppressed, 1)];
        let steps =
            steps.into_iter().chain([("bob", AlertState::Suppressed, 0), ("bob", AlertState::Firing, 0)]);
        let expected: Vec<_> = steps.map(|(name, state, by)| (name.to_owned(), state, by)).collect();
        assert_eq!(bench.shown(), expected);
        let silenced: u64 = bench.suppressed.iter().map(|suppressed| suppressed.silenced).sum();
        assert_eq!(silenced, 1);
        let active = bench.engine.active();
        assert_eq!((active.silences.len(), &active.silences[0].id), (1, &id));
        if restarts {
            bench.restart(at(30 * MINUTE));
        }
        bench.poll_for(&mut panel, 30 * MINUTE, HOUR - 1);
        assert_eq!(bench.said(), []);
        // To the second, and without waiting for a poll.
        bench.pass(at(HOUR - 1), at(HOUR));
        assert_eq!(bench.said(), [told("ops", NEW, &["ann 95%", "bob 95%"])]);
        assert!(bench.shown().contains(&("ann".to_owned(), AlertState::Firing, 0)));
        if restarts {
            bench.restart(at(HOUR + 1));
        }
        bench.poll_for(&mut panel, HOUR + 1, 4 * HOUR);
        assert_eq!(bench.said(), []);
    }
}

#[test]
fn a_silence_that_is_expired_early_ends_at_once() {
    let mut bench = Bench::new();
    let mut panel = users(&["ann"]);
    let id = bench.silence(&["target=home", "kind=user"], 0, 100 * HOUR, 0);
    bench.poll_for(&mut panel, 0, 20 * MINUTE);
    assert_eq!(bench.said(), []);
    bench.expire(&id, 20 * MINUTE);
    assert_eq!(bench.said(), [told("ops", FIRST, &["ann 95%"])]);
    bench.poll_for(&mut panel, 20 * MINUTE, HOUR);
    assert_eq!(bench.said(), []);
}

#[test]
fn a_pending_silence_holds_from_its_start_on() {
    let mut bench = Bench::new();
    let mut panel = users(&["ann"]);
    bench.silence(&["subject=~ann|bob"], 30 * MINUTE, HOUR, 0);
    bench.poll_for(&mut panel, 0, 29 * MINUTE);
    assert_eq!(bench.said(), [told("ops", FIRST, &["ann 95%"])]);
    bench.pass(at(29 * MINUTE), at(30 * MINUTE));
    assert!(bench.shown().iter().all(|(_, state, by)| (*state, *by) == (AlertState::Suppressed, 1)));
    // One that fires within it, and ends within it, is never told.
    panel.uses("bob", 96);
    bench.poll_for(&mut panel, 30 * MINUTE, 40 * MINUTE);
    panel.uses("bob", 1);
    bench.poll_for(&mut panel, 40 * MINUTE, 2 * HOUR);
    assert_eq!(bench.said(), []);
}

/// As with mutes: who knows of an alert hears of its end when the silence is over.
#[test]
fn an_end_within_a_silence_is_told_after_it() {
    let mut bench = Bench::new();
    let mut panel = users(&["ann"]);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    assert_eq!(bench.said(), [told("ops", FIRST, &["ann 95%"])]);
    bench.silence(&["subject=ann"], 0, HOUR, 10 * MINUTE);
    panel.uses("ann", 1);
    bench.poll_for(&mut panel, 10 * MINUTE, 30 * MINUTE);
    bench.restart(at(30 * MINUTE));
    bench.poll_for(&mut panel, 30 * MINUTE, HOUR - 1);
    assert_eq!(bench.said(), []);
    bench.poll_for(&mut panel, HOUR - 1, HOUR + MINUTE);
    assert_eq!(bench.said(), [told("ops", "all alerts resolved", &["-ann 95%"])]);
}

#[test]
fn the_later_of_a_mute_and_a_silence_counts() {
    let mute = MuteConfig {
        days: Vec::new(),
        hours: Some((0, 24 * 60)),
        zone: "UTC".into(),
        matchers: [("subject".to_owned(), "a*".to_owned())].into(),
        below: None,
    };
    let mut config = config();
    config.mutes.insert("always".into(), mute);
    let mut bench = Bench::with(config, vec![route("ops")]);
    let mut panel = users(&["ann", "bob"]);
    bench.silence(&["subject=~ann|bob"], 0, HOUR, 0);
    bench.poll_for(&mut panel, 0, HOUR - 1);
    assert_eq!(bench.said(), []);
    let mutes = bench.engine.active().mutes.clone();
    assert_eq!((mutes.len(), &*mutes[0].name), (1, "always"));
    // A mute alone suppresses nothing that is shown.
    bench.poll_for(&mut panel, HOUR - 1, HOUR + MINUTE);
    assert_eq!(bench.said(), [told("ops", FIRST, &["bob 95%"])]);
    assert!(bench.shown().contains(&("ann".to_owned(), AlertState::Firing, 0)));
}

#[test]
fn a_reload_keeps_silences() {
    let mut bench = Bench::new();
    let mut panel = users(&["ann"]);
    let id = bench.silence(&["subject=ann"], 0, HOUR, 0);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    bench.routes.push(route("second"));
    bench.engine.reconfigure(&bench.config, bench.routes.clone(), at(10 * MINUTE)).unwrap();
    bench.poll_for(&mut panel, 10 * MINUTE, 20 * MINUTE);
    assert_eq!(bench.said(), []);
    bench.expire(&id, 20 * MINUTE);
    bench.pass(at(20 * MINUTE), at(21 * MINUTE));
    assert_eq!(bench.said(), ["ops", "second"].map(|name| told(name, FIRST, &["ann 95%"])));
}

/// What a silence was found to be about is not what it is about once a label of the alert changes.
#[test]
fn a_changed_severity_is_compared_with_silences() {
    let mut bench = Bench::new();
    let mut panel = users(&["ann"]);
    bench.silence(&["severity=critical"], 0, HOUR, 0);
    let silenced = |bench: &Bench| bench.shown().iter().map(|(_, _, by)| *by).max();
    for (round, (severity, expected)) in
        [(Severity::Critical, 1), (Severity::Info, 0), (Severity::Critical, 1)].into_iter().enumerate()
    {
        let rule = RuleConfig { severity: Some(severity), ..RuleConfig::default() };
        bench.config.rules.insert("user_quota".to_owned(), rule);
        let from = u64::try_from(round).unwrap() * 10 * MINUTE;
        bench.engine.reconfigure(&bench.config, bench.routes.clone(), at(from)).unwrap();
        bench.poll_for(&mut panel, from, from + 10 * MINUTE);
        assert_eq!(silenced(&bench), Some(expected), "{severity:?}");
    }
}

/// An Alertmanager has silences of its own, and is posted what fires.
#[test]
fn an_alertmanager_is_posted_what_is_silenced_here() {
    let mut standing = route("am");
    standing.standing = true;
    let mut bench = Bench::with(config(), vec![standing]);
    let mut panel = users(&["ann"]);
    bench.silence(&["subject=ann"], 0, HOUR, 0);
    bench.poll_for(&mut panel, 0, 10 * MINUTE);
    let (firing, ended) = bench.engine.standing("am", None, at(10 * MINUTE));
    let subjects: Vec<_> = firing.iter().map(|alert| &alert.labels["subject"]).collect();
    assert_eq!((subjects, ended.len()), (vec!["ann"], 0));
}
