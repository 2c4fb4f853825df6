//! Mail through the dispatcher: what is counted, what is remembered, and what a restart does not repeat.

use proxymeter::telemetry::Telemetry;

use super::*;
use crate::common::queue::{Queue, counter, open, record};

/// Everything that was counted as a failure, by reason.
fn failures(telemetry: &Telemetry) -> Vec<(String, f64)> {
    let families = telemetry.gather();
    let family = families.iter().find(|family| family.name() == "proxymeter_notification_failures_total");
    let counted = family.unwrap().get_metric().iter().map(|metric| {
        let reason = metric.get_label().iter().find(|label| label.name() == "reason").unwrap();
        (reason.value().to_owned(), metric.get_counter().get_value())
    });
    counted.filter(|(_, count)| *count > 0.0).collect()
}

#[tokio::test]
async fn failures_are_counted_by_their_reason() {
    let say = |words: &str| Answer::Say(format!("{words}\r\n"));
    for (step, answer, reason, given_up, codes) in [
        ("GREETING", say("421 4.3.2 busy"), "server_error", 0.0, "421 4.3.2"),
        ("GREETING", Answer::Silence, "timeout", 0.0, "no answer within"),
        ("AUTH", say("454 4.7.0 later"), "server_error", 0.0, "454 4.7.0"),
        ("AUTH", say("535 5.7.8 wrong"), "auth", 0.0, "535 5.7.8"),
        ("MAIL", say("451 4.3.0 later"), "server_error", 0.0, "451 4.3.0"),
        ("MAIL", say("553 5.7.1 not yours"), "refused", 0.0, "553 5.7.1"),
        ("RCPT", say("550 5.1.1 who"), "refused", 0.0, "550 5.1.1"),
        ("END", say("451 4.7.1 later"), "server_error", 0.0, "451 4.7.1"),
        ("END", Answer::HangUp, "response", 0.0, "the connection was lost"),
    ] {
        let server = MailServer::acting(Encryption::Implicit, &[(step, answer)]).await;
        let config = EmailConfig {
            login: login(SmtpMechanism::Auto),
            timeout: if codes.starts_with("no answer") { IMPATIENT } else { PATIENT },
            ..config(&server, SmtpTls::Implicit)
        };
        let folder = tempfile::tempdir().unwrap();
        let (store, mut loaded) = open(folder.path());
        record(&store, &mut loaded, &[notice_now()]).await;
        let mut queue = Queue::start(vec![("ops", receiver(&config))], &store, loaded);
        queue.until("notification_failures_total", "ops", 1.0).await;
        let telemetry = queue.telemetry.clone();
        queue.stop().await;
        assert_eq!(failures(&telemetry), [(reason.to_owned(), 1.0)], "{codes}");
        assert_eq!(counter(&telemetry, "notification_attempts_total", "ops"), 1.0);
        assert_eq!(counter(&telemetry, "notifications_abandoned_total", "ops"), given_up, "{codes}");
        let failing = telemetry.receiver("ops").failing.unwrap();
        assert!(failing.reason == reason && failing.detail.contains(codes), "{failing:?}");
        assert_eq!(server.visits().len(), 1);
    }
}

/// Who took it, who refused it, and what the server refused to read: none of it is said again.
#[tokio::test]
async fn a_restart_repeats_nothing_that_is_settled() {
    let server = MailServer::scripted(
        Encryption::None,
        &[("RCPT TO:<b@", "450 4.2.0 grey"), ("RCPT TO:<c@", "550 5.1.1 who"), ("END", "554 5.7.1 spam")],
    )
    .await;
    let to = ["a@example.com", "b@example.net", "c@example.org"].map(str::to_owned).to_vec();
    let config = EmailConfig { to, ..config(&server, SmtpTls::None) };
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, mut loaded) = open(folder.path());
        record(&store, &mut loaded, &[notice_now()]).await;
        let mut queue = Queue::start(vec![("ops", receiver(&config))], &store, loaded);
        queue.until("notification_failures_total", "ops", 1.0).await;
        queue.stop().await;
        store.close().await;
    }
    let (store, mut loaded) = open(folder.path());
    let settled = [
        "contents refused the message: answered 554 5.7.1",
        "a@example.com",
        "refused 550 5.1.1: c@example.org",
    ];
    assert_eq!(loaded.outbox[0].done, settled);
    loaded.receivers[0].1.next_attempt = None;
    let mut queue = Queue::start(vec![("ops", receiver(&config))], &store, loaded);
    queue.until("notifications_total", "ops", 1.0).await;

    let [first, second] = &server.visits()[..] else { panic!("two connections") };
    assert_eq!(
        second.said()[1..],
        ["MAIL FROM:<meter@example.com>", "RCPT TO:<b@example.net>", "DATA", "QUIT"]
    );
    assert_eq!(second.mails, [first.mails[1].clone()], "the same few words, to the byte");
    queue.stop().await;
    store.close().await;
    assert!(open(folder.path()).1.outbox.is_empty());
}

/// Servers lock accounts after too many of these.
#[tokio::test]
async fn a_refused_login_is_the_receivers_state_and_not_repeated() {
    let server = MailServer::scripted(Encryption::Implicit, &[("AUTH", "535 5.7.8 wrong")]).await;
    let config = EmailConfig { login: login(SmtpMechanism::Auto), ..config(&server, SmtpTls::Implicit) };
    let folder = tempfile::tempdir().unwrap();
    let (store, mut loaded) = open(folder.path());
    let other = Notice { id: "0b9d6f3e-18".to_owned(), group: "another".to_owned(), ..notice_now() };
    record(&store, &mut loaded, &[notice_now(), other]).await;
    let mut queue = Queue::start(vec![("ops", receiver(&config))], &store, loaded);
    queue.until("notification_failures_total", "ops", 1.0).await;
    queue.stop().await;
    store.close().await;

    let (store, loaded) = open(folder.path());
    assert_eq!(loaded.outbox.len(), 2, "both wait");
    let [(_, state)] = loaded.receivers.as_slice() else { panic!("{:?}", loaded.receivers) };
    assert!(state.refused && state.disabled, "until its configuration changes: {state:?}");
    let queue = Queue::start(vec![("ops", receiver(&config))], &store, loaded);
    let trouble = queue.trouble("ops");
    assert!(
        trouble.refuses && trouble.waits && trouble.cause.contains("AUTH: answered 535 5.7.8"),
        "{trouble:?}"
    );
    queue.stop().await;
    assert_eq!(server.visits().len(), 1);
}

/// A notice of today, about ends: those that no alert leads to are sent as they are.
fn notice_now() -> Notice {
    let now = proxymeter::clock::Clock::system().now().wall;
    let mut notice = Notice { created_at: now, ..notice() };
    for alert in &mut notice.alerts {
        let alert = Arc::make_mut(alert);
        (alert.status, alert.ends_at) = (NoticeStatus::Resolved, Some(now));
    }
    notice
}
