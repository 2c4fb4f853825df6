//! What relays make of our greeting, and how a failure says which key to write.

use super::*;

const HELLO: &str = "; it may refuse the name in our greeting, \"EHLO meter.example.com\": write the full name of this \
                     machine as hello = \"monitor.example.com\"";

#[tokio::test]
async fn the_greeting_has_a_name_and_never_an_address() {
    let server = MailServer::start(Encryption::None).await;
    send(&config(&server, SmtpTls::None), &mut Vec::new()).await.unwrap();
    let lines = server.lines();
    let name = lines[0].strip_prefix("EHLO ").unwrap();
    let fits = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    assert!(name.contains('.') && name.chars().all(fits) && !name.starts_with("localhost"), "{name}");
    assert!(name.parse::<std::net::IpAddr>().is_err(), "{name}");
}

/// As Postfix, Exim, cPanel, OpenSMTPD, Exchange and Gmail's relay say it.
#[tokio::test]
async fn a_refusal_of_the_greeting_says_what_to_write() {
    let need_full = "504 5.5.2 <3f2a9c51d0b7>: Helo command rejected: need fully-qualified hostname";
    let refused = "; the server refuses all messages, not only this one";
    for (step, answer, reason, retry, told) in [
        ("EHLO", need_full, "refused", Retry::Refused, Some("EHLO: answered 504 5.5.2")),
        (
            "EHLO",
            "501 Syntactically invalid EHLO argument(s)",
            "refused",
            Retry::Refused,
            Some("EHLO: answered 501"),
        ),
        (
            "EHLO",
            "501 5.5.4 Invalid domain name",
            "refused",
            Retry::Refused,
            Some("EHLO: answered 501 5.5.4"),
        ),
        ("EHLO", "550 Bad HELO - Host impersonating", "refused", Retry::Refused, Some("EHLO: answered 550")),
        (
            "EHLO",
            "421-4.7.0 Try again later, closing connection. (EHLO)\r\n421 4.7.0 x - gsmtp",
            "server_error",
            Retry::Later,
            Some("EHLO: answered 421 4.7.0"),
        ),
        (
            "EHLO",
            "450 4.7.1 <x>: Helo command rejected: Host not found",
            "server_error",
            Retry::Later,
            Some("EHLO"),
        ),
        ("EHLO", "502 5.5.1 what", "refused", Retry::Refused, None),
        ("EHLO", "500 what", "refused", Retry::Refused, None),
        ("EHLO", "530 5.7.0 Must issue a STARTTLS command first", "tls", Retry::Refused, None),
        (
            "MAIL",
            "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)",
            "refused",
            Retry::Refused,
            Some("MAIL FROM"),
        ),
        ("MAIL", "550 5.7.1 you are not welcome", "refused", Retry::Refused, None),
        ("MAIL", "503 5.5.1 send HELO/EHLO first", "refused", Retry::Refused, None),
        ("RCPT", need_full, "refused", Retry::Refused, Some("…@example.com answered 504 5.5.2")),
        (
            "RCPT",
            "550 5.7.1 <x>: helo command rejected",
            "refused",
            Retry::Refused,
            Some("answered 550 5.7.1"),
        ),
        (
            "RCPT",
            "450 4.7.1 <x>: Helo command rejected: Host not found",
            "server_error",
            Retry::Later,
            Some("450 4.7.1"),
        ),
        ("RCPT", "550 5.1.1 who", "refused", Retry::Refused, None),
        ("RCPT", "550 5.1.1 <bachelor@example.com>: User unknown", "refused", Retry::Refused, None),
        ("END", "550 5.7.23 SPF fail; helo=mail.example.com", "refused", Retry::Refused, None),
        ("DATA", "550 5.7.1 EHLO refused", "refused", Retry::Refused, Some("DATA: answered 550 5.7.1")),
        ("END", "554 5.7.1 Invalid EHLO", "refused", Retry::Refused, Some("the message: answered 554 5.7.1")),
    ] {
        let server = MailServer::scripted(Encryption::None, &[(step, answer)]).await;
        let hello = Some("meter.example.com".to_owned());
        let mut receiver = receiver(&EmailConfig { hello, ..config(&server, SmtpTls::None) });
        let result = receiver.send(Arc::new(notice()), &mut Vec::new(), Moment::default()).await;
        assert_failed(&result, reason, retry, told.unwrap_or_default());
        let error = result.unwrap_err();
        assert_eq!(error.detail.ends_with(HELLO), told.is_some(), "{answer}: {error}");
        let is_final = retry == Retry::Refused;
        assert_eq!(error.detail.contains(refused), is_final, "{answer}: {error}");
        let first = answer.split("\r\n").next().unwrap().replace("421-", "421 ");
        assert_eq!(receiver.said(), Some(first.as_str()), "{answer}");
    }
}

#[tokio::test]
async fn a_server_with_other_encryption_says_which_to_write() {
    let other = "STARTTLS: the server does not offer STARTTLS";
    let relay = "; for a relay on a network that you trust, write tls = \"none\" and allow_cleartext = true";
    let server = MailServer::start(Encryption::None).await;
    for (login, hint) in [(None, relay), (login(SmtpMechanism::Auto), "")] {
        let config = EmailConfig { login, ..config(&server, SmtpTls::StartTls) };
        let error = send(&config, &mut Vec::new()).await.unwrap_err();
        assert!(error.detail.ends_with(&format!("{other}{hint}")), "{error}");
    }
    let hint = "; the server refuses all messages, not only this one; it requires encryption: write tls = \"starttls\"";
    for (step, answer, reason) in [
        ("EHLO", "530 5.7.0 Must issue a STARTTLS command first", "tls"),
        ("MAIL", "530 5.7.0 Must issue a STARTTLS command first", "tls"),
        ("MAIL", "554 5.7.0 TLS required", "tls"),
        ("RCPT", "554 5.7.0 TLS required", "refused"),
    ] {
        let (_server, result) = attempt(&[(step, answer)]).await;
        assert_failed(&result, reason, Retry::Refused, hint);
    }
    let (_server, result) = attempt(&[("MAIL", "530 5.7.0 Authentication required")]).await;
    assert!(result.unwrap_err().detail.ends_with("; the server refuses the login"));
}

/// Names of people contain "helo". Such a one is refused for good, and the others have their mail.
#[tokio::test]
async fn a_recipient_is_refused_by_the_code_and_not_by_the_letters_of_a_name() {
    for refusal in [
        "550 5.1.1 <bachelor@example.com>: Recipient address rejected: User unknown",
        "550 5.1.1 <chelo@example.com>: User unknown",
        "550 no such user: <michelob@example.com>",
    ] {
        let server = MailServer::scripted(Encryption::None, &[("RCPT", refusal)]).await;
        let to = ["a", "b"].map(|who| format!("{who}@example.com")).to_vec();
        let config = EmailConfig { to, ..config(&server, SmtpTls::None) };
        let said = send(&config, &mut Vec::new()).await.unwrap();
        let codes = if refusal.starts_with("550 5.1.1") { "550 5.1.1" } else { "550" };
        let expected = format!("accepted for 1 of 2; refused for 1: …@example.com answered {codes}");
        assert!(said.ends_with(&expected), "{said}");
    }
}

/// Such a server says nothing, until it gives up.
#[tokio::test]
async fn a_server_that_expects_tls_from_the_start_is_told_apart() {
    let maybe =
        "greeting: no answer within 300ms; if it expects TLS from the start, write tls = \"implicit\"";
    let certain =
        "greeting: the server answers in TLS; it expects TLS from the start: write tls = \"implicit\"";
    let alert = |bytes: &'static str| Answer::SayAndHangUp(bytes);
    for (tls, answer, reason, told) in [
        (SmtpTls::StartTls, Answer::Silence, "timeout", maybe),
        (SmtpTls::None, Answer::Silence, "timeout", maybe),
        (SmtpTls::StartTls, alert("\u{15}\u{3}\u{1}\0\u{2}\u{2}F"), "tls", certain),
        (SmtpTls::StartTls, alert("\u{15}\u{3}\u{3}\0\u{2}\u{2}\n"), "tls", certain),
        (SmtpTls::None, alert("\u{15}\u{3}\u{3}\0\u{2}\u{1}\0"), "tls", certain),
    ] {
        let server = MailServer::acting(Encryption::None, &[("GREETING", answer)]).await;
        let config = EmailConfig { timeout: IMPATIENT, ..config(&server, tls) };
        let result = send(&config, &mut Vec::new()).await;
        assert_failed(&result, reason, Retry::Later, told);
    }
    let server = MailServer::start(Encryption::Implicit).await;
    let config = EmailConfig { timeout: IMPATIENT, ..config(&server, SmtpTls::StartTls) };
    assert_failed(&send(&config, &mut Vec::new()).await, "timeout", Retry::Later, maybe);
}

/// `0.0.0.0` reaches this machine and is not one of its names.
#[tokio::test]
async fn mail_goes_to_a_relay_in_the_clear_where_that_is_allowed() {
    let server = MailServer::start(Encryption::StartTls).await;
    let plain = EmailConfig { host: "0.0.0.0".to_owned(), ..config(&server, SmtpTls::None) };
    assert!(matches!(Email::new(&plain, Voice::default()).unwrap_err(), BuildError::Plain));
    let allowed = EmailConfig { allow_cleartext: true, ..plain };
    let with_login = EmailConfig { login: login(SmtpMechanism::Auto), ..allowed.clone() };
    assert!(matches!(Email::new(&with_login, Voice::default()).unwrap_err(), BuildError::PlainLogin));
    send(&allowed, &mut Vec::new()).await.unwrap();
    assert_eq!(server.mails().len(), 1);
    let lines = server.lines();
    assert!(lines.iter().all(|line| line != "STARTTLS" && !line.starts_with("AUTH")), "{lines:?}");
}
