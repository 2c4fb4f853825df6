//! Secrets and personal data go nowhere: not into a log at any level, an error, a report, a metric, a stored row or a
//! `Debug`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    exposition::{self, Coding, Format, Tail, UserLabels},
    model::{ActiveAlerts, Outcome, Part, PartState},
    simulator::cliproxy::{CANARY, CANARY_ADDRESSES, Generation, Options, Traffic},
    telemetry::Telemetry,
    upstream::{Upstream, cliproxy::config::UsageSetting},
};
use serde_json::json;

use crate::common::{
    SHORT,
    canary::{self, assert_none, canary},
    cliproxy::{Driver, KEY, Simulated, config, hash_key},
    server::{Act, Answer, Server},
};

/// # Panics
/// When something secret is in `text`.
fn assert_discreet(whose: &str, text: &str) {
    assert_none(whose, text);
    for secret in [CANARY].into_iter().chain(CANARY_ADDRESSES) {
        assert!(!text.contains(secret), "{secret} in {whose}");
    }
}

fn assert_all_discreet(driver: &mut Driver) {
    assert_discreet("a report", &format!("{:?}", driver.report));
    let notes = driver.upstream.take_notes();
    assert_discreet("the client", &format!("{:?} {notes:#?}", driver.upstream));
    assert_discreet("the store", &format!("{:?}", driver.stored));
    let options =
        exposition::Options { labels: UserLabels::Name, limit: 1000, inbounds: true, budgets: Vec::new() };
    // As a poller would have it: everything was just read.
    let mut report = driver.report.clone();
    for part in [Part::Credentials, Part::Usage] {
        let state = PartState {
            outcome: Outcome::Up,
            last_success: Some(driver.now),
            last_data: Some(driver.now),
            duration: None,
            round: Duration::from_secs(30),
            stale_after: Duration::from_secs(600),
        };
        report.parts.insert(part, state);
    }
    let reports = [Arc::new(report)];
    let page = exposition::render(&reports, driver.now, &options, Format::Classic, Coding::Identity);
    let (alerts, own) = (ActiveAlerts::default(), Telemetry::new().gather());
    let chunks = page.complete(&Tail { alerts: &alerts, own: &own }, None);
    let text: Vec<u8> = chunks.into_iter().flatten().collect();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("proxymeter_llm_"), "{text}");
    assert_discreet("the metrics", &text);
}

#[tokio::test]
async fn no_secret_leaves_the_client() {
    let log = canary::log();
    for generation in Generation::ALL {
        let usage = if generation.has_queue() { UsageSetting::Queue } else { UsageSetting::Auto };
        let options = Options {
            generation,
            key: KEY.to_owned(),
            canaries: true,
            traffic: Traffic::People,
            ..Options::default()
        };
        let mut simulated = Simulated::open(&options, usage).await;
        assert_discreet("a configuration", &format!("{:?}", simulated.config));
        for _ in 0..30 {
            simulated.server.attempts(30);
            simulated.pass(60);
            simulated.driver.read_all().await;
        }
        let has_counted = simulated.counted() > 0;
        assert_eq!(has_counted, generation.has_queue() || generation.has_snapshot(), "{generation:?}");
        assert!(!simulated.driver.report.credentials.is_empty());
        assert_all_discreet(&mut simulated.driver);
        simulated.restart();
        simulated.driver.read_all().await;
        assert_all_discreet(&mut simulated.driver);
    }
    assert_discreet("a log", &log.text());
}

fn bad_answers() -> Vec<Answer> {
    let text = canary("body");
    let headers = [("content-type", "text/html"), ("x-cpa-version", text.as_str())];
    let mut answers: Vec<_> = [200, 301, 400, 401, 403, 404, 429, 500, 502]
        .into_iter()
        .map(|status| Answer::new(status, &headers, format!("<p>{text}")))
        .collect();
    answers.push(Answer::new(307, &[("location", &*format!("https://127.0.0.1:1/{text}"))], ""));
    for body in [
        format!("\"{text}\""),
        format!("{{\"{text}\":\"{text}\""),
        json!({"error": text, "usage-statistics-enabled": text}).to_string(),
        json!({"error": format!("IP banned. Try again in {text}")}).to_string(),
        json!({"files": [{"name": [text], "auth_index": {"a": text}, "status": text, "provider": [text]}]}).to_string(),
        json!({"usage": {"apis": {text.clone(): {"models": {"m": {"details": [text, {"source": [text]}]}}}}}}).to_string(),
        json!([text, {"timestamp": text, "api_key": [text], "fail": {"body": text, "status_code": text}}]).to_string(),
        json!({"gemini": {format!("https://a|{text}"): text}}).to_string(),
        text.clone(),
    ] {
        for status in [200, 400, 403, 404] {
            answers.push(Answer::new(status, &[("content-type", "application/json")], body.clone()));
        }
    }
    answers.push(Answer(vec![Act::Send(format!("{text}\r\n\r\n").into_bytes()), Act::Close]));
    answers
}

#[tokio::test]
async fn no_secret_is_in_what_goes_wrong() {
    let log = canary::log();
    // The flag is right, so that the other requests are made too.
    for usage in [UsageSetting::Auto, UsageSetting::Queue] {
        for place in 0..bad_answers().len() {
            let asked = AtomicUsize::new(0);
            let server = Server::start(move |request| {
                if request.path().starts_with("/v0/management/usage-statistics-enabled") {
                    return Answer::json(r#"{"usage-statistics-enabled": true}"#);
                }
                if request.number("count") == Some(0) {
                    return Answer::new(400, &[], "{}");
                }
                // The list of credentials is right at first, so that usage is planned.
                if request.path() == "/v0/management/auth-files" && asked.fetch_add(1, Ordering::Relaxed) == 0
                {
                    return Answer::json(r#"{"files": []}"#);
                }
                if request.path().starts_with("/v8/") || request.path().ends_with("/config") {
                    return Answer::new(404, &[], "404 page not found");
                }
                bad_answers().remove(place)
            });
            let mut driver = Driver::new(&config(&server.url(), usage));
            driver.upstream = Upstream::cliproxy(&config(&server.url(), usage), hash_key(), SHORT).unwrap();
            driver.upstream.resume(&Vec::new(), driver.now);
            for part in [Part::Credentials, Part::Usage, Part::Credentials] {
                if let Err(err) = driver.read(part).await {
                    assert_discreet("an error", &format!("{err} {err:?}"));
                }
            }
            let notes = driver.upstream.take_notes();
            assert_discreet("the client", &format!("{:?} {notes:#?}", driver.upstream));
            assert_discreet("a report", &format!("{:?}", driver.report));
            assert_discreet("the store", &format!("{:?}", driver.stored));
        }
    }
    assert_discreet("a log", &log.text());
}
