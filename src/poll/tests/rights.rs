//! What the account may not read.

use super::*;

/// Refusals of a part that count as failures.
fn forbidden(poller: &Poller, part: Part) -> f64 {
    let families = poller.telemetry.gather();
    let failures =
        families.iter().find(|family| family.name().ends_with("target_poll_failures_total")).unwrap();
    let is = |metric: &&prometheus::proto::Metric| {
        let has = |value| metric.get_label().iter().any(|label| label.value() == value);
        has(part.label()) && has(Reason::Forbidden.label())
    };
    failures.get_metric().iter().find(is).unwrap().get_counter().get_value()
}

/// A target whose core answers as it is set, with `None` for what it should.
fn target(core_fails: &Arc<Mutex<Option<Cause>>>) -> (Poller, Board, Log) {
    let core_fails = Arc::clone(core_fails);
    let (poller, board, _, log) = poller(Box::new(move |part, now| {
        let answer = match part {
            Part::System => Ok(system()),
            Part::Core => core_fails.lock().unwrap().clone().map_or_else(|| Ok(core()), failure),
            _ => Ok(whole_walk(WalkEnd { started: now, ..WalkEnd::default() })),
        };
        (Duration::ZERO, answer)
    }));
    (poller, board, log)
}

async fn run_on(poller: &mut Poller, seconds: u64) -> Outcome {
    poller.run(tokio::time::sleep(Duration::from_secs(seconds))).await;
    poller.report.parts[&Part::Core].outcome.clone()
}

#[tokio::test(start_paused = true)]
async fn a_right_that_was_lost_is_a_failure_until_the_part_is_read_again() {
    let lost = Outcome::Failed {
        reason: Reason::Forbidden,
        detail: "/api/system: this account may not read it (answered 403), but it could before".into(),
    };
    let fails = Arc::new(Mutex::new(Some(Cause::NotAllowed)));
    let (mut poller, _, log) = target(&fails);
    // It was never read.
    assert_eq!(run_on(&mut poller, 100).await, Outcome::Refused);
    assert_eq!(forbidden(&poller, Part::Core), 0.0);
    *fails.lock().unwrap() = None;
    assert_eq!(run_on(&mut poller, 1000).await, Outcome::Up);
    *fails.lock().unwrap() = Some(Cause::NotAllowed);
    let asked = times(&log, Part::Core).len();
    assert_eq!(run_on(&mut poller, 3000).await, lost);
    // At the pace of a refused part.
    let asked = times(&log, Part::Core).len() - asked;
    assert!((3..=5).contains(&asked), "{asked}");
    assert_eq!(forbidden(&poller, Part::Core), f64::from(u32::try_from(asked).unwrap()));
    assert_eq!(poller.report.up, Some(true));

    // It stays lost for a loop that goes on with the login, and after other failures.
    let before = poller.hand_over();
    poller = target(&fails).0.going_on(before);
    assert_eq!(run_on(&mut poller, 1000).await, lost);
    *fails.lock().unwrap() = Some(http::Error::Status(500).into());
    run_on(&mut poller, 1000).await;
    *fails.lock().unwrap() = Some(Cause::NotAllowed);
    assert_eq!(run_on(&mut poller, 1000).await, lost);
    // Another login has rights of its own.
    let before = poller.hand_over();
    poller = target(&fails).0.resuming(before);
    assert!(!poller.report.parts[&Part::Core].outcome.is_forbidden());
    assert_eq!(run_on(&mut poller, 1000).await, Outcome::Refused);
    *fails.lock().unwrap() = None;
    assert_eq!(run_on(&mut poller, 1000).await, Outcome::Up);
}

#[tokio::test(start_paused = true)]
async fn no_part_is_refused_while_the_one_that_decides_is() {
    for fails in [Cause::NotAllowed, Cause::SwitchedOff, http::Error::Connect("refused".into()).into()] {
        let (mut poller, board, _, log) = poller(Box::new(move |part, now| {
            // The part that decides is asked once before the others would fail.
            let since = if part == Part::System { 100 } else { 140 };
            let refused = running_for(now, since) && !running_for(now, 300);
            let answer = match part {
                _ if refused => failure(fails.clone()),
                Part::System => Ok(system()),
                Part::Core => Ok(core()),
                _ => Ok(whole_walk(WalkEnd { started: now, ..WalkEnd::default() })),
            };
            (Duration::ZERO, answer)
        }));
        poller.run(tokio::time::sleep(Duration::from_secs(290))).await;
        let report = Arc::clone(&board.view().reports[0]);
        assert_eq!(report.up, Some(false));
        assert!(matches!(report.outcome(Part::Core), Some(Outcome::Failed { .. })));
        assert_eq!(report.parts[&Part::Core].outcome, Outcome::Up);
        poller.run(tokio::time::sleep(Duration::from_secs(200))).await;
        let asked = times(&log, Part::Core);
        assert!(asked.iter().all(|at| *at < Duration::from_secs(140) || *at > Duration::from_secs(299)));
        assert_eq!(poller.report.outcome(Part::Core), Some(&Outcome::Up));
    }
}
