//! The stored form of a group: a row of JSON under `receiver/group`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::intent::Knowledge;
use crate::{
    alert::state::{AlertId, EventId},
    model::{Moment, Timestamp},
};

/// Rule, target, step, subject, and the event if one needs to be told no more.
type Entry<'a> = (Cow<'a, str>, Cow<'a, str>, Cow<'a, str>, Cow<'a, str>, Cow<'a, str>);

#[derive(Serialize, Deserialize)]
struct Row<'a> {
    sent: Option<Timestamp>,
    /// Acknowledged.
    told: Vec<Entry<'a>>,
    /// In messages that have not been acknowledged, and may have arrived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    perhaps: Vec<Entry<'a>>,
    /// Given up, and not known to the receiver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    given_up: Vec<Entry<'a>>,
}

/// What one receiver knows, by all of its rows.
#[derive(Default)]
pub(super) struct Known {
    pub(super) alerts: HashMap<AlertId, Knowledge>,
    /// By group.
    pub(super) sent: HashMap<String, Moment>,
    pub(super) last_sent: Option<Moment>,
}

impl Known {
    /// A row that cannot be read costs a repeated notification.
    pub(super) fn read(&mut self, group: &str, text: &str, now: Moment) {
        let Ok(Row { sent, told, perhaps, given_up }) = serde_json::from_str(text) else { return };
        for (list, may_know) in [(told, true), (perhaps, true), (given_up, false)] {
            for (rule, target, step, subject, event) in list {
                let id = AlertId {
                    target: target.into(),
                    rule: rule.into(),
                    subject: subject.into(),
                    step: step.into(),
                };
                let told = EventId::parse(&event);
                self.alerts.insert(id, Knowledge { told, may_know, held_back: false });
            }
        }
        if let Some(sent) = sent.map(|sent| Moment::restored(sent, now)) {
            self.sent.insert(group.to_owned(), sent);
            if self.last_sent.is_none_or(|last| last.wall < sent.wall) {
                self.last_sent = Some(sent);
            }
        }
    }
}

/// Names of receivers have no slash.
pub(super) fn key(receiver: &str, group: &str) -> String {
    format!("{receiver}/{group}")
}

pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    key.split_once('/')
}

/// Absent: the receiver knows of no member. `sent` is the time of the last acknowledged message.
pub(super) fn write(members: &BTreeMap<Arc<AlertId>, Knowledge>, sent: Option<Moment>) -> Option<String> {
    let mut row =
        Row { sent: sent.map(|sent| sent.wall), told: Vec::new(), perhaps: Vec::new(), given_up: Vec::new() };
    for (id, knowledge) in members {
        let list = match knowledge {
            Knowledge { told: Some(_), may_know: true, .. } => &mut row.told,
            Knowledge { told: None, may_know: true, .. } => &mut row.perhaps,
            Knowledge { told: Some(_), may_know: false, .. } => &mut row.given_up,
            Knowledge { told: None, may_know: false, .. } => continue,
        };
        let AlertId { target, rule, subject, step } = &**id;
        let event = knowledge.told.map(|event| event.to_string()).unwrap_or_default();
        let [rule, target, step, subject] = [rule, target, step, subject].map(|word| Cow::from(&**word));
        list.push((rule, target, step, subject, event.into()));
    }
    let nothing = row.told.is_empty() && row.perhaps.is_empty() && row.given_up.is_empty();
    (!nothing).then(|| serde_json::to_string(&row).unwrap_or_default())
}
