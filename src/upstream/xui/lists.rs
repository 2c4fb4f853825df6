//! The list of inbounds with their clients, and what it lacks.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Xui, concerns_all,
    convert::{self, Known, List, Plan},
    detect::Generation,
    envelope::{Envelope, Found},
    routes::{LIST, SLIM_LIST, Subject},
    same,
};
use crate::{
    http::Body,
    model::{Fact, Moment, Part, UserFacts, WholeList},
    upstream::{Cause, FetchError, Step, json},
};

/// Limit of one inbound in the list, in bytes.
const INBOUND: usize = 32 * 1024 * 1024;
/// How often the addresses of clients are read.
const ADDRESSES_EVERY: Duration = Duration::from_secs(300);
/// How often the plans are read that the cheap list does not have: from the list that costs twice as much.
const PLANS_EVERY: Duration = Duration::from_secs(3600);

/// Facts by client that are read more rarely than the list.
pub(super) struct Cached<T> {
    read: Option<Moment>,
    by_name: HashMap<Arc<str>, T>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Cached { read: None, by_name: HashMap::new() }
    }
}

impl<T> Cached<T> {
    fn is_due(&self, every: Duration, now: Moment) -> bool {
        self.read.is_none_or(|read| now.since(read) >= every)
    }

    fn set(&mut self, by_name: Option<HashMap<Arc<str>, T>>, now: Moment) {
        *self = Cached { read: Some(now), by_name: by_name.unwrap_or_default() };
    }
}

impl Xui {
    /// The list, and before it what the list does not have, one request at a time.
    pub(super) async fn read_list(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/panel/api/inbounds/list";
        let reads_more = !self.list_refused;
        if reads_more && self.generation() >= Generation::V3_3 && self.addresses.is_due(ADDRESSES_EVERY, now)
        {
            let addresses = self.read_addresses(now).await?;
            self.addresses.set(addresses, now);
            return Ok(Step::default());
        }
        let is_slim = self.routes.of(Subject::List) == Some(SLIM_LIST);
        if reads_more && is_slim && self.plans.is_due(PLANS_EVERY, now) {
            let plans = self.read_plans(now).await?;
            self.plans.set(plans, now);
            return Ok(Step::default());
        }
        let body = self.list;
        let mut list = match self.find(Subject::List, now, body, inbounds).await {
            Ok(Found::Some(list)) => list,
            Ok(Found::NoRoute) => return Err(FetchError::new(ASKED, Cause::NotFound(404))),
            Ok(Found::NotYet) => return Ok(same(&[Part::Users, Part::Inbounds])),
            Ok(Found::Null) => List::default(),
            // A token of the scope `node-sync` may read the whole list alone.
            Err(FetchError { cause: Cause::NotAllowed, .. })
                if self.routes.of(Subject::List) == Some(SLIM_LIST) =>
            {
                self.list_refused = true;
                self.routes.learn(Subject::List, LIST);
                return Ok(Step::default());
            }
            Err(err) => {
                self.list_refused = err.cause == Cause::NotAllowed;
                return Err(err);
            }
        };
        (self.list_read, self.list_refused) = (true, false);
        self.odd.extend(list.take_odd());
        // The first list shows whether it has the plans.
        if self.routes.of(Subject::List) == Some(SLIM_LIST) && self.plans.read.is_none() {
            // The list is here already. What stops other requests shows again before the next one.
            if let Ok(plans) = self.read_plans(now).await {
                self.plans.set(plans, now);
            }
        }
        if list.is_unreadable() {
            return Err(FetchError::new(ASKED, Cause::Rows));
        }
        let converted = list.convert(&Known {
            is_alireza0: self.generation() == Generation::Alireza0,
            read_at: now.wall,
            panel_now: self.clock.panel_now(now),
            nodes: &self.node_labels,
            devices: &self.addresses.by_name,
            plans: &self.plans.by_name,
        });
        let names = converted.users.iter().map(|user| (convert::folded(user.name.to_string()), &user.name));
        let names = names.filter(|(folded, name)| **folded != ***name);
        self.spellings = names.map(|(folded, name)| (folded.into(), Arc::clone(name))).collect();
        let whole = WholeList {
            users: converted.users,
            unreadable: converted.unreadable,
            omitted: converted.users_omitted,
            started: now,
        };
        let facts = vec![
            Fact::Inbounds(converted.inbounds),
            Fact::Omitted(Part::Inbounds, converted.inbounds_omitted),
            Fact::Users(UserFacts::Whole(whole)),
        ];
        Ok(Step { done: vec![Part::Users, Part::Inbounds], facts, durable: Vec::new() })
    }

    /// The number of addresses of each client; absent: the panel does not say, or not to this login.
    async fn read_addresses(&mut self, now: Moment) -> Result<Option<HashMap<Arc<str>, u64>>, FetchError> {
        match self.value(Subject::Addresses, now).await {
            Ok(Found::Some(list)) => Ok(convert::addresses(&list, &self.odd, self.clock.panel_now(now))),
            Ok(Found::NotYet | Found::Null | Found::NoRoute) => Ok(None),
            Err(err) if concerns_all(&err) => Err(err),
            Err(_) => Ok(None),
        }
    }

    /// As [`Xui::read_addresses`], of the plans that the cheap list does not have.
    async fn read_plans(&mut self, now: Moment) -> Result<Option<HashMap<Arc<str>, Plan>>, FetchError> {
        let limits = self.list;
        match self.find(Subject::WholeList, now, limits, inbounds).await {
            Ok(Found::Some(list)) => Ok(Some(list.plans())),
            Ok(Found::NotYet | Found::Null | Found::NoRoute) => Ok(None),
            Err(err) if concerns_all(&err) => Err(err),
            Err(_) => Ok(None),
        }
    }
}

/// Decodes the list, each inbound as soon as it is there.
fn inbounds(body: Body) -> serde_json::Result<Envelope<List>> {
    let mut list = List::default();
    let page = json::page(body, ["obj", "success"], INBOUND, |raw| list.add(raw))?;
    Ok(Envelope { success: page.beside.and_then(|raw| json::flag(&raw)), value: page.rows.map(|_| list) })
}
