//! Traffic by node, of all users and of those named in the configuration: counters made of hour buckets.

use std::collections::HashMap;

use super::{
    Marzban,
    convert::{self, NodeKey},
    hours::Windows,
    wire,
};
use crate::{
    http,
    model::{Moment, NodeTraffic, PartData, System, UserNodeTraffic},
    upstream::{Cause, FetchError, Step},
};

/// A user, by place in the configuration, on a node.
pub(super) type UserNodeKey = (usize, NodeKey);

/// A round over the users whose traffic by node is asked for.
#[derive(Debug, Default)]
pub(super) struct UserNodes {
    next: usize,
    windows: Option<Windows>,
    finished: HashMap<UserNodeKey, [u64; 1]>,
    running: Vec<(UserNodeKey, [u64; 1])>,
}

impl Marzban {
    pub(super) async fn read_usage(&mut self, now: Moment) -> Result<Step, FetchError> {
        let windows = self.node_hours.windows(self.panel_time(now));
        let finished = match windows.finished {
            Some((from, to)) => self.node_usage(from, Some(to), now).await?.into_iter().collect(),
            None => HashMap::new(),
        };
        let running = self.node_usage(windows.running, None, now).await?;
        let totals = self.node_hours.add(windows, &finished, running);
        let labels = self.naming.labels(totals.iter().map(|(key, _)| key));
        let usage = labels.into_iter().zip(&totals);
        let usage = usage.map(|(node, (_, [uplink, downlink]))| NodeTraffic {
            node,
            uplink: *uplink,
            downlink: *downlink,
        });
        Ok(Step::Done(PartData::Usage(usage.collect())))
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

    /// One user of those named in the configuration.
    pub(super) async fn read_user_nodes(&mut self, now: Moment) -> Result<Step, FetchError> {
        let planned = self.user_hours.windows(self.panel_time(now));
        let windows = *self.user_nodes.windows.get_or_insert(planned);
        let index = self.user_nodes.next;
        if let Some(name) = self.config.node_traffic_of.get(index).cloned() {
            if let Some((from, to)) = windows.finished {
                let finished = self.user_usage(index, &name, from, Some(to), now).await?;
                self.user_nodes.finished.extend(finished);
            }
            let running = self.user_usage(index, &name, windows.running, None, now).await?;
            self.user_nodes.running.extend(running);
            self.user_nodes.next += 1;
        }
        if self.user_nodes.next < self.config.node_traffic_of.len() {
            return Ok(Step::More(None));
        }
        let round = std::mem::take(&mut self.user_nodes);
        let totals = self.user_hours.add(windows, &round.finished, round.running);
        let mut traffic = Vec::with_capacity(totals.len());
        for (index, name) in self.config.node_traffic_of.iter().enumerate() {
            let of_user: Vec<_> = totals.iter().filter(|((user, _), _)| *user == index).collect();
            let labels = self.naming.labels(of_user.iter().map(|((_, node), _)| node));
            traffic.extend(labels.into_iter().zip(of_user).map(|(node, (_, [bytes]))| UserNodeTraffic {
                user: name.as_str().into(),
                node,
                bytes: *bytes,
            }));
        }
        Ok(Step::Done(PartData::UserNodes(traffic)))
    }

    /// Bytes by node of one user in the hours from `from` to `to` or now; none if the panel does not give them.
    async fn user_usage(
        &mut self,
        index: usize,
        name: &str,
        from: i64,
        to: Option<i64>,
        now: Moment,
    ) -> Result<Vec<(UserNodeKey, [u64; 1])>, FetchError> {
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
            Ok(list) => Ok(list.into_iter().map(|(node, bytes)| ((index, node), bytes)).collect()),
            // No such user, somebody else's user, or a broken one: no reason to leave out the others.
            Err(FetchError {
                cause: Cause::NotFound(_) | Cause::Refused | Cause::Http(http::Error::Status(500)),
                ..
            }) => Ok(Vec::new()),
            Err(err) => Err(err),
        }
    }
}
