use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::exit::Done;
use crate::{
    clock::Clock,
    config::Config,
    daemon,
    model::{NoticeStatus, Severity},
    notify::OwnAlert,
};

/// Sends a labelled test notification to one receiver once, as other notifications are sent, and prints the answer.
pub(super) async fn run(config: &Config, name: &str) -> Done {
    let Some(table) = config.receivers.iter().find(|table| table.name == name) else {
        let names: Vec<_> = config.receivers.iter().map(|table| table.name.as_str()).collect();
        let known = if names.is_empty() {
            "none is configured".into()
        } else {
            format!("the receivers are: {}", names.join(", "))
        };
        return Err(format!("there is no receiver {name}; {known}").into());
    };
    let mut receiver =
        daemon::receiver(table, &config.web.external_url).map_err(|why| format!("receiver {name}: {why}"))?;
    let now = Clock::system().now();
    let test = OwnAlert {
        alertname: "ProxymeterTest",
        severity: Severity::Info,
        status: NoticeStatus::Firing,
        since: now.wall,
        kind: "receiver",
        subject: name,
        summary: "Test of a receiver.",
        description: "This is a test, sent by hand. Nothing is wrong.",
        reason: "test",
    };
    let answer = receiver.send(&test.notice(name, now.wall), &mut Vec::new(), now).await;
    let answer =
        answer.map_err(|err| format!("receiver {name} did not accept it ({}): {err}", err.reason.label()))?;
    writeln!(io::stdout().lock(), "receiver {name} accepted it: {answer}")?;
    Ok(ExitCode::SUCCESS)
}
