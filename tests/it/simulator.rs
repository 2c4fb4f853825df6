//! The simulated panel against what a real one was recorded to answer, and against its own promises.

mod client;
mod cliproxy;
mod pasarguard;
mod recorded;
mod shape;
mod xui;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proxymeter::simulator::marzban::{Cost, Fault, Flavour, NextPlan, NodeStatus, Options, Status, Times};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use client::{House, NOW_MS, Reply};
use recorded::{endpoint, recordings};
use shape::Shape;

#[tokio::test]
async fn every_recorded_request_meets_an_answer_of_the_recorded_shape() {
    let house = House::open(Options { users: 200, ..Options::default() }).await;
    // Users of the recordings beyond those every panel is seeded with.
    for name in ["whale", "zoe_never", "live_01"] {
        assert!(house.panel.add_user(name, |user| user.used_traffic = 9_007_199_254_740_993));
    }
    let dead = house.token("root").await;
    house.panel.expire_tokens();
    let root = house.token("root").await;
    let reseller = house.token("reseller").await;

    let recordings = recordings();
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for recording in recordings.iter().filter(|recording| recording.status == 200) {
        let key = format!("{} {}", recording.method, endpoint(&recording.path));
        shapes.entry(key).or_default().learn(&serde_json::from_slice(&recording.body).unwrap());
    }
    let mut replayed = 0;
    for recording in &recordings {
        let authorization = match (recording.name.as_str(), recording.who.as_str()) {
            // The panel's state was another one; the tests below make it.
            (name, _) if name.starts_with("poison-") || name.starts_with("pwchange-") => continue,
            ("core-not-started" | "admin-usage-before" | "admin-usage-reset" | "admin-usage-404", _) => {
                continue;
            }
            ("openapi-unauthenticated", _) => continue,
            ("system-basic-auth", _) => Some("Basic cm9vdDpyb290".to_owned()),
            ("system-garbage-token", _) => Some("Bearer garbage".to_owned()),
            ("system-expired-token" | "system-foreign-secret-token" | "system-deleted-admin-token", _) => {
                Some(format!("Bearer {dead}"))
            }
            (_, "sudo" | "envsudo" | "root") => Some(format!("Bearer {root}")),
            (_, "nonsudo" | "reseller") => Some(format!("Bearer {reseller}")),
            (_, _) => None,
        };
        replayed += 1;
        let headers: Vec<(&str, &str)> =
            authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        // The environment's admin is not simulated; its token looks like any other.
        let body = recording.request_body.replace("envroot", "root").replace("-pw-1", "-password");
        let reply = house.ask(&recording.method, &recording.path, &headers, &body).await;
        let name = &recording.name;
        assert_eq!(reply.status, recording.status, "{name}");
        for header in ["content-type", "www-authenticate", "allow", "server"] {
            assert_eq!(
                reply.header(header),
                recording.headers.get(header).map(String::as_str),
                "{name}: {header}"
            );
        }
        assert!(reply.header("date").is_some() && reply.header("transfer-encoding").is_none(), "{name}");
        if recording.method == "HEAD" {
            assert_eq!(
                reply.header("content-length"),
                recording.headers.get("content-length").map(String::as_str)
            );
            assert!(reply.body.is_empty());
            continue;
        }
        assert_eq!(reply.content_length(), Some(reply.body.len()), "{name}");
        match recording.status {
            200 => {
                let key = format!("{} {}", recording.method, endpoint(&recording.path));
                let differences = shapes[&key].differences(&reply.json());
                assert!(differences.is_empty(), "{name}: {differences:#?}");
            }
            307 => {
                let location = format!("http://{}/api/users", house.address);
                assert_eq!(reply.header("location"), Some(location.as_str()));
            }
            500.. => assert_eq!(reply.body, recording.body, "{name}"),
            _ => {
                assert_eq!(reply.json(), serde_json::from_slice::<Value>(&recording.body).unwrap(), "{name}");
            }
        }
    }
    assert!(replayed > 100, "only {replayed} recordings were replayed");
}

#[tokio::test]
async fn a_row_weighs_what_a_recorded_row_weighs() {
    let house = House::open(Options { users: 500, ..Options::default() }).await;
    let reply = house.get("/api/users?limit=500&sort=username", &house.token("root").await).await;
    let per_user = reply.body.len() / 500;
    assert!((3400..4400).contains(&per_user), "{per_user} bytes");
}

#[tokio::test]
async fn tokens_live_and_die_as_upstream() {
    let house = House::open(Options::default()).await;
    let status = async |token: &str| house.get("/api/nodes", token).await.status;

    let token = house.token("root").await;
    let claims = claims(&token);
    let now_s = NOW_MS / 1000;
    assert_eq!(claims, json!({ "sub": "root", "access": "sudo", "iat": now_s, "exp": now_s + 86_400 }));
    assert_eq!(status(&token).await, 200);
    house.pass(86_400);
    assert_eq!(status(&token).await, 401);

    let token = house.token("root").await;
    assert!(house.panel.reset_password("root", "root-password"));
    let same_second = house.token("root").await;
    house.pass(1);
    let later = house.token("root").await;
    assert_eq!((status(&token).await, status(&same_second).await, status(&later).await), (401, 401, 200));

    assert!(house.panel.demote("root"));
    assert_eq!(status(&later).await, 403);
    assert!(house.panel.promote("root"));
    assert_eq!(status(&later).await, 200);
    house.panel.expire_tokens();
    assert_eq!(status(&later).await, 401);

    assert_eq!(house.login("root", "wrong").await.status, 401);
    assert_eq!((house.panel.logins(), house.panel.refused_logins()), (4, 1));

    let house = House::open(Options { token_lifetime: None, ..Options::default() }).await;
    assert!(self::claims(&house.token("reseller").await).get("exp").is_none());
}

/// The payload of a JWT; its letters need no padding nor special characters here.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let mut bits = 0_u32;
    let mut bytes = Vec::new();
    for (place, letter) in payload.bytes().enumerate() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        if place % 4 > 0 {
            bytes.push(u8::try_from(bits >> (6 - 2 * (place % 4)) & 0xff).unwrap());
        }
    }
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn pages_put_together_are_the_whole_list() {
    for flavour in [Flavour::Marzban, Flavour::Marzban07, Flavour::PasarGuard] {
        let house = House::open(Options { users: 103, flavour, ..Options::default() }).await;
        let token = house.token("root").await;
        let whole = without_fresh(house.json("/api/users?sort=username", &token).await);
        let mut pages = Vec::new();
        loop {
            let path = format!("/api/users?offset={}&limit=7&sort=username", pages.len());
            let page = without_fresh(house.json(&path, &token).await);
            assert_eq!(page["total"], 103);
            let users = page["users"].as_array().unwrap();
            if users.is_empty() {
                break;
            }
            pages.extend(users.iter().cloned());
        }
        assert_eq!(Value::from(pages), whole["users"], "{flavour:?}");
        let names: Vec<_> = whole["users"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["username"].as_str().unwrap())
            .collect();
        assert_eq!(names, house.panel.user_names(), "{flavour:?}");
        for limit in ["0", "-1", "1000"] {
            let all = house.json(&format!("/api/users?limit={limit}&sort=username"), &token).await;
            assert_eq!(without_fresh(all), whole, "{flavour:?} limit={limit}");
        }
        let backwards = house.json("/api/users?sort=-username&limit=1", &token).await;
        assert_eq!(backwards["users"][0]["username"], *names.last().unwrap(), "{flavour:?}");
    }
}

/// A list without what differs from answer to answer.
fn without_fresh(mut list: Value) -> Value {
    for user in list["users"].as_array_mut().unwrap() {
        user.as_object_mut().unwrap().remove("subscription_url");
    }
    list
}

#[tokio::test]
async fn subscription_links_differ_from_answer_to_answer() {
    let house = House::open(Options::default()).await;
    let token = house.token("root").await;
    let first = house.json("/api/user/alice", &token).await;
    let second = house.json("/api/user/alice", &token).await;
    assert_ne!(first["subscription_url"], second["subscription_url"]);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_panel_and_the_same_life() {
    async fn life(seed: u64) -> (Vec<u8>, Value, Value) {
        let house = House::open(Options { users: 300, seed, ..Options::default() }).await;
        let token = house.token("root").await;
        house.pass(5400);
        house.panel.advance(5400);
        let list = house.get("/api/users?sort=username", &token).await.body;
        (list, house.json("/api/system", &token).await, house.json("/api/nodes/usage", &token).await)
    }
    assert_eq!(life(7).await, life(7).await);
    assert_ne!(life(7).await.0, life(8).await.0);
}

#[tokio::test]
async fn system_counts_what_the_list_shows() {
    for (flavour, who) in [
        (Flavour::Marzban, "root"),
        (Flavour::Marzban, "reseller"),
        (Flavour::PasarGuard, "root"),
        (Flavour::PasarGuard, "reseller"),
    ] {
        let house = House::open(Options { users: 700, flavour, ..Options::default() }).await;
        house.pass(86_400);
        house.panel.advance(86_400);
        let token = house.token(who).await;
        let list = house.json("/api/users", &token).await;
        let system = house.json("/api/system", &token).await;
        let users = list["users"].as_array().unwrap();
        assert_eq!(system["total_user"], users.len());
        for status in ["active", "on_hold", "disabled", "expired", "limited"] {
            let count = users.iter().filter(|user| user["status"] == status).count();
            let key = match flavour {
                Flavour::PasarGuard => format!("{status}_users"),
                _ => format!("users_{status}"),
            };
            assert_eq!(system[&key], count, "{flavour:?} {who} {status}");
            let filtered = house.json(&format!("/api/users?status={status}&limit=1"), &token).await;
            assert_eq!(filtered["total"], count, "{flavour:?} {who} {status}");
        }
        if who == "root" {
            let totals = house.panel.totals();
            let sum = |key: &str| users.iter().map(|user| user[key].as_u64().unwrap()).sum::<u64>();
            assert_eq!(sum("used_traffic"), totals.used_traffic);
            assert_eq!(sum("lifetime_used_traffic"), totals.lifetime_used_traffic);
            assert_eq!(system["online_users"], totals.online);
            assert!(totals.online > 0 && totals.online < users.len());
        }
    }
}

#[tokio::test]
async fn a_mix_of_every_kind_of_user_is_there() {
    let house = House::open(Options { users: 2000, ..Options::default() }).await;
    let list = house.json("/api/users", &house.token("root").await).await;
    let users = list["users"].as_array().unwrap();
    let has = |what: &str, is: &dyn Fn(&Value) -> bool| assert!(users.iter().any(is), "no user {what}");
    has("without owner", &|user| user["admin"].is_null());
    has("never online", &|user| user["online_at"].is_null());
    has("with an old zero", &|user| user["expire"] == 0 && user["data_limit"] == 0);
    has("on hold with timeout", &|user| !user["on_hold_timeout"].is_null());
    has("on hold without", &|user| user["status"] == "on_hold" && user["on_hold_timeout"].is_null());
    has("with a next plan", &|user| !user["next_plan"].is_null());
    has("with emoji", &|user| user["note"].as_str().is_some_and(|note| note.contains('👧')));
    has("with lines and quotes", &|user| user["note"].as_str().is_some_and(|note| note.contains("\"\n")));
    has("near the limit", &|user| {
        let (used, limit) = (user["used_traffic"].as_f64().unwrap(), user["data_limit"].as_f64());
        user["status"] == "active" && limit.is_some_and(|limit| used > limit * 0.9)
    });
    let names: BTreeSet<_> = users.iter().map(|user| user["username"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2000);
    let valid = |letter: char| letter.is_ascii_alphanumeric() || "_-@.".contains(letter);
    assert!(names.iter().all(|name| (3..=32).contains(&name.len()) && name.chars().all(valid)));
}

#[tokio::test]
async fn a_page_of_fifty_thousand_costs_only_what_it_shows() {
    let house = House::open(Options { users: 50_000, ..Options::default() }).await;
    let token = house.token("root").await;
    for offset in [0, 25_000, 49_500] {
        let before = house.panel.rows_examined();
        let page = house.json(&format!("/api/users?offset={offset}&limit=500&sort=username"), &token).await;
        assert_eq!(page["users"].as_array().unwrap().len(), 500);
        assert_eq!(page["total"], 50_000);
        assert_eq!(house.panel.rows_examined() - before, 500);
    }
    let before = house.panel.rows_examined();
    house.json("/api/users?status=active&limit=1", &token).await;
    assert_eq!(house.panel.rows_examined() - before, 50_001);
}

#[tokio::test]
async fn a_list_being_sent_does_not_change_under_way() {
    let house = House::open(Options { users: 3000, ..Options::default() }).await;
    let authorization = format!("Bearer {}", house.token("root").await);
    let mut stream = house.begin("GET", "/api/users", &[("authorization", &authorization)], "").await;
    let mut bytes = vec![0; 1000];
    stream.read_exact(&mut bytes).await.unwrap();
    for name in house.panel.user_names() {
        assert!(house.panel.edit_user(&name, |user| user.used_traffic = 1 << 60));
        assert!(house.panel.remove_user(&name));
    }
    stream.read_to_end(&mut bytes).await.unwrap();
    let reply = Reply::of(&bytes);
    assert_eq!(reply.content_length(), Some(reply.body.len()));
    assert_eq!(reply.json()["users"].as_array().unwrap().len(), 3000);
    assert_eq!(house.panel.totals().users, 0);
}

#[tokio::test]
async fn traffic_shows_everywhere_it_should() {
    let house = House::open(Options { users: 400, ..Options::default() }).await;
    let token = house.token("root").await;
    let hour_usage = async || {
        let usage = house.json("/api/nodes/usage?start=2026-11-21T03:00:00%2B00:00", &token).await;
        let usages = usage["usages"].as_array().unwrap().clone();
        let sum = |key: &str| usages.iter().map(|node| node[key].as_u64().unwrap()).sum::<u64>();
        (sum("uplink"), sum("downlink"), usages)
    };
    let (totals, bandwidth) = (house.panel.totals(), house.panel.bandwidth());
    let (up, down, _) = hour_usage().await;
    house.pass(600);
    house.panel.advance(600);
    let (up_later, down_later, usages) = hour_usage().await;
    let moved = (house.panel.bandwidth().0 - bandwidth.0, house.panel.bandwidth().1 - bandwidth.1);
    assert!(moved.0 > 0 && moved.1 > 0);
    assert_eq!(moved, (up_later - up, down_later - down));
    assert!(house.panel.totals().used_traffic > totals.used_traffic);
    assert_eq!(
        (usages[0]["node_id"].clone(), usages[0]["node_name"].clone()),
        (json!(null), json!("Master"))
    );
    // The disabled node carries nothing.
    assert_eq!((usages[4]["uplink"].clone(), usages[4]["downlink"].clone()), (json!(0), json!(0)));

    house.panel.stop_recording();
    let before = house.panel.bandwidth();
    house.pass(600);
    house.panel.advance(600);
    assert_eq!(house.panel.bandwidth(), before);
}

#[tokio::test]
async fn users_and_nodes_obey_the_verbs() {
    let house = House::open(Options { users: 30, ..Options::default() }).await;
    let token = house.token("root").await;
    let panel = &house.panel;
    assert!(panel.add_user("newcomer", |user| user.data_limit = Some(1000)));
    assert!(!panel.add_user("newcomer", |_| {}));
    assert!(panel.use_traffic("newcomer", 1000));
    panel.advance(0);
    let user = house.json("/api/user/newcomer", &token).await;
    assert_eq!((user["status"].clone(), user["used_traffic"].clone()), (json!("limited"), json!(1000)));
    assert_eq!(user["online_at"], "2026-11-21T03:06:31.250000");
    assert!(panel.reset_user("newcomer"));
    let user = house.json("/api/user/newcomer", &token).await;
    assert_eq!(
        (user["status"].clone(), user["lifetime_used_traffic"].clone()),
        (json!("active"), json!(1000))
    );
    assert!(panel.renew_user("newcomer", 60));
    house.pass(61);
    panel.advance(0);
    assert_eq!(panel.user("newcomer").unwrap().status, Status::Expired);
    assert!(panel.set_status("newcomer", Status::Disabled));
    let plan =
        NextPlan { data_limit: Some(5), expire: None, add_remaining_traffic: false, fire_on_either: true };
    assert!(panel.set_next_plan("newcomer", Some(plan)));
    assert_eq!(house.json("/api/user/newcomer", &token).await["next_plan"]["data_limit"], 5);
    assert!(panel.set_next_plan("newcomer", None));
    assert_eq!(house.json("/api/user/newcomer", &token).await["next_plan"], json!(null));
    assert!(panel.set_owner("newcomer", Some("reseller")));
    assert!(!panel.set_owner("newcomer", Some("nobody")));
    let reseller = house.token("reseller").await;
    assert_eq!(house.get("/api/user/newcomer", &reseller).await.status, 200);
    assert!(panel.remove_user("newcomer"));
    assert!(!panel.remove_user("newcomer"));
    assert_eq!(house.get("/api/user/newcomer", &token).await.status, 404);

    // First traffic ends the waiting.
    assert!(panel.use_traffic("ivan_onhold", 5));
    panel.advance(0);
    let now_s = NOW_MS / 1000 + 61;
    let ivan = panel.user("ivan_onhold").unwrap();
    assert_eq!((ivan.status, ivan.expire), (Status::Active, Some(now_s + 30 * 86_400)));

    assert!(panel.set_node_status(1, NodeStatus::Error, Some("boom")));
    let node = house.json("/api/node/1", &token).await;
    assert_eq!((node["status"].clone(), node["message"].clone()), (json!("error"), json!("boom")));
    assert!(node["xray_version"].is_null());
    assert!(!panel.set_node_status(0, NodeStatus::Error, None));
    panel.stop_core();
    assert_eq!(house.json("/api/core", &token).await["started"], false);
    panel.start_core();
    assert_eq!(house.json("/api/core", &token).await["started"], true);
}

#[tokio::test]
async fn a_poisoned_row_spoils_only_what_holds_it() {
    let house = House::open(Options { users: 30, ..Options::default() }).await;
    let token = house.token("root").await;
    let names = house.panel.user_names();
    assert!(house.panel.poison_user(&names[10]));
    for (path, status) in [
        ("/api/users".to_owned(), 500),
        ("/api/users?offset=5&limit=10&sort=username".to_owned(), 500),
        ("/api/users?offset=0&limit=10&sort=username".to_owned(), 200),
        ("/api/users?offset=11&limit=10&sort=username".to_owned(), 200),
        (format!("/api/user/{}", names[10]), 500),
        ("/api/system".to_owned(), 200),
    ] {
        let reply = house.get(&path, &token).await;
        assert_eq!(reply.status, status, "{path}");
        if status == 500 {
            assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(reply.body, b"Internal Server Error");
        }
    }
}

#[tokio::test]
async fn every_fault_shows_on_the_wire() {
    let house = House::open(Options { users: 50, ..Options::default() }).await;
    let token = house.token("root").await;
    let path = "/api/users?sort=username";
    let right = house.get(path, &token).await;
    let faulty = async |fault: Fault| {
        house.panel.wire.fail("/api/users", fault, Times::Once);
        house.get(path, &token).await
    };

    for (status, content_type) in [
        (401, "application/json"),
        (403, "application/json"),
        (404, "application/json"),
        (429, "application/json"),
        (500, "text/plain; charset=utf-8"),
        (502, "text/html; charset=utf-8"),
    ] {
        let reply = faulty(Fault::Status(status)).await;
        assert_eq!((reply.status, reply.header("content-type")), (status, Some(content_type)));
    }
    let reply = faulty(Fault::Html).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html; charset=utf-8")));

    let reply = faulty(Fault::CutJson).await;
    assert_eq!(reply.content_length(), Some(reply.body.len()));
    assert_eq!(reply.body.len(), right.body.len() / 2);

    let reply = faulty(Fault::ClosedMidBody).await;
    assert_eq!(reply.content_length(), Some(right.body.len()));
    assert_eq!(reply.body.len(), right.body.len() / 2);

    house.panel.wire.fail("/api/users", Fault::Closed, Times::Once);
    let mut bytes = Vec::new();
    let authorization = format!("Bearer {token}");
    let mut stream = house.begin("GET", path, &[("authorization", &authorization)], "").await;
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.is_empty());

    let reply = faulty(Fault::SlowDrip { bytes: 32 * 1024, every: Duration::from_millis(1) }).await;
    assert_eq!(without_fresh(reply.json()), without_fresh(right.json()));
    let reply = faulty(Fault::Delay(Duration::from_millis(5))).await;
    assert_eq!(without_fresh(reply.json()), without_fresh(right.json()));

    house.panel.wire.fail("/api/users", Fault::EndlessBody, Times::Once);
    let mut stream = house.begin("GET", path, &[("authorization", &authorization)], "").await;
    let mut much = vec![0; 4 * 1024 * 1024];
    stream.read_exact(&mut much).await.unwrap();
    let head = Reply::of(&much);
    assert_eq!((head.status, head.content_length()), (200, None));

    let reply = faulty(Fault::GzipBomb(8 * 1024 * 1024)).await;
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert!(reply.body.len() < 256 * 1024, "{}", reply.body.len());
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(reply.body.as_slice()), &mut unpacked)
        .unwrap();
    assert!(unpacked.len() > 8 * 1024 * 1024);

    let wrong = faulty(Fault::WrongTypes).await.json();
    assert_eq!(wrong["total"], "many");
    assert_eq!(wrong["users"][0]["username"], 7);
    assert_eq!(wrong["users"].as_array().unwrap().len(), 50);
    let garbage = Fault::Instead { status: 200, content_type: "text/plain", body: "\u{1f}not JSON" };
    let reply = faulty(garbage).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/plain")));
    assert_eq!(reply.body, b"\x1fnot JSON");
    let reply = faulty(Fault::Redirect("http://elsewhere.example/".to_owned())).await;
    assert_eq!((reply.status, reply.header("location")), (307, Some("http://elsewhere.example/")));

    house.panel.wire.fail("/api", Fault::Status(500), Times::Always);
    assert_eq!(house.get("/api/system", &token).await.status, 500);
    house.panel.wire.heal();
    assert_eq!(house.get("/api/system", &token).await.status, 200);
}

#[tokio::test]
async fn requests_are_remembered_and_those_in_flight_counted() {
    let house = House::open(Options::default()).await;
    let token = house.token("root").await;
    for _ in 0..3 {
        house.get("/api/system?x=1", &token).await;
    }
    assert_eq!(house.panel.wire.max_in_flight(), 1);
    assert_eq!(house.panel.wire.requests_to("/api/system"), 3);
    let requests = house.panel.wire.requests();
    let (login, read) = (&requests[0], &requests[1]);
    assert_eq!((&*login.method, &*login.target, login.status), ("POST", "/api/admin/token", Some(200)));
    assert_eq!(login.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!((&*read.method, &*read.target, read.status), ("GET", "/api/system?x=1", Some(200)));
    assert_eq!(read.header("authorization"), Some(&*format!("Bearer {token}")));
    house.get("/api/system", "garbage").await;
    assert_eq!(house.panel.wire.requests()[4].status, Some(401));

    house.panel.wire.fail("/api/core", Fault::Hang, Times::Always);
    let first = house.begin("GET", "/api/core", &[], "").await;
    let second = house.begin("GET", "/api/core", &[], "").await;
    wait_for_requests(&house, "/api/core", 2).await;
    assert_eq!(house.panel.wire.max_in_flight(), 2);
    assert_eq!(house.panel.wire.requests().last().unwrap().status, None);

    // An answer to a request that is forgotten does not count as another's.
    house.panel.wire.forget_requests();
    assert!(house.panel.wire.requests().is_empty());
    house.panel.wire.heal();
    house.panel.wire.fail("/api/system", Fault::Delay(Duration::from_millis(50)), Times::Once);
    let mut slow = house.begin("GET", "/api/system", &[], "").await;
    wait_for_requests(&house, "/api/system", 1).await;
    house.panel.wire.forget_requests();
    house.panel.wire.fail("/api/core", Fault::Hang, Times::Once);
    let third = house.begin("GET", "/api/core", &[], "").await;
    wait_for_requests(&house, "/api/core", 1).await;
    slow.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(house.panel.wire.requests()[0].status, None);
    drop((first, second, third));
}

async fn wait_for_requests(house: &House, path: &str, count: usize) {
    tokio::time::timeout(Duration::from_secs(30), async {
        while house.panel.wire.requests_to(path) < count {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_answer_takes_the_configured_time_for_every_row() {
    let cost = Cost { per_request: Duration::from_millis(20), per_row: Duration::from_millis(5) };
    let house = House::open(Options { users: 30, cost, ..Options::default() }).await;
    let token = house.token("root").await;
    let started = tokio::time::Instant::now();
    house.json("/api/users?limit=10", &token).await;
    assert!(started.elapsed() >= Duration::from_millis(70), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_old_marzban_counts_less_and_knows_no_z() {
    let house = House::open(Options { flavour: Flavour::Marzban07, ..Options::default() }).await;
    let token = house.token("root").await;
    let system = house.json("/api/system", &token).await;
    let keys: Vec<_> = system.as_object().unwrap().keys().filter(|key| key.contains("user")).collect();
    assert_eq!(keys, ["total_user", "users_active"]);
    assert!(house.json("/api/admins", &token).await[0].get("users_usage").is_none());
    assert!(house.json("/api/user/alice", &token).await.get("next_plan").is_none());
    assert_eq!(house.get("/api/nodes/usage?start=2026-11-01T00:00:00Z", &token).await.status, 400);
    assert_eq!(house.get("/api/nodes/usage?start=2026-11-01T00:00:00%2B00:00", &token).await.status, 200);
}
