//! Tokens of 3x-ui 3.7 with a narrow scope: what they may read is read, and what they may not is refused, not failed.

use std::{sync::Arc, time::Duration};

use proxymeter::{
    clock::Clock,
    model::{Fact, Outcome, Part, Report},
    simulator::xui::{Generation, Options, Scope, Thresholds},
    upstream::{Upstream, xui::config::Login},
};

use super::{recorded::read, simulated};
use crate::common::{
    PATIENT, at,
    server::{Answer, Server},
    xui::{BASE, Panel, client, token},
};

fn refused(report: &Report) -> Vec<&'static str> {
    let refused = report.parts.iter().filter(|(_, state)| state.outcome == Outcome::Refused);
    refused.map(|(part, _)| part.label()).collect()
}

#[tokio::test]
async fn a_monitor_token_gives_the_host_the_probes_and_the_number_online() {
    let panel = Panel::of("main").with_scope("monitor");
    let server = panel.clone().start();
    let report = read(&panel, &server, true).await;
    assert_eq!(report.up, Some(true), "{:?}", report.parts);
    assert!(report.host.memory_used.is_some() && report.core.as_ref().unwrap().up.is_some());
    assert_eq!(refused(&report), ["nodes", "inbounds", "users", "online"]);
    assert!(report.outbounds.iter().all(|outbound| outbound.uplink.is_none()));
    assert!(report.outbounds.iter().any(|outbound| outbound.up.is_some()));
    let history = panel.read("monitor-history-online");
    let last = history["obj"].as_array().unwrap().last().unwrap();
    assert_eq!(report.counts.online, last["v"].as_u64());
    assert_eq!(
        asked(&server),
        [
            ("/panel/api/server/status", 1),
            ("/panel/api/clients/onlines", 2),
            ("/panel/api/server/history/online/2", 1),
            ("/panel/api/setting/defaultSettings", 1),
            ("/panel/api/nodes/list", 1),
            ("/panel/api/server/descendants", 1),
            ("/panel/api/xray/getOutboundsTraffic", 1),
            ("/panel/api/server/xrayObservatory", 1),
            ("/panel/api/server/clientIps", 1),
            ("/panel/api/inbounds/list/slim", 1),
            ("/panel/api/inbounds/list", 1),
        ]
        .map(|(path, times)| (path.to_owned(), times))
    );
}

/// The paths that were asked for, in the order of their first requests, and how often.
fn asked(server: &Server) -> Vec<(String, usize)> {
    let mut asked: Vec<(String, usize)> = Vec::new();
    for request in server.requests() {
        let path = request.path().strip_prefix(BASE).unwrap();
        match asked.iter_mut().find(|(known, _)| known == path) {
            Some((_, times)) => *times += 1,
            None => asked.push((path.to_owned(), 1)),
        }
    }
    asked
}

/// Polls for two hours, also what is refused, which the daemon requests more rarely.
async fn poll_for_two_hours(upstream: &mut Upstream, panel: &Panel) -> Report {
    let mut report = Report::new("home");
    for poll in 0..240_u32 {
        let now = at(panel.recorded_at()).after(Duration::from_secs(30) * poll);
        for part in [Part::System, Part::Nodes, Part::Online, Part::Outbounds] {
            let Ok(step) = upstream.read(part, now).await else { continue };
            step.facts.into_iter().for_each(|fact| report.merge(fact, now));
        }
    }
    report
}

#[tokio::test]
async fn what_is_refused_beside_something_else_is_requested_once_an_hour() {
    for (scope, refused) in [
        (
            "node-sync",
            &[
                "/panel/api/nodes/list",
                "/panel/api/xray/getOutboundsTraffic",
                "/panel/api/server/xrayObservatory",
                "/panel/api/setting/defaultSettings",
            ][..],
        ),
        (
            "monitor",
            &[
                "/panel/api/nodes/list",
                "/panel/api/server/descendants",
                "/panel/api/xray/getOutboundsTraffic",
                "/panel/api/setting/defaultSettings",
            ],
        ),
    ] {
        let panel = Panel::of("main").with_scope(scope);
        let server = panel.clone().start();
        let mut upstream = client(&server, token(), PATIENT);
        let report = poll_for_two_hours(&mut upstream, &panel).await;
        let asked = asked(&server);
        for path in refused {
            let times = asked.iter().find(|(known, _)| known == path).map(|(_, times)| *times);
            assert_eq!(times, Some(2), "{scope} {path}");
        }
        // What may be read is read each time.
        let times = |path: &str| asked.iter().find(|(known, _)| known == path).map(|(_, times)| *times);
        assert_eq!(times("/panel/api/server/status"), Some(240), "{scope}");
        match scope {
            "node-sync" => assert_eq!(times("/panel/api/server/descendants"), Some(240)),
            _ => {
                assert_eq!(times("/panel/api/server/xrayObservatory"), Some(240));
                assert!(!report.outbounds.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_monitor_token_counts_who_is_online() {
    let panel = Panel::of("main").with_scope("monitor");
    let server = panel.clone().with("/panel/api/server/history/online/2", || {
        Answer::json(r#"{"success":true,"msg":"","obj":[{"t":5,"v":1},{"t":7,"v":3}]}"#)
    });
    let mut upstream = client(&server, token(), PATIENT);
    let now = at(panel.recorded_at());
    let mut counts = Vec::new();
    for part in [Part::System, Part::Online, Part::System] {
        let Ok(step) = upstream.read(part, now).await else { continue };
        counts.extend(step.facts.iter().filter_map(|fact| match fact {
            Fact::Counts(counts) => counts.online,
            _ => None,
        }));
    }
    assert_eq!(counts, [3, 3]);
}

#[tokio::test]
async fn a_node_sync_token_gives_inbounds_users_and_who_is_online() {
    let panel = Panel::of("main").with_scope("node-sync");
    let server = panel.clone().start();
    let report = read(&panel, &server, true).await;
    assert_eq!(refused(&report), ["outbounds"], "{:?}", report.parts);
    assert_eq!((report.users.list().len(), report.inbounds.len()), (14, 5));
    for part in [Part::System, Part::Core, Part::Nodes, Part::Online, Part::Users, Part::Inbounds] {
        assert_eq!(report.parts[&part].outcome, Outcome::Up, "{part:?}");
    }
    let online = panel.read("node-sync-onlines");
    assert_eq!(report.online.len(), online["obj"].as_array().unwrap().len());
    assert_eq!(
        asked(&server),
        [
            ("/panel/api/server/status", 1),
            ("/panel/api/clients/onlines", 1),
            ("/panel/api/setting/defaultSettings", 1),
            ("/panel/api/nodes/list", 1),
            ("/panel/api/server/descendants", 1),
            ("/panel/api/xray/getOutboundsTraffic", 1),
            ("/panel/api/server/xrayObservatory", 1),
            ("/panel/api/server/clientIps", 1),
            ("/panel/api/inbounds/list/slim", 1),
            ("/panel/api/inbounds/list", 1),
        ]
        .map(|(path, times)| (path.to_owned(), times))
    );
}

#[tokio::test]
async fn only_the_panels_own_refusal_is_one() {
    let html = [("content-type", "text/html")];
    for answer in [Answer::new(403, &html, "<p>blocked"), Answer::new(403, &[], "")] {
        let panel = Panel::of("main");
        let server = panel.clone().with("/panel/api/nodes/list", move || answer.clone());
        let report = read(&panel, &server, true).await;
        assert!(matches!(report.parts[&Part::Nodes].outcome, Outcome::Failed { .. }));
    }
    // Whatever language it is in.
    let panel = Panel::of("main");
    let refusal =
        || Answer::new(403, &[("content-type", "application/json")], r#"{"msg":"无权","success":false}"#);
    let server = panel.clone().with("/panel/api/nodes/list", refusal);
    // Descendants may still be read.
    let report = read(&panel, &server, true).await;
    assert_eq!(report.parts[&Part::Nodes].outcome, Outcome::Up);
}

#[tokio::test]
async fn a_count_that_fails_does_not_cost_the_host() {
    let panel = Panel::of("main").with_scope("monitor");
    let server = panel.clone().with("/panel/api/server/history/online/2", || Answer::status(502));
    let mut upstream = client(&server, token(), PATIENT);
    let now = at(panel.recorded_at());
    upstream.read(Part::System, now).await.unwrap();
    assert!(upstream.read(Part::Online, now).await.is_err());
    assert!(!upstream.read(Part::System, now).await.unwrap().facts.is_empty());
}

#[tokio::test]
async fn inbounds_name_the_node_that_a_token_may_see_only_as_a_descendant() {
    let panel = Panel::of("3.6.0");
    let server = panel.clone().with("/panel/api/nodes/list", || {
        Answer::new(403, &[("content-type", "application/json")], r#"{"msg":"no","success":false}"#)
    });
    let report = read(&panel, &server, true).await;
    let nodes: Vec<_> = report.nodes.iter().map(|node| &*node.label).collect();
    assert_eq!(nodes, ["node-eins 🌍"]);
    for inbound in report.inbounds.iter() {
        let node = if &*inbound.label == "n1-in-17410-tcp" { "node-eins 🌍" } else { "" };
        assert_eq!(inbound.node, node, "{}", inbound.label);
    }
}

#[tokio::test]
async fn a_token_whose_scope_is_changed_leaves_nothing_behind() {
    let options = Options { generation: Generation::V3_7, ..Options::default() };
    let (panel, url) = simulated::serve(&options, &Arc::default()).await;
    panel.set_thresholds(Thresholds { expire_days: 3, traffic_gib: 2 });
    let mut upstream = simulated::client(&url, Login::Token(options.token.as_str().into()));
    let (mut report, start) = (Report::new("home"), Clock::system().now());
    // Whether the panel's count of those online is known, and a threshold.
    for (minute, scope, expected) in [
        (0, Scope::Admin, (false, true)),
        (11, Scope::Monitor, (true, false)),
        (100, Scope::Admin, (false, true)),
    ] {
        panel.edit_tokens(|tokens| tokens.iter_mut().for_each(|token| token.scope = scope));
        let now = start.after(Duration::from_secs(60 * minute));
        for part in [Part::Online, Part::System, Part::Online, Part::System] {
            let Ok(step) = upstream.read(part, now).await else { continue };
            step.facts.into_iter().for_each(|fact| report.merge(fact, now));
        }
        let found = (report.counts.online.is_some(), report.thresholds.expiry.is_some());
        assert_eq!(found, expected, "{scope:?}");
    }
}

#[tokio::test]
async fn a_token_that_may_read_the_cheap_list_again_does() {
    const SLIM: &str = "/panel/api/inbounds/list/slim";
    let options = Options { generation: Generation::V3_7, ..Options::default() };
    let (panel, url) = simulated::serve(&options, &Arc::default()).await;
    let mut upstream = simulated::client(&url, Login::Token(options.token.as_str().into()));
    let start = Clock::system().now();
    let mut slim = Vec::new();
    for (minute, scope) in [
        (0, Scope::NodeSync),
        (1, Scope::NodeSync),
        (59, Scope::NodeSync),
        (61, Scope::NodeSync),
        (62, Scope::Admin),
        (122, Scope::Admin),
        (123, Scope::Admin),
    ] {
        panel.edit_tokens(|tokens| tokens.iter_mut().for_each(|token| token.scope = scope));
        let now = start.after(Duration::from_secs(60 * minute));
        upstream.read(Part::System, now).await.unwrap();
        let before = panel.wire.requests_to(SLIM);
        while !upstream.read(Part::Users, now).await.unwrap().done.contains(&Part::Users) {}
        slim.push(panel.wire.requests_to(SLIM) > before);
    }
    assert_eq!(slim, [true, false, false, true, false, true, true]);
}
