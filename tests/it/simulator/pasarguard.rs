//! The simulated PasarGuard: where its answers differ from Marzban's.

use proxymeter::simulator::marzban::{Flavour, NodeStats, NodeStatus, Options};
use serde_json::{Value, json};

use super::client::House;

#[tokio::test]
async fn pasarguard_answers_in_its_own_shapes() {
    let options = Options { flavour: Flavour::PasarGuard, users: 40, ..Options::default() };
    let house = House::open(options).await;
    let token = house.token("root").await;

    assert_eq!(house.ask("GET", "/health", &[], "").await.json(), json!({ "status": "ok" }));
    for gone in ["/api/core", "/api/nodes/usage", "/openapi.json"] {
        assert_eq!(house.get(gone, &token).await.status, 404, "{gone}");
    }
    let system = house.json("/api/system", &token).await;
    assert_eq!(system["total_user"], 40);
    assert!(system.get("users_active").is_none() && system.get("incoming_bandwidth_speed").is_none());

    let nodes = house.json("/api/nodes", &token).await;
    assert_eq!(
        (nodes["total"].clone(), nodes["nodes"][0]["node_version"].clone()),
        (json!(4), json!("v0.2.1"))
    );
    assert!(nodes["nodes"][2]["node_version"].is_null());
    assert!(nodes["nodes"][0]["lifetime_uplink"].as_u64().unwrap() > 0);

    let usage =
        "/api/node/usage?period=hour&start=2026-11-21T01:00:00%2B00:00&end=2026-11-21T03:59:59%2B00:00";
    let by_node = house.json(&format!("{usage}&group_by_node=true"), &token).await;
    assert_eq!(by_node["start"], "2026-11-21T01:00:00Z");
    let hours = by_node["stats"]["0"].as_array().unwrap();
    assert_eq!(hours.len(), 3);
    assert_eq!(hours[0]["period_start"], "2026-11-21T01:00:00Z");
    let together = house.json(usage, &token).await;
    let nodes = ["0", "1", "2"];
    let sum: u64 = nodes.iter().map(|node| by_node["stats"][node][0]["uplink"].as_u64().unwrap()).sum();
    assert_eq!(together["stats"]["-1"][0]["uplink"], sum);
    assert_eq!(house.get("/api/node/usage?start=yesterday", &token).await.status, 422);

    let user = house.json("/api/user/bob_85pct", &token).await;
    assert!(user.get("links").is_none() && user.get("proxies").is_none());
    assert_eq!(user["expire"], "2026-12-11T03:06:31+00:00");
    assert_eq!(user["online_at"], "2026-11-21T03:04:31.250000Z");
    assert_eq!(user["admin"], json!({ "username": "root" }));
    assert!(user["proxy_settings"].is_object() && user["group_ids"].is_array());

    let admins = house.json("/api/admins", &token).await;
    assert_eq!((admins["total"].clone(), admins["limited"].clone()), (json!(3), json!(0)));
    assert!(admins["admins"][0]["lifetime_used_traffic"].as_u64().unwrap() > 0);
    assert_eq!(admins["admins"][1]["role"]["is_owner"], false);

    for header in [("x-api-key", "pg_key_simulated"), ("authorization", "ApiKey pg_key_simulated")] {
        assert_eq!(house.ask("GET", "/api/nodes", &[header], "").await.status, 200, "{header:?}");
    }
    assert_eq!(house.ask("GET", "/api/nodes", &[("x-api-key", "pg_key_other")], "").await.status, 401);
}

#[tokio::test]
async fn pasarguard_says_who_asks_and_what_they_may_read() {
    let house = House::open(Options { flavour: Flavour::PasarGuard, ..Options::default() }).await;
    let (owner, operator) = (house.token("root").await, house.token("reseller").await);
    for (token, name, scope) in [(&owner, "owner", 2), (&operator, "operator", 1)] {
        let role = house.json("/api/admin", token).await["role"].take();
        assert_eq!(role["name"], name);
        assert_eq!(role["is_owner"], name == "owner");
        assert_eq!(role["permissions"]["users"]["read"]["scope"], scope);
        assert!(house.json("/api/inbounds", token).await.is_array());
    }
    for (path, permission) in [
        ("/api/nodes", "nodes.read"),
        ("/api/nodes/realtime_stats", "nodes.stats"),
        ("/api/node/usage", "nodes.stats"),
        ("/api/admins", "admins.read"),
    ] {
        let refused = house.get(path, &operator).await;
        let detail = json!({ "detail": format!("Permission denied: {permission}") });
        assert_eq!((refused.status, refused.json()), (403, detail), "{path}");
    }

    assert!(house.panel.disable_admin("root"));
    for refused in [house.get("/api/system", &owner).await, house.login("root", "root-password").await] {
        let detail = json!({ "detail": "your account has been disabled" });
        assert_eq!((refused.status, refused.json()), (403, detail));
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    assert!(house.panel.enable_admin("root"));
    assert_eq!(house.get("/api/system", &owner).await.status, 200);
}

#[tokio::test]
async fn pasarguard_shows_the_hosts_of_connected_nodes() {
    let house = House::open(Options { flavour: Flavour::PasarGuard, ..Options::default() }).await;
    let token = house.token("root").await;
    let read = async || house.json("/api/nodes/realtime_stats", &token).await;
    let ids = |stats: &Value| stats.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(&read().await), ["1", "2"]);

    let busy = NodeStats {
        mem_total: 2048,
        mem_used: 1024,
        cpu_cores: 2,
        cpu_usage: 97.5,
        incoming_bandwidth_speed: 10,
        outgoing_bandwidth_speed: 20,
        uptime: 60,
    };
    assert!(house.panel.set_node_stats(1, Some(busy)));
    assert!(house.panel.set_node_stats(2, None));
    assert!(!house.panel.set_node_stats(0, None));
    house.pass(30);
    let aged = NodeStats { uptime: 90, ..busy };
    assert_eq!(read().await, json!({ "1": aged, "2": null }));
    assert!(house.panel.set_node_status(1, NodeStatus::Error, Some("boom")));
    assert_eq!(ids(&read().await), ["2"]);
}
