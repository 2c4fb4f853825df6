use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
};

use super::Done;
use crate::{
    clock::Clock,
    config::Config,
    daemon,
    model::{Moment, Notice, NoticeAlert, NoticeStatus, Severity},
    notify,
};

/// Sends a labelled test to one receiver by the way that notices take, once, and prints what it said.
pub(super) async fn run(config: &Config, name: &str) -> Done {
    let Some(table) = config.receivers.iter().find(|table| table.name == name) else {
        let names: Vec<_> = config.receivers.iter().map(|table| table.name.as_str()).collect();
        let known = if names.is_empty() {
            "none is configured".into()
        } else {
            format!("there are: {}", names.join(", "))
        };
        return Err(format!("no receiver is called {name}; {known}").into());
    };
    let mut receiver = daemon::receiver(table).map_err(|why| format!("receiver {name}: {why}"))?;
    let now = Clock::system().now();
    let answer = receiver.send(&test_notice(name, now), &mut Vec::new(), now).await;
    let answer = answer.map_err(|err| format!("receiver {name} did not take it ({}): {err}", err.reason))?;
    writeln!(io::stdout().lock(), "receiver {name} took it: {answer}")?;
    Ok(ExitCode::SUCCESS)
}

fn test_notice(receiver: &str, now: Moment) -> Notice {
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    const ALERTNAME: &str = "ProxymeterTest";
    Notice {
        id: notify::notice_id(),
        receiver: receiver.to_owned(),
        group: format!("{{}}:{{alertname=\"{ALERTNAME}\"}}"),
        group_labels: pairs(&[("alertname", ALERTNAME)]),
        reason: "test".into(),
        alerts: vec![NoticeAlert {
            event: "evt_test".into(),
            status: NoticeStatus::Firing,
            severity: Severity::Info,
            labels: pairs(&[
                ("alertname", ALERTNAME),
                ("kind", "receiver"),
                ("severity", Severity::Info.label()),
                ("subject", receiver),
            ]),
            annotations: pairs(&[
                ("description", "This is a test, sent by hand. Nothing is wrong."),
                ("summary", "Test of a receiver."),
            ]),
            starts_at: now.wall,
            ends_at: None,
        }],
        covers: Vec::new(),
        created_at: now.wall,
    }
}
