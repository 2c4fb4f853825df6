//! Questions about the admins of a panel.

use std::sync::Arc;

use super::crossing::{Crossing, Judged, Switch};
use crate::{
    alert::rule::Rule,
    model::{Part, Reading, Report},
};

/// What the users of each admin have used of the admin's limit.
pub(super) fn quota(rule: &Rule, report: &Report) -> (Judged, Vec<Crossing>) {
    let (mut judged, mut crossings) = (Vec::new(), Vec::new());
    for admin in report.admins.iter() {
        let name: Arc<str> = admin.name.as_str().into();
        if let Some((used, limit)) = admin.used.zip(admin.limit) {
            let (crossed, held) = rule.crossed_by_use(used, limit);
            let reading = Reading::Used { used, limit, resets: None };
            crossings.push(Crossing { held, ..Crossing::simple(Arc::clone(&name), crossed, reading) });
        }
        judged.push((name, if admin.used.is_some() { Switch::On } else { Switch::Unknown }));
    }
    if report.lists_all(Part::Admins) {
        return (Judged::Named(judged), crossings);
    }
    let known = judged.into_iter().filter(|(_, switch)| *switch == Switch::On);
    (Judged::Those(known.map(|(name, _)| name).collect()), crossings)
}
