use std::{collections::BTreeSet, sync::Arc};

use super::{
    sample::{HARMLESS, HOSTILE, Kind, notice},
    *,
};
use crate::model::{Digest, DigestSection};

const TEXT: Scope = Scope { json: false, resolved: true, digest: false };
const JSON: Scope = Scope { json: true, resolved: true, digest: false };
const DIGESTS: Scope = Scope { json: true, resolved: true, digest: true };

fn example() -> Notice {
    notice(Kind::LeftOut, HARMLESS)
}

#[test]
fn a_template_speaks_of_alertmanagers_fields_and_the_reason() {
    let source = "{{ status }} {{ reason }} {{ commonLabels.target }} {{ groupLabels['alertname'] }}\
        {% for alert in alerts %} {{ alert.labels.subject }}={{ alert.endsAt }}{% endfor %} {{ externalURL }} \
        {{ alerts[0].labels.step|tojson }} {{ truncatedAlerts }}";
    let example = example();
    let template = Template::new(source, TEXT).unwrap();
    let rendered = template.render(&example, Body::of(&example, "http://x", 1)).unwrap();
    assert_eq!(
        rendered,
        "firing new alerts added home ProxymeterUserQuota alice=0001-01-01T00:00:00Z http://x \"80%\" 8"
    );
}

/// Compares the variables with docs/notifications.md.
#[test]
fn every_variable_is_documented() {
    let document = std::fs::read_to_string("docs/notifications.md").unwrap();
    let documented = |before: &str| {
        let (_, table) = document.split_once(before).unwrap();
        let (head, rows) = table.split_once("\n|---").unwrap();
        assert!(head.trim_end().ends_with("Type | Meaning | Example |"), "{before}: {head}");
        let rows = rows.split("\n\n").next().unwrap().lines().skip(1);
        let names = rows.map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
            cells[0].trim_matches('`').to_owned()
        });
        names.collect::<BTreeSet<_>>()
    };
    let example = example();
    let context = Context::of(&example, Body::of(&example, "", 2));
    let context = serde_json::to_value(&context).unwrap();
    let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect();
    let variables: BTreeSet<String> = names(&context);
    assert_eq!(documented("## Templates"), variables);
    assert_eq!(documented("Of an alert:"), names(&context["alerts"][0]));
    let labels: BTreeSet<String> = names(&context["alerts"][0]["labels"]);
    assert_eq!(documented("Labels, those"), labels);
    assert_eq!(documented("Annotations. A rule"), names(&context["alerts"][1]["annotations"]));
    let digest = notice(Kind::Digest, HARMLESS);
    let digest = serde_json::to_value(digest.digest).unwrap();
    let mut parts: BTreeSet<String> = names(&digest);
    parts.extend(names(&digest["sections"][0]));
    assert_eq!(documented("Of the digest:"), parts);
}

#[test]
fn a_template_can_tell_a_digest() {
    let source = "{% if digest %}{{ digest.title }}{% for section in digest.sections %}|{{ section.heading }}:\
        {{ section.lines|join(',') }}+{{ section.more }}{% endfor %}{% else %}{{ status }}{% endif %} \
        {{ commonAnnotations.summary }}";
    let template = Template::new(source, TEXT).unwrap();
    let digest = Digest {
        title: "Today".into(),
        sections: vec![DigestSection { heading: "new".into(), lines: vec!["a".into(), "b".into()], more: 7 }],
    };
    let summary = "firing User has used most of the quota.";
    for (digest, expected) in [(None, summary), (Some(digest), "Today|new:a,b+7 Today")] {
        let alerts = if digest.is_some() { Vec::new() } else { example().alerts };
        let notice = Notice { digest, alerts, ..example() };
        assert_eq!(template.render(&notice, Body::of(&notice, "", 2)).unwrap(), expected);
    }
}

#[test]
fn nothing_is_escaped_but_by_tojson() {
    let mut notice = example();
    Arc::make_mut(&mut notice.alerts[0]).labels.insert("subject", "<b>\"&\r\n\0");
    let source = "{{ alerts[0].labels.subject }}|{{ alerts[0].labels.subject|tojson }}";
    let template = Template::new(source, TEXT).unwrap();
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
        ("{{ statsu }}", "there is nothing called statsu; write one of alerts, commonAnnotations, "),
        ("{{ status|shout }}", "shout"),
        (
            "{{ alerts[0].labels.nothing.more }}",
            "with new alerts: line 1: a part of something that is absent",
        ),
        ("{{ status() }}", "line 1: "),
        (
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "too many steps",
        ),
        ("{% for x in alerts recursive %}{{ loop(alerts) }}{{ loop(alerts) }}{% endfor %}", "line 1: "),
        ("{{ 'x' * 2000000 }}", "too much text"),
    ] {
        let err = Template::new(source, TEXT).err().unwrap_or_else(|| panic!("{source} was taken"));
        assert!(err.contains(error), "{source}: {err}");
    }
    for source in ["", "{{ range(3)|list }}", "{% set x = 1 %}{{ x }}", "{{ commonLabels.nothing }}"] {
        assert!(Template::new(source, TEXT).is_ok(), "{source}");
    }
}

/// The longest text that the configuration takes, nested as deep as it can be.
#[test]
fn a_deep_template_ends_no_process() {
    let most = 64 * 1024;
    let nested = |before: &str, piece: &str, after: &str| {
        let pieces = (most - before.len() - after.len()) / piece.len();
        format!("{before}{}{after}", piece.repeat(pieces))
    };
    for (before, piece, after) in [
        ("{{ ", "-", "1 }}"),
        ("{{ ", "not ", "1 }}"),
        ("{{ ", "1+", "1 }}"),
        ("{{ ", "1**", "1 }}"),
        ("{{ ", "'a'~", "'a' }}"),
        ("{{ ", "1 and ", "1 }}"),
        ("{{ ", "1<", "1 }}"),
        ("{{ ", "1 if 1 else ", "1 }}"),
        ("{{ ", "(", "1 }}"),
        ("{{ ", "[", "1 }}"),
        ("{{ status", "|d", " }}"),
        ("{{ status", ".a", " }}"),
        ("{{ status", "[0]", " }}"),
        ("{{ status", "()", " }}"),
        ("{{ status", " is a", " }}"),
        ("{% if 0 %}", "{%elif 0%}", "{% endif %}"),
        ("", "{%if 1%}", ""),
        ("{% set x=1 %}", "{%set x=[x]%}", "{{ x|tojson }}{{ x }}{{ x == [x] }}{{ x|string }}"),
        ("{% set x=1 %}", "{%set x={1:x}%}", "{{ x|tojson }}{{ x }}{{ x == {1:x} }}{{ x|string }}"),
        (
            "{% set x=1 %}",
            &format!("{{%set x={}x{}%}}", "[".repeat(100), "]".repeat(100)),
            "{{ x|tojson }}{{ x }}{{ x == [x] }}{{ x|string }}{{ [x, x]|unique|sort|join }}",
        ),
        ("{% for x in [status] recursive %}", "{%if 1%}", "{{ loop([[x]]) }}"),
        ("{% for x in [status] recursive %}{{ loop([[x]]) }}{% endfor %}", " ", ""),
    ] {
        // It is taken, or refused with a reason.
        let why = Template::new(&nested(before, piece, after), TEXT).err();
        assert_ne!(why.as_deref(), Some(""), "{piece}");
    }
    for (before, piece, after) in [("{{ ", "-", "1 }}"), ("{{ status", "|d", " }}")] {
        let template = Template { source: nested(before, piece, after) };
        drop(template.render(&example(), Body::of(&example(), "", 2)));
    }
}

#[test]
fn a_filter_makes_no_more_than_the_output_may_have() {
    for (source, error) in [
        ("{{ 'x'|indent(1500000000) }}", "filter indent is unknown"),
        ("{{ '%2000000000d'|format(1) }}", "filter format is unknown"),
        ("{{ 'x'|batch(1000000000,'x') }}", "filter batch is unknown"),
        ("{{ 'x'|slice(1000000000) }}", "filter slice is unknown"),
        ("{{ alerts|pprint }}", "filter pprint is unknown"),
        ("{{ debug() }}", "nothing called debug"),
        (
            "{% set ns=namespace(x='x') %}{% for i in range(40) %}{% set ns.x=ns.x~ns.x %}{% endfor %}",
            "nothing called namespace",
        ),
        ("{{ alerts|tojson(indent=1500000000) }}", "line 1: "),
        ("{% set x='x'*1000000 %}{{ x|replace('x',x)|length }}", "too much text"),
        ("{% set x='x'*1000000 %}{{ x|replace('',x)|length }}", "too much text"),
        ("{% set x='x'*10000 %}{{ range(100000)|join(x)|length }}", "too much text"),
        ("{% set x='x'*10000 %}{{ range(100000)|map('string')|join(d=x)|length }}", "too much text"),
        ("{% set x='x'*2000000 %}{{ x|tojson|length }}", "too much text"),
        (
            "{% set x %}{% for i in range(9000) %}{{ 'x' * 100000 }}{% endfor %}{% endset %}{{ x|length }}",
            "too much text",
        ),
        (
            "{% filter length %}{% for i in range(9000) %}{{ 'x' * 100000 }}{% endfor %}{% endfilter %}",
            "too much text",
        ),
        ("{% set x=[1,1] %}XX{{ x|tojson|length }}", "too much text"),
    ] {
        let source = source.replace("XX", &"{% set x=[x,x] %}".repeat(40));
        let err = Template::new(&source, TEXT).err().unwrap_or_else(|| panic!("{source} was taken"));
        assert!(err.contains(error), "{source}: {err}");
    }
    for (source, expected) in [
        ("{{ alerts|map(attribute='labels.subject')|join(', ') }}", "alice, alice2"),
        ("{{ alerts|join('+', attribute='labels.subject') }}", "alice+alice2"),
        ("{{ [1, 'a', none]|join }}", "1aNone"),
        ("{{ 'abc'|join(d='-') }}", "a-b-c"),
        ("{{ 'abab'|replace('b', 'cd') }}", "acdacd"),
        ("{{ truncatedAlerts|replace('7', 'x') }}", "x"),
        (
            "{{ {'b': [1, 2.5, none, nothing], 'a': '<&>'}|tojson }}",
            "{\"a\":\"<&>\",\"b\":[1,2.5,null,null]}",
        ),
    ] {
        let source = source.replace("nothing", "commonLabels.nothing");
        let template = Template::new(&source, TEXT).unwrap();
        assert_eq!(template.render(&example(), Body::of(&example(), "", 2)).unwrap(), expected, "{source}");
    }
}

#[test]
fn what_should_be_json_is() {
    for source in [
        "{\"text\": {{ commonAnnotations.summary | tojson }}}",
        "{{ alerts | tojson }}",
        "{{ reason | tojson }}",
        "[{% for a in alerts %}{{ a.labels.subject|tojson }}{% if not loop.last %},{% endif %}{% endfor %}]",
        "{\"n\": {{ truncatedAlerts }}, \"x\": {{ alerts[0].annotations.ratio | tojson }}}",
        // Texts of ours, which have nothing to escape.
        "{\"s\": \"{{ status }}\", \"t\": \"{{ commonLabels.target }}: {{ alerts|length }}\"}",
        "{\"text\": {{ (alerts|length ~ \" alerts: \" ~ alerts[0].labels.subject)|tojson }}}",
        "\n  {\"digest\": {{ digest | tojson }}}\n",
    ] {
        assert_eq!(Template::new(source, JSON).err(), None, "{source}");
    }
    for (source, error) in [
        (
            "{\n\"user\": \"{{ alerts[0].labels.subject }}\"}",
            "line 2: {{ alerts[0].labels.subject }} is not escaped: with a quotation mark in it, the output is no JSON, \
             but content_type is JSON, as it is by default; write {{ alerts[0].labels.subject | tojson }}, without quotation marks around \
             it",
        ),
        (
            "{\"a\": {{ status }}}",
            "line 1: {{ status }} is not written as JSON: the output is no JSON, but content_type is JSON, as it is by default; write {{ \
             status | tojson }}, without quotation marks around it",
        ),
        (
            "{\"a\": {{ commonAnnotations.ratio }}, \"b\": {{ commonLabels.step }}}",
            "line 1: {{ commonLabels.step }} is not written as JSON:",
        ),
        ("{\"a\": \"{{ groupKey }}\"}", "line 1: {{ groupKey }} is not written as JSON:"),
        (
            "{\"a\": {{ '' ~ (alerts[0].labels.rule or '') }} {{ '1' if alerts[0].labels.rule }}}",
            "with new alerts, the output is no JSON",
        ),
        (
            "{\"a\": \"{{ status | tojson }}\"}",
            "line 1: {{ status | tojson }} has quotation marks around it, and tojson adds its own: the output is no JSON, \
             but content_type is JSON, as it is by default; leave out those around it",
        ),
        (
            "{\"a\": \"User {{ alerts[0].labels.subject }} and others\"}",
            "line 1: {{ alerts[0].labels.subject }} is not escaped: with a quotation mark in it, the output is no JSON, but \
             content_type is JSON, as it is by default; write the whole text as {{ (\"text \" ~ alerts[0].labels.subject) | tojson }}, \
             without quotation marks around it",
        ),
        (
            "{\"a\": \"{{ alerts[0].labels.subject | upper }}\"}",
            "write {{ alerts[0].labels.subject | upper | tojson }}, without quotation marks",
        ),
        (
            "{\"a\": \"{{ alerts[0].labels.subject|e }}\"}",
            "line 1: {{ alerts[0].labels.subject|e }} is not escaped: with a backslash in it, the output is no JSON, but \
             content_type is JSON, as it is by default; write {{ alerts[0].labels.subject | tojson }}, without",
        ),
        ("{\"a\": {{ commonLabels }}, \"b\": {{ alerts[0].labels }}}", "or a whole map as {{ x | tojson }}"),
        (
            "{\"a\": \"{{ 'sk-secret ' ~ alerts[0].labels.subject }}\"}",
            "the value of alerts.labels.subject is not escaped",
        ),
        (
            "{\"a\": [{% for a in alerts %}{% for k, v in a.labels|items %}\"{{ k }}={{ v }}\",{% endfor %}{% endfor %}1]}",
            "the value of alerts.labels.subject is not escaped: with a quotation mark in it",
        ),
        (
            "[{% for a in alerts %}{{ a.labels.subject|tojson }},{% endfor %}]",
            "with new alerts, the output is no JSON, but content_type is JSON, as it is by default: line 1, column 19 of it: a comma \
             before a closing bracket; in a loop, write {% if not loop.last %},{% endif %} in its place",
        ),
        ("[{% for a in alerts %}{{ a.labels.subject|tojson }}{% endfor %}]", "no comma between two values"),
        ("{\"a\": 1", "it ends too early; close all brackets"),
        ("{\"a\": 1}}", "text after the end of the JSON"),
        ("{'a': 1}", "a key without double quotation marks"),
        ("{a: 1}", "a key without double quotation marks"),
        ("{\"a\" 1}", "no colon after a key"),
        ("{\"a\": alarm}", "no value, or a text without quotation marks"),
        ("{\"a\": {{ digest }}}", "a text without quotation marks"),
        ("{\"a\": \"b\nc\"}", "a line break inside quotation marks"),
        ("{\"a\": \"C:\\dir\"}", "a backslash that is not escaped"),
        ("{% if status == 'nothing' %}1{% endif %}", "nothing is rendered"),
        ("plain text", "as {{ x | tojson }}; for other text, write content_type = \"text/plain\""),
    ] {
        let err = Template::new(source, JSON).err().unwrap_or_else(|| panic!("{source} was taken"));
        assert!(err.contains(error), "{source}: {err}");
        assert!(Template::new(source, TEXT).is_ok(), "{source}");
    }
}

/// A template is tried on those notices that its receiver gets.
#[test]
fn each_kind_of_notice_is_tried() {
    let first = "{{ alerts[0].labels.subject | tojson }}";
    assert!(Template::new(first, JSON).is_ok());
    let err = Template::new(first, DIGESTS).err().unwrap();
    assert!(
        err.starts_with("with a daily digest, which has no alerts: line 1: a part of something"),
        "{err}"
    );

    let lines = "{% if digest %}{\"a\": [{% for s in digest.sections %}{% for l in s.lines %}\"{{ l }}\",{% endfor %}\
                 {% endfor %}1]}{% else %}1{% endif %}";
    assert!(Template::new(lines, JSON).is_ok());
    let err = Template::new(lines, DIGESTS).err().unwrap();
    assert!(err.contains("digest.sections.lines is not escaped: with a quotation mark in it"), "{err}");

    let resolved = "{% if status == 'resolved' %}oops{% else %}1{% endif %}";
    let err = Template::new(resolved, JSON).err().unwrap();
    assert!(err.starts_with("with resolved alerts, the output is no JSON"), "{err}");
    assert!(Template::new(resolved, Scope { resolved: false, ..JSON }).is_ok());

    let left_out = "{% if truncatedAlerts %}oops{% else %}1{% endif %}";
    let err = Template::new(left_out, JSON).err().unwrap();
    assert!(err.starts_with("with alerts that are left out, the output"), "{err}");

    let bare = "{% for a in alerts %}{\"ratio\": {{ a.annotations.ratio|replace('%', '') }}}{% if not loop.last %},\
                {% endif %}{% endfor %}";
    let err = Template::new(&format!("[{bare}]"), JSON).err().unwrap();
    assert!(
        err.contains("the value of alerts.annotations.ratio may be absent: then the output is no JSON"),
        "{err}"
    );
    let url = "{\"url\": {% if externalURL %}1{% endif %}}";
    assert!(Template::new(url, JSON).is_err());
}

/// Every hostile text finds what is not escaped, or harms no JSON.
#[test]
fn hostile_texts_are_hostile() {
    let breaks = |text: &str| serde_json::from_str::<serde_json::Value>(&format!("\"{text}\"")).is_err();
    let breaking: Vec<_> = HOSTILE.iter().filter(|(_, text)| breaks(text)).map(|(what, _)| *what).collect();
    assert_eq!(breaking, ["a quotation mark", "a backslash", "a line break", "a control character"]);
    assert!(HOSTILE.iter().any(|(_, text)| text.len() == 1024));
}

#[test]
fn a_notice_of_many_alerts_may_take_more() {
    let template = Template::new("{% for a in alerts %}{{ a.labels|tojson }}{% endfor %}", TEXT).unwrap();
    let mut notice = example();
    let alert = notice.alerts[0].clone();
    notice.alerts.resize(20_000, alert);
    let rendered = template.render(&notice, Body::of(&notice, "", usize::MAX)).unwrap();
    assert!(rendered.len() > 16 * BYTES);
    let endless = "{% if alerts|length > 5 %}{% for a in alerts %}{{ 'x' * 100000 }}{% endfor %}{% endif %}";
    let template = Template::new(endless, TEXT).unwrap();
    let err = template.render(&notice, Body::of(&notice, "", usize::MAX)).unwrap_err();
    assert!(err.contains("too much text"), "{err}");
}
