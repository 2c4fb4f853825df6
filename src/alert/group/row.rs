//! The stored form of a group: a row of JSON under `receiver/group`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    alert::state::{AlertId, EventId},
    model::{Moment, Timestamp},
};

#[derive(Serialize, Deserialize)]
struct Row {
    sent: Option<Timestamp>,
    /// Rule, target, step, subject and event.
    told: Vec<(String, String, String, String, String)>,
}

/// What one receiver knows, by all of its rows.
#[derive(Default)]
pub(super) struct Known {
    pub(super) told: HashMap<AlertId, EventId>,
    /// By group.
    pub(super) sent: HashMap<String, Moment>,
    pub(super) last_sent: Option<Moment>,
}

impl Known {
    /// A row that cannot be read costs a repeated notification.
    pub(super) fn read(&mut self, group: &str, text: &str, now: Moment) {
        let Ok(row) = serde_json::from_str::<Row>(text) else { return };
        for (rule, target, step, subject, event) in row.told {
            let Some(event) = EventId::parse(&event) else { continue };
            let id = AlertId {
                target: target.into(),
                rule: rule.into(),
                subject: subject.into(),
                step: step.into(),
            };
            self.told.insert(id, event);
        }
        if let Some(sent) = row.sent.map(|sent| Moment::restored(sent, now)) {
            self.sent.insert(group.to_owned(), sent);
            if self.last_sent.is_none_or(|last| last.wall < sent.wall) {
                self.last_sent = Some(sent);
            }
        }
    }
}

/// Names of receivers have no slash.
pub(super) fn key(receiver: &str, group: &Arc<str>) -> String {
    format!("{receiver}/{group}")
}

pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    key.split_once('/')
}

/// `told` are the alerts that were sent as firing and not yet as resolved, `sent` is the time of the last message.
pub(super) fn write(told: &BTreeMap<AlertId, EventId>, sent: Option<Moment>) -> String {
    let text = |word: &Arc<str>| word.to_string();
    let told = told.iter().map(|(id, event)| {
        (text(&id.rule), text(&id.target), text(&id.step), text(&id.subject), event.to_string())
    });
    let row = Row { sent: sent.map(|sent| sent.wall), told: told.collect() };
    serde_json::to_string(&row).unwrap_or_default()
}
