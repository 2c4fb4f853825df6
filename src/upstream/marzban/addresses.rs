//! Reads from how many addresses users are connected. PasarGuard reports that of one user at a time, and asks all its nodes for it.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Marzban,
    connected::{Addresses, By},
    convert, other_system,
};
use crate::{
    model::{Fact, Moment, Part},
    upstream::{Again, Cause, FetchError, Scope, Step},
};

/// Users are asked about one after the other until this has passed, and then the panel rests.
const AT_ONCE: Duration = Duration::from_secs(1);

const ASKED: &str = "/api/node/online_stats/{user}/ip";
const NOT_REPORTED: &str =
    "PasarGuard reports the addresses of users from 1.6 on; update the panel, or remove device_limit";

impl Marzban {
    /// Asks about the next connected users. A user for whom the request fails is left out until the next round.
    pub(super) async fn read_addresses(&mut self, now: Moment) -> Result<Step, FetchError> {
        let facts = vec![Fact::Omitted(Part::Addresses, 0)];
        let Some(addresses) = self.addresses.clone() else { return Ok(Step::done(Part::Addresses, facts)) };
        let began = Instant::now();
        loop {
            let now = now.after(began.elapsed());
            let (id, name) = addresses.known().next(now);
            let read = self.count_addresses(&addresses, id, &name, now).await;
            let mut known = addresses.known();
            match read {
                Ok(count) => known.answered(id, count, now),
                Err(err) if err.scope() == Scope::Part && err.again == Again::Usual => {
                    known.failure = Some(err);
                }
                Err(err) => return Err(err),
            }
            if !known.has_more() {
                let failure = known.failure.take().filter(|_| !known.has_answered);
                return failure.map_or_else(|| Ok(Step::done(Part::Addresses, facts)), Err);
            }
            if began.elapsed() >= AT_ONCE {
                return Ok(Step::more(facts));
            }
        }
    }

    async fn count_addresses(
        &mut self,
        addresses: &Addresses,
        id: u64,
        name: &str,
        now: Moment,
    ) -> Result<Option<u64>, FetchError> {
        let by = addresses.known().by;
        let user = match by {
            By::Id => id.to_string(),
            By::Name => convert::percent_encode(name),
            By::Nothing => return Err(FetchError::new(ASKED, Cause::Missing(NOT_REPORTED))),
        };
        match self.get(ASKED, &format!("/api/node/online_stats/{user}/ip"), now).await {
            Ok(answer) => convert::addresses(&answer, &self.odd).ok_or_else(|| other_system(ASKED)),
            Err(FetchError { cause: Cause::NotFound(_), .. }) => {
                addresses.known().forget(id);
                Ok(None)
            }
            Err(err) => Err(err),
        }
    }
}
