//! `docs/notification-texts.md`: what each rule says in a mail, a webhook and Telegram, as these arrive at simulated
//! servers. `UPDATE_GOLDEN=1` writes it.

use std::{fmt::Write, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use proxymeter::{
    alert::{
        digest::{self, Expiring, Listed, OfTarget, Outages, Usage, UsedUp},
        rule::{KINDS, Kind, Question, Steps},
    },
    http::options::TlsOptions,
    model::{End, Moment, Notice, NoticeAlert, NoticeStatus, Reading},
    notify::{
        Receiver,
        email::{
            Email,
            config::{EmailConfig, SmtpTls},
        },
        webhook::Webhook,
    },
    simulator::inbox::{Arrival, Service},
    wording::{About, Failing, Language, Told, Voice},
};

use super::{BEGAN, EARLIER, LATER, NOW, about, firing, over};
use crate::common::{
    chats::{Fake, notice},
    golden::assert_golden,
    receiver::{Answer, Receiver as Hook, defaults, webhook},
    smtp::{Encryption, MailServer},
};

const HEAD: &str = "# What notifications say

Each rule, as it reaches people and programs: when it is new, when it has ended, and in the daily digest. A test makes this
page from one case of each rule and from what arrived at a mail server, a webhook and Telegram. `external_url` is
`https://metrics.example.com` here, and the zone `Europe/Berlin`. [`notifications.md`](notifications.md) explains the parts of
a message, and [`runbook.md`](runbook.md) what to do.

The last line of each mail, and of each Telegram message, is left out: the link to the page with all alerts, the zone and
the name of the receiver. Of a webhook, the annotations for people are shown, and the times of the alert.
";

/// The servers and the receivers that send to them.
struct World {
    mails: MailServer,
    mail: Receiver,
    hooks: Hook,
    hook: Receiver,
    bot: Fake,
    chat: Receiver,
}

#[tokio::test]
async fn the_texts_of_each_rule_are_documented() {
    let mut world = World::speaking(&for_people()).await;
    let mut text = HEAD.to_owned();
    for kind in &KINDS {
        let both = |ended| [for_people(), voice()].map(|voice| notice(vec![alert(kind, ended, &voice)]));
        let (new, ended) = (both(false), both(true));
        let digest = in_digest(kind).map(|digest| [digest.clone(), digest]);
        writeln!(text, "\n## {}\n\n| | New | Resolved | Digest |\n|---|---|---|---|", kind.alertname)
            .unwrap();
        let mut cells: [Vec<String>; 3] = Default::default();
        for said in [Some(new), Some(ended), digest] {
            let said = match said {
                Some(said) => world.send(&said).await,
                None => ["–", "–", "–"].map(str::to_owned),
            };
            cells.iter_mut().zip(said).for_each(|(cells, said)| cells.push(said));
        }
        for (channel, cells) in ["Mail", "Webhook", "Telegram"].iter().zip(cells) {
            writeln!(text, "| {channel} | {} |", cells.join(" | ")).unwrap();
        }
    }
    assert_golden("docs/notification-texts.md", &text);
}

fn voice() -> Voice {
    Voice::new(Language::En, TimeZone::get("Europe/Berlin").unwrap(), "https://metrics.example.com")
}

/// For people, whose first line names the target.
fn for_people() -> Voice {
    Voice { alone: false, ..voice() }
}

/// The first step of a rule that fires, or has ended as such a rule usually does.
fn alert(kind: &Kind, ended: bool, voice: &Voice) -> NoticeAlert {
    let (subject, target) = about(kind);
    let (step, severity) = match kind.steps {
        Steps::None(severity) => (String::new(), severity),
        Steps::Forecast(steps) => ("3d".to_owned(), steps[0].1),
        Steps::Remaining(steps) => ("3d".to_owned(), steps[1.min(steps.len() - 1)].1),
        Steps::Passed(steps) => ("30d".to_owned(), steps[0].1),
        Steps::Ratio(steps) => (format!("{}%", steps[0].0), steps[0].1),
    };
    let about =
        About { alertname: kind.alertname, kind: kind.kind_of(subject), subject, target, step: &step };
    let (first, end) = match kind.question {
        Question::UserExpiry | Question::InboundExpiry | Question::CertificateExpiry => (0, End::Renewed),
        Question::UserQuota | Question::InboundQuota | Question::AdminQuota => (0, End::ToppedUp),
        Question::NodeTraffic => (0, End::Reset),
        Question::CredentialPlanExpiry | Question::CredentialQuota => (0, End::Renewed),
        Question::LlmTokenBudget | Question::LlmCostBudget => (0, End::Renewed),
        // A panel that does not answer; a node that says why.
        Question::TargetDown => (3, End::Recovered),
        Question::NodeDown => (1, End::Recovered),
        _ => (0, End::Recovered),
    };
    let reading = if ended { over(kind).remove(0) } else { firing(kind).remove(first) };
    // What lasts began before it was found.
    let began = match firing(kind).remove(0) {
        Reading::Lasting(secs) => NOW.saturating_sub(Duration::from_secs(secs)),
        _ => BEGAN,
    };
    let told = Told { reading: &reading, began, ended: ended.then_some((end, NOW)), now: NOW };
    let labels = [
        ("alertname", kind.alertname),
        ("target", target),
        ("kind", about.kind),
        ("subject", subject),
        ("step", &step),
        ("severity", severity.label()),
    ];
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    let action = Some(("action", voice.action(kind.alertname))).filter(|_| !ended);
    let annotations = [
        ("summary", voice.summary(kind.alertname)),
        ("description", voice.sentence(&about, &told)),
        ("runbook_url", voice.runbook(kind.alertname).unwrap()),
    ];
    NoticeAlert {
        event: format!("evt_{}", kind.name),
        status: if ended { NoticeStatus::Resolved } else { NoticeStatus::Firing },
        severity,
        labels: labels.collect(),
        annotations: annotations.into_iter().chain(action).collect(),
        starts_at: NOW,
        ends_at: ended.then_some(NOW),
        began: Some(began),
        until: ended.then_some(NOW),
    }
}

/// What a digest says of such a subject; absent: it is in no digest.
fn in_digest(kind: &Kind) -> Option<Notice> {
    let outage =
        |subject| Outages { subject, since: BEGAN, until: Some(NOW), count: 1, lasted: NOW.since(BEGAN) };
    let mut found = OfTarget { target: "home".into(), ..OfTarget::default() };
    match kind.question {
        Question::UserExpiry => found.expiring = one(Expiring { user: "bob".to_owned(), end: LATER }),
        Question::UserQuota => {
            found.nearly_used_up = one(Usage { user: "bob".to_owned(), used: 88 << 30, limit: 100 << 30 });
        }
        Question::QuotaForecast => found.used_up_soon = one(UsedUp { user: "bob".to_owned(), at: LATER }),
        Question::TargetDown => found.outages = one(outage(Failing::Target)),
        Question::NodeDown => found.outages = one(outage(Failing::Node("DE-1".into()))),
        Question::OutboundDown => found.outages = one(outage(Failing::Outbound("warp".into()))),
        Question::CredentialUnavailable => {
            found.outages = one(outage(Failing::Credential("work".into())));
        }
        _ => return None,
    }
    Some(digest::notice(("ops", &for_people()), &[found], NOW, EARLIER, NOW))
}

fn one<T>(line: T) -> Listed<T> {
    Listed { lines: vec![line], more: 0 }
}

impl World {
    async fn speaking(voice: &Voice) -> Self {
        let mails = MailServer::start(Encryption::None).await;
        let config = EmailConfig {
            host: mails.address.ip().to_string(),
            port: mails.address.port(),
            tls: SmtpTls::None,
            allow_cleartext: false,
            certificates: TlsOptions::default(),
            from: "Proxymeter <meter@example.com>".to_owned(),
            to: vec!["ops@example.com".to_owned()],
            login: None,
            hello: None,
            timeout: Duration::from_secs(20),
            common: defaults(),
        };
        let mail = Receiver::Email(Box::new(Email::new(&config, voice.clone()).unwrap()));
        let hooks = Hook::start(|_, _| Answer::status(200));
        let hook = Webhook::new(&webhook(&hooks.url()), "https://metrics.example.com").unwrap();
        let bot = Fake::start(Service::Telegram);
        let chat = proxymeter::notify::chat::Chat::new(&bot.chat(), voice.clone()).unwrap();
        World {
            mails,
            mail,
            hooks,
            hook: Receiver::Webhook(Box::new(hook)),
            bot,
            chat: Receiver::Chat(Box::new(chat)),
        }
    }

    /// What arrives, by channel.
    async fn send(&mut self, [notice, for_programs]: &[Notice; 2]) -> [String; 3] {
        self.bot.pass(Duration::from_secs(60));
        let now = Moment { wall: NOW, ..Moment::default() };
        for (receiver, notice) in [(&mut self.mail, notice), (&mut self.hook, for_programs)] {
            receiver.send(Arc::new(notice.clone()), &mut Vec::new(), now).await.unwrap();
        }
        self.bot.send(&mut self.chat, notice).await.unwrap();

        let message = self.mails.mails().pop().unwrap();
        let mail = Arrival::Mail { to: Vec::new(), message };
        let subject = mail.header("subject").unwrap();
        let mail = mail.text().replace("\r\n", "\n");
        let mail = mail.split("\nAll alerts: ").next().unwrap().to_owned();
        let body = self.hooks.requests().pop().unwrap().body;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let chat = self.bot.taken().pop().unwrap().text;
        let chat = chat.rsplit_once("\n\nAll alerts").map_or(chat.as_str(), |(text, _)| text).to_owned();
        [cell(&format!("Subject: {subject}\n\n{mail}")), cell(&in_webhook(&body)), cell(&chat)]
    }
}

fn in_webhook(body: &serde_json::Value) -> String {
    if let Some(digest) = body.get("digest") {
        return format!(
            "commonAnnotations.summary: {}\n\ndigest: {digest}",
            body["commonAnnotations"]["summary"]
        );
    }
    let alert = &body["alerts"][0];
    let mut text = format!("status: {}\n", alert["status"]);
    for key in ["summary", "description", "action"] {
        if let Some(annotation) = alert["annotations"].get(key) {
            writeln!(text, "{key}: {annotation}").unwrap();
        }
    }
    text + &format!("startsAt: {}\nendsAt: {}", alert["startsAt"], alert["endsAt"])
}

/// A text in a cell of a Markdown table, line by line.
fn cell(text: &str) -> String {
    let escaped =
        text.trim().replace('&', "&amp;").replace('<', "&lt;").replace('|', "\\|").replace('*', "\\*");
    escaped.split('\n').collect::<Vec<_>>().join("<br>")
}

/// Writes mails of each language to `target/mails`, and what Telegram shows.
#[tokio::test]
async fn mails_to_look_at() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("mails");
    std::fs::create_dir_all(&folder).unwrap();
    let kind = |name: &str| KINDS.iter().find(|kind| kind.name == name).unwrap();
    for language in Language::ALL {
        let mut world = World::speaking(&Voice { language, ..for_people() }).await;
        let voice = Voice { language, ..for_people() };
        let told = |name, ended| alert(kind(name), ended, &voice);
        let mut alerts =
            vec![told("node_down", false), told("user_expiry", false), told("user_quota", false)];
        alerts.extend([told("outbound_down", true), told("user_expiry", true)]);
        alerts.extend((0..337).map(|_| told("user_quota", false)));
        let notice = Notice { known: 337, ..notice(alerts) };
        let [_, _, chat] = world.send(&[notice.clone(), notice]).await;
        std::fs::write(folder.join(format!("{}.telegram", language.label())), chat).unwrap();
        let mail = world.mails.mails().pop().unwrap();
        std::fs::write(folder.join(format!("{}.eml", language.label())), mail).unwrap();
    }
}
