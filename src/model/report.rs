use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Admin, Core, Counter, Fact, History, Host, Identity, Moment, Node, NodeTraffic, Outcome, Part, PartState,
    ProxyTraffic, Timestamp, User, UserCounts, UserNodeTraffic, Users,
};

/// Everything known of one target: each part's last good answer, and the outcome of its last attempt.
///
/// A failed attempt never removes data; age does. Readers use [`Report::fresh`] to check it.
#[derive(Clone, Debug)]
pub struct Report {
    pub target: Arc<str>,
    /// Identifies the system, without revealing its address. Another source under the same name is another system, of
    /// which nothing is known.
    pub source: Arc<str>,
    pub identity: Option<Identity>,
    /// Whether login and the cheapest part succeeded at their last attempt; absent: not tried yet.
    pub up: Option<bool>,
    /// How the target itself fails, so that only the part that decides `up` is requested; absent: it does not fail.
    pub unreachable: Option<Outcome>,
    /// Parts that were tried at least once.
    pub parts: BTreeMap<Part, PartState>,
    /// When the certificate that the target presented expires.
    pub certificate_expiry: Option<Timestamp>,
    pub host: Host,
    pub counts: UserCounts,
    pub proxy_uplink: Option<Counter>,
    pub proxy_downlink: Option<Counter>,
    pub core: Option<Core>,
    pub nodes: Arc<Vec<Node>>,
    pub usage: Arc<Vec<NodeTraffic>>,
    pub admins: Arc<Vec<Admin>>,
    pub users: Arc<Users>,
    /// Names of all online users, if the system has the part [`Part::Online`].
    pub online: Arc<HashSet<Arc<str>>>,
    pub user_nodes: Arc<Vec<UserNodeTraffic>>,
    pub history: History,
}

impl Report {
    /// A target without any data yet.
    pub fn new(target: impl Into<Arc<str>>) -> Self {
        Report::of(target, "")
    }

    /// As [`Report::new`], for the system `source`.
    pub fn of(target: impl Into<Arc<str>>, source: impl Into<Arc<str>>) -> Self {
        Report {
            target: target.into(),
            source: source.into(),
            identity: None,
            up: None,
            unreachable: None,
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
            online: Arc::default(),
            user_nodes: Arc::default(),
            history: History::default(),
        }
    }

    /// What the store keeps the target's data under: its name, and which system it is.
    pub fn id(&self) -> String {
        match &*self.source {
            "" => self.target.to_string(),
            source => format!("{}/{source}", self.target),
        }
    }

    /// Whether the data of `part` is recent enough to be shown.
    pub fn fresh(&self, part: Part, now: Moment) -> bool {
        self.stale_in(part, now).is_some()
    }

    /// How long `part` stays fresh if nothing more is read; absent: it is stale or was never read.
    pub fn stale_in(&self, part: Part, now: Moment) -> Option<Duration> {
        let state = self.parts.get(&part)?;
        // Until a long list was completed, the age of its newest page counts; from then on, the age of the whole.
        let age = now.since(state.last_success.or(state.last_data)?);
        state.stale_after.checked_sub(age).filter(|left| !left.is_zero())
    }

    /// The outcome of the last attempt at `part`; absent: it was never tried. A part that is not requested because the
    /// target itself fails is not up either.
    pub fn outcome(&self, part: Part) -> Option<&Outcome> {
        let outcome = &self.parts.get(&part)?.outcome;
        match outcome {
            Outcome::Up | Outcome::Pending => Some(self.unreachable.as_ref().unwrap_or(outcome)),
            Outcome::Refused | Outcome::Failed { .. } => Some(outcome),
        }
    }

    /// Whether `user` is online; absent: unknown, or read too long ago.
    pub fn online(&self, user: &User, now: Moment) -> Option<bool> {
        if self.parts.contains_key(&Part::Online) {
            self.fresh(Part::Online, now).then(|| self.online.contains(&user.name))
        } else {
            (now.wall.since(user.read_at) < ONLINE_FOR).then_some(user.online)
        }
    }

    /// Merges one converted fact, read at `now`. Counters continue from the previous reading.
    pub fn merge(&mut self, fact: Fact, now: Moment) {
        match fact {
            Fact::Identity(identity) => self.identity = Some(identity),
            Fact::Host(host) => self.host = host,
            Fact::Core(core) => {
                self.history.core_was(core.up, now);
                self.core = Some(core);
            }
            Fact::Counts(counts) => self.merge_counts(counts),
            Fact::ProxyTraffic(traffic) => self.merge_proxy_traffic(traffic, now),
            Fact::Nodes(nodes) => self.merge_nodes(nodes),
            Fact::NodeTraffic(usage) => self.usage = Arc::new(usage),
            Fact::Users(facts) => Arc::make_mut(&mut self.users).merge(facts),
            Fact::Online(names) => self.online = Arc::new(names),
            Fact::Admins(admins) => self.admins = Arc::new(admins),
            Fact::UserNodes(traffic) => self.user_nodes = Arc::new(traffic),
        }
    }

    fn merge_counts(&mut self, counts: UserCounts) {
        self.counts = counts;
        if self.users.holds_many_missing() {
            Arc::make_mut(&mut self.users).compare(self.counts.total);
        }
    }

    fn merge_proxy_traffic(&mut self, traffic: ProxyTraffic, now: Moment) {
        self.proxy_uplink = Counter::go_on(self.proxy_uplink, traffic.uplink);
        self.proxy_downlink = Counter::go_on(self.proxy_downlink, traffic.downlink);
        let totals = [self.proxy_uplink, self.proxy_downlink].into_iter().flatten();
        self.history.traffic_was(totals.map(Counter::value).reduce(u64::saturating_add), now);
    }

    fn merge_nodes(&mut self, mut nodes: Vec<Node>) {
        let known: HashMap<_, _> = self.nodes.iter().map(|node| (&node.label, node)).collect();
        for node in &mut nodes {
            let Some(known) = known.get(&node.label) else { continue };
            if node.version.is_none() {
                node.version.clone_from(&known.version);
            }
            node.uplink = Counter::go_on(known.uplink, node.uplink.map(Counter::value));
            node.downlink = Counter::go_on(known.downlink, node.downlink.map(Counter::value));
        }
        self.nodes = Arc::new(nodes);
    }
}

/// A user that was online may have left since the read; after this time the state is unknown.
pub const ONLINE_FOR: Duration = Duration::from_secs(5 * 60);
