//! Keys, strikes, bans, and the three kinds of 404.

use proxymeter::simulator::cliproxy::{Generation, Options, Traffic};
use serde_json::{Value, json};

use super::house::{House, QUEUE};

const FLAG: &str = "/v0/management/usage-statistics-enabled";

async fn error(house: &House, headers: &[(&str, &str)]) -> (u16, String) {
    let reply = house.ask("GET", FLAG, headers).await;
    (reply.status, reply.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn five_failures_ban_an_address_for_half_an_hour_the_right_key_included() {
    let house = House::of(Generation::V7_2).await;
    let wrong = [("authorization", "Bearer wrong")];
    for _ in 0..4 {
        assert_eq!(error(&house, &wrong).await, (401, "invalid management key".to_owned()));
    }
    assert_eq!(house.get(FLAG).await.status, 200);
    for _ in 0..5 {
        assert_eq!(error(&house, &wrong).await.0, 401);
    }
    let banned =
        |left: &str| (403, format!("IP banned due to too many failed attempts. Try again in {left}"));
    let right = [("authorization", "Bearer management-key")];
    assert_eq!(error(&house, &right).await, banned("30m0s"));
    house.pass(5_000);
    assert_eq!(error(&house, &right).await, banned("29m55s"));
    assert_eq!(house.ask("GET", "/healthz", &[]).await.status, 200);
    // Another address may ask all the same; one that says it is another may be banned for it.
    let other = [("authorization", "Bearer management-key"), ("x-forwarded-for", "192.0.2.7, 127.0.0.1")];
    assert_eq!(house.ask("GET", FLAG, &other).await.status, 200);
    house.pass(1_795_000);
    assert_eq!(house.get(FLAG).await.status, 200);
    assert_eq!((house.server.bans(), house.server.refused_requests()), (1, 11));
    house.server.ban("127.0.0.1");
    assert_eq!(house.get(FLAG).await.status, 403);
    house.server.restart();
    assert_eq!(house.get(FLAG).await.status, 200);
}

#[tokio::test]
async fn keys_are_read_as_the_server_reads_them() {
    let house = House::of(Generation::V6_10).await;
    for (headers, status) in [
        (vec![("authorization", "bearer management-key")], 200),
        (vec![("authorization", "management-key")], 200),
        (vec![("x-management-key", "management-key")], 200),
        (vec![("authorization", "Bearer  management-key")], 401),
        (vec![("authorization", "Bearer ")], 401),
        (vec![("authorization", "Basic eA=="), ("x-management-key", "management-key")], 401),
        (vec![("x-management-key", "management-key")], 200),
        (vec![], 401),
    ] {
        assert_eq!(house.ask("GET", FLAG, &headers).await.status, status, "{headers:?}");
    }
    // Before 6.9.38 localhost is never banned, from 8.0 on only the peer counts.
    for (generation, address, banned) in [
        (Generation::V6_6, None, false),
        (Generation::V6_6, Some("192.0.2.7"), true),
        (Generation::V6_9, None, true),
        (Generation::V8_0, Some("192.0.2.7"), true),
    ] {
        let house = House::of(generation).await;
        let mut wrong = vec![("authorization", "Bearer wrong")];
        wrong.extend(address.map(|address| ("x-forwarded-for", address)));
        for _ in 0..5 {
            assert_eq!(house.ask("GET", FLAG, &wrong).await.status, 401);
        }
        let status = house.ask("GET", FLAG, &wrong).await.status;
        assert_eq!(status == 403, banned, "{generation:?} {address:?}");
        assert_eq!(
            house.get(FLAG).await.status == 403,
            banned && address.is_none() || generation == Generation::V8_0
        );
    }
}

#[tokio::test]
async fn remote_management_can_be_off() {
    let options = Options { allow_remote: false, traffic: Traffic::None, ..Options::default() };
    let house = House::open(options).await;
    let remote = [("authorization", "Bearer management-key"), ("x-forwarded-for", "192.0.2.7")];
    assert_eq!(error(&house, &remote).await, (403, "remote management disabled".to_owned()));
    assert_eq!(house.get(FLAG).await.status, 200);
}

#[tokio::test]
async fn there_are_three_kinds_of_404() {
    let kind = async |house: &House, path: &str| {
        let reply = house.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        (String::from_utf8(reply.body.clone()).unwrap(), reply.header("x-cpa-version").is_some())
    };
    for (generation, path, text, version) in [
        (Generation::V6_9, QUEUE, "404 page not found", false),
        (Generation::V6_10_0, "/v0/management/usage", "404 page not found", false),
        (Generation::V6_10_0, QUEUE, "404 page not found", false),
        (Generation::V6_10, "/v0/management/usage", "404 page not found", false),
        (Generation::V7_2, "/v0/management/usage", "", true),
        (Generation::V7_2, "/v8/management/credentials", "404 page not found", false),
        (Generation::V8_0, "/v8/management/usage", "", true),
    ] {
        let house = House::of(generation).await;
        assert_eq!(kind(&house, path).await, (text.to_owned(), version), "{generation:?} {path}");
        // In 7.2 even a path that does not exist is a failure without a key.
        let keyless = house.ask("GET", path, &[]).await.status;
        let strikes = generation == Generation::V7_2 && path.starts_with("/v0");
        assert_eq!(keyless, if strikes { 401 } else { 404 }, "{generation:?} {path}");
        house.server.set_management(false);
        assert_eq!(kind(&house, FLAG).await, (String::new(), false), "{generation:?}");
    }
    let options = Options {
        generation: Generation::V8_0,
        serves_v0: false,
        traffic: Traffic::None,
        ..Options::default()
    };
    let house = House::open(options).await;
    assert_eq!(house.get(FLAG).await.status, 404);
    let flag = "/v8/management/config/observability/usage/usage-statistics-enabled";
    assert_eq!(house.json(flag).await, json!(true));
}

#[tokio::test]
async fn a_probe_of_the_queue_pops_nothing() {
    let house = House::of(Generation::V7_2).await;
    house.server.attempts(3);
    for count in ["0", "-1", "abc", "1.5", "99999999999999999999"] {
        let reply = house.get(&format!("{QUEUE}?count={count}")).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.json(), json!({ "error": "count must be a positive integer" }));
    }
    for method in ["HEAD", "POST"] {
        let key = [("authorization", "Bearer management-key")];
        assert_eq!(house.ask(method, QUEUE, &key).await.status, 404);
    }
    let slash = house.get(&format!("{QUEUE}/?count=5")).await;
    assert_eq!((slash.status, slash.header("location")), (301, Some(&*format!("{QUEUE}?count=5"))));
    let recorded = house.server.recorded().all().attempts;
    assert_eq!(house.server.queued(), usize::try_from(recorded).unwrap());
    assert_eq!(house.json(QUEUE).await.as_array().map(Vec::len), Some(1), "one by default");
}

#[tokio::test]
async fn the_version_is_what_it_is_set_to() {
    let version = Some("dev".to_owned());
    let house = House::open(Options { version, ..Options::default() }).await;
    assert_eq!(house.get(FLAG).await.header("x-cpa-version"), Some("dev"));
    assert_eq!(house.get(FLAG).await.json(), json!({ "usage-statistics-enabled": true }));
    house.server.set_statistics(false);
    assert_eq!(house.get(FLAG).await.json()["usage-statistics-enabled"], Value::Bool(false));
}
