//! What a server will not take: some recipients, or the message.

use super::*;

#[tokio::test]
async fn each_recipient_is_judged_alone() {
    let server = MailServer::scripted(
        Encryption::None,
        &[("RCPT TO:<b@", "450 4.2.0 grey"), ("RCPT TO:<c@", "550 5.1.1 who")],
    )
    .await;
    let to = ["a@example.com", "b@example.net", "c@example.org"].map(str::to_owned).to_vec();
    let config = EmailConfig { to, ..config(&server, SmtpTls::None) };

    let mut done = Vec::new();
    let first = send(&config, &mut done).await;
    assert_failed(
        &first,
        "server_error",
        Retry::Later,
        "accepted for 1 of 3; put off for 1: …@example.net answered",
    );
    assert_eq!(done, ["a@example.com", "refused 550 5.1.1: c@example.org"]);

    // The second attempt asks only for the one that was put off, and tells how it all ended.
    let told = format!(
        "127.0.0.1:{}: accepted for 2 of 3; refused for 1: …@example.org answered 550 5.1.1",
        config.port
    );
    assert_eq!(send(&config, &mut done).await.unwrap(), told);
    assert_eq!(done, ["a@example.com", "refused 550 5.1.1: c@example.org", "b@example.net"]);
    let asked: Vec<_> = server.visits()[1].lines.iter().map(|(line, _)| line.clone()).collect();
    assert_eq!(asked[1..], ["MAIL FROM:<meter@example.com>", "RCPT TO:<b@example.net>", "DATA", "QUIT"]);

    // A third finds nobody left, and asks nobody.
    assert_eq!(send(&config, &mut done).await.unwrap(), told);
    assert_eq!(server.visits().len(), 2);
}

/// Some are refused, some put off, and nobody is left to send a message to.
#[tokio::test]
async fn several_answers_to_several_recipients() {
    let server = MailServer::scripted(
        Encryption::None,
        &[
            ("RCPT TO:<a@", "451 4.7.1 grey"),
            ("RCPT TO:<b@", "452 4.2.2 full"),
            ("RCPT TO:<c@", "550 5.1.1 who"),
            ("RCPT TO:<d@", "553 5.1.3 where"),
        ],
    )
    .await;
    let to = ["a@example.com", "b@example.net", "c@example.org", "d@example.org"];
    let config = EmailConfig { to: to.map(str::to_owned).to_vec(), ..config(&server, SmtpTls::None) };
    let mut done = Vec::new();
    let first = send(&config, &mut done).await;
    let told = "accepted for 0 of 4; put off for 2: …@example.com answered 451 4.7.1, …@example.net answered \
                452 4.2.2; refused for 2: …@example.org answered 550 5.1.1, …@example.org answered 553 5.1.3";
    assert_failed(&first, "server_error", Retry::Later, told);
    assert!(server.mails().is_empty());
    assert_eq!(server.visits()[0].said()[6..], ["QUIT"]);

    assert!(send(&config, &mut done).await.unwrap().contains("accepted for 2 of 4; refused for 2"));
    let asked = &server.visits()[1];
    let asked = asked.said();
    assert_eq!(asked[2..], ["RCPT TO:<a@example.com>", "RCPT TO:<b@example.net>", "DATA", "QUIT"]);
}

/// What a server will never take is not said to it again, even if the attempt came to nothing for another reason.
#[tokio::test]
async fn a_refusal_outlives_an_attempt_that_fails() {
    for trouble in [Answer::Say("451 4.3.0 later\r\n".to_owned()), Answer::HangUp] {
        let refusal = Answer::Say("550 5.1.1 who\r\n".to_owned());
        let script = [("RCPT TO:<b@", refusal), ("END", trouble)];
        let server = MailServer::acting(Encryption::None, &script).await;
        let to = ["a@example.com", "b@example.net"].map(str::to_owned).to_vec();
        let config = EmailConfig { to, ..config(&server, SmtpTls::None) };
        let mut done = Vec::new();
        assert!(send(&config, &mut done).await.is_err());
        assert_eq!(done, ["refused 550 5.1.1: b@example.net"]);
        send(&config, &mut done).await.unwrap();
        let second = &server.visits()[1];
        assert_eq!(second.said()[2..], ["RCPT TO:<a@example.com>", "DATA", "QUIT"]);
    }
}

#[tokio::test]
async fn a_mail_that_everybody_refuses_is_not_delivered() {
    let server = MailServer::scripted(
        Encryption::None,
        &[("RCPT TO:<a@", "550 5.1.1 who"), ("RCPT TO:<b@", "550 5.1.1 who")],
    )
    .await;
    let to = ["a@example.com", "b@example.net"].map(str::to_owned).to_vec();
    let config = EmailConfig { to, ..config(&server, SmtpTls::None) };
    let mut done = vec!["contents refused 554 5.7.1".to_owned()];
    for _ in 0..2 {
        let result = send(&config, &mut done).await;
        assert_failed(&result, "refused", Retry::Never, "accepted for 0 of 2; refused for 2");
    }
    assert_eq!(server.visits().len(), 1);
}

#[tokio::test]
async fn contents_that_are_refused_are_sent_once_more_in_few_words() {
    for (step, answer, codes, shown) in [
        ("END", "550 5.7.1 spam", "550 5.7.1", 2),
        ("END", "552 5.3.4 too large", "552 5.3.4", 2),
        ("END", "554 5.7.1 spam", "554 5.7.1", 2),
        ("DATA", "552 too large", "552", 1),
        ("DATA", "554 5.7.1 spam", "554 5.7.1", 1),
    ] {
        let server = MailServer::scripted(Encryption::None, &[(step, answer)]).await;
        let mut done = Vec::new();
        let said = send(&config(&server, SmtpTls::None), &mut done).await.unwrap();
        assert!(said.ends_with(&format!("the whole message was refused with {codes}")), "{said}");
        assert_eq!(done, [format!("contents refused {codes}"), "a@example.com".to_owned()]);
        let [visit] = &server.visits()[..] else { panic!("one connection") };
        let again = ["MAIL FROM:<meter@example.com>", "RCPT TO:<a@example.com>", "DATA"];
        assert_eq!(visit.said()[1..4], again);
        assert_eq!(visit.said()[4..], [&["RSET"], &again[..], &["QUIT"]].concat());
        assert_eq!(visit.mails.len(), shown);
        let minimal = visit.mails.last().unwrap();
        assert_eq!(header(minimal, "Message-ID"), "<0b9d6f3e-17@example.com>");
        assert_eq!(header(minimal, "Subject"), "[FIRING:2] ProxymeterUserExpiry on home (warning)");
        assert_eq!(header(minimal, "Content-Type"), "text/plain; charset=utf-8");
        assert!(minimal.contains("2 alerts are firing: ProxymeterUserExpiry on home."));
        assert!(minimal.contains("/api/v1/alerts"));
        assert!(!minimal.contains("alice") && minimal.len() < 1024, "{minimal}");
    }

    for step in ["DATA", "END"] {
        let (server, result) = attempt(&[(step, "554 5.7.1 spam"), (step, "554 5.7.1 spam")]).await;
        assert_failed(&result, "refused", Retry::Never, "answered 554 5.7.1");
        let asked = server.lines().iter().filter(|line| *line == "DATA").count();
        assert_eq!((asked, server.visits().len()), (2, 1), "{step}");
    }
}

/// Some servers hang up on what they take for spam. The next attempt does not show it to them again.
#[tokio::test]
async fn contents_that_are_refused_for_good() {
    let server =
        MailServer::acting(Encryption::None, &[("END", Answer::SayAndHangUp("554 5.7.1 spam\r\n"))]).await;
    let config = config(&server, SmtpTls::None);
    let mut done = Vec::new();
    let result = send(&config, &mut done).await;
    assert_failed(&result, "connect", Retry::Later, "RSET: the connection was lost");
    let said = send(&config, &mut done).await.unwrap();
    assert!(said.ends_with("the whole message was refused with 554 5.7.1"), "{said}");
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert!(mails[0].contains("alice") && !mails[1].contains("alice"));
}
