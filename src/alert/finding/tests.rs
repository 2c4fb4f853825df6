mod admins;
mod inbounds;
mod llm;
mod nodes;
mod outbounds;

use std::collections::BTreeMap;

use super::*;
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig, StepConfig, Within},
        testing::{BEGIN, DAY, HOUR, MINUTE, Panel, at, config},
    },
    model::{self, Core, Counter, Expiry, Extras, LastOnline, Rates, Reason, User, UserStatus, Users},
};

/// Every kind, those that are off by default included.
fn rules() -> Rules {
    let rule = || RuleConfig { enabled: Some(true), ..RuleConfig::default() };
    let mut rules = BTreeMap::from(
        ["user_status", "user_inactive", "user_devices"].map(|name| (name.to_owned(), rule())),
    );
    let days = |days| StepConfig::Time(Duration::from_secs(days * DAY));
    let steps = Some(vec![days(30), days(90)]);
    rules.insert("user_inactive".to_owned(), RuleConfig { steps, ..rule() });
    let (limit, within) = (Some(1000), Some(Within::Hour));
    rules.insert("user_traffic".to_owned(), RuleConfig { limit, within, ..rule() });
    Rules::new(&AlertingConfig { rules, ..config() }).unwrap()
}

/// What a rule finds: for each subject the crossed steps and, in brackets, those that are only held.
fn found(name: &str, report: &Report, now: Moment) -> Option<Vec<String>> {
    let findings = findings(&rules(), report, now);
    let scope = findings.scopes.into_iter().find(|scope| &*scope.rule.name == name).unwrap();
    let label = |place: usize| scope.rule.steps[place].label.to_string();
    let crossing = |crossing: Cow<'_, Crossing>| {
        let mut words = vec![crossing.subject.to_string()];
        words.extend((0..crossing.held).map(|place| {
            if crossing.crossed.contains(&place) { label(place) } else { format!("[{}]", label(place)) }
        }));
        words.extend(crossing.over.then(|| "over".to_owned()));
        words.retain(|word| !word.is_empty());
        words.join(" ")
    };
    let judged = !matches!(scope.judged, Judged::Nothing);
    assert!(judged || scope.crossings().next().is_none(), "crossings of what was not judged");
    judged.then(|| scope.crossings().map(crossing).collect())
}

/// Why an alert of a subject that has no steps crossed ends, if it does.
fn end(name: &str, report: &Report, now: Moment, subject: &str) -> Option<End> {
    let findings = findings(&rules(), report, now);
    let scope = findings.scopes.into_iter().find(|scope| &*scope.rule.name == name).unwrap();
    let crossed = scope.crossings().any(|crossing| *crossing.subject == *subject);
    assert!(!crossed, "{subject} has a crossing");
    scope.end(subject, "home", &Reading::Lasting(0), BEGIN).map(|ended| ended.end)
}

/// What is found of one user.
fn of_user(name: &str, change: impl FnOnce(&mut User)) -> String {
    let mut panel = Panel::new("home");
    panel.set("u", change);
    let report = panel.poll(at(0));
    found(name, &report, at(0)).unwrap().join(", ")
}

#[test]
fn plans_that_end() {
    use UserStatus::{Active, Disabled, Expired, Limited, OnHold, Unknown};

    let days = |days: i64| days * 86_400;
    let cases = [
        (Active, days(8), ""),
        (Active, days(7) + 1800, "u [7d]"),
        (Active, days(7), "u 7d"),
        (Active, days(2), "u 7d 3d"),
        (Active, 3600, "u 7d 3d 1d [expired]"),
        (Active, 0, "u 7d 3d 1d expired"),
        (Active, -1, "u 7d 3d 1d expired"),
        (Expired, -1, "u [7d] [3d] [1d] expired"),
        (Expired, days(-7) + 1, "u [7d] [3d] [1d] expired"),
        (Expired, days(-7), "u [7d] [3d] [1d] expired over"),
        (Expired, days(2), "u [7d] [3d]"),
        (Limited, days(2), "u [7d] [3d]"),
        (Unknown, days(2), "u [7d] [3d]"),
        (Disabled, days(2), ""),
        (Disabled, days(-1), ""),
    ];
    for (status, left, expected) in cases {
        let told = of_user("user_expiry", |user| {
            user.status = status;
            user.expiry = Expiry::At(BEGIN.saturating_add_millis(left * 1000));
        });
        assert_eq!(told, expected, "{status:?} {left}");
    }
    for (status, expiry) in [(Active, Expiry::Never), (OnHold, Expiry::OnFirstUse(Duration::ZERO))] {
        let told = of_user("user_expiry", |user| (user.status, user.expiry) = (status, expiry));
        assert_eq!(told, "", "{expiry:?}");
    }
}

#[test]
fn an_expiry_is_over_when_its_rule_says() {
    let mut panel = Panel::new("home");
    panel.expires("u", 0);
    for (expired_for, secs, over) in [
        (None, 7 * DAY - 1, false),
        (None, 7 * DAY, true),
        (Some(DAY), DAY - 1, false),
        (Some(DAY), DAY, true),
        (Some(30 * DAY), 7 * DAY, false),
    ] {
        let rule = RuleConfig { expired_for: expired_for.map(Duration::from_secs), ..RuleConfig::default() };
        let rules = BTreeMap::from([("user_expiry".to_owned(), rule)]);
        let rules = Rules::new(&AlertingConfig { rules, ..config() }).unwrap();
        let found = findings(&rules, &panel.poll(at(secs)), at(secs));
        assert_eq!(found.scopes[0].crossings().next().unwrap().over, over, "{expired_for:?} {secs}");
    }
}

#[test]
fn users_who_were_not_online_for_long() {
    use UserStatus::{Active, Disabled, Expired, OnHold};

    let ago = |days: u64| BEGIN.saturating_sub(Duration::from_secs(days * DAY));
    let at = |days| LastOnline::seen(ago(days));
    for (status, last_online, expected) in [
        (Active, at(29), ""),
        (Active, at(30), "u 30d"),
        (Active, at(90), "u 30d 90d"),
        (Active, LastOnline::never(ago(31)), "u 30d"),
        (Active, LastOnline::never(ago(1)), ""),
        (Active, LastOnline::default(), ""),
        (OnHold, at(90), ""),
        (Expired, at(90), ""),
        (Disabled, at(90), ""),
    ] {
        let told = of_user("user_inactive", |user| (user.status, user.last_online) = (status, last_online));
        assert_eq!(told, expected, "{status:?} {last_online:?}");
    }
}

#[test]
fn what_crosses_by_time_alone_and_what_holds_after_the_end() {
    let ago = |days: u64| BEGIN.saturating_sub(Duration::from_secs(days * DAY));
    let mut panel = Panel::new("home");
    panel.set("u", |user| user.last_online = LastOnline::seen(ago(30)));
    let scope_of = |report: &Report, secs| {
        let scopes = findings(&rules(), report, at(secs)).scopes;
        scopes.into_iter().find(|scope| &*scope.rule.name == "user_inactive").unwrap()
    };
    // By the time that has passed since the user was read, no step was crossed then.
    let mut report = (*panel.poll(at(0))).clone();
    let read_before = |user: &User| User { read_at: ago(1), ..user.clone() };
    report.users = Users::restored(report.users.list().iter().map(read_before).collect(), Some(at(0))).into();
    let crossing = scope_of(&report, 0).crossings().next().unwrap().into_owned();
    assert_eq!((crossing.crossed, crossing.read.unwrap().crossed_then), (0..1, 0));

    let then = Reading::Unseen { since: ago(30), never: false };
    for (status, last_online, expected) in [
        (UserStatus::Active, LastOnline::seen(BEGIN), Reading::Unseen { since: BEGIN, never: false }),
        (UserStatus::Limited, LastOnline::seen(ago(30)), Reading::Nothing),
    ] {
        panel.set("u", |user| (user.status, user.last_online) = (status, last_online));
        let ended = scope_of(&panel.poll(at(60)), 60).end("u", "home", &then, BEGIN).unwrap();
        assert_eq!((ended.end, ended.reading), (End::Recovered, Some(expected)), "{status:?}");
    }
}

#[test]
fn users_who_move_much_in_an_hour() {
    let then = Reading::Moved { bytes: 1100, limit: 1000, within: 3600 };
    let (mut traffic, mut panel) = (Traffic::default(), Panel::new("home"));
    let mut look = |secs: u64, bytes: Option<u64>| {
        panel.users.clear();
        if let Some(bytes) = bytes {
            panel.set("u", |user| user.traffic = Counter::new(bytes));
        }
        let report = panel.poll(at(secs));
        traffic.observe(&rules(), &report, at(secs));
        let scopes = findings_with(&rules(), &report, &traffic, at(secs)).scopes;
        let scope = scopes.into_iter().find(|scope| &*scope.rule.name == "user_traffic").unwrap();
        let found: Vec<_> = scope.crossings().map(|found| (found.crossed.len(), found.held)).collect();
        (found, scope.end("u", "home", &then, BEGIN).map(|ended| ended.end))
    };
    assert_eq!(look(0, Some(5000)).0, []);
    assert_eq!(look(60, Some(5900)).0, []);
    assert_eq!(look(90, Some(5901)).0, [(0, 1)], "an alert that fires goes on");
    assert_eq!(look(120, Some(6001)).0, [(1, 1)]);
    // Before an hour was watched, less proves nothing.
    let mut last = look(150, Some(6001));
    for step in 1..14 {
        let (_, end) = look(step * 300, Some(6001));
        assert_eq!(end, (step >= 12).then_some(End::Recovered), "{step}");
        last = look(step * 300 + 30, Some(6001));
    }
    assert_eq!(last.0, []);
}

#[test]
fn users_who_use_up_their_quota_soon() {
    let mut panel = Panel::new("home");
    let begin = |days: u64| Some(BEGIN.saturating_add(Duration::from_secs(days * DAY)));
    // What was used of 100 bytes, bytes a day, when the plan ends, and what is found.
    for (used, daily, ends, expected) in [
        (60, Some(10), None, ""),
        (70, Some(10), None, "u 3d"),
        (70, Some(10), begin(4), "u 3d"),
        (70, Some(10), begin(3), "u [3d]"),
        (70, Some(10), begin(2), ""),
        // A rate that is higher by a quarter would lead to it.
        (70, Some(8), None, "u [3d]"),
        (70, Some(7), None, ""),
        (94, Some(7), None, "u 3d"),
        (94, Some(0), None, ""),
        (94, None, None, ""),
        // Alerts about the quota say more. One that fires ends without a notice.
        (95, Some(7), None, "u [3d] over"),
        (100, None, None, "u [3d] over"),
    ] {
        panel.set("u", |user| {
            (user.used, user.limit) = (used, Some(100));
            user.expiry = ends.map_or(Expiry::Never, Expiry::At);
        });
        let mut report = panel.poll(at(0));
        assert_eq!(found("quota_forecast", &report, at(0)), None, "without a history");
        Arc::make_mut(&mut report).rates = Some(Arc::new(Rates::new(at(0).wall, [("u".into(), daily)])));
        let told = found("quota_forecast", &report, at(0)).unwrap().join(", ");
        assert_eq!(told, expected, "{used} {daily:?} {ends:?}");
    }
}

#[test]
fn a_forecast_ends_only_if_it_is_known_to_be_wrong() {
    let mut panel = Panel::new("home");
    let then = Reading::Forecast { at: at(2 * DAY).wall, used: 70, limit: 100, daily: 15 };
    let holds = |used, limit| Some(Reading::Used { used, limit, resets: None });
    // Bytes a day, and what has changed of the user.
    for (daily, change, end, reading) in [
        (Some(1), (|_| {}) as fn(&mut User), Some(End::Recovered), holds(70, 100)),
        (None, |_| {}, None, None),
        (None, |user| user.limit = Some(200), Some(End::ToppedUp), holds(70, 200)),
        (None, |user| user.limit = None, Some(End::ToppedUp), Some(Reading::Nothing)),
        (None, |user| user.used = 0, Some(End::Reset), holds(0, 100)),
        (None, |user| user.status = UserStatus::Disabled, Some(End::Disabled), holds(70, 100)),
        (None, |user| user.status = UserStatus::Expired, Some(End::Recovered), holds(70, 100)),
    ] {
        panel.set("u", |user| {
            *user = User { used: 70, limit: Some(100), ..User::named("u") };
            change(user);
        });
        let ended = |report: &Report, subject: &str| {
            let scopes = findings(&rules(), report, at(60)).scopes;
            let scope = scopes.into_iter().find(|scope| &*scope.rule.name == "quota_forecast").unwrap();
            let ended = scope.end(subject, "home", &then, BEGIN);
            ended.map(|ended| (ended.end, ended.reading))
        };
        let mut report = panel.poll(at(60));
        assert_eq!(ended(&report, "u"), None, "without a history");
        Arc::make_mut(&mut report).rates = Some(Arc::new(Rates::new(at(60).wall, [("u".into(), daily)])));
        assert_eq!(ended(&report, "u"), end.map(|end| (end, reading)), "{daily:?}");
        assert_eq!(ended(&report, "gone"), Some((End::Deleted, None)));
    }
}

#[test]
fn users_with_more_addresses_than_allowed() {
    let extras = |devices, devices_limit| Extras { devices, devices_limit, ..Extras::default() };
    for (status, extras, expected) in [
        (UserStatus::Active, extras(Some(3), Some(2)), "u"),
        (UserStatus::Active, extras(Some(2), Some(2)), ""),
        (UserStatus::Active, extras(Some(9), None), ""),
        (UserStatus::Active, extras(None, Some(2)), ""),
        (UserStatus::Disabled, extras(Some(3), Some(2)), ""),
    ] {
        let told = of_user("user_devices", |user| {
            (user.status, user.extra) = (status, extras.clone().into());
        });
        assert_eq!(told, expected, "{status:?} {extras:?}");
    }
}

#[test]
fn addresses_that_the_panel_no_longer_names_end_no_alert() {
    let then = Reading::Devices { used: 3, limit: 2 };
    for (devices, limit, expected) in [
        (None, Some(2), None),
        (Some(1), Some(2), Some(Reading::Devices { used: 1, limit: 2 })),
        (Some(3), None, Some(Reading::Nothing)),
    ] {
        let mut panel = Panel::new("home");
        panel.set("u", |user| {
            user.extra = Extras { devices, devices_limit: limit, ..Extras::default() }.into();
        });
        let findings = findings(&rules(), &panel.poll(at(0)), at(0));
        let scope = findings.scopes.into_iter().find(|scope| &*scope.rule.name == "user_devices").unwrap();
        let ended = scope.end("u", "home", &then, BEGIN).map(|ended| ended.reading.unwrap());
        assert_eq!(ended, expected, "{devices:?} {limit:?}");
    }
}

#[test]
fn limits_that_are_used_up() {
    use UserStatus::{Active, Disabled, Expired, Limited, OnHold};

    let cases = [
        (Active, 77, Some(100), ""),
        (Active, 78, Some(100), "u [80%]"),
        (Active, 80, Some(100), "u 80%"),
        (Active, 96, Some(100), "u 80% 95%"),
        (Active, 100, Some(100), "u 80% 95% 100%"),
        (Active, 500, Some(100), "u 80% 95% 100%"),
        (Limited, 100, Some(100), "u [80%] [95%] 100%"),
        (Limited, 96, Some(100), "u [80%] [95%]"),
        (Expired, 100, Some(100), "u [80%] [95%] [100%]"),
        (OnHold, 96, Some(100), "u [80%] [95%]"),
        (Disabled, 100, Some(100), ""),
        (Active, 100, None, ""),
        (Active, 100, Some(0), ""),
    ];
    for (status, used, limit, expected) in cases {
        let told = of_user("user_quota", |user| (user.status, user.used, user.limit) = (status, used, limit));
        assert_eq!(told, expected, "{status:?} {used} {limit:?}");
    }
}

#[test]
fn users_who_renew_by_themselves_do_not_run_out() {
    use UserStatus::{Active, Expired, Limited};

    let minutes = |minutes: i64| minutes * 60;
    // Status, seconds until the end, bytes of 100; and what is found of the expiry and of the quota.
    let cases = [
        (Active, minutes(60), 99, "", ""),
        (Active, minutes(-60), 100, "", ""),
        (Expired, minutes(-9), 50, "u [7d] [3d] [1d] [expired]", ""),
        (Expired, minutes(-10), 50, "u [7d] [3d] [1d] expired", ""),
        (Limited, minutes(90_000), 100, "", "u [80%] [95%] [100%]"),
    ];
    for (status, left, used, expiry, quota) in cases {
        let found = |name| {
            of_user(name, |user| {
                (user.status, user.renews, user.used, user.limit) = (status, true, used, Some(100));
                user.expiry = Expiry::At(BEGIN.saturating_add_millis(left * 1000));
            })
        };
        assert_eq!([found("user_expiry"), found("user_quota")], [expiry, quota], "{status:?} {left} {used}");
    }
}

#[test]
fn users_who_renew_at_a_given_time_run_out_until_then() {
    use UserStatus::{Active, Limited};

    for (status, expected) in [(Active, "u 80% 95% 100%"), (Limited, "u [80%] [95%] 100%")] {
        let told = of_user("user_quota", |user| {
            (user.status, user.renews, user.used, user.limit) = (status, true, 100, Some(100));
            user.extra.quota_reset = Some(BEGIN.saturating_add(Duration::from_secs(DAY)));
        });
        assert_eq!(told, expected, "{status:?}");
    }
}

#[test]
fn a_rule_may_ask_about_users_who_renew_by_themselves() {
    use UserStatus::{Active, Expired, Limited};

    let rule = RuleConfig { renewing: true, ..RuleConfig::default() };
    let tables = ["user_expiry", "user_quota"].map(|name| (name.to_owned(), rule.clone()));
    let rules = Rules::new(&AlertingConfig { rules: tables.into(), ..config() }).unwrap();
    // Status, minutes until the end, bytes of 100; and how many steps of expiry and quota are crossed.
    let cases = [
        (Active, 60, 99, 0..3, 0..2),
        // The panel starts the next plan at any moment.
        (Active, -9, 50, 0..3, 0..0),
        (Active, -10, 50, 0..4, 0..0),
        (Expired, -9, 50, 0..0, 0..0),
        (Expired, -10, 50, 3..4, 0..0),
        (Limited, 90_000, 100, 0..0, 2..3),
    ];
    for (status, left, used, expiry, quota) in cases {
        let mut panel = Panel::new("home");
        panel.set("u", |user| {
            (user.status, user.renews, user.used, user.limit) = (status, true, used, Some(100));
            user.expiry = Expiry::At(BEGIN.saturating_add_millis(left * 60_000));
        });
        let found = findings(&rules, &panel.poll(at(0)), at(0));
        let crossed = |scope: usize| {
            found.scopes[scope].crossings().next().map_or(0..0, |crossing| crossing.crossed.clone())
        };
        assert_eq!([crossed(0), crossed(1)], [expiry, quota], "{status:?} {left} {used}");
        let end = found.scopes[0].end("u", "home", &Reading::Ends(BEGIN), BEGIN).unwrap().end;
        assert_eq!(end, End::Renewed);
    }
}

#[test]
fn users_who_cannot_connect() {
    for status in UserStatus::KNOWN {
        let stopped = matches!(status, UserStatus::Disabled | UserStatus::Expired | UserStatus::Limited);
        let told = of_user("user_status", |user| user.status = status);
        assert_eq!(told, if stopped { "u" } else { "" }, "{status:?}");
    }
}

#[test]
fn users_are_judged_only_by_a_whole_and_fresh_list() {
    let mut panel = Panel::new("home");
    panel.expires("u", DAY);
    let judged = |report: &Report, now| found("user_expiry", report, now).is_some();
    assert!(!judged(&panel.report, at(0)), "never read");
    let whole = panel.poll(at(0));
    assert!(judged(&whole, at(0)));
    assert!(!judged(&whole, at(601)), "stale");
    let partial = Report { users: Arc::default(), ..(*whole).clone() };
    assert!(!judged(&partial, at(0)), "not walked to its end");
    let down = panel.down(at(1));
    assert!(!judged(&down, at(1)), "the target is down");
    panel.poll(at(2));
    panel.fail(Part::Users);
    assert!(!judged(&panel.report, at(2)), "the part fails");
    // The list of an earlier walk, from the store.
    panel.poll(at(3));
    panel.report.parts.get_mut(&Part::Users).unwrap().outcome = Outcome::Pending;
    assert!(judged(&panel.report, at(3)));
}

#[test]
fn targets_that_are_down() {
    let mut panel = Panel::new("home");
    assert_eq!(found("target_down", &panel.report, at(0)), None, "not tried yet");
    for (secs, expected) in [(0, "[]"), (299, "[]"), (300, "")] {
        let report = panel.poll(at(secs));
        assert_eq!(found("target_down", &report, at(secs)).unwrap().join(" "), expected, "{secs}");
    }
    let report = panel.down(at(330));
    assert_eq!(found("target_down", &report, at(330)).unwrap().len(), 1);
    let failed = |reason| Outcome::Failed { reason, detail: String::new() };
    for (unreachable, parts, expected) in [
        (None, vec![(Part::System, failed(Reason::Timeout))], "timeout"),
        (
            None,
            vec![(Part::System, failed(Reason::NotJson)), (Part::Admins, failed(Reason::Decode))],
            "not_json",
        ),
        (None, vec![], "unknown"),
        // A request by name belongs to no part.
        (Some(failed(Reason::Auth)), vec![(Part::System, Outcome::Up)], "auth"),
        (Some(failed(Reason::Connect)), vec![(Part::Admins, failed(Reason::Decode))], "connect"),
    ] {
        let mut panel = Panel::new("home");
        (panel.report.up, panel.report.unreachable) = (Some(false), unreachable);
        for (part, outcome) in parts {
            panel.read(part, at(0));
            panel.report.parts.get_mut(&part).unwrap().outcome = outcome;
        }
        let findings = findings(&rules(), &panel.report, at(0));
        let scope = findings.scopes.iter().find(|scope| &*scope.rule.name == "target_down").unwrap();
        let down = Reading::Down { cause: expected.into(), detail: None, until: None };
        assert_eq!(scope.crossings().next().unwrap().reading, Some(down));
    }
}

#[test]
fn rights_that_were_lost() {
    let failed = |reason| Outcome::Failed { reason, detail: String::new() };
    // Whether it fires, and whether what fires for the part ends.
    let cases = [
        (failed(Reason::Forbidden), true, None),
        (failed(Reason::Timeout), false, None),
        (Outcome::Refused, false, None),
        (Outcome::Pending, false, None),
        (Outcome::Up, false, Some(End::Recovered)),
    ];
    for (outcome, fires, ends) in cases {
        let mut panel = Panel::new("home");
        panel.poll(at(0));
        panel.report.parts.get_mut(&Part::Nodes).unwrap().outcome = outcome.clone();
        let expected = if fires { vec!["nodes".to_owned()] } else { vec![] };
        assert_eq!(found("right_lost", &panel.report, at(0)), Some(expected), "{outcome:?}");
        if !fires {
            assert_eq!(end("right_lost", &panel.report, at(0), "nodes"), ends, "{outcome:?}");
        }
        // Parts that were not tried since a restart.
        assert_eq!(end("right_lost", &panel.report, at(0), "admins"), None);
        assert_eq!(found("right_lost", &panel.down(at(30)), at(30)), None);
    }
}

#[test]
fn rows_that_cannot_be_read() {
    let mut panel = Panel::new("home");
    let mut unreadable = model::Unreadable::default();
    for cause in [model::UnreadableCause::NoName, model::UnreadableCause::PanelFails] {
        panel.poll(at(0));
        unreadable.add(model::UnreadableRow { place: 7, cause });
        let end = model::WalkEnd { unreadable: unreadable.clone(), started: at(0), ..Default::default() };
        panel.report.merge(model::Fact::Users(model::UserFacts::WalkEnd(end)), at(0));
        let findings = findings(&rules(), &panel.report, at(0));
        let scope = findings.scopes.iter().find(|scope| &*scope.rule.name == "rows_unreadable").unwrap();
        let crossings: Vec<_> = scope.crossings().collect();
        let [crossing] = crossings.as_slice() else { panic!("{crossings:?}") };
        let reading = Reading::Unreadable { rows: unreadable.rows, cause: "it has no name".into() };
        assert_eq!(crossing.reading.as_ref(), Some(&reading));
    }
    let report = panel.poll(at(30));
    assert_eq!(end("rows_unreadable", &report, at(30), ""), Some(End::Recovered));
    // A list that was kept does not have them.
    panel.report.users = Arc::new(model::Users::restored(model::SortedUsers::default(), Some(at(30))));
    assert_eq!(found("rows_unreadable", &panel.report, at(30)), None);
}

#[test]
fn parts_that_are_stale() {
    let mut panel = Panel::new("home");
    panel.poll(at(0));
    let stale = |panel: &Panel, secs| found("part_stale", &panel.report, at(secs));
    assert_eq!(stale(&panel, 299), None, "too soon to say");
    panel.poll_cheap(at(300));
    assert_eq!(stale(&panel, 300), Some(vec![]));
    assert_eq!(stale(&panel, 301), Some(vec!["users".to_owned()]));
    // Three of its own rounds.
    panel.report.parts.get_mut(&Part::Users).unwrap().round = Duration::from_secs(HOUR);
    panel.poll_cheap(at(3 * HOUR));
    assert_eq!(stale(&panel, 3 * HOUR), Some(vec![]));
    assert_eq!(stale(&panel, 3 * HOUR + 1), Some(vec!["users".to_owned()]));
    panel.report.parts.get_mut(&Part::Users).unwrap().outcome = Outcome::Refused;
    assert_eq!(stale(&panel, 3 * HOUR + 1), Some(vec![]));
    // While the target is down that is the only alert; afterwards its parts have time to be read.
    panel.down(at(4 * HOUR));
    assert_eq!(stale(&panel, 5 * HOUR), None);
    panel.poll_cheap(at(6 * HOUR));
    panel.report.parts.get_mut(&Part::Users).unwrap().outcome = Outcome::Up;
    assert_eq!(stale(&panel, 6 * HOUR + 299), None);
    panel.poll_cheap(at(8 * HOUR));
    assert_eq!(
        stale(&panel, 9 * HOUR - 1),
        Some(vec!["core".into(), "nodes".into(), "system".into(), "users []".into()])
    );
}

#[test]
fn a_stale_part_stays_so_while_the_target_is_just_up_again() {
    let mut panel = Panel::new("home");
    panel.poll(at(0));
    panel.report.parts.get_mut(&Part::Users).unwrap().round = Duration::from_secs(HOUR);
    let stale = |panel: &Panel, secs| found("part_stale", &panel.report, at(secs));
    panel.poll_cheap(at(5 * HOUR));
    assert_eq!(stale(&panel, 5 * HOUR), Some(vec!["users".to_owned()]));
    panel.down(at(5 * HOUR + 30));
    panel.poll_cheap(at(5 * HOUR + 60));
    panel.poll_cheap(at(5 * HOUR + 400));
    assert_eq!(stale(&panel, 5 * HOUR + 400), Some(vec!["users []".to_owned()]));
    // Not read since a restart.
    panel.report.parts.get_mut(&Part::Users).unwrap().last_success = None;
    assert_eq!(stale(&panel, 5 * HOUR + 400), Some(vec!["users []".to_owned()]));
    panel.read(Part::Users, at(5 * HOUR + 400));
    assert_eq!(stale(&panel, 5 * HOUR + 400), Some(vec![]));
}

#[test]
fn cores_that_keep_dying() {
    let mut panel = Panel::new("home");
    let mut down = Vec::new();
    for poll in 0..20 {
        panel
            .report
            .merge(model::Fact::Core(Core { up: Some(poll % 2 != 0), ..Core::default() }), at(poll * 30));
        panel.poll_cheap(at(poll * 30));
        down.push(found("core_down", &panel.report, at(poll * 30)).unwrap().len());
    }
    assert!(down.iter().all(|down| *down == 1), "{down:?}");
    for poll in 20..30 {
        panel
            .report
            .merge(model::Fact::Core(Core { up: Some(poll % 5 != 0), ..Core::default() }), at(poll * 30));
        panel.poll_cheap(at(poll * 30));
    }
    assert_eq!(found("core_down", &panel.report, at(29 * 30)), Some(vec![]));
}

#[test]
fn a_first_answer_does_not_say_that_the_core_is_well() {
    let mut panel = Panel::new("home");
    let mut polled = |secs, up| {
        panel.report.merge(model::Fact::Core(Core { up: Some(up), ..Core::default() }), at(secs));
        panel.poll_cheap(at(secs));
        match found("core_down", &panel.report, at(secs)).unwrap().len() {
            0 => end("core_down", &panel.report, at(secs), "").map(|_| "well"),
            _ => Some("down"),
        }
    };
    let answers = [0, 30, 60, 90].map(|secs| polled(secs, true));
    assert_eq!(answers, [None, None, None, Some("well")]);
    // After an outage what was known before it has passed.
    assert_eq!([polled(HOUR, true), polled(HOUR + 30, false)], [None, Some("down")]);

    let mut seldom = Panel::new("home");
    seldom.report.merge(model::Fact::Core(Core { up: Some(true), ..Core::default() }), at(0));
    seldom.poll_cheap(at(0));
    seldom.report.parts.get_mut(&Part::Core).unwrap().round = Duration::from_secs(600);
    assert_eq!(end("core_down", &seldom.report, at(0), ""), Some(End::Recovered));
}

#[test]
fn hosts_that_run_out() {
    let mut panel = Panel::new("home");
    let report = panel.poll(at(0));
    for rule in ["host_cpu", "host_memory", "host_disk"] {
        assert_eq!(found(rule, &report, at(0)), None, "{rule}: the panel does not say");
    }
    panel.report.host.cpu_usage = Some(0.96);
    (panel.report.host.memory_used, panel.report.host.memory_size) = (Some(90), Some(100));
    (panel.report.host.disk_used, panel.report.host.disk_size) = (Some(84), Some(100));
    let report = panel.poll(at(30));
    let told =
        ["host_cpu", "host_memory", "host_disk"].map(|rule| found(rule, &report, at(30)).unwrap().join(" "));
    assert_eq!(told, ["90% 95%", "90%", ""]);
}

#[test]
fn certificates_that_end() {
    let mut panel = Panel::new("home");
    assert_eq!(found("certificate_expiry", &panel.poll(at(0)), at(0)), None, "plain HTTP has none");
    for (days, expected) in [(15, ""), (14, "14d"), (2, "14d 3d")] {
        panel.report.certificate_expiry = Some(BEGIN.saturating_add(Duration::from_secs(days * DAY)));
        let report = panel.poll(at(0));
        assert_eq!(found("certificate_expiry", &report, at(0)).unwrap().join(""), expected);
    }
}

#[test]
fn why_an_alert_ended() {
    let mut panel = Panel::new("home");
    for name in ["never", "moved", "same", "off"] {
        panel.expires(name, 30 * DAY);
    }
    panel.set("never", |user| user.expiry = Expiry::Never);
    panel.set("same", |user| user.expiry = Expiry::At(BEGIN));
    panel.set("off", |user| user.status = UserStatus::Disabled);
    panel.uses("reset", 5);
    panel.set("raised", |user| (user.used, user.limit) = (90, Some(200)));
    panel.uses("follows", 90);
    panel.set("follows", |user| (user.renews, user.expiry) = (true, Expiry::At(BEGIN)));
    let report = panel.poll(at(MINUTE));
    let excluded = RuleConfig { exclude: vec!["test-*".into()], ..RuleConfig::default() };
    let config = AlertingConfig { rules: [("user_expiry".to_owned(), excluded)].into(), ..config() };
    let findings = findings(&Rules::new(&config).unwrap(), &report, at(MINUTE));
    let used = Reading::Used { used: 90, limit: 100, resets: None };
    let cases = [
        (0, "never", Reading::Ends(BEGIN), End::Renewed),
        (0, "moved", Reading::Ends(BEGIN), End::Renewed),
        (0, "same", Reading::Ends(BEGIN), End::Clock),
        (0, "off", Reading::Ends(BEGIN), End::Disabled),
        (0, "nouser", Reading::Ends(BEGIN), End::Deleted),
        (0, "test-1", Reading::Ends(BEGIN), End::Removed),
        (1, "reset", used.clone(), End::Reset),
        (1, "raised", used.clone(), End::ToppedUp),
        (0, "follows", Reading::Ends(BEGIN), End::Renewed),
        (1, "follows", used.clone(), End::Renewed),
        (1, "moved", used, End::ToppedUp),
    ];
    for (scope, subject, then, expected) in cases {
        let end = findings.scopes[scope].end(subject, "home", &then, BEGIN).map(|ended| ended.end);
        assert_eq!(end, Some(expected), "{subject}");
    }
}
