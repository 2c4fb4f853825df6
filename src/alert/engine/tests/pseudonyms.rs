use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Bench, route};
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig, Within},
        rule::KINDS,
        testing::{BEGIN, DAY, HOUR, Panel, at, config},
        words::Pseudonym,
    },
    model::{Counter, Extras, KIND_USER, LastOnline, Notice, NoticeStatus, Rates, UserStatus},
};

const CODE: &str = "c0de";

fn pseudonym() -> Option<Pseudonym> {
    Some(Box::new(|_| CODE.to_owned()))
}

fn bench() -> Bench {
    let enabled = RuleConfig { enabled: Some(true), ..RuleConfig::default() };
    let mut rules: BTreeMap<_, _> = ["user_status", "user_inactive", "user_devices"]
        .map(|name| (name.to_owned(), enabled.clone()))
        .into();
    let (limit, within) = (Some(1000), Some(Within::Hour));
    rules.insert("user_traffic".to_owned(), RuleConfig { limit, within, ..enabled });
    let config = AlertingConfig { rules, ..config() };
    let mut by_subject = route("by_subject");
    by_subject.group_by = vec!["alertname".into(), "subject".into()];
    Bench::with(config, vec![route("ops"), by_subject])
}

/// Every notice about a user of this name: every rule about users in each of its wordings, firing and resolved.
fn life_of(name: &str) -> Vec<Notice> {
    let mut bench = bench();
    bench.pseudonym = pseudonym();
    let mut panel = Panel::new("home");
    panel.expires(name, 2 * DAY);
    panel.uses(name, 80);
    panel.report.rates = Some(Arc::new(Rates::new(BEGIN, [(name.into(), Some(30))])));
    let extras = |devices| Extras { devices: Some(devices), devices_limit: Some(2), ..Extras::default() };
    panel.set(name, |user| {
        user.last_online = LastOnline::seen(BEGIN.saturating_sub(Duration::from_secs(40 * DAY)));
        user.extra = extras(3).into();
    });
    bench.poll_for(&mut panel, 0, HOUR);
    // Slower, so that the forecast does not hold any more.
    panel.report.rates = Some(Arc::new(Rates::new(BEGIN, [(name.into(), Some(1))])));
    bench.poll_for(&mut panel, HOUR, HOUR + HOUR / 2);
    panel.set(name, |user| {
        user.last_online = LastOnline::seen(BEGIN);
        user.extra = extras(1).into();
        user.traffic = Counter::new(2000);
    });
    panel.uses(name, 100);
    panel.set(name, |user| user.status = UserStatus::Limited);
    bench.poll_for(&mut panel, HOUR + HOUR / 2, 2 * HOUR);
    panel.set(name, |user| user.status = UserStatus::Expired);
    bench.poll_for(&mut panel, 2 * DAY, 2 * DAY + HOUR);
    panel.expires(name, 90 * DAY);
    panel.uses(name, 0);
    panel.set(name, |user| user.status = UserStatus::Active);
    bench.poll_for(&mut panel, 2 * DAY + HOUR, 2 * DAY + 2 * HOUR);
    bench.notices
}

/// The same, without what is random, and in an order of its own.
fn text(mut notices: Vec<Notice>) -> String {
    notices.sort_by_cached_key(|notice| (notice.created_at, notice.receiver.clone(), notice.group.clone()));
    for notice in &mut notices {
        notice.id.clear();
        notice.alerts.iter_mut().for_each(|alert| Arc::make_mut(alert).event.clear());
    }
    serde_json::to_string_pretty(&notices).unwrap()
}

#[test]
fn a_notice_with_pseudonyms_does_not_depend_on_the_name() {
    let notices = life_of("canary");
    let mut wordings: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for alert in notices.iter().flat_map(|notice| &notice.alerts) {
        assert_eq!(&alert.labels["subject"], CODE);
        let description = &alert.annotations["description"];
        let reached = description.contains("used up") || description.contains(" expired ");
        let wording = if reached { "reached" } else { "usual" };
        wordings.entry(alert.labels["alertname"].to_owned()).or_default().insert(wording);
    }
    for kind in KINDS.iter().filter(|kind| kind.kind == KIND_USER) {
        assert_eq!(wordings[kind.alertname].len(), 1 + usize::from(kind.reached.is_some()), "{}", kind.name);
    }
    let grouped = notices.iter().filter_map(|notice| notice.group_labels.get("subject"));
    assert!(grouped.clone().count() > 5 && grouped.clone().all(|subject| subject == CODE));

    let expected = text(notices);
    assert!(!expected.contains("canary"), "{expected}");
    for name in
        ["User", "expires", "has", "80", "of home", "{target}", "c0de", "can\"ary\n", "alertname=\"x\"", " "]
    {
        assert_eq!(text(life_of(name)), expected, "{name:?}");
    }
}

#[test]
fn the_order_of_pseudonyms_does_not_show_that_of_names() {
    // Each pseudonym begins with the last letter of the name: they have the reverse order.
    const NAMES: [&str; 4] = ["a-z", "b-y", "c-x", "d-w"];
    let mut bench = bench();
    bench.pseudonym = Some(Box::new(|name| name.chars().rev().collect()));
    let mut panel = Panel::new("home");
    NAMES.iter().for_each(|name| panel.expires(name, 2 * DAY));
    bench.poll_for(&mut panel, 0, HOUR);
    NAMES.iter().for_each(|name| panel.expires(name, 90 * DAY));
    bench.poll_for(&mut panel, HOUR, 2 * HOUR);
    for status in [NoticeStatus::Firing, NoticeStatus::Resolved] {
        for receiver in ["ops", "by_subject"] {
            let notices = bench.notices.iter().filter(|notice| notice.receiver == receiver);
            let alerts = notices.flat_map(|notice| &notice.alerts).filter(|alert| alert.status == status);
            let subjects: Vec<_> = alerts.map(|alert| &alert.labels["subject"]).collect();
            if receiver == "ops" {
                assert_eq!(subjects, ["w-d", "x-c", "y-b", "z-a"], "{status:?}");
            }
            assert_ne!(subjects, ["z-a", "y-b", "x-c", "w-d"], "{receiver} {status:?}");
        }
    }
}

#[test]
fn only_users_have_pseudonyms() {
    let notices_of_a_target = |pseudonym| {
        let mut bench = bench();
        bench.pseudonym = pseudonym;
        let mut panel = Panel::new("home");
        (panel.report.host.disk_used, panel.report.host.disk_size) = (Some(96), Some(100));
        bench.poll_for(&mut panel, 0, HOUR);
        assert!(!bench.notices.is_empty());
        text(bench.notices)
    };
    assert_eq!(notices_of_a_target(pseudonym()), notices_of_a_target(None));
}

#[test]
fn a_change_between_names_and_pseudonyms_sends_nothing_and_is_in_force_at_once() {
    let mut bench = bench();
    let mut panel = Panel::new("home");
    let subjects = |bench: &mut Bench| {
        let alerts: Vec<_> = bench.notices.drain(..).flat_map(|notice| notice.alerts).collect();
        alerts.into_iter().map(|alert| alert.labels["subject"].to_owned()).collect::<Vec<_>>()
    };
    bench.pseudonym = pseudonym();
    panel.expires("alice", 2 * DAY);
    bench.poll_for(&mut panel, 0, HOUR);
    assert_eq!(subjects(&mut bench), [CODE, CODE]);
    bench.pseudonym = None;
    bench.poll_for(&mut panel, HOUR, 2 * HOUR);
    bench.restart(at(2 * HOUR));
    bench.poll_for(&mut panel, 2 * HOUR, 3 * HOUR);
    assert!(bench.notices.is_empty());
    panel.expires("alice", 90 * DAY);
    bench.poll_for(&mut panel, 3 * HOUR, 4 * HOUR);
    // Each receiver learns that the alert it knows is resolved.
    assert_eq!(subjects(&mut bench), ["alice", "alice"]);
}
