use super::*;
use crate::model::{Fact, Inbound};

/// A panel that answers with these inbounds.
fn panel(inbounds: Vec<Inbound>, secs: u64) -> Panel {
    let mut panel = Panel::new("home");
    panel.poll(at(secs));
    panel.report.merge(Fact::Inbounds(inbounds), at(secs));
    panel.read(Part::Inbounds, at(secs));
    panel
}

fn inbound(enabled: Option<bool>, left: Option<i64>, used: Option<u64>, limit: Option<u64>) -> Inbound {
    let end = |left: i64| Expiry::At(BEGIN.saturating_add_millis(left * 1000));
    let expiry = Some(left.map_or(Expiry::Never, end));
    Inbound { label: "in".into(), enabled, expiry, used, limit, ..Inbound::default() }
}

#[test]
fn inbounds_that_end() {
    let days = |days: i64| days * 86_400;
    // Whether it is enabled, what is left, and the used share.
    let cases = [
        (Some(true), days(8), 0, ""),
        (Some(true), days(7) + 1800, 0, "in [7d]"),
        (Some(true), days(2), 0, "in 7d 3d"),
        (Some(true), -1, 0, "in 7d 3d 1d expired"),
        (Some(false), -1, 0, "in [7d] [3d] [1d] expired"),
        (Some(false), days(-7), 0, "in [7d] [3d] [1d] expired over"),
        // Switched off by the panel for its quota, and by the operator.
        (Some(false), days(2), 100, "in [7d] [3d]"),
        (Some(false), days(2), 99, ""),
        (None, days(2), 0, "in [7d] [3d]"),
        (None, -1, 0, "in [7d] [3d] [1d] [expired]"),
    ];
    for (enabled, left, used, expected) in cases {
        let panel = panel(vec![inbound(enabled, Some(left), Some(used), Some(100))], 0);
        let told = found("inbound_expiry", &panel.report, at(0)).unwrap().join(", ");
        assert_eq!(told, expected, "{enabled:?} {left} {used}");
    }
    let panel = panel(vec![inbound(Some(true), None, None, None)], 0);
    assert_eq!(found("inbound_expiry", &panel.report, at(0)), Some(vec![]));
    assert_eq!(found("inbound_expiry", &Panel::new("home").poll(at(0)), at(0)), None, "no inbounds");
}

#[test]
fn inbounds_that_are_used_up() {
    let cases = [
        (Some(true), None, Some(77), Some(100), ""),
        (Some(true), None, Some(79), Some(100), "in [80%]"),
        (Some(true), None, Some(96), Some(100), "in 80% 95%"),
        (Some(true), None, Some(100), Some(100), "in 80% 95% 100%"),
        (Some(false), None, Some(100), Some(100), "in [80%] [95%] 100%"),
        // Switched off by the operator, and by the panel for its age.
        (Some(false), None, Some(96), Some(100), ""),
        (Some(false), Some(60), Some(96), Some(100), ""),
        (Some(false), Some(0), Some(96), Some(100), "in [80%] [95%]"),
        (None, None, Some(100), Some(100), "in [80%] [95%] [100%]"),
        (Some(true), None, Some(100), None, ""),
        (Some(true), None, Some(100), Some(0), ""),
        (Some(true), None, None, Some(100), ""),
    ];
    for (enabled, left, used, limit, expected) in cases {
        let panel = panel(vec![inbound(enabled, left, used, limit)], 0);
        let told = found("inbound_quota", &panel.report, at(0)).unwrap().join(", ");
        assert_eq!(told, expected, "{enabled:?} {left:?} {used:?} {limit:?}");
    }
}

#[test]
fn why_an_alert_of_an_inbound_ended() {
    let month = Some(30 * 86_400);
    let ends = Reading::Ends(BEGIN);
    let used = Reading::Used { used: 90, limit: 100, resets: None };
    let unread = Inbound { expiry: None, ..inbound(Some(true), None, None, None) };
    let cases = [
        (inbound(Some(true), month, None, None), ends.clone(), Some(End::Renewed)),
        (inbound(Some(true), None, None, None), ends.clone(), Some(End::Renewed)),
        (inbound(Some(true), Some(0), None, None), ends.clone(), Some(End::Clock)),
        (inbound(Some(false), month, None, None), ends.clone(), Some(End::Disabled)),
        (unread.clone(), ends.clone(), None),
        (inbound(Some(true), None, Some(5), Some(100)), used.clone(), Some(End::Reset)),
        (inbound(Some(true), None, Some(90), Some(200)), used.clone(), Some(End::ToppedUp)),
        (inbound(Some(true), None, Some(90), None), used.clone(), Some(End::ToppedUp)),
        (inbound(Some(false), None, Some(90), Some(100)), used.clone(), Some(End::Disabled)),
        (unread, used.clone(), None),
    ];
    for (inbound, then, expected) in cases {
        let rule = if matches!(then, Reading::Ends(_)) { "inbound_expiry" } else { "inbound_quota" };
        let mut panel = panel(vec![inbound.clone()], 0);
        let end = |panel: &Panel, subject| {
            let findings = findings(&rules(), &panel.report, at(0));
            let scope = findings.scopes.iter().find(|scope| &*scope.rule.name == rule).unwrap();
            scope.end(subject, "home", &then, BEGIN).map(|ended| ended.end)
        };
        assert_eq!(end(&panel, "in"), expected, "{inbound:?} {then:?}");
        assert_eq!(end(&panel, "gone"), Some(End::Deleted));
        // Its row may be among those that could not be read.
        panel.report.merge(Fact::Omitted(Part::Inbounds, 1), at(0));
        assert_eq!(end(&panel, "gone"), None);
        panel.fail(Part::Inbounds);
        assert_eq!(end(&panel, "in"), None);
    }
}
