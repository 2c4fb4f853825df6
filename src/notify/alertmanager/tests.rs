//! The task in paused time, against replicas that answer from a script.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    client::Alertmanager,
    poster::Poster,
    replica::{Fault, Refusal},
    standing::{Ask, Standing},
    testing::{Script, Scripted, alert, listing, scripted},
};
use crate::{
    clock::Clock,
    model::{NoticeAlert, Timestamp},
    notify::{Retry, SendError, SendReason, webhook::body::fingerprint},
    telemetry::Telemetry,
};

const START: i64 = 1_795_000_000;
const RESEND: Duration = Duration::from_secs(60);

/// What a replica was sent: seconds since the start, and the alerts, `+` those that fire and `-` those that ended.
type Seen = Arc<Mutex<Vec<(u64, String)>>>;

/// What stands, which a test changes, and what the poster said.
#[derive(Clone, Default)]
struct Core(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    firing: Vec<NoticeAlert>,
    ended: Vec<NoticeAlert>,
    over: Vec<String>,
    given_up: usize,
    /// Seconds since the start, and the reason of a failure.
    outcomes: Vec<(u64, Option<SendReason>)>,
}

impl Core {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(self, mut asks: mpsc::Receiver<(String, Ask)>, began: Instant) {
        while let Some((name, ask)) = asks.recv().await {
            assert_eq!(name, "am");
            self.change(|state| match ask {
                Ask::Standing(answer) => {
                    let shared = |alerts: &[NoticeAlert]| alerts.iter().cloned().map(Arc::new).collect();
                    let standing = Standing { firing: shared(&state.firing), ended: shared(&state.ended) };
                    answer.send(standing).unwrap();
                }
                Ask::Over(events) => {
                    state.ended.retain(|alert| !events.contains(&alert.event));
                    state.over.extend(events);
                }
                Ask::GivenUp(count) => state.given_up += count,
                Ask::Outcome(outcome) => {
                    let reason = outcome.err().map(|err| err.reason);
                    state.outcomes.push((seconds(began), reason));
                }
            });
        }
    }
}

struct Run {
    changed: watch::Sender<u64>,
    telemetry: Telemetry,
    began: Instant,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Run {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn run(resend: Duration, scripts: Vec<Script>, core: &Core) -> Run {
    run_with(scripted(resend, scripts), core)
}

#[expect(clippy::disallowed_methods, reason = "the tasks of a test")]
fn run_with(alertmanager: Alertmanager, core: &Core) -> Run {
    let (asks, asked) = mpsc::channel(4);
    let (changed, counted) = watch::channel(0);
    let telemetry = Telemetry::new();
    let clock = Clock::starting_at(Timestamp::from_secs(START));
    let poster = Poster::new("am".into(), alertmanager, asks, counted, telemetry.clone(), clock);
    let began = Instant::now();
    let tasks = [tokio::spawn(core.clone().answer(asked, began)), tokio::spawn(poster.run())];
    Run { changed, telemetry, began, tasks }
}

impl Run {
    /// Waits until so many seconds after the start.
    async fn until(&self, seconds: u64) {
        tokio::time::sleep_until(self.began + Duration::from_secs(seconds)).await;
        // Whatever is due at this time happens before the test goes on.
        sleep(Duration::from_millis(1)).await;
    }

    fn metric(&self, name: &str, label: Option<&str>) -> f64 {
        let families = self.telemetry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let is_it = |metric: &&prometheus::proto::Metric| {
            label.is_none_or(|label| metric.get_label().iter().any(|pair| pair.value() == label))
        };
        let metric = family.get_metric().iter().find(is_it).unwrap();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }
}

/// Timers are late by a millisecond.
fn seconds(began: Instant) -> u64 {
    (began.elapsed() + Duration::from_millis(500)).as_secs()
}

fn shown(alerts: &[Arc<NoticeAlert>]) -> String {
    let sign = |alert: &NoticeAlert| if alert.ends_at.is_some() { '-' } else { '+' };
    alerts.iter().map(|alert| format!("{}{}", sign(alert), alert.event)).collect::<Vec<_>>().join(" ")
}

fn failure(reason: SendReason, fault: Fault) -> Refusal {
    Refusal { error: SendError { reason, detail: "scripted".into(), retry: Retry::Later }, fault }
}

/// A replica that answers as `answer` says, given the seconds since the start.
fn replica(
    seen: &Seen,
    mut answer: impl FnMut(u64) -> (Duration, Result<(), Refusal>) + Send + 'static,
) -> Script {
    let (seen, began) = (Arc::clone(seen), Instant::now());
    Box::new(move |alerts, _| {
        let second = seconds(began);
        seen.lock().unwrap().push((second, shown(alerts)));
        answer(second)
    })
}

fn takes_all(seen: &Seen) -> Script {
    replica(seen, |_| (Duration::ZERO, Ok(())))
}

fn times(seen: &Seen) -> Vec<u64> {
    seen.lock().unwrap().iter().map(|(second, _)| *second).collect()
}

fn posts(seen: &Seen) -> Vec<(u64, String)> {
    seen.lock().unwrap().clone()
}

fn firing(alerts: Vec<NoticeAlert>) -> Core {
    let core = Core::default();
    core.change(|state| state.firing = alerts);
    core
}

#[tokio::test(start_paused = true)]
async fn all_that_fires_is_posted_at_once_at_each_resend_and_soon_after_news() {
    let seen = Seen::default();
    let core = firing(vec![alert("a", START, None)]);
    let run = run(RESEND, vec![takes_all(&seen)], &core);
    run.until(61).await;
    core.change(|state| state.firing.push(alert("b", START + 61, None)));
    run.changed.send_modify(|count| *count += 1);
    run.until(62).await;
    // Not more than once in five seconds.
    run.changed.send_modify(|count| *count += 1);
    run.until(70).await;
    run.changed.send_modify(|count| *count += 1);
    run.until(131).await;
    let told = |second, alerts: &str| (second, alerts.to_owned());
    let expected =
        vec![told(0, "+a"), told(60, "+a"), told(65, "+a +b"), told(70, "+a +b"), told(130, "+a +b")];
    assert_eq!(posts(&seen), expected);
    let outcomes = core.change(|state| state.outcomes.clone());
    assert_eq!(outcomes, [0, 60, 65, 70, 130].map(|second| (second, None)));
    assert_eq!(run.metric("proxymeter_notification_attempts_total", None), 5.0);
    assert_eq!(run.metric("proxymeter_notification_failures_total", Some("timeout")), 0.0);
    assert_eq!(
        run.metric("proxymeter_notification_last_success_timestamp_seconds", None).floor(),
        1_795_000_130.0
    );
}

#[tokio::test(start_paused = true)]
async fn while_nothing_fires_only_one_empty_list_is_posted_and_the_task_ends_with_the_core() {
    let seen = Seen::default();
    let core = Core::default();
    let mut run = run(RESEND, vec![takes_all(&seen)], &core);
    run.until(200).await;
    // A failure that was stored ends with it.
    assert_eq!(posts(&seen), [(0, String::new())]);
    assert_eq!(core.change(|state| state.outcomes.clone()), [(0, None)]);
    run.tasks[0].abort();
    (&mut run.tasks[1]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_hangs_delays_no_other() {
    let (hanging, well) = (Seen::default(), Seen::default());
    let timeout = Duration::from_secs(150);
    let scripts = vec![
        replica(&hanging, move |_| (timeout, Err(failure(SendReason::Timeout, Fault::Replica)))),
        takes_all(&well),
    ];
    let core = firing(vec![alert("a", START, None)]);
    let run = run(RESEND, scripts, &core);
    run.until(400).await;
    // One request at a time, another soon after the first failure, and then with each round.
    assert_eq!(times(&hanging), [0, 160, 360]);
    assert_eq!(times(&well), [0, 60, 120, 180, 240, 300, 360]);
    let outcomes = core.change(|state| state.outcomes.clone());
    assert_eq!(outcomes, [0, 60, 120, 180, 240, 300, 360].map(|second| (second, None)));
    assert_eq!(run.telemetry.receiver("am").failing, None);
    assert_eq!(run.metric("proxymeter_notification_failures_total", Some("timeout")), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_round_failed_if_every_replica_did() {
    let (first, second) = (Seen::default(), Seen::default());
    let refuses = |until: u64| {
        move |now| {
            let outcome =
                if now < until { Err(failure(SendReason::Connect, Fault::Replica)) } else { Ok(()) };
            (Duration::ZERO, outcome)
        }
    };
    let scripts = vec![replica(&first, refuses(500)), replica(&second, refuses(150))];
    let core = firing(vec![alert("a", START, None)]);
    let run = run(RESEND, scripts, &core);
    run.until(119).await;
    assert_eq!(run.telemetry.receiver("am").failing.map(|failure| failure.reason), Some("connect"));
    // News do not hurry a replica that fails.
    run.changed.send_modify(|count| *count += 1);
    run.until(290).await;
    let failed =
        |seconds: &[u64]| seconds.iter().map(|second| (*second, Some(SendReason::Connect))).collect();
    let mut expected: Vec<_> = failed(&[0, 60, 120]);
    expected.extend([(180, None), (239, None)]);
    let outcomes = core.change(|state| state.outcomes.clone());
    assert_eq!(outcomes, expected);
    assert_eq!(times(&second), [0, 10, 60, 120, 180, 239]);
    assert_eq!(run.telemetry.receiver("am").failing, None);
}

/// The whole life of an end, with one Alertmanager that is down when the alert ends.
#[tokio::test(start_paused = true)]
async fn an_end_is_posted_after_it_held_and_until_every_replica_has_had_it_for_a_while() {
    let (well, down) = (Seen::default(), Seen::default());
    let is_down = |now| {
        let outcome = if (90..3610).contains(&now) {
            Err(failure(SendReason::Connect, Fault::Replica))
        } else {
            Ok(())
        };
        (Duration::ZERO, outcome)
    };
    let core = firing(vec![alert("a", START, None)]);
    let run = run(RESEND, vec![takes_all(&well), replica(&down, is_down)], &core);
    run.until(100).await;
    core.change(|state| {
        state.ended = vec![alert("a", START, Some(START + 100))];
        state.firing.clear();
    });
    run.until(7000).await;
    let of = |seen: &Seen, what: &str| -> Vec<u64> {
        posts(seen).into_iter().filter(|(_, alerts)| alerts == what).map(|(second, _)| second).collect()
    };
    assert_eq!(of(&well, "+a"), [0, 60]);
    // It had held for 60 s at 160 s, and the next round was at 180 s.
    assert_eq!(of(&well, "-a"), (180..180 + 15 * 60).step_by(60).collect::<Vec<_>>());
    let mut told: Vec<_> = (180..3660 + 15 * 60).step_by(60).collect();
    // Soon after the first failure.
    told.insert(1, 190);
    assert_eq!(of(&down, "-a"), told);
    assert_eq!(core.change(|state| state.over.clone()), ["a"]);
    assert_eq!(posts(&well).len() + posts(&down).len(), 2 + 15 + 2 + told.len());
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_fires_again_before_its_end_was_posted_never_ended() {
    let seen = Seen::default();
    let core = firing(vec![alert("a", START, None)]);
    let run = run(RESEND, vec![takes_all(&seen)], &core);
    run.until(70).await;
    let again = NoticeAlert { event: "a2".into(), ..alert("a", START + 110, None) };
    core.change(|state| {
        state.ended = vec![alert("a", START, Some(START + 70))];
        state.firing.clear();
    });
    run.until(110).await;
    core.change(|state| state.firing.push(again));
    run.until(200).await;
    let told = |second, alerts: &str| (second, alerts.to_owned());
    assert_eq!(posts(&seen), [told(0, "+a"), told(60, "+a"), told(120, "+a2"), told(180, "+a2")]);
    assert_eq!(core.change(|state| state.over.clone()), ["a"]);
}

/// A replica that accepts the valid alerts of a list, as Alertmanager does, and at most so many in one list.
fn judging(
    taken: &Arc<Mutex<BTreeSet<String>>>,
    posts: &Seen,
    bad: impl Fn(&str) -> bool + Send + 'static,
    most: usize,
) -> Script {
    let (taken, posts, began) = (Arc::clone(taken), Arc::clone(posts), Instant::now());
    Box::new(move |alerts, _| {
        posts.lock().unwrap().push((seconds(began), alerts.len().to_string()));
        let answer = if alerts.len() > most {
            Err(failure(SendReason::ClientError, Fault::TooLarge))
        } else {
            let is_bad = |alert: &Arc<NoticeAlert>| bad(&alert.event);
            let good = alerts.iter().filter(|alert| !is_bad(alert)).map(|alert| alert.event.clone());
            taken.lock().unwrap().extend(good);
            let refused = alerts.iter().any(is_bad);
            if refused { Err(failure(SendReason::ClientError, Fault::Alert)) } else { Ok(()) }
        };
        (Duration::ZERO, answer)
    })
}

fn many(count: usize) -> Vec<NoticeAlert> {
    (0..count).map(|number| alert(&number.to_string(), START, None)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_is_refused_is_found_and_left_out() {
    let (taken, seen) = (Arc::default(), Seen::default());
    let script = judging(&taken, &seen, |event| ["7", "701"].contains(&event), usize::MAX);
    let core = firing(many(1000));
    let run = run(RESEND, vec![script], &core);
    run.until(59).await;
    assert_eq!(taken.lock().unwrap().len(), 998);
    let first = posts(&seen).len();
    // Two posts for each halving of a list of 500.
    assert!((2 + 32..=2 + 36).contains(&first), "{first}");
    assert_eq!(core.change(|state| state.outcomes.clone()), [(0, None)]);
    assert_eq!(core.change(|state| state.given_up), 2);
    run.until(61).await;
    let second: Vec<_> = posts(&seen).split_off(first).into_iter().map(|(_, count)| count).collect();
    assert_eq!(second, ["500", "498"]);
    assert_eq!(core.change(|state| state.given_up), 2);
}

/// Even if one round does not find them all.
#[tokio::test(start_paused = true)]
async fn many_alerts_that_are_refused_are_left_out_in_turn() {
    let (taken, seen) = (Arc::default(), Seen::default());
    let is_bad = |event: &str| event.ends_with('3') || event.starts_with('1');
    let core = firing(many(300));
    let run = run(RESEND, vec![judging(&taken, &seen, is_bad, usize::MAX)], &core);
    run.until(1000).await;
    let bad = (0..300).filter(|number| is_bad(&number.to_string())).count();
    assert_eq!(taken.lock().unwrap().len(), 300 - bad);
    assert_eq!(core.change(|state| state.given_up), bad);
    let outcomes = core.change(|state| state.outcomes.clone());
    assert!(outcomes.first().unwrap().1.is_some() && outcomes.last().unwrap().1.is_none(), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn lists_that_are_too_long_are_cut_and_the_length_that_passed_is_kept_for_the_round() {
    let (taken, seen) = (Arc::default(), Seen::default());
    let core = firing(many(1200));
    let run = run(RESEND, vec![judging(&taken, &seen, |_| false, 130)], &core);
    run.until(59).await;
    assert_eq!(taken.lock().unwrap().len(), 1200);
    assert_eq!(core.change(|state| state.outcomes.clone()), [(0, None)]);
    // 500 and 250 were refused.
    assert_eq!(posts(&seen).len(), 2 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_refuses_everything_fails_and_gets_few_posts_a_round() {
    let seen = Seen::default();
    let refuses = replica(&seen, |_| (Duration::ZERO, Err(failure(SendReason::ClientError, Fault::Alert))));
    let core = firing(many(1000));
    let run = run(RESEND, vec![refuses], &core);
    run.until(9).await;
    assert_eq!(posts(&seen).len(), 101);
    assert_eq!(core.change(|state| state.outcomes.clone()), [(0, Some(SendReason::ClientError))]);
    assert_eq!(core.change(|state| state.given_up), 0);
}

/// Something before an Alertmanager that refuses every list, however short, as Alertmanager refuses one.
#[tokio::test(start_paused = true)]
async fn a_replica_that_refuses_each_of_a_few_alerts_fails() {
    let seen = Seen::default();
    let refuses = replica(&seen, |second| {
        let refused = || Err(failure(SendReason::ClientError, Fault::Alert));
        (Duration::ZERO, if second < 200 { refused() } else { Ok(()) })
    });
    let core = firing(many(2));
    let run = run(RESEND, vec![refuses], &core);
    run.until(5).await;
    let told = |second, alerts: &str| (second, alerts.to_owned());
    assert_eq!(posts(&seen), [told(0, "+0 +1"), told(0, "+0"), told(0, "+1")]);
    assert_eq!(core.change(|state| state.given_up), 0);
    run.until(300).await;
    let outcomes = core.change(|state| state.outcomes.clone());
    assert_eq!(outcomes.first(), Some(&(0, Some(SendReason::ClientError))));
    assert_eq!(outcomes.last().map(|(_, reason)| *reason), Some(None));
    assert_eq!(posts(&seen).last().map(|(_, alerts)| alerts.as_str()), Some("+0 +1"));
}

/// What was left out may be accepted by another version, or after a change of limits.
#[tokio::test(start_paused = true)]
async fn an_alert_that_was_left_out_is_posted_again_each_hour() {
    let (taken, seen) = (Arc::default(), Seen::default());
    let core = firing(many(3));
    let run = run(RESEND, vec![judging(&taken, &seen, |event| event == "1", usize::MAX)], &core);
    run.until(2 * 3600 + 30).await;
    let whole = posts(&seen).into_iter().filter(|(_, count)| count == "3").map(|(second, _)| second);
    assert_eq!(whole.collect::<Vec<_>>(), [0, 3600, 7200]);
    assert_eq!(core.change(|state| state.given_up), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_replica_is_left_before_its_alerts_lapse() {
    let seen = Seen::default();
    let slow = replica(&seen, |_| (Duration::from_secs(100), Ok(())));
    let core = firing(many(5000));
    let run = run(RESEND, vec![slow], &core);
    run.until(330).await;
    // The alerts posted first last for 240 s.
    assert_eq!(times(&seen), [0, 100, 200, 310]);
    assert_eq!(core.change(|state| state.outcomes.clone()), [(300, Some(SendReason::Timeout))]);
}

/// Once everything is over, an empty list shows that the replica is back.
#[tokio::test(start_paused = true)]
async fn a_replica_that_failed_is_asked_until_it_is_back() {
    let seen = Seen::default();
    let script = replica(&seen, |now| {
        (Duration::ZERO, if now < 150 { Err(failure(SendReason::Connect, Fault::Replica)) } else { Ok(()) })
    });
    let core = firing(vec![alert("a", START, None)]);
    let run = run(RESEND, vec![script], &core);
    run.until(10).await;
    core.change(|state| state.firing.clear());
    run.until(400).await;
    let told = |second, alerts: &str| (second, alerts.to_owned());
    assert_eq!(posts(&seen), [told(0, "+a"), told(10, "+a"), told(60, ""), told(120, ""), told(180, "")]);
    assert_eq!(core.change(|state| state.outcomes.last().copied()), Some((180, None)));
}

/// Another exporter posts the alert until 1000 s, and Alertmanager fires it four resend intervals longer.
#[tokio::test(start_paused = true)]
async fn an_end_waits_while_another_sender_posts_the_alert() {
    let seen = Seen::default();
    let began = Instant::now();
    let of_a = fingerprint(alert("a", 0, None).labels.iter());
    let firing_there = move || {
        let posted = seconds(began).min(1000);
        let ends_at = Timestamp::from_secs(START + i64::try_from(posted).unwrap() + 240);
        let fires = seconds(began) < posted + 240;
        fires.then_some((of_a, ends_at)).into_iter().collect()
    };
    let script = Scripted { post: takes_all(&seen), firing: Box::new(firing_there) };
    let core = firing(vec![alert("a", START, None)]);
    let run = run_with(listing(RESEND, vec![script]), &core);
    run.until(70).await;
    core.change(|state| {
        state.ended = vec![alert("a", START, Some(START + 70)), alert("b", START, Some(START + 70))];
        state.firing.clear();
    });
    run.until(1321).await;
    let ends = |of: &str| -> Vec<u64> {
        posts(&seen).into_iter().filter(|(_, alerts)| alerts.contains(of)).map(|(second, _)| second).collect()
    };
    assert_eq!(ends("-b"), (180..1080).step_by(60).collect::<Vec<_>>());
    assert_eq!(ends("-a"), [1260, 1320]);
    assert_eq!(core.change(|state| state.over.clone()), ["b"]);
}

/// What this exporter posted itself does not keep it from posting the end, whatever else fires.
#[tokio::test(start_paused = true)]
async fn an_end_does_not_wait_for_posts_of_our_own() {
    let seen = Seen::default();
    let of_a = fingerprint(alert("a", 0, None).labels.iter());
    let (began, asked) = (Instant::now(), Arc::clone(&seen));
    let firing_there = move || {
        asked.lock().unwrap().push((seconds(began), "?".to_owned()));
        [(of_a, Timestamp::from_secs(START + 300 + 240))].into()
    };
    let script = Scripted { post: takes_all(&seen), firing: Box::new(firing_there) };
    let core = firing(vec![alert("a", START, None), alert("b", START, None)]);
    let run = run_with(listing(RESEND, vec![script]), &core);
    // What an earlier process posted has lapsed.
    run.until(310).await;
    core.change(|state| {
        let a = state.firing.remove(0);
        state.ended = vec![NoticeAlert { ends_at: Some(Timestamp::from_secs(START + 310)), ..a }];
    });
    run.until(421).await;
    let told = |second, alerts: &str| (second, alerts.to_owned());
    // Those that fire do not wait for the list.
    let expected = [told(360, "+b"), told(420, "+b"), told(420, "?"), told(420, "-a")];
    assert_eq!(posts(&seen).split_off(6), expected);
}

/// What failed to arrive is not taken for what another exporter posted.
#[tokio::test(start_paused = true)]
async fn a_post_that_failed_is_not_one_of_our_own() {
    let seen = Seen::default();
    let of_a = fingerprint(alert("a", 0, None).labels.iter());
    let post = replica(&seen, |now| {
        let is_down = (60..400).contains(&now);
        let failed = || Err(failure(SendReason::Connect, Fault::Replica));
        (Duration::ZERO, if is_down { failed() } else { Ok(()) })
    });
    let firing_there = move || [(of_a, Timestamp::from_secs(START + 500))].into();
    let core = firing(vec![alert("a", START, None)]);
    let run = run_with(listing(RESEND, vec![Scripted { post, firing: Box::new(firing_there) }]), &core);
    run.until(310).await;
    core.change(|state| {
        state.ended = vec![alert("a", START, Some(START + 310))];
        state.firing.clear();
    });
    run.until(490).await;
    let told = |second| (second, String::new());
    assert_eq!(posts(&seen).split_off(7), [told(360), told(420), told(480)]);
}
