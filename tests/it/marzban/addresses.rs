//! From how many addresses users of PasarGuard are connected, which it reports for one user at a time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use proxymeter::{
    model::{Fact, Moment, Part, Report},
    simulator::marzban::Flavour,
    upstream::{FetchError, Scope, Upstream},
};

use super::pasarguard::{Simulated, root};
use crate::common::{
    PATIENT, RECORDED_AT, at, canary, config,
    panel::{Panel, Recordings, Role, SYSTEM, USERS},
    password,
    server::{Answer, Request, Server},
    upstream,
};

const PLACE: &str = "/api/node/online_stats/";

/// A PasarGuard that lists `USERS_NOW`, and answers so about addresses.
struct Told {
    _server: Server,
    version: Arc<Mutex<&'static str>>,
    asked: Arc<Mutex<Vec<String>>>,
    client: Upstream,
    report: Report,
}

/// A user who is connected for good has `online_at` in the future.
const USERS_NOW: &str = r#"{"users":[
    {"id":7,"username":"a b","status":"active","online_at":"2100-01-01T00:00:00Z","hwid_limit":null},
    {"id":9,"username":"bob","status":"active","online_at":"2100-01-01T00:00:00Z","hwid_limit":5},
    {"id":10,"username":"free","status":"active","online_at":null,"hwid_limit":0},
    {"id":11,"username":"idle","status":"active","online_at":null,"hwid_limit":null},
    {"id":12,"username":"odd","status":"active","online_at":"soon","hwid_limit":null}],"total":5}"#;
const NONE_CONNECTED: &str =
    r#"{"users":[{"id":11,"username":"idle","status":"active","online_at":null}],"total":1}"#;

impl Told {
    async fn by(rows: &'static str, answer: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Told {
        let (version, asked): (_, Arc<Mutex<Vec<String>>>) = (Arc::new(Mutex::new("5.2.1")), Arc::default());
        let (panel, log, says) = (Panel::of(Role::Owner), Arc::clone(&asked), Arc::clone(&version));
        let server = Server::start(move |request: &Request| {
            let user = request.path().strip_prefix(PLACE).and_then(|rest| rest.strip_suffix("/ip"));
            match (user, request.path()) {
                (Some(user), _) => {
                    log.lock().unwrap().push(user.to_owned());
                    let unknown = || Answer::new(404, &[], r#"{"detail":"User not found"}"#);
                    answer(user).unwrap_or_else(unknown)
                }
                (None, USERS) => Answer::json(rows.to_owned()),
                (None, SYSTEM) => {
                    let mut system = Recordings::PasarGuard.read("system-owner");
                    system["version"] = (*says.lock().unwrap()).into();
                    Answer::json(system.to_string())
                }
                (None, _) => panel.answer(request),
            }
        });
        let mut config = config(&server.url(), Role::Owner.login());
        config.device_limit = Some(3);
        let client = upstream(&config, PATIENT);
        let mut told = Told { client, _server: server, version, asked, report: Report::new("home") };
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

    async fn is_of(&mut self, version: &'static str) {
        *self.version.lock().unwrap() = version;
        self.read(Part::System, now()).await.unwrap();
    }

    /// The addresses of each user and the limit, after another walk.
    async fn devices(&mut self, now: Moment) -> Vec<(Option<u64>, Option<u64>)> {
        self.read(Part::Users, now).await.unwrap();
        let users = self.report.users.list().iter();
        users.map(|user| (user.extra.devices, user.extra.devices_limit)).collect()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn now() -> Moment {
    at(RECORDED_AT)
}

fn later(seconds: u64) -> Moment {
    now().after(Duration::from_secs(seconds))
}

fn json(body: &str) -> Option<Answer> {
    Some(Answer::json(body.to_owned()))
}

fn fails(status: u16) -> Option<Answer> {
    Some(Answer::new(status, &[], "no"))
}

/// That a user is connected from one address.
fn one() -> Option<Answer> {
    json(r#"{"nodes":{"1":{"ips":{"192.0.2.1":1}}}}"#)
}

#[tokio::test]
async fn each_connected_user_is_asked_about_once_a_round() {
    let mut told = Told::by(USERS_NOW, |user| match user {
        "7" => json(
            r#"{"nodes":{"1":{"ips":{"192.0.2.1":2,"192.0.2.2":1}},"2":{"ips":{"192.0.2.2":1,"2001:db8::1":1}},"3":null}}"#,
        ),
        "9" => json(r#"{"nodes":{"1":{"ips":{}}}}"#),
        _ => None,
    })
    .await;
    let limits = [Some(3), Some(5), None, Some(3), Some(3)];
    // Nothing is known before the first answer.
    assert_eq!(told.devices(now()).await, limits.map(|limit| (None, limit)));
    for _ in 0..2 {
        assert!(told.read(Part::Addresses, now()).await.unwrap());
        assert_eq!(told.asked(), ["7", "9"]);
        let devices = [Some(3), Some(0), Some(0), Some(0), None];
        let expected: Vec<_> = devices.into_iter().zip(limits).collect();
        assert_eq!(told.devices(now()).await, expected);
    }
}

#[tokio::test]
async fn the_version_decides_whether_an_id_or_a_name_is_sent() {
    let mut told = Told::by(USERS_NOW, |_| one()).await;
    for (version, expected) in
        [("4.0.1", &["a%20b", "bob"][..]), ("5.0.0", &["7", "9"]), ("1.6.0", &["a%20b", "bob"])]
    {
        told.is_of(version).await;
        assert!(told.read(Part::Addresses, now()).await.unwrap(), "{version}");
        assert_eq!(told.asked(), expected, "{version}");
    }
    told.is_of("1.5.2").await;
    let err = told.read(Part::Addresses, now()).await.unwrap_err();
    assert_eq!((err.reason().label(), told.asked().len()), ("not_found", 0));
    assert!(err.to_string().contains("device_limit"), "{err}");
}

/// A right that the account never had is not one that it has lost.
#[tokio::test]
async fn a_panel_without_connected_users_is_asked_all_the_same() {
    let mut told = Told::by(NONE_CONNECTED, |_| None).await;
    assert!(told.read(Part::Addresses, now()).await.unwrap());
    assert_eq!(told.asked(), ["0"]);
    assert_eq!(told.devices(now()).await, [(Some(0), Some(3))]);

    let refusal = r#"{"detail":"Permission denied: nodes.stats"}"#;
    let mut told = Told::by(NONE_CONNECTED, move |_| Some(Answer::new(403, &[], refusal))).await;
    let err = told.read(Part::Addresses, now()).await.unwrap_err();
    assert_eq!(err.reason().label(), "forbidden");
}

#[tokio::test]
async fn a_user_of_whom_the_panel_fails_to_answer_is_left_out() {
    for (answer, known) in [(fails(500), None), (json("[]"), None), (None, None), (one(), Some(1))] {
        // One who is gone is asked about again once the list has the user.
        let then: &[_] = if answer.is_none() { &["9"] } else { &["7", "9"] };
        let answer = move |user: &str| if user == "7" { answer.clone() } else { one() };
        let mut told = Told::by(USERS_NOW, answer).await;
        for asked in [&["7", "9"], then] {
            assert!(told.read(Part::Addresses, now()).await.unwrap());
            assert_eq!(told.asked(), asked);
        }
        assert_eq!(told.devices(now()).await[..2], [(known, Some(3)), (Some(1), Some(5))]);
    }
}

#[tokio::test]
async fn a_panel_that_answers_about_no_user_fails() {
    let mut told = Told::by(USERS_NOW, |_| fails(500)).await;
    for _ in 0..2 {
        let err = told.read(Part::Addresses, now()).await.unwrap_err();
        assert_eq!((err.reason().label(), told.asked()), ("server_error", vec!["7".into(), "9".into()]));
    }
    // One that cannot be reached is left alone after each attempt.
    let mut told = Told::by(USERS_NOW, |_| fails(502)).await;
    for user in ["7", "9", "7"] {
        told.read(Part::Addresses, now()).await.unwrap_err();
        assert_eq!(told.asked(), [user]);
    }
}

#[tokio::test]
async fn an_odd_node_costs_its_own_addresses() {
    let mut told = Told::by(USERS_NOW, |user| match user {
        "7" => json(r#"{"nodes":{"1":{"ips":[]},"2":7,"3":{"ips":{"192.0.2.1":"x"}}}}"#),
        // No node says anything.
        _ => json(r#"{"nodes":{"1":null,"2":[]}}"#),
    })
    .await;
    told.read(Part::Addresses, now()).await.unwrap();
    assert_eq!(told.devices(now()).await[..2], [(Some(1), Some(3)), (None, Some(5))]);
}

#[tokio::test]
async fn a_count_that_is_not_read_again_does_not_hold() {
    let mut told = Told::by(USERS_NOW, |_| one()).await;
    told.read(Part::Addresses, now()).await.unwrap();
    assert_eq!(told.devices(later(290)).await[0].0, Some(1));
    assert_eq!(told.devices(later(310)).await[0].0, None);
    // Counts hold for three rounds.
    told.read(Part::Addresses, later(900)).await.unwrap();
    assert_eq!(told.devices(later(900 + 2600)).await[0].0, Some(1));
    assert_eq!(told.devices(later(900 + 2800)).await[0].0, None);
    // A pause is no round.
    told.client.forget_walk(Part::Addresses);
    told.read(Part::Addresses, later(50_000)).await.unwrap();
    assert_eq!(told.devices(later(50_000 + 2800)).await[0].0, None);
}

#[tokio::test]
async fn nothing_keeps_an_address() {
    let log = canary::log();
    let address = canary::canary("address");
    let (odd, good) =
        (format!(r#"{{"nodes":{{"1":{{"ips":["{address}"]}},"2":"{address}"}}}}"#), address.clone());
    let mut told = Told::by(USERS_NOW, move |user| match user {
        "7" => json(&odd),
        _ => json(&format!(r#"{{"nodes":{{"1":{{"ips":{{"{good}":1}}}}}}}}"#)),
    })
    .await;
    assert!(told.read(Part::Addresses, now()).await.unwrap());
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
    let mut client = upstream(&config, PATIENT);
    for part in [Part::System, Part::Users] {
        client.read(part, now()).await.unwrap();
    }
    let err = client.read(Part::Addresses, now()).await.unwrap_err();
    assert_eq!(err.scope(), Scope::NotAllowed);
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
    assert!(report.users.list().iter().all(|user| user.extra.devices.or(user.extra.devices_limit).is_none()));
}
