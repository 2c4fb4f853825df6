//! What a panel has at the start.

use std::collections::VecDeque;

use fastrand::Rng;

use super::super::few;
use super::auth::Accounts;
use super::options::{Generation, Options};
use super::state::{Client, Core, Host, Inbound, Node, Observed, Outbound, State, Thresholds};

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const GIB: u64 = 1 << 30;
/// The inbounds that have clients, without that of a node.
const INBOUNDS: [i64; 4] = [1, 2, 3, 4];

impl State {
    pub(super) fn seeded(options: &Options, now_ms: i64) -> State {
        let mut rng = Rng::with_seed(options.seed);
        let generation = options.generation;
        let mut clients = cast(generation, now_ms);
        clients.truncate(options.clients);
        for number in clients.len()..options.clients {
            clients.push(extra(&mut rng, options, number, now_ms));
        }
        let mut state = State {
            generation,
            base: options.base_path.clone(),
            web_domain: options.web_domain.clone(),
            guid: "9c6eb04a-4350-4aa6-856c-1b636f6a130c".to_owned(),
            accounts: Accounts::new(options),
            clients,
            inbounds: inbounds(generation, now_ms),
            nodes: nodes(generation, now_ms),
            outbounds: outbounds(now_ms),
            host: Host {
                cpu: 12.375,
                memory: 1_371_291_648,
                swap: 104_857_600,
                disk: 9_823_059_968,
                loads: Some([0.42, 0.37, 0.21]),
                net_up: 128_456,
                net_down: 143_210,
                booted_at_ms: now_ms - 14 * DAY_MS,
            },
            thresholds: Thresholds { expire_days: 7, traffic_gib: 1 },
            core: Core::Running,
            core_started_at_ms: now_ms - 3 * HOUR_MS,
            panel_started_at_ms: now_ms - 2 * DAY_MS,
            ticked_at_ms: Some(now_ms),
            online_samples: VecDeque::new(),
            status_asked_at_ms: now_ms,
            slept_ms: None,
            answers: 0,
        };
        let online = state.online(now_ms).count();
        state.online_samples.push_back((now_ms, online));
        state
    }
}

fn inbounds(generation: Generation, now_ms: i64) -> Vec<Inbound> {
    let used = |inbound: Inbound, gib: u64| {
        let (up, down) = (gib * GIB / 10, gib * GIB);
        Inbound { up, down, all_time: 3 * (up + down), ..inbound }
    };
    let mut all = vec![
        used(Inbound::new(1, "vless", "🇩🇪 Frankfurt \"vless\""), 920),
        used(Inbound { total: 500 * GIB, ..Inbound::new(2, "vmess", "vmess") }, 310),
        used(Inbound { expiry_ms: now_ms + 3 * DAY_MS, ..Inbound::new(3, "trojan", "") }, 45),
        used(Inbound { traffic_reset: "monthly".to_owned(), ..Inbound::new(4, "shadowsocks", "ss") }, 8),
        Inbound { listen: "127.0.0.1".to_owned(), ..Inbound::new(5, "http", "no clients") },
    ];
    if generation.is_v3() {
        let tag = "n1-in-21006-tcp".to_owned();
        let on_node = Inbound { node_id: Some(1), tag, ..Inbound::new(6, "vless", "on the node") };
        all.push(used(on_node, 75));
    }
    all
}

fn nodes(generation: Generation, now_ms: i64) -> Vec<Node> {
    if !generation.is_v3() {
        return Vec::new();
    }
    let name = "Helsinki 🌍";
    let refused = "dial tcp 192.0.2.9:2053: connect: connection refused";
    let (one, two, three) =
        (Node::new(1, name, now_ms), Node::new(2, "Vienna", now_ms), Node::new(3, "Oslo", now_ms));
    let parent_guid = one.guid.clone();
    vec![
        one,
        Node { guid: String::new(), status: "offline".to_owned(), last_error: refused.to_owned(), ..two },
        Node { guid: String::new(), enable: false, status: "unknown".to_owned(), ..three },
        Node { parent_guid, ..Node::new(0, name, now_ms) },
    ]
}

fn outbounds(now_ms: i64) -> Vec<Outbound> {
    let observed = |alive: bool| {
        let (delay_ms, last_seen_ms) = if alive { (31, now_ms) } else { (99_999_999, 0) };
        Some(Observed { alive, delay_ms, last_seen_ms })
    };
    let outbound = |tag: &str, gib: u64, observed| Outbound {
        tag: tag.to_owned(),
        up: gib * GIB / 10,
        down: gib * GIB,
        observed,
    };
    vec![
        outbound("direct", 1250, observed(true)),
        outbound("blocked", 0, None),
        outbound("warp-🧟", 3, observed(false)),
    ]
}

/// Clients whose names describe them.
fn cast(generation: Generation, now_ms: i64) -> Vec<Client> {
    let mut ids = 1..;
    let mut client = |email: &str, inbound: i64, fill: &dyn Fn(&mut Client)| {
        let mut client = Client::new(email, ids.next().unwrap_or(0), now_ms - 60 * DAY_MS);
        (client.inbound_ids, client.owner) = (vec![inbound], inbound);
        fill(&mut client);
        client.all_time = client.used() * 2;
        client
    };
    let seen = |client: &mut Client, address: &str| {
        client.last_online_ms = now_ms;
        client.ips.push((address.to_owned(), now_ms.div_euclid(1000) - 20));
    };
    let mut all = vec![
        client("alice", 1, &|c| {
            (c.up, c.down) = (9 * GIB, 132_070_244_359);
            (c.bytes_per_second, c.busy) = (600_000, 200);
            c.comment = "Alice 🦊 \"quoted\" <b>html</b> \\back/slash\nline2".to_owned();
            seen(c, "198.51.100.7");
            seen(c, "2001:db8::7");
        }),
        client("bob_85pct", 1, &|c| {
            (c.down, c.total, c.expiry_ms) = (GIB * 85 / 2, 50 * GIB, now_ms + 20 * DAY_MS);
            (c.bytes_per_second, c.busy) = (200_000, 120);
            (c.limit_ip, c.tg_id) = (2, 123_456_789);
            seen(c, "198.51.100.8");
        }),
        client("Carol.97pct@Example.COM", 2, &|c| {
            (c.down, c.total, c.expiry_ms) = (97 * GIB, 100 * GIB, now_ms + 12 * DAY_MS);
            (c.bytes_per_second, c.busy) = (100_000, 80);
            c.last_online_ms = now_ms - 30 * MINUTE_MS;
        }),
        client("dave_depleted", 2, &|c| {
            (c.down, c.total, c.switched_off) = (30 * GIB, 30 * GIB, true);
            c.last_online_ms = now_ms - 5 * HOUR_MS;
        }),
        client("expired_2d", 1, &|c| {
            (c.down, c.expiry_ms, c.switched_off) = (12 * GIB, now_ms - 2 * DAY_MS, true);
            c.last_online_ms = now_ms - 2 * DAY_MS;
        }),
        client("frank_off", 2, &|c| {
            c.enable = false;
            c.comment = "not paid".to_owned();
        }),
        client("grace_delayed", 1, &|c| {
            c.expiry_ms = -30 * DAY_MS;
            c.total = 20 * GIB;
        }),
        client("heidi_renews", 3, &|c| {
            (c.down, c.total, c.expiry_ms) = (3 * GIB, 10 * GIB, now_ms + 12 * HOUR_MS);
            c.reset_days = 30;
        }),
        client("ivan_2h", 3, &|c| {
            (c.down, c.expiry_ms) = (50 * GIB, now_ms + 2 * HOUR_MS);
            seen(c, "198.51.100.9");
        }),
        client("judy_year9999", 3, &|c| c.expiry_ms = 253_402_300_799_000),
        client("ключ-🔑", 1, &|c| c.comment = "кириллица и emoji".to_owned()),
        client("o'\"quote", 2, &|c| c.last_online_ms = now_ms - DAY_MS),
        client("ken_new", 4, &|c| c.has_stats = false),
    ];
    if generation.is_v3() {
        all.push(client("leo_shared", 3, &|c| {
            c.inbound_ids = vec![1, 2, 3];
            (c.up, c.down, c.total) = (GIB, 9 * GIB, 20 * GIB);
            (c.bytes_per_second, c.busy) = (150_000, 120);
        }));
        all.push(client("mia_on_node", 6, &|c| {
            c.down = 2 * GIB;
            seen(c, "198.51.100.10");
        }));
    }
    all.push(if generation >= Generation::V3_1 {
        client("orphan", 1, &|c| c.inbound_ids.clear())
    } else {
        client("left_over", 4, &|c| c.in_settings = false)
    });
    all
}

/// A client with a random name and state.
fn extra(rng: &mut Rng, options: &Options, number: usize, now_ms: i64) -> Client {
    let id = i64::try_from(number).unwrap_or(i64::MAX - 1) + 1;
    let mut client = Client::new(&format!("user_{number:06}"), id, now_ms - rng.i64(0..400) * DAY_MS);
    let count = if options.generation.is_v3() { options.inbounds_per_client.clamp(1, 4) } else { 1 };
    client.inbound_ids = INBOUNDS.into_iter().cycle().skip(number % 4).take(count).collect();
    client.owner = client.inbound_ids.first().copied().unwrap_or(1);
    let quota = rng.choice([5, 10, 20, 50, 100]).unwrap_or(50) * GIB;
    client.total = if rng.u8(0..4) > 0 { quota } else { 0 };
    // Mostly little, as people use little of what they may; a few use all of it.
    let chance = rng.u64(0..1040);
    let per_mille = if chance < 1000 { few(chance, 1000) * 19 / 20 } else { chance };
    client.down = quota / 1000 * per_mille;
    client.up = client.down / 10;
    client.all_time = client.used() * rng.u64(1..5);
    client.expiry_ms = match rng.u8(0..100) {
        0..20 => 0,
        20..25 => -30 * DAY_MS,
        25..35 => now_ms - rng.i64(0..60 * DAY_MS),
        _ => now_ms + rng.i64(0..90 * DAY_MS),
    };
    client.enable = rng.u8(0..100) > 4;
    client.switched_off = client.is_depleted(now_ms);
    client.reset_days = if rng.u8(0..10) == 0 { 30 } else { 0 };
    if client.switched_off {
        client.reset_days = 0;
    }
    client.last_online_ms = match rng.u8(0..100) {
        _ if client.expiry_ms < 0 => 0,
        0..20 if client.enable && !client.switched_off => now_ms,
        0..90 => now_ms - rng.i64(MINUTE_MS..20 * DAY_MS),
        _ => 0,
    };
    client.bytes_per_second = 1000 << rng.u32(0..9);
    client.busy = if client.expiry_ms < 0 { 2 } else { rng.u8(4..160) };
    client.limit_ip = if rng.u8(0..5) == 0 { 2 } else { 0 };
    if client.last_online_ms == now_ms {
        let address = format!("203.0.{}.{}", rng.u8(..), rng.u8(..));
        client.ips.push((address, now_ms.div_euclid(1000) - rng.i64(0..600)));
    }
    client
}
