//! The list of inbounds with their clients.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use serde_json::value::RawValue;

use super::{
    clients::{Client, Context, Meaning, Plan, expiry},
    folded::folded,
    nodes::NodeLabels,
};
use crate::{
    model::{
        Counter, Expiry, Inbound, Row, Timestamp, Unreadable, UnreadableCause, UnreadableRow, User,
        UserStatus, Users, labels,
    },
    upstream::json::{Lacking, Object, OddFields, ROWS, each},
};

/// A list as it arrives, one inbound after the other. A client that several inbounds list is one client, with one count
/// of bytes that each of them repeats.
#[derive(Debug, Default)]
pub(in crate::upstream::xui) struct List {
    inbounds: Vec<ListedInbound>,
    clients: Vec<ListedClient>,
    /// Places in `clients`, by folded name.
    places: HashMap<Arc<str>, usize>,
    unreadable: Unreadable,
    /// Inbounds that could not be read or are too many, and clients with names that are too long or that are too many.
    omitted: (usize, usize),
    /// Rows of clients so far.
    rows: usize,
    /// Inbounds say how often their traffic is reset, as 3x-ui does since 2.8.1.
    has_resets: bool,
    odd: OddFields,
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
    inbound: Inbound,
}

#[derive(Debug)]
struct ListedClient {
    /// As the statistics spell it, if they have it.
    name: Arc<str>,
    has_stats: bool,
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
    pub(in crate::upstream::xui) devices: &'a HashMap<Arc<str>, u64>,
    pub(in crate::upstream::xui) plans: &'a HashMap<Arc<str>, Plan>,
}

impl List {
    /// Takes one inbound.
    pub(in crate::upstream::xui) fn add(&mut self, text: &str) {
        let odd = std::mem::take(&mut self.odd);
        match Object::of_text("inbound", text, &odd) {
            Some(row) if self.inbounds.len() < ROWS => self.add_inbound(&row, &odd),
            _ => self.omitted.0 += 1,
        }
        self.odd = odd;
    }

    fn add_inbound(&mut self, row: &Object<'_>, odd: &OddFields) {
        let Ok(place) = u16::try_from(self.inbounds.len()) else { return };
        let id = row.integer("id");
        let (up, down) = (row.count("up"), row.count("down"));
        let remark = row.text("remark").unwrap_or_default();
        let tag = row.identity("tag").ok().or_else(|| id.map(|id| format!("inbound-{id}")));
        let Some(tag) = tag else {
            self.omitted.0 += 1;
            return;
        };
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
        self.inbounds.push(ListedInbound { tag, id, node, guid, knows_clients: false, inbound });
        // Statistics of a client stay with an inbound that no longer has it.
        let mut in_stats = Vec::new();
        if let Some(list) = row.raw("clientStats").filter(|raw| raw.get() != "null") {
            let read = each(list, |raw| in_stats.extend(self.add_stats(raw, odd)));
            self.inbounds[usize::from(place)].knows_clients = read.is_some();
            if read.is_none() {
                row.is_odd("clientStats", list, "a list");
            }
        }
        if !self.add_settings(row, place, odd) {
            for at in in_stats {
                self.attach(at, place);
            }
        }
    }

    /// Takes a row of statistics. Returns the place of its client, if it has one.
    fn add_stats(&mut self, raw: &RawValue, odd: &OddFields) -> Option<usize> {
        let place = self.rows;
        self.rows += 1;
        let Some(row) = Object::new("client", raw, odd) else {
            self.unreadable.add(UnreadableRow { place, cause: UnreadableCause::NotAnObject });
            return None;
        };
        match row.identity("email") {
            Ok(name) => {
                let at = self.client(&name)?;
                let listed = &mut self.clients[at];
                if !std::mem::replace(&mut listed.has_stats, true) && *listed.name != *name {
                    listed.name = name.into();
                }
                listed.client.add_stats(&row);
                return Some(at);
            }
            Err(Lacking::ShortIdentity) => self.omitted.1 += 1,
            // Panels have rows of clients that have no name yet.
            Err(Lacking::Identity) if row.raw("email").is_some_and(|raw| raw.get() == "\"\"") => {}
            Err(Lacking::Identity) => {
                self.unreadable.add(UnreadableRow { place, cause: UnreadableCause::NoName });
            }
        }
        None
    }

    /// The configuration is an object, a text that is one, null, or broken. Returns whether it lists the clients of the
    /// inbound; else, these come from their statistics.
    fn add_settings(&mut self, row: &Object<'_>, place: u16, odd: &OddFields) -> bool {
        const EXPECTED: &str = "an object, or a text that is one";
        let Some(raw) = row.raw("settings").filter(|raw| !matches!(raw.get(), "null" | "\"\"")) else {
            return false;
        };
        let text: Option<String> =
            raw.get().starts_with('"').then(|| serde_json::from_str(raw.get()).ok()).flatten();
        let inner = match &text {
            Some(text) => serde_json::from_str::<&RawValue>(text).ok(),
            None => Some(raw),
        };
        let Some(settings) = inner.and_then(|inner| Object::new("settings", inner, odd)) else {
            row.is_odd("settings", raw, EXPECTED);
            return false;
        };
        let Some(clients) = settings.raw("clients").filter(|raw| raw.get() != "null") else {
            self.inbounds[usize::from(place)].knows_clients = true;
            return false;
        };
        let mut names_all = true;
        let read = each(clients, |raw| {
            // Rows without a name are those of panels that keep no statistics of clients.
            let row = Object::new("client_settings", raw, odd);
            let Some((name, row)) = row.and_then(|row| Some((row.identity("email").ok()?, row))) else {
                names_all = false;
                return;
            };
            if let Some(at) = self.client(&name) {
                self.clients[at].client.add_setting(&row);
                self.attach(at, place);
            }
        });
        if read.is_none() {
            settings.is_odd("clients", clients, "a list");
        }
        let lists_all = names_all && read.is_some();
        self.inbounds[usize::from(place)].knows_clients |= lists_all;
        lists_all
    }

    /// The place of the client of this name; absent: it is one too many.
    fn client(&mut self, name: &str) -> Option<usize> {
        match self.places.entry(folded(name.to_owned()).into()) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(_) if self.clients.len() >= Users::MOST => {
                self.omitted.1 += 1;
                None
            }
            Entry::Vacant(entry) => {
                let key = entry.key();
                let name = if **key == *name { Arc::clone(key) } else { name.into() };
                let attached = Vec::with_capacity(1);
                self.clients.push(ListedClient {
                    name,
                    has_stats: false,
                    client: Client::default(),
                    attached,
                });
                Some(*entry.insert(self.clients.len() - 1))
            }
        }
    }

    /// The client at `at` is attached to the inbound at `place`.
    fn attach(&mut self, at: usize, place: u16) {
        self.inbounds[usize::from(place)].knows_clients = true;
        let attached = &mut self.clients[at].attached;
        if attached.last() != Some(&place) {
            attached.push(place);
        }
    }

    /// The fields that could not be read.
    pub(in crate::upstream::xui) fn take_odd(&mut self) -> OddFields {
        std::mem::take(&mut self.odd)
    }

    /// Whether there are inbounds, and none could be read.
    pub(in crate::upstream::xui) fn is_unreadable(&self) -> bool {
        self.inbounds.is_empty() && self.omitted.0 > 0
    }

    /// The plans of clients of which a list without configurations has less, by folded name: those with a limit of
    /// addresses, and those without statistics.
    pub(in crate::upstream::xui) fn plans(self) -> HashMap<Arc<str>, Plan> {
        let clients = self.clients.into_iter();
        clients
            .filter_map(|ListedClient { name, has_stats, client, .. }| {
                Some((folded(name.to_string()).into(), client.plan_beyond_statistics(has_stats)?))
            })
            .collect()
    }

    pub(in crate::upstream::xui) fn convert(self, known: &Known<'_>) -> Converted {
        let List { inbounds, clients, unreadable, omitted, has_resets, .. } = self;
        let rows: Vec<_> = inbounds.iter().map(|listed| Row { name: &listed.tag, id: listed.id }).collect();
        let labels = labels(&rows, "");
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
        let mut shared: HashMap<Vec<u16>, Arc<[Arc<str>]>> = HashMap::new();
        let mut users = Vec::with_capacity(clients.len());
        for ListedClient { name, mut client, attached, .. } in clients {
            let key = folded(name.to_string());
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
                inbounds: Arc::clone(shared.entry(attached).or_insert_with_key(|attached| {
                    attached.iter().map(|place| Arc::clone(&labels[usize::from(*place)])).collect()
                })),
            };
            users.push(client.convert(name, context));
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
        let mut list = List::default();
        for inbound in inbounds {
            list.add(inbound);
        }
        list.convert(&Known {
            is_alireza0: false,
            read_at: Timestamp::from_secs(1_795_000_000),
            panel_now: Timestamp::from_secs(1_795_000_000),
            nodes: &NodeLabels::default(),
            devices: &HashMap::new(),
            plans: &HashMap::new(),
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
            ("null", vec!["a", "left"]),
        ];
        for (settings, attached) in cases {
            let row = format!(r#"{{"tag":"x","clientStats":[{stats}],"settings":{settings}}}"#);
            let found = converted(&[&row]);
            let mut names: Vec<_> = found
                .users
                .iter()
                .filter(|user| !user.extra.inbounds.is_empty())
                .map(|user| &*user.name)
                .collect();
            names.sort_unstable();
            assert_eq!(names, attached, "{settings}");
            assert_eq!(found.inbounds[0].users, u64::try_from(attached.len()).ok(), "{settings}");
            assert_eq!(found.users.len(), 2);
        }
    }
}
