//! What the tests of this room share.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::config::AlertingConfig;
use crate::model::{
    Counter, Expiry, Identity, Moment, NamedUsers, Outcome, Part, PartData, PartState, Report, System,
    Timestamp, User, UserStatus, WalkEnd,
};

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 3600;
pub(super) const DAY: u64 = 86_400;

/// The wall time at which tests begin: a Wednesday.
pub(super) const BEGIN: Timestamp = Timestamp::from_secs(1_795_000_000);

pub(super) fn config() -> AlertingConfig {
    AlertingConfig {
        enabled: true,
        group_by: vec!["target".into(), "alertname".into()],
        group_wait: Duration::from_secs(30),
        group_interval: Duration::from_secs(300),
        repeat_interval: None,
        adopt: false,
        fallback: None,
        fallback_after: Duration::from_secs(1800),
        rules: BTreeMap::new(),
        mutes: BTreeMap::new(),
    }
}

/// The moment this long after [`BEGIN`], with both clocks in step.
pub(super) fn at(secs: u64) -> Moment {
    let uptime = Duration::from_secs(secs);
    Moment { wall: BEGIN.saturating_add(uptime), uptime }
}

/// A panel whose users tests write down, and the report of polling it.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) users: BTreeMap<String, User>,
    pub(super) report: Report,
}

pub(super) fn user(name: &str) -> User {
    User {
        name: name.into(),
        owner: None,
        status: UserStatus::Active,
        used: 0,
        limit: None,
        traffic: Counter::new(0),
        expiry: Expiry::Never,
        last_online: None,
        online: false,
        read_at: Timestamp::default(),
    }
}

impl Panel {
    pub(super) fn new(target: &str) -> Self {
        let mut report = Report::new(target);
        report.identity =
            Some(Identity { system: System::Marzban, version: "0.8.4".into(), generation: "0.8".into() });
        Panel { users: BTreeMap::new(), report }
    }

    /// Adds or changes a user.
    pub(super) fn set(&mut self, name: &str, change: impl FnOnce(&mut User)) {
        change(self.users.entry(name.to_owned()).or_insert_with(|| user(name)));
    }

    /// A user whose plan ends this long after [`BEGIN`].
    pub(super) fn expires(&mut self, name: &str, secs: u64) {
        self.set(name, |user| {
            user.expiry = Expiry::At(BEGIN.saturating_add(Duration::from_secs(secs)));
        });
    }

    /// A user who has used this much of 100 bytes.
    pub(super) fn uses(&mut self, name: &str, percent: u64) {
        self.set(name, |user| (user.used, user.limit) = (percent, Some(100)));
    }

    /// Reads everything without a failure.
    pub(super) fn poll(&mut self, now: Moment) -> Arc<Report> {
        self.poll_cheap(now);
        self.read(Part::Users, now);
        let page: Vec<_> =
            self.users.values().cloned().map(|user| User { read_at: now.wall, ..user }).collect();
        let seen: HashSet<_> = page.iter().map(|user| Arc::clone(&user.name)).collect();
        let known = self.report.users.list().iter().map(|user| Arc::clone(&user.name));
        let gone = known.filter(|name| !seen.contains(name)).collect();
        self.report.merge(PartData::UsersEnd(WalkEnd { page, seen, unreadable: 0, started: now }));
        // Those who are missing were asked for by name.
        self.report.merge(PartData::UsersNamed(NamedUsers { found: Vec::new(), gone }));
        Arc::new(self.report.clone())
    }

    /// Reads everything but the users.
    pub(super) fn poll_cheap(&mut self, now: Moment) {
        self.report.up = Some(true);
        self.report.remember_up(now);
        for part in [Part::System, Part::Core, Part::Nodes] {
            self.read(part, now);
            self.report.remember(part, now);
        }
    }

    /// A part is read.
    pub(super) fn read(&mut self, part: Part, now: Moment) {
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
    pub(super) fn fail(&mut self, part: Part) {
        if let Some(state) = self.report.parts.get_mut(&part) {
            state.outcome = Outcome::Failed { reason: "timeout", detail: "no answer".into() };
        }
    }

    /// The target does not answer.
    pub(super) fn down(&mut self, now: Moment) -> Arc<Report> {
        self.fail(Part::System);
        self.report.up = Some(false);
        self.report.remember_up(now);
        Arc::new(self.report.clone())
    }

    pub(super) fn report(&self) -> Arc<Report> {
        Arc::new(self.report.clone())
    }
}
