//! The routes of the generations, and which of them the panel has.
//!
//! A route is found by asking for it, never by the version: panels built by hand and forks say little by theirs.

use std::collections::BTreeMap;

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
        }
    }
}

impl Route {
    /// Whether a token is accepted there.
    pub(super) fn takes_token(self) -> bool {
        self.path.starts_with("/panel/api/")
    }
}

/// The routes that were found. Absent: the subject was not asked for yet.
#[derive(Debug, Default)]
pub(super) struct Routes(BTreeMap<Subject, Option<Route>>);

impl Routes {
    /// The route that answered; `Some(None)`: the panel has none.
    pub(super) fn known(&self, subject: Subject) -> Option<Option<Route>> {
        self.0.get(&subject).copied()
    }

    pub(super) fn of(&self, subject: Subject) -> Option<Route> {
        self.known(subject).flatten()
    }

    pub(super) fn is_absent(&self, subject: Subject) -> bool {
        self.known(subject) == Some(None)
    }

    /// Whether the route has answered.
    pub(super) fn has_answered(&self, route: Route) -> bool {
        self.0.values().any(|known| *known == Some(route))
    }

    pub(super) fn learn(&mut self, subject: Subject, route: Option<Route>) {
        self.0.insert(subject, route);
    }

    /// Forgets all but `kept`: the panel may be another one.
    pub(super) fn forget_but(&mut self, kept: Option<Subject>) {
        self.0.retain(|subject, _| Some(*subject) == kept);
    }
}
