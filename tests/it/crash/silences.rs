//! Silences of a program that is killed: what was answered with 200 is there when it starts again.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use fastrand::Rng;
use serde_json::{Value, json};

use super::{BY_USER, QUIET};
use crate::common::{
    daemon::{Daemon, Home, wait_for, webhook},
    hook::Hook,
    simulated::Served,
};

/// Kills; more, up to the other number, while a busy machine answers too few requests before them.
const ROUNDS: u64 = 20;
const MOST_ROUNDS: u64 = 200;
const ENOUGH: usize = 20;
const PATH: &str = "/api/v1/silences";

/// The states of all silences, by id.
fn known(daemon: &Daemon) -> BTreeMap<String, String> {
    let said: Value = serde_json::from_str(&daemon.ask("GET", PATH).1).unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let silences = said["data"]["silences"].as_array().unwrap().iter();
    silences.map(|silence| (word(&silence["id"]), word(&silence["status"]["state"]))).collect()
}

/// Adds a silence of this user; absent: the daemon ended before it answered.
fn add(daemon: &Daemon, user: &str) -> Option<String> {
    let matcher = json!({ "name": "subject", "value": user });
    let silence = json!({
        "matchers": [matcher], "endsAt": "2999-01-01T00:00:00Z", "createdBy": "ann", "comment": "why",
    });
    let (status, said) =
        daemon.send("POST", PATH, &["Content-Type: application/json"], &silence.to_string())?;
    assert_eq!(status, 200, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    Some(said["data"]["silenceID"].as_str().unwrap().to_owned())
}

#[test]
fn what_was_answered_outlives_a_kill() {
    let _busy = QUIET.read();
    let mut rng = Rng::with_seed(17);
    let hook = Hook::start();
    let panel = Served::start();
    let home = Home::new(panel.address, BY_USER, &webhook("ops", hook.address));
    // What was answered, and what may be of the requests without an answer.
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    let (mut answered, mut open) = (0, 0);
    let mut rounds = 0;
    while rounds < ROUNDS || answered <= ENOUGH && rounds < MOST_ROUNDS {
        let daemon = Arc::new(home.start());
        daemon.address();
        let before = known(&daemon);
        for (id, state) in &states {
            assert_eq!(before.get(id), Some(state), "round {rounds}");
        }
        open += before.len() - states.len();
        states = before;
        let killer = Arc::clone(&daemon);
        let wait = Duration::from_micros(rng.u64(..30_000));
        let killing = thread::spawn(move || {
            thread::sleep(wait);
            killer.kill();
        });
        for n in 0.. {
            let Some(id) = add(&daemon, &format!("u{n}")) else { break };
            states.insert(id.clone(), "active".to_owned());
            answered += 1;
            if rng.bool() {
                match daemon.send("DELETE", &format!("{PATH}/{id}"), &[], "") {
                    Some((200, _)) => drop(states.insert(id, "expired".to_owned())),
                    Some(other) => panic!("{other:?}"),
                    // It may have been carried out.
                    None => drop(states.remove(&id)),
                }
            }
        }
        killing.join().unwrap();
        rounds += 1;
    }
    assert!(answered > ENOUGH, "{answered}");
    eprintln!(
        "{answered} silences were answered and are there after {rounds} kills, {open} were not and are there"
    );

    // They hold.
    let daemon = home.start();
    let all = known(&daemon);
    for (id, state) in &states {
        assert_eq!(all.get(id), Some(state));
    }
    add(&daemon, "alice").unwrap();
    daemon.kill();
    panel.add_expired("alice");
    panel.add_expired("bob");
    let daemon = home.start();
    wait_for("bob", || (!hook.deliveries().is_empty()).then_some(()));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    let told: Vec<_> = hook.events().into_keys().map(|event| event.subject).collect();
    assert_eq!(told, ["bob"]);
}
