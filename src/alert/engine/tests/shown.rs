//! What metrics and pages show is made again only as far as it has changed.

use std::sync::Arc;

use super::{Bench, Engine, route};
use crate::{
    alert::{
        engine::view,
        group::{Pick, Size},
        testing::{DAY, MINUTE, Panel, at, config},
    },
    model::{AlertState, Named},
};

/// What is shown is what holds.
pub(super) fn check(engine: &Engine) {
    // Storms would take long.
    if engine.active.list.len() < 1000 {
        assert!(engine.active().iter().eq(&view::from_scratch(&engine.state, engine.groups.quiet())));
    }
}

#[test]
fn a_round_that_changes_nothing_shows_the_same() {
    let mut bench = Bench::new();
    let mut panel = Panel::new("home");
    for user in 0..20 {
        panel.uses(&format!("u{user:02}"), 85);
    }
    bench.poll_for(&mut panel, 0, MINUTE);
    let before = bench.engine.active();
    assert_eq!(before.list.len(), 20);
    bench.poll_for(&mut panel, MINUTE, 2 * MINUTE);
    assert!(Arc::ptr_eq(&before, &bench.engine.active()));

    // Of one user another number is shown, and one has no alert any more.
    panel.uses("u03", 86);
    panel.uses("u07", 5);
    bench.poll_for(&mut panel, 2 * MINUTE, 3 * MINUTE);
    let after = bench.engine.active();
    let shown = |alert: &Arc<_>| before.list.iter().any(|known| Arc::ptr_eq(known, alert));
    assert_eq!((after.list.len(), after.list.iter().filter(|alert| shown(alert)).count()), (19, 18));

    // All are suppressed while the panel is down, and shown again as they were.
    for secs in (3 * MINUTE..10 * MINUTE).step_by(30) {
        bench.observe(&[panel.down(at(secs))], at(secs));
    }
    let suppressed = |bench: &Bench| {
        bench.engine.active().iter().filter(|alert| alert.state == AlertState::Suppressed).count()
    };
    assert_eq!(suppressed(&bench), 19);
    bench.poll_for(&mut panel, 10 * MINUTE, 20 * MINUTE);
    assert_eq!(suppressed(&bench), 0);
    assert!(after.iter().eq(bench.engine.active().iter()));

    // Another target, and then none.
    let mut other = Panel::new("edge");
    other.expires("v", 2 * DAY);
    bench.observe(&[other.poll(at(20 * MINUTE)), panel.poll(at(20 * MINUTE))], at(20 * MINUTE));
    assert_eq!(bench.engine.active().list.len(), 21);
    bench.observe(&[], at(21 * MINUTE));
    assert_eq!(bench.engine.active().list.len(), 0);
}

#[test]
fn a_message_for_people_has_words_for_what_it_names() {
    let mut bench = Bench::with(config(), vec![route("mail"), route("hook")]);
    let mut panel = Panel::new("home");
    for user in 0..60 {
        panel.uses(&format!("u{user:02}"), 85);
    }
    for secs in [0, 30, MINUTE] {
        bench.engine.observe_reports(&[panel.poll(at(secs))], at(secs));
        bench.engine.tick(at(secs));
    }
    for (receiver, names, expected) in [("mail", Named::News(50), 50), ("hook", Named::All, 60)] {
        let size = Size { names, most: None };
        let notice = bench.engine.next(receiver, Pick::Urgent, size, None, at(MINUTE)).unwrap().notice;
        let worded = notice.alerts.iter().take_while(|alert| alert.annotations.get("description").is_some());
        assert_eq!((notice.alerts.len(), notice.names(names), worded.count()), (60, expected, expected));
        assert!(notice.alerts.iter().all(|alert| alert.labels["subject"].starts_with('u')));
    }
}
