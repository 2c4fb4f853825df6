//! Who is online.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    Xui, convert,
    detect::Generation,
    envelope::{Found, other_system},
    routes::Subject,
    same,
};
use crate::{
    http,
    model::{Fact, Moment, Part},
    upstream::{Cause, FetchError, Step},
};

/// Where the list is empty without a browser (3x-ui 3.1.0), users are online that moved bytes within this time.
const ACTIVE_WITHIN: Duration = Duration::from_secs(20);

impl Xui {
    pub(super) async fn read_online(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/panel/api/clients/onlines";
        // 3x-ui 2.8 keeps its last list while the core is stopped.
        let none = || Ok(Step::done(Part::Online, vec![Fact::Online(HashSet::new())]));
        if self.serves_none() && self.routes.of(Subject::Online).is_some() {
            self.seen.clear();
            return none();
        }
        let found = self.value(Subject::Online, now).await;
        self.online_refused = matches!(&found, Err(err) if err.cause == Cause::NotAllowed);
        let names = match found {
            Ok(Found::Some(list)) => convert::names(&list, &self.odd).ok_or_else(|| other_system(ASKED))?,
            Ok(Found::NotYet | Found::Null) => HashSet::new(),
            Ok(Found::NoRoute) => return Ok(same(&[Part::Online])),
            // Up to 3.2, the panel fails without a core that it has started.
            Err(FetchError { cause: Cause::Http(http::Error::Status(500)), .. })
                if !self.core_runs && self.generation() < Generation::V3_3 =>
            {
                HashSet::new()
            }
            Err(err) => return Err(err),
        };
        // The list showed which panel it is.
        if self.serves_none() {
            return none();
        }
        let names = match self.generation() {
            Generation::V3_1 if names.is_empty() => self.active_lately(now).await?,
            _ => names,
        };
        // Spelled as the list spells them, once it was read.
        let names = match self.list_read {
            true => names.into_iter().map(|name| self.spelled(&name)).collect(),
            false => names,
        };
        let names = if self.generation() <= Generation::V3_0 { self.seen.online(names, now) } else { names };
        Ok(Step::done(Part::Online, vec![Fact::Online(names)]))
    }

    /// The core is down, and there is no other: lists of 3.0 and later have the users of nodes, too.
    fn serves_none(&self) -> bool {
        self.core_is_down && (self.generation() < Generation::V3_0 || !self.has_node)
    }

    /// Users that moved bytes a short time ago, from a panel whose list of those online is empty.
    async fn active_lately(&mut self, now: Moment) -> Result<HashSet<Arc<str>>, FetchError> {
        let Found::Some(answer) = self.value(Subject::LastOnline, now).await? else {
            return Ok(HashSet::new());
        };
        let since = self.clock.panel_now(now).saturating_sub(ACTIVE_WITHIN);
        convert::seen_since(&answer, &self.odd, since)
            .ok_or_else(|| other_system("/panel/api/clients/lastOnline"))
    }

    /// The name in the list that is the same without regard to case.
    fn spelled(&self, name: &str) -> Arc<str> {
        let folded = convert::folded(name);
        self.spellings.get(&*folded).cloned().unwrap_or_else(|| folded.into())
    }
}
