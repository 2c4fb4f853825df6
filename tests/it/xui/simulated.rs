//! Every generation that is simulated, with every way to log in: the client finds out what it is, reads what the
//! generations share alike, and logs in once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    clock::Clock,
    http::options::{PanelUrl, TlsOptions},
    model::{Part, Report, UserStatus},
    simulator::xui::{Generation, Options, Panel},
    upstream::{
        Upstream,
        xui::config::{Login, Password, TotpSecret, XuiConfig},
    },
};
use tokio::net::TcpListener;

use crate::common::{PATIENT, read_at, simulated::RUNTIME};

const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// A panel and its URL. Its clock is ahead of ours by so many milliseconds.
pub(super) async fn serve(options: &Options, ahead: &Arc<AtomicI64>) -> (Panel, String) {
    let (clock, ahead) = (Clock::system(), Arc::clone(ahead));
    let panel = Panel::new(options, move || clock.now().wall.as_millis() + ahead.load(Ordering::SeqCst));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{}", listener.local_addr().unwrap(), options.base_path);
    RUNTIME.spawn(panel.clone().serve(listener, std::future::pending()));
    panel.advance(60_000);
    (panel, url)
}

pub(super) fn password(options: &Options) -> Login {
    Login::Password(Password {
        username: options.username.clone(),
        password: options.password.as_str().into(),
        totp: options.totp_secret.as_deref().map(|secret| TotpSecret::parse(&secret.into()).unwrap()),
        login_secret: options.login_secret.as_deref().map(Into::into),
    })
}

/// A client that does not wait for a new sample.
pub(super) fn client(url: &str, login: Login) -> Upstream {
    let config = XuiConfig {
        sample_wait: Duration::from_millis(1),
        ..XuiConfig::new(PanelUrl::parse(url).unwrap(), login, TlsOptions::default())
    };
    Upstream::xui(&config, PATIENT).unwrap()
}

pub(super) async fn scrape(url: &str, login: Login) -> Report {
    read_at(client(url, login), Clock::system()).await
}

fn statuses(report: &Report) -> BTreeMap<String, UserStatus> {
    report.users.list().iter().map(|user| (user.name.to_string(), user.status)).collect()
}

#[tokio::test]
async fn every_generation_is_read_with_every_login() {
    let mut shared: Option<BTreeMap<String, UserStatus>> = None;
    for generation in Generation::ALL {
        let is_old = generation == Generation::V1_7;
        let has_totp = generation >= Generation::V2_6;
        let options = Options {
            generation,
            base_path: "/c4naryb1rd/".to_owned(),
            login_secret: is_old.then(|| "old-secret".to_owned()),
            totp_secret: has_totp.then(|| TOTP.to_owned()),
            ..Options::default()
        };
        let (panel, url) = serve(&options, &Arc::default()).await;
        let mut logins = vec![password(&options)];
        if generation >= Generation::V3_0_0 {
            logins.push(Login::Token(options.token.as_str().into()));
        }
        for login in logins {
            let report = scrape(&url, login).await;
            assert_eq!(report.up, Some(true), "{generation:?} {:?}", report.parts);
            let failed: Vec<_> =
                report.parts.iter().filter(|(_, state)| state.last_success.is_none()).collect();
            assert!(failed.is_empty(), "{generation:?} {failed:?}");
            assert!(report.host.memory_used.is_some(), "{generation:?}");
            assert_eq!(report.core.as_ref().unwrap().up, Some(true), "{generation:?}");
            assert_eq!(report.inbounds.len(), panel.inbounds().len(), "{generation:?}");
            if generation == Generation::Vaxilu {
                assert!(report.users.list().is_empty());
                continue;
            }
            // The list of 3.1.0 lacks a client that no inbound has.
            let is_listed = |name: &str| generation != Generation::V3_1 || name != "orphan";
            let mut clients = panel.clients();
            clients.retain(|client| is_listed(&client.email));
            assert_eq!(report.users.list().len(), clients.len(), "{generation:?}");
            for client in &clients {
                let user = report.users.list().iter().find(|user| *user.name == *client.email).unwrap();
                assert_eq!(user.used, client.used(), "{generation:?} {}", client.email);
            }
            // What the generations share is the same in each.
            let shared = shared.get_or_insert_with(|| statuses(&report));
            let found = statuses(&report);
            let fixed =
                |name: &str| !name.starts_with("user_") && is_listed(name) && panel.client(name).is_some();
            for (name, status) in shared.iter().filter(|(name, _)| fixed(name)) {
                assert_eq!(found.get(name), Some(status), "{generation:?} {name}");
            }
            if generation >= Generation::V3_0_0 {
                assert!(!report.nodes.is_empty(), "{generation:?}");
            }
        }
        assert_eq!((panel.logins(), panel.refused_logins()), (1, 0), "{generation:?}");
    }
}

#[tokio::test]
async fn a_changed_password_never_locks_the_account() {
    for generation in Generation::ALL {
        let options = Options { generation, ..Options::default() };
        let ahead = Arc::default();
        let (panel, url) = serve(&options, &ahead).await;
        let mut upstream = client(&url, password(&options));
        let start = Clock::system().now();
        for poll in 0..1000_u32 {
            ahead.store(i64::from(poll) * 30_000, Ordering::SeqCst);
            if poll == 100 {
                panel.change_password("another");
                panel.expire_sessions();
            }
            let now = start.after(Duration::from_secs(30) * poll);
            drop(upstream.read(Part::System, now).await);
        }
        assert_eq!((panel.logins(), panel.lockouts()), (1, 0), "{generation:?}");
        // After 0, 15, 45, 105, 225 and 465 minutes of the last seven and a half hours.
        assert!(panel.refused_logins() <= 6, "{generation:?} {}", panel.refused_logins());
    }
}
