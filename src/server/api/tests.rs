//! Compares `docs/api.md` with the answers. `UPDATE_GOLDEN=1` rewrites its examples.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    clock::Clock,
    exposition::UserLabels,
    model::{
        ActiveAlert, ActiveAlerts, AlertState, Credential, CredentialStatus, Fact, Identity, Inbound,
        LlmMode, LlmRow, LlmState, LlmTokens, LlmUsage, Moment, Move, Node, NodeStatus, Outbound, Outcome,
        Part, PartState, Reading, Reason, Report, Severity, Silence, System, User, UserCounts, UserFacts,
        WalkEnd, WalkProgress,
    },
    server::{
        api,
        seen::{
            Seen,
            testing::{NOW, state},
        },
    },
    store::Counted,
};

const PATH: &str = "docs/api.md";

fn ago(seconds: u64) -> Moment {
    let (now, time) = (Clock::starting_at(NOW).now(), Duration::from_secs(seconds));
    Moment { wall: now.wall.saturating_sub(time), uptime: now.uptime.saturating_sub(time) }
}

fn part(outcome: Outcome, read: Option<Moment>, millis: u64) -> PartState {
    PartState {
        outcome,
        last_success: read,
        last_data: read,
        duration: read.map(|_| Duration::from_millis(millis)),
        round: Duration::from_secs(30),
        stale_after: Duration::from_secs(600),
    }
}

fn home() -> Report {
    let mut home = Report::new("home");
    home.up = Some(true);
    let identity = Identity { system: System::PasarGuard, version: "5.2.1".into(), generation: "5".into() };
    home.merge(Fact::Identity(identity), Moment::default());
    let counts = UserCounts { total: Some(4213), online: Some(310), ..UserCounts::default() };
    home.merge(Fact::Counts(counts), Moment::default());
    let node = |label: &str, status| Node { address: "198.51.100.9".into(), ..Node::named(label, status) };
    home.merge(
        Fact::Nodes(vec![
            node("FI-1", NodeStatus::Error),
            node("DE-1", NodeStatus::Connected),
            node("NL-1", NodeStatus::Disabled),
        ]),
        Moment::default(),
    );
    home.parts.insert(Part::System, part(Outcome::Up, Some(ago(3)), 41));
    home.parts.insert(Part::Nodes, part(Outcome::Up, Some(ago(4)), 12));
    home.parts.insert(Part::Admins, part(Outcome::Refused, None, 0));
    let failed = Outcome::Failed { reason: Reason::Timeout, detail: "took too long".into() };
    home.parts.insert(Part::Users, part(failed, Some(ago(725)), 31_250));
    home
}

/// A panel whose list lacks two of the users that it counts, and that has inbounds and outbounds.
fn edge() -> Report {
    let mut edge = Report::new("edge");
    edge.up = Some(true);
    let page: Vec<_> = (0..8).map(|i| User::named(&format!("u{i}"))).collect();
    let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
    let end = WalkEnd { page, seen, total: Some(10), started: ago(9), ..WalkEnd::default() };
    edge.merge(Fact::Users(UserFacts::WalkEnd(end)), ago(9));
    let inbound = |enabled| Inbound { enabled: Some(enabled), ..Inbound::default() };
    edge.merge(Fact::Inbounds([true, false].map(inbound).into()), ago(9));
    let outbound = |up| Outbound { up: Some(up), ..Outbound::default() };
    edge.merge(Fact::Outbounds([true, true, false].map(outbound).into()), ago(9));
    for part_read in [Part::Users, Part::Inbounds, Part::Outbounds] {
        edge.parts.insert(part_read, part(Outcome::Up, Some(ago(9)), 25));
    }
    edge
}

/// A large panel whose users are read for the first time.
fn large() -> Report {
    let mut large = Report::new("large");
    large.up = Some(true);
    large.merge(Fact::Users(UserFacts::Page(vec![User::named("u0")])), ago(9));
    let (took, left) = (Duration::from_secs(25), Some(Duration::from_secs(2775)));
    large.walk = Some(WalkProgress { read: 1500, size: Some(20_000), took, left });
    let pending = PartState { last_success: None, duration: None, ..part(Outcome::Pending, Some(ago(9)), 0) };
    large.parts.insert(Part::Users, pending);
    large
}

fn llm() -> Report {
    let mut llm = Report::new("llm");
    llm.up = Some(true);
    llm.merge(Fact::LlmState(LlmState { mode: LlmMode::Queue, enabled: Some(true) }), ago(9));
    let row = LlmRow {
        requests: 1204,
        failed: 31,
        tokens: LlmTokens { total: 8_123_456, ..LlmTokens::default() },
        cost_nanos: 12_340_500_000,
        unpriced_tokens: 2048,
        ..LlmRow::default()
    };
    llm.merge(Fact::LlmUsage(LlmUsage { rows: vec![row], ..LlmUsage::default() }.into()), ago(9));
    let credential = |status, available| Credential {
        status: Some(status),
        available: Some(available),
        ..Credential::default()
    };
    llm.merge(
        Fact::Credentials(vec![
            credential(CredentialStatus::Active, true),
            credential(CredentialStatus::Active, true),
            credential(CredentialStatus::Error, false),
        ]),
        ago(9),
    );
    for part_read in [Part::Credentials, Part::Usage] {
        llm.parts.insert(part_read, part(Outcome::Up, Some(ago(9)), 180));
    }
    llm
}

const ID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

fn silence() -> Arc<Silence> {
    let begin = ago(0).wall;
    Arc::new(Silence {
        id: ID.into(),
        matchers: vec!["target=edge".parse().unwrap()],
        starts_at: begin,
        ends_at: begin.saturating_add(Duration::from_secs(7200)),
        updated_at: begin,
        created_by: "ann".into(),
        comment: "the server moves".into(),
    })
}

fn alerts() -> Vec<ActiveAlert> {
    let node = ActiveAlert {
        alertname: "ProxymeterNodeDown",
        severity: Severity::Critical,
        target: "home".into(),
        kind: "node",
        subject: "FI-1".into(),
        step: "".into(),
        rule: None,
        state: AlertState::Pending,
        silenced_by: Vec::new(),
        active_since: ago(65).wall,
        summary: "Node is down.",
        reading: Reading::Down { cause: "error".into(), detail: None, until: None },
    };
    let user = ActiveAlert {
        alertname: "ProxymeterUserQuota",
        severity: Severity::Warning,
        kind: "user",
        subject: "alice".into(),
        step: "95%".into(),
        rule: Some("vip-quota".into()),
        state: AlertState::Firing,
        silenced_by: Vec::new(),
        active_since: ago(7200).wall,
        summary: "User has used up most or all of the data limit.",
        reading: Reading::Used { used: 48 << 30, limit: 50 << 30, resets: None },
        ..node.clone()
    };
    let suppressed = ActiveAlert {
        severity: Severity::Info,
        step: "80%".into(),
        state: AlertState::Suppressed,
        silenced_by: vec![ID.into()],
        active_since: ago(86_400).wall,
        ..user.clone()
    };
    let next = ActiveAlert { subject: "bob".into(), ..user.clone() };
    vec![node, user, suppressed, next]
}

/// What users of `home` used.
fn used() -> Vec<Move> {
    let long_ago = NOW.saturating_sub(Duration::from_secs(3 * 86_400));
    let user = |name: &str, total, last_read, may_be_reset| Move {
        name: name.into(),
        before: Some(0),
        total,
        last_read: Some(last_read),
        may_be_reset,
        ..Move::default()
    };
    let users = [
        ("ann", 734_003_200, NOW, false),
        ("bob", 21_474_836_480, long_ago, true),
        ("eve", 7, long_ago, true),
    ];
    users.map(|(name, total, last_read, may_be_reset)| user(name, total, last_read, may_be_reset)).into()
}

#[tokio::test(start_paused = true)]
async fn the_documentation_tells_what_is_answered() {
    let reports = vec![edge(), home(), large(), llm(), Report::new("new")];
    let alerts = ActiveAlerts { silences: [silence()].into(), ..ActiveAlerts::new(Vec::new(), alerts()) };
    let state = state(&reports, alerts, UserLabels::Name);
    let seen = Seen::now(&state);
    let query = api::alerts::Query::of(Some("limit=3")).unwrap();
    state.usage.saw("home", Counted::Users, used(), Duration::from_secs(600), NOW);
    state.usage.write().await;
    let used = api::usage::Query::of(Some("target=home&of=users&limit=2"), false).unwrap();
    let answers = [
        ("targets", api::targets::json(&seen).unwrap()),
        ("alerts", api::alerts::json(&seen, &query).unwrap()),
        ("silences", api::silences::json(&seen).unwrap()),
        ("usage", api::usage::page(&seen, &state.usage, &used).unwrap().text),
    ];
    let known = fs::read_to_string(PATH).unwrap();
    let sections: Vec<_> = known.split("\n## ").collect();
    assert_eq!(sections.len(), 1 + answers.len());

    let mut document = sections[0].to_owned();
    for (section, (name, answer)) in sections[1..].iter().zip(&answers) {
        assert!(section.starts_with(&format!("`GET /api/v1/{name}`")));
        let json: Value = serde_json::from_slice(answer).unwrap();
        let (before, rest) = section.split_once("```json\n").unwrap();
        let (_, after) = rest.split_once("```").unwrap();
        let example = indented(std::str::from_utf8(answer).unwrap());
        assert_eq!(serde_json::from_str::<Value>(&example).unwrap(), json);
        document += &format!("\n## {before}```json\n{example}```{after}");

        // Every field is explained, and every field that is explained is there.
        let mut fields = BTreeSet::new();
        collect(&json["data"], &mut fields);
        let rows = after.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let mut explained: BTreeSet<_> = rows.map(str::to_owned).collect();
        explained.insert((*name).to_owned());
        assert_eq!(fields, explained);
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PATH, &document).unwrap();
    } else {
        assert_eq!(document, known, "the examples differ; UPDATE_GOLDEN=1 rewrites them");
    }
}

fn collect(value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            fields.insert(name.clone());
            collect(value, fields);
        }),
        Value::Array(list) => list.iter().for_each(|value| collect(value, fields)),
        _ => {}
    }
}

/// JSON as people write it, in the order it has.
fn indented(json: &str) -> String {
    let (mut text, mut depth, mut in_string, mut escaped) = (String::new(), 0, false, false);
    let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
    let mut chars = json.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
        match c {
            _ if in_string => text.push(c),
            '{' | '[' if matches!(chars.peek(), Some('}' | ']')) => {
                text.extend([c].into_iter().chain(chars.next()));
            }
            '{' | '[' => {
                depth += 1;
                text += &format!("{c}{}", line(depth));
            }
            '}' | ']' => {
                depth -= 1;
                text += &format!("{}{c}", line(depth));
            }
            ',' => text += &format!(",{}", line(depth)),
            ':' => text += ": ",
            _ => text.push(c),
        }
    }
    text + "\n"
}
