//! Alerts whose grouping changes while their notices wait.

use super::*;

fn ended(id: &str, group: &str, event: &str) -> Notice {
    notice(id, group, vec![alert(event, NoticeStatus::Resolved)])
}

/// What was sent after the end had come.
async fn tried_after_the_end(reason: SendReason, end_comes_after: Duration) -> Vec<String> {
    let (bench, worker) = Bench::start(vec![], state(), move |n, _| match n {
        1 | 2 => Err(error(reason, Retry::Later)),
        _ => Ok("yes".into()),
    });
    let mut both = firing("a", "target");
    both.alerts.push(alert("b", NoticeStatus::Firing));
    both.group_labels = [("target".into(), "home".into())].into();
    bench.send(both);
    let mut worker = Box::pin(worker.run());
    run(&mut worker, end_comes_after).await;
    let before = bench.ids().len();
    bench.send(ended("end", "subject", "a"));
    run(&mut worker, HOUR).await;
    let attempts = bench.attempts.lock().unwrap();
    let tried = attempts[before..].iter().map(|(notice, _)| {
        let words = notice.alerts.iter().map(|alert| match alert.status {
            NoticeStatus::Firing => alert.event.clone(),
            NoticeStatus::Resolved => format!("-{}", alert.event),
        });
        assert!(notice.group_labels.is_empty(), "they share none");
        words.collect::<Vec<_>>().join(" ")
    });
    tried.collect()
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_grouped_otherwise_is_not_followed_by_its_beginning() {
    // While nothing is sent, and during the second attempt.
    for end_comes_after in [2000, 6700].map(Duration::from_millis) {
        let tries = if end_comes_after < Duration::from_secs(6) { 2 } else { 1 };
        assert_eq!(tried_after_the_end(SendReason::Connect, end_comes_after).await, vec!["b"; tries]);
        assert_eq!(tried_after_the_end(SendReason::Timeout, end_comes_after).await, vec!["b -a"; tries]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_began_again_is_not_told_as_it_was() {
    let (bench, worker) =
        Bench::start(vec![], state(), |n, _| if n == 1 { unavailable() } else { Ok("yes".into()) });
    let mut worker = Box::pin(worker.run());
    for (group, event) in [("target", "a.1"), ("subject", "a.2")] {
        bench.send(notice(event, group, vec![alert(event, NoticeStatus::Firing)]));
        run(&mut worker, Duration::from_secs(2)).await;
    }
    run(&mut worker, HOUR).await;
    let attempts = bench.attempts.lock().unwrap();
    let told: Vec<_> = attempts.iter().map(|(notice, _)| notice.alerts[0].event.as_str()).collect();
    assert_eq!(told, ["a.1", "a.2"]);
}

#[tokio::test(start_paused = true)]
async fn rows_of_one_alert_are_merged_at_start() {
    let rows = vec![firing("a", "target"), firing("b", "other"), ended("end", "subject", "a")];
    let (bench, worker) = Bench::start(rows, state(), |_, _| Ok("yes".into()));
    run(&mut Box::pin(worker.run()), HOUR).await;
    let attempts = bench.attempts.lock().unwrap();
    let told: Vec<_> =
        attempts.iter().map(|(notice, _)| (notice.covers.join(" "), notice.status())).collect();
    assert_eq!(told, [("".into(), NoticeStatus::Firing)], "a came and went");
}
