//! `proxymeter test-notification` with a receiver of mails.

use std::{path::Path, process::Command};

use super::*;

/// What the command says of the receiver `ops`, which sends to `server`: exit code, output, errors.
async fn test_notification(server: &MailServer, folder: &Path) -> (Option<i32>, String, String) {
    let file = folder.join("exporter.toml");
    let table = format!(
        "[email.ops]\nsmarthost = \"{}\"\ntls = \"implicit\"\nca_file = {:?}\nfrom = \"meter@example.com\"\n\
         to = [\"a@example.com\", \"b@example.net\"]\nusername = \"{USER}\"\npassword = \"{PASSWORD}\"\n",
        server.address, server.ca_file,
    );
    std::fs::write(&file, format!("{TARGET}{table}")).unwrap();
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_proxymeter"))
            .args(["test-notification", "ops", "--log.level=debug"])
            .arg(format!("--config.file={}", file.display()))
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const TARGET: &str =
    "[marzban.home]\nurl = \"http://127.0.0.1:9\"\nusername = \"meter\"\npassword = \"secret\"\n\n";

#[tokio::test]
async fn a_test_is_sent_and_the_answer_printed() {
    let server = MailServer::scripted(Encryption::Implicit, &[("RCPT TO:<b@", "550 5.1.1 who")]).await;
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = test_notification(&server, folder.path()).await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out,
        format!(
            "receiver ops said: 550 5.1.1 who\n\
             receiver ops accepted it: {}: accepted for 1 of 2; refused for 1: …@example.net answered 550 5.1.1\n",
            server.address
        )
    );
    assert!(![out, err].concat().contains("canary"));
    let [mail] = &server.mails()[..] else { panic!("one mail") };
    assert_eq!(header(mail, "Subject"), "proxymeter: this is a test");
    assert!(mail.contains("This is a test of receiver ops, sent by hand. Nothing is wrong."), "{mail}");
}

#[tokio::test]
async fn a_test_that_fails_says_why() {
    for (script, told, said) in [
        (
            ("AUTH", "535 5.7.8 no canary-user canary-pässword AGNhbmFyeS11c2VyAGNhbmFyeS1ww6Rzc3dvcmQ="),
            "did not accept it (auth): 127.0.0.1:",
            "535 5.7.8 no *** *** ***",
        ),
        (("AUTH", "535 5.7.8 Y2FuYXJ5LXVzZXI="), "did not accept it (auth): 127.0.0.1:", "535 5.7.8 ***"),
        (("MAIL", "451 4.3.0 later"), "MAIL FROM: answered 451 4.3.0", "451 4.3.0 later"),
        (("END", "451 4.7.1 grey"), "the message: answered 451 4.7.1", "451 4.7.1 grey"),
        (("GREETING", "SSH-2.0-OpenSSH_9.2"), "greeting: what came is not", "SSH-2.0-OpenSSH_9.2"),
        (("RCPT", "550 5.1.1 who"), "…@example.com answered 550 5.1.1", "550 5.1.1 who"),
    ] {
        let server = MailServer::scripted(Encryption::Implicit, &[script]).await;
        let folder = tempfile::tempdir().unwrap();
        let (code, out, err) = test_notification(&server, folder.path()).await;
        let accepted = told.contains("answered 550 5.1.1");
        assert_eq!(code, Some(if accepted { 0 } else { 1 }), "{err}");
        assert!(out.starts_with(&format!("receiver ops said: {said}\n")), "{out}");
        let err = if accepted { out.clone() + &err } else { err };
        assert!(
            err.contains(told)
                && ![&out, &err].iter().any(|text| text.contains("canary") || text.contains("Y2FuYXJ5")),
            "{told}: {out}{err}"
        );
        assert_eq!(server.visits().len(), 1, "once");
    }
}
