//! The state of a simulated panel: clients, inbounds, nodes and outbounds.

use std::collections::VecDeque;

use super::auth::Accounts;
use super::options::Generation;

pub(super) struct State {
    pub(super) generation: Generation,
    /// With a slash at both ends.
    pub(super) base: String,
    pub(super) web_domain: Option<String>,
    pub(super) guid: String,
    pub(super) accounts: Accounts,
    pub(super) clients: Vec<Client>,
    pub(super) inbounds: Vec<Inbound>,
    pub(super) nodes: Vec<Node>,
    pub(super) outbounds: Vec<Outbound>,
    pub(super) host: Host,
    pub(super) thresholds: Thresholds,
    pub(super) core: Core,
    pub(super) core_started_at_ms: i64,
    pub(super) panel_started_at_ms: i64,
    /// When counters were last written while the core ran; `None`: not since it was started.
    pub(super) ticked_at_ms: Option<i64>,
    /// How many clients were online at which time, oldest first.
    pub(super) online_samples: VecDeque<(i64, usize)>,
    /// When the status was last asked for.
    pub(super) status_asked_at_ms: i64,
    /// When sampling for the status last paused, and when it went on.
    pub(super) slept_ms: Option<(i64, i64)>,
    pub(super) answers: u64,
}

/// A client. Its e-mail address is its key. Traffic is bytes, instants are unix milliseconds.
#[derive(Clone, Debug)]
pub struct Client {
    /// Number of its row.
    pub id: i64,
    /// Its name; any text.
    pub email: String,
    /// Its key for vless and vmess.
    pub uuid: String,
    /// Its key for trojan and shadowsocks.
    pub password: String,
    /// Its key for subscriptions.
    pub sub_id: String,
    /// The admin's note, of any text.
    pub comment: String,
    /// Whether the admin lets it in.
    pub enable: bool,
    /// Whether the panel switched it off at its quota or expiry.
    pub switched_off: bool,
    /// Uploaded since the last reset.
    pub up: u64,
    /// Downloaded since the last reset.
    pub down: u64,
    /// Both together, over all resets.
    pub all_time: u64,
    /// Quota; 0: unlimited.
    pub total: u64,
    /// 0: never; negative: this long after its first use.
    pub expiry_ms: i64,
    /// Days after which it renews itself at its expiry; 0: not.
    pub reset_days: i64,
    /// Addresses that it may use at once; 0: any number.
    pub limit_ip: i64,
    /// Its Telegram account; 0: none.
    pub tg_id: i64,
    /// The inbounds it is in. Empty: an orphan, which 3x-ui knows from 3.1 on.
    pub inbound_ids: Vec<i64>,
    /// The inbound that its row of statistics names.
    pub owner: i64,
    /// Whether it has a row of statistics. One just created has none yet.
    pub has_stats: bool,
    /// Whether the settings of its inbounds list it.
    pub in_settings: bool,
    /// When bytes were last counted; 0: never.
    pub last_online_ms: i64,
    /// When it was created.
    pub created_at_ms: i64,
    /// Bytes per second it moves by itself; 0: none.
    pub bytes_per_second: u64,
    /// How often it moves them: in about so many of 256 ten-minute stretches; 255: in all.
    pub busy: u8,
    /// Addresses it used, each with a unix second.
    pub ips: Vec<(String, i64)>,
    /// Bytes moved since the last tick, up and down.
    pub(super) pending: (u64, u64),
    /// Whether the panel has seen its counter since the core was started.
    pub(super) counter_seen: bool,
}

/// An inbound. Traffic is bytes.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// From 1.
    pub id: i64,
    /// Its name; any text, not unique.
    pub remark: String,
    /// `vless`, `vmess`, `trojan`, `shadowsocks` or another word. Only these four have clients.
    pub protocol: String,
    /// Its address; empty: all.
    pub listen: String,
    /// Its port.
    pub port: u16,
    /// Unique.
    pub tag: String,
    /// Whether the admin has it on.
    pub enable: bool,
    /// Whether the panel switched it off at its quota or expiry.
    pub switched_off: bool,
    /// Uploaded since the last reset.
    pub up: u64,
    /// Downloaded since the last reset.
    pub down: u64,
    /// Both together, over all resets.
    pub all_time: u64,
    /// Quota; 0: unlimited.
    pub total: u64,
    /// Unix milliseconds; 0: never.
    pub expiry_ms: i64,
    /// `never`, `daily`, `weekly` or `monthly`, at midnight UTC.
    pub traffic_reset: String,
    /// Unix milliseconds; 0: never.
    pub last_reset_ms: i64,
    /// The node it is on; `None`: this panel.
    pub node_id: Option<i64>,
    /// Whether its settings are no valid JSON.
    pub settings_broken: bool,
    /// Whether it lists `null` instead of its clients' statistics.
    pub stats_null: bool,
}

/// Another panel below this one.
#[derive(Clone, Debug)]
pub struct Node {
    /// From 1; 0 for the node of a node.
    pub id: i64,
    /// Unique among the nodes with an id.
    pub name: String,
    /// Unique; empty until the first contact.
    pub guid: String,
    /// The guid of the panel it is below; empty: this one.
    pub parent_guid: String,
    /// Whether it is asked at all.
    pub enable: bool,
    /// `online`, `offline` or `unknown`.
    pub status: String,
    /// Why it is not online.
    pub last_error: String,
    /// The state of its own xray.
    pub xray_state: String,
    /// The version it says.
    pub panel_version: String,
    /// Percent.
    pub cpu: f64,
    /// Percent.
    pub mem: f64,
    /// When its host was started.
    pub booted_at_ms: i64,
}

/// An outbound.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Unique.
    pub tag: String,
    /// Bytes.
    pub up: u64,
    /// Bytes.
    pub down: u64,
    /// What the observatory says of it; `None`: it does not look at it.
    pub observed: Option<Observed>,
}

/// What the observatory says of an outbound.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// Whether the last try got through.
    pub alive: bool,
    /// Milliseconds; 99999999 if it is not alive.
    pub delay_ms: i64,
    /// When it was last alive, in unix milliseconds; 0: never.
    pub last_seen_ms: i64,
}

/// Figures of the host.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Percent.
    pub cpu: f64,
    /// Bytes in use, of 4 GB.
    pub memory: u64,
    /// Bytes in use, of 1 GB.
    pub swap: u64,
    /// Bytes in use, of 40 GB.
    pub disk: u64,
    /// `None`: null, as on a host that cannot say.
    pub loads: Option<[f64; 3]>,
    /// Bytes per second.
    pub net_up: u64,
    /// Bytes per second.
    pub net_down: u64,
    /// When it was started.
    pub booted_at_ms: i64,
}

/// What the panel calls expiring soon; 0: nothing.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Days.
    pub expire_days: i64,
    /// GiB.
    pub traffic_gib: u64,
}

/// The state of xray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Carries traffic.
    Running,
    /// Stopped by hand.
    Stopped,
    /// Ends soon after each start. 3x-ui says `running` all the same.
    Crashing,
    /// Its program is missing.
    Missing,
    /// The panel could not make a process of it, because its template is broken.
    NeverStarted,
}

/// Sums over a panel's clients; see [`Panel::totals`](super::Panel::totals).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All clients.
    pub clients: usize,
    /// Those that may use the proxy.
    pub active: usize,
    /// Those whose quota is used up or whose time is over.
    pub depleted: usize,
    /// Those that an admin switched off and that are not depleted.
    pub disabled: usize,
    /// Those that are shown as online.
    pub online: usize,
    /// Bytes since each client's last reset.
    pub up: u64,
    /// Bytes since each client's last reset.
    pub down: u64,
}

/// How the panel counts a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Active,
    Expiring,
    Disabled,
    Depleted,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const GIB: u64 = 1 << 30;
/// How long a client counts as online after its last traffic, from 3x-ui 3.1 on.
const GRACE_MS: i64 = 20_000;

impl State {
    pub(super) fn client(&self, email: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.email == email)
    }

    pub(super) fn inbound(&self, id: i64) -> Option<&Inbound> {
        self.inbounds.iter().find(|inbound| inbound.id == id)
    }

    /// Clients as the panel counts them as online, whether or not it says so.
    pub(super) fn online(&self, now_ms: i64) -> impl Iterator<Item = &Client> {
        let with_grace = self.generation >= Generation::V3_1;
        let ticked_at_ms = self.ticked_at_ms;
        self.clients.iter().filter(move |client| match ticked_at_ms {
            None => false,
            Some(_) if with_grace => now_ms.saturating_sub(client.last_online_ms) < GRACE_MS,
            Some(ticked_at_ms) => client.last_online_ms == ticked_at_ms,
        })
    }

    pub(super) fn standing(&self, client: &Client, now_ms: i64) -> Standing {
        let Thresholds { expire_days, traffic_gib } = self.thresholds;
        let left_ms = client.expiry_ms.saturating_sub(now_ms);
        let left = client.total.saturating_sub(client.used());
        if client.is_depleted(now_ms) {
            Standing::Depleted
        } else if !client.enable {
            Standing::Disabled
        } else if (client.expiry_ms > 0 && left_ms < expire_days.saturating_mul(DAY_MS))
            || (client.total > 0 && left < traffic_gib.saturating_mul(GIB))
        {
            Standing::Expiring
        } else {
            Standing::Active
        }
    }

    pub(super) fn totals(&self, now_ms: i64) -> Totals {
        let mut totals = Totals { online: self.online(now_ms).count(), ..Totals::default() };
        for client in &self.clients {
            totals.clients += 1;
            match self.standing(client, now_ms) {
                Standing::Active | Standing::Expiring => totals.active += 1,
                Standing::Disabled => totals.disabled += 1,
                Standing::Depleted => totals.depleted += 1,
            }
            totals.up = totals.up.saturating_add(client.up);
            totals.down = totals.down.saturating_add(client.down);
        }
        totals
    }
}

impl Client {
    pub(super) fn new(email: &str, id: i64, now_ms: i64) -> Client {
        Client {
            id,
            email: email.to_owned(),
            uuid: format!("00000000-0000-4000-8000-{id:012}"),
            password: format!("client-password-{id}"),
            sub_id: format!("sub{id:013}"),
            comment: String::new(),
            enable: true,
            switched_off: false,
            up: 0,
            down: 0,
            all_time: 0,
            total: 0,
            expiry_ms: 0,
            reset_days: 0,
            limit_ip: 0,
            tg_id: 0,
            inbound_ids: vec![1],
            owner: 1,
            has_stats: true,
            in_settings: true,
            last_online_ms: 0,
            created_at_ms: now_ms,
            bytes_per_second: 0,
            busy: 255,
            ips: Vec::new(),
            pending: (0, 0),
            counter_seen: true,
        }
    }

    /// Bytes since the last reset.
    pub fn used(&self) -> u64 {
        self.up.saturating_add(self.down)
    }

    pub(super) fn is_depleted(&self, now_ms: i64) -> bool {
        (self.total > 0 && self.used() >= self.total) || (self.expiry_ms > 0 && self.expiry_ms <= now_ms)
    }
}

impl Inbound {
    pub(super) fn new(id: i64, protocol: &str, remark: &str) -> Inbound {
        let port = 21_000_u16.saturating_add(u16::try_from(id).unwrap_or(u16::MAX));
        Inbound {
            id,
            remark: remark.to_owned(),
            protocol: protocol.to_owned(),
            listen: String::new(),
            port,
            tag: format!("inbound-{port}"),
            enable: true,
            switched_off: false,
            up: 0,
            down: 0,
            all_time: 0,
            total: 0,
            expiry_ms: 0,
            traffic_reset: "never".to_owned(),
            last_reset_ms: 0,
            node_id: None,
            settings_broken: false,
            stats_null: false,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.enable && !self.switched_off
    }

    pub(super) fn is_depleted(&self, now_ms: i64) -> bool {
        (self.total > 0 && self.up.saturating_add(self.down) >= self.total)
            || (self.expiry_ms > 0 && self.expiry_ms <= now_ms)
    }
}

impl Node {
    pub(super) fn new(id: i64, name: &str, now_ms: i64) -> Node {
        Node {
            id,
            name: name.to_owned(),
            guid: format!("86696926-fbc5-4915-8b44-{id:012}"),
            parent_guid: String::new(),
            enable: id > 0,
            status: "online".to_owned(),
            last_error: String::new(),
            xray_state: "running".to_owned(),
            panel_version: "3.6.0".to_owned(),
            cpu: 12.5,
            mem: 40.25,
            booted_at_ms: now_ms - 12 * DAY_MS,
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.status == "online"
    }
}
