//! Every generation that is simulated, with every way to log in: the client finds out what it is, reads what the
//! generations share alike, and logs in once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    clock::Clock,
    model::{Counter, Expiry, Host, Inbound, Outcome, Part, Report, Timestamp, UserStatus},
    simulator::xui::{Generation, Options, Panel},
    upstream::{
        Upstream,
        xui::config::{Login, Password, TotpSecret},
    },
};
use tokio::net::TcpListener;

use crate::common::{PATIENT, read_at, simulated::RUNTIME, xui::config_of};

const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// A panel and its URL. Its clock is ahead of ours by so many milliseconds.
pub(super) async fn serve(options: &Options, ahead: &Arc<AtomicI64>) -> (Panel, String) {
    let (clock, ahead) = (Clock::system(), Arc::clone(ahead));
    let panel = Panel::new(options, move || clock.now().wall.as_millis() + ahead.load(Ordering::SeqCst));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{}", listener.local_addr().unwrap(), options.base_path);
    RUNTIME.spawn(panel.clone().serve(listener, std::future::pending()));
    panel.advance(60_000);
    (panel, url)
}

pub(super) fn password(options: &Options) -> Login {
    Login::Password(Password {
        username: options.username.clone(),
        password: options.password.as_str().into(),
        totp: options.totp_secret.as_deref().map(|secret| TotpSecret::parse(&secret.into()).unwrap()),
        login_secret: options.login_secret.as_deref().map(Into::into),
    })
}

/// A client that does not wait for a new sample.
pub(super) fn client(url: &str, login: Login) -> Upstream {
    Upstream::xui(&config_of(url, login), PATIENT).unwrap()
}

pub(super) async fn scrape(url: &str, login: Login) -> Report {
    read_at(client(url, login), Clock::system()).await
}

/// What each generation says of the same panel.
#[derive(Debug, PartialEq)]
struct Shared {
    host: Host,
    core: (Option<bool>, Option<String>),
    users: BTreeMap<String, SharedUser>,
    inbounds: BTreeMap<String, SharedInbound>,
}

/// Its status, limit and expiry.
type SharedUser = (UserStatus, Option<u64>, String);
/// Its protocol, port, remark, limit and expiry, and whether it is on.
type SharedInbound = (String, String, String, Option<u64>, Option<String>, Option<bool>);

/// `seeded` is when the panel was made, up to a minute.
fn shared(report: &Report, seeded: Timestamp) -> Shared {
    let expiry = |expiry| match expiry {
        Expiry::At(at) => {
            let minutes = at.as_millis().saturating_sub(seeded.as_millis()) / 60_000;
            format!("in {} h", (minutes + 30).div_euclid(60))
        }
        other => format!("{other:?}"),
    };
    let users = report
        .users
        .list()
        .iter()
        .map(|user| (user.name.to_string(), (user.status, user.limit, expiry(user.expiry))));
    let inbounds = report.inbounds.iter().map(|inbound| {
        let Inbound { label, protocol, port, remark, enabled, limit, .. } = inbound;
        let (protocol, port, remark) = (protocol.clone(), port.clone(), remark.clone());
        (label.to_string(), (protocol, port, remark, *limit, inbound.expiry.map(expiry), *enabled))
    });
    let core = report.core.as_ref().unwrap();
    let host = Host {
        // One says more of its cores, and some traffic passes.
        cpu_cores: None,
        uptime: None,
        network_received: None,
        network_sent: None,
        ..report.host.clone()
    };
    Shared {
        host,
        core: (core.up, core.version.clone()),
        users: users.collect(),
        inbounds: inbounds.collect(),
    }
}

/// The parts that a generation has.
fn parts(generation: Generation, is_token: bool) -> Vec<Part> {
    let mut parts = vec![Part::System, Part::Core];
    if generation >= Generation::V3_0_0 {
        parts.extend([Part::Nodes, Part::NodeStats]);
    }
    parts.extend([Part::Inbounds, Part::Users]);
    if !matches!(generation, Generation::Vaxilu | Generation::V1_7) {
        parts.push(Part::Online);
        // 3.0.0 shows a token no traffic of outbounds, and has no probes yet.
        if !(is_token && generation == Generation::V3_0_0) {
            parts.push(Part::Outbounds);
        }
    }
    parts.sort();
    parts
}

#[tokio::test]
async fn every_generation_is_read_with_every_login() {
    let mut first: Option<Shared> = None;
    for generation in Generation::ALL {
        let is_old = generation == Generation::V1_7;
        let has_totp = generation >= Generation::V2_6;
        let options = Options {
            generation,
            base_path: "/c4naryb1rd/".to_owned(),
            login_secret: is_old.then(|| "old-secret".to_owned()),
            totp_secret: has_totp.then(|| TOTP.to_owned()),
            ..Options::default()
        };
        let seeded = Clock::system().now().wall;
        let (panel, url) = serve(&options, &Arc::default()).await;
        let mut logins = vec![password(&options)];
        if generation >= Generation::V3_0_0 {
            logins.push(Login::Token(options.token.as_str().into()));
        }
        for login in logins {
            let is_token = matches!(login, Login::Token(_));
            let report = scrape(&url, login).await;
            assert_eq!(report.up, Some(true), "{generation:?} {:?}", report.parts);
            assert!(
                report.parts.keys().eq(&parts(generation, is_token)),
                "{generation:?} {:?}",
                report.parts
            );
            let failed: Vec<_> =
                report.parts.iter().filter(|(_, state)| state.outcome != Outcome::Up).collect();
            assert!(failed.is_empty(), "{generation:?} {failed:?}");
            assert_like(&report, &panel, generation, is_token);

            // What the generations share is the same in each.
            let mut found = shared(&report, seeded);
            let first = first.get_or_insert_with(|| shared(&report, seeded));
            // The first of all knows no users.
            if generation == Generation::Alireza {
                first.users = found.users.clone();
            }
            // Each generation has some of its own.
            let is_fixed = |name: &str| !name.starts_with("user_");
            found.users.retain(|name, _| is_fixed(name) && first.users.contains_key(name));
            found.inbounds.retain(|label, _| first.inbounds.contains_key(label));
            let own = ["left_over", "orphan"];
            let mut expected = Shared {
                host: first.host.clone(),
                core: first.core.clone(),
                users: first.users.clone(),
                inbounds: first.inbounds.clone(),
            };
            expected.users.retain(|name, _| {
                is_fixed(name)
                    && generation != Generation::Vaxilu
                    && (!own.contains(&name.as_str()) || found.users.contains_key(name))
            });
            assert_eq!(found, expected, "{generation:?}");
        }
        assert_eq!((panel.logins(), panel.refused_logins()), (1, 0), "{generation:?}");
    }
}

/// Compares a report with the panel itself.
fn assert_like(report: &Report, panel: &Panel, generation: Generation, is_token: bool) {
    assert_eq!(report.inbounds.len(), panel.inbounds().len(), "{generation:?}");
    for inbound in panel.inbounds() {
        let read = report.inbounds.iter().find(|read| *read.label == *inbound.tag).unwrap();
        let value = |counter: Option<Counter>| counter.map(Counter::value);
        assert_eq!(
            (value(read.uplink), value(read.downlink), read.enabled),
            (Some(inbound.up), Some(inbound.down), Some(inbound.enable)),
            "{generation:?} {}",
            inbound.tag
        );
    }
    let probed = generation >= Generation::V3_0;
    // A token of before 3.3 may not read their traffic.
    let counted = !(is_token && generation <= Generation::V3_1);
    let outbounds = match generation {
        Generation::Vaxilu | Generation::V1_7 => Vec::new(),
        _ => report.outbounds.iter().map(|outbound| (outbound.label.to_string(), outbound.up)).collect(),
    };
    let observed = ["blocked", "direct", "warp-🧟"].into_iter().zip([None, Some(true), Some(false)]);
    let mut expected: Vec<_> =
        observed.map(|(label, up)| (label.to_owned(), up.filter(|_| probed))).collect();
    expected.retain(|(_, up)| counted || up.is_some());
    if matches!(generation, Generation::Vaxilu | Generation::V1_7) {
        expected.clear();
    }
    assert_eq!(outbounds, expected, "{generation:?}");
    let nodes: usize = match generation {
        _ if generation >= Generation::V3_6 => 4,
        _ if generation >= Generation::V3_0_0 => 3,
        _ => 0,
    };
    assert_eq!(report.nodes.len(), nodes, "{generation:?}");

    // The list of 3.1.0 lacks a client that no inbound has, and the first panel has no clients.
    let mut clients = panel.clients();
    clients.retain(|client| {
        generation != Generation::Vaxilu && (generation != Generation::V3_1 || client.email != "orphan")
    });
    assert_eq!(report.users.list().len(), clients.len(), "{generation:?}");
    let has_last_online = generation >= Generation::V2_6;
    for client in &clients {
        let user = report.users.list().iter().find(|user| *user.name == *client.email).unwrap();
        let words = format!("{generation:?} {}", client.email);
        assert_eq!((user.used, user.limit.unwrap_or(0)), (client.used(), client.total), "{words}");
        let (up, down) = (user.extra.uplink.map(Counter::value), user.extra.downlink.map(Counter::value));
        let counted = client.has_stats.then_some((client.up, client.down));
        assert_eq!(up.zip(down).unwrap_or_default(), counted.unwrap_or_default(), "{words}");
        // The first of them does not know it yet.
        assert_eq!(user.renews, client.reset_days > 0 && generation != Generation::V1_7, "{words}");
        let seen = client.last_online_ms;
        let seen = (has_last_online && seen > 0).then(|| Timestamp::from_millis(seen));
        assert_eq!(user.last_online.at(), seen, "{words}");
        let most = u64::try_from(client.limit_ip).ok().filter(|most| *most > 0 && client.in_settings);
        assert_eq!(user.extra.devices_limit, most, "{words}");
    }
    if report.parts.contains_key(&Part::Online) {
        assert!(!report.online.is_empty());
        assert_eq!(report.online.len(), panel.totals().online, "{generation:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_never_locks_the_account() {
    for generation in Generation::ALL {
        // The poll from which on it is wrong, and how often it is tried: after 0, 15, 45, 105, 225 and 465 minutes.
        for (wrong_from, tries) in [(0, 6), (100, 5)] {
            let options = Options { generation, ..Options::default() };
            let ahead = Arc::default();
            let (panel, url) = serve(&options, &ahead).await;
            let mut upstream = client(&url, password(&options));
            let start = Clock::system().now();
            let mut tried = Vec::new();
            for poll in 0..1000_u32 {
                ahead.store(i64::from(poll) * 30_000, Ordering::SeqCst);
                if poll == wrong_from {
                    panel.change_password("another");
                    panel.expire_sessions();
                }
                let before = panel.refused_logins();
                for part in [Part::System, Part::Online, Part::Users] {
                    drop(upstream.read(part, start.after(Duration::from_secs(30) * poll)).await);
                }
                if panel.refused_logins() > before {
                    tried.push(poll);
                }
            }
            let words = format!("{generation:?} from {wrong_from}");
            assert_eq!((panel.logins(), panel.lockouts()), (u64::from(wrong_from > 0), 0), "{words}");
            assert_eq!(
                (panel.refused_logins(), tried.len()),
                (tries, usize::try_from(tries).unwrap()),
                "{words}"
            );
            assert!(tried.windows(2).all(|two| two[1] - two[0] >= 30), "{words} {tried:?}");
            // At once when the configuration changes, and with the right one: the account is not locked.
            let right = Options { password: "another".to_owned(), ..options };
            client(&url, password(&right)).read(Part::System, start).await.unwrap();
        }
    }
}
