use super::*;
use crate::{
    model::LlmTokens,
    upstream::cliproxy::attempt::{Attempt, Billed, Tier},
};

/// 30 entries of LiteLLM's map.
const LIST: &[u8] = include_bytes!("../../../../tests/fixtures/litellm/model_prices.json");

fn list() -> Prices {
    let (prices, unreadable) = Prices::parse(LIST).unwrap();
    assert_eq!(unreadable, [""; 0]);
    prices
}

fn parsed(text: &str) -> Prices {
    let (prices, unreadable) = Prices::parse(text.as_bytes()).unwrap();
    assert_eq!(unreadable, [""; 0]);
    prices
}

/// An attempt with tokens of uncached input, cache reads, cache writes and output.
fn attempt([uncached_input, cache_read, cache_write, output]: [u64; 4], tier: Tier) -> Attempt {
    let billed = Billed { uncached_input, cache_read, cache_write, output, unclassified: 0, tier };
    Attempt { billed, ..Attempt::default() }
}

fn cost(prices: &Prices, model: (&str, &str), tokens: [u64; 4], tier: Tier) -> Option<u64> {
    prices.price(model.0, model.1)?.cost_nanos(&attempt(tokens, tier))
}

#[test]
fn costs_are_exact() {
    use Tier::{Base, Flex, Priority};
    let prices = list();
    let cases = [
        // Each kind of token has its price; reading a cache is the cheapest, writing it is dearer than input.
        (
            ("claude", "claude-opus-4-8"),
            [10, 1000, 2000, 50],
            Base,
            50_000 + 500_000 + 12_500_000 + 1_250_000,
        ),
        (("codex", "gpt-5.5"), [1000, 2000, 0, 300], Base, 15_000_000),
        (("codex", "gpt-5.5"), [1000, 2000, 0, 300], Flex, 7_500_000),
        (("codex", "gpt-5.5"), [1000, 2000, 0, 300], Priority, 37_500_000),
        // A model that has no such tier.
        (("claude", "claude-opus-4-8"), [10, 0, 0, 0], Priority, 50_000),
        (("codex", "gpt-5.1-codex"), [8, 0, 0, 0], Flex, 10_000),
        // A tier that has a price for some kinds only.
        (("codex", "gpt-5.6"), [0, 0, 1000, 0], Base, 5_000_000),
        (("codex", "gpt-5.6"), [0, 0, 1000, 0], Priority, 10_000_000),
        // No price of cache writes: that of input.
        (("kimi", "kimi-k2.5"), [0, 0, 10, 0], Base, 6_000),
        (("codex", "gpt-5"), [0, 0, 8, 0], Flex, 5_000),
        // A price of zero is a price.
        (("zai", "glm-4.6"), [1, 0, 1000, 0], Base, 600),
        // Beyond a bound, every token costs more; what is read from a cache counts for the bound.
        (("codex", "gpt-5.5"), [272_000, 0, 0, 1], Base, 1_360_030_000),
        (("codex", "gpt-5.5"), [272_001, 0, 0, 1], Base, 2_720_055_000),
        (("codex", "gpt-5.5"), [1, 272_000, 0, 0], Base, 272_010_000),
        (("codex", "gpt-5.5"), [272_001, 0, 0, 1], Flex, 1_360_027_500),
        (("codex", "gpt-5.5"), [0, 0, 0, 1_000_000], Base, 30_000_000_000),
        // No priority beyond the bound: the price of all tiers.
        (("codex", "gpt-5.5"), [272_001, 0, 0, 1], Priority, 2_720_055_000),
        (("codex", "gpt-5.6"), [272_001, 0, 0, 1], Priority, 4_352_016_000 + 60_000),
        // Cache writes have a price beyond the bound only.
        (("vertex", "gemini-2.5-pro"), [0, 0, 200_000, 0], Base, 250_000_000),
        (("vertex", "gemini-2.5-pro"), [0, 0, 200_001, 0], Base, 50_000_250),
        (("vertex", "gemini-2.5-pro"), [200_001, 0, 0, 0], Base, 500_002_500),
        // xAI's bounds include their number.
        (("xai", "grok-4.3"), [199_999, 0, 0, 0], Base, 249_998_750),
        (("xai", "grok-4.3"), [200_000, 0, 0, 0], Base, 500_000_000),
        // Ranges of prompts, without a flat price.
        (("qwen", "qwen3-coder-plus"), [32_000, 0, 0, 0], Base, 32_000_000),
        (("qwen", "qwen3-coder-plus"), [32_001, 0, 0, 10], Flex, 57_601_800 + 90_000),
        (("qwen", "qwen3-coder-plus"), [128_000, 128_001, 0, 0], Base, 768_000_000 + 76_800_600),
        (("qwen", "qwen3-coder-plus"), [2_000_000, 0, 0, 0], Base, 12_000_000_000),
        (("qwen", "qwen3-coder-plus"), [0, 0, 0, 10], Base, 50_000),
        // Prices of the night are left out.
        (("deepseek", "deepseek-v4-flash"), [1, 1, 0, 1], Base, 300 + 6 + 1200),
        // Half a billionth is rounded up, once.
        (("codex", "gpt-5.4-mini"), [0, 1, 0, 0], Flex, 38),
        (("codex", "gpt-5.4-mini"), [0, 2, 0, 0], Flex, 75),
        (("codex", "gpt-5.4-mini"), [1, 1, 0, 0], Flex, 375 + 38),
        (("codex", "gpt-5"), [0; 4], Base, 0),
        (("claude", "claude-opus-4-8"), [u64::MAX; 4], Base, u64::MAX),
    ];
    for (model, tokens, tier, nanos) in cases {
        assert_eq!(cost(&prices, model, tokens, tier), Some(nanos), "{model:?} {tokens:?} {tier:?}");
    }
}

#[test]
fn reasoning_is_output_unless_it_has_another_price() {
    let prices = list();
    let cases = [
        (("qwen", "qwen-plus-2025-04-28"), 100, 60, Tier::Base, 40 * 1200 + 60 * 4000),
        // More than all output is all of it.
        (("qwen", "qwen-plus-2025-04-28"), 100, 900, Tier::Base, 100 * 4000),
        (("codex", "gpt-5"), 100, 60, Tier::Base, 1_000_000),
        // The same price for both in the base tier, so that of the tier is for both.
        (("gemini", "gemini-2.5-flash"), 100, 60, Tier::Base, 250_000),
        (("gemini", "gemini-2.5-flash"), 100, 60, Tier::Priority, 450_000),
    ];
    for (model, output, reasoning, tier, nanos) in cases {
        let tokens = LlmTokens { reasoning, ..LlmTokens::default() };
        let attempt = Attempt { tokens, ..attempt([0, 0, 0, output], tier) };
        let price = prices.price(model.0, model.1).unwrap();
        assert_eq!(price.cost_nanos(&attempt), Some(nanos), "{model:?} {output} {reasoning}");
    }
}

/// The key under which a model is found shows in its price.
#[test]
fn each_provider_has_its_own_keys() {
    let keys = [
        "m",
        "gemini/m",
        "vertex_ai/m",
        "moonshot/m",
        "xai/m",
        "dashscope/m",
        "fakeai/m",
        "chatgpt/c",
        "openrouter/g",
        "p-preview",
        "gemini/p-preview",
        "gemini/q-preview",
        "r-preview",
        "vertex_ai/v",
        "fakeai/f",
        "org/model",
        "fakeai/org/model2",
        "t-thinking",
        "t",
        "gemini/u",
        "u-thinking",
    ];
    let price = |at: usize| format!("{{\"mode\": \"chat\", \"input_cost_per_token\": {}e-9}}", at + 1);
    let list: Vec<_> = keys.iter().enumerate().map(|(at, key)| format!("\"{key}\": {}", price(at))).collect();
    let prices = parsed(&format!("{{{}}}", list.join(",")));
    let cases = [
        ("claude", "m", Some("m")),
        ("codex", "m", Some("m")),
        ("gemini", "m", Some("gemini/m")),
        ("gemini-cli", "m", Some("gemini/m")),
        ("aistudio", "m", Some("gemini/m")),
        ("antigravity", "m", Some("gemini/m")),
        ("vertex", "m", Some("m")),
        ("kimi", "m", Some("moonshot/m")),
        ("xai", "m", Some("xai/m")),
        ("qwen", "m", Some("dashscope/m")),
        ("fakeai", "m", Some("m")),
        ("other", "m", Some("m")),
        // The prices of subscriptions and of resellers are other ones.
        ("codex", "c", None),
        ("codex", "g", None),
        ("codex", "f", None),
        ("kimi", "f", None),
        ("vertex", "v", Some("vertex_ai/v")),
        ("fakeai", "f", Some("fakeai/f")),
        ("fakeai", "org/model", Some("org/model")),
        ("fakeai", "org/model2", Some("fakeai/org/model2")),
        ("fakeai", "model", None),
        ("openai", "model2", None),
        // Previews, for Google's models only.
        ("gemini", "p", Some("gemini/p-preview")),
        ("antigravity", "q", Some("gemini/q-preview")),
        ("gemini-cli", "r", Some("r-preview")),
        ("codex", "r", None),
        // The case of letters counts.
        ("claude", "M", None),
        ("Claude", "m", Some("m")),
        // A level of effort and the word for thinking, if the name with them is not listed.
        ("codex", "m(high)", Some("m")),
        ("codex", "m(8192)", Some("m")),
        ("codex", "m(", None),
        ("codex", "(high)", None),
        ("claude", "m-thinking", Some("m")),
        ("claude", "m-thinking(high)", Some("m")),
        ("claude", "t-thinking", Some("t-thinking")),
        ("claude", "t-thinking(low)", Some("t-thinking")),
        ("antigravity", "u-thinking", Some("u-thinking")),
        ("claude", "thinking", None),
        // Not by its beginning or end.
        ("codex", "m-codex", None),
        ("codex", "", None),
        ("", "m", Some("m")),
    ];
    for (provider, model, key) in cases {
        let nanos = cost(&prices, (provider, model), [1, 0, 0, 0], Tier::Base);
        let found = nanos.map(|nanos| keys[usize::try_from(nanos).unwrap() - 1]);
        assert_eq!(found, key, "{provider} {model}");
    }
}

#[test]
fn models_without_a_price_have_none() {
    let prices = list();
    for model in [
        // Seen in answers of servers.
        ("codex", "gpt-5.6-codex"),
        ("codex", "gpt-5.3-codex-spark"),
        ("codex", "codex-auto-review"),
        ("claude", "claude-opus-4-20250514"),
        ("claude", "claude-3-7-sonnet-20250219"),
        ("claude", "claude-3-5-haiku-20241022"),
        ("fakeai", "deepseek/deepseek-v4"),
        ("fakeai", "fake-large"),
        ("unknown", "unknown"),
        // Priced per image or second, an alias of nothing, and no models at all.
        ("codex", "gpt-image-2"),
        ("codex", "whisper-1"),
        ("azure_ai", "gpt-luna-latest"),
        ("fakeai", "sample_spec"),
        ("fakeai", "fallback_generalizations"),
    ] {
        assert_eq!(prices.price(model.0, model.1), None, "{model:?}");
    }
}

#[test]
fn an_attempt_with_tokens_of_a_kind_without_a_price_has_none() {
    let prices = parsed(
        r#"{"input": {"input_cost_per_token": 1e-6}, "output": {"output_cost_per_token": 1e-6},
            "cache": {"cache_read_input_token_cost": 1e-6, "output_cost_per_token": 1e-6}}"#,
    );
    for (model, tokens, nanos) in [
        ("input", [1, 1, 1, 0], Some(3000)),
        ("input", [1, 0, 0, 1], None),
        ("output", [0, 0, 0, 1], Some(1000)),
        ("output", [0, 1, 0, 1], None),
        ("cache", [0, 1, 0, 1], Some(2000)),
        ("cache", [1, 1, 0, 1], None),
    ] {
        assert_eq!(cost(&prices, ("codex", model), tokens, Tier::Base), nanos, "{model} {tokens:?}");
    }
}

#[test]
fn an_odd_entry_costs_that_entry() {
    let (prices, mut unreadable) = Prices::parse(
        r#"{
        "good": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "mode": "chat", "max_tokens": "odd",
                 "output_cost_per_token_batches": "odd", "off_peak_pricing": 7, "cache_read_input_token_cost": null},
        "quoted": {"input_cost_per_token": "3e-7", "output_cost_per_token": "1e-6"},
        "escaped \" name": {"input_cost_per_token": 1e-6},
        "text": {"input_cost_per_token": "cheap"},
        "negative": {"input_cost_per_token": -1e-6},
        "huge": {"output_cost_per_token": 1e300},
        "list": [1e-6],
        "number": 1e-6,
        "null": null,
        "object": {"input_cost_per_token": {"usd": 1e-6}},
        "cache": {"input_cost_per_token": 1e-6, "cache_read_input_token_cost": true},
        "bound": {"input_cost_per_token": 1e-6, "input_cost_per_token_above_128k_tokens": []},
        "tiers": {"tiered_pricing": {"range": [0, 1]}},
        "range": {"tiered_pricing": [{"range": 7, "input_cost_per_token": 1e-6}]},
        "alias": {"alias_of": 7},
        "nothing": {},
        "search": {"mode": "search", "tiered_pricing": "odd"},
        "queries": {"tiered_pricing": [{"input_cost_per_query": 0.005, "max_results_range": [0, 25]}]}
        }"#
        .as_bytes(),
    )
    .unwrap();
    unreadable.sort();
    let expected = [
        "alias", "bound", "cache", "huge", "list", "negative", "null", "number", "object", "range", "text",
        "tiers",
    ];
    assert_eq!(unreadable, expected);
    assert_eq!(prices.models.len(), 3);
    assert_eq!(cost(&prices, ("codex", "good"), [1, 1, 0, 1], Tier::Base), Some(4000));
    assert_eq!(cost(&prices, ("codex", "quoted"), [1, 0, 0, 1], Tier::Base), Some(1300));
    assert_eq!(cost(&prices, ("codex", "escaped \" name"), [1, 0, 0, 0], Tier::Base), Some(1000));
}

#[test]
fn the_fields_of_the_map_are_told_apart() {
    let prices = parsed(
        r#"{
        "life": {"input_cost_per_token": 1e-6, "cache_creation_input_token_cost": 2e-6,
                 "cache_creation_input_token_cost_above_1hr": 9e-6, "cache_creation_input_token_cost_above_12hr": 9e-6,
                 "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 9e-6,
                 "input_cost_per_token_cache_hit": 9e-6, "input_cost_per_token_batches": 9e-6,
                 "input_cost_per_token_above_1k_tokens_batches": 9e-6, "input_cost_per_token_ultrafast": 9e-6,
                 "input_cost_per_audio_token_above_1k_tokens": 9e-6},
        "bounds": {"input_cost_per_token": 1e-6, "input_cost_per_token_above_128k_tokens": 2e-6,
                   "input_cost_per_token_above_32k_tokens": 3e-6, "output_cost_per_token": 1e-6,
                   "output_cost_per_token_above_32k_tokens": 5e-6, "cache_read_input_token_cost": 1e-7},
        "tier": {"input_cost_per_token": 1e-6, "input_cost_per_token_priority": 2e-6,
                 "input_cost_per_token_above_32k_tokens": 3e-6, "input_cost_per_token_above_32k_tokens_priority": 4e-6},
        "both": {"input_cost_per_token": 9e-6, "output_cost_per_token": 7e-6,
                 "tiered_pricing": [{"range": [128e3, 1e6], "input_cost_per_token": 2e-6},
                                    {"range": [0, 128000.0], "input_cost_per_token": 1e-6,
                                     "output_cost_per_token": 3e-6, "output_cost_per_reasoning_token": 4e-6}]},
        "twice": {"input_cost_per_token": 1e-6},
        "twice": {"input_cost_per_token": 2e-6},
        "thought": {"output_cost_per_token": 1e-6, "output_cost_per_reasoning_token": 1e-6,
                    "input_cost_per_token": 0, "output_cost_per_token_above_32k_tokens": 5e-6},
        "dear thought": {"output_cost_per_token": 1e-6, "output_cost_per_reasoning_token": 4e-6,
                         "output_cost_per_token_priority": 2e-6, "input_cost_per_token_flex": 0},
        "one": {"alias_of": "two"}, "two": {"alias_of": "tier"},
        "loop": {"alias_of": "loop"}, "ping": {"alias_of": "pong"}, "pong": {"alias_of": "ping"}
        }"#,
    );
    use Tier::{Base, Priority};
    let cases = [
        ("life", [1500, 0, 0, 0], Base, Some(1_500_000)),
        ("life", [0, 0, 200_001, 0], Base, Some(400_002_000)),
        ("bounds", [32_000, 0, 0, 1], Base, Some(32_001_000)),
        ("bounds", [32_001, 0, 0, 1], Base, Some(96_003_000 + 5_000)),
        // What a higher bound does not name is as at the lower one.
        ("bounds", [128_001, 0, 0, 1], Base, Some(256_002_000 + 5_000)),
        ("bounds", [0, 128_001, 0, 0], Base, Some(12_800_100)),
        ("tier", [1, 0, 0, 0], Priority, Some(2000)),
        ("tier", [32_001, 0, 0, 0], Base, Some(96_003_000)),
        ("tier", [32_001, 0, 0, 0], Priority, Some(128_004_000)),
        ("both", [1, 0, 0, 1], Base, Some(4000)),
        ("both", [128_001, 0, 0, 1], Base, Some(256_002_000 + 7_000)),
        ("twice", [1, 0, 0, 0], Base, Some(2000)),
        ("one", [1, 0, 0, 0], Priority, Some(2000)),
        ("two", [1, 0, 0, 0], Priority, Some(2000)),
        ("loop", [1, 0, 0, 0], Base, None),
        ("ping", [1, 0, 0, 0], Base, None),
    ];
    for (model, tokens, tier, nanos) in cases {
        assert_eq!(cost(&prices, ("codex", model), tokens, tier), nanos, "{model} {tokens:?} {tier:?}");
    }
    for (model, prompt, tier, nanos) in [
        ("thought", 0, Base, 10_000),
        ("thought", 32_001, Base, 50_000),
        ("dear thought", 0, Base, 4_000 + 6 * 4_000),
        ("dear thought", 0, Tier::Flex, 4_000 + 6 * 4_000),
        ("dear thought", 0, Priority, 20_000),
    ] {
        let tokens = LlmTokens { reasoning: 6, ..LlmTokens::default() };
        let attempt = Attempt { tokens, ..attempt([prompt, 0, 0, 10], tier) };
        let seen = prices.price("codex", model).unwrap().cost_nanos(&attempt);
        assert_eq!(seen, Some(nanos), "{model} {prompt} {tier:?}");
    }
}

#[test]
fn a_file_that_is_no_price_list_is_refused_without_its_text() {
    let no_map = |line, column| PricesError::NoMap { line, column };
    for (text, error) in [
        ("", no_map(1, 0)),
        ("hunter2", no_map(1, 1)),
        ("[]", no_map(1, 0)),
        ("\"hunter2\"", no_map(1, 9)),
        ("{\n  \"gpt-5\": {}\n  \"hunter2\": {}}", no_map(3, 3)),
        ("{\"gpt-5\": {}} hunter2", no_map(1, 15)),
        ("{}", PricesError::NoPrice),
        ("{\"access_token\": \"hunter2\"}", PricesError::NoPrice),
        (
            "{\"whisper-1\": {\"mode\": \"audio_transcription\", \"input_cost_per_token\": 1e-6}}",
            PricesError::NoPrice,
        ),
    ] {
        let seen = Prices::parse(text.as_bytes()).unwrap_err();
        assert_eq!(seen, error, "{text}");
        assert!(!seen.to_string().contains("hunter2"), "{seen}");
    }
    assert_eq!(Prices::parse(&vec![b' '; Prices::LONGEST + 1]), Err(PricesError::TooLong));
    assert_eq!(PricesError::TooLong.to_string(), "larger than 16 MiB");
    assert!(Prices::parse(b"{\"a\": {\"input_cost_per_token\": 1e-6}, \"\xff\": 1}").is_err());
}

#[test]
fn the_closest_override_decides() {
    let price = |text| Price::per_million(text).unwrap();
    let of = |models: &str, input| Override {
        models: models.to_owned(),
        input: price(input),
        output: price("10"),
        cached: None,
        cache_write: None,
    };
    let dear = Override {
        cached: Some(price("0.0004")),
        cache_write: Some(price("7")),
        ..of("claude-opus-4-8", "5")
    };
    let prices = list().with_overrides(vec![
        of("*", "1"),
        of("gpt-5*", "2"),
        of("gpt-5.?", "3"),
        of("gpt-?.5*", "4"),
        of("gpt-5.5*", "7"),
        of("gpt-5.5", "6"),
        of("*-mini", "8"),
        of("gpt-*", "9"),
        dear,
    ]);
    for (model, tokens, nanos) in [
        ("gpt-5.5", [1, 0, 0, 0], 6_000),
        ("gpt-5.5-pro", [1, 0, 0, 0], 7_000),
        // Six characters before five.
        ("gpt-5.6", [1, 0, 0, 0], 3_000),
        ("gpt-7.5", [1, 0, 0, 0], 4_000),
        ("gpt-5-codex", [1, 0, 0, 0], 2_000),
        // Of equally long ones, the first.
        ("gpt-5.4-mini", [1, 0, 0, 0], 2_000),
        ("gpt-4-mini", [1, 0, 0, 0], 8_000),
        ("gpt-4", [1, 0, 0, 0], 9_000),
        ("anything", [1, 1, 1, 1], 13_000),
        // No bounds: the price is flat.
        ("gpt-5.5", [272_001, 0, 0, 0], 1_632_006_000),
        ("claude-opus-4-8", [0, 1, 0, 0], 0),
        ("claude-opus-4-8", [0, 2, 1, 0], 7_001),
    ] {
        let nanos = Some(nanos);
        assert_eq!(cost(&prices, ("codex", model), tokens, Tier::Priority), nanos, "{model} {tokens:?}");
    }
    // Overrides need no list.
    let prices = Prices::default().with_overrides(vec![of("gpt-5*", "2")]);
    assert_eq!(cost(&prices, ("codex", "gpt-5"), [1, 0, 0, 0], Tier::Base), Some(2_000));
    assert_eq!(prices.price("claude", "claude-opus-4-8"), None);
}
