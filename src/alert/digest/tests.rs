use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::*;
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig, StepConfig},
        testing::{BEGIN, DAY, HOUR, MINUTE, Panel, at, config},
    },
    clock::Clock,
    model::{Credential, Digest, DigestSection, Fact, Move, Node, NodeStatus, Outbound, Rates, UserStatus},
    store::{Counted, Usage as History},
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
    let found = of([&panel.report], rules, ("ops", &Tops::default()), None, at(since).wall, at(now));
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
fn users_are_listed_who_use_up_their_quota_soon() {
    let mut panel = panel();
    let daily = [("a", 10), ("b", 20), ("c", 30), ("idle", 0)];
    for (name, _) in daily {
        panel.uses(name, 70);
        panel.set(name, |user| (user.used, user.limit) = (70, Some(100)));
    }
    panel.poll(at(0));
    let soon = |panel: &Panel, rule: RuleConfig| {
        let found = digest(panel, &rules(&[("quota_forecast", rule)]), 0, 0);
        users(&found.used_up_soon, |line| &line.user)
    };
    assert_eq!(soon(&panel, RuleConfig::default()), "", "without a history");
    let rates = daily.map(|(name, daily)| (name.into(), Some(daily)));
    panel.report.rates = Some(Arc::new(Rates::new(at(0).wall, rates)));
    for (rule, expected) in [
        (RuleConfig::default(), "c b a"),
        (RuleConfig { exclude: vec!["b".into()], ..RuleConfig::default() }, "c a"),
        (RuleConfig { receivers: Some(vec!["oncall".into()]), ..RuleConfig::default() }, ""),
        (RuleConfig { enabled: Some(false), ..RuleConfig::default() }, ""),
        // What is sent at once does not wait.
        (RuleConfig { severity: Some(Severity::Warning), ..RuleConfig::default() }, ""),
    ] {
        assert_eq!(soon(&panel, rule.clone()), expected, "{rule:?}");
    }
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
    let found = of(reports, &rules(&[]), ("ops", &Tops::default()), None, at(0).wall, at(0));
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
    let found = of([&panel.report], &rules(&[]), ("ops", &Tops::default()), Some(&pseudonym), BEGIN, at(0));
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
    assert_eq!(outages(&panel, &all, 0, 2300), [(2000, None)], "of both, the last one");
    let both = &digest(&panel, &all, 0, 2300).outages.lines[0];
    assert_eq!((both.count, both.lasted.as_secs()), (2, 600));
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
        let told = found.lines.iter().map(|line| (secs(line.since), secs(line.until.unwrap()), line.count));
        let last = expected.last().map(|(since, until)| (*since, *until, expected.len()));
        assert_eq!(told.collect::<Vec<_>>(), Vec::from_iter(last), "{pieces:?}");
        let lasted = found.lines.iter().map(|line| line.lasted.as_secs()).sum::<u64>();
        assert_eq!(lasted, expected.iter().map(|(since, until)| until - since).sum::<u64>());
    }
}

#[test]
fn outages_of_all_kinds_are_listed_by_subject() {
    let mut panel = panel();
    panel.poll(at(0));
    let outbound =
        |label: &str, up| Outbound { label: label.into(), up, uplink: None, downlink: None, latency: None };
    let credential = |label: &str, available| Credential {
        label: label.into(),
        available: Some(available),
        ..Credential::default()
    };
    for (secs, up) in [(100, false), (700, true), (1000, false), (1700, true), (2000, false), (2900, false)] {
        panel.report.nodes = Arc::default();
        let node = Node::named("DE-1", if up { NodeStatus::Connected } else { NodeStatus::Error });
        panel.report.merge(Fact::Nodes(vec![node]), at(secs));
        // Whether it is up is not known at first, and one is removed while it is down.
        let warp = outbound("warp", (secs > 100).then_some(up));
        let listed = if secs < 2900 { vec![warp, outbound("old", Some(secs < 2000))] } else { vec![warp] };
        panel.report.merge(Fact::Outbounds(listed), at(secs));
        let keys = vec![credential("claude-1", up), credential("fine", true)];
        panel.report.merge(Fact::Credentials(keys), at(secs));
    }
    let found = digest(&panel, &rules(&[]), 0, 2900).outages;
    let line = |line: &Outages| {
        let name = line.subject.name().unwrap();
        format!("{name} {} {} {}", line.count, line.lasted.as_secs(), line.until.is_none())
    };
    assert_eq!(
        found.lines.iter().map(line).collect::<Vec<_>>(),
        ["DE-1 3 2200 true", "claude-1 1 2800 true", "warp 2 1600 true", "old 1 900 false"],
        "what comes back for less than its rule waits is still down"
    );
    let voice = Voice::new(Language::En, TimeZone::UTC, "");
    let found = of([&panel.report], &rules(&[]), ("ops", &Tops::default()), None, BEGIN, at(2900));
    let digest = notice(("ops", &voice), &found, at(2900).wall, BEGIN, at(2900).wall).digest.unwrap();
    assert_eq!(digest.title, "Daily digest, 18 November 2026: 7 outages");
    assert_eq!(
        digest.sections[0].lines[..2],
        [
            "node DE-1 is down since 18 November 2026, 11:40 UTC, for 15 min so far \
             (the last of 3 outages, 36 min 40 s altogether)",
            "credential claude-1 is not available since 18 November 2026, 11:08 UTC, for 46 min 40 s so far",
        ]
    );
}

/// What users of `home` used yesterday.
fn used(clock: &Clock, of: &[(&str, u64)]) -> History {
    let usage = History::in_memory(clock, TimeZone::UTC);
    let moves = |at: Timestamp, times: u64| {
        let one = |(name, bytes): &(&str, u64)| Move {
            name: (*name).into(),
            before: Some(bytes * (times - 1).min(1)),
            total: bytes * times,
            last_read: Some(at),
            ..Move::default()
        };
        of.iter().map(one).collect()
    };
    let yesterday = BEGIN.saturating_sub(Duration::from_secs(DAY));
    usage.saw("home", Counted::Users, moves(yesterday, 1), Duration::from_secs(600), yesterday);
    usage.saw("home", Counted::Users, moves(BEGIN, 1000), Duration::from_secs(600), BEGIN);
    usage.write_and_wait();
    usage
}

#[test]
fn the_users_with_the_most_traffic_of_yesterday_are_listed() {
    let clock = Clock::starting_at(BEGIN);
    let usage =
        used(&clock, &[("ann", 5 << 30), ("bob", 7 << 30), ("test-1", 9 << 30), ("cy", 1), ("idle", 0)]);
    let panel = panel();
    let top = |rules: &Rules, most: usize, pseudonym: Option<&Pseudonym>| {
        let ask = AskTop::of([&panel.report], rules, "ops", most)?;
        let tops = ask.read(&usage).unwrap();
        let found = of([&panel.report], rules, ("ops", &tops), pseudonym, BEGIN, at(0));
        let digest = notice(("ops", &Voice::default()), &found, BEGIN, BEGIN, BEGIN).digest.unwrap();
        assert!(found.iter().all(OfTarget::has_no_news));
        Some(text(&digest))
    };
    let nothing = "Nothing to report\n- Nothing has changed since 18 November 2026, 11:06 UTC, and no user expires \
                   soon or is near the data limit.\n";
    let list = |lines: &str| Some(format!("{nothing}home: most traffic on 17 November 2026\n{lines}"));
    assert_eq!(top(&rules(&[]), 2, None), list("- test-1: 9 GiB\n- bob: 7 GiB\n"));
    assert_eq!(top(&rules(&[]), 0, None), None);
    // Of no interest, or for another receiver.
    let exclude = RuleConfig { exclude: vec!["test-*".into()], ..RuleConfig::default() };
    let without = rules(&[("user_expiry", exclude.clone()), ("user_quota", exclude)]);
    assert_eq!(top(&without, 20, None), list("- bob: 7 GiB\n- ann: 5 GiB\n- cy: 1 B\n"));
    let others = RuleConfig { receivers: Some(vec!["oncall".into()]), ..RuleConfig::default() };
    let for_others = rules(&[("user_expiry", others.clone()), ("user_quota", others)]);
    assert_eq!(top(&for_others, 20, None), None);
    let pseudonym: Pseudonym = Box::new(|name| format!("#{}", name.len()));
    assert_eq!(top(&rules(&[]), 1, Some(&pseudonym)), list("- #6: 9 GiB\n"));
}

#[test]
fn traffic_of_more_than_a_day_is_said_to_be() {
    let usage = History::in_memory(&Clock::starting_at(BEGIN), TimeZone::UTC);
    let yesterday = BEGIN.saturating_sub(Duration::from_secs(DAY));
    let read = |name: &str, before: u64, total: u64, days: u64| Move {
        name: name.into(),
        before: Some(before),
        total,
        last_read: Some(yesterday.saturating_sub(Duration::from_secs(days * DAY))),
        ..Move::default()
    };
    let moves = vec![
        read("a", 0, 9 << 30, 2),
        read("b", 9, 5 << 30, 0),
        read("c", 9 << 30, 1 << 30, 0),
        read("d", 9, 2, 2),
    ];
    usage.saw("home", Counted::Users, moves, Duration::from_secs(600), yesterday);
    usage.write_and_wait();
    let panel = panel();
    let tops = AskTop::of([&panel.report], &rules(&[]), "ops", 9).unwrap().read(&usage).unwrap();
    let found = of([&panel.report], &rules(&[]), ("ops", &tops), None, BEGIN, at(0));
    let digest = notice(("ops", &Voice::default()), &found, BEGIN, BEGIN, BEGIN).digest.unwrap();
    assert_eq!(
        digest.sections.last().unwrap().lines,
        [
            "a: 9 GiB (not exact: nothing was read for a while)",
            "b: 4.9 GiB",
            "c: 1 GiB (without what was used just before a reset)",
            "d: 2 B (not exact: nothing was read for a while, without what was used just before a reset)",
        ]
    );
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
    let found = of([&panel.report], &rules(&[]), ("ops", &Tops::default()), None, BEGIN, at(960));
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
