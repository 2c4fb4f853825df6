//! A panel made from a seed: admins, nodes with 45 days of history, and users.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::super::few;
use super::options::Options;
use super::state::{
    Admin, NextPlan, Node, NodeStats, NodeStatus, ResetStrategy, Roster, State, Status, Traffic, User,
    scatter,
};

const GIB: u64 = 1 << 30;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What the panel recorded before its oldest hour bucket.
const OLD_UPLINK: u64 = 1_234_000_000_000;
const OLD_DOWNLINK: u64 = 9_877_000_000_000;

const ROOT: usize = 0;
const RESELLER: usize = 1;
const RESELLER_2: usize = 2;

impl State {
    pub(super) fn seeded(options: Options, now_ms: i64) -> State {
        let mut rng = Rng::with_seed(options.seed);
        let nodes = nodes(&mut rng, options.nodes, now_ms);
        let users = users(&mut rng, options.users, now_ms);
        let recorded = nodes.iter().flat_map(|node| node.buckets.values());
        let (up, down) = recorded
            .fold((OLD_UPLINK, OLD_DOWNLINK), |(up, down), hour| (up + hour.uplink, down + hour.downlink));
        let mut admins = admins(&options);
        for (index, admin) in admins.iter_mut().enumerate() {
            let own = users.iter().filter(|user| user.owner == Some(index));
            admin.users_usage = own.map(User::lifetime_used_traffic).sum();
        }
        State {
            flavour: options.flavour,
            seed: options.seed,
            links_per_user: options.links_per_user,
            token_lifetime_s: options
                .token_lifetime
                .map(|lifetime| i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / 2)),
            api_key: options.api_key,
            started_at_ms: now_ms,
            users: Roster::of(users),
            nodes,
            admins,
            core_started: true,
            recording: true,
            incoming_bandwidth: up,
            outgoing_bandwidth: down,
            incoming_speed: 0,
            outgoing_speed: 0,
            tokens: Vec::new(),
            answers: 0,
            logins: 0,
            refused_logins: 0,
            rows_examined: 0,
        }
    }
}

fn admins(options: &Options) -> Vec<Admin> {
    let admin = |username: &str, password: &str| Admin {
        username: username.to_owned(),
        password: password.to_owned(),
        is_sudo: false,
        disabled: false,
        telegram_id: None,
        discord_webhook: None,
        users_usage: 0,
        password_reset_at_ms: None,
    };
    vec![
        Admin { is_sudo: true, ..admin(&options.username, &options.password) },
        admin(&options.reseller, &options.reseller_password),
        Admin {
            telegram_id: Some(123_456_789),
            discord_webhook: Some("https://discord.com/api/webhooks/000/example"),
            ..admin("reseller2", "reseller2-password")
        },
    ]
}

fn nodes(rng: &mut Rng, count: usize, now_ms: i64) -> Vec<Node> {
    let named = [
        ("Master", 1.0, "25.1.1", NodeStatus::Connected, None),
        ("DE-Frankfurt-1", 1.0, "25.1.1", NodeStatus::Connected, None),
        ("NL-Amsterdam-2", 1.5, "24.12.31", NodeStatus::Connected, None),
        ("FI-Helsinki-3", 1.0, "25.1.1", NodeStatus::Error, Some("[Errno 111] Connection refused")),
        ("TR-Istanbul-4", 2.0, "25.1.1", NodeStatus::Disabled, None),
        ("گره تهران «5»", 1.0, "25.1.1", NodeStatus::Connecting, None),
    ];
    let hour_s = now_ms.div_euclid(1000).div_euclid(HOUR) * HOUR;
    (0..)
        .take(count.saturating_add(1))
        .map(|id: i64| {
            let place = usize::try_from(id).unwrap_or(usize::MAX);
            let (name, usage_coefficient, xray_version, status, message) = match named.get(place) {
                Some((name, coefficient, version, status, message)) => {
                    ((*name).to_owned(), *coefficient, *version, *status, message.map(str::to_owned))
                }
                None => (format!("Node-{id}"), 1.0, "25.1.1", NodeStatus::Connected, None),
            };
            let hours = match status {
                NodeStatus::Disabled | NodeStatus::Connecting => 0,
                // It has been away for two days.
                NodeStatus::Error => 43 * 24,
                NodeStatus::Connected | NodeStatus::Limited => 45 * 24,
            };
            let newest_s = if status == NodeStatus::Error { hour_s - 2 * DAY } else { hour_s };
            let mut buckets = BTreeMap::new();
            for back in 0..hours {
                let uplink = rng.u64(GIB / 64..GIB / 8);
                let traffic = Traffic { uplink, downlink: uplink * 10 + rng.u64(0..GIB / 16) };
                buckets.insert(newest_s - back * HOUR, traffic);
            }
            let stats = Some(node_stats(id));
            Node { id, name, usage_coefficient, xray_version, status, message, stats, buckets }
        })
        .collect()
}

/// Of the id alone: the other seeded values stay as they were without it.
fn node_stats(id: i64) -> NodeStats {
    let chance = |number, below| scatter(id.unsigned_abs(), number) % below;
    NodeStats {
        mem_total: 2 * GIB,
        mem_used: GIB / 4 + chance(0, GIB),
        cpu_cores: 2,
        cpu_usage: f64::from(u32::try_from(chance(1, 900)).unwrap_or(0)) / 10.0,
        incoming_bandwidth_speed: chance(2, GIB / 64),
        outgoing_bandwidth_speed: chance(3, GIB / 64),
        uptime: 86_400 + chance(4, 30 * 86_400),
    }
}

fn users(rng: &mut Rng, count: usize, now_ms: i64) -> Vec<User> {
    let mut users: Vec<User> = cast(now_ms).into_iter().take(count).collect();
    for number in users.len()..count {
        users.push(extra(rng, number, now_ms));
    }
    users
}

/// Users whose names describe them.
fn cast(now_ms: i64) -> Vec<User> {
    let now_s = now_ms.div_euclid(1000);
    let ago = |seconds: i64| Some(now_ms - seconds * 1000);
    let user = |username: &str, owner: usize, fill: &dyn Fn(&mut User)| {
        let mut user = User::new(username, now_ms - 60 * DAY * 1000);
        user.owner = Some(owner);
        fill(&mut user);
        user
    };
    vec![
        user("alice", ROOT, &|u| {
            u.used_traffic = 132_070_244_359;
            u.online_at_ms = ago(40);
            u.subscribed_at_ms = ago(5 * HOUR);
            (u.bytes_per_second, u.busy) = (600_000, 160);
        }),
        user("bob_85pct", ROOT, &|u| {
            u.expire = Some(now_s + 20 * DAY);
            (u.used_traffic, u.data_limit) = (GIB * 85 / 2, Some(50 * GIB));
            u.online_at_ms = ago(2 * MINUTE);
            u.subscribed_at_ms = ago(2 * DAY);
            (u.bytes_per_second, u.busy) = (200_000, 100);
        }),
        user("carol_97pct", RESELLER, &|u| {
            u.expire = Some(now_s + 12 * DAY);
            (u.used_traffic, u.data_limit) = (97 * GIB, Some(100 * GIB));
            u.online_at_ms = ago(30 * MINUTE);
            (u.bytes_per_second, u.busy) = (300_000, 100);
        }),
        user("dave_100pct", RESELLER, &|u| {
            u.status = Status::Limited;
            u.expire = Some(now_s + 9 * DAY);
            (u.used_traffic, u.data_limit) = (30 * GIB, Some(30 * GIB));
            u.online_at_ms = ago(MINUTE);
        }),
        user("erin_limited", ROOT, &|u| {
            u.status = Status::Limited;
            u.expire = Some(now_s + 25 * DAY);
            (u.used_traffic, u.data_limit) = (10 * GIB + 4096, Some(10 * GIB));
            u.data_limit_reset_strategy = ResetStrategy::Month;
            u.reset_at_ms = now_ms - 5 * DAY * 1000;
            u.online_at_ms = ago(DAY);
        }),
        user("frank_expired3d", RESELLER, &|u| {
            u.status = Status::Expired;
            u.expire = Some(now_s - 3 * DAY);
            (u.used_traffic, u.data_limit) = (12 * GIB, Some(40 * GIB));
            u.online_at_ms = ago(3 * DAY);
        }),
        user("heidi_disabled", ROOT, &|u| {
            u.status = Status::Disabled;
            (u.used_traffic, u.data_limit) = (GIB, Some(20 * GIB));
            u.online_at_ms = ago(9 * DAY);
        }),
        user("ivan_onhold", ROOT, &|u| {
            u.status = Status::OnHold;
            u.data_limit = Some(60 * GIB);
            u.on_hold_expire_duration = Some(30 * DAY);
        }),
        user("judy_onhold_to", RESELLER_2, &|u| {
            u.status = Status::OnHold;
            u.on_hold_expire_duration = Some(30 * DAY);
            u.on_hold_timeout_ms = Some((now_s + 10 * DAY) * 1000);
        }),
        user("mallory_2d", RESELLER, &|u| {
            u.expire = Some(now_s + 2 * DAY);
            (u.used_traffic, u.data_limit) = (6 * GIB, Some(25 * GIB));
            u.online_at_ms = ago(3 * HOUR);
            (u.bytes_per_second, u.busy) = (100_000, 60);
        }),
        user("niaj_2h", ROOT, &|u| {
            u.expire = Some(now_s + 2 * HOUR);
            u.used_traffic = 50 * GIB;
            u.online_at_ms = ago(HOUR);
            (u.bytes_per_second, u.busy) = (400_000, 120);
        }),
        user("olivia_unicode", RESELLER_2, &|u| {
            (u.used_traffic, u.data_limit) = (2 * GIB, Some(15 * GIB));
            u.note = Some("مشترک ویژه 🌟 — оплата до 1-го числа; 备注：家庭套餐".into());
            u.online_at_ms = ago(7 * HOUR);
            (u.bytes_per_second, u.busy) = (50_000, 40);
        }),
        user("peggy_nextplan", ROOT, &|u| {
            u.expire = Some(now_s + 4 * DAY);
            (u.used_traffic, u.data_limit) = (4 * GIB, Some(5 * GIB));
            u.next_plan = Some(NextPlan {
                data_limit: Some(10 * GIB),
                expire: Some(now_s + 34 * DAY),
                add_remaining_traffic: true,
                fire_on_either: true,
            });
            u.online_at_ms = ago(2 * HOUR);
            (u.bytes_per_second, u.busy) = (60_000, 60);
        }),
        user("victor_monthly", ROOT, &|u| {
            (u.used_traffic, u.data_limit) = (11 * GIB, Some(80 * GIB));
            u.used_before_resets = 215 * GIB;
            u.data_limit_reset_strategy = ResetStrategy::Month;
            u.reset_at_ms = now_ms - 11 * DAY * 1000;
            u.online_at_ms = ago(4 * MINUTE);
            (u.bytes_per_second, u.busy) = (250_000, 110);
        }),
        user("User.Name-1@x.com", ROOT, &|u| {
            u.note = Some("quotes \" backslash \\ newline\nsecond line, brace }".into());
        }),
        user("autodel_30d", ROOT, &|u| {
            u.status = Status::Expired;
            u.expire = Some(now_s - 10 * DAY);
            u.used_traffic = 1;
            u.auto_delete_in_days = Some(30);
        }),
        user("orphan_noadmin", ROOT, &|u| {
            u.owner = None;
            (u.used_traffic, u.data_limit) = (GIB, Some(3 * GIB));
        }),
        user("limited_and_past", ROOT, &|u| {
            u.status = Status::Limited;
            u.expire = Some(now_s - 2 * DAY);
            (u.used_traffic, u.data_limit) = (5 * GIB, Some(4 * GIB));
        }),
        user("legacy_zeros", ROOT, &|u| {
            u.expire = Some(0);
            (u.used_traffic, u.data_limit) = (2 * GIB, Some(0));
        }),
    ]
}

/// A user with a random name and state.
fn extra(rng: &mut Rng, number: usize, now_ms: i64) -> User {
    const SHAPES: [&str; 5] = ["user", "ali", "tg", "Family", "vip"];
    let now_s = now_ms.div_euclid(1000);
    let shape = SHAPES.get(number % SHAPES.len()).copied().unwrap_or("user");
    let username = match number % 40 {
        7 => format!("{shape}.{number:06}@mail.example"),
        19 => format!("{shape}-{number:06}"),
        _ => format!("{shape}_{number:06}"),
    };
    let mut user = User::new(&username, now_ms - rng.i64(3600..400 * DAY) * 1000 - rng.i64(0..1000));
    user.owner = match rng.u8(0..100) {
        0..58 => Some(ROOT),
        58..83 => Some(RESELLER),
        83..98 => Some(RESELLER_2),
        _ => None,
    };
    user.status = match rng.u8(0..100) {
        0..74 => Status::Active,
        74..86 => Status::Expired,
        86..92 => Status::Limited,
        92..97 => Status::OnHold,
        _ => Status::Disabled,
    };
    let quota = rng.choice([5, 10, 20, 30, 50, 100, 200]).unwrap_or(50) * GIB;
    user.data_limit = if user.status == Status::Limited || rng.u8(0..4) > 0 { Some(quota) } else { None };
    let per_mille = match user.status {
        Status::Limited => 1000,
        Status::OnHold => 0,
        _ if rng.u8(0..100) < 8 => 850 + few(rng.u64(0..150), 150) * 4 / 5,
        _ => few(rng.u64(0..850), 850),
    };
    user.used_traffic = quota / 1000 * per_mille;
    if user.status == Status::Limited {
        user.used_traffic = quota + rng.u64(0..1 << 24);
    }
    user.expire = match (user.status, rng.u8(0..100)) {
        (Status::OnHold, _) => None,
        (Status::Expired, _) => Some(now_s - rng.i64(MINUTE..60 * DAY)),
        (_, 0..15) => None,
        (_, 15..20) => Some(now_s + rng.i64(HOUR..3 * DAY)),
        _ => Some(now_s + rng.i64(3 * DAY..90 * DAY)),
    };
    if user.status == Status::OnHold {
        user.on_hold_expire_duration = Some(rng.choice([7, 30, 90]).unwrap_or(30) * DAY);
        user.on_hold_timeout_ms = rng.bool().then(|| (now_s + rng.i64(DAY..30 * DAY)) * 1000);
        user.edited_at_ms = now_ms;
    }
    if user.used_traffic > 0 {
        let away_s = match rng.u8(0..100) {
            0..45 => rng.i64(0..10 * MINUTE),
            45..75 => rng.i64(10 * MINUTE..DAY),
            _ => rng.i64(DAY..40 * DAY),
        };
        let away_s = if user.status == Status::Active { away_s } else { away_s + 2 * HOUR };
        user.online_at_ms = Some(now_ms - away_s * 1000 - rng.i64(0..1000));
        user.subscribed_at_ms = rng.bool().then(|| now_ms - rng.i64(0..30 * DAY) * 1000);
    }
    if rng.u8(0..100) >= 8 {
        user.bytes_per_second = 1000 << rng.u32(0..10);
        user.busy = if user.status == Status::OnHold { 3 } else { rng.u8(4..160) };
    }
    if rng.u8(0..5) == 0 {
        user.data_limit_reset_strategy = rng
            .choice([ResetStrategy::Day, ResetStrategy::Week, ResetStrategy::Month])
            .unwrap_or(ResetStrategy::Month);
        let period_ms = user.data_limit_reset_strategy.period_ms().unwrap_or(DAY * 1000);
        user.reset_at_ms = now_ms - rng.i64(0..period_ms);
        user.used_before_resets = quota / 10 * rng.u64(0..40);
    }
    user.note = match number % 50 {
        3 => Some(format!("paid until \"{}\"\nask @{shape}{number}", rng.u8(1..29)).into()),
        11 => Some("🇮🇷 خانواده 👨‍👩‍👧".into()),
        23 => Some(format!("invoice {number}").into()),
        _ => None,
    };
    user
}
