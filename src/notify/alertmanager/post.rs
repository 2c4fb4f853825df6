//! The body of a post, in version 2 of Alertmanager's API.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, Serializer};

use crate::{
    model::{NoticeAlert, Timestamp},
    notify::webhook::body::{fingerprint, rfc3339},
};

/// A label of an alert that is posted as an annotation: an exporter that has not read a panel yet does not know it, and the
/// alert of a panel that moved to such an exporter must stay the same alert.
const DETECTED: &str = "system";

/// One alert of the list. Alertmanager refuses one that ends before it starts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Post<'a> {
    #[serde(serialize_with = "labels")]
    labels: &'a NoticeAlert,
    #[serde(serialize_with = "annotations")]
    annotations: &'a NoticeAlert,
    #[serde(serialize_with = "rfc3339")]
    starts_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    ends_at: Option<Timestamp>,
    /// Alertmanager refuses one that is not a URI.
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
}

/// Those that are firing end when they `last` this long without another post.
pub(super) fn encode(
    alerts: &[Arc<NoticeAlert>],
    generator_url: &str,
    now: Timestamp,
    last: Duration,
) -> serde_json::Result<Vec<u8>> {
    let posts: Vec<_> = alerts
        .iter()
        .map(|alert| {
            let (start, end) = span(alert, now, last);
            Post {
                labels: alert,
                annotations: alert,
                starts_at: Some(start),
                ends_at: Some(end),
                generator_url,
            }
        })
        .collect();
    serde_json::to_vec(&posts)
}

/// From when to when an alert fires. Neither an alert that starts nor one that ended lies in the future, which happens
/// when the clock was set back.
fn span(alert: &NoticeAlert, now: Timestamp, last: Duration) -> (Timestamp, Timestamp) {
    let start = alert.starts_at.min(now);
    let end = match alert.ends_at {
        Some(end) => end.clamp(start, now),
        None => now.saturating_add(last),
    };
    (start, end)
}

/// The fingerprint by which Alertmanager knows an alert.
pub(super) fn identity(alert: &NoticeAlert) -> u64 {
    fingerprint(identifying(alert))
}

/// The labels by which Alertmanager knows an alert. A label without a value is no label.
fn identifying(alert: &NoticeAlert) -> impl Iterator<Item = (&str, &str)> {
    alert.labels.iter().filter(|(name, value)| !value.is_empty() && *name != DETECTED)
}

fn labels<S: Serializer>(alert: &NoticeAlert, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(identifying(alert))
}

fn annotations<S: Serializer>(alert: &NoticeAlert, serializer: S) -> Result<S::Ok, S::Error> {
    let detected = alert.labels.get(DETECTED).filter(|value| !value.is_empty());
    serializer.collect_map(alert.annotations.iter().chain(detected.map(|value| (DETECTED, value))))
}

/// How long an alert fires after it was posted last. Prometheus allows its resend interval four times, too.
pub(super) fn lasts(resend: Duration) -> Duration {
    4 * resend
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::alertmanager::testing::alert;

    #[test]
    fn a_list_of_alerts() {
        let mut firing = alert("a", 100, None);
        firing.labels.insert("empty", "");
        firing.annotations.insert("summary", "Käse <b>");
        let alerts = [Arc::new(firing), Arc::new(alert("b", 100, Some(160)))];
        let now = Timestamp::from_millis(200_500);
        let encode = |url| String::from_utf8(encode(&alerts, url, now, Duration::from_secs(240)).unwrap());
        let expected = concat!(
            r#"[{"labels":{"alertname":"Test","subject":"a"},"annotations":{"summary":"Käse <b>"},"#,
            r#""startsAt":"1970-01-01T00:01:40Z","endsAt":"1970-01-01T00:07:20.5Z","#,
            r#""generatorURL":"http://meter.example/x"},"#,
            r#"{"labels":{"alertname":"Test","subject":"b"},"annotations":{},"#,
            r#""startsAt":"1970-01-01T00:01:40Z","endsAt":"1970-01-01T00:02:40Z","#,
            r#""generatorURL":"http://meter.example/x"}]"#
        );
        assert_eq!(encode("http://meter.example/x").unwrap(), expected);
        assert!(!encode("").unwrap().contains("generatorURL"));
        assert_eq!(super::encode(&[], "", now, Duration::ZERO).unwrap(), b"[]");
    }

    /// The alert of a panel that moved to an exporter which has never read it.
    #[test]
    fn the_detected_system_is_no_part_of_the_identity() {
        let unread = alert("a", 100, None);
        let mut read = unread.clone();
        read.labels.insert("system", "marzban");
        assert_eq!(identity(&read), identity(&unread));
        let post = |alert| {
            let body = encode(&[Arc::new(alert)], "", Timestamp::from_secs(200), Duration::from_secs(240));
            serde_json::from_slice::<serde_json::Value>(&body.unwrap()).unwrap()
        };
        let (read, unread) = (post(read), post(unread));
        assert_eq!(read[0]["labels"], unread[0]["labels"]);
        assert_eq!(read[0]["annotations"], serde_json::json!({ "system": "marzban" }));
        assert_eq!(unread[0]["annotations"], serde_json::json!({}));
    }

    #[test]
    fn no_alert_ends_before_it_starts_or_in_the_future() {
        for (starts, ends, now, expected) in [
            (100, None, 200, (100, 240)),
            (100, Some(150), 200, (100, 150)),
            (100, Some(100), 200, (100, 100)),
            (100, Some(90), 200, (100, 100)),
            // The clock was set back.
            (100, None, 50, (50, 90)),
            (100, Some(150), 120, (100, 120)),
            (100, Some(150), 50, (50, 50)),
        ] {
            let alert = alert("a", starts, ends);
            let (start, end) = span(&alert, Timestamp::from_secs(now), Duration::from_secs(40));
            assert_eq!((start.as_secs(), end.as_secs()), expected, "{starts} {ends:?} {now}");
        }
    }
}
