//! Series about targets themselves: whether and when their parts were read.

use super::{
    family::{Family, families},
    text::{Number, Text},
    view::{View, each_target},
};
use crate::model::{Outcome, Part, PartState, Staleness, WalkProgress};

families! {
    UP = Gauge("up", ["target"],
        "Whether login and the target's cheapest part (system; credentials of an LLM proxy) succeeded when last polled.");
    TARGET_INFO = Info("target_info", ["target", "system", "version", "generation"],
        "System, version and API generation detected at the target's URL; polled.");
    TARGET_PART_UP = Gauge("target_part_up", ["target", "part"],
        "Whether a part of the target was read when last polled. No series for a part that the account may not read.");
    TARGET_PART_REFUSED = Gauge("target_part_refused", ["target", "part"],
        "Whether the account may not read a part of the target, when last polled. This is not a failure.");
    TARGET_PART_RIGHT_LOST = Gauge("target_part_right_lost", ["target", "part"],
        "1: the login could read the part before and was refused it (403) when last polled; 0: the part was read. Otherwise no series.");
    TARGET_PART_STALE = Gauge("target_part_stale", ["target", "part"],
        "Whether a part was not read for three of its rounds, at least five minutes. No series while the target is down, has been up for less than that, or may not read the part. Computed every minute from the times of polls.");
    TARGET_PART_LAST_SUCCESS = Gauge("target_part_last_success_timestamp_seconds", ["target", "part"],
        "Unix time of the last complete read of a part of the target. Its values are cached and older than this by at most the duration of that read.");
    TARGET_PART_DURATION = Gauge("target_part_poll_duration_seconds", ["target", "part"],
        "Duration of the last complete read of a part. The users of a large panel are walked slowly by design.");
    TARGET_LOGIN_REFUSED = Gauge("target_login_refused", ["target"],
        "Whether the target refuses the login, or has locked our address out, when last polled; no series while it fails for another reason.");
    TARGET_TRAFFIC_LAST_MOVED = Gauge("target_traffic_last_moved_timestamp_seconds", ["target"],
        "Unix time at which the polled bytes through all proxies last changed, since proxymeter started; no series before the first change, and where the panel does not count active users.");
    TARGET_CERTIFICATE_EXPIRY = Gauge("target_certificate_expiry_timestamp_seconds", ["target"],
        "Unix time at which the certificate presented by the target expires (notAfter); polled.");
    TARGET_EXPIRY_THRESHOLD = Gauge("target_expiry_threshold_seconds", ["target"],
        "A user with less than this time left is expiring soon in the panel's own pages and messages (expireDiff, days); no series if the panel has it off (0). Polled.");
    TARGET_QUOTA_THRESHOLD = Gauge("target_quota_threshold_bytes", ["target"],
        "A user with fewer bytes of the quota left is expiring soon in the panel's own pages and messages (trafficDiff, GiB); no series if the panel has it off (0). Polled.");
    TARGET_USERS_OMITTED = Gauge("target_users_omitted", ["target"],
        "Users without series of their own because of users.limit; the first by name are kept. Polled.");
    TARGET_ROWS_OMITTED = Gauge("target_rows_omitted", ["target", "part"],
        "Rows that were left out of the list of a part: beyond its cap, doubled, without a readable identity, or with one longer than 1,024 bytes. Polled.");
    TARGET_USERS_COUNTED = Gauge("target_users_counted", ["target"],
        "Rows of the user list by the panel's own count in it (total), only if that differs from what the last finished walk found; polled.");
    TARGET_USERS_UNREADABLE = Gauge("target_users_unreadable", ["target"],
        "Users that the panel counts but did not return in a readable form during the last finished walk of its list; polled.");
    TARGET_WALK_USERS = Gauge("target_walk_users", ["target"],
        "Rows of the user list that the present walk has read; no series between two walks, and for a list that comes in one answer. Polled.");
    TARGET_WALK_SIZE = Gauge("target_walk_size", ["target"],
        "Rows of the user list that the present walk reads, by the panel's own count (total); no series between two walks. Polled.");
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
    each_target(text, &UP, views, |view| view.report.up);
    let mut series = text.family(&TARGET_INFO);
    for view in views {
        if let Some(identity) = &view.report.identity {
            let system = identity.system.label();
            series.add(&[view.target(), system, &identity.version, &identity.generation], true);
        }
    }
    each_part(text, &TARGET_PART_UP, views, |outcome, _| match outcome {
        Outcome::Up => Some(true),
        Outcome::Failed { .. } => Some(false),
        Outcome::Refused | Outcome::Pending => None,
    });
    each_part(text, &TARGET_PART_REFUSED, views, |outcome, _| Some(*outcome == Outcome::Refused));
    each_part(text, &TARGET_PART_RIGHT_LOST, views, |outcome, _| match outcome {
        Outcome::Up => Some(false),
        outcome => outcome.is_forbidden().then_some(true),
    });
    let mut series = text.family(&TARGET_PART_STALE);
    for view in views {
        for (part, staleness) in view.report.staleness(view.now).into_iter().flatten() {
            let is_stale = match staleness {
                Staleness::Recent => false,
                Staleness::Stale(_) => true,
                Staleness::NotYetRead(_) => continue,
            };
            series.add(&[view.target(), part.label()], is_stale);
        }
    }
    each_part(text, &TARGET_PART_LAST_SUCCESS, views, |_, state| {
        state.last_success.map(|moment| moment.wall)
    });
    each_part(text, &TARGET_PART_DURATION, views, |_, state| state.duration);
    each_target(text, &TARGET_LOGIN_REFUSED, views, |view| {
        view.report.login_refusal().map(|refusal| refusal.is_some())
    });
    each_target(text, &TARGET_TRAFFIC_LAST_MOVED, views, |view| {
        view.report.counts.active()?;
        view.if_fresh(Part::System, view.report.history.traffic().flat_since()).map(|moment| moment.wall)
    });
    each_target(text, &TARGET_CERTIFICATE_EXPIRY, views, |view| view.report.certificate_expiry);
    each_target(text, &TARGET_EXPIRY_THRESHOLD, views, |view| {
        view.if_fresh(Part::System, view.report.thresholds.expiry)
    });
    each_target(text, &TARGET_QUOTA_THRESHOLD, views, |view| {
        view.if_fresh(Part::System, view.report.thresholds.quota)
    });
    each_target(text, &TARGET_USERS_OMITTED, views, |view| view.named_users().map(|(_, others)| others));
    let mut series = text.family(&TARGET_ROWS_OMITTED);
    for view in views {
        for (part, rows) in view.rows_omitted() {
            series.add(&[view.target(), part.label()], rows);
        }
    }
    each_target(text, &TARGET_USERS_COUNTED, views, |view| {
        view.all_users().and_then(|_| view.report.users.counted_otherwise())
    });
    each_target(text, &TARGET_USERS_UNREADABLE, views, |view| {
        view.all_users().map(|_| view.report.users.unreadable().rows)
    });
    each_target(text, &TARGET_WALK_USERS, views, |view| walk(view).map(|walk| walk.read));
    each_target(text, &TARGET_WALK_SIZE, views, |view| walk(view).and_then(|walk| walk.size));
}

fn walk(view: &View<'_>) -> Option<WalkProgress> {
    view.if_fresh(Part::Users, view.report.walk)
}

fn each_part<V: Into<Number>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&Outcome, &PartState) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        for (part, state) in &view.report.parts {
            if let Some(outcome) = view.report.outcome(*part)
                && let Some(value) = value(outcome, state)
            {
                series.add(&[view.target(), part.label()], value);
            }
        }
    }
}
