//! The routes of the generations, and which of them the panel has.
//!
//! A route is found by asking for it, never by the version: panels built by hand and forks say little by theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::model::Moment;

/// A request of the panels that only reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) is_get: bool,
    /// Below the base path.
    pub(super) path: &'static str,
}

/// What is asked for by different routes in different generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Status,
    /// Inbounds with their clients.
    List,
    /// The same with all that the panel knows of the clients, if the list is without.
    WholeList,
    Online,
    LastOnline,
    /// The number of users online, which a token of the scope `monitor` may read.
    OnlineCount,
    Nodes,
    /// Nodes of nodes, which a token of the scope `node-sync` may read.
    Descendants,
    OutboundTraffic,
    Observatory,
    /// Addresses of clients.
    Addresses,
    /// What the panel calls expiring soon.
    Thresholds,
}

pub(super) const fn get(path: &'static str) -> Route {
    Route { is_get: true, path }
}

pub(super) const fn post(path: &'static str) -> Route {
    Route { is_get: false, path }
}

pub(super) const STATUS_OF_3X_UI: Route = get("/panel/api/server/status");
pub(super) const STATUS_OF_OLD: Route = post("/server/status");
pub(super) const STATUS_OF_ALIREZA0: Route = get("/xui/API/server/status");
pub(super) const SLIM_LIST: Route = get("/panel/api/inbounds/list/slim");
pub(super) const LIST: Route = get("/panel/api/inbounds/list");
const LIST_OF_ALIREZA0: Route = get("/xui/API/inbounds/");
const LIST_OF_OLD: Route = post("/xui/inbound/list");

const ONLINE: [Route; 5] = [
    post("/panel/api/clients/onlines"),
    post("/panel/api/inbounds/onlines"),
    post("/panel/inbound/onlines"),
    post("/xui/API/inbounds/onlines"),
    post("/xui/inbound/onlines"),
];
const OUTBOUND_TRAFFIC: [Route; 3] = [
    get("/panel/api/xray/getOutboundsTraffic"),
    get("/panel/xray/getOutboundsTraffic"),
    get("/xui/API/outbounds/"),
];
/// These only read.
const THRESHOLDS: [Route; 3] = [
    post("/panel/api/setting/defaultSettings"),
    post("/panel/setting/defaultSettings"),
    post("/xui/setting/defaultSettings"),
];

impl Subject {
    /// The newest route first.
    pub(super) fn routes(self) -> &'static [Route] {
        match self {
            Subject::Status => const { &[STATUS_OF_3X_UI, STATUS_OF_OLD, STATUS_OF_ALIREZA0] },
            Subject::List => const { &[SLIM_LIST, LIST, LIST_OF_ALIREZA0, LIST_OF_OLD] },
            Subject::WholeList => const { &[LIST] },
            Subject::Online => &ONLINE,
            Subject::LastOnline => const { &[post("/panel/api/clients/lastOnline")] },
            Subject::OnlineCount => const { &[get("/panel/api/server/history/online/2")] },
            Subject::Nodes => const { &[get("/panel/api/nodes/list")] },
            Subject::Descendants => const { &[get("/panel/api/server/descendants")] },
            Subject::OutboundTraffic => &OUTBOUND_TRAFFIC,
            Subject::Observatory => const { &[get("/panel/api/server/xrayObservatory")] },
            Subject::Addresses => const { &[get("/panel/api/server/clientIps")] },
            Subject::Thresholds => &THRESHOLDS,
        }
    }

    /// Whether null is a usual answer, and nothing is lost if it is believed.
    pub(super) fn may_be_null(self) -> bool {
        match self {
            Subject::Status
            | Subject::List
            | Subject::Nodes
            | Subject::Descendants
            | Subject::OutboundTraffic
            | Subject::Observatory => false,
            Subject::WholeList
            | Subject::Online
            | Subject::LastOnline
            | Subject::OnlineCount
            | Subject::Addresses
            | Subject::Thresholds => true,
        }
    }
}

impl Route {
    /// Whether a token is accepted there.
    pub(super) fn takes_token(self) -> bool {
        self.path.starts_with("/panel/api/")
    }
}

/// How long a subject that has answered before must be missing until the panel counts as one without it.
const MISSING_FOR: Duration = Duration::from_secs(5 * 60);
/// How often a subject that the panel does not have, or refuses, is looked for again.
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(3600);

/// The routes that were found. Absent: the subject was not asked for yet.
#[derive(Debug, Default)]
pub(super) struct Routes {
    known: BTreeMap<Subject, Option<Route>>,
    /// Subjects that have answered.
    answered: BTreeSet<Subject>,
    /// When a subject was looked for first, and found nowhere, since it was there.
    missing: BTreeMap<Subject, Duration>,
    /// When a subject was last found to be absent.
    absent: BTreeMap<Subject, Duration>,
    /// When the panel last refused a subject to this login.
    refused: BTreeMap<Subject, Duration>,
}

impl Routes {
    /// The route that answered; `Some(None)`: the panel has none.
    pub(super) fn known(&self, subject: Subject) -> Option<Option<Route>> {
        self.known.get(&subject).copied()
    }

    pub(super) fn of(&self, subject: Subject) -> Option<Route> {
        self.known(subject).flatten()
    }

    pub(super) fn is_absent(&self, subject: Subject) -> bool {
        self.known(subject) == Some(None)
    }

    /// Whether the route has answered.
    pub(super) fn has_answered(&self, route: Route) -> bool {
        self.known.values().any(|known| *known == Some(route))
    }

    pub(super) fn learn(&mut self, subject: Subject, route: Route) {
        self.known.insert(subject, Some(route));
        self.answered.insert(subject);
        self.missing.remove(&subject);
    }

    /// No route answers for `subject`. Returns whether the panel counts as one without it: something in front of it
    /// answers 404 for a moment too. The status decides what the panel is, and each panel has a list, so these two are
    /// looked for again whenever they are asked for.
    pub(super) fn finds_none(&mut self, subject: Subject, now: Moment) -> bool {
        if matches!(subject, Subject::Status | Subject::List) {
            return false;
        }
        if self.answered.contains(&subject) {
            let first = *self.missing.entry(subject).or_insert(now.uptime);
            if now.uptime.saturating_sub(first) < MISSING_FOR {
                return false;
            }
        }
        self.answered.remove(&subject);
        self.missing.remove(&subject);
        self.known.insert(subject, None);
        self.absent.insert(subject, now.uptime);
        true
    }

    /// A subject that the panel does not have, as far as known, and that it is time to look for again.
    pub(super) fn looks_again_for(&mut self, now: Moment) -> Option<Subject> {
        let is_due = |subject: &Subject| {
            let found = self.absent.get(subject);
            self.is_absent(*subject)
                && found.is_none_or(|found| now.uptime.saturating_sub(*found) >= LOOK_AGAIN_EVERY)
        };
        let subject = self.known.keys().copied().find(is_due)?;
        self.known.remove(&subject);
        Some(subject)
    }

    /// The panel does not allow this login to read `subject`.
    pub(super) fn refuse(&mut self, subject: Subject, now: Moment) {
        self.refused.insert(subject, now.uptime);
    }

    /// Whether it is too early to ask for `subject` again, which the panel refused.
    pub(super) fn is_refused(&self, subject: Subject, now: Moment) -> bool {
        let refused = self.refused.get(&subject);
        refused.is_some_and(|refused| now.uptime.saturating_sub(*refused) < LOOK_AGAIN_EVERY)
    }

    /// Forgets the route of one subject, which no longer answers.
    pub(super) fn forget(&mut self, subject: Subject) {
        self.known.remove(&subject);
    }

    /// Forgets all routes but that of `kept`: the panel may be another one.
    pub(super) fn forget_but(&mut self, kept: Option<Subject>) {
        self.known.retain(|subject, _| Some(*subject) == kept);
        self.refused.clear();
    }

    /// Forgets all but `kept`, because the panel has another version.
    pub(super) fn begin_again(&mut self, kept: Subject) {
        self.forget_but(Some(kept));
        self.answered.retain(|subject| *subject == kept);
        self.missing.clear();
    }
}
