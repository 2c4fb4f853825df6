//! `proxymeter test-notification` with a webhook.

use std::process::Command;

use super::*;

#[test]
fn a_test_is_sent_once_and_the_answer_printed() {
    let page = "<!doctype html><title>Log in</title>canary";
    for (answer, code, told) in [
        (Answer::status(204), 0, "receiver ops accepted it: 127.0.0.1 answered 204"),
        (Answer::with(503, &[], "canary"), 1, "did not accept it (server_error): 127.0.0.1: answered 503"),
        (Answer::with(403, &[], "canary"), 1, "did not accept it (auth): 127.0.0.1: answered 403"),
        (
            Answer::with(200, &[], page),
            1,
            "did not accept it (response): 127.0.0.1: answered 200 with a web page",
        ),
    ] {
        let receiver = Receiver::start(move |_, _| answer.clone());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("exporter.toml");
        let text = format!(
            "[marzban.home]\nurl = \"http://127.0.0.1:9\"\nusername = \"meter\"\npassword = \"secret\"\n\n\
             [webhook.ops]\nurl = \"http://{}/canary\"\nsecret = \"{KNOWN}\"\n",
            receiver.address
        );
        fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_proxymeter"))
            .args(["test-notification", "ops", "--log.level=debug"])
            .arg(format!("--config.file={}", file.display()))
            .output()
            .unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.status.code(), Some(code), "{err}");
        assert!(if code == 0 { &out } else { &err }.contains(told), "{told}: {out}{err}");
        assert!(![out.as_str(), &err].concat().contains("canary"));
        // Its first line, in which our secret is the path of the URL.
        let said = if told.contains("204") { None } else { Some("***") };
        let line = out.lines().find_map(|line| line.strip_prefix("receiver ops said: "));
        assert_eq!(line.map(|line| line.contains(said.unwrap_or_default())), said.map(|_| true), "{out}");
        let [request] = receiver.requests().try_into().unwrap();
        assert!(request.header("webhook-signature").is_some());
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["alerts"][0]["labels"]["alertname"], "ProxymeterTest");
    }
}
