//! Which ends are posted to which replica, and until when.
//!
//! Alertmanager forgets its alerts when it restarts, and does not notify of an end that is not posted again. So an end is
//! posted for a while, to each replica on its own.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use super::{post::identity, standing::Standing};
use crate::model::{Moment, NoticeAlert};

/// How long an end is posted to a replica that has accepted it, as Prometheus does.
const AFTER_IT_WAS_TAKEN: Duration = Duration::from_secs(15 * 60);
/// How long an end is posted at all.
const LIFE: Duration = Duration::from_secs(72 * 60 * 60);

/// The ends that the dispatcher still lists.
pub(super) struct Ends {
    /// How long an end must hold. An end that is posted while another sender still posts the alert as firing makes
    /// Alertmanager notify of both in turn.
    hold: Duration,
    /// No end is posted before `hold` has passed since then: the first look may find that it fires.
    started: Moment,
    replicas: usize,
    by_event: HashMap<String, End>,
}

#[derive(Clone)]
struct End {
    since: Moment,
    /// When each replica first accepted it.
    taken: Vec<Option<Moment>>,
    is_over: bool,
}

/// What one round posts.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// For each replica, the alerts that fire, and then the ends.
    pub(super) posts: Vec<Vec<Arc<NoticeAlert>>>,
    /// The events whose ends need not be posted any more.
    pub(super) over: Vec<String>,
    /// How many of these were given up, because a replica did not accept them in time.
    pub(super) given_up: usize,
}

impl Ends {
    pub(super) fn new(hold: Duration, replicas: usize, started: Moment) -> Self {
        Ends { hold, started, replicas, by_event: HashMap::new() }
    }

    pub(super) fn decide(&mut self, standing: Standing, now: Moment) -> Decision {
        let Standing { firing, ended } = standing;
        let mut decision = Decision { posts: vec![firing; self.replicas], ..Decision::default() };
        let mut earlier = std::mem::take(&mut self.by_event);
        let superseded = superseded(decision.posts.first().map_or(&[], Vec::as_slice), &ended);
        for (alert, is_superseded) in ended.iter().zip(superseded) {
            // An alert without an end would be posted as firing.
            let Some(ended_at) = alert.ends_at else { continue };
            let mut end = earlier.remove(&alert.event).unwrap_or_else(|| End {
                since: Moment::restored(ended_at, now),
                taken: vec![None; self.replicas],
                is_over: false,
            });
            let age = now.since(end.since);
            let is_done =
                |taken: &Option<Moment>| taken.is_some_and(|taken| now.since(taken) >= AFTER_IT_WAS_TAKEN);
            let is_told = end.taken.iter().all(is_done);
            if !end.is_over && !is_superseded && !is_told && age >= LIFE {
                decision.given_up += usize::from(end.taken.contains(&None));
            }
            end.is_over |= is_superseded || is_told || age >= LIFE;
            if end.is_over {
                decision.over.push(alert.event.clone());
            } else if age >= self.hold && now.since(self.started) >= self.hold {
                for (post, taken) in decision.posts.iter_mut().zip(&end.taken) {
                    if !is_done(taken) {
                        post.push(Arc::clone(alert));
                    }
                }
            }
            self.by_event.insert(alert.event.clone(), end);
        }
        decision
    }

    /// A replica accepted the ends of these events.
    pub(super) fn taken(&mut self, replica: usize, events: &[String], now: Moment) {
        for event in events {
            let taken = self.by_event.get_mut(event).and_then(|end| end.taken.get_mut(replica));
            if let Some(taken) = taken {
                taken.get_or_insert(now);
            }
        }
    }
}

/// For each end, whether the alert with the same labels fires again, or ended again later: Alertmanager knows an alert
/// by its labels, and one post must not say two things about it.
fn superseded(firing: &[Arc<NoticeAlert>], ended: &[Arc<NoticeAlert>]) -> Vec<bool> {
    if ended.is_empty() {
        return Vec::new();
    }
    let firing: HashSet<_> = firing.iter().map(|alert| identity(alert)).collect();
    let mut newest: HashMap<u64, &Arc<NoticeAlert>> = HashMap::new();
    let order = |alert: &NoticeAlert| (alert.ends_at, alert.starts_at);
    for alert in ended {
        match newest.entry(identity(alert)) {
            Entry::Vacant(entry) => drop(entry.insert(alert)),
            Entry::Occupied(mut entry) if order(alert) > order(entry.get()) => drop(entry.insert(alert)),
            Entry::Occupied(_) => {}
        }
    }
    ended
        .iter()
        .map(|alert| {
            let identity = identity(alert);
            let is_newest = newest.get(&identity).is_none_or(|newest| newest.event == alert.event);
            firing.contains(&identity) || !is_newest
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Timestamp, notify::alertmanager::testing::alert};

    const HOLD: u64 = 60;
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;

    /// All alerts of these tests started at 0; times are seconds.
    fn at(seconds: u64) -> Moment {
        let uptime = Duration::from_secs(1_000_000_000 + seconds);
        Moment { wall: Timestamp::from_secs(i64::try_from(seconds).unwrap()), uptime }
    }

    fn standing(firing: &[NoticeAlert], ended: &[NoticeAlert]) -> Standing {
        let shared = |alerts: &[NoticeAlert]| alerts.iter().cloned().map(Arc::new).collect();
        Standing { firing: shared(firing), ended: shared(ended) }
    }

    /// What is posted to each replica, `+` those that fire and `-` those that ended, and what is over.
    fn shown(decision: &Decision) -> (Vec<String>, String) {
        let sign = |alert: &NoticeAlert| if alert.ends_at.is_some() { '-' } else { '+' };
        let post = |post: &Vec<Arc<NoticeAlert>>| {
            post.iter().map(|alert| format!("{}{}", sign(alert), alert.event)).collect::<Vec<_>>().join(" ")
        };
        (decision.posts.iter().map(post).collect(), decision.over.join(" "))
    }

    #[track_caller]
    fn assert_decides(ends: &mut Ends, standing: Standing, now: u64, posts: [&str; 2], over: &str) {
        let decision = ends.decide(standing, at(now));
        assert_eq!(shown(&decision), (posts.map(str::to_owned).to_vec(), over.to_owned()), "at {now}");
    }

    fn ends() -> Ends {
        started(0)
    }

    fn started(seconds: u64) -> Ends {
        Ends::new(Duration::from_secs(HOLD), 2, at(seconds))
    }

    #[test]
    fn an_end_is_posted_after_it_held_and_for_a_quarter_of_an_hour_after_each_replica_took_it() {
        let mut ends = ends();
        let now = |firing: bool| match firing {
            true => standing(&[alert("a", 0, None), alert("b", 0, None)], &[]),
            false => standing(&[alert("b", 0, None)], &[alert("a", 0, Some(100))]),
        };
        let a = ["a".to_owned()];
        assert_decides(&mut ends, now(true), 90, ["+a +b", "+a +b"], "");
        assert_decides(&mut ends, now(false), 100, ["+b", "+b"], "");
        assert_decides(&mut ends, now(false), 159, ["+b", "+b"], "");
        assert_decides(&mut ends, now(false), 160, ["+b -a", "+b -a"], "");
        ends.taken(0, &a, at(161));
        assert_decides(&mut ends, now(false), 220, ["+b -a", "+b -a"], "");
        // Only the first time counts.
        ends.taken(0, &a, at(221));
        assert_decides(&mut ends, now(false), 161 + 15 * MINUTE - 1, ["+b -a", "+b -a"], "");
        assert_decides(&mut ends, now(false), 161 + 15 * MINUTE, ["+b", "+b -a"], "");
        ends.taken(1, &a, at(2 * HOUR));
        assert_decides(&mut ends, now(false), 2 * HOUR + 15 * MINUTE - 1, ["+b", "+b -a"], "");
        assert_decides(&mut ends, now(false), 2 * HOUR + 15 * MINUTE, ["+b", "+b"], "a");
        // The dispatcher may list it once more.
        assert_decides(&mut ends, now(false), 2 * HOUR + 16 * MINUTE, ["+b", "+b"], "a");
        assert_decides(&mut ends, standing(&[], &[]), 2 * HOUR + 17 * MINUTE, ["", ""], "");
        assert!(ends.by_event.is_empty());
    }

    #[test]
    fn an_end_is_given_up_after_three_days() {
        let mut ends = ends();
        let ended = || standing(&[], &[alert("a", 0, Some(100))]);
        ends.decide(ended(), at(200));
        ends.taken(0, &["a".to_owned()], at(201));
        assert_decides(&mut ends, ended(), 100 + 72 * HOUR - 1, ["", "-a"], "");
        let decision = ends.decide(ended(), at(100 + 72 * HOUR));
        assert_eq!((decision.over, decision.given_up), (vec!["a".to_owned()], 1));
        let again = ends.decide(ended(), at(101 + 72 * HOUR));
        assert_eq!((again.over, again.given_up), (vec!["a".to_owned()], 0));
    }

    #[test]
    fn after_a_restart_ends_are_as_old_as_they_are() {
        let old = || standing(&[], &[alert("a", 0, Some(100))]);
        assert_decides(&mut ends(), old(), 130, ["", ""], "");
        assert_decides(&mut ends(), old(), 160, ["-a", "-a"], "");
        assert_decides(&mut ends(), old(), 100 + 72 * HOUR, ["", ""], "a");
    }

    #[test]
    fn no_end_is_posted_at_once_after_a_start() {
        let mut ends = started(1000);
        let old = || standing(&[], &[alert("a", 0, Some(100))]);
        assert_decides(&mut ends, old(), 1059, ["", ""], "");
        assert_decides(&mut ends, old(), 1060, ["-a", "-a"], "");
    }

    #[test]
    fn an_end_holds_by_uptime_when_the_clock_is_set_back() {
        let mut ends = ends();
        let ended = || standing(&[], &[alert("a", 0, Some(100_000))]);
        let moment = |wall, uptime| Moment { wall: at(wall).wall, uptime: at(uptime).uptime };
        let posts = |decision: &Decision| shown(decision).0;
        assert_eq!(posts(&ends.decide(ended(), moment(50, 0))), ["", ""]);
        assert_eq!(posts(&ends.decide(ended(), moment(80, 30))), ["", ""]);
        assert_eq!(posts(&ends.decide(ended(), moment(110, 60))), ["-a", "-a"]);
    }

    #[test]
    fn an_alert_that_fires_again_is_firing() {
        // `a2` is the alert `a` again.
        let again = |ends_at| NoticeAlert { event: "a2".into(), ..alert("a", 110, ends_at) };
        let first = || alert("a", 0, Some(100));
        for posted in [false, true] {
            let mut ends = ends();
            let now = if posted { 170 } else { 120 };
            let expected = if posted { ["-a", "-a"] } else { ["", ""] };
            assert_decides(&mut ends, standing(&[], &[first()]), now, expected, "");
            if posted {
                ends.taken(0, &["a".to_owned()], at(now));
            }
            assert_decides(&mut ends, standing(&[again(None)], &[first()]), 180, ["+a2", "+a2"], "a");
            // The first end is over, however short the second time was, and whether the dispatcher lists it or not.
            let both = || standing(&[], &[again(Some(190)), first()]);
            assert_decides(&mut ends, both(), 200, ["", ""], "a");
            assert_decides(&mut ends, both(), 250, ["-a2", "-a2"], "a");
        }
    }

    #[test]
    fn of_two_ends_of_one_alert_the_later_is_posted() {
        let later = NoticeAlert { event: "a2".into(), ..alert("a", 110, Some(120)) };
        let both = standing(&[], &[alert("a", 0, Some(100)), later, alert("b", 0, Some(100))]);
        assert_decides(&mut ends(), both, 1000, ["-a2 -b", "-a2 -b"], "a");
    }

    #[test]
    fn an_ended_alert_without_an_end_is_not_posted_as_firing() {
        let mut ends = ends();
        assert_decides(&mut ends, standing(&[], &[alert("a", 0, None)]), 1000, ["", ""], "");
    }
}
