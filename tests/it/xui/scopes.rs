//! Tokens of 3x-ui 3.7 with a narrow scope: what they may read is read, and what they may not is refused, not failed.

use proxymeter::model::{Fact, Outcome, Part, Report};

use super::recorded::read;
use crate::common::{
    PATIENT, at,
    server::Answer,
    xui::{Panel, client, token},
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
    // Nothing was asked twice, and nothing that is no part of it.
    let mut asked: Vec<_> = server.requests().iter().map(|request| request.target.clone()).collect();
    asked.sort();
    let all = asked.len();
    asked.dedup();
    assert!(all - asked.len() <= 2, "{all} of {asked:?}");
}

#[tokio::test]
async fn a_monitor_token_counts_who_is_online_once_the_list_was_refused() {
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
    assert_eq!(counts, [3]);
}

#[tokio::test]
async fn a_node_sync_token_gives_inbounds_users_and_who_is_online() {
    let panel = Panel::of("main").with_scope("node-sync");
    let server = panel.clone().start();
    let report = read(&panel, &server, true).await;
    assert_eq!(refused(&report), ["outbounds"], "{:?}", report.parts);
    assert_eq!((report.users.list().len(), report.inbounds.len()), (14, 5));
    assert_eq!(report.parts[&Part::Users].outcome, Outcome::Up);
    assert!(!report.online.is_empty());
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
