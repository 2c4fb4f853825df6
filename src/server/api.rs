use serde::Serialize;

use crate::{
    exposition::UserLabels,
    model::{ActiveAlert, ActiveAlerts, KIND_USER},
};

/// The answer to `/api/v1/alerts`, in the form of Prometheus' own.
#[derive(Serialize)]
struct Answer<'a> {
    status: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    alerts: Vec<Alert<'a>>,
}

#[derive(Serialize)]
struct Alert<'a> {
    labels: Labels<'a>,
    annotations: Annotations,
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
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    step: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

#[derive(Serialize)]
struct Annotations {
    summary: &'static str,
}

/// What is pending and firing, as JSON. Users are named as in the metrics; with `off`, they are left out.
pub(super) fn alerts(alerts: &ActiveAlerts, labels: &UserLabels) -> serde_json::Result<Vec<u8>> {
    let named: Vec<_> = alerts
        .list
        .iter()
        .filter_map(|alert| {
            let subject =
                if alert.kind == KIND_USER { labels.of(&alert.subject)? } else { (&*alert.subject).into() };
            Some((alert, subject))
        })
        .collect();
    let alerts = named.iter().map(|(alert, subject)| Alert::new(alert, subject)).collect();
    serde_json::to_vec(&Answer { status: "success", data: Data { alerts } })
}

impl<'a> Alert<'a> {
    fn new(alert: &'a ActiveAlert, subject: &'a str) -> Self {
        let since = jiff::Timestamp::from_millisecond(alert.active_since.as_millis());
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
            annotations: Annotations { summary: alert.summary },
            state: alert.state.label(),
            active_at: since.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        exposition::HashKey,
        model::{AlertState, Severity, Timestamp},
    };

    #[test]
    fn alerts_are_told_as_prometheus_tells_its_own_and_users_as_in_the_metrics() {
        let alert = |kind, subject: &str| ActiveAlert {
            alertname: "ProxymeterUserExpiry",
            severity: Severity::Warning,
            target: "home".into(),
            kind,
            subject: subject.into(),
            step: "3d".into(),
            rule: None,
            state: AlertState::Firing,
            active_since: Timestamp::from_secs(1_795_227_833),
            summary: "A plan ends soon.",
        };
        let active = Arc::new(ActiveAlerts {
            known: vec![],
            list: vec![alert("user", "ali\"ce"), alert("node", "n")],
        });
        let text = |labels| String::from_utf8(alerts(&active, &labels).unwrap()).unwrap();
        let named = text(UserLabels::Name);
        let first = concat!(
            r#"{"status":"success","data":{"alerts":[{"labels":{"alertname":"ProxymeterUserExpiry","severity":"warning","#,
            r#""target":"home","kind":"user","subject":"ali\"ce","step":"3d"},"annotations":{"summary":"A plan ends soon."},"#,
            r#""state":"firing","activeAt":"2026-11-21T02:23:53Z"},"#
        );
        assert!(named.starts_with(first), "{named}");
        let hashed = text(UserLabels::Hash(HashKey::new(b"key")));
        assert!(!hashed.contains("ali") && hashed.matches("activeAt").count() == 2, "{hashed}");
        assert_eq!(text(UserLabels::Off).matches("activeAt").count(), 1);
    }
}
