//! The list of inbounds with their clients.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use tokio::io::AsyncBufRead;

use super::{
    clients::{Client, Context, Meaning, Plan, expiry, resets},
    folded::{ByName, folded},
    nodes::NodeLabels,
};
use crate::{
    http,
    model::{
        Counter, Expiry, Inbound, Row, Timestamp, Unreadable, UnreadableCause, UnreadableRow, User,
        UserStatus, Users, labels,
    },
    upstream::json::{self, Lacking, Object, OddFields, ROWS, Scanner},
};

/// A list as it arrives, one inbound after the other. A client that several inbounds list is one client, with one count
/// of bytes that each of them repeats.
#[derive(Debug, Default)]
pub(in crate::upstream::xui) struct List {
    inbounds: Vec<ListedInbound>,
    clients: Vec<ListedClient>,
    /// Places in `clients`, by folded name.
    places: ByName<usize>,
    unreadable: Unreadable,
    /// Inbounds that could not be read or are too many, and clients with names that are too long or that are too many.
    omitted: (usize, usize),
    /// Rows of clients so far.
    rows: usize,
    /// Places of the clients that are attached to the inbound that is being read.
    attached: Vec<usize>,
    /// Inbounds say how often their traffic is reset, as 3x-ui does since 2.8.1.
    has_resets: bool,
}

/// An inbound before it has a label.
#[derive(Debug)]
struct ListedInbound {
    tag: String,
    id: Option<i64>,
    node: Option<i64>,
    /// Of the panel that it is on, which may be a node of that node.
    guid: Option<String>,
    /// Whether the answer says which clients it has.
    knows_clients: bool,
    /// Whether it sets what its clients used back to 0 from time to time.
    resets: bool,
    inbound: Inbound,
}

#[derive(Debug)]
struct ListedClient {
    /// As the statistics spell it, if they have it.
    name: Arc<str>,
    client: Client,
    /// Places of the inbounds that it is attached to, rising.
    attached: Vec<u16>,
}

/// What a list is converted to.
#[derive(Debug)]
pub(in crate::upstream::xui) struct Converted {
    pub(in crate::upstream::xui) inbounds: Vec<Inbound>,
    pub(in crate::upstream::xui) users: Vec<User>,
    pub(in crate::upstream::xui) unreadable: Unreadable,
    pub(in crate::upstream::xui) inbounds_omitted: usize,
    pub(in crate::upstream::xui) users_omitted: usize,
}

/// What is known from other answers.
#[derive(Debug)]
pub(in crate::upstream::xui) struct Known<'a> {
    pub(in crate::upstream::xui) is_alireza0: bool,
    pub(in crate::upstream::xui) read_at: Timestamp,
    pub(in crate::upstream::xui) panel_now: Timestamp,
    pub(in crate::upstream::xui) nodes: &'a NodeLabels,
    pub(in crate::upstream::xui) devices: &'a ByName<u64>,
    pub(in crate::upstream::xui) plans: &'a ByName<Plan>,
}

/// An inbound while it arrives.
#[derive(Debug, Default)]
struct Arriving {
    /// Its place in the list, if it gets one.
    place: u16,
    /// As in [`ListedInbound`].
    knows_clients: bool,
    /// Places of the clients in its statistics.
    in_stats: Vec<usize>,
    /// Its configuration says which clients it has, of all of them.
    lists_all: bool,
}

/// The fields of an inbound that are read, beside its clients.
const FIELDS: [&str; 13] = [
    "id",
    "tag",
    "remark",
    "protocol",
    "port",
    "enable",
    "up",
    "down",
    "total",
    "expiryTime",
    "trafficReset",
    "nodeId",
    "originNodeGuid",
];

impl List {
    /// Reads a list of inbounds, and each client in it as soon as it is there.
    ///
    /// # Errors
    /// When it is no list, or broken between the inbounds.
    pub(in crate::upstream::xui) async fn read(
        scanner: &mut Scanner<impl AsyncBufRead + Unpin>,
        odd: &OddFields,
    ) -> serde_json::Result<List> {
        let mut list = List::default();
        let mut inbounds = scanner.list().await?;
        while scanner.element(&mut inbounds).await? {
            let depth = scanner.depth();
            let read = match list.inbounds.len() < ROWS && scanner.next_is(b'{').await? {
                true => list.read_inbound(scanner, odd).await,
                false => {
                    list.attached.clear();
                    scanner.skip().await.map(|()| None)
                }
            };
            match read {
                Ok(Some(inbound)) => list.inbounds.push(inbound),
                Ok(None) => list.omit_inbound(),
                // Else it is the list that is broken.
                Err(err) if err.is_data() && scanner.depth() > depth => {
                    scanner.leave(depth).await?;
                    list.omit_inbound();
                }
                Err(err) => return Err(err),
            }
        }
        Ok(list)
    }

    /// The inbound that would have the next place is left out.
    fn omit_inbound(&mut self) {
        self.omitted.0 += 1;
        self.detach(0);
    }

    /// The clients that were attached to the inbound after the first `kept` are no longer.
    fn detach(&mut self, kept: usize) {
        for at in self.attached.drain(kept..) {
            self.clients[at].attached.pop();
        }
    }

    /// Reads one inbound; absent: nothing identifies it.
    async fn read_inbound(
        &mut self,
        scanner: &mut Scanner<impl AsyncBufRead + Unpin>,
        odd: &OddFields,
    ) -> serde_json::Result<Option<ListedInbound>> {
        self.attached.clear();
        let place = u16::try_from(self.inbounds.len()).unwrap_or(u16::MAX);
        let mut arriving = Arriving { place, ..Arriving::default() };
        let mut short = b"{".to_vec();
        let mut fields = scanner.object().await?;
        while let Some(key) = scanner.field(&mut fields).await? {
            match key.as_str() {
                "clientStats" => self.read_stats(scanner, &mut arriving, odd).await?,
                "settings" => self.read_settings(scanner, &mut arriving, odd).await?,
                field if FIELDS.contains(&field) => {
                    short.extend(format!("{}\"{field}\":", if short.len() > 1 { "," } else { "" }).bytes());
                    if !scanner.take(&mut short).await? {
                        return Err(http::too_large_row());
                    }
                }
                _ => scanner.skip().await?,
            }
        }
        short.push(b'}');
        // Statistics of a client stay with an inbound that no longer has it.
        if !arriving.lists_all {
            for at in std::mem::take(&mut arriving.in_stats) {
                self.attach(at, &mut arriving);
            }
        }
        let short = String::from_utf8_lossy(&short);
        let Some(row) = Object::new("inbound", &short, odd) else { return Ok(None) };
        let id = row.integer("id");
        let (up, down) = (row.count("up"), row.count("down"));
        let remark = row.text("remark").unwrap_or_default();
        let tag = row.identity("tag").ok().map(Cow::into_owned);
        let Some(tag) = tag.or_else(|| id.map(|id| format!("inbound-{id}"))) else { return Ok(None) };
        self.has_resets |= row.has("trafficReset");
        let inbound = Inbound {
            protocol: row.text("protocol").unwrap_or_default(),
            port: row.number_or_text("port").unwrap_or_default(),
            remark,
            enabled: row.flag("enable"),
            used: up.zip(down).map(|(up, down)| up.saturating_add(down)),
            limit: row.count("total").filter(|total| *total > 0),
            expiry: row.integer("expiryTime").map(expiry),
            uplink: up.map(Counter::new),
            downlink: down.map(Counter::new),
            ..Inbound::default()
        };
        let (node, guid) = (row.integer("nodeId"), row.text("originNodeGuid"));
        let knows_clients = arriving.knows_clients;
        let resets = resets(&row);
        Ok(Some(ListedInbound { tag, id, node, guid, knows_clients, resets, inbound }))
    }

    /// Reads the statistics of an inbound's clients.
    async fn read_stats(
        &mut self,
        scanner: &mut Scanner<impl AsyncBufRead + Unpin>,
        arriving: &mut Arriving,
        odd: &OddFields,
    ) -> serde_json::Result<()> {
        if scanner.skips_other(b'[', ("inbound", "clientStats"), odd).await? {
            return Ok(());
        }
        arriving.knows_clients |= scanner.next_is(b'[').await?;
        let mut stats = scanner.list().await?;
        while scanner.element(&mut stats).await? {
            let client = scanner.row("client", odd, |row| self.add_stats(row)).await?;
            arriving.in_stats.extend(client);
        }
        Ok(())
    }

    /// Takes a row of statistics. Returns the place of its client, if it has one.
    fn add_stats(&mut self, row: Option<Object<'_>>) -> Option<usize> {
        let place = self.rows;
        self.rows += 1;
        let Some(row) = row else {
            self.unreadable.add(UnreadableRow { place, cause: UnreadableCause::NotAnObject });
            return None;
        };
        match row.identity("email") {
            Ok(name) => {
                let at = self.client(&name, None)?;
                let listed = &mut self.clients[at];
                if !listed.client.has_stats() && *listed.name != *name {
                    listed.name = (*name).into();
                }
                listed.client.add_stats(&row);
                return Some(at);
            }
            Err(Lacking::ShortIdentity) => self.omitted.1 += 1,
            // Panels have rows of clients that have no name yet.
            Err(Lacking::Identity) if row.raw("email").is_some_and(|raw| raw == "\"\"") => {}
            Err(Lacking::Identity) => {
                self.unreadable.add(UnreadableRow { place, cause: UnreadableCause::NoName });
            }
        }
        None
    }

    /// Reads the configuration of an inbound: an object, a text that is one, null, or broken.
    async fn read_settings(
        &mut self,
        scanner: &mut Scanner<impl AsyncBufRead + Unpin>,
        arriving: &mut Arriving,
        odd: &OddFields,
    ) -> serde_json::Result<()> {
        const EXPECTED: &str = "an object, or a text that is one";
        if scanner.next_is(b'{').await? {
            return self.read_clients(scanner, arriving, odd).await;
        }
        let text = scanner.whole(|text| {
            (text.first().copied(), serde_json::from_str::<Option<String>>(&json::lossy(text)))
        });
        let (first, text) = text.await?.ok_or_else(http::too_large_row)?;
        let is_read = match text.as_ref().map(Option::as_deref) {
            Ok(None | Some("")) => true,
            Ok(Some(text)) if text.trim_start().starts_with('{') => {
                let (clients, attached) = (self.clients.len(), self.attached.len());
                let knew_clients = arriving.knows_clients;
                let mut scanner = Scanner::new(text.as_bytes(), text.len());
                let read = async {
                    self.read_clients(&mut scanner, arriving, odd).await?;
                    scanner.end().await
                };
                let is_read = json::at_once(read).is_ok();
                if !is_read {
                    // Those before the break would look like all.
                    self.detach(attached);
                    self.forget(clients);
                    arriving.knows_clients = knew_clients;
                }
                is_read
            }
            Ok(Some(_)) | Err(_) => false,
        };
        if !is_read {
            arriving.lists_all = false;
            odd.record(
                "inbound",
                "settings",
                char::from(first.unwrap_or(b'0')).encode_utf8(&mut [0; 4]),
                EXPECTED,
            );
        }
        Ok(())
    }

    /// Reads the clients in a configuration.
    async fn read_clients(
        &mut self,
        scanner: &mut Scanner<impl AsyncBufRead + Unpin>,
        arriving: &mut Arriving,
        odd: &OddFields,
    ) -> serde_json::Result<()> {
        let mut has_clients = false;
        let mut settings = scanner.object().await?;
        while let Some(key) = scanner.field(&mut settings).await? {
            if key != "clients" || scanner.next_is(b'n').await? {
                scanner.skip().await?;
                continue;
            }
            has_clients = true;
            if scanner.skips_other(b'[', ("settings", "clients"), odd).await? {
                continue;
            }
            let mut names_all = true;
            let mut clients = scanner.list().await?;
            let mut at = 0;
            while scanner.element(&mut clients).await? {
                names_all &=
                    scanner.row("client_settings", odd, |row| self.add_setting(row, at, arriving)).await?;
                at += 1;
            }
            arriving.lists_all = names_all;
        }
        arriving.knows_clients |= !has_clients || arriving.lists_all;
        Ok(())
    }

    /// Takes the client at `at` in a configuration. Returns whether it has a name: rows without one are those of panels that
    /// keep no statistics of clients.
    fn add_setting(&mut self, row: Option<Object<'_>>, at: usize, arriving: &mut Arriving) -> bool {
        let Some((name, row)) = row.and_then(|row| Some((row.identity("email").ok()?, row))) else {
            return false;
        };
        // Most panels list statistics in the same order.
        if let Some(at) = self.client(&name, arriving.in_stats.get(at).copied()) {
            self.clients[at].client.add_setting(&row);
            self.attach(at, arriving);
        }
        true
    }

    /// The place of the client of this name, which may be `guess`; absent: it is one too many.
    fn client(&mut self, name: &str, guess: Option<usize>) -> Option<usize> {
        if let Some(guess) = guess.filter(|guess| *self.clients[*guess].name == *name) {
            return Some(guess);
        }
        let key = folded(name);
        if let Some(place) = self.places.get(&*key) {
            return Some(*place);
        }
        if self.clients.len() >= Users::MOST {
            self.omitted.1 += 1;
            return None;
        }
        let key = Arc::<str>::from(key);
        let name = if *key == *name { Arc::clone(&key) } else { name.into() };
        let place = self.clients.len();
        let attached = Vec::with_capacity(1);
        self.clients.push(ListedClient { name, client: Client::default(), attached });
        self.places.insert(key, place);
        Some(place)
    }

    /// Forgets the clients after the first `kept`, which only a broken configuration had.
    fn forget(&mut self, kept: usize) {
        for listed in self.clients.drain(kept..) {
            self.places.remove(&*folded(&listed.name));
        }
    }

    /// The client at `at` is attached to the inbound.
    fn attach(&mut self, at: usize, arriving: &mut Arriving) {
        arriving.knows_clients = true;
        let attached = &mut self.clients[at].attached;
        if attached.last() != Some(&arriving.place) {
            attached.push(arriving.place);
            self.attached.push(at);
        }
    }

    /// Whether there are inbounds, and none could be read.
    pub(in crate::upstream::xui) fn is_unreadable(&self) -> bool {
        self.inbounds.is_empty() && self.omitted.0 > 0
    }

    /// The plans of clients of which a list without configurations has less, by folded name: those with a limit of
    /// addresses, those without statistics, and those who were never online.
    pub(in crate::upstream::xui) fn plans(self) -> ByName<Plan> {
        let clients = self.clients.into_iter();
        clients
            .filter_map(|ListedClient { name, client, .. }| {
                Some((folded(&name).into(), client.plan_beyond_statistics()?))
            })
            .collect()
    }

    pub(in crate::upstream::xui) fn convert(self, known: &Known<'_>) -> Converted {
        let List { inbounds, clients, unreadable, omitted, has_resets, .. } = self;
        let rows: Vec<_> = inbounds.iter().map(|listed| Row { name: &listed.tag, id: listed.id }).collect();
        let labels = labels(&rows, "");
        let reset: Vec<_> = inbounds.iter().map(|listed| listed.resets).collect();
        let mut inbounds: Vec<_> = inbounds
            .into_iter()
            .zip(&labels)
            .map(|(ListedInbound { node, guid, knows_clients, inbound, .. }, label)| {
                // Those of the panel itself have no `nodeId`, and its own guid.
                let node = node.map_or(String::new(), |id| {
                    let label = known.nodes.of(id, guid.as_deref());
                    label.map_or_else(|| format!("node {id}"), ToString::to_string)
                });
                Inbound { label: Arc::clone(label), node, users: knows_clients.then_some(0), ..inbound }
            })
            .collect();
        let if_off: Vec<_> = inbounds.iter().map(|inbound| status_if_off(inbound, known.panel_now)).collect();
        let meaning = if has_resets || known.is_alireza0 { Meaning::Off } else { Meaning::UsedUp };
        let mut shared = HashMap::<Vec<u16>, Arc<[Arc<str>]>, foldhash::fast::RandomState>::default();
        let mut users = Vec::with_capacity(clients.len());
        for ListedClient { name, mut client, attached, .. } in clients {
            let key = folded(&name);
            if let Some(plan) = known.plans.get(&*key) {
                client.add_plan(plan);
            }
            for place in &attached {
                let users = &mut inbounds[usize::from(*place)].users;
                *users = users.map(|users| users + 1);
            }
            let statuses = attached.iter().map(|place| if_off[usize::from(*place)]);
            let context = Context {
                meaning,
                status_of_inbounds: statuses.reduce(|a, b| a.and(b)).flatten(),
                read_at: known.read_at,
                panel_now: known.panel_now,
                devices: known.devices.get(&*key).copied(),
                resets: attached.iter().any(|place| reset[usize::from(*place)]),
                inbounds: Arc::clone(shared.entry(attached).or_insert_with_key(|attached| {
                    attached.iter().map(|place| Arc::clone(&labels[usize::from(*place)])).collect()
                })),
            };
            users.push(client.convert(Arc::clone(&name), context));
        }
        let (inbounds_omitted, users_omitted) = omitted;
        Converted { inbounds, users, unreadable, inbounds_omitted, users_omitted }
    }
}

/// What an inbound that is off makes of its clients; absent: it is on, or does not say.
fn status_if_off(inbound: &Inbound, panel_now: Timestamp) -> Option<UserStatus> {
    if inbound.enabled != Some(false) {
        None
    } else if inbound.is_used_up() {
        Some(UserStatus::Limited)
    } else if matches!(inbound.expiry, Some(Expiry::At(end)) if end <= panel_now) {
        Some(UserStatus::Expired)
    } else {
        Some(UserStatus::Disabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(inbounds: &[&str]) -> Converted {
        let text = format!("[{}]", inbounds.join(","));
        let list =
            json::at_once(List::read(&mut Scanner::new(text.as_bytes(), 1 << 20), &OddFields::default()));
        let list = list.unwrap();
        list.convert(&Known {
            is_alireza0: false,
            read_at: Timestamp::from_secs(1_795_000_000),
            panel_now: Timestamp::from_secs(1_795_000_000),
            nodes: &NodeLabels::default(),
            devices: &ByName::default(),
            plans: &ByName::default(),
        })
    }

    fn inbound(tag: &str, enabled: bool, stats: &str, clients: &str) -> String {
        let settings = format!(r#"{{"clients":[{clients}]}}"#);
        format!(
            r#"{{"tag":"{tag}","trafficReset":"never","enable":{enabled},"clientStats":[{stats}],"settings":{settings}}}"#
        )
    }

    #[test]
    fn a_client_is_on_if_one_of_its_inbounds_has_it_on() {
        use UserStatus::*;
        let stats = |enabled| {
            format!(r#"{{"email":"a","up":1,"down":1,"total":0,"expiryTime":0,"enable":{enabled}}}"#)
        };
        let setting = |enabled| format!(r#"{{"email":"A","enable":{enabled}}}"#);
        for (runs, [first, second], expected) in [
            (true, [true, true], Active),
            (true, [false, true], Active),
            (true, [true, false], Active),
            (true, [false, false], Disabled),
            // The panel writes the statistics of all of them when one is switched off.
            (false, [false, true], Disabled),
        ] {
            let inbounds = [first, second].map(|on| inbound("x", true, &stats(runs), &setting(on)));
            let found = converted(&inbounds.each_ref().map(String::as_str));
            assert_eq!(found.users.len(), 1, "{inbounds:?}");
            assert_eq!((found.users[0].status, found.users[0].used), (expected, 2), "{inbounds:?}");
        }
    }

    #[test]
    fn only_the_configuration_attaches_clients_if_it_can_be_read() {
        let stats = r#"{"email":"left","enable":true},{"email":"a","enable":true}"#;
        let cases = [
            (r#"{"clients":[{"email":"a"}]}"#, vec!["a"]),
            (r#"{"clients":[]}"#, vec![]),
            // It does not say, or not of all.
            (r#"{"clients":[{"email":"a"},{"id":"nameless"}]}"#, vec!["a", "left"]),
            (r#"{"clients":[1]}"#, vec!["a", "left"]),
            (r#"{"accounts":[]}"#, vec!["a", "left"]),
            (r#"{"clients":null}"#, vec!["a", "left"]),
            (r#""{\"clients\":[""#, vec!["a", "left"]),
            (r#""{\"clients\":[{\"email\":\"new\"},{""#, vec!["a", "left"]),
            ("null", vec!["a", "left"]),
        ];
        for (settings, attached) in cases {
            for row in [
                format!(r#"{{"tag":"x","clientStats":[{stats}],"settings":{settings}}}"#),
                format!(r#"{{"settings":{settings},"clientStats":[{stats}],"tag":"x"}}"#),
            ] {
                let found = converted(&[&row]);
                let mut names: Vec<_> = found
                    .users
                    .iter()
                    .filter(|user| !user.extra.inbounds.is_empty())
                    .map(|user| &*user.name)
                    .collect();
                names.sort_unstable();
                assert_eq!(names, attached, "{row}");
                assert_eq!(found.inbounds[0].users, u64::try_from(attached.len()).ok(), "{row}");
                assert_eq!(found.users.len(), 2, "{row}");
            }
        }
    }

    #[test]
    fn statistics_go_before_the_configuration_in_whatever_order_they_come() {
        let stats = r#"[{"email":"Ann","total":7,"expiryTime":70},{"email":"bob","expiryTime":null}]"#;
        let settings = r#"[{"email":"ann","totalGB":9,"expiryTime":90,"limitIp":2},{"email":"BOB","totalGB":9,"expiryTime":90}]"#;
        let row = |stats_first: bool| {
            let stats = format!(r#""clientStats":{stats}"#);
            let settings = format!(r#""settings":{{"clients":{settings}}}"#);
            let [first, last] = if stats_first { [stats, settings] } else { [settings, stats] };
            format!(r#"{{{first},"tag":"x",{last}}}"#)
        };
        for found in [
            converted(&[&row(true)]),
            converted(&[&row(false)]),
            converted(&[&row(false), &row(true)]),
            converted(&[
                &format!(r#"{{"tag":"x","settings":{{"clients":{settings}}}}}"#),
                &format!(r#"{{"tag":"y","clientStats":{stats}}}"#),
            ]),
        ] {
            let users = found.users.iter().map(|user| (&*user.name, user.limit, &user.expiry));
            let ends = [70, 90].map(expiry);
            let expected = [("Ann", Some(7), &ends[0]), ("bob", Some(9), &ends[1])];
            assert_eq!(users.collect::<Vec<_>>(), expected);
            assert_eq!(found.users[0].extra.devices_limit, Some(2));
        }
    }

    #[test]
    fn a_list_with_an_element_that_is_none_is_broken() {
        for text in [r#"[,{"tag":"x"}]"#, r#"[{"tag":"x"},]"#, r#"[{"tag":"x"},,{"tag":"y"}]"#] {
            let mut scanner = Scanner::new(text.as_bytes(), 100);
            assert!(json::at_once(List::read(&mut scanner, &OddFields::default())).is_err(), "{text}");
        }
    }

    #[test]
    fn an_inbound_that_is_broken_or_has_no_identity_costs_itself() {
        let found = converted(&[
            r#"{"tag":"x","clientStats":[{"email":"a"}]}"#,
            r#"{"tag":"broken","clientStats":[{"email":"a"},{"email":"b"} 5],"settings":{"clients":[{"email":"c"}]}}"#,
            r#"{"tag":"broken","settings":{"clients":[{"email":"a"},{"email":"]}"}]"up":1},"x":{"y":[1]}}"#,
            r#"{"settings":{"clients":[{"email":"a"}]}}"#,
            "[]",
            r#"{"settings":{"clients":[{"email":"a"}]},"tag":"y"}"#,
        ]);
        let labels: Vec<_> = found.inbounds.iter().map(|inbound| (&*inbound.label, inbound.users)).collect();
        assert_eq!(labels, [("x", Some(1)), ("y", Some(1))]);
        assert_eq!(found.inbounds_omitted, 4);
        let user = found.users.iter().find(|user| &*user.name == "a").unwrap();
        assert_eq!(user.extra.inbounds.iter().map(|label| &**label).collect::<Vec<_>>(), ["x", "y"]);
    }
}
