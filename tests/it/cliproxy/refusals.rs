//! A server that does not accept the key, and what else it may answer.

use std::{
    fs,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    model::{Part, Reason},
    simulator::cliproxy::{Fault, Generation, Options, Times, Traffic},
    upstream::{
        Again, FetchError,
        cliproxy::config::{CliproxyConfig, UsageSetting},
    },
};

use crate::common::{
    cliproxy::{Driver, FLAG, KEY, Simulated, config},
    daemon::{Home, wait_for},
    llm::Proxy,
    server::{Answer, Server},
};

const ADDRESS: &str = "127.0.0.1";

async fn refused(simulated: &mut Simulated) -> FetchError {
    simulated.driver.read(Part::Credentials).await.unwrap_err()
}

#[tokio::test]
async fn a_thousand_polls_with_a_wrong_key_never_ban_the_address() {
    for generation in Generation::ALL {
        let mut simulated = Simulated::of(generation, UsageSetting::Queue).await;
        simulated.server.set_key("another");
        let mut sent = 0;
        for poll in 0..1000 {
            let before = simulated.server.refused_requests();
            let err = refused(&mut simulated).await;
            sent += simulated.server.refused_requests() - before;
            assert_eq!(err.reason(), Reason::Auth, "{generation:?} {err}");
            let Again::WhenChanged { at_latest } = err.again else { panic!("{err:?}") };
            assert!(at_latest > Duration::ZERO);
            simulated.pass(30);
            // The process is restarted again and again, and the configuration is edited.
            if poll % 3 == 0 {
                simulated.restart();
            }
        }
        assert_eq!((simulated.server.bans(), sent), (0, 5), "{generation:?}");
        // With the right key, it goes on at once.
        let right = CliproxyConfig { key: "another".into(), ..simulated.config.clone() };
        simulated.driver.restart(&right);
        simulated.driver.read(Part::Credentials).await.unwrap();
    }
}

#[tokio::test]
async fn a_ban_is_obeyed_and_says_who_may_have_caused_it() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Off).await;
    simulated.driver.read(Part::Credentials).await.unwrap();
    simulated.server.ban(ADDRESS);
    simulated.pass(2);
    let err = refused(&mut simulated).await;
    assert_eq!(err.reason(), Reason::Banned);
    assert_eq!(err.again, Again::NotBefore(Duration::from_secs(1798)));
    let words = err.to_string();
    assert!(
        words.contains("29m 58s") && words.contains("X-Forwarded-For") && words.contains("key"),
        "{words}"
    );
    simulated.pass(1798);
    simulated.driver.read(Part::Credentials).await.unwrap();
}

#[tokio::test]
async fn other_refusals_have_words_of_their_own() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Off).await;
    simulated.server.set_management(false);
    let err = refused(&mut simulated).await;
    assert_eq!((err.reason(), err.again), (Reason::NotFound, Again::Usual));
    assert!(err.to_string().contains("secret-key"), "{err}");
    simulated.server.set_management(true);
    simulated.driver.read(Part::Credentials).await.unwrap();

    type Reply = fn() -> Answer;
    let cases: [(Reply, Reason, &str); 9] = [
        (
            || Answer::new(400, &[], "Client sent an HTTP request to an HTTPS server.\n"),
            Reason::Tls,
            "https://",
        ),
        (
            || Answer::new(403, &[], r#"{"error":"remote management disabled"}"#),
            Reason::Forbidden,
            "allow-remote",
        ),
        (
            || Answer::new(403, &[], r#"{"error":"remote management key not set"}"#),
            Reason::Forbidden,
            "secret-key",
        ),
        (|| Answer::new(403, &[("content-type", "text/html")], "<html>"), Reason::Auth, "403"),
        (
            || Answer::new(302, &[("location", "http://127.0.0.1:1/elsewhere")], ""),
            Reason::Redirect,
            "redirect",
        ),
        (
            || Answer::new(404, &[("content-type", "text/html")], "<html>nginx"),
            Reason::NotFound,
            "secret-key",
        ),
        (|| Answer::new(200, &[("content-type", "text/html")], "<html>panel"), Reason::Decode, "CLIProxyAPI"),
        (|| Answer::json(r#"{"detail": "ok"}"#), Reason::Decode, "CLIProxyAPI"),
        (|| Answer::new(502, &[], ""), Reason::ServerError, "502"),
    ];
    for (answer, reason, words) in cases {
        let server = Server::start(move |_| answer());
        let mut driver = Driver::new(&config(&server.url(), UsageSetting::Off));
        let err = driver.read(Part::Credentials).await.unwrap_err();
        assert_eq!(err.reason(), reason, "{err}");
        assert!(err.to_string().contains(words) && !err.to_string().contains(KEY), "{err}");
    }
}

#[tokio::test]
async fn what_a_proxy_answers_does_not_make_a_refused_key_an_accepted_one() {
    for (status, body) in [(200, "<html>"), (200, "{}"), (400, "<html>"), (400, r#"{"error":"bad request"}"#)]
    {
        let is_down = Arc::new(AtomicBool::new(false));
        let shown = Arc::clone(&is_down);
        let server = Server::start(move |_| match shown.load(Ordering::Relaxed) {
            true => Answer::new(status, &[("content-type", "text/html")], body),
            false => Answer::new(401, &[], r#"{"error":"invalid management key"}"#),
        });
        let mut driver = Driver::new(&config(&server.url(), UsageSetting::Queue));
        for waits in ["after 35m,", "after 35m,", "after 3h 5m,"] {
            let err = driver.read(Part::Credentials).await.unwrap_err();
            assert!(err.to_string().contains(waits), "{status} {body}: {err}");
            driver.pass(186 * 60);
            is_down.store(true, Ordering::Relaxed);
            assert_ne!(driver.read(Part::Credentials).await.unwrap_err().reason(), Reason::Auth);
            is_down.store(false, Ordering::Relaxed);
        }
    }
}

#[tokio::test]
async fn a_refusal_of_any_request_stops_the_others() {
    // The key is changed between two requests of one poll.
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
    simulated.driver.read(Part::Credentials).await.unwrap();
    simulated.server.wire.fail("/v0/management/auth-files", Fault::Status(401), Times::Always);
    let err = refused(&mut simulated).await;
    assert_eq!(err.reason(), Reason::Auth);
    let before = simulated.server.wire.requests().len();
    for part in [Part::Credentials, Part::Usage] {
        assert_eq!(simulated.driver.read(part).await.unwrap_err().reason(), Reason::Auth);
    }
    assert_eq!(simulated.server.wire.requests().len(), before, "nothing was sent");
    assert_eq!(simulated.driver.report.llm_usage.gaps, 0);
}

/// The process is run again and again, its targets have the same key, are renamed, and have other hashes.
#[test]
fn processes_with_the_same_storage_send_a_refused_key_once() {
    let options = Options { traffic: Traffic::None, ..Options::default() };
    let proxy = Proxy::start(&options);
    proxy.set_key("another");
    let scrape = |home: &Home| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
        command.args(["scrape", &format!("--config.file={}", home.file().display())]);
        let Output { status, stderr, .. } = command.output().unwrap();
        assert_eq!(status.code(), Some(1));
        String::from_utf8(stderr).unwrap()
    };
    let tables = |names: [&str; 2]| names.map(|name| proxy.table(name, "usage = \"off\"")).concat();
    let home = Home::of(&tables(["llm", "twin"]));
    let err = scrape(&home);
    assert!(err.contains("refused-keys.json"), "it cannot be remembered without a storage folder: {err}");
    assert_eq!(proxy.refused_requests(), 1);
    fs::create_dir(home.storage()).unwrap();
    for _ in 0..5 {
        let err = scrape(&home);
        assert!(err.contains("after 35m") || err.contains("after 34m"), "{err}");
        assert!(err.contains("llm: down (unknown system)"), "{err}");
    }
    assert_eq!(proxy.refused_requests(), 2);
    let hash_key = home.folder().join("hash-key");
    fs::write(&hash_key, "another key for the hashes of this test").unwrap();
    home.configure(&format!("[users]\nhash_key_file = \"{}\"\n{}", hash_key.display(), tables(["a", "b"])));
    let daemon = home.start();
    wait_for("both to be tried", || {
        let failures = ["a", "b"].map(|name| {
            daemon.value(&format!(
                "proxymeter_target_poll_failures_total{{target=\"{name}\",part=\"credentials\",reason=\"auth\"}}"
            ))
        });
        failures.iter().all(|failures| *failures > Some(0.0)).then_some(())
    });
    daemon.stop();
    scrape(&home);
    assert_eq!((proxy.refused_requests(), proxy.bans()), (2, 0));
}

#[tokio::test]
async fn nothing_but_the_key_goes_out_and_only_as_a_bearer() {
    let options = Options { key: KEY.to_owned(), traffic: Traffic::None, ..Options::default() };
    let mut simulated = Simulated::open(&options, UsageSetting::Queue).await;
    simulated.driver.read_all().await;
    let requests = simulated.server.wire.requests();
    assert!(requests.iter().any(|request| request.target == FLAG));
    for request in requests {
        assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
        assert_eq!((request.method.as_str(), request.header("x-management-key")), ("GET", None));
        assert!(!request.target.contains("download") && !request.target.contains("api-keys"));
    }
}
