//! What a receiver refused is sent once more when somebody says so, by the real program.

#[path = "crash/daemon.rs"]
#[expect(dead_code, reason = "shared with the tests of crashes, which need more of it")]
mod daemon;
#[path = "crash/panel.rs"]
#[expect(dead_code, reason = "likewise")]
mod panel;
#[path = "support/receiver.rs"]
#[expect(dead_code, reason = "likewise")]
mod receiver;

use std::{
    fs,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use daemon::{Home, wait_for, webhook};
use panel::Served;
use receiver::{Answer, Receiver};

/// The exit code, and what was said on stdout and stderr.
fn replay(home: &Home, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = home.command();
    let config = command.get_args().next().unwrap().to_owned();
    command = std::process::Command::new(command.get_program());
    command.arg("replay-notifications").arg(config).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn what_was_given_up_is_sent_once_more() {
    for refusal in [400, 410] {
        let answer = Arc::new(AtomicU16::new(refusal));
        let asked = Arc::clone(&answer);
        let receiver = Receiver::start(move |_, _| Answer::status(asked.load(Ordering::Relaxed)));
        let panel = Served::start();
        panel.add_expired("alice");
        let tables = webhook("ops", receiver.address);
        let home = Home::new(panel.address, r#"["target", "alertname"]"#, &tables);
        let daemon = home.start();
        wait_for("the refusal", || (!receiver.requests().is_empty()).then_some(()));
        let failures = "proxymeter_notification_attempts_total{receiver=\"ops\"}";
        wait_for("it to be noted", || (daemon.value(failures) == Some(1.0)).then_some(()));

        // While the exporter runs, the folder is its own.
        let (code, _, said) = replay(&home, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("another proxymeter uses this storage folder"), "{said}");
        assert_eq!(daemon.stop().0, Some(0));

        let (code, _, said) = replay(&home, &["opps"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("no receiver is called opps; there are: ops"), "{said}");
        let (code, listed, _) = replay(&home, &["--list"]);
        let given_up = refusal == 400;
        assert_eq!((code, listed.lines().count()), (Some(0), usize::from(given_up)), "{listed}");
        assert!(!listed.contains("alice"), "{listed}");

        answer.store(200, Ordering::Relaxed);
        let file = home.command().get_args().next().unwrap().to_str().unwrap().to_owned();
        let file = file.strip_prefix("--config.file=").unwrap();
        let good = fs::read_to_string(file).unwrap();
        // Secrets may be there only while the exporter runs, and its folder may be told by its arguments.
        let elsewhere = good
            .replace("password = \"root-password\"", "password_file = \"/nowhere/at/all\"")
            .replace("storage\"\n", "elsewhere\"\n");
        assert_eq!(elsewhere.matches("where").count(), 2, "{elsewhere}");
        fs::write(file, elsewhere).unwrap();
        let (code, said, err) =
            replay(&home, &[&format!("--storage.path={}", home.storage().display()), "ops"]);
        assert_eq!(code, Some(0), "{err}");
        fs::write(file, good).unwrap();
        // A receiver that is gone is only asked again when somebody says so; its notice was not given up yet.
        let count = usize::from(given_up);
        assert!(
            said.ends_with(&format!("{count} notices will be sent when the exporter is started\n")),
            "{said}"
        );
        assert_eq!(replay(&home, &["--list"]).1, "");
        let daemon = home.start();
        wait_for("it to be sent", || (receiver.requests().len() == 2).then_some(()));
        wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
        let requests = receiver.requests();
        assert!(requests[0].header("webhook-id").is_some());
        assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    }
}
