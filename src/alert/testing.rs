//! What tests of alerts share.

use crate::wording::Language;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;

use super::config::AlertingConfig;
use crate::model::{
    Expiry, Fact, Identity, Moment, NamedUsers, Outcome, Part, PartState, Reason, Report, System, Timestamp,
    User, UserFacts, UserNames, UserStatus, Users, WalkEnd,
};

pub(crate) const MINUTE: u64 = 60;
pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 86_400;

/// The wall time at which tests begin: a Wednesday.
pub(crate) const BEGIN: Timestamp = Timestamp::from_secs(1_795_000_000);

pub(crate) fn config() -> AlertingConfig {
    AlertingConfig {
        enabled: true,
        group_by: vec!["target".into(), "alertname".into()],
        group_wait: Duration::from_secs(30),
        group_interval: Duration::from_secs(300),
        repeat_interval: None,
        adopt: false,
        fallback: None,
        fallback_after: Duration::from_secs(1800),
        zone: TimeZone::UTC,
        language: Language::En,
        rules: BTreeMap::new(),
        mutes: BTreeMap::new(),
        elsewhere: BTreeSet::new(),
    }
}

/// The moment at which tests begin. Its uptime leaves room for earlier processes, as that of the clock does.
pub(crate) const START: Moment = Moment { wall: BEGIN, uptime: Duration::from_secs(365 * DAY) };

/// The moment this long after [`START`], with both clocks in step.
pub(crate) fn at(secs: u64) -> Moment {
    START.after(Duration::from_secs(secs))
}

/// A panel whose users tests write down, and the report of polling it.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) report: Report,
}

impl Panel {
    pub(crate) fn new(target: &str) -> Self {
        let mut report = Report::new(target);
        report.identity =
            Some(Identity { system: System::Marzban, version: "0.8.4".into(), generation: "0.8".into() });
        Panel { users: BTreeMap::new(), report }
    }

    /// Adds or changes a user.
    pub(crate) fn set(&mut self, name: &str, change: impl FnOnce(&mut User)) {
        change(self.users.entry(name.to_owned()).or_insert_with(|| User::named(name)));
    }

    /// A user whose plan ends this long after [`BEGIN`].
    pub(crate) fn expires(&mut self, name: &str, secs: u64) {
        self.set(name, |user| {
            user.expiry = Expiry::At(BEGIN.saturating_add(Duration::from_secs(secs)));
        });
    }

    /// A user who has used this much of 100 bytes.
    pub(crate) fn uses(&mut self, name: &str, percent: u64) {
        self.set(name, |user| (user.used, user.limit) = (percent, Some(100)));
    }

    /// Something happens to one of six users; returns the user for whom a threshold may be sent again.
    pub(crate) fn change_somebody(&mut self, random: &mut fastrand::Rng, now: Timestamp) -> Option<String> {
        let name = format!("u{}", random.u8(0..6));
        if random.u8(0..10) == 0 && self.users.remove(&name).is_some() {
            return Some(name);
        }
        let mut new_period = false;
        self.set(&name, |user| match random.u8(0..10) {
            0..4 => {
                let end = now.saturating_add(Duration::from_secs(random.u64(0..10 * DAY)));
                new_period = !matches!(user.expiry, Expiry::At(before) if end <= before);
                user.expiry = Expiry::At(end);
            }
            4 => {
                new_period = true;
                user.expiry = Expiry::Never;
            }
            5..8 => user.used = (user.used + random.u64(0..30)).min(110),
            8 => {
                new_period = true;
                user.used = random.u64(0..=user.used);
                user.limit = [None, Some(100), Some(100), Some(104)][random.usize(0..4)];
            }
            _ => {
                new_period = true;
                user.status = if user.status == UserStatus::Disabled {
                    UserStatus::Active
                } else {
                    UserStatus::Disabled
                };
            }
        });
        new_period.then_some(name)
    }

    /// The panel itself stops those who may not go on.
    pub(crate) fn stop_who_may_not_go_on(&mut self, now: Timestamp) {
        for user in self.users.values_mut().filter(|user| user.status != UserStatus::Disabled) {
            user.status = match (user.expiry, user.limit) {
                (_, Some(limit)) if user.used >= limit => UserStatus::Limited,
                (Expiry::At(end), _) if end <= now => UserStatus::Expired,
                _ => UserStatus::Active,
            };
        }
    }

    /// The process begins again: only a whole list of users that was kept is known, if there is one.
    pub(crate) fn forget_all_but(&mut self, kept: Option<&Users>, now: Moment) {
        self.report = Panel::new(&self.report.target).report;
        let Some(kept) = kept else { return };
        let started = kept.walked_since().unwrap_or_default().wall;
        let age = now.wall.since(started);
        let started = Moment { wall: started, uptime: now.uptime.saturating_sub(age) };
        self.report.users = Arc::new(Users::restored(kept.list().clone(), Some(started)));
        let state = PartState {
            outcome: Outcome::Pending,
            last_success: None,
            last_data: Some(now),
            duration: None,
            round: Duration::from_secs(30),
            stale_after: Duration::from_secs(600),
        };
        self.report.parts.insert(Part::Users, state);
    }

    /// Reads these users by name.
    pub(crate) fn read_by_name(&mut self, names: Vec<Arc<str>>, now: Moment) {
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for name in names {
            match self.users.get(&*name) {
                Some(user) => found.push(User { read_at: now.wall, ..user.clone() }),
                None => gone.push(name),
            }
        }
        self.report.merge(Fact::Users(UserFacts::Named(NamedUsers { found, gone })), now);
    }

    /// Reads everything without a failure.
    pub(crate) fn poll(&mut self, now: Moment) -> Arc<Report> {
        self.poll_cheap(now);
        self.read(Part::Users, now);
        let page: Vec<_> =
            self.users.values().cloned().map(|user| User { read_at: now.wall, ..user }).collect();
        let seen: UserNames = page.iter().map(|user| Arc::clone(&user.name)).collect();
        let known = self.report.users.list().iter().map(|user| Arc::clone(&user.name));
        let gone = known.filter(|name| !seen.contains(name)).collect();
        let end = WalkEnd { page, seen, started: now, ..WalkEnd::default() };
        self.report.merge(Fact::Users(UserFacts::WalkEnd(end)), now);
        // Those who are missing were asked for by name.
        self.report.merge(Fact::Users(UserFacts::Named(NamedUsers { found: Vec::new(), gone })), now);
        Arc::new(self.report.clone())
    }

    /// Reads everything but the users.
    pub(crate) fn poll_cheap(&mut self, now: Moment) {
        self.report.up = Some(true);
        self.report.history.up_was(true, now);
        for part in [Part::System, Part::Core, Part::Nodes] {
            self.read(part, now);
        }
        // The nodes that a test wrote down are what the panel answers.
        let nodes = self.report.nodes.to_vec();
        self.report.merge(Fact::Nodes(nodes), now);
    }

    /// A part is read.
    pub(crate) fn read(&mut self, part: Part, now: Moment) {
        self.report.parts.insert(
            part,
            PartState {
                outcome: Outcome::Up,
                last_success: Some(now),
                last_data: Some(now),
                duration: None,
                round: Duration::from_secs(30),
                stale_after: Duration::from_secs(600),
            },
        );
    }

    /// An attempt at a part fails.
    pub(crate) fn fail(&mut self, part: Part) {
        if let Some(state) = self.report.parts.get_mut(&part) {
            state.outcome = Outcome::Failed { reason: Reason::Timeout, detail: "no answer".into() };
        }
    }

    /// The target does not answer.
    pub(crate) fn down(&mut self, now: Moment) -> Arc<Report> {
        self.fail(Part::System);
        self.report.up = Some(false);
        self.report.history.up_was(false, now);
        Arc::new(self.report.clone())
    }

    pub(crate) fn report(&self) -> Arc<Report> {
        Arc::new(self.report.clone())
    }
}
