use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::*;
use crate::{
    exposition::UserLabels,
    model::ActiveAlerts,
    secret::HashKey,
    server::seen::testing::{NOW, state},
};

fn after(hours: i64) -> Timestamp {
    NOW.saturating_add_millis(hours * 3_600_000)
}

fn silence(id: &str, matchers: &[&str], from: i64, to: i64) -> Arc<Silence> {
    Arc::new(Silence {
        id: id.into(),
        matchers: matchers.iter().map(|text| text.parse().unwrap()).collect(),
        starts_at: after(from),
        ends_at: after(to),
        updated_at: NOW.saturating_sub(Duration::from_millis(1500)),
        created_by: "ann".into(),
        comment: "the move".into(),
    })
}

fn seen(silences: Vec<Arc<Silence>>, labels: UserLabels) -> Seen {
    let alerts = ActiveAlerts { silences: silences.into(), ..ActiveAlerts::default() };
    Seen::now(&state(&[], alerts, labels))
}

#[tokio::test(start_paused = true)]
async fn silences_are_told_as_alertmanager_tells_its_own() {
    let known = silence("one", &["target=edge", "subject!~\"a|b\""], -1, 2);
    let seen = seen(vec![known], UserLabels::Name);
    let expected = concat!(
        r#"{"id":"one","matchers":[{"name":"target","value":"edge","isRegex":false,"isEqual":true},"#,
        r#"{"name":"subject","value":"a|b","isRegex":true,"isEqual":false}],"startsAt":"2026-11-18T10:06:40Z","#,
        r#""endsAt":"2026-11-18T13:06:40Z","updatedAt":"2026-11-18T11:06:38.5Z","createdBy":"ann","comment":"the move","#,
        r#""status":{"state":"active"}}"#,
    );
    let all = String::from_utf8(json(&seen).unwrap()).unwrap();
    assert_eq!(all, format!("{{\"status\":\"success\",\"data\":{{\"silences\":[{expected}]}}}}\n"));
    let alone = String::from_utf8(one(&seen, "one").unwrap().unwrap()).unwrap();
    assert_eq!(alone, format!("{{\"status\":\"success\",\"data\":{expected}}}\n"));
    assert!(one(&seen, "two").is_none());
    // What was read can be written again.
    let text = serde_json::to_string(&serde_json::from_str::<Value>(&alone).unwrap()["data"]).unwrap();
    let read = read(text.as_bytes(), NOW).unwrap();
    assert_eq!(Silence { updated_at: seen.alerts.silences[0].updated_at, ..read }, *seen.alerts.silences[0]);
}

#[tokio::test(start_paused = true)]
async fn those_that_end_next_come_first() {
    let list = [
        ("later", -1, 9),
        ("old", -9, -8),
        ("soon", -1, 1),
        ("next", 2, 9),
        ("young", -9, -1),
        ("last", 3, 4),
    ];
    let list = list.map(|(id, from, to)| silence(id, &["target=edge"], from, to));
    let told: Value = serde_json::from_slice(&json(&seen(list.into(), UserLabels::Name)).unwrap()).unwrap();
    let told: Vec<_> = told["data"]["silences"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = told.iter().map(|told| told["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["soon", "later", "next", "last", "young", "old"]);
    let states: Vec<_> = told.iter().map(|told| told["status"]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["active", "active", "pending", "pending", "expired", "expired"]);
}

#[tokio::test(start_paused = true)]
async fn users_are_named_as_in_the_metrics() {
    let key = HashKey::new(b"key");
    let list =
        || vec![silence("one", &["subject=alice"], 0, 1), silence("two", &["subject=~alice|bob"], 0, 1)];
    let told = |labels| String::from_utf8(json(&seen(list(), labels)).unwrap()).unwrap();
    assert!(told(UserLabels::Name).contains("\"alice|bob\""));
    let hashed = told(UserLabels::Hash(key.clone()));
    assert!(hashed.contains(&key.hash("alice")) && !hashed.contains("alice"), "{hashed}");
    assert!(!told(UserLabels::Off).contains("alice"));
}

#[test]
fn what_is_given_is_read() {
    let least = r#"{"matchers":[{"name":"target","value":"edge"}],"endsAt":"2026-11-18T15:06:40+02:00",
        "createdBy":"ann","comment":"why","status":{"state":"expired"}}"#;
    let given = read(least.as_bytes(), NOW).unwrap();
    assert_eq!((given.starts_at, given.ends_at, &*given.id), (NOW, after(2), ""));
    assert_eq!(given.matchers, ["target=edge".parse().unwrap()]);
    let cases = [
        ("", "the body is not a silence in JSON: "),
        ("[]", "the body is not a silence in JSON: "),
        (r#"{"matchers":[]}"#, "missing field `endsAt`"),
        (&least.replace("target", "team"), "no alert has the label \"team\"; use some of alertname,"),
        (&least.replace("2026-11-18T15:06:40+02:00", "tomorrow"), "endsAt is not a time; write it as"),
        (
            &least.replace("\"edge\"", "\"[\",\"isRegex\":true"),
            "the value of target is no regular expression",
        ),
        (&least.replace("\"edge\"", "7"), "invalid type: integer `7`"),
    ];
    for (body, why) in cases {
        let refused = read(body.as_bytes(), NOW).unwrap_err();
        assert!(refused.contains(why), "{body}: {refused}");
    }
}
