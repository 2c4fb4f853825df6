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
    assert!(server.mails().is_empty() && done.is_empty());
    assert_eq!(server.visits()[0].said()[6..], ["QUIT"]);

    assert!(send(&config, &mut done).await.unwrap().contains("accepted for 4"));
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

/// Until the server accepts one recipient, it may be the sender or the relay that it refuses.
#[tokio::test]
async fn a_mail_that_everybody_refuses_is_kept() {
    let everybody =
        [("RCPT TO:<a@", "550 5.7.1 relaying denied"), ("RCPT TO:<b@", "550 5.7.1 relaying denied")];
    let server = MailServer::scripted(Encryption::None, &everybody).await;
    let to = ["a@example.com", "b@example.net"].map(str::to_owned).to_vec();
    let config = EmailConfig { to, ..config(&server, SmtpTls::None) };
    let mut done = Vec::new();
    let result = send(&config, &mut done).await;
    assert_failed(&result, "refused", Retry::Refused, "accepted for 0 of 2; refused for 2");
    assert!(done.is_empty());
    send(&config, &mut done).await.unwrap();
    assert_eq!(done, ["a@example.com", "b@example.net"]);

    // One that refuses a notice that another accepted before is refused for itself.
    let server = MailServer::scripted(Encryption::None, &everybody[1..]).await;
    let config = EmailConfig { port: server.address.port(), ..config };
    let mut done = vec!["a@example.com".to_owned()];
    assert!(send(&config, &mut done).await.unwrap().contains("accepted for 1 of 2; refused for 1"));
    assert_eq!(done[1..], ["refused 550 5.7.1: b@example.net"]);
}

/// The daily limit of an account can be reached between two recipients.
#[tokio::test]
async fn what_is_refused_because_of_the_account_is_tried_again() {
    let server = MailServer::scripted(Encryption::None, &[("RCPT TO:<b@", "550 5.4.5 daily limit")]).await;
    let to = ["a@example.com", "b@example.net"].map(str::to_owned).to_vec();
    let config = EmailConfig { to, ..config(&server, SmtpTls::None) };
    let mut done = Vec::new();
    let result = send(&config, &mut done).await;
    let told = "accepted for 1 of 2; put off for 1: …@example.net answered 550 5.4.5; the server refuses all";
    assert_failed(&result, "refused", Retry::Refused, told);
    send(&config, &mut done).await.unwrap();
    assert_eq!(done, ["a@example.com", "b@example.net"]);
}

/// A notice about one user.
fn of_one() -> Notice {
    Notice { alerts: vec![Arc::new(alert("alice"))], ..notice() }
}

#[tokio::test]
async fn contents_that_are_refused_are_sent_once_more_in_few_words() {
    for (notice, step, answer, codes, shown) in [
        (notice(), "END", "550 5.7.1 spam", "the message: answered 550 5.7.1", 2),
        (notice(), "END", "552 5.7.0 attachment", "the message: answered 552 5.7.0", 2),
        (notice(), "END", "554 5.7.1 spam", "the message: answered 554 5.7.1", 2),
        (of_one(), "END", "552 5.3.4 too large", "the message: answered 552 5.3.4", 2),
        (of_one(), "DATA", "552 too large", "DATA: answered 552", 1),
    ] {
        let server = MailServer::scripted(Encryption::None, &[(step, answer)]).await;
        let mut done = Vec::new();
        let said = send_notice(&config(&server, SmtpTls::None), notice, &mut done).await.unwrap();
        assert!(
            said.ends_with(&format!("in few words, as the whole message was refused: {codes}")),
            "{said}"
        );
        assert_eq!(done, [format!("contents refused {codes}"), "a@example.com".to_owned()]);
        let [visit] = &server.visits()[..] else { panic!("one connection") };
        let again = ["MAIL FROM:<meter@example.com>", "RCPT TO:<a@example.com>", "DATA"];
        assert_eq!(visit.said()[1..4], again);
        assert_eq!(visit.said()[4..], [&["RSET"], &again[..], &["QUIT"]].concat());
        assert_eq!(visit.mails.len(), shown);
        let minimal = visit.mails.last().unwrap();
        assert_eq!(header(minimal, "Message-ID"), "<0b9d6f3e-17@example.com>");
        assert!(header(minimal, "Subject").ends_with(" firing (User expires soon or has expired)"));
        assert_eq!(header(minimal, "Content-Type"), "text/plain; charset=utf-8");
        assert!(minimal.contains(" firing (User expires soon or has expired)"));
        assert!(minimal.contains("/api/v1/alerts"));
        assert!(!minimal.contains("alice") && minimal.len() < 1024, "{minimal}");
    }

    for (notice, step, codes) in
        [(notice(), "END", "554 5.7.1"), (of_one(), "DATA", "552 5.3.4"), (of_one(), "END", "552 5.3.4")]
    {
        let server = MailServer::scripted(Encryption::None, &[(step, codes), (step, codes)]).await;
        let result = send_notice(&config(&server, SmtpTls::None), notice, &mut Vec::new()).await;
        let told = format!("answered {codes}; the server refuses this message");
        assert_failed(&result, "refused", Retry::Never, &told);
        let asked = server.lines().iter().filter(|line| *line == "DATA").count();
        assert_eq!((asked, server.visits().len()), (2, 1), "{step}");
    }
}

#[tokio::test]
async fn a_mail_that_is_too_large_is_sent_again_with_fewer_alerts() {
    let crowd = |named| {
        let alerts = (0..60).map(|n| {
            let mut alert = alert(&format!("user {n}"));
            alert.annotations.insert("description", &format!("User user {n} expires."));
            Arc::new(alert)
        });
        let alerts = alerts.collect();
        Notice { alerts, named, ..notice() }
    };
    let offers = async |limit: usize| {
        let hello = Answer::Say(format!("250-mail.example.com\r\n250 SIZE {limit}\r\n"));
        MailServer::acting(Encryption::None, &[("EHLO", hello)]).await
    };
    let server = offers(10_000).await;
    let result = send_notice(&config(&server, SmtpTls::None), crowd(None), &mut Vec::new()).await;
    assert_failed(&result, "refused", Retry::Smaller, "bytes, and the server accepts at most 10000");
    assert_eq!(server.visits()[0].said()[1..], ["QUIT"], "it is not sent");

    let server = offers(10_000).await;
    send_notice(&config(&server, SmtpTls::None), crowd(Some(7)), &mut Vec::new()).await.unwrap();
    let mail = server.mails().remove(0);
    let sender = format!("MAIL FROM:<meter@example.com> SIZE={}", mail.len());
    assert_eq!(server.visits()[0].said()[1], sender);
    assert!(mail.contains("* User user 6 expires.") && !mail.contains("user 7 expires"), "{mail}");
    assert!(mail.contains("53 more that are firing."));
    assert!(header(&mail, "Subject").starts_with("home: 60 users expire within 3 days (user 0, "));

    // The details of one alert can be too much.
    let server = offers(1_500).await;
    let said = send_notice(&config(&server, SmtpTls::None), crowd(Some(1)), &mut Vec::new()).await.unwrap();
    assert!(said.ends_with("and the server accepts at most 1500"), "{said}");
    assert!(!server.mails()[0].contains("user 0"));
    let server = offers(10).await;
    let result = send_notice(&config(&server, SmtpTls::None), crowd(Some(1)), &mut Vec::new()).await;
    assert_failed(&result, "refused", Retry::Never, "and the server accepts at most 10; the server refuses");
}

#[tokio::test]
async fn a_part_says_that_more_follows() {
    let server = MailServer::start(Encryption::None).await;
    let part = Notice { left_out: 3, follow: 3, ..notice() };
    send_notice(&config(&server, SmtpTls::None), part, &mut Vec::new()).await.unwrap();
    let mail = &server.mails()[0];
    for words in [
        "\r\n3 more alerts follow in the next message.\r\n",
        "<p>3 more alerts follow in the next message.</p>",
    ] {
        assert!(mail.contains(words), "{words} in {mail}");
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
    assert!(said.ends_with("the whole message was refused: the message: answered 554 5.7.1"), "{said}");
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert!(mails[0].contains("alice") && !mails[1].contains("alice"));
}
