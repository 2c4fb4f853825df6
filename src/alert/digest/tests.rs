use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::*;
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig, StepConfig},
        testing::{BEGIN, DAY, HOUR, MINUTE, Panel, at, config},
    },
    model::{Digest, DigestSection, Node, NodeStatus, UserStatus},
    wording::Language,
};

fn rules(tables: &[(&str, RuleConfig)]) -> Rules {
    let tables = tables.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone()));
    Rules::new(&AlertingConfig { rules: tables.collect::<BTreeMap<_, _>>(), ..config() }).unwrap()
}

/// A target without anything to say.
fn panel() -> Panel {
    let mut panel = Panel::new("home");
    panel.report.journal.keep(Some(BEGIN), at(0));
    panel
}

fn digest(panel: &Panel, rules: &Rules, since: u64, now: u64) -> OfTarget {
    let found = of([&panel.report], rules, "ops", None, at(since).wall, at(now));
    assert!(found.len() <= 1);
    found.into_iter().next().unwrap_or_default()
}

fn users<T>(listed: &Listed<T>, name: impl Fn(&T) -> &str) -> String {
    let names: Vec<_> = listed.lines.iter().map(name).collect();
    let more = if listed.more > 0 { format!(" +{}", listed.more) } else { String::new() };
    names.join(" ") + &more
}

fn expiring(found: &OfTarget) -> String {
    users(&found.expiring, |line| &line.user)
}

fn nearly(found: &OfTarget) -> String {
    users(&found.nearly_used_up, |line| &line.user)
}

#[test]
fn users_are_listed_who_expire_within_a_week() {
    let mut panel = panel();
    panel.expires("week", 7 * DAY);
    panel.expires("later", 7 * DAY + 1);
    panel.expires("soon", HOUR);
    panel.expires("over", 0);
    panel.expires("day", DAY);
    panel.expires("off", DAY);
    panel.set("off", |user| user.status = UserStatus::Disabled);
    panel.expires("renews", DAY);
    panel.set("renews", |user| user.renews = true);
    panel.poll(at(0));
    let all = rules(&[]);
    assert_eq!(expiring(&digest(&panel, &all, 0, 0)), "soon day week");
    // Some are of no interest, or for another receiver.
    let but = |rule: RuleConfig| rules(&[("user_expiry", rule)]);
    let none = RuleConfig::default;
    for (rule, expected) in [
        (RuleConfig { exclude: vec!["d*".into()], ..none() }, "soon week"),
        (RuleConfig { targets: vec!["other".into()], ..none() }, ""),
        (RuleConfig { receivers: Some(vec!["oncall".into()]), ..none() }, ""),
        (RuleConfig { receivers: Some(vec!["oncall".into(), "ops".into()]), ..none() }, "soon day week"),
        (RuleConfig { enabled: Some(false), ..none() }, ""),
        (RuleConfig { renewing: true, ..none() }, "soon day renews week"),
        // The widest step waits for the digest, too.
        (
            RuleConfig { steps: Some(vec![StepConfig::Time(Duration::from_secs(10 * DAY))]), ..none() },
            "soon day week later",
        ),
    ] {
        assert_eq!(expiring(&digest(&panel, &but(rule.clone()), 0, 0)), expected, "{rule:?}");
    }
    // What was read too long ago is not judged.
    assert_eq!(expiring(&digest(&panel, &all, 0, DAY / 2)), "");
}

#[test]
fn users_are_listed_who_have_used_most_of_their_quota() {
    let mut panel = panel();
    for (name, percent) in [("a", 79), ("b", 80), ("c", 99), ("d", 85), ("e", 85), ("f", 100), ("g", 50)] {
        panel.uses(name, percent);
    }
    panel.set("f", |user| user.status = UserStatus::Limited);
    panel.set("g", |user| (user.used, user.limit) = (u64::MAX, None));
    panel.set("h", |user| (user.used, user.limit) = (u64::MAX - 1, Some(u64::MAX)));
    panel.poll(at(0));
    assert_eq!(nearly(&digest(&panel, &rules(&[]), 0, 0)), "h c d e b");
    let half = RuleConfig { steps: Some(vec![StepConfig::Ratio(0.79)]), ..RuleConfig::default() };
    assert_eq!(nearly(&digest(&panel, &rules(&[("user_quota", half)]), 0, 0)), "h c d e b a");
}

#[test]
fn a_list_has_at_most_twenty_lines_and_a_count() {
    let mut panel = panel();
    for user in 0..50 {
        panel.expires(&format!("u{user:02}"), 3 * DAY - user * MINUTE);
    }
    panel.poll(at(0));
    let found = digest(&panel, &rules(&[]), 0, 0);
    assert_eq!((found.expiring.lines.len(), found.expiring.more), (LINES, 30));
    assert_eq!(found.expiring.lines[0].user, "u49");
    // All targets together.
    let reports = vec![&panel.report; 40];
    let found = of(reports, &rules(&[]), "ops", None, at(0).wall, at(0));
    let lines: usize = found.iter().map(|of_target| of_target.expiring.lines.len()).sum();
    assert_eq!((lines, found.len()), (ALL_LINES, 40));
    assert_eq!(found[39].expiring, Listed { lines: vec![], more: 50 });
}

#[test]
fn what_has_changed_is_listed_as_it_is_now() {
    let mut panel = panel();
    for name in ["ann", "bob", "cy", "dee"] {
        panel.expires(name, 10 * DAY);
        panel.uses(name, 60);
    }
    panel.poll(at(0));
    panel.expires("ann", 40 * DAY);
    panel.expires("bob", 40 * DAY);
    panel.set("cy", |user| user.expiry = Expiry::Never);
    panel.uses("ann", 0);
    panel.set("dee", |user| user.limit = Some(300));
    panel.set("eve", |_| {});
    panel.poll(at(MINUTE));
    // It was a mistake.
    panel.expires("bob", 9 * DAY);
    panel.uses("ann", 5);
    panel.poll(at(2 * MINUTE));
    let found = digest(&panel, &rules(&[]), 0, 3 * MINUTE);
    let end = BEGIN.saturating_add(Duration::from_secs(40 * DAY));
    let renewed = |user: &str, until| Renewed { user: user.into(), until };
    assert_eq!(found.renewed.lines, [renewed("ann", Some(end)), renewed("cy", None)]);
    let reset = |user: &str, used, used_before, limit| Reset {
        user: user.into(),
        used,
        used_before,
        limit: Some(limit),
        limit_before: Some(100),
    };
    assert_eq!(found.reset.lines, [reset("ann", 5, 60, 100), reset("dee", 60, 60, 300)]);
    assert_eq!(found.new.lines, ["eve"]);
    // The next digest does not say it again.
    assert_eq!(digest(&panel, &rules(&[]), 2 * MINUTE, 3 * MINUTE), OfTarget::default());
    // Each rule hides whom it does not ask about.
    let hidden = |rule: RuleConfig| RuleConfig { exclude: vec!["ann".into(), "eve".into()], ..rule };
    let both = rules(&[
        ("user_expiry", hidden(RuleConfig::default())),
        ("user_quota", hidden(RuleConfig::default())),
    ]);
    let found = digest(&panel, &both, 0, 3 * MINUTE);
    assert_eq!(found.renewed.lines, [renewed("cy", None)]);
    assert_eq!((found.reset.lines.len(), found.new.lines.len()), (1, 0));
}

#[test]
fn names_are_those_of_notifications() {
    let mut panel = panel();
    panel.expires("ann", DAY);
    panel.expires("bob", DAY);
    panel.uses("ann", 90);
    panel.poll(at(0));
    let pseudonym: Pseudonym = Box::new(|name| format!("#{}", name.chars().rev().collect::<String>()));
    let found = of([&panel.report], &rules(&[]), "ops", Some(&pseudonym), BEGIN, at(0));
    // In the order of what is shown.
    assert_eq!(expiring(&found[0]), "#bob #nna");
    assert_eq!(nearly(&found[0]), "#nna");
}

#[test]
fn outages_are_listed_that_lasted_as_long_as_their_rule_says() {
    let mut panel = panel();
    panel.poll(at(0));
    let journal = &mut panel.report.journal;
    for (secs, up) in [(0, false), (299, true), (1000, false), (1300, true), (2000, false), (2100, false)] {
        journal.target_was(up, at(secs));
    }
    let outages = |panel: &Panel, rules: &Rules, since, now| {
        let found = digest(panel, rules, since, now).outages;
        let secs = |time: Timestamp| time.since(BEGIN).as_secs();
        found.lines.iter().map(|line| (secs(line.since), line.until.map(secs))).collect::<Vec<_>>()
    };
    let all = rules(&[]);
    assert_eq!(outages(&panel, &all, 0, 2200), [(1000, Some(1300))]);
    assert_eq!(outages(&panel, &all, 0, 2300), [(1000, Some(1300)), (2000, None)]);
    assert_eq!(outages(&panel, &all, 1300, 2300), [(2000, None)]);
    let off = RuleConfig { receivers: Some(Vec::new()), ..RuleConfig::default() };
    assert_eq!(outages(&panel, &rules(&[("target_down", off)]), 0, 2300), []);
}

#[test]
fn pieces_of_an_outage_are_one() {
    // By `for` of 3 minutes: when a node was down, and the outage that it says.
    type Spans = &'static [(u64, u64)];
    let cases: [(Spans, Spans); 6] = [
        (&[(0, 100), (130, 230), (260, 360)], &[(0, 360)]),
        (&[(0, 100)], &[]),
        (&[(0, 100), (300, 400)], &[]),
        (&[(0, 70), (240, 310), (480, 550)], &[]),
        (&[(0, 200), (370, 440)], &[(0, 440)]),
        (&[(0, 200), (380, 450), (1000, 1180)], &[(0, 200), (1000, 1180)]),
    ];
    for (pieces, expected) in cases {
        let mut panel = panel();
        for (from, to) in pieces {
            let ends =
                [(*from, NodeStatus::Error), (*to - 1, NodeStatus::Error), (*to, NodeStatus::Connected)];
            for (secs, status) in ends {
                panel.report.nodes = Arc::new(vec![Node::named("DE-1", status)]);
                panel.poll(at(secs));
            }
        }
        let found = digest(&panel, &rules(&[]), 0, 2000).outages;
        let secs = |time: Timestamp| time.since(BEGIN).as_secs();
        let told = found.lines.iter().map(|line| (secs(line.since), secs(line.until.unwrap())));
        assert_eq!(told.collect::<Vec<_>>(), expected, "{pieces:?}");
    }
}

#[test]
fn a_target_is_read_once_its_users_are() {
    let mut panel = panel();
    assert!(!is_read(&panel.report));
    panel.report.up = Some(true);
    assert!(!is_read(&panel.report), "its users are yet to be read");
    panel.poll(at(0));
    assert!(is_read(&panel.report));
    let mut down = Panel::new("home");
    down.report.up = Some(false);
    assert!(is_read(&down.report));
}

#[test]
fn a_digest_says_it_in_words() {
    let mut panel = panel();
    panel.expires("ann", DAY + 23 * HOUR);
    panel.set("bob", |user| (user.used, user.limit) = (97 << 30, Some(100 << 30)));
    for name in ["cy", "dee", "eve"] {
        panel.expires(name, 2 * DAY);
        panel.set(name, |user| (user.used, user.limit) = (60 << 30, Some(100 << 30)));
    }
    panel.report.nodes = Arc::new(vec![Node::named("DE-1", NodeStatus::Error)]);
    panel.poll(at(0));
    panel.users.remove("eve");
    panel.set("new\u{202e}\nuser", |_| {});
    panel.expires("cy", 67 * DAY);
    panel.uses("cy", 0);
    panel.set("cy", |user| user.limit = Some(100 << 30));
    panel.set("dee", |user| (user.limit, user.expiry) = (Some(200 << 30), Expiry::Never));
    panel.poll(at(400));
    panel.report.nodes = Arc::new(vec![Node::named("DE-1", NodeStatus::Connected)]);
    panel.poll(at(500));
    panel.report.journal.target_was(false, at(600));
    panel.report.journal.target_was(false, at(900));
    let found = of([&panel.report], &rules(&[]), "ops", None, BEGIN, at(960));
    let voice = Voice::new(Language::En, TimeZone::UTC, "");
    let digest = notice(("ops", &voice), &found, at(900).wall, BEGIN, at(960).wall).digest.unwrap();
    assert_eq!(
        digest.title,
        "Daily digest, 18 November 2026: 2 outages, 1 user expires soon, 1 user is near the data limit"
    );
    assert_eq!(
        text(&digest),
        "\
home: outages
- node DE-1 was down for 8 min 20 s, from 18 November 2026, 11:06 UTC
- home cannot be read since 18 November 2026, 11:16 UTC, for 6 min so far
home: users who expire soon
- ann: in 1 day 22 h (20 November 2026, 10:06 UTC)
home: users near the data limit
- bob: 97 % (97 of 100 GiB)
home: renewed users
- cy: until 24 January 2027
- dee: without an end date
home: users who can use more again
- cy: 0 B of 100 GiB used, 60 GiB before
- dee: 60 of 200 GiB used, the limit was 100 GiB
home: new users
- new\u{fffd} user
home: deleted users
- eve
"
    );
    let late = notice(("ops", &voice), &[], BEGIN, BEGIN, at(3 * DAY).wall).digest.unwrap();
    assert_eq!(
        text(&late),
        "\
This digest is late
- It was due on 18 November 2026, 11:06 UTC and covers everything since 18 November 2026, 11:06 UTC.
Nothing to report
- Nothing has changed since 18 November 2026, 11:06 UTC, and no user expires soon or is near the data limit.
"
    );
}

fn text(digest: &Digest) -> String {
    let section = |section: &DigestSection| {
        let lines: String = section.lines.iter().map(|line| format!("- {line}\n")).collect();
        format!("{}\n{lines}", section.heading)
    };
    digest.sections.iter().map(section).collect()
}
