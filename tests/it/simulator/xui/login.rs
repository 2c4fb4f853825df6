//! Who may ask, and what the others get.

use proxymeter::simulator::xui::{Generation, Options, Scope, Token};
use serde_json::json;

use super::house::{AJAX, House};

const RIGHT: &str = "username=admin&password=admin-password";
const WRONG: &str = "username=admin&password=guess";
const MINUTE_MS: i64 = 60_000;

#[tokio::test]
async fn a_login_opens_every_generation() {
    for generation in Generation::ALL {
        let house = House::of(generation).await;
        let (reply, session) = house.try_login(RIGHT, &[]).await;
        assert_eq!(reply.json()["success"], true, "{generation:?}");
        assert!(session.cookie.starts_with(&format!("{}=", generation.cookie())), "{generation:?}");
        assert!(!house.inbounds().await.as_array().unwrap().is_empty(), "{generation:?}");
        let json = r#"{"username":"admin","password":"admin-password","other":1}"#;
        let anonymous = house.anonymous().await;
        let headers = [anonymous.headers(), vec![("content-type", "application/json")]].concat();
        let reply = house.ask("POST", "/login", &headers, json).await;
        assert_eq!(reply.json()["success"], true, "{generation:?}");
        // The two above and the one of `inbounds`.
        assert_eq!(
            house.panel.logins(),
            if generation.cookie() == "3x-ui" && generation >= Generation::V3_0_0 { 2 } else { 3 }
        );
    }
}

#[tokio::test]
async fn csrf_tokens_guard_what_a_cookie_may_post_from_3_0_on() {
    for generation in Generation::ALL {
        let house = House::of(generation).await;
        let guarded = generation >= Generation::V3_0_0;
        let reply = house.ask("GET", "/csrf-token", &[AJAX], "").await;
        assert_eq!(reply.status, if guarded { 200 } else { 404 }, "{generation:?}");
        if !guarded {
            continue;
        }
        assert!(reply.json().get("msg").is_none());
        let session = house.session().await;
        let path = format!("/{}", house.onlines_path());
        let cookie = ("cookie", session.cookie.as_str());
        for (headers, expected) in [
            (vec![AJAX, cookie], 403),
            (vec![AJAX, cookie, ("x-csrf-token", "wrong")], 403),
            (vec![AJAX, ("x-csrf-token", session.csrf.as_str())], 401),
            (session.headers(), 200),
        ] {
            let reply = house.ask("POST", &path, &headers, "").await;
            // 3.0.0 hides what is there from strangers.
            let expected = if generation == Generation::V3_0_0 && expected == 401 { 404 } else { expected };
            assert_eq!(reply.status, expected, "{generation:?} {headers:?}");
            assert!(expected == 200 || reply.body.is_empty());
        }
        assert_eq!(house.ask("POST", "/login", &[AJAX], RIGHT).await.status, 403);
    }
}

#[tokio::test]
async fn five_failures_lock_an_address_and_name_out_from_3_0_on() {
    let house = House::of(Generation::V3_6).await;
    let from = |address: &'static str| [("x-forwarded-for", address)];
    let (one, other) = (from("203.0.113.77"), from("203.0.113.78"));
    for _ in 0..5 {
        house.try_login(WRONG, &one).await;
    }
    assert_eq!(house.panel.lockouts(), 1);
    let refused = house.try_login(RIGHT, &one).await.0.json();
    assert_eq!(refused, house.try_login(WRONG, &one).await.0.json(), "one text for both");
    let upper = "username=ADMIN&password=admin-password";
    assert_eq!(house.try_login(upper, &one).await.0.json(), refused);
    assert_eq!(house.try_login(RIGHT, &other).await.0.json()["success"], true);
    // Tries in between do not prolong it.
    house.pass(14 * MINUTE_MS);
    assert_eq!(house.try_login(RIGHT, &one).await.0.json(), refused);
    house.pass(MINUTE_MS);
    assert_eq!(house.try_login(RIGHT, &one).await.0.json()["success"], true);

    // A success clears the count, time makes it forget, a restart opens the lock.
    for _ in 0..3 {
        for _ in 0..4 {
            house.try_login(WRONG, &one).await;
        }
        assert_eq!(house.try_login(RIGHT, &one).await.0.json()["success"], true);
    }
    for _ in 0..12 {
        house.try_login(WRONG, &one).await;
        house.pass(2 * MINUTE_MS);
    }
    assert_eq!(house.panel.lockouts(), 1);
    for _ in 0..5 {
        house.try_login(WRONG, &other).await;
    }
    assert_eq!(house.panel.lockouts(), 2);
    house.panel.restart_panel();
    assert_eq!(house.try_login(RIGHT, &other).await.0.json()["success"], true);
    assert!(house.panel.passwords_logged().is_empty());
}

#[tokio::test]
async fn older_panels_lock_nobody_out_and_log_each_wrong_password() {
    for generation in [Generation::Vaxilu, Generation::Alireza, Generation::V1_7, Generation::V2_8] {
        let house = House::of(generation).await;
        for number in 0..8 {
            let form = format!("username=admin&password=guess-{number}");
            assert_eq!(house.try_login(&form, &[]).await.0.json()["success"], false);
        }
        assert_eq!(house.try_login(RIGHT, &[]).await.0.json()["success"], true);
        assert_eq!(house.panel.passwords_logged().len(), 8);
        assert_eq!((house.panel.logins(), house.panel.refused_logins(), house.panel.lockouts()), (1, 8, 0));
    }
}

#[tokio::test]
async fn a_second_factor_counts_where_the_generation_has_one() {
    let secret = Some("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned());
    for generation in [Generation::V2_6, Generation::V2_8, Generation::V3_1, Generation::V3_7] {
        let options = Options { generation, totp_secret: secret.clone(), ..Options::default() };
        let house = House::open(options).await;
        let with = |code: &str| format!("{RIGHT}&twoFactorCode={code}");
        let code = house.panel.two_factor_code().unwrap();
        for (form, expected) in
            [(RIGHT.to_owned(), false), (with("000000"), false), (with(&code), true), (with(&code), true)]
        {
            assert_eq!(
                house.try_login(&form, &[]).await.0.json()["success"],
                expected,
                "{generation:?} {form}"
            );
        }
        house.pass(30_000);
        assert_eq!(house.try_login(&with(&code), &[]).await.0.json()["success"], false);
    }
    let options = Options {
        generation: Generation::V1_7,
        login_secret: Some("third".to_owned()),
        ..Options::default()
    };
    let house = House::open(options).await;
    assert_eq!(house.ask("POST", "/getSecretStatus", &[AJAX], "").await.json()["obj"], true);
    assert_eq!(house.try_login(RIGHT, &[]).await.0.json()["success"], false);
    let form = format!("{RIGHT}&loginSecret=third");
    assert_eq!(house.try_login(&form, &[]).await.0.json()["success"], true);
}

#[tokio::test]
async fn sessions_outlive_restarts_logouts_and_in_old_panels_passwords() {
    for generation in Generation::ALL {
        let house = House::of(generation).await;
        let session = house.session().await;
        let (method, path) = match generation {
            Generation::Vaxilu | Generation::Alireza => ("POST", "/xui/inbound/list"),
            _ => ("GET", "/panel/api/inbounds/list"),
        };
        let status = async || house.ask(method, path, &session.headers(), "").await.status;
        house.panel.restart_panel();
        house.pass(20 * 24 * 60 * MINUTE_MS);
        let logout = if generation >= Generation::V3_0_0 { "POST" } else { "GET" };
        house.ask(logout, "/logout", &session.headers(), "").await;
        assert_eq!(status().await, 200, "{generation:?}");
        house.panel.change_password("another");
        let expected = if generation < Generation::V3_0 { 200 } else { 401 };
        assert_eq!(status().await, expected, "{generation:?}");
        house.panel.expire_sessions();
        let expected = match generation {
            Generation::Vaxilu | Generation::V1_7 => 200,
            Generation::V2_8 | Generation::V3_0_0 => 404,
            _ => 401,
        };
        let lost = house.ask(method, path, &session.headers(), "").await;
        assert_eq!(lost.status, expected, "{generation:?}");
        assert!(expected != 200 || lost.json()["success"] == false);
    }
}

#[tokio::test]
async fn strangers_get_what_their_generation_says_to_them() {
    // With the ajax header, and without: a status, or 200 for an envelope that failed.
    let under_api = |generation| match generation {
        Generation::Vaxilu | Generation::V1_7 => (200, 307),
        Generation::Alireza | Generation::V2_6 => (401, 307),
        Generation::V2_8 | Generation::V3_0_0 => (404, 404),
        _ => (401, 404),
    };
    for generation in Generation::ALL {
        let house = House::of(generation).await;
        let (api, elsewhere, method) = match generation {
            Generation::Vaxilu => ("/xui/inbound/list", "/xui/", "POST"),
            Generation::Alireza => ("/xui/API/inbounds/", "/xui/", "GET"),
            _ => ("/panel/api/inbounds/list", "/panel/", "GET"),
        };
        let bad = [AJAX, ("authorization", "Bearer AAAA"), ("cookie", "3x-ui=; x-ui=junk; session=")];
        let ask = async |path: &str, method: &str| {
            let (ajax, plain) = (&bad[..], &bad[1..]);
            let ajax = house.ask(method, path, ajax, "").await;
            (ajax.status, house.ask(method, path, plain, "").await.status)
        };
        assert_eq!(ask(api, method).await, under_api(generation), "{generation:?}");
        let old = matches!(generation, Generation::Vaxilu | Generation::V1_7);
        assert_eq!(ask(elsewhere, "GET").await, (if old { 200 } else { 401 }, 307), "{generation:?}");
        let unknown = house.ask("GET", "/panel/api/nothing", &[AJAX], "").await;
        assert_eq!(unknown.status, 404);
        let text = matches!(generation, Generation::Vaxilu | Generation::V1_7 | Generation::V2_6);
        assert_eq!(unknown.body.is_empty(), !text, "{generation:?}");
    }
}

#[tokio::test]
async fn tokens_work_under_the_api_and_within_their_scope() {
    let house = House::of(Generation::V3_7).await;
    let kinds = [
        ("all", Scope::Admin, 0),
        ("watch", Scope::Monitor, 0),
        ("node", Scope::NodeSync, 0),
        ("old", Scope::Admin, 1),
    ];
    house.panel.edit_tokens(|tokens| {
        for (value, scope, expires_at_ms) in kinds {
            tokens.push(Token { value: value.to_owned(), scope, enabled: true, expires_at_ms });
        }
    });
    let ask = async |token: &str, method: &str, path: &str| {
        let bearer = format!("Bearer {token}");
        house.ask(method, &format!("/panel/api/{path}"), &[AJAX, ("authorization", &bearer)], "").await
    };
    for (method, path, watch, node) in [
        ("GET", "server/status", 200, 200),
        ("GET", "server/history/online/2", 200, 403),
        ("GET", "server/xrayObservatory", 200, 403),
        ("GET", "server/descendants", 403, 200),
        ("GET", "server/clientIps", 403, 200),
        ("GET", "inbounds/list", 403, 200),
        ("GET", "inbounds/list/slim", 403, 403),
        ("GET", "clients/list", 403, 403),
        ("GET", "nodes/list", 403, 403),
        ("POST", "clients/onlines", 403, 200),
        ("POST", "clients/lastOnline", 403, 200),
        ("POST", "clients/clientIpsByGuid", 403, 200),
        ("POST", "setting/defaultSettings", 403, 403),
        ("GET", "xray/getOutboundsTraffic", 403, 403),
        ("GET", "nothing", 404, 404),
    ] {
        for (token, expected) in
            [("watch", watch), ("node", node), ("old", if watch == 404 { 404 } else { 401 })]
        {
            let reply = ask(token, method, path).await;
            assert_eq!(reply.status, expected, "{token} {path}");
            if expected == 403 {
                assert!(reply.json().get("obj").is_none() && reply.json()["success"] == json!(false));
            }
        }
        assert_eq!(ask("all", method, path).await.status, if watch == 404 { 404 } else { 200 }, "{path}");
    }
    // Earlier versions know no scopes, and no version takes a token elsewhere.
    house.panel.upgrade(Generation::V3_6);
    house.pass(3_000);
    assert_eq!(ask("watch", "GET", "inbounds/list").await.status, 200);
    let outside = [AJAX, ("authorization", "Bearer all")];
    assert_eq!(house.ask("GET", "/panel/", &outside, "").await.status, 401);
    house.panel.edit_tokens(|tokens| tokens.iter_mut().for_each(|token| token.enabled = false));
    assert_eq!(ask("all", "GET", "inbounds/list").await.status, 401);
}

#[tokio::test]
async fn a_base_path_and_a_domain_hide_everything_else() {
    let options = Options {
        base_path: "/secret/".to_owned(),
        web_domain: Some("panel.example".to_owned()),
        ..Options::default()
    };
    let house = House::open(options).await;
    for (host, path, expected) in [
        ("panel.example", "/secret/", 200),
        ("panel.example:2053", "/secret/", 200),
        ("Panel.example", "/secret/", 403),
        ("192.0.2.1", "/secret/csrf-token", 403),
        ("panel.example", "/", 404),
        ("panel.example", "/other/login", 404),
        ("panel.example", "/secret", 301),
        ("panel.example", "/secret/panel/api/inbounds/list/", 301),
    ] {
        assert_eq!(house.ask_as(host, "GET", path, &[AJAX], "").await.status, expected, "{host}{path}");
    }
}
