use std::{collections::BTreeMap, sync::Arc};

use minijinja::{AutoEscape, Environment, Value, value::Serde};
use serde::Serialize;

use super::body::Body;
use crate::model::{Digest, Notice, NoticeAlert, NoticeStatus, Severity, Timestamp};

/// A body from the operator's own template.
pub(super) struct Template {
    source: String,
    environment: Environment<'static>,
}

/// What a template may use: the fields of Alertmanager's body, and these.
#[derive(Serialize)]
struct Context<'a> {
    #[serde(flatten)]
    body: Body<'a>,
    /// Why the notice is sent.
    reason: &'a str,
    /// `none` if it is about alerts.
    digest: Option<&'a Digest>,
}

impl Template {
    /// # Errors
    /// What is wrong with the text, and in which line: it cannot be parsed, uses an unknown name, or cannot be
    /// rendered for an example.
    pub(super) fn new(source: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let template = Template { source: source.to_owned(), environment };
        let example = example();
        let context = Context::of(&example, Body::of(&example, "https://proxymeter.example", 2));
        template.check_names(&context)?;
        template.render_context(&context)?;
        Ok(template)
    }

    /// # Errors
    /// The line in which it failed.
    pub(super) fn render(&self, notice: &Notice, body: Body<'_>) -> Result<String, String> {
        self.render_context(&Context::of(notice, body))
    }

    fn check_names(&self, context: &Value) -> Result<(), String> {
        let template = self.environment.template_from_str(&self.source).map_err(|err| text(&err))?;
        let known = |name: &str| {
            context.get_attr(name).is_ok_and(|value| !value.is_undefined())
                || self.environment.globals().any(|(global, _)| global == name)
        };
        let mut unknown: Vec<_> = template.undeclared_variables(false).into_iter().collect();
        unknown.retain(|name| !known(name));
        unknown.sort_unstable();
        match unknown.first() {
            Some(name) => Err(format!("there is nothing called {name}")),
            None => Ok(()),
        }
    }

    fn render_context(&self, context: &Value) -> Result<String, String> {
        self.environment.render_str(&self.source, context).map_err(|err| text(&err))
    }
}

impl<'a> Context<'a> {
    fn of(notice: &'a Notice, body: Body<'a>) -> Value {
        Value::from(Serde(Context::parts(notice, body)))
    }

    fn parts(notice: &'a Notice, body: Body<'a>) -> Self {
        Context { body, reason: &notice.reason, digest: notice.digest.as_ref() }
    }
}

/// minijinja's own messages may quote values of the notice, and after their first line the template.
fn text(err: &minijinja::Error) -> String {
    let line = err.line().map_or_else(String::new, |line| format!("line {line}: "));
    match err.kind() {
        minijinja::ErrorKind::SyntaxError | minijinja::ErrorKind::UnknownFilter => {
            format!("{line}{}", err.detail().map_or_else(|| err.kind().to_string(), ToOwned::to_owned))
        }
        kind => format!("{line}{kind}"),
    }
}

fn example() -> Notice {
    let alert = |status, subject: &str, ends_at| NoticeAlert {
        event: subject.to_owned(),
        status,
        severity: Severity::Warning,
        labels: pairs(&[
            ("alertname", "ProxymeterUserExpiry"),
            ("kind", "user"),
            ("severity", "warning"),
            ("step", "1d"),
            ("subject", subject),
            ("system", "marzban"),
            ("target", "home"),
        ]),
        annotations: pairs(&[
            ("description", "An example."),
            ("remaining", "23h"),
            ("summary", "An example."),
        ]),
        starts_at: Timestamp::from_secs(1_759_305_600),
        ends_at,
        began: None,
        until: None,
    };
    Notice {
        id: "msg_example".into(),
        receiver: "example".into(),
        group: "{}:{alertname=\"ProxymeterUserExpiry\", target=\"home\"}".into(),
        group_labels: pairs(&[("alertname", "ProxymeterUserExpiry"), ("target", "home")]),
        reason: "example".into(),
        alerts: vec![
            Arc::new(alert(NoticeStatus::Firing, "alice", None)),
            Arc::new(alert(NoticeStatus::Resolved, "bob", Some(Timestamp::from_secs(1_759_309_200)))),
        ],
        created_at: Timestamp::from_secs(1_759_305_600),
        ..Notice::default()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::DigestSection;

    #[test]
    fn a_template_speaks_of_alertmanagers_fields_and_the_reason() {
        let source = "{{ status }} {{ reason }} {{ commonLabels.target }} {{ groupLabels['alertname'] }}\
            {% for alert in alerts %} {{ alert.labels.subject }}={{ alert.endsAt }}{% endfor %} {{ externalURL }} \
            {{ alerts[0].labels.step|tojson }} {{ truncatedAlerts }}";
        let example = example();
        let template = Template::new(source).unwrap();
        let rendered = template.render(&example, Body::of(&example, "http://x", 1)).unwrap();
        assert_eq!(
            rendered,
            "firing example home ProxymeterUserExpiry alice=0001-01-01T00:00:00Z \
            http://x \"1d\" 1"
        );
    }

    /// Compares the variables with docs/notifications.md.
    #[test]
    fn every_variable_is_documented() {
        let document = std::fs::read_to_string("docs/notifications.md").unwrap();
        let documented = |before: &str| {
            let (_, table) = document.split_once(before).unwrap();
            let (_, rows) = table.split_once("|---").unwrap();
            let rows = rows.split("\n\n").next().unwrap().lines();
            let names = rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
            names.collect::<BTreeSet<_>>()
        };
        let example = example();
        let context = Context::parts(&example, Body::of(&example, "", 2));
        let context = serde_json::to_value(&context).unwrap();
        let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect();
        let variables: BTreeSet<String> = names(&context);
        assert_eq!(documented("## Templates"), variables);
        assert_eq!(documented("Of an alert:"), names(&context["alerts"][0]));
        let labels: BTreeSet<String> = names(&context["alerts"][0]["labels"]);
        assert!(documented("Labels, those").is_superset(&labels), "{labels:?}");
    }

    #[test]
    fn a_template_can_tell_a_digest() {
        let source = "{% if digest %}{{ digest.title }}{% for section in digest.sections %}|{{ section.heading }}:\
            {{ section.lines|join(',') }}+{{ section.more }}{% endfor %}{% else %}{{ status }}{% endif %} \
            {{ commonAnnotations.summary }}";
        let template = Template::new(source).unwrap();
        let digest = Digest {
            title: "Today".into(),
            sections: vec![DigestSection {
                heading: "new".into(),
                lines: vec!["a".into(), "b".into()],
                more: 7,
            }],
        };
        for (digest, expected) in [(None, "firing An example."), (Some(digest), "Today|new:a,b+7 Today")] {
            let alerts = if digest.is_some() { Vec::new() } else { example().alerts };
            let notice = Notice { digest, alerts, ..example() };
            assert_eq!(template.render(&notice, Body::of(&notice, "", 2)).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_is_escaped_but_by_tojson() {
        let mut notice = example();
        Arc::make_mut(&mut notice.alerts[0]).labels.insert("subject".into(), "<b>\"&\r\n\0".into());
        let template =
            Template::new("{{ alerts[0].labels.subject }}|{{ alerts[0].labels.subject|tojson }}").unwrap();
        let rendered = template.render(&notice, Body::of(&notice, "", 2)).unwrap();
        let (plain, json) = rendered.split_once('|').unwrap();
        assert_eq!(plain, "<b>\"&\r\n\0");
        assert_eq!(serde_json::from_str::<String>(json).unwrap(), plain);
    }

    #[test]
    fn mistakes_are_found_without_a_notice() {
        for (source, error) in [
            ("{{ status", "unexpected end"),
            ("a\n{% for x in alerts %}", "line 2: unexpected end"),
            ("{{ statsu }}", "there is nothing called statsu"),
            ("{{ status|shout }}", "shout"),
            ("{{ alerts[0].labels.nothing.more }}", "undefined"),
            ("{{ status() }}", "line 1: "),
        ] {
            let err = Template::new(source).err().unwrap_or_else(|| panic!("{source} was taken"));
            assert!(err.contains(error), "{source}: {err}");
        }
        for source in ["", "{{ range(3)|list }}", "{% set x = 1 %}{{ x }}", "{{ commonLabels.nothing }}"] {
            assert!(Template::new(source).is_ok(), "{source}");
        }
    }
}
