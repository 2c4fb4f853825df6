//! What a long list costs this process.

use std::{
    env,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use proxymeter::{
    model::{Part, Report, Users},
    upstream::{Timeouts, Upstream},
};
use serde_json::{Value, json};

use crate::common::{
    RECORDED_AT, at, read_once,
    server::{Answer, Server},
    xui::{BASE, Panel, config_of, token},
};

const CLIENTS: usize = 20_000;
/// How much the peak of memory may grow, in KiB.
const GROWTH: u64 = 40 * 1024;
/// A busy machine takes its time to build and to decode it.
const ENDLESS: Timeouts = Timeouts { request: Duration::from_secs(200), page: Duration::from_secs(200) };
const URL: &str = "XUI_SCALE_URL";

/// The recorded list with so many clients in three inbounds.
fn list(panel: &Panel, name: &str, is_text: bool) -> Value {
    let recorded = panel.read(name);
    let row = &recorded["obj"][0];
    let settings = match is_text {
        true => serde_json::from_str(row["settings"].as_str().unwrap()).unwrap(),
        false => row["settings"].clone(),
    };
    let client = |number: usize| {
        let (mut stats, mut setting) = (row["clientStats"][0].clone(), settings["clients"][0].clone());
        stats["email"] = format!("client-{number:05}@example.com").into();
        setting["email"] = stats["email"].clone();
        if !setting["limitIp"].is_null() {
            setting["limitIp"] = 2.into();
        }
        (stats, setting)
    };
    let inbounds = (0..3).map(|inbound| {
        let clients = (0..CLIENTS).filter(|number| number % 3 == inbound).map(client);
        let (stats, settings): (Vec<_>, Vec<_>) = clients.unzip();
        let mut row = row.clone();
        row["id"] = inbound.into();
        row["tag"] = format!("inbound-{inbound}").into();
        row["clientStats"] = stats.into();
        let settings = json!({"clients": settings, "decryption": "none"});
        row["settings"] = if is_text { settings.to_string().into() } else { settings };
        row
    });
    json!({"success": true, "msg": "", "obj": inbounds.collect::<Vec<_>>()})
}

/// An address of each of them.
fn addresses() -> String {
    let ips = json!([{"ip": "2001:db8::1234:5678", "timestamp": RECORDED_AT.as_secs()}]);
    let row =
        |number| json!({"id": number, "clientEmail": format!("client-{number:05}@example.com"), "ips": ips});
    json!({"success": true, "msg": "", "obj": (0..CLIENTS).map(row).collect::<Vec<_>>()}).to_string()
}

fn memory() -> (u64, u64) {
    let status = procfs::process::Process::myself().unwrap().status().unwrap();
    (status.vmhwm.unwrap(), status.vmrss.unwrap())
}

/// Polls the panel whose URL is given in a process of its own, as the memory that is measured is that of the process.
async fn poll(url: &str) {
    let login = if url.ends_with("token/") { token() } else { crate::common::xui::password() };
    let url = url.trim_end_matches("token/");
    let config = config_of(url, login);
    let mut client = Upstream::xui(&config, ENDLESS).unwrap();
    let (mut report, now) = (Report::new("home"), at(RECORDED_AT));
    // What the first requests of a process take is not the list's.
    client.read(Part::System, now).await.unwrap();
    let (_, before) = memory();
    for _ in 0..2 {
        let report = read_once(Upstream::xui(&config, ENDLESS).unwrap()).await;
        assert_eq!(report.users.list().len(), CLIENTS);
        let is_slim = report.identity.as_ref().is_some_and(|identity| identity.generation == "3.3");
        assert!(report.users.list().iter().all(|user| user.extra.devices_limit == Some(2)));
        assert!(report.users.list().iter().all(|user| user.extra.devices.is_some() == is_slim));
    }
    let (peak, _) = memory();
    eprintln!("the peak of memory grew by {} KiB", peak - before);
    assert!(peak - before < GROWTH);
    for _ in 0..2 {
        for part in [Part::System, Part::Nodes, Part::Online, Part::Outbounds, Part::Users] {
            let mut done = !client.plan().iter().any(|planned| planned.part == part);
            while !done {
                let step = client.read(part, now).await.unwrap();
                done = step.done.contains(&part);
                for fact in step.facts {
                    report.merge(fact, now);
                }
            }
        }
        assert_eq!(report.users.list().len(), CLIENTS);
    }
}

/// Checks what polls take, and that the second poll by one client makes these requests.
fn check(test: &str, panel: &str, is_text: bool, requests: &[&str]) {
    if let Ok(url) = env::var(URL) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(poll(&url));
    }
    let panel = Panel::of(panel);
    let whole = list(&panel, "inbounds-list", is_text).to_string();
    let slim =
        panel.find("inbounds-list-slim").map(|_| list(&panel, "inbounds-list-slim", is_text).to_string());
    eprintln!("{} bytes whole, {:?} slim", whole.len(), slim.as_ref().map(String::len));
    let login = if panel.has_tokens() { "token/" } else { "" };
    let sizes: Arc<Mutex<Vec<usize>>> = Arc::default();
    let seen = Arc::clone(&sizes);
    let server = Server::start(move |request| {
        let answer = match request.path().strip_prefix(BASE) {
            Some("/panel/api/inbounds/list") => Answer::json(whole.clone()),
            Some("/panel/api/server/clientIps") if slim.is_some() => Answer::json(addresses()),
            Some("/panel/api/inbounds/list/slim") if slim.is_some() => Answer::json(slim.clone().unwrap()),
            _ => panel.answer(request),
        };
        seen.lock().unwrap().push(answer.size());
        answer
    });
    let ran = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(URL, format!("{}{BASE}/{login}", server.url()))
        // How many heaps glibc makes depends on how busy the machine is. The program has another allocator.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    eprint!("{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{test} failed, see above");
    let asked: Vec<_> = server.requests().iter().map(|request| request.path().to_owned()).collect();
    let last = asked.iter().rposition(|path| path.ends_with("/server/status")).unwrap();
    let bytes: usize = sizes.lock().unwrap()[last..].iter().sum();
    let paths: Vec<_> = asked[last..].iter().map(|path| path.strip_prefix(BASE).unwrap()).collect();
    eprintln!("a poll is {} requests and {bytes} bytes", paths.len());
    assert_eq!(paths, requests);
}

#[test]
fn a_slim_list_of_20_000_clients_takes_less_than_40_mb() {
    check(
        "xui::scale::a_slim_list_of_20_000_clients_takes_less_than_40_mb",
        "3.6.0",
        false,
        &[
            "/panel/api/server/status",
            "/panel/api/nodes/list",
            "/panel/api/clients/onlines",
            "/panel/api/xray/getOutboundsTraffic",
            "/panel/api/server/xrayObservatory",
            "/panel/api/inbounds/list/slim",
        ],
    );
}

#[test]
fn a_list_whose_settings_are_text_takes_less_than_40_mb() {
    check(
        "xui::scale::a_list_whose_settings_are_text_takes_less_than_40_mb",
        "2.8.11",
        true,
        &[
            "/panel/api/server/status",
            "/panel/api/inbounds/onlines",
            "/panel/xray/getOutboundsTraffic",
            "/panel/api/inbounds/list",
        ],
    );
}

#[tokio::test]
async fn a_list_without_an_end_is_cut() {
    let panel = Panel::of("3.6.0");
    let clients: Vec<_> = (0..Users::MOST + 5).map(|number| json!({"email": number.to_string()})).collect();
    let body = json!({"success": true, "obj": [{"id": 1, "tag": "a", "clientStats": clients}]}).to_string();
    let server = panel.clone().with("/panel/api/inbounds/list/slim", move || Answer::json(body.clone()));
    let report = super::recorded::read(&panel, &server, true).await;
    assert_eq!((report.users.list().len(), report.users.omitted()), (Users::MOST, 5));
}
