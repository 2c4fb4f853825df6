use super::*;
use crate::model::{CredentialStatus, Fact, NamedUsers, Report, Unreadable, UserFacts, WalkEnd, WholeList};

const DAY: u64 = 86_400;

fn at(secs: u64) -> Moment {
    let uptime = Duration::from_secs(secs);
    Moment { wall: Timestamp::from_secs(1_795_000_000).saturating_add(uptime), uptime }
}

fn wall(secs: u64) -> Timestamp {
    at(secs).wall
}

/// A report that notes changes from the start.
fn report() -> Report {
    let mut report = Report::new("home");
    report.journal.keep(Some(wall(0)), at(0));
    report
}

fn user(name: &str, secs: u64) -> User {
    let expiry = Expiry::At(wall(30 * DAY));
    User { used: 50, limit: Some(100), expiry, read_at: wall(secs), ..User::named(name) }
}

fn walk(report: &mut Report, users: Vec<User>, now: Moment) {
    let seen = users.iter().map(|user| Arc::clone(&user.name)).collect();
    let end = WalkEnd { page: users, seen, started: now, ..WalkEnd::default() };
    report.merge(Fact::Users(UserFacts::WalkEnd(end)), now);
}

fn page(report: &mut Report, users: Vec<User>, now: Moment) {
    report.merge(Fact::Users(UserFacts::Page(users)), now);
}

fn whole(report: &mut Report, names: &str, now: Moment) {
    let read = |name: char| User { read_at: now.wall, ..user(&name.to_string(), 0) };
    let list = WholeList { users: names.chars().map(read).collect(), started: now, ..WholeList::default() };
    report.merge(Fact::Users(UserFacts::Whole(list)), now);
}

/// All changes as `sort name`, in order of sort and name.
fn noted(journal: &Journal, since: Timestamp) -> String {
    let of = |sort: Sort| {
        let (changes, beyond) = journal.since(sort, since);
        let beyond = (beyond > 0).then(|| format!("{} +{beyond}", sort.word()));
        changes.map(|(name, _)| format!("{} {name}", sort.word())).chain(beyond).collect::<Vec<_>>()
    };
    Sort::ALL.into_iter().flat_map(of).collect::<Vec<_>>().join(", ")
}

fn all(report: &Report) -> String {
    noted(&report.journal, wall(0))
}

#[test]
fn what_changes_between_two_reads_of_a_user_is_noted() {
    let known = user("ann", 10);
    let later = |days: u64| Expiry::At(wall(days * DAY));
    let cases = [
        (User { used: 60, ..known.clone() }, ""),
        (User { expiry: Expiry::At(wall(30 * DAY + 3600)), ..known.clone() }, ""),
        (User { expiry: Expiry::At(wall(30 * DAY + 3601)), ..known.clone() }, "renewed ann"),
        (User { expiry: later(20), ..known.clone() }, ""),
        (User { expiry: Expiry::Never, ..known.clone() }, "renewed ann"),
        (User { expiry: Expiry::OnFirstUse(Duration::from_secs(9)), ..known.clone() }, ""),
        (User { limit: Some(200), ..known.clone() }, "reset ann"),
        (User { limit: None, ..known.clone() }, "reset ann"),
        (User { limit: Some(80), ..known.clone() }, ""),
        (User { used: 49, ..known.clone() }, ""),
        (User { used: 24, ..known.clone() }, "reset ann"),
        (User { used: 0, expiry: later(60), ..known.clone() }, "renewed ann, reset ann"),
        // What an answer does not say has not changed.
        (User { used: 0, unread: crate::model::Unread::USED, ..known.clone() }, ""),
    ];
    for (read, expected) in cases {
        let mut report = report();
        walk(&mut report, vec![known.clone()], at(10));
        let read = User { read_at: wall(20), ..read };
        page(&mut report, vec![read.clone()], at(20));
        assert_eq!(all(&report), expected, "{read:?}");
        page(&mut report, vec![User { read_at: wall(30), ..read }], at(30));
        assert_eq!(all(&report), expected);
    }
    // Without a limit there is no quota to reset.
    let mut report = report();
    for (used, secs) in [(50, 10), (0, 20)] {
        walk(&mut report, vec![User { used, limit: None, ..user("ann", secs) }], at(secs));
    }
    assert_eq!(all(&report), "");
}

#[test]
fn users_are_new_only_after_a_whole_list_and_gone_only_for_certain() {
    let users =
        |names: &str, secs| names.chars().map(|name| user(&name.to_string(), secs)).collect::<Vec<_>>();
    let mut report = report();
    // The first walk, of two pages.
    page(&mut report, users("ab", 10), at(10));
    let end = WalkEnd {
        page: users("c", 20),
        seen: ["a", "b", "c"].map(Arc::from).into_iter().collect(),
        started: at(10),
        ..WalkEnd::default()
    };
    report.merge(Fact::Users(UserFacts::WalkEnd(end)), at(20));
    assert_eq!(all(&report), "");
    // A page of the next, which fails then.
    page(&mut report, users("ad", 30), at(30));
    assert_eq!(all(&report), "");
    walk(&mut report, users("abde", 40), at(40));
    assert_eq!(all(&report), "new d, new e");
    let named = |found: &[&str], gone: &[&str]| NamedUsers {
        found: found.iter().map(|name| user(name, 50)).collect(),
        gone: gone.iter().map(|name| Arc::from(*name)).collect(),
    };
    // It was just not in the list; another is gone.
    report.merge(Fact::Users(UserFacts::Named(named(&["c"], &[]))), at(50));
    assert_eq!(all(&report), "new d, new e");
    report.merge(Fact::Users(UserFacts::Named(named(&[], &["d", "unknown"]))), at(50));
    assert_eq!(all(&report), "new e, gone d");
    // It is back.
    walk(&mut report, users("abcde", 60), at(60));
    assert_eq!(all(&report), "new d, new e");
}

#[test]
fn rows_that_could_not_be_read_before_are_not_new() {
    let mut report = report();
    for (names, unreadable, secs, expected) in [
        ("ab", 1, 10, ""),
        ("abc", 1, 20, "new c"),
        ("abcd", 0, 30, "new c"),
        ("abcde", 0, 40, "new c, new e"),
    ] {
        let users: Vec<_> = names.chars().map(|name| user(&name.to_string(), secs)).collect();
        let seen = users.iter().map(|user| Arc::clone(&user.name)).collect();
        let unreadable = Unreadable { rows: unreadable, ..Unreadable::default() };
        let end = WalkEnd { page: users, seen, unreadable, started: at(secs), ..WalkEnd::default() };
        report.merge(Fact::Users(UserFacts::WalkEnd(end)), at(secs));
        assert_eq!(all(&report), expected, "{names}");
    }
}

#[test]
fn a_restart_takes_nobody_for_new_who_was_there() {
    let users =
        |names: &str, secs| names.chars().map(|name| user(&name.to_string(), secs)).collect::<Vec<_>>();
    for (unreadable, omitted, is_told, expected) in [
        (0, 0, true, "new c, new d"),
        (1, 0, true, ""),
        (0, 1, true, ""),
        // An earlier version did not say it.
        (0, 0, false, ""),
    ] {
        let mut before = report();
        let end = WalkEnd {
            page: users("ab", 10),
            seen: ["a", "b"].map(Arc::from).into_iter().collect(),
            unreadable: Unreadable { rows: unreadable, ..Unreadable::default() },
            omitted,
            started: at(10),
            ..WalkEnd::default()
        };
        before.merge(Fact::Users(UserFacts::WalkEnd(end)), at(10));
        // A page of a walk that a restart ends.
        page(&mut before, users("c", 20), at(20));
        let kept = before.users.list().clone();
        let beside = is_told.then(|| before.users.beside());
        let mut next = report();
        next.users = Arc::new(crate::model::Users::restored(kept, Some(at(10))).with(beside));
        walk(&mut next, users("abcd", 30), at(30));
        assert_eq!(all(&next), expected, "{unreadable} {omitted} {is_told}");
        walk(&mut next, users("abcde", 40), at(40));
        assert!(all(&next).ends_with("new e"));
    }
}

#[test]
fn a_whole_list_confirms_itself_before_users_are_gone() {
    let mut report = report();
    for (names, secs, expected) in [
        ("abc", 10, ""),
        ("bcd", 20, "new d"),
        ("", 30, "new d"),
        ("bcd", 40, "new d, gone a"),
        ("", 50, "new d, gone a"),
        ("", 60, "new d, gone a"),
        ("abcd", 70, "new a, new d"),
    ] {
        whole(&mut report, names, at(secs));
        assert_eq!(all(&report), expected, "{names} {secs}");
    }
}

#[test]
fn an_outage_lasts_from_the_first_failed_read_to_the_first_good_one() {
    let mut journal = Journal::default();
    journal.keep(Some(wall(0)), at(0));
    let outages = |journal: &Journal, since| {
        let (changes, _) = journal.since(Sort::TargetOutage, wall(since));
        let ends = |change| match change {
            Change::Outage { since, until } => {
                let secs = |time: Timestamp| time.since(wall(0)).as_secs();
                (secs(since), until.map(secs))
            }
            other => panic!("{other:?}"),
        };
        changes.map(|(_, change)| ends(change)).collect::<Vec<_>>()
    };
    for (secs, up, expected) in [
        (10, true, vec![]),
        // Too short.
        (40, false, vec![]),
        (70, true, vec![]),
        (100, false, vec![]),
        (130, false, vec![]),
        (160, false, vec![(100, None)]),
        (190, false, vec![(100, None)]),
        (500, true, vec![(100, Some(500))]),
        (530, true, vec![(100, Some(500))]),
        // Seldom reads.
        (600, false, vec![(100, Some(500))]),
        (900, true, vec![(100, Some(500)), (600, Some(900))]),
    ] {
        journal.target_was(up, at(secs));
        assert_eq!(outages(&journal, 0), expected, "{secs}");
    }
    assert_eq!(outages(&journal, 500), [(600, Some(900))]);
    assert_eq!(outages(&journal, 900), []);
}

#[test]
fn nodes_that_are_switched_off_or_removed_are_not_down_any_more() {
    let node = Node::named;
    let mut journal = Journal::default();
    journal.keep(Some(wall(0)), at(0));
    let down =
        [node("a", NodeStatus::Error), node("b", NodeStatus::Connecting), node("c", NodeStatus::Error)];
    journal.nodes_were(&down, &[], at(10));
    journal.nodes_were(&down, &[], at(70));
    let open = |journal: &Journal| {
        let open = journal.logs[&Sort::NodeOutage].open().map(|name| name.to_string());
        open.collect::<String>()
    };
    assert_eq!(open(&journal), "abc");
    journal.nodes_were(&[node("a", NodeStatus::Disabled)], &["c".into()], at(100));
    assert_eq!(open(&journal), "c");
}

#[test]
fn of_outbounds_and_credentials_an_unknown_state_changes_nothing() {
    let mut journal = Journal::default();
    journal.keep(Some(wall(0)), at(0));
    let (warp, proxy): (Arc<str>, Arc<str>) = ("warp".into(), "proxy".into());
    let open = |journal: &Journal, sort| {
        let open = journal.logs.get(&sort).into_iter().flat_map(|log| log.open());
        open.map(|name| name.to_string()).collect::<Vec<_>>().join(" ")
    };
    for (secs, states, is_whole, expected) in [
        (0, [Some(false), Some(false)], true, ""),
        (60, [Some(false), None], true, "warp"),
        (90, [None, Some(false)], true, "proxy warp"),
        (120, [None, Some(true)], true, "warp"),
    ] {
        let listed = [(&warp, states[0]), (&proxy, states[1])].into_iter().collect();
        journal.outbounds_were(&listed, is_whole, at(secs));
        assert_eq!(open(&journal, Sort::OutboundOutage), expected, "{secs}");
    }
    journal.outbounds_were(&[(&proxy, Some(true))].into_iter().collect(), false, at(150));
    assert_eq!(open(&journal, Sort::OutboundOutage), "warp", "it may be in a row that was left out");
    journal.outbounds_were(&[(&proxy, Some(true))].into_iter().collect(), true, at(180));
    assert_eq!(open(&journal, Sort::OutboundOutage), "");

    let credential =
        |available, status| Credential { label: "key".into(), available, status, ..Credential::default() };
    journal.credentials_were(&[credential(Some(false), None)], true, at(200));
    journal.credentials_were(&[credential(Some(false), None)], true, at(300));
    assert_eq!(open(&journal, Sort::CredentialOutage), "key");
    let rows = journal.take_changes().unwrap().rows;
    let mut next = Journal::default();
    next.keep(Some(wall(0)), at(300));
    next.restore(&rows);
    assert_eq!(open(&next, Sort::CredentialOutage), "key", "after a restart");
    next.credentials_were(&[credential(None, None)], true, at(400));
    assert_eq!(open(&next, Sort::CredentialOutage), "key");
    next.credentials_were(&[credential(Some(false), Some(CredentialStatus::Disabled))], true, at(500));
    assert_eq!(open(&next, Sort::CredentialOutage), "");
}

#[test]
fn a_restart_continues_with_what_was_stored() {
    let mut report = report();
    walk(&mut report, vec![user("ann", 10), user("b b", 10), user("c", 10)], at(10));
    let renewed = User { expiry: Expiry::At(wall(60 * DAY)), used: 3, ..user("ann", 20) };
    walk(&mut report, vec![renewed.clone(), user("b b", 20), user("d/1 x", 20)], at(20));
    report.merge(Fact::Users(UserFacts::Named(NamedUsers { found: vec![], gone: vec!["c".into()] })), at(20));
    report.journal.target_was(false, at(30));
    report.journal.target_was(false, at(100));
    let stored = report.journal.take_changes().unwrap();
    assert!(stored.gone.is_empty() && report.journal.take_changes().is_none());

    // The list of users that the next process starts with is older than the changes.
    let mut next = self::report();
    let started = Some(at(10));
    next.users = Arc::new(crate::model::Users::restored(
        [user("ann", 10), user("b b", 10), user("c", 10)].into_iter().collect(),
        started,
    ));
    let junk = ["", "renewed", "renewed 0 x", "new x y", "what 0 y"];
    let junk = junk.map(|labels| CounterRow { labels: labels.into(), values: vec![7] });
    next.journal.restore(&[&stored.rows[..], &junk[..]].concat());
    let gone = next.journal.take_changes().unwrap().gone;
    assert_eq!(gone, ["", "new x y", "renewed", "renewed 0 x", "what 0 y"]);
    let expected = "renewed ann, reset ann, new d/1 x, gone c, target ";
    assert_eq!(all(&next), expected);
    assert_eq!(noted(&next.journal, wall(20)), "target ");
    let again = User { read_at: wall(200), used: 5, ..renewed };
    walk(&mut next, vec![again, user("b b", 200), user("d/1 x", 200)], at(200));
    next.merge(Fact::Users(UserFacts::Named(NamedUsers { found: vec![], gone: vec!["c".into()] })), at(200));
    assert_eq!(noted(&next.journal, wall(20)), "target ", "they were found before");
    assert_eq!(all(&next), expected);
    next.journal.target_was(true, at(300));
    let (mut outages, _) = next.journal.since(Sort::TargetOutage, wall(250));
    let (since, until) = (wall(30), Some(wall(300)));
    assert_eq!(outages.next().map(|(_, change)| change), Some(Change::Outage { since, until }));
}

#[test]
fn changes_are_dropped_when_all_were_told_or_after_eight_days() {
    let mut report = report();
    let names = |secs| vec![user("a", secs), user("b", secs), user("c", secs)];
    walk(&mut report, names(10)[..1].to_vec(), at(10));
    walk(&mut report, names(20)[..2].to_vec(), at(20));
    walk(&mut report, names(DAY)[..3].to_vec(), at(DAY));
    report.journal.target_was(false, at(DAY));
    report.journal.target_was(false, at(DAY + 60));
    drop(report.journal.take_changes());
    let mut kept = |told: Option<u64>, now| {
        report.journal.keep(told.map(wall), at(now));
        let gone = report.journal.take_changes().map(|change| change.gone.len());
        (all(&report), gone)
    };
    assert_eq!(kept(Some(3500), DAY + 100), ("new b, new c, target ".into(), None));
    assert_eq!(kept(Some(3700), DAY + 200), ("new c, target ".into(), Some(1)));
    // No receiver could be told for long; an outage that goes on stays.
    assert_eq!(kept(Some(3700), 9 * DAY - 1), ("new c, target ".into(), None));
    assert_eq!(kept(Some(3700), 9 * DAY + 3600), ("target ".into(), Some(1)));
    // No receiver gets a digest any more.
    assert_eq!(kept(None, 9 * DAY + 3700), (String::new(), Some(1)));
}

#[test]
fn a_clock_that_was_ahead_keeps_no_change_for_years() {
    let mut report = report();
    walk(&mut report, vec![user("a", 10)], at(10));
    walk(&mut report, vec![user("a", 20), user("b", 3650 * DAY)], at(20));
    report.journal.keep(Some(wall(30)), at(30));
    assert_eq!(noted(&report.journal, wall(29)), "new b");
    assert_eq!(noted(&report.journal, wall(30)), "");
}

#[test]
fn changes_beyond_the_cap_are_counted() {
    let mut report = report();
    let users = |secs, days| {
        let expiry = Expiry::At(wall(days * DAY));
        (0..5000).map(|i| User { expiry, ..user(&format!("u{i:04}"), secs) }).collect::<Vec<_>>()
    };
    walk(&mut report, users(10, 30), at(10));
    walk(&mut report, users(20, 60), at(20));
    let (changes, beyond) = report.journal.since(Sort::Renewed, wall(0));
    assert_eq!((changes.count(), beyond), (Journal::MOST, 4000));
    let stored = report.journal.take_changes().unwrap();
    assert_eq!(stored.rows.len(), Journal::MOST + 1);
    let mut next = Journal::default();
    next.restore(&stored.rows);
    assert_eq!(next.since(Sort::Renewed, wall(19)).1, 4000);
    assert_eq!(next.since(Sort::Renewed, wall(20)).1, 0);
}

#[test]
fn changes_that_were_told_are_not_counted_again() {
    let users = |secs: u64, used: u64, count: usize| {
        (0..count).map(|i| User { used, ..user(&format!("u{i:04}"), secs) }).collect::<Vec<_>>()
    };
    let counts = |report: &Report, since: u64| {
        let (changes, beyond) = report.journal.since(Sort::Reset, wall(since));
        (changes.count(), beyond)
    };
    let mut report = report();
    walk(&mut report, users(10, 50, 3000), at(10));
    walk(&mut report, users(20, 0, 3000), at(20));
    assert_eq!(counts(&report, 0), (Journal::MOST, 2000));
    // A digest was sent.
    report.journal.keep(Some(wall(30)), at(40));
    page(&mut report, users(50, 50, 3000), at(50));
    page(&mut report, users(60, 0, 3000)[2990..].to_vec(), at(60));
    assert_eq!(counts(&report, 30), (10, 0), "what a digest has said makes room");
    // It counts by quarters of an hour, and what a digest has said apart.
    let mut log = Log::default();
    for (secs, told) in [(0, None), (1, None), (2, Some(1)), (1000, Some(1)), (1001, Some(1))] {
        log.count(wall(secs), told.map(wall));
    }
    assert_eq!(log.beyond, [(2, wall(1)), (1, wall(2)), (2, wall(1001))]);
    (2..1000).for_each(|quarter| log.count(wall(quarter * 900), None));
    assert_eq!(log.beyond.len(), Journal::QUARTERS);
    assert_eq!(log.beyond.iter().map(|(count, _)| count).sum::<u64>(), 5 + 998);
    let log = Arc::new(log);
    let mut stored =
        Journal { logs: BTreeMap::from([(Sort::Reset, Arc::clone(&log))]), ..Journal::default() };
    stored.dirty.insert(label_of_beyond(Sort::Reset));
    let mut next = Journal::default();
    next.restore(&stored.take_changes().unwrap().rows);
    assert_eq!(next.logs[&Sort::Reset].beyond, log.beyond);
}

#[test]
fn nothing_is_noted_if_no_receiver_gets_digests() {
    let mut report = Report::new("home");
    walk(&mut report, vec![user("a", 10)], at(10));
    walk(&mut report, vec![User { used: 0, ..user("a", 20) }, user("b", 20)], at(20));
    report.journal.target_was(false, at(30));
    report.journal.target_was(false, at(130));
    assert!(report.journal.logs.is_empty() && report.journal.take_changes().is_none());
    // What is down when the first one is added began when it began.
    report.journal.keep(Some(wall(200)), at(200));
    report.journal.target_was(false, at(210));
    assert_eq!(all(&report), "target ");
}

#[test]
#[ignore = "measures time"]
fn noting_changes_costs_little_beside_a_merge() {
    const USERS: usize = 100_000;
    let users = |secs: u64, changed: bool| {
        let of = |i: usize| User {
            used: if changed && i.is_multiple_of(30) { 0 } else { 50 + secs },
            limit: Some(1000),
            expiry: Expiry::At(wall(if changed && i.is_multiple_of(30) { 60 * DAY } else { 30 * DAY })),
            ..user(&format!("user{i:06}"), secs)
        };
        (0..USERS).map(of).collect::<Vec<_>>()
    };
    let clock = crate::clock::Clock::system();
    for wanted in [false, true, false, true, false, true] {
        let mut report = Report::new("home");
        report.journal.keep(wanted.then(|| wall(0)), at(0));
        walk(&mut report, users(10, false), at(10));
        let mut took = Duration::ZERO;
        for round in 2..12 {
            let read = users(round * 10, round == 5);
            let began = clock.now();
            walk(&mut report, read, at(round * 10));
            took += clock.now().since(began);
        }
        let noted: usize = report.journal.logs.values().map(|log| log.entries.len()).sum();
        eprintln!("noting {wanted}: {:?} for each walk of {USERS} users, {noted} changes noted", took / 10);
    }
}
