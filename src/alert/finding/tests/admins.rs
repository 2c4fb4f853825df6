use super::*;
use crate::model::{Admin, Fact};

/// A panel that answers with these admins.
fn panel(admins: &[(&str, Option<u64>, Option<u64>)], secs: u64) -> Panel {
    let mut panel = Panel::new("home");
    panel.poll(at(secs));
    let admin = |&(name, used, limit): &(&str, _, _)| Admin { name: name.into(), sudo: None, used, limit };
    panel.report.merge(Fact::Admins(admins.iter().map(admin).collect()), at(secs));
    panel.read(Part::Admins, at(secs));
    panel
}

#[test]
fn admins_whose_users_have_used_up_the_limit() {
    for (used, limit, expected) in [
        (Some(77), Some(100), ""),
        (Some(79), Some(100), "reza [80%]"),
        (Some(96), Some(100), "reza 80% 95%"),
        (Some(100), Some(100), "reza 80% 95% 100%"),
        (Some(u64::MAX), Some(1), "reza 80% 95% 100%"),
        (Some(100), None, ""),
        (None, Some(100), ""),
    ] {
        let panel = panel(&[("ann", None, None), ("reza", used, limit)], 0);
        let told = found("admin_quota", &panel.report, at(0)).unwrap().join(", ");
        assert_eq!(told, expected, "{used:?} {limit:?}");
    }
    assert_eq!(found("admin_quota", &Panel::new("home").poll(at(0)), at(0)), None, "no admins");
    let panel = panel(&[("reza", Some(100), Some(100))], 0);
    assert_eq!(found("admin_quota", &panel.report, at(601)), None, "stale");
}

#[test]
fn ends_of_quotas_of_admins() {
    let then = Reading::Used { used: 96, limit: 100, resets: None };
    for (admins, omitted, expected) in [
        (vec![("reza", Some(3), Some(100))], 0, Some(End::Reset)),
        (vec![("reza", Some(96), Some(900))], 0, Some(End::ToppedUp)),
        (vec![("reza", Some(96), None)], 0, Some(End::ToppedUp)),
        (vec![("reza", None, Some(100))], 0, None),
        (vec![("ann", None, None)], 0, Some(End::Deleted)),
        (vec![("ann", None, None)], 1, None),
    ] {
        let mut panel = panel(&admins, 0);
        panel.report.merge(Fact::Omitted(Part::Admins, omitted), at(0));
        let findings = findings(&rules(), &panel.report, at(0));
        let scope = findings.scopes.into_iter().find(|scope| &*scope.rule.name == "admin_quota").unwrap();
        let ended = scope.end("reza", "home", &then, BEGIN).map(|ended| ended.end);
        assert_eq!(ended, expected, "{admins:?} {omitted}");
    }
}
