//! What is written, and how much of it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{
        config::{ChatConfig, Dialect},
        limit::Of,
        markup::{Markup, Piece, inert},
        message::Message,
    },
    NOW, config,
};
use crate::{
    model::{Digest, DigestSection, Notice, NoticeAlert, NoticeStatus, Severity},
    wording::{Language, Voice},
};

/// Users of a panel choose their names.
const CORPUS: [&str; 14] = [
    "a\r\nb",
    "<script>alert(1)</script>",
    "@everyone @here @ops",
    "<!channel> <!here|x> <@U123>",
    "<at user_id=\"all\">all</at> <@all>",
    "[x](http://evil.example) **b** _c_ `d` ~~e~~ ||f|| > g # h - i",
    "https://evil.example/?a=b&c=d t.me/evil www.evil.example evil.com",
    "\u{202e}txt.exe\u{2066}",
    "a\0b\u{7f}\u{85}",
    "&lt;b&gt; &#60; &amp;",
    "/start #tag $TAG",
    "用户 کاربر пользователь 🦀 👨‍👩‍👧",
    "\u{fffd}\u{ffff}\u{10ffff}\\ud800",
    "\"},{\"text\":\"x\"}\\",
];

#[test]
fn names_cannot_ping_or_link() {
    for name in CORPUS {
        for piece in [Piece::Foreign(name.into()), Piece::Bold(name.into())] {
            let write = |markup: Markup| {
                let text = markup.write(&[vec![piece.clone()]]);
                text.trim_start_matches(['*']).trim_end_matches('*').to_owned()
            };
            let html = write(Markup::Html).replace("<b>", "").replace("</b>", "");
            for text in [&html, &write(Markup::Slack)] {
                assert!(!text.contains(['<', '>']), "{text}");
                let entities = text.split('&').skip(1).collect::<Vec<_>>();
                assert!(
                    entities
                        .iter()
                        .all(|rest| ["lt;", "gt;", "amp;"].iter().any(|known| rest.starts_with(known))),
                    "{text}"
                );
            }
            let discord = write(Markup::Discord);
            for special in ['*', '_', '~', '|', '<', '[', ']', '(', ')', '#', '`'] {
                for (at, _) in discord.match_indices(special) {
                    let before = discord.get(..at).unwrap();
                    let slashes = before.len() - before.trim_end_matches('\\').len();
                    assert_eq!(slashes % 2, 1, "{special} in {discord}");
                }
            }
            for markup in [Markup::PlainWithTags, Markup::Wecom] {
                assert!(!write(markup).contains('<'), "{markup:?}");
            }
            let wecom = write(Markup::Wecom);
            assert!(!wecom.contains(['[', ']', '`', '*']), "{wecom}");
            for text in [
                &html,
                &write(Markup::Plain),
                &write(Markup::PlainWithTags),
                &wecom,
                &write(Markup::Slack),
                &discord,
            ] {
                for link in ["@e", "@o", "://", "evil.e", "evil.c", "t.me", "/s", "#t", "$T"] {
                    let is_tag = link == "/s" && text.contains("/script");
                    assert!(is_tag || !text.contains(link), "{link} in {text}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_mention_or_link_stays_as_it_is() {
    for text in [
        "node DE-1",
        "97 % (97 of 100 GiB)",
        "127.0.0.1:8000",
        "ann.b",
        "3x-ui v2.5",
        "a@",
        "12:30",
        "1/2",
        "a. B",
    ] {
        assert_eq!(inert(text), text);
    }
    assert_eq!(inert("ann@example.com"), "ann@\u{2060}example.\u{2060}com");
    assert_eq!(inert(""), "");
}

#[test]
fn links_and_bold_text() {
    let lines = [
        vec![Piece::Bold("home: a<b".into())],
        vec![],
        vec![Piece::Text("• ".into()), Piece::Foreign("x & y".into())],
        vec![Piece::Link { text: "Renew (now)".into(), url: "https://m.example/runbook?a=1&b=\"#x".into() }],
    ];
    for (markup, written) in [
        (Markup::Plain, "home: a<b\n\n• x & y\nRenew (now): https://m.example/runbook?a=1&b=\"#x"),
        (Markup::PlainWithTags, "home: a＜b\n\n• x & y\nRenew (now): https://m.example/runbook?a=1&b=\"#x"),
        (
            Markup::Html,
            "<b>home: a&lt;b</b>\n\n• x &amp; y\n\
             <a href=\"https://m.example/runbook?a=1&amp;b=&quot;#x\">Renew (now)</a>",
        ),
        (
            Markup::Discord,
            "**home: a\\<b**\n\n• x & y\n[Renew \\(now\\)](<https://m.example/runbook?a=1&b=\"#x>)",
        ),
        (
            Markup::Slack,
            "*home: a&lt;b*\n\n• x &amp; y\n<https://m.example/runbook?a=1&amp;b=\"#x|Renew (now)>",
        ),
        (Markup::Wecom, "**home: a＜b**\n\n• x & y\n[Renew (now)](https://m.example/runbook?a=1&b=\"#x)"),
    ] {
        assert_eq!(markup.write(&lines), written);
    }
    assert_eq!(Markup::Html.visible(&lines), "home: a<b\n\n• x & y\nRenew (now)");
}

/// An alert of which a sentence of so many of these characters is true.
fn alert(c: char, length: usize) -> Arc<NoticeAlert> {
    Arc::new(NoticeAlert {
        event: "e".into(),
        status: NoticeStatus::Firing,
        severity: Severity::Warning,
        labels: [("alertname", "ProxymeterUserQuota"), ("target", "home"), ("subject", "ann")].into(),
        annotations: [("description", c.to_string().repeat(length))].into(),
        starts_at: NOW,
        ends_at: None,
        began: None,
        until: None,
    })
}

fn notice(alerts: Vec<Arc<NoticeAlert>>) -> Notice {
    Notice {
        id: "msg_1".into(),
        receiver: "ops".into(),
        group: "g".into(),
        group_labels: BTreeMap::new(),
        reason: "first notification".into(),
        alerts,
        created_at: NOW,
        ..Notice::default()
    }
}

/// The text, and its length for each limit of the chat.
fn written(config: &ChatConfig, notice: &Notice) -> (String, Vec<usize>) {
    let row = config.dialect.row();
    let message = Message::of(notice, config, &Voice::default(), NOW);
    let post = message.post(config, "", false, NOW);
    let lengths = row.limits.iter().map(|limit| match limit.of {
        // As Telegram reads it.
        Of::Visible => {
            let tags = post.text.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
            let text: String = tags.collect();
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            limit.unit.count(&text)
        }
        Of::Written => limit.unit.count(post.text),
        Of::Body => limit.unit.count(&(row.body)(&post).to_string()),
    });
    let lengths = lengths.collect();
    (post.text.to_owned(), lengths)
}

#[test]
fn a_message_is_cut_at_the_limit_and_not_before() {
    for dialect in Dialect::ALL {
        let config = ChatConfig { token: Some("key".into()), room: Some("".into()), ..config(dialect) };
        let limits: Vec<_> = config.dialect.row().limits.iter().map(|limit| limit.most).collect();
        // How much longer a message becomes by one of them, at most.
        for (c, width) in [('x', 1), ('я', 2), ('🦀', 4), ('<', 6), ('*', 3)] {
            let of = |rows: usize, last: usize| {
                let rows = (0..rows).map(|_| alert(c, 400)).chain([alert(c, last)]);
                written(&config, &notice(rows.collect()))
            };
            let cuts = |text: &str| text.contains("more that");
            // So many whole rows that the last one decides, and so much of that that it does not fit.
            let rows: Vec<_> = (0..50).collect();
            let rows = rows.partition_point(|rows| !cuts(&of(*rows, 480).0));
            assert!(rows < 50, "{dialect:?} {c} has room for all");
            let lasts: Vec<_> = (1..=480).collect();
            let last = 1 + lasts.partition_point(|last| !cuts(&of(rows, *last).0));
            for last in [last - 1, last] {
                let (_, lengths) = of(rows, last);
                let fit = lengths.iter().zip(&limits).all(|(length, most)| length <= most);
                assert!(fit, "{dialect:?} {c} {last} {lengths:?}");
            }
            // One more would have been too long.
            if last > 1 {
                let (_, longest) = of(rows, last - 1);
                let is_full = longest.iter().zip(&limits).any(|(length, most)| length + width > *most);
                assert!(is_full, "{dialect:?} {c}: {longest:?} of {limits:?}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_counted() {
    for dialect in Dialect::ALL {
        let config = config(dialect);
        for count in [1, 2, 50, 51, 3000] {
            let (text, _) = written(&config, &notice((0..count).map(|_| alert('x', 490)).collect()));
            let rows = text.matches("🟠").count();
            let rest = count - rows;
            assert!(rows > 0 && rows <= 50, "{dialect:?} {rows}");
            let counted = match rest {
                0 => !text.contains("more that"),
                1 => text.contains("1 more that is firing"),
                _ => text.contains(&format!("{rest} more that are firing")),
            };
            assert!(counted, "{dialect:?} {rest} {text}");
        }
    }
}

/// What to do is left out before what is new.
#[test]
fn a_single_alert_always_fits() {
    for dialect in Dialect::ALL {
        for c in ['x', '🦀', '<', '*', '@'] {
            let mut alert = Arc::unwrap_or_clone(alert(c, 490));
            for label in ["subject", "target"] {
                alert.labels.insert(label, &c.to_string().repeat(10_000));
            }
            alert.annotations.insert("action", &c.to_string().repeat(490));
            alert.annotations.insert("runbook_url", &format!("https://m.example/{}", "x".repeat(6000)));
            let (text, lengths) = written(&config(dialect), &notice(vec![Arc::new(alert)]));
            assert!(text.contains("🟠"), "{dialect:?} {c} {text}");
            let limits = dialect.row().limits.iter().map(|limit| limit.most);
            assert!(lengths.into_iter().zip(limits).all(|(length, most)| length <= most), "{dialect:?} {c}");
        }
    }
}

#[test]
fn importance_is_that_of_what_is_new() {
    let alert = |severity, status| {
        let alert = Arc::unwrap_or_clone(alert('x', 5));
        Arc::new(NoticeAlert { severity, status, ..alert })
    };
    use NoticeStatus::{Firing, Resolved};
    use Severity::{Critical, Info, Warning};
    for (alerts, known, silent, priority) in [
        (vec![alert(Info, Firing)], 0, true, 2),
        (vec![alert(Info, Firing), alert(Critical, Firing)], 1, true, 2),
        (vec![alert(Info, Firing), alert(Critical, Resolved)], 0, true, 2),
        (vec![alert(Warning, Resolved), alert(Critical, Firing)], 1, false, 3),
        (vec![alert(Warning, Firing), alert(Info, Firing)], 0, false, 4),
        // A repetition.
        (vec![alert(Critical, Firing), alert(Warning, Firing)], 2, false, 5),
        (vec![], 0, false, 3),
    ] {
        let notice = Notice { known, ..notice(alerts) };
        let of = |dialect, key: &str| {
            let config = config(dialect);
            let message = Message::of(&notice, &config, &Voice::default(), NOW);
            (dialect.row().body)(&message.post(&config, "", false, NOW))[key].clone()
        };
        assert_eq!(of(Dialect::Telegram, "disable_notification"), silent);
        assert_eq!(of(Dialect::Ntfy, "priority"), priority);
    }
}

/// Each language has its own direction and words, and chats get them like mail.
#[test]
fn every_language_fits() {
    for language in Language::ALL {
        let voice = Voice::new(language, jiff::tz::TimeZone::UTC, "https://m.example");
        for dialect in Dialect::ALL {
            let config = config(dialect);
            let notice = notice((0..200).map(|_| alert('x', 100)).collect());
            let message = Message::of(&notice, &config, &voice, NOW);
            let post = message.post(&config, "", false, NOW);
            assert!(post.text.contains(&voice.text("heading-new")), "{dialect:?} {language:?} {}", post.text);
            let page = if dialect.row().has_title { post.link.unwrap() } else { post.text };
            assert!(page.contains("https://m.example/"), "{dialect:?} {language:?} {page}");
        }
    }
}

/// Of each list as many lines are written as fit, and the rest is counted.
#[test]
fn a_digest_is_cut_in_each_list() {
    let section = |heading: &str, lines: usize| DigestSection {
        heading: heading.into(),
        lines: (0..lines).map(|line| format!("User {line} {}", "x".repeat(80))).collect(),
        more: 3,
    };
    for dialect in Dialect::ALL {
        for lines in [0, 1, 2000] {
            let sections = vec![section("Expiring", lines), section("Renewed", 1)];
            let digest = Some(Digest { title: "home: the day".into(), sections });
            let notice = Notice { digest, ..notice(Vec::new()) };
            let (text, lengths) = written(&config(dialect), &notice);
            let limits = dialect.row().limits.iter().map(|limit| limit.most);
            assert!(lengths.into_iter().zip(limits).all(|(length, most)| length <= most), "{dialect:?}");
            let named = text.matches("• User").count();
            assert!(text.contains("Expiring") && text.contains("Renewed"), "{dialect:?} {text}");
            assert!(named >= 2.min(lines + 1) && named <= lines + 1, "{dialect:?} {named}");
            let more = format!("{}", lines + 3 - named.saturating_sub(1));
            assert!(text.contains(&more), "{dialect:?} lacks {more}: {text}");
        }
    }
}
