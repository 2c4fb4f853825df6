use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    model::{ActiveAlerts, Move},
    secret::HashKey,
    server::{
        seen::testing::{NOW, state},
        state::State,
    },
    store::Counted,
};

/// A history of two targets, of 2026-11-18 (UTC).
async fn history(labels: UserLabels) -> State {
    // Neither was read by this process.
    let state = state(&[Report::new("home"), Report::new("llm")], ActiveAlerts::default(), labels);
    let read = |name: &str, total: u64, may_be_reset: bool| Move {
        name: name.into(),
        owner: Some("root".into()),
        before: Some(0),
        total,
        last_read: Some(NOW),
        may_be_reset,
        ..Move::default()
    };
    let usual = Duration::from_secs(600);
    let users = vec![read("=ann", 5, true), read("bob, \"b\"", 7, false)];
    state.usage.saw("home", Counted::Users, users, usual, NOW);
    state.usage.saw("llm", Counted::Keys, vec![read("agent", 70, false)], usual, NOW);
    state.usage.write().await;
    state
}

fn ask(state: &State, parameters: &str) -> Result<(String, Option<String>), (u16, String)> {
    let query = Query::of(Some(parameters), false).map_err(|why| (400, why))?;
    let page = page(&Seen::now(state), &state.usage, &query).map_err(|refused| {
        let (status, text) = refused.answer();
        (status.as_u16(), text)
    })?;
    Ok((String::from_utf8(page.text).unwrap(), page.next))
}

fn rows(state: &State, parameters: &str) -> Value {
    let (text, _) = ask(state, parameters).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["data"]["usage"].clone()
}

#[tokio::test]
async fn sums_lists_and_single_subjects_are_answered() {
    let state = history(UserLabels::Name).await;
    let day = "2026-11-18";
    let sum = |period: &str, target: &str, used: u64, unit: &str| json!({ "period": period, "target": target, "kind": "target", "used": used, "unit": unit });
    let mut home = sum(day, "home", 12, "bytes");
    home["reset"] = true.into();
    assert_eq!(rows(&state, ""), json!([home, sum(day, "llm", 70, "tokens")]));
    for parameters in ["target=llm&by=month", "target=llm&by=month&from=2026-11-18&to=2026-11-01"] {
        assert_eq!(rows(&state, parameters), json!([sum("2026-11", "llm", 70, "tokens")]), "{parameters}");
    }
    let (csv, _) = ask(&state, "format=csv").unwrap();
    assert!(csv.ends_with("\r\n2026-11-18,llm,target,,70,tokens,false,false\r\n"), "{csv}");
    let of = |kind: &str, name: &str, used: u64, unit: &str| {
        json!({ "period": day, "target": if kind == "key" { "llm" } else { "home" }, "kind": kind, "name": name,
            "used": used, "unit": unit })
    };
    assert_eq!(rows(&state, "target=home&user=bob,+%22b%22"), json!([of("user", "bob, \"b\"", 7, "bytes")]));
    assert_eq!(rows(&state, "target=llm&of=keys"), json!([of("key", "agent", 70, "tokens")]));
    assert_eq!(rows(&state, "target=home&admin=root")[0]["used"], 12);
    for nothing in [
        "target=home&user=none",
        "target=home&from=2026-11-19",
        "target=home&to=2026-11-17",
        "target=home&by=month&to=2026-10-31",
        "target=home&of=nodes",
    ] {
        assert_eq!(rows(&state, nothing), json!([]), "{nothing}");
    }
}

#[tokio::test]
async fn pages_lead_to_the_next() {
    let state = history(UserLabels::Name).await;
    for first in ["limit=1", "limit=1&target=home&of=users"] {
        let (text, next) = ask(&state, first).unwrap();
        let word = serde_json::from_str::<Value>(&text).unwrap()["data"]["next"].clone();
        let next = next.unwrap();
        assert!(next.ends_with(&format!("after={}", word.as_str().unwrap())), "{next}");
        let (second, end) = ask(&state, &next).unwrap();
        assert!(second != text && end.is_none(), "{second}");
    }
}

#[tokio::test]
async fn pages_go_on_where_they_were_when_targets_come_and_go() {
    let state = history(UserLabels::Name).await;
    let (_, next) = ask(&state, "limit=1").unwrap();
    let targets = |names: &[&str]| names.iter().map(|name| Report::new(*name)).collect::<Vec<_>>();
    for (names, expected) in [
        (&["home", "llm"][..], &["llm"][..]),
        (&["a-new", "home", "llm"], &["llm"]),
        (&["llm"], &["llm"]),
        (&["home", "kept", "llm"], &["llm"]),
        (&["home"], &[]),
    ] {
        state.board.set_targets(&targets(names));
        let rows = rows(&state, next.as_ref().unwrap());
        let found: Vec<_> =
            rows.as_array().unwrap().iter().map(|row| row["target"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{names:?}");
    }
}

#[tokio::test]
async fn days_of_a_clock_that_was_ahead_are_not_shown() {
    let state = history(UserLabels::Name).await;
    let ahead = NOW.saturating_add_millis(100 * 86_400_000);
    let read = Move {
        name: "bob, \"b\"".into(),
        before: Some(7),
        total: 9,
        last_read: Some(NOW),
        ..Move::default()
    };
    state.usage.saw("home", Counted::Users, vec![read], Duration::from_secs(600), ahead);
    state.usage.write().await;
    for by in ["day", "month"] {
        let shown =
            |more: &str| rows(&state, &format!("target=home&by={by}{more}")).as_array().unwrap().len();
        assert_eq!((shown(""), shown("&to=2027-12-31")), (1, 2), "{by}");
    }
}

#[tokio::test]
async fn a_table_runs_no_formulas() {
    let state = history(UserLabels::Name).await;
    let (text, _) = ask(&state, "target=home&of=users&format=csv").unwrap();
    let mut lines: Vec<_> = text.split("\r\n").collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "",
            "2026-11-18,home,user,\"'=ann\",5,bytes,false,true",
            "2026-11-18,home,user,\"bob, \"\"b\"\"\",7,bytes,false,false",
            "period,target,kind,name,used,unit,gap,reset",
        ]
    );
    for (name, expected) in [
        ("ann", "ann"),
        ("-1", "\"'-1\""),
        ("a\nb", "\"a\nb\""),
        ("@x", "\"'@x\""),
        ("＝1+2", "\"'＝1+2\""),
        ("＋1", "\"'＋1\""),
        ("－1", "\"'－1\""),
        ("＠x", "\"'＠x\""),
        ("a-b@c.d", "a-b@c.d"),
    ] {
        assert_eq!(csv_cell(name), expected);
    }
}

#[tokio::test]
async fn users_are_named_as_the_setting_says() {
    let key = HashKey::new(b"0123456789abcdef");
    let hashed = history(UserLabels::Hash(key.clone())).await;
    let code = key.hash("=ann");
    assert_eq!(rows(&hashed, &format!("target=home&user={code}"))[0]["name"], json!(code));
    assert_eq!(rows(&hashed, "target=home&user==ann"), json!([]));
    let (text, _) = ask(&hashed, "target=home&of=users&format=csv").unwrap();
    assert!(text.contains(&code) && !text.contains("ann") && !text.contains("bob"), "{text}");

    let off = history(UserLabels::Off).await;
    for refused in ["target=home&of=users", "target=home&user=bob"] {
        let (status, why) = ask(&off, refused).unwrap_err();
        assert!(status == 403 && why.contains("labels = \\\"off\\\""), "{why}");
    }
    assert_eq!(rows(&off, "target=home")[0]["used"], 12);
}

#[tokio::test]
async fn mistakes_say_what_to_write() {
    let state = history(UserLabels::Name).await;
    for (parameters, why) in [
        ("target=other", "there is no target of this name"),
        ("user=ann", "invalid parameter \"target\": it is missing"),
        ("by=week", "write day or month"),
        ("from=2026-11", "\"2026-11\" is not a day; write it as 2026-11-27"),
        ("by=month&to=2026-11-31", "is not a month; write it as 2026-11"),
        ("by=month&from=2026-12-01&to=2026-11-30", "invalid parameter \"to\": it is before from"),
        ("from=2026-11-19&to=2026-11-18", "invalid parameter \"to\": it is before from"),
        ("target=home&user=a&node=b", "write one of the parameters"),
        ("target=home&user=a&of=users", "write one of the parameters"),
        ("target=home&of=people", "write users, admins, nodes or keys"),
        ("limit=0", "write a number from 1 to 10000"),
        ("limit=+5", "write a number from 1 to 10000"),
        ("after=x", "write the value of \"next\""),
        // As an earlier version wrote it: 0 20775 16777218.
        ("after=MCAyMDc3NSAxNjc3NzIxOA", "write the value of \"next\""),
        // llm/20775/16777218
        ("target=home&after=bGxtLzIwNzc1LzE2Nzc3MjE4", "write the value of \"next\""),
        ("format=xml", "write json or csv"),
        ("by=day&by=day", "it is there twice"),
    ] {
        let (status, said) = ask(&state, parameters).unwrap_err();
        assert!(status == 400 && said.replace("\\\"", "\"").contains(why), "{parameters}: {said}");
    }
    assert_eq!(Query::of(None, true).unwrap().format, Format::Csv);
    assert_eq!(Query::of(Some("format=json&other=1"), true).unwrap().format, Format::Json);
}
