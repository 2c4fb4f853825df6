//! Silences over HTTP and by the commands, with the real program.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use proxymeter::clock::Clock;
use serde_json::{Value, json};

use crate::common::{
    canary::{assert_none, canary},
    daemon::{Daemon, Home, wait_for, webhook},
    hook::Hook,
    pki::Pki,
    port::hash,
    simulated::Served,
};

const BY_USER: &str = r#"["target", "alertname", "subject"]"#;
const JSON: &str = "Content-Type: application/json";
const PATH: &str = "/api/v1/silences";

/// So long from now.
fn after(seconds: u64) -> String {
    let at = Clock::system().now().wall.saturating_add(Duration::from_secs(seconds));
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap().to_string()
}

fn of_user(name: &str, seconds: u64) -> Value {
    let matcher = json!({ "name": "subject", "value": name, "isRegex": false, "isEqual": true });
    json!({ "matchers": [matcher], "startsAt": after(0), "endsAt": after(seconds), "createdBy": "ann", "comment": "why" })
}

/// The status and what an answer says.
fn put(daemon: &Daemon, silence: &Value) -> (u16, Value) {
    let (status, body) = daemon.send("POST", PATH, &[JSON], &silence.to_string()).unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

fn added(daemon: &Daemon, silence: &Value) -> String {
    let (status, said) = put(daemon, silence);
    assert_eq!(status, 200, "{said}");
    said["data"]["silenceID"].as_str().unwrap().to_owned()
}

fn all(daemon: &Daemon) -> Vec<Value> {
    let (status, body) = daemon.ask("GET", PATH);
    assert_eq!(status, 200, "{body}");
    let said: Value = serde_json::from_str(&body).unwrap();
    said["data"]["silences"].as_array().unwrap().clone()
}

fn states(daemon: &Daemon) -> Vec<String> {
    all(daemon).iter().map(|silence| silence["status"]["state"].as_str().unwrap().to_owned()).collect()
}

/// Whom the messages so far are about.
fn told(hook: &Hook) -> Vec<String> {
    let deliveries = hook.deliveries();
    let alerts = deliveries.iter().flat_map(|delivery| &delivery.alerts);
    alerts.map(|alert| alert["labels"]["subject"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn who_is_silenced_is_told_when_that_ends() {
    let hook = Hook::start();
    let panel = Served::start();
    let home = Home::new(panel.address, BY_USER, &webhook("ops", hook.address));
    let mut command = home.command();
    command.arg("--log.level=debug");
    let daemon = Daemon::run(command);
    let mut silence = of_user("alice", 3600);
    silence["comment"] = canary("comment").into();
    silence["createdBy"] = canary("author").into();
    let id = added(&daemon, &silence);
    assert_eq!(states(&daemon), ["active"]);
    panel.add_expired("alice");
    panel.add_expired("bob");
    wait_for("bob", || (told(&hook) == ["bob"]).then_some(()));
    let alerts = || serde_json::from_str::<Value>(&daemon.ask("GET", "/api/v1/alerts").1).unwrap();
    let is_last =
        |alert: &&Value| alert["labels"]["step"] == "expired" && alert["labels"]["subject"] == "alice";
    let of_alice = wait_for("the alert", || {
        alerts()["data"]["alerts"].as_array().unwrap().iter().find(is_last).cloned()
    });
    assert_eq!((&of_alice["state"], &of_alice["silencedBy"]), (&"suppressed".into(), &json!([id])));
    assert_eq!(daemon.value("proxymeter_silences{state=\"active\"}"), Some(1.0));
    let page = daemon.ask("GET", "/").1;
    assert!(page.contains("Silences and mutes") && page.contains(&canary("comment")), "{page}");

    let path = format!("{PATH}/{id}");
    let (status, one) = daemon.ask("GET", &path);
    assert!(status == 200 && one.contains(&canary("comment")), "{one}");
    for _ in 0..2 {
        let (status, said) = daemon.ask("DELETE", &path);
        assert_eq!(
            (status, &*said),
            (200, &*format!("{{\"status\":\"success\",\"data\":{{\"silenceID\":\"{id}\"}}}}\n"))
        );
        assert_eq!(states(&daemon), ["expired"]);
    }
    wait_for("alice", || (told(&hook) == ["bob", "alice"]).then_some(()));
    assert_none("the log", &daemon.log());
    assert!(daemon.log().contains("a silence is in force") && daemon.log().contains(&id), "{}", daemon.log());
    assert_eq!(daemon.stop().0, Some(0));
    // It is still known to have been.
    assert_eq!(states(&home.start()), ["expired"]);
}

#[test]
fn what_is_no_silence_is_refused() {
    let home = Home::of("");
    let daemon = home.start();
    let good = || of_user("alice", 3600);
    let with = |key: &str, value: Value| {
        let mut silence = good();
        silence[key] = value;
        silence
    };
    let everything = json!([{ "name": "target", "value": ".*", "isRegex": true }]);
    for (silence, status, kind, why) in [
        (with("matchers", json!([])), 400, "bad_data", "write 1 to 10 matchers"),
        (with("matchers", everything), 400, "bad_data", "must not fit an empty value"),
        (with("comment", "".into()), 400, "bad_data", "write a comment"),
        (with("endsAt", after(0).into()), 400, "bad_data", "the end is in the past"),
        (with("id", "none".into()), 404, "not_found", "there is no silence with this id"),
        (json!(7), 400, "bad_data", "the body is not a silence in JSON"),
    ] {
        let (code, said) = put(&daemon, &silence);
        assert_eq!((code, &said["status"], &said["errorType"]), (status, &"error".into(), &kind.into()));
        assert!(said["error"].as_str().unwrap().contains(why), "{said}");
    }
    let ask = |method: &str, path: &str, headers: &[&str], body: &str| {
        daemon.send(method, path, headers, body).unwrap()
    };
    let body = good().to_string();
    assert_eq!(ask("POST", PATH, &[], &body).0, 415);
    assert_eq!(ask("POST", PATH, &["Content-Type: application/jsonp"], &body).0, 415);
    assert_eq!(ask("POST", PATH, &[JSON, "Origin: https://example.com"], &body).0, 403);
    assert_eq!(ask("POST", PATH, &[JSON, "Sec-Fetch-Site: cross-site"], &body).0, 403);
    assert_eq!(ask("POST", PATH, &[JSON, "Transfer-Encoding: chunked"], "").0, 413);
    let long = with("comment", "a".repeat(9000).into()).to_string();
    assert_eq!(ask("POST", PATH, &[JSON], &long).0, 413);
    assert_eq!(
        ask("PUT", PATH, &[JSON], &body),
        (405, "Only GET, HEAD and POST are served here.\n".to_owned())
    );
    assert_eq!(ask("POST", &format!("{PATH}/one"), &[JSON], &body).0, 405);
    assert_eq!(ask("GET", &format!("{PATH}/one"), &[], "").0, 404);
    assert_eq!(ask("DELETE", &format!("{PATH}/one"), &[], "").0, 404);
    assert_eq!(all(&daemon), [Value::Null; 0]);

    let id = added(&daemon, &with("startsAt", after(600).into()));
    assert_eq!(states(&daemon), ["pending"]);
    // What was read is changed and written back.
    let mut again = all(&daemon)[0].clone();
    again["endsAt"] = after(7200).into();
    assert_eq!(added(&daemon, &again), id);
    let kinds = ["Content-Type: Application/JSON; charset=utf-8"];
    assert_eq!(ask("POST", PATH, &kinds, &body).0, 200);
    assert_eq!(states(&daemon), ["active", "pending"]);
}

/// Runs a command on the exporter of `home`: the exit code, and what it said on stdout and stderr.
fn silence(home: &Home, arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = format!("--config.file={}", home.file().display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
    command.arg("silence").args(arguments).arg(config).env("USER", "root-of-tests").env_remove("SUDO_USER");
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn commands_add_list_and_expire() {
    let home = Home::of("");
    let daemon = home.start();
    let at = format!("--web.listen-address={}", daemon.address());
    let run = |arguments: &[&str]| silence(&home, &[arguments, &[&at]].concat());
    assert_eq!(run(&["list"]), (Some(0), "No silences.\n".to_owned(), String::new()));

    let (code, id, said) =
        run(&["add", "--target=edge", "--user", "alice", "--for=2h", "--comment=the move"]);
    assert_eq!((code, &*said), (Some(0), ""));
    let id = id.trim().to_owned();
    let known = all(&daemon);
    let matchers = [("target", "edge"), ("kind", "user"), ("subject", "alice")]
        .map(|(name, value)| json!({ "name": name, "value": value, "isRegex": false, "isEqual": true }));
    assert_eq!((&known[0]["id"], &known[0]["matchers"]), (&id.clone().into(), &json!(matchers)));
    assert_eq!((&known[0]["createdBy"], &known[0]["comment"]), (&"root-of-tests".into(), &"the move".into()));
    let from = format!("--from={}", after(3600));
    let arguments =
        ["add", "ProxymeterNodeDown", "subject=~DE-.*", "--for=1d", "--comment=c", "--author=bob", &from];
    assert_eq!(run(&arguments).0, Some(0));

    let (_, list, _) = run(&["list"]);
    let lines: Vec<_> = list.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("ID "), "{list}");
    assert!(lines[1].starts_with(&id) && lines[1].ends_with("  the move"), "{list}");
    assert!(lines[1].contains(r#"  target="edge" kind="user" subject="alice"  "#), "{list}");
    assert!(lines[1].contains("  active   ends in 1h 59m  ") && lines[1].contains("  root-of-tests  "));
    assert!(
        lines[2].contains(r#"bob            alertname="ProxymeterNodeDown" subject=~"DE-.*"  "#),
        "{list}"
    );

    assert_eq!(run(&["expire", &id]), (Some(0), String::new(), String::new()));
    assert_eq!(run(&["list"]).1.lines().count(), 2);
    let (_, json, _) = run(&["list", "--format=json", "--expired"]);
    let json: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(json, all(&daemon));

    for (arguments, why) in [
        (&["expire", "00000000-0000-4000-8000-000000000000"][..], "there is no silence with this id"),
        (&["expire", "../x"], "not an id of a silence"),
        (&["add", "--for=1h", "--comment=c"], "say what to silence"),
        (&["add", "severity=~.*", "--for=1h", "--comment=c"], "must not fit an empty value"),
    ] {
        let (code, _, said) = run(arguments);
        assert!(code == Some(1) && said.contains(why), "{said}");
    }
    assert_eq!(run(&["add", "--target=edge", "--for=1h"]).0, Some(2), "without a comment");
    let (code, _, said) = silence(&home, &["list", "--url=http://127.0.0.1:1"]);
    assert!(code == Some(1) && said.contains("http://127.0.0.1:1: "), "{said}");
}

/// Where a daemon with TLS listens.
fn tls_address(daemon: &Daemon) -> String {
    wait_for("the daemon to listen", || {
        let log = daemon.log();
        let address = log.split("listening on https://").nth(1)?.split(['"', ' ']).next()?;
        Some(address.to_owned())
    })
}

#[test]
fn commands_show_what_the_exporter_wants() {
    let home = Home::of("");
    let folder = home.folder();
    let pki = Pki::new();
    pki.write(folder);
    fs::write(folder.join("password"), format!("{}\n", canary("password"))).unwrap();
    fs::write(folder.join("wrong"), canary("wrong")).unwrap();
    fs::write(folder.join("token"), format!("{}\n", canary("token"))).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    let configured = fs::read_to_string(home.file()).unwrap();
    let access = format!(
        "listen = \"127.0.0.1:0\"\ntls_cert_file = \"{}\"\ntls_key_file = \"{}\"\nbearer_token_file = \"{}\"\n\
         basic_auth = {{ ann = \"{}\" }}\n",
        file("server.pem"),
        file("server-key.pem"),
        file("token"),
        hash(&canary("password")),
    );
    let with_token = configured.replace("listen = \"127.0.0.1:0\"\n", &access);
    fs::write(home.file(), &with_token).unwrap();
    let daemon = home.start();
    let address = tls_address(&daemon);
    let (at, url) = (format!("--web.listen-address={address}"), format!("--url=https://{address}"));
    let (password, wrong) =
        (format!("--password-file={}", file("password")), format!("--password-file={}", file("wrong")));
    let (token, ca) =
        (format!("--bearer-token-file={}", file("token")), format!("--ca-file={}", file("ca.pem")));
    let mut said = String::new();
    let mut list = |arguments: &[&str]| {
        let (code, out, err) = silence(&home, &[&["list"], arguments].concat());
        said.push_str(&err);
        (code, out, err)
    };
    let fine = (Some(0), "No silences.\n".to_owned(), String::new());
    // The token is in the configuration.
    assert_eq!(list(&[&at]), fine);
    assert_eq!(list(&[&at, "--username=ann", &password]), fine);
    assert_eq!(list(&[&url, &ca, "--username=ann", &password]), fine);
    assert_eq!(list(&[&url, &ca, &token]), fine);
    assert_eq!(list(&[&url, "--insecure-skip-verify", &token]), fine);
    for (arguments, why) in [
        (&[&*at, "--username=ann", &wrong][..], "it wants a login: write --username"),
        // The token of this machine is not sent elsewhere.
        (&[&url, &ca], "it wants a login: write --username"),
        (&[&url, &token], "certificate"),
        (&[&at, "--bearer-token-file=/nowhere/token"], "/nowhere/token: "),
    ] {
        let (code, _, why_not) = list(arguments);
        assert!(code == Some(1) && why_not.contains(why), "{arguments:?}: {why_not}");
    }
    assert_eq!(list(&[&at, "--username=ann"]).0, Some(2));
    assert_none("the commands", &said);
    assert_none("the log", &daemon.log());
}
