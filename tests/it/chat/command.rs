//! `proxymeter test-notification` with each chat, and what it prints.

use std::{fs, process::Command};

use proxymeter::simulator::inbox::{Manner, Service};

use super::chats::{Fake, options};

/// The exit code, and what is printed to people and to the log.
fn run(table: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    fs::write(&file, table).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_proxymeter"))
        .args(["test-notification", "ops", "--log.level=debug"])
        .arg(format!("--config.file={}", file.display()))
        .output()
        .unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), out, err)
}

#[test]
fn a_test_is_sent_and_what_the_server_said_is_printed() {
    for (service, said, refused) in [
        (Service::Telegram, "{\"ok\":true,", "(auth): 127.0.0.1: answered 403"),
        (Service::Discord, "\"content\":", "(client_error): 127.0.0.1: answered 404 (code 10015)"),
        (Service::Slack, "ok", "(gone): 127.0.0.1: answered 410"),
        (Service::Feishu, "\"code\":0", "(client_error): 127.0.0.1: answered 200 (code 19007)"),
        (Service::DingTalk, "\"errcode\":0", "(client_error): 127.0.0.1: answered 200 (code 400102)"),
        (Service::WeCom, "\"errcode\":0", "(client_error): 127.0.0.1: answered 200 (code 93000)"),
        (Service::Ntfy, "\"event\":\"message\"", "(auth): 127.0.0.1: answered 401"),
        (Service::Gotify, "\"appid\":", "(auth): 127.0.0.1: answered 401"),
        (Service::Bark, "\"code\":200", "(client_error): 127.0.0.1: answered 500"),
        (Service::PagerDuty, "Event processed", "(auth): 127.0.0.1: answered 400"),
    ] {
        let mut fake = Fake::live(service);
        let table = fake.table("ops");
        let (code, out, err) = run(&table);
        assert_eq!(code, Some(0), "{service:?} {err}");
        assert!(out.contains("receiver ops accepted it: 127.0.0.1 answered 20"), "{service:?} {out}");
        let line = out.lines().find(|line| line.starts_with("receiver ops said: ")).unwrap();
        assert!(line.contains(said), "{service:?} {line}");
        let [message] = fake.taken().try_into().unwrap();
        let whole = format!("{}\n{}", message.title, message.body);
        assert!(whole.contains("this is a test"), "{service:?} {whole}");

        fake.server.behave(Manner::Gone);
        let (code, failed, err_of_failed) = run(&table);
        assert_eq!(code, Some(1), "{service:?}");
        let text = format!("receiver ops did not accept it {refused}");
        assert!(err_of_failed.contains(&text), "{service:?} {err_of_failed}");
        assert!(failed.contains("receiver ops said: "), "{service:?} {failed}");
        // ntfy tells its topic, which anyone who knows it can read.
        let secrets =
            [options(service).token, options(service).secret.unwrap_or_default(), "alerts-home".into()];
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            for text in [&out, &err, &failed, &err_of_failed] {
                assert!(!text.contains(secret.as_str()), "{service:?} {text}");
            }
        }
        assert_eq!(fake.taken(), []);
    }
}
