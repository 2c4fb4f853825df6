use std::borrow::Cow;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{answer, rfc3339};
use crate::{exposition::UserLabels, model::ActiveAlert, server::seen::Seen};

#[derive(Serialize)]
struct Data<'a> {
    alerts: Vec<Alert<'a>>,
}

#[derive(Serialize)]
struct Alert<'a> {
    labels: Labels<'a>,
    #[serde(serialize_with = "pairs")]
    annotations: Vec<(&'static str, String)>,
    state: &'static str,
    #[serde(rename = "activeAt")]
    active_at: String,
}

#[derive(Serialize)]
struct Labels<'a> {
    alertname: &'static str,
    severity: &'static str,
    target: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    step: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

/// What is pending and firing, as JSON. Users are named as in the metrics; with `off`, they are left out.
pub(in crate::server) fn json(seen: &Seen) -> serde_json::Result<Vec<u8>> {
    let labels = &seen.setup.options.labels;
    let named = seen.alerts.list.iter().filter_map(|alert| Some((alert, labels.of_subject(alert)?)));
    let mut alerts: Vec<_> = named.map(|(alert, subject)| Alert::new(alert, subject, seen)).collect();
    if matches!(labels, UserLabels::Hash(_)) {
        // Sorted by name, a hash would reveal where in the alphabet its user is.
        alerts.sort_by(|a, b| a.labels.key().cmp(&b.labels.key()));
    }
    answer(Data { alerts })
}

impl Labels<'_> {
    fn key(&self) -> (&str, &str, Option<&str>, &str) {
        (self.target, self.alertname, self.rule, &self.subject)
    }
}

impl<'a> Alert<'a> {
    fn new(alert: &'a ActiveAlert, subject: Cow<'a, str>, seen: &Seen) -> Self {
        let (voice, now) = (&seen.setup.voice, seen.now.wall);
        let mut annotations = alert.reading.words(now);
        annotations.push(("summary", alert.summary.to_owned()));
        annotations.push(("description", seen.sentence(alert, &subject, voice)));
        annotations.push(("action", voice.action(alert.alertname)));
        annotations.extend(voice.runbook(alert.alertname).map(|url| ("runbook_url", url)));
        Alert {
            labels: Labels {
                alertname: alert.alertname,
                severity: alert.severity.label(),
                target: &alert.target,
                kind: alert.kind,
                subject,
                step: &alert.step,
                rule: alert.rule.as_deref(),
            },
            annotations,
            state: alert.state.label(),
            active_at: rfc3339(alert.active_since).unwrap_or_default(),
        }
    }
}

fn pairs<S: Serializer>(pairs: &[(&'static str, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (name, text) in pairs {
        map.serialize_entry(name, text)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::*;
    use crate::{
        model::{ActiveAlerts, AlertState, Reading, Severity},
        secret::HashKey,
        server::{
            Setup,
            seen::testing::{NOW, state},
        },
    };

    fn alert(kind: &'static str, subject: &str) -> ActiveAlert {
        ActiveAlert {
            alertname: "ProxymeterUserExpiry",
            severity: Severity::Warning,
            target: "home".into(),
            kind,
            subject: subject.into(),
            step: "3d".into(),
            rule: None,
            state: AlertState::Firing,
            active_since: NOW,
            summary: "User expires soon.",
            reading: Reading::Ends(NOW.saturating_add(std::time::Duration::from_secs(90_000))),
        }
    }

    fn told(list: Vec<ActiveAlert>, labels: UserLabels) -> String {
        let state = state(&[], ActiveAlerts { known: Vec::new(), list }, labels);
        String::from_utf8(json(&Seen::now(&state)).unwrap()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn alerts_are_told_as_prometheus_tells_its_own() {
        let first = concat!(
            r#"{"status":"success","data":{"alerts":[{"labels":{"alertname":"ProxymeterUserExpiry","severity":"warning","#,
            r#""target":"home","kind":"user","subject":"ali\"ce","step":"3d"},"annotations":{"value":"2026-11-19T12:06:40Z","#,
            r#""remaining":"1d 1h","summary":"User expires soon.","#,
            r#""description":"User ali\"ce (home) expires in 1 day 1 h, on 19 November 2026, 12:06 UTC.","#,
            r#""action":"Renew the plan in the panel, or ask whether the user wants to go on. No action is needed if the user leaves.","#,
            r#""runbook_url":"https://proxymeter.example.com/runbook#proxymeteruserexpiry"},"#,
            r#""state":"firing","activeAt":"2026-11-18T11:06:40Z"}"#
        );
        let named = told(vec![alert("user", "ali\"ce"), alert("node", "n")], UserLabels::Name);
        assert!(named.starts_with(first), "{named}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_external_url_there_is_no_link_to_the_runbook() {
        let mut state =
            state(&[], ActiveAlerts { known: Vec::new(), list: vec![alert("node", "n")] }, UserLabels::Name);
        let mut setup = Setup::clone(&state.setup.borrow());
        setup.voice.pages = None;
        state.setup = watch::channel(Arc::new(setup)).1;
        let json = String::from_utf8(json(&Seen::now(&state)).unwrap()).unwrap();
        assert!(json.contains("summary") && !json.contains("runbook"), "{json}");
    }

    #[tokio::test(start_paused = true)]
    async fn users_are_named_as_in_the_metrics() {
        let list =
            || vec![alert("node", "ali"), alert("user", "alice"), alert("user", "alina"), alert("user", "b")];
        let off = told(list(), UserLabels::Off);
        assert!(off.matches("activeAt").count() == 1 && off.contains("\"ali\""), "{off}");
        let key = HashKey::new(b"key");
        let hashed = told(list(), UserLabels::Hash(key.clone()));
        assert!(!hashed.contains("alice") && !hashed.contains("alina"), "{hashed}");
        let mut hashes = ["alice", "alina", "b"].map(|name| key.hash(name));
        hashes.sort();
        let places = hashes.map(|hash| hashed.find(&hash).unwrap());
        assert!(places.is_sorted());
    }
}
