//! Checks a configuration, and shows what it says.

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use super::exit::Done;
use crate::{
    alert::rule::{KINDS, Rules},
    config::{Config, ConfigErrors, MOST, ReceiverTable, StatementConfig, Target, and_more, origin},
    daemon,
    model::Severity,
    server::{access::AccessError, config::AccessConfig},
};

/// The most names that one line lists.
const MOST_NAMES: usize = 10;

/// Reports what is wrong with a configuration and with the access settings that override it.
pub(super) fn run(
    file: &Path,
    mut loaded: Result<Config, ConfigErrors>,
    access: Result<Option<AccessConfig>, AccessError>,
) -> Done {
    let mut err = io::stderr().lock();
    let is_refused = match access {
        Err(mistakes) => {
            writeln!(err, "{mistakes}")?;
            true
        }
        Ok(access) => {
            if let (Ok(loaded), Some(access)) = (&mut loaded, access) {
                loaded.web.access = access;
            }
            false
        }
    };
    let loaded = loaded?;
    let file = file.display();
    let (warnings, errors) = (loaded.warnings(), daemon::check(&loaded));
    write_first(&mut err, &"warning", &warnings)?;
    write_first(&mut err, &file, &errors)?;
    if !errors.is_empty() || is_refused {
        return Ok(ExitCode::FAILURE);
    }
    io::stdout().lock().write_all(summary(&file.to_string(), &loaded).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the first lines, and how many more there are.
fn write_first(to: &mut impl Write, head: &dyn Display, lines: &[impl Display]) -> io::Result<()> {
    for line in lines.iter().take(MOST) {
        writeln!(to, "{head}: {line}")?;
    }
    if lines.len() > MOST {
        writeln!(to, "{}", and_more(lines.len() - MOST))?;
    }
    Ok(())
}

/// What a valid configuration says, without secrets: the number of targets first, which scripts read.
fn summary(file: &str, config: &Config) -> String {
    let names = config.targets.iter().map(|target| target.name.as_str());
    let targets = config.targets.len();
    let mut text = if config.shard.is_whole() {
        format!("{file} is valid: {targets} targets\n")
    } else {
        let (all, shard) = (config.targets_of_all_shards(), config.shard);
        let names = some_of(names.collect());
        let colon = if names.is_empty() { "" } else { ": " };
        format!("{file} is valid: {targets} of {all} targets belong to shard {shard}{colon}{names}\n")
    };
    let alerting = if config.alerting.enabled { "" } else { "; notifications are off" };
    let heartbeat = config.heartbeat.as_ref().map(|heartbeat| {
        let interval = humantime::format_duration(heartbeat.interval);
        format!("{}, every {interval}", origin(&heartbeat.url))
    });
    let lists = [
        ("targets", rows(&config.targets, target)),
        ("receivers", rows(&config.receivers, receiver)),
        ("statements", statements(config)),
        ("rules", vec![rules(config) + alerting]),
        ("heartbeat", vec![heartbeat.unwrap_or_else(|| "none".to_owned())]),
        ("storage", vec![config.storage.path.display().to_string()]),
        ("listen", listen(config)),
    ];
    for (head, lines) in lists {
        let mut head = head;
        for line in lines {
            text += format!("  {head:<10}  {line}").trim_end();
            text.push('\n');
            head = "";
        }
    }
    text
}

/// Lines with aligned columns, one for each item up to [`MOST`].
fn rows<T>(items: &[T], columns: impl Fn(&T) -> [String; 4]) -> Vec<String> {
    if items.is_empty() {
        return vec!["none".to_owned()];
    }
    let shown: Vec<_> = items.iter().take(MOST).map(columns).collect();
    let width = |column: usize| shown.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2)];
    let mut lines: Vec<_> = shown
        .iter()
        .map(|[a, b, c, d]| format!("{a:<0$}  {b:<1$}  {c:<2$}  {d}", widths[0], widths[1], widths[2]))
        .collect();
    if items.len() > MOST {
        lines.push(and_more(items.len() - MOST));
    }
    lines
}

fn target(target: &Target) -> [String; 4] {
    let way = if target.endpoint().proxy.is_some() { ", through a proxy" } else { "" };
    [target.name.clone(), target.word().to_owned(), target.url().origin(), format!("{}{way}", target.login())]
}

fn receiver(receiver: &ReceiverTable) -> [String; 4] {
    let severity = match receiver.kind.common().min_severity {
        Severity::Info => "all alerts",
        Severity::Warning => "warning and critical",
        Severity::Critical => "critical alone",
    };
    let servers = receiver.kind.servers();
    let servers = some_of(servers.iter().map(String::as_str).collect());
    [receiver.name.clone(), receiver.kind.word().to_owned(), servers, severity.to_owned()]
}

/// Each statement: what it is about, and when it is sent. To whom is not shown.
fn statements(config: &Config) -> Vec<String> {
    if config.statements.is_empty() {
        return vec!["none".to_owned()];
    }
    let zone = config.alerting.zone.iana_name().unwrap_or("UTC");
    rows(&config.statements, |statement| {
        let StatementConfig { name, receiver, to: _, target, admin, day, at } = statement;
        let of = admin.as_ref().map_or("all users", |_| "an admin");
        let time = format!("day {day}, {:02}:{:02} {zone}", at / 60, at % 60);
        [name.clone(), format!("{target}, {of}"), format!("by {receiver}"), time]
    })
}

/// How many rules are in force, and the names of those that are not.
fn rules(config: &Config) -> String {
    let rules = Rules::new(&config.alerting).map(|rules| rules.list().to_vec()).unwrap_or_default();
    let in_force = |name: &str| rules.iter().any(|rule| &*rule.name == name);
    let own = config.alerting.rules.keys().map(String::as_str);
    let own = own.filter(|name| !KINDS.iter().any(|kind| kind.name == *name));
    let off: Vec<_> = KINDS.iter().map(|kind| kind.name).chain(own).filter(|name| !in_force(name)).collect();
    let head = format!("{} in force", rules.len());
    if off.is_empty() { head } else { format!("{head}; off: {}", some_of(off)) }
}

fn listen(config: &Config) -> Vec<String> {
    let protection = config.web.access.check().ok();
    let scheme = if protection.is_some_and(|port| port.tls) { "https" } else { "http" };
    let login = match protection {
        Some(port) if port.credentials => "with a password or token",
        Some(port) if port.client_certificates => "with a client certificate",
        Some(_) | None => "without a password",
    };
    config.web.listen.iter().take(MOST).map(|address| format!("{scheme}://{address}, {login}")).collect()
}

/// Names with commas between them, up to [`MOST_NAMES`].
fn some_of(mut names: Vec<&str>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    names.truncate(MOST_NAMES);
    let listed = names.join(", ");
    if more > 0 { format!("{listed}, {}", and_more(more)) } else { listed }
}
