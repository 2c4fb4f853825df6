//! Receivers that are posted everything that fires, again and again.

use std::{collections::HashSet, sync::Arc};

use super::{Groups, inhibit::Inhibition, intent::Knowledge};
use crate::{
    alert::{
        state::{Alert, State},
        words::Pseudonym,
    },
    model::{Moment, NoticeAlert, NoticeStatus},
    wording::Voice,
};

impl Groups {
    /// The alerts that fire, and those that ended after they had been posted, for such a receiver. An alert that is
    /// inhibited from its start is not posted before that is over; one that was posted goes on.
    pub(in crate::alert) fn standing(
        &mut self,
        receiver: &str,
        state: &mut State,
        pseudonym: Option<&Pseudonym>,
        now: Moment,
    ) -> (Vec<Arc<NoticeAlert>>, Vec<Arc<NoticeAlert>>) {
        let (mut firing, mut ended) = (Vec::new(), Vec::new());
        self.sift(receiver, state, |alert, knowledge, inhibition, voice| {
            let Some(alert) = alert else { return false };
            let fires = match alert.status() {
                Some(NoticeStatus::Firing) => true,
                Some(NoticeStatus::Resolved) if knowledge.may_know => false,
                Some(NoticeStatus::Resolved) | None => return false,
            };
            knowledge.may_know = knowledge.may_know || fires && !inhibition.holds(&alert);
            if knowledge.may_know {
                let list = if fires { &mut firing } else { &mut ended };
                list.extend(alert.told(pseudonym, voice, now.wall).map(Arc::new));
            }
            true
        });
        (firing, ended)
    }

    /// The ends of these events need not be posted to such a receiver any more.
    pub(in crate::alert) fn over(&mut self, receiver: &str, events: &HashSet<String>, state: &mut State) {
        self.sift(receiver, state, |alert, _, _, _| {
            let ended = alert.filter(|alert| alert.status() == Some(NoticeStatus::Resolved));
            let event = ended.and_then(|alert| alert.event());
            event.is_none_or(|event| !events.contains(&event.to_string()))
        });
    }

    /// Lets go of the alerts of such a receiver that do not stay.
    fn sift(
        &mut self,
        receiver: &str,
        state: &mut State,
        mut stays: impl for<'a> FnMut(Option<Alert<'a>>, &mut Knowledge, &mut Inhibition<'a>, &Voice) -> bool,
    ) {
        let mut released = Vec::new();
        let mut inhibition = Inhibition::new(state);
        let routed = self.routes.iter_mut().filter(|routed| routed.route.receiver == receiver);
        for routed in routed.filter(|routed| routed.route.standing) {
            for (key, group) in &mut routed.groups {
                group.members.retain(|id, knowledge| {
                    let before = *knowledge;
                    let stays = stays(state.alert(id), knowledge, &mut inhibition, &routed.route.voice);
                    group.dirty |= !stays || *knowledge != before;
                    if !stays {
                        routed.group_of.remove(id);
                        released.push(Arc::clone(id));
                    }
                    stays
                });
                if group.dirty {
                    routed.dirty.insert(Arc::clone(key));
                }
            }
        }
        self.forget(state, released);
    }

    /// Such receivers for which an alert is new since the last call.
    pub(in crate::alert) fn take_changed(&mut self) -> Vec<String> {
        let changed = self.routes.iter_mut().filter(|routed| routed.changed);
        let take = |routed: &mut super::Routed| {
            routed.changed = false;
            routed.route.receiver.clone()
        };
        changed.map(take).collect()
    }
}
