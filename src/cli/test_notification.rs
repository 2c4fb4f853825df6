use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use super::exit::Done;
use crate::{
    clock::Clock,
    config::{Config, ReceiverKind},
    daemon,
    notify::{self, alertmanager::Alertmanager},
};

/// Sends a labelled test notification to one receiver once, as other notifications are sent, and prints the
/// answer, of each replica of an Alertmanager.
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
    let voice = daemon::voice(config, table);
    let cannot_be_used = |why: String| format!("receiver {name}: {why}");
    let now = Clock::system().now();
    let notice = notify::test_notice(name, &voice, now.wall);
    let answers = match &table.kind {
        ReceiverKind::Alertmanager(config) => {
            let mut alertmanager = Alertmanager::new(config, voice.pages.as_deref().unwrap_or_default())
                .map_err(|why| cannot_be_used(why.to_string()))?;
            alertmanager.post_once(&notice.alerts, now).await
        }
        ReceiverKind::Chat(_)
        | ReceiverKind::Email(_)
        | ReceiverKind::Pagerduty(_)
        | ReceiverKind::Webhook(_) => {
            let mut receiver = daemon::receiver(table, voice).map_err(cannot_be_used)?;
            let answer = receiver.send(Arc::new(notice), &mut Vec::new(), now).await;
            if let Some(said) = receiver.said() {
                writeln!(io::stdout().lock(), "receiver {name} said: {said}")?;
            }
            vec![answer]
        }
    };
    let mut failures = Vec::new();
    for answer in answers {
        match answer {
            Ok(answer) => writeln!(io::stdout().lock(), "receiver {name} accepted it: {answer}")?,
            Err(err) => {
                failures.push(format!("receiver {name} did not accept it ({}): {err}", err.reason.label()));
            }
        }
    }
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(failures.join("\n").into()) }
}
