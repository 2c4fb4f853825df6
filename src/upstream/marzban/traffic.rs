//! Traffic by node, of all users and of those named in the configuration: counters built from hourly sums.

use std::collections::HashMap;

use super::{
    Marzban,
    convert::{self, Readings},
    hours::Hours,
    named::NamedUser,
    readable,
};
use crate::{
    model::{CounterChange, CounterFamilies, Fact, Moment, NodeTraffic, Part, System, UserNodeTraffic},
    upstream::{
        Again, FetchError, Scope, Step,
        json::{Object, Rows},
    },
};

/// The family of the nodes' durable counters.
const NODE_HOURS: &str = "node_hours";

impl Marzban {
    pub(in crate::upstream) fn resume(&mut self, counters: &CounterFamilies) -> Vec<CounterChange> {
        let mut outdated = Vec::new();
        for (family, rows) in counters {
            if family == NODE_HOURS {
                self.node_hours = Hours::restored(rows);
            } else if let Some(user) = self.named.iter_mut().find(|user| user.family() == *family) {
                user.resume(rows);
            } else {
                // A user who is no longer named in the configuration.
                outdated.extend(CounterChange::between(family, rows, Vec::new()));
            }
        }
        outdated
    }

    pub(super) async fn read_usage(&mut self, now: Moment) -> Result<Step, FetchError> {
        let mut facts = self.know_nodes(now).await?;
        let windows = self.node_hours.windows(self.panel_time(now));
        let finished = match windows.finished {
            Some((from, to)) => {
                let Rows { kept, omitted } = self.node_usage(from, Some(to), now).await?;
                self.node_hours.complete(kept, omitted > 0, false).into_iter().collect()
            }
            None => HashMap::new(),
        };
        let Rows { kept, omitted } = self.node_usage(windows.running, None, now).await?;
        let running = self.node_hours.complete(kept, omitted > 0, windows.finished.is_some());
        let before = self.node_hours.rows();
        let totals = self.node_hours.add(windows, &finished, running);
        let labels = self.naming.labels(totals.iter().map(|(key, _)| key));
        let usage = labels.into_iter().zip(&totals);
        let usage = usage.map(|(node, (_, [uplink, downlink]))| NodeTraffic {
            node,
            uplink: *uplink,
            downlink: *downlink,
        });
        let durable = CounterChange::between(NODE_HOURS, &before, self.node_hours.rows());
        facts.extend([Fact::NodeTraffic(usage.collect()), Fact::Omitted(Part::Usage, omitted)]);
        Ok(Step { durable: durable.into_iter().collect(), ..Step::done(Part::Usage, facts) })
    }

    /// Bytes by node in the hours from `from` to `to` or now.
    async fn node_usage(
        &mut self,
        from: i64,
        to: Option<i64>,
        now: Moment,
    ) -> Result<Readings<2>, FetchError> {
        const DIRECTIONS: [&str; 2] = ["uplink", "downlink"];
        let window = convert::window(from, to);
        let (asked, path) = if self.system == Some(System::PasarGuard) {
            ("/api/node/usage", format!("/api/node/usage?period=hour&group_by_node=true&{window}"))
        } else {
            ("/api/nodes/usage", format!("/api/nodes/usage?{window}"))
        };
        let answer = self.get(asked, &path, now).await?;
        readable(asked, self.readings(&answer, DIRECTIONS))
    }

    /// The sums in a usage answer of either system; absent: it has none.
    fn readings<const N: usize>(&self, answer: &str, directions: [&'static str; N]) -> Option<Readings<N>> {
        let answer = Object::new("usage", answer, &self.odd)?;
        if self.system == Some(System::PasarGuard) {
            self.naming.by_id(&answer, &self.odd, directions)
        } else {
            convert::usages(&answer, &self.odd, directions)
        }
    }

    /// Reads one of the users named in the configuration, in turn.
    pub(super) async fn read_user_nodes(&mut self, now: Moment) -> Result<Step, FetchError> {
        let mut facts = self.know_nodes(now).await?;
        let mut durable = None;
        if let Some(user) = self.named.get(self.next_named) {
            let (name, windows) = (user.name.clone(), user.hours.windows(self.panel_time(now)));
            let finished = match windows.finished {
                Some((from, to)) => self.user_usage(&name, from, Some(to), now).await?,
                None => Some(Rows { kept: Vec::new(), omitted: 0 }),
            };
            let running = match finished {
                Some(_) => self.user_usage(&name, windows.running, None, now).await?,
                None => None,
            };
            // A user that could not be read keeps what was counted, and the missed hours are requested later.
            if let (Some(finished), Some(running)) = (finished, running)
                && let Some(user) = self.named.get_mut(self.next_named)
            {
                let before = user.hours.rows();
                let finished = user.hours.complete(finished.kept, finished.omitted > 0, false);
                let running =
                    user.hours.complete(running.kept, running.omitted > 0, windows.finished.is_some());
                user.totals = user.hours.add(windows, &finished.into_iter().collect(), running);
                durable = CounterChange::between(&user.family(), &before, user.hours.rows());
            }
            self.next_named += 1;
        }
        let durable = durable.into_iter().collect();
        if self.next_named < self.named.len() {
            return Ok(Step { durable, facts, ..Step::default() });
        }
        self.next_named = 0;
        let mut traffic = Vec::new();
        for NamedUser { name, totals, .. } in &self.named {
            let labels = self.naming.labels(totals.iter().map(|(node, _)| node));
            traffic.extend(labels.into_iter().zip(totals).map(|(node, (_, [bytes]))| UserNodeTraffic {
                user: name.as_str().into(),
                node,
                bytes: *bytes,
            }));
        }
        facts.push(Fact::UserNodes(traffic));
        Ok(Step { durable, ..Step::done(Part::UserNodes, facts) })
    }

    /// Bytes by node of one user in the hours from `from` to `to` or now; absent if the panel does not return them.
    async fn user_usage(
        &mut self,
        name: &str,
        from: i64,
        to: Option<i64>,
        now: Moment,
    ) -> Result<Option<Readings<1>>, FetchError> {
        const ASKED: &str = "/api/user/{name}/usage";
        let window = convert::window(from, to);
        let user = convert::percent_encode(name);
        let (path, direction) = if self.system == Some(System::PasarGuard) {
            (format!("/api/user/{user}/usage?period=hour&group_by_node=true&{window}"), "total_traffic")
        } else {
            (format!("/api/user/{user}/usage?{window}"), "used_traffic")
        };
        let readings = self
            .get(ASKED, &path, now)
            .await
            .and_then(|answer| readable(ASKED, self.readings(&answer, [direction])));
        match readings {
            Ok(readings) => Ok(Some(readings)),
            // The user does not exist, belongs to another admin, or is broken: no reason to leave out the others.
            Err(err)
                if matches!(err.scope(), Scope::Part | Scope::NotAllowed) && err.again == Again::Usual =>
            {
                Ok(None)
            }
            Err(err) => Err(err),
        }
    }
}
