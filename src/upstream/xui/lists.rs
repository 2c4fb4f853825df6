//! The list of inbounds with their clients, and what it lacks.

use std::{sync::Arc, time::Duration};

use tokio::io::AsyncBufRead;

use super::{
    Xui,
    cached::Reading,
    concerns_all,
    convert::{self, ByName, Known, List, NodeLabels, Plan},
    detect::Generation,
    envelope::{Envelope, Found},
    routes::{LIST, SLIM_LIST, Subject},
    same,
};
use crate::{
    model::{Fact, Inbound, Moment, Part, Timestamp, User, UserFacts, WholeList},
    upstream::{
        Cause, FetchError, Step,
        json::{self, OddFields, Scanner},
    },
};

/// Limit of one value in the list that is not read while it arrives, in bytes: up to 3x-ui 3.0, the clients of an inbound are one.
const VALUE: usize = 32 * 1024 * 1024;
/// How often the addresses of clients are read.
const ADDRESSES_EVERY: Duration = Duration::from_secs(300);
/// How often the plans are read that the cheap list does not have: from the list that costs twice as much.
const PLANS_EVERY: Duration = Duration::from_secs(3600);

/// How long the cheap list is left alone that the panel refused.
const SLIM_AGAIN_AFTER: Duration = Duration::from_secs(3600);

impl Xui {
    /// The list, and before it what the list does not have, one request at a time.
    pub(super) async fn read_list(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/panel/api/inbounds/list";
        if self.slim_refused.is_some_and(|at| now.uptime.saturating_sub(at) >= SLIM_AGAIN_AFTER) {
            // The token may have another scope by now.
            self.slim_refused = None;
            self.routes.forget(Subject::List);
        }
        let reads_more = !self.list_refused;
        if reads_more && self.generation() >= Generation::V3_3 && self.addresses.is_due(now) {
            let addresses = self.read_addresses(now).await?;
            self.addresses.set(addresses, ADDRESSES_EVERY, now);
            return Ok(Step::default());
        }
        let is_slim = self.routes.of(Subject::List) == Some(SLIM_LIST);
        if reads_more && is_slim && self.plans.is_due(now) {
            let plans = self.read_plans(now).await?;
            self.plans.set(plans, PLANS_EVERY, now);
            return Ok(Step::default());
        }
        let list = match self.find_list(Subject::List, now).await {
            Ok(Found::Some(list)) => list,
            Ok(Found::NoRoute) => return Err(FetchError::new(ASKED, Cause::NotFound(404))),
            Ok(Found::NotYet) => return Ok(same(&[Part::Users, Part::Inbounds])),
            Ok(Found::Null) => List::default(),
            // A token of the scope `node-sync` may read the whole list alone.
            Err(FetchError { cause: Cause::NotAllowed, .. })
                if self.routes.of(Subject::List) == Some(SLIM_LIST) =>
            {
                (self.list_refused, self.slim_refused) = (true, Some(now.uptime));
                self.routes.learn(Subject::List, LIST);
                return Ok(Step::default());
            }
            Err(err) => {
                self.list_refused = err.cause == Cause::NotAllowed;
                return Err(err);
            }
        };
        (self.list_read, self.list_refused) = (true, false);
        // The first list shows whether it has the plans. It is not held while these are read, as both are long.
        if self.routes.of(Subject::List) == Some(SLIM_LIST) && self.plans.is_new() {
            return Ok(Step::default());
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
        let names = converted.users.iter().map(|user| (convert::folded(&user.name), &user.name));
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

    /// Asks for a list, each of whose inbounds is decoded as soon as it is there.
    async fn find_list(&mut self, subject: Subject, now: Moment) -> Result<Found<List>, FetchError> {
        let (limits, odd) = (self.list, OddFields::default());
        let found = self.find(subject, now, limits, |body| inbounds(body, &odd)).await;
        self.odd.extend(&odd);
        found
    }

    /// The number of addresses of each client.
    async fn read_addresses(&mut self, now: Moment) -> Result<Reading<u64>, FetchError> {
        let found = self.value(Subject::Addresses, now).await;
        reading(found, |list| convert::addresses(&list, &self.odd, self.clock.panel_now(now)))
    }

    /// The plans that the cheap list does not have.
    async fn read_plans(&mut self, now: Moment) -> Result<Reading<Plan>, FetchError> {
        let found = self.find_list(Subject::WholeList, now).await;
        reading(found, |list| Some(list.plans()))
    }
}

/// What an optional request brought. Its failure is one only if it stops the others, too.
fn reading<A, T>(
    found: Result<Found<A>, FetchError>,
    convert: impl FnOnce(A) -> Option<ByName<T>>,
) -> Result<Reading<T>, FetchError> {
    match found {
        Ok(Found::Some(answer)) => Ok(convert(answer).map_or(Reading::Failed, Reading::Read)),
        Ok(Found::NoRoute) | Err(FetchError { cause: Cause::NotAllowed, .. }) => Ok(Reading::Nothing),
        Ok(Found::NotYet | Found::Null) => Ok(Reading::Failed),
        Err(err) if concerns_all(&err) => Err(err),
        Err(_) => Ok(Reading::Failed),
    }
}

/// The inbounds and users in a list that is here as a whole, as a poll reads them.
///
/// # Errors
/// When it is no list.
pub fn list_of(answer: &[u8], now: Timestamp) -> serde_json::Result<(Vec<Inbound>, Vec<User>)> {
    let Envelope { success: _, value } = json::at_once(inbounds(answer, &OddFields::default()))?;
    let converted = value.unwrap_or_default().convert(&Known {
        is_alireza0: false,
        read_at: now,
        panel_now: now,
        nodes: &NodeLabels::default(),
        devices: &ByName::default(),
        plans: &ByName::default(),
    });
    Ok((converted.inbounds, converted.users))
}

/// Decodes the list while it arrives.
async fn inbounds(body: impl AsyncBufRead + Unpin, odd: &OddFields) -> serde_json::Result<Envelope<List>> {
    let mut envelope = Envelope { success: None, value: None };
    let mut scanner = Scanner::new(body, VALUE);
    let mut answer = scanner.object().await?;
    while let Some(key) = scanner.field(&mut answer).await? {
        match key.as_str() {
            "success" => {
                let flag = scanner.whole(|text| str::from_utf8(text).ok().and_then(json::flag)).await?;
                envelope.success = flag.flatten();
            }
            "obj" if !scanner.next_is(b'n').await? => {
                envelope.value = Some(List::read(&mut scanner, odd).await?);
            }
            _ => scanner.skip().await?,
        }
    }
    scanner.end().await?;
    Ok(envelope)
}
