//! Traffic by node, of all users and of those named in the configuration: counters built from hourly sums.

use std::collections::HashMap;

use super::{
    Marzban,
    convert::{self, NodeKey},
    hours::Hours,
    named::NamedUser,
    wire,
};
use crate::{
    http,
    model::{CounterChange, CounterFamilies, Fact, Moment, NodeTraffic, Part, System, UserNodeTraffic},
    upstream::{Cause, FetchError, Step},
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
        self.know_nodes(now).await?;
        let windows = self.node_hours.windows(self.panel_time(now));
        let finished = match windows.finished {
            Some((from, to)) => self.node_usage(from, Some(to), now).await?.into_iter().collect(),
            None => HashMap::new(),
        };
        let running = self.node_usage(windows.running, None, now).await?;
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
        let facts = vec![Fact::NodeTraffic(usage.collect())];
        Ok(Step { durable: durable.into_iter().collect(), ..Step::done(Part::Usage, facts) })
    }

    /// Bytes by node in the hours from `from` to `to` or now.
    async fn node_usage(
        &mut self,
        from: i64,
        to: Option<i64>,
        now: Moment,
    ) -> Result<Vec<(NodeKey, [u64; 2])>, FetchError> {
        let window = convert::window(from, to);
        if self.system == Some(System::PasarGuard) {
            let path = format!("/api/node/usage?period=hour&group_by_node=true&{window}");
            let answer: wire::Stats = self.get("/api/node/usage", &path, now).await?;
            return Ok(self.naming.by_id(answer, |bucket| [bucket.uplink.0, bucket.downlink.0]));
        }
        let path = format!("/api/nodes/usage?{window}");
        let answer: wire::Usages = self.get("/api/nodes/usage", &path, now).await?;
        Ok(convert::usages(answer, |usage| [usage.uplink.0, usage.downlink.0]))
    }

    /// Reads one of the users named in the configuration, in turn.
    pub(super) async fn read_user_nodes(&mut self, now: Moment) -> Result<Step, FetchError> {
        self.know_nodes(now).await?;
        let mut durable = None;
        if let Some(user) = self.named.get(self.next_named) {
            let (name, windows) = (user.name.clone(), user.hours.windows(self.panel_time(now)));
            let finished = match windows.finished {
                Some((from, to)) => self.user_usage(&name, from, Some(to), now).await?,
                None => Some(Vec::new()),
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
                user.totals = user.hours.add(windows, &finished.into_iter().collect(), running);
                durable = CounterChange::between(&user.family(), &before, user.hours.rows());
            }
            self.next_named += 1;
        }
        let durable = durable.into_iter().collect();
        if self.next_named < self.named.len() {
            return Ok(Step { durable, ..Step::default() });
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
        Ok(Step { durable, ..Step::done(Part::UserNodes, vec![Fact::UserNodes(traffic)]) })
    }

    /// Bytes by node of one user in the hours from `from` to `to` or now; absent if the panel does not return them.
    async fn user_usage(
        &mut self,
        name: &str,
        from: i64,
        to: Option<i64>,
        now: Moment,
    ) -> Result<Option<Vec<(NodeKey, [u64; 1])>>, FetchError> {
        const ASKED: &str = "/api/user/{name}/usage";
        let window = convert::window(from, to);
        let user = convert::percent_encode(name);
        let by_node = if self.system == Some(System::PasarGuard) {
            let path = format!("/api/user/{user}/usage?period=hour&group_by_node=true&{window}");
            let answer = self.get::<wire::Stats>(ASKED, &path, now).await;
            answer.map(|stats| self.naming.by_id(stats, |bucket| [bucket.total_traffic.0]))
        } else {
            let path = format!("/api/user/{user}/usage?{window}");
            let answer = self.get::<wire::Usages>(ASKED, &path, now).await;
            answer.map(|usages| convert::usages(usages, |usage| [usage.used_traffic.0]))
        };
        match by_node {
            Ok(list) => Ok(Some(list)),
            // The user does not exist, belongs to another admin, or is broken: no reason to leave out the others.
            Err(FetchError {
                cause: Cause::NotFound(_) | Cause::NotAllowed | Cause::Http(http::Error::Status(500)),
                ..
            }) => Ok(None),
            Err(err) => Err(err),
        }
    }
}
