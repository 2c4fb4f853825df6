//! Users.

use std::{
    collections::HashSet,
    num::NonZeroU16,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldhash::fast::RandomState;

use crate::{
    model::{
        Counter, Expiry, Extra, LastOnline, Moment, Resets, Timestamp, Unread, UnreadableCause, User,
        UserStatus,
    },
    upstream::{
        json::{Lacking, Object, OddFields},
        marzban::{connected::Addresses, walk::LeftOut},
    },
};

/// A user that moved traffic within this time is online.
const ONLINE_WITHIN: Duration = Duration::from_secs(120);

/// The names of owners. A panel has few, so each is stored once.
#[derive(Clone, Debug, Default)]
pub(in crate::upstream::marzban) struct Owners(Arc<Mutex<HashSet<Arc<str>, RandomState>>>);

impl Owners {
    /// Removes owners without any known user.
    pub(in crate::upstream::marzban) fn forget_former(&self) {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|owner| Arc::strong_count(owner) > 1);
    }

    fn named(&self, name: &str) -> Arc<str> {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = owners.get(name) {
            return Arc::clone(known);
        }
        let owner: Arc<str> = name.into();
        owners.insert(Arc::clone(&owner));
        owner
    }
}

/// What converting a row of the user list needs besides the row.
#[derive(Clone, Debug)]
pub(in crate::upstream::marzban) struct UserRow {
    pub(in crate::upstream::marzban) now: Moment,
    /// The panel's clock, which `online_at` refers to.
    pub(in crate::upstream::marzban) panel_now: Timestamp,
    pub(in crate::upstream::marzban) owners: Owners,
    /// Whether the panel has users' lifetime traffic. Panels up to 0.4 have none.
    pub(in crate::upstream::marzban) has_lifetime: Arc<AtomicBool>,
    /// Absent: they are not read.
    pub(in crate::upstream::marzban) addresses: Option<Addresses>,
}

impl UserRow {
    /// # Errors
    /// When the row has no name, or one that is too long.
    pub(in crate::upstream::marzban) fn convert(&self, row: &Object<'_>) -> Result<User, LeftOut> {
        let name = row.identity("username").map_err(|lacking| match lacking {
            Lacking::Identity => LeftOut::Unreadable(UnreadableCause::NoName),
            Lacking::ShortIdentity => LeftOut::Omitted,
        })?;
        let mut unread = Unread::default();
        let mut note = |fact, is_unread| {
            if is_unread {
                unread.add(fact);
            }
        };
        let status = row.word("status").filter(|word| !word.is_empty());
        note(Unread::STATUS, status.is_none());
        let status = status.map_or(UserStatus::Unknown, |word| user_status(&word));
        let used = row.count("used_traffic");
        note(Unread::USED, used.is_none());
        if row.has("lifetime_used_traffic") {
            self.has_lifetime.store(true, Ordering::Relaxed);
        }
        let lifetime = row.count("lifetime_used_traffic");
        let traffic = if self.has_lifetime.load(Ordering::Relaxed) { lifetime } else { used };
        note(Unread::TRAFFIC, traffic.is_none());
        let limit = row.count("data_limit").filter(|limit| *limit > 0);
        note(Unread::LIMIT, row.was_odd("data_limit") || !row.has("data_limit"));
        let expiry = expiry(status, row.time("expire"), row.count("on_hold_expire_duration"));
        note(
            Unread::EXPIRY,
            row.was_odd("expire")
                || !row.has("expire")
                || (row.was_odd("on_hold_expire_duration") && expiry == Expiry::Never),
        );
        let renews = renews(row);
        note(Unread::RENEWS, renews.is_none());
        let last_online = row.time("online_at");
        let created = if last_online.is_none() { row.time("created_at") } else { None };
        note(Unread::ONLINE, row.was_odd("online_at") || !row.has("online_at"));
        let name = Arc::from(&*name);
        let resets = resets_after(row);
        note(Unread::QUOTA_RESET, resets.is_none());
        let online = last_online.is_some_and(|last| self.panel_now.since(last) <= ONLINE_WITHIN);
        let mut extra = self.devices(row, &name, (!unread.has(Unread::ONLINE)).then_some(online));
        if let Some(Some(days)) = resets {
            // Of a user who was never reset, all that was ever used is used now.
            let began = if used.is_some() && used == lifetime { row.time("created_at") } else { None };
            extra.resets = Some(Resets::new(days, began, self.now.wall));
        }
        Ok(User {
            owner: row.object("admin").and_then(|admin| Some(self.owners.named(&admin.text("username")?))),
            status,
            used: used.unwrap_or_default(),
            limit,
            traffic: Counter::new(traffic.unwrap_or_default()),
            expiry,
            renews: renews.unwrap_or(false),
            extra,
            last_online: LastOnline::of(last_online, created, traffic),
            online,
            read_at: self.now.wall,
            unread,
            name,
        })
    }

    /// PasarGuard: from how many addresses the user is connected, and may be.
    fn devices(&self, row: &Object<'_>, name: &Arc<str>, is_connected: Option<bool>) -> Extra {
        let Some((addresses, id)) = self.addresses.as_ref().zip(row.count("id")) else {
            return Extra::default();
        };
        addresses.of((id, name), row.count("hwid_limit"), is_connected, self.now)
    }
}

/// From how many addresses a user is connected to all nodes, by an answer of PasarGuard; absent inside: none of them says
/// so. A node that does not know the user, or does not answer, is null there or left out.
pub(in crate::upstream::marzban) fn addresses(answer: &str, odd: &OddFields) -> Option<Option<u64>> {
    let nodes = Object::new("addresses", answer, odd)?.object("nodes")?;
    let mut addresses: Option<HashSet<_>> = None;
    for (_, node) in nodes.entries().filter(|(_, node)| *node != "null") {
        match Object::new("node", node, odd).and_then(|node| node.object("ips")) {
            Some(ips) => {
                addresses.get_or_insert_default().extend(ips.entries().map(|(address, _)| address));
            }
            None => nodes.is_odd("node", node, "an object of addresses"),
        }
    }
    Some(addresses.and_then(|addresses| u64::try_from(addresses.len()).ok()))
}

fn user_status(word: &str) -> UserStatus {
    UserStatus::KNOWN.into_iter().find(|status| status.label() == word).unwrap_or(UserStatus::Unknown)
}

/// Marzban: `expire` is in seconds, null or 0 = never; an `on_hold` user has no date yet but a duration that starts
/// with the first use.
fn expiry(status: UserStatus, expire: Option<Timestamp>, on_hold: Option<u64>) -> Expiry {
    match (expire, on_hold) {
        (Some(at), _) if at.as_millis() > 0 => Expiry::At(at),
        (_, Some(seconds)) if status == UserStatus::OnHold && seconds > 0 => {
            Expiry::OnFirstUse(Duration::from_secs(seconds))
        }
        _ => Expiry::Never,
    }
}

/// After how many days the panel sets the user's use back to 0, not by the calendar; absent inside: it does not. Absent: it is
/// not known.
fn resets_after(row: &Object<'_>) -> Option<Option<NonZeroU16>> {
    let Some(strategy) = row.word("data_limit_reset_strategy") else {
        return (!row.was_odd("data_limit_reset_strategy")).then_some(None);
    };
    let days = match &*strategy {
        "no_reset" => 0,
        "day" => 1,
        "week" => 7,
        "month" => 30,
        "year" => 365,
        _ => return None,
    };
    Some(NonZeroU16::new(days))
}

/// Whether the panel starts the user's `next_plan` as soon as this plan ends or is used up. Marzban's waits for both if
/// `fire_on_either` is false; PasarGuard has no such field and waits for neither.
/// Absent: the row does not say.
fn renews(row: &Object<'_>) -> Option<bool> {
    let Some(plan) = row.object("next_plan") else {
        return (!row.was_odd("next_plan")).then_some(false);
    };
    let either = plan.flag("fire_on_either");
    (!plan.was_odd("fire_on_either")).then_some(either != Some(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Unread;

    #[test]
    fn a_quota_begins_again_a_period_after_the_creation_or_a_reset_that_was_seen() {
        let odd = OddFields::default();
        let now = Timestamp::of("2026-11-27T12:00:00Z");
        let row = UserRow {
            now: Moment { wall: now, ..Moment::default() },
            panel_now: now,
            owners: Owners::default(),
            has_lifetime: Arc::default(),
            addresses: None,
        };
        for (strategy, lifetime, expected) in [
            ("\"month\"", "7", Some((30, Some("2026-12-17T10:00:00Z")))),
            ("\"week\"", "7", Some((7, Some("2026-12-01T10:00:00Z")))),
            ("\"day\"", "7", Some((1, Some("2026-11-28T10:00:00Z")))),
            ("\"year\"", "7", Some((365, Some("2027-11-17T10:00:00Z")))),
            // It was reset before.
            ("\"month\"", "8", Some((30, None))),
            ("\"no_reset\"", "7", None),
            ("\"decade\"", "7", None),
            ("7", "7", None),
        ] {
            let text = format!(
                r#"{{"username":"ann","status":"active","used_traffic":7,"lifetime_used_traffic":{lifetime},
                "created_at":"2026-11-17T10:00:00","data_limit_reset_strategy":{strategy}}}"#
            );
            let read = row.convert(&Object::new("user", &text, &odd).unwrap()).unwrap();
            let resets = read.extra.resets.map(|resets| (resets.days.get(), resets.next));
            assert_eq!(resets, expected.map(|(days, next)| (days, next.map(Timestamp::of))), "{strategy}");
            // Of other words, nothing is known.
            assert_eq!(read.unread.has(Unread::QUOTA_RESET), ["\"decade\"", "7"].contains(&strategy));
        }
    }
}
