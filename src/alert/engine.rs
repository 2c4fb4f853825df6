//! Rules, state and groups put together: reports and the time go in, notices and rows come out. Pure.

mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub use view::AlertView;

use super::{
    config::AlertingConfig,
    finding::findings,
    group::{Groups, Mutes, Route, Suppressed},
    rule::{RuleError, Rules},
    state::{AlertId, Event, State},
};
use crate::{
    board::View,
    model::{ActiveAlerts, Moment, Notice, NoticeStatus, Report},
};

/// The alert engine of one process.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    state: State,
    groups: Groups,
    /// The newest report of each target, and when it is to be looked at again.
    targets: BTreeMap<Arc<str>, Watched>,
    /// Version of the view that was looked at last.
    version: Option<u64>,
    alerts: Arc<Vec<AlertView>>,
    output: Output,
    /// A stored time lay ahead of the clock.
    clock_was_ahead: bool,
}

#[derive(Debug)]
struct Watched {
    report: Arc<Report>,
    looked_at: Option<Arc<Report>>,
    due: Duration,
}

/// What an engine keeps from one process to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Key and JSON.
    pub alerts: Vec<(String, String)>,
    pub groups: Vec<(String, String)>,
}

/// What is to be done after a tick. Rows and notices belong together: they are to be kept in one transaction, and the
/// notices sent only then.
#[derive(Debug, Default)]
pub struct Output {
    /// Key and JSON; none: to be deleted.
    pub alerts: Vec<(String, Option<String>)>,
    pub groups: Vec<(String, Option<String>)>,
    pub notices: Vec<Notice>,
    pub reread: Vec<Reread>,
    pub suppressed: Suppressed,
}

/// Users of a target whose alerts fire only after they have been read again by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reread {
    pub target: Arc<str>,
    pub users: Vec<Arc<str>>,
}

/// Without anything new, a target is looked at this often: plans end by time passing.
const LOOK_EVERY: Duration = Duration::from_secs(15);

impl Engine {
    /// An engine that goes on from `rows`. With alerting turned off it knows what fires and sends nothing.
    ///
    /// # Errors
    /// Every mistake in the configuration, not only the first.
    pub fn new(
        config: &AlertingConfig,
        routes: Vec<Route>,
        rows: &Rows,
        now: Moment,
    ) -> Result<Self, Vec<RuleError>> {
        let (rules, mutes) = check(config)?;
        let routes = if config.enabled { routes } else { Vec::new() };
        let (state, clock_was_ahead) = State::restore(&rows.alerts, &rules, now);
        let mut state = state.adopting(config.adopt);
        let mut groups = Groups::new(routes, mutes);
        groups.restore(&rows.groups, &state, now);
        forget_what_all_know(&mut state, &groups);
        let mut engine = Engine {
            rules,
            state,
            groups,
            targets: BTreeMap::new(),
            version: None,
            alerts: Arc::default(),
            output: Output::default(),
            clock_was_ahead,
        };
        engine.alerts = view::list(&engine.state);
        Ok(engine)
    }

    /// Goes on under another configuration. What has not changed is not sent again, and what waits goes on waiting.
    /// Whether the present state is adopted is decided at the start alone.
    ///
    /// # Errors
    /// Every mistake in the configuration, not only the first. Then nothing has changed.
    pub fn reconfigure(
        &mut self,
        config: &AlertingConfig,
        routes: Vec<Route>,
        now: Moment,
    ) -> Result<(), Vec<RuleError>> {
        let (rules, mutes) = check(config)?;
        let routes = if config.enabled { routes } else { Vec::new() };
        self.state.judge_by(&rules);
        let mut groups = Groups::new(routes, mutes);
        groups.restore(&self.groups.rows(), &self.state, now);
        groups.take_over(&mut self.groups);
        (self.rules, self.groups) = (rules, groups);
        forget_what_all_know(&mut self.state, &self.groups);
        for watched in self.targets.values_mut() {
            watched.looked_at = None;
        }
        self.alerts = view::list(&self.state);
        Ok(())
    }

    /// Takes in what is on the board.
    pub fn observe(&mut self, view: &View, now: Moment) {
        if self.version != Some(view.version) || self.targets.len() != view.reports.len() {
            self.version = Some(view.version);
            self.observe_reports(&view.reports, now);
        }
    }

    /// Takes in the newest report of every target that is watched.
    pub fn observe_reports(&mut self, reports: &[Arc<Report>], now: Moment) {
        for report in reports {
            let watched = self.targets.entry(Arc::clone(&report.target)).or_insert_with(|| Watched {
                report: Arc::clone(report),
                looked_at: None,
                due: now.uptime,
            });
            watched.report = Arc::clone(report);
        }
        let names: BTreeSet<_> = reports.iter().map(|report| Arc::clone(&report.target)).collect();
        self.targets.retain(|name, _| names.contains(name));
        let events = self.state.keep_targets(&names, now);
        self.take(events, now);
        self.look(now);
    }

    /// Does what is due by now, and hands out everything that is to be done since the last tick.
    pub fn tick(&mut self, now: Moment) -> Output {
        self.look(now);
        let flushed = self.groups.flush(&mut self.state, now);
        let mut output = std::mem::take(&mut self.output);
        output.notices = flushed.notices;
        output.suppressed = flushed.suppressed;
        output.alerts = self.state.take_rows();
        output.groups = self.groups.take_rows();
        output
    }

    /// The uptime at which the next tick is due.
    pub fn due(&self) -> Duration {
        let looks = self.targets.values().map(|watched| watched.due);
        looks.chain(self.groups.due()).min().unwrap_or(Duration::MAX)
    }

    /// Alerts that are pending or firing, as of the last look at their target.
    pub fn alerts(&self) -> Arc<Vec<AlertView>> {
        Arc::clone(&self.alerts)
    }

    /// The same in plain terms, for rooms that do not know rules.
    pub fn active(&self) -> ActiveAlerts {
        let rules = self.rules.list().iter();
        let known = rules.flat_map(|rule| rule.steps.iter().map(|step| (rule.kind.alertname, step.severity)));
        ActiveAlerts { known: known.collect(), list: self.alerts.iter().map(AlertView::active).collect() }
    }

    /// Whether a stored time lay ahead of the clock, which must have been set back since.
    pub fn clock_was_ahead(&self) -> bool {
        self.clock_was_ahead
    }

    /// Looks at every target that has something new or is due.
    fn look(&mut self, now: Moment) {
        let mut events = Vec::new();
        let mut looked = false;
        for (name, watched) in &mut self.targets {
            let same = watched.looked_at.as_ref().is_some_and(|known| Arc::ptr_eq(known, &watched.report));
            if same && watched.due > now.uptime {
                continue;
            }
            looked = true;
            let advance = self.state.advance(&findings(&self.rules, &watched.report, now), now);
            watched.looked_at = Some(Arc::clone(&watched.report));
            watched.due = (now.uptime + LOOK_EVERY).min(advance.due.unwrap_or(Duration::MAX));
            events.extend(advance.events);
            if !advance.reread.is_empty() {
                self.output.reread.push(Reread { target: Arc::clone(name), users: advance.reread });
            }
        }
        self.take(events, now);
        if looked {
            self.alerts = view::list(&self.state);
        }
    }

    fn take(&mut self, events: Vec<Event>, now: Moment) {
        for event in events {
            match event {
                Event::Fired(id) => {
                    if let Some(alert) = self.state.alert(&id) {
                        self.groups.add(&alert, now);
                    }
                }
                Event::Resolved(id) => {
                    // One that fires again already is in its group's next message.
                    let ended = self.state.alert(&id).and_then(|alert| alert.status());
                    if ended == Some(NoticeStatus::Resolved) && !self.groups.resolve(&id, now) {
                        self.state.forget(&id);
                    }
                }
                Event::Dropped(id) => self.groups.drop_alert(&id, now),
            }
        }
    }
}

/// Forgets ended alerts of which no receiver has to be notified any more.
fn forget_what_all_know(state: &mut State, groups: &Groups) {
    let ended = state.alerts().filter(|alert| alert.status() == Some(NoticeStatus::Resolved));
    let ended: Vec<AlertId> = ended.map(|alert| alert.id()).collect();
    for id in ended.iter().filter(|id| !groups.owes(id)) {
        state.forget(id);
    }
}

/// The rules and mute windows of a configuration.
fn check(config: &AlertingConfig) -> Result<(Rules, Mutes), Vec<RuleError>> {
    match (Rules::new(config), Mutes::new(&config.mutes)) {
        (Ok(rules), Ok(mutes)) => Ok((rules, mutes)),
        (rules, mutes) => Err([rules.err(), mutes.err()].into_iter().flatten().flatten().collect()),
    }
}

#[cfg(test)]
mod tests;
