use std::process::{Command, Output};

use proxymeter::simulator::cliproxy::{Options, Traffic};
use serde_json::Value;

use crate::common::{
    daemon::{Daemon, Home, wait_for},
    llm::{Proxy, sums},
    simulated::Served,
};

/// Waits until the daemon has read this total of a user.
fn wait_until_read(daemon: &Daemon, user: &str, bytes: u64) {
    let series = format!("proxymeter_user_traffic_bytes_total{{target=\"home\",user=\"{user}\"}} {bytes}\n");
    wait_for(&series, || daemon.metrics().contains(&series).then_some(()));
}

fn rows(daemon: &Daemon, parameters: &str) -> Vec<Value> {
    let (status, body) = daemon.ask("GET", &format!("/api/v1/usage?{parameters}"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["data"]["usage"].as_array().unwrap().clone()
}

fn used(daemon: &Daemon, parameters: &str) -> u64 {
    rows(daemon, parameters).iter().map(|row| row["used"].as_u64().unwrap()).sum()
}

/// Runs `usage`: the exit code, and what it said on stdout and stderr.
fn usage(home: &Home, daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
    command.arg("usage").args(arguments).arg(format!("--config.file={}", home.file().display()));
    command.arg(format!("--web.listen-address={}", daemon.address()));
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn what_is_used_is_counted_once_over_stops_and_kills() {
    let panel = Served::start();
    panel.add_using("alice", 100);
    let home = Home::new(panel.address, "[\"target\"]", "");
    let first = home.start();
    wait_until_read(&first, "alice", 100);
    panel.use_traffic("alice", 400);
    // New since the last complete read.
    panel.add_using("bob", 50);
    wait_until_read(&first, "alice", 500);
    wait_until_read(&first, "bob", 50);
    assert_eq!(first.stop().0, Some(0));
    panel.use_traffic("alice", 30);

    // Killed before its first write.
    let second = home.start();
    wait_until_read(&second, "alice", 530);
    second.kill();
    panel.use_traffic("alice", 7);
    let third = home.start();
    wait_until_read(&third, "alice", 537);
    assert_eq!(third.stop().0, Some(0));

    let fourth = home.start();
    // The test may run over midnight.
    for (parameters, expected) in [
        ("target=home&user=alice", 437),
        ("target=home&user=alice&by=month", 437),
        ("target=home&user=bob", 50),
        ("target=home", 487),
        ("", 487),
        ("target=home&of=users&by=month", 487),
    ] {
        assert_eq!(used(&fourth, parameters), expected, "{parameters}");
    }
    let (code, table, said) = usage(&home, &fourth, &["--target=home", "--each=user", "--by=month"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(code == Some(0) && said.is_empty() && lines[0].starts_with("TARGET "), "{table}{said}");
    assert!(lines[1].contains("  alice  437 B") && lines[2].contains("  bob     50 B"), "{table}");
    let (_, csv, _) = usage(&home, &fourth, &["--target=home", "--user=bob", "--format=csv"]);
    assert!(
        csv.starts_with("period,target,kind,name,used,")
            && csv.contains(",home,user,bob,50,bytes,false,false")
    );
    let (code, _, said) = usage(&home, &fourth, &["--target=other"]);
    assert!(code == Some(1) && said.contains("there is no target of this name"), "{said}");

    let (status, page) = fourth.ask("GET", "/targets/home/users/alice");
    assert!(status == 200 && page.contains("437 B together"), "{page}");
    let metrics = fourth.metrics();
    assert!(metrics.contains("\nproxymeter_usage_history_up 1\n"), "{metrics}");
}

#[test]
fn a_history_that_cannot_be_used_does_not_stop_the_daemon() {
    let home = Home::of("");
    std::fs::create_dir_all(home.storage().join("usage.db")).unwrap();
    let daemon = home.start();
    wait_for("the failure to be shown", || {
        daemon.metrics().contains("\nproxymeter_usage_history_up 0\n").then_some(())
    });
    let (status, body) = daemon.ask("GET", "/api/v1/usage");
    // There are no targets, so nothing is read.
    assert_eq!(status, 200, "{body}");
    assert!(daemon.log().contains("the history of use cannot be written"));
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn tokens_are_tokens_before_the_proxy_was_read() {
    let proxy = Proxy::start(&Options { traffic: Traffic::Steady(20), ..Options::default() });
    let home = Home::of(&proxy.table("llm", "usage = \"queue\""));
    let first = home.start();
    let busy = proxy.busy();
    // What a key had used before it was first read is not known.
    let tokens = || sums(&first).get("tokens_total").copied().filter(|tokens| *tokens > 0.0);
    let known = wait_for("the first tokens", tokens);
    wait_for("more tokens", || tokens().filter(|tokens| *tokens > known));
    assert_eq!(first.stop().0, Some(0));
    drop((busy, proxy));

    let second = home.start();
    let all = rows(&second, "target=llm");
    assert!(!all.is_empty() && all.iter().all(|row| row["unit"] == "tokens"), "{all:?}");
    let (status, csv) = second.ask("GET", "/api/v1/usage?format=csv");
    assert!(status == 200 && csv.contains(",tokens,") && !csv.contains(",bytes,"), "{csv}");
    let (_, table, _) = usage(&home, &second, &[]);
    assert!(table.lines().nth(1).unwrap().contains(" tokens"), "{table}");
    let (_, page) = second.ask("GET", "/targets/llm");
    assert!(page.contains(" tokens together") && !page.contains(" B together"), "{page}");
    assert_eq!(sums(&second).get("tokens_total"), None, "the proxy was not read");
}
