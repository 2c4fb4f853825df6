use super::*;
use crate::model::{Fact, Outbound};

/// A panel whose outbound `out` was read every half minute: `-` it was up, `x` it was down, `.` it was not probed.
fn probed(reads: &str) -> (Panel, u64) {
    let mut panel = Panel::new("home");
    let mut secs = 0;
    for (place, read) in (0..).zip(reads.chars()) {
        secs = place * 30;
        let up = (read != '.').then_some(read == '-');
        let outbound = Outbound { label: "out".into(), up, ..Outbound::default() };
        panel.poll(at(secs));
        panel.report.merge(Fact::Outbounds(vec![outbound]), at(secs));
        panel.read(Part::Outbounds, at(secs));
    }
    (panel, secs)
}

#[test]
fn outbounds_that_fail() {
    let cases = [
        ("-------", ""),
        ("-", "out []"),
        ("x", "out "),
        ("xx.", ""),
        ("xxxxxxx", "out !"),
        ("-x-x-xx-xx-xx", "out !"),
        ("xxxxxxx-", "out []"),
        ("xxxxxxx-------", ""),
    ];
    for (reads, expected) in cases {
        let (panel, secs) = probed(reads);
        let found = findings(&rules(), &panel.report, at(secs));
        let scope = found.scopes.iter().find(|scope| &*scope.rule.name == "outbound_down").unwrap();
        let words = scope.crossings().map(|crossing| {
            let held = if crossing.crossed.is_empty() { "[]" } else { "" };
            format!("{} {held}{}", crossing.subject, if crossing.long_enough { "!" } else { "" })
        });
        assert_eq!(words.collect::<Vec<_>>().join(", "), expected, "{reads}");
    }
}

#[test]
fn an_outbound_that_is_not_probed_ends_no_alert_for_an_hour() {
    let cases = [
        ("x-------".to_owned(), "out", Some(End::Recovered)),
        (format!("x{}", ".".repeat(120)), "out", None),
        (format!("x{}", ".".repeat(121)), "out", Some(End::Disabled)),
        (".".repeat(120), "out", None),
        ("x".to_owned(), "gone", Some(End::Deleted)),
    ];
    for (reads, subject, expected) in cases {
        let (mut panel, secs) = probed(&reads);
        assert_eq!(end("outbound_down", &panel.report, at(secs), subject), expected, "{reads}");
        panel.report.merge(Fact::Omitted(Part::Outbounds, 1), at(secs));
        let known = expected.filter(|end| *end == End::Recovered);
        assert_eq!(end("outbound_down", &panel.report, at(secs), subject), known, "{reads}");
        panel.fail(Part::Outbounds);
        assert_eq!(end("outbound_down", &panel.report, at(secs), subject), None, "{reads}");
    }
}
