//! `proxymeter test-notification` with an Alertmanager.

use std::{fs, process::Command};

use super::*;
use crate::common::receiver::{Answer, Receiver};

/// Runs the command for replicas at these URLs, and returns what it prints.
fn test_pair(urls: &[String], code: i32) -> [String; 2] {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let text = format!(
        "[marzban.home]\nurl = \"http://127.0.0.1:9\"\nusername = \"meter\"\npassword = \"secret\"\n\n\
         [alertmanager.pair]\nurls = {urls:?}\npassword = \"{CANARY}\"\nusername = \"meter\"\n"
    );
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_proxymeter"))
        .args(["test-notification", "pair", "--log.level=debug"])
        .arg(format!("--config.file={}", file.display()))
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(code), "{printed:?}");
    printed
}

#[test]
fn a_test_is_posted_to_each_replica_and_each_answer_is_printed() {
    let down = closed_address();
    for is_whole in [true, false] {
        let (first, second) = (Fake::start(""), Fake::start("/am"));
        let urls = if is_whole {
            vec![first.url(), second.url()]
        } else {
            vec![first.url(), format!("http://{down}"), second.url()]
        };
        let [out, err] = test_pair(&urls, if is_whole { 0 } else { 1 });
        for fake in [&first, &second] {
            let url = fake.url();
            let host = url.trim_start_matches("http://").trim_end_matches("/am");
            assert!(out.contains(&format!("receiver pair accepted it: {host} answered 200")), "{out}");
            let known = fake.alerts();
            let test = &known["ProxymeterTest pair"];
            // It ends by itself.
            let wait = Duration::from_secs(5 * 60);
            assert!(now().wall < test.ends && test.ends < now().wall.saturating_add(wait), "{test:?}");
        }
        if !is_whole {
            assert!(err.contains(&format!("receiver pair did not accept it (connect): {down}: ")), "{err}");
        }
        assert_none("the output", &format!("{out}{err}"));
    }
}

#[test]
fn what_a_replica_says_is_printed_without_our_secrets() {
    let said = format!("\"no, {CANARY} and bWV0ZXI6YzRuYXJ5YjFyZA==\"\nand more");
    let refusing = Receiver::start(move |_, _| Answer::with(400, &[], &said));
    let lying = Receiver::start(|_, _| Answer::with(200, &[], "{\"success\":false}"));
    for (urls, told) in [
        (
            vec![&refusing],
            vec![
                ("out", "receiver pair said: \"no, *** and ***\"\n".to_owned()),
                (
                    "err",
                    format!(
                        "receiver pair did not accept it (client_error): {}: answered 400",
                        refusing.address
                    ),
                ),
            ],
        ),
        (
            vec![&refusing, &lying],
            vec![
                ("out", format!("receiver pair said: {}: \"no, *** and ***\"\n", refusing.address)),
                ("out", format!("receiver pair said: {}: {{\"success\":false}}\n", lying.address)),
                (
                    "err",
                    format!(
                        "receiver pair did not accept it (response): {}: answered 200, but the answer says that it \
                         failed, in 'success'",
                        lying.address
                    ),
                ),
            ],
        ),
    ] {
        let urls: Vec<_> =
            urls.iter().map(|receiver| format!("http://{}/{CANARY}", receiver.address)).collect();
        let [out, err] = test_pair(&urls, 1);
        for (place, told) in told {
            assert!(if place == "out" { &out } else { &err }.contains(&told), "{told}: {out}{err}");
        }
        assert_none("the output", &format!("{out}{err}"));
    }
}
