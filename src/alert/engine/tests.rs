//! The promises of quiet: each test is one of them.

mod flapping;
mod inbounds;
mod llm;
mod own;
mod promises;
mod pseudonyms;
mod restart;
mod shown;
mod silences;
mod storm;
mod walk;

use crate::wording::Voice;
use std::{sync::Arc, time::Duration};

use super::{Engine, Output, Rows};
use crate::{
    alert::{
        config::AlertingConfig,
        group::{Outcome, Pick, Route, Size, Suppressed},
        testing::{Panel, at, config},
        words::Pseudonym,
    },
    model::{Moment, Notice, NoticeStatus, Report, Severity},
};

pub(super) fn route(receiver: &str) -> Route {
    let config = config();
    Route {
        receiver: receiver.into(),
        min_severity: Severity::Info,
        send_resolved: true,
        group_by: config.group_by,
        group_wait: config.group_wait,
        group_interval: config.group_interval,
        repeat_interval: None,
        voice: Voice::default(),
        standing: false,
        digest: None,
        statements: Vec::new(),
    }
}

/// An engine, what it has kept so far, and what it has said.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) config: AlertingConfig,
    pub(super) routes: Vec<Route>,
    pub(super) pseudonym: Option<Pseudonym>,
    /// As a store would have it.
    pub(super) kept: Kept,
    pub(super) notices: Vec<Notice>,
    pub(super) reread: Vec<Arc<str>>,
    /// Of each tick.
    pub(super) suppressed: Vec<Suppressed>,
}

#[derive(Default)]
pub(super) struct Kept {
    pub(super) alerts: std::collections::BTreeMap<String, String>,
    pub(super) groups: std::collections::BTreeMap<String, String>,
    pub(super) silences: std::collections::BTreeMap<String, String>,
}

impl Kept {
    fn record(&mut self, output: &Output) {
        let tables = [
            (&mut self.alerts, &output.alerts),
            (&mut self.groups, &output.groups),
            (&mut self.silences, &output.silences),
        ];
        for (rows, changed) in tables {
            for (key, text) in changed {
                match text {
                    Some(text) => drop(rows.insert(key.clone(), text.clone())),
                    None => drop(rows.remove(key)),
                }
            }
        }
    }

    pub(super) fn rows(&self) -> Rows {
        let rows = |rows: &std::collections::BTreeMap<String, String>| {
            rows.iter().map(|(key, text)| (key.clone(), text.clone())).collect()
        };
        Rows { alerts: rows(&self.alerts), groups: rows(&self.groups), silences: rows(&self.silences) }
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Bench::with(config(), vec![route("ops")])
    }

    pub(super) fn with(config: AlertingConfig, routes: Vec<Route>) -> Self {
        let engine = Engine::new(&config, routes.clone(), &Rows::default(), at(0)).unwrap();
        let kept = Kept::default();
        let (notices, reread, suppressed) = (Vec::new(), Vec::new(), Vec::new());
        Bench { engine, config, routes, pseudonym: None, kept, notices, reread, suppressed }
    }

    pub(super) fn observe(&mut self, reports: &[Arc<Report>], now: Moment) {
        self.engine.observe_reports(reports, now);
        self.tick(now);
    }

    pub(super) fn tick(&mut self, now: Moment) {
        self.engine.tick(now);
        for Route { receiver, .. } in &self.routes {
            let pseudonym = self.pseudonym.as_ref();
            while let Some(composed) =
                self.engine.next(receiver, Pick::Urgent, Size::default(), pseudonym, now)
            {
                self.engine.settle(receiver, &composed.message.id, &Outcome::Taken, now);
                self.notices.push(Arc::unwrap_or_clone(composed.notice));
            }
        }
        shown::check(&self.engine);
        let output = self.engine.take_output();
        self.kept.record(&output);
        self.suppressed.push(output.suppressed);
        self.reread.extend(output.reread.into_iter().flat_map(|reread| reread.users));
    }

    /// Lets time pass to `until`, with a tick whenever one is due.
    pub(super) fn pass(&mut self, from: Moment, until: Moment) {
        let mut now = from;
        loop {
            let due = self.engine.due().max(now.uptime + Duration::from_millis(1));
            if due > until.uptime {
                break;
            }
            let step = due - now.uptime;
            now = Moment { wall: now.wall.saturating_add(step), uptime: due };
            self.tick(now);
        }
        self.tick(until);
    }

    /// The process dies and another takes over what was kept.
    pub(super) fn restart(&mut self, now: Moment) {
        self.engine = Engine::new(&self.config, self.routes.clone(), &self.kept.rows(), now).unwrap();
    }

    /// What the notices since the last call said: receiver, reason, and `status subject step` of each alert.
    pub(super) fn said(&mut self) -> Vec<(String, String, Vec<String>)> {
        let told = self.notices.drain(..).map(|notice| {
            let alerts = notice.alerts.iter().map(|alert| {
                let status = if alert.status == NoticeStatus::Firing { "" } else { "-" };
                let label = |name: &str| alert.labels.get(name);
                let subject = label("subject").or(label("target")).unwrap_or_default();
                format!("{status}{subject} {}", label("step").unwrap_or_default()).trim().to_owned()
            });
            let mut alerts: Vec<_> = alerts.collect();
            alerts.sort_unstable();
            (notice.receiver, notice.reason, alerts)
        });
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    }

    /// The alert names of the notices since the last call, and how many alerts each had.
    pub(super) fn names(&mut self) -> Vec<(String, usize)> {
        let told = self.notices.drain(..);
        told.map(|notice| (notice.group_labels["alertname"].clone(), notice.alerts.len())).collect()
    }

    /// Polls the panel every half minute, as long as it takes.
    pub(super) fn poll_for(&mut self, panel: &mut Panel, from: u64, until: u64) {
        for secs in (from..until).step_by(30) {
            let report = panel.poll(at(secs));
            self.observe(&[report], at(secs));
            self.pass(at(secs), at((secs + 30).min(until)));
        }
    }
}
