//! Secrets and personal data of a server stay there: the management key, keys of clients and of providers, accounts,
//! addresses, whole answers of providers.

use std::{fs, path::Path};

use proxymeter::{
    model::Part,
    simulator::cliproxy::{CANARY, CANARY_ADDRESSES, Fault, Generation, Options, Times, Traffic},
    upstream::cliproxy::config::UsageSetting,
};

use crate::common::{
    canary::{self, assert_none, assert_none_of},
    cliproxy::{KEY, Simulated},
    daemon::{Daemon, Home, wait_for, webhook},
    hook::Hook,
    llm::Proxy,
};

fn options(generation: Generation) -> Options {
    Options { generation, key: KEY.to_owned(), canaries: true, traffic: Traffic::None, ..Options::default() }
}

fn assert_clean(whose: &str, text: &str) {
    assert_none(whose, text);
    assert_none_of(&[CANARY, CANARY_ADDRESSES[0], CANARY_ADDRESSES[1]], whose, text);
}

fn faults() -> Vec<Fault> {
    let body =
        r#"{"error":"canary-5d1e7c 203.0.113.77","files":"canary-5d1e7c","canary-5d1e7c":["canary-5d1e7c"]}"#;
    let instead = |status, content_type| Fault::Instead { status, content_type, body };
    vec![
        instead(200, "application/json"),
        instead(400, "application/json"),
        instead(403, "application/json"),
        instead(404, "application/json"),
        instead(500, "text/html"),
        Fault::Redirect(format!("http://127.0.0.1:1/{CANARY}")),
        Fault::CutJson,
        Fault::ClosedMidBody,
        Fault::Closed,
        Fault::WrongTypes,
        Fault::GzipBomb(1000),
        Fault::Html,
    ]
}

#[tokio::test]
async fn no_secret_leaves_the_client() {
    let log = canary::log();
    for generation in Generation::ALL {
        let usage = if generation.has_queue() { UsageSetting::Queue } else { UsageSetting::Auto };
        let mut simulated = Simulated::open(&options(generation), usage).await;
        assert_clean("a configuration", &format!("{:?}", simulated.config));
        let names: Vec<_> = simulated.server.credentials().into_iter().map(|known| known.name).collect();
        for name in names.iter().take(3) {
            simulated.server.attempts(300);
            simulated.server.exhaust(name);
            simulated.server.attempts(100);
            simulated.driver.read_all().await;
            assert_shown_are_clean(&mut simulated);
            simulated.pass(20);
            simulated.restart();
        }
        for fault in faults() {
            // The first request of all, one in the middle, and those for usage.
            for path in ["/v", "/v0/management/a", "/v0/management/usage", "/v8/management/"] {
                simulated.server.attempts(20);
                simulated.server.wire.fail(path, fault.clone(), Times::Count(2));
                for part in [Part::Credentials, Part::Usage] {
                    if let Err(err) = simulated.driver.read(part).await {
                        assert_clean("an error", &format!("{err} {err:?} {err:#?}"));
                    }
                }
                simulated.server.wire.heal();
                assert_shown_are_clean(&mut simulated);
                // Longer than any refusal is remembered.
                simulated.pass(4 * 3600);
            }
        }
    }
    assert!(log.text().contains("TRACE"));
    assert_clean("the log", &log.text());
}

fn assert_shown_are_clean(simulated: &mut Simulated) {
    let driver = &mut simulated.driver;
    assert_clean("a report", &format!("{:?}", driver.report));
    assert_clean("what is stored", &format!("{:?}", driver.stored));
    assert_clean("a client", &format!("{:?} {:#?}", driver.upstream, driver.upstream));
    assert_clean("notes", &format!("{:?}", driver.upstream.take_notes()));
}

#[test]
fn no_secret_leaves_the_program() {
    let hook = Hook::start();
    let generations = [Generation::V6_9, Generation::V7_2, Generation::V7_3, Generation::V8_0];
    let proxies = generations.map(|generation| Proxy::start(&options(generation)));
    let mut tables = webhook("ops", hook.address)
        + "[alerting]\ngroup_wait = \"0s\"\n[alert.spending]\nrule = \"llm_token_budget\"\nbudget = 10\nperiod = \"month\"\n";
    for (proxy, generation) in proxies.iter().zip(generations) {
        let usage = if generation.has_queue() { "queue" } else { "auto" };
        // A client key in the configuration is a secret too.
        let key = &proxy.client_keys()[0];
        let more = format!("usage = \"{usage}\"\nkey_aliases = {{ \"{key}\" = \"first\" }}");
        tables += &proxy.table(&format!("{generation:?}").to_ascii_lowercase(), &more);
        proxy.attempts(500);
        for credential in proxy.credentials() {
            proxy.exhaust(&credential.name);
        }
        proxy.attempts(500);
    }
    let home = Home::of(&tables);
    let mut command = home.command();
    command.arg("--log.level=debug");
    let daemon = Daemon::run(command);
    wait_for("all targets to be read", || {
        let requests = daemon.metrics();
        let has_requests = |generation: &Generation| {
            let target = format!("{generation:?}").to_ascii_lowercase();
            requests.contains(&format!("llm_requests_total{{target=\"{target}\",api_key=\"first\""))
        };
        generations.iter().all(has_requests).then_some(())
    });
    wait_for("notifications", || (hook.deliveries().len() >= 3).then_some(()));
    assert_outputs_are_clean(&daemon, &home, &hook);
    let asked = || proxies.iter().map(|proxy| proxy.wire.requests().len()).collect::<Vec<_>>();
    for fault in [faults().swap_remove(0), faults().swap_remove(4), Fault::CutJson] {
        for proxy in &proxies {
            proxy.attempts(50);
            proxy.wire.fail("/v", fault.clone(), Times::Count(2));
        }
        let before = asked();
        wait_for("a poll of each", || {
            asked().iter().zip(&before).all(|(now, before)| now > before).then_some(())
        });
        assert_outputs_are_clean(&daemon, &home, &hook);
    }
    wait_for("failures", || daemon.logged_at("polling fails"));
    assert_outputs_are_clean(&daemon, &home, &hook);
    assert_eq!(daemon.stop().0, Some(0));
    assert_clean("the log", &daemon.log());
    assert_files_are_clean(&home.storage());
}

fn assert_outputs_are_clean(daemon: &Daemon, home: &Home, hook: &Hook) {
    for path in
        ["/", "/metrics", "/metrics/v7_2", "/api/v1/alerts", "/api/v1/targets", "/config", "/-/ready", "/?a"]
    {
        let (_, body) = daemon.ask("GET", path);
        assert!(!body.is_empty());
        assert_clean(path, &body);
    }
    assert_clean("notifications", &format!("{:?}", hook.deliveries()));
    assert_clean("the log", &daemon.log());
    assert_files_are_clean(&home.storage());
}

/// Also what is not yet in the database but in the file beside it.
fn assert_files_are_clean(folder: &Path) {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Files beside the database come and go.
        let Ok(content) = fs::read(&path) else { continue };
        bytes += content.len();
        assert_clean(&path.display().to_string(), &String::from_utf8_lossy(&content));
    }
    assert!(bytes > 10_000, "{bytes}");
}
