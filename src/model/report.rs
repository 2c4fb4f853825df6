use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    Admin, Core, Counter, History, Host, Identity, Moment, Node, NodeTraffic, Part, PartData, SystemFacts,
    UserCounts, UserNodeTraffic, Users,
};

/// All that is known of one target: each part's last good answer, and how its last attempt went.
///
/// A failed attempt never takes knowledge away; age does, and [`Report::fresh`] is where readers ask for it.
#[derive(Clone, Debug)]
pub struct Report {
    pub target: Arc<str>,
    pub identity: Option<Identity>,
    /// Whether login and the cheapest part succeeded at their last attempt; absent: not tried yet.
    pub up: Option<bool>,
    /// Parts that were tried at least once.
    pub parts: BTreeMap<Part, PartState>,
    /// When the certificate that the target presented ends, by the panel's word.
    pub certificate_expiry: Option<super::Timestamp>,
    pub host: Host,
    pub counts: UserCounts,
    pub proxy_uplink: Option<Counter>,
    pub proxy_downlink: Option<Counter>,
    pub core: Option<Core>,
    pub nodes: Arc<Vec<Node>>,
    pub usage: Arc<Vec<NodeTraffic>>,
    pub admins: Arc<Vec<Admin>>,
    pub users: Arc<Users>,
    pub user_nodes: Arc<Vec<UserNodeTraffic>>,
    pub history: History,
}

/// How a part of a target stands.
#[derive(Clone, Debug, PartialEq)]
pub struct PartState {
    pub outcome: Outcome,
    /// When the part was last read to its end.
    pub last_success: Option<Moment>,
    /// When anything of it was last read: for a walk in progress, its newest page.
    pub last_data: Option<Moment>,
    /// How long its last whole read took.
    pub duration: Option<Duration>,
    /// From the beginning of one whole read to that of the next, as it goes at present.
    pub round: Duration,
    /// Age beyond which what is known of it is no longer told.
    pub stale_after: Duration,
}

/// How the last attempt at a part went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Up,
    /// The account may not read it. Not a failure.
    Refused,
    /// The reason is one of the closed set that `target_poll_failures_total` counts by; the detail is a sentence.
    Failed {
        reason: &'static str,
        detail: String,
    },
    /// A first walk is under way.
    Pending,
}

impl Report {
    /// A target of which nothing is known yet.
    pub fn new(target: impl Into<Arc<str>>) -> Self {
        Report {
            target: target.into(),
            identity: None,
            up: None,
            parts: BTreeMap::new(),
            certificate_expiry: None,
            host: Host::default(),
            counts: UserCounts::default(),
            proxy_uplink: None,
            proxy_downlink: None,
            core: None,
            nodes: Arc::default(),
            usage: Arc::default(),
            admins: Arc::default(),
            users: Arc::default(),
            user_nodes: Arc::default(),
            history: History::default(),
        }
    }

    /// Whether what is known of `part` is young enough to be told.
    pub fn fresh(&self, part: Part, now: Moment) -> bool {
        self.stale_in(part, now).is_some()
    }

    /// How long `part` stays fresh if nothing more is read; absent: it is stale or was never read.
    pub fn stale_in(&self, part: Part, now: Moment) -> Option<Duration> {
        let state = self.parts.get(&part)?;
        // Until a long list was read to its end, the age of its newest page counts; from then on, that of the whole.
        let age = now.since(state.last_success.or(state.last_data)?);
        state.stale_after.checked_sub(age).filter(|left| !left.is_zero())
    }

    /// Takes in one converted answer. Counters go on from the previous reading.
    pub fn merge(&mut self, data: PartData) {
        match data {
            PartData::System(facts) => self.merge_system(facts),
            PartData::Core(core) => self.core = Some(core),
            PartData::Nodes(nodes) => self.merge_nodes(nodes),
            PartData::Usage(usage) => self.usage = Arc::new(usage),
            PartData::Admins(admins) => self.admins = Arc::new(admins),
            PartData::UsersPage(page) => Arc::make_mut(&mut self.users).merge_page(page),
            PartData::UsersEnd(end) => Arc::make_mut(&mut self.users).merge_end(end),
            PartData::UsersNamed(named) => Arc::make_mut(&mut self.users).merge_named(named),
            PartData::UserNodes(traffic) => self.user_nodes = Arc::new(traffic),
        }
    }

    fn merge_system(&mut self, facts: SystemFacts) {
        self.identity = Some(facts.identity);
        self.host = facts.host;
        self.counts = facts.counts;
        if self.users.holds_many_missing() {
            Arc::make_mut(&mut self.users).compare(self.counts.total);
        }
        self.proxy_uplink = go_on(self.proxy_uplink, facts.proxy_uplink);
        self.proxy_downlink = go_on(self.proxy_downlink, facts.proxy_downlink);
    }

    fn merge_nodes(&mut self, mut nodes: Vec<Node>) {
        let known: HashMap<_, _> = self.nodes.iter().map(|node| (&node.label, node)).collect();
        for node in &mut nodes {
            let Some(known) = known.get(&node.label) else { continue };
            if node.version.is_none() {
                node.version.clone_from(&known.version);
            }
            node.uplink = go_on(known.uplink, node.uplink.map(Counter::value));
            node.downlink = go_on(known.downlink, node.downlink.map(Counter::value));
        }
        self.nodes = Arc::new(nodes);
    }
}

fn go_on(counter: Option<Counter>, reading: Option<u64>) -> Option<Counter> {
    let reading = reading?;
    Some(counter.map_or_else(|| Counter::new(reading), |counter| counter.then(reading)))
}
