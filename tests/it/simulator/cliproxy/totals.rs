//! The true totals that a server keeps are those of its answers.

use std::collections::BTreeMap;

use proxymeter::simulator::cliproxy::{Generation, Options, Series, Sums, Totals, Traffic};
use serde_json::Value;

use super::house::House;

/// The series of a sum and what was added up: attempts, failed, input, output, reasoning, cached, total, duration.
type Added = BTreeMap<Series, [u64; 8]>;

fn add(added: &mut Added, api_key: &str, provider: &str, model: &str, record: &Value) {
    let [api_key, provider, model] = [api_key, provider, model].map(str::to_owned);
    let sums = added.entry(Series { api_key, provider, model }).or_default();
    let number = |path: &str| record.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let found = [
        1,
        u64::from(record["failed"] == true),
        number("/tokens/input_tokens"),
        number("/tokens/output_tokens"),
        number("/tokens/reasoning_tokens"),
        number("/tokens/cached_tokens"),
        number("/tokens/total_tokens"),
        number("/latency_ms"),
    ];
    sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
}

fn kept(totals: &Totals) -> Added {
    let sums = |sums: &Sums| {
        let Sums { attempts, failed, input, output, reasoning, cached, total, .. } = *sums;
        [attempts, failed, input, output, reasoning, cached, total, sums.latency_ms()]
    };
    totals.by_series.iter().map(|(series, of)| (series.clone(), sums(of))).collect()
}

fn added(house_usage: &Value) -> Added {
    let mut all = Added::new();
    for (api, of_api) in house_usage["usage"]["apis"].as_object().unwrap() {
        for (model, of_model) in of_api["models"].as_object().unwrap() {
            for detail in of_model["details"].as_array().unwrap() {
                add(&mut all, api, "", model, detail);
            }
            assert_eq!(of_model["total_requests"], of_model["details"].as_array().unwrap().len());
        }
    }
    all
}

#[tokio::test]
async fn a_stream_of_attempts_has_the_same_totals_in_every_generation() {
    const ATTEMPTS: u64 = 5_000;
    let mut made: Option<Totals> = None;
    for generation in Generation::ALL {
        let house = House::of(generation).await;
        house.server.attempts(ATTEMPTS / 2);
        house.server.attempts(ATTEMPTS / 2);
        let all = house.server.made();
        assert_eq!(all.all().attempts, ATTEMPTS);
        assert_eq!(made.get_or_insert_with(|| all.clone()), &all, "{generation:?}");
        let unseen = house.server.unseen();
        assert_eq!(house.server.recorded().all().attempts + unseen.not_recorded, ATTEMPTS, "{generation:?}");
        if generation.has_snapshot() {
            let usage = house.json("/v0/management/usage").await;
            assert_eq!(added(&usage), kept(&house.server.recorded()), "{generation:?}");
            let sums = house.server.recorded().all();
            assert_eq!(usage["usage"]["total_requests"], sums.attempts);
            assert_eq!(usage["usage"]["total_tokens"], sums.total);
            assert_eq!(usage["usage"]["failure_count"], sums.failed);
        } else if generation.has_queue() {
            let mut found = Added::new();
            loop {
                let records = house.pop(700).await;
                for record in &records {
                    let text = |key: &str| record[key].as_str().unwrap();
                    add(&mut found, text("api_key"), text("provider"), text("model"), record);
                }
                if records.len() < 700 {
                    break;
                }
            }
            assert_eq!(found, kept(&house.server.sent()), "{generation:?}");
            assert_eq!(house.server.sent(), house.server.recorded());
        }
    }
    let other = House::open(Options { seed: 2, traffic: Traffic::None, ..Options::default() }).await;
    other.server.attempts(ATTEMPTS);
    assert_ne!(made, Some(other.server.made()));
}

#[tokio::test]
async fn a_rate_is_kept_however_time_is_cut() {
    let options = Options { traffic: Traffic::Steady(7), ..Options::default() };
    let (in_one, in_many) = (House::open(options.clone()).await, House::open(options).await);
    in_one.pass(30_000);
    (0..300).for_each(|_| in_many.pass(100));
    assert_eq!(in_one.server.made().all().attempts, 210);
    assert_eq!(in_one.server.made(), in_many.server.made());
}

#[tokio::test]
async fn a_long_snapshot_is_written_page_by_page() {
    let house = House::of(Generation::V6_9).await;
    house.server.import_usage(50_000, 86_400_000);
    let reply = house.get("/v0/management/usage").await;
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    assert!(reply.body.len() > 50_000 * 230, "{}", reply.body.len());
    assert_eq!(added(&reply.json()), kept(&house.server.recorded()));
    assert!(house.server.credentials().iter().all(|credential| credential.success == 0));
}

#[tokio::test]
async fn people_work_in_bursts_fail_over_and_are_refused() {
    let house = House::open(Options { clients: 5, ..Options::default() }).await;
    house.server.set_retention(3600);
    for _ in 0..36 {
        house.pass(100_000);
    }
    let made = house.server.made();
    let all = made.all();
    assert!((150..5_000).contains(&all.attempts), "{}", all.attempts);
    let providers: Vec<&str> = made.by_series.keys().map(|series| series.provider.as_str()).collect();
    for provider in ["claude", "codex", "gemini", "kimi", "openrouter"] {
        assert!(providers.contains(&provider), "{provider}");
    }
    for status in [200, 429, 499, 500] {
        assert!(all.by_status.contains_key(&status), "{status}: {:?}", all.by_status);
    }
    let exhausted = |credential: &str| made.by_credential[credential].by_status.get(&429).copied();
    assert!(exhausted("codex-carol@example.com-plus.json") > Some(0));
    let records = house.pop(10_000).await;
    let mut by_request: BTreeMap<&str, u32> = BTreeMap::new();
    records
        .iter()
        .for_each(|record| *by_request.entry(record["request_id"].as_str().unwrap()).or_default() += 1);
    assert!(by_request.values().any(|attempts| *attempts > 1), "no call failed over");
}
