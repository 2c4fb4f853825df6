//! Combines rules, state and groups: reports, outcomes and the time go in, messages and rows come out. Pure.

mod view;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    config::AlertingConfig,
    digest::{self, AskTop, OfTarget, Tops},
    finding::{findings_with, own_findings},
    group::{
        Backlog, Composed, Groups, Living, Mutes, Outcome, Pick, Quiet, Route, Silences, Size, Suppressed,
    },
    rule::{RuleError, Rules},
    state::{AlertId, Event, State},
    statement::{AskStatement, Statement},
    traffic::Traffic,
    words::Pseudonym,
};
use crate::{
    board::View,
    model::{
        ActiveAlerts, Moment, Month, Notice, NoticeAlert, NoticeStatus, OwnState, Report, SilenceChange,
        SilenceError, Timestamp,
    },
    store::{Message, Settlement},
};

/// The alert engine of one process.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    state: State,
    groups: Groups,
    /// The newest report of each target, and when to evaluate it again.
    targets: BTreeMap<Arc<str>, Watched<Report>>,
    /// What the users of each target moved lately, if a rule asks.
    traffic: BTreeMap<Arc<str>, Traffic>,
    /// Targets that another shard watches.
    elsewhere: BTreeSet<Arc<str>>,
    own: Watched<OwnState>,
    /// Version of the view that was taken in last.
    version: Option<u64>,
    active: Arc<ActiveAlerts>,
    reread: Vec<Reread>,
    /// A stored time was ahead of the clock.
    clock_was_ahead: bool,
}

/// What rules are evaluated on, and when to do so again.
#[derive(Debug)]
struct Watched<T> {
    newest: Arc<T>,
    looked_at: Option<Arc<T>>,
    due: Duration,
}

/// What an engine keeps from one process to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Key and JSON.
    pub alerts: Vec<(String, String)>,
    pub groups: Vec<(String, String)>,
    pub silences: Vec<(String, String)>,
}

/// What has come of a round. Rows and outcomes belong together with the messages that were composed: record them in one
/// transaction, and send the messages only after that.
#[derive(Debug, Default)]
pub struct Output {
    /// Key and JSON; none: delete the row.
    pub alerts: Vec<(String, Option<String>)>,
    pub groups: Vec<(String, Option<String>)>,
    pub silences: Vec<(String, Option<String>)>,
    /// Outcomes of recorded messages.
    pub settled: Vec<(String, Settlement)>,
    pub reread: Vec<Reread>,
    pub suppressed: Suppressed,
}

/// Users of a target who have to be read again by name before their alerts can fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reread {
    pub target: Arc<str>,
    pub users: Vec<Arc<str>>,
}

/// How often a target is evaluated without a new report: plans end as time passes.
const LOOK_EVERY: Duration = Duration::from_secs(15);

impl Engine {
    /// An engine that continues from `rows`. With alerting disabled it knows what fires and sends nothing.
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
        let quiet = Quiet::new(mutes, Silences::restore(&rows.silences, now));
        let mut groups = Groups::new(routes, quiet);
        groups.advance(now);
        groups.restore(&rows.groups, &state, now);
        forget_what_is_settled(&mut state, &groups);
        let mut engine = Engine {
            rules,
            state,
            groups,
            targets: BTreeMap::new(),
            traffic: BTreeMap::new(),
            elsewhere: config.elsewhere.clone(),
            own: Watched::new(Arc::default(), now),
            version: None,
            active: Arc::default(),
            reread: Vec::new(),
            clock_was_ahead,
        };
        engine.show();
        Ok(engine)
    }

    /// Continues with another configuration. Alerts that did not change are not sent again, and what waits keeps its
    /// time. Only the start decides whether the present state is adopted.
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
        let mut groups = Groups::new(routes, Quiet::new(mutes, Silences::default()));
        groups.restore(&self.groups.rows(), &self.state, now);
        groups.take_over(&mut self.groups);
        groups.advance(now);
        (self.rules, self.groups) = (rules, groups);
        self.elsewhere.clone_from(&config.elsewhere);
        forget_what_is_settled(&mut self.state, &self.groups);
        for watched in self.targets.values_mut() {
            watched.looked_at = None;
        }
        self.own.looked_at = None;
        self.show();
        Ok(())
    }

    /// Takes in the reports on the board.
    pub fn observe(&mut self, view: &View, now: Moment) {
        if self.version != Some(view.version) || self.targets.len() != view.reports.len() {
            self.version = Some(view.version);
            self.own.newest = Arc::clone(&view.own);
            self.observe_reports(&view.reports, now);
        }
    }

    /// Takes in the newest report of every target that is watched.
    pub fn observe_reports(&mut self, reports: &[Arc<Report>], now: Moment) {
        for report in reports {
            let watched = self.targets.entry(Arc::clone(&report.target));
            let watched = watched.or_insert_with(|| Watched::new(Arc::clone(report), now));
            watched.newest = Arc::clone(report);
        }
        let names: BTreeSet<_> = reports.iter().map(|report| Arc::clone(&report.target)).collect();
        self.targets.retain(|name, _| names.contains(name));
        self.traffic.retain(|name, _| names.contains(name));
        let events = self.state.keep_targets(&names, &self.elsewhere, now);
        self.take(events, now);
        self.look(now);
    }

    /// Does what is due by now.
    pub fn tick(&mut self, now: Moment) {
        if self.groups.advance(now) {
            self.state.show_again();
        }
        self.look(now);
        self.groups.look(&mut self.state, now);
    }

    /// Adds, changes or ends a silence, and returns its id. It holds from now on; record the output before telling so.
    ///
    /// # Errors
    /// Why it cannot be made. Then nothing has changed.
    pub fn change_silences(&mut self, change: SilenceChange, now: Moment) -> Result<Arc<str>, SilenceError> {
        let id = self.groups.change_silences(change, now)?;
        self.state.show_again();
        Ok(id)
    }

    /// Composes a message for a receiver, by what holds now; absent: there is nothing to say. Until
    /// [`Engine::settle`], nothing else is composed about the alerts in it. It names users by `pseudonym` if there is one.
    pub fn next(
        &mut self,
        receiver: &str,
        pick: Pick,
        size: Size,
        pseudonym: Option<&Pseudonym>,
        now: Moment,
    ) -> Option<Composed> {
        self.groups.next(receiver, pick, size, &mut self.state, pseudonym, now)
    }

    /// Notes what became of a composed message.
    pub fn settle(&mut self, receiver: &str, id: &str, outcome: &Outcome, now: Moment) {
        self.groups.settle(receiver, id, outcome, &mut self.state, now);
    }

    /// Continues with messages that were recorded and have no outcome: what they say is yet to be told. Returns those with
    /// ends that no alert leads to any more, as other versions left them, with just these ends; without a notice, if it
    /// cannot be read. After this, the backlog is known.
    pub fn adopt(&mut self, messages: Vec<Message>, now: Moment) -> Vec<(Message, Option<Notice>)> {
        // Most starts have none, and then there is no need to name every alert.
        let named = self.state.alerts().filter(|_| !messages.is_empty());
        let alerts = named.filter_map(|alert| Some((alert.event()?, alert)));
        let living = alerts.map(|(event, alert)| {
            (event.to_string(), Living { id: alert.id(), event, since: alert.changed_at() })
        });
        let living: HashMap<_, _> = living.collect();
        let mut left = Vec::new();
        for message in messages {
            let Ok(notice) = message.packed.unpack() else {
                left.push((message, None));
                continue;
            };
            let (kept, mut alerts) = self.groups.adopt(&message, &notice, &living, now);
            if kept {
                continue;
            }
            // What fired again since has a state of its own.
            let lives = |id: AlertId| self.state.alert(&id).and_then(|alert| alert.event()).is_some();
            alerts.retain(|alert| !AlertId::of(&alert.labels).is_some_and(lives));
            if alerts.len() == notice.alerts.len() {
                left.push((message, Some(notice)));
                continue;
            }
            self.groups.outdate(message.id);
            if !alerts.is_empty() {
                let covers = notice.covers.iter().cloned().chain([notice.id.clone()]).collect();
                let notice = Notice { id: Notice::new_id(), alerts, covers, ..notice };
                left.extend(Message::of(&notice).ok().map(|message| (message, Some(notice))));
            }
        }
        self.groups.look(&mut self.state, now);
        left
    }

    /// What a digest for a receiver says, of what has changed since `since` and of what holds now. `tops` is what was found
    /// in the history of use.
    pub fn digest(
        &self,
        (receiver, tops): (&str, &Tops),
        since: Timestamp,
        pseudonym: Option<&Pseudonym>,
        now: Moment,
    ) -> Vec<OfTarget> {
        digest::of(self.reports(), &self.rules, (receiver, tops), pseudonym, since, now)
    }

    /// What a digest for a receiver asks the history of use, about so many users of each target.
    pub fn ask_top(&self, receiver: &str, most: usize) -> Option<AskTop> {
        AskTop::of(self.reports(), &self.rules, receiver, most)
    }

    /// What a statement about `month` asks the history of use; absent: there is no such target.
    pub fn ask_statement(&self, statement: &Statement, month: Month) -> Option<AskStatement> {
        let report = self.reports().find(|report| *report.target == *statement.target)?;
        Some(AskStatement::of(statement, month, report))
    }

    pub fn has_target(&self, name: &str) -> bool {
        self.targets.contains_key(name)
    }

    fn reports(&self) -> impl Iterator<Item = &Report> {
        self.targets.values().map(|watched| &*watched.newest)
    }

    /// Whether every target was read since the start, as far as digests need it.
    pub fn all_are_read(&self) -> bool {
        self.targets.values().all(|watched| digest::is_read(&watched.newest))
    }

    /// What a receiver is yet to be told.
    pub fn backlog(&self, receiver: &str) -> Backlog {
        self.groups.backlog(receiver)
    }

    /// How often the most urgent intent for a receiver has failed; absent: there is nothing to say to it that is not in
    /// flight.
    pub fn urgent(&self, receiver: &str) -> Option<u32> {
        self.groups.urgent(receiver)
    }

    /// What fires, and what ended after it had been posted, for an Alertmanager.
    pub fn standing(
        &mut self,
        receiver: &str,
        pseudonym: Option<&Pseudonym>,
        now: Moment,
    ) -> (Vec<Arc<NoticeAlert>>, Vec<Arc<NoticeAlert>>) {
        self.groups.standing(receiver, &mut self.state, pseudonym, now)
    }

    /// The ends of these events need not be posted to an Alertmanager any more.
    pub fn over(&mut self, receiver: &str, events: &HashSet<String>) {
        self.groups.over(receiver, events, &mut self.state);
    }

    /// The Alertmanagers for which an alert is new since the last call.
    pub fn take_changed(&mut self) -> Vec<String> {
        self.groups.take_changed()
    }

    /// What has come since the last call.
    pub fn take_output(&mut self) -> Output {
        Output {
            alerts: self.state.take_rows(),
            groups: self.groups.take_rows(),
            silences: self.groups.take_silences(),
            settled: self.groups.take_settled(),
            reread: std::mem::take(&mut self.reread),
            suppressed: self.groups.take_suppressed(),
        }
    }

    /// The uptime at which the next tick is due.
    pub fn due(&self) -> Duration {
        let looks = self.targets.values().map(|watched| watched.due).chain([self.own.due]);
        looks.chain(self.groups.due()).min().unwrap_or(Duration::MAX)
    }

    /// Alerts that are pending, firing or suppressed, as of the last look at their target.
    pub fn active(&self) -> Arc<ActiveAlerts> {
        Arc::clone(&self.active)
    }

    /// Whether a stored time was ahead of the clock, which must have been set back since.
    pub fn clock_was_ahead(&self) -> bool {
        self.clock_was_ahead
    }

    /// Evaluates every target that has a new report or is due, and the daemon itself.
    fn look(&mut self, now: Moment) {
        let mut events = Vec::new();
        if self.own.is_due(now) {
            let advance = self.state.advance(&own_findings(&self.rules, &self.own.newest, now), now);
            self.own.looked_at(now, advance.due);
            events.extend(advance.events);
        }
        for (name, watched) in &mut self.targets {
            if !watched.is_due(now) {
                continue;
            }
            let traffic = self.traffic.entry(Arc::clone(name)).or_default();
            traffic.observe(&self.rules, &watched.newest, now);
            let findings = findings_with(&self.rules, &watched.newest, traffic, now);
            let advance = self.state.advance(&findings, now);
            watched.looked_at(now, advance.due);
            events.extend(advance.events);
            if !advance.reread.is_empty() {
                self.reread.push(Reread { target: Arc::clone(name), users: advance.reread });
            }
        }
        self.take(events, now);
        self.show();
    }

    /// Shows what has changed, if anything has.
    fn show(&mut self) {
        if self.state.take_shows_otherwise() {
            self.active = view::active(&self.rules, &mut self.state, self.groups.quiet());
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
                    // An alert that already fires again is in its group's next message.
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

impl<T> Watched<T> {
    fn new(newest: Arc<T>, now: Moment) -> Self {
        Watched { newest, looked_at: None, due: now.uptime }
    }

    fn is_due(&self, now: Moment) -> bool {
        let same = self.looked_at.as_ref().is_some_and(|known| Arc::ptr_eq(known, &self.newest));
        !same || self.due <= now.uptime
    }

    fn looked_at(&mut self, now: Moment, due: Option<Duration>) {
        self.looked_at = Some(Arc::clone(&self.newest));
        self.due = (now.uptime + LOOK_EVERY).min(due.unwrap_or(Duration::MAX));
    }
}

/// Forgets resolved alerts of which no receiver has to be notified any more.
fn forget_what_is_settled(state: &mut State, groups: &Groups) {
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
