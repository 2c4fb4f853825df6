//! A long stream of attempts: what is shown of it is what happened, as far as each generation states it.
//!
//! `ATTEMPTS` is the number of attempts; 10,000 by default.

use std::{collections::BTreeMap, env, sync::Arc, sync::LazyLock, time::Duration};

use proxymeter::{
    exposition::{Format, Options, UserLabels},
    model::{ActiveAlerts, Outcome, Part, PartState, Times},
    simulator::cliproxy::{Generation, Origin, Series, Server, Sums},
    upstream::cliproxy::config::UsageSetting,
};

use crate::common::{
    cliproxy::{Simulated, hash},
    exposition::{self as text_format, Sample, parse},
    shown,
};

static ATTEMPTS: LazyLock<u64> =
    LazyLock::new(|| env::var("ATTEMPTS").map_or(10_000, |attempts| attempts.parse().unwrap()));
/// The attempts come in so many parts, and the client is restarted now and then.
const PARTS: u64 = 10;

/// Values in thousandths, by family and labels.
type Values = BTreeMap<String, u64>;

#[tokio::test]
async fn a_stream_is_shown_as_it_was_by_6_0() {
    check(Generation::V6_0).await;
}

#[tokio::test]
async fn a_stream_is_shown_as_it_was_by_6_2() {
    check(Generation::V6_2).await;
}

#[tokio::test]
async fn a_stream_is_shown_as_it_was_by_6_6() {
    check(Generation::V6_6).await;
}

#[tokio::test]
async fn a_stream_is_shown_as_it_was_by_6_9() {
    check(Generation::V6_9).await;
}

#[tokio::test]
async fn a_stream_is_shown_as_it_was_by_6_10() {
    check(Generation::V6_10).await;
}

#[tokio::test]
async fn a_stream_is_shown_as_it_was_by_7_2() {
    check(Generation::V7_2).await;
}

#[tokio::test]
async fn a_stream_is_shown_as_it_was_by_7_3() {
    check(Generation::V7_3).await;
}

#[tokio::test]
async fn a_stream_is_shown_as_it_was_by_8_0() {
    check(Generation::V8_0).await;
}

async fn check(generation: Generation) {
    let usage = if generation.has_snapshot() { UsageSetting::Snapshot } else { UsageSetting::Queue };
    let mut simulated = Simulated::of(generation, usage).await;
    // The counters of credentials are known before the first attempt.
    simulated.driver.read_all().await;
    for part in 0..PARTS {
        simulated.server.attempts(*ATTEMPTS / PARTS);
        simulated.driver.read_all().await;
        if part % 3 == 0 {
            simulated.restart();
        }
        simulated.pass(15);
    }
    // What was counted last shows after a restart too.
    simulated.driver.read_all().await;
    let made = simulated.server.made().all().attempts;
    assert_eq!(made, *ATTEMPTS / PARTS * PARTS);
    let (truth, shown) = (truth(&simulated.server, generation), shown(&mut simulated, generation));
    let differs = |(series, value): &(&String, &u64)| shown.get(*series) != Some(value);
    for (series, value) in truth.iter().filter(differs) {
        eprintln!("{generation:?} {series}: {:?} instead of {value} thousandths", shown.get(series));
    }
    let more: Vec<_> = shown.keys().filter(|series| !truth.contains_key(*series)).collect();
    assert!(more.is_empty(), "{generation:?} {more:#?}");
    assert!(truth == shown, "{generation:?}");
    eprintln!("{generation:?}: {made} attempts, {} series as they should be", truth.len());
}

/// What the server did, as series.
fn truth(server: &Server, generation: Generation) -> Values {
    let mut values = Values::new();
    let mut add = |family: &str, labels: &[&str], thousandths: u64| {
        *values.entry(series(family, labels)).or_default() += thousandths;
    };
    for (Series { api_key, provider, model }, sums) in &server.recorded().by_series {
        let (key, provider) = (hash(api_key), provider.trim_start_matches("openai-compatible-"));
        // Details of the totals do not name the provider.
        let of_model: Vec<&str> = [provider, model].into_iter().filter(|label| !label.is_empty()).collect();
        let labels = [&[key.as_str()][..], &of_model].concat();
        let Sums { attempts, failed, by_status, latencies_ms, ttfts_ms, .. } = sums;
        let Sums { input, output, reasoning, cached, cache_read, cache_creation, total, .. } = *sums;
        // Only later servers tell what was read from a cache from what was written to it.
        let is_told_apart = generation >= Generation::V7_2;
        for (family, count) in [
            ("llm_requests_total", *attempts),
            ("llm_requests_failed_total", *failed),
            ("llm_input_tokens_total", input),
            ("llm_output_tokens_total", output),
            ("llm_reasoning_tokens_total", reasoning),
            ("llm_cached_tokens_total", if is_told_apart { cache_read } else { cached }),
            ("llm_cache_write_tokens_total", cache_creation),
            ("llm_tokens_total", total),
        ] {
            add(family, &labels, count * 1000);
        }
        if !latencies_ms.is_empty() {
            add_times(&mut add, "llm_request_duration_seconds", &of_model, latencies_ms);
            add_times(&mut add, "llm_time_to_first_token_seconds", &of_model, ttfts_ms);
        }
        let provider: Vec<&str> = of_model.iter().copied().filter(|label| label != model).collect();
        let mut errors: BTreeMap<String, u64> =
            by_status.iter().map(|(status, attempts)| (status.to_string(), *attempts)).collect();
        errors.remove("200");
        if by_status.is_empty() && *failed > 0 {
            errors.insert("unknown".to_owned(), *failed);
        }
        for (code, attempts) in &errors {
            add("llm_errors_total", &[&provider[..], &[code]].concat(), attempts * 1000);
        }
        if generation.has_queue() {
            add("llm_usage_records_total", &[], attempts * 1000);
        }
    }
    add("llm_usage_gaps_total", &[], 0);
    add("llm_usage_bypassed_total", &[], 0);
    if generation >= Generation::V6_9 {
        for credential in server.credentials() {
            // The list that has the counters of keys does not have their indexes.
            let label = match credential.origin {
                Origin::File => server.auth_index(&credential.name).unwrap(),
                Origin::Key { .. } => hash(&credential.name),
            };
            let all = credential.success + credential.failed;
            add("llm_credential_requests_total", &[&label], all * 1000);
            add("llm_credential_requests_failed_total", &[&label], credential.failed * 1000);
        }
    }
    values
}

/// Adds a histogram of times in milliseconds.
fn add_times(
    add: &mut impl FnMut(&str, &[&str], u64),
    family: &str,
    labels: &[&str],
    times: &BTreeMap<u32, u64>,
) {
    let count = |up_to: u32| times.range(..=up_to).map(|(_, count)| count).sum::<u64>();
    let bounds = Times::BOUNDS.map(|bound| format!("{:.0}", bound * 1000.0));
    for bound in &bounds {
        let labels = [labels, &[bound]].concat();
        add(&format!("{family}_bucket"), &labels, count(bound.parse().unwrap()) * 1000);
    }
    add(&format!("{family}_bucket"), &[labels, &["inf"]].concat(), count(u32::MAX) * 1000);
    add(&format!("{family}_count"), labels, count(u32::MAX) * 1000);
    // A millisecond is a thousandth.
    add(&format!("{family}_sum"), labels, times.iter().map(|(ms, count)| u64::from(*ms) * count).sum());
}

/// What is shown, without the labels that the server does not state.
fn shown(simulated: &mut Simulated, generation: Generation) -> Values {
    let report = &mut simulated.driver.report;
    let at = Some(simulated.driver.now);
    for part in [Part::Credentials, Part::Usage] {
        let state = PartState {
            outcome: Outcome::Up,
            last_success: at,
            last_data: at,
            duration: Some(Duration::from_millis(1)),
            round: Duration::from_secs(15),
            stale_after: Duration::from_secs(600),
        };
        report.parts.insert(part, state);
    }
    let options = Options {
        labels: UserLabels::Name,
        limit: 10,
        inbounds: false,
        used_today: false,
        budgets: Vec::new(),
    };
    let report = Arc::new(report.clone());
    let now = simulated.driver.now;
    let text = shown::text(&[report], &ActiveAlerts::default(), &options, now, Format::Classic);
    let mut values = Values::new();
    for Sample { name, labels, value } in parse(text_format::Format::Classic, &text).unwrap() {
        const OTHERS: [&str; 4] =
            ["llm_cost_usd_total", "llm_unpriced_tokens_total", "llm_usage_mode", "llm_usage_enabled"];
        let name = name.trim_start_matches("proxymeter_");
        let of_credential = name.starts_with("llm_credential_requests");
        if !name.starts_with("llm_") || OTHERS.contains(&name) {
            continue;
        }
        if name.starts_with("llm_credential_") && !of_credential {
            continue;
        }
        let is_shown = |label: &str| match label {
            "target" => false,
            "provider" => !of_credential && !generation.has_snapshot(),
            _ => true,
        };
        let labels: Vec<String> = labels
            .into_iter()
            .filter(|(label, _)| is_shown(label))
            .map(|(label, text)| match label.as_str() {
                "le" => format!("{:.0}", text.parse::<f64>().unwrap() * 1000.0),
                _ => text,
            })
            .collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let thousandths = format!("{:.0}", value * 1000.0).parse::<u64>().unwrap();
        *values.entry(series(name, &labels)).or_default() += thousandths;
    }
    values
}

fn series(family: &str, labels: &[&str]) -> String {
    format!("{family} {}", labels.join(" "))
}
