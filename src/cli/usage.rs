//! `usage`: what users, admins, nodes and client keys used by day or month. It asks a running exporter over HTTP.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use form_urlencoded::Serializer;

use super::{
    exit::Done,
    exporter::{Asked, Exporter, columns, plain},
};
use crate::{
    model::{
        Day, Month,
        words::{bytes, count},
    },
    server::{UsageLine, usage_csv},
};

/// The most lines that are read and printed. For more, ask for fewer days at a time.
const MOST: usize = 1_000_000;

#[derive(Debug, Args)]
pub(super) struct Usage {
    /// What this target used. Default: the sums of all targets.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    #[command(flatten)]
    of: Of,
    /// First day or month, such as 2026-11-01 or 2026-11. With --by=month, a day means its month. Default: as far as it is kept, 62 days or 24 months.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Last day or month. Default: the present one.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Sums of days or of months.
    #[arg(long, value_name = "PERIOD", default_value = "day")]
    by: By,
    /// A table, CSV or JSON.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    #[command(flatten)]
    exporter: Exporter,
}

/// Of whom: one at most.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
struct Of {
    /// What this user used.
    #[arg(long, value_name = "NAME", requires = "target")]
    user: Option<String>,
    /// What the users of this admin used together.
    #[arg(long, value_name = "NAME", requires = "target")]
    admin: Option<String>,
    /// What went through this node.
    #[arg(long, value_name = "NAME", requires = "target")]
    node: Option<String>,
    /// Tokens of this client key of an LLM proxy.
    #[arg(long, value_name = "NAME", requires = "target")]
    key: Option<String>,
    /// Each one of the target.
    #[arg(long = "each", value_name = "KIND", requires = "target")]
    each: Option<Each>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Each {
    User,
    Admin,
    Node,
    Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Day,
    Month,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

impl Usage {
    pub(super) async fn run(self) -> Done {
        let mut lines: Vec<UsageLine> = Vec::new();
        let mut after = None;
        loop {
            let mut data = self.exporter.ask(Asked::Usage(self.query(after.as_deref())?)).await?;
            let found = serde_json::from_value::<Vec<UsageLine>>(data["usage"].take())
                .map_err(|_| "the answer has no list of use")?;
            lines.extend(found);
            after = data["next"].as_str().map(str::to_owned);
            if after.is_none() {
                break;
            }
            if lines.len() >= MOST {
                return Err(format!("more than {MOST} lines; ask for fewer days with --from and --to").into());
            }
        }
        // The exporter has them by period alone.
        lines.sort_by(|one, other| {
            let periods = (&one.target, &one.period).cmp(&(&other.target, &other.period));
            periods.then_with(|| one.name.cmp(&other.name))
        });
        // A program gets the names as they are.
        let lines =
            if io::stdout().is_terminal() { lines.into_iter().map(harmless).collect() } else { lines };
        let text = match self.format {
            Format::Table => table(&lines),
            Format::Csv => usage_csv(lines),
            Format::Json => serde_json::to_string_pretty(&lines)? + "\n",
        };
        io::stdout().lock().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    /// The parameters of a URL, checked before anything is asked.
    fn query(&self, after: Option<&str>) -> Result<String, String> {
        let by = match self.by {
            By::Day => "day",
            By::Month => "month",
        };
        let mut query = Serializer::new(String::new());
        query.append_pair("by", by).append_pair("format", "json");
        for (name, value) in [("from", &self.from), ("to", &self.to)] {
            let Some(value) = value else { continue };
            let period = match self.by {
                By::Day => value.parse::<Day>().map(|day| day.to_string()),
                By::Month => Month::of_text(value).map(|month| month.to_string()),
            };
            query.append_pair(name, &period.map_err(|why| format!("--{name}: {why}"))?);
        }
        let Of { user, admin, node, key, each } = &self.of;
        let each = each.map(|each| {
            let word = match each {
                Each::User => "users",
                Each::Admin => "admins",
                Each::Node => "nodes",
                Each::Key => "keys",
            };
            word.to_owned()
        });
        let of = [("user", user), ("admin", admin), ("node", node), ("key", key), ("of", &each)];
        for (name, value) in [("target", &self.target)].into_iter().chain(of) {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if let Some(after) = after {
            query.append_pair("after", after);
        }
        Ok(query.finish())
    }
}

/// A line for a terminal, whatever the exporter that was asked says.
fn harmless(line: UsageLine) -> UsageLine {
    let UsageLine { period, target, kind, name, used, unit, gap, reset } = line;
    let [period, target, kind, name, unit] = [period, target, kind, name, unit].map(|text| plain(&text));
    UsageLine { period, target, kind, name, used, unit, gap, reset }
}

/// A line for each period and subject, in columns.
fn table(lines: &[UsageLine]) -> String {
    if lines.is_empty() {
        return "Nothing was used, or nothing is known of it.\n".to_owned();
    }
    let mut rows = vec![["TARGET", "PERIOD", "KIND", "NAME", "USED", "NOTE"].map(str::to_owned)];
    rows.extend(lines.iter().map(|line| {
        let UsageLine { period, target, kind, name, used, unit, gap, reset } = line;
        let used = if unit == "bytes" { bytes(*used) } else { format!("{} {unit}", count(*used)) };
        let notes = [(*gap, "gap"), (*reset, "reset")];
        let notes: Vec<_> = notes.iter().filter_map(|(holds, word)| holds.then_some(*word)).collect();
        [plain(target), plain(period), plain(kind), plain(name), used, notes.join(" ")]
    }));
    let mut text = columns(&rows, &[4]);
    if lines.iter().any(|line| line.gap) {
        text.push_str("gap: nothing was read for a while around the end of a period, so part of it may belong to the other one.\n");
    }
    if lines.iter().any(|line| line.reset) {
        text.push_str("reset: the panel reset its count, so what was used just before is not in it.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        usage: Usage,
    }

    fn query(arguments: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from(["usage"].iter().chain(arguments)).map_err(|err| err.to_string())?;
        line.usage.query(None)
    }

    #[test]
    fn arguments_become_parameters() {
        let cases: [(&[&str], &str); 5] = [
            (&[], "by=day&format=json"),
            (&["--target=home", "--user=a b"], "by=day&format=json&target=home&user=a+b"),
            (&["--by=month", "--from=2026-10"], "by=month&format=json&from=2026-10"),
            (
                &["--by=month", "--from=2026-10-31", "--to=2026-11-01"],
                "by=month&format=json&from=2026-10&to=2026-11",
            ),
            (
                &["--target=home", "--each=admin", "--to=2026-11-18"],
                "by=day&format=json&to=2026-11-18&target=home&of=admins",
            ),
        ];
        for (arguments, expected) in cases {
            assert_eq!(query(arguments).unwrap(), expected);
        }
        let mistakes: [(&[&str], &str); 5] = [
            (&["--user=ann"], "--target <NAME>"),
            (&["--target=home", "--user=ann", "--node=de"], "cannot be used with"),
            (&["--from=yesterday"], "--from: \"yesterday\" is not a day; write it as 2026-11-27"),
            (&["--by=month", "--to=2026-11-31"], "--to: \"2026-11-31\" is not a month"),
            (&["--by=week"], "invalid value 'week'"),
        ];
        for (arguments, why) in mistakes {
            let refused = query(arguments).unwrap_err();
            assert!(refused.contains(why), "{arguments:?}: {refused}");
        }
    }

    #[test]
    fn a_table_has_a_line_for_each() {
        let line = |period: &str, name: &str, used: u64, unit: &str, gap: bool| UsageLine {
            period: period.into(),
            target: "home".into(),
            kind: "user".into(),
            name: name.into(),
            used,
            unit: unit.into(),
            gap,
            reset: false,
        };
        let lines = [
            line("2026-11-17", "ann\x1b[2J\u{202e}", 1_500_000_000, "bytes", false),
            line("2026-11-18", "b", 12_345, "tokens", true),
        ];
        let text = table(&lines);
        let expected = [
            "TARGET  PERIOD      KIND  NAME               USED  NOTE",
            "home    2026-11-17  user  ann\u{fffd}[2J\u{fffd}        1.3 GiB",
            "home    2026-11-18  user  b         12,345 tokens  gap",
        ];
        assert_eq!(text.lines().take(3).collect::<Vec<_>>(), expected);
        assert!(text.lines().nth(3).unwrap().starts_with("gap: ") && text.lines().count() == 4);
        assert!(table(&[]).starts_with("Nothing"));
        let csv = |lines: Vec<UsageLine>| usage_csv(lines).lines().nth(1).unwrap().to_owned();
        let [hostile, _] = lines;
        let csv_of = |name: &str| format!("2026-11-17,home,user,{name},1500000000,bytes,false,false");
        assert_eq!(csv(vec![hostile.clone()]), csv_of("ann\x1b[2J\u{202e}"));
        assert_eq!(csv(vec![harmless(hostile)]), csv_of("ann\u{fffd}[2J\u{fffd}"));
    }
}
