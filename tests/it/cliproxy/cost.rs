//! What attempts cost goes on over restarts of the program, and new prices are those of new attempts.

use std::fs;

use proxymeter::simulator::cliproxy::{Attempt, Options, Outcome, Tokens, Traffic};
use serde_json::json;

use crate::common::{
    daemon::{Daemon, Home, wait_for},
    exposition::{Format, parse},
    llm::{Proxy, sums},
};

/// Of a million tokens, in nano-dollars of one token: input, output, from the cache and to it.
#[derive(Clone, Copy)]
struct Price {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

const CODEX: Price = Price { input: 1250, output: 10_000, cache_read: 125, cache_write: 1250 };
const CLAUDE: Price = Price { input: 3000, output: 15_000, cache_read: 300, cache_write: 3750 };

const TOKENS: Tokens = Tokens { input: 1003, output: 207, reasoning: 51, cache_read: 301, cache_write: 101 };
const BUDGETS: &str = "[alert.spending]\nrule = \"llm_cost_budget\"\nbudget = 20\nperiod = \"month\"\n\
                       [alert.tokens]\nrule = \"llm_token_budget\"\nbudget = 1000000\nperiod = \"month\"\n";

/// What ought to be shown.
#[derive(Default)]
struct Expected {
    requests: u64,
    nanos: u64,
    tokens: u64,
    unpriced: u64,
}

fn write_prices(home: &Home, codex: Price, claude: Price) {
    let dollars = |nanos: u64| serde_json::from_str::<serde_json::Value>(&format!("{nanos}e-9")).unwrap();
    let entry = |provider: &str, price: Price| {
        json!({
            "litellm_provider": provider,
            "mode": "chat",
            "input_cost_per_token": dollars(price.input),
            "output_cost_per_token": dollars(price.output),
            "cache_read_input_token_cost": dollars(price.cache_read),
            "cache_creation_input_token_cost": dollars(price.cache_write),
        })
    };
    let prices = json!({ "gpt-5.1": entry("openai", codex), "claude-opus-4-5": entry("anthropic", claude) });
    fs::write(home.folder().join("prices.json"), prices.to_string()).unwrap();
}

/// Makes some attempts at each of three models, of which one has no price, and one that failed.
fn use_models(proxy: &Proxy, codex: Price, claude: Price, expected: &mut Expected) {
    let credentials = proxy.credentials();
    let keys = proxy.client_keys();
    for (at, (provider, model)) in
        [("codex", "gpt-5.1"), ("claude", "claude-opus-4-5"), ("kimi", "kimi-k2.5")].into_iter().enumerate()
    {
        let credential = credentials.iter().find(|known| known.provider == provider).unwrap();
        for (client, outcome) in [(0, Outcome::Success), (at, Outcome::Success), (at, Outcome::Refused(500))]
        {
            let attempt = Attempt {
                client: keys[client].clone(),
                credential: credential.name.clone(),
                model: model.to_owned(),
                outcome,
                tokens: TOKENS,
                latency_ms: 900,
                ttft_ms: 200,
                ..Attempt::default()
            };
            assert!(proxy.attempt(&attempt));
        }
    }
    let [input, output, cached, written] =
        [TOKENS.input, TOKENS.output, TOKENS.cache_read, TOKENS.cache_write].map(u64::from);
    expected.requests += 9;
    let of_codex = (input - cached) * codex.input + cached * codex.cache_read + output * codex.output;
    // Input of Claude is without what a cache has.
    let of_claude = input * claude.input
        + cached * claude.cache_read
        + written * claude.cache_write
        + output * claude.output;
    expected.nanos += 2 * (of_codex + of_claude);
    expected.unpriced += 2 * (input + output);
    expected.tokens += 2 * (2 * (input + output) + input + cached + written + output);
}

/// Waits until everything is counted, and holds it against what is expected.
fn check(daemon: &Daemon, expected: &Expected) {
    let whole = |value: f64| format!("{value:.0}");
    let shown = wait_for("the attempts", || {
        let shown = sums(daemon);
        let requests = shown.get("requests_total").copied().unwrap_or_default();
        (whole(requests) == expected.requests.to_string()).then_some(shown)
    });
    let Expected { requests: _, nanos, tokens, unpriced } = expected;
    assert_eq!(whole(shown["cost_usd_total"] * 1e9), nanos.to_string());
    assert_eq!(whole(shown["unpriced_tokens_total"]), unpriced.to_string());
    assert_eq!(whole(shown["usage_gaps_total"]), "0");
    let samples = parse(Format::Classic, &daemon.metrics()).unwrap();
    let used = |budget: &str| -> f64 {
        let of_budget = samples.iter().filter(|sample| {
            sample.name == "proxymeter_llm_budget_used_ratio" && sample.label("budget") == Some(budget)
        });
        of_budget.map(|sample| sample.value).sum()
    };
    assert_eq!(whole(used("usd") * 20e9), nanos.to_string());
    assert_eq!(whole(used("tokens") * 1e6), tokens.to_string());
}

#[test]
fn costs_go_on_over_restarts_and_changes_of_prices() {
    let options = Options { traffic: Traffic::None, retention_seconds: 3600, ..Options::default() };
    let proxy = Proxy::start(&options);
    let table = proxy.table("llm", "usage = \"queue\"");
    let home = Home::of(&format!("{table}{BUDGETS}[cost]\nprices_file = \"prices.json\"\n"));
    write_prices(&home, CODEX, CLAUDE);
    let mut expected = Expected::default();
    use_models(&proxy, CODEX, CLAUDE, &mut expected);
    let daemon = home.start();
    check(&daemon, &expected);

    daemon.kill();
    use_models(&proxy, CODEX, CLAUDE, &mut expected);
    let daemon = home.start();
    check(&daemon, &expected);

    // What was billed stays; from now on, it costs more.
    let dearer = |price: Price| Price { input: price.input * 3, output: price.output + 1, ..price };
    let (codex, claude) = (dearer(CODEX), dearer(CLAUDE));
    let probes = || proxy.wire.requests_to("/v8/");
    let before = probes();
    write_prices(&home, codex, claude);
    daemon.reload();
    check(&daemon, &expected);
    use_models(&proxy, codex, claude, &mut expected);
    check(&daemon, &expected);
    assert_eq!(probes(), before, "the client is the same one");

    // Without a price, nothing more is added.
    fs::write(home.folder().join("prices.json"), r#"{"other": {"input_cost_per_token": 1e-6}}"#).unwrap();
    daemon.reload();
    let before = expected.nanos;
    use_models(&proxy, codex, claude, &mut expected);
    expected.nanos = before;
    let [input, output, cached, written] =
        [TOKENS.input, TOKENS.output, TOKENS.cache_read, TOKENS.cache_write].map(u64::from);
    expected.unpriced += 2 * (input + output + input + cached + written + output);
    check(&daemon, &expected);

    assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
    let daemon = home.start();
    check(&daemon, &expected);
}
