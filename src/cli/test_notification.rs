use std::{io::Write, process::ExitCode, sync::Arc};

use super::exit::Done;
use crate::{
    clock::Clock,
    config::{Config, ReceiverKind, ReceiverTable},
    daemon,
    model::Moment,
    notify::{
        self, Answer,
        alertmanager::Alertmanager,
        heartbeat::{self, config::HeartbeatConfig},
    },
};

/// Names `[heartbeat]` on the command line, unless a receiver has the name.
const HEARTBEAT: &str = "heartbeat";

/// What to test.
pub(super) enum Tested {
    /// A receiver, or the heartbeat by its name.
    Named(String),
    Heartbeat,
}

/// Sends a labelled test notification to one receiver once, as other notifications are sent, or a ping to the service of
/// the heartbeat. Writes what the server said and the outcome to `out`, of each replica of an Alertmanager.
pub(super) async fn run(config: &Config, tested: &Tested, out: &mut dyn Write) -> Done {
    let now = Clock::system().now();
    let table = match tested {
        Tested::Named(name) => config.receivers.iter().find(|table| table.name == *name),
        Tested::Heartbeat => None,
    };
    match (table, tested, &config.heartbeat) {
        (Some(table), ..) => {
            let answers = notify(config, table, now).await?;
            report(&format!("receiver {}", table.name), "it", answers, out)
        }
        (None, Tested::Named(name), _) if name != HEARTBEAT => {
            let mut names: Vec<_> = config.receivers.iter().map(|table| table.name.as_str()).collect();
            names.extend(config.heartbeat.is_some().then_some(HEARTBEAT));
            let known = if names.is_empty() {
                "none is configured".into()
            } else {
                format!("the receivers are: {}", names.join(", "))
            };
            Err(format!("there is no receiver {name}; {known}").into())
        }
        (None, _, Some(heartbeat)) => {
            let answers = vec![ping(heartbeat, now).await?];
            report(HEARTBEAT, "a ping, which counts like any other", answers, out)
        }
        (None, _, None) => Err("there is no [heartbeat] in the configuration".into()),
    }
}

async fn notify(config: &Config, table: &ReceiverTable, now: Moment) -> Result<Vec<Answer>, String> {
    let voice = daemon::voice(config, table);
    let cannot_be_used = |why: String| format!("receiver {}: {why}", table.name);
    let notice = notify::test_notice(&table.name, &voice, now.wall);
    match &table.kind {
        ReceiverKind::Alertmanager(config) => {
            let mut alertmanager = Alertmanager::new(config, voice.pages.as_deref().unwrap_or_default())
                .map_err(|why| cannot_be_used(why.to_string()))?;
            Ok(alertmanager.post_once(&notice.alerts, now).await)
        }
        ReceiverKind::Chat(_)
        | ReceiverKind::Email(_)
        | ReceiverKind::Pagerduty(_)
        | ReceiverKind::Webhook(_) => {
            let mut receiver = daemon::receiver(table, voice).map_err(cannot_be_used)?;
            let outcome = receiver.send(Arc::new(notice), &mut Vec::new(), now).await;
            Ok(vec![Answer { said: receiver.said().map(str::to_owned), outcome }])
        }
    }
}

async fn ping(heartbeat: &HeartbeatConfig, now: Moment) -> Result<Answer, String> {
    heartbeat::ping_once(heartbeat, now).await.map_err(|why| format!("{HEARTBEAT}: {why}"))
}

/// Writes answers, and returns the refusals. `sent` is what was sent, as the object of a sentence.
fn report(who: &str, sent: &str, answers: Vec<Answer>, out: &mut dyn Write) -> Done {
    let mut failures = Vec::new();
    for Answer { said, outcome } in answers {
        if let Some(said) = said {
            writeln!(out, "{who} said: {said}")?;
        }
        match outcome {
            Ok(answer) => writeln!(out, "{who} accepted {sent}: {answer}")?,
            Err(err) => {
                failures.push(format!("{who} did not accept {sent} ({}): {err}", err.reason.label()));
            }
        }
    }
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(failures.join("\n").into()) }
}
