//! Targets: the table of all, and what the page of one has of its parts, nodes and credentials.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    list::{Asked, Column, Table},
    text::name,
    trouble::{Trouble, reason_of, troubles},
};
use crate::{
    model::{
        Credential, Moment, Node, Outcome, Part, PartState, Reason, Report,
        words::{bytes, count, duration},
    },
    server::target::{Counts, TargetState, is_stale},
    wording::Voice,
};

#[derive(Serialize)]
pub(super) struct Target {
    name: String,
    /// Its page, below that of all.
    link: String,
    state: TargetState,
    system: &'static str,
    version: String,
    /// Since the newest good answer.
    answered: Option<String>,
    facts: Vec<Fact>,
    /// How far a first read of a long user list is; absent: none goes on.
    first_read: Option<String>,
    /// What is wrong, each cause once.
    troubles: Vec<Trouble>,
}

/// Something known about a target, e.g. `nodes up`: `2 of 3`.
#[derive(Serialize)]
struct Fact {
    word: &'static str,
    value: String,
}

/// What the table of all is sorted by, and a target is shown from.
struct Row<'r> {
    report: &'r Report,
    state: TargetState,
    counts: Counts,
}

/// The table of all targets.
pub(super) fn table(reports: &[Arc<Report>], asked: &Asked, now: Moment) -> Table<Target> {
    let rows = reports.iter().map(|report| Row::new(report, now)).collect();
    let columns: [Column<Row<'_>>; 3] = [
        Column::text("target", "target", |a, b| a.report.target.cmp(&b.report.target)),
        Column::descending("state", "state", |a, b| severity(a.state).cmp(&severity(b.state))),
        Column::descending("users", "users", |a, b| a.counts.users.cmp(&b.counts.users)),
    ];
    Table::new(rows, &columns, asked, |row| Target::of(&row, now))
}

impl<'r> Row<'r> {
    fn new(report: &'r Report, now: Moment) -> Self {
        Row { report, state: TargetState::of(report, now), counts: Counts::of(report, now) }
    }
}

/// The worst state is the largest.
fn severity(state: TargetState) -> u8 {
    match state {
        TargetState::Up => 0,
        TargetState::NotTried => 1,
        TargetState::PartlyStale => 2,
        TargetState::Down => 3,
    }
}

impl Target {
    pub(super) fn new(report: &Report, now: Moment) -> Self {
        Target::of(&Row::new(report, now), now)
    }

    fn of(&Row { report, state, counts }: &Row<'_>, now: Moment) -> Self {
        let answered =
            report.parts.values().filter_map(|known| known.last_data).map(|at| now.since(at)).min();
        let identity = report.identity.as_ref();
        Target {
            name: name(&report.target),
            link: report.target.to_string(),
            state,
            system: identity.map(|identity| identity.system.label()).unwrap_or_default(),
            version: identity.map(|identity| name(&identity.version)).unwrap_or_default(),
            answered: answered.map(duration),
            facts: facts(report, counts, now),
            first_read: report.first_read().map(|walk| walk.words()),
            troubles: troubles(report, now),
        }
    }
}

/// What is known and not stale. What a system does not have is not listed.
fn facts(report: &Report, counts: Counts, now: Moment) -> Vec<Fact> {
    let of_all = |some: Option<u64>, all: Option<u64>| {
        let (some, all) = some.zip(all).filter(|(_, all)| *all > 0)?;
        Some(format!("{} of {}", count(some), count(all)))
    };
    let credentials = (!report.credentials.is_empty() && report.fresh(Part::Credentials, now))
        .then(|| count(report.credentials.len()));
    let of_list = |number: usize| (number > 0 && report.fresh(Part::Users, now)).then(|| count(number));
    let facts = [
        ("users", counts.users.map(count)),
        ("panel counts", counts.counted_otherwise.map(count)),
        ("unreadable users", of_list(report.users.unreadable().rows)),
        ("users left out", of_list(report.users.omitted())),
        ("online", counts.users_online.map(count)),
        ("nodes up", of_all(counts.nodes_up, counts.nodes)),
        ("inbounds on", of_all(counts.inbounds_enabled, counts.inbounds)),
        ("outbounds up", of_all(counts.outbounds_up, counts.outbounds)),
        ("credentials", credentials),
    ];
    facts.into_iter().filter_map(|(word, value)| Some(Fact { word, value: value? })).collect()
}

#[derive(Serialize)]
pub(super) struct PartRow {
    name: &'static str,
    state: &'static str,
    /// Empty: it does not fail by itself at present.
    why: String,
    /// Its word in metrics and logs.
    reason: &'static str,
    stale: bool,
    age: Option<String>,
    took: Option<String>,
}

impl PartRow {
    /// Each part that was tried.
    pub(super) fn all(report: &Report, now: Moment) -> Vec<Self> {
        report.parts.iter().map(|(part, known)| PartRow::new(report, *part, known, now)).collect()
    }

    fn new(report: &Report, part: Part, known: &PartState, now: Moment) -> Self {
        let state = match &known.outcome {
            Outcome::Refused => "not allowed",
            Outcome::Failed { .. } => "failing",
            Outcome::Up | Outcome::Pending if report.unreachable.is_some() => "waits for the target",
            Outcome::Up => "up",
            Outcome::Pending => "being read",
        };
        let reason = reason_of(&known.outcome);
        PartRow {
            name: part.label(),
            state,
            why: reason.map(|reason| Voice::default().cause(reason.label())).unwrap_or_default(),
            reason: reason.map(Reason::label).unwrap_or_default(),
            stale: is_stale(report, part, now),
            age: known.last_success.map(|at| duration(now.since(at))),
            took: known.duration.map(took),
        }
    }
}

/// Whole milliseconds of what is short.
fn took(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{} ms", count(time.as_millis())) } else { duration(time) }
}

#[derive(Serialize)]
pub(super) struct NodeRow {
    name: String,
    /// Absent: the last answer did not say.
    state: Option<&'static str>,
    class: &'static str,
    version: String,
    traffic: Option<String>,
    online: Option<String>,
}

/// The nodes of a target; absent: it has none, or their list is stale.
pub(super) fn nodes(report: &Report, asked: &Asked, now: Moment) -> Option<Table<NodeRow>> {
    if report.nodes.is_empty() || !report.fresh(Part::Nodes, now) {
        return None;
    }
    let usage = report.usage.iter().filter(|_| report.fresh(Part::Usage, now));
    let usage: HashMap<_, _> = usage.map(|usage| (&usage.node, usage.bytes())).collect();
    let bytes_of = |node: &Node| node.bytes().or_else(|| usage.get(&node.label).copied());
    let rows: Vec<_> = report.nodes.iter().map(|node| (node, bytes_of(node))).collect();
    let columns: [Column<(&Node, Option<u64>)>; 5] = [
        Column::text("node", "Node", |a, b| a.0.label.cmp(&b.0.label)),
        Column::text("state", "State", |a, b| a.0.status.label().cmp(b.0.status.label())),
        Column::text("version", "Version", |a, b| a.0.version.cmp(&b.0.version)),
        Column::number("online", "Users online", |a, b| a.0.users_online.cmp(&b.0.users_online)),
        Column::number("traffic", "Traffic", |a, b| a.1.cmp(&b.1)),
    ];
    Some(Table::new(rows, &columns, asked, |(node, traffic)| NodeRow {
        name: name(&node.label),
        state: Some(node.status.label()).filter(|_| !node.status_unread),
        class: node_class(node),
        version: node.version.as_deref().map(name).unwrap_or_default(),
        traffic: traffic.map(bytes),
        online: node.users_online.map(count),
    }))
}

fn node_class(node: &Node) -> &'static str {
    use crate::model::NodeStatus::{Connected, Connecting, Disabled, Error, Limited, Unknown};
    match node.status {
        _ if node.status_unread => "info",
        Connected => "good",
        Error => "critical",
        Connecting | Limited => "warning",
        Disabled | Unknown => "info",
    }
}

#[derive(Serialize)]
pub(super) struct CredentialRow {
    name: String,
    provider: String,
    state: &'static str,
    class: &'static str,
    /// Why it is not available; empty: it is, or it is switched off.
    cause: &'static str,
    attempts: Option<String>,
    failed: Option<String>,
}

/// The credentials of an LLM proxy; absent: it has none, or their list is stale.
pub(super) fn credentials(report: &Report, asked: &Asked, now: Moment) -> Option<Table<CredentialRow>> {
    if report.credentials.is_empty() || !report.fresh(Part::Credentials, now) {
        return None;
    }
    let columns: [Column<&Credential>; 5] = [
        Column::text("credential", "Credential", |a, b| a.label.cmp(&b.label)),
        Column::text("provider", "Provider", |a, b| a.provider.cmp(&b.provider)),
        Column::text("state", "State", |a, b| a.status_word().cmp(b.status_word())),
        Column::number("attempts", "Attempts", |a, b| a.requests.cmp(&b.requests)),
        Column::number("failed", "Failed", |a, b| a.failed.cmp(&b.failed)),
    ];
    let rows = report.credentials.iter().collect();
    Some(Table::new(rows, &columns, asked, |credential| CredentialRow {
        name: name(&credential.label),
        provider: name(&credential.provider),
        state: credential.status_word(),
        class: match credential.available {
            Some(true) => "good",
            Some(false) if !credential.is_disabled() => "critical",
            Some(false) | None => "info",
        },
        cause: if credential.is_disabled() { "" } else { credential.cause },
        attempts: credential.requests.map(count),
        failed: credential.failed.map(count),
    }))
}
