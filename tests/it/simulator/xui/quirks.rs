//! What the generations do that no client expects.

use proxymeter::simulator::xui::{self, Core, Generation, Options};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::house::{House, stats};
use crate::simulator::client::begin;

#[tokio::test]
async fn those_online_are_shown_as_the_generation_and_the_core_have_it() {
    // Running, just started, stopped by hand, without a process.
    for (generation, running, started, stopped, without) in [
        (Generation::Alireza, "objects", "null", "null", "null"),
        (Generation::V2_6, "strings", "null", "null", "500"),
        (Generation::V2_8, "strings", "null", "strings", "500"),
        (Generation::V3_0, "strings", "null", "[]", "500"),
        (Generation::V3_1, "null", "null", "null", "500"),
        (Generation::V3_6, "strings", "null", "strings", "[]"),
        (Generation::V3_7, "strings", "[]", "strings", "[]"),
    ] {
        let house = House::of(generation).await;
        let read = async || {
            let path = format!("/{}", house.onlines_path());
            let reply = house.ask("POST", &path, &house.session().await.headers(), "").await;
            match reply.status {
                200 => match &reply.json()["obj"] {
                    Value::Null => "null",
                    Value::Array(all) if all.is_empty() => "[]",
                    Value::Array(all) if all[0].is_string() => "strings",
                    _ => "objects",
                },
                500 => "500",
                other => panic!("{other}"),
            }
        };
        assert_eq!(read().await, running, "{generation:?}");
        house.panel.stop_xray();
        assert_eq!(read().await, stopped, "{generation:?}");
        house.panel.set_core(Core::NeverStarted);
        assert_eq!(read().await, without, "{generation:?}");
        // Only the restart, not what was online before it.
        house.panel.start_xray();
        house.panel.clients().iter().for_each(|client| {
            house.panel.edit_client(&client.email, |client| client.last_online_ms = 0);
        });
        assert_eq!(read().await, started, "{generation:?}");
    }
}

#[tokio::test]
async fn idle_users_flap_on_old_panels_and_have_twenty_seconds_on_new_ones() {
    for (generation, after_a_tick) in
        [(Generation::V2_8, false), (Generation::V3_0, false), (Generation::V3_6, true)]
    {
        let house = House::of(generation).await;
        house.panel.add_client("idle", |_| {});
        house.panel.use_traffic("idle", 1, 1);
        house.panel.advance(0);
        let is_online = async || {
            let online = house.obj("POST", house.onlines_path()).await;
            online.as_array().unwrap().contains(&json!("idle"))
        };
        assert!(is_online().await);
        house.pass(generation.tick_ms());
        assert_eq!(is_online().await, after_a_tick, "{generation:?}");
        house.pass(20_000);
        assert!(!is_online().await);
    }
}

#[tokio::test]
async fn a_shared_client_repeats_one_counter_in_each_of_its_inbounds() {
    for (generation, full, slim) in
        [(Generation::V3_1, 3, 1), (Generation::V3_6, 3, 3), (Generation::V3_7, 3, 3)]
    {
        let house = House::of(generation).await;
        let list = house.inbounds().await;
        let rows = stats(&list, "leo_shared");
        assert_eq!(rows.len(), full);
        assert!(rows.iter().all(|row| row == &rows[0] && row["inboundId"] == 3));
        assert_eq!(stats(&house.obj("GET", "panel/api/inbounds/list/slim").await, "leo_shared").len(), slim);
        let clients = house.obj("GET", "panel/api/clients/list").await;
        let orphan = clients.as_array().unwrap().iter().find(|client| client["email"] == "orphan").unwrap();
        assert!(orphan["inboundIds"].is_null());
        let kept = generation >= Generation::V3_6;
        assert_eq!(orphan.get("traffic").is_some(), kept);
        assert_eq!(stats(&list, "orphan").len(), usize::from(kept));
        let slim = house.obj("GET", "panel/api/inbounds/list/slim").await;
        assert_eq!(stats(&slim, "orphan").len(), usize::from(kept));
    }
}

#[tokio::test]
async fn enable_means_what_the_generation_means() {
    for (generation, stats_of_off, settings_of_depleted) in [
        (Generation::V2_6, true, true),
        (Generation::Alireza, false, true),
        (Generation::V2_8, false, true),
        (Generation::V3_0, false, false),
        (Generation::V3_6, false, false),
    ] {
        let house = House::of(generation).await;
        let list = house.inbounds().await;
        assert_eq!(stats(&list, "frank_off")[0]["enable"], stats_of_off, "{generation:?}");
        assert_eq!(stats(&list, "dave_depleted")[0]["enable"], false);
        let settings = &list[1]["settings"];
        let settings: Value = match settings.as_str() {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => settings.clone(),
        };
        assert_eq!(settings_enable(&settings, "frank_off"), false);
        assert_eq!(settings_enable(&settings, "dave_depleted"), settings_of_depleted, "{generation:?}");
    }
}

fn settings_enable(settings: &Value, email: &str) -> Value {
    let clients = settings["clients"].as_array().unwrap();
    clients.iter().find(|client| client["email"] == email).unwrap()["enable"].clone()
}

#[tokio::test]
async fn broken_settings_are_a_text_and_leave_the_rest_whole() {
    for generation in [Generation::Alireza, Generation::V2_8, Generation::V3_1, Generation::V3_6] {
        let house = House::of(generation).await;
        assert!(house.panel.break_settings(1));
        assert!(house.panel.edit_inbound(2, |inbound| inbound.stats_null = true));
        let list = house.inbounds().await;
        let text = list[0]["settings"].as_str().expect("a text");
        assert!(serde_json::from_str::<Value>(text).is_err() && text.contains("alice"));
        assert!(!stats(&list, "alice").is_empty());
        assert!(list[1]["clientStats"].is_null());
        assert_eq!(list[2]["settings"].is_object(), generation >= Generation::V3_1);
        assert_eq!(list[4]["streamSettings"].is_null(), generation >= Generation::V3_1);
    }
    let house = House::of(Generation::Vaxilu).await;
    assert!(house.inbounds().await[0].get("clientStats").is_none());
}

#[tokio::test]
async fn the_status_tells_less_than_the_truth() {
    for generation in Generation::ALL {
        let house = House::of(generation).await;
        house.panel.edit_host(|host| host.net_up = u64::MAX - 1000);
        let status = house.status().await;
        assert_eq!(status["netIO"]["up"], u64::MAX - 1000);
        let alireza = generation == Generation::Alireza;
        assert_eq!(status["xray"]["state"], if alireza { "Running" } else { "running" });

        house.panel.crash_xray();
        let status = house.status().await;
        assert_eq!(status["xray"]["state"], if alireza { "Error" } else { "running" });
        assert_eq!(status["xray"]["version"], "Unknown");
        assert!(generation == Generation::Vaxilu || status["appStats"]["uptime"] == 0);

        house.panel.start_xray();
        house.panel.restart_panel();
        assert!(house.status().await.is_null(), "{generation:?}");
        house.pass(2_000);
        assert!(house.status().await.is_object());
    }
}

#[tokio::test]
async fn older_panels_stop_to_sample_when_nobody_asks() {
    for (generation, age_s) in [(Generation::V2_6, 20), (Generation::V2_8, 0), (Generation::V3_6, 0)] {
        let house = House::of(generation).await;
        let before = house.status().await["uptime"].as_u64().unwrap();
        house.pass(200_000);
        assert_eq!(house.status().await["uptime"], before + 200 - age_s, "{generation:?}");
        house.pass(1_000);
        let asleep = if age_s == 0 { 0 } else { age_s + 1 };
        assert_eq!(house.status().await["uptime"], before + 201 - asleep, "{generation:?}");
        house.pass(2_000);
        assert_eq!(house.status().await["uptime"], before + 203);
    }
}

#[tokio::test]
async fn the_first_value_after_a_start_of_xray_is_lost_from_3_0_to_3_5() {
    for (generation, client, inbound) in [
        (Generation::V2_8, 30, 30),
        (Generation::V3_0, 20, 30),
        (Generation::V3_1, 20, 30),
        // 3.6 takes the first reading of all as the one to compare with.
        (Generation::V3_6, 20, 20),
    ] {
        let house = House::of(generation).await;
        let id = house.panel.add_inbound("vless", "new", |_| {});
        house.panel.add_client("burst", |client| client.inbound_ids = vec![id]);
        house.panel.start_xray();
        for _ in 0..3 {
            house.panel.use_traffic("burst", 0, 10);
            house.panel.advance(0);
        }
        assert_eq!(house.panel.client("burst").unwrap().down, client, "{generation:?}");
        assert_eq!(house.panel.inbounds().last().unwrap().down, inbound, "{generation:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_switched_off_costs_the_others_their_next_value() {
    let house = House::of(Generation::V3_1).await;
    house.panel.add_client("small", |client| client.total = 5);
    house.panel.add_client("other", |_| {});
    let use_both = |bytes| {
        house.panel.use_traffic("small", 0, bytes);
        house.panel.use_traffic("other", 0, bytes);
        house.panel.advance(0);
        house.panel.client("other").unwrap().down
    };
    assert_eq!(use_both(9), 9);
    assert!(house.panel.client("small").unwrap().switched_off);
    assert_eq!(use_both(9), 9);
    assert_eq!(use_both(9), 18);
    assert_eq!(house.panel.client("small").unwrap().down, 9);
}

#[tokio::test]
async fn a_large_list_costs_what_was_measured() {
    let options =
        Options { clients: 5_000, inbounds_per_client: 3, cost: Options::MEASURED, ..Options::default() };
    let house = House::open(options).await;
    let token = format!("Bearer {}", Options::default().token);
    let ask = async |path: &str| {
        let begun = Instant::now();
        let reply = house.ask("GET", path, &[("authorization", &token)], "").await;
        assert_eq!(reply.status, 200);
        (reply.body.len(), begun.elapsed().as_millis())
    };
    let (slim, took) = ask("/panel/api/inbounds/list/slim").await;
    assert!((3_000_000..5_500_000).contains(&slim), "{slim} bytes");
    assert!(took >= 250, "{took} ms");
    let (page, _) = ask("/panel/api/clients/list/paged?pageSize=200").await;
    assert!((60_000..140_000).contains(&page), "{page} bytes");
}

#[tokio::test]
async fn a_tls_port_answers_plain_http_in_no_version_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(xui::serve_tls_port(listener));
    let mut bytes = Vec::new();
    let mut stream = begin(address, "panel.example", "GET", "/", &[], "").await;
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"HTTP/0.0 307 "));
}
