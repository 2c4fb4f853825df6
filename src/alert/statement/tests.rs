use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use super::*;
use crate::{
    alert::testing::{Panel, at},
    clock::Clock,
    model::{Admin, Move, Timestamp},
    store::{Counted, Usage},
    wording::Language,
};

const GIB: u64 = 1 << 30;

fn statement(admin: Option<&str>) -> Statement {
    Statement {
        name: "ali".into(),
        target: "home".into(),
        admin: admin.map(str::to_owned),
        to: vec!["reseller@example.com".into()],
        day: 1,
        at: 540,
        zone: TimeZone::UTC,
    }
}

/// A history in which users of admins have grown by so much, each at a time.
fn history(grown: &[(&str, &str, &str, u64)]) -> Usage {
    let usage = Usage::in_memory(&Clock::starting_at(Timestamp::of("2026-12-01T09:00:00Z")), TimeZone::UTC);
    let mut totals = std::collections::HashMap::new();
    for (at, admin, user, grown) in grown {
        let total = totals.entry(*user).or_insert(0);
        let before = *total;
        *total += grown;
        let used = Move {
            name: (*user).into(),
            owner: Some((*admin).into()),
            before: Some(before),
            total: *total,
            last_read: Some(Timestamp::of(at)),
            ..Move::default()
        };
        usage.saw("home", Counted::Users, vec![used], Duration::from_secs(600), Timestamp::of(at));
        usage.write_and_wait();
    }
    usage
}

/// A panel with these users and their admins.
fn panel(users: &[(&str, &str)]) -> Panel {
    let mut panel = Panel::new("home");
    for (user, admin) in users {
        panel.set(user, |user| user.owner = Some((*admin).into()));
    }
    let admin = |name: &str, limit| Admin { name: name.into(), sudo: None, used: Some(97 * GIB), limit };
    panel.report.admins = Arc::new(vec![admin("ali", Some(100 * GIB)), admin("root", None)]);
    panel.poll(at(0));
    panel
}

fn read(usage: &Usage, panel: &Panel, admin: Option<&str>, month: &str) -> Option<Used> {
    AskStatement::of(&statement(admin), month.parse().unwrap(), &panel.report).read(usage).unwrap()
}

fn text(notice: &Notice) -> String {
    let digest = notice.digest.as_ref().unwrap();
    let section = |section: &crate::model::DigestSection| {
        let lines: String = section.lines.iter().map(|line| format!("- {line}\n")).collect();
        format!("{}\n{lines}", section.heading)
    };
    format!("{}\n{}", digest.title, digest.sections.iter().map(section).collect::<String>())
}

const USED: &[(&str, &str, &str, u64)] = &[
    ("2026-10-31T23:59:59Z", "ali", "ann", GIB),
    ("2026-11-01T00:00:00Z", "ali", "ann", 2 * GIB),
    ("2026-11-15T00:00:00Z", "ali", "=cmd()", 3 * GIB),
    ("2026-11-20T00:00:00Z", "ali", "gone", 4 * GIB),
    ("2026-11-30T23:59:59Z", "root", "bob", 5 * GIB),
    ("2026-12-01T00:00:00Z", "ali", "ann", 64 * GIB),
];

#[test]
fn a_statement_is_about_one_month_and_one_admin() {
    let usage = history(USED);
    let panel = panel(&[("ann", "ali"), ("=cmd()", "ali"), ("idle", "ali"), ("bob", "root")]);
    let users = |used: &Used| {
        let users = used.users.iter().map(|user| format!("{} {}", user.name, user.used / GIB));
        users.collect::<Vec<_>>().join(", ")
    };
    let of_ali = read(&usage, &panel, Some("ali"), "2026-11").unwrap();
    assert_eq!((of_ali.total / GIB, of_ali.since, of_ali.unread_since), (9, None, None));
    assert_eq!((users(&of_ali).as_str(), of_ali.now.users), ("gone 4, =cmd() 3, ann 2", Some(3)));
    assert_eq!((of_ali.by_others, of_ali.elsewhere), (0, 0));
    let of_all = read(&usage, &panel, None, "2026-11").unwrap();
    assert_eq!((of_all.total / GIB, of_all.by_others, of_all.now.users), (14, 0, Some(4)));
    assert_eq!(users(&of_all), "bob 5, gone 4, =cmd() 3, ann 2");
    // The month before is the first one, and was not seen from its begin.
    let first = read(&usage, &panel, Some("ali"), "2026-10").unwrap();
    assert_eq!((first.total / GIB, first.since), (1, Some("2026-10-31".parse().unwrap())));
    // An admin without traffic, and a month without a history.
    let none = read(&usage, &panel, Some("new"), "2026-11").unwrap();
    assert_eq!((none.total, none.now.users, none.now.used_of_limit), (0, Some(0), None));
    assert!(none.is_admin_unknown && !of_ali.is_admin_unknown && !of_all.is_admin_unknown);
    // One of whom the panel alone knows, or the history alone.
    let root = read(&history(&USED[..1]), &panel, Some("root"), "2026-10").unwrap();
    let ali = read(&usage, &Panel::new("home"), Some("ali"), "2026-11").unwrap();
    assert!(!root.is_admin_unknown && !ali.is_admin_unknown);
    // While nothing is known of the panel, the history has it all.
    assert_eq!((users(&ali), ali.total, ali.now.users), (users(&of_ali), of_ali.total, None));
    assert_eq!(read(&usage, &panel, Some("ali"), "2026-09"), None);
    assert_eq!(read(&usage, &Panel::new("other"), None, "2026-11"), None);
}

#[test]
fn what_was_used_under_another_admin_is_said() {
    for (moves, by_others, elsewhere) in [
        (
            &[("2026-11-03T00:00:00Z", "root", "ann", 5 * GIB), ("2026-11-04T00:00:00Z", "ali", "ann", GIB)],
            0,
            5,
        ),
        (
            &[("2026-11-03T00:00:00Z", "ali", "ann", 5 * GIB), ("2026-12-01T00:00:00Z", "root", "ann", 0)],
            5,
            0,
        ),
    ] {
        let used = read(&history(moves), &panel(&[]), Some("ali"), "2026-11").unwrap();
        assert_eq!((used.by_others / GIB, used.elsewhere / GIB), (by_others, elsewhere));
        let voice = Voice::new(Language::En, TimeZone::UTC, "");
        let notice = notice(
            &statement(Some("ali")),
            ("ops", &voice),
            "2026-11".parse().unwrap(),
            &used,
            None,
            Timestamp::default(),
        );
        let line = match by_others {
            0 => "- The table has 5 GiB more than the total, from users who had another admin before\n",
            _ => "- 5 GiB of the traffic is from users who have another admin now\n",
        };
        assert!(text(&notice).contains(line), "{}", text(&notice));
    }
}

#[test]
fn a_user_without_traffic_is_not_listed_even_if_the_count_was_reset() {
    let usage = history(&[("2026-11-03T00:00:00Z", "ali", "ann", GIB)]);
    let reset = Move {
        name: "idle".into(),
        owner: Some("ali".into()),
        before: Some(5),
        total: 0,
        last_read: Some(Timestamp::of("2026-11-04T00:00:00Z")),
        ..Move::default()
    };
    let at = Timestamp::of("2026-12-01T00:00:00Z").saturating_sub(Duration::from_secs(60));
    usage.saw("home", Counted::Users, vec![reset], Duration::from_secs(600), at);
    usage.write_and_wait();
    let used = read(&usage, &panel(&[]), Some("ali"), "2026-11").unwrap();
    assert_eq!((used.users.len(), used.users[0].name.as_str()), (1, "ann"));
    assert!(used.marks.has(crate::model::Marks::RESET), "the sum is marked");
    assert_eq!(used.unread_since, Some(at));
    let voice = Voice::new(Language::En, TimeZone::UTC, "");
    let month = "2026-11".parse().unwrap();
    let notice = notice(&statement(Some("ali")), ("ops", &voice), month, &used, None, Timestamp::default());
    let unread = "- The panel was not read since 30 November 2026, 23:59 UTC, so what was used after that is \
                  not included.\n";
    let text = text(&notice);
    assert!(text.contains("- Users with traffic in this month: 1\n") && text.contains(unread), "{text}");
    assert!(!notice.enclosure.unwrap().csv.contains("idle"));
}

#[test]
fn a_statement_says_it_in_words_with_a_table() {
    let usage = history(USED);
    let panel = panel(&[("ann", "ali"), ("=cmd()", "ali"), ("idle", "ali"), ("bob", "root")]);
    let used = read(&usage, &panel, Some("ali"), "2026-11").unwrap();
    let voice = Voice::new(Language::En, TimeZone::UTC, "");
    let month = "2026-11".parse().unwrap();
    let now = Timestamp::of("2026-12-01T09:00:00Z");
    let notice = |pseudonym| notice(&statement(Some("ali")), ("ops", &voice), month, &used, pseudonym, now);
    let said = notice(None);
    assert_eq!(
        text(&said),
        "\
Statement for 2026-11: home, ali
Total
- Period: 1 November 2026 – 30 November 2026
- Traffic: 9 GiB (9,663,676,416 bytes)
- At present, 97 % of the limit is used (97 of 100 GiB)
- Users at present: 3
- Users with traffic in this month: 3
Most traffic
- gone: 4 GiB
- =cmd(): 3 GiB
- ann: 2 GiB
Table
- ali-2026-11.csv has a row for each user with traffic (3).
"
    );
    let enclosure = said.enclosure.as_ref().unwrap();
    assert_eq!((enclosure.file.as_str(), enclosure.to.len()), ("ali-2026-11.csv", 1));
    assert_eq!(
        enclosure.csv,
        "\u{feff}user,used_bytes,gap,reset\r\ngone,4294967296,false,false\r\n\"'=cmd()\",3221225472,false,false\r\nann,2147483648,false,false\r\n"
    );
    assert!(said.goes_elsewhere());

    // A name is nowhere if notifications do not show it.
    let pseudonym: Pseudonym = Box::new(|name| format!("user{}", name.len()));
    let hidden = notice(Some(&pseudonym));
    let all = text(&hidden) + &hidden.enclosure.unwrap().csv;
    assert!(all.contains("user3: 2 GiB") && all.contains("user3,2147483648"), "{all}");
    assert!(!all.contains("ann") && !all.contains("cmd"), "{all}");
}

#[test]
fn a_first_month_says_since_when_it_is_known() {
    let usage = history(&[("2026-11-14T12:00:00Z", "ali", "ann", GIB)]);
    let panel = panel(&[("ann", "ali")]);
    let used = read(&usage, &panel, None, "2026-11").unwrap();
    let voice = Voice::new(Language::En, TimeZone::UTC, "");
    let notice = notice(
        &statement(None),
        ("ops", &voice),
        "2026-11".parse().unwrap(),
        &used,
        None,
        Timestamp::default(),
    );
    let period = "- Period: 14 November 2026 – 30 November 2026 (nothing is known before 14 November 2026)\n";
    let text = text(&notice);
    assert!(text.starts_with("Statement for 2026-11: home\n") && text.contains(period), "{text}");
    // A user who was seen before is known from then on, with traffic or without, and however old the rows are.
    let usage =
        history(&[("2026-11-02T12:00:00Z", "ali", "ann", 0), ("2026-11-14T12:00:00Z", "ali", "ann", GIB)]);
    let since = read(&usage, &panel, None, "2026-11").unwrap().since;
    assert_eq!(since, Some("2026-11-02".parse().unwrap()));
}

#[test]
fn a_table_has_at_most_so_many_rows() {
    let user = |number: u64| crate::store::UsageSum {
        name: format!("u{number}"),
        used: number,
        marks: crate::model::Marks::GAP,
    };
    let used = Used { users: (1..=20_005).rev().map(user).collect(), ..Used::default() };
    let voice = Voice::new(Language::En, TimeZone::UTC, "");
    let notice = notice(
        &statement(None),
        ("ops", &voice),
        "2026-02".parse().unwrap(),
        &used,
        None,
        Timestamp::default(),
    );
    assert!(
        text(&notice)
            .ends_with("- ali-2026-02.csv has the 20000 users with the most traffic; 5 more are left out.\n")
    );
    let csv = notice.enclosure.unwrap().csv;
    assert_eq!(csv.lines().count(), 20_001);
    assert!(csv.contains("\r\nu20005,20005,true,false\r\n") && !csv.contains("\nu5,"));
}
