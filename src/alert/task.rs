use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tracing::{error, info};

use super::engine::Engine;
use crate::{
    board::Board,
    clock::Clock,
    model::{ActiveAlerts, KIND_USER, Notice, NoticeAlert},
    store::{Batch, Store},
    telemetry::Telemetry,
};

/// However much comes in, the engine looks at it no more often than this.
const PACE: Duration = Duration::from_secs(1);

/// Gives a user's name in place of which notices carry what it returns.
pub type Pseudonym = Box<dyn Fn(&str) -> String + Send + Sync>;

/// The alert engine at work: it watches the board, has what it decides recorded, and hands it on.
pub struct Task {
    pub engine: Engine,
    pub board: Board,
    pub clock: Clock,
    pub store: Store,
    pub telemetry: Telemetry,
    /// Queues of the receivers, by name.
    pub receivers: BTreeMap<String, mpsc::UnboundedSender<Notice>>,
    /// Who reads users of a target again by name.
    pub rereads: BTreeMap<Arc<str>, mpsc::UnboundedSender<Vec<Arc<str>>>>,
    /// What notices call a user, if not by name.
    pub pseudonym: Option<Pseudonym>,
    /// What is pending and firing, for whoever shows it.
    pub active: watch::Sender<Arc<ActiveAlerts>>,
}

impl Task {
    /// Runs until it is dropped. What was recorded by then is sent by the next process, if it was not handed on.
    pub async fn run(mut self) {
        let mut news = self.board.watch();
        let mut recorded = true;
        let mut shown = None;
        self.telemetry.declare_suppressions(&["muted", "inhibited", "unchanged"]);
        loop {
            let now = self.clock.now();
            let view = news.borrow_and_update().clone();
            self.engine.observe(&view, now);
            let mut output = self.engine.tick(now);
            if let Some(pseudonym) = &self.pseudonym {
                for alert in output.notices.iter_mut().flat_map(|notice| &mut notice.alerts) {
                    disguise(alert, pseudonym);
                }
            }

            let batch = Batch { alerts: output.alerts, groups: output.groups, notices: output.notices };
            let notices = batch.notices.clone();
            if !(batch.alerts.is_empty() && batch.groups.is_empty() && notices.is_empty()) {
                // A store that fails is no reason to keep silent: what it would hold is in memory too.
                let result = self.store.record(batch).await;
                match &result {
                    Err(err) if recorded => {
                        error!("alerts are not recorded and would be lost in a crash: {err}");
                    }
                    Ok(()) if !recorded => info!("alerts are recorded again"),
                    _ => {}
                }
                recorded = result.is_ok();
            }
            for notice in notices {
                // A receiver's queue ends only with the daemon.
                if let Some(queue) = self.receivers.get(&notice.receiver) {
                    drop(queue.send(notice));
                }
            }
            for reread in output.reread {
                drop(self.rereads.get(&reread.target).map(|ask| ask.send(reread.users)));
            }
            self.telemetry.suppressed("muted", output.suppressed.muted);
            self.telemetry.suppressed("inhibited", output.suppressed.inhibited);
            self.telemetry.suppressed("unchanged", output.suppressed.unchanged);
            let alerts = self.engine.alerts();
            if !shown.as_ref().is_some_and(|shown| Arc::ptr_eq(shown, &alerts)) {
                self.active.send_replace(Arc::new(self.engine.active()));
                shown = Some(alerts);
            }

            tokio::time::sleep(PACE).await;
            let wait = self.engine.due().saturating_sub(self.clock.now().uptime);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = news.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }
}

/// Takes a user's name out of an alert.
fn disguise(alert: &mut NoticeAlert, pseudonym: impl Fn(&str) -> String) {
    if alert.labels.get("kind").is_none_or(|kind| kind != KIND_USER) {
        return;
    }
    let Some(subject) = alert.labels.get_mut("subject") else { return };
    let hidden = pseudonym(subject);
    let name = std::mem::replace(subject, hidden.clone());
    if let Some(description) = alert.annotations.get_mut("description") {
        *description = description.replacen(&format!(" {name} "), &format!(" {hidden} "), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NoticeStatus, Severity, Timestamp};

    #[test]
    fn a_disguised_alert_does_not_name_its_user() {
        let mut alert = NoticeAlert {
            event: "evt_1".into(),
            status: NoticeStatus::Firing,
            severity: Severity::Info,
            labels: [("kind", "user"), ("subject", "of"), ("target", "home")]
                .map(|(k, v)| (k.into(), v.into()))
                .into(),
            annotations: [("description".into(), "User of of home expires in 2d.".into())].into(),
            starts_at: Timestamp::default(),
            ends_at: None,
        };
        disguise(&mut alert, |name| format!("<{}>", name.len()));
        assert_eq!(alert.labels["subject"], "<2>");
        assert_eq!(alert.annotations["description"], "User <2> of home expires in 2d.");
        let before = alert.clone();
        alert.labels.insert("kind".into(), "node".into());
        disguise(&mut alert, |_| unreachable!());
        assert_eq!(alert.annotations, before.annotations);
    }
}
