//! What happens in a panel between two polls.

use proxymeter::simulator::xui::{Core, Fault, Generation, Options, Thresholds, Times};
use serde_json::{Value, json};

use super::house::{AJAX, House, stats};
use crate::simulator::client::NOW_MS;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn quota_and_expiry_switch_a_client_off_at_the_next_tick() {
    for generation in Generation::ALL.into_iter().filter(|generation| *generation != Generation::Vaxilu) {
        let house = House::of(generation).await;
        let panel = &house.panel;
        panel.add_client("quota", |client| client.total = 100);
        panel.add_client("time", |client| client.expiry_ms = NOW_MS + 60_000);
        assert!(panel.use_traffic("quota", 40, 80) && !panel.use_traffic("nothing", 1, 1));
        assert!(!panel.client("quota").unwrap().switched_off);
        house.pass(generation.tick_ms());
        let list = house.inbounds().await;
        let row = stats(&list, "quota")[0];
        assert_eq!((&row["up"], &row["down"], &row["enable"]), (&json!(40), &json!(80), &json!(false)));
        assert_eq!(stats(&list, "time")[0]["enable"], true);
        house.pass(60_000);
        assert!(panel.client("time").unwrap().switched_off);

        // What is off moves nothing, until it is let in again.
        panel.use_traffic("quota", 0, 10);
        panel.advance(0);
        assert_eq!(panel.client("quota").unwrap().down, 80);
        assert!(panel.reset_client("quota") && panel.renew_client("time", DAY_MS));
        let list = house.inbounds().await;
        let row = stats(&list, "quota")[0];
        assert_eq!((&row["down"], &row["enable"]), (&json!(0), &json!(true)));
        assert_eq!(stats(&list, "time")[0]["enable"], true);
        assert!(panel.remove_client("quota") && panel.client("quota").is_none());
    }
}

#[tokio::test]
async fn delayed_clients_start_at_their_first_traffic_and_renewing_ones_start_again() {
    let house = House::of(Generation::V3_6).await;
    let panel = &house.panel;
    house.pass(5_000);
    assert_eq!(panel.client("grace_delayed").unwrap().expiry_ms, -30 * DAY_MS);
    panel.use_traffic("grace_delayed", 1, 1);
    panel.advance(0);
    assert_eq!(panel.client("grace_delayed").unwrap().expiry_ms, house.now_ms() + 30 * DAY_MS);

    let before = panel.client("heidi_renews").unwrap();
    assert!(before.used() > 0);
    house.pass(DAY_MS);
    let after = panel.client("heidi_renews").unwrap();
    assert_eq!((after.used(), after.expiry_ms), (0, before.expiry_ms + 30 * DAY_MS));
    assert!(after.enable && !after.switched_off);
    // However long nobody looked.
    house.pass(90 * DAY_MS);
    assert!(panel.client("heidi_renews").unwrap().expiry_ms > house.now_ms());
}

#[tokio::test]
async fn inbounds_end_and_reset_too_and_take_their_clients_along() {
    let house = House::of(Generation::V3_6).await;
    let panel = &house.panel;
    panel.add_client("in_2", |client| client.inbound_ids = vec![2]);
    panel.add_client("in_4", |client| client.inbound_ids = vec![4]);
    let inbound = |id: usize| panel.inbounds()[id - 1].clone();
    let total = inbound(2).up + inbound(2).down + 10;
    panel.edit_inbound(2, |inbound| inbound.total = total);
    panel.use_traffic("in_2", 0, 20);
    panel.use_traffic("in_4", 0, 20);
    panel.advance(0);
    assert!(inbound(2).switched_off && !panel.client("in_2").unwrap().switched_off);
    panel.use_traffic("in_2", 0, 20);
    panel.advance(0);
    assert_eq!(panel.client("in_2").unwrap().down, 20);
    assert_eq!(house.inbounds().await[1]["enable"], false);

    // The clock is at 21 November; inbound 3 expires in three days, inbound 4 is reset each month.
    house.pass(4 * DAY_MS);
    assert!(inbound(3).switched_off && panel.client("in_4").unwrap().down >= 20);
    house.pass(7 * DAY_MS);
    let list = house.inbounds().await;
    assert_eq!(panel.client("in_4").unwrap().down, 0);
    assert!(list[3]["lastTrafficResetTime"].as_i64().unwrap() > NOW_MS);
}

#[tokio::test]
async fn a_stopped_core_freezes_the_counters_and_empties_the_history() {
    let house = House::of(Generation::V3_6).await;
    let panel = &house.panel;
    panel.add_client("busy", |client| client.bytes_per_second = 1000);
    house.pass(60_000);
    let busy = || panel.client("busy").unwrap().down;
    assert_eq!(busy(), 60_000);
    let newest = async || {
        let points = house.obj("GET", "panel/api/server/history/online/2").await;
        points.as_array().unwrap().last().unwrap()["v"].as_u64().unwrap()
    };
    assert_eq!(newest().await, panel.totals().online as u64);
    assert!(panel.totals().online > 0);
    panel.stop_xray();
    assert_eq!(newest().await, 0);
    house.pass(60_000);
    assert_eq!(busy(), 60_000);
    assert_eq!(house.obj("POST", house.onlines_path()).await, json!([]));
    panel.start_xray();
    house.pass(60_000);
    // Without the first reading.
    assert_eq!(busy(), 115_000);
    assert!(house.status().await["appStats"]["uptime"] == 60);
}

#[tokio::test]
async fn nodes_and_outbounds_fail_and_recover() {
    let house = House::of(Generation::V3_6).await;
    let node = async |id: i64| {
        let nodes = house.obj("GET", "panel/api/nodes/list").await;
        nodes.as_array().unwrap().iter().find(|node| node["id"] == id).unwrap().clone()
    };
    let up = node(1).await;
    assert_eq!((up["status"].clone(), up["inboundCount"].clone()), (json!("online"), json!(1)));
    let below = node(0).await;
    assert_eq!((&below["name"], &below["parentGuid"]), (&up["name"], &up["guid"]));
    assert_eq!((&below["transitive"], &below["enable"]), (&json!(true), &json!(false)));

    assert!(house.panel.set_node(1, Some("timeout")) && !house.panel.set_node(0, None));
    house.pass(10_000);
    let down = node(1).await;
    assert_eq!((down["status"].clone(), down["lastError"].clone()), (json!("offline"), json!("timeout")));
    assert_eq!(
        (&down["cpuPct"], &down["uptimeSecs"], &down["xrayVersion"]),
        (&json!(0.0), &json!(0), &json!(""))
    );
    assert_eq!(down["clientCount"], up["clientCount"]);
    assert!(down["lastHeartbeat"].as_i64() > up["lastHeartbeat"].as_i64());

    let alive = async |tag: &str| {
        let all = house.obj("GET", "panel/api/server/xrayObservatory").await;
        all.as_array().unwrap().iter().find(|outbound| outbound["tag"] == tag).unwrap()["alive"].clone()
    };
    assert_eq!((alive("direct").await, alive("warp-🧟").await), (json!(true), json!(false)));
    assert!(house.panel.set_outbound("warp-🧟", true) && house.panel.set_outbound("direct", false));
    assert_eq!((alive("direct").await, alive("warp-🧟").await), (json!(false), json!(true)));

    // Tokens of other panels in clear text, and seconds.
    house.panel.upgrade(Generation::V3_0);
    house.pass(2_000);
    let old = node(1).await;
    assert!(old["apiToken"].is_string() && old.get("hasApiToken").is_none());
    assert!(
        old["createdAt"].as_i64().unwrap() < 100_000_000_000
            && up["createdAt"].as_i64().unwrap() > 100_000_000_000
    );
}

#[tokio::test]
async fn the_summary_counts_as_the_panel_does() {
    let house = House::open(Options { clients: 600, ..Options::default() }).await;
    house.panel.set_thresholds(Thresholds { expire_days: 0, traffic_gib: 0 });
    let read = async || house.obj("GET", "panel/api/clients/list/paged?pageSize=1&page=3").await;
    let page = read().await;
    let (summary, totals) = (&page["summary"], house.panel.totals());
    assert_eq!((page["items"].as_array().unwrap().len(), page["total"].clone()), (1, json!(600)));
    assert_eq!(
        (summary["active"].clone(), summary["onlineCount"].clone()),
        (json!(totals.active), json!(totals.online))
    );
    assert_eq!(summary["depletedCount"], totals.depleted);
    assert_eq!(summary["deactiveCount"], totals.disabled);
    assert_eq!(summary["expiringCount"], 0);
    house.panel.set_thresholds(Thresholds { expire_days: 7, traffic_gib: 1 });
    assert!(read().await["summary"]["expiringCount"].as_u64().unwrap() > 0);
    let beyond = house.obj("GET", "panel/api/clients/list/paged?page=999&pageSize=999").await;
    assert_eq!((beyond["items"].clone(), beyond["pageSize"].clone()), (json!([]), json!(200)));
}

#[tokio::test]
async fn an_upgrade_moves_the_routes_and_keeps_the_data() {
    let house = House::of(Generation::V3_0).await;
    let session = house.session().await;
    let status = async |path: &str| house.ask("POST", path, &session.headers(), "").await.status;
    assert_eq!(status("/panel/api/inbounds/onlines").await, 200);
    assert_eq!(status("/panel/api/clients/onlines").await, 404);
    house.panel.upgrade(Generation::V3_6);
    assert_eq!(status("/panel/api/inbounds/onlines").await, 404);
    assert_eq!(status("/panel/api/clients/onlines").await, 200);
    house.panel.upgrade(Generation::V2_8);
    assert_eq!(status("/panel/api/inbounds/onlines").await, 404, "its cookie means nothing there");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_panel_and_faults_hit_its_routes() {
    let options = || Options { clients: 300, seed: 7, ..Options::default() };
    let (one, two) = (House::open(options()).await, House::open(options()).await);
    for house in [&one, &two] {
        house.pass(600_000);
    }
    let path = "panel/api/clients/list";
    let first = one.obj("GET", path).await;
    assert_eq!(first, two.obj("GET", path).await);
    assert!(first.as_array().unwrap().len() == 300);

    one.panel.wire.fail("/panel/api/", Fault::CutJson, Times::Once);
    let token = format!("Bearer {}", Options::default().token);
    let ask = async || one.ask("GET", "/panel/api/clients/list", &[("authorization", &token)], "").await;
    assert!(serde_json::from_slice::<Value>(&ask().await.body).is_err());
    assert_eq!(one.panel.wire.requests_to("/panel/api/clients/list"), 2);
    one.panel.wire.fail("/", Fault::Status(404), Times::Once);
    assert_eq!(ask().await.status, 404);
}

#[tokio::test]
async fn no_request_makes_a_panel_fail() {
    let long = format!("/{}", "panel/api/".repeat(50));
    for generation in Generation::ALL {
        let house = House::open(Options {
            generation,
            totp_secret: Some("no base32!".to_owned()),
            ..Options::default()
        })
        .await;
        house.panel.set_core(Core::NeverStarted);
        house.panel.add_client("", |client| {
            (client.expiry_ms, client.reset_days, client.total) = (i64::MIN, i64::MAX, u64::MAX);
            (client.up, client.down, client.bytes_per_second) = (u64::MAX, u64::MAX, u64::MAX);
            client.inbound_ids = vec![i64::MIN, 1];
        });
        house.panel.edit_client("alice", |client| (client.expiry_ms, client.reset_days) = (i64::MAX, 1));
        house.panel.start_xray();
        house.panel.advance(u64::MAX);
        house.pass(400 * DAY_MS);
        for path in [
            "/",
            "//",
            "/login",
            "/login?a=%zz",
            "/panel/api/inbounds/get/99999999999999999999",
            "/%00/%ff",
            "/panel/api/clients/list/paged?page=-1&pageSize=999999999999999999999",
            "/panel/api/server/history/x/y",
            "/panel/api/clients/list/paged?page=18446744073709551615&pageSize=200",
            "/xui/API/inbounds",
            &long,
            "/panel/api/clients/traffic/",
            "/panel/api/clients/ips/%F0%9F%98%80",
            "/server/status/",
            "/panel/api/server/history/online/2",
            "/panel/api/clients/list",
            "/panel/api/inbounds/list/slim",
        ] {
            for method in ["GET", "POST", "PUT", "HEAD"] {
                let bearer = format!("Bearer {}", Options::default().token);
                let headers = [
                    AJAX,
                    ("cookie", "=;;3x-ui=;x"),
                    ("authorization", &bearer),
                    ("content-type", "application/json"),
                ];
                let reply = house.ask(method, path, &headers, r#"{"username":[],"password":{"#).await;
                assert!(reply.status < 500, "{generation:?} {method} {path}: {}", reply.status);
            }
        }
    }
}
