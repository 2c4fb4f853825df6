//! Mail, sent to a mail server that is good, bad or hostile, over real sockets.

mod command;
mod greeting;
mod queue;
mod refusals;

use proxymeter::wording::Voice;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use proxymeter::{
    http::options::TlsOptions,
    model::{
        Digest as ModelDigest, DigestSection, Enclosure, Moment, Named, Notice, NoticeAlert, NoticeStatus,
        Severity, Timestamp,
    },
    notify::{
        Receiver, Retry, SendError,
        email::{
            BuildError, Email,
            config::{EmailConfig, SmtpLogin, SmtpMechanism, SmtpTls},
        },
    },
    secret::Secret,
};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::common::{
    listener::closed_address,
    receiver::defaults,
    smtp::{Answer, Encryption, MailServer},
};

/// Long enough for any step on a busy machine, and for those tests that wait for a limit to pass short enough.
const PATIENT: Duration = Duration::from_secs(20);
const IMPATIENT: Duration = Duration::from_millis(300);

const USER: &str = "canary-user";
const PASSWORD: &str = "canary-pässword";

fn config(server: &MailServer, tls: SmtpTls) -> EmailConfig {
    EmailConfig {
        host: "127.0.0.1".to_owned(),
        port: server.address.port(),
        tls,
        allow_cleartext: false,
        certificates: trusts(&server.ca_file),
        from: "Proxymeter <meter@example.com>".to_owned(),
        to: vec!["a@example.com".to_owned()],
        login: None,
        hello: None,
        timeout: PATIENT,
        common: defaults(),
    }
}

fn trusts(ca_file: &Path) -> TlsOptions {
    TlsOptions { ca_file: Some(ca_file.into()), ..TlsOptions::default() }
}

fn login(mechanism: SmtpMechanism) -> Option<SmtpLogin> {
    Some(SmtpLogin { username: USER.to_owned(), password: Secret::from(PASSWORD), mechanism })
}

fn receiver(config: &EmailConfig) -> Receiver {
    Receiver::Email(Box::new(Email::new(config, Voice::default()).unwrap()))
}

async fn send(config: &EmailConfig, done: &mut Vec<String>) -> Result<String, SendError> {
    send_notice(config, notice(), done).await
}

async fn send_notice(
    config: &EmailConfig,
    notice: Notice,
    done: &mut Vec<String>,
) -> Result<String, SendError> {
    receiver(config).send(Arc::new(notice), done, Moment::default()).await
}

/// Sends once to a server without TLS that follows `script`.
async fn attempt(script: &[(&'static str, &'static str)]) -> (MailServer, Result<String, SendError>) {
    let server = MailServer::scripted(Encryption::None, script).await;
    let result = send(&config(&server, SmtpTls::None), &mut Vec::new()).await;
    (server, result)
}

fn alert(subject: &str) -> NoticeAlert {
    let labels = [
        ("alertname", "ProxymeterUserExpiry"),
        ("target", "home"),
        ("kind", "user"),
        ("subject", subject),
        ("step", "3d"),
    ];
    NoticeAlert {
        event: format!("event-{subject}"),
        status: NoticeStatus::Firing,
        severity: Severity::Warning,
        labels: labels.into(),
        annotations: [("summary", "User expires soon."), ("remaining", "2d 4h")].into(),
        starts_at: Timestamp::from_secs(1_795_000_000),
        ends_at: None,
        began: None,
        until: None,
    }
}

fn notice() -> Notice {
    Notice {
        id: "0b9d6f3e-17".to_owned(),
        receiver: "ops".to_owned(),
        group: "{}:{alertname=\"ProxymeterUserExpiry\", target=\"home\"}".to_owned(),
        group_labels: BTreeMap::from([("target".to_owned(), "home".to_owned())]),
        reason: "new_alerts".to_owned(),
        alerts: vec![Arc::new(alert("alice")), Arc::new(alert("bob"))],
        created_at: Timestamp::from_secs(1_795_000_030),
        ..Notice::default()
    }
}

/// The header lines of a mail, unfolded, in order.
fn headers(mail: &str) -> Vec<(String, String)> {
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    unfolded.split("\r\n").map(pair).collect()
}

fn header(mail: &str, name: &str) -> String {
    let found: Vec<_> = headers(mail).into_iter().filter(|(other, _)| other == name).collect();
    assert_eq!(found.len(), 1, "{name} in {mail}");
    found[0].1.clone()
}

#[track_caller]
fn assert_failed(result: &Result<String, SendError>, reason: &str, retry: Retry, told: &str) {
    let error = result.as_ref().expect_err("it should have failed");
    assert_eq!((error.reason.label(), error.retry), (reason, retry), "{error}");
    assert!(error.detail.contains(told), "{error} says nothing of {told:?}");
}

#[tokio::test]
async fn a_message_and_its_headers() {
    let server = MailServer::start(Encryption::None).await;
    let config = EmailConfig {
        to: vec!["Дежурный <a@example.com>".to_owned(), "b@example.com".to_owned()],
        hello: Some("meter.example.com".to_owned()),
        ..config(&server, SmtpTls::None)
    };
    let mut done = Vec::new();
    let said = send(&config, &mut done).await.unwrap();
    assert_eq!(said, format!("127.0.0.1:{}: accepted for 2: 250 2.0.0 Ok: queued as 4F1B2", config.port));
    assert_eq!(done, ["a@example.com", "b@example.com"]);

    let [visit] = &server.visits()[..] else { panic!("one connection") };
    assert_eq!(
        visit.said(),
        [
            "EHLO meter.example.com",
            "MAIL FROM:<meter@example.com>",
            "RCPT TO:<a@example.com>",
            "RCPT TO:<b@example.com>",
            "DATA",
            "QUIT"
        ]
    );
    let [mail] = &visit.mails[..] else { panic!("one mail") };
    let names: Vec<_> = headers(mail).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "Date",
            "From",
            "To",
            "Subject",
            "Message-ID",
            "In-Reply-To",
            "References",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type"
        ]
    );
    assert_eq!(header(mail, "Date"), "Wed, 18 Nov 2026 11:07:10 +0000");
    assert_eq!(header(mail, "From"), "Proxymeter <meter@example.com>");
    assert_eq!(header(mail, "To"), "=?utf-8?b?0JTQtdC20YPRgNC90YvQuQ==?= <a@example.com>, b@example.com");
    assert_eq!(header(mail, "Subject"), "home: 2 users expire within 3 days (alice, bob)");
    assert_eq!(header(mail, "Message-ID"), "<0b9d6f3e-17@example.com>");
    assert_eq!(header(mail, "In-Reply-To"), header(mail, "References"));
    assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
    assert!(header(mail, "Content-Type").starts_with("multipart/alternative; boundary="));
    let text = mail.find("Content-Type: text/plain; charset=utf-8\r\n").unwrap();
    let html = mail.find("Content-Type: text/html; charset=utf-8\r\n").unwrap();
    assert!(text < html);
    let row = "\r\n\r\nNew\r\n\r\n* User expires soon.\r\n  warning\r\n";
    assert!(mail.contains(row), "{mail}");
}

/// The decoded body of the part of a mail with this type.
fn part(mail: &str, content_type: &str) -> String {
    let found = mail.find(&format!("Content-Type: {content_type}")).unwrap();
    let (before, rest) = mail.split_at(found);
    let boundary = before.trim_end().rsplit("\r\n--").next().unwrap().split("\r\n").next().unwrap();
    let part = rest.split(&format!("\r\n--{boundary}")).next().unwrap();
    let (headers, body) = part.split_once("\r\n\r\n").unwrap();
    match headers.contains("base64") {
        true => String::from_utf8(BASE64.decode(body.replace("\r\n", "")).unwrap()).unwrap(),
        false => body.to_owned(),
    }
}

#[tokio::test]
async fn a_statement_carries_its_table_and_goes_where_it_says() {
    let csv = "\u{feff}user,used_bytes,gap,reset\r\n\"'=1+1\",5,false,true\r\nعلی,3,false,false\r\n";
    for (to, recipients) in
        [(vec![], "a@example.com"), (vec!["Reseller <r@example.org>".to_owned()], "Reseller <r@example.org>")]
    {
        let server = MailServer::start(Encryption::None).await;
        let section = DigestSection { heading: "Total".into(), lines: vec!["<b>5 B</b>".into()], more: 0 };
        let statement = Notice {
            alerts: Vec::new(),
            digest: Some(ModelDigest {
                title: "Statement for 2026-11: home".into(),
                sections: vec![section],
            }),
            enclosure: Some(Enclosure { to, file: "ali-2026-11.csv".into(), csv: csv.into() }),
            ..notice()
        };
        let config = EmailConfig {
            login: None,
            to: vec!["a@example.com".to_owned()],
            ..config(&server, SmtpTls::None)
        };
        let voice = Voice { pages: Some("https://metrics.example.com".into()), ..Voice::default() };
        let mut receiver = Receiver::Email(Box::new(Email::new(&config, voice).unwrap()));
        let mut done = Vec::new();
        for _ in 0..2 {
            receiver.send(Arc::new(statement.clone()), &mut done, Moment::default()).await.unwrap();
        }
        let [mail] = &server.mails()[..] else { panic!("one mail") };
        let address = recipients.rsplit(['<', ' ']).next().unwrap().trim_end_matches('>');
        assert_eq!(done, [address]);
        assert!(server.lines().contains(&format!("RCPT TO:<{address}>")), "{:?}", server.lines());
        assert_eq!(header(mail, "To"), recipients);
        assert_eq!(header(mail, "Subject"), "Statement for 2026-11: home");
        assert!(header(mail, "Content-Type").starts_with("multipart/mixed; boundary="));
        assert!(mail.contains("Content-Disposition: attachment; filename=\"ali-2026-11.csv\"\r\n"), "{mail}");
        assert_eq!(part(mail, "text/csv; charset=utf-8"), csv);
        assert!(part(mail, "text/plain; charset=utf-8").starts_with("Total\r\n\r\n* <b>5 B</b>\r\n"));
        assert!(mail.contains("&lt;b&gt;5 B&lt;/b&gt;"), "{mail}");
        assert!(!mail.contains("https://metrics.example.com"), "resellers may not see the pages");
    }
}

/// A thread is a group of a receiver; a message is a notice.
#[tokio::test]
async fn ids_of_messages_and_threads() {
    let server = MailServer::start(Encryption::None).await;
    let mut mail = receiver(&config(&server, SmtpTls::None));
    let first = notice();
    let second = Notice { id: "0b9d6f3e-18".to_owned(), ..notice() };
    let elsewhere = Notice { group: "{}:{target=\"edge\"}".to_owned(), ..notice() };
    let of_another = Notice { receiver: "night".to_owned(), ..notice() };
    let odd = Notice { id: "a b>\r\nBcc: x@example.org".to_owned(), ..notice() };
    for notice in [&first, &first, &second, &elsewhere, &of_another, &odd] {
        mail.send(Arc::new(notice.clone()), &mut Vec::new(), Moment::default()).await.unwrap();
    }
    let mails = server.mails();
    assert_eq!(mails[0], mails[1], "an attempt repeated is the same to the byte");
    let id = |n: usize| header(&mails[n], "Message-ID");
    let thread = |n: usize| header(&mails[n], "References");
    assert_ne!(id(0), id(2));
    assert_eq!(thread(0), thread(2));
    assert_ne!(thread(0), thread(3));
    assert_ne!(thread(0), thread(4));
    assert!(id(5).len() == "<@example.com>".len() + 32, "{}", id(5));
}

#[tokio::test]
async fn logging_in_after_starttls() {
    let server = MailServer::start(Encryption::StartTls).await;
    let config = EmailConfig { login: login(SmtpMechanism::Auto), ..config(&server, SmtpTls::StartTls) };
    send(&config, &mut Vec::new()).await.unwrap();
    let [visit] = &server.visits()[..] else { panic!("one connection") };
    let (clear, encrypted): (Vec<_>, Vec<_>) = visit.lines.iter().cloned().partition(|(_, secure)| !secure);
    let clear: Vec<_> = clear.into_iter().map(|(line, _)| line).collect();
    assert_eq!(clear.len(), 2, "{clear:?}");
    assert!(clear[0].starts_with("EHLO ") && clear[1] == "STARTTLS", "{clear:?}");
    let encrypted: Vec<_> = encrypted.into_iter().map(|(line, _)| line).collect();
    assert_eq!(encrypted[0], clear[0]);
    // "\0canary-user\0canary-pässword"
    assert_eq!(encrypted[1], "AUTH PLAIN AGNhbmFyeS11c2VyAGNhbmFyeS1ww6Rzc3dvcmQ=");
    assert_eq!(encrypted[2], "MAIL FROM:<meter@example.com>");
    assert_eq!(visit.mails.len(), 1);
}

#[tokio::test]
async fn implicit_tls() {
    let server = MailServer::start(Encryption::Implicit).await;
    let config = EmailConfig { login: login(SmtpMechanism::Plain), ..config(&server, SmtpTls::Implicit) };
    send(&config, &mut Vec::new()).await.unwrap();
    let [visit] = &server.visits()[..] else { panic!("one connection") };
    assert!(visit.lines.iter().all(|(_, secure)| *secure));
    assert_eq!(visit.mails.len(), 1);
}

#[tokio::test]
async fn other_ways_to_log_in() {
    for (mechanism, lines) in [
        (SmtpMechanism::Login, ["AUTH LOGIN", "Y2FuYXJ5LXVzZXI=", "Y2FuYXJ5LXDDpHNzd29yZA=="].as_slice()),
        (
            SmtpMechanism::Xoauth2,
            &["AUTH XOAUTH2 dXNlcj1jYW5hcnktdXNlcgFhdXRoPUJlYXJlciBjYW5hcnktcMOkc3N3b3JkAQE="],
        ),
    ] {
        let server = MailServer::start(Encryption::Implicit).await;
        let config = EmailConfig { login: login(mechanism), ..config(&server, SmtpTls::Implicit) };
        send(&config, &mut Vec::new()).await.unwrap();
        let said = server.lines();
        assert_eq!(said[1..=lines.len()], *lines);
    }
}

/// A token that is too long for a command line waits for the server to ask.
#[tokio::test]
async fn a_long_token() {
    let server = MailServer::start(Encryption::Implicit).await;
    let token = "t".repeat(2000);
    let config = EmailConfig {
        login: Some(SmtpLogin {
            username: USER.to_owned(),
            password: Secret::from(token),
            mechanism: SmtpMechanism::Xoauth2,
        }),
        ..config(&server, SmtpTls::Implicit)
    };
    send(&config, &mut Vec::new()).await.unwrap();
    let said = server.lines();
    assert_eq!(said[1], "AUTH XOAUTH2");
    assert!(said[2].len() > 2600 && !said[2].contains(' '));
}

/// Gmail says no to a token by a challenge, and gives its code once that is answered.
#[tokio::test]
async fn a_token_that_is_refused() {
    let server = MailServer::scripted(
        Encryption::Implicit,
        &[("AUTH XOAUTH2 ", "334 eyJzdGF0dXMiOiI0MDAifQ=="), ("", "535 5.7.8 not accepted")],
    )
    .await;
    let config = EmailConfig { login: login(SmtpMechanism::Xoauth2), ..config(&server, SmtpTls::Implicit) };
    let result = send(&config, &mut Vec::new()).await;
    assert_failed(&result, "auth", Retry::Disabled, "AUTH: answered 535 5.7.8");
}

#[tokio::test]
async fn nothing_is_said_in_clear_when_tls_cannot_be_had() {
    let forged = ("STARTTLS", "220 go\r\n250-forged\r\n250 AUTH PLAIN");
    for (encryption, script, reason, told) in [
        (Encryption::None, [].as_slice(), "tls", "STARTTLS: the server does not offer STARTTLS"),
        (Encryption::StartTls, &[forged], "tls", "TLS: plain text was sent ahead of the handshake"),
        (
            Encryption::StartTls,
            &[("STARTTLS", "454 4.7.0 no")],
            "server_error",
            "STARTTLS: answered 454 4.7.0",
        ),
        (
            Encryption::StartTls,
            &[("STARTTLS", "421 4.7.0 bye")],
            "server_error",
            "STARTTLS: answered 421 4.7.0",
        ),
        (Encryption::StartTls, &[("STARTTLS", "554 5.7.3 no")], "refused", "STARTTLS: answered 554 5.7.3"),
    ] {
        let retry = if reason == "refused" { Retry::Refused } else { Retry::Later };
        let server = MailServer::scripted(encryption, script).await;
        let config = EmailConfig { login: login(SmtpMechanism::Auto), ..config(&server, SmtpTls::StartTls) };
        let result = send(&config, &mut Vec::new()).await;
        assert_failed(&result, reason, retry, told);
        let said = server.lines();
        let harmless =
            |line: &String| ["EHLO ", "STARTTLS", "QUIT"].iter().any(|known| line.starts_with(known));
        assert!(said.iter().all(harmless), "{told}: {said:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_to_be_trusted() {
    let other = MailServer::start(Encryption::None).await;
    for (encryption, tls) in
        [(Encryption::StartTls, SmtpTls::StartTls), (Encryption::Implicit, SmtpTls::Implicit)]
    {
        let server = MailServer::start(encryption).await;
        let stranger = EmailConfig {
            certificates: trusts(&other.ca_file),
            login: login(SmtpMechanism::Auto),
            ..config(&server, tls)
        };
        let result = send(&stranger, &mut Vec::new()).await;
        assert_failed(
            &result,
            "tls",
            Retry::Later,
            &format!("TLS: {IS} self-signed, and is not in ca_file; if"),
        );

        let misnamed = EmailConfig { host: "localhost".to_owned(), ..config(&server, tls) };
        let result = send(&misnamed, &mut Vec::new()).await;
        let hint = "write server_name = \"127.0.0.1\"";
        let told = format!("TLS: {IS} not for localhost, but for 127.0.0.1; if it is the right one, {hint}");
        assert_failed(&result, "tls", Retry::Later, &told);

        let said = server.lines();
        assert!(said.iter().all(|line| line.starts_with("EHLO ") || line == "STARTTLS"), "{said:?}");
    }
}

const IS: &str = "the server's certificate is";

#[tokio::test]
async fn a_certificate_by_its_pin_or_for_another_name() {
    for (encryption, tls) in
        [(Encryption::StartTls, SmtpTls::StartTls), (Encryption::Implicit, SmtpTls::Implicit)]
    {
        let server = MailServer::start(encryption).await;
        let localhost = |certificates| EmailConfig {
            certificates,
            host: "localhost".to_owned(),
            login: login(SmtpMechanism::Auto),
            ..config(&server, tls)
        };
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let named = TlsOptions { server_name: Some(name), ..trusts(&server.ca_file) };
        send(&localhost(named), &mut Vec::new()).await.unwrap();

        let certificate = CertificateDer::from_pem_file(&server.ca_file).unwrap();
        let pin = Sha256::digest(&certificate).into();
        let pinned = |pin_sha256| TlsOptions { pin_sha256, ..TlsOptions::default() };
        send(&localhost(pinned(vec![[7; 32], pin])), &mut Vec::new()).await.unwrap();
        let result = send(&localhost(pinned(vec![[7; 32]])), &mut Vec::new()).await;
        let presented = pin.map(|byte: u8| format!("{byte:02X}")).join(":");
        assert_failed(&result, "tls", Retry::Later, &format!("TLS: {IS} not that of pin_sha256; "));
        assert_failed(&result, "tls", Retry::Later, &format!("write pin_sha256 = \"{presented}\""));
    }
}

/// `tls = "implicit"` for a port of STARTTLS.
#[tokio::test]
async fn a_server_that_begins_without_tls() {
    let server = MailServer::start(Encryption::StartTls).await;
    let result = send(&config(&server, SmtpTls::Implicit), &mut Vec::new()).await;
    let told = "TLS: the server's answer is not TLS; if TLS begins later there, as on ports 587 and 25, write tls \
                = \"starttls\"";
    assert_failed(&result, "tls", Retry::Later, told);
}

/// What a server says, step by step, and what it means for the notice.
#[tokio::test]
async fn answers_and_what_they_lead_to() {
    let (later, refused, smaller) = (Retry::Later, Retry::Refused, Retry::Smaller);
    for (script, reason, retry, told) in [
        ([("GREETING", "421 4.3.2 busy")].as_slice(), "server_error", later, "greeting: answered 421 4.3.2"),
        (&[("GREETING", "554 go away")], "refused", refused, "greeting: answered 554"),
        (&[("GREETING", "SSH-2.0-OpenSSH_9.2")], "response", later, "greeting: what came is not"),
        (&[("GREETING", "220-a\r\n250 b")], "response", later, "greeting: what came is not"),
        (&[("EHLO", "502 5.5.1 what")], "refused", refused, "EHLO: answered 502 5.5.1"),
        (&[("MAIL", "451 4.3.0 later")], "server_error", later, "MAIL FROM: answered 451 4.3.0"),
        (&[("MAIL", "530 5.7.0 log in")], "auth", Retry::Disabled, "MAIL FROM: answered 530 5.7.0"),
        (
            &[("MAIL", "553 5.7.1 not yours")],
            "refused",
            refused,
            "MAIL FROM: answered 553 5.7.1; the server refuses all messages, not only this one",
        ),
        (&[("MAIL", "552 5.3.4 large")], "refused", smaller, "552 5.3.4; the message is too large"),
        (&[("EHLO", "421 4.7.0 bye")], "server_error", later, "EHLO: answered 421 4.7.0"),
        (&[("MAIL", "421 4.7.0 bye")], "server_error", later, "MAIL FROM: answered 421 4.7.0"),
        (&[("RCPT", "421 4.7.0 bye")], "server_error", later, "RCPT TO: answered 421 4.7.0"),
        (&[("RCPT", "530 5.7.0 log in")], "auth", Retry::Disabled, "RCPT TO: answered 530 5.7.0"),
        (&[("RCPT", "535 5.7.1 log in")], "auth", Retry::Disabled, "RCPT TO: answered 535 5.7.1"),
        (
            &[("RCPT", "450 4.2.0 grey")],
            "server_error",
            later,
            "put off for 1: …@example.com answered 450 4.2.0",
        ),
        (
            &[("RCPT", "550 5.1.1 who")],
            "refused",
            refused,
            "refused for 1: …@example.com answered 550 5.1.1; the server refuses all messages",
        ),
        (&[("RCPT", "550 5.4.5 limit")], "refused", refused, "…@example.com answered 550 5.4.5"),
        (&[("DATA", "451 4.3.0 later")], "server_error", later, "DATA: answered 451 4.3.0"),
        (&[("DATA", "421 4.7.0 bye")], "server_error", later, "DATA: answered 421 4.7.0"),
        (&[("DATA", "503 5.5.1 no")], "refused", refused, "DATA: answered 503 5.5.1"),
        (&[("DATA", "554 5.7.1 no")], "refused", refused, "DATA: answered 554 5.7.1"),
        (&[("DATA", "552 large")], "refused", smaller, "DATA: answered 552"),
        (
            &[("END", "554 5.7.1 spam"), ("RSET", "421 4.7.0 bye")],
            "server_error",
            later,
            "RSET: answered 421 4.7.0",
        ),
        (&[("END", "554 5.7.1 spam"), ("RSET", "500 what")], "refused", refused, "RSET: answered 500"),
        (&[("DATA", "250 what?")], "response", later, "DATA: what came is not"),
        (&[("END", "451 4.7.1 later")], "server_error", later, "the message: answered 451 4.7.1"),
        (&[("END", "421 4.3.2 bye")], "server_error", later, "the message: answered 421 4.3.2"),
        (&[("END", "552 5.3.4 large")], "refused", smaller, "the message: answered 552 5.3.4"),
        (&[("END", "552 5.2.2 full")], "refused", refused, "the message: answered 552 5.2.2"),
        (&[("END", "550 5.4.5 limit")], "refused", refused, "the message: answered 550 5.4.5"),
    ] {
        let (server, result) = attempt(script).await;
        assert_failed(&result, reason, retry, told);
        assert_eq!(server.visits().len(), 1, "{told}");
    }
}

#[tokio::test]
async fn answers_to_a_login() {
    for (answer, reason, retry) in [
        ("535 5.7.8 wrong", "auth", Retry::Disabled),
        ("534 5.7.9 too weak", "auth", Retry::Disabled),
        ("530 5.7.0 what", "auth", Retry::Disabled),
        ("504 5.5.4 how", "auth", Retry::Disabled),
        ("454 4.7.0 later", "server_error", Retry::Later),
        ("421 4.7.0 too many", "server_error", Retry::Later),
    ] {
        let server = MailServer::scripted(Encryption::Implicit, &[("AUTH", answer)]).await;
        let config = EmailConfig { login: login(SmtpMechanism::Auto), ..config(&server, SmtpTls::Implicit) };
        let result = send(&config, &mut Vec::new()).await;
        assert_failed(&result, reason, retry, "AUTH: answered");
        assert!(server.lines().iter().all(|line| !line.starts_with("MAIL")), "{answer}");
    }
    let server = MailServer::scripted(Encryption::Implicit, &[("EHLO", "250-x\r\n250 AUTH CRAM-MD5")]).await;
    let config = EmailConfig { login: login(SmtpMechanism::Auto), ..config(&server, SmtpTls::Implicit) };
    let result = send(&config, &mut Vec::new()).await;
    assert_failed(&result, "auth", Retry::Later, "AUTH: the server does not offer a way to log in");
}

#[tokio::test]
async fn a_second_attempt_sends_the_same_mail() {
    for trouble in [("MAIL", "451 4.3.0 later"), ("END", "451 4.3.0 later")] {
        let server = MailServer::scripted(Encryption::None, &[trouble]).await;
        let config = config(&server, SmtpTls::None);
        let mut done = Vec::new();
        let result = send(&config, &mut done).await;
        assert_failed(&result, "server_error", Retry::Later, "451 4.3.0");
        assert!(!receiver(&config).may_have_taken(&result.unwrap_err()), "the server said that it was not");
        assert!(done.is_empty());
        send(&config, &mut done).await.unwrap();
        assert_eq!(done, ["a@example.com"]);
        let mails = server.mails();
        assert!(mails.iter().all(|mail| *mail == mails[0]), "{trouble:?}");
    }
}

/// Nobody knows what became of it, so it is sent again, and looks the same.
#[tokio::test]
async fn the_connection_is_lost_after_the_final_dot() {
    let server = MailServer::acting(Encryption::None, &[("END", Answer::HangUp)]).await;
    let config = config(&server, SmtpTls::None);
    let mut done = Vec::new();
    let result = send(&config, &mut done).await;
    assert_failed(&result, "response", Retry::Later, "the message: the connection was lost");
    assert!(receiver(&config).may_have_taken(&result.unwrap_err()));
    assert!(done.is_empty());
    send(&config, &mut done).await.unwrap();
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(header(&mails[0], "Message-ID"), header(&mails[1], "Message-ID"));
}

#[tokio::test]
async fn a_failing_goodbye_is_no_failure() {
    for goodbye in [
        Answer::HangUp,
        Answer::Silence,
        Answer::Say("421 4.4.2 too late\r\n".to_owned()),
        Answer::Say("\u{fffd}\r\n".to_owned()),
    ] {
        let server = MailServer::acting(Encryption::None, &[("QUIT", goodbye.clone())]).await;
        let mut done = Vec::new();
        let result = send(&config(&server, SmtpTls::None), &mut done).await;
        assert!(result.is_ok(), "{goodbye:?}: {result:?}");
        assert_eq!(done, ["a@example.com"]);
    }
}

/// Whatever a server leaves unsaid, an attempt ends within its limit and a second.
#[tokio::test]
async fn every_step_has_its_limit() {
    let slow = Answer::Trickle("220 mail.example.com says hello very, very slowly indeed\r\n");
    let endless = Answer::Trickle("250-a\r\n250-b\r\n250-c\r\n250-d\r\n250-e\r\n250-f\r\n250-g\r\n250-h\r\n");
    let (none, start_tls, implicit) = (Encryption::None, Encryption::StartTls, Encryption::Implicit);
    for (encryption, step, answer, told) in [
        (none, "GREETING", Answer::Silence, "greeting: no answer"),
        (none, "GREETING", slow, "greeting: no answer"),
        (none, "EHLO", Answer::Silence, "EHLO: no answer"),
        (none, "EHLO", endless, "EHLO: no answer"),
        (none, "MAIL", Answer::Silence, "MAIL FROM: no answer"),
        (none, "RCPT", Answer::Silence, "RCPT TO: no answer"),
        (none, "DATA", Answer::Silence, "DATA: no answer"),
        (none, "END", Answer::Silence, "the message: no answer within 300ms; it may have been delivered"),
        (start_tls, "STARTTLS", Answer::Silence, "STARTTLS: no answer"),
        (start_tls, "HANDSHAKE", Answer::Silence, "TLS: no answer"),
        (implicit, "HANDSHAKE", Answer::Silence, "TLS: no answer"),
        (implicit, "AUTH", Answer::Silence, "AUTH: no answer"),
    ] {
        let server = MailServer::acting(encryption, &[(step, answer)]).await;
        let tls = match encryption {
            Encryption::None => SmtpTls::None,
            Encryption::StartTls => SmtpTls::StartTls,
            Encryption::Implicit => SmtpTls::Implicit,
        };
        let config = EmailConfig {
            timeout: IMPATIENT,
            login: login(SmtpMechanism::Auto).filter(|_| encryption != none),
            ..config(&server, tls)
        };
        let started = Instant::now();
        let result = send(&config, &mut Vec::new()).await;
        assert_failed(&result, "timeout", Retry::Later, told);
        assert!(started.elapsed() < IMPATIENT + Duration::from_secs(1), "{told}: {:?}", started.elapsed());
    }
}

/// A server that never ends a line is not read into memory for as long as it likes.
#[tokio::test]
async fn answers_that_never_end() {
    for flood in ["2".repeat(1_000_000), "220-more\r\n".repeat(100_000)] {
        let server = MailServer::acting(Encryption::None, &[("GREETING", Answer::Say(flood))]).await;
        let result = send(&config(&server, SmtpTls::None), &mut Vec::new()).await;
        assert_failed(&result, "response", Retry::Later, "greeting: what came is not an SMTP answer");
    }
}

#[tokio::test]
async fn nobody_answers() {
    let server = MailServer::start(Encryption::None).await;
    let closed = closed_address().port();
    let config = EmailConfig { port: closed, ..config(&server, SmtpTls::None) };
    let result = send(&config, &mut Vec::new()).await;
    assert_failed(&result, "connect", Retry::Later, "connecting: Connection refused");
}

/// Names that try to break out of where they stand.
fn corpus() -> Vec<String> {
    vec![
        "x\r\nBcc: thief@example.org\r\n\r\nbody".to_owned(),
        "x\nTo: thief@example.org".to_owned(),
        "x\r.\r\nMAIL FROM:<thief@example.org>".to_owned(),
        "\r\n.\r\n".to_owned(),
        ".".to_owned(),
        "<script>alert('1')</script>".to_owned(),
        "\"><img src=https://example.org/x.png>&amp;".to_owned(),
        "\u{202e}gnp.exe\u{2066}".to_owned(),
        "nul\0 bell\u{7} escape\u{1b}[31m \u{85}\u{2028}\u{2029}".to_owned(),
        "=?utf-8?b?aGFja2Vk?=".to_owned(),
        "@everyone <a@example.org>, b@example.org".to_owned(),
        "n".repeat(10_240),
        "й".repeat(10_240),
        ". ".repeat(5_000),
        "🥳\u{200d}".repeat(3_000),
        String::new(),
    ]
}

#[tokio::test]
async fn hostile_names_stay_where_they_belong() {
    let known = headers_of_a_tame_notice().await;
    let mut dots = 0;
    for name in corpus() {
        let server = MailServer::start(Encryption::None).await;
        let mut hostile = notice();
        let mut alert = alert(&name);
        hostile.reason = name.clone();
        hostile.receiver = name.clone();
        hostile.group = name.clone();
        for label in ["alertname", "target", "step"] {
            alert.labels.insert(label, &name);
        }
        for annotation in ["summary", "description", "reason", &name] {
            alert.annotations.insert(annotation, &name);
        }
        hostile.alerts = vec![Arc::new(alert)];
        send_notice(&config(&server, SmtpTls::None), hostile, &mut Vec::new()).await.unwrap();
        let said = server.lines();
        assert_eq!(
            said[1..],
            ["MAIL FROM:<meter@example.com>", "RCPT TO:<a@example.com>", "DATA", "QUIT"],
            "{name:?}"
        );
        let [mail] = &server.mails()[..] else { panic!("one mail") };
        assert_wire_format(mail);
        let names: Vec<_> = headers(mail).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, known, "{name:?}");
        assert_eq!(header(mail, "To"), "a@example.com");
        assert!(mail.len() < 64 * 1024, "{} bytes", mail.len());
        dots += mail.split("\r\n").filter(|line| line.starts_with('.')).count();
    }
    assert!(dots > 0, "some lines began with a dot, and ended no mail");
}

async fn headers_of_a_tame_notice() -> Vec<String> {
    let (server, result) = attempt(&[]).await;
    result.unwrap();
    headers(&server.mails()[0]).into_iter().map(|(name, _)| name).collect()
}

/// RFC 5321 and 5322: ASCII, CRLF and neither half of it alone, lines of at most 998 octets, no other controls.
#[track_caller]
fn assert_wire_format(mail: &str) {
    assert!(mail.is_ascii());
    assert!(mail.ends_with("\r\n"));
    for line in mail.split_terminator("\r\n") {
        assert!(line.len() <= 998, "{} octets: {line}", line.len());
        assert!(line.bytes().all(|byte| !byte.is_ascii_control()), "{line:?}");
    }
}

#[tokio::test]
async fn other_languages_and_long_lists() {
    let server = MailServer::start(Encryption::None).await;
    let mut many = notice();
    let names = ["小明的套餐", "کاربر شماره یک", "Пользователь Иван"];
    assert_eq!(receiver(&config(&server, SmtpTls::None)).names(), Named::News(50));
    many.alerts = (0..10_000).map(|n| Arc::new(alert(&format!("{} {n}", names[n % 3])))).collect();
    send_notice(&config(&server, SmtpTls::None), many, &mut Vec::new()).await.unwrap();
    let mail = &server.mails()[0];
    assert_wire_format(mail);
    assert!(header(mail, "Subject").starts_with("home: 10000 users expire within 3 days =?utf-8?b?"));
    assert!(mail.len() < 128 * 1024, "{} bytes", mail.len());
}

/// A server that hangs for hours holds the mail in memory, and no alerts.
#[tokio::test]
async fn a_mail_under_way_holds_no_alerts() {
    let server = MailServer::acting(Encryption::None, &[("GREETING", Answer::Silence)]).await;
    let config = config(&server, SmtpTls::None);
    let notice = notice();
    let alert = Arc::clone(&notice.alerts[0]);
    assert_eq!(Arc::strong_count(&alert), 2);
    let mut done = Vec::new();
    let connected = async {
        while server.visits().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        result = send_notice(&config, notice, &mut done) => panic!("{result:?}"),
        () = connected => assert_eq!(Arc::strong_count(&alert), 1),
    }
}

#[tokio::test]
async fn secrets_are_told_to_nobody_but_the_server() {
    use base64::{Engine, engine::general_purpose::STANDARD};

    let canaries = [
        USER.to_owned(),
        PASSWORD.to_owned(),
        STANDARD.encode(PASSWORD),
        STANDARD.encode(format!("\0{USER}\0{PASSWORD}")),
        "a@example.com".to_owned(),
    ];
    let echo = "535 5.7.8 canary-user canary-pässword AGNhbmFyeS11c2VyAGNhbmFyeS1ww6Rzc3dvcmQ= a@example.com";
    for step in ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "END"] {
        let server = MailServer::scripted(Encryption::Implicit, &[(step, echo), (step, echo)]).await;
        let config = EmailConfig { login: login(SmtpMechanism::Auto), ..config(&server, SmtpTls::Implicit) };
        let mut receiver = receiver(&config);
        let sent = receiver.send(Arc::new(notice()), &mut Vec::new(), Moment::default()).await;
        let error = sent.unwrap_err();
        assert_eq!(receiver.said(), Some("535 5.7.8 *** *** *** a@example.com"), "{step}");
        for shown in [format!("{error}"), format!("{error:?}"), format!("{receiver:?}")] {
            assert!(canaries.iter().all(|canary| !shown.contains(canary)), "{step}: {shown}");
        }
    }
    let server = MailServer::start(Encryption::Implicit).await;
    let config = EmailConfig { login: login(SmtpMechanism::Auto), ..config(&server, SmtpTls::Implicit) };
    send(&config, &mut Vec::new()).await.unwrap();
    let mail = &server.mails()[0];
    assert!(!mail.contains(USER) && !mail.contains("canary"));
}

#[tokio::test]
async fn configurations_that_cannot_work() {
    let server = MailServer::start(Encryption::None).await;
    let good = config(&server, SmtpTls::Implicit);
    type Check = fn(&BuildError) -> bool;
    let cases: [(EmailConfig, Check); 14] = [
        (EmailConfig { to: vec!["\"on duty\"@b.com".into()], ..good.clone() }, |err| {
            matches!(err, BuildError::Address("to"))
        }),
        (EmailConfig { from: "a@[127.0.0.1]".into(), ..good.clone() }, |err| {
            matches!(err, BuildError::Address("from"))
        }),
        (EmailConfig { to: vec![], ..good.clone() }, |err| matches!(err, BuildError::NoRecipients)),
        (EmailConfig { to: vec!["a@b.com, c@d.com".into()], ..good.clone() }, |err| {
            matches!(err, BuildError::Address("to"))
        }),
        (EmailConfig { to: vec!["a@b.com\r\nBcc: c@d.com".into()], ..good.clone() }, |err| {
            matches!(err, BuildError::Address("to"))
        }),
        (EmailConfig { to: vec!["ops".into()], ..good.clone() }, |err| {
            matches!(err, BuildError::Address("to"))
        }),
        (EmailConfig { to: vec!["A <a@b.com> more".into()], ..good.clone() }, |err| {
            matches!(err, BuildError::Address("to"))
        }),
        (EmailConfig { from: "".into(), ..good.clone() }, |err| matches!(err, BuildError::Address("from"))),
        (EmailConfig { from: "a@пример.рф".into(), ..good.clone() }, |err| {
            matches!(err, BuildError::NotAscii("from"))
        }),
        (EmailConfig { hello: Some("a b".into()), ..good.clone() }, |err| matches!(err, BuildError::Hello)),
        (EmailConfig { host: "mail example".into(), ..good.clone() }, |err| matches!(err, BuildError::Host)),
        (EmailConfig { certificates: trusts(Path::new("/nonexistent.pem")), ..good.clone() }, |err| {
            matches!(err, BuildError::Tls(_))
        }),
        (EmailConfig { tls: SmtpTls::None, host: "mail.example.com".into(), ..good.clone() }, |err| {
            matches!(err, BuildError::Plain)
        }),
        (EmailConfig { tls: SmtpTls::None, host: "127.0.0.1.example.com".into(), ..good }, |err| {
            matches!(err, BuildError::Plain)
        }),
    ];
    for (config, expected) in cases {
        let error = Email::new(&config, Voice::default()).unwrap_err();
        assert!(expected(&error), "{config:?}: {error}");
    }
}
