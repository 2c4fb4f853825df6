//! A panel on a loopback socket, and a client that sees every byte of its answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proxymeter::simulator::xui::{Generation, Options, Panel};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::simulator::client::{NOW_MS, Reply, begin};

pub(super) const AJAX: (&str, &str) = ("x-requested-with", "XMLHttpRequest");
pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A running panel; it stops when dropped.
pub(super) struct House {
    pub(super) panel: Panel,
    pub(super) address: SocketAddr,
    pub(super) generation: Generation,
    base: String,
    token: String,
    login: String,
    now_ms: Arc<AtomicI64>,
    _server: JoinSet<()>,
}

/// A session of a client.
#[derive(Clone, Default, Debug)]
pub(super) struct Session {
    pub(super) cookie: String,
    pub(super) csrf: String,
}

impl Session {
    pub(super) fn headers(&self) -> Vec<(&str, &str)> {
        vec![AJAX, ("cookie", &self.cookie), ("x-csrf-token", &self.csrf)]
    }
}

impl House {
    pub(super) async fn of(generation: Generation) -> House {
        House::open(Options { generation, ..Options::default() }).await
    }

    pub(super) async fn open(options: Options) -> House {
        let now_ms = Arc::new(AtomicI64::new(NOW_MS));
        let clock = Arc::clone(&now_ms);
        let panel = Panel::new(&options, move || clock.load(Ordering::Relaxed));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(panel.clone().serve(listener, std::future::pending()));
        let (generation, base, token) = (options.generation, options.base_path, options.token);
        let password = options.password.replace('#', "%23");
        let login = format!("username={}&password={password}", options.username);
        House { panel, address, generation, base, token, login, now_ms, _server: server }
    }

    /// Lets the clock and the panel move on.
    pub(super) fn pass(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
        self.panel.advance(ms.unsigned_abs());
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Asks for a whole path.
    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.ask_as(&self.address.to_string(), method, path, headers, body).await
    }

    pub(super) async fn ask_as(
        &self,
        host: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut stream = begin(self.address, host, method, path, headers, body).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Reply::of(&bytes)
    }

    /// A session that is not logged in, where the panel has such.
    pub(super) async fn anonymous(&self) -> Session {
        let reply = self.ask("GET", &format!("{}csrf-token", self.base), &[AJAX], "").await;
        if reply.status != 200 {
            return Session::default();
        }
        Session { cookie: cookie(&reply).unwrap(), csrf: reply.json()["obj"].as_str().unwrap().to_owned() }
    }

    /// Tries to log in with this form.
    pub(super) async fn try_login(&self, form: &str, more: &[(&str, &str)]) -> (Reply, Session) {
        let anonymous = self.anonymous().await;
        let headers = [anonymous.headers(), vec![FORM], more.to_vec()].concat();
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let reply = self.ask("POST", &format!("{}login", self.base), &headers, form).await;
        let session = Session { cookie: cookie(&reply).unwrap_or_default(), csrf: anonymous.csrf };
        (reply, session)
    }

    pub(super) async fn session(&self) -> Session {
        let (reply, session) = self.try_login(&self.login, &[]).await;
        assert_eq!(reply.json()["success"], true, "{reply:?}");
        session
    }

    /// Data of a route, by token or by a fresh session.
    pub(super) async fn obj(&self, method: &str, path: &str) -> Value {
        let token = format!("Bearer {}", self.token);
        let path = format!("{}{path}", self.base);
        let reply = if path.contains("panel/api/") && self.generation >= Generation::V3_0_0 {
            self.ask(method, &path, &[AJAX, ("authorization", &token)], "").await
        } else {
            self.ask(method, &path, &self.session().await.headers(), "").await
        };
        assert_eq!(reply.status, 200, "{path}");
        let mut whole = reply.json();
        assert_eq!(whole["success"], true, "{path}: {whole}");
        whole["obj"].take()
    }

    /// The inbounds, by the first route that this generation has.
    pub(super) async fn inbounds(&self) -> Value {
        match self.generation {
            Generation::Vaxilu | Generation::Alireza => self.obj("POST", "xui/inbound/list").await,
            _ => self.obj("GET", "panel/api/inbounds/list").await,
        }
    }

    /// The route of those online.
    pub(super) fn onlines_path(&self) -> &'static str {
        match self.generation {
            Generation::Alireza => "xui/API/inbounds/onlines",
            generation if generation < Generation::V3_1 => "panel/api/inbounds/onlines",
            _ => "panel/api/clients/onlines",
        }
    }

    pub(super) async fn status(&self) -> Value {
        match self.generation {
            Generation::Vaxilu | Generation::V1_7 | Generation::V2_6 => {
                self.obj("POST", "server/status").await
            }
            Generation::Alireza => self.obj("GET", "xui/API/server/status").await,
            _ => self.obj("GET", "panel/api/server/status").await,
        }
    }
}

/// The cookie that an answer sets, as a client sends it back.
pub(super) fn cookie(reply: &Reply) -> Option<String> {
    Some(reply.header("set-cookie")?.split(';').next()?.to_owned())
}

/// The row of statistics of a client in a list of inbounds.
pub(super) fn stats<'a>(inbounds: &'a Value, email: &str) -> Vec<&'a Value> {
    let inbounds = inbounds.as_array().unwrap().iter();
    let rows = inbounds.flat_map(|inbound| inbound["clientStats"].as_array().into_iter().flatten());
    rows.filter(|row| row["email"] == email).collect()
}
