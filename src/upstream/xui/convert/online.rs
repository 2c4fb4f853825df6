//! Who is online, and from how many addresses.

use std::{borrow::Cow, collections::HashSet, sync::Arc, time::Duration};

use super::folded::{ByName, folded};
use crate::{
    model::{Timestamp, Users},
    upstream::json::{IDENTITY, Object, OddFields, each, objects},
};

/// The names in a list of users online; absent: it is no list. alireza0 has objects since 1.11.
pub(in crate::upstream::xui) fn names(list: &str, odd: &OddFields) -> Option<HashSet<Arc<str>>> {
    let mut names = HashSet::new();
    each(list, |row| {
        let name = match Object::new("online", row, odd) {
            Some(row) => row.identity("email").ok().map(Cow::into_owned),
            None => serde_json::from_str::<String>(row).ok(),
        };
        if let Some(name) = name.filter(|name| !name.is_empty() && name.len() <= IDENTITY)
            && names.len() < Users::MOST
        {
            names.insert(Arc::from(name));
        }
    })?;
    Some(names)
}

/// The names in an answer of `lastOnline` (name to milliseconds) of those seen since `since`; absent: it is no object.
pub(in crate::upstream::xui) fn seen_since(
    answer: &str,
    odd: &OddFields,
    since: Timestamp,
) -> Option<HashSet<Arc<str>>> {
    let answer = Object::new("last_online", answer, odd)?;
    let seen = answer
        .entries()
        .filter(|(_, at)| at.parse::<i64>().is_ok_and(|at| at > 0 && Timestamp::from_millis(at) >= since));
    let names = seen.map(|(name, _)| Arc::from(&*name)).filter(|name: &Arc<str>| !name.is_empty());
    Some(names.take(Users::MOST).collect())
}

/// The newest value of a history, which is a list of `{"t": seconds, "v": number}`.
pub(in crate::upstream::xui) fn last_point(list: &str, odd: &OddFields) -> Option<u64> {
    let mut last = None;
    objects("history", list, odd, |point| {
        last = point.and_then(|point| Some((point.integer("t")?, point.count("v")?))).or(last);
    })?;
    last.map(|(_, value)| value)
}

/// Addresses that were not seen for so long are no longer in use. 3x-ui forgets them after the same time.
const ADDRESS_LASTS: Duration = Duration::from_secs(30 * 60);

/// The number of addresses by folded name; absent: the answer is no list.
pub(in crate::upstream::xui) fn addresses(
    list: &str,
    odd: &OddFields,
    panel_now: Timestamp,
) -> Option<ByName<u64>> {
    let mut counts = ByName::default();
    objects("addresses", list, odd, |row| {
        let Some(row) = row else { return };
        let (Ok(name), Some(ips)) = (row.identity("clientEmail"), row.raw("ips")) else { return };
        let mut count = 0;
        let mut newer = |ip: Option<Object<'_>>| {
            let seen = ip.and_then(|ip| ip.integer("timestamp"));
            let is_used =
                seen.is_some_and(|seen| panel_now.since(Timestamp::from_secs(seen)) < ADDRESS_LASTS);
            count += u64::from(is_used);
        };
        if (ips == "null" || objects("address", ips, odd, &mut newer).is_some()) && counts.len() < Users::MOST
        {
            *counts.entry(Arc::from(folded(&name))).or_default() += count;
        }
    })?;
    Some(counts)
}
