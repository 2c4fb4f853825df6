//! Inbounds that run out, and outbounds that fail.

use std::time::Duration;

use super::{Bench, route};
use crate::{
    alert::{
        config::{AlertingConfig, RuleConfig},
        testing::{BEGIN, DAY, HOUR, MINUTE, Panel, at, config},
    },
    model::{Expiry, Fact, Inbound, Node, NodeStatus, Outbound, Part},
};

/// Polls a panel that answers with `fact`, and lets time pass.
fn live(bench: &mut Bench, panel: &mut Panel, part: Part, fact: Fact, secs: u64, pause: u64) {
    panel.report.merge(fact, at(secs));
    panel.read(part, at(secs));
    bench.observe(&[panel.poll(at(secs))], at(secs));
    bench.pass(at(secs), at(secs + pause));
}

/// The kind and the description of each alert of the notices since the last call, and the reason of those that ended.
fn told(bench: &mut Bench) -> Vec<String> {
    let alerts = bench.notices.drain(..).flat_map(|notice| notice.alerts);
    let told = alerts.map(|alert| {
        let text = |name: &str| alert.annotations.get(name).unwrap_or_default().to_owned();
        let end = if alert.ends_at.is_some() { format!(" -> {}", text("reason")) } else { String::new() };
        format!("{}: {}{end}", &alert.labels["kind"], text("description"))
    });
    told.collect()
}

#[test]
fn an_inbound_alerts_once_per_step() {
    // Polled once an hour, so that every part is stale meanwhile.
    let off = RuleConfig { enabled: Some(false), ..RuleConfig::default() };
    let config = AlertingConfig { rules: [("part_stale".to_owned(), off)].into(), ..config() };
    let (mut bench, mut panel) = (Bench::with(config, vec![route("ops")]), Panel::new("home"));
    let mut inbound = Inbound {
        label: "in-443".into(),
        enabled: Some(true),
        expiry: Some(Expiry::At(BEGIN.saturating_add(Duration::from_secs(8 * DAY)))),
        used: Some(0),
        limit: Some(100),
        ..Inbound::default()
    };
    let mut days = Vec::new();
    for hour in 0..24 * 12 {
        match hour {
            // The panel switches it off.
            192 => inbound.enabled = Some(false),
            // The operator sells it again.
            216 => {
                inbound.enabled = Some(true);
                inbound.expiry = Some(Expiry::At(BEGIN.saturating_add(Duration::from_secs(60 * DAY))));
            }
            220 => inbound.used = Some(81),
            230 => inbound.enabled = Some(false),
            _ => {}
        }
        if hour % 50 == 49 {
            bench.restart(at(hour * HOUR));
        }
        let fact = Fact::Inbounds(vec![inbound.clone()]);
        live(&mut bench, &mut panel, Part::Inbounds, fact, hour * HOUR, HOUR);
        days.extend(told(&mut bench).into_iter().map(|told| (hour, told)));
    }
    let expected = [
        (24, "inbound: Inbound in-443 (home) expires in 6 days 23 h, on 26 November 2026, 11:06 UTC."),
        (120, "inbound: Inbound in-443 (home) expires in 2 days 23 h, on 26 November 2026, 11:06 UTC."),
        (168, "inbound: Inbound in-443 (home) expires in 23 h 59 min, on 26 November 2026, 11:06 UTC."),
        (
            192,
            "inbound: Inbound in-443 (home) expired 30 s ago, on 26 November 2026, 11:06 UTC. All its clients are cut off.",
        ),
    ];
    let begun: Vec<_> = days.iter().map(|(hour, told)| (*hour, told.as_str())).collect();
    assert_eq!(begun[..4], expected);
    let ended = |(hour, told): &(u64, &str)| *hour == 216 && told.ends_with(" -> renewed");
    assert!(begun[4..begun.len() - 2].iter().all(ended), "{begun:?}");
    assert_eq!(
        begun[begun.len() - 2..],
        [
            (220, "inbound: Inbound in-443 (home) has used 81 % of the data limit (81 of 100 B)."),
            (230, "inbound: in-443 (home) was switched off. -> disabled"),
        ]
    );
}

#[test]
fn an_outbound_that_fails_alerts_once() {
    let (mut bench, mut panel) = (Bench::new(), Panel::new("home"));
    let mut all = Vec::new();
    for poll in 0..120 {
        let up = Some(!(10..60).contains(&poll));
        let fact = Fact::Outbounds(vec![Outbound { label: "warp".into(), up, ..Outbound::default() }]);
        live(&mut bench, &mut panel, Part::Outbounds, fact, poll * 30, 30);
        if poll == 40 {
            bench.restart(at(poll * 30));
        }
        all.extend(told(&mut bench));
    }
    assert_eq!(
        all,
        [
            "outbound: Outbound warp (home) is down: its probes fail.",
            "outbound: Outbound warp (home) works again; it was down for 25 min (11:11:40–11:36:40 UTC). -> recovered",
        ]
    );
}

#[test]
fn a_core_alerts_as_what_it_belongs_to() {
    let (mut bench, mut panel) = (Bench::new(), Panel::new("home"));
    let node = Node { core_up: Some(false), ..Node::named("n1", NodeStatus::Connected) };
    for secs in (0..5 * MINUTE).step_by(30) {
        panel.report.nodes = vec![node.clone()].into();
        let fact = Fact::Core(crate::model::Core { up: Some(false), ..Default::default() });
        live(&mut bench, &mut panel, Part::Core, fact, secs, 30);
    }
    let mut told = told(&mut bench);
    told.sort();
    assert_eq!(
        told,
        [
            "node: The proxy core of node n1 (home) is down or keeps dying: it was down for 100 % of the last 5 min.",
            "target: The proxy core of home is down or keeps dying: it was down for 100 % of the last 5 min.",
        ]
    );
}
