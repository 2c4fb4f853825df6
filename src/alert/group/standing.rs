//! Receivers that are posted everything that fires, again and again.

use std::{collections::HashSet, sync::Arc};

use super::{Groups, inhibit::inhibited};
use crate::{
    alert::{state::State, words::Pseudonym},
    model::{Moment, NoticeAlert, NoticeStatus},
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
        let (mut firing, mut ended, mut released) = (Vec::new(), Vec::new(), Vec::new());
        let routed = self.routes.iter_mut().filter(|routed| routed.route.receiver == receiver);
        for routed in routed.filter(|routed| routed.route.standing) {
            for (key, group) in &mut routed.groups {
                group.members.retain(|id, knowledge| {
                    let alert = state.alert(id);
                    let stays = match alert.and_then(|alert| alert.status()) {
                        Some(NoticeStatus::Firing) => true,
                        Some(NoticeStatus::Resolved) => knowledge.may_know,
                        None => false,
                    };
                    let Some(alert) = alert.filter(|_| stays) else {
                        group.dirty = true;
                        routed.group_of.remove(id);
                        released.push(Arc::clone(id));
                        return false;
                    };
                    let fires = alert.status() == Some(NoticeStatus::Firing);
                    if fires && !knowledge.may_know && !inhibited(&alert, state) {
                        (knowledge.may_know, group.dirty) = (true, true);
                    }
                    if knowledge.may_know {
                        let list = if fires { &mut firing } else { &mut ended };
                        list.extend(alert.told(pseudonym, &routed.route.voice, now.wall).map(Arc::new));
                    }
                    true
                });
                if group.dirty {
                    routed.dirty.insert(Arc::clone(key));
                }
            }
        }
        self.forget(state, released);
        (firing, ended)
    }

    /// The ends of these events need not be posted to such a receiver any more.
    pub(in crate::alert) fn over(&mut self, receiver: &str, events: &HashSet<String>, state: &mut State) {
        let mut released = Vec::new();
        let routed = self.routes.iter_mut().filter(|routed| routed.route.receiver == receiver);
        for routed in routed.filter(|routed| routed.route.standing) {
            for (key, group) in &mut routed.groups {
                group.members.retain(|id, _| {
                    let alert =
                        state.alert(id).filter(|alert| alert.status() == Some(NoticeStatus::Resolved));
                    let event = alert.and_then(|alert| alert.event()).map(|event| event.to_string());
                    let over = event.is_some_and(|event| events.contains(&event));
                    if over {
                        group.dirty = true;
                        routed.group_of.remove(id);
                        released.push(Arc::clone(id));
                    }
                    !over
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
