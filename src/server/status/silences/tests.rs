use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    exposition::UserLabels,
    model::{ActiveAlert, ActiveAlerts, AlertState, MatchOp, Matcher, Reading, Severity},
    secret::HashKey,
    server::{
        seen::testing::{NOW, state},
        status::{Asked, Page, html},
    },
};

fn silence(id: &str, matchers: &[&str], from: u64, hours: u64) -> Arc<Silence> {
    let after = |hours| NOW.saturating_add(Duration::from_secs(hours * 3600));
    Arc::new(Silence {
        id: id.into(),
        matchers: matchers.iter().map(|text| text.parse().unwrap()).collect(),
        starts_at: after(from),
        ends_at: after(hours),
        updated_at: NOW,
        created_by: "Ann <root>".into(),
        comment: format!("the <b>move</b> of {id}"),
    })
}

/// A page whose silences have these names in all that others write, with mutes beside them.
pub(in crate::server::status) fn page_to_look_at(names: &[&str]) -> String {
    let name = |name: &&str| name.chars().filter(|c| !c.is_control()).take(900).collect::<String>();
    let silences = names.iter().map(name).enumerate().map(|(place, name)| {
        let matchers =
            ["target=edge".parse().unwrap(), Matcher::new("subject", MatchOp::Equal, &name).unwrap()];
        let comment = format!("{name} {name}");
        let hours = u64::try_from(place).unwrap();
        let plain = silence("7c9e6679-7425-40de-944b-e07fc1f90ae7", &[], hours % 2, hours + 2);
        Arc::new(Silence {
            matchers: matchers.into(),
            created_by: name,
            comment,
            ..Arc::unwrap_or_clone(plain)
        })
    });
    let mute = |name: &str, matchers: &[(&str, &str)]| ActiveMute {
        name: name.into(),
        matchers: matchers.iter().map(|(label, glob)| ((*label).into(), (*glob).into())).collect(),
        below: Some(Severity::Critical),
        until: NOW.saturating_add(Duration::from_secs(7200)),
    };
    let mutes = vec![mute("night", &[]), mute("vips", &[("subject", "vip-*")])];
    whole(silences.collect(), mutes, UserLabels::Name)
}

fn page(silences: Vec<Arc<Silence>>, mutes: Vec<ActiveMute>, labels: UserLabels) -> String {
    let page = whole(silences, mutes, labels);
    page.split("<section").find(|part| part.contains("id=\"silences\"")).unwrap_or_default().to_owned()
}

fn whole(silences: Vec<Arc<Silence>>, mutes: Vec<ActiveMute>, labels: UserLabels) -> String {
    let alert = ActiveAlert {
        alertname: "ProxymeterNodeDown",
        severity: Severity::Critical,
        target: "edge".into(),
        kind: "node",
        subject: "DE-1".into(),
        step: "".into(),
        rule: None,
        state: AlertState::Suppressed,
        silenced_by: vec!["one".into()],
        active_since: NOW,
        summary: "Node is down.",
        reading: Reading::Nothing,
    };
    let alerts = ActiveAlerts {
        silences: silences.into(),
        mutes: mutes.into(),
        ..ActiveAlerts::new(Vec::new(), [alert])
    };
    let page = Page::Status(Asked::default());
    String::from_utf8(html(&Seen::now(&state(&[], alerts, labels)), &page).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn silences_are_shown_with_their_end_author_and_comment() {
    assert_eq!(page(Vec::new(), Vec::new(), UserLabels::Name), "");
    let shown = page(
        vec![
            silence("two", &["subject=~a.*"], 1, 3),
            silence("one", &["target=edge", "kind!=user"], 0, 2),
            silence("over", &["target=old"], 0, 0),
        ],
        Vec::new(),
        UserLabels::Name,
    );
    for words in [
        "<bdi>target=edge</bdi>, <bdi>kind!=user</bdi>",
        "1 alert<",
        "in 2h <small class=\"date\">2026-11-18 13:06</small>",
        "<bdi>the &lt;b&gt;move&lt;&#x2f;b&gt; of one</bdi>",
        "<bdi>Ann &lt;root&gt;</bdi>, <code>one</code>",
        "<bdi>subject=~a.*</bdi>",
        "begins in 1h",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    assert!(!shown.contains("target=old") && shown.find(">one<") < shown.find(">two<"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn of_many_the_first_are_shown_and_the_others_counted() {
    let silences = (0..60).map(|n| silence(&format!("id-{n:02}-"), &["target=edge"], 0, n + 1)).collect();
    let shown = page(silences, Vec::new(), UserLabels::Name);
    assert_eq!(shown.matches("<tr").count(), 1 + SHOWN);
    assert!(shown.contains("id-49-") && !shown.contains("id-50-") && shown.contains("10 more silences"));
}

#[tokio::test(start_paused = true)]
async fn mutes_in_force_are_shown() {
    let mute = |name: &str, matchers: &[(&str, &str)], below| ActiveMute {
        name: name.into(),
        matchers: matchers.iter().map(|(label, glob)| ((*label).into(), (*glob).into())).collect(),
        below,
        until: NOW.saturating_add(Duration::from_secs(7200)),
    };
    let mutes = vec![
        mute("night", &[], Some(Severity::Critical)),
        mute("vips", &[("target", "edge"), ("subject", "vip-*")], None),
    ];
    let shown = page(Vec::new(), mutes.clone(), UserLabels::Name);
    for words in [
        "everything below critical",
        "mute <bdi>night</bdi>",
        "<bdi>target=edge</bdi>, <bdi>subject=vip-*</bdi>",
        "in 2h",
        "by the configuration",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    let hashed = page(Vec::new(), mutes, UserLabels::Hash(HashKey::new(b"key")));
    assert!(!hashed.contains("vip-*") && hashed.contains("<bdi>subject=&lt;hidden&gt;</bdi>"), "{hashed}");
}

#[tokio::test(start_paused = true)]
async fn users_are_named_as_everywhere() {
    let key = HashKey::new(b"key");
    let code = format!("subject={}", key.hash("alice"));
    let cases: [(&[&str], &str, &str); 6] = [
        (&["subject=alice"], &code, "subject=&lt;hidden&gt;"),
        (&["kind=user", "subject!=alice"], "subject!=", "subject!=&lt;hidden&gt;"),
        (&["subject=~alice|bob"], "subject=~&lt;hidden&gt;", "subject=~&lt;hidden&gt;"),
        // What is no user has a name that may be shown.
        (&["kind=node", "subject=alice"], "subject=alice", "subject=alice"),
        (&["kind=~node|part", "subject=~alice"], "subject=~alice", "subject=~alice"),
        (&["target=edge", "subject=\"\""], "subject=<", "subject=<"),
    ];
    for (matchers, hashed, off) in cases {
        let shown = |labels| page(vec![silence("one", matchers, 0, 1)], Vec::new(), labels);
        let (by_hash, without) = (shown(UserLabels::Hash(key.clone())), shown(UserLabels::Off));
        assert!(by_hash.contains(hashed), "{matchers:?} {by_hash}");
        assert!(without.contains(off), "{matchers:?} {without}");
        let is_no_user = matchers[0].starts_with("kind=") && !matchers[0].contains("user");
        assert_eq!(by_hash.contains("alice"), is_no_user, "{by_hash}");
        assert_eq!(without.contains("alice"), is_no_user, "{without}");
    }
}
