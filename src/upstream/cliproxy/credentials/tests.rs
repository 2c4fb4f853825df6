use super::*;
use crate::upstream::cliproxy::names::test_names;

fn read(text: &str, now: Timestamp) -> Vec<Credential> {
    let files = files(text, &test_names(&[]), now, &OddFields::default()).unwrap();
    files.listed.into_iter().map(|listed| listed.credential).collect()
}

/// The one file with these fields, at noon.
fn with(fields: &str) -> Credential {
    let text =
        format!(r#"{{"files": [{{"name": "claude-a@example.com.json", "auth_index": "c1", {fields}}}]}}"#);
    read(&text, Timestamp::of("2026-11-26T12:00:00Z")).remove(0)
}

#[test]
fn cooldowns_and_quotas_are_those_of_the_list_since_7_3() {
    let text = include_str!("../../../../tests/fixtures/cliproxy/v7.3/auth-files.json");
    // The answer has its own time.
    let credentials = read(text, Timestamp::default());
    assert_eq!(credentials.len(), 8);
    let of = |label: &str| credentials.iter().find(|known| &*known.label == label).unwrap();
    let claude = of("971b244bee59d693");
    assert_eq!((claude.available, claude.cause), (Some(false), "quota exceeded"));
    let until = Timestamp::of("2026-09-20T06:26:13.14Z");
    let cooldown = |model: Option<&str>, reason| Cooldown { model: model.map(Arc::from), reason, until };
    assert_eq!(
        claude.cooldowns,
        [
            cooldown(None, CooldownReason::CredentialQuota),
            cooldown(Some("claude-opus-4-8"), CooldownReason::Quota)
        ]
    );
    let quotas: Vec<_> =
        claude.quotas.iter().map(|quota| (&*quota.model, &*quota.window, quota.used_ratio)).collect();
    assert_eq!(quotas, [("", "5h", Some(1.0)), ("claude-opus-4-8", "7d", Some(0.91))]);
    let codex = of("f2d5589662134d78");
    assert_eq!((codex.available, codex.quotas[0].used_ratio), (Some(true), Some(0.83)));
    assert_eq!(codex.plan_expiry, Some(Timestamp::of("2026-09-10T12:00:00Z")));
    let dead = of("1a223307b9a7c746");
    assert_eq!((dead.available, dead.cause), (Some(false), "login expired or revoked"));
    assert_eq!(dead.plan_expiry, Some(Timestamp::from_secs(1_785_500_000)));
    assert_eq!((of("ad69598762605b4b").available, of("ad69598762605b4b").cause), (Some(false), "disabled"));
    // One model is not supported, and the others are.
    let partly = of("7b71165c85fb97a9");
    assert_eq!((partly.available, partly.status), (Some(true), Some(CredentialStatus::Error)));
    assert_eq!(partly.cooldowns[0].reason, CooldownReason::ModelNotSupported);
    // The server does not know.
    let text = include_str!("../../../../tests/fixtures/cliproxy/v7.3/auth-files-cooldowns-null.json");
    let unknown = files(text, &test_names(&[]), Timestamp::default(), &OddFields::default()).unwrap();
    assert!(unknown.has_cooldowns && !unknown.listed[0].has_cooldowns);
}

#[test]
fn a_flag_outlives_its_cooldown_in_earlier_versions() {
    let over = r#""next_retry_after": "2026-11-26T11:59:59Z""#;
    let cools = r#""next_retry_after": "2026-11-26T20:01:00+08:00""#;
    for (fields, available, cause, cooldowns) in [
        (r#""status": "active", "unavailable": false"#.to_owned(), Some(true), "", 0),
        (
            r#""status": "error", "unavailable": false, "status_message": "boom""#.to_owned(),
            Some(true),
            "",
            0,
        ),
        (
            format!(
                r#""status": "error", "unavailable": true, "status_message": "quota exhausted", {cools}"#
            ),
            Some(false),
            "quota exceeded",
            1,
        ),
        (
            format!(r#""status": "error", "unavailable": true, "status_message": "quota exhausted", {over}"#),
            Some(true),
            "",
            0,
        ),
        (format!(r#""status": "error", "unavailable": false, {cools}"#), Some(true), "", 0),
        (r#""status": "error", "unavailable": true"#.to_owned(), None, "", 0),
        (
            r#""status": "error", "unavailable": true, "status_message": "token expired", "cooldowns": []"#
                .to_owned(),
            Some(false),
            "login expired or revoked",
            0,
        ),
        (
            r#""status": "error", "unavailable": true, "cooldowns": []"#.to_owned(),
            Some(false),
            "cooling down",
            0,
        ),
        (r#""status": "disabled""#.to_owned(), Some(false), "disabled", 0),
        (r#""status": "active", "disabled": true"#.to_owned(), Some(false), "disabled", 0),
        (r#""status": "quantum""#.to_owned(), Some(true), "", 0),
        (r#""size": 5"#.to_owned(), None, "", 0),
    ] {
        let credential = with(&fields);
        let found = (credential.available, credential.cause, credential.cooldowns.len());
        assert_eq!(found, (available, cause, cooldowns), "{fields}");
    }
}

#[test]
fn messages_are_classified_and_not_kept() {
    for (message, reason) in [
        ("unauthorized", CooldownReason::Unauthorized),
        ("payment_required", CooldownReason::PaymentRequired),
        ("not_found", CooldownReason::NotFound),
        ("quota exhausted", CooldownReason::Quota),
        ("transient upstream error", CooldownReason::TransientError),
        ("invalid_grant", CooldownReason::InvalidGrant),
        ("cloudflare challenge", CooldownReason::CloudflareChallenge),
        ("request failed", CooldownReason::Unknown),
        (r#"{\"error\":{\"type\":\"usage_limit_reached\"}}\n"#, CooldownReason::Quota),
        (r#"{\"error\":{\"message\":\"OAuth token has expired\"}}\n"#, CooldownReason::Unauthorized),
        (r#"{\"error\":{\"status\":\"RESOURCE_EXHAUSTED\"}}"#, CooldownReason::Quota),
    ] {
        let credential = with(&format!(
            r#""status": "active", "unavailable": true, "next_retry_after": "2026-11-26T12:01:00Z",
               "status_message": "{message} canary""#
        ));
        assert_eq!(credential.cooldowns[0].reason, reason, "{message}");
        assert!(!format!("{credential:?}").contains("canary"));
    }
}

#[test]
fn recorded_states_are_those_that_were_provoked() {
    let of = |text: &str, label: &str, now: &str| {
        read(text, Timestamp::of(now)).into_iter().find(|known| &*known.label == label).unwrap()
    };
    let text = include_str!("../../../../tests/fixtures/cliproxy/v7.2.140/auth-files-codex-429.json");
    let exceeded = of(text, "4765069aa1199181", "2026-11-25T19:23:40Z");
    assert_eq!((exceeded.available, exceeded.cause), (Some(false), "quota exceeded"));
    assert_eq!(exceeded.plan_expiry, Some(Timestamp::of("2026-12-03T10:00:00Z")));
    let later = of(text, "4765069aa1199181", "2026-11-25T19:24:05Z");
    assert_eq!((later.available, later.cooldowns.len()), (Some(true), 0));
    let team = of(text, "17cd5926038f313c", "2026-11-25T19:23:40Z");
    assert_eq!(team.plan_expiry, Some(Timestamp::from_secs(1_796_292_000)));
    let text = include_str!("../../../../tests/fixtures/cliproxy/v7.2.140/auth-files-claude-401.json");
    let dead = of(text, "9aba6c17979f92ac", "2026-11-25T19:23:30Z");
    assert_eq!((dead.available, dead.cause), (Some(false), "login expired or revoked"));
}

#[test]
fn a_number_is_no_identity_and_a_row_without_any_is_left_out() {
    let names = test_names(&[]);
    let text = r#"{"files": [{"name": "a@example.com.json", "auth_index": 0}, {"name": "b.json"}, {"type": "x"}, 5,
        {"id": "c", "auth_index": ""}, {"name": "b.json", "auth_index": "0123456789abcdef"}]}"#;
    let files = files(text, &names, Timestamp::default(), &OddFields::default()).unwrap();
    let labels: Vec<_> = files.listed.iter().map(|listed| Arc::clone(&listed.credential.label)).collect();
    let expected =
        [names.hash("a@example.com.json"), names.hash("b.json"), names.hash("c"), "0123456789abcdef".into()];
    assert_eq!((labels.as_slice(), files.omitted), (expected.as_slice(), 2));
}

#[test]
fn other_answers_are_no_lists() {
    let names = test_names(&[]);
    let read = |text: &str| files(text, &names, Timestamp::default(), &OddFields::default());
    assert_eq!(read(r#"{"files": null}"#).unwrap().listed.len(), 0);
    assert_eq!(read(r#"{"files": []}"#).unwrap().listed.len(), 0);
    for text in ["{}", "[]", r#"{"files": 5}"#, r#"{"files": {}}"#] {
        assert!(read(text).is_none(), "{text}");
    }
    assert!(read(include_str!("../../../../tests/fixtures/cliproxy/v7.3/auth-files-paged.json")).is_some());
}

#[test]
fn keys_are_hashed_without_their_url_and_each_entry_is_counted() {
    let names = test_names(&[]);
    let text = r#"{"fakeai": {"https://a/v1|sk|canary": {"success": 4, "failed": 1}, "https://b/v1|sk|canary": {"success": 2, "failed": 0}},
        "openai-compatible-other": {"https://a/v1|sk|canary": {"success": 1, "failed": 0}, "https://b/v1|sk|canary": {"success": 18446744073709551615, "failed": 0}},
        "gemini": {"AIza-canary": {"recent_requests": []}}, "odd": 5}"#;
    let (listed, omitted) = keys(text, &names, &OddFields::default()).unwrap();
    let rows: Vec<_> = listed
        .iter()
        .map(|Listed { credential, key: _, counters, has_cooldowns: _ }| {
            (credential.label.to_string(), &*credential.provider, counters.as_slice())
        })
        .collect();
    let hash = |secret: &str| names.hash(secret).to_string();
    let counter = |entry: &str, succeeded, failed| Counter { entry: names.hash(entry), succeeded, failed };
    let first =
        [counter("fakeai|https://a/v1|sk|canary", 4, 1), counter("fakeai|https://b/v1|sk|canary", 2, 0)];
    let second =
        [counter("other|https://a/v1|sk|canary", 1, 0), counter("other|https://b/v1|sk|canary", u64::MAX, 0)];
    let expected = [
        (hash("sk|canary"), "fakeai", first.as_slice()),
        (hash("other|sk|canary"), "other", second.as_slice()),
        (hash("AIza-canary"), "gemini", &[]),
    ];
    assert_eq!((rows.as_slice(), omitted), (expected.as_slice(), 1));
    assert!(keys("[]", &names, &OddFields::default()).is_none());
    let many: Vec<_> =
        (0..ROWS + 3).map(|url| format!(r#""http://{url}|k": {{"success": 1, "failed": 0}}"#)).collect();
    let text = format!(r#"{{"fakeai": {{{}}}}}"#, many.join(","));
    let (listed, omitted) = keys(&text, &names, &OddFields::default()).unwrap();
    assert_eq!((listed.len(), listed[0].counters.len(), omitted), (1, ROWS, 3));
}
