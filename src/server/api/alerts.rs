use std::{borrow::Cow, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{answer, rfc3339};
use crate::{model::ActiveAlert, server::seen::Seen};

/// The most alerts of one answer, and their number if the request does not say.
const MOST: usize = 10_000;

/// The part of the alerts that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Query {
    limit: usize,
    /// The last alert of the page before.
    after: Option<Place>,
}

impl Default for Query {
    fn default() -> Self {
        Query { limit: MOST, after: None }
    }
}

impl Query {
    /// Reads the parameters `limit` and `after` of a URL. Others are ignored.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(in crate::server) fn of(parameters: Option<&str>) -> Result<Self, String> {
        let (mut limit, mut after) = (None, None);
        for parameter in parameters.unwrap_or_default().split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let known = match name {
                "limit" => &mut limit,
                "after" => &mut after,
                _ => continue,
            };
            if known.replace(value).is_some() {
                return Err(format!("invalid parameter \"{name}\": it is there twice"));
            }
        }
        // `usize::from_str` takes a sign.
        let number =
            |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        Ok(Query {
            limit: match limit {
                None => MOST,
                Some(text) => number(text)
                    .filter(|limit| (1..=MOST).contains(limit))
                    .ok_or_else(|| format!("invalid parameter \"limit\": write a number from 1 to {MOST}"))?,
            },
            after: match after {
                None => None,
                Some(text) => Some(Place::read(text).ok_or(
                    "invalid parameter \"after\": write the value of \"next\" from the page before",
                )?),
            },
        })
    }
}

/// The place of an alert in the order of all: target, name, rule, subject and step. It stays right while alerts come and
/// go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place([String; 5]);

impl Place {
    /// As a word that can be part of a URL.
    fn word(&self) -> serde_json::Result<String> {
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&self.0)?))
    }

    fn read(word: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(word).ok()?).ok().map(Place)
    }

    fn key(&self) -> [&str; 5] {
        self.0.each_ref().map(String::as_str)
    }
}

#[derive(Serialize)]
struct Data<'a> {
    alerts: Vec<Alert<'a>>,
    /// Of all pages.
    total: usize,
    /// What to ask for to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct Alert<'a> {
    labels: Labels<'a>,
    #[serde(serialize_with = "pairs")]
    annotations: Vec<(&'static str, String)>,
    state: &'static str,
    /// Ids of silences.
    #[serde(rename = "silencedBy", skip_serializing_if = "<[_]>::is_empty")]
    silenced_by: &'a [Arc<str>],
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

/// What is pending, firing and suppressed, as JSON. Users are named as in the metrics; with `off`, they are left out.
pub(in crate::server) fn json(seen: &Seen, query: &Query) -> serde_json::Result<Vec<u8>> {
    let labels = &seen.setup.options.labels;
    let named = seen.alerts.iter().filter_map(|alert| Some((alert, labels.of_subject(alert)?)));
    let mut named: Vec<_> = named.collect();
    let total = named.len();
    if let Some(after) = &query.after {
        named.retain(|(alert, subject)| key(alert, subject) > after.key());
    }
    // By what is shown: sorted by name, a hash would reveal where in the alphabet its user is.
    let order = |a: &(&ActiveAlert, Cow<'_, str>), b: &(&ActiveAlert, Cow<'_, str>)| {
        key(a.0, &a.1).cmp(&key(b.0, &b.1))
    };
    let is_last = named.len() <= query.limit;
    if !is_last {
        named.select_nth_unstable_by(query.limit, order);
        named.truncate(query.limit);
    }
    named.sort_unstable_by(order);
    let last = named.last().filter(|_| !is_last);
    let next = last.map(|(alert, subject)| Place(key(alert, subject).map(str::to_owned)).word());
    let next = next.transpose()?;
    let alerts = named.into_iter().map(|(alert, subject)| Alert::new(alert, subject, seen)).collect();
    answer(Data { alerts, total, next })
}

fn key<'a>(alert: &'a ActiveAlert, subject: &'a str) -> [&'a str; 5] {
    [&alert.target, alert.alertname, alert.rule.as_deref().unwrap_or_default(), subject, &alert.step]
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
            silenced_by: &alert.silenced_by,
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
    use tokio::sync::watch;

    use super::*;
    use crate::{
        exposition::UserLabels,
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
            silenced_by: Vec::new(),
            active_since: NOW,
            summary: "User expires soon.",
            reading: Reading::Ends(NOW.saturating_add(std::time::Duration::from_secs(90_000))),
        }
    }

    fn told(list: Vec<ActiveAlert>, labels: UserLabels) -> String {
        let state = state(&[], ActiveAlerts::new(Vec::new(), list), labels);
        String::from_utf8(json(&Seen::now(&state), &Query::default()).unwrap()).unwrap()
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
        let mut state = state(&[], ActiveAlerts::new(Vec::new(), vec![alert("node", "n")]), UserLabels::Name);
        let mut setup = Setup::clone(&state.setup.borrow());
        setup.voice.pages = None;
        state.setup = watch::channel(Arc::new(setup)).1;
        let json = String::from_utf8(json(&Seen::now(&state), &Query::default()).unwrap()).unwrap();
        assert!(json.contains("summary") && !json.contains("runbook"), "{json}");
    }

    #[test]
    fn parameters() {
        for (text, limit) in [
            (None, MOST),
            (Some(""), MOST),
            (Some("limit=1"), 1),
            (Some("limit=10000"), 10_000),
            (Some("other=1&limit=007&&=x"), 7),
        ] {
            assert_eq!(Query::of(text), Ok(Query { limit, after: None }), "{text:?}");
        }
        let place = Place(["home", "A", "", "ali ce/\u{1f600}", "3d"].map(str::to_owned));
        let word = place.word().unwrap();
        assert!(word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{word}");
        assert_eq!(Query::of(Some(&format!("after={word}"))), Ok(Query { limit: MOST, after: Some(place) }));
        for limit in
            ["", "0", "-1", "+1", "1.5", "10001", "99999999999999999999", "1 ", "%31", "x", "\u{661}"]
        {
            let why = Query::of(Some(&format!("limit={limit}"))).unwrap_err();
            assert_eq!(why, "invalid parameter \"limit\": write a number from 1 to 10000", "{limit}");
        }
        for after in ["", "x", "null", "W10", "WyJhIl0", "/", "=", &"A".repeat(10_000), &format!("{word}=")] {
            let why = Query::of(Some(&format!("after={after}"))).unwrap_err();
            assert!(why.starts_with("invalid parameter \"after\": write the value of \"next\""), "{why}");
        }
        for twice in ["limit=1&limit=1", "limit&limit=1", &format!("after={word}&after={word}")] {
            assert!(Query::of(Some(twice)).unwrap_err().ends_with("it is there twice"), "{twice}");
        }
    }

    /// The subjects of a page, and the word for the next one.
    fn page(
        list: &[ActiveAlert],
        limit: usize,
        after: Option<&str>,
        labels: UserLabels,
    ) -> (Vec<String>, Option<String>) {
        let state = state(&[], ActiveAlerts::new(Vec::new(), list.to_vec()), labels);
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let query = Query::of(Some(&format!("limit={limit}{after}"))).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&json(&Seen::now(&state), &query).unwrap()).unwrap();
        assert_eq!(json["data"]["total"], list.len());
        let alerts = json["data"]["alerts"].as_array().unwrap().iter();
        let subjects = alerts.map(|alert| alert["labels"]["subject"].as_str().unwrap().to_owned()).collect();
        (subjects, json["data"]["next"].as_str().map(str::to_owned))
    }

    #[tokio::test(start_paused = true)]
    async fn pages_have_every_alert_once_while_others_come_and_go() {
        let named = |n: usize| alert("user", &format!("user-{n:02}"));
        let key = HashKey::new(b"key");
        for labels in [UserLabels::Name, UserLabels::Hash(key)] {
            for limit in [1, 2, 7, 19, 20, 21] {
                let mut list: Vec<_> = (10..30).rev().map(named).collect();
                let (mut seen, mut next) = page(&list, limit, None, labels.clone());
                while let Some(after) = next {
                    assert_eq!(seen.len() % limit, 0);
                    // The last one of the page before is gone, and others have come, before it and behind it.
                    list.retain(|alert| {
                        Some(&*labels.of_subject(alert).unwrap()) != seen.last().map(String::as_str)
                    });
                    list.push(named(0));
                    let page = page(&list, limit, Some(&after), labels.clone());
                    list.pop();
                    seen.extend(page.0);
                    next = page.1;
                }
                let known: Vec<_> = (10..30).map(named).collect();
                let mut known: Vec<_> =
                    known.iter().map(|alert| labels.of_subject(alert).unwrap().into_owned()).collect();
                known.sort();
                let new = labels.of_subject(&named(0)).unwrap().into_owned();
                seen.retain(|subject| *subject != new);
                assert_eq!(seen, known, "{limit}");
            }
        }
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
