//! The rules' questions put to a report: which steps are crossed, and what may be said of those that are not.

mod admins;
mod budgets;
mod credentials;
mod crossing;
mod inbounds;
mod llm;
mod nodes;
mod outbounds;
mod own;
mod period;
mod target;
mod users;

use std::{borrow::Cow, sync::Arc, time::Duration};

pub use self::crossing::{Crossing, Judged, Read, Switch};
use self::{
    budgets::{budget, end_of_budget},
    credentials::{credential_unavailable, end_of_credential, plan_expiry},
    crossing::of_target,
    inbounds::{end_of_inbound, of_inbounds},
    llm::{error_ratio, usage_gap},
    nodes::{accounting_stalled, core_down, node_down, node_share, node_traffic},
    outbounds::outbound_down,
    target::{certificate_expiry, login_refused, part_stale, right_lost, share, target_down},
    users::{end_of_user, rows_unreadable},
};
pub(super) use self::{
    llm::{ENOUGH_ATTEMPTS, LOST_WITHIN},
    nodes::CORE_DOWN_SHARE,
    users::{NEARLY_USED_UP, RENEWED_WITHIN, runs_until, uses},
};
use super::{
    rule::{Question, Rule, Rules},
    traffic::Traffic,
};
use crate::model::{
    self, End, LlmMode, Moment, Outcome, OwnState, Part, Reading, Report, SortedUsers, Timestamp, User,
};

/// What the rules find in one target's report, or in the daemon's own state.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Empty: the daemon itself.
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
    /// Those of [`Scope::crossings`] that are not about users. Sorted by subject, each once.
    crossed: Vec<Crossing>,
    /// What is known of others.
    well: Vec<Crossing>,
    now: Moment,
}

/// What became of a subject of which no step is crossed any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub end: End,
    /// When that was read, if it was.
    pub read_at: Option<Timestamp>,
    /// What holds instead, if that is known.
    pub reading: Option<Reading>,
    /// Since when, if that is known from earlier reads.
    pub since: Option<Moment>,
}

/// Puts the rules' questions to `report`.
pub fn findings(rules: &Rules, report: &Report, now: Moment) -> Findings {
    findings_with(rules, report, &Traffic::default(), now)
}

/// As [`findings`], also about the recent `traffic` of users.
pub fn findings_with(rules: &Rules, report: &Report, traffic: &Traffic, now: Moment) -> Findings {
    let about_it = |rule: &&Arc<Rule>| !rule.kind.is_own() && rule.covers_target(&report.target);
    let asks = rules.list().iter().filter(about_it);
    let scopes = asks.map(|rule| {
        let (judged, mut crossings) = ask(rule, report, traffic, now);
        crossings.retain(|crossing| rule.covers(name_of(&crossing.subject, &report.target)));
        crossings.sort_by(|a, b| a.subject.cmp(&b.subject));
        Scope::new(rule, judged, read_at(rule, report, now), crossings, now)
    });
    Findings {
        target: Arc::clone(&report.target),
        source: Arc::clone(&report.source),
        system: report.identity.as_ref().map(|identity| identity.system.label()),
        interval: report.parts.get(&in_place_of_system(report)).map_or(Duration::ZERO, |state| state.round),
        scopes: scopes.collect(),
    }
}

/// Puts the rules' questions about the daemon to its `own` state.
pub fn own_findings(rules: &Rules, own: &OwnState, now: Moment) -> Findings {
    let scopes = rules.list().iter().filter_map(|rule| {
        let (judged, crossings) = own::ask(rule, own, now)?;
        Some(Scope::new(rule, judged, now.wall, crossings, now))
    });
    Findings {
        target: "".into(),
        source: "".into(),
        system: None,
        interval: Duration::ZERO,
        scopes: scopes.collect(),
    }
}

/// When the part that the rule asks about was read; what is no part's answer is as of now.
fn read_at(rule: &Rule, report: &Report, now: Moment) -> Timestamp {
    let Some(part) = part_of(rule, report) else { return now.wall };
    report.parts.get(&part).and_then(|state| state.last_data).map_or(now.wall, |read| read.wall)
}

/// The part whose answer the rule is about, see [`Kind::part`](super::rule::Kind::part).
fn part_of(rule: &Rule, report: &Report) -> Option<Part> {
    rule.kind.part.map(|part| if part == Part::System { in_place_of_system(report) } else { part })
}

/// The cheapest part of a target: an LLM proxy has credentials where others have a system.
fn in_place_of_system(report: &Report) -> Part {
    if report.parts.contains_key(&Part::System) { Part::System } else { Part::Credentials }
}

fn name_of<'a>(subject: &'a str, target: &'a str) -> &'a str {
    if subject.is_empty() { target } else { subject }
}

fn ask(rule: &Rule, report: &Report, traffic: &Traffic, now: Moment) -> (Judged, Vec<Crossing>) {
    let part = part_of(rule, report);
    let turned_off = report.llm_state.is_some_and(|state| state.mode == LlmMode::Off);
    if part == Some(Part::Usage) && turned_off && answers(report, Part::Credentials, now) {
        return (Judged::TurnedOff, Vec::new());
    }
    if part.is_some_and(|part| !answers(report, part, now)) {
        return (Judged::Nothing, Vec::new());
    }
    let nodes = answers(report, Part::Nodes, now).then_some(report.nodes.as_slice());
    let host = &report.host;
    match rule.kind.question {
        Question::UserExpiry
        | Question::UserQuota
        | Question::UserStatus
        | Question::UserInactive
        | Question::UserDevices => (Judged::Users(Arc::clone(&report.users)), Vec::new()),
        Question::UserTraffic => users::traffic(rule, report, traffic, now),
        Question::QuotaForecast => users::forecasts(rule, report, now),
        Question::AdminQuota => admins::quota(rule, report),
        Question::RowsUnreadable => rows_unreadable(report),
        Question::InboundExpiry => {
            of_inbounds(report, |inbound| inbounds::expiry(rule, report, inbound, now))
        }
        Question::InboundQuota => of_inbounds(report, |inbound| inbounds::quota(rule, inbound, now)),
        Question::TargetDown => target_down(rule, report, now),
        Question::LoginRefused => login_refused(report),
        Question::PartStale => part_stale(report, now),
        Question::RightLost => right_lost(report),
        Question::AccountingStalled => accounting_stalled(report, nodes, now),
        Question::NodeDown => node_down(rule, report, now),
        Question::OutboundDown => outbound_down(rule, report, now),
        Question::NodeCpu => node_share(rule, report, nodes, |stats| stats.cpu_usage),
        Question::NodeMemory => node_share(rule, report, nodes, |stats| stats.memory_usage),
        Question::NodeTraffic => node_traffic(rule, report, now),
        Question::CoreDown => core_down(report, nodes, now),
        Question::HostCpu => of_target(share(rule, host.cpu_usage)),
        Question::HostMemory => of_target(share(rule, model::share(host.memory_used, host.memory_size))),
        Question::HostDisk => of_target(share(rule, model::share(host.disk_used, host.disk_size))),
        Question::CertificateExpiry => certificate_expiry(rule, report, in_place_of_system(report), now),
        Question::CredentialUnavailable => credential_unavailable(rule, report, now),
        Question::CredentialQuota => credentials::quota(rule, report, now),
        Question::CredentialPlanExpiry => plan_expiry(rule, report, now),
        Question::LlmErrorRatio => error_ratio(rule, report, now),
        Question::LlmTokenBudget | Question::LlmCostBudget => budget(rule, report),
        Question::LlmUsageGap => usage_gap(report, now),
        Question::StoreFailing
        | Question::HistoryFailing
        | Question::ReloadFailed
        | Question::HeartbeatWithheld
        | Question::ReceiverFailing
        | Question::NotificationsAbandoned => (Judged::Nothing, Vec::new()),
    }
}

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

impl Scope {
    fn new(
        rule: &Arc<Rule>,
        judged: Judged,
        read_at: Timestamp,
        crossings: Vec<Crossing>,
        now: Moment,
    ) -> Self {
        let (crossed, well) = crossings.into_iter().partition(Crossing::is_any);
        Scope { rule: Arc::clone(rule), judged, read_at, crossed, well, now }
    }

    /// Of subjects that have crossed a step, or hold one they crossed earlier. Sorted by subject, each once. Of users, who
    /// can be many, each is found when it is its turn.
    pub fn crossings(&self) -> impl Iterator<Item = Cow<'_, Crossing>> {
        let users = if let Judged::Users(users) = &self.judged { Some(users.list()) } else { None };
        let users = users.into_iter().flat_map(SortedUsers::iter);
        let of_users = users.filter_map(|user| self.of_user(user)).map(Cow::Owned);
        self.crossed.iter().map(Cow::Borrowed).chain(of_users)
    }

    fn of_user(&self, user: &User) -> Option<Crossing> {
        let found = match self.rule.kind.question {
            Question::UserExpiry => users::expiry(&self.rule, user, self.now),
            Question::UserQuota => users::quota(&self.rule, user),
            Question::UserStatus => users::status(user),
            Question::UserInactive => users::inactive(&self.rule, user, self.now),
            Question::UserDevices => users::devices(user),
            _ => None,
        };
        found.filter(|crossing| crossing.is_any() && self.rule.covers(&crossing.subject))
    }

    /// When `crossing` was read, by our clock.
    pub fn read_at(&self, crossing: &Crossing) -> Timestamp {
        crossing.read.map_or(self.read_at, |read| read.at)
    }

    /// What became of a subject that had the reading `then`, read at `then_at`, when it was last looked at, and that has
    /// no steps crossed any more; absent: it was not looked at.
    pub fn end(&self, subject: &str, target: &str, then: &Reading, then_at: Timestamp) -> Option<Ended> {
        if !self.rule.covers(name_of(subject, target)) {
            return Some(Ended { end: End::Removed, read_at: None, reading: None, since: None });
        }
        let mut at = self.read_at;
        let well = self.well.iter().find(|well| *well.subject == *subject);
        let (end, reading) = match &self.judged {
            Judged::Nothing => return None,
            Judged::Those(list) if !list.iter().any(|name| **name == *subject) => return None,
            Judged::Those(_) if matches!(then, Reading::Ends(_)) => (End::Renewed, None),
            Judged::Those(_) if matches!(then, Reading::Used { .. }) => period::of_use(then, well),
            Judged::Those(_) if well.is_none() => (End::Recovered, Some(Reading::Nothing)),
            Judged::Those(_) => (End::Recovered, None),
            Judged::Named(list) => match list.iter().find(|(name, _)| **name == *subject) {
                None => (End::Deleted, None),
                Some((_, Switch::Off)) => (End::Disabled, None),
                Some((_, Switch::On)) if matches!(then, Reading::Used { .. }) => period::of_use(then, well),
                Some((_, Switch::On)) => (End::Recovered, None),
                Some((_, Switch::Unknown)) => return None,
            },
            Judged::Inbounds { list, whole } => {
                match list.iter().find(|inbound| *inbound.label == *subject) {
                    Some(inbound) => {
                        (end_of_inbound(inbound, then, self.read_at)?, inbounds::reading_of(inbound, then))
                    }
                    None if *whole => (End::Deleted, None),
                    None => return None,
                }
            }
            Judged::Credentials { list, whole } => {
                end_of_credential(list, *whole, &self.rule, subject, (then, then_at), self.read_at)?
            }
            Judged::Keys { usage, budget } => {
                let reading = budgets::reading_of(usage, *budget, subject);
                (end_of_budget(usage, *budget, subject, then)?, Some(reading))
            }
            Judged::TurnedOff => (End::Disabled, None),
            Judged::Traffic { users, is_whole } => match users.list().get(subject) {
                Some(_) if !is_whole => return None,
                Some(_) => (End::Recovered, Some(Reading::Nothing)),
                None => {
                    at = users.walked_since()?.wall;
                    (End::Deleted, None)
                }
            },
            Judged::Forecasts { users, rates } => match users.list().get(subject) {
                Some(user) => {
                    at = user.read_at;
                    users::end_of_forecast(user, then, rates.of(subject).is_some())?
                }
                None => {
                    at = users.walked_since()?.wall;
                    (End::Deleted, None)
                }
            },
            Judged::Users(users) => {
                match users.list().get(subject) {
                    Some(user) if users::is_silent_on(user, then) => return None,
                    Some(user) => {
                        at = user.read_at;
                        (end_of_user(&self.rule, user, then), Some(users::reading_of(user, then)))
                    }
                    // The list lacks those who were created after its walk began.
                    None => {
                        at = users.walked_since()?.wall;
                        (End::Deleted, None)
                    }
                }
            }
        };
        let reading = reading.or_else(|| well?.reading.clone());
        Some(Ended { end, read_at: Some(at), reading, since: well.and_then(|well| well.since) })
    }
}

#[cfg(test)]
mod tests;
