//! A receiver at the far end: what was recorded for it, and its view of the alerts.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    model::{Notice, NoticeAlert, NoticeStatus},
    notify::{Retry, SendError, SendReason, delivery::Terms},
    store::Settlement,
};

/// Alertname, subject and step.
pub(super) type Key = (String, String, String);

pub(super) fn key(alert: &NoticeAlert) -> Key {
    let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
    (label("alertname"), label("subject"), label("step"))
}

pub(super) struct Far {
    random: fastrand::Rng,
    terms: Terms,
    /// How many of 100 attempts fail.
    pub(super) failing: u8,
    /// What each address believes to be firing, by event.
    believed: BTreeMap<&'static str, BTreeMap<Key, String>>,
    /// The last record of each alert.
    recorded: BTreeMap<Key, Recorded>,
    /// Every notice that was recorded, by id.
    notices: HashMap<String, Notice>,
    /// What was sent under each id.
    tried: HashMap<String, Vec<NoticeAlert>>,
    /// Notices that this process sent and that were acknowledged.
    said_yes: HashSet<String>,
    /// Notices that are settled and must not be sent again.
    over: HashSet<String>,
    /// Notices that were given up, and those that they covered.
    lost: HashSet<String>,
    /// Since the process began.
    pub(super) given_up: u32,
    pub(super) counts: Counts,
}

struct Recorded {
    event: String,
    status: NoticeStatus,
    notice: String,
    at: Instant,
}

/// What happened in a walk.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) crashes: usize,
    recorded: usize,
    merged: usize,
    outdated: usize,
    given_up: usize,
    attempts: usize,
    taken: usize,
    maybe_taken: usize,
    taken_and_not_marked: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        self.recorded += other.recorded;
        self.merged += other.merged;
        self.outdated += other.outdated;
        self.given_up += other.given_up;
        self.attempts += other.attempts;
        self.taken += other.taken;
        self.maybe_taken += other.maybe_taken;
        self.taken_and_not_marked += other.taken_and_not_marked;
    }

    /// The walks must reach the interesting cases.
    pub(super) fn are_enough(&self, walks: u64) {
        let often = [self.recorded, self.attempts, self.taken];
        let seldom = [self.merged, self.outdated, self.crashes, self.maybe_taken];
        let rare = [self.given_up, self.taken_and_not_marked];
        let walks = usize::try_from(walks).unwrap();
        assert!(often.iter().all(|count| *count > walks * 20), "{self:?}");
        assert!(seldom.iter().all(|count| *count > walks / 2), "{self:?}");
        assert!(rare.iter().all(|count| *count > walks / 10), "{self:?}");
    }
}

impl Far {
    pub(super) fn new(seed: u64, send_resolved: bool, addresses: &[&'static str]) -> Self {
        Far {
            random: fastrand::Rng::with_seed(seed),
            terms: Terms { send_resolved, config: 0 },
            failing: 0,
            believed: addresses.iter().map(|address| (*address, BTreeMap::new())).collect(),
            recorded: BTreeMap::new(),
            notices: HashMap::new(),
            tried: HashMap::new(),
            said_yes: HashSet::new(),
            over: HashSet::new(),
            lost: HashSet::new(),
            given_up: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn terms(&self) -> Terms {
        self.terms
    }

    pub(super) fn is_reconfigured(&mut self) {
        self.terms.config += 1;
    }

    /// A notice is on the disk.
    pub(super) fn records(&mut self, notice: &Notice) {
        self.counts.recorded += 1;
        for alert in in_order(notice) {
            let recorded = Recorded {
                event: alert.event.clone(),
                status: alert.status,
                notice: notice.id.clone(),
                at: Instant::now(),
            };
            self.recorded.insert(key(alert), recorded);
        }
        let before = self.notices.insert(notice.id.clone(), notice.clone());
        assert_eq!(before, None, "an id is used twice");
    }

    /// A notice replaces others.
    pub(super) fn merges(&mut self, old: &[String], merged: &Notice) {
        self.counts.merged += 1;
        assert!(old.iter().all(|id| merged.covers.contains(id)), "{old:?} {merged:?}");
        self.over.extend(old.iter().cloned());
        let before = self.notices.insert(merged.id.clone(), merged.clone());
        assert_eq!(before, None, "an id is used twice");
    }

    /// The outcomes of notices; returns whether one was given up.
    pub(super) fn settled(&mut self, notices: &[(String, Settlement)]) -> bool {
        let given_up = self.given_up;
        for (id, outcome) in notices {
            match outcome {
                Settlement::Attempted { .. } => continue,
                Settlement::Abandoned => {
                    self.given_up += 1;
                    self.counts.given_up += 1;
                    self.lost.insert(id.clone());
                    self.lost.extend(self.notices[id].covers.iter().cloned());
                }
                Settlement::Delivered if self.said_yes.contains(id) => {}
                Settlement::Delivered => {
                    self.counts.outdated += 1;
                    self.is_needless(&self.notices[id]);
                }
            }
            self.over.insert(id.clone());
        }
        self.given_up > given_up
    }

    /// An alert may go unsent only if it is over, and no address knows of its start or the receiver gets no ends.
    fn is_needless(&self, notice: &Notice) {
        for alert in &notice.alerts {
            let key = key(alert);
            let recorded = &self.recorded[&key];
            let over = recorded.event != alert.event || recorded.status == NoticeStatus::Resolved;
            assert!(over, "{key:?} fires and is not delivered");
            let mut believed = self.believed.values().filter_map(|believed| believed.get(&key));
            let unheard = !believed.any(|event| *event == alert.event);
            assert!(unheard || !self.terms.send_resolved, "the end of {key:?} is not delivered");
        }
    }

    /// A process died; these of its notices are in the next one's queue.
    pub(super) fn is_left<'a>(&mut self, queue: impl Iterator<Item = &'a str>, counted: f64) {
        let again = queue.filter(|id| self.said_yes.contains(*id)).count();
        assert!(again <= 1, "{again} notices are sent again after one crash");
        self.counts.taken_and_not_marked += again;
        let given_up = f64::from(self.given_up);
        assert!(counted >= given_up, "{counted} of {given_up} notices are counted as given up");
        self.said_yes.clear();
        self.given_up = 0;
    }

    /// An attempt: how long it takes, and its outcome.
    pub(super) fn answer(
        &mut self,
        notice: &Notice,
        done: &mut Vec<String>,
    ) -> (Duration, Result<String, SendError>) {
        self.counts.attempts += 1;
        self.may_be_tried(notice);
        let takes = Duration::from_millis(self.random.u64(1..30_000));
        let waiting: Vec<_> = self
            .believed
            .keys()
            .filter(|address| !done.iter().any(|done| done == *address))
            .copied()
            .collect();
        assert!(!waiting.is_empty(), "tried again although all addresses took it");
        if self.random.u8(0..100) >= self.failing {
            waiting.iter().for_each(|address| self.hears(address, notice));
            self.counts.taken += 1;
            self.said_yes.insert(notice.id.clone());
            return (takes, Ok("taken".into()));
        }
        let (reason, retry) = match self.random.u8(0..32) {
            0..8 => (SendReason::Connect, Retry::Later),
            8..11 => (SendReason::Auth, Retry::Later),
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
                (
                    [SendReason::Timeout, SendReason::Response, SendReason::ServerError]
                        [self.random.usize(0..3)],
                    Retry::Later,
                )
            }
            25..29 => {
                // Some accept it, and not the last.
                let (_, some) = waiting.split_last().unwrap();
                for address in some {
                    self.hears(address, notice);
                    done.push((*address).to_owned());
                }
                (SendReason::Refused, Retry::Later)
            }
            29..31 => (SendReason::ClientError, Retry::Never),
            _ => (SendReason::Gone, Retry::Disabled),
        };
        (takes, Err(SendError { reason, detail: reason.label().into(), retry }))
    }

    fn may_be_tried(&mut self, notice: &Notice) {
        let id = &notice.id;
        assert!(!self.over.contains(id) && !self.said_yes.contains(id), "{id} is sent again");
        let before = self.tried.entry(id.clone()).or_insert_with(|| notice.alerts.clone());
        assert_eq!(*before, notice.alerts, "{id} is not what it was");
        assert!(!notice.alerts.is_empty());
        for alert in &notice.alerts {
            let fires = alert.status == NoticeStatus::Firing;
            assert!(
                fires || self.terms.send_resolved,
                "a resolved alert is sent in spite of send_resolved = false"
            );
            let recorded = &self.recorded[&key(alert)];
            // A record of the same moment may come too late.
            let newest = recorded.event == alert.event && recorded.status == alert.status;
            assert!(
                newest || !fires || recorded.at == Instant::now(),
                "{alert:?} is sent as firing although it is over"
            );
        }
    }

    fn hears(&mut self, address: &str, notice: &Notice) {
        let believed = self.believed.get_mut(address).unwrap();
        for alert in in_order(notice) {
            match alert.status {
                NoticeStatus::Firing => drop(believed.insert(key(alert), alert.event.clone())),
                NoticeStatus::Resolved => drop(believed.remove(&key(alert))),
            }
        }
    }

    /// The alerts that fire according to the newest record.
    pub(super) fn firing(&self) -> impl Iterator<Item = &Key> {
        let fires = |(_, recorded): &(_, &Recorded)| recorded.status == NoticeStatus::Firing;
        self.recorded.iter().filter(fires).map(|(key, _)| key)
    }

    pub(super) fn fires(&self, key: &Key) -> bool {
        self.recorded.get(key).is_some_and(|recorded| recorded.status == NoticeStatus::Firing)
    }

    /// Except for what was given up.
    pub(super) fn believes_what_was_recorded(&self) {
        for (address, believed) in &self.believed {
            for (key, recorded) in self.recorded.iter().filter(|(_, of)| !self.lost.contains(&of.notice)) {
                let known = believed.get(key);
                match recorded.status {
                    NoticeStatus::Firing => {
                        assert_eq!(
                            known,
                            Some(&recorded.event),
                            "{address} does not know that {key:?} fires"
                        );
                    }
                    NoticeStatus::Resolved => {
                        let deaf = !self.terms.send_resolved;
                        assert!(deaf || known.is_none(), "{address} does not know that {key:?} ended");
                    }
                }
            }
        }
    }
}

/// Resolved alerts come first: what a notice reports as firing is firing now.
fn in_order(notice: &Notice) -> impl Iterator<Item = &NoticeAlert> {
    let of = |status| notice.alerts.iter().filter(move |alert| alert.status == status);
    of(NoticeStatus::Resolved).chain(of(NoticeStatus::Firing))
}
