//! Traffic that is summed up by the hour goes on whatever one answer lacks: no counter falls, and nothing counts twice.

use std::sync::{Arc, Mutex};

use proxymeter::{
    model::{Counter, Fact, Moment, Part, Report},
    upstream::Upstream,
};

use crate::common::{
    PATIENT, RECORDED_AT, at, config,
    panel::{Panel, Role},
    server::{Answer, Server},
    upstream,
};

/// A panel that answers as recorded, but for some paths, whose answers change.
struct Changing {
    server: Server,
    answers: Arc<Mutex<Vec<(&'static str, String)>>>,
}

impl Changing {
    fn of(role: Role) -> Self {
        let answers: Arc<Mutex<Vec<(&'static str, String)>>> = Arc::default();
        let (panel, known) = (Panel::of(role), Arc::clone(&answers));
        let server = Server::start(move |request| {
            let answers = known.lock().unwrap();
            match answers.iter().rev().find(|(path, _)| *path == request.path()) {
                Some((_, body)) => Answer::json(body.clone()),
                None => panel.answer(request),
            }
        });
        Changing { server, answers }
    }

    fn says(&self, path: &'static str, body: &str) {
        self.answers.lock().unwrap().push((path, body.to_owned()));
    }

    async fn client(&self, role: Role) -> (Upstream, Report) {
        let mut client = upstream(&config(&self.server.url(), role.login()), PATIENT);
        let mut report = Report::new("home");
        read(&mut client, &mut report, Part::System).await;
        (client, report)
    }
}

fn now() -> Moment {
    at(RECORDED_AT)
}

async fn read(client: &mut Upstream, report: &mut Report, part: Part) {
    let step = client.read(part, now()).await.unwrap();
    step.facts.into_iter().for_each(|fact: Fact| report.merge(fact, now()));
}

fn uplinks(report: &Report) -> Vec<(&str, u64)> {
    report.usage.iter().map(|usage| (&*usage.node, usage.uplink)).collect()
}

const MARZBAN: &str = "/api/nodes/usage";

fn usage(rows: &[(&str, &str, &str)]) -> String {
    let rows = rows.iter().map(|(id, name, uplink)| {
        format!(r#"{{"node_id":{id},"node_name":{name},"uplink":{uplink},"downlink":1}}"#)
    });
    format!(r#"{{"usages":[{}]}}"#, rows.collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn an_odd_answer_of_marzban_changes_no_sum() {
    let good = usage(&[("null", "\"Master\"", "1000"), ("1", "\"de\"", "500")]);
    let expected = [("master", 1000), ("de", 500)];
    for odd in [
        usage(&[("null", "\"Master\"", "1e300"), ("1", "\"de\"", "500")]),
        usage(&[("null", "\"Master\"", "-7"), ("1", "\"de\"", "500")]),
        usage(&[("null", "\"Master\"", "null"), ("1", "\"de\"", "\"x\"")]),
        usage(&[("{}", "\"Master\"", "1000"), ("1", "\"de\"", "500")]),
        usage(&[("null", "\"Master\"", "1000"), ("1", "7", "500")]),
        usage(&[("null", "\"Master\"", "1000"), ("\"one\"", "\"de\"", "500")]),
        r#"{"usages":[null,{"node_id":null,"node_name":"Master","uplink":1000,"downlink":1}]}"#.to_owned(),
    ] {
        let panel = Changing::of(Role::Sudo);
        let (mut client, mut report) = panel.client(Role::Sudo).await;
        for body in [&good, &odd, &odd, &odd, &good] {
            panel.says(MARZBAN, body);
            read(&mut client, &mut report, Part::Usage).await;
            let mut sums = uplinks(&report);
            sums.sort_by_key(|(node, _)| *node != "master");
            assert_eq!(sums, expected, "{odd}");
        }
    }
}

#[tokio::test]
async fn nodes_that_come_and_go_fill_no_memory() {
    let panel = Changing::of(Role::Sudo);
    let (mut client, mut report) = panel.client(Role::Sudo).await;
    for poll in 0..4 {
        let mut rows: Vec<_> =
            (0..1500).map(|row| (format!("{}", poll * 1500 + row), "\"n\"", "1")).collect();
        rows.push(("{}".into(), "\"n\"", "1"));
        let rows: Vec<_> = rows.iter().map(|(id, name, uplink)| (id.as_str(), *name, *uplink)).collect();
        panel.says(MARZBAN, &usage(&rows));
        read(&mut client, &mut report, Part::Usage).await;
        assert!(report.usage.len() <= 2000, "{}", report.usage.len());
    }
}

const PASARGUARD: &str = "/api/node/usage";

fn stats(nodes: &[(&str, &str)]) -> String {
    let nodes = nodes.iter().map(|(id, uplink)| format!(r#""{id}":[{{"uplink":{uplink},"downlink":1}}]"#));
    format!(r#"{{"period":"hour","stats":{{{}}}}}"#, nodes.collect::<Vec<_>>().join(","))
}

fn nodes(names: [&str; 2]) -> String {
    let [first, second] = names;
    format!(
        r#"{{"nodes":[{{"id":1,"name":{first},"status":"connected"}},{{"id":2,"name":{second},"status":"connected"}}]}}"#
    )
}

#[tokio::test]
async fn an_odd_answer_of_pasarguard_changes_no_sum() {
    let names = nodes(["\"de\"", "\"nl\""]);
    let good = stats(&[("1", "700"), ("2", "1000")]);
    for (odd_names, odd) in [
        (&names, stats(&[("1", "700"), ("x", "1000")])),
        (&names, stats(&[("1", "700"), ("2", "null")])),
        (&names, stats(&[("1", "700"), ("2", "1e30")])),
        (&names, r#"{"stats":{"1":[{"uplink":700,"downlink":1}],"2":7}}"#.to_owned()),
        (&names, r#"{"stats":{"1":[{"uplink":700,"downlink":1}],"2":[null]}}"#.to_owned()),
        (&nodes(["\"de\"", "null"]), good.clone()),
    ] {
        let panel = Changing::of(Role::Owner);
        let (mut client, mut report) = panel.client(Role::Owner).await;
        for (names, body) in [(&names, &good), (odd_names, &odd), (odd_names, &odd), (&names, &good)] {
            panel.says("/api/nodes", names);
            panel.says(PASARGUARD, body);
            read(&mut client, &mut report, Part::Nodes).await;
            read(&mut client, &mut report, Part::Usage).await;
            assert_eq!(uplinks(&report), [("de", 700), ("nl", 1000)], "{odd_names} {odd}");
        }
    }
}

#[tokio::test]
async fn a_node_that_counts_itself_is_never_counted_otherwise() {
    let list = |uplink: &str| {
        format!(
            r#"{{"nodes":[{{"id":1,"name":"de","status":"connected","lifetime_uplink":{uplink},"lifetime_downlink":9}}]}}"#
        )
    };
    let panel = Changing::of(Role::Owner);
    let (mut client, mut report) = panel.client(Role::Owner).await;
    let mut shown = Vec::new();
    for uplink in ["5000000000000", "null", "\"x\"", "5000000000007"] {
        panel.says("/api/nodes", &list(uplink));
        read(&mut client, &mut report, Part::Nodes).await;
        shown.push(report.nodes[0].uplink.and_then(Counter::read));
        assert!(client.plan().iter().all(|planned| planned.part != Part::Usage), "{uplink}");
    }
    assert_eq!(shown, [Some(5_000_000_000_000), None, None, Some(5_000_000_000_007)]);

    // The list of nodes failed when it was its turn, and comes with the usage.
    let (mut client, mut report) = panel.client(Role::Owner).await;
    read(&mut client, &mut report, Part::Usage).await;
    assert!(report.node_totals(Part::Usage).all(|(node, _)| **node != *"de"));
    let own: Vec<_> = report.node_totals(Part::Nodes).map(|(node, bytes)| (&**node, bytes)).collect();
    assert_eq!(own, [("de", 5_000_000_000_016)]);
}

#[tokio::test]
async fn one_named_user_does_not_keep_the_others_from_being_read() {
    let panel = Changing::of(Role::Sudo);
    panel.says("/api/user/bad/usage", r#"{"usages":[null]}"#);
    panel.says(
        "/api/user/good/usage",
        r#"{"usages":[{"node_id":null,"node_name":"Master","used_traffic":5}]}"#,
    );
    let mut config = config(&panel.server.url(), Role::Sudo.login());
    config.node_traffic_of = vec!["bad".into(), "good".into()];
    let mut client = upstream(&config, PATIENT);
    let mut report = Report::new("home");
    for part in [Part::System, Part::UserNodes, Part::UserNodes] {
        read(&mut client, &mut report, part).await;
    }
    let traffic: Vec<_> = report.user_nodes.iter().map(|traffic| (&*traffic.user, traffic.bytes)).collect();
    assert_eq!(traffic, [("good", 5)]);
}
