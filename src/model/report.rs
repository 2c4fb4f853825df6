use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Admin, Allowance, Core, Counter, Credential, Fact, History, Host, Identity, Inbound, Journal, LlmMode,
    LlmState, LlmUsage, Moment, Moves, Node, NodePeriod, NodePeriods, NodeStats, NodeTraffic, Outbound,
    OutboundHistory, Outcome, Part, PartState, ProxyTraffic, Rates, Reason, Thresholds, Timestamp, Total,
    Unread, UsedToday, User, UserCounts, UserNodeTraffic, Users, WalkProgress,
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
    /// Bytes that the host received: what its own counter has grown since the first reading, added to that reading.
    pub network_received: Option<Total>,
    /// As `network_received`, in the other direction.
    pub network_sent: Option<Total>,
    pub counts: UserCounts,
    pub thresholds: Thresholds,
    pub proxy_uplink: Option<Counter>,
    pub proxy_downlink: Option<Counter>,
    pub core: Option<Core>,
    pub nodes: Arc<Vec<Node>>,
    /// Labels of known nodes that may be among the rows that were left out of the last list.
    pub nodes_unread: Arc<Vec<Arc<str>>>,
    /// Rows of that list, readable or not.
    pub node_rows: usize,
    pub usage: Arc<Vec<NodeTraffic>>,
    /// What nodes with an allowance have moved of it.
    pub node_periods: NodePeriods,
    pub node_stats: Arc<Vec<NodeStats>>,
    pub inbounds: Arc<Vec<Inbound>>,
    pub outbounds: Arc<Vec<Outbound>>,
    pub admins: Arc<Vec<Admin>>,
    pub users: Arc<Users>,
    /// How far the present walk of the user list is; absent: none goes on, or it has read nothing yet.
    pub walk: Option<WalkProgress>,
    /// Names of all online users, if the system has the part [`Part::Online`].
    pub online: Arc<HashSet<Arc<str>>>,
    pub user_nodes: Arc<Vec<UserNodeTraffic>>,
    pub credentials: Arc<Vec<Credential>>,
    pub llm_usage: Arc<LlmUsage>,
    pub llm_state: Option<LlmState>,
    /// Rows that were left out of the lists of the parts.
    pub omitted: BTreeMap<Part, usize>,
    pub history: History,
    pub journal: Journal,
    /// What users used since it was last taken.
    pub moves: Moves,
    /// What users used today, a few minutes ago; absent: it is not wanted, or not known.
    pub used_today: Option<Arc<UsedToday>>,
    /// How fast users use their quota. Readers use [`Report::rates`].
    pub rates: Option<Arc<Rates>>,
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
            network_received: None,
            network_sent: None,
            counts: UserCounts::default(),
            thresholds: Thresholds::default(),
            proxy_uplink: None,
            proxy_downlink: None,
            core: None,
            nodes: Arc::default(),
            nodes_unread: Arc::default(),
            node_rows: 0,
            usage: Arc::default(),
            node_periods: NodePeriods::default(),
            node_stats: Arc::default(),
            inbounds: Arc::default(),
            outbounds: Arc::default(),
            admins: Arc::default(),
            users: Arc::default(),
            walk: None,
            online: Arc::default(),
            user_nodes: Arc::default(),
            credentials: Arc::default(),
            llm_usage: Arc::default(),
            llm_state: None,
            omitted: BTreeMap::new(),
            history: History::default(),
            journal: Journal::default(),
            moves: Moves::default(),
            used_today: None,
            rates: None,
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

    /// What an LLM proxy was used for; absent: unknown, or read too long ago. If usage is not read any more, it is what was
    /// counted before.
    pub fn usage(&self, now: Moment) -> Option<&LlmUsage> {
        let is_shown = match self.llm_state?.mode {
            LlmMode::Off => self.fresh(Part::Credentials, now) && !self.llm_usage.rows.is_empty(),
            LlmMode::Snapshot | LlmMode::Queue => self.fresh(Part::Usage, now),
        };
        is_shown.then_some(&*self.llm_usage)
    }

    /// Why the target refuses the login, or our address, if it does at present; the outer absent: it did not say since.
    pub fn login_refusal(&self) -> Option<Option<Reason>> {
        let outcomes = self.unreachable.iter().chain(self.parts.values().map(|state| &state.outcome));
        let mut refusals = outcomes.filter_map(|outcome| match outcome {
            Outcome::Failed { reason: reason @ (Reason::Auth | Reason::Banned), .. } => Some(*reason),
            _ => None,
        });
        match refusals.next() {
            Some(reason) => Some(Some(reason)),
            None => (self.up == Some(true)).then_some(None),
        }
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

    /// How far the first read of a long user list is; absent: none goes on.
    pub fn first_read(&self) -> Option<WalkProgress> {
        self.walk.filter(|_| self.users.walked_since().is_none())
    }

    /// Whether only some of the users are known, because their list was never read to its end.
    pub fn users_are_partial(&self) -> bool {
        self.users.walked_since().is_none() && !self.users.list().is_empty()
    }

    /// Whether the last list of `part` has all of its rows.
    pub fn lists_all(&self, part: Part) -> bool {
        self.omitted.get(&part).is_none_or(|rows| *rows == 0)
    }

    /// How fast users use their quota; absent: the history of use does not say.
    pub fn rates(&self, now: Moment) -> Option<&Arc<Rates>> {
        self.rates.as_ref().filter(|rates| !rates.is_old(now.wall))
    }

    /// Whether `user` is online; absent: unknown, or read too long ago.
    pub fn online(&self, user: &User, now: Moment) -> Option<bool> {
        if self.parts.contains_key(&Part::Online) {
            self.fresh(Part::Online, now).then(|| self.online.contains(&user.name))
        } else {
            let is_read = !user.unread.has(Unread::ONLINE) && now.wall.since(user.read_at) < ONLINE_FOR;
            is_read.then_some(user.online)
        }
    }

    /// The nodes with an allowance whose present month is known, and what they have moved of it.
    pub fn node_months(&self, now: Moment) -> impl Iterator<Item = (&Arc<str>, Allowance, &NodePeriod)> {
        let counted = self.usage.iter().map(|usage| &usage.node).filter(|_| self.fresh(Part::Usage, now));
        let listed = self.nodes.iter().map(|node| &node.label).filter(|_| self.fresh(Part::Nodes, now));
        let known: HashSet<_> = listed.chain(counted).collect();
        self.node_periods.iter().filter(move |(node, _, period)| {
            known.contains(node) && (period.began..period.ends).contains(&now.wall)
        })
    }

    /// When [`Report::online`] becomes unknown for `user` without a new read; absent: not by the age of the user's row.
    pub fn online_until(&self, user: &User) -> Option<Timestamp> {
        let is_of_row = !self.parts.contains_key(&Part::Online) && !user.unread.has(Unread::ONLINE);
        is_of_row.then(|| user.read_at.saturating_add(ONLINE_FOR))
    }

    /// Users that are online: by the panel's count, else by the names of all online users if the system has that part,
    /// else counted from the list. Absent: unknown, or read too long ago.
    pub fn users_online(&self, now: Moment) -> Option<u64> {
        let counted = self.counts.online.filter(|_| self.fresh(Part::System, now));
        let online = || {
            if self.parts.contains_key(&Part::Online) {
                return self.fresh(Part::Online, now).then(|| self.online.len());
            }
            let young = now.since(self.users.walked_since()?) < ONLINE_FOR && self.fresh(Part::Users, now);
            let mut read =
                self.users.list().iter().filter(|user| !user.unread.has(Unread::ONLINE)).peekable();
            // Without users, only the system shows whether it would say who is online.
            let system_says =
                self.identity.as_ref().is_none_or(|identity| identity.system.lists_last_online());
            let says = read.peek().is_some() || self.users.list().is_empty() && system_says;
            (young && says).then(|| read.filter(|user| user.online).count())
        };
        counted.or_else(|| u64::try_from(online()?).ok())
    }

    /// All bytes through each node whose total comes with a part.
    pub fn node_totals(&self, part: Part) -> impl Iterator<Item = (&Arc<str>, u64)> {
        node_totals(&self.nodes, &self.usage, part)
    }

    /// Merges one converted fact, read at `now`. Counters continue from the previous reading.
    pub fn merge(&mut self, fact: Fact, now: Moment) {
        match fact {
            Fact::Identity(identity) => self.merge_identity(identity),
            Fact::Host(host) => self.merge_host(host),
            Fact::Core(core) => {
                if let Some(up) = core.up {
                    self.history.core_was(up, now);
                }
                self.core = Some(core);
            }
            Fact::Counts(counts) => self.merge_counts(counts, now),
            Fact::Thresholds(thresholds) => self.thresholds = thresholds,
            Fact::ProxyTraffic(traffic) => self.merge_proxy_traffic(traffic, now),
            Fact::Nodes(nodes) => self.merge_nodes(nodes, now),
            Fact::NodeTraffic(usage) => {
                self.history.usage_was(&usage, &self.nodes, now);
                self.usage = Arc::new(usage);
                self.read_node_periods(Part::Usage, now);
            }
            Fact::NodeStats(stats) => self.node_stats = Arc::new(stats),
            Fact::Inbounds(inbounds) => self.merge_inbounds(inbounds),
            Fact::Outbounds(outbounds) => self.merge_outbounds(outbounds, now),
            Fact::Users(facts) => {
                Arc::make_mut(&mut self.users).merge(facts, &mut self.journal, &mut self.moves, now);
            }
            Fact::Online(names) => self.online = Arc::new(names),
            Fact::Admins(admins) => self.admins = Arc::new(admins),
            Fact::UserNodes(traffic) => self.user_nodes = Arc::new(traffic),
            Fact::Credentials(credentials) => {
                self.history.credentials_were(&credentials, now);
                self.journal.credentials_were(&credentials, self.lists_all(Part::Credentials), now);
                self.credentials = Arc::new(credentials);
            }
            Fact::LlmUsage(usage) => {
                self.history.llm_was(&usage, now);
                self.llm_usage = usage;
            }
            Fact::LlmState(state) => self.llm_state = Some(state),
            Fact::Omitted(part, rows) => drop(self.omitted.insert(part, rows)),
        }
    }

    /// An answer without a version is of the version known.
    fn merge_identity(&mut self, mut identity: Identity) {
        let known = self.identity.take().filter(|known| known.system == identity.system);
        let says_less = |known: &Identity| {
            let generation = &identity.generation;
            identity.version.is_empty() && (generation.is_empty() || *generation == known.generation)
        };
        if let Some(known) = known.filter(says_less) {
            identity = known;
        }
        self.identity = Some(identity);
    }

    fn merge_host(&mut self, host: Host) {
        self.network_received = Total::go_on(self.network_received, host.network_received);
        self.network_sent = Total::go_on(self.network_sent, host.network_sent);
        self.host = host;
    }

    fn merge_counts(&mut self, counts: UserCounts, now: Moment) {
        self.counts = counts;
        if self.users.holds_many_missing() {
            Arc::make_mut(&mut self.users).compare(self.counts.total, &mut self.journal, now);
        }
    }

    fn merge_proxy_traffic(&mut self, traffic: ProxyTraffic, now: Moment) {
        self.proxy_uplink = Counter::go_on(self.proxy_uplink, traffic.uplink);
        self.proxy_downlink = Counter::go_on(self.proxy_downlink, traffic.downlink);
        self.history.traffic_was(Counter::sum([self.proxy_uplink, self.proxy_downlink]), now);
    }

    fn merge_nodes(&mut self, mut nodes: Vec<Node>, now: Moment) {
        let known: HashMap<_, _> = self.nodes.iter().map(|node| (&node.label, node)).collect();
        for node in &mut nodes {
            let Some(known) = known.get(&node.label) else { continue };
            if node.status_unread {
                node.status = known.status;
            }
            if node.version.is_none() {
                node.version.clone_from(&known.version);
            }
            node.uplink = Counter::go_on(known.uplink, node.uplink.map(Counter::value));
            node.downlink = Counter::go_on(known.downlink, node.downlink.map(Counter::value));
        }
        let omitted = self.omitted.get(&Part::Nodes).copied().unwrap_or(0);
        let listed: HashSet<_> = nodes.iter().map(|node| &node.label).collect();
        let missing = |label: &&Arc<str>| !listed.contains(*label);
        let lately = self.nodes.iter().map(|node| &node.label).filter(missing);
        // A list that has become shorter lost nodes. One that has not has them in the rows that were left out.
        let lately = lately.filter(|_| nodes.len() + omitted >= self.node_rows);
        let unread = self.nodes_unread.iter().filter(missing).chain(lately).take(omitted.min(MOST_UNREAD));
        let unread: Vec<_> = unread.cloned().collect();
        self.nodes_unread = Arc::new(unread);
        self.node_rows = nodes.len() + omitted;
        self.history.nodes_were(&nodes, &self.nodes_unread, now);
        self.journal.nodes_were(&nodes, &self.nodes_unread, now);
        self.nodes = Arc::new(nodes);
        self.read_node_periods(Part::Nodes, now);
    }

    fn read_node_periods(&mut self, part: Part, now: Moment) {
        for (node, bytes) in node_totals(&self.nodes, &self.usage, part) {
            self.node_periods.read(node, bytes, now);
        }
    }

    fn merge_inbounds(&mut self, mut inbounds: Vec<Inbound>) {
        let known: HashMap<_, _> = self.inbounds.iter().map(|inbound| (&inbound.label, inbound)).collect();
        for inbound in &mut inbounds {
            let Some(known) = known.get(&inbound.label) else { continue };
            inbound.uplink = Counter::go_on(known.uplink, inbound.uplink.map(Counter::value));
            inbound.downlink = Counter::go_on(known.downlink, inbound.downlink.map(Counter::value));
        }
        self.inbounds = Arc::new(inbounds);
    }

    fn merge_outbounds(&mut self, mut outbounds: Vec<Outbound>, now: Moment) {
        let known: HashMap<_, _> =
            self.outbounds.iter().map(|outbound| (&outbound.label, outbound)).collect();
        for outbound in &mut outbounds {
            let Some(known) = known.get(&outbound.label) else { continue };
            outbound.uplink = Counter::go_on(known.uplink, outbound.uplink.map(Counter::value));
            outbound.downlink = Counter::go_on(known.downlink, outbound.downlink.map(Counter::value));
        }
        self.history.outbounds_were(&outbounds, now);
        let is_up = |outbound: &Outbound| {
            let unprobed = self.history.outbound(&outbound.label).and_then(|history| history.unprobed_since);
            let is_off = unprobed.is_some_and(|since| now.since(since) >= OutboundHistory::NOT_PROBED_AFTER);
            outbound.up.or(is_off.then_some(true))
        };
        let listed = outbounds.iter().map(|outbound| (&outbound.label, is_up(outbound))).collect();
        self.journal.outbounds_were(&listed, self.lists_all(Part::Outbounds), now);
        self.outbounds = Arc::new(outbounds);
    }
}

/// The total of a node that counts its traffic itself comes with the list of nodes, and that of another one with the usage. Never
/// one after the other for the same node, because they do not count from the same start.
fn node_totals<'a>(
    nodes: &'a [Node],
    usage: &'a [NodeTraffic],
    part: Part,
) -> impl Iterator<Item = (&'a Arc<str>, u64)> {
    let own = nodes.iter().filter(|node| node.uplink.is_some() || node.downlink.is_some());
    let names: HashSet<_> = own.clone().map(|node| &node.label).collect();
    let own = own.filter_map(|node| Some((&node.label, node.bytes()?)));
    let added_up = usage.iter().map(|traffic| (&traffic.node, traffic.bytes()));
    let added_up = added_up.filter(move |(name, _)| !names.contains(name));
    own.filter(move |_| part == Part::Nodes).chain(added_up.filter(move |_| part == Part::Usage))
}

/// Nodes of which an unreadable row may be.
const MOST_UNREAD: usize = 2000;

/// A user that was online may have left since the read; after this time the state is unknown.
const ONLINE_FOR: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Counts, LlmRow, NodeAllowances, NodeStatus, System, UserFacts, WalkEnd, WholeList};

    #[test]
    fn usage_is_that_of_the_mode_and_stays_when_it_is_not_read_any_more() {
        let now = Moment { wall: Timestamp::from_secs(1_795_000_000), uptime: Duration::from_secs(3600) };
        let state = |last_success| PartState {
            outcome: Outcome::Up,
            last_success,
            last_data: last_success,
            duration: None,
            round: Duration::from_secs(30),
            stale_after: Duration::from_secs(600),
        };
        let (read, rows) = (Some(now), vec![LlmRow::default()]);
        for (mode, rows, credentials, usage, shown) in [
            (LlmMode::Queue, Vec::new(), None, read, true),
            (LlmMode::Snapshot, rows.clone(), read, None, false),
            (LlmMode::Off, rows.clone(), read, None, true),
            (LlmMode::Off, rows, None, read, false),
            (LlmMode::Off, Vec::new(), read, None, false),
        ] {
            let mut report = Report::new("llm");
            assert!(report.usage(now).is_none());
            report.merge(Fact::LlmState(LlmState { mode, enabled: None }), now);
            report.merge(Fact::LlmUsage(Arc::new(LlmUsage { rows, ..LlmUsage::default() })), now);
            report.parts.insert(Part::Credentials, state(credentials));
            report.parts.insert(Part::Usage, state(usage));
            assert_eq!(report.usage(now).is_some(), shown, "{mode:?}");
        }
    }

    #[test]
    fn each_node_has_one_counter_of_its_month() {
        let allowance = Allowance { bytes: 100, reset_day: 1, counts: Counts::One };
        let by_name = vec![("*".to_owned(), allowance)];
        let mut report = Report::new("home");
        report.node_periods = NodePeriods::new(NodeAllowances { by_name, ..NodeAllowances::default() });
        for (secs, own, added_up) in [(0, 10, 1000), (60, 17, 1003)] {
            let now = Moment {
                wall: Timestamp::from_secs(1_795_000_000 + secs),
                uptime: Duration::from_secs(secs.unsigned_abs()),
            };
            let counting =
                Node { uplink: Some(Counter::new(own)), ..Node::named("a", NodeStatus::Connected) };
            let silent = Node::named("b", NodeStatus::Connected);
            report.merge(Fact::Nodes(vec![counting, silent]), now);
            let usage = |node: &str| NodeTraffic { node: node.into(), uplink: added_up, downlink: added_up };
            report.merge(Fact::NodeTraffic(vec![usage("a"), usage("b"), usage("master")]), now);
        }
        let moved: Vec<_> =
            report.node_periods.iter().map(|(node, _, period)| (&**node, period.moved)).collect();
        assert_eq!(moved, [("a", 7), ("b", 6), ("master", 6)]);
    }

    #[test]
    fn online_users_are_counted_by_the_best_source_that_is_fresh() {
        let now = Moment { wall: Timestamp::from_secs(1_795_000_000), uptime: Duration::from_secs(3600) };
        let ago = |age: u64| {
            let age = Duration::from_secs(age);
            Moment { wall: now.wall.saturating_sub(age), uptime: now.uptime - age }
        };
        let read = |age: u64| PartState {
            outcome: Outcome::Up,
            last_success: Some(ago(age)),
            last_data: Some(ago(age)),
            duration: None,
            round: Duration::from_secs(30),
            stale_after: Duration::from_secs(600),
        };
        // The panel's count is 5, three names are online, and two users of the list. Ages in seconds; then what is known.
        let cases = [
            (Some(599), Some(1), Some(1), Some(5)),
            (Some(600), Some(1), Some(1), Some(3)),
            (None, Some(599), Some(1), Some(3)),
            (None, Some(600), Some(1), None),
            (None, None, Some(299), Some(2)),
            (None, None, Some(300), None),
            (Some(600), None, Some(1), Some(2)),
            (None, None, None, None),
        ];
        for (counted, named, walked, expected) in cases {
            let mut report = Report::new("home");
            if let Some(age) = counted {
                report.merge(Fact::Counts(UserCounts { online: Some(5), ..UserCounts::default() }), now);
                report.parts.insert(Part::System, read(age));
            }
            if let Some(age) = named {
                report.merge(Fact::Online(["a", "b", "x"].map(Arc::from).into()), now);
                report.parts.insert(Part::Online, read(age));
            }
            if let Some(age) = walked {
                let page = ["a", "b", "c"].map(|name| User { online: name != "c", ..User::named(name) });
                let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
                let end = WalkEnd { page: page.into(), seen, started: ago(age), ..WalkEnd::default() };
                report.merge(Fact::Users(UserFacts::WalkEnd(end)), now);
                report.parts.insert(Part::Users, read(age));
            }
            assert_eq!(report.users_online(now), expected, "{counted:?} {named:?} {walked:?}");
        }
        let mut partial = Report::new("home");
        partial.merge(Fact::Users(UserFacts::Page(vec![User { online: true, ..User::named("a") }])), now);
        partial.parts.insert(Part::Users, read(1));
        assert_eq!(partial.users_online(now), None, "not the whole list");
    }

    #[test]
    fn no_number_is_online_where_nothing_says_who_is() {
        let now = Moment { wall: Timestamp::from_secs(1_795_000_000), uptime: Duration::from_secs(3600) };
        let user = |name: &str, unread| User { online: true, unread, ..User::named(name) };
        let unread = || user("unread", Unread::ONLINE);
        let system =
            |lists| System::ALL.into_iter().find(|system| system.lists_last_online() == lists).unwrap();
        let (says, not) = (system(true), system(false));
        for (system, users, expected) in [
            (says, vec![], Some(0)),
            (not, vec![], None),
            (not, vec![unread()], None),
            (not, vec![unread(), user("read", Unread::USED)], Some(1)),
            (says, vec![unread()], None),
        ] {
            let mut report = Report::new("home");
            let identity = Identity { system, version: String::new(), generation: String::new() };
            report.merge(Fact::Identity(identity), now);
            let state = PartState {
                outcome: Outcome::Up,
                last_success: Some(now),
                last_data: Some(now),
                duration: None,
                round: Duration::from_secs(30),
                stale_after: Duration::from_secs(600),
            };
            report.parts.insert(Part::Users, state);
            report.merge(
                Fact::Users(UserFacts::Whole(WholeList { users, started: now, ..WholeList::default() })),
                now,
            );
            assert_eq!(report.users_online(now), expected, "{system:?}");
        }
    }

    #[test]
    fn counters_go_on_under_their_label() {
        let counter = |bytes: Option<u64>| bytes.map(Counter::new);
        // Readings of `a` and `b`, and what is published. A first fall is not believed, and a counter that an
        // answer lacks goes on after it.
        let polls = [
            ([Some(100), Some(5)], [Some(100), Some(5)]),
            ([Some(3), Some(7)], [Some(100), Some(7)]),
            ([Some(4), None], [Some(4), None]),
            ([Some(6), Some(9)], [Some(6), Some(9)]),
        ];
        let mut report = Report::new("home");
        for (readings, published) in polls {
            let rows =
                ["b", "a"].map(|label| (Arc::from(label), counter(readings[usize::from(label == "b")])));
            let inbounds =
                rows.clone().map(|(label, uplink)| Inbound { label, uplink, ..Inbound::default() });
            let outbounds = rows.map(|(label, downlink)| Outbound { label, downlink, ..Outbound::default() });
            report.merge(Fact::Inbounds(inbounds.into()), Moment::default());
            report.merge(Fact::Outbounds(outbounds.into()), Moment::default());
            let value = |counter: Option<Counter>| counter.and_then(Counter::read);
            assert_eq!([1, 0].map(|row| value(report.inbounds[row].uplink)), published);
            assert_eq!([1, 0].map(|row| value(report.outbounds[row].downlink)), published);
        }
    }
}
