use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    config::AlertmanagerConfig,
    post::lasts,
    replica::{AlertmanagerError, Replica},
};
use crate::{
    model::{Moment, NoticeAlert},
    notify::Answer,
};

/// Posts alerts to the replicas of one Alertmanager. Its `Debug` shows their hosts and nothing more.
pub struct Alertmanager {
    pub(super) replicas: Vec<Replica>,
    pub(super) resend: Duration,
}

impl Alertmanager {
    /// Where its replicas are, for logs.
    pub fn place(&self) -> String {
        self.replicas.iter().map(Replica::host).collect::<Vec<_>>().join(", ")
    }

    /// `external_url` is the address of the daemon's pages; empty if there is none.
    ///
    /// # Errors
    /// When `config` has a value that cannot work.
    pub fn new(config: &AlertmanagerConfig, external_url: &str) -> Result<Self, AlertmanagerError> {
        let replicas: Result<Vec<_>, _> =
            config.urls.iter().map(|url| Replica::new(url, config, external_url)).collect();
        let replicas = replicas?;
        if replicas.is_empty() {
            return Err(AlertmanagerError::None);
        }
        Ok(Alertmanager { replicas, resend: config.resend })
    }

    /// Posts alerts to each replica once. They end by themselves. Returns the answer of each replica.
    pub async fn post_once(&mut self, alerts: &[Arc<NoticeAlert>], now: Moment) -> Vec<Answer> {
        let last = lasts(self.resend);
        let is_one = self.replicas.len() == 1;
        let posts = self.replicas.iter_mut().map(|replica| async move {
            let posted = replica.post(alerts, now.wall, last).await;
            let host = replica.host();
            let outcome = posted.map(|()| format!("{host} answered 200")).map_err(|refusal| refusal.error);
            let said =
                replica.said().map(|said| if is_one { said.to_owned() } else { format!("{host}: {said}") });
            Answer { said, outcome }
        });
        join_all(posts).await
    }
}

impl fmt::Debug for Alertmanager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alertmanager").field("replicas", &self.replicas).finish_non_exhaustive()
    }
}
