//! Queues over real sockets and a real store: what one receiver suffers does not touch another, and what is not taken
//! is still there after a restart.

use std::{collections::BTreeMap, time::Duration};

use proxymeter::{
    clock::Clock,
    model::{Notice, NoticeAlert, NoticeStatus, Severity, Timestamp},
    notify::{
        self,
        webhook::{Webhook, config::WebhookConfig},
    },
    store::{Batch, FallbackKnows, Loaded},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::common::{
    queue::{Queue, counter, open},
    receiver::{self, Answer, Receiver},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn webhook(url: &str, limit: Duration) -> notify::Receiver {
    let config = WebhookConfig { timeout: limit, ..receiver::webhook(url) };
    notify::Receiver::Webhook(Box::new(Webhook::new(&config, "").unwrap()))
}

fn notice(receiver: &str, group: &str) -> Notice {
    let now = Clock::system().now().wall;
    Notice {
        id: notify::notice_id(),
        receiver: receiver.into(),
        group: group.into(),
        group_labels: BTreeMap::new(),
        reason: "first notification".into(),
        alerts: vec![NoticeAlert {
            event: format!("event-{group}"),
            status: NoticeStatus::Firing,
            severity: Severity::Critical,
            labels: [
                ("alertname".to_owned(), "ProxymeterTargetDown".to_owned()),
                ("target".to_owned(), group.to_owned()),
            ]
            .into(),
            annotations: BTreeMap::new(),
            starts_at: now,
            ends_at: None,
        }],
        covers: Vec::new(),
        created_at: now,
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let slow = b"HTTP/1.1 200 OK\r\nServer: one that takes its time\r\nContent-Length: 0\r\n\r\n";
    let hanging = Receiver::start(|_, _| Answer::Trickle(slow.into()));
    let healthy = Receiver::start(|_, _| Answer::status(200));
    let mut a = Queue::start("a", webhook(&hanging.url(), Duration::from_secs(3)), &store, Loaded::default());
    let mut b = Queue::start("b", webhook(&healthy.url(), Duration::from_secs(3)), &store, Loaded::default());
    let began = Instant::now();
    for group in ["g", "h"] {
        a.send(notice("a", group)).await;
        b.send(notice("b", group)).await;
    }
    let both = async {
        b.until("notifications_total", 2.0).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        b
    };
    let b = tokio::select! {
        b = both => b,
        _ = &mut a.running => panic!("the queue ended"),
    };
    a.until("notification_failures_total", 1.0).await;
    let requests = healthy.requests();
    assert_eq!(requests.len(), 2, "that one failed repeats nothing for the other");
    for (request, group) in requests.iter().zip(["g", "h"]) {
        assert_eq!(request.line, "POST /hook HTTP/1.1");
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((&body["receiver"], &body["groupKey"]), (&"b".into(), &group.into()));
    }
    assert_eq!(counter(&b.telemetry, "notification_failures_total", "b"), 0.0);
    assert_eq!(counter(&a.telemetry, "notifications_total", "a"), 0.0);
}

#[tokio::test]
async fn what_was_not_taken_is_sent_after_a_restart_under_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let notice = notice("ops", "g");
    {
        let (store, loaded) = open(folder.path());
        let down = Receiver::start(|_, _| Answer::with(503, &[("Retry-After", "600")], ""));
        let mut queue = Queue::start("ops", webhook(&down.url(), PATIENCE), &store, loaded);
        queue.send(notice.clone()).await;
        queue.until("notification_failures_total", 1.0).await;
        assert_eq!(down.requests()[0].header("webhook-id"), Some(notice.id.as_str()));
        drop(queue.notices);
        queue.running.await;
        store.close().await;
    }
    let (store, mut loaded) = open(folder.path());
    let now = Clock::system().now().wall;
    assert_eq!(loaded.outbox.len(), 1);
    assert_eq!(loaded.outbox[0].notice, notice);
    let (name, state) = &mut loaded.receivers[0];
    assert_eq!((name.as_str(), state.failures, state.disabled), ("ops", 1, false));
    let wait = state.next_attempt.unwrap().since(now);
    assert!(wait > Duration::from_secs(500) && wait <= Duration::from_secs(600), "{wait:?}");
    state.next_attempt = Some(now);

    let up = Receiver::start(|_, _| Answer::status(200));
    let mut queue = Queue::start("ops", webhook(&up.url(), PATIENCE), &store, loaded);
    queue.until("notifications_total", 1.0).await;
    assert_eq!(up.requests()[0].header("webhook-id"), Some(notice.id.as_str()));
    drop(queue.notices);
    assert!(queue.running.await.pending.is_empty());
    store.close().await;

    let (_store, loaded) = open(folder.path());
    assert!(loaded.outbox.is_empty());
    let (_, state) = &loaded.receivers[0];
    assert_eq!((state.failures, state.next_attempt), (0, None));
    assert!(state.last_success.is_some_and(|time| time >= now && time > Timestamp::default()));
}

#[tokio::test]
async fn a_queue_dropped_while_it_sends_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let notice = notice("ops", "g");
    {
        let (store, loaded) = open(folder.path());
        let hanging = Receiver::start(|_, _| Answer::Stop(Vec::new()));
        let mut queue = Queue::start("ops", webhook(&hanging.url(), PATIENCE), &store, loaded);
        queue.send(notice.clone()).await;
        let asked = async {
            while hanging.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            asked = timeout(PATIENCE, asked) => asked.unwrap(),
            _ = &mut queue.running => panic!("the queue ended"),
        }
        drop(queue);
        store.close().await;
    }
    let (_store, loaded) = open(folder.path());
    assert_eq!(loaded.outbox.iter().map(|row| &row.notice).collect::<Vec<_>>(), [&notice]);
}

#[tokio::test]
async fn what_is_merged_takes_the_place_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (notice("ops", "g"), notice("ops", "g"));
    {
        let (store, _) = open(folder.path());
        store.record(Batch { notices: &[first.clone(), second.clone()], ..Batch::default() }).await.unwrap();
        store.close().await;
    }
    {
        let (store, loaded) = open(folder.path());
        assert_eq!(loaded.outbox.len(), 2);
        let down = Receiver::start(|_, _| Answer::status(500));
        let mut queue = Queue::start("ops", webhook(&down.url(), PATIENCE), &store, loaded);
        queue.until("notification_failures_total", 1.0).await;
        drop(queue.notices);
        queue.running.await;
        store.close().await;
    }
    let (_store, loaded) = open(folder.path());
    let [row] = loaded.outbox.try_into().unwrap();
    assert_eq!(row.notice.covers, [first.id, second.id]);
    assert_eq!(row.notice.alerts, second.alerts);
}

#[tokio::test]
async fn the_fallback_is_told_what_is_wrong_and_a_crash_does_not_keep_it_from_that() {
    for (status, reason, left) in [(401, "auth", 0), (410, "gone", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let (store, loaded) = open(folder.path());
        let receiver = Receiver::start(move |_, _| Answer::status(status));
        let mut queue = Queue::start("ops", webhook(&receiver.url(), PATIENCE), &store, loaded);
        queue.send(notice("ops", "g")).await;
        queue.until("notification_failures_total", 1.0).await;
        drop(queue.notices);
        let ended = queue.running.await;
        assert_eq!(ended.pending.len(), left);
        let told = queue.fallback.try_recv().unwrap();
        assert_eq!((told.receiver.as_str(), told.status()), ("other", NoticeStatus::Firing));
        let annotations = &told.alerts[0].annotations;
        assert_eq!(annotations["reason"], reason);
        assert!(annotations["description"].contains(&status.to_string()), "{annotations:?}");
        store.close().await;

        // The notice was recorded together with its reason, so that there is never one without the other.
        let (store, loaded) = open(folder.path());
        let (mine, others): (Vec<_>, Vec<_>) =
            loaded.outbox.iter().map(|row| &row.notice).partition(|notice| notice.receiver == "ops");
        assert_eq!((mine.len(), others), (left, vec![&told]));
        let [(_, state)] = loaded.receivers.as_slice() else { panic!("{:?}", loaded.receivers) };
        assert_eq!(state.disabled, status == 410);
        let knows = if status == 410 { FallbackKnows::Failing } else { FallbackKnows::GivenUp };
        assert_eq!(state.fallback_knows, knows);
        assert!(state.failing_since.is_some());

        // Its configuration is the same, so that one that is gone is not asked again.
        let mut queue = Queue::start("ops", webhook(&receiver.url(), PATIENCE), &store, loaded);
        drop(std::mem::replace(&mut queue.notices, mpsc::unbounded_channel().0));
        let ended = queue.running.await;
        assert_eq!(ended.pending.len(), left);
        assert_eq!(receiver.requests().len(), 1);
        assert!(queue.fallback.try_recv().is_err());
        assert_eq!(store.dead_letters().await.unwrap().len(), 1 - left);
        store.close().await;
    }
}
