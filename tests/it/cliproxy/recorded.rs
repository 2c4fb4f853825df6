//! The recorded servers through the real client: what is counted is what the providers said in the recorded scripts.

use std::{collections::BTreeMap, sync::Arc};

use proxymeter::{
    model::{LlmMode, LlmRow, LlmTokens, Part, Report},
    upstream::cliproxy::config::UsageSetting,
};
use serde_json::Value;

use crate::common::{
    cliproxy::{Driver, FILES, KEYS, QUEUES, Recorded, SNAPSHOTS, USAGE, config, hash},
    server::Server,
};

/// What a provider said of one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    requests: u64,
    input: u64,
    output: u64,
    cached: u64,
    reasoning: u64,
    cache_write: u64,
}

/// The calls of the script `mix240`, by client key and model: `call` makes a number of what a provider said.
fn mix240(recorded: &Recorded, call: impl Fn(&str, bool, Said) -> Said) -> BTreeMap<(String, String), Said> {
    // Models change with each call, and keys when all models had a call.
    let names: Vec<_> = recorded.mix240().iter().map(|(name, _)| name.split_once(" | ").unwrap()).collect();
    let models = names.len() / 3;
    let mut sums = BTreeMap::<_, Said>::new();
    for i in 0..240_u64 {
        let at = usize::try_from(i).unwrap();
        let (key, model) = names[(at / models) % 3 * models + at % models];
        let said = Said {
            requests: 1,
            input: 100 + i,
            output: 20 + i % 7,
            cached: 10 * (i % 5),
            reasoning: i % 3,
            cache_write: 3 * (i % 4),
        };
        let said = call(model, i % 2 == 1, said);
        let sum = sums.entry((hash(key), model.to_owned())).or_default();
        sum.requests += said.requests;
        sum.input += said.input;
        sum.output += said.output;
        sum.cached += said.cached;
        sum.reasoning += said.reasoning;
        sum.cache_write += said.cache_write;
    }
    sums
}

/// What was counted, under the models of the script: earlier servers have the names that clients use for some.
fn counted(report: &Report, recorded: &Recorded) -> BTreeMap<(String, String), Said> {
    let named = |model: &str| {
        let models = recorded.mix240().iter().map(|(name, _)| name.split_once(" | ").unwrap().1);
        let found = models.into_iter().find(|known| known.ends_with(model.trim_start_matches("fake-")));
        found.unwrap_or_else(|| panic!("{model}")).to_owned()
    };
    let mut sums = BTreeMap::<_, Said>::new();
    for LlmRow { api_key, model, requests, tokens, .. } in &report.llm_usage.rows {
        let LlmTokens { input, output, reasoning, cached, cache_write, total: _ } = *tokens;
        let said = Said { requests: *requests, input, output, cached, reasoning, cache_write };
        assert_eq!(sums.insert((api_key.to_string(), named(model)), said), None, "one provider for each");
    }
    sums
}

/// The differences that the recorded servers have by themselves.
fn recorded_by(version: &'static str) -> impl Fn(&str, bool, Said) -> Said {
    move |model, streamed, said| {
        let is_claude = model.contains("claude") || model == "fake-sonnet";
        let tells_reads_from_writes = version == "7.2.140";
        let mut said = said;
        if is_claude {
            // Claude has no number for reasoning.
            said.reasoning = 0;
            // The provider of the recordings gives input only at the start of a stream, and the server looks at its end.
            if streamed {
                (said.input, said.cached, said.cache_write) = (0, 0, 0);
            }
            // Earlier servers have one number, which is what was written to the cache if nothing was read from it.
            if !tells_reads_from_writes {
                if said.cached == 0 {
                    said.cached = said.cache_write;
                }
                said.cache_write = 0;
            }
        } else {
            said.cache_write = 0;
        }
        said
    }
}

#[test]
fn the_script_is_the_one_that_was_recorded() {
    for version in SNAPSHOTS.into_iter().chain(QUEUES) {
        let recorded = Recorded::of(version);
        for ((key, model), said) in mix240(&recorded, |_, _, said| said) {
            let (_, truth) = recorded
                .mix240()
                .iter()
                .find(|(name, _)| name.split_once(" | ").is_some_and(|(k, m)| hash(k) == key && m == model))
                .unwrap();
            for (name, number) in [
                ("requests", said.requests),
                ("in", said.input),
                ("out", said.output),
                ("cr", said.cached),
                ("rs", said.reasoning),
                ("cw", said.cache_write),
            ] {
                assert_eq!(truth[name].as_u64(), Some(number), "{version} {model} {name}");
            }
        }
    }
}

#[tokio::test]
async fn totals_are_those_of_the_script_to_the_token() {
    for version in SNAPSHOTS {
        let recorded = Recorded::of(version).at(USAGE, "usage-mix240").at(KEYS, "api-key-usage");
        let expected = mix240(&recorded, recorded_by(version));
        let recorded = Arc::new(recorded);
        let server = recorded.serve();
        let mut driver = Driver::new(&config(&server.url(), UsageSetting::Auto));
        driver.read_all().await;
        assert_eq!(driver.report.llm_state.unwrap().mode, LlmMode::Snapshot, "{version}");
        assert_eq!(counted(&driver.report, &recorded), expected, "{version}");
        // Neither another poll nor another process counts anything twice.
        driver.read_all().await;
        assert_eq!(counted(&driver.report, &recorded), expected, "{version}");
        driver.restart(&config(&server.url(), UsageSetting::Auto));
        driver.read_all().await;
        assert_eq!(counted(&driver.report, &recorded), expected, "{version}");
    }
}

#[tokio::test]
async fn records_are_those_of_the_script_to_the_token() {
    for version in QUEUES {
        let batches = ["usage-queue-pop3", "usage-queue-pop-default", "usage-queue-mix240-rest"];
        let recorded = Recorded::of(version).queued(&batches).at(KEYS, "api-key-usage");
        let expected = mix240(&recorded, recorded_by(version));
        let recorded = Arc::new(recorded);
        let server = recorded.serve();
        let mut driver = Driver::new(&config(&server.url(), UsageSetting::Queue));
        for _ in 0..4 {
            driver.read_all().await;
            driver.pass(10);
        }
        assert_eq!(driver.report.llm_state.unwrap().mode, LlmMode::Queue, "{version}");
        assert_eq!(counted(&driver.report, &recorded), expected, "{version}");
        let usage = &driver.report.llm_usage;
        assert_eq!((usage.records, usage.gaps, usage.bypassed), (240, 0, 0), "{version}");
        // The provider is the one that the list of keys has.
        let providers: Vec<_> = usage.rows.iter().map(|row| &*row.provider).collect();
        assert!(providers.contains(&"fakeai") && providers.iter().all(|name| !name.contains("compatible")));
    }
}

/// Failed attempts, and attempts by the providers in a recorded script of failures.
fn attempts(truth: &Value) -> (u64, u64) {
    let all = truth["upstream_attempts"].as_array().unwrap();
    let failed = all.iter().filter(|attempt| attempt.as_array().unwrap().last().unwrap() != 200).count();
    (all.len().try_into().unwrap(), failed.try_into().unwrap())
}

#[tokio::test]
async fn failures_are_those_of_the_script() {
    for version in QUEUES {
        let index: Value = serde_json::from_slice(
            &std::fs::read(format!("tests/fixtures/cliproxy/v{version}/index.json")).unwrap(),
        )
        .unwrap();
        for answer in index["answers"].as_array().unwrap() {
            if !answer["truth"].is_object() {
                continue;
            }
            let name = answer["file"].as_str().unwrap().trim_end_matches(".json");
            let recorded = Recorded::of(version);
            if !std::path::Path::new(&format!("tests/fixtures/cliproxy/v{version}/{name}.json")).exists() {
                continue;
            }
            let (all, mut failed) = attempts(&answer["truth"]);
            // A stream that breaks off after its status is a failure that its provider does not know of.
            failed += u64::from(name.starts_with("client-abort-mid") || name == "upstream-truncated");
            let recorded = recorded.queued(&[name]);
            let server = Server::start(move |request| recorded.answer(request));
            let mut driver = Driver::new(&config(&server.url(), UsageSetting::Queue));
            driver.read_all().await;
            let rows = &driver.report.llm_usage.rows;
            let sums = rows.iter().fold((0, 0), |sums, row| (sums.0 + row.requests, sums.1 + row.failed));
            assert_eq!(sums, (all, failed), "{version} {name}");
            let errors: u64 = driver.report.llm_usage.errors.iter().map(|errors| errors.attempts).sum();
            assert_eq!(errors, failed, "{version} {name}");
            if version == "7.2.140" && name.starts_with("client-abort") {
                let codes: Vec<_> =
                    driver.report.llm_usage.errors.iter().map(|error| error.status_code).collect();
                assert_eq!(codes, [Some(499)], "{name}");
            }
        }
    }
}

#[tokio::test]
async fn totals_with_failures_have_what_the_version_records() {
    for (version, all, failed) in [("6.0.5", 13, 0), ("6.6.55", 17, 3), ("6.9.49", 17, 3)] {
        let recorded = Recorded::of(version).at(USAGE, "usage-with-failures");
        let by_itself = recorded.json("usage-with-failures")["usage"].clone();
        let server = Server::start(move |request| recorded.answer(request));
        let mut driver = Driver::new(&config(&server.url(), UsageSetting::Snapshot));
        driver.read_all().await;
        let rows = &driver.report.llm_usage.rows;
        let sums = rows.iter().fold((0, 0, 0), |sums, row| {
            (sums.0 + row.requests, sums.1 + row.failed, sums.2 + row.tokens.total)
        });
        assert_eq!(Some(sums.0), by_itself["total_requests"].as_u64(), "{version}");
        assert_eq!(Some(sums.2), by_itself["total_tokens"].as_u64(), "{version}");
        assert_eq!((sums.0, sums.1), (all, failed), "{version}");
    }
}

#[tokio::test]
async fn what_is_imported_after_a_restart_is_not_counted_again() {
    let before = Recorded::of("6.9.49").at(USAGE, "usage-mix240");
    let after = Recorded::of("6.9.49").at(USAGE, "usage-after-import");
    let server = Server::start(move |request| before.answer(request));
    let mut driver = Driver::new(&config(&server.url(), UsageSetting::Auto));
    driver.read_all().await;
    let requests = |report: &Report| report.llm_usage.rows.iter().map(|row| row.requests).sum::<u64>();
    assert_eq!(requests(&driver.report), 240);
    let imported = after.json("usage-after-import")["usage"]["total_requests"].as_u64().unwrap();
    let server = Server::start(move |request| after.answer(request));
    driver.pass(30);
    driver.restart(&config(&server.url(), UsageSetting::Auto));
    driver.read_all().await;
    assert_eq!(requests(&driver.report), imported, "those before the import are among them");
}

#[tokio::test]
async fn credentials_are_told_without_their_names() {
    for version in SNAPSHOTS.into_iter().chain(QUEUES) {
        let recorded = Recorded::of(version)
            .at(FILES, "auth-files-oauth-final")
            .at(KEYS, "api-key-usage-after-failures");
        let has_counts = ["6.9.49", "6.10.8", "7.2.140"].contains(&version);
        let listed = recorded.json(if has_counts { "auth-files-oauth-final" } else { "auth-files-before" });
        let files = listed["files"].as_array().unwrap().len();
        let server = Server::start(move |request| recorded.answer(request));
        let mut driver = Driver::new(&config(&server.url(), UsageSetting::Off));
        driver.read(Part::Credentials).await.unwrap();
        let credentials = &driver.report.credentials;
        // Of keys, there are five providers, one of which has two.
        assert_eq!(credentials.len(), files + if has_counts { 6 } else { 0 }, "{version}");
        let counted = credentials.iter().filter(|known| known.requests.is_some()).count();
        assert_eq!(counted, if has_counts { credentials.len() } else { 0 }, "{version}");
        for credential in credentials.iter() {
            assert_eq!(credential.label.len(), 16, "{version} {credential:?}");
            assert!(!format!("{credential:?}").contains("example.test"), "{version}");
        }
    }
}
