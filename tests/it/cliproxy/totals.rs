//! The totals of servers up to 6.9, and the counters of credentials.

use std::sync::{Arc, Mutex};

use proxymeter::{
    model::{LlmMode, Part},
    simulator::cliproxy::{Generation, Options, Traffic},
    upstream::cliproxy::config::{CliproxyConfig, UsageSetting},
};

use crate::common::{
    cliproxy::{Driver, FILES, KEY, KEYS, Recorded, Simulated, USAGE, config, hash},
    server::{Answer, Server},
};

#[tokio::test]
async fn totals_go_on_over_restarts_and_imports() {
    for generation in Generation::ALL.into_iter().filter(|generation| generation.has_snapshot()) {
        let mut simulated = Simulated::of(generation, UsageSetting::Auto).await;
        for _ in 0..3 {
            simulated.server.attempts(200);
            simulated.driver.read_all().await;
            assert_eq!(simulated.counted(), simulated.server.recorded().all().attempts, "{generation:?}");
            simulated.pass(30);
            simulated.restart();
        }
        simulated.server.restart();
        simulated.server.attempts(10);
        simulated.driver.read_all().await;
        simulated.server.import_usage(300, 86_400_000);
        simulated.driver.read_all().await;
        let all = simulated.server.recorded().all();
        let rows = &simulated.driver.report.llm_usage.rows;
        let tokens: u64 = rows.iter().map(|row| row.tokens.total).sum();
        let failed: u64 = rows.iter().map(|row| row.failed).sum();
        assert_eq!(
            (simulated.counted(), tokens, failed),
            (all.attempts, all.total, all.failed),
            "{generation:?}"
        );
    }
}

#[tokio::test]
async fn what_was_counted_stays_when_a_server_loses_its_totals() {
    for generation in [Generation::V6_10, Generation::V7_2, Generation::V8_0] {
        let mut simulated = Simulated::of(Generation::V6_9, UsageSetting::Auto).await;
        simulated.server.attempts(200);
        simulated.driver.read_all().await;
        simulated.server.upgrade(generation);
        simulated.server.attempts(10);
        for restarts in [false, true] {
            if restarts {
                simulated.restart();
            }
            for _ in 0..3 {
                simulated.driver.read_all().await;
                simulated.pass(30);
            }
            let mode = simulated.driver.report.llm_state.unwrap().mode;
            assert_eq!((simulated.counted(), mode), (200, LlmMode::Off), "{generation:?} {restarts}");
        }
    }
}

#[tokio::test]
async fn details_of_totals_are_no_records_of_a_queue() {
    let mut simulated = Simulated::of(Generation::V6_9, UsageSetting::Auto).await;
    simulated.server.attempts(200);
    simulated.driver.read_all().await;
    simulated.server.upgrade(Generation::V7_2);
    simulated.config.usage = UsageSetting::Queue;
    simulated.restart();
    simulated.server.attempts(10);
    simulated.driver.read_all().await;
    assert_eq!((simulated.counted(), simulated.driver.report.llm_usage.records), (210, 10));
}

#[tokio::test]
async fn lists_that_the_server_cuts_are_followed() {
    let options = Options {
        generation: Generation::V6_9,
        key: KEY.to_owned(),
        details_cap: Some(20),
        traffic: Traffic::None,
        ..Options::default()
    };
    let mut simulated = Simulated::open(&options, UsageSetting::Snapshot).await;
    for count in [100, 300, 1, 50, 2000, 0, 20] {
        simulated.server.attempts(count);
        simulated.driver.read_all().await;
        let all = simulated.server.recorded().all();
        let tokens: u64 = simulated.driver.report.llm_usage.rows.iter().map(|row| row.tokens.total).sum();
        assert_eq!((simulated.counted(), tokens), (all.attempts, all.total), "{count}");
    }
}

#[tokio::test]
async fn the_mode_is_found_by_what_the_server_has() {
    for (generation, mode, word) in [
        (Generation::V6_0, LlmMode::Snapshot, "6.0"),
        (Generation::V6_2, LlmMode::Snapshot, "6.0"),
        (Generation::V6_6, LlmMode::Snapshot, "6.3"),
        (Generation::V6_9, LlmMode::Snapshot, "6.9"),
        (Generation::V6_10_0, LlmMode::Off, "6.10"),
        (Generation::V6_10, LlmMode::Off, "6.10"),
        (Generation::V7_2, LlmMode::Off, "7.2"),
        (Generation::V7_3, LlmMode::Off, "7.3"),
        (Generation::V8_0, LlmMode::Off, "8.0"),
    ] {
        let mut simulated = Simulated::of(generation, UsageSetting::Auto).await;
        for _ in 0..2 {
            simulated.driver.read_all().await;
        }
        let report = &simulated.driver.report;
        assert_eq!(report.llm_state.unwrap().mode, mode, "{generation:?}");
        let identity = report.identity.as_ref().unwrap();
        let version = if word == "6.0" { "" } else { generation.version() };
        assert_eq!((identity.generation.as_str(), identity.version.as_str()), (word, version));
        // What is absent is not looked for with each poll.
        let before = simulated.server.wire.requests().len();
        for _ in 0..10 {
            simulated.pass(30);
            simulated.driver.read_all().await;
        }
        let requests = simulated.server.wire.requests().len() - before;
        let has_keys = generation >= Generation::V6_9;
        let each = 2 + usize::from(has_keys) + usize::from(generation.has_snapshot());
        assert_eq!(requests, each * 10, "{generation:?}");
        let hints = simulated.driver.upstream.take_notes().hints.len();
        assert_eq!(hints, usize::from(generation.has_queue()), "{generation:?}");
    }
}

#[tokio::test]
async fn a_server_of_8_0_needs_none_of_the_old_paths() {
    let options = Options {
        generation: Generation::V8_0,
        key: KEY.to_owned(),
        serves_v0: false,
        traffic: Traffic::None,
        ..Options::default()
    };
    let mut simulated = Simulated::open(&options, UsageSetting::Queue).await;
    simulated.server.attempts(7);
    simulated.driver.read_all().await;
    assert_eq!(simulated.counted(), 7);
    simulated.server.set_statistics(false);
    simulated.driver.read(Part::Credentials).await.unwrap();
    assert_eq!(simulated.driver.report.llm_state.unwrap().enabled, Some(false));
    assert_eq!(simulated.server.wire.requests_to("/v0/management"), 0);
}

#[tokio::test]
async fn attempts_of_credentials_go_on_over_restarts_of_both() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Off).await;
    let counters = |simulated: &Simulated| {
        simulated.server.credentials().iter().map(|known| known.success + known.failed).sum::<u64>()
    };
    let mut all = 0;
    for round in 0..6 {
        let before = counters(&simulated);
        simulated.server.attempts(100);
        all += counters(&simulated) - before;
        simulated.driver.read(Part::Credentials).await.unwrap();
        let credentials = &simulated.driver.report.credentials;
        let requests: u64 = credentials.iter().filter_map(|known| known.requests).sum();
        assert_eq!(requests, all, "{round}");
        // Counters that began again are read before they are as high as before.
        match round % 3 {
            0 => simulated.restart(),
            1 => simulated.server.restart(),
            _ => {
                let names: Vec<_> =
                    simulated.server.credentials().into_iter().map(|known| known.name).collect();
                names.iter().for_each(|name| assert!(simulated.server.put_back(name)));
            }
        }
        simulated.driver.read(Part::Credentials).await.unwrap();
    }
}

#[tokio::test]
async fn a_counter_that_goes_and_a_row_that_comes_twice_add_nothing() {
    let recorded = Recorded::of("7.2.140");
    let answers = Arc::new(Mutex::new(("", "")));
    let shown = Arc::clone(&answers);
    let server = Server::start(move |request| match (request.path(), *shown.lock().unwrap()) {
        (FILES, (files, _)) => Answer::json(format!(r#"{{"files": [{files}]}}"#)),
        (KEYS, (_, keys)) => Answer::json(format!(r#"{{"codex": {{{keys}}}}}"#)),
        _ => recorded.answer(request),
    });
    let config = CliproxyConfig {
        credential_aliases: vec![("00000000000000c1".to_owned(), "work".to_owned())],
        ..config(&server.url(), UsageSetting::Queue)
    };
    let mut driver = Driver::new(&config);
    let twice = r#"{"name": "a", "auth_index": "00000000000000c1", "success": 10, "failed": 0},
        {"name": "b", "auth_index": "00000000000000c1", "success": 3, "failed": 0}"#;
    let both =
        r#""https://a|sk": {"success": 1000, "failed": 0}, "https://b|sk": {"success": 500, "failed": 0}"#;
    let one = r#""https://a|sk": {"success": 1000, "failed": 0}"#;
    for keys in [both, one, both, one, one, one, one, one] {
        *answers.lock().unwrap() = (twice, keys);
        driver.read_all().await;
        driver.pass(30);
        let mut counted: Vec<_> =
            driver.report.credentials.iter().map(|known| (known.label.to_string(), known.requests)).collect();
        counted.sort();
        assert_eq!(counted, [(hash("sk"), Some(1500)), ("work".to_owned(), Some(10))], "{keys}");
        assert_eq!(driver.report.llm_usage.bypassed, 0);
    }
}

#[tokio::test]
async fn attempts_of_credentials_are_those_of_the_details_where_the_server_has_no_counters() {
    let files = r#"{"files": [{"name": "a", "auth_index": "c1", "provider": "codex"}, {"name": "b", "auth_index": "c2"}]}"#;
    let counting = r#"{"files": [{"name": "a", "auth_index": "c1", "success": 4, "failed": 1}, {"name": "b", "auth_index": "c2", "success": 0, "failed": 0}]}"#;
    let recorded = Recorded::of("6.9.49");
    let answers = Arc::new(Mutex::new((files, String::new())));
    let shown = Arc::clone(&answers);
    let server = Server::start(move |request| {
        let (files, details) = shown.lock().unwrap().clone();
        match request.path() {
            FILES => Answer::json(files),
            KEYS => Answer::status(404),
            USAGE => Answer::json(format!(
                r#"{{"usage": {{"apis": {{"k": {{"models": {{"m": {{"details": [{details}]}}}}}}}}}}}}"#
            )),
            _ => recorded.answer(request),
        }
    });
    let mut config = config(&server.url(), UsageSetting::Auto);
    let mut driver = Driver::new(&config);
    let detail = |index: &str, second: u32, failed: bool| {
        format!(
            r#"{{"timestamp": "2026-11-25T00:00:{second:02}Z", "auth_index": "{index}", "failed": {failed}}}"#
        )
    };
    let details = [detail("c1", 1, false), detail("c1", 2, true), detail("another", 3, false)];
    let counted = |driver: &Driver| {
        let credentials = driver.report.credentials.iter();
        credentials.map(|known| known.requests.zip(known.failed)).collect::<Vec<_>>()
    };
    for (count, expected) in [(0, [None, None]), (2, [Some((2, 1)), None]), (3, [Some((2, 1)), None])] {
        answers.lock().unwrap().1 = details[..count].join(",");
        driver.read_all().await;
        driver.restart(&config);
        driver.read_all().await;
        assert_eq!(counted(&driver), expected, "{count}");
    }
    config.usage = UsageSetting::Off;
    driver.restart(&config);
    driver.read_all().await;
    assert_eq!(counted(&driver), [None, None]);
    // A later version has counters of its own, which begin at 0.
    answers.lock().unwrap().0 = counting;
    driver.read_all().await;
    assert_eq!(counted(&driver), [Some((7, 2)), Some((0, 0))]);
}
