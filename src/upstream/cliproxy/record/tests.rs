use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::*;
use crate::upstream::cliproxy::names::test_names;

fn record(text: &str) -> Record {
    match element(text, &test_names(&[]), &Known::default(), &OddFields::default()) {
        Element::Record(record) => *record,
        other => panic!("{text}: {other:?}"),
    }
}

/// A record with these fields beside its time.
fn with(fields: &str) -> Attempt {
    record(&format!(r#"{{"timestamp": "2026-11-26T03:15:07.068736881+08:00", {fields}}}"#)).attempt
}

fn billed(attempt: &Attempt) -> (u64, u64, u64, u64) {
    let Billed { uncached_input, cache_read, cache_write, output, unclassified: _, tier: _ } = attempt.billed;
    (uncached_input, cache_read, cache_write, output)
}

#[test]
fn the_whole_of_a_record_is_read() {
    let records = include_str!("../../../../tests/fixtures/cliproxy/v7.3/usage-queue.json");
    let records: Vec<&RawValue> = serde_json::from_str(records).unwrap();
    let names = test_names(&[]);
    let Record { attempt, signals, failure: _ } = record(records[0].get());
    let expected = Attempt {
        started: Some(Timestamp::from_millis(1_787_378_591_123)),
        api_key: names.hash("client-key-alpha-0000000000000001"),
        provider: "claude".into(),
        model: "claude-opus-4-8".into(),
        credential: Some("971b244bee59d693".into()),
        outcome: Outcome::Succeeded,
        duration: Some(Duration::from_millis(18_412)),
        first_token: Some(Duration::from_millis(1103)),
        tokens: LlmTokens {
            input: 320,
            output: 1450,
            reasoning: 0,
            cached: 18_944,
            cache_write: 512,
            total: 21_226,
        },
        billed: Billed {
            uncached_input: 320,
            cache_read: 18_944,
            cache_write: 512,
            output: 1450,
            tier: Tier::Base,
            unclassified: 0,
        },
    };
    assert_eq!(attempt, expected);
    assert_eq!(signals.windows(&Arc::default(), Timestamp::default()).len(), 2);
    let Record { attempt, signals, failure: _ } = record(records[1].get());
    assert_eq!((attempt.outcome, attempt.first_token), (Outcome::Failed(Some(429)), None));
    assert_eq!(signals.retry_after, Some(Duration::from_secs(1380)));
    // Neither keys nor accounts are left.
    let told = format!("{attempt:?} {signals:?}");
    assert!(!told.contains("alice") && !told.contains("client-key"), "{told}");
}

#[test]
fn tokens_are_billed_as_each_family_counts_them() {
    let tokens =
        r#""tokens": {"input_tokens": 100, "output_tokens": 20, "reasoning_tokens": 5, "cached_tokens": 30}"#;
    for (fields, expected) in [
        (r#""provider": "claude""#, (100, 30, 0, 20)),
        (r#""provider": "codex""#, (70, 30, 0, 20)),
        (r#""provider": "openai-compatible-fakeai", "model": "claude-x""#, (70, 30, 0, 20)),
        (r#""provider": "gemini""#, (70, 30, 0, 25)),
        (r#""provider": "antigravity", "model": "claude-x""#, (70, 30, 0, 25)),
        (r#""provider": "unknown", "model": "claude-x""#, (100, 30, 0, 20)),
        (r#""provider": "claude-relay""#, (70, 30, 0, 20)),
        (r#""provider": "gemini-mirror""#, (70, 30, 0, 20)),
        (r#""provider": "gemini-cli""#, (70, 30, 0, 25)),
        (r#""provider": "fakeai", "executor_type": "ClaudeExecutor""#, (100, 30, 0, 20)),
        (r#""provider": "fakeai", "executor_type": "GeminiVertexExecutor""#, (70, 30, 0, 25)),
    ] {
        assert_eq!(billed(&with(&format!("{fields}, {tokens}"))), expected, "{fields}");
    }
    let cached = |fields: &str| {
        let attempt = with(&format!(r#""provider": "claude", "tokens": {{{fields}}}"#));
        (attempt.tokens.cached, attempt.tokens.cache_write, billed(&attempt).1, billed(&attempt).2)
    };
    assert_eq!(
        cached(r#""cached_tokens": 9, "cache_read_tokens": 0, "cache_creation_tokens": 9"#),
        (0, 9, 0, 9)
    );
    assert_eq!(
        cached(r#""cached_tokens": 7, "cache_read_tokens": 7, "cache_creation_tokens": 3"#),
        (7, 3, 7, 3)
    );
    assert_eq!(cached(r#""cached_tokens": 7"#), (7, 0, 7, 0));
}

#[test]
fn a_breakdown_goes_before_the_rule_unless_it_has_no_classes() {
    let breakdown = |quality: &str| {
        format!(
            r#""provider": "codex", "tokens": {{"input_tokens": 100, "output_tokens": 20, "cached_tokens": 30}},
               "token_breakdown": {{"quality": "{quality}", "input": {{"uncached_tokens": 60, "cache_read_tokens": 30,
               "cache_write_tokens": 10}}, "output": {{"total_tokens": 21}}}}"#
        )
    };
    assert_eq!(billed(&with(&breakdown("complete"))), (60, 30, 10, 21));
    assert_eq!(billed(&with(&breakdown("inconsistent"))), (70, 30, 0, 20));
    assert_eq!(billed(&with(&breakdown("unclassified"))), (70, 30, 0, 20));
    // As a server of 7.2 has them: more is cached than was sent, and nothing but a sum.
    let none = r#""token_breakdown": {"quality": "inconsistent", "total_tokens": 110, "input": {"total_tokens": 0,
        "uncached_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0}, "output": {"total_tokens": 0},
        "unclassified_tokens": 110}"#;
    let cached = r#""provider": "gemini", "tokens": {"input_tokens": 100, "output_tokens": 10, "cached_tokens": 400,
        "cache_read_tokens": 400, "total_tokens": 110}"#;
    assert_eq!(billed(&with(&format!("{cached}, {none}"))), (0, 100, 0, 10));
    let sum = with(&format!(r#""tokens": {{"total_tokens": 128}}, {none}"#));
    assert_eq!((billed(&sum), sum.billed.unclassified), ((0, 0, 0, 0), 128));
    assert_eq!(sum.tokens.total, 128);
    for (tier, expected) in [("flex", Tier::Flex), ("priority", Tier::Priority), ("default", Tier::Base)] {
        let attempt = with(&format!(r#""response_service_tier": "{tier}", "service_tier": "flex""#));
        assert_eq!(attempt.billed.tier, expected, "{tier}");
    }
    assert_eq!(with(r#""service_tier": "flex""#).billed.tier, Tier::Base, "only asked for");
}

#[test]
fn one_odd_field_costs_that_field_and_other_values_are_no_records() {
    let odd = OddFields::default();
    let text = r#"{"timestamp": [], "provider": 5, "model": "m", "latency_ms": "fast", "ttft_ms": 99999999999999,
        "tokens": {"input_tokens": -5, "output_tokens": 7, "total_tokens": 1e17}, "failed": true,
        "fail": {"status_code": 99999}, "api_key": {}, "source": 5, "auth_index": 7, "token_breakdown": []}"#;
    let Element::Record(record) = element(text, &test_names(&[]), &Known::default(), &odd) else { panic!() };
    let expected = Attempt {
        provider: "unknown".into(),
        model: "m".into(),
        outcome: Outcome::Failed(None),
        tokens: LlmTokens { output: 7, ..LlmTokens::default() },
        billed: Billed { output: 7, ..Billed::default() },
        ..Attempt::default()
    };
    assert_eq!(record.attempt, expected);
    assert_eq!(odd.take().len(), 7);
    let kind = |text: &str| match element(text, &test_names(&[]), &Known::default(), &odd) {
        Element::Record(_) => "record",
        Element::Control => "control",
        Element::Unreadable => "unreadable",
    };
    for (text, expected) in [
        (r#"{"timestamp": "2026-11-26T03:15:07Z"}"#, "record"),
        (r#"{"support_refresh": true}"#, "control"),
        (r#"{"refresh": true}"#, "control"),
        ("{}", "unreadable"),
        (r#""text that is no JSON""#, "unreadable"),
        ("null", "unreadable"),
        ("[]", "unreadable"),
    ] {
        assert_eq!(kind(text), expected, "{text}");
    }
}

#[test]
fn failures_have_a_code_where_the_server_says_one() {
    for (fields, expected) in [
        (r#""failed": false"#, Outcome::Succeeded),
        (r#""failed": true"#, Outcome::Failed(None)),
        (
            r#""failed": true, "fail": {"status_code": 499, "body": "context canceled"}"#,
            Outcome::Failed(Some(499)),
        ),
        (r#""failed": true, "fail": {"status_code": 0}"#, Outcome::Failed(None)),
        (r#""failed": false, "fail": {"status_code": 200}"#, Outcome::Succeeded),
    ] {
        assert_eq!(with(fields).outcome, expected, "{fields}");
    }
    assert_eq!(with(r#""failed": false, "ttft_ms": 0, "latency_ms": 0"#).first_token, None);
    assert_eq!(with(r#""failed": false, "ttft_ms": 1"#).first_token, Some(Duration::from_millis(1)));
    assert_eq!(with(r#""failed": true, "ttft_ms": 1"#).first_token, None);
}

#[test]
fn a_credential_is_its_key_or_its_index_or_its_source() {
    let names = test_names(&[]);
    let key = names.hash("sk-up");
    let at = |provider: &str, label: &str| KeyAt { provider: provider.into(), label: label.into() };
    let keys = [
        (Arc::clone(&key), vec![at("claude", &key)]),
        (names.hash("sk-both"), vec![at("claude", "of-claude"), at("codex", "of-codex")]),
    ];
    let known = Known { keys: keys.into(), ..Known::default() };
    for (fields, expected) in [
        (r#""source": "sk-both", "provider": "codex""#, Some("of-codex".into())),
        // Not by the first provider that has the key.
        (r#""source": "sk-both", "auth_index": "0123456789abcdef""#, None),
        (r#""source": "sk-up", "auth_index": "0123456789abcdef""#, Some(key)),
        (r#""source": "a@example.com", "auth_index": "0123456789abcdef""#, Some("0123456789abcdef".into())),
        // A number moves to another credential when the server restarts.
        (r#""source": "a@example.com", "auth_index": 0"#, Some(names.hash("a@example.com"))),
        (r#""source": "", "auth_index": """#, None),
        (r#""auth_index": null"#, None),
    ] {
        let text = format!(r#"{{"timestamp": "2026-11-26T03:15:07Z", {fields}}}"#);
        let Element::Record(record) = element(&text, &names, &known, &OddFields::default()) else { panic!() };
        assert_eq!(record.attempt.credential, expected, "{fields}");
    }
}

#[test]
fn a_detail_is_read_the_same_quickly_and_field_by_field() {
    let names = test_names(&[]);
    let index: Arc<str> = "76f2b6ff23d91ab7".into();
    let providers = HashMap::from([(Arc::clone(&index), Arc::from("claude"))]);
    let known = Known { providers, ..Known::default() };
    let mut details = Details::new(&names, &known);
    let odd = OddFields::default();
    let mut read = |fields: &str| {
        let mut attempt = Attempt { model: "m".into(), ..Attempt::default() };
        let text = format!(
            r#"{{"timestamp":"2026-11-26T03:15:53.917902148+08:00","source":"a@example.com",{fields}"auth_index":"{index}",
               "tokens":{{"input_tokens":102,"output_tokens":22,"reasoning_tokens":1,"cached_tokens":20,"total_tokens":124}}}}"#
        );
        assert!(details.read(text.as_bytes(), &mut attempt, &odd), "{text}");
        attempt
    };
    let expected = Attempt {
        started: Some(Timestamp::from_millis(1_795_634_153_917)),
        provider: "claude".into(),
        model: "m".into(),
        credential: Some(Arc::clone(&index)),
        outcome: Outcome::Failed(None),
        duration: Some(Duration::from_millis(7)),
        tokens: LlmTokens { input: 102, output: 22, reasoning: 1, cached: 20, cache_write: 0, total: 124 },
        billed: Billed { uncached_input: 102, cache_read: 20, output: 22, ..Billed::default() },
        ..Attempt::default()
    };
    assert_eq!(read(r#""failed":true,"latency_ms":7,"#), expected);
    assert_eq!(read(r#""failed":"true","latency_ms":"7","#), expected, "odd, and read all the same");
    assert_eq!(read(r#""failed":true,"latency_ms":7,"new":{"a":[1]},"#), expected);
    assert_eq!(read(r#""failed":true,"latency_ms":{},"#), Attempt { duration: None, ..expected });
    let mut attempt = Attempt::default();
    assert!(!details.read(b"5", &mut attempt, &odd));
    assert!(details.read(br#"{"source":"a\u0062c"}"#, &mut attempt, &odd));
    assert_eq!((attempt.started, attempt.credential), (None, Some(names.hash("abc"))));
}

/// A detail with fields that may be odd, missing or in another order, beside those that servers write.
fn random_detail(random: &mut fastrand::Rng) -> String {
    let mut pick = |values: &[&str]| {
        // Mostly the first two, which are as expected.
        let values = if random.u8(..) < 230 { values.get(..2).unwrap_or(values) } else { values };
        random.choice(values).copied().unwrap_or_default().to_owned()
    };
    let count = |pick: &mut dyn FnMut(&[&str]) -> String| {
        pick(&[
            "0",
            "124",
            "9999999999999999999",
            "18446744073709551615",
            "18446744073709551616",
            "01",
            "-1",
            "1.5",
            "1e3",
            "null",
            "",
        ])
    };
    let mut tokens = Vec::new();
    for name in ["input", "output", "reasoning", "cached", "total"] {
        tokens.push(format!("\"{name}_tokens\":{}", count(&mut pick)));
    }
    let mut fields = vec![
        format!(
            "\"timestamp\":{}",
            pick(&[
                r#""2026-11-26T03:15:53.917902148+08:00""#,
                r#""2026-11-26T03:15:53Z""#,
                "\"\"",
                "null",
                "5"
            ])
        ),
        format!("\"latency_ms\":{}", count(&mut pick)),
        format!(
            "\"source\":{}",
            pick(&[
                r#""a@example.com""#,
                "\"\"",
                r#""a\u0062c""#,
                r#""ä""#,
                r#""\"""#,
                "\"\t\"",
                "\"a\\\"",
                "null",
                "[1]"
            ])
        ),
        format!(
            "\"auth_index\":{}",
            pick(&[r#""0123456789abcdef""#, "3", r#""a\u0062c""#, "null", "{}", "\"ä\""])
        ),
        format!("\"tokens\":{{{}}}", tokens.join(",")),
        format!("\"failed\":{}", pick(&["true", "false", "null", "0", "\"true\"", "truefalse"])),
    ];
    if pick(&["", "", "shuffled"]) == "shuffled" {
        random.shuffle(&mut fields);
    }
    fields.retain(|_| random.u8(..) > 10);
    if random.u8(..) < 20 {
        fields.insert(random.usize(..=fields.len()), r#""new":{"a":[1]}"#.to_owned());
    }
    format!("{{{}}}", fields.join(if random.u8(..) < 20 { ", " } else { "," }))
}

#[test]
fn the_form_in_which_servers_write_details_is_read_as_any_other() {
    let (names, known, odd) = (test_names(&[]), Known::default(), OddFields::default());
    let mut random = fastrand::Rng::with_seed(1);
    let mut details = Details::new(&names, &known);
    let (mut written, mut others) = (0, 0);
    for _ in 0..20_000 {
        let mut text = format!("{},{{\"timestamp\"", random_detail(&mut random)).into_bytes();
        if random.u8(..) < 100 {
            let at = random.usize(..text.len());
            text[at] = random.u8(..);
        }
        if random.u8(..) < 20 {
            text.truncate(random.usize(..text.len()));
        }
        let mut quickly = Attempt::default();
        let Some(length) = details.read_first(&text, &mut quickly) else {
            others += 1;
            assert_eq!(quickly, Attempt::default());
            continue;
        };
        written += 1;
        let shown = String::from_utf8_lossy(&text);
        let mut values = serde_json::Deserializer::from_slice(&text).into_iter::<IgnoredAny>();
        assert!(values.next().unwrap().is_ok() && values.byte_offset() == length, "{shown}");
        let mut slowly = Attempt::default();
        assert!(details.read(&text[..length], &mut slowly, &odd), "{shown}");
        assert_eq!(quickly, slowly, "{shown}");
        assert!(serde_json::from_slice::<Detail<'_>>(&text[..length]).is_ok(), "{shown}");
    }
    assert!(written > 3000 && others > 3000, "{written} {others}");
    assert!(odd.take().is_empty());
}

#[test]
fn details_of_real_servers_are_of_the_form_in_which_they_are_written() {
    let (names, known) = (test_names(&[]), Known::default());
    let mut details = Details::new(&names, &known);
    for file in ["v6.0.5/usage-with-failures", "v6.2.26/usage-mix240", "v6.9.49/usage-with-failures"] {
        let text = std::fs::read(format!("tests/fixtures/cliproxy/{file}.json")).unwrap();
        let starts = text.windows(13).enumerate().filter(|(_, part)| part == b"{\"timestamp\":");
        let read =
            starts.filter(|(at, _)| details.read_first(&text[*at..], &mut Attempt::default()).is_some());
        let all = text.windows(13).filter(|part| part == b"{\"timestamp\":").count();
        assert!(all > 0);
        assert_eq!(read.count(), all, "{file}");
    }
}
