//! Each client against its simulated service, which refuses what the real one refuses.

use std::time::Duration;

use proxymeter::{
    model::{Named, NoticeStatus, Severity},
    notify::{Receiver, Retry, chat::config::ChatConfig, webhook::config::Authorization},
    simulator::inbox::{ChatOptions, Manner, Message, Service},
};

use super::chats::{Fake, GROUP, alert, firing, notice, options, pager, pagerduty, room};

#[tokio::test]
async fn each_service_takes_a_message() {
    for service in Service::ALL {
        let mut fake = Fake::start(service);
        let mut receiver = fake.receiver();
        assert_eq!(receiver.names(), Named::News(50));
        let alerts = vec![
            alert("ann", Severity::Critical, NoticeStatus::Firing),
            firing("bob"),
            alert("cy", Severity::Info, NoticeStatus::Resolved),
        ];
        let said =
            fake.send(&mut receiver, &notice(alerts)).await.unwrap_or_else(|err| panic!("{service:?} {err}"));
        let status = if service == Service::PagerDuty { 202 } else { 200 };
        assert_eq!(said, format!("127.0.0.1 answered {status}"), "{service:?}");
        let [message] = fake.taken().try_into().unwrap();
        let whole = format!("{}\n{}\n{}", message.title, message.text, message.body);
        for part in [
            "home: ",
            "User ann has used 97 % (97 of 100 GiB).",
            "User bob",
            "User cy has used 3 %",
            "Raise the limit",
        ] {
            assert!(whole.contains(part), "{service:?} lacks {part}: {message:?}");
        }
        assert_eq!(message.pings, [""; 0], "{service:?}");
        let urls: Vec<_> = message.links.iter().map(|link| link.url.as_str()).collect();
        assert!(urls.contains(&"https://meter.example/"), "{service:?} {urls:?}");
    }
}

/// What people see, in one of them.
#[tokio::test]
async fn telegram_shows_it_so() {
    let mut fake = Fake::start(Service::Telegram);
    let alerts = vec![
        alert("ann <b>", Severity::Critical, NoticeStatus::Firing),
        alert("cy", Severity::Info, NoticeStatus::Resolved),
    ];
    fake.send(&mut fake.receiver(), &notice(alerts)).await.unwrap();
    let [message] = fake.taken().try_into().unwrap();
    assert_eq!(
        message.text,
        "home: 1 new, 1 resolved, 1 firing\n\n\
         New\n\
         🔴 User ann <b> has used 97 % (97 of 100 GiB). (since 25 November 2026, 09:46)\n\n\
         Resolved\n\
         🟢 User cy has used 3 % (3 of 100 GiB; renewed). (ended 25 November 2026, 09:46)\n\n\
         What to do: Raise the limit, or tell the user.\n\n\
         All alerts"
    );
    let bold: Vec<_> = message.styles.iter().map(|style| (style.kind, style.text.as_str())).collect();
    assert_eq!(bold, [("bold", "home: 1 new, 1 resolved, 1 firing"), ("bold", "New"), ("bold", "Resolved")]);
    let links: Vec<_> = message.links.iter().map(|link| (link.text.as_str(), link.url.as_str())).collect();
    assert_eq!(
        links,
        [
            ("What to do", "https://meter.example/runbook#proxymeteruserquota"),
            ("All alerts", "https://meter.example/"),
        ]
    );
}

type Row = (Service, fn(&mut ChatOptions), Manner, fn(&mut ChatConfig), &'static str, Retry);

/// Every refusal of the simulated services that a client can meet.
#[tokio::test]
async fn every_refusal_is_met() {
    use Service::{Bark, DingTalk, Discord, Feishu, Gotify, Ntfy, Slack, Telegram, WeCom};
    const SAME: fn(&mut ChatOptions) = |_| {};
    const OURS: fn(&mut ChatConfig) = |_| {};
    const OTHER_TOKEN: fn(&mut ChatOptions) = |options| options.token = other(&options.token);
    let wait = |seconds| Retry::NotBefore(Duration::from_secs(seconds));
    let fair = Manner::Fair;
    let rows: Vec<Row> = vec![
        (Telegram, OTHER_TOKEN, fair.clone(), OURS, "auth", Retry::Refused),
        (Telegram, SAME, fair.clone(), |config| config.token = Some("x".into()), "auth", Retry::Refused),
        (Telegram, |options| options.chats.clear(), fair.clone(), OURS, "client_error", Retry::Refused),
        (Telegram, SAME, fair.clone(), |config| config.thread = Some(7), "client_error", Retry::Refused),
        (Telegram, SAME, Manner::Gone, OURS, "auth", Retry::Refused),
        (Telegram, SAME, Manner::TooMany(7), OURS, "rate_limited", wait(7)),
        (Telegram, SAME, Manner::Broken, OURS, "server_error", Retry::Later),
        (
            Telegram,
            SAME,
            fair.clone(),
            |config| config.url = format!("{}/x", config.url.expose()).into(),
            "client_error",
            Retry::Refused,
        ),
        (Discord, |options| options.token = "9/x".into(), fair.clone(), OURS, "client_error", Retry::Refused),
        (Discord, |options| options.token = "1103/x".into(), fair.clone(), OURS, "auth", Retry::Refused),
        (Discord, |options| options.threads = vec![7], fair.clone(), OURS, "client_error", Retry::Refused),
        (Discord, SAME, fair.clone(), |config| config.thread = Some(7), "client_error", Retry::Refused),
        (Discord, SAME, Manner::Gone, OURS, "client_error", Retry::Refused),
        (Discord, SAME, Manner::TooMany(65), OURS, "rate_limited", wait(65)),
        (Discord, SAME, Manner::Broken, OURS, "server_error", Retry::Later),
        (Slack, OTHER_TOKEN, fair.clone(), OURS, "client_error", Retry::Refused),
        (
            Slack,
            |options| options.token = "T0synthetic/B0synthetic/x".into(),
            fair.clone(),
            OURS,
            "auth",
            Retry::Refused,
        ),
        (Slack, SAME, Manner::Gone, OURS, "gone", Retry::Disabled),
        (Slack, SAME, Manner::TooMany(30), OURS, "rate_limited", wait(30)),
        (Slack, SAME, Manner::Broken, OURS, "server_error", Retry::Later),
        (Feishu, OTHER_TOKEN, fair.clone(), OURS, "client_error", Retry::Refused),
        (Feishu, |options| options.secret = Some("other".into()), fair.clone(), OURS, "auth", Retry::Refused),
        (Feishu, SAME, fair.clone(), |config| config.secret = None, "auth", Retry::Refused),
        (
            Feishu,
            |options| options.keyword = Some("Alarm".into()),
            fair.clone(),
            OURS,
            "client_error",
            Retry::Refused,
        ),
        (Feishu, SAME, Manner::Gone, OURS, "client_error", Retry::Refused),
        (Feishu, SAME, Manner::TooMany(7), OURS, "rate_limited", Retry::Later),
        (Feishu, SAME, Manner::Broken, OURS, "server_error", Retry::Later),
        (DingTalk, OTHER_TOKEN, fair.clone(), OURS, "client_error", Retry::Refused),
        (
            DingTalk,
            |options| options.secret = Some("other".into()),
            fair.clone(),
            OURS,
            "auth",
            Retry::Refused,
        ),
        (DingTalk, SAME, fair.clone(), |config| config.secret = None, "auth", Retry::Refused),
        (
            DingTalk,
            |options| options.keyword = Some("Alarm".into()),
            fair.clone(),
            OURS,
            "auth",
            Retry::Refused,
        ),
        (DingTalk, SAME, Manner::Gone, OURS, "client_error", Retry::Refused),
        (DingTalk, SAME, Manner::TooMany(7), OURS, "rate_limited", Retry::Later),
        (DingTalk, SAME, Manner::Broken, OURS, "server_error", Retry::Later),
        (WeCom, OTHER_TOKEN, fair.clone(), OURS, "client_error", Retry::Refused),
        (WeCom, SAME, Manner::Gone, OURS, "client_error", Retry::Refused),
        (WeCom, SAME, Manner::TooMany(7), OURS, "rate_limited", Retry::Later),
        (WeCom, SAME, Manner::Broken, OURS, "server_error", Retry::Later),
        (Ntfy, OTHER_TOKEN, fair.clone(), OURS, "auth", Retry::Refused),
        (Ntfy, SAME, fair.clone(), |config| config.authorization = None, "auth", Retry::Refused),
        (Ntfy, |options| options.chats = vec!["other".into()], fair.clone(), OURS, "auth", Retry::Refused),
        (Ntfy, SAME, fair.clone(), |config| config.room = Some("a.b".into()), "client_error", Retry::Refused),
        (
            Ntfy,
            SAME,
            fair.clone(),
            |config| config.room = Some("docs".into()),
            "client_error",
            Retry::Refused,
        ),
        (Ntfy, SAME, Manner::Gone, OURS, "auth", Retry::Refused),
        (Ntfy, SAME, Manner::TooMany(7), OURS, "rate_limited", Retry::Later),
        (Ntfy, SAME, Manner::Broken, OURS, "server_error", Retry::Later),
        (Gotify, OTHER_TOKEN, fair.clone(), OURS, "auth", Retry::Refused),
        (
            Gotify,
            SAME,
            fair.clone(),
            |config| config.url = format!("{}/x", config.url.expose()).into(),
            "client_error",
            Retry::Refused,
        ),
        (Gotify, SAME, Manner::Gone, OURS, "auth", Retry::Refused),
        (Gotify, SAME, Manner::Broken, OURS, "server_error", Retry::Later),
        (
            Bark,
            SAME,
            fair.clone(),
            |config| config.token = Some("unknown".into()),
            "client_error",
            Retry::Refused,
        ),
        (Bark, SAME, fair.clone(), |config| config.token = None, "client_error", Retry::Refused),
        (
            Bark,
            |options| options.secret = Some("u:synthetic".into()),
            fair.clone(),
            OURS,
            "auth",
            Retry::Refused,
        ),
        (
            Bark,
            SAME,
            fair.clone(),
            |config| config.url = format!("{}/a/b", config.url.expose()).into(),
            "client_error",
            Retry::Refused,
        ),
        (Bark, SAME, Manner::Gone, OURS, "client_error", Retry::Refused),
        (Bark, SAME, Manner::TooMany(7), OURS, "rate_limited", Retry::Later),
        (Bark, SAME, Manner::Broken, OURS, "server_error", Retry::Later),
    ];
    for (number, (service, tamper, manner, configure, reason, retry)) in rows.into_iter().enumerate() {
        let mut known = options(service);
        tamper(&mut known);
        let mut fake = Fake::with(service, known);
        fake.server.behave(manner.clone());
        let mut config = fake.chat();
        configure(&mut config);
        let sent = fake.send(&mut room(&config), &notice(vec![firing("ann")])).await;
        let err = sent.expect_err(&format!("row {number}: {service:?} {manner:?}"));
        assert_eq!(
            (err.reason.label(), err.retry),
            (reason, retry),
            "row {number}: {service:?} {manner:?} {err}"
        );
        assert_eq!(fake.taken(), [], "row {number}");
    }
}

/// The quota of a day, and an address that is locked out after 30 failed logins, even with the right token.
#[tokio::test]
async fn ntfy_refuses_for_long() {
    let rate = ("rate_limited", Retry::Later);
    let mut fake = Fake::with(Service::Ntfy, ChatOptions { daily: Some(1), ..options(Service::Ntfy) });
    fake.send(&mut fake.receiver(), &notice(vec![firing("ann")])).await.unwrap();
    let err = fake.send(&mut fake.receiver(), &notice(vec![firing("bob")])).await.unwrap_err();
    assert_eq!((err.reason.label(), err.retry), rate, "{err}");
    assert_eq!(fake.taken().len(), 1);

    let fake = Fake::start(Service::Ntfy);
    let wrong = Authorization::Bearer("tk_wrong".into());
    let wrong = ChatConfig { authorization: Some(wrong), ..fake.chat() };
    let mut last = None;
    for _ in 0..31 {
        last = fake.send(&mut room(&wrong), &notice(vec![firing("ann")])).await.err();
    }
    assert_eq!(last.map(|err| (err.reason.label(), err.retry)), Some(rate));
    let err = fake.send(&mut fake.receiver(), &notice(vec![firing("ann")])).await.unwrap_err();
    assert_eq!((err.reason.label(), err.retry), rate, "{err}");
}

fn other(token: &str) -> String {
    token.chars().map(|c| if c.is_ascii_lowercase() { 'z' } else { c }).collect()
}

#[tokio::test]
async fn every_refusal_of_pagerduty_is_met() {
    let wrong = "R0wrong00wrong00wrong00wrong0000";
    for (token, key, manner, reason, retry) in [
        (wrong, None, Manner::Fair, "auth", Retry::Refused),
        ("", Some("short"), Manner::Fair, "auth", Retry::Refused),
        ("", None, Manner::Gone, "auth", Retry::Refused),
        ("", None, Manner::TooMany(7), "rate_limited", Retry::Later),
        ("", None, Manner::Broken, "server_error", Retry::Later),
    ] {
        let mut known = options(Service::PagerDuty);
        if !token.is_empty() {
            known.token = token.to_owned();
        }
        let fake = Fake::with(Service::PagerDuty, known);
        fake.server.behave(manner);
        let mut config = pagerduty(&fake.address.to_string());
        if let Some(key) = key {
            config.routing_key = key.into();
        }
        let err = fake.send(&mut pager(&config), &notice(vec![firing("ann")])).await.unwrap_err();
        assert_eq!((err.reason.label(), err.retry), (reason, retry), "{err}");
    }
}

#[tokio::test]
async fn an_incident_is_open_while_an_alert_fires() {
    let mut fake = Fake::start(Service::PagerDuty);
    let mut receiver = fake.receiver();
    let critical = alert("ann", Severity::Critical, NoticeStatus::Firing);
    let ended = alert("ann", Severity::Critical, NoticeStatus::Resolved);
    fake.send(&mut receiver, &notice(vec![critical.clone()])).await.unwrap();
    let [incident] = fake.server.incidents().try_into().unwrap();
    // SHA-256 of the group's key, as Alertmanager has it.
    assert_eq!(incident.key, "f796d48aa54b8e21ecdffabbe15e54c8847e9b3157a19f72a6a93e67b96a4091");
    assert_eq!((incident.severity.as_str(), incident.triggered), ("critical", 1));
    assert_eq!(incident.summary, "home: user ann has used 95 % or more of the data limit");

    // One of two ends: it goes on.
    let mut one_left = notice(vec![ended.clone(), firing("bob")]);
    one_left.known = 1;
    fake.send(&mut receiver, &one_left).await.unwrap();
    assert_eq!(fake.server.incidents().len(), 1);
    // Those that are left out fire.
    let others = notice(vec![ended.clone()]);
    fake.send(&mut receiver, &proxymeter::model::Notice { others_fire: true, ..others.clone() })
        .await
        .unwrap();
    assert_eq!(fake.server.incidents()[0].triggered, 3);
    fake.send(&mut receiver, &others).await.unwrap();
    assert_eq!(fake.server.incidents(), []);
    let titles: Vec<_> = fake.taken().into_iter().map(|message| message.title).collect();
    assert_eq!(titles, ["trigger", "trigger", "trigger", "resolve"]);

    let mut other_group = notice(vec![critical]);
    other_group.group.push('x');
    fake.send(&mut receiver, &other_group).await.unwrap();
    assert_ne!(fake.server.incidents()[0].key, incident.key);
}

#[tokio::test]
async fn a_group_that_moved_is_followed_at_once_and_remembered() {
    let mut fake = Fake::start(Service::Telegram);
    fake.server.behave(Manner::MovedTo(-1_009_999_999_999));
    let mut receiver = fake.receiver();
    for _ in 0..2 {
        fake.send(&mut receiver, &notice(vec![firing("ann")])).await.unwrap();
        fake.pass(Duration::from_secs(5));
    }
    let to: Vec<_> = fake.taken().into_iter().map(|message| message.to).collect();
    assert_eq!(to, ["-1009999999999", "-1009999999999"]);
    let requests = fake.server.wire.requests().len();
    assert_eq!(requests, 3, "once to the old one");
    // Another receiver knows nothing of it.
    fake.server.behave(Manner::Fair);
    fake.send(&mut fake.receiver(), &notice(vec![firing("ann")])).await.unwrap();
    assert_eq!(fake.taken()[0].to, GROUP.to_string());
}

#[tokio::test]
async fn keywords_threads_and_logins_are_used() {
    let thread = ChatOptions { threads: vec![7], ..options(Service::Telegram) };
    let forum = ChatOptions { threads: vec![7], ..options(Service::Discord) };
    let keyword = |service| ChatOptions { keyword: Some("Alarm".into()), ..options(service) };
    let login = |service| ChatOptions { secret: Some("me:synthetic".into()), ..options(service) };
    for (known, service, configure) in [
        (thread, Service::Telegram, (|config| config.thread = Some(7)) as fn(&mut ChatConfig)),
        (forum, Service::Discord, |config| config.thread = Some(7)),
        (keyword(Service::Feishu), Service::Feishu, |config| config.keyword = Some("Alarm".into())),
        (keyword(Service::DingTalk), Service::DingTalk, |config| config.keyword = Some("Alarm".into())),
        (login(Service::Bark), Service::Bark, basic),
        (login(Service::Ntfy), Service::Ntfy, basic),
    ] {
        let mut fake = Fake::with(service, known);
        let mut config = fake.chat();
        configure(&mut config);
        let status = [NoticeStatus::Firing, NoticeStatus::Resolved];
        let mut receiver = room(&config);
        for status in status {
            let sent = fake.send(&mut receiver, &notice(vec![alert("ann", Severity::Warning, status)])).await;
            sent.unwrap_or_else(|err| panic!("{service:?} {err}"));
            fake.pass(Duration::from_secs(3));
        }
        assert_eq!(fake.taken().len(), 2, "{service:?}");
    }
}

fn basic(config: &mut ChatConfig) {
    config.authorization = Some(Authorization::Basic { username: "me".into(), password: "synthetic".into() });
}

/// Users of a panel choose their names.
#[tokio::test]
async fn names_cannot_ping_or_link() {
    let long = "x@y.com ".repeat(1300);
    let corpus = [
        "a\r\nX-Injected: yes\r\n\r\nbody",
        "\0\u{1}\u{7f}\u{85}",
        "<script>alert(1)</script>",
        "@everyone @here @channel @durov",
        "<!channel> <!here|x> <@U123> <@123> <#C123>",
        "<at user_id=\"all\">all</at> <at id=all></at> <@all> @all",
        "[x](http://evil.example) [y][1] <http://evil.com|z> ![i](http://evil.com/i.png)",
        "*b* **c** _d_ __e__ `f` ```g``` ~~h~~ ||i|| > j # k - l \\*m\\*",
        "https://evil.com/?a=b&c=d t.me/evil www.evil.com evil.com evil.top tg://user?id=1 mailto:a@evil.com",
        "\u{202e}txt.exe\u{2066} \u{2067}abc",
        "<a href=\"http://evil.com\">x</a> <b>y <tg-spoiler>z &lt;b&gt; &#60;b&#62; &amp; &x;",
        "</b></a>",
        "/start #tag $TAG +1 555 0100 4111111111111111",
        "用户 کاربر пользователь 🦀 👨‍👩‍👧",
        "\u{fffd}\u{ffff}\u{10ffff}\\ud800 \\u0000",
        "\"},{\"text\":\"x\"}\\",
        "{{ 7 * 7 }}{% for x in alerts %}",
        &long,
    ];
    for service in Service::ALL {
        let mut fake = Fake::start(service);
        let mut receiver = fake.receiver();
        for name in corpus {
            // Where it is said by name in the subject, and where it stands in a list.
            for alerts in [
                vec![firing(name)],
                vec![firing(name), firing("ann"), alert(name, Severity::Info, NoticeStatus::Resolved)],
            ] {
                let sent = fake.send(&mut receiver, &notice(alerts)).await;
                sent.unwrap_or_else(|err| panic!("{service:?} {name:?} {err}"));
                fake.pass(Duration::from_secs(60));
            }
        }
        let messages = fake.taken();
        assert_eq!(messages.len(), 2 * corpus.len());
        for message in messages {
            assert_eq!(message.pings, [""; 0], "{service:?} {message:?}");
            let foreign: Vec<_> =
                message.links.iter().filter(|link| !link.url.starts_with("https://meter.example/")).collect();
            assert!(foreign.is_empty(), "{service:?} {foreign:?} {message:?}");
            let styled: Vec<_> = message.styles.iter().filter(|style| style.kind != "bold").collect();
            assert!(service == Service::Slack || styled.is_empty(), "{service:?} {styled:?} {message:?}");
            assert!(!message.text.contains(['\0', '\r', '\u{202e}']), "{service:?} {message:?}");
        }
    }
}

/// Whatever has to be said, the services take it, and it is as long as they allow.
#[tokio::test]
async fn a_message_is_as_long_as_the_service_allows() {
    for service in Service::ALL {
        let mut fake = Fake::start(service);
        let mut receiver = fake.receiver();
        let mut most = 0;
        for name in ["user", "пользователь", "کاربر", "用户", "🦀", "<&>\"'", "a_b*c@d.com", "\\[x](y)`z`"]
        {
            for count in [1, 2, 9, 50, 400] {
                let names = (0..count).map(|n| format!("{} {n}", name.repeat(80 / name.chars().count())));
                let message = notice(names.map(|name| firing(&name)).collect());
                let sent = fake.send(&mut receiver, &message).await;
                sent.unwrap_or_else(|err| panic!("{service:?} {name} {count}: {err}"));
                fake.pass(Duration::from_secs(60));
                let [message] = fake.taken().try_into().unwrap();
                let length = length(service, &message);
                most = most.max(length);
                let whole = message.body;
                assert!(count > 1 || whole.contains("97 %"), "{service:?} {whole}");
                assert!(count < 400 || whole.contains("more that"), "{service:?} {whole}");
            }
        }
        // Within a row of the limit.
        let limit = match service {
            Service::Telegram | Service::WeCom => 4096,
            Service::Discord => 2000,
            Service::Slack => 3000,
            Service::Ntfy => 4095,
            Service::Bark => 3800,
            Service::Feishu | Service::DingTalk | Service::Gotify | Service::PagerDuty => continue,
        };
        assert!(most <= limit && most + 400 > limit, "{service:?} {most}");
    }
}

/// As the service counts.
fn length(service: Service, message: &Message) -> usize {
    let body: serde_json::Value = serde_json::from_str(&message.body).unwrap();
    let text = |pointer: &str| body.pointer(pointer).unwrap().as_str().unwrap();
    match service {
        Service::Telegram => message.text.chars().count(),
        Service::Discord => text("/content").chars().count(),
        Service::Slack => text("/blocks/0/text/text").encode_utf16().count(),
        Service::WeCom => text("/markdown/content").len(),
        Service::Ntfy => text("/message").len(),
        Service::Bark => message.body.len() + 5 * message.body.matches(['<', '>', '&']).count(),
        Service::Feishu | Service::DingTalk | Service::Gotify | Service::PagerDuty => message.body.len(),
    }
}

/// What is sent at the receiver's pace is taken; one more is not.
#[tokio::test]
async fn the_pace_is_that_of_the_service() {
    for service in Service::ALL {
        let mut fake = Fake::start(service);
        let mut receiver = fake.receiver();
        let rates = receiver.pace();
        let began = fake.now().wall;
        let mut sent = Vec::new();
        for _ in 0..130 {
            let since = |at: &Duration| *at;
            let next = rates.iter().filter_map(|rate| {
                let oldest = sent.len().checked_sub(rate.most)?;
                Some(since(&sent[oldest]) + rate.within)
            });
            let now = fake.now().wall.since(began);
            let wait = next.max().unwrap_or_default().saturating_sub(now);
            fake.pass(wait);
            sent.push(now + wait);
            let taken = fake.send(&mut receiver, &notice(vec![firing("ann")])).await;
            taken.unwrap_or_else(|err| panic!("{service:?} {} {err}", sent.len()));
        }
        assert_eq!(fake.taken().len(), 130);
        if rates.is_empty() {
            continue;
        }
        let mut refused = false;
        for _ in 0..130 {
            let result = fake.send(&mut receiver, &notice(vec![firing("ann")])).await;
            let Err(err) = result else { continue };
            assert_eq!(err.reason.label(), "rate_limited", "{service:?} {err}");
            refused = true;
            break;
        }
        assert!(refused, "{service:?} has no limit");
    }
}

/// The receiver of `fake` is the one that the daemon builds.
#[test]
fn a_receiver_shows_its_host_alone() {
    let fake = Fake::start(Service::Telegram);
    let receiver = fake.receiver();
    assert_eq!(format!("{receiver:?}"), "Chat(Chat { dialect: Telegram, host: \"127.0.0.1\", .. })");
    let Receiver::Chat(_) = receiver else { panic!("{receiver:?}") };
}
