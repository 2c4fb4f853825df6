use super::content::{Listed, OfTarget, Outages, Reset, Top};
use crate::{
    model::{Digest, DigestSection, Timestamp},
    wording::Voice,
};

/// What a digest is about: when it was due, since when it covers what has changed, and the present.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) due: Timestamp,
    pub(super) since: Timestamp,
    pub(super) now: Timestamp,
    pub(super) is_late: bool,
}

/// A digest in the receiver's language.
pub(super) fn digest(found: &[OfTarget], times: Times, voice: &Voice) -> Digest {
    let Times { due, since, now, is_late } = times;
    let alone =
        |id: &str, line: String| DigestSection { heading: voice.text(id), lines: vec![line], more: 0 };
    let mut sections = Vec::new();
    if is_late {
        sections.push(alone("digest-heading-late", voice.digest_late(due, since)));
    }
    if found.iter().all(OfTarget::has_no_news) {
        sections.push(alone("digest-heading-nothing", voice.digest_nothing(since)));
    }
    for of_target in found {
        sections.extend(lists(of_target, now, voice).into_iter().filter(|list| !list.is_empty()));
    }
    let count = |of: fn(&OfTarget) -> usize| found.iter().map(of).sum();
    let counts = [
        ("digest-count-outages", count(outages)),
        ("digest-count-expiring", count(|of_target| of_target.expiring.len())),
        ("digest-count-used", count(|of_target| of_target.nearly_used_up.len())),
    ];
    Digest { title: voice.digest_title(now, &counts), sections }
}

/// How often anything was down.
fn outages(found: &OfTarget) -> usize {
    let listed: usize = found.outages.lines.iter().map(|outages| outages.count).sum();
    listed.saturating_add(found.outages.more)
}

fn lists(found: &OfTarget, now: Timestamp, voice: &Voice) -> [DigestSection; 9] {
    let OfTarget { target, outages, expiring, nearly_used_up, used_up_soon, renewed, reset, new, gone, top } =
        found;
    let heading = |id: &str| voice.digest_heading(id, target);
    let outage = |Outages { subject, since, until, count, lasted }: &Outages| {
        let last = voice.digest_outage(target, subject, *since, *until, now);
        if *count > 1 { voice.digest_outages(&last, *count, *lasted) } else { last }
    };
    let top = top.as_ref().map_or_else(Top::default, Top::clone);
    let used = Listed { lines: top.users, more: 0 };
    let of_reset = |Reset { user, used, used_before, limit, limit_before }: &Reset| {
        voice.digest_reset(user, (*used, *used_before), (*limit, *limit_before))
    };
    let name = |name: &String| voice.digest_name(name);
    [
        list(heading("digest-heading-outages"), outages, outage),
        list(heading("digest-heading-expiring"), expiring, |line| {
            voice.digest_expires(&line.user, line.end, now)
        }),
        list(heading("digest-heading-used"), nearly_used_up, |line| {
            voice.digest_uses(&line.user, line.used, line.limit)
        }),
        list(heading("digest-heading-used-up"), used_up_soon, |line| {
            voice.digest_expires(&line.user, line.at, now)
        }),
        list(heading("digest-heading-renewed"), renewed, |line| voice.digest_renewed(&line.user, line.until)),
        list(heading("digest-heading-reset"), reset, of_reset),
        list(heading("digest-heading-new"), new, name),
        list(heading("digest-heading-gone"), gone, name),
        list(voice.digest_heading_top(target, top.day), &used, |line| {
            voice.digest_used(&line.user, line.bytes, line.marks)
        }),
    ]
}

fn list<T>(heading: String, listed: &Listed<T>, line: impl Fn(&T) -> String) -> DigestSection {
    DigestSection { heading, lines: listed.lines.iter().map(line).collect(), more: listed.more }
}
