//! PasarGuard, Marzban's successor, and Marzban's past, as far as they answer in other words.

use std::{future::pending, time::Duration};

use proxymeter::{
    model::{Expiry, Outcome, Part, Report, System, UserStatus},
    simulator::marzban::{Flavour, Options, Panel},
    upstream::{Upstream, marzban::config::Login},
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::common::{PATIENT, RECORDED_AT, at, config, password, read_once, reason, upstream};

/// A simulated panel; it stops when dropped.
pub(super) struct Simulated {
    pub(super) panel: Panel,
    pub(super) url: String,
    _server: JoinSet<()>,
}

impl Simulated {
    pub(super) async fn of(flavour: Flavour) -> Self {
        let panel = Panel::new(Options { flavour, ..Options::default() }, || RECORDED_AT.as_millis());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(panel.clone().serve(listener, pending()));
        Simulated { panel, url, _server: server }
    }

    fn upstream(&self, login: Login) -> Upstream {
        upstream(&config(&self.url, login), PATIENT)
    }
}

pub(super) fn root() -> Login {
    password("root", "root-password")
}

fn counted(report: &Report) -> Vec<(UserStatus, usize)> {
    report.counts.by_status.iter().map(|(status, n)| (*status, usize::try_from(*n).unwrap())).collect()
}

#[tokio::test]
async fn pasarguard_is_told_by_its_words_and_read_in_them() {
    let simulated = Simulated::of(Flavour::PasarGuard).await;
    let report = read_once(simulated.upstream(root())).await;

    // It has no core beside the panel, and its nodes count their traffic themselves.
    let parts: Vec<_> = report.parts.keys().copied().collect();
    assert_eq!(
        parts,
        [Part::System, Part::Nodes, Part::NodeStats, Part::Admins, Part::Inbounds, Part::Users]
    );
    assert!(report.parts.values().all(|state| state.outcome == Outcome::Up), "{:?}", report.parts);
    let identity = report.identity.as_ref().unwrap();
    assert_eq!(
        (identity.system, &*identity.version, &*identity.generation),
        (System::PasarGuard, "5.2.1", "5")
    );

    let totals = simulated.panel.totals();
    assert_eq!(
        counted(&report),
        [
            (UserStatus::Active, totals.active),
            (UserStatus::OnHold, totals.on_hold),
            (UserStatus::Disabled, totals.disabled),
            (UserStatus::Expired, totals.expired),
            (UserStatus::Limited, totals.limited),
        ]
    );
    assert!(report.counts.online.is_some());
    assert_eq!(report.counts.seen_within_day, None);
    assert!(report.host.disk_size.is_some() && report.host.uptime.is_some());
    let (uplink, downlink) = simulated.panel.bandwidth();
    assert_eq!(report.proxy_uplink.unwrap().value(), uplink);
    assert_eq!(report.proxy_downlink.unwrap().value(), downlink);

    assert_eq!(report.nodes.len(), 4);
    assert!(report.nodes.iter().all(|node| node.uplink.is_some() && node.downlink.is_some()));
    assert!(report.nodes.iter().any(|node| node.uplink.is_some_and(|bytes| bytes.value() > 0)));
    assert!(report.usage.is_empty());
    assert!(report.admins.iter().any(|admin| &*admin.name == "reseller" && admin.used.is_some()));
}

#[tokio::test]
async fn pasarguards_users_are_read_with_dates_instead_of_seconds() {
    let simulated = Simulated::of(Flavour::PasarGuard).await;
    let report = read_once(simulated.upstream(root())).await;
    let users = report.users.list();
    assert_eq!(users.len(), simulated.panel.totals().users);
    assert_eq!(users.iter().map(|user| user.used).sum::<u64>(), simulated.panel.totals().used_traffic);
    let mut dated = 0;
    for user in users.iter() {
        let known = simulated.panel.user(&user.name).unwrap();
        match (user.expiry, known.expire) {
            (Expiry::At(at), Some(expire)) => {
                assert_eq!(at.as_secs(), expire, "{}", user.name);
                dated += 1;
            }
            (Expiry::At(_), None) => panic!("{} has no end", user.name),
            (_, expire) => assert!(expire.is_none_or(|expire| expire == 0), "{}", user.name),
        }
    }
    assert!(dated > 10, "{dated} with a date");
}

#[tokio::test]
async fn pasarguards_traffic_by_node_comes_by_id_and_takes_the_nodes_names() {
    let simulated = Simulated::of(Flavour::PasarGuard).await;
    let mut upstream = simulated.upstream(root());
    let mut report = Report::new("next");
    for part in [Part::System, Part::Nodes, Part::Usage] {
        let step = upstream.read(part, at(RECORDED_AT)).await.unwrap();
        step.facts.into_iter().for_each(|fact| report.merge(fact, at(RECORDED_AT)));
    }
    let (nodes, usage) = (&report.nodes, &report.usage);
    assert_eq!(&*usage[0].node, "master");
    assert!(usage.len() > 1);
    for traffic in &usage[1..] {
        assert!(nodes.iter().any(|node| node.label == traffic.node), "{}", traffic.node);
    }
}

#[tokio::test]
async fn pasarguard_takes_a_key() {
    let simulated = Simulated::of(Flavour::PasarGuard).await;
    let report = read_once(simulated.upstream(Login::ApiKey("pg_key_simulated".into()))).await;
    assert!(report.parts.values().all(|state| state.outcome == Outcome::Up), "{:?}", report.parts);
    assert_eq!(simulated.panel.logins(), 0);

    let report = read_once(simulated.upstream(Login::ApiKey("pg_key_other".into()))).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("auth")));
}

#[tokio::test]
async fn marzban_up_to_0_7_is_asked_for_the_counts_it_does_not_tell() {
    let simulated = Simulated::of(Flavour::Marzban07).await;
    let report = read_once(simulated.upstream(root())).await;
    let totals = simulated.panel.totals();
    assert_eq!(
        counted(&report),
        [
            (UserStatus::Active, totals.active),
            (UserStatus::Disabled, totals.disabled),
            (UserStatus::Expired, totals.expired),
            (UserStatus::Limited, totals.limited),
            (UserStatus::OnHold, totals.on_hold),
        ]
    );
    assert!(report.parts.values().all(|state| state.outcome == Outcome::Up), "{:?}", report.parts);
    assert_eq!((report.counts.online, report.counts.seen_within_day), (None, None));
    assert!(report.admins.iter().all(|admin| admin.used.is_none()));
    assert_eq!(simulated.panel.wire.max_in_flight(), 1);
}

#[tokio::test]
async fn the_counts_that_take_a_request_each_are_asked_for_every_five_minutes() {
    let simulated = Simulated::of(Flavour::Marzban07).await;
    let mut upstream = simulated.upstream(root());
    for (seconds, asked) in [(0, 4), (30, 4), (299, 4), (300, 8)] {
        let mut now = at(RECORDED_AT);
        now.uptime = Duration::from_secs(seconds);
        upstream.read(Part::System, now).await.unwrap();
        assert_eq!(simulated.panel.wire.requests_to("/api/users?status="), asked, "after {seconds} s");
    }
}
