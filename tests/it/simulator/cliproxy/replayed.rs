//! The script of 240 calls that was run against real servers, run against the simulated ones: the answers are the
//! same to the token.

use std::collections::BTreeMap;

use proxymeter::simulator::cliproxy::{Attempt, Credential, Generation, Origin, Tokens};
use serde_json::{Value, json};

use super::house::{House, fixtures, read};

/// Client keys of the script, in turn.
const CLIENTS: [&str; 3] =
    ["ck-test-alpha-000000000001", "ck-test-beta-0000000000002", "ck-test-gamma-000000000003"];
const LARGE: Model = Model { name: "gpt-fake-large", alias: "fake-large", provider: "fakeai" };
const MINI: Model = Model { name: "gpt-fake-mini", alias: "fake-mini", provider: "fakeai" };
const SONNET: Model = Model { name: "claude-fake-sonnet", alias: "fake-sonnet", provider: "claude" };
const GEMINI: Model = Model { name: "gemini-fake-pro", alias: "fake-gemini", provider: "gemini" };
const CODEX: Model = Model { name: "gpt-fake-codex", alias: "fake-codex", provider: "codex" };
const SONNET_4: Model =
    Model { name: "claude-sonnet-4-20250514", alias: "claude-sonnet-4-20250514", provider: "claude" };
const GPT_5: Model = Model { name: "gpt-5", alias: "gpt-5", provider: "codex" };

#[derive(Clone, Copy)]
struct Model {
    name: &'static str,
    alias: &'static str,
    provider: &'static str,
}

/// The models of the script, in turn. Older servers could not be asked for all.
fn models(generation: Generation) -> Vec<Model> {
    match generation {
        Generation::V6_0 => vec![LARGE, MINI, SONNET_4, GPT_5],
        Generation::V6_2 => vec![LARGE, MINI],
        Generation::V6_6 => vec![LARGE, MINI, SONNET],
        _ => vec![LARGE, MINI, SONNET, GEMINI, CODEX],
    }
}

const KEYS: [(&str, &str, &str); 5] = [
    ("fakeai", "oai/v1", "sk-up-oai-AAAA000000000001"),
    ("fakeai", "oai/v1", "sk-up-oai-BBBB000000000002"),
    ("claude", "ant", "sk-up-ant-AAAA000000000001"),
    ("gemini", "gem", "AIza-up-gem-AAAA00000000001"),
    ("codex", "cdx", "sk-up-cdx-AAAA000000000001"),
];

/// The calls, each as the upstream answered it.
fn script(generation: Generation) -> impl Iterator<Item = Attempt> {
    let models = models(generation);
    (0..240_u32).map(move |call| {
        let turn = usize::try_from(call).unwrap();
        let Model { name, alias, provider } = models[turn % models.len()];
        let client = CLIENTS[turn / models.len() % 3];
        let stream = call % 2 == 1;
        // The upstream reported Claude's input only at the start of a stream, which the servers ignore.
        let of_prompt = |tokens: u32| if provider == "claude" && stream { 0 } else { tokens };
        let tokens = Tokens {
            input: of_prompt(100 + call),
            output: 20 + call % 7,
            reasoning: call % 3,
            cache_read: of_prompt(10 * (call % 5)),
            cache_write: of_prompt(3 * (call % 4)),
        };
        let credential = KEYS.iter().find(|(of, _, _)| *of == provider).unwrap().2;
        Attempt {
            client: client.to_owned(),
            credential: credential.to_owned(),
            model: name.to_owned(),
            alias: alias.to_owned(),
            tokens,
            stream,
            latency_ms: 1,
            ttft_ms: 1,
            ..Attempt::default()
        }
    })
}

async fn replayed(generation: Generation) -> House {
    let house = House::of(generation).await;
    for (provider, path, key) in KEYS {
        let origin = Origin::Key { base_url: format!("http://127.0.0.1:18900/{path}") };
        assert!(house.server.add_credential(Credential::new(key, provider, origin, 0)));
    }
    script(generation).for_each(|attempt| assert!(house.server.attempt(&attempt)));
    house
}

#[tokio::test]
async fn the_script_gives_the_recorded_snapshot() {
    for generation in [Generation::V6_0, Generation::V6_2, Generation::V6_6, Generation::V6_9] {
        let house = replayed(generation).await;
        let folder = fixtures(&format!("v{}", generation.version()));
        let real = read(&folder.join("usage-mix240.json"));
        let simulated = house.json("/v0/management/usage").await;
        assert_eq!(without_data(&simulated), without_data(&real), "{generation:?}");
    }
}

/// Without times, and without which credential was used, which the server chose.
fn without_data(usage: &Value) -> Value {
    let mut usage = usage.clone();
    let total = |of: &Value| of.as_object().unwrap().values().map(|sum| sum.as_u64().unwrap()).sum::<u64>();
    for sums in ["requests_by_day", "requests_by_hour", "tokens_by_day", "tokens_by_hour"] {
        usage["usage"][sums] = json!(total(&usage["usage"][sums]));
    }
    for api in usage["usage"]["apis"].as_object_mut().unwrap().values_mut() {
        for model in api["models"].as_object_mut().unwrap().values_mut() {
            for detail in model["details"].as_array_mut().unwrap() {
                let detail = detail.as_object_mut().unwrap();
                for key in ["timestamp", "latency_ms", "source", "auth_index"] {
                    if let Some(value) = detail.get_mut(key) {
                        *value = json!("");
                    }
                }
            }
        }
    }
    usage
}

#[tokio::test]
async fn the_script_gives_the_recorded_queue() {
    for generation in [Generation::V6_10, Generation::V7_2] {
        let house = replayed(generation).await;
        let folder = fixtures(&format!("v{}", generation.version()));
        let files = ["usage-queue-pop3.json", "usage-queue-pop-default.json", "usage-queue-mix240-rest.json"];
        let real = files.map(|file| read(&folder.join(file)));
        let real: Vec<&Value> = real.iter().flat_map(|pop| pop.as_array().unwrap()).collect();
        let mut simulated = house.pop(3).await;
        let one = house.json(super::house::QUEUE).await;
        simulated.extend(one.as_array().unwrap().iter().cloned());
        simulated.extend(house.pop(1000).await);
        assert_eq!((simulated.len(), real.len()), (240, 240));
        let fields = |record: &Value| {
            let fields = [
                "tokens",
                "failed",
                "generate",
                "fail",
                "accounting_version",
                "token_breakdown",
                "provider",
                "executor_type",
                "model",
                "alias",
                "endpoint",
                "auth_type",
                "api_key",
                "reasoning_effort",
                "service_tier",
                "response_service_tier",
            ];
            fields.map(|field| (field, record[field].clone())).to_vec()
        };
        // Records of parallel calls are in the order of their completion.
        let sorted = |records: &[&Value]| {
            let mut records: Vec<_> = records.iter().map(|record| fields(record)).collect();
            records.sort_by_key(|record| format!("{record:?}"));
            records
        };
        let simulated: Vec<&Value> = simulated.iter().collect();
        for (simulated, real) in sorted(&simulated).into_iter().zip(sorted(&real)) {
            assert_eq!(simulated, real, "{generation:?}");
        }
    }
}

/// The totals that the simulated server keeps are those of the script's author.
#[tokio::test]
async fn the_kept_totals_are_those_of_the_script() {
    for generation in [Generation::V6_9, Generation::V6_10, Generation::V7_2] {
        let house = replayed(generation).await;
        let index = read(&fixtures(&format!("v{}", generation.version())).join("index.json"));
        let truth = index["script"]["mix240"]["by_key_model"].as_object().unwrap().clone();
        let made = house.server.made();
        let kept: BTreeMap<String, _> = made
            .by_series
            .iter()
            .map(|(series, sums)| (format!("{} | {}", series.api_key, series.model), sums))
            .collect();
        assert_eq!(kept.len(), truth.len());
        for (key, truth) in truth {
            let sums = kept[&key];
            assert_eq!(
                (json!(sums.attempts), json!(sums.output)),
                (truth["requests"].clone(), truth["out"].clone())
            );
            if !key.contains("claude") {
                assert_eq!(
                    json!([sums.input, sums.cache_read, sums.reasoning]),
                    json!([truth["in"], truth["cr"], truth["rs"]])
                );
            }
        }
        assert_eq!(house.server.recorded().all().attempts, 240);
    }
}
