//! Questions about the credentials of an LLM proxy.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    crossing::{Crossing, Judged, Read},
    period,
    users::CONTRADICTED_AFTER,
};
use crate::{
    alert::rule::{Rule, TWO_POINTS, WHOLE},
    model::{
        Cooldown, CooldownReason, Credential, End, Expiry, Moment, Part, QuotaWindow, Reading, Reads, Report,
        Timestamp,
    },
};

pub(super) fn credential_unavailable(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let unread = Reads::default();
    of_credentials(report, |credential| {
        let reads = report.history.credential(&credential.label).unwrap_or(&unread);
        let failure = (!credential.available?).then(|| cause(credential, now.wall));
        Some(Crossing::of_reads(&credential.label, reads, failure, rule.for_, now))
    })
}

/// Why a credential is not available, in words of ours.
fn cause(credential: &Credential, now: Timestamp) -> Reading {
    let of_all = credential.cooldowns.iter().filter(|cooldown| cooldown.model.is_none());
    let last = of_all.filter(|cooldown| cooldown.until > now).max_by_key(|cooldown| cooldown.until);
    let cause = match (credential.cause, last) {
        ("", Some(Cooldown { reason, .. })) => words(*reason),
        ("", None) => "the server says that it cannot be used",
        (cause, _) => cause,
    };
    Reading::Down { cause: cause.into(), detail: None, until: last.map(|cooldown| cooldown.until) }
}

fn words(reason: CooldownReason) -> &'static str {
    match reason {
        CooldownReason::Quota | CooldownReason::CredentialQuota => "its quota is used up",
        CooldownReason::CloudflareChallenge => "the provider's firewall stops it",
        CooldownReason::ModelNotSupported => "it may not use the model",
        CooldownReason::InvalidGrant => "its login has ended",
        CooldownReason::Unauthorized => "the provider refuses it",
        CooldownReason::PaymentRequired => "the provider asks for payment",
        CooldownReason::NotFound => "the provider does not find what it asks for",
        CooldownReason::TransientError => "the provider fails",
        CooldownReason::Unknown => "it cools down",
    }
}

/// The windows of a credential are subjects of their own, see [`subject_of`].
pub(super) fn quota(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    // Not by the clock: between the end of a window and the next read, the last one still says how the window ended.
    let read_at = report.parts.get(&Part::Credentials).and_then(|state| state.last_data).unwrap_or(now).wall;
    let mut crossings = BTreeMap::new();
    for credential in report.credentials.iter().filter(|credential| !credential.is_disabled()) {
        for window in &credential.quotas {
            let Some(share) = window.used_ratio.filter(|share| share.is_finite()) else { continue };
            if has_ended(window, read_at) {
                continue;
            }
            let held = rule.crossed_by_share(share + f64::from(TWO_POINTS) / f64::from(WHOLE));
            if held > 0 {
                let subject = subject_of(credential, window);
                let reading = Reading::Window { share, resets: window.resets };
                let crossing =
                    Crossing { held, ..Crossing::simple(subject, rule.crossed_by_share(share), reading) };
                crossings.insert(Arc::clone(&crossing.subject), crossing);
            }
        }
    }
    (judged(report), crossings.into_values().collect())
}

/// The credential, the model if the window is of one, and the window.
fn subject_of(credential: &Credential, window: &QuotaWindow) -> Arc<str> {
    let QuotaWindow { model, window, .. } = window;
    let model = if model.is_empty() { String::new() } else { format!(" {model}") };
    format!("{}{model} {window}", credential.label).into()
}

/// When the window of `subject` has ended at the latest, if it was read at `read_at`.
fn latest_end(subject: &str, read_at: Timestamp) -> Timestamp {
    let (_, window) = subject.rsplit_once(' ').unwrap_or_default();
    read_at.saturating_add(QuotaWindow::length_of(window).unwrap_or(QuotaWindow::UNKNOWN_LENGTH))
}

/// What was used in a window that has ended says nothing about the next.
fn has_ended(window: &QuotaWindow, now: Timestamp) -> bool {
    window.resets.is_some_and(|resets| resets <= now)
}

pub(super) fn plan_expiry(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let read_at = report.parts.get(&Part::Credentials).and_then(|state| state.last_data);
    of_credentials(report, |credential| {
        let end = credential.plan_expiry?;
        let (crossed, held) = rule.crossed_by_time(end, now.wall);
        let read = read_at.map(|read| Read {
            at: read.wall,
            crossed_then: rule.crossed_by_time(end, read.wall).0,
            contradicted: credential.available == Some(true)
                && end.saturating_add(CONTRADICTED_AFTER) <= now.wall,
        });
        (held > 0).then(|| Crossing {
            held,
            over: end.saturating_add(rule.expired_for) <= now.wall,
            read,
            ..Crossing::simple(Arc::clone(&credential.label), crossed, Reading::Ends(end))
        })
    })
}

/// Of credentials that the operator has not switched off.
fn of_credentials(
    report: &Report,
    crossing: impl Fn(&Credential) -> Option<Crossing>,
) -> (Judged, Vec<Crossing>) {
    let on = report.credentials.iter().filter(|credential| !credential.is_disabled());
    (judged(report), on.filter_map(crossing).collect())
}

fn judged(report: &Report) -> Judged {
    let whole = report.lists_all(Part::Credentials);
    Judged::Credentials { list: Arc::clone(&report.credentials), whole }
}

/// Why an alert ended that has no steps crossed any more, about a credential or one of its windows, and what holds
/// instead, if that is known; absent: it is not known to have ended.
pub(super) fn end_of_credential(
    list: &[Credential],
    whole: bool,
    rule: &Rule,
    subject: &str,
    (then, then_at): (&Reading, Timestamp),
    now: Timestamp,
) -> Option<(End, Option<Reading>)> {
    let of_window = matches!(then, Reading::Window { .. });
    let is_about = |credential: &&Credential| match subject.strip_prefix(&*credential.label) {
        Some(rest) if of_window => rest.starts_with(' '),
        rest => rest == Some(""),
    };
    let Some(credential) = list.iter().filter(is_about).max_by_key(|credential| credential.label.len())
    else {
        return whole.then_some((End::Deleted, None));
    };
    if credential.is_disabled() {
        return Some((End::Disabled, None));
    }
    match then {
        Reading::Ends(end) => match credential.plan_expiry {
            Some(expiry) => {
                Some((period::ended(then, Expiry::At(expiry), None), Some(Reading::Ends(expiry))))
            }
            // There is no plan any more, or the server has forgotten it.
            None => (end.saturating_add(rule.expired_for) <= now)
                .then_some((End::Recovered, Some(Reading::Nothing))),
        },
        Reading::Window { resets, .. } => {
            let mut windows = credential.quotas.iter();
            let window = windows.find(|window| *subject_of(credential, window) == *subject);
            let window = window.filter(|window| !has_ended(window, now));
            match window.and_then(|window| Some((window.used_ratio?, window.resets))) {
                Some((share, next)) => {
                    let end = if next > *resets { End::Renewed } else { End::Recovered };
                    Some((end, Some(Reading::Window { share, resets: next })))
                }
                // The server has forgotten what the provider said, or drops it at the end of the window.
                None => (resets.unwrap_or_else(|| latest_end(subject, then_at)) <= now)
                    .then_some((End::Renewed, Some(Reading::Nothing))),
            }
        }
        _ => (credential.available == Some(true)).then_some((End::Recovered, None)),
    }
}
