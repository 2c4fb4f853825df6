//! Delivery over real sockets and a real store: what one receiver suffers does not touch another, and what is not taken
//! is still there after a restart.

use std::{collections::BTreeMap, time::Duration};

use proxymeter::{
    clock::Clock,
    model::{Notice, NoticeAlert, NoticeStatus, Pairs, Severity, Timestamp},
    notify::{
        self,
        webhook::{Webhook, config::WebhookConfig},
    },
};
use tokio::time::Instant;

use crate::common::{
    queue::{Queue, counter, open, record},
    receiver::{self, Answer, Receiver},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn webhook(url: &str, limit: Duration) -> notify::Receiver {
    let config = WebhookConfig { timeout: limit, ..receiver::webhook(url) };
    notify::Receiver::Webhook(Box::new(Webhook::new(&config, "").unwrap()))
}

/// An end that no alert leads to, as an earlier version left it, is sent as it is.
fn notice(receiver: &str, group: &str) -> Notice {
    let now = Clock::system().now().wall;
    Notice {
        id: Notice::new_id(),
        receiver: receiver.into(),
        group: group.into(),
        group_labels: BTreeMap::new(),
        reason: "first notification".into(),
        alerts: vec![std::sync::Arc::new(NoticeAlert {
            event: format!("event-{group}"),
            status: NoticeStatus::Resolved,
            severity: Severity::Critical,
            labels: [("alertname", "ProxymeterTargetDown"), ("target", group)].into(),
            annotations: Pairs::default(),
            starts_at: now,
            ends_at: Some(now),
            began: None,
            until: None,
        })],
        created_at: now,
        ..Notice::default()
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut loaded) = open(folder.path());
    let slow = b"HTTP/1.1 200 OK\r\nServer: one that takes its time\r\nContent-Length: 0\r\n\r\n";
    let hanging = Receiver::start(|_, _| Answer::Trickle(slow.into()));
    let healthy = Receiver::start(|_, _| Answer::status(200));
    let notices = [("a", "g"), ("b", "g"), ("a", "h"), ("b", "h")].map(|(to, group)| notice(to, group));
    record(&store, &mut loaded, &notices).await;
    let limit = Duration::from_secs(3);
    let receivers = vec![("a", webhook(&hanging.url(), limit)), ("b", webhook(&healthy.url(), limit))];
    let mut queue = Queue::start(receivers, &store, loaded);
    let began = Instant::now();
    queue.until("notifications_total", "b", 2.0).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    queue.until("notification_failures_total", "a", 1.0).await;
    let requests = healthy.requests();
    assert_eq!(requests.len(), 2, "that one failed repeats nothing for the other");
    for (request, group) in requests.iter().zip(["g", "h"]) {
        assert_eq!(request.line, "POST /hook HTTP/1.1");
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((&body["receiver"], &body["groupKey"]), (&"b".into(), &group.into()));
    }
    assert_eq!(counter(&queue.telemetry, "notification_failures_total", "b"), 0.0);
    assert_eq!(counter(&queue.telemetry, "notifications_total", "a"), 0.0);
}

#[tokio::test]
async fn what_was_not_taken_is_sent_after_a_restart_under_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let notice = notice("ops", "g");
    {
        let (store, mut loaded) = open(folder.path());
        let down = Receiver::start(|_, _| Answer::with(503, &[("Retry-After", "600")], ""));
        record(&store, &mut loaded, std::slice::from_ref(&notice)).await;
        let mut queue = Queue::start(vec![("ops", webhook(&down.url(), PATIENCE))], &store, loaded);
        queue.until("notification_failures_total", "ops", 1.0).await;
        assert_eq!(down.requests()[0].header("webhook-id"), Some(notice.id.as_str()));
        queue.stop().await;
        store.close().await;
    }
    let (store, mut loaded) = open(folder.path());
    let now = Clock::system().now().wall;
    let [message] = loaded.outbox.as_slice() else { panic!("{:?}", loaded.outbox) };
    assert_eq!(message.packed.unpack().unwrap(), notice);
    let (name, state) = &mut loaded.receivers[0];
    assert_eq!((name.as_str(), state.failures, state.disabled), ("ops", 1, false));
    let wait = state.next_attempt.unwrap().since(now);
    assert!(wait > Duration::from_secs(500) && wait <= Duration::from_secs(600), "{wait:?}");
    state.next_attempt = Some(now);

    let up = Receiver::start(|_, _| Answer::status(200));
    let mut queue = Queue::start(vec![("ops", webhook(&up.url(), PATIENCE))], &store, loaded);
    queue.until("notifications_total", "ops", 1.0).await;
    assert_eq!(up.requests()[0].header("webhook-id"), Some(notice.id.as_str()));
    queue.stop().await;
    store.close().await;

    let (_store, loaded) = open(folder.path());
    assert!(loaded.outbox.is_empty());
    let (_, state) = &loaded.receivers[0];
    assert_eq!((state.failures, state.next_attempt), (0, None));
    assert!(state.last_success.is_some_and(|time| time >= now && time > Timestamp::default()));
}

#[tokio::test]
async fn a_process_that_dies_while_it_sends_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let notice = notice("ops", "g");
    {
        let (store, mut loaded) = open(folder.path());
        let hanging = Receiver::start(|_, _| Answer::Stop(Vec::new()));
        record(&store, &mut loaded, std::slice::from_ref(&notice)).await;
        let mut queue = Queue::start(vec![("ops", webhook(&hanging.url(), PATIENCE))], &store, loaded);
        let asked = async {
            while hanging.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        queue.meanwhile(asked).await;
        drop(queue);
        store.close().await;
    }
    let (_store, loaded) = open(folder.path());
    let left: Vec<_> = loaded.outbox.iter().map(|message| message.packed.unpack().unwrap()).collect();
    assert_eq!(left, [notice]);
}

#[tokio::test]
async fn a_refusal_is_judged_by_whose_fault_it_is_and_a_restart_knows_it() {
    // The status, whether the message waits, and whether the receiver is asked again.
    for (status, reason, waits, again) in
        [(422, "client_error", 0, true), (401, "auth", 1, true), (410, "gone", 1, false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut loaded) = open(folder.path());
        let receiver = Receiver::start(move |_, _| Answer::status(status));
        record(&store, &mut loaded, &[notice("ops", "g")]).await;
        let hook = || vec![("ops", webhook(&receiver.url(), PATIENCE))];
        let mut queue = Queue::start(hook(), &store, loaded);
        queue.until("notification_failures_total", "ops", 1.0).await;
        queue.stop().await;
        assert_eq!(store.dead_letters().await.unwrap().len(), 1 - waits, "{status}");
        store.close().await;

        let (store, mut loaded) = open(folder.path());
        assert_eq!(loaded.outbox.len(), waits, "{status}");
        let [(_, state)] = loaded.receivers.as_mut_slice() else { panic!("{:?}", loaded.receivers) };
        let failure = state.last_failure.as_ref().unwrap();
        assert_eq!((failure.reason.as_str(), state.disabled), (reason, !again), "{status}");
        assert_eq!((state.refused, state.given_up), (waits == 1, u64::from(waits == 0)), "{status}");
        assert!(state.failing_since.is_some() && failure.detail.contains(&status.to_string()));
        state.next_attempt = None;

        // Its configuration is the same, so that one that is gone is not asked again.
        record(&store, &mut loaded, &[notice("ops", "h")]).await;
        let mut queue = Queue::start(hook(), &store, loaded);
        let trouble = queue.trouble("ops");
        assert!(
            trouble.failing_since.is_some() && trouble.waits && trouble.refuses == (waits == 1),
            "{trouble:?}"
        );
        assert!(trouble.cause.contains(&status.to_string()), "{trouble:?}");
        if again {
            queue.until("notification_failures_total", "ops", 1.0).await;
        }
        queue.stop().await;
        assert_eq!(receiver.requests().len(), 1 + usize::from(again), "{status}");
        store.close().await;
    }
}
