//! Targets and receivers that are there twice under different names.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Url;

use crate::alert::config::AlertingConfig;
use crate::alert::rule::{Rule, Rules};
use crate::http::options::Endpoint;
use crate::notify::alertmanager::config::AlertmanagerConfig;
use crate::notify::webhook::config::{Authorization, WebhookConfig, WebhookFormat};
use crate::secret::Secret;

use super::errors::and_more;
use super::kinds::{ReceiverKind, ReceiverTable, Target};

/// Targets that are reached at one address in the same way, a sentence for each address.
pub(super) fn targets<'t>(targets: impl Iterator<Item = &'t Target>) -> Vec<String> {
    let groups = groups(targets.map(|target| (address(target.endpoint()), target)));
    let sentence = |group: Vec<&Target>| {
        let origin = group.first().map(|target| target.url().origin()).unwrap_or_default();
        let first = group.first().map(|target| target.word());
        let names = names(group.iter().map(|target| (target.word(), &*target.name)));
        if group.iter().all(|target| Some(target.word()) == first) {
            format!(
                "{names}: one panel under several names, {origin}; users that several of these logins see are exported \
                 and notified of more than once; keep one of them, unless each login sees other users"
            )
        } else {
            format!(
                "{names}: one server under tables of different kinds, {origin}; keep the table of the right kind"
            )
        }
    };
    groups.into_iter().map(sentence).collect()
}

/// Receivers that send to one place in one language and that a rule notifies together, a sentence for each place.
pub(super) fn receivers(receivers: &[ReceiverTable], alerting: &AlertingConfig) -> Vec<String> {
    let Ok(rules) = Rules::new(alerting) else { return Vec::new() };
    if !alerting.enabled {
        return Vec::new();
    }
    let places =
        receivers.iter().flat_map(|table| places(&table.kind).into_iter().map(move |at| (at, table)));
    let places = places.map(|(at, table)| {
        let language = table.kind.common().language.unwrap_or(alerting.language);
        ((at, language.label()), table)
    });
    let sentence = |group: Vec<&ReceiverTable>| {
        let notified = |rule: &Rule| group.iter().filter(|table| notifies(rule, table)).count();
        let rule = rules.list().iter().find(|rule| notified(rule) > 1)?;
        let names = names(group.iter().map(|table| (table.kind.word(), &*table.name)));
        Some(format!(
            "{names}: one destination under several names; a notification of the rule {} arrives more than once; keep \
             one of them, or name no two of them in the receivers of one rule",
            rule.name
        ))
    };
    groups(places).into_iter().filter_map(sentence).collect()
}

/// Whether a rule notifies a receiver of its worst step.
fn notifies(rule: &Rule, receiver: &ReceiverTable) -> bool {
    let is_named = rule.receivers.as_ref().is_none_or(|names| names.contains(&receiver.name));
    is_named && rule.steps.iter().any(|step| step.severity >= receiver.kind.common().min_severity)
}

/// Groups of more than one, in the order of their first members.
fn groups<'v, K: Ord, V>(members: impl Iterator<Item = (K, &'v V)>) -> Vec<Vec<&'v V>> {
    let mut groups = BTreeMap::<K, (usize, Vec<&V>)>::new();
    for (index, (key, member)) in members.enumerate() {
        groups.entry(key).or_insert((index, Vec::new())).1.push(member);
    }
    let mut groups: Vec<_> = groups.into_values().filter(|(_, members)| members.len() > 1).collect();
    groups.sort_by_key(|(first, _)| *first);
    groups.into_iter().map(|(_, members)| members).collect()
}

/// `marzban.a, marzban.b and xui.c`.
fn names<'n>(tables: impl Iterator<Item = (&'static str, &'n str)>) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<_> = tables.map(|(word, name)| format!("{word}.{name}")).collect();
    names.sort();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 {
        names.truncate(SHOWN);
        return format!("{}, {}", names.join(", "), and_more(more));
    }
    let last = names.pop().unwrap_or_default();
    format!("{} and {last}", names.join(", "))
}

/// Where a panel is, however its address is written, and what else decides which server answers: a name or an address of
/// a private network is another's elsewhere. The scheme makes no difference, as a port has one. The texts hold secrets
/// and are only compared.
fn address(endpoint: &Endpoint) -> Vec<String> {
    let Endpoint { url, tls, proxy, headers } = endpoint;
    let origin = url.origin();
    let host = Url::parse(&origin)
        .ok()
        .and_then(|url| Some(host(&url)? + &format!(":{}", url.port_or_known_default()?)));
    let path = Url::parse(&url.join("/")).map(|url| url.path().to_owned()).unwrap_or_default();
    let address = format!("{}{}", host.unwrap_or(origin), path.trim_end_matches('/'));
    let name = tls.server_name.as_ref().map(|name| name.to_str().into_owned()).unwrap_or_default();
    [address, name].into_iter().chain(way(proxy.as_ref(), headers)).collect()
}

/// The proxy, and the headers in any order.
fn way(proxy: Option<&Secret>, headers: &[(String, Secret)]) -> Vec<String> {
    let mut way: Vec<_> = headers.iter().map(|(name, value)| format!("{name}:{}", value.expose())).collect();
    way.sort();
    way.push(exposed(proxy));
    way
}

/// A complete URL, however it is written.
fn complete(url: &Secret) -> String {
    let text = url.expose();
    let Ok(url) = Url::parse(text) else { return text.to_owned() };
    let host = host(&url).unwrap_or_default();
    let (port, path) = (url.port_or_known_default().unwrap_or_default(), url.path().trim_end_matches('/'));
    format!("{host}:{port}{path}?{}", url.query().unwrap_or_default())
}

fn host(url: &Url) -> Option<String> {
    // Other loopback addresses may have other servers.
    const HERE: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    let host = url.host_str()?.trim_end_matches('.');
    Some(if HERE.contains(&host) { "localhost" } else { host }.to_owned())
}

fn exposed(secret: Option<&Secret>) -> String {
    secret.map(|secret| secret.expose().to_owned()).unwrap_or_default()
}

/// Where a receiver sends to. The texts hold secrets and are only compared.
fn places(kind: &ReceiverKind) -> BTreeSet<Vec<String>> {
    let word = kind.word().to_owned();
    let place = match kind {
        ReceiverKind::Alertmanager(alertmanager) => {
            let AlertmanagerConfig { urls, authorization, proxy, headers, .. } = alertmanager;
            let way = [vec![login(authorization.as_ref())], way(proxy.as_ref(), headers)].concat();
            return urls
                .iter()
                .map(|url| [vec![word.clone(), complete(url)], way.clone()].concat())
                .collect();
        }
        ReceiverKind::Chat(chat) => {
            let thread = chat.thread.map(|thread| thread.to_string()).unwrap_or_default();
            let (token, room) = (exposed(chat.token.as_ref()), exposed(chat.room.as_ref()));
            vec![word, complete(&chat.url), token, room, thread]
        }
        ReceiverKind::Email(email) => {
            let address = |to: &String| {
                let address = to.rsplit_once('<').and_then(|(_, address)| address.strip_suffix('>'));
                address.unwrap_or(to).trim().to_ascii_lowercase()
            };
            let mut to: Vec<_> = email.to.iter().map(address).collect();
            to.sort();
            [vec![word, email.host.to_ascii_lowercase(), email.port.to_string()], to].concat()
        }
        ReceiverKind::Pagerduty(pagerduty) => {
            vec![word, complete(&pagerduty.url), exposed(Some(&pagerduty.routing_key))]
        }
        ReceiverKind::Webhook(webhook) => {
            // One URL may serve many rooms, which a login, a header or a template tells apart.
            let WebhookConfig { url, format, authorization, proxy, headers, .. } = webhook;
            let template = match format {
                WebhookFormat::Alertmanager => String::new(),
                WebhookFormat::Template { template, .. } => template.clone(),
            };
            let place = vec![word, complete(url), template, login(authorization.as_ref())];
            [place, way(proxy.as_ref(), headers)].concat()
        }
    };
    BTreeSet::from([place])
}

fn login(authorization: Option<&Authorization>) -> String {
    match authorization {
        Some(Authorization::Bearer(token)) => token.expose().to_owned(),
        Some(Authorization::Basic { username, password }) => format!("{username}:{}", password.expose()),
        None => String::new(),
    }
}
