//! A receiver at the far end: what was recorded for it, and its view of the alerts.

use crate::model::Named;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{FALLBACK, truth::Truth};
use crate::{
    alert::testing::DAY,
    model::{Moment, Notice, NoticeAlert, NoticeStatus, Severity, Timestamp},
    notify::{Retry, SendError, SendReason},
    store::Settlement,
};

/// Alertname, subject and step.
pub(super) type Key = (String, String, String);

pub(super) fn key(alert: &NoticeAlert) -> Key {
    let label = |name: &str| alert.labels.get(name).unwrap_or_default().to_owned();
    (label("alertname"), label("subject"), label("step"))
}

const REPEAT: &str = "repeat interval elapsed";

/// An event, and whether it fires or is over.
type Said = (String, NoticeStatus);

pub(super) struct Far {
    name: &'static str,
    random: fastrand::Rng,
    send_resolved: bool,
    min_severity: Severity,
    /// The most alerts that its messages name.
    pub(super) names: Named,
    /// A digest of its configuration.
    pub(super) config: u16,
    /// How many of 100 attempts fail.
    pub(super) failing: u8,
    /// It refuses messages that name more alerts.
    pub(super) most: usize,
    /// What each address believes to be firing, by event.
    believed: BTreeMap<&'static str, BTreeMap<Key, String>>,
    /// Every message that was recorded, by id.
    messages: HashMap<String, Notice>,
    /// Those without an outcome.
    open: HashSet<String>,
    /// Those that had none when it was to get others than before, or left the configuration: what they tell may have to be
    /// told again.
    unsure: HashSet<String>,
    /// Those that had none when the receiver left the configuration.
    orphans: HashSet<String>,
    /// Messages that this process sent and that were taken, by the worker.
    said_yes: HashMap<String, u64>,
    /// Messages that were given up.
    dead: HashSet<String>,
    /// Messages that are sent again by hand.
    revived: HashSet<String>,
    /// Messages that are settled and must not be sent again.
    over: HashSet<String>,
    /// What need not be told again.
    told: HashSet<Said>,
    /// Events that are over by what is on the disk.
    ended: HashSet<String>,
    /// When the last repetition of each event was composed that was taken.
    repeated: HashMap<String, Timestamp>,
    /// What was given up.
    lost: HashSet<Said>,
    /// Events whose end it is not told, because it left the configuration when it may have known of them.
    forgotten: HashSet<String>,
    /// Since the process began.
    pub(super) given_up: u32,
    pub(super) counts: Counts,
}

/// What happened in a walk.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) crashes: usize,
    pub(super) stops: usize,
    recorded: usize,
    again: usize,
    replaced: usize,
    outdated: usize,
    cut: usize,
    given_up: usize,
    revived: usize,
    attempts: usize,
    taken: usize,
    maybe_taken: usize,
    in_part: usize,
    too_large: usize,
    refused: usize,
    disabled: usize,
    taken_and_not_marked: usize,
    of_receivers: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        let Counts {
            crashes,
            stops,
            recorded,
            again,
            replaced,
            outdated,
            cut,
            given_up,
            attempts,
            taken,
            ..
        } = other;
        let Counts {
            maybe_taken, in_part, too_large, refused, disabled, taken_and_not_marked, revived, ..
        } = other;
        self.crashes += crashes;
        self.stops += stops;
        self.recorded += recorded;
        self.again += again;
        self.replaced += replaced;
        self.outdated += outdated;
        self.cut += cut;
        self.given_up += given_up;
        self.revived += revived;
        self.attempts += attempts;
        self.taken += taken;
        self.maybe_taken += maybe_taken;
        self.in_part += in_part;
        self.too_large += too_large;
        self.refused += refused;
        self.disabled += disabled;
        self.taken_and_not_marked += taken_and_not_marked;
        self.of_receivers += other.of_receivers;
    }

    /// The walks must reach the interesting cases.
    pub(super) fn are_enough(&self, walks: u64) {
        let often = [self.recorded, self.attempts, self.taken];
        let seldom =
            [self.again, self.replaced, self.crashes, self.maybe_taken, self.in_part, self.of_receivers];
        let rare = [
            self.stops,
            self.outdated,
            self.cut,
            self.given_up,
            self.revived,
            self.too_large,
            self.refused,
            self.disabled,
            self.taken_and_not_marked,
        ];
        let walks = usize::try_from(walks).unwrap();
        assert!(often.iter().all(|count| *count > walks * 20), "{self:?}");
        assert!(seldom.iter().all(|count| *count > walks / 2), "{self:?}");
        assert!(rare.iter().all(|count| *count > walks / 10), "{self:?}");
    }
}

impl Far {
    pub(super) fn new(
        name: &'static str,
        seed: u64,
        send_resolved: bool,
        names: Named,
        addresses: &[&'static str],
    ) -> Self {
        Far {
            name,
            random: fastrand::Rng::with_seed(seed),
            send_resolved,
            min_severity: Severity::Info,
            names,
            config: 0,
            failing: 0,
            most: usize::MAX,
            believed: addresses.iter().map(|address| (*address, BTreeMap::new())).collect(),
            messages: HashMap::new(),
            open: HashSet::new(),
            unsure: HashSet::new(),
            orphans: HashSet::new(),
            said_yes: HashMap::new(),
            dead: HashSet::new(),
            revived: HashSet::new(),
            over: HashSet::new(),
            told: HashSet::new(),
            ended: HashSet::new(),
            repeated: HashMap::new(),
            lost: HashSet::new(),
            forgotten: HashSet::new(),
            given_up: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.messages.contains_key(id)
    }

    /// A message is on the disk, and about to be sent, unless it is `given_up` at once.
    pub(super) fn records(&mut self, notice: &Notice, given_up: bool, truth: &Truth) {
        let id = &notice.id;
        assert!(!notice.alerts.is_empty());
        assert!(!self.over.contains(id), "{id} is recorded again");
        match self.messages.get(id) {
            Some(before) => {
                assert_eq!(before, notice, "it is not what it was");
                self.counts.again += 1;
            }
            None => {
                self.counts.recorded += 1;
                self.counts.replaced += usize::from(!notice.covers.is_empty());
                self.counts.cut += usize::from(notice.left_out > 0);
                self.messages.insert(id.clone(), notice.clone());
            }
        }
        self.open.insert(id.clone());
        // Of what is sent again by hand, the ends that no alert leads to any more.
        let is_revived = [id].into_iter().chain(&notice.covers).any(|id| self.revived.contains(id));
        self.is_true(notice, given_up || is_revived, truth);
        if !is_revived {
            self.is_news(notice);
        }
        for alert in &notice.alerts {
            let other = match alert.status {
                NoticeStatus::Firing => NoticeStatus::Resolved,
                NoticeStatus::Resolved => NoticeStatus::Firing,
            };
            self.told.remove(&(alert.event.clone(), other));
        }
        if notice.reason == REPEAT && notice.left_out > 0 {
            // The rest of a repetition comes as if it were new.
            self.told.clear();
        }
    }

    /// Whether an alert fires by now. If one fires again, that is news where its end is not told.
    pub(super) fn changes(&mut self, event: &str, fires: bool) {
        if fires {
            self.ended.remove(event);
        } else {
            self.ended.insert(event.to_owned());
            self.forget_ends();
        }
    }

    fn forget_ends(&mut self) {
        let Far { told, lost, ended, send_resolved, .. } = self;
        told.retain(|said| {
            let is_firing = said.1 == NoticeStatus::Firing && ended.contains(&said.0);
            !is_firing || (*send_resolved && !lost.contains(said))
        });
    }

    /// A message says what holds by what is on the disk, and is for this receiver.
    fn is_true(&self, notice: &Notice, given_up: bool, truth: &Truth) {
        let mut keys = HashSet::new();
        for alert in &notice.alerts {
            assert!(keys.insert(key(alert)), "{alert:?} comes twice");
            let fires = alert.status == NoticeStatus::Firing;
            match truth.get(&key(alert)).filter(|fact| fact.event == alert.event) {
                Some(fact) => {
                    assert_eq!(fact.status(), alert.status, "{}: it is not so: {alert:?}", self.name);
                    // The end may be of an alert that was for it once.
                    let is_for_it = fact.is_for(self.name, self.min_severity);
                    assert!(is_for_it || !fires, "{} gets {alert:?}", self.name);
                }
                // Receivers need not hear of its end any more.
                None => assert!(given_up && !fires, "{}: there is no such alert: {alert:?}", self.name),
            }
        }
    }

    /// A message is handed to its worker.
    pub(super) fn is_given(&self, notice: &Notice) {
        let ends = notice.alerts.iter().any(|alert| alert.status == NoticeStatus::Resolved);
        let name = self.name;
        assert!(
            self.send_resolved || !ends,
            "{name} gets an end in spite of send_resolved = false: {notice:#?}"
        );
    }

    /// A message says something that was not acknowledged, or repeats.
    fn is_news(&self, notice: &Notice) {
        let new = |status| {
            let mut of = notice.alerts.iter().filter(|alert| alert.status == status);
            of.any(|alert| !self.told.contains(&(alert.event.clone(), status)))
        };
        let is_news = match notice.reason.as_str() {
            "first notification" | "new alerts added" => new(NoticeStatus::Firing),
            "all alerts resolved" | "some alerts resolved" => new(NoticeStatus::Resolved),
            // Alerts of users are not repeated.
            REPEAT => notice.alerts.iter().any(|alert| &alert.labels["kind"] != "user"),
            _ => false,
        };
        assert!(is_news, "{} gets it again: {notice:#?}", self.name);
        let is_early = |alert: &Arc<NoticeAlert>| {
            let before = self.repeated.get(&alert.event);
            let fires = alert.status == NoticeStatus::Firing;
            fires && before.is_some_and(|before| notice.created_at.since(*before) < Duration::from_secs(DAY))
        };
        let early = notice.reason == REPEAT && notice.alerts.iter().any(is_early);
        assert!(!early, "{} gets a repetition too early: {notice:#?}", self.name);
    }

    /// The outcome of a message is on the disk.
    pub(super) fn settles(&mut self, id: &str, outcome: &Settlement) {
        let said = |alert: &Arc<NoticeAlert>| (alert.event.clone(), alert.status);
        let said: Vec<_> = self.messages[id].alerts.iter().map(said).collect();
        match outcome {
            Settlement::Attempted { .. } => {
                assert!(!self.said_yes.contains_key(id), "{id} was taken");
                return;
            }
            Settlement::Abandoned if self.orphans.remove(id) => drop(self.dead.insert(id.to_owned())),
            // The store has it no more.
            Settlement::Abandoned if !self.open.contains(id) => return,
            Settlement::Abandoned => {
                self.dead.insert(id.to_owned());
                self.given_up += 1;
                self.counts.given_up += 1;
                self.lost.extend(said.iter().cloned());
                // It may know an earlier event of an alert whose end is given up.
                let over =
                    self.messages[id].alerts.iter().filter(|alert| alert.status == NoticeStatus::Resolved);
                let keys: Vec<_> = over.map(|alert| key(alert)).collect();
                let known = self.believed.values().flat_map(|of| keys.iter().filter_map(|key| of.get(key)));
                self.forgotten.extend(known.cloned());
                self.told.extend(said);
            }
            Settlement::Delivered if self.said_yes.remove(id).is_some() => {
                let Notice { reason, created_at, .. } = &self.messages[id];
                let events = said.iter().filter(|_| reason == REPEAT).map(|(event, _)| event.clone());
                self.repeated.extend(events.map(|event| (event, *created_at)));
                self.told.extend(said);
            }
            Settlement::Delivered => {
                // It need not be kept, and may be sent again.
                self.counts.outdated += 1;
                self.open.remove(id);
                return;
            }
        }
        if self.unsure.contains(id) || self.revived.contains(id) {
            self.told.clear();
        }
        self.forget_ends();
        self.open.remove(id);
        self.over.insert(id.to_owned());
    }

    pub(super) fn dead_letters(&mut self) -> Vec<Notice> {
        self.dead.drain().map(|id| self.messages[&id].clone()).collect()
    }

    /// A message that was given up is sent again by hand.
    pub(super) fn revives(&mut self, notice: Notice) {
        self.counts.revived += 1;
        for alert in &notice.alerts {
            let said = (alert.event.clone(), alert.status);
            self.lost.remove(&said);
            self.told.remove(&said);
        }
        self.over.remove(&notice.id);
        self.open.insert(notice.id.clone());
        self.revived.insert(notice.id.clone());
        self.messages.insert(notice.id.clone(), notice);
    }

    /// Whether it hears of ends from now on.
    pub(super) fn wants_ends(&mut self, wants: bool) {
        self.send_resolved = wants;
        let believed = self.believed.values().flat_map(BTreeMap::values);
        let over = believed.filter(|event| self.ended.contains(*event));
        self.forgotten.extend(over.cloned());
        self.forget_ends();
    }

    /// Whether it gets only warnings and worse from now on. What it knows of others is forgotten.
    pub(super) fn is_severe(&mut self, severe: bool) {
        self.min_severity = if severe { Severity::Warning } else { Severity::Info };
        self.forgotten.extend(self.believed.values().flat_map(|believed| believed.values().cloned()));
        self.told.clear();
        self.repeated.clear();
        self.unsure.extend(self.open.iter().cloned());
    }

    /// It leaves the configuration.
    pub(super) fn leaves(&mut self) {
        self.forgotten.extend(self.believed.values().flat_map(|believed| believed.values().cloned()));
        self.unsure.extend(self.open.iter().cloned());
        self.orphans.extend(self.open.drain());
        self.told.clear();
        self.repeated.clear();
        self.given_up = 0;
    }

    /// A process died, and the next one begins with these messages.
    pub(super) fn is_left<'a>(
        &mut self,
        outbox: impl Iterator<Item = &'a str>,
        counted: f64,
        at_once: usize,
        truth: &Truth,
    ) {
        let mut again: HashMap<u64, usize> = HashMap::new();
        self.orphans.clear();
        self.open = outbox.map(str::to_owned).collect();
        for worker in self.open.iter().filter_map(|id| self.said_yes.get(id)) {
            *again.entry(*worker).or_default() += 1;
            self.counts.taken_and_not_marked += 1;
        }
        assert!(again.values().all(|count| *count <= at_once), "sent again after one crash: {again:?}");
        for alerts in self.open.iter().map(|id| &self.messages[id].alerts) {
            // With the end of an earlier event of an alert, it could be one that is sent again by hand.
            let is_over = |alert: &Arc<NoticeAlert>| {
                let ended = alert.status == NoticeStatus::Resolved;
                ended && truth.get(&key(alert)).is_none_or(|fact| fact.event != alert.event)
            };
            if alerts.iter().any(is_over) {
                self.told.retain(|(event, _)| !alerts.iter().any(|alert| alert.event == *event));
            }
        }
        let given_up = f64::from(self.given_up);
        assert!(counted >= given_up, "{counted} of {given_up} messages are counted as given up");
        self.said_yes.clear();
        self.given_up = 0;
    }

    /// An attempt: how long it takes, and its outcome.
    pub(super) fn answer(
        &mut self,
        worker: u64,
        notice: &Notice,
        done: &mut Vec<String>,
    ) -> (Duration, Result<String, SendError>) {
        self.counts.attempts += 1;
        let id = &notice.id;
        assert!(!self.over.contains(id) && !self.said_yes.contains_key(id), "{id} is sent again");
        assert_eq!(self.messages.get(id), Some(notice), "it is not what was recorded");
        let about_receivers = notice.alerts.iter().filter(|alert| &alert.labels["kind"] == "receiver");
        self.counts.of_receivers += about_receivers.count();
        let takes = Duration::from_millis(self.random.u64(1..30_000));
        let waiting: Vec<_> = self
            .believed
            .keys()
            .filter(|address| !done.iter().any(|done| done == *address))
            .copied()
            .collect();
        assert!(!waiting.is_empty(), "tried again although all addresses took it");
        let named = notice.names(self.names);
        let answer = if named > self.most {
            self.counts.too_large += 1;
            Err((SendReason::ClientError, Retry::Smaller))
        } else if self.random.u8(0..100) >= self.failing {
            waiting.iter().for_each(|address| self.hears(address, notice));
            self.counts.taken += 1;
            self.said_yes.insert(id.clone(), worker);
            Ok("taken".to_owned())
        } else {
            Err(self.fails(notice, &waiting, done))
        };
        let failed =
            |(reason, retry): (SendReason, _)| SendError { reason, detail: reason.label().into(), retry };
        (takes, answer.map_err(failed))
    }

    fn fails(
        &mut self,
        notice: &Notice,
        waiting: &[&'static str],
        done: &mut Vec<String>,
    ) -> (SendReason, Retry) {
        match self.random.u8(0..36) {
            0..8 => (SendReason::Connect, Retry::Later),
            8..11 => {
                self.counts.refused += 1;
                (SendReason::Auth, Retry::Refused)
            }
            11..15 => {
                (SendReason::RateLimited, Retry::NotBefore(Duration::from_secs(self.random.u64(1..2000))))
            }
            15..25 => {
                // The answer does not show whether they accepted it.
                self.counts.maybe_taken += 1;
                for address in waiting {
                    if self.random.bool() {
                        self.hears(address, notice);
                    }
                }
                let reasons = [SendReason::Timeout, SendReason::Response, SendReason::ServerError];
                (reasons[self.random.usize(0..3)], Retry::Later)
            }
            25..32 => {
                // Some accept it, and not the last.
                let (_, some) = waiting.split_last().unwrap();
                for address in some {
                    self.hears(address, notice);
                    done.push((*address).to_owned());
                    self.counts.in_part += 1;
                }
                (SendReason::Refused, Retry::Later)
            }
            32..35 => (SendReason::ClientError, Retry::Never),
            _ => {
                self.counts.disabled += 1;
                (SendReason::Gone, Retry::Disabled)
            }
        }
    }

    fn hears(&mut self, address: &str, notice: &Notice) {
        let believed = self.believed.get_mut(address).unwrap();
        for alert in &notice.alerts {
            match alert.status {
                NoticeStatus::Firing => drop(believed.insert(key(alert), alert.event.clone())),
                // An end that gets by hand may be one of long ago.
                NoticeStatus::Resolved if self.revived.contains(&notice.id) => {
                    believed.retain(|_, event| *event != alert.event);
                }
                NoticeStatus::Resolved => drop(believed.remove(&key(alert))),
            }
        }
    }

    /// After everything has worked for long enough.
    pub(super) fn believes(&self, truth: &Truth, now: Moment) {
        let lost = |event: &String, status| self.lost.contains(&(event.clone(), status));
        let name = self.name;
        for (address, believed) in &self.believed {
            for (key, fact) in
                truth.iter().filter(|(_, fact)| fact.is_for(name, self.min_severity) && fact.fires())
            {
                let untold =
                    fact.tighter_fires || fact.is_young(now) || lost(&fact.event, NoticeStatus::Firing);
                let known = believed.get(key) == Some(&fact.event);
                assert!(known || untold, "{address} of {name} does not know that {key:?} fires: {fact:?}");
            }
            for (key, event) in believed {
                let fact = truth.get(key);
                let over = fact.is_none_or(|fact| !fact.fires());
                let untold = !self.send_resolved
                    || fact.is_some_and(|fact| fact.is_young(now))
                    || self.forgotten.contains(event)
                    || lost(event, NoticeStatus::Resolved);
                assert!(!over || untold, "{address} of {name} does not know that {key:?} ended: {fact:?}");
            }
            let of_receivers = believed.keys().filter(|key| key.0.starts_with("ProxymeterNotifications"));
            for (_, subject, _) in of_receivers {
                assert!(name == FALLBACK && subject != FALLBACK, "{name} hears of {subject}");
            }
        }
    }
}
