//! `silence add`, `silence list` and `silence expire`: they ask a running exporter over HTTP.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    exit::Done,
    exporter::{Asked, Exporter, columns, plain},
};
use crate::{
    clock::Clock,
    model::{KIND_USER, MatchOp, Matcher, Silence, Timestamp, words::duration},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds a silence and prints its id. Alerts that all matchers fit send no notifications until it ends.
    Add(Add),
    /// Lists silences.
    List(List),
    /// Ends silences now.
    Expire(Expire),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// LABEL=VALUE, or != for what differs, =~ and !~ for regular expressions of whole values. A word alone is an alert
    /// name. Labels are those of webhooks: alertname, target, system, kind, subject, step, severity, rule.
    #[arg(value_name = "MATCHER")]
    matchers: Vec<Matcher>,
    /// Alerts of this target: target="NAME".
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Alerts about this user: kind="user" and subject="NAME".
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// How long, such as 30m, 2h or 3d.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    length: Duration,
    /// When it begins, such as 2026-11-18T22:00:00Z. Default: now.
    #[arg(long = "from", value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Why, for others who look at it.
    #[arg(long, value_name = "TEXT")]
    comment: String,
    /// Who adds it. Default: the user's name on this machine.
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    #[command(flatten)]
    exporter: Exporter,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Also those that have expired in the last five days.
    #[arg(long)]
    expired: bool,
    /// A table, or JSON in Alertmanager's form.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    #[command(flatten)]
    exporter: Exporter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Expire {
    /// As "silence add" and "silence list" print it.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    exporter: Exporter,
}

impl Command {
    pub(super) async fn run(self) -> Done {
        match self {
            Command::Add(add) => add.run().await,
            Command::List(list) => list.run().await,
            Command::Expire(expire) => expire.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Done {
        let now = Clock::system().now().wall;
        let silence = self.silence(now)?;
        let matchers = silence.matchers.iter().map(|matcher| {
            let (is_regex, is_equal) = (matcher.op().is_regex(), matcher.op().is_equal());
            json!({ "name": matcher.name(), "value": matcher.value(), "isRegex": is_regex, "isEqual": is_equal })
        });
        let mut body = json!({
            "matchers": matchers.collect::<Vec<_>>(),
            "endsAt": rfc3339(silence.ends_at),
            "createdBy": silence.created_by,
            "comment": silence.comment,
        });
        if self.from.is_some() {
            body["startsAt"] = rfc3339(silence.starts_at).into();
        }
        let answer = self.exporter.ask(Asked::Add(body.to_string())).await?;
        let id = answer["silenceID"].as_str().ok_or("the answer has no id of a silence")?;
        writeln!(io::stdout().lock(), "{}", plain(id))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The silence, checked before anything is asked.
    fn silence(&self, now: Timestamp) -> Result<Silence, String> {
        let equal = |name: &str, value: &str| Matcher::new(name, MatchOp::Equal, value);
        let mut matchers = self.matchers.clone();
        if let Some(target) = &self.target {
            matchers.push(equal("target", target)?);
        }
        if let Some(user) = &self.user {
            matchers.extend([equal("kind", KIND_USER)?, equal("subject", user)?]);
        }
        if matchers.is_empty() {
            return Err(
                "say what to silence: --target NAME, --user NAME or a matcher such as severity=warning"
                    .into(),
            );
        }
        let starts_at = self.from.unwrap_or(now);
        let silence = Silence {
            id: "".into(),
            matchers,
            starts_at,
            ends_at: starts_at.saturating_add(self.length),
            updated_at: now,
            created_by: self.author.clone().or_else(user_name).ok_or("write --author NAME")?,
            comment: self.comment.clone(),
        };
        silence.checked(now)
    }
}

/// Who runs this command, also by way of sudo.
fn user_name() -> Option<String> {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter();
    names.filter_map(|name| std::env::var(name).ok()).find(|name| !name.is_empty())
}

/// A silence as the exporter tells it.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    id: String,
    matchers: Vec<ToldMatcher>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
    status: Status,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldMatcher {
    name: String,
    value: String,
    is_regex: bool,
    is_equal: bool,
}

#[derive(Deserialize, Serialize)]
struct Status {
    state: String,
}

impl List {
    async fn run(self) -> Done {
        let answer = self.exporter.ask(Asked::List).await?;
        let Value::Array(mut silences) = answer["silences"].clone() else {
            return Err("the answer has no list of silences".into());
        };
        silences.retain(|silence| self.expired || silence["status"]["state"] != "expired");
        let mut out = io::stdout().lock();
        if self.format == Format::Json {
            writeln!(out, "{}", serde_json::to_string_pretty(&silences)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let told = silences.into_iter().map(serde_json::from_value).collect::<Result<Vec<Told>, _>>()?;
        write!(out, "{}", table(&told, Clock::system().now().wall))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The silences, a line each, in columns.
fn table(silences: &[Told], now: Timestamp) -> String {
    if silences.is_empty() {
        return "No silences.\n".to_owned();
    }
    let mut rows = vec![["ID", "STATE", "TIME", "BY", "MATCHERS", "COMMENT"].map(str::to_owned)];
    rows.extend(silences.iter().map(|told| {
        let span = |text: &str| {
            let time = time(text).unwrap_or(now);
            duration(time.since(now).max(now.since(time)))
        };
        let time = match &*told.status.state {
            "pending" => format!("begins in {}", span(&told.starts_at)),
            "expired" => format!("ended {} ago", span(&told.ends_at)),
            _ => format!("ends in {}", span(&told.ends_at)),
        };
        let matchers = told.matchers.iter().map(|ToldMatcher { name, value, is_regex, is_equal }| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            format!("{name}{}\"{value}\"", MatchOp::of(*is_regex, *is_equal).label())
        });
        let matchers = matchers.collect::<Vec<_>>().join(" ");
        [&told.id, &told.status.state, &time, &told.created_by, &matchers, &told.comment]
            .map(|text| plain(text))
    }));
    columns(&rows, &[])
}

impl Expire {
    async fn run(self) -> Done {
        for id in &self.ids {
            self.exporter.ask(Asked::Expire(id.clone())).await.map_err(|why| format!("{id}: {why}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let time = text.parse::<jiff::Timestamp>();
    let time = time.map_err(|_| format!("{text:?} is not a time; write it as 2026-11-18T22:00:00Z"))?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis()).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        add: Add,
    }

    fn added(arguments: &[&str]) -> Result<Silence, String> {
        let fixed = ["add", "--comment=why", "--author=ann"];
        let line = Line::try_parse_from(fixed.iter().chain(arguments)).map_err(|err| err.to_string())?;
        line.add.silence(NOW)
    }

    #[test]
    fn arguments_become_a_silence() {
        let cases: [(&[&str], &str); 5] = [
            (&["--target=edge"], r#"target="edge""#),
            (&["--user=ann", "--target", "edge"], r#"target="edge" kind="user" subject="ann""#),
            (&["ProxymeterNodeDown", "subject=~DE-.*"], r#"alertname="ProxymeterNodeDown" subject=~"DE-.*""#),
            (
                &["severity!=critical", "target!~\"a|b\"", "kind=node"],
                r#"severity!="critical" kind="node" target!~"a|b""#,
            ),
            (&["--user=a=b"], r#"kind="user" subject="a=b""#),
        ];
        for (arguments, expected) in cases {
            let silence = added(&[arguments, &["--for=2h"]].concat()).unwrap();
            let matchers = silence.matchers.iter().map(Matcher::to_string).collect::<Vec<_>>().join(" ");
            assert_eq!(matchers, expected);
            assert_eq!((silence.starts_at, silence.ends_at), (NOW, NOW.saturating_add_millis(7_200_000)));
        }
        let later = added(&["--target=edge", "--for=1d", "--from=2026-11-19T11:06:40Z"]).unwrap();
        assert_eq!(later.starts_at, NOW.saturating_add_millis(86_400_000));
        assert_eq!(later.ends_at, NOW.saturating_add_millis(2 * 86_400_000));
    }

    #[test]
    fn mistakes_are_found_before_anything_is_asked() {
        let cases: [(&[&str], &str); 7] = [
            (&["--for=2h"], "say what to silence: --target NAME"),
            (&["--target=edge"], "--for <DURATION>"),
            (&["--target=edge", "--for=0s"], "the end is in the past"),
            (&["--target=edge", "--for=soon"], "invalid value 'soon' for '--for <DURATION>'"),
            (&["user=ann", "--for=2h"], "no alert has the label \"user\""),
            (&["target=~[", "--for=2h"], "no regular expression"),
            (&["--target=edge", "--for=2h", "--from=tomorrow"], "is not a time; write it as 2026-"),
        ];
        for (arguments, why) in cases {
            let refused = added(arguments).unwrap_err();
            assert!(refused.contains(why), "{arguments:?}: {refused}");
        }
    }

    #[test]
    fn a_table_has_a_line_for_each() {
        let told = |id: &str, state: &str, comment: &str| Told {
            id: id.into(),
            matchers: vec![ToldMatcher {
                name: "target".into(),
                value: "e\"dge".into(),
                is_regex: true,
                is_equal: false,
            }],
            starts_at: rfc3339(NOW.saturating_add_millis(60_000)),
            ends_at: rfc3339(NOW.saturating_sub(Duration::from_secs(7260))),
            created_by: "ann".into(),
            comment: comment.into(),
            status: Status { state: state.into() },
        };
        let list = [told("1", "pending", "why\x1b[2J"), told("22", "expired", "b")];
        let expected = [
            r#"ID  STATE    TIME             BY   MATCHERS          COMMENT"#,
            "1   pending  begins in 1m     ann  target!~\"e\\\"dge\"  why\u{fffd}[2J",
            r#"22  expired  ended 2h 1m ago  ann  target!~"e\"dge"  b"#,
        ];
        assert_eq!(table(&list, NOW), expected.map(|line| format!("{line}\n")).concat());
        assert_eq!(table(&[], NOW), "No silences.\n");
    }
}
