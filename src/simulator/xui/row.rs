//! One inbound, one client, and their parts, as each generation shows them.

use serde::Serialize;
use serde_json::value::RawValue;

use super::options::Generation;
use super::state::{Client, Inbound, State};

/// How much of a list is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Full,
    Slim,
}

/// A row of `clientStats`, and `traffic` in a list of clients.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stats<'a> {
    id: i64,
    inbound_id: i64,
    enable: bool,
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_id: Option<&'a str>,
    up: u64,
    down: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    all_time: Option<u64>,
    expiry_time: i64,
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<i64>,
    #[serde(flatten)]
    renewal: Option<StatsOf37>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_online: Option<i64>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct StatsOf37 {
    reset_day: i64,
    reset_max: i64,
    reset_count: i64,
    last_sub_fetch: i64,
}

/// What the settings of an inbound, and a list of clients, say of a client from 3.7 on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RenewalOf37 {
    reset_day: i64,
    reset_max: i64,
    traffic_reset: &'static str,
    traffic_reset_day: i64,
}

const NO_RENEWAL: RenewalOf37 =
    RenewalOf37 { reset_day: 0, reset_max: 0, traffic_reset: "never", traffic_reset_day: 1 };

impl<'a> Stats<'a> {
    pub(super) fn of(generation: Generation, client: &'a Client, detail: Detail) -> Stats<'a> {
        let key = |key: &'a str| match detail {
            Detail::Full => key,
            Detail::Slim => "",
        };
        let has_uuid = client.in_settings && !client.inbound_ids.is_empty();
        let uuid = if has_uuid { client.uuid.as_str() } else { "" };
        let sub_id = if has_uuid { client.sub_id.as_str() } else { "" };
        Stats {
            id: client.id,
            inbound_id: client.owner,
            enable: stats_enable(generation, client),
            email: &client.email,
            uuid: (generation >= Generation::V2_8).then(|| key(uuid)),
            sub_id: (generation >= Generation::V2_8).then(|| key(sub_id)),
            up: client.up,
            down: client.down,
            all_time: generation.has_all_time().then_some(client.all_time),
            expiry_time: client.expiry_ms,
            total: client.total,
            reset: (generation != Generation::V1_7).then_some(client.reset_days),
            renewal: (generation >= Generation::V3_7).then(StatsOf37::default),
            last_online: (generation >= Generation::V2_6).then_some(client.last_online_ms),
        }
    }
}

/// Up to 2.8.0 false meant only what the panel did.
fn stats_enable(generation: Generation, client: &Client) -> bool {
    let by_panel_only = matches!(generation, Generation::V1_7 | Generation::V2_6);
    !client.switched_off && (client.enable || by_panel_only)
}

/// Up to 2.9 false meant only what the admin did.
pub(super) fn settings_enable(generation: Generation, client: &Client) -> bool {
    client.enable && !(generation.is_v3() && client.switched_off)
}

/// A client in the settings of an inbound.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    email: &'a str,
    enable: bool,
    #[serde(flatten)]
    more: Option<More<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct More<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security: Option<&'static str>,
    #[serde(rename = "totalGB")]
    total: u64,
    expiry_time: i64,
    limit_ip: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<i64>,
    sub_id: &'a str,
    tg_id: TelegramId,
    #[serde(skip_serializing_if = "Option::is_none", rename = "created_at")]
    created_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "updated_at")]
    updated_at: Option<i64>,
    #[serde(flatten)]
    renewal: Option<RenewalOf37>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TelegramId {
    Number(i64),
    Text(String),
}

impl<'a> Entry<'a> {
    fn of(generation: Generation, protocol: &str, client: &'a Client, detail: Detail) -> Entry<'a> {
        let enable = settings_enable(generation, client);
        if detail == Detail::Slim {
            let comment = Some(client.comment.as_str()).filter(|comment| !comment.is_empty());
            return Entry { comment, email: &client.email, enable, more: None };
        }
        let by_password = matches!(protocol, "trojan" | "shadowsocks");
        // The form of 2.x fills in the keys of the other protocols with nothing.
        let blanks = matches!(generation, Generation::V2_6 | Generation::V2_8);
        let shared = generation >= Generation::V3_1 && client.inbound_ids.len() > 1;
        let key = |key: &'a str, own: bool| {
            if own || shared { Some(key) } else { Some("").filter(|_| blanks) }
        };
        let is_3x_ui = generation >= Generation::V2_6;
        let more = More {
            id: key(&client.uuid, !by_password),
            password: key(&client.password, by_password),
            flow: blanks.then_some(""),
            security: is_3x_ui.then_some(""),
            total: client.total,
            expiry_time: client.expiry_ms,
            limit_ip: client.limit_ip,
            reset: (generation != Generation::V1_7).then_some(client.reset_days),
            sub_id: &client.sub_id,
            tg_id: match generation {
                Generation::Alireza | Generation::V1_7 if client.tg_id == 0 => {
                    TelegramId::Text(String::new())
                }
                Generation::Alireza | Generation::V1_7 => TelegramId::Text(client.tg_id.to_string()),
                _ => TelegramId::Number(client.tg_id),
            },
            created_at: is_3x_ui.then_some(client.created_at_ms),
            updated_at: is_3x_ui.then_some(client.created_at_ms),
            renewal: (generation >= Generation::V3_7).then_some(NO_RENEWAL),
        };
        let comment = (generation != Generation::V1_7).then_some(client.comment.as_str());
        Entry { comment, email: &client.email, enable, more: Some(more) }
    }
}

/// A client of a panel that knows no e-mail addresses.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Anonymous<'a> {
    ByKey { id: &'a str, alter_id: i64 },
    ByPassword { password: &'a str, flow: &'static str },
}

impl<'a> Anonymous<'a> {
    fn of(protocol: &str, client: &'a Client) -> Anonymous<'a> {
        match protocol {
            "trojan" | "shadowsocks" => Anonymous::ByPassword { password: &client.password, flow: "" },
            _ => Anonymous::ByKey { id: &client.uuid, alter_id: 0 },
        }
    }
}

/// JSON in the form that a generation gives it.
#[derive(Serialize)]
#[serde(untagged)]
enum Embedded {
    Whole(Box<RawValue>),
    Text(String),
    Null,
}

impl Embedded {
    fn of(generation: Generation, text: String) -> Embedded {
        if generation < Generation::V3_1 {
            return Embedded::Text(text);
        }
        if text.is_empty() {
            return Embedded::Null;
        }
        match serde_json::from_str(&text) {
            Ok(whole) => Embedded::Whole(whole),
            Err(_) => Embedded::Text(text),
        }
    }
}

/// An inbound as a list shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InboundRow<'a> {
    id: i64,
    up: u64,
    down: u64,
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    all_time: Option<u64>,
    remark: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_sort_index: Option<i64>,
    enable: bool,
    expiry_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic_reset: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic_reset_day: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_traffic_reset_time: Option<i64>,
    /// `None`: absent; `Some(None)`: null.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_stats: Option<Option<Vec<Stats<'a>>>>,
    listen: &'a str,
    port: u16,
    protocol: &'a str,
    settings: Embedded,
    stream_settings: Embedded,
    tag: &'a str,
    sniffing: Embedded,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_addr_strategy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_addr: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_flow: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin_node_guid: Option<&'a str>,
}

impl<'a> InboundRow<'a> {
    pub(super) fn of(state: &'a State, inbound: &'a Inbound, detail: Detail) -> InboundRow<'a> {
        let generation = state.generation;
        let stats = if inbound.stats_null {
            None
        } else {
            let rows = state.clients.iter().filter(|client| lists(generation, inbound, client, detail));
            Some(rows.map(|client| Stats::of(generation, client, detail)).collect())
        };
        let is_36 = generation >= Generation::V3_6;
        let node = inbound.node_id.and_then(|id| state.nodes.iter().find(|node| node.id == id));
        let guid = node.map_or(state.guid.as_str(), |node| node.guid.as_str());
        let sniffing = if inbound.node_id.is_some() { r#"{"enabled":false}"# } else { SNIFFING };
        let stream = match inbound.protocol.as_str() {
            "http" => String::new(),
            _ => STREAM.to_owned(),
        };
        InboundRow {
            id: inbound.id,
            up: inbound.up,
            down: inbound.down,
            total: inbound.total,
            all_time: generation.has_all_time().then_some(inbound.all_time),
            remark: &inbound.remark,
            sub_sort_index: is_36.then_some(1),
            enable: inbound.is_on(),
            expiry_time: inbound.expiry_ms,
            traffic_reset: (generation >= Generation::V2_8).then_some(inbound.traffic_reset.as_str()),
            traffic_reset_day: is_36.then_some(1),
            last_traffic_reset_time: (generation >= Generation::V2_8).then_some(inbound.last_reset_ms),
            client_stats: (generation != Generation::Vaxilu).then_some(stats),
            listen: &inbound.listen,
            port: inbound.port,
            protocol: &inbound.protocol,
            settings: Embedded::of(generation, settings(state, inbound, detail)),
            stream_settings: Embedded::of(generation, stream),
            tag: &inbound.tag,
            sniffing: Embedded::of(generation, sniffing.to_owned()),
            node_id: inbound.node_id.filter(|_| generation.is_v3()),
            share_addr_strategy: is_36.then_some("node"),
            share_addr: is_36.then_some(""),
            disable_flow: (generation >= Generation::V3_7).then_some(false),
            origin_node_guid: is_36.then_some(guid).filter(|guid| !guid.is_empty()),
        }
    }

    /// `get/:id` shows `null` before 3.2.5.
    pub(super) fn alone(state: &'a State, inbound: &'a Inbound) -> InboundRow<'a> {
        let row = InboundRow::of(state, inbound, Detail::Full);
        let client_stats =
            row.client_stats.map(|stats| stats.filter(|_| state.generation >= Generation::V3_6));
        InboundRow { client_stats, origin_node_guid: None, ..row }
    }

    /// Rows of clients in it, which is what a list costs.
    pub(super) fn weight(&self) -> usize {
        self.client_stats.as_ref().and_then(Option::as_ref).map_or(0, Vec::len)
    }
}

/// Whether an inbound lists the statistics of a client.
fn lists(generation: Generation, inbound: &Inbound, client: &Client, detail: Detail) -> bool {
    // 3.1 shows a shared client only once in the slim list; an orphan stays where it was.
    let only_owner = generation == Generation::V3_1 && detail == Detail::Slim;
    let is_in = if only_owner || client.inbound_ids.is_empty() {
        client.owner == inbound.id
    } else {
        client.inbound_ids.contains(&inbound.id)
    };
    is_in && has_row(generation, client)
}

/// Whether there are statistics of a client. 3.1 drops those of an orphan.
pub(super) fn has_row(generation: Generation, client: &Client) -> bool {
    client.has_stats && (generation >= Generation::V3_6 || !client.inbound_ids.is_empty())
}

const STREAM: &str =
    r#"{"network":"tcp","security":"none","tcpSettings":{"header":{"type":"none"}},"externalProxy":[]}"#;
const SNIFFING: &str =
    r#"{"enabled":true,"destOverride":["http","tls"],"metadataOnly":false,"routeOnly":false}"#;

fn settings(state: &State, inbound: &Inbound, detail: Detail) -> String {
    let has_clients = matches!(inbound.protocol.as_str(), "vless" | "vmess" | "trojan" | "shadowsocks");
    if !has_clients {
        return r#"{"accounts":[{"user":"u","pass":"account-password"}]}"#.to_owned();
    }
    let clients =
        state.clients.iter().filter(|client| client.in_settings && client.inbound_ids.contains(&inbound.id));
    let written = match state.generation {
        Generation::Vaxilu => {
            let one = |client| Anonymous::of(&inbound.protocol, client);
            serde_json::to_string(&clients.map(one).collect::<Vec<_>>())
        }
        generation => {
            let entries: Vec<_> =
                clients.map(|client| Entry::of(generation, &inbound.protocol, client, detail)).collect();
            serde_json::to_string(&entries)
        }
    };
    let rest = match inbound.protocol.as_str() {
        "vless" => r#","decryption":"none","fallbacks":[]"#,
        "trojan" => r#","fallbacks":[]"#,
        "shadowsocks" => {
            r#","method":"2022-blake3-aes-128-gcm","network":"tcp,udp","password":"server-password""#
        }
        _ => "",
    };
    let end = if inbound.settings_broken { "" } else { "}" };
    format!(r#"{{"clients":{}{rest}{end}"#, written.unwrap_or_default())
}

/// An item of `clients/list`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientRow<'a> {
    #[serde(flatten)]
    pub(super) record: ClientRecord<'a>,
    inbound_ids: Option<&'a [i64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<Stats<'a>>,
}

/// A client without what it is attached to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientRecord<'a> {
    id: i64,
    email: &'a str,
    sub_id: &'a str,
    uuid: &'a str,
    password: &'a str,
    auth: &'static str,
    flow: &'static str,
    security: &'static str,
    #[serde(flatten)]
    keys: Option<KeysOf36>,
    limit_ip: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_hwid: Option<i64>,
    #[serde(rename = "totalGB")]
    total: u64,
    expiry_time: i64,
    enable: bool,
    tg_id: i64,
    comment: &'a str,
    reset: i64,
    #[serde(flatten)]
    renewal: Option<RenewalOf37>,
    created_at: i64,
    updated_at: i64,
    reverse: Option<()>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct KeysOf36 {
    private_key: &'static str,
    public_key: &'static str,
    #[serde(rename = "allowedIPs")]
    allowed_ips: &'static str,
    pre_shared_key: &'static str,
    keep_alive: i64,
    secret: &'static str,
    ad_tag: &'static str,
    group: &'static str,
}

impl<'a> ClientRecord<'a> {
    pub(super) fn of(generation: Generation, client: &'a Client) -> ClientRecord<'a> {
        ClientRecord {
            id: client.id,
            email: &client.email,
            sub_id: &client.sub_id,
            uuid: &client.uuid,
            password: &client.password,
            auth: "",
            flow: "",
            security: "",
            keys: (generation >= Generation::V3_6).then(KeysOf36::default),
            limit_ip: client.limit_ip,
            limit_hwid: (generation >= Generation::V3_7).then_some(0),
            total: client.total,
            expiry_time: client.expiry_ms,
            enable: settings_enable(generation, client),
            tg_id: client.tg_id,
            comment: &client.comment,
            reset: client.reset_days,
            renewal: (generation >= Generation::V3_7).then_some(NO_RENEWAL),
            created_at: client.created_at_ms,
            updated_at: client.created_at_ms,
            reverse: None,
        }
    }
}

impl<'a> ClientRow<'a> {
    pub(super) fn of(generation: Generation, client: &'a Client) -> ClientRow<'a> {
        ClientRow {
            record: ClientRecord::of(generation, client),
            inbound_ids: attached(client),
            traffic: traffic(generation, client),
        }
    }
}

/// `null` for an orphan.
pub(super) fn attached(client: &Client) -> Option<&[i64]> {
    Some(client.inbound_ids.as_slice()).filter(|ids| !ids.is_empty())
}

pub(super) fn traffic(generation: Generation, client: &Client) -> Option<Stats<'_>> {
    has_row(generation, client).then(|| Stats::of(generation, client, Detail::Slim))
}
