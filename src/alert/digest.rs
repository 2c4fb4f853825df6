//! The daily digest: what is not worth a message of its own. [`of`] selects what one digest says, and is pure.

mod content;
mod time;
mod top;
mod words;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use self::words::Times;
pub use self::{
    content::{Expiring, Listed, OfTarget, Outages, Renewed, Reset, Top, Usage, Used, UsedUp},
    time::DigestTime,
    top::{AskTop, Tops},
};
use super::{
    finding::{runs_until, uses},
    rule::{Question, Rule, Rules},
    words::{Pseudonym, displayed},
};
use crate::{
    model::{
        Change, Expiry, Forecast, KIND_USER, Moment, Notice, Outcome, Part, Report, Severity, Sort,
        Timestamp, User,
    },
    wording::{Failing, Voice},
};

/// Users are listed who expire within this time.
const SOON: Duration = Duration::from_secs(7 * 86_400);
/// Users are listed who have used at least this share of their quota, in percent.
const NEARLY: u128 = 80;
/// Of the messages of all digests.
const GROUP: &str = "digest";
const REASON: &str = "daily digest";
/// The most lines of each list.
const LINES: usize = 20;
/// The most lines of a digest. What is beyond them is counted.
const ALL_LINES: usize = 200;
/// A digest that is composed this long after it was due says so.
const LATE: Duration = Duration::from_secs(30 * 60);

/// What a digest for `receiver` says of each target of which there is anything to say, since `since`. Each rule decides
/// which subjects it is about, and which receivers it is for. `tops` is what [`AskTop::read`] found.
pub fn of<'a>(
    reports: impl IntoIterator<Item = &'a Report>,
    rules: &Rules,
    (receiver, tops): (&str, &Tops),
    pseudonym: Option<&Pseudonym>,
    since: Timestamp,
    now: Moment,
) -> Vec<OfTarget> {
    let mut left = ALL_LINES;
    let targets = reports.into_iter().map(|report| {
        let asks = |question| rules.asking(question, receiver, &report.target);
        let look = Look {
            report,
            expiry: asks(Question::UserExpiry),
            quota: asks(Question::UserQuota),
            forecast: asks(Question::QuotaForecast),
            pseudonym,
            since,
            now,
        };
        let outages = OUTAGES.map(|(sort, question)| look.outages(sort, &asks(question)));
        OfTarget {
            target: Arc::clone(&report.target),
            outages: Look::by_subject(outages).cut(&mut left),
            expiring: look.expiring().cut(&mut left),
            nearly_used_up: look.nearly_used_up().cut(&mut left),
            used_up_soon: look.used_up_soon().cut(&mut left),
            renewed: look.renewed().cut(&mut left),
            reset: look.reset().cut(&mut left),
            new: look.of_sort(Sort::New).cut(&mut left),
            gone: look.of_sort(Sort::Gone).cut(&mut left),
            top: tops.of(report, pseudonym),
        }
    });
    let mut targets: Vec<_> = targets.collect();
    // News come first.
    for of_target in &mut targets {
        if let Some(top) = &mut of_target.top {
            top.users.truncate(left);
            left -= top.users.len();
        }
        of_target.top.take_if(|top| top.users.is_empty());
    }
    targets.retain(|of_target| !of_target.has_no_news() || of_target.top.is_some());
    targets
}

/// What can be down, and the rules that decide when an outage counts.
const OUTAGES: [(Sort, Question); 4] = [
    (Sort::TargetOutage, Question::TargetDown),
    (Sort::NodeOutage, Question::NodeDown),
    (Sort::OutboundOutage, Question::OutboundDown),
    (Sort::CredentialOutage, Question::CredentialUnavailable),
];

/// The message of a digest for a receiver. It was due at `due`, and covers what has changed since `since`.
pub fn notice(
    (receiver, voice): (&str, &Voice),
    found: &[OfTarget],
    due: Timestamp,
    since: Timestamp,
    now: Timestamp,
) -> Notice {
    let is_late = now.since(due) >= LATE;
    let digest = words::digest(found, Times { due, since, now, is_late }, voice);
    Notice {
        id: Notice::new_id(),
        receiver: receiver.to_owned(),
        group: GROUP.to_owned(),
        group_labels: BTreeMap::new(),
        reason: REASON.to_owned(),
        alerts: Vec::new(),
        digest: Some(digest),
        created_at: now,
        ..Notice::default()
    }
}

/// Whether a target was read since the start, as far as a digest needs it, or cannot be.
pub fn is_read(report: &Report) -> bool {
    let Some(up) = report.up else { return false };
    let has_users = report.identity.as_ref().is_some_and(|identity| identity.system.has_users());
    if !up || !has_users {
        return true;
    }
    match report.parts.get(&Part::Users).map(|state| &state.outcome) {
        None | Some(Outcome::Pending) => false,
        Some(Outcome::Up) => !report.users.is_restored(),
        Some(Outcome::Refused | Outcome::Failed { .. }) => true,
    }
}

/// One target, as a digest looks at it.
struct Look<'a> {
    report: &'a Report,
    expiry: Vec<&'a Rule>,
    quota: Vec<&'a Rule>,
    forecast: Vec<&'a Rule>,
    pseudonym: Option<&'a Pseudonym>,
    since: Timestamp,
    now: Moment,
}

impl Look<'_> {
    fn outages(&self, sort: Sort, rules: &[&Rule]) -> Found<Outages> {
        let (changes, beyond) = self.report.journal.since(sort, self.since);
        let subject = |name: &Arc<str>| match sort {
            Sort::NodeOutage => Failing::Node(Arc::clone(name)),
            Sort::OutboundOutage => Failing::Outbound(Arc::clone(name)),
            Sort::CredentialOutage => Failing::Credential(Arc::clone(name)),
            _ => Failing::Target,
        };
        let covering = |failing: &Failing| {
            let subject = Arc::clone(failing.name().unwrap_or(&self.report.target));
            rules.iter().filter(move |rule| rule.covers(&subject))
        };
        // Each with its longest piece and the sum of its pieces.
        let mut joined: Vec<(Outages, Duration, Duration)> = Vec::new();
        for (name, change) in changes {
            let Change::Outage { since, until } = change else { continue };
            let subject = subject(name);
            let lasted = self.lasted(since, until);
            // What comes back for less than its rule waits is still down.
            let comes_back = covering(&subject).map(|rule| rule.for_).max().unwrap_or_default();
            match joined.last_mut() {
                Some((last, longest, sum))
                    if last.subject == subject
                        && last.until.is_some_and(|end| since.since(end) < comes_back) =>
                {
                    (last.until, *longest, *sum) = (until, lasted.max(*longest), sum.saturating_add(lasted));
                }
                _ => joined.push((Outages { subject, since, until, count: 1, lasted }, lasted, lasted)),
            }
        }
        // What is too short to fire is too short to be told. What was down most of the time fires, too.
        let is_told = |(outage, longest, sum): &(Outages, Duration, Duration)| {
            let long = if *sum > outage.lasted / 2 { outage.lasted } else { *longest };
            covering(&outage.subject).any(|rule| long >= rule.for_)
        };
        let outages = joined.into_iter().map(|(outage, longest, sum)| {
            let lasted = self.lasted(outage.since, outage.until);
            (Outages { lasted, ..outage }, longest, sum)
        });
        let lines = outages.filter(is_told).map(|(outage, ..)| outage).collect();
        Found { lines, beyond: if rules.is_empty() { 0 } else { beyond } }
    }

    fn lasted(&self, since: Timestamp, until: Option<Timestamp>) -> Duration {
        until.unwrap_or(self.now.wall).since(since)
    }

    /// One line for each subject, by its first outage.
    fn by_subject(found: [Found<Outages>; 4]) -> Found<Outages> {
        let beyond = found.iter().fold(0_u64, |sum, found| sum.saturating_add(found.beyond));
        let mut each: Vec<(Timestamp, Outages)> = Vec::new();
        // Of a subject, they are beside each other, the oldest first.
        for next in found.into_iter().flat_map(|found| found.lines) {
            match each.last_mut() {
                Some((_, known)) if known.subject == next.subject => {
                    let (count, lasted) = (known.count + 1, known.lasted.saturating_add(next.lasted));
                    *known = Outages { count, lasted, ..next };
                }
                _ => each.push((next.since, next)),
            }
        }
        each.sort_by(|(a, one), (b, other)| (a, &one.subject).cmp(&(b, &other.subject)));
        Found { lines: each.into_iter().map(|(_, outages)| outages).collect(), beyond }
    }

    /// The users, if their list is recent enough to be judged.
    fn users(&self) -> impl Iterator<Item = &User> {
        let fresh = self.report.fresh(Part::Users, self.now);
        self.report.users.list().iter().filter(move |_| fresh)
    }

    fn expiring(&self) -> Found<Expiring> {
        let listed = self.users().filter_map(|user| {
            let of_rule = |rule: &&Rule| {
                let end =
                    runs_until(rule, user).filter(|end| *end > self.now.wall && rule.covers(&user.name))?;
                let soon = end.since(self.now.wall) <= SOON;
                (soon || waits(rule, rule.crossed_by_time(end, self.now.wall).0)).then_some(end)
            };
            let end = self.expiry.iter().find_map(of_rule)?;
            Some(Expiring { user: self.name(&user.name), end })
        });
        let mut lines: Vec<_> = listed.collect();
        lines.sort_by(|a, b| (a.end, &a.user).cmp(&(b.end, &b.user)));
        Found { lines, beyond: 0 }
    }

    fn nearly_used_up(&self) -> Found<Usage> {
        let listed = self.users().filter_map(|user| {
            let of_rule = |rule: &&Rule| {
                let (used, limit) = uses(rule, user).filter(|_| rule.covers(&user.name))?;
                let nearly = u128::from(used) * 100 >= u128::from(limit) * NEARLY;
                (nearly || waits(rule, rule.crossed_by_use(used, limit).0)).then_some((used, limit))
            };
            let (used, limit) = self.quota.iter().find_map(of_rule)?;
            Some(Usage { user: self.name(&user.name), used, limit })
        });
        let mut lines: Vec<_> = listed.collect();
        // Shares are compared without being divided.
        let shares = |a: &Usage, b: &Usage| {
            let product = |used: u64, limit: u64| u128::from(used) * u128::from(limit);
            product(b.used, a.limit).cmp(&product(a.used, b.limit))
        };
        lines.sort_by(|a, b| shares(a, b).then_with(|| a.user.cmp(&b.user)));
        Found { lines, beyond: 0 }
    }

    /// By the steps of the rule that wait for the digest.
    fn used_up_soon(&self) -> Found<UsedUp> {
        let mut rates = self.report.rates(self.now).map(|rates| rates.finder());
        let listed = self.users().filter_map(|user| {
            let Forecast { at, .. } = rates.as_mut()?.forecast(user, self.now.wall)?;
            let is_told = |rule: &&Rule| {
                rule.covers(&user.name) && waits(rule, rule.crossed_by_time(at, self.now.wall).0)
            };
            let is_listed = self.forecast.iter().any(is_told);
            is_listed.then(|| UsedUp { user: self.name(&user.name), at })
        });
        let mut lines: Vec<_> = listed.collect();
        lines.sort_by(|a, b| (a.at, &a.user).cmp(&(b.at, &b.user)));
        Found { lines, beyond: 0 }
    }

    /// Of those whose plan ends later still.
    fn renewed(&self) -> Found<Renewed> {
        let of_change = |name: &Arc<str>, change| {
            let Change::Renewed { from, .. } = change else { return None };
            let until = match self.user(name)?.expiry {
                Expiry::At(end) if end > from => Some(end),
                Expiry::Never => None,
                Expiry::At(_) | Expiry::OnFirstUse(_) => return None,
            };
            Some(Renewed { user: self.name(name), until })
        };
        let covers = |name: &str| self.expiry.iter().any(|rule| rule.covers(name));
        let mut found = self.changes(Sort::Renewed, covers, of_change);
        found.lines.sort_by(|a, b| a.user.cmp(&b.user));
        found
    }

    fn reset(&self) -> Found<Reset> {
        let of_change = |name: &Arc<str>, change| {
            let Change::Reset { used_before, limit_before } = change else { return None };
            let User { used, limit, .. } = *self.user(name)?;
            Some(Reset { user: self.name(name), used, used_before, limit, limit_before })
        };
        let covers = |name: &str| self.quota.iter().any(|rule| rule.covers(name));
        let mut found = self.changes(Sort::Reset, covers, of_change);
        found.lines.sort_by(|a, b| a.user.cmp(&b.user));
        found
    }

    /// Users of whom there is no more to say.
    fn of_sort(&self, sort: Sort) -> Found<String> {
        let covers = |name: &str| self.expiry.iter().chain(&self.quota).any(|rule| rule.covers(name));
        let mut found = self.changes(sort, covers, |name, _| Some(self.name(name)));
        found.lines.sort();
        found
    }

    fn changes<T>(
        &self,
        sort: Sort,
        covers: impl Fn(&str) -> bool,
        line: impl Fn(&Arc<str>, Change) -> Option<T>,
    ) -> Found<T> {
        let (changes, beyond) = self.report.journal.since(sort, self.since);
        let changes = changes.filter(|(name, _)| covers(name));
        let lines = changes.filter_map(|(name, change)| line(name, change)).collect();
        let is_asked =
            !self.quota.is_empty() && sort != Sort::Renewed || !self.expiry.is_empty() && sort != Sort::Reset;
        Found { lines, beyond: if is_asked { beyond } else { 0 } }
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.report.users.list().get(name)
    }

    fn name(&self, name: &str) -> String {
        displayed(KIND_USER, name, self.pseudonym).into_owned()
    }
}

/// Whether a step that waits for the digest is among those that are crossed.
fn waits(rule: &Rule, crossed: usize) -> bool {
    rule.steps.iter().take(crossed).any(|step| step.severity == Severity::Info)
}

/// Everything of a list, in order, and how many more were only counted.
struct Found<T> {
    lines: Vec<T>,
    beyond: u64,
}

impl<T> Found<T> {
    /// The first lines, of which so many are `left` in the digest.
    fn cut(self, left: &mut usize) -> Listed<T> {
        let Found { mut lines, beyond } = self;
        let all = lines.len();
        lines.truncate(LINES.min(*left));
        *left -= lines.len();
        let more = (all - lines.len()).saturating_add(usize::try_from(beyond).unwrap_or(usize::MAX));
        Listed { lines, more }
    }
}

#[cfg(test)]
mod tests;
