use std::{collections::BTreeMap, time::Duration};

use jiff::Zoned;

use super::*;
use crate::{
    model::LlmTokens,
    upstream::cliproxy::{
        attempt::Tier,
        prices::{Override, Price},
    },
};

/// Input of every model whose name begins with m costs this in dollars per million tokens, and output ten dollars.
fn prices(input: &str) -> Arc<Prices> {
    let price = |text: &str| Price::per_million(text).unwrap();
    let all = Override {
        models: "m*".to_owned(),
        input: price(input),
        output: price("10"),
        cached: None,
        cache_write: None,
    };
    Arc::new(Prices::default().with_overrides(vec![all]))
}

fn ledger_with(caps: Caps, prices: &Arc<Prices>, zone: &str) -> Ledger {
    Ledger::new(caps, Arc::clone(prices), TimeZone::get(zone).unwrap())
}

fn ledger() -> Ledger {
    ledger_with(Caps::default(), &prices("1"), "UTC")
}

fn attempt(api_key: &str, provider: &str, model: &str) -> Attempt {
    Attempt {
        api_key: api_key.into(),
        provider: provider.into(),
        model: model.into(),
        tokens: LlmTokens { input: 3, output: 5, reasoning: 2, cached: 1, cache_write: 0, total: 8 },
        billed: Billed { uncached_input: 2, cache_read: 1, cache_write: 0, output: 5, ..Billed::default() },
        ..Attempt::default()
    }
}

fn at(time: &str) -> Timestamp {
    let zoned: Zoned = time.parse().unwrap();
    Timestamp::from_millis(zoned.timestamp().as_millisecond())
}

const NOON: &str = "2026-11-25T12:00[UTC]";

/// The usage with each key under its own name.
fn usage(ledger: &Ledger) -> LlmUsage {
    ledger.usage(|key| key.into(), at(NOON))
}

/// What a store does with changes.
#[derive(Clone, Default)]
struct Disk(BTreeMap<(String, String), Vec<u64>>);

impl Disk {
    fn commit(&mut self, changes: Vec<CounterChange>) {
        for CounterChange { family, rows, gone } in changes {
            for labels in gone {
                assert!(self.0.remove(&(family.clone(), labels)).is_some());
            }
            for CounterRow { labels, values } in rows {
                self.0.insert((family.clone(), labels), values);
            }
        }
    }

    fn families(&self) -> CounterFamilies {
        let mut families = CounterFamilies::new();
        for ((family, labels), values) in &self.0 {
            let row = CounterRow { labels: labels.clone(), values: values.clone() };
            match families.last_mut().filter(|(known, _)| known == family) {
                Some((_, rows)) => rows.push(row),
                None => families.push((family.clone(), vec![row])),
            }
        }
        families
    }

    fn ledger(&self, caps: Caps, prices: &Arc<Prices>, zone: &str) -> Ledger {
        let mut ledger = ledger_with(caps, prices, zone);
        assert_eq!(ledger.resume(&self.families()), []);
        ledger
    }
}

#[test]
fn attempts_are_summed_up() {
    let mut ledger = ledger();
    let now = at(NOON);
    let times = |millis, first| Attempt {
        duration: Some(Duration::from_millis(millis)),
        first_token: first,
        ..attempt("k1", "codex", "m1")
    };
    ledger.add(&times(1_500, Some(Duration::from_millis(90))), now);
    ledger.add(&times(700_000, None), now);
    ledger.add(&attempt("k1", "codex", "unlisted"), now);
    ledger.add(&Attempt { outcome: Outcome::Failed(Some(429)), ..attempt("", "claude", "m1") }, now);
    for code in [Some(429), Some(99), Some(600), None] {
        let failed = Attempt { outcome: Outcome::Failed(code), ..Attempt::default() };
        ledger.add(&Attempt { provider: "claude".into(), model: "m1".into(), ..failed }, now);
    }
    ledger.took(9);
    ledger.gap(now);
    ledger.bypassed(7, now);

    let tokens = |n| LlmTokens {
        input: 3 * n,
        output: 5 * n,
        reasoning: 2 * n,
        cached: n,
        cache_write: 0,
        total: 8 * n,
    };
    let row = |api_key: &str, provider: &str, model: &str| LlmRow {
        api_key: api_key.into(),
        provider: provider.into(),
        model: model.into(),
        ..LlmRow::default()
    };
    let usage = usage(&ledger);
    assert_eq!(
        usage.rows,
        [
            LlmRow {
                requests: 5,
                failed: 5,
                tokens: tokens(1),
                cost_nanos: 53_000,
                ..row("", "claude", "m1")
            },
            LlmRow { requests: 2, tokens: tokens(2), cost_nanos: 106_000, ..row("k1", "codex", "m1") },
            LlmRow { requests: 1, tokens: tokens(1), unpriced_tokens: 8, ..row("k1", "codex", "unlisted") },
        ]
    );
    let [times] = &usage.times[..] else { panic!("{:?}", usage.times) };
    assert_eq!((&*times.provider, &*times.model), ("codex", "m1"));
    assert_eq!((times.duration.count(), times.duration.sum), (2, Duration::from_millis(701_500)));
    assert_eq!((times.first_token.count(), times.first_token.sum), (1, Duration::from_millis(90)));
    let errors: Vec<_> =
        usage.errors.iter().map(|error| (&*error.provider, error.status_code, error.attempts)).collect();
    assert_eq!(errors, [("claude", None, 3), ("claude", Some(429), 2)]);
    let spent = |since, tokens, cost_nanos| LlmSpent { since: at(since), tokens, cost_nanos };
    let period = |api_key: &str, tokens, cost| LlmPeriod {
        api_key: api_key.into(),
        day: spent("2026-11-25T00:00[UTC]", tokens, cost),
        month: spent("2026-11-01T00:00[UTC]", tokens, cost),
    };
    assert_eq!(usage.periods, [period("", 8, 53_000), period("k1", 24, 106_000)]);
    assert_eq!((usage.records, usage.gaps, usage.bypassed), (9, 1, 7));
}

#[test]
fn attempts_that_come_long_after_they_ended_are_not_recent() {
    // Seconds from start to now and duration, if the server says them; how many count.
    let cases = [
        (Some(600), None, 1),
        (Some(601), None, 0),
        (Some(900), Some(300), 1),
        (Some(901), Some(300), 0),
        // Imported from last month.
        (Some(30 * 86_400), Some(1), 0),
        (Some(-3600), Some(1), 1),
        (None, None, 1),
    ];
    for (ago, duration, counted) in cases {
        let mut ledger = ledger();
        for outcome in [Outcome::Succeeded, Outcome::Failed(Some(500)), Outcome::Failed(None)] {
            let started = ago.map(|secs: i64| at(NOON).saturating_add_millis(-secs * 1000));
            let duration = duration.map(Duration::from_secs);
            ledger.add(&Attempt { started, duration, outcome, ..attempt("a", "codex", "m") }, at(NOON));
        }
        let usage = usage(&ledger);
        let recent = LlmRecent { provider: "codex".into(), attempts: 3 * counted, failed: 2 * counted };
        assert_eq!(usage.recent, [recent], "{ago:?} {duration:?}");
        assert_eq!((usage.rows[0].requests, usage.rows[0].failed), (3, 2));
    }
}

#[test]
fn keys_of_one_name_are_added_up() {
    let mut ledger = ledger_with(Caps { api_keys: 3, models: 9 }, &prices("1"), "UTC");
    for key in ["k1", "k2", "k3", "k4", "k1"] {
        ledger.add(&attempt(key, "codex", "m1"), at(NOON));
        ledger.add(&attempt(key, "claude", "m2"), at(NOON));
    }
    let name = |key: &str| -> Arc<str> { if key == "k2" { key.into() } else { "ci".into() } };
    let usage = ledger.usage(name, at(NOON));
    let rows: Vec<_> = usage.rows.iter().map(|row| (&*row.api_key, &*row.provider, row.requests)).collect();
    let expected = [
        ("_other", "claude", 1),
        ("_other", "codex", 1),
        ("ci", "claude", 3),
        ("ci", "codex", 3),
        ("k2", "claude", 1),
    ];
    assert_eq!(rows[..5], expected);
    let periods: Vec<_> = usage.periods.iter().map(|period| (&*period.api_key, period.day.tokens)).collect();
    assert_eq!(periods, [("_other", 16), ("ci", 48), ("k2", 16)]);
}

#[test]
fn the_first_names_keep_their_places_over_restarts() {
    let caps = Caps { api_keys: 2, models: 3 };
    let prices = prices("1");
    let mut disk = Disk::default();
    let mut ledger = ledger_with(caps, &prices, "UTC");
    let rounds = [
        [("k1", "codex", "m1"), ("k2", "codex", "m2"), ("k3", "codex", "m1")],
        [("k1", "claude", "m1"), ("k3", "claude", "m2"), ("k1", "codex", "m3")],
        [("k2", "codex", "m2"), ("k1", "gemini", "m1"), ("k2", "claude", "m1")],
    ];
    for round in rounds {
        for (key, provider, model) in round {
            ledger.add(&attempt(key, provider, model), at(NOON));
        }
        disk.commit(ledger.changes());
        ledger = disk.ledger(caps, &prices, "UTC");
    }
    let usage = usage(&ledger);
    let rows: Vec<_> =
        usage.rows.iter().map(|row| (&*row.api_key, &*row.provider, &*row.model, row.requests)).collect();
    let expected = [
        ("_other", "claude", "_other", 1),
        ("_other", "codex", "m1", 1),
        ("k1", "claude", "m1", 1),
        ("k1", "codex", "_other", 1),
        ("k1", "codex", "m1", 1),
        ("k1", "gemini", "_other", 1),
        ("k2", "claude", "m1", 1),
        ("k2", "codex", "m2", 2),
    ];
    assert_eq!(rows, expected);
    // Also what shares a series is priced by its own name.
    assert!(usage.rows.iter().all(|row| row.cost_nanos == 53_000 * row.requests));

    // A smaller cap removes no name, and a larger one makes room.
    let mut smaller = disk.ledger(Caps { api_keys: 1, models: 1 }, &prices, "UTC");
    let mut larger = disk.ledger(Caps { api_keys: 3, models: 4 }, &prices, "UTC");
    for ledger in [&mut smaller, &mut larger] {
        ledger.add(&attempt("k2", "codex", "m2"), at(NOON));
        ledger.add(&attempt("k9", "codex", "m9"), at(NOON));
        ledger.add(&attempt("k10", "codex", "m10"), at(NOON));
    }
    let names = |ledger: &Ledger| -> Vec<(String, u64)> {
        let new = self::usage(ledger)
            .rows
            .into_iter()
            .filter(|row| &*row.provider == "codex" && &*row.api_key != "k1");
        new.map(|row| (format!("{} {}", row.api_key, row.model), row.requests)).collect()
    };
    let of =
        |names: &[(&str, u64)]| names.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(names(&smaller), of(&[("_other _other", 2), ("_other m1", 1), ("k2 m2", 3)]));
    assert_eq!(names(&larger), of(&[("_other _other", 1), ("_other m1", 1), ("k2 m2", 3), ("k9 m9", 1)]));
}

#[test]
fn providers_and_lengths_of_names_are_bounded() {
    let mut ledger = ledger();
    for n in 0..PROVIDERS + 3 {
        ledger.add(&attempt("k", &format!("p{n:02}"), "m1"), at(NOON));
    }
    let long = "m".repeat(LONGEST_NAME + 1);
    ledger.add(&attempt(&long, "p00", &long), at(NOON));
    ledger.add(&attempt("k", &long, "m1"), at(NOON));
    // As the series for others, which takes no place.
    ledger.add(&attempt("_other", "_other", "_other"), at(NOON));
    let usage = usage(&ledger);
    assert_eq!(usage.rows.len(), PROVIDERS + 3);
    let others = usage.rows.iter().filter(|row| &*row.provider == "_other");
    let others: Vec<_> = others.map(|row| (&*row.api_key, &*row.model, row.requests)).collect();
    assert_eq!(others, [("_other", "_other", 1), ("k", "m1", 4)]);
    let beyond = usage.rows.iter().find(|row| &*row.model == "_other" && &*row.provider == "p00").unwrap();
    assert_eq!((&*beyond.api_key, beyond.cost_nanos), ("_other", 53_000));
}

#[test]
fn what_shares_a_series_has_its_own_price() {
    let list = r#"{"pa/m": {"input_cost_per_token": 1e-6, "output_cost_per_token": 0},
        "pb/m": {"input_cost_per_token": 2e-6, "output_cost_per_token": 0}}"#;
    let (prices, _) = Prices::parse(list.as_bytes()).unwrap();
    let mut ledger = ledger_with(Caps::default(), &Arc::new(prices), "UTC");
    for n in 0..PROVIDERS {
        ledger.add(&attempt("k", &format!("p{n:02}"), "m"), at(NOON));
    }
    for provider in ["pa", "pb", "pc", "pa"] {
        ledger.add(&attempt("k", provider, "m"), at(NOON));
    }
    let usage = usage(&ledger);
    let other = usage.rows.iter().find(|row| &*row.provider == "_other").unwrap();
    let seen = (&*other.model, other.requests, other.cost_nanos, other.unpriced_tokens);
    assert_eq!(seen, ("m", 4, 3_000 + 6_000 + 3_000, 8));
}

#[test]
fn changes_are_what_has_changed() {
    let mut ledger = ledger();
    assert_eq!(ledger.changes(), []);
    let timed = Attempt { duration: Some(Duration::from_millis(1_234)), ..attempt("k1", "codex", "m\"1") };
    ledger.add(&timed, at(NOON));
    ledger.add(&attempt("k2", "claude", "m2"), at(NOON));
    ledger.changes();
    assert_eq!(ledger.changes(), []);

    ledger.add(&Attempt { outcome: Outcome::Failed(Some(500)), ..timed }, at(NOON));
    let change = |family: &str, labels: &str, values: &[u64]| CounterChange {
        family: family.to_owned(),
        rows: vec![CounterRow { labels: labels.to_owned(), values: values.to_vec() }],
        gone: Vec::new(),
    };
    let (day, month) = (1_795_564_800, 1_793_491_200);
    let expected = [
        change("llm_errors", r#"["codex",500]"#, &[1]),
        change("llm_rows", r#"["k1","codex","m\"1"]"#, &[2, 1, 6, 10, 4, 2, 0, 16, 106_000, 0]),
        change(
            "llm_durations",
            r#"["codex","m\"1"]"#,
            &[2_468_000, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        change("llm_periods", r#"["k1"]"#, &[day, 16, 106_000, month, 16, 106_000]),
    ];
    assert_eq!(ledger.changes(), expected);
    ledger.took(3);
    assert_eq!(ledger.changes(), [change("llm_totals", "null", &[3, 0, 0, 0, 0])]);
    ledger.gap(at(NOON));
    let noon = secs(at(NOON));
    assert_eq!(ledger.changes(), [change("llm_totals", "null", &[3, 1, 0, noon, 0])]);
}

#[test]
fn rows_of_other_versions_are_read_and_odd_ones_are_deleted() {
    let row =
        |labels: &str, values: &[u64]| CounterRow { labels: labels.to_owned(), values: values.to_vec() };
    let families = vec![
        (
            "llm_rows".to_owned(),
            vec![
                row(r#"["k","codex","m1"]"#, &[4, 1, 30]),
                row(r#"["k","codex","m2"]"#, &[1, 0, 3, 5, 2, 1, 0, 8, 53_000, 0, 77, 78]),
                // A later write would not replace it.
                row(r#"["k", "codex", "m1"]"#, &[1]),
                row(r#"["k","codex"]"#, &[1]),
                row(r#"["k","codex",7]"#, &[1]),
                row("", &[1]),
            ],
        ),
        ("llm_errors".to_owned(), vec![row(r#"["codex",null]"#, &[2]), row(r#"["codex",70]"#, &[2])]),
        ("llm_durations".to_owned(), vec![row(r#"["codex","m1"]"#, &[5_000_000, 0, 1]), row("null", &[])]),
        ("llm_first_tokens".to_owned(), vec![row(r#"["codex","m1"]"#, &[])]),
        ("llm_periods".to_owned(), vec![row(r#"["k"]"#, &[1_795_564_800, 5]), row(r#""k""#, &[1])]),
        ("llm_totals".to_owned(), vec![row("null", &[9]), row("0", &[1])]),
        ("snapshot".to_owned(), vec![row("odd", &[1])]),
    ];
    let mut ledger = ledger();
    let gone: Vec<_> =
        ledger.resume(&families).into_iter().map(|change| (change.family, change.gone)).collect();
    let of =
        |family: &str, gone: &[&str]| (family.to_owned(), gone.iter().map(|row| (*row).to_owned()).collect());
    let expected: [(_, Vec<_>); 5] = [
        of("llm_rows", &[r#"["k", "codex", "m1"]"#, r#"["k","codex"]"#, r#"["k","codex",7]"#, ""]),
        of("llm_errors", &[r#"["codex",70]"#]),
        of("llm_durations", &["null"]),
        of("llm_periods", &[r#""k""#]),
        of("llm_totals", &["0"]),
    ];
    assert_eq!(gone, expected);
    assert_eq!(ledger.changes(), []);

    let usage = usage(&ledger);
    let rows: Vec<_> =
        usage.rows.iter().map(|row| (row.requests, row.tokens.input, row.cost_nanos)).collect();
    assert_eq!(rows, [(4, 30, 0), (1, 3, 53_000)]);
    assert_eq!((usage.errors.len(), usage.errors[0].attempts, usage.records), (1, 2, 9));
    assert_eq!((usage.times[0].duration.count(), usage.times[0].duration.sum), (1, Duration::from_secs(5)));
    assert_eq!((usage.periods[0].day.tokens, usage.periods[0].month.tokens), (5, 0));
    // It goes on from there, and the price is found again.
    ledger.add(&attempt("k", "codex", "m1"), at(NOON));
    let usage = self::usage(&ledger);
    assert_eq!((usage.rows[0].requests, usage.rows[0].cost_nanos), (5, 53_000));
    assert_eq!((usage.periods[0].day.tokens, usage.periods[0].month.tokens), (13, 8));
}

#[test]
fn sums_end_at_their_limit() {
    let mut ledger = ledger();
    let max = u64::MAX;
    let tokens =
        LlmTokens { input: max, output: max, reasoning: max, cached: max, cache_write: max, total: max };
    let billed = Billed {
        uncached_input: max,
        cache_read: max,
        cache_write: max,
        output: max,
        unclassified: 0,
        tier: Tier::Priority,
    };
    let long = Some(Duration::MAX);
    let huge = Attempt { tokens, billed, duration: long, first_token: long, ..attempt("k", "codex", "m1") };
    let mut disk = Disk::default();
    for _ in 0..3 {
        for model in ["m1", "unlisted"] {
            ledger.add(&Attempt { model: model.into(), ..huge.clone() }, at(NOON));
            ledger.bypassed(max, at(NOON));
        }
        disk.commit(ledger.changes());
        for values in disk.0.values_mut() {
            values.iter_mut().filter(|value| **value == 2).for_each(|value| *value = max);
        }
        ledger = disk.ledger(Caps::default(), &prices("1"), "UTC");
    }
    let usage = ledger.usage(|_| "one".into(), at(NOON));
    let row = &usage.rows[0];
    assert_eq!((row.requests, row.tokens, row.cost_nanos, row.unpriced_tokens), (max, tokens, max, 0));
    assert_eq!((usage.rows[1].unpriced_tokens, usage.bypassed), (max, max));
    assert_eq!((usage.periods[0].day.tokens, usage.periods[0].month.cost_nanos), (max, max));
}

#[test]
fn what_was_billed_stays_when_prices_change() {
    let mut disk = Disk::default();
    let mut ledger = ledger();
    ledger.add(&attempt("k", "codex", "m1"), at(NOON));
    disk.commit(ledger.changes());
    let mut live = ledger;
    for (prices, cost, unpriced) in
        [(prices("2"), 109_000, 0), (Arc::default(), 109_000, 8), (prices("1"), 162_000, 8)]
    {
        live.set_costs(Arc::clone(&prices), TimeZone::UTC);
        live.add(&attempt("k", "codex", "m1"), at(NOON));
        live.changes();
        let mut ledger = disk.ledger(Caps::default(), &prices, "UTC");
        ledger.add(&attempt("k", "codex", "m1"), at(NOON));
        disk.commit(ledger.changes());
        let usage = usage(&ledger);
        let seen = (usage.rows[0].cost_nanos, usage.rows[0].unpriced_tokens, usage.periods[0].day.cost_nanos);
        assert_eq!(seen, (cost, unpriced, cost));
        let in_place = live.usage(|key| key.into(), at(NOON));
        assert_eq!((in_place.rows, in_place.periods), (usage.rows, usage.periods));
    }
    live.set_costs(Arc::default(), TimeZone::get("Asia/Tokyo").unwrap());
    live.add(&attempt("k", "codex", "m1"), at("2026-11-29T01:00[Asia/Tokyo]"));
    let day = live.usage(|key| key.into(), at("2026-11-29T01:00[Asia/Tokyo]")).periods[0].day;
    assert_eq!((day.since, day.tokens), (at("2026-11-29T00:00[Asia/Tokyo]"), 8));
}

/// However attempts are cut into batches, and wherever the process dies, the sums are those of one pass.
#[test]
fn sums_are_the_same_whatever_happens_between() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let caps = Caps { api_keys: rng.usize(1..6), models: rng.usize(1..6) };
        let prices = prices("0.0123");
        let zone = ["UTC", "Asia/Tehran", "America/New_York"][rng.usize(..3)];
        let mut now = at("2026-10-30T20:00[UTC]");
        let mut attempts = Vec::new();
        for _ in 0..rng.usize(1..400) {
            if rng.bool() {
                now = now.saturating_add_millis(rng.i64(0..3_600_000));
            }
            let mut attempt = random(&mut rng, now);
            // Often of the same series as the one before.
            if let Some((Attempt { api_key, provider, model, .. }, _)) =
                attempts.last().filter(|_| rng.bool())
            {
                let (api_key, provider, model) = (api_key.clone(), provider.clone(), model.clone());
                attempt = Attempt { api_key, provider, model, ..attempt };
            }
            attempts.push((attempt, now));
        }
        let mut whole = ledger_with(caps, &prices, zone);
        attempts.iter().for_each(|(attempt, now)| whole.add(attempt, *now));

        let mut disk = Disk::default();
        let mut ledger = ledger_with(caps, &prices, zone);
        let mut done = 0;
        while done < attempts.len() {
            let batch = &attempts[done..attempts.len().min(done + rng.usize(1..20))];
            for at_once in batch.chunk_by(|one, next| one.1 == next.1) {
                let attempts: Vec<_> = at_once.iter().map(|(attempt, _)| attempt.clone()).collect();
                ledger.add_all(&attempts, at_once[0].1);
            }
            let changes = ledger.changes();
            // A crash before the commit, one after it, or none.
            let fate = rng.u8(..4);
            if fate > 0 {
                disk.commit(changes);
                done += batch.len();
            }
            if fate < 2 {
                ledger = disk.ledger(caps, &prices, zone);
            }
        }
        // What was recent is not stored.
        let usage = |ledger: &Ledger| LlmUsage { recent: vec![], ..ledger.usage(|key| key.into(), now) };
        let (whole, restored) = (usage(&whole), disk.ledger(caps, &prices, zone));
        assert_eq!(usage(&ledger), whole, "seed {seed}");
        assert_eq!(usage(&restored), whole, "seed {seed}");
        check_sums(&whole, &attempts, caps, seed);
    }
}

/// The sums over all rows are those of all attempts, and the caps hold.
fn check_sums(usage: &LlmUsage, attempts: &[(Attempt, Timestamp)], caps: Caps, seed: u64) {
    let mut tokens = LlmTokens::default();
    attempts.iter().for_each(|(attempt, _)| tokens.add(attempt.tokens));
    let mut counted = LlmTokens::default();
    usage.rows.iter().for_each(|row| counted.add(row.tokens));
    assert_eq!(counted, tokens, "seed {seed}");
    let sum = |of: fn(&LlmRow) -> u64| usage.rows.iter().map(of).sum::<u64>();
    let requests = u64::try_from(attempts.len()).unwrap();
    assert_eq!(sum(|row| row.requests), requests, "seed {seed}");
    // 12.3 billionths per token of input, and 10,000 per token of output.
    let costs = attempts.iter().filter(|(attempt, _)| attempt.model.starts_with('m')).map(|(attempt, _)| {
        let Billed { uncached_input, cache_read, cache_write, output, unclassified: _, tier: _ } =
            attempt.billed;
        ((uncached_input + cache_read + cache_write) * 123 + output * 100_000 + 5) / 10
    });
    assert_eq!(sum(|row| row.cost_nanos), costs.sum::<u64>(), "seed {seed}");
    let failed = attempts.iter().filter(|(attempt, _)| attempt.outcome != Outcome::Succeeded).count();
    assert_eq!(sum(|row| row.failed), u64::try_from(failed).unwrap(), "seed {seed}");
    assert_eq!(usage.errors.iter().map(|error| error.attempts).sum::<u64>(), sum(|row| row.failed));
    let timed = attempts.iter().filter(|(attempt, _)| attempt.duration.is_some()).count();
    let observed: u64 = usage.times.iter().map(|times| times.duration.count()).sum();
    assert_eq!(observed, u64::try_from(timed).unwrap(), "seed {seed}");
    let named = |of: fn(&LlmRow) -> (&str, &str)| {
        let named: std::collections::BTreeSet<_> =
            usage.rows.iter().map(of).filter(|it| it.1 != OTHER).collect();
        named.len()
    };
    assert!(named(|row| ("", &row.api_key)) <= caps.api_keys, "seed {seed}");
    assert!(named(|row| (&row.provider, &row.model)) <= caps.models, "seed {seed}");
}

fn random(rng: &mut fastrand::Rng, now: Timestamp) -> Attempt {
    let mut number = |below: u64| if rng.bool() { 0 } else { rng.u64(..below) };
    let tokens = LlmTokens {
        input: number(1_000_000),
        output: number(100_000),
        reasoning: number(1_000),
        cached: number(1_000),
        cache_write: number(1_000),
        total: number(1_000_000),
    };
    let billed = Billed {
        uncached_input: number(1_000_000),
        cache_read: number(1_000),
        cache_write: number(1_000),
        output: number(100_000),
        unclassified: 0,
        tier: [Tier::Base, Tier::Flex, Tier::Priority][rng.usize(..3)],
    };
    let outcomes = [Outcome::Succeeded, Outcome::Failed(None), Outcome::Failed(Some(rng.u16(..700)))];
    let time = |rng: &mut fastrand::Rng| rng.bool().then(|| Duration::from_millis(rng.u64(..900_000)));
    Attempt {
        started: rng.bool().then(|| now.saturating_add_millis(rng.i64(-90_000_000..1_000_000))),
        api_key: format!("k{}", rng.u8(..8)).into(),
        provider: ["codex", "claude", "gemini"][rng.usize(..3)].into(),
        model: ["m1", "m2", "m3", "unlisted", "_other"][rng.usize(..5)].into(),
        credential: None,
        outcome: outcomes[rng.usize(..3)],
        duration: time(rng),
        first_token: time(rng),
        tokens,
        billed,
    }
}

/// What one key used of the day and the month, after attempts of 8 tokens, each with its start and the time when it came.
#[test]
fn budgets_are_of_the_running_day_and_month() {
    let day = |text: &str| format!("2026-{text}");
    /// A name, the zone, the attempts, now, and the begin and the number of attempts of the day and of the month.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, [(&'a str, u64); 2]);
    let cases: &[Case<'_>] = &[
        (
            "within a day",
            "UTC",
            &[("", "11-25T00:00"), ("", "11-25T23:59:59")],
            "11-25T23:59:59",
            [("11-25", 2), ("11-01", 2)],
        ),
        (
            "the day ends",
            "UTC",
            &[("", "11-25T23:59:59"), ("", "11-26T00:00")],
            "11-26T00:00",
            [("11-26", 1), ("11-01", 2)],
        ),
        ("nothing since", "UTC", &[("", "11-25T23:59:59")], "11-26T00:00", [("11-26", 0), ("11-01", 1)]),
        (
            "the month ends",
            "UTC",
            &[("", "11-30T23:59:59"), ("", "12-01T00:00")],
            "12-01T09:00",
            [("12-01", 1), ("12-01", 1)],
        ),
        // It could not come before the day ended.
        (
            "over midnight",
            "UTC",
            &[("11-25T23:59:50", "11-26T00:00:05")],
            "11-26T12:00",
            [("11-26", 1), ("11-01", 1)],
        ),
        (
            "over the end of a month",
            "UTC",
            &[("11-30T23:59:50", "12-01T00:00:05")],
            "12-01T12:00",
            [("12-01", 1), ("12-01", 1)],
        ),
        // By when it started, not by when it came.
        ("late", "UTC", &[("11-25T23:49:59", "11-26T00:00:05")], "11-26T12:00", [("11-26", 0), ("11-01", 1)]),
        (
            "late in the month",
            "UTC",
            &[("11-30T23:49:59", "12-01T00:00:05")],
            "12-01T12:00",
            [("12-01", 0), ("12-01", 0)],
        ),
        (
            "imported",
            "UTC",
            &[("03-01T00:00", "11-26T00:00:05")],
            "11-26T12:00",
            [("11-26", 0), ("11-01", 0)],
        ),
        (
            "ahead",
            "UTC",
            &[("11-26T00:00:01", "11-25T23:59:59")],
            "11-25T23:59:59",
            [("11-25", 1), ("11-01", 1)],
        ),
        (
            "far ahead",
            "UTC",
            &[("12-24T00:00", "11-25T23:59:59")],
            "11-25T23:59:59",
            [("11-25", 1), ("11-01", 1)],
        ),
        // The clock is set back over midnight: the new day goes on, and no sum is lost at the second midnight.
        (
            "set back",
            "UTC",
            &[
                ("", "11-25T23:59:59"),
                ("", "11-26T00:00:05"),
                ("", "11-25T23:59:58"),
                ("11-25T23:59:57", "11-25T23:59:58"),
            ],
            "11-25T23:59:59",
            [("11-26", 3), ("11-01", 4)],
        ),
        (
            "and midnight comes again",
            "UTC",
            &[("", "11-25T23:59:59"), ("", "11-26T00:00:05"), ("", "11-25T23:59:58"), ("", "11-26T00:00:01")],
            "11-26T00:00:02",
            [("11-26", 3), ("11-01", 4)],
        ),
        (
            "set back by most of a day, over the end of a month",
            "UTC",
            &[("", "12-01T01:00"), ("11-30T01:59", "11-30T02:00"), ("11-29T23:59", "11-30T02:00")],
            "11-30T02:00",
            [("12-01", 2), ("12-01", 3)],
        ),
        // The clock was wrong: the days of the right one begin with nothing.
        (
            "wrong for a while",
            "UTC",
            &[("", "12-24T12:00"), ("", "11-25T12:00")],
            "11-25T12:00",
            [("11-25", 1), ("11-01", 1)],
        ),
        ("and nothing since", "UTC", &[("", "12-24T12:00")], "11-25T12:00", [("11-25", 0), ("11-01", 0)]),
        // Days of other zones.
        (
            "ahead of UTC",
            "Asia/Tehran",
            &[("", "11-25T23:59:59"), ("", "11-26T00:00")],
            "11-26T00:00",
            [("11-26", 1), ("11-01", 2)],
        ),
        (
            "25 hours",
            "America/New_York",
            &[("", "11-01T00:00"), ("", "11-01T23:59:59")],
            "11-01T23:59:59",
            [("11-01", 2), ("11-01", 2)],
        ),
        (
            "23 hours",
            "America/New_York",
            &[("", "03-08T00:00"), ("", "03-08T23:59:59")],
            "03-08T23:59:59",
            [("03-08", 2), ("03-01", 2)],
        ),
        (
            "its end",
            "America/New_York",
            &[("", "03-08T23:59:59")],
            "03-09T00:00",
            [("03-09", 0), ("03-01", 1)],
        ),
    ];
    for (case, zone, attempts, now, expected) in cases {
        let prices = prices("1");
        let zoned = |text: &str| at(&format!("{}[{zone}]", day(text)));
        let mut ledger = ledger_with(Caps::default(), &prices, zone);
        let mut restarted = Disk::default();
        for (started, came) in *attempts {
            let started = (!started.is_empty()).then(|| zoned(started));
            let attempt = Attempt { started, ..attempt("k", "codex", "m1") };
            ledger.add(&attempt, zoned(came));
            let mut again = restarted.ledger(Caps::default(), &prices, zone);
            again.add(&attempt, zoned(came));
            restarted.commit(again.changes());
        }
        let restarted = restarted.ledger(Caps::default(), &prices, zone);
        for ledger in [&ledger, &restarted] {
            let usage = ledger.usage(|key| key.into(), zoned(now));
            let LlmPeriod { api_key: _, day, month } = &usage.periods[0];
            let expected = expected.map(|(since, attempts)| LlmSpent {
                since: zoned(&format!("{since}T00:00")),
                tokens: 8 * attempts,
                cost_nanos: 53_000 * attempts,
            });
            assert_eq!([*day, *month], expected, "{case}");
            assert_eq!(usage.rows[0].requests, u64::try_from(attempts.len()).unwrap(), "{case}");
        }
    }
}

#[test]
fn a_zone_that_changes_loses_no_sums_by_moving_its_days_back() {
    let prices = prices("1");
    let mut disk = Disk::default();
    let mut ledger = ledger_with(Caps::default(), &prices, "UTC");
    ledger.add(&attempt("k", "codex", "m1"), at("2026-11-25T10:00[UTC]"));
    disk.commit(ledger.changes());
    // Its day began at 20:30 of the day before.
    let mut ledger = disk.ledger(Caps::default(), &prices, "Asia/Tehran");
    ledger.add(&attempt("k", "codex", "m1"), at("2026-11-25T11:00[UTC]"));
    let spent = |now| ledger.usage(|key| key.into(), at(now)).periods[0].day;
    let before = spent("2026-11-25T20:29:59[UTC]");
    assert_eq!((before.since, before.tokens), (at("2026-11-25T00:00[UTC]"), 16));
    let after = spent("2026-11-25T20:30[UTC]");
    assert_eq!((after.since, after.tokens), (at("2026-11-26T00:00[Asia/Tehran]"), 0));
}

#[test]
fn a_zone_that_changes_loses_no_sums_by_moving_its_days_forward() {
    let prices = prices("1");
    // From midnight to 05:00, from 10:00 to 05:00, and from 15:00 to 08:00 of UTC.
    for (before, after, keeps_day) in [
        ("UTC", "America/New_York", true),
        ("Pacific/Kiritimati", "America/New_York", false),
        ("Asia/Tokyo", "America/Los_Angeles", false),
    ] {
        let mut disk = Disk::default();
        let mut ledger = ledger_with(Caps::default(), &prices, before);
        ledger.add(&attempt("k", "codex", "m1"), at("2026-11-20T09:00[UTC]"));
        disk.commit(ledger.changes());
        let mut ledger = disk.ledger(Caps::default(), &prices, after);
        ledger.add(&attempt("k", "codex", "m1"), at("2026-11-20T09:30[UTC]"));
        let spent = |now: &str| {
            let LlmPeriod { api_key: _, day, month } =
                ledger.usage(|key| key.into(), at(&format!("{now}[{after}]"))).periods[0].clone();
            (day.tokens, month.tokens)
        };
        let day = if keeps_day { 16 } else { 8 };
        assert_eq!(spent("2026-11-20T23:59:59"), (day, 16), "{before} {after}");
        assert_eq!(spent("2026-11-21T00:00"), (0, 16), "{before} {after}");
        assert_eq!(spent("2026-12-01T00:00"), (0, 0), "{before} {after}");
    }
}

#[test]
fn a_clock_beyond_the_calendar_breaks_nothing() {
    let mut ledger = ledger();
    for millis in [i64::MIN, i64::MAX, 0, -1, 253_402_300_799_999] {
        ledger.add(&attempt("k", "codex", "m1"), Timestamp::from_millis(millis));
        let usage = ledger.usage(|key| key.into(), Timestamp::from_millis(millis));
        assert_eq!(usage.periods.len(), 1);
    }
    assert_eq!(usage(&ledger).rows[0].requests, 5);
}
