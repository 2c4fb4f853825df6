//! From how many addresses users of PasarGuard are connected, which it tells of one user at a time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use proxymeter::{
    model::{Fact, Moment, Outcome, Part, Report},
    simulator::marzban::Flavour,
    upstream::{FetchError, Upstream},
};

use super::pasarguard::{Simulated, root};
use crate::common::{
    PATIENT, RECORDED_AT, at, canary, config,
    panel::{Panel, Role, USERS},
    password, read_once,
    server::{Answer, Request, Server},
    upstream,
};

const PLACE: &str = "/api/node/online_stats/";

/// A PasarGuard with these users beside what was recorded, who are connected, and these answers about addresses.
struct Told {
    _server: Server,
    asked: Arc<Mutex<Vec<String>>>,
    client: Upstream,
    report: Report,
}

impl Told {
    async fn by(rows: &'static str, answer: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Told {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (panel, log) = (Panel::of(Role::Owner), Arc::clone(&asked));
        let server = Server::start(move |request: &Request| {
            let user = request.path().strip_prefix(PLACE).and_then(|rest| rest.strip_suffix("/ip"));
            match user {
                Some(user) => {
                    log.lock().unwrap().push(user.to_owned());
                    let unknown = || Answer::new(404, &[], r#"{"detail":"User not found"}"#);
                    answer(user).unwrap_or_else(unknown)
                }
                None if request.path() == USERS => Answer::json(rows.to_owned()),
                None => panel.answer(request),
            }
        });
        let mut config = config(&server.url(), Role::Owner.login());
        config.device_limit = Some(3);
        let mut told =
            Told { client: upstream(&config, PATIENT), _server: server, asked, report: Report::new("home") };
        for part in [Part::System, Part::Users] {
            told.read(part, now()).await.unwrap();
        }
        told
    }

    /// Whether the part is complete.
    async fn read(&mut self, part: Part, now: Moment) -> Result<bool, FetchError> {
        let step = self.client.read(part, now).await?;
        step.facts.into_iter().for_each(|fact: Fact| self.report.merge(fact, now));
        Ok(step.done.contains(&part))
    }

    /// The addresses of each user and the limit, after another walk.
    async fn devices(&mut self, now: Moment) -> Vec<(String, Option<u64>, Option<u64>)> {
        self.read(Part::Users, now).await.unwrap();
        let users = self.report.users.list().iter();
        users.map(|user| (user.name.to_string(), user.extra.devices, user.extra.devices_limit)).collect()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn now() -> Moment {
    at(RECORDED_AT)
}

fn is(name: &str, devices: Option<u64>, limit: u64) -> (String, Option<u64>, Option<u64>) {
    (name.to_owned(), devices, Some(limit))
}

fn json(body: &str) -> Option<Answer> {
    Some(Answer::json(body.to_owned()))
}

/// A user who is connected for good has `online_at` in the future.
const THREE: &str = r#"{"users":[
    {"id":7,"username":"a b","status":"active","online_at":"2100-01-01T00:00:00Z","hwid_limit":null},
    {"id":9,"username":"bob","status":"active","online_at":"2100-01-01T00:00:00Z","hwid_limit":5},
    {"id":8,"username":"off","status":"active","online_at":null,"hwid_limit":0}],"total":3}"#;

#[tokio::test]
async fn each_connected_user_is_asked_for_once_a_round() {
    let mut told = Told::by(THREE, |user| match user {
        "7" => json(
            r#"{"nodes":{"1":{"ips":{"192.0.2.1":2,"192.0.2.2":1}},"2":{"ips":{"192.0.2.2":1,"2001:db8::1":1}},"3":null}}"#,
        ),
        "9" => json(r#"{"nodes":{}}"#),
        _ => None,
    })
    .await;
    assert_eq!(told.devices(now()).await, [is("a b", None, 3), is("bob", None, 5), is("off", Some(0), 3)]);
    for _ in 0..2 {
        assert!(!told.read(Part::Addresses, now()).await.unwrap());
        assert!(told.read(Part::Addresses, now()).await.unwrap());
        assert_eq!(told.asked(), ["7", "9"]);
        let expected = [is("a b", Some(3), 3), is("bob", Some(0), 5), is("off", Some(0), 3)];
        assert_eq!(told.devices(now()).await, expected);
    }
}

#[tokio::test]
async fn panels_before_5_0_take_names() {
    let mut told = Told::by(THREE, |user| match user {
        "a%20b" | "bob" => json(r#"{"nodes":{"1":{"ips":{"192.0.2.1":1}}}}"#),
        _ => None,
    })
    .await;
    for asked in [&["7", "a%20b", "bob"][..], &["a%20b", "bob"]] {
        assert!(!told.read(Part::Addresses, now()).await.unwrap());
        assert!(told.read(Part::Addresses, now()).await.unwrap());
        assert_eq!(told.asked(), asked);
    }
    assert_eq!(told.devices(now()).await[1], is("bob", Some(1), 5));
}

#[tokio::test]
async fn a_panel_that_is_updated_takes_ids_from_then_on() {
    let updated = Arc::new(Mutex::new(false));
    let is_updated = Arc::clone(&updated);
    let mut told = Told::by(THREE, move |user| {
        let takes_id = *is_updated.lock().unwrap();
        match user.parse::<u64>() {
            Ok(_) if takes_id => json(r#"{"nodes":{"1":{"ips":{"192.0.2.1":1}}}}"#),
            Err(_) if takes_id => Some(Answer::new(422, &[], r#"{"detail":{}}"#)),
            Ok(_) => None,
            Err(_) => json(r#"{"nodes":{}}"#),
        }
    })
    .await;
    told.read(Part::Addresses, now()).await.unwrap();
    *updated.lock().unwrap() = true;
    for _ in 0..2 {
        told.devices(now()).await;
        while !told.read(Part::Addresses, now()).await.unwrap() {}
    }
    assert_eq!(told.devices(now()).await[1], is("bob", Some(1), 5));
}

#[tokio::test]
async fn a_panel_that_does_not_tell_is_an_error_that_says_what_to_do() {
    let mut told = Told::by(THREE, |_| None).await;
    let err = told.read(Part::Addresses, now()).await.unwrap_err();
    assert_eq!(err.reason().label(), "not_found");
    assert!(err.to_string().contains("device_limit"), "{err}");
    assert_eq!(told.asked(), ["7", "a%20b"]);
}

#[tokio::test]
async fn a_user_who_fails_or_has_gone_leaves_the_others() {
    let mut told = Told::by(THREE, |user| match user {
        "7" => json(r#"{"nodes":{"1":{"ips":{"192.0.2.1":1}}}}"#),
        "9" => Some(Answer::new(500, &[], "Internal Server Error")),
        _ => None,
    })
    .await;
    for _ in 0..2 {
        told.read(Part::Addresses, now()).await.unwrap();
        told.read(Part::Addresses, now()).await.unwrap_err();
        assert!(told.read(Part::Addresses, now()).await.unwrap());
        assert_eq!(told.asked(), ["7", "9"]);
    }
    assert_eq!(told.devices(now()).await, [is("a b", Some(1), 3), is("bob", None, 5), is("off", Some(0), 3)]);
}

#[tokio::test]
async fn an_odd_node_costs_its_own_addresses() {
    let mut told = Told::by(THREE, |user| match user {
        "7" => json(r#"{"nodes":{"1":{"ips":[]},"2":7,"3":{"ips":{"192.0.2.1":"x"}}}}"#),
        _ => json("[]"),
    })
    .await;
    told.read(Part::Addresses, now()).await.unwrap();
    assert_eq!(told.read(Part::Addresses, now()).await.unwrap_err().reason().label(), "decode");
    assert_eq!(told.devices(now()).await[0], is("a b", Some(1), 3));
}

#[tokio::test]
async fn a_count_that_is_not_read_again_is_not_shown() {
    let mut told = Told::by(THREE, |_| json(r#"{"nodes":{"1":{"ips":{"192.0.2.1":1}}}}"#)).await;
    let later = |seconds: u64| now().after(Duration::from_secs(seconds));
    while !told.read(Part::Addresses, now()).await.unwrap() {}
    assert_eq!(told.devices(later(300)).await[0], is("a b", Some(1), 3));
    assert_eq!(told.devices(later(301)).await[0], is("a b", None, 3));
    // Rounds that take longer make counts last longer.
    told.read(Part::Addresses, later(1000)).await.unwrap();
    told.read(Part::Addresses, later(1200)).await.unwrap();
    assert_eq!(told.devices(later(1600)).await[0], is("a b", Some(1), 3));
    assert_eq!(told.devices(later(1601)).await[0], is("a b", None, 3));
}

#[tokio::test]
async fn nothing_keeps_an_address() {
    let log = canary::log();
    let address = canary::canary("address");
    let (odd, good) =
        (format!(r#"{{"nodes":{{"1":{{"ips":["{address}"]}},"2":"{address}"}}}}"#), address.clone());
    let mut told = Told::by(THREE, move |user| match user {
        "7" => json(&odd),
        _ => json(&format!(r#"{{"nodes":{{"1":{{"ips":{{"{good}":1}}}}}}}}"#)),
    })
    .await;
    while !told.read(Part::Addresses, now()).await.unwrap() {}
    told.devices(now()).await;
    let notes = told.client.take_notes();
    assert!(!notes.odd_fields.is_empty());
    canary::assert_none("notes", &format!("{notes:?}"));
    canary::assert_none("a client", &format!("{:?}", told.client));
    canary::assert_none("a report", &format!("{:?}", told.report));
    canary::assert_none("the log", &log.text());
}

#[tokio::test]
async fn the_simulated_panel_tells_of_all_who_are_connected() {
    let simulated = Simulated::of(Flavour::PasarGuard).await;
    let mut config = config(&simulated.url, root());
    config.device_limit = Some(2);
    let mut client = upstream(&config, PATIENT);
    let mut report = Report::new("home");
    for part in [Part::System, Part::Users, Part::Addresses, Part::Users] {
        loop {
            let step = client.read(part, now()).await.unwrap();
            step.facts.into_iter().for_each(|fact| report.merge(fact, now()));
            if step.done.contains(&part) {
                break;
            }
        }
    }
    let users = report.users.list();
    assert!(users.iter().all(|user| user.extra.devices.is_some_and(|count| (count > 0) == user.online)));
    assert!(users.iter().any(|user| user.extra.devices > user.extra.devices_limit));
}

#[tokio::test]
async fn an_account_without_the_right_is_refused() {
    let simulated = Simulated::of(Flavour::PasarGuard).await;
    let mut config = config(&simulated.url, password("reseller", "reseller-password"));
    config.device_limit = Some(2);
    let report = read_once(upstream(&config, PATIENT)).await;
    assert_eq!(report.outcome(Part::Addresses), Some(&Outcome::Refused));
    assert!(report.users.list().iter().all(|user| user.extra.devices != Some(1)));
}

#[tokio::test]
async fn marzban_is_not_asked() {
    let simulated = Simulated::of(Flavour::Marzban).await;
    let mut config = config(&simulated.url, root());
    config.device_limit = Some(2);
    let mut client = upstream(&config, PATIENT);
    client.read(Part::System, now()).await.unwrap();
    assert!(client.plan().iter().all(|planned| planned.part != Part::Addresses));
    let step = client.read(Part::Users, now()).await.unwrap();
    let mut report = Report::new("home");
    step.facts.into_iter().for_each(|fact| report.merge(fact, now()));
    assert!(report.users.list().iter().all(|user| user.extra.is_empty()));
}
