//! The rules' questions put to a report: which steps are crossed, and what may be said of those that are not.

use std::{ops::Range, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::rule::{Question, Rule, Rules};
use crate::model::{
    CORE_WINDOW, Expiry, Moment, NodeStatus, Outcome, Part, Reading, Reason, Report, Timestamp, User,
    UserStatus, Users,
};

/// What the rules find in one target's report.
#[derive(Clone, Debug)]
pub struct Findings {
    pub target: Arc<str>,
    /// See [`Report::source`].
    pub source: Arc<str>,
    /// The word of the target's system, if it is known.
    pub system: Option<&'static str>,
    /// From one read of the target's cheap parts to the next.
    pub interval: Duration,
    /// One for each rule that asks about this target.
    pub scopes: Vec<Scope>,
}

/// What one rule finds.
#[derive(Clone, Debug)]
pub struct Scope {
    pub rule: Arc<Rule>,
    pub judged: Judged,
    /// When it was read what is not about a user, by our clock.
    pub read_at: Timestamp,
    /// Of subjects that have crossed a step, or hold one they crossed earlier. Sorted by subject, each once.
    pub crossings: Vec<Crossing>,
}

/// Which subjects were looked at. Missing data never resolves an alert.
#[derive(Clone, Debug)]
pub enum Judged {
    /// What is known is not fit to be judged by: stale, of a part that fails, or not yet whole.
    Nothing,
    /// The target itself.
    Target,
    Users(Arc<Users>),
    /// By name, and whether the panel's operator has turned it off.
    Named(Vec<(Arc<str>, Switch)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

/// One subject that has crossed steps of one rule, or holds some that it crossed earlier.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing {
    /// Empty where the subject is the target.
    pub subject: Arc<str>,
    /// The steps that are crossed.
    pub crossed: Range<usize>,
    /// The steps below this one stay crossed if they were.
    pub held: usize,
    /// So long ago that it ends without a notice.
    pub over: bool,
    pub reading: Reading,
    /// When it was read, where an old reading has to be read again before it may fire.
    pub read: Option<Read>,
}

/// How old a reading is, and what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub at: Timestamp,
    /// The steps below this one were crossed when it was read, and not by time passing since.
    pub crossed_then: usize,
    /// The panel treats the subject as if its time had not come, although it has long come by our clock.
    pub contradicted: bool,
}

/// Why an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The expiry was moved.
    Renewed,
    /// The limit was changed.
    ToppedUp,
    /// Usage was set back.
    Reset,
    /// The subject no longer exists.
    Deleted,
    /// The operator turned the subject off.
    Disabled,
    /// The wall clock was set back.
    Clock,
    /// No rule asks any more.
    Removed,
    /// The target is another system now.
    Replaced,
    /// It no longer holds.
    Recovered,
}

impl End {
    /// Whether a period ended with it, so that what is crossed after it is news.
    pub(super) fn of_period(self) -> bool {
        matches!(self, End::Renewed | End::ToppedUp | End::Reset)
    }

    /// The annotation `reason` of a resolved alert.
    pub fn label(self) -> &'static str {
        match self {
            End::Renewed => "renewed",
            End::ToppedUp => "topped up",
            End::Reset => "reset",
            End::Deleted => "deleted",
            End::Disabled => "disabled",
            End::Clock => "clock set",
            End::Removed => "rule removed",
            End::Replaced => "target replaced",
            End::Recovered => "recovered",
        }
    }
}

/// Puts the rules' questions to `report`.
pub fn findings(rules: &Rules, report: &Report, now: Moment) -> Findings {
    let asks = rules.list().iter().filter(|rule| rule.covers_target(&report.target));
    let scopes = asks.map(|rule| {
        let (judged, mut crossings) = ask(rule, report, now);
        crossings.retain(|crossing| rule.covers(name_of(&crossing.subject, &report.target)));
        crossings.sort_by(|a, b| a.subject.cmp(&b.subject));
        Scope { rule: Arc::clone(rule), judged, read_at: read_at(rule, report, now), crossings }
    });
    Findings {
        target: Arc::clone(&report.target),
        source: Arc::clone(&report.source),
        system: report.identity.as_ref().map(|identity| identity.system.label()),
        interval: report.parts.get(&Part::System).map_or(Duration::ZERO, |state| state.round),
        scopes: scopes.collect(),
    }
}

/// When the part that the rule asks about was read; what is no part's answer is as of now.
fn read_at(rule: &Rule, report: &Report, now: Moment) -> Timestamp {
    let Some(part) = rule.kind.part else { return now.wall };
    report.parts.get(&part).and_then(|state| state.last_data).map_or(now.wall, |read| read.wall)
}

fn name_of<'a>(subject: &'a str, target: &'a str) -> &'a str {
    if subject.is_empty() { target } else { subject }
}

fn ask(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    if rule.kind.part.is_some_and(|part| !answers(report, part, now)) {
        return (Judged::Nothing, Vec::new());
    }
    match rule.kind.question {
        Question::UserExpiry => of_users(report, |user| expiry(rule, user, now)),
        Question::UserQuota => of_users(report, |user| quota(rule, user)),
        Question::UserStatus => of_users(report, status),
        Question::TargetDown => target_down(report),
        Question::PartStale => part_stale(report, now),
        Question::AccountingStalled => accounting_stalled(report),
        Question::NodeDown => node_down(report),
        Question::CoreDown => core_down(report, now),
        Question::HostCpu => of_target(share(rule, report.host.cpu_usage)),
        Question::HostMemory => {
            of_target(share(rule, ratio(report.host.memory_used, report.host.memory_size)))
        }
        Question::HostDisk => of_target(share(rule, ratio(report.host.disk_used, report.host.disk_size))),
        Question::CertificateExpiry => certificate_expiry(rule, report, now),
    }
}

/// A panel restarts a dying core within seconds, so that no single answer shows it.
const CORE_DOWN_SHARE: f64 = 0.3;
/// As long as this without a byte is no pause.
const STALLED_AFTER: Duration = Duration::from_secs(10 * 60);
/// A part is not called stale before.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);
/// Panels look for expired users every few seconds; one still active after this long has another clock than we.
const CONTRADICTED_AFTER: Duration = Duration::from_secs(60 * 60);

/// Whether what is known of `part` may be judged by.
fn answers(report: &Report, part: Part, now: Moment) -> bool {
    let outcome = report.parts.get(&part).map(|state| &state.outcome);
    let read = match outcome {
        Some(Outcome::Up) => true,
        // The list of an earlier walk, while the first one since we started is under way.
        Some(Outcome::Pending) => part == Part::Users,
        Some(Outcome::Refused | Outcome::Failed { .. }) | None => false,
    };
    let whole = part != Part::Users || report.users.walked_since().is_some();
    report.up == Some(true) && read && whole && report.fresh(part, now)
}

fn of_users(report: &Report, crossing: impl Fn(&User) -> Option<Crossing>) -> (Judged, Vec<Crossing>) {
    let crossings = report.users.list().iter().filter_map(|user| crossing(user)).collect();
    (Judged::Users(Arc::clone(&report.users)), crossings)
}

/// How many steps are crossed, and by what; absent: the panel does not say.
fn of_target(answer: Option<(usize, Reading)>) -> (Judged, Vec<Crossing>) {
    let Some((crossed, reading)) = answer else { return (Judged::Nothing, Vec::new()) };
    let crossing = (crossed > 0).then(|| Crossing::simple("".into(), crossed, reading));
    (Judged::Target, crossing.into_iter().collect())
}

impl Crossing {
    fn simple(subject: Arc<str>, crossed: usize, reading: Reading) -> Self {
        Crossing { subject, crossed: 0..crossed, held: crossed, over: false, reading, read: None }
    }
}

fn expiry(rule: &Rule, user: &User, now: Moment) -> Option<Crossing> {
    let Expiry::At(end) = user.expiry else { return None };
    let (crossed, held) = rule.crossed_by_time(end, now.wall);
    if held == 0 {
        return None;
    }
    let crossed = match user.status {
        UserStatus::Active => 0..crossed,
        UserStatus::Expired => last_alone(rule, crossed),
        UserStatus::Disabled => return None,
        // Their plan does not run; what fires goes on.
        UserStatus::Limited | UserStatus::OnHold | UserStatus::Unknown => 0..0,
    };
    Some(Crossing {
        subject: Arc::clone(&user.name),
        crossed,
        held,
        over: end.saturating_add(rule.expired_for) <= now.wall,
        reading: Reading::Ends(end),
        read: Some(Read {
            at: user.read_at,
            crossed_then: rule.crossed_by_time(end, user.read_at).0,
            contradicted: user.status == UserStatus::Active
                && end.saturating_add(CONTRADICTED_AFTER) <= now.wall,
        }),
    })
}

fn quota(rule: &Rule, user: &User) -> Option<Crossing> {
    let (used, limit) = (user.used, user.limit.filter(|limit| *limit > 0)?);
    let (crossed, held) = rule.crossed_by_use(used, limit);
    if held == 0 {
        return None;
    }
    let crossed_then = crossed;
    let crossed = match user.status {
        UserStatus::Active => 0..crossed,
        UserStatus::Limited => last_alone(rule, crossed),
        UserStatus::Disabled => return None,
        UserStatus::Expired | UserStatus::OnHold | UserStatus::Unknown => 0..0,
    };
    let reading = Reading::Used { used, limit };
    let read = Some(Read { at: user.read_at, crossed_then, contradicted: false });
    Some(Crossing { subject: Arc::clone(&user.name), crossed, held, over: false, reading, read })
}

/// Of those whom the panel has stopped only the step at which it does so is looked at.
fn last_alone(rule: &Rule, crossed: usize) -> Range<usize> {
    let stopped =
        crossed == rule.steps.len() && rule.steps.last().is_some_and(|step| step.threshold.is_last());
    if stopped { crossed - 1..crossed } else { 0..0 }
}

fn status(user: &User) -> Option<Crossing> {
    let stopped = matches!(user.status, UserStatus::Limited | UserStatus::Expired | UserStatus::Disabled);
    stopped.then(|| Crossing {
        read: Some(Read { at: user.read_at, crossed_then: 1, contradicted: false }),
        ..Crossing::simple(Arc::clone(&user.name), 1, Reading::Word(user.status.label().into()))
    })
}

fn target_down(report: &Report) -> (Judged, Vec<Crossing>) {
    of_target(report.up.map(|up| {
        // A request by name can show that the target itself fails, and belongs to no part.
        let outcomes = report.unreachable.iter().chain(report.parts.values().map(|state| &state.outcome));
        let mut reasons = outcomes.filter_map(|outcome| match outcome {
            Outcome::Failed { reason, .. } => Some(*reason),
            _ => None,
        });
        (usize::from(!up), Reading::Word(reasons.next().map_or("unknown", Reason::label).into()))
    }))
}

/// A target that is down is one alert, and its parts count from when it is up again.
fn part_stale(report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let up_since = report.history.up_since().filter(|_| report.up == Some(true));
    // Sooner nothing can be stale, and not every part may have been tried.
    let Some(up_since) = up_since.filter(|since| now.since(*since) >= STALE_AFTER) else {
        return (Judged::Nothing, Vec::new());
    };
    let (mut judged, mut crossings) = (Vec::new(), Vec::new());
    for (part, state) in &report.parts {
        if state.outcome == Outcome::Refused {
            continue;
        }
        let subject: Arc<str> = part.label().into();
        // A first walk is as young as its newest page.
        let read = if state.outcome == Outcome::Pending { state.last_data } else { state.last_success };
        let stale_after = STALE_AFTER.max(state.round * 3);
        let up_for = now.since(up_since);
        let age = read.map(|read| now.since(read));
        if age.is_none_or(|age| age > stale_after) {
            let reading = Reading::Lasting(age.unwrap_or(up_for).as_secs());
            let crossing = Crossing::simple(Arc::clone(&subject), 1, reading);
            // It has not had the time to be read, which is no news; but what was stale before is not read either.
            crossings.push(if up_for > stale_after {
                crossing
            } else {
                Crossing { crossed: 0..0, ..crossing }
            });
        }
        judged.push((subject, Switch::On));
    }
    (Judged::Named(judged), crossings)
}

fn core_down(report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let round = report.parts.get(&Part::Core).map_or(Duration::ZERO, |state| state.round);
    // Of a core that is asked so seldom no more than its newest answer may ever be known.
    let covered = report.history.core_covered(now) || round > CORE_WINDOW / 2;
    let down = report.history.core_down(now).filter(|share| covered || *share > CORE_DOWN_SHARE);
    of_target(down.map(|share| (usize::from(share > CORE_DOWN_SHARE), Reading::Share(share))))
}

fn accounting_stalled(report: &Report) -> (Judged, Vec<Crossing>) {
    let read = report.parts.get(&Part::System).and_then(|state| state.last_data);
    let flat = read.zip(report.history.traffic_moved()).map(|(read, moved)| read.since(moved));
    let active = |(status, users): &(UserStatus, u64)| *status == UserStatus::Active && *users > 0;
    let stalled = |flat| flat >= STALLED_AFTER && report.counts.by_status.iter().any(active);
    of_target(flat.map(|flat| (usize::from(stalled(flat)), Reading::Lasting(flat.as_secs()))))
}

fn node_down(report: &Report) -> (Judged, Vec<Crossing>) {
    let (mut judged, mut crossings) = (Vec::new(), Vec::new());
    for node in report.nodes.iter() {
        match node.status {
            NodeStatus::Disabled => {
                judged.push((Arc::clone(&node.label), Switch::Off));
                continue;
            }
            NodeStatus::Connected => {}
            status => {
                crossings.push(Crossing::simple(
                    Arc::clone(&node.label),
                    1,
                    Reading::Word(status.label().into()),
                ));
            }
        }
        judged.push((Arc::clone(&node.label), Switch::On));
    }
    (Judged::Named(judged), crossings)
}

fn certificate_expiry(rule: &Rule, report: &Report, now: Moment) -> (Judged, Vec<Crossing>) {
    let Some(end) = report.certificate_expiry else { return (Judged::Nothing, Vec::new()) };
    let (crossed, held) = rule.crossed_by_time(end, now.wall);
    let read = report.parts.get(&Part::System).and_then(|state| state.last_data).map(|read| Read {
        at: read.wall,
        crossed_then: rule.crossed_by_time(end, read.wall).0,
        contradicted: end.saturating_add(CONTRADICTED_AFTER) <= now.wall,
    });
    let crossing = Crossing { held, read, ..Crossing::simple("".into(), crossed, Reading::Ends(end)) };
    (Judged::Target, (held > 0).then_some(crossing).into_iter().collect())
}

fn share(rule: &Rule, share: Option<f64>) -> Option<(usize, Reading)> {
    share.map(|share| (rule.crossed_by_share(share), Reading::Share(share)))
}

#[expect(clippy::cast_precision_loss, reason = "a share of bytes needs no more than 53 bits")]
fn ratio(used: Option<u64>, size: Option<u64>) -> Option<f64> {
    used.zip(size.filter(|size| *size > 0)).map(|(used, size)| used as f64 / size as f64)
}

impl Scope {
    /// When `crossing` was read, by our clock.
    pub fn read_at(&self, crossing: &Crossing) -> Timestamp {
        crossing.read.map_or(self.read_at, |read| read.at)
    }

    /// Why a subject that had the reading `then` when it was last looked at has no steps crossed any more, and when
    /// that was read, if it was; absent: it was not looked at.
    pub fn end(&self, subject: &str, target: &str, then: &Reading) -> Option<(End, Option<Timestamp>)> {
        if !self.rule.covers(name_of(subject, target)) {
            return Some((End::Removed, None));
        }
        let (end, read_at) = match &self.judged {
            Judged::Nothing => return None,
            Judged::Target if matches!(then, Reading::Ends(_)) => (End::Renewed, self.read_at),
            Judged::Target => (End::Recovered, self.read_at),
            Judged::Named(list) => match list.iter().find(|(name, _)| **name == *subject) {
                None => (End::Deleted, self.read_at),
                Some((_, Switch::Off)) => (End::Disabled, self.read_at),
                Some((_, Switch::On)) => (End::Recovered, self.read_at),
            },
            Judged::Users(users) => {
                let list = users.list();
                let place = list.binary_search_by(|user| (*user.name).cmp(subject));
                match place.ok().and_then(|place| list.get(place)) {
                    Some(user) => (end_of_user(user, then), user.read_at),
                    // The list lacks those who were created after its walk began.
                    None => (End::Deleted, users.walked_since()?.wall),
                }
            }
        };
        Some((end, Some(read_at)))
    }
}

fn end_of_user(user: &User, then: &Reading) -> End {
    match then {
        Reading::Word(_) => End::Recovered,
        _ if user.status == UserStatus::Disabled => End::Disabled,
        Reading::Ends(end) if user.expiry == Expiry::At(*end) => End::Clock,
        Reading::Ends(_) => End::Renewed,
        Reading::Used { limit, .. } if user.limit != Some(*limit) => End::ToppedUp,
        Reading::Used { .. } => End::Reset,
        Reading::Share(_) | Reading::Lasting(_) => End::Recovered,
    }
}

#[cfg(test)]
mod tests;
